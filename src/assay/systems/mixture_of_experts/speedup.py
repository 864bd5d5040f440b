"""The speed-up factor: how much less a sparse family costs than a dense one, at equal performance.

Between two neighbouring models of a family, the cost of a performance t is read off linearly in
the performance and logarithmically in the cost:

    r = (t - t_lo) / (t_hi - t_lo)        c(t) = exp(log c_lo + r (log c_hi - log c_lo))

and the factor is c_dense(t) / c_sparse(t). Nothing is extrapolated: where t lies beyond the
performances of either family, the factor is undefined, ``outside range``.

Notable in this file: a family need not get better with every step in cost. What counts then is its
running best: a model that is not better than every cheaper one is passed over, and the result says
how many were. The interval over documents resamples the same documents for all models.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

__all__ = [
    "OUTSIDE",
    "Bootstrapped",
    "Family",
    "Point",
    "SpeedUp",
    "SpeedUps",
    "bootstrap_speed_up",
    "cost_to_reach",
    "speed_up",
]

OUTSIDE = "outside range"
LEVEL = 0.95
_AT_ONCE = 128  # resamples, to bound the memory


class Point(NamedTuple):
    """A trained model.

    Attributes:
        cost: What its training cost, in any unit, above 0.
        performance: How good it is.
    """

    cost: float
    performance: float


class SpeedUp(NamedTuple):
    """The factor at one level of performance.

    Attributes:
        level: The performance.
        factor: Cost of the dense family over that of the sparse one; None where it is undefined.
        dense_cost: What the dense family needs to reach the level; None outside its range.
        sparse_cost: What the sparse family needs; None outside its range.
        reason: Why there is no factor; empty where there is one.
    """

    level: float
    factor: float | None
    dense_cost: float | None
    sparse_cost: float | None
    reason: str


class SpeedUps(NamedTuple):
    """The factor at every level that a family attains.

    Attributes:
        levels: From the worst performance to the best.
        passed_over: Models of the dense and of the sparse family that are not better than all
            cheaper ones of their family; the running best stands for them.
    """

    levels: list[SpeedUp]
    passed_over: tuple[int, int]


def speed_up(dense: Sequence[Point], sparse: Sequence[Point], *, lower_is_better: bool) -> SpeedUps:
    """The speed-up factor at every observed level of either family.

    Args:
        dense: Models of the dense family, in any order.
        sparse: Models of the sparse family.
        lower_is_better: Whether a smaller performance is better, as of perplexity.

    Raises:
        ValueError: If a family is empty, a cost is not above 0 or a performance not finite.

    Example:
        >>> found = speed_up(
        ...     [Point(1.0, 0.4), Point(4.0, 0.6)], [Point(1.0, 0.5)], lower_is_better=False
        ... )
        >>> [(at.level, at.factor, at.reason) for at in found.levels]
        [(0.4, None, 'outside range'), (0.5, 2.0, ''), (0.6, None, 'outside range')]
    """
    sign = -1.0 if lower_is_better else 1.0
    fronts = [_Front.of(*_arrays(points), sign) for points in (dense, sparse)]
    levels = np.unique(np.concatenate([front.attained() for front in fronts]))
    costs = [front.cost(levels)[0] for front in fronts]
    found = [
        _at(float(sign * level), *map(_or_none, pair))
        for level, *pair in zip(levels, *costs, strict=True)
    ]
    counts = [len(points) - front.better.sum() for points, front in zip((dense, sparse), fronts,
                                                                       strict=True)]  # fmt: skip
    return SpeedUps(found, (int(counts[0]), int(counts[1])))


def cost_to_reach(points: Sequence[Point], level: float, *, lower_is_better: bool) -> float | None:
    """What a family needs to reach a level; None outside its range.

    Example:
        >>> cost_to_reach([Point(1.0, 0.4), Point(4.0, 0.6)], 0.5, lower_is_better=False)
        2.0
    """
    sign = -1.0 if lower_is_better else 1.0
    return _or_none(_Front.of(*_arrays(points), sign).cost(np.array([sign * level]))[0, 0])


def _at(level: float, dense: float | None, sparse: float | None) -> SpeedUp:
    if dense is None or sparse is None:
        return SpeedUp(level, None, dense, sparse, OUTSIDE)
    return SpeedUp(level, dense / sparse, dense, sparse, "")


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _arrays(points: Sequence[Point]) -> tuple[np.ndarray, np.ndarray]:
    costs, performances = (np.array(side, dtype=float) for side in zip(*points, strict=True))
    return costs, performances[None, :]


class _Front(NamedTuple):
    """The running best of a family in each of several samples, higher being better.

    Attributes:
        costs: Logarithms, increasing.
        best: Best performance up to each cost.
        better: Where a model is better than all cheaper ones.
        before: For each model, the last better one before it; itself for the first.
    """

    costs: Float[np.ndarray, " models"]
    best: Float[np.ndarray, "samples models"]
    better: Float[np.ndarray, "samples models"]
    before: Float[np.ndarray, "samples models"]

    @classmethod
    def of(
        cls,
        costs: Float[np.ndarray, " models"],
        performances: Float[np.ndarray, "samples models"],
        sign: float,
    ) -> "_Front":
        if not (np.isfinite(costs).all() and (costs > 0).all() and np.isfinite(performances).all()):
            raise ValueError("costs must be above 0, performances finite")
        signed = sign * performances
        order = np.lexsort((-signed.mean(0), costs))  # of equal cost, the best first
        signed = signed[:, order]
        best = np.maximum.accumulate(signed, axis=1)
        better = np.ones(best.shape, dtype=bool)
        better[:, 1:] = best[:, 1:] > best[:, :-1]
        last = np.maximum.accumulate(np.where(better, np.arange(best.shape[1]), 0), axis=1)
        before = np.concatenate([last[:, :1], last[:, :-1]], axis=1)
        return cls(np.log(costs[order]), best, better, before)

    def attained(self) -> Float[np.ndarray, " levels"]:
        """Performances of the better models of the first sample."""
        return self.best[0, self.better[0]]

    def cost(self, levels: Float[np.ndarray, " levels"]) -> Float[np.ndarray, "samples levels"]:
        """What each level costs; NaN beyond the worst and the best model."""
        reached = self.best[:, None, :] >= levels[:, None]
        at = reached.argmax(axis=2)
        rows = np.arange(len(self.best))[:, None]
        low, high = self.best[rows, self.before[rows, at]], self.best[rows, at]
        share = np.divide(levels - low, high - low, out=np.ones_like(low), where=high > low)
        begin, end = self.costs[self.before[rows, at]], self.costs[at]
        inside = reached.any(axis=2) & (levels >= self.best[:, :1])
        return np.where(inside, np.exp(begin + share * (end - begin)), np.nan)


# -- the interval over documents ----------------------------------------------------------------


class Family(NamedTuple):
    """A family as it was measured, document by document.

    Attributes:
        costs: Training cost of each model.
        sums: What is summed in each document: negative log-likelihood in nats, or right answers.
        counts: What the sums are divided by: the tokens of each document, or ones. Equal for both
            families.
    """

    costs: Float[np.ndarray, " models"]
    sums: Float[np.ndarray, "models documents"]
    counts: Float[np.ndarray, " documents"]


class Bootstrapped(NamedTuple):
    """Intervals of the factor over evaluation documents.

    Attributes:
        levels: The levels of performance.
        low: Lower ends of the 95 % percentile intervals; NaN where no resample has a factor.
        high: Upper ends.
        defined: Share of the resamples in which there is a factor. The interval is of these alone:
            where the share is well below 1, the level lies at the edge of what was measured.
    """

    levels: Float[np.ndarray, " levels"]
    low: Float[np.ndarray, " levels"]
    high: Float[np.ndarray, " levels"]
    defined: Float[np.ndarray, " levels"]


def bootstrap_speed_up(
    dense: Family,
    sparse: Family,
    levels: Sequence[float],
    *,
    lower_is_better: bool,
    performance: Callable[[np.ndarray], np.ndarray] = np.exp,
    resamples: int = 1000,
    seed: int = 0,
) -> Bootstrapped:
    """Interval of the factor at fixed levels, over the documents of the evaluation.

    Documents are drawn with replacement, the same for every model; each model's performance, the
    running best and the factor are found anew in each resample.

    Args:
        dense: The dense family.
        sparse: The sparse family, measured on the same documents.
        levels: Performances, such as those that `speed_up` finds.
        lower_is_better: As for `speed_up`.
        performance: From the ratio of sums to counts to the performance; the default makes
            perplexity of nats per token. For accuracies, ``np.asarray``.
        resamples: Number of resamples.
        seed: Seed of the resampling.

    Raises:
        ValueError: If the families were measured on different documents.
    """
    if not np.array_equal(dense.counts, sparse.counts):
        raise ValueError("the two families were not measured on the same documents")
    sign, wanted = (-1.0 if lower_is_better else 1.0), np.asarray(levels, dtype=float)
    random, documents = np.random.default_rng(seed), len(dense.counts)
    found: list[np.ndarray] = []
    for begin in range(0, resamples, _AT_ONCE):
        size = min(_AT_ONCE, resamples - begin)
        times = random.multinomial(documents, np.full(documents, 1 / documents), size)
        costs = []
        for family in (dense, sparse):
            ratios = times @ family.sums.T / (times @ family.counts)[:, None]
            costs.append(_Front.of(family.costs, performance(ratios), sign).cost(sign * wanted))
        found.append(costs[0] / costs[1])
    return _intervals(wanted, np.concatenate(found))


def _intervals(
    levels: Float[np.ndarray, " levels"], factors: Float[np.ndarray, "resamples levels"]
) -> Bootstrapped:
    defined = np.isfinite(factors)
    bounds = np.full((2, len(levels)), np.nan)
    ends = (0.5 - LEVEL / 2, 0.5 + LEVEL / 2)
    for k in np.flatnonzero(defined.any(axis=0)):
        bounds[:, k] = np.quantile(factors[defined[:, k], k], ends)
    return Bootstrapped(levels, bounds[0], bounds[1], defined.mean(axis=0))
