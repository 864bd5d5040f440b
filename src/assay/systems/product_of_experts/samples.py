"""The samples of a manifest as arrays."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped

from assay.errors import DataError, UsageError
from assay.systems.product_of_experts.entries import IMAGES, Entry, Manifest
from assay.systems.product_of_experts.pictures import read_picture

__all__ = ["Samples", "load"]


class Samples(NamedTuple):
    """Samples of one split, in the order of the manifest.

    Attributes:
        inputs: By modality, pictures ``[sample channel height width]`` in [0, 1], or arrays
            ``[sample ...]`` as they are; zeros where the modality is missing.
        present: By modality, whether it is there ``[sample]``.
        target: Arrays ``[sample ...]``, or class numbers ``[sample height width]``; ``[sample 0]``
            where no sample has a target.
        group: Group of each sample.
        id: Name of each sample.
    """

    inputs: dict[str, Float[np.ndarray, "sample ..."]]
    present: dict[str, Bool[np.ndarray, " sample"]]
    target: Float[np.ndarray, "sample ..."] | Integer[np.ndarray, "sample height width"]
    group: tuple[str, ...]
    id: tuple[str, ...]


def load(manifest: Manifest, split: str, *, size: tuple[int, int] | None = None) -> Samples:
    """Load all samples of a split.

    Args:
        manifest: From `read_manifest`.
        split: Name of the split.
        size: Height and width that pictures are brought to (pixels): inputs by averaging or linear
            interpolation, classes by the nearest pixel. Arrays of ``.npy`` stay as they are.

    Returns:
        The samples; inputs and ``.npy`` targets as float32, classes as int64.

    Raises:
        UsageError: If there is no such split.
        DataError: With the file and the id, if a file cannot be read, is not of the shape of the
            others or holds a number that is not finite, or only some samples have a target.
    """
    entries = [entry for entry in manifest.entries if entry.split == split]
    if not entries:
        raise UsageError(
            f"no split {split!r}", where=str(manifest.path), accepted=" or ".join(manifest.splits)
        )
    inputs: dict[str, np.ndarray] = {}
    present: dict[str, np.ndarray] = {}
    for name in manifest.modalities:
        files = [entry.files.get(name) for entry in entries]
        present[name] = np.array([file is not None for file in files])
        # Where the split lacks it altogether, another split tells its shape.
        like = next(e for e in (*entries, *manifest.entries) if name in e.files)
        first = _input(like.files[name], like.id, size)
        stacked = np.zeros((len(entries), *first.shape), np.float32)
        _fill(stacked, files, entries, lambda file, of: _input(file, of, size))
        inputs[name] = stacked
    return Samples(
        inputs,
        present,
        _targets(entries, size),
        tuple(entry.group for entry in entries),
        tuple(entry.id for entry in entries),
    )


def _targets(entries: list[Entry], size: tuple[int, int] | None) -> np.ndarray:
    files = [entry.target for entry in entries if entry.target is not None]
    if not files:
        return np.zeros((len(entries), 0), np.float32)
    if len(files) < len(entries):
        lacks = next(entry.id for entry in entries if entry.target is None)
        raise DataError(
            "no target", where=f"sample {lacks!r}",
            accepted="one for every sample of a split, or for none",
        )  # fmt: skip

    def read(file: Path, of: str) -> np.ndarray:
        return _classes(file, of, size) if file.suffix.lower() == ".png" else _array(file, of)

    first = read(files[0], entries[0].id)
    stacked = np.empty((len(entries), *first.shape), first.dtype)
    _fill(stacked, files, entries, read)
    return stacked


def _fill(
    stacked: Shaped[np.ndarray, "sample ..."],
    files: Sequence[Path | None],
    entries: list[Entry],
    read: Callable[[Path, str], np.ndarray],
) -> None:
    """Read what is there into its place."""
    for k, (file, entry) in enumerate(zip(files, entries, strict=True)):
        if file is None:
            continue
        values = read(file, entry.id)
        if values.shape != stacked.shape[1:]:
            raise DataError(
                f"an array of {values.shape}", where=_where(file, entry.id),
                accepted=f"{stacked.shape[1:]} as the first has",
                next="Name a size, or make all alike." if file.suffix != ".npy" else "",
            )  # fmt: skip
        stacked[k] = values


def _input(file: Path, of: str, size: tuple[int, int] | None) -> np.ndarray:
    return _picture(file, size) if file.suffix.lower() in IMAGES else _array(file, of)


def _picture(file: Path, size: tuple[int, int] | None) -> Float[np.ndarray, "channel height width"]:
    """A picture in [0, 1]."""
    import cv2

    image = read_picture(file)
    scaled = image.astype(np.float32) / np.iinfo(image.dtype).max
    if size is not None and size != image.shape[:2]:
        smaller = size[0] <= image.shape[0] and size[1] <= image.shape[1]
        how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        scaled = cv2.resize(scaled, size[::-1], interpolation=how)
    planes = scaled[None] if scaled.ndim == 2 else np.moveaxis(scaled, -1, 0)
    return np.clip(planes, 0.0, 1.0)


def _classes(
    file: Path, of: str, size: tuple[int, int] | None
) -> Integer[np.ndarray, "height width"]:
    image = read_picture(file)
    if image.ndim != 2:
        raise DataError(
            f"a mask of {image.shape[2]} channels", where=_where(file, of),
            accepted="a grey PNG of class numbers",
        )  # fmt: skip
    if size is not None:
        rows, columns = (
            ((np.arange(new) + 0.5) * old / new).astype(np.int64)
            for new, old in zip(size, image.shape, strict=True)
        )
        image = image[rows[:, None], columns]
    return image.astype(np.int64)


def _array(file: Path, of: str) -> Float[np.ndarray, "..."]:
    """An array of numbers, all of them finite."""
    where = _where(file, of)
    try:
        with file.open("rb") as stream:
            values = np.lib.format.read_array(stream, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot be read as an array ({error})", where=where) from None
    if values.dtype.kind not in "biuf":
        raise DataError(f"an array of {values.dtype}", where=where, accepted="real numbers")
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError("a number that is not finite", where=where)
    return values


def _where(file: Path, of: str) -> str:
    return f"{file} of sample {of!r}"
