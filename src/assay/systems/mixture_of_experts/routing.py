"""Routing: which experts a token goes to, with which weights, and what keeps the experts balanced.

A pure function of the gate's logits. Each token names its experts in order of preference; an expert
has a number of places, and a token that comes when they are taken is *dropped*: that expert adds
nothing to it. All first choices queue before any second one.

Notable in this file: queues are a stable sort and not a table of tokens x experts, so that routing
costs next to nothing for hundreds of experts; padding neither queues nor counts, so that a batch is
routed as it would be without it; and evaluation draws no random numbers.

Source: Artetxe et al. 2022 and the public code of its authors, whose second expert, capacity and
load-balancing loss are those of GShard (Lepikhin et al. 2021).
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from assay.errors import ParameterError, StepError
from assay.systems.mixture_of_experts.costs import TOP

__all__ = ["Routing", "RoutingPolicy", "route", "statistics"]

Second = Literal["all", "sampling", "random"]
Normalise = Literal["after_dropping", "before_dropping"]


@dataclass(frozen=True, kw_only=True)
class RoutingPolicy:
    """How tokens find their experts.

    Attributes:
        choices: Experts of a token. The weight of a single one is its probability; those of two
            are normalised.
        second: The second expert in training. "all": the second best; "random": the second best,
            with probability min(1, 2 p) where p is its own; "sampling": drawn in proportion to the
            probabilities of those that are not the first. In evaluation it is the second best.
        capacity_factor: Places of an expert in training over an even share of the tokens:
            ``choices * ceil(factor * tokens / experts)``. None: as many as are needed (dropless).
        evaluation_capacity: Places in evaluation as a share of the tokens,
            ``ceil(share * tokens)``. None: as many as are needed, so that a text is scored alike in
            any batch.
        batch_prioritised: Tokens queue by their largest probability instead of their place.
        normalise: "after_dropping": the weights of the experts that took a token add up to 1, and
            a sole one has weight 1; "before_dropping": what a full expert would have had is lost.

    Raises:
        ParameterError: If a value is out of range.
    """

    choices: Literal[1, 2] = 2
    second: Second = "all"
    capacity_factor: float | int | None = 1.0
    evaluation_capacity: float | int | None = None
    batch_prioritised: bool = False
    normalise: Normalise = "after_dropping"

    def __post_init__(self) -> None:
        self._require("choices", self.choices in (1, 2), "1 or 2")
        self._require("second", self.second in get_args(Second), f"one of {get_args(Second)}")
        known = get_args(Normalise)
        self._require("normalise", self.normalise in known, f"one of {known}")
        for name in ("capacity_factor", "evaluation_capacity"):
            value = getattr(self, name)
            if value is not None and not (0 < value < math.inf):
                raise ParameterError(
                    f"{value} gives an expert a capacity below one token",
                    where=f"routing.{name}",
                    accepted="a number above 0, or none for no limit",
                )
        share = self.evaluation_capacity
        self._require("evaluation_capacity", share is None or share <= 1, "a share of the tokens")

    def _require(self, name: str, holds: bool, accepted: str) -> None:
        if not holds:
            value = getattr(self, name)
            raise ParameterError(
                f"{value!r} is refused", where=f"routing.{name}", accepted=accepted
            )

    def capacity(self, tokens: int, experts: int, *, training: bool) -> int | None:
        """Places of an expert for so many tokens; None if there is no limit.

        Example:
            >>> RoutingPolicy().capacity(12 * 1024, 512, training=True)
            48
            >>> RoutingPolicy(evaluation_capacity=48 / 1024).capacity(1024, 512, training=False)
            48
        """
        if training and self.capacity_factor is not None:
            return self.choices * _rounded_up(self.capacity_factor * tokens / experts)
        if not training and self.evaluation_capacity is not None:
            return _rounded_up(self.evaluation_capacity * tokens)
        return None


def _rounded_up(value: float) -> int:
    """The next whole number; one part in 10^9 is taken for the error of a float."""
    return math.ceil(value * (1 - 1e-9))


class Routing(NamedTuple):
    """Where the tokens of a batch went."""

    experts: Int64[Tensor, "tokens choices"]
    """The experts that a token names, best first."""
    weights: Float[Tensor, "tokens choices"]
    """What an expert's output counts, fp32; 0 where the token was dropped or is padding."""
    kept: Bool[Tensor, "tokens choices"]
    """Whether the expert took the token."""
    balance_loss: Float[Tensor, ""]
    """The load-balancing loss, 1 if all experts get the same."""
    probabilities: Float[Tensor, "tokens experts"]
    """What the gate gave each expert, fp32."""
    capacity: int | None
    """Places of an expert; None if there was no limit."""
    routed: Bool[Tensor, " tokens"] | None
    """Which tokens were not padding; None: all."""
    asked: Bool[Tensor, "tokens choices"] | None = None
    """Which choices queued for a place: not those of padding, nor second ones that "random" left
    out; None: all."""


def route(
    logits: Float[Tensor, "tokens experts"],
    policy: RoutingPolicy,
    *,
    routed: Bool[Tensor, " tokens"] | None = None,
    training: bool,
) -> Routing:
    """Send each token to its experts.

    The load-balancing loss is ``E * sum over experts of m_e * c_e``, m_e the mean probability of an
    expert and c_e the share of the tokens whose first choice it is, before any is dropped. Its
    gradient goes through m_e only.

    Args:
        logits: Output of the gate; everything here is computed in fp32.
        policy: How.
        routed: Which tokens are not padding; all if not given. The capacity goes by their number.
        training: Whether the rules of training hold. Random numbers are torch's own.

    Raises:
        ParameterError: If there are fewer experts than choices.
        StepError: If the logits of a token that is not padding are not finite.
    """
    tokens, experts = logits.shape
    if experts < policy.choices:
        raise ParameterError(f"{policy.choices} choices among {experts} experts", where="routing")
    logits = logits.float()
    if routed is not None:
        logits = logits.masked_fill(~routed[:, None], 0.0)
    if not logits.isfinite().all():
        wrong = int((~logits.isfinite()).any(1).sum())
        raise StepError(
            f"the gate gives logits that are not finite to {wrong} of {tokens} tokens",
            next="Lower the rate or look at the batch of this step."
            if training
            else "Its training went wrong, or its weights are damaged.",
        )
    probabilities = logits.softmax(1)
    chosen = _choose(logits, policy, training)
    share = probabilities.gather(1, chosen)
    asked = logits.new_ones(chosen.shape, dtype=torch.bool)
    if training and policy.second == "random" and policy.choices > 1:
        asked[:, 1] = torch.rand_like(share[:, 1]) < 2 * share[:, 1].detach()
    if routed is not None:
        asked &= routed[:, None]
    count = tokens if routed is None else int(routed.sum())
    capacity = policy.capacity(count, experts, training=training)
    kept = asked
    if capacity is not None:
        kept = asked & (_places(chosen, asked, probabilities, policy.batch_prioritised) < capacity)
    first = asked[:, 0]
    return Routing(
        experts=chosen,
        weights=_weights(share, kept, policy),
        kept=kept,
        balance_loss=_balance_loss(probabilities, chosen[:, 0], first, count),
        probabilities=probabilities,
        capacity=capacity,
        routed=routed,
        asked=asked,
    )


def _choose(logits: Tensor, policy: RoutingPolicy, training: bool) -> Int64[Tensor, "tokens k"]:
    """The best expert of each token, and another."""
    if policy.choices == 1:
        return logits.argmax(1, keepdim=True)
    logits = logits.detach()
    if not (training and policy.second == "sampling"):
        return logits.topk(2, dim=1).indices
    first = logits.argmax(1, keepdim=True)
    gumbel = torch.empty_like(logits).exponential_().log_().neg_()
    others = (logits + gumbel).scatter_(1, first, -math.inf)
    return torch.cat([first, others.argmax(1, keepdim=True)], dim=1)


def _places(chosen: Tensor, asked: Tensor, probabilities: Tensor, by_confidence: bool) -> Tensor:
    """Place of each choice in its expert's queue, from 0; of no meaning where it does not queue."""
    if by_confidence:
        order = probabilities.amax(1).argsort(descending=True, stable=True)
        places = torch.empty_like(chosen)
        places[order] = _places(chosen[order], asked[order], probabilities, False)
        return places
    experts = probabilities.shape[1]
    queue = torch.where(asked, chosen, experts).T.flatten()  # all first choices, then the second
    ordered, order = queue.sort(stable=True)
    sizes = queue.bincount(minlength=experts + 1)
    begins = sizes.cumsum(0) - sizes
    places = torch.empty_like(queue)
    places[order] = torch.arange(len(queue), device=queue.device) - begins[ordered]
    return places.view(chosen.shape[1], -1).T


def _weights(share: Tensor, kept: Tensor, policy: RoutingPolicy) -> Tensor:
    """What the output of each expert counts."""
    taken = share * kept
    if policy.choices == 1:
        return taken
    whole = taken if policy.normalise == "after_dropping" else share
    return taken / whole.sum(1, keepdim=True).clamp_min(torch.finfo(whole.dtype).eps)


def _balance_loss(probabilities: Tensor, first: Tensor, counts: Tensor, count: int) -> Tensor:
    """E * sum of (mean probability x share of the first choices); 0 if there is no token."""
    experts = probabilities.shape[1]
    mean = (probabilities * counts[:, None]).sum(0) / max(count, 1)
    shares = first[counts].bincount(minlength=experts) / max(count, 1)
    return experts * (mean * shares).sum()


@torch.no_grad()
def statistics(routing: Routing) -> dict[str, Float[Tensor, ""]]:
    """What a router's health is told by.

    Returns:
        ``overflow_first`` and ``overflow_second``: share of the choices that were dropped;
        ``entropy``: mean entropy of the probabilities in nats; ``top_share`` and ``bottom_share``:
        share of the first choices on the fifth of the experts that are used most and least;
        ``unused``: experts to which no token went, as first or second choice; ``max_load``: share
        of the first choices on the busiest expert, times the number of experts.
    """
    experts = routing.probabilities.shape[1]
    asked = torch.ones_like(routing.kept) if routing.asked is None else routing.asked
    overflow = (asked & ~routing.kept).sum(0) / asked.sum(0).clamp_min(1)
    first = asked[:, 0]
    p = routing.probabilities[first]
    loads = routing.experts[first, 0].bincount(minlength=experts) / max(len(p), 1)
    ranked, some = loads.sort().values, math.ceil(TOP * experts)
    taken = routing.experts[routing.kept].bincount(minlength=experts)
    return {
        "overflow_first": overflow[0],
        "overflow_second": overflow[1] if len(overflow) > 1 else overflow.new_zeros(()),
        "entropy": torch.special.entr(p).sum() / max(len(p), 1),
        "top_share": ranked[-some:].sum(),
        "bottom_share": ranked[:some].sum(),
        "unused": (taken == 0).sum().float(),
        "max_load": ranked[-1] * experts,
    }
