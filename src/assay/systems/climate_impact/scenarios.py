"""Climate scenarios as change factors: the same storms and statistics, with other depths.

Only depths change. How often a storm comes, how long it lasts and how its rain is laid out stay as
they are today: a 100-year storm that is scaled is today's 100-year storm, made wetter.
"""

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from assay.core.component import component
from assay.systems.climate_impact.rain import DepthDuration, Hyetograph
from assay.systems.climate_impact.rainfield import RainField
from assay.systems.climate_impact.weather import WeatherModel

__all__ = [
    "change_factor",
    "scale_rain",
    "scale_rain_field",
    "scale_statistics",
    "scale_weather",
]

Factor = Annotated[float, Field(gt=0, le=10)]
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
    factor: Factor = 1.0,
    warming_k: Warming = 0.0,
    per_degree_percent: Percent = 7.0,
) -> WeatherModel:
    """Multiply the rain of wet days in a weather model by a change factor.

    How often it rains stays. What is multiplied is the part of a wet day's rain above the threshold
    that makes a day wet.

    Args:
        model: The weather of today's climate.
        factor: A change factor, for example from climate models.
        warming_k: Warming against the climate of the data (K), multiplied in as well.
        per_degree_percent: Change of depth per degree (%), an assumption; see `scale_rain`.
    """
    change = change_factor(factor, warming_k, per_degree_percent)
    note = _told(model.note, change, warming_k, per_degree_percent)
    return replace(model, scale_mm=model.scale_mm * change, note=note)


def _told(before: str, change: float, warming_k: float, per_degree_percent: float) -> str:
    if change == 1.0:
        return before
    why = f" ({warming_k:g} K at {per_degree_percent:g} % per K)" if warming_k else ""
    told = f"depths x {change:.4g}{why}"
    return f"{before}, {told}" if before else told
