"""How well the analysis of a survey does its work, on surveys whose truth is known."""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field, NonNegativeFloat, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.core.task import task
from assay.systems.competition_survey.intervals import (
    cluster_bounds,
    quartiles,
    resamples,
    wilson,
)
from assay.systems.competition_survey.published import own_value, published
from assay.systems.competition_survey.simulate import centre, team_counts

__all__ = ["aggregated", "counts_of", "coverage", "ledger_kept", "recovered", "strategies_found"]

Share = Annotated[float, Field(gt=0, lt=1)]
RESPONSE = 0.72


@component(version="1", requires=("numpy", "pandas"))
def recovered(
    truth: pd.DataFrame, shares: pd.DataFrame, numbers: pd.DataFrame, summary: pd.DataFrame
) -> Records:
    """Compare what a simulated survey gives with what it was drawn from.

    Args:
        truth: Values by figure, of `simulate`.
        shares: Its table of shares.
        numbers: Its table of numbers.
        summary: The summary of its participation.

    Returns:
        For each ``figure`` ``share_error`` (own minus true), or ``relative_error`` of a median; and
        whether the interval of each ``interval`` (``competitions`` or ``wilson``) ``covered`` it.
    """
    values = dict(zip(truth.figure, truth.value, strict=True))
    independent = shares.assign(cluster_low=shares.low, cluster_high=shares.high)
    records = Records()
    for figure in published():
        value = values[figure.id]
        for name, table in (("competitions", shares), ("wilson", independent)):
            own = own_value(figure, table, numbers, summary)
            if figure.kind == "share" and np.isfinite(own["own_low"]):
                inside = own["own_low"] <= value <= own["own_high"]
                records.add("covered", inside, interval=name, figure=figure.id)
        if figure.kind == "median":
            records.add("relative_error", own["own"] / value - 1, figure=figure.id)
        else:
            measure = "share_error" if figure.kind == "share" else "participation_error"
            records.add(measure, own["own"] - value, figure=figure.id)
    return records


@component(version="1", requires=("pandas",))
def ledger_kept(ledger: pd.DataFrame, findings: pd.DataFrame) -> Records:
    """Compare the findings of the check with the faults that were planted.

    Returns:
        ``faults_planted``, ``faults_missed`` and ``false_findings``.
    """
    keys = ["code", "respondent", "question"]
    planted, found = (set(table[keys].itertuples(index=False, name=None)) for table in
                      (ledger, findings))  # fmt: skip
    records = Records()
    records.add("faults_planted", len(planted), "faults")
    records.add("faults_missed", len(planted - found), "faults")
    records.add("false_findings", len(found - planted), "findings")
    return records


@component(version="1", requires=("numpy", "scipy"))
def coverage(
    *,
    marginal: Share,
    sd: NonNegativeFloat = 0.7,
    competitions: PositiveInt = 80,
    repeats: PositiveInt = 200,
    draws: PositiveInt = 2_000,
    seed: Seed,
) -> Records:
    """How often the intervals of a share cover the share that surveys are drawn from.

    Args:
        marginal: The share, over all competitions there might be.
        sd: Standard deviation of competitions' effects on the logit scale.
        competitions: In each survey.
        repeats: Surveys.
        draws: Resamples of the bootstrap.
        seed: Seed of everything.

    Returns:
        ``coverage`` and the mean ``width``, for each ``interval``.
    """
    rng = np.random.default_rng(seed)
    counts, bases, _ = counts_of(rng, repeats, competitions, marginal, sd)
    weights = resamples(competitions, draws, int(rng.integers(2**31)))
    ends = {
        "competitions": cluster_bounds(counts, bases, weights),
        "wilson": wilson(counts.sum(axis=1), bases.sum(axis=1)),
    }
    records = Records()
    for name, (low, high) in ends.items():
        told = np.isfinite(low)
        inside = (low[told] <= marginal) & (marginal <= high[told])
        records.add("coverage", inside.mean(), interval=name)
        records.add("width", (high[told] - low[told]).mean(), interval=name)
    return records


def counts_of(
    rng: np.random.Generator,
    repeats: int,
    competitions: int,
    marginal: float,
    sd: float,
    link: float = 0.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Answers to one yes-or-no question in many surveys.

    Args:
        rng: Where chance comes from.
        repeats: Surveys.
        competitions: In each.
        marginal: Share over competitions without the link.
        sd: Standard deviation of competitions' effects on the logit scale.
        link: Change of the logit for one standard deviation of the logarithm of the team count.

    Returns:
        Counts of yes, counts of teams that answered, and chances of yes, each of shape
        ``(survey, competition)``.
    """
    from scipy.special import expit

    sizes = np.stack([team_counts(competitions, rng) for _ in range(repeats)])
    bases = rng.binomial(sizes, RESPONSE)
    size = np.log(sizes)
    size = (size - size.mean()) / (size.std() or 1.0)
    effect = sd * rng.standard_normal(sizes.shape) + link * size
    chance = expit(centre(marginal, sd) + effect)
    return rng.binomial(bases, chance), bases, chance


@component(version="1", requires=("numpy", "scipy"))
def aggregated(
    *,
    marginal: Share,
    sd: NonNegativeFloat = 0.7,
    link: float = 0.0,
    competitions: PositiveInt = 80,
    min_n: PositiveInt = 3,
    repeats: PositiveInt = 100,
    seed: Seed,
) -> Records:
    """How far the pooled share and the median over competitions lie apart.

    Args:
        marginal: Share of teams that say yes, over competitions without the link.
        sd: Standard deviation of competitions' effects on the logit scale.
        link: Change of the logit for one standard deviation of the logarithm of the team count.
        competitions: In each survey.
        min_n: Fewest teams that a competition's own share is taken from.
        repeats: Surveys.
        seed: Seed of everything.

    Returns:
        ``gap``, the mean distance between the two, the mean ``pooled`` share and the mean
        ``median``; and ``disagree``, the share of surveys in which one lies above a half and the
        other below.
    """
    rng = np.random.default_rng(seed)
    counts, bases, _ = counts_of(rng, repeats, competitions, marginal, sd, link)
    pooled = counts.sum(axis=1) / bases.sum(axis=1)
    ends, k = quartiles(counts / np.maximum(bases, 1), bases >= min_n)
    told = k > 0
    pooled, median = pooled[told], ends[told, 1]
    records = Records()
    records.add("gap", np.abs(pooled - median).mean())
    records.add("pooled", pooled.mean())
    records.add("median", median.mean())
    records.add("disagree", ((pooled - 0.5) * (median - 0.5) < 0).mean())
    return records


@component(version="1", requires=("numpy", "pandas"))
def strategies_found(winners: pd.DataFrame, *, planted: Mapping[str, Any] = {}) -> Records:
    """Compare the strategies that the model tells with those that were planted.

    Args:
        winners: The table of `winners`.
        planted: Effects by strategy.

    Returns:
        For each planted ``strategy`` whether it was ``found``, and its ``effect``; ``any_false``,
        whether any other was; ``unfitted``, how many had no fit.
    """
    records = Records()
    row: Any
    for _, row in winners.iterrows():
        if row["strategy"] in planted:
            records.add("found", bool(row["found"]), strategy=row["strategy"])
            if np.isfinite(row["effect"]):
                records.add("effect", row["effect"], strategy=row["strategy"])
    others = winners[~winners.strategy.isin(list(planted))]
    records.add("any_false", bool(others.found.any()))
    records.add("unfitted", int(winners.effect.isna().sum()), "strategies")
    task().progress(1, 1, "tables")
    return records
