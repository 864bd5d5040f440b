"""Learned counts: the regressions against closed forms and a peer, and that no fold leaks."""

import jaxtyping
import numpy as np
import pytest

from assay.errors import DataError, ParameterError
from assay.systems.surgical_skill.counts import (
    MODELS,
    fit_counts,
    grouped_folds,
    poisson,
    predict,
    ridge,
)

PENALISED = [model for model in MODELS if model != "median"]


def planted(cases=60, seed=0):
    """Two counts with a planted cause each, and surgeons of five cases."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(cases, 6))
    mean = np.exp(0.5 + 0.8 * features[:, :2])
    return features, rng.poisson(mean).astype(float), np.arange(cases) // 5


def test_folds_part_no_surgeon_and_are_of_one_size():
    groups = np.repeat(np.arange(12), [3, 6, 4, 5, 3, 6, 4, 5, 3, 6, 4, 5])

    fold = grouped_folds(groups, 4, seed=3)

    assert all(len(set(fold[groups == group])) == 1 for group in range(12))
    assert np.ptp(np.bincount(fold)) <= 3
    assert set(fold) == set(range(4))
    assert (fold == grouped_folds(groups, 4, seed=3)).all()
    assert any((fold != grouped_folds(groups, 4, seed=seed)).any() for seed in range(9))


def test_there_are_no_more_folds_than_surgeons():
    assert sorted(set(grouped_folds(np.array([4, 4, 9]), 5, seed=0))) == [0, 1]


def test_ridge_is_least_squares_with_rows_that_pull_to_zero():
    rng = np.random.default_rng(0)
    rows, y = rng.normal(size=(20, 3)) + 2, rng.normal(size=20)
    design = np.column_stack([rows, np.ones(20)])
    pulled = np.vstack([design, np.hstack([np.sqrt(2.5) * np.eye(3), np.zeros((3, 1))])])
    expected = np.linalg.lstsq(pulled, np.append(y, np.zeros(3)), rcond=None)[0]

    weights, intercept = ridge(rows, y, 2.5)

    assert [*weights, intercept] == pytest.approx(expected)


def test_poisson_regression_is_that_of_statsmodels():
    import statsmodels.api as sm

    rng = np.random.default_rng(1)
    rows = rng.normal(size=(80, 3))
    y = rng.poisson(np.exp(0.3 + rows @ [0.5, -0.4, 0.0])).astype(float)
    expected = sm.GLM(y, sm.add_constant(rows), family=sm.families.Poisson()).fit().params

    weights, intercept = poisson(rows, y, 1e-9)

    assert [intercept, *weights] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("penalty", [0.1, 10.0, 1000.0])
def test_the_penalised_likelihood_is_at_its_top(penalty):
    """Its gradient: the intercept makes the totals equal, the weights balance the penalty."""
    features, targets, _ = planted()
    y = targets[:, 0]

    weights, intercept = poisson(features, y, penalty)

    off = y - np.exp(features @ weights + intercept)
    assert off.sum() == pytest.approx(0.0, abs=1e-2)
    assert features.T @ off == pytest.approx(penalty * weights, abs=1e-2)


def test_where_nothing_ever_happened_next_to_nothing_is_expected():
    weights, intercept = poisson(np.random.default_rng(0).normal(size=(9, 2)), np.zeros(9), 1.0)

    assert not weights.any()
    assert np.exp(intercept) < 1e-5


@pytest.mark.parametrize("model", PENALISED)
def test_what_was_planted_is_found(model):
    features, targets, groups = planted(cases=150)

    counts = fit_counts(features, targets, groups, model=model, seed=0)

    for metric in range(2):
        told = counts.out_of_fold[:, metric]
        assert np.corrcoef(told, targets[:, metric])[0, 1] > 0.4
        assert (np.abs(counts.weights[:, metric]).argmax(axis=1) == metric).all()


@pytest.mark.parametrize("model", MODELS)
def test_what_is_held_out_changes_nothing_about_what_is_said_of_it(model):
    features, targets, groups = planted()
    before = fit_counts(features, targets, groups, model=model, seed=0)
    held = before.fold == 2
    changed, moved = targets.copy(), features.copy()
    changed[held] += 30.0
    moved[held] = 9.0

    after = fit_counts(features, changed, groups, model=model, seed=0)
    elsewhere = fit_counts(moved, targets, groups, model=model, seed=0)

    assert (after.out_of_fold[held] == before.out_of_fold[held]).all()
    assert (after.out_of_fold[~held] != before.out_of_fold[~held]).any()
    assert (elsewhere.weights[2] == before.weights[2]).all()


@pytest.mark.parametrize("model", MODELS)
def test_a_metric_that_is_not_known_is_left_out_of_its_own_model_only(model):
    features, targets, groups = planted()
    gaps = targets.copy()
    gaps[::7, 1] = np.nan

    whole = fit_counts(features, targets, groups, model=model, seed=0)
    part = fit_counts(features, gaps, groups, model=model, seed=0)

    assert np.isfinite(part.out_of_fold).all()
    assert (part.out_of_fold[:, 0] == whole.out_of_fold[:, 0]).all()
    assert (part.intercept[:, 1] != whole.intercept[:, 1]).any() or model == "median"


def test_ridge_never_predicts_less_than_nothing():
    features, _, groups = planted()
    line = np.maximum(10 * features[:, 0], 0)[:, None]

    counts = fit_counts(features, line, groups, model="ridge", seed=0)

    assert counts.out_of_fold.min() == 0.0
    assert predict(counts, np.full((1, 6), -3.0))[0, 0] == 0.0


def test_the_reference_is_the_training_median():
    features, targets, groups = planted()

    counts = fit_counts(features, targets, groups, model="median", seed=0)

    for k in range(5):
        expected = np.median(targets[counts.fold != k], axis=0)
        assert (counts.out_of_fold[counts.fold == k] == expected).all()


@pytest.mark.parametrize("model", PENALISED)
def test_a_new_case_is_the_mean_over_the_folds(model):
    features, targets, groups = planted()
    counts = fit_counts(features, targets, groups, model=model, seed=0)

    each = []
    for k in range(5):
        z = np.clip((features - counts.mean[k]) / counts.sd[k], -4, 4)
        linear = z @ counts.weights[k].T + counts.intercept[k]
        each.append(np.exp(linear) if model == "poisson" else np.maximum(linear, 0))
        same = counts.fold == k
        assert each[k][same] == pytest.approx(counts.out_of_fold[same])

    assert predict(counts, features) == pytest.approx(np.mean(each, axis=0))


@pytest.mark.parametrize("model", MODELS)
def test_a_stranger_is_not_guessed_wildly_and_a_constant_feature_says_nothing(model):
    features, targets, groups = planted()
    features[:, 5] = 3.0

    counts = fit_counts(features, targets, groups, model=model, seed=0)

    assert np.isfinite(predict(counts, np.full((1, 6), 1e12))).all()
    assert not counts.weights[:, :, 5].any()


def test_equal_seeds_give_equal_models():
    features, targets, groups = planted()
    one, two = (fit_counts(features, targets, groups, seed=4) for _ in range(2))

    assert (one.out_of_fold == two.out_of_fold).all()


def test_what_cannot_be_learned_from_is_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside the tests
    features, targets, groups = planted()
    with pytest.raises(ParameterError, match="Did you mean 'poisson'"):
        fit_counts(features, targets, groups, model="poison", seed=0)
    with pytest.raises(DataError, match="2 surgeons"):
        fit_counts(features, targets, groups % 2, seed=0)
    with pytest.raises(DataError, match="59 of targets"):
        fit_counts(features, targets[1:], groups, seed=0)
    with pytest.raises(DataError, match="metric 2 of case 1 is -1"):
        fit_counts(features, np.where([[0, 1]], -1.0, targets), groups, seed=0)
    with pytest.raises(DataError, match="feature 1 of case 1"):
        fit_counts(features * np.nan, targets, groups, seed=0)
    with pytest.raises(DataError, match="metric 1 is known of nobody outside of fold"):
        fit_counts(features, np.where(groups[:, None] == 0, targets, np.nan), groups, seed=0)
