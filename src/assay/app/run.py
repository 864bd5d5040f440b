"""`assay run`: from words on the command line to a run, its verdict table and its report."""

import json
from pathlib import Path
from typing import Any

import typer

from assay.core.decisions import Preset
from assay.core.run import Run, default_store
from assay.core.study import Study
from assay.errors import UsageError

SHOWN = ("run", "study", "preset", "trials", "failed", "claims", "checks", "report", "seconds")
MARKS = {
    "holds": "green",
    "passes": "green",
    "fails": "red",
    "undecided": "yellow",
    "not tested": "dim",
}


def find_study(target: str, name: str | None) -> Study:
    """A study of a system, or one read from a file."""
    if target.endswith((".yaml", ".yml")) or Path(target).is_file():
        from assay.core.files import read_study

        if name:
            raise UsageError(f"{target} is a file; it holds one study", next=f"Leave out {name!r}.")
        return read_study(target)
    from assay.core.system import find_system

    return find_system(target).study(name)


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """Read ``step.parameter=value``; the value is written as in YAML."""
    import yaml

    found: dict[str, Any] = {}
    for text in settings:
        path, equals, value = text.partition("=")
        if not equals or not path:
            raise UsageError(f"{text!r}", where="--set", accepted="step.parameter=value")
        try:
            found[path.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(f"{value!r} cannot be read", where=f"--set {path}") from error
    return found


def run_study(
    target: str,
    name: str | None,
    *,
    preset: str | None,
    settings: list[str],
    seeds: int | None,
    workers: int | None,
    on: str | None,
    store: Path | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Run or foresee a study; returns the exit code."""
    study = find_study(target, name)
    is_file = Path(target).is_file()
    if preset is None and not is_file and "tiny" in study.presets:
        preset = "tiny"
    values = parse_settings(settings)
    if dry_run:
        return _foresee(study, preset, values, seeds, store, as_json)
    run = study.run(
        preset,
        set=values,
        seeds=seeds,
        store=store,
        workers=workers,
        on=on,
        progress=not as_json,
    )
    if as_json:
        summary = {name: run.summary.get(name) for name in SHOWN}
        summary["errors"] = [e["error"] for e in run.summary["errors"]]
        typer.echo(json.dumps(summary))
    else:
        print_run(run, study.presets.get(preset or "", Preset()))
    return 0 if run.ok else 1


def print_run(run: Run, preset: Preset | None = None) -> None:
    """The verdict table and the path of the report, for people."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console, s = Console(), run.summary
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("", "claim", "verdict", "effect [95 % interval]", "n"):
        table.add_column(column, justify="right" if column == "n" else "left")
    for c in run.claims:
        word = Text(c["verdict"], style=MARKS[c["verdict"]])
        table.add_row(c["id"], c["sentence"], word, _interval(c), str(c["n"] or ""))
    for c in run.checks:
        verdict = {True: "passes", False: "fails", None: "not tested"}[c["passed"]]
        word = Text(verdict, style=MARKS[verdict])
        table.add_row(c["id"], c["sentence"], word, "exact statement", "")
    console.print()
    console.print(table)
    for error in s["errors"]:
        console.print(Text(f"failed: {error['error']}", style="red"))
    failed = f", {s['failed']} failed" if s["failed"] else ""
    noun = "trial" if s["trials"] == 1 else "trials"
    console.print(f"\n{s['trials']} {noun}{failed} in {s['seconds']:.1f} s", highlight=False)
    if preset and preset.note:
        console.print(Text(preset.note, style="dim"))
    if run.report.is_file():
        console.print("report: ", end="")
        console.print(Text(str(run.report), style="bold"), soft_wrap=True)


def _interval(claim: dict[str, Any]) -> str:
    if claim["effect"] is None:
        return claim.get("reason") or ""
    if claim["low"] is None:
        return f"{claim['effect']:.3g}"
    return f"{claim['effect']:.3g} [{claim['low']:.3g}, {claim['high']:.3g}]"


def _foresee(
    study: Study,
    preset: str | None,
    values: dict[str, Any],
    seeds: int | None,
    store: Path | None,
    as_json: bool,
) -> int:
    from assay.core.outlook import outlook
    from assay.core.store import Store

    plan = study.plan(preset, set=values, seeds=seeds)
    lines = outlook(plan, Store(store or default_store()))
    if as_json:
        typer.echo(json.dumps([line.__dict__ for line in lines]))
        return 0
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    style = {"cached": "green", "will run": "yellow", "depends": "dim"}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("step", "", "why"):
        table.add_column(column)
    for line in lines:
        table.add_row(Text(line.step), Text(line.fate, style=style[line.fate]), Text(line.why))
    console = Console()
    console.print(table)
    counts = {fate: sum(line.fate == fate for line in lines) for fate in style}
    said = ", ".join(f"{n} {fate}" for fate, n in counts.items())
    console.print(f"\n{len(plan.trials)} trials, {len(lines)} steps: {said}", highlight=False)
    return 0
