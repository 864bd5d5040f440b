"""Daily series: whole years of 365 days, in the order of the file."""

import numpy as np
import pytest

from assay.errors import DataError
from assay.systems.climate_impact.daily import MONTH_OF_DAY, observed_days, yearly_maxima


def written(tmp_path, first, last):
    """A file whose day k after the first has k / 100 mm."""
    days = np.arange(first, last, dtype="datetime64[D]").astype(str)
    path = tmp_path / "gauge.csv"
    rows = [f"{day},{k / 100}" for k, day in enumerate(days)]
    path.write_text("\n".join(["date,rain [mm]", *rows]) + "\n")
    return path


def test_a_year_has_the_days_of_its_months():
    lengths = np.bincount(MONTH_OF_DAY)

    assert lengths.tolist() == [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]


def test_whole_years_are_kept_without_leap_days(tmp_path):
    daily = observed_days(path=written(tmp_path, "2003-12-30", "2006-03-01"))

    assert daily.rain_mm.shape == (2, 365)
    assert daily.note == "2 years of gauge.csv"
    # 2004 begins on the third day of the file; its 29 February, day 61, is not there
    first = [k for k in range(2, 368) if k != 61]
    assert daily.rain_mm[0] == pytest.approx(np.array(first) / 100)
    assert daily.rain_mm[1] == pytest.approx(np.arange(368, 733) / 100)
    assert yearly_maxima(daily) == pytest.approx([3.67, 7.32])


def test_less_than_a_year_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no whole calendar year"):
        observed_days(path=written(tmp_path, "2003-01-02", "2003-12-31"))


def test_a_missing_day_is_refused_by_line(tmp_path):
    path = written(tmp_path, "2003-01-01", "2004-01-01")
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:10] + lines[11:]) + "\n")

    with pytest.raises(DataError, match=r"gauge.csv line 11: days are missing before this one"):
        observed_days(path=path)
