"""Training of the detector.

Notable in this file: what a frame looks like in a step is drawn from (seed, step), so that a run
that was killed goes on to the same bits; and after training the frames that went worst are listed.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from pydantic import Field, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.core.task import task
from assay.errors import DataError, ParameterError
from assay.parts.detection.boxes import UNKNOWN, Boxes
from assay.systems.surgical_skill.classes import STATES
from assay.systems.surgical_skill.folders import save_detector
from assay.systems.surgical_skill.predict import Failure, failures_in
from assay.systems.surgical_skill.targets import (
    Targets,
    by_frame,
    mirrored,
    require_inside,
    targets_of,
)

if TYPE_CHECKING:
    from torch import Tensor

    from assay.parts.training.fit import Loss
    from assay.systems.surgical_skill.detector import Detector, DetectorConfig

__all__ = ["DetectorFit", "Plan", "train_detector"]

ZOOM, SHIFT, CONTRAST, BRIGHTNESS = 0.15, 0.06, 0.25, 20.0
MOVED, LIT = 1, 2  # streams of random numbers beside that of the order
LEAST_VISIBLE, LEAST_PIXELS = 0.25, 2.0
MIDDLE, BRIGHTEST = 127.5, 255


@dataclass(frozen=True)
class Plan:
    """What a training run will take, by two of its steps.

    Attributes:
        steps: Steps of the run.
        parameters: Trained weights.
        seconds_per_step: Wall time of the second step, on the threads that are used.
        seconds: Wall time of all steps.
        memory_mib: Weights, gradients and the optimiser's state, a batch, and what a step keeps for
            its way back.
    """

    steps: int
    parameters: int
    seconds_per_step: float
    seconds: float
    memory_mib: float

    def in_words(self, threads: int) -> str:
        """The plan in one sentence, for whoever waits.

        Example:
            >>> Plan(300, 180_000, 0.5, 150.0, 411.6).in_words(threads=1)
            '300 steps on 1 thread will take about 2.5 min and 412 MiB'
        """
        long = f"{self.seconds / 60:.1f} min" if self.seconds >= 90 else f"{self.seconds:.0f} s"
        on = f"{threads} thread{'s' * (threads > 1)}"
        return f"{self.steps} steps on {on} will take about {long} and {self.memory_mib:.0f} MiB"


class DetectorFit(NamedTuple):
    """A trained detector.

    Attributes:
        model: Folder with ``config.json`` and ``model.safetensors``.
        records: ``training_loss`` per object over ``training_step``; ``parameters``;
            ``training_frames``; and of the frames trained on, ``training_objects`` and
            ``training_missed``.
        failures: The worst frames: those with most objects missed, the highest loss first among
            equals.
    """

    model: Path
    records: Records
    failures: list[Failure]


@component(version="2", requires=("numpy", "safetensors", "torch"))
def train_detector(
    frames: np.ndarray,
    truth: Boxes,
    chosen: np.ndarray | None = None,
    *,
    width: Annotated[int, Field(ge=8, le=128, multiple_of=8)] = 16,
    stride: Annotated[int, Field(ge=2, le=4, multiple_of=2)] = 4,
    min_overlap: Annotated[float, Field(gt=0, lt=1)] = 0.7,
    steps: PositiveInt = 600,
    batch: PositiveInt = 16,
    rate: Annotated[float, Field(gt=0, le=0.1)] = 8e-3,
    augment: bool = True,
    patch: Annotated[int, Field(ge=0, le=4096)] = 0,
    balanced: bool = False,
    worst: Annotated[int, Field(ge=0, le=1000)] = 20,
    seed: Seed,
) -> DetectorFit:
    """Train a detector on frames with boxes.

    AdamW with a warm-up and a cosine decay. A note tells beforehand what it will take.

    Args:
        frames: Frames ``[frames, height, width, 3]`` of bytes, in memory or mapped from a file.
        truth: Their objects.
        chosen: Numbers of the frames to train on; all if not given.
        width: Channels of the stem.
        stride: Pixels of a cell of the heatmap, 2 or 4.
        min_overlap: What the Gaussians' radii keep, see `gaussian_radius`.
        steps: Optimiser steps.
        batch: Frames of a step; of squares, as many as have about as many pixels.
        rate: Highest learning rate.
        augment: Whether frames are mirrored, scaled, shifted and lit otherwise at random.
        patch: Side of the squares to train on, in pixels; whole frames if 0.
        balanced: Whether all states of a class count alike, however rare one is.
        worst: How many of the worst frames are listed.
        seed: Seed of weights, order and what frames look like.

    Raises:
        DataError: If frames or objects are none.
        ParameterError: If a square does not fit into a frame.
    """
    import torch

    from assay.parts.training.fit import fit
    from assay.parts.training.recipe import Recipe
    from assay.parts.training.torch_state import own_threads, seeded
    from assay.systems.surgical_skill.detector import Detector, DetectorConfig

    used = np.arange(len(frames)) if chosen is None else np.asarray(chosen, np.int64)
    _check(frames, truth, used, patch)
    config = DetectorConfig(width, stride, tuple(map(len, STATES)))
    with seeded(seed):
        model = Detector(config)
    recipe = Recipe(
        steps=steps, rate=rate, warm_up=0.1, schedule="cosine", weight_decay=0.01, clip=10.0,
        precision="auto", checkpoint_every=100,
    )  # fmt: skip
    batches = _batches(frames, truth, used, config, min_overlap, batch, augment, patch, seed)
    weights = _state_weights(by_frame(truth)(used)) if balanced else None
    scratch, loss = task().scratch(), partial(_loss, weights=weights)
    with own_threads(task().threads):
        plan = _plan(model, batches, loss, steps)
    task().event("note", text=plan.in_words(task().threads), **asdict(plan))
    fitted = fit(model, batches, loss, recipe, folder=scratch / "checkpoints", seed=seed)
    with own_threads(task().threads):
        failures = failures_in(model, frames, truth, used, min_overlap=min_overlap, batch=batch)
    trained = {"frames": len(used), "height": frames.shape[1], "width": frames.shape[2],
               "steps": steps, "batch": batch, "rate": rate, "augment": augment, "patch": patch,
               "balanced": balanced, "min_overlap": min_overlap, "seed": seed,
               "torch": torch.__version__}  # fmt: skip
    save_detector(scratch / "model", model, trained)
    kept = ("training_loss", "parameters")
    records = Records(r for r in fitted.records() if r["measure"] in kept)
    records.add("training_frames", len(used))
    records.add("training_objects", sum(f.objects for f in failures))
    records.add("training_missed", sum(f.missed for f in failures))
    return DetectorFit(scratch / "model", records, failures[:worst])


# -- batches ------------------------------------------------------------------------------------


class _Batch(NamedTuple):
    """Frames of a step, and what is wanted of them."""

    frames: "Tensor"
    targets: Targets


def _check(frames: np.ndarray, truth: Boxes, used: np.ndarray, patch: int) -> None:
    where = "training of the detector"
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise DataError(
            f"frames are {frames.dtype} {list(frames.shape)}",
            where=where,
            accepted="uint8 [frames, height, width, 3]",
        )
    count, height, width = frames.shape[:3]
    if not len(used) or used.min() < 0 or used.max() >= count:
        raise DataError(
            f"{len(used)} frames of {count} are chosen, not all of which are there",
            where=where,
            accepted=f"at least one, from 0 to {count - 1}",
        )
    require_inside(truth, count, height, width, len(STATES))
    if patch > min(height, width):
        raise ParameterError(
            f"patch is {patch} pixels", where=where, accepted=f"at most {min(height, width)}, or 0"
        )


def _batches(
    frames: np.ndarray, truth: Boxes, used: np.ndarray, config: "DetectorConfig",
    min_overlap: float, batch: int, augment: bool, patch: int, seed: int,
) -> Callable[[int], list[_Batch]]:  # fmt: skip
    """Batches as a function of the step."""
    import torch

    from assay.parts.training.order import shuffled

    whole = frames.shape[1:3]
    size = (patch, patch) if patch else whole
    views = max(1, round(batch * math.prod(whole) / math.prod(size)))
    of_step, objects_in = shuffled(len(used), views, seed), by_frame(truth)

    def batches(step: int) -> list[_Batch]:
        rows = used[of_step(step).rows]
        images, boxes = np.asarray(frames[rows]), objects_in(rows)
        if augment or patch:
            moves = np.random.default_rng([seed, step, MOVED])
            if augment:
                images, boxes = _mirror_some(images, boxes, moves.random(len(rows)) < 0.5)
            view = _draw_view(images.shape, size, boxes, moves, augment, bool(patch))
            images, boxes = _look(images, boxes, view, size)
        if augment:
            images = _light(images, np.random.default_rng([seed, step, LIT]))
        wanted = targets_of(
            boxes, len(rows), *size, classes=len(config.states), stride=config.stride,
            min_overlap=min_overlap,
        )  # fmt: skip
        return [_Batch(torch.from_numpy(images), wanted)]

    return batches


class _View(NamedTuple):
    """Which part of each frame is seen: a pixel of what is seen, times scale, plus shift (x, y)."""

    scale: Float[np.ndarray, " image"]
    shift: Float[np.ndarray, "image 2"]


def _mirror_some(images: np.ndarray, boxes: Boxes, which: np.ndarray) -> tuple[np.ndarray, Boxes]:
    """Show some of the frames in a mirror."""
    shown = np.where(which[:, None, None, None], images[:, :, ::-1], images)
    turned = which[boxes.image]
    seen = mirrored(boxes, images.shape[2])
    state = np.where(turned, seen.state, boxes.state)
    xywh = np.where(turned[:, None], seen.xywh, boxes.xywh)
    return shown, Boxes(boxes.image, boxes.label, xywh, boxes.score, state)


def _draw_view(
    shape: tuple[int, ...], size: tuple[int, int], boxes: Boxes, random: np.random.Generator,
    augment: bool, parts: bool,
) -> _View:  # fmt: skip
    """A view of each frame: nearly all of it, or a square, half of them about an object."""
    count, frame, seen = shape[0], np.array([shape[2], shape[1]]), np.array(size[::-1])
    scale = np.exp(random.uniform(-ZOOM, ZOOM, count) * augment)
    half = scale[:, None] * seen / 2
    if not parts:
        middle = frame * (0.5 + random.uniform(-SHIFT, SHIFT, (count, 2)) * augment)
        return _View(scale, middle - half)
    middle = random.uniform(0, 1, (count, 2)) * frame
    about, jitter = random.random(count) < 0.5, random.uniform(-0.25, 0.25, (count, 2)) * seen
    centre, drawn = boxes.xywh[:, :2] + boxes.xywh[:, 2:] / 2, random.permutation(len(boxes))
    of_frame = np.full(count, -1)
    of_frame[boxes.image[drawn]] = drawn  # of several objects, one by chance
    about &= of_frame >= 0
    middle[about] = centre[of_frame[about]] + jitter[about]
    nearest, farthest = np.minimum(half, frame / 2), np.maximum(frame - half, frame / 2)
    return _View(scale, np.clip(middle, nearest, farthest) - half)


def _look(
    images: UInt8[np.ndarray, "image y x 3"], boxes: Boxes, view: _View, size: tuple[int, int]
) -> tuple[UInt8[np.ndarray, "image v u 3"], Boxes]:
    """Frames as they are seen, and the objects of which enough can be seen.

    Beyond the edge of a frame its last pixels go on, as a shaft would.
    """
    import torch
    from torch.nn import functional as F  # noqa: N812

    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
    frame, seen = np.array(images.shape[2:0:-1]), np.array(size[::-1])
    extent = view.scale[:, None] * seen
    theta = np.zeros((len(images), 2, 3), np.float32)
    theta[:, [0, 1], [0, 1]] = extent / frame
    theta[:, :, 2] = (extent + 2 * view.shift) / frame - 1
    grid = F.affine_grid(torch.from_numpy(theta), [len(images), 3, *size], align_corners=False)
    shown = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    shown = shown.round_().clamp_(0, BRIGHTEST).byte().permute(0, 2, 3, 1)
    scale, shift = view.scale[boxes.image, None], view.shift[boxes.image]
    start, extent = (boxes.xywh[:, :2] - shift) / scale, boxes.xywh[:, 2:] / scale
    end = np.minimum(start + extent, seen)
    start = np.maximum(start, 0.0)
    visible = np.clip(end - start, 0.0, None)
    kept = visible.prod(axis=1) >= LEAST_VISIBLE * extent.prod(axis=1)
    kept &= (visible >= LEAST_PIXELS).all(axis=1)
    cut = Boxes(boxes.image, boxes.label, np.hstack([start, visible]), boxes.score, boxes.state)
    return np.ascontiguousarray(shown.numpy()), cut.take(kept)


def _light(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Frames with another contrast and brightness each, by a table of the 256 values."""
    contrast, brightness = random.uniform(-1, 1, (2, len(images), 1))
    values = (np.arange(BRIGHTEST + 1) - MIDDLE) * np.exp(CONTRAST * contrast)
    tables = np.clip(values + MIDDLE + BRIGHTNESS * brightness, 0, BRIGHTEST).round()
    tables = tables.astype(np.uint8)
    return np.stack([table[image] for table, image in zip(tables, images, strict=True)])


# -- a step --------------------------------------------------------------------------------------


def _state_weights(boxes: Boxes) -> "Tensor":
    """What an object in each state counts, so that all states of a class count alike.

    Their mean over the objects of a class whose states are known is 1.
    """
    import torch

    counts = np.zeros((len(STATES), max(map(len, STATES))))
    told = boxes.state != UNKNOWN
    np.add.at(counts, (boxes.label[told], boxes.state[told]), 1)
    states = np.maximum((counts > 0).sum(axis=1, keepdims=True), 1)
    weights = counts.sum(axis=1, keepdims=True) / (states * np.maximum(counts, 1))
    return torch.from_numpy(weights.astype(np.float32))


def _loss(model: Any, batch: _Batch, *, weights: "Tensor | None") -> "Loss":
    """The loss per object; a batch without any counts as one."""
    from assay.parts.training.losses import Loss
    from assay.systems.surgical_skill.detector import losses

    total = losses(model(batch.frames), batch.targets, weights).total.sum()
    return Loss(total, max(int((batch.targets.heat == 1).sum()), 1))


def _plan(
    model: "Detector",
    batches: Callable[[int], list[_Batch]],
    loss_of: Callable[[Any, _Batch], "Loss"],
    steps: int,
) -> Plan:
    """Take two steps without an update, and measure the second one."""
    import torch

    kept, batch, seconds = dict[int, int](), list[_Batch](), 0.0

    def keep(tensor: "Tensor") -> "Tensor":
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    for step in (0, min(1, steps - 1)):
        kept.clear()
        began = time.perf_counter()
        batch = batches(step)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = loss_of(model, batch[0]).total
        loss.backward()
        model.zero_grad()
        seconds = time.perf_counter() - began
    parameters = sum(p.numel() for p in model.parameters())
    copies = 4 * 4 * parameters  # weights, gradients, two running means
    of_batch = batch[0].frames.nbytes + sum(t.nbytes for t in batch[0].targets)
    memory = copies + of_batch + sum(kept.values())
    return Plan(steps, parameters, seconds, steps * seconds, memory / 2**20)
