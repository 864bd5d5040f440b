"""The oracle of point navigation: exact cases, and numbers of another implementation.

`TABLE` was measured once by an independent prototype in plain numpy (81 x 81 states, 17 x 17
actions, 300 starts, 100 steps, action values of the nearest node): collisions, ends at the top,
returns of obstacle and top. Rates are compared within four standard errors of two samples of
300 starts.
"""

import numpy as np
import pytest

from assay.errors import ParameterError
from assay.systems.policy_composition import navigation
from assay.systems.policy_composition.indifference import IndifferenceSpace, PriorityStack
from assay.systems.policy_composition.oracle import (
    GridValue,
    World,
    error_bound,
    exact,
    joint_mask,
    prioritised,
    rollouts,
    summed,
    weights_of,
)
from assay.systems.policy_composition.study import POLICIES
from assay.systems.policy_composition.train import compose, solve_tasks

SMALL = World(nodes=21, per_axis=5)
OBSTACLE, TOP = weights_of({"obstacle": 1.0}), weights_of({"top": 1.0})


@pytest.fixture(scope="module")
def alone():
    return {task: exact(SMALL, weights_of({task: 1.0}))[0] for task in ("obstacle", "top", "side")}


def test_a_policy_without_later_rewards_is_greedy_for_the_next_state():
    """With a discount of 0 an action is worth its reward, and a state log mean exp of these."""
    world = World(nodes=5, per_axis=3, discount=0.0)
    value, _ = exact(world, TOP)
    ends = navigation.move(
        np.repeat(world.points, 9, axis=0), np.tile(world.actions.candidates, (25, 1))
    )
    rewards = navigation.rewards(ends)[:, 1].reshape(25, 9)

    assert value.values.ravel() == pytest.approx(np.log(np.exp(rewards).mean(axis=1)))


def test_top_and_side_are_mirror_images(alone):
    assert alone["top"].values == pytest.approx(alone["side"].values.T, abs=0.02)


def test_the_obstacle_looks_the_same_from_left_and_right(alone):
    values = alone["obstacle"].values

    assert values == pytest.approx(values[:, ::-1], abs=0.02)


def test_restricting_actions_lowers_the_value(alone):
    level = alone["obstacle"].level(0.5, "obstacle")
    inside, _ = exact(SMALL, TOP, above=[level])

    assert (inside.values <= alone["top"].values + 0.02).all()
    assert (inside.values < alone["top"].values - 1).any()


def test_with_unlimited_slack_the_adapted_policy_is_the_one_alone(alone):
    values, solutions = prioritised(SMALL, ["obstacle", "top"], [1e9, 0.0], alone["obstacle"])

    assert len(solutions) == 1
    assert values[1].values == pytest.approx(alone["top"].values, abs=0.02)


def test_an_adapted_level_is_the_fixed_point_of_its_own_backup(alone):
    level = alone["obstacle"].level(1.0, "obstacle")
    inside, solution = exact(SMALL, TOP, above=[level])
    actions = np.broadcast_to(SMALL.actions.candidates, (len(SMALL.points), 25, 2))
    q = np.where(joint_mask([level], SMALL.points), inside(SMALL.points, actions), -np.inf)
    again = np.log(np.exp(q).mean(axis=1))

    assert np.abs(again - inside.values.ravel()).max() == pytest.approx(solution.residual, rel=1e-6)


def test_a_sum_of_values_is_the_sum(alone):
    states = np.random.default_rng(0).uniform(-10, 10, (50, 2))
    actions = np.broadcast_to(SMALL.actions.candidates, (50, 25, 2))
    parts = [alone["obstacle"], alone["top"]]

    assert summed(parts)(states, actions) == pytest.approx(sum(p(states, actions) for p in parts))


def test_a_sum_of_values_is_refused_where_collisions_end_the_episode():
    world = World(nodes=5, per_axis=3, ends_on_collision=True)

    with pytest.raises(ParameterError, match="sum of values"):
        summed([GridValue(world, OBSTACLE, np.zeros((5, 5)))] * 2)


def test_the_nearest_node_answers_for_its_cell(alone):
    rounded = GridValue(World(nodes=21, per_axis=5, nearest=True), TOP, alone["top"].values)
    states = np.array([[0.4, 6.6], [-0.4, 7.4], [-9.6, -9.7]])
    actions = np.broadcast_to(SMALL.actions.candidates, (3, 25, 2))
    nodes = np.array([[0.0, 7.0], [0.0, 7.0], [-10.0, -10.0]])

    assert (rounded(states, actions) == alone["top"](nodes, actions)).all()


@pytest.mark.parametrize("nodes", [21, 31])
def test_a_policy_lies_on_the_very_nodes_it_was_computed_for(nodes):
    """Rounded to its nearest node, a node of the grid is itself to the last digit."""
    world = World(nodes=nodes, per_axis=3, nearest=True)
    values = np.random.default_rng(0).normal(size=(nodes, nodes))
    plain = GridValue(World(nodes=nodes, per_axis=3), OBSTACLE, values)
    actions = np.broadcast_to(world.actions.candidates, (nodes**2, 9, 2))
    found = GridValue(world, OBSTACLE, values)(world.points, actions)

    assert (found == plain(world.points, actions)).all()


def test_the_bound_through_the_look_ahead_is_the_solvers_own_and_sees_what_is_off(alone):
    level = alone["obstacle"].level(1.0, "obstacle")
    inside, solution = exact(SMALL, TOP, above=[level])
    off = GridValue(SMALL, TOP, inside.values + np.eye(21))

    assert error_bound(inside, [level]) == pytest.approx(solution.error_bound, abs=1e-9)
    assert error_bound(inside) > 1
    assert error_bound(off, [level]) > 10


def test_noise_lowers_what_the_obstacle_allows():
    still, _ = exact(SMALL, OBSTACLE)
    noisy, _ = exact(World(nodes=21, per_axis=5, sigma=0.5), OBSTACLE)

    assert noisy.values.mean() < still.values.mean()


def everything(policy):
    """A policy whose every action is equally good."""
    flat = IndifferenceSpace(lambda s, a: np.zeros(a.shape[:2]), 0.0, SMALL.actions, "any")
    return PriorityStack([policy.level(1.0, "obstacle"), flat])


def test_rollouts_add_up_what_their_paths_say(alone):
    begin = navigation.starts(20, np.random.default_rng(0))
    made = rollouts(everything(alone["obstacle"]), begin, np.random.default_rng(1), steps=7)
    each = np.stack([navigation.rewards(made.paths[:, t]) for t in range(1, 8)])

    assert made.paths.shape == (20, 8, 2)
    assert (made.paths[:, 0] == begin).all()
    assert made.returns == pytest.approx(each.sum(axis=0))
    lengths = np.linalg.norm(np.diff(made.paths, axis=1), axis=2)
    assert lengths.max() <= 1 + 1e-12
    assert (made.arrived[:, 1] == (made.paths[:, -1, 1] >= 7)).all()
    assert not made.arrived[:, 0].any()


def test_rollouts_repeat_and_differ_by_seed(alone):
    begin = navigation.starts(20, np.random.default_rng(0))
    stack = everything(alone["obstacle"])
    one, same, other = (
        rollouts(stack, begin, np.random.default_rng(s), steps=5, sigma=0.1).paths
        for s in (1, 1, 2)
    )

    assert (one == same).all()
    assert (one != other).any()


def test_collisions_count_wherever_they_happen_on_the_way():
    """A policy that marches through the right leg of the U ends outside it."""
    right = IndifferenceSpace(lambda s, a: a[..., 0] - abs(a[..., 1]), 0.0, SMALL.actions)
    begin = np.array([[0.0, 0.0], [0.0, 8.0]])
    made = rollouts(PriorityStack([right]), begin, np.random.default_rng(0), steps=9, greedy=True)

    assert made.collided.tolist() == [True, False]
    assert not navigation.collides(made.paths[:, -1]).any()


def test_epsilon_one_forbids_every_move_into_the_obstacle(alone):
    states = np.random.default_rng(0).uniform(-10, 10, (3000, 2))
    states = states[~navigation.collides(states)]
    mask = alone["obstacle"].level(1.0, "obstacle").mask(states)
    each = np.repeat(states, 25, axis=0)
    ends = navigation.move(each, np.tile(SMALL.actions.candidates, (len(states), 1)))
    hits = navigation.collides(ends).reshape(mask.shape)

    assert hits.any()
    assert not (mask & hits).any()


def test_unknown_tasks_and_worlds_are_refused():
    with pytest.raises(ParameterError, match="no task 'tpo'"):
        weights_of({"tpo": 1.0})
    with pytest.raises(ParameterError, match="grid of 2 nodes"):
        World(nodes=2)
    with pytest.raises(ParameterError, match=r"noise of -1"):
        World(sigma=-1)
    with pytest.raises(ParameterError, match="1 epsilons for 2 tasks; expected one per task"):
        prioritised(SMALL, ["obstacle", "top"], [1.0])


def test_a_model_that_would_fill_the_memory_is_refused_before_it_is_made():
    with pytest.raises(ParameterError, match=r"a model of 35.* GiB, .*expected at most 4 GiB"):
        World(nodes=401, per_axis=65)
    made = navigation.grid_transitions(
        9, World(per_axis=3).actions.candidates, weights=TOP, ends=False,
        noise=navigation.gaussian_nodes(0.5),
    )  # fmt: skip
    assert World(nodes=9, per_axis=3, sigma=0.5).model_bytes == sum(part.nbytes for part in made)


TABLE = {
    "top alone": (0.873, 0.997, -44.8, -12.8),
    "obstacle alone": (0.0, 0.073, -2.9, -93.9),
    "sum of values": (0.227, 0.177, -46.2, -84.0),
    "sum of rewards, 0.1": (0.843, 0.997, -29.8, -11.8),
    "sum of rewards, 1": (0.693, 0.997, -19.7, -12.8),
    "sum of rewards, 10": (0.0, 1.0, -0.7, -40.5),
    "zero-shot": (0.0, 0.200, -3.6, -83.3),
    "adapted": (0.0, 1.0, -1.5, -36.8),
    "adapted, three levels": (0.0, 1.0, -1.5, -26.1),
}
BY_EPSILON = [
    (0.1, "zero-shot", 0.188, 0.0, 0.150),
    (0.1, "adapted", 0.188, 0.0, 0.167),
    (0.63, "zero-shot", 0.553, 0.0, 0.277),
    (0.63, "adapted", 0.553, 0.0, 1.0),
    (1.0, "zero-shot", 0.641, 0.0, 0.200),
    (10.0, "zero-shot", 0.886, 0.787, 0.180),
    (10.0, "adapted", 0.886, 0.123, 0.997),
    (100.0, "zero-shot", 1.0, 0.873, 0.997),
]
"""The same prototype: epsilon, method, share of actions allowed, collisions, ends at the top."""


def off(known, found):
    """Whether two rates of 300 starts differ by more than four standard errors."""
    p = (known + found) / 2
    return abs(found - known) > 4 * np.sqrt(2 * p * (1 - p) / 300) + 0.01


@pytest.fixture(scope="module")
def policies():
    return solve_tasks(tasks=["obstacle", "top", "side"]).policies


BEGIN = navigation.starts(300, np.random.default_rng(0))


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE)
def test_a_policy_does_what_another_implementation_did(policies, name):
    collided, top, *returns = TABLE[name]
    stack = compose(policies, **POLICIES[name], nearest=True).composite.stack()
    made = rollouts(stack, BEGIN, np.random.default_rng(1))

    assert not off(collided, made.collided.mean()), made.collided.mean()
    assert not off(top, made.arrived[:, 1].mean()), made.arrived[:, 1].mean()
    for known, found in zip(returns, made.returns.T, strict=False):
        assert found.mean() == pytest.approx(known, abs=4 * np.sqrt(2 / 300) * found.std() + 0.5)


@pytest.mark.slow
@pytest.mark.parametrize(("epsilon", "method", "share", "collided", "top"), BY_EPSILON)
def test_an_epsilon_does_what_another_implementation_found(
    policies, epsilon, method, share, collided, top
):
    made = compose(
        policies, order=["obstacle", "top"], method=method, epsilon=epsilon, nearest=True
    )
    stack = made.composite.stack()
    found = rollouts(stack, BEGIN, np.random.default_rng(1))

    assert stack.volume(policies.world.points).mean() == pytest.approx(share, abs=0.01)
    assert not off(collided, found.collided.mean()), found.collided.mean()
    assert not off(top, found.arrived[:, 1].mean()), found.arrived[:, 1].mean()
