"""Two hazards together: what no joint loss may do, rankings by hand, the workflow end to end."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from assay import Study
from assay.errors import DataError
from assay.systems.climate_impact.combined import (
    asset_damage,
    combined_losses,
    compare_rankings,
    joined,
    valley_and_hillside,
    worst,
)
from assay.systems.climate_impact.exposure import Assets
from assay.systems.climate_impact.impact import StormLosses, annual_damage
from assay.systems.climate_impact.landslides import slope_of
from assay.systems.climate_impact.rasters import Grid, Terrain
from assay.systems.climate_impact.study_combined_risk import (
    combined_risk,
    combined_risk_workflow,
    flood_workflow,
    landslide_workflow,
)

shares = arrays(np.float64, 4, elements=st.floats(0, 1))
worths = arrays(np.float64, 4, elements=st.one_of(st.just(0.0), st.floats(1e-3, 1e9)))


def homes(worth, currency="EUR"):
    worth = np.array(worth, float)
    at = np.arange(worth.size, dtype=float)
    return Assets(
        at, at, np.ones(worth.size), worth, [f"h{k}" for k in range(worth.size)], at, at,
        np.arange(worth.size), "homes", currency, "EPSG:32616", "by hand",
    )  # fmt: skip


def losses(loss, period=10.0, depth=0.0, currency="EUR"):
    loss = np.array(loss, float)
    return StormLosses(period, loss, np.full(loss.size, depth), 0.1, currency, "by hand")


def only(records, measure):
    (row,) = [r for r in records if r["measure"] == measure]
    return row["value"]


# -- joint losses -------------------------------------------------------------------------------


@given(shares, shares, worths)
def test_a_joint_loss_is_no_less_than_either_and_no_more_than_the_worth(flood, slides, worth):
    both = joined(flood * worth, slides * worth, worth)

    assert (both >= np.maximum(flood, slides) * worth).all()
    assert (both <= worth * (1 + 1e-12)).all()
    assert (abs(both - worth * (1 - (1 - flood) * (1 - slides))) <= 1e-12 * worth).all()
    assert joined(slides * worth, flood * worth, worth).tolist() == both.tolist()


def test_a_home_that_is_lost_is_not_lost_again():
    both = combined_losses(
        losses([100.0, 50.0, 50.0, 0.0], depth=2.0), losses([100.0, 50.0, 0.0, 0.0]),
        homes([100.0] * 4),
    )  # fmt: skip

    assert both.losses.loss.tolist() == [100.0, 75.0, 50.0, 0.0]
    assert both.losses.depth_m.tolist() == [2.0] * 4
    assert only(both.records, "counted_twice") == 100.0 + 25.0
    assert only(both.records, "below_either") == 0.0
    assert only(both.records, "above_worth") == 0.0
    assert {r["return_period_years"] for r in both.records} == {10.0}


def test_the_larger_of_two_losses_is_another_rule():
    both = combined_losses(losses([50.0]), losses([30.0]), homes([100.0]), rule="larger")

    assert both.losses.loss.tolist() == [50.0]
    assert "larger" in both.losses.note


@pytest.mark.parametrize(("hazards", "loss"), [("flood", 40.0), ("landslides", 30.0)])
def test_one_hazard_alone_is_left_as_it_is(hazards, loss):
    alone = combined_losses(losses([40.0]), losses([30.0]), homes([100.0]), hazards=hazards)

    assert alone.losses.loss.tolist() == [loss]
    assert only(alone.records, "counted_twice") == 0.0


def test_the_checks_see_losses_above_the_worth():
    found = combined_losses(losses([150.0]), losses([0.0]), homes([100.0]))

    assert only(found.records, "above_worth") == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("slides", "said"),
    [
        (losses([1.0, 2.0]), "losses of 1 and 2 assets, of 1 exposed"),
        (losses([1.0], period=20.0), "a flood of 10 years and slides of 20 years"),
        (losses([1.0], currency="CHF"), "losses are in EUR and CHF"),
    ],
)
def test_losses_of_other_assets_storms_or_currencies_are_not_joined(slides, said):
    with pytest.raises(DataError, match=said):
        combined_losses(losses([1.0]), slides, homes([100.0]))


# -- rankings -----------------------------------------------------------------------------------


def storms(*by_asset):
    """Losses in storms of 10 and 100 years from one row per asset."""
    table = np.array(by_asset, float).T
    return [losses(row, period) for row, period in zip(table, (10.0, 100.0), strict=True)]


def test_the_damages_of_all_assets_add_up_to_that_of_the_settlement():
    found = storms([0, 100], [30, 80], [0, 0])

    damage = asset_damage(found, 2.0, "constant")

    whole = only(annual_damage(found, onset_years=2.0).records, "expected_annual_damage")
    assert damage.sum() == pytest.approx(whole)
    assert damage[0] == pytest.approx(50 * 0.09 + 1.0)
    assert damage[2] == 0.0


def test_one_swap_of_neighbours_among_four_leaves_two_thirds_of_the_correlation():
    """Kendall: of six pairs five agree and one does not."""
    before = storms([1, 1], [2, 2], [3, 3], [4, 4])
    after = storms([1, 1], [2, 2], [4, 4], [3, 3])

    found = compare_rankings(before, after, top=1)

    assert only(found.records, "rank_correlation") == pytest.approx(4 / 6)
    assert only(found.records, "top_changed") == 1.0
    assert only(compare_rankings(before, after, top=2).records, "top_changed") == 0.0
    assert only(compare_rankings(before, before).records, "rank_correlation") == pytest.approx(1)


def test_no_more_are_compared_than_suffer_before_and_nobody_leaves_no_share():
    before = storms([5, 5], [0, 0], [0, 0])
    after = storms([5, 5], [9, 9], [0, 0])
    nothing = storms([0, 0], [0, 0], [0, 0])

    assert only(compare_rankings(before, after).records, "top_changed") == 1.0
    unhurt = compare_rankings(nothing, after).records
    assert np.isnan(only(unhurt, "top_changed"))
    assert np.isnan(only(unhurt, "rank_correlation"))


def test_of_equal_assets_the_first_count_as_worst():
    assert worst(np.array([1.0, 3.0, 3.0, 2.0]), 3).tolist() == [1, 2, 3]


# -- exposure -----------------------------------------------------------------------------------


def bowl():
    """Level in the middle, steeper outwards, up to 45 degrees."""
    across = np.abs(np.arange(61) - 30.0)
    ground = np.add.outer(across**2, across**2) * 10.0 / 120
    return Terrain(ground, Grid(61, 61, 10.0, 0.0, 610.0, "EPSG:32616"), "bowl")


def test_a_share_of_the_buildings_stands_on_the_slopes_and_the_rest_where_it_stood():
    terrain = bowl()
    alone, mixed = (
        valley_and_hillside(terrain, count=50, hillside_share=share, seed=7) for share in (0, 0.4)
    )

    row, column = terrain.grid.row_column(mixed.x_m, mixed.y_m)
    slope = np.rad2deg(slope_of(terrain))[row, column]
    assert ((slope[30:] >= 8) & (slope[30:] <= 25)).all()
    assert mixed.x_m[:30].tolist() == alone.x_m[:30].tolist()
    assert (mixed.x_m[30:] != alone.x_m[30:]).all()
    assert (mixed.sample_x_m == mixed.x_m).all()
    assert (mixed.max_damage == alone.max_damage).all()
    assert "20 of them on slopes of 8 to 25 degrees" in mixed.note


def test_a_plain_has_no_hillside():
    flat = replace(bowl(), elevation_m=np.zeros((61, 61)))

    with pytest.raises(DataError, match="no cell has a slope of 8 to 25 degrees"):
        valley_and_hillside(flat, count=10, seed=0)


# -- end to end ---------------------------------------------------------------------------------


def test_each_hazard_is_a_workflow_of_its_own_on_shared_terrain_rain_and_exposure():
    steps = combined_risk_workflow().steps

    for hazard, inner in (("flood", flood_workflow()), ("landslides", landslide_workflow())):
        assert {f"{hazard}/{name}" for name in inner.steps} <= set(steps)
        assert str(steps[f"{hazard}/losses"].inputs["exposure"]) == "exposure"
        assert str(steps[f"{hazard}/maps"].inputs["rain"]) == "rain"


def test_two_hazards_run_once_each_and_join_asset_by_asset():
    study = Study(
        combined_risk_workflow(), decisions={"hazards": combined_risk().decisions["hazards"]}
    )
    small = {
        "terrain.rows": 24, "terrain.columns": 24, "rain.return_period_years": [10.0, 100.0],
        "flood/maps.end_h": 3.0, "flood/losses.floor_m": 0.0, "exposure.count": 60,
        "exposure.hillside_share": 0.5, "exposure.least_slope_deg": 2.0,
        "landslides/soil.friction_deg": 15.0, "landslides/soil.cohesion_pa": 100.0,
        "landslides/soil.samples": 8,
    }  # fmt: skip

    plan = study.plan(set=small)
    run = study.run(set=small, workers=0, report=False, progress=False)

    assert [n.step for n in plan.nodes.values()].count("flood/maps") == 2
    assert run.ok, run.summary["errors"]
    by_hazard = {t["choices"]["hazards"]: t["trial"] for t in run.trials}
    loss = {
        hazard: np.stack([s.loss for s in run.load("losses.losses", trial=trial)])
        for hazard, trial in by_hazard.items()
    }
    worth = run.load("exposure").max_damage
    flood, slides = loss["flood"], loss["landslides"]
    assert ((flood > 0) & (slides > 0)).any()
    assert loss["both"] == pytest.approx(flood + slides - flood * slides / worth)
    assert run.load("risk.curve", trial=by_hazard["both"]).loss[1:] == pytest.approx(
        loss["both"].sum(axis=1)
    )
    records = run.records.set_index(["hazards", "measure"])["value"]
    assert records["flood", "rank_correlation"] == pytest.approx(1.0)
    assert records["flood", "top_changed"] == 0.0


def test_the_study_is_laid_out_at_every_preset():
    study = combined_risk()

    for preset in study.presets:
        assert study.plan(preset).trials
