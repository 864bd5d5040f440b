"""A surgical scene seen by a camera: depth, class and exact motion of every pixel. SYNTHETIC.

Every pixel is one ray through its middle; what it meets first decides depth, class, colour and
flow alike, so they agree to the pixel. Flow is that of the surface point a pixel shows, from one
frame to the next, whether it is then still in view or not: rigid for the parts of instruments; the
tissue breathes, which moves and scales its picture.

No modality decides alone. Flow does not see an instrument that rests; depth does not see one that
touches the tissue, nor what is shaft and what is wrist; the simulated render shows all of an
instrument, also what is sunk in the tissue, and some pixels beside its place; in the colours there
are pieces of metal and tubes that are no instrument.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, UInt8

from assay.errors import ParameterError
from assay.systems.product_of_experts.surgical_motion import (
    PARTS,
    Tissue,
    breathing,
    displaced,
    joints,
    miscalibrated,
    poses,
)
from assay.systems.product_of_experts.surgical_painting import (
    ground,
    paint,
    paint_render,
    tissue_seen,
)
from assay.systems.product_of_experts.surgical_rays import Camera, Surface, cast

__all__ = ["Frame", "motion_flow", "sequence"]

Poses = Float[np.ndarray, "tool part 3 4"]
JOINT_ERROR = 0.12
"""Largest error of a joint of the simulated render (radians)."""


class Frame(NamedTuple):
    """One moment of a sequence.

    Attributes:
        rgb: Colours.
        render: The instruments as simulated from joints and a calibration that are a little wrong.
        flow: Where what a pixel shows is in the next frame: pixels to the right and down.
        depth_m: Depth of what a pixel shows.
        mask: Its class, by `surgical_motion.CLASSES`.
        tool: Number of its instrument, from 1; 0 for tissue.
        pose: Of every part, as a matrix from its own coordinates to the camera's.
    """

    rgb: UInt8[np.ndarray, "height width 3"]
    render: UInt8[np.ndarray, "height width 3"]
    flow: Float32[np.ndarray, "height width 2"]
    depth_m: Float32[np.ndarray, "height width"]
    mask: UInt8[np.ndarray, "height width"]
    tool: UInt8[np.ndarray, "height width"]
    pose: Poses


# -- motion ----------------------------------------------------------------------------------------


def motion_flow(
    camera: Camera, surface: Surface, now: Poses, then: Poses, tissue: tuple[Tissue, Tissue]
) -> Float32[np.ndarray, "height width 2"]:
    """Where what each pixel shows moves to, exactly.

    Args:
        camera: The camera.
        surface: What the pixels show now.
        now: Poses of the parts.
        then: Their poses in the next frame.
        tissue: How the tissue lies now and in the next frame.
    """
    at = np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), -1).astype(float)
    before, after = tissue
    flow = after.scale / before.scale * (at - before.shift) + after.shift - at
    rows, columns = np.nonzero(surface.part >= 0)
    if rows.size:
        now, then = now.reshape(-1, 3, 4), then.reshape(-1, 3, 4)
        turn = then[:, :, :3] @ np.swapaxes(now[:, :, :3], 1, 2)
        shift = then[:, :, 3] - (turn @ now[:, :, 3:])[..., 0]
        part, depth = surface.part[rows, columns], surface.depth_m[rows, columns]
        x, y = camera.rays
        point = np.stack([x[columns] * depth, y[rows] * depth, depth], -1)
        moved = (turn[part] @ point[..., None])[..., 0] + shift[part]
        seen = moved[:, :2] / moved[:, 2:] * camera.focal
        middle = np.array([(camera.width - 1) / 2, (camera.height - 1) / 2])
        flow[rows, columns] = seen + middle - at[rows, columns]
    return flow.astype(np.float32)


# -- sequences -------------------------------------------------------------------------------------


def sequence(
    frames: int,
    random: np.random.Generator,
    *,
    height: int = 96,
    width: int = 128,
    tools: int | None = None,
    look_alikes: int = 2,
    miscalibration_px: float = 3.0,
    noise: float = 2.0,
) -> Iterator[Frame]:
    """A sequence of a few instruments over tissue; the motion does not depend on the size.

    Args:
        frames: How many.
        random: Where chance comes from.
        height: Of the image (pixels).
        width: Of the image (pixels).
        tools: How many instruments, from 1 to 3; drawn if not given.
        look_alikes: How many pieces lie on the tissue that look like an instrument in colours.
        miscalibration_px: How far off the simulated render is, in pixels of an image 128 wide: the
            length of a shift of random direction, the same in all frames; beside it comes a turn.
        noise: Standard deviation of the noise of the colours (levels of 255).

    Raises:
        ParameterError: If there are not 1 to 3 instruments.
    """
    if tools is not None and not 1 <= tools <= 3:
        raise ParameterError(f"{tools} instruments", where="tools", accepted="1 to 3")
    moves, looks = random.spawn(2)
    camera = Camera(height, width)
    count = int(moves.integers(1, 4)) if tools is None else tools
    of = joints(frames + 1, count, moves)
    pose = poses(of)
    lies = breathing(frames + 1, width, moves)
    wrong = poses(displaced(of, moves, JOINT_ERROR * (miscalibration_px > 0)))
    wrong = miscalibrated(wrong, miscalibration_px / 128, moves)
    texture = ground(camera, look_alikes, looks)
    nothing = np.full((height, width), np.inf)
    for t in range(frames):
        colours, behind = tissue_seen(texture, camera, lies[t])
        surface = cast(camera, pose[t], behind)
        simulated = cast(camera, wrong[t], nothing)
        yield Frame(
            rgb=paint(camera, surface, pose[t], colours, noise, looks),
            render=paint_render(camera, simulated, wrong[t]),
            flow=motion_flow(camera, surface, pose[t], pose[t + 1], (lies[t], lies[t + 1])),
            depth_m=surface.depth_m.astype(np.float32),
            mask=surface.mask,
            tool=(surface.part // len(PARTS) + 1).astype(np.uint8),
            pose=pose[t],
        )
