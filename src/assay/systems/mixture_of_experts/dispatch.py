"""Dispatch: tokens go to their experts, through them, and come back as one.

    out[t] = sum over choices j of weight[t, j] * expert[t, j](hidden[t])

Three ways that give the same numbers:

* ``one_hot``, the reference, as the paper's implementation does it: tables of tokens x experts x
  places say who sits where, and products with them carry the tokens. Its cost is quadratic in the
  tokens.
* ``grouped``: tokens sorted by expert, torch's `grouped_mm` over the groups.
* ``padded``: the same, one product per expert, with a way back of its own (`padded.py`).

Which one is taken, and why, is said at `fastest`.
"""

from functools import partial
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as everyone calls it

from assay.errors import ParameterError
from assay.systems.mixture_of_experts.padded import combined, padded_experts
from assay.systems.mixture_of_experts.routing import Routing

__all__ = ["ExpertWeights", "Kernel", "apply_experts", "fastest", "mix"]

Kernel = Literal["auto", "one_hot", "grouped", "padded"]
LOW = (torch.bfloat16, torch.float16)
MANY = 32
"""Experts from which segments are so short that less padding pays."""
FUNCTIONS = {
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
}


class ExpertWeights(NamedTuple):
    """The weights of E feed-forward layers, one after another in each tensor."""

    up: Float[Tensor, "experts inner width"]
    """If gated, ``inner`` is twice that of ``down``: the gates and then what they open."""
    up_bias: Float[Tensor, "experts inner"] | None
    down: Float[Tensor, "experts width half"]
    down_bias: Float[Tensor, "experts width"] | None
    activation: str = "gelu"
    """"gelu", "gelu_new" (by tanh), "relu" or "silu"."""
    gated: bool = False
    """Whether the activation of one half of ``up`` multiplies the other (SwiGLU)."""


def mix(
    hidden: Float[Tensor, "tokens width"],
    routing: Routing,
    weights: ExpertWeights,
    kernel: Kernel = "auto",
) -> Float[Tensor, "tokens width"]:
    """What the experts make of the tokens that were routed to them.

    Args:
        hidden: Tokens.
        routing: Where they go.
        weights: Of the experts.
        kernel: How it is computed.

    Returns:
        Weighted sums, zero for a token that no expert took; in the precision of ``hidden``.
    """
    return apply_experts(
        hidden, routing.experts, routing.weights, weights, kept=routing.kept, kernel=kernel
    )


def apply_experts(
    hidden: Float[Tensor, "tokens width"],
    chosen: Int64[Tensor, "tokens choices"],
    shares: Float[Tensor, "tokens choices"],
    weights: ExpertWeights,
    *,
    kept: Bool[Tensor, "tokens choices"] | None = None,
    kernel: Kernel = "auto",
) -> Float[Tensor, "tokens width"]:
    """The same from experts and weights that come from elsewhere.

    Products are in the precision of autocast, else in that of the weights unless they are fp32,
    else in that of ``hidden``.

    Args:
        hidden: Tokens.
        chosen: The experts of each.
        shares: What their outputs count.
        weights: Of the experts.
        kept: Pairs that count; all if not given.
        kernel: How it is computed.

    Raises:
        ParameterError: If the activation or the kernel is not known.
    """
    if weights.activation not in FUNCTIONS:
        raise ParameterError(
            f"the activation {weights.activation!r}", accepted=f"one of {tuple(FUNCTIONS)}"
        )
    dtype, device = _precision(hidden, weights), hidden.device.type
    if kernel == "auto":
        kernel = fastest(device, dtype, torch.is_grad_enabled())
    if kernel == "padded":
        multiple = padding(dtype, len(weights.up))
        return padded_experts(hidden, chosen, shares, kept, weights, dtype=dtype, multiple=multiple)
    if kernel not in ("one_hot", "grouped"):
        raise ParameterError(f"the kernel {kernel!r}", accepted=f"one of {get_args(Kernel)}")
    ways = {"one_hot": _one_hot, "grouped": _grouped}
    kept = torch.ones_like(chosen, dtype=torch.bool) if kept is None else kept
    with torch.autocast(device, enabled=False):
        low = weights._replace(
            **{k: t.to(dtype) for k, t in weights._asdict().items() if isinstance(t, Tensor)}
        )
        out = ways[kernel](hidden.to(dtype), chosen, shares.to(dtype), low, kept)
    return out.to(hidden.dtype)


def fastest(device_type: str, dtype: torch.dtype, training: bool) -> Literal["grouped", "padded"]:
    """The kernel that was measured to be the fastest (`benchmarks/mixture_of_experts.py`).

    On a CPU "padded": in bf16 at all times, in fp32, where nothing is padded, on the way there and
    back. In fp32 without a way back the two are alike for thousands of tokens, and for a few, as in
    generation, "grouped" is faster by 10 to 40 %. On a GPU, where nothing was measured, "grouped"
    is one kernel and "padded" one per expert.

    Args:
        device_type: "cpu" or "cuda".
        dtype: Precision of the products.
        training: Whether there is a way back.
    """
    return "padded" if device_type == "cpu" and (training or dtype in LOW) else "grouped"


def padding(dtype: torch.dtype, experts: int) -> int:
    """Rows to a multiple of which segments are padded; 1 for no padding."""
    if dtype not in LOW:
        return 1
    return 64 if experts < MANY else 32


def _precision(hidden: Tensor, weights: ExpertWeights) -> torch.dtype:
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return hidden.dtype if weights.up.dtype == torch.float32 else weights.up.dtype


# -- the reference --------------------------------------------------------------------------------


def _one_hot(
    hidden: Tensor, chosen: Tensor, shares: Tensor, weights: ExpertWeights, kept: Tensor
) -> Tensor:
    """Tables [tokens, experts, places]: 1 (or what it counts) where a token sits."""
    tokens, choices = chosen.shape
    experts = len(weights.up)
    one = F.one_hot(chosen, experts) * kept[:, :, None]  # [tokens, choices, experts]
    queue = one.transpose(0, 1).flatten(0, 1)
    place = (queue.cumsum(0) * queue).sum(1).view(choices, tokens).T - 1
    seats = F.one_hot(place.clamp_min(0), int(place.max()) + 1 if kept.any() else 1)
    table = one[:, :, :, None] * seats[:, :, None, :]
    dispatch = table.sum(1).to(hidden.dtype)
    combine = (table * shares[:, :, None, None]).sum(1)
    x = torch.einsum("sec,sm->ecm", dispatch, hidden)
    x = _activated(_plus(torch.einsum("ecm,efm->ecf", x, weights.up), weights.up_bias), weights)
    y = _plus(torch.einsum("ecf,emf->ecm", x, weights.down), weights.down_bias)
    return torch.einsum("sec,ecm->sm", combine, y)


def _plus(x: Tensor, biases: Tensor | None) -> Tensor:
    return x if biases is None else x + biases[:, None]


def _activated(x: Tensor, weights: ExpertWeights) -> Tensor:
    function = FUNCTIONS[weights.activation]
    if not weights.gated:
        return function(x)
    gate, value = x.chunk(2, -1)
    return function(gate) * value


# -- groups ---------------------------------------------------------------------------------------


def _grouped(
    hidden: Tensor, chosen: Tensor, shares: Tensor, weights: ExpertWeights, kept: Tensor
) -> Tensor:
    """Tokens sorted by expert, and products over the groups."""
    experts = len(weights.up)
    pairs = torch.where(kept, chosen, experts).flatten()
    ordered, order = pairs.sort(stable=True)
    sizes = pairs.bincount(minlength=experts + 1)[:experts]
    count = int(sizes.sum())
    ordered, taken = ordered[:count], order[:count]
    x = hidden.index_select(0, taken.div(chosen.shape[1], rounding_mode="floor"))
    x = _activated(_of_groups(x, weights.up, weights.up_bias, ordered, sizes), weights)
    y = _of_groups(x, weights.down, weights.down_bias, ordered, sizes)
    y = torch.cat([y, y.new_zeros(1, y.shape[1])])  # what a dropped token reads
    rows = torch.full_like(pairs, count)
    rows[taken] = torch.arange(count, device=rows.device)
    return combined(y.index_select(0, rows).view(*chosen.shape, y.shape[1]), shares)


def _of_groups(
    x: Tensor, weight: Tensor, biases: Tensor | None, ordered: Tensor, sizes: Tensor
) -> Tensor:
    """A product for each group of rows."""
    aligned = not any(n * x.element_size() % 16 for n in weight.shape[1:])
    if aligned and x.dtype != torch.float64 and len(x):
        offsets = sizes.cumsum(0, dtype=torch.int32)
        out = F.grouped_mm(x, weight.transpose(1, 2), offs=offsets)
    else:
        parts = zip(x.split(sizes.tolist()), weight.unbind(), strict=True)
        out = torch.cat([part @ w.T for part, w in parts])
    return out if biases is None else out + biases.index_select(0, ordered)
