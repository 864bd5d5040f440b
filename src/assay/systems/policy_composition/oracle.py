"""The oracle: exact policies of point navigation, alone or in order of priority, and what they do.

Notable in this file: a level is stored as the values of a grid of states, and an action's worth is
looked up one step ahead: its exact reward plus the interpolated value of where it leads. So the
edge of the obstacle is sharp, and a mask between the grid's nodes is as good as on them. With
``nearest`` an action is worth what it is worth in the nearest node, as by a table: wrong by up to
half a cell at the edge, as a learned critic may be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from assay.errors import ParameterError, did_you_mean
from assay.systems.policy_composition import navigation
from assay.systems.policy_composition.actions import ActionSet, box
from assay.systems.policy_composition.indifference import IndifferenceSpace, PriorityStack
from assay.systems.policy_composition.navigation import (
    EDGE,
    TASKS,
    Noise,
    gaussian_nodes,
    grid_axis,
)
from assay.systems.policy_composition.value_iteration import FiniteModel, Solution, solve

__all__ = [
    "GridValue",
    "Rollouts",
    "World",
    "error_bound",
    "exact",
    "joint_mask",
    "prioritised",
    "rollouts",
    "summed",
    "weights_of",
]


MOST_BYTES = 4 * 2**30
"""The largest model that is tabulated."""


@dataclass(frozen=True)
class World:
    """Point navigation as the oracle sees it.

    Attributes:
        nodes: Grid nodes along an axis of the state space, at least 3.
        per_axis: Candidates along an axis of the action space [-1, 1]^2, at least 2.
        sigma: Standard deviation of normal noise of each coordinate in each step. Expectations over
            it are those of 9 nodes, so masks in noise are as good as these.
        discount: In [0, 1).
        tolerance: How far a value may lie from the exact one of the grid.
        ends_on_collision: Whether a task that weighs the obstacle ends there. If it does, running
            into the obstacle also saves all later penalties.
        nearest: Whether actions are worth what they are worth in the nearest node, instead of being
            looked up one step ahead.

    Raises:
        ParameterError: If a parameter is out of range, or the model of the grid would fill more
            than 4 GiB.
    """

    nodes: int = 81
    per_axis: int = 17
    sigma: float = 0.0
    discount: float = 0.99
    tolerance: float = 0.01
    ends_on_collision: bool = False
    nearest: bool = False

    def __post_init__(self) -> None:
        if self.nodes < 3:
            raise ParameterError(
                f"a grid of {self.nodes} nodes along an axis", accepted="3 or more"
            )
        if not 0 <= self.sigma < EDGE:
            raise ParameterError(f"noise of {self.sigma}", accepted=f"0 to {EDGE:g}")
        if self.model_bytes > MOST_BYTES:
            raise ParameterError(
                f"a model of {self.model_bytes / 2**30:.1f} GiB, of {self.nodes} x {self.nodes} "
                f"states and {self.per_axis} x {self.per_axis} actions",
                accepted=f"at most {MOST_BYTES / 2**30:g} GiB", next="Take fewer of either.",
            )  # fmt: skip

    @property
    def model_bytes(self) -> int:
        """What `navigation.grid_transitions` fills.

        Each pair of a state and an action has four corners per node of the noise, with a number and
        a chance each, and a reward.
        """
        corners = 4 * len(self.noise[1])
        return self.nodes**2 * self.per_axis**2 * (corners * (4 + 8) + 8)

    @cached_property
    def actions(self) -> ActionSet:
        """The candidates."""
        return box([-1.0, -1.0], [1.0, 1.0], self.per_axis)

    @cached_property
    def noise(self) -> Noise:
        """The noise of a step as displacements and their probabilities."""
        return gaussian_nodes(self.sigma)

    @cached_property
    def points(self) -> np.ndarray:
        """The grid's states ``[nodes^2, 2]``, row by row from y = -10."""
        axis = grid_axis(self.nodes)
        return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)


@dataclass(frozen=True, eq=False)
class GridValue:
    """What actions are worth, from the values of a grid of states; a level's ``q``.

    Attributes:
        world: The world.
        weights: What each of `TASKS` counts in the reward.
        values: ``[nodes, nodes]``, row 0 at y = -10.
    """

    world: World
    weights: np.ndarray
    values: np.ndarray

    def __call__(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Values ``[batch, K]`` of actions ``[batch, K, 2]`` in states ``[batch, 2]``."""
        world, points = self.world, np.asarray(states, float)
        if world.nearest:
            step = 2.0 * EDGE / (world.nodes - 1)
            points = grid_axis(world.nodes)[np.rint((points + EDGE) / step).astype(int)]
        return navigation.look_ahead(
            points, np.asarray(actions, float), weights=self.weights,
            ends=_ends(world, self.weights), values=self.values, discount=world.discount,
            noise=world.noise,
        )  # fmt: skip

    def level(self, epsilon: float, name: str) -> IndifferenceSpace:
        """This policy as a level of a stack."""
        return IndifferenceSpace(self, epsilon, self.world.actions, name)


def _ends(world: World, weights: np.ndarray) -> bool:
    return bool(world.ends_on_collision and weights[0] != 0)


def weights_of(tasks: Mapping[str, float]) -> np.ndarray:
    """What each of `TASKS` counts, from those that count anything.

    Raises:
        ParameterError: If there is no such task.
    """
    for name in tasks:
        if name not in TASKS:
            raise ParameterError(f"no task {name!r}", next=did_you_mean(name, TASKS))
    return np.array([float(tasks.get(name, 0.0)) for name in TASKS])


def joint_mask(levels: Sequence[IndifferenceSpace], states: np.ndarray) -> np.ndarray:
    """Candidates that all these levels allow, ``[batch, A]``."""
    actions = levels[0].actions
    bottom = IndifferenceSpace(lambda s, a: np.zeros(a.shape[:2]), 0.0, actions, "bottom")
    return PriorityStack([*levels, bottom]).mask(states)


def exact(
    world: World,
    weights: np.ndarray,
    *,
    above: Sequence[IndifferenceSpace] = (),
    temperature: float = 1.0,
) -> tuple[GridValue, Solution]:
    """The exact soft policy of a weighted sum of tasks, inside what the levels above allow.

    Args:
        world: The world.
        weights: What each of `TASKS` counts.
        above: Levels of higher priority.
        temperature: In the unit of the rewards; the tolerance of the world is in its multiples.
    """
    transitions = navigation.grid_transitions(
        world.nodes, world.actions.candidates, weights=weights, ends=_ends(world, weights),
        noise=world.noise,
    )  # fmt: skip
    solution = solve(
        FiniteModel(*transitions),
        discount=world.discount,
        temperature=temperature,
        allowed=joint_mask(above, world.points) if above else None,
        tolerance=world.tolerance * max(temperature, 1e-6),
    )
    values = solution.values.reshape(world.nodes, world.nodes)
    return GridValue(world, weights, values), solution


def error_bound(
    value: GridValue, above: Sequence[IndifferenceSpace] = (), *, temperature: float = 1.0
) -> float:
    """How far values lie from the exact ones at most, by a backup through the look-ahead that acts.

    It shares neither the table of transitions nor the backup with the solver.

    Args:
        value: The values; their world looks ahead, ``nearest`` or not.
        above: Levels of higher priority, inside which they were computed.
        temperature: By which they were computed, above 0.

    Returns:
        The largest change of a node's value by another backup, over 1 - discount.
    """
    points, each = value.world.points, value.world.actions.candidates
    q = value(points, np.broadcast_to(each, (len(points), *each.shape)))
    if above:
        q = np.where(joint_mask(above, points), q, -np.inf)
    best = q.max(axis=1)
    backed_up = best + temperature * np.log(np.exp((q - best[:, None]) / temperature).mean(axis=1))
    return float(np.abs(backed_up - value.values.ravel()).max() / (1 - value.world.discount))


def summed(parts: Sequence[GridValue]) -> GridValue:
    """The sum of action values, which is a look-ahead too: rewards and values add up.

    Raises:
        ParameterError: If collisions end the episode, for which this does not hold.
    """
    if parts[0].world.ends_on_collision:
        raise ParameterError("a sum of values in a world that ends on collision")
    weights = np.sum([p.weights for p in parts], axis=0)
    return GridValue(parts[0].world, weights, np.sum([p.values for p in parts], axis=0))


def prioritised(
    world: World, tasks: Sequence[str], epsilons: Sequence[float], first: GridValue | None = None
) -> tuple[list[GridValue], list[Solution]]:
    """Tasks in order of priority, each the exact optimum inside the levels above it.

    Args:
        world: The world.
        tasks: Names, from the highest priority to the lowest.
        epsilons: One per task; that of the last is not used.
        first: The policy of the first task, if it is there already.

    Returns:
        The policies, and the solutions of those that were computed.

    Raises:
        ParameterError: If there is not one epsilon per task.
    """
    if len(tasks) != len(epsilons):
        raise ParameterError(
            f"{len(epsilons)} epsilons for {len(tasks)} tasks", accepted="one per task"
        )
    values, levels, solutions = list[GridValue](), list[IndifferenceSpace](), list[Solution]()
    for task, epsilon in zip(tasks, epsilons, strict=True):
        value = first
        if value is None or levels:
            value, solution = exact(world, weights_of({task: 1.0}), above=levels)
            solutions.append(solution)
        values.append(value)
        levels.append(value.level(epsilon, task))
    return values, solutions


class Rollouts(NamedTuple):
    """What a policy did.

    Attributes:
        paths: States ``[batch, steps + 1, 2]``.
        returns: Undiscounted sums of the rewards of every task, ``[batch, tasks]``.
        collided: Whether it was ever inside the obstacle, ``[batch]``.
        arrived: Whether the last state earns 0, ``[batch, tasks]``; False for the obstacle.
    """

    paths: np.ndarray
    returns: np.ndarray
    collided: np.ndarray
    arrived: np.ndarray


def rollouts(
    stack: PriorityStack,
    begin: np.ndarray,
    rng: np.random.Generator,
    *,
    steps: int = 100,
    sigma: float = 0.0,
    temperature: float = 1.0,
    greedy: bool = False,
) -> Rollouts:
    """Let a composite act from many states at once; episodes run to the end, collision or not.

    Args:
        stack: The composite.
        begin: States to begin in, ``[batch, 2]``.
        rng: Actions and noise are drawn from it.
        steps: Length of an episode.
        sigma: Standard deviation of the noise of a step.
        temperature: Of the last level.
        greedy: Whether to take the best allowed action instead of drawing one.
    """
    state, batch = np.asarray(begin, float), len(begin)
    paths = np.empty((batch, steps + 1, 2))
    paths[:, 0], returns = state, np.zeros((batch, len(TASKS)))
    collided, last = np.zeros(batch, bool), returns
    for step in range(1, steps + 1):
        action = stack.sample(state, rng, temperature=temperature, greedy=greedy)
        noise = rng.normal(0.0, sigma, (batch, 2)) if sigma else None
        state = navigation.move(state, action, noise)
        paths[:, step], last = state, navigation.rewards(state)
        returns += last
        collided |= navigation.collides(state)
    arrived = last == 0.0
    arrived[:, 0] = False
    return Rollouts(paths, returns, collided, arrived)
