"""Non-maximum suppression: of boxes that overlap, the one with the highest score stays."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Int

from assay.errors import ParameterError
from assay.parts.detection.boxes import Boxes, iou

__all__ = ["groups_by_score", "suppress"]


def suppress(boxes: Boxes, *, iou_above: float = 0.5) -> Boxes:
    """Greedy non-maximum suppression, for each image and class on its own.

    The box with the highest score is taken, all that overlap it by more than the limit go, and so
    on with what is left. Of equal scores the earlier row comes first. Takes memory in proportion
    to the boxes.

    Args:
        boxes: What was found, by one detector or several.
        iou_above: Overlap above which the lower one goes, in [0, 1].

    Returns:
        The rows that stay, in their order.

    Raises:
        ParameterError: If the limit is not in [0, 1].

    Example:
        >>> twice = Boxes.of([0, 0], [1, 1], [[0, 0, 9, 9], [1, 0, 9, 9]], [0.4, 0.6])
        >>> suppress(twice).score.tolist()
        [0.6]
    """
    if not 0 <= iou_above <= 1:
        raise ParameterError(f"iou_above is {iou_above}", where="suppress", accepted="0 to 1")
    kept = np.zeros(len(boxes), bool)
    for rows in groups_by_score(boxes):
        kept[rows[_not_suppressed(boxes.xywh[rows], iou_above)]] = True
    return boxes.take(kept)


def groups_by_score(boxes: Boxes) -> Iterator[Int[np.ndarray, " rows"]]:
    """Rows of each image and class, the highest score first and earlier rows before equal ones."""
    order = np.lexsort((-boxes.score, boxes.label, boxes.image))  # stable
    image, label = boxes.image[order], boxes.label[order]
    new = (np.diff(image) != 0) | (np.diff(label) != 0)
    yield from (rows for rows in np.split(order, np.flatnonzero(new) + 1) if len(rows))


def _not_suppressed(xywh: np.ndarray, iou_above: float) -> Bool[np.ndarray, " n"]:
    """Which boxes stay, of boxes from the highest score to the lowest."""
    stays = np.ones(len(xywh), bool)
    for row in range(len(xywh) - 1):
        if stays[row]:
            stays[row + 1 :] &= iou(xywh[row : row + 1], xywh[row + 1 :])[0] <= iou_above
    return stays
