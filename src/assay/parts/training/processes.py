"""The processes that train one model together, and how its weights are spread over them.

Without a process group there is one process and everything here does nothing. Replicated, every
process holds the model and they add up their gradients once a step, in fp32: what
DistributedDataParallel does, but for any number of micro-batches each and with every token of equal
weight. Sharded (FSDP2), every process holds a part of each weight and of the optimiser's state.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from assay.parts.training.losses import Loss
from assay.parts.training.recipe import Precision

LossFunction = Callable[[nn.Module, Any], Loss]


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def add_up(tensor: Tensor) -> Tensor:
    """The sum of a tensor over the processes, in place and in each of them."""
    if size() > 1:
        dist.all_reduce(tensor)
    return tensor


@torch.no_grad()
def start_alike(model: nn.Module) -> None:
    """Give every process the weights and buffers of the first."""
    if size() > 1:
        for tensor in (*model.parameters(), *model.buffers()):
            dist.broadcast(tensor, 0)


class _Scored(nn.Module):
    """A model with its loss, so that whatever the loss calls happens inside one forward pass."""

    def __init__(self, model: nn.Module, loss: LossFunction) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Any) -> Loss:
        return self.loss(self.model, batch)


def shard(
    model: nn.Module, loss: LossFunction, precision: Precision
) -> tuple[nn.Module, Callable[[Any], Loss]]:
    """A copy of a model whose weights are spread over the processes, and its loss of a batch.

    Each member of a ModuleList (a layer, as a rule) is gathered when it is its turn, everything
    else at the beginning of the pass. Gradients are summed in fp32.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    scored = _Scored(copy.deepcopy(model), loss)
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if precision == "bf16" else None, reduce_dtype=torch.float32
    )
    mesh = init_device_mesh(next(model.parameters()).device.type, (size(),))
    for module in list(scored.modules()):
        if isinstance(module, nn.ModuleList):
            for layer in module:
                fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(scored, mesh=mesh, mp_policy=policy)
    return scored.model, scored


@torch.no_grad()
def gather(model: nn.Module, sharded: nn.Module) -> None:
    """Give a whole model the weights and buffers of its sharded copy, in every process."""
    for whole, part in zip(model.parameters(), sharded.parameters(), strict=True):
        whole.copy_(part.full_tensor())  # type: ignore[attr-defined]
    copy_buffers(model, sharded)


@torch.no_grad()
def copy_buffers(model: nn.Module, other: nn.Module) -> None:
    """Give a model the buffers (running statistics, say) of its copy."""
    for kept, found in zip(model.buffers(), other.buffers(), strict=True):
        kept.copy_(found)
