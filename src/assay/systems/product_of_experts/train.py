"""Training a fusion of sensors."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.core.task import task
from assay.errors import ParameterError
from assay.systems.product_of_experts.choices import (
    CredibilityName,
    ObjectiveName,
    PriorName,
    WeightingName,
)
from assay.systems.product_of_experts.data import Readings, Sensors, sensor_inputs

if TYPE_CHECKING:
    from assay.systems.product_of_experts.objective import Objective

__all__ = ["Fit", "train_fusion"]


class Fit(NamedTuple):
    """A trained fusion.

    Attributes:
        model: Folder with ``config.json``, ``model.safetensors`` and a card that says which noise
            was seen in training.
        records: ``training_loss`` per sample over ``training_step`` (nats), and ``parameters``.
    """

    model: Path
    records: Records


@component(version="3", requires=("numpy", "safetensors", "torch"))
def train_fusion(
    sensors: Sensors,
    readings: Readings,
    *,
    weighting: WeightingName = "learned",
    prior: PriorName = "fixed",
    credibility: CredibilityName = "own",
    scalar: bool = False,
    latent: Annotated[int, Field(ge=0, le=1000)] = 0,
    objective: ObjectiveName = "elbo",
    output_sd: PositiveFloat = 0.2,
    beta: Annotated[float, Field(ge=0)] = 1.0,
    beta_warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    unimodal: bool = False,
    random_subsets: Annotated[int, Field(ge=0, le=100)] = 0,
    one_component: bool = False,
    width: PositiveInt = 32,
    steps: PositiveInt = 2000,
    batch: PositiveInt = 256,
    rate: Annotated[float, Field(gt=0, le=0.1)] = 5e-3,
    seed: Seed,
) -> Fit:
    """Train encoders and credibility networks of sensors to tell the state.

    Args:
        sensors: The sensors.
        readings: What to train on.
        weighting: How the experts are joined.
        prior: Whether the prior is one of them, and with which weight.
        credibility: Where the scores of *learned* and *gated* come from: networks of their own, or
            heads on the encoders, with a gradient into them or without (stopped).
        scalar: Whether a sensor has one score, or one for each dimension.
        latent: Size of the latent state, which a linear map decodes where it is not that of the
            state, with ``elbo`` only; 0 for that of the state.
        objective: ``elbo``, the loss of a variational autoencoder, or ``likelihood`` of the known
            state.
        output_sd: Standard deviation of the state around the latent one, of ``elbo``.
        beta: Weight of its KL.
        beta_warm_up: Share of the steps in which that rises from 0.
        unimodal: Whether each sensor alone is trained too.
        random_subsets: Random subsets of sensors trained too.
        one_component: Whether one component of *moe* or *mopoe* is decoded for each sample, drawn
            by weight, in place of all, with ``elbo``.
        width: Width of every net.
        steps: Optimiser steps.
        batch: Samples of a step.
        rate: Highest learning rate.
        seed: Seed of weights, order and draws.

    Raises:
        ParameterError: If the likelihood is asked for of a latent state of another size.
    """
    from assay.parts.training.fit import fit
    from assay.parts.training.recipe import Recipe
    from assay.parts.training.torch_state import seeded
    from assay.systems.product_of_experts.folders import Configuration, new_model, write_model
    from assay.systems.product_of_experts.objective import Objective, gaussian_nll, training_loss

    inputs = sensor_inputs(sensors, readings)
    aim = Objective(
        kind=objective, outputs={"state": gaussian_nll(output_sd)} if objective == "elbo" else {},
        beta=beta, beta_warm_up=beta_warm_up, unimodal=unimodal, random_subsets=random_subsets,
        one_component=one_component,
    )  # fmt: skip
    latent = latent or sensors.latent
    if latent != sensors.latent and objective == "likelihood":
        raise ParameterError(
            f"{latent} numbers and the objective likelihood", where="train_fusion.latent",
            accepted=f"{sensors.latent}, as the state has, or the objective elbo",
        )  # fmt: skip
    of = Configuration(
        sensors={name: values.shape[1] for name, values in inputs.items()},
        latent=latent, width=width, weighting=weighting, prior=prior,
        credibility=credibility, scalar=scalar,
        state=0 if latent == sensors.latent else sensors.latent,
        output_sd=output_sd if objective == "elbo" else 0.0, noise_seen=_noise_seen(readings),
        trained={"objective": objective, "samples": len(readings.state), "steps": steps,
                 "batch": batch, "rate": rate, "seed": seed},
    )  # fmt: skip
    with seeded(seed):
        model = new_model(of)
    recipe = Recipe(
        steps=steps, rate=rate, schedule="cosine", weight_decay=0.0, precision="fp32",
        checkpoint_every=500,
    )  # fmt: skip
    scratch = task().scratch()
    fitted = fit(
        model, _batches(inputs, readings, aim, steps, batch, seed), training_loss(aim), recipe,
        folder=scratch / "checkpoints", seed=seed,
    )  # fmt: skip
    write_model(scratch / "model", model, of)
    kept = ("training_loss", "parameters")
    return Fit(scratch / "model", Records(r for r in fitted.records() if r["measure"] in kept))


def _noise_seen(readings: Readings) -> dict[str, float]:
    """The noise of a training set, for the card of the model."""
    found = {
        "largest added standard deviation": float(readings.added_sd.max(initial=0.0)),
        "share of failed readings": float(readings.failed.mean()),
    }
    return {name: round(value, 4) for name, value in found.items() if value}


def _batches(
    inputs: dict[str, np.ndarray], readings: Readings, aim: "Objective", steps: int, batch: int,
    seed: int,
) -> Any:  # fmt: skip
    """Batches as a function of the step."""
    import torch

    from assay.parts.training.order import shuffled
    from assay.systems.product_of_experts.objective import beta_at

    chosen = shuffled(len(readings.state), batch, seed)
    tensors = {name: torch.from_numpy(values) for name, values in inputs.items()}
    state = torch.from_numpy(readings.state.astype(np.float32))
    present = torch.from_numpy(readings.present)

    def of_step(step: int) -> list[dict[str, Any]]:
        rows = torch.from_numpy(chosen(step).rows)
        return [
            {
                "seen": {name: values[rows] for name, values in tensors.items()},
                "present": present[rows].T.contiguous(),
                "wanted": {"state": state[rows]},
                "beta": beta_at(step, steps, aim),
            }
        ]

    return of_step
