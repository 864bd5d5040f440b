"""Shares of answers with their bases and intervals, numbers, and participation.

Notable: two answers to one question stand side by side. *Pooled* counts every team alike; the
*median over competitions* takes a share in every competition first. They may differ much, and
which one a published figure means is often not said.
"""

from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field, PositiveInt

from assay.core.component import Seed, component
from assay.core.task import task
from assay.systems.competition_survey.answers import Answers
from assay.systems.competition_survey.bases import base_in_words
from assay.systems.competition_survey.counting import (
    NUMBERS,
    Base,
    Tally,
    counted,
    tally,
)
from assay.systems.competition_survey.instrument import Instrument
from assay.systems.competition_survey.intervals import (
    cluster_bounds,
    cluster_medians,
    quartiles,
    resamples,
    wilson,
)

__all__ = [
    "Participation",
    "Shares",
    "numbers",
    "participation",
    "share_table",
    "shares",
]

Draws = Annotated[int, Field(ge=100, le=100_000)]
DRAWS = 2_000
MIN_N = 3


class Shares(NamedTuple):
    """How often each answer was given.

    Attributes:
        table: One row per option of a question (of a row of it, if it is a matrix): ``n`` teams
            gave it, of a ``base``, described ``base_in_words``; ``missing`` of those shown the
            question gave no answer, ``answered`` did; ``share`` with Wilson's interval (``low``,
            ``high``) and that of the bootstrap over competitions (``cluster_low``,
            ``cluster_high``); the ``median`` over the ``k`` competitions of at least ``min_n``
            teams, ``q1`` and ``q3``.
        spread: For each of these competitions its ``share``, by item and without its name.
    """

    table: pd.DataFrame
    spread: pd.DataFrame


class Participation(NamedTuple):
    """How many of the teams that took part answered.

    Attributes:
        table: One row per competition: ``participating``, ``responding`` (submitted), ``included``
            and the two shares; NaN where the number participating is not known.
        summary: ``median``, ``q1``, ``q3`` and ``k`` of each share; ``unknown`` names the
            competitions without a denominator, ``exceeded`` those with more answers than teams.
    """

    table: pd.DataFrame
    summary: pd.DataFrame


@component(version="2", requires=("numpy", "pandas", "scipy"))
def shares(
    instrument: Instrument,
    respondents: pd.DataFrame,
    answers: pd.DataFrame,
    *,
    min_n: PositiveInt = MIN_N,
    draws: Draws = DRAWS,
    base: Base = "shown",
    seed: Seed,
) -> Shares:
    """How often each answer was given, pooled over teams and by competition.

    Args:
        instrument: The questions.
        respondents: The teams included.
        answers: Theirs.
        min_n: Fewest teams that a competition's own share is taken from.
        draws: Resamples of competitions.
        base: Who counts as asked: whoever was ``shown`` the question, or only who ``answered`` it.
        seed: Seed of the resamples.
    """
    return share_table(instrument, Answers(respondents, answers), min_n, draws, base, seed)


def share_table(
    instrument: Instrument,
    answers: Answers,
    min_n: int = MIN_N,
    draws: int = DRAWS,
    base: Base = "shown",
    seed: int = 0,
) -> Shares:
    """What `shares` returns."""
    told = task()
    told.progress(0, 3, "stages")
    counts = tally(instrument, answers, base)
    told.progress(1, 3, "stages")
    table = _pooled(counts, draws, seed)
    told.progress(2, 3, "stages")
    big = counts.bases >= min_n
    by_competition = np.where(big, counts.counts / np.maximum(counts.bases, 1), np.nan)
    ends, k = quartiles(by_competition, big)
    table = table.assign(q1=ends[:, 0], median=ends[:, 1], q3=ends[:, 2], k=k, min_n=min_n)
    item, column = np.nonzero(big)
    spread = counts.items.iloc[item].assign(share=by_competition[item, column])
    told.progress(3, 3, "stages")
    return Shares(
        _described(instrument, table, base),
        spread.sort_values([*counts.items, "share"]).reset_index(drop=True),
    )


def _pooled(counts: Tally, draws: int, seed: int) -> pd.DataFrame:
    n, base = counts.counts.sum(axis=1), counts.bases.sum(axis=1)
    low, high = wilson(n, base)
    weights = resamples(max(len(counts.competitions), 1), draws, seed)
    bounds = (
        cluster_bounds(counts.counts, counts.bases, weights)
        if counts.competitions
        else (np.full(len(n), np.nan),) * 2
    )
    return counts.items.assign(
        n=n,
        base=base,
        missing=counts.shown - counts.answered,
        answered=counts.answered,
        share=np.where(base > 0, n / np.maximum(base, 1), np.nan),
        low=low,
        high=high,
        cluster_low=bounds[0],
        cluster_high=bounds[1],
    )


def _described(instrument: Instrument, table: pd.DataFrame, base: Base) -> pd.DataFrame:
    """With the words for section, question, answer and base."""
    asked = {q.id: q for q in instrument.asked}
    words = {q.id: base_in_words(instrument, q, base) for q in asked.values()}
    answer = [
        " · ".join(([asked[q].row_label(row)] if row else []) + [asked[q].label(option)])
        for q, row, option in zip(table.question, table.row, table.option, strict=True)
    ]
    return table.assign(
        section=[asked[q].section for q in table.question],
        type=[asked[q].type for q in table.question],
        text=[asked[q].text for q in table.question],
        answer=answer,
        base_in_words=[words[q] for q in table.question],
    )


@component(version="1", requires=("numpy", "pandas"))
def numbers(
    instrument: Instrument,
    respondents: pd.DataFrame,
    answers: pd.DataFrame,
    *,
    min_n: PositiveInt = MIN_N,
    draws: Draws = DRAWS,
    seed: Seed,
) -> pd.DataFrame:
    """What was answered in numbers: pooled quartiles, and the median of competition medians.

    Args:
        instrument: The questions.
        respondents: The teams included.
        answers: Theirs.
        min_n: Fewest teams that a competition's own median is taken from.
        draws: Resamples of competitions.
        seed: Seed of the resamples.

    Returns:
        One row per question: ``n`` answers of a ``base``, ``q1``, ``median``, ``q3``, the tenths
        ``p10`` and ``p90``, the interval of the median by a bootstrap over competitions,
        and ``competition_median`` with ``competition_q1``, ``competition_q3`` and ``k``.
    """
    both = Answers(respondents, answers)
    rows, asked = counted(instrument, both)
    competition, names = pd.factorize(respondents.competition, sort=True)
    weights = resamples(max(len(names), 1), draws, seed)
    questions = [q for q in instrument.asked if q.type in NUMBERS]
    found = []
    for done, question in enumerate(questions, 1):
        mine = rows[rows.question == question.id]
        typed: Any = pd.to_numeric(mine.value, errors="coerce")
        value = typed.to_numpy(float)
        kept = np.isfinite(value)
        where = competition[mine.team.to_numpy()[kept]]
        base = int(asked[question.id].to_numpy().sum())
        found.append(
            {
                "question": question.id,
                "section": question.section,
                "text": question.text,
                "unit": question.unit,
                "base_in_words": base_in_words(instrument, question, "shown"),
                "base": base,
                "min_n": min_n,
                **_number(value[kept], where, weights, min_n),
            }
        )
        task().progress(done, len(questions), "questions")
    return pd.DataFrame(found, columns=None if found else NUMBER_COLUMNS)


NUMBER_COLUMNS = [
    "question", "section", "text", "unit", "base_in_words", "base", "min_n", "n", "p10", "q1",
    "median", "q3", "p90", "low", "high", "competition_q1", "competition_median",
    "competition_q3", "k",
]  # fmt: skip


def _number(
    value: np.ndarray, competition: np.ndarray, weights: np.ndarray, min_n: int
) -> dict[str, float]:
    """Quartiles of one question."""
    grouped: Any = pd.Series(value).groupby(competition).agg(["median", "size"])
    medians = grouped["median"][grouped["size"] >= min_n].to_numpy(float)
    ends, k = quartiles(medians[None, :], np.ones((1, len(medians)), bool))
    pooled = np.quantile(value, [0.1, 0.25, 0.5, 0.75, 0.9]) if len(value) else [np.nan] * 5
    low, high = cluster_medians(value, competition, weights) if len(value) else (np.nan, np.nan)
    names = ("p10", "q1", "median", "q3", "p90")
    return {
        "n": len(value),
        **dict(zip(names, map(float, pooled), strict=True)),
        "low": low,
        "high": high,
        "competition_q1": ends[0, 0],
        "competition_median": ends[0, 1],
        "competition_q3": ends[0, 2],
        "k": int(k[0]),
    }


@component(version="1", requires=("numpy", "pandas"))
def participation(
    competitions: pd.DataFrame, respondents: pd.DataFrame, included: pd.DataFrame
) -> Participation:
    """What share of the teams that took part answered: a share per competition, then the median.

    Args:
        competitions: The organiser's table: ``competition`` and ``team``, which is empty where the
            teams are not known.
        respondents: Everybody invited.
        included: Those whose answers are counted.
    """
    teams = competitions[competitions.team != ""].groupby("competition").size()
    done = respondents[respondents.status == "completed"].groupby("competition").size()
    names = sorted({*competitions.competition, *respondents.competition})
    table: Any = pd.DataFrame({"competition": names})
    columns = {
        "participating": teams,
        "responding": done,
        "included": included.groupby("competition").size(),
    }
    for name, counts in columns.items():
        table[name] = table.competition.map(counts).astype(float)
    table[["responding", "included"]] = table[["responding", "included"]].fillna(0.0)
    rows = []
    for name in ("responding", "included"):
        share = table[name] / table.participating
        table[f"{name}_share"] = share
        told = (share <= 1).to_numpy()
        ends, k = quartiles(share.to_numpy(float)[None, :], told[None, :])
        rows.append(
            {
                "share": name,
                "q1": ends[0, 0],
                "median": ends[0, 1],
                "q3": ends[0, 2],
                "k": int(k[0]),
                "unknown": ", ".join(table.competition[table.participating.isna()]),
                "exceeded": ", ".join(table.competition[share > 1]),
            }
        )
    return Participation(table, pd.DataFrame(rows))
