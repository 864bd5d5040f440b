"""The figures of the surgical scenes: scores, who is trusted, a burst, and frames with masks."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Integer

from assay.core.charts import curve, dots
from assay.core.figures import Chart, Figure, Picture
from assay.core.run import Run
from assay.systems.product_of_experts.figures_images import BAND, first_trials

SEVERITY = "severity of the noise on {}"
BURST = {"burst_credibility": "credibility", "burst_share": "share"}
TRUST = (("learned", "share"), ("learned", "credibility"), ("poe", "share"))
COLOURS = np.array([[0, 0, 0], [42, 157, 143], [217, 95, 2], [142, 94, 162]]) / 255.0
"""Of background, shaft, wrist and clasper."""


def surgical_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Scores, then trust, then a burst, then frames."""
    for noised in _there(run, "noised"):
        yield partial(overlap, run, noised)
    yield partial(parts, run)
    yield partial(averages, run)
    for fusion, measure in TRUST:
        yield partial(trust, run, fusion, measure)
    yield partial(trust_in_a_burst, run)
    yield partial(overlap_in_a_burst, run)
    yield partial(without, run)
    for fusion, trial in first_trials(run).items():
        yield partial(frames, run, fusion, trial)


def _there(run: Run, key: str) -> list[str]:
    """The values of a key that a run has."""
    return list(dict.fromkeys(run.records[key].dropna()))


def _pooled(run: Run) -> Any:
    return run.records[run.records["average"] == "pooled"]


def overlap(run: Run, noised: str) -> Chart:
    """IoU against the noise of a modality, or of all, a line per fusion."""
    rows = _pooled(run)
    what = "every modality" if noised == "all" else noised
    return curve(
        rows[rows["noised"] == noised],
        "mean_iou",
        "noise",
        by="fusion",
        name=f"iou_{noised}",
        title=f"IoU with noise on {what}",
        caption="Intersection over union, pixels of all frames together, mean over shaft, wrist "
        f"and clasper, on sequences not trained on. {BAND}",
        x_title=SEVERITY.format(what),
        y_title="mean IoU",
    )


def parts(run: Run) -> Chart:
    """IoU and Dice of each part, without noise."""
    rows = _pooled(run)
    rows = rows[(rows["noise"] == 0.0) & (rows["noised"] == "all")]
    return dots(
        rows,
        "dice",
        by=["part", "fusion"],
        name="dice_of_parts",
        title="Dice of each part, without noise",
        caption=f"Pixels of all frames together. {BAND}",
    )


def averages(run: Run) -> Chart:
    """Dice by frame and pooled."""
    rows = run.records[(run.records["noise"] == 0.0) & (run.records["noised"] == "all")]
    return dots(
        rows,
        "mean_dice",
        by=["average", "fusion"],
        name="dice",
        title="Dice, pooled and per frame, without noise",
        caption="Mean over shaft, wrist and clasper: of the pixels of all frames together, or of "
        f"each frame and then over the frames that have the part. {BAND}",
    )


def trust(run: Run, fusion: str, measure: str) -> Chart:
    """The share or the weight of the noised modality against its noise, a line per modality."""
    meaning = {
        "share": "What a modality contributes of what all do: weight times precision.",
        "credibility": "The weight of a modality in the fusion.",
    }[measure]
    return curve(
        run.records[run.records["fusion"] == fusion],
        measure,
        "noise",
        by="noised",
        name=f"{measure}_{fusion}",
        title=f"{measure.capitalize()} of a noisy modality, {fusion}",
        caption=f"{meaning} Trained with noise; mean over frames and the latent map. {BAND}",
        x_title=SEVERITY.format("the modality"),
        y_title=f"{measure} of the modality",
    )


def trust_in_a_burst(run: Run) -> Chart:
    """Weight and share of the colours over time, around a burst of smoke."""
    rows = run.records[run.records["fusion"].isin(["learned", "poe"])]
    rows = rows[rows["measure"].isin(list(BURST))]
    rows = rows[(rows["fusion"] == "learned") | (rows["measure"] == "burst_share")]
    what = rows["measure"].map(BURST) + " (" + rows["fusion"] + ")"
    return curve(
        rows.assign(what=what, measure="trust"),
        "trust",
        "frame",
        by="what",
        name="trust_in_a_burst",
        title="How far the colours are trusted around a burst of smoke",
        caption="Smoke lies over the colours in the middle third of each sequence, the same in all "
        f"its frames. Mean over sequences and the latent map. {BAND}",
        x_title="frame",
        y_title="part of the colours",
    )


def overlap_in_a_burst(run: Run) -> Chart:
    """IoU over time, around a burst of smoke."""
    return curve(
        run.records,
        "burst_mean_iou",
        "frame",
        by="fusion",
        name="iou_in_a_burst",
        title="IoU around a burst of smoke",
        caption="The same sequences: pixels of all of them together, by frame, of the fusions that "
        f"see the colours. {BAND}",
        x_title="frame",
        y_title="mean IoU",
    )


def without(run: Run) -> Chart:
    """The IoU with some of the modalities only."""
    return dots(
        run.records,
        "left_mean_iou",
        by=["left", "fusion"],
        name="without",
        title="IoU with some of the modalities only",
        caption=f"Without noise, if only these are shown. {BAND}",
        x_title="mean IoU",
    )


def frames(run: Run, fusion: str, trial: int) -> Picture:
    """Some frames with the masks that were told, under more and more noise."""
    folder: Path = run.load("examples.examples", trial=trial)
    with np.load(folder / "examples.npz") as kept:
        arrays = {name: kept[name] for name in kept.files}
    return Picture(
        f"frames_{fusion}",
        f"Drawn frames and the masks told of them: {fusion}",
        "Each column is a frame of a sequence not trained on (SYNTHETIC). Above the true mask; "
        "below, in pairs, the colours as they were shown, with more and more noise, and the mask "
        "told from all modalities, with its IoU and what the colours contributed. Green: shaft, "
        "orange: wrist, violet: clasper. First trial.",
        "Frames of instruments over tissue with masks of the truth and of the prediction.",
        _drawn(arrays),
    )


def _drawn(of: dict[str, np.ndarray]) -> Any:
    from matplotlib.figure import Figure as Drawing

    levels, count = of["found"].shape[:2]
    rows = 1 + 2 * levels
    drawing = Drawing(figsize=(2.4 * count, 2.0 * rows), layout="constrained")
    panels = drawing.subplots(rows, count, squeeze=False)
    for frame in range(count):
        panels[0, frame].imshow(_painted(of["truth"][frame]))
        for level in range(levels):
            seen, told = panels[1 + 2 * level, frame], panels[2 + 2 * level, frame]
            seen.imshow(of["shown"][level, frame])
            told.imshow(_painted(of["found"][level, frame]))
            told.set_xlabel(
                f"IoU {of['iou'][level, frame]:.2f}, share {of['share'][level, frame]:.2f}",
                fontsize=8,
            )
    names = ["truth", *(f"{w} {v:g}" for v in of["noise"] for w in ("noise", "told at"))]
    for panel, name in zip(panels[:, 0], names, strict=True):
        panel.set_ylabel(name, fontsize=9)
    for panel in panels.flat:
        panel.set_xticks([])
        panel.set_yticks([])
    return drawing


def _painted(mask: Integer[np.ndarray, "height width"]) -> Float[np.ndarray, "height width 3"]:
    """Classes as colours; any beyond the known ones white."""
    table = np.concatenate([COLOURS, np.ones((1, 3))])
    return table[np.minimum(mask, len(COLOURS))]
