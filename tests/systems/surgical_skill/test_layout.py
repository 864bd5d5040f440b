"""The real layout is read, whatever its spelling, or refused by the name of what is wrong."""

import json
import math
import shutil

import numpy as np
import pytest

from assay.errors import DataError, UsageError
from assay.parts.detection.boxes import Boxes
from assay.systems.surgical_skill.annotations import read_boxes, write_boxes
from assay.systems.surgical_skill.events import DROPS, ECONOMY, OUT_OF_VIEW
from assay.systems.surgical_skill.layout import filming_case, read_dataset, write_case
from assay.systems.surgical_skill.simulate import simulate_case
from assay.systems.surgical_skill.tables import write_metrics, write_surgeons
from assay.systems.surgical_skill.video import read_frames, write_video


def entry(frame, what="needle driver", coordinate='{"h":63,"w":55,"x":600,"y":345}', **more):
    """One object as the data set's files have it."""
    return {
        "obj_class": what, "label_type": "box", "coordinate": coordinate, "orientation": "left",
        "frame_id": float(frame), "objects": True, "case_id": 1, "fps": 1,
    } | more  # fmt: skip


def nothing(frame):
    return entry(frame, None, None, orientation=None, objects=False)


def put(path, *entries):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({str(n): e for n, e in enumerate(entries)}))
    return path


def film(path, size=(64, 36), count=3):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, [np.zeros((size[1], size[0], 3), np.uint8)] * count, 1)


@pytest.fixture
def real(template, tmp_path):
    """A copy of the tree to change."""
    return shutil.copytree(template, tmp_path / "real")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A small image of the real tree: two spellings, a missing video, gaps in the table."""
    root = tmp_path_factory.mktemp("real")
    v1, v2 = root / "train_v1", root / "train_v2"
    film(v1 / "videos/fps1/caseid_000001_fps1.mp4", (1280, 720))
    film(v1 / "videos/fps30/caseid_000001.mp4", (1280, 720))
    film(v1 / "videos/fps1/caseid_000002_fp1.mp4", (1280, 720))
    film(v1 / "videos/fps30/caseid_000002.mp4", (1280, 720))
    boxes = v1 / "annotations/bounding_box_gt"
    put(
        boxes / "caseid_000001_fps1.json",
        entry(1),
        entry(1, "needle", '{"h": 20, "w": 30, "x": 10.5, "y": 0}', orientation="dropped"),
        nothing(2),
        entry(3, orientation="upside down"),
        entry(3, coordinate={"h": 30, "w": 100, "x": 1250, "y": -10}, orientation="right"),
    )
    put(
        boxes / "caseid_000002_fp1.json", entry(0), nothing(1), entry(2, "needle", orientation=None)
    )
    (v1 / "annotations/skill_metric_gt.csv").write_text(
        "case_id,needle_drop_counts,instrument_out_of_view_counts,Economy of Motion\n"
        "1,2,NA,3.25\ncaseid_000002,0,4,\n"
    )
    film(v2 / "videos/fps1/caseid_000001_fps1.mp4", (640, 360))
    put(v2 / "annotations/bounding_box_gt/caseid_000001_fps1.json", nothing(0))
    return root


def test_the_real_layout(real):
    data = read_dataset(real, "train_v1")
    one, two = data.cases
    assert (one.case, two.case, one.surgeon) == (1, 2, None)
    assert one.size == (1280, 720)
    assert one.video_1fps.name == "caseid_000001_fps1.mp4"
    assert two.video_1fps.name == "caseid_000002_fp1.mp4"
    assert one.video_30fps.name == "caseid_000001.mp4"
    assert (one.frames, one.listed.tolist()) == (3, [0, 1, 2])
    assert one.boxes.image.tolist() == [0, 0, 2, 2]
    assert one.boxes.label.tolist() == [0, 1, 0, 0]
    assert one.boxes.state.tolist() == [0, 1, -1, 1]
    assert one.boxes.xywh.tolist() == [
        [600, 345, 55, 63], [10.5, 0, 30, 20], [600, 345, 55, 63], [1250, 0, 30, 20]
    ]  # fmt: skip
    assert one.orientations == ("", "", "upside down", "")
    assert two.listed.tolist() == [0, 1, 2]
    assert two.boxes.image.tolist() == [0, 2]
    assert two.boxes.state.tolist() == [0, -1]
    assert "frames are counted from 1" in one.notes
    assert "1 boxes clipped to the image" in one.notes
    assert "frames are counted from 0" in two.notes


def test_metrics_of_the_real_layout(real):
    one, two = read_dataset(real, "train_v1").cases
    assert (one.metrics[DROPS], one.metrics[ECONOMY]) == (2, 3.25)
    assert math.isnan(one.metrics[OUT_OF_VIEW])
    assert (two.metrics[DROPS], two.metrics[OUT_OF_VIEW]) == (0, 4)
    assert math.isnan(two.metrics[ECONOMY])


def test_missing_videos_and_tables_are_told(real):
    data = read_dataset(real, "train_v2")
    assert data.cases[0].video_30fps is None
    assert data.cases[0].size == (640, 360)
    assert data.cases[0].frames == 1
    assert all(map(math.isnan, data.cases[0].metrics.values()))
    assert data.notes == ("no table of metrics (annotations/**/skill*.csv)",
                          "1 of 1 cases have no 30 fps video")  # fmt: skip


def test_a_case_without_labels_is_kept(real):
    (real / "train_v1/annotations/bounding_box_gt/caseid_000002_fp1.json").unlink()
    two = read_dataset(real, "train_v1").cases[1]
    assert (len(two.boxes), two.frames) == (0, 0)
    assert "no file of boxes" in two.notes


def test_a_damaged_video_does_not_hide_labels(real):
    path = real / "train_v1/videos/fps1/caseid_000001_fps1.mp4"
    path.write_bytes(path.read_bytes()[:200])
    one = read_dataset(real, "train_v1").cases[0]
    assert one.size == (1280, 720)  # of the other video
    assert any(str(path) in note for note in one.notes)


def test_the_table_may_be_deeper_down(real):
    table = real / "train_v1/annotations/skill_metric_gt.csv"
    (table.parent / "skills").mkdir()
    table.rename(table.parent / "skills" / "skill_metrics.csv")
    assert read_dataset(real, "train_v1").cases[0].metrics[DROPS] == 2


@pytest.mark.parametrize(("base", "frames"), [(0, [1, 3]), (1, [0, 2]), (None, [0, 2])])
def test_the_number_of_the_first_frame(tmp_path, base, frames):
    path = put(tmp_path / "a.json", entry(1), entry(3))
    assert read_boxes(path, frame_base=base).boxes.image.tolist() == frames


@pytest.mark.parametrize("said", [False, "false", "False"])
def test_a_negative_frame_has_no_box_whatever_its_coordinate(tmp_path, said):
    told = read_boxes(put(tmp_path / "a.json", entry(0), entry(1, objects=said)))
    assert told.boxes.image.tolist() == [0]
    assert told.listed.tolist() == [0, 1]


def test_frames_need_not_come_in_order(tmp_path):
    path = put(tmp_path / "a.json", entry(2, "needle"), nothing(1), entry(0))
    told = read_boxes(path)
    assert told.boxes.image.tolist() == [0, 2]
    assert told.listed.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (entry(0, coordinate='{"h":0,"w":55,"x":600,"y":345}'), "a box of 55 x 0"),
        (entry(0, coordinate='{"h":5,"w":-55,"x":600,"y":345}'), "a box of -55 x 5"),
        (entry(0, coordinate='{"h":5,"w":55,"x":600'), "coordinate is"),
        (entry(0, coordinate='{"h":5,"w":55,"x":NaN,"y":1}'), "coordinate is"),
        (entry(0, coordinate='{"h":5,"w":55,"x":1e999,"y":1}'), "coordinate is"),
        (entry(0, coordinate="[1, 2, 3, 4]"), "coordinate is"),
        (entry(0, coordinate={"h": 5, "w": 55}), "coordinate is"),
        (entry(0, coordinate={"h": 5, "w": 5, "x": 1280, "y": 0}), "outside of the image"),
        (entry(0, coordinate={"h": 5, "w": 5, "x": -5, "y": 0}), "outside of the image"),
        (entry(0, "thread"), "obj_class is 'thread'; expected needle driver or needle"),
        (entry(0.5), "frame_id is 0.5"),
        (entry(-1), "frame_id is -1"),
        (entry(0, frame_id=None), "frame_id is None"),
        ([1, 2], "not a mapping"),
    ],
)
def test_an_entry_that_is_refused_is_named(tmp_path, broken, said):
    path = put(tmp_path / "a.json", nothing(0), broken)
    with pytest.raises(DataError) as error:
        read_boxes(path, (1280, 720))
    assert str(error.value).startswith(f"{path}: 1: ")
    assert said in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"0": 3}', "[" * 100_000, "\xff"])
def test_a_file_that_is_no_annotation_is_named(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"a\.json"):
        read_boxes(path)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("case_id,needle_drop_counts\n1,-2\n", "csv:2: needle_drop_counts is '-2'"),
        ("case_id,needle_drop_counts\n1,many\n", "csv:2: needle_drop_counts is 'many'"),
        ("case_id,needle_drop_counts\n1,2\n1,3\n", "csv:3: case 1 is there twice"),
        ("case_id,needle_drop_counts\nfirst,2\n", "csv:2: 'first' is no case"),
        ("case_id,needle_drop_counts\n1,2,3\n", "csv:2: 3 cells"),
        ("name,needle_drop_counts\n1,2\n", "csv:1: no column with the case"),
        ("", "csv:1: no column with the case"),
    ],
)
def test_a_table_that_is_refused_is_named(real, table, said):
    (real / "train_v1/annotations/skill_metric_gt.csv").write_text(table)
    with pytest.raises(DataError) as error:
        read_dataset(real, "train_v1")
    assert said in str(error.value)


def test_a_case_that_is_there_twice_is_refused(real):
    film(real / "train_v1/videos/fps1/caseid_1_fps1.mp4")
    with pytest.raises(DataError, match="case 1 is there twice"):
        read_dataset(real, "train_v1")


def test_a_split_that_is_not_there(real):
    with pytest.raises(UsageError, match="train_v1 or train_v2"):
        read_dataset(real, "validation")


@pytest.mark.parametrize("base", [0, 1])
def test_boxes_come_back_as_written(tmp_path, base):
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 30)
    boxes = Boxes.of(
        np.sort(rng.integers(1, 9, 30)), label, rng.uniform(1, 50, (30, 4)),
        state=rng.integers(-1, 2, 30),
    )  # fmt: skip
    write_boxes(tmp_path / "a.json", boxes, 10, case=1, frame_base=base)
    told = read_boxes(tmp_path / "a.json", (320, 180))
    assert told.listed.tolist() == list(range(10))
    assert all(np.array_equal(column, vars(told.boxes)[n]) for n, column in vars(boxes).items())
    first = json.loads((tmp_path / "a.json").read_text())["0"]
    assert (first["objects"], first["frame_id"]) == (False, base)


def test_a_simulated_case_comes_back(tmp_path):
    with filming_case(tmp_path, "test", 3, (160, 90)) as show:
        case = simulate_case(3, 7, 0.2, seconds=2.5, size=(160, 90), seed=1, show=show)
    write_case(tmp_path, "test", case)
    write_metrics(tmp_path, "test", {3: case.metrics | {DROPS: math.nan}})
    write_surgeons(tmp_path, [("train_v1", 3, 1, 0.1, "x"), ("test", 3, 7, 0.2, "x")])
    [read] = read_dataset(tmp_path, "test").cases
    slow = case.boxes.take(case.boxes.image % 30 == 0)
    assert (read.case, read.surgeon, read.size, read.frames) == (3, 7, (160, 90), 3)
    assert read.boxes.image.tolist() == (slow.image // 30).tolist()
    assert read.boxes.xywh.tolist() == slow.xywh.tolist()
    assert read.boxes.state.tolist() == slow.state.tolist()
    assert math.isnan(read.metrics[DROPS])
    assert read.metrics[ECONOMY] == pytest.approx(case.metrics[ECONOMY])
    full, seconds = read_frames(read.video_30fps), read_frames(read.video_1fps)
    assert (len(full), len(seconds)) == (75, 3)
    assert np.abs(full[::30].astype(int) - seconds).mean() < 4  # coded apart, the same frames
