"""The data set's folders and files, read as they come and written as they are described.

    train_v1/  videos/fps1/caseid_000001_fps1.mp4     what the boxes belong to
               videos/fps30/caseid_000001.mp4         not of every case
               annotations/bounding_box_gt/caseid_000001_fps1.json
               annotations/skill_metric_gt.csv        one row for each case; gaps are normal
    surgeons.csv                                      ours: split, case, surgeon
    every_frame/train_v1/caseid_000001.npz            ours: what is in every frame, if simulated

The readme of the data set writes ``_fp1``, its files ``_fps1``: both are read. One file of boxes is
told in `annotations.py`, the tables in `tables.py`.
"""

import math
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from assay.errors import DataError, UsageError
from assay.parts.detection.boxes import Boxes
from assay.systems.surgical_skill.annotations import Annotation, read_boxes, write_boxes
from assay.systems.surgical_skill.events import METRICS
from assay.systems.surgical_skill.simulate import Case
from assay.systems.surgical_skill.tables import read_metrics, read_surgeons
from assay.systems.surgical_skill.video import filming, video_size

__all__ = ["Dataset", "Recording", "filming_case", "read_dataset", "read_every_frame", "write_case",
           "write_every_frame"]  # fmt: skip

NAME = re.compile(r"caseid_(\d+)(?:_fps?1)?", re.IGNORECASE)
FULL_RATE = 30
EVERY_FRAME = "every_frame"


@dataclass(frozen=True)
class Recording:
    """One case of a data set on disk.

    Attributes:
        case: Its number.
        video_1fps: The video that the boxes belong to; None where it is missing.
        video_30fps: The full video; None where it is missing.
        size: Width and height of the first of the videos that can be read (pixels), or None.
        boxes: Objects; ``image`` is the number of the frame of the 1 fps video, from 0.
        frames: How many frames of the 1 fps video there are up to the last one looked at.
        listed: Numbers of the frames that were looked at, in order; those without boxes are
            negative.
        orientations: By box, what the file says where it is no state that is known; else empty.
        surgeon: Number of the surgeon; None where it is not known, as in the real data.
        metrics: By the names of `METRICS`; NaN where they are not told.
        notes: What was found out or mended, in words.
    """

    case: int
    video_1fps: Path | None
    video_30fps: Path | None
    size: tuple[int, int] | None
    boxes: Boxes
    frames: int
    listed: Int[np.ndarray, " frame"]
    orientations: tuple[str, ...]
    surgeon: int | None
    metrics: dict[str, float]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """One split of a data set.

    Attributes:
        split: Name of the split, for example ``train_v1``.
        cases: Its recordings, by number.
        notes: What was found out or mended beyond single recordings.
    """

    split: str
    cases: tuple[Recording, ...]
    notes: tuple[str, ...]


# -- writing -------------------------------------------------------------------------------------


@contextmanager
def filming_case(
    root: Path, split: str, case: int, size: tuple[int, int], fps: int = FULL_RATE,
    *, full: bool = True, threads: int = 1,
) -> Iterator[Callable[[np.ndarray], None]]:  # fmt: skip
    """Write both videos of a case, frame by frame, as `simulate_case` shows them.

    Args:
        root: Folder of the data set.
        split: Name of the split.
        case: Number of the case.
        size: Width and height (pixels).
        fps: Frames per second that are shown.
        full: Whether the full video is written too, and not only every ``fps``-th frame.
        threads: Of the encoder.
    """
    name, videos = f"caseid_{case:06d}", root / split / "videos"
    with ExitStack() as stack:

        def open_video(folder: str, name: str, rate: int) -> Callable[[np.ndarray], None]:
            (videos / folder).mkdir(parents=True, exist_ok=True)
            path = videos / folder / f"{name}.mp4"
            return stack.enter_context(filming(path, size, rate, threads=threads))

        slow = open_video("fps1", f"{name}_fps1", 1)
        fast = open_video("fps30", name, fps) if full else None
        count = 0

        def show(frame: np.ndarray) -> None:
            nonlocal count
            if count % fps == 0:
                slow(frame)
            if fast:
                fast(frame)
            count += 1

        yield show


def write_case(root: Path, split: str, case: Case, *, frame_base: int = 1) -> Path:
    """Write the boxes of a case: those of every ``fps``-th frame.

    Args:
        root: Folder of the data set.
        split: Name of the split.
        case: What is known of it.
        frame_base: Number of the first frame, 0 or 1.

    Returns:
        The file.
    """
    kept = case.boxes.take(case.boxes.image % case.fps == 0)
    slow = Boxes(kept.image // case.fps, kept.label, kept.xywh, kept.score, kept.state)
    frames = math.ceil(case.frames / case.fps)
    folder = root / split / "annotations" / "bounding_box_gt"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"caseid_{case.case:06d}_fps1.json"
    write_boxes(path, slow, frames, case=case.case, frame_base=frame_base)
    return path


def write_every_frame(root: Path, split: str, case: Case) -> None:
    """Write what is in every frame of a simulated case, beside the folders of the data set."""
    folder = root / EVERY_FRAME / split
    folder.mkdir(parents=True, exist_ok=True)
    told = {**vars(case.boxes), "frames": np.array(case.frames), "width": np.array(case.size[0])}
    np.savez_compressed(folder / f"caseid_{case.case:06d}.npz", **told)


# -- reading -------------------------------------------------------------------------------------


def read_dataset(root: Path, split: str, frame_base: int | None = None) -> Dataset:
    """Read one split.

    Cases are all those of which there is a video or a file of boxes. Boxes are clipped to the image
    where there is a video to tell its size.

    Args:
        root: Folder of the data set.
        split: Name of the split: ``train_v1``, ``train_v2`` or ``test`` in the real data.
        frame_base: Number of the first frame in the files of boxes, 0 or 1; found out for each file
            if not given, which is safe where every frame is listed.

    Raises:
        UsageError: If there is no such split.
        DataError: If a file is refused.
    """
    folder = root / split
    if not folder.is_dir():
        there = [each.name for each in sorted(root.glob("*")) if (each / "videos").is_dir()]
        raise UsageError(f"no split {split!r}", where=str(root), accepted=" or ".join(there))
    slow = _by_case(folder, "videos", r"fps?1", "mp4")
    fast = _by_case(folder, "videos", r"fps?30", "mp4")
    boxes = _by_case(folder, "annotations", r".*", "json")
    metrics, notes = read_metrics(folder)
    surgeons = read_surgeons(root, split)
    cases = sorted({*slow, *fast, *boxes})
    if not cases:
        raise DataError("no case in it", where=str(folder), accepted="videos/fps1/caseid_*.mp4")
    notes += [f"{len(cases) - len(fast)} of {len(cases)} cases have no 30 fps video"
              ] * (len(fast) < len(cases))  # fmt: skip
    lost = sorted(set(metrics) - set(cases))
    notes += [f"metrics of cases that are not there: {lost}"] * bool(lost)
    none: dict[str, float] = {name: math.nan for name in METRICS}
    read = []
    for case in cases:
        videos = slow.get(case), fast.get(case)
        told = _read_case(boxes.get(case), videos, frame_base)
        read.append(
            Recording(case, *videos, surgeon=surgeons.get(case), metrics=metrics.get(case, none),
                      **told)
        )  # fmt: skip
    return Dataset(split, tuple(read), tuple(notes))


def read_every_frame(root: Path, split: str, case: int) -> tuple[Boxes, int, int]:
    """What is in every frame of a simulated case.

    Returns:
        The boxes, the number of frames, and the width of the image (pixels).

    Raises:
        DataError: If it is not told, as in every real recording.
    """
    path = root / EVERY_FRAME / split / f"caseid_{case:06d}.npz"
    try:
        with np.load(path, allow_pickle=False) as told:
            boxes = Boxes.of(*(told[name] for name in ("image", "label", "xywh", "score", "state")))
            return boxes, int(told["frames"]), int(told["width"])
    except (OSError, KeyError, ValueError) as error:
        raise DataError(
            "what is in every frame is not known",
            where=str(path),
            accepted="a case that was simulated",
            next="Look for objects with a detector instead.",
        ) from error


def _read_case(
    path: Path | None, videos: tuple[Path | None, Path | None], frame_base: int | None
) -> dict:
    """Size, boxes and notes of one case."""
    size, notes = None, []
    for video in filter(None, videos):
        try:
            size = size or video_size(video)
        except DataError as error:
            notes.append(str(error))
    if path is None:
        notes.append("no file of boxes")
        told = Annotation(Boxes.of(), np.zeros(0, np.int64), (), ())
    else:
        told = read_boxes(path, size, frame_base)
    return {
        "size": size,
        "boxes": told.boxes,
        "frames": int(told.listed.max(initial=-1)) + 1,
        "listed": told.listed,
        "orientations": told.orientations,
        "notes": (*notes, *told.notes),
    }


def _by_case(folder: Path, kind: str, inside: str, suffix: str) -> dict[int, Path]:
    """Files below ``kind`` in folders of this name, by the number of their case."""
    found: dict[int, Path] = {}
    for path in sorted((folder / kind).rglob(f"*.{suffix}")):
        named = NAME.fullmatch(path.stem)
        if not named or not re.fullmatch(inside, path.parent.name, re.IGNORECASE):
            continue
        case = int(named[1])
        if case in found:
            raise DataError(f"case {case} is there twice", where=f"{found[case]} and {path}")
        found[case] = path
    return found
