"""Cases with an exact solution, or an exact statement; `verification` says what each compares."""

import math
from collections.abc import Callable

import numpy as np

from assay.systems.climate_impact import exact
from assay.systems.climate_impact.comparison import (
    Comparison,
    Measure,
    Outcome,
    compared,
    l1,
    run,
)
from assay.systems.climate_impact.finite_volume import simulate_shallow_water
from assay.systems.climate_impact.solver import Boundaries

SMOOTH = 1e-7
"""Manning's n where the exact solution knows no friction."""
INLET = 5
"""Cells behind an inflow that are left out: it enters without momentum, or the weighting smears it
against the wall behind it."""


# -- exact statements ---------------------------------------------------------------------------


def _rough(rows: int, columns: int) -> np.ndarray:
    """White noise of 5 m in steps of 2^-8 m, so that level minus bed is exact."""
    noise = np.random.default_rng(0).random((rows, columns))
    return np.round(noise * 5.0 * 256) / 256


def lake_at_rest(solver: str, factor: int) -> Outcome:
    """Water at rest round dry islands."""
    bed, level = _rough(24 * factor, 32 * factor), 3.0
    depth = np.maximum(level - bed, 0.0)
    flow = run(solver, bed, 0.03, cell_m=5.0, end_s=120.0, depth_m=depth)
    off = float(np.abs(flow.depth_m - depth).max())
    row = bed.shape[0] // 2
    comparison = compared(
        5.0 * (np.arange(bed.shape[1]) + 0.5),
        np.maximum(level, bed[row]),
        bed[row] + flow.depth_m[row],
        "distance (m)",
        "level of water or ground (m)",
        "Water at rest over white noise of 5 m with dry islands, after 120 s; one row of cells.",
    )
    return Outcome(comparison, off, flow.ledger.relative_error, unit="m")


def mass_closure(solver: str, factor: int) -> Outcome:
    """Rain and a river over rough ground with open sides."""
    flow = run(
        solver, _rough(24 * factor, 32 * factor), 0.03, cell_m=5.0, end_s=600.0,
        rain_times_s=[0.0, 300.0], rain_mm_per_h=[200.0], inflow=[(12, 16, 0.5)],
        boundaries=Boundaries("free", "normal_depth", "free", "normal_depth"),
    )  # fmt: skip
    nothing = np.zeros(0)
    comparison = Comparison(nothing, nothing, nothing, "", "", "")
    return Outcome(comparison, abs(flow.ledger.relative_error), flow.ledger.relative_error)


# -- dam breaks ---------------------------------------------------------------------------------


def _dam_break(
    solver: str,
    factor: int,
    right_m: float,
    known: Callable[[np.ndarray], exact.Profile],
    note: str,
) -> Outcome:
    time_s, count = 45.0, 200 * factor
    cell_m = 1200.0 / count
    x = (np.arange(count) + 0.5) * cell_m - 600.0
    depth = np.where(x < 0, 2.0, right_m)
    weighting = {"theta": 0.8} if solver == "inertial" else {}
    flow = run(
        solver, np.zeros((1, count)), SMOOTH, cell_m=cell_m, end_s=time_s, depth_m=depth[None],
        **weighting,
    )  # fmt: skip
    computed, profile = flow.depth_m[0], known(x / time_s).depth_m
    more = {}
    if right_m:
        middle = np.abs(x) < time_s  # between the waves
        off = float(np.median(computed[middle]) / profile[middle].mean() - 1)
        more = {"middle_depth_error": Measure(off)}
    comparison = compared(x, profile, computed, "distance from the dam (m)", "depth (m)", note)
    return Outcome(comparison, l1(computed, profile), flow.ledger.relative_error, more)


def dam_break_inertial(solver: str, factor: int) -> Outcome:
    """The Riemann problem of the local-inertial equations."""
    note = (
        "A dam of 2 m breaks onto 1 m of water, 45 s later. Exact: the Riemann problem of the "
        "local-inertial equations (derived in `exact`); theta is 0.8."
    )
    return _dam_break(solver, factor, 1.0, lambda s: exact.inertial_dam_break(s, 2.0, 1.0), note)


def dam_break_wet(solver: str, factor: int) -> Outcome:
    """Stoker's dam break onto water."""
    note = (
        "A dam of 2 m breaks onto 1 m of water, 45 s later. Exact: Stoker 1957, full equations; "
        "the local-inertial solver is too deep in the middle because its equations are."
    )
    return _dam_break(solver, factor, 1.0, lambda s: exact.stoker(s, 2.0, 1.0), note)


def dam_break_dry(solver: str, factor: int) -> Outcome:
    """Ritter's dam break onto dry ground."""
    note = "A dam of 2 m breaks onto dry ground, 45 s later. Exact: Ritter 1892, full equations."
    return _dam_break(solver, factor, 0.0, lambda s: exact.ritter(s, 2.0), note)


def basin(solver: str, factor: int) -> Outcome:
    """Thacker's plane surface in a paraboloid."""
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
    comparison = compared(
        axis, known[row], flow.depth_m[row], "distance from the middle (m)", "depth (m)",
        "A plane surface swashes round a paraboloid without friction, after one period "
        "(Thacker 1981); the row through the middle.",
    )  # fmt: skip
    return Outcome(comparison, l1(flow.depth_m, known), flow.ledger.relative_error)


# -- friction -----------------------------------------------------------------------------------


def constant_front(solver: str, factor: int) -> Outcome:
    """A front that runs over dry ground at a constant speed."""
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
    flow = run(
        solver, np.zeros((1, count)), manning, cell_m=cell_m, end_s=time_s, dry_depth_m=1e-5,
        inflow=[(0, 0, (times, rates))],
    )  # fmt: skip
    x = (np.arange(count) + 0.5) * cell_m
    behind, computed = speed * time_s - x, flow.depth_m[0]
    known, other = depth(behind, advection=own), depth(behind, advection=not own)
    comparison = compared(
        x[INLET:], known[INLET:], computed[INLET:], "distance (m)", "depth (m)",
        f"A front that runs over dry flat ground at {speed} m/s (n = {manning}) after an hour; "
        "exact: Hunter et al. 2005 for the full equations, its counterpart with their jump at the "
        "front for the inertial ones.",
    )  # fmt: skip
    more = {"error_of_other_equations": Measure(l1(computed[INLET:], other[INLET:]))}
    error = l1(computed[INLET:], known[INLET:])
    return Outcome(comparison, error, flow.ledger.relative_error, more)


def steady_flow(solver: str, factor: int) -> Outcome:
    """MacDonald's steady flow over a bump."""
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
    flow = run(
        solver, bed[None], manning, cell_m=cell_m, end_s=4000.0, depth_m=known[None],
        inflow=[(0, 0, q * cell_m)], boundaries={"east": "normal_depth"}, normal_slope=slope,
    )  # fmt: skip
    computed = flow.depth_m[0]
    comparison = compared(
        x[INLET:], known[INLET:], computed[INLET:], "distance (m)", "depth (m)",
        "Steady flow of 2 m2/s on a bed made so that the depth is the one chosen (MacDonald et "
        "al. 1997), each solver on the bed of its own equations.",
    )  # fmt: skip
    error = l1(computed[INLET:], known[INLET:])
    return Outcome(comparison, error, flow.ledger.relative_error)


def plane_runoff(solver: str, factor: int) -> Outcome:
    """Rain that runs off a plane."""
    slope, manning, length, rain_mm_per_h = 0.05, 0.1, 100.0, 60.0
    rain, count = rain_mm_per_h / 3.6e6, 50 * factor
    cell_m = length / count
    rising = (length * rain ** (-2.0 / 3.0) * manning / math.sqrt(slope)) ** 0.6
    times = rising * np.arange(1, 13) / 6.0
    bed = -slope * cell_m * np.arange(count)[None, :]
    runs = [
        run(
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
    comparison = compared(
        times / 60.0, known, computed, "time since the rain began (min)", "runoff so far (mm)",
        "Rain of 60 mm/h on a plane of 100 m with a slope of 5 % (n = 0.1); exact: kinematic wave.",
    )  # fmt: skip
    worst = max((ledger.relative_error for ledger in runs), key=abs)
    return Outcome(comparison, l1(computed, known), worst)
