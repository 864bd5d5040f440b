"""Folders of trained fusion models: configuration, weights in safetensors, a card for people."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from assay.errors import DataError
from assay.systems.product_of_experts.choices import PriorName

if TYPE_CHECKING:
    from assay.systems.product_of_experts.model import FusionModel

__all__ = ["Configuration", "read_model", "write_model"]

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
MODEL_TYPE, FORMAT = "assay_fusion", 1


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """Everything but the weights.

    Attributes:
        sensors: Numbers that each sensor gives, by name, in the order of the model.
        latent: Size of the state.
        width: Width of every net.
        weighting: How the experts are joined.
        prior: Whether the prior is one of them.
        output_sd: What the belief about the state lacks of the uncertainty of an output: the
            standard deviation of its NLL, 0 where the belief is about the output itself.
        noise_seen: The noise in training, by name; empty if there was none.
        trained: How it was trained, for people.
    """

    sensors: dict[str, int]
    latent: int
    width: int
    weighting: str
    prior: PriorName
    output_sd: float = 0.0
    noise_seen: dict[str, float] = field(default_factory=dict)
    trained: dict[str, Any] = field(default_factory=dict)


def new_model(of: Configuration) -> "FusionModel":
    """A model of this configuration, untrained."""
    from assay.systems.product_of_experts.model import sensor_model

    return sensor_model(
        of.sensors, latent=of.latent, width=of.width, weighting=of.weighting, prior=of.prior
    )


def write_model(folder: Path, model: "FusionModel", of: Configuration) -> None:
    """Write a model; the folder is made."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_type": MODEL_TYPE, "format": FORMAT, **asdict(of)}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / CARD).write_text(_card(of), encoding="utf-8")
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / WEIGHTS)


def read_model(folder: Path) -> tuple["FusionModel", Configuration]:
    """Read a model that `write_model` wrote.

    Raises:
        DataError: If the folder holds no such model, or another one than its configuration says.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        kind, number = config.pop("model_type"), config.pop("format")
        if (kind, number) != (MODEL_TYPE, FORMAT):
            raise ValueError(f"a {kind} of format {number}")
        of = Configuration(**config)
        with torch.device("meta"):  # without first weights, which would take random numbers
            model = new_model(of)
        model.load_state_dict(load_file(folder / WEIGHTS), assign=True)
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, AttributeError,
            DataError, SafetensorError) as error:  # fmt: skip
        why = str(error).partition("\n")[0]
        raise DataError(
            f"holds no trained fusion model ({why})",
            where=str(folder),
            accepted=f"{CONFIG} and {WEIGHTS} as train_fusion writes them",
        ) from error
    return cast("FusionModel", model.eval()), of


def _card(of: Configuration) -> str:
    seen = ", ".join(f"{name} {value:g}" for name, value in of.noise_seen.items())
    warning = "" if of.noise_seen else (
        "\nNo noise was seen in training. On noisy input neither the prediction nor who is trusted "
        "means anything:\nmodels trained so may trust a sensor the more the worse it is.\n"
    )  # fmt: skip
    rows = "\n".join(f"- {name}: {value}" for name, value in of.trained.items())
    return (
        f"# Fusion of {', '.join(of.sensors)}\n\n"
        f"Weighting {of.weighting}, prior {of.prior}, latent state of {of.latent} numbers.\n\n"
        f"Noise seen in training: {seen or 'none'}.\n{warning}\n{rows}\n"
    )
