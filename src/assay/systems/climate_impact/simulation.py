"""What both flood solvers share: checked inputs, the loop over time, the volume ledger, the maps.

Notable in this file: `prepare` turns what a user gives into the arrays that kernels want, and
`march` takes any solver's steps through spans of constant rain, with a `Ledger` in which every
litre is accounted for by side.
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

__all__ = [
    "Boundaries",
    "Flow",
    "Ledger",
    "Problem",
    "Progress",
    "Rates",
    "Side",
    "Times",
    "march",
    "prepare",
]

Side = Literal["closed", "free", "normal_depth"]
Precision = Literal["float64", "float32"]
Progress = Callable[[float, float], None]
Times = Sequence[float] | Float[np.ndarray, " times"]
Rates = Sequence[float] | Float[np.ndarray, " rates"] | Float[np.ndarray, "t y x"]

THINNEST_M = 1e-9  # the friction of thinner films overflows float32
SECONDS_PER_HOUR = 3600.0

_KINDS = {"closed": kernel.CLOSED, "free": kernel.FREE, "normal_depth": kernel.NORMAL_DEPTH}
_PRECISIONS = ("float64", "float32")


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


class Problem(NamedTuple):
    """A simulation before its first step.

    Attributes:
        state: Bordered arrays of the kernels: bed z, depth h, flow to the east and to the south,
            friction a, and the largest depth so far.
        terrain: Cells that are terrain ``[y, x]``.
        cells: How many they are.
        scheme: What stays fixed over the simulation.
        spans: Its parts of constant rain and inflow.
        forcing: What enters.
        soil: K (m/s), psi dtheta (m) and what has seeped in (m), bordered; None where it is sealed.
        arrival_depth_m: Depth at which the flood has arrived.
    """

    state: tuple[np.ndarray, ...]
    terrain: np.ndarray
    cells: int
    scheme: kernel.Scheme
    spans: list[Interval]
    forcing: Forcing
    soil: tuple[np.ndarray, ...] | None
    arrival_depth_m: float


# -- before the first step ----------------------------------------------------------------------


def prepare(
    bed_m: Float[np.ndarray, "y x"],
    manning: float | Float[np.ndarray, "y x"],
    *,
    cell_m: float,
    end_s: float,
    rain_times_s: Times,
    rain_mm_per_h: Rates,
    boundaries: Boundaries | Mapping[str, Side],
    normal_slope: float,
    depth_m: float | Float[np.ndarray, "y x"],
    theta: float,
    cfl: float,
    dt_max_s: float,
    dry_depth_m: float,
    arrival_depth_m: float,
    precision: Precision,
    inflow: Sequence[tuple[int, int, float | Series]],
    stage: Mapping[str, Series] | None,
    soil: Soil | None,
) -> Problem:
    """Check the arguments of a simulation and lay out its arrays; see `solver.simulate`.

    Raises:
        DataError: An array has the wrong shape, infinite or negative values, or no terrain.
        ParameterError: A parameter is out of range.
    """
    if precision not in _PRECISIONS:
        raise ParameterError(f"got {precision!r}", where="precision", accepted=str(_PRECISIONS))
    state, terrain = _state(bed_m, manning, depth_m, np.dtype(precision))
    scheme = _scheme(
        boundaries, cell_m=cell_m, cfl=cfl, dt_max_s=dt_max_s, theta=theta,
        dry_depth_m=dry_depth_m, normal_slope=normal_slope, epsilon=float(np.finfo(precision).eps),
    )  # fmt: skip
    _check_number("end_s", end_s, low=0.0)
    _check_number("arrival_depth_m", arrival_depth_m, low=0.0)
    spans = schedule(
        rain_times_s, rain_mm_per_h, inflow, cell_m=cell_m, end_s=end_s, shape=terrain.shape
    )
    forcing = forcing_of(
        _sources(inflow, terrain), state[0], terrain, lowest_m=float(np.nanmin(bed_m)),
        field=np.ndim(rain_mm_per_h) == 3, stage=stage,
    )  # fmt: skip
    drinks = None if soil is None else _soil(soil, terrain)
    return Problem(
        state, terrain, int(terrain.sum()), scheme, spans, forcing, drinks, arrival_depth_m
    )


def _state(
    bed_m: np.ndarray, manning: Any, depth_m: Any, dtype: np.dtype
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """The bordered arrays of the kernels, and the cells that are terrain."""
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
    return state, terrain


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
    inflow: Sequence[tuple[int, int, float | Series]], terrain: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Rows and columns (bordered), rates and debts of the point inflows, the rates still 0."""
    ny, nx = terrain.shape
    for row, column, _ in inflow:
        if not (0 <= row < ny and 0 <= column < nx and terrain[row, column]):
            raise ParameterError(
                f"({row}, {column}) is not a cell with terrain", where="inflow",
                accepted=f"rows below {ny}, columns below {nx}",
            )  # fmt: skip
    cells = np.array([entry[:2] for entry in inflow], np.int64).reshape(-1, 2) + 1
    rows, columns = np.ascontiguousarray(cells.T)
    return rows, columns, np.zeros(len(inflow)), np.zeros(len(inflow))


def _soil(soil: Soil, terrain: np.ndarray) -> tuple[np.ndarray, ...]:
    """K (m/s), psi dtheta (m) and what has seeped in (m), bordered."""
    shape = terrain.shape
    fields = [
        np.broadcast_to(_field(n, v, shape, terrain), shape) for n, v in soil._asdict().items()
    ]
    conductivity, suction, deficit = fields
    if (deficit[terrain] > 1).any():
        raise DataError("more than 1", where="moisture_deficit", accepted="0 to 1")
    dry = np.zeros((shape[0] + 2, shape[1] + 2))
    speed, store = dry.copy(), dry.copy()
    speed[1:-1, 1:-1] = np.where(terrain, conductivity, 0.0) * MM_PER_H
    store[1:-1, 1:-1] = np.where(terrain, suction * deficit, 0.0) * 1e-3
    return speed, store, dry


# -- the loop over time -------------------------------------------------------------------------


def march(
    problem: Problem,
    advance: Callable[[float, float, float, np.ndarray], tuple[float, int]],
    look: Callable[[float, np.ndarray, np.ndarray, np.ndarray], None],
    *,
    name: str,
    on_progress: Progress | None,
) -> Flow:
    """Take a solver through a problem.

    Args:
        problem: What to simulate; its arrays are changed.
        advance: Takes some steps from one time (s) towards another under rain that is everywhere
            alike (m/s), adds to the account (see `kernel.advance`), and returns the time reached
            and the number of steps.
        look: Called now and then with the time (h) to keep the largest speed and hazard and the
            hours of arrival, each ``[y, x]``.
        name: Of the solver, for messages.
        on_progress: See `solver.simulate`.

    Raises:
        SimulationError: If the depths become non-finite.
    """
    terrain, forcing, depth = problem.terrain, problem.forcing, problem.state[1]
    inside = depth[1:-1, 1:-1]
    velocity, hazard = np.zeros(terrain.shape, depth.dtype), np.zeros(terrain.shape, depth.dtype)
    arrival = np.full(terrain.shape, np.inf, depth.dtype)
    account = np.zeros(kernel.ACCOUNTS)
    stored_start = float(inside.sum(dtype=np.float64))
    steps, reported, total = 0, 0.0, problem.spans[-1].end_s
    look(0.0, velocity, hazard, arrival)
    if on_progress:
        on_progress(0.0, total)
    for span in problem.spans:
        now, rate = span.start_s, span.rain
        forcing.rates[:] = span.inflow
        if np.ndim(rate):
            forcing.field[1:-1, 1:-1], rate = np.where(terrain, rate, 0.0), 0.0
        while now < span.end_s:
            began = now
            now, taken = advance(now, span.end_s, rate, account)
            steps += taken
            if problem.soil is not None:
                infiltrate(depth, problem.soil, now - began, account)
            if not taken or not math.isfinite(float(inside.sum(dtype=np.float64))):
                raise SimulationError(
                    f"the depths are no longer finite at {now:.6g} s of simulated time",
                    where=name,
                    next=f"Lower cfl (now {problem.scheme.cfl:g}) and check bed, rain and inflow.",
                )
            look(now / SECONDS_PER_HOUR, velocity, hazard, arrival)
            if on_progress and (now - reported >= 0.01 * total or now >= total):
                on_progress(now, total)
                reported = now
    arrival[np.isinf(arrival)] = np.nan
    peak = problem.state[5][1:-1, 1:-1]
    unknown = depth.dtype.type(np.nan)
    return Flow(
        *(np.where(terrain, m, unknown) for m in (peak, velocity, hazard, arrival, inside)),
        ledger=_ledger(
            account, stored_start, float(inside.sum(dtype=np.float64)), problem.scheme.cell_m
        ),
        steps=steps,
        cell_updates=steps * problem.cells,
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
