"""Which retained transitions a lower level may learn from: those whose action is allowed.

Notable in this file: a transition is dropped exactly where `PriorityStack.mask` forbids its action
in its state, so what is learned offline is learned inside the indifference space, as online. What
no transition is left for cannot be learned; `coverage` says how much that is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

import numpy as np

from assay.errors import DataError, ParameterError
from assay.systems.policy_composition.actions import ActionSet
from assay.systems.policy_composition.datasets import Transitions
from assay.systems.policy_composition.indifference import PriorityStack

__all__ = ["Coverage", "Filtered", "box_cells", "coverage", "filter_transitions"]

ROWS = 4096
"""States whose candidates are valued at a time."""


@dataclass(frozen=True, eq=False)
class Filtered:
    """What a filter kept.

    Attributes:
        kept: The transitions whose action is allowed.
        allowed: Whether each of all transitions was kept, bool ``[n]``.
        forbidden_by: Number of transitions dropped, by the name of the first level that forbids
            them, in order of priority.
    """

    kept: Transitions
    allowed: np.ndarray
    forbidden_by: dict[str, int]

    @property
    def share(self) -> float:
        """Share of the transitions that was kept; 0 of none."""
        return float(self.allowed.mean()) if len(self.allowed) else 0.0


class Coverage(NamedTuple):
    """How far data reach.

    Attributes:
        states: Share of the states in whose cell there is a transition with an allowed action.
        actions: Share of the allowed candidates that are nearest to the action of such a
            transition, as a mean over the states.
        covered: Which states count in ``states``, bool ``[states]``.
    """

    states: float
    actions: float
    covered: np.ndarray


def filter_transitions(stack: PriorityStack, transitions: Transitions) -> Filtered:
    """Drop the transitions whose action a level above the last forbids.

    Args:
        stack: The levels, the last of them the one that is to learn.
        transitions: What was retained, of the same actions.

    Raises:
        DataError: If the actions are not those of the stack (episode and step are named).
    """
    actions = _actions(stack.actions, transitions)
    conflict = cast(Literal["restrict", "fallback", "error"], stack.on_conflict)
    depths = range(2, len(stack.levels) + 1)
    prefixes = [PriorityStack(stack.levels[:depth], conflict) for depth in depths]
    left, dropped = np.ones(len(transitions), bool), dict[str, int]()
    for prefix in prefixes:  # the last level of each restricts nothing
        found = left.copy()
        for begin in range(0, len(transitions), ROWS):
            rows = slice(begin, begin + ROWS)
            found[rows] &= prefix.mask(transitions.states[rows], actions[rows, None])[:, 0]
        name = prefix.levels[-2].name
        dropped[name] = dropped.get(name, 0) + int((left & ~found).sum())
        left = found
    return Filtered(transitions.kept(left), left, dropped)


def _actions(candidates: ActionSet, transitions: Transitions) -> np.ndarray:
    """The actions of transitions, if they are such as the candidates."""
    actions, like = transitions.actions, candidates.candidates
    if actions.shape[1:] != like.shape[1:]:
        raise DataError(
            f"actions of shape {actions.shape[1:]}", where=transitions.source,
            accepted=f"{like.shape[1:]}, as of {candidates}",
        )  # fmt: skip
    if not candidates.low:
        bad = ~np.isin(actions, like)
        if bad.any():
            row = int(np.argmax(bad))
            raise DataError(
                f"an action {actions[row]}", where=transitions.place(row), accepted=str(candidates)
            )
        return actions.astype(like.dtype)
    return actions


def coverage(
    stack: PriorityStack,
    kept: Transitions,
    states: np.ndarray,
    *,
    cell: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Coverage:
    """For how many states there are data with an allowed action.

    Args:
        stack: The levels, the last of them the one that is to learn.
        kept: Transitions that `filter_transitions` kept.
        states: The states that matter, such as those of a grid or those that a policy visits.
        cell: States to numbers of cells ``[batch]``; states of one cell share their data. If not
            given, states are numbers and each is a cell, as of a table.

    Raises:
        ParameterError: If there is no state.
        DataError: If the actions are not those of the stack.
    """
    if not len(states):
        raise ParameterError("the coverage of no states", accepted="at least one state")
    actions = _actions(stack.actions, kept)
    numbers = cell or np.asarray
    asked, have = numbers(states), numbers(kept.states)
    count = len(stack.actions.candidates)
    every, index = np.unique(asked, return_inverse=True)
    at = np.searchsorted(every, have)
    known = (at < len(every)) & (every[np.minimum(at, len(every) - 1)] == have)
    seen = np.zeros((len(every), count), bool)
    seen[at[known], _nearest(stack.actions, actions[known])] = True
    covered = np.asarray(seen.any(axis=1))[index]
    shares = np.empty(len(states))
    for begin in range(0, len(states), ROWS):
        rows = slice(begin, begin + ROWS)
        mask = stack.mask(states[rows])
        shares[rows] = (mask & seen[index[rows]]).sum(axis=1) / np.maximum(mask.sum(axis=1), 1)
    return Coverage(float(covered.mean()), float(shares.mean()), covered)


def _nearest(candidates: ActionSet, actions: np.ndarray) -> np.ndarray:
    """Number of the candidate nearest to each action."""
    from scipy.spatial import KDTree

    if not candidates.low:
        return np.searchsorted(candidates.candidates, actions)
    return np.asarray(KDTree(candidates.candidates).query(actions)[1], np.int64)


def box_cells(
    low: Sequence[float], high: Sequence[float], per_axis: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Cells of equal size of a box of states, for `coverage`; states beyond count as on its edge.

    Args:
        low: Lower corner.
        high: Upper corner.
        per_axis: Cells along each axis, at least 1.

    Raises:
        ParameterError: If the corners are no box, or there are too many cells to number.

    Example:
        >>> cell = box_cells([-10, -10], [10, 10], 4)
        >>> cell(np.array([[-10.0, -10.0], [9.0, 9.0], [0.0, -99.0]])).tolist()
        [0, 15, 2]
    """
    lows, highs = np.array(low, float), np.array(high, float)
    sides = highs - lows if lows.shape == highs.shape else np.zeros(1)
    if lows.ndim != 1 or not lows.size or not (np.isfinite(sides) & (sides > 0)).all():
        raise ParameterError(
            f"a box from {low} to {high}", accepted="finite corners, low below high on every axis"
        )
    if not (per_axis >= 1 and per_axis**lows.size < 2**62):
        raise ParameterError(
            f"{per_axis} cells along {lows.size} axes", accepted="1 to 2^62 in all"
        )
    places = per_axis ** np.arange(lows.size)

    def cell(states: np.ndarray) -> np.ndarray:
        at = np.floor((np.asarray(states) - lows) / sides * per_axis).astype(np.int64)
        return np.clip(at, 0, per_axis - 1) @ places

    return cell
