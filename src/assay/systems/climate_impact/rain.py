"""Design rain: how much falls once in T years, fitted to annual maxima, and the storm it makes.

Notable in this file:

* *One sign convention.* ``shape`` is Hosking's k, which is also scipy's ``c``: negative shapes have
  a heavier tail than Gumbel, positive ones an upper bound. It is minus the xi of Coles 2001.
* *Nested depths.* In the alternating-block storm the wettest k blocks lie together around the
  middle and hold exactly the design depth of k blocks, for every k.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from assay.errors import DataError, ParameterError
from assay.systems.climate_impact.rasters import Grid

__all__ = [
    "DepthDuration",
    "Distribution",
    "Hyetograph",
    "LMoments",
    "RainField",
    "alternating_blocks",
    "fit_depths",
    "fit_gev",
    "fit_gumbel",
    "l_moments",
    "nested_blocks",
]

Distribution = Literal["gumbel", "gev"]
LEAST_YEARS = 10
_EULER = 0.5772156649015329


@dataclass(frozen=True)
class Hyetograph:
    """Rain over time, the same on every cell.

    Attributes:
        times_s: Increasing times (s); rate i falls from time i to time i + 1.
        rain_mm_per_h: Rates (mm/h), one fewer than times (dry after the last time) or as many (the
            last rate holds on).
        label: What it is, for people.
        return_period_years: How rarely such a storm comes (years).
    """

    times_s: Float[np.ndarray, " times"]
    rain_mm_per_h: Float[np.ndarray, " rates"]
    label: str
    return_period_years: float

    @property
    def depth_mm(self) -> float:
        """Rain up to the last time (mm)."""
        spans = np.diff(self.times_s)
        return float(spans @ self.rain_mm_per_h[: spans.size]) / 3600.0


@dataclass(frozen=True)
class RainField:
    """Rain over time and space.

    Attributes:
        times_s: Increasing times (s); the rates i fall from time i to time i + 1.
        rain_mm_per_h: Rates (mm/h), shape ``(times - 1, rows, columns)``; dry after the last time.
        grid: Where the cells lie: the grid of the terrain.
        label: What it is, for people.
        return_period_years: How rarely such a storm comes (years).
    """

    times_s: Float[np.ndarray, " times"]
    rain_mm_per_h: Float[np.ndarray, "rates rows columns"]
    grid: Grid
    label: str
    return_period_years: float

    @property
    def depth_mm(self) -> Float[np.ndarray, "rows columns"]:
        """Rain of each cell up to the last time (mm)."""
        hours = np.diff(self.times_s) / 3600.0
        return np.tensordot(hours, self.rain_mm_per_h[: hours.size], axes=1)


@dataclass(frozen=True)
class DepthDuration:
    """Depth of rain by return period and duration.

    The annual maximum of the depth in ``reference_h`` hours has a generalised extreme value (GEV)
    distribution; depths of other durations follow simple scaling, depth ~ duration^exponent.

    Attributes:
        location_mm: Location of the GEV (mm).
        scale_mm: Its scale (mm), > 0.
        shape: Its shape, Hosking's k: 0 is Gumbel, negative is heavier; in (-1, 1).
        reference_h: Duration that location and scale hold for (h).
        exponent: Of simple scaling, in (0, 1): longer storms are deeper but less intense.
        note: Where the numbers come from.

    Raises:
        ParameterError: If a number is out of its range.

    Example:
        >>> rain = DepthDuration(60.0, 20.0, exponent=0.5)
        >>> round(rain.depth_mm(100.0), 1), round(rain.depth_mm(100.0, 6.0), 1)
        (152.0, 76.0)
    """

    location_mm: float
    scale_mm: float
    shape: float = 0.0
    reference_h: float = 24.0
    exponent: float = 0.35
    note: str = ""

    def __post_init__(self) -> None:
        _require(self.location_mm > 0, "location_mm", self.location_mm, "mm, > 0")
        _require(self.scale_mm > 0, "scale_mm", self.scale_mm, "mm, > 0")
        _require(-1 < self.shape < 1, "shape", self.shape, "a number between -1 and 1")
        _require(self.reference_h > 0, "reference_h", self.reference_h, "hours, > 0")
        _require(0 < self.exponent < 1, "exponent", self.exponent, "a number between 0 and 1")

    def depth_mm(self, return_period_years: float, duration_h: float | None = None) -> float:
        """Depth (mm) reached or exceeded in one year of ``return_period_years``.

        x_T = location + scale (1 - y^shape) / shape with y = -ln(1 - 1/T), whose limit for shape 0
        is Gumbel's location - scale ln(y).

        Args:
            return_period_years: T (years), > 1, since 1/T is a probability in a year.
            duration_h: Duration (h); the reference duration if not given.

        Raises:
            ParameterError: If T or the duration is out of range, or the depth is not positive.
        """
        hours = self.reference_h if duration_h is None else duration_h
        _require(return_period_years > 1, "return_period_years", return_period_years, "years, > 1")
        _require(hours > 0, "duration_h", hours, "hours, > 0")
        log_y = math.log(-math.log1p(-1.0 / return_period_years))
        # expm1 is exact down to the smallest shapes, so the limit needs no threshold
        reduced = -math.expm1(self.shape * log_y) / self.shape if self.shape else -log_y
        depth = self.location_mm + self.scale_mm * reduced
        if depth <= 0:
            raise ParameterError(
                f"the depth of the {return_period_years:g}-year storm is {depth:.3g} mm",
                where="return_period_years",
                next="Take a longer return period, or a scale that is small against the location.",
            )
        return depth * (hours / self.reference_h) ** self.exponent


def alternating_blocks(
    statistics: DepthDuration,
    *,
    return_period_years: float,
    duration_h: float,
    block_min: float,
    runoff_coefficient: float = 1.0,
) -> Hyetograph:
    """Build a design storm by the alternating-block method (Chow, Maidment and Mays 1988, 14.4).

    The depth of k blocks minus that of k - 1 gives the k-th wettest block; blocks are laid around
    the middle in turn, later first.

    Args:
        statistics: Depths by return period and duration.
        return_period_years: T (years), > 1.
        duration_h: Length of the storm (h).
        block_min: Length of a block (min); the storm is a whole number of them.
        runoff_coefficient: Share of the rain that runs off, in (0, 1]: only that is in the result,
            since what the solver receives does not infiltrate.

    Raises:
        ParameterError: If a number is out of range or the blocks do not fill the storm.
    """
    return nested_blocks(
        lambda hours: statistics.depth_mm(return_period_years, hours),
        duration_h=duration_h,
        block_min=block_min,
        runoff_coefficient=runoff_coefficient,
        label=f"{return_period_years:g}-year storm",
        return_period_years=return_period_years,
    )


def nested_blocks(
    depth_mm: Callable[[float], float],
    *,
    duration_h: float,
    block_min: float,
    runoff_coefficient: float,
    label: str,
    return_period_years: float,
) -> Hyetograph:
    """Lay a storm out in blocks of which the wettest k hold the depth of their duration, for all k.

    Args:
        depth_mm: Depth (mm) of a duration (h), growing with it, by less and less.
        duration_h: Length of the storm (h).
        block_min: Length of a block (min).
        runoff_coefficient: Share of the rain that is kept.
        label: What it is, for people.
        return_period_years: How rarely such a storm comes (years).

    Raises:
        ParameterError: If a number is out of range or the blocks do not fill the storm.
    """
    _require(duration_h > 0, "duration_h", duration_h, "hours, > 0")
    _require(block_min > 0, "block_min", block_min, "minutes, > 0")
    _require(0 < runoff_coefficient <= 1, "runoff_coefficient", runoff_coefficient, "0 to 1")
    count = round(duration_h * 60.0 / block_min)
    if count < 1 or abs(count * block_min - duration_h * 60.0) > 1e-9 * duration_h * 60.0:
        raise ParameterError(
            f"blocks of {block_min:g} min do not fill {duration_h:g} h",
            where="block_min",
            accepted="a whole number of blocks",
        )
    hours = block_min / 60.0
    wettest_first = np.diff([depth_mm(k * hours) for k in range(1, count + 1)], prepend=0.0)
    # Positions by distance from the middle, the later of two first: m, m+1, m-1, m+2, ...
    middle = (count - 1) // 2
    order = sorted(range(count), key=lambda at: (abs(at - middle), at < middle))
    blocks = np.empty(count)
    blocks[order] = wettest_first
    return Hyetograph(
        np.arange(count + 1) * (block_min * 60.0),
        blocks * (runoff_coefficient / hours),
        label,
        float(return_period_years),
    )


class LMoments(NamedTuple):
    """The first two sample L-moments and the L-skewness, t3 = l3 / l2."""

    l1: float
    l2: float
    t3: float


def l_moments(sample: Sequence[float] | Float[np.ndarray, " years"]) -> LMoments:
    """Unbiased sample L-moments (Hosking 1990), from probability-weighted moments.

    Raises:
        DataError: If there are fewer than three values, one is not finite, or all are equal.

    Example:
        >>> moments = l_moments([4.0, 1.0, 3.0, 2.0])
        >>> round(moments.l1, 6), round(moments.l2, 6), abs(moments.t3) < 1e-12
        (2.5, 0.833333, True)
    """
    x = np.sort(np.asarray(sample, float))
    if x.ndim != 1 or x.size < 3 or not np.isfinite(x).all():
        raise DataError("not a sample", accepted="at least three finite numbers")
    n, j = x.size, np.arange(x.size)
    b0 = float(x.mean())
    b1 = float((j / (n - 1) * x).mean())
    b2 = float((j * (j - 1) / ((n - 1) * (n - 2)) * x).mean())
    l2 = 2 * b1 - b0
    if l2 <= 1e-12 * abs(b0):
        raise DataError("all values of the sample are equal")
    return LMoments(b0, l2, (6 * b2 - 6 * b1 + b0) / l2)


def fit_gumbel(moments: LMoments) -> tuple[float, float]:
    """Location and scale of the Gumbel distribution with these L-moments (Hosking 1990)."""
    scale = moments.l2 / math.log(2.0)
    return moments.l1 - _EULER * scale, scale


def fit_gev(moments: LMoments) -> tuple[float, float, float]:
    """Location, scale and shape k of the GEV with these L-moments.

    Hosking, Wallis and Wood 1985, eq. 14; the shape is the root of the L-skewness itself, not of
    the usual approximation.

    Raises:
        DataError: If no shape in (-1, 1) has this L-skewness.
    """
    from scipy.optimize import brentq

    def excess(k: float) -> float:
        small = abs(k) < 1e-9
        ratio = math.log(3) / math.log(2) if small else math.expm1(-k * math.log(3)) / _two(k)
        return 2.0 * ratio - 3.0 - moments.t3

    low, high = -1.0 + 1e-9, 1.0 - 1e-9
    if excess(low) < 0 or excess(high) > 0:
        raise DataError(
            f"L-skewness {moments.t3:.3g} is that of no GEV with a shape between -1 and 1",
            next="Fit a Gumbel distribution, or look for an outlier.",
        )
    k = float(brentq(excess, low, high, xtol=1e-12))  # pyright: ignore[reportArgumentType]
    if abs(k) < 1e-9:
        return *fit_gumbel(moments), 0.0
    gamma = math.gamma(1.0 + k)
    scale = -moments.l2 * k / (_two(k) * gamma)
    return moments.l1 - scale * (1.0 - gamma) / k, scale, k


def _two(k: float) -> float:
    """2^-k - 1."""
    return math.expm1(-k * math.log(2))


def fit_depths(
    annual_maxima_mm: Sequence[float] | Float[np.ndarray, " years"],
    *,
    distribution: Distribution,
    reference_h: float = 24.0,
    exponent: float = 0.35,
) -> DepthDuration:
    """Fit depths by return period to annual maxima, by L-moments.

    Args:
        annual_maxima_mm: Largest depth of each year in ``reference_h`` hours (mm), any order.
        distribution: ``gumbel`` (two parameters) or ``gev`` (three; it needs long series).
        reference_h: Duration the maxima hold for (h).
        exponent: Of simple scaling to other durations; one duration alone cannot tell it.

    Raises:
        DataError: If there are fewer than ten years, or they fit no such distribution.
    """
    years = len(annual_maxima_mm)
    if years < LEAST_YEARS:
        raise DataError(
            f"{years} annual maxima say too little about rare storms",
            accepted=f"at least {LEAST_YEARS}",
        )
    moments = l_moments(annual_maxima_mm)
    shape = 0.0
    if distribution == "gev":
        location, scale, shape = fit_gev(moments)
    else:
        location, scale = fit_gumbel(moments)
    title = {"gev": "GEV", "gumbel": "Gumbel"}[distribution]
    note = f"{title} fitted by L-moments to {years} annual maxima of {reference_h:g} h"
    return DepthDuration(location, scale, shape, reference_h, exponent, note)


def _require(true: bool, name: str, value: float, accepted: str) -> None:
    if not true:
        raise ParameterError(f"got {value:g}", where=name, accepted=accepted)
