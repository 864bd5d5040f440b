"""Full videos: what is looked at, and what is known of every frame where it is simulated."""

import shutil

import numpy as np
import pytest

from assay.errors import DataError
from assay.parts.detection.boxes import iou
from assay.systems.surgical_skill import watching
from assay.systems.surgical_skill.clips import labelled_frames
from assay.systems.surgical_skill.data import simulated_surgery
from assay.systems.surgical_skill.evaluate import detect, promised
from assay.systems.surgical_skill.events import METRICS
from assay.systems.surgical_skill.layout import read_dataset
from assay.systems.surgical_skill.operations import COUNTS, count, count_measures
from assay.systems.surgical_skill.train import train_detector
from assay.systems.surgical_skill.video import read_frames, stream_frames, video_rate
from assay.systems.surgical_skill.watching import known, watched


@pytest.fixture(scope="module")
def surgery():
    return simulated_surgery(train_cases=13, test_cases=2, seconds=4.0, missing_share=0.0, seed=5)


@pytest.fixture(scope="module")
def clips(surgery):
    return labelled_frames(surgery, split="train_v1")


@pytest.fixture(scope="module")
def detector(clips):
    return train_detector(clips.frames, clips.truth, steps=2, batch=4, width=8, seed=1).model


def test_a_video_is_streamed_as_it_is_read(surgery):
    video = read_dataset(surgery, "test").cases[0].video_30fps
    pieces = list(stream_frames(video, 4, size=(64, 36), piece=7))

    assert video_rate(video) == 30
    assert [len(piece) for piece in pieces] == [7, 7, 7, 7, 2]  # 30 of 120 frames
    assert np.array_equal(np.concatenate(pieces), read_frames(video, 4, size=(64, 36)))


def test_what_is_known_of_every_frame_is_what_the_labels_say_of_some(surgery):
    told = known(surgery, split="train_v1", fps=30)
    for one, case in zip(told, read_dataset(surgery, "train_v1").cases, strict=True):
        assert (one.case, one.surgeon, one.frames, one.fps) == (case.case, case.surgeon, 120, 30)
        assert one.truth == case.metrics
        assert one.known
        labelled = one.boxes.take(one.boxes.image % 30 == 0)
        assert np.array_equal(labelled.image // 30, case.boxes.image)
        np.testing.assert_allclose(labelled.xywh, case.boxes.xywh, atol=1)


def test_fewer_frames_a_second_are_every_so_manieth(surgery):
    (every, _), (some, _) = (known(surgery, fps=fps) for fps in (30, 10))
    assert (some.frames, some.fps) == (40, 10)
    kept = every.boxes.take(every.boxes.image % 3 == 0)
    assert np.array_equal(some.boxes.image, kept.image // 3)
    assert np.array_equal(some.boxes.xywh, kept.xywh)


def test_rules_on_what_is_known_count_what_was(surgery):
    operations = known(surgery, split="train_v1", fps=30)
    counted = count([operations], operations, counter="rules", fps=30, seed=1)
    assert np.array_equal(counted.given[:, : len(COUNTS)], counted.truth[:, : len(COUNTS)])
    assert np.isnan(counted.skill).all()
    assert not any(row["measure"] == "skill_spearman" for row in count_measures(counted))


def test_only_the_cases_asked_for_are_told(surgery):
    first = read_dataset(surgery, "train_v1").cases[0].case
    assert [one.case for one in known(surgery, np.array([first]), split="train_v1")] == [first]


def test_a_video_gives_the_boxes_of_its_frames(surgery, detector):
    (one, *_) = watched([detector], surgery, fps=2, width=160, height=90, score_at_least=0.0)
    video = read_dataset(surgery, "test").cases[0].video_30fps
    frames = read_frames(video, 15, size=(160, 90))
    wanted = detect([detector], frames, score_at_least=0.0)

    assert (one.frames, one.fps, one.width, one.known) == (8, 2, 160, False)
    assert len(one.boxes) == len(wanted) > 0
    assert np.array_equal(one.boxes.image, wanted.image)
    np.testing.assert_allclose(one.boxes.xywh, wanted.xywh, atol=1e-3)


def test_pieces_do_not_change_what_is_found(surgery, detector, monkeypatch):
    whole = watched([detector], surgery, fps=3, score_at_least=0.0)
    monkeypatch.setattr(watching, "PIECE", 4)
    pieces = watched([detector], surgery, fps=3, score_at_least=0.0)
    for one, other in zip(whole, pieces, strict=True):
        assert np.array_equal(one.boxes.image, other.boxes.image)
        np.testing.assert_allclose(one.boxes.xywh, other.boxes.xywh, atol=1e-3)


def test_some_frames_are_looked_at_under_their_own_numbers(clips, detector):
    chosen = np.array([7, 2])
    some = detect([detector], clips.frames, chosen, score_at_least=0.0)
    every = detect([detector], clips.frames, score_at_least=0.0)
    assert set(some.image.tolist()) == {2, 7}
    for row in chosen.tolist():
        one, other = (boxes.take(boxes.image == row) for boxes in (some, every))
        assert (iou(one.xywh, other.xywh).max(axis=1) > 0.99).all()


def test_a_part_of_the_detectors_is_used(clips, detector):
    alone = detect([detector], clips.frames[:3], score_at_least=0.0)
    first = detect([detector, detector.parent / "none"], clips.frames[:3], most=1,
                   score_at_least=0.0)  # fmt: skip
    assert np.array_equal(alone.xywh, first.xywh)


def test_what_was_promised_is_set_beside_what_was_kept(clips):
    truth, half = clips.truth, clips.truth.image < 20
    held = [truth.take(half), truth.take(~half)]
    kept = truth.take(truth.image % 2 == 0)
    rows = {r["measure"]: r["value"] for r in promised(clips, held, clips, kept)}
    assert rows["out_of_fold_ap"] == 1.0
    assert 0 < rows["ap"] < 1
    assert rows["optimism"] == 1.0 - rows["ap"]


def test_real_recordings_know_no_frame_in_between(surgery, tmp_path):
    shutil.copytree(surgery / "test", tmp_path / "test")
    with pytest.raises(DataError, match="what is in every frame is not known"):
        known(tmp_path)


@pytest.mark.parametrize("fps", [7, 60])
def test_frames_that_do_not_divide_are_refused(surgery, fps):
    with pytest.raises(DataError, match=f"{fps} of 30 frames a second; expected a divisor"):
        known(surgery, fps=fps)


def test_cases_without_a_full_video_are_refused(surgery):
    with pytest.raises(DataError, match="no case with a 30 fps video"):
        known(surgery, np.array([99]))


@pytest.mark.parametrize("counter", ["chosen rules", "best rules", "learned", "temporal"])
def test_every_counter_counts_in_boxes_of_several_folds_and_repeats(surgery, counter):
    seen = known(surgery, split="train_v1")
    unseen = known(surgery)
    folds = [seen[:5], seen[5:]]
    one, two = (
        count(folds, unseen, counter=counter, fps=10, net_steps=3, seed=1) for _ in range(2)
    )
    assert one.given.shape == (2, len(METRICS))
    assert (one.given >= 0).all()
    assert np.array_equal(one.given, two.given)


def test_rules_are_chosen_where_a_detector_takes_the_needle_for_dropped_for_a_moment(surgery):
    operations = []
    for one in known(surgery, split="train_v1"):
        needle = (one.boxes.label == 1) & (one.boxes.image % 10 == 5)
        one.boxes.state[needle] = 1 - one.boxes.state[needle]
        operations.append(one)
    counts = {
        counter: count([tuple(operations)], tuple(operations), counter=counter, fps=10, seed=1)
        for counter in ("rules", "best rules", "chosen rules")
    }
    off = {name: np.abs(of.given[:, 0] - of.truth[:, 0]).mean() for name, of in counts.items()}
    assert off["rules"] > 2
    assert off["best rules"] < 0.5
    assert off["chosen rules"] == off["best rules"]
