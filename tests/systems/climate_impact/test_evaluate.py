"""The measures of a learned flood: by hand, at their limits, and of a whole small study."""

import numpy as np
import pytest

from assay.core.records import Records
from assay.errors import DataError
from assay.systems.climate_impact import evaluate
from assay.systems.climate_impact.ensemble import Case
from assay.systems.climate_impact.evaluate import (
    Comparison,
    critical_success_index,
    volume_bias,
    wet_rmse_m,
)
from assay.systems.climate_impact.exposure import settlement
from assay.systems.climate_impact.impact import StormLosses
from assay.systems.climate_impact.inundation import FloodMaps
from assay.systems.climate_impact.learned import write_model
from assay.systems.climate_impact.rain import Hyetograph
from assay.systems.climate_impact.rasters import Grid, Raster, Terrain, uniform_roughness
from assay.systems.climate_impact.solver import Ledger
from assay.systems.climate_impact.study_surrogate import surrogate

GRID = Grid(20, 20, 20.0, 0.0, 400.0, "EPSG:32616")


def valley():
    row, column = np.indices((20, 20))
    ground = Terrain(0.1 * row[::-1] + np.abs(column - 9.5), GRID, "valley")
    exposure = settlement(ground, count=20, seed=1)
    return Case(ground, uniform_roughness(ground, 0.03), exposure, "terrain", "fractal", 2)


def flood_of(depth):
    maps = [Raster(values, GRID, "depth", "m") for values in (depth, depth, depth, depth)]
    return FloodMaps(*maps, Ledger(*[0.0] * 10), 0.0, 10.0, Records())


def values(records):
    return {r["measure"]: r["value"] for r in records}


def test_a_perfect_flood_has_no_error_and_all_hits():
    depth = np.random.default_rng(0).exponential(0.3, (6, 7))
    depth[2, 3] = np.nan

    assert wet_rmse_m(depth, depth) == 0.0
    assert critical_success_index(depth, depth, 0.1) == 1.0
    assert volume_bias(depth, depth) == 0.0


def test_measures_by_hand():
    truth = np.array([[0.5, 0.2, 0.0, 0.0, 0.05, np.nan]])
    guess = np.array([[0.4, 0.0, 0.3, 0.1, 0.05, 7.0]])

    # wet in either: the first three; 0.1 m is not deeper than 0.1 m
    assert wet_rmse_m(truth, guess) == pytest.approx(np.sqrt((0.01 + 0.04 + 0.09) / 3))
    assert critical_success_index(truth, guess, 0.1) == pytest.approx(1 / 3)
    assert critical_success_index(truth, guess, 0.3) == pytest.approx(1.0)
    assert volume_bias(truth, guess) == pytest.approx(0.85 / 0.75 - 1)


def test_success_is_symmetric_and_bias_of_volume_is_not():
    random = np.random.default_rng(3)
    a, b = random.exponential(0.2, (2, 9, 9))

    assert critical_success_index(a, b, 0.1) == critical_success_index(b, a, 0.1)
    assert wet_rmse_m(a, b) == wet_rmse_m(b, a)
    assert (1 + volume_bias(a, b)) * (1 + volume_bias(b, a)) == pytest.approx(1.0)


def test_where_nothing_is_wet_there_is_nothing_to_measure():
    dry = np.zeros((3, 3))

    assert np.isnan([wet_rmse_m(dry, dry), critical_success_index(dry, dry, 0.1)]).all()
    assert np.isnan(volume_bias(dry, dry))


def test_maps_that_do_not_match_are_refused():
    with pytest.raises(DataError, match=r"maps of \(2, 2\) and \(2, 3\) cells"):
        wet_rmse_m(np.zeros((2, 2)), np.zeros((2, 3)))
    with pytest.raises(DataError, match="depths are missing"):
        volume_bias(np.ones((1, 2)), np.array([[1.0, np.nan]]))


def test_a_comparison_carries_its_case_and_both_losses():
    case, depth = valley(), np.full((20, 20), 0.7)

    found = evaluate.compare(case, flood_of(depth), flood_of(2 * depth))

    assert found[:3] == ("terrain", "fractal", 2)
    assert values(found.records) == pytest.approx(
        {"wet_rmse": 0.7, "csi_0p1": 1.0, "csi_0p3": 1.0, "volume_bias": 1.0}
    )
    assert (found.solver.depth_m == 0.7).all()
    assert 0 < found.solver.loss.sum() < found.learned.loss.sum()


def compared(split, place, years, solver, learned):
    losses = [
        StormLosses(years, np.array([loss]), np.array([1.0]), 0.1, "USD", "made up")
        for loss in (solver, learned)
    ]
    return Comparison(split, "survey", place, *losses, Records())


def test_the_error_of_the_annual_damage_is_that_of_each_case():
    """A loss L in all storms rarer than T0, none in others, costs L / T0 a year."""
    storms = [
        compared("block", 0, 10.0, 80.0, 60.0),
        compared("storm", 0, 10.0, 50.0, 100.0),
        compared("block", 0, 100.0, 80.0, 60.0),
        compared("storm", 0, 100.0, 50.0, 100.0),
        compared("storm", 1, 10.0, 0.0, 5.0),
        compared("storm", 1, 100.0, 0.0, 5.0),
    ]
    records = evaluate.damage_error(storms, onset_years=None)

    found = {(r["split"], r["place"], r["measure"]): r["value"] for r in records}
    assert found["block", 0, "ead_bias"] == pytest.approx(-0.25)
    assert found["block", 0, "ead_error"] == pytest.approx(0.25)
    assert found["storm", 0, "ead_bias"] == found["storm", 0, "ead_error"] == pytest.approx(1.0)
    assert np.isnan(found["storm", 1, "ead_error"])


def test_speed_is_a_ratio_of_processor_times(tmp_path):
    from assay.systems.climate_impact.surrogate import UNet

    write_model(tmp_path, UNet(4, 2), {})
    storm = Hyetograph(np.array([0.0, 3600.0]), np.array([30.0]), "storm", 10.0)

    found = values(evaluate.speed(valley(), storm, tmp_path, end_h=1.0, repeats=1))

    assert found["speed_up"] == found["solver_seconds"] / found["learned_seconds"]
    assert min(found.values()) > 0


def test_the_study_runs_from_ground_to_figures(tmp_path):
    smaller = {
        "survey.rows": 48,
        "survey.columns": 48,
        "grounds.size": 12,
        "tile.tile": [0, 1, 2, 3],
        "flood.end_h": 1.0,
        "truth.end_h": 1.0,
        "speed.end_h": 0.2,
        "speed.repeats": 1,
        "storm.return_period_years": [50.0, 500.0],
        "fit.channels": 4,
        "fit.steps": 3,
    }
    run = surrogate().run("tiny", set=smaller, seeds=1, workers=0, store=tmp_path, progress=False)

    assert run.ok
    records = run.records
    for measure in ("wet_rmse", "csi_0p1", "csi_0p3", "volume_bias", "speed_up", "ead_error"):
        rows = records[records["measure"] == measure]
        assert set(rows["split"]) == {"storm", "block", "terrain"}, measure
        assert set(rows["floods"]) == {"few", "many"}
    used = records[records["measure"] == "training_floods"].set_index("floods")["value"]
    assert used.to_dict() == {"many": 4.0, "few": 2.0}
    assert all(check["passed"] for check in run.checks)
    figures = {path.stem for path in (run.folder / "report" / "figures").iterdir()}
    assert {"beside_the_solver", "training", "csi_0p1", "ead_error", "speed_up"} <= figures
    assert "learned_500_years" in figures
