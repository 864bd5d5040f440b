"""EndoVis 2017 in both of its layouts, converted, or refused by the name of what is wrong."""

import shutil

import cv2
import numpy as np
import pytest

from assay.errors import DataError, ParameterError
from assay.systems.product_of_experts.endovis import Crop, endovis_manifest
from assay.systems.product_of_experts.manifest import load, read_manifest

SHAFT, WRIST, CLASPER = 10, 20, 30
LARGE, SMALL = (1080, 1920), (220, 1000)
CROP = Crop(320, 28, 600, 190)
"""Of a small frame."""


def put(path, image):
    """Write a picture as another program would."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1] if image.ndim == 3 else image)


def frame(number, shape=LARGE):
    """Each quarter of the camera's picture in a colour; black around it."""
    image = np.zeros((*shape, 3), np.uint8)
    image[28:540, 320:960] = (200, 10, 20 + number)
    image[540:1052, 960:1600] = (10, 30, 210)
    return image


def mask(shape=SMALL, **levels):
    grey = np.zeros(shape, np.uint8)
    for place, level in levels.items():
        column = 320 + 100 * int(place[1:])
        grey[100:200, column : column + 50] = level
    return grey


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """The challenge's folders: two sequences, tools with and without _labels in their names."""
    root = tmp_path_factory.mktemp("train")
    write(root / "instrument_dataset_2", 1, LARGE)
    write(root / "instrument_dataset_10", 1, LARGE)
    return root


def write(folder, count, shape):
    for k in range(count):
        name, truth = f"frame{k:03d}.png", folder / "ground_truth"
        put(folder / "left_frames" / name, frame(k, shape))
        put(folder / "right_frames" / name, frame(k + 50, shape))
        put(truth / "Left_Prograsp_Forceps_labels" / name,
            mask(shape, c0=SHAFT, c1=WRIST, c2=CLASPER))  # fmt: skip
        put(truth / "Large_Needle_Driver" / name, mask(shape, c3=SHAFT, c4=CLASPER))
        put(truth / "Other_labels" / name, mask(shape, c5=SHAFT))
    (folder / "camera_calibration.txt").write_text("")
    (truth / "mappings.json").write_text("{}")


@pytest.fixture
def real(tmp_path):
    """One sequence of small frames, to change."""
    write(tmp_path / "real/instrument_dataset_1", 2, SMALL)
    return tmp_path / "real"


def columns(target):
    """The classes of the painted columns and of the last one."""
    return [int(target[100, 100 * k + 20]) for k in range(6)] + [int(target[-1, -1])]


def test_the_challenge_s_folders(template, tmp_path):
    path = endovis_manifest(
        template, tmp_path, splits={"instrument_dataset_10": "test"}, right=True
    )

    manifest = read_manifest(path)
    told = [(entry.id, entry.split, entry.group) for entry in manifest.entries]
    assert told == [
        ("instrument_dataset_2_frame000", "train", "instrument_dataset_2"),
        ("instrument_dataset_10_frame000", "test", "instrument_dataset_10"),
    ]
    samples = load(manifest, "train")
    assert samples.inputs["rgb"].shape == (1, 3, 1024, 1280)
    for name, blue in (("rgb", 20), ("right", 70)):
        image = samples.inputs[name][0] * 255
        assert image[:, 0, 0].round().tolist() == [200, 10, blue]
        assert image[:, 511, 639].round().tolist() == [200, 10, blue]
        assert image[:, -1, -1].round().tolist() == [10, 30, 210]
    assert columns(samples.target[0]) == [1, 2, 3, 1, 3, 0, 0]
    assert samples.target[0, 72 - 1, 20] == 0  # row 100 of the frame is row 72 of the crop
    assert samples.target[0, 72, 20] == 1


def test_frames_go_with_their_masks(real, tmp_path):
    put(real / SEQUENCE / "ground_truth/Large_Needle_Driver/frame001.png", mask(c5=WRIST))

    samples = load(read_manifest(endovis_manifest(real, tmp_path / "into", crop=CROP)), "train")

    assert (samples.inputs["rgb"][:, 2, 0, 0] * 255).round().tolist() == [20, 21]
    assert [columns(each) for each in samples.target] == [[1, 2, 3, 1, 3, 0, 0],
                                                          [1, 2, 3, 0, 0, 2, 0]]  # fmt: skip


@pytest.mark.parametrize(
    ("target", "wanted"),
    [("binary", [1, 1, 1, 1, 1, 0, 0]), ("instruments", [2, 2, 2, 3, 3, 7, 0])],
)
def test_other_targets(real, tmp_path, target, wanted):
    path = endovis_manifest(real, tmp_path / "into", target=target, crop=CROP)

    assert columns(load(read_manifest(path), "train").target[0]) == wanted


def test_everything_is_brought_to_one_size(real, tmp_path):
    path = endovis_manifest(real, tmp_path / "into", crop=CROP, size=(95, 150))

    samples = load(read_manifest(path), "train")
    assert samples.inputs["rgb"].shape == (2, 3, 95, 150)
    assert samples.target.shape == (2, 95, 150)
    assert [int(samples.target[0, 50, 25 * k + 5]) for k in range(6)] == [1, 2, 3, 1, 3, 0]


def prepared(root, parts=(0, 85, 170, 255)):
    folder = root / "instrument_dataset_1"
    image = np.full((32, 40, 3), (220, 40, 10), np.uint8)
    grey = np.zeros((32, 40), np.uint8)
    grey[:, :4] = parts
    put(folder / "images" / "frame000.jpg", image)
    put(folder / "parts_masks" / "frame000.png", grey)
    put(folder / "binary_masks" / "frame000.png", (grey > 0).astype(np.uint8) * 255)
    put(folder / "instruments_masks" / "frame000.png", (grey > 0).astype(np.uint8) * 7 * 32)


@pytest.mark.parametrize(
    ("target", "wanted"),
    [("parts", [0, 1, 2, 3, 0]), ("binary", [0, 1, 1, 1, 0]), ("instruments", [0, 7, 7, 7, 0])],
)
def test_the_prepared_folders(tmp_path, target, wanted):
    prepared(tmp_path / "data")

    samples = load(read_manifest(endovis_manifest(tmp_path / "data", tmp_path, target=target)),
                   "train")  # fmt: skip

    assert samples.inputs["rgb"].shape == (1, 3, 32, 40)
    assert samples.inputs["rgb"][0, :, 16, 20] * 255 == pytest.approx([220, 40, 10], abs=4)
    assert samples.target[0, 16, :5].tolist() == wanted


def test_a_level_that_is_not_known_is_refused_or_given(real, tmp_path):
    path = real / "instrument_dataset_1/ground_truth/Large_Needle_Driver/frame000.png"
    put(path, mask(c3=40))
    into = tmp_path / "into"

    with pytest.raises(DataError) as found:
        endovis_manifest(real, into, crop=CROP)
    assert str(found.value) == (
        f"{path}: level 40 at row 100, column 620; expected 0, 10, 20, 30. Give levels a class for "
        "it, or rest a class for all that is not in levels."
    )
    assert not (into / "manifest.jsonl").exists()
    given = {0: 0, 10: 1, 20: 2, 30: 3, 40: 4}
    for options, wanted in (({"levels": given}, 4), ({"rest": 0}, 0)):
        manifest = read_manifest(endovis_manifest(real, into, crop=CROP, **options))
        assert columns(load(manifest, "train").target[0])[3] == wanted


def test_a_prepared_level_that_is_not_known_is_refused(tmp_path):
    prepared(tmp_path / "data", (0, 85, 86, 255))

    with pytest.raises(DataError, match="level 86 at row 0, column 2; expected 0, 85, 170, 255"):
        endovis_manifest(tmp_path / "data", tmp_path)


SEQUENCE = "instrument_dataset_1"


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        (SEQUENCE, "real: no such folder in it; expected instrument_dataset_1"),
        (f"{SEQUENCE}/left_frames", "left_frames: no frame in it; expected left_frames/frame000"),
        (f"{SEQUENCE}/ground_truth", "ground_truth: no such folder in it; expected a folder of"),
        (f"{SEQUENCE}/right_frames", r"right_frames/frame000\.png: no such picture"),
        (f"{SEQUENCE}/ground_truth/Other_labels/frame000.png",
         r"Other_labels/frame000\.png: no such mask"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(real, tmp_path, lost, message):
    path = real / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()

    with pytest.raises(DataError, match=message):
        endovis_manifest(real, tmp_path / "into", right=True, crop=CROP)


@pytest.mark.parametrize(
    ("where", "image", "message"),
    [
        ("left_frames", np.zeros((190, 600, 3), np.uint8),
         "600 x 190 pixels; expected at least 920 x 218, to be cropped. Give crop=None"),
        ("left_frames", np.zeros(SMALL, np.uint8), "1 channels of 8 bits; expected 8 bits of red"),
        ("left_frames", np.zeros((*SMALL, 3), np.uint16), "3 channels of 16 bits"),
        ("ground_truth/Other_labels", np.zeros((220, 990), np.uint8),
         "a mask of 220 x 990; expected 220 x 1000 as that of another tool"),
        ("ground_truth/Other_labels", frame(0, SMALL),
         "3 channels of 8 bits; expected 8 bits of grey"),
    ],
)  # fmt: skip
def test_a_picture_of_another_kind_is_refused(real, tmp_path, where, image, message):
    put(real / SEQUENCE / where / "frame000.png", image)

    with pytest.raises(DataError, match=message):
        endovis_manifest(real, tmp_path / "into", crop=CROP)


def test_a_damaged_picture_is_named(real, tmp_path):
    path = real / SEQUENCE / "left_frames/frame000.png"
    path.write_bytes(path.read_bytes()[:40])

    with pytest.raises(DataError, match=r"left_frames/frame000\.png: "):
        endovis_manifest(real, tmp_path / "into")


def test_a_frame_that_is_cropped_already_needs_its_mask_so_too(real, tmp_path):
    put(real / SEQUENCE / "left_frames/frame000.png", np.zeros((190, 600, 3), np.uint8))

    with pytest.raises(DataError, match="rgb of 190 x 600; expected 220 x 1000 as the mask has"):
        endovis_manifest(real, tmp_path / "into", crop=None)


def test_a_small_frame_is_not_cropped_in_silence(real, tmp_path):
    with pytest.raises(DataError, match="1000 x 220 pixels; expected at least 1600 x 1052"):
        endovis_manifest(real, tmp_path / "into")


def test_the_crop_may_reach_the_last_row_and_column(real, tmp_path):
    manifest = endovis_manifest(real, tmp_path / "into", crop=Crop(620, 100, 380, 120))

    samples = load(read_manifest(manifest), "train")
    assert samples.inputs["rgb"].shape == (2, 3, 120, 380)
    assert samples.target[0, [0, 99, 100], [0, 49, 0]].tolist() == [1, 1, 0]


def test_a_tool_without_a_known_name_has_no_kind(real, tmp_path):
    truth = real / SEQUENCE / "ground_truth"
    (truth / "Other_labels").rename(truth / "Stapler_labels")

    with pytest.raises(DataError, match="Stapler_labels: no tool that is known; expected a name"):
        endovis_manifest(real, tmp_path / "into", target="instruments", crop=CROP)


def test_a_split_of_a_sequence_that_is_not_there_is_refused(real, tmp_path):
    with pytest.raises(ParameterError, match=r"no 'instrument_dataset_3'\. Did you mean"):
        endovis_manifest(real, tmp_path / "into", splits={"instrument_dataset_3": "test"})
