"""Terrain conditioning: an elevation model has pits that the ground does not have.

Both methods grow inwards from the edge by priority-flood, on the four neighbours that the flood
solver knows. `fill` raises a pit to its spill level (Barnes, Lehman and Mulla 2014, the variant
with an epsilon); `breach` carves the way along which the pit would spill instead (Lindsay 2016) and
leaves the ground around as it is.
"""

from dataclasses import replace
from heapq import heappop, heappush
from typing import Literal

import numpy as np

from assay.systems.climate_impact.intrinsics import compiled
from assay.systems.climate_impact.rasters import Terrain

__all__ = ["Method", "drain"]

Method = Literal["breach", "fill"]


def drain(terrain: Terrain, method: Method, fall_m: float = 0.01) -> Terrain:
    """Give every cell a way to the edge of the terrain that never climbs.

    Where cells were changed the way falls by ``fall_m`` per cell or more. Cells without data are
    walls: no water leaves through them, and ground that they enclose is left as it is.

    Args:
        terrain: The terrain.
        method: ``breach`` lowers cells on the way out of a pit, ``fill`` raises those in it.
        fall_m: Fall from cell to cell along changed ground (m), >= 0.

    Returns:
        The terrain; its note says how much was changed.
    """
    ground = np.asarray(terrain.elevation_m, np.float64)
    drained = _priority_flood(ground, float(fall_m), method == "breach")
    change = np.abs(drained - ground)
    share = np.count_nonzero(change > 0) / max(np.count_nonzero(np.isfinite(ground)), 1)
    most = float(change[np.isfinite(change)].max(initial=0.0))
    done = {"breach": "breached", "fill": "filled"}[method]
    note = f"pits {done}: {100 * share:.1f} % of the cells changed, by up to {most:.1f} m"
    joined = f"{terrain.note}; {note}" if terrain.note else note
    return replace(terrain, elevation_m=drained, note=joined)


@compiled
def _priority_flood(ground, fall, breach):
    """Take cells in the order in which rising water would reach them from outside."""
    rows, columns = ground.shape
    drained = ground.copy()
    seen = np.isnan(ground)
    outlet = np.full(rows * columns, -1)  # the neighbour that each cell was reached from
    front = [(0.0, 0)]  # tells numba the type of what is queued
    front.pop()
    for cell in range(rows * columns):
        row, column = cell // columns, cell % columns
        edge = row in (0, rows - 1) or column in (0, columns - 1)
        if edge and not seen[row, column]:
            seen[row, column] = True
            heappush(front, (ground[row, column], cell))
    while front:
        _, cell = heappop(front)
        level = drained[cell // columns, cell % columns]
        for step_down, step_right in ((-1, 0), (0, -1), (0, 1), (1, 0)):
            row, column = cell // columns + step_down, cell % columns + step_right
            if not (0 <= row < rows and 0 <= column < columns) or seen[row, column]:
                continue
            seen[row, column] = True
            here = row * columns + column
            outlet[here] = cell
            if ground[row, column] <= level:
                if breach:
                    _carve(drained, outlet, here, fall)
                else:
                    drained[row, column] = level + fall
            heappush(front, (drained[row, column], here))
    return drained


@compiled
def _carve(drained, outlet, cell, fall):
    """Lower the way out of a cell until it falls all the way."""
    columns = drained.shape[1]
    bed = drained[cell // columns, cell % columns]
    while outlet[cell] >= 0:
        cell = outlet[cell]
        bed -= fall
        if drained[cell // columns, cell % columns] <= bed:
            break
        drained[cell // columns, cell % columns] = bed
