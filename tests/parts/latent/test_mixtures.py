"""Mixtures against quadrature, and the subsets of a mixture of products."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import ParameterError
from assay.parts.latent.gaussians import Gaussian
from assay.parts.latent.mixtures import Mixture, mixture_log_density, moments, one_of, subsets

GRID = torch.linspace(-40, 40, 40_001, dtype=torch.float64)
PARTS = st.lists(
    st.tuples(st.floats(-4, 4), st.floats(-3, 3), st.floats(0.05, 1.0)), min_size=1, max_size=4
)


def mixture_of(said) -> Mixture:
    mean, logvar, weight = torch.tensor(said, dtype=torch.float64).T
    return Mixture(Gaussian(mean[:, None], logvar[:, None]), (weight / weight.sum()).log())


@given(PARTS)
def test_the_density_integrates_to_one_and_has_the_moments_said(said):
    mixture = mixture_of(said)
    along = Mixture(
        Gaussian(*(p[:, None].expand(len(said), len(GRID), 1) for p in mixture.components)),
        mixture.log_weights[:, None].expand(len(said), len(GRID)),
    )
    density = mixture_log_density(along, GRID[:, None]).exp()
    mean = torch.trapezoid(density * GRID, GRID).item()
    variance = torch.trapezoid(density * (GRID - mean) ** 2, GRID).item()

    found = moments(mixture)

    assert torch.trapezoid(density, GRID).item() == pytest.approx(1.0, abs=1e-6)
    assert found.mean.item() == pytest.approx(mean, abs=1e-6)
    assert found.logvar.exp().item() == pytest.approx(variance, rel=1e-6)


def test_a_component_without_weight_counts_for_nothing():
    both = Mixture(Gaussian(torch.tensor([[1.0], [9.0]]), torch.zeros(2, 1)),
                   torch.tensor([0.0, -torch.inf]))  # fmt: skip
    alone = Mixture(Gaussian(torch.tensor([[1.0]]), torch.zeros(1, 1)), torch.zeros(1))
    value = torch.tensor([0.3])

    assert moments(both).mean.item() == 1.0
    assert moments(both).logvar.item() == pytest.approx(0.0, abs=1e-7)
    assert mixture_log_density(both, value).item() == mixture_log_density(alone, value).item()


@pytest.mark.parametrize("count", range(1, 7))
def test_there_is_every_subset_but_the_empty_one_once(count):
    table = subsets(count)

    assert table.shape == (2**count - 1, count)
    assert len({tuple(row) for row in table.tolist()}) == 2**count - 1
    assert table.any(1).all()


@pytest.mark.parametrize("count", [0, 11])
def test_too_many_experts_are_refused(count):
    with pytest.raises(ParameterError, match=f"{count} experts; expected 1 to 10"):
        subsets(count)


@pytest.mark.parametrize("largest", [0, -1])
def test_subsets_of_nobody_are_refused(largest):
    with pytest.raises(ParameterError, match=f"largest {largest}; expected 1 or more"):
        subsets(3, largest)


def test_one_component_is_drawn_as_often_as_its_weight_says():
    weights, count = torch.tensor([0.5, 0.0, 0.2, 0.3]), 40_000
    means = torch.arange(4.0)[:, None, None].expand(4, count, 2)
    torch.manual_seed(0)

    found = one_of(Mixture(Gaussian(means, -means), weights.log()[:, None].expand(4, count)))

    assert found.log_weights.shape == (1, count)
    assert (found.log_weights == 0.0).all()
    assert torch.equal(found.components.mean, -found.components.logvar)  # of the same component
    assert torch.equal(*found.components.mean.unbind(-1))
    for number, weight in enumerate(weights.tolist()):
        share = (found.components.mean[0, :, 0] == number).double().mean().item()
        assert share == pytest.approx(weight, abs=4 * (weight * (1 - weight) / count) ** 0.5)


def test_a_single_component_is_drawn_as_it_is_with_its_gradient():
    mean = torch.ones(1, 3, 2, requires_grad=True)

    drawn = one_of(Mixture(Gaussian(mean, torch.zeros(1, 3, 2)), torch.zeros(1, 3))).components
    drawn.mean.sum().backward()

    assert torch.equal(drawn.mean, mean)
    assert torch.equal(mean.grad, torch.ones(1, 3, 2))
