"""Training of the learned flood model on floods that the solver made.

Notable in this file: a step draws its batch from a stream of its own, so a run that was killed and
goes on from its checkpoint ends with the same weights; and a checkpoint is safetensors, optimiser
included, so nothing that is read can run code.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from pydantic import Field, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.core.task import task
from assay.errors import DataError
from assay.systems.climate_impact.learned import write_model
from assay.systems.climate_impact.rain import Hyetograph
from assay.systems.climate_impact.rasters import Raster, Roughness, Terrain

if TYPE_CHECKING:
    from torch import Tensor

    from assay.systems.climate_impact.surrogate import UNet

WARM_UP = 0.05
CLIP = 1.0
POINTS = 20  # of the training curve
CHECKPOINT_STEPS = 100
BETAS, EPSILON = (0.9, 0.99), 1e-8


class Fit(NamedTuple):
    """A trained net.

    Attributes:
        model: Folder with ``config.json`` and ``model.safetensors``.
        records: ``training_loss``, the mean squared error of log(1 + depth in m) over the steps up
            to ``training_step`` and after the one before; ``training_floods`` and ``parameters``,
            their numbers.
    """

    model: Path
    records: Records


class _Floods(NamedTuple):
    """A training set: planes, rain, log(1 + depth), and 1 where there is ground."""

    ground: "Tensor"
    rain: "Tensor"
    target: "Tensor"
    known: "Tensor"


@component(version="1", requires=("numba", "numpy", "safetensors", "scipy", "torch"))
def train_surrogate(
    terrains: list[Terrain],
    roughness: list[Roughness],
    rains: list[Hyetograph],
    depths: list[Raster],
    *,
    share: Annotated[float, Field(gt=0, le=1)] = 1.0,
    channels: Annotated[int, Field(ge=4, le=128)] = 16,
    levels: Annotated[int, Field(ge=2, le=6)] = 3,
    steps: PositiveInt = 600,
    batch: PositiveInt = 4,
    rate: Annotated[float, Field(gt=0, le=0.1)] = 2e-3,
    seed: Seed,
) -> Fit:
    """Train a U-Net from ground, roughness and rain to the largest depth.

    AdamW with a warm-up and a cosine decay on the squared error of log(1 + depth), all cells alike;
    every flood is seen turned and mirrored at random.

    Args:
        terrains: Ground of each flood; all of one size.
        roughness: Its roughness.
        rains: Its storm.
        depths: The largest depth that the solver found (m).
        share: Share of the floods to train on, from the first; at least two.
        channels: Channels of the finest level.
        levels: Number of resolutions.
        steps: Optimiser steps.
        batch: Floods in a step.
        rate: Highest learning rate.
        seed: Seed of weights and batches.
    """
    import torch

    from assay.parts.training.torch_state import own_threads, seeded

    counts = {len(terrains), len(roughness), len(rains), len(depths)}
    if len(counts) > 1:
        raise DataError("terrains, roughness, rains and depths are not as many", where="training")
    used = min(max(round(share * len(terrains)), 2), len(terrains))
    context = task()
    with own_threads(context.threads), seeded(seed):
        floods = _floods(terrains[:used], roughness[:used], rains[:used], depths[:used])
        net = _new_net(floods, channels, levels)
        losses = _optimise(net, floods, steps, batch, rate, seed, context.scratch())
        count = sum(p.numel() for p in net.parameters())
        folder = context.scratch() / "model"
        trained = {"floods": used, "steps": steps, "batch": batch, "rate": rate, "seed": seed}
        write_model(folder, net, trained | {"torch": torch.__version__})
    records = Records()
    records.add("training_floods", used)
    records.add("parameters", count)
    for part in np.array_split(np.arange(steps), min(POINTS, steps)):
        step = int(part[-1]) + 1
        records.add("training_loss", float(losses[part].mean()), training_step=step)
    return Fit(folder, records)


def _floods(
    terrains: list[Terrain],
    roughness: list[Roughness],
    rains: list[Hyetograph],
    depths: list[Raster],
) -> _Floods:
    import torch

    from assay.systems.climate_impact.surrogate import ground_planes, rain_numbers

    sizes = {values.shape for d in depths for values in (d.values,)}
    sizes |= {terrain.elevation_m.shape for terrain in terrains}
    if len(sizes) > 1:
        raise DataError(f"tiles of {len(sizes)} sizes", where="training", accepted="one size")
    ground = np.stack([ground_planes(t, r) for t, r in zip(terrains, roughness, strict=True)])
    rain = np.stack([rain_numbers(r, t.grid.cell_m) for r, t in zip(rains, terrains, strict=True)])
    depth = np.stack([d.values for d in depths])
    known = np.isfinite(depth)
    target = np.log1p(np.where(known, depth, 0.0))
    return _Floods(*(torch.from_numpy(a.astype("float32")) for a in (ground, rain, target, known)))


def _new_net(floods: _Floods, channels: int, levels: int) -> "UNet":
    from assay.systems.climate_impact.surrogate import Scales, UNet

    ground, rain = floods.ground.numpy(), floods.rain.numpy()

    def spread(values: np.ndarray, axis: Any) -> np.ndarray:
        found = values.std(axis=axis)
        return np.where(found > 1e-3, found, 1.0)  # what never varied is left as it is

    net = UNet(channels, levels)
    net.set_scales(
        Scales(
            ground.mean(axis=(0, 2, 3)), spread(ground, (0, 2, 3)), rain.mean(axis=0),
            spread(rain, 0),
        )
    )  # fmt: skip
    return net


def _optimise(
    net: "UNet", floods: _Floods, steps: int, batch: int, rate: float, seed: int, folder: Path
) -> np.ndarray:
    """Take the steps that are left, and return the loss of all of them."""
    import torch

    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, betas=BETAS, eps=EPSILON)
    losses, context = np.zeros(steps), task()
    done = _resume(folder, net, optimiser, losses)
    for step in range(done, steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * _schedule(step, steps)
        ground, rain, target, known = _batch(floods, batch, np.random.default_rng([seed, step]))
        loss = _loss(net(ground, rain), target, known)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), CLIP)
        optimiser.step()
        losses[step] = float(loss.detach())
        if (step + 1) % CHECKPOINT_STEPS == 0 and step + 1 < steps:
            _checkpoint(folder, net, optimiser, losses, step + 1)
        context.progress(step + 1, steps, "steps")
    return losses


def _loss(found: "Tensor", target: "Tensor", known: "Tensor") -> "Tensor":
    """Mean squared error over the cells that have ground."""
    error = known * (found - target)
    return (error * error).sum() / known.sum()


def _schedule(step: int, steps: int) -> float:
    """Share of the highest rate: a line up, then half a cosine down."""
    warm = max(round(WARM_UP * steps), 1)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1.0 + np.cos(np.pi * (step - warm) / max(steps - warm, 1)))


def _batch(floods: _Floods, batch: int, random: np.random.Generator) -> "list[Tensor]":
    """Floods drawn at random, turned and mirrored together: the solver has no direction."""
    import torch

    chosen = torch.from_numpy(random.integers(len(floods.target), size=batch))
    square = floods.target.shape[-1] == floods.target.shape[-2]
    turns, mirrored = int(random.integers(4)) if square else 0, bool(random.integers(2))
    taken = [values[chosen] for values in floods]
    for k in (0, 2, 3):
        turned = torch.rot90(taken[k], turns, (-2, -1))
        taken[k] = torch.flip(turned, (-1,)) if mirrored else turned
    return taken


# -- checkpoints --------------------------------------------------------------------------------


def _checkpoint(folder: Path, net: "UNet", optimiser: Any, losses: np.ndarray, done: int) -> None:
    """Write weights, optimiser and losses, whole or not at all."""
    import torch
    from safetensors.torch import save_file

    tensors = {f"net.{name}": value for name, value in net.state_dict().items()}
    for name, parameter in net.named_parameters():
        state = optimiser.state[parameter]
        tensors |= {f"{kind}.{name}": state[kind] for kind in ("exp_avg", "exp_avg_sq", "step")}
    tensors["losses"] = torch.from_numpy(losses[:done])
    unfinished = folder / "unfinished.safetensors"
    save_file({k: v.contiguous() for k, v in tensors.items()}, unfinished)
    os.replace(unfinished, folder / "checkpoint.safetensors")


def _resume(folder: Path, net: "UNet", optimiser: Any, losses: np.ndarray) -> int:
    """Go back to the last checkpoint; the number of steps that were done by then."""
    from safetensors.torch import load_file

    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return 0
    tensors = load_file(path)
    net.load_state_dict({k[4:]: v for k, v in tensors.items() if k.startswith("net.")})
    for name, parameter in net.named_parameters():
        kinds = ("exp_avg", "exp_avg_sq", "step")
        optimiser.state[parameter] = {kind: tensors[f"{kind}.{name}"] for kind in kinds}
    found = tensors["losses"].numpy()
    losses[: found.size] = found
    return int(found.size)
