"""A challenge's report: its submissions checked, scored and ranked, as a run with a page."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from assay.core.claims import Check
from assay.core.component import File, Folder, component
from assay.core.records import Records
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.errors import UsageError
from assay.parts.competition.board import Board, Entry, make_board, scheme_of
from assay.parts.competition.challenge import Challenge, ChallengeFolder, read_challenge
from assay.parts.competition.failures import Failure, worst_frames
from assay.parts.competition.scoring import score
from assay.parts.competition.submission import check
from assay.parts.ranking.stability import Stability, stability, too_small

__all__ = ["Judged", "challenge_report", "entries_in", "judge"]

PROBLEMS = ("entry", "code", "file", "line", "what", "accepted")


class Judged(NamedTuple):
    """Everything that a report tells.

    Attributes:
        measures: ``entries``, ``ranked``, and two exact statements about the board:
            ``ranked_without_score`` and ``board_changed``.
        board: The table of `Board`.
        by_case: Every value by case, with its ``entry``.
        overall: Every number of every entry, with its ``entry``.
        problems: What is wrong with the refused ones.
        stability: Of the ranking by each metric with values by case.
        failures: Of the best entry that missed anything, where boxes are asked for.
    """

    measures: Records
    board: pd.DataFrame
    by_case: pd.DataFrame
    overall: pd.DataFrame
    problems: pd.DataFrame
    stability: list[Stability]
    failures: list[Failure]


@component(version="2", requires=("numpy", "scipy", "pandas"))
def judge(
    *, file: File, truth: Folder, submissions: Folder, phase: str, public: Folder | None = None
) -> Judged:
    """Check, score and rank every submission of a folder.

    Args:
        file: The challenge's ``challenge.yaml``.
        truth: Its folder ``truth``.
        submissions: Folders or zips, one for each entry.
        phase: Whose cases were to be predicted.
        public: Its folder ``public``, with the pictures for the report if there are any.
    """
    challenge = read_challenge(file.parent)
    entries, problems = entries_in(challenge, truth, submissions, phase)
    board = make_board(challenge, entries)
    again = make_board(challenge, entries[::-1])
    scored = [entry for entry in entries if entry.scored is not None]
    measures = Records()
    ranked = board.table.dropna(subset=["place"])
    complete = ranked.dropna(subset=list(board.rankings))
    measures.add("entries", len(entries), "entries")
    measures.add("ranked", len(ranked), "entries")
    measures.add("ranked_without_score", len(ranked) - len(complete), "entries")
    measures.add("board_changed", board.table.to_csv() != again.table.to_csv())
    return Judged(
        measures,
        board.table,
        _stacked([e.scored.by_case.assign(entry=e.name) for e in scored if e.scored]),
        _stacked([e.scored.overall.assign(entry=e.name) for e in scored if e.scored]),
        problems,
        _stabilities(challenge, board),
        _failures(challenge, truth, submissions, board, public, phase),
    )


def entries_in(
    challenge: Challenge, truth: Path, submissions: Path, phase: str
) -> tuple[list[Entry], pd.DataFrame]:
    """Every submission of a folder, scored if it can be, and what is wrong with the others."""
    entries, problems = [], []
    for path in sorted(submissions.iterdir()):
        if path.name.startswith("."):
            continue
        checked = check(challenge, path, phase=phase)
        given = checked.submission
        problems += [
            (path.name, p.code, p.file, p.line, p.what, p.accepted) for p in checked.problems
        ]
        if given is None:
            said = f"refused, {checked.problems[0]}"
            entries.append(Entry(path.stem, path.stem, "", None, said))
        else:
            manifest, scored = given.manifest, score(challenge, truth, checked)
            entries.append(Entry(path.stem, manifest.team, manifest.method, scored))
    table = pd.DataFrame(problems, columns=list(PROBLEMS)).astype({"line": "Int64"})
    return entries, table


def _stacked(tables: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _stabilities(challenge: Challenge, board: Board) -> list[Stability]:
    rule = challenge.ranking.bootstrap
    return [
        stability(scores, scheme_of(challenge), draws=rule.draws, seed=rule.seed)
        for scores in board.scores.values()
        if rule.draws and not too_small(scores)
    ]


def _failures(
    challenge: Challenge, truth: Path, submissions: Path, board: Board, public: Path | None,
    phase: str,
) -> list[Failure]:  # fmt: skip
    """Those of the first entry of the board that missed anything."""
    paths = {path.stem: path for path in submissions.iterdir()}
    ranked = board.table.dropna(subset=["place"])
    found = (
        worst_frames(challenge, truth, paths[entry], public, phase) for entry in ranked["entry"]
    )
    return next(filter(None, found), [])


def challenge_report(
    folder: Path, phase: str, submissions: Path, *, pictures: bool = True
) -> Study:
    """The study that judges the submissions to a challenge.

    Args:
        folder: Of the challenge.
        phase: One of its phases.
        submissions: Folders or zips, one for each entry.
        pictures: Whether those of failures are wanted; all that is public is read for them.

    Raises:
        UsageError: If there is no submission.
    """
    challenge, place = read_challenge(folder), ChallengeFolder(folder)
    challenge.cases_of(phase)
    held = submissions.iterdir() if submissions.is_dir() else ()
    if not any(not path.name.startswith(".") for path in held):
        raise UsageError("no submission", where=str(submissions), accepted="folders or zips")
    flow = Workflow(challenge.name)
    public = str(place.public) if pictures and place.public.is_dir() else None
    flow.step("judged", judge, file=str(place.file), truth=str(place.truth),
              submissions=str(submissions), phase=phase, public=public)  # fmt: skip
    return Study(
        flow,
        title=challenge.title,
        checks=[
            Check(
                id="K1",
                sentence="Whoever has a place has a finite number for every metric",
                source="the rules of the board",
                measure="ranked_without_score",
                equals=0.0,
            ),
            Check(
                id="K2",
                sentence="The board is the same when it is made again in another order",
                source="the rules of the board",
                measure="board_changed",
                equals=0.0,
            ),
        ],
        figures="assay.parts.competition.figures:board_figures",
    )
