"""Scores of key points and of masks, as the reference evaluators count them.

Key points: as the authors of RHD evaluate. Only visible ones count; mean and median error, and the
share within each threshold, are taken per key point first and then averaged over the key points
that were visible at least once, so a rare key point weighs as much as a frequent one. The area
under the curve of shares is by trapezoids, over that of a curve of ones.

Masks: intersection over union and Dice per class, either of the pixels of all frames together
(*pooled*) or per frame and then averaged (*per frame*). The two differ most for small, rare
classes. A class that is neither in the truth nor in the prediction has no score; it is left out
(*skip*) or counted as perfect (*one*).
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer

from assay.errors import DataError, ParameterError

__all__ = ["KeyPointScores", "MaskScores", "key_point_scores", "mask_scores"]


class KeyPointScores(NamedTuple):
    """Errors of key points.

    Attributes:
        epe_mean: Mean error, averaged over key points, in the unit of the coordinates.
        epe_median: Median error, averaged over key points.
        auc: Area under ``pck``, from 0 to 1.
        pck: Share of the key points within each threshold ``[threshold]``.
        thresholds: The thresholds, in the unit of the coordinates ``[threshold]``.
    """

    epe_mean: float
    epe_median: float
    auc: float
    pck: Float[np.ndarray, " threshold"]
    thresholds: Float[np.ndarray, " threshold"]


def key_point_scores(
    found: Float[np.ndarray, "sample point axis"],
    truth: Float[np.ndarray, "sample point axis"],
    visible: Bool[np.ndarray, "sample point"] | Integer[np.ndarray, "sample point"] | None = None,
    *,
    low: float = 0.0,
    high: float = 0.05,
    steps: int = 20,
) -> KeyPointScores:
    """Score key points, in two or three dimensions.

    Args:
        found: Predicted coordinates.
        truth: True coordinates, in the same unit; not read where a key point is not visible.
        visible: Which count, as booleans or as 1 and 0; all if not given.
        low: Smallest threshold.
        high: Largest.
        steps: How many, evenly spaced, both ends included. The defaults are those of RHD and STB in
            metres.

    Raises:
        DataError: If the arrays do not fit together, no key point is visible, or a visible one is
            not finite.
        ParameterError: If the thresholds are none.

    Example:
        >>> truth = np.zeros((1, 2, 3))
        >>> found = np.array([[[0.03, 0.04, 0.0], [0.0, 0.0, 0.0]]])
        >>> scores = key_point_scores(found, truth, low=0.0, high=0.1, steps=3)
        >>> round(scores.epe_mean, 6), scores.pck.tolist(), round(scores.auc, 6)
        (0.025, [0.5, 1.0, 1.0], 0.875)
    """
    if steps < 2 or not low < high:
        raise ParameterError(
            f"{steps} thresholds from {low:g} to {high:g}", where="key points",
            accepted="two or more, from low to a higher one",
        )  # fmt: skip
    _require_equal(found, truth, 3, "key points")
    distance = np.sqrt(np.square(found - truth).sum(-1))
    counts = np.ones(distance.shape, bool) if visible is None else np.asarray(visible) == 1
    _require_equal(counts, distance, 2, "visible")
    if not counts.any():
        raise DataError("no key point is visible", where="key points")
    if not np.isfinite(distance[counts]).all():
        sample, point = np.argwhere(counts & ~np.isfinite(distance))[0]
        raise DataError(f"key point {point} of sample {sample} is not finite", where="key points")
    thresholds = np.linspace(low, high, steps)
    each = [distance[counts[:, k], k] for k in np.flatnonzero(counts.any(0))]
    curves = np.array([(one[:, None] <= thresholds).mean(0) for one in each])
    areas = np.trapezoid(curves, thresholds, axis=1)
    areas /= np.trapezoid(np.ones(steps), thresholds)
    return KeyPointScores(
        epe_mean=float(np.mean([one.mean() for one in each])),
        epe_median=float(np.mean([np.median(one) for one in each])),
        auc=float(areas.mean()),
        pck=curves.mean(0),
        thresholds=thresholds,
    )


class MaskScores(NamedTuple):
    """Scores of masks; nan where a class has none.

    Attributes:
        iou: Intersection over union of each class ``[class]``.
        dice: Dice of each class ``[class]``.
        mean_iou: Mean over the classes counted that have a score.
        mean_dice: The same of Dice.
    """

    iou: Float[np.ndarray, " class"]
    dice: Float[np.ndarray, " class"]
    mean_iou: float
    mean_dice: float


def mask_scores(
    found: Integer[np.ndarray, "frame height width"],
    truth: Integer[np.ndarray, "frame height width"],
    classes: int,
    *,
    average: Literal["pooled", "per_frame"] = "pooled",
    empty: Literal["skip", "one"] = "skip",
    background: bool = True,
    ignore: int | None = None,
) -> MaskScores:
    """Score masks of class numbers.

    Args:
        found: Predicted classes.
        truth: True classes, from 0 to ``classes`` - 1, or ``ignore``.
        classes: How many classes there are; class 0 is the background.
        average: Count the pixels of all frames together, or average the scores of the frames.
        empty: What a class is worth that is neither in truth nor in prediction: of a frame, or of
            all of them if they are pooled.
        background: Whether class 0 counts in the means.
        ignore: A class of ``truth`` whose pixels are not looked at.

    Raises:
        DataError: If the masks do not fit together, or a class is not known.
        ParameterError: If there are fewer than 1 class, or 2 without the background, or an option
            is not known.

    Example:
        >>> truth = np.array([[[0, 1], [1, 1]], [[0, 0], [0, 0]]])
        >>> found = np.array([[[0, 0], [1, 1]], [[0, 0], [0, 1]]])
        >>> [round(v, 4) for v in mask_scores(found, truth, 2).iou.tolist()]
        [0.6667, 0.5]
        >>> [round(v, 4) for v in mask_scores(found, truth, 2, average="per_frame").iou.tolist()]
        [0.625, 0.3333]
    """
    if classes < 1 + (not background):
        raise ParameterError(f"{classes} classes", where="masks", accepted="one to score at least")
    _require_option("average", average, ("pooled", "per_frame"))
    _require_option("empty", empty, ("skip", "one"))
    _require_equal(found, truth, 3, "masks")
    inside = np.ones(truth.shape, bool) if ignore is None else truth != ignore
    _require_known(found, inside, classes, "prediction")
    _require_known(truth, inside, classes, "truth")
    counts = np.stack(
        [_confusion(*both, classes) for both in zip(found, truth, inside, strict=True)]
    )
    if average == "pooled":
        counts = counts.sum(0, keepdims=True)
    both = np.diagonal(counts, axis1=1, axis2=2).astype(float)
    size = (counts.sum(1) + counts.sum(2)).astype(float)  # of truth and prediction, per class
    none = np.nan if empty == "skip" else 1.0
    scores = [
        np.divide(top, bottom, out=np.full(top.shape, none), where=bottom > 0)
        for top, bottom in ((both, size - both), (2.0 * both, size))
    ]
    iou, dice = (_mean(each, 0) for each in scores)
    counted = slice(0 if background else 1, None)
    return MaskScores(iou, dice, float(_mean(iou[counted], 0)), float(_mean(dice[counted], 0)))


def _confusion(
    found: np.ndarray, truth: np.ndarray, inside: np.ndarray, classes: int
) -> np.ndarray:
    """Pixels by true and predicted class."""
    pairs = truth[inside].astype(np.int64) * classes + found[inside]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def _require_equal(given: np.ndarray, like: np.ndarray, axes: int, where: str) -> None:
    """No broadcasting: one key point or frame beside many is a mistake."""
    if given.shape != like.shape or like.ndim != axes:
        raise DataError(
            f"arrays of {given.shape} and {like.shape}", where=where,
            accepted=f"one shape of {axes} axes",
        )  # fmt: skip


def _require_option(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ParameterError(f"{value!r} is refused", where=name, accepted=" or ".join(known))


def _require_known(mask: np.ndarray, inside: np.ndarray, classes: int, what: str) -> None:
    wrong = inside & ((mask < 0) | (mask >= classes))
    if wrong.any():
        frame, row, column = np.argwhere(wrong)[0]
        raise DataError(
            f"class {mask[frame, row, column]} at row {row}, column {column} of frame {frame}",
            where=what,
            accepted=f"0 to {classes - 1}",
        )


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """The mean of what is a number; nan where nothing is."""
    known = ~np.isnan(values)
    count = known.sum(axis)
    total = np.where(known, values, 0.0).sum(axis)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
