"""Elevation files as they are: GeoTIFF, ESRI ASCII grids and NetCDF, north up, elevations in m.

Nothing is assumed that a file does not say: a missing coordinate system, a missing unit of an odd
kind, a rotated raster and missing data that nobody declared are refused with what to do about them.
"""

import io
import math
import warnings
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from assay.errors import DataError
from assay.systems.climate_impact.tables import unit_factor

__all__ = [
    "READERS",
    "Source",
    "axis_of",
    "horizontal_crs",
    "is_easting",
    "known_crs",
    "netcdf_crs",
    "read_geotiff",
    "read_source",
    "require_size",
]

LOWEST_M, HIGHEST_M = -500.0, 9000.0  # the Dead Sea's shore and Mount Everest, with room
MOST_CELLS = 500_000_000  # 4 GB in float64
METRES = {"m", "metre", "metres", "meter", "meters"}
SURVEY_FEET = {"us survey foot", "us-ft", "ftus"}  # as GDAL and EPSG spell it


@dataclass(frozen=True)
class Source:
    """A raster as its file has it.

    Attributes:
        values: Elevation ``[rows, columns]``, row 0 in the north, NaN where there is none.
        west: Western edge, in the unit of the coordinate system.
        north: Northern edge.
        dx: Width of a cell.
        dy: Height of a cell.
        crs: Coordinate system, empty where the file does not say.
        unit: Unit of elevation, empty where the file does not say.
        where: The file, for messages.
    """

    values: np.ndarray
    west: float
    north: float
    dx: float
    dy: float
    crs: str
    unit: str
    where: str


def read_source(
    path: Path | str,
    *,
    crs: str | None = None,
    unit: str | None = None,
    missing_value: float | None = None,
) -> Source:
    """Read any supported raster as it is, elevations turned into m.

    Args:
        path: GeoTIFF, ESRI ASCII grid (``.asc``, with its ``.prj`` beside it, also in a ``.zip``)
            or NetCDF (``.nc``, CF conventions).
        crs: Its coordinate system, if the file does not say.
        unit: Its unit of elevation, if the file does not say and it is not metres.
        missing_value: The elevation that stands for missing data, if the file does not say.

    Returns:
        The raster; ``crs`` is horizontal, an authority code where it has one, and ``unit`` is m.

    Raises:
        DataError: If the file cannot be read, has no coordinate system or one other than ``crs``,
            is rotated or not evenly spaced, or its elevations are not those of a terrain.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError("no such file", where=str(file), accepted="GeoTIFF, .asc, .zip or .nc")
    read = READERS.get(file.suffix.lower(), read_geotiff)
    source = read(file)
    values = source.values
    if missing_value is not None:
        values = np.where(values == missing_value, np.nan, values)
    known = known_crs(source, crs)
    factor = metres_per_unit(unit or source.unit, known, source.where)
    if unit and source.unit and factor != metres_per_unit(source.unit, known, source.where):
        raise DataError(
            f"elevation is in {source.unit!r}, not in {unit!r}", where=source.where,
            next="Leave unit= out.",
        )  # fmt: skip
    _require_terrain(source, values, factor)
    return replace(source, values=values * factor, unit="m", crs=horizontal_crs(known))


def read_geotiff(file: Path) -> Source:
    """Read one band of a GeoTIFF."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # refused below, in our words
        try:
            with rasterio.open(file, driver="GTiff") as opened:
                bands, transform = opened.count, opened.transform
                require_size(file, opened.height, opened.width)
                crs, said = opened.crs.to_wkt() if opened.crs else "", opened.units[0]
                values = opened.read(1, masked=True).astype(float).filled(np.nan)
                values = values * opened.scales[0] + opened.offsets[0]
        except (RasterioError, OSError) as error:
            raise DataError(
                "cannot be read as a raster", where=str(file), accepted="GeoTIFF, .asc, .zip or .nc"
            ) from error
    if bands != 1:
        raise DataError(f"holds {bands} bands", where=str(file), accepted="one, the elevation")
    if transform.is_identity:
        raise DataError("does not say where it lies", where=str(file), accepted="a GeoTIFF")
    if transform.b or transform.d or transform.a <= 0 or transform.e >= 0:
        raise DataError(
            "the raster is rotated or not north up", where=str(file),
            next="Warp it first, for example with gdalwarp.",
        )  # fmt: skip
    return Source(
        values, transform.c, transform.f, transform.a, -transform.e, crs, said or "", str(file)
    )


def require_size(file: Path, rows: int, columns: int) -> None:
    """Refuse a grid of more cells than one process can hold."""
    if rows * columns > MOST_CELLS:
        raise DataError(
            f"has {rows} x {columns} cells", where=str(file), accepted=f"at most {MOST_CELLS:,}"
        )


# -- ESRI ASCII grids ---------------------------------------------------------------------------


def _read_ascii(file: Path) -> Source:
    """Header keys in any order and case, ``cellsize`` or ``dx`` and ``dy``, corner or centre."""
    text, projection = _ascii_text(file)
    lines = text.splitlines()
    header, count = _ascii_header(file, lines)

    def number(*keys: str) -> float:
        found = [header[key] for key in keys if key in header]
        if not found or not math.isfinite(found[0]):
            raise DataError(f"the header has no {keys[0]}", where=str(file))
        return found[0]

    rows, columns = int(number("nrows")), int(number("ncols"))
    require_size(file, rows, columns)
    dx, dy = number("cellsize", "dx"), number("cellsize", "dy")
    if min(rows, columns, dx, dy) <= 0:
        raise DataError("the header has a size <= 0", where=str(file), accepted="an ASCII grid")
    west, south = number("xllcorner", "xllcenter"), number("yllcorner", "yllcenter")
    west -= dx / 2 if "xllcorner" not in header else 0.0
    south -= dy / 2 if "yllcorner" not in header else 0.0
    values = _ascii_values(file, lines, count, rows, columns)
    if "nodata_value" in header:
        values[values == header["nodata_value"]] = np.nan
    crs = _projection(projection) if projection.strip() else ""
    return Source(values, west, south + rows * dy, dx, dy, crs, "", str(file))


def _ascii_text(file: Path) -> tuple[str, str]:
    """Text of the grid and of the projection beside it, both also from inside a zip file."""
    beside = file.with_suffix(".prj")
    try:
        projection = beside.read_text(errors="replace") if beside.is_file() else ""
        if file.suffix.lower() != ".zip":
            return file.read_text(encoding="utf-8-sig"), projection
        with zipfile.ZipFile(file) as archive:
            names = [n for n in archive.namelist() if not n.startswith("__MACOSX")]
            grids = [n for n in names if n.lower().endswith(".asc")]
            if len(grids) != 1:
                raise DataError(f"holds {len(grids)} .asc files", where=str(file), accepted="one")
            if archive.getinfo(grids[0]).file_size > 10 * MOST_CELLS:
                raise DataError("unpacks to more than 5 GB", where=str(file))
            inside = [n for n in names if n.lower() == grids[0].lower()[:-4] + ".prj"]
            if inside:
                projection = archive.read(inside[0]).decode(errors="replace")
            return archive.read(grids[0]).decode("utf-8-sig"), projection
    except (OSError, UnicodeDecodeError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise DataError("cannot be read", where=str(file), accepted="an ASCII grid") from error


def _ascii_header(file: Path, lines: list[str]) -> tuple[dict[str, float], int]:
    """The header by lower-case key, and how many lines it takes."""
    header: dict[str, float] = {}
    for count, line in enumerate(lines):
        words = line.split()
        if not words:
            continue
        if not words[0][0].isalpha() or words[0].lower() in ("nan", "inf"):
            return header, count
        where = f"{file} line {count + 1}"
        if len(words) != 2:
            raise DataError("not a header line", where=where, accepted="a name and a number")
        try:
            header[words[0].lower()] = float(words[1])
        except ValueError:
            raise DataError(f"{words[1]!r} is not a number", where=where) from None
    return header, len(lines)


def _ascii_values(
    file: Path, lines: list[str], skipped: int, rows: int, columns: int
) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # how numpy says "not all are numbers"
        try:
            flat = np.fromstring("\n".join(lines[skipped:]), sep=" ")
        except (ValueError, DeprecationWarning):
            flat = np.empty(0)
    if flat.size == rows * columns:
        return flat.reshape(rows, columns)
    count = 0
    for number, line in enumerate(lines[skipped:], skipped + 1):
        for word in line.split():
            try:
                float(word)
            except ValueError:
                where = f"{file} line {number}"
                raise DataError(f"{word!r} is not a number", where=where) from None
            count += 1
    raise DataError(
        f"holds {count} values", where=str(file), accepted=f"{rows} x {columns} as its header says"
    )


def _projection(text: str) -> str:
    """What a ``.prj`` says: GDAL knows its dialects, but reads them only beside a grid."""
    from rasterio.errors import RasterioError
    from rasterio.io import ZipMemoryFile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.asc", "ncols 1\nnrows 1\nxllcorner 0\nyllcorner 0\ncellsize 1\n0\n")
        archive.writestr("a.prj", text)
    try:
        with ZipMemoryFile(packed.getvalue()) as memory, memory.open("a.asc") as opened:
            return opened.crs.to_wkt() if opened.crs else text
    except RasterioError:
        return text


# -- NetCDF -------------------------------------------------------------------------------------


def _read_netcdf(file: Path) -> Source:
    """The one two-dimensional variable of a CF file, its axes turned north up."""
    import xarray as xr

    try:
        with xr.open_dataset(file, decode_coords="all") as opened:
            data = opened.load()
    except (OSError, ValueError) as error:
        raise DataError("cannot be read", where=str(file), accepted="NetCDF") from error
    fields = {n: v.squeeze(drop=True) for n, v in data.data_vars.items()}
    names = [n for n, v in fields.items() if v.ndim == 2]
    if len(names) != 1:
        raise DataError(
            f"holds {len(names)} two-dimensional variables", where=str(file), accepted="one"
        )
    field = fields[names[0]]
    if missing := [str(n) for n in field.dims if n not in data.coords]:
        raise DataError(f"has no coordinates {missing[0]!r}", where=str(file), accepted="CF axes")
    if is_easting(data[field.dims[0]]):
        field = field.transpose()
    y, x = (data[n] for n in field.dims)
    (south, dy, up), (west, dx, right) = axis_of(y, file), axis_of(x, file)
    values = np.array(field, float)[:: -1 if up else 1, :: 1 if right else -1]
    degrees = str(x.attrs.get("units", "")).startswith("degree")
    if degrees and west >= 180.0:
        west -= 360.0
    crs = netcdf_crs(data, data[names[0]], str(file)) or ("OGC:CRS84" if degrees else "")
    unit = str(field.attrs.get("units", ""))
    return Source(values.copy(), west, south + dy * y.size, dx, dy, crs, unit, str(file))


def is_easting(axis: Any) -> bool:
    """Whether a coordinate of a NetCDF file runs from west to east."""
    said = (axis.attrs.get("axis"), axis.attrs.get("standard_name"), str(axis.name).lower())
    return not {"X", "projection_x_coordinate", "x", "lon", "longitude"}.isdisjoint(said)


def axis_of(axis: Any, file: Path) -> tuple[float, float, bool]:
    """Lowest edge, spacing, and whether an axis ascends."""
    centres = np.asarray(axis, float)
    if axis.attrs.get("units") in ("km", "kilometre", "kilometer"):
        centres = centres * 1000.0
    ascends = bool(centres[0] <= centres[-1])
    centres = centres if ascends else centres[::-1]
    even = np.linspace(centres[0], centres[-1], centres.size)
    spacing = float(even[-1] - even[0]) / max(centres.size - 1, 1)
    if not np.abs(centres - even).max() <= 0.05 * spacing:  # float32 degrees are off by 0.01
        raise DataError(f"coordinates {axis.name!r} are not evenly spaced", where=str(file))
    return float(even[0]) - spacing / 2, spacing, ascends


def netcdf_crs(data: Any, field: Any, where: str) -> str:
    """The grid mapping, empty if there is none."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    said = field.attrs.get("grid_mapping") or field.encoding.get("grid_mapping", "spatial_ref")
    mapping = str(said).split(":")[0].strip()
    attributes = data[mapping].attrs if mapping in data.variables else {}
    if not attributes:
        return str(data.attrs.get("crs", ""))
    if code := str(attributes.get("epsg_code", "")).upper().removeprefix("EPSG:"):
        return f"EPSG:{code}"
    try:
        return CRS.from_cf(attributes).to_wkt()
    except CRSError as error:
        raise DataError(f"grid mapping {mapping!r} cannot be read", where=where) from error


READERS = {
    ".asc": _read_ascii,
    ".zip": _read_ascii,
    ".nc": _read_netcdf,
    ".nc4": _read_netcdf,
    ".cdf": _read_netcdf,
}


# -- what a file says and what it must ----------------------------------------------------------


def known_crs(source: Source, said: str | None) -> Any:
    """The coordinate system of the file or, if it has none, the one it is said to have."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    def parse(text: str) -> Any:
        try:
            return CRS.from_user_input(text.strip())
        except CRSError as error:
            raise DataError(
                f"{text!r} is not a coordinate system", where=source.where,
                accepted="EPSG:code or WKT",
            ) from error  # fmt: skip

    if not (source.crs.strip() or said):
        raise DataError(
            "has no coordinate system", where=source.where,
            next="Say which with crs=, as in EPSG:32616.",
        )  # fmt: skip
    known = parse(source.crs if source.crs.strip() else str(said))
    if not (known.is_geographic or known.is_projected) or known.is_engineering:
        raise DataError(
            f"{known.name!r} is not a map", where=source.where,
            accepted="a geographic or projected coordinate system",
        )  # fmt: skip
    if said:
        told = parse(said)
        names = horizontal_crs(known), horizontal_crs(told)
        if names[0] != names[1] and not known.equals(told, ignore_axis_order=True):
            raise DataError(
                f"lies in {known.name}, not in {told.name}", where=source.where,
                next="Leave crs= out; it does not reproject.",
            )  # fmt: skip
    return known


def horizontal_crs(crs: Any) -> str:
    """A coordinate system without its heights, as an authority code where it has one."""
    flat = crs.to_2d()
    authority = flat.to_authority(min_confidence=70)
    return ":".join(authority) if authority else flat.to_wkt()


def metres_per_unit(unit: str, crs: Any, where: str) -> float:
    """Of the elevations: as said, else the unit of the heights of the system, else metres."""
    if not unit:
        return next((a.unit_conversion_factor for a in crs.axis_info if a.direction == "up"), 1.0)
    if unit.lower() in METRES:
        return 1.0
    return unit_factor("survey_foot" if unit.lower() in SURVEY_FEET else unit, "m", where)


def _require_terrain(source: Source, values: np.ndarray, factor: float) -> None:
    """Refuse what cannot be elevations; ``values`` are in the file's unit, ``factor`` m each."""
    if min(values.shape) < 2:
        raise DataError(
            f"is {values.shape[0]} x {values.shape[1]} cells", where=source.where,
            accepted="at least 2 x 2",
        )  # fmt: skip
    known = values[~np.isnan(values)]
    if not known.size:
        raise DataError("has no cell with data", where=source.where)
    odd = known[(known * factor < LOWEST_M) | (known * factor > HIGHEST_M)]
    if odd.size:
        found, counts = np.unique(odd, return_counts=True)
        value, count = found[counts.argmax()], counts.max()
        raise DataError(
            f"{count} of {values.size} cells hold {value:g}", where=source.where,
            accepted=f"elevations of {LOWEST_M:g} to {HIGHEST_M:g} m",
            next=f"If that means missing data, say missing_value={value:g}; else say the unit.",
        )  # fmt: skip
