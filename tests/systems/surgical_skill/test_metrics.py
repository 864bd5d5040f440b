"""Scores against scipy and by hand; and that leaving out a prediction never pays."""

import warnings

import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from assay.errors import DataError, ParameterError
from assay.systems.surgical_skill.events import METRICS
from assay.systems.surgical_skill.metrics import MEASURES, TARGETS, Target, errors, scored

COUNT, RATIO = TARGETS[0], TARGETS[2]
LOW, HIGH = COUNT.range


def test_the_targets_of_the_challenge():
    assert tuple(target.name for target in TARGETS) == METRICS
    assert [target.kind for target in TARGETS] == ["count", "count", "ratio"]
    assert not any(target.higher_is_better for target in TARGETS)


def test_counts_by_hand():
    truth = np.array([0.0, 2.0, 5.0, np.nan])

    values, n, missing, flagged = scored(COUNT, truth, np.array([0.0, 3.0, 2.0, 7.0]))

    assert (n, missing, flagged.tolist()) == (3, 0, [False] * 4)
    assert values["mae"] == pytest.approx(4 / 3)
    assert values["rmse"] == pytest.approx(np.sqrt(10 / 3))
    assert values["exact_rate"] == pytest.approx(1 / 3)
    assert values["within_1_rate"] == pytest.approx(2 / 3)


def test_a_ratio_is_compared_by_its_logarithm():
    values = scored(RATIO, np.array([10.0, 20.0]), np.array([20.0, 10.0])).values

    assert values["log_mae"] == pytest.approx(np.log(2))
    assert values["spearman"] == pytest.approx(-1.0)
    assert set(values) == {"log_mae", "spearman"}


def test_a_class_is_right_or_wrong():
    target = Target(name="stage", kind="class", range=(0.0, 3.0), higher_is_better=True)

    values = scored(target, np.array([0.0, 3.0, 1.0]), np.array([0.0, 2.0, np.nan])).values

    assert values == {"exact_rate": pytest.approx(1 / 3)}


def test_rank_correlations_are_those_of_scipy():
    rng = np.random.default_rng(0)
    for _ in range(200):
        n = rng.integers(3, 30)
        truth, told = rng.integers(0, 6, n).astype(float), rng.integers(0, 9, n).astype(float)
        if len(set(truth)) == 1 or len(set(told)) == 1:
            continue

        values = scored(COUNT, truth, told).values

        assert values["spearman"] == pytest.approx(stats.spearmanr(truth, told).statistic)
        assert values["kendall"] == pytest.approx(stats.kendalltau(truth, told).statistic)


def test_correlations_of_what_has_no_order():
    flat = scored(COUNT, np.array([1.0, 2.0, 3.0]), np.full(3, 2.0)).values
    none = scored(COUNT, np.full(3, 2.0), np.array([1.0, 2.0, 3.0])).values

    assert (flat["spearman"], flat["kendall"]) == (0.0, 0.0)
    assert np.isnan([none["spearman"], none["kendall"]]).all()


@pytest.mark.parametrize(("truth", "worst"), [(0.0, 50.0), (10.0, 40.0), (45.0, 45.0)])
def test_a_missing_prediction_costs_the_way_to_the_further_end(truth, worst):
    assert errors(COUNT, np.array([truth]), np.array([np.nan])).tolist() == [worst]


@pytest.mark.parametrize("told", [np.inf, -np.inf, np.nan])
def test_what_is_no_number_is_missing_and_flagged(told):
    result = scored(COUNT, np.array([0.0, 1.0]), np.array([told, 1.0]))

    assert result.flagged.tolist() == [True, False]
    assert (result.n, result.missing) == (2, 1)
    assert result.values["exact_rate"] == 0.5
    assert result.values["mae"] == 25.0


def test_a_missing_prediction_counts_as_ordered_wrongly():
    """Of the three pairs of the truth, two are with the missing one."""
    values = scored(COUNT, np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, np.nan])).values

    assert values["kendall"] == pytest.approx((1 - 2) / np.sqrt(3 * 1))
    assert scored(COUNT, np.arange(4.0), np.full(4, np.nan)).values["kendall"] == -1.0


def test_a_missing_truth_does_not_count_but_a_missing_prediction_there_is_flagged():
    result = scored(COUNT, np.array([np.nan, 1.0]), np.array([np.nan, 1.0]))

    assert (result.n, result.missing, result.values["mae"]) == (1, 0, 0.0)
    assert result.flagged.tolist() == [True, False]


def test_without_any_truth_nothing_is_said():
    result = scored(COUNT, np.full(3, np.nan), np.ones(3))

    assert result.n == 0
    assert set(result.values) == set(MEASURES["count"])
    assert np.isnan(list(result.values.values())).all()
    assert not result.ranked


def test_an_entry_that_predicts_nothing_is_not_ranked():
    truth = np.array([1.0, 2.0])

    assert not scored(COUNT, truth, np.full(2, np.nan)).ranked
    assert scored(COUNT, truth, np.array([1.0, np.nan])).ranked


def test_out_of_the_range_is_its_end():
    assert errors(COUNT, np.array([0.0, 10.0]), np.array([-3.0, 1e9])).tolist() == [0.0, 40.0]


def better_is_higher(measure: str) -> bool:
    return measure not in ("mae", "rmse", "log_mae")


@pytest.mark.parametrize("target", [
    COUNT, RATIO, Target(name="grs", kind="likert", range=(1.0, 5.0), higher_is_better=True),
    Target(name="stage", kind="class", range=(0.0, 4.0), higher_is_better=True),
], ids=lambda target: target.kind)  # fmt: skip
@given(data=st.data())
def test_leaving_out_a_prediction_never_pays(target, data):
    """Whatever the entry predicts, however much it lacks already, by every measure."""
    low = target.range[0]
    truth_of = st.sampled_from([max(low, 1.0), max(low, 2.0), 3.0, 4.0, np.nan])
    told_of = st.one_of(st.sampled_from([1.0, 2.0, 3.0, 4.0, np.nan, np.inf]), st.floats(-1e6, 1e6))
    n = data.draw(st.integers(2, 9))
    truth = np.array(data.draw(st.lists(truth_of, min_size=n, max_size=n)))
    told = np.array(data.draw(st.lists(told_of, min_size=n, max_size=n)))
    left_out = told.copy()
    left_out[data.draw(st.integers(0, n - 1))] = np.nan

    before, after = scored(target, truth, told).values, scored(target, truth, left_out).values

    for measure, value in before.items():
        if np.isnan(value):
            assert np.isnan(after[measure])
        elif better_is_higher(measure):
            assert after[measure] <= value + 1e-12
        else:
            assert after[measure] >= value - 1e-12
    known = ~np.isnan(truth)
    assert (errors(target, truth, left_out)[known] >= errors(target, truth, told)[known]).all()


@given(st.lists(st.integers(0, 50), min_size=3, max_size=12), st.data())
def test_no_measure_leaves_its_range(truth, data):
    told = data.draw(st.lists(st.sampled_from([np.nan, 0.0, 3.0, 50.0]), min_size=len(truth),
                              max_size=len(truth)))  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = scored(COUNT, np.array(truth, float), np.array(told)).values

    assert 0 <= values["exact_rate"] <= values["within_1_rate"] <= 1
    assert 0 <= values["mae"] <= values["rmse"] + 1e-9 <= HIGH - LOW + 1e-9
    for name in ("spearman", "kendall"):
        assert np.isnan(values[name]) or -1 - 1e-12 <= values[name] <= 1 + 1e-12


def test_what_cannot_be_scored_is_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside the tests
    with pytest.raises(DataError, match="case 2 is 51; expected 0 to 50"):
        scored(COUNT, np.array([1.0, 51.0]), np.ones(2))
    with pytest.raises(DataError, match="one number for each case"):
        scored(COUNT, np.ones(2), np.ones(3))
    strict = Target(name="grs", kind="likert", range=(1.0, 5.0), higher_is_better=True,
                    missing_ok=False)  # fmt: skip
    with pytest.raises(DataError, match="case 1 is nan"):
        scored(strict, np.array([np.nan]), np.ones(1))


@pytest.mark.parametrize(("kind", "range_"), [
    ("count", (1.0, 1.0)), ("ratio", (0.0, 5.0)), ("likert", (5.0, 1.0)), ("count", (0.0, np.inf)),
])  # fmt: skip
def test_a_range_that_is_none_is_refused(kind, range_):
    with pytest.raises(ParameterError, match="target 'x'"):
        Target(name="x", kind=kind, range=range_, higher_is_better=False)
