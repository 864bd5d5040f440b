"""The metrics that a challenge may name: a closed table, one line for each.

Notable: a prediction that is missing takes the worst value that the declared range allows, so that
leaving one out never pays. Of an error by case that is the larger one at the two ends of the range;
a rank correlation with a missing prediction is -1, since no milder value is safe: which prediction
would be worst depends on all the others.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float

from assay.parts.detection.boxes import Boxes

__all__ = ["METRICS", "Metric", "Value"]

Range = tuple[float, float]


@dataclass(frozen=True)
class Value:
    """What a metric says of one entry.

    Attributes:
        overall: NaN if it cannot be told.
        reason: Why not; empty otherwise.
        by_case: In the order of the cases it was asked about; NaN where the truth is not known.
            None if the metric exists only overall.
        n: Cases that count.
        extra: Further numbers by name.
    """

    overall: float
    n: int
    by_case: Float[np.ndarray, " cases"] | None = None
    reason: str = ""
    extra: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        kind: Of the task it is for.
        small_better: Whether a small value is a good one.
        of: Takes truth and predictions of the same cases, in the same order, and for boxes the
            names of the classes, for tables the range.
        title: What people read.
        positive: Whether the range must lie above 0.
        has_cases: Whether there is a value for each case.
    """

    kind: Literal["boxes", "table"]
    small_better: bool
    of: Callable[..., Value]
    title: str
    positive: bool = False
    has_cases: bool = True


def _error(
    of: Callable[[float, float], float],
    title: str,
    *,
    small_better: bool = True,
    finish: Callable[[float], float] = float,
    positive: bool = False,
) -> Metric:
    """A metric that has a value for each case; overall it is their mean, then ``finish``."""
    worst = max if small_better else min

    def whole(truth: np.ndarray, found: np.ndarray, ends: Range) -> Value:
        known = ~np.isnan(truth)
        reason = _lacking(truth, found)
        if reason:
            return Value(math.nan, int(known.sum()), reason=reason)
        values = [
            math.nan if math.isnan(t)
            else worst(of(t, end) for end in ends) if math.isnan(p)
            else of(t, p)
            for t, p in zip(truth.tolist(), found.tolist(), strict=True)
        ]  # fmt: skip
        counted = [value for value in values if not math.isnan(value)]
        mean = math.fsum(counted) / len(counted)
        return Value(finish(mean), len(counted), np.array(values, np.float64))

    return Metric("table", small_better, whole, title, positive)


def _correlation(name: str, title: str) -> Metric:
    """A rank correlation of scipy.stats, over the cases whose truth is known."""

    def whole(truth: np.ndarray, found: np.ndarray, ends: Range) -> Value:
        from scipy import stats

        known = ~np.isnan(truth)
        n = int(known.sum())
        truth, found = truth[known], found[known]
        given = found[~np.isnan(found)]
        reason = _lacking(truth, found)
        if not reason and len(set(truth.tolist())) < 2:
            reason = "the truth is the same in all cases"
        if not reason and len(set(given.tolist())) < 2:
            reason = "the predictions are the same in all cases"
        if reason:
            return Value(math.nan, n, reason=reason)
        if len(given) < n:
            return Value(-1.0, n)
        return Value(float(getattr(stats, name)(truth, found).statistic), n)

    return Metric("table", False, whole, title, has_cases=False)


def _lacking(truth: np.ndarray, found: np.ndarray) -> str:
    """Why a column cannot be scored at all; empty if it can."""
    known = ~np.isnan(truth)
    if not known.any():
        return "no case has a known truth"
    return "no prediction at all" if np.isnan(found[known]).all() else ""


def _pooled(truth: Sequence[Boxes], found: Sequence[Boxes | None], classes: Sequence[str]) -> Value:
    """Average precision over the images of all cases together.

    A case without a prediction is one without boxes: all its objects are missed.
    """
    from assay.parts.detection.average_precision import average_precision

    if all(one is None for one in found):
        return Value(math.nan, len(truth), reason="no prediction at all")
    known, given = _numbered(truth, [one if one is not None else Boxes.of() for one in found])
    made = average_precision(known, given, classes=len(classes))
    by_class = {name: float(made.by_class[n]) for n, name in enumerate(classes)}
    extra = {"AP50": made.ap50, "AP75": made.ap75} | {f"AP {n}": v for n, v in by_class.items()}
    reason = "the truth holds no object" if math.isnan(made.ap) else ""
    return Value(float(made.ap), len(truth), reason=reason, extra=extra)


def _numbered(truth: Sequence[Boxes], found: Sequence[Boxes]) -> tuple[Boxes, Boxes]:
    """The boxes of all cases together, with images numbered across cases."""
    start, both = 0, ([], [])
    for pair in zip(truth, found, strict=True):
        for side, boxes in zip(both, pair, strict=True):
            side.append(
                Boxes(boxes.image + start, boxes.label, boxes.xywh, boxes.score, boxes.state)
            )
        start += max(int(boxes.image.max(initial=-1)) for boxes in pair) + 1
    return Boxes.joined(both[0]), Boxes.joined(both[1])


def _per_video(
    truth: Sequence[Boxes], found: Sequence[Boxes | None], classes: Sequence[str]
) -> Value:
    """Mean over cases of the average precision in each; a case without a prediction has 0."""
    from assay.parts.detection.average_precision import average_precision

    if all(one is None for one in found):
        return Value(math.nan, len(truth), reason="no prediction at all")
    values = [
        math.nan if not len(t)
        else 0.0 if f is None
        else float(average_precision(t, f, classes=len(classes)).ap)
        for t, f in zip(truth, found, strict=True)
    ]  # fmt: skip
    counted = [value for value in values if not math.isnan(value)]
    if not counted:
        return Value(math.nan, 0, reason="the truth holds no object")
    return Value(math.fsum(counted) / len(counted), len(counted), np.array(values, np.float64))


METRICS: dict[str, Metric] = {
    "average_precision": Metric(
        "boxes", False, _pooled, "COCO AP, pooled over all images", has_cases=False
    ),
    "average_precision_per_video": Metric("boxes", False, _per_video, "mean over cases of COCO AP"),
    "absolute_error": _error(lambda t, p: abs(t - p), "mean absolute error"),
    "squared_error": _error(
        lambda t, p: (t - p) ** 2, "root of the mean squared error", finish=math.sqrt
    ),
    "exact": _error(lambda t, p: float(t == p), "share of exact predictions", small_better=False),
    "within_one": _error(
        lambda t, p: float(abs(t - p) <= 1), "share within one", small_better=False
    ),
    "log_absolute_error": _error(
        lambda t, p: abs(math.log(p) - math.log(t)), "mean absolute error of logarithms",
        positive=True,
    ),
    "spearman": _correlation("spearmanr", "Spearman's rank correlation"),
    "kendall": _correlation("kendalltau", "Kendall's tau-b"),
}  # fmt: skip
"""Every metric by its name."""
