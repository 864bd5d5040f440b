"""Null-space control: tasks in order of priority by their Jacobians, and a policy for the arm.

Notable in this file: two things are kept apart that a damped inverse alone would mix. How fast a
task is followed is damped, so that speeds stay finite near singular poses; where lower tasks may
act is the exact kernel of all tasks above, so that damping does not let them leak upwards.

With N the projector onto the kernel of all tasks above and J+ the damped inverse, a level adds

    plain    N J+ e
    strict   (J N)+ (e - J dq), dq the speeds of the levels above

Strict makes up for what the levels above do to the task and uses all the freedom they leave; plain
follows the task less well where the two share joints. Both leave the tasks above as they are, to
first order, and look no further ahead than one step.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from assay.errors import ParameterError
from assay.systems.policy_composition.arm import (
    TASKS,
    Arm,
    gap_jacobian,
    joints,
    tip_jacobian,
)

__all__ = [
    "LinearTask",
    "arm_actions",
    "arm_tasks",
    "damped_inverse",
    "kernel",
    "prioritised_speeds",
]

Variant = Literal["plain", "strict"]
NEGLIGIBLE = 1e-9
"""A direction that moves a task by less than this share of its most is no part of it."""


class LinearTask(NamedTuple):
    """A task whose value changes linearly with small changes of the joints.

    Attributes:
        jacobian: ``[batch, m, joints]``; a row of zeros asks for nothing.
        wanted: How the task's value is to change in this step, ``[batch, m]``.
    """

    jacobian: np.ndarray
    wanted: np.ndarray


def _parts(
    jacobian: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Singular vectors and values, and which of them count against a scale ``[batch]``."""
    u, s, vt = np.linalg.svd(jacobian, full_matrices=False)
    return u, s, vt, s > NEGLIGIBLE * np.maximum(scale, np.finfo(float).tiny)[:, None]


def damped_inverse(
    jacobian: Float[np.ndarray, "batch m joints"],
    damping: float,
    scale: Float[np.ndarray, " batch"] | None = None,
) -> Float[np.ndarray, "batch joints m"]:
    """The inverse J^T (J J^T + damping^2)^-1; without damping, the pseudo-inverse.

    Args:
        jacobian: May be singular or zero.
        damping: >= 0, in the unit of the Jacobian; a singular value s is inverted as
            s / (s^2 + damping^2), at most 1 / (2 damping).
        scale: Singular values below 1e-9 of it count as 0; the largest of each if not given.
    """
    most = np.linalg.norm(jacobian, ord=2, axis=(1, 2)) if scale is None else scale
    u, s, vt, counts = _parts(jacobian, most)
    inverse = np.where(counts, s, 0.0) / np.where(counts, s**2 + damping**2, 1.0)
    return np.einsum("bkj,bk,bmk->bjm", vt, inverse, u)


def kernel(
    jacobians: Sequence[Float[np.ndarray, "batch _ joints"]],
) -> Float[np.ndarray, "batch joints joints"]:
    """The projector onto the joint speeds that move none of these tasks, to first order.

    Args:
        jacobians: At least one; each counts by its directions, not by its unit.
    """
    rows = list[np.ndarray]()
    for jacobian in jacobians:
        most = np.linalg.norm(jacobian, ord=2, axis=(1, 2))[:, None, None]
        rows.append(jacobian / np.where(most > 0, most, 1.0))
    stacked = np.concatenate(rows, axis=1)
    _, _, vt, counts = _parts(stacked, np.ones(len(stacked)))
    used = np.where(counts[..., None], vt, 0.0)
    return np.eye(stacked.shape[2]) - used.transpose(0, 2, 1) @ used


def prioritised_speeds(
    tasks: Sequence[LinearTask], *, variant: Variant = "strict", damping: float = 0.0
) -> Float[np.ndarray, "batch joints"]:
    """Joint speeds that follow each task as far as the tasks above it leave it free.

    Args:
        tasks: From the highest priority to the lowest, of one batch and one number of joints.
        variant: ``plain`` or ``strict``, as above.
        damping: >= 0, in the unit of the Jacobians. What is asked for is then followed less
            closely, by each level within its own freedom.

    Raises:
        ParameterError: If there is no task, shapes do not fit, or a parameter is out of range.

    Example:
        Of two joints the first task fixes the sum and the second asks for a turn of the first.

        >>> both = LinearTask(np.array([[[1.0, 1.0]]]), np.array([[0.0]]))
        >>> one = LinearTask(np.array([[[1.0, 0.0]]]), np.array([[0.3]]))
        >>> prioritised_speeds([both, one]).round(9).tolist()
        [[0.3, -0.3]]
        >>> prioritised_speeds([both, one], variant="plain").round(9).tolist()
        [[0.15, -0.15]]
    """
    if variant not in ("plain", "strict"):
        raise ParameterError(f"no variant {variant!r}", accepted="plain or strict")
    if not 0 <= damping < np.inf:
        raise ParameterError(f"a damping of {damping}", accepted="0 or more")
    if not tasks:
        raise ParameterError("null-space control without a task", accepted="at least one")
    batch, _, count = np.shape(tasks[0].jacobian)
    for number, task in enumerate(tasks, 1):
        shape, wanted = np.shape(task.jacobian), np.shape(task.wanted)
        if len(shape) != 3 or (shape[0], shape[2]) != (batch, count) or wanted != shape[:2]:
            raise ParameterError(
                f"a Jacobian of shape {shape} and wanted changes of shape {wanted}",
                where=f"task {number}", accepted=f"({batch}, m, {count}) and ({batch}, m)",
            )  # fmt: skip
    speeds, free = np.zeros((batch, count)), np.broadcast_to(np.eye(count), (batch, count, count))
    for number, (jacobian, wanted) in enumerate(tasks):
        if variant == "plain":
            inverse, asked = damped_inverse(jacobian, damping), wanted
        else:
            most = np.linalg.norm(jacobian, ord=2, axis=(1, 2))
            inverse = damped_inverse(jacobian @ free, damping, most)
            asked = wanted - np.einsum("bmj,bj->bm", jacobian, speeds)
        speeds = speeds + np.einsum("bij,bjm,bm->bi", free, inverse, asked)
        free = kernel([t.jacobian for t in tasks[: number + 1]])
    return speeds


def arm_tasks(
    arm: Arm,
    angles: Float[np.ndarray, "batch joints"],
    order: Sequence[str] = ("avoid", "reach"),
    *,
    keep_off: float = 0.08,
    gain: float = 0.5,
    fastest: float = 0.03,
) -> list[LinearTask]:
    """The tasks of the arm as null-space control sees them.

    Args:
        arm: The arm.
        angles: Poses.
        order: Of `assay.systems.policy_composition.arm.TASKS`, the highest priority first.
        keep_off: A disc counts from this gap on; the gap is then driven back to it.
        gain: Share of an error that is made up for in a step.
        fastest: Longest way of the end of the arm, and largest growth of a gap, in a step.

    Raises:
        ParameterError: If there is no such task.
    """
    made = list[LinearTask]()
    for name in order:
        if name == "avoid":
            gap, jacobian = gap_jacobian(arm, angles)
            near = gap < keep_off
            push = np.where(near, np.minimum(gain * (keep_off - gap), fastest), 0.0)
            rows = np.where(near[..., None], jacobian, 0.0).reshape(len(angles), -1, arm.count)
            made.append(LinearTask(rows, push.reshape(len(angles), -1)))
        elif name == "reach":
            off = np.array(arm.target, float) - joints(arm, angles)[:, -1]
            length = np.linalg.norm(off, axis=1, keepdims=True)
            pace = np.minimum(gain, fastest / np.maximum(length, 1e-12))
            made.append(LinearTask(tip_jacobian(arm, angles), pace * off))
        elif name == "posture":
            each = np.broadcast_to(np.eye(arm.count), (len(angles), arm.count, arm.count))
            made.append(LinearTask(each, gain * (np.array(arm.home, float) - angles)))
        else:
            raise ParameterError(f"no task {name!r}", accepted=", ".join(TASKS))
    return made


def arm_actions(
    arm: Arm,
    angles: Float[np.ndarray, "batch joints"],
    order: Sequence[str] = ("avoid", "reach"),
    *,
    variant: Variant = "strict",
    damping: float = 0.02,
    keep_off: float = 0.08,
    gain: float = 0.5,
    fastest: float = 0.03,
) -> Float[np.ndarray, "batch joints"]:
    """Null-space control as a policy for the arm; parameters as those of the functions above.

    Speeds beyond what the joints can do are slowed down together, which keeps their direction and
    so the priorities.

    Returns:
        Actions in [-1, 1].
    """
    tasks = arm_tasks(arm, angles, order, keep_off=keep_off, gain=gain, fastest=fastest)
    turns = prioritised_speeds(tasks, variant=variant, damping=damping) / arm.stride
    return turns / np.maximum(np.abs(turns).max(axis=1, keepdims=True), 1.0)
