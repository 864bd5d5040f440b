"""What a learner practises in: many copies of an environment, stepped together.

Notable in this file: the learner holds the states and counts the steps of its episodes, so an
environment is a value without a memory. It says where episodes begin and what an action leads to;
whether a state is the last one (*terminated*, worth nothing any more) is its word, that an episode
is cut short (*truncated*, worth what it would have been) is the learner's.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from assay.errors import ParameterError
from assay.systems.policy_composition import navigation
from assay.systems.policy_composition.actions import ActionSet, box
from assay.systems.policy_composition.navigation import EDGE, TASKS

__all__ = ["Landed", "PointSurroundings", "Surroundings"]


class Landed(NamedTuple):
    """What a step led to.

    Attributes:
        states: The next states ``[batch, observations]``.
        rewards: ``[batch]``.
        terminated: Whether the episode ended there, ``[batch]``.
    """

    states: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray


class Surroundings(Protocol):
    """An environment as `soft_q` needs it."""

    @property
    def actions(self) -> ActionSet:
        """The box of actions and its candidates."""
        ...

    @property
    def observations(self) -> int:
        """Numbers in a state."""
        ...

    def begin(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """States ``[count, observations]`` in which episodes begin."""
        ...

    def step(self, states: np.ndarray, actions: np.ndarray, rng: np.random.Generator) -> Landed:
        """Take one action ``[batch, axes]`` in each state."""
        ...


@dataclass(frozen=True)
class PointSurroundings:
    """Point navigation for learners.

    Attributes:
        task: Whose rewards are given, one of `TASKS`.
        sigma: Standard deviation of normal noise of each coordinate in each step.
        ends_on_collision: Whether a collision ends the episode.
        clear: Whether no episode begins in the obstacle.
        per_axis: Candidates along an axis of the box of actions.

    Raises:
        ParameterError: If a parameter is out of range.
    """

    task: str
    sigma: float = 0.0
    ends_on_collision: bool = False
    clear: bool = True
    per_axis: int = 17

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ParameterError(f"no task {self.task!r}", accepted=", ".join(TASKS))
        if not 0 <= self.sigma < EDGE:
            raise ParameterError(f"noise of {self.sigma}", accepted=f"0 to {EDGE:g}")

    @property
    def actions(self) -> ActionSet:
        """Displacements in [-1, 1]^2."""
        return box([-1.0, -1.0], [1.0, 1.0], self.per_axis)

    @property
    def observations(self) -> int:
        """Two: x and y."""
        return 2

    def begin(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Points round the origin; see `navigation.starts`."""
        return navigation.starts(count, rng, clear=self.clear)

    def step(self, states: np.ndarray, actions: np.ndarray, rng: np.random.Generator) -> Landed:
        """Move, and be rewarded for where it led."""
        noise = rng.normal(0.0, self.sigma, states.shape) if self.sigma else None
        landed = navigation.move(states, actions, noise)
        rewards = navigation.rewards(landed)[:, TASKS.index(self.task)]
        ends = np.zeros(len(states), bool)
        return Landed(
            landed, rewards, navigation.collides(landed) if self.ends_on_collision else ends
        )
