"""Generalised products of diagonal Gaussian experts, in log space.

The product of densities, each to the power of a weight, is a Gaussian again: with precisions
T = exp(-logvar) and weights w, per latent dimension,

    T = sum_m w_m T_m        mean = sum_m w_m T_m mean_m / T

so log T is a logsumexp of ``log w_m - logvar_m``, exact at any scale. What an expert contributes is
its *share* w_m T_m / T, of which the mean is a weighted average. The weight alone says little: an
expert may have a large weight and no precision.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from assay.errors import ParameterError
from assay.parts.latent.gaussians import Gaussian

__all__ = ["Product", "weighted_product"]


class Product(NamedTuple):
    """A product of experts.

    Attributes:
        gaussian: The product, scaled to a density ``[... latent]``.
        share: What each expert contributes to the precision, and with which weight its mean enters;
            sums to 1 over the experts ``[expert ... latent]``.
    """

    gaussian: Gaussian
    share: Float[Tensor, "expert *place latent"]


def weighted_product(
    experts: Gaussian, log_weights: Float[Tensor, "expert *place latent"]
) -> Product:
    """Multiply experts, each to the power of a weight per latent dimension.

    Args:
        experts: The experts, along the first axis ``[expert ... latent]``. Those without weight
            have to be finite too.
        log_weights: Natural logarithms of the weights; ``-inf`` leaves an expert out.

    Raises:
        ParameterError: If somewhere no expert has a weight, so that there is no density.

    Example:
        >>> two = Gaussian(torch.tensor([[0.0], [3.0]]), torch.zeros(2, 1))
        >>> product = weighted_product(two, torch.tensor([[1.0], [2.0]]).log())
        >>> round(product.gaussian.mean.item(), 4), round(product.share[0].item(), 4)
        (2.0, 0.3333)
    """
    if bool((log_weights == -torch.inf).all(0).any()):
        raise ParameterError(
            "no expert has any weight", where="product of experts", accepted="one at least"
        )
    terms = log_weights - experts.logvar
    log_precision = torch.logsumexp(terms, 0)
    share = torch.exp(terms - log_precision)
    return Product(Gaussian((share * experts.mean).sum(0), -log_precision), share)
