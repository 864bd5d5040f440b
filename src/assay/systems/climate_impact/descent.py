"""Catchments by descent, of a terrain in memory or of one that is seen a tile at a time.

Notable in this file: a cell drains to one of the *four* neighbours that the flood solver exchanges
water with, so no cell is dammed where a terrain is cut along its catchments. Which of the lower
ones is drawn, as in the Rho4 method of Fairfield and Leymarie 1991, here with probabilities in
proportion to the squares of the falls: always the steepest would follow the rows and columns of the
grid down an oblique slope. The draw is a hash of the cell's place, so that it is the same in every
tile; a tile is read with one cell around it, and what leaves it is followed from tile to tile.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from assay.systems.climate_impact.intrinsics import compiled
from assay.systems.climate_impact.watersheds import (
    Catchments,
    Elevations,
    Tile,
    gathered,
    measured,
    tiles_of,
)

__all__ = ["descents_of", "label_catchments", "label_tile"]


def label_catchments(elevation_m: np.ndarray) -> Int[np.ndarray, "rows columns"]:
    """The catchment of each cell, numbered from 0 by falling size; -1 where unknown.

    Example:
        >>> label_catchments(np.array([[1.0, 2.0, np.nan, 3.0, 2.0, 0.0]])).tolist()
        [[1, 1, -1, 0, 0, 0]]
    """
    padded = np.pad(np.asarray(elevation_m, np.float64), 1, constant_values=np.nan)
    raw = _labelled(padded, np.full(padded.shape, -1), 0, (0, 0, elevation_m.shape[1]))
    sizes = np.bincount(raw[raw >= 0])
    rank = np.empty(sizes.size, int)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(sizes.size)
    return np.where(raw >= 0, rank[raw], -1)


class _Ends(NamedTuple):
    """Where the water of the cells of a tile leaves it, or gathers in it.

    Attributes:
        label: Number of each cell's end, -1 where unknown.
        ground: Elevation of each (m).
        beyond: Of the first numbers, the cells beyond the tile's sides (row * columns + column of
            the terrain) that the water runs on to.
        ends: How many numbers there are.
    """

    label: np.ndarray
    ground: np.ndarray
    beyond: np.ndarray
    ends: int


def label_tile(terrain: Elevations, tile: Tile) -> _Ends:
    """Follow the water of each cell of a tile until it leaves the tile, or gathers in it."""
    rows, columns = terrain.shape
    (top, bottom), (left, right) = ((s.start - 1, s.stop + 1) for s in tile)
    inside = slice(max(top, 0), min(bottom, rows)), slice(max(left, 0), min(right, columns))
    padded = np.full((bottom - top, right - left), np.nan)
    within = tuple(
        slice(known.start - begin, known.stop - begin)
        for known, begin in zip(inside, (top, left), strict=True)
    )
    padded[within] = terrain.read(*inside)
    around = np.ones(padded.shape, bool)
    around[1:-1, 1:-1] = False
    row, column = np.nonzero(around & np.isfinite(padded))
    label = np.full(padded.shape, -1)
    label[row, column] = np.arange(row.size)
    found = _labelled(padded, label, row.size, (tile.rows.start, tile.columns.start, columns))
    count = max(row.size, int(found.max(initial=-1)) + 1)
    beyond = (row + top) * columns + column + left
    return _Ends(found, padded[1:-1, 1:-1], beyond, count)


def descents_of(terrain: Elevations, side: int) -> Catchments:
    """The catchments of a terrain, seen in tiles of ``side`` cells.

    Args:
        terrain: The terrain, its pits drained; every pit that is left is a catchment of its own.
        side: Cells along each side of a tile.
    """
    first, labels, exits, rims = [0], [], [], []
    for tile in tiles_of(terrain.shape, side):
        label, ground, beyond, count = label_tile(terrain, tile)
        labels.append(measured(tile, ground, label, count))
        exits.append((first[-1] + np.arange(beyond.size), beyond))
        rims += [(cell, first[-1] + end) for cell, end in _rim(terrain.shape, tile, label)]
        first.append(first[-1] + count)
    cell, end = (np.concatenate(column) for column in zip(*rims, strict=True))
    order = np.argsort(cell, kind="stable")
    here, beyond = (np.concatenate(column) for column in zip(*exits, strict=True))
    owner = np.arange(first[-1])
    owner[here] = end[order][np.searchsorted(cell[order], beyond)]
    while not np.array_equal(further := owner[owner], owner):
        owner = further
    return gathered(owner, np.concatenate(labels), first)


def _rim(
    shape: tuple[int, int], tile: Tile, label: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cells of the four sides of a tile and the ends of their water."""
    rows, columns = (np.arange(s.start, s.stop) for s in tile)
    cells = rows[:, None] * shape[1] + columns
    for side in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        known = label[side] >= 0
        yield cells[side][known], label[side][known]


def _labelled(
    padded: np.ndarray, label: np.ndarray, count: int, place: tuple[int, int, int]
) -> np.ndarray:
    ground = padded[1:-1, 1:-1]
    upwards = np.argsort(ground, axis=None, kind="stable")  # NaN last
    known = upwards[: np.count_nonzero(np.isfinite(ground))]
    return _labels(padded, known, label, count, *place)[1:-1, 1:-1]


@compiled
def _labels(z, upwards, label, found, top, left, width):
    """Every cell has the label of the neighbour it drains to, from the lowest on."""
    columns = z.shape[1] - 2
    for cell in upwards:
        row, column = cell // columns + 1, cell % columns + 1
        total = 0.0
        for down, right in ((-1, 0), (0, -1), (0, 1), (1, 0)):
            fall = z[row, column] - z[row + down, column + right]
            if fall > 0.0:
                total += fall * fall
        best = -1
        left_over = total * _drawn((top + row - 1) * width + left + column - 1)
        for down, right in ((-1, 0), (0, -1), (0, 1), (1, 0)):
            fall = z[row, column] - z[row + down, column + right]
            if fall > 0.0 and left_over >= 0.0:
                best = label[row + down, column + right]
                left_over -= fall * fall
        if best < 0:
            best, found = found, found + 1
        label[row, column] = best
    return label


@compiled
def _drawn(place):
    """A number in [0, 1) that looks random, the same for a cell in every tile (SplitMix64)."""
    mixed = np.uint64(place) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) / 9007199254740992.0
