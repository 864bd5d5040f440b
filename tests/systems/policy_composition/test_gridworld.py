"""The world of cells: its exact lexicographic policy against all policies, and its model."""

import itertools

import numpy as np
import pytest

from assay.errors import DataError, ParameterError
from assay.systems.policy_composition.gridworld import (
    CROSSING,
    REWARDS,
    GridWorld,
    lexicographic,
)
from assay.systems.policy_composition.indifference import PriorityStack

TINY = GridWorld(("SH.", ".MG"))
"""Six cells: through the hazard, through the mud, or through both."""


def walk(world, order):
    """Visited cells of the greedy stack from the start."""
    stack, state, seen = PriorityStack(lexicographic(world, order)), world.start, list[int]()
    rng = np.random.default_rng(0)
    for _ in range(40):
        move = stack.sample(np.array([state]), rng, greedy=True)[0]
        state = int(world.destinations[state, move])
        seen.append(state)
        if world.cells[state] == "G":
            break
    return "".join(world.cells[seen])


def returns_of(world, policies, discount=0.9):
    """Discounted returns ``[policies, 3]`` from the start; each policy is a move per state."""
    states = np.full(len(policies), world.start)
    total, alive = np.zeros((len(policies), 3)), np.ones(len(policies))
    for step in range(250):
        moves = policies[np.arange(len(policies)), states]
        states = world.destinations[states, moves]
        total += (alive * discount**step)[:, None] * world.rewards(states)
        alive *= world.cells[states] != "G"
    return total


@pytest.mark.parametrize("order", list(itertools.permutations(REWARDS)), ids="-".join)
def test_the_stack_walks_the_lexicographically_best_of_all_policies(order):
    """Of the 5^5 policies that are deterministic; the goal is the last of the six cells."""
    every = np.array([(*p, 0) for p in itertools.product(range(5), repeat=5)])
    ranks = [REWARDS.index(r) for r in order]
    best = max(map(tuple, returns_of(TINY, every)[:, ranks].round(8)))
    stack = PriorityStack(lexicographic(TINY, order, discount=0.9))
    chosen = stack.sample(np.arange(6), np.random.default_rng(0), greedy=True)

    assert tuple(returns_of(TINY, chosen[None])[0, ranks].round(8)) == best


def test_the_order_decides_the_way():
    clean, quick = walk(GridWorld(), ("hazard", "mud", "goal")), walk(GridWorld(), ("goal",))

    assert clean.endswith("G")
    assert "M" not in clean
    assert "H" not in clean
    assert len(quick) <= len(clean)


def test_walls_and_borders_are_not_passed():
    world = GridWorld(("S#", ".G"))

    assert world.destinations[0].tolist() == [0, 0, 2, 0, 0]


def test_a_slip_takes_one_of_the_other_moves():
    model = GridWorld(slip=0.2).model("goal")

    assert model.chances[0].sum(axis=1) == pytest.approx(1.0)
    assert model.chances[0, 1].tolist() == pytest.approx([0.05, 0.8, 0.05, 0.05, 0.05])


def test_the_goal_ends_the_episode():
    world = GridWorld(("SG",))
    model = world.model("goal")

    assert model.chances[0, 1].tolist() == pytest.approx([1, 0, 1, 1, 1] * np.eye(5)[1])
    assert model.rewards[0].tolist() == [-1, 0, -1, -1, -1]
    assert not model.chances[1].any()


@pytest.mark.parametrize(
    ("rows", "said"),
    [(("S.", "G"), "row 2: 1 cells; expected 2"), (("Sx", ".G"), "row 1, column 2: a cell 'x'"),
     (("..", ".G"), "without a start"), (("SS", ".G"), "without a start"),
     (("S.",), "without a start or a goal")],
)  # fmt: skip
def test_a_map_that_is_none_is_refused(rows, said):
    with pytest.raises(DataError, match=said):
        GridWorld(rows)


def test_parameters_out_of_range_are_refused():
    with pytest.raises(ParameterError, match="slip"):
        GridWorld(slip=1.5)
    with pytest.raises(ParameterError, match="no reward 'coin'"):
        GridWorld().model("coin")


def test_the_map_that_comes_with_it_has_all_kinds_of_cells():
    assert set("".join(CROSSING)) == set("SGHM#.")


def test_epsilons_have_to_be_one_per_reward():
    with pytest.raises(ParameterError, match="2 epsilons for 3 rewards; expected one per reward"):
        lexicographic(GridWorld(), epsilons=(0.0, 0.0))
