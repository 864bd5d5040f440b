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

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import Field

from assay.core.component import component
from assay.core.task import task
from assay.errors import DataError
from assay.systems.climate_impact import hllc, kernel
from assay.systems.climate_impact.forcing import Series, Soil
from assay.systems.climate_impact.inundation import (
    FloodMaps,
    Hours,
    driven,
    maps_of,
)
from assay.systems.climate_impact.rain import Hyetograph, RainField
from assay.systems.climate_impact.rasters import Roughness, Terrain
from assay.systems.climate_impact.simulation import (
    Boundaries,
    Flow,
    Problem,
    Progress,
    Rates,
    Side,
    Times,
    march,
    prepare,
)
from assay.systems.climate_impact.solver import TRACK_STEPS
from assay.systems.climate_impact.water import Inflow, SideName, Stage

__all__ = ["ShallowFlow", "shallow_water", "simulate_shallow_water"]


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
    rain_times_s: Times = (),
    rain_mm_per_h: Rates = (),
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
    on_progress: Progress | None = None,
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
    problem = prepare(
        bed_m, manning, cell_m=cell_m, end_s=end_s, rain_times_s=rain_times_s,
        rain_mm_per_h=rain_mm_per_h, boundaries=boundaries, normal_slope=normal_slope,
        depth_m=depth_m, theta=1.0, cfl=cfl, dt_max_s=dt_max_s, dry_depth_m=dry_depth_m,
        arrival_depth_m=arrival_depth_m, precision=precision, inflow=inflow, stage=stage, soil=soil,
    )  # fmt: skip
    scheme, bed, friction, peak = problem.scheme, *(problem.state[k] for k in (0, 4, 5))
    state = _moving(problem, velocity_m_per_s)
    _open_borders(bed, scheme)
    depth = state[0]
    other = tuple(np.zeros_like(depth) for _ in range(3))
    work = np.zeros((hllc.ROWS, depth.shape[1]), depth.dtype)

    def advance(now: float, end: float, rain: float, account: np.ndarray) -> tuple[float, int]:
        return hllc.advance_finite_volume(
            (bed, friction, peak), state, other, work, problem.forcing, scheme, rain,
            problem.cells, now, end, TRACK_STEPS, account,
        )  # fmt: skip

    def look(hours: float, *maps: np.ndarray) -> None:
        hllc.track_finite_volume(state, peak, hours, arrival_depth_m, *maps)

    flow = march(problem, advance, look, name="shallow water solver", on_progress=on_progress)
    momenta = (
        np.where(problem.terrain, (depth * speed)[1:-1, 1:-1], depth.dtype.type(np.nan))
        for speed in state[1:]
    )
    return ShallowFlow(flow, *momenta)


def _moving(problem: Problem, velocity_m_per_s: tuple[Any, Any]) -> tuple[np.ndarray, ...]:
    """Depth and velocities, bordered; the flow arrays of the other solver hold the velocities."""
    h, u, v = problem.state[1:4]
    terrain = problem.terrain
    for target, given in zip((u, v), velocity_m_per_s, strict=True):
        field = np.asarray(given, np.float64)
        if field.ndim and field.shape != terrain.shape:
            raise DataError(
                f"shape {field.shape}", where="velocity_m_per_s",
                accepted=f"one number or {terrain.shape}",
            )  # fmt: skip
        wet = terrain & (h[1:-1, 1:-1] > problem.scheme.dry_depth_m)
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
