"""The world of `arm`, compiled: joints, gaps, rewards and moves written once, for one pose.

Arrays are float64: angles ``[n, joints]``, lengths ``[joints]``, discs ``[discs, 3]`` of centre and
radius. Rewards are numbered as in `arm.TASKS`.
"""

import numpy as np
from numba import njit

from assay.parts.compiled import kept_on_disk

__all__ = ["fill_gaps", "fill_joints", "fill_moves", "fill_rewards"]

CRASH = 10.0

compiled = njit(error_model="numpy")


@compiled
def _nearest(x0, y0, x1, y1, cx, cy):
    """Where along a segment, from 0 to 1, it comes nearest to a point."""
    dx, dy = x1 - x0, y1 - y0
    t = ((cx - x0) * dx + (cy - y0) * dy) / (dx * dx + dy * dy)
    return min(max(t, 0.0), 1.0)


@compiled
def _gap(x0, y0, x1, y1, cx, cy, radius):
    """How far a segment stays off a disc; below 0 it enters."""
    t = _nearest(x0, y0, x1, y1, cx, cy)
    dx, dy = x0 + t * (x1 - x0) - cx, y0 + t * (y1 - y0) - cy
    return np.sqrt(dx * dx + dy * dy) - radius


@compiled
def _least_gap(angles, lengths, discs):
    """The smallest gap between any link and any disc, and the end of the last link."""
    x, y, turned, least = 0.0, 0.0, 0.0, np.inf
    for k in range(lengths.size):
        turned += angles[k]
        to_x, to_y = x + lengths[k] * np.cos(turned), y + lengths[k] * np.sin(turned)
        for d in range(discs.shape[0]):
            gap = _gap(x, y, to_x, to_y, discs[d, 0], discs[d, 1], discs[d, 2])
            least = min(least, gap)
        x, y = to_x, to_y
    return least, x, y


@kept_on_disk
def fill_joints(angles, lengths, out):
    """Base, joints and end of the arm in each pose, into ``out [n, joints + 1, 2]``."""
    for i in range(angles.shape[0]):
        turned, out[i, 0, 0], out[i, 0, 1] = 0.0, 0.0, 0.0
        for k in range(lengths.size):
            turned += angles[i, k]
            out[i, k + 1, 0] = out[i, k, 0] + lengths[k] * np.cos(turned)
            out[i, k + 1, 1] = out[i, k, 1] + lengths[k] * np.sin(turned)


@kept_on_disk
def fill_gaps(joints, discs, gaps, along):
    """Gaps ``[n, links, discs]`` between links and discs, and where along a link, 0 to 1."""
    for i in range(joints.shape[0]):
        for k in range(joints.shape[1] - 1):
            x0, y0, x1, y1 = (
                joints[i, k, 0], joints[i, k, 1], joints[i, k + 1, 0], joints[i, k + 1, 1],
            )  # fmt: skip
            for d in range(discs.shape[0]):
                cx, cy, radius = discs[d, 0], discs[d, 1], discs[d, 2]
                gaps[i, k, d] = _gap(x0, y0, x1, y1, cx, cy, radius)
                along[i, k, d] = _nearest(x0, y0, x1, y1, cx, cy)


@kept_on_disk
def fill_rewards(angles, lengths, discs, target, home, margin, tolerance, out):
    """The reward of every task for having come to each pose, into ``out [n, tasks]``."""
    for i in range(angles.shape[0]):
        gap, x, y = _least_gap(angles[i], lengths, discs)
        near = max(gap, 0.0) / margin
        out[i, 0] = -np.exp(-0.5 * near * near) - (CRASH if gap <= 0.0 else 0.0)
        dx, dy = x - target[0], y - target[1]
        off = np.sqrt(dx * dx + dy * dy)
        out[i, 1] = 0.0 if off <= tolerance else -1.0 - off
        bent = 0.0
        for k in range(lengths.size):
            turn = angles[i, k] - home[k]
            bent += turn * turn
        out[i, 2] = -bent / lengths.size


@kept_on_disk
def fill_moves(angles, actions, stride, limit, out):
    """Where each action leads, into ``out [n, joints]``."""
    for i in range(angles.shape[0]):
        for k in range(angles.shape[1]):
            turn = stride * min(max(actions[i, k], -1.0), 1.0)
            out[i, k] = min(max(angles[i, k] + turn, -limit), limit)
