"""The verbs that look after a store: runs, report, verify, reindex, gc."""

import json
from datetime import UTC, datetime
from pathlib import Path

import typer

from assay.app.run import SHOWN, print_run
from assay.core.garbage import collect, find_garbage, verify
from assay.core.index import Index
from assay.core.run import Run, default_store
from assay.core.store import Store
from assay.errors import UsageError, did_you_mean


def open_store(path: Path | None) -> Store:
    """The store at ``path`` or the default one.

    Raises:
        UsageError: If there is none; looking does not make one.
    """
    root = path or default_store()
    if not (root / "layout").is_file():
        raise UsageError(
            "no store", where=str(root), next="Run a study first, or name one with --store."
        )
    return Store(root)


def list_runs(path: Path | None, as_json: bool) -> None:
    """Print all runs."""
    rows = Index(open_store(path)).runs()
    if as_json:
        typer.echo(json.dumps(rows))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("run", "study", "preset", "status", "trials", "seconds", "started (UTC)"):
        table.add_column(column)
    for row in rows:
        started = datetime.fromtimestamp(row["started"], UTC)
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.1f}"
        cells = [row["run"], row["study"], row["preset"], row["status"], str(row["trials"])]
        table.add_row(*map(Text, [*map(str, cells), seconds, f"{started:%Y-%m-%d %H:%M}"]))
    Console().print(table)


def show_report(name: str, path: Path | None, as_json: bool) -> None:
    """Print one run's verdicts and the path of its report."""
    store = open_store(path)
    run = Run(store, _find_run(store, name))
    if as_json:
        typer.echo(json.dumps({key: run.summary.get(key) for key in SHOWN}))
    else:
        print_run(run)


def _find_run(store: Store, name: str) -> str:
    rows = [r["run"] for r in Index(store).runs()]
    if name == "last" and rows:
        return rows[0]
    found = [r for r in rows if r.startswith(name)]
    if len(found) != 1:
        what = f"{len(found)} runs begin with {name!r}" if found else f"no run {name!r}"
        raise UsageError(what, where=str(store.root), next=did_you_mean(name, rows))
    return found[0]


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
        data = {"paths": len(garbage.paths), "bytes": garbage.bytes, "deleted": not dry_run}
        typer.echo(json.dumps(data))
    else:
        verb = "would free" if dry_run else "freed"
        typer.echo(f"{verb} {garbage.bytes / 2**20:.1f} MiB in {len(garbage.paths)} places")
