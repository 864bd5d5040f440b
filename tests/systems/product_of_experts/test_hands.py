"""Hands: lengths and angles against plane geometry, limits, handedness, the camera."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.systems.product_of_experts.hands import (
    BASES,
    BONES,
    SPLAY,
    Angles,
    intrinsics,
    posed,
    project,
    random_angles,
    random_hands,
    subject_scales,
)

RADIAL, DISTAL, PALMAR = np.eye(3)


def pose(spread=0.0, flexion=(0.0, 0.0, 0.0), finger=2):
    """Key points of one finger from its base to its tip, and where its bones' backs face."""
    angles = Angles(np.zeros((1, 5)), np.zeros((1, 5, 3)))
    angles.spread[0, finger] = np.radians(spread) - SPLAY[finger]
    angles.flexion[0, finger] = np.radians(flexion)
    points, back = posed(angles, np.ones((1, 5)), np.ones(1))
    return points[0, 1 + 4 * finger : 5 + 4 * finger][::-1], back[0, finger]


@pytest.mark.parametrize("finger", [1, 2, 3, 4])
def test_a_straight_finger_points_ahead(finger):
    points, back = pose(finger=finger)

    steps = np.concatenate([[0.0], np.cumsum(BONES[finger])])
    assert np.allclose(points, BASES[finger] + steps[:, None] * DISTAL)
    assert np.allclose(back, -PALMAR)


@pytest.mark.parametrize("finger", [1, 2, 3, 4])
def test_a_finger_bent_by_right_angles_goes_into_the_palm_and_comes_back(finger):
    points, back = pose(flexion=(90, 90, 90), finger=finger)

    ways = np.stack([PALMAR, -DISTAL, -PALMAR])
    assert np.allclose(np.diff(points, axis=0), BONES[finger][:, None] * ways)
    assert np.allclose(back, np.stack([DISTAL, PALMAR, -DISTAL]))


def test_spreading_turns_towards_the_thumb():
    points, _ = pose(spread=15)

    way = (points[-1] - points[0]) / np.linalg.norm(points[-1] - points[0])
    assert np.allclose(way, [np.sin(np.radians(15)), np.cos(np.radians(15)), 0.0])


def test_the_thumb_rises_out_of_the_palm_and_bends_towards_the_fingers():
    flat, _ = pose(spread=40, finger=0)
    raised, _ = pose(spread=40, flexion=(30, 0, 0), finger=0)
    bent, _ = pose(spread=40, flexion=(0, 40, 40), finger=0)

    first = raised[1] - raised[0]
    assert first[2] / np.linalg.norm(first) == pytest.approx(np.sin(np.radians(30)))
    assert flat[-1, 2] == pytest.approx(flat[0, 2])
    assert bent[-1] @ RADIAL < flat[-1] @ RADIAL - 0.01
    assert bent[-1] @ PALMAR > flat[-1] @ PALMAR + 0.005


@given(st.integers(0, 10_000))
def test_bones_keep_their_lengths_in_every_pose_and_backs_stand_across_them(seed):
    random = np.random.default_rng(seed)
    scales, size = random.uniform(0.85, 1.15, (4, 5)), random.uniform(0.85, 1.15, 4)
    points, back = posed(random_angles(4, random), scales, size)

    chains = points[:, 1:].reshape(4, 5, 4, 3)[:, :, ::-1]
    bones = np.diff(chains, axis=2)
    assert np.allclose(np.linalg.norm(bones, axis=-1), scales[..., None] * BONES)
    assert np.allclose(chains[:, :, 0], size[:, None, None] * BASES)
    assert np.allclose((bones * back).sum(-1), 0.0)
    assert np.allclose(np.linalg.norm(back, axis=-1), 1.0)
    assert not points[:, 0].any()


@given(st.integers(0, 10_000))
def test_the_angle_between_bones_is_the_flexion(seed):
    random = np.random.default_rng(seed)
    angles = random_angles(4, random)
    points, _ = posed(angles, np.ones((4, 5)), np.ones(4))

    bones = np.diff(points[:, 1:].reshape(4, 5, 4, 3)[:, :, ::-1], axis=2)
    bones /= np.linalg.norm(bones, axis=-1, keepdims=True)
    cosines = (bones[:, :, 1:] * bones[:, :, :-1]).sum(-1)
    assert np.allclose(cosines, np.cos(angles.flexion[:, :, 1:]))
    # of a finger, the first is the angle to the plane of the palm
    assert np.allclose(bones[:, 1:, 0, 2], np.sin(angles.flexion[:, 1:, 0]))


def test_joints_keep_their_limits_and_reach_them():
    angles = random_angles(4000, np.random.default_rng(0))
    spread, flexion = np.degrees(angles.spread), np.degrees(angles.flexion)

    fingers = flexion[:, 1:]
    assert np.allclose(fingers[..., 2], fingers[..., 1] * 2 / 3)
    assert np.abs(spread[:, 1:]).max() == pytest.approx(15.0)
    assert fingers[..., :2].min() == 0.0
    assert fingers[..., :2].max() == pytest.approx(90.0)
    assert 30 < fingers[..., 0].mean() < 60
    low, high = [20, 0, 0, 0], [60, 45, 50, 80]
    thumb = np.column_stack([spread[:, 0], flexion[:, 0]])
    assert (thumb >= low).all()
    assert (thumb <= high).all()
    assert np.allclose(thumb.min(0), low, atol=1.0)
    assert np.allclose(thumb.max(0), high, atol=1.0)


def test_a_person_has_one_hand_and_people_differ():
    size, fingers = subject_scales(np.array([3, 0, 3, 7]), seed=1)

    assert size[0] == size[2]
    assert np.array_equal(fingers[0], fingers[2])
    assert len({size[0], size[1], size[3]}) == 3
    assert subject_scales(np.array([7]), seed=1)[0][0] == size[3]  # whoever stands beside
    assert subject_scales(np.array([7]), seed=2)[0][0] != size[3]
    size, fingers = subject_scales(np.arange(1000), seed=0)
    assert 0.85 <= min(size.min(), fingers.min()) < 0.86
    assert 1.14 < max(size.max(), fingers.max()) <= 1.15
    assert np.abs(fingers / size[:, None] - 1).max() <= 0.05 + 1e-9


def hands(count=300, seed=0):
    return random_hands(np.arange(count) % 20, 0, np.random.default_rng(seed))


def test_people_keep_their_skin_and_differ_in_it():
    found = hands(2000)

    assert {len(set(found.tone[found.subject == one])) for one in range(20)} == {1}
    assert len(set(found.tone)) == 20
    assert 0 <= found.tone.min() < 0.3 < 0.7 < found.tone.max() <= 1


def test_hands_before_the_camera_keep_their_bones():
    found = hands()

    _, scales = subject_scales(found.subject, 0)
    bones = np.diff(found.xyz[:, 1:].reshape(-1, 5, 4, 3)[:, :, ::-1], axis=2)
    assert np.allclose(np.linalg.norm(bones, axis=-1), scales[..., None] * BONES)
    assert np.allclose((bones * found.back).sum(-1), 0.0)
    assert np.allclose((found.forearm * found.back_of_palm).sum(-1), 0.0)


def test_left_and_right_are_as_on_people():
    """Fingers up and the palm to the eye, the thumb of a right hand is on the right."""
    found = hands()
    index, little, middle = found.xyz[:, 8], found.xyz[:, 20], found.xyz[:, 12]
    towards_thumb, up = index - little, middle - found.xyz[:, 0]
    seen_palm = found.back_of_palm[:, 2] > 0.5
    # in the picture, y runs down: with up = (0, -1) and the thumb at (1, 0) this is 1
    turn = up[:, 0] * towards_thumb[:, 1] - up[:, 1] * towards_thumb[:, 0]

    assert (turn[seen_palm & ~found.left] > 0).all()
    assert (turn[seen_palm & found.left] < 0).all()
    assert (turn[(found.back_of_palm[:, 2] < -0.5) & ~found.left] < 0).all()
    assert 0.4 < found.left.mean() < 0.6


def test_forearms_point_at_the_camera_no_more_than_allowed_and_all_other_ways():
    forearm = hands(4000).forearm

    assert forearm[:, 2].min() > -np.sin(np.radians(40.0))
    assert forearm[:, 2].min() < -np.sin(np.radians(38.0))
    assert forearm[:, 2].max() > 0.99
    assert np.abs(forearm[:, :2].mean(0)).max() < 0.05
    # of points on a sphere the height is uniform: over what is left its mean is its middle
    middle = (1.0 - np.sin(np.radians(40.0))) / 2
    assert forearm[:, 2].mean() == pytest.approx(middle, abs=0.03)


def test_hands_are_about_the_middle_of_the_picture():
    found = hands(1000)
    uv = project(found.xyz, intrinsics(64))

    assert (found.xyz[..., 2] > 0.35).all()
    assert ((uv >= 0) & (uv <= 63)).all(-1).mean() > 0.97
    middle = (uv.min(1) + uv.max(1)) / 2
    assert np.abs(middle.mean(0) - 31.5).max() < 0.5
    extent = (uv.max(1) - uv.min(1)).max(-1)
    assert 20 < extent.mean() < 50


def test_projection_by_hand():
    camera = np.array([[500.0, 0.0, 320.0], [0.0, 400.0, 240.0], [0.0, 0.0, 1.0]])

    uv = project(np.array([[0.2, -0.1, 2.0], [0.0, 0.0, 1.0]]), camera)

    assert uv.tolist() == [[370.0, 220.0], [320.0, 240.0]]


def test_equal_seeds_give_equal_hands():
    one, same, other = hands(seed=1), hands(seed=1), hands(seed=2)

    assert np.array_equal(one.xyz, same.xyz)
    assert not np.array_equal(one.xyz, other.xyz)
