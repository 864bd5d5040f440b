"""A terrain in metres out of an elevation file, and what may be done to it."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from assay.errors import DataError
from assay.systems.climate_impact.formats import Source, horizontal_crs, read_source, require_size
from assay.systems.climate_impact.rasters import Grid, Terrain

__all__ = [
    "check_holes",
    "coarsen",
    "crop",
    "jacksboro",
    "load_terrain",
    "reproject",
    "require_metres",
    "to_metres",
]

STRETCH = 0.02  # of a map's metres against true ones; Web Mercator has 0.24 in Tennessee
FINEST_CELL_M = 0.01  # smaller ones are degrees that someone called metres


def load_terrain(
    path: Path | str,
    *,
    crs: str | None = None,
    unit: str | None = None,
    missing_value: float | None = None,
) -> Terrain:
    """Read a terrain that is in metres already.

    Args:
        path: GeoTIFF, ESRI ASCII grid (``.asc``, also alone in a ``.zip``) or NetCDF.
        crs: Its coordinate system, if the file does not say.
        unit: Unit of elevation, if the file does not say and it is not metres.
        missing_value: The elevation that stands for missing data, if the file does not say.

    Raises:
        DataError: If the file cannot be read, has no or a geographic coordinate system or one whose
            metres are not true, its cells are not square, or its elevations are not those of a
            terrain.
    """
    source = read_source(path, crs=crs, unit=unit, missing_value=missing_value)
    require_metres(source)
    if abs(source.dx - source.dy) > 1e-3 * source.dx:
        raise DataError(
            f"cells are not square ({source.dx:g} by {source.dy:g} m)",
            where=source.where,
            next="Read it with reproject=true, which resamples to square cells.",
        )
    rows, columns = source.values.shape
    grid = Grid(rows, columns, float(source.dx), source.west, source.north, source.crs)
    return Terrain(source.values, grid, Path(source.where).name)


def reproject(
    path: Path | str,
    *,
    source_crs: str | None = None,
    unit: str | None = None,
    missing_value: float | None = None,
    crs: str | None = None,
    cell_m: float | None = None,
) -> Terrain:
    """Read a raster in any coordinate system and resample it to square metric cells.

    Args:
        path: See `load_terrain`.
        source_crs: Coordinate system of the file, if it does not say.
        unit: Unit of elevation, if the file does not say and it is not metres.
        missing_value: The elevation that stands for missing data, if the file does not say.
        crs: Coordinate system wanted; the UTM zone of the raster's centre if not given.
        cell_m: Cell size (m); the native resolution if not given.
    """
    source = read_source(path, crs=source_crs, unit=unit, missing_value=missing_value)
    return to_metres(source, crs=crs, cell_m=cell_m)


def to_metres(source: Source, *, crs: str | None = None, cell_m: float | None = None) -> Terrain:
    """Resample a raster bilinearly to square metric cells; missing data does not spread.

    Rows and columns at the edge that the rotation left partly outside the raster are cut away;
    the raster's own missing data stays.
    """
    import rasterio
    from pyproj import CRS
    from rasterio.warp import Resampling, calculate_default_transform
    from rasterio.warp import reproject as warp

    wanted = horizontal_crs(CRS.from_user_input(crs)) if crs else _utm_zone(source)
    rows, columns = source.values.shape
    here = rasterio.Affine(source.dx, 0, source.west, 0, -source.dy, source.north)
    south, east = source.north - rows * source.dy, source.west + columns * source.dx
    frame: Any = calculate_default_transform(
        source.crs, wanted, columns, rows,
        left=source.west, bottom=south, right=east, top=source.north, resolution=cell_m,
    )  # fmt: skip
    there, width, height = frame
    require_size(Path(source.where), height, width)
    # GDAL widens its kernel to shrink a raster, by 1.1 and the like too, and a plane then ripples.
    exact: dict[str, Any] = {} if cell_m else {"XSCALE": 1, "YSCALE": 1}

    def warped(values: np.ndarray, method: Any) -> np.ndarray:
        out = np.full((height, width), np.nan)
        warp(
            values, out, src_transform=here, src_crs=source.crs, src_nodata=np.nan,
            dst_transform=there, dst_crs=wanted, dst_nodata=np.nan, resampling=method,
            tolerance=0.0, **exact,
        )  # fmt: skip
        return out

    values = warped(source.values, Resampling.bilinear)
    covered = np.isfinite(warped(np.zeros_like(source.values), Resampling.nearest))
    cell = float(there.a)
    grid = Grid(height, width, cell, float(there.c), float(there.f), wanted)
    require_metres(replace(source, crs=wanted, west=there.c, north=there.f, dx=cell, dy=cell))
    note = f"reprojected from {source.crs} to {wanted}, {cell:.2f} m cells, bilinear"
    return crop(Terrain(values, grid, Path(source.where).name, note), *_full_window(covered))


def require_metres(source: Source) -> None:
    """Refuse degrees, feet and maps whose metres are not those on the ground."""
    from pyproj import CRS, Proj

    crs = CRS.from_user_input(source.crs)
    unit = "degrees" if crs.is_geographic else crs.axis_info[0].unit_name if crs.axis_info else ""
    if not crs.is_projected or unit not in ("metre", "meter"):
        raise DataError(
            f"is in {unit or 'no known unit'} ({crs.name}) where metres are needed",
            where=source.where,
            next="Read it with reproject=true.",
        )
    if source.dx < FINEST_CELL_M:
        raise DataError(
            f"cells are {source.dx:g} m wide",
            where=source.where,
            accepted=f"at least {FINEST_CELL_M:g} m",
            next="If the file is in degrees, say crs=EPSG:4326 and reproject=true.",
        )
    factors = Proj(crs).get_factors(*_centre(source))
    stretch = max(abs(factors.meridional_scale - 1), abs(factors.parallel_scale - 1))
    if not stretch <= STRETCH:
        raise DataError(
            f"a metre on the map ({crs.name}) is up to {100 * stretch:.0f} % off here",
            where=source.where,
            next="Read it with reproject=true.",
        )


def _centre(source: Source) -> tuple[float, float]:
    """Longitude and latitude of a raster's centre."""
    from pyproj import Transformer

    rows, columns = source.values.shape
    x, y = source.west + columns * source.dx / 2, source.north - rows * source.dy / 2
    to_degrees = Transformer.from_crs(source.crs, "OGC:CRS84", always_xy=True)
    longitude, latitude = to_degrees.transform(x, y)
    return float(longitude), float(latitude)


def _utm_zone(source: Source) -> str:
    longitude, latitude = _centre(source)
    zone = int((longitude + 180.0) // 6.0) % 60 + 1
    return f"EPSG:{(32600 if latitude >= 0 else 32700) + zone}"


def _full_window(covered: np.ndarray) -> tuple[int, int, int, int]:
    """Cut the emptiest edge away again and again until all four edges are covered."""
    top, bottom, left, right = 0, covered.shape[0], 0, covered.shape[1]
    while bottom - top > 2 and right - left > 2:
        window = covered[top:bottom, left:right]
        shares = [edge.mean() for edge in (window[0], window[-1], window[:, 0], window[:, -1])]
        worst = int(np.argmin(shares))
        if shares[worst] == 1.0:
            break
        top, bottom = top + (worst == 0), bottom - (worst == 1)
        left, right = left + (worst == 2), right - (worst == 3)
    return top, bottom, left, right


def crop(terrain: Terrain, top: int, bottom: int, left: int, right: int) -> Terrain:
    """The window of rows ``top:bottom`` and columns ``left:right``."""
    cut = terrain.grid.part(slice(top, bottom), slice(left, right))
    values = np.ascontiguousarray(terrain.elevation_m[top:bottom, left:right])
    return replace(terrain, elevation_m=values, grid=cut)


def check_holes(terrain: Terrain, *, nodata: Literal["refuse", "wall", "fill"]) -> Terrain:
    """Decide about cells without data.

    Args:
        terrain: The terrain.
        nodata: ``refuse``; ``wall`` keeps them, the solver lets no water through; ``fill``
            interpolates linearly across them, and takes the nearest cell where they lie at an edge.

    Raises:
        DataError: If there are any and they are refused.
    """
    holes = ~np.isfinite(terrain.elevation_m)
    count = int(holes.sum())
    if count == 0:
        return terrain
    if nodata == "refuse":
        row, column = np.argwhere(holes)[0]
        raise DataError(
            f"{count} of {holes.size} cells have no data, the first in row {row}, column {column}",
            where=terrain.name,
            next="Read it with nodata=wall or nodata=fill.",
        )
    if nodata == "wall":
        return replace(terrain, note=_joined(terrain.note, f"{count} cells without data are walls"))
    note = _joined(terrain.note, f"{count} cells without data were filled by interpolation")
    return replace(terrain, elevation_m=_filled(terrain.elevation_m, holes), note=note)


def _filled(elevation_m: np.ndarray, holes: np.ndarray) -> np.ndarray:
    from scipy.interpolate import griddata
    from scipy.ndimage import binary_dilation
    from scipy.spatial import QhullError

    # Two cells around a hole decide what is in it; all cells would take minutes to triangulate.
    rim = binary_dilation(holes, np.ones((3, 3)), iterations=2) & ~holes
    known, missing, values = np.argwhere(rim), np.argwhere(holes), elevation_m.copy()
    try:
        values[holes] = griddata(known, values[rim], missing, method="linear")
    except QhullError:  # the rim is one line of cells
        pass
    rest = ~np.isfinite(values)
    if rest.any():
        values[rest] = griddata(known, values[rim], np.argwhere(rest), method="nearest")
    return values


def coarsen(terrain: Terrain, factor: int) -> Terrain:
    """Average blocks of ``factor`` by ``factor`` cells; 1 gives the terrain back.

    Rows in the south and columns in the east that do not fill a block are dropped. A block without
    any data stays without.

    Raises:
        DataError: If fewer than two blocks fit.
    """
    if factor == 1:
        return terrain
    rows, columns = (n // factor for n in terrain.elevation_m.shape)
    if min(rows, columns) < 2:
        raise DataError(
            f"cannot be coarsened by {factor}: it has {terrain.grid.rows} x "
            f"{terrain.grid.columns} cells",
            where=terrain.name,
        )
    window = terrain.elevation_m[: rows * factor, : columns * factor]
    blocks = window.reshape(rows, factor, columns, factor)
    known = np.isfinite(blocks).sum(axis=(1, 3))
    total = np.where(np.isfinite(blocks), blocks, 0.0).sum(axis=(1, 3))
    values = np.where(known > 0, total / np.maximum(known, 1), np.nan)
    grid = replace(terrain.grid, rows=rows, columns=columns, cell_m=terrain.grid.cell_m * factor)
    note = _joined(terrain.note, f"averaged over {factor} x {factor} cells")
    return Terrain(values, grid, terrain.name, note)


def jacksboro(*, crop_cells: tuple[int, int] | None = None) -> Terrain:
    """The built-in landscape: the elevation model that ships inside matplotlib.

    The Jacksboro fault in Tennessee, from the Shuttle Radar Topography Mission at 3 arc seconds, in
    geographic coordinates; reprojected to UTM zone 16 North. The Cumberland Mountains rise in the
    west, Norris Lake and the Clinch River below its dam lie in the south-east.

    Args:
        crop_cells: Rows and columns of the window kept: the one with the lowest mean elevation, so
            that the main valley lies in it.
    """
    from matplotlib import cbook

    data: Any = cbook.get_sample_data("jacksboro_fault_dem.npz")
    # The file's ymin lies north of its ymax. Its rows run south from ymax: only so does Cross
    # Mountain (36.1983 N, 84.2306 W) stand on its summit and Norris Dam between lake and river.
    source = Source(
        data["elevation"].astype(float), float(data["xmin"]), float(data["ymax"]),
        float(data["dx"]), float(data["dy"]), "EPSG:4326", "m",
        "Jacksboro fault, Tennessee (SRTM, from matplotlib)",
    )  # fmt: skip
    whole = replace(to_metres(source), name=source.where)
    return whole if crop_cells is None else _lowest_window(whole, *crop_cells)


def _lowest_window(terrain: Terrain, rows: int, columns: int) -> Terrain:
    """The window of that size with the lowest mean elevation, of a terrain without holes.

    Raises:
        DataError: If the terrain is smaller than the window.
    """
    height, width = terrain.elevation_m.shape
    if not (0 < rows <= height and 0 < columns <= width):
        raise DataError(
            f"a window of {rows} x {columns} cells does not fit",
            where=terrain.name,
            accepted=f"at most {height} x {width}",
        )
    total = np.zeros((height + 1, width + 1))
    total[1:, 1:] = terrain.elevation_m.cumsum(0).cumsum(1)
    sums = (
        total[rows:, columns:]
        - total[:-rows, columns:]
        - total[rows:, :-columns]
        + total[:-rows, :-columns]
    )
    top, left = (int(i) for i in np.unravel_index(np.argmin(sums), sums.shape))
    cut = crop(terrain, top, top + rows, left, left + columns)
    return replace(cut, note=_joined(cut.note, f"window of {rows} x {columns} cells"))


def _joined(note: str, more: str) -> str:
    return f"{note}; {more}" if note else more
