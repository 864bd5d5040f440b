"""Rasters on a square, projected grid: row 0 is the north edge, column 0 the west edge, metres.

Plain frozen dataclasses of numpy arrays, so that a value lies in the store as JSON and ``.npy``; CF
attributes and GeoTIFF tags are added where a file leaves the system.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from assay.errors import DataError


@dataclass(frozen=True)
class Grid:
    """Where the cells lie.

    Attributes:
        rows: Number of rows, from north to south.
        columns: Number of columns, from west to east.
        cell_m: Edge of a cell (m).
        west_m: Easting of the west edge (m).
        north_m: Northing of the north edge (m).
        crs: Coordinate system as an authority code (EPSG:32616) or WKT; always in metres.
    """

    rows: int
    columns: int
    cell_m: float
    west_m: float
    north_m: float
    crs: str

    @property
    def extent_m(self) -> tuple[float, float, float, float]:
        """West, east, south and north edge (m)."""
        east = self.west_m + self.columns * self.cell_m
        return self.west_m, east, self.north_m - self.rows * self.cell_m, self.north_m

    def part(self, rows: slice, columns: slice) -> "Grid":
        """The grid of a window of rows and columns."""
        return Grid(
            rows.stop - rows.start,
            columns.stop - columns.start,
            self.cell_m,
            self.west_m + columns.start * self.cell_m,
            self.north_m - rows.start * self.cell_m,
            self.crs,
        )

    def window(self, part: "Grid") -> tuple[slice, slice]:
        """Rows and columns of a part: the inverse of `part`."""
        top = round((self.north_m - part.north_m) / self.cell_m)
        left = round((part.west_m - self.west_m) / self.cell_m)
        return slice(top, top + part.rows), slice(left, left + part.columns)

    def row_column(
        self, x_m: Float[np.ndarray, " points"], y_m: Float[np.ndarray, " points"]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Cells that points lie in; indices outside the grid are not clipped."""
        row = np.floor((self.north_m - np.asarray(y_m)) / self.cell_m).astype(int)
        column = np.floor((np.asarray(x_m) - self.west_m) / self.cell_m).astype(int)
        return row, column

    def inside(self, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        """Whether cells belong to the grid."""
        return (row >= 0) & (row < self.rows) & (column >= 0) & (column < self.columns)

    def centres(self, row: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Easting and northing of cell centres (m)."""
        return (
            self.west_m + (np.asarray(column) + 0.5) * self.cell_m,
            self.north_m - (np.asarray(row) + 0.5) * self.cell_m,
        )


@dataclass(frozen=True)
class Terrain:
    """Bed elevation.

    Attributes:
        elevation_m: Height of the ground (m), shape ``(rows, columns)``; NaN where unknown.
        grid: Where the cells lie.
        name: What it is, for people.
        note: What was done to it.
    """

    elevation_m: Float[np.ndarray, "rows columns"]
    grid: Grid
    name: str
    note: str = ""


@dataclass(frozen=True)
class Roughness:
    """Manning's coefficient on a terrain's grid (s/m^(1/3))."""

    manning: Float[np.ndarray, "rows columns"]
    grid: Grid


@dataclass(frozen=True)
class Raster:
    """One quantity on a grid, with its name and unit; NaN where it is undefined."""

    values: Float[np.ndarray, "rows columns"]
    grid: Grid
    name: str
    unit: str


def uniform_roughness(terrain: Terrain, manning: float) -> Roughness:
    """The same Manning coefficient everywhere.

    Raises:
        DataError: If the coefficient is outside 0.005 to 0.5, the range of natural surfaces.
    """
    if not 0.005 <= manning <= 0.5:
        raise DataError(
            f"Manning coefficient {manning:g} is implausible", accepted="0.005 to 0.5 s/m^(1/3)"
        )
    return Roughness(np.full(terrain.elevation_m.shape, float(manning)), terrain.grid)


def hillshade(
    terrain: Terrain, *, azimuth_deg: float = 315.0, altitude_deg: float = 45.0
) -> Float[np.ndarray, "rows columns"]:
    """Illumination of a terrain for maps: the cosine of the light's angle to the ground's normal.

    Args:
        terrain: The terrain.
        azimuth_deg: Where the light comes from, clockwise from north.
        altitude_deg: Its height above the horizon.

    Returns:
        0 (dark) to 1, NaN beside missing data.
    """
    south, east = np.gradient(terrain.elevation_m, terrain.grid.cell_m)
    slope = np.arctan(np.hypot(east, south))
    aspect = np.arctan2(south, -east)
    azimuth, altitude = np.deg2rad(360.0 - azimuth_deg + 90.0), np.deg2rad(altitude_deg)
    light = np.sin(altitude) * np.cos(slope)
    light = light + np.cos(altitude) * np.sin(slope) * np.cos(azimuth - aspect)
    return np.clip(light, 0.0, 1.0)


def write_geotiff(path: Path, raster: Raster) -> None:
    """Write a raster as a tiled, compressed GeoTIFF with unit and description."""
    import rasterio

    grid = raster.grid
    values = raster.values.astype("float32")
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=grid.rows,
        width=grid.columns,
        count=1,
        dtype="float32",
        tiled=True,
        crs=grid.crs,
        transform=rasterio.Affine(grid.cell_m, 0, grid.west_m, 0, -grid.cell_m, grid.north_m),
        nodata=float("nan"),
        compress="deflate",
    ) as file:
        file.write(values, 1)
        file.set_band_description(1, raster.name)
        file.set_band_unit(1, raster.unit)
