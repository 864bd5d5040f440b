"""Checkpoints: whole or not at all, and only for the run they belong to."""

import os
import resource
import subprocess

import pytest
import torch

from assay.errors import DataError, StoreError
from assay.parts.training.checkpoints import Checkpoints

IDENTITY = {"model": "net abc", "rate": 0.1, "betas": (0.9, 0.99)}


def tensors(value, size=10):
    return {"weights": torch.full((size,), value), "step": torch.tensor(value)}


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_the_last_one_is_read_and_the_one_before_is_gone(tmp_path):
    kept = Checkpoints(tmp_path / "new" / "folder", IDENTITY)
    assert kept.load() is None
    kept.save(9, tensors(1.0))
    kept.save(10, tensors(2.0))

    found = Checkpoints(kept.folder, IDENTITY).load()

    assert found is not None
    assert (found["weights"] == 2.0).all()
    assert names(kept.folder) == ["checkpoint-10"]


def test_what_a_kill_left_unfinished_is_passed_over(tmp_path, monkeypatch):
    kept = Checkpoints(tmp_path, IDENTITY)
    kept.save(1, tensors(1.0))
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            kept.save(2, tensors(2.0))
    assert names(tmp_path) == ["checkpoint-1", "unfinished-checkpoint"]

    found = kept.load()

    assert found is not None
    assert (found["weights"] == 1.0).all()
    assert names(tmp_path) == ["checkpoint-1"]


def test_a_kill_between_rename_and_removal_leaves_the_later_one(tmp_path):
    kept = Checkpoints(tmp_path, IDENTITY)
    for step in (2, 10):
        Checkpoints(tmp_path / str(step), IDENTITY).save(step, tensors(float(step)))
        os.rename(tmp_path / str(step) / f"checkpoint-{step}", tmp_path / f"checkpoint-{step}")

    found = kept.load()

    assert found is not None
    assert (found["weights"] == 10.0).all()


@pytest.mark.parametrize(
    ("name", "value", "said"), [("rate", 0.2, "0.1; expected 0.2"), ("model", "x", "net abc")]
)
def test_that_of_another_run_is_refused_in_one_line(tmp_path, name, value, said):
    Checkpoints(tmp_path, IDENTITY).save(1, tensors(1.0))

    with pytest.raises(DataError) as caught:
        Checkpoints(tmp_path, {**IDENTITY, name: value}).load()

    assert f"its {name} is" in str(caught.value)
    assert said in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert Checkpoints(tmp_path, IDENTITY).load() is not None


def test_a_damaged_one_is_refused_with_its_file(tmp_path):
    Checkpoints(tmp_path, IDENTITY).save(1, tensors(1.0))
    path = tmp_path / "checkpoint-1" / "part-0.safetensors"
    path.write_bytes(path.read_bytes()[:-8])

    with pytest.raises(DataError, match=r"part-0\.safetensors.*cannot be read.*Remove its folder"):
        Checkpoints(tmp_path, IDENTITY).load()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of half a mebibyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_on_a_full_disk_the_one_before_stays_whole(small_disk):
    kept = Checkpoints(small_disk, IDENTITY)
    kept.save(1, tensors(1.0, 60_000))

    with pytest.raises(StoreError, match=r"disk: a write was refused.*No space left") as caught:
        kept.save(2, tensors(2.0, 100_000))

    assert len(str(caught.value).splitlines()) == 1
    assert names(small_disk) == ["checkpoint-1"]
    found = kept.load()
    assert found is not None
    assert (found["weights"] == 1.0).all()
    kept.save(3, tensors(3.0, 10))
    assert names(small_disk) == ["checkpoint-3"]


def test_a_file_that_may_not_grow_is_refused(tmp_path):
    kept = Checkpoints(tmp_path, IDENTITY)
    kept.save(1, tensors(1.0))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, limits[1]))
        with pytest.raises(StoreError, match="a write was refused"):
            kept.save(2, tensors(2.0, 9999))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert names(tmp_path) == ["checkpoint-1"]
