"""The manifest: what it holds, what a sample becomes, and what is refused by its line."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from assay.errors import DataError, UsageError
from assay.systems.product_of_experts.manifest import (
    Entry,
    load,
    read_manifest,
    write_manifest,
)
from assay.systems.product_of_experts.pictures import read_picture, write_png

COLORS = np.array([[[255, 0, 51], [0, 102, 255]], [[10, 20, 30], [40, 50, 60]]], np.uint8)
CLASSES = np.array([[0, 3], [7, 255]], np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Two samples of one person to train on, and one to test on that lacks its depth."""
    for name in ("a", "b", "c"):
        write_png(tmp_path / f"{name}.png", COLORS)
        np.save(tmp_path / f"{name}.npy", np.full((1, 2, 2), ord(name), np.float64))
        write_png(tmp_path / f"{name}_mask.png", CLASSES)
    return tmp_path


def put(folder, *, target=True):
    groups = {"a": ("train", "anna"), "b": ("train", "anna"), "c": ("test", "bert")}
    entries = []
    for name, (split, group) in groups.items():
        files = {"color": Path(f"{name}.png")}
        if name != "c":
            files["depth"] = Path(f"{name}.npy")
        of = Path(f"{name}_mask.png") if target else None
        entries.append(Entry(name, split, group, files, of))
    return write_manifest(folder, entries)


ROW = {"id": "x", "split": "train", "modalities": {"color": "a.png"}, "target": "a_mask.png"}


def lines(folder, *rows):
    path = folder / "given.jsonl"
    path.write_text("".join(json.dumps(ROW | row) + "\n" for row in rows))
    return path


# -- reading and writing -------------------------------------------------------------------------


def test_what_is_written_is_read(folder):
    said = read_manifest(put(folder))

    assert said.modalities == ("color", "depth")
    assert said.splits == ("train", "test")
    assert [e.id for e in said.entries] == ["a", "b", "c"]
    assert said.entries[1] == Entry(
        "b", "train", "anna", {"color": folder / "b.png", "depth": folder / "b.npy"},
        folder / "b_mask.png",
    )  # fmt: skip
    assert list(said.entries[2].files) == ["color"]


def test_absolute_paths_within_the_folder_are_written_relative(folder):
    entry = Entry("a", "train", "anna", {"color": folder / "a.png"}, folder / "a_mask.png")

    path = write_manifest(folder, [entry])

    assert json.loads(path.read_text())["modalities"] == {"color": "a.png"}
    assert read_manifest(path).entries == (entry,)
    with pytest.raises(DataError, match=r"line 1: color '/etc/a.png'; expected a relative path"):
        write_manifest(folder, [Entry("a", "s", "g", {"color": Path("/etc/a.png")})])


def test_csv_says_the_same(folder):
    path = folder / "given.csv"
    path.write_text(
        "\ufeffid,split,group,target,color,depth\n"
        "a,train,anna,a_mask.png,a.png,a.npy\n\n"
        'b,train,anna,b_mask.png,"b.png", b.npy\n'
        "c,test,bert,c_mask.png,c.png,\n"
    )

    assert read_manifest(path).entries == read_manifest(put(folder)).entries


def test_a_sample_without_a_group_stands_for_itself(folder):
    said = read_manifest(lines(folder, {}, {"id": "y", "modalities": {"color": "b.png",
                                                                      "depth": None}}))  # fmt: skip

    assert [e.group for e in said.entries] == ["x", "y"]
    assert list(said.entries[1].files) == ["color"]


def test_a_manifest_that_is_refused_leaves_the_old_one(folder):
    before = put(folder).read_bytes()
    twice = [Entry("a", "train", "g", {"color": folder / "a.png"})] * 2

    with pytest.raises(DataError, match="id 'a' is in line 1 too"):
        write_manifest(folder, twice)

    assert (folder / "manifest.jsonl").read_bytes() == before
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{}, {"id": "x"}], "line 2: id 'x' is in line 1 too"),
        ([{"group": "g"}, {"id": "y", "group": "g", "split": "test"}],
         "line 2: group 'g' is in split 'test', and in line 1 in 'train'"),
        ([{"modalities": {"color": "no.png"}}], "line 1: no file .*no.png"),
        ([{"target": "no.npy"}], "line 1: no file .*no.npy"),
        ([{"modalities": {"color": "../a.png"}}], "line 1: color '../a.png'; expected a relative"),
        ([{"modalities": {"color": "b/../../a.png"}}], "line 1: color"),
        ([{"modalities": {"color": "/a.png"}}], "line 1: color '/a.png'; expected a relative"),
        ([{"modalities": {"color": "C:/a.png"}}], "line 1: color"),
        ([{"modalities": {"color": "..\\\\a.png"}}], "line 1: color"),
        ([{"modalities": {"color": "a.gif"}}], "line 1: color 'a.gif'; expected .png, .jpg"),
        ([{"target": "a.jpg"}], "line 1: target 'a.jpg'; expected .png, .npy"),
        ([{"modalities": {}}], "line 1: a sample without any modality"),
        ([{"modalities": {"color": ""}}], "line 1: a sample without any modality"),
        ([{"modalities": ["a.png"]}], "line 1: no modalities; expected a mapping"),
        ([{"modalities": {"my color": "a.png"}}], "line 1: a modality named 'my color'"),
        ([{"modalities": {"target": "a.png"}}], "line 1: a modality named 'target'"),
        ([{"modalities": {"color": 3}}], "line 1: color is 3; expected a text"),
        ([{"id": ""}], "line 1: no id"),
        ([{"split": None}], "line 1: no split"),
        ([{"tagret": "x"}], "line 1: no field 'tagret'. Did you mean 'target'"),
        ([{}, {"id": "y", "modalities": {"color": "b.npy"}}],
         "line 2: color 'b.npy' is of another kind than in line 1"),
        ([], "no sample in it"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(folder, rows, message):
    with pytest.raises(DataError, match=message) as caught:
        read_manifest(lines(folder, *rows))

    assert "\n" not in str(caught.value)
    assert "given.jsonl" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: no column 'id'"),
        ("id,color\n", "line 1: no column 'split'"),
        ("id,split,color,color\n", "line 1: column 'color'; expected each column once"),
        ("id,split,color\na,train\n", "line 2: 2 cells; expected 3"),
        ("id,split,color\na,train,a.png\nb,train,no.png\n", "line 3: no file"),
        ("id,split,color,depth\na,train,a.png,\n", "line 1: column 'depth' is empty"),
        ('id,split,color\na,train,"a.png\n', "line 2: unexpected end of data"),
    ],
)
def test_what_is_wrong_in_a_csv_is_named_too(folder, text, message):
    path = folder / "given.csv"
    path.write_text(text)

    with pytest.raises(DataError, match=message):
        read_manifest(path)


def test_other_files_are_refused(folder):
    (folder / "m.txt").write_text("x")
    (folder / "bad.jsonl").write_text('{"id": \n')
    (folder / "bytes.jsonl").write_bytes(b"\xff\xfe\x00")

    for name, message in [("m.txt", "no kind of manifest; expected .jsonl or .csv"),
                          ("bad.jsonl", "line 1: cannot be read as JSON"),
                          ("bytes.jsonl", "cannot be read"),
                          ("none.jsonl", "cannot be read")]:  # fmt: skip
        with pytest.raises(DataError, match=message):
            read_manifest(folder / name)


# -- samples -------------------------------------------------------------------------------------


def test_pictures_arrays_and_classes_become_what_they_say(folder):
    said = load(read_manifest(put(folder)), "train")

    assert said.id == ("a", "b")
    assert said.group == ("anna", "anna")
    color = said.inputs["color"]
    assert (color.shape, color.dtype) == ((2, 3, 2, 2), np.float32)
    assert color[0, :, 0, 0].tolist() == pytest.approx([1.0, 0.0, 0.2])  # red, green, blue
    assert color[1, :, 0, 1].tolist() == pytest.approx([0.0, 0.4, 1.0])
    assert said.inputs["depth"][:, 0, 0, 0].tolist() == [97.0, 98.0]  # as they are
    assert said.inputs["depth"].dtype == np.float32
    assert said.target.dtype == np.int64
    assert np.array_equal(said.target, np.stack([CLASSES] * 2))


def test_sixteen_bits_and_grey(folder):
    deep = np.array([[0, 13107], [32768, 65535]], np.uint16)
    write_png(folder / "a.png", deep)

    said = load(read_manifest(lines(folder, {})), "train")

    assert said.inputs["color"].shape == (1, 1, 2, 2)
    assert said.inputs["color"][0, 0].ravel().tolist() == pytest.approx(
        [0.0, 0.2, 32768 / 65535, 1.0]
    )


def test_a_jpeg_is_read_in_the_same_order(folder):
    flat = np.full((16, 16, 3), (200, 100, 30), np.uint8)
    cv2.imwrite(str(folder / "flat.jpg"), flat[..., ::-1])

    said = load(read_manifest(lines(folder, {"modalities": {"color": "flat.jpg"}})), "train")

    assert said.inputs["color"][0, :, 8, 8] * 255 == pytest.approx([200, 100, 30], abs=3)


def test_a_missing_modality_is_zeros_of_the_shape_it_has_elsewhere(folder):
    said = load(read_manifest(put(folder)), "test")

    assert said.inputs["depth"].shape == (1, 1, 2, 2)
    assert not said.inputs["depth"].any()
    assert said.present["depth"].tolist() == [False]
    assert said.present["color"].tolist() == [True]


def test_size_averages_pictures_and_picks_classes(folder):
    big = np.arange(16, dtype=np.uint8).reshape(4, 4) * 10
    write_png(folder / "a.png", big)
    write_png(folder / "a_mask.png", big)

    small = load(read_manifest(lines(folder, {})), "train", size=(2, 2))
    large = load(read_manifest(lines(folder, {})), "train", size=(8, 4))

    means = big.reshape(2, 2, 2, 2).mean((1, 3)) / 255
    assert np.allclose(small.inputs["color"][0, 0], means)
    assert set(np.unique(small.target)) <= set(np.unique(big))
    assert small.target[0].tolist() == [[50, 70], [130, 150]]
    assert large.inputs["color"].shape == (1, 1, 8, 4)
    assert np.array_equal(large.target[0], np.repeat(big, 2, 0))


def test_without_targets_there_are_none_and_half_of_them_are_refused(folder):
    assert load(read_manifest(put(folder, target=False)), "train").target.shape == (2, 0)
    with pytest.raises(DataError, match="sample 'y': no target"):
        load(read_manifest(lines(folder, {}, {"id": "y", "target": None})), "train")


def test_arrays_may_be_targets(folder):
    np.save(folder / "t.npy", np.arange(6).reshape(2, 3))

    said = load(read_manifest(lines(folder, {"target": "t.npy"})), "train")

    assert said.target.tolist() == [[[0, 1, 2], [3, 4, 5]]]
    assert said.target.dtype == np.float32


def test_shapes_that_differ_are_named(folder):
    write_png(folder / "b.png", COLORS[:1])
    path = lines(folder, {}, {"id": "y", "modalities": {"color": "b.png"}})

    with pytest.raises(DataError, match=r"b.png of sample 'y': an array of \(3, 1, 2\); expected "
                                        r"\(3, 2, 2\)"):  # fmt: skip
        load(read_manifest(path), "train")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([1.0, np.nan]), "a number that is not finite"),
        (np.array([1e300]), "a number that is not finite"),
        (np.array(["a"]), "an array of <U1; expected real numbers"),
        (np.array([1j]), "an array of complex128"),
    ],
)
def test_arrays_that_are_no_finite_numbers_are_named(folder, values, message):
    np.save(folder / "a.npy", values)
    path = lines(folder, {"modalities": {"depth": "a.npy"}})

    with pytest.raises(DataError, match=f"a.npy of sample 'x': {message}"):
        load(read_manifest(path), "train")


def test_a_pickle_in_an_array_is_refused(folder):
    np.save(folder / "a.npy", np.array([{}], object), allow_pickle=True)

    with pytest.raises(DataError, match=r"a.npy of sample 'x': cannot be read as an array"):
        load(read_manifest(lines(folder, {"modalities": {"depth": "a.npy"}})), "train")


def test_broken_pictures_and_masks_in_colour_are_refused(folder):
    whole = (folder / "a.png").read_bytes()
    for data in (b"", b"no picture", whole[: len(whole) // 2]):
        (folder / "a.png").write_bytes(data)
        with pytest.raises(DataError, match=r"a.png: no picture in it"):
            load(read_manifest(lines(folder, {})), "train")
    with pytest.raises(DataError, match=r"b.png of sample 'x': a mask of 3 channels"):
        load(read_manifest(lines(folder, {"modalities": {"color": "c.png"},
                                          "target": "b.png"})), "train")  # fmt: skip


def test_a_split_that_is_not_there_is_named(folder):
    with pytest.raises(UsageError, match="no split 'tset'; expected train or test"):
        load(read_manifest(put(folder)), "tset")


def test_a_png_is_read_as_it_was_written(tmp_path):
    for image in (COLORS, CLASSES, CLASSES.astype(np.uint16) * 257, COLORS.astype(np.uint16) * 99):
        write_png(tmp_path / "x.png", image)
        found = read_picture(tmp_path / "x.png")
        assert found.dtype == image.dtype
        assert np.array_equal(found, image)
