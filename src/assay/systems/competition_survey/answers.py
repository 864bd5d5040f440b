"""Answers as tables: what check and analysis read, whatever the answers came from.

Two tables. `respondents` has one row for each:

    respondent   opaque, never a name
    competition, team
    status       invited, started or completed
    instrument   hash of the questions that were asked; empty where nothing was answered
    seconds      from the first look at a section to submitting first; NaN where it is not known

`answers` has one row for each value:

    respondent, question
    row          of a matrix; empty otherwise
    value        a text: one row for each option chosen, numbers as decimals, truth as true or false

Words for the option `other` stand under the question ``<id>_other``. Names and addresses never
enter. Only what was submitted is an answer: of who has started, no answer stands here.
"""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from assay.errors import DataError, did_you_mean
from assay.systems.competition_survey.instrument import Instrument
from assay.systems.competition_survey.show_if import Condition
from assay.systems.competition_survey.storage import Kept, normalised

__all__ = [
    "ANSWERS",
    "LONGEST_SECONDS",
    "RESPONDENTS",
    "STATUSES",
    "Answers",
    "Competition",
    "applies",
    "collected",
    "holds",
    "read_competitions",
    "read_text",
    "rows_of",
    "said",
    "tables",
]

RESPONDENTS = ("respondent", "competition", "team", "status", "instrument", "seconds")
ANSWERS = ("respondent", "question", "row", "value")
STATUSES = ("invited", "started", "completed")
LONGEST_SECONDS = 1e9
LARGEST_BYTES = 200_000_000


class Answers(NamedTuple):
    """Who was asked, and what they answered; the columns are those of the module."""

    respondents: pd.DataFrame
    answers: pd.DataFrame


class Competition(NamedTuple):
    """One competition of the organiser's table.

    Attributes:
        name: Its name.
        teams: Those that took part, in the order of the file; none where they are not known.
        ranks: By team, 1 is the best; a team without one is not there.
    """

    name: str
    teams: tuple[str, ...]
    ranks: dict[str, int]


def tables(respondents: Iterable[tuple[Any, ...]], answers: Iterable[tuple[Any, ...]]) -> Answers:
    """The two tables from rows; answers in the order of their respondents.

    Args:
        respondents: Rows as `RESPONDENTS` names them.
        answers: Rows as `ANSWERS` names them.

    Raises:
        DataError: If a respondent is there twice, an answer is nobody's, or a status is unknown.
    """
    people = pd.DataFrame(list(respondents), columns=list(RESPONDENTS))
    people = people.astype(dict.fromkeys(RESPONDENTS[:-1], "str") | {"seconds": float})
    values = pd.DataFrame(list(answers), columns=list(ANSWERS)).astype("str")
    if people.respondent.duplicated().any():
        twice = people.respondent[people.respondent.duplicated()].iloc[0]
        raise DataError(f"respondent {twice!r} is there twice", where="answers")
    if unknown := set(people.status) - set(STATUSES):
        raise DataError(
            f"no status {min(unknown)!r}", where="answers", accepted=", ".join(STATUSES)
        )
    order = pd.Index(people.respondent).get_indexer(values.respondent)
    if (order < 0).any():
        raise DataError(f"no respondent {values.respondent[order < 0].iloc[0]!r}", where="answers")
    values = values.iloc[np.argsort(order, kind="stable")].reset_index(drop=True)
    return Answers(people, values)


def collected(everyone: Iterable[Kept]) -> Answers:
    """The answers of a survey's database (`Storage.everyone`)."""
    people, values = [], []
    for kept in everyone:
        status = "completed" if kept.answers is not None else "started" if kept.started else ""
        people.append(
            (kept.respondent, kept.competition, kept.team, status or "invited", kept.instrument,
             math.nan if kept.seconds is None else kept.seconds)
        )  # fmt: skip
        for name, value in (kept.answers or {}).items():
            values += [(kept.respondent, name, *rest) for rest in rows_of(value)]
    return tables(people, values)


def rows_of(value: Any) -> list[tuple[str, str]]:
    """A value as a form keeps it, as rows of (row, text).

    Example:
        >>> rows_of(["a", "b"]), rows_of({"code": "often"}), rows_of(True), rows_of(80.0)
        ([('', 'a'), ('', 'b')], [('code', 'often')], [('', 'true')], [('', '80')])
    """
    if isinstance(value, Mapping):
        return [(str(row), text) for row, one in value.items() for _, text in rows_of(one)]
    if isinstance(value, list | tuple):
        return [("", said(one)) for one in value]
    return [("", said(value))]


def applies(instrument: Instrument, answers: Answers) -> pd.DataFrame:
    """Which questions were asked of whom: what does not apply is absent, not missing.

    Questions are gone through in their order; what was said to one that does not apply does not
    count for those after it.

    Returns:
        Truth values, a row for each respondent (the index) and a column for each question asked.
    """
    index = pd.Index(answers.respondents.respondent, name="respondent")
    given = _given(answers)
    found: dict[str, np.ndarray] = {}
    for question in instrument.asked:
        found[question.id] = (
            np.ones(len(index), bool)
            if question.show_if is None
            else _holds(question.show_if, given, found, len(index))
        )
    return pd.DataFrame(found, index=index)


def holds(condition: Condition, instrument: Instrument, answers: Answers) -> np.ndarray:
    """For whom a condition over the answers holds; the same as `shown` for each of them."""
    asked = applies(instrument, answers)
    columns = {str(name): asked[name].to_numpy() for name in asked.columns}
    return _holds(condition, _given(answers), columns, len(asked))


def _given(answers: Answers) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By question: whose answers (places of respondents), and which."""
    place = pd.Index(answers.respondents.respondent).get_indexer(answers.answers.respondent)
    values = answers.answers.value.to_numpy(dtype=object)
    groups = answers.answers.groupby("question", sort=False).indices
    return {str(name): (place[rows], values[rows]) for name, rows in groups.items()}


def _holds(
    condition: Condition,
    given: Mapping[str, tuple[np.ndarray, np.ndarray]],
    asked: Mapping[str, np.ndarray],
    n: int,
) -> np.ndarray:
    what, *of = condition
    if what in ("and", "or", "not"):
        parts = [_holds(part, given, asked, n) for part in of]
        if what == "not":
            return ~parts[0]
        return (np.logical_and if what == "and" else np.logical_or).reduce(parts)
    place, values = given.get(of[0], (np.zeros(0, int), np.zeros(0, object)))
    wanted = {said(literal) for literal in (of[1] if what == "in" else [of[1]])}
    answered, chosen = np.zeros(n, bool), np.zeros(n, bool)
    answered[place] = True
    chosen[place[np.fromiter((v in wanted for v in values), bool, len(values))]] = True
    return asked[of[0]] & answered & (~chosen if what == "!=" else chosen)


# The organiser's table


def read_competitions(path: Path) -> list[Competition]:
    """Read the competitions with their teams and ranks, in the order of the file.

    The file is CSV with the columns competition, team and rank. A line without a team only names a
    competition; a rank may be empty.

    Raises:
        DataError: With the line, if a competition, a whole rank or a column is missing, or a team
            is there twice.
    """
    found: dict[str, dict[str, int | None]] = {}
    keys: dict[tuple[str, str], int] = {}
    for line, row in _rows(path):
        where = f"{path} line {line}"
        name, team, rank = row["competition"], row["team"], row["rank"]
        if not name:
            raise DataError("no competition", where=where)
        teams = found.setdefault(name, {})
        if not team:
            if rank:
                raise DataError("a rank without a team", where=where)
            continue
        key = (name, normalised(team))
        if key in keys:
            raise DataError(f"team {team!r} is there since line {keys[key]}", where=where)
        if rank and not (rank.isascii() and rank.isdigit() and len(rank) <= 6 and int(rank)):
            raise DataError(f"rank {rank!r}", where=where, accepted="a whole number from 1")
        keys[key] = line
        teams[team] = int(rank) if rank else None
    return [
        Competition(name, tuple(teams), {t: r for t, r in teams.items() if r is not None})
        for name, teams in found.items()
    ]


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    columns = ("competition", "team", "rank")
    try:
        head = [cell.strip().lower() for cell in next(reader, [])]
        for name in head:
            if name not in columns:
                hint = did_you_mean(name, columns)
                raise DataError(f"no column {name!r}", where=f"{path} line 1", next=hint)
        if head[:1] != ["competition"] or len(set(head)) != len(head):
            raise DataError("no head", where=f"{path} line 1", accepted=",".join(columns))
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(head):
                raise DataError(
                    f"{len(cells)} cells", where=f"{path} line {reader.line_num}",
                    accepted=str(len(head)),
                )  # fmt: skip
            row = dict(zip(head, (" ".join(cell.split()) for cell in cells), strict=True))
            yield reader.line_num, {name: row.get(name, "") for name in columns}
    except csv.Error as error:
        raise DataError(str(error), where=f"{path} line {reader.line_num}") from error


def read_text(path: Path, largest: int = LARGEST_BYTES) -> str:
    """A text in UTF-8, without its byte order mark.

    Raises:
        DataError: If it cannot be read, or has more bytes than `largest`.
    """
    try:
        with path.open("rb") as opened:
            data = opened.read(largest + 1)
        text = data.decode("utf-8-sig") if len(data) <= largest else ""
        if "\0" in text:
            raise ValueError
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise DataError(f"cannot be read ({why})", where=str(path)) from error
    if len(data) > largest:
        raise DataError("is too large", where=str(path), accepted=f"at most {largest:,} bytes")
    return text


def said(value: Any) -> str:
    """A value as a text: decimals without an exponent, truth as true or false."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isfinite(value):
        text = format(Decimal(repr(value)), "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    return str(value)
