"""`assay list` and `assay show`."""

import json
from typing import Any

import typer

from assay.app.run import find_study
from assay.core.decisions import Assign, Choices, Span
from assay.core.study import Study
from assay.core.system import systems


def list_systems(as_json: bool) -> None:
    """Print the systems with their studies."""
    found = systems()
    if as_json:
        data = [
            {
                "system": s.name,
                "title": s.title,
                "citation": s.citation,
                "main": s.main,
                "studies": list(s.studies),
            }
            for s in found.values()
        ]
        typer.echo(json.dumps(data))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for system in found.values():
        console.print(Text(system.name, style="bold"), Text(system.title))
        console.print(Text(f"  {system.citation}", style="dim"))
        for name in system.studies:
            study = system.study(name)
            main = " (main)" if name == system.main else ""
            console.print(f"  [bold]{name}[/bold]{main}  {study.title}")
            for claim in (*study.claims, *study.checks):
                console.print(Text(f"    {claim.id}  {claim.sentence}", style="dim"))
    console.print("\nassay show SYSTEM tells more; assay run SYSTEM runs its main study.")


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
        _print_study(study, target)


def _print_study(study: Study, target: str) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    found = systems().get(target)
    if found is not None:
        console.print(Text(f"{found.name}: {found.title}", style="bold"))
        console.print(Text(found.citation, style="dim"))
        others = [n for n in found.studies if n != study.name]
        if others:
            console.print(f"other studies: {', '.join(others)}")
    console.print(Text(f"\n{study.name}: {study.title}", style="bold"))
    _section(console, "Steps", _steps(study))
    _section(console, "Decisions", _decisions(study))
    claims = [(c.id, f"{c.sentence} ({c.source})") for c in (*study.claims, *study.checks)]
    _section(console, "Claims and checks", claims)
    _section(console, "Presets", [(n, p.note) for n, p in study.presets.items()])
    seeds = study.seeds if isinstance(study.seeds, int) else len(study.seeds)
    console.print(f"\nseeds: {seeds}; sampler: {study.sampler.kind}")
    console.print("Change a parameter with --set step.parameter=value.")


def _section(console: Any, title: str, rows: list[tuple[str, str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return
    console.print(Text(f"\n{title}", style="bold"))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for name, text in rows:
        table.add_row(f"  {name}", Text(text))
    console.print(table)


def _steps(study: Study) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for step in study.flow.order():
        made = step.component
        size = f" (one per {', '.join(step.over)}: {step.size})" if step.over else ""
        size = " (one per member)" if step.each and not step.over else size
        rows.append((step.name, f"{made.summary}{size}"))
        for param in made.params.values():
            if param.name in step.over:
                value: Any = list(step.over[param.name])
            elif param.name in made.seeds:
                continue
            else:
                value = step.params.get(param.name, "required" if param.required else param.default)
            rows.append(("", f"{step.name}.{param.name} = {value}"))
    return rows


def _decisions(study: Study) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, decision in study.decisions.items():
        if isinstance(decision, Span):
            rows.append((name, f"{decision.path} from {decision.low:g} to {decision.high:g}"))
        elif isinstance(decision, Choices):
            paths = {p.path for _, ps in decision.options for p in ps if isinstance(p, Assign)}
            where = f" ({', '.join(sorted(paths))})" if paths else ""
            rows.append((name, ", ".join(map(str, decision.labels())) + where))
    return rows
