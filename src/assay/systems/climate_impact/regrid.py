"""From another grid onto that of the terrain: rain by overlapping areas, classes by the nearest.

Notable in this file:

* *Volume is kept.* In one coordinate system a cell of the terrain gets the mean over its area, from
  the exact overlaps of rows and of columns. Between two systems cells overlap askew: each cell of
  the terrain is then cut into parts, finer than either grid, that are taken to lie straight.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from assay.errors import DataError
from assay.systems.climate_impact import formats
from assay.systems.climate_impact.formats import Source
from assay.systems.climate_impact.rasters import Grid

__all__ = ["average_onto", "extent_of", "nearest_onto", "read_grid"]

READS = "GeoTIFF, .asc, .zip or .nc"
FEWEST, MOST = 2, 64  # parts along a cell of the terrain
POINTS_AT_ONCE = 2_000_000
WHOLE = 1 - 1e-9  # share of a cell that must be covered


def read_grid(path: Path | str, *, crs: str | None = None) -> Source:
    """Read a raster of any quantity as it is; only its coordinate system must be known.

    Args:
        path: GeoTIFF, ESRI ASCII grid (``.asc``, with its ``.prj``, also in a ``.zip``) or NetCDF.
        crs: Its coordinate system, if the file does not say.

    Raises:
        DataError: If the file cannot be read, is rotated, or no or another coordinate system is
            known.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError("no such file", where=str(file), accepted=READS)
    source = formats.READERS.get(file.suffix.lower(), formats.read_geotiff)(file)
    return replace(source, crs=formats.horizontal_crs(formats.known_crs(source, crs)))


def extent_of(source: Source) -> tuple[float, float, float, float]:
    """West, east, south and north edge of a raster, in its own coordinate system."""
    rows, columns = source.values.shape[-2:]
    east, south = source.west + columns * source.dx, source.north - rows * source.dy
    return source.west, east, south, source.north


def average_onto(
    source: Source, grid: Grid, needed: np.ndarray, what: str
) -> Float[np.ndarray, "times rows columns"]:
    """Average a series of rasters over the cells of a grid, so that volumes are kept.

    Args:
        source: The rasters, ``[times, rows, columns]``.
        grid: The grid wanted.
        needed: Cells that must be covered ``[rows, columns]``; the others are 0 where they are not.
        what: Name of the quantity, for messages.

    Raises:
        DataError: If the rasters do not cover what is needed, or have no data there.
    """
    holes = np.isnan(source.values)
    filled = np.where(holes, 0.0, source.values)
    if _same_crs(source.crs, grid.crs):
        down, across = _overlaps(source, grid)
        covered = down.sum(1)[:, None] * across.sum(1)[None, :]
        _require_cover(source, grid, needed & (covered < WHOLE), what)
        missing = down @ holes.any(0) @ across.T
        found = np.stack([down @ values @ across.T for values in filled])
    else:
        weights = _lattice(source, grid)
        covered = np.asarray(weights.sum(1)).reshape(needed.shape)
        _require_cover(source, grid, needed & (covered < WHOLE), what)
        missing = (weights @ holes.any(0).ravel().astype(float)).reshape(needed.shape)
        found = np.stack([(weights @ v.ravel()).reshape(needed.shape) for v in filled])
    lost = int((needed & (missing > 0)).sum())
    if lost:
        raise DataError(
            f"{what} is missing somewhere over {lost} of {int(needed.sum())} cells of the terrain",
            where=source.where,
        )
    return found


def nearest_onto(source: Source, grid: Grid) -> Float[np.ndarray, "rows columns"]:
    """The value at the centre of each cell of a grid, NaN outside the raster."""
    rows, columns = source.values.shape
    found = np.full(grid.rows * grid.columns, np.nan)
    for cells, x, y in _points(source, grid, 1):
        column = np.floor((x - source.west) / source.dx)
        row = np.floor((source.north - y) / source.dy)
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        there = row[inside].astype(np.int64), column[inside].astype(np.int64)
        found[cells[inside]] = source.values[there]
    return found.reshape(grid.rows, grid.columns)


def _overlaps(source: Source, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Share of each row of the grid in each row of the raster, and the same of columns."""
    rows, columns = source.values.shape[-2:]

    def shares(first: float, step: float, count: int, cells: int, start: float) -> np.ndarray:
        here = start + grid.cell_m * np.arange(cells + 1)[:, None]
        there = first + step * np.arange(count + 1)[None, :]
        common = np.minimum(here[1:], there[:, 1:]) - np.maximum(here[:-1], there[:, :-1])
        return np.maximum(common, 0.0) / grid.cell_m

    down = shares(-source.north, source.dy, rows, grid.rows, -grid.north_m)
    return down, shares(source.west, source.dx, columns, grid.columns, grid.west_m)


def _lattice(source: Source, grid: Grid) -> Any:
    """Share of each cell of the grid in each cell of the raster, from the parts it is cut into.

    A part is no larger than a cell of the raster, so it lies in two rows and two columns at most.
    """
    from scipy.sparse import coo_array, csr_array

    rows, columns = source.values.shape[-2:]
    west, south, east, north = _bounds_in(source.crs, grid)
    width, height = (east - west) / grid.columns, (north - south) / grid.rows
    finer = math.ceil(2 * max(width / source.dx, height / source.dy))
    parts = min(max(finer, FEWEST), MOST)
    shape = (grid.rows * grid.columns, rows * columns)
    total = csr_array(shape)
    for cells, x, y in _points(source, grid, parts):
        wide = np.abs(np.gradient(x, axis=1)) / source.dx
        high = np.abs(np.gradient(y, axis=0)) / source.dy
        across = _two((x - source.west) / source.dx, wide)
        down = _two((source.north - y) / source.dy, high)
        for (row, share_down), (column, share_across) in itertools.product(down, across):
            share = share_down * share_across / parts**2
            kept = (row >= 0) & (row < rows) & (column >= 0) & (column < columns) & (share > 0)
            index = (row[kept] * columns + column[kept]).astype(np.int64)
            total = total + coo_array((share[kept], (cells[kept], index)), shape=shape).tocsr()
    return total


def _two(middle: np.ndarray, size: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The two cells of unit size that a part lies in, and its share in each."""
    size = np.minimum(size, 1.0)
    first = np.floor(middle - size / 2)
    beyond = np.clip((middle + size / 2 - first - 1) / size, 0.0, 1.0)
    return [(first, 1.0 - beyond), (first + 1, beyond)]


def _points(
    source: Source, grid: Grid, parts: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Middles of the parts of the cells of a grid, by block of rows.

    Yields:
        The cell that each part belongs to, and x and y of its middle in the system of the raster.
    """
    from pyproj import Transformer

    there = Transformer.from_crs(grid.crs, source.crs, always_xy=True)
    same = _same_crs(source.crs, grid.crs)
    offsets = (np.arange(parts) + 0.5) / parts
    x = grid.west_m + grid.cell_m * (np.arange(grid.columns)[:, None] + offsets).ravel()
    block = max(1, POINTS_AT_ONCE // (grid.columns * parts**2))
    for top in range(0, grid.rows, block):
        lines = np.arange(top, min(top + block, grid.rows))
        y = grid.north_m - grid.cell_m * (lines[:, None] + offsets).ravel()
        xs, ys = np.meshgrid(x, y)
        cell = np.repeat(lines, parts)[:, None] * grid.columns
        cells = cell + np.repeat(np.arange(grid.columns), parts)[None, :]
        yield (cells, xs, ys) if same else (cells, *there.transform(xs, ys))


def _require_cover(source: Source, grid: Grid, bare: np.ndarray, what: str) -> None:
    if not bare.any():
        return
    raise DataError(
        f"{what} does not cover {int(bare.sum())} of {bare.size} cells of the terrain; "
        + extents(source, grid),
        where=source.where,
        next="Cut the terrain, or bring a raster of the whole of it.",
    )


def extents(source: Source, grid: Grid) -> str:
    """Where a raster and a grid lie, both in the coordinate system of the raster."""
    west, south, east, north = _bounds_in(source.crs, grid)
    left, right, low, high = extent_of(source)
    return (
        f"it lies in x {left:.10g} to {right:.10g}, y {low:.10g} to {high:.10g}, the terrain in "
        f"x {west:.10g} to {east:.10g}, y {south:.10g} to {north:.10g}"
    )


def _bounds_in(crs: str, grid: Grid) -> tuple[float, float, float, float]:
    """West, south, east and north edge of a grid in a coordinate system."""
    from pyproj import Transformer

    west, east, south, north = grid.extent_m
    if _same_crs(crs, grid.crs):
        return west, south, east, north
    return Transformer.from_crs(grid.crs, crs, always_xy=True).transform_bounds(
        west, south, east, north
    )


def _same_crs(one: str, other: str) -> bool:
    from pyproj import CRS

    return one == other or CRS(one).equals(CRS(other), ignore_axis_order=True)
