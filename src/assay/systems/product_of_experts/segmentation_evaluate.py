"""A fusion on surgical scenes: its masks, and whom it trusts, under noise and in a burst of it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer
from pydantic import Field

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.core.task import task
from assay.errors import DataError
from assay.systems.product_of_experts.corruptions import corrupt
from assay.systems.product_of_experts.image_samples import (
    image_samples,
    manifest_of_folder,
    target_of,
    there,
)
from assay.systems.product_of_experts.measuring import (
    ALL,
    rank_correlation,
    share_of,
    with_noise,
)
from assay.systems.product_of_experts.metrics import mask_scores
from assay.systems.product_of_experts.surgical_motion import CLASSES

if TYPE_CHECKING:
    from assay.systems.product_of_experts.image_predict import ImagePrediction

__all__ = [
    "Examples", "example_frames", "masks_by_noise", "masks_in_a_burst", "masks_without",
]  # fmt: skip

Severity = Annotated[float, Field(ge=0, le=1)]
AVERAGES: tuple[Literal["pooled", "per_frame"], ...] = ("pooled", "per_frame")
NOISES = {"rgb": "gaussian", "flow": "gaussian", "depth": "speckle", "render": "gaussian"}


class Measuring:
    """A model and the frames of a split, opened once."""

    def __init__(self, samples: Path, model: Path, split: str) -> None:
        from assay.systems.product_of_experts.folders import read_image_model
        from assay.systems.product_of_experts.image_predict import shapes_of

        self.net, self.of = read_image_model(model)
        self.samples = image_samples(manifest_of_folder(samples), split, shapes_of(self.of))
        kind, self.truth = target_of(self.samples)
        if kind != "classes":
            raise DataError("points", where="samples", accepted="masks of class numbers")
        self.classes = max(self.of.classes, int(self.truth.max()) + 1)
        self.present = there(self.samples)
        self.names = list(self.of.channels)

    def __call__(
        self, inputs: dict[str, np.ndarray], present: Bool[np.ndarray, "sample modality"]
    ) -> "ImagePrediction":
        """Predict, on the threads of the step."""
        from assay.parts.training.torch_state import own_threads
        from assay.systems.product_of_experts.image_predict import predict_images

        with own_threads(task().threads):
            return predict_images(self.net, self.of, inputs, present, draws=1)

    def with_noise(
        self, which: str, kinds: Mapping[str, str], severity: float, seed: int
    ) -> dict[str, np.ndarray]:
        """The samples with one modality corrupted, or all of them that have a kind."""
        return with_noise(self.samples, self.of.layouts, which, kinds, severity, seed)

    def share(self, found: "ImagePrediction", modality: str) -> Float[np.ndarray, " sample"]:
        """What a modality contributes of what all do, by sample."""
        return share_of(found, self.names.index(modality))


@component(version="1", requires=("numpy", "opencv-python-headless", "safetensors", "scipy",
                                  "torch"))  # fmt: skip
def masks_by_noise(
    samples: Path,
    model: Path,
    *,
    split: str = "test",
    kinds: dict[str, str] = NOISES,
    levels: list[Severity] = [0.0, 0.1, 0.25, 0.5, 1.0],  # noqa: B006
    seed: Seed,
) -> Records:
    """Corrupt each modality of a scene in turn, then all, and see what becomes of masks and trust.

    Records, by ``noised``, the modality's name or ``all``, ``noise``, the severity, and
    ``average``, ``pooled`` or ``per_frame``: ``mean_iou`` and ``mean_dice`` over the classes but
    the background, and by ``part``, the name of a class, ``iou`` and ``dice``; a class that a frame
    neither has nor is told has no score. Of a modality while it is noised: ``credibility``, its
    weight, and ``share``, what it contributes of what the modalities do; and, over the levels,
    ``credibility_order`` and ``share_order``, the rank correlation of these with the noise
    (Spearman), where they vary at all.

    Args:
        samples: A folder of scenes, as `surgical_data.surgical_samples` writes it.
        model: Folder of a model of `train_on_manifest`.
        split: The split to measure on.
        kinds: The corruption of each modality; one that the model does not see is left out.
        levels: Severities, from 0.
        seed: Seed of the noise.
    """
    measure, records = Measuring(samples, model, split), Records()
    seen = [name for name in kinds if name in measure.names]
    for which in (*seen, ALL):
        trust: dict[str, list[float]] = {"credibility": [], "share": []}
        for level in levels:
            found = measure(measure.with_noise(which, kinds, level, seed), measure.present)
            keys = {"noised": which, "noise": level}
            for name, value, more in _scores(found.value, measure.truth, measure.classes):
                records.add(name, value, **keys, **more)
            if which != ALL:
                weight = found.credibility[measure.names.index(which)]
                for name, values in (
                    ("credibility", weight), ("share", measure.share(found, which)),
                ):  # fmt: skip
                    trust[name].append(float(values.mean()))
                    records.add(name, trust[name][-1], **keys)
        for name, values in trust.items():
            if len({round(value, 6) for value in values}) > 1:
                records.add(f"{name}_order", rank_correlation(levels, values), noised=which)
    return records


def _scores(
    found: Integer[np.ndarray, "frame height width"],
    truth: Integer[np.ndarray, "frame height width"],
    classes: int,
) -> Iterator[tuple[str, float, dict[str, str]]]:
    """Every score of masks that there is, with its keys."""
    for average in AVERAGES:
        scores = mask_scores(found, truth, classes, average=average, background=False)
        keys = {"average": average}
        if np.isfinite(scores.mean_iou):
            yield "mean_iou", scores.mean_iou, keys
            yield "mean_dice", scores.mean_dice, keys
        for number in range(1, classes):
            part = {**keys, "part": _class_name(number)}
            if np.isfinite(scores.iou[number]):
                yield "iou", float(scores.iou[number]), part
                yield "dice", float(scores.dice[number]), part


def _class_name(number: int) -> str:
    return CLASSES[number] if number < len(CLASSES) else f"class_{number}"


# -- without some of the modalities ---------------------------------------------------------------


@component(version="1", requires=("numpy", "opencv-python-headless", "safetensors", "torch"))
def masks_without(samples: Path, model: Path, *, split: str = "test") -> Records:
    """Leave out each modality, then all but one, without noise.

    Records, by ``left``, the modalities that are there, ``left_mean_iou``, pooled, over the classes
    but the background. Records once ``share_sum_error``, how far the shares are from a sum of 1,
    and ``missing_share``, the largest share of a modality that is not there.

    Args:
        samples: A folder of scenes.
        model: Folder of a model of `train_on_manifest`.
        split: The split to measure on.
    """
    measure, records = Measuring(samples, model, split), Records()
    names, apart, given = np.array(measure.names), 0.0, 0.0
    rows = np.eye(len(names), dtype=bool)
    for kept in np.unique(np.concatenate([rows, ~rows, rows | True]), axis=0):
        if not kept.any():
            continue
        present = measure.present & kept
        found = measure(measure.samples.inputs, present)
        scores = mask_scores(found.value, measure.truth, measure.classes, background=False)
        if np.isfinite(scores.mean_iou):
            records.add("left_mean_iou", scores.mean_iou, left="+".join(names[kept]))
        total = found.share.sum(0) + found.prior_share
        apart = max(apart, float(np.abs(total - 1.0).max()))
        given = max(given, float(np.where(present.T, 0.0, found.share).max()))
    records.add("share_sum_error", apart)
    records.add("missing_share", given)
    return records


# -- a burst --------------------------------------------------------------------------------------


def in_burst(
    frames: Float[np.ndarray, "frame channel height width"],
    kind: str,
    severity: float,
    random: np.random.Generator,
) -> Float[np.ndarray, "frame channel height width"]:
    """A sequence of pictures whose middle third is corrupted, alike in all its frames.

    Args:
        frames: The sequence, in [0, 1]; it is not changed.
        kind: A corruption of videos.
        severity: Its severity.
        random: The random numbers.
    """
    first, last = burst_of(len(frames))
    found = frames.copy()
    if last > first:
        video = np.moveaxis(frames[first:last], 1, -1)
        hit = corrupt(video, kind, severity, random, layout="video")
        found[first:last] = np.moveaxis(hit, -1, 1)
    return found


def burst_of(frames: int) -> tuple[int, int]:
    """First frame of the middle third, and the one after its last."""
    return frames // 3, 2 * frames // 3


@component(version="1", requires=("numpy", "opencv-python-headless", "safetensors", "scipy",
                                  "torch"))  # fmt: skip
def masks_in_a_burst(
    samples: Path,
    model: Path,
    *,
    split: str = "test",
    noised: str = "rgb",
    kind: str = "smoke",
    severity: Severity = 1.0,
    seed: Seed,
) -> Records:
    """Corrupt one modality in the middle third of every sequence, and see who is trusted meanwhile.

    The modality has to be pictures. Records, by ``frame``, ``burst_mean_iou``, pooled over the
    sequences, ``burst_credibility`` and ``burst_share`` of the modality; and once
    ``mean_iou_in_burst``, and ``share_change`` and ``credibility_change``, the mean in the burst
    less that outside. Nothing where the model does not see the modality.

    Args:
        samples: A folder of scenes.
        model: Folder of a model of `train_on_manifest`.
        split: The split to measure on; each group of it is a sequence, in its order.
        noised: The modality that is corrupted.
        kind: The corruption, one of videos.
        severity: Its severity.
        seed: Seed of the noise.
    """
    measure, records = Measuring(samples, model, split), Records()
    if noised not in measure.names:
        return records
    groups = np.array(measure.samples.group)
    clean = measure.samples.inputs[noised]
    shown, at, during = clean.copy(), np.zeros(len(groups), int), np.zeros(len(groups), bool)
    for number, group in enumerate(dict.fromkeys(groups)):
        rows = np.flatnonzero(groups == group)
        random = np.random.default_rng([seed, number])
        shown[rows] = in_burst(clean[rows], kind, severity, random)
        first, last = burst_of(len(rows))
        at[rows], during[rows[first:last]] = np.arange(len(rows)), True
    found = measure(measure.samples.inputs | {noised: shown}, measure.present)
    trust = {
        "credibility": found.credibility[measure.names.index(noised)],
        "share": measure.share(found, noised),
    }
    for frame in np.unique(at).tolist():
        _burst_iou(records, measure, found, at == frame, "burst_mean_iou", frame=frame)
        for name, values in trust.items():
            records.add(f"burst_{name}", float(values[at == frame].mean()), frame=frame)
    if during.any() and not during.all():
        _burst_iou(records, measure, found, during, "mean_iou_in_burst")
        for name, values in trust.items():
            change = float(values[during].mean() - values[~during].mean())
            records.add(f"{name}_change", change)
    return records


def _burst_iou(
    records: Records,
    measure: Measuring,
    found: "ImagePrediction",
    rows: Bool[np.ndarray, " sample"],
    name: str,
    **keys: Any,
) -> None:
    scores = mask_scores(
        found.value[rows], measure.truth[rows], measure.classes, background=False
    )  # fmt: skip
    if np.isfinite(scores.mean_iou):
        records.add(name, scores.mean_iou, **keys)


# -- examples -------------------------------------------------------------------------------------


class Examples(NamedTuple):
    """Some frames for a figure.

    Attributes:
        examples: A folder with ``examples.npz``: ``noise`` ``[level]``, ``shown``, the modality
            noised ``[level frame height width 3]``, ``truth`` ``[frame height width]`` and
            ``found`` ``[level frame height width]``, ``share`` of the modality and ``iou``, over
            the classes but the background, nan where there is none ``[level frame]``; empty levels
            where the model does not see the modality.
        records: ``example_iou`` by ``noise``, the mean of those that are numbers.
    """

    examples: Path
    records: Records


@component(version="1", requires=("numpy", "opencv-python-headless", "safetensors", "scipy",
                                  "torch"))  # fmt: skip
def example_frames(
    samples: Path,
    model: Path,
    *,
    split: str = "test",
    noised: str = "rgb",
    kind: str = "gaussian",
    levels: list[Severity] = [0.0, 0.25, 1.0],  # noqa: B006
    count: Annotated[int, Field(ge=1, le=20)] = 4,
    seed: Seed,
) -> Examples:
    """Keep some frames with the masks that were told of them, for a figure.

    Args:
        samples: A folder of scenes.
        model: Folder of a model of `train_on_manifest`.
        split: The split to take them from.
        noised: The modality that is corrupted, pictures of three channels.
        kind: The corruption.
        levels: Severities.
        count: Frames, evenly spread over the split.
        seed: Seed of the noise.
    """
    measure = Measuring(samples, model, split)
    rows = np.unique(np.linspace(0, len(measure.truth) - 1, count).astype(int))
    kept: dict[str, list[np.ndarray]] = {"shown": [], "found": [], "share": [], "iou": []}
    for level in levels if noised in measure.names else []:
        inputs = {
            name: values[rows]
            for name, values in measure.with_noise(noised, {noised: kind}, level, seed).items()
        }
        found = measure(inputs, measure.present[rows])
        kept["shown"].append(np.moveaxis(inputs[noised], 1, -1))
        kept["found"].append(found.value)
        kept["share"].append(measure.share(found, noised))
        kept["iou"].append(np.array([
            mask_scores(one[None], truth[None], measure.classes, background=False).mean_iou
            for one, truth in zip(found.value, measure.truth[rows], strict=True)
        ]))  # fmt: skip
    folder = task().scratch() / "examples"
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.array(values) for name, values in kept.items()}
    arrays |= {"noise": np.array(levels), "truth": measure.truth[rows]}
    np.savez(folder / "examples.npz", **arrays)  # pyright: ignore[reportArgumentType]
    records = Records()
    for level, ious in zip(levels, kept["iou"], strict=False):
        if np.isfinite(ious).any():
            records.add("example_iou", float(np.nanmean(ious)), noise=level)
    return Examples(folder, records)
