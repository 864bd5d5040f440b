"""A learned sampler of actions: a network that turns noise into draws from exp(Q / temperature).

Notable in this file: actions are squashed by tanh, and the density that Stein's step is to follow
changes with the space in which it is taken. *Latent*, before squashing, the change of variables
is exact, and draws follow exp(Q) over the box. *Squashed*, as in published code, the same
correction stands in a space where it does not belong: draws follow exp(Q) x prod(1 - a^2), which
stays off the faces of the box. Both are there; the tests tell them apart.

What a level forbids has no gradient. Here it is an arc of a tangent, smooth and never zero, so
draws may be forbidden ones: whoever acts asks the mask.

Sources: amortised Stein variational gradient descent, Feng et al. 2017; for soft Q-learning
Haarnoja et al. 2017; the smooth indicator Rietz et al. 2024 (public code).
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.errors import ParameterError, StepError
from assay.systems.policy_composition.q_network import tensor

__all__ = [
    "ActionSampler",
    "Constraint",
    "Space",
    "Values",
    "log_target",
    "median_bandwidth",
    "round_draws",
    "smooth_log_allowed",
    "squash_correction",
    "stein_direction",
    "stein_step",
]

Space = Literal["latent", "squashed"]
Values = Callable[[Tensor, Tensor], Tensor]
"""States ``[batch, ...]`` and actions ``[batch, K, axes]`` to numbers ``[batch, K]``."""
NARROWEST = 1e-3
SOFTNESS = 0.01


class ActionSampler(nn.Module):
    """Draws from [-1, 1]^axes that depend on the state: tanh of a network of state and noise.

    Args:
        observations: Numbers in a state.
        axes: Numbers in an action, and in the noise.
        width: Width of its two tanh layers.
        scale: What states are divided by.
    """

    def __init__(self, observations: int, axes: int, width: int = 64, scale: float = 1.0) -> None:
        super().__init__()
        self.of_state = nn.Linear(observations, width)
        self.of_noise = nn.Linear(axes, width, bias=False)
        self.hidden = nn.Linear(width, width)
        self.out = nn.Linear(width, axes)
        self.through = nn.Linear(axes, axes, bias=False)
        nn.init.eye_(self.through.weight)
        self.axes, self.scale = axes, scale

    def latent(
        self, states: Float[Tensor, "batch observations"], noise: Float[Tensor, "batch count axes"]
    ) -> Float[Tensor, "batch count axes"]:
        """Draws before they are squashed; at first hardly more than the noise itself."""
        flow = self.of_state(states / self.scale)[:, None] + self.of_noise(noise)
        return self.through(noise) + self.out(torch.tanh(self.hidden(torch.tanh(flow))))

    def draw(
        self, states: Float[np.ndarray, "batch observations"], count: int, rng: np.random.Generator
    ) -> Float[np.ndarray, "batch count axes"]:
        """So many actions for each state."""
        noise = tensor(rng.standard_normal((len(states), count, self.axes)))
        with torch.no_grad():
            return torch.tanh(self.latent(tensor(states), noise)).numpy()


def squash_correction(latent: Float[Tensor, "*batch axes"]) -> Float[Tensor, "*batch"]:
    """Log of how far tanh stretches volume: the sum of ln(1 - tanh(u)^2), without cancellation."""
    return (2.0 * (math.log(2.0) - latent - nn.functional.softplus(-2.0 * latent))).sum(-1)


def smooth_log_allowed(slack: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Log of a smooth indicator of slack >= 0: atan2(0.01, -slack) / pi.

    It is 1/2 at the edge. Far beyond it falls as 1 / slack only, which still has a gradient.

    Example:
        >>> smooth_log_allowed(torch.tensor([0.0, 1e6])).exp().tolist()
        [0.5, 1.0]
    """
    return torch.log(torch.atan2(torch.full_like(slack, SOFTNESS), -slack) / math.pi)


class Constraint(NamedTuple):
    """A level above.

    Attributes:
        q: What actions are worth to it.
        least: The least that an allowed action is worth in each state, ``[batch]``.
    """

    q: Values
    least: Tensor


def log_target(q: Values, *, temperature: float = 1.0, above: Sequence[Constraint] = ()) -> Values:
    """The log density, but for a constant, that a level draws from inside those above.

    Args:
        q: What actions are worth to the level.
        temperature: > 0, in its unit.
        above: The levels above, in the states that will be asked about.
    """

    def log_density(states: Tensor, actions: Tensor) -> Tensor:
        found = q(states, actions) / temperature
        for level in above:
            slack = level.q(states, actions) - level.least[:, None]
            found = found + smooth_log_allowed(slack)
        return found

    return log_density


def median_bandwidth(
    squared: Float[Tensor, "batch fixed moved"],
) -> Float[Tensor, "batch 1 1"]:
    """Width of the kernel in each state: median squared distance / ln(number of fixed particles).

    Of an even number of distances the lower of the two in the middle counts; 0.001 at least.
    """
    middle = squared.flatten(1).median(dim=1).values / math.log(squared.shape[1])
    return middle.clamp_min(NARROWEST)[:, None, None]


def stein_direction(
    fixed: Float[Tensor, "batch fixed axes"],
    moved: Float[Tensor, "batch moved axes"],
    score: Float[Tensor, "batch fixed axes"],
) -> Float[Tensor, "batch moved axes"]:
    """Where particles have to go so that their distribution nears the target fastest.

    It is the mean over the fixed particles x of k(x, y) score(x) + dk(x, y)/dx, with the kernel
    k = exp(-|x - y|^2 / width): towards what is likely, and away from one another.

    Args:
        fixed: Particles that stand for the present distribution, two at least.
        moved: Particles whose directions are wanted.
        score: Gradient of the log target at the fixed ones.

    Raises:
        ParameterError: If there are fewer than two fixed particles.
    """
    if fixed.shape[1] < 2:
        raise ParameterError(f"{fixed.shape[1]} fixed particles", accepted="2 or more")
    apart = fixed[:, :, None] - moved[:, None]  # [batch, fixed, moved, axes]
    squared = apart.square().sum(-1)
    width = median_bandwidth(squared)
    near = torch.exp(-squared / width)
    away = -2.0 * apart / width[..., None]
    return (near[..., None] * (score[:, :, None] + away)).mean(dim=1)


def stein_step(
    sampler: ActionSampler,
    optimiser: torch.optim.Optimizer,
    states: Float[Tensor, "batch observations"],
    target: Values,
    noise: Float[Tensor, "batch particles axes"],
    *,
    space: Space = "latent",
) -> float:
    """Teach a sampler by one Stein step: half of its draws stand, half are moved.

    Args:
        sampler: The network, changed in place.
        optimiser: Of its parameters.
        states: Some states.
        target: Log density of actions, as of `log_target`.
        noise: Standard normal; of the particles that come of it the first half are fixed.
        space: Where the step is taken, see above.

    Returns:
        Mean length of the directions.

    Raises:
        ParameterError: If there is no such space, or there are fewer than four particles.
        StepError: If numbers become infinite.
    """
    if space not in get_args(Space):
        raise ParameterError(f"no space {space!r}", accepted=" or ".join(get_args(Space)))
    if noise.shape[1] < 4:
        raise ParameterError(f"{noise.shape[1]} particles", accepted="4 or more")
    half = noise.shape[1] // 2
    with torch.no_grad():
        standing = _placed(sampler.latent(states, noise[:, :half]), space)
    moved = _placed(sampler.latent(states, noise[:, half:]), space)
    score = _score(states, standing, target, space)
    direction = stein_direction(standing, moved.detach(), score)
    loss = -(moved * direction).sum(-1).mean()
    if not bool(torch.isfinite(loss)):
        raise StepError("values became infinite", next="Lower the learning rate.")
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return float(direction.norm(dim=-1).mean())


def _placed(latent: Tensor, space: Space) -> Tensor:
    return latent if space == "latent" else torch.tanh(latent)


def _score(states: Tensor, particles: Tensor, target: Values, space: Space) -> Tensor:
    """Gradient of the log target at particles of a space."""
    at = particles.clone().requires_grad_()
    if space == "latent":
        log_density = target(states, torch.tanh(at)) + squash_correction(at)
    else:
        log_density = target(states, at) + torch.log(1.0 - at.square() + 1e-6).sum(-1)
    (score,) = torch.autograd.grad(log_density.sum(), at)
    return score


def round_draws(
    centres: Float[np.ndarray, "batch draws axes"],
    count: int,
    rng: np.random.Generator,
    *,
    share: float = 0.5,
    spread: float = 0.2,
) -> tuple[Float[np.ndarray, "batch count axes"], Float[np.ndarray, "batch count"]]:
    """Proposals round a sampler's draws and some from the whole box, weighed by their density.

    The density of a sampler's draws is not known, that of a normal kernel round each of them,
    cut off at the faces of the box, is. A share of uniform proposals bounds the weights, so the
    mean of weight x exp(Q) has no bias, whatever the sampler has learnt.

    Args:
        centres: Draws, in [-1, 1].
        count: Proposals for each state.
        rng: Where they are drawn from.
        share: Of uniform proposals, above 0; at least one is.
        spread: Standard deviation of a kernel.

    Returns:
        Proposals, and the logs of their weights: uniform density over that of the mixture.

    Raises:
        ParameterError: If a parameter is out of range.
    """
    if not (0 < share <= 1 and spread > 0 and count >= 1):
        raise ParameterError(
            f"{count} proposals, a share of {share:g} uniform, a spread of {spread:g}",
            accepted="at least 1, above 0 up to 1, above 0",
        )
    from scipy.special import ndtr, ndtri

    centres = centres.astype(float)  # in single precision high - low is too large now and then
    batch, draws, axes = centres.shape
    uniform = max(round(share * count), 1)
    found = rng.uniform(-1.0, 1.0, (batch, count, axes))
    chosen = np.take_along_axis(
        centres, rng.integers(draws, size=(batch, count - uniform))[..., None], axis=1
    )
    low, high = ndtr((-1.0 - chosen) / spread), ndtr((1.0 - chosen) / spread)
    at = np.clip(low + (high - low) * rng.random(chosen.shape), low, high)
    found[:, uniform:] = np.clip(chosen + spread * ndtri(at), -1.0, 1.0)
    apart = (found[:, :, None] - centres[:, None]) / spread  # [batch, count, draws, axes]
    mass = spread * (ndtr((1.0 - centres) / spread) - ndtr((-1.0 - centres) / spread))
    log_kernel = -0.5 * apart**2 - np.log(mass * math.sqrt(2.0 * math.pi) / 2.0)[:, None]
    kernel = np.exp(log_kernel.sum(axis=-1)).mean(axis=-1)
    part = uniform / count
    return found, -np.log(part + (1.0 - part) * kernel)
