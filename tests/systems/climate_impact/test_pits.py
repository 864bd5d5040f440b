"""Pits: what is raised, by how much, and what is left alone."""

import heapq

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from assay.systems.climate_impact.pits import drain
from assay.systems.climate_impact.rasters import Grid, Terrain
from assay.systems.climate_impact.solver import Boundaries, simulate

RISE_M = 0.01
grounds = arrays(
    np.float64, st.tuples(st.integers(1, 9), st.integers(1, 9)),
    elements=st.one_of(st.just(np.nan), st.integers(0, 4).map(float)),
)  # fmt: skip


def on_a_grid(elevation):
    elevation = np.asarray(elevation, float)
    return Terrain(elevation, Grid(*elevation.shape, 10.0, 0.0, 0.0, "EPSG:32616"), "made up")


def filled(ground, rise_m):
    return drain(on_a_grid(ground), "fill", rise_m)


def breached(ground, fall_m):
    return drain(on_a_grid(ground), "breach", fall_m)


def neighbours(shape, row, column):
    for r, c in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
        if 0 <= r < shape[0] and 0 <= c < shape[1]:
            yield r, c


def spill_levels(ground):
    """The lowest level at which water leaves each cell: the smallest largest height on any path."""
    level = np.full(ground.shape, np.inf)
    heap = []
    for row, column in np.ndindex(ground.shape):
        edge = row in (0, ground.shape[0] - 1) or column in (0, ground.shape[1] - 1)
        if edge and np.isfinite(ground[row, column]):
            heap.append((ground[row, column], row, column))
    heapq.heapify(heap)
    while heap:
        height, row, column = heapq.heappop(heap)
        if height >= level[row, column]:
            continue
        level[row, column] = height
        for r, c in neighbours(ground.shape, row, column):
            if np.isfinite(ground[r, c]):
                heapq.heappush(heap, (max(height, ground[r, c]), r, c))
    return level


def test_a_pit_is_raised_above_its_lowest_rim_and_no_further():
    ground = np.array([[9, 9, 9, 9], [9, 1, 2, 9], [9, 9, 5, 9]])

    found = filled(ground, RISE_M)

    assert found.elevation_m[1].tolist() == pytest.approx([9, 5.02, 5.01, 9])
    assert found.note == "pits filled: 16.7 % of the cells changed, by up to 4.0 m"


def test_a_breach_is_carved_along_the_lowest_way_out_and_nowhere_else():
    ground = np.array([[9, 9, 9, 9, 9], [9, 1, 7, 4, 9], [9, 9, 9, 5, 9]])

    found = breached(ground, RISE_M)

    expected = ground.astype(float)
    expected[1, 2], expected[1, 3], expected[2, 3] = 0.99, 0.98, 0.97
    assert found.elevation_m == pytest.approx(expected)
    assert found.note == "pits breached: 20.0 % of the cells changed, by up to 6.0 m"


def test_water_does_not_slip_out_of_a_pit_between_the_corners_of_cells():
    """The solver knows four neighbours: a low cell across the corner lets nothing out."""
    ground = np.full((3, 3), 9.0)
    ground[1, 1], ground[0, 0] = 1.0, 0.0

    assert filled(ground, 0.0).elevation_m[1, 1] == 9.0


@given(grounds)
def test_without_a_rise_every_cell_stands_at_its_spill_level(ground):
    level = spill_levels(ground)
    expected = np.where(np.isinf(level), ground, level)

    assert np.array_equal(filled(ground, 0.0).elevation_m, expected, equal_nan=True)


@given(grounds, st.sampled_from([filled, breached]))
def test_every_cell_off_the_edge_has_a_lower_neighbour_if_water_can_leave_at_all(ground, method):
    found = method(ground, RISE_M).elevation_m

    reachable = np.isfinite(spill_levels(ground))
    for row, column in np.argwhere(reachable[1:-1, 1:-1]) + 1 if min(ground.shape) > 2 else ():
        around = [found[at] for at in neighbours(ground.shape, row, column)]
        assert np.nanmin(around) < found[row, column]


@given(grounds)
def test_filling_only_raises_and_breaching_only_lowers(ground):
    known = np.isfinite(ground)

    assert (filled(ground, RISE_M).elevation_m >= ground)[known].all()
    assert (breached(ground, RISE_M).elevation_m <= ground)[known].all()


@given(grounds, st.sampled_from(["fill", "breach"]))
def test_what_is_drained_needs_no_second_draining(ground, method):
    once = drain(on_a_grid(ground), method, RISE_M)

    assert np.array_equal(drain(once, method, RISE_M).elevation_m, once.elevation_m, equal_nan=True)


def test_drained_ground_drains_in_the_solver_and_a_pit_does_not():
    ground = np.add.outer(np.zeros(12), 0.2 * np.arange(12.0))
    ground[4:8, 4:8] -= 3.0
    left = {}
    for name, terrain in {
        "as it is": on_a_grid(ground),
        "fill": filled(ground, RISE_M),
        "breach": breached(ground, RISE_M),
    }.items():
        flow = simulate(
            terrain.elevation_m, 0.03, cell_m=10.0, end_s=6 * 3600.0, rain_times_s=[0.0, 600.0],
            rain_mm_per_h=[60.0], boundaries=Boundaries("free", "free", "free", "free"),
        )  # fmt: skip
        left[name] = flow.ledger.stored_end_m3 / flow.ledger.rain_m3

    assert left["as it is"] > 0.2
    assert left["fill"] < 0.05
    assert left["breach"] < 0.05
