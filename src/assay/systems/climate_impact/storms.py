"""Storms from days of rain: which days to flood, how often each comes, and how its rain falls.

Notable in this file:

* *Few floods for many years.* Storms are ranked by depth and cut into classes of ever more ranks:
  the rarest stand alone, the common ones share a class, of which one, drawn at random, is flooded
  and counts for all. The sum of rate times loss is then, on average over draws, that of all storms.
* *A day's rain is kept.* Both ways of laying out a day hold its depth to rounding.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field, NonNegativeInt, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.errors import DataError
from assay.systems.climate_impact.daily import MONTH_OF_DAY, DailyRain
from assay.systems.climate_impact.impact import StormLosses
from assay.systems.climate_impact.rain import Hyetograph, nested_blocks
from assay.systems.climate_impact.risk import event_set_damage, event_set_exceedance

__all__ = [
    "EventRisk",
    "StormEvents",
    "block_storm",
    "cascade",
    "cascade_storm",
    "event_damage",
    "independent_peaks",
    "rank_classes",
    "storm_events",
]

Coefficient = Annotated[float, Field(gt=0, le=1)]
StormHours = Annotated[float, Field(gt=0, le=24)]
Share = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True)
class StormEvents:
    """Storms that stand for all those of a daily series, deepest first.

    Attributes:
        depth_mm: Rain of the day (mm).
        month: Month it fell in, 1 to 12.
        return_period_years: (years + 1) / rank among all storms, Weibull's plotting position; below
            1 where there are several a year.
        rate_per_year: How often a storm that this one stands for comes (1/year); together the mean
            number of storms in a year.
        note: Where they come from.
    """

    depth_mm: Float[np.ndarray, " events"]
    month: Int[np.ndarray, " events"]
    return_period_years: Float[np.ndarray, " events"]
    rate_per_year: Float[np.ndarray, " events"]
    note: str = ""


class EventRisk(NamedTuple):
    """The risk of a set of storms.

    Attributes:
        loss: Loss of each (currency), falling.
        exceedance_per_year: How often each is reached or exceeded (1/year).
        expected_annual_damage: Sum of rate times loss (currency/year).
        currency: Unit of the losses.
        records: ``loss`` and ``flooded_assets`` by ``return_period_years``, ``storms_per_year``,
            ``expected_annual_damage``, and ``share_beyond_10_years``, the share of it from storms
            rarer than ten years.
    """

    loss: Float[np.ndarray, " events"]
    exceedance_per_year: Float[np.ndarray, " events"]
    expected_annual_damage: float
    currency: str
    records: Records


# -- components ---------------------------------------------------------------------------------


@component(version="1", requires=("numpy",))
def storm_events(
    daily: DailyRain,
    *,
    events: PositiveInt = 12,
    threshold_mm: Annotated[float, Field(gt=0, le=2000)] | None = None,
    apart_days: Annotated[int, Field(ge=1, le=30)] = 2,
    seed: Seed,
) -> StormEvents:
    """Choose days of rain to flood, and count how often storms such as these come.

    Args:
        daily: Days, generated or observed.
        events: Storms to choose; all of them if there are no more.
        threshold_mm: Every day with more rain than this is a storm (mm); if not given, the wettest
            day of each year is.
        apart_days: Days above the threshold closer than this are one storm, that of the wettest.
        seed: Seed of the choice within classes.

    Raises:
        DataError: If no day is that wet.
    """
    days = daily.rain_mm.ravel()
    years = len(daily.rain_mm)
    if threshold_mm is None:
        found = daily.rain_mm.argmax(axis=1) + 365 * np.arange(years)
        kind = "the wettest day of each year"
    else:
        found = independent_peaks(days, threshold_mm, apart_days)
        kind = f"days above {threshold_mm:g} mm, {apart_days} days apart"
    found = found[days[found] > 0]
    if not found.size:
        raise DataError(f"no storm among {kind}", where=daily.note, next="Lower threshold_mm.")
    found = found[np.argsort(-days[found], kind="stable")]
    ends = rank_classes(found.size, events)
    starts = np.concatenate([[0], ends[:-1]])
    chosen = np.random.default_rng(seed).integers(starts, ends)
    day = found[chosen]
    note = f"{kind}, {found.size} storms in {years} years; {daily.note}"
    return StormEvents(
        days[day],
        MONTH_OF_DAY[day % 365] + 1,
        (years + 1.0) / (chosen + 1.0),
        (ends - starts) / years,
        note,
    )


@component(version="1", requires=("numpy",))
def block_storm(
    events: StormEvents,
    *,
    event: NonNegativeInt,
    duration_h: StormHours = 24.0,
    block_min: Annotated[float, Field(ge=1, le=24 * 60)] = 30.0,
    exponent: Annotated[float, Field(gt=0, lt=1)] = 0.35,
    runoff_coefficient: Coefficient = 0.5,
) -> Hyetograph:
    """Lay out a day's rain in alternating blocks, as in a design storm of the same depth.

    The wettest k blocks hold the share (k / blocks)^exponent of the rain.

    Args:
        events: The storms.
        event: Number of the storm, 0 is the deepest.
        duration_h: Hours in which all of the day's rain falls (h).
        block_min: Length of a block (min).
        exponent: Depth grows with duration to this power.
        runoff_coefficient: Share of the rain that runs off; 1 where soil drinks later.
    """
    depth_mm, years, label = _event(events, event)
    return nested_blocks(
        lambda hours: depth_mm * (hours / duration_h) ** exponent,
        duration_h=duration_h,
        block_min=block_min,
        runoff_coefficient=runoff_coefficient,
        label=label,
        return_period_years=years,
    )


@component(version="1", requires=("numpy",))
def cascade_storm(
    events: StormEvents,
    *,
    event: NonNegativeInt,
    duration_h: StormHours = 24.0,
    levels: Annotated[int, Field(ge=1, le=12)] = 5,
    one_sided: Share = 0.25,
    evenness: Annotated[float, Field(gt=0, le=1000)] = 2.0,
    runoff_coefficient: Coefficient = 0.5,
    seed: Seed,
) -> Hyetograph:
    """Lay out a day's rain at random, by a multiplicative cascade that keeps its depth.

    The defaults are assumptions; they are not fitted to any site.

    Args:
        events: The storms.
        event: Number of the storm, 0 is the deepest.
        duration_h: Hours in which all of the day's rain falls (h).
        levels: Halvings; five make spans of 45 minutes out of a day.
        one_sided: Chance that all rain of a span falls in one of its halves.
        evenness: Otherwise the share of one half is Beta(evenness, evenness): 1 is uniform, and
            the larger the nearer to one half.
        runoff_coefficient: Share of the rain that runs off; 1 where soil drinks later.
        seed: Seed of the cascades; each storm has one of its own.
    """
    depth_mm, years, label = _event(events, event)
    random = np.random.default_rng([seed, event])
    spans = cascade(depth_mm, levels, one_sided=one_sided, evenness=evenness, random=random)
    hours = duration_h / spans.size
    times = np.linspace(0.0, duration_h * 3600.0, spans.size + 1)
    return Hyetograph(times, spans * (runoff_coefficient / hours), label, years)


@component(version="1", requires=("numpy",))
def event_damage(losses: list[StormLosses], events: StormEvents) -> EventRisk:
    """Sum up what all storms cost in an average year: rate times loss.

    Args:
        losses: One per storm, which its return period tells.
        events: The storms and their rates.

    Raises:
        DataError: If losses are in several currencies, or not one for each storm.
    """
    currencies = sorted({storm.currency for storm in losses})
    if len(currencies) != 1:
        raise DataError(f"losses are in {' and '.join(currencies)}", accepted="one currency")
    currency = currencies[0]
    found = {storm.return_period_years: storm for storm in losses}
    periods = events.return_period_years
    if len(found) < len(losses) or set(found) != set(periods.tolist()):
        raise DataError(
            f"{len(losses)} losses for {periods.size} storms", where="event_damage",
            accepted="one loss per storm", next="Flood every event of the set.",
        )  # fmt: skip
    totals = np.array([float(found[period].loss.sum()) for period in periods.tolist()])
    damage = event_set_damage(events.rate_per_year, totals)
    rare = periods > 10.0
    beyond = event_set_damage(events.rate_per_year[rare], totals[rare])
    records = Records()
    for period, total in zip(periods.tolist(), totals, strict=True):
        storm = found[period]
        records.add("loss", total, currency, return_period_years=period)
        flooded = int((storm.depth_m > storm.dry_up_to_m).sum())
        records.add("flooded_assets", flooded, return_period_years=period)
    records.add("storms_per_year", float(events.rate_per_year.sum()), "1/year")
    records.add("expected_annual_damage", damage, f"{currency}/year")
    records.add("share_beyond_10_years", beyond / damage if damage > 0 else float("nan"))
    falling, exceeded = event_set_exceedance(events.rate_per_year, totals)
    return EventRisk(falling, exceeded, damage, currency, records)


# -- choosing days ------------------------------------------------------------------------------


def independent_peaks(
    rain_mm: Float[np.ndarray, " days"], threshold_mm: float, apart_days: int
) -> Int[np.ndarray, " storms"]:
    """Days above a threshold, the wettest first, none nearer to a wetter one than ``apart_days``.

    Example:
        >>> independent_peaks(np.array([5.0, 9.0, 8.0, 7.0, 0.0]), 4.0, 2).tolist()
        [1, 3]
    """
    above = np.flatnonzero(rain_mm > threshold_mm)
    taken = np.zeros(rain_mm.size, bool)
    kept = []
    for day in above[np.argsort(-rain_mm[above], kind="stable")].tolist():
        if not taken[max(day - apart_days + 1, 0) : day + apart_days].any():
            taken[day] = True
            kept.append(day)
    return np.array(kept, int)


def rank_classes(count: int, classes: int) -> Int[np.ndarray, " classes"]:
    """Where classes of ranks end: at powers of one number, so the first hold one or a few ranks.

    Args:
        count: Ranks, from 0.
        classes: Classes wanted; no more than ranks are made.

    Returns:
        One more than the last rank of each class; the last is ``count``.

    Example:
        >>> rank_classes(100, 6).tolist(), rank_classes(3, 6).tolist()
        ([1, 3, 6, 16, 40, 100], [1, 2, 3])
    """
    made = min(count, classes)
    ends = np.rint(count ** np.linspace(0.0, 1.0, made)) if made > 1 else np.array([count])
    least = np.arange(1, made + 1)
    ends = np.maximum.accumulate(np.maximum(ends - least, 0)) + least  # each holds at least one
    return np.minimum(ends, count - made + least).astype(int)


# -- laying out a day ---------------------------------------------------------------------------


def cascade(
    total: float,
    levels: int,
    *,
    one_sided: float,
    evenness: float,
    random: np.random.Generator,
) -> Float[np.ndarray, " spans"]:
    """Halve a total again and again, each time in random shares W and 1 - W.

    Args:
        total: What is shared out.
        levels: Halvings.
        one_sided: Probability that W is 0 or 1, each as likely.
        evenness: Otherwise W is Beta(evenness, evenness).
        random: Source of the shares.

    Returns:
        2^levels parts in order of time, whose sum is the total.
    """
    parts = np.array([float(total)])
    for _ in range(levels):
        share = random.beta(evenness, evenness, parts.size)
        lone = random.random(parts.size) < one_sided
        share[lone] = random.integers(0, 2, parts.size)[lone]
        parts = np.column_stack([parts * share, parts - parts * share]).ravel()
    return parts


def _event(events: StormEvents, event: int) -> tuple[float, float, str]:
    """Depth (mm), return period (years) and name of a storm."""
    if event >= events.depth_mm.size:
        raise DataError(
            f"no storm {event}", where=events.note, accepted=f"0 to {events.depth_mm.size - 1}"
        )
    depth, years = float(events.depth_mm[event]), float(events.return_period_years[event])
    return depth, years, f"storm {event} of {depth:.0f} mm, once in {years:.3g} years"
