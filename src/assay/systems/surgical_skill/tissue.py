"""Textures that stay as they are in a recording: tissue with vessels, smoke, noise, vignette."""

import math

import numpy as np
from jaxtyping import Float, UInt8

from assay.systems.surgical_skill.styles import Style

__all__ = ["clouds", "noise_sheets", "tissue", "vignette"]

Image = UInt8[np.ndarray, "height width 3"]
VESSELS = 14
SHEETS = 6


def clouds(
    height: int, width: int, cells: int, octaves: int, rng: np.random.Generator
) -> Float[np.ndarray, "height width"]:
    """Smooth noise of several sizes, from 0 to 1.

    Args:
        height: Pixels.
        width: Pixels.
        cells: Largest cells along the width; each octave halves them.
        octaves: How many sizes.
        rng: Where chance comes from.
    """
    import cv2

    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        across = max(2, cells * 2**octave)
        down = max(2, round(across * height / width))
        grid = rng.standard_normal((down, across), np.float32)
        total += 0.55**octave * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    low, high = np.percentile(total, [1, 99])
    return np.clip((total - low) / (high - low), 0, 1).astype(np.float32)


def tissue(height: int, width: int, style: Style, rng: np.random.Generator) -> Image:
    """Tissue with folds, fat, vessels and wet spots.

    Args:
        height: Pixels.
        width: Pixels.
        style: The look.
        rng: Where chance comes from.
    """
    import cv2

    folds = clouds(height, width, 4, 6, rng)[..., None]
    dark, light, fat = (np.array(c, np.float32) for c in (style.dark, style.light, style.fat))
    image = dark + (light - dark) * folds
    patches = clouds(height, width, 3, 4, rng)[..., None]
    image += np.clip((patches - 0.68) * 4, 0, 0.75) * (fat - image)
    vessels = _vessels(height, width, rng)[..., None]
    image += 0.75 * vessels * (np.array(style.vessel, np.float32) - image)
    hills = cv2.GaussianBlur(clouds(height, width, 7, 3, rng), (0, 0), width / 80)
    slope = cv2.Sobel(hills, cv2.CV_32F, 1, 0) + 1.6 * cv2.Sobel(hills, cv2.CV_32F, 0, 1)
    image *= 1 + np.clip(slope * width / 150, -0.4, 0.4)[..., None]
    wet = clouds(height, width, 60, 2, rng) * np.clip(slope * width / 90, 0, 1)
    glints = cv2.GaussianBlur(np.clip((wet - 0.62) * 5, 0, 1), (0, 0), width / 700)
    image += 170 * glints[..., None]
    return np.clip(image, 0, 255).astype(np.uint8)


def _vessels(height: int, width: int, rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    """Branching lines, from 0 to 1."""
    import cv2

    sheet = np.zeros((height, width), np.uint8)
    stems = [(rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0, math.tau), 1.0)
             for _ in range(VESSELS)]  # fmt: skip
    while stems:
        x, y, way, thick = stems.pop()
        steps = round(22 * thick)
        ways = way + np.cumsum(rng.normal(0, 0.25, steps))
        line = np.cumsum(np.exp(1j * ways)) * width / 50 + complex(x, y)
        points = np.stack([line.real, line.imag], axis=-1).round().astype(np.int32)
        brush = max(1, round(thick * width / 130))
        cv2.polylines(sheet, [points], False, round(120 + 120 * thick), brush, cv2.LINE_AA)
        if thick > 0.4:
            fork = line[int(rng.integers(steps // 3, steps))]
            stems += [(fork.real, fork.imag, ways[-1] + turn, thick * 0.6) for turn in (-0.8, 0.9)]
    return cv2.GaussianBlur(sheet, (0, 0), width / 450).astype(np.float32) / 255


def vignette(height: int, width: int, dark: float, lamp: tuple[float, float, float]) -> Image:
    """Light that falls off toward the corners, as levels of 255."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    far = np.hypot(x / width - 0.5, (y / height - 0.5) * 0.8) / 0.64
    gain = 1 - dark * np.clip(far, 0, 1) ** 2.2
    return np.round(255 * gain[..., None] * np.array(lamp, np.float32)).astype(np.uint8)


def noise_sheets(height: int, width: int, rng: np.random.Generator) -> list[Image]:
    """Noise of a sensor around level 128, with a standard deviation of 32."""
    sheets = rng.normal(128, 32, (SHEETS, height, width, 3))
    return list(np.clip(sheets, 0, 255).astype(np.uint8))
