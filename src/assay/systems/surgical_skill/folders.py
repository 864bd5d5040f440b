"""Folders of trained detectors: configuration and weights in safetensors."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import DataError, ParameterError
from assay.systems.surgical_skill.classes import CLASSES

if TYPE_CHECKING:
    from assay.systems.surgical_skill.detector import Detector

__all__ = ["load_detector", "save_detector"]

CONFIG, WEIGHTS = "config.json", "model.safetensors"
MODEL_TYPE, FORMAT = "assay_surgical_detector", 1


def save_detector(folder: Path, model: "Detector", trained: dict[str, Any]) -> None:
    """Write a detector; the folder is made.

    Args:
        folder: Where to.
        model: The detector.
        trained: How it was trained, for people.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_type": MODEL_TYPE, "format": FORMAT, "classes": CLASSES}
    config |= {**asdict(model.config), "trained": trained}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / WEIGHTS)


def load_detector(folder: Path) -> "Detector":
    """Read a detector that `save_detector` wrote.

    Raises:
        DataError: If the folder holds no such detector, or another one than its configuration says.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from assay.systems.surgical_skill.detector import Detector, DetectorConfig

    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        kind = (config["model_type"], config["format"], config["classes"])
        if kind != (MODEL_TYPE, FORMAT, list(CLASSES)):
            raise ValueError("a {} of format {} for {}".format(*kind))
        of = DetectorConfig(config["width"], config["stride"], tuple(config["states"]))
        with torch.device("meta"):  # without first weights, which would take random numbers
            model = Detector(of)
        model.load_state_dict(load_file(folder / WEIGHTS), assign=True)
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, AttributeError,
            ParameterError, SafetensorError) as error:  # fmt: skip
        why = str(error).partition("\n")[0]
        raise DataError(
            f"holds no trained detector ({why})",
            where=str(folder),
            accepted=f"{CONFIG} and {WEIGHTS} as train_detector writes them",
        ) from error
    return model.eval()
