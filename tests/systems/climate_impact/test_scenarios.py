"""Change factors: depths change as said, and nothing else does."""

import numpy as np
import pytest

from assay.core.component import describe
from assay.errors import AssayError
from assay.systems.climate_impact.rain import DepthDuration, Hyetograph
from assay.systems.climate_impact.rainfield import RainField
from assay.systems.climate_impact.rasters import Grid
from assay.systems.climate_impact.scenarios import (
    change_factor,
    scale_rain,
    scale_rain_field,
    scale_statistics,
    scale_weather,
)
from assay.systems.climate_impact.weather import WeatherModel

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


@pytest.mark.parametrize("wrong", [{"factor": 0}, {"warming_k": 300}, {"per_degree_percent": 700}])
def test_factors_that_are_no_climate_are_refused(wrong):
    with pytest.raises(AssayError, match="scenario"):
        describe(scale_rain).validate(wrong, "scenario")
