"""What was missed and what was invented in each image, and a drawing of both."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from assay.core.charts import PALETTE
from assay.parts.detection.boxes import Boxes, iou

__all__ = ["Misses", "Panel", "misses", "panels"]

ACROSS = 3
WIDTH, HEIGHT = 3.6, 2.25
"""Of a panel (inches)."""


class Misses(NamedTuple):
    """Faults in each image.

    Attributes:
        missed: Objects that no box of their class overlaps enough.
        invented: Boxes that overlap no object of their class enough.
    """

    missed: Int[np.ndarray, " image"]
    invented: Int[np.ndarray, " image"]


def misses(truth: Boxes, found: Boxes, images: int, *, overlap: float = 0.5) -> Misses:
    """Count what was missed and what was invented.

    Args:
        truth: Objects that are there.
        found: Boxes, whatever their scores: take those that are sure enough before.
        images: How many images there are.
        overlap: Intersection over union from which a box is of an object.

    Example:
        >>> truth = Boxes.of([0, 1], [0, 0], [[0, 0, 10, 10]] * 2)
        >>> misses(truth, Boxes.of([0], [0], [[0, 0, 10, 9]]), images=2).missed.tolist()
        [0, 1]
    """
    missed = np.bincount(truth.image, minlength=images)
    invented = np.bincount(found.image, minlength=images)
    for image in np.intersect1d(truth.image, found.image):
        there, said = truth.take(truth.image == image), found.take(found.image == image)
        meets = iou(there.xywh, said.xywh) >= overlap
        meets &= there.label[:, None] == said.label
        missed[image] = (~meets.any(axis=1)).sum()
        invented[image] = (~meets.any(axis=0)).sum()
    return Misses(missed, invented)


class Panel(NamedTuple):
    """One image to be drawn.

    Attributes:
        title: Above it.
        picture: The image; of no height where there is none, and the boxes stand on grey.
        truth: Objects in it.
        found: Boxes in it.
    """

    title: str
    picture: UInt8[np.ndarray, "height width 3"]
    truth: Boxes
    found: Boxes


def panels(shown: Sequence[Panel], say: Callable[[Boxes, int], str]) -> Any:
    """A drawing of images: white what is there, in colours by class what was found.

    Args:
        shown: The images, three in a row.
        say: What is written above a box, given the boxes and its row.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.figure import Figure

    down = -(-len(shown) // ACROSS)
    drawing = Figure(figsize=(WIDTH * ACROSS, HEIGHT * down), layout="constrained")
    axes = drawing.subplots(down, ACROSS, squeeze=False).ravel()
    for each, panel in zip(axes, shown, strict=False):
        _draw(each, panel, say)
    for each in axes:
        each.axis("off")
    return drawing


def _draw(axes: Any, panel: Panel, say: Callable[[Boxes, int], str]) -> None:
    from matplotlib.patches import Rectangle

    axes.imshow(panel.picture if len(panel.picture) else _grey(panel))
    for boxes, own in ((panel.truth, True), (panel.found, False)):
        for row, (x, y, w, h) in enumerate(boxes.xywh.tolist()):
            colour = "white" if own else PALETTE[(1 + 2 * int(boxes.label[row])) % len(PALETTE)]
            line = 1.0 if own else 1.4
            axes.add_patch(Rectangle((x, y), w, h, fill=False, ec=colour, lw=line))
            if not own:
                axes.text(x, y - 2, say(boxes, row), color=colour, fontsize=6.5, va="bottom")
    axes.set_title(panel.title, fontsize=8)


def _grey(panel: Panel) -> np.ndarray:
    """A grey image that all boxes fit on."""
    corners = [boxes.xywh[:, :2] + boxes.xywh[:, 2:] for boxes in (panel.truth, panel.found)]
    width, height = np.vstack([*corners, [[64.0, 36.0]]]).max(axis=0) * 1.05
    return np.full((int(height) + 1, int(width) + 1, 3), 96, np.uint8)
