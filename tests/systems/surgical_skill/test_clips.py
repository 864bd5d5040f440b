"""Frames with their objects, and how well objects are found, on a small simulated set."""

import numpy as np
import pytest

from assay.errors import DataError
from assay.parts.detection.boxes import Boxes
from assay.systems.surgical_skill.classes import DRIVER, NEEDLE
from assay.systems.surgical_skill.clips import Clips, labelled_frames
from assay.systems.surgical_skill.data import simulated_surgery
from assay.systems.surgical_skill.evaluate import localised
from assay.systems.surgical_skill.figures import frames_with_boxes, worst_frames
from assay.systems.surgical_skill.layout import read_dataset


@pytest.fixture(scope="module")
def surgery():
    return simulated_surgery(train_cases=3, test_cases=1, seconds=3.0, seed=5)


@pytest.fixture(scope="module")
def clips(surgery):
    return labelled_frames(surgery, split="train_v1")


def measured(clips, found):
    rows = localised(clips, found)
    return {r["measure"]: r["value"] for r in rows if r["measure"] != "objects"}


def test_every_listed_frame_is_there_with_its_objects(surgery, clips):
    cases = read_dataset(surgery, "train_v1").cases
    assert clips.frames.shape == (9, 180, 320, 3)
    assert clips.frames.dtype == np.uint8
    assert clips.case.tolist() == [c.case for c in cases for _ in range(3)]
    assert clips.surgeon.tolist() == [c.surgeon for c in cases for _ in range(3)]
    assert len(clips.truth) == sum(len(c.boxes) for c in cases)
    second = clips.truth.take((clips.truth.image >= 3) & (clips.truth.image < 6))
    assert np.array_equal(second.xywh, cases[1].boxes.xywh)
    assert np.array_equal(second.image - 3, cases[1].boxes.image)


def test_frames_are_scaled_with_their_boxes(surgery, clips):
    small = labelled_frames(surgery, split="train_v1", width=160, height=90)
    assert small.frames.shape == (9, 90, 160, 3)
    np.testing.assert_allclose(small.truth.xywh, clips.truth.xywh / 2)
    means = small.frames.mean(axis=(1, 2, 3)), clips.frames.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(*means, atol=3)


def test_of_many_frames_some_are_taken_evenly(surgery, clips):
    some = labelled_frames(surgery, split="train_v1", most=2)
    assert len(some.frames) == 6
    assert np.array_equal(some.frames[1], clips.frames[2])
    last = clips.truth.take(clips.truth.image == 2)
    assert np.array_equal(some.truth.take(some.truth.image == 1).xywh, last.xywh)


def test_a_split_without_videos_is_refused(surgery, tmp_path):
    (tmp_path / "train_v1" / "videos").mkdir(parents=True)
    with pytest.raises(DataError):
        labelled_frames(tmp_path, split="train_v1")


def test_what_is_there_scores_one(clips):
    found = measured(clips, clips.truth)
    assert found["ap"] == found["ap50_driver"] == found["ap50_needle"] == 1.0
    assert found["ap_per_video"] == found["state_right"] == found["recall"] == 1.0
    assert found["ap50_gap"] == 0.0


def test_nothing_found_scores_nought(clips):
    found = measured(clips, Boxes.of())
    assert found["ap"] == found["ap_per_video"] == found["recall"] == 0.0
    assert np.isnan(found["state_right"])


def test_states_count_where_a_box_is_right_and_sure():
    truth = Boxes.of([0, 0], [DRIVER, NEEDLE], [[0, 0, 10, 10], [20, 0, 10, 10]], state=[1, 0])
    clips = Clips(np.zeros((1, 18, 32, 3), np.uint8), truth, np.array([7]), np.array([1]))
    wrong = Boxes.of([0, 0], [DRIVER, NEEDLE], truth.xywh, [0.9, 0.9], [0, 0])
    assert measured(clips, wrong)["state_right"] == 0.5
    unsure = Boxes.of([0, 0], [DRIVER, NEEDLE], truth.xywh, [0.2, 0.9], [0, 0])
    assert measured(clips, unsure)["state_right"] == 1.0


def test_what_was_missed_is_counted_and_drawn(clips):
    kept = clips.truth.take(clips.truth.image != 4)
    assert worst_frames(clips, kept, 3)[0] == 4
    drawing = frames_with_boxes(clips, kept, [0, 4, 8])
    boxes = [len(axes.patches) for axes in drawing.axes]
    there = [(clips.truth.image == n).sum() for n in (0, 4, 8)]
    assert boxes == [2 * there[0], there[1], 2 * there[2]]
