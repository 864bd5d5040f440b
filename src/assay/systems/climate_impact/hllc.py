"""The full shallow water equations, finite volume: one Euler stage is one sweep over the rows.

Notable in this file (`riemann` holds slopes and fluxes, `cells` what they do to a cell):

* *Two stages, two states.* SSP-RK2 goes from state A to B by an Euler step, then to the mean of A
  and an Euler step from B. Each stage reads one state and writes the other, so no row is copied.
* *One row of lag*, as in `kernel`: a row is stepped once the row below it knows what it can give.
* *Rain falls after the second stage*, in whole quanta; rain and inflows bring no momentum.

State: bordered arrays ``[ny + 2, nx + 2]`` of bed z, depth h, velocities u (to the east) and v (to
the south), a = n sqrt(g) / 2, and the running maximum of depth; row 0 is the northern border.
Borders of open sides hold the bed that slopes are taken against; others stand `WALL` metres high.
"""

import math

import numpy as np

from assay.systems.climate_impact.cells import (
    correct,
    extremes,
    gather,
    limit,
    predict,
)
from assay.systems.climate_impact.forcing import add_sources, hold_stages
from assay.systems.climate_impact.intrinsics import compiled
from assay.systems.climate_impact.kernel import CLOSED, GRAVITY, count_limited
from assay.systems.climate_impact.riemann import faces, open_x, open_y, slopes, stage_constants

__all__ = ["ROWS", "advance_finite_volume", "track_finite_volume"]

ROWS = 38
"""Work rows: groups of four for slopes and fluxes, of three for a share and two pushes."""
SLOPES_X = 0
GROUPS = (4, 8, 12, 16, 20, 24, 28, 32, 35)


# -- one stage ----------------------------------------------------------------------------------


@compiled
def _fill_borders(h, u, v, scheme):
    """Continue the water beyond open sides: depth on its slope, velocity as it is."""
    ny, nx = h.shape[0] - 2, h.shape[1] - 2
    two, zero = h.dtype.type(2.0), h.dtype.type(0.0)
    for r in range(1, ny + 1):
        if scheme.west != CLOSED:
            h[r, 0] = max(two * h[r, 1] - h[r, min(2, nx)], zero)
            u[r, 0], v[r, 0] = u[r, 1], v[r, 1]
        if scheme.east != CLOSED:
            h[r, nx + 1] = max(two * h[r, nx] - h[r, max(nx - 1, 1)], zero)
            u[r, nx + 1], v[r, nx + 1] = u[r, nx], v[r, nx]
    for c in range(1, nx + 1):
        if scheme.north != CLOSED:
            h[0, c] = max(two * h[1, c] - h[min(2, ny), c], zero)
            u[0, c], v[0, c] = u[1, c], v[1, c]
        if scheme.south != CLOSED:
            h[ny + 1, c] = max(two * h[ny, c] - h[max(ny - 1, 1), c], zero)
            u[ny + 1, c], v[ny + 1, c] = u[ny, c], v[ny, c]


@compiled
def _view(z, h, u, v, r, start):
    return z[r, start:], h[r, start:], u[r, start:], v[r, start:]


@compiled
def _rows(work, k, start):
    return work[k, start:], work[k + 1, start:], work[k + 2, start:], work[k + 3, start:]


@compiled
def _southern_faces(r, state, a, work, here, below, out, scheme, s):
    """Slopes across row r + 1, and fluxes between the rows r and r + 1, borders included."""
    z, h, u, v = state
    ny, nx = h.shape[0] - 2, h.shape[1] - 2
    if r < ny:
        slopes(
            _view(z, h, v, u, r, 1), _view(z, h, v, u, r + 1, 1), _view(z, h, v, u, r + 2, 1),
            _rows(work, below, 1), nx, s,
        )  # fmt: skip
    else:
        work[below : below + 4] = s.zero
    slopes_here, slopes_below = _rows(work, here, 0), _rows(work, below, 0)
    fluxes = _rows(work, out, 0)
    faces(
        _view(z, h, v, u, r, 0), _view(z, h, v, u, r + 1, 0), slopes_here, slopes_below,
        fluxes, nx + 2, s,
    )  # fmt: skip
    if r == 0 and scheme.north != CLOSED:
        edge, along = _view(z, h, v, u, 1, 0), a[1 % a.shape[0]]
        open_y(edge, slopes_below, along, fluxes, scheme.north, -s.one, s)
    if r == ny and scheme.south != CLOSED:
        edge, along = _view(z, h, v, u, ny, 0), a[ny % a.shape[0]]
        open_y(edge, slopes_here, along, fluxes, scheme.south, s.one, s)


@compiled
def _row_faces(r, state, a, work, out, scheme, s):
    """Slopes along row r and the fluxes between its cells, borders included."""
    z, h, u, v = state
    nx = h.shape[1] - 2
    fluxes, slopes_x = _rows(work, out, 0), _rows(work, SLOPES_X, 0)
    slopes(
        _view(z, h, u, v, r, 0), _view(z, h, u, v, r, 1), _view(z, h, u, v, r, 2),
        _rows(work, SLOPES_X, 1), nx, s,
    )  # fmt: skip
    faces(
        _view(z, h, u, v, r, 0), _view(z, h, u, v, r, 1), slopes_x, _rows(work, SLOPES_X, 1),
        fluxes, nx + 1, s,
    )  # fmt: skip
    if scheme.west != CLOSED or scheme.east != CLOSED:
        along = a[r % a.shape[0]]
        open_x(_view(z, h, u, v, r, 0), slopes_x, along, fluxes, scheme.west, scheme.east, s)


@compiled
def _step_row(r, source, target, ground, work, across, north, south, cells, last, s):
    """Step the cells of a row whose flows are limited."""
    h, u, v = source[0][r], source[1][r], source[2][r]
    new_h, new_u, new_v = target[0][r], target[1][r], target[2][r]
    z, a, peak = ground
    along = a[r % a.shape[0]]
    faces_x, faces_n, faces_s = _rows(work, across, 0), _rows(work, north, 0), _rows(work, south, 0)
    pushes = work[cells + 1], work[cells + 2]
    if last:
        correct(
            (h, u, v), z[r], along, faces_x, faces_n, faces_s, pushes, (new_h, new_u, new_v),
            peak[r], s,
        )  # fmt: skip
    else:
        predict(
            (h, u, v), along, faces_x, faces_n, faces_s, pushes, (new_h, new_u, new_v), s
        )  # fmt: skip


@compiled
def _sweep(ground, source, target, work, scheme, s, last, account, tally):
    """One stage of the whole grid: from ``source`` into ``target``, both ``(h, u, v)``.

    Groups of rows of ``work`` are exchanged by their first index.
    """
    z, a, _ = ground
    h, u, v = source
    state = z, h, u, v
    nx, ny = h.shape[1] - 2, h.shape[0] - 2
    here, below, across, next_across, north, middle, south, cells, next_cells = GROUPS
    _fill_borders(h, u, v, scheme)
    work[here : here + 4] = s.zero
    work[cells] = s.one
    weight = 0.5 * np.float64(s.ratio)  # either stage makes half of the step
    for r in range(ny + 2):
        if r <= ny:
            _southern_faces(r, state, a, work, here, below, south, scheme, s)
        work[next_cells] = s.one
        if 0 < r <= ny:
            _row_faces(r, state, a, work, next_across, scheme, s)
            gather(
                h[r], _rows(work, SLOPES_X, 0), _rows(work, here, 0), _rows(work, next_across, 0),
                _rows(work, middle, 0), _rows(work, south, 0),
                (work[next_cells], work[next_cells + 1], work[next_cells + 2]), s,
            )  # fmt: skip
            if tally.size:
                count_limited(h[r], work[next_cells], tally, s)
        if r > 0:
            limit(
                _rows(work, across, 0), _rows(work, middle, 0), work[cells], work[next_cells], s
            )  # fmt: skip
        if r == 1:
            account[5] -= weight * _total(work[middle])
        if r > 1:
            _step_row(r - 1, source, target, ground, work, across, north, middle, cells, last, s)
            account[2] -= weight * np.float64(work[across, 0])
            account[3] += weight * np.float64(work[across, nx])
        north, middle, south = middle, south, north
        here, below = below, here
        across, next_across = next_across, across
        cells, next_cells = next_cells, cells
    account[4] += weight * _total(work[north])


@compiled
def _total(flows):
    """Sum over the inner columns, in float64."""
    found = 0.0
    for j in range(1, flows.size - 1):
        found += np.float64(flows[j])
    return found


@compiled
def _fastest(state, work, s):
    """Largest depth and largest |u| + sqrt(g h) of the grid."""
    h, u, v = state
    highest, fastest = work[33], work[34]
    highest[:], fastest[:] = s.zero, s.zero
    for r in range(1, h.shape[0] - 1):
        extremes(h[r], u[r], v[r], highest, fastest, s)
    return np.float64(highest[1:-1].max()), np.float64(fastest[1:-1].max())


@compiled
def _addable(rain_m, highest, epsilon):
    """The part of ``rain_m`` that a depth up to ``highest`` takes without rounding."""
    quantum = math.ldexp(epsilon, math.frexp(highest)[1])
    return math.floor(rain_m / quantum) * quantum


@compiled
def _stable_step(fastest, source_m_per_s, scheme):
    """Dt with dt (|u| + c + sqrt(g source dt)) <= cfl dx, by Newton from above."""
    reach, pull = scheme.cfl * scheme.cell_m, math.sqrt(GRAVITY * source_m_per_s)
    dt = scheme.dt_max_s
    for _ in range(60):
        excess = dt * (fastest + pull * math.sqrt(dt)) - reach
        if excess <= 1e-12 * reach:
            break
        dt -= excess / (fastest + 1.5 * pull * math.sqrt(dt))
    return dt


@compiled
def _pour(state, spare, forcing, before, dt, account):
    """Add the inflows, and rain by cell, of one step; they bring no momentum."""
    h, u, v = state
    rows, columns = forcing.rows, forcing.columns
    by_cell = forcing.field.size > 1
    if by_cell:
        spare[:] = h
    for k in range(before.size):
        before[k] = h[rows[k], columns[k]]
    add_sources(h, forcing, dt, account)
    if by_cell:
        for r in range(1, h.shape[0] - 1):
            for c in range(1, h.shape[1] - 1):
                if h[r, c] > spare[r, c]:
                    part = spare[r, c] / h[r, c]
                    u[r, c] *= part
                    v[r, c] *= part
    else:
        for k in range(before.size):
            r, c = rows[k], columns[k]
            if h[r, c] > before[k]:
                part = h.dtype.type(before[k]) / h[r, c]
                u[r, c] *= part
                v[r, c] *= part


@compiled
def advance_finite_volume(
    ground, state, other, work, forcing, scheme, rain_m_per_s, cells, start, end, steps, account
):
    """Advance the state in place until ``end`` (hit exactly), at most ``steps`` steps.

    Args:
        ground: ``(z, a, peak)``, bordered; ``a`` holds n sqrt(g) / 2 and may be one row.
        state: ``(h, u, v)``, bordered.
        other: A second such state, for the first stage.
        work: `ROWS` rows ``[nx + 2]`` to work in, zeros at first.
        forcing: Point inflows, rain by cell and held levels.
        scheme: The fixed numbers.
        rain_m_per_s: Rain on every cell that is not a wall.
        cells: Number of cells that are not walls.
        start: Time now, s.
        end: Time not to pass, s.
        steps: Largest number of steps to take.
        account: Added to, as by `kernel.advance`.

    Returns:
        Time reached (s) and steps taken.
    """
    h = state[0]
    strongest = rain_m_per_s + forcing.field.max()
    if forcing.rates.size:
        strongest += forcing.rates.max()
    tally, nothing = np.zeros(2, np.int64), np.zeros(0, np.int64)
    before = np.zeros(forcing.rates.size)
    now, taken = start, 0
    still = stage_constants(h, scheme, 0.0, 0.0, 0.0)
    while taken < steps and now < end:
        if forcing.stage_rows.size:
            hold_stages(h, forcing, now, account)
        highest, fastest = _fastest(state, work, still)
        dt = _stable_step(fastest, strongest, scheme)
        left = end - now
        last = dt >= left
        if last:
            dt = left
        elif 2.0 * dt > left:
            dt = 0.5 * left
        if not now + dt > now:
            break
        _pour(state, other[0], forcing, before, dt, account)
        owed = max(account[8] + rain_m_per_s * dt, 0.0)
        fallen = owed if last else _addable(owed, max(highest, owed), scheme.epsilon)
        first, second = (
            stage_constants(h, scheme, dt, 0.0, 0.0),
            stage_constants(h, scheme, dt, fallen, 0.5),
        )
        account[0] += np.float64(second.rain) * cells
        account[8] = owed - np.float64(second.rain)
        taken += 1
        counted = tally if last or taken == steps else nothing
        source, target, stage = state, other, first
        for k in range(2):
            _sweep(ground, source, target, work, scheme, stage, k == 1, account, counted)
            source, target, stage = other, state, second
        now = end if last else now + dt
    account[6] += tally[0]
    account[7] += tally[1]
    return now, taken


@compiled
def track_finite_volume(state, peak, hours, arrival_depth_m, velocity, hazard, arrival):
    """Update the running maxima of velocity (m/s) and hazard (m2/s), and the arrival time (h)."""
    h, u, v = state
    time, threshold = h.dtype.type(hours), h.dtype.type(arrival_depth_m)
    for r in range(velocity.shape[0]):
        for j in range(velocity.shape[1]):
            x, y = u[r + 1, j + 1], v[r + 1, j + 1]
            speed = np.sqrt(x * x + y * y)
            velocity[r, j] = max(velocity[r, j], speed)
            hazard[r, j] = max(hazard[r, j], speed * h[r + 1, j + 1])
            if peak[r + 1, j + 1] > threshold:
                arrival[r, j] = min(arrival[r, j], time)
