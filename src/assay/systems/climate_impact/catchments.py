"""A terrain in parts that send each other no water: each is flooded alone, on its own worker.

Notable in this file: a part is a set of whole catchments, everything that drains through the same
cells of the edge, so its neighbours are walls and nothing is exchanged while it runs. What this
leaves out is water that rises over a divide; on drained ground of some relief that is little, and
`seams` measures it.

A terrain that does not fit into memory goes the same way in files: see `catchment_files`.
"""

from dataclasses import replace
from typing import Annotated

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from assay.core.component import component
from assay.core.records import Records
from assay.errors import DataError
from assay.systems.climate_impact.descent import label_catchments
from assay.systems.climate_impact.exposure import Assets
from assay.systems.climate_impact.inundation import FloodMaps
from assay.systems.climate_impact.rasters import Raster, Roughness, Terrain
from assay.systems.climate_impact.solver import Ledger

__all__ = [
    "Parts",
    "catchment_part",
    "grouped",
    "label_catchments",
    "mosaic",
    "parts_of",
    "seams",
    "summed_ledger",
    "summed_records",
    "walled",
]

Parts = Annotated[int, Field(ge=1, le=10_000)]


@component(version="2", requires=("numba", "numpy"))
def catchment_part(terrain: Terrain, *, part: Annotated[int, Field(ge=0)], parts: Parts) -> Terrain:
    """One of several parts of a terrain that exchange no water, cut to the cells it needs.

    Args:
        terrain: The terrain, its pits drained; every pit that is left is a catchment of its own.
        part: Which part, from 0.
        parts: How many there are, of about equal size.
    """
    if part >= parts:
        raise DataError(f"no part {part}", where="catchment_part", accepted=f"0 to {parts - 1}")
    labels = label_catchments(terrain.elevation_m)
    if labels.max() + 1 < parts:
        raise DataError(
            f"the terrain has {labels.max() + 1} catchments", where="catchment_part",
            accepted="at most as many parts",
        )  # fmt: skip
    mine = parts_of(labels, terrain.elevation_m, parts) == part
    row, column = np.flatnonzero(mine.any(1)), np.flatnonzero(mine.any(0))
    window = walled(mine.shape, np.array([row[0], row[-1], column[0], column[-1]]))
    values = np.where(mine, terrain.elevation_m, np.nan)[window]
    note = f"part {part + 1} of {parts}"
    return replace(terrain, elevation_m=values, grid=terrain.grid.part(*window), note=note)


@component(version="1")
def part_of_roughness(roughness: Roughness, terrain: Terrain) -> Roughness:
    """The roughness of the cells of a part.

    Args:
        roughness: That of the whole terrain.
        terrain: The part.
    """
    return Roughness(roughness.manning[roughness.grid.window(terrain.grid)], terrain.grid)


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
            window = terrain.grid.window(raster.grid)
            whole[window] = np.where(np.isnan(raster.values), whole[window], raster.values)
        first: Raster = getattr(floods[0], name)
        merged[name] = replace(first, values=whole, grid=terrain.grid)
    return FloodMaps(
        **merged,
        ledger=summed_ledger([flood.ledger for flood in floods]),
        limited_share=max(flood.limited_share for flood in floods),
        return_period_years=floods[0].return_period_years,
        records=summed_records([flood.records for flood in floods]),
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


def parts_of(
    catchments: Int[np.ndarray, "rows columns"],
    elevation_m: Float[np.ndarray, "rows columns"],
    parts: int,
) -> Int[np.ndarray, "rows columns"]:
    """The part of each cell: whole catchments, cut into about equal areas.

    Catchments whose outlets are neighbours share a part: where a river leaves the terrain, it may
    spread over several. Every part has a catchment; a large one makes a large part.
    """
    known = np.flatnonzero(catchments.ravel() >= 0)
    upwards = known[np.argsort(elevation_m.ravel()[known], kind="stable")]
    owner, lowest = np.unique(catchments.ravel()[upwards], return_index=True)
    row, column = np.unravel_index(upwards[lowest], catchments.shape)
    part = grouped(np.bincount(catchments.ravel()[known])[owner], row, column, parts)
    return np.where(catchments >= 0, part[catchments], -1)


def grouped(
    cells: Int[np.ndarray, " catchments"],
    row: Int[np.ndarray, " catchments"],
    column: Int[np.ndarray, " catchments"],
    parts: int,
) -> Int[np.ndarray, " catchments"]:
    """The part of each catchment, from their cells and the row and column of their lowest one.

    The catchments are halved again and again, across the axis along which they lie apart further.
    """
    part = np.zeros(cells.size, int)
    waiting = [(np.arange(cells.size), 0, parts)]
    while waiting:
        members, number, count = waiting.pop()
        if count == 1:
            part[members] = number
            continue
        weights, half = cells[members], count // 2
        spread = [np.cov(at[members], aweights=weights, ddof=0) for at in (row, column)]
        order = members[np.argsort((row, column)[int(np.argmax(spread))][members], kind="stable")]
        middles = np.cumsum(cells[order]) - cells[order] / 2
        cut = int(np.searchsorted(middles, weights.sum() * half / count))
        cut = min(max(cut, half), order.size - (count - half))  # one catchment each
        waiting += [(order[:cut], number, half), (order[cut:], number + half, count - half)]
    return part


def walled(shape: tuple[int, ...], box: Int[np.ndarray, " 4"]) -> tuple[slice, slice]:
    """The window of first and last row and column with a cell around it, where there is one.

    That cell belongs to others and is a wall: only at the edge of the terrain does the edge of the
    window let water out.
    """
    top, bottom, left, right = (int(side) for side in box)
    rows, columns = shape
    return (
        slice(max(top - 1, 0), min(bottom + 2, rows)),
        slice(max(left - 1, 0), min(right + 2, columns)),
    )


def summed_ledger(several: list[Ledger]) -> Ledger:
    """Volumes added up; the error relative to all that came in."""
    ledger = Ledger(*(float(sum(values)) for values in zip(*several, strict=True)))
    held = (ledger.held_west_m3, ledger.held_east_m3, ledger.held_south_m3, ledger.held_north_m3)
    came_in = ledger.rain_m3 + ledger.inflow_m3 + sum(map(abs, held)) or ledger.stored_start_m3
    return ledger._replace(relative_error=ledger.error_m3 / came_in if came_in else 0.0)


def summed_records(several: list[Records]) -> Records:
    """Records of the floods of all parts: volumes and areas added up, else the largest."""
    frames = [records.frame() for records in several]
    records = Records()
    for row in range(len(frames[0])):
        name, unit = str(frames[0]["measure"][row]), str(frames[0]["unit"][row])
        values: Float[np.ndarray, " parts"] = np.array([f["value"][row] for f in frames])
        value = values.sum() if unit in ("m3", "km2") else values[np.abs(values).argmax()]
        keys = {"return_period_years": float(frames[0]["return_period_years"][row])}
        records.add(name, float(value), unit, **keys)
    return records
