"""The detector: every object is the peak of a heatmap, with its size and state told at the peak.

Zhou, Wang and Kraehenbuehl 2019, "Objects as Points": no anchors and no suppression of boxes. A
backbone of plain 3 x 3 convolutions and a feature pyramid of three levels (Lin et al. 2017) come
before it. Norms are those of groups of channels (Wu and He 2018): what is found in a frame then
does not depend on the frames beside it, in training or after it, and it takes a tenth longer than
norms of batches. Pure: nothing here reads, writes or seeds.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everyone calls it

from assay.errors import DataError, ParameterError
from assay.parts.detection.boxes import UNKNOWN, Boxes
from assay.systems.surgical_skill.targets import MULTIPLE, Targets

__all__ = ["Detector", "DetectorConfig", "Found", "Heads", "Losses", "decode", "losses"]

ALPHA, BETA = 2, 4
SIZE_WEIGHT = 0.1
FIRST_BIAS = -2.19
"""Of the heatmaps: an untrained network says .1 everywhere (Lin et al. 2017, focal loss)."""
MIDDLE, SPREAD = 127.5, 64.0
"""What is taken off a pixel, and what it is then divided by."""
GROUP = 8


@dataclass(frozen=True)
class DetectorConfig:
    """Everything about a detector but its weights.

    Attributes:
        width: Channels of the stem, a multiple of 8; 16 makes 146,000 weights.
        stride: Pixels of a cell of the heatmap, 4, or 2 for small objects.
        states: How many states an object of each class may be in.

    Raises:
        ParameterError: If a value is out of its range.
    """

    width: int = 16
    stride: int = 4
    states: tuple[int, ...] = (2, 2)

    def __post_init__(self) -> None:
        for name, good, accepted in (
            ("width", self.width >= GROUP and self.width % GROUP == 0, "a multiple of 8"),
            ("stride", self.stride in (2, 4), "2 or 4"),
            ("states", self.states and min(self.states) >= 0, "a number for each class"),
        ):
            if not good:
                said = f"{name} is {getattr(self, name)}"
                raise ParameterError(said, where="detector", accepted=accepted)


class Heads(NamedTuple):
    """What the network says, by class and cell; sizes and offsets are in cells.

    Attributes:
        heat: Logits of the heatmaps.
        size: Width and height of an object whose centre is here.
        offset: Of the centre from the left top of the cell.
        state: Logits of its states; a class with fewer than others has some that mean nothing.
    """

    heat: Float[Tensor, "image class y x"]
    size: Float[Tensor, "image class 2 y x"]
    offset: Float[Tensor, "image class 2 y x"]
    state: Float[Tensor, "image class state y x"]


# -- the network --------------------------------------------------------------------------------


class _Conv(nn.Sequential):
    """A convolution with its norm and a rectifier."""

    def __init__(self, channels_in: int, channels: int, *, side: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels, side, stride, padding=side // 2, bias=False),
            nn.GroupNorm(channels // GROUP, channels),
            nn.ReLU(inplace=True),
        )


class Detector(nn.Module):
    """Frames to heatmaps.

    Args:
        config: Its sizes.
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        w, neck = config.width, 2 * config.width
        self.stem = _Conv(3, w, stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(_Conv(a, b, stride=2), _Conv(b, b))
            for a, b in ((w, 2 * w), (2 * w, 3 * w), (3 * w, 4 * w))
        )
        widths = [w, 2 * w, 3 * w, 4 * w][config.stride // 4 :]  # at strides of 2, 4, 8 and 16
        self.laterals = nn.ModuleList(nn.Conv2d(c, neck, 1) for c in widths)
        self.smooth = _Conv(neck, neck)
        classes, states = len(config.states), max(*config.states, 1)
        self.heat = nn.Sequential(_Conv(neck, neck), nn.Conv2d(neck, classes, 1))
        self.told = nn.Sequential(_Conv(neck, neck), nn.Conv2d(neck, classes * (4 + states), 1))
        with torch.no_grad():
            self.heat[-1].bias.fill_(FIRST_BIAS)  # type: ignore[union-attr, operator]

    def forward(self, frames: Tensor) -> Heads:
        """Look at frames of any size; inside they are filled up to a multiple of 16 pixels.

        Args:
            frames: The frames, uint8 ``[image, height, width, 3]``.

        Raises:
            DataError: If they are not frames of bytes in three channels.
        """
        if frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
            shape = " x ".join(map(str, frames.shape))
            raise DataError(
                f"frames are {shape} numbers of {frames.dtype}",
                where="detector",
                accepted="uint8 [frames, height, width, 3]",
            )
        weight = next(self.parameters())
        frames = frames.to(weight.device)
        height, width = frames.shape[1:3]
        x = frames.permute(0, 3, 1, 2).float().sub_(MIDDLE).div_(SPREAD).to(weight.dtype)
        x = F.pad(x, (0, -width % MULTIPLE, 0, -height % MULTIPLE))
        x = x.contiguous(memory_format=torch.channels_last)  # a quarter faster on a CPU
        levels = [self.stem(x)]
        for stage in self.stages:
            levels.append(stage(levels[-1]))
        levels = levels[-len(self.laterals) :]
        found = self.laterals[-1](levels[-1])
        for level, lateral in zip(levels[-2::-1], list(self.laterals)[-2::-1], strict=True):
            found = lateral(level) + F.interpolate(found, scale_factor=2.0, mode="nearest")
        return self._heads(self.smooth(found))

    def _heads(self, x: Tensor) -> Heads:
        classes = len(self.config.states)
        told = self.told(x).unflatten(1, (classes, -1)).float()
        return Heads(self.heat(x).float(), told[:, :, :2], told[:, :, 2:4], told[:, :, 4:])


# -- the loss -----------------------------------------------------------------------------------


class Losses(NamedTuple):
    """Losses of each frame, summed over its objects (and for the heatmaps, over all cells)."""

    heat: Float[Tensor, " image"]
    size: Float[Tensor, " image"]
    offset: Float[Tensor, " image"]
    state: Float[Tensor, " image"]

    @property
    def total(self) -> Float[Tensor, " image"]:
        """What is minimised, before it is divided by the number of objects."""
        return self.heat + SIZE_WEIGHT * self.size + self.offset + self.state


def losses(
    heads: Heads, targets: Targets, state_weights: Float[Tensor, "class state"] | None = None
) -> Losses:
    """How far a network is from its targets (Zhou et al. 2019, equations 1 to 3).

    The focal loss of the heatmaps, less where a cell is near a centre, and at the centres the
    absolute errors of size and offset and the cross-entropy of the states that are known.

    Args:
        heads: What the network says.
        targets: What is wanted.
        state_weights: What an object in each state counts in the cross-entropy; 1 if not given.
    """
    heat, size, offset, state = (torch.from_numpy(t).to(heads.heat.device) for t in targets)
    p = heads.heat.sigmoid()
    centre = heat == 1
    there = (1 - p) ** ALPHA * F.logsigmoid(heads.heat)
    elsewhere = (1 - heat) ** BETA * p**ALPHA * F.logsigmoid(-heads.heat)
    focal = -torch.where(centre, there, elsewhere).sum(dim=(1, 2, 3))
    image, label, y, x = at = torch.nonzero(centre, as_tuple=True)

    def per_frame(of_object: Tensor) -> Tensor:
        return torch.zeros_like(focal).index_add(0, image, of_object)

    def apart(said: Tensor, wanted: Tensor) -> Tensor:
        return per_frame((said[image, label, :, y, x] - wanted[image, label, :, y, x]).abs().sum(1))

    logits = heads.state[image, label, :, y, x]
    entropy = F.cross_entropy(logits, state[at], ignore_index=UNKNOWN, reduction="none")
    if state_weights is not None:
        entropy = entropy * state_weights[label, state[at].clamp_min(0)]
    return Losses(focal, apart(heads.size, size), apart(heads.offset, offset), per_frame(entropy))


# -- boxes --------------------------------------------------------------------------------------


class Found(NamedTuple):
    """The best objects of each frame, from the highest score to the lowest."""

    score: Float[Tensor, "image object"]
    label: Int[Tensor, "image object"]
    xywh: Float[Tensor, "image object 4"]
    state: Int[Tensor, "image object"]

    def boxes(self, *, first: int = 0, score_at_least: float = 0.0) -> Boxes:
        """As boxes, those without an area left out.

        Args:
            first: Number of the first frame.
            score_at_least: Lowest score of a box.
        """
        kept = (self.score >= score_at_least) & (self.xywh[..., 2:] > 0).all(dim=2)
        image = torch.nonzero(kept)[:, 0] + first
        columns = (image, *(c[kept] for c in (self.label, self.xywh, self.score, self.state)))
        return Boxes.of(*(np.asarray(column.cpu()) for column in columns))


@torch.inference_mode()
def decode(heads: Heads, config: DetectorConfig, height: int, width: int, top: int = 100) -> Found:
    """Objects at the peaks of the heatmaps: the inverse of the targets.

    A peak is a cell that none of its eight neighbours exceeds. Boxes are cut at the edges of the
    frame.

    Args:
        heads: What the network says.
        config: Of the network.
        height: Of the frames, in pixels.
        width: Of the frames, in pixels.
        top: Peaks of a frame that are looked at, over all classes.
    """
    heat = heads.heat.sigmoid()
    peaks = heat * (F.max_pool2d(heat, 3, stride=1, padding=1) == heat)
    score, place = peaks.flatten(1).topk(min(top, peaks[0].numel()), dim=1)
    rows, columns = heat.shape[2:]
    label, cell = place // (rows * columns), place % (rows * columns)
    image = torch.arange(len(heat), device=heat.device)[:, None]
    at = (image, label, slice(None), cell // columns, cell % columns)
    corner = torch.stack([cell % columns, cell // columns], dim=2)
    middle = (corner + heads.offset[at].double()) * config.stride  # in doubles: pixels are exact
    half = heads.size[at].double() * (config.stride / 2)
    edge = torch.tensor([width, height], dtype=torch.float64, device=heat.device)
    start = torch.minimum((middle - half).clamp(min=0), edge)
    end = torch.minimum((middle + half).clamp(min=0), edge)
    known = torch.tensor(config.states, device=heat.device)[label]
    beyond = torch.arange(heads.state.shape[2], device=heat.device) >= known[..., None]
    state = heads.state[at].masked_fill(beyond, -torch.inf).argmax(dim=2)
    state = torch.where(known > 0, state, UNKNOWN)
    return Found(score, label, torch.cat([start, end - start], dim=2), state)
