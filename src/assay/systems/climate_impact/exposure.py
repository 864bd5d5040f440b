"""What stands in the water's way: buildings as points or polygons, and how deep the water is there.

Notable in this file: a polygon is kept as the centres of the terrain's cells inside it (one point
of its interior where it covers no centre), a point as itself. The depth at an asset is by default
the *mean* over these, dry ones included: a floor is level, so the mean depth is the water level
less the mean ground; the loss is a share of the whole footprint; and the mean does not grow with
the number of cells, as a maximum over them does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from assay.errors import DataError
from assay.systems.climate_impact.rasters import Grid, Raster, Terrain

__all__ = ["Assets", "Over", "covered", "depth_at", "inner_points", "settlement"]

Over = Literal["mean", "max"]
GENTLE_SLOPE = 0.05
LOW_GROUND_M = 5.0
NEIGHBOURHOOD_M = 500.0
MEDIAN_FOOTPRINT_M2, FOOTPRINT_SPREAD = 120.0, 0.5


@dataclass(frozen=True)
class Assets:
    """Buildings, or whatever else water damages.

    Attributes:
        x_m: Easting of each asset (m), a point of its interior for a polygon.
        y_m: Northing (m).
        area_m2: Footprint (m2), > 0.
        max_damage_per_m2: What total loss costs (currency/m2), >= 0.
        names: Name of each.
        sample_x_m: Easting of the points at which depth is looked up (m), at least one per asset.
        sample_y_m: Northing (m).
        sample_asset: Which asset each of these belongs to.
        kind: What they are, for people.
        currency: Unit of damage.
        crs: Coordinate system of the positions.
        note: Where they come from, what was done to them, what is assumed.
    """

    x_m: Float[np.ndarray, " assets"]
    y_m: Float[np.ndarray, " assets"]
    area_m2: Float[np.ndarray, " assets"]
    max_damage_per_m2: Float[np.ndarray, " assets"]
    names: list[str]
    sample_x_m: Float[np.ndarray, " samples"]
    sample_y_m: Float[np.ndarray, " samples"]
    sample_asset: Int[np.ndarray, " samples"]
    kind: str
    currency: str
    crs: str
    note: str = ""

    @property
    def max_damage(self) -> Float[np.ndarray, " assets"]:
        """What the total loss of each costs (currency)."""
        return self.area_m2 * self.max_damage_per_m2


def depth_at(
    assets: Assets,
    depth: Raster,
    *,
    over: Over = "mean",
    bed: Terrain | None = None,
    ground: Terrain | None = None,
) -> Float[np.ndarray, " assets"]:
    """Depth of water at each asset (m): mean or maximum over the cells it covers.

    Cells without terrain are left out. A raster averaged over blocks of cells lacks a margin where
    the blocks did not fill it, always narrower than a cell: points there take the edge cell.

    Args:
        assets: The assets.
        depth: Depth of water (m).
        over: What counts for an asset that covers several cells.
        bed: The terrain that the water stood on. Coarser than ``ground`` or carved, it may lie
            lower than an asset does: the difference is taken off the depth.
        ground: The terrain that the assets stand on; with ``bed`` or not at all.

    Raises:
        DataError: If assets and raster are in different coordinate systems, or an asset lies on
            no cell with terrain.
    """
    found = _sampled(assets, depth.values, depth.grid, depth.name)
    if bed is not None and ground is not None:
        stands = _sampled(assets, ground.elevation_m, ground.grid, ground.name)
        lies = _sampled(assets, bed.elevation_m, bed.grid, bed.name)
        found = np.maximum(found - np.maximum(stands - lies, 0.0), 0.0)
    known, count = np.isfinite(found), assets.x_m.size
    owner = assets.sample_asset[known]
    number = np.bincount(owner, minlength=count)
    if not number.all():
        first, lost = assets.names[int(np.argmin(number))], int((number == 0).sum())
        raise DataError(
            f"{lost} of {count} assets lie outside the map, the first is {first}",
            where=depth.name,
            next="Read them with this terrain.",
        )
    if over == "max":
        deepest = np.zeros(count)
        np.maximum.at(deepest, owner, found[known])
        return deepest
    return np.bincount(owner, weights=found[known], minlength=count) / number


def _sampled(assets: Assets, values: np.ndarray, grid: Grid, where: str) -> np.ndarray:
    """Values of the cells in which an asset's points lie, NaN outside."""
    if assets.crs != grid.crs:
        raise DataError(f"the assets are in {assets.crs}", where=where, accepted=grid.crs)
    row, column = grid.row_column(assets.sample_x_m, assets.sample_y_m)
    row = np.where(row == grid.rows, grid.rows - 1, row)
    column = np.where(column == grid.columns, grid.columns - 1, column)
    found = np.full(row.size, np.nan)
    inside = grid.inside(row, column)
    found[inside] = values[row[inside], column[inside]]
    return found


def covered(
    shapes: Sequence[Any] | np.ndarray, terrain: Terrain
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points at which to look up the depth at points and polygons (shapely, in the terrain's CRS).

    Returns:
        Easting and northing (m) of the points that have terrain, and the shape each belongs to.
    """
    parts = [_points_of(shape, terrain.grid) for shape in shapes]
    owner = np.repeat(np.arange(len(shapes)), [part.shape[0] for part in parts])
    points = np.concatenate(parts)
    row, column = terrain.grid.row_column(points[:, 0], points[:, 1])
    known = terrain.grid.inside(row, column)
    known[known] = np.isfinite(terrain.elevation_m[row[known], column[known]])
    return points[known, 0], points[known, 1], owner[known]


def _points_of(shape: Any, grid: Grid) -> np.ndarray:
    """Centres of the cells inside a polygon, or one point, shape ``(points, 2)``."""
    import shapely

    if shape.geom_type == "Point":
        return np.array([[shape.x, shape.y]])
    west, south, east, north = shape.bounds
    rows, columns = grid.row_column(np.array([west, east]), np.array([north, south]))
    row = np.arange(max(rows[0], 0), min(rows[1], grid.rows - 1) + 1)
    column = np.arange(max(columns[0], 0), min(columns[1], grid.columns - 1) + 1)
    x, y = grid.centres(*(axis.ravel() for axis in np.meshgrid(row, column, indexing="ij")))
    shapely.prepare(shape)
    centre = shapely.contains_xy(shape, x, y)
    return np.column_stack([x[centre], y[centre]]) if centre.any() else inner_points([shape])


def inner_points(shapes: Sequence[Any] | np.ndarray) -> np.ndarray:
    """A point of each shape's interior, shape ``(shapes, 2)``."""
    import shapely

    return shapely.get_coordinates(shapely.point_on_surface(np.asarray(shapes, dtype=object)))


def settlement(
    terrain: Terrain,
    *,
    count: int,
    seed: int,
    max_damage_per_m2: float = 1000.0,
    currency: str = "EUR",
) -> Assets:
    """Draw a synthetic settlement on gentle ground near the valley floor.

    A cell is drawn with weight exp(-slope / 0.05) (0.05 + u exp(1 - u)), where u is the height
    above the lowest ground within 500 m, in units of 5 m: people build low, but not in the bed and
    not on the slope. Buildings lie anywhere in their cell; footprints are lognormal, median 120 m2.

    Args:
        terrain: The terrain; cells without data are left empty.
        count: Number of buildings.
        seed: Seed of the draw.
        max_damage_per_m2: Assumed cost of total loss (currency/m2), the same for all.
        currency: Its unit.
    """
    from scipy.ndimage import minimum_filter

    grid, ground = terrain.grid, terrain.elevation_m
    known = np.isfinite(ground)
    filled = np.where(known, ground, np.nanmax(ground))
    reach = 2 * max(1, round(NEIGHBOURHOOD_M / grid.cell_m)) + 1
    height = (filled - minimum_filter(filled, size=reach)) / LOW_GROUND_M
    slope = np.hypot(*np.gradient(filled, grid.cell_m))
    weight = np.exp(-slope / GENTLE_SLOPE) * (0.05 + height * np.exp(1.0 - height)) * known
    random = np.random.default_rng(seed)
    cell = random.choice(weight.size, count, p=weight.ravel() / weight.sum())
    x, y = grid.centres(*np.unravel_index(cell, weight.shape))
    x, y = (at + random.uniform(-0.5, 0.5, count) * grid.cell_m for at in (x, y))
    area = MEDIAN_FOOTPRINT_M2 * np.exp(random.normal(0.0, FOOTPRINT_SPREAD, count))
    note = (
        f"synthetic: {count} buildings drawn at random on {terrain.name}, not real ones; the "
        f"{max_damage_per_m2:g} {currency} per m2 are assumed, not the site's"
    )
    return Assets(
        x, y, area, np.full(count, float(max_damage_per_m2)),
        [f"building {k + 1}" for k in range(count)], x, y, np.arange(count),
        "synthetic buildings", currency, grid.crs, note,
    )  # fmt: skip
