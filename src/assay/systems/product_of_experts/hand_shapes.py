"""The flesh around the bones: a hand as capsules, each with the number of its part.

Parts are numbered as in RHD, from 0: nothing, 1 the rest of the person; of a left hand 2 to 4 the
thumb from its tip, 5 to 7 the index finger and so on, 17 the palm; of a right hand 16 more. The
order within a hand is from memory of the data set's readme.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from assay.systems.product_of_experts.hands import BASES, FINGERS, Hands

__all__ = ["CREASED", "LEFT", "NAIL", "PERSON", "RIGHT", "Capsules", "capsules", "palm_axes"]

PERSON, LEFT, RIGHT, PALM = 1, 2, 18, 15
"""Numbers of the rest of the person and of the first part of each hand; the palm comes 15 later."""
CREASED, NAIL, SLEEVED = 1, 2, 4
"""Marks of a capsule: creases at its ends, a nail at its far end, a sleeve at its far end."""
BONE_RADII = np.array([  # from the palm to the tip (m)
    [0.0125, 0.0105, 0.0092], [0.0096, 0.0086, 0.0077], [0.0099, 0.0088, 0.0079],
    [0.0094, 0.0084, 0.0076], [0.0084, 0.0074, 0.0067],
])  # fmt: skip
PALM_RODS = np.array([  # from, to (radial, distal, palmar; m) and radius
    [0.011, 0.010, 0.000, *BASES[1], 0.0120], [0.004, 0.008, 0.000, *BASES[2], 0.0120],
    [-0.004, 0.008, 0.000, *BASES[3], 0.0115], [-0.011, 0.010, 0.000, *BASES[4], 0.0105],
    [0.0075, 0.010, 0.001, *(BASES[1] + BASES[2]) / 2, 0.0122],
    [0.000, 0.008, 0.001, *(BASES[2] + BASES[3]) / 2, 0.0122],
    [-0.0075, 0.010, 0.001, *(BASES[3] + BASES[4]) / 2, 0.0115],
    [0.024, 0.082, 0.002, -0.030, 0.070, 0.004, 0.0100],
    [0.009, 0.012, 0.003, 0.024, 0.062, 0.004, 0.0125],
    [-0.015, 0.016, 0.004, -0.027, 0.055, 0.006, 0.0125],
])  # fmt: skip
FOREARM_RODS = np.array(
    [[0.009, 0.004, 0.0, 0.018], [0.0, 0.004, 0.0, 0.0187], [-0.009, 0.004, 0.0, 0.018]]
)
"""Where rods begin, and their radius; they run to the elbow."""
FOREARM = 0.26
"""Length of the forearm (m)."""


class Capsules(NamedTuple):
    """Capsules before a camera; all hands have the same number of them.

    Attributes:
        start: One end (m) ``[hand capsule axis]``.
        end: The other, towards the tip or the elbow.
        radius: Radius (m) ``[hand capsule]``.
        back: Unit vectors towards the back of the hand ``[hand capsule axis]``.
        part: Number of the part, as in a mask ``[hand capsule]``.
        mark: Sum of what is drawn on it ``[capsule]``.
    """

    start: Float[np.ndarray, "hand capsule 3"]
    end: Float[np.ndarray, "hand capsule 3"]
    radius: Float[np.ndarray, "hand capsule"]
    back: Float[np.ndarray, "hand capsule 3"]
    part: UInt8[np.ndarray, "hand capsule"]
    mark: UInt8[np.ndarray, " capsule"]


def palm_axes(hands: Hands) -> Float[np.ndarray, "hand 3 3"]:
    """Radial, distal and palmar of each hand, as the camera sees them ``[hand which axis]``."""
    distal, palmar = -hands.forearm, -hands.back_of_palm
    radial = np.cross(distal, palmar) * np.where(hands.left, -1.0, 1.0)[:, None]
    return np.stack([radial, distal, palmar], 1)


def capsules(hands: Hands) -> Capsules:
    """Cover the bones of hands."""
    count, axes = len(hands.left), palm_axes(hands)
    wrist, size = hands.xyz[:, :1], hands.scale[:, None, None]
    chains = hands.xyz[:, 1:].reshape(count, FINGERS, 4, 3)[:, :, ::-1]

    def placed(where: Float[np.ndarray, "capsule 3"]) -> Float[np.ndarray, "hand capsule 3"]:
        return wrist + size * np.einsum("cw,hwi->hci", where, axes)

    web = (chains[:, :1, 1] + placed(BASES[1:2])) / 2 - 0.012 * size * axes[:, 1:2]
    elbow = placed(FOREARM_RODS[:, :3]) + FOREARM * hands.forearm[:, None]
    starts = [chains[:, :, :3].reshape(count, -1, 3), placed(PALM_RODS[:, :3]),
              placed(BASES[:1]), placed(FOREARM_RODS[:, :3])]  # fmt: skip
    ends = [chains[:, :, 1:].reshape(count, -1, 3), placed(PALM_RODS[:, 3:6]), web, elbow]
    rods, arm = len(PALM_RODS) + 1, len(FOREARM_RODS)
    radius = np.concatenate([BONE_RADII.ravel(), PALM_RODS[:, 6], [0.009], FOREARM_RODS[:, 3]])
    back = [hands.back.reshape(count, -1, 3),
            np.repeat(hands.back_of_palm[:, None], rods + arm, 1)]  # fmt: skip
    part = np.concatenate([
        (3 * np.arange(FINGERS)[:, None] + [2, 1, 0]).ravel(), np.full(rods, PALM)
    ])  # fmt: skip
    first = np.where(hands.left, LEFT, RIGHT)[:, None]
    marks = np.full((FINGERS, 3), CREASED)
    marks[:, 2] |= NAIL
    return Capsules(
        start=np.concatenate(starts, 1),
        end=np.concatenate(ends, 1),
        radius=hands.scale[:, None] * radius,
        back=np.concatenate(back, 1),
        part=np.concatenate([first + part, np.full((count, arm), PERSON)], 1).astype(np.uint8),
        mark=np.concatenate([marks.ravel(), np.zeros(rods), np.full(arm, SLEEVED)]).astype(
            np.uint8
        ),
    )
