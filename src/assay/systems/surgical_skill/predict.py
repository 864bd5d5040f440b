"""What detectors find in frames, alone or fused, and what they miss."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Int, UInt8

from assay.core.task import task
from assay.errors import ParameterError
from assay.parts.detection.box_fusion import weighted_box_fusion
from assay.parts.detection.boxes import Boxes
from assay.parts.detection.misses import misses
from assay.parts.detection.suppression import suppress
from assay.systems.surgical_skill.targets import by_frame, mirrored, targets_of

if TYPE_CHECKING:
    from assay.systems.surgical_skill.detector import Detector

__all__ = ["Failure", "Fuse", "failures_in", "predict"]

Fuse = Literal["wbf", "nms", "none"]
FOUND_AT = 0.3


def predict(
    detectors: "Detector | Sequence[Detector]", frames: Iterable[UInt8[np.ndarray, "_ y x 3"]], *,
    batch: int = 16, flip: bool = False, fuse: Fuse = "wbf", score_at_least: float = 0.05,
    weights: Sequence[float] | None = None, iou_above: float = 0.55,
) -> Boxes:  # fmt: skip
    """Find objects in frames.

    Args:
        detectors: One detector, or those of several folds.
        frames: Pieces of a stream of frames, of any length each.
        batch: Most frames that are looked at together; what is found does not depend on it.
        flip: Whether each detector looks a second time, at the frames in a mirror; what is found
            there is mirrored back, left and right states included.
        fuse: How the views are put together: ``wbf``, weighted box fusion; ``nms``, all boxes,
            suppressed; ``none`` for the one view there is.
        score_at_least: Lowest score of a box, of those that are fused and of what comes of them.
        weights: Weight of each detector in ``wbf``; all 1 if not given.
        iou_above: Overlap above which boxes are of one object.

    Returns:
        Boxes by frame, counted from 0 over all pieces, and in it from the highest score to the
        lowest.

    Raises:
        DataError: If the frames are not frames of bytes.
        ParameterError: If there are several views for ``none``, no detectors, or values out of
            range.
    """
    models = list(detectors) if isinstance(detectors, Sequence) else [detectors]
    shares = [1.0] * len(models) if weights is None else list(weights)
    _check(len(models), len(shares), batch, flip, fuse)
    views = [(model, side) for model in models for side in ((False, True) if flip else (False,))]
    of_views = [share for share in shares for _ in range(1 + flip)]
    first, parts = 0, list[Boxes]()
    for piece in frames:
        for begin in range(0, len(piece), batch):
            some = piece[begin : begin + batch]
            seen = [_found(model, some, first, side, score_at_least) for model, side in views]
            if fuse == "wbf":
                boxes = weighted_box_fusion(seen, weights=of_views, iou_above=iou_above)
            else:
                boxes = Boxes.joined(seen)
                boxes = suppress(boxes, iou_above=iou_above) if fuse == "nms" else boxes
            parts.append(boxes.take(boxes.score >= score_at_least))
            first += len(some)
    found = Boxes.joined(parts)
    return found.take(np.lexsort((-found.score, found.image)))


def _found(
    model: "Detector", frames: np.ndarray, first: int, mirror: bool, score_at_least: float
) -> Boxes:
    """What one detector finds in frames, or in their mirror images."""
    import torch

    from assay.systems.surgical_skill.detector import decode

    model.eval()
    shown = frames[:, :, ::-1] if mirror else frames
    with torch.inference_mode():
        heads = model(torch.from_numpy(np.array(shown, order="C")))
    height, width = frames.shape[1:3]
    boxes = decode(heads, model.config, height, width).boxes(
        first=first, score_at_least=score_at_least
    )
    return mirrored(boxes, width) if mirror else boxes


def _check(models: int, weights: int, batch: int, flip: bool, fuse: str) -> None:
    for good, said, accepted in (
        (models > 0, "there are no detectors", "at least one"),
        (weights == models, f"there are {weights} weights", f"{models}, one for each detector"),
        (batch > 0, f"batch is {batch}", "a whole number from 1"),
        (fuse in ("wbf", "nms", "none"), f"fuse is {fuse!r}", "wbf, nms or none"),
        (fuse != "none" or models * (1 + flip) == 1,
         "fuse is 'none' for several views", "wbf or nms, or one detector without flip"),
    ):  # fmt: skip
        if not good:
            raise ParameterError(said, where="predict", accepted=accepted)


# -- what is missed -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Failure:
    """A frame of the training set and what went wrong in it.

    Attributes:
        frame: Its number.
        loss: The sum of its losses, every state counting as it is.
        objects: Objects in it.
        missed: Objects that no box of their class with a score from .3 overlaps by half.
        invented: Boxes with such a score that overlap no object of their class by half.
    """

    frame: int
    loss: float
    objects: int
    missed: int
    invented: int


def failures_in(
    model: "Detector", frames: UInt8[np.ndarray, "n y x 3"], truth: Boxes,
    chosen: Int[np.ndarray, " m"], *, min_overlap: float = 0.7, batch: int = 16,
) -> list[Failure]:  # fmt: skip
    """How a detector does on frames whose objects are known.

    Args:
        model: The detector.
        frames: The frames.
        truth: Their objects.
        chosen: Numbers of the frames to look at.
        min_overlap: Of the targets, for the loss.
        batch: Frames that are looked at together.

    Returns:
        All frames looked at: those with most objects missed first, the highest loss first among
        equals.
    """
    import torch

    from assay.systems.surgical_skill.detector import decode, losses

    model.eval()
    height, width = frames.shape[1:3]
    config, objects_in, failures = model.config, by_frame(truth), list[Failure]()
    for rows in np.array_split(chosen, -(-len(chosen) // batch)):
        boxes = objects_in(rows)
        wanted = targets_of(
            boxes, len(rows), height, width, classes=len(config.states), stride=config.stride,
            min_overlap=min_overlap,
        )  # fmt: skip
        with torch.inference_mode():
            heads = model(torch.from_numpy(np.array(frames[rows])))
            total = losses(heads, wanted).total.tolist()
        found = decode(heads, config, height, width).boxes(score_at_least=FOUND_AT)
        there = np.bincount(boxes.image, minlength=len(rows)).tolist()
        faults = (of.tolist() for of in misses(boxes, found, len(rows)))
        failures += map(Failure, rows.tolist(), total, there, *faults)
        task().progress(len(failures), len(chosen), "frames looked at")
    return sorted(failures, key=lambda failure: (-failure.missed, -failure.loss, failure.frame))
