"""Levels put together without an order: sums, switches, distances, by hand."""

import numpy as np
import pytest

from assay.errors import ParameterError
from assay.systems.policy_composition import navigation
from assay.systems.policy_composition.actions import box
from assay.systems.policy_composition.indifference import IndifferenceSpace, PriorityStack
from assay.systems.policy_composition.oracle import World, exact, summed, weights_of
from assay.systems.policy_composition.rivals import RIVALS, chosen_by_value, distances, rival

PLANE = box([-1.0, -1.0], [1.0, 1.0], 3)


def level(q, name="level", epsilon=0.0):
    return IndifferenceSpace(q, epsilon, PLANE, name)


def across(states, actions):
    return states[:, :1] + actions[..., 0]


def up(states, actions):
    return 2.0 * actions[..., 1]


STATES = np.array([[-5.0, 0.0], [0.5, 0.0], [4.0, 0.0]])
SEEN = np.broadcast_to(PLANE.candidates, (3, 9, 2))


@pytest.mark.parametrize("weight", [0.5, 4.0])
def test_a_sum_counts_the_first_level_by_its_weight(weight):
    stack = rival([level(across), level(up), level(up)], "sum of values", weight=weight)

    assert stack.q(STATES) == pytest.approx(weight * across(STATES, SEEN) + 2 * up(STATES, SEEN))
    assert stack.volume(STATES).tolist() == [1.0, 1.0, 1.0]


def test_the_sum_of_exact_levels_is_the_exact_sum():
    world = World(nodes=11, per_axis=3)
    parts = [exact(world, weights_of({task: 1.0}))[0] for task in ("obstacle", "top")]
    stack = rival([part.level(1.0, "x") for part in parts], "sum of values")

    assert stack.q(world.points) == pytest.approx(summed(parts).level(0, "y").values(world.points))


def test_a_switch_by_value_acts_by_the_level_whose_best_is_worth_most():
    """The best of the first is x + 1, of the second 2: the first acts from x = 1 on."""
    levels = [level(across), level(up)]

    assert chosen_by_value(levels, STATES, weight=1.0).tolist() == [1, 1, 0]
    assert chosen_by_value(levels, STATES, weight=2.0).tolist() == [1, 0, 0]
    values = rival(levels, "switch by value").q(STATES)
    assert values[:2] == pytest.approx(up(STATES, SEEN)[:2])
    assert values[2] == pytest.approx(across(STATES, SEEN)[2])
    taken = rival(levels, "switch by value").sample(STATES, np.random.default_rng(0), greedy=True)
    assert taken[0, 1] == taken[1, 1] == taken[2, 0] == 1.0


def test_the_level_is_chosen_by_all_candidates_whatever_actions_are_asked_for():
    levels, asked = [level(across), level(up)], np.full((3, 1, 2), -1.0)
    (one,) = rival(levels, "switch by value").levels

    assert one.values(STATES, asked)[:, 0].tolist() == [-2.0, -2.0, 3.0]


def test_a_switch_by_distance_acts_by_the_first_level_near_the_obstacle_else_by_the_last():
    states = np.array([[0.0, 1.9], [0.0, 2.1], [0.0, 4.0], [9.0, 9.0]])
    levels = [level(across), level(lambda s, a: a[..., 0] * np.nan), level(up)]
    values = rival(levels, "switch by distance", distance=1.0).q(states)
    seen = np.broadcast_to(PLANE.candidates, (4, 9, 2))

    assert values[[1, 2]] == pytest.approx(across(states, seen)[[1, 2]])
    assert values[[0, 3]] == pytest.approx(up(states, seen)[[0, 3]])


def test_from_beyond_one_no_step_meets_the_obstacle():
    """So a switch within 1 leaves every collision to the first level."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-10, 10, (4000, 2))
    points = points[distances(points) > 1.0]
    landed = navigation.move(points, rng.uniform(-1, 1, points.shape))

    assert len(points) > 1000
    assert not navigation.collides(landed).any()


def test_distances_are_those_of_the_rewards():
    """The reward of the obstacle is -exp(-d^2 / 2) outside it."""
    points = np.random.default_rng(0).uniform(-8, 8, (500, 2))
    outside = ~navigation.collides(points)
    reward = navigation.rewards(points)[:, 0]

    assert (distances(points) == 0).tolist() == (~outside).tolist()
    assert np.exp(-0.5 * distances(points) ** 2)[outside] == pytest.approx(-reward[outside])


def test_what_is_no_composition_is_refused():
    with pytest.raises(ParameterError, match="no method 'average'; expected sum of values"):
        rival([level(up)] * 2, "average")
    for method in RIVALS:
        with pytest.raises(ParameterError, match="1 levels to put together; expected at least two"):
            rival([level(up)], method)
        assert isinstance(rival([level(up)] * 2, method), PriorityStack)
