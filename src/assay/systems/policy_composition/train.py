"""Exact policies of the tasks, and their composition: what a learner would have to come to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field, PositiveFloat

from assay.core.component import component
from assay.core.records import Records
from assay.errors import ParameterError
from assay.systems.policy_composition.indifference import IndifferenceSpace, PriorityStack
from assay.systems.policy_composition.navigation import Task
from assay.systems.policy_composition.oracle import (
    GridValue,
    World,
    error_bound,
    exact,
    prioritised,
    summed,
    weights_of,
)
from assay.systems.policy_composition.value_iteration import Solution

__all__ = ["Composed", "Composite", "Solved", "SolvedTasks", "compose", "solve_tasks"]

Method = Literal["task alone", "sum of rewards", "sum of values", "zero-shot", "adapted"]


@dataclass(frozen=True, eq=False)
class Solved:
    """Policies of tasks on their own.

    Attributes:
        world: The world.
        values: By task, ``[nodes, nodes]``.
    """

    world: World
    values: dict[str, np.ndarray]

    def policy(self, task: str) -> GridValue:
        """The policy of one task.

        Raises:
            ParameterError: If it has not been computed.
        """
        if task not in self.values:
            raise ParameterError(f"no policy for {task!r}", accepted=", ".join(self.values))
        return GridValue(self.world, weights_of({task: 1.0}), self.values[task])


@dataclass(frozen=True, eq=False)
class Composite:
    """Policies in order of priority, as arrays.

    Attributes:
        world: The world.
        names: Of the levels.
        epsilon: Of every level but the last.
        weights: What each task counts in each level, ``[levels, tasks]``.
        values: ``[levels, nodes, nodes]``.
    """

    world: World
    names: list[str]
    epsilon: float
    weights: np.ndarray
    values: np.ndarray

    def stack(self, epsilon: float | None = None) -> PriorityStack:
        """The composite as a policy; with another epsilon, if one is given."""
        slack = self.epsilon if epsilon is None else epsilon
        parts = zip(self.names, self.weights, self.values, strict=True)
        return PriorityStack([GridValue(self.world, w, v).level(slack, n) for n, w, v in parts])


class SolvedTasks(NamedTuple):
    """Policies, with records ``error_bound`` and ``rounds`` by task."""

    policies: Solved
    records: Records


class Composed(NamedTuple):
    """A composite, with the ``error_bound`` and ``rounds`` of the levels that were adapted."""

    composite: Composite
    records: Records


@component(version="2", requires=("numba", "numpy"))
def solve_tasks(
    *,
    tasks: Annotated[list[Task], Field(min_length=1)],
    nodes: Annotated[int, Field(ge=3, le=401)] = 81,
    per_axis: Annotated[int, Field(ge=2, le=65)] = 17,
    sigma: Annotated[float, Field(ge=0, lt=10)] = 0.0,
    discount: Annotated[float, Field(ge=0, lt=1)] = 0.99,
) -> SolvedTasks:
    """The exact soft policy of each task on its own.

    Args:
        tasks: The tasks.
        nodes: Grid nodes along an axis of the state space.
        per_axis: Candidates along an axis of the action space.
        sigma: Standard deviation of the noise of a step.
        discount: Of later rewards.
    """
    world = World(nodes=nodes, per_axis=per_axis, sigma=sigma, discount=discount)
    records, values = Records(), dict[str, np.ndarray]()
    for task in tasks:
        policy, solution = exact(world, weights_of({task: 1.0}))
        values[task] = policy.values
        _tell(records, task, policy, solution)
    return SolvedTasks(Solved(world, values), records)


@component(version="2", requires=("numba", "numpy"))
def compose(
    policies: Solved,
    *,
    order: Annotated[list[Task], Field(min_length=1)],
    method: Method = "adapted",
    epsilon: Annotated[float, Field(ge=0)] = 1.0,
    weight: PositiveFloat = 1.0,
    nearest: bool = False,
) -> Composed:
    """Compose policies.

    Args:
        policies: Those of the tasks on their own.
        order: Tasks from the highest priority to the lowest.
        method: ``task alone``, the first of the order; ``sum of rewards``, the policy of weight x
            the first reward + the others; ``sum of values``, the sum of all policies' action
            values; ``zero-shot``, the stack as the policies are; ``adapted``, each level computed
            anew inside the levels above it.
        epsilon: Of every level but the last, for the last two methods.
        weight: For the sum of rewards.
        nearest: Whether it then acts by the action values of the nearest node of the grid, instead
            of looking one step ahead.
    """
    alone, records = [policies.policy(task) for task in order], Records()
    names: list[str] = [*order]
    if method == "task alone":
        names, parts = names[:1], alone[:1]
    elif method == "sum of rewards":
        shares = {task: 1.0 for task in order} | {order[0]: weight}
        policy, solution = exact(policies.world, weights_of(shares))
        names, parts = [method], [policy]
        _tell(records, method, policy, solution)
    elif method == "sum of values":
        names, parts = [method], [summed(alone)]
    elif method == "zero-shot":
        parts = alone
    else:
        slacks = [epsilon] * len(order)
        parts, solutions = prioritised(policies.world, order, slacks, first=alone[0])
        levels = [part.level(epsilon, name) for part, name in zip(parts, order, strict=True)]
        for number, solution in enumerate(solutions, 1):
            _tell(records, order[number], parts[number], solution, levels[:number])
    made = Composite(
        replace(policies.world, nearest=nearest),
        names,
        epsilon,
        np.array([p.weights for p in parts]),
        np.array([p.values for p in parts]),
    )
    return Composed(made, records)


def _tell(
    records: Records, task: str, policy: GridValue, solution: Solution,
    above: Sequence[IndifferenceSpace] = (),
) -> None:  # fmt: skip
    records.add("error_bound", error_bound(policy, above), "1", task=task)
    records.add("rounds", solution.rounds, "1", task=task)
