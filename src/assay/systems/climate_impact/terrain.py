"""Elevation models: GeoTIFF, ESRI ASCII grids and NetCDF in, a metric terrain out.

Nothing is assumed about a file that does not say it: a missing coordinate system, degrees where
metres are needed, holes and undeclared NoData values are refused with what to do about them.
"""

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from assay.errors import DataError
from assay.systems.climate_impact.rasters import Grid, Terrain

LOWEST_M, HIGHEST_M = -500.0, 9000.0
ASCII_KEYS = ("ncols", "nrows", "cellsize", "xllcorner", "yllcorner", "xllcenter", "yllcenter")


@dataclass(frozen=True)
class Source:
    """A raster as a file has it: values, edges and coordinate system in the file's own units."""

    values: np.ndarray
    west: float
    north: float
    dx: float
    dy: float
    crs: str
    where: str


# -- reading ------------------------------------------------------------------------------------


def load_terrain(path: Path | str, *, crs: str | None = None, unit: str | None = None) -> Terrain:
    """Read a terrain that is in metres already.

    Args:
        path: GeoTIFF, ESRI ASCII grid (``.asc``, also alone in a ``.zip``) or NetCDF.
        crs: Its coordinate system, if the file does not say.
        unit: Unit of elevation, if the file does not say and it is not metres.

    Raises:
        DataError: If the file cannot be read, has no or a geographic coordinate system, its cells
            are not square, or its elevations are not those of a terrain.
    """
    source = read_source(path, crs=crs, unit=unit)
    _require_metres(source)
    if abs(source.dx - source.dy) > 1e-3 * source.dx:
        raise DataError(
            f"cells are not square ({source.dx:g} by {source.dy:g} m)",
            where=source.where,
            next="Read it with reproject=true, which resamples to square cells.",
        )
    rows, columns = source.values.shape
    grid = Grid(rows, columns, float(source.dx), source.west, source.north, source.crs)
    return Terrain(source.values, grid, Path(source.where).name)


def read_source(path: Path | str, *, crs: str | None = None, unit: str | None = None) -> Source:
    """Read any supported raster as it is; see [`load_terrain`][] for the arguments."""
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix in (".asc", ".zip"):
        source = _read_ascii(file)
    elif suffix in (".nc", ".nc4", ".cdf"):
        source = _read_netcdf(file, unit)
    else:
        source = _read_geotiff(file, unit)
    if unit and suffix in (".asc", ".zip"):
        source = replace(source, values=_to_metres(source.values, unit, str(file)))
    source = replace(source, crs=_known_crs(crs or source.crs, str(file)))
    _require_terrain(source)
    return source


def _read_geotiff(file: Path, unit: str | None) -> Source:
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with rasterio.open(file) as opened:
            values = opened.read(1, masked=True).astype(float).filled(np.nan)
            crs = opened.crs.to_string() if opened.crs else ""
            transform, said = opened.transform, opened.units[0]
    except (RasterioError, OSError) as error:
        raise DataError(
            "cannot be read as a raster", where=str(file), accepted="GeoTIFF, .asc, .zip or .nc"
        ) from error
    if transform.b or transform.d or transform.a <= 0 or transform.e >= 0:
        raise DataError("the raster is rotated or not north up", where=str(file))
    values = _to_metres(values, unit or said or "m", str(file))
    return Source(values, transform.c, transform.f, transform.a, -transform.e, crs, str(file))


def _read_ascii(file: Path) -> Source:
    """ESRI ASCII grid: header keys in any order and case, corner or centre, NODATA optional."""
    text, projection = _ascii_text(file)
    lines = text.splitlines()
    header: dict[str, float] = {}
    count = 0
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or not words[0][0].isalpha() or words[0].lower() in ("nan", "inf"):
            count = number - 1
            break
        if len(words) != 2:
            raise DataError(
                "not a header line", where=f"{file} line {number}", accepted="key value"
            )
        try:
            header[words[0].lower()] = float(words[1])
        except ValueError as error:
            raise DataError(
                f"{words[1]!r} is not a number", where=f"{file} line {number}"
            ) from error
    for key in ("ncols", "nrows", "cellsize"):
        if key not in header:
            raise DataError(f"the header has no {key}", where=str(file), accepted="an ASCII grid")
    rows, columns, cell = int(header["nrows"]), int(header["ncols"]), header["cellsize"]
    values = _ascii_values(file, lines[count:], count, rows, columns)
    if "nodata_value" in header:
        values[values == header["nodata_value"]] = np.nan
    west = header.get("xllcorner", header.get("xllcenter", np.nan) - cell / 2)
    south = header.get("yllcorner", header.get("yllcenter", np.nan) - cell / 2)
    if not np.isfinite([west, south]).all():
        raise DataError(
            "the header has no corner", where=str(file), accepted="xllcorner, yllcorner"
        )
    return Source(values, west, south + rows * cell, cell, cell, projection, str(file))


def _ascii_text(file: Path) -> tuple[str, str]:
    """Text of the grid and of the projection beside it, also from inside a zip file."""
    try:
        if file.suffix.lower() != ".zip":
            beside = file.with_suffix(".prj")
            return file.read_text(encoding="utf-8"), beside.read_text() if beside.is_file() else ""
        with zipfile.ZipFile(file) as archive:
            names = [n for n in archive.namelist() if n.lower().endswith(".asc")]
            if len(names) != 1:
                raise DataError(f"holds {len(names)} .asc files", where=str(file), accepted="one")
            beside = file.with_suffix(".prj")
            inside = [n for n in archive.namelist() if n.lower().endswith(".prj")]
            projection = archive.read(inside[0]).decode() if inside else ""
            if not projection and beside.is_file():
                projection = beside.read_text()
            return archive.read(names[0]).decode(), projection
    except (OSError, UnicodeDecodeError, zipfile.BadZipFile) as error:
        raise DataError("cannot be read", where=str(file), accepted="an ASCII grid") from error


def _ascii_values(
    file: Path, lines: list[str], skipped: int, rows: int, columns: int
) -> np.ndarray:
    try:
        flat = np.array(" ".join(lines).split(), dtype=float)
    except ValueError:
        flat = np.array([])
    if flat.size == rows * columns and flat.size:
        return flat.reshape(rows, columns)
    for number, line in enumerate(lines, skipped + 1):
        for word in line.split():
            try:
                float(word)
            except ValueError as error:
                raise DataError(
                    f"{word!r} is not a number", where=f"{file} line {number}"
                ) from error
    raise DataError(f"holds {flat.size} values", where=str(file), accepted=f"{rows} x {columns}")


def _read_netcdf(file: Path, unit: str | None) -> Source:
    """The one two-dimensional variable of a CF file, y made to descend."""
    import xarray as xr

    try:
        with xr.open_dataset(file, engine="h5netcdf") as opened:
            data = opened.load()
    except (OSError, ValueError) as error:
        raise DataError("cannot be read", where=str(file), accepted="NetCDF-4") from error
    fields = [n for n, v in data.data_vars.items() if v.ndim == 2]
    if len(fields) != 1:
        raise DataError(
            f"holds {len(fields)} two-dimensional variables", where=str(file), accepted="one"
        )
    field = data[fields[0]]
    y_name, x_name = map(str, field.dims)
    x, y = (np.asarray(field[n], float) for n in (x_name, y_name))
    if x.size < 2 or y.size < 2:
        raise DataError(f"is {y.size} x {x.size} cells", where=str(file), accepted="at least 2 x 2")
    values = np.asarray(field, float)
    if y[0] < y[-1]:
        y, values = y[::-1], values[::-1]
    if x[0] > x[-1]:
        x, values = x[::-1], values[:, ::-1]
    dx, dy = (x[-1] - x[0]) / (x.size - 1), (y[0] - y[-1]) / (y.size - 1)
    if np.abs(np.diff(x) - dx).max() > 1e-3 * dx or np.abs(np.diff(y) + dy).max() > 1e-3 * dy:
        raise DataError("coordinates are not evenly spaced", where=str(file))
    said = unit or field.attrs.get("units") or "m"
    values = _to_metres(np.ascontiguousarray(values), said, f"{file}, {fields[0]}")
    return Source(
        values, x[0] - dx / 2, y[0] + dy / 2, dx, dy, _netcdf_crs(data, field, x_name), str(file)
    )


def _netcdf_crs(data: Any, field: Any, x_name: str) -> str:
    """CRS from the grid mapping, or from coordinates that say they are degrees."""
    mapping = field.attrs.get("grid_mapping") or field.encoding.get("grid_mapping", "spatial_ref")
    attrs = data[mapping].attrs if mapping in data.variables else {}
    text = attrs.get("crs_wkt") or attrs.get("spatial_ref") or attrs.get("epsg_code") or ""
    degrees = str(data[x_name].attrs.get("units", "")).startswith("degree")
    if degrees and not text:
        return "OGC:CRS84"  # CF: coordinates in degrees are longitude and latitude
    return str(text or data.attrs.get("crs", ""))


# -- refusing -----------------------------------------------------------------------------------


def _to_metres(values: np.ndarray, unit: str, where: str) -> np.ndarray:
    import pint

    if unit in ("m", "metre", "metres", "meter", "meters"):
        return values
    try:
        factor = pint.get_application_registry().Quantity(1.0, unit).to("m").magnitude
    except (pint.UndefinedUnitError, pint.DimensionalityError, ValueError) as error:
        raise DataError(
            f"elevation is in {unit!r}", where=where, accepted="a length, such as m or ft"
        ) from error
    return values * factor


def _known_crs(text: str, where: str) -> str:
    """The coordinate system in its shortest unambiguous form."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    if not text.strip():
        raise DataError(
            "has no coordinate system", where=where, next="Say which with crs=, as in EPSG:32616."
        )
    try:
        crs = CRS.from_user_input(text.strip())
    except CRSError as error:
        raise DataError(
            f"{text!r} is not a coordinate system", where=where, accepted="EPSG:code or WKT"
        ) from error
    authority = crs.to_authority(min_confidence=70)
    return ":".join(authority) if authority else crs.to_wkt()


def _require_metres(source: Source) -> None:
    from pyproj import CRS

    crs = CRS.from_user_input(source.crs)
    if crs.is_geographic:
        raise DataError(
            f"is in degrees ({source.crs}) where metres are needed",
            where=source.where,
            next="Read it with reproject=true.",
        )
    if crs.axis_info[0].unit_name not in ("metre", "meter"):
        raise DataError(
            f"is in {crs.axis_info[0].unit_name} where metres are needed",
            where=source.where,
            next="Read it with reproject=true.",
        )


def _require_terrain(source: Source) -> None:
    values = source.values
    if values.ndim != 2 or min(values.shape) < 2:
        raise DataError(
            f"is {' x '.join(map(str, values.shape))} cells",
            where=source.where,
            accepted="at least 2 x 2",
        )
    if not np.isfinite(values).any():
        raise DataError("has no cell with data", where=source.where)
    low, high = np.nanmin(values), np.nanmax(values)
    if low < LOWEST_M or high > HIGHEST_M:
        odd = low if low < LOWEST_M else high
        raise DataError(
            f"holds an elevation of {odd:g} m",
            where=source.where,
            accepted=f"{LOWEST_M:g} to {HIGHEST_M:g} m",
            next="Declare that value as NoData, or say the unit.",
        )


# -- changing -----------------------------------------------------------------------------------


def reproject(
    path: Path | str,
    *,
    source_crs: str | None = None,
    unit: str | None = None,
    crs: str | None = None,
    cell_m: float | None = None,
) -> Terrain:
    """Read a raster in any coordinate system and resample it to square metric cells.

    Args:
        path: See [`load_terrain`][].
        source_crs: Coordinate system of the file, if it does not say.
        unit: Unit of elevation, if the file does not say and it is not metres.
        crs: Coordinate system wanted; the UTM zone of the raster's centre if not given.
        cell_m: Cell size (m); the native resolution if not given.
    """
    return to_metres(read_source(path, crs=source_crs, unit=unit), crs=crs, cell_m=cell_m)


def to_metres(source: Source, *, crs: str | None = None, cell_m: float | None = None) -> Terrain:
    """Resample a raster bilinearly to square metric cells; missing data does not spread.

    Rows and columns at the edge that the rotation left empty are cut away.
    """
    import rasterio
    from rasterio.warp import Resampling, calculate_default_transform
    from rasterio.warp import reproject as warp

    wanted = crs or utm_zone(source)
    rows, columns = source.values.shape
    here = rasterio.Affine(source.dx, 0, source.west, 0, -source.dy, source.north)
    south, east = source.north - rows * source.dy, source.west + columns * source.dx
    resolution = {"resolution": cell_m} if cell_m else {}
    there, width, height = calculate_default_transform(
        source.crs,
        wanted,
        columns,
        rows,
        left=source.west,
        bottom=south,
        right=east,
        top=source.north,
        **resolution,
    )
    cell = float(there.a)
    there = rasterio.Affine(cell, 0, there.c, 0, -cell, there.f)
    values = np.full((height, width), np.nan)
    warp(
        source.values,
        values,
        src_transform=here,
        src_crs=source.crs,
        dst_transform=there,
        dst_crs=wanted,
        src_nodata=np.nan,
        dst_nodata=np.nan,
        resampling=Resampling.bilinear,
    )
    grid = Grid(height, width, cell, float(there.c), float(there.f), wanted)
    note = f"reprojected from {source.crs} to {wanted}, {cell:.2f} m cells, bilinear"
    return _without_margin(Terrain(values, grid, Path(source.where).name, note))


def utm_zone(source: Source) -> str:
    """The UTM zone of a raster's centre, as an EPSG code."""
    from pyproj import Transformer

    rows, columns = source.values.shape
    x = source.west + columns * source.dx / 2
    y = source.north - rows * source.dy / 2
    to_degrees = Transformer.from_crs(source.crs, "OGC:CRS84", always_xy=True)
    longitude, latitude = to_degrees.transform(x, y)
    zone = int((longitude + 180.0) // 6.0) % 60 + 1
    return f"EPSG:{(32600 if latitude >= 0 else 32700) + zone}"


def _without_margin(terrain: Terrain) -> Terrain:
    """Cut the emptiest edge away again and again until all four edges have data everywhere.

    Only a margin goes: holes further in stay, and a raster whose edges never fill is left as it
    was but for wholly empty rows and columns.
    """
    known = np.isfinite(terrain.elevation_m)
    top, bottom, left, right = 0, known.shape[0], 0, known.shape[1]
    while bottom - top > 2 and right - left > 2:
        window = known[top:bottom, left:right]
        edges = [window[0], window[-1], window[:, 0], window[:, -1]]
        shares = [edge.mean() for edge in edges]
        worst = int(np.argmin(shares))
        if shares[worst] == 1.0:
            return crop(terrain, top, bottom, left, right)
        top, bottom = top + (worst == 0), bottom - (worst == 1)
        left, right = left + (worst == 2), right - (worst == 3)
    rows, columns = np.flatnonzero(known.any(1)), np.flatnonzero(known.any(0))
    return crop(terrain, rows[0], rows[-1] + 1, columns[0], columns[-1] + 1)


def crop(terrain: Terrain, top: int, bottom: int, left: int, right: int) -> Terrain:
    """The window of rows ``top:bottom`` and columns ``left:right``."""
    grid = terrain.grid
    x, y = grid.west_m + left * grid.cell_m, grid.north_m - top * grid.cell_m
    cut = replace(grid, rows=int(bottom - top), columns=int(right - left), west_m=x, north_m=y)
    values = np.ascontiguousarray(terrain.elevation_m[top:bottom, left:right])
    return replace(terrain, elevation_m=values, grid=cut)


def check_holes(terrain: Terrain, *, nodata: Literal["refuse", "wall", "fill"]) -> Terrain:
    """Decide about cells without data.

    Args:
        terrain: The terrain.
        nodata: ``refuse``; ``wall`` keeps them, the solver lets no water through; ``fill``
            interpolates them from their surroundings.

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
    from scipy.interpolate import griddata

    known = np.argwhere(~holes)
    values = terrain.elevation_m.copy()
    values[holes] = griddata(known, values[~holes], np.argwhere(holes), method="linear")
    rest = ~np.isfinite(values)
    if rest.any():
        values[rest] = griddata(known, values[~holes], np.argwhere(rest), method="nearest")
    note = _joined(terrain.note, f"{count} cells without data were filled by interpolation")
    return replace(terrain, elevation_m=values, note=note)


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
    geographic coordinates; reprojected to UTM zone 16 North.

    Args:
        crop_cells: Rows and columns of the window kept: the one with the lowest mean elevation, so
            that the main valley lies in it.
    """
    from matplotlib import cbook

    data = cbook.get_sample_data("jacksboro_fault_dem.npz")
    west, north = float(data["xmin"]), float(data["ymin"])  # named by row: the first is northmost
    source = Source(
        data["elevation"].astype(float),
        west,
        north,
        float(data["dx"]),
        float(data["dy"]),
        "EPSG:4326",
        "Jacksboro fault (SRTM, from matplotlib)",
    )
    whole = to_metres(source)
    whole = replace(whole, name="Jacksboro fault, Tennessee (SRTM, from matplotlib)")
    return whole if crop_cells is None else lowest_window(whole, *crop_cells)


def lowest_window(terrain: Terrain, rows: int, columns: int) -> Terrain:
    """The window of that size with the lowest mean elevation.

    Raises:
        DataError: If the terrain is smaller than the window.
    """
    height, width = terrain.elevation_m.shape
    if rows > height or columns > width:
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
    top, left = np.unravel_index(np.argmin(sums), sums.shape)
    cut = crop(terrain, int(top), int(top) + rows, int(left), int(left) + columns)
    return replace(cut, note=_joined(cut.note, f"window of {rows} x {columns} cells"))


def _joined(note: str, more: str) -> str:
    return f"{note}; {more}" if note else more
