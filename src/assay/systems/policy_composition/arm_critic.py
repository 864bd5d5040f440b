"""What turns of the joints are worth: a network that looks where they lead, and a level of it.

Notable in this file: a turn is known to lead to pose + stride x action, so the critic is a function
of the pose that an action leads to, and of nothing else. It is told how the arm bends, not where
discs and target are.
"""

import itertools
import math
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.systems.policy_composition.actions import ActionSet, box
from assay.systems.policy_composition.arm import LIMIT, Arm
from assay.systems.policy_composition.arm_agents import ArmCritic, ProposalKind
from assay.systems.policy_composition.indifference import IndifferenceSpace
from assay.systems.policy_composition.q_network import Quality
from assay.systems.policy_composition.sampler import ActionSampler

__all__ = [
    "ArmNetwork",
    "arm_box",
    "arm_level",
    "critic_of",
    "network_of",
    "new_sampler",
    "quality_of",
    "sampler_of",
]

PER_JOINT = 5
"""Features of a joint: its angle, cosine and sine of its link, where the link ends."""


class ArmNetwork(nn.Module):
    """Values of actions, by the pose they lead to; tanh layers.

    Args:
        arm: Whose links and stride it knows.
        width: Width of the layers.
        depth: How many, at least 1.
    """

    def __init__(self, arm: Arm, width: int = 64, depth: int = 2) -> None:
        super().__init__()
        self.stride = arm.stride
        self.register_buffer("lengths", torch.tensor(arm.lengths), persistent=False)
        sizes = [PER_JOINT * arm.count, *[width] * depth]
        layers = list[nn.Module]()
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.Tanh()]
        self.layers = nn.Sequential(*layers, nn.Linear(width, 1))

    def of_poses(self, poses: Float[Tensor, "*batch joints"]) -> Float[Tensor, "*batch"]:
        """What it is worth to have come to these poses."""
        turned, lengths = poses.cumsum(-1), self.get_buffer("lengths")
        across, up = turned.cos(), turned.sin()
        seen = poses / math.pi, across, up, (across * lengths).cumsum(-1), (up * lengths).cumsum(-1)
        return self.layers(torch.cat(seen, dim=-1))[..., 0]

    def forward(
        self,
        states: Float[Tensor, "batch joints"],
        actions: Float[Tensor, "some count joints"],
    ) -> Float[Tensor, "batch count"]:
        """Values of actions in states; actions of a batch of one are those of every state."""
        turns = self.stride * actions.clamp(-1.0, 1.0)
        return self.of_poses((states[:, None] + turns).clamp(-LIMIT, LIMIT))


def critic_of(
    network: ArmNetwork, sampler: ActionSampler | None, arm: Arm, task: str, width: int,
    depth: int, proposals: ProposalKind,
) -> ArmCritic:  # fmt: skip
    """Networks as arrays."""
    drawn = _arrays(sampler) if sampler else {}
    return ArmCritic(arm, task, width, depth, proposals, _arrays(network), drawn)


def _arrays(network: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in network.state_dict().items()}


def _tensors(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(value.copy()) for name, value in arrays.items()}


def network_of(critic: ArmCritic) -> ArmNetwork:
    """The network that arrays stand for."""
    network = ArmNetwork(critic.arm, critic.width, critic.depth)
    network.load_state_dict(_tensors(critic.weights))
    return network.eval()


def sampler_of(critic: ArmCritic) -> ActionSampler | None:
    """Its sampler, if it has one."""
    if not critic.sampler:
        return None
    sampler = new_sampler(critic.arm)
    sampler.load_state_dict(_tensors(critic.sampler))
    return sampler.eval()


def new_sampler(arm: Arm) -> ActionSampler:
    """A sampler of turns, untrained."""
    return ActionSampler(arm.count, arm.count)


def arm_box(arm: Arm) -> ActionSet:
    """The box of speeds; for it stand its corners and standing still.

    Values change little in a step, so that the best action lies in a corner or near it.
    """
    corners = box([-1.0] * arm.count, [1.0] * arm.count, 2)
    with_rest = np.concatenate([corners.candidates, np.zeros((1, arm.count))])
    return ActionSet(with_rest, corners.low, corners.high)


def quality_of(network: ArmNetwork) -> Quality:
    """The network as a level's values, arrays in and arrays out."""
    return Quality(cast("Any", network))  # takes states and actions as a QNetwork does


def arm_level(critic: ArmCritic, epsilon: float) -> IndifferenceSpace:
    """A critic as a level of a stack."""
    return IndifferenceSpace(
        quality_of(network_of(critic)), epsilon, arm_box(critic.arm), critic.task
    )
