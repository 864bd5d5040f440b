"""Rendered hands in the layout of RHD, and hands of that layout as samples."""

import shutil

import numpy as np
import pytest

from assay.errors import DataError
from assay.systems.product_of_experts.hand_data import (
    hands_from_rhd,
    recorded_hands,
    rendered_hands,
)
from assay.systems.product_of_experts.hand_folders import (
    Box,
    HandFolder,
    box_around,
    crop,
    normalised,
    palm_from_wrist,
    read_labels,
    wrist_from_palm,
)
from assay.systems.product_of_experts.manifest import Entry, load, read_manifest
from assay.systems.product_of_experts.rhd import dominant_is_left, read_rhd
from assay.systems.product_of_experts.rhd_annotations import write_annotations

SIZES = {"training": 24, "evaluation": 8, "people": 5, "evaluation_people": 2}


@pytest.fixture(scope="module")
def rendered(step):
    return step("rendered", rendered_hands, **SIZES, seed=3)


@pytest.fixture(scope="module")
def samples(step, rendered):
    return step("samples", hands_from_rhd, rendered, size=64, depth_grain=1, least_visible=1)


@pytest.fixture(scope="module")
def truth(rendered):
    """By the name of a sample: what the data say of it, whether it is a left hand, its points."""
    found = {}
    for split, name in (("training", "train"), ("evaluation", "test")):
        for one in read_rhd(rendered, split):
            left = dominant_is_left(one.mask)
            found[f"{name}_{one.number:05d}"] = one, left, slice(0, 21) if left else slice(21, 42)
    return found


def bytes_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# -- rendered ------------------------------------------------------------------------------------


def test_rendered_hands_are_the_layout_of_rhd(rendered, truth):
    assert "SYNTHETIC" in (rendered / "README.txt").read_text()
    assert len(truth) == 32
    for one, _, own in truth.values():
        assert one.color.shape == (64, 64, 3)
        shown = one.known.xyz @ one.known.camera.T
        assert np.allclose(shown[:, :2] / shown[:, 2:], one.known.uv, atol=1e-3)
        visible = one.known.visible[own]
        assert visible.any()
        assert one.known.visible.sum() == visible.sum()  # nothing of the other hand
        column, row = np.rint(one.known.uv[own][visible]).astype(int).T
        behind = one.known.xyz[own][visible][:, 2] - one.depth_m[row, column]
        assert (behind < 0.035).all()
    assert {left for _, left, _ in truth.values()} == {True, False}


def test_the_same_seed_gives_the_same_bytes_and_another_other_hands(step, rendered):
    same = step("same", rendered_hands, **SIZES, seed=3)
    other = step("other", rendered_hands, **SIZES, seed=4)

    assert bytes_of(same) == bytes_of(rendered)
    one, two = (next(read_rhd(folder, "training")) for folder in (rendered, other))
    assert not np.allclose(one.known.xyz, two.known.xyz)


def test_the_splits_show_other_people_in_other_poses(rendered, truth):
    rows = [line.split(",") for line in (rendered / "people.csv").read_text().splitlines()[1:]]
    people = {split: {r[2] for r in rows if r[0] == split} for split in ("training", "evaluation")}

    assert {len(p) for p in people.values()} == {5, 2}
    assert not people["training"] & people["evaluation"]
    assert not np.allclose(truth["train_00000"][0].known.xyz, truth["test_00000"][0].known.xyz)


def test_own_hands_are_checked(tmp_path, rendered):
    assert recorded_hands(path=rendered) == rendered
    with pytest.raises(DataError, match=r"no hands in it; expected training/anno_training.pickle"):
        recorded_hands(path=tmp_path)
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "anno_training.pickle").write_bytes(b"cos\nsystem\n.")
    with pytest.raises(DataError, match=r"it names os.system"):
        recorded_hands(path=tmp_path)


# -- samples -------------------------------------------------------------------------------------


def test_targets_and_labels_give_back_the_key_points(samples, truth):
    said, labels = read_manifest(samples / "manifest.jsonl"), read_labels(samples)

    assert said.splits == ("train", "test")
    assert said.modalities == ("color", "depth", "mask")
    assert labels.id == tuple(entry.id for entry in said.entries) == tuple(truth)
    target = np.concatenate([load(said, split).target for split in said.splits])
    points = target * labels.scale_m[:, None, None] + labels.root_m[:, None]
    for k, name in enumerate(labels.id):
        one, left, own = truth[name]
        mirror = np.array([-1.0 if left else 1.0, 1.0, 1.0])
        assert np.allclose(points[k], one.known.xyz[own] * mirror, atol=1e-6)
        assert np.array_equal(labels.visible[k], one.known.visible[own])
    assert not target[:, 0].any()
    assert np.allclose(np.linalg.norm(target[:, 12] - target[:, 11], axis=-1), 1.0, atol=1e-6)


def test_people_stay_together(samples):
    said = read_manifest(samples / "manifest.jsonl")

    assert {entry.group for entry in said.entries} == {f"person_{k}" for k in range(7)}


def test_pictures_show_the_key_points_where_they_are(samples, truth):
    """Also of mirrored hands: a visible key point lies on the mask, and depth is what it is."""
    said = read_manifest(samples / "manifest.jsonl")
    train = load(said, "train")
    for k, name in enumerate(train.id):
        one, left, own = truth[name]
        uv, visible = one.known.uv[own], one.known.visible[own]
        inside = ((uv >= 0) & (uv <= 63)).all(-1)
        box = box_around(uv[visible | inside], 1.3)
        at = (uv[visible] - [box.left, box.top] + 0.5) * 64 / box.side - 0.5
        if left:
            at[:, 0] = 63 - at[:, 0]
        column, row = np.rint(at).astype(int).T
        around = np.stack([
            train.inputs["mask"][k, 0][np.clip(row + i, 0, 63), np.clip(column + j, 0, 63)]
            for i in (-1, 0, 1) for j in (-1, 0, 1)
        ])  # fmt: skip
        wrist = np.flatnonzero(visible)[0] == 0
        assert (around.max(0)[int(wrist) :] == 1.0).all()
        depth = train.inputs["depth"][k, 0]
        hand = train.inputs["mask"][k, 0] == 1.0
        assert np.abs(np.median(depth[hand]) - one.known.xyz[own][:, 2].mean()) < 0.08
    assert set(np.unique(train.inputs["mask"])) == {0.0, 1.0}


def test_a_mask_may_tell_parts_and_depth_may_be_coarse(step, rendered, samples):
    other = step("parts", hands_from_rhd, rendered, mask="parts", depth_grain=4, least_visible=1)
    fine, coarse = (
        load(read_manifest(folder / "manifest.jsonl"), "train") for folder in (samples, other)
    )

    levels = np.unique(np.rint(coarse.inputs["mask"] * 255).astype(int))
    assert set(levels) == {15 * k for k in range(17)}
    assert np.array_equal(coarse.inputs["mask"] > 0, fine.inputs["mask"] > 0)
    blocks = coarse.inputs["depth"].reshape(-1, 16, 4, 16, 4)
    assert (blocks == blocks[:, :, :1, :, :1]).all()
    # a mirrored picture is measured before it is mirrored: of 0 to 3, in pixel 2 or, mirrored, 1
    measured = fine.inputs["depth"].reshape(-1, 16, 4, 16, 4)[:, :, 2]
    same = [(blocks[:, :, 0, :, 0] == measured[..., k]).all((1, 2)) for k in (1, 2)]
    assert (same[0] | same[1]).all()


def test_the_first_point_may_be_the_palm_and_left_hands_stay_left(step, rendered, truth):
    folder = step("palm", hands_from_rhd, rendered, root="palm", mirror=False, least_visible=1)
    labels = read_labels(folder)

    for k, name in enumerate(labels.id):
        one, _, own = truth[name]
        points = one.known.xyz[own]
        assert np.allclose(labels.root_m[k], (points[0] + points[12]) / 2, atol=1e-6)


def test_hands_of_which_little_is_visible_are_left_out(step, rendered, truth):
    folder = step("visible", hands_from_rhd, rendered, least_visible=16, limit=20)
    said = read_manifest(folder / "manifest.jsonl")

    enough = {name for name, (one, _, own) in truth.items() if one.known.visible[own].sum() >= 16}
    looked_at = {f"train_{k:05d}" for k in range(20)} | {f"test_{k:05d}" for k in range(8)}
    assert {entry.id for entry in said.entries} == enough & looked_at
    assert 0 < len(said.entries) < 28
    nothing = shutil.copytree(rendered, folder.parent / "nothing")
    for split in ("training", "evaluation"):
        known = {
            one.number: one.known._replace(visible=np.zeros(42, bool))
            for one in read_rhd(rendered, split)
        }
        write_annotations(nothing / split / f"anno_{split}.pickle", known)
    with pytest.raises(DataError, match="no hand of which enough is visible"):
        step("none", hands_from_rhd, nothing)


# -- key points and crops ------------------------------------------------------------------------


def test_palm_and_wrist_are_each_others_reverse():
    points = np.random.default_rng(0).normal(size=(5, 21, 3))

    assert np.allclose(wrist_from_palm(palm_from_wrist(points)), points)
    assert np.allclose(palm_from_wrist(points)[:, 0], (points[:, 0] + points[:, 12]) / 2)
    assert np.array_equal(palm_from_wrist(points)[:, 1:], points[:, 1:])


def test_key_points_are_normalised_by_hand():
    points = np.zeros((21, 3))
    points[0], points[11], points[12] = [1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [0.0, 0.3, 0.4]

    found, root, scale = normalised(points)

    assert scale == pytest.approx(0.5)
    assert root.tolist() == [1.0, 2.0, 3.0]
    assert found[12] == pytest.approx([-2.0, -3.4, -5.2])
    with pytest.raises(DataError, match="s 3: key points 11 and 12 are one"):
        normalised(np.zeros((21, 3)), "s 3")


def test_a_box_is_square_about_the_middle_and_never_tiny():
    assert box_around(np.array([[10.0, 20.0], [30.0, 24.0]]), 1.55) == Box(top=7, left=5, side=31)
    assert box_around(np.array([[10.0, 20.0]]), 2.0).side == 8


def test_a_crop_beyond_the_picture_is_zeros_there():
    image = np.arange(1, 17, dtype=np.uint8).reshape(4, 4)

    assert crop(image, Box(-1, 2, 4), 4, smooth=False).tolist() == [
        [0, 0, 0, 0], [3, 4, 0, 0], [7, 8, 0, 0], [11, 12, 0, 0]
    ]  # fmt: skip
    assert crop(image, Box(0, 0, 4), 2, smooth=True).tolist() == [[4, 6], [12, 14]]  # to the even
    assert crop(image, Box(0, 0, 4), 2, smooth=False).tolist() == [[6, 8], [14, 16]]
    assert not crop(image, Box(50, 50, 4), 4, smooth=False).any()
    color = np.stack([image] * 3, -1)
    assert crop(color, Box(0, 0, 2), 4, smooth=True).shape == (4, 4, 3)


def test_an_empty_folder_and_missing_labels_are_refused(tmp_path):
    with pytest.raises(DataError, match="no hand of which enough"):
        HandFolder(tmp_path).close("")
    with pytest.raises(DataError, match=r"labels.npz: cannot be read"):
        read_labels(tmp_path)
    (tmp_path / "labels.npz").write_bytes(b"none")
    with pytest.raises(DataError, match=r"labels.npz: cannot be read"):
        read_labels(tmp_path)


def test_a_hand_without_size_is_named(tmp_path):
    with pytest.raises(DataError, match="sample 'x': key points 11 and 12"):
        HandFolder(tmp_path).add(
            Entry("x", "train", "x", {}), {}, np.zeros((21, 3)), np.ones(21, bool), "sample 'x'"
        )
