"""SAR-RARP50 in its layout, converted, or refused by the name of what is wrong."""

import csv
import shutil

import av
import cv2
import numpy as np
import pytest

from assay.errors import DataError, ParameterError
from assay.systems.product_of_experts.manifest import load, read_manifest
from assay.systems.product_of_experts.sar_rarp import CLASSES, read_actions, sar_rarp_manifest

SIZE = (72, 128)


def put(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1] if image.ndim == 3 else image)


def picture(number):
    return np.full((*SIZE, 3), (200 - number, 40, number), np.uint8)


def masks(folder, numbers, channels=3):
    """Class numbers in stripes, in three equal channels as the toolkit writes them."""
    grey = np.repeat(np.arange(10, dtype=np.uint8), 10)[None].repeat(SIZE[0], 0)
    grey = np.pad(grey, ((0, 0), (0, SIZE[1] - 100)))
    for number in numbers:
        image = np.repeat(grey[..., None], 3, axis=2) if channels == 3 else grey
        put(folder / "segmentation" / f"{number:09d}.png", image)


def film(path, frames):
    """A lossless video of numbered frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=60)
        stream.width, stream.height, stream.pix_fmt = SIZE[1], SIZE[0], "bgr0"
        for number in range(frames):
            shown = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            container.mux(stream.encode(shown.reformat(format="bgr0")))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Three places: unpacked frames, a video alone in two pieces, a test video without actions."""
    root = tmp_path_factory.mktemp("data")
    first = root / "train1" / "video_1"
    masks(first, (0, 60, 120))
    for number in range(0, 121, 6):
        put(first / "rgb" / f"{number:09d}.png", picture(number))
    (first / "action_discrete.txt").write_text("000000000,0\n000000060,3\n000000114,7\n")
    for piece in (1, 2):
        second = root / "train2" / f"video_11_{piece}"
        masks(second, (6, 12), channels=1)
        film(second / "video_left.avi", 14)
    third = root / "test" / "video_41"
    masks(third, (60,))
    put(third / "rgb" / "000000060.png", picture(60))
    return root


@pytest.fixture
def real(template, tmp_path):
    return shutil.copytree(template, tmp_path / "real")


def test_the_layout_is_read_from_pictures_and_from_videos(template, tmp_path):
    manifest = read_manifest(sar_rarp_manifest(template, tmp_path))

    assert [(entry.id, entry.split, entry.group) for entry in manifest.entries] == [
        ("video_1_000000000", "train", "video_1"),
        ("video_1_000000060", "train", "video_1"),
        ("video_1_000000120", "train", "video_1"),
        ("video_11_1_000000006", "train", "video_11"),
        ("video_11_1_000000012", "train", "video_11"),
        ("video_11_2_000000006", "train", "video_11"),
        ("video_11_2_000000012", "train", "video_11"),
        ("video_41_000000060", "test", "video_41"),
    ]
    samples = load(manifest, "train")
    for k, number in enumerate((0, 60, 120, 6, 12, 6, 12)):
        shown = (samples.inputs["rgb"][k] * 255).round()
        assert (shown.reshape(3, -1).T == [200 - number, 40, number]).all()
        assert samples.target[k, 30, 5:105:10].tolist() == list(range(10))


def test_the_action_of_each_frame_is_told_where_it_is_known(template, tmp_path):
    sar_rarp_manifest(template, tmp_path)

    with (tmp_path / "actions.csv").open(encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    assert rows == [["id", "action"], ["video_1_000000000", "0"], ["video_1_000000060", "3"],
                    ["video_1_000000120", "7"]]  # fmt: skip


def test_videos_right_in_the_folder_splits_and_levels_of_one_s_own(template, tmp_path):
    levels = {0: 0, 3: 1, 2: 2, 1: 3}
    assert [CLASSES[k] for k in levels] == ["background", "tool shaft", "tool wrist",
                                            "tool clasper"]  # fmt: skip

    manifest = read_manifest(
        sar_rarp_manifest(template / "train2", tmp_path, splits={"video_11": "validation"},
                          levels=levels, rest=0, size=(36, 64))
    )  # fmt: skip

    assert manifest.splits == ("validation",)
    samples = load(manifest, "validation")
    assert samples.inputs["rgb"].shape == (4, 3, 36, 64)
    assert samples.target[0, 15, 2:52:5].tolist() == [0, 3, 2, 1, 0, 0, 0, 0, 0, 0]
    assert not (tmp_path / "actions.csv").exists()


VIDEO = "train2/video_11_1"


def test_a_frame_that_was_unpacked_comes_before_that_of_the_video(real, tmp_path):
    put(real / VIDEO / "rgb" / "000000006.png", picture(100))

    samples = load(read_manifest(sar_rarp_manifest(real / "train2", tmp_path / "into")), "train")

    assert samples.id[:2] == ("video_11_1_000000006", "video_11_1_000000012")
    assert (samples.inputs["rgb"][:2, 2, 0, 0] * 255).round().tolist() == [100, 12]


def test_a_level_that_is_not_known_is_refused(real, tmp_path):
    put(real / VIDEO / "segmentation" / "000000012.png", np.full(SIZE, 10, np.uint8))

    with pytest.raises(DataError, match=r"000000012\.png: level 10 at row 0, column 0; expected 0"):
        sar_rarp_manifest(real, tmp_path / "into")
    assert not (tmp_path / "into" / "manifest.jsonl").exists()


def test_a_mask_beyond_the_end_of_the_video_is_refused(real, tmp_path):
    masks(real / VIDEO, (14,))

    with pytest.raises(
        DataError, match=r"video_left\.avi: ends after 14 frames; expected frame 14"
    ):
        sar_rarp_manifest(real, tmp_path / "into")


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("", "real: no such folder in it; expected video_01"),
        (f"{VIDEO}/segmentation", "segmentation: no mask in it; expected 000000060.png"),
        (f"{VIDEO}/video_left.avi",
         r"rgb/000000006\.png: no such picture; expected it or video_left.avi"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(real, tmp_path, lost, message):
    path = real / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    real.mkdir(exist_ok=True)

    with pytest.raises(DataError, match=message):
        sar_rarp_manifest(real, tmp_path / "into")


@pytest.mark.parametrize("data", [b"", b"no video at all, but long enough to be looked at"])
def test_a_file_that_is_no_video_is_named(real, tmp_path, data):
    (real / VIDEO / "video_left.avi").write_bytes(data)

    with pytest.raises(DataError, match=r"video_left\.avi: cannot be read as a video") as found:
        sar_rarp_manifest(real, tmp_path / "into")
    assert "\n" not in str(found.value)


def test_names_that_are_none_are_refused(real, tmp_path):
    mask = real / VIDEO / "segmentation" / "000000012.png"
    mask.rename(mask.with_name("12.png"))
    with pytest.raises(DataError, match=r"12\.png: no number of a frame; expected nine digits"):
        sar_rarp_manifest(real, tmp_path / "into")
    (real / "train2" / "video_old").mkdir()
    with pytest.raises(DataError, match="video_old: no name of a video; expected video_01"):
        sar_rarp_manifest(real, tmp_path / "into")


def test_a_split_of_an_operation_that_is_not_there_is_refused(real, tmp_path):
    with pytest.raises(ParameterError, match=r"splits: no 'video_11_1'\. Did you mean 'video_11'"):
        sar_rarp_manifest(real, tmp_path / "into", splits={"video_11_1": "test"})


def test_actions_are_read_with_and_without_gaps(tmp_path):
    path = tmp_path / "action_discrete.txt"
    path.write_text("000000000,0\r\n 000000006 , 2\n\n000000300,0\n")

    told = read_actions(path)

    assert told.frame.tolist() == [0, 6, 300]
    assert told.action.tolist() == [0, 2, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no action in it; expected lines of frame,action"),
        ("0,1\n6;2\n", "line 2: '6;2'; expected frame,action"),
        ("0,1\n6,-2\n", "line 2: '6,-2'; expected frame,action"),
        ("0,1\n6,1.5\n", "line 2: '6,1.5'; expected frame,action"),
        ("0,1\n6,2\n6,3\n", "line 3: frame 6; expected one after 6"),
    ],
)
def test_actions_that_cannot_be_read_are_refused_by_their_line(tmp_path, text, message):
    path = tmp_path / "action_discrete.txt"
    path.write_text(text)

    with pytest.raises(DataError, match=message):
        read_actions(path)


def test_a_frame_before_the_first_action_is_refused(real, tmp_path):
    (real / "train1/video_1/action_discrete.txt").write_text("000000006,1\n")

    with pytest.raises(DataError, match=r"action_discrete\.txt: no action at frame 0"):
        sar_rarp_manifest(real, tmp_path / "into")
