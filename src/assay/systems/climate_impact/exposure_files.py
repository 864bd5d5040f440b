"""Buildings from vector files and CSV: positions into the terrain's coordinate system, or refused.

Nothing is assumed about a file that does not say it: a CSV without a coordinate system, degrees
that are none, missing footprints and values are refused with the line or feature concerned.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import PositiveFloat

from assay.core.component import File, component
from assay.errors import DataError, did_you_mean
from assay.systems.climate_impact.exposure import Assets, covered, inner_points
from assay.systems.climate_impact.rasters import Terrain
from assay.systems.climate_impact.tables import Table, read_table

_FORMATS = "GeoJSON, GeoPackage, Shapefile or CSV"
_MAGIC = (b"SQLite format 3\x00", b"\x00\x00\x27\x0a")

__all__ = ["read_exposure"]

AREA, VALUE = "area_m2", "max_damage_per_m2"
NAMES = ("name", "id", "fid")


class _Features(NamedTuple):
    """Geometries in the terrain's coordinate system, their table, and what is read of them."""

    shapes: np.ndarray
    table: Table
    layer: str


@component(version="1", requires=("geopandas", "pyogrio", "pyproj", "shapely"))
def read_exposure(
    terrain: Terrain,
    *,
    path: File,
    currency: str,
    crs: str | None = None,
    layer: str | None = None,
    area_column: str | None = None,
    value_column: str | None = None,
    name_column: str | None = None,
    max_damage_per_m2: PositiveFloat | None = None,
    outside: Literal["refuse", "drop"] = "refuse",
    kind: str = "buildings",
) -> Assets:
    """Read buildings, as points or polygons: GeoJSON, GeoPackage or CSV.

    Args:
        terrain: The terrain they stand on; positions are reprojected to it.
        path: The file; CSV has columns ``x`` and ``y`` or ``lon`` and ``lat``.
        currency: Unit of damage, such as EUR; never assumed.
        crs: Coordinate system of the file. CSV needs it; for other files it overrides theirs.
        layer: Layer of a file with several.
        area_column: Column of footprints (m2, or the unit in a CSV header); ``area_m2`` if not
            given. Polygons without it have their own area.
        value_column: Column of the cost of total loss (currency/m2); ``max_damage_per_m2`` if
            not given.
        name_column: Column of names; ``name`` or ``id`` if not given, else assets are numbered.
        max_damage_per_m2: Cost of total loss for all, where the file has no such column.
        outside: What to do with buildings that lie on no cell with terrain: refuse or drop.
        kind: What they are, for people.

    Raises:
        DataError: If the file cannot be read, is empty, lacks a coordinate system, a geometry or a
            column, holds a missing or negative number, or assets lie outside.
    """
    file = Path(path)
    read = _read_points if file.suffix.lower() in (".csv", ".txt") else _read_vector
    features = read(file, crs, layer, terrain.grid.crs)
    shapes, table = features.shapes, features.table
    area = _areas(features, area_column)
    value = _values(table, value_column, max_damage_per_m2, currency)
    names = _names(table, name_column)
    x, y, owner = covered(shapes, terrain)
    kept = np.flatnonzero(np.bincount(owner, minlength=len(shapes)))
    note = f"{file.name}{features.layer}"
    if kept.size < len(shapes):
        note += _left_out(kept, names, table, outside)
    place = np.full(len(shapes), -1)
    place[kept] = np.arange(kept.size)
    centre = inner_points(shapes[kept])
    return Assets(
        centre[:, 0], centre[:, 1], area[kept], value[kept], [names[k] for k in kept],
        x, y, place[owner], kind, currency, terrain.grid.crs, note,
    )  # fmt: skip


def _read_points(file: Path, crs: str | None, layer: str | None, wanted: str) -> _Features:
    import geopandas as gpd

    table = read_table(file)
    degrees = table.one_of(["lon", "longitude"]) is not None and table.one_of(["x", "x_m"]) is None
    if degrees:
        columns = table.column("lon", "longitude"), table.column("lat", "latitude")
    else:
        columns = table.column("x", "x_m"), table.column("y", "y_m")
    if crs is None:
        hint = "EPSG:4326 if these are GPS degrees" if degrees else "as in EPSG:32616"
        raise DataError(
            "has no coordinate system", where=str(file), next=f"Say which with crs=, {hint}."
        )
    x, y = (table.numbers(c) for c in columns)
    for k in np.flatnonzero(~(np.isfinite(x) & np.isfinite(y))):
        raise DataError("has no position", where=table.places[k], accepted=" and ".join(columns))
    series = gpd.GeoSeries(gpd.points_from_xy(x, y), crs=_known(crs, file))
    return _Features(_reprojected(series, wanted, table), table, "")


def _require_known_format(file: Path) -> None:
    """Refuse what GDAL would read but can point to other files and hosts, such as its VRT."""
    try:
        with file.open("rb") as opened:
            head = opened.read(1024)
    except OSError as error:
        raise DataError("cannot be read", where=str(file), accepted=_FORMATS) from error
    if not (head.startswith(_MAGIC) or head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"):
        raise DataError("is in no known format", where=str(file), accepted=_FORMATS)


def _read_vector(file: Path, crs: str | None, layer: str | None, wanted: str) -> _Features:
    import geopandas as gpd
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    _require_known_format(file)
    try:
        layers = [str(name) for name, kind in pyogrio.list_layers(file) if kind is not None]
        if layer is None and len(layers) != 1:
            listed = ", ".join(layers)
            raise DataError(
                f"has {len(layers)} layers with geometries", where=str(file),
                accepted=f"layer=, one of {listed}" if layers else "points or polygons",
            )  # fmt: skip
        if layer is not None and layer not in layers:
            raise DataError(
                f"no layer {layer!r}", where=str(file), next=did_you_mean(layer, layers)
            )
        frame = gpd.read_file(file, layer=layer or layers[0])
    except (DataSourceError, DataLayerError, OSError) as error:
        raise DataError("cannot be read", where=str(file), accepted=_FORMATS) from error
    if not len(frame):
        raise DataError("is empty", where=str(file), accepted="points or polygons")
    places = [f"{file} feature {k + 1}" for k in range(len(frame))]
    columns = {str(n): frame[n].tolist() for n in frame.columns if n != frame.geometry.name}
    table = Table(columns, {}, places, str(file))
    _require_shapes(frame.geometry, table)
    series = frame.geometry
    if crs is not None:
        series = series.set_crs(_known(crs, file), allow_override=True)
    if series.crs is None:
        raise DataError("has no coordinate system", where=str(file), next="Say which with crs=.")
    chosen = f", layer {layer}" if layer else ""
    return _Features(_reprojected(series, wanted, table), table, chosen)


def _require_shapes(series: Any, table: Table) -> None:
    for shape, place in zip(series, table.places, strict=True):
        if shape is None or shape.is_empty:
            raise DataError("has no geometry", where=place, accepted="a point or a polygon")
        if shape.geom_type not in ("Point", "Polygon", "MultiPolygon"):
            raise DataError(f"is a {shape.geom_type}", where=place, accepted="a point or a polygon")
        if not shape.is_valid:
            raise DataError(
                "the polygon crosses itself", where=place, next="Repair it (ogr2ogr -makevalid)."
            )


def _known(crs: str, file: Path) -> Any:
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        return CRS.from_user_input(crs)
    except CRSError as error:
        raise DataError(
            f"{crs!r} is not a coordinate system", where=str(file), accepted="EPSG:code or WKT"
        ) from error


def _reprojected(series: Any, wanted: str, table: Table) -> np.ndarray:
    """Shapes in the coordinate system wanted; positions that cannot be degrees are refused."""
    if series.crs.is_geographic:
        bounds = series.bounds.to_numpy()
        wrong = (np.abs(bounds[:, [0, 2]]) > 360).any(1) | (np.abs(bounds[:, [1, 3]]) > 90).any(1)
        for k in np.flatnonzero(wrong):
            raise DataError(
                f"x {bounds[k, 0]:g}, y {bounds[k, 1]:g} are not degrees ({series.crs.name})",
                where=table.places[k],
                next="Say the coordinate system of the file with crs=.",
            )
    return np.asarray(series.to_crs(wanted), dtype=object)


def _areas(features: _Features, column: str | None) -> np.ndarray:
    import shapely

    table, own = features.table, shapely.area(features.shapes)
    name = table.column(column) if column else table.one_of([AREA])
    if name is None and own.all():
        return own
    area = table.numbers(name or table.column(AREA), unit="m^2", assumed="m^2")
    for k in np.flatnonzero(~(area > 0) | np.isinf(area)):
        raise DataError(_odd("footprint", area[k]), where=table.places[k], accepted="m2, > 0")
    return area


def _values(table: Table, column: str | None, for_all: float | None, currency: str) -> np.ndarray:
    name = table.column(column) if column else table.one_of([VALUE])
    if name is None and for_all is not None:
        return np.full(len(table.places), float(for_all))
    name = name or table.column(VALUE)
    said = table.units.get(name, "")
    if said and said.replace(" ", "").replace("²", "2").replace("^", "") != f"{currency}/m2":
        raise DataError(
            f"is in {said}", where=f"{table.where}, {name}", accepted=f"{currency}/m2",
            next="Say the file's currency with currency=, or convert the column.",
        )  # fmt: skip
    value = table.numbers(name)
    for k in np.flatnonzero(~(value >= 0) | np.isinf(value)):
        raise DataError(
            _odd("maximum damage", value[k]), where=table.places[k], accepted="currency/m2, >= 0"
        )
    return value


def _odd(what: str, value: float) -> str:
    return f"the {what} is missing" if np.isnan(value) else f"the {what} is {value:g}"


def _names(table: Table, column: str | None) -> list[str]:
    name = table.column(column) if column else table.one_of(NAMES)
    if name is None:
        return [f"asset {k + 1}" for k in range(len(table.places))]
    return [str(text) for text in table.columns[name]]


def _left_out(kept: np.ndarray, names: list[str], table: Table, outside: str) -> str:
    lost = np.setdiff1d(np.arange(len(names)), kept)
    told = f"{lost.size} of {len(names)} assets lie outside the terrain"
    if outside == "drop" and kept.size:
        return f"; {told} and were left out"
    raise DataError(
        f"{told}, the first is {names[lost[0]]}",
        where=table.places[lost[0]],
        next="Check crs=, or leave them out with outside=drop." if kept.size else "Check crs=.",
    )
