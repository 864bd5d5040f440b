"""Risk: exact integrals of known loss curves, tail rules, bands and event sets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from assay.errors import DataError, ParameterError
from assay.systems.climate_impact.risk import (
    damage_of_rarer,
    event_set_damage,
    event_set_exceedance,
    risk_curve,
)

periods = st.lists(st.floats(1, 1e4), min_size=1, max_size=8, unique=True).map(np.array)


@given(periods, st.floats(0, 1e9))
def test_a_loss_that_every_storm_rarer_than_t0_causes_costs_it_over_t0_a_year(years, loss):
    curve = risk_curve(years, np.full(years.size, loss))

    assert curve.expected_annual_damage == pytest.approx(loss / years.min(), rel=1e-12)


def test_a_loss_linear_in_probability_is_integrated_exactly():
    # loss = 100 (1 - p / 0.5) for p < 0.5: the triangle has the area 100 * 0.5 / 2
    years = np.array([2.5, 10.0, 40.0, 1e9])
    loss = 100.0 * (1 - 2.0 / years)

    curve = risk_curve(years, loss, onset_years=2.0)

    assert curve.expected_annual_damage == pytest.approx(25.0, rel=1e-8)


def test_a_curve_with_a_known_integral_is_approached_from_many_storms():
    # loss = p^(-1/2) between p = 1e-4 and 1: the integral is 2 (1 - 1e-2), and 1e-2 beyond
    years = np.geomspace(1, 1e4, 2000)

    curve = risk_curve(years, np.sqrt(years))

    assert curve.expected_annual_damage == pytest.approx(1.98 + 0.01, rel=1e-4)


def test_the_tail_beyond_the_rarest_storm_is_a_choice_that_is_told():
    years, loss = np.array([10.0, 100.0]), np.array([0.0, 1000.0])

    constant = risk_curve(years, loss)
    none = risk_curve(years, loss, beyond="none")

    assert constant.expected_annual_damage - none.expected_annual_damage == pytest.approx(10.0)
    assert "stays that of the rarest storm" in constant.rule
    assert "left out beyond the rarest storm" in none.rule
    assert "once in 100 years" in constant.rule


def test_the_onset_adds_the_loss_of_storms_more_frequent_than_the_first():
    years, loss = np.array([10.0, 100.0]), np.array([500.0, 500.0])

    without = risk_curve(years, loss)
    since_two = risk_curve(years, loss, onset_years=2.0)

    assert without.expected_annual_damage == pytest.approx(50.0)
    assert since_two.expected_annual_damage == pytest.approx(50.0 + 500.0 * (0.5 - 0.1) / 2)
    assert "the most frequent storm (once in 10 years" in without.rule
    assert "the onset (once in 2 years)" in since_two.rule


def test_storms_that_cost_nothing_may_be_more_frequent_than_the_onset():
    curve = risk_curve(np.array([2.0, 10.0]), np.array([0.0, 100.0]), onset_years=5.0)

    assert curve.return_period_years.tolist() == [5.0, 10.0]
    assert curve.expected_annual_damage == pytest.approx(100.0 * (0.2 - 0.1) / 2 + 10.0)


def test_an_onset_that_a_storm_contradicts_is_refused():
    with pytest.raises(ParameterError, match="the 2-year storm costs 7, but the onset is 5 years"):
        risk_curve(np.array([2.0, 10.0]), np.array([7.0, 100.0]), onset_years=5.0)


@given(periods, st.data())
def test_bands_cover_all_return_periods_and_add_up(years, data):
    loss = np.array(
        data.draw(st.lists(st.floats(0, 1e6), min_size=years.size, max_size=years.size))
    )

    curve = risk_curve(years, loss)

    assert curve.contribution.sum() == pytest.approx(curve.expected_annual_damage)
    assert (curve.band_from_years[1:] == curve.band_to_years[:-1]).all()
    assert np.isinf(curve.band_to_years[-1])
    assert (curve.contribution >= 0).all()


@given(periods, st.floats(1, 1e5), st.data())
def test_damage_of_rarer_storms_splits_the_whole_at_any_return_period(years, split, data):
    loss = np.array(
        data.draw(st.lists(st.floats(0, 1e6), min_size=years.size, max_size=years.size))
    )
    curve = risk_curve(years, loss)
    # Cutting the curve at the split leaves a curve whose whole damage is the part beyond.
    knots = np.append(curve.annual_probability, 1 / split)
    values = np.interp(knots, curve.annual_probability[::-1], curve.loss[::-1])
    keep = knots <= min(1 / split, curve.annual_probability[0])
    order = np.argsort(knots[keep])
    edges, heights = np.append(0.0, knots[keep][order]), values[keep][order]
    heights = np.append(curve.loss[-1], heights)

    rarer = damage_of_rarer(curve, split)

    assert rarer == pytest.approx(np.trapezoid(heights, edges), rel=1e-9, abs=1e-9)
    assert rarer <= curve.expected_annual_damage * (1 + 1e-12)


@pytest.mark.parametrize(
    ("years", "loss", "said"),
    [
        ([], [], "0 return periods"),
        ([0.5], [1.0], "return period 0.5"),
        ([2.0, 2.0], [1.0, 1.0], "same return period"),
        ([2.0], [-1.0], "loss -1"),
        ([2.0], [np.nan], "loss nan"),
    ],
)
def test_impossible_storms_are_refused(years, loss, said):
    with pytest.raises(DataError, match=said):
        risk_curve(np.array(years), np.array(loss))


def test_an_event_set_costs_the_sum_of_rate_times_loss_in_a_year():
    rate, loss = np.array([0.01, 0.1, 0.05]), np.array([500.0, 10.0, 100.0])

    losses, exceeded = event_set_exceedance(rate, loss)

    assert event_set_damage(rate, loss) == pytest.approx(5.0 + 1.0 + 5.0)
    assert losses.tolist() == [500.0, 100.0, 10.0]
    assert exceeded.tolist() == pytest.approx([0.01, 0.06, 0.16])


def test_an_event_set_and_the_exceedance_curve_it_makes_cost_the_same():
    # Many equally rare events: their staircase and its trapezoids differ by half a step.
    loss = np.linspace(1.0, 1000.0, 20_000)
    rate = np.full(loss.size, 0.5 / loss.size)

    losses, exceeded = event_set_exceedance(rate, loss)
    curve = risk_curve(1 / exceeded, losses)

    assert curve.expected_annual_damage == pytest.approx(event_set_damage(rate, loss), rel=1e-3)


def test_losses_of_other_storms_or_events_are_refused():
    several, one = np.array([2.0, 10.0]), np.array([1.0])
    refusal = (DataError, TypeCheckError)  # the shapes of the signature, where tests check them

    with pytest.raises(refusal, match=r"2 return periods for 1 losses|loss"):
        risk_curve(several, one)
    with pytest.raises(refusal, match=r"2 rates for 1 losses|loss"):
        event_set_damage(1 / several, one)


def test_events_that_cost_the_same_are_exceeded_equally_often():
    _, exceeded = event_set_exceedance(np.array([0.1, 0.1, 0.3]), np.array([5.0, 5.0, 9.0]))

    assert exceeded.tolist() == pytest.approx([0.3, 0.5, 0.5])


def test_events_with_a_negative_rate_are_refused():
    with pytest.raises(DataError, match="negative or not finite"):
        event_set_exceedance(np.array([-0.1]), np.array([1.0]))
