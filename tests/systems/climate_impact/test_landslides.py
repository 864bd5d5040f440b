"""Landslides: slopes and catchments with known answers, and what may never happen."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from assay.errors import DataError, ParameterError
from assay.systems.climate_impact.drainage import accumulate, specific_catchment
from assay.systems.climate_impact.exposure import Assets
from assay.systems.climate_impact.landslides import (
    WATER_N_PER_M3,
    factor_of_safety,
    landslide_losses,
    shallow_landslides,
    slope_of,
    slope_soil,
    wetness,
)
from assay.systems.climate_impact.pits import drain
from assay.systems.climate_impact.rain import Hyetograph
from assay.systems.climate_impact.rasters import Grid, Terrain

CELL_M = 10.0
MANTLE = {"soil_depth_m": 1.5, "soil_weight_n_per_m3": 18e3}
degrees = st.floats(0.5, 60)


def on_a_grid(elevation):
    elevation = np.asarray(elevation, float)
    return Terrain(elevation, Grid(*elevation.shape, CELL_M, 0.0, 0.0, "EPSG:32616"), "made up")


def storm(depth_mm, period=10.0):
    return Hyetograph(np.array([0.0, 3600.0]), np.array([float(depth_mm)]), "storm", period)


def slope(deg):
    return np.deg2rad(np.array([float(deg)]))


def hillside(slope_deg, rows=6, columns=30):
    """A plane that falls to the east."""
    fall = np.tan(np.deg2rad(slope_deg)) * CELL_M
    return on_a_grid(np.tile(fall * np.arange(columns)[::-1], (rows, 1)))


def slides_on(terrain, depth_mm, **soil):
    mantle = slope_soil(seed=0, **soil)
    return shallow_landslides(terrain, specific_catchment(terrain), mantle, storm(depth_mm))


# -- drainage -----------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_a_plane_drains_the_ground_above_each_cell(turn):
    plane = np.tile(np.arange(7.0)[::-1], (4, 1))

    found = np.rot90(accumulate(np.rot90(plane, turn), CELL_M), -turn)

    assert found == pytest.approx(np.tile(np.arange(1.0, 8.0), (4, 1)))


def test_a_plane_that_falls_along_the_diagonal_passes_everything_across_the_corner():
    ground = -np.add.outer(np.arange(5.0), np.arange(5.0))

    found = accumulate(ground, CELL_M)

    assert np.diag(found)[:-1] == pytest.approx(np.arange(1.0, 5.0))
    assert found[0, :-1] == pytest.approx(np.ones(4))
    assert found[-1, -1] == pytest.approx(25.0)  # along the lower edges to the lowest cell


def test_a_plane_in_between_shares_its_water_by_the_angle():
    """Tarboton 1997: of two neighbours the nearer to the direction takes more, by the angles."""
    ground = -np.add.outer(0.5 * np.arange(3.0), np.arange(3.0))
    to_the_corner = np.arctan(0.5) / (np.pi / 4)

    found = accumulate(ground, CELL_M)

    assert found[0].tolist() == pytest.approx(
        [1.0, 1.0 + (1 - to_the_corner), 1.0 + (1 - to_the_corner) * (2 - to_the_corner)]
    )
    assert found[1, 1] == pytest.approx(1.0 + found[0, 0] * to_the_corner + (1 - to_the_corner))


def test_a_valley_gathers_a_row_of_both_banks_in_each_cell_of_its_bed():
    half, rows = 6, 20
    across = np.abs(np.arange(-half, half + 1.0))
    ground = 0.5 * across - 0.2 * np.arange(rows)[:, None]

    found = accumulate(ground, CELL_M)

    each_row = np.diff(found[half:-1, half])  # between slanting flow lines and the edge
    assert each_row == pytest.approx(np.full(each_row.size, 2 * half + 1))
    assert specific_catchment(on_a_grid(ground)).values == pytest.approx(found * CELL_M)


@given(
    arrays(
        np.float64,
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.one_of(st.just(np.nan), st.integers(0, 6).map(float)),
    )
)
def test_no_area_is_lost_or_made(ground):
    """What ends in cells without a lower neighbour is the area of all cells."""
    drained = drain(on_a_grid(ground), "fill", 0.01).elevation_m
    found = accumulate(drained, CELL_M)

    padded = np.pad(drained, 1, constant_values=np.nan)
    bottom = np.zeros(ground.shape)
    for row, column in np.ndindex(ground.shape):
        around = padded[row : row + 3, column : column + 3].copy()
        beside = [around[0, 1], around[1, 0], around[1, 2], around[2, 1]]
        corners = [  # reached between two sides, one of them known
            around[i, j]
            for i in (0, 2)
            for j in (0, 2)
            if np.isfinite(around[1, j]) or np.isfinite(around[i, 1])
        ]
        lowest = min([np.inf, *(v for v in [*beside, *corners] if np.isfinite(v))])
        bottom[row, column] = np.isfinite(drained[row, column]) and lowest >= drained[row, column]
    known = np.isfinite(ground)
    assert np.array_equal(np.isnan(found), ~known)
    assert np.nansum(found * bottom) == pytest.approx(known.sum())
    assert (found[known] >= 1.0).all()


# -- stability ----------------------------------------------------------------------------------


@given(degrees)
def test_dry_sand_stands_at_its_angle_of_friction(angle):
    safety = factor_of_safety(slope(angle), 0.0, cohesion_pa=0.0, friction_deg=angle, **MANTLE)

    assert safety.item() == pytest.approx(1.0, rel=1e-12)


@given(degrees, degrees)
def test_soaked_sand_has_its_buoyant_weight_to_stand_on(angle, friction):
    safety = factor_of_safety(slope(angle), 1.0, cohesion_pa=0.0, friction_deg=friction, **MANTLE)

    buoyant = (18e3 - WATER_N_PER_M3) / 18e3
    tangents = np.tan(np.deg2rad(friction)) / np.tan(np.deg2rad(angle))
    assert safety.item() == pytest.approx(buoyant * tangents, rel=1e-12)


def test_a_wall_of_clay_stands_up_to_its_critical_depth():
    """Without friction the critical depth is c / (gamma sin s cos s)."""
    depth = 9e3 / (18e3 * np.sin(0.4) * np.cos(0.4))

    safety = factor_of_safety(
        np.array([0.4]), 0.7, cohesion_pa=9e3, friction_deg=1e-9,
        soil_depth_m=depth, soil_weight_n_per_m3=18e3,
    )  # fmt: skip

    assert safety.item() == pytest.approx(1.0, rel=1e-9)


@given(degrees, st.floats(0, 1), st.floats(0, 1), st.floats(0, 1e4))
def test_wetter_soil_is_never_safer(angle, one, other, cohesion):
    at = [
        factor_of_safety(slope(angle), wet, cohesion_pa=cohesion, friction_deg=30.0, **MANTLE)
        for wet in sorted((one, other))
    ]

    assert at[1] <= at[0]


def test_wetness_rises_to_one_and_level_ground_is_soaked_by_any_rain():
    angles, areas = np.deg2rad([30.0, 30.0, 30.0, 0.0, 0.0]), np.array([1e2, 2e2, 4e2, 1e2, 1e2])

    wet = wetness(angles, areas, recharge_m_per_s=1e-6, transmissivity_m2_per_s=4e-4)
    dry = wetness(angles, areas, recharge_m_per_s=0.0, transmissivity_m2_per_s=4e-4)

    assert wet.tolist() == pytest.approx([0.5, 1.0, 1.0, 1.0, 1.0])
    assert dry.tolist() == [0.0] * 5


def test_slopes_are_those_of_a_plane_up_to_its_edges_and_beside_holes():
    terrain = hillside(20.0)
    terrain.elevation_m[2, 3] = np.nan

    found = np.rad2deg(slope_of(terrain))

    assert np.argwhere(np.isnan(found)).tolist() == [[2, 3]]
    assert found[np.isfinite(found)] == pytest.approx(20.0)


# -- maps ---------------------------------------------------------------------------------------


def test_a_dry_hillside_at_its_angle_of_friction_is_the_limit_and_no_storm_makes_it_slide():
    gentler = slides_on(hillside(29.9), 0.0, cohesion_pa=0.0)
    steeper = slides_on(hillside(30.1), 50.0, cohesion_pa=0.0)

    assert (gentler.factor_of_safety.values > 1).all()
    assert (gentler.unstable.values == 0).all()
    assert (steeper.factor_of_safety.values < 1).all()
    assert (steeper.unstable.values == 0).all()  # it has slid before


def test_a_hillside_fails_from_below_as_far_up_as_it_is_too_wet():
    """FS = 1 at w = (1 - tan s / tan phi) gamma / gamma_w, reached at a = w T sin(s) / R."""
    terrain, rate = hillside(20.0), 24.0 / 24.0 / 3.6e6
    critical = (1 - np.tan(np.deg2rad(20)) / np.tan(np.deg2rad(30))) * 18e3 / WATER_N_PER_M3
    area = critical * 1e-4 * np.sin(np.deg2rad(20)) / rate

    found = slides_on(terrain, 24.0, cohesion_pa=0.0, transmissivity_m2_per_s=1e-4)

    expected = CELL_M * np.arange(1, 31) > area
    assert 0 < expected.sum() < 30
    assert (found.unstable.values == expected).all()
    area_km2 = expected.sum() * 6 * 1e-4
    records = {r["measure"]: (r["value"], r["unit"]) for r in found.records}
    assert records["unstable_area"] == (pytest.approx(area_km2), "km2")
    assert records["recharge"] == (pytest.approx(1.0), "mm/h")


def test_recharge_is_what_seeps_in_beside_the_runoff_over_the_hours_it_drains():
    """Rain of 40 mm at a runoff coefficient of 0.25: 10 mm run off and 30 mm seep in."""
    terrain = hillside(20.0)
    found = shallow_landslides(
        terrain, specific_catchment(terrain), slope_soil(seed=0), storm(10.0),
        recharge_ratio=3.0, recharge_h=12.0,
    )  # fmt: skip

    recharge = next(r["value"] for r in found.records if r["measure"] == "recharge")
    assert recharge == pytest.approx(30.0 / 12.0)


def test_more_rain_never_makes_a_slope_safer_and_level_ground_never_fails():
    ground = np.random.default_rng(3).uniform(0, 60, (12, 12))
    ground[4:8, 4:8] = 80.0
    terrain = on_a_grid(ground)
    storms = [slides_on(terrain, depth, cohesion_pa=1e3) for depth in (0, 10, 40, 200)]

    for drier, wetter in pairwise(storms):
        assert (wetter.factor_of_safety.values <= drier.factor_of_safety.values).all()
        assert (wetter.unstable.values >= drier.unstable.values).all()
    assert np.isinf(storms[-1].factor_of_safety.values[5:7, 5:7]).all()
    assert (storms[-1].unstable.values[5:7, 5:7] == 0).all()
    assert (storms[-1].wetness.values[5:7, 5:7] == 1).all()


def test_the_share_that_fails_is_that_of_the_strengths_too_weak():
    """Soaked sand on 15 degrees fails if its angle, 24 to 36 degrees alike, is below a limit."""
    found = slides_on(
        hillside(15.0), 100.0, cohesion_pa=0.0, friction_spread=0.2, samples=400,
        transmissivity_m2_per_s=1e-6,
    )  # fmt: skip

    buoyant = (18e3 - WATER_N_PER_M3) / 18e3
    limit = np.rad2deg(np.arctan(np.tan(np.deg2rad(15)) / buoyant))
    assert 24 < limit < 36
    share = (limit - 24) / 12
    assert found.unstable.values == pytest.approx(share, abs=1 / 400)  # the hypercube has strata
    assert found.factor_of_safety.values == pytest.approx(
        buoyant * np.tan(np.deg2rad(30)) / np.tan(np.deg2rad(15))
    )


def test_missing_ground_stays_missing():
    terrain = hillside(25.0)
    terrain.elevation_m[1, 1] = np.nan

    found = slides_on(terrain, 50.0)

    for raster in (found.factor_of_safety, found.unstable, found.wetness):
        assert np.argwhere(np.isnan(raster.values)).tolist() == [[1, 1]]


def test_strengths_lie_in_their_ranges_and_a_single_one_is_the_centre():
    one = slope_soil(cohesion_spread=0.5, friction_spread=0.1, seed=4)
    many = slope_soil(cohesion_spread=0.5, friction_spread=0.1, samples=50, seed=4)

    assert (one.cohesion_samples_pa.item(), one.friction_samples_deg.item()) == (2000.0, 30.0)
    strata = np.floor((many.cohesion_samples_pa - 1000) / (2000 / 50)).astype(int)
    assert sorted(strata.tolist()) == list(range(50))
    assert 27 <= many.friction_samples_deg.min() < many.friction_samples_deg.max() <= 33


def test_angles_beyond_a_right_angle_and_other_grids_are_refused():
    with pytest.raises(ParameterError, match="angles up to 99 degrees"):
        slope_soil(friction_deg=66.0, friction_spread=0.5, samples=2, seed=0)
    catchment = specific_catchment(hillside(10.0))
    elsewhere = replace(catchment, grid=replace(catchment.grid, west_m=5.0))
    with pytest.raises(DataError, match="another grid"):
        shallow_landslides(hillside(10.0), elsewhere, slope_soil(seed=0), storm(1.0))


# -- losses -------------------------------------------------------------------------------------


def test_a_building_loses_its_share_of_failing_cells_and_no_more_than_is_vulnerable():
    terrain = hillside(20.0)
    slides = slides_on(terrain, 24.0, cohesion_pa=0.0, transmissivity_m2_per_s=1e-4)
    columns = np.array([0, 29, 0, 29])  # the last building covers a stable and a failing cell
    x, y = terrain.grid.centres(np.zeros(4, int), columns)
    owner = np.array([0, 1, 2, 2])
    homes = Assets(
        x[:3], y[:3], np.full(3, 50.0), np.full(3, 200.0), ["a", "b", "c"], x, y, owner,
        "buildings", "EUR", terrain.grid.crs, "by hand",
    )  # fmt: skip

    storm_ = landslide_losses(slides, homes, vulnerability=0.6)

    assert storm_.loss.tolist() == pytest.approx([0.0, 6000.0, 3000.0])
    assert storm_.depth_m.tolist() == [0.0, 0.0, 0.0]
    assert storm_.return_period_years == 10.0
    assert "runout is ignored" in storm_.note
    assert "by hand" in storm_.note
