"""What winners do differently: one strategy at a time against the rank within the competition.

Notable: an association, never a cause. A competition in which all or none of the teams used a
strategy says nothing about it and is left out of that fit, and counted.
Source of the question: Eisenmann et al. 2023, arXiv 2303.17719; the model is ours.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from assay.core.component import component
from assay.core.task import task
from assay.errors import UsageError, did_you_mean
from assay.systems.competition_survey.answers import Answers
from assay.systems.competition_survey.counting import CHOICES, counted, options_of
from assay.systems.competition_survey.instrument import Instrument
from assay.systems.competition_survey.mixed import Fit, random_intercept
from assay.systems.competition_survey.storage import normalised

__all__ = ["FEWEST", "STRATEGIES", "Strategy", "normalised_ranks", "read_strategy", "winners"]

STRATEGIES = (
    "metric_design", "failure_analysis", "failure_handling", "curation", "external_data",
    "kfold=kfold", "deep", "pretrained", "multitask", "multistage", "preprocessing",
    "augmentation", "ensemble", "postproc!=none",
)  # fmt: skip
FEWEST = 5
"""Competitions that a fit is made from at least."""
LEVEL = 0.05


class Strategy(NamedTuple):
    """A way to tell the teams that did something from those that did not.

    Attributes:
        name: As it was written: ``question``, ``question=option`` or ``question!=option``.
        question: A question with options.
        option: The option meant.
        negated: Whether the teams that did *not* choose it are meant.
    """

    name: str
    question: str
    option: str
    negated: bool


@component(version="1", requires=("numpy", "pandas", "scipy"))
def winners(
    instrument: Instrument,
    respondents: pd.DataFrame,
    answers: pd.DataFrame,
    competitions: pd.DataFrame,
    *,
    strategies: tuple[str, ...] = STRATEGIES,
    centred: bool = False,
) -> pd.DataFrame:
    """How much better teams ranked that used a strategy, by a mixed model for each.

    Args:
        instrument: The questions.
        respondents: The teams included.
        answers: Theirs.
        competitions: ``competition``, ``team`` and ``rank`` of the organiser, 1 the best.
        strategies: What is tried: ``question``, ``question=option`` or ``question!=option``.
        centred: Compare teams within their competition only.

    Returns:
        One row per strategy: ``effect`` on the normalised rank (0 the last, 1 the first) with its
        interval and p-value, ``p_holm`` adjusted over all strategies fitted, ``found`` where that
        is below 0.05, ``teams`` and ``competitions`` the fit stands on, ``used`` by how many of
        these teams, ``excluded`` competitions in which all or none used it, and a ``note``.

    Raises:
        UsageError: If a strategy is not among the answers to a question.
    """
    from statsmodels.stats.multitest import multipletests

    ranks = normalised_ranks(competitions, respondents)
    rows, asked = counted(instrument, Answers(respondents, answers))
    group, _ = pd.factorize(respondents.competition, sort=True)
    found = []
    for done, name in enumerate(strategies, 1):
        strategy = read_strategy(instrument, name)
        used, told = _used(strategy, rows, asked)
        found.append(_fitted(instrument, strategy, used, told, ranks, group, centred))
        task().progress(done, len(strategies), "strategies")
    table = pd.DataFrame(found, columns=None if found else COLUMNS)
    p = table.p.to_numpy(float)
    fitted, adjusted = np.isfinite(p), np.full(len(p), np.nan)
    if fitted.any():
        adjusted[fitted] = multipletests(p[fitted], LEVEL, method="holm")[1]
    return table.assign(p_holm=adjusted, found=adjusted < LEVEL)


COLUMNS = [
    "strategy", "text", "answer", "effect", "error", "low", "high", "p", "ratio", "teams",
    "competitions", "used", "excluded", "note",
]  # fmt: skip


def read_strategy(instrument: Instrument, name: str) -> Strategy:
    """Read how a strategy is written.

    Raises:
        UsageError: If there is no such question or option.

    Example:
        >>> from assay.systems.competition_survey.instrument import Question
        >>> made = Instrument("i", "1", "team", (), (Question("deep", "s", "bool", "Deep?"),))
        >>> read_strategy(made, "deep")
        Strategy(name='deep', question='deep', option='true', negated=False)
    """
    question, sign, option = name.partition("=")
    negated = question.endswith("!")
    question, option = question.removesuffix("!").strip(), option.strip() if sign else "true"
    fit = [q.id for q in instrument.asked if q.type in CHOICES and q.type != "matrix"]
    if question not in fit:
        raise UsageError(
            f"no strategy {name!r}", where="strategies", accepted="question or question=option",
            next=did_you_mean(question, fit),
        )  # fmt: skip
    options = options_of(instrument.question(question))
    if option not in options:
        raise UsageError(
            f"{question!r} has no answer {option!r}", where="strategies",
            next=did_you_mean(option, options),
        )  # fmt: skip
    return Strategy(name, question, option, negated)


def normalised_ranks(competitions: pd.DataFrame, respondents: pd.DataFrame) -> np.ndarray:
    """The rank of each respondent's team between 0, the last, and 1, the first.

    Ranks count among all teams that took part, whether they answered or not; where fewer teams are
    named than the worst rank says, that rank counts as their number.

    Returns:
        Shape ``(respondent,)``; NaN without a rank, or where a single team took part.
    """
    table = competitions[competitions.team != ""]
    by = table.groupby("competition")
    worst: Any = by["rank"].max()
    teams = worst.combine(by.size().astype(float), np.fmax)
    key = zip(table.competition, map(normalised, table.team), strict=True)
    rank = dict(zip(key, table["rank"].astype(float), strict=True))
    found = pd.Series(
        [
            rank.get((competition, normalised(team)), np.nan)
            for competition, team in zip(respondents.competition, respondents.team, strict=True)
        ],
        dtype=float,
    )
    size = respondents.competition.map(teams).to_numpy(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        standing = 1 - (found.to_numpy() - 1) / (size - 1)
    return np.where(size > 1, standing, np.nan)


def _used(
    strategy: Strategy, rows: pd.DataFrame, asked: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """Who used it, and of whom that is known: shown the question, and answered."""
    mine = rows[rows.question == strategy.question]
    team = np.arange(len(asked))
    told = np.isin(team, mine.team)
    chosen = np.isin(team, mine.team[mine.value == strategy.option])
    return chosen != strategy.negated, told


def _fitted(
    instrument: Instrument,
    strategy: Strategy,
    used: np.ndarray,
    told: np.ndarray,
    ranks: np.ndarray,
    group: np.ndarray,
    centred: bool,
) -> dict[str, object]:
    """One row of the table."""
    told = told & np.isfinite(ranks)
    most = int(group.max(initial=-1)) + 1
    there, doing = np.bincount(group[told], minlength=most), np.bincount(
        group[told & used], minlength=most
    )  # fmt: skip
    varies = (doing > 0) & (doing < there)
    kept = told & varies[group]
    excluded, competitions = int(((there > 0) & ~varies).sum()), int(varies.sum())
    if competitions < FEWEST:
        fit = Fit(problem=f"fewer than {FEWEST} competitions in which some but not all used it")
    else:
        y, x = ranks[kept], used[kept].astype(float)
        fit = random_intercept(y, x, group[kept], centred=centred)
    question = instrument.question(strategy.question)
    answer = question.label(strategy.option)
    note = [f"not fitted: {fit.problem}"] if fit.problem else []
    if excluded:
        noun = "competition" if excluded == 1 else "competitions"
        note.append(f"{excluded} {noun} in which all or none used it left out")
    return {
        "strategy": strategy.name,
        "text": question.text,
        "answer": f"other than “{answer}”" if strategy.negated else f"“{answer}”",
        **{name: getattr(fit, name) for name in ("effect", "error", "low", "high", "p", "ratio")},
        "teams": int(kept.sum()),
        "competitions": competitions,
        "used": int((kept & used).sum()),
        "excluded": excluded,
        "note": "; ".join(note),
    }
