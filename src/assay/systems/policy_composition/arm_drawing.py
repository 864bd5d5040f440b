"""An arm among its discs, drawn frame by frame: stills, and an animation of policies side by side.

Notable in this file: frames are drawn three times as large and made smaller, which smooths edges;
all frames of an animation share one palette, so that equal poses give equal bytes.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from assay.core.charts import PALETTE
from assay.systems.policy_composition import arm as world
from assay.systems.policy_composition.arm import Arm

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

__all__ = ["View", "frame", "side_by_side", "view_of", "write_gif"]

FINE = 3
INK, PAPER, QUIET = "#1d2733", "#ffffff", "#5b6673"
DISC, DISC_EDGE, BORDER = "#d5dae0", "#98a2ad", "#e3e7eb"
LINK, TRACE, GOAL, SIGNAL = PALETTE[0], "#7fa8d1", "#2f9e5f", "#d1372c"
HEAD, FOOT = 26, 24
"""Pixels above and below the world."""
MILLISECONDS, HOLD = 70, 1800
"""Of a frame, and of the last one."""


class View(NamedTuple):
    """A square piece of the world: its lower left corner and its side, and its side in pixels."""

    left: float
    low: float
    side: float
    pixels: int

    def at(self, points: Float[np.ndarray, "*batch 2"]) -> np.ndarray:
        """Points of the world in fine pixels, from the upper left corner of a frame."""
        scale = FINE * self.pixels / self.side
        across = (points[..., 0] - self.left) * scale
        down = FINE * HEAD + (self.low + self.side - points[..., 1]) * scale
        return np.stack([across, down], axis=-1)


def view_of(arm: Arm, paths: Float[np.ndarray, "episodes times joints"], pixels: int) -> View:
    """The smallest square that holds poses, discs, target and base, and a little more."""
    points = world.joints(arm, paths.reshape(-1, arm.count).astype(float)).reshape(-1, 2)
    discs = arm.arrays[1]
    corners = [points, discs[:, :2] - discs[:, 2:], discs[:, :2] + discs[:, 2:]]
    everything = np.concatenate([*corners, [arm.target], [[0.0, 0.0]]])
    low, high = everything.min(axis=0), everything.max(axis=0)
    side = float((high - low).max()) + 0.2
    left, bottom = (low + high) / 2 - side / 2
    return View(float(left), float(bottom), side, pixels)


def frame(
    arm: Arm, path: Float[np.ndarray, "times joints"], time: int, title: str, view: View
) -> UInt8[np.ndarray, "height width 3"]:
    """One moment of an episode: links, the way of the end so far, what is touched.

    Args:
        arm: The arm and its world.
        path: Poses.
        time: Which of them.
        title: Stands above.
        view: What is seen.
    """
    from PIL import Image, ImageDraw

    size = view.pixels, view.pixels + HEAD + FOOT
    image = Image.new("RGB", (FINE * size[0], FINE * size[1]), PAPER)
    pen = ImageDraw.Draw(image)
    sofar = world.joints(arm, np.ascontiguousarray(path[: time + 1], float))
    inside = world.gaps(arm, np.ascontiguousarray(path[: time + 1], float)).gaps <= 0
    _surroundings(pen, arm, view, inside[-1].any(axis=0))
    ends = view.at(sofar[:, -1])
    if time:
        pen.line([tuple(p) for p in ends.tolist()], fill=TRACE, width=2 * FINE, joint="curve")
    _links(pen, view.at(sofar[-1]), inside[-1].any(axis=1))
    off = np.linalg.norm(sofar[:, -1] - np.array(arm.target), axis=1)
    _words(pen, size, title, time, bool(inside.any()), bool(off[-1] <= arm.tolerance))
    return np.asarray(image.resize(size, Image.Resampling.BOX), np.uint8)


def _circle(pen: "ImageDraw", middle: np.ndarray, radius: float, **how: object) -> None:
    x, y = middle.tolist()
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), **how)  # type: ignore[arg-type]


def _surroundings(pen: "ImageDraw", arm: Arm, view: View, met: np.ndarray) -> None:
    scale = FINE * view.pixels / view.side
    corner = FINE * view.pixels - FINE
    pen.rectangle((FINE, FINE * HEAD, corner, FINE * HEAD + corner), outline=BORDER, width=FINE)
    for (x, y, radius), touched in zip(arm.discs, met, strict=True):
        edge = SIGNAL if touched else DISC_EDGE
        middle = view.at(np.array([x, y]))
        _circle(pen, middle, radius * scale, fill=DISC, outline=edge, width=2 * FINE)
    goal = view.at(np.array(arm.target))
    _circle(pen, goal, arm.tolerance * scale, outline=GOAL, width=2 * FINE)
    _circle(pen, goal, 2.0 * FINE, fill=GOAL)


def _links(pen: "ImageDraw", points: np.ndarray, touching: np.ndarray) -> None:
    for begin, end, touched in zip(points[:-1], points[1:], touching, strict=True):
        colour = SIGNAL if touched else LINK
        pen.line([tuple(begin.tolist()), tuple(end.tolist())], fill=colour, width=5 * FINE)
    for point in points[1:-1]:
        _circle(pen, point, 4.0 * FINE, fill=PAPER, outline=INK, width=FINE)
    _circle(pen, points[-1], 4.0 * FINE, fill=INK)
    x, y = points[0].tolist()
    half = 6 * FINE
    pen.rectangle((x - half, y - half, x + half, y + half), fill=INK)


def _words(
    pen: "ImageDraw", size: tuple[int, int], title: str, time: int, touched: bool, there: bool
) -> None:
    from PIL import ImageFont

    big, small = (ImageFont.load_default(FINE * points) for points in (15, 12))
    middle, foot = FINE * size[0] / 2, FINE * (size[1] - FOOT / 2)
    pen.text((middle, FINE * HEAD / 2), title, fill=INK, font=big, anchor="mm")
    said = ["at the target"] * there + ["has touched a disc"] * touched
    colour = SIGNAL if touched else GOAL if there else QUIET
    text = f"step {time}" + "".join(f", {word}" for word in said)
    pen.text((middle, foot), text, fill=colour, font=small, anchor="mm")


def side_by_side(
    arm: Arm, paths: Mapping[str, Float[np.ndarray, "times joints"]], time: int, view: View
) -> UInt8[np.ndarray, "height width 3"]:
    """One moment of several episodes; a shorter one stands still at its end."""
    parts = [
        frame(arm, path, min(time, len(path) - 1), title, view) for title, path in paths.items()
    ]
    return np.concatenate(parts, axis=1)


def write_gif(
    path: Path, arm: Arm, paths: Mapping[str, Float[np.ndarray, "times joints"]], pixels: int = 280
) -> None:
    """An animation of episodes side by side, for ever.

    Args:
        path: A ``.gif`` file.
        arm: The arm and its world.
        paths: Poses by title.
        pixels: Side of the world of each.
    """
    from PIL import Image

    longest = max(len(poses) for poses in paths.values())
    view = view_of(arm, np.concatenate([*paths.values()])[None], pixels)
    shown = [Image.fromarray(side_by_side(arm, paths, t, view)) for t in range(longest)]
    colours = _palette(shown)
    small = [image.quantize(palette=colours, dither=Image.Dither.NONE) for image in shown]
    lasting = [MILLISECONDS] * (longest - 1) + [HOLD]
    written = io.BytesIO()
    small[0].save(
        written, "GIF", save_all=True, append_images=small[1:], duration=lasting, loop=0,
        optimize=False,
    )  # fmt: skip
    path.write_bytes(written.getvalue())


def _palette(shown: "list[Image]") -> "Image":
    """One palette for all: that of some frames on top of one another."""
    from PIL import Image

    some = [np.asarray(shown[n]) for n in np.linspace(0, len(shown) - 1, 6).astype(int)]
    return Image.fromarray(np.concatenate(some)).quantize(64)
