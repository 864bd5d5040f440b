"""Components: a simulated data set in the real layout, the user's own, and folds of surgeons."""

import csv
import math

import numpy as np
import pytest

from assay.errors import DataError, ParameterError
from assay.systems.surgical_skill.data import simulated_surgery, surgery
from assay.systems.surgical_skill.events import METRICS
from assay.systems.surgical_skill.layout import read_dataset
from assay.systems.surgical_skill.video import read_frames

TINY = {"train_cases": 4, "shifted_cases": 2, "test_cases": 2, "seconds": 1.0, "width": 96,
        "height": 54, "seed": 3}  # fmt: skip


@pytest.fixture(scope="module")
def made(step):
    return step("made", simulated_surgery, **TINY)


def test_the_tree_is_that_of_the_real_data(made):
    assert "SYNTHETIC" in (made / "README.txt").read_text()
    assert (made / "train_v1/videos/fps1/caseid_000001_fps1.mp4").is_file()
    assert (made / "train_v1/videos/fps30/caseid_000001.mp4").is_file()
    assert (made / "train_v1/annotations/bounding_box_gt/caseid_000001_fps1.json").is_file()
    assert (made / "train_v1/annotations/skill_metric_gt.csv").is_file()
    splits = {split: read_dataset(made, split) for split in ("train_v1", "train_v2", "test")}
    assert [len(data.cases) for data in splits.values()] == [4, 2, 2]
    assert splits["train_v1"].cases[0].size == (96, 54)
    assert splits["train_v2"].cases[0].size == (64, 36)
    assert [c.video_30fps is not None for c in splits["train_v2"].cases] == [True, False]
    assert not {c.surgeon for c in splits["train_v1"].cases} & {
        c.surgeon for c in splits["test"].cases
    }
    for data in splits.values():
        for case in data.cases:
            assert case.frames == 1
            assert len(read_frames(case.video_1fps)) == 1
            if case.video_30fps:
                assert len(read_frames(case.video_30fps)) == 30


def test_a_simulated_set_passes_the_check_of_the_users_own(made):
    assert surgery(path=made) == made


def test_equal_seeds_give_equal_files(made, step):
    again = step("again", simulated_surgery, **TINY)
    few = {"train_cases": 1, "shifted_cases": 0, "test_cases": 0, "seed": 4}
    other = step("other", simulated_surgery, **TINY | few)
    files = sorted(p.relative_to(made) for p in made.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(again) for p in again.rglob("*") if p.is_file())
    assert all((made / file).read_bytes() == (again / file).read_bytes() for file in files)
    video = "train_v1/videos/fps30/caseid_000001.mp4"
    assert (made / video).read_bytes() != (other / video).read_bytes()


def test_a_step_that_was_killed_goes_on(made, step, tmp_path):
    """What is done is not done again: a video that is marked as done is left as it is."""
    args = TINY | {"shifted_cases": 0}
    first = step("killed", simulated_surgery, **args)
    video = first / "train_v1/videos/fps30/caseid_000001.mp4"
    lost = first / "train_v1/videos/fps30/caseid_000002.mp4"
    whole = lost.read_bytes()
    video.write_bytes(b"kept")
    lost.unlink()
    (first.parent / "done" / "2.json").unlink()
    step("killed", simulated_surgery, **args)
    assert video.read_bytes() == b"kept"
    assert lost.read_bytes() == whole


def test_surgeons_and_skills_are_told(made):
    rows = list(csv.DictReader((made / "surgeons.csv").read_text().splitlines()))
    assert len(rows) == 8
    assert all(0 <= float(row["skill"]) <= 1 for row in rows)
    skills = {}
    for row in rows:
        assert skills.setdefault(row["surgeon"], row["skill"]) == row["skill"]


def test_a_tenth_of_the_metrics_is_missing_and_two_are_left():
    from assay.systems.surgical_skill.data import _with_gaps

    told = {case: dict.fromkeys(METRICS, 1.0) for case in range(2000)}
    with_gaps = _with_gaps(told, 0.1, np.random.default_rng(0))
    missing = np.array([[math.isnan(v) for v in row.values()] for row in with_gaps.values()])
    assert missing.mean() == pytest.approx(0.1, abs=0.015)
    assert missing.sum(axis=1).max() == 1


def test_surgeons_have_three_to_six_cases_and_skills_of_all_kinds():
    from assay.systems.surgical_skill.data import _plans

    plans = _plans({"train_v1": 300, "test": 60}, np.random.default_rng(0))
    owners = np.array([plan.surgeon for plan in plans if plan.split == "train_v1"])
    counts = np.bincount(owners)[1:]
    assert sorted(set(counts[:-1])) == [3, 4, 5, 6]
    skills = np.array([plan.skill for plan in plans])
    assert skills.min() < 0.1
    assert skills.max() > 0.9
    assert len({plan.case for plan in plans}) == 360


def test_files_that_are_broken_on_request_are_refused(step):
    broken = step("broken", simulated_surgery, **TINY | {"broken_files": 4, "test_cases": 0})
    names = [line.partition(":")[0] for line in (broken / "README.txt").read_text().splitlines()
             if line.startswith("train_v1/")]  # fmt: skip
    assert len(names) == 4
    refused = 0
    for name in names:
        path = broken / name
        with pytest.raises(DataError, match=path.name):
            read_frames(path) if path.suffix == ".mp4" else read_dataset(broken, "train_v1")
        if path.suffix == ".json":
            path.unlink()
        refused += 1
    assert refused == 4


@pytest.mark.parametrize(
    "wrong", [{"width": 100}, {"height": 60}, {"broken_files": 4, "train_cases": 3}]
)
def test_what_cannot_be_made_is_refused(wrong):
    with pytest.raises(ParameterError):
        simulated_surgery(**TINY | wrong)


def test_a_folder_without_splits_is_refused(tmp_path):
    with pytest.raises(DataError, match="no split"):
        surgery(path=tmp_path)
