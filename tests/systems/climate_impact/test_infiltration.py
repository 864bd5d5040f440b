"""Losses against their closed forms: Green-Ampt by Lambert's W, curve numbers by the sum."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.special import lambertw

from assay.core.component import describe
from assay.errors import AssayError, DataError, ParameterError
from assay.systems.climate_impact import data
from assay.systems.climate_impact.forcing import ponded_infiltration
from assay.systems.climate_impact.infiltration import (
    curve_number_losses,
    curve_number_losses_field,
    green_ampt,
    green_ampt_losses,
    ponding_time,
    scs_runoff,
)
from assay.systems.climate_impact.rain import Hyetograph
from assay.systems.climate_impact.rainfield import RainField
from assay.systems.climate_impact.rasters import Grid, Raster

SOIL = {"conductivity_mm_per_h": 10.0, "suction_mm": 110.0, "moisture_deficit": 0.3}
GRID = Grid(2, 3, 10.0, 0.0, 20.0, "EPSG:32616")

storms = st.lists(st.tuples(st.floats(0.05, 3.0), st.floats(0, 120)), min_size=1, max_size=12)


def rain(spans_h, rates):
    times = np.concatenate([[0.0], np.cumsum(spans_h)]) * 3600.0
    return Hyetograph(times, np.asarray(rates, float), "storm", 10.0)


def storm_of(pairs):
    return rain([span for span, _ in pairs], [rate for _, rate in pairs])


# -- Green-Ampt ---------------------------------------------------------------------------------


@given(st.floats(0, 200), st.floats(1e-6, 50), st.floats(0.1, 100), st.floats(0.1, 200))
def test_ponded_infiltration_is_the_root_that_lamberts_w_gives(before, hours, rate, store):
    found = float(green_ampt(before, hours, conductivity_mm_per_h=rate, store_mm=store))

    # F + s = -s W(-(F0 + s)/s exp(-(F0 + s)/s - K dt/s)), on the lower branch
    start = (before + store) / store
    exponent = start + rate * hours / store
    assume(exponent < 600)
    expected = -store * lambertw(-start * np.exp(-exponent), -1).real - store
    if rate * hours > 1e-6 * store:  # nearer to its branch point W itself loses its digits
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)
    residual = found - before - store * np.log((found + store) / (before + store)) - rate * hours
    assert residual == pytest.approx(0.0, abs=1e-9 * (1 + found))


def test_silt_loam_of_the_textbook():
    # Chow, Maidment and Mays 1988, examples 5.4.1 and 5.4.2, in mm
    soil = {"conductivity_mm_per_h": 6.5, "suction_mm": 167.0, "moisture_deficit": 0.34}
    found = green_ampt(0.0, 1.0, conductivity_mm_per_h=6.5, store_mm=56.8)

    assert float(found) == pytest.approx(31.7, abs=0.05)
    assert ponding_time(10.0, **soil) == pytest.approx(10.5, abs=0.06)
    assert ponding_time(50.0, **soil) == pytest.approx(0.17, abs=0.005)


@given(st.floats(0, 200), st.floats(0.1, 200), st.floats(-8.0, -4.0))
def test_short_steps_keep_their_digits(before, store, exponent):
    """K dt = x - s ln(1 + x/(F + s)), to second order in a small increment x."""
    whole = before + store
    small = whole * 10.0**exponent
    supply = small * before / whole + store * (small / whole) ** 2 / 2

    assert ponded_infiltration(before, supply, store) == pytest.approx(small, rel=1e-3)


def test_soil_without_suction_drinks_at_its_conductivity_and_sealed_ground_nothing():
    found = green_ampt(
        np.array([0.0, 5.0, 5.0]),
        2.0,
        conductivity_mm_per_h=np.array([7.0, 7.0, 0.0]),
        store_mm=0.0,
    )

    assert found == pytest.approx([14.0, 19.0, 5.0])


def test_negative_numbers_are_refused():
    with pytest.raises(ParameterError, match="a negative or unknown number"):
        green_ampt(-1.0, 1.0, conductivity_mm_per_h=1.0, store_mm=1.0)


@pytest.mark.parametrize("rate", [12.0, 30.0, 100.0])
def test_steady_rain_ponds_when_the_formula_says(rate):
    at = ponding_time(rate, **SOIL)
    assert at == pytest.approx(10.0 * 33.0 / (rate * (rate - 10.0)))

    before = green_ampt_losses(rain([at], [rate]), **SOIL)
    after = green_ampt_losses(rain([at, 0.5], [rate, rate]), **SOIL)

    assert before.rain_mm_per_h == pytest.approx(0.0, abs=1e-9)
    taken = (at + 0.5) * rate - after.depth_mm
    expected = green_ampt(at * rate, 0.5, conductivity_mm_per_h=10.0, store_mm=33.0)
    assert taken == pytest.approx(float(expected), rel=1e-12)
    assert after.depth_mm > 0


def test_rain_that_the_soil_can_drink_never_ponds():
    assert ponding_time(10.0, **SOIL) == np.inf
    assert green_ampt_losses(rain([200.0], [10.0]), **SOIL).depth_mm == 0.0


@given(storms, st.floats(1.0, 60.0))
def test_the_steps_of_the_result_change_no_depth(pairs, step):
    coarse, fine = (green_ampt_losses(storm_of(pairs), **SOIL, step_min=s) for s in (step, 2.0))

    assert coarse.depth_mm == pytest.approx(fine.depth_mm, rel=1e-9, abs=1e-9)
    assert coarse.depth_mm <= storm_of(pairs).depth_mm


@given(storms)
def test_no_more_runs_off_than_falls_nor_infiltrates_than_ponded_soil_could(pairs):
    storm = storm_of(pairs)
    left = green_ampt_losses(storm, **SOIL, step_min=1440.0)
    hours = storm.times_s[-1] / 3600

    assert (left.rain_mm_per_h >= 0).all()
    assert (left.rain_mm_per_h <= storm.rain_mm_per_h + 1e-12).all()
    most = green_ampt(0.0, hours, conductivity_mm_per_h=10.0, store_mm=33.0)
    assert storm.depth_mm - left.depth_mm <= float(most) + 1e-9
    assert left.return_period_years == 10.0
    assert left.label == "storm, less Green-Ampt infiltration"


# -- curve numbers ------------------------------------------------------------------------------


@given(storms, st.floats(30, 100), st.floats(0, 0.4), st.floats(1.0, 120.0))
def test_the_sum_of_the_steps_is_the_closed_form_of_the_whole(pairs, number, share, step):
    storm = storm_of(pairs)
    left = curve_number_losses(storm, curve_number=number, initial_share=share, step_min=step)

    retention = 25400 / number - 254
    beyond = storm.depth_mm - share * retention
    expected = beyond**2 / (beyond + retention) if beyond > 0 else 0.0
    assert left.depth_mm == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert (left.rain_mm_per_h >= 0).all()


def test_curve_numbers_of_the_textbook():
    # Chow, Maidment and Mays 1988, example 5.5.1: 5.00 inches on CN 83.8, and on CN 92.3 when wet
    for number, inches in ((83.8, 3.25), (92.3, 4.13)):
        found = scs_runoff(np.array(5.0 * 25.4), np.array(number)) / 25.4
        assert float(found) == pytest.approx(inches, abs=0.01)


def test_sealed_ground_loses_nothing():
    storm = rain([1.0, 2.0], [30.0, 3.0])
    left = curve_number_losses(storm, curve_number=100.0, step_min=60.0)

    assert left.rain_mm_per_h == pytest.approx([30, 3, 3])
    assert left.label == "storm, less the losses of curve number 100"


def test_losses_by_cell_are_those_of_each_cell():
    storm = rain([1.0, 0.5, 2.0], [30.0, 80.0, 3.0])
    numbers = np.array([[60.0, 75.0, 100.0], [np.nan, 85.0, 98.0]])
    raster = Raster(numbers, GRID, "curve number", "1")
    sampled = RainField(
        storm.times_s, np.broadcast_to(storm.rain_mm_per_h[:, None, None], (3, 2, 3)).copy(),
        GRID, "storm", 10.0,
    )  # fmt: skip

    for given_rain in (storm, sampled):
        left = curve_number_losses_field(given_rain, raster, step_min=10.0)
        assert left.grid == GRID
        for row, column in np.argwhere(np.isfinite(numbers)):
            one = curve_number_losses(storm, curve_number=numbers[row, column], step_min=10.0)
            assert left.times_s == pytest.approx(one.times_s)
            assert left.rain_mm_per_h[:, row, column] == pytest.approx(one.rain_mm_per_h)
        assert (left.rain_mm_per_h[:, 1, 0] == 0).all()


def test_other_grids_and_impossible_curve_numbers_are_refused():
    storm = rain([1.0], [30.0])
    field = RainField(np.array([0.0, 60.0]), np.ones((1, 2, 2)), Grid(2, 2, 10.0, 0.0, 20.0, "x"),
                      "storm", 10.0)  # fmt: skip
    good = Raster(np.full((2, 3), 80.0), GRID, "curve number", "1")

    with pytest.raises(DataError, match="different grids"):
        curve_number_losses_field(field, good)
    with pytest.raises(DataError, match="curve numbers from 0 to 0; expected 1 to 100"):
        curve_number_losses_field(storm, Raster(np.zeros((2, 3)), GRID, "curve number", "1"))


def test_rain_that_never_ends_is_refused_and_rain_that_stops_is_not():
    endless = Hyetograph(np.array([0.0, 3600.0]), np.array([5.0, 1.0]), "drizzle", 2.0)
    ends = Hyetograph(np.array([0.0, 3600.0]), np.array([50.0, 0.0]), "shower", 2.0)

    for losses in (
        lambda storm: green_ampt_losses(storm, **SOIL),
        lambda storm: curve_number_losses(storm, curve_number=90.0),
    ):
        with pytest.raises(DataError, match="drizzle: the rain never ends"):
            losses(endless)
        assert 0 < losses(ends).depth_mm < 50


def test_a_design_storm_can_be_left_whole_for_a_loss_model():
    coefficient = describe(data.design_storm).params["runoff_coefficient"]
    whole = data.design_storm(return_period_years=50.0, runoff_coefficient=1.0)

    assert coefficient.check(1.0, "") == 1.0
    assert 0 < curve_number_losses(whole, curve_number=80.0).depth_mm < whole.depth_mm
    for wrong in ({"curve_number": 0}, {"curve_number": 101}, {"curve_number": 80, "step_min": 0}):
        with pytest.raises(AssayError):
            describe(curve_number_losses).validate(wrong, "losses")
