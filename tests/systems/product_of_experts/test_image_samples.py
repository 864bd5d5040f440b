"""Samples for models of images: what is refused by its name, and noise on channels first."""

import numpy as np
import pytest

from assay.errors import DataError, ParameterError
from assay.systems.product_of_experts.corruptions import corrupt, stream
from assay.systems.product_of_experts.hand_folders import normalised
from assay.systems.product_of_experts.image_samples import (
    image_samples,
    layouts_of,
    manifest_of_folder,
    noised,
    own_samples,
    target_of,
)
from assay.systems.product_of_experts.manifest import Entry, write_manifest
from assay.systems.product_of_experts.pictures import write_png
from assay.systems.product_of_experts.samples import Samples


def folder_of(root, size=(8, 16), depth_size=None, target=None, ids=("a", "b")):
    """Colour as PNG and depth as npy, with a target for each sample if one is given."""
    entries = []
    for k, name in enumerate(ids):
        files = {"color": root / f"{name}.png", "depth": root / f"{name}.npy"}
        root.mkdir(exist_ok=True)
        write_png(files["color"], np.full((*size, 3), 40 * k, np.uint8))
        np.save(files["depth"], np.full((1, *(depth_size or size)), 0.5, np.float32))
        place = None
        if target is not None:
            place = root / f"{name}.target.npy"
            np.save(place, target[k])
        entries.append(Entry(name, "train", name, files, place))
    write_manifest(root, entries)
    return root


def samples_of(target, ids=("a", "b")):
    inputs = {"x": np.zeros((len(ids), 1, 8, 8), np.float32)}
    return Samples(inputs, {"x": np.ones(len(ids), bool)}, target, ids, ids)


def test_a_folder_of_samples_has_one_manifest(tmp_path):
    folder = folder_of(tmp_path / "own")

    assert own_samples(path=folder) == folder
    assert manifest_of_folder(folder / "manifest.jsonl").modalities == ("color", "depth")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no manifest in it"):
        own_samples(path=tmp_path / "empty")
    (folder / "manifest.csv").write_text("id,split,color\na,train,a.png\n")
    with pytest.raises(DataError, match="two manifests in it"):
        own_samples(path=folder)


def test_a_file_that_is_not_there_is_named_with_its_line(tmp_path):
    folder = folder_of(tmp_path / "own")
    (folder / "b.npy").unlink()

    with pytest.raises(DataError, match=r"manifest.jsonl line 2: no file .*b\.npy"):
        own_samples(path=folder)


def test_a_frame_with_nan_is_named(tmp_path):
    folder = folder_of(tmp_path / "own")
    np.save(folder / "b.npy", np.full((1, 8, 16), np.nan, np.float32))

    with pytest.raises(DataError, match=r"b\.npy of sample 'b': a number that is not finite"):
        image_samples(manifest_of_folder(folder), "train")


def test_modalities_of_several_sizes_are_refused(tmp_path):
    folder = folder_of(tmp_path / "own", depth_size=(8, 8))

    with pytest.raises(DataError, match=r"modality 'depth'.*samples of \(1, 8, 8\).*\(8, 16\)"):
        image_samples(manifest_of_folder(folder), "train")


def test_samples_unlike_those_of_a_model_are_refused(tmp_path):
    manifest = manifest_of_folder(folder_of(tmp_path / "own"))

    only = image_samples(manifest, "train", {"depth": (1, 8, 16)})
    assert list(only.inputs) == list(only.present) == ["depth"]
    with pytest.raises(DataError, match=r"'color'.*samples of \(3, 8, 16\).*\(3, 16, 16\)"):
        image_samples(manifest, "train", {"color": (3, 16, 16), "depth": (1, 16, 16)})
    with pytest.raises(DataError, match="no modality 'flow'; expected color, flow"):
        image_samples(manifest, "train", {"color": (3, 8, 16), "flow": (2, 8, 16)})


# -- targets --------------------------------------------------------------------------------------


def test_targets_are_points_in_space_or_masks_of_the_pictures_size():
    points = np.zeros((2, 5, 3), np.float32)
    masks = np.zeros((2, 8, 8), np.int64)

    assert target_of(samples_of(points))[0] == "points"
    assert target_of(samples_of(masks))[0] == "classes"
    for wrong in (np.zeros((2, 0), np.float32), np.zeros((2, 4, 4), np.int64), points[..., :2]):
        with pytest.raises(DataError, match="expected points in space"):
            target_of(samples_of(wrong))


def hand(random):
    return normalised(random.standard_normal((21, 3)))[0].astype(np.float32)


def test_key_points_in_another_order_are_refused_by_sample():
    random = np.random.default_rng(0)
    good = np.stack([hand(random), hand(random)])
    wrist_last, tips_last, scaled = good.copy(), good.copy(), good.copy()
    wrist_last[1] = np.roll(good[1], -1, axis=0)
    tips_last[1, 1:] = good[1, 1:].reshape(5, 4, 3)[:, ::-1].reshape(20, 3)
    scaled[1] *= 0.05

    assert target_of(samples_of(good), "hand")[1] is not None
    for wrong, words in (
        (wrist_last, "'b': key point 0 is not at 0"),
        (tips_last, "'b': the bone between key points 12 and 11 is not of length 1"),
        (scaled, "'b': the bone between key points 12 and 11 is not of length 1"),
        (good[:, :20], "'a': 20 key points"),
    ):
        with pytest.raises(DataError, match=words):
            target_of(samples_of(wrong), "hand")
        assert target_of(samples_of(wrong), "any")[0] == "points"


# -- noise ----------------------------------------------------------------------------------------


def test_pictures_are_images_and_arrays_what_they_are_said_to_be(tmp_path):
    manifest = manifest_of_folder(folder_of(tmp_path / "own"))

    assert layouts_of(manifest, {}) == {"color": "image", "depth": "vector"}
    assert layouts_of(manifest, {"depth": "depth"}) == {"color": "image", "depth": "depth"}
    with pytest.raises(ParameterError, match="a layout of 'flow'; expected color, depth"):
        layouts_of(manifest, {"flow": "flow"})


@pytest.mark.parametrize(
    ("layout", "channels", "kind"),
    [("image", 3, "occlusion"), ("flow", 2, "flow_scaling"), ("depth", 1, "depth_holes")],
)
def test_noise_is_that_of_the_sample_turned_to_its_layout(layout, channels, kind):
    values = np.random.default_rng(1).uniform(0.1, 0.9, (3, channels, 8, 16)).astype(np.float32)
    severities = np.array([0.0, 0.6, 0.6])

    found = noised(values, kind, severities, layout, seed=4, epoch=2, modality=1, indices=[7, 8, 9])

    one = values[2, 0] if layout == "depth" else np.moveaxis(values[2], 0, -1)
    alone = corrupt(one, kind, 0.6, stream(4, 2, 9, 1), layout=layout)
    alone = alone[None] if layout == "depth" else np.moveaxis(alone, -1, 0)
    assert found.shape == values.shape
    assert np.array_equal(found[0], values[0])
    assert np.array_equal(found[2], alone)
    assert not np.array_equal(found[2], values[2])


def test_depth_has_one_channel():
    with pytest.raises(DataError, match="depth: 3 channels; expected 1"):
        noised(np.ones((1, 3, 8, 8)), "gaussian", np.ones(1), "depth", seed=0)
