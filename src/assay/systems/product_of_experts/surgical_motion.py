"""Where instruments are: joints on smooth splines, and the pose of every part that follows.

An instrument is a shaft that slides and turns in a fixed port, a wrist that bends at its end, and
two claspers that swing and open. Coordinates are those of a pinhole camera in metres: x to the
right, y down, z ahead. The long axis of a part is its own z. The tissue breathes: its picture moves
and is scaled.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

__all__ = ["CLASSES", "PARTS", "WRIST_M", "Joints", "Tissue", "breathing", "displaced", "joints",
           "miscalibrated", "poses"]  # fmt: skip

CLASSES = ("background", "shaft", "wrist", "clasper")
"""Names of the classes, by number."""
PARTS = (1, 2, 3, 3)
"""Class of each part of an instrument: shaft, wrist and the two claspers."""
WRIST_M = 0.010
"""From the end of the shaft to the hinge of the claspers."""
KNOT_FRAMES = 7
REST_CHANCE = 0.3
PORTS_M = np.array([[-0.105, 0.05, 0.0], [0.105, 0.05, 0.0], [0.0, -0.10, 0.01]])
"""Left, right and above, all out of view."""
HOME_M = np.array([[-0.018, 0.006, 0.068], [0.018, 0.006, 0.068], [0.0, -0.016, 0.068]])
REACH_M = np.array([0.014, 0.011, 0.010])


class Tissue(NamedTuple):
    """How the tissue's picture lies: a point q of it is seen at ``scale * q + shift`` (pixels)."""

    scale: float
    shift: Float[np.ndarray, " 2"]


@dataclass(frozen=True)
class Joints:
    """What moves, frame by frame.

    Attributes:
        port_m: Where each shaft passes the wall, which does not move ``[tool 3]``.
        end_m: Where each shaft ends ``[time tool 3]``.
        roll: Turn of the shaft about its axis (radians) ``[time tool]``.
        bend: Of the wrist against the shaft (radians) ``[time tool]``.
        swing: Of the claspers' middle against the wrist (radians) ``[time tool]``.
        opening: Between the claspers (radians) ``[time tool]``.
    """

    port_m: Float[np.ndarray, "tool 3"]
    end_m: Float[np.ndarray, "time tool 3"]
    roll: Float[np.ndarray, "time tool"]
    bend: Float[np.ndarray, "time tool"]
    swing: Float[np.ndarray, "time tool"]
    opening: Float[np.ndarray, "time tool"]


def joints(frames: int, tools: int, random: np.random.Generator) -> Joints:
    """Draw the motion of some instruments; now and then each rests, all joints at once.

    Args:
        frames: How many moments.
        tools: How many instruments, from 1 to 3, each with a port of its own.
        random: Where chance comes from.
    """
    from scipy.interpolate import PchipInterpolator

    knots = max(2, math.ceil(frames / KNOT_FRAMES) + 2)
    place = random.uniform(-1, 1, (knots, tools, 7))
    rests = random.random((knots, tools)) < REST_CHANCE
    for k in range(1, knots):
        place[k] = np.where(rests[k][:, None], place[k - 1], place[k])
    begin = random.uniform(0, KNOT_FRAMES)
    at = (np.arange(frames) + begin) / KNOT_FRAMES
    way = PchipInterpolator(np.arange(knots), place)(at)  # flat between equal knots
    which = random.permutation(len(PORTS_M))[:tools]
    jitter = random.uniform(-1, 1, (2, tools, 3))
    return Joints(
        port_m=PORTS_M[which] + jitter[0] * [0.01, 0.015, 0.005],
        end_m=HOME_M[which] + jitter[1] * [0.006, 0.006, 0.004] + way[..., :3] * REACH_M,
        roll=1.2 * way[..., 3],
        bend=0.7 * way[..., 4],
        swing=0.45 * way[..., 5],
        opening=0.15 + 0.4 * (1 + way[..., 6]),
    )


def displaced(of: Joints, random: np.random.Generator, angle: float) -> Joints:
    """The same motion as read from joints whose zero is wrong by about this (radians)."""
    wrong = angle * random.uniform(-1, 1, (4, of.roll.shape[1]))
    return Joints(
        of.port_m, of.end_m, of.roll + wrong[0], of.bend + wrong[1], of.swing + wrong[2],
        np.maximum(of.opening + wrong[3], 0.0),
    )  # fmt: skip


def poses(of: Joints) -> Float[np.ndarray, "time tool part 3 4"]:
    """The pose of every part, as a matrix from its own coordinates to the camera's."""
    ahead = of.end_m - of.port_m
    ahead = ahead / np.linalg.norm(ahead, axis=-1, keepdims=True)
    across = np.cross(ahead, [0.0, 0.0, 1.0])
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    shaft = np.stack([across, np.cross(ahead, across), ahead], axis=-1) @ _turn(of.roll, 2)
    wrist = shaft @ _turn(of.bend, 0)
    hinge = of.end_m + WRIST_M * wrist[..., 2]
    first = wrist @ _turn(of.swing + of.opening / 2, 1)
    second = wrist @ _turn(of.swing - of.opening / 2, 1)
    turns = np.stack([shaft, wrist, first, second], axis=2)
    places = np.stack([of.end_m, of.end_m, hinge, hinge], axis=2)
    return np.concatenate([turns, places[..., None]], axis=-1)


def miscalibrated(
    of: Float[np.ndarray, "time tool part 3 4"], shift: float, random: np.random.Generator
) -> Float[np.ndarray, "time tool part 3 4"]:
    """The same poses as a camera sees them that is turned against the one meant.

    Args:
        of: Poses of the parts.
        shift: How far the picture moves, in focal lengths; it turns about its middle by up to as
            many radians.
        random: Where the direction comes from.
    """
    angle, roll = random.uniform(0, 2 * np.pi), shift * random.uniform(-1, 1)
    vector = np.array([shift * np.cos(angle), shift * np.sin(angle), roll])
    size = float(np.linalg.norm(vector))
    x, y, z = vector / max(size, 1e-12)
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn = np.eye(3) + np.sin(size) * skew + (1 - np.cos(size)) * skew @ skew
    return turn @ of


def breathing(frames: int, width: int, random: np.random.Generator) -> list[Tissue]:
    """How the tissue lies, moment by moment: slow circles of one or two hundredths of the width.

    Args:
        frames: How many moments.
        width: Of the image (pixels).
        random: Where chance comes from.
    """
    phase, size = random.uniform(0, 2 * np.pi), random.uniform(0.008, 0.02) * width
    turn = phase + np.arange(frames) * random.uniform(0.12, 0.25)
    shift = size * np.stack([np.sin(turn), 0.7 * np.cos(turn)], -1)
    return [Tissue(1 + 0.012 * float(np.sin(t)), s) for t, s in zip(turn, shift, strict=True)]


def _turn(angle: Float[np.ndarray, "*place"], axis: int) -> Float[np.ndarray, "*place 3 3"]:
    """Rotations about one axis."""
    matrix = np.zeros((*angle.shape, 3, 3))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[..., axis, axis] = 1
    matrix[..., i, i] = matrix[..., j, j] = np.cos(angle)
    matrix[..., j, i] = np.sin(angle)
    matrix[..., i, j] = -matrix[..., j, i]
    return matrix
