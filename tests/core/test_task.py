"""What a running component may ask for, and that asking is harmless outside a run."""

import contextvars
import os
import threading

import pytest

from assay.core.component import component, describe
from assay.core.events import read_events
from assay.core.store import Store
from assay.core.task import Task, _current, available_cores, task
from assay.core.worker import Request, execute, step_key


@pytest.fixture
def outside(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


# -- outside a run ------------------------------------------------------------------------------


def test_outside_a_run_every_call_is_harmless(outside, tmp_path):
    here = task()
    folder = here.scratch()
    (folder / "checkpoint").touch()
    here.progress(1, 2, "steps")
    here.event("loss", value=0.5)

    assert (here.step, here.key) == ("", "")
    assert here.threads == available_cores() >= 1
    assert folder.parent == tmp_path
    assert here.scratch() == folder


def test_outside_a_run_each_asking_is_fresh(outside):
    assert not any(task().scratch().iterdir())
    assert task().scratch() != task().scratch()


# -- inside a run -------------------------------------------------------------------------------


def running(folder=None, heard=None):
    return Task("train[fold=1]", "key", 2, folder, heard.append if heard is not None else None)


def test_a_step_sees_its_own_context_and_the_caller_none():
    inside = running()

    def look():
        _current.set(inside)
        return task()

    assert contextvars.copy_context().run(look) is inside
    assert task() is not inside


def test_another_thread_gets_the_harmless_stand_in():
    found = []
    token = _current.set(running())
    try:
        thread = threading.Thread(target=lambda: found.append(task().key))
        thread.start()
        thread.join()
    finally:
        _current.reset(token)

    assert found == [""]


def test_the_working_folder_is_made_when_it_is_asked_for(tmp_path):
    inside = running(tmp_path / "scratch" / "key")

    assert not inside.used_scratch
    assert not (tmp_path / "scratch").exists()
    folder = inside.scratch()
    (folder / "a").touch()
    assert inside.scratch() == folder == tmp_path / "scratch" / "key"
    assert inside.used_scratch
    assert running(tmp_path / "scratch" / "key").scratch().joinpath("a").exists()


def test_an_event_says_which_step_it_belongs_to():
    heard = []
    running(heard=heard).event("loss", value=0.5)

    assert heard == [{"kind": "loss", "step": "train[fold=1]", "key": "key", "value": 0.5}]


def test_progress_in_an_inner_loop_sends_few_events_and_always_the_last():
    heard = []
    inside = running(heard=heard)
    for done in range(1, 10_001):
        inside.progress(done, 10_000, "samples")

    assert 1 < len(heard) < 1000
    assert heard[0]["done"] == 1.0
    assert heard[-1] == {
        "kind": "progress", "step": "train[fold=1]", "key": "key",
        "done": 10_000.0, "total": 10_000.0, "unit": "samples",
    }  # fmt: skip


def test_progress_without_a_known_total_does_not_flood():
    heard = []
    inside = running(heard=heard)
    for done in range(10_000):
        inside.progress(done, 0, "samples")

    assert 1 <= len(heard) < 1000


def test_cores_are_those_this_process_may_use():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert available_cores() == len(before)


# -- durable ------------------------------------------------------------------------------------


@component
def trains(*, epochs: int = 3, fail_at: int = -1) -> list[int]:
    """Write a checkpoint after every epoch; say which epochs this attempt computed."""
    folder, done = task().scratch(), []
    for epoch in range(epochs):
        if (folder / f"{epoch}").exists():
            continue
        if epoch == fail_at and not (folder / "failed").exists():
            (folder / "failed").touch()
            raise RuntimeError("killed")
        (folder / f"{epoch}").touch()
        done.append(epoch)
        task().progress(epoch + 1, epochs, "epochs")
        task().event("epoch", number=epoch, threads=task().threads)
    return done


def test_a_step_that_failed_is_taken_up_from_its_checkpoint(tmp_path):
    store = Store(tmp_path / "store")
    form = {"epochs": 4, "fail_at": 2}
    made = describe(trains)
    key, heard = step_key(made, form, {}), []
    request = Request(key, "train", made, form, form, {}, str(store.root), 1)

    first = execute(request, heard.append)
    assert first.status == "failed"
    assert (store.scratch(key) / "1").exists()
    second = execute(request, heard.append)

    assert second.status == "done", second.error
    assert store.get(store.step(key).outputs[""]) == [2, 3]
    assert not store.scratch(key).exists()  # what is finished needs no working folder
    assert [e["number"] for e in heard if e["kind"] == "epoch"] == [0, 1, 2, 3]
    assert {e["key"] for e in heard} == {key}
    assert task().key == ""


def test_events_of_a_step_reach_the_log_of_its_run(tmp_path):
    from assay import Study, Workflow

    flow = Workflow("training")
    flow.step("train", trains, epochs=2)
    run = Study(flow).run(store=tmp_path / "store", workers=0, progress=False, report=False)

    events = read_events(run.folder / "events.jsonl")
    assert [e["number"] for e in events if e["kind"] == "epoch"] == [0, 1]
    assert [e["kind"] for e in events][:3] == ["run_started", "planned", "step_started"]
    assert not [e for e in events if e["kind"] == "progress"]
