"""Frames and masks of surgical data sets: read strictly, and written into a manifest's folder."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from assay.errors import DataError, ParameterError, did_you_mean
from assay.systems.product_of_experts.manifest import Entry
from assay.systems.product_of_experts.pictures import read_picture, write_png

__all__ = ["classes_of", "read_colours", "read_levels", "require_known", "subfolders",
           "write_sample"]  # fmt: skip

Size = tuple[int, int]
"""Height and width (pixels)."""


def read_colours(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    """Read a picture in red, green and blue.

    Raises:
        DataError: If it is not there, cannot be read or is no picture in colours of 8 bits.
    """
    _require_file(path, "picture")
    image = read_picture(path)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise DataError(_kind(image), where=str(path), accepted="8 bits of red, green and blue")
    return image


def read_levels(path: Path) -> UInt8[np.ndarray, "height width"]:
    """Read a mask of grey levels, stored as one channel or as three equal ones.

    Raises:
        DataError: If it is not there, cannot be read or is not grey.
    """
    _require_file(path, "mask")
    image = read_picture(path)
    if image.dtype == np.uint8 and image.ndim == 3:
        first = image[..., 0]
        if all(np.array_equal(first, image[..., k]) for k in (1, 2)):
            return np.ascontiguousarray(first)
    if image.ndim != 2 or image.dtype != np.uint8:
        raise DataError(_kind(image), where=str(path), accepted="8 bits of grey")
    return image


def classes_of(
    levels: UInt8[np.ndarray, "height width"],
    table: Mapping[int, int],
    where: Path,
    rest: int | None = None,
) -> UInt8[np.ndarray, "height width"]:
    """Classes of the grey levels of a mask.

    Args:
        levels: The mask.
        table: Class of each level.
        where: The file, for errors.
        rest: Class of the levels that the table lacks; they are refused if not given.

    Raises:
        DataError: If a level is not in the table.
    """
    known = np.zeros(256, bool)
    found = np.full(256, 0 if rest is None else rest, np.uint8)
    for level, number in table.items():
        known[level], found[level] = True, number
    if rest is None and not (inside := known[levels]).all():
        row, column = np.argwhere(~inside)[0]
        raise DataError(
            f"level {levels[row, column]} at row {row}, column {column}", where=str(where),
            accepted=", ".join(map(str, sorted(table))),
            next="Give levels a class for it, or rest a class for all that is not in levels.",
        )  # fmt: skip
    return found[levels]


def write_sample(
    into: Path,
    name: str,
    split: str,
    group: str,
    pictures: Mapping[str, UInt8[np.ndarray, "_ _ 3"]],
    mask: UInt8[np.ndarray, "_ _"],
    size: Size | None = None,
) -> Entry:
    """Write the pictures and the mask of one sample as PNG.

    Args:
        into: Folder of the manifest.
        name: Name of the sample, one of a kind.
        split: Name of the split.
        group: Sequence or patient.
        pictures: By modality.
        mask: Classes.
        size: Height and width to bring them to: pictures by averaging, classes by the nearest
            pixel; as they are if not given.

    Returns:
        The line of the manifest.

    Raises:
        DataError: If pictures and mask are of unequal sizes.
    """
    for modality, image in pictures.items():
        if image.shape[:2] != mask.shape:
            raise DataError(
                f"{modality} of {image.shape[0]} x {image.shape[1]}", where=name,
                accepted=f"{mask.shape[0]} x {mask.shape[1]} as the mask has",
            )  # fmt: skip
    files = {}
    for modality, image in pictures.items():
        files[modality] = into / modality / f"{name}.png"
        files[modality].parent.mkdir(parents=True, exist_ok=True)
        write_png(files[modality], _brought(image, size))
    target = into / "target" / f"{name}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_png(target, _nearest(mask, size))
    return Entry(name, split, group, files, target)


def _brought(image: np.ndarray, size: Size | None) -> np.ndarray:
    import cv2

    if size is None or size == image.shape[:2]:
        return image
    smaller = size[0] <= image.shape[0] and size[1] <= image.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return cv2.resize(image, size[::-1], interpolation=how)


def _nearest(mask: np.ndarray, size: Size | None) -> np.ndarray:
    if size is None:
        return mask
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for new, old in zip(size, mask.shape, strict=True)
    )
    return mask[rows[:, None], columns]


def subfolders(root: Path, pattern: str, accepted: str) -> list[Path]:
    """Folders in a folder by a pattern of their names, numbers in them in the order of numbers.

    Args:
        root: The folder.
        pattern: As in a shell.
        accepted: What is expected, for the error.

    Raises:
        DataError: If there is none.
    """
    found = [each for each in root.glob(pattern) if each.is_dir()]
    if not found:
        raise DataError("no such folder in it", where=str(root), accepted=accepted)
    return sorted(found, key=lambda path: (len(path.name), path.name))


def require_known(splits: Mapping[str, str], groups: Iterable[str]) -> None:
    """Refuse a choice of splits that names a group that is not there.

    Raises:
        ParameterError: With the group.
    """
    known = set(groups)
    for name in splits:
        if name not in known:
            raise ParameterError(f"no {name!r}", where="splits", next=did_you_mean(name, known))


def _require_file(path: Path, what: str) -> None:
    if not path.is_file():
        raise DataError(f"no such {what}", where=str(path), accepted="a file")


def _kind(image: np.ndarray) -> str:
    channels = 1 if image.ndim == 2 else image.shape[2]
    return f"{channels} channels of {8 * image.itemsize} bits"
