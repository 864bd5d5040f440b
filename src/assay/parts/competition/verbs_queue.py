"""The verbs of the queue: hand in, score what waits, and say where a submission stands."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from assay.parts.competition.challenge import Challenge
    from assay.parts.competition.queue import Queue

__all__ = ["DatabaseOption", "QueuedOption", "finals", "status", "submit", "work"]

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The challenge's folder.")]
PhaseOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Which phase; the last one if not given.")
]
DatabaseOption = Annotated[
    str | None,
    typer.Option(metavar="URL", help="postgresql://user@host/database; FOLDER/queue.sqlite if "
                 "not given."),
]  # fmt: skip
QueuedOption = Annotated[
    bool,
    typer.Option("--queue", help="Rank the final submissions of the queue, not the folder's."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value.")]


def submit(
    folder: Folder,
    team: Annotated[str, typer.Argument(metavar="TEAM", help="Who hands in.")],
    submission: Annotated[Path, typer.Argument(metavar="ZIP", help="What is handed in.")],
    phase: PhaseOption = None,
    host: Annotated[
        bool, typer.Option("--host", help="The organisers' own: scored, never ranked.")
    ] = False,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hand in a submission; when this returns it is on the disk and in the queue."""
    with _queue(folder, database) as (challenge, queue):
        ticket = queue.submit(team, phase or challenge.phases[-1].name, submission, host=host)
    if as_json:
        typer.echo(json.dumps(ticket._asdict()))
        return
    again = " These bytes were handed in before; no try was taken." if ticket.again else ""
    left = "" if ticket.tries_left is None else f" {ticket.tries_left} tries left."
    typer.echo(f"{ticket.id}  {ticket.state}.{again}{left}")


def work(
    folder: Folder,
    drain: Annotated[bool, typer.Option("--drain", help="Stop when nothing waits.")] = False,
    database: DatabaseOption = None,
) -> None:
    """Score what waits in the queue, until Ctrl-C."""
    from functools import partial

    from assay.parts.competition.worker import work as loop

    with _queue(folder, database) as (challenge, queue):
        typer.echo("Scoring what waits; Ctrl-C stops.", err=True)
        taken = loop(queue, partial(_evaluated, challenge, folder / "truth"), drain=drain)
    typer.echo(f"{taken} submissions taken.")


def status(
    folder: Folder,
    ticket: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Of one submission; all if not given.")
    ] = None,
    phase: PhaseOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say where submissions stand: what waits, what is scored, what failed and why."""
    with _queue(folder, database) as (challenge, queue):
        name = phase or challenge.phases[-1].name
        found = [queue.status(ticket)] if ticket else queue.entries(name, hosts=True)
    if as_json:
        typer.echo(json.dumps([one._asdict() for one in found], ensure_ascii=False))
        return
    for one in found:
        place = f", {one.position} in the queue" if one.position else ""
        beat = f", last sign of life {one.beaten}" if one.state == "running" and one.beaten else ""
        why = f": {one.code}" if one.code else ""
        typer.echo(f"{one.id}  {one.team:<20}{one.received}  {one.state}{why}{place}{beat}")
        for problem in one.problems[:5]:
            typer.echo(f"    {problem}")
        if one.tail and ticket:
            typer.echo(one.tail)
    if not found:
        typer.echo("Nothing has been handed in.")


@contextmanager
def _queue(folder: Path, database: str | None) -> "Iterator[tuple[Challenge, Queue]]":
    """The queue of a challenge, whose rules are those of its file."""
    from assay.parts.competition.challenge import read_challenge
    from assay.parts.competition.queue import Queue
    from assay.parts.competition.queue_tables import METADATA
    from assay.parts.competition.rules import PhaseRules, Rules
    from assay.parts.databases import open_database

    challenge = read_challenge(folder)
    phases = {
        phase.name: PhaseRules(
            closes=phase.closes, opens=phase.opens, tries=phase.tries or challenge.limits.tries
        )
        for phase in challenge.phases
    }
    opened = open_database(database or folder / "queue.sqlite", METADATA)
    try:
        rules = Rules(phases, max_bytes=challenge.limits.bytes)
        yield challenge, Queue(opened, folder / "received", rules)
    finally:
        opened.close()


def _evaluated(challenge: "Challenge", truth: Path, phase: str, path: Path) -> dict[str, Any]:
    """What the queue keeps of a submission that was scored; NaN is null."""
    from assay.parts.competition.rules import Refusal
    from assay.parts.competition.scoring import score
    from assay.parts.competition.submission import check

    checked = check(challenge, path, phase=phase)
    if checked.submission is None:
        raise Refusal(checked.problems[0].code, [str(problem) for problem in checked.problems])
    scored = score(challenge, truth, checked)
    values = {
        f"{row['task']} {row['metric']}": None if row["reason"] else row["value"]
        for row in scored.overall.to_dict("records")
        if not row["extra"]
    }
    return {"team": checked.submission.manifest.team, "overall": values}


@contextmanager
def finals(folder: Path, phase: str, database: str | None) -> Iterator[Path]:
    """A folder with the final submissions of the queue, named after their teams."""
    from assay.core.figures import file_name

    with _queue(folder, database) as (challenge, queue), tempfile.TemporaryDirectory() as passing:
        for one in queue.finals(phase, lambda result: _worth(challenge, result)):
            source = queue.intact(one.content)
            shutil.copyfile(source, Path(passing) / f"{file_name(one.team)}-{one.number}.zip")
        yield Path(passing)


def _worth(challenge: "Challenge", result: Mapping[str, Any]) -> float | None:
    """What a result is worth by the first metric, more being better."""
    task, said = next(iter(challenge.tasks.items()))
    measure = said.metrics[0]
    value = result["overall"].get(f"{task} {measure.id}")
    return None if value is None else -value if measure.small_better else value
