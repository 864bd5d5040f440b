"""The layout of RHD: written and read back, read as Python 2 wrote it, refused by name."""

import os
import pickle
import struct
from functools import partial

import numpy as np
import pytest

from assay.errors import DataError, UsageError
from assay.systems.product_of_experts.pictures import read_picture, write_png
from assay.systems.product_of_experts.rhd import (
    RhdSample,
    decode_depth,
    dominant_is_left,
    encode_depth,
    read_people,
    read_rhd,
    write_people,
    write_rhd,
)
from assay.systems.product_of_experts.rhd_annotations import (
    Annotation,
    read_annotations,
    read_pickle,
)

CAMERA = np.array([[100.0, 0.0, 15.5], [0.0, 100.0, 11.5], [0.0, 0.0, 1.0]])


def sample(number, seed=0):
    random = np.random.default_rng([seed, number])
    known = Annotation(
        random.normal(size=(42, 3)), random.uniform(0, 30, (42, 2)), random.random(42) < 0.5, CAMERA
    )
    return RhdSample(
        number, random.integers(0, 256, (24, 32, 3)).astype(np.uint8),
        random.uniform(0.2, 4.9, (24, 32)), random.integers(0, 34, (24, 32)).astype(np.uint8),
        known,
    )  # fmt: skip


@pytest.fixture
def root(tmp_path):
    write_rhd(tmp_path, "training", [sample(0), sample(7)])
    return tmp_path


def put(path, said):
    path.write_bytes(pickle.dumps(said, protocol=2))
    return path


# -- the layout ----------------------------------------------------------------------------------


def test_what_is_written_is_read(root):
    found = list(read_rhd(root, "training"))

    assert [one.number for one in found] == [0, 7]
    for one, given in zip(found, (sample(0), sample(7)), strict=True):
        assert np.array_equal(one.color, given.color)
        assert np.array_equal(one.mask, given.mask)
        assert np.abs(one.depth_m - given.depth_m).max() <= 5.0 / 65535 / 2 + 1e-12
        assert np.allclose(one.known.xyz, given.known.xyz, atol=1e-6)
        assert np.allclose(one.known.uv, given.known.uv, atol=1e-5)
        assert np.array_equal(one.known.visible, given.known.visible)
        assert np.allclose(one.known.camera, CAMERA)
    assert sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()) == [
        "training/anno_training.pickle",
        *(f"training/{kind}/{number}.png" for kind in ("color", "depth", "mask")
          for number in ("00000", "00007")),
    ]  # fmt: skip


def test_fewer_can_be_read(root):
    assert [one.number for one in read_rhd(root, "training", limit=1)] == [0]


def test_depth_is_in_red_and_green_of_five_metres():
    """(256 red + green) / 65535 x 5 m, as the public loaders of the data set have it."""
    packed = np.array([[[128, 0, 9], [0, 1, 9], [255, 255, 9]]], np.uint8)

    assert decode_depth(packed)[0].tolist() == pytest.approx([32768 / 13107, 1 / 13107, 5.0])
    assert decode_depth(packed, 10.0)[0, 2] == 10.0
    assert encode_depth(np.array([[1.0, 7.0, 0.0]])).tolist() == [
        [[51, 51, 0], [255, 255, 0], [0, 0, 0]]
    ]


def test_the_dominant_hand_has_more_pixels():
    mask = np.array([[1, 1, 1, 1, 2, 17, 17, 18, 33]], np.uint8)

    assert dominant_is_left(mask)
    assert not dominant_is_left(np.concatenate([mask, np.full_like(mask, 20)]))
    assert not dominant_is_left(np.array([[2, 18, 1, 0]], np.uint8))


def test_whose_hands_they_are(tmp_path):
    assert read_people(tmp_path) == {}
    write_people(tmp_path, [("training", 3, "anna"), ("evaluation", 3, "bert")])
    assert read_people(tmp_path) == {("training", 3): "anna", ("evaluation", 3): "bert"}
    (tmp_path / "people.csv").write_text("split,sample,person\ntraining,x,anna\n")
    with pytest.raises(DataError, match=r"people.csv line 2: training,x,anna; expected split"):
        read_people(tmp_path)
    (tmp_path / "people.csv").write_text("split,person\n")
    with pytest.raises(DataError, match=r"people.csv line 1: no such table"):
        read_people(tmp_path)


def test_pictures_that_do_not_fit_are_named(root):
    folder = root / "training"
    keep = {kind: read_picture(folder / kind / "00007.png") for kind in ("color", "depth", "mask")}

    def refused(kind, image, message):
        write_png(folder / kind / "00007.png", image)
        with pytest.raises(DataError, match=f"{kind}/00007.png: {message}"):
            list(read_rhd(root, "training"))
        write_png(folder / kind / "00007.png", keep[kind])

    refused("depth", keep["depth"][:20], "32 x 20 pixels; expected as many as the color picture")
    refused("mask", np.full((24, 32), 34, np.uint8), "part 34; expected 0 to 33")
    refused("mask", keep["color"], "3 channels of 8 bits; expected 8 bits, grey")
    refused("color", keep["mask"], "1 channels of 8 bits; expected 8 bits, red, green, blue")
    refused("depth", keep["depth"].astype(np.uint16), "3 channels of 16 bits")
    (folder / "depth" / "00007.png").unlink()
    with pytest.raises(DataError, match=r"depth/00007.png: cannot be read"):
        list(read_rhd(root, "training"))


def test_a_split_that_is_not_there_is_named(root):
    with pytest.raises(UsageError, match="no split 'evaluation'; expected training"):
        list(read_rhd(root, "evaluation"))


# -- the pickle ----------------------------------------------------------------------------------


def as_python_2(values):
    """Opcodes of an array as Python 2 with numpy 1 wrote it: texts of bytes, the old module."""
    kind = values.dtype.str[1:].encode()
    shape = b"(" + b"".join(b"K" + bytes([n]) for n in values.shape) + b"t"
    data = values.astype(values.dtype.newbyteorder("<")).tobytes()
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01" + shape
        + b"cnumpy\ndtype\n(U" + bytes([len(kind)]) + kind + b"K\x00K\x01tR(K\x03U\x01<NNN"
        + b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T" + struct.pack("<i", len(data)) + data
        + b"tb"
    )  # fmt: skip


def test_annotations_of_python_2_are_read(tmp_path):
    random = np.random.default_rng(0)
    xyz = random.normal(size=(42, 3)).astype(np.float32)
    uv = np.column_stack([random.uniform(0, 320, (42, 2)), random.random(42) < 0.5])
    camera = CAMERA.astype(np.float32)
    entry = b"".join(
        b"U" + bytes([len(name)]) + name + as_python_2(values) + b"s"
        for name, values in ((b"xyz", xyz), (b"uv_vis", uv), (b"K", camera))
    )
    path = tmp_path / "anno_training.pickle"
    path.write_bytes(b"\x80\x02}K\x05}" + entry + b"s.")

    found = read_annotations(path)

    assert list(found) == [5]
    assert np.array_equal(found[5].xyz, xyz)
    assert np.array_equal(found[5].uv, uv[:, :2])
    assert np.array_equal(found[5].visible, uv[:, 2] == 1)
    assert np.array_equal(found[5].camera, camera)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_plain_values_and_arrays_are_let_in_at_every_protocol(tmp_path, protocol):
    said = {3: {"a": np.arange(6.0).reshape(2, 3), "b": np.float32(1.5), "c": [1, "text", (2.5,)]}}
    path = tmp_path / "x.pickle"
    path.write_bytes(pickle.dumps(said, protocol=protocol))

    found = read_pickle(path)

    assert np.array_equal(found[3]["a"], said[3]["a"])
    assert found[3]["b"] == said[3]["b"]
    assert found[3]["c"] == said[3]["c"]


class Runs:
    """An object that calls something when it is read."""

    def __init__(self, function, *inputs):
        self.call = function, inputs

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "hostile",
    [
        lambda mark: Runs(os.system, f"touch {mark}"),
        lambda mark: Runs(os.mkdir, str(mark)),
        lambda mark: Runs(eval, f"open({str(mark)!r}, 'w')"),
        lambda mark: Runs(partial(os.mkdir, str(mark))),
        lambda mark: Runs(np.save, str(mark) + ".npy", 1),
        lambda mark: Runs(getattr, 1, "real"),
        lambda mark: np.array([Runs(os.mkdir, str(mark))], object),
    ],
)
def test_a_pickle_that_would_run_something_is_refused_and_does_not(tmp_path, hostile):
    mark = tmp_path / "ran"
    path = put(tmp_path / "x.pickle", {0: {"xyz": hostile(mark)}})

    with pytest.raises(DataError, match=r"x.pickle: refused \(it names .*; expected numbers") as no:
        read_pickle(path)

    assert "\n" not in str(no.value)
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_let_in_cannot_be_changed_from_within(tmp_path):
    """BUILD sets attributes of what a pickle names; here nothing has any to set."""
    for name in ("_codecs encode", "numpy.core.multiarray _reconstruct", "numpy dtype",
                 "numpy.core.numeric _frombuffer"):  # fmt: skip
        module, what = name.split()
        path = tmp_path / "x.pickle"
        path.write_bytes(f"c{module}\n{what}\n".encode() + b"N}U\x01xK\x01s\x86b.")
        with pytest.raises(DataError, match="refused"):
            read_pickle(path)


def test_a_text_is_turned_into_bytes_in_one_encoding_only(tmp_path):
    path = tmp_path / "x.pickle"
    path.write_bytes(b"c_codecs\nencode\n(U\x01aU\x04zlibtR.")

    with pytest.raises(DataError, match="encoding 'zlib'"):
        read_pickle(path)


@pytest.mark.parametrize("data", [b"", b"no pickle", b"\x80\x02}K\x05", b"\x80\x02P12\n."])
def test_what_is_no_pickle_is_refused(tmp_path, data):
    (tmp_path / "x.pickle").write_bytes(data)
    with pytest.raises(DataError, match=r"x.pickle: refused"):
        read_pickle(tmp_path / "x.pickle")
    with pytest.raises(DataError, match="cannot be read"):
        read_pickle(tmp_path / "none.pickle")


GOOD = {"xyz": np.zeros((42, 3)), "uv_vis": np.zeros((42, 3)), "K": CAMERA}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"xyz": np.zeros((21, 3))}, r"xyz is float64 \(21, 3\); expected numbers of \(42, 3\)"),
        ({"xyz": [1.0]}, "xyz is no array"),
        ({"K": None}, "K is no array"),
        ({"K": np.zeros((3, 3))}, "K is no camera matrix"),
        ({"xyz": np.full((42, 3), np.nan)}, "xyz holds a number that is not finite"),
        ({"uv_vis": np.full((42, 3), None)}, "uv_vis is object"),
    ],
)
def test_an_entry_that_is_not_as_described_is_named(tmp_path, change, message):
    path = put(tmp_path / "x.pickle", {0: GOOD, 12: GOOD | change})

    with pytest.raises(DataError, match=f"x.pickle: sample 12: {message}"):
        read_annotations(path)


@pytest.mark.parametrize("said", [{}, [GOOD], {"a": GOOD}, {-1: GOOD}, {0: [1]}])
def test_other_values_are_no_annotations(tmp_path, said):
    with pytest.raises(DataError, match=r"x.pickle: (no samples|a sample without|sample 0: not a)"):
        read_annotations(put(tmp_path / "x.pickle", said))
