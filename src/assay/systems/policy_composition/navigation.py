"""Point navigation: a point walks in a square round an obstacle shaped like an inverted U.

Notable in this file: the environment, the exact model and the look-ahead of the oracle all call the
same compiled rewards and moves of one point, in `kernel`.

State: (x, y) in [-10, 10]^2. Action: a displacement; one longer than 1 is cut to length 1. The next
state is state + action (+ noise), clipped to the square. Rewards are those of the next state:

| task | reward |
|---|---|
| obstacle | -exp(-d^2 / 2), d the distance to the obstacle; a further -10 where d = 0 |
| top | -1 below y = 7 |
| side | -1 left of x = 7 |
| bottom | -1 above y = -7 |
| left | -1 right of x = -7 |

Source of the first three: public code of Rietz et al. 2024, "Prioritized Soft Q-Decomposition for
Lexicographic Reinforcement Learning"; bottom and left, which oppose two of them, are our own.
"""

from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float

from assay.systems.policy_composition import kernel
from assay.systems.policy_composition.kernel import EDGE, WALLS, ZONE

__all__ = [
    "EDGE",
    "TASKS",
    "WALLS",
    "ZONE",
    "Noise",
    "Task",
    "collides",
    "gaussian_nodes",
    "grid_axis",
    "grid_transitions",
    "look_ahead",
    "move",
    "rewards",
    "starts",
]

Task = Literal["obstacle", "top", "side", "bottom", "left"]
TASKS: tuple[str, ...] = get_args(Task)
Noise = tuple[np.ndarray, np.ndarray]
"""Displacements ``[M, 2]`` and their probabilities ``[M]``."""


def rewards(points: Float[np.ndarray, "batch 2"]) -> Float[np.ndarray, "batch tasks"]:
    """The reward of every task, in the order of `TASKS`, for having come to these points.

    Example:
        >>> rewards(np.array([[0.0, 4.0], [9.0, 8.0]])).round(3).tolist()
        [[-11.0, -1.0, -1.0, -1.0, -1.0], [-0.0, 0.0, 0.0, -1.0, -1.0]]
    """
    out = np.empty((len(points), len(TASKS)))
    kernel.fill_rewards(np.ascontiguousarray(points), out)
    return out


def collides(points: Float[np.ndarray, "batch 2"]) -> Bool[np.ndarray, " batch"]:
    """Whether points lie in the obstacle or on its edge."""
    x, y, w, h = WALLS.T
    px, py = points[:, :1], points[:, 1:]
    return ((px >= x) & (px <= x + w) & (py >= y) & (py <= y + h)).any(axis=1)


def move(
    points: Float[np.ndarray, "batch 2"],
    actions: Float[np.ndarray, "batch 2"],
    noise: Float[np.ndarray, "batch 2"] | None = None,
) -> Float[np.ndarray, "batch 2"]:
    """The next states.

    Example:
        >>> move(np.array([[0.0, 9.5]]), np.array([[3.0, 4.0]])).round(9).tolist()
        [[0.6, 10.0]]
    """
    out = np.empty(points.shape)
    still = np.zeros(points.shape) if noise is None else noise
    kernel.fill_moves(np.ascontiguousarray(points), np.ascontiguousarray(actions), still, out)
    return out


def starts(
    count: int, rng: np.random.Generator, *, clear: bool = True
) -> Float[np.ndarray, "count 2"]:
    """States to begin in: normal round the origin with standard deviation 3, clipped.

    Args:
        count: How many.
        rng: Where they are drawn from.
        clear: Whether those in the obstacle are drawn again.
    """
    points = np.clip(rng.normal(0.0, 3.0, (count, 2)), -EDGE, EDGE)
    while clear and (inside := collides(points)).any():
        points[inside] = np.clip(rng.normal(0.0, 3.0, (int(inside.sum()), 2)), -EDGE, EDGE)
    return points


def gaussian_nodes(sigma: float, per_axis: int = 3) -> Noise:
    """Normal noise of both coordinates as a few displacements with probabilities (Gauss-Hermite).

    Args:
        sigma: Standard deviation; 0 gives the one displacement 0.
        per_axis: Nodes along an axis; expectations of polynomials of a degree below twice their
            number are exact.

    Example:
        >>> nodes, chances = gaussian_nodes(0.5)
        >>> len(chances), round(float(chances @ nodes[:, 0] ** 2), 12)
        (9, 0.25)
    """
    if sigma == 0:
        return np.zeros((1, 2)), np.ones(1)
    x, w = np.polynomial.hermite_e.hermegauss(per_axis)
    nodes = sigma * np.stack(np.meshgrid(x, x), axis=-1).reshape(-1, 2)
    return nodes, np.outer(w, w).ravel() / w.sum() ** 2


def look_ahead(
    points: Float[np.ndarray, "batch 2"],
    actions: Float[np.ndarray, "batch actions 2"],
    *,
    weights: Float[np.ndarray, " tasks"],
    ends: bool,
    values: Float[np.ndarray, "y x"],
    discount: float,
    noise: Noise,
) -> Float[np.ndarray, "batch actions"]:
    """Expected reward of an action and the discounted value of where it leads.

    Args:
        points: States.
        actions: Actions to value in each.
        weights: What each task of `TASKS` counts.
        ends: Whether a collision ends the episode.
        values: Values of the grid's states, row 0 at y = -10; bilinear in between.
        discount: Of the value.
        noise: Displacements and their probabilities.
    """
    out = np.empty(actions.shape[:2])
    given = np.ascontiguousarray(points), np.ascontiguousarray(actions)
    kernel.fill_look_ahead(*given, weights, ends, values, discount, *noise, out)
    return out


def grid_axis(n: int) -> Float[np.ndarray, " n"]:
    """Coordinates of the n nodes along an axis; written once, as landings on a wall's edge count.

    Example:
        >>> grid_axis(5).tolist()
        [-10.0, -5.0, 0.0, 5.0, 10.0]
    """
    return np.linspace(-EDGE, EDGE, n)


def grid_transitions(
    n: int,
    actions: Float[np.ndarray, "actions 2"],
    *,
    weights: Float[np.ndarray, " tasks"],
    ends: bool,
    noise: Noise,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The world between the n x n nodes of a grid.

    Returns:
        Successors ``[n^2, actions, 4 M]``, their chances, and the expected rewards
        ``[n^2, actions]``: a landing is shared by the four nodes round it, bilinearly.
    """
    shape = (n * n, len(actions), 4 * len(noise[1]))
    successors, chances, gains = np.empty(shape, np.int32), np.empty(shape), np.empty(shape[:2])
    kernel.fill_transitions(
        grid_axis(n), actions, weights, ends, *noise, successors, chances, gains
    )
    return successors, chances, gains
