"""The verbs that look after a store: runs, report, verify, reindex, gc."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from assay.app.outcome import print_run, summary
from assay.app.screen import screen, table
from assay.core.disk import writing
from assay.core.garbage import collect, find_garbage, verify
from assay.core.index import Index
from assay.core.run import Run, default_store
from assay.core.store import Store
from assay.errors import UsageError, did_you_mean


def _is_store(root: Path) -> bool:
    return (root / "layout").is_file()


def open_store(path: Path | None) -> Store:
    """The store at ``path`` or the default one.

    Raises:
        UsageError: If there is none; looking does not make one.
    """
    root = path or default_store()
    if not _is_store(root):
        raise UsageError(
            "no store", where=str(root), next="Run a study first, or name one with --store."
        )
    return Store(root)


@contextmanager
def looked_at(path: Path | None) -> Iterator[Store]:
    """The store at ``path`` or the default one; an empty one for a moment if there is none."""
    root = path or default_store()
    if _is_store(root):
        yield Store(root)
        return
    with tempfile.TemporaryDirectory(prefix="assay-") as empty:
        yield Store(empty)


def list_runs(path: Path | None, as_json: bool) -> None:
    """Print all runs."""
    rows = Index(open_store(path)).runs()
    if as_json:
        typer.echo(json.dumps(rows))
        return
    cells = [
        (
            row["run"],
            row["study"],
            row["preset"] or "",
            row["status"],
            str(row["trials"]),
            "" if row["seconds"] is None else f"{row['seconds']:.1f}",
            f"{datetime.fromtimestamp(row['started'], UTC):%Y-%m-%d %H:%M}",
        )
        for row in rows
    ]
    head = ("run", "study", "preset", "status", "trials", "seconds", "started (UTC)")
    screen().print(table(head, cells, right=["trials", "seconds"]))


def show_report(name: str, path: Path | None, as_json: bool) -> None:
    """Print one run's verdicts and the path of its report."""
    store = open_store(path)
    run = Run(store, _find_run(store, name))
    if run.summary["status"] in ("running", "stopped"):
        raise UsageError(
            "has not finished", where=run.name, next="If it was stopped, run the study again."
        )
    if as_json:
        typer.echo(json.dumps(summary(run)))
    else:
        print_run(run)


def _find_run(store: Store, name: str) -> str:
    rows = [r["run"] for r in Index(store).runs()]
    if name == "last" and rows:
        return rows[0]
    found = [r for r in rows if r.startswith(name)]
    if name in rows or len(found) == 1:
        return name if name in rows else found[0]
    if found:
        raise UsageError(
            f"{len(found)} runs begin with {name!r}",
            where=str(store.root),
            next=f"Say more, for example {found[0]!r}.",
        )
    hint = did_you_mean(name, rows) or "There are no runs yet."
    raise UsageError(f"no run {name!r}", where=str(store.root), next=hint)


def export_value(
    name: str,
    output: str,
    to: Path,
    trial: int,
    member: list[str],
    path: Path | None,
    as_json: bool,
) -> None:
    """Copy one value of a run out of the store, whole or not at all."""
    store = open_store(path)
    run = Run(store, _find_run(store, name))
    found = run.file(output, trial=trial, **_member(run, output, trial, member))
    if to.exists():
        raise UsageError("is there already", where=str(to), accepted="a new name")
    with writing(to.parent):
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".assay-", dir=to.parent) as beside:
            copy = Path(beside) / "copy"
            shutil.copytree(found, copy) if found.is_dir() else shutil.copyfile(found, copy)
            copy.rename(to)
    typer.echo(json.dumps({"path": str(to)}) if as_json else str(to))


def _member(run: Run, output: str, trial: int, said: list[str]) -> dict[str, Any]:
    """The member that was named by texts, with its values as they are."""
    told = dict[str, Any]()
    for text in said:
        name, is_there, value = text.partition("=")
        if not is_there:
            raise UsageError(f"--member {text}", accepted="NAME=VALUE, for example fold=1")
        told[name] = value
    steps = run.trials[trial]["steps"] if trial < len(run.trials) else {}
    for one in steps.get(output.partition(".")[0], []):
        values = {name: one["member"].get(name) for name in told}
        if {name: str(value) for name, value in values.items()} == told:
            return values
    return told


def verify_store(path: Path | None, as_json: bool) -> int:
    """Check every value; exit code 1 if something was damaged."""
    damage = verify(open_store(path))
    if as_json:
        typer.echo(json.dumps(damage.__dict__))
    else:
        for name in damage.damaged:
            typer.echo(f"damaged: {name}")
        typer.echo(f"{damage.steps} steps, {damage.values} values, {len(damage.damaged)} damaged")
        if damage.damaged:
            typer.echo("what was damaged lies in quarantine; the next run computes it again")
    return 1 if damage.damaged else 0


def reindex_store(path: Path | None, as_json: bool) -> None:
    """Rebuild the index."""
    runs, steps = Index(open_store(path)).rebuild()
    if as_json:
        typer.echo(json.dumps({"runs": runs, "steps": steps}))
    else:
        typer.echo(f"{runs} runs and {steps} steps indexed")


def collect_garbage(path: Path | None, drop: list[str], dry_run: bool, as_json: bool) -> None:
    """Delete what no run refers to."""
    store = open_store(path)
    garbage = find_garbage(store, drop)
    if not dry_run:
        collect(store, garbage)
    if as_json:
        data = {
            "paths": len(garbage.paths),
            "bytes": garbage.bytes,
            "deleted": not dry_run,
            "held": garbage.held,
        }
        typer.echo(json.dumps(data))
    else:
        verb = "would free" if dry_run else "freed"
        typer.echo(f"{verb} {garbage.bytes / 2**20:.1f} MiB in {len(garbage.paths)} places")
        if garbage.held:
            typer.echo(f"{garbage.held[0]} is under way: everything else is kept until it ends")
