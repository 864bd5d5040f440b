"""Observed rain as a series: a CSV file of times and depths or rates becomes a hyetograph.

Notable in this file:

* *The unit says the kind.* mm is a depth over a step, mm/h a rate; kg m-2 and kg m-2 s-1 are the
  same as water. A unit that neither the file nor the user says is refused.
* *A gap is not a dry spell.* A step longer than the usual one is refused until the user says that
  nothing fell in it, or that a value lasts until the next.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from assay.core.component import File, component
from assay.errors import DataError
from assay.systems.climate_impact.rain import Hyetograph
from assay.systems.climate_impact.tables import Table, read_table, unit_factor

__all__ = [
    "TINY_S",
    "Gaps",
    "Layout",
    "RainUnit",
    "Stamps",
    "Years",
    "join_spans",
    "lay_out",
    "observed_rain",
    "rain_unit",
    "rates_of",
    "read_stamps",
    "spelt_for_pint",
]

Years = Annotated[float, Field(gt=1, le=10_000)]
Gaps = Literal["refuse", "dry", "hold"]
Stamps = Literal["start", "end"]
Kind = Literal["rate", "depth"]

MOST_MM_PER_H = 500.0
LEAST_MM_PER_H = MOST_MM_PER_H / 3.6e6  # the wettest series in m/s that is called mm/h
_POWER = re.compile(r"(?<=[A-Za-z])(?=-?\d)")
TINY_S = 1e-3


class RainUnit(NamedTuple):
    """Whether numbers are rates or depths, and their factor to mm/h or mm."""

    kind: Kind
    factor: float


class Layout(NamedTuple):
    """When values hold: value ``source[i]`` from time i to time i + 1; -1 where nothing falls."""

    times_s: Float[np.ndarray, " times"]
    source: Int[np.ndarray, " spans"]


@component(version="1", requires=("pint",))
def observed_rain(
    *,
    path: File,
    return_period_years: Years,
    time_column: str = "time",
    rain_column: str = "rain",
    unit: str | None = None,
    kind: Kind | None = None,
    gaps: Gaps = "refuse",
    stamps: Stamps = "start",
) -> Hyetograph:
    """Read observed rain from a CSV file with a column of times and one of rain.

    Args:
        path: The file; times as ISO 8601 (2007-06-08 14:30), or as numbers under a header with
            their unit, such as ``time [h]``.
        return_period_years: How rarely such a storm comes (years): your estimate, the file has
            none.
        time_column: Column of the times.
        rain_column: Column of the rain.
        unit: Unit of the rain, such as mm or mm/h, unless the header says it, as in
            ``rain [mm/h]``.
        kind: ``depth`` or ``rate``, to be sure of it; the unit tells it too.
        gaps: What to do with a step longer than the usual one: refuse; ``dry``, nothing fell after
            the usual step, nor where the rain is missing; ``hold``, a value lasts until the next.
        stamps: Whether a time is the start of its step or its end.

    Raises:
        DataError: With file and line, if times repeat, run backwards, have gaps, cannot be read or
            mix time zones, or if rain is missing, negative, of another unit or implausible.
    """
    table = read_table(path)
    at, name = table.column(time_column), table.column(rain_column)
    said = table.units.get(name) or unit or ""
    rained = rain_unit(said, f"{table.where}, {name}", kind)
    values = table.numbers(name) * rained.factor
    if np.isinf(values).any():
        k = int(np.isinf(values).argmax())
        raise DataError("the rain is infinite", where=table.places[k], accepted=said)
    layout = lay_out(
        read_stamps(table, at), np.isnan(values), table.places.__getitem__, gaps=gaps, stamps=stamps
    )
    rates = rates_of(values, rained, layout, table.places.__getitem__)
    return Hyetograph(layout.times_s, rates, f"rain of {path.name}", float(return_period_years))


def rain_unit(unit: str, where: str, kind: Kind | None = None) -> RainUnit:
    """What a unit of rain means.

    Args:
        unit: The unit, spelt as in pint or in CF (``mm h-1``); a mass per area is that of water.
        where: The file, for messages.
        kind: What it must be.

    Raises:
        DataError: If it is missing, no unit of rain, or not of that kind.

    Example:
        >>> rain_unit("mm d-1", "rain")
        RainUnit(kind='rate', factor=0.041666666666666664)
    """
    if not unit.strip():
        raise DataError("says no unit of rain", where=where, next="Say it with unit=, as in mm/h.")
    wanted: tuple[tuple[str, Kind], ...] = (
        ("mm/h", "rate"), ("mm", "depth"), ("kg/m^2/h", "rate"), ("kg/m^2", "depth"),
    )  # fmt: skip
    for known, means in wanted:
        try:
            factor = unit_factor(spelt_for_pint(unit), known, where)
        except DataError:
            continue
        if kind not in (None, means):
            raise DataError(f"{unit} is a {means}, not a {kind}", where=where)
        return RainUnit(means, factor)
    raise DataError(
        f"is in {unit!r}", where=where, accepted="a depth such as mm, or a rate such as mm/h"
    )


def spelt_for_pint(unit: str) -> str:
    """A unit of the CF conventions as pint reads it.

    Example:
        >>> spelt_for_pint("kg m-2 s-1"), spelt_for_pint("m2/s"), spelt_for_pint("mm h^-1")
        ('kg m^-2 s^-1', 'm^2/s', 'mm h^-1')
    """
    return _POWER.sub("^", unit)


def read_stamps(table: Table, column: str) -> Float[np.ndarray, " rows"]:
    """Times of a column, in seconds after the first.

    Raises:
        DataError: If one cannot be read, or says another time zone than the first.
    """
    if table.units.get(column):
        seconds = table.numbers(column, unit="s")
        if not np.isfinite(seconds).all():
            k = int((~np.isfinite(seconds)).argmax())
            raise DataError("the time is missing", where=table.places[k])
        return seconds - seconds[0]
    stamps: list[datetime] = []
    for text, place in zip(table.columns[column], table.places, strict=True):
        try:
            stamps.append(datetime.fromisoformat(text))
        except ValueError:
            raise DataError(
                f"{text!r} is no date and time", where=f"{place}, {column}",
                accepted="ISO 8601, as in 2007-06-08 14:30, or numbers under a header with a "
                f"unit, as in {column} [h]",
            ) from None  # fmt: skip
        first, this = _zone(stamps[0]), _zone(stamps[-1])
        if this != first:
            raise DataError(
                f"{text} has {this} where the first time has {first}", where=place,
                next="Write all times in one zone, best in UTC.",
            )  # fmt: skip
    return np.array([(stamp - stamps[0]).total_seconds() for stamp in stamps])


def _zone(stamp: datetime) -> str:
    return f"the zone UTC{stamp:%z}" if stamp.tzinfo else "no time zone"


def lay_out(
    stamps_s: Float[np.ndarray, " values"],
    missing: np.ndarray,
    place: Callable[[int], str],
    *,
    gaps: Gaps,
    stamps: Stamps,
) -> Layout:
    """Decide from when to when each value holds.

    The usual step is the commonest one; shorter steps are kept as they are.

    Args:
        stamps_s: A time for each value (s).
        missing: Whether a value is missing.
        place: Where a value stands, for messages.
        gaps: See `observed_rain`.
        stamps: See `observed_rain`.

    Raises:
        DataError: If there are fewer than two times, one repeats or runs backwards, a step is too
            long, or a value is missing.
    """
    if stamps_s.size < 2:
        raise DataError("holds one time", where=place(0), accepted="two, so that a step is known")
    steps = np.diff(stamps_s)
    if (steps <= 0).any():
        k = int((steps <= 0).argmax())
        said = "is there twice" if steps[k] == 0 else "lies before the one above it"
        raise DataError(
            f"the time {said}", where=place(k + 1), accepted="increasing times",
            next="Where clocks were changed, write times in UTC.",
        )  # fmt: skip
    lengths, counts = np.unique(np.round(steps, 3), return_counts=True)
    usual = float(lengths[counts.argmax()])
    if missing.any() and gaps != "dry":
        raise DataError(
            "the rain is missing", where=place(int(missing.argmax())),
            next="Say gaps=dry if nothing fell.",
        )  # fmt: skip
    long = steps > usual + max(TINY_S, 1e-6 * usual)
    if long.any() and gaps == "refuse":
        k = int(long.argmax())
        raise DataError(
            f"{steps[k] / 60:g} min after the time before, where {usual / 60:g} min are usual",
            where=place(k + 1),
            next="Say gaps=dry if nothing fell, or gaps=hold if a value lasts until the next.",
        )
    spans = np.append(steps, usual) if stamps == "start" else np.insert(steps, 0, usual)
    spans = np.minimum(spans, usual) if gaps == "dry" else spans
    starts = stamps_s if stamps == "start" else stamps_s - spans
    ends = stamps_s + spans if stamps == "start" else stamps_s
    return join_spans(starts, ends, missing)


def join_spans(
    starts_s: Float[np.ndarray, " values"],
    ends_s: Float[np.ndarray, " values"],
    missing: np.ndarray,
) -> Layout:
    """Join spans that follow one another, with nothing between them where they leave a gap."""
    dry = np.flatnonzero(starts_s[1:] - ends_s[:-1] > TINY_S) + 1
    times = np.append(np.insert(starts_s, dry, ends_s[dry - 1]), ends_s[-1])
    source = np.insert(np.where(missing, -1, np.arange(starts_s.size)), dry, -1)
    return Layout(times - times[0], source)


def rates_of(
    values: np.ndarray,
    unit: RainUnit,
    layout: Layout,
    place: Callable[[int], str],
) -> np.ndarray:
    """Rates (mm/h) of each span, from depths (mm) or rates (mm/h), ``[spans, ...]``.

    Raises:
        DataError: If a value is negative, or a rate that of no rain.
    """
    if (values < 0).any():
        k = int(np.argwhere(values < 0)[0, 0])
        said = "mm" if unit.kind == "depth" else "mm/h"
        raise DataError(f"negative rain ({np.nanmin(values[k]):g} {said})", where=place(k))
    known = (layout.source >= 0).reshape(-1, *[1] * (values.ndim - 1))
    rates = np.where(known, values[layout.source], 0.0)
    if unit.kind == "depth":
        rates = rates / (np.diff(layout.times_s) / 3600.0).reshape(known.shape)
    most = float(np.nanmax(rates, initial=0.0))
    k = int(layout.source[np.argwhere(rates == most)[0, 0]]) if most > 0 else 0
    if most > MOST_MM_PER_H:
        raise DataError(
            f"rain of {most:g} mm/h", where=place(k), accepted=f"at most {MOST_MM_PER_H:g} mm/h",
            next="Is the unit right? mm/h is not m/s, nor mm a depth in m.",
        )  # fmt: skip
    if 0 < most < LEAST_MM_PER_H:
        raise DataError(
            f"the wettest step has {most:g} mm/h", where=place(k),
            next="Is the unit right? mm/h is not m/s.",
        )  # fmt: skip
    return rates
