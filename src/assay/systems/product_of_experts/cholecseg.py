"""CholecSeg8k: frames of gall bladder operations, every pixel with one of 13 classes.

    video01/video01_00080/  frame_80_endo.png
                            frame_80_endo_mask.png
                            frame_80_endo_color_mask.png
                            frame_80_endo_watershed_mask.png     the one that is read

The levels of a watershed mask are no numbers of classes. What they mean, `WATERSHED`, was taken
from public code that reads the data and from memory, not from the data: check it against your copy.
The data's own page is said to write the same digits as hexadecimal colours (#505050), which is
`HEXADECIMAL`. Levels 0 (not annotated) and 255 (a line along the edge) count as background.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from assay.errors import DataError
from assay.systems.product_of_experts.manifest import write_manifest
from assay.systems.product_of_experts.surgical_frames import (
    classes_of,
    read_colours,
    read_levels,
    require_known,
    subfolders,
    write_sample,
)

__all__ = ["CLASSES", "HEXADECIMAL", "WATERSHED", "cholecseg_manifest"]

CLASSES = (
    "background", "abdominal wall", "liver", "gastrointestinal tract", "fat", "grasper",
    "connective tissue", "blood", "cystic duct", "L-hook electrocautery", "gallbladder",
    "hepatic vein", "liver ligament",
)  # fmt: skip
"""Names of the classes, by number."""
DIGITS = ("50", "11", "21", "13", "12", "31", "23", "24", "25", "32", "22", "33", "05")
OUTSIDE = {0: 0, 255: 0}
WATERSHED: Mapping[int, int] = {int(d): k for k, d in enumerate(DIGITS)} | OUTSIDE
"""Class of each level of a watershed mask."""
HEXADECIMAL: Mapping[int, int] = {int(d, 16): k for k, d in enumerate(DIGITS)} | OUTSIDE
"""The same where levels are the digits read as hexadecimal."""
FRAME = re.compile(r"frame_(\d+)_endo\.png")


def cholecseg_manifest(
    root: Path,
    into: Path,
    *,
    splits: Mapping[str, str] | None = None,
    levels: Mapping[int, int] = WATERSHED,
    rest: int | None = None,
    size: tuple[int, int] | None = None,
) -> Path:
    """Convert the data set to a manifest; each video, which is one patient, is a group.

    Args:
        root: Folder with ``video01`` and so on.
        into: Folder of the manifest.
        splits: Split of a video by the name of its folder; ``train`` for all others.
        levels: Class of each grey level.
        rest: Class of the levels that ``levels`` lacks; they are refused if not given.
        size: Height and width to bring everything to (pixels); as it is if not given.

    Returns:
        The manifest, with the modality ``rgb``.

    Raises:
        DataError: With the path, if a folder, picture or mask is missing, damaged or of another
            size, or a level is not known.
        ParameterError: If a video of ``splits`` is not there.
    """
    videos = subfolders(root, "video*", "video01 and so on")
    splits = splits or {}
    require_known(splits, (each.name for each in videos))
    entries = []
    for video in videos:
        for clip in subfolders(video, f"{video.name}_*", f"{video.name}_00080 and so on"):
            for number, frame in _frames(clip):
                path = clip / f"frame_{number}_endo_watershed_mask.png"
                mask = classes_of(read_levels(path), levels, path, rest)
                entries.append(
                    write_sample(
                        into, f"{clip.name}_{number}", splits.get(video.name, "train"), video.name,
                        {"rgb": read_colours(frame)}, mask, size,
                    )
                )  # fmt: skip
    return write_manifest(into, entries)


def _frames(clip: Path) -> list[tuple[int, Path]]:
    """Frames of a clip by number."""
    named = [(FRAME.fullmatch(each.name), each) for each in clip.iterdir()]
    found = sorted((int(name[1]), each) for name, each in named if name)
    if not found:
        raise DataError("no frame in it", where=str(clip), accepted="frame_80_endo.png and so on")
    return found
