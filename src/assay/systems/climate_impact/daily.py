"""Rain by day: years of 365 days, generated or read from a file."""

import itertools
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from assay.core.component import File, component
from assay.errors import DataError
from assay.systems.climate_impact.series import rain_unit, read_stamps
from assay.systems.climate_impact.tables import read_table

__all__ = [
    "DAYS_OF_MONTHS",
    "MONTH_OF_DAY",
    "DailyRain",
    "Days",
    "observed_days",
    "read_days",
    "yearly_maxima",
]

DAYS_OF_MONTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
MONTH_OF_DAY = np.repeat(np.arange(12), DAYS_OF_MONTHS)
"""Month of each day of a year of 365, 0 to 11."""
MOST_DAILY_MM = 2000.0  # the record of 24 h is 1825 mm
DAY_S = 86400.0

Gaps = Literal["refuse", "skip"]


@dataclass(frozen=True)
class DailyRain:
    """Rain by day: years of 365 days from 1 January, without leap days.

    Attributes:
        rain_mm: Rain of each day (mm).
        note: Where it comes from.
    """

    rain_mm: Float[np.ndarray, "years 365"]
    note: str = ""


class Days(NamedTuple):
    """Days of a file, in order.

    Attributes:
        number: Days after the first; a step of more than one is a gap.
        date: Of each day.
        rain_mm: Rain of each day (mm).
    """

    number: Float[np.ndarray, " days"]
    date: list[datetime]
    rain_mm: Float[np.ndarray, " days"]

    @property
    def month(self) -> Int[np.ndarray, " days"]:
        """Month of each day, 1 to 12."""
        return np.array([date.month for date in self.date])


@component(version="1", requires=("pint",))
def observed_days(
    *,
    path: File,
    date_column: str = "date",
    rain_column: str = "rain",
    unit: str | None = None,
) -> DailyRain:
    """Read the whole calendar years of a daily series; 29 February is left out.

    Args:
        path: CSV file with one row per day.
        date_column: Column of the dates (ISO 8601, as in 2007-06-08).
        rain_column: Column of the rain.
        unit: Unit of the rain, such as mm, unless the header says it, as in ``rain [mm]``.

    Raises:
        DataError: With file and line, if a day is missing or there twice, or rain is negative or
            implausible; or if there is no whole year.
    """
    days = read_days(path, date_column=date_column, rain_column=rain_column, unit=unit)
    year = np.array([date.year for date in days.date])
    usual = np.array([(date.month, date.day) != (2, 29) for date in days.date])
    whole = [
        rain for y in np.unique(year) if (rain := days.rain_mm[(year == y) & usual]).size == 365
    ]
    if not whole:
        raise DataError("holds no whole calendar year", where=str(path))
    return DailyRain(np.stack(whole), f"{len(whole)} years of {path.name}")


def yearly_maxima(daily: DailyRain) -> Float[np.ndarray, " years"]:
    """The wettest day of each year (mm)."""
    return daily.rain_mm.max(axis=1)


def read_days(
    path: Path, *, date_column: str, rain_column: str, unit: str | None, gaps: Gaps = "refuse"
) -> Days:
    """Read a daily series; see `observed_days`.

    Args:
        path: The file.
        date_column: Column of the dates.
        rain_column: Column of the rain.
        unit: Unit of the rain, unless the header says it.
        gaps: What to do with missing days: refuse, or skip them.

    Raises:
        DataError: With file and line; see `observed_days`.
    """
    table = read_table(path)
    name, when = table.column(rain_column), table.column(date_column)
    unit_of_rain = rain_unit(table.units.get(name) or unit or "", f"{table.where}, {name}")
    a_day = 1.0 if unit_of_rain.kind == "depth" else 24.0
    values = table.numbers(name) * unit_of_rain.factor * a_day
    if table.units.get(when):
        raise DataError("holds numbers", where=f"{table.where}, {when}", accepted="dates")
    number = np.round(read_stamps(table, when) / DAY_S, 6)
    _require_days(number, values, table.places, gaps)
    known = np.isfinite(values)
    dates = [
        datetime.fromisoformat(text) for text in itertools.compress(table.columns[when], known)
    ]
    return Days(number[known], dates, values[known])


def _require_days(number: np.ndarray, values: np.ndarray, places: list[str], gaps: Gaps) -> None:
    """Refuse days out of order, hours, gaps and rain that is none."""
    steps = np.diff(number)
    for wrong, said in (
        (steps == 0, "the day is there twice"),
        (steps < 0, "the day lies before the one above it"),
        (steps % 1.0 != 0, "the time is not that of the line above, a day later"),
        ((steps > 1) & (gaps == "refuse"), "days are missing before this one"),
    ):
        if wrong.any():
            raise DataError(
                said, where=places[int(wrong.argmax()) + 1], accepted="one row per day",
                next="Say gaps=skip to leave out missing days." if "missing" in said else "",
            )  # fmt: skip
    lost = np.isnan(values) & (gaps == "refuse")
    odd = (values < 0) | (values > MOST_DAILY_MM)
    for place, missing, value in itertools.compress(
        zip(places, lost, values, strict=True), lost | odd
    ):
        raise DataError(
            "the rain is missing" if missing else f"a day with {value:g} mm", where=place,
            accepted=f"0 to {MOST_DAILY_MM:g} mm",
            next="Say gaps=skip to leave out missing days." if missing else "Is the unit right?",
        )  # fmt: skip
