"""The worlds through the Gymnasium API, rewards as one number or as a vector.

Notable in this file: ``task="vector"`` returns the rewards of all tasks as an array, and the space
they lie in as ``reward_space``, as mo-gymnasium's environments do; with any other task the reward
is that task's and the vector is in ``info["rewards"]``. So plain learners and those of several
objectives use the same environment.
"""

from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces

from assay.errors import ParameterError, StepError
from assay.systems.policy_composition import navigation
from assay.systems.policy_composition.gridworld import MOVES, REWARDS, GridWorld
from assay.systems.policy_composition.navigation import EDGE, TASKS, Task

__all__ = ["GridNavigation", "PointNavigation"]

PENALTY = 5.0
"""What ``obstacle_top`` takes off below the top, beside the reward of the obstacle."""
PointTask = Task | Literal["obstacle_top", "vector"]
GridTask = Literal["hazard", "goal", "mud", "vector"]


def _known(task: str, tasks: tuple[str, ...]) -> None:
    if task not in tasks:
        raise ParameterError(f"no task {task!r}", accepted=", ".join(tasks))


def _numbers(given: Any, what: str, accepted: str, where: str = "") -> np.ndarray:
    """Two finite numbers, or an error that says what was given."""
    try:
        made = np.array(given, float)
    except (TypeError, ValueError):
        made = np.empty(0)
    if made.shape != (2,) or not np.isfinite(made).all():
        raise ParameterError(f"{what} {given!r}", where=where, accepted=accepted)
    return made


class PointNavigation(gymnasium.Env[np.ndarray, np.ndarray]):
    """A point walks round an obstacle; the world of `navigation`.

    An episode is truncated after ``max_steps``. It terminates on a collision where collisions are
    detected, and nowhere else.

    Args:
        task: Whose reward is given: one of `TASKS`; ``obstacle_top``, that of the obstacle less 5
            while y < 7; or ``vector``, all of `TASKS`.
        detect_collisions: Whether a collision ends the episode and no episode begins in the
            obstacle; if not given, only for the task ``obstacle``.
        max_steps: Length of an episode.
        sigma: Standard deviation of normal noise of each coordinate in each step.

    Raises:
        ParameterError: If a parameter is out of range.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own annotation

    def __init__(
        self, task: PointTask = "vector", *, detect_collisions: bool | None = None,
        max_steps: int = 100, sigma: float = 0.0,
    ) -> None:  # fmt: skip
        _known(task, (*TASKS, "obstacle_top", "vector"))
        if max_steps < 1:
            raise ParameterError(f"episodes of {max_steps} steps", accepted="at least 1")
        if not 0 <= sigma < EDGE:
            raise ParameterError(f"noise of {sigma}", accepted=f"0 to {EDGE:g}")
        self.task, self.max_steps, self.sigma = task, max_steps, sigma
        given = detect_collisions
        self.detect_collisions = task == "obstacle" if given is None else given
        self.observation_space = spaces.Box(-EDGE, EDGE, (2,), np.float64)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float64)
        least = np.array([-11.0, *[-1.0] * (len(TASKS) - 1)])
        self.reward_space = spaces.Box(least, np.zeros(len(TASKS)), dtype=np.float64)
        self._state, self._taken = np.zeros(2), -1

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode, at ``options["state"]`` if that is given."""
        super().reset(seed=seed)
        if options and "state" in options:
            accepted = f"two numbers from -{EDGE:g} to {EDGE:g}"
            self._state = _numbers(options["state"], "no state", accepted, where="options")
            if self._state not in self.observation_space:
                raise ParameterError(
                    f"no state {self._state.tolist()}", where="options", accepted=accepted
                )
        else:
            begin = navigation.starts(1, self.np_random, clear=self.detect_collisions)
            self._state = begin[0]
        self._taken = 0
        return self._state.copy(), self._info(navigation.rewards(self._state[None])[0])

    def step(self, action: np.ndarray) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        """Move; see `navigation` for rewards."""
        if self._taken < 0:
            raise StepError("a step before the first reset", next="Call reset().")
        given = _numbers(action, "an action", "two finite numbers")
        noise = self.np_random.normal(0.0, self.sigma, (1, 2)) if self.sigma else None
        self._state = navigation.move(self._state[None], given[None], noise)[0]
        self._taken += 1
        rewards = navigation.rewards(self._state[None])[0]
        info = self._info(rewards)
        ended = bool(self.detect_collisions and info["collision"])
        reward = self._reward(rewards)
        return self._state.copy(), reward, ended, self._taken >= self.max_steps, info

    def _reward(self, rewards: np.ndarray) -> Any:
        if self.task == "vector":
            return rewards
        if self.task == "obstacle_top":
            return float(rewards[0] + PENALTY * rewards[1])
        return float(rewards[TASKS.index(self.task)])

    def _info(self, rewards: np.ndarray) -> dict[str, Any]:
        inside = bool(navigation.collides(self._state[None])[0])
        return {"rewards": rewards, "collision": inside}


class GridNavigation(gymnasium.Env[np.int64, np.int64]):
    """A walk over the cells of a `GridWorld` with five discrete actions.

    Args:
        task: Whose reward is given: hazard, goal, mud; or ``vector``, all three.
        world: Map and slip.
        max_steps: Episodes are truncated after so many.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own annotation

    def __init__(
        self, task: GridTask = "vector", *, world: GridWorld | None = None, max_steps: int = 100
    ) -> None:
        _known(task, (*REWARDS, "vector"))
        if max_steps < 1:
            raise ParameterError(f"episodes of {max_steps} steps", accepted="at least 1")
        self.task, self.max_steps, self.world = task, max_steps, world or GridWorld()
        self.observation_space = spaces.Discrete(len(self.world.cells))
        self.action_space = spaces.Discrete(len(MOVES))
        self.reward_space = spaces.Box(-1.0, 0.0, (len(REWARDS),), np.float64)
        self._state, self._taken = self.world.start, -1

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.int64, dict[str, Any]]:
        """Begin an episode at the start of the map."""
        super().reset(seed=seed)
        self._state, self._taken = self.world.start, 0
        return np.int64(self._state), {"rewards": self.world.rewards(self._state)}

    def step(self, action: np.int64) -> tuple[np.int64, Any, bool, bool, dict[str, Any]]:
        """Move, or slip to another of the moves."""
        if self._taken < 0:
            raise StepError("a step before the first reset", next="Call reset().")
        if action not in self.action_space:
            raise ParameterError(f"an action {action!r}", accepted=f"0 to {len(MOVES) - 1}")
        move = int(action)
        if self.world.slip and self.np_random.random() < self.world.slip:
            move = (move + 1 + int(self.np_random.integers(len(MOVES) - 1))) % len(MOVES)
        self._state = int(self.world.destinations[self._state, move])
        self._taken += 1
        rewards = self.world.rewards(self._state)
        ended = bool(self.world.cells[self._state] == "G")
        reward = rewards if self.task == "vector" else float(rewards[REWARDS.index(self.task)])
        truncated = self._taken >= self.max_steps
        return np.int64(self._state), reward, ended, truncated, {"rewards": rewards}
