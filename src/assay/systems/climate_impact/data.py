"""Components that bring in what a flood study stands on: terrain, roughness, rain, exposure."""

from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from assay.core.component import File, component
from assay.systems.climate_impact import terrain
from assay.systems.climate_impact.rasters import Terrain

Holes = Literal["refuse", "wall", "fill"]


@component(version="1", requires=("matplotlib", "rasterio", "pyproj"))
def jacksboro(*, rows: PositiveInt | None = None, columns: PositiveInt | None = None) -> Terrain:
    """The built-in landscape: the Jacksboro fault, Tennessee, reprojected to metres.

    A real SRTM elevation model in geographic coordinates that ships inside matplotlib.

    Args:
        rows: Rows of the crop around the lowest valley; the whole terrain if not given.
        columns: Its columns.
    """
    crop = (rows, columns) if rows and columns else None
    return terrain.jacksboro(crop=crop)


@component(version="1", requires=("rasterio", "pyproj", "xarray"))
def read_terrain(
    *,
    path: File,
    crs: str | None = None,
    unit: str | None = None,
    nodata: Holes = "refuse",
    reproject: bool = False,
    cell_m: PositiveFloat | None = None,
) -> Terrain:
    """Read an elevation model: GeoTIFF, ESRI ASCII grid (also zipped) or NetCDF.

    Args:
        path: The file.
        crs: Its coordinate system, if the file does not say; for example EPSG:32616.
        unit: Unit of elevation, if the file does not say and it is not metres.
        nodata: What to do with holes: refuse, make them walls, or fill them from around.
        reproject: Whether to reproject to metres (the best UTM zone); a geographic terrain needs it.
        cell_m: Cell size after reprojection (m); the native resolution if not given.
    """
    if reproject:
        found = terrain.reproject(path, source_crs=crs, unit=unit, cell_m=cell_m)
    else:
        found = terrain.load_terrain(path, crs=crs, unit=unit)
    return terrain.check_holes(found, nodata=nodata)


@component(version="1")
def coarsen(terrain_: Terrain, *, factor: PositiveInt = 1) -> Terrain:
    """Average blocks of ``factor`` by ``factor`` cells; 1 leaves the terrain as it is."""
    return terrain.coarsen(terrain_, factor)
