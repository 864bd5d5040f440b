"""The learned sampler: Stein's step by hand, the densities it comes to, proposals round it."""

import math
from typing import cast

import numpy as np
import pytest
import torch
from scipy.stats import norm, truncnorm

from assay.errors import ParameterError, StepError
from assay.systems.policy_composition.proposals import log_mean_exp
from assay.systems.policy_composition.sampler import (
    ActionSampler,
    Constraint,
    log_target,
    median_bandwidth,
    round_draws,
    smooth_log_allowed,
    squash_correction,
    stein_direction,
    stein_step,
)


def test_the_direction_between_two_particles_by_hand():
    """Squared distances 1/16 and 9/16: width is 1 / (16 ln 2), kernels are 1/2 and 1/512."""
    fixed, moved = torch.tensor([[[0.0], [1.0]]]), torch.tensor([[[0.25]]])
    score = torch.tensor([[[3.0], [-5.0]]])
    width = 1 / (16 * math.log(2))
    first = 0.5 * (3.0 + 2 * 0.25 / width)  # from 0 it is pushed up, away from it
    second = (-5.0 - 2 * 0.75 / width) / 512

    found = stein_direction(fixed, moved, score)

    assert found.item() == pytest.approx((first + second) / 2, rel=1e-5)


def test_the_kernel_term_is_the_derivative_of_the_kernel_to_the_fixed_particle():
    torch.manual_seed(0)
    fixed, moved, score = torch.randn(3, 4, 5, 2, dtype=torch.float64)
    fixed.requires_grad_()
    expected = torch.zeros(4, 5, 2, dtype=torch.float64)
    for row in range(4):
        apart = (fixed[row, :, None] - moved[row]).square().sum(-1)
        width = apart.detach().flatten().sort().values[12] / math.log(5)  # of 25 the 13th
        kernel = torch.exp(-apart / width)
        for y in range(5):
            (slope,) = torch.autograd.grad(kernel[:, y].sum(), fixed, retain_graph=True)
            expected[row, y] = ((kernel[:, y, None] * score[row]).sum(0) + slope[row].sum(0)) / 5

    assert stein_direction(fixed, moved, score).detach() == pytest.approx(expected.detach())


def test_the_bandwidth_is_of_each_state_and_never_zero():
    apart = torch.stack([torch.tensor([[1.0, 2.0, 3.0]] * 3), torch.zeros(3, 3)])

    found = median_bandwidth(apart)

    assert found.flatten().tolist() == pytest.approx([2 / math.log(3), 1e-3])


def test_stretching_of_volume_and_without_cancellation():
    latent = torch.tensor([[0.3, -1.2], [50.0, 0.0]], dtype=torch.float64)

    found = squash_correction(latent)

    assert found[0].item() == pytest.approx(np.log(1 - np.tanh([0.3, -1.2]) ** 2).sum())
    assert found[1].item() == pytest.approx(2 * math.log(2) - 100)


def test_the_smooth_indicator_is_an_angle_with_a_slope_everywhere():
    slack = torch.tensor([-100.0, -0.01, 0.0, 0.01, 100.0], dtype=torch.float64, requires_grad=True)
    found = smooth_log_allowed(slack)
    found.sum().backward()

    assert found.exp()[1:4].tolist() == pytest.approx([0.25, 0.5, 0.75])
    assert found.exp()[[0, 4]].tolist() == pytest.approx([1e-4 / math.pi, 1], rel=1e-4)
    assert (slack.grad > 0).all()


def test_a_target_is_the_value_over_temperature_and_what_levels_above_leave():
    states, actions = torch.zeros(1, 1), torch.tensor([[[0.5], [-0.01]]], dtype=torch.float64)
    above = Constraint(lambda s, a: a[..., 0] + 7.0, torch.tensor([7.0]))
    found = log_target(lambda s, a: 3 * a[..., 0], temperature=0.5, above=[above])(states, actions)
    by_hand = math.atan2(0.01, -0.5) / math.pi

    assert found[0].tolist() == pytest.approx([3.0 + math.log(by_hand), -0.06 + math.log(0.25)])


def trained(q, axes, *, steps=400, particles=64, space="latent", above=(), states=1):
    """Many draws of a sampler after learning a density that does not depend on the state."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    sampler = ActionSampler(1, axes, width=32)
    optimiser = torch.optim.Adam(sampler.parameters(), 1e-2)
    target, at = log_target(q, above=above), torch.zeros(states, 1)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 1e-2 * (1 - 0.95 * step / steps)
        stein_step(
            sampler, optimiser, at, target, torch.randn(states, particles, axes), space=space
        )
    return sampler.draw(np.zeros((1, 1)), 4000, np.random.default_rng(0))[0]


def flat(states, actions):
    return 0.0 * actions.sum(-1)


def test_of_equal_values_draws_are_even_in_latent_space_and_avoid_the_faces_in_squashed_space():
    """Variances of the uniform density and of that in proportion to 1 - a^2: 1/3 and 1/5."""
    even, inward = trained(flat, 1), trained(flat, 1, space="squashed")

    assert even.mean() == pytest.approx(0, abs=0.06)
    assert even.var() == pytest.approx(1 / 3, rel=0.12)
    assert inward.var() == pytest.approx(1 / 5, rel=0.12)


def test_draws_have_the_moments_of_a_normal_density_cut_off_at_a_face():
    """Mean 0.8 and standard deviation 0.3 before the face at 1 cuts it off; 0.2 on the other."""
    middle, wide = torch.tensor([0.8, -0.3]), torch.tensor([0.3, 0.2])
    found = trained(lambda s, a: -0.5 * ((a - middle) / wide).square().sum(-1), 2)
    first = truncnorm(-1.8 / 0.3, 0.2 / 0.3, 0.8, 0.3)

    assert found.mean(axis=0) == pytest.approx([first.mean(), -0.3], abs=0.08)
    assert found.std(axis=0) == pytest.approx([first.std(), 0.2], rel=0.25)


def test_draws_are_of_both_parts_of_a_mixture():
    """Two normal parts at -0.5 and 0.5; a kernel as wide as the median fills the gap somewhat."""

    def q(states, actions):
        parts = [-0.5 * ((actions - m) / 0.15).square().sum(-1) for m in (-0.5, 0.5)]
        return torch.logsumexp(torch.stack(parts), dim=0)

    found = trained(q, 1)[:, 0]
    right = found[found > 0]

    assert 0.25 < len(right) / len(found) < 0.75
    assert right.mean() == pytest.approx(0.5, abs=0.08)
    assert np.median(np.abs(found)) == pytest.approx(0.5, abs=0.06)


def test_a_level_above_keeps_draws_to_its_side():
    """A standard deviation of 0.5 round 0, of which the half above 0 is left."""
    above = Constraint(lambda s, a: 20 * a[..., 0], torch.zeros(1))
    found = trained(lambda s, a: -2.0 * a.square().sum(-1), 1, above=[above])[:, 0]
    left = truncnorm(0, 2, 0, 0.5)

    assert (found > 0).mean() > 0.8  # of all, it would be half
    assert found.mean() == pytest.approx(left.mean(), abs=0.12)


def test_draws_depend_on_the_state_and_repeat():
    torch.manual_seed(0)
    sampler = ActionSampler(2, 3, width=8, scale=2.0)
    states = np.array([[0.0, 1.0], [2.0, -1.0]])
    one, same = (sampler.draw(states, 5, np.random.default_rng(1)) for _ in range(2))
    halved = ActionSampler(2, 3, width=8)
    halved.load_state_dict(sampler.state_dict())

    assert one.shape == (2, 5, 3)
    assert np.abs(one).max() < 1
    assert (one == same).all()
    assert (halved.draw(states / 2, 5, np.random.default_rng(1)) == one).all()
    swapped = sampler.draw(states[::-1].copy(), 5, np.random.default_rng(1))
    assert not np.allclose(one, swapped)


def test_proposals_round_draws_are_weighed_by_their_density():
    """Every weight against the truncated normal of scipy, one kernel on each of two axes."""
    centres = np.array([[[0.9, -0.2], [-0.4, 0.0]]])
    found, log_weights = round_draws(centres, 40, np.random.default_rng(0), share=0.25, spread=0.3)
    kernels = np.ones((2, 40))
    for row, centre in enumerate(centres[0]):
        for axis, middle in enumerate(centre):
            cut = truncnorm((-1 - middle) / 0.3, (1 - middle) / 0.3, middle, 0.3)
            kernels[row] *= 2 * cut.pdf(found[0, :, axis])  # against 1/2, the even density

    assert np.abs(found).max() <= 1
    assert np.exp(-log_weights[0]) == pytest.approx(0.25 + 0.75 * kernels.mean(axis=0))
    assert (np.abs(found[0, 10:] - 0.9).min() < 0.3).all()


class _Highest:
    """Draws the largest number below 1 each time, and the first centre."""

    def random(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.full(shape, np.nextafter(1.0, 0.0))

    def uniform(self, low: float, high: float, shape: tuple[int, ...]) -> np.ndarray:
        return np.full(shape, low)

    def integers(self, draws: int, size: tuple[int, ...]) -> np.ndarray:
        return np.zeros(size, int)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_highest_draw_from_any_kernel_is_a_number_in_the_box(kind: type):
    centres = np.linspace(-1, 1, 2001, dtype=kind)[:, None, None]
    found, log_weights = round_draws(centres, 2, cast("np.random.Generator", _Highest()))

    assert np.abs(found).max() <= 1
    assert np.isfinite(log_weights).all()


def test_weighed_proposals_estimate_the_soft_value_without_bias():
    """The mean of exp(g a) over the box is sinh(g) / g on every axis; draws are one-sided."""
    g, rng = np.array([2.0, -1.0, 0.5]), np.random.default_rng(0)
    centres = np.tanh(rng.normal([1.0, 0.5, 0.0], 0.5, (4000, 6, 3)))
    found, log_weights = round_draws(centres, 16, rng, share=0.25, spread=0.4)
    one_by_one = np.exp(found @ g + log_weights).mean(axis=1)
    exact = np.prod(np.sinh(g) / g)

    error = one_by_one.std() / math.sqrt(len(one_by_one))
    assert one_by_one.mean() == pytest.approx(exact, abs=norm.ppf(0.9999) * error)
    assert error < 0.03 * exact
    together = log_mean_exp((found @ g).reshape(1, -1), log_weights.reshape(1, -1), 1.0)
    assert together[0] == pytest.approx(math.log(exact), abs=0.1)


def test_parameters_out_of_range_are_refused():
    sampler = ActionSampler(1, 1, width=4)
    optimiser = torch.optim.Adam(sampler.parameters())
    at, some = torch.zeros(1, 1), torch.zeros(1, 4, 1)
    with pytest.raises(ParameterError, match="no space 'flat'; expected latent or squashed"):
        stein_step(sampler, optimiser, at, flat, some, space="flat")
    with pytest.raises(ParameterError, match="3 particles; expected 4 or more"):
        stein_step(sampler, optimiser, at, flat, some[:, :3])
    with pytest.raises(ParameterError, match="1 fixed particles; expected 2"):
        stein_direction(*torch.zeros(3, 1, 1, 1))
    before = sampler.out.weight.detach().clone()
    with pytest.raises(StepError, match="infinite"):
        stein_step(sampler, optimiser, at, lambda s, a: a.sum(-1) * np.inf, torch.randn(1, 4, 1))
    assert (sampler.out.weight == before).all()
    with pytest.raises(ParameterError, match="a share of 0 uniform"):
        round_draws(np.zeros((1, 1, 1)), 2, np.random.default_rng(0), share=0.0)
