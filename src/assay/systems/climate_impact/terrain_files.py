"""Terrains that stay on disk: GeoTIFFs in metres, of which a window at a time is in memory.

What `terrain_file` writes needs no further checks: one band of elevations in metres on square cells
of a projected coordinate system, NaN where there are none, in blocks that any window reads fast.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from assay.core.component import File, component
from assay.core.task import task
from assay.errors import DataError
from assay.systems.climate_impact.formats import (
    HIGHEST_M,
    LOWEST_M,
    Source,
    horizontal_crs,
    known_crs,
    metres_per_unit,
)
from assay.systems.climate_impact.rasters import Grid, Terrain
from assay.systems.climate_impact.terrain import require_metres
from assay.systems.climate_impact.watersheds import tiles_of

__all__ = ["BLOCK", "RasterFile", "TileCells", "raster_file", "terrain_file", "write_terrain"]

BLOCK = 256
"""Side of the blocks that files are written in (cells)."""
CACHE_MB = 64
"""What GDAL may keep of blocks it has read; its own choice is a twentieth of the memory."""
TileCells = Annotated[int, Field(ge=16, le=16384, multiple_of=16)]
EXACT_IN_FLOAT32 = ("uint8", "int8", "uint16", "int16", "float32")


@dataclass(frozen=True)
class RasterFile:
    """A raster on disk, of which windows are read and written.

    Attributes:
        opened: The open file of rasterio.
        grid: Where its cells lie.
    """

    opened: Any
    grid: Grid

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.grid.rows, self.grid.columns

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """Values of a window as numbers of 64 bits."""
        values = self.opened.read(1, window=_window(rows, columns))
        return values.astype(np.float64 if values.dtype.kind == "f" else np.int64)

    def write(self, rows: slice, columns: slice, values: np.ndarray) -> None:
        """Write a window, best of whole blocks."""
        kind = self.opened.dtypes[0]
        self.opened.write(values.astype(kind), 1, window=_window(rows, columns))


@contextmanager
def raster_file(path: Path, grid: Grid | None = None, **how: Any) -> Iterator[RasterFile]:
    """Open a raster that stays on disk.

    Args:
        path: A GeoTIFF on square cells, north up.
        grid: Given, the file is made anew on it; else it is read.
        how: Of a new file: its ``dtype``; ``block``, the side of its blocks; ``again``, whether its
            windows overlap and are written more than once.
    """
    import rasterio

    with rasterio.Env(GDAL_CACHEMAX=CACHE_MB):
        if grid is None:
            with rasterio.open(path) as opened:
                yield RasterFile(opened, _grid_of(opened))
            return
        block, again = how.get("block", BLOCK), how.get("again", False)
        with rasterio.open(
            path, "w+" if again else "w", driver="GTiff", width=grid.columns, height=grid.rows,
            count=1, dtype=how["dtype"], crs=grid.crs, tiled=True, blockxsize=block,
            blockysize=block, BIGTIFF="IF_SAFER", compress="none" if again else "deflate",
            transform=rasterio.Affine(grid.cell_m, 0, grid.west_m, 0, -grid.cell_m, grid.north_m),
            nodata=-1 if how["dtype"].startswith("int") else float("nan"),
        ) as opened:  # fmt: skip
            yield RasterFile(opened, grid)


def _grid_of(opened: Any) -> Grid:
    at, crs = opened.transform, opened.crs
    authority = crs.to_authority()
    name = ":".join(authority) if authority else crs.to_wkt()
    return Grid(opened.height, opened.width, float(at.a), float(at.c), float(at.f), name)


def _window(rows: slice, columns: slice) -> Any:
    from rasterio.windows import Window

    height, width = rows.stop - rows.start, columns.stop - columns.start
    return Window(columns.start, rows.start, width, height)  # type: ignore[call-arg]


@component(version="1", requires=("rasterio", "pyproj"))
def terrain_file(
    *,
    path: File,
    crs: str | None = None,
    unit: str | None = None,
    missing_value: float | None = None,
    nodata: Literal["refuse", "wall"] = "refuse",
) -> Path:
    """Take in an elevation model that may be larger than memory, a tile at a time.

    Args:
        path: A GeoTIFF of one band in metres, north up, on square cells.
        crs: Its coordinate system, if the file does not say; for example EPSG:32616.
        unit: Unit of elevation, if the file does not say and it is not metres.
        missing_value: The elevation that stands for missing data, if the file does not say.
        nodata: What to do with holes: refuse them or make them walls.

    Returns:
        The same as a GeoTIFF in blocks, elevations in metres.

    Raises:
        DataError: If the file is none of this, or its elevations are not those of a terrain.
    """
    import rasterio
    from rasterio.errors import RasterioError

    made = task().scratch() / "terrain.tif"
    try:
        with rasterio.Env(GDAL_CACHEMAX=CACHE_MB), rasterio.open(path, driver="GTiff") as opened:
            source, factor = _checked(opened, path, crs, unit)
            rows, columns = source.values.shape
            grid = Grid(rows, columns, source.dx, source.west, source.north, source.crs)
            plain = opened.scales[0] == 1 and opened.offsets[0] == 0 and factor == 1
            small = plain and opened.dtypes[0] in EXACT_IN_FLOAT32
            with raster_file(made, grid, dtype="float32" if small else "float64") as file:
                for tile in tiles_of(file.shape, 4 * BLOCK):
                    values = opened.read(1, window=_window(*tile), masked=True)
                    values = values.astype(np.float64).filled(np.nan)
                    values = (values * opened.scales[0] + opened.offsets[0]) * factor
                    if missing_value is not None:
                        values[values == missing_value * factor] = np.nan
                    _require_elevations(values, source.where, nodata)
                    file.write(*tile, values)
    except (RasterioError, OSError) as error:
        raise DataError(
            "cannot be read as a raster", where=str(path), accepted="a GeoTIFF"
        ) from error
    return made


def _checked(opened: Any, path: Path, crs: str | None, unit: str | None) -> tuple[Source, float]:
    """What the header says, as metres on square cells, and metres per unit of elevation."""
    at, where = opened.transform, str(path)
    if opened.count != 1:
        raise DataError(f"holds {opened.count} bands", where=where, accepted="one, the elevation")
    if at.is_identity or at.b or at.d or at.a <= 0 or abs(at.a + at.e) > 1e-3 * at.a:
        raise DataError(
            "the raster does not say where it lies, is rotated or has no square cells",
            where=where,
            next="Warp it first, for example with gdalwarp.",
        )
    said = opened.crs.to_wkt() if opened.crs else ""
    nothing = np.broadcast_to(np.nan, (opened.height, opened.width))  # takes no memory
    source = Source(nothing, at.c, at.f, at.a, -at.e, said, opened.units[0] or "", where)
    known = known_crs(source, crs)
    factor = metres_per_unit(unit or source.unit, known, where)
    source = replace(source, crs=horizontal_crs(known))
    require_metres(source)
    return source, factor


def _require_elevations(values: np.ndarray, where: str, nodata: str) -> None:
    odd = values[(values < LOWEST_M) | (values > HIGHEST_M)]
    if odd.size:
        raise DataError(
            f"holds an elevation of {odd[0]:g} m", where=where,
            accepted=f"{LOWEST_M:g} to {HIGHEST_M:g} m",
            next="If that means missing data, say missing_value=; else say the unit.",
        )  # fmt: skip
    if nodata == "refuse" and np.isnan(values).any():
        raise DataError("has cells without data", where=where, next="Read it with nodata=wall.")


@component(version="1", requires=("rasterio",))
def write_terrain(terrain: Terrain) -> Path:
    """A terrain that is in memory, as `terrain_file` makes one.

    Args:
        terrain: The terrain.
    """
    made = task().scratch() / "terrain.tif"
    with raster_file(made, terrain.grid, dtype="float64") as file:
        file.write(slice(0, terrain.grid.rows), slice(0, terrain.grid.columns), terrain.elevation_m)
    return made
