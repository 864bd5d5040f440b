"""The layout of STB: the order of key points, the cameras, what is refused by name."""

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from assay.errors import DataError, UsageError
from assay.systems.product_of_experts.hand_data import hands_from_stb, recorded_hands
from assay.systems.product_of_experts.hand_folders import read_labels
from assay.systems.product_of_experts.hands import project
from assay.systems.product_of_experts.manifest import load, read_manifest
from assay.systems.product_of_experts.pictures import write_png
from assay.systems.product_of_experts.stb import (
    BASELINE_M,
    CAMERAS,
    TO_RHD,
    color_from_depth,
    decode_depth_mm,
    read_hand_para,
    read_stb,
)

FINGERS = ["thumb", "index", "middle", "ring", "little"]
STB = ["palm"] + [
    f"{finger} {joint}" for finger in FINGERS[::-1] for joint in ("mcp", "pip", "dip", "tip")
]
RHD = ["palm"] + [
    f"{finger} {joint}" for finger in FINGERS for joint in ("tip", "dip", "pip", "mcp")
]
DEPTH_MM = 612


def hand_mm(frames, seed=0):
    """Key points of some frames in the order of STB, half a metre before the camera."""
    random = np.random.default_rng(seed)
    return random.uniform(-60, 60, (3, 21, frames)) + np.array([0.0, 0.0, 600.0])[:, None, None]


@pytest.fixture
def root(tmp_path):
    """Three frames of a sequence to train on and two of the test, by both cameras."""
    for name, frames in (("B1Random", 2), ("B3Counting", 3)):
        (tmp_path / "labels").mkdir(exist_ok=True)
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        for kind in ("SK", "BB"):
            savemat(
                tmp_path / "labels" / f"{name}_{kind}.mat",
                {"handPara": hand_mm(frames, seed=frames)},
            )
        colors = np.zeros((480, 640, 3), np.uint8)
        colors[:, :320] = (250, 100, 10)
        packed = np.zeros((480, 640, 3), np.uint8)
        packed[..., 0], packed[..., 1] = DEPTH_MM % 256, DEPTH_MM // 256
        for frame in range(frames):
            for kind in ("SK_color", "BB_left", "BB_right"):
                write_png(folder / f"{kind}_{frame}.png", colors)
            write_png(folder / f"SK_depth_{frame}.png", packed)
    return tmp_path


# -- facts ---------------------------------------------------------------------------------------


def test_the_order_of_key_points():
    assert [STB[k] for k in TO_RHD] == RHD


def test_labels_are_read_in_metres_and_the_order_of_rhd(root):
    points = read_hand_para(root / "labels" / "B3Counting_SK.mat")

    given = hand_mm(3, seed=3)
    assert points.shape == (3, 21, 3)
    for k, name in enumerate(RHD):
        assert np.allclose(points[:, k], given[:, STB.index(name)].T / 1000)


def test_depth_is_in_millimetres():
    assert decode_depth_mm(np.array([[[0, 2, 7], [200, 1, 7], [0, 0, 7]]], np.uint8)).tolist() == [
        [0.512, 0.456, 0.0]
    ]


def test_the_colour_camera_of_the_pair_by_the_formula_of_rodrigues():
    """Depth coordinates are R times colour coordinates plus t, with the readme's figures."""
    points = np.random.default_rng(0).uniform(-100, 900, (5, 3))
    turn, _ = cv2.Rodrigues(np.array([0.00531, -0.01196, 0.00301]))
    before_depth = points @ turn.T + [-24.0381, -0.4563, -1.2326]

    assert np.allclose(color_from_depth(before_depth / 1000), points / 1000)


def test_the_right_camera_sees_a_point_as_far_aside_as_its_distance_says(root):
    for one in read_stb(root, "BB"):
        left, right = one.shown["left"], one.shown["right"]
        u = project(left.points, left.camera) - project(right.points, right.camera)
        assert np.allclose(u[:, 0], 822.79041 * BASELINE_M / left.points[:, 2])
        assert np.allclose(u[:, 1], 0.0)


# -- frames --------------------------------------------------------------------------------------


def test_frames_of_the_depth_camera(root):
    found = list(read_stb(root, "SK"))

    assert [(one.sequence, one.frame) for one in found] == [
        ("B1Random", 0), ("B1Random", 1), ("B3Counting", 0), ("B3Counting", 1), ("B3Counting", 2)
    ]  # fmt: skip
    shown = found[0].shown
    assert list(shown) == ["color", "depth"]
    assert (shown["depth"].image == DEPTH_MM / 1000).all()
    assert shown["color"].image[0, 0].tolist() == [250, 100, 10]
    assert np.allclose(shown["color"].points, color_from_depth(shown["depth"].points))
    assert shown["depth"].camera is CAMERAS["depth"]


def test_labels_may_stand_before_the_colour_camera(root):
    one = next(iter(read_stb(root, "SK", labels_before="color")))

    assert np.allclose(one.shown["color"].points, read_hand_para(
        root / "labels" / "B1Random_SK.mat")[0])  # fmt: skip
    assert np.allclose(color_from_depth(one.shown["depth"].points), one.shown["color"].points)


def test_frames_may_be_skipped_and_count_from_one(root):
    for name in ("color", "depth"):
        file = root / "images" / "B3Counting" / f"SK_{name}_0.png"
        file.rename(file.with_name(f"SK_{name}_3.png"))
    (root / "labels" / "B1Random_SK.mat").unlink()

    found = list(read_stb(root, "SK", stride=2, first_frame=1))

    assert [one.frame for one in found] == [1, 3]
    assert np.allclose(
        found[1].shown["depth"].points, read_hand_para(root / "labels/B3Counting_SK.mat")[2]
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"handPara": np.zeros((21, 3, 5))}, r"handPara is \(21, 3, 5\); expected \(3, 21"),
        ({"handpara": np.zeros((3, 21, 5))}, "no numbers named handPara"),
        ({"handPara": "text"}, "no numbers named handPara"),
        ({"handPara": np.where(np.arange(5) == 3, np.nan, np.zeros((3, 21, 5)))}, "frame 3 holds"),
    ],
)
def test_labels_that_are_not_as_described_are_named(tmp_path, values, message):
    savemat(tmp_path / "x.mat", values)
    with pytest.raises(DataError, match=f"x.mat: {message}"):
        read_hand_para(tmp_path / "x.mat")


def test_what_is_no_mat_file_is_refused(tmp_path, root):
    whole = (root / "labels" / "B3Counting_SK.mat").read_bytes()
    hdf5 = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(64)
    for data in (b"", b"no mat", whole[:300], hdf5):
        (tmp_path / "x.mat").write_bytes(data)
        with pytest.raises(DataError, match=r"x.mat: cannot be read as MATLAB 5"):
            read_hand_para(tmp_path / "x.mat")


def test_missing_files_are_named(root, tmp_path_factory):
    (root / "images" / "B1Random" / "SK_depth_1.png").unlink()
    with pytest.raises(DataError, match=r"SK_depth_1.png: cannot be read"):
        list(read_stb(root, "SK"))
    with pytest.raises(UsageError, match="no labels of SK"):
        list(read_stb(tmp_path_factory.mktemp("none"), "SK"))
    write_png(root / "images" / "B1Random" / "SK_depth_1.png", np.zeros((480, 640), np.uint16))
    with pytest.raises(DataError, match=r"SK_depth_1.png: uint16 \(480, 640\); expected three"):
        list(read_stb(root, "SK"))


# -- samples -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "modalities"), [("SK", ("color", "depth")), ("BB", ("left", "right"))]
)
def test_frames_become_samples(step, root, device, modalities):
    folder = step(
        f"stb {device}", hands_from_stb, recorded_hands(path=root), device=device, size=32
    )
    said = read_manifest(folder / "manifest.jsonl")
    train, labels = load(said, "train"), read_labels(folder)

    assert said.modalities == modalities
    assert train.id == tuple(f"B3Counting_{k:04d}" for k in range(3))
    assert set(train.group) == {"B3Counting"}
    assert {e.id for e in said.entries if e.split == "test"} == {"B1Random_0000", "B1Random_0001"}
    assert train.inputs[modalities[0]].shape == (3, 3, 32, 32)
    points = train.target * labels.scale_m[2:, None, None] + labels.root_m[2:, None]
    given = next(one for one in read_stb(root, device) if one.sequence == "B3Counting")
    expected = given.shown[modalities[0]].points * [-1.0, 1.0, 1.0]  # left hands, as right ones
    assert np.allclose(points[0, 1:], expected[1:], atol=1e-5)
    # the middle of the palm is half way between the wrist and the base of the middle finger
    assert np.allclose((points[0, 0] + points[0, 12]) / 2, expected[0], atol=1e-5)
    if device == "SK":
        assert np.allclose(train.inputs["depth"].max((1, 2, 3)), DEPTH_MM / 1000)


def test_the_palm_may_stay_and_hands_as_they_are(step, root):
    folder = step("palm", hands_from_stb, root, root="palm", mirror=False, size=32)
    labels = read_labels(folder)

    first = next(iter(read_stb(root, "SK"))).shown["color"].points
    assert np.allclose(labels.root_m[0], first[0])
    assert labels.scale_m[0] == pytest.approx(np.linalg.norm(first[12] - first[11]))
