"""Wilcoxon's signed-rank test of every pair of algorithms, for many resamples at a time."""

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

__all__ = ["ADJUSTMENTS", "Adjustment", "adjusted", "better"]

Adjustment = Literal["none", "bonferroni", "holm", "hochberg", "BH", "BY"]
ADJUSTMENTS: tuple[Adjustment, ...] = get_args(Adjustment)


def better(
    values: Float[np.ndarray, "case algorithm"],
    counts: Float[np.ndarray, "draw case"],
    *,
    small_better: bool,
) -> Float[np.ndarray, "draw algorithm algorithm"]:
    """One-sided p-value that an algorithm (row) is better than another (column).

    Paired signed-rank tests over the cases that both have, without those where they are equal, by
    the normal approximation with corrections for ties and continuity. What depends on the data
    alone (the order of differences) is done once for all resamples.

    Source: Wilcoxon 1945; the same numbers as ``scipy.stats.wilcoxon(x - y, zero_method="wilcox",
    correction=True, alternative="greater", method="asymptotic")``, and as R's ``wilcox.test``
    without exact p-values.

    Args:
        values: NaN where one is missing.
        counts: How often each case stands in each resample.
        small_better: Whether the smallest value is the best.

    Returns:
        NaN on the diagonal, and where no case tells two algorithms apart.
    """
    from scipy.special import ndtr

    gain = -values if small_better else values
    size = values.shape[1]
    p = np.full((len(counts), size, size), np.nan)
    for i in range(size):
        for j in range(i + 1, size):
            sum_for, sum_against, spread = _rank_sums(gain[:, i] - gain[:, j], counts)
            middle = (sum_for + sum_against) / 2
            with np.errstate(invalid="ignore", divide="ignore"):
                p[:, i, j] = ndtr(-(sum_for - middle - 0.5) / spread)
                p[:, j, i] = ndtr(-(sum_against - middle - 0.5) / spread)
    return p


def _rank_sums(
    difference: Float[np.ndarray, " case"], counts: Float[np.ndarray, "draw case"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of the ranks of positive and of negative differences, and their standard deviation."""
    told = np.flatnonzero(np.nan_to_num(difference))
    if not len(told):
        nothing = np.zeros(len(counts))
        return nothing, nothing, nothing
    order = told[np.argsort(np.abs(difference[told]), kind="stable")]
    size = np.abs(difference[order])
    starts = np.flatnonzero(np.r_[True, size[1:] != size[:-1]])
    drawn = counts[:, order]
    tied = np.add.reduceat(drawn, starts, axis=1)
    positive = np.add.reduceat(drawn * (difference[order] > 0), starts, axis=1)
    rank = tied.cumsum(axis=1) - (tied - 1) / 2
    n = tied.sum(axis=1)
    variance = n * (n + 1) * (2 * n + 1) / 24 - (tied**3 - tied).sum(axis=1) / 48
    return (
        (positive * rank).sum(axis=1),
        ((tied - positive) * rank).sum(axis=1),
        np.sqrt(variance),
    )


def adjusted(
    p: Float[np.ndarray, "*row test"], method: Adjustment
) -> Float[np.ndarray, "*row test"]:
    """P-values adjusted for how many tests a row holds; NaN is no test, as in R's ``p.adjust``.

    Source: Holm 1979; Hochberg 1988; Benjamini and Hochberg 1995; Benjamini and Yekutieli 2001.

    Example:
        >>> adjusted(np.array([0.01, 0.04, 0.03]), "holm").tolist()
        [0.03, 0.06, 0.06]
    """
    if method == "none":
        return p
    n = (~np.isnan(p)).sum(axis=-1, keepdims=True)
    order = np.argsort(p, axis=-1, kind="stable")  # NaN last
    rising = np.take_along_axis(p, order, axis=-1)
    place = np.arange(1, p.shape[-1] + 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        if method == "bonferroni":
            found = rising * n
        elif method == "holm":
            found = np.fmax.accumulate(rising * (n - place + 1), axis=-1)
        else:
            factor = n - place + 1 if method == "hochberg" else n / place
            if method == "BY":
                factor = factor * np.where(place <= n, 1 / place, 0.0).sum(axis=-1, keepdims=True)
            falling = np.where(np.isnan(rising), np.inf, rising * factor)
            found = np.minimum.accumulate(falling[..., ::-1], axis=-1)[..., ::-1]
    found = np.where(np.isnan(rising), np.nan, np.minimum(found, 1.0))
    placed = np.empty_like(found)
    np.put_along_axis(placed, order, found, axis=-1)
    return placed
