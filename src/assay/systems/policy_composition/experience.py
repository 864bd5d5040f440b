"""Transitions as arrays: strips of consecutive steps, and what soft values are worth along them."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Bool, Float

from assay.errors import DataError
from assay.systems.policy_composition.datasets import Transitions

__all__ = [
    "Experience",
    "as_transitions",
    "experience_of",
    "joined",
    "rows_of",
    "strips",
    "trace_targets",
]


@dataclass(frozen=True, eq=False)
class Experience:
    """Transitions in strips: the steps of one follow each other in time.

    Attributes:
        states: ``[strips, steps, observations]``.
        actions: ``[strips, steps, axes]``.
        rewards: ``[strips, steps]``.
        next_states: Before any reset, ``[strips, steps, observations]``.
        terminated: Whether the episode ended in the next state, which is then worth nothing.
        last: Whether the next step of the strip, if any, is of another episode: it was terminated,
            or cut short and is worth what it would have been.
        log_density: Log of the density by which the action was drawn, against that of the uniform
            distribution over the box; infinite where it is not known.
        kept: Whether a transition may be learnt from.
    """

    states: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    next_states: np.ndarray
    terminated: np.ndarray
    last: np.ndarray
    log_density: np.ndarray
    kept: np.ndarray

    def __post_init__(self) -> None:
        shape = np.shape(self.rewards)
        for field in fields(self):
            if len(shape) != 2 or np.shape(getattr(self, field.name))[:2] != shape:
                raise DataError(
                    f"{field.name} of shape {np.shape(getattr(self, field.name))}",
                    where="experience", accepted=f"[strips, steps, ...], as rewards {shape}",
                )  # fmt: skip
        bad = ~np.isfinite(self.rewards) & self.kept
        if bad.any():
            strip, step = np.argwhere(bad)[0]
            raise DataError(
                f"a reward of {self.rewards[strip, step]}",
                where=f"strip {strip}, step {step}", accepted="finite numbers",
            )  # fmt: skip

    def __len__(self) -> int:
        return self.rewards.size

    def pick(self, which: np.ndarray) -> "Experience":
        """Some of the strips."""
        return replace(self, **{f.name: getattr(self, f.name)[which] for f in fields(self)})

    def without(self, removed: np.ndarray) -> "Experience":
        """The same with some transitions not to be learnt from.

        Args:
            removed: Flags in the order of the strips, one per transition.

        Raises:
            DataError: If there is not one flag per transition.
        """
        if np.size(removed) != len(self):
            raise DataError(
                f"{np.size(removed)} flags for {len(self)} transitions", where="experience",
                accepted="one per transition",
            )  # fmt: skip
        flags = np.reshape(removed, self.kept.shape).astype(bool)
        return replace(self, kept=self.kept & ~flags)


def rows_of(array: np.ndarray) -> np.ndarray:
    """What belongs to strips ``[strips, steps, ...]``, one step after the other."""
    return array.reshape(-1, *array.shape[2:])


def joined(parts: Iterable[Experience]) -> Experience:
    """Strips of several, one after the other."""
    given = list(parts)
    names = [field.name for field in fields(Experience)]
    return Experience(**{n: np.concatenate([getattr(p, n) for p in given]) for n in names})


def strips(
    states: Float[np.ndarray, "transitions observations"],
    actions: Float[np.ndarray, "transitions axes"],
    rewards: Float[np.ndarray, " transitions"],
    next_states: Float[np.ndarray, "transitions observations"],
    terminated: Bool[np.ndarray, " transitions"],
    truncated: Bool[np.ndarray, " transitions"],
    *,
    steps: int = 25,
) -> Experience:
    """Transitions in order of time, as data sets keep them, cut into strips.

    By which density actions were drawn is not known then, so values travel one step at a time. A
    last strip that is not full is filled with the last transition, marked not to be kept.

    Args:
        states: Where actions were taken.
        actions: The actions.
        rewards: What they earned.
        next_states: Where they led, before any reset.
        terminated: Whether the episode ended there.
        truncated: Whether it was cut short there.
        steps: Length of a strip.

    Raises:
        DataError: If there is no transition, or a reward is not a number.
    """
    count = len(rewards)
    if not count:
        raise DataError("no transition", where="experience", accepted="at least one")
    rows = np.minimum(np.arange(-(-count // steps) * steps), count - 1)
    parts = {
        "states": states, "actions": actions, "rewards": rewards, "next_states": next_states,
        "terminated": terminated, "last": terminated | truncated,
        "log_density": np.full(count, np.inf), "kept": np.ones(count, bool),
    }  # fmt: skip
    cut = {name: part[rows].reshape(-1, steps, *part.shape[1:]) for name, part in parts.items()}
    cut["kept"] &= (np.arange(len(rows)) < count).reshape(-1, steps)
    return Experience(**cut)


def experience_of(transitions: Transitions, task: str, *, steps: int = 25) -> Experience:
    """Transitions such as those of a data set, with the rewards of one task; see `strips`.

    Raises:
        DataError: If there is no transition, or no reward of that name.
    """
    return strips(
        transitions.states, transitions.actions, transitions.reward(task), transitions.next_states,
        transitions.terminated, transitions.truncated, steps=steps,
    )  # fmt: skip


def as_transitions(experience: Experience, task: str) -> Transitions:
    """Strips one after the other, as filters and data sets have them; a strip's end is truncated.

    Args:
        experience: The strips, those that are not kept among them.
        task: Name of their rewards.
    """
    ends = experience.last.copy()
    ends[:, -1:] = True
    ended, terminated = ends.ravel(), experience.terminated.ravel()

    return Transitions(
        states=rows_of(experience.states), actions=rows_of(experience.actions),
        rewards=experience.rewards.reshape(-1, 1), next_states=rows_of(experience.next_states),
        terminated=terminated, truncated=ended & ~terminated, episode=np.cumsum(ended) - ended,
        tasks=(task,), source="experience",
    )  # fmt: skip


def trace_targets(
    experience: Experience,
    q: Float[np.ndarray, "strips steps"],
    values: Float[np.ndarray, "strips steps"],
    *,
    discount: float,
    temperature: float,
    trace: float,
) -> Float[np.ndarray, "strips steps"]:
    """What each action should be worth, by its own step and those that follow it in the strip.

    The surprise of a step is r + discount V(s') - Q(s, a). A target is Q plus the surprise of the
    step and, discounted and weighed, those of later ones: by ``trace`` for each step, and less
    where the action is rarer by the policy of Q than by the one that took it (Retrace). For the
    right Q expected surprises are zero, whatever the weights, so what is right does not depend on
    them; only how far one pass over the data carries news.

    Args:
        experience: The transitions.
        q: What the taken actions are worth; -inf where one is forbidden now.
        values: Soft values of the next states.
        discount: Of later rewards.
        temperature: Of the policy, > 0.
        trace: In [0, 1]; 0 looks one step ahead.

    Source: Munos et al. 2016, "Safe and efficient off-policy reinforcement learning", Section 3,
    with the soft values of Haarnoja et al. 2017.
    """
    ahead = np.where(experience.terminated, 0.0, values)
    finite = np.where(np.isneginf(q), 0.0, q)
    surprise = experience.rewards + discount * ahead - finite
    surprise = np.where(experience.kept & ~np.isneginf(q), surprise, 0.0)
    gathered = np.zeros(q.shape)
    gathered[:, -1] = surprise[:, -1]
    for step in range(q.shape[1] - 2, -1, -1):
        log_policy = (q[:, step + 1] - values[:, step]) / temperature
        with np.errstate(over="ignore"):
            rarer = np.exp(np.minimum(log_policy - experience.log_density[:, step + 1], 0.0))
        goes_on = trace * rarer * (experience.kept[:, step + 1] & ~experience.last[:, step])
        gathered[:, step] = surprise[:, step] + discount * goes_on * gathered[:, step + 1]
    return finite + gathered
