"""Our dispatch in any mixture of transformers: ``model.set_experts_implementation("assay")``.

Importing this module registers the name. It serves Mixtral, OLMoE, the Qwen mixtures and whatever
else keeps its experts in the usual way; what it would compute otherwise it refuses.
"""

from typing import Any

from jaxtyping import Float, Int64
from torch import Tensor, nn
from transformers import activations
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

from assay.errors import ParameterError
from assay.systems.mixture_of_experts.dispatch import ExpertWeights, apply_experts

__all__ = ["NAME", "assay_experts"]

NAME = "assay"
"""What `set_experts_implementation` is given."""
ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.SiLU: "silu",
    nn.ReLU: "relu",
    activations.SiLUActivation: "silu",
    activations.GELUActivation: "gelu",
    activations.NewGELUActivation: "gelu_new",
    activations.GELUTanh: "gelu_new",
}


def assay_experts(
    self: Any,
    hidden_states: Float[Tensor, "tokens width"],
    top_k_index: Int64[Tensor, "tokens choices"],
    top_k_weights: Float[Tensor, "tokens choices"],
) -> Float[Tensor, "tokens width"]:
    """The forward pass of a module of experts.

    Args:
        self: The module, as `use_experts_implementation` of transformers leaves it.
        hidden_states: Tokens.
        top_k_index: Their experts; one past the last stands for an expert that is elsewhere.
        top_k_weights: What these count.

    Raises:
        ParameterError: If its weights lie otherwise, or its activation is another.
    """
    activation = _activation(self)
    first = "gate_up_proj" if self.has_gate else "up_proj"
    up, down = getattr(self, first), self.down_proj
    weights = ExpertWeights(
        up,
        getattr(self, f"{first}_bias") if self.has_bias else None,
        down,
        self.down_proj_bias if self.has_bias else None,
        activation=activation,
        gated=self.has_gate,
    )
    here = top_k_index < len(up) if self._is_expert_parallel else None
    return apply_experts(hidden_states, top_k_index, top_k_weights, weights, kept=here)


def _activation(experts: Any) -> str:
    """The activation's name, once it is sure that all else is as usual."""
    function: Any = type(getattr(experts, "act_fn", None))
    usual_gate = type(experts)._apply_gate.__module__ == "transformers.integrations.moe"
    why = {
        "its matrices lie the other way round": experts.is_transposed,
        "gates and values take turns": experts.has_gate and not experts.is_concatenated,
        "it has a gate of its own": experts.has_gate and not usual_gate,
        "its outputs are normalised": experts.has_post_expert_norm,
        f"its activation is {function.__name__}": function not in ACTIVATIONS,
    }
    for what, holds in why.items():
        if holds:
            raise ParameterError(
                f"{type(experts).__name__} cannot be computed by {NAME!r}: {what}",
                next="Take 'grouped_mm' for this model.",
            )
    return ACTIVATIONS[function]


ALL_EXPERTS_FUNCTIONS.register(NAME, assay_experts)
