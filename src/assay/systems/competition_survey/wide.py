"""Answers from a table of one row for each respondent, as survey tools export it.

Columns are named by the questions of the instrument:

    kfold                          one answer: an option, its label, a number, Y or N
    reasons                        several options in one cell, joined by ;
    reasons[prize]                 one option: Y, or empty
    reasons[other], role[other]    words for `other` (also reasons_other)
    effort[reading]                one row of a matrix

and besides: competition, team, id (or respondent), seconds (or interviewtime), submitdate (or
completed), startdate (or started), instrument. Columns of names, addresses and tokens are dropped
with a note, never read.

Notable: the file is refused as a whole, with line and column, or taken in as a whole. Values are
taken as they stand; what is wrong with them is for `check` to find.
"""

import csv
import hmac
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from assay.errors import DataError, did_you_mean
from assay.systems.competition_survey.answers import (
    LONGEST_SECONDS,
    Answers,
    read_text,
    said,
    tables,
)
from assay.systems.competition_survey.fields import DIGEST, NUMBER, other_name
from assay.systems.competition_survey.instrument import Instrument, Question
from assay.systems.competition_survey.questions import OTHER, PERSONAL_COLUMN

__all__ = ["Taken", "read_wide"]

IGNORED = {"lastpage", "startlanguage", "seed", "datestamp"}
ABOUT = {
    "competition": "competition", "team": "team", "instrument": "instrument",
    "id": "id", "respondent": "id", "seconds": "seconds", "interviewtime": "seconds",
    "submitdate": "completed", "completed": "completed",
    "startdate": "started", "started": "started",
}  # fmt: skip
YES, NO = {"y", "yes", "true", "1", "x"}, {"n", "no", "false", "0"}
NOTHING = {"", "n/a"}
OTHER_CODE = "-oth-"
INDEXED = re.compile(r"([a-z][a-z0-9_]*)\[([^\[\]]+)\]")
Cell = Callable[[str, str], list[tuple[str, str, str]]]
"""From a cell and where it stands to (question, row, value)."""


class Taken(NamedTuple):
    """What was read, and what was left out.

    Attributes:
        answers: As tables.
        dropped: Columns that were not read.
        unsubmitted: Rows without a date of submission: they have started, and no answer is taken.
    """

    answers: Answers
    dropped: tuple[str, ...]
    unsubmitted: int


def read_wide(
    path: Path,
    instrument: Instrument,
    *,
    competition: str = "",
    drop: Sequence[str] = (),
    secret: bytes = b"",
) -> Taken:
    """Read a CSV file (separated by comma, semicolon or tab) of one row for each respondent.

    Args:
        path: The file, in UTF-8.
        instrument: The questions that were asked.
        competition: Whose all rows are, where there is no column for it.
        drop: Further columns to leave out.
        secret: Of the survey, so that nobody can tell from a respondent which id they had.

    Raises:
        DataError: With line and column, if a column is unknown, a mark is neither yes nor no, a
            row has too few cells, or the competition is not known.
    """
    lines = _lines(path)
    _, head = next(lines, (1, []))
    columns, dropped = _columns(head, instrument, drop, f"{path} line 1")
    about = {what: at for at, what in columns.items() if isinstance(what, str)}
    if "competition" not in about and not competition:
        raise DataError(
            "no column 'competition'", where=f"{path} line 1", next="Say which with --competition."
        )
    people, values, unsubmitted = [], [], 0
    seen: dict[str, int] = {}
    alike: Counter[str] = Counter()
    for line, cells in lines:
        where = f"{path} line {line}"
        row = {what: " ".join(cells[at].split()) for what, at in about.items()}
        row.setdefault("competition", competition)
        if not row.get("id"):  # rows are told by what they say, so that two files can come in
            same = "\0".join(cells)
            alike[same] += 1
            row["id"] = f"{same}\0{alike[same]}"
        key = _key(row, seen, line, where, secret)
        done = "completed" not in row or row["completed"].lower() not in NOTHING | NO
        unsubmitted += not done
        people.append(_person(row, key, done, instrument, where))
        if done:
            values += [
                (key, *answer)
                for at, read in columns.items()
                if not isinstance(read, str) and cells[at].strip().lower() not in NOTHING
                for answer in read(cells[at].strip(), f"{where} column {head[at]!r}")
            ]
    return Taken(tables(people, _once(values)), dropped, unsubmitted)


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows with their lines; the head first."""
    text = read_text(path)
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    width = 0
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            width = width or len(cells)
            if len(cells) != width:
                raise DataError(
                    f"{len(cells)} cells",
                    where=f"{path} line {reader.line_num}",
                    accepted=f"{width}, as in the head",
                )
            yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(str(error), where=f"{path} line {reader.line_num}") from error


def _columns(
    head: list[str], instrument: Instrument, drop: Sequence[str], where: str
) -> tuple[dict[int, str | Cell], tuple[str, ...]]:
    """What is to be done with each column: its meaning, or how its cells are read."""
    names = [name.strip() for name in head]
    if not names:
        raise DataError("is empty", where=where, accepted="a head and a row for each respondent")
    found: dict[int, str | Cell] = {}
    taken: dict[str, str] = {}
    dropped = []
    for at, name in enumerate(names):
        about = ABOUT.get(name.lower())
        if name in drop or name.lower() in IGNORED or PERSONAL_COLUMN.fullmatch(name):
            dropped.append(name)
            continue
        meaning = about or name
        if meaning in taken:
            raise DataError(
                f"columns {taken[meaning]!r} and {name!r} say the same", where=where,
                next="Leave one out with --drop.",
            )  # fmt: skip
        taken[meaning] = name
        found[at] = about or _cell(name, instrument, where)
    if unknown := [name for name in drop if name not in names]:
        raise DataError(
            f"no column {unknown[0]!r}", where=where, next=did_you_mean(unknown[0], names)
        )
    return found, tuple(dropped)


def _cell(name: str, instrument: Instrument, where: str) -> Cell:
    """How the cells of a column are read."""
    questions = {question.id: question for question in instrument.asked}
    if name in questions:
        return _whole(questions[name])
    words = {other_name(q): q for q in questions.values() if q.other_text}
    if name in words:
        return _words(words[name])
    match = INDEXED.fullmatch(name)
    question = questions.get(match[1]) if match else None
    if match and question is not None:
        index = match[2]
        if index == OTHER and question.other_text:
            return _words(question)
        if question.type == "multi" and index in question.options:
            return _mark(question, index)
        if question.type == "matrix" and index in question.rows:
            return lambda text, _: [(question.id, index, _option(question, text))]
        parts = question.rows if question.type == "matrix" else question.options
        hint = did_you_mean(index, parts)
        raise DataError(f"column {name!r}: {match[1]!r} has no {index!r}", where=where, next=hint)
    hint = did_you_mean(name, [*questions, *ABOUT])
    raise DataError(
        f"no question {name!r}", where=where, next=f"{hint} Or leave it out with --drop."
    )


def _whole(question: Question) -> Cell:
    """A cell with the answer to a question, or with several joined by semicolons."""
    if question.type == "matrix":

        def refuse(_: str, where: str) -> list[tuple[str, str, str]]:
            raise DataError(
                "a matrix has a column for each row",
                where=where,
                accepted=f"{question.id}[{question.rows[0]}]",
            )

        return refuse
    if question.type == "multi":
        return lambda text, _: [
            (question.id, "", _option(question, part.strip()))
            for part in text.split(";")
            if part.strip()
        ]
    return lambda text, _: [(question.id, "", _value(question, text))]


def _mark(question: Question, option: str) -> Cell:
    def read(text: str, where: str) -> list[tuple[str, str, str]]:
        if text.lower() not in YES | NO:
            raise DataError(f"{text!r} is no mark", where=where, accepted="Y or empty")
        return [(question.id, "", option)] if text.lower() in YES else []

    return read


def _words(question: Question) -> Cell:
    """Words for `other`; of several choices they mean that it was chosen, and a mark says so."""

    def read(text: str, _: str) -> list[tuple[str, str, str]]:
        marked = text.lower() in YES | NO
        chosen = question.type == "multi" and text.lower() not in NO
        found = [(question.id, "", OTHER)] if chosen else []
        return found if marked else [*found, (other_name(question), "", text)]

    return read


def _value(question: Question, text: str) -> str:
    """A value as answers hold it."""
    if question.type == "bool":
        return "true" if text.lower() in YES else "false" if text.lower() in NO else text
    if question.type in ("int", "number", "likert") and NUMBER.fullmatch(text):
        return said(float(text))
    if question.type == "hash":
        return text.lower()
    if question.type == "date":
        return re.sub(r"[ T]00:00(:00)?$", "", text)
    return _option(question, text) if question.options else text


def _option(question: Question, text: str) -> str:
    """An option by its name, or by what people read."""
    if text in question.options and question.type != "likert":
        return text
    if text == OTHER_CODE:
        return OTHER
    names = [str(n) for n in question.points] if question.type == "likert" else question.options
    labels = {question.label(name).casefold(): name for name in names}
    return labels.get(text.casefold(), text)


def _key(row: dict[str, str], seen: dict[str, int], line: int, where: str, secret: bytes) -> str:
    """An opaque name, the same whenever the same row is read into the same survey."""
    if not row["competition"]:
        raise DataError("no competition", where=where)
    told = "\0".join((row["competition"], row.get("team", ""), row["id"]))
    key = hmac.digest(secret, told.encode(), "sha256").hex()[:32]
    if key in seen:
        raise DataError(f"{row['id']!r} is there since line {seen[key]}", where=where)
    seen[key] = line
    return key


def _person(
    row: dict[str, str], key: str, done: bool, instrument: Instrument, where: str
) -> tuple[Any, ...]:
    status = "completed" if done else "started"
    asked = row.get("instrument", "").lower() or instrument.hash
    if not DIGEST.fullmatch(asked):
        raise DataError(f"{asked!r} is no instrument", where=where, accepted="its hash, or nothing")
    seconds = _seconds(row, where) if done else math.nan
    return key, row["competition"], row.get("team", ""), status, asked, seconds


def _seconds(row: dict[str, str], where: str) -> float:
    """How long it took; NaN if it is not told, or its times cannot be."""
    told = row.get("seconds", "")
    if told:
        if not NUMBER.fullmatch(told) or not 0 <= float(told) <= LONGEST_SECONDS:
            raise DataError(f"{told!r} are no seconds", where=where, accepted="a number up to 1e9")
        return float(told)
    begun, ended = row.get("started", ""), row.get("completed", "")
    if not begun or ended.lower() in YES or not ended:
        return math.nan
    try:
        took = datetime.fromisoformat(ended) - datetime.fromisoformat(begun)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{begun!r} or {ended!r} is no time", where=where, accepted="2021-03-31 14:05:00"
        ) from error
    return took.total_seconds() if 0 <= took.total_seconds() <= LONGEST_SECONDS else math.nan


def _once(values: list[tuple[str, str, str, str]]) -> list[tuple[str, str, str, str]]:
    """Without repetition of what two columns say alike, such as `other` and its words."""
    return list(dict.fromkeys(values))
