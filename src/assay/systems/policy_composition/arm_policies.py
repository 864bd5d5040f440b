"""Policies of an arm from learned critics or Jacobians, and what they do.

Notable in this file: a move is judged by where it led. The turn that led there is worked out from
both poses and asked of the level that may forbid it, whoever chose it.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float

from assay.systems.policy_composition import arm as world
from assay.systems.policy_composition.arm import Arm
from assay.systems.policy_composition.arm_agents import ArmCritic
from assay.systems.policy_composition.indifference import IndifferenceSpace

__all__ = ["METHODS", "STACKS", "ArmLevels", "ArmMethod", "ArmPolicy", "arm_policy", "forbidden",
           "roll_out"]  # fmt: skip

ArmMethod = Literal[
    "reach alone", "sum of values", "zero-shot", "adapted", "null-space, plain",
    "null-space, strict",
]  # fmt: skip
METHODS: tuple[ArmMethod, ...] = get_args(ArmMethod)
STACKS = ("zero-shot", "adapted")
"""Those that act inside the mask of the level above."""
ROUNDING = 1e-3
"""Of values in single precision."""
ArmPolicy = Callable[[np.ndarray], np.ndarray]
"""Poses ``[batch, joints]`` to speeds."""


class ArmLevels(NamedTuple):
    """Critics by what they are for.

    Attributes:
        avoid: The level above.
        reach: Of the target, learned with every turn allowed.
        adapted: Of the target, learned inside the level above.
    """

    avoid: ArmCritic
    reach: ArmCritic
    adapted: ArmCritic


def arm_policy(
    method: ArmMethod, levels: ArmLevels, epsilon: float, proposals: int, rng: np.random.Generator
) -> ArmPolicy:
    """What a method makes of the critics; the best proposal is taken.

    Args:
        method: ``reach alone``, one critic; ``sum of values``, that of the critics of avoid and
            reach; ``zero-shot`` and ``adapted``, a stack of two levels; or control by Jacobians.
        levels: The critics.
        epsilon: Slack of the level above.
        proposals: For each pose, from where those of the last level's practice came.
        rng: Where they are drawn from.
    """
    from assay.systems.policy_composition.arm_critic import (
        arm_box,
        arm_level,
        network_of,
        quality_of,
        sampler_of,
    )
    from assay.systems.policy_composition.arm_proposals import Proposals
    from assay.systems.policy_composition.null_space import arm_actions

    arm = levels.avoid.arm
    if method == "null-space, plain":
        return lambda poses: arm_actions(arm, poses, variant="plain")
    if method == "null-space, strict":
        return lambda poses: arm_actions(arm, poses, variant="strict")
    last = levels.adapted if method == "adapted" else levels.reach
    above = [arm_level(levels.avoid, epsilon)] if method in STACKS else []
    corners = last.proposals == "corners"
    offer = Proposals(arm_box(arm), above, proposals, rng, sampler_of(last), corners=corners)
    terms = [quality_of(network_of(last))]
    if method == "sum of values":
        terms.append(quality_of(network_of(levels.avoid)))

    def act(poses: np.ndarray) -> np.ndarray:
        offered = offer(poses)
        worth = sum(q(poses, offered.actions) for q in terms)
        allowed = np.where(offered.log_weights > -np.inf, worth, -np.inf)
        return offered.actions[np.arange(len(poses)), allowed.argmax(axis=1)]

    return act


def roll_out(
    arm: Arm, policy: ArmPolicy, begin: Float[np.ndarray, "batch joints"], steps: int
) -> Float[np.ndarray, "batch times joints"]:
    """Poses from first to last, one more than steps; no episode ends early."""
    poses = [begin]
    for _ in range(steps):
        poses.append(world.move(arm, poses[-1], policy(poses[-1])))
    return np.stack(poses, axis=1)


def forbidden(
    arm: Arm, level: IndifferenceSpace, paths: Float[np.ndarray, "batch times joints"]
) -> Bool[np.ndarray, "batch steps"]:
    """Which moves a level forbids, judged by where they led, give or take rounding."""
    before = paths[:, :-1].reshape(-1, arm.count)
    turns = (paths[:, 1:].reshape(-1, arm.count) - before) / arm.stride
    slack = level.slack(before, turns[:, None])[:, 0]
    return (slack < -ROUNDING).reshape(len(paths), -1)
