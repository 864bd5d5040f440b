"""Training a fusion of images on the samples of a manifest, with noise of random strength."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.core.task import task
from assay.errors import ParameterError, did_you_mean
from assay.systems.product_of_experts.choices import PriorName, WeightingName
from assay.systems.product_of_experts.corruptions import KINDS, Layout, draw_severities
from assay.systems.product_of_experts.image_samples import (
    KeyPointOrder,
    image_samples,
    layouts_of,
    manifest_of_folder,
    noised,
    target_of,
    there,
)
from assay.systems.product_of_experts.train import Fit

if TYPE_CHECKING:
    from assay.systems.product_of_experts.folders import ImageConfiguration
    from assay.systems.product_of_experts.objective import Objective
    from assay.systems.product_of_experts.samples import Samples

__all__ = ["Noise", "train_on_manifest"]

Share = Annotated[float, Field(ge=0, le=1)]
WHICH_KIND, WHO_IS_MISSING = 3, 4
"""Last in a seed, beside those of `corruptions`."""


@dataclass(frozen=True)
class Noise:
    """The noise of training.

    Attributes:
        kinds: Names of corruptions by modality; one of them is drawn for each sample.
        layouts: What each modality is to a corruption.
        chance: Chance that a modality of a sample is corrupted.
        largest: Largest severity; it is uniform from 0 to that.
        missing: Chance that a modality of a sample is left out; one of them always stays.
    """

    kinds: Mapping[str, list[str]]
    layouts: Mapping[str, str]
    chance: float
    largest: float
    missing: float

    def seen(self) -> dict[str, float]:
        """What there was of it, for the card of a model."""
        told = {f"{kind} of {m}, severity up to": self.largest
                for m, kinds in self.kinds.items() for kind in kinds}  # fmt: skip
        corrupted = {"chance of it": self.chance, **told} if self.chance and self.largest else {}
        left_out = {"chance that a modality is left out": self.missing} if self.missing else {}
        return {**(corrupted if told else {}), **left_out}


@component(version="1", requires=("numpy", "opencv-python-headless", "safetensors", "scipy",
                                  "torch"))  # fmt: skip
def train_on_manifest(
    samples: Path,
    *,
    split: str = "train",
    key_points: KeyPointOrder = "any",
    layouts: dict[str, Layout] = {},  # noqa: B006
    corruptions: dict[str, list[str]] = {},  # noqa: B006
    noise_chance: Share = 0.4,
    largest_severity: Share = 0.5,
    missing_chance: Share = 0.0,
    weighting: WeightingName = "learned",
    prior: PriorName = "none",
    early: bool = False,
    latent: PositiveInt = 32,
    spatial: bool = False,
    width: PositiveInt = 16,
    output_sd: PositiveFloat = 0.2,
    dice: Annotated[float, Field(ge=0)] = 0.5,
    beta: Annotated[float, Field(ge=0)] = 1.0,
    beta_warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    unimodal: bool = False,
    one_component: bool = False,
    steps: PositiveInt = 1000,
    batch: PositiveInt = 64,
    rate: Annotated[float, Field(gt=0, le=0.1)] = 2e-3,
    seed: Seed,
) -> Fit:
    """Train a fusion of images to tell points in space, or the class of every pixel.

    What is told is what the manifest's targets are. Targets stay clean, whatever the pictures
    suffer. The classes are as many as the largest number of a mask says.

    Args:
        samples: A folder with a manifest, or the manifest.
        split: The split to train on.
        key_points: ``hand`` refuses targets that are not 21 key points in the order of RHD.
        layouts: What modalities that are arrays are to a corruption, by name: ``depth``, ``flow``.
        corruptions: Corruptions of training by modality; of those not named there are none.
        noise_chance: Chance that a modality of a sample is corrupted.
        largest_severity: Largest severity; it is uniform from 0 to that.
        missing_chance: Chance that a modality of a sample is left out.
        weighting: How the experts are joined.
        prior: Whether the prior is one of them, and with which weight.
        early: Join the pictures before the first layer instead, and have one expert (a baseline).
        latent: Numbers of the latent state; with ``spatial`` of each patch of 8 by 8 pixels.
        spatial: Whether the latent state is a map.
        width: Channels of the first layer of every net.
        output_sd: Standard deviation of points around those decoded, in their unit.
        dice: Weight of soft Dice beside the cross-entropy of classes.
        beta: Weight of the divergence from the prior.
        beta_warm_up: Share of the steps in which that rises from 0.
        unimodal: Whether each modality alone is trained too.
        one_component: Whether one component of *moe* or *mopoe* is decoded for each sample, drawn
            by weight, in place of all.
        steps: Optimiser steps.
        batch: Samples of a step.
        rate: Highest learning rate.
        seed: Seed of weights, order, noise and draws.
    """
    from assay.parts.training.fit import fit
    from assay.parts.training.recipe import Recipe
    from assay.parts.training.torch_state import seeded
    from assay.systems.product_of_experts.folders import (
        ImageConfiguration,
        new_image_model,
        write_image_model,
    )
    from assay.systems.product_of_experts.objective import (
        Objective,
        gaussian_nll,
        segmentation_nll,
        training_loss,
    )

    manifest = manifest_of_folder(samples)
    known = layouts_of(manifest, layouts)
    noise = Noise(corruptions, known, noise_chance, largest_severity, missing_chance)
    _require_corruptions(noise)
    shown = image_samples(manifest, split)
    output, target = target_of(shown, key_points)
    channels = {name: values.shape[1] for name, values in shown.inputs.items()}
    height, across = next(iter(shown.inputs.values())).shape[2:]
    of = ImageConfiguration(
        channels=channels, size=(height, across), latent=latent, width=width, weighting=weighting,
        prior=prior, spatial=spatial, early=early, layouts=dict(known),
        points=target.shape[1] if output == "points" else 0,
        classes=max(int(target.max()) + 1, 2) if output == "classes" else 0,
        output_sd=output_sd if output == "points" else 0.0, noise_seen=noise.seen(),
        trained={"samples": len(shown.id), "split": split, "steps": steps, "batch": batch,
                 "rate": rate, "beta": beta, "seed": seed},
    )  # fmt: skip
    with seeded(seed):
        model = new_image_model(of)
    _standardise(model, of, shown)
    nll = gaussian_nll(output_sd) if output == "points" else segmentation_nll(dice)
    aim = Objective(
        outputs={output: nll}, beta=beta, beta_warm_up=beta_warm_up, unimodal=unimodal,
        one_component=one_component,
    )  # fmt: skip
    recipe = Recipe(
        steps=steps, rate=rate, schedule="cosine", weight_decay=0.0, precision="fp32",
        checkpoint_every=500,
    )  # fmt: skip
    scratch = task().scratch()
    fitted = fit(
        model, _batches(shown, {output: target}, noise, aim, of, steps, batch, seed),
        training_loss(aim), recipe, folder=scratch / "checkpoints", seed=seed,
    )  # fmt: skip
    write_image_model(scratch / "model", model, of)
    kept = ("training_loss", "parameters")
    return Fit(scratch / "model", Records(r for r in fitted.records() if r["measure"] in kept))


def _require_corruptions(noise: Noise) -> None:
    """Refuse before anything is read what would be refused in the middle of the training."""
    for modality, kinds in noise.kinds.items():
        where = f"corruptions of {modality!r}"
        if modality not in noise.layouts:
            raise ParameterError("no such modality", where=where, accepted=", ".join(noise.layouts))
        for kind in kinds:
            if kind not in KINDS:
                raise ParameterError(f"no {kind!r}", where=where, next=did_you_mean(kind, KINDS))
            if noise.layouts[modality] not in KINDS[kind].layouts:
                raise ParameterError(
                    f"{kind} of a {noise.layouts[modality]}", where=where,
                    accepted=", ".join(KINDS[kind].layouts),
                    next="Name the layout of a modality that is an array in layouts.",
                )  # fmt: skip


def _standardise(model: Any, of: "ImageConfiguration", samples: "Samples") -> None:
    """By the clean samples; of early fusion by those of which nothing is missing."""
    from assay.systems.product_of_experts.images import STACKED, standardise

    if not of.early:
        standardise(model, samples.inputs, samples.present)
        return
    whole = there(samples).all(1)
    if whole.any():
        standardise(
            model, {STACKED: np.concatenate([v[whole] for v in samples.inputs.values()], 1)}
        )


# -- batches --------------------------------------------------------------------------------------


def _batches(
    samples: "Samples", wanted: dict[str, np.ndarray], noise: Noise, aim: "Objective",
    of: "ImageConfiguration", steps: int, batch: int, seed: int,
) -> Callable[[int], list[dict[str, Any]]]:  # fmt: skip
    """Batches as a function of the step: noise by (seed, epoch, sample, modality)."""
    import torch

    from assay.parts.training.order import shuffled
    from assay.systems.product_of_experts.images import stacked
    from assay.systems.product_of_experts.model import Seen
    from assay.systems.product_of_experts.objective import beta_at

    chosen = shuffled(len(samples.id), batch, seed)
    present = there(samples)

    def of_step(step: int) -> list[dict[str, Any]]:
        epoch, rows = chosen(step)
        shown = corrupted(samples, rows, noise, seed, epoch)
        kept = left_after(present, rows, noise.missing, seed, epoch)
        seen = Seen(
            {name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in shown.items()},
            torch.from_numpy(np.ascontiguousarray(kept.T)),
        )
        seen = stacked(seen) if of.early else seen
        return [
            {
                "seen": dict(seen.inputs), "present": seen.present,
                "wanted": {name: torch.from_numpy(v[rows]) for name, v in wanted.items()},
                "beta": beta_at(step, steps, aim),
            }
        ]  # fmt: skip

    return of_step


def corrupted(
    samples: "Samples", rows: np.ndarray, noise: Noise, seed: int, epoch: int
) -> dict[str, np.ndarray]:
    """Some of the samples with the noise of an epoch, by modality."""
    shown: dict[str, np.ndarray] = {}
    for number, (name, values) in enumerate(samples.inputs.items()):
        found = values[rows]
        kinds = noise.kinds.get(name, [])
        if kinds:
            severities = draw_severities(
                len(values), noise.chance, noise.largest, seed=seed, epoch=epoch, modality=number
            )[rows]
            random = np.random.default_rng([seed, epoch, number, 0, WHICH_KIND])
            which = random.integers(len(kinds), size=len(values))[rows]
            for k, kind in enumerate(kinds):
                severity = np.where((which == k) & samples.present[name][rows], severities, 0.0)
                if severity.any():
                    found = noised(
                        found, kind, severity, noise.layouts[name], seed=seed, epoch=epoch,
                        modality=number, indices=rows,
                    )  # fmt: skip
        shown[name] = found
    return shown


def left_after(
    present: np.ndarray, rows: np.ndarray, chance: float, seed: int, epoch: int
) -> np.ndarray:
    """What is there of some samples, once modalities were left out; one that was there stays.

    Args:
        present: Which modality is there ``[sample modality]``.
        rows: Numbers of the samples.
        chance: Chance that a modality is left out.
        seed: Seed.
        epoch: Pass over the samples.
    """
    if not chance:
        return present[rows]
    random = np.random.default_rng([seed, epoch, 0, 0, WHO_IS_MISSING])
    draws = random.random(present.shape)[rows]
    there_now = present[rows]
    best = np.where(there_now, draws, -1.0).argmax(1)
    stays = draws >= chance
    stays[np.arange(len(rows)), best] = True
    return there_now & stays
