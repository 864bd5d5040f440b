"""Hands of any source as samples of a manifest: crops, key points without size and place.

    manifest.jsonl     see `manifest`; targets are key points as below, and so are these files:
    color/ID.png       the picture around the hand
    depth/ID.npy       distances (m) [1 height width], 0 where there is none
    mask/ID.png        the hand, or its parts
    target/ID.npy      key points [21 3], relative to key point 0, in lengths of a reference bone
    labels.npz         what it takes to go back to metres: id, scale_m, root_m, visible

Conventions are those of the public code around RHD: the reference bone is the first one of the
middle finger, between key points 12 and 11; the middle of the palm, where it stands for the wrist
as key point 0, is half way between the wrist and key point 12.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from assay.errors import DataError
from assay.systems.product_of_experts.manifest import Entry, write_manifest
from assay.systems.product_of_experts.pictures import write_png

__all__ = [
    "Box", "HandFolder", "Labels", "Root", "box_around", "crop", "normalised", "palm_from_wrist",
    "read_labels", "wrist_from_palm",
]  # fmt: skip

Root = Literal["wrist", "palm"]
KNUCKLE, FIRST_JOINT = 12, 11
LEAST_SIDE = 8


class Box(NamedTuple):
    """A square part of a picture (pixels); it may reach beyond it."""

    top: int
    left: int
    side: int


class Labels(NamedTuple):
    """What the targets of a folder leave out.

    Attributes:
        id: Name of each sample.
        scale_m: Length of the reference bone (m) ``[sample]``.
        root_m: Place of key point 0 before the camera (m); of a hand that was mirrored, mirrored
            ``[sample axis]``.
        visible: Which key points are visible ``[sample point]``.
    """

    id: tuple[str, ...]
    scale_m: Float[np.ndarray, " sample"]
    root_m: Float[np.ndarray, "sample 3"]
    visible: Bool[np.ndarray, "sample 21"]


# -- key points ----------------------------------------------------------------------------------


def palm_from_wrist(points: Float[np.ndarray, "*batch 21 axis"]) -> Float[np.ndarray, "..."]:
    """Key points whose first is the middle of the palm, from such whose first is the wrist.

    Example:
        >>> points = np.zeros((21, 2))
        >>> points[12] = [0.0, 8.0]
        >>> palm_from_wrist(points)[0].tolist()
        [0.0, 4.0]
    """
    found = points.copy()
    found[..., 0, :] = (points[..., 0, :] + points[..., KNUCKLE, :]) / 2
    return found


def wrist_from_palm(points: Float[np.ndarray, "*batch 21 axis"]) -> Float[np.ndarray, "..."]:
    """The reverse of `palm_from_wrist`."""
    found = points.copy()
    found[..., 0, :] = 2 * points[..., 0, :] - points[..., KNUCKLE, :]
    return found


def normalised(
    points: Float[np.ndarray, "21 3"], where: str = ""
) -> tuple[Float[np.ndarray, "21 3"], Float[np.ndarray, "3"], float]:
    """Key points relative to the first, in lengths of the reference bone.

    Args:
        points: Key points (m).
        where: File and sample, for errors.

    Returns:
        Those, the place of the first (m), and the length of the bone (m).

    Raises:
        DataError: If the bone has no length.
    """
    scale = float(np.linalg.norm(points[KNUCKLE] - points[FIRST_JOINT]))
    if not scale > 0:
        raise DataError("key points 11 and 12 are one", where=where)
    return (points - points[0]) / scale, points[0], scale


# -- pictures ------------------------------------------------------------------------------------


def box_around(points: Float[np.ndarray, "point 2"], margin: float) -> Box:
    """The square around points, as many times as wide as the wider of their extents.

    Args:
        points: Across and down (pixels).
        margin: How many times.
    """
    low, high = points.min(0), points.max(0)
    side = max(round(float((high - low).max()) * margin), LEAST_SIDE)
    left, top = np.rint((low + high) / 2 - (side - 1) / 2).astype(int).tolist()
    return Box(top, left, side)


def crop(
    image: Shaped[np.ndarray, "height width *channel"], box: Box, size: int, *, smooth: bool
) -> Shaped[np.ndarray, "size size *channel"]:
    """Cut a square out and bring it to a size; zeros where it reaches beyond the picture.

    Args:
        image: The picture.
        box: The square.
        size: Width and height of what is returned (pixels).
        smooth: Average or interpolate, as colours need; else the nearest pixel is taken.
    """
    import cv2

    height, width = image.shape[:2]
    cut = np.zeros((box.side, box.side, *image.shape[2:]), image.dtype)
    top, left = max(box.top, 0), max(box.left, 0)
    bottom, right = min(box.top + box.side, height), min(box.left + box.side, width)
    if top < bottom and left < right:
        cut[top - box.top : bottom - box.top, left - box.left : right - box.left] = image[
            top:bottom, left:right
        ]
    if smooth:
        how = cv2.INTER_AREA if box.side >= size else cv2.INTER_LINEAR
        return cv2.resize(cut, (size, size), interpolation=how)
    nearest = ((np.arange(size) + 0.5) * box.side / size).astype(np.int64)
    return cut[nearest[:, None], nearest]


# -- the folder ----------------------------------------------------------------------------------


class HandFolder:
    """Writes samples into a folder; the manifest comes last.

    Args:
        folder: The folder; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries: list[Entry] = []
        self._labels: list[tuple[float, np.ndarray, np.ndarray]] = []

    def add(
        self, entry: Entry, pictures: Mapping[str, np.ndarray], points: Float[np.ndarray, "21 3"],
        visible: Bool[np.ndarray, "21"], where: str,
    ) -> None:  # fmt: skip
        """Write one sample.

        Args:
            entry: Its id, split and group; the rest of it is found here.
            pictures: By modality, what goes into a PNG (uint8), or distances (m).
            points: Key points before the camera (m).
            visible: Which of them are visible.
            where: File and sample, for errors.
        """
        target, root, scale = normalised(points, where)
        files = {}
        for name, image in pictures.items():
            suffix = ".png" if image.dtype == np.uint8 else ".npy"
            files[name] = self._place(name, entry.id + suffix)
            if suffix == ".png":
                write_png(files[name], image)
            else:
                np.save(files[name], image[None].astype(np.float32))
        place = self._place("target", f"{entry.id}.npy")
        np.save(place, target.astype(np.float32))
        self._entries.append(Entry(entry.id, entry.split, entry.group, files, place))
        self._labels.append((scale, root, visible))

    def _place(self, name: str, file: str) -> Path:
        (self.folder / name).mkdir(parents=True, exist_ok=True)
        return self.folder / name / file

    def close(self, note: str) -> Path:
        """Write labels, a note and the manifest.

        Args:
            note: What the samples are, for people.

        Raises:
            DataError: If there is no sample.
        """
        if not self._entries:
            raise DataError("no hand of which enough is visible", where=str(self.folder))
        scale, root, visible = (np.array(column) for column in zip(*self._labels, strict=True))
        part = self.folder / f".labels.{os.getpid()}.part"
        with part.open("wb") as stream:
            np.savez(
                stream, id=np.array([entry.id for entry in self._entries]), scale_m=scale,
                root_m=root, visible=visible,
            )  # fmt: skip
        part.replace(self.folder / "labels.npz")
        (self.folder / "README.txt").write_text(note, encoding="utf-8")
        write_manifest(self.folder, self._entries)
        return self.folder


def read_labels(folder: Path) -> Labels:
    """Read what the targets of a folder of hands leave out, in the order of its manifest.

    Args:
        folder: A folder that `HandFolder` wrote.

    Raises:
        DataError: If there is no such file or it is none of that kind.
    """
    path = folder / "labels.npz"
    try:
        with np.load(path, allow_pickle=False) as said:
            return Labels(
                tuple(said["id"].tolist()), said["scale_m"], said["root_m"], said["visible"]
            )
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"cannot be read ({error})", where=str(path)) from None
