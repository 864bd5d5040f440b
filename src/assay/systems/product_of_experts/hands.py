"""A hand with joints: 21 key points from angles and bone lengths, seen by a pinhole camera.

Key points are in the order of RHD: 0 the wrist, then thumb, index, middle, ring and little finger,
each from its TIP to the palm: 1 is the tip of the thumb, 4 its base, 20 the base of the little
finger. A hand is described as a right one, in metres from the wrist, along three axes: *radial*
(towards the thumb), *distal* (towards the fingers) and *palmar* (out of the palm). A left hand is
its mirror image. The camera looks along +z, x to the right and y down, and pixel (0, 0) has its
centre at u = v = 0.

Lengths, places and limits of joints are round numbers of an adult's hand, our own choice.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

__all__ = [
    "FINGERS", "POINTS", "POSES", "Angles", "Hands", "intrinsics", "posed", "project",
    "random_angles", "random_hands", "subject_scales",
]  # fmt: skip

POINTS, FINGERS = 21, 5
BASES = np.array([  # radial, distal, palmar of the last key point of each finger (m)
    [0.020, 0.024, 0.010], [0.026, 0.090, 0.002], [0.004, 0.094, 0.000],
    [-0.016, 0.087, 0.001], [-0.033, 0.076, 0.005],
])  # fmt: skip
BONES = np.array([  # from the palm to the tip (m)
    [0.044, 0.033, 0.028], [0.043, 0.026, 0.022], [0.047, 0.030, 0.023],
    [0.043, 0.028, 0.023], [0.034, 0.021, 0.020],
])  # fmt: skip
SPLAY = np.radians([0.0, 6.0, 1.0, -5.0, -12.0])
"""Where a finger points that is not spread, from distal towards radial."""
THUMB_TURN = np.radians(35.0)
"""How far the plane in which the thumb bends is turned out of the plane of the palm."""
SCALES = (0.85, 1.15)
FLEXION, SPREAD = np.radians(90.0), np.radians(15.0)
DISTAL_SHARE = 2 / 3
THUMB_LOW, THUMB_HIGH = np.radians([20.0, 0, 0, 0]), np.radians([60.0, 45, 50, 80])
DISTANCES = (0.52, 0.70)
# Last in a seed, so that people and poses never draw alike: zeros at its end change nothing.
PEOPLE, POSES = 1, 2
FOCAL = 2.6
"""Focal length in widths of the picture."""


class Angles(NamedTuple):
    """Angles of the joints (radians).

    Attributes:
        spread: Of a finger, from where it points by itself towards the thumb; of the thumb, from
            distal towards radial ``[hand finger]``.
        flexion: Of the joints from the palm to the tip; of the thumb, the first is how far its base
            rises out of the palm ``[hand finger joint]``.
    """

    spread: Float[np.ndarray, "hand 5"]
    flexion: Float[np.ndarray, "hand 5 3"]


class Hands(NamedTuple):
    """Hands before a camera.

    Attributes:
        xyz: Key points (m) ``[hand point axis]``.
        back: Unit vectors towards the back of the hand, at each finger's bone and at the palm
            ``[hand finger bone axis]``, bones from the palm to the tip.
        back_of_palm: The same of the palm ``[hand axis]``.
        forearm: Unit vectors from the wrist to the elbow ``[hand axis]``.
        scale: Size beside the hand described here ``[hand]``.
        tone: How light the skin is, from 0 to 1 ``[hand]``.
        left: Whether it is a left one ``[hand]``.
        subject: Whose it is ``[hand]``.
    """

    xyz: Float[np.ndarray, "hand 21 3"]
    back: Float[np.ndarray, "hand 5 3 3"]
    back_of_palm: Float[np.ndarray, "hand 3"]
    forearm: Float[np.ndarray, "hand 3"]
    scale: Float[np.ndarray, " hand"]
    tone: Float[np.ndarray, " hand"]
    left: Bool[np.ndarray, " hand"]
    subject: Int[np.ndarray, " hand"]


# -- kinematics ----------------------------------------------------------------------------------


def posed(
    angles: Angles, scales: Float[np.ndarray, "hand 5"], size: Float[np.ndarray, " hand"]
) -> tuple[Float[np.ndarray, "hand 21 3"], Float[np.ndarray, "hand 5 3 3"]]:
    """Key points of right hands, from the wrist, and which way the backs of the bones face.

    A finger bends in the plane of the direction in which it points and of *palmar*; the thumb in
    one that is turned towards the palm.

    Args:
        angles: Of the joints.
        scales: Length of the bones of each finger beside `BONES`.
        size: Size of the palm beside `BASES`.

    Returns:
        Key points (m) along radial, distal and palmar, and unit vectors
        ``[hand finger bone axis]``, bones from the palm to the tip.

    Example:
        >>> flat = Angles(np.zeros((1, 5)), np.zeros((1, 5, 3)))
        >>> points, back = posed(flat, np.ones((1, 5)), np.ones(1))
        >>> bool(np.allclose(np.linalg.norm(points[0, 9] - points[0, 10]), 0.023))
        True
        >>> back[0, 2, 0, 2].item()
        -1.0
    """
    hands = len(size)
    towards = angles.spread + SPLAY
    rise = np.zeros_like(towards)
    rise[:, 0] = angles.flexion[:, 0, 0]
    flat = np.stack([np.sin(towards), np.cos(towards), np.zeros_like(towards)], -1)
    across = np.stack([-np.cos(towards), np.sin(towards), np.zeros_like(towards)], -1)
    palmar = np.array([0.0, 0.0, 1.0])
    lift, sink = np.cos(rise)[..., None], np.sin(rise)[..., None]
    ahead = lift * flat + sink * palmar
    up = lift * palmar - sink * flat
    bend = up.copy()
    bend[:, 0] = np.cos(THUMB_TURN) * across[:, 0] + np.sin(THUMB_TURN) * up[:, 0]
    joints = angles.flexion.copy()
    joints[:, 0, 0] = 0.0
    total = np.cumsum(joints, -1)[..., None]
    along = np.cos(total) * ahead[:, :, None] + np.sin(total) * bend[:, :, None]
    back = np.sin(total) * ahead[:, :, None] - np.cos(total) * bend[:, :, None]
    bases = size[:, None, None] * BASES
    steps = (scales[..., None] * BONES)[..., None] * along
    chains = bases[:, :, None] + np.cumsum(steps, 2)
    from_tip = np.concatenate([chains[:, :, ::-1], bases[:, :, None]], 2)
    points = np.concatenate([np.zeros((hands, 1, 3)), from_tip.reshape(hands, -1, 3)], 1)
    return points, back


def random_angles(count: int, random: np.random.Generator) -> Angles:
    """Angles of joints within their limits.

    How far the hand is closed is drawn for the whole hand, and in half of the hands for each finger
    anew, so that fists, open hands and single fingers are about as frequent. The last joint of a
    finger bends by 2/3 of the one before.

    Args:
        count: How many hands.
        random: The random numbers.
    """
    curl = random.random((count, 1)) + 0.15 * random.standard_normal((count, FINGERS))
    curl = np.where(random.random((count, 1)) < 0.5, random.random((count, FINGERS)), curl)
    joints = curl[..., None] + 0.12 * random.standard_normal((count, FINGERS, 2))
    bent = FLEXION * np.clip(joints, 0.0, 1.0)
    flexion = np.concatenate([bent, DISTAL_SHARE * bent[..., 1:]], -1)
    fan = random.uniform(-0.5, 1.0, (count, 1)) * np.array([0.0, 0.8, 0.1, -0.6, -1.0])
    fan = fan + 0.15 * random.standard_normal((count, FINGERS))
    spread = SPREAD * np.clip(fan, -1.0, 1.0)
    thumb = random.uniform(THUMB_LOW, THUMB_HIGH, (count, 4))
    spread[:, 0], flexion[:, 0] = thumb[:, 0], thumb[:, 1:]
    return Angles(spread, flexion)


def subject_scales(
    subjects: Int[np.ndarray, " hand"], seed: int
) -> tuple[Float[np.ndarray, " hand"], Float[np.ndarray, "hand 5"]]:
    """Size of the hand and of each finger of people, from 0.85 to 1.15 of the one described here.

    A finger is up to 5 % longer or shorter than the size of the hand says.

    Args:
        subjects: Number of the person, from 0; equal numbers give equal hands.
        seed: Seed of all people.
    """
    drawn = _by_person(subjects, seed)
    size = SCALES[0] + (SCALES[1] - SCALES[0]) * drawn[:, 0]
    fingers = np.clip(size[:, None] * (0.95 + 0.1 * drawn[:, 1 : 1 + FINGERS]), *SCALES)
    return size, fingers


def _by_person(subjects: Int[np.ndarray, " hand"], seed: int) -> Float[np.ndarray, "hand trait"]:
    """What is drawn once for each person, from 0 to 1: size, fingers, skin."""
    known, place = np.unique(subjects, return_inverse=True)
    drawn = [np.random.default_rng([seed, int(one), PEOPLE]).random(2 + FINGERS) for one in known]
    return np.array(drawn).reshape(-1, 2 + FINGERS)[place]


# -- before the camera ---------------------------------------------------------------------------


def intrinsics(pixels: int) -> Float[np.ndarray, "3 3"]:
    """The camera of the rendered hands: its focal length is 2.6 widths of the picture.

    Args:
        pixels: Width and height of the picture.
    """
    middle = (pixels - 1) / 2
    return np.array([[FOCAL * pixels, 0.0, middle], [0.0, FOCAL * pixels, middle], [0, 0, 1.0]])


def project(
    xyz: Float[np.ndarray, "*batch 3"], camera: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "*batch 2"]:
    """Where points appear in the picture (pixels, across and down).

    Args:
        xyz: Points before the camera, z above 0.
        camera: Intrinsic matrix.

    Example:
        >>> project(np.array([0.1, 0.0, 0.5]), intrinsics(64)).tolist()
        [64.78, 31.5]
    """
    seen = xyz @ camera.T
    return seen[..., :2] / seen[..., 2:]


def random_hands(
    subjects: Int[np.ndarray, " hand"], seed: int, random: np.random.Generator
) -> Hands:
    """Hands in random poses, turned at random, about the middle of the picture.

    Every rotation is as likely as any other, but for those where the forearm points at the camera
    by more than 40 degrees out of the picture's plane, which would hide the hand.

    Args:
        subjects: Whose hand each is.
        seed: Seed of the people.
        random: Random numbers of everything else.
    """
    count = len(subjects)
    size, fingers = subject_scales(subjects, seed)
    points, back = posed(random_angles(count, random), fingers, size)
    left = random.random(count) < 0.5
    mirror = np.where(left[:, None], [-1.0, 1.0, 1.0], [1.0, 1.0, 1.0])
    turn = _rotations(count, random)
    # Columns of the turn are where radial, distal and palmar lie, as the camera sees them.
    forearm = -turn[:, :, 1]
    points = np.einsum("hij,hpj->hpi", turn, points * mirror[:, None])
    back = np.einsum("hij,hfbj->hfbi", turn, back * mirror[:, None, None])
    low, high = points.min(1), points.max(1)
    distance = random.uniform(*DISTANCES, count)
    aside = random.uniform(-0.04, 0.04, (count, 2)) * (distance / FOCAL)[:, None]
    place = np.column_stack([aside, distance]) - (low + high) / 2
    return Hands(
        xyz=points + place[:, None],
        back=back,
        back_of_palm=-turn[:, :, 2],
        forearm=forearm,
        scale=size,
        tone=_by_person(subjects, seed)[:, -1],
        left=left,
        subject=np.asarray(subjects, np.int64),
    )


def _rotations(count: int, random: np.random.Generator) -> Float[np.ndarray, "hand 3 3"]:
    """Uniform rotations whose second axis points no more than 40 degrees away from the camera."""
    from scipy.spatial.transform import Rotation

    turns = np.zeros((0, 3, 3))
    while len(turns) < count:
        drawn = Rotation.random(2 * count, rng=random).as_matrix()
        turns = np.concatenate([turns, drawn[drawn[:, 2, 1] < np.sin(np.radians(40.0))]])
    return turns[:count]
