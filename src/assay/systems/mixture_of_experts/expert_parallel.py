"""Experts spread over the processes that train together: tokens travel to them and back.

    spread(model)                                      # in each of the processes
    fit(model, batches, training_loss, recipe, ...)
    model = processes.whole(model)                     # in each again, with all experts

Of E experts each of W processes holds E / W; all else is replicated, or sharded (``sharded`` of
`fit`). A process routes its own micro-batch, so the capacity of an expert is counted per process.
Tokens that were taken go to the process of their expert, and its answers come back: two all-to-all
a layer, and two more on the way back through the model. So the gradient of an expert is that of the
tokens of all processes, and nothing is left to add up.

Notable in this file: the gradient of an expert is divided by the tokens of the step, as every other
is. fairseq's option to divide it by the root of the number of experts instead (``sqrt_world_size``)
is left out: a constant factor does not change the updates of AdamW, except through its epsilon, and
it would make the norm that decides about clipping another than that of the gradient of the loss.
"""

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from assay.errors import ParameterError
from assay.parts.training import processes
from assay.systems.mixture_of_experts.dispatch import apply_experts
from assay.systems.mixture_of_experts.layer import Mixture
from assay.systems.mixture_of_experts.model import mixtures
from assay.systems.mixture_of_experts.routing import Routing

__all__ = ["SpreadMixture", "spread"]


@torch.no_grad()
def spread(model: nn.Module) -> None:
    """Leave each process its share of the experts of every mixture, in place.

    All processes call it, with models of equal shape; the experts of the first are shared out.

    Args:
        model: A decoder; one without mixtures stays as it is, and so does any in one process.

    Raises:
        ParameterError: If the processes cannot have equally many experts.
    """
    world = processes.size()
    for mixture in mixtures(model):
        experts = mixture.gate.out_features
        if experts % world:
            raise ParameterError(
                f"{experts} experts cannot be shared out to {world} processes",
                where=f"mixture of layer {mixture.layer}",
                accepted="a multiple of the processes",
            )
    for mixture in mixtures(model) if world > 1 else []:
        for name, weight in mixture.named_parameters(recurse=False):
            dist.broadcast(weight, 0)
            part = weight.chunk(world)[processes.rank()].clone()
            setattr(mixture, name, nn.Parameter(part, requires_grad=weight.requires_grad))
        mixture.__class__ = SpreadMixture  # the same layer but for where its experts are


class SpreadMixture(Mixture):
    """A mixture whose experts live in several processes; it is made by `spread`.

    Attributes:
        of_one_process: Whether the experts here are those of this process only, see `processes`.
    """

    of_one_process = True

    @torch.no_grad()
    def make_whole(self) -> None:
        """Fetch the experts of all processes, which all call this."""
        for name, weight in self.named_parameters(recurse=False):
            parts = [torch.empty_like(weight) for _ in range(processes.size())]
            dist.all_gather(parts, weight.contiguous())
            setattr(self, name, nn.Parameter(torch.cat(parts), requires_grad=weight.requires_grad))
        self.__class__ = Mixture  # type: ignore[assignment]

    def forward(
        self, hidden: Float[Tensor, "*rows width"], routed: Bool[Tensor, "*rows"] | None = None
    ) -> Float[Tensor, "*rows width"]:
        """The experts' answers to each token; all processes come here together.

        Args:
            hidden: Hidden states of this process.
            routed: Which are not padding; all if not given.
        """
        tokens = hidden.flatten(0, -2)
        self.last = self.routing(tokens, routed)
        road = _plan(self.last, len(self.up))
        arrived = _Exchange.apply(tokens.index_select(0, road.tokens), road.sent, road.received)
        answers = _Exchange.apply(self._answers(arrived, road), road.received, road.sent)
        shares = self.last.weights.flatten().index_select(0, road.pairs)
        weighted = answers.float() * shares[:, None]
        out = torch.zeros(tokens.shape, dtype=torch.float32, device=tokens.device)
        return out.index_add(0, road.tokens, weighted).to(hidden.dtype).view(hidden.shape)

    def _answers(self, arrived: Tensor, road: "_Road") -> Tensor:
        """What the experts here make of the tokens that came."""
        if not len(arrived):
            return arrived  # which keeps the way back open
        return apply_experts(
            arrived,
            road.experts[:, None],
            torch.ones(len(arrived), 1, device=arrived.device),
            self.weights(),
            kernel=self.kernel,  # type: ignore[arg-type]
        )


class _Road(NamedTuple):
    """Who sends how much to whom in a pass.

    Attributes:
        pairs: Pairs of token and choice, numbered token by token, that are sent, by expert.
        tokens: Their tokens.
        sent: Rows to each process.
        received: Rows from each process.
        experts: Which of the experts here each row that arrives is for, from 0.
    """

    pairs: Int[Tensor, " sent"]
    tokens: Int[Tensor, " sent"]
    sent: list[int]
    received: list[int]
    experts: Int[Tensor, " received"]


def _plan(routing: Routing, here: int) -> _Road:
    """Agree with the other processes on what is sent, of which each has ``here`` experts."""
    world = processes.size()
    pairs = routing.kept.flatten().nonzero().squeeze(1)
    ordered, order = routing.experts.flatten().index_select(0, pairs).sort(stable=True)
    pairs = pairs.index_select(0, order)
    loads = ordered.bincount(minlength=world * here).view(world, here)
    arriving = torch.empty_like(loads)
    dist.all_to_all_single(arriving, loads)
    local = torch.arange(here, device=loads.device).repeat(world)
    return _Road(
        pairs=pairs,
        tokens=pairs.div(routing.experts.shape[1], rounding_mode="floor"),
        sent=loads.sum(1).tolist(),
        received=arriving.sum(1).tolist(),
        experts=local.repeat_interleave(arriving.flatten()),
    )


class _Exchange(torch.autograd.Function):
    """Rows to every process and from every process; their gradients go the other way."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sent: list[int], received: list[int]) -> Tensor:
        ctx.sizes = sent, received
        return _all_to_all(rows, sent, received)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        sent, received = ctx.sizes
        return _all_to_all(gradient, received, sent), None, None


def _all_to_all(rows: Tensor, sent: list[int], received: list[int]) -> Tensor:
    found = rows.new_empty(sum(received), rows.shape[1])
    dist.all_to_all_single(found, rows.contiguous(), received, sent)
    return found
