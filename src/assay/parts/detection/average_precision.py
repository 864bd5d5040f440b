"""Average precision as COCO defines it, number for number.

Detections of a class are matched to its objects image by image, best score first, at ten overlaps
from 0.50 to 0.95; precision is made non-increasing and read at 101 recalls, over all images
together. Of two objects that overlap a detection equally the later one is taken, scores that are
equal keep the order of images and rows, and boxes are continuous: each is a convention of the
reference, and each changes the result.

Source: Lin et al. 2014, Microsoft COCO, and its evaluation code.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.parts.compiled import kept_on_disk
from assay.parts.detection.boxes import Boxes

__all__ = ["AREAS", "OVERLAPS", "RECALLS", "Precision", "average_precision"]

OVERLAPS = np.linspace(0.5, 0.95, 10)
"""Intersections over union from which a detection is right."""
RECALLS = np.linspace(0.0, 1.0, 101)
AREAS = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""Sizes of objects, by the area of their boxes in pixels."""
MISSED, RIGHT, LEFT_OUT = 0, 1, 2


@dataclass(frozen=True)
class Precision:
    """How well the objects of every class were found.

    Attributes:
        curve: Precision ``[overlap, recall, class]``; NaN for a class without objects.
        recall: Largest recall ``[overlap, class]``; NaN likewise.
        objects: How many there were of each class ``[class]``.
    """

    curve: Float[np.ndarray, "overlap recall class"]
    recall: Float[np.ndarray, "overlap class"]
    objects: Int[np.ndarray, " class"]

    @property
    def ap(self) -> float:
        """Mean over overlaps, recalls and the classes that have objects; NaN if none has."""
        return _mean(self.curve)

    @property
    def ap50(self) -> float:
        """The same at an overlap of 0.5."""
        return _mean(self.curve[0])

    @property
    def ap75(self) -> float:
        """The same at an overlap of 0.75."""
        return _mean(self.curve[5])

    @property
    def average_recall(self) -> float:
        """Largest recall, averaged over overlaps and classes."""
        return _mean(self.recall)

    @property
    def by_class(self) -> Float[np.ndarray, " class"]:
        """Mean over overlaps and recalls for each class."""
        return self.curve.mean(axis=(0, 1))

    @property
    def by_class_50(self) -> Float[np.ndarray, " class"]:
        """The same at an overlap of 0.5."""
        return self.curve[0].mean(axis=0)


def _mean(values: np.ndarray) -> float:
    told = values[~np.isnan(values)]
    return float(told.mean()) if told.size else float("nan")


def average_precision(
    truth: Boxes,
    found: Boxes,
    *,
    classes: int,
    max_found: int = 100,
    area: tuple[float, float] | None = None,
) -> Precision:
    """Score what was found in images against what is there.

    Args:
        truth: The objects; images are numbered alike in both.
        found: The detections; those in images without objects are wrong.
        classes: How many there are; labels are below it.
        max_found: Detections of a class that count in one image, best first.
        area: Only objects whose area lies within count, in pixels; others, and detections of
            other sizes that match nothing, are left out.

    Example:
        >>> seen = Boxes.of([0], [0], [[0, 0, 10, 10]])
        >>> average_precision(seen, seen, classes=2).ap
        1.0
    """
    limits = area or (-np.inf, np.inf)
    outside = _outside(truth, limits)
    truth_order = np.lexsort((outside, truth.image, truth.label))  # those left out come last
    truth, outside = truth.take(truth_order), outside[truth_order]
    found = found.take(np.lexsort((-found.score, found.image, found.label)))
    found = found.take(_place_in_group(found) < max_found)
    fate = _match(
        *_groups(truth, found), truth.xywh, outside, found.xywh, np.minimum(OVERLAPS, 1 - 1e-10)
    )
    fate[(fate == MISSED) & _outside(found, limits)] = LEFT_OUT
    by_score = np.lexsort((-found.score, found.label))
    starts = np.searchsorted(found.label[by_score], np.arange(classes + 1))
    objects = np.bincount(truth.label[~outside], minlength=classes)[:classes]
    curve = np.full((len(OVERLAPS), len(RECALLS), classes), np.nan)
    recall = np.full((len(OVERLAPS), classes), np.nan)
    for label in np.flatnonzero(objects):
        own = by_score[starts[label] : starts[label + 1]]
        curve[..., label], recall[:, label] = _curves(fate[:, own], int(objects[label]))
    return Precision(curve, recall, objects)


def _outside(boxes: Boxes, limits: tuple[float, float]) -> Bool[np.ndarray, " n"]:
    area = boxes.xywh[:, 2] * boxes.xywh[:, 3]
    return (area < limits[0]) | (area > limits[1])


def _place_in_group(boxes: Boxes) -> Int[np.ndarray, " n"]:
    """Position of each row among those of its image and class, which lie together."""
    if not len(boxes):
        return np.zeros(0, np.int64)
    new = np.r_[True, (np.diff(boxes.image) != 0) | (np.diff(boxes.label) != 0)]
    rows = np.arange(len(boxes))
    return rows - np.maximum.accumulate(np.where(new, rows, 0))


def _groups(truth: Boxes, found: Boxes) -> tuple[np.ndarray, np.ndarray]:
    """Where the rows of each image and class start, in both ``[group + 1]``."""
    images = 1 + max(int(boxes.image.max(initial=0)) for boxes in (truth, found))
    keys = [boxes.label * images + boxes.image for boxes in (truth, found)]
    groups = np.append(np.union1d(*keys), np.iinfo(np.int64).max)
    return np.searchsorted(keys[0], groups), np.searchsorted(keys[1], groups)


def _overlap(truth: np.ndarray, found: np.ndarray) -> Any:
    """Intersection over union ``[found, truth]``, in the operations of the reference."""
    common = np.zeros((len(found), len(truth)))
    for d in range(len(found)):
        x, y, w, h = found[d]
        for g in range(len(truth)):
            left, top, width, height = truth[g]
            across = min(x + w, left + width) - max(x, left)
            down = min(y + h, top + height) - max(y, top)
            if across > 0 and down > 0:
                both = across * down
                common[d, g] = both / (w * h + width * height - both)
    return common


_overlap_compiled = kept_on_disk(_overlap)


def _matched(
    truth_starts: np.ndarray,
    found_starts: np.ndarray,
    truth: np.ndarray,
    outside: np.ndarray,
    found: np.ndarray,
    overlaps: np.ndarray,
) -> Any:
    """What became of each detection at each overlap ``[overlap, found]``."""
    fate = np.zeros((len(overlaps), len(found)), np.uint8)
    for group in range(len(truth_starts) - 1):
        here = slice(truth_starts[group], truth_starts[group + 1])
        low, high = found_starts[group], found_starts[group + 1]
        left_out = outside[here]
        common = _overlap_compiled(truth[here], found[low:high])
        for t in range(len(overlaps)):
            taken = np.zeros(len(left_out), np.bool_)
            for d in range(high - low):
                best, at = overlaps[t], -1
                for g in range(len(left_out)):
                    if at >= 0 and not left_out[at] and left_out[g]:
                        break  # an object that counts is never given up for one that does not
                    if not taken[g] and common[d, g] >= best:
                        best, at = common[d, g], g
                if at >= 0:
                    taken[at] = True
                    fate[t, low + d] = LEFT_OUT if left_out[at] else RIGHT
    return fate


_match = kept_on_disk(_matched)


def _curves(
    fate: Int[np.ndarray, "overlap found"], objects: int
) -> tuple[Float[np.ndarray, "overlap recall"], Float[np.ndarray, " overlap"]]:
    """Precision at every recall, and the largest recall, from detections by falling score."""
    right = (fate == RIGHT).cumsum(axis=1, dtype=float)
    wrong = (fate == MISSED).cumsum(axis=1, dtype=float)
    precision = right / np.maximum(right + wrong, 1.0)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    envelope = np.column_stack([envelope, np.zeros(len(fate))])
    reached = right / objects
    at = np.array([np.searchsorted(row, RECALLS, side="left") for row in reached])
    last = reached[:, -1] if reached.shape[1] else np.zeros(len(fate))
    return np.take_along_axis(envelope, at, axis=1), last
