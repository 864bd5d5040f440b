"""How two needle drivers and a needle move while somebody of a given skill works. SYNTHETIC.

Lengths are image widths, angles radians with y downwards. Depth is 0 at the tissue and 1 close to
the camera.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.systems.surgical_skill.hands import World, manner, move
from assay.systems.surgical_skill.tasks import targets_of, work

__all__ = ["HEIGHT", "VARIANTS", "Motion", "Skill", "Variant", "episode"]

Skill = float
"""From 0, a beginner, to 1, an expert."""
Variant = Literal["needle drive", "hand-over", "ring pass"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
HEIGHT = 9 / 16
"""Height of the image."""


@dataclass(frozen=True)
class Motion:
    """What moved where, frame by frame.

    Attributes:
        fps: Frames per second.
        tips: Tips of the left and the right driver (image widths), also outside of the image.
        angle: The way each driver points.
        jaw: Angle between its jaws.
        depth: How far each is above the tissue, in [0, 1].
        needle: x and y of the centre of the needle's arc, and the way from there to its middle.
        needle_depth: How far the needle is above the tissue.
        held: Who holds the needle: -1 nobody, 0 left, 1 right.
        resting: Whether the needle rests in tissue, held or not.
        buried: From where to where on the arc, 0 its point and 1 its end, the needle is inside the
            tissue; equal where it is not.
        inside: Number of the target that the needle passes through; -1 for none.
        targets: Where the entry points or rings are (image widths).
        camera: How far the camera has moved to the right and down (image widths), and its zoom.
        variant: The task.
    """

    fps: int
    tips: Float[np.ndarray, "time 2 2"]
    angle: Float[np.ndarray, "time 2"]
    jaw: Float[np.ndarray, "time 2"]
    depth: Float[np.ndarray, "time 2"]
    needle: Float[np.ndarray, "time 3"]
    needle_depth: Float[np.ndarray, " time"]
    held: Int[np.ndarray, " time"]
    resting: Bool[np.ndarray, " time"]
    buried: Float[np.ndarray, "time 2"]
    inside: Int[np.ndarray, " time"]
    targets: Float[np.ndarray, "target 2"]
    camera: Float[np.ndarray, "time 3"]
    variant: Variant

    def __len__(self) -> int:
        """How many frames."""
        return len(self.held)


def episode(
    skill: Skill,
    seconds: float,
    rng: np.random.Generator,
    *,
    fps: int = 30,
    variant: Variant | None = None,
) -> Motion:
    """Let somebody work for a while.

    Args:
        skill: From 0, a beginner, to 1, an expert.
        seconds: How long.
        rng: Where chance comes from.
        fps: Frames per second.
        variant: The task; drawn if not given.

    Raises:
        ValueError: If the skill lies outside of [0, 1], or there is not one frame.
    """
    frames = round(seconds * fps)
    if not 0 <= skill <= 1 or frames < 1:
        raise ValueError(f"skill {skill} for {frames} frames; expected 0 to 1 for one or more")
    skill = float(skill)  # a scalar of numpy would make all that follows slow
    variant = variant or VARIANTS[int(rng.integers(len(VARIANTS)))]
    world, how = World(skill, fps, rng, targets_of(variant, rng)), manner(skill, fps)
    _begin(world)
    script = work(world, how, variant)
    shakes, chances = rng.standard_normal((frames, 4)), rng.random((frames, 3))
    table = np.empty((frames, 19))
    next(script)
    for frame, (shake, chance) in enumerate(zip(shakes.tolist(), chances.tolist(), strict=True)):
        move(world, how, shake, chance)
        table[frame] = _told(world)
        script.send(chance[2])
    return _motion(table, _camera(frames, fps, rng), world, variant)


def _begin(world: World) -> None:
    """One of the drivers has the needle."""
    for hand in world.hands:
        hand.point_ahead()
    side = int(world.rng.integers(2))
    world.grasp(side, world.needle.where)
    world.needle.turn = world.needle.easy_turn()
    world.needle.off = 0j
    world.carry(0.0)


def _camera(frames: int, fps: int, rng: np.random.Generator) -> Float[np.ndarray, "time 3"]:
    """A camera that is moved now and then, smoothly."""
    from scipy.ndimage import gaussian_filter1d

    moved = rng.random(frames) < 1 / (14 * fps)
    places = rng.normal(0, [0.025, 0.015, 0.04], (moved.sum() + 1, 3))
    places[:, 2] += 1
    return gaussian_filter1d(places[np.cumsum(moved)], 0.35 * fps, axis=0, mode="nearest")


def _told(world: World) -> tuple[float, ...]:
    """The moment as a row of numbers."""
    (a, b), needle = world.hands, world.needle
    return (
        a.at.real, a.at.imag, b.at.real, b.at.imag, a.angle, b.angle, a.jaw, b.jaw,
        a.depth, b.depth, needle.centre.real, needle.centre.imag, needle.angle, needle.depth,
        float(needle.held), float(needle.resting), *needle.buried, float(needle.inside),
    )  # fmt: skip


def _motion(table: np.ndarray, camera: np.ndarray, world: World, variant: Variant) -> Motion:
    """Rows of numbers by their names."""
    return Motion(
        fps=world.fps,
        tips=table[:, :4].reshape(-1, 2, 2),
        angle=table[:, 4:6],
        jaw=table[:, 6:8].clip(0, 1),
        depth=table[:, 8:10].clip(0, 1),
        needle=table[:, 10:13],
        needle_depth=table[:, 13].clip(0, 1),
        held=table[:, 14].astype(np.int64),
        resting=table[:, 15] > 0,
        buried=table[:, 16:18],
        inside=table[:, 18].astype(np.int64),
        targets=np.array([[point.real, point.imag] for point in world.targets]),
        camera=camera,
        variant=variant,
    )
