"""The verbs that say what came of a survey: in the terminal, or as a page with its files."""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from assay.core.run import Run

__all__ = ["analyse", "report"]

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The survey's folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value.")]
MinOption = Annotated[
    int, typer.Option(min=3, help="Fewest teams that a competition's own share is taken from.")
]
BaseOption = Annotated[
    str, typer.Option(help="Of whom shares are taken: shown the question, or answered it.")
]
PairOption = Annotated[
    list[str] | None,
    typer.Option("--pair", metavar="A:B", help="Of those who said what to A, how many said what "
                 "to B; repeatable."),
]  # fmt: skip
StrategyOption = Annotated[
    list[str] | None,
    typer.Option("--strategy", metavar="QUESTION[=OPTION]", help="What is tried against ranks, in "
                 "place of the ready-made list; repeatable."),
]  # fmt: skip
CompareOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Figures to compare with, in place of the published ones."),
]
StoreOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of the store. Default: FOLDER/store.")
]
TABLES = ("flow", "participation", "shares", "numbers", "crosstables", "winners", "comparison")


def analyse(
    folder: Folder,
    min_n: MinOption = 3,
    base: BaseOption = "shown",
    pair: PairOption = None,
    strategy: StrategyOption = None,
    compare: CompareOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what came of a survey, a sentence for every number that may be told."""
    run = _run(folder, store, min_n, base, pair, strategy, compare, page=False, quiet=as_json)
    tables = {name: run.load(f"released.{name}") for name in TABLES}
    if as_json:
        typer.echo(json.dumps({name: _rows(table) for name, table in tables.items()},
                              ensure_ascii=False))  # fmt: skip
        return
    for name, table in tables.items():
        if len(table):
            typer.echo(f"\n{name.capitalize()}")
        for sentence in table.sentence:
            typer.echo(f"  {sentence}")


def report(
    folder: Folder,
    min_n: MinOption = 3,
    base: BaseOption = "shown",
    pair: PairOption = None,
    strategy: StrategyOption = None,
    compare: CompareOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the report of a survey: a page, the same as Markdown, and every number as CSV."""
    run = _run(folder, store, min_n, base, pair, strategy, compare, page=True, quiet=as_json)
    flow = run.load("released.flow")
    counts = dict(zip(flow.stage, map(int, flow.n), strict=True))
    kept = {name: counts[name] for name in ("listed", "started", "completed", "included")}
    if as_json:
        typer.echo(json.dumps({"report": str(run.report), **kept}))
        return
    typer.echo(", ".join(f"{n} {stage}" for stage, n in kept.items()))
    typer.echo(f"Report: {run.report}")


def _run(
    folder: Path,
    store: Path | None,
    min_n: int,
    base: str,
    pair: list[str] | None,
    strategy: list[str] | None,
    compare: Path | None,
    *,
    page: bool,
    quiet: bool,
) -> "Run":
    """Run the analysis on what the folder holds now."""
    from assay.errors import StepError, UsageError
    from assay.systems.competition_survey.collecting import collect
    from assay.systems.competition_survey.handing_on import private_folder
    from assay.systems.competition_survey.jsonl import write_jsonl
    from assay.systems.competition_survey.study import survey

    if base not in ("shown", "answered"):
        raise UsageError(f"no base {base!r}", where="--base", accepted="shown or answered")
    held = collect(folder)
    settings = held.survey.settings
    with tempfile.TemporaryDirectory() as passing:
        lines = Path(passing) / "answers.jsonl"
        write_jsonl(held.answers, lines)
        study = survey(
            settings.title,
            lines,
            instrument=held.survey.instrument,
            competitions=held.survey.competitions,
            kept={
                "rules": settings.inclusion,
                "fastest_seconds": settings.fastest_seconds,
            },
            shares={"min_n": min_n, "base": base},
            numbers={"min_n": min_n},
            crosstables={"pairs": [_pair(said) for said in pair or ()]},
            winners={"strategies": strategy or _fitting(held.instrument)},
            released={"compare": compare},
        )
        place = store or private_folder(folder / "store")
        run = study.run(store=place, workers=0, progress=not quiet, report=page)
    if not run.ok:
        first = run.summary["errors"][0]
        raise StepError(first["error"], where=str(folder))
    return run


def _pair(said: str) -> tuple[str, str]:
    from assay.errors import UsageError

    first, colon, second = said.partition(":")
    if not (first and colon and second):
        raise UsageError(f"{said!r} is no pair", where="--pair", accepted="QUESTION:QUESTION")
    return first, second


def _fitting(instrument: Any) -> list[str]:
    """The ready-made strategies that the instrument asks about."""
    from assay.errors import UsageError
    from assay.systems.competition_survey.winners import STRATEGIES, read_strategy

    found = []
    for name in STRATEGIES:
        try:
            found.append(read_strategy(instrument, name).name)
        except UsageError:  # an instrument of one's own need not ask about it
            continue
    return found


def _rows(table: Any) -> list[dict[str, Any]]:
    """A table as JSON; what is not a number is null."""
    return json.loads(table.to_json(orient="records"))
