"""`assay list` and `assay show`."""

import json
from typing import Any

import typer

from assay.app.run import find_study
from assay.app.screen import one_line, screen, table
from assay.app.tour import committed_results
from assay.core.annotations import type_name
from assay.core.decisions import Assign, Choices, Decision, Span
from assay.core.docstrings import arguments
from assay.core.study import Study
from assay.core.system import System, systems
from assay.core.wording import amount

NARROW = 80
"""Columns below which value and meaning of a parameter share one."""


def list_systems(as_json: bool) -> None:
    """Print the systems with their studies; one that cannot be loaded costs a line."""
    entries = [_entry(system) for system in systems().values()]
    if as_json:
        typer.echo(json.dumps(entries))
        return
    console = screen()
    for entry in entries:
        console.print(f"{entry['system']}  {entry['title']}", style="bold")
        console.print(f"  {entry['citation']}", style="dim")
        for study in entry["studies"]:
            main = " (main)" if study["name"] == entry["main"] else ""
            if "error" in study:
                console.print(f"  {study['name']}{main}: {study['error']}", style="red")
                continue
            console.print(f"  {study['name']}{main}: {study['title']}")
            for claim in (*study["claims"], *study["checks"]):
                console.print(f"    {claim['id']}  {claim['sentence']}", style="dim")
    console.print("\n`assay show SYSTEM` tells more; `assay run SYSTEM` runs its main study.")


def _entry(system: System) -> dict[str, Any]:
    studies: list[dict[str, Any]] = []
    for name in system.studies:
        try:
            study = system.study(name)
        except Exception as error:  # whatever a system's modules raise, the others are listed
            studies.append({"name": name, "error": one_line(error)})
            continue
        studies.append(
            {
                "name": name,
                "title": study.title,
                "claims": [{"id": c.id, "sentence": c.sentence} for c in study.claims],
                "checks": [{"id": c.id, "sentence": c.sentence} for c in study.checks],
                "presets": list(study.presets),
            }
        )
    return {
        "system": system.name,
        "title": system.title,
        "citation": system.citation,
        "main": system.main,
        "studies": studies,
    }


def show_study(target: str, name: str | None, yaml: bool, as_json: bool) -> None:
    """Print one study."""
    study = find_study(target, name)
    if yaml:
        from assay.core.files import to_yaml

        typer.echo(to_yaml(study), nl=False)
    elif as_json:
        from assay.core.files import study_to_dict

        typer.echo(json.dumps(study_to_dict(study), default=str))
    else:
        _print_study(study, systems().get(target))


def _print_study(study: Study, system: System | None) -> None:
    console = screen()
    if system is not None:
        console.print(f"{system.name}: {system.title}", style="bold")
        console.print(system.citation, style="dim")
        others = [n for n in system.studies if n != study.name]
        if others:
            console.print(f"other studies: {', '.join(others)}")
    console.print(f"\n{study.name}: {study.title}", style="bold")
    claims = [(c.id, f"{c.sentence} ({c.source})") for c in (*study.claims, *study.checks)]
    sections = {
        "Decisions": [(n, _decision(d)) for n, d in study.decisions.items()],
        "Claims and checks": claims,
        "Presets": [(n, p.note) for n, p in study.presets.items()],
        "Expect (results at small)": _expected(study, system),
    }
    console.print("\nSteps, their parameters and values", style="bold")
    rows = _steps(study)
    if console.width < NARROW:
        rows = [(name, " ".join(filter(None, rest))) for name, *rest in rows]
    console.print(table([""] * len(rows[0]), rows))
    for title, rows in sections.items():
        if rows:
            console.print(f"\n{title}", style="bold")
            console.print(table(("", ""), [(f"  {a}", b) for a, b in rows]))
    seeds = study.seeds if isinstance(study.seeds, int) else len(study.seeds)
    console.print(f"\nseeds: {seeds}; sampler: {study.sampler.kind}")
    for claim in study.claims:
        power = claim.power(seeds) if claim.units == ("seed",) else None
        if power is not None:
            console.print(f"{claim.id} holds with a chance of {power:.0%} if its design is true")
    console.print("Change a parameter with --set step.parameter=value.")


def _steps(study: Study) -> list[tuple[str, ...]]:
    """Every step with what it does, and under it its parameters with value and meaning."""
    varied = {
        p.path: name
        for name, decision in study.decisions.items()
        for _, patches in (decision.options if isinstance(decision, Choices) else [decision.at(0)])
        for p in patches
        if isinstance(p, Assign)
    }
    rows: list[tuple[str, ...]] = []
    for step in study.flow.order():
        made = step.component
        members = f" (one per {', '.join(step.over)}: {step.size})" if step.over else ""
        members = " (one per member)" if step.each and not step.over else members
        rows.append((f"  {step.name}", "", f"{made.summary}{members}".replace("``", "")))
        meaning = arguments(made.function)
        for param in made.params.values():
            path = f"{step.name}.{param.name}"
            if param.is_seed and param.name not in step.params:
                continue
            default = "required" if param.required else param.default
            value: Any = step.params.get(param.name, default)
            if param.name in step.over:
                value = list(step.over[param.name])
            if path in varied:
                value = f"varied by decision {varied[path]!r}"
            told = meaning.get(param.name, "").replace("``", "")
            rows.append((f"    {path}", f"{value}", told or type_name(param.type)))
    return rows


def _decision(decision: Decision) -> str:
    if isinstance(decision, Span):
        log = " (logarithmic)" if decision.log else ""
        return f"{decision.path} from {decision.low:g} to {decision.high:g}{log}"
    labels = ", ".join(map(str, decision.labels()))
    paths = {p.path for _, ps in decision.options for p in ps if isinstance(p, Assign)}
    return f"{labels} ({', '.join(sorted(paths))})" if paths else labels


def _expected(study: Study, system: System | None) -> list[tuple[str, str]]:
    """Verdicts and effects of the committed results."""
    found = committed_results(system, study.name) if system else None
    if found is None:
        return []
    claims = [
        (c["id"], f"{c['verdict']} {amount(c['effect'], c['effect_unit'])}")
        for c in found["claims"]
        if c["effect"] is not None
    ]
    passed = {True: "passes", False: "fails", None: "not tested"}
    return claims + [(c["id"], passed[c["passed"]]) for c in found["checks"]]
