"""Components: the world of an arm, what its tasks are worth, a level adapted inside those above."""

from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.core.task import task as running_step
from assay.errors import ParameterError
from assay.systems.policy_composition.arm import Arm, ArmTask
from assay.systems.policy_composition.arm_agents import ArmCritic, ProposalKind

if TYPE_CHECKING:
    from assay.systems.policy_composition.arm_practice import ArmRound, ArmSchedule

__all__ = ["ArmLearnt", "adapt_arm", "arm_world", "learn_arm"]

REQUIRES = ("numba", "numpy", "scipy", "torch")
POINTS = 20
"""Of the training curve."""
Steps = Annotated[int, Field(ge=1280)]
Discount = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Numbers = Annotated[list[float], Field(min_length=1)]


class ArmLearnt(NamedTuple):
    """A learned critic.

    Attributes:
        critic: The critic, with its sampler if it has one.
        records: ``training_loss``, the mean squared error of a round, and ``practice_touches``, the
            share of its steps that ended in a disc, by ``training_step``, the environment steps
            taken until then; ``stein_length`` of a sampler's steps besides; and over all rounds
            ``environment_steps`` and ``practice_touch_share``.
    """

    critic: ArmCritic
    records: Records


@component(version="1", requires=("numba", "numpy"))
def arm_world(
    *,
    discs: list[tuple[float, float, float]] = [(0.6, 0.1, 0.12), (0.9, 0.3, 0.1)],  # noqa: B006
    target: tuple[float, float] = (0.45, 0.6),
    home: Numbers = [-0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1],  # noqa: B006
    spread: Annotated[float, Field(ge=0)] = 0.1,
) -> Arm:
    """An arm of links of one length, one unit in all, and the world round it.

    Args:
        discs: Centre and radius of each forbidden disc.
        target: Where the end is to go.
        home: Angles of the joints near which episodes begin; one link for each.
        spread: Standard deviation of the angles of a first pose, in radians.
    """
    lengths = (1 / len(home),) * len(home)
    return Arm(lengths, tuple(discs), target, tuple(home), spread)


@component(version="1", requires=REQUIRES)
def learn_arm(
    arm: Arm,
    *,
    task: ArmTask,
    proposals: ProposalKind = "corners",
    environment_steps: Steps = 100_000,
    updates: PositiveInt = 100,
    width: PositiveInt = 64,
    depth: PositiveInt = 2,
    temperature: PositiveFloat = 0.1,
    discount: Discount = 0.98,
    episode: PositiveInt = 60,
    explore: Share = 0.1,
    seed: Seed,
) -> ArmLearnt:
    """Learn one task of the arm with every turn allowed.

    Practice for the task ``avoid`` begins inside discs too.

    Args:
        arm: The arm and its world.
        task: The task.
        proposals: Where they come from.
        environment_steps: Budget, over 64 arms in rounds of 20 steps.
        updates: Optimiser steps of a round.
        width: Width of the network's layers.
        depth: How many.
        temperature: In the unit of the rewards.
        discount: Of later rewards.
        episode: Steps after which an arm begins anew.
        explore: Share of the actions that are drawn evenly.
        seed: Of weights, poses, proposals and actions.
    """
    schedule = _schedule(environment_steps, updates, temperature, discount, episode, explore)
    return _learnt(schedule, arm, task, proposals, width, depth, seed, clear=task != "avoid")


@component(version="1", requires=REQUIRES)
def adapt_arm(
    above: list[ArmCritic],
    *,
    task: ArmTask,
    epsilon: Annotated[float, Field(ge=0)] = 2.0,
    proposals: ProposalKind = "corners",
    environment_steps: Steps = 100_000,
    updates: PositiveInt = 100,
    width: PositiveInt = 64,
    depth: PositiveInt = 2,
    temperature: PositiveFloat = 0.1,
    discount: Discount = 0.98,
    episode: PositiveInt = 60,
    explore: Share = 0.1,
    seed: Seed,
) -> ArmLearnt:
    """Learn a task of the arm by practice inside what the levels above allow, which stay.

    Args:
        above: Critics of the levels above, from the highest priority down, of one arm.
        task: The level's task.
        epsilon: Slack of every level above.
        proposals: Where they come from.
        environment_steps: Budget, over 64 arms in rounds of 20 steps.
        updates: Optimiser steps of a round.
        width: Width of the network's layers.
        depth: How many.
        temperature: In the unit of the rewards.
        discount: Of later rewards.
        episode: Steps after which an arm begins anew.
        explore: Share of the actions that are drawn evenly from those allowed.
        seed: Of weights, poses, proposals and actions.

    Raises:
        ParameterError: If there is no level above.
    """
    if not above:
        raise ParameterError("no level above", accepted="at least one critic")
    schedule = _schedule(environment_steps, updates, temperature, discount, episode, explore)
    return _learnt(
        schedule, above[0].arm, task, proposals, width, depth, seed, above=above, epsilon=epsilon
    )


def _schedule(
    environment_steps: int, updates: int, temperature: float, discount: float, episode: int,
    explore: float,
) -> "ArmSchedule":  # fmt: skip
    from assay.systems.policy_composition.arm_practice import ArmSchedule, shortened

    made = ArmSchedule(
        updates=updates, temperature=temperature, discount=discount, episode=episode,
        explore=explore,
    )  # fmt: skip
    return shortened(made, environment_steps)


def _learnt(
    schedule: "ArmSchedule", arm: Arm, task: str, proposals: ProposalKind, width: int, depth: int,
    seed: int, *, above: list[ArmCritic] | None = None, epsilon: float = 0.0, clear: bool = True,
) -> ArmLearnt:  # fmt: skip
    """Train a new critic."""
    from assay.parts.training.torch_state import own_threads, seeded
    from assay.systems.policy_composition.arm_critic import (
        ArmNetwork,
        arm_level,
        critic_of,
        new_sampler,
    )
    from assay.systems.policy_composition.arm_practice import learn_on_arms

    with seeded(seed), own_threads(1):
        network = ArmNetwork(arm, width, depth)
        sampler = new_sampler(arm) if proposals == "sampler" else None
        rounds = learn_on_arms(
            schedule, arm, task, network, seed, sampler=sampler, clear=clear,
            corners=proposals == "corners",
            above=[arm_level(critic, epsilon) for critic in above or []],
            progress=lambda done: running_step().progress(done, schedule.rounds, "rounds"),
        )  # fmt: skip
    made = critic_of(network, sampler, arm, task, width, depth, proposals)
    return ArmLearnt(made, _curve(rounds))


def _curve(rounds: "list[ArmRound]") -> Records:
    records = Records()
    for part in np.array_split(np.arange(len(rounds)), min(POINTS, len(rounds))):
        some = [rounds[row] for row in part]
        keys = {"training_step": some[-1].steps}
        records.add("training_loss", float(np.mean([r.loss for r in some])), "1", **keys)
        records.add("practice_touches", float(np.mean([r.touched for r in some])), "1", **keys)
        if np.isfinite(some[-1].stein):
            records.add("stein_length", float(np.mean([r.stein for r in some])), "1", **keys)
    records.add("environment_steps", rounds[-1].steps, "1")
    records.add("practice_touch_share", float(np.mean([r.touched for r in rounds])), "1")
    return records
