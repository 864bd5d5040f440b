"""The network: per modality one encoder and one credibility network, fusion, and decoders.

The two networks of a modality share nothing: who says what is seen is not who says how far to
trust it. Credibility has no label of its own; its gradient comes through the fused belief alone.
Any modules will do: an encoder gives twice the latent size (means, then log-variances), a
credibility network gives it once.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from assay.errors import DataError, ParameterError
from assay.systems.product_of_experts.choices import CredibilityName, PriorName
from assay.systems.product_of_experts.fusion import Experts, Fused, fuse, weighting_named

__all__ = ["FusionModel", "Seen", "perceptron", "sensor_model"]


class Seen(NamedTuple):
    """What the modalities show.

    Attributes:
        inputs: A tensor for each modality, by name, all of one batch ``[batch ...]``.
        present: Which modality is there, in the order of the model ``[modality batch]``; all of
            them if not given. What a missing one holds is never read, nan included.
    """

    inputs: Mapping[str, Tensor]
    present: Bool[Tensor, "modality batch"] | None = None


class FusionModel(nn.Module):
    """Encoders, credibility networks and decoders around a fusion.

    Args:
        encoders: By modality, from ``[batch ...]`` to ``[batch 2 latent]``.
        credibility: By modality, from ``[batch ...]`` to ``[batch latent]``; read by the weighting
            *learned* only, and refused by the others.
        decoders: By output, from ``[batch latent]``.
        latent: Size of the latent state.
        weighting: A name of `fusion.WEIGHTINGS`.
        prior: Whether the standard normal is an expert too.
        sizes: Numbers of each modality that is a vector, shape of a sample of any other, by name;
            what is not named is not checked.

    Raises:
        ParameterError: If the parts do not fit together.
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        credibility: Mapping[str, nn.Module],
        decoders: Mapping[str, nn.Module],
        *,
        latent: int,
        weighting: str = "learned",
        prior: PriorName = "none",
        sizes: Mapping[str, int | tuple[int, ...]] | None = None,
    ) -> None:
        super().__init__()
        scores = weighting_named(weighting).scores
        wanted = list(encoders) if scores == "input" else []
        if not encoders or sorted(credibility) != sorted(wanted):
            raise ParameterError(
                f"credibility networks of {', '.join(credibility) or 'nothing'}",
                where=f"weighting {weighting!r}",
                accepted=f"of {', '.join(wanted) or 'nothing'}",
            )
        self.latent, self.weighting = latent, weighting
        self.prior: PriorName = prior
        self.sizes = {
            name: (size,) if isinstance(size, int) else tuple(size)
            for name, size in (sizes or {}).items()
        }
        self.encoders = nn.ModuleDict(encoders)
        self.credibility = nn.ModuleDict({name: credibility[name] for name in wanted})
        self.decoders = nn.ModuleDict(decoders)
        if scores == "parameter":
            start = torch.full((len(encoders), latent), 1.0 / len(encoders))
            self.static = nn.Parameter(start)
        if prior == "weighted":
            self.prior_score = nn.Parameter(torch.zeros(latent))

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities, in the order of every axis of modalities."""
        return list(self.encoders)

    def experts(self, seen: Seen) -> Experts:
        """What each modality says of the latent state, and how far it is to be trusted.

        Raises:
            DataError: If a modality is not there, of another length or size or not finite.
        """
        present = self._present(seen)
        self._require_sizes(seen)
        inputs = [
            _without_missing(seen.inputs[name], there, name)
            for name, there in zip(self.modalities, present, strict=True)
        ]
        said = torch.stack([net(x) for net, x in zip(self.encoders.values(), inputs, strict=True)])
        mean, logvar = said.chunk(2, dim=-1)
        return Experts(
            mean, logvar, present, self._scores(inputs, mean), getattr(self, "prior_score", None)
        )

    def belief(self, seen: Seen) -> Fused:
        """What is believed of the latent state, and who is trusted."""
        return self.fused(self.experts(seen))

    def fused(self, experts: Experts) -> Fused:
        """The fusion of this model."""
        return fuse(experts, self.weighting, self.prior)

    def decode(self, latent: Float[Tensor, "*place latent"]) -> dict[str, Tensor]:
        """Every output of a latent state, by name."""
        return {name: net(latent) for name, net in self.decoders.items()}

    def _scores(self, inputs: list[Tensor], mean: Tensor) -> Tensor | None:
        if "static" in self._parameters:
            return cast(Tensor, self.static)[:, None].expand_as(mean)
        if not self.credibility:
            return None
        nets = self.credibility.values()
        return torch.stack([net(x) for net, x in zip(nets, inputs, strict=True)])

    def _present(self, seen: Seen) -> Bool[Tensor, "modality batch"]:
        """Which modality is there, once every modality was found to be of one length."""
        names = self.modalities
        if lacking := [name for name in names if name not in seen.inputs]:
            raise DataError(
                f"no {lacking[0]!r}",
                where="modalities",
                accepted=", ".join(names),
                next="Give a missing modality any values and say in present that it is not there.",
            )
        lengths = {name: len(seen.inputs[name]) for name in names}
        rows = lengths[names[0]]
        for name, length in lengths.items():
            if length != rows:
                raise DataError(
                    f"{length} samples", where=f"modality {name!r}",
                    accepted=f"{rows}, as of {names[0]!r}",
                )  # fmt: skip
        if seen.present is None:
            device = seen.inputs[names[0]].device
            return torch.ones(len(names), rows, dtype=torch.bool, device=device)
        if seen.present.shape != (len(names), rows):
            raise DataError(
                f"a table of {tuple(seen.present.shape)}", where="present",
                accepted=f"{len(names)} modalities of {rows} samples",
            )  # fmt: skip
        return seen.present

    def _require_sizes(self, seen: Seen) -> None:
        for name, size in self.sizes.items():
            if seen.inputs[name].shape[1:] != size:
                raise DataError(
                    f"samples of {tuple(seen.inputs[name].shape[1:])} numbers",
                    where=f"modality {name!r}", accepted=f"{size}",
                )  # fmt: skip


def _without_missing(values: Tensor, there: Tensor, name: str) -> Tensor:
    """A modality with zeros where it is missing: nan there would reach the gradient as 0 x nan."""
    rows = there.reshape(-1, *[1] * (values.dim() - 1))
    values = torch.where(rows, values, torch.zeros_like(values))
    if not bool(torch.isfinite(values).all()):
        bad = (~torch.isfinite(values)).flatten(1).any(1).nonzero()[0].item()
        raise DataError(
            f"sample {bad} holds a value that is not finite",
            where=f"modality {name!r}",
            next="Mark it as not present, or repair it.",
        )
    return values


def perceptron(inputs: int, outputs: int, width: int, layers: int = 2) -> nn.Module:
    """A net of full layers with SiLU, and a straight line beside it.

    The line lets a net be linear at once, as the best estimate from a linear sensor is; the last
    layer begins at 0, so that every expert begins as ignorant as the prior.
    """
    return _Perceptron(inputs, outputs, width, layers)


class _Perceptron(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int, layers: int) -> None:
        super().__init__()
        sizes = [inputs, *[width] * layers]
        steps: list[nn.Module] = []
        for before, after in pairwise(sizes):
            steps += [nn.Linear(before, after), nn.SiLU()]
        last = nn.Linear(width, outputs)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.curve = nn.Sequential(*steps, last)
        self.line = nn.Linear(inputs, outputs, bias=False)
        nn.init.zeros_(self.line.weight)

    def forward(self, values: Tensor) -> Tensor:
        return self.curve(values) + self.line(values)


def sensor_model(
    sensors: Mapping[str, int],
    *,
    latent: int,
    width: int,
    weighting: str,
    prior: PriorName,
    credibility: CredibilityName = "own",
    scalar: bool = False,
    state: int = 0,
) -> FusionModel:
    """A model of sensors that are vectors.

    Args:
        sensors: Numbers of each sensor, by name.
        latent: Size of the state.
        width: Width of every net.
        weighting: A name of `fusion.WEIGHTINGS`.
        prior: Whether the standard normal is an expert too.
        credibility: Where scores come from, see `credibility.credibility_net`.
        scalar: Whether a sensor has one score, or one for each dimension.
        state: Size of the state, which a linear map tells from the latent one; 0 where the latent
            state is what is wanted itself.
    """
    from assay.systems.product_of_experts.credibility import credibility_net

    trusted = sensors if weighting_named(weighting).scores == "input" else {}
    encoders = {name: perceptron(size, 2 * latent, width) for name, size in sensors.items()}
    scores = {
        name: credibility_net(
            credibility, encoders[name], inputs=size, latent=latent, width=width, scalar=scalar
        )
        for name, size in trusted.items()
    }
    return FusionModel(
        encoders,
        scores,
        {"state": nn.Linear(latent, state) if state else nn.Identity()},
        latent=latent,
        weighting=weighting,
        prior=prior,
        sizes=sensors,
    )
