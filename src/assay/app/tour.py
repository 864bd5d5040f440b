"""`assay tour`: every system's main study at tiny, beside the committed results at small."""

import json
from pathlib import Path
from typing import Any

import typer

from assay.app.run import print_run
from assay.core.run import Run, default_store
from assay.core.system import System, systems


def run_tour(store: Path | None, workers: int | None, as_json: bool) -> int:
    """Run every system; returns 1 if a trial of one of them failed."""
    from assay.core.report import write_index

    root = store or default_store()
    entries: list[dict[str, Any]] = []
    failed = False
    for system in systems().values():
        study = system.study()
        if not as_json:
            typer.echo(f"\n{system.name}: {study.title}")
        run = study.run("tiny", store=root, workers=workers, progress=not as_json)
        failed |= not run.ok
        entries.append(_entry(system, run))
        if not as_json:
            print_run(run)
    page = Path(root) / "tour.html"
    write_index(entries, page)
    if as_json:
        typer.echo(json.dumps({"systems": entries, "report": str(page.absolute())}))
    else:
        typer.echo(f"\nall on one page: {page.absolute()}")
    return int(failed)


def _entry(system: System, run: Run) -> dict[str, Any]:
    return {
        "system": system.name,
        "title": system.title,
        "study": run.summary["study"],
        "tiny": run.summary,
        "small": committed_results(system, run.summary["study"]),
    }


def committed_results(system: System, study: str) -> dict[str, Any] | None:
    """The results at small that lie in the system's folder, if there are any."""
    folder = system.folder()
    path = folder / "results" / f"{study}.small.json" if folder else None
    if path is None or not path.is_file():
        return None
    return json.loads(path.read_text(encoding="utf-8"))
