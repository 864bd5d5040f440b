"""Folders of trained fusion models: configuration, weights in safetensors, a card for people."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from assay.errors import AssayError, DataError
from assay.systems.product_of_experts.choices import CredibilityName, PriorName

if TYPE_CHECKING:
    from assay.systems.product_of_experts.model import FusionModel

__all__ = [
    "Configuration", "ImageConfiguration", "new_image_model", "new_model", "read_image_model",
    "read_model", "write_image_model", "write_model",
]  # fmt: skip

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
C = TypeVar("C")
MODEL_TYPE, IMAGE_TYPE, FORMAT = "assay_fusion", "assay_image_fusion", 1


@dataclass(frozen=True, kw_only=True)
class _Shared:
    """What every fusion has, see `Configuration`."""

    latent: int
    width: int
    weighting: str
    prior: PriorName
    output_sd: float = 0.0
    noise_seen: dict[str, float] = field(default_factory=dict)
    trained: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Configuration(_Shared):
    """Everything of a fusion of sensors but the weights.

    Attributes:
        sensors: Numbers that each sensor gives, by name, in the order of the model.
        latent: Size of the state.
        width: Width of every net.
        weighting: How the experts are joined.
        prior: Whether the prior is one of them.
        output_sd: What the belief about the state lacks of the uncertainty of an output: the
            standard deviation of its NLL, 0 where the belief is about the output itself.
        credibility: Where scores come from, see `credibility.credibility_net`.
        scalar: Whether a sensor has one score, or one for each dimension.
        state: Size of the state, where the latent one is of another size; 0 where it is not.
        noise_seen: The noise in training, by name; empty if there was none.
        trained: How it was trained, for people.
    """

    sensors: dict[str, int]
    credibility: CredibilityName = "own"
    scalar: bool = False
    state: int = 0


@dataclass(frozen=True, kw_only=True)
class ImageConfiguration(_Shared):
    """Everything of a fusion of images but the weights: also what `Configuration` has.

    Attributes:
        channels: Channels of each modality, by name, in the order of the samples.
        size: Height and width of all of them (pixels).
        points: Points in space that are told; 0 for none.
        classes: Classes of pixels that are told; 0 for none.
        spatial: Whether the latent state is a map.
        early: Whether the modalities are one picture of all channels (early fusion).
        layouts: What each modality is to a corruption, see `corruptions`.
    """

    channels: dict[str, int]
    size: tuple[int, int]
    points: int = 0
    classes: int = 0
    spatial: bool = False
    early: bool = False
    layouts: dict[str, str] = field(default_factory=dict)


def new_model(of: Configuration) -> "FusionModel":
    """A model of this configuration, untrained."""
    from assay.systems.product_of_experts.model import sensor_model

    return sensor_model(
        of.sensors, latent=of.latent, width=of.width, weighting=of.weighting, prior=of.prior,
        credibility=of.credibility, scalar=of.scalar, state=of.state,
    )  # fmt: skip


def new_image_model(of: ImageConfiguration) -> "FusionModel":
    """A model of images of this configuration, untrained."""
    from assay.systems.product_of_experts.images import STACKED, image_fusion

    return image_fusion(
        {STACKED: sum(of.channels.values())} if of.early else of.channels,
        size=of.size, latent=of.latent, points=of.points, classes=of.classes,
        weighting=of.weighting, prior=of.prior, width=of.width, spatial=of.spatial,
    )  # fmt: skip


def write_model(folder: Path, model: "FusionModel", of: Configuration) -> None:
    """Write a model; the folder is made."""
    _write(folder, model, of, MODEL_TYPE, of.sensors)


def write_image_model(folder: Path, model: "FusionModel", of: ImageConfiguration) -> None:
    """Write a model of images; the folder is made."""
    _write(folder, model, of, IMAGE_TYPE, of.channels)


def read_model(folder: Path) -> tuple["FusionModel", Configuration]:
    """Read a model that `write_model` wrote.

    Raises:
        DataError: If the folder holds no such model, or another one than its configuration says.
    """
    return _read(
        folder, MODEL_TYPE, lambda config: Configuration(**config), new_model, "train_fusion"
    )


def read_image_model(folder: Path) -> tuple["FusionModel", ImageConfiguration]:
    """Read a model that `write_image_model` wrote.

    Raises:
        DataError: If the folder holds no such model, or another one than its configuration says.
    """

    def configuration(config: dict[str, Any]) -> ImageConfiguration:
        height, width = config.pop("size")
        return ImageConfiguration(**config, size=(int(height), int(width)))

    return _read(folder, IMAGE_TYPE, configuration, new_image_model, "train_on_manifest")


def _write(folder: Path, model: "FusionModel", of: _Shared, kind: str, modalities: Any) -> None:
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_type": kind, "format": FORMAT, **asdict(of)}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / CARD).write_text(_card(of, modalities), encoding="utf-8")
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / WEIGHTS)


def _read(
    folder: Path, kind: str, configuration: Callable[[dict[str, Any]], C],
    new: Callable[[C], "FusionModel"], writer: str,
) -> tuple["FusionModel", C]:  # fmt: skip
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        found, number = config.pop("model_type"), config.pop("format")
        if (found, number) != (kind, FORMAT):
            raise ValueError(f"a {found} of format {number}")
        of = configuration(config)
        with torch.device("meta"):  # without first weights, which would take random numbers
            model = new(of)
        model.load_state_dict(load_file(folder / WEIGHTS), assign=True)
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, AttributeError,
            AssayError, SafetensorError) as error:  # fmt: skip
        why = str(error).partition("\n")[0]
        raise DataError(
            f"holds no trained fusion model ({why})",
            where=str(folder),
            accepted=f"{CONFIG} and {WEIGHTS} as {writer} writes them",
        ) from error
    return cast("FusionModel", model.eval()), of


def _card(of: _Shared, modalities: Any) -> str:
    seen = ", ".join(f"{name} {value:g}" for name, value in of.noise_seen.items())
    warning = "" if of.noise_seen else (
        "\nNo noise was seen in training. On noisy input neither the prediction nor who is trusted "
        "means anything:\nmodels trained so may trust a sensor the more the worse it is.\n"
    )  # fmt: skip
    rows = "\n".join(f"- {name}: {value}" for name, value in of.trained.items())
    return (
        f"# Fusion of {', '.join(modalities)}\n\n"
        f"Weighting {of.weighting}, prior {of.prior}, latent state of {of.latent} numbers.\n\n"
        f"Noise seen in training: {seen or 'none'}.\n{warning}\n{rows}\n"
    )
