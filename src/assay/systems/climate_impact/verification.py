"""Cases in which the flood solvers have to reproduce what is known, one component for all.

Notable in this file: what ``error`` means in each case.

| case | solvers | known | error |
|---|---|---|---|
| lake_at_rest | both | water at rest round dry islands stays so | largest change of depth (m) |
| mass_closure | both | volumes add up: rain, rough ground, open sides | of the ledger, relative |
| dam_break_inertial | inertial | its own Riemann problem | L1 |
| dam_break_wet | both | Stoker's | L1 |
| dam_break_dry | full | Ritter's | L1 |
| basin | full | Thacker's plane surface in a paraboloid, one period | L1 |
| constant_front | both | each its own front on dry ground | L1 |
| steady_flow | both | MacDonald's, each on its own bed | L1 |
| plane_runoff | both | kinematic wave | L1 of the runoff so far at 12 times |
| radial_spread | both | water spreads alike in all directions | L1 from the mean of its ring |
| depression | both | both pools end level with their sill and volume | level (m) |

L1 is the sum of |computed - exact| over the sum of |exact|. The last two are rebuilt from the
descriptions of tests 4 and 1 of the UK Environment Agency's benchmark; its data sets are not used.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float
from pydantic import Field

from assay.core.component import component
from assay.core.records import Records
from assay.errors import ParameterError
from assay.systems.climate_impact import exact
from assay.systems.climate_impact.finite_volume import simulate_shallow_water
from assay.systems.climate_impact.solver import Boundaries, Flow, simulate

__all__ = ["CASES", "EXACT", "PAIRS", "Comparison", "Verified", "verified_case"]

Case = Literal[
    "lake_at_rest", "mass_closure", "dam_break_inertial", "dam_break_wet", "dam_break_dry",
    "basin", "constant_front", "steady_flow", "plane_runoff", "radial_spread", "depression",
]  # fmt: skip
Solver = Literal["inertial", "full"]
CASES: tuple[str, ...] = get_args(Case)
EXACT = ("lake_at_rest", "mass_closure")
"""Cases whose error is rounding, or nothing at all."""
SMOOTH = 1e-7
"""Manning's n where the exact solution knows no friction."""
INLET = 5
"""Cells behind an inflow that are left out: it enters without momentum, or the weighting smears it
against the wall behind it."""
MOST_POINTS = 400


@dataclass(frozen=True)
class Comparison:
    """A profile as it should be and as it was computed; empty where the case has none.

    Attributes:
        x: Places or times.
        exact: What is known there.
        computed: What the solver gave.
        x_title: What ``x`` is, with its unit.
        y_title: What is compared, with its unit.
        note: Set-up and source, in a sentence or two.
    """

    x: Float[np.ndarray, " points"]
    exact: Float[np.ndarray, " points"]
    computed: Float[np.ndarray, " points"]
    x_title: str
    y_title: str
    note: str


class Verified(NamedTuple):
    """What came of one case.

    Attributes:
        comparison: The profile.
        records: ``error`` and ``mass_error`` (relative) with keys case and solver, in dam breaks
            onto wet ground ``middle_depth_error`` (relative, signed), for the constant front
            ``error_of_other_equations``: L1 from the solution of the other solver's equations.
    """

    comparison: Comparison
    records: Records


class _Outcome(NamedTuple):
    comparison: Comparison
    error: float
    mass_error: float
    more: dict[str, float] = {}  # noqa: RUF012 - never changed
    unit: str = "1"


@component(version="1", requires=("numba", "numpy", "scipy"))
def verified_case(
    *,
    case: Case,
    solver: Solver,
    refinement: Annotated[int, Field(ge=1, le=16)] = 1,
    scale: Annotated[int, Field(ge=1, le=16)] = 1,
) -> Verified:
    """Run one case with one solver and compare it with what is known.

    Args:
        case: The case; see the table of this module.
        solver: The local-inertial solver or that of the full equations.
        refinement: Cells per coarse cell and axis.
        scale: A further factor of the same kind, that a preset chooses.

    Raises:
        ParameterError: If the solution is not one of this solver's equations.
    """
    if (case, solver) not in PAIRS:
        raise ParameterError(
            f"{case!r} is no case of the {solver} solver", where="solver",
            accepted=", ".join(s for c, s in PAIRS if c == case),
        )  # fmt: skip
    made = _CASES[case](solver, refinement * scale)
    records = Records()
    records.add("error", made.error, made.unit, case=case, solver=solver)
    records.add("mass_error", made.mass_error, "1", case=case, solver=solver)
    for name, value in made.more.items():
        records.add(name, value, "1", case=case, solver=solver)
    return Verified(made.comparison, records)


def _flow(solver: str, bed: np.ndarray, manning: float, **options: Any) -> Flow:
    """One simulation with either solver; the full one alone takes initial velocities."""
    run: Callable[..., Any] = simulate if solver == "inertial" else simulate_shallow_water
    made = run(bed, manning, **options)
    return made if solver == "inertial" else made.flow


def _l1(computed: np.ndarray, known: np.ndarray) -> float:
    return float(np.abs(computed - known).sum() / np.abs(known).sum())


def _compared(
    x: np.ndarray, known: np.ndarray, computed: np.ndarray, x_title: str, y_title: str, note: str
) -> Comparison:
    """A comparison of no more points than a chart needs."""
    step = max(1, math.ceil(len(x) / MOST_POINTS))
    at, line, dots = (np.ascontiguousarray(v[::step], np.float64) for v in (x, known, computed))
    return Comparison(at, line, dots, x_title, y_title, note)


# -- exact statements ---------------------------------------------------------------------------


def _rough(rows: int, columns: int) -> np.ndarray:
    """White noise of 5 m in steps of 2^-8 m, so that level minus bed is exact."""
    noise = np.random.default_rng(0).random((rows, columns))
    return np.round(noise * 5.0 * 256) / 256


def _lake_at_rest(solver: str, factor: int) -> _Outcome:
    bed, level = _rough(24 * factor, 32 * factor), 3.0
    depth = np.maximum(level - bed, 0.0)
    flow = _flow(solver, bed, 0.03, cell_m=5.0, end_s=120.0, depth_m=depth)
    off = float(np.abs(flow.depth_m - depth).max())
    row = bed.shape[0] // 2
    comparison = _compared(
        5.0 * (np.arange(bed.shape[1]) + 0.5),
        np.maximum(level, bed[row]),
        bed[row] + flow.depth_m[row],
        "distance (m)",
        "level of water or ground (m)",
        "Water at rest over white noise of 5 m with dry islands, after 120 s; one row of cells.",
    )
    return _Outcome(comparison, off, flow.ledger.relative_error, unit="m")


def _mass_closure(solver: str, factor: int) -> _Outcome:
    flow = _flow(
        solver, _rough(24 * factor, 32 * factor), 0.03, cell_m=5.0, end_s=600.0,
        rain_times_s=[0.0, 300.0], rain_mm_per_h=[200.0], inflow=[(12, 16, 0.5)],
        boundaries=Boundaries("free", "normal_depth", "free", "normal_depth"),
    )  # fmt: skip
    nothing = np.zeros(0)
    comparison = Comparison(nothing, nothing, nothing, "", "", "")
    return _Outcome(comparison, abs(flow.ledger.relative_error), flow.ledger.relative_error)


# -- dam breaks ---------------------------------------------------------------------------------


def _dam_break(
    solver: str,
    factor: int,
    right_m: float,
    known: Callable[[np.ndarray], exact.Profile],
    note: str,
) -> _Outcome:
    time_s, count = 45.0, 200 * factor
    cell_m = 1200.0 / count
    x = (np.arange(count) + 0.5) * cell_m - 600.0
    depth = np.where(x < 0, 2.0, right_m)
    weighting = {"theta": 0.8} if solver == "inertial" else {}
    flow = _flow(
        solver, np.zeros((1, count)), SMOOTH, cell_m=cell_m, end_s=time_s, depth_m=depth[None],
        **weighting,
    )  # fmt: skip
    computed, profile = flow.depth_m[0], known(x / time_s).depth_m
    more = {}
    if right_m:
        middle = np.abs(x) < time_s  # between the waves
        more = {
            "middle_depth_error": float(np.median(computed[middle]) / profile[middle].mean() - 1)
        }
    comparison = _compared(x, profile, computed, "distance from the dam (m)", "depth (m)", note)
    return _Outcome(comparison, _l1(computed, profile), flow.ledger.relative_error, more)


def _dam_break_inertial(solver: str, factor: int) -> _Outcome:
    note = (
        "A dam of 2 m breaks onto 1 m of water, 45 s later. Exact: the Riemann problem of the "
        "local-inertial equations (derived in `exact`); theta is 0.8."
    )
    return _dam_break(solver, factor, 1.0, lambda s: exact.inertial_dam_break(s, 2.0, 1.0), note)


def _dam_break_wet(solver: str, factor: int) -> _Outcome:
    note = (
        "A dam of 2 m breaks onto 1 m of water, 45 s later. Exact: Stoker 1957, full equations; "
        "the local-inertial solver is too deep in the middle because its equations are."
    )
    return _dam_break(solver, factor, 1.0, lambda s: exact.stoker(s, 2.0, 1.0), note)


def _dam_break_dry(solver: str, factor: int) -> _Outcome:
    note = "A dam of 2 m breaks onto dry ground, 45 s later. Exact: Ritter 1892, full equations."
    return _dam_break(solver, factor, 0.0, lambda s: exact.ritter(s, 2.0), note)


def _basin(solver: str, factor: int) -> _Outcome:
    del solver  # the full equations only
    shape = {"depth_m": 0.1, "radius_m": 1.0}
    period = 2.0 * math.pi / math.sqrt(2.0 * 9.81 * 0.1)
    count = 50 * factor
    cell_m = 4.0 / count
    axis = (np.arange(count) + 0.5) * cell_m - 2.0
    x, y = np.meshgrid(axis, -axis)
    bed = exact.thacker_bed(x, y, **shape)
    depth, (east, north) = exact.thacker(x, y, 0.0, swing_m=0.5, **shape)
    flow = simulate_shallow_water(
        bed, SMOOTH, cell_m=cell_m, end_s=period, depth_m=depth, velocity_m_per_s=(east, -north),
        dry_depth_m=1e-5,
    ).flow  # fmt: skip
    known, _ = exact.thacker(x, y, period, swing_m=0.5, **shape)
    row = count // 2
    comparison = _compared(
        axis, known[row], flow.depth_m[row], "distance from the middle (m)", "depth (m)",
        "A plane surface swashes round a paraboloid without friction, after one period "
        "(Thacker 1981); the row through the middle.",
    )  # fmt: skip
    return _Outcome(comparison, _l1(flow.depth_m, known), flow.ledger.relative_error)


# -- friction -----------------------------------------------------------------------------------


def _constant_front(solver: str, factor: int) -> _Outcome:
    speed, manning, time_s, cell_m = 0.635, 0.03, 3600.0, 20.0 / factor

    def depth(behind: np.ndarray, *, advection: bool) -> np.ndarray:
        return exact.constant_front(
            behind, speed_m_per_s=speed, manning=manning, advection=advection
        )

    own = solver == "full"
    fine = np.linspace(0.0, speed * time_s, 100_001)
    driving = depth(fine, advection=own)
    volume = np.concatenate([[0.0], np.cumsum(0.5 * (driving[1:] + driving[:-1]) * np.diff(fine))])
    times = np.arange(0.0, time_s + 1.0, 5.0)
    rates = np.diff(np.interp(speed * times, fine, volume)) / 5.0 * cell_m
    count = int(1.25 * speed * time_s / cell_m)
    flow = _flow(
        solver, np.zeros((1, count)), manning, cell_m=cell_m, end_s=time_s, dry_depth_m=1e-5,
        inflow=[(0, 0, (times, rates))],
    )  # fmt: skip
    x = (np.arange(count) + 0.5) * cell_m
    behind, computed = speed * time_s - x, flow.depth_m[0]
    known, other = depth(behind, advection=own), depth(behind, advection=not own)
    comparison = _compared(
        x[INLET:], known[INLET:], computed[INLET:], "distance (m)", "depth (m)",
        f"A front that runs over dry flat ground at {speed} m/s (n = {manning}) after an hour; "
        "exact: Hunter et al. 2005 for the full equations, its counterpart with their jump at the "
        "front for the inertial ones.",
    )  # fmt: skip
    more = {"error_of_other_equations": _l1(computed[INLET:], other[INLET:])}
    error = _l1(computed[INLET:], known[INLET:])
    return _Outcome(comparison, error, flow.ledger.relative_error, more)


def _steady_flow(solver: str, factor: int) -> _Outcome:
    q, manning, length, count = 2.0, 0.033, 1000.0, 50 * factor
    cell_m = length / count

    def depth(x: np.ndarray) -> np.ndarray:
        return 1.0 + 0.25 * np.exp(-16.0 * (x / length - 0.5) ** 2)

    x = (np.arange(count) + 0.5) * cell_m
    bed = exact.bed_of_steady_flow(
        x, depth, flow_m2_per_s=q, manning=manning, advection=solver == "full"
    )
    slope = manning**2 * q**2 / float(depth(np.array([length]))[0]) ** (10.0 / 3.0)
    known = depth(x)
    flow = _flow(
        solver, bed[None], manning, cell_m=cell_m, end_s=4000.0, depth_m=known[None],
        inflow=[(0, 0, q * cell_m)], boundaries={"east": "normal_depth"}, normal_slope=slope,
    )  # fmt: skip
    computed = flow.depth_m[0]
    comparison = _compared(
        x[INLET:], known[INLET:], computed[INLET:], "distance (m)", "depth (m)",
        "Steady flow of 2 m2/s on a bed made so that the depth is the one chosen (MacDonald et "
        "al. 1997), each solver on the bed of its own equations.",
    )  # fmt: skip
    error = _l1(computed[INLET:], known[INLET:])
    return _Outcome(comparison, error, flow.ledger.relative_error)


def _plane_runoff(solver: str, factor: int) -> _Outcome:
    slope, manning, length, rain_mm_per_h = 0.05, 0.1, 100.0, 60.0
    rain, count = rain_mm_per_h / 3.6e6, 50 * factor
    cell_m = length / count
    rising = (length * rain ** (-2.0 / 3.0) * manning / math.sqrt(slope)) ** 0.6
    times = rising * np.arange(1, 13) / 6.0
    bed = -slope * cell_m * np.arange(count)[None, :]
    runs = [
        _flow(
            solver, bed, manning, cell_m=cell_m, end_s=float(t), rain_times_s=[0.0],
            rain_mm_per_h=[rain_mm_per_h], cfl=0.3, boundaries={"east": "normal_depth"},
            normal_slope=slope, dry_depth_m=1e-5,
        ).ledger
        for t in times
    ]  # fmt: skip
    computed = np.array([ledger.outflow_east_m3 / cell_m / length for ledger in runs]) * 1e3
    fine = np.linspace(0.0, times[-1], 20_001)
    rate = exact.plane_runoff(
        fine, rain_m_per_s=rain, length_m=length, slope=slope, manning=manning
    )
    gone = np.concatenate([[0.0], np.cumsum(0.5 * (rate[1:] + rate[:-1]) * np.diff(fine))])
    known = np.interp(times, fine, gone) / length * 1e3
    comparison = _compared(
        times / 60.0, known, computed, "time since the rain began (min)", "runoff so far (mm)",
        "Rain of 60 mm/h on a plane of 100 m with a slope of 5 % (n = 0.1); exact: kinematic wave.",
    )  # fmt: skip
    worst = max((ledger.relative_error for ledger in runs), key=abs)
    return _Outcome(comparison, _l1(computed, known), worst)


# -- rebuilt from descriptions ------------------------------------------------------------------


def _radial_spread(solver: str, factor: int) -> _Outcome:
    cell_m, rows, columns = 10.0 / factor, 60 * factor, 30 * factor
    ramp = np.arange(0.0, 1801.0, 60.0)
    line = range(rows // 2 - factor, rows // 2 + factor)  # 20 m in the middle of the west side
    rate = (20.0 * (ramp[:-1] + 30.0) / 3600.0) / len(line)
    flow = _flow(
        solver, np.zeros((rows, columns)), 0.05, cell_m=cell_m, end_s=1800.0,
        inflow=[(r, 0, (ramp, rate)) for r in line],
    )  # fmt: skip
    y, x = (np.mgrid[:rows, :columns] + 0.5) * cell_m
    radius = np.hypot(x, y - 300.0)
    depth, edges = flow.depth_m, np.arange(30.0, 290.0, 10.0)
    counts, _ = np.histogram(radius, edges)
    sums, _ = np.histogram(radius, edges, weights=depth)
    middles = 0.5 * (edges[1:] + edges[:-1])
    ring = np.interp(radius, middles, sums / counts)
    inside = (radius > middles[0]) & (radius < middles[-1])
    east = 0.5 * (depth[rows // 2 - 1] + depth[rows // 2])
    shown = inside[rows // 2]
    comparison = _compared(
        radius[rows // 2][shown], ring[rows // 2][shown], east[shown],
        "distance from the inflow (m)", "depth (m)",
        "Rebuilt from the description of test 4 of the UK Environment Agency, on a part of its "
        "plain: water enters flat dry ground (n = 0.05) through 20 m of its side, rising to "
        "10 m3/s in half an hour. Exact: the mean over all directions; computed: eastwards.",
    )  # fmt: skip
    return _Outcome(comparison, _l1(depth[inside], ring[inside]), flow.ledger.relative_error)


def _depression(solver: str, factor: int) -> _Outcome:
    cell_m, count = 10.0 / factor, 70 * factor
    x = (np.arange(count) + 0.5) * cell_m
    bed = np.interp(x, [0.0, 100.0, 300.0, 500.0, 700.0], [0.5, 0.0, 1.0, 0.2, 1.5])
    top = int(np.argmax(np.where(x < 400.0, bed, -1.0)))
    sill = float(bed[top])
    first = np.arange(count) < top
    kept = np.maximum(sill - bed, 0.0)[first].sum()
    passed = 40.0 / cell_m  # m of water over one cell
    beyond = np.sort(bed[~first])
    levels = (passed + np.cumsum(beyond)) / np.arange(1, beyond.size + 1)
    pool = float(levels[np.flatnonzero(levels > beyond)[-1]])
    expected = np.maximum(np.where(first, sill, pool), bed)
    hour = 3600.0
    rate = (kept + passed) * cell_m**2 / hour
    flow = _flow(
        solver, bed[None], 0.03, cell_m=cell_m, end_s=20.0 * hour,
        inflow=[(0, 0, (np.array([0.0, hour]), np.array([rate])))], dt_max_s=20.0,
    )  # fmt: skip
    level = bed + flow.depth_m[0]
    wet = expected > bed + 0.01
    comparison = _compared(
        x, expected, level, "distance (m)", "level of water or ground (m)",
        "Rebuilt from the description of test 1 of the UK Environment Agency: water fills a pool, "
        "spills over a sill into a depression and comes to rest, 20 h later.",
    )  # fmt: skip
    worst = float(np.abs(level - expected)[wet].max())
    return _Outcome(comparison, worst, flow.ledger.relative_error, unit="m")


_CASES: dict[str, Callable[[str, int], _Outcome]] = {
    "lake_at_rest": _lake_at_rest,
    "mass_closure": _mass_closure,
    "dam_break_inertial": _dam_break_inertial,
    "dam_break_wet": _dam_break_wet,
    "dam_break_dry": _dam_break_dry,
    "basin": _basin,
    "constant_front": _constant_front,
    "steady_flow": _steady_flow,
    "plane_runoff": _plane_runoff,
    "radial_spread": _radial_spread,
    "depression": _depression,
}
_ONE_SOLVER = {"dam_break_inertial": "inertial", "dam_break_dry": "full", "basin": "full"}
PAIRS: tuple[tuple[str, str], ...] = tuple(
    (case, solver)
    for case in CASES
    for solver in get_args(Solver)
    if _ONE_SOLVER.get(case, solver) == solver
)
"""Every case with every solver whose equations its solution solves, or that is compared with it."""
