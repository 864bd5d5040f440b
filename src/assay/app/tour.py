"""`assay tour`: every system's main study at tiny, beside the committed results at small."""

import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import typer

from assay.app.outcome import print_run
from assay.app.screen import one_line, stdout_for_one_value
from assay.core.run import Run, default_store
from assay.core.system import System, systems
from assay.errors import AssayError


def run_tour(store: Path | None, workers: int | None, as_json: bool) -> int:
    """Run every system; returns 1 if a trial of one failed or one could not be run."""
    from assay.core.report import write_index

    root = store or default_store()
    entries: list[Mapping[str, Any]] = []
    left: dict[str, str] = {}
    with stdout_for_one_value() if as_json else nullcontext():
        for system in systems().values():
            try:
                entries.append(_visit(system, root, workers, as_json))
            except AssayError as error:
                left[system.name] = one_line(error)
                typer.echo(f"assay: {one_line(error)}", err=True)
    page = root / "tour.html"
    if entries:
        write_index(entries, page)
    if as_json:
        report = str(page.absolute()) if entries else ""
        typer.echo(json.dumps({"systems": entries, "left_out": left, "report": report}))
    elif entries:
        typer.echo(f"\nall on one page: {page.absolute()}")
    return int(bool(left) or any(e["tiny"]["failed"] for e in entries))


def _visit(system: System, root: Path, workers: int | None, as_json: bool) -> dict[str, Any]:
    study = system.study()
    if not as_json:
        typer.echo(f"\n{system.name}: {study.title}")
    run: Run = study.run("tiny", store=root, workers=workers, progress=not as_json)
    if not as_json:
        print_run(run)
    return {
        "system": system.name,
        "title": system.title,
        "study": study.name,
        "tiny": run.summary,
        "small": committed_results(system, study.name),
    }


def committed_results(system: System, study: str) -> dict[str, Any] | None:
    """The results at small that lie in the system's folder, if there are any."""
    folder = system.folder()
    path = folder / "results" / f"{study}.small.json" if folder else None
    if path is None or not path.is_file():
        return None
    return json.loads(path.read_text(encoding="utf-8"))
