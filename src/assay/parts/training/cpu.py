"""What torch is slow at on a CPU, done otherwise while a step is taken; and dropout switched off.

Two functions are replaced by their equals for whatever calls them, own models and those of
transformers alike. The way back through `scaled_dot_product_attention` in bf16 takes up to ten
times as long as that of the plain formula (torch 2.13, rows of 128 tokens), and `dropout` draws one
random number for each value where 16 bits of one will do. What torch itself calls, as within
`nn.MultiheadAttention`, stays as it is.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.overrides import TorchFunctionMode

LARGEST = 1024 * 1024
"""Scores of a head up to which the plain formula is taken: it keeps all of them."""
OTHERS = {F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout}


class OnCpu(TorchFunctionMode):
    """While entered, attention and dropout are computed by the functions below.

    Args:
        dropout: Whether there is dropout at all; without it every share dropped is 0.
    """

    def __init__(self, *, dropout: bool = True) -> None:
        super().__init__()
        self.dropout = dropout

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Replace the two functions, leave all others."""
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self._attention(*args, **kwargs)
        if func is F.dropout:
            return self._dropout(*args, **kwargs)
        if not self.dropout and func in OTHERS:
            return kwargs["input"] if "input" in kwargs else args[0]
        if not self.dropout and func is F.multi_head_attention_forward:
            kwargs = inspect.signature(func).bind(*args, **kwargs).arguments | {"dropout_p": 0.0}
            return func(**kwargs)
        return func(*args, **kwargs)

    def _attention(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
        dropout_p: float = 0.0, is_causal: bool = False, **other: Any,
    ) -> Tensor:  # fmt: skip
        p = dropout_p if self.dropout else 0.0
        small = query.shape[-2] * key.shape[-2] <= LARGEST
        slow = query.device.type == "cpu" and query.dtype == torch.bfloat16
        if slow and small and not other.get("enable_gqa"):
            scale = other.get("scale")
            return plain_attention(
                query, key, value, mask=attn_mask, p=p, causal=is_causal, scale=scale
            )
        return F.scaled_dot_product_attention(query, key, value, attn_mask, p, is_causal, **other)

    def _dropout(
        self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        if not (training and self.dropout and p > 0.0):
            return input
        if input.device.type != "cpu" or p >= 1.0 or inplace:
            return F.dropout(input, p, training, inplace)
        return fast_dropout(input, p)


def plain_attention(
    query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None = None, p: float = 0.0,
    causal: bool = False, scale: float | None = None,
) -> Tensor:  # fmt: skip
    """Scaled dot-product attention by its formula (Vaswani et al. 2017, equation 1).

    Args:
        query: Queries ``[..., queries, width]``.
        key: Keys ``[..., keys, width]``.
        value: Values ``[..., keys, value width]``.
        mask: True where a query may look, or a number that is added to the score; broadcasts to
            ``[..., queries, keys]``.
        p: Share of the attention that is dropped.
        causal: Query i looks at the keys up to i.
        scale: Factor of the scores; 1 over the root of the width if not given.

    Returns:
        ``[..., queries, value width]``; zero for a query that may look nowhere.
    """
    scale = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = torch.matmul(query * scale, key.transpose(-2, -1))
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril_()
    if mask is None:
        shares = scores.softmax(-1)
    else:
        hidden = mask.logical_not() if mask.dtype == torch.bool else mask == -math.inf
        if mask.dtype != torch.bool:
            scores = scores + mask.masked_fill(hidden, 0.0).to(scores.dtype)
        lowest = torch.finfo(scores.dtype).min
        shares = scores.masked_fill(hidden, lowest).softmax(-1)
        if not causal:
            shares = shares.masked_fill(hidden, 0.0)
    return torch.matmul(fast_dropout(shares, p) if p else shares, value)


def fast_dropout(input: Tensor, p: float) -> Tensor:
    """Dropout whose mask takes 16 bits a value from torch's generator.

    Args:
        input: Any tensor.
        p: Share that is set to zero, in [0, 1), rounded to 1/65536; the rest is divided by what
            is left.
    """
    threshold = min(round(p * 2**16), 2**16 - 1)
    words = torch.empty(-(-input.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    bits = words.view(torch.int16)[: input.numel()].view(input.shape)
    kept = (bits >= threshold - 2**15).to(input.dtype)
    return input * kept.mul_(2**16 / (2**16 - threshold))
