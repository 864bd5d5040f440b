"""The local-inertial flood kernels: one in-place sweep over the rows per time step.

Notable in this file:

* *One sweep.* A rolling pair of row buffers holds the raw face flows of row r and the donor shares
  of rows r and r-1; the limited flows and the depths of row r-1 are written back where they stood.
  Six arrays are read and four written per step; a second copy of the state (ping-pong) would add
  a read for every write. Row r-1 is the last row whose old values row r needs.
* *The limiter is always on.* The outflow of a cell, boundary faces included, is scaled so that it
  never exceeds the water in it (donor cell); volume is conserved to rounding and depth stays >= 0.
* *Friction is implicit in the new flow.* Bates et al. 2010 divide by 1 + F |q| of the old flow,
  which overshoots where F |q| > 1 and rings for ever where g S dt^2 > 0.6 dx: on a plane of 5 %
  slope, 1 m cells and a Courant number of 0.5 the rising limb carries 60 % too much. One Newton
  step towards the implicit flow has the same steady states and no such limit.
* *Weighting in proportion to the Courant number.* With a fixed theta the flow loses a share
  1 - theta of itself in every step wherever the neighbours along its axis carry none, as at each
  corner of a channel that runs askew to the grid: a drag that grows without bound as dt shrinks.
  Here 1 - theta is what a face at its stable step takes, others take in proportion; smoothing is
  then a diffusivity, the same for every step.
* *No ``pow``.* hf^(-7/3) is the seventh power of hf^(-1/3), an inverse cube root from a bit trick
  and two division-free Newton steps of third order, which LLVM vectorises; its relative error is
  below 1e-10 in float64 and 3e-7 in float32.
* *No alias checks.* Loads and stores say that no two arrays of a loop overlap (`intrinsics`).
* *Rain in whole quanta.* In float32 a step's rain can be less than half the spacing of the numbers
  around the depth of a lake and would be rounded away; it waits until it can be added exactly.

Every array carries a border of one cell: interior cells are ``[1:-1, 1:-1]``; row 0 is north.
``qx[r, j]`` is the flow (m2/s, to the east) between cells (r, j) and (r, j+1); ``qy[r, j]`` (to the
south) between cells (r, j) and (r+1, j). Borders and NoData cells stand ``WALL`` metres high and
dry.

Source: Bates et al. 2010 (local inertia), de Almeida et al. 2012 (q-centred weighting); the fall
back to the unweighted flow where weighting and slope disagree follows itzi.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from assay.systems.climate_impact.forcing import add_sources, hold_stages
from assay.systems.climate_impact.intrinsics import (
    compiled,
    inverse_cube_root_guess,
    larger,
    read,
    write,
)

__all__ = [
    "ACCOUNTS", "CLOSED", "FREE", "GRAVITY", "NORMAL_DEPTH", "TINY", "WALL", "Scheme", "advance",
    "count_limited", "flow_depth", "inverse_cube_root", "step_constants",
]  # fmt: skip

GRAVITY = 9.81
WALL = 1e30  # still finite in float32 after subtraction, and no flow depth survives it
CLOSED, FREE, NORMAL_DEPTH = 0, 1, 2
ACCOUNTS = 14
TINY, LEAST = 1e-30, 1e-12


class Scheme(NamedTuple):
    """What stays fixed over a simulation; floats are float64."""

    cell_m: float
    cfl: float
    dt_max_s: float
    theta: float
    dry_depth_m: float
    normal_slope: float
    epsilon: float
    west: int
    east: int
    south: int
    north: int


class _Step(NamedTuple):
    """The constants of one time step in the working precision, named as in the equations."""

    zero: Any
    one: Any
    third: Any
    second: Any  # 1 + third e + second e^2: the series of (1 - e)^(-1/3)
    gravity: Any
    dry: Any
    side: Any  # (1 - theta) / 2
    reach: Any  # dt / (cfl dx): a face's own Courant number, as a share of the largest, per m/s
    dt: Any
    slope: Any  # g dt / dx
    ratio: Any  # dt / dx
    sixteenth: Any
    rain: Any  # m in this step
    keep: Any  # 1 - 4 eps: outflow stays below the water there whatever the rounding
    tiny: Any
    least: Any  # m2/s: a flow at rest, whose square float32 still holds
    wall: Any
    normal: Any  # sqrt(S g) / 2, since rows of `a` hold n sqrt(g) / 2


@compiled
def inverse_cube_root(x, s):
    """x^(-1/3) without ``pow``; its error is told above."""
    y = inverse_cube_root_guess(x)
    e = s.one - (x * y) * (y * y)
    y += (y * e) * (s.third + e * s.second)
    e = s.one - (x * y) * (y * y)
    return y + (y * e) * (s.third + e * s.second)


@compiled
def flow_depth(h0, h1, z0, z1, s):
    """max(eta0, eta1) - max(z0, z1) without ever forming eta (cancellation in float32)."""
    rise = z0 - z1
    return max(h0 + min(rise, s.zero), h1 - max(rise, s.zero))


@compiled
def _face_flow(h0, h1, z0, z1, a0, a1, q, before, after, across, s):
    """New flow q through one face; ``across`` is the sum of the four transverse flows around it.

    With F = g dt n^2 / depth^(7/3), it takes one Newton step from the old q towards the solution of
    q (1 + F |(q, across / 4)|) = free, the flow without friction.
    """
    deep = flow_depth(h0, h1, z0, z1, s)
    depth = max(deep, s.dry)
    push = s.slope * depth * ((h0 - h1) + (z0 - z1))
    celerity = np.sqrt(s.gravity * depth)
    blend = q + s.side * min(s.one, s.reach * celerity) * ((before - q) + (after - q))
    free = (q if blend * push < s.zero else blend) + push
    root = inverse_cube_root(depth, s)
    a = a0 + a1
    friction = s.dt * (a * a) * (root * root) * (root * root) * (root * root) * root
    side = s.sixteenth * (across * across)
    norm = np.sqrt(q * q + side) + s.least
    flow = (norm * free + friction * (q * q) * q) / (norm + friction * (q * q + norm * norm))
    critical = depth * celerity
    flow = min(max(flow, -critical), critical)
    return flow if deep > s.dry else s.zero


@compiled
def _flows(h0, h1, z0, z1, a0, a1, q, before, after, t0, t1, t2, t3, raw, count, s):
    """Raw flows through ``count`` faces along a row; every argument is a row view of its own.

    East faces and south faces share this code, so a transposed terrain floods exactly transposed.
    """
    for j in range(count):
        across = (read(t0, j, "f") + read(t1, j, "f")) + (read(t2, j, "f") + read(t3, j, "f"))
        flow = _face_flow(
            read(h0, j, "f"), read(h1, j, "f"), read(z0, j, "f"), read(z1, j, "f"),
            read(a0, j, "f"), read(a1, j, "f"),
            read(q, j, "f"), read(before, j, "f"), read(after, j, "f"), across, s,
        )  # fmt: skip
        write(raw, j, flow, "f0")


@compiled
def _boundary_outflow(kind, h, a, inner_outflow, inner_depth, s):
    """Outflow (>= 0) through a boundary face; nothing enters through an open boundary."""
    if kind == CLOSED or not h > s.dry:
        return s.zero
    if kind == FREE:
        flow = inner_outflow / inner_depth * h if inner_depth > s.dry else s.zero
    else:
        root = inverse_cube_root(h, s)
        flow = h * h * root * s.normal / a
    return min(max(flow, s.zero), h * np.sqrt(s.gravity * h))


@compiled
def _boundaries_x(h, z, a, raw, west, east, s):
    n = h.size - 2
    if n > 1:
        west_depth = flow_depth(h[1], h[2], z[1], z[2], s)
        east_depth = flow_depth(h[n - 1], h[n], z[n - 1], z[n], s)
    else:
        west_depth = east_depth = s.zero
    west_out, east_out = -raw[1], raw[n - 1]
    raw[0] = -_boundary_outflow(west, h[1], a[1], west_out, west_depth, s)
    raw[n] = _boundary_outflow(east, h[n], a[n], east_out, east_depth, s)


@compiled
def _boundary_y(edge, inner, h, z, a, raw_inner, raw_edge, kind, sign, s):
    """North (sign -1) or south (sign +1) boundary flows; without an inner row free is closed."""
    for j in range(1, h.shape[1] - 1):
        depth, flow = s.zero, s.zero
        if inner != edge:
            depth = flow_depth(h[edge, j], h[inner, j], z[edge, j], z[inner, j], s)
            flow = sign * raw_inner[j]
        raw_edge[j] = sign * _boundary_outflow(
            kind, h[edge, j], a[edge % a.shape[0], j], flow, depth, s
        )


@compiled
def _donor_shares(h, raw_x, raw_north, raw_south, share, s):
    """The share of its raw outflow that each cell can afford in this step, 0 to 1."""
    for j in range(h.size - 2):
        c = j + 1
        leaving = (max(read(raw_x, c, "b"), s.zero) - min(read(raw_x, j, "b"), s.zero)) + (
            max(read(raw_south, c, "b"), s.zero) - min(read(raw_north, c, "b"), s.zero)
        )
        water = (read(h, c, "b") + s.rain) * s.keep
        write(share, c, min(s.one, water / max(leaving * s.ratio, s.tiny)), "b0")


@compiled
def count_limited(h, share, tally, s):
    """Add up the cells whose outflow was cut, and the wet ones."""
    wet = limited = 0
    for j in range(1, h.size - 1):
        wet += h[j] > s.dry
        limited += h[j] > s.dry and share[j] < s.one
    tally[0] += limited
    tally[1] += wet


@compiled
def _limit_x(raw, share, q, s):
    for j in range(q.size - 1):
        flow, behind, ahead = read(raw, j, "l"), read(share, j, "l"), read(share, j + 1, "l")
        write(q, j, flow * (behind if flow > s.zero else ahead), "l0")


@compiled
def _update_row(h, z, q, north, south, raw_south, share, share_south, peak, highest, s):
    """Limit the flows south of a row, then its depths; keep its running maxima."""
    for j in range(h.size - 2):
        c = j + 1
        flow, here, there = (
            read(raw_south, c, "u"),
            read(share, c, "u"),
            read(share_south, c, "u"),
        )
        flow *= here if flow > s.zero else there
        write(south, c, flow, "u0")
        rain = s.rain if read(z, c, "u") < s.wall else s.zero
        gain = (read(q, j, "u") - read(q, c, "u")) + (read(north, c, "u0") - flow)
        depth = (read(h, c, "u1") + rain) + s.ratio * gain
        write(h, c, depth, "u1")
        write(peak, c, larger(read(peak, c, "u2"), depth), "u2")
        write(highest, c, larger(read(highest, c, "u3"), depth), "u3")


@compiled
def _sweep(state, rows, scheme, s, counting, tally):
    """Advance the whole grid by one step, in place."""
    z, h, qx, qy, a, peak = state
    raw_x, raw_old, raw_new, share_old, share_new, highest = rows
    nx, ny = h.shape[1] - 2, h.shape[0] - 2
    highest[:] = s.zero
    for r in range(1, ny + 1):
        a0, a1 = a[r % a.shape[0]], a[(r + 1) % a.shape[0]]
        _flows(
            h[r, 1:], h[r, 2:], z[r, 1:], z[r, 2:], a0[1:], a0[2:], qx[r, 1:], qx[r], qx[r, 2:],
            qy[r - 1, 1:], qy[r - 1, 2:], qy[r, 1:], qy[r, 2:], raw_x[1:], nx - 1, s,
        )  # fmt: skip
        _boundaries_x(h[r], z[r], a0, raw_x, scheme.west, scheme.east, s)
        if r < ny:
            _flows(
                h[r, 1:], h[r + 1, 1:], z[r, 1:], z[r + 1, 1:], a0[1:], a1[1:],
                qy[r, 1:], qy[r - 1, 1:], qy[r + 1, 1:],
                qx[r], qx[r + 1], qx[r, 1:], qx[r + 1, 1:], raw_new[1:], nx, s,
            )  # fmt: skip
        else:
            _boundary_y(ny, max(ny - 1, 1), h, z, a, raw_old, raw_new, scheme.south, s.one, s)
        if r == 1:
            _boundary_y(1, min(2, ny), h, z, a, raw_new, raw_old, scheme.north, -s.one, s)
        _donor_shares(h[r], raw_x, raw_old, raw_new, share_new, s)
        if counting:
            count_limited(h[r], share_new, tally, s)
        if r == 1:
            for j in range(1, h.shape[1] - 1):
                qy[0, j] = raw_old[j] * share_new[j]
        else:
            _update_row(
                h[r - 1], z[r - 1], qx[r - 1], qy[r - 2], qy[r - 1], raw_old,
                share_old, share_new, peak[r - 1], highest, s,
            )  # fmt: skip
        _limit_x(raw_x, share_new, qx[r], s)
        raw_old, raw_new = raw_new, raw_old
        share_old, share_new = share_new, share_old
    _update_row(
        h[ny], z[ny], qx[ny], qy[ny - 1], qy[ny], raw_old,
        share_old, share_old, peak[ny], highest, s,
    )  # fmt: skip
    return highest.max()


@compiled
def step_constants(h, scheme, dt, rain_m):
    """The constants of one step in the precision of the depths."""
    number = h.dtype.type
    return _Step(
        zero=number(0.0),
        one=number(1.0),
        third=number(1.0 / 3.0),
        second=number(2.0 / 9.0),
        gravity=number(GRAVITY),
        dry=number(scheme.dry_depth_m),
        side=number(0.5 * (1.0 - scheme.theta)),
        reach=number(dt / (scheme.cfl * scheme.cell_m)),
        dt=number(dt),
        slope=number(GRAVITY * dt / scheme.cell_m),
        ratio=number(dt / scheme.cell_m),
        sixteenth=number(0.0625),
        rain=number(rain_m),
        keep=number(1.0 - 4.0 * scheme.epsilon),
        tiny=number(TINY),
        least=number(LEAST),
        wall=number(WALL),
        normal=number(0.5 * np.sqrt(scheme.normal_slope * GRAVITY)),
    )


@compiled
def _stable_step(highest, source_m_per_s, scheme):
    """Dt with dt sqrt(g (h + source dt)) <= cfl dx: a dry cell must survive its first inflow."""
    bound = (scheme.cfl * scheme.cell_m) ** 2 / GRAVITY
    dt = scheme.dt_max_s
    for _ in range(60):  # Newton from above on a convex cubic: monotone
        excess = dt * dt * (highest + source_m_per_s * dt) - bound
        if excess <= 1e-12 * bound:
            break
        dt -= excess / (dt * (2.0 * highest + 3.0 * source_m_per_s * dt))
    return dt


@compiled
def _add_outflows(qx, qy, ratio, account):
    nx, ny = qx.shape[1] - 2, qx.shape[0] - 2
    west = east = south = north = 0.0
    for r in range(1, ny + 1):
        west -= np.float64(qx[r, 0])
        east += np.float64(qx[r, nx])
    for j in range(1, nx + 1):
        north -= np.float64(qy[0, j])
        south += np.float64(qy[ny, j])
    account[2] += west * ratio
    account[3] += east * ratio
    account[4] += south * ratio
    account[5] += north * ratio


@compiled
def _addable(rain_m, highest, epsilon):
    """The part of ``rain_m`` that a depth up to ``highest`` takes without rounding."""
    quantum = math.ldexp(epsilon, math.frexp(highest)[1])
    return math.floor(rain_m / quantum) * quantum


@compiled
def advance(state, rows, forcing, scheme, rain_m_per_s, cells, start, end, highest, steps, account):
    """Advance the state in place until ``end`` (hit exactly), at most ``steps`` steps.

    Args:
        state: ``(z, h, qx, qy, a, peak)``, bordered arrays ``[ny + 2, nx + 2]`` of one float type;
            ``a`` holds n sqrt(g) / 2 and may be one row. ``peak`` is the running maximum depth.
        rows: Six work rows ``[nx + 2]``: three raw flows, two donor shares (ones), one of maxima.
        forcing: Point inflows, rain by cell and held levels.
        scheme: The fixed numbers.
        rain_m_per_s: Rain on every cell that is not a wall.
        cells: Number of cells that are not walls.
        start: Time now, s.
        end: Time not to pass, s.
        highest: Largest depth now, m.
        steps: Largest number of steps to take.
        account: Float64 ``[ACCOUNTS]``, added to: rain, inflow, west, east, south, north (all m of
            water over one cell), limited and wet cells (counted in the last step taken only), the
            rain (m) that is owed to the cells, what the soil drank, and what the held levels of the
            four sides let in.

    Returns:
        Time reached (s), steps taken and largest depth (m).
    """
    h, qx, qy = state[1], state[2], state[3]
    strongest = rain_m_per_s + forcing.field.max()
    if forcing.rates.size:
        strongest += forcing.rates.max()
    tally = np.zeros(2, np.int64)
    now, taken = start, 0
    while taken < steps and now < end:
        if forcing.stage_rows.size:
            highest = max(highest, hold_stages(h, forcing, now, account))
        dt = _stable_step(highest, strongest, scheme)
        left = end - now
        last = dt >= left
        if last:
            dt = left
        elif 2.0 * dt > left:
            dt = 0.5 * left
        if not now + dt > now:
            break
        add_sources(h, forcing, dt, account)
        owed = max(account[8] + rain_m_per_s * dt, 0.0)
        fallen = owed if last else _addable(owed, highest, scheme.epsilon)
        s = step_constants(h, scheme, dt, fallen)
        account[0] += np.float64(s.rain) * cells
        account[8] = owed - np.float64(s.rain)
        taken += 1
        highest = np.float64(_sweep(state, rows, scheme, s, last or taken == steps, tally))
        _add_outflows(qx, qy, np.float64(s.ratio), account)
        now = end if last else now + dt
    account[6] += tally[0]
    account[7] += tally[1]
    return now, taken, highest
