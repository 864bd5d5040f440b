"""The disk is full, for real: a small file system, or a limit on the size of files."""

import os
import resource
import subprocess
import sys

import pytest

from assay.core.files import to_yaml
from assay.core.store import Store
from faults import farm
from faults.yard import MODULES, PATIENCE


def command(yard, store, limit=None):
    """`assay run` of the farm in a process of its own: exit code and standard error."""
    (yard.folder / "farm.yaml").write_text(to_yaml(farm.farm()), encoding="utf-8")
    words = ["run", "farm.yaml", "--workers", "0", "--store", str(store), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "assay.app.cli", *words],
        cwd=yard.folder,
        env={**os.environ, "PYTHONPATH": MODULES},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        preexec_fn=limit,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def half_written(store):
    """Files that an interrupted write would leave."""
    return [p for p in store.rglob("*") if p.parent.name == "tmp" or p.name.startswith(".r")]


def whole(yard):
    """Every manifest and value is what was written."""
    return yard.sound() and all(m.outputs for m in Store(yard.store).steps())


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


@pytest.mark.parametrize("free_kib", [0, 40, 90])
def test_on_a_full_disk_a_run_says_so_keeps_what_is_finished_and_goes_on_later(
    yard, small_disk, free_kib
):
    wanted = yard.undisturbed("farm")
    yard.store = small_disk / "store"
    Store(yard.store)
    ballast = small_disk / "ballast"
    free = os.statvfs(small_disk)
    ballast.write_bytes(bytes(free.f_bavail * free.f_bsize - free_kib * 1024))

    code, out, err = command(yard, yard.store)

    assert code == 1
    assert "Traceback" not in err
    assert "not foreseen" not in err
    assert "a write was refused" in out + err
    assert "No space left on device" in out + err
    assert half_written(yard.store) == []
    assert whole(yard)

    ballast.unlink()
    finished, began = set(yard.digests()), len(yard.diary())
    assert len(finished) < 25
    run = yard.run("farm")

    assert run.ok
    assert {key for key, *_ in yard.diary()[began:]} & finished == set()
    assert yard.digests() == wanted


def test_a_file_that_may_not_grow_is_refused_and_nothing_half_written_stays(yard):
    wanted = yard.undisturbed("farm")

    code, out, err = command(
        yard, yard.store, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))
    )

    assert code == 1
    assert "Traceback" not in err
    assert "a write was refused (File too large)" in out + err
    assert half_written(yard.store) == []
    assert whole(yard)
    assert yard.run("farm").ok
    assert yard.digests() == wanted


def test_a_store_that_cannot_be_made_is_refused_before_anything_runs(yard):
    (yard.folder / "file").touch()

    code, _, err = command(yard, yard.folder / "file")

    assert code in (1, 2)
    assert len(err.splitlines()) == 1
    assert str(yard.folder / "file") in err
    assert yard.diary() == []
