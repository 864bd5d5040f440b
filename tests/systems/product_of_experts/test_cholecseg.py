"""CholecSeg8k in its layout, converted, or refused by the name of what is wrong."""

import shutil

import cv2
import numpy as np
import pytest

from assay.errors import DataError, ParameterError
from assay.systems.product_of_experts.cholecseg import (
    CLASSES,
    HEXADECIMAL,
    WATERSHED,
    cholecseg_manifest,
)
from assay.systems.product_of_experts.manifest import load, read_manifest

LEVELS = [50, 11, 21, 13, 12, 31, 23, 24, 25, 32, 22, 33, 5]


def put(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1])


def watershed(levels=LEVELS):
    """A mask as the data set stores it: grey in three channels, a white line along the edge."""
    grey = np.zeros((480, 854), np.uint8)
    for k, level in enumerate(levels):
        grey[:, 10 + 60 * k : 70 + 60 * k] = level
    grey[0] = grey[-1] = grey[:, 0] = grey[:, -1] = 255
    return np.repeat(grey[..., None], 3, axis=2)


def clip(root, name, first, mask=None, count=2):
    folder = root / name.partition("_")[0] / name
    for number in range(first, first + count):
        image = np.full((480, 854, 3), (150, 60, number % 256), np.uint8)
        put(folder / f"frame_{number}_endo.png", image)
        for kind in ("mask", "color_mask"):
            put(folder / f"frame_{number}_endo_{kind}.png", image)
        put(
            folder / f"frame_{number}_endo_watershed_mask.png",
            watershed() if mask is None else mask,
        )
    return folder


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    root = tmp_path_factory.mktemp("CholecSeg8k")
    clip(root, "video01_00080", 99)
    clip(root, "video01_15019", 15019, count=1)
    clip(root, "video12_15750", 15750, count=1)
    return root


@pytest.fixture
def real(template, tmp_path):
    return shutil.copytree(template, tmp_path / "real")


def test_the_layout_is_read_in_the_order_of_numbers(template, tmp_path):
    manifest = read_manifest(cholecseg_manifest(template, tmp_path, splits={"video12": "test"}))

    assert [(entry.id, entry.split, entry.group) for entry in manifest.entries] == [
        ("video01_00080_99", "train", "video01"),
        ("video01_00080_100", "train", "video01"),
        ("video01_15019_15019", "train", "video01"),
        ("video12_15750_15750", "test", "video12"),
    ]
    samples = load(manifest, "train")
    assert samples.inputs["rgb"].shape == (3, 3, 480, 854)
    assert (samples.inputs["rgb"][0, :, 9, 9] * 255).round().tolist() == [150, 60, 99]
    target = samples.target[0]
    assert [int(target[200, 40 + 60 * k]) for k in range(13)] == list(range(13))
    assert not target[0].any()
    assert not target[:, :10].any()


def test_each_class_has_a_level_in_both_tables():
    for table in (WATERSHED, HEXADECIMAL):
        assert sorted({*table.values()}) == list(range(len(CLASSES)))
        assert len(table) == len(CLASSES) + 2
    assert {level: WATERSHED[level] for level in LEVELS} == {v: k for k, v in enumerate(LEVELS)}
    assert (HEXADECIMAL[0x50], HEXADECIMAL[0x31], HEXADECIMAL[0x05]) == (0, 5, 12)


def test_levels_of_one_s_own(tmp_path):
    mask = watershed([80, 49, 50])  # #505050, #313131 and #323232
    clip(tmp_path / "data", "video01_00080", 80, mask, count=1)

    with pytest.raises(DataError, match="level 80 at row 1, column 10"):
        cholecseg_manifest(tmp_path / "data", tmp_path / "into")
    manifest = cholecseg_manifest(tmp_path / "data", tmp_path / "into", levels=HEXADECIMAL)
    assert load(read_manifest(manifest), "train").target[0, 200, [40, 100, 160]].tolist() == [
        0,
        5,
        9,
    ]
    manifest = cholecseg_manifest(
        tmp_path / "data", tmp_path / "into", levels={49: 1, 50: 1}, rest=0, size=(240, 427)
    )
    small = load(read_manifest(manifest), "train").target[0]
    assert small.shape == (240, 427)
    assert small[100, [20, 50, 80]].tolist() == [0, 1, 1]


CLIP = "video12/video12_15750"


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("", "real: no such folder in it; expected video01 and so on"),
        (CLIP, "video12: no such folder in it; expected video12_00080 and so on"),
        (f"{CLIP}/frame_15750_endo.png", "video12_15750: no frame in it; expected frame_80_endo"),
        (f"{CLIP}/frame_15750_endo_watershed_mask.png", r"watershed_mask\.png: no such mask"),
    ],
)
def test_what_is_missing_is_named(real, tmp_path, lost, message):
    path = real / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    real.mkdir(exist_ok=True)

    with pytest.raises(DataError, match=message):
        cholecseg_manifest(real, tmp_path / "into")


@pytest.mark.parametrize(
    ("name", "image", "message"),
    [
        ("frame_15750_endo.png", np.zeros((480, 853, 3), np.uint8),
         "rgb of 480 x 853; expected 480 x 854 as the mask has"),
        ("frame_15750_endo_watershed_mask.png", np.arange(480 * 854 * 3).reshape(480, 854, 3) % 99,
         r"watershed_mask\.png: 3 channels of 8 bits; expected 8 bits of grey"),
        ("frame_15750_endo_watershed_mask.png", watershed([50, 14]),
         r"watershed_mask\.png: level 14 at row 1, column 70; expected 0, 5, 11"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(real, tmp_path, name, image, message):
    put(real / CLIP / name, image.astype(np.uint8))

    with pytest.raises(DataError, match=message):
        cholecseg_manifest(real, tmp_path / "into")


def test_a_split_of_a_video_that_is_not_there_is_refused(template, tmp_path):
    with pytest.raises(ParameterError, match="splits: no 'video2'"):
        cholecseg_manifest(template, tmp_path, splits={"video2": "test"})
