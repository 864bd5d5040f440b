"""Boxes in many images, as columns, and how far two boxes overlap."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from jaxtyping import Float, Int

from assay.errors import DataError

__all__ = ["UNKNOWN", "Boxes", "iou"]

UNKNOWN = -1
"""The state of an object whose state was not told."""


@dataclass(frozen=True)
class Boxes:
    """Objects seen in images, or found in them: one row per object.

    An image without objects has no row, so how many images there are is told apart from this.
    Coordinates are continuous: a box of width 2 at 0 ends at 2, and there is no "plus one".

    Attributes:
        image: Number of the image, from 0 ``[n]``.
        label: Number of the class, from 0 ``[n]``.
        xywh: Left, top, width and height, in pixels ``[n, 4]``.
        score: Confidence in [0, 1] ``[n]``; 1 for what is known.
        state: What the object is doing, as a number of the class's own ``[n]``; -1 where unknown.
    """

    image: Int[np.ndarray, " n"]
    label: Int[np.ndarray, " n"]
    xywh: Float[np.ndarray, "n 4"]
    score: Float[np.ndarray, " n"]
    state: Int[np.ndarray, " n"]

    @classmethod
    def of(
        cls, image: Any = (), label: Any = (), xywh: Any = (), score: Any = None, state: Any = None
    ) -> Self:
        """Boxes from sequences; scores are 1 and states unknown unless they are given.

        Raises:
            DataError: If lengths differ, or a box has no area or a number that is not finite.

        Example:
            >>> Boxes.of([0], [1], [[10, 20, 5, 5]]).score.tolist()
            [1.0]
        """
        n = len(image)
        columns = cls(
            np.asarray(image, np.int64).reshape(-1),
            np.asarray(label, np.int64).reshape(-1),
            np.asarray(xywh, np.float64).reshape(-1, 4),
            np.ones(n) if score is None else np.asarray(score, np.float64).reshape(-1),
            np.full(n, UNKNOWN) if state is None else np.asarray(state, np.int64).reshape(-1),
        )
        lengths = {len(column) for column in vars(columns).values()}
        if lengths != {n}:
            raise DataError(f"columns of boxes have {sorted(lengths)} rows", accepted=f"{n} each")
        numbers = np.column_stack([columns.xywh, columns.score])
        bad = ~np.isfinite(numbers).all(axis=1) | (columns.xywh[:, 2:] <= 0).any(axis=1)
        if bad.any():
            row = int(bad.argmax())
            raise DataError(
                f"a box is {columns.xywh[row].tolist()} with score {columns.score[row]}",
                where=f"row {row + 1}, image {columns.image[row]}",
                accepted="finite numbers, and a width and a height above 0",
            )
        return columns

    def __len__(self) -> int:
        """How many objects."""
        return len(self.image)

    def take(self, which: Any) -> Self:
        """The rows that a mask or a list of positions names, in its order."""
        return replace(self, **{name: column[which] for name, column in vars(self).items()})

    @classmethod
    def joined(cls, parts: "list[Boxes]") -> Self:
        """The rows of several, one after another."""
        names = cls.of().__dict__
        return cls(
            **{
                name: np.concatenate([getattr(p, name) for p in [cls.of(), *parts]])
                for name in names
            }
        )


def iou(a: Float[np.ndarray, "n 4"], b: Float[np.ndarray, "m 4"]) -> Float[np.ndarray, "n m"]:
    """Intersection over union of every box of one list with every box of another.

    Args:
        a: Left, top, width and height.
        b: The same.

    Example:
        >>> iou(np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([[1.0, 0.0, 2.0, 2.0]])).item()
        0.3333333333333333
    """
    start = np.maximum(a[:, None, :2], b[None, :, :2])
    end = np.minimum((a[:, :2] + a[:, 2:])[:, None], (b[:, :2] + b[:, 2:])[None])
    common = np.clip(end - start, 0.0, None).prod(axis=2)
    return common / (a[:, None, 2:].prod(axis=2) + b[None, :, 2:].prod(axis=2) - common)
