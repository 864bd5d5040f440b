"""Where every part of a scene lies in the image: outlines of all frames at once.

Outlines are 32-bit integers of sixteenths of a pixel, as OpenCV draws them; the middle of the first
pixel is 0.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int32

from assay.systems.surgical_skill.hands import ARC, NEEDLE_RADIUS, PIVOTS
from assay.systems.surgical_skill.kinematics import HEIGHT, Motion

__all__ = ["SHIFT", "Outline", "Scene", "scene"]

SHIFT = 4
"""Binary digits after the point."""
GROWTH = 0.3
"""How much larger the closest things are than those at the tissue."""
JAW = np.array([[0, 0.0035], [0.01, 0.0075], [0.03, 0.0055], [0.044, 0.0008], [0.044, -0.0012],
                [0, -0.0012]])  # fmt: skip
CLEVIS = np.array([[-0.05, -0.0145], [-0.044, -0.0185], [-0.014, -0.018], [0.0045, -0.0095],
                   [0.0045, 0.0095], [-0.014, 0.018], [-0.044, 0.0185],
                   [-0.05, 0.0145]])  # fmt: skip
GLEAM = np.array([[-0.046, -0.012], [-0.014, -0.011], [-0.006, -0.006], [-0.016, -0.006],
                  [-0.046, -0.007]])  # fmt: skip
SLOT = np.array([[-0.02, -0.003], [0.003, -0.003], [0.003, 0.003], [-0.02, 0.003]])
JAW_LENGTH, WRIST, SHAFT_HALF = 0.044, -0.046, 0.0175
NEEDLE_POINTS, THREAD_POINTS = 14, 12
SHADOW = complex(0.012, 0.018)
SHADOW_LIFT = complex(0.05, 0.075)

Outline = Int32[np.ndarray, "time _ 2"]
"""As many points as the part has."""
Plane = np.ndarray
"""Points as complex numbers (image widths), ``[time]`` or ``[time point]``."""


@dataclass(frozen=True)
class Scene:
    """Outlines by part; those of drivers for the left and the right one.

    Attributes:
        shaft: Of the drivers, as quadrilaterals.
        stripe: Light along each shaft.
        clevis: What is boxed of a driver.
        gleam: Light on it.
        slot: The slot the jaws sit in.
        pin: The pin they turn on, one point.
        jaws: The lower and the upper jaw of each.
        gloss: How much light the metal throws back, in [0, 1] ``[time 2]``.
        needle: The parts of the arc before and behind what is buried.
        whole_needle: All of the arc.
        buried: The part in the tissue.
        is_buried: Whether there is one ``[time]``.
        thread: From the needle's end.
        targets: Middles of rings or entry points.
        shadows: Of shaft, clevis and both jaws, of each driver, then of the needle's two parts.
        view: How the tissue is moved and scaled, as a matrix ``[time 2 3]`` in pixels.
        pixels: One image width, in pixels.
    """

    shaft: tuple[Outline, Outline]
    stripe: tuple[Outline, Outline]
    clevis: tuple[Outline, Outline]
    gleam: tuple[Outline, Outline]
    slot: tuple[Outline, Outline]
    pin: tuple[Outline, Outline]
    jaws: tuple[tuple[Outline, Outline], tuple[Outline, Outline]]
    gloss: Float[np.ndarray, "time 2"]
    needle: tuple[Outline, Outline]
    whole_needle: Outline
    buried: Outline
    is_buried: np.ndarray
    thread: Outline
    targets: Outline
    shadows: tuple[Outline, ...]
    view: Float[np.ndarray, "time 2 3"]
    pixels: int


def scene(motion: Motion, width: int) -> Scene:
    """Lay out an episode in images of this width.

    Args:
        motion: What moves.
        width: Of the image (pixels).
    """
    camera = motion.camera

    def seen(points: Plane) -> Plane:
        """As the camera sees it."""
        moved = complex(0.5, HEIGHT / 2) + camera[:, 0] + 1j * camera[:, 1]
        return (points - moved[:, None]) * camera[:, 2:] + complex(0.5, HEIGHT / 2)

    def fixed(points: Plane) -> Outline:
        return _fixed(seen(points), width)

    parts = [_driver(motion, side) for side in (0, 1)]
    arcs, buried = _needle(motion)
    lift = SHADOW + SHADOW_LIFT * motion.depth
    needle_lift = (SHADOW + SHADOW_LIFT * motion.needle_depth)[:, None] * 0.8
    cast = [part[name] + lift[:, side, None] for side, part in enumerate(parts)
            for name in ("shaft", "clevis", "lower", "upper")]  # fmt: skip
    both = [{name: fixed(points) for name, points in part.items()} for part in parts]
    breath = 0.002 * np.exp(1j * np.arange(len(motion)) * (2 * math.pi * 0.25 / motion.fps))
    targets = motion.targets[:, 0] + 1j * motion.targets[:, 1] + np.zeros((len(motion), 1))
    return Scene(
        **{name: (both[0][name], both[1][name])
           for name in ("shaft", "stripe", "clevis", "gleam", "slot", "pin")},
        jaws=((both[0]["lower"], both[0]["upper"]), (both[1]["lower"], both[1]["upper"])),
        gloss=0.5 + 0.5 * np.cos(2 * (motion.angle - 0.9)),
        needle=(fixed(arcs[0]), fixed(arcs[1])),
        whole_needle=fixed(_arc(motion, 0.0, 1.0)),
        buried=fixed(buried),
        is_buried=motion.buried[:, 1] > motion.buried[:, 0],
        thread=fixed(_thread(motion)),
        targets=fixed(targets + breath[:, None]),
        shadows=tuple(map(fixed, [*cast, arcs[0] + needle_lift, arcs[1] + needle_lift])),
        view=_view(camera, breath, width),
        pixels=width,
    )  # fmt: skip


def _fixed(points: Plane, width: int) -> Outline:
    """Points in image widths as OpenCV takes them."""
    pixels = points * width - complex(0.5, 0.5)
    both = np.stack([pixels.real, pixels.imag], axis=-1)
    return np.round(both * (1 << SHIFT)).astype(np.int32)


def _driver(motion: Motion, side: int) -> dict[str, Plane]:
    """The parts of a driver, each turned to where it points and scaled by its depth."""
    tip = motion.tips[:, side, 0] + 1j * motion.tips[:, side, 1]
    scale = 1 + GROWTH * motion.depth[:, side]
    ahead = np.exp(1j * motion.angle[:, side]) * scale
    hinge = tip - JAW_LENGTH * ahead

    def placed(shape: np.ndarray, turn: Plane) -> Plane:
        return hinge[:, None] + turn[:, None] * (shape[:, 0] + 1j * shape[:, 1])

    half = np.exp(0.5j * motion.jaw[:, side])
    mirrored = JAW * [1, -1]
    wrist = hinge + WRIST * 0.9 * ahead
    back = PIVOTS[side] - wrist
    across = 1j * back / np.abs(back) * SHAFT_HALF * scale

    def strip(low: float, high: float) -> Plane:
        ends = [wrist + low * across, wrist + high * across]
        return np.stack([*ends, ends[1] + back, ends[0] + back], axis=1)

    return {
        "shaft": strip(-1.0, 1.0),
        "stripe": strip(0.15, 0.5),
        "clevis": placed(CLEVIS, ahead),
        "gleam": placed(GLEAM, ahead),
        "slot": placed(SLOT, ahead),
        "pin": hinge[:, None] - 0.004 * ahead[:, None],
        "lower": placed(JAW, ahead * half),
        "upper": placed(mirrored, ahead / half),
    }


def _arc(motion: Motion, begin: np.ndarray | float, end: np.ndarray | float) -> Plane:
    """Points of the needle between two places on its arc."""
    begin, end = np.broadcast_to(begin, len(motion)), np.broadcast_to(end, len(motion))
    where = begin[:, None] + (end - begin)[:, None] * np.linspace(0, 1, NEEDLE_POINTS)
    radius = NEEDLE_RADIUS * (1 + GROWTH * motion.needle_depth)[:, None]
    turned = motion.needle[:, 2:] + (where - 0.5) * ARC
    return _lifted(motion)[:, None] + radius * np.exp(1j * turned)


def _lifted(motion: Motion) -> Plane:
    """The centre of the arc, such that a needle that looks larger still lies in the jaws."""
    centre = motion.needle[:, 0] + 1j * motion.needle[:, 1]
    holder = np.clip(motion.held, 0, 1)
    rows = np.arange(len(motion))
    tip = motion.tips[rows, holder, 0] + 1j * motion.tips[rows, holder, 1]
    growth = GROWTH * motion.needle_depth * (motion.held >= 0)
    return centre + growth * (centre - tip)


def _needle(motion: Motion) -> tuple[list[Plane], Plane]:
    begin, end = motion.buried.T
    return [_arc(motion, 0.0, begin), _arc(motion, end, 1.0)], _arc(motion, begin, end)


def _thread(motion: Motion) -> Plane:
    """A thread from the needle's end, whose other end comes after it slowly."""
    from scipy.signal import lfilter

    start = _arc(motion, 1.0, 1.0)[:, 0]
    keep = math.exp(-1 / (0.7 * motion.fps))
    rest = start[0] + complex(0.05, 0.1)
    filtered, _ = lfilter([1 - keep], [1, -keep], start + complex(0.05, 0.1), zi=[keep * rest])
    t = np.linspace(0, 1, THREAD_POINTS)
    middle = 0.5 * (start + filtered) + complex(-0.04, 0.05)
    return ((1 - t) ** 2 * start[:, None] + 2 * t * (1 - t) * middle[:, None]
            + t**2 * filtered[:, None])  # fmt: skip


def _view(camera: np.ndarray, breath: np.ndarray, width: int) -> Float[np.ndarray, "time 2 3"]:
    """From a pixel of the image to one of the tissue's texture, which is wider on all sides."""
    zoom = 1 / camera[:, 2]
    centre = complex(0.5, HEIGHT / 2)
    origin = centre * (1 - zoom) + camera[:, 0] + 1j * camera[:, 1] - breath
    origin = (origin + MARGIN) * width
    view = np.zeros((len(camera), 2, 3))
    view[:, 0, 0] = view[:, 1, 1] = zoom
    view[:, 0, 2], view[:, 1, 2] = origin.real, origin.imag
    return view


MARGIN = complex(0.18, 0.18)
"""How much wider than the image the tissue's texture is, on each side (image widths)."""
