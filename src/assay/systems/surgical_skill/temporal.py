"""Skill metrics learned from whole recordings: a small network over the tracks of every moment.

The network tells of each moment at which rate events happen; what it expects of a recording is the
sum. So it is a Poisson process of which only the totals are known, recordings of any length fit,
and what is expected of a recording and another together is the sum of both (without attention).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody calls it
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from assay.core.task import task
from assay.errors import DataError
from assay.parts.training.fit import fit
from assay.parts.training.losses import Loss
from assay.parts.training.order import shuffled
from assay.parts.training.recipe import Recipe
from assay.parts.training.torch_state import own_threads, seeded
from assay.systems.surgical_skill.counting import distance_to_needle
from assay.systems.surgical_skill.counts import grouped_folds
from assay.systems.surgical_skill.tracking import TRACKS, Tracks

__all__ = ["CHANNELS", "RateNet", "Temporal", "expected", "fit_net", "fit_temporal", "poisson_loss",
           "signals"]  # fmt: skip

_TRACK = ("seen", "filled", "x", "y", "speed", "width", "height", "score")
CHANNELS = (
    *(f"{name} {what}" for name in TRACKS for what in _TRACK),
    "needle grabbed", "needle dropped", "distance", "distance known",
)  # fmt: skip
"""What is known of each moment."""


def signals(tracks: Tracks, *, hz: float = 10.0) -> Float[np.ndarray, "step channel"]:
    """What the network reads of a recording.

    Args:
        tracks: Tracks.
        hz: Moments per second; each is the mean over the frames in it. Of fewer frames per second,
            every frame is one.

    Returns:
        By `CHANNELS`, in image widths and seconds; 0 where something is not known, which the
        channels of presence tell. At least one moment.
    """
    time = len(tracks)
    if not time:
        return np.zeros((1, len(CHANNELS)), np.float32)
    places = np.nan_to_num(tracks.centre / tracks.width)
    speed = np.zeros((time, len(TRACKS)))
    both = tracks.present[1:] & tracks.present[:-1]
    speed[1:] = np.linalg.norm(np.diff(places, axis=0), axis=2) * tracks.fps * both
    size = np.nan_to_num(tracks.size / tracks.width)
    each = np.stack(
        [tracks.seen, tracks.filled, places[..., 0], places[..., 1], speed, size[..., 0],
         size[..., 1], tracks.score], axis=2,
    )  # fmt: skip
    distance = distance_to_needle(tracks)
    rest = np.stack(
        [tracks.state == 0, tracks.state == 1, np.nan_to_num(distance), np.isfinite(distance)],
        axis=1,
    )
    rows = np.concatenate([each.reshape(time, -1), rest], axis=1)
    every = max(1, round(tracks.fps / hz))
    begin = np.arange(0, time, every)
    count = np.diff(begin, append=time)[:, None]
    return (np.add.reduceat(rows, begin, axis=0) / count).astype(np.float32)


class RateNet(nn.Module):
    """Convolutions over time, a layer of attention if wanted, and a rate for each metric.

    Args:
        channels: Signals of a moment.
        metrics: What is told.
        width: Width of every layer.
        dilations: One residual layer for each.
        attention: Whether moments may look at all others before their rates are told.
    """

    mean: Tensor
    sd: Tensor

    def __init__(
        self, channels: int, metrics: int, *, width: int = 24,
        dilations: Sequence[int] = (1, 2, 4, 8), attention: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("sd", torch.ones(channels))
        self.stem = nn.Conv1d(channels, width, 5, padding=2)
        self.layers = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=d, dilation=d) for d in dilations
        )
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True) if attention else None
        self.rate = nn.Linear(width, metrics)

    def forward(
        self, rows: Float[Tensor, "batch step channel"], there: Bool[Tensor, "batch step"]
    ) -> Float[Tensor, "batch metric"]:
        """What is expected of recordings.

        Args:
            rows: Signals, filled up to one length.
            there: Which moments are not filling; what the others hold changes nothing.
        """
        kept = there[:, None].to(rows.dtype)
        hidden = ((rows - self.mean) / self.sd).clamp(-5, 5).transpose(1, 2)
        hidden = F.silu(self.stem(hidden * kept)) * kept
        for layer in self.layers:
            hidden = hidden + F.silu(layer(hidden)) * kept
        steps = hidden.transpose(1, 2)
        if self.attention is not None:
            steps = steps + self.attention(steps, steps, steps, key_padding_mask=~there,
                                           need_weights=False)[0]  # fmt: skip
        return (F.softplus(self.rate(steps)) * there[..., None]).sum(dim=1)


@dataclass(frozen=True, eq=False)
class Temporal:
    """A network for each fold.

    Attributes:
        nets: The networks, in evaluation mode.
        fold: Fold of each case of the training ``[case]``.
        out_of_fold: What the network that did not see it expects of each case ``[case, metric]``.
    """

    nets: tuple[RateNet, ...]
    fold: Int[np.ndarray, " case"]
    out_of_fold: Float[np.ndarray, "case metric"]


def poisson_loss(
    told: Float[Tensor, "batch metric"], wanted: Float[Tensor, "batch metric"]
) -> Loss:
    """Negative log-likelihood of counts, less what does not depend on the model; NaN is left out.

    Returns:
        The sum over the counts that are known, and how many those are.
    """
    known = ~torch.isnan(wanted)
    y = torch.where(known, wanted, torch.zeros_like(wanted))
    each = told - y * torch.log(told.clamp_min(1e-8))
    return Loss(torch.where(known, each, torch.zeros_like(each)).sum(), int(known.sum()))


def fit_net(
    cases: Sequence[Float[np.ndarray, "step channel"]],
    targets: Float[np.ndarray, "case metric"],
    *,
    folder: Path,
    width: int = 24,
    attention: bool = False,
    steps: int = 300,
    batch: int = 16,
    rate: float = 3e-3,
    threads: int | None = None,
    seed: int,
) -> RateNet:
    """Train a network on recordings.

    Args:
        cases: Signals of each recording.
        targets: At least 0; NaN where a metric is not known.
        folder: Where the checkpoints are.
        width: Width of every layer.
        attention: Whether there is a layer of attention.
        steps: Optimiser steps.
        batch: Recordings of a step.
        rate: Highest learning rate.
        threads: Threads of torch; those of the task if not given.
        seed: Of weights and order.

    Raises:
        DataError: If a metric is known of no case.
    """
    known = ~np.isnan(targets)
    if not known.any(axis=0).all():
        metric = int((~known.any(axis=0)).argmax())
        raise DataError(f"metric {metric + 1} is known of no case", where="targets")
    told = np.flatnonzero(known.any(axis=1)).tolist()
    cases, targets = [cases[case] for case in told], targets[told]
    with seeded(seed):
        net = RateNet(cases[0].shape[1], targets.shape[1], width=width, attention=attention)
    _start(net, cases, targets)
    recipe = Recipe(steps=steps, rate=rate, precision="fp32", checkpoint_every=500)
    batches = _batches(cases, targets, batch, seed)
    fit(net, batches, _loss, recipe, folder=folder, seed=seed, threads=threads)
    return net.eval()


def expected(
    net: RateNet, cases: Sequence[Float[np.ndarray, "step channel"]], *, threads: int | None = None
) -> Float[np.ndarray, "case metric"]:
    """What a network expects of recordings, one at a time."""
    with torch.no_grad(), own_threads(threads or task().threads):
        one = [net(*_filled_up([rows])).double().numpy() for rows in cases]
    return np.concatenate([np.zeros((0, net.rate.out_features)), *one])


def fit_temporal(
    cases: Sequence[Float[np.ndarray, "step channel"]],
    targets: Float[np.ndarray, "case metric"],
    groups: Int[np.ndarray, " case"],
    *,
    folder: Path,
    folds: int = 5,
    threads: int | None = None,
    seed: int,
    **options: Any,
) -> Temporal:
    """Train a network for each fold, none of which parts a surgeon.

    Args:
        cases: Signals of each recording.
        targets: At least 0; NaN where a metric is not known.
        groups: Surgeon of each case.
        folder: Where the checkpoints are.
        folds: How many.
        threads: Threads of torch; those of the task if not given.
        seed: Of folds, weights and order.
        options: Of `fit_net`.

    Raises:
        DataError: If there are fewer than two surgeons, or a metric is not known outside of a fold.
    """
    if len(np.unique(groups)) < 2:
        raise DataError("fewer than two surgeons", where="groups", accepted="two or more")
    fold = grouped_folds(groups, folds, seed)
    predicted, nets = np.zeros(targets.shape), []
    for k in range(int(fold.max()) + 1):
        train, test = (np.flatnonzero(of).tolist() for of in (fold != k, fold == k))
        net = fit_net(
            [cases[case] for case in train], targets[train], folder=folder / f"fold_{k}",
            threads=threads, seed=seed, **options,
        )  # fmt: skip
        nets.append(net)
        predicted[test] = expected(net, [cases[case] for case in test], threads=threads)
    return Temporal(tuple(nets), fold, predicted)


def _filled_up(cases: Sequence[np.ndarray], steps: int = 0) -> tuple[Tensor, Tensor]:
    """Recordings of one length, and which of their moments are theirs."""
    longest = max(steps, *(len(rows) for rows in cases))
    filled = np.zeros((len(cases), longest, cases[0].shape[1]), np.float32)
    for number, rows in enumerate(cases):
        filled[number, : len(rows)] = rows
    lengths = np.array([len(rows) for rows in cases])
    return torch.from_numpy(filled), torch.from_numpy(np.arange(longest) < lengths[:, None])


@torch.no_grad()
def _start(net: RateNet, cases: Sequence[np.ndarray], targets: np.ndarray) -> None:
    """Begin with signals of one size, and with the mean of every metric at every moment."""
    rows = np.concatenate(cases)
    net.mean.copy_(torch.from_numpy(rows.mean(axis=0)))
    net.sd.copy_(torch.from_numpy(np.maximum(rows.std(axis=0), 1e-3)))
    mean = np.maximum(np.nanmean(targets, axis=0), 1e-3)
    at_each = mean / np.mean([len(rows) for rows in cases])
    net.rate.bias.copy_(torch.from_numpy(np.log(np.expm1(at_each))))  # what softplus undoes
    net.rate.weight.mul_(0.1)


def _batches(
    cases: Sequence[np.ndarray], targets: np.ndarray, batch: int, seed: int
) -> Callable[[int], list[Any]]:
    chosen, longest = shuffled(len(cases), batch, seed), max(len(rows) for rows in cases)
    wanted = torch.from_numpy(targets.astype(np.float32))

    def of_step(step: int) -> list[dict[str, Tensor]]:
        rows = chosen(step).rows
        filled, there = _filled_up([cases[row] for row in rows], longest)
        return [{"rows": filled, "there": there, "wanted": wanted[torch.from_numpy(rows)]}]

    return of_step


def _loss(net: Any, batch: dict[str, Tensor]) -> Loss:
    return poisson_loss(net(batch["rows"], batch["there"]), batch["wanted"])
