"""Weighted box fusion: what several detectors found, as one list of averaged boxes.

Solovyev, Wang and Gabruseva 2021, Image and Vision Computing 107, 104117 (arXiv 1910.13302).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from assay.errors import ParameterError
from assay.parts.detection.boxes import UNKNOWN, Boxes, iou
from assay.parts.detection.suppression import groups_by_score

__all__ = ["weighted_box_fusion"]

LARGEST_SCORE = 1.0


def weighted_box_fusion(
    models: Sequence[Boxes], *, weights: Sequence[float] | None = None, iou_above: float = 0.55
) -> Boxes:
    """Fuse what several models found in the same images, for each image and class on its own.

    Boxes come in the order of score x weight of their model. Each joins the cluster whose fused
    box it overlaps most, if by more than the limit, or begins a new one. The corners of a fused
    box are the means of its members', weighted by score x weight. Its score is the mean of theirs
    times min(members, models) over the sum of the weights, so that what few models saw counts
    less. Its state is the one with the largest sum of score x weight among the members that have
    one; of equal sums, the lowest.

    Args:
        models: Boxes of each model.
        weights: Weight of each model, above 0; all 1 if not given.
        iou_above: Overlap above which a box belongs to a cluster, in [0, 1].

    Returns:
        Fused boxes by image, and in it from the highest score to the lowest. A score is kept at 1
        at most: with unequal weights the published formula can exceed it.

    Raises:
        ParameterError: If there is no model, or weights or limit are out of range.

    Example:
        >>> left, right = (Boxes.of([0], [1], [[x, 0, 8, 8]], [0.5]) for x in (0, 2))
        >>> fused = weighted_box_fusion([left, right])
        >>> fused.xywh.tolist(), fused.score.tolist()
        ([[1.0, 0.0, 8.0, 8.0]], [0.5])
    """
    shares = np.ones(len(models)) if weights is None else np.asarray(weights, float)
    _check(len(models), shares, iou_above)
    found = Boxes.joined(list(models))
    share = np.repeat(shares, [len(boxes) for boxes in models])
    weighed = Boxes(found.image, found.label, found.xywh, found.score * share, found.state)
    rows: list[tuple[int, int, float, np.ndarray, int]] = []
    for group in groups_by_score(weighed):
        clusters = _clusters(weighed.take(group), iou_above)
        image, label = int(found.image[group[0]]), int(found.label[group[0]])
        for cluster in clusters:
            seen = min(len(models), cluster.members) / shares.sum()
            score = min(cluster.weight / cluster.members * seen, LARGEST_SCORE)
            rows.append((image, label, score, cluster.xywh, cluster.state))
    rows.sort(key=lambda row: (row[0], -row[2]))
    image, label, score, xywh, state = zip(*rows, strict=True) if rows else ((),) * 5
    return Boxes.of(image, label, xywh, score, state)


@dataclass
class _Cluster:
    """Boxes of one object, as sums."""

    members: int = 0
    weight: float = 0.0
    weighted: np.ndarray = field(default_factory=lambda: np.zeros(4))
    first: np.ndarray = field(default_factory=lambda: np.zeros(4))
    votes: dict[int, float] = field(default_factory=dict)

    def add(self, xywh: np.ndarray, weight: float, state: int) -> None:
        if not self.members:
            self.first = xywh
        self.members += 1
        self.weight += weight
        self.weighted = self.weighted + weight * xywh
        if state != UNKNOWN:
            self.votes[state] = self.votes.get(state, 0.0) + weight

    @property
    def xywh(self) -> np.ndarray:
        """The fused box: the mean of left, top, width and height is that of the corners.

        The first box stays as it is until another one joins it, and where no score is above 0.
        """
        alone = self.members == 1 or not self.weight
        return self.first if alone else self.weighted / self.weight

    @property
    def state(self) -> int:
        """The state that most of the weight is for."""
        ordered = sorted(self.votes.items(), key=lambda vote: (-vote[1], vote[0]))
        return ordered[0][0] if ordered else UNKNOWN


def _clusters(boxes: Boxes, iou_above: float) -> list[_Cluster]:
    """Clusters of the boxes of one image and class, which come by weighted score."""
    clusters: list[_Cluster] = []
    fused = np.zeros((len(boxes), 4))
    for xywh, weight, state in zip(boxes.xywh, boxes.score, boxes.state, strict=True):
        overlap = iou(xywh[None], fused[: len(clusters)])[0]
        nearest = int(overlap.argmax()) if len(overlap) else 0
        if not len(overlap) or overlap[nearest] <= iou_above:
            nearest = len(clusters)
            clusters.append(_Cluster())
        clusters[nearest].add(xywh, float(weight), int(state))
        fused[nearest] = clusters[nearest].xywh
    return clusters


def _check(models: int, weights: np.ndarray, iou_above: float) -> None:
    where = "weighted box fusion"
    if not models:
        raise ParameterError("no models", where=where, accepted="boxes of at least one")
    if weights.shape != (models,) or not (np.isfinite(weights) & (weights > 0)).all():
        raise ParameterError(
            f"the weights are {weights.tolist()}", where=where,
            accepted=f"{models} numbers above 0",
        )  # fmt: skip
    if not 0 <= iou_above <= 1:
        raise ParameterError(f"iou_above is {iou_above}", where=where, accepted="0 to 1")
