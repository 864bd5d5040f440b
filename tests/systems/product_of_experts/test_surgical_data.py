"""Rendered scenes on disk: a manifest that is read back, files that say the same."""

import numpy as np
import pytest

from assay.errors import ParameterError
from assay.systems.product_of_experts.flow_files import read_flo
from assay.systems.product_of_experts.manifest import load, read_manifest
from assay.systems.product_of_experts.surgical_data import rendered_surgery
from assay.systems.product_of_experts.surgical_scene import sequence


@pytest.fixture(scope="module")
def folder():
    return rendered_surgery(sequences=5, frames=3, height=48, width=64, seed=11)


def test_each_sequence_is_a_group_in_one_split(folder):
    manifest = read_manifest(folder / "manifest.jsonl")

    assert manifest.modalities == ("rgb", "flow", "depth", "render")
    groups = {}
    for entry in manifest.entries:
        groups.setdefault(entry.split, []).append(entry.group)
    assert groups == {
        "train": [f"sequence_00{k}" for k in (0, 0, 0, 1, 1, 1, 2, 2, 2)],
        "validation": ["sequence_003"] * 3,
        "test": ["sequence_004"] * 3,
    }


def test_the_files_hold_what_was_rendered(folder):
    samples = load(read_manifest(folder / "manifest.jsonl"), "validation")

    frames = list(sequence(3, np.random.default_rng([11, 3]), height=48, width=64))
    for k, frame in enumerate(frames):
        for name in ("rgb", "render"):
            told = np.moveaxis(samples.inputs[name][k], 0, -1)
            assert np.allclose(told, getattr(frame, name) / 255, atol=1e-6)
        assert np.array_equal(samples.inputs["flow"][k], frame.flow)
        assert np.array_equal(samples.inputs["depth"][k], frame.depth_m)
        assert np.array_equal(samples.target[k], frame.mask)
    assert set(np.unique(samples.target)) == {0, 1, 2, 3}


def test_the_two_files_of_a_flow_say_the_same(folder):
    arrays = sorted((folder / "flow").glob("*.npy"))

    assert len(arrays) == 15
    for path in arrays:
        assert np.array_equal(np.load(path), read_flo(path.with_suffix(".flo")))


def test_it_says_that_it_is_synthetic(folder):
    assert "SYNTHETIC" in (folder / "README.txt").read_text(encoding="utf-8")


def test_a_sequence_does_not_depend_on_how_many_there_are(folder):
    alone = rendered_surgery(
        sequences=1, frames=3, height=48, width=64, validation_share=0.0, test_share=0.0, seed=11
    )

    for path in sorted(alone.rglob("sequence_000*")):
        assert path.read_bytes() == (folder / path.relative_to(alone)).read_bytes()
    other = rendered_surgery(sequences=1, frames=1, height=48, width=64, flo=False, seed=12)
    assert [path.suffix for path in (other / "flow").iterdir()] == [".npy"]
    name = "rgb/sequence_000_frame_0000.png"
    assert (other / name).read_bytes() != (folder / name).read_bytes()


def test_something_is_left_to_train_on():
    with pytest.raises(ParameterError, match="1 for validation and 1 for test of 2 sequences"):
        rendered_surgery(sequences=2, frames=1, validation_share=0.5, test_share=0.5, seed=0)
