"""Figures of the learned studies: which points are drawn, and where."""

from types import SimpleNamespace

import pandas as pd
import pytest

from assay.systems.policy_composition.figures_learned import (
    coverage_and_return,
    kind_of,
    safety_and_success,
)
from assay.systems.policy_composition.study_compose import PAIR, SUM, WEIGHTS, at
from assay.systems.policy_composition.study_offline import BEST, LATEST, RANDOM, ZERO


def run_of(decision, trials):
    """A run of trials ``(label, seed, {measure: value})``; ``return`` is that of the top."""
    rows = [
        {"trial": n, decision: label, "seed": seed, "measure": measure, "value": value,
         "unit": "1", "task": "top" if measure in ("success_rate", "return") else None}
        for n, (label, seed, values) in enumerate(trials)
        for measure, value in values.items()
    ]  # fmt: skip
    return SimpleNamespace(records=pd.DataFrame(rows))


def test_a_point_is_a_composition_with_the_episodes_of_all_its_seeds():
    one = {"starts": 10, "collision_rate": 0.5, "success_rate": 1.0}
    other = {"starts": 30, "collision_rate": 0.1, "success_rate": 0.0}
    label = at(PAIR, 1.0)
    chart = safety_and_success(run_of("policy", [(label, 0, one), (label, 1, other)]))

    (row,) = chart.data.to_dict("records")
    assert (row["policy"], row["kind"]) == (label, PAIR)
    assert row["share_collided"] == pytest.approx(8 / 40)
    assert row["share_arrived"] == pytest.approx(10 / 40)
    assert row["low_collided"] < 0.2 < row["high_collided"]
    assert chart.chart.to_dict()["layer"]


@pytest.mark.parametrize("weight", WEIGHTS)
def test_compositions_of_any_weight_are_of_one_kind(weight):
    assert kind_of(at(SUM, weight)) == SUM
    assert kind_of("a, b") == "a, b"


def test_coverage_is_drawn_of_what_learned_from_data_and_of_nothing_else():
    values = {"return": -30.0, "covered_actions": 0.4, "covered_states": 0.9}
    trials = [(LATEST, 0, values), (RANDOM, 1, values | {"return": -20.0}),
              (ZERO, 0, values), (BEST, 0, values)]  # fmt: skip
    chart = coverage_and_return(run_of("data", trials))

    assert sorted(chart.data["data"]) == sorted([LATEST, RANDOM])
    found = chart.data.set_index("data").loc[RANDOM]
    assert (found["return"], found["covered_actions"], found["seed"]) == (-20.0, 0.4, 1)
    assert chart.chart.to_dict()["mark"]


def test_of_a_run_that_varies_nothing_the_one_choice_is_drawn():
    values = {"return": -30.0, "covered_actions": 0.4, "covered_states": 0.9}
    run = run_of("data", [(LATEST, 0, values)])
    run.records = run.records.drop(columns="data")

    assert coverage_and_return(run).data["data"].tolist() == [LATEST]
