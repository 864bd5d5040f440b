"""Learned levels put together and held to the oracle: their masks, their values, what they do."""

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.errors import ParameterError
from assay.systems.policy_composition import navigation
from assay.systems.policy_composition.evaluate import SHOWN, Shown
from assay.systems.policy_composition.indifference import IndifferenceSpace, PriorityStack
from assay.systems.policy_composition.navigation import TASKS
from assay.systems.policy_composition.oracle import Rollouts, rollouts
from assay.systems.policy_composition.rivals import Rival, rival
from assay.systems.policy_composition.train import Composite

__all__ = ["Agreement", "agreement", "learned_stack", "orders"]

CHUNK = 256
REQUIRES = ("numba", "numpy", "safetensors", "torch")
Method = Literal["priorities", Rival]


class Agreement(NamedTuple):
    """How far a learned stack agrees with the oracle.

    Attributes:
        shown: For figures.
        records: ``starts``; ``collision_rate`` (ever inside the obstacle), ``success_rate`` (in the
            task's zone at the end) and ``return`` by ``task``, as of `evaluate`; over the states of
            the oracle's grid ``allowed_share``, the share of the actions that is left to the last
            level; of states that were visited, drawn evenly: ``judged``, how many;
            ``violation_rate``, the share of moves that no action explains that the oracle allows;
            and if the levels are in order of priority: ``mask_iou``, actions that both leave to the
            last level over those that either leaves, its mean; ``mask_iou_at_edges``, the same
            where the oracle forbids something, NaN if it never does; ``forbidden_actions``, the
            number of moves that no action explains that the learned stack allows; and by ``level``,
            over the actions that the oracle leaves to the last level, ``value_difference``, mean
            |Q - oracle's|, and ``advantage_difference``, the same after each has lost its mean over
            them.
    """

    shown: Shown
    records: Records


def learned_stack(agents: list[Path], epsilon: float, per_axis: int) -> PriorityStack:
    """Agents as a stack, from the highest priority down.

    Args:
        agents: Their folders.
        epsilon: Slack of every level but the last.
        per_axis: Candidates along an axis of the box of actions.

    Raises:
        ParameterError: If there is no agent.
    """
    from assay.systems.policy_composition.agents import load_agent

    loaded = [load_agent(folder) for folder in agents]
    if not loaded:
        raise ParameterError("a stack without a level", accepted="at least one agent")
    shared = loaded[0].actions(per_axis)
    return PriorityStack([agent.level(epsilon, actions=shared) for agent in loaded])


@component(version="2", requires=REQUIRES)
def agreement(
    agents: list[Path],
    composite: Composite,
    *,
    method: Method = "priorities",
    weight: PositiveFloat = 1.0,
    distance: PositiveFloat = 1.0,
    starts: PositiveInt = 300,
    steps: PositiveInt = 100,
    judged: PositiveInt = 2000,
    temperature: PositiveFloat = 1.0,
    greedy: bool = False,
    seed: Seed,
) -> Agreement:
    """Let learned levels act together, and compare them with the oracle where they went.

    Args:
        agents: Folders of the levels, from the highest priority down.
        composite: The oracle's stack of the same tasks, without noise; its epsilon is used for
            both.
        method: ``priorities``, the stack; or one of the `rivals`, which have no order.
        weight: What the first level counts, for the sum and the switch by value.
        distance: To the obstacle, up to which the first level acts, for the switch by distance.
        starts: Number of episodes.
        steps: Length of each; none ends early.
        judged: Moves that are drawn for the comparison, or all if there are fewer.
        temperature: Of the last level.
        greedy: Whether it takes the best allowed action instead of drawing one.
        seed: Of starts, actions and the draw.

    Raises:
        ParameterError: If the levels are not those of the oracle, or its world is noisy.
    """
    world, exact = composite.world, composite.stack()
    learned = learned_stack(agents, composite.epsilon, world.per_axis)
    names = [level.name for level in learned.levels]
    if names != composite.names:
        raise ParameterError(f"agents for {names}", accepted=f"{composite.names}, as the oracle")
    if world.sigma:
        raise ParameterError(f"an oracle in noise of {world.sigma:g}", accepted="one without")
    if method != "priorities":
        learned = rival(learned.levels, method, weight=weight, distance=distance)
    rng = np.random.default_rng(seed)
    begin = navigation.starts(starts, rng)
    made = rollouts(learned, begin, rng, steps=steps, temperature=temperature, greedy=greedy)
    records = _did(made)
    moves = made.paths[:, :-1].reshape(-1, 2), made.paths[:, 1:].reshape(-1, 2)
    drawn = rng.choice(len(moves[0]), min(judged, len(moves[0])), replace=False)
    before, after = moves[0][drawn], moves[1][drawn]
    records.add("judged", len(drawn), "1")
    if method == "priorities":
        _compare(records, learned, exact, before, after)
    else:
        records.add("violation_rate", 1.0 - _explained(exact, before, after).mean(), "1")
    share = np.concatenate([learned.volume(p) for p in _chunks(world.points)])
    records.add("allowed_share", share.mean(), "1")
    shape = world.nodes, world.nodes
    return Agreement(Shown(made.paths[:SHOWN].astype(np.float32), share.reshape(shape)), records)


def _did(made: Rollouts) -> Records:
    records = Records()
    records.add("starts", len(made.paths), "1")
    records.add("collision_rate", made.collided.mean(), "1")
    for number, task in enumerate(TASKS):
        records.add("return", made.returns[:, number].mean(), "1", task=task)
        if task != "obstacle":
            records.add("success_rate", made.arrived[:, number].mean(), "1", task=task)
    return records


def _chunks(states: np.ndarray) -> list[np.ndarray]:
    return np.array_split(states, -(-len(states) // CHUNK))


def _compare(
    records: Records, learned: PriorityStack, exact: PriorityStack, before: np.ndarray,
    after: np.ndarray,
) -> None:  # fmt: skip
    """Masks and values of two stacks in some states, and the moves that were made there."""
    pairs = list(zip(_chunks(before), _chunks(after), strict=True))
    mine = np.concatenate([learned.mask(states) for states, _ in pairs])
    theirs = np.concatenate([exact.mask(states) for states, _ in pairs])
    same = np.concatenate([_explains(exact.actions.candidates, *pair) for pair in pairs])
    iou = (mine & theirs).sum(axis=1) / (mine | theirs).sum(axis=1)
    edges = ~theirs.all(axis=1)
    records.add("mask_iou", iou.mean(), "1")
    records.add("mask_iou_at_edges", iou[edges].mean() if edges.any() else np.nan, "1")
    records.add("violation_rate", 1.0 - (same & theirs).any(axis=1).mean(), "1")
    records.add("forbidden_actions", (~(same & mine).any(axis=1)).sum(), "1")
    for one, other in zip(learned.levels, exact.levels, strict=True):
        values = [np.concatenate([q.values(s) for s, _ in pairs]) for q in (one, other)]
        gap = np.where(theirs, values[0] - values[1], 0.0)
        count = theirs.sum(axis=1, keepdims=True)
        even = np.where(theirs, gap - gap.sum(axis=1, keepdims=True) / count, 0.0)
        for measure, each in (("value_difference", gap), ("advantage_difference", even)):
            mean = (np.abs(each).sum(axis=1) / count[:, 0]).mean()
            records.add(measure, mean, "1", level=other.name)


def _explained(stack: PriorityStack, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Which moves some action explains that a stack allows, ``[batch]``."""
    found = list[np.ndarray]()
    for states, ends in zip(_chunks(before), _chunks(after), strict=True):
        same = _explains(stack.actions.candidates, states, ends)
        found.append(np.asarray((same & stack.mask(states)).any(axis=1)))
    return np.concatenate(found)


def _explains(candidates: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Which candidates lead where a move led, ``[batch, A]``."""
    each = np.repeat(before, len(candidates), axis=0)
    ends = navigation.move(each, np.tile(candidates, (len(before), 1)))
    apart = np.abs(ends.reshape(len(before), -1, 2) - after[:, None])
    return np.asarray((apart < 1e-9).all(axis=2))


@component(version="1", requires=REQUIRES)
def orders(
    agents: list[Path],
    *,
    epsilon: Annotated[float, Field(ge=0)] = 1.0,
    factor: PositiveFloat = 8.0,
    nodes: Annotated[int, Field(ge=3, le=401)] = 41,
    per_axis: Annotated[int, Field(ge=2, le=65)] = 17,
) -> Records:
    """Exchange the two lower of three learned levels, or rescale the first, and look at the masks.

    Args:
        agents: Folders of three levels.
        epsilon: Slack of each.
        factor: What the values and the slack of the first level are multiplied by; a power of two
            rounds nothing.
        nodes: States along an axis of the grid in which masks are compared.
        per_axis: Candidates along an axis of the box of actions.

    Returns:
        Shares of entries that differ: ``first_mask_difference`` and ``second_mask_difference``, of
        what one level and what two levels leave, if the lower two change places; and
        ``scaled_mask_difference``, of what the first leaves if it is rescaled.

    Raises:
        ParameterError: If there are not three agents.
    """
    if len(agents) != 3:
        raise ParameterError(f"{len(agents)} agents", accepted="three")
    first, second, third = learned_stack(agents, epsilon, per_axis).levels
    scaled = IndifferenceSpace(
        lambda states, actions: factor * first.values(states, actions),
        factor * epsilon, first.actions, first.name,
    )  # fmt: skip
    pairs = {
        "first_mask_difference": ([first, second], [first, third]),
        "second_mask_difference": ([first, second, third], [first, third, second]),
        "scaled_mask_difference": ([first, second], [scaled, second]),
    }
    axis = navigation.grid_axis(nodes)
    states = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    records = Records()
    for measure, levels in pairs.items():
        one, other = (np.concatenate([PriorityStack(of).mask(s) for s in _chunks(states)])
                      for of in levels)  # fmt: skip
        records.add(measure, (one != other).mean(), "1")
    return records
