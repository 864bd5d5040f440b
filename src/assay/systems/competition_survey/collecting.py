"""Everything of a survey's folder at once, and answers from elsewhere into it.

Notable: what is taken in goes into the database in one transaction, all of it or nothing.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from assay.errors import StoreError
from assay.systems.competition_survey.answers import (
    Answers,
    Competition,
    collected,
    read_competitions,
    said,
)
from assay.systems.competition_survey.fields import NUMBER
from assay.systems.competition_survey.instrument import Instrument, Question, read_instrument
from assay.systems.competition_survey.jsonl import read_jsonl
from assay.systems.competition_survey.settings import SurveyFolder, survey_folder
from assay.systems.competition_survey.storage import Kept, Storage
from assay.systems.competition_survey.wide import Taken, read_wide

__all__ = ["Collected", "collect", "kept_of", "take_in"]


class Collected(NamedTuple):
    """A survey as check and analysis need it."""

    survey: SurveyFolder
    instrument: Instrument
    competitions: list[Competition]
    answers: Answers


def collect(folder: Path) -> Collected:
    """Read a survey's folder: its settings, questions, competitions and answers.

    Raises:
        AssayError: If one of its files is refused.
    """
    survey = survey_folder(folder)
    instrument = read_instrument(survey.instrument)
    competitions = read_competitions(survey.competitions)
    database = survey.open()
    try:
        answers = collected(Storage(database).everyone())
    finally:
        database.close()
    return Collected(survey, instrument, competitions, answers)


def take_in(folder: Path, file: Path, *, competition: str = "", drop: Sequence[str] = ()) -> Taken:
    """Take answers that were collected elsewhere into a survey: all of a file, or nothing.

    Args:
        folder: The survey.
        file: JSON lines of an export (`.jsonl`), else a table of one row for each respondent.
        competition: Whose all rows of a table are, where it does not say.
        drop: Columns of a table to leave out.

    Raises:
        DataError: With the line, if the file is refused.
        StoreError: If some of its respondents are there already.
    """
    survey = survey_folder(folder)
    instrument = read_instrument(survey.instrument)
    if file.suffix == ".jsonl":
        taken = Taken(read_jsonl(file), (), 0)
    else:
        taken = read_wide(
            file, instrument, competition=competition, drop=drop, secret=survey.secret()
        )
    database = survey.open()
    try:
        Storage(database).add(kept_of(taken.answers, instrument))
    except StoreError as error:
        raise error.at(str(file)) from error
    finally:
        database.close()
    return taken


def kept_of(answers: Answers, instrument: Instrument) -> list[Kept]:
    """Respondents as the store keeps them, submitted now and in their order.

    Args:
        answers: The tables.
        instrument: Tells which answers are numbers, truth values or several choices.
    """
    said_of: dict[str, dict[str, list[tuple[str, str]]]] = {}
    for respondent, question, row, value in answers.answers.itertuples(index=False, name=None):
        said_of.setdefault(respondent, {}).setdefault(question, []).append((row, value))
    began = datetime.now(UTC)
    found = []
    for at, (who, competition, team, status, asked, seconds) in enumerate(
        answers.respondents.itertuples(index=False, name=None)
    ):
        now = began + timedelta(microseconds=at)  # of one team the last in the file is the latest
        done = status == "completed"
        took = seconds if done and not math.isnan(seconds) else None
        started = now.isoformat() if status == "started" else ""
        values = {
            name: _value(instrument.by_id.get(name), rows)
            for name, rows in said_of.get(who, {}).items()
        }
        found.append(
            Kept(who, competition, team, "imported", asked, started,
                 now.isoformat() if done else "", {}, [], values if done else None, int(done),
                 seconds=took)
        )  # fmt: skip
    return found


def _value(question: Question | None, rows: list[tuple[str, str]]) -> Any:
    """The inverse of `rows_of`, as far as the type of the question tells."""
    kind = question.type if question else ""
    if kind == "matrix" or any(row for row, _ in rows):
        table: dict[str, list[Any]] = {}
        for row, text in rows:
            table.setdefault(row, []).append(text)
        return {row: texts if len(texts) > 1 else texts[0] for row, texts in table.items()}
    texts = [text for _, text in rows]
    if kind == "multi" or len(texts) > 1:
        return texts
    if kind == "bool" and texts[0] in ("true", "false"):
        return texts[0] == "true"
    if kind in ("int", "number", "likert") and NUMBER.fullmatch(texts[0]):
        number = float(texts[0])
        typed = int(number) if number.is_integer() else number
        return typed if said(typed) == texts[0] else texts[0]
    return texts[0]
