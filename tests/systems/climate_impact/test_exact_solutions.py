"""The flood solver against exact solutions of its own equations.

Golden numbers are analytic: the Riemann problem and the travelling front of the local-inertial
equations, Manning's uniform flow, the kinematic wave on a plane and a MacDonald steady state.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import brentq

from assay.systems.climate_impact.kernel import GRAVITY
from assay.systems.climate_impact.solver import Flow, simulate

# The wall behind an inflow carries nothing, and the q-centred weighting averages that into the
# first faces: the depth of the first cells is off by up to a fifth, at any resolution.
INLET = 5


def stream(bed: np.ndarray, manning: float = 0.03, **options) -> Flow:
    """One row of cells, water along x."""
    return simulate(bed[None, :], manning, **options)


# --- dam break -----------------------------------------------------------------------------------


def inertial_middle_depth(left: float, right: float) -> float:
    """Rarefaction meets shock for h_t + q_x = 0, q_t + g h h_x = 0 (no advection)."""

    def mismatch(h: float) -> float:
        shock = (h - right) * math.sqrt(GRAVITY * (h + right) / 2)
        return 2 / 3 * math.sqrt(GRAVITY) * (left**1.5 - h**1.5) - shock

    return brentq(mismatch, right, left, xtol=1e-12)


MIDDLE = inertial_middle_depth(2.0, 1.0)
BORE = math.sqrt(GRAVITY * (MIDDLE + 1.0) / 2)


def dam_break(cell_m: float = 0.25, **options) -> tuple[np.ndarray, np.ndarray]:
    """Distance over time and depth 60 s after a 2 m / 1 m dam breaks on a flat, smooth bed."""
    x = np.arange(-600.0, 600.0, cell_m) + cell_m / 2
    depth = np.where(x < 0, 2.0, 1.0)[None]
    options = {"theta": 0.8, "end_s": 60.0, "depth_m": depth} | options
    return x / 60.0, stream(np.zeros(x.size), 1e-5, cell_m=cell_m, **options).depth_m[0]


def bore_speed(speed: np.ndarray, depth: np.ndarray) -> float:
    return speed[np.flatnonzero(depth > 0.5 * (MIDDLE + 1.0))[-1]]


def test_a_dam_break_has_the_middle_depth_and_the_fan_of_the_inertial_riemann_problem():
    assert MIDDLE == pytest.approx(1.54121, abs=1e-5)
    speed, depth = dam_break()
    tail, head = -math.sqrt(GRAVITY * MIDDLE), -math.sqrt(GRAVITY * 2.0)

    plateau = depth[(speed > tail + 0.3) & (speed < BORE - 0.3)]
    assert plateau.size > 1500
    assert np.abs(plateau / MIDDLE - 1).max() < 0.005
    fan = (speed > head + 0.15) & (speed < tail - 0.15)
    assert fan.sum() > 50
    assert np.abs(depth[fan] / (speed[fan] ** 2 / GRAVITY) - 1).max() < 0.01
    assert depth[speed < head - 0.5] == pytest.approx(2.0, abs=1e-3)
    assert depth[speed > BORE + 0.3] == pytest.approx(1.0, abs=1e-3)


def test_the_bore_runs_fast_by_what_the_face_depth_of_the_higher_side_makes_of_the_momentum():
    """Sum(max(h, h') dh) over the cells of a bore exceeds the integral of h dh by sum(dh^2) / 2.

    That does not vanish with the cells but with their number across the bore, which the weighting
    raises as the step shrinks. With the mean depth of the two sides the excess would be zero.
    """
    excess = [bore_speed(*dam_break(cfl=cfl)) / BORE - 1 for cfl in (0.6, 0.3, 0.1)]
    assert 0.0 < excess[2] < excess[1] < excess[0] < 0.025
    assert excess[2] < 0.005


def test_a_dam_break_is_six_percent_deeper_than_in_the_full_equations():
    """No advection: a property of the equations (Stoker's middle depth is 1.45384 m), no error."""
    speed, depth = dam_break()
    assert np.median(depth[np.abs(speed) < 2.0]) / 1.45384 == pytest.approx(
        MIDDLE / 1.45384, abs=0.005
    )


# --- a front that travels at constant speed -------------------------------------------------------


def travelling_depth(behind_m: np.ndarray, speed: float, n: float) -> np.ndarray:
    """Depth at a distance behind the front, local-inertial equations with their jump at the front.

    With q = u h they read (h^(4/3) - (u^2 / g) h^(1/3)) h' = n^2 u^2, and momentum across a front
    on dry ground wants u^2 h = g h^2 / 2.
    """
    head = speed**2 / GRAVITY

    def integral(h: np.ndarray | float) -> np.ndarray | float:
        return 3 / 7 * h ** (7 / 3) - 3 / 4 * head * h ** (4 / 3)

    depths = 2 * head + np.linspace(0.0, 2.0, 200_001)
    behind = (integral(depths) - integral(2 * head)) / (n * speed) ** 2
    return np.where(behind_m > 0, np.interp(behind_m, behind, depths), 0.0)


def hunter_depth(behind_m: np.ndarray, speed: float, n: float) -> np.ndarray:
    """The same front in the full and in the diffusive equations (Hunter et al. 2005)."""
    return (7 / 3 * (n * speed) ** 2 * np.maximum(behind_m, 0.0)) ** (3 / 7)


def travelling_front(
    speed: float, n: float, *, cell_m: float, theta: float, hour_s: float = 3600.0
) -> tuple[np.ndarray, np.ndarray]:
    """Distance behind the front and depth, after an hour of the inflow that drives it."""
    count = int(1.25 * speed * hour_s / cell_m)
    fine = np.linspace(0.0, speed * hour_s, 100_001)
    depth = travelling_depth(fine, speed, n)
    volume = np.concatenate([[0.0], np.cumsum((depth[1:] + depth[:-1]) / 2 * np.diff(fine))])
    times = np.arange(0.0, hour_s + 1.0, 5.0)
    rates = np.diff(np.interp(speed * times, fine, volume)) / 5.0 * cell_m
    flow = simulate(
        np.zeros((1, count)), n, cell_m=cell_m, end_s=hour_s, cfl=0.5, dt_max_s=5.0, theta=theta,
        dry_depth_m=1e-5, inflow=[(0, 0, (times, rates))],
    )  # fmt: skip
    return speed * hour_s - (np.arange(count) + 0.5) * cell_m, flow.depth_m[0]


@pytest.mark.parametrize(("n", "tolerance_m"), [(0.03, 0.008), (0.01, 0.002)])
@pytest.mark.parametrize("theta", [0.8, 0.9])
def test_a_travelling_front_has_the_inertial_profile_and_not_the_diffusive_one(
    n, tolerance_m, theta
):
    behind, depth = travelling_front(0.635, n, cell_m=5.0, theta=theta)
    inside = behind > 50.0
    inside[:INLET] = False

    def worst(profile: Callable[..., np.ndarray]) -> float:
        return float(np.abs(depth - profile(behind, 0.635, n))[inside].max())

    assert worst(travelling_depth) < tolerance_m
    assert worst(hunter_depth) > 5 * tolerance_m
    way_m = 0.635 * 3600.0
    assert behind[np.flatnonzero(depth > 0.01)[-1]] == pytest.approx(0.0, abs=0.01 * way_m)
    assert np.maximum(np.diff(depth[INLET:]), 0.0).sum() < 0.01


def test_the_unweighted_scheme_rings_at_low_roughness():
    """What theta 0.8 and 0.9 are for: behind the same front theta 1 oscillates."""
    _, depth = travelling_front(0.635, 0.01, cell_m=5.0, theta=1.0)
    assert np.maximum(np.diff(depth[INLET:]), 0.0).sum() > 1.0


# --- steady states and runoff --------------------------------------------------------------------


@pytest.mark.parametrize("outlet", ["normal_depth", "free"])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_uniform_flow_has_mannings_depth(outlet, precision):
    """Steady inflow on a plane: q = h^(5/3) sqrt(S) / n."""
    slope, n, q, cell = 0.004, 0.04, 1.5, 10.0
    flow = stream(
        100.0 - slope * cell * np.arange(60), n, cell_m=cell, end_s=7200.0, normal_slope=slope,
        boundaries={"east": outlet}, inflow=[(0, 0, q * cell)], precision=precision, depth_m=0.5,
    )  # fmt: skip
    normal = (q * n / math.sqrt(slope)) ** 0.6
    assert flow.depth_m[0, INLET:] == pytest.approx(
        normal, rel=1e-6 if precision == "float64" else 1e-3
    )
    assert flow.max_velocity_m_per_s[0, 30] >= q / normal * 0.999


def test_uniform_flow_across_the_diagonal_has_the_friction_of_its_whole_speed():
    """A plane that falls to the south-east: both components feel |q|, not each its own."""
    slope, n, cell = 0.01, 0.05, 5.0
    y, x = np.mgrid[:41, :41]
    bed = -slope / math.sqrt(2) * cell * (x + y)
    flow = simulate(
        bed, n, cell_m=cell, end_s=30.0, depth_m=0.2, normal_slope=slope / math.sqrt(2),
        boundaries={"east": "normal_depth", "south": "normal_depth"},
    )  # fmt: skip
    normal = 0.2 ** (2 / 3) * math.sqrt(slope) / n
    assert flow.max_velocity_m_per_s[20, 20] == pytest.approx(normal, rel=1e-3)


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
    return float(np.abs(flow.depth_m[0] / depth(x) - 1)[INLET:].max())


def test_a_macdonald_steady_state_converges_at_first_order():
    coarse, fine = macdonald_error(10.0), macdonald_error(5.0)
    assert fine < 0.002
    assert coarse / fine == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("cfl", [0.3, 0.5, 0.7])
def test_runoff_from_a_plane_follows_the_kinematic_wave(cfl):
    """Rising limb q = alpha (i t)^(5/3) to the time of concentration, then all the rain runs off.

    With the friction of the old flow only, as published, the rising limb carries 5, 63 and 71 % too
    much at these Courant numbers, and the depths never come to rest.
    """
    slope, n, length, cell, rain = 0.05, 0.1, 100.0, 1.0, 60.0
    i, alpha = rain / 3.6e6, math.sqrt(slope) / n
    concentration = (length * i ** (-2 / 3) / alpha) ** 0.6
    bed = -slope * cell * np.arange(100)

    def volume(end_s: float) -> tuple[float, np.ndarray]:
        flow = stream(
            bed, n, cell_m=cell, end_s=end_s, rain_times_s=[0.0], rain_mm_per_h=[rain], cfl=cfl,
            boundaries={"east": "normal_depth"}, normal_slope=slope, dry_depth_m=1e-5,
        )  # fmt: skip
        return flow.ledger.outflow_east_m3 / cell, flow.depth_m[0]

    rising, _ = volume(concentration)
    assert rising == pytest.approx(3 / 8 * i * length * concentration, rel=0.01)
    early, _ = volume(1.5 * concentration)
    late, depth = volume(2.0 * concentration)
    assert late - early == pytest.approx(0.5 * concentration * i * length, rel=0.001)
    x = np.arange(1.0, 101.0)
    assert depth[10:] == pytest.approx((i * x / alpha)[10:] ** 0.6, rel=0.005)
