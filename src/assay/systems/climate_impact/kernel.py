"""The local-inertial flood kernels: one in-place sweep over the rows per time step.

Notable in this file:

* *One sweep.* A rolling pair of row buffers holds the raw face flows of row r and the donor shares of
  rows r and r-1; the limited flows and the depths of row r-1 are written back where they stood. Five
  arrays are read and three written per step; a second copy of the state (ping-pong) would add a read
  for every write. Row r-1 is the last row whose old values row r needs.
* *The limiter is always on.* The outflow of a cell, boundary faces included, is scaled so that it never
  exceeds the water in it (donor cell); volume is conserved to rounding and depth stays >= 0.
* *No ``pow``.* hf^(7/3) = hf^3 (hf^(-1/3))^2, with the inverse cube root from a bit trick and two
  division-free high-order Newton steps, which LLVM vectorises.
* *No alias checks.* LLVM gives up on loops with more than eight pairs of arrays that might overlap, so
  loads and stores say that they do not.

Every array carries a border of one cell: interior cells are ``[1:-1, 1:-1]``; row 0 is north. ``qx[r, j]``
is the flow (m2/s, to the east) between cells (r, j) and (r, j+1); ``qy[r, j]`` (to the south) between
cells (r, j) and (r+1, j). Borders and NoData cells stand ``WALL`` metres high and dry.

Source: Bates et al. 2010 (local inertia), de Almeida et al. 2012 (q-centred weighting); the fall back to
the unweighted flow where weighting and slope disagree follows itzi.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

__all__ = ["CLOSED", "FREE", "GRAVITY", "NORMAL_DEPTH", "WALL", "Scheme", "advance", "track"]

GRAVITY = 9.81
WALL = 1e30  # still finite in float32 after subtraction, and no flow depth survives it
CLOSED, FREE, NORMAL_DEPTH = 0, 1, 2
TINY = 1e-30

_compiled = njit(cache=True, error_model="numpy", fastmath={"contract", "nsz"}, nogil=True)


class Scheme(NamedTuple):
    """What stays fixed over a simulation; all float64 or int, unpacked once per call of `advance`."""

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
    second: Any  # 2/9, 14/81: the series of (1 - e)^(-1/3)
    fourth: Any
    gravity: Any
    dry: Any
    theta: Any
    side: Any  # (1 - theta) / 2
    dt: Any
    slope: Any  # g dt / dx
    ratio: Any  # dt / dx
    sixteenth: Any
    rain: Any  # m in this step
    keep: Any  # 1 - 4 eps: outflow stays below the water there whatever the rounding
    tiny: Any
    wall: Any
    normal: Any  # sqrt(S g) / 2, since rows of `a` hold n sqrt(g) / 2


@intrinsic
def _inverse_cube_root_guess(typingctx, x):
    """x^(-1/3) within 3.4 %: divide the exponent bits by -3."""

    def codegen(context, builder, signature, args):
        (value,) = args
        if signature.args[0] == types.float32:
            i32, f32 = ir.IntType(32), ir.FloatType()
            bits = builder.bitcast(value, i32)
            scaled = builder.fmul(builder.sitofp(bits, f32), ir.Constant(f32, 1.0 / 3.0))
            guess = builder.sub(ir.Constant(i32, 0x54A1F400), builder.fptosi(scaled, i32))
            return builder.bitcast(guess, f32)
        i64 = ir.IntType(64)
        shift = ir.Constant(i64, 32)
        high = builder.lshr(builder.bitcast(value, i64), shift)
        third = builder.lshr(builder.mul(high, ir.Constant(i64, 0x55555556)), shift)
        guess = builder.shl(builder.sub(ir.Constant(i64, 0x553EE980), third), shift)
        return builder.bitcast(guess, ir.DoubleType())

    if x in (types.float32, types.float64):
        return x(x), codegen
    return None


@intrinsic
def _larger(typingctx, x, y):
    """max(x, y) as one instruction: LLVM makes of ``p[i] = max(p[i], x)`` a slow masked store."""

    def codegen(context, builder, signature, args):
        kind = args[0].type
        function = builder.module.declare_intrinsic(
            "llvm.maxnum", [kind], ir.FunctionType(kind, [kind, kind])
        )
        return builder.call(function, args, fastmath=("nnan", "nsz"))

    return x(x, y), codegen


def _element(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index])


def _mark(builder, instruction, place: str) -> None:
    """Declare one access not to alias any access of the same loop in another slot.

    ``place`` is the loop's letter, then the slot: none for arrays that the loop only reads, a digit
    for each array it writes. Rows of one array must share a slot if the loop writes any of them.
    """
    module = builder.module
    loop, own = place[0], place[1:]
    root = module.add_metadata([f"assay {loop}"])
    scopes = {slot: module.add_metadata([f"assay {loop}{slot}", root]) for slot in ("", *"0123")}
    instruction.set_metadata("alias.scope", module.add_metadata([scopes.pop(own)]))
    instruction.set_metadata("noalias", module.add_metadata(list(scopes.values())))


@intrinsic(prefer_literal=True)
def _read(typingctx, array, index, place):
    """``array[index]`` without wrap-around, at a `_mark`ed place."""
    if not isinstance(place, types.Literal):
        return None
    name = place.literal_value

    def codegen(context, builder, signature, args):
        value = builder.load(_element(context, builder, signature.args[0], args[0], args[1]))
        _mark(builder, value, name)
        return value

    return array.dtype(array, types.intp, place), codegen


@intrinsic(prefer_literal=True)
def _write(typingctx, array, index, value, place):
    """``array[index] = value`` without wrap-around, at a `_mark`ed place."""
    if not isinstance(place, types.Literal):
        return None
    name = place.literal_value

    def codegen(context, builder, signature, args):
        pointer = _element(context, builder, signature.args[0], args[0], args[1])
        _mark(builder, builder.store(args[2], pointer), name)
        return context.get_dummy_value()

    return types.void(array, types.intp, array.dtype, place), codegen


@_compiled
def _inverse_cube_root(x, s):
    y = _inverse_cube_root_guess(x)
    e = s.one - (x * y) * (y * y)
    y += (y * e) * (s.third + e * s.second)
    e = s.one - (x * y) * (y * y)
    return y + (y * e) * (s.third + e * s.second)


@_compiled
def _flow_depth(h0, h1, z0, z1, s):
    """max(eta0, eta1) - max(z0, z1) without ever forming eta (cancellation in float32)."""
    rise = z0 - z1
    return max(h0 + min(rise, s.zero), h1 - max(rise, s.zero))


@_compiled
def _face_flow(h0, h1, z0, z1, a0, a1, q, before, after, across, s):
    """New flow through one face; ``across`` is the sum of the four transverse flows around it."""
    deep = _flow_depth(h0, h1, z0, z1, s)
    depth = max(deep, s.dry)
    root = _inverse_cube_root(depth, s)
    power = (depth * root) * (depth * root) * depth
    push = s.slope * depth * ((h0 - h1) + (z0 - z1))
    blend = s.theta * q + s.side * (before + after)
    start = q if blend * push < s.zero else blend
    a = a0 + a1
    norm = np.sqrt(q * q + s.sixteenth * (across * across))
    flow = (start + push) * power / (power + s.dt * (a * a) * norm)
    critical = depth * np.sqrt(s.gravity * depth)
    flow = min(max(flow, -critical), critical)
    return flow if deep > s.dry else s.zero


@_compiled
def _flows(h0, h1, z0, z1, a0, a1, q, before, after, t0, t1, t2, t3, raw, count, s):
    """Raw flows through ``count`` faces along a row; every argument is a row view of its own.

    East faces and south faces share this code, so a transposed terrain floods exactly transposed.
    """
    for j in range(count):
        across = (_read(t0, j, "f") + _read(t1, j, "f")) + (_read(t2, j, "f") + _read(t3, j, "f"))
        flow = _face_flow(
            _read(h0, j, "f"), _read(h1, j, "f"), _read(z0, j, "f"), _read(z1, j, "f"),
            _read(a0, j, "f"), _read(a1, j, "f"),
            _read(q, j, "f"), _read(before, j, "f"), _read(after, j, "f"), across, s,
        )  # fmt: skip
        _write(raw, j, flow, "f0")


@_compiled
def _boundary_outflow(kind, h, a, inner_outflow, inner_depth, s):
    """Outflow (>= 0) through a boundary face; nothing enters through an open boundary."""
    if kind == CLOSED or not h > s.dry:
        return s.zero
    if kind == FREE:
        flow = inner_outflow / inner_depth * h if inner_depth > s.dry else s.zero
    else:
        root = _inverse_cube_root(h, s)
        flow = h * h * root * s.normal / a
    return min(max(flow, s.zero), h * np.sqrt(s.gravity * h))


@_compiled
def _boundaries_x(h, z, a, raw, west, east, s):
    n = h.size - 2
    if n > 1:
        west_depth = _flow_depth(h[1], h[2], z[1], z[2], s)
        east_depth = _flow_depth(h[n - 1], h[n], z[n - 1], z[n], s)
    else:
        west_depth = east_depth = s.zero
    west_out, east_out = -raw[1], raw[n - 1]
    raw[0] = -_boundary_outflow(west, h[1], a[1], west_out, west_depth, s)
    raw[n] = _boundary_outflow(east, h[n], a[n], east_out, east_depth, s)


@_compiled
def _boundary_y(edge, inner, h, z, a, raw_inner, raw_edge, kind, sign, s):
    """North (sign -1) or south (sign +1) boundary flows; without an inner row free is closed."""
    for j in range(1, h.shape[1] - 1):
        depth, flow = s.zero, s.zero
        if inner != edge:
            depth = _flow_depth(h[edge, j], h[inner, j], z[edge, j], z[inner, j], s)
            flow = sign * raw_inner[j]
        raw_edge[j] = sign * _boundary_outflow(
            kind, h[edge, j], a[edge % a.shape[0], j], flow, depth, s
        )


@_compiled
def _donor_shares(h, raw_x, raw_north, raw_south, share, s):
    """The share of its raw outflow that each cell can afford in this step, 0 to 1."""
    for j in range(h.size - 2):
        c = j + 1
        leaving = (max(_read(raw_x, c, "b"), s.zero) - min(_read(raw_x, j, "b"), s.zero)) + (
            max(_read(raw_south, c, "b"), s.zero) - min(_read(raw_north, c, "b"), s.zero)
        )
        water = (_read(h, c, "b") + s.rain) * s.keep
        _write(share, c, min(s.one, water / max(leaving * s.ratio, s.tiny)), "b0")


@_compiled
def _count_limited(h, share, tally, s):
    wet = limited = 0
    for j in range(1, h.size - 1):
        wet += h[j] > s.dry
        limited += h[j] > s.dry and share[j] < s.one
    tally[0] += limited
    tally[1] += wet


@_compiled
def _limit_x(raw, share, q, s):
    for j in range(q.size - 1):
        flow, behind, ahead = _read(raw, j, "l"), _read(share, j, "l"), _read(share, j + 1, "l")
        _write(q, j, flow * (behind if flow > s.zero else ahead), "l0")


@_compiled
def _update_row(h, z, q, north, south, raw_south, share, share_south, peak, highest, s):
    """Limit the flows south of a row, then its depths; keep its running maxima."""
    for j in range(h.size - 2):
        c = j + 1
        flow, here, there = (
            _read(raw_south, c, "u"),
            _read(share, c, "u"),
            _read(share_south, c, "u"),
        )
        flow *= here if flow > s.zero else there
        _write(south, c, flow, "u0")
        rain = s.rain if _read(z, c, "u") < s.wall else s.zero
        gain = (_read(q, j, "u") - _read(q, c, "u")) + (_read(north, c, "u0") - flow)
        depth = (_read(h, c, "u1") + rain) + s.ratio * gain
        _write(h, c, depth, "u1")
        _write(peak, c, _larger(_read(peak, c, "u2"), depth), "u2")
        _write(highest, c, _larger(_read(highest, c, "u3"), depth), "u3")


@_compiled
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
            _count_limited(h[r], share_new, tally, s)
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


@_compiled
def _step_constants(h, scheme, dt, rain_m):
    number = h.dtype.type
    return _Step(
        zero=number(0.0),
        one=number(1.0),
        third=number(1.0 / 3.0),
        second=number(2.0 / 9.0),
        fourth=number(14.0 / 81.0),
        gravity=number(GRAVITY),
        dry=number(scheme.dry_depth_m),
        theta=number(scheme.theta),
        side=number(0.5 * (1.0 - scheme.theta)),
        dt=number(dt),
        slope=number(GRAVITY * dt / scheme.cell_m),
        ratio=number(dt / scheme.cell_m),
        sixteenth=number(0.0625),
        rain=number(rain_m),
        keep=number(1.0 - 4.0 * scheme.epsilon),
        tiny=number(TINY),
        wall=number(WALL),
        normal=number(0.5 * np.sqrt(scheme.normal_slope * GRAVITY)),
    )


@_compiled
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


@_compiled
def advance(state, rows, sources, scheme, rain_m_per_s, cells, start, end, highest, steps, account):
    """Advance the state in place until ``end`` (hit exactly), at most ``steps`` steps.

    Args:
        state: ``(z, h, qx, qy, a, peak)``, bordered arrays ``[ny + 2, nx + 2]`` of one float type;
            ``a`` holds n sqrt(g) / 2 and may be a single row. ``peak`` is the running maximum depth.
        rows: Six work rows ``[nx + 2]``: three raw flows, two donor shares (ones), one of maxima.
        sources: Rows, columns (bordered indices) and rates (m/s) of the point inflows.
        scheme: The fixed numbers.
        rain_m_per_s: Rain on every cell that is not a wall.
        cells: Number of cells that are not walls.
        start: Time now, s.
        end: Time not to pass, s.
        highest: Largest depth now, m.
        steps: Largest number of steps to take.
        account: Float64 ``[8]``, added to: rain, inflow, west, east, south, north (all m of water
            over one cell), limited and wet cells (counted in the last step taken only).

    Returns:
        Time reached (s), steps taken and largest depth (m).
    """
    z, h, qx, qy, a, peak = state
    source_rows, source_columns, source_rates = sources
    nx, ny = h.shape[1] - 2, h.shape[0] - 2
    strongest = rain_m_per_s + (source_rates.max() if source_rates.size else 0.0)
    tally = np.zeros(2, np.int64)
    now, taken = start, 0
    while taken < steps and now < end:
        dt = _stable_step(highest, strongest, scheme)
        left = end - now
        last = dt >= left
        if last:
            dt = left
        elif 2.0 * dt > left:
            dt = 0.5 * left
        if not now + dt > now:
            break
        for k in range(source_rates.size):
            added = h.dtype.type(source_rates[k] * dt)
            h[source_rows[k], source_columns[k]] += added
            account[1] += np.float64(added)
        s = _step_constants(h, scheme, dt, rain_m_per_s * dt)
        taken += 1
        highest = np.float64(_sweep(state, rows, scheme, s, last or taken == steps, tally))
        account[0] += np.float64(s.rain) * cells
        west = east = south = north = 0.0
        for r in range(1, ny + 1):
            west -= np.float64(qx[r, 0])
            east += np.float64(qx[r, nx])
        for j in range(1, nx + 1):
            north -= np.float64(qy[0, j])
            south += np.float64(qy[ny, j])
        ratio = np.float64(s.ratio)
        account[2] += west * ratio
        account[3] += east * ratio
        account[4] += south * ratio
        account[5] += north * ratio
        now = end if last else now + dt
    account[6] += tally[0]
    account[7] += tally[1]
    return now, taken, highest


@_compiled
def _face_velocity(h0, h1, z0, z1, q, s):
    deep = _flow_depth(h0, h1, z0, z1, s)
    depth = max(deep, s.dry)
    critical = np.sqrt(s.gravity * depth)
    flow = min(max(q / depth, -critical), critical)
    return flow if deep > s.dry else s.zero


@_compiled
def _velocities_y(h0, h1, z0, z1, q, out, s):
    for j in range(h0.size):
        _write(out, j, _face_velocity(h0[j], h1[j], z0[j], z1[j], q[j], s), "v0")


@_compiled
def track(state, rows, scheme, hours, arrival_depth_m, velocity, hazard, arrival):
    """Update the running maxima of velocity (m/s) and hazard (m2/s), and the arrival time (h).

    The velocity of a face is its flow over its depth, at most critical; that of a cell the norm of
    the means of its opposite faces. Sampled: call it every few steps. ``arrival`` (unbordered like
    the two maxima, infinite where dry so far) uses ``peak``, so it misses no wave, only the moment.
    """
    z, h, qx, qy, a, peak = state
    along, above, below = rows[0], rows[1], rows[2]
    s = _step_constants(h, scheme, 0.0, 0.0)
    nx, ny = h.shape[1] - 2, h.shape[0] - 2
    time = h.dtype.type(hours)
    threshold = h.dtype.type(arrival_depth_m)
    half = h.dtype.type(0.5)
    _velocities_y(h[1], h[1], z[1], z[1], qy[0], above, s)
    for r in range(1, ny + 1):
        following = min(r + 1, ny)
        _velocities_y(h[r], h[following], z[r], z[following], qy[r], below, s)
        along[0] = _face_velocity(h[r, 1], h[r, 1], z[r, 1], z[r, 1], qx[r, 0], s)
        for j in range(1, nx):
            along[j] = _face_velocity(h[r, j], h[r, j + 1], z[r, j], z[r, j + 1], qx[r, j], s)
        along[nx] = _face_velocity(h[r, nx], h[r, nx], z[r, nx], z[r, nx], qx[r, nx], s)
        for j in range(nx):
            u = half * (along[j] + along[j + 1])
            v = half * (above[j + 1] + below[j + 1])
            depth = h[r, j + 1]
            speed = np.sqrt(u * u + v * v) if depth > s.dry else s.zero
            velocity[r - 1, j] = max(velocity[r - 1, j], speed)
            hazard[r - 1, j] = max(hazard[r - 1, j], speed * depth)
            if peak[r, j + 1] > threshold:
                arrival[r - 1, j] = min(arrival[r - 1, j], time)
        above, below = below, above
