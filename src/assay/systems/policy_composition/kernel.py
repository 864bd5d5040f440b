"""The world of `navigation`, compiled: rewards and moves written once, for one point.

Arrays are float64: points ``[n, 2]``, actions ``[n, 2]`` or ``[n, actions, 2]``, values of a grid
``[y, x]`` from y = -10. ``nodes`` and ``shares`` are displacements by noise and their
probabilities. Tasks are numbered as in `navigation.TASKS`.
"""

import numpy as np
from numba import njit

from assay.parts.compiled import kept_on_disk

__all__ = [
    "EDGE", "WALLS", "ZONE", "fill_look_ahead", "fill_moves", "fill_rewards", "fill_transitions",
]  # fmt: skip

EDGE, ZONE, CRASH = 10.0, 7.0, 10.0
WALLS = np.array([[-5.0, 3.0, 10.0, 2.0], [-5.0, -5.0, 2.0, 8.0], [3.0, -5.0, 2.0, 8.0]])
"""The three rectangles of the obstacle: x and y of the lower left corner, width, height."""

compiled = njit(error_model="numpy")


@compiled
def _square_distance(x, y):
    """Squared distance to the nearest wall, 0 inside."""
    least = np.inf
    for k in range(3):
        dx = max(WALLS[k, 0] - x, 0.0, x - WALLS[k, 0] - WALLS[k, 2])
        dy = max(WALLS[k, 1] - y, 0.0, y - WALLS[k, 1] - WALLS[k, 3])
        least = min(least, dx * dx + dy * dy)
    return least


@compiled
def _reward(task, x, y):
    if task == 0:
        d2 = _square_distance(x, y)
        return -np.exp(-0.5 * d2) - (CRASH if d2 <= 0.0 else 0.0)
    if task == 1:
        return -1.0 if y < ZONE else 0.0
    if task == 2:
        return -1.0 if x < ZONE else 0.0
    if task == 3:
        return -1.0 if y > -ZONE else 0.0
    return -1.0 if x > -ZONE else 0.0


@compiled
def _weighted(weights, x, y):
    total = 0.0
    for task in range(weights.size):
        if weights[task] != 0.0:
            total += weights[task] * _reward(task, x, y)
    return total


@compiled
def _clip(x):
    return min(max(x, -EDGE), EDGE)


@compiled
def _landing(x, y, ax, ay, nx, ny):
    """Where an action and a displacement by noise lead."""
    length = np.sqrt(ax * ax + ay * ay)
    scale = 1.0 / length if length > 1.0 else 1.0
    return _clip(x + ax * scale + nx), _clip(y + ay * scale + ny)


@compiled
def _cell(x, n):
    """Grid cell of a coordinate and the place within it, in [0, 1]."""
    at = (x + EDGE) * (n - 1) / (2.0 * EDGE)
    cell = min(int(at), n - 2)
    return cell, at - cell


@kept_on_disk
def fill_rewards(points, out):
    """The reward of every task for having come to each point, into ``out [n, tasks]``."""
    for i in range(points.shape[0]):
        for task in range(out.shape[1]):
            out[i, task] = _reward(task, points[i, 0], points[i, 1])


@kept_on_disk
def fill_moves(points, actions, noise, out):
    """Where each action leads, into ``out [n, 2]``."""
    for i in range(points.shape[0]):
        out[i, 0], out[i, 1] = _landing(
            points[i, 0], points[i, 1], actions[i, 0], actions[i, 1], noise[i, 0], noise[i, 1]
        )


@kept_on_disk
def fill_look_ahead(points, actions, weights, ends, table, discount, nodes, shares, out):
    """Expected reward and discounted value of where each action leads, ``[n, actions]``."""
    n = table.shape[0]
    for i in range(points.shape[0]):
        for a in range(actions.shape[1]):
            total = 0.0
            for m in range(nodes.shape[0]):
                x, y = _landing(
                    points[i, 0], points[i, 1], actions[i, a, 0], actions[i, a, 1],
                    nodes[m, 0], nodes[m, 1],
                )  # fmt: skip
                worth = _weighted(weights, x, y)
                if not (ends and _square_distance(x, y) <= 0.0):
                    c, u = _cell(x, n)
                    r, v = _cell(y, n)
                    low = (1.0 - u) * table[r, c] + u * table[r, c + 1]
                    high = (1.0 - u) * table[r + 1, c] + u * table[r + 1, c + 1]
                    worth += discount * ((1.0 - v) * low + v * high)
                total += shares[m] * worth
            out[i, a] = total


@kept_on_disk
def fill_transitions(axis, actions, weights, ends, nodes, shares, successors, chances, gains):
    """Successors, chances and gains of every action in every node; see `navigation`."""
    n = axis.size
    for s in range(n * n):
        y0, x0 = axis[s // n], axis[s % n]
        for a in range(actions.shape[0]):
            gains[s, a] = 0.0
            for m in range(nodes.shape[0]):
                x, y = _landing(x0, y0, actions[a, 0], actions[a, 1], nodes[m, 0], nodes[m, 1])
                gains[s, a] += shares[m] * _weighted(weights, x, y)
                goes_on = 0.0 if ends and _square_distance(x, y) <= 0.0 else shares[m]
                c, u = _cell(x, n)
                r, v = _cell(y, n)
                for k in range(4):
                    right, up = k % 2, k // 2
                    part = (u if right else 1.0 - u) * (v if up else 1.0 - v)
                    successors[s, a, 4 * m + k] = (r + up) * n + c + right
                    chances[s, a, 4 * m + k] = goes_on * part
