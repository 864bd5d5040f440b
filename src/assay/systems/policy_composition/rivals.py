"""Ways to put levels together without an order, to hold priorities against: a sum, two switches.

Notable in this file: a rival is a stack of one level, which forbids nothing. Its values are made of
those of the levels, so whatever samples and measures a stack does the same with a rival.

| method | acts by |
|---|---|
| sum of values | weight x the values of the first level + those of the others |
| switch by value | the level whose best action is worth most, that of the first counted by weight |
| switch by distance | the first level within a distance of the obstacle, else the last |

Source: the sum, Haarnoja et al. 2018, "Composable deep reinforcement learning for robotic
manipulation"; the switch by value, generalised policy improvement (Barreto et al. 2017, "Successor
features for transfer in reinforcement learning").
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Int

from assay.errors import ParameterError
from assay.systems.policy_composition.indifference import IndifferenceSpace, PriorityStack
from assay.systems.policy_composition.navigation import WALLS

__all__ = ["RIVALS", "Rival", "chosen_by_value", "distances", "rival"]

Rival = Literal["sum of values", "switch by value", "switch by distance"]
RIVALS: tuple[str, ...] = get_args(Rival)


def rival(
    levels: Sequence[IndifferenceSpace], method: str, *, weight: float = 1.0, distance: float = 1.0
) -> PriorityStack:
    """Levels put together without an order, as a policy.

    Args:
        levels: At least two; their slacks play no part.
        method: One of `RIVALS`.
        weight: What the first level counts, > 0.
        distance: To the obstacle, > 0, up to which the first level acts.

    Raises:
        ParameterError: If there is no such method, or fewer than two levels.
    """
    if method not in RIVALS:
        raise ParameterError(f"no method {method!r}", accepted=", ".join(RIVALS))
    if len(levels) < 2:
        raise ParameterError(f"{len(levels)} levels to put together", accepted="at least two")
    if method == "sum of values":
        q: Callable[..., np.ndarray] = partial(_sum, levels, weight)
    elif method == "switch by value":
        q = partial(_switched, levels, partial(chosen_by_value, levels, weight=weight))
    else:
        q = partial(_switched, levels, partial(_by_distance, len(levels) - 1, distance))
    return PriorityStack([IndifferenceSpace(q, 0.0, levels[0].actions, method)])


def _sum(
    levels: Sequence[IndifferenceSpace], weight: float, states: np.ndarray, actions: np.ndarray
) -> np.ndarray:
    others = [level.values(states, actions) for level in levels[1:]]
    return weight * levels[0].values(states, actions) + np.sum(others, axis=0)


def _switched(
    levels: Sequence[IndifferenceSpace], choose: Callable[[np.ndarray], np.ndarray],
    states: np.ndarray, actions: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """In each state the values of the level that acts there."""
    acting, values = choose(states), np.empty(actions.shape[:2])
    for number, level in enumerate(levels):
        rows = acting == number
        if rows.any():
            values[rows] = level.values(states[rows], actions[rows])
    return values


def chosen_by_value(
    levels: Sequence[IndifferenceSpace], states: Float[np.ndarray, "batch 2"], *, weight: float
) -> Int[np.ndarray, " batch"]:
    """Number of the level whose best candidate is worth most, the first of equals.

    Args:
        levels: The levels.
        states: The states.
        weight: What the values of the first level count.
    """
    best = np.stack([level.values(states).max(axis=1) for level in levels])
    best[0] *= weight
    return best.argmax(axis=0)


def _by_distance(last: int, distance: float, states: np.ndarray) -> np.ndarray:
    return np.where(distances(states) <= distance, 0, last)


def distances(points: Float[np.ndarray, "batch 2"]) -> Float[np.ndarray, " batch"]:
    """Distance to the obstacle, 0 inside.

    Example:
        >>> distances(np.array([[0.0, 4.0], [0.0, 1.0], [6.0, 9.0]])).round(3).tolist()
        [0.0, 2.0, 4.123]
    """
    x, y, w, h = WALLS.T
    across, up = points[:, :1], points[:, 1:]
    dx = np.maximum(np.maximum(x - across, across - x - w), 0.0)
    dy = np.maximum(np.maximum(y - up, up - y - h), 0.0)
    return np.hypot(dx, dy).min(axis=1)
