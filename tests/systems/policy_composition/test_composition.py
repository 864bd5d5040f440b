"""The components and studies: ways to compose, what is measured, what is declared."""

import numpy as np
import pytest

from assay.errors import ParameterError
from assay.systems.policy_composition import oracle as oracle_module
from assay.systems.policy_composition.evaluate import (
    calibrated,
    evaluate,
    masks_of_orders,
    scale_invariance,
)
from assay.systems.policy_composition.navigation import TASKS
from assay.systems.policy_composition.study import POLICIES, oracle
from assay.systems.policy_composition.study_epsilon import epsilon
from assay.systems.policy_composition.study_priorities import priorities
from assay.systems.policy_composition.train import Composite, compose, solve_tasks


@pytest.fixture(scope="module")
def policies():
    return solve_tasks(tasks=list(TASKS), nodes=21, per_axis=5).policies


def measured(records, measure, **keys):
    (row,) = [r for r in records if r["measure"] == measure and keys.items() <= r.items()]
    return row["value"]


def test_every_task_is_solved_within_its_tolerance():
    records = solve_tasks(tasks=list(TASKS), nodes=11, per_axis=3).records
    bounds = [r["value"] for r in records if r["measure"] == "error_bound"]

    assert len(bounds) == len(TASKS)
    assert max(bounds) <= 0.01


def test_the_bound_that_is_told_is_measured_not_believed(monkeypatch):
    """A solver that is off by 1 at a node and says it is exact is found out."""
    solve = oracle_module.solve

    def boasting(*given, **more):
        found = solve(*given, **more)
        return found._replace(values=found.values + np.eye(1, 121)[0], error_bound=0.0)

    monkeypatch.setattr(oracle_module, "solve", boasting)
    made = solve_tasks(tasks=["obstacle", "top"], nodes=11, per_axis=3)
    adapted = compose(made.policies, order=["obstacle", "top"])

    for records in (made.records, adapted.records):
        assert min(r["value"] for r in records if r["measure"] == "error_bound") > 1


@pytest.mark.parametrize("name", POLICIES)
def test_a_composition_is_of_its_levels(policies, name):
    made = compose(policies, **POLICIES[name]).composite
    alone = {"task alone": 1, "sum of rewards": 1, "sum of values": 1}
    levels = alone.get(POLICIES[name]["method"], len(POLICIES[name]["order"]))

    assert len(made.names) == len(made.weights) == len(made.values) == levels
    assert [level.name for level in made.stack().levels] == made.names


def test_a_sum_of_rewards_weighs_the_first_task(policies):
    made = compose(policies, order=["obstacle", "top"], method="sum of rewards", weight=4.0)

    assert made.composite.weights.tolist() == [[4.0, 1.0, 0.0, 0.0, 0.0]]


def test_zero_shot_keeps_the_policies_and_adapting_changes_all_but_the_first(policies):
    order = ["obstacle", "top", "side"]
    asis = compose(policies, order=order, method="zero-shot").composite
    made = compose(policies, order=order, method="adapted").composite

    same = [np.array_equal(a, b) for a, b in zip(asis.values, made.values, strict=True)]
    assert same == [True, False, False]


def test_a_task_that_was_not_solved_is_refused():
    few = solve_tasks(tasks=["obstacle"], nodes=5, per_axis=2).policies

    with pytest.raises(ParameterError, match="no policy for 'top'; expected obstacle"):
        compose(few, order=["obstacle", "top"])


def test_what_is_measured_is_in_its_range_and_repeats(policies):
    made = compose(policies, order=["obstacle", "top"]).composite
    one, same, other = (evaluate(made, starts=20, steps=30, seed=s).records for s in (1, 1, 2))

    assert one == same
    assert one != other
    assert measured(one, "starts") == 20
    assert measured(one, "forbidden_actions") == 0
    assert 0 < measured(one, "smallest_allowed_share") <= measured(one, "allowed_share") <= 1
    assert -30 <= measured(one, "return", task="top") <= 0
    assert {r["task"] for r in one if r["measure"] == "success_rate"} == set(TASKS[1:])


def test_a_move_that_the_mask_forbids_is_found_out(policies, monkeypatch):
    """The audit sees where a policy went, not its mask: here one that ignores it."""
    from assay.systems.policy_composition import indifference

    made = compose(policies, order=["obstacle", "top"], epsilon=0.1).composite
    monkeypatch.setattr(
        indifference, "pick",
        lambda values, mask, uniform, temperature: (uniform * mask.shape[1]).astype(int),
    )  # fmt: skip

    assert measured(evaluate(made, starts=20, steps=30, seed=1).records, "forbidden_actions") > 0


def test_a_single_forbidden_move_is_found_out_at_any_step(policies, monkeypatch):
    from assay.systems.policy_composition import indifference

    made = compose(policies, order=["obstacle", "top"], epsilon=0.1).composite
    plain, calls = indifference.pick, list[int]()

    def once(values, mask, uniform, temperature):
        calls.append(1)
        if len(calls) != 4:
            return plain(values, mask, uniform, temperature)
        return np.where(mask.all(axis=1), 0, mask.argmin(axis=1))

    monkeypatch.setattr(indifference, "pick", once)

    assert measured(evaluate(made, starts=20, steps=8, seed=1).records, "forbidden_actions") > 0


def test_temperature_and_greed_reach_the_last_level(policies):
    made = compose(policies, order=["obstacle", "top"]).composite

    def at_the_top(**given):
        records = evaluate(made, starts=40, steps=60, seed=1, **given).records
        return measured(records, "return", task="top")

    assert at_the_top(temperature=100.0) < at_the_top() < at_the_top(greedy=True)


@pytest.mark.parametrize("factor", [1000.0, 0.01])
def test_scaling_the_first_level_changes_neither_mask_nor_value(policies, factor):
    records = scale_invariance(policies, factor=factor)

    assert measured(records, "mask_difference") == 0.0
    assert measured(records, "value_difference") < 1e-9


def test_orders_of_the_same_first_two_tasks_leave_the_same_actions_and_others_do_not(policies):
    def differ(other):
        records = masks_of_orders(policies, one=["obstacle", "top", "side"], other=other)
        return measured(records, "mask_difference")

    assert differ(["obstacle", "top", "left"]) == 0.0
    assert 0.0 < differ(["obstacle", "side", "top"]) < 1.0


def test_epsilon_is_calibrated_within_ten_evaluations(policies):
    records = calibrated(policies, starts=20, steps=30, seed=1)

    assert measured(records, "calibration_rate") <= 0.01
    assert measured(records, "calibration_evaluations") <= 10
    assert 1.0 <= measured(records, "calibrated_epsilon") <= 100.0
    assert 0.0 <= measured(records, "held_out_rate") <= 1.0


def test_five_levels_with_opposed_tasks_leave_an_action_everywhere(policies):
    made = compose(policies, order=list(TASKS)).composite

    share = made.stack().volume(policies.world.points)
    assert share.min() > 0
    assert np.isfinite(made.values).all()


def test_a_composite_survives_the_store(policies, tmp_path):
    from assay.core.artifacts import FORMATS, format_of

    made = compose(policies, order=["obstacle", "top"]).composite
    kind = FORMATS[format_of(made)]
    kind.write(made, tmp_path / "value")
    back = kind.read(tmp_path / "value", Composite)

    states = policies.world.points
    assert (back.stack().mask(states) == made.stack().mask(states)).all()


@pytest.mark.parametrize("made", [oracle, epsilon, priorities])
def test_a_study_names_what_its_workflow_measures(made):
    study = made()

    assert {c.id for c in (*study.claims, *study.checks)}
    assert study.plan("tiny").trials
    assert len(study.plan("small").trials) >= len(study.plan("tiny").trials)
