"""What anybody's encoders believe, joined: the fusion as a component of a workflow."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from assay.core.component import component
from assay.core.records import Records
from assay.errors import DataError
from assay.systems.product_of_experts.choices import PriorName, WeightingName

__all__ = ["Belief", "JointBelief", "fuse_beliefs"]


@dataclass(frozen=True)
class Belief:
    """What one modality says of each sample, by whatever means.

    Attributes:
        name: Of the modality.
        mean: Means of the latent state ``[sample latent]``.
        sd: Standard deviations, above 0 ``[sample latent]``.
        score: Logits of its credibility for *learned* and *gated*, weights for *static*, of no use
            to the others ``[sample latent]``.
        present: Whether it is there; in all samples if not given. What it says of the others is
            not looked at ``[sample]``.
    """

    name: str
    mean: Float[np.ndarray, "sample latent"]
    sd: Float[np.ndarray, "sample latent"]
    score: Float[np.ndarray, "sample latent"] | None = None
    present: Bool[np.ndarray, " sample"] | None = None


class JointBelief(NamedTuple):
    """What all modalities say together, and who is trusted.

    Attributes:
        mean: Of the latent state ``[sample latent]``.
        sd: How sure ``[sample latent]``.
        weight: Weight of each modality ``[modality sample latent]``.
        share: What each contributes to the mean ``[modality sample latent]``.
        prior_share: The same of the prior; with it the shares sum to 1 ``[sample latent]``.
        records: ``weight`` and ``share`` of each ``modality``, mean over samples and dimensions.
    """

    mean: np.ndarray
    sd: np.ndarray
    weight: np.ndarray
    share: np.ndarray
    prior_share: np.ndarray
    records: Records


@component(version="1", requires=("numpy", "torch"))
def fuse_beliefs(
    beliefs: list[Belief], *, weighting: WeightingName = "poe", prior: PriorName = "none"
) -> JointBelief:
    """Join what several modalities believe, see `fusion.fuse`.

    Args:
        beliefs: One of each modality, of the same samples in the same order.
        weighting: How they are joined.
        prior: Whether the standard normal is an expert too, and with which weight.

    Raises:
        DataError: If beliefs do not fit one another, or hold a number that cannot be.
        ParameterError: If the weighting lacks its scores, or the prior cannot compete in it.

    Example:
        >>> says = [Belief("eye", np.array([[0.0]]), np.array([[1.0]])),
        ...         Belief("ear", np.array([[3.0]]), np.array([[2.0]]))]
        >>> joint = fuse_beliefs(says)
        >>> joint.mean.round(6).tolist(), joint.share.ravel().round(6).tolist()
        ([[0.6]], [0.8, 0.2])
    """
    import torch

    from assay.systems.product_of_experts.fusion import Experts, fuse

    _require_alike(beliefs)
    there = np.stack([_there(belief) for belief in beliefs])
    scores = [belief.score for belief in beliefs if belief.score is not None]
    says = Experts(
        torch.from_numpy(np.stack([belief.mean for belief in beliefs])),
        torch.from_numpy(np.stack([2 * np.log(np.where(_there(belief)[:, None], belief.sd, 1.0))
                                   for belief in beliefs])),
        torch.from_numpy(there),
        torch.from_numpy(np.stack(scores)) if len(scores) == len(beliefs) else None,
    )  # fmt: skip
    with torch.inference_mode():
        found = fuse(says, weighting, prior)
        gaussian = found.gaussian
    records = Records()
    for belief, weight, share in zip(beliefs, found.weight, found.share, strict=True):
        records.add("weight", float(weight.mean()), modality=belief.name)
        records.add("share", float(share.mean()), modality=belief.name)
    return JointBelief(
        gaussian.mean.numpy(), gaussian.logvar.div(2).exp().numpy(), found.weight.numpy(),
        found.share.numpy(), found.prior_share.numpy(), records,
    )  # fmt: skip


def _there(belief: Belief) -> np.ndarray:
    return np.ones(len(belief.mean), bool) if belief.present is None else belief.present


def _require_alike(beliefs: list[Belief]) -> None:
    names = [belief.name for belief in beliefs]
    if not names or len({*names}) < len(names):
        raise DataError(f"beliefs of {names}", accepted="one or more, each of another name")
    first, scored = beliefs[0], beliefs[0].score is not None
    if first.mean.ndim != 2:
        raise DataError(f"mean of shape {first.mean.shape}", where=f"belief of {first.name!r}",
                        accepted="[sample latent]")  # fmt: skip
    for belief in beliefs:
        try:
            _require_values(belief, first.mean.shape)
        except DataError as error:
            raise error.at(f"belief of {belief.name!r}") from error
        if (belief.score is not None) != scored:
            raise DataError("a score of some modalities only", where=f"belief of {belief.name!r}",
                            accepted="of all, or of none")  # fmt: skip


def _require_values(belief: Belief, shape: tuple[int, ...]) -> None:
    """Refuse another shape than that of the first belief, and numbers that cannot be."""
    there = _there(belief)
    if there.shape != shape[:1]:
        raise DataError(f"present of shape {there.shape}", accepted=f"{shape[:1]}")
    for what, values in (("mean", belief.mean), ("sd", belief.sd), ("score", belief.score)):
        if values is None:
            continue
        if values.shape != shape:
            raise DataError(f"{what} of shape {values.shape}", accepted=f"{shape}")
        wrong = ~np.isfinite(values) | ((what == "sd") & (values <= 0))
        wrong &= there[:, None]
        if wrong.any():
            row, column = np.argwhere(wrong)[0].tolist()
            raise DataError(
                f"{what} is {values[row, column]:g}", where=f"sample {row}, dimension {column}",
                accepted="above 0" if what == "sd" else "a finite number",
            )  # fmt: skip
