"""The renderer against geometry: where rays meet spheres and capsules, what hides what."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.systems.product_of_experts.hand_rays import shade_rays
from assay.systems.product_of_experts.hand_rendering import render, trace
from assay.systems.product_of_experts.hand_shapes import Capsules, capsules, palm_axes
from assay.systems.product_of_experts.hands import (
    Angles,
    Hands,
    intrinsics,
    posed,
    project,
    random_hands,
)

PIXELS = 65
MIDDLE = PIXELS // 2
CAMERA = intrinsics(PIXELS)


def shapes(*of):
    """Capsules of one picture, each a start, an end and a radius."""
    start, end = (np.array([[one[k] for one in of]], float) for k in (0, 1))
    radius = np.array([[one[2] for one in of]], float)
    part = np.arange(1, len(of) + 1, dtype=np.uint8)
    return Capsules(start, end, radius, np.zeros_like(start), part[None], part * 0)


def seen(*of, finer=1):
    fine, which, depth = trace(shapes(*of), CAMERA, PIXELS, finer)
    return depth[0], which[0], fine[0]


def rays(focal=CAMERA[0, 0]):
    """Directions of the rays through the middles of pixels, with z = 1."""
    x, y = np.meshgrid(*[np.arange(PIXELS) - MIDDLE] * 2)
    return np.stack([x / focal, y / focal, np.ones(x.shape)], -1)


# -- rays ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("middle", "radius", "focal"),
    [((0.03, -0.02, 0.5), 0.02, 169.0), ((0.03, -0.02, 0.5), 0.06, 169.0),
     ((0.01, 0.0, 0.2), 0.12, 40.0), ((-0.12, 0.1, 0.2), 0.08, 30.0)],
)  # fmt: skip
def test_a_sphere_is_where_rays_come_nearer_than_its_radius(middle, radius, focal):
    camera = np.array([[focal, 0.0, MIDDLE], [0.0, focal, MIDDLE], [0.0, 0.0, 1.0]])
    middle = np.array(middle)
    depth, which, _ = (one[0] for one in trace(shapes((middle, middle, radius)), camera, PIXELS))

    way = rays(focal)
    length = np.linalg.norm(way, axis=-1)
    beside = np.linalg.norm(np.cross(way, middle), axis=-1) / length
    hit = beside < radius
    along = way @ middle / length - np.sqrt(np.maximum(radius**2 - beside**2, 0.0))
    assert hit.sum() > 50
    assert np.array_equal(which == 0, hit)
    assert np.allclose(depth[hit], (along / length)[hit])
    assert np.isinf(depth[~hit]).all()


def test_a_bar_across_is_its_radius_nearer_than_its_axis():
    depth, which, _ = seen(([-0.05, 0, 0.5], [0.05, 0, 0.5], 0.02))

    row = depth[MIDDLE]
    reach = int((0.05 / 0.48) * CAMERA[0, 0])
    assert np.allclose(row[MIDDLE - reach : MIDDLE + reach + 1], 0.48)
    # beyond, its round ends: 0.07 to either side at the distance of the axis
    ends = np.flatnonzero(which[MIDDLE] == 0)
    limit = CAMERA[0, 0] * 0.05 / 0.5 + CAMERA[0, 0] * 0.02 / 0.5
    assert abs((ends.max() - MIDDLE) - limit) < 1.0
    assert ends.max() + ends.min() == 2 * MIDDLE


@pytest.mark.parametrize("towards", [False, True])
def test_a_bar_along_the_ray_is_met_at_its_near_end(towards):
    near, far = np.array([0, 0, 0.5]), np.array([0, 0, 0.7])

    depth, _, _ = seen((far, near, 0.02) if towards else (near, far, 0.02))

    assert depth[MIDDLE, MIDDLE] == pytest.approx(0.48)
    assert np.isfinite(depth).sum() > 30


@settings(max_examples=25)
@given(st.integers(0, 100_000))
def test_every_ray_stops_at_the_surface_and_not_before(seed):
    """At a hit the distance to the axis is the radius; before it, and along a miss, it is more."""
    random = np.random.default_rng(seed)
    a, b = random.uniform([-0.1, -0.1, 0.4], [0.1, 0.1, 0.7], (2, 3))
    radius = random.uniform(0.01, 0.05)
    depth, which, _ = seen((a, b, radius))

    def from_axis(points):
        share = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0.0, 1.0)
        return np.linalg.norm(points - a - share[..., None] * (b - a), axis=-1)

    way = rays()[::3, ::3].reshape(-1, 3)
    depth, hit = depth[::3, ::3].ravel(), which[::3, ::3].ravel() == 0
    assert np.allclose(from_axis(depth[hit, None] * way[hit]), radius)
    for share in np.linspace(0.05, 0.999, 60):
        z = np.where(hit, share * depth, 0.3 + 0.6 * share)
        assert (from_axis(z[:, None] * way) > radius - 1e-9).all()


def test_the_nearest_is_seen_whatever_the_order():
    near, far = ([0, 0, 0.4], [0, 0, 0.4], 0.02), ([0.01, 0, 0.6], [0.01, 0, 0.6], 0.05)

    one, which, _ = seen(near, far)
    other, reverse, _ = seen(far, near)

    assert which[MIDDLE, MIDDLE] == 0
    assert np.array_equal(one, other)
    assert np.array_equal(which, np.where(reverse < 0, -1, 1 - reverse))
    assert {-1, 0, 1} == set(np.unique(which))


def test_the_ray_through_the_middle_of_a_pixel_is_the_same_on_a_finer_grid():
    of = ([-0.03, 0.02, 0.5], [0.05, -0.04, 0.6], 0.02)
    coarse, _, _ = seen(of)
    depth, which, fine = seen(of, finer=3)

    assert np.allclose(depth, coarse)
    assert fine.shape == which.shape == (3 * PIXELS, 3 * PIXELS)
    # and the finer picture is that of a camera with three times the pixels
    camera = intrinsics(3 * PIXELS)
    larger, _, _ = trace(shapes(of), camera, 3 * PIXELS)
    assert np.allclose(larger[0], fine)
    with pytest.raises(ValueError, match="2 rays across"):
        trace(shapes(of), CAMERA, PIXELS, 2)


def test_shade_is_that_of_lambert():
    """A white sphere without creases: ambient light, then by the cosine to the lamp; dark edges."""
    at = np.array([0.0, 0.0, 0.5])
    shape = shapes((at, at, 0.05))
    fine, which, _ = trace(shape, CAMERA, PIXELS, 1)
    lamp = np.array([[-0.6, 0.0, -0.8]])
    white, grey = np.full((1, 3), 200.0), np.full((1, PIXELS, PIXELS, 3), 7.0, np.float32)

    color = shade_rays(
        fine, which, grey, shape.start, shape.end, shape.radius, shape.back, shape.mark,
        white, white, white, lamp, np.array([0.4]), CAMERA,
    )[0]  # fmt: skip

    hit = which[0] == 0
    way = rays()[hit]
    normal = (fine[0][hit][:, None] * way - at) / 0.05
    facing = -(normal * way).sum(-1) / np.linalg.norm(way, axis=-1)
    lit = np.maximum(normal @ lamp[0], 0.0)
    expected = 200.0 * (0.4 + 0.75 * lit) * (0.45 + 0.55 * facing)
    assert np.allclose(color[hit], expected[:, None], atol=0.01)
    assert (color[~hit] == 7.0).all()


# -- hands ---------------------------------------------------------------------------------------


def flat_hand(axes, left=False):
    """An open hand 0.7 m before the camera: where its radial, distal and palmar axes point."""
    angles = Angles(np.radians([[60.0, 0, 0, 0, 0]]), np.zeros((1, 5, 3)))
    points, back = posed(angles, np.ones((1, 5)), np.ones(1))
    mirror = np.array([-1.0 if left else 1.0, 1.0, 1.0])
    axes = np.array(axes, float)
    xyz = points * mirror @ axes
    xyz = xyz - xyz.mean(1, keepdims=True) + np.array([0.0, 0.0, 0.7])
    return Hands(xyz, back * mirror @ axes, -axes[None, 2], -axes[None, 1], np.ones(1),
                 np.full(1, 0.5), np.array([left]), np.zeros(1, np.int64))  # fmt: skip


PALM_TO_EYE = [[1, 0, 0], [0, -1, 0], [0, 0, -1]]
LITTLE_FINGER_TO_EYE = [[0, 0, 1], [0, -1, 0], [1, 0, 0]]


@pytest.mark.parametrize(("left", "first"), [(True, 2), (False, 18)])
def test_parts_are_numbered_as_in_the_data(left, first):
    """Of each finger from its tip to the palm, thumb first; then the palm."""
    hand = flat_hand(PALM_TO_EYE, left)
    found = render(hand, np.random.default_rng(0), pixels=128)

    assert found.visible.all()
    chains = project(hand.xyz, intrinsics(128))[0, 1:].reshape(5, 4, 2)
    middles = np.rint((chains[:, 1:] + chains[:, :-1]) / 2).astype(int)
    parts = found.mask[0][middles[..., 1], middles[..., 0]]
    assert parts.tolist() == (first + np.arange(15).reshape(5, 3)).tolist()
    palm = np.rint(project((hand.xyz[:, 0] + hand.xyz[:, 12]) / 2, intrinsics(128)))[0].astype(int)
    assert found.mask[0][palm[1], palm[0]] == first + 15
    assert set(np.unique(found.mask)) == {0, 1, *range(first, first + 16)}


def test_what_lies_behind_other_fingers_is_hidden():
    found = render(flat_hand(LITTLE_FINGER_TO_EYE), np.random.default_rng(0))

    assert found.visible[0, [17, 18, 19, 20]].all()  # the little finger
    assert not found.visible[0, [8, 12]].any()  # bases of the index and the middle finger


def test_what_is_out_of_the_picture_is_not_visible():
    hand = flat_hand(PALM_TO_EYE)
    aside = hand._replace(xyz=hand.xyz + np.array([0.3, 0.0, 0.0]))

    assert not render(aside, np.random.default_rng(0)).visible.any()


def test_pictures_agree_with_each_other_and_with_the_key_points():
    hands = random_hands(np.arange(40), 0, np.random.default_rng(1))
    found = render(hands, np.random.default_rng(2))

    hand = found.mask > 1
    assert (found.depth_m[hand] < 0.9).all()
    assert (found.depth_m[found.mask == 0] > 0.6).all()
    first = np.where(hands.left, 2, 18)[:, None, None]
    assert ((found.mask[hand] >= np.broadcast_to(first, hand.shape)[hand])
            & (found.mask[hand] < np.broadcast_to(first, hand.shape)[hand] + 16)).all()  # fmt: skip
    uv = np.rint(project(hands.xyz, intrinsics(64))).astype(int)
    for h, k in np.argwhere(found.visible):
        surface = found.depth_m[h, uv[h, k, 1], uv[h, k, 0]]
        assert hands.xyz[h, k, 2] - surface <= 0.03 * 1.15 + 1e-9
    assert 0.5 < found.visible.mean() < 0.9


def test_flesh_surrounds_the_bones():
    hands = random_hands(np.arange(10), 0, np.random.default_rng(1))
    shape = capsules(hands)

    bones = hands.xyz[:, 1:].reshape(10, 5, 4, 3)[:, :, ::-1]
    assert np.allclose(shape.start[:, :15], bones[:, :, :3].reshape(10, 15, 3))
    assert np.allclose(shape.end[:, :15], bones[:, :, 1:].reshape(10, 15, 3))
    axes = palm_axes(hands)
    turned = np.linalg.det(axes)
    assert np.allclose(turned, np.where(hands.left, -1.0, 1.0))
    assert np.allclose(np.einsum("hij,hkj->hik", axes, axes), np.eye(3))
    # the palm's rods end at the bases of the fingers
    assert np.allclose(shape.end[:, 15], hands.xyz[:, 8])
    assert np.allclose(shape.end[:, 18], hands.xyz[:, 20])


def test_equal_seeds_give_equal_pictures_of_a_range_of_colours():
    hands = random_hands(np.arange(8), 0, np.random.default_rng(1))
    one, same, other = (render(hands, np.random.default_rng(seed)) for seed in (1, 1, 2))

    for a, b in zip(one, same, strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(one.color, other.color)
    assert np.array_equal(one.mask, other.mask)  # geometry does not depend on light
    assert one.color.std() > 20
    assert len(np.unique(one.color[one.mask == 0])) > 100
