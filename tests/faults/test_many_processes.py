"""Several processes run one study on one store at the same time."""

import time
from collections import Counter

from assay.core.index import Index
from assay.core.run import Run
from assay.core.store import Store
from faults.yard import PATIENCE


def test_eight_processes_compute_each_step_once_agree_and_are_all_indexed(yard):
    children = [yard.start("farm") for _ in range(8)]
    said = [child.communicate(timeout=PATIENCE) for child in children]

    assert [child.returncode for child in children] == [0] * 8, said
    times = Counter(key for key, *_ in yard.diary())
    assert len(times) == 25
    assert set(times.values()) == {1}
    assert yard.digests() == yard.undisturbed("farm")
    assert yard.sound()

    home = Store(yard.store)
    rows = Index(home).runs()
    frames = [Run(home, row["run"]).records for row in rows]
    assert [row["status"] for row in rows] == ["done"] * 8
    assert all(frame.equals(frames[0]) for frame in frames)
    assert list((yard.store / "tmp").iterdir()) == []
    assert [p for p in (yard.store / "leases").iterdir() if p.name[0] != "."] == []


def test_one_of_several_processes_is_killed_and_the_others_take_its_step_over(yard):
    doomed = yard.start("farm", FARM_STOP="before-manifest:1")
    while not yard.diary() and doomed.poll() is None:
        time.sleep(0.05)
    others = [yard.start("farm") for _ in range(3)]
    for child in [doomed, *others]:
        child.communicate(timeout=PATIENCE)

    assert doomed.returncode < 0
    assert [child.returncode for child in others] == [0] * 3
    assert yard.digests() == yard.undisturbed("farm")
