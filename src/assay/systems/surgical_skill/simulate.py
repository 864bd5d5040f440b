"""One simulated recording: frames, and what is exactly known of them. SYNTHETIC."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from assay.parts.detection.boxes import Boxes
from assay.systems.surgical_skill.classes import DRIVER, NEEDLE
from assay.systems.surgical_skill.drawing import pictures
from assay.systems.surgical_skill.events import (
    DROPS,
    ECONOMY,
    OUT_OF_VIEW,
    VIEW_SHARE,
    drops,
    economy_of_motion,
    is_dropped,
    out_of_view,
)
from assay.systems.surgical_skill.kinematics import Motion, Skill, Variant, episode
from assay.systems.surgical_skill.scene import scene
from assay.systems.surgical_skill.styles import STYLES, Style
from assay.systems.surgical_skill.visibility import Seen, seen

__all__ = ["Case", "simulate_case"]

GRABBED, DROPPED = 0, 1


@dataclass(frozen=True)
class Case:
    """What is known of a simulated recording.

    An object is boxed where at least a quarter of it is seen, so that a driver without a box is out
    of view. The box is that of the pixels seen; of a driver, only of its clevis.

    Attributes:
        case: Number of the case.
        surgeon: Number of the surgeon.
        skill: The surgeon's skill, from 0 to 1.
        fps: Frames per second.
        size: Width and height (pixels).
        boxes: Objects in every frame; ``image`` is the number of the frame. The needle is `dropped`
            where it is neither held nor resting in tissue, else `grabbed`.
        visible_share: Share of the clevis of the left and the right driver that is seen.
        metrics: By the names of `METRICS`, exact.
        motion: What moved where.
    """

    case: int
    surgeon: int
    skill: Skill
    fps: int
    size: tuple[int, int]
    boxes: Boxes
    visible_share: Float[np.ndarray, "time 2"]
    metrics: dict[str, float]
    motion: Motion

    @property
    def frames(self) -> int:
        """How many frames."""
        return len(self.visible_share)


def simulate_case(
    case: int,
    surgeon: int,
    skill: Skill,
    *,
    seconds: float = 30.0,
    size: tuple[int, int] = (320, 180),
    fps: int = 30,
    seed: int,
    style: Style = STYLES["v1"],
    variant: Variant | None = None,
    show: Callable[[np.ndarray], object] | None = None,
) -> Case:
    """Simulate a recording.

    Args:
        case: Number of the case; equal seeds and cases give equal recordings.
        surgeon: Number of the surgeon.
        skill: From 0, a beginner, to 1, an expert.
        seconds: How long.
        size: Width and height (pixels), 16 to 9.
        fps: Frames per second.
        seed: Of everything.
        style: The look; it changes no label.
        variant: The task; drawn if not given.
        show: Is given each frame in turn, ``[height, width, 3]`` in red, green and blue, which it
            must copy to keep. Without it no frame is painted, and the labels are the same.

    Raises:
        ValueError: If the skill lies outside of [0, 1], or the size is not 16 to 9.
    """
    width, height = size
    if abs(width * 9 - height * 16) > 16:
        raise ValueError(f"a size of {width} x {height}; expected 16 to 9")
    moves, looks = np.random.default_rng([seed, case]).spawn(2)
    motion = episode(skill, seconds, moves, fps=fps, variant=variant)
    laid = scene(motion, width)
    found = seen(laid, motion, height)
    if show:
        for frame in pictures(laid, motion, style, height, looks):
            show(frame)
    clevises = found.share[:, :2]
    metrics = {
        DROPS: float(drops(motion.held, motion.resting)),
        OUT_OF_VIEW: float(out_of_view(clevises)),
        ECONOMY: economy_of_motion(motion.tips),
    }
    boxes = _boxes(found, motion)
    return Case(case, surgeon, skill, fps, size, boxes, clevises, metrics, motion)


def _boxes(found: Seen, motion: Motion) -> Boxes:
    """Objects of which enough is seen: by frame the left driver, the right one, the needle."""
    frame, number = np.nonzero(found.share >= VIEW_SHARE)
    lies = np.where(is_dropped(motion.held, motion.resting), DROPPED, GRABBED)
    is_needle = number == 2
    return Boxes.of(
        image=frame,
        label=np.where(is_needle, NEEDLE, DRIVER),
        xywh=found.xywh[frame, number],
        state=np.where(is_needle, lies[frame], number),
    )
