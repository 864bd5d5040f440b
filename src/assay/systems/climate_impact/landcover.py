"""Roughness and curve numbers from a land-cover raster and a table of its classes.

The built-in table is for the classes of ESA WorldCover, as far as two sources go: Manning's n from
the flood plains of Chow 1959 (table 5-6, normal values), curve numbers from TR-55 (USDA 1986, table
2-2). Which of their rows stands for which class is an assumption. Classes that these
sources do not describe have no value, and a raster that holds them needs a table of the user's.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from assay.core.component import File, component
from assay.errors import DataError
from assay.systems.climate_impact.formats import Source
from assay.systems.climate_impact.rasters import Grid, Raster, Roughness, Terrain
from assay.systems.climate_impact.regrid import extents, nearest_onto, read_grid
from assay.systems.climate_impact.tables import read_table

__all__ = [
    "WORLDCOVER",
    "CoverClass",
    "LandCover",
    "curve_numbers_of",
    "read_cover_table",
    "read_land_cover",
    "roughness_of",
]

SoilGroup = Literal["A", "B", "C", "D"]
NO_CLASS = -1
LEAST_MANNING, MOST_MANNING = 0.005, 0.5
NAN = float("nan")


class CoverClass(NamedTuple):
    """What one class of land cover is worth; NaN where no value is known.

    Attributes:
        name: What it is, for people.
        manning: Manning's n (s/m^(1/3)).
        curve_number_A: Curve number on soils of group A, 1 to 100; the others alike.
    """

    name: str
    manning: float = NAN
    curve_number_A: float = NAN  # noqa: N815 - soil groups have capital letters
    curve_number_B: float = NAN  # noqa: N815
    curve_number_C: float = NAN  # noqa: N815
    curve_number_D: float = NAN  # noqa: N815


WORLDCOVER = {
    # Heavy stand of timber, little undergrowth; woods in fair condition
    10: CoverClass("tree cover", 0.100, 36, 60, 73, 79),
    # Light brush and trees, in summer; brush in fair condition
    20: CoverClass("shrubland", 0.060, 35, 56, 70, 77),
    # Pasture of high grass; pasture in fair condition
    30: CoverClass("grassland", 0.035, 49, 69, 79, 84),
    # Mature row crops; straight rows in good condition
    40: CoverClass("cropland", 0.035, 67, 78, 85, 89),
    # Chow has no towns; TR-55 has many kinds
    50: CoverClass("built-up"),
    # Cultivated areas without crop; fallow, bare soil
    60: CoverClass("bare or sparse vegetation", 0.030, 77, 86, 91, 94),
    70: CoverClass("snow and ice"),
    80: CoverClass("permanent water bodies"),
    90: CoverClass("herbaceous wetland"),
    95: CoverClass("mangroves"),
    100: CoverClass("moss and lichen"),
}
"""Classes of ESA WorldCover; the rows that stand for them are assumptions."""


@dataclass(frozen=True)
class LandCover:
    """Classes of land cover on a terrain's grid.

    Attributes:
        classes: Number of the class of each cell, -1 where there is none.
        grid: Where the cells lie.
        name: What it is, for people.
    """

    classes: Int[np.ndarray, "rows columns"]
    grid: Grid
    name: str


# -- components ---------------------------------------------------------------------------------


@component(version="1", requires=("numpy", "pyproj", "rasterio", "xarray"))
def read_land_cover(
    terrain: Terrain, *, path: File, crs: str | None = None, missing_value: int | None = None
) -> LandCover:
    """Read classes of land cover, each cell of a terrain from the nearest of the raster.

    Args:
        terrain: The terrain; its cells without data need no class.
        path: GeoTIFF, ESRI ASCII grid (``.asc``, also zipped) or NetCDF of whole numbers.
        crs: Its coordinate system, if the file does not say; for example EPSG:4326.
        missing_value: The class that stands for missing data, if the file does not say.

    Raises:
        DataError: If the file cannot be read, its classes are not whole numbers, or it does not
            cover the terrain.
    """
    source = read_grid(path, crs=crs)
    found = nearest_onto(source, terrain.grid)
    if missing_value is not None:
        found = np.where(found == missing_value, np.nan, found)
    known = np.isfinite(found)
    if ((found[known] % 1 != 0) | (found[known] < 0)).any():
        odd = found[known][(found[known] % 1 != 0) | (found[known] < 0)]
        raise DataError(f"{odd[0]:g} is no class", where=source.where, accepted="whole numbers")
    _require_cover(source, terrain, ~known)
    classes = np.where(known, found, NO_CLASS).astype(np.int32)
    return LandCover(classes, terrain.grid, Path(source.where).name)


@component(version="1")
def roughness_of(cover: LandCover, *, table: File | None = None) -> Roughness:
    """Manning's n of each cell, by its class of land cover.

    Args:
        cover: Classes of land cover.
        table: CSV file with columns ``class`` and ``manning``; without it the classes are taken
            to be those of ESA WorldCover, with values of Chow 1959 assigned by assumption.

    Raises:
        DataError: If a class of the raster has no value, or the table is refused.
    """
    known = read_cover_table(table) if table else WORLDCOVER
    return Roughness(_assigned(cover, known, "manning", table), cover.grid)


@component(version="1")
def curve_numbers_of(
    cover: LandCover, *, soil_group: SoilGroup, table: File | None = None
) -> Raster:
    """Curve number of each cell, by its class of land cover and one group of soil.

    Args:
        cover: Classes of land cover.
        soil_group: Hydrologic soil group, from A (drinks fast) to D (hardly drinks).
        table: CSV file with columns ``class`` and ``curve_number_A`` to ``curve_number_D``;
            without it the classes are taken to be those of ESA WorldCover, with values of TR-55
            assigned by assumption.

    Raises:
        DataError: If a class of the raster has no value, or the table is refused.
    """
    known = read_cover_table(table) if table else WORLDCOVER
    values = _assigned(cover, known, f"curve_number_{soil_group}", table)
    return Raster(values, cover.grid, f"curve number on soil {soil_group}", "1")


# -- tables -------------------------------------------------------------------------------------


def read_cover_table(path: Path | str) -> dict[int, CoverClass]:
    """Read what classes are worth: columns ``class``, and those of `CoverClass` that are there.

    Raises:
        DataError: With file and line, if a class is there twice or is no whole number, or a value
            is out of its range.
    """
    table = read_table(path)
    column = table.column("class")
    fields = {n: found for n in CoverClass._fields if (found := table.one_of([n])) is not None}
    if set(fields) <= {"name"}:
        raise DataError(
            "gives no values", where=table.where,
            accepted="a column manning, or curve_number_A to curve_number_D",
        )  # fmt: skip
    values = {n: table.numbers(found) for n, found in fields.items() if n != "name"}
    known: dict[int, CoverClass] = {}
    for k, (number, place) in enumerate(zip(table.numbers(column), table.places, strict=True)):
        if not number % 1 == 0 or number < 0:
            raise DataError(
                f"{table.columns[column][k]!r} is no class", where=place, accepted="a whole number"
            )
        if int(number) in known:
            raise DataError(f"class {number:g} is there twice", where=place)
        row: dict[str, Any] = {n: float(column[k]) for n, column in values.items()}
        for name, value in row.items():
            low, high = (LEAST_MANNING, MOST_MANNING) if name == "manning" else (1.0, 100.0)
            if value == value and not low <= value <= high:  # noqa: PLR0124 - empty cells are NaN
                raise DataError(f"{name} {value:g}", where=place, accepted=f"{low:g} to {high:g}")
        called = table.columns[fields["name"]][k] if "name" in fields else ""
        known[int(number)] = CoverClass(called, **row)
    return known


def _assigned(
    cover: LandCover, known: dict[int, CoverClass], value: str, table: Path | None
) -> Float[np.ndarray, "rows columns"]:
    """The value of each cell's class, NaN where there is no class."""
    numbers, which, counts = np.unique(cover.classes, return_inverse=True, return_counts=True)
    worth = np.full(numbers.size, np.nan)
    lost = []
    for k, number in enumerate(numbers.tolist()):
        if number == NO_CLASS:
            continue
        found = known.get(number, CoverClass(""))
        worth[k] = getattr(found, value)
        if np.isnan(worth[k]):
            lost.append(f"{number}{f' {found.name}' if found.name else ''} ({counts[k]} cells)")
    if lost:
        where = table.name if table else "the built-in table of ESA WorldCover"
        raise DataError(
            f"{where} has no {value} for class {', '.join(lost[:12])}", where=cover.name,
            next="Give one for every class, in a file with table=." if table is None else "",
        )  # fmt: skip
    return worth[which].reshape(cover.classes.shape)


def _require_cover(source: Source, terrain: Terrain, bare: np.ndarray) -> None:
    lost = bare & np.isfinite(terrain.elevation_m)
    if lost.any():
        raise DataError(
            f"{int(lost.sum())} of {lost.size} cells of the terrain have no class; "
            + extents(source, terrain.grid),
            where=source.where,
        )
