"""A terrain in parts that send each other no water: each is flooded alone, on its own worker.

Notable in this file: a part is a set of whole catchments, everything that drains through the same
cells of the edge, so its neighbours are walls and nothing is exchanged while it runs. What this
leaves out is water that rises over a divide; on drained ground of some relief that is little, and
`seams` measures it.

Flow directions are those of O'Callaghan and Mark 1984: to the steepest of eight neighbours.
"""

from dataclasses import replace
from typing import Annotated

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from assay.core.component import component
from assay.core.records import Records
from assay.errors import DataError
from assay.systems.climate_impact.exposure import Assets
from assay.systems.climate_impact.intrinsics import compiled
from assay.systems.climate_impact.inundation import FloodMaps
from assay.systems.climate_impact.rasters import Grid, Raster, Roughness, Terrain
from assay.systems.climate_impact.solver import Ledger

__all__ = ["catchment_part", "label_catchments", "mosaic", "parts_of", "seams"]

Parts = Annotated[int, Field(ge=1, le=10_000)]


@component(version="1", requires=("numba", "numpy"))
def catchment_part(terrain: Terrain, *, part: Annotated[int, Field(ge=0)], parts: Parts) -> Terrain:
    """One of several parts of a terrain that exchange no water, cut to the cells it needs.

    Args:
        terrain: The terrain, its pits drained; every pit that is left is a catchment of its own.
        part: Which part, from 0.
        parts: How many there are, of about equal size.
    """
    if part >= parts:
        raise DataError(f"no part {part}", where="catchment_part", accepted=f"0 to {parts - 1}")
    labels = label_catchments(terrain.elevation_m, terrain.grid.cell_m)
    if labels.max() + 1 < parts:
        raise DataError(
            f"the terrain has {labels.max() + 1} catchments", where="catchment_part",
            accepted="at most as many parts",
        )  # fmt: skip
    mine = parts_of(labels, parts) == part
    rows, columns = np.flatnonzero(mine.any(1)), np.flatnonzero(mine.any(0))
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    grid = terrain.grid
    cut = Grid(
        int(rows[-1] + 1 - rows[0]),
        int(columns[-1] + 1 - columns[0]),
        grid.cell_m,
        grid.west_m + float(columns[0]) * grid.cell_m,
        grid.north_m - float(rows[0]) * grid.cell_m,
        grid.crs,
    )
    values = np.where(mine, terrain.elevation_m, np.nan)[window]
    return replace(terrain, elevation_m=values, grid=cut, note=f"part {part + 1} of {parts}")


@component(version="1")
def part_of_roughness(roughness: Roughness, terrain: Terrain) -> Roughness:
    """The roughness of the cells of a part.

    Args:
        roughness: That of the whole terrain.
        terrain: The part.
    """
    return Roughness(roughness.manning[_window(roughness.grid, terrain.grid)], terrain.grid)


@component(version="1", requires=("numpy",))
def mosaic(terrain: Terrain, floods: list[FloodMaps]) -> FloodMaps:
    """Put the floods of all parts of a terrain together.

    Args:
        terrain: The whole terrain.
        floods: The floods of its parts, of one storm.

    Returns:
        Maps of the whole; the ledger and the volumes are sums, the errors and shares those of the
        worst part.
    """
    periods = {flood.return_period_years for flood in floods}
    if len(periods) > 1:
        raise DataError(f"floods of {len(periods)} storms", where="mosaic", accepted="those of one")
    merged: dict[str, Raster] = {}
    for name in (
        "max_depth_m", "max_velocity_m_per_s", "max_hazard_m2_per_s", "arrival_time_h"
    ):  # fmt: skip
        whole = np.full(terrain.elevation_m.shape, np.nan)
        for flood in floods:
            raster: Raster = getattr(flood, name)
            window = _window(terrain.grid, raster.grid)
            whole[window] = np.where(np.isnan(raster.values), whole[window], raster.values)
        first: Raster = getattr(floods[0], name)
        merged[name] = replace(first, values=whole, grid=terrain.grid)
    sums = [float(sum(values)) for values in zip(*(f.ledger for f in floods), strict=True)]
    ledger = Ledger(*sums)
    came_in = ledger.rain_m3 + ledger.inflow_m3 or ledger.stored_start_m3
    ledger = ledger._replace(relative_error=ledger.error_m3 / came_in if came_in else 0.0)
    return FloodMaps(
        **merged,
        ledger=ledger,
        limited_share=max(flood.limited_share for flood in floods),
        return_period_years=floods[0].return_period_years,
        records=_summed([flood.records for flood in floods]),
    )


@component(version="1", requires=("numpy",))
def seams(whole: FloodMaps, parts: FloodMaps, exposure: Assets) -> Records:
    """How far a flood computed in parts is from the same flood computed whole.

    Records:
        ``seam_rmse`` (m, over cells deeper than 0.1 m in either) and ``seam_assets``, the share of
        assets whose depth differs by more than 0.1 m.
    """
    from assay.systems.climate_impact.exposure import depth_at

    records = Records()
    wet = (whole.max_depth_m.values > 0.1) | (parts.max_depth_m.values > 0.1)
    off = (parts.max_depth_m.values - whole.max_depth_m.values)[wet]
    keys = {"return_period_years": whole.return_period_years}
    records.add("seam_rmse", float(np.sqrt(np.nanmean(off**2))) if off.size else 0.0, "m", **keys)
    depths = [depth_at(exposure, flood.max_depth_m) for flood in (whole, parts)]
    far = float((np.abs(depths[1] - depths[0]) > 0.1).mean())
    records.add("seam_assets", far, "1", **keys)
    return records


def label_catchments(elevation_m: np.ndarray, cell_m: float) -> Int[np.ndarray, "rows columns"]:
    """The catchment of each cell, numbered from 0 by falling size; -1 where unknown.

    Example:
        >>> label_catchments(np.array([[1.0, 2.0, 3.0, 2.0, 1.0]]), 10.0).tolist()
        [[0, 0, 0, 1, 1]]
    """
    ground = np.asarray(elevation_m, np.float64)
    padded = np.pad(ground, 1, constant_values=np.nan)
    upwards = np.argsort(ground, axis=None, kind="stable")  # NaN last
    known = upwards[: np.count_nonzero(np.isfinite(ground))]
    raw = _labels(padded, known)[1:-1, 1:-1]
    sizes = np.bincount(raw[raw >= 0])
    rank = np.empty(sizes.size, int)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(sizes.size)
    return np.where(raw >= 0, rank[raw], -1)


@compiled
def _labels(z, upwards):
    """Every cell has the label of the neighbour it drains to, from the lowest on."""
    label = np.full(z.shape, -1)
    columns, found = z.shape[1] - 2, 0
    for cell in upwards:
        row, column = cell // columns + 1, cell % columns + 1
        steepest, best = 0.0, -1
        for down in range(-1, 2):
            for right in range(-1, 2):
                far = np.sqrt(float(down * down + right * right))
                if far > 0.0:
                    fall = (z[row, column] - z[row + down, column + right]) / far
                    if fall > steepest:
                        steepest, best = fall, label[row + down, column + right]
        if best < 0:
            best, found = found, found + 1
        label[row, column] = best
    return label


def parts_of(
    catchments: Int[np.ndarray, "rows columns"], parts: int
) -> Int[np.ndarray, "rows columns"]:
    """The part of each cell: catchments in their order around the terrain, cut into equal areas.

    Neighbours share a part, so that the box around it is small. Every part has a catchment; a large
    one makes a large part.
    """
    rows, columns = np.nonzero(catchments >= 0)
    owner = catchments[rows, columns]
    sizes = np.bincount(owner)
    down = np.bincount(owner, rows) / sizes - rows.mean()
    right = np.bincount(owner, columns) / sizes - columns.mean()
    order = np.argsort(np.arctan2(down, right), kind="stable")
    middles = np.cumsum(sizes[order]) - sizes[order] / 2
    first = np.searchsorted(middles, sizes.sum() * np.arange(parts) / parts)
    step = np.arange(parts)
    first = np.maximum.accumulate(first - step) + step  # one catchment each
    first = np.minimum(first, sizes.size - parts + step)
    part = np.empty(sizes.size, int)
    part[order] = np.searchsorted(first, np.arange(sizes.size), side="right") - 1
    return np.where(catchments >= 0, part[catchments], -1)


def _window(whole: Grid, part: Grid) -> tuple[slice, slice]:
    top = round((whole.north_m - part.north_m) / whole.cell_m)
    left = round((part.west_m - whole.west_m) / whole.cell_m)
    return slice(top, top + part.rows), slice(left, left + part.columns)


def _summed(several: list[Records]) -> Records:
    """Volumes and areas added up, of everything else the largest."""
    frames = [records.frame() for records in several]
    records = Records()
    for row in range(len(frames[0])):
        name, unit = str(frames[0]["measure"][row]), str(frames[0]["unit"][row])
        values: Float[np.ndarray, " parts"] = np.array([f["value"][row] for f in frames])
        value = values.sum() if unit in ("m3", "km2") else values[np.abs(values).argmax()]
        keys = {"return_period_years": float(frames[0]["return_period_years"][row])}
        records.add(name, float(value), unit, **keys)
    return records
