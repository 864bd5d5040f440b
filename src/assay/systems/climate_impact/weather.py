"""A stochastic weather generator: wet and dry days by a Markov chain, gamma amounts, by month.

Notable in this file:

* *What is generated can be fitted again.* A wet day has more than ``wet_mm``; its amount is that
  threshold plus a gamma variate, so no wet day comes out dry.
* *A chain without a loop.* With one uniform number a day, the next state is wet whatever the last
  was, dry whatever it was, or it depends. Only the days that decide alone matter, so ten
  thousand years are a running maximum away.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field

from assay.core.component import File, Seed, component
from assay.errors import DataError
from assay.systems.climate_impact import rain
from assay.systems.climate_impact.daily import (
    MONTH_OF_DAY,
    DailyRain,
    Gaps,
    read_days,
    yearly_maxima,
)
from assay.systems.climate_impact.rain import DepthDuration

__all__ = [
    "WeatherModel",
    "fit_days",
    "fit_maxima",
    "fit_weather",
    "generate_weather",
    "stated_weather",
]

LEAST_WET_DAYS = 20  # of each month, over all years: fewer say little about a shape

Chance = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0, le=1000)]
Twelve = Field(min_length=12, max_length=12)
Chances = Chance | Annotated[list[Chance], Twelve]
Positives = Positive | Annotated[list[Positive], Twelve]


@dataclass(frozen=True)
class WeatherModel:
    """Daily rain by calendar month, January first.

    Attributes:
        wet_after_dry: Probability that the day after a dry one is wet, p01.
        wet_after_wet: Probability that the day after a wet one is wet, p11.
        shape: Shape of the gamma distribution of the rain above ``wet_mm`` on wet days.
        scale_mm: Its scale (mm).
        wet_mm: A day with more rain than this is wet (mm).
        note: Where the numbers come from.
    """

    wet_after_dry: Float[np.ndarray, "12"]
    wet_after_wet: Float[np.ndarray, "12"]
    shape: Float[np.ndarray, "12"]
    scale_mm: Float[np.ndarray, "12"]
    wet_mm: float
    note: str = ""

    @property
    def wet_share(self) -> Float[np.ndarray, "12"]:
        """Share of wet days if a month went on for ever: p01 / (1 + p01 - p11)."""
        return self.wet_after_dry / (1.0 + self.wet_after_dry - self.wet_after_wet)

    @property
    def wet_day_mm(self) -> Float[np.ndarray, "12"]:
        """Mean rain of a wet day (mm)."""
        return self.wet_mm + self.shape * self.scale_mm


# -- components ---------------------------------------------------------------------------------


@component(version="1", requires=("pint", "scipy"))
def fit_weather(
    *,
    path: File,
    date_column: str = "date",
    rain_column: str = "rain",
    unit: str | None = None,
    wet_mm: Annotated[float, Field(ge=0, le=5)] = 0.1,
    gaps: Gaps = "refuse",
) -> WeatherModel:
    """Fit the weather generator to a daily series.

    Transition probabilities are counted, gamma distributions fitted by maximum likelihood.

    Args:
        path: CSV file with one row per day.
        date_column: Column of the dates (ISO 8601, as in 2007-06-08).
        rain_column: Column of the rain.
        unit: Unit of the rain, such as mm, unless the header says it, as in ``rain [mm]``.
        wet_mm: A day with more rain than this is wet (mm).
        gaps: What to do with missing days: refuse, or skip the days they touch.

    Raises:
        DataError: With file and line, if a day is missing or there twice, or rain is negative or
            implausible; or if a month has too few wet days.
    """
    days = read_days(path, date_column=date_column, rain_column=rain_column, unit=unit, gaps=gaps)
    note = f"{days.rain_mm.size} days of {path.name}"
    return fit_days(days.number, days.month, days.rain_mm, wet_mm=wet_mm, note=note)


@component(version="1")
def stated_weather(
    *,
    wet_after_dry: Chances,
    wet_after_wet: Chances,
    shape: Positives,
    scale_mm: Positives,
    wet_mm: Annotated[float, Field(ge=0, le=5)] = 0.1,
) -> WeatherModel:
    """A weather generator from numbers, each the same all year or one per month, January first.

    Args:
        wet_after_dry: Probability that the day after a dry one is wet.
        wet_after_wet: Probability that the day after a wet one is wet.
        shape: Shape of the gamma distribution of the rain above ``wet_mm`` on wet days.
        scale_mm: Its scale (mm).
        wet_mm: A day with more rain than this is wet (mm).
    """
    after_dry, after_wet, shapes, scales = (
        np.broadcast_to(np.asarray(given, float), 12).copy()
        for given in (wet_after_dry, wet_after_wet, shape, scale_mm)
    )
    return WeatherModel(after_dry, after_wet, shapes, scales, wet_mm, "stated numbers")


@component(version="1", requires=("numpy",), keep=False)
def generate_weather(
    model: WeatherModel, *, years: Annotated[int, Field(ge=1, le=100_000)] = 1000, seed: Seed
) -> DailyRain:
    """Draw years of daily rain.

    Args:
        model: The weather.
        years: How many years of 365 days.
        seed: Seed of the draw.
    """
    random = np.random.default_rng(seed)
    month = np.tile(MONTH_OF_DAY, years)
    wet = _chain(model.wet_after_dry[month], model.wet_after_wet[month], random.random(month.size))
    rainy = month[wet]
    amounts = np.zeros(month.size)
    amounts[wet] = model.wet_mm + random.gamma(model.shape[rainy], model.scale_mm[rainy])
    note = f"{years} years generated from {model.note or 'a weather model'}"
    return DailyRain(amounts.reshape(years, 365), note)


@component(version="1", requires=("scipy",))
def fit_maxima(
    daily: DailyRain,
    *,
    distribution: rain.Distribution = "gev",
    exponent: Annotated[float, Field(gt=0, lt=1)] = 0.35,
    day_factor: Annotated[float, Field(ge=1, le=1.5)] = 1.0,
) -> DepthDuration:
    """Fit rain statistics to the wettest day of each generated year.

    Args:
        daily: Generated rain.
        distribution: ``gev`` or ``gumbel``.
        exponent: Depth grows with duration to this power; daily rain alone cannot tell it.
        day_factor: Wettest 24 hours over wettest calendar day; above 1, since a storm may fall on
            two days.

    Raises:
        DataError: If there are fewer than ten years.
    """
    return rain.fit_depths(
        yearly_maxima(daily) * day_factor,
        distribution=distribution,
        reference_h=24.0,
        exponent=exponent,
    )


# -- fitting ------------------------------------------------------------------------------------


def fit_days(
    day: Float[np.ndarray, " days"],
    month: Int[np.ndarray, " days"],
    rain_mm: Float[np.ndarray, " days"],
    *,
    wet_mm: float,
    note: str = "",
) -> WeatherModel:
    """Fit a weather model to days in order.

    Args:
        day: Number of each day, increasing; a step of more than one is a gap.
        month: Its month, 1 to 12; a transition belongs to the month of its second day.
        rain_mm: Its rain (mm).
        wet_mm: A day with more rain than this is wet (mm).
        note: Where the days come from.

    Raises:
        DataError: If a month has too few wet days, or no transition of a kind.
    """
    wet = rain_mm > wet_mm
    follows = np.diff(day) == 1.0
    before, after, later = wet[:-1][follows], wet[1:][follows], month[1:][follows]
    found = np.empty((4, 12))
    for k in range(12):
        here = later == k + 1
        amounts = rain_mm[wet & (month == k + 1)] - wet_mm
        dry, rainy = int((here & ~before).sum()), int((here & before).sum())
        if amounts.size < LEAST_WET_DAYS or min(dry, rainy) == 0:
            raise DataError(
                f"month {k + 1} has {amounts.size} wet days", where=note,
                accepted=f"at least {LEAST_WET_DAYS}, and days after dry and after wet ones",
                next="Bring a longer series, or lower wet_mm.",
            )  # fmt: skip
        found[0, k] = (here & ~before & after).sum() / dry
        found[1, k] = (here & before & after).sum() / rainy
        found[2:, k] = _gamma(amounts, f"{note}, month {k + 1}")
    return WeatherModel(found[0], found[1], found[2], found[3], float(wet_mm), note)


def _gamma(amounts: np.ndarray, where: str) -> tuple[float, float]:
    """Shape and scale of the likeliest gamma distribution; its mean is that of the sample."""
    from scipy.optimize import brentq
    from scipy.special import digamma

    mean = float(amounts.mean())
    spread = math.log(mean) - float(np.log(amounts).mean())  # = ln(shape) - digamma(shape)
    if not spread > 1e-9:
        raise DataError("all wet days have the same rain", where=where)

    def excess(log_shape: float) -> float:
        return log_shape - float(digamma(math.exp(log_shape))) - spread

    found: Any = brentq(excess, -20.0, 25.0)
    shape = math.exp(found)
    return shape, mean / shape


# -- generating ---------------------------------------------------------------------------------


def _chain(
    after_dry: Float[np.ndarray, " days"],
    after_wet: Float[np.ndarray, " days"],
    uniform: Float[np.ndarray, " days"],
) -> Bool[np.ndarray, " days"]:
    """States of a two-state chain: wet after dry if u < p01, wet after wet if u < p11.

    u below both is wet and above both dry, whatever the day before. Between them the state stays if
    p11 > p01 and turns if p11 < p01; so a state is that of the last day that was decided, turned as
    often as there were turns since. The first day is drawn from its month's stationary share.
    """
    low, high = np.minimum(after_dry, after_wet), np.maximum(after_dry, after_wet)
    decided = (uniform < low) | (uniform >= high)
    wet = uniform < low
    share = after_dry[0] / (1.0 + after_dry[0] - after_wet[0])
    decided[0], wet[0] = True, uniform[0] < share
    last = np.maximum.accumulate(np.where(decided, np.arange(uniform.size), 0))
    turns = np.cumsum(~decided & (after_wet < after_dry))
    return wet[last] ^ ((turns - turns[last]) % 2 == 1)
