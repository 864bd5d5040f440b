"""Where water gathers: the specific catchment area of every cell, by infinite flow directions.

Tarboton 1997 (D-infinity): water leaves a cell along the steepest of the eight triangular facets
around it and is shared between the two neighbours that the direction points between, so a plane is
drained evenly whichever way it faces. The area is exact in the sense that none is lost: what leaves
through the edge of the terrain is the area of all cells.
"""

from typing import Any

import numpy as np

from assay.core.component import component
from assay.systems.climate_impact.intrinsics import compiled
from assay.systems.climate_impact.rasters import Raster, Terrain

__all__ = ["accumulate", "specific_catchment"]


@component(version="1", requires=("numba", "numpy"))
def specific_catchment(terrain: Terrain) -> Raster:
    """The area that drains through each cell, for each metre of its width (m2/m).

    The width is that of a cell, whichever way the water runs, as is usual with this method.

    Args:
        terrain: The terrain, its pits drained: at the bottom of one the water stays.
    """
    cell_m = terrain.grid.cell_m
    cells = accumulate(terrain.elevation_m, cell_m)
    return Raster(cells * cell_m, terrain.grid, "specific catchment area", "m2/m")


def accumulate(elevation_m: np.ndarray, cell_m: float) -> np.ndarray:
    """Number of cells whose water runs through each, itself included; NaN where unknown.

    Args:
        elevation_m: Height of the ground (m), ``[y, x]``; NaN where unknown.
        cell_m: Edge of a cell (m).

    Example:
        >>> accumulate(np.array([[3.0, 2.0, 1.0]]), 10.0).tolist()
        [[1.0, 2.0, 3.0]]
    """
    ground = np.asarray(elevation_m, np.float64)
    padded: Any = np.pad(ground, 1, constant_values=np.nan)
    downwards = np.argsort(-ground, axis=None, kind="stable")  # NaN last
    known = np.count_nonzero(np.isfinite(ground))
    found = _accumulate(padded, downwards[:known], float(cell_m))[1:-1, 1:-1]
    return np.where(np.isfinite(ground), found, np.nan)


@compiled
def _accumulate(z, downwards, cell_m):
    """Pass the area of each cell on, from the highest cell to the lowest."""
    area = np.ones(z.shape)
    columns = z.shape[1] - 2
    for cell in downwards:
        row, column = cell // columns + 1, cell % columns + 1
        down, right, down2, right2, share = _steepest(z, row, column, cell_m)
        if down == 0 and right == 0:
            continue  # the lowest cell around: water leaves the terrain here, or stays
        here = area[row, column]
        area[row + down, column + right] += (1.0 - share) * here
        area[row + down2, column + right2] += share * here
    return area


@compiled
def _steepest(z, row, column, cell_m):
    """Steps to the two neighbours the water runs between, and the second's share of it.

    Zero steps where no neighbour is lower.
    """
    ground, steepest = z[row, column], 0.0
    best = (0, 0, 0, 0, 0.0)
    for side in range(4):
        down, right = ((-1, 0), (0, 1), (1, 0), (0, -1))[side]
        beside = z[row + down, column + right]
        straight = (ground - beside) / cell_m
        for turn in (-1, 1):
            down2, right2 = down + turn * right, right + turn * down
            corner = z[row + down2, column + right2]
            across = (beside - corner) / cell_m
            share = np.arctan2(across, straight) / (np.pi / 4.0)
            if 0.0 < share < 1.0:
                slope = np.hypot(straight, across)
            elif share >= 1.0:
                slope, share = (ground - corner) / (cell_m * np.sqrt(2.0)), 1.0
            else:  # also where the corner is unknown
                slope, share = straight, 0.0
            if slope > steepest:
                steepest, best = slope, (down, right, down2, right2, share)
    return best
