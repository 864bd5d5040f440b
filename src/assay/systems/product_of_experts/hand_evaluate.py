"""A fusion on hands: its errors, and whom it trusts, under noise and without some modalities."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from pydantic import Field, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.core.task import task
from assay.errors import DataError, ParameterError
from assay.systems.product_of_experts.hand_folders import Labels, box_around, read_labels
from assay.systems.product_of_experts.hands import intrinsics, project
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
from assay.systems.product_of_experts.metrics import KeyPointScores, key_point_scores

if TYPE_CHECKING:
    from assay.systems.product_of_experts.image_predict import ImagePrediction

__all__ = ["Examples", "example_hands", "hand_error_by_noise", "hands_without"]

Severity = Annotated[float, Field(ge=0, le=1)]
MOST_ERROR_MM = 50.0
NORMAL_95 = 1.959964
MM_PER_M = 1000.0


class Measuring:
    """A model and the hands of a split, opened once."""

    def __init__(self, samples: Path, model: Path, split: str) -> None:
        from assay.systems.product_of_experts.folders import read_image_model
        from assay.systems.product_of_experts.image_predict import shapes_of

        self.net, self.of = read_image_model(model)
        manifest = manifest_of_folder(samples)
        self.samples = image_samples(manifest, split, shapes_of(self.of))
        self.truth = target_of(self.samples, "hand")[1]
        labels = _labels_of(read_labels(manifest.path.parent), self.samples.id)
        self.mm, self.labels = labels.scale_m[:, None, None] * MM_PER_M, labels
        self.present = there(self.samples)

    def __call__(
        self,
        inputs: dict[str, np.ndarray],
        present: Bool[np.ndarray, "sample modality"],
        draws: int,
    ) -> "ImagePrediction":
        """Predict, on the threads of the step."""
        from assay.parts.training.torch_state import own_threads
        from assay.systems.product_of_experts.image_predict import predict_images

        with own_threads(task().threads):
            return predict_images(self.net, self.of, inputs, present, draws=draws)

    def scores(self, points: Float[np.ndarray, "sample 21 3"]) -> KeyPointScores:
        """Errors in mm, of the key points that are visible."""
        return key_point_scores(
            points * self.mm, self.truth * self.mm, self.labels.visible, high=MOST_ERROR_MM
        )

    def with_noise(
        self, which: str, kind: str, severity: float, seed: int
    ) -> dict[str, np.ndarray]:
        """The samples with one modality corrupted, or all."""
        names = list(self.of.channels)
        if which not in (*names, ALL):
            raise ParameterError(
                f"no modality {which!r}", where="noised", accepted=", ".join(names)
            )
        kinds = dict.fromkeys(names, kind)
        return with_noise(self.samples, self.of.layouts, which, kinds, severity, seed)


def _labels_of(labels: Labels, ids: tuple[str, ...]) -> Labels:
    """What the targets leave out, of some samples."""
    place = {name: k for k, name in enumerate(labels.id)}
    lacking = next((name for name in ids if name not in place), None)
    if lacking is not None:
        raise DataError(f"nothing of sample {lacking!r}", where="labels.npz")
    rows = [place[name] for name in ids]
    return Labels(ids, labels.scale_m[rows], labels.root_m[rows], labels.visible[rows])


@component(version="1", requires=("numpy", "opencv-python-headless", "safetensors", "scipy",
                                  "torch"))  # fmt: skip
def hand_error_by_noise(
    samples: Path,
    model: Path,
    *,
    split: str = "test",
    noised: str = "depth",
    kind: str = "gaussian",
    levels: list[Severity] = [0.0, 0.1, 0.25, 0.5, 1.0],  # noqa: B006
    draws: PositiveInt = 8,
    seed: Seed,
) -> Records:
    """Corrupt one modality of hands, then all, and see what becomes of error and trust.

    Records, by ``noised``, the modality's name or ``all``, and ``noise``, the severity:
    ``epe_mm`` and ``epe_median_mm``, the error of a visible key point, ``auc``, the area under the
    curve of correct key points from 0 to 50 mm, ``coverage``, the share of the coordinates within
    their 95 % interval. Of the one modality, while it is noised: ``beside_missing``, the error over
    that without the modality, less 1; ``credibility``, its weight, and ``share``, what it
    contributes of what the modalities do; and once, over the levels,
    ``credibility_order`` and ``share_order``, the rank correlation of these with the noise
    (Spearman), where they vary at all.

    Args:
        samples: A folder of hands, as in `hand_folders`.
        model: Folder of a model of `train_on_manifest`.
        split: The split to measure on.
        noised: The modality that is corrupted.
        kind: The corruption, a name of `corruptions.KINDS`; noise of 1 is 1 m of a depth map and
            the whole range of a picture.
        levels: Severities, from 0.
        draws: Draws of the belief, from which come intervals.
        seed: Seed of the noise.
    """
    measure, records = Measuring(samples, model, split), Records()
    trust: dict[str, list[float]] = {"credibility": [], "share": []}
    rest = measure.present & (np.array(list(measure.of.channels)) != noised)
    without = measure(measure.samples.inputs, rest, 1)
    for which in (noised, ALL):
        for level in levels:
            found = measure(measure.with_noise(which, kind, level, seed), measure.present, draws)
            keys = {"noised": which, "noise": level}
            for name, value, unit in _errors(measure, found):
                records.add(name, value, unit, **keys)
            if which == ALL:
                continue
            lost = measure.scores(found.value).epe_mean / measure.scores(without.value).epe_mean
            records.add("beside_missing", lost - 1.0, **keys)
            if not measure.of.early:
                for name, value in _trusted(measure, found, noised):
                    records.add(name, value, **keys)
                    trust[name].append(value)
    for name, values in trust.items():
        if len(set(values)) > 1:
            records.add(f"{name}_order", rank_correlation(levels, values))
    return records


def _errors(measure: Measuring, found: "ImagePrediction") -> Iterator[tuple[str, float, str]]:
    scores = measure.scores(found.value)
    inside = np.abs(found.value - measure.truth) <= NORMAL_95 * found.unsure
    free = inside[:, 1:]  # key point 0 is 0 by definition
    yield "epe_mm", scores.epe_mean, "mm"
    yield "epe_median_mm", scores.epe_median, "mm"
    yield "auc", scores.auc, "1"
    yield "coverage", float(free.mean()), "1"


def _trusted(
    measure: Measuring, found: "ImagePrediction", modality: str
) -> Iterator[tuple[str, float]]:
    place = list(measure.of.channels).index(modality)
    yield "credibility", float(found.credibility[place].mean())
    yield "share", float(_share_of(measure, found, modality).mean())


@component(version="1", requires=("numpy", "opencv-python-headless", "safetensors", "torch"))
def hands_without(samples: Path, model: Path, *, split: str = "test") -> Records:
    """Leave out every subset of the modalities but all of them, without noise.

    Records, by ``left``, the modalities that are there, and ``modalities``, their number,
    ``missing_epe_mm``, the error of a visible key point. Records once ``share_sum_error``, how far
    the shares are from a sum of 1, and ``missing_share``, the largest share of a modality that is
    not there.

    Args:
        samples: A folder of hands, as in `hand_folders`.
        model: Folder of a model of `train_on_manifest`.
        split: The split to measure on.
    """
    measure, records = Measuring(samples, model, split), Records()
    names, apart, given = list(measure.of.channels), 0.0, 0.0
    for size in range(1, len(names) + 1):
        for left in combinations(range(len(names)), size):
            kept = measure.present & np.isin(np.arange(len(names)), left)
            found = measure(measure.samples.inputs, kept, 2)
            records.add(
                "missing_epe_mm", measure.scores(found.value).epe_mean, "mm",
                left="+".join(names[m] for m in left), modalities=size,
            )  # fmt: skip
            total = found.share.sum(0) + found.prior_share
            apart = max(apart, float(np.abs(total - 1.0).max()))
            if not measure.of.early:
                given = max(given, float(np.where(kept.T, 0.0, found.share).max()))
    records.add("share_sum_error", apart)
    records.add("missing_share", given)
    return records


# -- examples -------------------------------------------------------------------------------------


class Examples(NamedTuple):
    """Some hands with what was told of them.

    Attributes:
        examples: A folder with ``examples.npz``, see `example_hands`.
        records: ``example_epe_mm`` by ``noise``, the mean error of their visible key points.
    """

    examples: Path
    records: Records


@component(version="1", requires=("numpy", "opencv-python-headless", "safetensors", "scipy",
                                  "torch"))  # fmt: skip
def example_hands(
    samples: Path,
    model: Path,
    *,
    split: str = "test",
    noised: str = "depth",
    kind: str = "gaussian",
    levels: list[Severity] = [0.0, 0.25, 1.0],  # noqa: B006
    count: Annotated[int, Field(ge=1, le=20)] = 4,
    pixels: Annotated[int, Field(ge=16, le=512)] = 64,
    margin: Annotated[float, Field(ge=1, le=4)] = 1.3,
    seed: Seed,
) -> Examples:
    """Keep some drawn hands with what was told of them, for a figure.

    Args:
        samples: A folder of rendered hands, as in `hand_folders`.
        model: Folder of a model of `train_on_manifest`.
        split: The split to take them from.
        noised: The modality that is corrupted.
        kind: The corruption.
        levels: Severities.
        count: Hands, evenly spread over the split.
        pixels: Width and height of the pictures they were drawn as.
        margin: How many times as wide as the key points the square around them was cut.
        seed: Seed of the noise.

    Returns:
        Those errors, and a folder with ``examples.npz``: ``noise`` ``[level]``; ``color`` ``[hand
        height width 3]``; ``shown``, the modality noised, ``[level hand height width]``; ``truth``
        ``[hand 21 2]`` and ``found`` ``[level hand 21 2]`` (pixels, across and down); ``error_mm``,
        the mean over visible key points, and ``share`` of the modality ``[level hand]``.
    """
    measure = Measuring(samples, model, split)
    rows = np.unique(np.linspace(0, len(measure.truth) - 1, count).astype(int))
    labels, size = measure.labels, measure.of.size[0]
    scale, root = labels.scale_m[rows, None, None], labels.root_m[rows, None]
    camera, seen = intrinsics(pixels), labels.visible[rows]
    truth = project(measure.truth[rows] * scale + root, camera)
    inside = ((truth >= 0) & (truth <= pixels - 1)).all(-1)
    boxes = [box_around(uv[of], margin) for uv, of in zip(truth, seen | inside, strict=True)]
    corner = np.array([[box.left, box.top] for box in boxes])[:, None]
    side = np.array([box.side for box in boxes])[:, None, None]

    def placed(uv: np.ndarray) -> np.ndarray:
        return (uv - corner + 0.5) * size / side - 0.5

    kept: dict[str, list[np.ndarray]] = {"shown": [], "found": [], "error_mm": [], "share": []}
    for level in levels:
        inputs = {
            name: values[rows]
            for name, values in measure.with_noise(noised, kind, level, seed).items()
        }
        found = measure(inputs, measure.present[rows], 2)
        apart = np.linalg.norm(found.value - measure.truth[rows], axis=-1) * measure.mm[rows, 0]
        kept["shown"].append(inputs[noised][:, 0])
        kept["found"].append(placed(project(found.value * scale + root, camera)))
        kept["error_mm"].append(np.where(seen, apart, 0.0).sum(1) / seen.sum(1))
        kept["share"].append(_share_of(measure, found, noised))
    folder = task().scratch() / "examples"
    folder.mkdir(parents=True, exist_ok=True)
    color = np.moveaxis(measure.samples.inputs["color"][rows], 1, -1)
    arrays = {name: np.stack(values) for name, values in kept.items()}
    arrays |= {"noise": np.array(levels), "color": color, "truth": placed(truth)}
    np.savez(folder / "examples.npz", **arrays)  # pyright: ignore[reportArgumentType]
    records = Records()
    for level, errors in zip(levels, kept["error_mm"], strict=True):
        records.add("example_epe_mm", float(errors.mean()), "mm", noise=level)
    return Examples(folder, records)


def _share_of(
    measure: Measuring, found: "ImagePrediction", modality: str
) -> Float[np.ndarray, " sample"]:
    """What a modality contributes of what all do, by sample; nan where they are one."""
    if measure.of.early:
        return np.full(len(found.value), np.nan)
    return share_of(found, list(measure.of.channels).index(modality))
