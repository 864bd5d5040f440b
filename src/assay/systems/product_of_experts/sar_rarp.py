"""SAR-RARP50: suturing in prostatectomies, with segmented frames and actions.

    train1/video_01/  video_left.avi                 60 frames a second
                      rgb/000000060.png              some of its frames, if it was unpacked
                      segmentation/000000060.png     class numbers of the frame of this number
                      action_discrete.txt            lines of frame and action: 000000060,3

Videos also stand in ``train2`` and ``test``, or right in the folder. A frame is taken from ``rgb``
and, where it is not there, from the video. What the class numbers mean, `CLASSES`, was taken from
public code and from memory, not from the data.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from assay.errors import DataError
from assay.systems.product_of_experts.manifest import Entry, write_manifest
from assay.systems.product_of_experts.surgical_frames import (
    classes_of,
    read_colours,
    read_levels,
    require_known,
    subfolders,
    write_sample,
)

__all__ = ["CLASSES", "LEVELS", "Actions", "read_actions", "sar_rarp_manifest"]

CLASSES = ("background", "tool clasper", "tool wrist", "tool shaft", "suturing needle", "thread",
           "suction tool", "needle holder", "clamps", "catheter")  # fmt: skip
"""Names of the classes, by number."""
LEVELS: Mapping[int, int] = {k: k for k in range(len(CLASSES))}
FOLDERS = ("train1", "train2", "test")
VIDEO = re.compile(r"(video_\d+)(_\d+)?")
NUMBER = re.compile(r"\d{9}")


class Actions(NamedTuple):
    """What is done when.

    Attributes:
        frame: Numbers of frames, rising ``[line]``.
        action: The action from this frame on ``[line]``.
    """

    frame: Int[np.ndarray, " line"]
    action: Int[np.ndarray, " line"]


def sar_rarp_manifest(
    root: Path,
    into: Path,
    *,
    splits: Mapping[str, str] | None = None,
    levels: Mapping[int, int] = LEVELS,
    rest: int | None = None,
    size: tuple[int, int] | None = None,
) -> Path:
    """Convert the data set to a manifest; each operation is a group.

    Pieces of one operation (``video_11_1`` and ``video_11_2``) are one group. Where there are
    actions, ``actions.csv`` beside the manifest tells that of each sample.

    Args:
        root: Folder with ``train1``, ``train2`` and ``test``, or with ``video_01`` and so on.
        into: Folder of the manifest.
        splits: Split of an operation by its name, for example ``video_11``; for all others ``test``
            if it lies in a folder of that name, else ``train``.
        levels: Class of each number in the masks; for shaft, wrist and clasper alone, with
            ``rest=0``, this is ``{0: 0, 3: 1, 2: 2, 1: 3}``.
        rest: Class of the numbers that ``levels`` lacks; they are refused if not given.
        size: Height and width to bring everything to (pixels); as it is if not given.

    Returns:
        The manifest, with the modality ``rgb``.

    Raises:
        DataError: With the path, if a folder, frame, video or mask is missing, damaged or of
            another size, a class is not known, or the actions cannot be read.
        ParameterError: If an operation of ``splits`` is not there.
    """
    places = [root / name for name in FOLDERS if (root / name).is_dir()] or [root]
    videos = [each for place in places for each in subfolders(place, "video_*", "video_01")]
    splits = splits or {}
    require_known(splits, (_operation(each) for each in videos))
    entries: list[Entry] = []
    actions: list[tuple[str, int]] = []
    for video in videos:
        group = _operation(video)
        split = splits.get(group, "test" if video.parent.name == "test" else "train")
        path = video / "action_discrete.txt"
        told = read_actions(path) if path.exists() else None
        masks = _masks(video)
        for (number, mask), image in zip(masks, _images(video, masks), strict=True):
            name = f"{video.name}_{number:09d}"
            classes = classes_of(read_levels(mask), levels, mask, rest)
            entries.append(write_sample(into, name, split, group, {"rgb": image}, classes, size))
            if told:
                actions.append((name, _action_at(told, number, path)))
    manifest = write_manifest(into, entries)
    if actions:
        with (into / "actions.csv").open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows([("id", "action"), *actions])
    return manifest


def read_actions(path: Path) -> Actions:
    """Read an ``action_discrete.txt``.

    Raises:
        DataError: With the line, if it is not two whole numbers or its frame does not come after
            that of the line before; or if there is no line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read ({error})", where=str(path)) from None
    rows: list[tuple[int, int]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        if not re.fullmatch(r"\s*\d+\s*,\s*\d+\s*", line, re.ASCII):
            raise DataError(f"{line!r}", where=where, accepted="frame,action as 000000060,3")
        frame, action = map(int, line.split(","))
        if rows and frame <= rows[-1][0]:
            raise DataError(f"frame {frame}", where=where, accepted=f"one after {rows[-1][0]}")
        rows.append((frame, action))
    if not rows:
        raise DataError("no action in it", where=str(path), accepted="lines of frame,action")
    return Actions(*np.array(rows, np.int64).T)


def _action_at(told: Actions, frame: int, path: Path) -> int:
    """The action of the last line that is not after a frame."""
    line = int(np.searchsorted(told.frame, frame, side="right")) - 1
    if line < 0:
        raise DataError(
            f"no action at frame {frame}", where=str(path), accepted="a line of it or before it"
        )
    return int(told.action[line])


def _operation(video: Path) -> str:
    named = VIDEO.fullmatch(video.name)
    if not named:
        raise DataError("no name of a video", where=str(video), accepted="video_01 or video_11_1")
    return named[1]


def _masks(video: Path) -> list[tuple[int, Path]]:
    found = sorted((video / "segmentation").glob("*.png"))
    if not found:
        raise DataError(
            "no mask in it", where=str(video / "segmentation"), accepted="000000060.png and so on"
        )
    for path in found:
        if not NUMBER.fullmatch(path.stem):
            raise DataError("no number of a frame", where=str(path), accepted="nine digits, .png")
    return [(int(path.stem), path) for path in found]


# -- frames --------------------------------------------------------------------------------------


def _images(
    video: Path, masks: Sequence[tuple[int, Path]]
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """The frames of the masks, from pictures where they are there, else from the video."""
    pictures = {number: video / "rgb" / mask.name for number, mask in masks}
    lacking = [number for number, path in pictures.items() if not path.is_file()]
    film = video / "video_left.avi"
    if lacking and not film.is_file():
        raise DataError(
            "no such picture", where=str(pictures[lacking[0]]), accepted=f"it or {film.name}"
        )
    decoded = _decoded(film, lacking) if lacking else iter(())
    for path in pictures.values():
        yield read_colours(path) if path.is_file() else next(decoded)


def _decoded(path: Path, wanted: Sequence[int]) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Frames of a video by rising numbers, from 0."""
    import av
    from av.error import FFmpegError

    rest = iter(wanted)
    next_wanted, count = next(rest, None), 0
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise DataError("there is no video in it", where=str(path))
            stream: Any = container.streams.video[0]
            for frame in container.decode(stream):
                if count == next_wanted:
                    yield frame.to_ndarray(format="rgb24")
                    next_wanted = next(rest, None)
                    if next_wanted is None:
                        return
                count += 1
    except (FFmpegError, OSError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise DataError(f"cannot be read as a video ({why})", where=str(path)) from error
    raise DataError(f"ends after {count} frames", where=str(path), accepted=f"frame {next_wanted}")
