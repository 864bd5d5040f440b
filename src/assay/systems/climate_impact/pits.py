"""Terrain conditioning: fill the pits that an elevation model has and the ground does not.

Source: Barnes, Lehman and Mulla 2014, *Priority-flood*, Algorithm 4 (with an epsilon), on the four
neighbours that the flood solver knows.
"""

from dataclasses import replace
from heapq import heappop, heappush

import numpy as np

from assay.systems.climate_impact.intrinsics import compiled
from assay.systems.climate_impact.rasters import Terrain

__all__ = ["fill_pits"]


def fill_pits(terrain: Terrain, rise_m: float = 0.01) -> Terrain:
    """Raise every cell from which water cannot leave over the edge of the terrain.

    Afterwards a path from each cell to the edge falls all the way, by ``rise_m`` per cell over
    ground that was raised. Cells without data are walls: no water leaves through them, and ground
    that they enclose is left as it is.

    Args:
        terrain: The terrain.
        rise_m: Fall from cell to cell across filled ground (m), >= 0.

    Returns:
        The terrain, nowhere lower than before; its note says how much was filled.
    """
    filled = _priority_flood(np.asarray(terrain.elevation_m, np.float64), float(rise_m))
    raised = filled - terrain.elevation_m
    known = np.isfinite(raised)
    share = np.count_nonzero(raised > 0) / max(np.count_nonzero(known), 1)
    deepest = float(raised[known].max(initial=0.0))
    note = f"pits filled: {100 * share:.1f} % of the cells, by up to {deepest:.1f} m"
    joined = f"{terrain.note}; {note}" if terrain.note else note
    return replace(terrain, elevation_m=filled, note=joined)


@compiled
def _priority_flood(ground, rise):
    """Grow inwards from the edge, always from the lowest cell that water could leave through."""
    rows, columns = ground.shape
    filled = ground.copy()
    seen = np.isnan(ground)
    front = [(0.0, 0)]
    front.pop()
    for cell in range(rows * columns):
        row, column = cell // columns, cell % columns
        edge = row in (0, rows - 1) or column in (0, columns - 1)
        if edge and not seen[row, column]:
            seen[row, column] = True
            heappush(front, (filled[row, column], cell))
    while front:
        level, cell = heappop(front)
        for step_down, step_right in ((-1, 0), (0, -1), (0, 1), (1, 0)):
            row, column = cell // columns + step_down, cell % columns + step_right
            if not (0 <= row < rows and 0 <= column < columns) or seen[row, column]:
                continue
            seen[row, column] = True
            if ground[row, column] <= level:
                filled[row, column] = level + rise
            heappush(front, (filled[row, column], row * columns + column))
    return filled
