"""What enters and leaves a grid besides the flow through its sides: rain, inflows, stages, soil.

Notable in this file:

* *Whatever rounding keeps out is owed.* Inflows, and rain that differs from cell to cell, are added
  to depths of the working precision; the ledger counts what really entered, and the rest waits.
* *Green-Ampt is solved implicitly.* F' - F - s ln((F' + s) / (F + s)) = K dt, s = psi dtheta, has
  no singularity at F = 0. Newton's method starts above the root of a convex function, so it never
  overshoots; the unknown is F' - F, which keeps its digits in short steps.
* *Soil drinks every few steps.* It takes what stands on it, for the time that has passed, never
  more; the water may run on from cell to cell before it seeps in.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from assay.errors import DataError, ParameterError
from assay.systems.climate_impact.intrinsics import compiled

__all__ = [
    "SIDES",
    "Forcing",
    "Interval",
    "Series",
    "Soil",
    "add_sources",
    "forcing_of",
    "hold_stages",
    "infiltrate",
    "ponded_infiltration",
    "schedule",
    "stages_of",
]

SIDES = ("west", "east", "south", "north")
MM_PER_H = 1e-3 / 3600.0
NEWTON_STEPS = 60  # three to five are usual

Series = tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]
"""Increasing times (s), and a value for each."""


class Forcing(NamedTuple):
    """What the flow kernel adds at each step; rates are exchanged in place between intervals.

    Attributes:
        rows: Rows of the cells with a point inflow (bordered indices).
        columns: Their columns.
        rates: Their rates (m/s over one cell).
        owed: What each has not yet got (m).
        field: Rain of every cell (m/s), bordered; ``[1, 1]`` where it is the same everywhere.
        field_owed: What each cell has not yet got (m).
        stage_rows: Rows of the cells whose water level is held.
        stage_columns: Their columns.
        stage_sides: The side each belongs to, as an index of `SIDES`.
        stage_beds: Their bed (m above the lowest).
        stage_times: Times (s) by side ``[4, times]``, padded with infinity.
        stage_levels: Water levels (m above the lowest bed) at these.
    """

    rows: np.ndarray
    columns: np.ndarray
    rates: np.ndarray
    owed: np.ndarray
    field: np.ndarray
    field_owed: np.ndarray
    stage_rows: np.ndarray
    stage_columns: np.ndarray
    stage_sides: np.ndarray
    stage_beds: np.ndarray
    stage_times: np.ndarray
    stage_levels: np.ndarray


class Soil(NamedTuple):
    """What the ground drinks, after Green and Ampt; one value, or one per cell.

    Attributes:
        conductivity_mm_per_h: Hydraulic conductivity K of wetted soil (mm/h), >= 0; 0 is sealed.
        suction_mm: Suction head psi at the wetting front (mm), >= 0.
        moisture_deficit: Pore space dtheta that is still empty, 0 to 1.
    """

    conductivity_mm_per_h: float | Float[np.ndarray, "y x"]
    suction_mm: float | Float[np.ndarray, "y x"]
    moisture_deficit: float | Float[np.ndarray, "y x"]


class Interval(NamedTuple):
    """A span in which rain and inflows do not change: times (s), rates (m/s over a cell)."""

    start_s: float
    end_s: float
    rain: Any
    inflow: np.ndarray


# -- in the kernels -----------------------------------------------------------------------------


@compiled
def add_sources(h, forcing, dt, account):
    """Add point inflows, and rain that differs from cell to cell, of one step."""
    rows, columns, rates, owed = forcing.rows, forcing.columns, forcing.rates, forcing.owed
    for k in range(rates.size):
        owed[k] += rates[k] * dt
        if owed[k] > 0.0:
            before = np.float64(h[rows[k], columns[k]])
            h[rows[k], columns[k]] += h.dtype.type(owed[k])
            entered = np.float64(h[rows[k], columns[k]]) - before
            owed[k] -= entered
            account[1] += entered
    field, late = forcing.field, forcing.field_owed
    if field.size > 1:
        fallen = 0.0
        for r in range(1, h.shape[0] - 1):
            for c in range(1, h.shape[1] - 1):
                due = late[r, c] + field[r, c] * dt
                before = np.float64(h[r, c])
                h[r, c] += h.dtype.type(max(due, 0.0))
                entered = np.float64(h[r, c]) - before
                late[r, c] = due - entered
                fallen += entered
        account[0] += fallen


@compiled
def hold_stages(h, forcing, now, account):
    """Set the water of the cells whose level is held; returns the deepest of them."""
    deepest = 0.0
    for k in range(forcing.stage_rows.size):
        r, c, side = forcing.stage_rows[k], forcing.stage_columns[k], forcing.stage_sides[k]
        level = np.interp(now, forcing.stage_times[side], forcing.stage_levels[side])
        before = np.float64(h[r, c])
        h[r, c] = h.dtype.type(max(level - forcing.stage_beds[k], 0.0))
        account[10 + side] += np.float64(h[r, c]) - before
        deepest = max(deepest, np.float64(h[r, c]))
    return deepest


@compiled
def ponded_infiltration(infiltrated, supply, store):
    """Green-Ampt: what seeps in under ponded water, in the unit of its arguments.

    Args:
        infiltrated: Cumulative infiltration F before.
        supply: K dt, what the conductivity alone would take.
        store: s = psi dtheta.
    """
    if store <= 0.0 or supply <= 0.0:
        return supply
    # Above the root: x - s ln(1 + x/s) >= x^2 / (2 (s + x)) for all x >= 0
    more = supply + math.sqrt(supply * (supply + 2.0 * store))
    whole = infiltrated + store
    for _ in range(NEWTON_STEPS):
        off = more - supply - store * math.log1p(more / whole)
        step = off * (whole + more) / (infiltrated + more)
        more -= step
        if step <= 1e-9 * more:  # the error is that squared; below zero it is rounding
            break
    return more


@compiled
def infiltrate(h, soil, seconds, account):
    """Let soil drink what stands on it; ``soil`` is (K, psi dtheta, F), bordered, in m and s."""
    conductivity, store, infiltrated = soil
    gone = 0.0
    for r in range(1, h.shape[0] - 1):
        for c in range(1, h.shape[1] - 1):
            before = np.float64(h[r, c])
            if before > 0.0 and conductivity[r, c] > 0.0:
                supply = conductivity[r, c] * seconds
                due = ponded_infiltration(infiltrated[r, c], supply, store[r, c])
                h[r, c] = h.dtype.type(max(before - due, 0.0))
                taken = before - np.float64(h[r, c])
                infiltrated[r, c] += taken
                gone += taken
    account[9] += gone


# -- before them --------------------------------------------------------------------------------


def schedule(
    rain_times_s: Any,
    rain_mm_per_h: Any,
    inflow: Sequence[tuple[int, int, float | Series]],
    *,
    cell_m: float,
    end_s: float,
    shape: tuple[int, int],
) -> list[Interval]:
    """Cut the simulated time wherever rain or an inflow changes.

    Raises:
        DataError: If a series does not fit its times, or holds a negative or unknown rate.
    """
    times, rates = np.asarray(rain_times_s, np.float64), np.asarray(rain_mm_per_h, np.float64)
    if rates.ndim == 3 and rates.shape[1:] != shape:
        raise DataError(
            f"shape {rates.shape}", where="rain_mm_per_h", accepted=f"[times, *{shape}]"
        )  # fmt: skip
    rain = _series(times, rates, "rain_times_s", "rain_mm_per_h", "mm/h")
    flows = [_flow(entry[2]) for entry in inflow]
    changes = {t for ts, _ in (rain, *flows) for t in ts.tolist() if 0 < t < end_s}
    edges = [0.0, *sorted(changes), float(end_s)]
    return [
        Interval(
            start,
            end,
            _at(rain, start) * MM_PER_H,
            np.array([_at(flow, start) for flow in flows]) / cell_m**2,
        )
        for start, end in itertools.pairwise(edges)
    ]


def _flow(rate: float | Series) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(rate, tuple):
        times, rates = (np.asarray(v, np.float64) for v in rate)
        return _series(times, rates, "inflow", "inflow", "m3/s")
    if not (math.isfinite(rate) and rate >= 0):
        raise ParameterError(f"got {rate!r} m3/s", where="inflow", accepted="a number >= 0")
    return np.zeros(1), np.array([float(rate)])


def _series(
    times: np.ndarray, rates: np.ndarray, where: str, rated: str, unit: str
) -> tuple[np.ndarray, np.ndarray]:
    """Times and as many rates: 0 after the last time if there is one more time than rates."""
    if times.ndim != 1 or rates.ndim not in (1, 3) or len(times) - len(rates) not in (0, 1):
        raise DataError(
            f"{times.size} times for {len(rates) if rates.ndim else 1} rates", where=where,
            accepted="as many times as rates, or one more",
        )  # fmt: skip
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise DataError("times do not increase", where=where, accepted="seconds")
    if not (np.isfinite(rates) & (rates >= 0)).all():
        raise DataError("negative or non-finite", where=rated, accepted=f"{unit} >= 0")
    missing = len(times) - len(rates)
    return times, np.concatenate([rates, np.zeros((missing, *rates.shape[1:]))])


def _at(series: tuple[np.ndarray, np.ndarray], time_s: float) -> Any:
    """Rate of the interval that a time begins or lies in; nothing before the first."""
    times, rates = series
    k = int(np.searchsorted(times, time_s, side="right")) - 1
    if rates.ndim == 3:
        return rates[k] if k >= 0 else np.zeros(rates.shape[1:])
    return float(rates[k]) if k >= 0 else 0.0


def forcing_of(
    sources: tuple[np.ndarray, ...],
    bed: np.ndarray,
    terrain: np.ndarray,
    *,
    lowest_m: float = 0.0,
    field: bool = False,
    stage: Mapping[str, Series] | None = None,
) -> Forcing:
    """The arrays that the kernel wants.

    Args:
        sources: Rows, columns, rates and debts of the point inflows.
        bed: Bordered bed (m above the lowest).
        terrain: Cells that are terrain ``[y, x]``.
        lowest_m: Elevation of the lowest cell (m).
        field: Whether rain differs from cell to cell.
        stage: Water level (m) over time by side.
    """
    rows, columns, rates, owed = sources
    size = bed.shape if field else (1, 1)
    held = stages_of(stage or {}, bed, terrain, lowest_m)
    return Forcing(rows, columns, rates, owed, np.zeros(size), np.zeros(size), **held)


def stages_of(
    stage: Mapping[str, Series], bed: np.ndarray, terrain: np.ndarray, lowest_m: float
) -> dict[str, np.ndarray]:
    """Cells of the sides whose level is held, and the levels.

    Raises:
        ParameterError: If there is no such side.
        DataError: If times do not increase, or a level is unknown.
    """
    ny, nx = terrain.shape
    along = np.arange(1, max(ny, nx) + 1)
    edges = {
        "west": (along[:ny], np.full(ny, 1)),
        "east": (along[:ny], np.full(ny, nx)),
        "south": (np.full(nx, ny), along[:nx]),
        "north": (np.full(nx, 1), along[:nx]),
    }
    rows, columns, sides = [], [], []
    longest = max((len(times) for times, _ in stage.values()), default=1)
    times, levels = np.full((4, longest), np.inf), np.zeros((4, longest))
    for side, (when, level) in stage.items():
        if side not in edges:
            raise ParameterError(f"no such side: {side!r}", where="stage", accepted=str(SIDES))
        t, z = np.asarray(when, np.float64), np.asarray(level, np.float64)
        if t.ndim != 1 or t.shape != z.shape or not t.size:
            raise DataError(f"{t.size} times for {z.size} levels", where=f"stage, {side}")
        if not np.isfinite(t).all() or (np.diff(t) <= 0).any() or not np.isfinite(z).all():
            raise DataError(
                "times do not increase, or a level is unknown", where=f"stage, {side}",
                accepted="seconds and metres",
            )  # fmt: skip
        index = SIDES.index(side)
        times[index, : t.size], levels[index] = t, z[-1] - lowest_m
        levels[index, : t.size] = z - lowest_m
        r, c = edges[side]
        wet = terrain[r - 1, c - 1]
        rows.append(r[wet])
        columns.append(c[wet])
        sides.append(np.full(int(wet.sum()), index))
    r, c, side = (
        np.concatenate([np.zeros(0, np.int64), *parts]) for parts in (rows, columns, sides)
    )
    return {
        "stage_rows": r,
        "stage_columns": c,
        "stage_sides": side,
        "stage_beds": bed[r, c].astype(np.float64),
        "stage_times": times,
        "stage_levels": levels,
    }
