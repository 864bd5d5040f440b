"""The solver of the full equations: rest, volume, symmetry, sides, walls, precision and refusals.

Its errors against exact solutions stand in test_verification.py.
"""

import math

import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.core.component import describe
from assay.errors import DataError, ParameterError
from assay.systems.climate_impact import solver
from assay.systems.climate_impact.finite_volume import shallow_water, simulate_shallow_water
from assay.systems.climate_impact.forcing import Soil
from assay.systems.climate_impact.inundation import inundation
from assay.systems.climate_impact.kernel import GRAVITY
from assay.systems.climate_impact.rain import Hyetograph
from assay.systems.climate_impact.rasters import Grid, Terrain, uniform_roughness
from assay.systems.climate_impact.solver import Boundaries, simulate

PRECISIONS = ("float64", "float32")
OPEN = Boundaries("free", "normal_depth", "free", "normal_depth")


def rough_terrain(shape: tuple[int, int], *, seed: int = 0, holes: bool = False) -> np.ndarray:
    """White noise of 5 m at 300 m altitude, in steps of 2^-8 m."""
    rng = np.random.default_rng(seed)
    bed = 300.0 + np.round(5.0 * rng.random(shape) * 256) / 256
    if holes:
        bed[rng.random(shape) < 0.1] = np.nan
    return bed


# --- rest ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("sides", ["closed", "free"])
def test_a_lake_with_dry_islands_stays_at_rest_exactly(precision, holes, sides):
    bed = rough_terrain((30, 40), seed=1, holes=holes)
    depth = np.where(np.isnan(bed), 0.0, np.maximum(303.0 - bed, 0.0))
    made = simulate_shallow_water(
        bed, 0.03, cell_m=5.0, end_s=120.0, depth_m=depth, precision=precision,
        boundaries=Boundaries(*[sides] * 4),
    )  # fmt: skip

    land = ~np.isnan(bed)
    assert (made.flow.depth_m[land] == 0).any()
    assert np.array_equal(made.flow.depth_m[land], depth[land].astype(precision))
    assert not made.flow.max_velocity_m_per_s[land].any()
    assert not made.qx_m2_per_s[land].any()


# --- volume --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)])
@pytest.mark.parametrize("sides", [Boundaries(), OPEN], ids=["closed", "open"])
def test_rain_and_inflow_on_rough_ground_are_all_accounted_for(precision, tolerance, sides):
    bed = rough_terrain((30, 40), holes=True)
    row, column = np.argwhere(~np.isnan(bed))[500]
    flow = simulate_shallow_water(
        bed, 0.03, cell_m=5.0, end_s=1200.0, rain_times_s=[0.0, 600.0], rain_mm_per_h=[120.0],
        inflow=[(int(row), int(column), 0.4)], boundaries=sides, precision=precision,
    ).flow  # fmt: skip

    ledger = flow.ledger
    cells = np.count_nonzero(~np.isnan(bed))
    assert ledger.rain_m3 == pytest.approx(cells * 25.0 * 0.02, rel=1e-6)
    assert ledger.inflow_m3 == pytest.approx(480.0, rel=1e-6)
    outflow = sum(getattr(ledger, f"outflow_{side}_m3") for side in Boundaries._fields)
    assert (outflow > 1.0) == (sides == OPEN)
    stored = np.nansum(flow.depth_m.astype(float)) * 25.0
    assert stored == pytest.approx(ledger.rain_m3 + ledger.inflow_m3 - outflow, rel=tolerance)
    assert abs(ledger.relative_error) < tolerance
    assert np.nanmin(flow.depth_m) >= 0.0


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), cfl=st.floats(0.2, 1.0), steepness=st.floats(0.1, 20.0))
def test_no_terrain_and_no_step_make_depths_negative_or_lose_water(seed, cfl, steepness):
    """Also beyond the stable step: what the limiter is for."""
    rng = np.random.default_rng(seed)
    bed = steepness * rng.random((9, 11))
    depth = np.where(rng.random(bed.shape) < 0.3, 2.0 * rng.random(bed.shape), 0.0)
    flow = simulate_shallow_water(
        bed, 0.02, cell_m=5.0, end_s=60.0, depth_m=depth, cfl=cfl, boundaries=OPEN,
        rain_times_s=[0.0], rain_mm_per_h=[100.0], dt_max_s=60.0,
    ).flow  # fmt: skip
    assert flow.depth_m.min() >= 0.0
    assert abs(flow.ledger.relative_error) < 1e-10


def test_the_limiter_acts_where_the_step_is_too_long():
    """A column of water gives 4 times 8/27 of what its celerity carries: more than it holds."""
    depth = np.zeros((5, 5))
    depth[2, 2] = 1.0
    flow = simulate_shallow_water(
        np.zeros((5, 5)), 1e-7, cell_m=5.0, end_s=1.59, depth_m=depth, cfl=1.0
    ).flow
    assert flow.steps == 1
    assert flow.limited_share > 0.0
    assert flow.depth_m.min() >= 0.0
    assert flow.depth_m.sum() == pytest.approx(1.0)


# --- symmetry, walls, sides ----------------------------------------------------------------------


def test_a_turned_terrain_floods_turned():
    bed = rough_terrain((18, 22), seed=5, holes=True)
    options = {"cell_m": 5.0, "end_s": 300.0, "rain_times_s": [0.0], "rain_mm_per_h": [80.0]}
    there = simulate_shallow_water(bed, 0.03, boundaries=OPEN, **options)
    turned = simulate_shallow_water(
        bed.T.copy(), 0.03,
        boundaries=Boundaries(west=OPEN.north, east=OPEN.south, south=OPEN.east, north=OPEN.west),
        **options,
    )  # fmt: skip
    np.testing.assert_allclose(turned.flow.depth_m.T, there.flow.depth_m, rtol=0, atol=1e-9)
    np.testing.assert_allclose(turned.qx_m2_per_s.T, there.qy_m2_per_s, rtol=0, atol=1e-9)


def test_a_mirrored_terrain_floods_mirrored():
    bed = rough_terrain((18, 22), seed=5, holes=True)
    options = {"cell_m": 5.0, "end_s": 300.0, "rain_times_s": [0.0], "rain_mm_per_h": [80.0]}
    there = simulate_shallow_water(bed, 0.03, boundaries={"west": "free"}, **options)
    mirrored = simulate_shallow_water(
        bed[:, ::-1].copy(), 0.03, boundaries={"east": "free"}, **options
    )
    np.testing.assert_allclose(mirrored.flow.depth_m[:, ::-1], there.flow.depth_m, atol=1e-9)
    np.testing.assert_allclose(mirrored.qx_m2_per_s[:, ::-1], -there.qx_m2_per_s, atol=1e-9)


@pytest.mark.parametrize("wall", ["side", "NoData"])
def test_water_that_meets_a_wall_rises_as_the_reflected_bore(wall):
    """h1 and u1 against a wall: a bore runs back with speed s, s (h2 - h1) = u1 h1 and
    (u1 + s)^2 = g h2 (h1 + h2) / (2 h1)."""
    h1, u1 = 1.0, 2.0
    low, high = h1, 5.0
    for _ in range(80):
        h2 = 0.5 * (low + high)
        s = u1 * h1 / (h2 - h1)
        short = (u1 + s) ** 2 > GRAVITY * h2 * (h1 + h2) / (2 * h1)
        low, high = (h2, high) if short else (low, h2)
    bed = np.zeros((1, 400))
    if wall == "NoData":
        bed[0, 390:] = np.nan
    made = simulate_shallow_water(
        bed, 1e-7, cell_m=1.0, end_s=20.0, depth_m=np.where(np.isnan(bed), 0.0, h1),
        velocity_m_per_s=(u1, 0.0), boundaries={"west": "closed"},
    )  # fmt: skip
    depth = made.flow.depth_m[0]
    assert depth[350:380] == pytest.approx(h2, rel=2e-3)
    assert depth[~np.isnan(depth)][-5:] == pytest.approx(h2, rel=0.01)
    assert np.abs(made.qx_m2_per_s[0, 350:380]).max() < 0.02
    behind = (390.0 if wall == "NoData" else 400.0) - 20.0 * u1 * h1 / (h2 - h1)
    front = np.flatnonzero(depth > 0.5 * (h1 + h2))[0]
    assert front == pytest.approx(behind, abs=2.0)


@pytest.mark.parametrize("outlet", ["normal_depth", "free"])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("slope", [0.004, 0.009], ids=["subcritical", "supercritical"])
def test_uniform_flow_has_mannings_depth(outlet, precision, slope):
    n, q, cell = 0.04 if slope < 0.005 else 0.02, 1.5, 10.0  # Froude 0.6 and 1.35: no roll waves
    made = simulate_shallow_water(
        (100.0 - slope * cell * np.arange(80))[None], n, cell_m=cell, end_s=3600.0, depth_m=0.5,
        boundaries={"east": outlet}, normal_slope=slope, inflow=[(0, 0, q * cell)],
        precision=precision,
    )  # fmt: skip
    normal = (q * n / math.sqrt(slope)) ** 0.6
    assert (q / normal > math.sqrt(GRAVITY * normal)) == (slope > 0.005)
    tolerance = 2e-4 if precision == "float64" else 1e-3
    assert made.flow.depth_m[0, 20:] == pytest.approx(normal, rel=tolerance)
    assert made.qx_m2_per_s[0, 20:] == pytest.approx(q, rel=tolerance)


@pytest.mark.parametrize("drop", [0.25, 2.0])
def test_water_at_the_edge_of_a_terrace_feels_the_whole_drop(drop):
    """Steps of the bed far higher than the water: the edge has Manning's depth on drop / cell.

    The plain hydrostatic reconstruction knows no more of the drop than the water is deep: a quarter
    to 130 % too much would stand there.
    """
    bed = (-drop * (np.arange(60) // 2))[None]
    flow = simulate_shallow_water(
        bed, 0.03, cell_m=5.0, end_s=3600.0, rain_times_s=[0.0], rain_mm_per_h=[30.0],
        boundaries={"east": "free"}, dry_depth_m=1e-6,
    ).flow  # fmt: skip
    q = 30.0 / 3.6e6 * 5.0 * np.arange(1, 61)
    normal = (q * 0.03 / math.sqrt(drop / 5.0)) ** 0.6
    assert flow.depth_m[0, 21:55:2] == pytest.approx(normal[21:55:2], rel=0.03)


def test_water_over_a_bump_keeps_the_momentum_that_the_inertial_solver_drops():
    """Energy: a stream at Froude 3.2 climbs a bump that a slower one cannot pass."""
    x = np.arange(200.0)
    bed = 0.5 * np.clip(1.0 - np.abs(x - 100.0) / 20.0, 0.0, None)[None]
    depth = np.where(x < 60.0, 0.2, 0.0)[None]
    made = simulate_shallow_water(
        bed, 1e-6, cell_m=1.0, end_s=20.0, depth_m=depth, velocity_m_per_s=(4.5, 0.0)
    )
    head = 0.2 + 4.5**2 / (2 * GRAVITY)
    assert head > 0.5
    assert made.flow.depth_m[0, 120:].sum() > 0.25 * depth.sum()
    slow = simulate_shallow_water(bed, 1e-6, cell_m=1.0, end_s=20.0, depth_m=depth).flow
    assert slow.depth_m[0, 120:].sum() < 0.01 * depth.sum()


# --- the same ports ------------------------------------------------------------------------------


def test_rain_by_cell_and_rain_alike_give_the_same_flood():
    bed = rough_terrain((12, 14), seed=8)
    options = {"cell_m": 5.0, "end_s": 600.0, "rain_times_s": [0.0, 300.0]}
    alike = simulate_shallow_water(bed, 0.03, rain_mm_per_h=[60.0], **options).flow
    field = np.full((1, *bed.shape), 60.0)
    by_cell = simulate_shallow_water(bed, 0.03, rain_mm_per_h=field, **options).flow
    np.testing.assert_allclose(by_cell.depth_m, alike.depth_m, rtol=0.02, atol=2e-4)
    assert by_cell.ledger.rain_m3 == pytest.approx(alike.ledger.rain_m3)


def test_single_precision_gives_the_same_flood_to_its_own_rounding():
    bed = np.tile(np.linspace(0, 20, 30)[::-1, None], (1, 10))
    options = {"cell_m": 20.0, "end_s": 1800.0, "rain_times_s": [0.0], "rain_mm_per_h": [60.0]}
    double, single = (
        simulate_shallow_water(bed, 0.03, precision=p, boundaries=OPEN, **options).flow
        for p in PRECISIONS
    )
    assert single.max_depth_m.dtype == np.float32
    np.testing.assert_allclose(single.max_depth_m, double.max_depth_m, rtol=1e-3, atol=1e-5)


def test_slow_water_floods_a_valley_as_the_local_inertial_solver_has_it():
    """Gradually varied flow: both equations agree where inertia is small."""
    y, x = np.mgrid[:31, :50]
    bed = 0.001 * (50 - x) * 10.0 + 2.0 * ((y - 15.0) / 15.0) ** 2
    options = {
        "cell_m": 10.0, "end_s": 7200.0, "inflow": [(15, 0, 20.0)],
        "boundaries": {"east": "normal_depth"}, "normal_slope": 0.001,
    }  # fmt: skip
    full = simulate_shallow_water(bed, 0.06, **options).flow
    inertial = simulate(bed, 0.06, **options)
    deep = inertial.depth_m > 0.3
    deep[:, :10] = False
    assert deep.sum() > 200
    assert full.depth_m[deep] == pytest.approx(inertial.depth_m[deep], rel=0.03)


def test_a_held_level_fills_the_land_behind_it_and_soil_drinks_the_rain():
    bed = np.zeros((3, 30))
    held = simulate_shallow_water(
        bed, 0.03, cell_m=5.0, end_s=3600.0, stage={"west": ([0.0, 600.0], [0.0, 0.5])}
    ).flow
    assert held.depth_m == pytest.approx(0.5, abs=0.01)
    assert held.ledger.held_west_m3 == pytest.approx(held.ledger.stored_end_m3)
    assert abs(held.ledger.relative_error) < 1e-10

    sand = simulate_shallow_water(
        bed, 0.03, cell_m=5.0, end_s=3600.0, rain_times_s=[0.0], rain_mm_per_h=[10.0],
        soil=Soil(50.0, 100.0, 0.3),
    ).flow  # fmt: skip
    assert sand.ledger.infiltrated_m3 == pytest.approx(sand.ledger.rain_m3, rel=0.01)
    assert abs(sand.ledger.relative_error) < 1e-10


def test_the_component_has_the_ports_of_inundation_and_makes_the_same_maps():
    ours, theirs = describe(shallow_water), describe(inundation)
    assert ours.inputs == theirs.inputs
    assert set(theirs.params) - set(ours.params) == {"theta"}
    for name, param in ours.params.items():
        assert param.default == theirs.params[name].default

    bed = np.zeros((8, 10))
    bed[0, 0] = np.nan
    grid = Grid(8, 10, 20.0, 0.0, 0.0, "EPSG:32616")
    ground = Terrain(bed, grid, "plane")
    storm = Hyetograph(np.array([0.0, 7200.0]), np.array([100.0]), "10-year storm", 10.0)
    flood = shallow_water(
        ground, uniform_roughness(ground, 0.03), storm, end_h=3.0, boundary="closed"
    )
    assert np.nanmax(flood.max_depth_m.values) == pytest.approx(0.2)
    assert np.nanmax(flood.arrival_time_h.values) == pytest.approx(1.0, abs=0.02)
    assert {r["measure"] for r in flood.records} >= {"max_depth", "flooded_area", "mass_error"}
    assert np.isnan(flood.max_depth_m.values[0, 0])


def test_it_starts_with_the_momentum_it_is_given_and_ends_with_what_is_left():
    made = simulate_shallow_water(
        np.zeros((21, 40)), 1e-7, cell_m=5.0, end_s=0.5, depth_m=1.0, velocity_m_per_s=(0.3, -0.2)
    )
    assert made.qx_m2_per_s[10, 20] == pytest.approx(0.3, rel=1e-6)
    assert made.qy_m2_per_s[10, 20] == pytest.approx(-0.2, rel=1e-6)
    dry = simulate_shallow_water(
        np.zeros((3, 40)), 0.03, cell_m=5.0, end_s=1.0, velocity_m_per_s=(5.0, 0.0)
    )
    assert not dry.qx_m2_per_s.any()


def test_progress_is_told_from_nothing_to_the_end():
    calls = []
    simulate_shallow_water(
        np.zeros((3, 3)), 0.03, cell_m=5.0, end_s=100.0, depth_m=0.1,
        on_progress=lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    assert calls[0] == (0.0, 100.0)
    assert calls[-1] == (100.0, 100.0)


@pytest.fixture
def as_users_call_it(monkeypatch):
    """Without the type checks that only the tests switch on."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.mark.usefixtures("as_users_call_it")
@pytest.mark.parametrize(
    ("options", "error", "word"),
    [
        ({"precision": "float16"}, ParameterError, "precision"),
        ({"cfl": 1.5}, ParameterError, "cfl"),
        ({"end_s": 0.0}, ParameterError, "end_s"),
        ({"depth_m": -1.0}, DataError, "depth_m"),
        ({"velocity_m_per_s": (np.zeros((2, 2)), 0.0)}, DataError, "velocity_m_per_s"),
        ({"velocity_m_per_s": (np.nan, 0.0), "depth_m": 1.0}, DataError, "velocity_m_per_s"),
        ({"boundaries": {"up": "free"}}, ParameterError, "boundaries"),
        ({"rain_times_s": [0.0, 0.0], "rain_mm_per_h": [1.0, 1.0]}, DataError, "rain_times_s"),
        ({"inflow": [(9, 9, 1.0)]}, ParameterError, "inflow"),
    ],
)
def test_what_cannot_be_simulated_is_refused_by_name(options, error, word):
    with pytest.raises(error, match=word):
        simulate_shallow_water(np.zeros((3, 4)), 0.03, **({"cell_m": 5.0, "end_s": 10.0} | options))


def test_the_ledger_is_the_other_solvers():
    made = simulate_shallow_water(np.zeros((3, 4)), 0.03, cell_m=5.0, end_s=10.0, depth_m=1.0)
    assert isinstance(made.flow, solver.Flow)
    assert isinstance(made.flow.ledger, solver.Ledger)
    assert made.flow.ledger.stored_end_m3 == pytest.approx(300.0)
