"""Measures of rankings, on tasks whose order is known."""

import numpy as np
import pytest

from assay.parts.ranking.scores import Scores
from assay.systems.surgical_skill.rankings import example_scores, resample, simulated_scores


def measured(scores, **given):
    given = {"draws": 200, "seed": 1} | given
    records = resample(scores, **given).measures
    return {r["measure"]: r["value"] for r in records if "algorithm" not in r}


def test_an_ideal_task_is_as_stable_as_can_be():
    found = measured(example_scores(task="c_ideal"))
    assert found == {
        "tau": 1.0, "undefined_share": 0.0, "winner_kept": 1.0, "pairs_turned": 0.0,
        "one_case_turns": 0.0,
    }  # fmt: skip


def test_a_task_of_equals_has_no_tau():
    found = measured(example_scores(task="c_worstcase"), draws=50)
    assert found["undefined_share"] == 1.0
    assert "tau" not in found


def test_medians_turn_one_pair_of_the_random_task():
    """Published: the third and fourth place change by medians."""
    found = measured(example_scores(task="c_random"), way="median, then rank")
    assert found["pairs_turned"] == 1


def test_simulated_algorithms_are_truly_in_the_order_of_their_names():
    scores = simulated_scores(cases=4000, gap=0.3, seed=2)
    assert scores.values.shape == (4000, 5)
    assert (np.diff(scores.values.mean(axis=0)) < 0).all()
    assert ((0 < scores.values) & (scores.values < 1)).all()
    found = measured(scores, draws=20)
    assert (found["tau_true"], found["best_first"], found["covered"]) == (1.0, 1.0, 1.0)


def test_a_ranking_without_any_order_agrees_with_none():
    equal = np.tile(np.linspace(0.2, 0.8, 6)[:, None], (1, 3))
    scores = Scores("simulated", ("A", "B", "C"), tuple("123456"), equal, small_better=False)
    found = measured(scores)
    assert found["tau_true"] == 0.0
    assert found["best_first"] == 0.0


def test_one_case_that_decides_is_found():
    values = np.array([[0.9, 0.1], [0.5, 0.6], [0.5, 0.6], [0.5, 0.6]])
    scores = Scores("t", ("A", "B"), tuple("1234"), values, small_better=False)
    assert measured(scores)["one_case_turns"] == pytest.approx(0.25)


def test_equal_seeds_give_equal_measures_and_others_do_not():
    scores = example_scores(task="c_random")
    assert measured(scores, seed=3) == measured(scores, seed=3)
    assert measured(scores, seed=3)["tau"] != measured(scores, seed=4)["tau"]
