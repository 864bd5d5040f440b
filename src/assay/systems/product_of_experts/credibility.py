"""Where a score of credibility comes from: a network of its own, or a head on the encoder.

The paper's separate network shares nothing with the encoder. The other ways are there to find out
what that is worth: a head on what the encoder sees before its last layer, with a gradient into the
encoder or, *stopped*, without one; and one score for a whole sensor instead of one per dimension.
"""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.systems.product_of_experts.choices import CredibilityName
from assay.systems.product_of_experts.model import perceptron

__all__ = ["credibility_net"]


def credibility_net(
    how: CredibilityName,
    encoder: nn.Module,
    *,
    inputs: int,
    latent: int,
    width: int,
    scalar: bool = False,
) -> nn.Module:
    """A network that scores how credible a sensor is.

    Args:
        how: ``own``, a network of its own; ``shared``, a head on the encoder; ``stopped``, the
            same without a gradient into the encoder.
        encoder: The encoder, from `model.perceptron`.
        inputs: Numbers of the sensor.
        latent: Size of the latent state.
        width: Width of the encoder and of a network of its own.
        scalar: Whether one score stands for all dimensions.

    Returns:
        From ``[batch inputs]`` to ``[batch latent]``, 0 at first.
    """
    scores = 1 if scalar else latent
    net = (
        perceptron(inputs, scores, width)
        if how == "own"
        else _Head(encoder, scores, width, stopped=how == "stopped")
    )
    return nn.Sequential(net, _Repeated(latent)) if scalar else net


class _Head(nn.Module):
    """A layer on the hidden values of an encoder, which stay the encoder's own."""

    def __init__(self, encoder: nn.Module, outputs: int, width: int, *, stopped: bool) -> None:
        super().__init__()
        # In a tuple no module is registered: its weights would be saved, and counted, twice.
        self.below = (cast(nn.Sequential, encoder.get_submodule("curve")),)
        self.stopped = stopped
        self.last = nn.Linear(width, outputs)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, values: Float[Tensor, "batch input"]) -> Float[Tensor, "batch score"]:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.stopped):
            for layer in list(self.below[0])[:-1]:
                values = layer(values)
        return self.last(values)


class _Repeated(nn.Module):
    """One number for every dimension."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.latent = latent

    def forward(self, score: Float[Tensor, "batch 1"]) -> Float[Tensor, "batch latent"]:
        return score.expand(-1, self.latent)
