"""Rendered surgical scenes in a manifest's folder. SYNTHETIC."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveInt

from assay.core.component import Seed, component
from assay.core.task import task
from assay.errors import ParameterError
from assay.systems.product_of_experts.flow_files import write_flo
from assay.systems.product_of_experts.manifest import (
    Entry,
    read_manifest,
    write_manifest,
)
from assay.systems.product_of_experts.pictures import write_png
from assay.systems.product_of_experts.surgical_scene import Frame, sequence

__all__ = ["MODALITIES", "rendered_surgery", "surgical_samples"]

MODALITIES = ("rgb", "flow", "depth", "render")
Share = Annotated[float, Field(ge=0, lt=1)]
README = """SYNTHETIC surgical scenes, drawn by a program: instruments over tissue.

rgb      colours, PNG
render   the instruments as simulated, from joints and a calibration that are a little wrong, PNG
flow     pixels to the right and down from this frame to the next, .npy [height width 2]
         (and .flo, if asked for)
depth    metres along the camera's axis, .npy [height width]
target   0 background, 1 shaft, 2 wrist, 3 clasper, PNG

Scores on these scenes are not comparable with scores on real ones.
"""


@component(version="1", requires=("numpy", "opencv-python-headless", "scipy"))
def rendered_surgery(
    *,
    sequences: Annotated[int, Field(ge=1, le=1_000)] = 24,
    frames: PositiveInt = 20,
    height: Annotated[int, Field(ge=32, le=1080)] = 96,
    width: Annotated[int, Field(ge=32, le=1920)] = 128,
    validation_share: Share = 0.2,
    test_share: Share = 0.2,
    look_alikes: Annotated[int, Field(ge=0, le=20)] = 2,
    miscalibration_px: Annotated[float, Field(ge=0, le=20)] = 3.0,
    noise: Annotated[float, Field(ge=0, le=50)] = 2.0,
    flo: bool = True,
    seed: Seed,
) -> Path:
    """Render sequences of 1 to 3 instruments over tissue, each sequence in one split. SYNTHETIC.

    Every sequence is a group. No modality is corrupted; `corruptions` does that.

    Args:
        sequences: How many.
        frames: Of each.
        height: Of the image (pixels).
        width: Of the image (pixels).
        validation_share: Share of the sequences, to the nearest whole number, in ``validation``.
        test_share: The same of ``test``; the first ones, all others, are ``train``.
        look_alikes: Pieces on the tissue that look like an instrument in colours.
        miscalibration_px: How far off the simulated render is, in pixels of an image 128 wide.
        noise: Standard deviation of the noise of the colours (levels of 255).
        flo: Whether each flow is also written as a ``.flo`` file, which the manifest does not name.
        seed: Of everything; a sequence depends on it and on its own number alone.

    Returns:
        The folder, with ``manifest.jsonl`` of the modalities ``rgb``, ``flow``, ``depth`` and
        ``render``, and class masks as targets.

    Raises:
        ParameterError: If no sequence is left to train on.
    """
    import cv2

    held = [round(share * sequences) for share in (validation_share, test_share)]
    if sum(held) >= sequences:
        raise ParameterError(
            f"{held[0]} for validation and {held[1]} for test of {sequences} sequences",
            where="rendered_surgery", accepted="at least one that is left to train on",
        )  # fmt: skip
    split = ["train"] * (sequences - sum(held)) + ["validation"] * held[0] + ["test"] * held[1]
    cv2.setNumThreads(1)
    here = task()
    root = here.scratch() / "rendered_surgery"
    for name in ("rgb", "flow", "depth", "render", "target"):
        (root / name).mkdir(parents=True, exist_ok=True)
    entries = []
    for number in range(sequences):
        shown = sequence(
            frames, np.random.default_rng([seed, number]), height=height, width=width,
            look_alikes=look_alikes, miscalibration_px=miscalibration_px, noise=noise,
        )  # fmt: skip
        group = f"sequence_{number:03d}"
        for at, frame in enumerate(shown):
            name = f"{group}_frame_{at:04d}"
            entries.append(_write(root, name, split[number], group, frame))
            if flo:
                write_flo(root / "flow" / f"{name}.flo", frame.flow)
        here.progress(number + 1, sequences, "sequences")
    write_manifest(root, entries)
    (root / "README.txt").write_text(README, encoding="utf-8")
    return root


def _write(root: Path, name: str, split: str, group: str, frame: Frame) -> Entry:
    """The files of one frame."""
    endings = {"rgb": "png", "flow": "npy", "depth": "npy", "render": "png"}
    files = {kind: root / kind / f"{name}.{ending}" for kind, ending in endings.items()}
    write_png(files["rgb"], frame.rgb)
    write_png(files["render"], frame.render)
    np.save(files["flow"], frame.flow)
    np.save(files["depth"], frame.depth_m)
    target = root / "target" / f"{name}.png"
    write_png(target, frame.mask)
    return Entry(name, split, group, files, target)


@component(version="1", requires=("numpy",))
def surgical_samples(scenes: Path, *, modalities: list[str] = [*MODALITIES]) -> Path:  # noqa: B006
    """Scenes as a model of images takes them: arrays with their channels first.

    Args:
        scenes: A folder as `rendered_surgery` writes it.
        modalities: Which of ``rgb``, ``flow``, ``depth`` and ``render`` to take.

    Returns:
        A folder with a manifest, pictures and masks as they were, flow ``[2 height width]`` and
        depth ``[1 height width]``.

    Raises:
        ParameterError: If there is no modality, or no such one.
    """
    unknown = next((name for name in modalities if name not in MODALITIES), None)
    if unknown is not None or not modalities:
        raise ParameterError(
            f"modality {unknown!r}" if unknown else "no modality",
            where="surgical_samples.modalities", accepted=", ".join(MODALITIES),
        )  # fmt: skip
    root = task().scratch() / "surgical_samples"
    for name in (*modalities, "target"):
        (root / name).mkdir(parents=True, exist_ok=True)
    entries = []
    for entry in read_manifest(scenes / "manifest.jsonl").entries:
        files = {name: root / name / entry.files[name].name for name in modalities}
        for name, file in files.items():
            if file.suffix == ".npy":
                values = np.load(entry.files[name])
                turned = values[None] if name == "depth" else np.moveaxis(values, -1, 0)
                np.save(file, np.ascontiguousarray(turned))
            else:
                shutil.copyfile(entry.files[name], file)
        target = root / "target" / f"{entry.id}.png"
        shutil.copyfile(scenes / "target" / target.name, target)
        entries.append(replace(entry, files=files, target=target))
    write_manifest(root, entries)
    return root
