"""Full videos watched by detectors: operations whose boxes were found, beside those known."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from assay.core.component import component
from assay.core.task import task
from assay.errors import DataError
from assay.parts.detection.boxes import Boxes
from assay.systems.surgical_skill.folders import load_detector
from assay.systems.surgical_skill.layout import Recording, read_dataset, read_every_frame
from assay.systems.surgical_skill.operations import Operation
from assay.systems.surgical_skill.predict import Fuse, predict
from assay.systems.surgical_skill.tracking import thinned
from assay.systems.surgical_skill.video import stream_frames, video_rate

__all__ = ["known", "watched"]

PIECE = 64
"""Frames of a video that are in memory together."""


@component(version="1", requires=("numpy", "torch", "av"))
def watched(
    detectors: list[Path],
    surgery: Path,
    cases: np.ndarray | None = None,
    *,
    split: str = "test",
    fps: PositiveInt = 10,
    width: Annotated[int, Field(ge=32, le=1920)] = 320,
    height: Annotated[int, Field(ge=18, le=1080)] = 180,
    most: NonNegativeInt = 0,
    flip: bool = False,
    fuse: Fuse = "wbf",
    score_at_least: Annotated[float, Field(ge=0, le=1)] = 0.05,
    batch: PositiveInt = 16,
) -> tuple[Operation, ...]:
    """Look for objects in full videos, by one detector or by several that are fused.

    Args:
        detectors: Folders of trained ones.
        surgery: Folder with the splits.
        cases: Numbers of the cases to watch; all with a full video if not given.
        split: Which split.
        fps: Frames a second that are looked at; a divisor of the video's.
        width: To which frames are scaled (pixels).
        height: To which frames are scaled (pixels).
        most: How many of the detectors are used, from the first; 0 for all.
        flip: Whether each looks at the mirrored frames too.
        fuse: How several views are put together.
        score_at_least: Lowest score that is kept.
        batch: Frames looked at together; what is found does not depend on it.

    Raises:
        DataError: If no case has a full video, or a video has a rate that ``fps`` does not divide.
    """
    from assay.parts.training.torch_state import own_threads

    found = []
    with own_threads(task().threads):
        models = [load_detector(folder) for folder in detectors[: most or None]]
        recordings = _with_video(surgery, split, cases)
        for done, one in enumerate(recordings, 1):
            every = _every(one, fps)
            seen = [0]
            boxes = predict(
                models, _counting(_pieces(one, every, (width, height)), seen), batch=batch,
                flip=flip, fuse=fuse, score_at_least=score_at_least,
            )  # fmt: skip
            found.append(_operation(one, boxes, seen[0], fps, width, known=False))
            task().progress(done, len(recordings), "videos")
    return tuple(found)


@component(version="1", requires=("numpy", "av"))
def known(
    surgery: Path,
    cases: np.ndarray | None = None,
    *,
    split: str = "test",
    fps: PositiveInt = 10,
) -> tuple[Operation, ...]:
    """The boxes that are there in every frame, of simulated recordings: a detector without faults.

    Args:
        surgery: Folder with the splits, as `simulated_surgery` writes it.
        cases: Numbers of the cases; all with a full video if not given.
        split: Which split.
        fps: Frames a second that are told; a divisor of the video's.

    Raises:
        DataError: If the recordings are not simulated: nobody knows then what is there.
    """
    told = []
    for one in _with_video(surgery, split, cases):
        boxes, frames, width = read_every_frame(surgery, split, one.case)
        every = _every(one, fps)
        told.append(
            _operation(one, thinned(boxes, every), -(-frames // every), fps, width, known=True)
        )
    return tuple(told)


def _with_video(surgery: Path, split: str, cases: np.ndarray | None) -> list[Recording]:
    recordings = [one for one in read_dataset(surgery, split).cases if one.video_30fps is not None]
    if cases is not None:
        recordings = [one for one in recordings if one.case in set(cases.tolist())]
    if not recordings:
        raise DataError("no case with a 30 fps video", where=f"{surgery}/{split}")
    return recordings


def _every(one: Recording, fps: int) -> int:
    """Every which frame of a video is looked at."""
    assert one.video_30fps is not None  # noqa: S101
    rate = video_rate(one.video_30fps)
    every = rate / fps
    if every != round(every):
        raise DataError(
            f"{fps} of {rate:g} frames a second", where=str(one.video_30fps), accepted="a divisor"
        )
    return round(every)


def _pieces(one: Recording, every: int, size: tuple[int, int]) -> Iterator[np.ndarray]:
    assert one.video_30fps is not None  # noqa: S101
    yield from stream_frames(one.video_30fps, every, size=size, piece=PIECE)


def _counting(pieces: Iterator[np.ndarray], seen: list[int]) -> Iterator[np.ndarray]:
    """The same pieces; how many frames they had is added to ``seen``."""
    for piece in pieces:
        seen[0] += len(piece)
        yield piece


def _operation(
    one: Recording, boxes: Boxes, frames: int, fps: int, width: int, known: bool
) -> Operation:
    surgeon = -1 if one.surgeon is None else one.surgeon
    return Operation(one.case, surgeon, float("nan"), fps, frames, width, boxes, one.metrics, known)
