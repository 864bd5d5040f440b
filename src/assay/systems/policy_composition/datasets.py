"""Transitions in memory: what all readers give and all offline learners take.

Notable in this file: where an episode is cut off it is not over. A truncated transition keeps its
next state and counts on: `Transitions.continues` is what a learner multiplies the value of the next
state by. Only a terminated one counts no further.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from assay.errors import DataError

__all__ = ["Transitions", "columns_of", "combined", "from_episode"]


_ARRAYS = (
    "states", "actions", "rewards", "next_states", "terminated", "truncated", "episode",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Transitions:
    """Transitions in the order in which they were made, episode after episode.

    Attributes:
        states: ``[n, ...]``, numbers.
        actions: ``[n, ...]``, numbers of discrete actions or points of a box.
        rewards: Of each task ``[n, tasks]``, those of ``next_states``.
        next_states: ``[n, ...]``, as ``states``.
        terminated: Whether the episode ended here, bool ``[n]``.
        truncated: Whether it was cut off here, bool ``[n]``.
        episode: Number of the episode, ``[n]``, never falling; the last transition of each is
            terminated or truncated, and no other.
        tasks: Names of the rewards.
        source: Where they are from, for errors.

    Raises:
        DataError: If shapes do not fit, a number is not finite (episode and step are named), or
            flags and episodes contradict each other.
    """

    states: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    next_states: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    episode: np.ndarray
    tasks: tuple[str, ...] = ("reward",)
    source: str = "transitions"

    def __post_init__(self) -> None:
        for name in _ARRAYS:
            object.__setattr__(self, name, np.asarray(getattr(self, name)))
        if self.states.ndim == 0:
            raise DataError("states are one number", where=self.source, accepted="one per step")
        count = len(self.states)
        shapes = {
            "actions": (count, *self.actions.shape[1:]),
            "rewards": (count, len(self.tasks)),
            "next_states": self.states.shape,
            "terminated": (count,), "truncated": (count,), "episode": (count,),
        }  # fmt: skip
        for name, shape in shapes.items():
            found = getattr(self, name).shape
            if found != shape:
                raise DataError(
                    f"{name} of shape {found}", where=self.source, accepted=f"shape {shape}"
                )
        for name in ("states", "actions", "rewards", "next_states"):
            self._refuse_nonsense(name)
        step = np.diff(self.episode)
        if (step < 0).any():
            raise self._at("episode numbers fall", int(np.argmax(step < 0)) + 1)
        last = np.append(step > 0, True)[:count]
        over = self.terminated.astype(bool) | self.truncated.astype(bool)
        if (over & ~last).any():
            raise self._at("the episode goes on after its end", int(np.argmax(over & ~last)))
        if (last & ~over).any():
            raise self._at(
                "the episode stops without an end", int(np.argmax(last & ~over)),
                accepted="terminated or truncated",
            )  # fmt: skip

    def _refuse_nonsense(self, name: str) -> None:
        values = getattr(self, name)
        if values.dtype.kind not in "biuf":
            raise DataError(f"{name} are {values.dtype}", where=self.source, accepted="numbers")
        bad = ~np.isfinite(values)
        if bad.any():
            row = int(np.argmax(_any(bad)))
            said = np.atleast_1d(values[row])[np.atleast_1d(bad[row])][0]
            raise self._at(f"{name} hold {said}", row, accepted="finite numbers")

    def _at(self, what: str, row: int, accepted: str = "") -> DataError:
        return DataError(what, where=self.place(row), accepted=accepted)

    def place(self, row: int) -> str:
        """Source, episode and step of a row, for errors."""
        step = row - int(np.argmax(self.episode == self.episode[row]))
        return f"{self.source}, episode {self.episode[row]}, step {step}"

    def __len__(self) -> int:
        return len(self.states)

    @property
    def continues(self) -> np.ndarray:
        """1.0 where the value of the next state counts, truncations among them, 0.0 elsewhere."""
        return 1.0 - self.terminated.astype(float)

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return len(np.unique(self.episode))

    def reward(self, task: str) -> np.ndarray:
        """The rewards of one task, ``[n]``.

        Raises:
            DataError: If there is no such task.
        """
        if task not in self.tasks:
            raise DataError(
                f"no reward {task!r}", where=self.source, accepted=", ".join(self.tasks)
            )
        return self.rewards[:, self.tasks.index(task)]

    def relabelled(
        self, rewards: Mapping[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]]
    ) -> "Transitions":
        """The same transitions with the rewards of other tasks.

        Args:
            rewards: By task, a function of states, actions and next states that gives ``[n]``.

        Raises:
            DataError: If a function gives another shape or numbers that are not finite.
        """
        columns = list[np.ndarray]()
        for task, function in rewards.items():
            found = np.asarray(function(self.states, self.actions, self.next_states), float)
            if found.shape != (len(self),):
                raise DataError(
                    f"rewards of shape {found.shape} for task {task!r}",
                    where=self.source, accepted=f"({len(self)},)",
                )  # fmt: skip
            columns.append(found)
        if not columns:
            raise DataError("no rewards to relabel with", where=self.source)
        return replace(self, rewards=np.stack(columns, axis=1), tasks=tuple(rewards))

    def kept(self, keep: np.ndarray) -> "Transitions":
        """Some of the transitions, as a learner takes them, one by one.

        Where those dropped leave the last one kept of an episode without an end, that one is
        truncated: its next state is known and counts.

        Args:
            keep: Bool ``[n]``.
        """
        chosen = np.asarray(keep, bool)
        episode = self.episode[chosen]
        last = np.append(np.diff(episode) > 0, True)[: len(episode)]
        arrays = {name: getattr(self, name)[chosen] for name in _ARRAYS}
        arrays["truncated"] = last & ~arrays["terminated"].astype(bool)
        return replace(self, **arrays)


def _any(flags: np.ndarray) -> np.ndarray:
    """Whether any flag of a row ``[n, ...]`` is set, ``[n]``."""
    return np.asarray(flags.reshape(len(flags), int(np.prod(flags.shape[1:]))).any(axis=1))


def from_episode(
    observations: np.ndarray,
    actions: np.ndarray,
    rewards: np.ndarray,
    *,
    terminated: bool,
    number: int = 0,
    tasks: Sequence[str] = ("reward",),
    source: str = "transitions",
) -> Transitions:
    """One episode as transitions; if it did not terminate, it was truncated.

    Args:
        observations: ``[T + 1, ...]``, the first from the reset.
        actions: ``[T, ...]``.
        rewards: ``[T]`` or ``[T, tasks]``.
        terminated: Whether it terminated at its end.
        number: Of the episode.
        tasks: Names of the rewards.
        source: Where it is from.

    Raises:
        DataError: If the numbers of steps do not fit, or there is no step.
    """
    steps = len(actions)
    if not steps or len(observations) != steps + 1 or len(rewards) != steps:
        raise DataError(
            f"{len(observations)} observations, {steps} actions and {len(rewards)} rewards",
            where=f"{source}, episode {number}", accepted="T + 1, T and T, T at least 1",
        )  # fmt: skip
    end = np.arange(steps) == steps - 1
    return Transitions(
        states=observations[:-1], actions=actions, rewards=columns_of(rewards),
        next_states=observations[1:], terminated=end & terminated, truncated=end & (not terminated),
        episode=np.full(steps, number), tasks=tuple(tasks), source=source,
    )  # fmt: skip


def columns_of(rewards: np.ndarray) -> np.ndarray:
    """Rewards ``[n]`` or ``[n, tasks]`` as ``[n, tasks]``."""
    return rewards[:, None] if np.ndim(rewards) == 1 else rewards


def combined(parts: Sequence[Transitions]) -> Transitions:
    """Transitions of several episodes or files one after the other, episodes numbered anew.

    Args:
        parts: At least one, of the same tasks and shapes.

    Raises:
        DataError: If there is none, or they do not fit together.
    """
    if not parts:
        raise DataError("no transitions to combine")
    first, numbers, seen = parts[0], list[np.ndarray](), 0
    for part in parts:
        for name, one, other in (
            ("tasks", part.tasks, first.tasks),
            ("states of shape", part.states.shape[1:], first.states.shape[1:]),
            ("actions of shape", part.actions.shape[1:], first.actions.shape[1:]),
        ):
            if one != other:
                raise DataError(f"{name} {one}", where=part.source, accepted=str(other))
        found, again = np.unique(part.episode, return_inverse=True)
        numbers.append(again.astype(np.int64) + seen)
        seen += len(found)
    arrays = {n: np.concatenate([getattr(part, n) for part in parts]) for n in _ARRAYS}
    return replace(first, **(arrays | {"episode": np.concatenate(numbers)}))
