"""AdamW on all weights of a model at once.

Notable in this file: the weights live in one flat fp32 tensor that takes the updates, and the model
gets them back in its own precision. A step of 1e-4 of a weight is lost when bf16 is added to bf16;
here it is kept. Gradients are added up in fp32 as well, over any number of micro-batches.
"""

from collections.abc import Iterable, Mapping, Sequence, Set

import torch
from torch import Tensor, nn

from assay.parts.training.recipe import Recipe

STATE = ("exp_avg", "exp_avg_sq", "step")
NONE: frozenset[nn.Parameter] = frozenset()


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
        gradient: Sum of the gradients collected since the last update ``[weights]``, fp32.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], recipe: Recipe, own: Set[nn.Parameter] = NONE
    ) -> None:
        self.parameters = in_order(parameters, own)
        parts = [local(p.detach()) for p in self.parameters]
        self.weights = torch.cat([part.flatten().float() for part in parts])
        self.gradient = torch.zeros_like(self.weights)
        self._weights = _as_parts(self.weights, parts)
        self._gradients = _as_parts(self.gradient, parts)
        sized = [(part.numel(), p) for part, p in zip(parts, self.parameters, strict=True)]
        decayed = sum(size for size, p in sized if p.ndim > 1)
        before = sum(size for size, p in sized if p in own and p.ndim > 1)
        self.shared = slice(before, before + sum(size for size, p in sized if p not in own))
        self._groups = [nn.Parameter(w) for w in self.weights.tensor_split([decayed])]
        for group, gradient in zip(
            self._groups, self.gradient.tensor_split([decayed]), strict=True
        ):
            group.grad = gradient
        decays = (recipe.weight_decay, 0.0)
        self._adamw = torch.optim.AdamW(
            [{"params": [g], "weight_decay": d} for g, d in zip(self._groups, decays, strict=True)],
            lr=recipe.rate,
            betas=recipe.betas,
            eps=recipe.epsilon,
            fused=True,
        )

    @torch.no_grad()
    def collect(self) -> None:
        """Add the gradients of the model's parameters to the flat one, and free them.

        A parameter that took no part has no gradient, which counts as zero.
        """
        for part, parameter in zip(self._gradients, self.parameters, strict=True):
            if parameter.grad is not None:
                part.add_(local(parameter.grad))
                parameter.grad = None

    @torch.no_grad()
    def update(self, rate: float, scale: float) -> None:
        """One step of AdamW on ``scale`` times the gradient, which starts again from zero.

        Args:
            rate: Learning rate.
            scale: Factor of the gradient, clipping included.
        """
        self.gradient.mul_(scale)
        for group in self._adamw.param_groups:
            group["lr"] = rate
        self._adamw.step()
        self.gradient.zero_()
        self.write_back(self.parameters)

    @torch.no_grad()
    def write_back(self, parameters: Sequence[nn.Parameter]) -> None:
        """Give parameters, in the order of ``self.parameters``, the flat weights' values."""
        for parameter, weights in zip(parameters, self._weights, strict=True):
            local(parameter.detach()).copy_(weights)

    def state(self) -> dict[str, Tensor]:
        """Weights and AdamW's running means by name; nothing is copied."""
        found = {"weights": self.weights}
        for k, group in enumerate(self._groups):
            found |= {f"{name}.{k}": self._adamw.state[group][name] for name in STATE}
        return found

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a [`state`][]."""
        self.weights.copy_(state["weights"])
        for k, group in enumerate(self._groups):
            kept = {name: state[f"{name}.{k}"].to(group.device) for name in STATE}
            self._adamw.state[group] = kept
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
