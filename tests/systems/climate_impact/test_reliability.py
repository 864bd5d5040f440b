"""Reliability of ensembles: scores against closed forms, coverage against exchangeability."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from assay.core.records import Records
from assay.errors import DataError
from assay.systems.climate_impact.figures_uncertainty import rank_histogram
from assay.systems.climate_impact.rasters import Grid, Raster
from assay.systems.climate_impact.reliability import (
    attainable_coverage,
    covered,
    crps,
    ensemble_reliability,
    ranks,
)
from assay.systems.climate_impact.uncertainty import MemberRisk, saltelli_design

GRID = Grid(1, 3, 10.0, 0.0, 0.0, "EPSG:32616")
numbers = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=12)


def risk(member, damage, depth=(0.0, 1.0, np.nan), currency="USD"):
    depths = Raster(np.array([depth]), GRID, "depth", "m")
    return MemberRisk(member, float(damage), currency, depths, Records())


def found(records):
    frame = records.frame()
    return {
        (m, q if isinstance(q, str) else ""): v
        for m, q, v in zip(frame["measure"], frame["quantity"], frame["value"], strict=True)
        if m != "truth_rank"
    }


# -- the score ----------------------------------------------------------------------------------


@pytest.mark.parametrize("y", [-2.0, 0.0, 0.7, 3.0])
def test_the_score_of_many_gaussian_members_is_the_closed_form(y):
    """sigma (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)) with z = (y - mean) / sigma."""
    mean, sigma, count = 1.0, 2.0, 4000
    members = stats.norm.ppf((np.arange(count) + 0.5) / count, mean, sigma)
    z = (y - mean) / sigma
    expected = sigma * (
        z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi)
    )

    assert crps(members[:, None], np.array([[y]])).item() == pytest.approx(expected, abs=2e-3)


@given(numbers, st.floats(-1e3, 1e3))
def test_the_score_is_the_integral_of_the_squared_step(members, truth):
    x = np.unique([*members, truth])
    heights = np.array([(np.array(members) <= a).mean() - (truth <= a) for a in x[:-1]])
    expected = float((heights**2) @ np.diff(x)) if x.size > 1 else 0.0

    got = crps(np.array(members)[:, None], np.array([[truth]])).item()
    assert got == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_the_integral_of_the_step_is_what_quadrature_finds():
    """The identity used above, once without it."""
    members, truth = np.array([0.1, 0.5, 0.9]), 0.4
    step = lambda x: ((members <= x).mean() - (truth <= x)) ** 2  # noqa: E731
    expected, _ = integrate.quad(step, 0.0, 1.0, points=[*members, truth])

    assert crps(members[:, None], np.array([[truth]])).item() == pytest.approx(expected, rel=1e-9)


def test_the_score_of_a_single_member_is_its_distance_and_of_places_their_own():
    members = np.array([[1.0, 5.0], [1.0, 7.0]])
    truths = np.array([[4.0, 6.0], [1.0, 9.0]])

    assert crps(members, truths) == pytest.approx(np.array([[3.0, 0.5], [0.0, 2.5]]))
    assert crps(members[:1], truths) == pytest.approx(np.abs(members[:1] - truths))


# -- coverage and ranks -------------------------------------------------------------------------


@pytest.mark.parametrize("count", [4, 9, 19, 39])
def test_truths_drawn_like_the_members_are_covered_as_often_as_said(count):
    random, draws = np.random.default_rng(1), 20_000
    members, truths = random.random((count, draws)), random.random((1, draws))
    share = covered(members, truths, 0.9).mean()

    expected = attainable_coverage(count, 0.9)
    assert expected == pytest.approx(min(0.9, (count - 1) / (count + 1)))
    assert abs(share - expected) < 4.5 * np.sqrt(expected * (1 - expected) / draws)


@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_spread_that_is_too_narrow_covers_less_and_too_wide_more(factor):
    random = np.random.default_rng(2)
    members, truths = factor * random.normal(size=(19, 5000)), random.normal(size=(1, 5000))

    assert (covered(members, truths, 0.9).mean() < 0.9) == (factor < 1)


def test_ranks_of_truths_drawn_like_the_members_are_even_also_among_ties():
    random = np.random.default_rng(3)
    for draw in (random.random, lambda n: random.integers(0, 3, n).astype(float)):
        got = np.concatenate([ranks(draw(4), draw(1), random) for _ in range(5000)])
        counts = np.bincount(got, minlength=5)
        assert stats.chisquare(counts).pvalue > 1e-4


def test_a_rank_counts_the_members_below():
    members = np.array([1.0, 2.0, 3.0])
    got = ranks(members, np.array([0.0, 1.5, 9.0]), np.random.default_rng(0))

    assert got.tolist() == [0, 1, 3]
    tied = {int(ranks(members, np.array([2.0]), np.random.default_rng(s))[0]) for s in range(20)}
    assert tied == {1, 2}


# -- the component ------------------------------------------------------------------------------


def test_only_independent_members_count_and_only_wet_cells():
    design = saltelli_design(points=2, seed=0)
    members = [risk(k, k, (0.05, 0.5 + k, np.nan)) for k in range(4)]
    mixed = [risk(k, 1e9, (9.0, 9.0, np.nan)) for k in range(4, 8)]
    truths = [risk(0, 1.5, (0.08, 2.0, np.nan)), risk(1, 50.0, (0.0, 2.0, np.nan))]
    records = ensemble_reliability(design, members + mixed, truths, seed=0)

    got = found(records)
    assert got["attainable_coverage", ""] == pytest.approx(3 / 5)
    assert got["coverage", "damage"] == 0.5
    assert got["coverage", "depth"] == 1.0
    # of 0, 1, 2, 3: E|X - X'| / 2 = 5/8; E|X - y| is 1 at 1.5, 48.5 at 50
    assert got["crps", "damage"] == pytest.approx((1.0 + 48.5) / 2 - 0.625)
    assert got["crps", "depth"] == pytest.approx(1.0 - 0.625)
    rank = [r for r in records if r["measure"] == "truth_rank"]
    assert [(r["value"], r["truth"], r["members"]) for r in rank] == [(2, 0, 4), (4, 1, 4)]
    assert {r["unit"] for r in records if r["measure"] == "crps"} == {"USD/year", "m"}


def test_a_dry_land_has_no_score_of_depth():
    design = saltelli_design(points=2, seed=0)
    dry = [risk(k, k, (0.0, 0.01, np.nan)) for k in range(4)]
    got = found(ensemble_reliability(design, dry, dry[:1], seed=0))

    assert np.isnan(got["coverage", "depth"])
    assert np.isnan(got["crps", "depth"])


def test_what_is_no_ensemble_is_refused():
    design = saltelli_design(points=2, seed=0)
    with pytest.raises(DataError, match="0 independent members and 1 truths"):
        ensemble_reliability(design, [risk(7, 1.0)], [risk(0, 1.0)], seed=0)
    with pytest.raises(DataError, match="damages are in EUR and USD"):
        ensemble_reliability(
            design, [risk(0, 1.0), risk(1, 1.0)], [risk(0, 1.0, currency="EUR")], seed=0
        )


# -- the figure ---------------------------------------------------------------------------------


class Shown:
    """As much of a run as the figure asks for."""

    def __init__(self, ranked, members):
        self.records = pd.DataFrame(
            {"measure": "truth_rank", "value": np.array(ranked, float), "members": members}
        )


def test_the_histogram_has_a_bar_per_rank_or_shares_ranks_out_to_ten():
    few = rank_histogram(Shown([0, 0, 1, 3], 3)).data
    assert few["share"].tolist() == pytest.approx([0.5, 0.25, 0.0, 0.25])
    assert few["even"].tolist() == [0.25] * 4

    every = rank_histogram(Shown(range(33), 32))
    assert every.data["share"].tolist() == pytest.approx([0.1] * 10)
    assert "33 truths" in every.caption
    low = rank_histogram(Shown([0], 32)).data
    assert low["share"].tolist() == pytest.approx([1.0] + [0.0] * 9)
