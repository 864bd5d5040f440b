"""Targets: Gaussians with the radius that is meant, mirrors, and what a step is shown."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import DataError, ParameterError
from assay.parts.detection.boxes import Boxes, iou
from assay.systems.surgical_skill.classes import DRIVER, NEEDLE, STATES
from assay.systems.surgical_skill.detector import DetectorConfig, Heads, decode
from assay.systems.surgical_skill.targets import (
    Targets,
    cells,
    gaussian_radius,
    mirrored,
    targets_of,
)
from assay.systems.surgical_skill.train import _batches

SIDES = st.floats(3.0, 200.0)
OVERLAPS = st.floats(0.1, 0.9)


def worst_overlap(w: float, h: float, r: float) -> float:
    """Overlap of a box with the worst of those whose corners are moved by r along both axes."""
    moved = [[r, r, w, h], [r, r, w - 2 * r, h - 2 * r], [-r, -r, w + 2 * r, h + 2 * r]]
    moved += [[0, 0, w - r, h - r], [0, 0, w + r, h + r], [r, -r, w, h]]
    return float(iou(np.array([[0, 0, w, h]]), np.array(moved, float)).min())


@given(SIDES, SIDES, OVERLAPS)
def test_the_radius_keeps_the_overlap_and_one_more_does_not(w, h, overlap):
    radius = int(gaussian_radius(np.array([[w, h]]), overlap)[0])

    assert worst_overlap(w, h, radius) >= overlap - 1e-9
    more = radius + 1 + 1e-6
    assert more > min(w, h) / 2 or worst_overlap(w, h, more) < overlap


def drawn_one_by_one(boxes: Boxes, images: int, height: int, width: int, overlap: float):
    """The heatmap as the code of the paper draws it: one Gaussian patch after another."""
    rows, columns = cells(height, width, 4)
    heat = np.zeros((images, 2, rows, columns), np.float32)
    for image, label, (x, y, w, h) in zip(boxes.image, boxes.label, boxes.xywh / 4, strict=True):
        around = np.array([[math.ceil(w), math.ceil(h)]], float)
        radius = int(gaussian_radius(around, overlap)[0])
        sigma = (2 * radius + 1) / 6
        column, row = int(x + w / 2), int(y + h / 2)
        for dy in range(-radius, radius + 1):
            for dx in range(-radius, radius + 1):
                at = (image, label, row + dy, column + dx)
                if 0 <= row + dy < rows and 0 <= column + dx < columns:
                    value = math.exp(-(dx * dx + dy * dy) / (2 * sigma * sigma))
                    heat[at] = max(heat[at], np.float32(value))
    return heat


def boxes_within(random: np.random.Generator, n: int, images: int, height: int, width: int):
    size = random.uniform(4, 90, (n, 2))
    place = random.uniform(0, 1, (n, 2)) * ([width, height] - size)
    return Boxes.of(
        random.integers(images, size=n), random.integers(2, size=n), np.hstack([place, size]),
        state=random.integers(-1, 2, n),
    )  # fmt: skip


@pytest.mark.parametrize("overlap", [0.3, 0.7])
def test_overlapping_gaussians_are_drawn_as_one_after_another(overlap):
    boxes = boxes_within(np.random.default_rng(3), 40, 3, 100, 150)

    found = targets_of(boxes, 3, 100, 150, min_overlap=overlap)

    wanted = drawn_one_by_one(boxes, 3, 100, 150, overlap)
    assert wanted.shape == (3, 2, 28, 40)
    np.testing.assert_allclose(found.heat, wanted, atol=1e-7)
    assert (found.heat == 1).sum() == len({tuple(c) for c in np.argwhere(wanted == 1)})


def test_an_object_stands_in_the_cell_of_its_centre():
    found = targets_of(Boxes.of([1], [NEEDLE], [[9, 21, 8, 4]], state=[1]), 2, 48, 64)

    assert np.argwhere(found.heat == 1).tolist() == [[1, NEEDLE, 5, 3]]
    assert found.size[1, NEEDLE, :, 5, 3].tolist() == [2.0, 1.0]
    assert found.offset[1, NEEDLE, :, 5, 3].tolist() == [0.25, 0.75]
    assert found.state[1, NEEDLE, 5, 3] == 1
    assert (found.state == -1).sum() == found.state.size - 1
    assert not found.size[0].any()


def test_a_held_needle_and_its_driver_may_share_a_cell():
    both = Boxes.of([0, 0], [DRIVER, NEEDLE], [[10, 10, 20, 20], [16, 16, 8, 8]])

    found = targets_of(both, 1, 48, 64)

    assert found.size[0, DRIVER, 0, 5, 5] == 5.0
    assert found.size[0, NEEDLE, 0, 5, 5] == 2.0


def test_frames_without_objects_have_empty_targets():
    found = targets_of(Boxes.of(), 2, 48, 64, stride=2)

    assert found.heat.shape == (2, 2, 24, 32)
    assert not found.heat.any()


@pytest.mark.parametrize(
    ("image", "label", "xywh", "what"),
    [(0, 0, [60, 0, 10, 10], "centre"), (0, 0, [0, -6, 10, 10], "centre"),
     (2, 0, [0, 0, 10, 10], "frame"), (0, 2, [0, 0, 10, 10], "class")],
)  # fmt: skip
def test_an_object_that_is_nowhere_is_refused(image, label, xywh, what):
    with pytest.raises(DataError, match=rf"^frame {image}: the {what} of an object is out"):
        targets_of(Boxes.of([0, image], [0, label], [[0, 0, 9, 9], xywh]), 2, 48, 64)


@pytest.mark.parametrize("overlap", [0.0, 1.0])
def test_an_overlap_out_of_range_is_refused(overlap):
    with pytest.raises(ParameterError, match="min_overlap"):
        gaussian_radius(np.array([[3.0, 3.0]]), overlap)


def test_in_a_mirror_left_is_right_and_dropped_is_dropped():
    boxes = boxes_within(np.random.default_rng(4), 60, 2, 100, 150)

    seen = mirrored(boxes, 150)

    drivers = (boxes.label == DRIVER) & (boxes.state >= 0)
    assert STATES[DRIVER] == ("left", "right")
    np.testing.assert_array_equal(seen.state[drivers], 1 - boxes.state[drivers])
    np.testing.assert_array_equal(seen.state[~drivers], boxes.state[~drivers])
    np.testing.assert_allclose(seen.xywh[:, 0] + seen.xywh[:, 2], 150 - boxes.xywh[:, 0])
    np.testing.assert_array_equal(seen.xywh[:, 1:], boxes.xywh[:, 1:])
    twice = mirrored(seen, 150)
    np.testing.assert_allclose(twice.xywh, boxes.xywh)
    np.testing.assert_array_equal(twice.state, boxes.state)


# -- what a step of training is shown -----------------------------------------------------------


def wanted_itself(wanted: Targets) -> Heads:
    """A network that says just what is wanted."""
    heat, size, offset = (torch.from_numpy(t) for t in wanted[:3])
    state = torch.nn.functional.one_hot(torch.from_numpy(wanted.state).clamp(min=0), 2)
    return Heads(heat.logit(), size, offset, state.movedim(-1, 2).float())


@pytest.mark.parametrize(("augment", "patch"), [(True, 0), (False, 40), (True, 40)])
def test_boxes_move_with_what_is_in_them(augment, patch):
    """White drivers, yellow on the side that their state names, found again by their pixels."""
    random, count = np.random.default_rng(6), 12
    frames, rows = np.zeros((count, 60, 90, 3), np.uint8), []
    for image in range(count):
        x, y, state = random.integers(10, 60), random.integers(10, 40), int(random.integers(2))
        part = frames[image, y : y + 12, x : x + 16]
        part[:] = 255
        part[:, slice(8) if state == 0 else slice(8, None), 2] = 0
        rows.append((image, DRIVER, [x, y, 16, 12], state))
    images, labels, xywh, states = zip(*rows, strict=True)
    truth, config = Boxes.of(images, labels, xywh, state=states), DetectorConfig()
    batches = _batches(frames, truth, np.arange(count), config, 0.7, 4, augment, patch, 3)
    height, width = (patch, patch) if patch else (60, 90)
    seen = []

    for step in range(30):
        ((shown, wanted),) = batches(step)
        again = batches(step)[0]
        assert torch.equal(shown, again.frames)
        assert all(np.array_equal(a, b) for a, b in zip(wanted, again.targets, strict=True))
        boxes = decode(wanted_itself(wanted), config, height, width).boxes(score_at_least=0.99)
        for image, box, state in zip(boxes.image, boxes.xywh, boxes.state, strict=True):
            y, x = np.nonzero(shown[image, :, :, 0].numpy() > 128)
            start, end = [x.min(), y.min()], [x.max() + 1, y.max() + 1]
            assert np.abs(box[:2] - start).max() < 1.01
            assert np.abs(box[:2] + box[2:] - end).max() < 1.01
            if (box[:2] > 1).all() and (box[:2] + box[2:] < [width - 1, height - 1]).all():
                yellow = np.nonzero((shown[image, :, :, 2] < 128) & (shown[image, :, :, 0] > 128))
                assert (yellow[:, 1].float().mean() > box[0] + box[2] / 2) == bool(state)
                seen.append((state, round(box[2], 1)))

    assert {state for state, _ in seen} == {0, 1}
    assert len(set(seen)) > 2 if augment else {wide for _, wide in seen} == {16.0}
