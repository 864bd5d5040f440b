"""The exact solutions against the conservation laws they are said to solve, by numbers.

A solution w(s), s = x / t, of w_t + f(w)_x = 0 has integral(w ds) = [s w] - [f] between
any two s: volume and momentum, bores included.
"""

import math

import numpy as np
import pytest

from assay.systems.climate_impact import exact
from assay.systems.climate_impact.kernel import GRAVITY

X = np.linspace(-12.0, 14.0, 260_001)


def full_flux(h, q):
    return np.where(h > 0, q**2 / np.maximum(h, 1e-300), 0.0) + GRAVITY * h**2 / 2


def inertial_flux(h, q):
    return GRAVITY * h**2 / 2


CASES = {
    "stoker": (lambda s: exact.stoker(s, 2.0, 1.0), full_flux, 2.0, 1.0),
    "stoker, steep": (lambda s: exact.stoker(s, 2.0, 0.05), full_flux, 2.0, 0.05),
    "ritter": (lambda s: exact.ritter(s, 2.0), full_flux, 2.0, 0.0),
    "inertial": (lambda s: exact.inertial_dam_break(s, 2.0, 1.0), inertial_flux, 2.0, 1.0),
    "inertial, steep": (lambda s: exact.inertial_dam_break(s, 2.0, 0.1), inertial_flux, 2.0, 0.1),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("west", "east"), [(-12.0, 14.0), (-3.0, 2.0), (-12.0, 0.5), (1.0, 14.0)])
def test_a_dam_break_keeps_volume_and_momentum_in_every_window(case, west, east):
    solution, flux, left, right = CASES[case]
    x = X[(west - 1e-9 <= X) & (east + 1e-9 >= X)]
    h, q = solution(x)

    assert h[x < -5.0] == pytest.approx(left)
    assert h[x > 9.0] == pytest.approx(right)
    for kept, through in ((h, q), (q, flux(h, q))):
        edges = (x * kept - through)[[0, -1]]
        assert np.trapezoid(kept, x) == pytest.approx(edges[1] - edges[0], abs=1e-3)


def test_middle_depths_are_those_of_the_literature_and_of_the_derivation():
    assert exact.stoker_middle_depth(2.0, 1.0) == pytest.approx(1.45384, abs=1e-5)
    assert exact.inertial_middle_depth(2.0, 1.0) == pytest.approx(1.54121, abs=1e-5)
    h, q = exact.stoker(np.array([0.0]), 2.0, 1.0)
    standard = math.sqrt(9.80665 / GRAVITY)  # the published speed holds for standard gravity
    assert q[0] / h[0] * standard == pytest.approx(1.3056, abs=1e-4)


def test_a_swashing_plane_solves_the_full_equations_and_keeps_its_volume():
    basin = {"depth_m": 0.1, "radius_m": 1.0}
    axis = np.linspace(-2.0, 2.0, 401)
    x, y = np.meshgrid(axis, axis)
    step = 1e-5

    def state(t):
        return exact.thacker(x, y, t, swing_m=0.5, **basin)

    for t in (0.0, 0.7, 2.9):
        h, (u, v) = state(t)
        (before, slower), (after, faster) = state(t - step), state(t + step)
        level = h + exact.thacker_bed(x, y, **basin)
        inside = h > 0.02
        level_y, level_x = np.gradient(level, axis, axis)
        h_y, h_x = np.gradient(h, axis, axis)
        # The velocity is the same everywhere: u_t = -g level_x and h_t = -u h_x - v h_y.
        for k, slope in enumerate((level_x, level_y)):
            pull = (faster[k] - slower[k]) / (2 * step)
            assert -GRAVITY * slope[inside] == pytest.approx(pull, abs=1e-6)
        rise = (after - before) / (2 * step)
        assert rise[inside] == pytest.approx(-(u * h_x + v * h_y)[inside], abs=1e-6)
        assert h.sum() * 0.01**2 == pytest.approx(math.pi * 0.1 / 2, rel=1e-4)


@pytest.mark.parametrize("advection", [True, False])
def test_a_steady_flow_has_no_net_force_on_its_bed(advection):
    """(q^2 / h + g h^2 / 2)_x = -g h (z_x + S_f), the first term in the full equations only."""
    x = np.linspace(0.0, 500.0, 5001)
    q, n = 3.0, 0.04

    def depth(at):
        return 1.5 + 0.4 * np.sin(at / 60.0)

    z = exact.bed_of_steady_flow(x, depth, flow_m2_per_s=q, manning=n, advection=advection)
    h = depth(x)
    momentum = (q**2 / h if advection else 0.0) + GRAVITY * h**2 / 2
    pull = -GRAVITY * h * (np.gradient(z, x) + n**2 * q**2 / h ** (10 / 3))
    assert np.gradient(momentum, x)[1:-1] == pytest.approx(pull[1:-1], abs=2e-5)


@pytest.mark.parametrize("advection", [True, False])
@pytest.mark.parametrize("n", [0.03, 0.01])
def test_a_front_of_constant_speed_balances_pressure_friction_and_inertia(advection, n):
    """In the frame of the front q = u h, and q_t = u h_t = u^2 h' (behind the front, x = u t - s).

    Full: (u^2 h)_t-terms cancel and g h' = n^2 u^2 / h^(4/3); inertial: they do not, and the jump
    at the front carries momentum u^2 h = g h^2 / 2.
    """
    u = 0.635
    behind = np.linspace(5.0, 2000.0, 40_001)
    h = exact.constant_front(behind, speed_m_per_s=u, manning=n, advection=advection)
    slope = np.gradient(h, behind)
    inertia = 0.0 if advection else u**2 * slope  # q_t
    friction = GRAVITY * n**2 * u**2 / h ** (1 / 3)  # g h S_f
    assert (GRAVITY * h * slope - inertia)[1:-1] == pytest.approx(friction[1:-1], rel=1e-4)

    tip = exact.constant_front(
        np.array([-1.0, 0.0, 1e-9]), speed_m_per_s=u, manning=n, advection=advection
    )
    assert tip[0] == tip[1] == 0.0
    expected = 0.0 if advection else 2 * u**2 / GRAVITY
    assert tip[2] == pytest.approx(expected, abs=2e-5)


def test_the_kinematic_plane_stores_what_fell_and_did_not_run_off():
    plane = {"slope": 0.05, "manning": 0.1}
    rain, length = 60.0 / 3.6e6, 100.0
    alpha = math.sqrt(0.05) / 0.1
    rising = (length * rain ** (-2 / 3) / alpha) ** 0.6
    t = np.linspace(0.0, rising, 100_001)
    out = np.trapezoid(exact.plane_runoff(t, rain_m_per_s=rain, length_m=length, **plane), t)
    assert out == pytest.approx(3 / 8 * rain * length * rising, rel=1e-6)
    x = np.linspace(0.0, length, 100_001)
    stored = np.trapezoid(exact.plane_depth(x, rain_m_per_s=rain, **plane), x)
    assert stored + out == pytest.approx(rain * length * rising, rel=1e-6)
    late = exact.plane_runoff(np.array([2 * rising]), rain_m_per_s=rain, length_m=length, **plane)
    assert late[0] == pytest.approx(rain * length)
