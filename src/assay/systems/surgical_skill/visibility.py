"""Who is seen in which pixel: the truth that boxes and shares are measured from.

Objects are drawn from far to near into a buffer of identities, without smoothing; the colours of
`drawing.py` follow the same order.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from assay.systems.surgical_skill.kinematics import Motion
from assay.systems.surgical_skill.scene import SHIFT, Outline, Scene

__all__ = ["OBJECTS", "RING", "Seen", "draw_ring", "identities", "needle_width", "order", "seen"]

OBJECTS = ("left clevis", "right clevis", "needle")
"""What has a number of its own in the buffer of identities: 1, 2 and 3. All else is 0."""
NEEDLE_ID = 3
RING = (0.017, 0.042)
"""Half the width and half the height of a ring (image widths)."""
Part = tuple[str, int]


class Seen(NamedTuple):
    """What is seen of each object of `OBJECTS`.

    Attributes:
        xywh: Left, top, width and height of the pixels seen; 0 where there are none.
        share: Pixels seen, as a share of those that it would have if nothing hid it.
    """

    xywh: Int[np.ndarray, "time 3 4"]
    share: Float[np.ndarray, "time 3"]


def order(motion: Motion, frame: int) -> list[Part]:
    """Parts from far to near: the name of each, and whose it is or which target."""
    held, inside = int(motion.held[frame]), int(motion.inside[frame])
    parts: list[Part] = [("thread", 0)]
    if held < 0:
        parts.append(("needle", 0))
    near = int(motion.depth[frame, 1] >= motion.depth[frame, 0])
    for side in (1 - near, near):
        parts += [("shaft", side), ("lower", side)]
        parts += [("needle", 0)] if side == held else []
        parts += [("upper", side), ("clevis", side)]
    return [*parts, ("ring", inside)] if inside >= 0 else parts


def identities(
    laid: Scene, motion: Motion, height: int
) -> Iterator[UInt8[np.ndarray, "height width"]]:
    """Number of the object seen in each pixel, by frame; the array is used again for the next."""
    import cv2

    buffer = np.empty((height, laid.pixels), np.uint8)
    thick = sum(needle_width(laid.pixels))
    for frame in range(len(motion)):
        buffer.fill(0)
        for part, which in order(motion, frame):
            if part == "needle":
                for piece in laid.needle:
                    _line(buffer, piece[frame], NEEDLE_ID, thick)
            elif part == "thread":
                cv2.polylines(buffer, [laid.thread[frame]], False, 0, 1, cv2.LINE_8, SHIFT)
            elif part == "ring":
                draw_ring(buffer, laid, motion, (frame, which), 0, front=True)
            else:
                value = which + 1 if part == "clevis" else 0
                cv2.fillPoly(buffer, [_outline(laid, part, which)[frame]], value, cv2.LINE_8, SHIFT)
        yield buffer


def seen(laid: Scene, motion: Motion, height: int) -> Seen:
    """Measure what is seen of each object in every frame."""
    thick = sum(needle_width(laid.pixels))
    outlines = [*laid.clevis, laid.whole_needle]
    around = [_around(outline, 1 + thick) for outline in outlines]
    xywh = np.zeros((len(motion), len(OBJECTS), 4), np.int64)
    share = np.zeros((len(motion), len(OBJECTS)))
    for frame, buffer in enumerate(identities(laid, motion, height)):
        for number, outline in enumerate(outlines):
            x0, y0, x1, y1 = around[number][frame].tolist()
            left, top = max(x0, 0), max(y0, 0)
            own = buffer[top : max(y1, 0), left : max(x1, 0)] == number + 1
            rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
            if len(rows):
                x, y = left + columns[0], top + rows[0]
                xywh[frame, number] = x, y, columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
                alone = outline[frame] - (np.array([x0, y0], np.int32) << SHIFT)
                whole = _alone(alone, (y1 - y0, x1 - x0), thick if number + 1 == NEEDLE_ID else 0)
                share[frame, number] = np.count_nonzero(own) / whole
    return Seen(xywh, share)


def _around(outline: Outline, margin: int) -> Int[np.ndarray, "time 4"]:
    """The pixels that an outline can touch: first column and row, and past the last."""
    low = (outline.min(axis=1) >> SHIFT) - margin
    high = (outline.max(axis=1) >> SHIFT) + margin + 2
    return np.concatenate([low, high], axis=1)


def _alone(outline: np.ndarray, shape: tuple[int, int], thick: int) -> int:
    """Pixels of an object that nothing hides."""
    import cv2

    sheet = np.zeros(shape, np.uint8)
    if thick:
        _line(sheet, outline, 1, thick)
    else:
        cv2.fillPoly(sheet, [outline], 1, cv2.LINE_8, SHIFT)
    return int(np.count_nonzero(sheet))


def _line(sheet: np.ndarray, points: np.ndarray, colour: int, thick: int) -> None:
    """A part of the needle, if there is any of it."""
    import cv2

    if (points[0] != points[-1]).any():
        cv2.polylines(sheet, [points], False, colour, thick, cv2.LINE_8, SHIFT)


def _outline(laid: Scene, part: str, side: int) -> Outline:
    if part in ("lower", "upper"):
        return laid.jaws[side][part == "upper"]
    return laid.shaft[side] if part == "shaft" else laid.clevis[side]


def needle_width(pixels: int) -> tuple[int, int]:
    """Width of the needle and of its dark edge."""
    return max(1, round(0.004 * pixels)), max(1, round(0.003 * pixels))


def draw_ring(
    sheet: np.ndarray, laid: Scene, motion: Motion, place: tuple[int, int],
    colour: int | tuple[int, int, int], *, front: bool,
) -> None:  # fmt: skip
    """Half of a ring: the one that is closer than what passes through it, or the other.

    Args:
        sheet: What is drawn on: identities, not smoothed, or colours.
        laid: Where everything lies.
        motion: What moves.
        place: Number of the frame and of the ring.
        colour: A number for identities.
        front: Which half.
    """
    import cv2

    scale = laid.pixels * motion.camera[place[0], 2] * (1 << SHIFT)
    axes = round(RING[0] * scale), round(RING[1] * scale)
    begin = -90 if front else 90
    smooth = cv2.LINE_8 if isinstance(colour, int) else cv2.LINE_AA
    cv2.ellipse(sheet, laid.targets[place].tolist(), axes, 0, begin, begin + 180, colour,
                max(1, round(0.008 * laid.pixels)), smooth, SHIFT)  # fmt: skip
