"""What enters and leaves the grid: rain by cell, inflows over time, held levels, thirsty soil."""

import math

import numpy as np
import pytest

from assay.errors import AssayError
from assay.systems.climate_impact.forcing import Soil, ponded_infiltration
from assay.systems.climate_impact.solver import simulate

K, SUCTION, DEFICIT = 10.0, 110.0, 0.3  # mm/h, mm, 1: a loam
STORE_M, K_M_PER_S = SUCTION * DEFICIT / 1e3, K / 3.6e6
PRECISIONS = (("float64", 1e-12), ("float32", 1e-5))


def seeped(infiltrated_m, conductivity_m_per_s, store_m, seconds):
    more = ponded_infiltration(infiltrated_m, conductivity_m_per_s * seconds, store_m)
    return infiltrated_m + more


def implicit_time(infiltrated_m):
    """Seconds of ponding after which so much has seeped in: Green and Ampt's closed form."""
    drawn = STORE_M * np.log1p(infiltrated_m / STORE_M)
    return (infiltrated_m - drawn) / K_M_PER_S


# -- infiltration -------------------------------------------------------------------------------


@pytest.mark.parametrize("infiltrated_m", [1e-5, 1e-3, 0.02, 0.5])
def test_seepage_from_dry_soil_is_the_closed_form_of_green_and_ampt(infiltrated_m):
    seconds = implicit_time(infiltrated_m)

    assert seeped(0.0, K_M_PER_S, STORE_M, seconds) == pytest.approx(infiltrated_m, rel=1e-9)


def test_many_small_steps_seep_as_much_as_a_large_one():
    total = 0.0
    for _ in range(500):
        total = seeped(total, K_M_PER_S, STORE_M, 7200.0 / 500)

    assert total == pytest.approx(seeped(0.0, K_M_PER_S, STORE_M, 7200.0), rel=1e-9)


def test_without_suction_soil_drinks_at_its_conductivity():
    assert seeped(0.3, K_M_PER_S, 0.0, 3600.0) == pytest.approx(0.31, rel=1e-12)
    assert seeped(0.3, 0.0, STORE_M, 3600.0) == 0.3


@pytest.mark.parametrize(("precision", "tolerance"), PRECISIONS)
def test_ponded_ground_loses_what_green_and_ampt_say(precision, tolerance):
    flow = simulate(
        np.zeros((3, 4)), 0.03, cell_m=10.0, end_s=3600.0, depth_m=0.2, precision=precision,
        soil=Soil(K, SUCTION, DEFICIT),
    )  # fmt: skip
    lost = 0.2 - flow.depth_m

    assert implicit_time(lost.astype(float)) == pytest.approx(3600.0, rel=1e-4)
    assert flow.ledger.infiltrated_m3 == pytest.approx(lost.sum() * 100.0, rel=1e-5)
    assert abs(flow.ledger.relative_error) < tolerance


def test_rain_weaker_than_the_soil_leaves_nothing_and_stronger_rain_ponds_on_time():
    """Ponding time of Mein and Larson: K s / (i (i - K))."""
    wet = {"cell_m": 10.0, "rain_times_s": [0.0], "soil": Soil(K, SUCTION, DEFICIT)}
    weak = simulate(np.zeros((2, 2)), 0.03, end_s=7200.0, rain_mm_per_h=[5.0], **wet)
    assert weak.depth_m.max() < 1e-9

    i = 30.0 / 3.6e6
    ponding_s = K_M_PER_S * STORE_M / (i * (i - K_M_PER_S))
    for seconds, ponds in ((0.97 * ponding_s, False), (1.05 * ponding_s, True)):
        flow = simulate(
            np.zeros((2, 2)), 0.03, end_s=seconds, rain_mm_per_h=[30.0], dt_max_s=1.0, **wet
        )
        assert (flow.depth_m.max() > 1e-6) == ponds


def test_sealed_cells_drink_nothing_and_a_soil_may_differ_from_cell_to_cell():
    conductivity = np.array([[0.0, K, 0.0]])
    flow = simulate(
        np.array([[1.0, 0.0, np.nan]]) * 100, 0.03, cell_m=10.0, end_s=600.0,
        depth_m=np.array([[0.0, 0.1, 0.0]]), soil=Soil(conductivity, SUCTION, DEFICIT),
    )  # fmt: skip
    expected = seeped(0.0, K_M_PER_S, STORE_M, 600.0)

    assert flow.depth_m[0, 1] == pytest.approx(0.1 - expected, rel=1e-6)
    assert flow.depth_m[0, 0] == 0.0


# -- rain by cell -------------------------------------------------------------------------------


@pytest.mark.parametrize(("precision", "tolerance"), PRECISIONS)
def test_rain_by_cell_that_is_the_same_everywhere_is_uniform_rain(precision, tolerance):
    bed = np.random.default_rng(0).random((12, 15)) * 3.0
    bed[4, 5] = np.nan
    rates = np.array([20.0, 0.0, 60.0])
    case = {"cell_m": 10.0, "end_s": 1500.0, "rain_times_s": [0.0, 300.0, 600.0, 900.0]}
    uniform = simulate(bed, 0.03, rain_mm_per_h=rates, precision=precision, **case)
    field = np.broadcast_to(rates[:, None, None], (3, 12, 15))
    by_cell = simulate(bed, 0.03, rain_mm_per_h=field, precision=precision, **case)

    assert by_cell.ledger.rain_m3 == pytest.approx(uniform.ledger.rain_m3, rel=1e-5)
    assert by_cell.depth_m == pytest.approx(uniform.depth_m, abs=2e-4, nan_ok=True)
    assert abs(by_cell.ledger.relative_error) < tolerance


def test_rain_falls_where_it_is_said_to_fall():
    field = np.zeros((1, 3, 4))
    field[0, 1, 2] = 36.0
    flow = simulate(
        np.arange(12.0).reshape(3, 4) * 0 + np.eye(3, 4) * 5, 0.03, cell_m=10.0, end_s=100.0,
        rain_times_s=[0.0, 100.0], rain_mm_per_h=field, dry_depth_m=0.01,
    )  # fmt: skip
    expected = np.zeros((3, 4))
    expected[1, 2] = 0.001

    assert flow.depth_m == pytest.approx(expected, abs=1e-12)


# -- inflows over time and held levels ----------------------------------------------------------


def test_an_inflow_may_change_over_time():
    series = (np.array([0.0, 60.0, 120.0]), np.array([1.0, 3.0]))
    flow = simulate(np.zeros((5, 5)), 0.03, cell_m=10.0, end_s=300.0, inflow=[(2, 2, series)])

    assert flow.ledger.inflow_m3 == pytest.approx(60.0 + 180.0, rel=1e-12)
    assert abs(flow.ledger.relative_error) < 1e-12


@pytest.mark.parametrize(("precision", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("side", ["west", "east", "south", "north"])
def test_a_basin_fills_to_the_level_that_is_held_at_its_side(side, precision, tolerance):
    bed = 50.0 + np.zeros((6, 8))
    flow = simulate(
        bed, 0.03, cell_m=10.0, end_s=4000.0, stage={side: ([0.0, 600.0], [50.0, 51.0])},
        precision=precision,
    )  # fmt: skip

    assert flow.depth_m == pytest.approx(np.ones((6, 8)), abs=0.02)
    held = {s: getattr(flow.ledger, f"held_{s}_m3") for s in ("west", "east", "south", "north")}
    assert held.pop(side) == pytest.approx(flow.ledger.stored_end_m3, rel=1e-5)
    assert set(held.values()) == {0.0}
    assert abs(flow.ledger.relative_error) < tolerance


def test_a_falling_level_drains_the_basin_again():
    flow = simulate(
        np.zeros((4, 6)), 0.03, cell_m=10.0, end_s=20_000.0, depth_m=1.0,
        stage={"east": ([0.0, 1000.0], [1.0, 0.2])},
    )  # fmt: skip

    assert flow.depth_m == pytest.approx(np.full((4, 6), 0.2), abs=0.01)
    assert flow.ledger.held_east_m3 == pytest.approx(-0.8 * 2400.0, rel=0.02)
    assert abs(flow.ledger.relative_error) < 1e-12


# -- refusals -----------------------------------------------------------------------------------

FLAT = {"bed_m": np.zeros((3, 4)), "manning": 0.03, "cell_m": 10.0, "end_s": 10.0}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"stage": {"up": ([0.0], [1.0])}}, "no such side: 'up'"),
        ({"stage": {"west": ([0.0, 0.0], [1.0, 1.0])}}, "stage, west: times do not increase"),
        ({"stage": {"west": ([0.0], [1.0, 1.0])}}, "stage, west: 1 times for 2 levels"),
        ({"stage": {"west": ([0.0], [math.nan])}}, "a level is unknown"),
        ({"inflow": [(0, 0, ([0.0, 1.0], [-1.0]))]}, "inflow: negative or non-finite"),
        ({"inflow": [(0, 0, ([1.0, 1.0], [1.0]))]}, "inflow: times do not increase"),
        ({"soil": Soil(-1.0, 1.0, 0.1)}, "conductivity_mm_per_h: negative or non-finite"),
        ({"soil": Soil(1.0, 1.0, 1.1)}, "moisture_deficit: more than 1"),
        ({"soil": Soil(np.ones((2, 2)), 1.0, 0.1)}, "conductivity_mm_per_h: shape"),
    ],
)
def test_what_makes_no_sense_is_refused(given, message):
    with pytest.raises(AssayError, match=message):
        simulate(**{**FLAT, **given})
