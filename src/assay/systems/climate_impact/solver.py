"""Rain on grid to flood maps: the time loop, boundaries and volume ledger around the kernels.

Notable in this file: `simulate`, a pure function from terrain, roughness and rain to maximum depth,
velocity, hazard and arrival time, with a `Ledger` in which every litre is accounted for by side.

The equations are the local-inertial shallow water equations (Bates et al. 2010, eq. 11) with the
q-centred weighting of de Almeida et al. 2012, in proportion to each face's Courant number, and
friction implicit in the new flow (`kernel` says why for both). What to expect of them:

* No advection: a dam break runs about 6 % too deep in its middle state, and supercritical flow is
  capped at Froude 1.
* The depth of a face is that of its higher side, as published, so momentum is not conserved across
  a bore: however fine the grid, it runs 1 to 5 % too fast, less with a smaller ``cfl``.
* The weighting smears the flow along its axis with the diffusivity (1 - theta) dx sqrt(g h) /
  (2 cfl). Where a channel one cell wide turns it is a drag of (1 - theta) sqrt(g h) / (cfl dx) per
  second, beside friction's g n^2 q / h^(7/3): give a river of fine cells several across.
* ``max_depth_m`` is the maximum over every time step. ``max_velocity_m_per_s``,
  ``max_hazard_m2_per_s``, ``limited_share`` and the moment (not the fact) of arrival are sampled at
  every `TRACK_STEPS`-th step, at each change of rain and at the end.
* float32 halves the memory and doubles the speed. It carries seven digits: a flow that changes a
  depth by less than a ten-millionth is lost, which ``ledger.relative_error`` shows.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from assay.errors import DataError, ParameterError, SimulationError
from assay.systems.climate_impact import kernel
from assay.systems.climate_impact.forcing import (
    MM_PER_H,
    SIDES,
    Forcing,
    Interval,
    Series,
    Soil,
    forcing_of,
    infiltrate,
    schedule,
)
from assay.systems.climate_impact.tracking import track

__all__ = ["TRACK_STEPS", "Boundaries", "Flow", "Ledger", "Side", "simulate"]

Side = Literal["closed", "free", "normal_depth"]
TRACK_STEPS = 8
THINNEST_M = 1e-9  # the friction of thinner films overflows float32

_KINDS = {"closed": kernel.CLOSED, "free": kernel.FREE, "normal_depth": kernel.NORMAL_DEPTH}
_PRECISIONS = ("float64", "float32")
_SECONDS_PER_HOUR = 3600.0


class Boundaries(NamedTuple):
    """How water leaves through each side of the grid; nothing ever enters through one.

    ``closed`` is a wall; ``free`` keeps the velocity of the nearest inner face (zero gradient);
    ``normal_depth`` is Manning's uniform flow on the slope ``normal_slope``.
    """

    west: Side = "closed"
    east: Side = "closed"
    south: Side = "closed"
    north: Side = "closed"


class Ledger(NamedTuple):
    """Volumes in m3: start + rain + inflow + held - outflows - infiltrated + error = end.

    ``held_west_m3`` and its like are what the held level of a side let in, less what it took out.
    ``relative_error`` is relative to the rain, inflow and held levels, or to ``stored_start_m3``
    where nothing came in, and 0 where there never was water.
    """

    rain_m3: float
    inflow_m3: float
    outflow_west_m3: float
    outflow_east_m3: float
    outflow_south_m3: float
    outflow_north_m3: float
    stored_start_m3: float
    stored_end_m3: float
    error_m3: float
    relative_error: float
    infiltrated_m3: float = 0.0
    held_west_m3: float = 0.0
    held_east_m3: float = 0.0
    held_south_m3: float = 0.0
    held_north_m3: float = 0.0


class Flow(NamedTuple):
    """The flood of one simulation; maps ``[y, x]`` in the working precision, NaN on NoData cells.

    ``cell_updates`` counts cells with terrain times steps. ``limited_share`` is the share of wet
    cell updates (sampled) whose outflow the limiter had to cut: above about 0.02 lower ``cfl``.
    """

    max_depth_m: Float[np.ndarray, "y x"]
    max_velocity_m_per_s: Float[np.ndarray, "y x"]
    max_hazard_m2_per_s: Float[np.ndarray, "y x"]
    arrival_time_h: Float[np.ndarray, "y x"]
    depth_m: Float[np.ndarray, "y x"]
    ledger: Ledger
    steps: int
    cell_updates: int
    limited_share: float


def simulate(
    bed_m: Float[np.ndarray, "y x"],
    manning: float | Float[np.ndarray, "y x"],
    *,
    cell_m: float,
    end_s: float,
    rain_times_s: Sequence[float] | Float[np.ndarray, " times"] = (),
    rain_mm_per_h: Sequence[float] | Float[np.ndarray, " rates"] | Float[np.ndarray, "t y x"] = (),
    boundaries: Boundaries | Mapping[str, Side] = Boundaries(),  # noqa: B008 - immutable
    normal_slope: float = 0.001,
    depth_m: float | Float[np.ndarray, "y x"] = 0.0,
    theta: float = 0.9,
    cfl: float = 0.5,
    dt_max_s: float = 5.0,
    dry_depth_m: float = 1e-4,
    arrival_depth_m: float = 0.1,
    precision: Literal["float64", "float32"] = "float64",
    inflow: Sequence[tuple[int, int, float | Series]] = (),
    stage: Mapping[str, Series] | None = None,
    soil: Soil | None = None,
    on_progress: Callable[[float, float], None] | None = None,
) -> Flow:
    """Simulate a flood from rain, point inflows or water at rest.

    Args:
        bed_m: Terrain ``[y, x]`` in m; row 0 is the north edge, column 0 the west edge; NaN cells
            are walls that neither hold nor receive water.
        manning: Manning's n in s m^(-1/3), > 0, one value or one per cell.
        cell_m: Cell size, m.
        end_s: Simulated time, s.
        rain_times_s: Increasing times in s: ``rain_mm_per_h[i]`` holds on ``[t[i], t[i+1])``.
            Either as many as rates (the last rate holds to the end) or one more (no rain after the
            last time). Every time is hit exactly by the time stepping.
        rain_mm_per_h: Rain rates in mm/h, >= 0, on every cell with terrain alike, or ``[t, y, x]``.
        boundaries: What each side does; see `Boundaries`.
        normal_slope: Bed slope beyond ``normal_depth`` sides.
        depth_m: Initial depth, m, one value or one per cell.
        theta: Weight of a face's own flow against its neighbours' at its stable step; 1 is Bates
            et al. 2010 and oscillates at low roughness, 0.8 to 0.9 does not.
        cfl: Courant number of sqrt(g h), in (0, 1]; 0.3 for a converged rising limb on steep
            terrain.
        dt_max_s: Longest time step, s.
        dry_depth_m: Faces with less flow depth carry nothing; > 1e-9 m.
        arrival_depth_m: Depth at which the flood has arrived.
        precision: Of the state; the ledger is always float64.
        inflow: Point sources as (row, column, m3/s); a rate may be a pair of times (s) and rates,
            read like those of the rain.
        stage: By side, times (s) and water levels (m) that its outermost cells are held at,
            linearly in between; leave that side closed.
        soil: Green-Ampt infiltration; what seeps in is gone.
        on_progress: Called with simulated seconds done and in total, about a hundred times, first
            with 0 done: the first call ever compiles the kernels, which takes seconds.

    Returns:
        The flood maps and the volume ledger.

    Raises:
        DataError: An array has the wrong shape, infinite or negative values, or no terrain.
        ParameterError: A parameter is out of range.
        SimulationError: The depths became non-finite.

    Example:
        >>> flow = simulate(np.zeros((4, 5)), 0.03, cell_m=10.0, end_s=1800.0,
        ...                 rain_times_s=[0.0], rain_mm_per_h=[20.0])
        >>> bool(np.allclose(flow.depth_m, 0.01))
        True
        >>> round(flow.ledger.rain_m3, 6), abs(flow.ledger.relative_error) < 1e-12
        (20.0, True)
    """
    if precision not in _PRECISIONS:
        raise ParameterError(f"got {precision!r}", where="precision", accepted=str(_PRECISIONS))
    grid = _grid(bed_m, manning, depth_m, np.dtype(precision))
    scheme = _scheme(
        boundaries, cell_m=cell_m, cfl=cfl, dt_max_s=dt_max_s, theta=theta,
        dry_depth_m=dry_depth_m, normal_slope=normal_slope, epsilon=float(np.finfo(precision).eps),
    )  # fmt: skip
    _check_number("end_s", end_s, low=0.0)
    _check_number("arrival_depth_m", arrival_depth_m, low=0.0)
    spans = schedule(
        rain_times_s, rain_mm_per_h, inflow, cell_m=cell_m, end_s=end_s, shape=grid.terrain.shape
    )
    forcing = forcing_of(
        _sources(inflow, grid), grid.state[0], grid.terrain, lowest_m=float(np.nanmin(bed_m)),
        field=np.ndim(rain_mm_per_h) == 3, stage=stage,
    )  # fmt: skip
    drinks = None if soil is None else _soil(soil, grid)
    return _run(grid, scheme, spans, forcing, drinks, arrival_depth_m, on_progress)


class _Grid(NamedTuple):
    """The bordered state of the kernels, their work rows and the cells that are terrain."""

    state: tuple[np.ndarray, ...]  # z, h, qx, qy, a, peak
    rows: tuple[np.ndarray, ...]  # as `kernel.advance` wants them
    terrain: np.ndarray  # bool [y, x]
    cells: int


def _run(
    grid: _Grid,
    scheme: kernel.Scheme,
    spans: list[Interval],
    forcing: Forcing,
    soil: tuple[np.ndarray, ...] | None,
    arrival_depth_m: float,
    on_progress: Callable[[float, float], None] | None,
) -> Flow:
    state, rows, shape = grid.state, grid.rows, grid.terrain.shape
    depth = state[1]
    velocity, hazard = np.zeros(shape, depth.dtype), np.zeros(shape, depth.dtype)
    arrival = np.full(shape, np.inf, depth.dtype)
    account = np.zeros(kernel.ACCOUNTS)
    stored_start = float(depth.sum(dtype=np.float64))
    highest, steps, reported = float(depth.max()), 0, 0.0
    track(state, rows, scheme, 0.0, arrival_depth_m, velocity, hazard, arrival)
    total = spans[-1].end_s
    if on_progress:
        on_progress(0.0, total)
    for span in spans:
        now, end, rate = span.start_s, span.end_s, span.rain
        forcing.rates[:] = span.inflow
        if np.ndim(rate):
            forcing.field[1:-1, 1:-1], rate = np.where(grid.terrain, rate, 0.0), 0.0
        while now < end:
            began = now
            now, taken, highest = kernel.advance(
                state, rows, forcing, scheme, rate, grid.cells, now, end, highest,
                TRACK_STEPS, account,
            )  # fmt: skip
            steps += taken
            if soil is not None:
                infiltrate(depth, soil, now - began, account)
            if not taken or not math.isfinite(float(depth.sum(dtype=np.float64))):
                raise SimulationError(
                    f"the depths are no longer finite at {now:.6g} s of simulated time",
                    where="flood solver",
                    next=f"Lower cfl (now {scheme.cfl:g}) and check bed, rain and inflow.",
                )
            hours = now / _SECONDS_PER_HOUR
            track(state, rows, scheme, hours, arrival_depth_m, velocity, hazard, arrival)
            if on_progress and (now - reported >= 0.01 * total or now >= total):
                on_progress(now, total)
                reported = now
    ledger = _ledger(account, stored_start, float(depth.sum(dtype=np.float64)), scheme.cell_m)
    arrival[np.isinf(arrival)] = np.nan

    def masked(values: np.ndarray) -> np.ndarray:
        return np.where(grid.terrain, values, depth.dtype.type(np.nan))

    return Flow(
        max_depth_m=masked(state[5][1:-1, 1:-1]),
        max_velocity_m_per_s=masked(velocity),
        max_hazard_m2_per_s=masked(hazard),
        arrival_time_h=masked(arrival),
        depth_m=masked(depth[1:-1, 1:-1]),
        ledger=ledger,
        steps=steps,
        cell_updates=steps * grid.cells,
        limited_share=float(account[6] / account[7]) if account[7] else 0.0,
    )


def _ledger(account: np.ndarray, start: float, end: float, cell_m: float) -> Ledger:
    """Turn metres over one cell into m3 and close the balance."""
    area = cell_m * cell_m
    rain, inflow, west, east, south, north = (float(v) for v in account[:6])
    soil, *held = (float(v) for v in account[9:])
    error = math.fsum(
        (end, -start, -rain, -inflow, west, east, south, north, soil, *(-v for v in held))
    )
    reference = rain + inflow + sum(map(abs, held)) or start
    return Ledger(
        rain_m3=rain * area,
        inflow_m3=inflow * area,
        outflow_west_m3=west * area,
        outflow_east_m3=east * area,
        outflow_south_m3=south * area,
        outflow_north_m3=north * area,
        stored_start_m3=start * area,
        stored_end_m3=end * area,
        error_m3=error * area,
        relative_error=error / reference if reference else 0.0,
        infiltrated_m3=soil * area,
        **{f"held_{side}_m3": value * area for side, value in zip(SIDES, held, strict=True)},
    )


def _grid(bed_m: np.ndarray, manning: Any, depth_m: Any, dtype: np.dtype) -> _Grid:
    bed = np.asarray(bed_m, np.float64)
    if bed.ndim != 2 or not bed.size:
        raise DataError(f"the bed has shape {bed.shape}", where="bed_m", accepted="[y, x]")
    terrain = ~np.isnan(bed)
    if not terrain.any():
        raise DataError("every cell is NoData", where="bed_m", accepted="at least one elevation")
    roughness = _field("manning", manning, bed.shape, terrain)
    water = _field("depth_m", depth_m, bed.shape, terrain)
    if np.isinf(bed).any():
        raise DataError("infinite elevations", where="bed_m", accepted="metres, NaN for NoData")
    if not (roughness[terrain] > 0 if roughness.size > 1 else roughness > 0).all():
        raise DataError("Manning's n <= 0", where="manning", accepted="n > 0, such as 0.03")
    # Elevations above the lowest: float32 resolves a centimetre at 100 km, but 0.1 mm only at 1 km.
    z = np.full((bed.shape[0] + 2, bed.shape[1] + 2), kernel.WALL, dtype)
    z[1:-1, 1:-1] = np.where(terrain, bed - bed[terrain].min(), kernel.WALL)
    h = np.zeros_like(z)
    h[1:-1, 1:-1] = np.where(terrain, water, 0.0)
    a = 0.5 * math.sqrt(kernel.GRAVITY) * roughness
    if a.size == 1:
        a = np.full((1, z.shape[1]), a.item(), dtype)
    else:
        a = np.pad(np.where(terrain, a, 0.0), 1, mode="edge").astype(dtype)
    state = (z, h, np.zeros_like(z), np.zeros_like(z), a, h.copy())
    rows = tuple(np.full(z.shape[1], k in (3, 4), dtype) for k in range(6))
    return _Grid(state, rows, terrain, int(terrain.sum()))


def _field(name: str, values: Any, shape: tuple[int, ...], terrain: np.ndarray) -> np.ndarray:
    """Check one number or one per cell: finite and not negative wherever there is terrain."""
    field = np.asarray(values, np.float64)
    if field.ndim and field.shape != shape:
        raise DataError(f"shape {field.shape}", where=name, accepted=f"one number or {shape}")
    inside = field[terrain] if field.ndim else field
    if not (np.isfinite(inside) & (inside >= 0)).all():
        raise DataError("negative or non-finite values", where=name, accepted="numbers >= 0")
    return field


def _scheme(boundaries: Boundaries | Mapping[str, Side], **numbers: float) -> kernel.Scheme:
    _check_number("cell_m", numbers["cell_m"], low=0.0)
    _check_number("cfl", numbers["cfl"], low=0.0, high=1.0)
    _check_number("dt_max_s", numbers["dt_max_s"], low=0.0)
    _check_number("theta", numbers["theta"], low=0.0, high=1.0)
    _check_number("dry_depth_m", numbers["dry_depth_m"], low=THINNEST_M)
    _check_number("normal_slope", numbers["normal_slope"], low=0.0)
    sides = boundaries if isinstance(boundaries, Mapping) else boundaries._asdict()
    if unknown := sorted(set(sides) - set(Boundaries._fields)):
        raise ParameterError(
            f"no such side: {unknown[0]!r}", where="boundaries", accepted=str(Boundaries._fields)
        )
    kinds = {}
    for side, kind in {**Boundaries()._asdict(), **sides}.items():
        if kind not in _KINDS:
            raise ParameterError(f"no such boundary: {kind!r}", where=side, accepted=str([*_KINDS]))
        kinds[side] = _KINDS[kind]
    return kernel.Scheme(**{name: float(value) for name, value in numbers.items()}, **kinds)


def _check_number(name: str, value: float, *, low: float, high: float = math.inf) -> None:
    if not (math.isfinite(value) and low < value <= high):
        limit = f" and <= {high:g}" if math.isfinite(high) else ""
        raise ParameterError(f"got {value!r}", where=name, accepted=f"a number > {low:g}{limit}")


def _sources(
    inflow: Sequence[tuple[int, int, float | Series]], grid: _Grid
) -> tuple[np.ndarray, ...]:
    """Rows and columns (bordered), rates and debts of the point inflows, the rates still 0."""
    ny, nx = grid.terrain.shape
    for row, column, _ in inflow:
        if not (0 <= row < ny and 0 <= column < nx and grid.terrain[row, column]):
            raise ParameterError(
                f"({row}, {column}) is not a cell with terrain", where="inflow",
                accepted=f"rows below {ny}, columns below {nx}",
            )  # fmt: skip
    cells = np.array([entry[:2] for entry in inflow], np.int64).reshape(-1, 2) + 1
    rows, columns = np.ascontiguousarray(cells.T)
    return rows, columns, np.zeros(len(inflow)), np.zeros(len(inflow))


def _soil(soil: Soil, grid: _Grid) -> tuple[np.ndarray, ...]:
    """K (m/s), psi dtheta (m) and what has seeped in (m), bordered."""
    shape, terrain = grid.terrain.shape, grid.terrain
    fields = [
        np.broadcast_to(_field(n, v, shape, terrain), shape) for n, v in soil._asdict().items()
    ]
    conductivity, suction, deficit = fields
    if (deficit[terrain] > 1).any():
        raise DataError("more than 1", where="moisture_deficit", accepted="0 to 1")
    dry = np.zeros_like(grid.state[1], np.float64)
    speed, store = dry.copy(), dry.copy()
    speed[1:-1, 1:-1] = np.where(terrain, conductivity, 0.0) * MM_PER_H
    store[1:-1, 1:-1] = np.where(terrain, suction * deficit, 0.0) * 1e-3
    return speed, store, dry
