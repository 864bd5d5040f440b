"""What a detector of centres shall say of its frames: heatmaps, sizes, offsets and states.

Zhou, Wang and Kraehenbuehl 2019, "Objects as Points", section 3, with the Gaussians of CornerNet
(Law and Deng 2018, section 3.2). Sizes and offsets have planes for each class (the "class specific"
variant of the paper's code): a needle that is held has its centre in the clevis that holds it, and
one plane for all classes could tell of one of the two only.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from assay.errors import DataError, ParameterError
from assay.parts.detection.boxes import Boxes
from assay.systems.surgical_skill.classes import STATES

__all__ = [
    "MULTIPLE",
    "Targets",
    "by_frame",
    "cells",
    "gaussian_radius",
    "mirrored",
    "require_inside",
    "targets_of",
]

MULTIPLE = 16
"""Frames are filled up, to the right and below, to a multiple of this many pixels."""
OTHER_SIDE = {"left": "right", "right": "left"}


class Targets(NamedTuple):
    """What is wanted of a network, in cells of ``stride`` pixels.

    An object stands in the cell of its centre, which is where ``heat`` is exactly 1. Of two objects
    of one class with their centres in one cell, the later row of the boxes stays.

    Attributes:
        heat: Gaussians around the centres, in [0, 1]; the larger where two overlap.
        size: Width and height, in cells; 0 where no object stands.
        offset: Of the centre from the left top of its cell, in cells, in [0, 1).
        state: State of the object; -1 where it is unknown or none stands.
    """

    heat: Float[np.ndarray, "image class y x"]
    size: Float[np.ndarray, "image class 2 y x"]
    offset: Float[np.ndarray, "image class 2 y x"]
    state: Int[np.ndarray, "image class y x"]


def cells(height: int, width: int, stride: int) -> tuple[int, int]:
    """Rows and columns of cells of a frame that is filled up.

    Example:
        >>> cells(180, 320, 4)
        (48, 80)
    """
    return -(-height // MULTIPLE) * MULTIPLE // stride, -(-width // MULTIPLE) * MULTIPLE // stride


def targets_of(
    boxes: Boxes, images: int, height: int, width: int, *,
    classes: int = len(STATES), stride: int = 4, min_overlap: float = 0.7,
) -> Targets:  # fmt: skip
    """Targets of frames.

    Args:
        boxes: The objects; scores are not looked at.
        images: How many frames there are.
        height: Of a frame, in pixels.
        width: Of a frame, in pixels.
        classes: How many classes there are.
        stride: Pixels of a cell.
        min_overlap: Overlap with an object that a box displaced by the radius of its Gaussian still
            has, in (0, 1).

    Raises:
        DataError: If an object's centre lies outside its frame, or its frame or class is none.
    """
    require_inside(boxes, images, height, width, classes)
    rows, columns = cells(height, width, stride)
    centre = boxes.xywh[:, :2] + boxes.xywh[:, 2:] / 2
    grid = np.floor(centre / stride)
    column, row = grid.astype(int).T
    size = boxes.xywh[:, 2:] / stride
    shape = (images, classes, rows, columns)
    found = Targets(
        heat=_heat(boxes, column, row, gaussian_radius(np.ceil(size), min_overlap), shape),
        size=np.zeros((images, classes, 2, rows, columns), np.float32),
        offset=np.zeros((images, classes, 2, rows, columns), np.float32),
        state=np.full(shape, -1, np.int64),
    )
    found.size[boxes.image, boxes.label, :, row, column] = size
    found.offset[boxes.image, boxes.label, :, row, column] = centre / stride - grid
    found.state[boxes.image, boxes.label, row, column] = boxes.state
    return found


def gaussian_radius(
    size: Float[np.ndarray, "n 2"], min_overlap: float = 0.7
) -> Int[np.ndarray, " n"]:
    """How far both corners of a box may move, each along both axes, and still overlap enough.

    The least over three cases: one corner moves inwards and the other outwards, both move inwards,
    both outwards. Each is a quadratic equation. CornerNet's code, which CenterNet's copies, takes
    ``(b + root) / 2`` in all of them in place of the root that is meant, over ``2 a``, so that its
    radii are too large and do not keep the overlap; here they do, and are smaller: 0 for most
    objects below 40 pixels at a stride of 4 and an overlap of .7. Where that is too sharp a peak,
    take a lower overlap: .3 is what mmdetection takes with the corrected formula.

    Args:
        size: Width and height.
        min_overlap: Intersection over union that is left, in (0, 1).

    Returns:
        The radius, rounded down.

    Raises:
        ParameterError: If the overlap is not in (0, 1).

    Example:
        >>> gaussian_radius(np.array([[10.0, 10.0], [40.0, 30.0]]), 0.3).tolist()
        [2, 7]
    """
    if not 0 < min_overlap < 1:
        raise ParameterError(f"min_overlap is {min_overlap}", accepted="between 0 and 1")
    around, area, o = size.sum(axis=1), size.prod(axis=1), min_overlap
    moved = _roots(1.0, -around, area * (1 - o) / (1 + o))[0]
    smaller = _roots(4.0, -2 * around, area * (1 - o))[0]
    larger = _roots(4 * o, 2 * o * around, area * (o - 1))[1]
    return np.floor(np.minimum(np.minimum(moved, smaller), larger)).astype(np.int64)


def mirrored(boxes: Boxes, width: int) -> Boxes:
    """Boxes of frames that are seen in a mirror: left is right, in place and in state.

    Args:
        boxes: The boxes.
        width: Of a frame, in pixels.

    Example:
        >>> seen = mirrored(Boxes.of([0], [0], [[10, 20, 30, 40]], state=[0]), 320)
        >>> seen.xywh.tolist(), seen.state.tolist()
        ([[280.0, 20.0, 30.0, 40.0]], [1])
    """
    xywh = boxes.xywh.copy()
    xywh[:, 0] = width - xywh[:, 0] - xywh[:, 2]
    state = boxes.state.copy()
    for label, names in enumerate(STATES):
        for number, name in enumerate(names):
            rows = (boxes.label == label) & (boxes.state == number)
            state[rows] = names.index(OTHER_SIDE.get(name, name))
    return replace(boxes, xywh=xywh, state=state)


def require_inside(boxes: Boxes, images: int, height: int, width: int, classes: int) -> None:
    """Refuse objects that are nowhere; see `targets_of`."""
    centre = boxes.xywh[:, :2] + boxes.xywh[:, 2:] / 2
    for good, name, accepted in (
        (((centre >= 0) & (centre < [width, height])).all(axis=1), "centre",
         f"inside {width} x {height} pixels"),
        ((boxes.image >= 0) & (boxes.image < images), "frame", f"0 to {images - 1}"),
        ((boxes.label >= 0) & (boxes.label < classes), "class", f"0 to {classes - 1}"),
    ):  # fmt: skip
        if not good.all():
            row = int(good.argmin())
            raise DataError(
                f"the {name} of an object is out of range: class {boxes.label[row]}, "
                f"box {boxes.xywh[row].tolist()}",
                where=f"frame {boxes.image[row]}",
                accepted=accepted,
            )


def by_frame(truth: Boxes) -> Callable[[np.ndarray], Boxes]:
    """The objects of some frames, numbered by their place among these."""
    order = np.argsort(truth.image, kind="stable")
    boxes, numbers = truth.take(order), truth.image[order]

    def of(rows: np.ndarray) -> Boxes:
        start, end = (np.searchsorted(numbers, rows, side) for side in ("left", "right"))
        places = [np.arange(a, b) for a, b in zip(start, end, strict=True)]
        taken = boxes.take(np.concatenate(places))
        image = np.repeat(np.arange(len(rows)), end - start)
        return Boxes(image, taken.label, taken.xywh, taken.score, taken.state)

    return of


def _roots(a: float, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lower and the higher x with a x^2 + b x + c = 0."""
    root = np.sqrt(b * b - 4 * a * c)
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def _heat(
    boxes: Boxes, column: np.ndarray, row: np.ndarray, radius: np.ndarray,
    shape: tuple[int, int, int, int],
) -> Float[np.ndarray, "image class y x"]:  # fmt: skip
    """Gaussians with a deviation of a sixth of their diameter, cut off at the radius."""
    heat = np.zeros(shape, np.float32)
    if not len(boxes):
        return heat
    order = np.lexsort((boxes.label, boxes.image))
    reach = radius[order, None]
    sigma = (2 * reach + 1) / 6

    def along(centre: np.ndarray, count: int) -> np.ndarray:
        away = np.arange(count) - centre[order, None]
        return np.exp(-(away**2) / (2 * sigma**2)) * (abs(away) <= reach)

    x, y = along(column, shape[3]), along(row, shape[2])
    image, label = boxes.image[order], boxes.label[order]
    first = np.flatnonzero(np.r_[True, (np.diff(image) != 0) | (np.diff(label) != 0)])
    planes = np.einsum("ny,nx->nyx", y, x).astype(np.float32)
    heat[image[first], label[first]] = np.maximum.reduceat(planes, first, axis=0)
    return heat
