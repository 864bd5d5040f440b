"""Small convolutional networks for images: encoders, credibility networks, decoders.

An encoder and a credibility network of a modality are two networks of one build that share nothing.
Three strides of 2 bring a picture to a grid of patches 8 pixels wide. Then either all patches
together tell one latent vector, or, with ``spatial``, each tells numbers of its own: the latent
state is then a small map, and credibility is a matter of the place too, as where smoke covers one
corner of a picture.

Every network brings the values of its modality to mean 0 and standard deviation 1 per channel
first, by figures that `standardise` takes from the training samples and that lie with the weights.
Convolutions begin with weights that keep the size of what they pass on (He et al. 2015): with
torch's own a fiftieth of the differences between pictures is left after three layers. Where all
patches tell one vector, groups of channels are normalised after each convolution (Wu and He 2018).
In a map that would let a patch see the whole picture; there means begin as something, for a decoder
that is shown noise alone learns to do without. All else in a last layer begins at 0, so that every
expert begins as unsure as the prior and every weight equal.
"""

import math
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from assay.errors import ParameterError
from assay.systems.product_of_experts.choices import PriorName
from assay.systems.product_of_experts.fusion import weighting_named
from assay.systems.product_of_experts.model import FusionModel, Seen

__all__ = ["PATCH", "STACKED", "image_fusion", "stacked", "standardise"]

PATCH = 8
"""Pixels across a patch: three strides of 2."""
GROUPS = 4
"""In which channels are normalised; 2 or 1 where 4 do not go into them."""
STACKED = "stacked"
"""The one modality of early fusion."""


def image_fusion(
    channels: Mapping[str, int],
    *,
    size: tuple[int, int],
    latent: int = 32,
    points: int = 0,
    classes: int = 0,
    weighting: str = "learned",
    prior: PriorName = "none",
    width: int = 16,
    spatial: bool = False,
) -> FusionModel:
    """A model of modalities that are images, untrained.

    Args:
        channels: Channels of each modality, by name, in the order of the model.
        size: Height and width of all of them (pixels), multiples of 8.
        latent: Numbers of the latent state; with ``spatial`` those of each patch of 8 by 8 pixels,
            along the last axis in the order number, row, column.
        points: Points in space that are decoded as ``points`` ``[*place point 3]``; 0 for none.
        classes: Classes whose logits are decoded as ``classes`` ``[*place class height width]``;
            0 for none, else 2 or more.
        weighting: A name of `fusion.WEIGHTINGS`.
        prior: Whether the standard normal is an expert too.
        width: Channels after the first stride; they double with each of the next two.
        spatial: Whether the latent state is a map.

    Raises:
        ParameterError: If a size is no multiple of 8, a number is too small, or there is no such
            weighting.

    Example:
        >>> model = image_fusion({"color": 3, "depth": 1}, size=(16, 24), latent=4, points=21)
        >>> seen = Seen({"color": torch.zeros(2, 3, 16, 24), "depth": torch.zeros(2, 1, 16, 24)})
        >>> tuple(model.decode(model.belief(seen).gaussian.mean)["points"].shape)
        (2, 21, 3)
    """
    _require_sizes(channels, size, latent, width, points, classes)
    grid = size[0] // PATCH, size[1] // PATCH
    trusted = channels if weighting_named(weighting).scores == "input" else {}
    each = {"width": width, "grid": grid, "spatial": spatial}
    numbers = latent * math.prod(grid) if spatial else latent
    decoders: dict[str, nn.Module] = {}
    if points:
        decoders["points"] = _point_decoder(numbers, points, 8 * width)
    if classes:
        decoders["classes"] = _ClassDecoder(latent, classes, **each)
    return FusionModel(
        {
            name: _ImageNet(count, 2 * latent, means=latent if spatial else 0, **each)
            for name, count in channels.items()
        },
        {name: _ImageNet(count, latent, **each) for name, count in trusted.items()},
        decoders,
        latent=numbers,
        weighting=weighting,
        prior=prior,
        sizes={name: (count, *size) for name, count in channels.items()},
    )


def _require_sizes(
    channels: Mapping[str, int], size: tuple[int, int], latent: int, width: int, points: int,
    classes: int,
) -> None:  # fmt: skip
    def require(name: str, value: object, holds: bool, accepted: str) -> None:
        if not holds:
            raise ParameterError(f"{value} is refused", where=f"images.{name}", accepted=accepted)

    whole = all(side >= PATCH and side % PATCH == 0 for side in size)
    require("size", f"{size[0]} by {size[1]}", whole, f"multiples of {PATCH} pixels")
    for name, count in channels.items():
        require(f"channels of {name!r}", count, count >= 1, "1 or more")
    require("latent", latent, latent >= 1, "1 or more")
    require("width", width, width >= 1, "1 or more")
    require("points", points, points >= 0, "0 or more")
    require("classes", classes, classes == 0 or classes >= 2, "0, or 2 or more")


@torch.no_grad()
def standardise(
    model: FusionModel,
    inputs: Mapping[str, Float[np.ndarray, "sample channel height width"]],
    present: Mapping[str, Bool[np.ndarray, " sample"]] | None = None,
) -> None:
    """Tell the networks of each modality what mean and standard deviation its channels have.

    Args:
        model: From `image_fusion`; changed in place.
        inputs: The training samples of each modality, clean.
        present: Which of them are there; all if not given.
    """
    for name, encoder in model.encoders.items():
        shown = inputs[name] if present is None else inputs[name][present[name]]
        if not len(shown):
            continue
        mean = shown.mean((0, 2, 3), dtype=np.float64)
        sd = np.sqrt(np.square(shown - mean[:, None, None]).mean((0, 2, 3), dtype=np.float64))
        nets = [encoder, *([model.credibility[name]] if name in model.credibility else [])]
        for net in nets:
            net.get_buffer("middle").copy_(torch.from_numpy(mean)[:, None, None])
            spread = torch.from_numpy(np.where(sd > 0, sd, 1.0))
            net.get_buffer("spread").copy_(spread[:, None, None])


def stacked(seen: Seen) -> Seen:
    """The modalities as one, channel after channel in their order: what early fusion sees.

    A modality that is missing is all zeros, which nothing tells from black.
    """
    shown = list(seen.inputs.values())
    if seen.present is None:
        return Seen({STACKED: torch.cat(shown, 1)})
    kept = [
        torch.where(there[:, None, None, None], values, torch.zeros_like(values))
        for values, there in zip(shown, seen.present, strict=True)
    ]
    return Seen({STACKED: torch.cat(kept, 1)}, seen.present.any(0, keepdim=True))


# -- networks -------------------------------------------------------------------------------------


class _ImageNet(nn.Module):
    """From a picture to numbers: of all of it, or of each patch."""

    middle: Tensor
    spread: Tensor

    def __init__(
        self, channels: int, outputs: int, width: int, grid: tuple[int, int], spatial: bool,
        means: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.register_buffer("middle", torch.zeros(channels, 1, 1))
        self.register_buffer("spread", torch.ones(channels, 1, 1))
        widths = [channels, width, 2 * width, 4 * width]
        steps: list[nn.Module] = []
        for before, after in pairwise(widths):
            convolution = nn.Conv2d(before, after, 3, stride=2, padding=1)
            _begin(convolution)
            whole = [] if spatial else [nn.GroupNorm(math.gcd(GROUPS, after), after)]
            steps += [convolution, *whole, nn.SiLU()]
        last = (
            nn.Conv2d(widths[-1], outputs, 1)
            if spatial
            else nn.Linear(widths[-1] * math.prod(grid), outputs)
        )
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # pyright: ignore[reportArgumentType]
        if means:
            nn.init.kaiming_normal_(last.weight[:means], nonlinearity="linear")
        self.steps = nn.Sequential(*steps)
        self.flat, self.last = nn.Identity() if spatial else nn.Flatten(), last

    def forward(
        self, image: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch number"]:
        found = self.steps((image - self.middle) / self.spread)
        return self.last(self.flat(found)).flatten(1)


def _begin(convolution: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Give a convolution that is followed by an activation its first weights."""
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    nn.init.zeros_(convolution.bias)  # pyright: ignore[reportArgumentType]


def _point_decoder(latent: int, points: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(latent, width),
        nn.SiLU(),
        nn.Linear(width, width),
        nn.SiLU(),
        nn.Linear(width, 3 * points),
        nn.Unflatten(-1, (points, 3)),
    )


class _ClassDecoder(nn.Module):
    """From a latent state to logits of each pixel, by three strides of 2 back."""

    def __init__(
        self, latent: int, classes: int, width: int, grid: tuple[int, int], spatial: bool
    ) -> None:
        super().__init__()
        begin = (
            [nn.Unflatten(-1, (latent, *grid)), nn.Conv2d(latent, 4 * width, 3, padding=1)]
            if spatial
            else [
                nn.Linear(latent, 4 * width * math.prod(grid)),
                nn.Unflatten(-1, (4 * width, *grid)),
            ]
        )
        steps: list[nn.Module] = [*begin, nn.SiLU()]
        for before, after in ((4 * width, 2 * width), (2 * width, width)):
            steps += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1), nn.SiLU()]
        for step in steps:
            if isinstance(step, nn.Conv2d | nn.ConvTranspose2d):
                _begin(step)
        steps.append(nn.ConvTranspose2d(width, classes, 4, stride=2, padding=1))
        self.steps = nn.Sequential(*steps)

    def forward(
        self, latent: Float[Tensor, "*place latent"]
    ) -> Float[Tensor, "*place class height width"]:
        found = self.steps(latent.reshape(-1, latent.shape[-1]))
        return found.reshape(*latent.shape[:-1], *found.shape[1:])
