"""Instruments of EndoVis 2017, in the folders of the challenge or as they are usually prepared.

    instrument_dataset_1/  left_frames/frame000.png     1920 x 1080, the camera's picture within
                           right_frames/frame000.png
                           ground_truth/<Tool>_labels/frame000.png     one folder for each tool

    instrument_dataset_1/  images/frame000.jpg          cropped to the camera's picture
                           binary_masks/frame000.png    tool times 255
                           parts_masks/frame000.png     part times 85
                           instruments_masks/frame000.png     kind of tool times 32

The crop, the grey levels and the kinds of tools are those of public code that prepares the data;
all of them can be given. Not all folders of tools end in ``_labels``; every folder is taken.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8

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

__all__ = ["CROP", "LEVELS", "TOOLS", "Crop", "endovis_manifest"]

Target = Literal["parts", "binary", "instruments"]


class Crop(NamedTuple):
    """Where the camera's picture lies in a frame (pixels)."""

    left: int
    top: int
    width: int
    height: int


CROP = Crop(320, 28, 1280, 1024)
LEVELS: Mapping[int, int] = {0: 0, 10: 1, 20: 2, 30: 3}
"""Grey level of background, shaft, wrist and clasper, and their classes."""
TOOLS: Mapping[str, int] = {
    "Bipolar_Forceps": 1,
    "Prograsp_Forceps": 2,
    "Large_Needle_Driver": 3,
    "Vessel_Sealer": 4,
    "Grasping_Retractor": 5,
    "Monopolar_Curved_Scissors": 6,
    "Other": 7,
}
"""What the name of a tool's folder holds, and its class as a kind of tool."""
PREPARED: Mapping[Target, tuple[str, int, int]] = {
    "parts": ("parts_masks", 85, 3),
    "binary": ("binary_masks", 255, 1),
    "instruments": ("instruments_masks", 32, 7),
}
"""Folder of a prepared mask, its factor, and the largest class."""
PICTURES = (".png", ".jpg", ".jpeg")


def endovis_manifest(
    root: Path,
    into: Path,
    *,
    splits: Mapping[str, str] | None = None,
    target: Target = "parts",
    right: bool = False,
    crop: Crop | None = CROP,
    levels: Mapping[int, int] = LEVELS,
    rest: int | None = None,
    tools: Mapping[str, int] = TOOLS,
    skip: Sequence[str] = ("Other",),
    size: tuple[int, int] | None = None,
) -> Path:
    """Convert a folder of sequences to a manifest; each sequence is a group.

    Args:
        root: Folder with ``instrument_dataset_1`` and so on.
        into: Folder of the manifest.
        splits: Split of a sequence by the name of its folder; ``train`` for all others.
        target: What the masks tell: parts of tools, tool or not, or kinds of tools.
        right: Whether the right camera is a second modality (challenge's folders only).
        crop: The camera's picture in the challenge's frames; None if they are cropped.
        levels: Class of each grey level in the challenge's masks, for ``parts``.
        rest: Class of the levels that ``levels`` lacks; they are refused if not given.
        tools: Class by what a folder's name holds, for ``instruments``.
        skip: Folders of masks whose name holds one of these are no tool for ``parts`` and
            ``binary``.
        size: Height and width to bring everything to (pixels); as it is if not given.

    Returns:
        The manifest, with the modality ``rgb``, and ``right`` if asked for.

    Raises:
        DataError: With the path, if a folder, picture or mask is missing, damaged or of another
            size, or a level or a tool is not known.
        ParameterError: If a sequence of ``splits`` is not there.
    """
    sequences = subfolders(root, "instrument_dataset_*", "instrument_dataset_1 and so on")
    splits = splits or {}
    require_known(splits, (each.name for each in sequences))
    entries = []
    for folder in sequences:
        prepared = (folder / "images").is_dir()
        for frame in _frames(folder / ("images" if prepared else "left_frames")):
            pictures = {"rgb": read_colours(frame)}
            if right:
                pictures["right"] = read_colours(folder / "right_frames" / frame.name)
            if prepared:
                mask = _prepared_mask(folder, frame, target)
            else:
                mask = _mask(folder, frame, target, levels, rest, tools, skip)
                pictures = {name: _cropped(each, crop, frame) for name, each in pictures.items()}
                mask = _cropped(mask, crop, frame)
            entries.append(
                write_sample(
                    into, f"{folder.name}_{frame.stem}", splits.get(folder.name, "train"),
                    folder.name, pictures, mask, size,
                )
            )  # fmt: skip
    return write_manifest(into, entries)


def _frames(folder: Path) -> list[Path]:
    found = sorted(each for each in folder.glob("*") if each.suffix.lower() in PICTURES)
    if not found:
        raise DataError(
            "no frame in it", where=str(folder), accepted="left_frames/frame000.png and so on, or "
            "images/frame000.jpg and so on",
        )  # fmt: skip
    return found


def _prepared_mask(folder: Path, frame: Path, target: Target) -> UInt8[np.ndarray, "height width"]:
    name, factor, largest = PREPARED[target]
    path = folder / name / f"{frame.stem}.png"
    return classes_of(read_levels(path), {k * factor: k for k in range(largest + 1)}, path)


def _mask(
    folder: Path,
    frame: Path,
    target: Target,
    levels: Mapping[int, int],
    rest: int | None,
    tools: Mapping[str, int],
    skip: Sequence[str],
) -> UInt8[np.ndarray, "height width"]:
    """The masks of all tools in one; where two overlap, the last by name counts."""
    paths = [tool / f"{frame.stem}.png" for tool in sorted(_tools(folder))]
    greys = [read_levels(path) for path in paths]
    found = np.zeros(greys[0].shape, np.uint8)
    for path, grey in zip(paths, greys, strict=True):
        if grey.shape != found.shape:
            raise DataError(
                f"a mask of {_sides(grey)}", where=str(path),
                accepted=f"{_sides(found)} as that of another tool",
            )  # fmt: skip
        if target == "instruments":
            found[grey > 0] = _kind(path.parent, tools)
        elif not any(name in path.parent.name for name in skip):
            here = classes_of(grey, levels, path, rest) if target == "parts" else grey > 0
            found[here > 0] = here[here > 0]
    return found


def _sides(mask: np.ndarray) -> str:
    return " x ".join(map(str, mask.shape))


def _tools(folder: Path) -> list[Path]:
    return subfolders(folder / "ground_truth", "*", "a folder of masks for each tool")


def _kind(folder: Path, tools: Mapping[str, int]) -> int:
    for name, number in tools.items():
        if name in folder.name:
            return number
    raise DataError(
        "no tool that is known", where=str(folder), accepted=f"a name with {', '.join(tools)}"
    )


def _cropped(image: np.ndarray, crop: Crop | None, frame: Path) -> np.ndarray:
    if crop is None:
        return image
    height, width = image.shape[:2]
    bottom, right = crop.top + crop.height, crop.left + crop.width
    if height < bottom or width < right:
        raise DataError(
            f"{width} x {height} pixels", where=str(frame),
            accepted=f"at least {right} x {bottom}, to be cropped",
            next="Give crop=None if the frames are cropped already.",
        )  # fmt: skip
    return image[crop.top : bottom, crop.left : right]
