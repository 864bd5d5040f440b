"""The arm through the Gymnasium API, rewards as one number or as a vector."""

from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces

from assay.errors import ParameterError, StepError
from assay.systems.policy_composition import arm as world
from assay.systems.policy_composition.arm import LIMIT, TASKS, Arm, ArmTask

__all__ = ["PlanarArm"]


class PlanarArm(gymnasium.Env[np.ndarray, np.ndarray]):
    """An arm reaches for a target between forbidden discs; the world of `arm`.

    The observation is the pose, the action the speeds of the joints. An episode is truncated after
    ``max_steps``; it terminates where a link touches a disc if collisions are detected, and nowhere
    else, not at the target either.

    Args:
        task: Whose reward is given: one of `TASKS`, or ``vector``, all of them as an array that
            lies in ``reward_space``, as mo-gymnasium's environments do.
        arm: Arm, discs and target.
        detect_collisions: Whether a touch ends the episode and no episode begins in one; if not
            given, only for the task ``avoid``.
        max_steps: Length of an episode.

    Raises:
        ParameterError: If a parameter is out of range.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own annotation

    def __init__(
        self, task: ArmTask | Literal["vector"] = "vector", *, arm: Arm | None = None,
        detect_collisions: bool | None = None, max_steps: int = 200,
    ) -> None:  # fmt: skip
        if task not in (*TASKS, "vector"):
            raise ParameterError(f"no task {task!r}", accepted=", ".join((*TASKS, "vector")))
        if max_steps < 1:
            raise ParameterError(f"episodes of {max_steps} steps", accepted="at least 1")
        self.task, self.arm, self.max_steps = task, arm or Arm(), max_steps
        given = detect_collisions
        self.detect_collisions = task == "avoid" if given is None else given
        count = (self.arm.count,)
        self.observation_space = spaces.Box(-LIMIT, LIMIT, count, np.float64)
        self.action_space = spaces.Box(-1.0, 1.0, count, np.float64)
        least = np.array([-11.0, -1.0 - 2.0 * sum(self.arm.lengths), -((2.0 * LIMIT) ** 2)])
        self.reward_space = spaces.Box(least, np.zeros(len(TASKS)), dtype=np.float64)
        self._state, self._taken = np.array(self.arm.home, float), -1

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode, at ``options["state"]`` if that is given."""
        super().reset(seed=seed)
        if options and "state" in options:
            accepted = f"{self.arm.count} angles from -pi to pi"
            given = self._numbers(options["state"], "no state", accepted, where="options")
            if not (np.abs(given) <= LIMIT).all():
                raise ParameterError(
                    f"no state {given.tolist()}", where="options", accepted=accepted
                )
            self._state = given
        else:
            self._state = world.starts(
                self.arm, 1, self.np_random, clear=self.detect_collisions
            )[0]  # fmt: skip
        self._taken = 0
        return self._state.copy(), self._info(world.rewards(self.arm, self._state[None])[0])

    def step(self, action: np.ndarray) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        """Turn the joints; see `arm` for rewards."""
        if self._taken < 0:
            raise StepError("a step before the first reset", next="Call reset().")
        given = self._numbers(action, "an action", f"{self.arm.count} finite numbers")
        self._state = world.move(self.arm, self._state[None], given[None])[0]
        self._taken += 1
        rewards = world.rewards(self.arm, self._state[None])[0]
        info = self._info(rewards)
        ended = bool(self.detect_collisions and info["collision"])
        reward = rewards if self.task == "vector" else float(rewards[TASKS.index(self.task)])
        return self._state.copy(), reward, ended, self._taken >= self.max_steps, info

    def _numbers(self, given: Any, what: str, accepted: str, where: str = "") -> np.ndarray:
        """One finite number per joint, or an error that says what was given."""
        try:
            made = np.array(given, float)
        except (TypeError, ValueError):
            made = np.empty(0)
        if made.shape != (self.arm.count,) or not np.isfinite(made).all():
            raise ParameterError(f"{what} {given!r}", where=where, accepted=accepted)
        return made

    def _info(self, rewards: np.ndarray) -> dict[str, Any]:
        inside = bool(world.touches(self.arm, self._state[None])[0])
        return {"rewards": rewards, "collision": inside, "arrived": bool(rewards[1] == 0.0)}
