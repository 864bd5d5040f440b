"""Learned critics of an arm as values: arrays, no library that learns."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from assay.systems.policy_composition.arm import Arm

__all__ = ["ArmCritic", "ProposalKind"]

ProposalKind = Literal["uniform", "corners", "sampler"]
"""Even proposals; half of them, and corners of the box; or round a learned sampler's draws."""


@dataclass(frozen=True, eq=False)
class ArmCritic:
    """What turns of the joints are worth, learned.

    Attributes:
        arm: The arm and its world.
        task: What was learnt.
        width: Width of the network's layers.
        depth: How many.
        proposals: Where they came from, and come from when it acts.
        weights: Of the network, by name.
        sampler: Weights of the sampler that was learnt along with it; none if there is none.
    """

    arm: Arm
    task: str
    width: int
    depth: int
    proposals: ProposalKind
    weights: dict[str, np.ndarray]
    sampler: dict[str, np.ndarray]
