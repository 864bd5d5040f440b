"""A planar arm that reaches for a target between forbidden discs; velocity control.

Notable in this file: all functions take a batch of poses; the environment of `arm_environment`
calls them with a batch of one, and their kernels treat every row by itself, so both take exactly
the same steps.

State: the angles of the joints in radians, each relative to the link before, in [-pi, pi]. Action:
speeds of the joints, cut to [-1, 1] one by one. The next state is state + stride x action, stopped
at the limits of the joints. Links are segments; the base is at the origin and the arm reaches to
the sum of its lengths. Rewards are those of the next state:

| task | reward |
|---|---|
| avoid | -exp(-(d / margin)^2 / 2), d from link to disc at the nearest; -10 more where d = 0 |
| reach | 0 within the tolerance of the target, else -1 and the distance to it besides |
| posture | minus the mean squared angle from the home pose |

The world is this project's: what it takes from the sources are velocity control, the order of avoid
and reach, and the form of the point's rewards.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float

from assay.errors import ParameterError
from assay.systems.policy_composition import arm_kernel

__all__ = [
    "LIMIT",
    "TASKS",
    "Arm",
    "ArmTask",
    "Gaps",
    "gap_jacobian",
    "gaps",
    "joints",
    "move",
    "reward_of",
    "rewards",
    "starts",
    "tip_jacobian",
    "touches",
]

ArmTask = Literal["avoid", "reach", "posture"]
TASKS: tuple[str, ...] = get_args(ArmTask)
LIMIT = math.pi
"""The largest angle of a joint in either direction."""


@dataclass(frozen=True)
class Arm:
    """An arm and the world round it. Lengths are in units of your choice.

    Attributes:
        lengths: Of the links, from the base outwards; one joint before each.
        discs: Centre and radius of every forbidden disc, at least one.
        target: Where the end is to go.
        home: The pose near which episodes begin, one angle per joint; no link touches a disc there.
        spread: Standard deviation of the angles of a first pose, in radians.
        stride: How far the fastest joint turns in a step, in radians. Touch is judged after each
            step, so let no link pass a disc in one.
        margin: Distance from a disc at which it is felt, in units of length.
        tolerance: Distance from the target that counts as there.

    Raises:
        ParameterError: If a number is out of range, the base lies in a disc, the home pose touches
            one, or the target is out of reach.
    """

    lengths: tuple[float, ...] = (1 / 7,) * 7
    discs: tuple[tuple[float, float, float], ...] = ((0.5, 0.0, 0.12), (-0.15, 0.55, 0.1))
    target: tuple[float, float] = (0.45, 0.5)
    home: tuple[float, ...] = (-1.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2)
    spread: float = 0.1
    stride: float = 0.05
    margin: float = 0.05
    tolerance: float = 0.05

    def __post_init__(self) -> None:
        positive = {"stride": self.stride, "margin": self.margin, "tolerance": self.tolerance}
        positive |= {f"length {n}": v for n, v in enumerate(self.lengths, 1)}
        positive |= {f"radius {n}": d[2] for n, d in enumerate(self.discs, 1)}
        for name, value in positive.items():
            if not 0 < value < np.inf:
                raise ParameterError(f"{name} is {value}", accepted="a number above 0")
        if not 0 <= self.spread < np.inf:
            raise ParameterError(f"spread is {self.spread}", accepted="0 or more")
        if not (self.lengths and self.discs):
            raise ParameterError("an arm without a link or a disc", accepted="one of each at least")
        given = np.array(self.home, float)
        if given.shape != (len(self.lengths),) or not (np.abs(given) <= LIMIT).all():
            raise ParameterError(
                f"a home pose {self.home}", accepted=f"{len(self.lengths)} angles from -pi to pi"
            )
        far, most = math.hypot(*self.target), math.fsum(self.lengths) + self.tolerance
        if not far <= most:
            raise ParameterError(f"a target at a distance of {far:g}", accepted=f"at most {most:g}")
        for number, (x, y, radius) in enumerate(self.discs, 1):
            if not math.hypot(x, y) > radius:
                raise ParameterError(f"disc {number} holds the base of the arm")
        if touches(self, given[None])[0]:
            raise ParameterError("a link touches a disc in the home pose", where="home")

    @property
    def count(self) -> int:
        """Number of joints."""
        return len(self.lengths)

    @cached_property
    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Lengths ``[joints]`` and discs ``[discs, 3]``."""
        return np.array(self.lengths, float), np.array(self.discs, float)


def joints(
    arm: Arm, angles: Float[np.ndarray, "batch joints"]
) -> Float[np.ndarray, "batch points 2"]:
    """Base, joints and end of the arm: one point more than links.

    Example:
        >>> joints(Arm(), np.zeros((1, 7)))[0, -1].round(9).tolist()
        [1.0, 0.0]
    """
    out = np.empty((len(angles), arm.count + 1, 2))
    arm_kernel.fill_joints(np.ascontiguousarray(angles), arm.arrays[0], out)
    return out


class Gaps(NamedTuple):
    """How links stand to discs.

    Attributes:
        gaps: From each link to the edge of each disc ``[batch, links, discs]``; below 0 inside.
        along: Where along a link it comes nearest, 0 to 1.
    """

    gaps: np.ndarray
    along: np.ndarray


def gaps(arm: Arm, angles: Float[np.ndarray, "batch joints"]) -> Gaps:
    """The exact distances of the links, as segments, to the discs."""
    shape = (len(angles), arm.count, len(arm.discs))
    out = Gaps(np.empty(shape), np.empty(shape))
    arm_kernel.fill_gaps(joints(arm, angles), arm.arrays[1], *out)
    return out


def touches(arm: Arm, angles: Float[np.ndarray, "batch joints"]) -> Bool[np.ndarray, " batch"]:
    """Whether any link lies in a disc or on its edge."""
    return gaps(arm, angles).gaps.min(axis=(1, 2)) <= 0


def rewards(
    arm: Arm, angles: Float[np.ndarray, "batch joints"]
) -> Float[np.ndarray, "batch tasks"]:
    """The reward of every task, in the order of `TASKS`, for having come to these poses."""
    out = np.empty((len(angles), len(TASKS)))
    arm_kernel.fill_rewards(
        np.ascontiguousarray(angles), *arm.arrays, np.array(arm.target, float),
        np.array(arm.home, float), float(arm.margin), float(arm.tolerance), out,
    )  # fmt: skip
    return out


def reward_of(
    arm: Arm, task: str
) -> Callable[[np.ndarray, np.ndarray, np.ndarray], Float[np.ndarray, " batch"]]:
    """The reward of one task as a function of states, actions and next states.

    It is what `datasets.Transitions.relabelled` takes.

    Raises:
        ParameterError: If there is no such task.
    """
    if task not in TASKS:
        raise ParameterError(f"no task {task!r}", accepted=", ".join(TASKS))
    number = TASKS.index(task)
    return lambda states, actions, next_states: rewards(arm, next_states)[:, number]


def move(
    arm: Arm,
    angles: Float[np.ndarray, "batch joints"],
    actions: Float[np.ndarray, "batch joints"],
) -> Float[np.ndarray, "batch joints"]:
    """The next poses.

    Example:
        >>> two = Arm((0.5, 0.5), ((0.0, 0.9, 0.1),), (0.5, 0.5), (0.0, 0.0), stride=0.5)
        >>> move(two, np.array([[0.0, -3.0]]), np.array([[9.0, -1.0]])).round(4).tolist()
        [[0.5, -3.1416]]
    """
    out = np.empty(angles.shape)
    given = np.ascontiguousarray(angles), np.ascontiguousarray(actions)
    arm_kernel.fill_moves(*given, float(arm.stride), LIMIT, out)
    return out


def starts(
    arm: Arm, count: int, rng: np.random.Generator, *, clear: bool = True
) -> Float[np.ndarray, "count joints"]:
    """Poses to begin in: normal round the home pose, stopped at the limits of the joints.

    Args:
        arm: The arm.
        count: How many.
        rng: Where they are drawn from.
        clear: Whether those that touch a disc are drawn again.
    """
    home = np.array(arm.home, float)

    def drawn(number: int) -> np.ndarray:
        return np.clip(rng.normal(home, arm.spread, (number, arm.count)), -LIMIT, LIMIT)

    poses = drawn(count)
    while clear and (inside := touches(arm, poses)).any():
        poses[inside] = drawn(int(inside.sum()))
    return poses


def tip_jacobian(
    arm: Arm, angles: Float[np.ndarray, "batch joints"]
) -> Float[np.ndarray, "batch 2 joints"]:
    """How the end of the arm moves with each joint, per radian."""
    points = joints(arm, angles)
    lever = points[:, -1:] - points[:, :-1]
    return np.stack([-lever[..., 1], lever[..., 0]], axis=1)


def gap_jacobian(
    arm: Arm, angles: Float[np.ndarray, "batch joints"]
) -> tuple[
    Float[np.ndarray, "batch links discs"],
    Float[np.ndarray, "batch links discs joints"],
]:
    """The gap between each link and each disc, and how it grows with each joint, per radian.

    The nearest point of a link moves along it too, but square to the way to the disc, so that it
    counts as fixed. Where a link passes through the centre of a disc, the gap grows on both sides
    of it, and the derivative is that on the left.
    """
    points, found = joints(arm, angles), gaps(arm, angles)
    begin, end = points[:, :-1, None], points[:, 1:, None]
    nearest = begin + found.along[..., None] * (end - begin)  # [batch, links, discs, 2]
    away = nearest - arm.arrays[1][:, :2]
    length = np.linalg.norm(away, axis=-1, keepdims=True)
    left = np.stack([begin[..., 1] - end[..., 1], end[..., 0] - begin[..., 0]], axis=-1)
    left = left / np.linalg.norm(left, axis=-1, keepdims=True)
    away = np.where(length > 1e-12, away / np.maximum(length, 1e-12), left)
    lever = nearest[..., None, :] - points[:, None, None, :-1]  # [batch, links, discs, joints, 2]
    slope = away[..., None, 1] * lever[..., 0] - away[..., None, 0] * lever[..., 1]
    moves = np.tri(arm.count, dtype=bool)[:, None]  # joints at the root of the link or before
    return found.gaps, np.where(moves, slope, 0.0)
