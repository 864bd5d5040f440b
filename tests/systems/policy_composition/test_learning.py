"""The components of learning, and how a learned stack is held to the oracle."""

import numpy as np
import pytest

from assay.errors import ParameterError
from assay.systems.policy_composition import agreement as agreement_module
from assay.systems.policy_composition import navigation, soft_q
from assay.systems.policy_composition.actions import box
from assay.systems.policy_composition.agents import load_agent
from assay.systems.policy_composition.agreement import agreement, learned_stack, orders
from assay.systems.policy_composition.indifference import IndifferenceSpace, PriorityStack
from assay.systems.policy_composition.learning import adapt, adapt_offline, learn
from assay.systems.policy_composition.rivals import RIVALS
from assay.systems.policy_composition.train import compose, solve_tasks

FEW = {"environment_steps": 3200, "updates": 10, "width": 16, "depth": 2, "seed": 1}
PAIR, SLACK = ["obstacle", "top"], 0.05


@pytest.fixture(scope="module")
def obstacle():
    return learn(task="obstacle", **FEW)


@pytest.fixture(scope="module")
def top():
    return learn(task="top", **FEW)


@pytest.fixture(scope="module")
def exact():
    policies = solve_tasks(tasks=PAIR, nodes=21, per_axis=5).policies
    return compose(policies, order=PAIR).composite


def measured(records, measure, **keys):
    (row,) = [r for r in records if r["measure"] == measure and keys.items() <= r.items()]
    return row["value"]


def weights(made):
    return {k: v.numpy() for k, v in load_agent(made.agent).network.state_dict().items()}


def same(one, other):
    return all(np.array_equal(v, weights(other)[k]) for k, v in weights(one).items())


def test_a_task_is_learnt_within_its_budget_and_repeats(obstacle):
    again, other = learn(task="obstacle", **FEW), learn(task="obstacle", **FEW | {"seed": 2})

    assert measured(obstacle.records, "environment_steps") == 3200
    assert obstacle.experience.rewards.size == 3200
    rewards = navigation.rewards(obstacle.experience.next_states.reshape(-1, 2))[:, 0]
    assert obstacle.experience.rewards.ravel() == pytest.approx(rewards)
    assert same(obstacle, again)
    assert not same(obstacle, other)
    assert obstacle.records == again.records
    of = load_agent(obstacle.agent).of
    assert (of.task, of.width, of.depth, of.trained["seed"]) == ("obstacle", 16, 2, 1)


def test_the_latest_strips_are_retained(obstacle):
    few = learn(task="obstacle", **FEW | {"retained": 70})

    assert few.experience.rewards.shape == (70, 25)
    assert np.array_equal(few.experience.states[:6, 0], obstacle.experience.states[58:64, 0])


def test_a_killed_step_goes_on_and_its_agent_and_records_are_the_same(obstacle, step, monkeypatch):
    whole_round, done, kill = soft_q._Learner.round, list[int](), [True]

    def watched(self, number):
        if number == 1 and kill:
            raise KeyboardInterrupt
        done.append(number)
        return whole_round(self, number)

    monkeypatch.setattr(soft_q, "CHECKPOINT_EVERY", 1)
    monkeypatch.setattr(soft_q._Learner, "round", watched)
    with pytest.raises(KeyboardInterrupt):
        step("killed", learn, task="obstacle", **FEW)
    kill.clear()
    again = step("killed", learn, task="obstacle", **FEW)

    assert done == [0, 1]
    assert same(obstacle, again)
    assert obstacle.records == again.records
    assert np.array_equal(obstacle.experience.states, again.experience.states)


def test_a_level_is_adapted_inside_those_above(obstacle):
    made = adapt([obstacle.agent], task="top", epsilon=SLACK, **FEW)
    states, actions = (a.reshape(-1, 2) for a in (made.experience.states, made.experience.actions))
    above = load_agent(obstacle.agent).level(SLACK, per_axis=9)

    assert above.mask(states, actions[:, None]).mean() > 0.999  # or of candidates, by rounding
    assert load_agent(made.agent).of.task == "top"
    met = navigation.collides(made.experience.next_states.reshape(-1, 2))
    assert measured(made.records, "exploration_collisions") == met.mean()
    with pytest.raises(ParameterError, match="no level above; expected at least one agent"):
        adapt([], task="top", **FEW)


def test_it_goes_on_from_an_agent_of_any_size(obstacle, top):
    made = adapt([obstacle.agent], top.agent, task="top", **FEW | {"width": 99})
    fresh = adapt([obstacle.agent], task="top", **FEW)

    assert load_agent(made.agent).of.width == 16
    assert not same(made, top)
    first = [next(iter(m.records))["value"] for m in (made, fresh)]
    assert first[0] != first[1]


def offline(obstacle, top, **given):
    return adapt_offline(
        [obstacle.agent], top.experience, task=given.pop("task", "top"), epsilon=SLACK,
        rounds=2, updates=10, width=16, depth=2, seed=1, **given,
    )  # fmt: skip


def test_without_practice_exactly_the_transitions_that_a_level_above_forbids_are_removed(
    obstacle, top
):
    made, all_kept = offline(obstacle, top), offline(obstacle, top, filtered=False)
    states, actions = (a.reshape(-1, 2) for a in (top.experience.states, top.experience.actions))
    above = load_agent(obstacle.agent).level(SLACK, per_axis=9)
    allowed = above.mask(states, actions[:, None])[:, 0]

    assert 0 < allowed.mean() < 1
    assert np.array_equal(made.experience.kept.ravel(), allowed)
    assert measured(made.records, "kept_share") == allowed.mean()
    assert measured(all_kept.records, "kept_share") == 1.0
    assert measured(made.records, "environment_steps") == 0
    unknown = np.isinf(all_kept.experience.log_density).ravel()
    assert np.array_equal(unknown, ~allowed)
    removed = measured(made.records, "forbidden_transitions", level="obstacle")
    assert removed == (~allowed).sum()


def test_coverage_is_of_cells_outside_the_obstacle_that_hold_an_allowed_transition(obstacle, top):
    made = offline(obstacle, top)
    states = top.experience.states.reshape(-1, 2)[made.experience.kept.ravel()]
    have = {tuple(cell) for cell in np.floor(states).astype(int)}
    asked = [(x / 2, y / 2) for x in range(-20, 21) for y in range(-20, 21)]
    clear = [p for p in asked if not navigation.collides(np.array([p]))[0]]
    found = [tuple(min(int(np.floor(c)), 9) for c in p) in have for p in clear]

    assert measured(made.records, "covered_states") == pytest.approx(np.mean(found))
    assert 0 < measured(made.records, "covered_actions") < measured(made.records, "covered_states")


def test_retained_transitions_serve_another_task(obstacle, top):
    made = offline(obstacle, top, task="side")

    side = navigation.rewards(top.experience.next_states.reshape(-1, 2))[:, 2]
    assert np.array_equal(made.experience.rewards.ravel(), side)


def stacked(exact, levels=None, **given):
    """Agreement with the oracle of a stack that is given instead of loaded."""
    stack = PriorityStack(levels or exact.stack().levels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agreement_module, "learned_stack", lambda *given: stack)
        return agreement([], exact, starts=20, steps=30, judged=200, seed=3, **given).records


def test_the_oracle_agrees_with_itself(exact):
    records = stacked(exact)

    assert measured(records, "mask_iou") == measured(records, "mask_iou_at_edges") == 1.0
    assert measured(records, "violation_rate") == measured(records, "forbidden_actions") == 0.0
    assert measured(records, "judged") == 200
    for level in PAIR:
        assert measured(records, "value_difference", level=level) == 0.0
        assert measured(records, "advantage_difference", level=level) == 0.0


def test_what_is_off_by_a_constant_is_only_worth_another_value(exact):
    first, second = exact.stack().levels
    off = IndifferenceSpace(lambda s, a: second.q(s, a) - 3.0, 1.0, second.actions, "top")
    records = stacked(exact, [first, off])

    assert measured(records, "value_difference", level="top") == pytest.approx(3.0)
    assert measured(records, "advantage_difference", level="top") == pytest.approx(0.0, abs=1e-9)
    assert measured(records, "mask_iou") == 1.0


def test_a_stack_that_allows_everything_violates_and_shares_what_the_oracle_leaves(exact):
    first, second = exact.stack().levels
    lax = IndifferenceSpace(first.q, 1e6, first.actions, "obstacle")
    records = stacked(exact, [lax, second])

    assert measured(records, "violation_rate") > 0
    assert measured(records, "forbidden_actions") == 0
    assert measured(records, "mask_iou_at_edges") < measured(records, "mask_iou") < 1
    narrow = IndifferenceSpace(first.q, 0.0, first.actions, "obstacle")
    assert measured(stacked(exact, [narrow, second]), "violation_rate") == 0


def test_the_iou_is_the_share_the_oracle_leaves_if_all_is_allowed(exact):
    stack = exact.stack()
    lax = IndifferenceSpace(stack.levels[0].q, 1e6, stack.actions, "obstacle")
    records = agreement_module.Records()
    states = exact.world.points
    after = navigation.move(states, np.zeros((len(states), 2)))
    agreement_module._compare(records, PriorityStack([lax, stack.levels[1]]), stack, states, after)

    assert measured(records, "mask_iou") == pytest.approx(stack.volume(states).mean())


def test_learned_agents_are_compared_level_by_level(obstacle, top, exact):
    one = agreement([obstacle.agent, top.agent], exact, starts=10, steps=20, judged=100, seed=3)
    again = agreement([obstacle.agent, top.agent], exact, starts=10, steps=20, judged=100, seed=3)

    assert one.records == again.records
    assert measured(one.records, "forbidden_actions") == 0
    assert 0 < measured(one.records, "mask_iou") <= 1
    assert measured(one.records, "value_difference", level="top") > 0
    assert one.shown.share.shape == (21, 21)
    assert one.shown.paths.shape == (10, 21, 2)
    with pytest.raises(ParameterError, match=r"agents for \['top', 'obstacle'\]; expected"):
        agreement([top.agent, obstacle.agent], exact, seed=3)
    with pytest.raises(ParameterError, match="a stack without a level"):
        learned_stack([], 1.0, 5)


def test_the_share_left_is_that_of_the_grid(exact):
    share = measured(stacked(exact), "allowed_share")

    assert share == pytest.approx(exact.stack().volume(exact.world.points).mean())


@pytest.mark.parametrize("method", RIVALS)
def test_without_an_order_nothing_is_forbidden_and_the_exact_mask_still_judges(exact, method):
    records = stacked(exact, method=method)

    assert measured(records, "allowed_share") == 1.0
    assert not [r for r in records if r["measure"] in ("mask_iou", "forbidden_actions")]
    assert 0 <= measured(records, "violation_rate") < 1
    assert measured(records, "judged") == 200


def test_a_rival_is_put_together_by_its_weight_and_its_distance(exact):
    """Of weight 0, nearly, a sum is the top alone; within 99 of it the obstacle's level acts."""
    first, second = exact.stack().levels
    top = stacked(exact, [first, second], method="sum of values", weight=1e-9)
    lax = IndifferenceSpace(first.q, 1e6, first.actions, "obstacle")
    alone = stacked(exact, [lax, second])
    swapped = IndifferenceSpace(second.q, 1e6, first.actions, "obstacle")
    obstacle = IndifferenceSpace(first.q, 1.0, first.actions, "top")
    near = stacked(exact, [first, second], method="switch by distance", distance=99.0)
    safe = stacked(exact, [swapped, obstacle])

    for one, other in ((top, alone), (near, safe)):
        for task in PAIR:
            assert measured(one, "return", task=task) == measured(other, "return", task=task)
    assert measured(top, "violation_rate") == measured(alone, "violation_rate") > 0


def given_orders(levels, **given):
    """What `orders` says of levels that are given instead of loaded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agreement_module, "learned_stack", lambda *_: PriorityStack(levels))
        return orders([None] * 3, nodes=5, per_axis=3, **given)


def test_orders_of_lower_levels_leave_the_first_mask_and_change_the_second(exact):
    """Of the cross that the first leaves, right above up leaves the right arm, up the upper."""
    actions = box([-1.0, -1.0], [1.0, 1.0], 3)
    lower = [
        IndifferenceSpace(lambda s, a, axis=axis: 4.0 * a[..., axis], 1.0, actions, str(axis))
        for axis in (0, 1)
    ]
    inner = IndifferenceSpace(lambda s, a: -np.abs(a).sum(axis=2), 1.0, actions, "inner")
    found = given_orders([inner, *lower])

    assert measured(found, "first_mask_difference") == 0.0
    assert measured(found, "scaled_mask_difference") == 0.0
    assert measured(found, "second_mask_difference") == pytest.approx(2 / 9)
    alike = given_orders([inner, lower[0], lower[0]])
    assert measured(alike, "second_mask_difference") == 0.0


def test_orders_of_learned_levels_are_asked_of_three(obstacle, top):
    found = orders([obstacle.agent, top.agent, top.agent], nodes=5, per_axis=3)

    assert [r["value"] for r in found] == [0.0, 0.0, 0.0]
    with pytest.raises(ParameterError, match="2 agents; expected three"):
        orders([obstacle.agent, top.agent])
