"""Samples of a manifest as a model of images takes them, and noise on them.

A picture of a manifest is an ``image`` to a corruption; an array is a ``vector``, which knows noise
but neither holes nor limits, unless its layout is named: ``depth`` for distances ``[1 height
width]`` (m), ``flow`` for shifts ``[2 height width]`` (pixels).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int64

from assay.core.component import Folder, component
from assay.errors import DataError, ParameterError
from assay.systems.product_of_experts.corruptions import Layout, corrupt_batch
from assay.systems.product_of_experts.entries import IMAGES, Manifest
from assay.systems.product_of_experts.hand_folders import FIRST_JOINT, KNUCKLE
from assay.systems.product_of_experts.hands import POINTS
from assay.systems.product_of_experts.manifest import load, read_manifest
from assay.systems.product_of_experts.samples import Samples

__all__ = [
    "KeyPointOrder", "image_samples", "layouts_of", "manifest_of_folder", "noised", "own_samples",
    "target_of", "there",
]  # fmt: skip

KeyPointOrder = Literal["any", "hand"]
NAMES = ("manifest.jsonl", "manifest.csv")
CHANNELS_LAST = ("image", "flow")
TOLERANCE = 1e-3


@component(version="1", requires=("numpy",))
def own_samples(*, path: Folder) -> Path:
    """Take the user's own samples: a folder with a manifest, as `manifest` describes it.

    Args:
        path: The folder, with ``manifest.jsonl`` or ``manifest.csv``; whether its files are there
            is looked at.

    Returns:
        The folder.
    """
    manifest_of_folder(path)
    return path


def manifest_of_folder(path: Path) -> Manifest:
    """The manifest of a folder, or the one that a path names.

    Raises:
        DataError: If there is none, or it is refused.
    """
    if not path.is_dir():
        return read_manifest(path)
    found = [path / name for name in NAMES if (path / name).is_file()]
    if len(found) != 1:
        raise DataError(
            "two manifests in it" if found else "no manifest in it", where=str(path),
            accepted=" or ".join(NAMES),
        )  # fmt: skip
    return read_manifest(found[0])


def image_samples(
    manifest: Manifest, split: str, like: Mapping[str, tuple[int, ...]] | None = None
) -> Samples:
    """All samples of a split, if every modality is an image and all are of one size.

    Args:
        manifest: The manifest.
        split: Name of the split.
        like: Channels, height and width of each modality of a model, by name; anything that is of
            one size if not given. Modalities that it does not name are left out.

    Raises:
        DataError: If a modality is not there or of another shape, with its name; or a file is
            refused, with the file.
    """
    samples = load(manifest, split)
    if like is not None:
        lacking = next((name for name in like if name not in samples.inputs), None)
        if lacking is not None:
            raise DataError(
                f"no modality {lacking!r}", where=str(manifest.path),
                accepted=", ".join(like),
                next="A modality that every sample lacks needs one that has it, or another model.",
            )  # fmt: skip
        samples = samples._replace(
            inputs={name: samples.inputs[name] for name in like},
            present={name: samples.present[name] for name in like},
        )
    first = next(iter(samples.inputs.values())).shape[2:]
    for name, values in samples.inputs.items():
        shape = values.shape[1:]
        wanted = None if like is None else tuple(like[name])
        if len(shape) != 3 or (shape != wanted if wanted else shape[1:] != first):
            raise DataError(
                f"samples of {shape}", where=f"modality {name!r} of {manifest.path}",
                accepted=f"{wanted or f'[channel height width], all of {first} as the first'}",
            )  # fmt: skip
    return samples


def there(samples: Samples) -> Bool[np.ndarray, "sample modality"]:
    """Which modality is there."""
    return np.stack([samples.present[name] for name in samples.inputs], 1)


def target_of(
    samples: Samples, order: KeyPointOrder = "any"
) -> tuple[Literal["points", "classes"], Float[np.ndarray, "..."] | Int64[np.ndarray, "..."]]:
    """What is to be told, and what kind of thing it is.

    Args:
        samples: The samples.
        order: Whether points are those of a hand as `hand_folders` has them, which can be seen:
            point 0 lies at 0, and points 11 and 12 are 1 apart.

    Raises:
        DataError: If there is no target, it is neither points in space nor a mask as large as the
            pictures, or the points are not in that order, with the sample.
    """
    target = samples.target
    size = next(iter(samples.inputs.values())).shape[2:]
    if target.ndim == 3 and target.shape[2] == 3 and target.dtype.kind == "f":
        if order == "hand":
            _require_hand(target, samples.id)
        return "points", target
    if target.ndim == 3 and target.dtype.kind == "i" and target.shape[1:] == size:
        return "classes", target
    raise DataError(
        f"targets of {target.shape[1:]} ({target.dtype})" if target.size else "no targets",
        where="samples",
        accepted=f"points in space [point 3] as .npy, or masks of class numbers {size} as .png",
    )


def _require_hand(points: Float[np.ndarray, "sample point 3"], ids: Sequence[str]) -> None:
    def refuse(bad: Bool[np.ndarray, " sample"], what: str) -> None:
        if bad.any():
            raise DataError(
                what, where=f"target of sample {ids[int(bad.argmax())]!r}",
                accepted="21 key points in the order of RHD, relative to the first, in lengths of "
                "the bone between 12 and 11",
            )  # fmt: skip

    refuse(np.full(len(points), points.shape[1] != POINTS), f"{points.shape[1]} key points")
    refuse(np.abs(points[:, 0]).max(1) > TOLERANCE, "key point 0 is not at 0: another order?")
    bone = np.linalg.norm(points[:, KNUCKLE] - points[:, FIRST_JOINT], axis=1)
    refuse(
        np.abs(bone - 1.0) > TOLERANCE,
        "the bone between key points 12 and 11 is not of length 1: another order or scale?",
    )


# -- noise ----------------------------------------------------------------------------------------


def layouts_of(manifest: Manifest, named: Mapping[str, Layout]) -> dict[str, Layout]:
    """The layout of every modality: as named, else ``image`` of pictures, ``vector`` of arrays.

    Raises:
        ParameterError: If a layout is named of no modality.
    """
    unknown = next((name for name in named if name not in manifest.modalities), None)
    if unknown is not None:
        raise ParameterError(
            f"a layout of {unknown!r}", where="layouts", accepted=", ".join(manifest.modalities)
        )
    pictures = {
        name for entry in manifest.entries for name, file in entry.files.items()
        if file.suffix.lower() in IMAGES
    }  # fmt: skip
    plain: dict[str, Layout] = {
        name: "image" if name in pictures else "vector" for name in manifest.modalities
    }
    return plain | dict(named)


def noised(
    values: Float[np.ndarray, "sample channel height width"],
    kind: str,
    severities: Float[np.ndarray, " sample"],
    layout: str,
    **stream: Any,
) -> Float[np.ndarray, "sample channel height width"]:
    """Samples with a corruption; those of severity 0 stay as they are.

    Args:
        values: The samples, channels first.
        kind: A name of `corruptions.KINDS`.
        severities: From 0 to 1, one per sample.
        layout: What a sample is, see `layouts_of`.
        stream: ``seed``, ``epoch``, ``modality`` and ``indices`` of `corrupt_batch`.

    Raises:
        ParameterError: If there is no such corruption, or not of this layout.
        DataError: If the samples are not of the layout.
    """
    if layout == "depth" and values.shape[1] != 1:
        raise DataError(f"{values.shape[1]} channels", where="depth", accepted="1")
    turned = values[:, 0] if layout == "depth" else values
    turned = np.moveaxis(values, 1, -1) if layout in CHANNELS_LAST else turned
    found = corrupt_batch(turned, kind, severities, layout=layout, **stream)  # pyright: ignore[reportArgumentType]
    found = found[:, None] if layout == "depth" else found
    return np.moveaxis(found, -1, 1) if layout in CHANNELS_LAST else found
