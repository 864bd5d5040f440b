"""Mixtures of diagonal Gaussians, and the subsets of which mixtures of products consist."""

from itertools import combinations
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from assay.errors import ParameterError
from assay.parts.latent.gaussians import Gaussian, log_density

__all__ = ["MOST_EXPERTS", "Mixture", "mixture_log_density", "moments", "one_of", "subsets"]

MOST_EXPERTS = 10
"""More would be over a thousand products for every sample."""


class Mixture(NamedTuple):
    """A mixture of Gaussians; with a single component, a Gaussian.

    Attributes:
        components: The components, along the first axis ``[component ... latent]``.
        log_weights: Natural logarithms of their weights, whose sum is 1; ``-inf`` for a component
            that is not there ``[component ...]``.
    """

    components: Gaussian
    log_weights: Float[Tensor, " component *place"]


def moments(mixture: Mixture) -> Gaussian:
    """The Gaussian with the mean and the variances of a mixture.

    Example:
        >>> two = Gaussian(torch.tensor([[-1.0], [1.0]]), torch.zeros(2, 1))
        >>> both = moments(Mixture(two, torch.full((2,), 0.5).log()))
        >>> both.mean.item(), round(both.logvar.exp().item(), 6)
        (0.0, 2.0)
    """
    (means, logvars), log_weights = mixture
    if len(means) == 1:
        return Gaussian(means[0], logvars[0])  # exactly, whatever rounding would make of it
    weights = torch.exp(log_weights)[..., None]
    mean = (weights * means).sum(0)
    variance = (weights * (logvars.exp() + (means - mean).square())).sum(0)
    return Gaussian(mean, variance.log())


def mixture_log_density(
    mixture: Mixture, value: Float[Tensor, "*place latent"]
) -> Float[Tensor, "*place"]:
    """Logarithm of the density of a mixture at a value, in nats."""
    components, log_weights = mixture
    each = log_density(components, value.expand_as(components.mean))
    return torch.logsumexp(log_weights + each, 0)


def one_of(mixture: Mixture) -> Mixture:
    """One component at each place, drawn by the weights with torch's random numbers.

    What is a weighted sum over the components is, in expectation, the same of the one drawn; the
    weights have no gradient then.

    Args:
        mixture: Components ``[component ... latent]`` and the logarithms of their weights.

    Returns:
        A mixture of a single component, of weight 1 ``[1 ... latent]``; the same one where there
        is but one, and no random number is taken then.

    Example:
        >>> two = Gaussian(torch.tensor([[[1.0]], [[2.0]]]), torch.zeros(2, 1, 1))
        >>> one_of(Mixture(two, torch.tensor([[-torch.inf], [0.0]]))).components.mean.tolist()
        [[[2.0]]]
    """
    (means, logvars), log_weights = mixture
    if len(means) == 1:
        return mixture
    arrivals = torch.empty_like(log_weights).exponential_()  # the first by rate: Gumbel's maximum
    chosen = (log_weights - arrivals.log()).argmax(0, keepdim=True)
    index = chosen[..., None].expand(1, *means.shape[1:])
    drawn = Gaussian(means.gather(0, index), logvars.gather(0, index))
    return Mixture(drawn, torch.zeros_like(log_weights[:1]))


def subsets(count: int, largest: int | None = None) -> Bool[Tensor, "subset expert"]:
    """Every subset of some experts but the empty one, the smallest first.

    Args:
        count: Number of experts.
        largest: Size of the largest subset; that of all experts if not given. With 1, the subsets
            are the experts themselves.

    Raises:
        ParameterError: If there are none, or more than `MOST_EXPERTS`, or the largest is below 1.

    Example:
        >>> subsets(2).int().tolist(), subsets(3, largest=1).int().tolist()
        ([[1, 0], [0, 1], [1, 1]], [[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    """
    if not 1 <= count <= MOST_EXPERTS:
        raise ParameterError(f"{count} experts", where="subsets", accepted=f"1 to {MOST_EXPERTS}")
    if largest is None:
        largest = count
    elif largest < 1:
        raise ParameterError(f"largest {largest}", where="subsets", accepted="1 or more")
    sizes = range(1, min(largest, count) + 1)
    chosen = [members for size in sizes for members in combinations(range(count), size)]
    table = torch.zeros(len(chosen), count, dtype=torch.bool)
    for row, members in enumerate(chosen):
        table[row, list(members)] = True
    return table
