"""Frames and labels: boxes are those of the pixels seen, and equal seeds give equal bytes."""

import cv2
import numpy as np
import pytest

from assay.systems.surgical_skill.classes import DRIVER, NEEDLE
from assay.systems.surgical_skill.drawing import pictures
from assay.systems.surgical_skill.events import (
    DROPS,
    ECONOMY,
    OUT_OF_VIEW,
    drops,
    economy_of_motion,
    is_dropped,
    out_of_view,
)
from assay.systems.surgical_skill.kinematics import VARIANTS, episode
from assay.systems.surgical_skill.scene import SHIFT, _fixed, scene
from assay.systems.surgical_skill.simulate import simulate_case
from assay.systems.surgical_skill.styles import STYLES
from assay.systems.surgical_skill.visibility import identities, seen

SMALL = (160, 90)


@pytest.fixture(scope="module")
def cases():
    """Nine cases of 12 s, all tasks, low and high skill: labels only."""
    return [
        simulate_case(n, 1, n / 9, seconds=12.0, size=SMALL, seed=2, variant=VARIANTS[n % 3])
        for n in range(9)
    ]


def test_boxes_are_those_of_the_pixels_seen():
    motion = episode(0.2, 4.0, np.random.default_rng(6), variant="needle drive")
    laid = scene(motion, 320)
    found = seen(laid, motion, 180)
    for frame, buffer in enumerate(identities(laid, motion, 180)):
        for number in range(3):
            rows, columns = np.nonzero(buffer == number + 1)
            expected = [0, 0, 0, 0]
            if len(rows):
                x, y = columns.min(), rows.min()
                expected = [x, y, columns.max() + 1 - x, rows.max() + 1 - y]
            assert found.xywh[frame, number].tolist() == expected


def test_shares_are_of_what_nothing_hides():
    motion = episode(0.5, 1.0, np.random.default_rng(8), variant="hand-over")
    motion.tips[:, 0, 0] = np.linspace(0.2, -0.1, len(motion))  # the left driver leaves the image
    laid = scene(motion, 160)
    found = seen(laid, motion, 90)
    partly = 0
    for frame, buffer in enumerate(identities(laid, motion, 90)):
        sheet = np.zeros((480, 480), np.uint8)  # so large that nothing is outside of it
        cv2.fillPoly(sheet, [laid.clevis[0][frame] + (160 << SHIFT)], 1, cv2.LINE_8, SHIFT)
        share = (buffer == 1).sum() / sheet.sum()
        assert found.share[frame, 0] == pytest.approx(share)
        partly += 0.1 < share < 0.9
    assert partly >= 3
    assert found.share[0, 0] > 0.9
    assert found.share[-1, 0] == 0


def test_the_left_edge_lies_half_a_pixel_before_the_middle_of_the_first():
    corners = _fixed(np.array([[0j, 1 + 0.5625j]]), 320)[0] / (1 << SHIFT)
    assert corners.tolist() == [[-0.5, -0.5], [319.5, 179.5]]


def test_what_leaves_the_image_is_not_boxed():
    motion = episode(0.5, 1.0, np.random.default_rng(1), variant="hand-over")
    motion.tips[:, 0, 0] = -0.3
    found = seen(scene(motion, 160), motion, 90)
    assert (found.share[:, 0] == 0).all()
    assert (found.xywh[:, 0] == 0).all()


def test_counts_are_those_of_the_truth(cases):
    for case in cases:
        motion = case.motion
        assert case.metrics == {
            DROPS: drops(motion.held, motion.resting),
            OUT_OF_VIEW: out_of_view(case.visible_share),
            ECONOMY: economy_of_motion(motion.tips),
        }
    assert sum(case.metrics[DROPS] for case in cases) > 0


def test_counts_can_be_recounted_from_boxes_alone(cases):
    for case in cases:
        boxes = case.boxes
        state = boxes.state[boxes.label == NEEDLE]
        assert ((state[:-1] == 0) & (state[1:] == 1)).sum() == case.metrics[DROPS]
        present = np.zeros((case.frames, 2))
        drivers = boxes.take(boxes.label == DRIVER)
        present[drivers.image, drivers.state] = 1
        assert out_of_view(present) == case.metrics[OUT_OF_VIEW]


def test_states_of_the_needle_are_those_of_the_truth(cases):
    for case in cases:
        needle = case.boxes.take(case.boxes.label == NEEDLE)
        lies = is_dropped(case.motion.held, case.motion.resting)
        assert (needle.state == lies[needle.image]).all()


def test_boxes_lie_in_the_image(cases):
    for case in cases:
        x, y, w, h = case.boxes.xywh.T
        assert min(x.min(), y.min()) >= 0
        assert (x + w).max() <= SMALL[0]
        assert (y + h).max() <= SMALL[1]


def test_equal_seeds_give_equal_frames_and_labels():
    def filmed(seed):
        frames = []
        case = simulate_case(4, 1, 0.4, seconds=1.0, size=SMALL, seed=seed,
                             show=lambda frame: frames.append(frame.tobytes()))  # fmt: skip
        return frames, [column.tobytes() for column in vars(case.boxes).values()], case.metrics

    assert filmed(7) == filmed(7)
    assert filmed(7)[0] != filmed(8)[0]
    assert filmed(7)[1] != filmed(8)[1]


def test_labels_know_nothing_of_the_look():
    plain = simulate_case(4, 1, 0.4, seconds=1.0, size=SMALL, seed=7)
    frames = []
    other = simulate_case(4, 1, 0.4, seconds=1.0, size=SMALL, seed=7, style=STYLES["v2"],
                          show=lambda frame: frames.append(frame.copy()))  # fmt: skip
    assert len(frames) == plain.frames == 30
    assert all(frame.shape == (90, 160, 3) for frame in frames)
    assert all(np.array_equal(c, vars(other.boxes)[n]) for n, c in vars(plain.boxes).items())


def test_looks_differ():
    motion = episode(0.5, 0.1, np.random.default_rng(1))
    laid = scene(motion, 160)
    means = [
        next(pictures(laid, motion, style, 90, np.random.default_rng(0))).mean()
        for style in STYLES.values()
    ]
    assert abs(means[0] - means[1]) > 2


def test_metal_is_where_the_clevis_is_said_to_be():
    """Colours and identities follow the same outlines: a clevis is grey, tissue is red."""
    motion = episode(0.5, 3.0, np.random.default_rng(5), variant="hand-over")
    laid = scene(motion, 320)
    masks = [mask.copy() for mask in identities(laid, motion, 180)]
    frames = pictures(laid, motion, STYLES["v1"], 180, np.random.default_rng(0))
    for mask, frame in list(zip(masks, (f.copy() for f in frames), strict=True))[5::20]:
        redness = frame[..., 0].astype(int) - frame[..., 2]
        clevis = cv2.erode((mask == 1).astype(np.uint8), np.ones((3, 3))) > 0
        assert redness[clevis].mean() < 30 < redness[mask == 0].mean()


def test_sizes_that_are_not_16_to_9_are_refused():
    with pytest.raises(ValueError, match="16 to 9"):
        simulate_case(1, 1, 0.5, seconds=1.0, size=(200, 200), seed=0)
