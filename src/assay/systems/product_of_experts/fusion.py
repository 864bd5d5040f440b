"""Fusion: from what each modality believes of a latent state to one belief, and who is trusted.

Every way to weigh is a value of `WEIGHTINGS`:

| weighting | how the experts q_m are joined                               | weights              |
|-----------|--------------------------------------------------------------|----------------------|
| learned   | product of q_m^a_m, a = softmax over modalities of the scores | sum to 1, per input  |
| static    | product of q_m^a_m, a = the scores, one for all inputs       | from 0 to 1, any sum |
| entropy   | product of q_m^a_m, a by the entropy that q_m lost, see below | sum to 1, per input  |
| uniform   | product of q_m^(1/M): the geometric mean                     | sum to 1             |
| poe       | product of q_m                                               | all 1                |
| moe       | mixture of the q_m in equal parts                            | 1/M, as its parts    |
| mopoe     | mixture of the products of every subset, in equal parts      | part of the subsets  |
| gated     | product of q_m^a_m, a = sigmoid of the scores                | from 0 to 1, any sum |

Weights hold per latent dimension; in a mixture, that of a modality is the part of the components
that it is in. *learned* is the paper's: scores come from a network that sees the input. *gated*
takes the same scores one by one, so that no modality loses what another gains. *static* is the free
parameter of a maintained library, which does not see the input. *entropy* weighs by
a = 0.5 (log variance of the prior - log variance of the expert), the entropy from prior to
posterior (Cao and Fleet 2014), here divided by the sum so that evidence is not counted twice, and
0.01 nat at least, which leaves an expert wider than the prior next to nothing beside one that is
not; where all are wider they share equally.

With weights that sum to 1 the precision is an average of the experts': never above that of the most
confident one, and identical experts reproduce themselves. So the prior is not multiplied in unless
asked for: ``prior="fixed"`` adds it with weight 1, as plain products of experts do, ``"weighted"``
lets it compete with a score of its own. A missing modality has weight 0 and the others share what
there is; where all are missing the belief is the prior, whatever was asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from assay.errors import ParameterError, did_you_mean
from assay.parts.latent.gaussians import Gaussian, bounded_logvar
from assay.parts.latent.mixtures import Mixture, moments, subsets
from assay.parts.latent.products import weighted_product
from assay.systems.product_of_experts.choices import PriorName, WeightingName

__all__ = ["WEIGHTINGS", "Experts", "Fused", "Weighting", "fuse", "weighting_named"]

LEAST_WEIGHT = 1e-6
"""A weight of exactly 0 would leave no density where it is that of every modality."""
LEAST_ENTROPY = 1e-2
"""In nats; the slope of its logarithm is 100. Nearer to 0 one sample would rule a step."""


@dataclass(frozen=True)
class Weighting:
    """A way to join experts.

    Attributes:
        name: Its name.
        kind: A product of all experts or a mixture.
        scores: What is read as scores: any number from the input, a parameter, or nothing.
        sums_to_one: Whether the weights of one latent dimension sum to 1.
        largest: Size of the largest subset that a mixture multiplies; all if not given.
    """

    name: WeightingName
    kind: Literal["product", "mixture"] = "product"
    scores: Literal["input", "parameter", "none"] = "none"
    sums_to_one: bool = False
    largest: int | None = None


WEIGHTINGS: Mapping[str, Weighting] = {
    w.name: w
    for w in (
        Weighting("learned", scores="input", sums_to_one=True),
        Weighting("static", scores="parameter"),
        Weighting("entropy", sums_to_one=True),
        Weighting("uniform", sums_to_one=True),
        Weighting("poe"),
        Weighting("moe", kind="mixture", largest=1),
        Weighting("mopoe", kind="mixture"),
        Weighting("gated", scores="input"),
    )
}


class Experts(NamedTuple):
    """What each modality says; anything finite where it is missing.

    Attributes:
        mean: Means ``[modality batch latent]``.
        logvar: Log-variances, taken within `LOGVAR_LIMITS` ``[modality batch latent]``.
        present: Which modality is there ``[modality batch]``.
        scores: Logits of *learned* and *gated*, weights of *static*; of no use to the others
            ``[modality batch latent]``.
        prior_score: Logit of a weighted prior ``[latent]``; 0 if not given.
    """

    mean: Float[Tensor, "modality batch latent"]
    logvar: Float[Tensor, "modality batch latent"]
    present: Bool[Tensor, "modality batch"]
    scores: Float[Tensor, "modality batch latent"] | None = None
    prior_score: Float[Tensor, " latent"] | None = None


class Fused(NamedTuple):
    """What is believed together, and who is trusted.

    Attributes:
        belief: The belief: one component for a product, several for a mixture.
        weight: Exponent of each modality; in a mixture, the mean over its components, in which a
            modality has 1 or 0 ``[modality batch latent]``.
        share: Share of each modality in the belief's mean; with the prior's they sum to 1
            ``[modality batch latent]``.
        prior_share: Share of the prior ``[batch latent]``.
    """

    belief: Mixture
    weight: Float[Tensor, "modality batch latent"]
    share: Float[Tensor, "modality batch latent"]
    prior_share: Float[Tensor, "batch latent"]

    @property
    def gaussian(self) -> Gaussian:
        """The belief, or the Gaussian with its mean and variances ``[batch latent]``."""
        return moments(self.belief)


def weighting_named(name: str) -> Weighting:
    """The weighting of this name.

    Raises:
        ParameterError: If there is none.
    """
    if name not in WEIGHTINGS:
        raise ParameterError(
            f"no weighting {name!r}", where="weighting", next=did_you_mean(name, WEIGHTINGS)
        )
    return WEIGHTINGS[name]


def fuse(experts: Experts, weighting: str = "learned", prior: PriorName = "none") -> Fused:
    """Join what the modalities say.

    Args:
        experts: What they say.
        weighting: A name of `WEIGHTINGS`.
        prior: Whether the standard normal is an expert too, and with which weight.

    Raises:
        ParameterError: If there is no such weighting, it lacks its scores, or the prior cannot
            compete in it.

    Example:
        >>> says = torch.tensor([[[0.0]], [[2.0]]]), torch.zeros(2, 1, 1)
        >>> both = torch.tensor([[True], [True]])
        >>> fused = fuse(Experts(*says, both), "uniform")
        >>> fused.gaussian.mean.item(), round(fused.gaussian.logvar.exp().item(), 6)
        (1.0, 1.0)
        >>> round(fuse(Experts(*says, both), "poe").gaussian.logvar.exp().item(), 6)
        0.5
    """
    how = weighting_named(weighting)
    if prior == "weighted" and how.name not in ("learned", "uniform"):
        raise ParameterError(
            f"the prior cannot compete in {how.name!r}",
            where="prior",
            accepted="none or fixed, or the weighting learned or uniform",
        )
    kept = experts.present[..., None]
    experts = (
        experts._replace(  # nothing of a missing modality may reach a sum, not even as 0 x nan
            mean=torch.where(kept, experts.mean, 0.0),
            logvar=bounded_logvar(torch.where(kept, experts.logvar, 0.0)),
        )
    )
    return (_product if how.kind == "product" else _mixture)(experts, how, prior)


# -- products -------------------------------------------------------------------------------------


def _product(experts: Experts, how: Weighting, prior: PriorName) -> Fused:
    log_weights, log_prior = _log_weights(experts, how, prior)
    gaussian, share = _with_prior(experts, log_weights, log_prior)
    belief = Mixture(
        Gaussian(gaussian.mean[None], gaussian.logvar[None]),
        torch.zeros_like(gaussian.mean[None, ..., 0]),
    )
    return Fused(belief, log_weights.exp(), share[:-1], share[-1])


def _with_prior(
    experts: Experts, log_weights: Tensor, log_prior: Tensor
) -> tuple[Gaussian, Float[Tensor, "modality_and_prior batch latent"]]:
    """The product with the prior as the last expert; where no other has a weight, the prior."""
    alone = (log_weights == -torch.inf).all(0)
    log_prior = torch.where(alone, 0.0, log_prior)
    all_of = Gaussian(
        torch.cat([experts.mean, torch.zeros_like(experts.mean[:1])]),
        torch.cat([experts.logvar, torch.zeros_like(experts.logvar[:1])]),
    )
    return weighted_product(all_of, torch.cat([log_weights, log_prior[None]]))


def _log_weights(experts: Experts, how: Weighting, prior: PriorName) -> tuple[Tensor, Tensor]:
    """Logarithms of the weights of the modalities and of the prior; -inf where there is none."""
    absent = ~experts.present[..., None].expand_as(experts.mean)
    nothing = torch.full_like(experts.mean[0], -torch.inf)
    log_prior = torch.zeros_like(nothing) if prior == "fixed" else nothing
    if how.name == "poe":
        found = torch.zeros_like(experts.mean)
    elif how.name == "static":
        found = _given(experts, how).clamp(LEAST_WEIGHT, 1.0).log()
    elif how.name == "gated":
        found = torch.nn.functional.logsigmoid(_given(experts, how))
    else:
        competing = _own_prior_score(experts, nothing) if prior == "weighted" else None
        found, won = _competing(_scores(experts, how), absent, competing)
        log_prior = log_prior if won is None else won
    return found.masked_fill(absent, -torch.inf), log_prior


def _scores(experts: Experts, how: Weighting) -> Tensor:
    """Logits of a weighting whose weights sum to 1."""
    if how.name == "learned":
        return _given(experts, how)
    if how.name == "entropy":
        return (-0.5 * experts.logvar).clamp(min=LEAST_ENTROPY).log()
    return torch.zeros_like(experts.mean)


def _given(experts: Experts, how: Weighting) -> Tensor:
    if experts.scores is None:
        raise ParameterError("no scores", where=f"weighting {how.name!r}", accepted="one of each")
    return experts.scores


def _own_prior_score(experts: Experts, like: Tensor) -> Tensor:
    score = experts.prior_score
    return torch.zeros_like(like) if score is None else score.expand_as(like)


def _competing(
    scores: Tensor, absent: Tensor, prior_score: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Logarithms of the softmax over those that are there, and of the prior's part in it.

    Where all are missing the softmax is taken over all, so that neither it nor its gradient is nan;
    the caller takes out what is missing.
    """
    everywhere = absent & ~absent.all(0)
    logits = scores.masked_fill(everywhere, -torch.inf)
    if prior_score is None:
        return torch.log_softmax(logits, 0), None
    found = torch.log_softmax(torch.cat([logits, prior_score[None]]), 0)
    return found[:-1], found[-1]


# -- mixtures -------------------------------------------------------------------------------------


def _mixture(experts: Experts, how: Weighting, prior: PriorName) -> Fused:
    """Equal parts of the products of those subsets whose modalities are all there.

    The precision of a subset is a sum over its modalities, so all subsets are one matrix product.
    Precisions are in units of the largest; with bounded log-variances none is lost.
    """
    like = experts.mean
    table = subsets(len(like), how.largest).to(like.device)
    member = table.to(like.dtype)  # [subset modality]
    there = table[..., None] & experts.present  # [subset modality batch]
    log_parts = _log_parts((table[..., None] & ~experts.present).any(1), like)
    parts = log_parts.exp()
    largest = (-experts.logvar).amax(0).clamp(min=0.0).detach()  # the prior's is 0
    precision = torch.exp(-experts.logvar - largest) * experts.present[..., None]
    alone = ~there.any(1)[..., None]
    with_prior = torch.ones_like(alone) if prior == "fixed" else alone
    of_prior = with_prior * torch.exp(-largest)  # [subset batch latent]
    total = torch.einsum("sm,mbl->sbl", member, precision) + of_prior
    mean = torch.einsum("sm,mbl->sbl", member, precision * experts.mean) / total
    per_precision = parts[..., None] / total
    share = precision * torch.einsum("sm,sbl->mbl", member, per_precision)
    weight = torch.einsum("sb,smb->mb", parts, there.to(like.dtype))[..., None].expand_as(share)
    belief = Mixture(Gaussian(mean, -(total.log() + largest)), log_parts)
    return Fused(belief, weight, share, (of_prior * per_precision).sum(0))


def _log_parts(missing: Tensor, like: Tensor) -> Float[Tensor, "subset batch"]:
    """Equal parts for the subsets that miss nobody; for all, where each misses one."""
    lacks = missing & ~missing.all(0)  # where none is whole they are all the prior
    zeros = torch.zeros(missing.shape, dtype=like.dtype, device=like.device)
    return torch.log_softmax(zeros.masked_fill(lacks, -torch.inf), 0)
