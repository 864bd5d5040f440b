"""Losses and risk: by hand for a few buildings, then end to end through a run."""

import math
from dataclasses import replace

import numpy as np
import pytest

from assay import Study, Workflow
from assay.core.component import describe
from assay.core.records import Records
from assay.errors import DataError, ParameterError
from assay.systems.climate_impact import data, impact
from assay.systems.climate_impact.exposure import Assets
from assay.systems.climate_impact.impact import StormLosses, annual_damage, storm_losses
from assay.systems.climate_impact.inundation import FloodMaps, inundation
from assay.systems.climate_impact.rasters import Grid, Raster, Terrain
from assay.systems.climate_impact.solver import Ledger

GRID = Grid(1, 4, 10.0, 0.0, 10.0, "EPSG:32616")


def flood(depths, period=10.0):
    raster = Raster(np.array([depths]), GRID, "depth", "m")
    return FloodMaps(raster, raster, raster, raster, Ledger(*[0.0] * 10), 0.0, period, Records())


def buildings(count=4, currency="EUR"):
    x, y = GRID.centres(np.zeros(count, int), np.arange(count))
    return Assets(
        x, y, np.full(count, 50.0), np.full(count, 200.0), [f"b{k}" for k in range(count)],
        x, y, np.arange(count), "buildings", currency, GRID.crs, "by hand",
    )  # fmt: skip


def losses(period, loss, currency="EUR"):
    amounts = np.array(loss, float)
    return StormLosses(period, amounts, (amounts > 0) * 1.0, 0.1, currency, "")


def only(records, measure):
    (row,) = [r for r in records if r["measure"] == measure]
    return row["value"]


# -- one storm ----------------------------------------------------------------------------------


def test_loss_is_factor_times_maximum_damage_times_footprint():
    storm = storm_losses(flood([0.0, 0.5, 1.5, 9.0]), buildings(), region="Europe")

    assert storm.loss.tolist() == pytest.approx([0.0, 0.25 * 1e4, 0.5 * 1e4, 1e4])
    assert storm.depth_m.tolist() == [0.0, 0.5, 1.5, 9.0]
    assert storm.return_period_years == 10.0
    assert storm.currency == "EUR"
    assert "residential, Europe (JRC 2017)" in storm.note
    assert "by hand" in storm.note


def test_a_film_of_rain_costs_nothing_unless_it_is_told_to():
    film = flood([0.0, 0.05, 0.1, 0.2])

    assert storm_losses(film, buildings(), region="North America").loss[:3].tolist() == [0, 0, 0]
    wet = storm_losses(film, buildings(), region="North America", dry_below_m=0.0)
    assert wet.loss[0] == 0.0
    assert (wet.loss[1:] > 0.2 * 1e4).all()


def test_the_curve_is_read_at_the_depth_above_the_floor():
    storm = storm_losses(
        flood([0.3, 0.8, 1.3, 1.8]), buildings(), region="Europe", floor_m=0.3, dry_below_m=0.0
    )

    assert storm.loss.tolist() == pytest.approx([0.0, 0.25 * 1e4, 0.4 * 1e4, 0.5 * 1e4])
    assert storm.dry_up_to_m == 0.3
    assert "at the depth above floors of 0.3 m; dry up to 0.3 m" in storm.note


def test_a_building_above_the_bed_of_its_cell_is_that_much_less_deep():
    """Carved by 1 m, as it is, filled by 2 m (the water stands on what was filled in), carved."""
    ground = Terrain(np.array([[5.0, 5.0, 5.0, 5.0]]), GRID, "ground")
    bed = replace(ground, elevation_m=np.array([[4.0, 5.0, 7.0, 1.0]]))

    storm = storm_losses(
        flood([1.5, 1.5, 1.5, 1.5]), buildings(), bed, ground, region="Europe", dry_below_m=0.0
    )

    assert storm.depth_m.tolist() == [0.5, 1.5, 1.5, 0.0]
    assert storm.loss[3] == 0.0
    with pytest.raises(DataError, match="only one of bed and ground is fed"):
        storm_losses(flood([1.0] * 4), buildings(), bed, region="Europe")


def test_a_building_over_several_cells_is_as_deep_as_it_is_told_to_be():
    x, y = GRID.centres(np.zeros(2, int), np.arange(2))
    wide = replace(buildings(1), sample_x_m=x, sample_y_m=y, sample_asset=np.zeros(2, int))
    water = flood([0.0, 1.0, 9.0, 9.0])

    mean, deepest = (
        storm_losses(water, wide, region="Europe", depth_over=over) for over in ("mean", "max")
    )

    assert mean.loss.tolist() == pytest.approx([0.25 * 1e4])
    assert deepest.loss.tolist() == pytest.approx([0.4 * 1e4])
    assert "mean depth" in mean.note
    assert "max depth" in deepest.note


def test_an_own_curve_takes_the_place_of_the_built_in_one(tmp_path):
    (tmp_path / "own.csv").write_text("depth,factor\n0,0\n2,1\n")

    storm = storm_losses(
        flood([0.0, 0.5, 1.0, 2.0]), buildings(), region="own", curves=tmp_path / "own.csv"
    )

    assert storm.loss.tolist() == pytest.approx([0.0, 2500.0, 5000.0, 1e4])
    assert "own curve (own.csv)" in storm.note


def test_a_region_that_does_not_exist_is_refused_before_anything_runs():
    with pytest.raises(ParameterError) as refused:
        describe(storm_losses).validate({"region": "Europ"}, "losses")

    assert str(refused.value) == "losses.region: no region 'Europ'. Did you mean 'Europe'?"


def test_region_and_file_must_go_together(tmp_path):
    (tmp_path / "own.csv").write_text("depth,factor\n0,0\n2,1\n")

    with pytest.raises(ParameterError, match="own curves need a file"):
        storm_losses(flood([0.0] * 4), buildings(), region="own")
    with pytest.raises(ParameterError, match="holds one curve, not one of 'Asia'"):
        storm_losses(flood([0.0] * 4), buildings(), region="Asia", curves=tmp_path / "own.csv")


# -- all storms ---------------------------------------------------------------------------------


def test_a_loss_that_every_storm_since_t0_causes_costs_it_over_t0_a_year():
    risk = annual_damage([losses(T, [600.0, 400.0]) for T in (200.0, 5.0, 50.0)])

    assert risk.curve.expected_annual_damage == pytest.approx(1000.0 / 5)
    assert only(risk.records, "expected_annual_damage") == risk.curve.expected_annual_damage


def test_storms_are_ordered_and_every_measure_has_its_unit_and_key():
    storms = [losses(100.0, [50.0, 30.0]), losses(10.0, [20.0, 0.0])]

    curve, records = annual_damage(storms)

    assert curve.return_period_years.tolist() == [10.0, 100.0]
    assert curve.loss.tolist() == [20.0, 80.0]
    table = {(r["measure"], r.get("return_period_years")): (r["value"], r["unit"]) for r in records}
    assert table["loss", 10.0] == (20.0, "EUR")
    assert table["loss", 100.0] == (80.0, "EUR")
    assert table["flooded_assets", 10.0] == (1.0, "1")
    assert table["flooded_assets", 100.0] == (2.0, "1")
    damage = (20 + 80) / 2 * 0.09 + 80 * 0.01
    assert table["expected_annual_damage", None] == (pytest.approx(damage), "EUR/year")
    assert table["share_beyond_10_years", None] == (pytest.approx(1.0), "1")


def test_the_share_beyond_ten_years_splits_a_band_where_ten_is_no_storm():
    risk = annual_damage([losses(5.0, [100.0]), losses(50.0, [100.0])])

    assert only(risk.records, "share_beyond_10_years") == pytest.approx((100 / 10) / (100 / 5))


def test_without_any_loss_the_share_is_undefined():
    risk = annual_damage([losses(5.0, [0.0]), losses(50.0, [0.0])])

    assert risk.curve.expected_annual_damage == 0.0
    assert math.isnan(only(risk.records, "share_beyond_10_years"))


def test_currencies_do_not_add_up():
    with pytest.raises(DataError, match="losses are in CHF and EUR; expected one currency"):
        annual_damage([losses(5.0, [1.0]), losses(50.0, [1.0], "CHF")])


# -- end to end ---------------------------------------------------------------------------------

PERIODS = (2, 20, 200)


def valley_study(tmp_path):
    """A valley of 40 x 40 cells read from a file, three storms, a settlement, losses, damage."""
    across = np.abs(np.arange(40) - 19.5)
    ground = 0.3 * np.arange(40)[::-1, None] + 0.2 * across + 0.02 * across**2
    rows = "\n".join(" ".join(f"{v:.4f}" for v in row) for row in ground)
    head = "ncols 40\nnrows 40\nxllcorner 500000\nyllcorner 4000000\ncellsize 30\n"
    (tmp_path / "valley.asc").write_text(f"{head}{rows}\n")

    flow = Workflow("valley")
    terrain = flow.step(
        "terrain", data.read_terrain, path=tmp_path / "valley.asc", crs="EPSG:32616"
    )
    roughness = flow.step("roughness", data.uniform_roughness, terrain=terrain)
    rain = flow.each("rain", data.design_storm, over={"return_period_years": PERIODS})
    flood = flow.each(
        "flood", inundation, terrain=terrain, roughness=roughness, rain=rain, end_h=7.0
    )
    exposure = flow.step("exposure", data.synthetic_settlement, terrain=terrain, count=60)
    losses = flow.each(
        "losses", storm_losses, flood=flood, exposure=exposure, region="Europe", dry_below_m=0.05
    )
    flow.step("risk", annual_damage, losses=losses)
    return Study(flow, seeds=2)


def test_a_valley_three_storms_and_a_settlement_become_an_annual_damage(tmp_path):
    run = valley_study(tmp_path).run(workers=0, report=False, progress=False)

    assert run.ok, run.summary["errors"]
    records = run.records
    for seed in (0, 1):
        curve = run.load("risk.curve", trial=seed)
        assets = run.load("exposure", trial=seed)
        storms = run.load("losses", trial=seed)
        mine = records[records["seed"] == seed].set_index(["measure", "return_period_years"])[
            "value"
        ]
        assert [s.return_period_years for s in storms] == list(PERIODS)
        assert curve.loss.tolist() == pytest.approx([s.loss.sum() for s in storms])
        assert (np.diff(curve.loss) > 0).all()
        assert (np.diff([mine["flooded_assets", T] for T in PERIODS]) >= 0).all()
        assert all((s.loss <= assets.max_damage).all() for s in storms)
        assert 0 < curve.expected_annual_damage < curve.loss.max()
        assert mine["expected_annual_damage"].item() == curve.expected_annual_damage
        assert curve.expected_annual_damage == pytest.approx(
            np.trapezoid(curve.loss[::-1], curve.annual_probability[::-1]) + curve.loss[-1] / 200
        )
        assert all(abs(mine["mass_error", T]) < 1e-10 for T in PERIODS)
        assert 0 <= mine["share_beyond_10_years"].item() <= 1
    assert run.load("risk.curve", trial=0).loss[-1] != run.load("risk.curve", trial=1).loss[-1]


def test_a_flood_is_computed_once_for_all_settlements(tmp_path):
    plan = valley_study(tmp_path).plan()

    steps = [node.step for node in plan.nodes.values()]
    assert steps.count("flood") == len(PERIODS)
    assert steps.count("losses") == 2 * len(PERIODS)


def test_exposure_that_lies_elsewhere_fails_with_the_map_it_was_looked_up_on():
    away = replace(buildings(), sample_x_m=np.full(4, -100.0))

    with pytest.raises(DataError, match="depth: 4 of 4 assets lie outside the map"):
        storm_losses(flood([1.0] * 4), away, region="Europe")


def test_every_region_the_component_takes_has_a_curve_or_needs_a_file():
    with pytest.raises(ParameterError, match=r"Known|Did you mean"):
        describe(storm_losses).validate({"region": "Atlantis"}, "losses")
    for region in impact.JRC_RESIDENTIAL:
        assert describe(storm_losses).validate({"region": region}, "losses")["region"] == region
