"""The ways to rank algorithms: aggregate then rank, rank then aggregate, test then rank.

Every way takes many resamples of the cases at once; a ranking of the data themselves is the
resample that holds each case once.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.errors import ParameterError
from assay.parts.ranking.ranks import TIES, Ties, ranks
from assay.parts.ranking.scores import Missing, Scores, treated
from assay.parts.ranking.signed_rank import ADJUSTMENTS, Adjustment, adjusted, better

__all__ = [
    "METHODS", "Aggregate", "Method", "Ranking", "Scheme", "consensus", "rank", "rank_draws",
    "significant",
]  # fmt: skip

Method = Literal["aggregate-then-rank", "rank-then-aggregate", "test-then-rank"]
METHODS: tuple[Method, ...] = get_args(Method)
Aggregate = Literal["mean", "median"] | float
MOST_CELLS = 20_000_000
"""Numbers held at once while many resamples are ranked."""


@dataclass(frozen=True)
class Scheme:
    """How a ranking is made.

    Attributes:
        method: In which order values are summarised and ranked.
        aggregate: ``mean``, ``median``, or a quantile in [0, 1].
        ties: Which of their ranks equal algorithms get.
        missing: What stands for a missing value. Ranking first gives it the worst rank, and takes
            no other rule.
        alpha: Level of the tests.
        adjust: How their p-values are adjusted, over all ordered pairs.
        seed: Of ties that are broken at random.
    """

    method: Method = "aggregate-then-rank"
    aggregate: Aggregate = "mean"
    ties: Ties = "min"
    missing: Missing | None = None
    alpha: float = 0.05
    adjust: Adjustment = "none"
    seed: int = 0

    def __post_init__(self) -> None:
        for what, said, known in (
            ("way to rank", self.method, METHODS),
            ("rule for ties", self.ties, TIES),
            ("adjustment of p-values", self.adjust, ADJUSTMENTS),
        ):
            if said not in known:
                raise ParameterError(f"no {what} {said!r}", accepted=f"one of {', '.join(known)}")
        if self.method == "rank-then-aggregate" and self.missing is not None:
            raise ParameterError(
                "who ranks before aggregating gives a missing value the worst rank",
                where="missing",
                accepted="None",
            )
        share = isinstance(self.aggregate, float | int) and 0 <= self.aggregate <= 1
        if not share and self.aggregate not in ("mean", "median"):
            raise ParameterError(
                f"no aggregate {self.aggregate!r}", accepted="mean, median, or a quantile in [0, 1]"
            )


@dataclass(frozen=True)
class Ranking:
    """Algorithms in order.

    Attributes:
        algorithms: Their names.
        score: What was ranked: the aggregated value, the aggregated rank, or the share of rivals
            that are beaten significantly ``[algorithm]``; NaN where there is no value.
        rank: 1 for the best ``[algorithm]``; NaN for who was left out with all values missing.
    """

    algorithms: tuple[str, ...]
    score: Float[np.ndarray, " algorithm"]
    rank: Float[np.ndarray, " algorithm"]


def rank(scores: Scores, scheme: Scheme = Scheme()) -> Ranking:
    """Rank the algorithms of a task.

    Raises:
        ParameterError: If values are missing and the scheme does not say what stands for them.

    Example:
        >>> s = Scores("", ("A", "B"), ("1", "2"), np.array([[0.9, 0.7], [0.5, 0.7]]), False)
        >>> rank(s).rank.tolist()  # equal but for rounding
        [1.0, 1.0]
    """
    score, ranked = rank_draws(scores, scheme, np.arange(len(scores.cases))[None])
    return Ranking(scores.algorithms, score[0], ranked[0])


def rank_draws(
    scores: Scores, scheme: Scheme, draws: Int[np.ndarray, "draw case"]
) -> tuple[Float[np.ndarray, "draw algorithm"], Float[np.ndarray, "draw algorithm"]]:
    """Rank the algorithms on many resamples of the cases.

    Args:
        scores: Of one task.
        scheme: How.
        draws: Positions of the cases in each resample; some may stand there more than once.

    Returns:
        What was ranked, and the ranks, as in `Ranking`.
    """
    rng = np.random.default_rng(scheme.seed)
    small_better = scores.small_better
    if scheme.method == "rank-then-aggregate":
        values = ranks(scores.values, small_better=small_better, ties=scheme.ties, rng=rng)
        score, small_better = _aggregated(values, draws, scheme.aggregate), True
    elif scheme.method == "aggregate-then-rank":
        score = _aggregated(treated(scores, scheme.missing), draws, scheme.aggregate)
    else:
        score, small_better = _beaten(scores, draws, scheme), False
    ranked = ranks(score, small_better=small_better, ties=scheme.ties, rng=rng)
    return score, np.where(np.isnan(score), np.nan, ranked)


def _aggregated(
    values: Float[np.ndarray, "case algorithm"],
    draws: Int[np.ndarray, "draw case"],
    aggregate: Aggregate,
) -> Float[np.ndarray, "draw algorithm"]:
    """One number for each algorithm and resample, from the values that are there."""
    if aggregate == "mean":
        return _exact_means(values, draws)
    share = 0.5 if aggregate == "median" else float(aggregate)
    parts = np.array_split(draws, -(-draws.size * values.shape[1] // MOST_CELLS))
    return np.concatenate([_quantile(values[part], share) for part in parts])


def _quantile(
    values: Float[np.ndarray, "draw case algorithm"], share: float
) -> Float[np.ndarray, "draw algorithm"]:
    """Quantile over the cases that are there (type 7 of Hyndman and Fan 1996, R's own)."""
    ordered = np.sort(values, axis=1)  # NaN last
    last = np.maximum((~np.isnan(values)).sum(axis=1) - 1, 0)
    below = np.floor(share * last).astype(int)
    above = np.minimum(below + 1, last)
    low, high = (np.take_along_axis(ordered, i[:, None], axis=1)[:, 0] for i in (below, above))
    part = share * last - below
    return (1 - part) * low + part * high


def _exact_means(
    values: Float[np.ndarray, "case algorithm"], draws: Int[np.ndarray, "draw case"]
) -> Float[np.ndarray, "draw algorithm"]:
    """Means whose sums are rounded once, so that equal ones are equal in whatever order they come.

    Otherwise a tie is broken by rounding, and a ranking invented (c_worstcase of challengeR).
    """
    found = np.full((len(draws), values.shape[1]), np.nan)
    for column, own in enumerate(values.T):
        there = ~np.isnan(own)
        complete = bool(there.all())
        for row, drawn in enumerate(draws):
            chosen = own[drawn] if complete else own[drawn[there[drawn]]]
            if len(chosen):
                found[row, column] = math.fsum(chosen.tolist()) / len(chosen)
    return found


def _beaten(
    scores: Scores, draws: Int[np.ndarray, "draw case"], scheme: Scheme
) -> Float[np.ndarray, "draw algorithm"]:
    """Share of an algorithm's rivals that it is significantly better than."""
    if len(scores.cases) == 1:
        warnings.warn(f"one case cannot tell algorithms apart (task {scores.task!r})", stacklevel=4)
    values = treated(scores, scheme.missing)
    rivals = max(len(scores.algorithms) - 1, 1)
    share = _significant(values, draws, scheme, scores.small_better).sum(axis=-1) / rivals
    return np.where(np.isnan(values).all(axis=0), np.nan, share)


def significant(scores: Scores, scheme: Scheme) -> Bool[np.ndarray, "algorithm algorithm"]:
    """Whether an algorithm (row) is significantly better than another (column).

    By one-sided signed-rank tests at the scheme's level, adjusted over all ordered pairs; two that
    no case tells apart are not.
    """
    every = np.arange(len(scores.cases))[None]
    values = treated(scores, scheme.missing)
    return _significant(values, every, scheme, scores.small_better)[0]


def _significant(
    values: Float[np.ndarray, "case algorithm"],
    draws: Int[np.ndarray, "draw case"],
    scheme: Scheme,
    small_better: bool,
) -> Bool[np.ndarray, "draw algorithm algorithm"]:
    counts = np.zeros((len(draws), len(values)))
    np.add.at(counts, (np.arange(len(draws))[:, None], draws), 1.0)
    p = better(values, counts, small_better=small_better)
    flat = adjusted(p.reshape(len(p), -1), scheme.adjust)
    return (flat <= scheme.alpha).reshape(p.shape)


def consensus(rankings: list[Ranking]) -> Ranking:
    """The order of algorithms over several tasks: by the mean of their ranks, ties averaged.

    It minimises the sum of squared distances to the rankings ("euclidean" in challengeR).

    Raises:
        ParameterError: If there is none, or they are not about the same algorithms.
    """
    if len({each.algorithms for each in rankings}) != 1:
        raise ParameterError("a consensus needs rankings of the same algorithms")
    columns = np.array([each.rank for each in rankings]).T
    score = np.array([math.fsum(row) / len(row) for row in columns.tolist()])
    ranked = ranks(score, small_better=True, ties="average")
    return Ranking(rankings[0].algorithms, score, np.where(np.isnan(score), np.nan, ranked))
