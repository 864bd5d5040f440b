"""`assay run`: from words on the command line to a run, its verdict table and its report."""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import typer

from assay.app.outcome import print_run, summary
from assay.app.screen import screen, stdout_for_one_value, table, word
from assay.app.stores import looked_at
from assay.core.markup import read_yaml
from assay.core.outlook import Line, outlook
from assay.core.study import Study
from assay.errors import UsageError


def is_file(target: str) -> bool:
    """Whether a target means a study file and not a system."""
    return target.endswith((".yaml", ".yml")) or Path(target).is_file()


def find_study(target: str, name: str | None) -> Study:
    """A study of a system, or one read from a file."""
    if is_file(target):
        from assay.core.files import read_study

        if name:
            raise UsageError(f"{target} is a file; it holds one study", next=f"Leave out {name!r}.")
        return read_study(target)
    from assay.core.system import find_system

    return find_system(target).study(name)


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """Read ``step.parameter=value``; the value is written as in YAML.

    Example:
        >>> parse_settings(["flood.manning=0.03", "storm.years=[2, 10]"])
        {'flood.manning': 0.03, 'storm.years': [2, 10]}
    """
    found: dict[str, Any] = {}
    for text in settings:
        path, equals, value = text.partition("=")
        path = path.strip()
        if not equals or not path:
            raise UsageError(
                f"{text!r} sets nothing", where="--set", accepted="step.parameter=value"
            )
        if path in found:
            raise UsageError(f"{path} is set twice", where="--set")
        try:
            found[path] = read_yaml(value)
        except UsageError as error:
            raise error.at(f"--set {path}") from error
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
    if on and workers is not None:
        raise UsageError("--workers and --on exclude each other", next="Leave one of them out.")
    study = find_study(target, name)
    if preset is None and not is_file(target) and "tiny" in study.presets:
        preset = "tiny"
    values = parse_settings(settings)
    if dry_run:
        _foresee(study, preset, values, seeds, store, as_json)
        return 0
    with stdout_for_one_value() if as_json else nullcontext():
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
        typer.echo(json.dumps(summary(run)))
    else:
        print_run(run, study.presets.get(run.summary["preset"]))
    return 0 if run.ok else 1


def _foresee(
    study: Study,
    preset: str | None,
    values: dict[str, Any],
    seeds: int | None,
    store: Path | None,
    as_json: bool,
) -> None:
    plan = study.plan(preset, set=values, seeds=seeds)
    with looked_at(store) as home:
        lines = outlook(plan, home)
    fates = [line.fate for line in lines]
    counts = {fate: fates.count(fate) for fate in ("cached", "will run", "depends")}
    if as_json:
        steps = [{"step": line.step, "fate": line.fate, "why": line.why} for line in lines]
        whole = {"study": study.name, "preset": preset or study.preset or "", "dry_run": True}
        typer.echo(json.dumps({**whole, "trials": len(plan.trials), **counts, "steps": steps}))
        return
    console = screen()
    console.print(table(("step", "", "", "why"), _folded(lines)))
    said = ", ".join(f"{n} {fate}" for fate, n in counts.items() if n)
    console.print(f"\n{len(plan.trials)} trials, {len(lines)} steps: {said}; nothing was run")


def _folded(lines: Sequence[Line]) -> list[tuple[Any, ...]]:
    """One row for the members and trials of a step that share a fate and its reason."""
    alike: dict[tuple[str, ...], list[Line]] = {}
    for line in lines:
        alike.setdefault((line.name, line.fate, line.why), []).append(line)
    rows: list[tuple[Any, ...]] = []
    for (name, fate, why), members in alike.items():
        many = len(members) > 1
        rows.append((name if many else members[0].step, f"x {len(members)}" if many else "",
                     word(fate), why))  # fmt: skip
    return rows
