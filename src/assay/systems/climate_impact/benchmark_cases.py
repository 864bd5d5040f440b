"""Tests 1 to 4 of the UK Environment Agency's benchmark, rebuilt from descriptions of them.

Its data sets are not used: ground and inflow are of our own making, with the sizes, slopes and
roughness of the descriptions where these give any.
"""

from typing import Any

import numpy as np

from assay.systems.climate_impact.comparison import Measure, Outcome, compared, l1, run
from assay.systems.climate_impact.solver import Flow
from assay.systems.climate_impact.watersheds import watersheds_of

FINER = 4
"""How much finer the cells of the reference for the obstruction are."""


def radial_spread(solver: str, factor: int) -> Outcome:
    """Test 4: water spreads over a plain alike in all directions."""
    cell_m, rows, columns = 10.0 / factor, 60 * factor, 30 * factor
    ramp = np.arange(0.0, 1801.0, 60.0)
    line = range(rows // 2 - factor, rows // 2 + factor)  # 20 m in the middle of the west side
    rate = (20.0 * (ramp[:-1] + 30.0) / 3600.0) / len(line)
    flow = run(
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
    comparison = compared(
        radius[rows // 2][shown], ring[rows // 2][shown], east[shown],
        "distance from the inflow (m)", "depth (m)",
        "Rebuilt from the description of test 4 of the UK Environment Agency, on a part of its "
        "plain: water enters flat dry ground (n = 0.05) through 20 m of its side, rising to "
        "10 m3/s in half an hour. Exact: the mean over all directions; computed: eastwards.",
    )  # fmt: skip
    return Outcome(comparison, l1(depth[inside], ring[inside]), flow.ledger.relative_error)


def depression(solver: str, factor: int) -> Outcome:
    """Test 1: a pool spills over a sill into a depression."""
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
    flow = run(
        solver, bed[None], 0.03, cell_m=cell_m, end_s=20.0 * hour,
        inflow=[(0, 0, (np.array([0.0, hour]), np.array([rate])))], dt_max_s=20.0,
    )  # fmt: skip
    level = bed + flow.depth_m[0]
    wet = expected > bed + 0.01
    comparison = compared(
        x, expected, level, "distance (m)", "level of water or ground (m)",
        "Rebuilt from the description of test 1 of the UK Environment Agency: water fills a pool, "
        "spills over a sill into a depression and comes to rest, 20 h later.",
    )  # fmt: skip
    worst = float(np.abs(level - expected)[wet].max())
    return Outcome(comparison, worst, flow.ledger.relative_error, unit="m")


def egg_box(solver: str, factor: int) -> Outcome:
    """Test 2: sixteen depressions on a plain that falls south and east fill and spill."""
    side, count, depth = 2000.0, 40 * factor, 0.5
    cell_m = side / count
    x = (np.arange(count) + 0.5) * cell_m  # from the north, and from the west
    wave = np.sin(np.pi * x / 500.0) ** 2
    bed = (side - x[:, None]) / 1500.0 + (side - x) / 3000.0 - depth * wave[:, None] * wave
    base = 85.0 * 60.0
    times = np.linspace(0.0, base, 86)
    middle = 0.5 * (times[1:] + times[:-1])
    line = range(2 * factor)  # 100 m of the west side from the north-western corner
    rate = 20.0 * (1.0 - np.abs(2.0 * middle / base - 1.0)) / len(line)
    flow = run(
        solver, bed, 0.03, cell_m=cell_m, end_s=12.0 * 3600.0, dt_max_s=20.0,
        inflow=[(row, 0, (times, np.append(rate, 0.0))) for row in line],
    )  # fmt: skip
    level, middles = bed + flow.depth_m, 5 * factor + 10 * factor * np.arange(4)
    expected, off = bed.copy(), 0.0
    for pool in _pools(bed, middles):
        still = _still_level(bed[pool], float(flow.depth_m[pool].sum()))
        lowest = np.argmin(np.where(pool, bed, np.inf))
        off = max(off, abs(float(level.flat[lowest]) - still))
        expected[pool] = np.maximum(bed[pool], still)
    centres = flow.depth_m[np.ix_(middles, middles)]
    column = int(middles[0])
    comparison = compared(
        x, expected[:, column], level[:, column],
        "distance from the north (m)", "level of water or ground (m)",
        "Rebuilt from descriptions of test 2 of the UK Environment Agency: 20 m3/s at the peak "
        "enter a dry plain (n = 0.03) at its north-western corner and fill its depressions, 12 h "
        "later. The western four, from north to south; known: the level at which what each holds "
        "comes to rest, or the ground.",
    )  # fmt: skip
    more = {
        "deepest": Measure(float(centres.max()), "m"),
        "far_depth": Measure(float(centres[:2, 3].max()), "m"),
    }
    return Outcome(comparison, off, flow.ledger.relative_error, more, "m")


def _pools(bed: np.ndarray, middles: np.ndarray) -> list[np.ndarray]:
    """The cells of each depression below its lowest sill."""
    from scipy.ndimage import label

    _, full, _ = watersheds_of(bed)
    pools = []
    for row in middles:
        for column in middles:
            numbers: Any = label(bed < full[row, column])[0]  # type: ignore[index]
            pools.append(numbers == numbers[row, column])
    return pools


def _still_level(bed: np.ndarray, water: float) -> float:
    """The level (m) at which so many m of water over one cell come to rest in a pool."""
    upwards = np.sort(bed, axis=None)
    levels = (water + np.cumsum(upwards)) / np.arange(1, upwards.size + 1)
    return float(levels[np.flatnonzero(levels >= upwards)[-1]])


def obstruction(solver: str, factor: int) -> Outcome:
    """Test 3: a wave runs into a depression that would hold it, and part of it passes the sill."""
    cells = 120 * factor
    flow, level, share = _wave(solver, cells)
    _, reference, passed = _wave("full", FINER * cells)
    x = (np.arange(cells) + 0.5) * 300.0 / cells
    comparison = compared(
        x, reference.reshape(cells, FINER).mean(axis=1), level,
        "distance (m)", "level of water or ground (m)",
        "Rebuilt from descriptions of test 3 of the UK Environment Agency: a short wave runs down "
        "a slope of 1:200 (n = 0.01) into a depression that would hold 1.05 times its volume; "
        "momentum carries part of it over the obstruction, 15 min later. Known: the full equations "
        f"on cells {FINER} times as fine, not an exact solution.",
    )  # fmt: skip
    more = {"passed_share": Measure(share)}
    error = abs(share - passed) / passed
    return Outcome(comparison, error, flow.ledger.relative_error, more)


def _wave(solver: str, cells: int) -> tuple[Flow, np.ndarray, float]:
    """The flow, the final level (m) and the share of the water beyond the obstruction."""
    cell_m = 300.0 / cells
    x = (np.arange(cells) + 0.5) * cell_m
    bed = np.interp(
        x, [0.0, 100.0, 140.0, 160.0, 200.0, 240.0, 260.0, 300.0],
        [1.5, 1.0, 0.5, 0.5, 0.75, 0.5, 0.5, 1.5],
    )  # fmt: skip
    before = x < 200.0
    water = 0.95 * np.maximum(0.75 - bed[before], 0.0).sum() * cell_m  # m2: of a width of 1 m
    times = np.linspace(0.0, 60.0, 25)
    middle = 0.5 * (times[1:] + times[:-1])
    rate = (1.0 - np.abs(middle / 30.0 - 1.0)) * water / 30.0 * cell_m
    flow = run(
        solver, bed[None], 0.01, cell_m=cell_m, end_s=900.0,
        inflow=[(0, 0, (times, np.append(rate, 0.0)))],
    )  # fmt: skip
    depth = flow.depth_m[0]
    return flow, bed + depth, float(depth[~before].sum() / depth.sum())
