"""A trained fusion of images on new samples: what it tells, how sure it is, whom it trusted."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from pydantic import Field

from assay.core.component import Seed, component
from assay.core.task import task
from assay.errors import DataError
from assay.parts.latent.gaussians import sample
from assay.parts.training.torch_state import own_threads, seeded
from assay.systems.product_of_experts.folders import ImageConfiguration, read_image_model
from assay.systems.product_of_experts.image_samples import (
    image_samples,
    manifest_of_folder,
    there,
)
from assay.systems.product_of_experts.images import stacked
from assay.systems.product_of_experts.model import FusionModel, Seen
from assay.systems.product_of_experts.predict import seen_of

__all__ = ["ImagePrediction", "predict_images", "predict_on_manifest", "shapes_of"]

CHUNK = 128


class ImagePrediction(NamedTuple):
    """What a fusion tells of several samples.

    Attributes:
        value: Points ``[sample point 3]``, or class numbers ``[sample height width]``.
        unsure: Of points their standard deviation, in their unit ``[sample point 3]``; of classes
            the entropy of their chances (nats) ``[sample height width]``.
        credibility: Weight of each modality in the fusion, averaged over the latent state
            ``[modality sample]``.
        share: Share of each modality in the mean, averaged too; with the prior's they sum to 1
            ``[modality sample]``.
        prior_share: Share of the prior ``[sample]``.
    """

    value: Float[np.ndarray, "sample point 3"] | Integer[np.ndarray, "sample height width"]
    unsure: Float[np.ndarray, "sample _ _"]
    credibility: Float[np.ndarray, "modality sample"]
    share: Float[np.ndarray, "modality sample"]
    prior_share: Float[np.ndarray, " sample"]


def shapes_of(of: ImageConfiguration) -> dict[str, tuple[int, ...]]:
    """Channels, height and width of each modality, by name."""
    return {name: (count, *of.size) for name, count in of.channels.items()}


def predict_images(
    model: FusionModel,
    of: ImageConfiguration,
    inputs: Mapping[str, Float[np.ndarray, "sample channel height width"]],
    present: Bool[np.ndarray, "sample modality"],
    *,
    draws: int = 8,
    seed: int = 0,
) -> ImagePrediction:
    """Tell points or classes of several samples.

    The value is decoded from the mean of the belief (of a mixture, averaged over its components).
    How unsure it is comes from what is decoded of draws of the belief: of points the root of their
    mean squared distance from the value, with that of the output itself.

    Args:
        model: A trained model.
        of: Its configuration.
        inputs: What the modalities show, by name, in the order of the configuration.
        present: Which of them is there; what a missing one holds is never read.
        draws: Draws of the belief, 1 or more.
        seed: Seed of the draws.

    Raises:
        DataError: If the modalities do not fit the model, or hold a value that is not finite.
    """
    parts: list[ImagePrediction] = []
    with torch.inference_mode(), seeded(seed):
        for first in range(0, len(present), CHUNK):
            rows = slice(first, first + CHUNK)
            seen = seen_of({name: inputs[name][rows] for name in of.channels}, present[rows])
            try:
                parts.append(_predicted(model, of, stacked(seen) if of.early else seen, draws))
            except DataError as error:
                raise error.at(f"samples counted from {first}") from error
    return ImagePrediction(
        *(np.concatenate(each, 0) for each in list(zip(*parts, strict=True))[:2]),
        *(np.concatenate(each, -1) for each in list(zip(*parts, strict=True))[2:]),
    )


def _predicted(
    model: FusionModel, of: ImageConfiguration, seen: Seen, draws: int
) -> ImagePrediction:
    """Of a few samples at once."""
    fused = model.belief(seen)
    output, parts = "points" if of.points else "classes", fused.belief.log_weights.exp()

    def told(latent: torch.Tensor) -> torch.Tensor:
        """Points, or chances of classes, averaged over the components of a mixture."""
        found = _decoded(model, output, latent)
        return (found * parts.reshape(*parts.shape, *[1] * (found.dim() - 2))).sum(0)

    value = told(fused.belief.components.mean)
    if of.points:
        apart = torch.zeros_like(value)
        for _ in range(draws):
            off = _decoded(model, output, sample(fused.belief.components)) - value
            apart += (off.square() * parts[..., None, None]).sum(0) / draws
        unsure = (apart + of.output_sd**2).sqrt()
    else:
        chances = sum(told(sample(fused.belief.components)) for _ in range(draws)) / draws
        unsure = torch.special.entr(chances).sum(1)  # pyright: ignore[reportArgumentType]
        value = value.argmax(1)
    return ImagePrediction(
        value.double().numpy() if of.points else value.numpy(),
        unsure.double().numpy(),
        fused.weight.mean(-1).double().numpy(),
        fused.share.mean(-1).double().numpy(),
        fused.prior_share.mean(-1).double().numpy(),
    )


def _decoded(model: FusionModel, output: str, latent: torch.Tensor) -> torch.Tensor:
    found = model.decoders[output](latent)
    return found if output == "points" else found.softmax(2)


# -- a user's own samples -------------------------------------------------------------------------


@component(version="1", requires=("numpy", "opencv-python-headless", "safetensors", "torch"))
def predict_on_manifest(
    samples: Path,
    model: Path,
    *,
    split: str = "test",
    draws: Annotated[int, Field(ge=2, le=1000)] = 16,
    seed: Seed,
) -> Path:
    """Tell of each sample what a model of `train_on_manifest` makes of it, and whom it trusted.

    Args:
        samples: A folder with a manifest, or the manifest; targets are not needed.
        model: Folder of the model.
        split: The split.
        draws: Draws of the belief, from which comes how unsure it is.
        seed: Seed of the draws.

    Returns:
        A folder with ``predictions.csv``, one row per sample: its id, how unsure the model is on
        average, weight (credibility) and share of each modality, share of the prior; and
        ``predictions.npz``: ``id``, ``value`` and ``unsure`` as in `ImagePrediction`.

    Raises:
        DataError: If a modality of the model is not there or of another size, or a file is
            refused.
    """
    net, of = read_image_model(model)
    shown = image_samples(manifest_of_folder(samples), split, shapes_of(of))
    with own_threads(task().threads):
        found = predict_images(net, of, shown.inputs, there(shown), draws=draws, seed=seed)
    folder = task().scratch() / "predictions"
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "predictions.npz", id=np.array(shown.id), value=found.value, unsure=found.unsure
    )
    names = list(net.modalities)
    header = ["id", "unsure", *(f"weight_{m}" for m in names), *(f"share_{m}" for m in names),
              "share_prior"]  # fmt: skip
    table = np.column_stack(
        [found.unsure.mean((1, 2)), *found.credibility, *found.share, found.prior_share]
    )
    with (folder / "predictions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for name, row in zip(shown.id, table.tolist(), strict=True):
            writer.writerow([name, *(f"{value:.6g}" for value in row)])
    return folder
