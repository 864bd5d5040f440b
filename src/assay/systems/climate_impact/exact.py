"""Exact solutions of the shallow water equations and of their local-inertial form.

Notable in this file: each function says which equations it solves. The *full* equations are
h_t + q_x = 0 and q_t + (q^2 / h + g h^2 / 2)_x = -g h (z_x + S_f); the *inertial* ones lack q^2 / h
and are what `solver` solves. S_f = n^2 q |q| / h^(10/3) is Manning's. The two differ where water
accelerates: in a dam break by 6 % of the middle depth.

The inertial dam break, front and steady state are derived here; the others are classical.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from assay.systems.climate_impact.kernel import GRAVITY

__all__ = [
    "Profile",
    "bed_of_steady_flow",
    "constant_front",
    "inertial_dam_break",
    "inertial_middle_depth",
    "plane_depth",
    "plane_runoff",
    "ritter",
    "stoker",
    "stoker_middle_depth",
    "thacker",
    "thacker_bed",
]

_FINE = 20_001
Array = Float[np.ndarray, "*shape"]


class Profile(NamedTuple):
    """Depth (m) and flow (m2/s) at the places asked for."""

    depth_m: Array
    flow_m2_per_s: Array


# -- dam breaks ---------------------------------------------------------------------------------


def stoker_middle_depth(left_m: float, right_m: float) -> float:
    """Depth between the waves of a dam break onto wet ground, full equations.

    Args:
        left_m: Depth behind the dam, m.
        right_m: Depth before it, m, in (0, ``left_m``).

    Example:
        >>> round(stoker_middle_depth(2.0, 1.0), 5)
        1.45384
    """

    def mismatch(h: float) -> float:
        fan = 2.0 * math.sqrt(GRAVITY) * (math.sqrt(left_m) - math.sqrt(h))
        return fan - (h - right_m) * math.sqrt(GRAVITY / 2.0 * (1.0 / h + 1.0 / right_m))

    return _root(mismatch, right_m, left_m)


def stoker(speed_m_per_s: Array, left_m: float, right_m: float) -> Profile:
    """Dam break onto wet ground in the full equations (Stoker 1957), frictionless.

    Args:
        speed_m_per_s: Distance from the dam over the time since it broke, x / t, m/s.
        left_m: Depth behind the dam, m.
        right_m: Depth before it, m, in (0, ``left_m``).
    """
    middle = stoker_middle_depth(left_m, right_m)
    behind = math.sqrt(GRAVITY * left_m)
    flow_speed = 2.0 * (behind - math.sqrt(GRAVITY * middle))
    bore = middle * flow_speed / (middle - right_m)
    tail = flow_speed - math.sqrt(GRAVITY * middle)
    fan = (2.0 * behind - speed_m_per_s) ** 2 / (9.0 * GRAVITY)
    parts = [speed_m_per_s <= -behind, speed_m_per_s < tail, speed_m_per_s < bore]
    depth = np.select(parts, [left_m, fan, middle], right_m)
    speed = np.select(parts, [0.0, 2.0 / 3.0 * (speed_m_per_s + behind), flow_speed], 0.0)
    return Profile(depth, depth * speed)


def ritter(speed_m_per_s: Array, left_m: float) -> Profile:
    """Dam break onto dry ground in the full equations (Ritter 1892), frictionless.

    Args:
        speed_m_per_s: Distance from the dam over the time since it broke, x / t, m/s.
        left_m: Depth behind the dam, m.
    """
    behind = math.sqrt(GRAVITY * left_m)
    at = np.clip(speed_m_per_s, -behind, 2.0 * behind)
    depth = (2.0 * behind - at) ** 2 / (9.0 * GRAVITY)
    return Profile(depth, depth * 2.0 / 3.0 * (at + behind))


def inertial_middle_depth(left_m: float, right_m: float) -> float:
    """Depth between the waves of a dam break onto wet ground, inertial equations.

    Args:
        left_m: Depth behind the dam, m.
        right_m: Depth before it, m, in (0, ``left_m``).

    Example:
        >>> round(inertial_middle_depth(2.0, 1.0), 5)
        1.54121
    """

    def mismatch(h: float) -> float:
        fan = 2.0 / 3.0 * math.sqrt(GRAVITY) * (left_m**1.5 - h**1.5)
        return fan - (h - right_m) * math.sqrt(GRAVITY * (h + right_m) / 2.0)

    return _root(mismatch, right_m, left_m)


def inertial_dam_break(speed_m_per_s: Array, left_m: float, right_m: float) -> Profile:
    """Dam break onto wet ground in the inertial equations, frictionless.

    The rarefaction has h = (x / t)^2 / g, the bore the speed sqrt(g (h_middle + h_right) / 2).

    Args:
        speed_m_per_s: Distance from the dam over the time since it broke, x / t, m/s.
        left_m: Depth behind the dam, m.
        right_m: Depth before it, m, in (0, ``left_m``).
    """
    middle = inertial_middle_depth(left_m, right_m)
    bore = math.sqrt(GRAVITY * (middle + right_m) / 2.0)
    tail, head = -math.sqrt(GRAVITY * middle), -math.sqrt(GRAVITY * left_m)
    parts = [speed_m_per_s <= head, speed_m_per_s < tail, speed_m_per_s < bore]
    depth = np.select(parts, [left_m, speed_m_per_s**2 / GRAVITY, middle], right_m)
    invariant = 2.0 / 3.0 * math.sqrt(GRAVITY) * (left_m**1.5 - depth**1.5)
    return Profile(depth, np.where(speed_m_per_s < bore, invariant, 0.0))


def _root(mismatch: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq

    return float(brentq(mismatch, low, high, xtol=1e-13))  # type: ignore[arg-type]


# -- a basin ------------------------------------------------------------------------------------


def thacker_bed(x_m: Array, y_m: Array, *, depth_m: float, radius_m: float) -> Array:
    """Elevation of the paraboloid that `thacker` swashes in, 0 at its rim.

    Args:
        x_m: Distance east of its middle, m.
        y_m: Distance north of it, m.
        depth_m: Depth of the middle below the rim, m.
        radius_m: Radius of the rim, m.
    """
    return depth_m * ((x_m**2 + y_m**2) / radius_m**2 - 1.0)


def thacker(
    x_m: Array, y_m: Array, time_s: float, *, depth_m: float, radius_m: float, swing_m: float
) -> tuple[Array, tuple[float, float]]:
    """Water with a plane surface swashing round a paraboloid (Thacker 1981), full equations.

    Args:
        x_m: Distance east of the middle of the basin, m.
        y_m: Distance north of it, m.
        time_s: Time, s; the period is 2 pi radius / sqrt(2 g depth).
        depth_m: Depth of the basin, m.
        radius_m: Radius of its rim, m.
        swing_m: How far the water's middle circles around that of the basin, m.

    Returns:
        Depth (m) and the velocity of all the water, to the east and to the north (m/s).
    """
    turn = math.sqrt(2.0 * GRAVITY * depth_m) / radius_m
    cos, sin = math.cos(turn * time_s), math.sin(turn * time_s)
    level = swing_m * depth_m / radius_m**2 * (2.0 * (x_m * cos + y_m * sin) - swing_m)
    bed = thacker_bed(x_m, y_m, depth_m=depth_m, radius_m=radius_m)
    return np.maximum(level - bed, 0.0), (-swing_m * turn * sin, swing_m * turn * cos)


# -- friction -----------------------------------------------------------------------------------


def bed_of_steady_flow(
    x_m: Float[np.ndarray, " x"],
    depth: Callable[[Array], Array],
    *,
    flow_m2_per_s: float,
    manning: float,
    advection: bool,
) -> Float[np.ndarray, " x"]:
    """The bed on which a chosen depth is a steady state (MacDonald et al. 1997).

    Full equations: S_0 = (1 - q^2 / (g h^3)) h_x + n^2 q^2 / h^(10/3); the inertial ones lack the
    term with q^2 / (g h^3).

    Args:
        x_m: Increasing places, m, from 0 on.
        depth: Depth (m) at places.
        flow_m2_per_s: Steady flow q, m2/s.
        manning: Manning's n.
        advection: Whether the equations are the full ones.

    Returns:
        Elevation above an arbitrary level, m.
    """
    fine = np.linspace(0.0, float(x_m[-1]), _FINE)
    friction = manning**2 * flow_m2_per_s**2 / depth(fine) ** (10.0 / 3.0)
    loss = _integral(friction, fine)
    h = depth(x_m)
    head = flow_m2_per_s**2 / (2.0 * GRAVITY * h**2) if advection else 0.0
    return -h - head - np.interp(x_m, fine, loss)


def constant_front(
    behind_m: Array, *, speed_m_per_s: float, manning: float, advection: bool
) -> Array:
    """Depth behind a front that runs over dry flat ground at a constant speed.

    With q = u h, u constant, the full equations have h = (7/3 n^2 u^2 x)^(3/7) (Hunter et al.
    2005). The inertial ones read (h^(4/3) - (u^2 / g) h^(1/3)) h' = n^2 u^2, and momentum across
    the front on dry ground, u^2 h = g h^2 / 2, wants a depth of 2 u^2 / g there.

    Args:
        behind_m: Distance behind the front, m; dry where not positive.
        speed_m_per_s: Speed of the front and of all the water, m/s.
        manning: Manning's n.
        advection: Whether the equations are the full ones.
    """
    reach = (manning * speed_m_per_s) ** 2 * np.maximum(behind_m, 0.0)
    if advection:
        return (7.0 / 3.0 * reach) ** (3.0 / 7.0)
    head = speed_m_per_s**2 / GRAVITY
    h = (7.0 / 3.0 * reach) ** (3.0 / 7.0) + 2.0 * head  # above the root: monotone from here
    tip = _front_integral(2.0 * head, head)
    for _ in range(30):
        h = h - (_front_integral(h, head) - tip - reach) / (h ** (1 / 3) * (h - head))
    return np.where(behind_m > 0, h, 0.0)


def _front_integral(h: Array | float, head: float) -> Array | float:
    return 3.0 / 7.0 * h ** (7.0 / 3.0) - 3.0 / 4.0 * head * h ** (4.0 / 3.0)


def plane_runoff(
    time_s: Array, *, rain_m_per_s: float, length_m: float, slope: float, manning: float
) -> Array:
    """Flow at the foot of a plane under steady rain, by the kinematic wave (m2/s).

    q = alpha (i t)^(5/3) until t = (L i^(-2/3) / alpha)^(3/5), then i L; alpha = sqrt(S) / n.

    Args:
        time_s: Time since the rain began on dry ground, s.
        rain_m_per_s: Rain i, m/s.
        length_m: Length L of the plane, m.
        slope: Its slope S.
        manning: Manning's n.
    """
    alpha = math.sqrt(slope) / manning
    return np.minimum(alpha * (rain_m_per_s * time_s) ** (5.0 / 3.0), rain_m_per_s * length_m)


def plane_depth(x_m: Array, *, rain_m_per_s: float, slope: float, manning: float) -> Array:
    """Steady depth of that runoff (m) at a distance from the top of the plane."""
    return (rain_m_per_s * x_m * manning / math.sqrt(slope)) ** 0.6


def _integral(values: Array, at: Array) -> Array:
    steps = 0.5 * (values[1:] + values[:-1]) * np.diff(at)
    return np.concatenate([[0.0], np.cumsum(steps)])
