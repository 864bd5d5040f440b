"""Which precision a model is trained in, and the copy of it that computes in bf16.

What `auto` goes by was measured on one thread, whole steps in fp32 against those in bf16 with an
fp32 copy of the weights. On a core with AMX transformers 128 to 256 wide were 1.4 to 2.3 times as
fast, those 64 wide 1.1 to 1.4 times; on one that has only the bf16 products of AVX-512, 1.6 to 1.8
times and 1.2 times. It is a rule and not a trial run, so that a run takes the same path when it is
repeated on the same machine.
"""

import copy
from typing import Literal, NamedTuple

import torch
from torch import nn

from assay.errors import ParameterError
from assay.parts.training.recipe import Precision

WIDTH = 128
"""Width of embedding from which products in bf16 pay for their conversions."""


class Choice(NamedTuple):
    """A precision and why it was taken."""

    precision: Literal["fp32", "bf16"]
    reason: str


def choose(model: nn.Module, asked: Precision) -> Choice:
    """The precision asked for, or for ``auto`` the one that is faster here.

    Raises:
        ParameterError: If the model's weights are not fp32.
    """
    others = {p.dtype for p in model.parameters() if p.requires_grad} - {torch.float32}
    if others:
        raise ParameterError(
            f"the model's weights are {', '.join(map(str, others))}",
            accepted="float32; the recipe says what is computed in bf16",
        )
    if asked != "auto":
        return Choice(asked, "asked for")
    device = next(model.parameters()).device
    if not fast_bf16(device):
        return Choice("fp32", f"this {device.type} has no fast bf16")
    width = max(
        (m.embedding_dim for m in model.modules() if isinstance(m, nn.Embedding)), default=0
    )
    if not width:
        return Choice("fp32", "the model has no embedding, and its inputs may be fp32")
    if width < WIDTH:
        return Choice("fp32", f"an embedding {width} wide; bf16 is faster from {WIDTH}")
    return Choice("bf16", f"an embedding {width} wide; bf16 is faster from {WIDTH}")


def fast_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bf16 faster than fp32: a GPU or a core that says so."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    has = torch.cpu.get_capabilities()
    return any(has.get(products, False) for products in ("amx_bf16", "avx512_bf16"))


def bf16_copy(model: nn.Module) -> nn.Module:
    """The same model with its parameters in bf16.

    Buffers (statistics, angles) stay as they are, and so do batch norms, which go by their own, and
    modules with an attribute ``fp32`` that is true, for their parameters but not those of the
    modules in them.
    """
    copied = copy.deepcopy(model)
    for module in copied.modules():
        kept = isinstance(module, nn.modules.batchnorm._BatchNorm) or getattr(module, "fp32", False)
        if not kept:
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(torch.bfloat16)
    return copied
