"""Cross-tables of declared pairs of questions; none is made that nobody asked for beforehand."""

import numpy as np
import pandas as pd

from assay.core.component import component
from assay.errors import UsageError, did_you_mean
from assay.systems.competition_survey.answers import Answers
from assay.systems.competition_survey.counting import CHOICES, counted, options_of
from assay.systems.competition_survey.instrument import Instrument
from assay.systems.competition_survey.intervals import wilson

__all__ = ["crosstables"]


@component(version="1", requires=("numpy", "pandas", "scipy"))
def crosstables(
    instrument: Instrument,
    respondents: pd.DataFrame,
    answers: pd.DataFrame,
    *,
    pairs: tuple[tuple[str, str], ...] = (),
) -> pd.DataFrame:
    """How often the answers to one question go with those to another, for declared pairs only.

    Args:
        instrument: The questions.
        respondents: The teams included.
        answers: Theirs.
        pairs: Pairs of questions: *of those who answered the first so, what share answered the
            second so?*

    Returns:
        One row per pair of answers: ``by`` and ``by_option`` of the first question, ``question``
        and ``option`` of the second, ``n``, ``base`` (gave the first answer and were shown the
        second question), ``share``, and Wilson's interval.

    Raises:
        UsageError: If a question is not there or has no options.
    """
    rows, asked = counted(instrument, Answers(respondents, answers))
    found = []
    for by, question in pairs:
        first, second = (_choices(instrument, name, rows, len(asked)) for name in (by, question))
        both = asked[by].to_numpy() & asked[question].to_numpy()
        for by_option, left in first.items():
            base = int((left & both).sum())
            for option, right in second.items():
                found.append(
                    (by, by_option, question, option, int((left & right & both).sum()), base)
                )
    names = ["by", "by_option", "question", "option", "n", "base"]
    table = pd.DataFrame(found, columns=names)
    low, high = wilson(table.n.to_numpy(int), table.base.to_numpy(int))
    share = table.n / table.base.where(table.base > 0)
    return table.assign(
        share=share.astype(float),
        low=low,
        high=high,
        by_answer=_labels(instrument, table.by, table.by_option),
        answer=_labels(instrument, table.question, table.option),
        by_text=[instrument.question(q).text for q in table.by],
        text=[instrument.question(q).text for q in table.question],
    )


def _choices(
    instrument: Instrument, name: str, rows: pd.DataFrame, teams: int
) -> dict[str, np.ndarray]:
    """Who gave each answer to a question."""
    fit = [q.id for q in instrument.asked if q.type in CHOICES and q.type != "matrix"]
    if name not in fit:
        raise UsageError(
            f"{name!r} cannot stand in a cross-table",
            where="pairs",
            accepted="a question with options",
            next=did_you_mean(name, fit),
        )
    mine = rows[rows.question == name]
    return {
        option: np.isin(np.arange(teams), mine.team[mine.value == option])
        for option in options_of(instrument.question(name))
    }


def _labels(instrument: Instrument, questions: pd.Series, options: pd.Series) -> list[str]:
    pairs = zip(questions, options, strict=True)
    return [instrument.question(name).label(option) for name, option in pairs]
