"""Diagonal Gaussians by mean and logarithm of the variance.

The variance itself is never stored: a product of experts needs precisions that span many orders of
magnitude, and their logarithms add up without overflow. Nothing here adds an epsilon to a variance
or a precision; where a bound is needed it is one of `LOGVAR_LIMITS`, taken once, where experts
are joined.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "LOGVAR_LIMITS",
    "Gaussian",
    "bounded_logvar",
    "kl",
    "kl_to_standard",
    "log_density",
    "sample",
    "standard",
]

LOGVAR_LIMITS = (-8.0, 8.0)
"""Standard deviations from 0.018 to 55, in units of a standard normal prior.

Beyond them an expert that is certain drowns every other in fp32, whose sums keep seven digits, and
one that is ignorant is as good as absent. A clamp has no gradient outside, so what an encoder says
there is neither rewarded nor punished, and it may drift: begin near 0.
"""
LOG_2PI = math.log(2.0 * math.pi)


class Gaussian(NamedTuple):
    """A diagonal Gaussian for each place of the leading axes.

    Attributes:
        mean: Mean ``[... latent]``.
        logvar: Natural logarithm of the variance ``[... latent]``.
    """

    mean: Float[Tensor, "*place latent"]
    logvar: Float[Tensor, "*place latent"]


def standard(like: Float[Tensor, "*place latent"]) -> Gaussian:
    """The standard normal, in the shape and precision of a tensor."""
    return Gaussian(torch.zeros_like(like), torch.zeros_like(like))


def bounded_logvar(logvar: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """A log-variance within `LOGVAR_LIMITS`, without a gradient where it was outside."""
    return logvar.clamp(*LOGVAR_LIMITS)


def log_density(
    gaussian: Gaussian, value: Float[Tensor, "*place latent"]
) -> Float[Tensor, "*place"]:
    """Logarithm of the density at a value, summed over the latent dimensions, in nats.

    Example:
        >>> origin = torch.zeros(1, dtype=torch.float64)
        >>> round(log_density(standard(origin), origin).item(), 6)
        -0.918939
    """
    mean, logvar = gaussian
    squares = (value - mean).square() * torch.exp(-logvar)
    return -0.5 * (squares + logvar + LOG_2PI).sum(-1)


def kl_to_standard(gaussian: Gaussian) -> Float[Tensor, "*place"]:
    """KL divergence to the standard normal, in nats; never negative."""
    mean, logvar = gaussian
    return 0.5 * (torch.expm1(logvar) - logvar + mean.square()).sum(-1)


def kl(gaussian: Gaussian, other: Gaussian) -> Float[Tensor, "*place"]:
    """KL divergence from one Gaussian to another, in nats.

    Example:
        >>> q = Gaussian(torch.tensor([1.0]), torch.tensor([0.0]))
        >>> kl(q, standard(q.mean)).item(), kl(q, q).item()
        (0.5, 0.0)
    """
    apart = (gaussian.mean - other.mean).square() * torch.exp(-other.logvar)
    wider = gaussian.logvar - other.logvar
    return 0.5 * (torch.expm1(wider) - wider + apart).sum(-1)


def sample(gaussian: Gaussian) -> Float[Tensor, "*place latent"]:
    """One value from each, by torch's random numbers; gradients pass through both parameters."""
    mean, logvar = gaussian
    return mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
