"""The rendered scene: rays against brute force, flow against moved points, edges by the pixel."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from assay.errors import ParameterError
from assay.systems.product_of_experts.surgical_motion import (
    CLASSES,
    WRIST_M,
    Tissue,
    breathing,
    joints,
    miscalibrated,
    poses,
)
from assay.systems.product_of_experts.surgical_painting import ground, tissue_seen
from assay.systems.product_of_experts.surgical_rays import SHAPES, Camera, Surface, cast, outward
from assay.systems.product_of_experts.surgical_scene import motion_flow, sequence

CAMERA = Camera(36, 48)


def random(*of):
    return np.random.default_rng([7, *of])


def drawn(frames=1, tools=3, seed=0):
    return poses(joints(frames, tools, random(seed)))


def rays(camera):
    """Points of every pixel's ray at depth 1, by the matrix of the camera."""
    k = np.array([[camera.width, 0, (camera.width - 1) / 2],
                  [0, camera.width, (camera.height - 1) / 2], [0, 0, 1]])  # fmt: skip
    row, column = np.indices((camera.height, camera.width))
    return np.stack([column, row, np.ones_like(row)], -1) @ np.linalg.inv(k).T


def inside(shape, pose, points):
    """How deep points lie in a part: above 0 within it, by its definition."""
    x, y, z = np.moveaxis(points - pose[:, 3], -1, 0)
    local = np.stack([x, y, z], -1) @ np.linalg.inv(pose[:, :3]).T
    if not shape.radius_m:
        return 1 - np.square((local - shape.middle_m) / shape.half_m).sum(-1)
    nearest = np.zeros_like(local)
    nearest[..., 2] = np.clip(local[..., 2], shape.begin_m, shape.end_m)
    return shape.radius_m - np.linalg.norm(local - nearest, axis=-1)


# -- motion --------------------------------------------------------------------------------------


def test_parts_hang_together_and_turn_by_their_joints():
    of = joints(40, 3, random())
    pose = poses(of)
    turn, place = pose[..., :3], pose[..., 3]

    assert np.allclose(np.swapaxes(turn, -1, -2) @ turn, np.eye(3))
    assert np.allclose(np.linalg.det(turn), 1)
    shaft, wrist, first, second = np.moveaxis(turn[..., 2], 2, 0)
    assert np.allclose(np.cross(of.end_m - of.port_m, shaft), 0, atol=1e-12)  # through the port
    assert ((of.end_m - of.port_m) * shaft).sum(-1).min() > 0
    assert np.allclose(place[:, :, 0], of.end_m)
    assert np.allclose(place[:, :, 1], of.end_m)
    assert np.allclose(place[:, :, 2], of.end_m + WRIST_M * wrist)
    assert np.allclose(place[:, :, 3], place[:, :, 2])
    assert np.allclose((shaft * wrist).sum(-1), np.cos(of.bend))
    assert np.allclose((first * second).sum(-1), np.cos(of.opening))
    middle = (first + second) / np.linalg.norm(first + second, axis=-1, keepdims=True)
    assert np.allclose((middle * wrist).sum(-1), np.cos(of.swing))


def test_instruments_move_smoothly_and_rest_at_times():
    place = np.stack([joints(60, 3, random(k)).end_m for k in range(8)])
    steps = np.linalg.norm(np.diff(place, axis=1), axis=-1)

    assert steps.max() < 0.012  # metres a frame: no jump
    resting = (steps < 1e-12).mean()
    assert 0.1 < resting < 0.5  # knots repeat with a chance of 0.3


def test_another_calibration_moves_the_picture_by_what_is_asked_for():
    ahead = np.concatenate([np.eye(3), [[0], [0], [0.07]]], axis=1)[None, None, None]

    moved = [miscalibrated(ahead, 3 / 128, random(k))[0, 0, 0, :, 3] for k in range(20)]

    shifts = np.array([128 * p[:2] / p[2] for p in moved])
    assert np.linalg.norm(shifts, axis=1) == pytest.approx(3, rel=0.02)
    assert len(np.unique(np.sign(shifts), axis=0)) == 4
    assert np.array_equal(miscalibrated(ahead, 0.0, random()), ahead)


# -- rays ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_every_ray_ends_at_the_first_surface_and_passes_nothing_before(seed):
    behind = np.full((CAMERA.height, CAMERA.width), 0.083)
    pose = drawn(seed=seed)[0].reshape(-1, 3, 4)
    way = rays(CAMERA)

    found = cast(CAMERA, drawn(seed=seed)[0], behind)

    assert set(np.unique(found.part)) > {-1, 0}
    for number in np.unique(found.part[found.part >= 0]):
        here = found.part == number
        ends = way[here] * found.depth_m[here][:, None]
        deep = inside(SHAPES[number % 4], pose[number], ends)
        assert np.allclose(deep, 0, atol=1e-6)
    assert (found.depth_m[found.part < 0] == 0.083).all()
    assert (found.depth_m[found.part >= 0] < 0.083).all()
    for share in np.linspace(0.05, 0.9999, 250):
        points = way * (found.depth_m * share)[..., None]
        for number, one in enumerate(pose):
            assert inside(SHAPES[number % 4], one, points).max() < 1e-7


@pytest.mark.parametrize("shape", SHAPES[:3])
def test_outward_is_where_a_part_ends_soonest(shape):
    """The slope of the definition of a part, by differences."""
    place, step, here = random(1).uniform(-1, 1, (200, 3)), 1e-7, np.eye(3, 4)
    if shape.radius_m:
        place /= np.linalg.norm(place, axis=1, keepdims=True)
        stretch = [[0, 0, z] for z in (-0.02, shape.end_m)]  # beside it, and at its end
        local = np.concatenate([shape.radius_m * place * [1, 1, k] + stretch[k] for k in (0, 1)])
        local[:200, :2] *= shape.radius_m / np.linalg.norm(local[:200, :2], axis=1)[:, None]
        local = local[(local[:, 2] >= shape.end_m) | (np.arange(400) < 200)]
    else:
        place /= np.linalg.norm(place, axis=1, keepdims=True)
        local = place * shape.half_m + shape.middle_m
    local = local[local[:, 2] >= shape.begin_m]
    slope = [
        (inside(shape, here, local - step * axis) - inside(shape, here, local + step * axis))
        for axis in np.eye(3)
    ]
    slope = np.stack(slope, -1)

    wanted = slope / np.linalg.norm(slope, axis=1, keepdims=True)
    assert len(local) > 50
    assert np.allclose(outward(shape, local), wanted, atol=1e-3)


@pytest.mark.parametrize("seed", range(20))
def test_a_window_holds_every_ray_that_meets_its_ball(seed):
    radius = random(seed).uniform(0.002, 0.06)
    middle = random(seed).uniform([-0.1, -0.1, radius * 1.02], [0.1, 0.1, 0.15])
    way = rays(CAMERA)
    way /= np.linalg.norm(way, axis=-1, keepdims=True)
    along = way @ middle
    meets = (np.sum(middle**2) - along**2 < radius**2) & (along > 0)

    meets[CAMERA.window(middle, radius)] = False

    assert not meets.any()


def test_what_lies_behind_the_camera_is_not_seen():
    pose = drawn()[0]
    pose[:, :, 2, 3] -= 0.5

    found = cast(CAMERA, pose, np.full((36, 48), np.inf))

    assert (found.part == -1).all()


def test_the_class_of_a_pixel_is_that_of_its_part():
    part = np.array([[-1, 0, 1, 2, 3, 4, 5, 10, 11]], np.int8)

    mask = Surface(np.ones(part.shape), part).mask

    assert [CLASSES[k] for k in mask[0]] == [
        "background", "shaft", "wrist", "clasper", "clasper", "shaft", "wrist", "clasper", "clasper"
    ]  # fmt: skip


# -- flow ----------------------------------------------------------------------------------------


def test_flow_is_where_the_point_of_a_rigid_part_goes():
    now, then = drawn(9)[[2, 8]]
    behind = np.full((CAMERA.height, CAMERA.width), 0.09)
    surface = cast(CAMERA, now, behind)
    still = Tissue(1.0, np.zeros(2))

    flow = motion_flow(CAMERA, surface, now, then, (still, still))

    last = np.array([0, 0, 0, 1.0])
    square = [[np.vstack([one, last]) for one in at.reshape(-1, 3, 4)] for at in (now, then)]
    checked = 0
    for row, column in np.argwhere(surface.part >= 0):
        before, after = (at[surface.part[row, column]] for at in square)
        point = np.append(rays(CAMERA)[row, column] * surface.depth_m[row, column], 1)
        x, y, z, _ = after @ np.linalg.inv(before) @ point
        wanted = [48 * x / z + 23.5 - column, 48 * y / z + 17.5 - row]
        assert flow[row, column] == pytest.approx(wanted, abs=1e-4)
        checked += 1
    assert checked > 100
    assert not flow[surface.part < 0].any()


def test_an_instrument_at_rest_does_not_flow_while_the_tissue_does():
    pose = drawn()[0]
    surface = cast(CAMERA, pose, np.full((CAMERA.height, CAMERA.width), 0.09))
    lies = (Tissue(1.0, np.zeros(2)), Tissue(1.0, np.array([1.5, -0.5])))

    flow = motion_flow(CAMERA, surface, pose, pose, lies)

    assert np.abs(flow[surface.part >= 0]).max() < 1e-4
    assert np.allclose(flow[surface.part < 0], [1.5, -0.5])


def warped(image, flow):
    """An image of the next frame, brought back to this one."""
    row, column = np.indices(flow.shape[:2]).astype(np.float32)
    return cv2.remap(image, column + flow[..., 0], row + flow[..., 1], cv2.INTER_LINEAR)


def test_the_tissue_brought_back_by_its_flow_is_the_tissue():
    camera = Camera(96, 128)
    lies = breathing(8, 128, random(4))
    nothing = Surface(np.ones((96, 128)), np.full((96, 128), -1, np.int8))
    pose = drawn()[0]
    texture = ground(camera, 2, random(5))
    (before, depth), (after, depth_after) = (tissue_seen(texture, camera, lies[t]) for t in (0, 7))
    flow = motion_flow(camera, nothing, pose, pose, (lies[0], lies[7]))
    inner = (slice(12, -12), slice(12, -12))

    back = warped(after, flow).astype(float)
    off = np.abs(back - before)[inner].mean()

    assert np.hypot(*np.moveaxis(flow, -1, 0)).mean() > 1
    assert off < 0.35 * np.abs(after.astype(float) - before)[inner].mean()
    assert np.abs(warped(depth_after, flow) - depth)[inner].max() < 3e-5


def moved_depth(now, then, tool, part):
    """Depth that what a pixel shows has in the next frame; nan where it is not of this part."""
    way = rays(Camera(*now.mask.shape))
    points, before, after = (
        way * now.depth_m[..., None],
        now.pose[tool, part],
        then.pose[tool, part],
    )
    of_part = (now.tool == tool + 1) & (np.abs(inside(SHAPES[part], before, points)) < 1e-4)
    local = (points - before[:, 3]) @ before[:, :3]
    return np.where(of_part, (local @ after[:, :3].T + after[:, 3])[..., 2], np.nan)


@pytest.mark.parametrize("seed", range(3))
def test_the_next_frame_brought_back_is_this_one_on_the_instruments(seed):
    options = {"height": 192, "width": 256, "noise": 0.0, "look_alikes": 0, "tools": 2}
    off, still, seen, count = 0.0, 0.0, 0, 0
    for now, then in pairwise(sequence(6, random(seed), **options)):
        inner = cv2.erode((now.mask > 0).astype(np.uint8), np.ones((3, 3))) > 0
        inner &= np.hypot(*np.moveaxis(now.flow, -1, 0)) > 1
        depth = np.stack([moved_depth(now, then, *of) for of in np.ndindex(2, 4)])
        near = np.abs(warped(then.depth_m, now.flow) - depth).min(0, initial=1, where=depth > 0)
        same = inner & (near < 1e-4)  # not turned away, nor covered, nor out of the picture
        count += int(inner.sum())
        seen += int(same.sum())
        here = now.rgb.astype(float)
        off += np.abs(warped(then.rgb, now.flow) - here)[same].sum()
        still += np.abs(then.rgb - here)[same].sum()

    assert count > 2000
    assert seen > 0.9 * count
    assert off < 0.3 * still


# -- one frame, all files ------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_colours_depth_class_and_instrument_have_the_same_edges(seed):
    """Metal is bluish and tissue reddish, so that colours alone tell where the edge is."""
    for frame in sequence(3, random(seed), noise=0.0, look_alikes=0):
        red, blue = frame.rgb[..., 0].astype(int), frame.rgb[..., 2].astype(int)
        metal = frame.mask > 0

        assert ((red < blue) <= metal).all()
        assert ((red > blue) <= ~metal).all()
        assert (red == blue).mean() < 0.05  # wholly white or black
        assert np.array_equal(frame.tool > 0, metal)
        steps = np.abs(np.diff(frame.depth_m, axis=1)) > 0.004
        edges = np.diff(frame.tool.astype(int), axis=1) != 0
        beside = np.diff(frame.mask.astype(int), axis=1) != 0
        assert (steps <= (edges | beside | (metal[:, 1:] & metal[:, :-1]))).all()
        assert steps[edges].mean() > 0.3


def test_all_of_the_instrument_is_in_the_render_if_the_calibration_is_right():
    for seed in range(4):
        for frame in sequence(2, random(seed), miscalibration_px=0.0):
            assert ((frame.mask > 0) <= (frame.render[..., 0] > 0)).all()


def test_a_wrong_calibration_puts_the_render_a_few_pixels_beside():
    overlap = []
    for seed in range(8):
        frame = next(sequence(1, random(seed), miscalibration_px=3.0))
        shown, metal = frame.render[..., 0] > 0, frame.mask > 0
        overlap.append((shown & metal).sum() / (shown | metal).sum())
        reach = cv2.dilate(shown.astype(np.uint8), np.ones((19, 19))) > 0
        assert (metal <= reach).mean() > 0.99

    assert max(overlap) < 0.97


def test_the_tip_that_is_sunk_in_the_tissue_is_in_the_render_alone():
    hidden = 0
    for seed in range(8):
        for frame in sequence(4, random(seed), miscalibration_px=0.0):
            hidden += int(((frame.render[..., 0] > 0) & (frame.mask == 0)).sum())

    assert hidden > 50


def test_the_middle_of_a_shaft_is_lit_more_than_its_sides():
    frame = next(sequence(1, random(1), tools=1, miscalibration_px=0.0))
    shaft = (frame.mask == 1).astype(np.uint8)
    inner = cv2.erode(shaft, np.ones((7, 7))) > 0
    rim = (shaft > 0) & (cv2.erode(shaft, np.ones((3, 3))) == 0)

    assert frame.render[inner].mean() > 1.3 * frame.render[rim].mean()


def test_look_alikes_are_metal_in_colours_alone():
    plain, laid = (
        next(sequence(1, random(2), noise=0.0, look_alikes=count)) for count in (0, 6)
    )  # fmt: skip
    grey = laid.rgb[..., 0].astype(int) < laid.rgb[..., 2]

    assert (grey & (laid.mask == 0)).sum() > 300
    for name in ("mask", "flow", "depth_m", "render"):
        assert np.array_equal(getattr(plain, name), getattr(laid, name))


def test_frames_are_as_declared_and_repeat_by_their_seed():
    one, same, other = (list(sequence(3, random(seed), height=48, width=64)) for seed in (1, 1, 2))

    for frame, again in zip(one, same, strict=True):
        assert frame.rgb.shape == frame.render.shape == (48, 64, 3)
        assert frame.flow.shape == (48, 64, 2)
        assert frame.depth_m.shape == frame.mask.shape == frame.tool.shape == (48, 64)
        assert (frame.flow.dtype, frame.depth_m.dtype) == (np.float32, np.float32)
        assert all(np.array_equal(a, b) for a, b in zip(frame, again, strict=True))
        assert 0.03 < frame.depth_m.min() < frame.depth_m.max() < 0.12
    assert not np.array_equal(one[0].rgb, other[0].rgb)
    large = next(sequence(3, random(1), height=96, width=128))
    assert np.array_equal(large.pose, one[0].pose)


def test_noise_is_of_the_deviation_asked_for():
    clean, noisy = (next(sequence(1, random(3), noise=n)).rgb.astype(float) for n in (0.0, 4.0))
    middle = (clean > 30) & (clean < 225)

    assert (noisy - clean)[middle].std() == pytest.approx(4.0, rel=0.05)


@pytest.mark.parametrize("tools", [0, 4])
def test_there_are_one_to_three_instruments(tools):
    with pytest.raises(ParameterError, match=f"{tools} instruments; expected 1 to 3"):
        next(sequence(1, random(), tools=tools))
