"""Catchments of a terrain that is seen one tile at a time.

Notable in this file: what is kept of a tile is a graph of its perimeter. Water that rises from all
cells of the perimeter at once (priority-flood, Barnes, Lehman and Mulla 2014) gives every cell
inside to the one that it drains to, and the lowest ground over which two of these watersheds touch.
Joined across the sides of the tiles, the same flood runs over the graph from the edge of the
terrain, and each watershed follows whichever reached it first. Memory grows with the perimeter of
the tiles, not with their area.

The levels are exact: a catchment cut out and flooded alone fills up to the same level in every cell
as in the whole. Where ground beyond a sill falls to two sides, the size of the tiles decides which
catchment has it.

Water runs to the four neighbours that the flood solver and `pits` know, and out of a pit over its
lowest sill. Cells without data are walls; ground that they enclose is a catchment without outlet.
"""

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import NamedTuple, Protocol

import numpy as np

from assay.systems.climate_impact.intrinsics import compiled

__all__ = [
    "Catchments",
    "Elevations",
    "Tile",
    "catchments_of",
    "gathered",
    "measured",
    "tiles_of",
    "watersheds_of",
]


NOWHERE = (np.inf, -np.inf, np.inf, -np.inf)
"""First and last row, first and last column of no cells."""


class Elevations(Protocol):
    """A terrain of which a window can be read."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        ...

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """Elevations (m) of a window, ``float64``, NaN where unknown."""
        ...


class Tile(NamedTuple):
    """A window of the terrain: its rows and its columns."""

    rows: slice
    columns: slice


class Catchments(NamedTuple):
    """All ground that drains through one cell of the terrain's edge, numbered by falling size.

    Attributes:
        cells: Cells of each catchment.
        row: Row of its lowest cell.
        column: Its column.
        box: First and last row, first and last column, ``[catchments, 4]``.
        number: Catchment of every label of every tile, in the order of the tiles; -1 where a label
            has no cells.
        first: Place of the first label of each tile in these.
    """

    cells: np.ndarray
    row: np.ndarray
    column: np.ndarray
    box: np.ndarray
    number: np.ndarray
    first: list[int]


def tiles_of(shape: tuple[int, int], side: int) -> Iterator[Tile]:
    """Squares of ``side`` cells, row by row; smaller at the south and east edges.

    Example:
        >>> [(t.rows.start, t.columns.stop) for t in tiles_of((3, 4), 2)]
        [(0, 2), (0, 4), (2, 2), (2, 4)]
    """
    for top in range(0, shape[0], side):
        for left in range(0, shape[1], side):
            yield Tile(
                slice(top, min(top + side, shape[0])), slice(left, min(left + side, shape[1]))
            )


def watersheds_of(elevation_m: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Which cell of the perimeter each cell of a tile drains to.

    Args:
        elevation_m: Height of the ground (m), ``[y, x]``; NaN where unknown.

    Returns:
        Number of each cell's watershed, -1 where unknown; the level (m) to which water must rise
        to leave each cell through the perimeter; how many watersheds there are.
    """
    return _flood(np.ascontiguousarray(elevation_m, np.float64))


def catchments_of(terrain: Elevations, side: int) -> Catchments:
    """The catchments of a terrain, seen in tiles of ``side`` cells."""
    graph = _Graph(terrain.shape)
    for tile in tiles_of(terrain.shape, side):
        ground = terrain.read(*tile)
        graph.add(tile, ground, *watersheds_of(ground))
    return graph.catchments()


class _Graph:
    """Watersheds of all tiles seen so far, and where they touch."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.first = [0]
        self.ends: list[np.ndarray] = []  # from which watershed into which
        self.levels: list[np.ndarray] = []  # over which level, and at which on the side it is from
        self.lowest: list[np.ndarray] = []
        self.labels: list[np.ndarray] = []
        self.outlets: list[np.ndarray] = []
        self._above = np.full(shape[1], -1, np.int32), np.zeros(shape[1])
        self._beside = np.empty(0, np.int32), np.empty(0)

    def add(
        self, tile: Tile, ground: np.ndarray, label: np.ndarray, level: np.ndarray, count: int
    ) -> None:
        """Take in the watersheds of the next tile."""
        number = np.where(label >= 0, label + np.int32(self.first[-1]), np.int32(-1))
        pairs = [
            (number[:-1], number[1:], level[:-1], level[1:]),
            (number[:, :-1], number[:, 1:], level[:, :-1], level[:, 1:]),
        ]
        above, beside = (side[tile.columns] for side in self._above), self._beside
        if tile.rows.start > 0:
            labels, levels = above
            pairs.append((labels, number[0], levels, level[0]))
        if tile.columns.start > 0:
            pairs.append((beside[0], number[:, 0], beside[1], level[:, 0]))
        ends, levels = _touching(pairs)
        self.ends.append(ends)
        self.levels.append(levels)
        self._above[0][tile.columns], self._above[1][tile.columns] = number[-1], level[-1]
        self._beside = number[:, -1].copy(), level[:, -1].copy()
        lowest = np.full(count, np.inf)
        np.minimum.at(lowest, label[label >= 0], level[label >= 0])
        self.lowest.append(lowest)
        self.labels.append(measured(tile, ground, label, count))
        self.outlets.append(self._outlets(tile, number))
        self.first.append(self.first[-1] + count)

    def _outlets(self, tile: Tile, number: np.ndarray) -> np.ndarray:
        """Watersheds of the cells at the edge of the terrain."""
        rows, columns = self.shape
        sides = (
            number[0, : number.shape[1] * (tile.rows.start == 0)],
            number[-1, : number.shape[1] * (tile.rows.stop == rows)],
            number[: number.shape[0] * (tile.columns.start == 0), 0],
            number[: number.shape[0] * (tile.columns.stop == columns), -1],
        )
        found = np.unique(np.concatenate(sides))
        return found[found >= 0]

    def catchments(self) -> Catchments:
        """Let the water in from the edge of the terrain."""
        ends, levels = np.concatenate(self.ends, axis=1), np.concatenate(self.levels, axis=1)
        self.ends.clear()
        self.levels.clear()
        order = np.argsort(ends[0], kind="stable")
        begins = np.searchsorted(ends[0], np.arange(self.first[-1] + 1), sorter=order)
        lowest = np.concatenate(self.lowest)
        owner = _join(
            begins, order, ends[1], levels, lowest, np.concatenate(self.outlets), np.argsort(lowest)
        )
        return gathered(owner, np.concatenate(self.labels), self.first)


def _touching(pairs: list[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, np.ndarray]:
    """Where cells side by side belong to two watersheds, in both directions, the lowest of each.

    Args:
        pairs: Watersheds of cells and of those beside them, and the levels (m) of both.

    Returns:
        From which watershed and into which; over which level (m), and at which level (m) the water
        stands on the side it comes from.
    """
    found: list[tuple[np.ndarray, ...]] = []
    for a, b, level_a, level_b in pairs:
        apart = (a != b) & (a >= 0) & (b >= 0)
        spill = np.maximum(level_a[apart], level_b[apart])
        found += [
            (a[apart], b[apart], spill, level_a[apart]),
            (b[apart], a[apart], spill, level_b[apart]),
        ]
    here, there, spill, source = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((source, spill, there, here))
    here, there = here[order], there[order]
    lowest = np.ones(here.size, bool)
    lowest[1:] = (np.diff(here) != 0) | (np.diff(there) != 0)
    kept = order[lowest]
    return np.stack([here[lowest], there[lowest]]), np.stack([spill[kept], source[kept]])


def measured(tile: Tile, ground: np.ndarray, label: np.ndarray, count: int) -> np.ndarray:
    """Of each label in a tile: cells, height, row and column of the lowest, and the box.

    Returns:
        Shape ``(count, 8)``; infinite where a label has no cells.
    """
    made = np.tile([0.0, np.inf, 0.0, 0.0, *NOWHERE], (count, 1))
    _measure(ground, label, tile.rows.start, tile.columns.start, made)
    return made


def gathered(owner: np.ndarray, labels: np.ndarray, first: list[int]) -> Catchments:
    """Labels of one owner as one catchment; ``labels`` are what `measured` says of each."""
    _, number = np.unique(owner, return_inverse=True)
    count = int(number.max(initial=-1)) + 1
    cells = np.bincount(number, labels[:, 0], count)
    lowest = np.full(count, -1)
    downwards = np.argsort(-labels[:, 1], kind="stable")
    lowest[number[downwards]] = downwards  # the last one stays
    box = np.tile(NOWHERE, (count, 1))
    for place, extreme in enumerate((np.minimum, np.maximum) * 2):
        extreme.at(box[:, place], number, labels[:, 4 + place])
    order = np.argsort(-cells, kind="stable")
    order = order[cells[order] > 0]
    rank = np.full(count, -1)
    rank[order] = np.arange(order.size)
    row, column = labels[lowest[order], 2:4].astype(int).T
    return Catchments(
        cells[order].astype(int), row, column, box[order].astype(int), rank[number], first
    )


# -- kernels ------------------------------------------------------------------------------------


@compiled
def _flood(z):
    """Water rises through all cells of the perimeter at once."""
    rows, columns = z.shape
    label = np.full((rows, columns), -1, np.int32)
    level = z.copy()
    front = [(0.0, 0)]  # tells numba the type of what is queued
    front.pop()
    count = 0
    for cell in range(rows * columns):
        row, column = cell // columns, cell % columns
        edge = row in (0, rows - 1) or column in (0, columns - 1)
        if edge and not np.isnan(z[row, column]):
            label[row, column] = count
            count += 1
            heappush(front, (z[row, column], cell))
    _rise(z, label, level, front)
    for cell in range(rows * columns):  # ground that cells without data enclose
        row, column = cell // columns, cell % columns
        if label[row, column] < 0 and not np.isnan(z[row, column]):
            label[row, column] = count
            count += 1
            heappush(front, (z[row, column], cell))
            _rise(z, label, level, front)
    return label, level, count


@compiled
def _rise(z, label, level, front):
    rows, columns = z.shape
    while len(front) > 0:
        height, cell = heappop(front)
        here, there = cell // columns, cell % columns
        for down, right in ((-1, 0), (0, -1), (0, 1), (1, 0)):
            row, column = here + down, there + right
            if not (0 <= row < rows and 0 <= column < columns):
                continue
            if label[row, column] >= 0 or np.isnan(z[row, column]):
                continue
            label[row, column] = label[here, there]
            level[row, column] = max(height, z[row, column])
            heappush(front, (level[row, column], row * columns + column))


@compiled
def _join(begins, order, there, levels, lowest, outlets, upwards):
    """The watershed at the terrain's edge whose water reaches each watershed first.

    First is what rises to the lowest level, and of equals what stands lower beside it.
    """
    owner = np.full(lowest.size, -1, np.int32)
    front = [(0.0, 0.0, np.int32(0), np.int32(0))]
    front.pop()
    for node in outlets:
        heappush(front, (lowest[node], -np.inf, node, node))
    for start in upwards:
        if len(front) == 0 and owner[start] < 0:  # enclosed: no water leaves it
            heappush(front, (lowest[start], -np.inf, np.int32(start), np.int32(start)))
        while len(front) > 0:
            level, _, node, outlet = heappop(front)
            if owner[node] >= 0:
                continue
            owner[node] = outlet
            for place in range(begins[node], begins[node + 1]):
                edge = order[place]
                if owner[there[edge]] < 0:
                    over, beside = max(level, levels[0, edge]), max(level, levels[1, edge])
                    heappush(front, (over, beside, there[edge], outlet))
    return owner


@compiled
def _measure(ground, label, top, left, made):
    for row in range(label.shape[0]):
        for column in range(label.shape[1]):
            if label[row, column] < 0:
                continue
            one = made[label[row, column]]
            one[0] += 1.0
            if ground[row, column] < one[1]:
                one[1], one[2], one[3] = ground[row, column], top + row, left + column
            one[4], one[5] = min(one[4], top + row), max(one[5], top + row)
            one[6], one[7] = min(one[6], left + column), max(one[7], left + column)
