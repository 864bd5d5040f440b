"""Component: an animation of policies side by side, from one first pose."""

from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.core.task import task as running_step
from assay.systems.policy_composition import arm as world
from assay.systems.policy_composition.arm import Arm
from assay.systems.policy_composition.arm_agents import ArmCritic
from assay.systems.policy_composition.arm_policies import (
    ArmLevels,
    ArmMethod,
    arm_policy,
    roll_out,
)

__all__ = ["ArmFilm", "film_arm"]


class ArmFilm(NamedTuple):
    """An animation.

    Attributes:
        animation: A GIF.
        arm: The arm and its world.
        methods: What acts, from left to right.
        paths: Poses ``[methods, times, joints]``.
        records: ``filmed_touches``, the steps at which a link was in a disc, and
            ``filmed_distance`` of the end to the target at the end, by ``filmed`` method.
    """

    animation: Path
    arm: Arm
    methods: list[str]
    paths: np.ndarray
    records: Records


@component(version="1", requires=("numba", "numpy", "pillow", "scipy", "torch"))
def film_arm(
    avoid: ArmCritic,
    reach: ArmCritic,
    adapted: ArmCritic,
    *,
    methods: Annotated[list[ArmMethod], Field(min_length=1)],
    epsilon: Annotated[float, Field(ge=0)] = 2.0,
    steps: PositiveInt = 80,
    proposals: PositiveInt = 32,
    pixels: Annotated[int, Field(ge=80, le=800)] = 280,
    seed: Seed,
) -> ArmFilm:
    """Let policies act from one first pose, and film them.

    Args:
        avoid: Critic of the level above.
        reach: Critic of the target, learned with every turn allowed.
        adapted: Critic of the target, learned inside the level above.
        methods: What is made of them; see `arm_policies.arm_policy`.
        epsilon: Slack of the level above.
        steps: Frames but one.
        proposals: For each pose, of which the best is taken.
        pixels: Side of the world of each.
        seed: Of the first pose, and of proposals.
    """
    from assay.parts.training.torch_state import own_threads
    from assay.systems.policy_composition.arm_drawing import write_gif

    arm, levels = avoid.arm, ArmLevels(avoid, reach, adapted)
    begin = world.starts(arm, 1, np.random.default_rng([seed, 0]))
    paths = dict[str, np.ndarray]()
    with own_threads(1):
        for method in methods:
            rng = np.random.default_rng([seed, 1])
            policy = arm_policy(method, levels, epsilon, proposals, rng)
            paths[method] = roll_out(arm, policy, begin, steps)[0]
    file = running_step().scratch() / "arm.gif"
    write_gif(file, arm, paths, pixels)
    records = Records()
    for method, path in paths.items():
        off = np.linalg.norm(world.joints(arm, path[-1:])[0, -1] - np.array(arm.target))
        records.add("filmed_touches", world.touches(arm, path[1:]).sum(), "1", filmed=method)
        records.add("filmed_distance", float(off), "1", filmed=method)
    stacked = np.stack(list(paths.values())).astype(np.float32)
    return ArmFilm(file, arm, list(paths), stacked, records)
