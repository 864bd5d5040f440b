"""What a composite does: collisions, arrivals, returns, the share of actions it may take."""

from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field, PositiveFloat

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.systems.policy_composition import navigation
from assay.systems.policy_composition.navigation import TASKS, Task
from assay.systems.policy_composition.oracle import (
    exact,
    joint_mask,
    prioritised,
    rollouts,
    weights_of,
)
from assay.systems.policy_composition.thresholds import calibrate
from assay.systems.policy_composition.train import Composite, Solved, compose

__all__ = ["Evaluated", "Shown", "calibrated", "evaluate", "masks_of_orders", "scale_invariance"]

SHOWN = 12
"""Paths kept for the figure."""
Tasks = Annotated[list[Task], Field(min_length=2)]


class Shown(NamedTuple):
    """What a figure draws: some paths ``[paths, T, 2]`` and allowed shares ``[nodes, nodes]``."""

    paths: np.ndarray
    share: np.ndarray


class Evaluated(NamedTuple):
    """What a composite did.

    Attributes:
        shown: For figures.
        records: ``collision_rate`` (ever inside the obstacle), ``success_rate`` (in the task's zone
            at the end) and ``return`` (undiscounted) by ``task``, ``starts`` (number of episodes),
            ``allowed_share`` and ``smallest_allowed_share`` over the states of the grid, and
            without noise ``forbidden_actions`` among all that were taken.
    """

    shown: Shown
    records: Records


@component(version="2", requires=("numba", "numpy"))
def evaluate(
    composite: Composite,
    *,
    starts: Annotated[int, Field(ge=1)] = 300,
    steps: Annotated[int, Field(ge=1)] = 100,
    temperature: PositiveFloat = 1.0,
    greedy: bool = False,
    seed: Seed,
) -> Evaluated:
    """Let a composite act from random starts outside the obstacle.

    Args:
        composite: What acts.
        starts: Number of episodes.
        steps: Length of each; none ends early.
        temperature: Of the last level, which draws an action by exp(Q / temperature).
        greedy: Whether it takes the best allowed action instead of drawing one.
        seed: Of starts, actions and noise.
    """
    rng, world, stack = np.random.default_rng(seed), composite.world, composite.stack()
    begin = navigation.starts(starts, rng)
    made = rollouts(
        stack, begin, rng, steps=steps, sigma=world.sigma, temperature=temperature, greedy=greedy
    )
    records = Records()
    records.add("starts", starts, "1")
    records.add("collision_rate", made.collided.mean(), "1")
    for number, task in enumerate(TASKS):
        records.add("return", made.returns[:, number].mean(), "1", task=task)
        if task != "obstacle":
            records.add("success_rate", made.arrived[:, number].mean(), "1", task=task)
    share = stack.volume(world.points)
    records.add("allowed_share", share.mean(), "1")
    records.add("smallest_allowed_share", share.min(), "1")
    if world.sigma == 0:
        records.add("forbidden_actions", _forbidden(composite, made.paths), "1")
    shape = composite.world.nodes, composite.world.nodes
    return Evaluated(Shown(made.paths[:SHOWN].astype(np.float32), share.reshape(shape)), records)


def _forbidden(composite: Composite, paths: np.ndarray) -> int:
    """How many of the moves along paths no allowed candidate explains.

    Moves are judged from outside: by where they led, not by what the policy says it did.
    """
    stack, candidates, found = composite.stack(), composite.world.actions.candidates, 0
    for step in range(paths.shape[1] - 1):
        before, after = paths[:, step], paths[:, step + 1, None]
        each = np.repeat(before, len(candidates), axis=0)
        ends = navigation.move(each, np.tile(candidates, (len(before), 1)))
        same = (np.abs(ends.reshape(len(before), -1, 2) - after) < 1e-9).all(axis=2)
        found += int((~(same & stack.mask(before)).any(axis=1)).sum())
    return found


@component(version="2", requires=("numba", "numpy"))
def scale_invariance(
    policies: Solved,
    *,
    factor: Annotated[float, Field(gt=0)] = 1000.0,
    epsilon: Annotated[float, Field(ge=0)] = 1.0,
) -> Records:
    """Multiply rewards, temperature and epsilon of the first level, and look what changes below.

    Args:
        policies: Those of the obstacle and the top.
        factor: What the first level is multiplied by.
        epsilon: Of the first level before.

    Returns:
        ``mask_difference``, share of the mask that differs, and ``value_difference``, the largest
        of the level below.
    """
    world = policies.world
    first = policies.policy("obstacle")
    scaled, _ = exact(world, factor * first.weights, temperature=factor)
    plain, _ = prioritised(world, ["obstacle", "top"], [epsilon, epsilon], first)
    level = scaled.level(factor * epsilon, "obstacle")
    unscaled = plain[0].level(epsilon, "obstacle")
    below, _ = exact(world, weights_of({"top": 1.0}), above=[level])
    differ = unscaled.mask(world.points) != level.mask(world.points)
    records = Records()
    records.add("mask_difference", differ.mean(), "1")
    records.add("value_difference", np.abs(plain[1].values - below.values).max(), "1")
    return records


@component(version="2", requires=("numba", "numpy"))
def masks_of_orders(
    policies: Solved, *, one: Tasks, other: Tasks, epsilon: Annotated[float, Field(ge=0)] = 1.0
) -> Records:
    """Compare what the first two levels of two orders of the same tasks leave.

    Args:
        policies: Those of the tasks on their own.
        one: An order.
        other: Another.
        epsilon: Of every level.

    Returns:
        ``mask_difference``, the share of entries that differ.
    """
    masks = [
        joint_mask(
            compose(policies, order=order, epsilon=epsilon).composite.stack().levels[:2],
            policies.world.points,
        )
        for order in (one, other)
    ]
    records = Records()
    records.add("mask_difference", (masks[0] != masks[1]).mean(), "1")
    return records


@component(version="2", requires=("numba", "numpy"))
def calibrated(
    policies: Solved,
    *,
    target: Annotated[float, Field(gt=0, lt=1)] = 0.01,
    evaluations: Annotated[int, Field(ge=2)] = 10,
    starts: Annotated[int, Field(ge=1)] = 300,
    steps: Annotated[int, Field(ge=1)] = 100,
    seed: Seed,
) -> Records:
    """Choose epsilon of the obstacle above the top by the collisions it leads to, as they are.

    Args:
        policies: Those of the obstacle and the top.
        target: Accepted collision rate.
        evaluations: Most evaluations.
        starts: Episodes of each.
        steps: Their length.
        seed: Of starts and actions; the same in every evaluation.

    Returns:
        ``calibrated_epsilon``, its ``calibration_rate``, ``calibration_evaluations``, and
        ``held_out_rate`` from other starts.
    """
    made = compose(policies, order=["obstacle", "top"], method="zero-shot").composite

    def rate(epsilon: float, stream: int = 0) -> float:
        rng = np.random.default_rng([seed, stream])
        begin = navigation.starts(starts, rng)
        stack, sigma = made.stack(epsilon), made.world.sigma
        return float(rollouts(stack, begin, rng, steps=steps, sigma=sigma).collided.mean())

    found, records = calibrate(rate, target=target, evaluations=evaluations), Records()
    records.add("calibrated_epsilon", found.epsilon, "1")
    records.add("calibration_rate", found.rate, "1")
    records.add("calibration_evaluations", len(found.tried), "1")
    records.add("held_out_rate", rate(found.epsilon, stream=1), "1")
    return records
