"""Colours of a surgical scene: tissue with vessels and wet spots, instruments in a lamp's light.

What is painted on an instrument is fixed to its parts, and what is painted on the tissue to the
tissue, so that both move as the flow says. Edges are those of the mask: no pixel is a mixture.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from assay.systems.product_of_experts.surgical_motion import PARTS, Tissue
from assay.systems.product_of_experts.surgical_rays import SHAPES, Camera, Surface, outward

__all__ = ["Ground", "ground", "paint", "paint_render", "tissue_seen"]

Image = UInt8[np.ndarray, "height width 3"]
MARGIN = 0.1
"""How much wider than the image the tissue's texture is on each side (image widths)."""
TISSUE_M, TILT_M, HILL_M = 0.086, 0.012, 0.010
"""Depth of the tissue, and how much it changes by its tilt and by its hills."""
VESSELS = 10
DARK, LIGHT, FAT, VESSEL = (96, 26, 26), (206, 112, 98), (222, 178, 120), (92, 14, 26)
SHAFT, COLLAR, MARK, STEEL, CLASPER = 62.0, 120.0, 165.0, 158.0, 196.0
TINT = np.array([0.97, 0.99, 1.04])
RENDER = (0.0, 110.0, 165.0, 215.0)
"""Grey of each class in the simulated render."""
LAMP_M = np.array([0.0, -0.012, 0.0])
LAMP_REACH_M = 0.078
SHADOW = 0.42


class Ground(NamedTuple):
    """The tissue at rest, wider than the image by `MARGIN` on all sides.

    Attributes:
        colours: Lit by the lamp.
        depth_m: Along the camera's axis.
    """

    colours: UInt8[np.ndarray, "row column 3"]
    depth_m: Float32[np.ndarray, "row column"]


def ground(camera: Camera, look_alikes: int, random: np.random.Generator) -> Ground:
    """Draw tissue.

    Args:
        camera: The camera.
        look_alikes: How many pieces lie on it that look like an instrument.
        random: Where chance comes from.
    """
    import cv2

    edge = _edge(camera)
    height, width = camera.height + 2 * edge, camera.width + 2 * edge
    hills = cv2.GaussianBlur(_clouds(height, width, 5, 3, random), (0, 0), width / 40)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    tilt = random.uniform(-TILT_M, TILT_M, 2)
    depth = TISSUE_M + tilt[0] * (x / width - 0.5) + tilt[1] * (y / width - 0.375)
    depth -= HILL_M * (hills - 0.5)
    folds = _clouds(height, width, 5, 5, random)[..., None]
    dark, light, fat, vessel = (np.array(c, np.float32) for c in (DARK, LIGHT, FAT, VESSEL))
    image = dark + (light - dark) * folds * random.uniform(0.75, 1.0)
    patches = _clouds(height, width, 3, 4, random)[..., None]
    image += np.clip((patches - 0.66) * 4, 0, 0.8) * (fat - image)
    image += 0.75 * _vessels(height, width, random)[..., None] * (vessel - image)
    slope = cv2.Sobel(hills, cv2.CV_32F, 1, 0) + 1.6 * cv2.Sobel(hills, cv2.CV_32F, 0, 1)
    image *= 1 + np.clip(slope * width / 90, -0.35, 0.35)[..., None]
    wet = _clouds(height, width, 24, 2, random) + np.clip(slope * width / 60, -0.3, 0.3)
    image += 190 * np.clip((wet - 0.97) * 4, 0, 1)[..., None]
    for _ in range(look_alikes):
        _look_alike(image, random)
    lamp = np.hypot(x / width - 0.5, y / width - 0.5 * height / width)
    image *= (1.12 - 1.5 * lamp**2)[..., None]
    return Ground(np.clip(image, 0, 255).astype(np.uint8), depth.astype(np.float32))


def tissue_seen(
    of: Ground, camera: Camera, lies: Tissue
) -> tuple[Image, Float32[np.ndarray, "height width"]]:
    """Colours and depth of the tissue as it lies at one moment."""
    import cv2

    view = np.zeros((2, 3))
    view[0, 0] = view[1, 1] = 1 / lies.scale
    view[:, 2] = _edge(camera) - lies.shift / lies.scale
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (camera.width, camera.height)
    colours, depth = (
        cv2.warpAffine(each, view, size, flags=flags, borderMode=cv2.BORDER_REFLECT) for each in of
    )
    return colours, depth


def paint(
    camera: Camera,
    surface: Surface,
    of: Float[np.ndarray, "tool part 3 4"],
    tissue: Image,
    noise: float,
    random: np.random.Generator,
) -> Image:
    """The scene in colours.

    Args:
        camera: The camera.
        surface: What each pixel shows.
        of: Poses of the parts.
        tissue: The tissue's colours.
        noise: Standard deviation of the noise (levels of 255).
        random: Where the noise comes from.
    """
    import cv2

    metal = surface.part >= 0
    image = cv2.multiply(tissue, _shadow(metal, camera), scale=1 / 255).astype(np.float32)
    for number in np.unique(surface.part[metal]):
        at = np.nonzero(surface.part == number)
        pose = of.reshape(-1, 3, 4)[number]
        local, point = _points(camera, surface, at, pose)
        part = int(number) % len(PARTS)
        normal = outward(SHAPES[part], local) @ pose[:, :3].T
        diffuse, gleam = _light(point, normal)
        shade = _albedo(part, local) * diffuse + (70 if part == 0 else 150) * gleam
        image[at] = shade[:, None] * TINT
    if noise:
        image += noise * random.standard_normal(image.shape, np.float32)
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)


def paint_render(camera: Camera, surface: Surface, of: Float[np.ndarray, "tool part 3 4"]) -> Image:
    """Instruments before black, each class in a grey of its own, without gleam."""
    image = np.zeros((camera.height, camera.width), np.uint8)
    for number in np.unique(surface.part[surface.part >= 0]):
        at = np.nonzero(surface.part == number)
        pose = of.reshape(-1, 3, 4)[number]
        local, point = _points(camera, surface, at, pose)
        part = int(number) % len(PARTS)
        diffuse, _ = _light(point, outward(SHAPES[part], local) @ pose[:, :3].T)
        image[at] = np.clip(RENDER[PARTS[part]] * diffuse, 1, 255)
    return np.repeat(image[..., None], 3, axis=2)


# -- instruments ---------------------------------------------------------------------------------


def _points(
    camera: Camera, surface: Surface, at: tuple[np.ndarray, ...], pose: Float[np.ndarray, "3 4"]
) -> tuple[Float[np.ndarray, "pixel 3"], Float[np.ndarray, "pixel 3"]]:
    """The surface points of some pixels in coordinates of their part, and of the camera."""
    x, y = camera.rays
    depth = surface.depth_m[at]
    point = np.stack([x[at[1]] * depth, y[at[0]] * depth, depth], -1)
    return (point - pose[:, 3]) @ pose[:, :3], point


def _light(
    point: Float[np.ndarray, "pixel 3"], normal: Float[np.ndarray, "pixel 3"]
) -> tuple[Float[np.ndarray, " pixel"], Float[np.ndarray, " pixel"]]:
    """Light scattered, and mirrored, from a lamp just above the camera."""
    to_lamp = LAMP_M - point
    far = np.linalg.norm(to_lamp, axis=1)
    to_lamp /= far[:, None]
    half = to_lamp - point / np.linalg.norm(point, axis=1, keepdims=True)
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    near = np.clip((LAMP_REACH_M / far) ** 2, 0.5, 1.5)
    scattered = 0.3 + 0.75 * np.clip((to_lamp * normal).sum(1), 0, 1)
    return near * scattered, near * np.clip((half * normal).sum(1), 0, 1) ** 24


def _albedo(part: int, local: Float[np.ndarray, "pixel 3"]) -> Float[np.ndarray, " pixel"]:
    """How light the material is: marks of a shaft, grooves of a wrist, teeth of claspers."""
    x, y, z = local.T
    if PARTS[part] == 1:
        ring = (np.abs(z + 0.017) < 0.0009) | (np.abs(z + 0.030) < 0.0009)
        band = (np.abs(np.arctan2(y, x)) < 0.25) & (z < -0.034)
        return np.where(z > -0.005, COLLAR, np.where(ring | band, MARK, SHAFT))
    if PARTS[part] == 2:
        groove = (np.abs(z - 0.0035) < 0.0006) | (np.hypot(z - 0.008, y) < 0.0011)
        return np.where(groove, 0.35, 1.0) * STEEL
    inner = x * (1 if SHAPES[part].middle_m[0] < 0 else -1) > 0
    teeth = inner & (np.sin(z * (2 * np.pi / 0.002)) > 0.2) & (z > 0.005)
    return np.where(teeth, 0.5, 1.0) * CLASPER


def _shadow(metal: Bool[np.ndarray, "height width"], camera: Camera) -> Image:
    """Light that is left to the tissue beside instruments, as levels of 255."""
    import cv2

    down, right = round(0.045 * camera.width), round(0.03 * camera.width)
    moved = np.zeros(metal.shape, np.uint8)
    moved[down:, right:] = metal[:-down, :-right]
    side = max(3, round(camera.width / 20) | 1)
    soft = cv2.blur(moved * np.uint8(255), (side, side))
    left = (255 - SHADOW * soft).astype(np.uint8)
    return cv2.merge([left, left, left])


# -- tissue --------------------------------------------------------------------------------------


def _edge(camera: Camera) -> int:
    return round(MARGIN * camera.width)


def _clouds(
    height: int, width: int, cells: int, octaves: int, random: np.random.Generator
) -> Float32[np.ndarray, "row column"]:
    """Smooth noise of several sizes, each half of the one before, from 0 to 1."""
    import cv2

    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        across = max(2, cells * 2**octave)
        grid = random.standard_normal((max(2, round(across * height / width)), across), np.float32)
        total += 0.55**octave * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    low, high = np.percentile(total, [1, 99])
    return np.clip((total - low) / (high - low), 0, 1).astype(np.float32)


def _vessels(
    height: int, width: int, random: np.random.Generator
) -> Float32[np.ndarray, "row column"]:
    """Winding lines that fork once, from 0 to 1."""
    import cv2

    sheet = np.zeros((height, width), np.uint8)
    for _ in range(VESSELS):
        start = complex(random.uniform(0, width), random.uniform(0, height))
        way, thick = random.uniform(0, 2 * np.pi), random.uniform(0.4, 1.0)
        for branch in range(2):
            ways = way + np.cumsum(random.normal(0, 0.25, 20))
            line = start + np.cumsum(np.exp(1j * ways)) * width / 45
            points = np.stack([line.real, line.imag], -1).round().astype(np.int32)
            brush = max(1, round(thick * width / (70 + 60 * branch)))
            cv2.polylines(sheet, [points], False, round(100 + 130 * thick), brush, cv2.LINE_AA)
            start, way = line[int(random.integers(5, 15))], way + random.choice([-0.9, 0.9])
    return cv2.GaussianBlur(sheet, (0, 0), width / 260).astype(np.float32) / 255


def _look_alike(image: Float32[np.ndarray, "row column 3"], random: np.random.Generator) -> None:
    """Lay a piece of tube or metal on the tissue, shaded as if it were round."""
    height, width = image.shape[:2]
    middle = random.uniform(0.15, 0.85, 2) * [width, height]
    angle, long = random.uniform(0, np.pi), random.uniform(0.06, 0.14) * width
    half = random.uniform(0.02, 0.045) * width
    y, x = np.mgrid[0:height, 0:width] - middle[::-1, None, None]
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    inside = (np.abs(along) < long) & (np.abs(across) < half)
    grey = SHAFT if random.random() < 0.5 else STEEL
    round_ = np.sqrt(np.clip(1 - (across[inside] / half) ** 2, 0, 1))
    shade = grey * (0.3 + 0.75 * round_) + 90 * round_**24
    image[inside] = shade[:, None] * TINT
