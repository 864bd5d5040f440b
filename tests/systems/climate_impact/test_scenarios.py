"""Change factors: depths change as said, and nothing else does."""

import numpy as np
import pytest

from assay.core.component import describe
from assay.errors import AssayError, DataError
from assay.systems.climate_impact.daily import DailyRain
from assay.systems.climate_impact.rain import DepthDuration, Hyetograph
from assay.systems.climate_impact.rainfield import RainField
from assay.systems.climate_impact.rasters import Grid
from assay.systems.climate_impact.scenarios import (
    change_factor,
    monthly_factors,
    scale_days,
    scale_rain,
    scale_rain_field,
    scale_statistics,
    scale_weather,
)
from assay.systems.climate_impact.weather import WeatherModel, generate_weather

STORM = Hyetograph(np.array([0.0, 3600.0, 7200.0]), np.array([10.0, 4.0]), "10-year storm", 10.0)


def test_warming_compounds_and_a_factor_multiplies():
    assert change_factor(1.0, 2.0, 7.0) == pytest.approx(1.07**2)
    assert change_factor(1.2, -1.0, 7.0) == pytest.approx(1.2 / 1.07)
    assert change_factor(1.3, 0.0, 7.0) == 1.3


def test_a_scaled_storm_is_deeper_as_long_and_as_rare():
    found = scale_rain(STORM, warming_k=2.0)

    assert found.depth_mm == pytest.approx(STORM.depth_mm * 1.07**2)
    assert np.array_equal(found.times_s, STORM.times_s)
    assert found.return_period_years == 10.0
    assert found.label == "10-year storm, depths x 1.145 (2 K at 7 % per K)"


def test_no_change_leaves_the_storm_as_it_was():
    found = scale_rain(STORM)

    assert np.array_equal(found.rain_mm_per_h, STORM.rain_mm_per_h)
    assert found.label == STORM.label
    assert scale_rain(STORM, factor=1.5).label == "10-year storm, depths x 1.5"


def test_rain_by_cell_is_scaled_alike():
    field = RainField(
        STORM.times_s, np.ones((2, 2, 2)), Grid(2, 2, 1.0, 0.0, 2.0, "EPSG:32616"), "radar", 5.0
    )
    found = scale_rain_field(field, factor=1.25)

    assert found.rain_mm_per_h == pytest.approx(1.25)
    assert found.label == "radar, depths x 1.25"


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.1])
@pytest.mark.parametrize(("period", "hours"), [(2.0, 24.0), (100.0, 1.0), (1000.0, 72.0)])
def test_scaled_statistics_scale_every_depth(shape, period, hours):
    today = DepthDuration(60.0, 18.0, shape, note="gauge")
    found = scale_statistics(today, warming_k=3.0, per_degree_percent=5.0)

    expected = 1.05**3 * today.depth_mm(period, hours)
    assert found.depth_mm(period, hours) == pytest.approx(expected, rel=1e-12)
    assert (found.shape, found.exponent, found.reference_h) == (shape, 0.35, 24.0)
    assert found.note == "gauge, depths x 1.158 (3 K at 5 % per K)"


def test_weather_keeps_how_often_it_rains():
    twelve = np.full(12, 0.4)
    today = WeatherModel(twelve, twelve + 0.2, twelve * 2, twelve * 10, 0.1)
    found = scale_weather(today, factor=1.1)

    assert np.array_equal(found.wet_share, today.wet_share)
    assert found.wet_day_mm - 0.1 == pytest.approx(1.1 * (today.wet_day_mm - 0.1))
    assert found.note == "depths x 1.1"


# -- by month -----------------------------------------------------------------------------------

BY_MONTH = [1.0 + k / 10 for k in range(12)]
LENGTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]


def table(tmp_path, rows):
    path = tmp_path / "change.csv"
    path.write_text("\n".join(["month,factor", *rows]) + "\n")
    return path


def test_every_day_takes_the_factor_of_its_month_and_dry_days_stay_dry():
    rain = np.ones((2, 365))
    rain[1, 100:] = 0.0
    found = scale_days(DailyRain(rain, "gauge"), factor=BY_MONTH)

    starts = np.cumsum([0, *LENGTHS])
    for k, factor in enumerate(BY_MONTH):
        assert found.rain_mm[0, starts[k] : starts[k + 1]] == pytest.approx(factor)
    assert (found.rain_mm[1, 100:] == 0).all()
    assert found.note == "gauge, depths x 1 to 2.1 by month"


def test_scaled_weather_generates_days_whose_excess_is_scaled_by_month():
    """A gamma variate scales with its scale, so the same draw gives each wet day its factor."""
    twelve = np.full(12, 0.4)
    today = WeatherModel(twelve, twelve + 0.2, twelve * 2, twelve * 10, 0.1)
    now, then = (
        generate_weather(model, years=20, seed=1).rain_mm
        for model in (today, scale_weather(today, factor=BY_MONTH))
    )
    wet = now > 0
    excess = DailyRain(np.where(wet, now - 0.1, 0.0))

    assert np.array_equal(then > 0, wet)
    expected = scale_days(excess, factor=BY_MONTH).rain_mm[wet]
    assert then[wet] - 0.1 == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_one_factor_is_the_same_in_every_month_and_warming_multiplies():
    twelve = np.full(12, 0.4)
    today = WeatherModel(twelve, twelve + 0.2, twelve * 2, twelve * 10, 0.1)

    found = scale_weather(today, factor=[1.1] * 12, warming_k=1.0)
    assert found.scale_mm == pytest.approx(scale_weather(today, factor=1.1 * 1.07).scale_mm)
    assert found.note == "depths x 1.177 (1 K at 7 % per K)"


def test_a_table_of_factors_may_have_its_months_in_any_order(tmp_path):
    rows = [f"{k + 1},{BY_MONTH[k]}" for k in reversed(range(12))]
    path = table(tmp_path, rows)

    assert monthly_factors(1.0, path) == pytest.approx(BY_MONTH)
    assert monthly_factors(2.0, path) == pytest.approx(2 * np.array(BY_MONTH))
    assert monthly_factors([2.0] * 12, path) == pytest.approx(2 * np.array(BY_MONTH))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r[:-1], "change.csv: month 12 is missing; expected 1 to 12"),
        (lambda r: [*r[:-1], r[0]], "change.csv line 13: month 1 is there twice"),
        (lambda r: ["13,1", *r[1:]], "change.csv line 2: month 13; expected 1 to 12"),
        (lambda r: ["1.5,1", *r[1:]], "change.csv line 2: month 1.5; expected 1 to 12"),
        (lambda r: ["1,-1", *r[1:]], "change.csv line 2: factor -1; expected above 0"),
        (lambda r: ["1,", *r[1:]], "change.csv line 2: factor nan; expected above 0"),
    ],
)
def test_tables_that_are_not_twelve_factors_are_refused_by_line(tmp_path, change, said):
    rows = [f"{k + 1},1.1" for k in range(12)]
    with pytest.raises(DataError) as error:
        monthly_factors(1.0, table(tmp_path, change(rows)))
    assert said in str(error.value)


@pytest.mark.parametrize("wrong", [[1.0] * 11, [1.0] * 13, [0.0] * 12, [11.0] * 12])
def test_factors_that_are_not_twelve_or_no_climate_are_refused(wrong):
    for scale in (scale_weather, scale_days):
        with pytest.raises(AssayError, match="scenario"):
            describe(scale).validate({"factor": wrong}, "scenario")


@pytest.mark.parametrize("wrong", [{"factor": 0}, {"warming_k": 300}, {"per_degree_percent": 700}])
def test_factors_that_are_no_climate_are_refused(wrong):
    with pytest.raises(AssayError, match="scenario"):
        describe(scale_rain).validate(wrong, "scenario")
