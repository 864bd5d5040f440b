"""Rows of the shallow water equations: slopes within cells, fluxes between them, open sides.

Notable in this file:

* *Slopes* of depth and bed are limited alone (minmod) and added to that of the level. At rest their
  differences are opposite and so are their slopes; limiting the level itself instead would tilt the
  bed of thin water on rough ground until it dams its own flow. Beside dry cells, walls and NoData
  slopes are zero: first order there.
* *Hydrostatic reconstruction* (Audusse et al. 2004) in differences, so that float32 never forms a
  level. Where a step of the bed is higher than the water below it, the force that its plain form
  lacks is added (Chen and Noelle 2017); without it rain hardly runs down rough steep ground.
* *HLLC.* The two outer waves after Fraccarollo and Toro 1995; the middle one carries the velocity
  along the face of the side that the water comes from.
* *Rest is exact.* The pressure of a cell on itself is taken out of the fluxes (``F - g h^2 / 2``
  per side, from ``(b - a) (b + a)``): at rest each is zero by itself, not by cancellation.
* *Walls mirror.* A face beside a NoData cell or a closed side sees its own state, reversed.
"""

from typing import Any, NamedTuple

import numpy as np

from assay.systems.climate_impact.intrinsics import (
    compiled,
    read,
    write,
)
from assay.systems.climate_impact.kernel import (
    CLOSED,
    FREE,
    GRAVITY,
    TINY,
    WALL,
    inverse_cube_root,
)

__all__ = [
    "Stage",
    "faces",
    "open_x",
    "open_y",
    "slopes",
    "stage_constants",
]


class Stage(NamedTuple):
    """The constants of one stage in the working precision, named as in the equations."""

    zero: Any
    one: Any
    two: Any
    half: Any
    quarter: Any
    third: Any
    second: Any  # 1 + third e + second e^2: the series of (1 - e)^(-1/3)
    gravity: Any
    half_gravity: Any
    dry: Any
    ratio: Any  # dt / dx
    sixteen_dt: Any
    old: Any  # weight of state A
    new: Any  # weight of the Euler step
    rain: Any  # m, added after the second stage
    keep: Any  # 1 - 4 eps: outflow stays below the water there whatever the rounding
    tiny: Any
    wall: Any
    normal: Any  # sqrt(S g) / 2, since rows of `a` hold n sqrt(g) / 2


@compiled
def stage_constants(h, scheme, dt, rain_m, old):
    """The constants of one stage in the precision of the depths; ``old`` is the weight of A."""
    number = h.dtype.type
    return Stage(
        zero=number(0.0),
        one=number(1.0),
        two=number(2.0),
        half=number(0.5),
        quarter=number(0.25),
        third=number(1.0 / 3.0),
        second=number(2.0 / 9.0),
        gravity=number(GRAVITY),
        half_gravity=number(0.5 * GRAVITY),
        dry=number(scheme.dry_depth_m),
        ratio=number(dt / scheme.cell_m),
        sixteen_dt=number(16.0 * dt),
        old=number(old),
        new=number(1.0 - old),
        rain=number(rain_m),
        keep=number(1.0 - 4.0 * scheme.epsilon),
        tiny=number(TINY),
        wall=number(WALL),
        normal=number(0.5 * np.sqrt(scheme.normal_slope * GRAVITY)),
    )


# -- slopes and faces ---------------------------------------------------------------------------


@compiled
def _least(behind, ahead, s):
    """Minmod: the smaller of two differences; zero at an extremum."""
    return max(min(behind, ahead), s.zero) + min(max(behind, ahead), s.zero)


@compiled
def slopes(state0, state1, state2, out, count, s):
    """Half the slopes of depth, level and velocities in ``count`` cells; rows ``(z, h, u, v)``."""
    z0, h0, u0, v0 = state0
    z1, h1, u1, v1 = state1
    z2, h2, u2, v2 = state2
    dh, de, du, dv = out
    for j in range(count):
        here = read(h1, j, "s")
        before, after = read(h0, j, "s"), read(h2, j, "s")
        part = s.half if min(before, after, here) > s.dry else s.zero
        rise = _least(here - before, after - here, s)
        bed = read(z1, j, "s")
        fall = _least(bed - read(z0, j, "s"), read(z2, j, "s") - bed, s)
        write(dh, j, part * rise, "s0")
        write(de, j, part * (rise + fall), "s1")
        speed = read(u1, j, "s")
        change = _least(speed - read(u0, j, "s"), read(u2, j, "s") - speed, s)
        write(du, j, part * change, "s2")
        speed = read(v1, j, "s")
        change = _least(speed - read(v0, j, "s"), read(v2, j, "s") - speed, s)
        write(dv, j, part * change, "s3")


@compiled
def _face(left, right, step, u0, u1, v0, v1, s):
    """HLLC flux between two sides of a face; ``step`` is the bed on the left above the right one.

    Returns:
        Flow (m2/s), momentum along the face's normal less the pressure of the left and of the right
        cell (m3/s2), and transverse momentum.
    """
    a = max(left + min(step, s.zero), s.zero)
    b = max(right - max(step, s.zero), s.zero)
    ca, cb = np.sqrt(s.gravity * a), np.sqrt(s.gravity * b)
    middle = s.half * (u0 + u1) + (ca - cb)
    celerity = s.half * (ca + cb) + s.quarter * (u0 - u1)
    slow, slow_dry = min(u0 - ca, middle - celerity), u1 - s.two * cb
    fast, fast_dry = max(u1 + cb, middle + celerity), u0 + s.two * ca
    slow, fast = slow if a > s.zero else slow_dry, fast if b > s.zero else fast_dry
    slow, fast = min(slow, s.zero), max(fast, s.zero)
    weight = s.one / max(fast - slow, s.tiny)
    weight = weight if max(a, b) > s.dry else s.zero
    qa, qb = a * u0, b * u1
    across = slow * fast
    flow = (fast * qa - slow * qb + across * (b - a)) * weight
    momentum = (fast * (qa * u0) - slow * (qb * u1) + across * (qb - qa)) * weight
    pressure = s.half_gravity * ((b - a) * (b + a)) * weight
    pull_left = s.gravity * left * max(step - right, s.zero)
    pull_right = s.gravity * right * max(-step - left, s.zero)
    pull_left = pull_left if left > s.dry else s.zero
    pull_right = pull_right if right > s.dry else s.zero
    return (
        flow,
        momentum - slow * pressure - pull_left,
        momentum - fast * pressure - pull_right,
        flow * (v0 if flow > s.zero else v1),
    )


@compiled
def faces(state0, state1, slopes0, slopes1, out, count, s):
    """Fluxes through ``count`` faces; rows of ``(z, h, normal velocity, transverse velocity)``."""
    z0, h0, u0, v0 = state0
    z1, h1, u1, v1 = state1
    dh0, de0, du0, dv0 = slopes0
    dh1, de1, du1, dv1 = slopes1
    flows, lefts, rights, sides = out
    for j in range(count):
        bed0, bed1 = read(z0, j, "f"), read(z1, j, "f")
        ground0, ground1 = bed0 < s.wall, bed1 < s.wall
        rise0, rise1 = read(dh0, j, "f"), read(dh1, j, "f")
        left, right = read(h0, j, "f") + rise0, read(h1, j, "f") - rise1
        step = (bed0 - bed1) + ((read(de0, j, "f") - rise0) + (read(de1, j, "f") - rise1))
        fore, back = read(u0, j, "f") + read(du0, j, "f"), read(u1, j, "f") - read(du1, j, "f")
        left, right = (left if ground0 else right), (right if ground1 else left)
        fore, back = (fore if ground0 else -back), (back if ground1 else -fore)
        step = step if ground0 and ground1 else s.zero
        passes = s.one if ground0 and ground1 else s.zero
        flow, to_left, to_right, side = _face(
            left, right, step, fore, back,
            read(v0, j, "f") + read(dv0, j, "f"), read(v1, j, "f") - read(dv1, j, "f"), s,
        )  # fmt: skip
        write(flows, j, flow * passes, "f0")
        write(lefts, j, to_left, "f1")
        write(rights, j, to_right, "f2")
        write(sides, j, side * passes, "f3")


@compiled
def _outflow(kind, h, u, v, a, s):
    """Flow and momenta leaving through an open side; nothing enters. ``u`` points outwards."""
    speed = max(u, s.zero)
    if not h > s.dry:
        speed = s.zero
    elif kind != FREE:
        root = inverse_cube_root(h, s)
        critical = np.sqrt(s.gravity * h)
        speed = min(h * root * s.normal / a, max(critical, u))
    flow = h * speed
    return flow, flow * speed, flow * v


@compiled
def open_x(state, half, a, out, west, east, s):
    """Overwrite the fluxes through open western and eastern sides."""
    z, h, u, v = state
    dh, _, du, dv = half
    flows, lefts, rights, sides = out
    n = h.size - 2
    if west != CLOSED and z[1] < s.wall:
        flow, along, across = _outflow(
            west, h[1] - dh[1], du[1] - u[1], v[1] - dv[1], a[1], s
        )  # fmt: skip
        flows[0], rights[0], sides[0] = -flow, along, -across
    if east != CLOSED and z[n] < s.wall:
        flow, along, across = _outflow(
            east, h[n] + dh[n], u[n] + du[n], v[n] + dv[n], a[n], s
        )  # fmt: skip
        flows[n], lefts[n], sides[n] = flow, along, across


@compiled
def open_y(state, half, a, out, kind, sign, s):
    """Overwrite the fluxes through an open northern (sign -1) or southern (sign 1) side."""
    z, h, v, u = state
    dh, _, dv, du = half
    flows, lefts, rights, sides = out
    for j in range(1, h.size - 1):
        if z[j] < s.wall:
            flow, along, across = _outflow(
                kind, h[j] + sign * dh[j], sign * v[j] + dv[j], u[j] + sign * du[j], a[j], s
            )  # fmt: skip
            flows[j], sides[j] = sign * flow, sign * across
            lefts[j] = rights[j] = along
