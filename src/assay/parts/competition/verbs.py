"""``assay challenge``: make a challenge, look it over, check submissions, score and rank them."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.parts.competition import verbs_queue, verbs_run

if TYPE_CHECKING:
    from assay.core.run import Run

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run a challenge: rules in one file, submissions as data, a board that can be trusted.",
)
app.command()(verbs_queue.submit)
app.command()(verbs_queue.work)
app.command()(verbs_queue.status)
app.command()(verbs_run.run)

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The challenge's folder.")]
Given = Annotated[Path, typer.Argument(metavar="SUBMISSION", help="A folder or a .zip.")]
PhaseOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Which phase; the last one if not given.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value.")]
StoreOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of the store. Default: FOLDER/store.")
]


@app.command()
def init(
    folder: Folder,
    name: Annotated[str, typer.Option(help="Small letters, digits and _.")] = "my_challenge",
) -> None:
    """Make a small challenge that works, to be changed into one's own."""
    from assay.parts.competition.starting import init as make

    make(folder, name)
    typer.echo(f"{folder} holds a challenge; its README.md says what is what.")
    typer.echo(f"Then: assay challenge lint {folder}")


@app.command()
def lint(folder: Folder, as_json: JsonOption = False) -> None:
    """Say what to look at before a challenge opens. Exit code 1: there is something."""
    from assay.parts.competition.challenge import read_challenge
    from assay.parts.competition.lint import lint as look

    findings = look(read_challenge(folder), folder)
    if as_json:
        typer.echo(json.dumps([one._asdict() for one in findings], ensure_ascii=False))
    else:
        for one in findings:
            typer.echo(f"{one.code:<20}{one.where}  {one.sentence}")
        typer.echo(f"{len(findings)} findings." if findings else "Nothing to say.")
    if findings:
        raise typer.Exit(1)


@app.command()
def design(
    folder: Folder,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to; printed if not given.")
    ] = None,
) -> None:
    """Write the challenge design (BIAS): what is told, and what is not told yet."""
    from assay.core.store import write_text
    from assay.parts.competition.bias import design as page
    from assay.parts.competition.challenge import read_challenge

    text = page(read_challenge(folder))
    if to is None:
        typer.echo(text)
    else:
        write_text(to, text)
        typer.echo(f"The design: {to}")


@app.command()
def check(
    folder: Folder, submission: Given, phase: PhaseOption = None, as_json: JsonOption = False
) -> None:
    """Check a submission as it is checked officially. Exit code 1: it would be refused."""
    from assay.parts.competition.challenge import read_challenge
    from assay.parts.competition.submission import check as look

    challenge = read_challenge(folder)
    found = look(challenge, submission, phase=_phase(challenge, phase))
    if as_json:
        problems = [vars(one) for one in found.problems]
        told = {"accepted": not problems, "problems": problems, "more": found.more}
        typer.echo(json.dumps(told, ensure_ascii=False))
    else:
        for one in found.problems:
            typer.echo(str(one))
        if found.submission is not None:
            given = found.submission
            typer.echo(f"Accepted: {given.manifest.team}, {len(given.cases)} cases.")
        else:
            typer.echo(f"Refused: {len(found.problems) + found.more} problems.")
    if found.submission is None:
        raise typer.Exit(1)


@app.command()
def score(
    folder: Folder, submission: Given, phase: PhaseOption = None, as_json: JsonOption = False
) -> None:
    """Score one submission by every metric."""
    from assay.errors import DataError
    from assay.parts.competition.challenge import ChallengeFolder, read_challenge
    from assay.parts.competition.scoring import score as judge
    from assay.parts.competition.submission import check as look

    challenge = read_challenge(folder)
    found = look(challenge, submission, phase=_phase(challenge, phase))
    if found.submission is None:
        more = len(found.problems) + found.more - 1
        also = f"; {more} more" if more else ""
        raise DataError(f"is refused: {found.problems[0]}{also}", where=str(submission))
    scored = judge(challenge, ChallengeFolder(folder).truth, found)
    if as_json:
        typer.echo(json.dumps({"overall": _rows(scored.overall), "by_case": _rows(scored.by_case)}))
        return
    for row in scored.overall.to_dict("records"):
        gone = f", {row['missing']} without a prediction" if row["missing"] else ""
        value = row["reason"] or f"{row['value']:.6g}"
        typer.echo(f"{row['task']} {row['metric']:<40}{value:>12}  n = {row['n']}{gone}")


@app.command()
def rank(
    folder: Folder,
    phase: PhaseOption = None,
    queued: verbs_queue.QueuedOption = False,
    database: verbs_queue.DatabaseOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the board of a phase."""
    run = _run(folder, phase, queued, database, store, page=False, quiet=as_json)
    board = run.load("judged.board")
    if as_json:
        typer.echo(json.dumps(_rows(board), ensure_ascii=False))
        return
    for row in board.to_dict("records"):
        place = "   -" if row["reason"] else f"{row['place']:>4g}"
        said = row["reason"] or f"mean rank {row['mean_rank']:.3g}"
        typer.echo(f"{place}  {row['entry']:<24}{row['team']:<24}{said}")


@app.command()
def report(
    folder: Folder,
    phase: PhaseOption = None,
    queued: verbs_queue.QueuedOption = False,
    database: verbs_queue.DatabaseOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the report of a phase: the board, how far it holds, every case, every problem."""
    run = _run(folder, phase, queued, database, store, page=True, quiet=as_json)
    board = run.load("judged.board")
    ranked = int(board["place"].notna().sum())
    if as_json:
        told = {"report": str(run.report), "entries": len(board), "ranked": ranked}
        typer.echo(json.dumps(told))
        return
    typer.echo(f"{len(board)} entries, {ranked} ranked")
    typer.echo(f"Report: {run.report}")


def _run(
    folder: Path,
    phase: str | None,
    queued: bool,
    database: str | None,
    store: Path | None,
    *,
    page: bool,
    quiet: bool,
) -> "Run":
    """Judge what the folder, or the queue, holds now."""
    from assay.errors import StepError
    from assay.parts.competition.challenge import ChallengeFolder, read_challenge
    from assay.parts.competition.reporting import challenge_report

    name = _phase(read_challenge(folder), phase)
    handed_in = ChallengeFolder(folder).submissions
    with verbs_queue.finals(folder, name, database) if queued else nullcontext(handed_in) as held:
        study = challenge_report(folder, name, held, pictures=page)
        run = study.run(store=store or folder / "store", workers=0, progress=not quiet, report=page)
    if not run.ok:
        raise StepError(run.summary["errors"][0]["error"], where=str(folder))
    return run


def _phase(challenge: Any, phase: str | None) -> str:
    return phase or challenge.phases[-1].name


def _rows(table: Any) -> list[dict[str, Any]]:
    """A table as JSON; what is not a number is null."""
    return json.loads(table.to_json(orient="records", double_precision=15))
