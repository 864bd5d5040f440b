"""Climate scenarios as change factors: the same storms and statistics, with other depths.

Only depths change. How often a storm comes, how long it lasts and how its rain is laid out stay as
they are today: a 100-year storm that is scaled is today's 100-year storm, made wetter. Where days
are known by month (daily rain, the weather generator) each month can have a factor of its own.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import Float
from pydantic import Field

from assay.core.component import File, component
from assay.errors import DataError
from assay.systems.climate_impact.daily import MONTH_OF_DAY, DailyRain
from assay.systems.climate_impact.rain import DepthDuration, Hyetograph
from assay.systems.climate_impact.rainfield import RainField
from assay.systems.climate_impact.tables import read_table
from assay.systems.climate_impact.weather import WeatherModel

__all__ = [
    "change_factor",
    "monthly_factors",
    "scale_days",
    "scale_rain",
    "scale_rain_field",
    "scale_statistics",
    "scale_weather",
]

MOST = 10.0
Factor = Annotated[float, Field(gt=0, le=MOST)]
MonthlyFactor = Factor | Annotated[list[Factor], Field(min_length=12, max_length=12)]
Warming = Annotated[float, Field(ge=-10, le=10)]
Percent = Annotated[float, Field(ge=-20, le=30)]


def change_factor(factor: float, warming_k: float, per_degree_percent: float) -> float:
    """What depths are multiplied by: factor (1 + per_degree_percent / 100)^warming_k.

    Args:
        factor: A change factor from elsewhere.
        warming_k: Warming against the climate of the data (K).
        per_degree_percent: Change of depth per degree (%).

    Example:
        >>> round(change_factor(1.0, 2.0, 7.0), 4)
        1.1449
    """
    return factor * (1.0 + per_degree_percent / 100.0) ** warming_k


@component(version="1")
def scale_rain(
    rain: Hyetograph,
    *,
    factor: Factor = 1.0,
    warming_k: Warming = 0.0,
    per_degree_percent: Percent = 7.0,
) -> Hyetograph:
    """Multiply the rain of a storm by a change factor; its duration and return period stay.

    Args:
        rain: The storm of today's climate.
        factor: A change factor, for example from climate models.
        warming_k: Warming against the climate of the data (K), multiplied in as well.
        per_degree_percent: Change of depth per degree (%). 7 is the rate at which saturated air
            holds more vapour (Clausius-Clapeyron); that storms follow it is an assumption.
    """
    change = change_factor(factor, warming_k, per_degree_percent)
    label = _told(rain.label, change, warming_k, per_degree_percent)
    return replace(rain, rain_mm_per_h=rain.rain_mm_per_h * change, label=label)


@component(version="1", keep=False)
def scale_rain_field(
    rain: RainField,
    *,
    factor: Factor = 1.0,
    warming_k: Warming = 0.0,
    per_degree_percent: Percent = 7.0,
) -> RainField:
    """Multiply rain by cell by a change factor; see `scale_rain`.

    Args:
        rain: The storm of today's climate.
        factor: A change factor, for example from climate models.
        warming_k: Warming against the climate of the data (K), multiplied in as well.
        per_degree_percent: Change of depth per degree (%), an assumption.
    """
    change = change_factor(factor, warming_k, per_degree_percent)
    label = _told(rain.label, change, warming_k, per_degree_percent)
    return replace(rain, rain_mm_per_h=rain.rain_mm_per_h * change, label=label)


@component(version="1")
def scale_statistics(
    statistics: DepthDuration,
    *,
    factor: Factor = 1.0,
    warming_k: Warming = 0.0,
    per_degree_percent: Percent = 7.0,
) -> DepthDuration:
    """Multiply the depths of all return periods and durations by a change factor.

    Location and scale are multiplied; the shape and the exponent of duration stay, so rare and
    frequent, short and long storms grow alike.

    Args:
        statistics: Statistics of today's climate.
        factor: A change factor, for example from climate models.
        warming_k: Warming against the climate of the data (K), multiplied in as well.
        per_degree_percent: Change of depth per degree (%), an assumption; see `scale_rain`.
    """
    change = change_factor(factor, warming_k, per_degree_percent)
    return replace(
        statistics,
        location_mm=statistics.location_mm * change,
        scale_mm=statistics.scale_mm * change,
        note=_told(statistics.note, change, warming_k, per_degree_percent),
    )


@component(version="1")
def scale_weather(
    model: WeatherModel,
    *,
    factor: MonthlyFactor = 1.0,
    table: File | None = None,
    warming_k: Warming = 0.0,
    per_degree_percent: Percent = 7.0,
) -> WeatherModel:
    """Multiply the rain of wet days in a weather model by a change factor.

    How often it rains stays. What is multiplied is the part of a wet day's rain above the threshold
    that makes a day wet.

    Args:
        model: The weather of today's climate.
        factor: A change factor, for example from climate models: one for the whole year, or twelve,
            January first.
        table: CSV file with columns ``month``, 1 to 12, and ``factor``, multiplied in as well.
        warming_k: Warming against the climate of the data (K), multiplied in as well.
        per_degree_percent: Change of depth per degree (%), an assumption; see `scale_rain`.

    Raises:
        DataError: With file and line, if the table is not one of twelve factors.
    """
    change = monthly_factors(factor, table) * change_factor(1.0, warming_k, per_degree_percent)
    note = _told(model.note, change, warming_k, per_degree_percent)
    return replace(model, scale_mm=model.scale_mm * change, note=note)


@component(version="1", keep=False)
def scale_days(
    daily: DailyRain,
    *,
    factor: MonthlyFactor = 1.0,
    table: File | None = None,
    warming_k: Warming = 0.0,
    per_degree_percent: Percent = 7.0,
) -> DailyRain:
    """Multiply the rain of every day by the change factor of its month; dry days stay dry.

    Args:
        daily: Days of today's climate, observed or generated.
        factor: A change factor, for example from climate models: one for the whole year, or twelve,
            January first.
        table: CSV file with columns ``month``, 1 to 12, and ``factor``, multiplied in as well.
        warming_k: Warming against the climate of the data (K), multiplied in as well.
        per_degree_percent: Change of depth per degree (%), an assumption; see `scale_rain`.

    Raises:
        DataError: With file and line, if the table is not one of twelve factors.
    """
    change = monthly_factors(factor, table) * change_factor(1.0, warming_k, per_degree_percent)
    note = _told(daily.note, change, warming_k, per_degree_percent)
    return replace(daily, rain_mm=daily.rain_mm * change[MONTH_OF_DAY], note=note)


def monthly_factors(
    factor: float | list[float] = 1.0, table: Path | None = None
) -> Float[np.ndarray, "12"]:
    """A factor for each month: the ones given, times those of a table.

    Raises:
        DataError: With file and line, if the table is not one of twelve factors.

    Example:
        >>> monthly_factors([1.0] * 11 + [1.2])[-2:].tolist()
        [1.0, 1.2]
    """
    given = np.broadcast_to(np.asarray(factor, float), 12).copy()
    if table is None:
        return given
    rows = read_table(table)
    months, factors = (rows.numbers(rows.column(name)) for name in ("month", "factor"))
    read = np.full(12, np.nan)
    for month, value, place in zip(months, factors, rows.places, strict=True):
        if month not in range(1, 13):
            raise DataError(f"month {month:g}", where=place, accepted="1 to 12")
        if np.isfinite(read[int(month) - 1]):
            raise DataError(f"month {month:g} is there twice", where=place)
        if not 0 < value <= MOST:
            raise DataError(f"factor {value:g}", where=place, accepted=f"above 0, up to {MOST:g}")
        read[int(month) - 1] = value
    if np.isnan(read).any():
        lost = int(np.isnan(read).argmax()) + 1
        raise DataError(f"month {lost} is missing", where=rows.where, accepted="1 to 12")
    return given * read


def _told(
    before: str, change: float | np.ndarray, warming_k: float, per_degree_percent: float
) -> str:
    """What was there, and by what its depths were multiplied."""
    low, high = float(np.min(change)), float(np.max(change))
    if low == high == 1.0:
        return before
    why = f" ({warming_k:g} K at {per_degree_percent:g} % per K)" if warming_k else ""
    by = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g} by month"
    told = f"depths x {by}{why}"
    return f"{before}, {told}" if before else told
