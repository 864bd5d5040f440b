"""A camera and its rays: what each pixel shows first of instruments, and how far that is.

Every pixel is one ray through its middle, so that edges are sharp.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int8, UInt8

from assay.systems.product_of_experts.surgical_motion import PARTS, WRIST_M

__all__ = ["SHAPES", "Camera", "Shape", "Surface", "cast", "outward"]


@dataclass(frozen=True)
class Shape:
    """A part: an ellipsoid, or what lies within a radius of a stretch of its own z axis.

    Attributes:
        radius_m: Of a capsule; 0 for an ellipsoid.
        begin_m: Where a capsule's stretch begins.
        end_m: Where it ends.
        middle_m: Of an ellipsoid.
        half_m: Half axes of an ellipsoid.
    """

    radius_m: float = 0.0
    begin_m: float = 0.0
    end_m: float = 0.0
    middle_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    half_m: tuple[float, float, float] = (1.0, 1.0, 1.0)


SHAPES = (
    Shape(0.0042, -0.25, 0.0),
    Shape(0.0035, 0.0, WRIST_M),
    Shape(middle_m=(0.0006, 0.0, 0.0075), half_m=(0.0015, 0.0027, 0.0085)),
    Shape(middle_m=(-0.0006, 0.0, 0.0075), half_m=(0.0015, 0.0027, 0.0085)),
)
"""Of shaft, wrist and the two claspers."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; the middle of the first pixel is (0, 0), the axis meets the image's middle.

    Attributes:
        height: Of the image (pixels).
        width: Of the image (pixels).
    """

    height: int
    width: int

    @property
    def focal(self) -> float:
        """Focal length (pixels): the image is as wide as the scene is far."""
        return float(self.width)

    @cached_property
    def rays(self) -> tuple[Float[np.ndarray, " width"], Float[np.ndarray, " height"]]:
        """Slopes x / z by column and y / z by row."""
        return (
            (np.arange(self.width) - (self.width - 1) / 2) / self.focal,
            (np.arange(self.height) - (self.height - 1) / 2) / self.focal,
        )

    def window(self, middle: Float[np.ndarray, " 3"], radius_m: float) -> tuple[slice, slice]:
        """Rows and columns that hold all of a ball in front of the camera."""
        x, y, z = middle
        near, beyond = z - radius_m, z + radius_m
        if near <= 0:
            return slice(0, self.height), slice(0, self.width)

        def reach(at: float, size: int) -> slice:
            ends = [(at + side * radius_m) / far for side in (-1, 1) for far in (near, beyond)]
            low, high = (e * self.focal + (size - 1) / 2 for e in (min(ends), max(ends)))
            return slice(int(np.clip(low, 0, size)), int(np.clip(high + 2, 0, size)))

        return reach(y, self.height), reach(x, self.width)


class Surface(NamedTuple):
    """What each pixel shows.

    Attributes:
        depth_m: Along the camera's axis ``[height width]``.
        part: Number of the instrument, from 0, times 4 plus that of the part; -1 for tissue
            ``[height width]``.
    """

    depth_m: Float[np.ndarray, "height width"]
    part: Int8[np.ndarray, "height width"]

    @property
    def mask(self) -> UInt8[np.ndarray, "height width"]:
        """Class of each pixel, by `surgical_motion.CLASSES`."""
        table = np.array([*PARTS, 0], np.uint8)
        return table[np.where(self.part < 0, len(PARTS), self.part % len(PARTS))]


def cast(
    camera: Camera,
    of: Float[np.ndarray, "tool part 3 4"],
    behind_m: Float[np.ndarray, "height width"],
) -> Surface:
    """What every ray meets first.

    Args:
        camera: The camera.
        of: Poses of all parts at one moment.
        behind_m: Depth of the tissue; infinite where there is none.
    """
    depth = behind_m.astype(float)
    part = np.full(depth.shape, -1, np.int8)
    columns, rows = camera.rays
    for number, pose in enumerate(of.reshape(-1, 3, 4)):
        shape = SHAPES[number % len(SHAPES)]
        window = _window(camera, shape, pose)
        x, y = columns[window[1]], rows[window[0], None]
        if not x.size or not y.size:
            continue
        turn, start = pose[:, :3], -pose[:, 3] @ pose[:, :3]
        way = [turn[0, k] * x + (turn[1, k] * y + turn[2, k]) for k in range(3)]
        found = _ellipsoid(shape, start, way) if not shape.radius_m else _capsule(shape, start, way)
        nearer = found < depth[window]
        depth[window][nearer] = found[nearer]
        part[window][nearer] = number
    return Surface(depth, part)


def _window(camera: Camera, shape: Shape, pose: Float[np.ndarray, "3 4"]) -> tuple[slice, slice]:
    if shape.radius_m:
        middle, reach = (shape.begin_m + shape.end_m) / 2, (shape.end_m - shape.begin_m) / 2
        return camera.window(pose[:, 3] + pose[:, 2] * middle, reach + shape.radius_m)
    return camera.window(pose[:, :3] @ shape.middle_m + pose[:, 3], max(shape.half_m))


def _capsule(
    shape: Shape, start: Float[np.ndarray, " 3"], way: list[np.ndarray]
) -> Float[np.ndarray, "height width"]:
    """How far along each ray, in units of its z, the surface is; infinite for a miss."""
    x, y, z = way
    side = _quadratic(
        x * x + y * y,
        start[0] * x + start[1] * y,
        start[0] ** 2 + start[1] ** 2 - shape.radius_m**2,
    )
    with np.errstate(invalid="ignore"):  # infinity times 0
        along = start[2] + side * z
    end = np.where(along < shape.begin_m, shape.begin_m, shape.end_m)
    above = start[2] - end
    cap = _quadratic(
        x * x + y * y + z * z,
        start[0] * x + start[1] * y + above * z,
        start[0] ** 2 + start[1] ** 2 + above**2 - shape.radius_m**2,
    )
    within = (along >= shape.begin_m) & (along <= shape.end_m)
    return np.where(within, side, np.where(np.isfinite(side), cap, np.inf))


def _ellipsoid(
    shape: Shape, start: Float[np.ndarray, " 3"], way: list[np.ndarray]
) -> Float[np.ndarray, "height width"]:
    """The same of an ellipsoid."""
    begin = (start - shape.middle_m) / shape.half_m
    x, y, z = (w / half for w, half in zip(way, shape.half_m, strict=True))
    return _quadratic(
        x * x + y * y + z * z, begin[0] * x + begin[1] * y + begin[2] * z, begin @ begin - 1
    )


def _quadratic(
    a: np.ndarray, b: np.ndarray, c: np.ndarray | float
) -> Float[np.ndarray, "height width"]:
    """The smaller root of a s^2 + 2 b s + c; infinite where there is none ahead."""
    inside = b * b - a * c
    root = (-b - np.sqrt(np.maximum(inside, 0))) / np.maximum(a, 1e-300)
    return np.where((inside >= 0) & (root > 0), root, np.inf)


def outward(shape: Shape, local: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 3"]:
    """Directions out of a part, of length 1, at points of its surface.

    Args:
        shape: The part.
        local: The points, in coordinates of the part.
    """
    if shape.radius_m:
        out = local.copy()
        out[:, 2] -= np.clip(local[:, 2], shape.begin_m, shape.end_m)
    else:
        out = (local - shape.middle_m) / np.square(shape.half_m)
    return out / np.linalg.norm(out, axis=1, keepdims=True)
