"""What measuring a fusion of images takes, whatever it tells: noise on modalities, and trust."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from assay.systems.product_of_experts.image_samples import noised

if TYPE_CHECKING:
    from assay.systems.product_of_experts.image_predict import ImagePrediction
    from assay.systems.product_of_experts.samples import Samples

__all__ = ["ALL", "rank_correlation", "share_of", "with_noise"]

ALL = "all"
"""In the place of a modality's name: all of them."""


def with_noise(
    samples: "Samples",
    layouts: Mapping[str, str],
    which: str,
    kinds: Mapping[str, str],
    severity: float,
    seed: int,
) -> dict[str, Float[np.ndarray, "sample channel height width"]]:
    """Samples with one modality corrupted, or all that have a kind.

    Args:
        samples: The samples; they are not changed.
        layouts: What each modality is to a corruption.
        which: Name of the modality, or ``all``.
        kinds: The corruption of each modality, a name of `corruptions.KINDS`.
        severity: From 0, which changes nothing, to 1.
        seed: Seed of the noise, which differs between samples and modalities.
    """
    severities = np.full(len(samples.id), severity)
    return {
        name: noised(values, kinds[name], severities, layouts[name], seed=seed, modality=k)
        if severity and name in kinds and which in (name, ALL)
        else values
        for k, (name, values) in enumerate(samples.inputs.items())
    }


def share_of(found: "ImagePrediction", place: int) -> Float[np.ndarray, " sample"]:
    """What the modality in this place contributes of what all modalities do, by sample."""
    total = found.share.sum(0)
    return found.share[place] / np.where(total > 0, total, 1.0)


def rank_correlation(levels: list[float], values: list[float]) -> float:
    """Of values with the severities they were measured at (Spearman)."""
    from scipy.stats import rankdata

    return float(np.corrcoef(rankdata(levels), rankdata(values))[0, 1])
