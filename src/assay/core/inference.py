"""Interval estimation for a mean of few, independent effects.

Student's t below five units; from five on the studentised bootstrap (bootstrap-t, Efron and
Tibshirani 1993, section 12.5), whose one-sided error stays near the nominal 2.5 % for normal,
heavy-tailed and discrete effects from n = 5 on. The percentile bootstrap does not: over three
seeds it calls about one null in eight significant.

Limit: for strongly skewed effects (lognormal with unit log-variance) no interval from few units is
honest on the side of the long tail. Simulated, its one-sided error is 15 to 18 % for t and 10 % for
bootstrap-t at n = 5, and bootstrap-t needs about 50 units to come down to 5 %. Take logarithms
(`ratio`) or more units.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

LEVEL = 0.95
FEWEST_FOR_BOOTSTRAP = 5
RESAMPLES = 1999


class Interval(NamedTuple):
    """A mean with its two-sided 95 % interval.

    Attributes:
        effect: Mean of the effects.
        low: Lower end.
        high: Upper end.
        n: Number of units.
        method: ``t``, ``bootstrap-t`` or ``exact`` (all effects equal).
    """

    effect: float
    low: float
    high: float
    n: int
    method: str


def interval(effects: np.ndarray, seed: int = 0) -> Interval:
    """Estimate the mean of independent effects.

    Args:
        effects: One effect per resampling unit, shape ``(n,)``, finite, ``n >= 2``.
        seed: Seed of the resampling.

    Raises:
        ValueError: If there are fewer than two effects, or one is not finite.

    Example:
        >>> interval(np.array([1.0, 2.0, 3.0])).method
        't'
    """
    values = np.asarray(effects, dtype=float)
    if values.size < 2 or not np.isfinite(values).all():
        raise ValueError("an interval needs at least two finite effects")
    mean = float(values.mean())
    if np.ptp(values) <= 1e-12 * max(1.0, abs(mean)):
        return Interval(mean, mean, mean, values.size, "exact")
    if values.size < FEWEST_FOR_BOOTSTRAP:
        low, high = t_bounds(values[None, :])
        return Interval(mean, float(low[0]), float(high[0]), values.size, "t")
    low, high = bootstrap_t_bounds(values[None, :], seed)
    return Interval(mean, float(low[0]), float(high[0]), values.size, "bootstrap-t")


def t_bounds(effects: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Student's t intervals of many samples at once, shape ``(samples, n)`` each."""
    from scipy.stats import t

    n = effects.shape[1]
    mean, error = effects.mean(axis=1), effects.std(axis=1, ddof=1) / np.sqrt(n)
    reach = t.ppf(0.5 + LEVEL / 2, n - 1) * error
    return mean - reach, mean + reach


def bootstrap_t_bounds(effects: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Studentised bootstrap intervals of many samples at once, shape ``(samples, n)`` each.

    The same resampling indices serve every sample. Where so many resamples have no spread that a
    quantile is infinite (few, discrete effects), Student's t takes its place.
    """
    n = effects.shape[1]
    draw = _resamples(n, seed)
    low, high = t_bounds(effects)
    order = [0.5 - LEVEL / 2, 0.5 + LEVEL / 2]
    for row, values in enumerate(effects):
        mean, error = values.mean(), values.std(ddof=1) / np.sqrt(n)
        again = values[draw]
        shift = again.mean(axis=1) - mean
        spread = again.std(axis=1, ddof=1) / np.sqrt(n)
        flat = spread <= 1e-12 * error
        ratio = np.divide(shift, spread, out=np.sign(shift) * np.inf, where=~flat)
        ratio[flat & (shift == 0)] = 0.0
        below, above = np.quantile(ratio, order, method="inverted_cdf")
        if np.isfinite(above):
            low[row] = mean - above * error
        if np.isfinite(below):
            high[row] = mean - below * error
    return low, high


@lru_cache(maxsize=8)
def _resamples(n: int, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))
    draw.setflags(write=False)
    return draw


def power(effect: float, spread: float, n: int, *, beyond: float = 0.0) -> float:
    """Chance that the lower end of the interval lies above ``beyond``.

    From the noncentral t distribution with standard deviation ``spread`` of one effect; the
    bootstrap's power is close to it for effects that are not far from normal.

    Example:
        >>> round(power(1.0, 1.0, 20), 2)
        0.99
    """
    from scipy.stats import nct, t

    if n < 2 or spread <= 0:
        return float(effect > beyond) if n >= 2 else 0.0
    shift = (effect - beyond) / spread * np.sqrt(n)
    return float(nct.sf(t.ppf(0.5 + LEVEL / 2, n - 1), n - 1, shift))
