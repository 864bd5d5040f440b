"""Values in the store are damaged between two runs and in the middle of one."""

import json
import os
import shutil
from pathlib import Path

import pytest

from assay.core.events import read_events
from assay.core.store import Store
from faults import farm


def object_of(store, step, port=""):
    """A stored value of one step, as a file or folder, and its manifest."""
    home = Store(store)
    name = f"faults.farm:{step}"
    manifest = min((m for m in home.steps() if m.component == name), key=lambda m: m.key)
    return home.path(manifest.outputs[port]), manifest


def flip(path: Path) -> None:
    """Change one byte and keep the size."""
    file = max(path.rglob("*"), key=lambda p: p.stat().st_size) if path.is_dir() else path
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x40
    file.write_bytes(data)


def cut(path: Path) -> None:
    """Lose the last half."""
    file = max(path.rglob("*"), key=lambda p: p.stat().st_size) if path.is_dir() else path
    os.truncate(file, file.stat().st_size // 2)


def empty(path: Path) -> None:
    """Lose all."""
    file = max(path.rglob("*"), key=lambda p: p.stat().st_size) if path.is_dir() else path
    os.truncate(file, 0)


def lose(path: Path) -> None:
    """Delete it."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def quarantined(yard):
    return [p.name for p in (yard.store / "quarantine").iterdir()]


@pytest.mark.parametrize("harm", [flip, cut, empty, lose])
def test_damaged_records_are_noticed_quarantined_and_computed_again(yard, harm):
    first = yard.run("farm")
    wanted, began = yard.digests(), len(yard.diary())
    path, manifest = object_of(yard.store, "weigh")
    harm(path)

    second = yard.run("farm")

    assert second.ok
    assert second.records.equals(first.records)
    assert [key for key, *_ in yard.diary()[began:]] == [manifest.key]
    assert yard.digests() == wanted
    assert yard.sound()
    assert any(path.name in name for name in quarantined(yard)) == (harm is flip)


@pytest.mark.parametrize(
    ("harm", "workers"), [(flip, 0), (flip, 1), (cut, 0), (empty, 0), (lose, 0)]
)
def test_a_damaged_input_of_what_has_to_run_is_computed_again_in_the_same_run(yard, harm, workers):
    first = yard.run("farm")
    wanted, began = yard.digests(), len(yard.diary())
    lose(object_of(yard.store, "weigh")[0])
    home = Store(yard.store)
    for m in home.steps():
        if m.component == "faults.farm:harvest":
            harm(home.path(m.outputs[""]))

    second = yard.run("farm", workers=workers)

    ran = [step for _, step, *_ in yard.diary()[began:]]
    assert second.ok
    assert sorted(ran) == ["sum", "weight"]
    assert second.records.equals(first.records)
    assert yard.digests() == wanted
    if harm is flip:  # the size is right, so only the reader could see it
        kinds = [e["kind"] for e in read_events(second.folder / "events.jsonl")]
        assert kinds.count("damaged") == 1
        assert len(quarantined(yard)) == 1


@pytest.mark.parametrize("harm", [flip, lose])
def test_damage_three_steps_back_is_mended_from_there(yard, harm):
    yard.run("farm")
    wanted, began = yard.digests(), len(yard.diary())
    for step, port in (("seedlings", ""), ("grow", ""), ("harvest", ""), ("weigh", "")):
        home = Store(yard.store)
        for m in home.steps():
            if m.component == f"faults.farm:{step}" and home.path(m.outputs[port]).exists():
                harm(home.path(m.outputs[port]))

    second = yard.run("farm")

    assert second.ok
    assert len(yard.diary()) - began == 1 + 12 + 4 + 4  # the soils were whole
    assert yard.digests() == wanted
    assert yard.sound()


def test_two_swapped_values_are_noticed_and_computed_again(yard):
    first = yard.run("farm")
    wanted = yard.digests()
    home = Store(yard.store)
    one, two = [
        home.path(m.outputs[""]) for m in home.steps() if m.component == "faults.farm:weigh"
    ][:2]
    spare = yard.folder / "spare"
    for source, target in ((one, spare), (two, one), (spare, two)):
        shutil.move(source, target)

    second = yard.run("farm")

    assert second.ok
    assert second.records.equals(first.records)
    assert yard.digests() == wanted
    assert yard.sound()


def test_swapped_arrays_are_noticed_by_their_reader(yard):
    yard.run("farm")
    wanted = yard.digests()
    home = Store(yard.store)
    for m in home.steps():
        if m.component in ("faults.farm:harvest", "faults.farm:weigh"):
            home.path(m.outputs[""]).unlink()
    crops = [home.path(m.outputs[""]) for m in home.steps() if m.component == "faults.farm:grow"]
    for one, two in zip(crops[::2], crops[1::2], strict=True):
        spare = yard.folder / "spare"
        for source, target in ((one, spare), (two, one), (spare, two)):
            shutil.move(source, target)

    assert yard.run("farm").ok
    assert yard.digests() == wanted
    assert yard.sound()


@pytest.mark.parametrize("harm", ["cut", "flip", "other", "renamed"])
def test_a_damaged_manifest_counts_as_absent_and_is_written_anew(yard, harm):
    yard.run("farm")
    wanted, began = yard.digests(), len(yard.diary())
    home = Store(yard.store)
    _, manifest = object_of(yard.store, "weigh")
    path = home.manifest_path(manifest.key)
    if harm == "cut":
        cut(path)
    elif harm == "flip":
        flip(path)
    elif harm == "renamed":
        other = next(m for m in home.steps() if m.component == "faults.farm:grow")
        path.write_bytes(home.manifest_path(other.key).read_bytes())
    else:
        path.write_text(json.dumps({"sha256": "0" * 64, "step": {}}))

    assert yard.run("farm").ok
    assert [key for key, *_ in yard.diary()[began:]] == [manifest.key]
    assert yard.digests() == wanted
    assert any(path.name in name for name in quarantined(yard))


def test_a_value_damaged_while_the_run_is_under_way_is_computed_again(yard, monkeypatch):
    """The store loses a byte after the value was written and before it is read."""
    write_point = []

    def reached(point):
        write_point.append(point)
        if len(write_point) == 12:
            for path in sorted((yard.store / "objects").glob("*/*.arrays")):
                flip(path)

    wanted = yard.undisturbed("farm")
    monkeypatch.setattr(farm.assay.core.store, "reached", reached)
    run = yard.run("farm")

    assert run.ok
    assert yard.digests() == wanted
    kinds = [e["kind"] for e in read_events(run.folder / "events.jsonl")]
    assert "damaged" in kinds
    assert len(quarantined(yard)) >= 1


def test_a_value_that_is_always_damaged_ends_in_one_clear_line(yard, monkeypatch):
    def reached(point):
        if point == "manifest-placed":
            for path in (yard.store / "objects").glob("*/*.arrays"):
                flip(path)

    monkeypatch.setattr(farm.assay.core.store, "reached", reached)
    run = yard.run("farm")

    assert not run.ok
    assert all("not those that were written" in e["error"] for e in run.summary["errors"])
