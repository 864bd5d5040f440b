"""Rivers, held levels and soil as components, and what the hazard makes of them."""

import numpy as np
import pytest

from assay.core.component import describe
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.errors import AssayError
from assay.systems.climate_impact import data, water
from assay.systems.climate_impact.inundation import inundation
from assay.systems.climate_impact.rain import Hyetograph, RainField
from assay.systems.climate_impact.rasters import Grid, Roughness, Terrain

SHAPE = (6, 9)
GRID = Grid(*SHAPE, 50.0, 500_000.0, 4_000_000.0, "EPSG:32616")
TERRAIN = Terrain(10.0 + np.zeros(SHAPE), GRID, "flat")
ROUGH = Roughness(np.full(SHAPE, 0.03), GRID)
DRY = Hyetograph(np.array([0.0]), np.array([0.0]), "no rain", 10.0)


def flood(**given):
    return inundation(TERRAIN, ROUGH, DRY, **{"end_h": 2.0, "boundary": "closed", **given})


def test_a_river_brings_its_hydrograph():
    river = water.river_inflow(
        TERRAIN, x=500_225.0, y=3_999_875.0, times_h=[0.0, 1.0], discharge_m3_per_s=[20.0, 5.0]
    )
    maps = flood(rivers=[river])

    assert maps.ledger.inflow_m3 == pytest.approx(3600 * 25)
    assert np.unravel_index(np.nanargmin(maps.arrival_time_h.values), SHAPE) == (2, 4)
    assert abs(maps.ledger.relative_error) < 1e-12


def test_a_river_in_degrees_enters_the_same_cell():
    from pyproj import Transformer

    lon, lat = Transformer.from_crs(GRID.crs, "EPSG:4326", always_xy=True).transform(
        500_225.0, 3_999_875.0
    )
    river = water.river_inflow(TERRAIN, x=lon, y=lat, crs="EPSG:4326", discharge_m3_per_s=[1.0])

    assert (river.x_m, river.y_m) == pytest.approx((500_225.0, 3_999_875.0), abs=0.01)


def test_the_tide_floods_a_plain_from_its_side_and_other_sides_stay_as_they_are():
    tide = water.held_level(side="west", times_h=[0.0, 0.5], level_m=[10.0, 11.0])
    shut = flood(levels=[tide])
    leaky = flood(levels=[tide], boundary={"east": "free"})

    assert shut.max_depth_m.values.max() == pytest.approx(1.0, abs=0.05)
    assert shut.ledger.held_west_m3 == pytest.approx(shut.ledger.stored_end_m3)
    assert leaky.ledger.outflow_east_m3 > 0.0
    assert leaky.ledger.outflow_north_m3 == leaky.ledger.outflow_west_m3 == 0.0


def test_soil_drinks_and_says_how_much():
    rain = Hyetograph(np.array([0.0, 3600.0]), np.array([40.0]), "an hour", 10.0)
    soil = water.uniform_soil(conductivity_mm_per_h=10.0, suction_mm=100.0, moisture_deficit=0.3)
    maps = inundation(TERRAIN, ROUGH, rain, soil, end_h=1.0, boundary="closed")
    volumes = dict(zip(maps.records.frame()["measure"], maps.records.frame()["value"], strict=True))

    assert 0.2 < volumes["infiltrated_volume"] / volumes["rain_volume"] < 0.9
    assert abs(volumes["mass_error"]) < 1e-12


def test_they_stand_in_a_workflow_and_may_be_left_out(tmp_path):
    flow = Workflow("flow")
    terrain = flow.step("terrain", data.jacksboro, rows=16, columns=16)
    soil = flow.step(
        "soil", water.uniform_soil, conductivity_mm_per_h=5, suction_mm=80, moisture_deficit=0.2
    )
    level = flow.step("level", water.held_level, side="south", level_m=[300.0])
    flow.step(
        "flood", inundation, terrain=terrain, soil=soil, levels=[level], end_h=1.0,
        roughness=flow.step("rough", data.uniform_roughness, terrain=terrain),
        rain=flow.step("rain", data.design_storm, return_period_years=10, runoff_coefficient=1.0),
    )  # fmt: skip
    run = Study(flow).run(workers=0, store=tmp_path, progress=False, report=False)

    assert run.ok
    assert run.load("flood.ledger").infiltrated_m3 > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: water.river_inflow(TERRAIN, x=0.0, y=0.0, discharge_m3_per_s=[1.0]),
            "the point 0, 0 lies outside the terrain; expected x 500000 to 500450",
        ),
        (
            lambda: water.river_inflow(TERRAIN, x=500_225.0, y=3_999_875.0, discharge_m3_per_s=[]),
            "0 values for 1 times",
        ),
        (
            lambda: water.held_level(side="west", times_h=[1.0, 0.0], level_m=[1.0, 2.0]),
            "times do not increase",
        ),
        (
            lambda: describe(water.held_level).validate({"side": "up", "level_m": [1.0]}, "s"),
            "s.side: 'up' is refused",
        ),
        (
            lambda: describe(inundation).validate({"boundary": {"up": "free"}}, "flood"),
            "flood.boundary",
        ),
    ],
)
def test_slips_are_told_in_one_line(make, message):
    with pytest.raises(AssayError, match=message):
        make()


def test_rain_on_the_terrains_grid_falls_where_it_is_said_to():
    rates = np.zeros((1, *SHAPE))
    rates[0, :, :3] = 30.0
    rain = RainField(np.array([0.0, 3600.0]), rates, GRID, "in the west", 10.0)
    maps = inundation(TERRAIN, ROUGH, rain, end_h=1.0, boundary="closed")

    assert maps.ledger.rain_m3 == pytest.approx(0.03 * 6 * 3 * 2500.0)
    assert maps.max_depth_m.values[:, 0].min() > maps.max_depth_m.values[:, -1].max()
