"""Shares with their uncertainty: Wilson's interval, a bootstrap over competitions, quartiles.

Everything takes counts, one row per item (an option of a question) and one column per competition,
so that a survey of any size is resampled in one product of matrices.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

__all__ = [
    "FEWEST_CLUSTERS",
    "LEVEL",
    "Bounds",
    "Counts",
    "cluster_bounds",
    "cluster_medians",
    "quartiles",
    "resamples",
    "wilson",
]

LEVEL = 0.95
FEWEST_CLUSTERS = 5
"""Below it a bootstrap over competitions has no interval: it would be too narrow."""
MOST_CELLS = 20_000_000
"""Numbers held at once while medians are resampled."""

Counts = Int[np.ndarray, "item competition"]
Bounds = tuple[Float[np.ndarray, " item"], Float[np.ndarray, " item"]]


def wilson(count: Int[np.ndarray, " item"], base: Int[np.ndarray, " item"]) -> Bounds:
    """Wilson's score interval of a share, as if every team were drawn by itself.

    Source: Wilson 1927, J. Am. Stat. Assoc. 22, 209.

    Args:
        count: Teams that gave the answer.
        base: Teams that were asked.

    Returns:
        Ends of the 95 % interval; NaN where nobody was asked.

    Example:
        >>> low, high = wilson(np.array([11]), np.array([16]))
        >>> round(float(low[0]), 4), round(float(high[0]), 4)
        (0.444, 0.8584)
    """
    from scipy.special import ndtri

    z = float(ndtri(0.5 + LEVEL / 2))
    n = np.where(base > 0, base, np.nan)
    share = count / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.clip(middle - reach, 0.0, 1.0), np.clip(middle + reach, 0.0, 1.0)


def resamples(competitions: int, draws: int, seed: int) -> Float[np.ndarray, "draw competition"]:
    """How often each competition stands in each resample of as many competitions.

    Whole numbers, but as floats: their products with counts are then those of fast matrices.
    """
    chances = np.full(competitions, 1.0 / competitions)
    return np.random.default_rng(seed).multinomial(competitions, chances, draws).astype(float)


def cluster_bounds(
    counts: Counts, bases: Counts, weights: Float[np.ndarray, "draw competition"]
) -> Bounds:
    """Percentile interval of a pooled share when whole competitions are drawn anew.

    Teams of one competition resemble each other, which Wilson's interval does not see.

    Args:
        counts: Teams that gave the answer, by competition.
        bases: Teams that were asked, by competition.
        weights: What `resamples` gave.

    Returns:
        Ends of the 95 % interval; NaN where fewer than five competitions were asked, or all of
        them agree, since then every resample gives the same.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = (weights @ counts.T.astype(float)) / (weights @ bases.T.astype(float))
    tail = 50 * (1 - LEVEL)
    told = (bases > 0).sum(axis=1) >= FEWEST_CLUSTERS
    ends = np.full((2, len(counts)), np.nan)
    if told.any():
        ends[:, told] = np.nanpercentile(drawn[:, told], [tail, 100 - tail], axis=0)
    ends[:, ends[0] == ends[1]] = np.nan
    return ends[0], ends[1]


def quartiles(
    values: Float[np.ndarray, "item competition"], told: Bool[np.ndarray, "item competition"]
) -> tuple[Float[np.ndarray, "item 3"], Int[np.ndarray, " item"]]:
    """First quartile, median and third quartile over competitions, and how many there are.

    Quantiles interpolate linearly (type 7 of Hyndman and Fan 1996, R's and numpy's own).

    Args:
        values: A share or a median for every competition.
        told: Which of them count.

    Example:
        >>> shares = np.array([[0.9, 0.0, 0.5]])
        >>> ends, k = quartiles(shares, np.ones((1, 3), bool))
        >>> ends.tolist(), k.tolist()
        ([[0.25, 0.5, 0.7]], [3])
    """
    found = np.full((len(values), 3), np.nan)
    k = told.sum(axis=1)
    for item in np.flatnonzero(k):
        found[item] = np.quantile(values[item, told[item]], [0.25, 0.5, 0.75])
    return found, k


def cluster_medians(
    values: Float[np.ndarray, " team"],
    competition: Int[np.ndarray, " team"],
    weights: Float[np.ndarray, "draw competition"],
) -> tuple[float, float]:
    """Percentile interval of a pooled median when whole competitions are drawn anew.

    The median of a resample is the smallest value that at least half of its teams do not exceed.

    Returns:
        Ends of the 95 % interval; NaN under the conditions of `cluster_bounds`.
    """
    if len(np.unique(competition)) < FEWEST_CLUSTERS:
        return np.nan, np.nan
    ordered, place = np.unique(values, return_inverse=True)
    table = np.zeros((weights.shape[1], len(ordered)))
    np.add.at(table, (competition, place), 1.0)
    drawn = []
    for part in np.array_split(weights, -(-weights.shape[0] * len(ordered) // MOST_CELLS)):
        reached = np.cumsum(part @ table, axis=1)
        some = reached[reached[:, -1] > 0]
        drawn.append(ordered[(2 * some >= some[:, -1:]).argmax(axis=1)])
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(np.concatenate(drawn), [tail, 100 - tail])
    return (float(low), float(high)) if low < high else (np.nan, np.nan)
