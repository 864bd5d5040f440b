"""Rain that differs from cell to cell: series of rasters in NetCDF or Zarr, or one raster.

Notable in this file:

* *Only CF times are believed.* ``hours since 2007-06-08`` is a time axis; a bare ``hours`` or
  ``months since`` is refused. Where an axis has bounds, they say when a value holds.
* *Nothing is assumed about place.* The coordinate system comes from the grid mapping or from the
  user, and rain that does not cover the terrain is refused.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from assay.core.component import File, Folder, component
from assay.errors import DataError, ParameterError, did_you_mean
from assay.systems.climate_impact import formats
from assay.systems.climate_impact.formats import Source
from assay.systems.climate_impact.rain import Hyetograph, RainField
from assay.systems.climate_impact.rasters import Terrain
from assay.systems.climate_impact.regrid import average_onto, read_grid
from assay.systems.climate_impact.series import (
    TINY_S,
    Gaps,
    Layout,
    Stamps,
    Years,
    join_spans,
    lay_out,
    rain_unit,
    rates_of,
)

__all__ = ["RainField", "areal_mean", "observed_rain_field", "seconds_per_unit"]

NETCDF = {".nc", ".nc4", ".cdf"}
_SINCE = re.compile(
    r"(?P<unit>[a-z]+) since (?P<date>-?\d{1,4}-\d{1,2}-\d{1,2})"
    r"(?:[ T]+\d{1,2}:\d{1,2}(?::\d{1,2}(?:\.\d*)?)?)? ?(?:Z|UTC|[+-]?\d{1,2}(?::?\d{2})?)?"
)
_SECONDS = {
    1.0: ("s", "sec", "secs", "second", "seconds"),
    60.0: ("min", "mins", "minute", "minutes"),
    3600.0: ("h", "hr", "hrs", "hour", "hours"),
    86400.0: ("d", "day", "days"),
    1e-3: ("msec", "msecs", "millisecond", "milliseconds"),
}


@component(version="1", requires=("numpy", "pint", "pyproj", "rasterio", "scipy", "xarray", "zarr"))
def observed_rain_field(
    terrain: Terrain,
    *,
    return_period_years: Years,
    path: File | None = None,
    folder: Folder | None = None,
    variable: str | None = None,
    crs: str | None = None,
    unit: str | None = None,
    duration_h: Annotated[float, Field(gt=0, le=24 * 366)] | None = None,
    gaps: Gaps = "refuse",
    stamps: Stamps = "start",
    missing: Literal["refuse", "dry"] = "refuse",
) -> RainField:
    """Read rasters of observed rain and average them over the cells of a terrain.

    Areas of overlap are the weights, so that the volume of rain is kept.

    Args:
        terrain: The terrain; cells without data need no rain.
        return_period_years: How rarely such a storm comes (years): your estimate, the file has
            none.
        path: NetCDF (``.nc``) with axes of time and place, or a single raster: GeoTIFF or ESRI
            ASCII grid (``.asc``, also zipped).
        folder: Zarr store of the same, instead of ``path``.
        variable: Name of the rain, where the file holds several variables.
        crs: Its coordinate system, if the file does not say; for example EPSG:32616.
        unit: Unit of the rain, such as mm or mm/h, if the file does not say.
        duration_h: How long a single raster lasts (h).
        gaps: What to do with a step longer than the usual one: refuse; ``dry``, nothing fell after
            the usual step; ``hold``, a raster lasts until the next.
        stamps: Whether a time is the start of its step or its end; bounds of the axis go before.
        missing: What to do with cells of the rain without data: refuse, or ``dry``.

    Raises:
        DataError: If the file cannot be read, its times are not those of CF conventions or have
            gaps, its unit is none of rain, its rain is negative or implausible, or it does not
            cover the terrain.
    """
    if (path is None) == (folder is None):
        raise ParameterError("needs one of path and folder", where="path", accepted="one of them")
    file = path or folder or Path()
    if folder is not None or file.suffix.lower() in NETCDF:
        source, layout = _read_series(file, variable, crs, gaps, stamps, duration_h)
    else:
        source = read_grid(file, crs=crs)
        source = replace(source, values=source.values[None])
        layout = _alone(source.where, duration_h)
    if unit and source.unit and unit != source.unit:
        raise DataError(
            f"rain is in {source.unit!r}, not in {unit!r}", where=source.where,
            next="Leave unit= out.",
        )  # fmt: skip
    rained = rain_unit(source.unit or unit or "", source.where)
    values = source.values * rained.factor
    if missing == "dry":
        values = np.where(np.isnan(values), 0.0, values)
    rates = rates_of(values, rained, layout, lambda k: f"{source.where}, time {k + 1}")
    needed = np.isfinite(terrain.elevation_m)
    found = average_onto(replace(source, values=rates), terrain.grid, needed, "the rain")
    label = f"rain of {file.name}"
    return RainField(layout.times_s, found, terrain.grid, label, float(return_period_years))


@component(version="1")
def areal_mean(rain: RainField, terrain: Terrain | None = None) -> Hyetograph:
    """The mean rain over a terrain, the same on every cell.

    Args:
        rain: Rain by cell.
        terrain: Its cells with data count; all cells if not given.

    Raises:
        DataError: If the terrain has another grid than the rain.
    """
    if terrain is not None and terrain.grid != rain.grid:
        raise DataError("rain and terrain have different grids", where=rain.label)
    everywhere = np.ones((rain.grid.rows, rain.grid.columns), bool)
    known = everywhere if terrain is None else np.isfinite(terrain.elevation_m)
    return Hyetograph(
        rain.times_s,
        rain.rain_mm_per_h[:, known].mean(axis=1),
        f"{rain.label}, areal mean",
        rain.return_period_years,
    )


# -- NetCDF and Zarr ----------------------------------------------------------------------------


def _read_series(
    file: Path,
    variable: str | None,
    crs: str | None,
    gaps: Gaps,
    stamps: Stamps,
    duration_h: float | None,
) -> tuple[Source, Layout]:
    """Rasters ``[times, rows, columns]``, north up, and when each holds."""
    import xarray as xr

    where = str(file)
    more: dict[str, Any] = {"engine": "zarr", "consolidated": False} if file.is_dir() else {}
    try:
        with xr.open_dataset(file, decode_coords="all", decode_times=False, **more) as opened:
            data = opened.load()
    except (OSError, ValueError, KeyError) as error:
        raise DataError("cannot be read", where=where, accepted="NetCDF or Zarr") from error
    field = _field(data, variable, where)
    raw = data[field.name]
    time = next((n for n in field.dims if _is_time(data, n)), None)
    if time is None:
        raise DataError(
            f"{field.name!r} has no time axis", where=where,
            accepted="dimensions of time and place, times such as 'hours since 2007-06-08'",
        )  # fmt: skip
    places = [n for n in field.dims if n != time]
    if lost := [str(n) for n in places if n not in data.coords]:
        raise DataError(f"has no coordinates {lost[0]!r}", where=where, accepted="CF axes")
    if formats.is_easting(data[places[0]]):
        places.reverse()
    y, x = (data[n] for n in places)
    (south, dy, up), (west, dx, right) = formats.axis_of(y, file), formats.axis_of(x, file)
    values = np.array(field.transpose(time, *places), float)
    values = values[:, :: -1 if up else 1, :: 1 if right else -1].copy()
    degrees = str(x.attrs.get("units", "")).startswith("degree")
    west -= 360.0 if degrees and west >= 180.0 else 0.0
    said = formats.netcdf_crs(data, raw, where) or ("OGC:CRS84" if degrees else "")
    source = Source(
        values, west, south + dy * y.size, dx, dy, said, str(raw.attrs.get("units", "")), where
    )
    source = replace(source, crs=formats.horizontal_crs(formats.known_crs(source, crs)))
    return source, _times(data, str(time), where, gaps, stamps, duration_h)


def _field(data: Any, variable: str | None, where: str) -> Any:
    """The variable of three dimensions, others of one step dropped."""
    names = [str(n) for n, v in data.data_vars.items() if v.ndim >= 3]
    if variable is not None and variable not in data.data_vars:
        raise DataError(
            f"no variable {variable!r}", where=where, next=did_you_mean(variable, names)
        )
    if variable is None and len(names) != 1:
        raise DataError(
            f"holds {len(names)} variables over time and place", where=where,
            accepted="one, or its name with variable=", next=did_you_mean("", names),
        )  # fmt: skip
    found = data[variable or names[0]]
    spare = [n for n in found.dims if found.sizes[n] == 1 and not _is_time(data, n)]
    found = found.squeeze(spare[: max(found.ndim - 3, 0)], drop=True)
    if found.ndim != 3:
        raise DataError(
            f"{found.name!r} has {found.ndim} dimensions", where=where, accepted="time, y and x"
        )
    return found


def _is_time(data: Any, name: Any) -> bool:
    said = data[name].attrs if name in data.variables else {}
    marks = said.get("axis") == "T" or said.get("standard_name") == "time"
    return marks or " since " in str(said.get("units", "")) or str(name).lower() in ("time", "t")


def _times(
    data: Any, name: str, where: str, gaps: Gaps, stamps: Stamps, duration_h: float | None
) -> Layout:
    axis = data.variables[name]
    seconds = seconds_per_unit(str(axis.attrs.get("units", "")), f"{where}, {name}")

    def place(k: int) -> str:
        return f"{where}, {name} {k + 1}"

    stamps_s = np.asarray(axis, float) * seconds
    if not np.isfinite(stamps_s).all():
        raise DataError("a time is missing", where=place(int((~np.isfinite(stamps_s)).argmax())))
    none = np.zeros(stamps_s.size, bool)
    bounds = str(axis.attrs.get("bounds") or axis.encoding.get("bounds", ""))
    if bounds in data.variables:
        edges = np.asarray(data.variables[bounds], float) * seconds
        if edges.shape != (stamps_s.size, 2) or not (edges[:, 0] < edges[:, 1]).all():
            raise DataError(f"bounds {bounds!r} of the times are no spans", where=where)
        between = edges[1:, 0] - edges[:-1, 1]
        wrong = (between < -TINY_S) | ((between > TINY_S) & (gaps != "dry"))
        if wrong.any():
            raise DataError(
                "the span leaves a gap or overlaps", where=place(int(wrong.argmax()) + 1),
                accepted="spans that follow one another", next="Say gaps=dry if nothing fell.",
            )  # fmt: skip
        return join_spans(edges[:, 0], edges[:, 1], none)
    if stamps_s.size == 1:
        return _alone(where, duration_h)
    return lay_out(stamps_s, none, place, gaps=gaps, stamps=stamps)


def seconds_per_unit(units: str, where: str) -> float:
    """Seconds in one step of a CF time axis.

    Raises:
        DataError: If these are not units of time since a date, or not of a fixed length.

    Example:
        >>> seconds_per_unit("minutes since 2007-06-08 00:00:00", "a.nc")
        60.0
    """
    said = _SINCE.fullmatch(units.strip())
    known = [s for s, names in _SECONDS.items() if said and said["unit"] in names]
    if not known:
        raise DataError(
            f"times are in {units!r}" if units else "says no unit of time", where=where,
            accepted="CF units, such as 'hours since 2007-06-08 00:00'",
        )  # fmt: skip
    return known[0]


def _alone(where: str, duration_h: float | None) -> Layout:
    if duration_h is None:
        raise DataError("holds one raster", where=where, next="Say how long with duration_h=.")
    return Layout(np.array([0.0, duration_h * 3600.0]), np.array([0]))
