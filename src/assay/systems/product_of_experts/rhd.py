"""The Rendered Hand Pose data set (RHD v2): read as it comes, written in the same layout.

    training/    color/00000.png     red, green, blue
                 depth/00000.png     distances in two channels: red 256 times green
                 mask/00000.png      numbers of parts, see `hand_shapes`
                 anno_training.pickle
    evaluation/  the same, with anno_evaluation.pickle
    people.csv                       ours: split, number of the sample, person

The genuine data are 41 258 and 2 728 pictures of 320 x 320 with one or two hands of a person. No
file says which person; where ``people.csv`` is missing, each sample stands for itself.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from assay.errors import DataError, UsageError
from assay.systems.product_of_experts.hand_shapes import LEFT, RIGHT
from assay.systems.product_of_experts.pictures import read_picture, write_png
from assay.systems.product_of_experts.rhd_annotations import (
    Annotation,
    read_annotations,
    write_annotations,
)

__all__ = [
    "DEPTH_RANGE_M", "SPLITS", "RhdSample", "decode_depth", "dominant_is_left", "encode_depth",
    "read_people", "read_rhd", "write_people", "write_rhd",
]  # fmt: skip

SPLITS = ("training", "evaluation")
DEPTH_RANGE_M = 5.0
"""Distance that the largest number stands for, as public code around the data set takes it."""


@dataclass(frozen=True)
class RhdSample:
    """One picture.

    Attributes:
        number: Its number within the split.
        color: ``[height width channel]``.
        depth_m: Distances (m) ``[height width]``.
        mask: Numbers of parts ``[height width]``.
        known: Key points and camera.
    """

    number: int
    color: UInt8[np.ndarray, "height width 3"]
    depth_m: Float[np.ndarray, "height width"]
    mask: UInt8[np.ndarray, "height width"]
    known: Annotation


def decode_depth(
    packed: UInt8[np.ndarray, "height width channel"], range_m: float = DEPTH_RANGE_M
) -> Float[np.ndarray, "height width"]:
    """Distances (m) from red times 256 plus green, where 65535 is ``range_m``.

    Example:
        >>> decode_depth(np.array([[[255, 255, 0], [51, 51, 0]]], np.uint8)).tolist()
        [[5.0, 1.0]]
    """
    return (packed[..., 0] * 256.0 + packed[..., 1]) / 65535.0 * range_m


def encode_depth(
    depth_m: Float[np.ndarray, "height width"], range_m: float = DEPTH_RANGE_M
) -> UInt8[np.ndarray, "height width 3"]:
    """The reverse of `decode_depth`, to the nearest of its steps; what is beyond stands at the end.

    Args:
        depth_m: Distances (m), 0 or more.
        range_m: Distance of the largest number.
    """
    number = np.rint(np.clip(depth_m / range_m, 0.0, 1.0) * 65535.0).astype(np.uint16)
    return np.stack([number >> 8, number & 255, np.zeros_like(number)], -1).astype(np.uint8)


def dominant_is_left(mask: UInt8[np.ndarray, "height width"]) -> bool:
    """Whether more pixels show the left hand than the right one; in doubt it is the right one."""
    left, right = (mask >= LEFT) & (mask < RIGHT), mask >= RIGHT
    return int(left.sum()) > int(right.sum())


# -- reading -------------------------------------------------------------------------------------


def read_rhd(
    root: Path, split: str, *, limit: int | None = None, depth_range_m: float = DEPTH_RANGE_M
) -> Iterator[RhdSample]:
    """Read the samples of a split, one after another.

    Args:
        root: Folder of the data set, with its splits.
        split: ``training`` or ``evaluation``.
        limit: How many, from the first; all if not given.
        depth_range_m: Distance that the largest number of a depth map stands for (m).

    Raises:
        UsageError: If there is no such split.
        DataError: If a file is missing or refused, or the pictures of a sample differ in size.
    """
    folder = root / split
    if not folder.is_dir():
        there = [name for name in SPLITS if (root / name).is_dir()]
        raise UsageError(
            f"no split {split!r}", where=str(root), accepted=" or ".join(there or SPLITS)
        )
    annotations = read_annotations(folder / f"anno_{split}.pickle")
    for number, known in list(annotations.items())[:limit]:
        yield _sample(folder, number, known, depth_range_m)


def _sample(folder: Path, number: int, known: Annotation, range_m: float) -> RhdSample:
    paths = {kind: folder / kind / f"{number:05d}.png" for kind in ("color", "depth", "mask")}
    images = {kind: read_picture(path) for kind, path in paths.items()}
    for kind, image in images.items():
        channels = 1 if image.ndim == 2 else image.shape[2]
        if image.dtype != np.uint8 or channels not in ((1,) if kind == "mask" else (3, 4)):
            raise DataError(
                f"{channels} channels of {8 * image.itemsize} bits", where=str(paths[kind]),
                accepted="8 bits, " + ("grey" if kind == "mask" else "red, green, blue"),
            )  # fmt: skip
        if image.shape[:2] != images["color"].shape[:2]:
            raise DataError(
                f"{image.shape[1]} x {image.shape[0]} pixels", where=str(paths[kind]),
                accepted="as many as the color picture has",
            )  # fmt: skip
    if images["mask"].max(initial=0) >= 2 * RIGHT - LEFT:
        raise DataError(
            f"part {images['mask'].max()}", where=str(paths["mask"]),
            accepted=f"0 to {2 * RIGHT - LEFT - 1}",
        )  # fmt: skip
    return RhdSample(
        number=number,
        color=np.ascontiguousarray(images["color"][..., :3]),
        depth_m=decode_depth(images["depth"], range_m),
        mask=images["mask"],
        known=known,
    )


def read_people(root: Path) -> dict[tuple[str, int], str]:
    """Whose hand each sample shows, by split and number; nothing where no file says.

    Args:
        root: Folder of the data set.

    Raises:
        DataError: If the file is not as described above.
    """
    path = root / "people.csv"
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.reader(stream)
        if next(reader, None) != ["split", "sample", "person"]:
            raise DataError("no such table", where=f"{path} line 1",
                            accepted="split,sample,person")  # fmt: skip
        found = {}
        for row in reader:
            if len(row) != 3 or not row[1].isdecimal():
                raise DataError(f"{','.join(row)}", where=f"{path} line {reader.line_num}",
                                accepted="split, number of a sample, person")  # fmt: skip
            found[row[0], int(row[1])] = row[2]
    return found


# -- writing -------------------------------------------------------------------------------------


def write_rhd(
    root: Path, split: str, samples: Iterable[RhdSample], *, depth_range_m: float = DEPTH_RANGE_M
) -> Path:
    """Write a split; the annotations come last.

    Args:
        root: Folder of the data set; made if it is not there.
        split: ``training`` or ``evaluation``.
        samples: The pictures.
        depth_range_m: Distance that the largest number of a depth map stands for (m).

    Returns:
        The folder of the split.
    """
    folder = root / split
    for kind in ("color", "depth", "mask"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    annotations = {}
    for sample in samples:
        name = f"{sample.number:05d}.png"
        write_png(folder / "color" / name, sample.color)
        write_png(folder / "depth" / name, encode_depth(sample.depth_m, depth_range_m))
        write_png(folder / "mask" / name, sample.mask)
        annotations[sample.number] = sample.known
    write_annotations(folder / f"anno_{split}.pickle", annotations)
    return folder


def write_people(root: Path, people: Iterable[tuple[str, int, str]]) -> None:
    """Write whose hands the samples show.

    Args:
        root: Folder of the data set.
        people: Split, number of the sample and name of the person.
    """
    with (root / "people.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["split", "sample", "person"])
        writer.writerows(people)
