"""Water that comes from outside the map, and soil that drinks: rivers, held levels, Green-Ampt."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat

from assay.core.component import component
from assay.errors import DataError
from assay.systems.climate_impact.forcing import Soil
from assay.systems.climate_impact.rasters import Terrain

SideName = Literal["west", "east", "south", "north"]
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Inflow:
    """A river or drain that enters the map in one cell.

    Attributes:
        x_m: Easting (m).
        y_m: Northing (m).
        times_s: Increasing times (s); a rate holds until the next.
        discharge_m3_per_s: Rate from each of these times on (m3/s).
    """

    x_m: float
    y_m: float
    times_s: Float[np.ndarray, " times"]
    discharge_m3_per_s: Float[np.ndarray, " times"]


@dataclass(frozen=True)
class Stage:
    """Water levels that one side of the map is held at, as by a lake or the tide.

    Attributes:
        side: The side.
        times_s: Increasing times (s).
        level_m: Water level at these (m, in the terrain's datum), linear in between.
    """

    side: SideName
    times_s: Float[np.ndarray, " times"]
    level_m: Float[np.ndarray, " times"]


@component(version="1", requires=("numpy", "pyproj"))
def river_inflow(
    terrain: Terrain,
    *,
    x: float,
    y: float,
    crs: str | None = None,
    times_h: list[float] = [0.0],  # noqa: B006 - a parameter is never changed
    discharge_m3_per_s: list[NonNegativeFloat],
) -> Inflow:
    """A river that enters the map at a point, as a hydrograph of steps.

    Args:
        terrain: The terrain.
        x: Easting, or longitude where ``crs`` is in degrees.
        y: Northing, or latitude.
        crs: Coordinate system of the point; the terrain's if not given.
        times_h: Times (h) from which each rate holds, from 0 on.
        discharge_m3_per_s: Rates (m3/s), as many as times.
    """
    if crs is not None:
        from pyproj import Transformer

        x, y = Transformer.from_crs(crs, terrain.grid.crs, always_xy=True).transform(x, y)
    times, rates = _steps(times_h, discharge_m3_per_s, "discharge_m3_per_s")
    grid = terrain.grid
    row, column = grid.row_column(np.array([x]), np.array([y]))
    if not grid.inside(row, column).all():
        west, east, south, north = grid.extent_m
        raise DataError(
            f"the point {x:.0f}, {y:.0f} lies outside the terrain",
            where="river_inflow",
            accepted=f"x {west:.0f} to {east:.0f}, y {south:.0f} to {north:.0f} ({grid.crs})",
        )
    if np.isnan(terrain.elevation_m[row, column]).any():
        raise DataError("the point lies on a cell without data", where="river_inflow")
    return Inflow(float(x), float(y), times, rates)


@component(version="1", requires=("numpy",))
def held_level(
    *,
    side: SideName,
    times_h: list[float] = [0.0],  # noqa: B006 - a parameter is never changed
    level_m: list[float],
) -> Stage:
    """The water level along one side of the map: a lake, a river in flood, the tide.

    Args:
        side: Which side.
        times_h: Times (h).
        level_m: Levels at these (m, in the terrain's datum), linear in between.
    """
    times, levels = _steps(times_h, level_m, "level_m")
    return Stage(side, times, levels)


@component(version="1")
def uniform_soil(
    *,
    conductivity_mm_per_h: NonNegativeFloat,
    suction_mm: NonNegativeFloat,
    moisture_deficit: Share,
) -> Soil:
    """The same soil everywhere, which drinks after Green and Ampt (1911).

    Water that runs over it seeps in too, so rain must not be reduced before: set the runoff
    coefficient of the storm to 1.

    Args:
        conductivity_mm_per_h: Hydraulic conductivity of the wetted soil (mm/h).
        suction_mm: Suction head at the wetting front (mm).
        moisture_deficit: Pore space that is still empty, 0 to 1.
    """
    return Soil(conductivity_mm_per_h, suction_mm, moisture_deficit)


def _steps(times_h: list[float], values: list[float], name: str) -> tuple[np.ndarray, np.ndarray]:
    times, rates = np.array(times_h, float) * 3600.0, np.array(values, float)
    if times.size != rates.size or not times.size:
        raise DataError(f"{rates.size} values for {times.size} times", where=name)
    if (np.diff(times) <= 0).any() or not np.isfinite([*times, *rates]).all():
        raise DataError("times do not increase, or a value is unknown", where=name)
    return times, rates
