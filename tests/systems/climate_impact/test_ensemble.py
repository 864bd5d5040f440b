"""What is trained on and what is held out: no overlap; made-up ground of the stated spectrum."""

import numpy as np
import pytest

from assay.errors import DataError, ParameterError
from assay.systems.climate_impact import ensemble, pits
from assay.systems.climate_impact.ensemble import hold_out
from assay.systems.climate_impact.fractals import fractal_surface, fractal_terrain
from assay.systems.climate_impact.rasters import Grid, Terrain

CRS = "EPSG:32616"


@pytest.fixture
def survey():
    """40 x 56 cells, each of another height, sloping to the south-east."""
    height = np.arange(40 * 56, 0, -1.0).reshape(40, 56)
    return Terrain(height, Grid(40, 56, 30.0, 0.0, 1200.0, CRS), "survey")


def tile_of(survey, grounds, tile, seed=0):
    return ensemble.training_tile(
        survey, grounds, tile=tile, return_period_years=[5.0, 50.0], duration_h=[3.0, 6.0],
        seed=seed,
    )  # fmt: skip


def test_blocks_do_not_overlap_and_none_is_on_both_sides(survey):
    grounds = hold_out(survey, size=8, share=0.3, fractals=5, seed=1)

    covered = np.zeros((40, 56), int)
    for row, column in np.concatenate([grounds.trained, grounds.held_out]):
        covered[row : row + 8, column : column + 8] += 1
    assert (covered == 1).all()
    assert (len(grounds.trained), len(grounds.held_out)) == (25, 10)  # round(0.3 * 35)
    seeds = {*grounds.trained_seeds.tolist(), *grounds.held_out_seeds.tolist()}
    assert len(seeds) == 10


def test_another_seed_holds_other_blocks_back(survey):
    kept = [hold_out(survey, size=8, seed=seed).held_out.tolist() for seed in (1, 1, 2)]

    assert kept[0] == kept[1] != kept[2]


def test_a_block_with_missing_data_is_on_neither_side(survey):
    survey.elevation_m[9, 17] = np.nan

    grounds = hold_out(survey, size=8, seed=1)

    corners = np.concatenate([grounds.trained, grounds.held_out]).tolist()
    assert len(corners) == 34
    assert [8, 16] not in corners


def test_a_survey_of_one_block_is_refused(survey):
    with pytest.raises(DataError, match=r"survey: 1 blocks of 32 cells fit into 40 x 56"):
        hold_out(survey, size=32, seed=0)


def test_tiles_are_of_ground_to_train_on_and_of_storms_named(survey):
    grounds = hold_out(survey, size=8, seed=1)
    tiles = [tile_of(survey, grounds, k, seed=k) for k in range(60)]

    for row, column in grounds.held_out:
        block = survey.elevation_m[row : row + 8, column : column + 8]
        assert not any((block == t.terrain.elevation_m).all() for t in tiles)
    row, column = grounds.trained[3]
    block = survey.elevation_m[row : row + 8, column : column + 8]
    assert (tiles[6].terrain.elevation_m == block).all()
    assert tiles[6].terrain.grid.west_m == 30.0 * column
    assert {t.rain.return_period_years for t in tiles} == {5.0, 50.0}
    assert {float(t.rain.times_s[-1]) / 3600 for t in tiles} == {3.0, 6.0}
    rough = np.array([t.roughness.manning for t in tiles])
    assert 0.01 <= rough.min() < 0.025 < 0.07 < rough.max() <= 0.2


def test_more_tiles_than_ground_give_the_same_ground_another_storm(survey):
    grounds = hold_out(survey, size=16, seed=1)
    again = 2 * len(grounds.trained)

    first, later = tile_of(survey, grounds, 0, seed=1), tile_of(survey, grounds, again, seed=2)

    assert (first.terrain.elevation_m == later.terrain.elevation_m).all()
    assert (first.roughness.manning != later.roughness.manning).any()


def test_a_case_is_of_the_side_that_its_split_says(survey):
    grounds = hold_out(survey, size=16, fractals=3, seed=1)

    def ground(split, kind, place=1):
        case = ensemble.held_out_case(
            survey, grounds, split=split, kind=kind, place=place, buildings=5, seed=0
        )
        assert (case.split, case.kind, case.place) == (split, kind, place)
        return case.terrain

    seen = [tile_of(survey, grounds, k).terrain.elevation_m for k in (2, 3)]
    assert (ground("storm", "survey").elevation_m == seen[0]).all()
    assert (ground("storm", "fractal").elevation_m == seen[1]).all()
    assert ground("terrain", "fractal").name == f"made-up terrain {grounds.held_out_seeds[1]}"
    row, column = grounds.held_out[1 % len(grounds.held_out)]
    block = ground("block", "survey").elevation_m
    assert (block == survey.elevation_m[row : row + 16, column : column + 16]).all()


@pytest.mark.parametrize(("split", "kind"), [("block", "fractal"), ("terrain", "survey")])
def test_what_was_not_held_back_is_no_case(survey, split, kind):
    with pytest.raises(ParameterError, match=f"kind: no {kind} is kept back as a {split}"):
        ensemble.held_out_case(survey, hold_out(survey, size=8, seed=1), split=split, kind=kind,
                               seed=0)  # fmt: skip


@pytest.mark.parametrize("hurst", [0.5, 0.9])
def test_the_power_of_made_up_ground_falls_as_its_exponent_says(hurst):
    """Over a surface, k^-(2 hurst + 2): the periodogram of one scatters about it (chi square)."""
    size = 256
    surface = fractal_surface(size, hurst, np.random.default_rng(4))
    assert surface.mean() == pytest.approx(0.0, abs=1e-12)
    assert surface.std() == pytest.approx(1.0)

    power = np.abs(np.fft.fft2(surface)) ** 2
    k = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size))
    among = (k > 4 / size) & (k < 0.5)
    slope = np.polyfit(np.log(k[among]), np.log(power[among]), 1)[0]

    assert slope == pytest.approx(-(2 * hurst + 2), abs=0.05)


def test_made_up_terrain_drains_and_follows_its_seed():
    made = fractal_terrain(24, 50.0, seed=7, crs=CRS)

    assert (pits.drain(made, "breach").elevation_m == made.elevation_m).all()
    again = fractal_terrain(24, 50.0, seed=7, crs=CRS)
    other = fractal_terrain(24, 50.0, seed=8, crs=CRS)
    assert (again.elevation_m == made.elevation_m).all()
    assert (other.elevation_m != made.elevation_m).any()
    assert made.grid == Grid(24, 24, 50.0, 0.0, 1200.0, CRS)
