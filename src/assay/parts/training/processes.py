"""The processes that train one model together, and how its weights are spread over them.

Without a process group there is one process and everything here does nothing. Replicated, every
process holds the model and they add up their gradients once a step, in fp32: what
DistributedDataParallel does, but for any number of micro-batches each and with every token of equal
weight. Sharded (FSDP2), every process holds a part of each weight and of the optimiser's state.

Either way some modules may hold weights that are this process's own, as those of the experts that
live here: a module says so by an attribute ``of_one_process`` that is true, for its parameters but
not those of the modules in it, and has a method ``make_whole``, which all processes call and which
leaves it with the weights of all. Gradients of such weights are complete where they are.
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


def own_modules(model: nn.Module) -> list[nn.Module]:
    """Modules whose parameters this process alone holds."""
    return [module for module in model.modules() if getattr(module, "of_one_process", False)]


def own_parameters(model: nn.Module) -> set[nn.Parameter]:
    """Parameters that this process alone holds."""
    return {p for module in own_modules(model) for p in module.parameters(recurse=False)}


def whole(model: nn.Module) -> nn.Module:
    """The model itself, or a copy with the weights of all processes where each has its own."""
    if not own_modules(model):
        return model
    copied = copy.deepcopy(model)
    for module in own_modules(copied):
        module.make_whole()  # type: ignore[operator]
    return copied


@torch.no_grad()
def start_alike(model: nn.Module) -> None:
    """Give every process the weights and buffers of the first, except those that are its own."""
    if size() > 1:
        own = own_parameters(model)
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor not in own:
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
    else at the beginning of the pass. Gradients are summed in fp32. Modules with an attribute
    ``fp32`` that is true compute in fp32 whatever the rest does. Weights that are this process's
    own stay as they are, in fp32; their module computes with them in the precision it is given.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    scored = _Scored(copy.deepcopy(model), loss)
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if precision == "bf16" else None, reduce_dtype=torch.float32
    )
    mesh = init_device_mesh(next(model.parameters()).device.type, (size(),))
    own = own_parameters(scored)
    if precision == "bf16":
        exact = MixedPrecisionPolicy(reduce_dtype=torch.float32, cast_forward_inputs=False)
        for module in [m for m in scored.modules() if getattr(m, "fp32", False)]:
            fully_shard(module, mesh=mesh, mp_policy=exact)
    for module in list(scored.modules()):
        if isinstance(module, nn.ModuleList):
            for layer in module:
                fully_shard(layer, mesh=mesh, mp_policy=policy, ignored_params=own)
    fully_shard(scored, mesh=mesh, mp_policy=policy, ignored_params=own)
    return scored.model, scored


@torch.no_grad()
def gather(model: nn.Module, sharded: nn.Module) -> None:
    """Give a model the weights and buffers of its sharded copy, in every process."""
    for kept, part in zip(model.parameters(), sharded.parameters(), strict=True):
        kept.copy_(part.full_tensor() if hasattr(part, "full_tensor") else part)  # type: ignore
    copy_buffers(model, sharded)


@torch.no_grad()
def copy_buffers(model: nn.Module, other: nn.Module) -> None:
    """Give a model the buffers (running statistics, say) of its copy."""
    for kept, found in zip(model.buffers(), other.buffers(), strict=True):
        kept.copy_(found)
