"""Maps: rasters over the shaded ground, with axes in kilometres and a GeoTIFF beside each."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assay.core.figures import Picture
from assay.systems.climate_impact.rasters import Grid, Raster, Terrain, hillshade, write_geotiff


def ground(panel: Any, terrain: Terrain) -> None:
    """Draw the shaded terrain."""
    shade = hillshade(terrain)
    panel.imshow(shade, cmap="gray", vmin=-0.6, vmax=1.05, extent=extent_km(terrain.grid))
    panel.tick_params(labelsize=9)
    panel.ticklabel_format(useOffset=False, style="plain")


def extent_km(grid: Grid) -> tuple[float, float, float, float]:
    """West, east, south and north edge, as matplotlib wants them (km)."""
    west, east, south, north = (edge / 1e3 for edge in grid.extent_m)
    return west, east, south, north


def axis_labels(drawing: Any) -> None:
    """Say once what the axes of all panels are."""
    drawing.supxlabel("easting (km)", fontsize=10)
    drawing.supylabel("northing (km)", fontsize=10)


def geotiff(raster: Raster) -> Callable[[Path], None]:
    """What writes a raster beside a picture of it."""
    return lambda path: write_geotiff(path, raster)


def panels(
    name: str,
    title: str,
    caption: str,
    alt: str,
    terrain: Terrain,
    rasters: Sequence[tuple[Raster, str]],
    *,
    hidden_below: float = 0.0,
) -> Picture:
    """Rasters side by side over the shaded terrain, each with its scale; also as GeoTIFF files.

    Args:
        name: Name of the figure.
        title: Its title.
        caption: What is to be seen.
        alt: The same for who cannot see it.
        terrain: The ground.
        rasters: Each with the name of a colour map.
        hidden_below: Values up to this are not drawn.
    """
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(4.4 * len(rasters), 5.0), layout="constrained")
    several = drawing.subplots(1, len(rasters), sharey=True, squeeze=False)[0]
    for panel, (raster, colours) in zip(several, rasters, strict=True):
        ground(panel, terrain)
        values = np.ma.masked_invalid(raster.values)
        values = np.ma.masked_less_equal(values, hidden_below)
        shown = panel.imshow(values, cmap=colours, extent=extent_km(raster.grid))
        unit = "" if raster.unit == "1" else f" ({raster.unit})"
        label = f"{raster.name}{unit}"
        drawing.colorbar(shown, ax=panel, label=label, location="bottom", shrink=0.8)
    axis_labels(drawing)
    files = {f"{raster.name}.tif".replace(" ", "_"): geotiff(raster) for raster, _ in rasters}
    return Picture(name, title, caption, alt, drawing, files)
