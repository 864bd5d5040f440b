"""A trained model on new samples: what it predicts, how sure it is, and whom it trusted."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float

from assay.parts.latent.gaussians import Gaussian
from assay.parts.latent.mixtures import Mixture, mixture_log_density, moments
from assay.systems.product_of_experts.model import FusionModel, Seen

__all__ = ["Prediction", "predict", "seen_of"]


class Prediction(NamedTuple):
    """A prediction of the state.

    Attributes:
        mean: What is predicted ``[sample latent]``.
        sd: How sure, as a standard deviation ``[sample latent]``.
        credibility: Weight of each modality in the fusion ``[modality sample latent]``.
        share: Share of each in the mean; with the prior's they sum to 1
            ``[modality sample latent]``.
        prior_share: Share of the prior ``[sample latent]``.
        log_density: Log density of the true state, summed over its dimensions, in nats; nan if the
            truth was not given ``[sample]``.
    """

    mean: Float[np.ndarray, "sample latent"]
    sd: Float[np.ndarray, "sample latent"]
    credibility: Float[np.ndarray, "modality sample latent"]
    share: Float[np.ndarray, "modality sample latent"]
    prior_share: Float[np.ndarray, "sample latent"]
    log_density: Float[np.ndarray, " sample"]


def seen_of(
    inputs: dict[str, Float[np.ndarray, "sample ..."]], present: Bool[np.ndarray, "sample modality"]
) -> Seen:
    """Arrays of any kind of numbers as a model takes them."""
    there = torch.from_numpy(np.ascontiguousarray(present.T))
    shown = {
        name: torch.from_numpy(np.ascontiguousarray(values, np.float32))
        for name, values in inputs.items()
    }
    return Seen(shown, there)


@torch.inference_mode()
def predict(
    model: FusionModel,
    seen: Seen,
    *,
    output_sd: float = 0.0,
    truth: Float[np.ndarray, "sample latent"] | None = None,
) -> Prediction:
    """Predict the state that several modalities show.

    Args:
        model: A trained model whose latent state is what is wanted.
        seen: What the modalities show.
        output_sd: Standard deviation that the output adds to the belief.
        truth: The true states, if their density is asked for.

    Raises:
        DataError: If the modalities do not fit the model.
    """
    fused = model.belief(seen)
    belief = _widened(fused.belief, output_sd)
    mean, logvar = moments(belief)
    density = torch.full(mean.shape[:1], torch.nan)
    if truth is not None:
        density = mixture_log_density(belief, torch.from_numpy(truth).to(mean.dtype))
    return Prediction(
        mean=mean.double().numpy(),
        sd=torch.exp(0.5 * logvar).double().numpy(),
        credibility=fused.weight.double().numpy(),
        share=fused.share.double().numpy(),
        prior_share=fused.prior_share.double().numpy(),
        log_density=density.double().numpy(),
    )


def _widened(belief: Mixture, sd: float) -> Mixture:
    """A belief about a state as one about an output with a normal error."""
    if not sd:
        return belief
    mean, logvar = belief.components
    return Mixture(Gaussian(mean, torch.log(logvar.exp() + sd**2)), belief.log_weights)
