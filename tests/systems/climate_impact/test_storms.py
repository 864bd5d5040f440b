"""Storms from days: the days chosen, what each counts for, and how a day's rain is laid out."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.artifacts import decode, encode
from assay.core.component import describe
from assay.errors import AssayError, DataError
from assay.systems.climate_impact.daily import DailyRain
from assay.systems.climate_impact.impact import StormLosses
from assay.systems.climate_impact.rain import DepthDuration, alternating_blocks
from assay.systems.climate_impact.storms import (
    StormEvents,
    block_storm,
    cascade,
    cascade_storm,
    event_damage,
    independent_peaks,
    rank_classes,
    storm_events,
)

ONE = StormEvents(np.array([80.0, 30.0]), np.array([7, 1]), np.array([21.0, 0.4]), np.ones(2))


def gauge(years=20, seed=0):
    rain = np.random.default_rng(seed).gamma(0.3, 20.0, (years, 365))
    return DailyRain(np.where(rain > 1.0, rain, 0.0), "gauge")


def losses(period, *damage, currency="USD"):
    depth = np.array(damage) / 100.0
    return StormLosses(period, np.array(damage, float), depth, 0.0, currency, "")


def loss(records, measure):
    return [r["value"] for r in records if r["measure"] == measure]


# -- choosing days ------------------------------------------------------------------------------


@given(st.integers(1, 3000), st.integers(1, 40))
def test_classes_hold_every_rank_once_and_only_grow(count, classes):
    ends = rank_classes(count, classes)
    widths = np.diff(ends, prepend=0)

    assert ends[-1] == count
    assert ends.size == min(count, classes)
    assert (widths >= 1).all()
    assert ends[0] == 1 or ends.size == 1


@given(st.lists(st.integers(0, 50), min_size=1, max_size=80), st.integers(1, 5))
def test_peaks_are_apart_and_every_other_day_above_is_near_a_wetter_one(rain, apart):
    rain = np.array(rain, float)
    peaks = independent_peaks(rain, 20.0, apart)

    assert (rain[peaks] > 20.0).all()
    assert (np.diff(np.sort(peaks)) >= apart).all()
    for day in set(np.flatnonzero(rain > 20.0)) - set(peaks):
        near = peaks[np.abs(peaks - day) < apart]
        assert rain[near].max() >= rain[day]


def test_all_wettest_days_of_the_years_have_weibulls_return_periods_and_come_once_in_the_series():
    daily = gauge(years=9)
    events = storm_events(daily, events=9, seed=0)

    assert events.depth_mm.tolist() == sorted(daily.rain_mm.max(axis=1), reverse=True)
    assert events.return_period_years == pytest.approx(10.0 / np.arange(1, 10))
    assert events.rate_per_year == pytest.approx(1 / 9)
    day = int(daily.rain_mm.max(axis=0).argmax())
    first = np.datetime64("2001-01-01") + day
    assert events.month[0] == first.astype("datetime64[M]").astype(int) % 12 + 1


def test_days_above_a_threshold_are_counted_by_year():
    rain = np.zeros((4, 365))
    rain[0, [10, 11, 200]] = [50.0, 60.0, 45.0]  # the first two are one storm
    rain[1, 364], rain[2, 0] = 70.0, 80.0  # so are these, across new year
    rain[3, [30, 100]] = [42.0, 39.0]
    events = storm_events(DailyRain(rain), threshold_mm=40.0, seed=0)

    assert events.depth_mm.tolist() == [80.0, 60.0, 45.0, 42.0]
    assert events.month.tolist() == [1, 1, 7, 1]
    assert events.return_period_years == pytest.approx([5.0, 2.5, 5 / 3, 1.25])
    assert events.rate_per_year.sum() == pytest.approx(1.0)
    assert "4 storms in 4 years" in events.note
    both = storm_events(DailyRain(rain), threshold_mm=40.0, apart_days=1, seed=0)
    assert both.depth_mm.tolist() == [80.0, 70.0, 60.0, 50.0, 45.0, 42.0]


@pytest.mark.parametrize("threshold_mm", [None, 30.0])
def test_few_storms_stand_for_all_on_average_over_draws(threshold_mm):
    daily = gauge(years=40)
    whole = storm_events(daily, events=10_000, threshold_mm=threshold_mm, seed=0)

    def damage(events):
        return events.rate_per_year @ np.maximum(events.depth_mm - 40.0, 0.0) ** 2

    few = [storm_events(daily, events=6, threshold_mm=threshold_mm, seed=s) for s in range(400)]
    found = np.array([damage(events) for events in few])
    rates = [events.rate_per_year.sum() for events in few]

    assert rates == pytest.approx([whole.depth_mm.size / 40] * 400)
    assert found.std() > 0
    assert abs(found.mean() - damage(whole)) < 4.5 * found.std() / 20.0
    assert all(events.depth_mm[0] == whole.depth_mm[0] for events in few)


def test_the_series_decides_what_is_refused():
    with pytest.raises(DataError, match=r"gauge: no storm among days above 1999 mm"):
        storm_events(gauge(), threshold_mm=1999.0, seed=0)
    with pytest.raises(DataError, match="no storm among the wettest day"):
        storm_events(DailyRain(np.zeros((3, 365))), seed=0)
    for storm in (lambda: block_storm(ONE, event=2), lambda: cascade_storm(ONE, event=2, seed=0)):
        with pytest.raises(DataError, match="no storm 2; expected 0 to 1"):
            storm()
    with pytest.raises(AssayError):
        describe(cascade_storm).validate({"one_sided": 1.0}, "storm")


def test_events_survive_the_store():
    arrays: list[np.ndarray] = []
    back = decode(encode(ONE, arrays), StormEvents, arrays)

    assert encode(back, []) == encode(ONE, [])


# -- laying out a day ---------------------------------------------------------------------------


@pytest.mark.parametrize("make", [block_storm, lambda *a, **k: cascade_storm(*a, seed=3, **k)])
@pytest.mark.parametrize("duration_h", [24.0, 6.0])
def test_a_day_keeps_its_rain_whatever_its_layout(make, duration_h):
    whole = make(ONE, event=0, duration_h=duration_h, runoff_coefficient=1.0)
    half = make(ONE, event=0, duration_h=duration_h)

    assert whole.depth_mm == pytest.approx(80.0, rel=1e-12)
    assert half.depth_mm == pytest.approx(40.0, rel=1e-12)
    assert (whole.rain_mm_per_h >= 0).all()
    assert whole.times_s[-1] == duration_h * 3600.0
    assert whole.return_period_years == 21.0
    assert whole.label == "storm 0 of 80 mm, once in 21 years"


def test_blocks_are_those_of_the_design_storm_of_the_same_depth():
    statistics = DepthDuration(60.0, 15.0, exponent=0.4)
    design = alternating_blocks(
        statistics, return_period_years=50.0, duration_h=24.0, block_min=60.0
    )
    events = StormEvents(
        np.array([statistics.depth_mm(50.0)]), np.array([1]), np.array([50.0]), np.ones(1)
    )
    found = block_storm(events, event=0, block_min=60.0, exponent=0.4, runoff_coefficient=1.0)

    assert found.rain_mm_per_h == pytest.approx(design.rain_mm_per_h, rel=1e-12)
    assert found.times_s.tolist() == design.times_s.tolist()


@given(
    st.floats(1e-3, 1e3), st.integers(1, 8), st.floats(0, 0.99), st.floats(0.1, 100),
    st.integers(0, 99),
)  # fmt: skip
def test_a_cascade_shares_out_its_total(total, levels, one_sided, evenness, seed):
    random = np.random.default_rng(seed)
    parts = cascade(total, levels, one_sided=one_sided, evenness=evenness, random=random)

    assert parts.size == 2**levels
    assert (parts >= 0).all()
    assert math.fsum(parts) == pytest.approx(total, rel=1e-12)


def test_the_moments_and_the_dry_share_of_a_cascade_are_those_of_its_shares():
    """E W = 1/2, E W^2 = p/2 + (1 - p)(a + 1) / (2 (2 a + 1)); a part is a product of shares."""
    levels, p, a, draws = 4, 0.3, 1.5, 4000
    random = np.random.default_rng(0)
    parts = np.array(
        [cascade(1.0, levels, one_sided=p, evenness=a, random=random) for _ in range(draws)]
    )

    def near(samples, expected):
        """Parts of one cascade depend on each other, so the sample is that of cascades."""
        mean = samples.mean(axis=1)
        return abs(mean.mean() - expected) < 4.5 * mean.std() / math.sqrt(draws)

    square = p / 2 + (1 - p) * (a + 1) / (2 * (2 * a + 1))
    assert near(parts > 0, (1 - p / 2) ** levels)
    assert near(parts**2, square**levels)
    assert (np.abs(parts.mean(axis=0) - 2.0**-levels) < 4.5 * parts.std(0) / math.sqrt(draws)).all()


def test_an_even_cascade_is_steady_rain_and_storms_have_courses_of_their_own():
    even = cascade_storm(ONE, event=0, one_sided=0.0, evenness=1000.0, seed=1)
    assert even.rain_mm_per_h == pytest.approx(40.0 / 24.0, rel=0.2)

    first, again, other = (
        cascade_storm(ONE, event=event, seed=1).rain_mm_per_h for event in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert first / first.sum() != pytest.approx(other / other.sum())


# -- risk ---------------------------------------------------------------------------------------


def test_the_damage_of_an_average_year_is_the_sum_of_rate_times_loss():
    events = StormEvents(
        np.array([90.0, 60.0, 40.0]), np.ones(3, int), np.array([41.0, 13.0, 2.0]),
        np.array([0.025, 0.075, 1.5]),
    )  # fmt: skip
    made = [losses(2.0, 0.0, 2.0), losses(41.0, 300.0, 100.0), losses(13.0, 0.0, 80.0)]
    risk = event_damage(made, events)

    assert risk.expected_annual_damage == pytest.approx(10.0 + 6.0 + 3.0)
    assert risk.loss.tolist() == [400.0, 80.0, 2.0]
    assert risk.exceedance_per_year == pytest.approx([0.025, 0.1, 1.6])
    assert loss(risk.records, "loss") == [400.0, 80.0, 2.0]
    assert loss(risk.records, "flooded_assets") == [2.0, 1.0, 1.0]
    assert loss(risk.records, "storms_per_year") == pytest.approx([1.6])
    assert loss(risk.records, "share_beyond_10_years") == pytest.approx([16.0 / 19.0])


def test_a_storm_without_a_loss_and_losses_of_other_storms_are_refused():
    both = [losses(21.0, 1.0), losses(0.4, 1.0)]
    assert event_damage(both, ONE).expected_annual_damage == 2.0

    for wrong in ([both[0]], [both[0], losses(0.5, 1.0)], [*both, both[1]]):
        with pytest.raises(DataError, match=r"losses for 2 storms; expected one loss per storm"):
            event_damage(wrong, ONE)
    with pytest.raises(DataError, match="losses are in EUR and USD"):
        event_damage([both[0], losses(0.4, 1.0, currency="EUR")], ONE)
