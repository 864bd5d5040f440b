"""Pictures of hands: colour, depth and parts, by tracing a ray through every pixel.

The nearest of the capsules that a ray meets is what a pixel shows. Colour is traced on a finer grid
and averaged; depth and parts are those of the ray through the middle of a pixel, exactly.

What each picture tells. Colour: nails, creases, outlines and palms lighter than backs say which
finger and which side it is, before a background of any colour, skin's included, in light of any
direction; how far away a pixel is, it does not say. Depth: how far, not which finger. Parts: which,
not how far.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from assay.systems.product_of_experts.hand_rays import shade_rays, trace_rays
from assay.systems.product_of_experts.hand_shapes import Capsules, capsules
from assay.systems.product_of_experts.hands import POINTS, Hands, intrinsics, project

__all__ = ["Pictures", "render", "trace"]

FINER = 3
"""Rays across a pixel, an odd number, so that one goes through its middle."""
SKIN_DARK, SKIN_LIGHT = np.array([98.0, 60, 44]), np.array([238.0, 198, 172])
PALM_TINT = np.array([1.18, 1.06, 1.02])
"""A palm beside the back of the hand, in red, green and blue."""
HIDDEN_BY, HIDDEN_BY_AT_WRIST = 0.02, 0.03
"""A key point is hidden if something is nearer to the camera by more than this (m)."""
BACKGROUND = (0.95, 1.5)


class Pictures(NamedTuple):
    """What a camera sees of each hand.

    Attributes:
        color: ``[hand height width channel]``.
        depth_m: Distance along the optical axis (m) ``[hand height width]``.
        mask: Number of the part, see `hand_shapes` ``[hand height width]``.
        visible: Whether a key point is in the picture and not hidden by another part
            ``[hand point]``.
    """

    color: UInt8[np.ndarray, "hand height width 3"]
    depth_m: Float[np.ndarray, "hand height width"]
    mask: UInt8[np.ndarray, "hand height width"]
    visible: Bool[np.ndarray, "hand point"]


class Look(NamedTuple):
    """Light and colours of hands, levels from 0 to 255.

    Attributes:
        skin: Of the back of the hand ``[hand channel]``.
        sleeve: Of the sleeve.
        light: Unit vectors towards the light ``[hand axis]``.
        ambient: Share of the light that comes from everywhere ``[hand]``.
    """

    skin: Float[np.ndarray, "hand 3"]
    sleeve: Float[np.ndarray, "hand 3"]
    light: Float[np.ndarray, "hand 3"]
    ambient: Float[np.ndarray, " hand"]


def render(hands: Hands, random: np.random.Generator, *, pixels: int = 64) -> Pictures:
    """Draw hands, each before a background of its own.

    Args:
        hands: Hands before the camera `intrinsics`.
        random: Where light, colours and backgrounds come from.
        pixels: Width and height of the pictures.
    """
    shape, camera = capsules(hands), intrinsics(pixels)
    count = len(hands.left)
    look = _look(hands, random)
    behind, far = _background(count, pixels, look, random)
    fine, which, depth = trace(shape, camera, pixels, FINER)
    color = shade_rays(
        fine, which, behind, shape.start, shape.end, shape.radius, shape.back, shape.mark,
        look.skin, look.skin * PALM_TINT, look.sleeve, look.light, look.ambient, camera,
    )  # fmt: skip
    noise = 3.0 * random.standard_normal(color.shape, np.float32)
    middle = which[:, FINER // 2 :: FINER, FINER // 2 :: FINER]
    mask = np.where(middle < 0, 0, np.take_along_axis(
        shape.part, np.maximum(middle, 0).reshape(count, -1).astype(np.int64), 1
    ).reshape(middle.shape)).astype(np.uint8)  # fmt: skip
    depth = np.where(middle < 0, far, depth)
    return Pictures(
        color=np.clip(color + noise, 0, 255).astype(np.uint8),
        depth_m=depth,
        mask=mask,
        visible=_visible(hands, depth, camera),
    )


def _visible(
    hands: Hands, depth: Float[np.ndarray, "hand height width"], camera: Float[np.ndarray, "3 3"]
) -> Bool[np.ndarray, "hand point"]:
    pixels = depth.shape[1]
    column, row = np.moveaxis(np.rint(project(hands.xyz, camera)).astype(np.int64), -1, 0)
    inside = (column >= 0) & (column < pixels) & (row >= 0) & (row < pixels)
    column, row = np.clip(column, 0, pixels - 1), np.clip(row, 0, pixels - 1)
    surface = depth[np.arange(len(depth))[:, None], row, column]
    slack = np.full(POINTS, HIDDEN_BY)
    slack[0] = HIDDEN_BY_AT_WRIST
    return inside & (hands.xyz[..., 2] - surface <= slack * hands.scale[:, None])


def _look(hands: Hands, random: np.random.Generator) -> Look:
    """Light from any side that the camera can see, and sleeves of any colour."""
    count = len(hands.left)
    light = np.column_stack([
        random.uniform(-0.9, 0.9, count), random.uniform(-1.0, 0.4, count), np.full(count, -0.9)
    ])  # fmt: skip
    return Look(
        skin=SKIN_DARK + hands.tone[:, None] * (SKIN_LIGHT - SKIN_DARK),
        sleeve=random.uniform(20.0, 220.0, (count, 3)),
        light=light / np.linalg.norm(light, axis=1, keepdims=True),
        ambient=random.uniform(0.3, 0.5, count),
    )


def _background(
    count: int, pixels: int, look: Look, random: np.random.Generator
) -> tuple[Float[np.ndarray, "hand height width 3"], Float[np.ndarray, "hand height width"]]:
    """Clouds of colour with two spots, one of the colour of skin; a sloping wall.

    Returns:
        Colours and distances (m).
    """
    import cv2

    colours = np.empty((count, pixels, pixels, 3), np.float32)
    base = random.uniform(30.0, 200.0, (count, 1, 1, 3))
    cells = (base + _blotches(count, random)).astype(np.float32)
    spots = random.uniform(0.0, 1.0, (count, 2, 3))
    tints = random.uniform(20.0, 230.0, (count, 2, 3))
    tints[:, 0] = look.skin * random.uniform(0.5, 1.1, (count, 1))
    for k in range(count):
        sheet = cv2.resize(cells[k], (pixels, pixels), interpolation=cv2.INTER_CUBIC)
        for (x, y, r), tint in zip(spots[k].tolist(), tints[k].tolist(), strict=True):
            middle = (round(x * pixels), round(y * pixels))
            cv2.circle(sheet, middle, round((0.04 + 0.12 * r) * pixels), tint, -1, cv2.LINE_AA)
        colours[k] = sheet
    slope = random.uniform(-0.15, 0.15, (count, 2, 1, 1))
    across = np.linspace(-1.0, 1.0, pixels)
    far = random.uniform(*BACKGROUND, (count, 1, 1))
    far = far + slope[:, 0] * across + slope[:, 1] * across[:, None]
    return np.clip(colours, 0, 255), far


def _blotches(count: int, random: np.random.Generator) -> Float[np.ndarray, "hand 5 5 3"]:
    """Lighter and darker cells, with a little colour."""
    grey = 20.0 * random.standard_normal((count, 5, 5, 1))
    return grey + 8.0 * random.standard_normal((count, 5, 5, 3))


# -- rays ----------------------------------------------------------------------------------------


def trace(
    shape: Capsules, camera: Float[np.ndarray, "3 3"], pixels: int, finer: int = 1
) -> tuple[np.ndarray, np.ndarray, Float[np.ndarray, "hand height width"]]:
    """Which capsule each ray meets first, and where.

    Args:
        shape: The capsules.
        camera: Intrinsic matrix, with one focal length.
        pixels: Width and height of the picture.
        finer: Rays across a pixel, an odd number.

    Returns:
        Distances along the optical axis (m) and numbers of capsules, -1 for none, of all rays, and
        the distances of those through the middles of pixels; distances are infinite where a ray
        meets nothing.
    """
    if finer % 2 == 0:
        raise ValueError(f"{finer} rays across a pixel: none through its middle")
    count, grid = len(shape.start), pixels * finer
    depth = np.full((count, grid, grid), np.inf)
    which = np.full((count, grid, grid), -1, np.int16)
    trace_rays(shape.start, shape.end, shape.radius, camera, finer, depth, which)
    return depth, which, depth[:, finer // 2 :: finer, finer // 2 :: finer].copy()
