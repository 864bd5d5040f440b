"""Gaussians against scipy, quadrature and the formulas of a textbook."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from assay.parts.latent.gaussians import (
    LOGVAR_LIMITS,
    Gaussian,
    bounded_logvar,
    kl,
    kl_to_standard,
    log_density,
    sample,
    standard,
)

GRID = torch.linspace(-60, 60, 2_001, dtype=torch.float64)
MEANS = st.floats(-5, 5)
LOGVARS = st.floats(-3, 3)


def one(mean: float, logvar: float) -> Gaussian:
    return Gaussian(*(torch.tensor([v], dtype=torch.float64) for v in (mean, logvar)))


def on_grid(gaussian: Gaussian) -> torch.Tensor:
    places = Gaussian(*(part.expand(len(GRID), 1) for part in gaussian))
    return log_density(places, GRID[:, None])


@given(mean=MEANS, logvar=LOGVARS, value=MEANS)
def test_the_density_is_that_of_scipy_summed_over_dimensions(mean, logvar, value):
    two = Gaussian(*(torch.tensor([v, 0.0], dtype=torch.float64) for v in (mean, logvar)))
    expected = norm(mean, np.exp(logvar / 2)).logpdf(value) + norm().logpdf(1.0)

    found = log_density(two, torch.tensor([value, 1.0], dtype=torch.float64))

    assert found.item() == pytest.approx(expected, abs=1e-9)


@given(MEANS, LOGVARS, MEANS, LOGVARS)
def test_the_divergence_is_the_integral_it_stands_for(m1, v1, m2, v2):
    p, q = one(m1, v1), one(m2, v2)
    integrand = on_grid(p).exp() * (on_grid(p) - on_grid(q))

    assert kl(p, q).item() == pytest.approx(torch.trapezoid(integrand, GRID).item(), abs=1e-6)


@given(MEANS, st.floats(*LOGVAR_LIMITS))
def test_the_divergence_from_the_prior_is_the_general_one_and_never_negative(mean, logvar):
    q = one(mean, logvar)

    assert kl_to_standard(q).item() == pytest.approx(kl(q, standard(q.mean)).item(), rel=1e-12)
    assert kl_to_standard(q).item() >= 0


def test_the_divergence_from_the_prior_is_summed_over_dimensions():
    q = Gaussian(torch.ones(2, 3), torch.zeros(2, 3))

    assert kl_to_standard(q).tolist() == [1.5, 1.5]


def test_a_sample_has_the_moments_asked_for_and_gradients_reach_both():
    mean = torch.full((50_000, 1), 2.0, requires_grad=True)
    logvar = torch.full((50_000, 1), np.log(9.0), requires_grad=True)
    torch.manual_seed(0)

    drawn = sample(Gaussian(mean, logvar))
    drawn.sum().backward()

    assert drawn.mean().item() == pytest.approx(2.0, abs=0.06)
    assert drawn.std().item() == pytest.approx(3.0, rel=0.02)
    assert torch.equal(mean.grad, torch.ones_like(mean))
    assert torch.allclose(logvar.grad, (drawn.detach() - 2.0) / 2.0, atol=1e-5)


def test_a_log_variance_beyond_the_limits_is_cut_and_has_no_gradient_there():
    logvar = torch.tensor([-20.0, 0.5, 20.0], requires_grad=True)

    found = bounded_logvar(logvar)
    found.sum().backward()

    assert found.tolist() == [LOGVAR_LIMITS[0], 0.5, LOGVAR_LIMITS[1]]
    assert logvar.grad.tolist() == [0.0, 1.0, 0.0]
