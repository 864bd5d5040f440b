"""Answers as counts: one row per item (an option of a question), one column per competition.

Notable: the base of an item are the teams included that were *shown* its question. Who was not
shown it is absent, not missing, and what they said to it anyway does not count.
"""

from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from assay.systems.competition_survey.answers import Answers, applies
from assay.systems.competition_survey.instrument import Instrument, Question

__all__ = ["CHOICES", "NUMBERS", "Base", "Tally", "counted", "options_of", "tally", "within"]

CHOICES = ("single", "multi", "bool", "likert", "matrix")
NUMBERS = ("int", "number")
ITEM = ["question", "row", "option"]
Base = Literal["shown", "answered"]


class Tally(NamedTuple):
    """Counts of every answer that can be counted.

    Attributes:
        items: Columns ``question``, ``row`` and ``option``, a row for each item.
        counts: Teams that gave the answer, shape ``(item, competition)``.
        bases: Teams that count as asked, of the same shape.
        shown: Teams that were shown the question, shape ``(item,)``.
        answered: Those of them that answered it (this row of it, if it is a matrix).
        competitions: Names of the columns.
    """

    items: pd.DataFrame
    counts: np.ndarray
    bases: np.ndarray
    shown: np.ndarray
    answered: np.ndarray
    competitions: list[str]


def options_of(question: Question) -> tuple[str, ...]:
    """What an answer to a question can be, as answers have it.

    Example:
        >>> options_of(Question("deep", "method", "bool", "Deep?"))
        ('true', 'false')
    """
    if question.type == "bool":
        return ("true", "false")
    if question.type == "likert":
        return tuple(map(str, question.points))
    return question.options


def counted(instrument: Instrument, answers: Answers) -> tuple[Any, pd.DataFrame]:
    """The answers that count, each once, and of whom each question was asked.

    Returns:
        The answers with ``team``, the place of their respondent; and truth values, a row for each
        respondent and a column for each question.
    """
    asked = applies(instrument, answers)
    rows: Any = answers.answers[
        answers.answers.question.isin(list(asked.columns))
    ].drop_duplicates()
    team = asked.index.get_indexer(rows.respondent)
    column = asked.columns.get_indexer(rows.question)
    kept = (team >= 0) & asked.to_numpy()[team, column]
    told: Any = rows[kept]
    return told.assign(team=team[kept]), asked


def within(answers: Answers, respondents: pd.Series) -> Answers:
    """Only what these respondents said."""
    people: Any = answers.respondents
    values: Any = answers.answers
    kept, said = (table.respondent.isin(respondents) for table in (people, values))
    return Answers(
        people[kept].reset_index(drop=True),
        values[said].reset_index(drop=True),
    )


def tally(instrument: Instrument, answers: Answers, base: Base = "shown") -> Tally:
    """Count the answers of teams that are all included.

    Args:
        instrument: The questions.
        answers: Teams and answers.
        base: Who counts as asked: whoever was ``shown`` a question, or only who ``answered`` it.
    """
    rows, asked = counted(instrument, answers)
    competition, names = pd.factorize(answers.respondents.competition, sort=True)
    items = pd.DataFrame(
        [
            (q.id, row, option)
            for q in instrument.asked
            if q.type in CHOICES
            for row in (q.rows or ("",))
            for option in options_of(q)
        ],
        columns=ITEM,
    )
    width = len(names)
    item = pd.MultiIndex.from_frame(items).get_indexer(
        pd.MultiIndex.from_frame(rows[["question", "row", "value"]])
    )
    known = item >= 0
    counts = _by_competition(
        item[known], competition[rows.team[known].to_numpy()], len(items), width
    )
    shown = _shown(asked, competition, width)[asked.columns.get_indexer(items.question)]
    answered = _answered(items, rows, competition, width)
    return Tally(
        items,
        counts,
        shown if base == "shown" else answered,
        shown.sum(axis=1),
        answered.sum(axis=1),
        list(map(str, names)),
    )


def _by_competition(
    item: np.ndarray, competition: np.ndarray, height: int, width: int
) -> np.ndarray:
    """How often each pair of an item and a competition stands there."""
    return np.bincount(item * width + competition, minlength=height * width).reshape(height, width)


def _shown(asked: pd.DataFrame, competition: np.ndarray, width: int) -> np.ndarray:
    """Teams that were shown each question, by competition."""
    team, column = np.nonzero(asked.to_numpy())
    return _by_competition(column, competition[team], asked.shape[1], width)


def _answered(items: Any, rows: Any, competition: np.ndarray, width: int) -> np.ndarray:
    """Teams that answered the question, or the row, of each item, by competition."""
    parts = pd.MultiIndex.from_frame(items[["question", "row"]])
    several = parts.unique()
    once = rows.drop_duplicates(["team", "question", "row"])
    part = several.get_indexer(pd.MultiIndex.from_frame(once[["question", "row"]]))
    known = part >= 0
    found = _by_competition(
        part[known], competition[once.team[known].to_numpy()], len(several), width
    )
    return found[several.get_indexer(parts)]
