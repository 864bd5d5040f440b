"""Frames with their objects, as a detector takes them, from recordings on disk."""

from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8
from pydantic import Field, NonNegativeInt

from assay.core.component import component
from assay.core.task import task
from assay.errors import DataError
from assay.parts.detection.boxes import Boxes
from assay.systems.surgical_skill.layout import Recording, read_dataset
from assay.systems.surgical_skill.video import read_frames

__all__ = ["Clips", "labelled_frames"]

NOBODY = -1
"""Number of a surgeon who is not known."""


class Clips(NamedTuple):
    """The labelled frames of a split, case after case.

    Attributes:
        frames: Red, green and blue, from 0 to 255.
        truth: What is in them; ``image`` is the row in ``frames``.
        case: Of each frame.
        surgeon: Of each frame; -1 where not known.
    """

    frames: UInt8[np.ndarray, "frame height width 3"]
    truth: Boxes
    case: Int[np.ndarray, " frame"]
    surgeon: Int[np.ndarray, " frame"]


@component(version="1", requires=("numpy", "av"))
def labelled_frames(
    surgery: Path,
    *,
    split: str = "train_v1",
    width: Annotated[int, Field(ge=32, le=1920)] = 320,
    height: Annotated[int, Field(ge=18, le=1080)] = 180,
    most: NonNegativeInt = 0,
) -> Clips:
    """Decode the frames of a split that were looked at, and scale them and their boxes.

    Args:
        surgery: Folder with the splits.
        split: Which.
        width: Of the frames (pixels).
        height: Of the frames (pixels).
        most: Frames of a case, evenly spread; 0 for all.

    Raises:
        DataError: If no case has a 1 fps video.
    """
    found = [one for one in read_dataset(surgery, split).cases if one.video_1fps is not None]
    if not found:
        raise DataError("no case with a 1 fps video", where=f"{surgery}/{split}")
    frames, boxes, cases, surgeons = [], [], [], []
    for done, one in enumerate(found, 1):
        kept = _spread(one.listed, most)
        frames.append(_decoded(one, kept, (width, height)))
        boxes.append(_scaled(one, kept, (width, height), first=sum(map(len, cases))))
        cases.append(np.full(len(kept), one.case))
        surgeons.append(np.full(len(kept), NOBODY if one.surgeon is None else one.surgeon))
        task().progress(done, len(found), "cases")
    return Clips(
        np.concatenate(frames), Boxes.joined(boxes), np.concatenate(cases), np.concatenate(surgeons)
    )


def _spread(listed: np.ndarray, most: int) -> np.ndarray:
    if not most or len(listed) <= most:
        return listed
    return listed[np.linspace(0, len(listed) - 1, most).round().astype(int)]


def _decoded(one: Recording, kept: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    assert one.video_1fps is not None  # noqa: S101
    same = one.size == size
    return read_frames(one.video_1fps, kept.tolist(), size=None if same else size)


def _scaled(one: Recording, kept: np.ndarray, size: tuple[int, int], first: int) -> Boxes:
    """The objects of the frames that are kept, numbered from ``first``, in the new size."""
    boxes = one.boxes.take(np.isin(one.boxes.image, kept))
    was = one.size or size
    ratio = np.array([size[0] / was[0], size[1] / was[1]] * 2)
    rows = first + np.searchsorted(kept, boxes.image)
    return Boxes(rows, boxes.label, boxes.xywh * ratio, boxes.score, boxes.state)
