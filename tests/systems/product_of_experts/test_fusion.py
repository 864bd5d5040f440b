"""Every weighting against its definition, with all modalities, some and none."""

import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import ParameterError
from assay.parts.latent.gaussians import Gaussian, log_density
from assay.parts.latent.mixtures import mixture_log_density, subsets
from assay.systems.product_of_experts.choices import WeightingName
from assay.systems.product_of_experts.fusion import WEIGHTINGS, Experts, fuse

PRODUCTS = [name for name, w in WEIGHTINGS.items() if w.kind == "product"]
SUM_TO_ONE = [name for name, w in WEIGHTINGS.items() if w.sums_to_one]
PRIORS = [
    (name, prior)
    for name in WEIGHTINGS
    for prior in ("none", "fixed", "weighted")
    if prior != "weighted" or name in ("learned", "uniform")
]


def experts_of(count: int, batch: int = 4, latent: int = 2, *, seed: int = 0) -> Experts:
    random = torch.Generator().manual_seed(seed)
    mean, logvar, scores = torch.randn(
        3, count, batch, latent, generator=random, dtype=torch.float64
    )
    present = torch.ones(count, batch, dtype=torch.bool)
    return Experts(mean, logvar, present, scores)


def only(experts: Experts, kept: list[int]) -> Experts:
    """The same modalities, as if there had never been others."""
    scores = None if experts.scores is None else experts.scores[kept]
    return Experts(
        experts.mean[kept], experts.logvar[kept], experts.present[kept], scores,
        experts.prior_score,
    )  # fmt: skip


# -- special cases -----------------------------------------------------------------------------


def test_equal_weights_are_the_geometric_mean_of_the_densities():
    experts = experts_of(3)
    values = torch.randn(4, 2, dtype=torch.float64)

    found = fuse(experts, "uniform").gaussian
    geometric = sum(log_density(Gaussian(experts.mean[m], experts.logvar[m]), values)
                    for m in range(3)) / 3  # fmt: skip
    elsewhere = sum(log_density(Gaussian(experts.mean[m], experts.logvar[m]), values * 0)
                    for m in range(3)) / 3  # fmt: skip

    # up to the constant that scales it to a density
    assert torch.allclose(
        log_density(found, values) - log_density(found, values * 0), geometric - elsewhere
    )


def test_weight_one_with_the_prior_is_the_product_of_mvae():
    """T = 1 + sum T_m and mean = sum T_m mean_m / T (Wu and Goodman 2018), in variances."""
    experts = experts_of(3)
    precision = 1.0 / experts.logvar.exp()
    total = 1.0 + precision.sum(0)

    found = fuse(experts, "poe", "fixed")

    assert torch.allclose(found.gaussian.mean, (precision * experts.mean).sum(0) / total)
    assert torch.allclose(found.gaussian.logvar.exp(), 1.0 / total)
    assert torch.allclose(found.prior_share, 1.0 / total)


@pytest.mark.parametrize("chosen", range(3))
def test_a_score_above_all_others_selects_one_modality(chosen):
    experts = experts_of(3)
    scores = torch.zeros_like(experts.mean)
    scores[chosen] = 200.0

    found = fuse(experts._replace(scores=scores), "learned")

    assert torch.allclose(found.gaussian.mean, experts.mean[chosen])
    assert torch.allclose(found.gaussian.logvar, experts.logvar[chosen])
    assert torch.allclose(found.weight[chosen], torch.ones_like(found.weight[chosen]))


@pytest.mark.parametrize("name", [n for n in WEIGHTINGS if n not in ("static", "gated")])
def test_one_modality_alone_is_itself(name):
    experts = experts_of(1)

    found = fuse(experts, name).gaussian

    assert torch.allclose(found.mean, experts.mean[0], atol=1e-12)
    assert torch.allclose(found.logvar, experts.logvar[0], atol=1e-12)


@pytest.mark.parametrize("name", SUM_TO_ONE)
def test_weights_sum_to_one_in_every_dimension(name):
    found = fuse(experts_of(4), name)

    assert torch.allclose(found.weight.sum(0), torch.ones_like(found.weight[0]))


def test_learned_weights_are_the_softmax_over_modalities_and_not_over_dimensions():
    experts = experts_of(3)

    found = fuse(experts, "learned")

    assert torch.allclose(found.weight, experts.scores.softmax(0))
    assert torch.allclose(found.share, _shares(experts, experts.scores.softmax(0)))


def _shares(experts: Experts, weights: torch.Tensor) -> torch.Tensor:
    parts = weights / experts.logvar.exp()
    return parts / parts.sum(0)


@pytest.mark.parametrize("name", SUM_TO_ONE)
def test_identical_modalities_reproduce_themselves(name):
    one = experts_of(1)
    same = Experts(*(p.expand(3, 4, 2) for p in one[:2]), torch.ones(3, 4, dtype=torch.bool),
                   torch.randn(3, 4, 2, dtype=torch.float64))  # fmt: skip

    found = fuse(same, name).gaussian

    assert torch.allclose(found.mean, one.mean[0])
    assert torch.allclose(found.logvar, one.logvar[0])


def test_static_weights_are_neither_normalised_nor_outside_zero_and_one():
    experts = experts_of(2)
    weights = torch.tensor([0.25, 7.0], dtype=torch.float64)[:, None, None].expand(2, 4, 2)
    precision = 1.0 / experts.logvar.exp()

    found = fuse(experts._replace(scores=weights), "static")

    assert found.weight[:, 0, 0].tolist() == pytest.approx([0.25, 1.0])
    expected = 0.25 * precision[0] + precision[1]
    assert torch.allclose(found.gaussian.logvar.exp(), 1.0 / expected)


def test_entropy_weighs_by_the_entropy_lost_from_prior_to_expert():
    logvar = torch.tensor([-2.0, -6.0, 3.0], dtype=torch.float64)[:, None, None]
    experts = Experts(torch.zeros_like(logvar), logvar, torch.ones(3, 1, dtype=torch.bool))

    found = fuse(experts, "entropy").weight.flatten().tolist()

    # 1 and 3 nats were lost; the third is wider than the prior and counts as 0.01
    assert found == pytest.approx([1 / 4.01, 3 / 4.01, 0.01 / 4.01])


def test_experts_that_are_all_wider_than_the_prior_share_equally_by_entropy():
    logvar = torch.tensor([0.5, 1.0, 3.0])[:, None, None]
    experts = Experts(torch.zeros_like(logvar), logvar, torch.ones(3, 1, dtype=torch.bool))

    assert fuse(experts, "entropy").weight.flatten().tolist() == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("lost", [1e-5, 1e-3, 0.011, 0.1])
def test_an_expert_near_the_prior_has_no_steep_entropy_weight(lost):
    logvar = torch.tensor([-2.0 * lost, -2.0 * lost])[:, None, None].requires_grad_()
    experts = Experts(torch.zeros(2, 1, 1), logvar, torch.ones(2, 1, dtype=torch.bool))

    fuse(experts, "entropy").weight[0].sum().backward()

    assert logvar.grad.abs().max() < 13  # a quarter, the slope of a softmax, of 50


def test_every_weighting_that_can_be_chosen_is_built():
    assert tuple(WEIGHTINGS) == get_args(WeightingName)


def test_a_prior_that_competes_has_its_part_of_the_softmax():
    experts = experts_of(2)._replace(prior_score=torch.tensor([0.0, 40.0], dtype=torch.float64))

    found = fuse(experts, "learned", "weighted")
    logits = torch.cat([experts.scores, experts.prior_score.expand(1, 4, 2)])

    assert torch.allclose(found.weight, logits.softmax(0)[:-1])
    assert torch.allclose(found.gaussian.mean[:, 1], torch.zeros(4, dtype=torch.float64))
    assert torch.allclose(found.gaussian.logvar[:, 1], torch.zeros(4, dtype=torch.float64))


# -- mixtures ----------------------------------------------------------------------------------


def test_a_mixture_is_the_mean_of_the_densities():
    experts = experts_of(3)
    values = torch.randn(4, 2, dtype=torch.float64)
    each = torch.stack([log_density(Gaussian(experts.mean[m], experts.logvar[m]), values)
                        for m in range(3)])  # fmt: skip

    found = fuse(experts, "moe")

    assert torch.allclose(mixture_log_density(found.belief, values), each.exp().mean(0).log())
    assert torch.allclose(found.share, torch.full_like(found.share, 1 / 3))
    assert torch.allclose(found.gaussian.mean, experts.mean.mean(0))


def test_a_mixture_of_products_is_the_mean_of_the_products_of_all_subsets():
    experts = experts_of(2)
    values = torch.randn(4, 2, dtype=torch.float64)
    each = [fuse(only(experts, kept), "poe").gaussian for kept in ([0], [1], [0, 1])]
    expected = torch.stack([log_density(one, values) for one in each]).exp().mean(0).log()

    found = fuse(experts, "mopoe")

    assert torch.allclose(mixture_log_density(found.belief, values), expected)
    assert found.weight[:, 0, 0].tolist() == pytest.approx([2 / 3, 2 / 3])


@pytest.mark.parametrize("prior", ["none", "fixed"])
def test_in_single_precision_every_subset_is_the_product_of_its_own_modalities(prior):
    """Precisions of e^-8 to e^8 side by side, some of them missing."""
    random = torch.Generator().manual_seed(3)
    mean = torch.randn(3, 200, 2, generator=random)
    logvar = 16.0 * torch.rand(3, 200, 2, generator=random) - 8.0
    present = torch.rand(3, 200, generator=random) < 0.7
    logvar[0, :50], logvar[1, :50] = -8.0, 8.0

    found = fuse(Experts(mean, logvar, present), "mopoe", prior)

    exact, shares = Experts(mean.double(), logvar.double(), present), 0.0
    components, log_parts = found.belief
    for row, mean, logvar, log_part in zip(subsets(3), *components, log_parts, strict=True):
        one = fuse(exact._replace(present=present & row[:, None]), "poe", prior)
        assert torch.allclose(mean.double(), one.gaussian.mean, atol=1e-5)
        assert torch.allclose(logvar.double(), one.gaussian.logvar, atol=1e-5)
        shares = shares + log_part.double().exp()[:, None] * one.share
    assert torch.allclose(found.share.double(), shares, atol=1e-5)


# -- order, missing modalities, numbers -----------------------------------------------------------


@pytest.mark.parametrize(("name", "prior"), PRIORS)
def test_the_order_of_modalities_does_not_matter(name, prior):
    experts = experts_of(4)
    turned = only(experts, [2, 0, 3, 1])

    one, other = fuse(experts, name, prior), fuse(turned, name, prior)

    assert torch.allclose(one.gaussian.mean, other.gaussian.mean)
    assert torch.allclose(one.gaussian.logvar, other.gaussian.logvar)
    assert torch.allclose(one.share[[2, 0, 3, 1]], other.share)


@pytest.mark.parametrize(("name", "prior"), PRIORS)
@given(data=st.data())
def test_a_missing_modality_leaves_what_the_others_would_be_without_it(name, prior, data):
    """Whatever stands in its place, nan and infinities included; per sample."""
    experts = experts_of(3, batch=3, seed=1)
    kept = [data.draw(st.lists(st.sampled_from([0, 1, 2]), min_size=1, unique=True))
            for _ in range(3)]  # fmt: skip
    present = torch.tensor([[m in row for row in kept] for m in range(3)])
    rubbish = data.draw(st.sampled_from([math.nan, math.inf, -1e30]))
    spoilt = experts._replace(
        mean=torch.where(present[..., None], experts.mean, rubbish),
        logvar=torch.where(present[..., None], experts.logvar, rubbish),
        present=present,
    )

    found = fuse(spoilt, name, prior)

    for row, members in enumerate(kept):
        alone = fuse(only(experts, sorted(members)), name, prior)
        assert torch.allclose(found.gaussian.mean[row], alone.gaussian.mean[row])
        assert torch.allclose(found.gaussian.logvar[row], alone.gaussian.logvar[row])
        assert torch.allclose(found.share[sorted(members), row], alone.share[:, row])
    assert not found.share[~present].any()
    assert not found.weight[~present].any()


@pytest.mark.parametrize(("name", "prior"), PRIORS)
def test_without_any_modality_the_belief_is_the_prior_exactly(name, prior):
    experts = experts_of(3)
    experts.present[:, 1] = False

    found = fuse(experts, name, prior)

    assert found.gaussian.mean[1].tolist() == [0.0, 0.0]
    assert found.gaussian.logvar[1].tolist() == pytest.approx([0.0, 0.0], abs=1e-12)
    assert found.prior_share[1].tolist() == pytest.approx([1.0, 1.0])
    assert not found.share[:, 1].any()


@pytest.mark.parametrize(("name", "prior"), PRIORS)
def test_shares_of_modalities_and_prior_sum_to_one(name, prior):
    experts = experts_of(3)
    experts.present[0, :2] = False

    found = fuse(experts, name, prior)

    total = found.share.sum(0) + found.prior_share
    assert torch.allclose(total, torch.ones_like(total))


@pytest.mark.parametrize(("name", "prior"), PRIORS)
@pytest.mark.parametrize("logvar", [-1e4, -8.0, 8.0, 1e4])
def test_nothing_is_ever_nan_not_even_a_gradient(name, prior, logvar):
    mean = torch.randn(3, 4, 2, requires_grad=True)
    width = torch.full((3, 4, 2), logvar).requires_grad_()
    scores = torch.full((3, 4, 2), 50.0).requires_grad_()
    present = torch.tensor([[1, 0, 0, 1], [1, 1, 0, 0], [1, 0, 0, 1]], dtype=torch.bool)

    with torch.autograd.set_detect_anomaly(True):  # nor on the way there
        found = fuse(Experts(mean, width, present, scores), name, prior)
        (found.gaussian.mean.sum() + found.gaussian.logvar.sum()).backward()

    tensors = [*found.gaussian, found.weight, found.share, found.prior_share, mean.grad]
    tensors += [t.grad for t in (width, scores) if t.grad is not None]
    assert all(t is not None and torch.isfinite(t).all() for t in tensors)


# -- what is refused --------------------------------------------------------------------------


def test_an_unknown_weighting_is_named_with_a_suggestion():
    with pytest.raises(ParameterError, match=r"no weighting 'lerned'\. Did you mean 'learned'"):
        fuse(experts_of(2), "lerned")


@pytest.mark.parametrize("name", ["learned", "static"])
def test_a_weighting_that_reads_scores_asks_for_them(name):
    with pytest.raises(ParameterError, match="no scores"):
        fuse(experts_of(2)._replace(scores=None), name)


@pytest.mark.parametrize("name", ["poe", "static", "entropy", "moe", "mopoe"])
def test_a_prior_cannot_compete_where_there_is_no_softmax(name):
    with pytest.raises(ParameterError, match="cannot compete"):
        fuse(experts_of(2), name, "weighted")
