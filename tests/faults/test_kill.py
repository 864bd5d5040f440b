"""Processes are killed at random moments and at every write point; the next run goes on from there.

Three things hold after each: the second run gives what an undisturbed run gives, every value in the
store is whole, and no step that was finished is computed again.
"""

import inspect
import os
import random
import re
import signal
import time

import pytest

import assay.core.store
from assay.core.events import read_events
from faults.yard import PATIENCE, kill_group, of_group

POINTS = sorted(set(re.findall(r'\breached\("([^"]+)"\)', inspect.getsource(assay.core.store))))


def second_run_goes_on(yard, study, wanted, workers=0):
    """Run again: what was finished is not repeated and the result is that of no disturbance."""
    assert yard.sound()
    finished, began = set(yard.digests()), len(yard.diary())
    run = yard.run(study, workers=workers)

    repeated = {key for key, *_ in yard.diary()[began:]} & finished
    assert run.ok
    assert repeated == set()
    assert yard.digests() == wanted
    assert yard.sound()
    return finished, run


def test_the_store_names_its_write_points():
    assert {"object-written", "object-placed", "before-manifest", "manifest-placed"} <= {*POINTS}


@pytest.mark.parametrize("count", [1, 9])
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_write_point_the_next_run_gives_the_same_digests(yard, point, count):
    if point == "flushed":
        count = 1  # a fast run flushes once, at its end
    child = yard.start("farm", FARM_STOP=f"{point}:{count}")
    said = child.communicate(timeout=PATIENCE)

    assert child.returncode == -signal.SIGKILL, said
    finished, _ = second_run_goes_on(yard, "farm", yard.undisturbed("farm"))
    assert len(finished) < 25 or point == "flushed"


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_with_its_process_group_at_random_moments_the_next_run_repeats_nothing(
    yard, workers
):
    source = random.Random(workers)
    for _ in range(1 if workers else 4):
        lines = len(yard.diary()) + source.randrange(1, 6)
        child = yard.start("farm", workers)
        until = time.monotonic() + PATIENCE
        while len(yard.diary()) < lines and child.poll() is None and time.monotonic() < until:
            time.sleep(0.001)
        kill_group(child)
        assert of_group(child.pid) == []

    second_run_goes_on(yard, "farm", yard.undisturbed("farm"))


def test_killed_alone_the_driver_leaves_no_worker_behind(yard):
    child = yard.start("sleepers", 2)
    wait_until(lambda: len(list(yard.marks.glob("asleep-*"))) == 2)
    os.kill(child.pid, signal.SIGKILL)
    child.wait(timeout=PATIENCE)

    wait_until(lambda: of_group(child.pid) == [])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_killed_in_the_middle_of_a_step_is_replaced_and_the_run_ends_right(yard, workers):
    run = yard.run("hasty", workers=workers)

    assert run.ok
    assert run.summary["errors"] == []
    assert sorted(p.name for p in yard.marks.iterdir()) == ["killed-1", "killed-5"]
    assert yard.digests() == yard.undisturbed("hasty")


@pytest.mark.parametrize(
    ("study", "killers", "others"),
    [
        ("deadly", [1], 4),
        pytest.param("deadlier", [1, 3, 4, 8], 6, marks=pytest.mark.slow),
    ],
)
def test_a_step_that_always_kills_its_worker_fails_in_one_line_and_stops_no_other_trial(
    yard, study, killers, others
):
    run = yard.run(study, workers=2)

    lost = [t["trial"] for t in run.trials if t["steps"]["visit"][0]["status"] == "failed"]
    assert lost == killers
    assert run.summary["failed"] == len(killers)
    assert len(run.records) == others
    assert {e["error"] for e in run.summary["errors"]} == {
        "visit: the process that ran it was killed each time (out of memory?)"
    }
    alone = [e for e in read_events(run.folder / "events.jsonl") if e["kind"] == "killed"]
    assert len(alone) >= len(killers)  # each was given another try with nothing beside it


def test_training_goes_on_from_its_last_checkpoint_in_the_same_run(yard):
    run = yard.run("training", workers=1)

    assert run.ok
    assert [words for _, step, _, words in yard.diary() if step == "fit"] == [
        f"epoch {n}" for n in range(6)
    ]
    assert len({pid for _, step, pid, _ in yard.diary() if step == "fit"}) == 2
    assert list((yard.store / "scratch").iterdir()) == []


def test_training_killed_with_its_driver_goes_on_in_the_next_run(yard):
    child = yard.start("training")
    child.communicate(timeout=PATIENCE)
    assert child.returncode == -signal.SIGKILL
    assert [words for *_, words in yard.diary()] == [f"epoch {n}" for n in range(4)]

    wanted = yard.undisturbed("training")
    _, run = second_run_goes_on(yard, "training", wanted)

    assert [words for _, step, _, words in yard.diary() if step == "fit"] == [
        f"epoch {n}" for n in range(6)
    ]
    losses = run.records.set_index("epoch")["value"]
    assert list(losses.index) == [0, 2, 5]
    assert losses[5] < losses[0]


def test_a_leftover_of_a_killed_write_is_collected(yard):
    child = yard.start("farm", FARM_STOP="object-written:3")
    child.communicate(timeout=PATIENCE)
    assert len(list((yard.store / "tmp").iterdir())) == 1

    from assay.core.garbage import find_garbage
    from assay.core.store import Store

    later = time.time() + 2 * 24 * 3600
    paths = find_garbage(Store(yard.store), [], now=later).paths
    assert {p for p in paths if p.parent.name == "tmp"} == {*(yard.store / "tmp").iterdir()}


def wait_until(condition) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.02)
