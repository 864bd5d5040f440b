"""Lexicographic deep Q-learning against the exact lexicographic policy of the world of cells."""

import numpy as np
import pytest

from assay.errors import ParameterError
from assay.systems.policy_composition.actions import discrete
from assay.systems.policy_composition.critics import from_table
from assay.systems.policy_composition.gridworld import GridWorld, lexicographic
from assay.systems.policy_composition.indifference import IndifferenceSpace, PriorityStack
from assay.systems.policy_composition.lexicographic import (
    Learned,
    Learning,
    allowed_moves,
    learn_lexicographic,
)

TINY = GridWorld(("SH.", ".MG"))
TABLE = {"hidden": (), "learning_rate": 5e-2}


def greedy(stack, count):
    return stack.sample(np.arange(count), np.random.default_rng(0), greedy=True)


def walked(world, moves):
    """States from the start to the goal, at most forty."""
    seen = [world.start]
    while len(seen) < 40 and world.cells[seen[-1]] != "G":
        seen.append(int(world.destinations[seen[-1], moves[seen[-1]]]))
    return seen


@pytest.mark.parametrize("order", [("hazard", "mud", "goal"), ("hazard", "goal", "mud")])
def test_tables_come_to_the_exact_values_and_masks(order):
    world = GridWorld()
    made = learn_lexicographic(world, Learning(order, steps=14_000, **TABLE), seed=1)
    exact = lexicographic(world, order, (0.2,) * 3, discount=0.95)
    way = walked(world, greedy(PriorityStack(exact), 30))
    learned = walked(world, greedy(made.stack(), 30))
    values = np.stack([level.values(np.arange(30)) for level in exact])

    assert world.cells[way[-1]] == "G"
    assert world.rewards(learned).sum(axis=0).tolist() == world.rewards(way).sum(axis=0).tolist()
    assert made.values[:, way[:-1]] == pytest.approx(values[:, way[:-1]], abs=0.05)
    assert (made.stack().mask(way[:-1]) == PriorityStack(exact).mask(way[:-1])).all()


def test_lower_values_are_those_of_the_detour_that_higher_rewards_ask_for():
    """Six steps round the wall instead of two through the hazard."""
    world = GridWorld(("SHG", ".#.", "..."))
    learning = Learning(("hazard", "goal"), (0.2, 0.2), steps=8_000, **TABLE)
    made = learn_lexicographic(world, learning, seed=0)
    way = walked(world, greedy(made.stack(), 9))
    left = np.arange(6, 0, -1)  # of n steps to the goal all but the last cost one

    assert way == [0, 3, 6, 7, 8, 5, 2]
    assert made.values[1, way[1:-1], [2, 1, 1, 0, 0]] == pytest.approx(
        [-sum(0.95**k for k in range(n - 1)) for n in left[1:]], abs=0.05
    )


@pytest.mark.parametrize("order", [("hazard", "mud", "goal"), ("goal", "hazard", "mud")])
def test_networks_come_to_the_exact_policy(order):
    """In the first order nothing may be touched, so the goal is out of reach; not in the second."""
    learning = Learning(order, steps=6_400, hidden=(32,), learning_rate=5e-3)
    made = learn_lexicographic(TINY, learning, seed=0)
    exact = lexicographic(TINY, order, (0.2,) * 3, discount=0.95)
    way = walked(TINY, greedy(PriorityStack(exact), 6))
    free = TINY.cells != "G"

    seen = walked(TINY, greedy(made.stack(), 6))
    assert TINY.rewards(seen).sum(axis=0).tolist() == TINY.rewards(way).sum(axis=0).tolist()
    first = exact[0].values(np.arange(6))
    assert made.values[0][free] == pytest.approx(first[free], abs=0.15)


def test_in_a_slippery_world_tables_come_near_the_exact_values():
    world = GridWorld(("SH.", ".MG"), slip=0.3)
    made = learn_lexicographic(
        world, Learning(("goal", "hazard", "mud"), slacks=(0.0,) * 3, steps=12_000, **TABLE), seed=0
    )
    exact = lexicographic(world, ("goal", "hazard", "mud"), discount=0.95)[0]

    assert made.values[0, :5] == pytest.approx(exact.values(np.arange(5)), abs=0.3)
    assert np.ptp(exact.values(np.arange(5))) > 2  # so 0.3 tells


def test_above_a_ceiling_a_reward_is_content():
    """Up to -2 the hazard is never felt, and the goal is sought as if it were alone."""
    order, inf = ("hazard", "goal"), np.inf
    content, careful = (
        learn_lexicographic(
            TINY, Learning(order, (0.0, 0.0), (top, inf), steps=4_800, **TABLE), seed=0
        )
        for top in (-2.0, inf)
    )
    alone = lexicographic(TINY, ("goal",), discount=0.95)[0].values(np.arange(5))

    assert content.values[1, :5] == pytest.approx(alone, abs=0.05)
    assert content.stack().mask(np.arange(5)).all()
    assert not careful.stack().mask(np.array([0]))[0, 1]


def test_moves_are_allowed_as_a_stack_allows_them():
    rng = np.random.default_rng(0)
    values, slacks = rng.normal(size=(50, 4, 5)), np.array([0.5, 0.3, 1.0, 0.0])
    tops = np.array([0.8, np.inf, 0.0, -9.0])  # the last is not used
    masks = allowed_moves(values, slacks, tops)
    for depth in range(1, 5):
        levels = [
            IndifferenceSpace(from_table(np.minimum(values[:, k], tops[k])), slacks[k], discrete(5))
            for k in range(depth)
        ]
        assert (masks[:, depth - 1] == PriorityStack(levels).mask(np.arange(50))).all()
    assert (Learned(Learning(), values[:, :3].transpose(1, 0, 2), np.zeros((0, 3))).stack().q(
        np.arange(50)
    ) == np.where(allowed_moves(values[:, :3], np.full(3, 0.2), np.full(3, np.inf))[:, 2],
                  values[:, 2], -np.inf)).all()  # fmt: skip


def test_equal_seeds_give_equal_values_and_torchs_own_stream_is_left_alone():
    import torch

    learning = Learning(steps=400, hidden=(8,))
    before = torch.get_rng_state()
    made = [learn_lexicographic(TINY, learning, seed=seed).values for seed in (3, 3, 4)]

    assert (made[0] == made[1]).all()
    assert (made[0] != made[2]).any()
    assert (torch.get_rng_state() == before).all()


def test_returns_are_those_of_the_episodes_that_ended():
    """Where every step but the last costs one, an episode of n steps returns 1 - n."""
    corridor = GridWorld(("SG",))
    made = learn_lexicographic(corridor, Learning(("goal",), (0.0,), steps=1600, **TABLE), seed=0)
    cut = learn_lexicographic(
        GridWorld(("S#G",)), Learning(("goal",), (0.0,), steps=1600, episode_steps=10, **TABLE)
    )

    assert made.returns.shape[1] == 1
    assert set(np.unique(made.returns)) <= set(-np.arange(60.0))
    assert (-made.returns + 1).sum() == pytest.approx(1600, abs=16 * 20)
    assert (cut.returns == -10).all()
    assert len(cut.returns) == 160


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"order": ("coin",)}, "no reward 'coin'"), ({"order": ()}, "order: 0"),
     ({"slacks": (0.1,)}, "1 slacks for 3 rewards"), ({"ceilings": (0.1,)}, "1 ceilings for 3"),
     ({"slacks": (0.1, -0.1, 0.0)}, "expected 0 or more"), ({"steps": 0}, "steps: 0"),
     ({"ceilings": (0.0, np.nan, 0.0)}, "expected numbers"), ({"discount": 1.0}, "a discount of 1"),
     ({"explore": 2.0}, "an exploration of 2"), ({"hidden": (4, 0)}, "hidden layer 2: 0"),
     ({"learning_rate": 0.0}, "a learning rate of 0")],
)  # fmt: skip
def test_what_cannot_be_learned_with_is_refused(wrong, said):
    with pytest.raises(ParameterError, match=said):
        Learning(**wrong)
