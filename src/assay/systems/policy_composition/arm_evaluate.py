"""Component: what a policy of the arm does, from many first poses."""

from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.systems.policy_composition import arm as world
from assay.systems.policy_composition.arm import Arm
from assay.systems.policy_composition.arm_agents import ArmCritic
from assay.systems.policy_composition.arm_policies import (
    STACKS,
    ArmLevels,
    ArmMethod,
    arm_policy,
    forbidden,
    roll_out,
)

__all__ = ["ArmEvaluated", "ArmShown", "evaluate_arm", "what_happened"]

SHOWN = 6
"""Episodes kept for the figure."""


class ArmShown(NamedTuple):
    """What a figure draws: the arm, and poses ``[episodes, times, joints]``."""

    arm: Arm
    paths: np.ndarray


class ArmEvaluated(NamedTuple):
    """What a policy did.

    Attributes:
        shown: For figures.
        records: ``episodes``; ``touch_rate`` (share of episodes in which a link ever touched a
            disc), ``success_rate`` (the end of the arm ever at the target), ``stay_rate`` (there
            after the last step), ``distance`` of it to the target then (in lengths of the arm),
            ``steps_to_reach`` (until it was first there; an episode in which it never was counts
            with all its steps), ``forbidden_share`` of the moves, judged by the level above, and
            for stacks ``forbidden_actions``, how many these are.
    """

    shown: ArmShown
    records: Records


@component(version="1", requires=("numba", "numpy", "scipy", "torch"))
def evaluate_arm(
    avoid: ArmCritic,
    reach: ArmCritic,
    adapted: ArmCritic,
    *,
    method: ArmMethod = "adapted",
    epsilon: Annotated[float, Field(ge=0)] = 2.0,
    episodes: PositiveInt = 100,
    steps: PositiveInt = 100,
    proposals: PositiveInt = 32,
    seed: Seed,
) -> ArmEvaluated:
    """Let a policy act from random first poses that touch nothing.

    Args:
        avoid: Critic of the level above.
        reach: Critic of the target, learned with every turn allowed.
        adapted: Critic of the target, learned inside the level above.
        method: What is made of them; see `arm_policies.arm_policy`.
        epsilon: Slack of the level above.
        episodes: How many.
        steps: Length of each; none ends early.
        proposals: For each pose, of which the best is taken.
        seed: Of first poses, equal for every method, and of proposals.
    """
    from assay.parts.training.torch_state import own_threads
    from assay.systems.policy_composition.arm_critic import arm_level

    arm = avoid.arm
    begin = world.starts(arm, episodes, np.random.default_rng([seed, 0]))
    rng = np.random.default_rng([seed, 1])
    with own_threads(1):
        policy = arm_policy(method, ArmLevels(avoid, reach, adapted), epsilon, proposals, rng)
        paths = roll_out(arm, policy, begin, steps)
        wrong = forbidden(arm, arm_level(avoid, epsilon), paths)
    records = what_happened(arm, paths)
    records.add("forbidden_share", wrong.mean(), "1")
    if method in STACKS:
        records.add("forbidden_actions", wrong.sum(), "1")
    return ArmEvaluated(ArmShown(arm, paths[:SHOWN].astype(np.float32)), records)


def what_happened(arm: Arm, paths: np.ndarray) -> Records:
    """Touches, arrivals and distances of poses ``[episodes, times, joints]``."""
    after = paths[:, 1:]
    rows = np.ascontiguousarray(after).reshape(-1, arm.count)
    touched = world.touches(arm, rows).reshape(after.shape[:2])
    off = np.linalg.norm(world.joints(arm, rows)[:, -1] - np.array(arm.target), axis=1)
    off = off.reshape(after.shape[:2])
    there = off <= arm.tolerance
    ever = there.any(axis=1)
    records = Records()
    records.add("episodes", len(paths), "1")
    records.add("touch_rate", touched.any(axis=1).mean(), "1")
    records.add("success_rate", ever.mean(), "1")
    records.add("stay_rate", there[:, -1].mean(), "1")
    records.add("distance", off[:, -1].mean(), "1")
    steps = np.where(ever, 1 + there.argmax(axis=1), there.shape[1])
    records.add("steps_to_reach", steps.mean(), "1")
    return records
