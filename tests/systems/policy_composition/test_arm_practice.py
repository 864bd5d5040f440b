"""Soft Q-learning on arms: values against exact ones, masks, first poses, the schedule."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from assay.errors import ParameterError
from assay.systems.policy_composition import arm as world
from assay.systems.policy_composition import arm_practice
from assay.systems.policy_composition.arm import LIMIT, Arm
from assay.systems.policy_composition.arm_critic import ArmNetwork, arm_box, new_sampler
from assay.systems.policy_composition.arm_practice import (
    ArmSchedule,
    learn_on_arms,
    practice_poses,
    shortened,
)
from assay.systems.policy_composition.indifference import IndifferenceSpace

ONE = Arm((1.0,), ((-1.0, 0.5, 0.1),), (1.0, 0.0), (0.5,), spread=0.4, stride=0.6)
"""One joint, whose home is half a radian off the target's bearing."""
QUICK = ArmSchedule(
    rounds=25, arms=32, steps=8, episode=12, proposals=8, retained=256, replayed=64, updates=40,
    batch=128, stein_steps=10, stein_batch=16, learning_rate=1e-2, discount=0.6, temperature=0.5,
    explore=0.5, wide=1.2,
)  # fmt: skip
ASKED = np.linspace(-0.8, 1.8, 14)


def exact(*, forwards=False):
    """Values of having come to a pose, for the task posture, by iteration on a fine grid."""
    grid, turns = np.linspace(-LIMIT, LIMIT, 801), (np.arange(200) + 0.5) / 100 - 1
    ends = np.clip(grid[:, None] + ONE.stride * turns, -LIMIT, LIMIT)
    counts = turns >= 0.0 if forwards else np.ones(200, bool)
    rewards, worth = -((grid - 0.5) ** 2), np.zeros(801)
    for _ in range(60):
        ahead = np.interp(ends, grid, worth) / 0.5
        soft = 0.5 * np.log((np.exp(ahead) * counts).mean(axis=1))
        worth = rewards + 0.6 * soft
    return np.interp(ASKED, grid, worth)


def learnt(*, sampler=None, above=(), schedule=QUICK):
    torch.manual_seed(0)
    network = ArmNetwork(ONE, width=24)
    rounds = learn_on_arms(schedule, ONE, "posture", network, 3, sampler=sampler, above=above)
    with torch.no_grad():
        return network.of_poses(torch.tensor(ASKED[:, None], dtype=torch.float32)).numpy(), rounds


@pytest.mark.parametrize("kind", ["uniform", "sampler"])
def test_values_are_the_exact_ones_whatever_proposals_they_come_from(kind):
    torch.manual_seed(1)
    sampler = new_sampler(ONE) if kind == "sampler" else None
    found, rounds = learnt(sampler=sampler)

    assert np.abs(found - exact()).mean() < 0.1
    assert np.isfinite([r.stein for r in rounds]).all() == (kind == "sampler")


def test_inside_a_level_values_are_those_of_what_it_allows_here_and_later():
    """A level that allows turns forwards only; backing up costs, which the values know of."""
    ahead = IndifferenceSpace(lambda s, a: np.minimum(a[..., 0], 0.0), 0.0, arm_box(ONE))
    found, _ = learnt(above=[ahead])
    expected = exact(forwards=True)

    assert np.abs(expected - exact()).mean() > 0.4
    assert np.abs(found - expected).mean() < 0.15


def test_the_same_seed_learns_the_same_and_rounds_are_told():
    few, told = replace(QUICK, rounds=2, updates=3), list[int]()

    def once(seed):
        torch.manual_seed(0)
        network = ArmNetwork(ONE, width=4)
        made = learn_on_arms(few, ONE, "reach", network, seed, progress=told.append)
        return network.layers[0].weight.detach().numpy().copy(), made

    one, same, other = once(1), once(1), once(2)
    assert told == [1, 2] * 3
    assert [r.steps for r in one[1]] == [256, 512]
    assert one[1][0].loss == same[1][0].loss
    assert (one[0] == same[0]).all()
    assert (one[0] != other[0]).any()


def test_touches_of_practice_are_counted(monkeypatch):
    arm, ends, plain = Arm(), list[np.ndarray](), arm_practice.joined

    def spied(parts):
        given = list(parts)
        ends.append(given[-1].next_states.reshape(-1, 7))
        return plain(given)

    monkeypatch.setattr(arm_practice, "joined", spied)
    few = replace(QUICK, rounds=2, updates=1)
    rounds = learn_on_arms(few, arm, "avoid", ArmNetwork(arm, 4), 0, clear=False)
    inside = [(world.gaps(arm, poses).gaps <= 0).any(axis=(1, 2)).mean() for poses in ends]

    assert [r.touched for r in rounds] == inside
    assert 0 < min(inside)


def test_first_poses_of_practice_are_those_of_episodes_and_wide_ones():
    arm, count = Arm(), 4000
    some = replace(QUICK, far=0.0)
    near = practice_poses(arm, count, np.random.default_rng(0), some, clear=False)
    far = practice_poses(arm, count, np.random.default_rng(0), replace(some, far=1.0), clear=False)
    end = world.joints(arm, np.array([arm.home]))[0, -1]
    turn = np.arctan2(0.5, 0.45) - np.arctan2(end[1], end[0])

    assert near.mean(axis=0) == pytest.approx(arm.home, abs=0.01)
    assert near.std(axis=0) == pytest.approx([0.1] * 7, rel=0.06)
    assert far[:, 0].mean() == pytest.approx(-1.2 + 2 / 3 * turn, abs=0.05)
    assert far[:, 1:].mean(axis=0) == pytest.approx([0.2] * 6, abs=0.06)
    assert far[:, 1:].std() == pytest.approx(1.2 / 3**0.5, rel=0.05)  # of a spread from 0 to 1.2


def test_first_poses_touch_nothing_where_they_must_not():
    arm, rng = Arm(), np.random.default_rng(0)
    assert world.touches(arm, practice_poses(arm, 500, rng, QUICK, clear=False)).any()
    assert not world.touches(arm, practice_poses(arm, 500, rng, QUICK, clear=True)).any()


def test_a_budget_pays_for_whole_rounds_and_for_one_at_least():
    assert shortened(QUICK, 1000).rounds == 3
    assert shortened(QUICK, 1).rounds == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"rounds": 0}, "rounds is 0"), ({"far": 1.5}, "far is 1.5"),
     ({"temperature": 0.0}, "temperature is 0"), ({"wide": np.inf}, "wide is inf")],
)  # fmt: skip
def test_a_schedule_that_is_none_is_refused(wrong, said):
    with pytest.raises(ParameterError, match=said):
        ArmSchedule(**wrong)


def test_a_task_that_is_none_is_refused():
    with pytest.raises(ParameterError, match="no task 'top'; expected avoid, reach, posture"):
        learn_on_arms(QUICK, ONE, "top", ArmNetwork(ONE, 4), 0)
