"""Catchments from tiles: the levels of the whole, whatever the tiles; descent no wall dams."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from assay.systems.climate_impact import pits
from assay.systems.climate_impact.descent import descents_of, label_catchments, label_tile
from assay.systems.climate_impact.watersheds import (
    catchments_of,
    tiles_of,
    watersheds_of,
)


class InMemory:
    """An array that is read like a file."""

    def __init__(self, ground):
        self.ground, self.shape = ground, ground.shape

    def read(self, rows, columns):
        return self.ground[rows, columns]


def ground_of(seed, shape=(21, 26)):
    """Noise, smooth in some and in steps in others, with holes in some."""
    random = np.random.default_rng(seed)
    ground = random.random(shape)
    if seed % 3:
        ground = gaussian_filter(ground, seed % 3)
    if seed % 5 == 0:
        ground = np.round(ground * 8)
    if seed % 4 == 0:
        ground[random.random(shape) < 0.15] = np.nan
    return ground


def put_together(ground, side, find, label):
    """The catchments found in tiles, and the number of that of each cell."""
    found = find(InMemory(ground), side)
    numbers = np.full(ground.shape, -1)
    for count, tile in enumerate(tiles_of(ground.shape, side)):
        labels = label(InMemory(ground), tile)
        known = labels >= 0
        window = numbers[tile.rows, tile.columns]
        window[known] = found.number[found.first[count] + labels[known]]
    return found, numbers


def risen(ground, side):
    return put_together(
        ground, side, catchments_of, lambda file, tile: watersheds_of(file.read(*tile))[0]
    )


def descended(ground, side):
    return put_together(ground, side, descents_of, lambda file, tile: label_tile(file, tile).label)


@given(seed=st.integers(0, 10_000), side=st.sampled_from([4, 7, 16, 32]))
@settings(deadline=None, max_examples=40)
def test_a_catchment_cut_out_fills_up_to_the_levels_of_the_whole(seed, side):
    ground = ground_of(seed)
    whole = pits._priority_flood(ground, 0.0, False)
    found, numbers = risen(ground, side)

    assert ((numbers >= 0) == np.isfinite(ground)).all()
    for number in range(found.cells.size):
        mine = numbers == number
        alone = pits._priority_flood(np.where(mine, ground, np.nan), 0.0, False)
        assert np.array_equal(alone[mine], whole[mine])


@pytest.mark.parametrize("ways", [risen, descended])
def test_a_catchment_knows_its_cells_its_box_and_its_lowest_cell(ways):
    ground = ground_of(7)
    found, numbers = ways(ground, 8)

    assert (np.diff(found.cells) <= 0).all()
    for number, cells in enumerate(found.cells):
        row, column = np.nonzero(numbers == number)
        assert row.size == cells
        box = row.min(), row.max(), column.min(), column.max()
        assert tuple(found.box[number]) == box
        lowest = ground[found.row[number], found.column[number]]
        assert lowest == ground[row, column].min()


@given(seed=st.integers(0, 10_000), side=st.sampled_from([4, 7, 16]))
@settings(deadline=None, max_examples=40)
def test_descent_in_tiles_is_descent_in_the_whole(seed, side):
    ground = ground_of(seed)
    whole = label_catchments(ground)
    _, numbers = descended(ground, side)

    pairs = np.unique(np.stack([whole.ravel(), numbers.ravel()]), axis=1)
    assert pairs.shape[1] == np.unique(whole).size == np.unique(numbers).size


def test_a_cell_with_a_lower_neighbour_has_one_in_its_own_catchment():
    ground = ground_of(1, (30, 30))
    labels = label_catchments(ground)
    padded, owners = (np.pad(a, 1, constant_values=v) for a, v in ((ground, np.inf), (labels, -2)))
    below, within = np.zeros(ground.shape, bool), np.zeros(ground.shape, bool)
    for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        window = np.s_[1 + down : 31 + down, 1 + right : 31 + right]
        lower = padded[window] < ground
        below |= lower
        within |= lower & (owners[window] == labels)

    assert (below == within).all()
    assert 0 < np.count_nonzero(~below) == np.unique(labels).size


def test_descent_follows_an_oblique_slope_and_not_the_grid():
    """Down a plane that falls 2 east for 1 south, the divide between outlets runs that way too."""
    rows, columns = 120, 60
    ground = -2.0 * np.arange(columns) - 1.0 * np.arange(rows)[:, None]
    ground[:, -1] -= 1e3
    ground[90, -1] = np.nan  # two gutters at the east side
    labels = label_catchments(ground)
    north = labels == labels[0, -1]
    divides = [int(np.flatnonzero(north[:, c])[-1]) for c in (10, 50)]

    # The draw is by squares of falls: 1 step south for 4 east, between the axis and the slope.
    assert (divides[1] - divides[0]) / 40 == pytest.approx(0.25, abs=0.15)


def test_ground_that_holes_enclose_is_a_catchment_of_its_own():
    ground = np.ones((9, 9))
    ground[2:7, 2:7] = np.nan
    ground[3:6, 3:6] = 0.5
    for side in (3, 16):
        found, numbers = risen(ground, side)
        inner = numbers[3:6, 3:6]
        assert np.unique(inner).size == 1
        assert found.cells[inner[0, 0]] == 9
