"""The hazard component: a plane under rain, whose flood is known, and what is recorded of it."""

import numpy as np
import pytest

from assay.core.component import describe
from assay.core.plan import measures
from assay.systems.climate_impact.inundation import inundation
from assay.systems.climate_impact.rain import Hyetograph
from assay.systems.climate_impact.rasters import Grid, Terrain, uniform_roughness


def flood_of(elevation, *, mm_per_h=60.0, hours=1.0, **parameters):
    grid = Grid(*elevation.shape, 20.0, 0.0, 0.0, "EPSG:32616")
    ground = Terrain(elevation, grid, "plane")
    storm = Hyetograph(np.array([0.0, hours * 3600.0]), np.array([mm_per_h]), "10-year storm", 10.0)
    return inundation(ground, uniform_roughness(ground, 0.03), storm, **parameters)


def value(flood, measure):
    (row,) = [r for r in flood.records if r["measure"] == measure]
    assert row["return_period_years"] == 10.0
    return row["value"]


def test_rain_on_a_closed_level_plane_stands_as_deep_as_it_fell():
    elevation = np.zeros((8, 10))
    elevation[0, 0] = np.nan

    flood = flood_of(elevation, mm_per_h=100.0, hours=2.0, end_h=3.0, boundary="closed")

    assert np.nanmax(flood.max_depth_m.values) == pytest.approx(0.2)
    assert value(flood, "max_depth") == pytest.approx(0.2)
    assert value(flood, "flooded_area") == pytest.approx(79 * 0.0004)
    assert value(flood, "rain_volume") == pytest.approx(79 * 400 * 0.2)
    assert value(flood, "outflow_volume") == 0.0
    assert np.nanmax(flood.arrival_time_h.values) == pytest.approx(1.0, abs=0.02)
    assert np.isnan(flood.max_depth_m.values[0, 0])


def test_what_falls_on_a_free_valley_runs_out_and_the_volumes_add_up():
    elevation = np.linspace(0, 20, 30)[::-1, None] + np.abs(np.arange(10) - 4.5)

    flood = flood_of(elevation, mm_per_h=400.0, end_h=4.0)

    assert abs(value(flood, "mass_error")) < 1e-10
    assert value(flood, "mass_error") == flood.ledger.relative_error
    assert 0.9 < value(flood, "outflow_volume") / value(flood, "rain_volume") <= 1.0
    assert value(flood, "limited_share") == flood.limited_share
    deep = int((flood.max_depth_m.values > 0.1).sum())
    assert 0 < deep < elevation.size
    assert value(flood, "flooded_area") == pytest.approx(deep * 0.0004)
    assert value(flood, "max_velocity") == pytest.approx(
        np.nanmax(flood.max_velocity_m_per_s.values)
    )


def test_maps_carry_their_unit_their_storm_and_the_grid_of_the_terrain():
    flood = flood_of(np.zeros((4, 5)), end_h=0.1)

    maps = [
        flood.max_depth_m,
        flood.max_velocity_m_per_s,
        flood.max_hazard_m2_per_s,
        flood.arrival_time_h,
    ]
    assert [m.unit for m in maps] == ["m", "m/s", "m2/s", "h"]
    assert all("10-year storm" in m.name for m in maps)
    assert all(m.grid == flood.max_depth_m.grid for m in maps)
    assert flood.return_period_years == 10.0


def test_single_precision_gives_the_same_flood_to_its_own_rounding():
    elevation = np.tile(np.linspace(0, 20, 30)[::-1, None], (1, 10))

    double, single = (flood_of(elevation, precision=p) for p in ("float64", "float32"))

    assert single.max_depth_m.values.dtype == np.float32
    np.testing.assert_allclose(
        single.max_depth_m.values, double.max_depth_m.values, rtol=1e-3, atol=1e-5
    )


def test_its_records_are_a_port_that_a_run_collects():
    assert measures(describe(inundation)) == ["records"]
