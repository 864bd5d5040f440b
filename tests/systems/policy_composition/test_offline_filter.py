"""The filter on retained transitions, against tables and the oracle; what is left of the states."""

import itertools

import numpy as np
import pytest

from assay.errors import DataError, ParameterError
from assay.systems.policy_composition import navigation
from assay.systems.policy_composition.actions import discrete
from assay.systems.policy_composition.critics import from_table
from assay.systems.policy_composition.datasets import Transitions
from assay.systems.policy_composition.gridworld import GridWorld, lexicographic
from assay.systems.policy_composition.indifference import IndifferenceSpace, PriorityStack
from assay.systems.policy_composition.offline_filter import (
    box_cells,
    coverage,
    filter_transitions,
)
from assay.systems.policy_composition.oracle import World, exact, prioritised, weights_of
from assay.systems.policy_composition.value_iteration import action_values, solve

WORLD = World(nodes=21, per_axis=5)


def single_steps(states, actions, next_states):
    """Transitions without neighbours, each an episode of its own."""
    count = len(states)
    return Transitions(
        states, actions, np.zeros((count, 1)), next_states, np.zeros(count, bool),
        np.ones(count, bool), np.arange(count),
    )  # fmt: skip


def of_tables(*tables, epsilon=1.0):
    return PriorityStack(
        [
            IndifferenceSpace(from_table(np.array(t)), epsilon, discrete(3), f"level {n}")
            for n, t in enumerate(tables, 1)
        ]
    )


def test_exactly_what_two_exact_levels_of_a_world_of_cells_forbid_is_dropped():
    """Every pair of a state and a move; what is allowed is worked out from the tables by hand."""
    world = GridWorld()
    pairs = np.array(list(itertools.product(range(len(world.cells)), range(5))))
    data = single_steps(pairs[:, 0], pairs[:, 1], world.destinations[pairs[:, 0], pairs[:, 1]])
    found = filter_transitions(PriorityStack(lexicographic(world, ("hazard", "mud", "goal"))), data)

    def table(reward, allowed):
        model = world.model(reward)
        values = solve(model, temperature=0.0, allowed=allowed, tolerance=1e-10).values
        return action_values(model, values, 0.99)

    hazard = table("hazard", np.ones((30, 5), bool))
    first = hazard >= hazard.max(axis=1, keepdims=True) - 1e-6
    mud = table("mud", first)
    second = first & (mud >= np.where(first, mud, -np.inf).max(axis=1, keepdims=True) - 1e-6)
    assert (found.allowed == second[pairs[:, 0], pairs[:, 1]]).all()
    assert found.forbidden_by == {"hazard": (~first).sum(), "mud": (first & ~second).sum()}
    assert min(found.forbidden_by.values()) > 0
    assert found.share == second.mean()


@pytest.fixture(scope="module")
def walked():
    """Steps anywhere in the square by actions of any length up to the corners of the box."""
    rng = np.random.default_rng(0)
    states = navigation.starts(9000, rng, clear=False)
    actions = rng.uniform(-1, 1, (9000, 2))
    return single_steps(states, actions, navigation.move(states, actions))


def test_exactly_what_the_oracle_forbids_is_dropped(walked):
    obstacle, _ = exact(WORLD, weights_of({"obstacle": 1.0}))
    top, _ = exact(WORLD, weights_of({"top": 1.0}))
    stack = PriorityStack([obstacle.level(1.0, "obstacle"), top.level(1.0, "top")])
    found = filter_transitions(stack, walked)
    worth = obstacle(walked.states, walked.actions[:, None])[:, 0]
    each = np.broadcast_to(WORLD.actions.candidates, (9000, 25, 2))
    best = obstacle(walked.states, each).max(axis=1)

    assert (found.allowed == (worth >= best - 1.0)).all()
    assert 0.05 < found.share < 0.95
    assert (found.kept.states == walked.states[found.allowed]).all()
    assert (found.kept.actions == walked.actions[found.allowed]).all()
    assert found.forbidden_by == {"obstacle": (~found.allowed).sum()}


def test_what_is_kept_and_only_that_is_explained_as_allowed(walked):
    parts, _ = prioritised(WORLD, ["obstacle", "top", "side"], [1.0, 1.0, 1.0])
    stack = PriorityStack(
        [p.level(1.0, n) for p, n in zip(parts, ("obstacle", "top", "side"), strict=True)]
    )
    some = walked.kept(np.arange(9000) < 60)
    found = filter_transitions(stack, some)
    said = [stack.explain(s, a) for s, a in zip(some.states, some.actions, strict=True)]

    assert found.allowed.tolist() == [each.allowed for each in said]
    for name in ("obstacle", "top"):
        assert found.forbidden_by[name] == sum(each.forbidden_by == name for each in said) > 0


def test_a_level_alone_forbids_nothing(walked):
    top, _ = exact(WORLD, weights_of({"top": 1.0}))
    found = filter_transitions(PriorityStack([top.level(0.0, "top")]), walked)

    assert found.allowed.all()
    assert found.forbidden_by == {}


def test_where_the_end_of_an_episode_is_dropped_the_rest_counts_on():
    data = Transitions(
        np.array([0, 1, 2]), np.array([0, 0, 1]), np.zeros((3, 1)), np.array([1, 2, 3]),
        np.array([False, False, True]), np.zeros(3, bool), np.zeros(3, int),
    )  # fmt: skip
    stack = of_tables([[0.0, -5.0, -5.0]] * 4, [[0.0] * 3] * 4)

    assert filter_transitions(stack, data).kept.continues.tolist() == [1, 1]


def test_coverage_is_the_share_of_states_whose_allowed_actions_have_data():
    """Actions 0 and 1 are allowed in states 0 to 2, only 2 in state 3."""
    stack = of_tables([[0, -1, -9], [0, -1, -9], [0, -1, -9], [-9, -9, 0.0]], np.zeros((4, 3)))
    states, actions = np.array([0, 0, 0, 1, 2, 3]), np.array([0, 1, 2, 2, 1, 2])
    kept = filter_transitions(stack, single_steps(states, actions, states)).kept
    found = coverage(stack, kept, np.arange(4))

    assert found.covered.tolist() == [True, False, True, True]
    assert found.states == 0.75
    assert found.actions == pytest.approx((1 + 0 + 0.5 + 1) / 4)
    assert coverage(stack, kept, np.array([1, 1, 3])).states == pytest.approx(1 / 3)
    one = kept.kept(kept.states == 3)  # its action 2 counts for state 3 alone, though all share it
    shared = coverage(stack, one, np.arange(4), cell=lambda states: 0 * states)
    assert (shared.states, shared.actions) == (1.0, 0.25)
    assert coverage(stack, kept.kept(np.zeros(4, bool)), np.arange(4))[:2] == (0.0, 0.0)


def test_states_of_one_cell_share_their_data(walked):
    obstacle, _ = exact(WORLD, weights_of({"obstacle": 1.0}))
    stack = PriorityStack([obstacle.level(1.0, "obstacle"), obstacle.level(1.0, "below")])
    kept, cell = filter_transitions(stack, walked).kept, box_cells([-10, -10], [10, 10], 20)
    found = coverage(stack, kept, WORLD.points, cell=cell)
    whole = np.floor(np.clip(kept.states, -10, 9.999) + 10).astype(int)
    nodes = np.floor(np.clip(WORLD.points, -10, 9.999) + 10).astype(int)
    have = {tuple(row) for row in whole}
    expected = [tuple(row) in have for row in nodes]

    assert found.covered.tolist() == expected
    assert 0.2 < found.states < 1
    assert 0 < found.actions < found.states


def test_an_action_counts_for_the_candidate_that_is_nearest():
    obstacle, _ = exact(WORLD, weights_of({"obstacle": 1.0}))
    stack = PriorityStack([obstacle.level(1e9, "obstacle"), obstacle.level(0.0, "below")])
    far = np.zeros((2, 2))
    kept = single_steps(far, np.array([[0.3, -0.8], [0.6, -0.9]]), far)
    found = coverage(stack, kept, far[:1], cell=box_cells([-10, -10], [10, 10], 1))

    assert found.actions == pytest.approx(1 / 25)  # both are nearest to (0.5, -1)
    none = coverage(stack, kept.kept([False, False]), far[:1], cell=lambda states: states[:, 0])
    assert (none.states, none.actions) == (0.0, 0.0)


def test_what_does_not_fit_is_refused(walked):
    stack = of_tables(np.zeros((4, 3)), np.zeros((4, 3)))
    with pytest.raises(
        DataError, match=r"actions of shape \(2,\); expected \(\), as of 3 discrete"
    ):
        filter_transitions(stack, walked)
    wrong = single_steps(np.array([0, 1]), np.array([2, 3]), np.array([0, 1]))
    with pytest.raises(DataError, match="episode 1, step 0: an action 3; expected 3 discrete"):
        filter_transitions(stack, wrong)
    with pytest.raises(ParameterError, match="no states"):
        coverage(stack, wrong.kept([True, False]), np.arange(0))
    for corners in (([0], [0]), ([0], [1, 2]), ([], []), ([0.0], [np.inf])):
        with pytest.raises(ParameterError, match="finite corners"):
            box_cells(*corners, 3)
    with pytest.raises(ParameterError, match="1000 cells along 30 axes"):
        box_cells([0] * 30, [1] * 30, 1000)
