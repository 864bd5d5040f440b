"""How far a ranking can be trusted: the same ranking on cases drawn anew."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from assay.errors import DataError
from assay.parts.ranking.schemes import Ranking, Scheme, rank, rank_draws
from assay.parts.ranking.scores import Scores

__all__ = ["Stability", "case_draws", "kendall", "rank_counts", "stability", "too_small"]

TAIL = 2.5
"""Percent left out at either end of an interval."""


@dataclass(frozen=True)
class Stability:
    """A ranking, and what became of it on resamples of the cases.

    Attributes:
        scores: What was ranked.
        ranking: On the cases themselves.
        ranks: On each resample ``[draw, algorithm]``.
        tau: Kendall's tau-b of each of them with the ranking itself ``[draw]``; NaN where either
            has one rank for all.
    """

    scores: Scores
    ranking: Ranking
    ranks: Float[np.ndarray, "draw algorithm"]
    tau: Float[np.ndarray, " draw"]

    @property
    def first_share(self) -> Float[np.ndarray, " algorithm"]:
        """Share of resamples in which each algorithm is first; ties make the sum exceed 1."""
        return (self.ranks == 1).mean(axis=0)

    @property
    def interval(self) -> Float[np.ndarray, "2 algorithm"]:
        """Ends of the 95 % percentile interval of each algorithm's rank."""
        return np.nanpercentile(self.ranks, [TAIL, 100 - TAIL], axis=0)


def too_small(scores: Scores) -> str:
    """Why a task cannot be drawn anew, in words; empty if it can."""
    if len(scores.cases) < 2:
        return f"task {scores.task!r} has one case"
    return f"task {scores.task!r} has one algorithm" if len(scores.algorithms) < 2 else ""


def case_draws(cases: int, draws: int, rng: np.random.Generator) -> Int[np.ndarray, "draw case"]:
    """Resamples of as many cases as there are, with replacement."""
    return rng.integers(cases, size=(draws, cases))


def stability(
    scores: Scores,
    scheme: Scheme,
    *,
    draws: int = 1000,
    seed: int = 0,
    drawn: Int[np.ndarray, "draw case"] | None = None,
) -> Stability:
    """Repeat a ranking on resamples of the cases.

    Source: Wiesenfarth et al. 2021, Sci. Rep. 11, 2369.

    Args:
        scores: Of one task.
        scheme: How algorithms are ranked.
        draws: How many resamples; 1000 is usual.
        seed: Of the resamples.
        drawn: Resamples given as positions of cases, instead.

    Raises:
        DataError: If the task has one case or one algorithm.
    """
    reason = too_small(scores)
    if reason:
        raise DataError(f"{reason}, so its ranking cannot be drawn anew")
    if drawn is None:
        drawn = case_draws(len(scores.cases), draws, np.random.default_rng(seed))
    full = rank(scores, scheme)
    _, again = rank_draws(scores, scheme, drawn)
    return Stability(scores, full, again, kendall(again, full.rank))


def kendall(
    rows: Float[np.ndarray, "row algorithm"], reference: Float[np.ndarray, " algorithm"]
) -> Float[np.ndarray, " row"]:
    """Kendall's tau-b of each row with a reference, over the algorithms that both rank.

    Source: Kendall 1945, Biometrika 33, 239. NaN where a ranking has one rank for all.

    Example:
        >>> ranked = np.array([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0]])
        >>> kendall(ranked, ranked[0]).round(3).tolist()
        [1.0, 0.333]
    """
    one, two = np.triu_indices(rows.shape[-1], k=1)
    with np.errstate(invalid="ignore"):
        theirs = np.sign(rows[:, one] - rows[:, two])
        ours = np.broadcast_to(np.sign(reference[one] - reference[two]), theirs.shape)
        told = ~(np.isnan(theirs) | np.isnan(ours))
        theirs, ours = np.where(told, theirs, 0.0), np.where(told, ours, 0.0)
        pairs = np.sqrt((theirs**2).sum(axis=1) * (ours**2).sum(axis=1))
        return (theirs * ours).sum(axis=1) / np.where(pairs > 0, pairs, np.nan)


def rank_counts(ranked: Float[np.ndarray, "row algorithm"]) -> Int[np.ndarray, "rank algorithm"]:
    """How often each algorithm has each rank, the first row being rank 1; halves count below."""
    places = np.arange(1, ranked.shape[1] + 1)
    return (np.floor(ranked)[:, None, :] == places[None, :, None]).sum(axis=0)
