"""The objective: reconstruct what is wanted from a fused belief that stays near the prior.

    L = sum_k w_k NLL_k(y_k | z) + beta KL(q(z | X) || N(0, I)),   z drawn from q(z | X)

for the full set of modalities; with ``unimodal`` also for each modality alone and with
``random_subsets`` for so many random subsets, added up as MVAE trains. Without those terms an
encoder that the others make redundant is never trained, and its credibility means nothing.

A mixture is taken component by component, each with its weight: the expectation of the first term
is exact in the components, and the weighted KL is an upper bound on that of the mixture. With
``one_component`` the first term takes one of them for each sample, drawn by weight: right on
average, and as cheap as a product.

``likelihood`` asks instead for the density that the belief gives to the state itself, where the
state is known: -log q(z | X). It is proper, so its optimum is the true posterior. L is not: where z
is y with an error of variance v, the belief that minimises it has variance v / (1 + v) whatever the
modalities show: precision is held back, and weights can say more freely whose word counts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import torch
import torch.nn.functional as F  # noqa: N812 - as everybody calls it
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from assay.errors import DataError, ParameterError
from assay.parts.latent.gaussians import LOG_2PI, kl_to_standard, sample
from assay.parts.latent.mixtures import mixture_log_density, one_of
from assay.parts.training.losses import Loss
from assay.systems.product_of_experts.choices import ObjectiveName
from assay.systems.product_of_experts.fusion import Fused
from assay.systems.product_of_experts.model import FusionModel, Seen

__all__ = ["Nll", "Objective", "beta_at", "gaussian_nll", "loss", "segmentation_nll"]

Nll = Callable[[Tensor, Tensor], Tensor]
"""From what was decoded ``[component batch ...]`` and what is wanted, expanded to it, to nats
``[component batch]``."""


@dataclass(frozen=True)
class Objective:
    """What is minimised.

    Attributes:
        kind: ``elbo`` for L above, ``likelihood`` for the density of the known state.
        outputs: NLL of each output, by name, for ``elbo``.
        output_weights: Weight w_k of each; 1 if not given.
        beta: Weight of the KL, at the end of its warm-up.
        beta_warm_up: Share of the steps in which it rises in a line from 0.
        unimodal: Whether each modality alone is trained too.
        random_subsets: Random subsets trained too.
        one_component: Whether one component of a mixture is decoded for each sample, drawn by
            weight, in place of all; for weights that are not learned.

    Raises:
        ParameterError: If a value is out of range, or a weight is of no output.
    """

    kind: ObjectiveName = "elbo"
    outputs: Mapping[str, Nll] = field(default_factory=dict)
    output_weights: Mapping[str, float] = field(default_factory=dict)
    beta: float = 1.0
    beta_warm_up: float = 0.0
    unimodal: bool = False
    random_subsets: int = 0
    one_component: bool = False

    def __post_init__(self) -> None:
        kinds = get_args(ObjectiveName)
        _require("kind", self.kind, self.kind in kinds, " or ".join(kinds))
        _require("beta", self.beta, self.beta >= 0, "a number from 0")
        _require("beta_warm_up", self.beta_warm_up, 0 <= self.beta_warm_up < 1, "0 to below 1")
        _require("random_subsets", self.random_subsets, self.random_subsets >= 0, "0 or more")
        known = set(self.output_weights) <= set(self.outputs)
        _require("output_weights", dict(self.output_weights), known, "weights of outputs")


def _require(name: str, value: object, holds: bool, accepted: str) -> None:
    if not holds:
        raise ParameterError(f"{value!r} is refused", where=f"objective.{name}", accepted=accepted)


def beta_at(step: int, steps: int, objective: Objective) -> float:
    """The weight of the KL at a step.

    Example:
        >>> half = Objective(beta=2.0, beta_warm_up=0.5)
        >>> [beta_at(step, 8, half) for step in (0, 1, 3, 7)]
        [0.5, 1.0, 2.0, 2.0]
    """
    warm = round(objective.beta_warm_up * steps)
    return objective.beta * min((step + 1) / warm, 1.0) if warm else objective.beta


def loss(
    model: FusionModel,
    seen: Seen,
    wanted: Mapping[str, Tensor],
    objective: Objective,
    beta: float | Tensor | None = None,
) -> Loss:
    """The objective of a batch: the sum over its samples, and their number.

    Args:
        model: The model.
        seen: What the modalities show.
        wanted: The outputs by name; for ``likelihood``, ``state`` ``[batch latent]``.
        objective: What is minimised.
        beta: Weight of the KL at this step; that of the objective if not given.

    Raises:
        ParameterError: If the model decodes no such output.
        DataError: If an output is not given, or the modalities do not fit the model.
    """
    _require_outputs(model, wanted, objective)
    experts = model.experts(seen)
    weight = objective.beta if beta is None else beta
    total = torch.zeros((), device=experts.mean.device, dtype=experts.mean.dtype)
    for present in _subsets(experts.present, objective):
        each = _term(
            model, model.fused(experts._replace(present=present)), wanted, objective, weight
        )
        # a subset of which nothing is there is the prior, which no parameter can better
        total = total + torch.where(present.any(0), each, 0.0).sum()
    return Loss(total, experts.mean.shape[1])


def _require_outputs(
    model: FusionModel, wanted: Mapping[str, Tensor], objective: Objective
) -> None:
    likelihood = objective.kind == "likelihood"
    for name in ["state"] if likelihood else objective.outputs:
        if not likelihood and name not in model.decoders:
            _require("outputs", name, False, ", ".join(model.decoders) or "none: nothing decodes")
        if name not in wanted:
            raise DataError(f"no {name!r}", where="wanted", accepted="every output, by name")


def _subsets(
    present: Bool[Tensor, "modality batch"], objective: Objective
) -> list[Bool[Tensor, "modality batch"]]:
    """The modalities of each term: all, then one at a time, then some at random per sample."""
    alone = torch.eye(len(present), dtype=torch.bool, device=present.device)[:, :, None]
    terms = [present]
    if objective.unimodal:
        terms += [present & one for one in alone]
    for _ in range(objective.random_subsets):
        kept = torch.rand(present.shape, device=present.device) < 0.5
        terms.append(present & kept)
    return terms


def _term(
    model: FusionModel,
    fused: Fused,
    wanted: Mapping[str, Tensor],
    objective: Objective,
    beta: float | Tensor,
) -> Float[Tensor, " batch"]:
    """The objective of each sample for one set of modalities."""
    belief = fused.belief
    if objective.kind == "likelihood":
        return -mixture_log_density(belief, wanted["state"])
    distance = beta * kl_to_standard(belief.components)
    drawn = one_of(belief) if objective.one_component else belief
    decoded = model.decode(sample(drawn.components))
    each = torch.zeros_like(drawn.log_weights)
    for name, nll in objective.outputs.items():
        found, target = decoded[name], wanted[name]
        weight = objective.output_weights.get(name, 1.0)
        each = each + weight * nll(found, target.expand(len(found), *target.shape))
    return (drawn.log_weights.exp() * each).sum(0) + (belief.log_weights.exp() * distance).sum(0)


# -- what is wanted, and how far it was missed ----------------------------------------------------


def gaussian_nll(sd: float) -> Nll:
    """The NLL of numbers with a normal error of a known standard deviation.

    Args:
        sd: Standard deviation of the error, in the unit of the numbers, above 0.

    Example:
        >>> nll = gaussian_nll(1.0)(torch.tensor([[[2.0]]]), torch.tensor([[[0.0]]]))
        >>> round(nll.item(), 4)
        2.9189
    """
    _require("sd", sd, sd > 0, "a number above 0")
    constant = torch.log(torch.tensor(sd)).item() + 0.5 * LOG_2PI

    def nll(found: Tensor, wanted: Tensor) -> Tensor:
        return (0.5 * ((found - wanted) / sd).square() + constant).flatten(2).sum(-1)

    return nll


def segmentation_nll(dice: float = 0.0) -> Nll:
    """The mean cross-entropy of a pixel (nats), and soft Dice if asked for.

    Of logits ``[component batch class height width]`` and masks ``[component batch height width]``.
    Soft Dice is 1 - 2 sum(p t) / (sum(p) + sum(t)), averaged over the classes that the mask has.

    Args:
        dice: Weight of soft Dice, from 0.
    """
    _require("dice", dice, dice >= 0, "a number from 0")

    def nll(found: Tensor, wanted: Tensor) -> Tensor:
        logits, target = found.flatten(0, 1), wanted.flatten(0, 1)
        entropy = F.cross_entropy(logits, target, reduction="none").mean((1, 2))
        each = entropy + dice * _soft_dice(logits, target) if dice else entropy
        return each.unflatten(0, found.shape[:2])

    return nll


def _soft_dice(
    logits: Float[Tensor, "sample class height width"], target: Int64[Tensor, "sample height width"]
) -> Float[Tensor, " sample"]:
    chances = logits.softmax(1)
    truth = F.one_hot(target, logits.shape[1]).movedim(-1, 1).to(chances.dtype)
    there = truth.sum((2, 3))
    missed = 1.0 - 2.0 * (chances * truth).sum((2, 3)) / (chances.sum((2, 3)) + there)
    classes = (there > 0).to(chances.dtype)
    return (missed * classes).sum(1) / classes.sum(1)


def training_loss(objective: Objective) -> Callable[[FusionModel, dict[str, Any]], Loss]:
    """The objective as the training loop calls it, of batches with seen, present, wanted, beta."""

    def of(model: FusionModel, batch: dict[str, Any]) -> Loss:
        seen = Seen(batch["seen"], batch["present"])
        return loss(model, seen, batch["wanted"], objective, batch["beta"])

    return of
