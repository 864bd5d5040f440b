"""What of the rain runs off: Green-Ampt infiltration and the curve number of the SCS.

Notable in this file:

* *The rain must be whole.* These losses replace the runoff coefficient of a design storm: build the
  storm with ``runoff_coefficient=1``, or water is lost twice.
* *Nothing is stored.* What the soil does not take in its step runs off at once. The solver's own
  soil, by contrast, goes on drinking from water that stands on it.
"""

from typing import Annotated

import numpy as np
from jaxtyping import Float
from pydantic import Field

from assay.core.component import component
from assay.errors import DataError, ParameterError
from assay.systems.climate_impact.forcing import ponded_infiltration
from assay.systems.climate_impact.rain import Hyetograph
from assay.systems.climate_impact.rainfield import RainField
from assay.systems.climate_impact.rasters import Raster

__all__ = [
    "curve_number_losses",
    "curve_number_losses_field",
    "green_ampt",
    "green_ampt_losses",
    "ponding_time",
    "scs_runoff",
]

Share = Annotated[float, Field(ge=0, le=1)]
CurveNumber = Annotated[float, Field(ge=1, le=100)]
StepMinutes = Annotated[float, Field(gt=0, le=24 * 60)]


# -- components ---------------------------------------------------------------------------------


@component(version="1", requires=("numba",))
def green_ampt_losses(
    rain: Hyetograph,
    *,
    conductivity_mm_per_h: Annotated[float, Field(gt=0, le=1000)],
    suction_mm: Annotated[float, Field(ge=0, le=5000)],
    moisture_deficit: Share,
    step_min: StepMinutes = 5.0,
) -> Hyetograph:
    """Take from the rain what a soil drinks, by Green and Ampt with ponding.

    Args:
        rain: Rain that falls, not yet reduced: ``runoff_coefficient=1`` in a design storm.
        conductivity_mm_per_h: Hydraulic conductivity K of the wetted soil (mm/h).
        suction_mm: Suction head psi at the wetting front (mm).
        moisture_deficit: Share of the soil's volume that is empty pores, dtheta.
        step_min: The excess is given as its mean over steps of at most this length (min).

    Returns:
        The rain that runs off.

    Raises:
        DataError: If the rain never ends.
    """
    times, rates = _finer(rain.times_s, rain.rain_mm_per_h, step_min, rain.label)
    hours, store = np.diff(times) / 3600.0, suction_mm * moisture_deficit
    taken, excess = 0.0, np.zeros(rates.size)
    for k, (rate, span) in enumerate(zip(rates, hours, strict=True)):
        left = _left_over(taken, float(rate), float(span), conductivity_mm_per_h, store)
        taken, excess[k] = taken + rate * span - left, left / span
    label = f"{rain.label}, less Green-Ampt infiltration"
    return Hyetograph(times, excess, label, rain.return_period_years)


@component(version="1")
def curve_number_losses(
    rain: Hyetograph,
    *,
    curve_number: CurveNumber,
    initial_share: Share = 0.2,
    step_min: StepMinutes = 5.0,
) -> Hyetograph:
    """Take from the rain what does not run off, by the curve number of the SCS.

    Args:
        rain: Rain that falls, not yet reduced: ``runoff_coefficient=1`` in a design storm.
        curve_number: Curve number of ground and soil, 100 where all runs off.
        initial_share: Initial loss as a share of the largest possible retention.
        step_min: The excess is given as its mean over steps of at most this length (min).

    Returns:
        The rain that runs off.

    Raises:
        DataError: If the rain never ends.
    """
    times, rates = _finer(rain.times_s, rain.rain_mm_per_h, step_min, rain.label)
    hours = np.diff(times) / 3600.0
    fallen = np.cumsum(rates * hours)
    runoff = scs_runoff(fallen, np.asarray(curve_number, float), initial_share=initial_share)
    excess = np.clip(np.diff(runoff, prepend=0.0) / hours, 0.0, rates)
    label = f"{rain.label}, less the losses of curve number {curve_number:g}"
    return Hyetograph(times, excess, label, rain.return_period_years)


@component(version="1", keep=False)
def curve_number_losses_field(
    rain: Hyetograph | RainField,
    curve_numbers: Raster,
    *,
    initial_share: Share = 0.2,
    step_min: StepMinutes = 15.0,
) -> RainField:
    """Take from the rain what does not run off, with a curve number for each cell.

    Args:
        rain: Rain that falls, everywhere alike or by cell, not yet reduced.
        curve_numbers: Curve number of each cell; nothing runs off where there is none.
        initial_share: Initial loss as a share of the largest possible retention.
        step_min: The excess is given as its mean over steps of at most this length (min); each
            step is a raster in memory.

    Returns:
        The rain that runs off from each cell.

    Raises:
        DataError: If the rain never ends, has another grid, or a curve number is out of 1 to 100.
    """
    numbers = curve_numbers.values
    known = np.isfinite(numbers)
    if ((numbers[known] < 1) | (numbers[known] > 100)).any():
        raise DataError(
            f"curve numbers from {np.nanmin(numbers):g} to {np.nanmax(numbers):g}",
            where=curve_numbers.name, accepted="1 to 100",
        )  # fmt: skip
    if isinstance(rain, RainField) and rain.grid != curve_numbers.grid:
        raise DataError("rain and curve numbers have different grids", where=rain.label)
    times, rates = _finer(rain.times_s, rain.rain_mm_per_h, step_min, rain.label)
    rates = rates if rates.ndim == 3 else rates[:, None, None]
    excess = np.empty((len(rates), *numbers.shape))
    fallen, before = np.zeros(numbers.shape), np.zeros(numbers.shape)
    numbers = np.where(known, numbers, 100.0)
    for k, (rate, hours) in enumerate(zip(rates, np.diff(times) / 3600.0, strict=True)):
        fallen = fallen + rate * hours
        runoff = scs_runoff(fallen, numbers, initial_share=initial_share)
        excess[k] = np.where(known, np.clip((runoff - before) / hours, 0.0, rate), 0.0)
        before = runoff
    label = f"{rain.label}, less the losses of {curve_numbers.name}"
    return RainField(times, excess, curve_numbers.grid, label, rain.return_period_years)


# -- formulas -----------------------------------------------------------------------------------


def ponding_time(
    rain_mm_per_h: float,
    *,
    conductivity_mm_per_h: float,
    suction_mm: float,
    moisture_deficit: float,
) -> float:
    """Hours until water ponds under steady rain i: K psi dtheta / (i (i - K)).

    Returns:
        The time (h); infinite where the rain is not stronger than the conductivity.

    Example:
        >>> ponding_time(
        ...     20.0, conductivity_mm_per_h=10.0, suction_mm=100.0, moisture_deficit=0.3
        ... )
        1.5
    """
    if rain_mm_per_h <= conductivity_mm_per_h:
        return float("inf")
    store = suction_mm * moisture_deficit
    return conductivity_mm_per_h * store / (rain_mm_per_h * (rain_mm_per_h - conductivity_mm_per_h))


def green_ampt(
    infiltrated_mm: np.ndarray | float,
    hours: np.ndarray | float,
    *,
    conductivity_mm_per_h: np.ndarray | float,
    store_mm: np.ndarray | float,
) -> np.ndarray:
    """Cumulative infiltration (mm) after a further time under ponded water.

    Args:
        infiltrated_mm: Cumulative infiltration F before (mm), >= 0.
        hours: How long water stood there (h), >= 0.
        conductivity_mm_per_h: K (mm/h), >= 0.
        store_mm: s = psi dtheta (mm), >= 0.

    Raises:
        ParameterError: If a number is negative or unknown.
    """
    before, span, rate, store = (
        np.asarray(v, float) for v in (infiltrated_mm, hours, conductivity_mm_per_h, store_mm)
    )
    if not all((v >= 0).all() for v in (before, span, rate, store)):
        raise ParameterError("a negative or unknown number", where="green_ampt", accepted=">= 0")
    more = np.vectorize(ponded_infiltration, otypes=[float])(before, rate * span, store)
    return np.asarray(before + more)


def scs_runoff(
    rain_mm: Float[np.ndarray, "..."],
    curve_number: Float[np.ndarray, "..."],
    *,
    initial_share: float = 0.2,
) -> Float[np.ndarray, "..."]:
    """Depth that has run off (mm) once ``rain_mm`` has fallen.

    Q = (P - Ia)^2 / (P - Ia + S) beyond the initial loss Ia = initial_share S, with the retention
    S = 25400 / CN - 254 mm.

    Args:
        rain_mm: Rain since the beginning of the storm P (mm).
        curve_number: CN, 1 to 100.
        initial_share: Of S, 0 to 1.

    Example:
        >>> scs_runoff(np.array([10.0, 100.0]), np.array(80.0)).round(2).tolist()
        [0.0, 50.54]
    """
    retention = 25400.0 / curve_number - 254.0
    beyond = np.maximum(rain_mm - initial_share * retention, 0.0)
    whole = beyond + retention
    return np.where(beyond > 0, beyond**2 / np.where(whole > 0, whole, 1.0), 0.0)


def _left_over(taken: float, rate: float, span: float, conductivity: float, store: float) -> float:
    """What of steady rain the soil leaves over in a span (h), as a depth (mm).

    Before ponding the soil takes all rain, until the capacity K (1 + s / F) falls to its rate.
    """
    if rate <= conductivity:
        return 0.0
    at_ponding = conductivity * store / (rate - conductivity)
    before = max(at_ponding - taken, 0.0) / rate
    if before >= span:
        return 0.0
    ponded = taken + rate * before
    after = green_ampt(ponded, span - before, conductivity_mm_per_h=conductivity, store_mm=store)
    return min(max(rate * (span - before) - (float(after) - ponded), 0.0), rate * span)


def _finer(
    times_s: np.ndarray, rates: np.ndarray, step_min: float, label: str
) -> tuple[np.ndarray, np.ndarray]:
    """The same rain in equal steps of at most ``step_min`` within each of its own."""
    if len(rates) == times_s.size and np.any(rates[-1]):
        raise DataError("the rain never ends", where=label, accepted="one time more than rates")
    spans = np.diff(times_s)
    parts = np.maximum(np.ceil(spans / (step_min * 60.0) - 1e-9), 1).astype(int)
    step = np.repeat(spans / parts, parts)
    within = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    starts = np.repeat(times_s[:-1], parts) + within * step
    return np.append(starts, times_s[-1]), np.repeat(rates[: spans.size], parts, axis=0)
