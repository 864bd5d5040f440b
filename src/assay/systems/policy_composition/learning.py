"""Components: learn a task, adapt a level inside those above, by practice or without."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.core.task import task as running_step
from assay.errors import ParameterError
from assay.systems.policy_composition import navigation
from assay.systems.policy_composition.experience import Experience, as_transitions
from assay.systems.policy_composition.indifference import IndifferenceSpace, PriorityStack
from assay.systems.policy_composition.navigation import EDGE, TASKS, Task
from assay.systems.policy_composition.offline_filter import (
    box_cells,
    coverage,
    filter_transitions,
)
from assay.systems.policy_composition.surroundings import PointSurroundings

if TYPE_CHECKING:
    from assay.systems.policy_composition.agents import Agent
    from assay.systems.policy_composition.practice import Schedule
    from assay.systems.policy_composition.soft_q import Learnt

__all__ = ["Practised", "adapt", "adapt_offline", "learn"]

REQUIRES = ("numba", "numpy", "safetensors", "torch")
COARSE = 9
"""Candidates along an axis among which a level's best action is sought while the next is learnt."""
CORNERS = (-EDGE, -EDGE), (EDGE, EDGE)
"""Of the box of states."""
POINTS = 20
"""Of the training curve."""
Steps = Annotated[int, Field(ge=1600)]
Share = Annotated[float, Field(ge=0, le=1)]
Discount = Annotated[float, Field(ge=0, lt=1)]


class Practised(NamedTuple):
    """A learned critic.

    Attributes:
        agent: Folder with ``config.json`` and ``model.safetensors``.
        experience: The transitions retained.
        records: ``training_loss``, the mean squared error of a round, by ``training_step``, the
            environment steps taken until then; ``environment_steps`` in all, ``parameters``; and
            ``kept_share`` of the retained transitions.
    """

    agent: Path
    experience: Experience
    records: Records


@component(version="1", requires=REQUIRES)
def learn(
    *,
    task: Task,
    environment_steps: Steps = 160_000,
    updates: PositiveInt = 100,
    width: PositiveInt = 64,
    depth: PositiveInt = 3,
    trace: Share = 0.9,
    temperature: PositiveFloat = 1.0,
    discount: Discount = 0.99,
    sigma: Annotated[float, Field(ge=0, lt=10)] = 0.0,
    retained: PositiveInt = 1024,
    seed: Seed,
) -> Practised:
    """Learn one task of point navigation with every action allowed.

    Args:
        task: The task.
        environment_steps: Budget, over 64 environments in rounds of 25 steps.
        updates: Optimiser steps of a round.
        width: Width of the network's layers.
        depth: How many.
        trace: How far news travels in a round.
        temperature: In the unit of the rewards.
        discount: Of later rewards.
        sigma: Standard deviation of the noise of a step.
        retained: Strips of 25 transitions that are retained, the latest.
        seed: Of weights, proposals, actions and noise.
    """
    schedule = _schedule(updates, trace, temperature, discount, environment_steps=environment_steps)
    schedule = replace(schedule, retained=retained)
    agent = _new_agent(task, schedule, width, depth, seed)
    return _practise(agent, schedule, seed, PointSurroundings(task, sigma))


@component(version="1", requires=REQUIRES)
def adapt(
    above: list[Path],
    start: Path | None = None,
    *,
    task: Task,
    epsilon: Annotated[float, Field(ge=0)] = 1.0,
    environment_steps: Steps = 160_000,
    updates: PositiveInt = 100,
    width: PositiveInt = 64,
    depth: PositiveInt = 3,
    trace: Share = 0.9,
    temperature: PositiveFloat = 1.0,
    discount: Discount = 0.99,
    sigma: Annotated[float, Field(ge=0, lt=10)] = 0.0,
    seed: Seed,
) -> Practised:
    """Learn a level by practice inside what the levels above allow, which stay as they are.

    Args:
        above: Their agents, from the highest priority down.
        start: An agent to go on from, such as that of the task alone; if not given, a new one.
        task: The level's task.
        epsilon: Slack of every level above.
        environment_steps: Budget, over 64 environments in rounds of 25 steps.
        updates: Optimiser steps of a round.
        width: Width of the network's layers, where nothing is gone on from.
        depth: How many.
        trace: How far news travels in a round.
        temperature: In the unit of the rewards.
        discount: Of later rewards.
        sigma: Standard deviation of the noise of a step.
        seed: Of weights, proposals, actions and noise.

    Returns:
        With records ``exploration_collisions`` too, the share of the retained transitions that led
        into the obstacle.
    """
    schedule = _schedule(updates, trace, temperature, discount, environment_steps=environment_steps)
    agent = _new_agent(task, schedule, width, depth, seed, start)
    levels = _levels(above, epsilon, COARSE)
    made = _practise(agent, schedule, seed, PointSurroundings(task, sigma), levels=levels)
    met = navigation.collides(made.experience.next_states.reshape(-1, 2))
    made.records.add("exploration_collisions", met.mean(), "1")
    return made


@component(version="1", requires=(*REQUIRES, "scipy"))
def adapt_offline(
    above: list[Path],
    experience: Experience,
    start: Path | None = None,
    *,
    task: Task,
    epsilon: Annotated[float, Field(ge=0)] = 1.0,
    filtered: bool = True,
    rounds: PositiveInt = 100,
    updates: PositiveInt = 100,
    width: PositiveInt = 64,
    depth: PositiveInt = 3,
    trace: Share = 0.9,
    temperature: PositiveFloat = 1.0,
    discount: Discount = 0.99,
    seed: Seed,
) -> Practised:
    """Learn a level inside what the levels above allow from retained transitions, without practice.

    Rewards are those of the task for having come to the next states, whatever the transitions were
    retained for.

    Args:
        above: Agents of the levels above, from the highest priority down.
        experience: Retained transitions of point navigation.
        start: An agent to go on from; if not given, a new one.
        task: The level's task.
        epsilon: Slack of every level above.
        filtered: Whether transitions are removed whose action a level above forbids.
        rounds: Of learning.
        updates: Optimiser steps of a round.
        width: Width of the network's layers, where nothing is gone on from.
        depth: How many.
        trace: How far news travels in a round.
        temperature: In the unit of the rewards.
        discount: Of later rewards.
        seed: Of weights, proposals and batches.

    Returns:
        With records ``forbidden_transitions`` too, how many a level forbids that those above it
        allow, by ``level``; and, for allowed transitions in cells of 1 x 1 and states outside the
        obstacle, ``covered_states``, the share with data in their cell, and ``covered_actions``,
        the mean share of their allowed candidates that are nearest to an action of these data.

    Raises:
        ParameterError: If no transition is left.
    """
    schedule = _schedule(updates, trace, temperature, discount, rounds=rounds)
    agent = _new_agent(task, schedule, width, depth, seed, start)
    levels = _levels(above, epsilon, COARSE)
    ends = experience.next_states.reshape(-1, 2)
    rewards = navigation.rewards(ends)[:, TASKS.index(task)]
    given = replace(experience, rewards=rewards.reshape(experience.rewards.shape))
    bottom = IndifferenceSpace(_nothing, 0.0, levels[0].actions, task)
    stack = PriorityStack([*levels, bottom])
    found = filter_transitions(stack, as_transitions(given, task))
    if filtered:
        given = given.without(~found.allowed)
    else:  # they teach what they earned, but no later step tells of them
        known = np.where(found.allowed.reshape(given.kept.shape), given.log_density, np.inf)
        given = replace(given, log_density=known)
    if not given.kept.any():
        raise ParameterError(
            "no transition whose action the levels above allow", next="Raise epsilon."
        )
    made = _practise(agent, schedule, seed, None, experience=given, levels=levels)
    for level, count in found.forbidden_by.items():
        made.records.add("forbidden_transitions", count, "1", level=level)
    reach = coverage(stack, found.kept, _clear_points(), cell=box_cells(*CORNERS, 20))
    made.records.add("covered_states", reach.states, "1")
    made.records.add("covered_actions", reach.actions, "1")
    return made


def _clear_points() -> np.ndarray:
    """A grid of states outside the obstacle, half a unit apart."""
    axis = navigation.grid_axis(41)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    return points[~navigation.collides(points)]


def _nothing(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    return np.zeros(actions.shape[:2])


def _schedule(
    updates: int, trace: float, temperature: float, discount: float, *, environment_steps: int = 0,
    rounds: int = 0,
) -> "Schedule":  # fmt: skip
    """A schedule of so many rounds, or as many as a budget of environment steps pays for."""
    from assay.systems.policy_composition.practice import Schedule

    made = Schedule(updates=updates, trace=trace, temperature=temperature, discount=discount)
    return replace(made, rounds=rounds or environment_steps // (made.environments * made.steps))


def _levels(above: Sequence[Path], epsilon: float, per_axis: int) -> list[IndifferenceSpace]:
    """Agents as levels that share their candidates.

    Raises:
        ParameterError: If there is none.
    """
    from assay.systems.policy_composition.agents import load_agent

    agents = [load_agent(folder) for folder in above]
    if not agents:
        raise ParameterError("no level above", accepted="at least one agent")
    shared = agents[0].actions(per_axis)
    return [a.level(epsilon, actions=shared) for a in agents]


def _new_agent(
    task: str, schedule: "Schedule", width: int, depth: int, seed: int, start: Path | None = None
) -> "Agent":
    from assay.parts.training.torch_state import seeded
    from assay.systems.policy_composition.agents import (
        Agent,
        Configuration,
        load_agent,
        new_network,
    )

    space = PointSurroundings(task)
    of = Configuration(
        task=task, observations=space.observations, low=space.actions.low,
        high=space.actions.high, width=width, depth=depth, temperature=schedule.temperature,
        discount=schedule.discount, trained={**asdict(schedule), "seed": seed},
    )  # fmt: skip
    if start is None:
        with seeded(seed):
            return Agent(new_network(of), of)
    found = load_agent(start)
    of = replace(of, width=found.of.width, depth=found.of.depth, scale=found.of.scale)
    return Agent(found.network, of)


def _practise(
    agent: "Agent", schedule: "Schedule", seed: int, surroundings: PointSurroundings | None,
    *, experience: Experience | None = None, levels: Sequence[IndifferenceSpace] = (),
) -> Practised:  # fmt: skip
    """Train an agent and write it where the running step keeps its files."""
    from assay.systems.policy_composition.agents import save_agent
    from assay.systems.policy_composition.soft_q import learn_soft_q

    folder = running_step().scratch()
    learnt = learn_soft_q(
        schedule, seed, agent.network, agent.actions(), surroundings=surroundings,
        experience=experience, above=levels, folder=folder / "checkpoints",
    )  # fmt: skip
    save_agent(folder / "agent", agent)
    return Practised(folder / "agent", learnt.experience, _curve(learnt))


def _curve(learnt: "Learnt") -> Records:
    records = Records()
    losses = np.array([each.loss for each in learnt.rounds])
    steps = [each.environment_steps for each in learnt.rounds]
    for part in np.array_split(np.arange(len(losses)), min(POINTS, len(losses))):
        keys = {"training_step": steps[part[-1]], "training_round": int(part[-1]) + 1}
        records.add("training_loss", losses[part].mean(), "1", **keys)
    parameters = sum(weights.numel() for weights in learnt.network.parameters())
    records.add("parameters", parameters, "1")
    records.add("environment_steps", steps[-1], "1")
    records.add("kept_share", learnt.experience.kept.mean(), "1")
    return records
