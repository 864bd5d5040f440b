"""Indifference spaces and the stack that composes policies in order of priority.

Notable in this file: an action is allowed at a level iff it is worth at most epsilon less than the
best action *that the levels above allow*. That best action is itself allowed, so the intersection
of all levels is never empty, for any epsilon >= 0. The sources take the best of all actions, by
which it can be empty; that is ``on_conflict="fallback"`` and ``"error"``.

A level is any callable from states ``[batch, ...]`` and actions ``[batch, actions, ...]`` to values
``[batch, actions]``: a table, a barrier function, a network. What is guaranteed is exact for these
values: a forbidden action has probability 0. If they are off by at most d, an allowed action costs
its level at most epsilon + 2 d in that state. Over an episode such losses add up: the first level,
or an adapted one within what is left to it, loses at most (epsilon + 2 d) / (1 - discount) against
its own (soft) optimum.

Source: Rietz et al. 2022, "Towards Task-Prioritized Policy Composition" (abstract), and Rietz et
al. 2024, "Prioritized Soft Q-Decomposition for Lexicographic Reinforcement Learning" (public code).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, NoReturn

import numpy as np

from assay.errors import DataError, ParameterError, StepError
from assay.systems.policy_composition.actions import ActionSet

__all__ = ["Explanation", "IndifferenceSpace", "PriorityStack", "Quality", "Reason", "pick"]

Quality = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""States ``[batch, ...]`` and actions ``[batch, actions, ...]`` to values ``[batch, actions]``."""
Epsilon = float | Callable[[np.ndarray], np.ndarray]
Conflict = Literal["restrict", "fallback", "error"]


@dataclass(frozen=True, eq=False)
class IndifferenceSpace:
    """The actions that a policy would not mind: worth at most epsilon less than its best.

    Attributes:
        q: What an action is worth; see `Quality`.
        epsilon: >= 0, in the unit of ``q``: one number, or a function from states to ``[batch]``.
        actions: The candidates among which the best is sought.
        name: For explanations and errors.

    Raises:
        ParameterError: If epsilon is negative or not a number.
    """

    q: Quality
    epsilon: Epsilon
    actions: ActionSet
    name: str = "level"

    def __post_init__(self) -> None:
        if not callable(self.epsilon):
            self._refuse_negative(np.atleast_1d(np.asarray(self.epsilon, float)))

    def values(self, states: np.ndarray, actions: np.ndarray | None = None) -> np.ndarray:
        """What actions are worth.

        Args:
            states: ``[batch, ...]``.
            actions: ``[batch, K, ...]``; the candidates if not given.

        Returns:
            ``[batch, K]``; -inf is a value, nan and +inf are not.

        Raises:
            DataError: If the level gives another shape, or a value that is none.
        """
        if actions is None:
            each = self.actions.candidates
            actions = np.broadcast_to(each, (len(states), *each.shape))
        values = np.asarray(self.q(states, actions))
        if values.shape != actions.shape[:2]:
            raise DataError(
                f"values of shape {values.shape}",
                where=f"level {self.name!r}", accepted=f"[states, actions] = {actions.shape[:2]}",
            )  # fmt: skip
        bad = np.isnan(values) | (values == np.inf)
        if bad.any():
            row = int(np.argmax(bad.any(axis=1)))
            said = values[row][bad[row]][0]
            raise DataError(
                f"an action is worth {said} in state {np.asarray(states)[row].tolist()}",
                where=f"level {self.name!r}", accepted="numbers, or -inf for what is forbidden",
            )  # fmt: skip
        return values

    def threshold(
        self, states: np.ndarray, values: np.ndarray, within: np.ndarray | None = None
    ) -> np.ndarray:
        """The least an allowed action is worth, ``[batch]``.

        Args:
            states: ``[batch, ...]``.
            values: Of the candidates, ``[batch, A]``.
            within: Candidates among which the best is sought; all if not given.

        Raises:
            ParameterError: If an epsilon that depends on the state is negative, not a number, or
                not one per state.
        """
        best = np.max(values if within is None else np.where(within, values, -np.inf), axis=1)
        if not callable(self.epsilon):
            return best - self.epsilon
        epsilon = np.asarray(self.epsilon(states), float)
        if epsilon.shape not in ((), (len(states),)):
            raise ParameterError(
                f"epsilons of shape {epsilon.shape}", where=f"level {self.name!r}",
                accepted=f"one number per state, ({len(states)},)",
            )  # fmt: skip
        self._refuse_negative(np.atleast_1d(epsilon))
        return best - epsilon

    def slack(
        self, states: np.ndarray, actions: np.ndarray | None = None,
        within: np.ndarray | None = None,
    ) -> np.ndarray:  # fmt: skip
        """How much worse each action could be and still be allowed, ``[batch, K]``; < 0: it is not.

        Args:
            states: ``[batch, ...]``.
            actions: ``[batch, K, ...]``; the candidates if not given.
            within: Candidates ``[batch, A]`` that levels above allow; all if not given.
        """
        candidates = self.values(states)
        least = self.threshold(states, candidates, within)[:, None]
        values = candidates if actions is None else self.values(states, actions)
        return _above(values, least)

    def mask(
        self, states: np.ndarray, actions: np.ndarray | None = None,
        within: np.ndarray | None = None,
    ) -> np.ndarray:  # fmt: skip
        """Whether each action is allowed, ``[batch, K]``; arguments as those of `slack`."""
        allowed = self.slack(states, actions, within) >= 0
        return allowed if within is None or actions is not None else allowed & within

    def volume(self, states: np.ndarray) -> np.ndarray:
        """Share of the candidates that is allowed, ``[batch]``."""
        return self.mask(states).mean(axis=1)

    def _refuse_negative(self, epsilon: np.ndarray) -> None:
        bad = ~(epsilon >= 0)
        if bad.any():
            raise ParameterError(
                f"an epsilon of {epsilon[bad][0]:g}", where=f"level {self.name!r}",
                accepted="0 or more",
            )  # fmt: skip


def _above(values: np.ndarray, least: np.ndarray) -> np.ndarray:
    """By how much values exceed the least; where that is -inf, everything does."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isneginf(least), np.inf, values - least)


class Reason(NamedTuple):
    """What one level says of one action: its worth, the least allowed, what it has above that."""

    level: str
    allowed: bool
    value: float
    least: float
    slack: float


class Explanation(NamedTuple):
    """Why an action is allowed or not.

    Attributes:
        allowed: Whether every level allows it.
        forbidden_by: The first level that does not; empty if it is allowed.
        short_by: By how much it falls short there; 0 if it is allowed.
        reasons: Every level above the last, in order.
    """

    allowed: bool
    forbidden_by: str
    short_by: float
    reasons: tuple[Reason, ...]


class _Descent(NamedTuple):
    """What the levels above the last leave: candidates, the acting level, least values."""

    mask: np.ndarray  # [batch, A]
    values: np.ndarray  # [batch, A]: of the acting level
    acting: np.ndarray  # [batch]: number of the level that acts
    least: np.ndarray  # [levels - 1, batch]


class PriorityStack:
    """Policies in order of priority, composed into one.

    Every level but the last restricts the actions to those it is indifferent between; the last one
    chooses among what is left. A stack of one level is that policy alone.

    Args:
        levels: From the highest priority to the lowest, of one action space. The epsilon of the
            last is not used.
        on_conflict: What counts as a level's best action. ``restrict``: the best of those that the
            levels above allow, so some action is always left. ``fallback``: the best of all; where
            no action is left, the level that left none acts instead, among what was left to it.
            ``error``: the best of all; where no action is left, an error names level and state.

    Raises:
        ParameterError: If there is no level, or levels have different action spaces.
    """

    def __init__(
        self, levels: Sequence[IndifferenceSpace], on_conflict: Conflict = "restrict"
    ) -> None:
        self.levels, self.on_conflict = tuple(levels), on_conflict
        if not self.levels:
            raise ParameterError("a stack without a level", accepted="at least one")
        if on_conflict not in ("restrict", "fallback", "error"):
            raise ParameterError(
                f"on_conflict is {on_conflict!r}", accepted="restrict, fallback or error"
            )
        self.actions = self.levels[0].actions
        for level in self.levels[1:]:
            if not level.actions.same_space(self.actions):
                raise ParameterError(
                    f"level {level.name!r} acts in {level.actions}",
                    accepted=f"{self.actions}, as level {self.levels[0].name!r}",
                )

    def _descend(self, states: np.ndarray) -> _Descent:
        """Go down the levels; of each the values of all candidates are taken once."""
        batch = len(states)
        mask = np.ones((batch, len(self.actions.candidates)), bool)
        values, least = np.zeros(mask.shape), np.empty((len(self.levels) - 1, batch))
        acting, going = np.full(batch, len(self.levels) - 1), np.ones(batch, bool)
        for number, level in enumerate(self.levels):
            found = self._values(level, states)
            values[going] = found[going]
            if number == len(self.levels) - 1:
                break
            within = mask if self.on_conflict == "restrict" else None
            least[number] = level.threshold(states, found, within)
            left = mask & (found >= least[number][:, None])
            empty = going & ~left.any(axis=1)
            if empty.any():
                if self.on_conflict == "error":
                    _refuse_empty(level, states, empty)
                acting[empty], going = number, going & ~empty
            mask = np.where(going[:, None], left, mask)
        return _Descent(mask, values, acting, least)

    def _values(
        self, level: IndifferenceSpace, states: np.ndarray, actions: np.ndarray | None = None
    ) -> np.ndarray:
        """Values of a level for this stack's candidates, which another may have drawn anew."""
        if actions is None and level.actions is not self.actions:
            each = self.actions.candidates
            actions = np.broadcast_to(each, (len(states), *each.shape))
        return level.values(states, actions)

    def mask(self, states: np.ndarray, actions: np.ndarray | None = None) -> np.ndarray:
        """Whether every level above the last allows an action, ``[batch, K]``.

        Args:
            states: ``[batch, ...]``.
            actions: ``[batch, K, ...]``; the candidates if not given. The least that a level allows
                is always told by the candidates.
        """
        found = self._descend(states)
        if actions is None:
            return found.mask
        allowed = np.ones(actions.shape[:2], bool)
        for number, level in enumerate(self.levels[:-1]):
            counts = (number < found.acting)[:, None]
            values = self._values(level, states, actions)
            allowed &= ~counts | (values >= found.least[number][:, None])
        return allowed

    def q(self, states: np.ndarray) -> np.ndarray:
        """The composite's value of every candidate, ``[batch, A]``; -inf where it is forbidden."""
        found = self._descend(states)
        return np.where(found.mask, found.values, -np.inf)

    def volume(self, states: np.ndarray) -> np.ndarray:
        """Share of the candidates left to the last level, ``[batch]``."""
        return self.mask(states).mean(axis=1)

    def acting(self, states: np.ndarray) -> np.ndarray:
        """Number of the level that chooses, ``[batch]``: the last, but for ``fallback``."""
        return self._descend(states).acting

    def sample(
        self, states: np.ndarray, rng: np.random.Generator, *, temperature: float = 1.0,
        greedy: bool = False,
    ) -> np.ndarray:  # fmt: skip
        """Choose one action per state, from exp(Q / temperature) over what is allowed.

        Args:
            states: ``[batch, ...]``.
            rng: One number is drawn per state, so a batch gives what its rows give one by one.
            temperature: > 0 and finite, in the unit of the last level.
            greedy: Take the best allowed candidate instead, the first of equals.

        Returns:
            Candidates, ``[batch, ...]``.

        Raises:
            ParameterError: If the temperature is not above 0 and finite.
        """
        found = self._descend(states)
        if greedy:
            values = np.where(found.mask, found.values, -np.inf)
            none = np.isneginf(values.max(axis=1, keepdims=True))
            chosen = np.where(none, found.mask, values).argmax(axis=1)
        else:
            chosen = pick(found.values, found.mask, rng.random(len(states)), temperature)
        return self.actions.candidates[chosen]

    def explain(self, state: np.ndarray, action: np.ndarray | int) -> Explanation:
        """Which level forbids an action in a state, and by how much.

        Args:
            state: One state, without a batch axis.
            action: One action.
        """
        states, asked = np.asarray(state)[None], np.asarray(action)[None, None]
        found, reasons = self._descend(states), list[Reason]()
        for number, level in enumerate(self.levels[:-1]):
            value = float(self._values(level, states, asked)[0, 0])
            least = float(found.least[number, 0])
            slack = float(_above(np.array(value), np.array(least)))
            passes = value >= least or number >= found.acting[0]
            reasons.append(Reason(level.name, bool(passes), value, least, slack))
        first = next((r for r in reasons if not r.allowed), None)
        if first is None:
            return Explanation(True, "", 0.0, tuple(reasons))
        return Explanation(False, first.level, -first.slack, tuple(reasons))


def _refuse_empty(level: IndifferenceSpace, states: np.ndarray, empty: np.ndarray) -> NoReturn:
    state = np.asarray(states)[int(np.argmax(empty))].tolist()
    raise StepError(
        f"no action that the levels above allow is within epsilon of the best in state {state}",
        where=f"level {level.name!r}", next="Raise an epsilon, or choose on_conflict='restrict'.",
    )  # fmt: skip


def pick(
    values: np.ndarray, mask: np.ndarray, uniform: np.ndarray, temperature: float = 1.0
) -> np.ndarray:
    """Row by row, the number of one allowed entry, with probability as exp(value / temperature).

    Args:
        values: ``[batch, A]``; the largest of a row is subtracted first, so any size will do.
        mask: What may be chosen, ``[batch, A]``, at least one per row.
        uniform: A number in [0, 1) per row.
        temperature: > 0 and finite.

    Raises:
        ParameterError: If the temperature is not above 0 and finite.

    Example:
        >>> pick(np.array([[0.0, 5000.0, 1.0]]), np.array([[True, False, True]]), np.array([0.2]))
        array([0])
    """
    if not 0 < temperature < np.inf:
        raise ParameterError(f"a temperature of {temperature:g}", accepted="more than 0, finite")
    allowed = np.where(mask, values, -np.inf)
    top = allowed.max(axis=1, keepdims=True)
    lost = np.isneginf(top)
    weights = np.exp((allowed - np.where(lost, 0.0, top)) / temperature)
    weights = np.where(lost, 1.0, weights)  # nothing allowed is worth anything: choose evenly
    weights = np.where(mask, weights, 0.0)
    sums = weights.cumsum(axis=1)
    total = sums[:, -1]
    at = np.minimum(uniform * total, np.nextafter(total, 0.0))
    return (sums <= at[:, None]).sum(axis=1)
