"""Ensembles: the design, a member by hand, and indices of a function whose indices are known."""

from dataclasses import replace

import numpy as np
import pytest

from assay.core.records import Records
from assay.errors import DataError
from assay.systems.climate_impact import data, uncertainty
from assay.systems.climate_impact.rasters import Grid, Raster, Roughness
from assay.systems.climate_impact.uncertainty import QUANTITIES, MemberRisk

GRID = Grid(1, 2, 10.0, 0.0, 0.0, "EPSG:32616")
D = len(QUANTITIES)


def made_up(member, damage, depth=(0.0, 1.0)):
    depths = Raster(np.array([depth]), GRID, "depth", "m")
    return MemberRisk(member, float(damage), "USD", depths, Records())


def values(spread, measure, key="quantity"):
    frame = spread.records.frame()
    rows = frame[frame["measure"] == measure]
    return dict(zip(rows[key], rows["value"], strict=True))


def test_a_design_has_two_samples_and_exchanges_one_column_at_a_time():
    design = uncertainty.saltelli_design(points=16, seed=3)
    a, b = design.values[:16], design.values[16:32]

    assert design.values.shape == (uncertainty.members_of(16), D)
    for k in range(D):
        mixed = design.values[16 * (2 + k) : 16 * (3 + k)]
        assert (mixed[:, k] == b[:, k]).all()
        others = [q for q in range(D) if q != k]
        assert (mixed[:, others] == a[:, others]).all()


def test_a_design_fills_its_ranges_and_follows_its_seed():
    one = uncertainty.saltelli_design(points=64, manning=(0.01, 0.02), seed=1)

    assert 0.01 <= one.values[:, 0].min() < 0.0105
    assert 0.0195 < one.values[:, 0].max() <= 0.02
    again = uncertainty.saltelli_design(points=64, manning=(0.01, 0.02), seed=1)
    assert (one.values == again.values).all()
    other = uncertainty.saltelli_design(points=64, manning=(0.01, 0.02), seed=2)
    assert (one.values != other.values).any()


def test_the_indices_of_a_sum_are_the_shares_of_its_variances():
    weights = np.array([3.0, 2.0, 1.0, 0.5, 0.0])
    unit = dict.fromkeys(QUANTITIES, (0.0, 1.0))
    design = uncertainty.saltelli_design(points=1024, seed=5, **unit)
    members = [made_up(k, row @ weights) for k, row in enumerate(design.values)]
    spread = uncertainty.ensemble_spread(design, members)
    known = weights**2 / (weights**2).sum()

    assert list(values(spread, "first_order").values()) == pytest.approx(known, abs=0.02)
    assert list(values(spread, "total_order").values()) == pytest.approx(known, abs=0.02)
    runoff = values(spread, "runoff_share", "measure")["runoff_share"]
    assert runoff == pytest.approx(known[1] + known[2], abs=0.03)


def test_a_product_has_more_in_its_total_than_in_its_first_order():
    """f = x y with means 1/2: first order 3/7 each, total 4/7."""
    unit = dict.fromkeys(QUANTITIES, (0.0, 1.0))
    design = uncertainty.saltelli_design(points=2048, seed=5, **unit)
    members = [made_up(k, row[0] * row[1]) for k, row in enumerate(design.values)]
    spread = uncertainty.ensemble_spread(design, members)

    assert values(spread, "first_order")["manning"] == pytest.approx(3 / 7, abs=0.02)
    assert values(spread, "total_order")["manning"] == pytest.approx(4 / 7, abs=0.02)


def test_maps_and_quantiles_use_the_independent_members_only():
    design = uncertainty.saltelli_design(points=2, seed=0)
    deep = [made_up(k, k, depth=(0.2, 0.4 + k)) for k in range(4)]
    mixed = [made_up(k, 1e9, depth=(9.0, 9.0)) for k in range(4, 2 * (D + 2))]
    spread = uncertainty.ensemble_spread(design, deep + mixed)

    assert spread.exceedance.values.tolist() == [[0.0, 1.0]]
    assert spread.mean_depth_m.values[0] == pytest.approx([0.2, 1.9])
    assert values(spread, "ead_quantile", "quantile")[0.5] == pytest.approx(1.5)


def test_without_some_members_there_is_a_spread_but_no_index():
    design = uncertainty.saltelli_design(points=4, seed=0)
    spread = uncertainty.ensemble_spread(design, [made_up(k, k) for k in range(5)])

    assert set(spread.records.frame()["measure"]) == {"ead_mean", "ead_deviation", "ead_quantile"}


def test_a_member_is_the_risk_of_its_own_values():
    terrain = data.jacksboro(rows=24, columns=24)
    grid = data.drain(terrain)
    assets = data.synthetic_settlement(terrain, count=20, currency="USD", seed=1)
    design = uncertainty.saltelli_design(points=2, seed=0)
    given = {"return_period_years": [10.0, 100.0], "end_h": 3.0}
    high, low = design.values.copy(), design.values.copy()
    high[0, QUANTITIES.index("floor_m")], low[0, QUANTITIES.index("floor_m")] = 3.0, 0.0
    damages = [
        uncertainty.member_risk(
            replace(design, values=v), grid, terrain, assets, member=0, **given
        ).expected_annual_damage
        for v in (low, high)
    ]

    assert damages[0] > damages[1]

    def depths(pattern):
        made = uncertainty.member_risk(design, grid, terrain, assets, pattern, member=0, **given)
        return made.max_depth_m.values

    even = Roughness(np.full(grid.elevation_m.shape, 0.07), grid.grid)
    varied = replace(even, manning=np.geomspace(0.02, 0.2, 24 * 24).reshape(24, 24))
    assert np.array_equal(depths(None), depths(even), equal_nan=True)
    assert not np.allclose(depths(None), depths(varied), equal_nan=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"points": 6}, "6 points; expected a power of two"),
        ({"points": 4, "floor_m": (1.0, 1.0)}, "a range is empty"),
    ],
)
def test_a_design_that_is_none_is_refused(given, message):
    with pytest.raises(DataError, match=message):
        uncertainty.saltelli_design(seed=0, **given)
