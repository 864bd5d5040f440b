"""The experts as one function of autograd: padded segments, a product per expert, its own way back.

Tokens are sorted by expert, and each expert computes its whole chain (product, activation, product)
while its rows are in the cache. In bf16 a CPU prepares a product anew for every new shape, and
routing gives new shapes at every step; so segments are padded to a few round sizes.

Notable in this file: the tensors that hold the weights of all experts are never indexed under
autograd, which would make a gradient of their full size for every expert. Gradients are written
where they belong, once. An expert without tokens costs the zeros of its gradient.
"""

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from assay.systems.mixture_of_experts.dispatch import ExpertWeights

__all__ = ["ACTIVATIONS", "combined", "padded_experts"]


_ATEN = torch.ops.aten


class Activation(NamedTuple):
    """A function, and the gradient of its argument; both write into the last tensor they get."""

    of: Callable[[Tensor, Tensor], Tensor]
    """Of the argument."""
    back: Callable[[Tensor, Tensor, Tensor], Tensor]
    """Of the gradient and the argument."""


def _gelu(approximate: str) -> Activation:
    return Activation(
        lambda x, out: _ATEN.gelu.out(x, approximate=approximate, out=out),
        lambda g, x, out: _ATEN.gelu_backward.grad_input(
            g, x, approximate=approximate, grad_input=out
        ),
    )


ACTIVATIONS = {
    "gelu": _gelu("none"),
    "gelu_new": _gelu("tanh"),
    "relu": Activation(
        lambda x, out: _ATEN.relu.out(x, out=out),
        lambda g, x, out: _ATEN.threshold_backward.grad_input(g, x, 0, grad_input=out),
    ),
    "silu": Activation(
        lambda x, out: _ATEN.silu.out(x, out=out),
        lambda g, x, out: _ATEN.silu_backward.grad_input(g, x, grad_input=out),
    ),
}
"""Activations by name."""


class _Layout(NamedTuple):
    """Where everything is when tokens lie sorted by expert."""

    tokens: Int64[Tensor, " rows"]
    """The token in each row; any in the rows that fill up a segment."""
    rows: Int64[Tensor, " pairs"]
    """The row of each choice of each token; one past the last where the token was dropped."""
    sizes: list[int]
    """Rows of each expert."""


def padded_experts(
    hidden: Float[Tensor, "tokens width"],
    chosen: Int64[Tensor, "tokens choices"],
    shares: Float[Tensor, "tokens choices"],
    kept: Bool[Tensor, "tokens choices"] | None,
    experts: "ExpertWeights",
    *,
    dtype: torch.dtype,
    multiple: int,
) -> Float[Tensor, "tokens width"]:
    """Weighted sums of the experts' outputs. See `dispatch.apply_experts`.

    Args:
        hidden: Tokens.
        chosen: Their experts.
        shares: What these count.
        kept: Which of the pairs count at all; all if not given.
        experts: Weights, in their own precision.
        dtype: Precision of the products.
        multiple: Rows of a segment are padded to a multiple; to a power of two if there are fewer.
    """
    layout = _lay_out(chosen, kept, len(experts.up), multiple)
    tensors = experts.up, experts.up_bias, experts.down, experts.down_bias
    function = ACTIVATIONS[experts.activation]
    return _Experts.apply(hidden, shares, *tensors, layout, function, experts.gated, dtype)


def combined(y: Float[Tensor, "tokens choices width"], shares: Tensor) -> Tensor:
    """Weighted sums over the choices."""
    (first, *others), (weight, *weights) = y.unbind(1), shares[:, :, None].unbind(1)
    total = first * weight
    for other, share in zip(others, weights, strict=True):
        total = torch.addcmul(total, other, share)
    return total


# -- layout ---------------------------------------------------------------------------------------


def _lay_out(chosen: Tensor, kept: Tensor | None, experts: int, multiple: int) -> _Layout:
    """Sort the pairs of token and expert by expert, those that do not count last."""
    pairs = chosen.flatten() if kept is None else torch.where(kept, chosen, experts).flatten()
    counts = pairs.bincount(minlength=experts + 1)[:experts]
    sizes = [_round_size(count, multiple) for count in counts.tolist()]
    room = torch.tensor(sizes, device=pairs.device)
    before = (room - counts).cumsum(0) - (room - counts)  # rows that fill up earlier segments
    order = pairs.argsort(stable=True)[: int(counts.sum())]
    places = before.repeat_interleave(counts) + torch.arange(len(order), device=pairs.device)
    rows = torch.full_like(pairs, sum(sizes))
    rows[order] = places
    tokens = torch.zeros(sum(sizes), dtype=torch.int64, device=pairs.device)
    tokens[places] = order.div(chosen.shape[1], rounding_mode="floor")
    return _Layout(tokens, rows, sizes)


def _round_size(count: int, multiple: int) -> int:
    """Rows of a segment with so many tokens."""
    if count >= multiple:
        return -(-count // multiple) * multiple
    return 1 << (count - 1).bit_length() if count else 0


# -- there and back -------------------------------------------------------------------------------


class _Experts(torch.autograd.Function):
    """Gather, the experts, combine; and back."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, shares: Tensor, up: Tensor, up_bias: Tensor | None, down: Tensor,
        down_bias: Tensor | None, layout: _Layout, function: Activation, gated: bool,
        dtype: torch.dtype,
    ) -> Tensor:  # fmt: skip
        given = [None if t is None else t.dtype for t in (hidden, up, up_bias, down, down_bias)]
        up, down = up.to(dtype), down.to(dtype)
        up_bias, down_bias = (None if t is None else t.to(dtype) for t in (up_bias, down_bias))
        x = hidden.to(dtype).index_select(0, layout.tokens)
        before, active = x.new_empty(len(x), up.shape[1]), x.new_empty(len(x), down.shape[2])
        y = _with_a_row_of_zeros(x)
        of_experts = zip(
            *_segments(layout, x, before, active, y[:-1]),
            *_each(len(up), up, up_bias, down, down_bias),
            strict=True,
        )
        for x_, before_, active_, y_, up_, up_bias_, down_, down_bias_ in of_experts:
            if len(x_):
                _affine(x_, up_, up_bias_, before_)
                gate, value = before_.chunk(2, 1) if gated else (before_, None)
                after = function.of(gate, active_)
                _affine(after if value is None else after * value, down_, down_bias_, y_)
        y = y.index_select(0, layout.rows).view(*shares.shape, y.shape[1])
        ctx.save_for_backward(shares, up, down, x, before, active, y)
        ctx.layout, ctx.function, ctx.gated, ctx.dtypes = layout, function, gated, given
        return combined(y, shares.to(dtype)).to(hidden.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        shares, up, down, x, before, active, y = ctx.saved_tensors
        gradient = gradient.to(x.dtype)
        of_shares = (y * gradient[:, None]).sum(2, dtype=shares.dtype)
        of_y = _weighted_rows(gradient, shares, ctx.layout)
        of_x = _with_a_row_of_zeros(x)
        like = up, up[:, :, 0], down, down[:, :, 0]
        of_weights = [
            dtype and torch.empty(weight.shape, dtype=dtype, device=x.device)
            for weight, dtype in zip(like, ctx.dtypes[1:], strict=True)
        ]
        of_experts = zip(
            *_segments(ctx.layout, x, before, active, of_y, of_x[:-1]),
            *_each(len(up), up, down, *of_weights),
            strict=True,
        )
        for x_, before_, active_, of_y_, of_x_, up_, down_, *out in of_experts:
            if len(x_):
                back, after = _activate_back(of_y_ @ down_, before_, active_, ctx)
                _product(back.T, x_, out[0])
                _product(of_y_.T, after, out[2])
                torch.mm(back, up_, out=of_x_)
                for bias, of_rows in ((out[1], back), (out[3], of_y_)):
                    if bias is not None:
                        torch.sum(of_rows, 0, dtype=bias.dtype, out=bias)
            else:
                for empty in out:
                    if empty is not None:
                        empty.zero_()
        of_choices = of_x.index_select(0, ctx.layout.rows).view(y.shape).unbind(1)
        of_hidden = sum(of_choices[1:], start=of_choices[0]).to(ctx.dtypes[0])
        return of_hidden, of_shares, *of_weights, None, None, None, None


def _activate_back(
    gradient: Tensor, before: Tensor, active: Tensor, ctx: Any
) -> tuple[Tensor, Tensor]:
    """The gradient of what went into the activation, and what came out of it."""
    back = torch.empty_like(before)
    if not ctx.gated:
        return ctx.function.back(gradient, before, back), active
    (gate, value), (of_gate, of_value) = before.chunk(2, 1), back.chunk(2, 1)
    torch.mul(gradient, active, out=of_value)
    ctx.function.back(gradient.mul_(value), gate, of_gate)
    return back, active * value


def _weighted_rows(gradient: Tensor, shares: Tensor, layout: _Layout) -> Tensor:
    """The gradient of each row of the experts' output; 0 in rows that fill up."""
    weights = gradient.new_zeros(len(layout.tokens) + 1)
    weights[layout.rows] = shares.flatten().to(gradient.dtype)
    return gradient.index_select(0, layout.tokens).mul_(weights[:-1, None])


def _with_a_row_of_zeros(x: Tensor) -> Tensor:
    """Room for as many rows, and one of zeros after them: what a dropped token reads."""
    made = x.new_empty(len(x) + 1, x.shape[1])
    made[-1] = 0.0
    return made


def _segments(layout: _Layout, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Each tensor's rows, expert by expert."""
    return (tensor.split(layout.sizes) for tensor in tensors)


def _each(experts: int, *tensors: Tensor | None) -> Iterator[Any]:
    """Each tensor expert by expert; None for each where there is none."""
    return (repeat(None, experts) if t is None else t.unbind() for t in tensors)


def _affine(x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor) -> None:
    if bias is None:
        torch.mm(x, weight.T, out=out)
    else:
        torch.addmm(bias, x, weight.T, out=out)


def _product(left: Tensor, right: Tensor, out: Tensor) -> None:
    """A product, put where it belongs in the precision it has there."""
    if out.dtype == left.dtype:
        torch.mm(left, right, out=out)
    else:
        out.copy_(left @ right)
