"""Floods of a terrain larger than memory: every part of it is read, flooded and written alone.

Notable in this file: nothing here holds the terrain. It is drained some catchments at a time and
delineated a tile at a time, a part is read by its window alone, and `flood_file` puts the maps
together block by block; memory is that of a tile or of the window around the largest part. The
parts are those that `catchments` cuts out in memory; what is left out is what it leaves out, water
that rises over a divide.
"""

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from jaxtyping import Int
from pydantic import Field

from assay.core.component import component
from assay.core.records import Records
from assay.core.task import task
from assay.errors import DataError
from assay.systems.climate_impact import pits
from assay.systems.climate_impact.catchments import (
    Parts,
    grouped,
    summed_ledger,
    summed_records,
    walled,
)
from assay.systems.climate_impact.descent import descents_of, label_tile
from assay.systems.climate_impact.inundation import FloodMaps
from assay.systems.climate_impact.rasters import Grid, Terrain
from assay.systems.climate_impact.solver import Ledger
from assay.systems.climate_impact.terrain_files import BLOCK, RasterFile, TileCells, raster_file
from assay.systems.climate_impact.watersheds import (
    Catchments,
    Tile,
    catchments_of,
    tiles_of,
    watersheds_of,
)

__all__ = [
    "Delineation",
    "FloodFile",
    "Windows",
    "delineate",
    "drain_file",
    "flood_file",
    "map_file",
    "read_part",
]

Quantity = Literal[
    "max_depth_m", "max_velocity_m_per_s", "max_hazard_m2_per_s", "arrival_time_h"
]  # fmt: skip


@dataclass(frozen=True)
class Windows:
    """Where the parts of a terrain lie.

    Attributes:
        box: First and last row, first and last column of each part.
    """

    box: Int[np.ndarray, "parts 4"]


class Delineation(NamedTuple):
    """A terrain in parts that exchange no water.

    Attributes:
        parts: GeoTIFF of the part of every cell, from 0; -1 where there is no terrain.
        windows: Where each part lies.
        records: ``catchments`` (how many there are), ``largest_part`` and ``largest_window``
            (share of the terrain's cells: work and memory of the largest task).
    """

    parts: Path
    windows: Windows
    records: Records


class FloodFile(NamedTuple):
    """The flood of a terrain larger than memory.

    Attributes:
        map: GeoTIFF of one quantity on the whole terrain, NaN on cells without terrain.
        ledger: Volumes of all parts, added up.
        records: As those of `FloodMaps`, volumes and areas added up, else those of the worst part.
    """

    map: Path
    ledger: Ledger
    records: Records


@component(version="1", requires=("numba", "numpy", "rasterio"))
def drain_file(
    terrain: Path,
    *,
    method: pits.Method = "breach",
    fall_m: Annotated[float, Field(ge=0, le=1)] = 0.01,
    parts: Parts = 16,
    tile_cells: TileCells = 1024,
) -> Path:
    """Open the pits of a terrain on disk: as `drain` does in memory, some catchments at a time.

    A catchment, with all that spills into it, is drained alone as it is in the whole.

    Args:
        terrain: The terrain on disk.
        method: ``breach`` carves the way out of a pit, ``fill`` raises the pit to where it spills.
        fall_m: Fall from cell to cell along changed ground (m).
        parts: How many sets of catchments, of about equal size; one is in memory at once.
        tile_cells: Side of the tiles that the catchments are found in.
    """
    folder, context = task().scratch(), task()
    with raster_file(terrain) as ground:
        found = catchments_of(ground, tile_cells)
        most = min(parts, found.cells.size)
        part = grouped(found.cells, found.row, found.column, most)

        def label(tile: Tile) -> np.ndarray:
            return watersheds_of(ground.read(*tile))[0]

        _write_parts(folder / "parts.tif", ground.grid, found, part, tile_cells, label)
        with (
            raster_file(folder / "parts.tif") as owner,
            raster_file(folder / "drained.tif", ground.grid, dtype="float64", again=True) as made,
        ):
            for k, box in enumerate(_boxes(found, part)):
                window = walled(ground.shape, box)
                mine = owner.read(*window) == k
                values = np.where(mine, ground.read(*window), np.nan)
                alone = Terrain(values, ground.grid.part(*window), terrain.name)
                drained = pits.drain(alone, method, fall_m).elevation_m
                made.write(*window, np.where(mine, drained, made.read(*window)))
                context.progress(k + 1, most, "parts")
    (folder / "parts.tif").unlink()
    return folder / "drained.tif"


@component(version="1", requires=("numba", "numpy", "rasterio"))
def delineate(terrain: Path, *, parts: Parts, tile_cells: TileCells = 1024) -> Delineation:
    """Find parts of a terrain that exchange no water, from tiles of it.

    A part is a set of whole catchments at full resolution, the same as `catchment_part` cuts out in
    memory. A catchment larger than its share makes a larger part.

    Args:
        terrain: The terrain on disk, its pits drained; every pit that is left is a catchment.
        parts: How many parts, of about equal size.
        tile_cells: Side of the tiles that are in memory at once.
    """
    made = task().scratch() / "parts.tif"
    with raster_file(terrain) as ground:
        found = descents_of(ground, tile_cells)
        if found.cells.size < parts:
            raise DataError(
                f"the terrain has {found.cells.size} catchments",
                where="delineate",
                accepted="at most as many parts",
            )
        part = grouped(found.cells, found.row, found.column, parts)

        def label(tile: Tile) -> np.ndarray:
            return label_tile(ground, tile).label

        _write_parts(made, ground.grid, found, part, tile_cells, label)
        total = ground.grid.rows * ground.grid.columns
    box = _boxes(found, part)
    area = (box[:, 1] - box[:, 0] + 1) * (box[:, 3] - box[:, 2] + 1)
    records = Records()
    records.add("catchments", float(found.cells.size), "1")
    records.add("largest_part", float(np.bincount(part, found.cells).max()) / total, "1")
    records.add("largest_window", float(area.max()) / total, "1")
    return Delineation(made, Windows(box), records)


def _write_parts(
    path: Path,
    grid: Grid,
    found: Catchments,
    part: Int[np.ndarray, " catchments"],
    tile_cells: int,
    label: Callable[[Tile], np.ndarray],
) -> None:
    """Write the part of every cell, -1 where there is no terrain; tiles are labelled again."""
    context, block = task(), math.gcd(tile_cells, BLOCK)
    with raster_file(path, grid, dtype="int16", block=block) as file:
        for count, tile in enumerate(tiles_of(file.shape, tile_cells)):
            labels = label(tile)
            known, owner = labels >= 0, np.full(labels.shape, -1)
            owner[known] = part[found.number[found.first[count] + labels[known]]]
            file.write(*tile, owner)
            context.progress(count + 1, len(found.first) - 1, "tiles")


def _boxes(found: Catchments, part: Int[np.ndarray, " catchments"]) -> Int[np.ndarray, "parts 4"]:
    """First and last row, first and last column of each part."""
    box = np.tile([np.iinfo(int).max, -1, np.iinfo(int).max, -1], (part.max(initial=-1) + 1, 1))
    for place, extreme in enumerate((np.minimum, np.maximum) * 2):
        extreme.at(box[:, place], part, found.box[:, place])
    return box


@component(version="1", requires=("numpy", "rasterio"))
def read_part(
    terrain: Path, delineation: Delineation, *, part: Annotated[int, Field(ge=0)]
) -> Terrain:
    """One part of a terrain on disk; all other cells are walls and are not read.

    Args:
        terrain: The terrain on disk.
        delineation: Its parts.
        part: Which one, from 0.
    """
    boxes = delineation.windows.box
    if part >= len(boxes):
        raise DataError(f"no part {part}", where="read_part", accepted=f"0 to {len(boxes) - 1}")
    with raster_file(terrain) as ground, raster_file(delineation.parts) as parts:
        window = walled(ground.shape, boxes[part])
        values = np.where(parts.read(*window) == part, ground.read(*window), np.nan)
        note = f"part {part + 1} of {len(boxes)}"
        return Terrain(values, ground.grid.part(*window), terrain.name, note)


@component(version="1", requires=("rasterio",))
def map_file(flood: FloodMaps, *, quantity: Quantity = "max_depth_m") -> Path:
    """One map of a flood as a GeoTIFF.

    Args:
        flood: The flood.
        quantity: Which map.
    """
    raster = getattr(flood, quantity)
    made = task().scratch() / f"{quantity}.tif"
    with raster_file(made, raster.grid, dtype="float32") as file:
        file.write(slice(0, raster.grid.rows), slice(0, raster.grid.columns), raster.values)
        file.opened.set_band_description(1, raster.name)
        file.opened.set_band_unit(1, raster.unit)
    return made


@component(version="1", requires=("numpy", "rasterio"))
def flood_file(
    terrain: Path, maps: list[Path], ledgers: list[Ledger], records: list[Records]
) -> FloodFile:
    """Put the floods of all parts of a terrain together, block by block.

    Args:
        terrain: The terrain on disk.
        maps: One map of the flood of each part.
        ledgers: Volumes of each.
        records: Records of each.
    """
    made = task().scratch() / "flood.tif"
    with ExitStack() as stack:
        ground = stack.enter_context(raster_file(terrain))
        parts = [stack.enter_context(raster_file(path)) for path in maps]
        whole = stack.enter_context(raster_file(made, ground.grid, dtype="float32"))
        for tile in tiles_of(ground.shape, 4 * BLOCK):
            shape = tuple(side.stop - side.start for side in tile)
            block = np.full(shape, np.nan)
            for part in parts:
                _lay(part, block, ground, tile)
            whole.write(*tile, block)
        whole.opened.set_band_description(1, parts[0].opened.descriptions[0])
        whole.opened.set_band_unit(1, parts[0].opened.units[0])
    return FloodFile(made, summed_ledger(ledgers), summed_records(records))


def _lay(
    part: RasterFile, block: np.ndarray, ground: RasterFile, tile: tuple[slice, slice]
) -> None:
    """Copy what a part knows of a tile of the whole into its block."""
    here, there = [], []
    for at, of in zip(tile, ground.grid.window(part.grid), strict=True):
        first, last = max(at.start, of.start), min(at.stop, of.stop)
        if first >= last:
            return
        here.append(slice(first - at.start, last - at.start))
        there.append(slice(first - of.start, last - of.start))
    values, old = part.read(*there), block[tuple(here)]
    block[tuple(here)] = np.where(np.isnan(values), old, values)
