"""AdamW on all weights of a model at once.

Notable in this file: the weights live in one flat fp32 tensor that takes the updates, and the model
gets them back in its own precision. A step of 1e-4 of a weight is lost when bf16 is added to bf16;
here it is kept. Gradients are added up in fp32 as well, over any number of micro-batches.

On a CPU an update costs what it moves through memory, so it goes chunk by chunk: while the weights
of one and what belongs to them are in the cache they are scaled, updated and handed back.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from assay.parts.training.recipe import Recipe

NONE: frozenset[nn.Parameter] = frozenset()
CHUNK = 2**18
"""Weights of a chunk: 4 MiB with gradient and means, what a core keeps near."""


class _Chunk(NamedTuple):
    """Weights that are updated together."""

    where: slice
    """In the flat tensor."""
    decays: bool
    pieces: list[tuple[int, slice]]
    """Which parameters they are of, and which rows of each."""


class FlatAdamW:
    """The trained weights of a model as one fp32 tensor, with their gradient and AdamW's state.

    Args:
        parameters: Parameters of the model that computes, each once; those that are frozen are
            left out. If they are shards of a larger model, their local parts are taken.
        recipe: Betas, epsilon and weight decay.
        own: Those that no other process has.

    Attributes:
        parameters: The trained ones, in the order of [`in_order`][].
        shared: Where in ``weights`` those are that all processes have.
        weights: Their values ``[weights]``, fp32.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], recipe: Recipe, own: Set[nn.Parameter] = NONE
    ) -> None:
        self.recipe, self.parameters = recipe, in_order(parameters, own)
        parts = [local(p.detach()) for p in self.parameters]
        self.weights = torch.cat([part.flatten().float() for part in parts])
        self._gradient, self._means, self._squares = (
            torch.zeros_like(self.weights) for _ in range(3)
        )
        self._updates = torch.zeros((), device=self.weights.device)
        self._collected = False
        self._weights = _as_parts(self.weights, parts)
        self._gradients = _as_parts(self._gradient, parts)
        limit = CHUNK if self.weights.device.type == "cpu" else len(self.weights)
        self._chunks = list(_chunks(self._weights, [p.ndim > 1 for p in self.parameters], limit))
        sized = [(part.numel(), p) for part, p in zip(parts, self.parameters, strict=True)]
        before = sum(size for size, p in sized if p in own and p.ndim > 1)
        self.shared = slice(before, before + sum(size for size, p in sized if p not in own))

    @property
    def gradient(self) -> Tensor:
        """Sum of the gradients collected since the last update ``[weights]``, fp32."""
        if not self._collected:
            self._gradient.zero_()
            self._collected = True
        return self._gradient

    @torch.no_grad()
    def collect(self) -> None:
        """Add the gradients of the model's parameters to the flat one, and free them.

        A parameter that took no part has no gradient, which counts as zero.
        """
        for part, parameter in zip(self._gradients, self.parameters, strict=True):
            if parameter.grad is not None:
                found = local(parameter.grad)
                part.add_(found) if self._collected else part.copy_(found)
                parameter.grad = None
            elif not self._collected:
                part.zero_()
        self._collected = True

    @torch.no_grad()
    def update(self, rate: float, scale: float) -> None:
        """One step of AdamW on ``scale`` times the gradient that was collected.

        Args:
            rate: Learning rate.
            scale: Factor of the gradient, clipping included.
        """
        gradient, recipe, (beta1, beta2) = self.gradient, self.recipe, self.recipe.betas
        for where, decays, pieces in self._chunks:
            adamw(
                [self.weights[where]],
                [gradient[where].mul_(scale)],
                [self._means[where]],
                [self._squares[where]],
                [],
                [self._updates.clone()],
                fused=True,
                amsgrad=False,
                beta1=beta1,
                beta2=beta2,
                lr=rate,
                weight_decay=recipe.weight_decay if decays else 0.0,
                eps=recipe.epsilon,
                maximize=False,
            )
            for k, rows in pieces:
                whole = local(self.parameters[k].detach())
                torch.atleast_1d(whole)[rows].copy_(torch.atleast_1d(self._weights[k])[rows])
        self._updates += 1
        self._collected = False

    @torch.no_grad()
    def write_back(self, parameters: Sequence[nn.Parameter]) -> None:
        """Give parameters, in the order of ``self.parameters``, the flat weights' values."""
        for parameter, weights in zip(parameters, self._weights, strict=True):
            local(parameter.detach()).copy_(weights)

    def state(self) -> dict[str, Tensor]:
        """Weights, AdamW's running means and the updates so far, by name; nothing is copied."""
        return {
            "weights": self.weights,
            "exp_avg": self._means,
            "exp_avg_sq": self._squares,
            "updates": self._updates,
        }

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a [`state`][]."""
        for name, value in self.state().items():
            value.copy_(state[name])
        self.write_back(self.parameters)


def in_order(
    parameters: Iterable[nn.Parameter], own: Set[nn.Parameter] = NONE
) -> list[nn.Parameter]:
    """The trained parameters in the order of the flat tensor.

    What decays comes before what does not, and in the middle is what all processes have.
    """
    trained = [p for p in parameters if p.requires_grad]
    return sorted(trained, key=lambda p: (p.ndim < 2, (p in own) == (p.ndim < 2)))


def local(tensor: Tensor) -> Tensor:
    """The part of a tensor that this process holds: all of it, or its shard."""
    from torch.distributed.tensor import DTensor

    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _as_parts(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Views of a flat tensor in the shapes of others."""
    sizes = [part.numel() for part in like]
    return [v.view(part.shape) for v, part in zip(flat.split(sizes), like, strict=True)]


def _chunks(parts: Sequence[Tensor], decays: Sequence[bool], limit: int) -> Iterator[_Chunk]:
    """Cut parameters that lie one after another, by rows, into chunks of about ``limit`` weights.

    What decays and what does not are never in one, nor is a row ever cut.
    """
    begin, end = 0, 0
    pieces = list[tuple[int, slice]]()
    for k, part in enumerate(parts):
        rows = len(torch.atleast_1d(part))
        row = part.numel() // max(rows, 1)
        at_once = max(limit // max(row, 1), 1)
        for first in range(0, rows, at_once):
            size = row * min(at_once, rows - first)
            if pieces and (decays[k] != decays[pieces[-1][0]] or end + size - begin > limit):
                yield _Chunk(slice(begin, end), decays[pieces[-1][0]], pieces)
                begin, pieces = end, []
            pieces.append((k, slice(first, first + at_once)))
            end += size
    if pieces:
        yield _Chunk(slice(begin, end), decays[pieces[-1][0]], pieces)
