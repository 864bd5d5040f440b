"""Rasters and rain as NetCDF by the CF conventions, and a check of the rules we rely on.

The check is not a full checker: it tests what other programs need to find place, time and unit. CF
coordinates are cell centres, y descends, and the grid mapping holds the whole coordinate system.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assay.errors import DataError
from assay.systems.climate_impact import tables
from assay.systems.climate_impact.rain import Hyetograph
from assay.systems.climate_impact.rainfield import RainField, seconds_per_unit
from assay.systems.climate_impact.rasters import Grid, Raster
from assay.systems.climate_impact.series import spelt_for_pint

__all__ = ["CONVENTIONS", "check_cf", "write_netcdf", "write_rain"]

CONVENTIONS = "CF-1.11"
EPOCH = "2000-01-01 00:00:00"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_STANDARD = re.compile(r"[a-z][a-z0-9_]*( (number_of_observations|standard_error|status_flag))?")
_AXES = {
    "projection_x_coordinate": ("X", "m"),
    "projection_y_coordinate": ("Y", "m"),
    "longitude": ("X", "degrees_east"),
    "latitude": ("Y", "degrees_north"),
    "time": ("T", ""),
}


# -- writing ------------------------------------------------------------------------------------


def write_netcdf(
    path: Path | str,
    rasters: Sequence[Raster],
    *,
    title: str = "",
    standard_names: Mapping[str, str] | None = None,
    cell_methods: Mapping[str, str] | None = None,
) -> None:
    """Write rasters of one grid as a NetCDF file by CF conventions.

    A variable is named after its raster, in lower case with underscores; its ``long_name`` is the
    name itself.

    Args:
        path: The file (``.nc``).
        rasters: One or more, on the same grid, with different names.
        title: What the file holds, for people.
        standard_names: CF standard names by the name of the raster, where there is one.
        cell_methods: CF cell methods by the name of the raster, as in ``area: mean``.

    Raises:
        DataError: If the grids differ, two names come out alike, or a unit is none.
    """
    if not rasters:
        raise DataError("no rasters to write", where=str(path))
    grid = rasters[0].grid
    variables: dict[str, Any] = {}
    for raster in rasters:
        name = _variable_name(raster.name)
        if raster.grid != grid:
            raise DataError(f"{raster.name!r} has another grid than the first", where=str(path))
        if name in variables:
            raise DataError(f"two rasters are named {name!r}", where=str(path))
        said = {"standard_name": standard_names, "cell_methods": cell_methods}
        more = {k: v[raster.name] for k, v in said.items() if v and raster.name in v}
        variables[name] = (("y", "x"), raster.values, _said(raster.name, raster.unit, more))
    _write(path, variables, _places(grid), grid, title)


def write_rain(path: Path | str, rain: Hyetograph | RainField, *, start: str = EPOCH) -> None:
    """Write rain as a NetCDF file by CF conventions, with the bounds of its steps.

    Args:
        path: The file (``.nc``).
        rain: Rain everywhere alike, a series; or by cell, a series of rasters.
        start: Date and time of its beginning, UTC; storms of no date begin in 2000.

    Raises:
        DataError: If the rain never ends, or ``start`` is no date and time.
    """
    units = f"seconds since {start}"
    seconds_per_unit(units, str(path))
    rates = rain.rain_mm_per_h
    if len(rates) == rain.times_s.size and np.any(rates[-1]):
        raise DataError("the rain never ends", where=rain.label)
    edges = np.column_stack([rain.times_s[:-1], rain.times_s[1:]])
    time = {"standard_name": "time", "units": units, "axis": "T", "bounds": "time_bounds",
            "calendar": "standard"}  # fmt: skip
    coordinates: dict[str, Any] = {
        "time": ("time", edges[:, 0], time),
        "time_bounds": (("time", "bound"), edges),
    }
    more = {"standard_name": "rainfall_rate", "cell_methods": "time: mean"}
    said = _said(rain.label, "mm h-1", more)
    grid = rain.grid if isinstance(rain, RainField) else None
    places = _places(grid) if grid else {}
    dims = ("time", "y", "x") if grid else ("time",)
    variables = {"rain": (dims, rates[: len(edges)], said)}
    _write(path, variables, coordinates | places, grid, rain.label)


def _said(name: str, unit: str, more: Mapping[str, str]) -> dict[str, str]:
    if problem := _unit_problem(unit):
        raise DataError(problem, where=name, accepted="a unit such as m or m s-1, 1 for none")
    return {"long_name": name, "units": unit, **more}


def _write(
    path: Path | str, variables: dict[str, Any], coordinates: Any, grid: Grid | None, title: str
) -> None:
    import xarray as xr

    attributes = {"Conventions": CONVENTIONS, "title": title or ", ".join(variables)}
    data = xr.Dataset(variables, coords=coordinates, attrs=attributes)
    if grid is not None:
        from pyproj import CRS

        data["crs"] = xr.DataArray(np.int32(0), attrs=CRS.from_user_input(grid.crs).to_cf())
        for name in variables:
            data[name].attrs["grid_mapping"] = "crs"
    encoding: dict[str, Any] = {str(n): {"_FillValue": None} for n in data.coords}
    encoding |= {n: {"zlib": True, "_FillValue": np.nan} for n in variables}
    data.to_netcdf(path, engine="h5netcdf", encoding=encoding)


def _places(grid: Grid) -> dict[str, Any]:
    """Centres of the columns and rows of a grid."""
    x, _ = grid.centres(np.zeros(grid.columns), np.arange(grid.columns))
    _, y = grid.centres(np.arange(grid.rows), np.zeros(grid.rows))
    return {
        "y": ("y", y, {"standard_name": "projection_y_coordinate", "units": "m", "axis": "Y"}),
        "x": ("x", x, {"standard_name": "projection_x_coordinate", "units": "m", "axis": "X"}),
    }


def _variable_name(name: str) -> str:
    found = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return found if _NAME.fullmatch(found) else f"raster_{found}".rstrip("_")


# -- checking -----------------------------------------------------------------------------------


def check_cf(path: Path | str) -> list[str]:
    """What in a NetCDF file is not as the CF conventions want it; empty where all is well.

    Looks at the conventions named, names of variables, units (read by pint), axes with their
    standard names, units of time, bounds, grid mappings, cell methods and fill values.

    Raises:
        DataError: If the file cannot be read.
    """
    import xarray as xr

    try:
        with xr.open_dataset(path, decode_cf=False) as opened:
            data = opened.load()
    except (OSError, ValueError) as error:
        raise DataError("cannot be read", where=str(path), accepted="NetCDF") from error
    found = []
    if not re.search(r"\bCF-1\.\d+", str(data.attrs.get("Conventions", ""))):
        found.append("the file names no CF conventions")
    helpers = {v.attrs[k] for v in data.variables.values() for k in ("bounds", "grid_mapping")
               if k in v.attrs}  # fmt: skip
    for name, variable in data.variables.items():
        if not _NAME.fullmatch(str(name)):
            found.append(f"{name}: no name of letters, digits and underscores")
        if name in helpers:
            continue
        if variable.dims == (name,):
            found += [f"{name}: {said}" for said in _axis_problems(data, variable)]
        else:
            found += [f"{name}: {said}" for said in _field_problems(data, variable)]
    return found


def _axis_problems(data: Any, axis: Any) -> list[str]:
    said, found = axis.attrs, []
    standard, units = str(said.get("standard_name", "")), str(said.get("units", ""))
    if standard not in _AXES:
        found.append(f"standard name {standard!r} is that of no axis of place or time")
    elif said.get("axis") not in (None, _AXES[standard][0]):
        found.append(f"axis {said['axis']!r} is not {_AXES[standard][0]!r}")
    if standard == "time" or " since " in units:
        try:
            seconds_per_unit(units, "")
        except DataError as error:
            found.append(error.what)
    elif standard in _AXES and units != _AXES[standard][1]:
        found.append(f"units {units!r} are not {_AXES[standard][1]!r}")
    if "_FillValue" in said or np.isnan(np.asarray(axis, float)).any():
        found.append("an axis has no missing values")
    steps = np.diff(np.asarray(axis, float))
    if not ((steps > 0).all() or (steps < 0).all()):
        found.append("an axis rises or falls throughout")
    if "bounds" in said:
        bounds = data.variables.get(said["bounds"])
        if bounds is None or bounds.shape != (axis.size, 2):
            found.append(f"bounds {said['bounds']!r} are not there, or not two for each")
    return found


def _field_problems(data: Any, field: Any) -> list[str]:
    said, found = field.attrs, []
    if problem := _unit_problem(str(said.get("units", ""))):
        found.append(problem)
    if not ("standard_name" in said or "long_name" in said):
        found.append("neither standard_name nor long_name")
    if "standard_name" in said and not _STANDARD.fullmatch(said["standard_name"]):
        found.append(f"{said['standard_name']!r} is no standard name")
    if lost := [d for d in field.dims if d not in data.variables]:
        found.append(f"dimension {lost[0]!r} has no coordinates")
    if "_FillValue" in said and np.asarray(said["_FillValue"]).dtype != field.dtype:
        found.append("the fill value is of another type than the values")
    methods = re.findall(r"(\w+): \w+", str(said.get("cell_methods", "")))
    if "cell_methods" in said and not (methods and {*methods} <= {*map(str, field.dims), "area"}):
        found.append(f"cell methods {said['cell_methods']!r} name no dimension")
    axes = {data.variables[d].attrs.get("axis") for d in field.dims if d in data.variables}
    if {"X", "Y"} <= axes:
        found += _mapping_problems(data, said.get("grid_mapping"))
    return found


def _mapping_problems(data: Any, name: str | None) -> list[str]:
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    if name not in data.variables:
        return [f"grid mapping {name!r} is not there" if name else "no grid mapping"]
    try:
        CRS.from_cf(data.variables[name].attrs)
    except (CRSError, KeyError):
        return [f"grid mapping {name!r} cannot be read"]
    return []


def _unit_problem(unit: str) -> str:
    import pint

    if not unit:
        return "no units"
    spelt = spelt_for_pint(unit)
    if unit != "1" and not tables.UNIT.fullmatch(spelt):  # pint would evaluate 9**9**9
        return f"{unit[:40]!r} is no unit"
    try:
        pint.get_application_registry().Unit(spelt)
    except Exception:  # pint tokenises the text as an expression and may fail anyhow
        return f"{unit!r} is no unit"
    return ""
