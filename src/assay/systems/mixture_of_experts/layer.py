"""A mixture of experts in the place of a feed-forward layer.

Notable in this file: the gate is computed in fp32 and keeps its weights in fp32 wherever the rest
of the model is put; with it a close choice between two experts does not turn on a rounding.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from assay.errors import StepError
from assay.systems.mixture_of_experts.dispatch import ExpertWeights, Kernel, mix
from assay.systems.mixture_of_experts.routing import Routing, RoutingPolicy, route

__all__ = ["Gate", "Mixture"]


class Gate(nn.Linear):
    """What the experts are chosen by: a matrix without bias, in fp32."""

    fp32 = True
    """The copy of a model that computes in bf16 leaves the weights as they are."""

    def __init__(self, width: int, experts: int) -> None:
        super().__init__(width, experts, bias=False)

    def forward(self, input: Float[Tensor, "tokens width"]) -> Float[Tensor, "tokens experts"]:
        """Logits in fp32, whatever the input and autocast."""
        with torch.autocast(input.device.type, enabled=False):
            return nn.functional.linear(input.float(), self.weight.float())


class Mixture(nn.Module):
    """A gate and as many feed-forward layers as it chooses from.

    Args:
        width: Width of the hidden states.
        inner: Width within an expert.
        experts: Number of experts.
        policy: How tokens find their experts.
        activation: Of the experts; see `dispatch.ExpertWeights`.
        bias: Whether their matrices have biases.
        kernel: How they are computed; see `dispatch`.
        layer: Number of the layer in its model, for messages.

    Attributes:
        last: Where the tokens of the last pass went. Its loss and weights have gradients.
    """

    def __init__(
        self,
        width: int,
        inner: int,
        experts: int,
        policy: RoutingPolicy,
        *,
        activation: str = "gelu",
        bias: bool = True,
        kernel: Kernel = "auto",
        layer: int = 0,
    ) -> None:
        super().__init__()
        self.policy, self.activation, self.layer = policy, activation, layer
        self.kernel: Kernel = kernel
        self.gate = Gate(width, experts)
        self.up = nn.Parameter(torch.empty(experts, inner, width))
        self.down = nn.Parameter(torch.empty(experts, width, inner))
        self.up_bias = nn.Parameter(torch.empty(experts, inner)) if bias else None
        self.down_bias = nn.Parameter(torch.empty(experts, width)) if bias else None
        self.last: Routing | None = None
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the weights anew, those of each expert as those of `nn.Linear`."""
        for weight, bias in ((self.up, self.up_bias), (self.down, self.down_bias)):
            bound = weight.shape[2] ** -0.5
            weight.uniform_(-bound, bound)
            if bias is not None:
                bias.uniform_(-bound, bound)

    def weights(self) -> ExpertWeights:
        """The experts, as `dispatch` takes them."""
        return ExpertWeights(
            self.up, self.up_bias, self.down, self.down_bias, activation=self.activation
        )

    def forward(
        self, hidden: Float[Tensor, "*rows width"], routed: Bool[Tensor, "*rows"] | None = None
    ) -> Float[Tensor, "*rows width"]:
        """The experts' answers to each token.

        Args:
            hidden: Hidden states.
            routed: Which are not padding; all if not given.

        Returns:
            Weighted sums; zero for padding and for tokens that every expert dropped.

        Raises:
            StepError: If the gate gives what is not a number.
        """
        tokens = hidden.flatten(0, -2)
        self.last = self.routing(tokens, routed)
        return mix(tokens, self.last, self.weights(), self.kernel).view(hidden.shape)

    def routing(
        self, tokens: Float[Tensor, "tokens width"], routed: Bool[Tensor, "*rows"] | None
    ) -> Routing:
        """Where the tokens go.

        Raises:
            StepError: If the gate gives what is not a number.
        """
        seen = None if routed is None else routed.flatten()
        try:
            return route(self.gate(tokens), self.policy, routed=seen, training=self.training)
        except StepError as error:
            raise error.at(f"mixture of layer {self.layer}") from error

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the last pass, whose graph can be neither copied nor written."""
        return {**self.__dict__, "last": None}

    def extra_repr(self) -> str:
        """The sizes."""
        experts, inner, width = self.up.shape
        return f"width={width}, inner={inner}, experts={experts}, {self.policy}"
