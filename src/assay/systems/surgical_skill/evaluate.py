"""What is found in frames, against what is there."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from assay.core.component import component
from assay.core.records import Records
from assay.core.task import task
from assay.parts.detection.average_precision import average_precision
from assay.parts.detection.boxes import UNKNOWN, Boxes, iou
from assay.systems.surgical_skill.classes import CLASSES, DRIVER, NEEDLE
from assay.systems.surgical_skill.clips import Clips
from assay.systems.surgical_skill.folders import load_detector
from assay.systems.surgical_skill.predict import Fuse, predict

__all__ = ["detect", "localised", "promised"]

NAMES = {DRIVER: "driver", NEEDLE: "needle"}


@component(version="1", requires=("numpy", "torch"))
def detect(
    detectors: list[Path],
    frames: np.ndarray,
    chosen: np.ndarray | None = None,
    *,
    most: NonNegativeInt = 0,
    flip: bool = False,
    fuse: Fuse = "wbf",
    score_at_least: Annotated[float, Field(ge=0, le=1)] = 0.05,
    batch: PositiveInt = 16,
) -> Boxes:
    """Find objects in frames by one detector, or by several that are fused.

    Args:
        detectors: Folders of trained ones.
        frames: Bytes ``[frame, height, width, 3]``.
        chosen: Rows of the frames to look at; all if not given.
        most: How many of the detectors are used, from the first; 0 for all.
        flip: Whether each looks at the mirrored frames too.
        fuse: How several views are put together.
        score_at_least: Lowest score that is kept.
        batch: Frames looked at together; what is found does not depend on it.

    Returns:
        What was found; ``image`` is the row in ``frames``.
    """
    from assay.parts.training.torch_state import own_threads

    rows = np.arange(len(frames)) if chosen is None else chosen
    pieces = np.array_split(rows, max(1, len(rows) // 200))

    def told() -> Iterator[np.ndarray]:
        done = 0
        for piece in pieces:
            yield frames[piece]
            done += len(piece)
            task().progress(done, len(rows), "frames")

    with own_threads(task().threads):
        models = [load_detector(folder) for folder in detectors[: most or None]]
        found = predict(
            models, told(), batch=batch, flip=flip, fuse=fuse, score_at_least=score_at_least
        )  # fmt: skip
    return replace(found, image=rows[found.image])


@component(version="1", requires=("numpy", "numba"))
def localised(clips: Clips, found: Boxes, *, sure: NonNegativeFloat = 0.3) -> Records:
    """How well objects were found.

    Args:
        clips: The frames and their objects.
        found: What was found in them.
        sure: Score from which the state of a box counts.

    Returns:
        Average precision over all frames together: ``ap``, ``ap50``, ``ap75``, ``ap_per_video``,
        and ``ap50_driver``, ``ap50_needle``, ``ap_driver``, ``ap_needle``; ``ap50_gap`` between
        the two; ``recall``; ``state_right``, the share of sure boxes with the right state among
        those that overlap an object by half; and ``objects`` of each ``class``.
    """
    records = Records()
    precision = average_precision(clips.truth, found, classes=len(CLASSES))
    for name in ("ap", "ap50", "ap75"):
        records.add(name, getattr(precision, name))
    records.add("recall", precision.average_recall)
    for label, name in NAMES.items():
        records.add(f"ap_{name}", precision.by_class[label])
        records.add(f"ap50_{name}", precision.by_class_50[label])
        records.add(
            "objects", int(precision.objects[label]), "objects", **{"class": CLASSES[label]}
        )
    gap = precision.by_class_50[DRIVER] - precision.by_class_50[NEEDLE]
    records.add("ap50_gap", gap)
    records.add("ap_per_video", _per_video(clips, found))
    records.add("state_right", _states(clips.truth, found, sure))
    return records


@component(version="1", requires=("numpy", "numba"))
def promised(seen: Clips, held: list[Boxes], unseen: Clips, found: Boxes) -> Records:
    """What was promised out of fold, and what was kept on surgeons whom nobody has seen.

    Args:
        seen: Frames that were dealt into folds.
        held: What was found in each fold by the detector that was not trained on it.
        unseen: Frames of others.
        found: What was found in them.

    Returns:
        All measures of `localised` on the others; ``out_of_fold_ap``; and ``optimism``, the
        average precision out of fold less that on the others.
    """
    records = localised(unseen, found)
    kept = next(row["value"] for row in records if row["measure"] == "ap")
    promise = average_precision(seen.truth, Boxes.joined(held), classes=len(CLASSES)).ap
    records.add("out_of_fold_ap", promise)
    records.add("optimism", promise - kept)
    return records


def _per_video(clips: Clips, found: Boxes) -> float:
    """Mean over cases of the average precision in each."""
    each = []
    for case in np.unique(clips.case):
        own = np.flatnonzero(clips.case == case)
        parts = [boxes.take(np.isin(boxes.image, own)) for boxes in (clips.truth, found)]
        each.append(average_precision(*parts, classes=len(CLASSES)).ap)
    return float(np.nanmean(each))


def _states(truth: Boxes, found: Boxes, sure: float) -> float:
    """Share of the sure boxes that overlap an object by half and say its state rightly."""
    right = asked = 0
    found = found.take(found.score >= sure)
    for image in np.unique(truth.image):
        there, said = truth.take(truth.image == image), found.take(found.image == image)
        if not len(said):
            continue
        overlap = iou(there.xywh, said.xywh) * (there.label[:, None] == said.label)
        best = overlap.argmax(axis=1)
        met = (overlap.max(axis=1) >= 0.5) & (there.state != UNKNOWN)
        asked += int(met.sum())
        right += int((said.state[best] == there.state)[met].sum())
    return right / asked if asked else float("nan")
