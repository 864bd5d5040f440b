"""Rain on grid to flood maps: the local-inertial solver.

Notable in this file: `simulate`, a pure function from terrain, roughness and rain to maximum depth,
velocity, hazard and arrival time; `simulation` holds what it shares with the other solver.

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

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from assay.systems.climate_impact import kernel
from assay.systems.climate_impact.forcing import Series, Soil
from assay.systems.climate_impact.simulation import (
    Boundaries,
    Flow,
    Ledger,
    Progress,
    Rates,
    Side,
    Times,
    march,
    prepare,
)
from assay.systems.climate_impact.tracking import track

__all__ = ["TRACK_STEPS", "Boundaries", "Flow", "Ledger", "Side", "simulate"]

TRACK_STEPS = 8


def simulate(
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
    theta: float = 0.9,
    cfl: float = 0.5,
    dt_max_s: float = 5.0,
    dry_depth_m: float = 1e-4,
    arrival_depth_m: float = 0.1,
    precision: Literal["float64", "float32"] = "float64",
    inflow: Sequence[tuple[int, int, float | Series]] = (),
    stage: Mapping[str, Series] | None = None,
    soil: Soil | None = None,
    on_progress: Progress | None = None,
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
    problem = prepare(
        bed_m, manning, cell_m=cell_m, end_s=end_s, rain_times_s=rain_times_s,
        rain_mm_per_h=rain_mm_per_h, boundaries=boundaries, normal_slope=normal_slope,
        depth_m=depth_m, theta=theta, cfl=cfl, dt_max_s=dt_max_s, dry_depth_m=dry_depth_m,
        arrival_depth_m=arrival_depth_m, precision=precision, inflow=inflow, stage=stage, soil=soil,
    )  # fmt: skip
    state, scheme, depth = problem.state, problem.scheme, problem.state[1]
    rows = tuple(np.full(depth.shape[1], k in (3, 4), depth.dtype) for k in range(6))
    highest = float(depth.max())

    def advance(now: float, end: float, rain: float, account: np.ndarray) -> tuple[float, int]:
        nonlocal highest
        now, taken, highest = kernel.advance(
            state, rows, problem.forcing, scheme, rain, problem.cells, now, end, highest,
            TRACK_STEPS, account,
        )  # fmt: skip
        return now, taken

    def look(hours: float, *maps: np.ndarray) -> None:
        track(state, rows, scheme, hours, arrival_depth_m, *maps)

    return march(problem, advance, look, name="flood solver", on_progress=on_progress)
