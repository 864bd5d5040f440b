"""How many floating-point operations a training step takes: counted, or by formula."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count


def training_flops(
    parameters: int, tokens: int, *, layers: int = 0, width: int = 0, length: int = 0
) -> int:
    """Operations of forward and backward pass of a transformer by formula.

    Six per parameter and token, two forward and four backward, and for the scores of attention and
    their use 12 x layers x width x length per token.

    Args:
        parameters: Parameters that take part in products: without tables that are only looked up.
        tokens: Tokens that pass through them.
        layers: Layers of attention.
        width: Their width.
        length: Keys that a query meets; half of it where attention is causal and skips the rest.

    Example:
        >>> training_flops(3_000_000, 2048) == 6 * 3_000_000 * 2048
        True
    """
    return tokens * (6 * parameters + 12 * layers * width * length)


class FlopMeter:
    """Counts the operations of a piece of work the first time it has a shape.

    Products, convolutions and attention count, forward and backward; all else does not.
    """

    def __init__(self) -> None:
        self.known: dict[Any, int] = {}

    @contextmanager
    def of(self, batch: Any) -> Iterator[None]:
        """Watch the work on a batch if none of its shape was seen before."""
        shape = shape_of(batch)
        if shape in self.known:
            yield
            return
        with FlopCounterMode(display=False, custom_mapping=_unknown_to_torch()) as counter:
            yield
        self.known[shape] = counter.get_total_flops()

    def __call__(self, batch: Any) -> int:
        """Operations on a batch of this shape."""
        return self.known[shape_of(batch)]


def shape_of(batch: Any) -> Any:
    """Shapes of all arrays and tensors in a batch, however they are nested."""
    if hasattr(batch, "shape"):
        return tuple(batch.shape)
    if isinstance(batch, dict):
        return tuple((name, shape_of(value)) for name, value in sorted(batch.items()))
    if isinstance(batch, list | tuple):
        return tuple(map(shape_of, batch))
    return ()


def _unknown_to_torch() -> dict[Any, Any]:
    """What torch's counter (2.13) does not know: the fused attention of CPUs.

    The way back of SiLU is not to be counted; torch would take it apart to look inside, and so
    compute a last bit differently in a step that is counted than in one that is not.
    """
    aten = torch.ops.aten

    def forward(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return sdpa_flop_count(query, key, value)

    def backward(_: Any, query: Any, key: Any, value: Any, *__: Any, **___: Any) -> int:
        return 5 * sdpa_flop_count(query, key, value) // 2  # five products for two

    return {
        aten._scaled_dot_product_flash_attention_for_cpu: forward,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: backward,
        aten.silu_backward.default: lambda *_, **__: 0,
    }
