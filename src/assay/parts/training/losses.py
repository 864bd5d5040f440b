"""Losses as sums with the number of terms, so that batches of any size can be put together.

Notable in this file: logits are made only where a target counts, in one buffer that turns into
their own gradient in place. Nothing of the size of rows x vocabulary is kept for the way back.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - as everybody calls it
from torch import Tensor
from torch.autograd.function import once_differentiable

CACHED = 2**18
"""Elements of a block whose softmax is made in fp32; small enough for a core's own cache."""
STATIC = 64
"""Rows are padded to a multiple: a bf16 product on a CPU prepares anew for every new shape."""


class Loss(NamedTuple):
    """A loss before it is divided.

    Attributes:
        total: Sum over tokens, cells or whatever the loss counts; fp32, with a gradient.
        count: How many there were.
    """

    total: Tensor
    count: int | Tensor  # type: ignore[assignment]


def token_loss(
    hidden: Tensor,
    head_weight: Tensor | None,
    targets: Tensor,
    *,
    bias: Tensor | None = None,
    ignore: int = -100,
    smoothing: float = 0.0,
    chunk: int | None = None,
) -> Loss:
    """Cross-entropy of the next tokens from the last hidden states, in nats.

    Args:
        hidden: Last hidden states ``[..., width]``; logits ``[..., vocabulary]`` if there is no
            head weight.
        head_weight: Output embedding ``[vocabulary, width]``, or ``None``.
        targets: Ids ``[...]``; nothing is shifted here.
        bias: Bias of the logits ``[vocabulary]``.
        ignore: The target that does not count.
        smoothing: Share of the target spread over the vocabulary, in [0, 1): label smoothing as
            in Szegedy et al. 2016, section 7.
        chunk: Rows whose logits are in memory at a time; all if not given. Fewer take longer.

    Returns:
        The sum over the targets that count and their number; the gradient is that of the sum.
    """
    rows, wanted, count = _counting_rows(hidden, targets, ignore)
    if head_weight is None:
        logits = rows if bias is None else rows + bias
        kept = F.cross_entropy(
            logits[:count].float(), wanted[:count], reduction="sum", label_smoothing=smoothing
        )
        return Loss(kept, count)
    size = max(len(rows), 1) if chunk is None else chunk
    total = _LinearCrossEntropy.apply(rows, head_weight, bias, wanted, count, smoothing, size)
    return Loss(total, count)


def _counting_rows(hidden: Tensor, targets: Tensor, ignore: int) -> tuple[Tensor, Tensor, int]:
    """Rows whose target counts, first; a few of the others after them to fill up the shape."""
    rows, wanted = hidden.flatten(0, -2), targets.flatten().long()
    counts = wanted != ignore
    count = int(counts.sum())
    if count == len(wanted):
        return rows, wanted, count
    padded = min(len(wanted), -(-count // STATIC) * STATIC)
    chosen = torch.argsort(counts.logical_not(), stable=True)[:padded]
    return rows.index_select(0, chosen), wanted[chosen], count


class _LinearCrossEntropy(torch.autograd.Function):
    """Logits, their loss and both gradients, chunk by chunk, in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, wanted: Tensor, count: int,
        smoothing: float, chunk: int,
    ) -> Tensor:  # fmt: skip
        total = torch.zeros((), dtype=torch.float32, device=rows.device)
        graded = any(ctx.needs_input_grad)
        of_rows = torch.empty_like(rows) if graded else None
        one = len(rows) <= chunk
        of_weight = torch.zeros_like(weight, dtype=weight.dtype if one else torch.float32)
        of_bias = None if bias is None else torch.zeros_like(bias, dtype=torch.float32)
        for begin in range(0, len(rows), chunk):
            part = slice(begin, begin + chunk)
            logits = F.linear(rows[part], weight, bias)
            total += _into_gradient(logits, wanted[part], count - begin, smoothing)
            if of_rows is not None:
                torch.mm(logits, weight, out=of_rows[part])
                if one:
                    torch.mm(logits.T, rows, out=of_weight)
                else:
                    of_weight += logits.T @ rows[part]
            if of_bias is not None:
                of_bias += logits.sum(0, dtype=torch.float32)
        if graded:
            ctx.save_for_backward(of_rows, of_weight.to(weight.dtype), of_bias)
            ctx.bias_dtype = None if bias is None else bias.dtype
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        of_rows, of_weight, of_bias = ctx.saved_tensors
        if of_bias is not None:
            of_bias = (of_bias * scale).to(ctx.bias_dtype)
        if scale != 1.0:
            of_rows, of_weight = of_rows * scale.to(of_rows), of_weight * scale.to(of_weight)
        return of_rows, of_weight, of_bias, None, None, None, None


def _into_gradient(logits: Tensor, wanted: Tensor, count: int, smoothing: float) -> Tensor:
    """Sum of the losses of the first ``count`` rows; the logits become its gradient."""
    total = torch.zeros((), dtype=torch.float32, device=logits.device)
    vocabulary = logits.shape[1]
    step = max(CACHED // vocabulary, 1)
    for begin in range(0, min(count, len(logits)), step):
        part = slice(begin, min(begin + step, count))
        target = wanted[part, None]
        log_p = torch.log_softmax(logits[part], 1, dtype=torch.float32)
        total -= (1.0 - smoothing) * log_p.gather(1, target).sum()
        if smoothing:
            total -= smoothing / vocabulary * log_p.sum()
        gradient = log_p.exp_()
        if smoothing:
            gradient -= smoothing / vocabulary
        gradient.scatter_add_(1, target, gradient.new_full(target.shape, smoothing - 1.0))
        logits[part] = gradient
    logits[max(count, 0) :] = 0.0
    return total
