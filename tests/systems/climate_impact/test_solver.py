"""The flood solver against exact solutions of its own equations, conservation and symmetry.

Golden numbers are analytic: the Riemann problem of the local-inertial equations, Manning's uniform flow,
the kinematic wave on a plane, a MacDonald steady state, and the volume of the rain that fell.
"""

import math

import numpy as np
import pytest
from scipy.optimize import brentq

from assay.errors import DataError, ParameterError, SimulationError
from assay.systems.climate_impact.kernel import GRAVITY
from assay.systems.climate_impact.solver import Boundaries, Flow, simulate

PRECISIONS = ("float64", "float32")
OPEN = Boundaries("free", "normal_depth", "free", "normal_depth")


def rough_terrain(shape: tuple[int, int], *, seed: int = 0, holes: bool = False) -> np.ndarray:
    """White noise of 5 m at 300 m altitude, the worst case for wetting, drying and float32."""
    rng = np.random.default_rng(seed)
    bed = 300.0 + 5.0 * rng.random(shape)
    if holes:
        bed[rng.random(shape) < 0.1] = np.nan
    return bed


def stream(bed: np.ndarray, manning: float = 0.03, **options) -> Flow:
    """One row of cells, water along x."""
    return simulate(bed[None, :], manning, **options)


# --- lakes at rest -------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("holes", [False, True])
def test_a_lake_with_dry_islands_stays_at_rest_exactly(precision, holes):
    """Bed and level in units of 2^-8 m, so that depth = level - bed is exact in both precisions."""
    bed = np.round(rough_terrain((40, 50), seed=1, holes=holes) * 256) / 256
    depth = np.where(np.isnan(bed), 0.0, np.maximum(303.0 - bed, 0.0))
    flow = simulate(bed, 0.03, cell_m=5.0, end_s=300.0, depth_m=depth, precision=precision)

    land = ~np.isnan(bed)
    assert (flow.depth_m[land] == 0).any()
    assert np.array_equal(flow.depth_m[land], depth[land].astype(precision))
    assert np.array_equal(flow.max_depth_m[land], depth[land].astype(precision))
    assert not flow.max_velocity_m_per_s[land].any()


# --- volume --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)])
@pytest.mark.parametrize("boundaries", [Boundaries(), Boundaries(*["free"] * 4), OPEN])
@pytest.mark.parametrize("holes", [False, True])
def test_no_water_is_made_or_lost_on_rough_terrain(precision, tolerance, boundaries, holes):
    bed = rough_terrain((60, 70), holes=holes)
    flow = simulate(
        bed, 0.03, cell_m=5.0, end_s=1800.0, rain_times_s=[0.0, 601.7], rain_mm_per_h=[80.0, 20.0],
        boundaries=boundaries, precision=precision,
    )  # fmt: skip
    ledger = flow.ledger
    area = 25.0 * np.isfinite(bed).sum()
    fallen = (80.0 * 601.7 + 20.0 * (1800.0 - 601.7)) / 3.6e6 * area
    left = sum(ledger[2:6])

    assert ledger.rain_m3 == pytest.approx(fallen, rel=1e-12 if precision == "float64" else 1e-6)
    assert abs(ledger.relative_error) < tolerance
    assert np.nanmin(flow.depth_m) >= 0
    assert np.nansum(flow.depth_m, dtype=float) * 25.0 == pytest.approx(fallen - left, rel=1e-5)
    assert (left > 0) == (boundaries != Boundaries())
    assert np.array_equal(np.isnan(flow.max_depth_m), np.isnan(bed))


@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_the_limiter_keeps_depths_positive_where_it_has_to_act(precision, tolerance):
    """A 2 m wall of water falls down a dry 45 degree slope and out at the foot, at a bold cfl."""
    bed = np.repeat(np.linspace(60.0, 0.0, 61)[:, None], 20, axis=1)
    depth = np.zeros_like(bed)
    depth[5:15] = 2.0
    flow = simulate(
        bed, 0.01, cell_m=1.0, end_s=60.0, depth_m=depth, cfl=0.9, precision=precision,
        boundaries={"south": "free"},
    )  # fmt: skip
    assert flow.limited_share > 0
    assert flow.depth_m.min() >= 0
    assert abs(flow.ledger.relative_error) < tolerance
    assert flow.ledger.outflow_south_m3 > 0.5 * flow.ledger.stored_start_m3


def test_the_ledger_knows_the_sides_apart():
    """A plane that falls to one side only loses water there."""
    x, y = np.meshgrid(np.arange(20.0), np.arange(16.0))
    sides = {"west": x, "east": -x, "north": y, "south": -y}
    for side, bed in sides.items():
        flow = simulate(
            0.1 * bed, 0.03, cell_m=5.0, end_s=600.0, depth_m=0.05,
            boundaries=Boundaries(*["normal_depth"] * 4)._replace(
                **{other: "closed" for other in sides if other != side}
            ),
        )  # fmt: skip
        outflow = {name: getattr(flow.ledger, f"outflow_{name}_m3") for name in sides}
        assert outflow[side] > 0.9 * flow.ledger.stored_start_m3
        assert sum(outflow.values()) == outflow[side]


def test_point_inflow_is_accounted_and_survives_a_dry_start():
    """20 m3/s into one dry 1 m2 cell: 400 m tall columns unless the first steps are short enough."""
    bed = np.zeros((41, 41))
    flow = simulate(bed, 0.03, cell_m=1.0, end_s=30.0, inflow=[(20, 20, 20.0)], dt_max_s=20.0)
    assert flow.ledger.inflow_m3 == pytest.approx(600.0, rel=1e-12)
    assert abs(flow.ledger.relative_error) < 1e-12
    assert flow.max_depth_m.max() < 8.0


# --- exact solutions -----------------------------------------------------------------------------


def inertial_middle_depth(left: float, right: float) -> float:
    """Rarefaction meets shock for h_t + q_x = 0, q_t + g h h_x = 0 (no advection)."""

    def mismatch(h: float) -> float:
        shock = (h - right) * math.sqrt(GRAVITY * (h + right) / 2)
        return 2 / 3 * math.sqrt(GRAVITY) * (left**1.5 - h**1.5) - shock

    return brentq(mismatch, right, left, xtol=1e-12)


@pytest.fixture(scope="module")
def dam_break() -> tuple[np.ndarray, np.ndarray]:
    """Distance over time and depth 60 s after a 2 m / 1 m dam breaks on a flat, smooth bed."""
    x = np.arange(1200) - 599.5
    flow = stream(
        np.zeros(1200),
        1e-5,
        cell_m=1.0,
        end_s=60.0,
        depth_m=np.where(x < 0, 2.0, 1.0)[None],
        theta=0.8,
    )
    return x / 60.0, flow.depth_m[0]


def test_dam_break_solves_the_inertial_riemann_problem(dam_break):
    speed, depth = dam_break
    middle = inertial_middle_depth(2.0, 1.0)
    shock = math.sqrt(GRAVITY * (middle + 1.0) / 2)
    tail, head = -math.sqrt(GRAVITY * middle), -math.sqrt(GRAVITY * 2.0)

    assert middle == pytest.approx(1.54121, abs=1e-5)
    plateau = depth[(speed > tail + 0.3) & (speed < shock - 0.3)]
    assert np.abs(plateau / middle - 1).max() < 0.005
    fan = (speed > head + 0.3) & (speed < tail - 0.3)
    assert np.abs(depth[fan] / (speed[fan] ** 2 / GRAVITY) - 1).max() < 0.005
    front = speed[np.flatnonzero(depth > 0.5 * (middle + 1.0))[-1]]
    assert front == pytest.approx(shock, abs=0.05)


def test_dam_break_is_six_percent_deeper_than_the_full_equations(dam_break):
    """No advection: a property of the equations (Stoker's middle depth is 1.45384 m), not an error."""
    speed, depth = dam_break
    assert 1.05 < np.median(depth[np.abs(speed) < 2.0]) / 1.45384 < 1.07


@pytest.mark.parametrize("outlet", ["normal_depth", "free"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_uniform_flow_has_mannings_depth(outlet, precision):
    """Steady inflow on a plane: q = h^(5/3) sqrt(S) / n in every cell but the first."""
    slope, n, q, cell = 0.004, 0.04, 1.5, 10.0
    flow = stream(
        100.0 - slope * cell * np.arange(60), n, cell_m=cell, end_s=7200.0, normal_slope=slope,
        boundaries={"east": outlet}, inflow=[(0, 0, q * cell)], precision=precision, depth_m=0.5,
    )  # fmt: skip
    normal = (q * n / math.sqrt(slope)) ** 0.6
    assert flow.depth_m[0, 1:] == pytest.approx(
        normal, rel=1e-6 if precision == "float64" else 1e-3
    )
    assert flow.max_velocity_m_per_s[0, 30] >= q / normal * 0.999


def macdonald_error(cell_m: float) -> float:
    """Worst relative depth error against a chosen steady depth over a kilometre (inertial form)."""
    q, n, length = 2.0, 0.033, 1000.0

    def depth(x):
        return 1.0 + 0.25 * np.exp(-16.0 * (x / length - 0.5) ** 2)

    fine = np.linspace(0.0, length, 200_001)
    friction = n**2 * q**2 / depth(fine) ** (10 / 3)
    fall = np.concatenate([[0], np.cumsum(0.5 * (friction[1:] + friction[:-1]) * np.diff(fine))])
    x = np.arange(0.5 * cell_m, length, cell_m)
    bed = depth(0.0) - np.interp(x, fine, fall) - depth(x)  # S0 = h_x + friction
    flow = stream(
        bed, n, cell_m=cell_m, end_s=4000.0, depth_m=depth(x)[None], inflow=[(0, 0, q * cell_m)],
        boundaries={"east": "normal_depth"}, normal_slope=float(friction[-1]),
    )  # fmt: skip
    return float(np.abs(flow.depth_m[0] / depth(x) - 1).max())


def test_macdonald_steady_state_converges_at_first_order():
    coarse, fine = macdonald_error(10.0), macdonald_error(5.0)
    assert fine < 0.01
    assert 1.7 < coarse / fine < 2.3


def test_runoff_from_a_plane_follows_the_kinematic_wave():
    """Rising limb q = alpha (i t)^(5/3) to the time of concentration, then all the rain runs off."""
    slope, n, length, cell, rain = 0.05, 0.1, 100.0, 1.0, 60.0
    i, alpha = rain / 3.6e6, math.sqrt(slope) / n
    concentration = (length * i ** (-2 / 3) / alpha) ** 0.6
    bed = -slope * cell * np.arange(100)

    def volume(end_s: float) -> tuple[float, np.ndarray]:
        flow = stream(
            bed, n, cell_m=cell, end_s=end_s, rain_times_s=[0.0], rain_mm_per_h=[rain], cfl=0.3,
            boundaries={"east": "normal_depth"}, normal_slope=slope, dry_depth_m=1e-5,
        )  # fmt: skip
        return flow.ledger.outflow_east_m3 / cell, flow.depth_m[0]

    rising, _ = volume(concentration)
    assert rising == pytest.approx(3 / 8 * i * length * concentration, rel=0.03)
    early, _ = volume(1.5 * concentration)
    late, depth = volume(2.0 * concentration)
    assert late - early == pytest.approx(0.5 * concentration * i * length, rel=0.01)
    x = np.arange(1.0, 101.0)
    assert depth[10:] == pytest.approx((i * x / alpha)[10:] ** 0.6, rel=0.01)


def test_weighting_damps_the_oscillation_of_the_unweighted_scheme():
    """Inflow over a shallow smooth bed: depth must fall with distance; theta = 1 rings, .8 and .9 not."""

    def rises(theta: float) -> float:
        flow = stream(
            np.zeros(300), 0.01, cell_m=10.0, end_s=900.0, depth_m=0.1, inflow=[(0, 0, 8.0)],
            theta=theta, cfl=0.7,
        )  # fmt: skip
        return float(np.maximum(np.diff(flow.depth_m[0]), 0).sum())

    assert rises(1.0) > 0.05
    assert rises(0.9) < 0.01
    assert rises(0.8) < 0.01


# --- symmetry and repetition ---------------------------------------------------------------------


def flood(bed: np.ndarray, manning: np.ndarray, boundaries: Boundaries, precision: str) -> Flow:
    return simulate(
        bed, manning, cell_m=5.0, end_s=900.0, rain_times_s=[0.0, 450.0], rain_mm_per_h=[90.0],
        boundaries=boundaries, precision=precision,
    )  # fmt: skip


@pytest.mark.parametrize("precision", PRECISIONS)
def test_turned_terrain_floods_turned(precision):
    """East and south faces share one code path, so only the order of max over rows may differ."""
    bed = rough_terrain((33, 46), seed=3, holes=True)
    manning = np.random.default_rng(4).uniform(0.02, 0.1, bed.shape)
    west, east, south, north = OPEN
    plain = flood(bed, manning, OPEN, precision)
    turns = {
        "transposed": (lambda a: a.T.copy(), Boundaries(north, south, east, west)),
        "upside down": (lambda a: a[::-1].copy(), Boundaries(west, east, north, south)),
        "mirrored": (lambda a: a[:, ::-1].copy(), Boundaries(east, west, south, north)),
    }
    for name, (turn, boundaries) in turns.items():
        turned = flood(turn(bed), turn(manning), boundaries, precision)
        for field in ("depth_m", "max_depth_m", "max_velocity_m_per_s"):
            expected, got = turn(getattr(plain, field)), getattr(turned, field)
            assert np.allclose(got, expected, rtol=0, atol=1e-12, equal_nan=True), (name, field)


def test_two_runs_are_identical_to_the_bit():
    bed = rough_terrain((30, 40), seed=5)
    manning = np.full(bed.shape, 0.03)
    first, second = (flood(bed, manning, OPEN, "float32") for _ in range(2))
    assert all(
        np.array_equal(a, b, equal_nan=True) for a, b in zip(first[:5], second[:5], strict=True)
    )
    assert first[5:] == second[5:]


def test_one_manning_value_equals_a_field_of_it():
    bed = rough_terrain((20, 30), seed=6)
    options = {"cell_m": 5.0, "end_s": 300.0, "depth_m": 0.2, "boundaries": OPEN}
    one, many = simulate(bed, 0.05, **options), simulate(bed, np.full(bed.shape, 0.05), **options)
    assert np.array_equal(one.depth_m, many.depth_m)
    assert one.ledger == many.ledger


# --- maps ----------------------------------------------------------------------------------------


def test_flat_tank_fills_with_the_rain_and_arrival_is_its_time():
    """100 mm/h reach 0.1 m after one hour, sampled within eight steps of 5 s."""
    flow = simulate(
        np.zeros((5, 7)), 0.03, cell_m=10.0, end_s=7200.0, rain_times_s=[0.0], rain_mm_per_h=[100.0]
    )
    assert flow.depth_m == pytest.approx(0.2, rel=1e-9)
    assert flow.arrival_time_h == pytest.approx(1.0, abs=8 * 5 / 3600)
    assert not flow.max_velocity_m_per_s.any()
    assert flow.cell_updates == flow.steps * 35


def test_maps_agree_with_each_other():
    bed = rough_terrain((40, 40), seed=7, holes=True)
    flow = flood(bed, np.full(bed.shape, 0.03), OPEN, "float64")
    land = ~np.isnan(bed)
    assert (flow.max_depth_m >= flow.depth_m)[land].all()
    assert np.array_equal(np.isfinite(flow.arrival_time_h), land & (flow.max_depth_m > 0.1))
    assert np.nanmax(flow.arrival_time_h) <= 0.25
    assert (flow.max_hazard_m2_per_s <= flow.max_depth_m * flow.max_velocity_m_per_s * (1 + 1e-9))[
        land
    ].all()
    deepest = np.nanmax(flow.max_depth_m)
    assert 0 < np.nanmax(flow.max_velocity_m_per_s) <= math.sqrt(2 * GRAVITY * deepest)


def test_nodata_cells_are_walls():
    """A wall of NoData across the domain: no water beyond it."""
    bed = np.zeros((10, 21))
    bed[:, 10] = np.nan
    depth = np.where(np.arange(21) < 10, 1.0, 0.0) * np.ones((10, 1))
    flow = simulate(bed, 0.03, cell_m=5.0, end_s=120.0, depth_m=depth)
    assert np.array_equal(flow.depth_m[:, :10], depth[:, :10])
    assert not flow.max_depth_m[:, 11:].any()
    assert np.isnan(flow.arrival_time_h[:, 10:]).all()


def test_rain_steps_are_hit_exactly_and_stop():
    """Rates hold on [t_i, t_i+1); none before the first time, none after a closing last time."""
    flow = simulate(
        np.zeros((3, 3)), 0.03, cell_m=2.0, end_s=1000.0, dt_max_s=7.0,
        rain_times_s=[100.3, 233.1, 777.7], rain_mm_per_h=[36.0, 72.0],
    )  # fmt: skip
    fallen = 36.0 * (233.1 - 100.3) / 3.6e6 + 72.0 * (777.7 - 233.1) / 3.6e6
    assert flow.depth_m == pytest.approx(fallen, rel=1e-12)


def test_progress_ends_at_the_end():
    calls = []
    simulate(
        np.zeros((3, 3)),
        0.03,
        cell_m=10.0,
        end_s=500.0,
        on_progress=lambda *done: calls.append(done),
    )
    assert calls[-1] == (500.0, 500.0)
    assert calls == sorted(calls)


# --- refusals ------------------------------------------------------------------------------------

FLAT = np.zeros((4, 5))


@pytest.mark.parametrize(
    ("changes", "error", "where"),
    [
        ({"bed_m": np.full((4, 5), np.nan)}, DataError, "bed_m"),
        ({"bed_m": np.where(FLAT == 0, np.inf, 0)}, DataError, "bed_m"),
        ({"manning": np.full((3, 5), 0.03)}, DataError, "manning"),
        ({"manning": 0.0}, DataError, "manning"),
        ({"depth_m": FLAT - 1.0}, DataError, "depth_m"),
        ({"rain_times_s": [0.0, 0.0], "rain_mm_per_h": [1.0, 1.0]}, DataError, "rain_times_s"),
        ({"rain_times_s": [0.0], "rain_mm_per_h": [1.0, 1.0]}, DataError, "rain_times_s"),
        ({"rain_times_s": [0.0], "rain_mm_per_h": [-1.0]}, DataError, "rain_mm_per_h"),
        ({"boundaries": {"west": "open"}}, ParameterError, "west"),
        ({"boundaries": {"up": "free"}}, ParameterError, "boundaries"),
        ({"cfl": 1.5}, ParameterError, "cfl"),
        ({"end_s": math.nan}, ParameterError, "end_s"),
        ({"precision": "float16"}, ParameterError, "precision"),
        ({"inflow": [(4, 0, 1.0)]}, ParameterError, "inflow"),
    ],
)
def test_bad_input_is_refused_by_name(changes, error, where):
    arguments = {"bed_m": FLAT, "manning": 0.03, "cell_m": 1.0, "end_s": 1.0} | changes
    with pytest.raises(error) as caught:
        simulate(**arguments)
    assert caught.value.where == where


def test_blow_up_tells_when_and_what_to_do():
    with pytest.raises(SimulationError, match=r"simulated time.*Lower cfl"):
        simulate(FLAT, 0.03, cell_m=1.0, end_s=10.0, inflow=[(1, 1, 1e300)], precision="float32")
