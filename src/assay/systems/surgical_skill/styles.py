"""What a recording looks like beside what happens in it: tissue, light, smoke, and the camera."""

from dataclasses import dataclass

__all__ = ["STYLES", "Style"]

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Style:
    """The look of recordings; colours are red, green and blue from 0 to 255.

    Attributes:
        dark: Colour of tissue in its folds.
        light: Colour of tissue on its ridges.
        fat: Colour of fat.
        vessel: Colour of vessels.
        lamp: Gain of the light, by colour.
        flicker: Standard deviation of the light's gain.
        vignette: How dark the corners are, in [0, 1].
        smoke: The most that smoke hides, in [0, 1].
        noise: Standard deviation of the sensor's noise (levels of 255).
        blur: Radius of the optics' blur (thousandths of the image width).
        drag: Share of the frame before that is still seen, as in a long exposure.
    """

    dark: Colour = (104, 26, 28)
    light: Colour = (226, 122, 108)
    fat: Colour = (226, 186, 120)
    vessel: Colour = (96, 14, 26)
    lamp: Colour = (1.0, 1.0, 1.0)
    flicker: float = 0.015
    vignette: float = 0.5
    smoke: float = 0.25
    noise: float = 3.0
    blur: float = 1.6
    drag: float = 0.22


STYLES = {
    "v1": Style(),
    "v2": Style(
        dark=(122, 60, 60),
        light=(236, 176, 158),
        fat=(232, 214, 160),
        vessel=(134, 46, 66),
        lamp=(0.84, 0.92, 1.0),
        flicker=0.03,
        vignette=0.7,
        smoke=0.4,
        noise=5.0,
        blur=2.4,
        drag=0.3,
    ),
}
"""Looks by the version of the data set; the second is a shift of the domain."""
