"""A scene in colours, frame by frame.

Notable: the order from far to near is that of the buffer of identities, so that a label is where
its object is seen; the pictures add what labels do not know: light, shadow, smoke, noise and blur.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int, UInt8

from assay.systems.surgical_skill.kinematics import Motion
from assay.systems.surgical_skill.scene import MARGIN, SHIFT, Outline, Scene
from assay.systems.surgical_skill.styles import Style
from assay.systems.surgical_skill.tissue import clouds, noise_sheets, tissue, vignette
from assay.systems.surgical_skill.visibility import RING, draw_ring, needle_width, order

__all__ = ["pictures"]

STEEL, DARK_STEEL, BLACK = (186, 190, 198), (96, 100, 110), (34, 35, 40)
NEEDLE_EDGE, NEEDLE_LIGHT, THREAD = (52, 54, 62), (222, 226, 234), (66, 52, 140)
RUBBER, POST = (96, 190, 170), (70, 110, 120)
Frame = UInt8[np.ndarray, "height width 3"]


def pictures(
    laid: Scene, motion: Motion, style: Style, height: int, rng: np.random.Generator
) -> Iterator[Frame]:
    """The frames, in red, green and blue; the array is used again for the next.

    Args:
        laid: Where everything lies.
        motion: What moves.
        style: The look.
        height: Of the image (pixels).
        rng: Where tissue, smoke and noise come from.
    """
    import cv2

    width, frames = laid.pixels, len(motion)
    size, edge = (width, height), round(MARGIN.real * width)
    ground = tissue(height + 2 * edge, width + 2 * edge, style, rng)
    light = vignette(height, width, style.vignette, style.lamp)
    smoke = _smoke(height, width, rng)
    sheets = noise_sheets(height, width, rng)
    thickness, drift, gain = _weather(frames, height, width, style, rng)
    pick = rng.integers(len(sheets), size=frames)
    frame, last = np.empty((height, width, 3), np.uint8), None
    for t in range(frames):
        cv2.warpAffine(ground, laid.view[t], size, frame, cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                       cv2.BORDER_REFLECT)  # fmt: skip
        cv2.multiply(frame, cv2.subtract(light, _shadow(laid, t, height)), frame, 1 / 255)
        _targets(frame, laid, motion, t)
        for part, which in order(motion, t):
            _paint(frame, light, laid, motion, t, part, which)
        x, y = drift[t]
        haze = smoke[y : y + height, x : x + width]
        cv2.addWeighted(frame, 1 - thickness[t], haze, thickness[t], 0, frame)
        if style.blur:
            cv2.GaussianBlur(frame, (0, 0), style.blur * width / 1000, frame)
        strength = style.noise / 32
        cv2.addWeighted(frame, gain[t], sheets[pick[t]], strength, -128 * strength, frame)
        if last is not None:
            cv2.addWeighted(frame, 1 - style.drag, last, style.drag, 0, frame)
        last = frame.copy()
        yield frame


def _smoke(height: int, width: int, rng: np.random.Generator) -> Frame:
    """A sheet of smoke, larger than the image, to look at through a window that drifts."""
    grey = 120 + 110 * clouds(height * 2, width * 2, 5, 4, rng)
    return np.repeat(grey[..., None].astype(np.uint8), 3, axis=2)


def _weather(
    frames: int, height: int, width: int, style: Style, rng: np.random.Generator
) -> tuple[Float[np.ndarray, " time"], Int[np.ndarray, "time 2"], Float[np.ndarray, " time"]]:
    """How thick the smoke is, where its window stands, and the light's gain."""
    from scipy.ndimage import gaussian_filter1d

    waves = gaussian_filter1d(rng.standard_normal((frames + 600, 2)), 45, axis=0)[300:-300]
    waves = waves * np.sqrt(2 * np.sqrt(np.pi) * 45)
    thickness = style.smoke * np.clip(0.4 * waves[:, 0] - 0.15, 0, 1)
    gain = 1 + style.flicker * waves[:, 1]
    turn = rng.uniform(0, 2 * np.pi, 2) + np.arange(frames)[:, None] * [0.004, 0.0027]
    place = (0.5 + 0.5 * np.sin(turn)) * [width, height]
    return thickness, place.astype(np.int64), gain


def _shadow(laid: Scene, t: int, height: int) -> Frame:
    """What light the tools and the needle take from the tissue, as levels of 255."""
    import cv2

    half = np.zeros((height // 2 + 1, laid.pixels // 2 + 1), np.uint8)
    *solid, first, second = laid.shadows
    for outline in solid:
        cv2.fillConvexPoly(half, outline[t], 105, cv2.LINE_8, SHIFT + 1)
    for arc in (first, second):
        if (arc[t, 0] != arc[t, -1]).any():
            cv2.polylines(half, [arc[t]], False, 130, 1, cv2.LINE_8, SHIFT + 1)
    side = max(3, laid.pixels // 90)
    soft = cv2.resize(cv2.blur(half, (side, side)), (laid.pixels, height))
    return cv2.cvtColor(soft, cv2.COLOR_GRAY2RGB)


def _targets(frame: Frame, laid: Scene, motion: Motion, t: int) -> None:
    """Rings or entry points on the tissue, and what a buried needle does to it."""
    import cv2

    unit = laid.pixels * (1 << SHIFT)
    for number, at in enumerate(laid.targets[t].tolist()):
        if motion.variant == "ring pass":
            base = [at[0], at[1] + round((RING[1] + 0.03) * unit)]
            foot = [at[0], at[1] + round(RING[1] * unit)]
            cv2.line(frame, foot, base, POST, max(1, laid.pixels // 80), cv2.LINE_AA, SHIFT)
            for front in (False, True):
                draw_ring(frame, laid, motion, (t, number), RUBBER, front=front)
        else:
            cv2.circle(frame, at, round(0.009 * unit), (238, 232, 214), -1, cv2.LINE_AA, SHIFT)
            cv2.circle(frame, at, round(0.005 * unit), (40, 60, 110), -1, cv2.LINE_AA, SHIFT)
    if laid.is_buried[t]:
        way = laid.buried[t]
        cv2.polylines(frame, [way], False, (214, 130, 118), laid.pixels // 60, cv2.LINE_AA, SHIFT)
        for end in (way[0].tolist(), way[-1].tolist()):
            cv2.circle(frame, end, round(0.007 * unit), (70, 8, 12), -1, cv2.LINE_AA, SHIFT)


def _paint(
    frame: Frame, light: Frame, laid: Scene, motion: Motion, t: int, part: str, which: int
) -> None:
    """One part in its colours."""
    import cv2

    wide, edge = needle_width(laid.pixels)
    if part == "needle":
        for colour, thick in ((NEEDLE_EDGE, wide + edge), (NEEDLE_LIGHT, wide)):
            for piece in laid.needle:
                if (piece[t, 0] != piece[t, -1]).any():
                    cv2.polylines(frame, [piece[t]], False, colour, thick, cv2.LINE_AA, SHIFT)
    elif part == "thread":
        cv2.polylines(frame, [laid.thread[t]], False, THREAD, edge, cv2.LINE_AA, SHIFT)
    elif part == "ring":
        draw_ring(frame, laid, motion, (t, which), RUBBER, front=True)
    else:
        gloss = float(laid.gloss[t, which])
        x, y = (laid.pin[which][t, 0] >> SHIFT).clip(0, [frame.shape[1] - 1, frame.shape[0] - 1])
        _metal(frame, light[y, x] / 255, gloss, laid, t, part, which)


def _metal(
    frame: Frame, light: np.ndarray, gloss: float, laid: Scene, t: int, part: str, side: int
) -> None:
    """A part of a driver, in the light there is at its pin."""
    import cv2

    def fill(outline: Outline, colour: tuple[int, int, int], gain: float = 1.0) -> None:
        shade = np.clip(np.array(colour) * light * gain, 0, 255).tolist()
        cv2.fillPoly(frame, [outline[t]], shade, cv2.LINE_AA, SHIFT)

    if part == "shaft":
        fill(laid.shaft[side], BLACK)
        fill(laid.stripe[side], BLACK, 1.6 + 1.4 * gloss)
    elif part == "clevis":
        fill(laid.clevis[side], STEEL, 0.7 + 0.2 * gloss)
        fill(laid.gleam[side], (255, 255, 255), 0.75 + 0.3 * gloss)
        fill(laid.slot[side], DARK_STEEL, 0.6)
        radius = round(0.0055 * laid.pixels * (1 << SHIFT))
        pin = laid.pin[side][t, 0].tolist()
        cv2.circle(frame, pin, radius, BLACK, -1, cv2.LINE_AA, SHIFT)
    else:
        fill(
            laid.jaws[side][part == "upper"],
            STEEL,
            (0.55 if part == "lower" else 0.8) + 0.2 * gloss,
        )
