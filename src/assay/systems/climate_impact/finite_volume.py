"""The second flood solver: full shallow water equations behind the ports of `inundation`.

Notable in this file: `simulate_shallow_water`, the counterpart of `solver.simulate`, and the
component `shallow_water`, which stands wherever `inundation` does.

What to expect of it (`hllc` holds the scheme):

* Advection is there: bores, supercritical flow and momentum over a bump are right, and a dam break
  has Stoker's middle depth. It costs several times as much per cell as the local-inertial solver,
  and its time step counts the speed of the water too.
* Second order where the water is smooth, first order beside dry cells, walls and at bores.
* Rain and inflows bring no momentum.
* A cell shallower than ``dry_depth_m`` keeps its water and has no velocity.
* ``free`` sides let water out with its own velocity, ``normal_depth`` sides with that of Manning's
  uniform flow, at most critical unless the water comes faster; nothing enters.
* Maxima of velocity and hazard are those of cells, sampled like those of `solver`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import Field

from assay.core.component import component
from assay.core.task import task
from assay.errors import DataError, ParameterError, SimulationError
from assay.systems.climate_impact import hllc, kernel, solver
from assay.systems.climate_impact.forcing import (
    Forcing,
    Interval,
    Series,
    Soil,
    forcing_of,
    infiltrate,
    schedule,
)
from assay.systems.climate_impact.inundation import (
    FloodMaps,
    Hours,
    driven,
    maps_of,
)
from assay.systems.climate_impact.rain import Hyetograph, RainField
from assay.systems.climate_impact.rasters import Roughness, Terrain
from assay.systems.climate_impact.solver import TRACK_STEPS, Boundaries, Flow, Side
from assay.systems.climate_impact.water import Inflow, SideName, Stage

__all__ = ["ShallowFlow", "shallow_water", "simulate_shallow_water"]

_PRECISIONS = ("float64", "float32")


class ShallowFlow(NamedTuple):
    """A flood with its momentum at the end, ``[y, x]`` in m2/s, NaN on NoData cells.

    ``qx_m2_per_s`` points to the east, ``qy_m2_per_s`` to the south, as rows do.
    """

    flow: Flow
    qx_m2_per_s: Float[np.ndarray, "y x"]
    qy_m2_per_s: Float[np.ndarray, "y x"]


def simulate_shallow_water(
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
    velocity_m_per_s: tuple[float | Float[np.ndarray, "y x"], float | Float[np.ndarray, "y x"]] = (
        0.0,
        0.0,
    ),
    cfl: float = 0.5,
    dt_max_s: float = 5.0,
    dry_depth_m: float = 1e-4,
    arrival_depth_m: float = 0.1,
    precision: Literal["float64", "float32"] = "float64",
    inflow: Sequence[tuple[int, int, float | Series]] = (),
    stage: Mapping[str, Series] | None = None,
    soil: Soil | None = None,
    on_progress: Callable[[float, float], None] | None = None,
) -> ShallowFlow:
    """Simulate a flood with the full shallow water equations.

    Args:
        bed_m: Terrain ``[y, x]`` in m; row 0 is the north edge, column 0 the west edge; NaN cells
            are walls.
        manning: Manning's n in s m^(-1/3), > 0, one value or one per cell.
        cell_m: Cell size, m.
        end_s: Simulated time, s.
        rain_times_s: Times in s, read as by `solver.simulate`.
        rain_mm_per_h: Rain rates in mm/h, on every cell alike or ``[t, y, x]``.
        boundaries: What each side does; see `Boundaries`.
        normal_slope: Bed slope beyond ``normal_depth`` sides.
        depth_m: Initial depth, m, one value or one per cell.
        velocity_m_per_s: Initial velocities to the east and to the south, m/s, each one value or
            one per cell; those of dry cells are dropped.
        cfl: Courant number of max(|u|, |v|) + sqrt(g h), in (0, 1]; above 0.5 only flow along one
            axis is stable.
        dt_max_s: Longest time step, s.
        dry_depth_m: Shallower cells do not move; > 1e-9 m.
        arrival_depth_m: Depth at which the flood has arrived.
        precision: Of the state; the ledger is always float64.
        inflow: Point sources as (row, column, m3/s); a rate may be a pair of times (s) and rates.
        stage: By side, times (s) and water levels (m) that its outermost cells are held at,
            linearly in between; leave that side closed.
        soil: Green-Ampt infiltration; what seeps in is gone.
        on_progress: Called with simulated seconds done and in total, about a hundred times, first
            with 0 done: the first call ever compiles the kernels, which takes half a minute.

    Returns:
        The flood maps, the volume ledger and the momentum at the end.

    Raises:
        DataError: An array has the wrong shape, infinite or negative values, or no terrain.
        ParameterError: A parameter is out of range.
        SimulationError: The depths became non-finite.

    Example:
        >>> made = simulate_shallow_water(np.zeros((4, 5)), 0.03, cell_m=10.0, end_s=1800.0,
        ...                               rain_times_s=[0.0], rain_mm_per_h=[20.0])
        >>> bool(np.allclose(made.flow.depth_m, 0.01))
        True
        >>> bool(made.qx_m2_per_s.any())
        False
    """
    if precision not in _PRECISIONS:
        raise ParameterError(f"got {precision!r}", where="precision", accepted=str(_PRECISIONS))
    grid = solver._grid(bed_m, manning, depth_m, np.dtype(precision))
    scheme = solver._scheme(
        boundaries, cell_m=cell_m, cfl=cfl, dt_max_s=dt_max_s, theta=1.0,
        dry_depth_m=dry_depth_m, normal_slope=normal_slope, epsilon=float(np.finfo(precision).eps),
    )  # fmt: skip
    solver._check_number("end_s", end_s, low=0.0)
    solver._check_number("arrival_depth_m", arrival_depth_m, low=0.0)
    spans = schedule(
        rain_times_s, rain_mm_per_h, inflow, cell_m=cell_m, end_s=end_s, shape=grid.terrain.shape
    )
    forcing = forcing_of(
        solver._sources(inflow, grid), grid.state[0], grid.terrain,
        lowest_m=float(np.nanmin(bed_m)), field=np.ndim(rain_mm_per_h) == 3, stage=stage,
    )  # fmt: skip
    state = _moving(grid, velocity_m_per_s, scheme.dry_depth_m)
    _open_borders(grid.state[0], scheme)
    drinks = None if soil is None else solver._soil(soil, grid)
    return _run(grid, state, scheme, spans, forcing, drinks, arrival_depth_m, on_progress)


def _moving(
    grid: solver._Grid, velocity_m_per_s: tuple[Any, Any], dry_depth_m: float
) -> tuple[np.ndarray, ...]:
    """Depth and velocities, bordered; the flow arrays of the other solver hold the velocities."""
    h, u, v = grid.state[1:4]
    for target, given in zip((u, v), velocity_m_per_s, strict=True):
        field = np.asarray(given, np.float64)
        if field.ndim and field.shape != grid.terrain.shape:
            raise DataError(
                f"shape {field.shape}", where="velocity_m_per_s",
                accepted=f"one number or {grid.terrain.shape}",
            )  # fmt: skip
        wet = grid.terrain & (h[1:-1, 1:-1] > dry_depth_m)
        if not np.isfinite(np.broadcast_to(field, wet.shape)[wet]).all():
            raise DataError("non-finite values", where="velocity_m_per_s", accepted="m/s")
        target[1:-1, 1:-1] = np.where(wet, field, 0.0)
    return h, u, v


def _open_borders(z: np.ndarray, scheme: kernel.Scheme) -> None:
    """Continue the bed beyond open sides, for the slopes of the outermost cells."""
    for view, kind in (
        (z.T, scheme.west), (z.T[::-1], scheme.east), (z, scheme.north), (z[::-1], scheme.south)
    ):  # fmt: skip
        if kind == kernel.CLOSED:
            continue
        edge, inner = view[1], view[min(2, len(view) - 2)]
        ground = edge < kernel.WALL
        fall = np.where(inner < kernel.WALL, inner - edge, 0.0)
        view[0] = np.where(ground, edge - fall, kernel.WALL)


def _run(
    grid: solver._Grid,
    state: tuple[np.ndarray, ...],
    scheme: kernel.Scheme,
    spans: list[Interval],
    forcing: Forcing,
    soil: tuple[np.ndarray, ...] | None,
    arrival_depth_m: float,
    on_progress: Callable[[float, float], None] | None,
) -> ShallowFlow:
    z, a, peak = grid.state[0], grid.state[4], grid.state[5]
    depth, shape = state[0], grid.terrain.shape
    inside = depth[1:-1, 1:-1]
    other = tuple(np.zeros_like(depth) for _ in range(3))
    work = np.zeros((hllc.ROWS, depth.shape[1]), depth.dtype)
    maxima = (np.zeros(shape, depth.dtype), np.zeros(shape, depth.dtype))
    arrival = np.full(shape, np.inf, depth.dtype)
    account = np.zeros(kernel.ACCOUNTS)
    stored_start = float(inside.sum(dtype=np.float64))
    steps, reported, total = 0, 0.0, spans[-1].end_s
    hllc.track_finite_volume(state, peak, 0.0, arrival_depth_m, *maxima, arrival)
    if on_progress:
        on_progress(0.0, total)
    for span in spans:
        now, rate = span.start_s, span.rain
        forcing.rates[:] = span.inflow
        if np.ndim(rate):
            forcing.field[1:-1, 1:-1], rate = np.where(grid.terrain, rate, 0.0), 0.0
        while now < span.end_s:
            began = now
            now, taken = hllc.advance_finite_volume(
                (z, a, peak), state, other, work, forcing, scheme, rate, grid.cells,
                now, span.end_s, TRACK_STEPS, account,
            )  # fmt: skip
            steps += taken
            if soil is not None:
                infiltrate(depth, soil, now - began, account)
            if not taken or not math.isfinite(float(inside.sum(dtype=np.float64))):
                raise SimulationError(
                    f"the depths are no longer finite at {now:.6g} s of simulated time",
                    where="shallow water solver",
                    next=f"Lower cfl (now {scheme.cfl:g}) and check bed, rain and inflow.",
                )
            hllc.track_finite_volume(state, peak, now / 3600.0, arrival_depth_m, *maxima, arrival)
            if on_progress and (now - reported >= 0.01 * total or now >= total):
                on_progress(now, total)
                reported = now
    ledger = solver._ledger(
        account, stored_start, float(inside.sum(dtype=np.float64)), scheme.cell_m
    )
    arrival[np.isinf(arrival)] = np.nan

    def masked(values: np.ndarray) -> np.ndarray:
        return np.where(grid.terrain, values, depth.dtype.type(np.nan))

    flow = Flow(
        max_depth_m=masked(peak[1:-1, 1:-1]),
        max_velocity_m_per_s=masked(maxima[0]),
        max_hazard_m2_per_s=masked(maxima[1]),
        arrival_time_h=masked(arrival),
        depth_m=masked(inside),
        ledger=ledger,
        steps=steps,
        cell_updates=steps * grid.cells,
        limited_share=float(account[6] / account[7]) if account[7] else 0.0,
    )
    momenta = (masked((depth * speed)[1:-1, 1:-1]) for speed in state[1:])
    return ShallowFlow(flow, *momenta)


@component(version="1", requires=("numba", "numpy"))
def shallow_water(
    terrain: Terrain,
    roughness: Roughness,
    rain: Hyetograph | RainField,
    soil: Soil | None = None,
    rivers: list[Inflow] | None = None,
    levels: list[Stage] | None = None,
    *,
    end_h: Hours = 12.0,
    boundary: Side | dict[SideName, Side] = "free",
    normal_slope: Annotated[float, Field(gt=0, le=1)] = 0.001,
    cfl: Annotated[float, Field(gt=0, le=0.5)] = 0.5,
    dt_max_s: Annotated[float, Field(gt=0, le=600)] = 5.0,
    precision: Literal["float32", "float64"] = "float64",
) -> FloodMaps:
    """Route the rain over the terrain with the full shallow water equations.

    A finite-volume scheme (HLLC, hydrostatic reconstruction) with the ports of `inundation`; see
    `finite_volume`.

    Args:
        terrain: Elevation on a projected grid; cells without data are walls.
        roughness: Manning coefficient on the same grid.
        rain: Rain on every cell alike, or on the terrain's grid.
        soil: Soil that drinks what stands on it; sealed ground if not given.
        rivers: What enters the map at points.
        levels: Water levels that sides are held at; such a side is closed otherwise.
        end_h: Simulated time (h).
        boundary: What happens at the four edges: closed, free or normal_depth, or one for each.
        normal_slope: Slope of the ground beyond edges of normal depth.
        cfl: Courant number of the adaptive step, which counts the speed of the water.
        dt_max_s: Longest time step (s); cells of 100 m can take 20.
        precision: Floating-point type of the state; the ledger is always float64.
    """
    context = task()
    flow = simulate_shallow_water(
        terrain.elevation_m,
        roughness.manning,
        **driven(terrain, rain, soil, rivers, levels, boundary=boundary),
        end_s=end_h * 3600.0,
        normal_slope=normal_slope,
        cfl=cfl,
        dt_max_s=dt_max_s,
        precision=precision,
        on_progress=lambda done, total: context.progress(done / 3600, total / 3600, "h"),
    ).flow
    context.event("solver", steps=flow.steps, cell_updates=flow.cell_updates)
    return maps_of(flow, terrain.grid, rain)
