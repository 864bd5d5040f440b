"""Roughness: patches with the spread they are given, and patterns that keep their proportions."""

import numpy as np
import pytest

from assay.systems.climate_impact.rasters import Grid, Roughness, Terrain
from assay.systems.climate_impact.roughness import patchy_roughness, scaled_roughness

GRID = Grid(40, 64, 10.0, 0.0, 400.0, "EPSG:32616")
GROUND = Terrain(np.zeros((40, 64)), GRID, "flat")


def test_patches_have_the_typical_value_and_the_spread_asked_for():
    made = patchy_roughness(GROUND, manning=0.05, deviation=0.2, seed=1)
    level = np.log(made.manning / 0.05)

    assert made.manning.shape == (40, 64)
    assert level.std() == pytest.approx(0.2, rel=0.5)
    assert abs(level.mean()) < 0.2
    # patches, not noise: neighbours are alike
    assert np.corrcoef(level[:, 1:].ravel(), level[:, :-1].ravel())[0, 1] > 0.8


def test_patches_stay_within_what_ground_can_be_and_follow_their_seed():
    wild = patchy_roughness(GROUND, deviation=2.0, seed=1)
    assert wild.manning.min() == 0.01
    assert wild.manning.max() == 0.2

    one, same, other = (patchy_roughness(GROUND, seed=s).manning for s in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert patchy_roughness(GROUND, deviation=0.0, seed=1).manning == pytest.approx(0.04)


def test_a_pattern_is_brought_to_a_level_and_keeps_its_proportions():
    walled = Terrain(np.array([[0.0, 0.0, 0.0, np.nan]]), Grid(1, 4, 1.0, 0.0, 1.0, "x"), "wall")
    pattern = Roughness(np.array([[0.02, 0.04, 0.08, 5.0]]), walled.grid)

    scaled = scaled_roughness(walled, pattern, 0.06)
    assert scaled.manning[0, :3] == pytest.approx([0.03, 0.06, 0.12])
    assert (scaled_roughness(walled, None, 0.06).manning == 0.06).all()
