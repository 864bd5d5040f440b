"""Components that bring in what a flood study stands on: terrain, roughness, rain, exposure."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt

from assay.core.component import File, Seed, component
from assay.errors import DataError
from assay.systems.climate_impact import exposure, pits, rain, rasters
from assay.systems.climate_impact import terrain as terrains
from assay.systems.climate_impact.exposure import Assets
from assay.systems.climate_impact.rain import DepthDuration, Hyetograph
from assay.systems.climate_impact.rasters import Roughness, Terrain
from assay.systems.climate_impact.tables import read_table

Holes = Literal["refuse", "wall", "fill"]
LEAST_RAIN_MM, MOST_RAIN_MM = 0.5, 2000.0  # of a yearly maximum; the record of 24 h is 1825 mm


def _plausible(what: str, low: float, high: float, unit: str) -> AfterValidator:
    """Refuse a number that is more likely in another unit, before anything runs."""

    def check(value: float) -> float:
        if not low <= value <= high:
            raise ValueError(
                f"{value:g} {unit} is no plausible {what}; expected {low:g} to {high:g} {unit}. "
                f"Is it in {unit}?"
            )
        return value

    return AfterValidator(check)


Years = Annotated[float, Field(gt=1, le=10_000)]
StormHours = Annotated[float, Field(gt=0, le=240)]
BlockMinutes = Annotated[float, Field(ge=1, le=24 * 60)]
Exponent = Annotated[float, Field(gt=0, lt=1)]
Coefficient = Annotated[float, Field(gt=0, le=1)]
Location = Annotated[float, _plausible("usual yearly maximum of 24-hour rain", 2, 1500, "mm")]
Scale = Annotated[float, _plausible("spread of yearly maxima of 24-hour rain", 0.5, 500, "mm")]
Shape = Annotated[float, Field(ge=-0.5, le=0.5)]


# -- terrain ------------------------------------------------------------------------------------


@component(version="1", requires=("matplotlib", "rasterio", "pyproj"))
def jacksboro(*, rows: PositiveInt | None = None, columns: PositiveInt | None = None) -> Terrain:
    """The built-in landscape: the Jacksboro fault, Tennessee, reprojected to metres.

    A real SRTM elevation model in geographic coordinates that ships inside matplotlib.

    Args:
        rows: Rows of the window with the lowest ground; the whole terrain if neither is given, a
            square if one is.
        columns: Its columns.
    """
    sides = [side for side in (rows, columns) if side is not None]
    return terrains.jacksboro(crop_cells=(sides[0], sides[-1]) if sides else None)


@component(version="1", requires=("rasterio", "pyproj", "xarray"))
def read_terrain(
    *,
    path: File,
    crs: str | None = None,
    unit: str | None = None,
    missing_value: float | None = None,
    nodata: Holes = "refuse",
    reproject: bool = False,
    cell_m: Annotated[float, Field(ge=0.01, le=1e5)] | None = None,
) -> Terrain:
    """Read an elevation model: GeoTIFF, ESRI ASCII grid (also zipped) or NetCDF.

    Args:
        path: The file.
        crs: Its coordinate system, if the file does not say; for example EPSG:32616.
        unit: Unit of elevation, if the file does not say and it is not metres.
        missing_value: The elevation that stands for missing data, if the file does not say.
        nodata: What to do with holes: refuse, make them walls, or fill them from around.
        reproject: Whether to reproject to metres (the best UTM zone), as a geographic terrain must.
        cell_m: Cell size after reprojection (m); the native resolution if not given.
    """
    if reproject:
        found = terrains.reproject(
            path, source_crs=crs, unit=unit, missing_value=missing_value, cell_m=cell_m
        )
    else:
        found = terrains.load_terrain(path, crs=crs, unit=unit, missing_value=missing_value)
    return terrains.check_holes(found, nodata=nodata)


@component(version="1")
def coarsen(terrain: Terrain, *, factor: PositiveInt = 1) -> Terrain:
    """Average blocks of ``factor`` by ``factor`` cells; 1 leaves the terrain as it is.

    Args:
        terrain: The terrain.
        factor: Cells along each side of a block.
    """
    return terrains.coarsen(terrain, factor)


@component(version="1", requires=("numba", "numpy"))
def drain(
    terrain: Terrain,
    *,
    method: pits.Method = "breach",
    fall_m: Annotated[float, Field(ge=0, le=1)] = 0.01,
) -> Terrain:
    """Open the pits of an elevation model, from which water could not leave.

    A coarse elevation model dams its own valleys wherever a gorge is narrower than a cell. Real
    lakes and sinkholes drain too: leave this step out where they matter.

    Args:
        terrain: The terrain.
        method: ``breach`` carves the way out of a pit, ``fill`` raises the pit to where it spills.
        fall_m: Fall from cell to cell along changed ground (m).
    """
    return pits.drain(terrain, method, fall_m)


@component(version="1")
def uniform_roughness(
    terrain: Terrain, *, manning: Annotated[float, Field(ge=0.005, le=0.5)] = 0.035
) -> Roughness:
    """The same Manning coefficient everywhere.

    Args:
        terrain: The terrain.
        manning: Manning's n (s/m^(1/3)); 0.035 is a natural stream or short grass.
    """
    return rasters.uniform_roughness(terrain, manning)


# -- rain ---------------------------------------------------------------------------------------


@component(version="1")
def design_storm(
    *,
    return_period_years: Years,
    location_mm: Location = 65.0,
    scale_mm: Scale = 20.0,
    shape: Shape = 0.0,
    duration_h: StormHours = 6.0,
    block_min: BlockMinutes = 15.0,
    exponent: Exponent = 0.35,
    runoff_coefficient: Coefficient = 0.5,
) -> Hyetograph:
    """The storm of a return period, by alternating blocks, as rain that runs off.

    The defaults are assumptions, plausible for a humid temperate climate; they are not the
    statistics of any site.

    Args:
        return_period_years: How rarely such a storm comes (years).
        location_mm: Location of the distribution of yearly maxima of 24-hour rain (mm).
        scale_mm: Its scale (mm).
        shape: Its shape, Hosking's k: 0 is Gumbel, negative has a heavier tail.
        duration_h: Length of the storm (h).
        block_min: Length of the blocks it is made of (min).
        exponent: Depth grows with duration to this power.
        runoff_coefficient: Share of the rain that runs off; 1 where soil drinks later.
    """
    statistics = DepthDuration(location_mm, scale_mm, shape, 24.0, exponent)
    return rain.alternating_blocks(
        statistics,
        return_period_years=return_period_years,
        duration_h=duration_h,
        block_min=block_min,
        runoff_coefficient=runoff_coefficient,
    )


@component(version="1", requires=("scipy",))
def fit_rain(
    *,
    path: File,
    column: str = "rain",
    unit: str = "mm",
    reference_h: StormHours = 24.0,
    distribution: rain.Distribution = "gumbel",
    exponent: Exponent = 0.35,
) -> DepthDuration:
    """Fit rain statistics to a gauge's yearly maxima, by L-moments.

    Args:
        path: CSV file with one row per year.
        column: Column of the largest depth of each year.
        unit: Unit of depth, unless the header says it, as in ``rain [inch]``.
        reference_h: Duration of the depths (h).
        distribution: ``gumbel``, or ``gev`` for long series.
        exponent: Depth grows with duration to this power; one duration alone cannot tell it.
    """
    table = read_table(path)
    depths = table.numbers(table.column(column), unit="mm", assumed=unit)
    years = table.columns.get(table.one_of(["year"]) or "", [])
    for k, year in enumerate(years):
        if year and year in years[:k]:
            raise DataError(
                f"year {year} is there twice", where=table.places[k], accepted="one row per year"
            )
    for place, depth in zip(table.places, depths, strict=True):
        if not LEAST_RAIN_MM <= depth <= MOST_RAIN_MM:
            raise DataError(
                "the depth is missing" if depth != depth else f"a yearly maximum of {depth:g} mm",  # noqa: PLR0124
                where=place,
                accepted=f"{LEAST_RAIN_MM:g} to {MOST_RAIN_MM:g} mm",
                next="Say the unit in the header, as in rain [inch].",
            )
    return rain.fit_depths(
        depths, distribution=distribution, reference_h=reference_h, exponent=exponent
    )


@component(version="1")
def fitted_storm(
    statistics: DepthDuration,
    *,
    return_period_years: Years,
    duration_h: StormHours = 6.0,
    block_min: BlockMinutes = 15.0,
    runoff_coefficient: Coefficient = 0.5,
) -> Hyetograph:
    """The storm of a return period from fitted statistics; see `design_storm`.

    Args:
        statistics: Depths by return period and duration.
        return_period_years: How rarely such a storm comes (years).
        duration_h: Length of the storm (h).
        block_min: Length of the blocks it is made of (min).
        runoff_coefficient: Share of the rain that runs off; 1 where soil drinks later.
    """
    return rain.alternating_blocks(
        statistics,
        return_period_years=return_period_years,
        duration_h=duration_h,
        block_min=block_min,
        runoff_coefficient=runoff_coefficient,
    )


# -- exposure -----------------------------------------------------------------------------------


@component(version="1", requires=("numpy", "scipy"))
def synthetic_settlement(
    terrain: Terrain,
    *,
    count: Annotated[int, Field(ge=1, le=1_000_000)] = 200,
    max_damage_per_m2: PositiveFloat = 1000.0,
    currency: str = "EUR",
    seed: Seed,
) -> Assets:
    """Buildings drawn at random on gentle ground near the valley floor; synthetic, not the site's.

    Args:
        terrain: The terrain.
        count: Number of buildings.
        max_damage_per_m2: Assumed cost of total loss (currency/m2).
        currency: Its unit.
        seed: Seed of the draw.
    """
    return exposure.settlement(
        terrain,
        count=count,
        seed=seed,
        max_damage_per_m2=max_damage_per_m2,
        currency=currency,
    )
