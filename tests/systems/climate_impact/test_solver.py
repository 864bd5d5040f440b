"""The flood solver: water at rest, volume, symmetry, maps and refusals, in both precisions.

Exact solutions stand in test_exact_solutions.py.
"""

import math
import os
import subprocess
import sys

import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from assay.errors import DataError, ParameterError, SimulationError
from assay.systems.climate_impact import kernel
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


# --- lakes at rest -------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("sides", ["closed", "free"])
def test_a_lake_with_dry_islands_stays_at_rest_exactly(precision, holes, sides):
    """Bed and level in units of 2^-8 m, so that depth = level - bed is exact in both precisions."""
    bed = np.round(rough_terrain((40, 50), seed=1, holes=holes) * 256) / 256
    depth = np.where(np.isnan(bed), 0.0, np.maximum(303.0 - bed, 0.0))
    flow = simulate(
        bed, 0.03, cell_m=5.0, end_s=300.0, depth_m=depth, precision=precision,
        boundaries=Boundaries(*[sides] * 4),
    )  # fmt: skip

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


KINDS = st.sampled_from(["closed", "free", "normal_depth"])


@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 2**32),
    relief_m=st.sampled_from([0.0, 0.1, 5.0, 500.0]),
    holes=st.sampled_from([0.0, 0.3, 0.7]),
    rain_mm_per_h=st.tuples(st.sampled_from([0.0, 0.5, 20.0, 500.0]), st.floats(0, 100)),
    deepest_m=st.sampled_from([0.0, 0.01, 5.0]),
    inflow_m3_per_s=st.sampled_from([0.0, 1e-4, 20.0]),
    sides=st.tuples(KINDS, KINDS, KINDS, KINDS),
    cell_m=st.sampled_from([2.0, 30.0]),
    cfl=st.floats(0.1, 1.0),
    theta=st.floats(0.5, 1.0),
    dry_depth_m=st.sampled_from([1e-5, 1e-3]),
    precision=st.sampled_from(PRECISIONS),
)
def test_whatever_the_flood_depths_are_finite_and_positive_and_only_rounding_is_lost(
    shape, seed, relief_m, holes, rain_mm_per_h, deepest_m, inflow_m3_per_s, sides, cell_m, cfl,
    theta, dry_depth_m, precision,
):  # fmt: skip
    """A step rounds the depth of a cell at most three times, each by half an epsilon."""
    rng = np.random.default_rng(seed)
    bed = rng.uniform(-100, 4000) + relief_m * rng.random(shape)
    land = rng.random(shape) >= holes
    land.flat[rng.integers(land.size)] = True
    bed[~land] = np.nan
    row, column = np.argwhere(land)[0]
    flow = simulate(
        bed, rng.uniform(0.005, 0.3, shape), cell_m=cell_m, end_s=60.0,
        rain_times_s=[0.0, 17.7], rain_mm_per_h=rain_mm_per_h,
        depth_m=deepest_m * rng.random(shape),
        inflow=[(int(row), int(column), inflow_m3_per_s)], boundaries=Boundaries(*sides),
        normal_slope=0.01, cfl=cfl, theta=theta, dry_depth_m=dry_depth_m, precision=precision,
    )  # fmt: skip

    for field in (flow.depth_m, flow.max_depth_m, flow.max_velocity_m_per_s):
        assert np.array_equal(np.isfinite(field), land)
        assert field[land].min() >= 0
    ledger = flow.ledger
    handled = ledger.rain_m3 + ledger.inflow_m3 + ledger.stored_start_m3
    lost = 1.5 * float(np.finfo(precision).eps) * flow.steps * handled
    assert abs(ledger.error_m3) <= lost
    assert min(ledger[2:6]) >= 0
    assert flow.depth_m[land].sum(dtype=float) * cell_m**2 == pytest.approx(
        handled - sum(ledger[2:6]), rel=1e-9, abs=lost + 1e-12
    )


@pytest.mark.parametrize("precision", PRECISIONS)
def test_drizzle_and_a_trickle_onto_a_deep_lake_are_not_rounded_away(precision):
    """1 mm/h is 2e-7 m in a step, and the next float32 above 5 m is 5e-7 m higher.

    Rounding 5,000 steps of 42 cells by up to half of that is a random walk of 3 litres, 8e-4 of the
    rain; the bound is four of these.
    """
    flow = simulate(
        np.zeros((6, 7)), 0.03, cell_m=10.0, end_s=3600.0, depth_m=5.0, rain_times_s=[0.0],
        rain_mm_per_h=[1.0], inflow=[(2, 3, 1e-6)], precision=precision,
    )  # fmt: skip
    assert flow.ledger.rain_m3 == pytest.approx(4.2, rel=1e-6)
    assert flow.ledger.inflow_m3 == pytest.approx(3.6e-3, rel=0.02)
    assert abs(flow.ledger.relative_error) < (1e-11 if precision == "float64" else 3e-3)


def test_a_channel_that_turns_at_every_cell_carries_the_same_depth_whatever_the_step():
    """With a fixed theta each step takes a tenth of the flow at each corner: a drag of 0.1 / dt."""
    slope, n, q, cell = 0.002, 0.03, 0.3, 80.0
    bed = np.full((30, 60), np.nan)
    path = [(0, 0)]
    while path[-1][1] < 58 and path[-1][0] < 28:
        row, column = path[-1]
        path.append((row, column + 1) if len(path) % 2 else (row + 1, column))
    path += [(path[-1][0], column) for column in range(path[-1][1] + 1, 60)]
    for k, place in enumerate(path):
        bed[place] = 100.0 - slope * cell * k
    ends = [
        simulate(
            bed, n, cell_m=cell, end_s=20_000.0, depth_m=0.1, inflow=[(0, 0, q * cell)],
            dt_max_s=longest, normal_slope=slope, boundaries={"east": "normal_depth"},
        ).depth_m
        for longest in (5.0, 1.0)
    ]  # fmt: skip
    middle = path[10:40]
    at = np.array([[end[place] for place in middle] for end in ends])
    assert at[1] == pytest.approx(at[0], rel=2e-3)
    assert at[0].mean() == pytest.approx((q * n / math.sqrt(slope)) ** 0.6, rel=0.15)


def test_point_inflow_is_accounted_and_survives_a_dry_start():
    """20 m3/s into one dry 1 m2 cell: a column of 400 m unless the first steps are short."""
    bed = np.zeros((41, 41))
    flow = simulate(bed, 0.03, cell_m=1.0, end_s=30.0, inflow=[(20, 20, 20.0)], dt_max_s=20.0)
    assert flow.ledger.inflow_m3 == pytest.approx(600.0, rel=1e-12)
    assert abs(flow.ledger.relative_error) < 1e-12
    assert flow.max_depth_m.max() < 8.0


# --- symmetry and repetition ---------------------------------------------------------------------


def flood(bed: np.ndarray, manning: np.ndarray, boundaries: Boundaries, precision: str) -> Flow:
    return simulate(
        bed, manning, cell_m=5.0, end_s=900.0, rain_times_s=[0.0, 450.0], rain_mm_per_h=[90.0],
        boundaries=boundaries, precision=precision,
    )  # fmt: skip


@pytest.mark.parametrize("precision", PRECISIONS)
def test_turned_terrain_floods_turned(precision):
    """East and south faces share one code path; only u^2 + v^2 is rounded in another order."""
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
            rounding = 2 * np.finfo(precision).eps if "velocity" in field else 0.0
            assert np.allclose(got, expected, rtol=rounding, atol=0, equal_nan=True), (name, field)


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


def test_progress_begins_before_the_kernels_are_compiled_and_ends_at_the_end():
    calls = []
    simulate(
        np.zeros((3, 3)),
        0.03,
        cell_m=10.0,
        end_s=500.0,
        on_progress=lambda *done: calls.append(done),
    )
    assert calls[0] == (0.0, 500.0)
    assert calls[-1] == (500.0, 500.0)
    assert calls == sorted(calls)


# --- refusals ------------------------------------------------------------------------------------

FLAT = np.zeros((4, 5))


@pytest.fixture
def as_users_call_it(monkeypatch):
    """Without the type checks that only the tests switch on."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.mark.usefixtures("as_users_call_it")
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
        ({"dry_depth_m": 0.0}, ParameterError, "dry_depth_m"),
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


# --- the kernels as machine code -----------------------------------------------------------------


@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-10), ("float32", 3e-7)])
def test_the_inverse_cube_root_is_as_exact_as_the_kernels_say(precision, tolerance):
    @njit
    def roots(x, s, out):
        for i in range(x.size):
            out[i] = kernel.inverse_cube_root(x[i], s)

    x = np.geomspace(1e-8, 1e6, 20_001).astype(precision)
    number = x.dtype.type
    fields = dict.fromkeys(kernel._Step._fields, number(0))
    fields |= {"one": number(1), "third": number(1 / 3), "second": number(2 / 9)}
    out = np.zeros_like(x)
    roots(x, kernel._Step(**fields), out)
    assert np.abs(out.astype(float) / x.astype(float) ** (-1 / 3) - 1).max() < tolerance


def test_kernels_work_where_no_folder_for_machine_code_can_be_written(tmp_path):
    """As in a read-only container, where numba refuses to cache."""
    file = tmp_path / "file"
    file.write_text("")
    code = "from assay.systems.climate_impact import kernel; print(kernel.advance.py_func.__name__)"
    environment = os.environ | {
        "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator",
        "NUMBA_CACHE_DIR": str(file / "below"),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "advance", done.stderr
