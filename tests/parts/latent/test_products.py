"""Generalised products against the product of the densities themselves."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import ParameterError
from assay.parts.latent.gaussians import LOGVAR_LIMITS, Gaussian, log_density
from assay.parts.latent.products import weighted_product

GRID = torch.linspace(-250, 250, 12_001, dtype=torch.float64)  # 12 deviations of the widest
EXPERTS = st.lists(
    st.tuples(st.floats(-4, 4), st.floats(-3, 3), st.floats(0.05, 2.0)), min_size=1, max_size=5
)


def experts_of(said) -> tuple[Gaussian, torch.Tensor]:
    mean, logvar, weight = torch.tensor(said, dtype=torch.float64).T[..., None]
    return Gaussian(mean, logvar), weight.log()


@given(EXPERTS)
def test_a_product_is_the_product_of_the_densities_scaled_to_one(said):
    """By quadrature, which knows nothing of precisions."""
    experts, log_weights = experts_of(said)
    logs = sum(
        log_weights[k].exp() * log_density(
            Gaussian(*(part[k].expand(len(GRID), 1) for part in experts)), GRID[:, None]
        )
        for k in range(len(said))
    )  # fmt: skip
    density = (logs - logs.max()).exp()
    density = density / torch.trapezoid(density, GRID)
    mean = torch.trapezoid(density * GRID, GRID)
    variance = torch.trapezoid(density * (GRID - mean) ** 2, GRID)

    found = weighted_product(experts, log_weights).gaussian

    assert found.mean.item() == pytest.approx(mean.item(), abs=1e-6)
    assert found.logvar.exp().item() == pytest.approx(variance.item(), rel=1e-6)


@given(EXPERTS, st.randoms())
def test_the_order_of_experts_does_not_matter(said, random):
    shuffled = random.sample(said, len(said))

    one, other = (weighted_product(*experts_of(s)).gaussian for s in (said, shuffled))

    assert torch.allclose(torch.cat(one), torch.cat(other), atol=1e-12)


@given(EXPERTS)
def test_shares_sum_to_one_and_weigh_the_means(said):
    experts, log_weights = experts_of(said)

    product = weighted_product(experts, log_weights)

    assert product.share.sum().item() == pytest.approx(1.0, abs=1e-12)
    assert (product.share * experts.mean).sum().item() == pytest.approx(
        product.gaussian.mean.item(), abs=1e-12
    )


@given(EXPERTS)
def test_with_weights_that_sum_to_one_nobody_becomes_surer_than_the_surest(said):
    experts, log_weights = experts_of(said)

    found = weighted_product(experts, log_weights.log_softmax(0)).gaussian

    assert found.logvar.item() >= experts.logvar.min().item() - 1e-9
    assert found.logvar.item() <= experts.logvar.max().item() + 1e-9


def test_an_expert_alone_with_weight_one_is_itself_to_the_bit():
    alone = Gaussian(torch.randn(1, 4, 3), torch.randn(1, 4, 3))

    found = weighted_product(alone, torch.zeros(1, 4, 3))

    assert torch.equal(found.gaussian.mean, alone.mean[0])
    assert torch.equal(found.gaussian.logvar, alone.logvar[0])


@pytest.mark.parametrize("first", LOGVAR_LIMITS)
@pytest.mark.parametrize("second", LOGVAR_LIMITS)
@pytest.mark.parametrize("log_weight", [-30.0, 0.0, -torch.inf])
def test_values_and_gradients_are_finite_at_both_limits(first, second, log_weight):
    mean = torch.tensor([[-1.0], [1.0]], requires_grad=True)
    logvar = torch.tensor([[first], [second]], requires_grad=True)
    weights = torch.tensor([[0.0], [log_weight]], requires_grad=True)

    product = weighted_product(Gaussian(mean, logvar), weights)
    (product.gaussian.mean + product.gaussian.logvar).sum().backward()

    parts = (*product.gaussian, product.share, mean.grad, logvar.grad, weights.grad)
    assert all(part is not None and torch.isfinite(part).all() for part in parts)


def test_an_expert_without_weight_might_as_well_not_be_there():
    experts = Gaussian(torch.randn(3, 5, 2), torch.randn(3, 5, 2))
    weights = torch.zeros(3, 5, 2)
    weights[1] = -torch.inf

    found = weighted_product(experts, weights)
    without = weighted_product(Gaussian(*(part[[0, 2]] for part in experts)), torch.zeros(2, 5, 2))

    assert torch.equal(found.gaussian.mean, without.gaussian.mean)
    assert not found.share[1].any()


def test_no_expert_with_a_weight_is_refused():
    with pytest.raises(ParameterError, match="no expert has any weight"):
        weighted_product(
            Gaussian(torch.zeros(2, 1), torch.zeros(2, 1)), torch.full((2, 1), -torch.inf)
        )
