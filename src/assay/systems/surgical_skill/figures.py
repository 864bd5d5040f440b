"""The figures of the studies on recordings: rates, and frames with what is there and was found."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from assay.core.charts import dots
from assay.core.figures import Figure, Picture, file_name
from assay.core.run import Run
from assay.parts.detection.boxes import Boxes
from assay.parts.detection.misses import Panel, misses, panels
from assay.systems.surgical_skill.classes import CLASSES, STATES
from assay.systems.surgical_skill.clips import Clips

__all__ = ["SURE", "frames_with_boxes", "localisation_figures", "worst_frames"]

SHOWN = 6
SURE = 0.3


def localisation_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Average precision by class, then frames that went well and frames that did not."""
    decisions = [name for name in ("cells", "camera") if name in run.records]
    for measure, title in (
        ("ap50_driver", "How well drivers are found"),
        ("ap50_needle", "How well the needle is found"),
        ("ap", "Average precision over all overlaps"),
        ("state_right", "How often left or right, held or dropped is told rightly"),
    ):
        if run.records.loc[run.records["measure"] == measure, "value"].isna().all():
            continue  # nothing was found whose state could be judged
        yield partial(
            dots,
            run.records,
            measure,
            by=decisions,
            name=measure,
            title=title,
            caption="Mean over seeds with its 95 % interval, on frames of surgeons that were not "
            "trained on.",
        )
    for camera, trial in _first_trials(run, "camera").items():
        yield partial(examples, run, trial, camera)


def examples(run: Run, trial: int, camera: str) -> Picture:
    """Frames of one trial: the fullest ones, and those where most was missed."""
    clips, found = run.load("unseen", trial=trial), run.load("found", trial=trial)
    found = found.take(found.score >= SURE)
    worst = worst_frames(clips, found, SHOWN // 2)
    rest = np.linspace(0, len(clips.frames) - 1, SHOWN - len(worst)).astype(int)
    return Picture(
        f"frames-{file_name(camera)}",
        f"Frames of unseen surgeons: {camera}",
        "Above, frames at even distances; below, those where most was missed. White: "
        f"what is there; in colour: what was found with a score from {SURE:g}, and its state.",
        "Frames with boxes around needle drivers and the needle.",
        frames_with_boxes(clips, found, [*rest, *worst]),
    )


def worst_frames(clips: Clips, found: Boxes, most: int) -> Any:
    """Rows of the frames in which most objects were missed, the worst first."""
    missed = misses(clips.truth, found, len(clips.frames)).missed
    return np.argsort(-missed, kind="stable")[:most]


def frames_with_boxes(clips: Clips, found: Boxes, rows: Sequence[int]) -> Any:
    """A drawing of frames with the boxes that are there and those that were found."""
    shown = [
        Panel(f"case {clips.case[row]}", clips.frames[row],
              *(boxes.take(boxes.image == row) for boxes in (clips.truth, found)))
        for row in rows
    ]  # fmt: skip
    return panels(shown, _said)


def _said(boxes: Boxes, row: int) -> str:
    label, state = int(boxes.label[row]), int(boxes.state[row])
    word = f" {STATES[label][state]}" if state >= 0 else ""
    return f"{CLASSES[label]}{word} {boxes.score[row]:.2f}"


def _first_trials(run: Run, decision: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for trial in run.trials:
        found.setdefault(str(trial["choices"].get(decision, "all")), trial["trial"])
    return found
