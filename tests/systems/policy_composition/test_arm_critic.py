"""Critics of the arm, and proposals for its turns."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from assay.errors import ParameterError
from assay.systems.policy_composition import arm as world
from assay.systems.policy_composition.actions import box
from assay.systems.policy_composition.arm import LIMIT, Arm
from assay.systems.policy_composition.arm_critic import (
    ArmNetwork,
    arm_box,
    arm_level,
    critic_of,
    network_of,
    new_sampler,
    sampler_of,
)
from assay.systems.policy_composition.arm_proposals import Proposals, SamplerTraining
from assay.systems.policy_composition.indifference import IndifferenceSpace
from assay.systems.policy_composition.q_network import Quality
from assay.systems.policy_composition.sampler import ActionSampler

ARM = Arm()
TWO = Arm((0.6, 0.4), ((0.6, 0.5, 0.2),), (0.6, 0.0), (0.0, 0.0))
POSES = np.random.default_rng(0).uniform(-2, 2, (6, 7))
PLANE = box([-1.0] * 2, [1.0] * 2, 3)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return ArmNetwork(ARM, width=8)


def test_it_sees_angles_directions_and_where_links_end(network):
    seen = list[torch.Tensor]()
    network.layers.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    network.of_poses(torch.tensor(POSES, dtype=torch.float32))
    (found,) = seen
    turned, ends = np.cumsum(POSES, axis=1), world.joints(ARM, POSES)[:, 1:]
    expected = [POSES / np.pi, np.cos(turned), np.sin(turned), ends[..., 0], ends[..., 1]]

    assert found.numpy() == pytest.approx(np.concatenate(expected, axis=1), abs=1e-5)


def test_an_action_is_worth_what_the_pose_is_that_it_leads_to(network):
    actions = np.random.default_rng(1).uniform(-2, 2, (6, 3, 7))
    poses = POSES.copy()
    poses[0, 0] = LIMIT
    found = Quality(network)(poses, actions)
    for number in range(3):
        landed = world.move(ARM, poses, actions[:, number])
        there = network.of_poses(torch.tensor(landed, dtype=torch.float32)).detach().numpy()
        assert found[:, number] == pytest.approx(there, abs=1e-5)


def test_candidates_that_all_states_share_are_worth_the_same_one_by_one(network):
    level = IndifferenceSpace(Quality(network), 1.0, arm_box(ARM))
    each = np.repeat(level.actions.candidates[None], len(POSES), axis=0)

    assert level.values(POSES) == pytest.approx(level.values(POSES, each), abs=1e-5)
    assert level.actions.candidates.shape == (2**7 + 1, 7)
    assert not level.actions.candidates[-1].any()
    assert level.actions.same_space(box([-1] * 7, [1] * 7, 2))


def test_a_critic_is_its_networks_as_arrays_and_survives_the_store(network, tmp_path):
    from assay.core.artifacts import FORMATS, format_of
    from assay.systems.policy_composition.arm_agents import ArmCritic

    sampler = new_sampler(ARM)
    critic = critic_of(network, sampler, ARM, "reach", 8, 2, "corners")
    kind = FORMATS[format_of(critic)]
    kind.write(critic, tmp_path / "value")
    back = kind.read(tmp_path / "value", ArmCritic)
    given = torch.tensor(POSES, dtype=torch.float32)

    assert (back.arm, back.proposals) == (ARM, "corners")
    assert torch.equal(network_of(back).of_poses(given), network.of_poses(given))
    drawn = [s.draw(POSES, 3, np.random.default_rng(0)) for s in (sampler_of(back), sampler)]
    assert (drawn[0] == drawn[1]).all()
    assert sampler_of(critic_of(network, None, ARM, "reach", 8, 2, "corners")) is None
    level = arm_level(back, 0.3)
    assert (level.name, level.epsilon) == ("reach", 0.3)
    assert level.values(POSES).shape == (6, 129)


def test_arrays_are_copies(network):
    critic = critic_of(network, None, ARM, "reach", 8, 2, "corners")
    before = critic.weights["layers.0.bias"].copy()
    with torch.no_grad():
        network.layers[0].bias += 1.0
        network_of(critic).layers[0].bias += 1.0

    assert (critic.weights["layers.0.bias"] == before).all()


def forward(epsilon):
    """A level that wants the first joint to turn forwards: worth a_1."""
    return IndifferenceSpace(lambda s, a: a[..., 0], epsilon, arm_box(TWO), "forward")


@pytest.mark.parametrize("sampler", [None, ActionSampler(2, 2, width=4)])
def test_only_what_levels_above_allow_has_a_weight(sampler):
    offer = Proposals(arm_box(TWO), [forward(0.5)], 20, np.random.default_rng(0), sampler)
    found = offer(np.zeros((30, 2)))
    allowed = found.log_weights > -np.inf

    assert found.actions.shape == (30, 20, 2)
    assert (allowed == (found.actions[..., 0] >= 0.5)).all()
    assert allowed.any(axis=1).all()


def test_where_no_proposal_is_allowed_candidates_stand_in_for_their_share():
    """Of four corners and rest two turn forwards at full speed."""
    offer = Proposals(arm_box(TWO), [forward(0.0)], 9, np.random.default_rng(0))
    found = offer(np.zeros((40, 2)))

    assert (found.actions[..., 0] == 1.0).all()
    assert found.log_weights == pytest.approx(math.log(2 / 5))
    assert (found.actions[..., 1] == 1.0).mean() == pytest.approx(0.5, abs=0.12)


def test_weights_are_those_of_the_density_that_proposals_have():
    """The mean weight is the share of the box that is allowed: a quarter of it, or all."""
    torch.manual_seed(0)
    sampler, poses = ActionSampler(2, 2, width=4), np.zeros((2000, 2))
    for above, share in (([], 1.0), ([forward(0.5)], 0.25)):
        for each in (None, sampler):
            offer = Proposals(arm_box(TWO), above, 32, np.random.default_rng(0), each)
            found = np.exp(offer(poses).log_weights).mean()
            assert found == pytest.approx(share, rel=0.08)


def test_half_of_the_proposals_are_corners_where_that_is_asked():
    offer = Proposals(arm_box(TWO), [], 10, np.random.default_rng(0), corners=True)
    found = offer(np.zeros((200, 2)))
    corner = (np.abs(found.actions) == 1.0).all(axis=2)

    assert (corner == (np.arange(10) < 5)).all()
    assert found.actions[:, :5].mean() == pytest.approx(0, abs=0.08)
    assert not found.log_weights.any()


class Linear(nn.Module):
    """Worth so much times the number of one joint."""

    def __init__(self, slope, joint):
        super().__init__()
        self.slope, self.joint = slope, joint

    def forward(self, states, actions):
        return self.slope * actions[..., self.joint] + 0.0 * states[:, :1]


def test_a_sampler_is_taught_the_density_of_its_critic_inside_the_level_above():
    """Of a density in proportion to exp(5 a) on [-1, 1] the mean is coth 5 - 1 / 5."""
    torch.manual_seed(0)
    rng, sampler = np.random.default_rng(0), ActionSampler(2, 2, width=16)
    above = IndifferenceSpace(Quality(Linear(10.0, 1)), 10.0, PLANE)  # leaves a_2 >= 0
    training = SamplerTraining(
        sampler, Linear(2.5, 0), [above], temperature=0.5, particles=32, learning_rate=1e-2
    )
    training.steps(np.zeros((4, 2)), 250, 2, rng)
    found = sampler.draw(np.zeros((1, 2)), 2000, rng)[0]

    assert found[:, 0].mean() == pytest.approx(1 / math.tanh(5) - 0.2, abs=0.1)
    assert (found[:, 1] > 0).mean() > 0.8
    assert found[:, 1].mean() == pytest.approx(0.5, abs=0.15)


def test_a_level_without_a_network_cannot_teach_a_sampler():
    training = SamplerTraining(
        ActionSampler(2, 2, width=4), Linear(1.0, 0), [forward(0.5)], temperature=1.0
    )
    with pytest.raises(ParameterError, match="level 'forward' is no network"):
        training.steps(np.zeros((4, 2)), 1, 2, np.random.default_rng(0))
