"""The figures of the hands: errors, who is trusted, what is left, and hands with what was told."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from assay.core.charts import curve, dots
from assay.core.figures import Chart, Figure, Picture
from assay.core.run import Run
from assay.systems.product_of_experts.hands import FINGERS

BAND = "Mean over the seeds with its 95 % interval, where there are several."
CLEAN = "_clean"
EXAMPLES = ("learned", "poe", "learned_clean")
NOISED = "depth"
ALONG = "severity of the noise on {} (1 is 1 m of depth, or the whole range of a picture)"
TRUST = {"credibility": "credibility", "share": "share"}
TRUTH, FOUND = "white", "#ff9f43"


def hand_pose_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Errors, then trust, then single modalities, then hands."""
    for noised in (NOISED, "all"):
        yield partial(error, run, noised)
    yield partial(trained_clean, run)
    yield partial(trust, run)
    yield partial(without, run)
    yield partial(training, run)
    for fusion, trial in first_trials(run).items():
        yield partial(hands, run, fusion, trial)


def first_trials(run: Run) -> dict[str, int]:
    """The first trial of each fusion whose examples are shown, by name."""
    found: dict[str, int] = {}
    for number, trial in enumerate(run.trials):
        found.setdefault(trial["choices"]["fusion"], number)
    return {name: found[name] for name in EXAMPLES if name in found}


def _noisy(rows: Any) -> Any:
    return rows[~rows["fusion"].str.endswith(CLEAN)]


def error(run: Run, noised: str) -> Chart:
    """The error against the noise of a modality, or of all, a line per fusion."""
    rows = _noisy(run.records)
    what = NOISED if noised == NOISED else "every modality"
    return curve(
        rows[rows["noised"] == noised],
        "epe_mm",
        "noise",
        by="fusion",
        name=f"error_{noised}",
        title=f"Error with noise on {what}",
        caption="Distance of a visible key point from the truth, on people not trained on; every "
        f"fusion was trained with noise. {BAND}",
        x_title=ALONG.format(what),
        y_title="error of a key point (mm)",
    )


def trained_clean(run: Run) -> Chart:
    """The error of the same fusions, trained with noise and without."""
    rows = run.records[run.records["noised"] == NOISED]
    clean = set(rows.loc[rows["fusion"].str.endswith(CLEAN), "fusion"])
    both = clean | {name.removesuffix(CLEAN) for name in clean}
    return curve(
        rows[rows["fusion"].isin(sorted(both))],
        "epe_mm",
        "noise",
        by="fusion",
        name="trained_clean",
        title="What noise in training is worth",
        caption=f"The same with noise in training and without (clean). {BAND}",
        x_title=ALONG.format(NOISED),
        y_title="error of a key point (mm)",
    )


def trust(run: Run) -> Chart:
    """Weight and share of depth against its noise."""
    rows = run.records[run.records["noised"] == NOISED]
    rows = rows[rows["measure"].isin(list(TRUST)) & rows["fusion"].isin(["learned", "poe"])]
    rows = rows[(rows["fusion"] == "learned") | (rows["measure"] == "share")]
    what = rows["measure"].map(TRUST) + " (" + rows["fusion"] + ")"
    return curve(
        rows.assign(what=what, measure="trust"),
        "trust",
        "noise",
        by="what",
        name="trust",
        title="How far noisy depth is trusted",
        caption="Trained with noise. Credibility is the weight of depth in the fusion, which of a "
        "plain product (poe) is always 1; its share is what it contributes of what the modalities "
        f"do: weight times precision. Mean over hands and the latent state. {BAND}",
        x_title=ALONG.format(NOISED),
        y_title="part of depth",
    )


def without(run: Run) -> Chart:
    """The error with some of the modalities only."""
    return dots(
        _noisy(run.records),
        "missing_epe_mm",
        by=["left", "fusion"],
        name="without",
        title="Error with some of the modalities only",
        caption=f"Distance of a visible key point from the truth, without noise, if only these are "
        f"shown. {BAND}",
        x_title="error of a key point (mm)",
    )


def training(run: Run) -> Chart:
    """The loss while training."""
    return curve(
        run.records,
        "training_loss",
        "training_step",
        by="fusion",
        name="training",
        title="Training",
        caption="Loss of a sample (nats), averaged over a twentieth of the steps. The losses of "
        f"single modalities are part of it, so early fusion, which has one, lies lower. {BAND}",
        x_title="step",
        y_title="training loss",
    )


def hands(run: Run, fusion: str, trial: int) -> Picture:
    """Some hands with the key points that were told, under more and more noise."""
    folder: Path = run.load("examples.examples", trial=trial)
    with np.load(folder / "examples.npz") as kept:
        arrays = {name: kept[name] for name in kept.files}
    return Picture(
        f"hands_{fusion}",
        f"Drawn hands and what was told of them: {fusion}",
        "Each column is a hand of a person not trained on (SYNTHETIC). Above in colour, without "
        f"noise; below its {NOISED}, as it was shown, with more and more noise. White: the "
        "truth; in colour: the key points told. Below each, their error and what depth "
        "contributed. First trial.",
        "Hands in colour and as depth maps, with the bones of the truth and of the prediction.",
        _drawn(arrays),
    )


def _drawn(of: dict[str, np.ndarray]) -> Any:
    from matplotlib.figure import Figure as Drawing

    levels, count = of["shown"].shape[:2]
    drawing = Drawing(figsize=(2.5 * count, 2.8 * (levels + 1)), layout="constrained")
    panels = drawing.subplots(levels + 1, count, squeeze=False)
    for hand in range(count):
        for row in range(levels + 1):
            panel = panels[row, hand]
            panel.set_xticks([])
            panel.set_yticks([])
            level = max(row - 1, 0)
            if row == 0:
                panel.imshow(of["color"][hand])
            else:
                _depth(panel, of["shown"][level, hand], of["shown"][0, hand])
                share = of["share"][level, hand]
                told = "" if np.isnan(share) else f", share {share:.2f}"
                panel.set_xlabel(f"{of['error_mm'][level, hand]:.0f} mm{told}", fontsize=9)
            if hand == 0:
                panel.set_ylabel(f"noise {of['noise'][level]:g}" if row else "colour", fontsize=10)
            _bones(panel, of["truth"][hand], TRUTH)
            _bones(panel, of["found"][level, hand], FOUND)
            high, wide = of["color"].shape[1:3]
            panel.set_xlim(-0.5, wide - 0.5)
            panel.set_ylim(high - 0.5, -0.5)
    return drawing


def _depth(
    panel: Any, shown: Float[np.ndarray, "height width"], clean: Float[np.ndarray, "height width"]
) -> None:
    """A depth map, grey by the range of the clean one, dark where there is no depth."""
    there = clean[clean > 0]
    low, high = (float(there.min()), float(there.max())) if there.size else (0.0, 1.0)
    panel.imshow(shown, cmap="gray_r", vmin=low, vmax=max(high, low + 1e-6))


def _bones(panel: Any, points: Float[np.ndarray, "21 2"], colour: str) -> None:
    """Five fingers from the wrist, each from its base to the tip, with an edge to stand out."""
    from matplotlib.patheffects import Normal, Stroke

    edge = [Stroke(linewidth=2.6, foreground="black"), Normal()]
    for finger in range(FINGERS):
        chain = points[[0, *range(4 + 4 * finger, 4 * finger, -1)]]
        panel.plot(*chain.T, color=colour, linewidth=1.4, path_effects=edge)
