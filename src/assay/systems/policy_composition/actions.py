"""What a policy may do: a number of discrete actions, or candidates that stand for a box."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.errors import ParameterError

__all__ = ["ActionSet", "actions_of", "box", "discrete"]


@dataclass(frozen=True, eq=False)
class ActionSet:
    """Actions among which a policy chooses.

    Attributes:
        candidates: Numbers ``[A]`` of discrete actions, or points ``[A, d]`` of a box.
        low: Lower corner of the box; empty for discrete actions.
        high: Its upper corner.
    """

    candidates: np.ndarray
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    def __str__(self) -> str:
        if not self.low:
            return f"{len(self.candidates)} discrete actions"
        sides = zip(self.low, self.high, strict=True)
        return "the box " + " x ".join(f"[{low:g}, {high:g}]" for low, high in sides)

    def same_space(self, other: "ActionSet") -> bool:
        """Whether both stand for the same discrete actions or the same box."""
        return str(self) == str(other)


def discrete(count: int) -> ActionSet:
    """The actions 0, 1, ... count - 1.

    Raises:
        ParameterError: If there is none.
    """
    if count < 1:
        raise ParameterError(f"{count} discrete actions", accepted="at least 1")
    return ActionSet(np.arange(count))


def box(low: Sequence[float], high: Sequence[float], per_axis: int = 17) -> ActionSet:
    """A box, for which a grid of candidates stands that includes its faces.

    Args:
        low: Lower corner.
        high: Upper corner.
        per_axis: Candidates along each axis, at least 2; in all ``per_axis ** d``.

    Raises:
        ParameterError: If the corners are no box of finite size, or the grid is too coarse.

    Example:
        >>> box([-1, -1], [1, 1], 3).candidates.shape
        (9, 2)
    """
    lows, highs = tuple(map(float, low)), tuple(map(float, high))
    finite = np.isfinite([*lows, *highs]).all()
    if not (lows and len(lows) == len(highs) and finite and all(np.less(lows, highs))):
        raise ParameterError(
            f"a box from {lows} to {highs}", accepted="finite corners, low below high on every axis"
        )
    if per_axis < 2:
        raise ParameterError(f"{per_axis} candidates per axis", accepted="at least 2")
    axes = [np.linspace(a, b, per_axis) for a, b in zip(lows, highs, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    return ActionSet(grid.reshape(-1, len(axes)), lows, highs)


def actions_of(space: Any, per_axis: int = 17) -> ActionSet:
    """The action set of a Gymnasium space, ``Discrete`` from 0 or a ``Box`` of one axis or more.

    Raises:
        ParameterError: If it is another space.
    """
    if hasattr(space, "n") and getattr(space, "start", None) == 0:
        return discrete(int(space.n))
    if hasattr(space, "low") and np.ndim(space.low) == 1:
        return box(space.low.tolist(), space.high.tolist(), per_axis)
    raise ParameterError(
        f"an action space {space}", accepted="a Discrete space from 0 or a Box with one dimension"
    )
