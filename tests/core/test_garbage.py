"""What a store forgets, and what it must never forget."""

import json
import os
import platform
import subprocess
import sys
import time

import pytest

from assay.core.events import EventLog
from assay.core.garbage import GRACE_SECONDS, collect, find_garbage, size_of, verify
from assay.core.identity import digest
from assay.core.index import Index
from assay.core.store import StepManifest, Store
from assay.errors import StoreError, UsageError


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def step(store, name, value=None, keep=True):
    manifest = StepManifest(
        digest(name), "m:f", "0" * 64, {"n": name}, {},
        {"": store.put(name if value is None else value)}, keep=keep,
    )  # fmt: skip
    store.commit(manifest)
    return manifest


def run(store, name, *steps, status="done", events=(), host="", trials=True):
    """The folder of a run, as the driver writes it."""
    folder = store.root / "runs" / name
    folder.mkdir()
    head = {"run": name, "study": "s", "status": status, "started": 1.0}
    head["host"] = host or platform.node()
    (folder / "run.json").write_text(json.dumps(head))
    log = EventLog(folder / "events.jsonl")
    log({"kind": "run_started"})
    for key in events:
        log({"kind": "step_started", "step": "s", "key": key})
    log.close()
    if trials:
        members = [{"key": m.key} for m in steps] + [{"key": ""}]
        (folder / "trials.json").write_text(json.dumps([{"steps": {"s": members}}]))
    return folder


def old(*paths):
    then = time.time() - 2 * GRACE_SECONDS
    for path in paths:
        os.utime(path, (then, then))


def swept(store, drop=()):
    collect(store, find_garbage(store, list(drop)))
    return store


def names(store):
    return {m.params["n"] for m in store.steps()}


def test_what_a_run_refers_to_is_kept_and_the_rest_is_forgotten(store):
    kept, lost = step(store, "kept"), step(store, "lost")
    run(store, "r", kept)

    garbage = find_garbage(store, [])

    value, manifest = store.path(lost.outputs[""]), store.manifest_path(lost.key)
    assert {*garbage.paths} == {value, manifest}
    assert garbage.bytes == value.stat().st_size + manifest.stat().st_size
    assert names(store) == {"kept", "lost"}  # looking deletes nothing
    collect(store, garbage)
    assert names(store) == {"kept"}
    assert store.get(kept.outputs[""]) == "kept"
    assert not store.path(lost.outputs[""]).exists()


def test_everything_may_go_where_there_is_no_run(store):
    step(store, "a")
    (store.root / "scratch" / "key").mkdir()
    (store.root / "leases" / "key").touch()
    (store.root / "tmp" / ".left").touch()

    swept(store)

    assert {p.name for p in store.root.rglob("*") if p.is_file()} == {"layout", "index.sqlite"}


def test_a_large_intermediate_is_forgotten_and_its_manifest_stays(store):
    large, small = step(store, "large", keep=False), step(store, "small")
    run(store, "r", large, small)

    swept(store)

    assert names(store) == {"large", "small"}
    assert not store.has(large.outputs[""])
    assert store.get(small.outputs[""]) == "small"
    assert verify(store).damaged == []


def test_a_value_that_a_kept_step_gave_too_stays(store):
    large, kept = step(store, "large", "same", keep=False), step(store, "kept", "same")
    run(store, "r", large, kept)

    swept(store)

    assert store.get(large.outputs[""]) == "same"


def test_a_run_that_is_given_up_goes_with_what_only_it_needed(store):
    mine, shared = step(store, "mine"), step(store, "shared")
    run(store, "r1", mine, shared)
    run(store, "r2", shared)

    swept(store, drop=["r1", "r1"])

    assert names(store) == {"shared"}
    assert [row["run"] for row in Index(store).runs()] == ["r2"]


def test_a_run_that_is_not_there_cannot_be_given_up(store):
    run(store, "first")

    with pytest.raises(UsageError, match=r"--drop: no run 'frist'\. Did you mean 'first'"):
        find_garbage(store, ["frist"])


# -- runs without an end ------------------------------------------------------------------------


def test_nothing_is_forgotten_while_a_run_is_under_way(store):
    """Its process may be about to read anything, however old."""
    cached, lost = step(store, "cached"), step(store, "lost")
    large = step(store, "large", keep=False)
    other = step(store, "other")
    run(store, "ended", large)
    run(store, "given up", other)
    folder = run(store, "r", status="running", trials=False)
    (store.root / "scratch" / "key").mkdir()
    (store.root / "tmp" / "unfinished").touch()
    old(*store.root.rglob("*"))
    log = EventLog(folder / "events.jsonl")
    try:
        garbage = find_garbage(store, ["given up"])
        assert (garbage.paths, garbage.held) == ([store.root / "runs" / "given up"], ["r"])
        with pytest.raises(UsageError, match=r"r: is under way\. Stop it, or wait for its end"):
            find_garbage(store, ["r"])
    finally:
        log.close()

    swept(store, drop=["given up"])
    assert names(store) == {"large"}
    assert not store.has(cached.outputs[""])
    assert not store.has(lost.outputs[""])


RUNNING = """
import sys, time
from pathlib import Path
from assay.core.events import EventLog
from assay.core.identity import digest
from assay.core.store import Store, StepManifest
store = Store(sys.argv[1])
log = EventLog(Path(sys.argv[2]))
for n in range(20):
    made = store.put([n])
    store.commit(StepManifest(digest(n), "m:f", "0" * 64, {"n": n}, {}, {"": made}))
print("written", flush=True)
sys.stdin.readline()
ok = all(store.get(store.step(digest(n)).outputs[""]) == [n] for n in range(20))
print("intact" if ok else "lost", flush=True)
"""


@pytest.mark.faults
def test_what_a_process_beside_us_is_making_is_never_forgotten(store):
    folder = run(store, "r", status="running", trials=False)
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNING, str(store.root), str(folder / "events.jsonl")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "written\n"
        old(*store.root.rglob("*"))
        swept(store)
        said, _ = process.communicate("\n", timeout=60)
    finally:
        process.kill()
        process.wait()

    assert said == "intact\n"
    swept(store)
    assert names(store) == set()  # the same sweep, once nobody holds the log


def test_a_killed_run_keeps_its_finished_steps_and_the_folders_of_its_unfinished_ones(store):
    finished, lost = step(store, "finished"), step(store, "lost")
    run(
        store, "r", status="running", trials=False,
        events=[finished.key, "unfinished"],
    )  # fmt: skip
    for key in ("unfinished", finished.key, lost.key, "unknown"):
        (store.root / "scratch" / key).mkdir()
        (store.root / "scratch" / key / "checkpoint").write_text("100 epochs")
    old(*store.root.rglob("*"))

    swept(store)

    assert names(store) == {"finished"}
    assert store.has(finished.outputs[""])
    assert [p.name for p in (store.root / "scratch").iterdir()] == ["unfinished"]
    swept(store, drop=["r"])
    assert [*store.root.glob("scratch/*"), *store.root.glob("objects/*/*")] == []


def test_the_working_folder_of_a_failed_step_is_kept_with_its_run(store):
    run(store, "r", status="failed", events=["failed"])
    (store.root / "scratch" / "failed").mkdir()

    swept(store)

    assert (store.root / "scratch" / "failed").is_dir()


def test_what_is_young_is_left_alone_while_a_run_of_another_host_has_no_end(store):
    young, aged = step(store, "young"), step(store, "aged")
    run(store, "r", status="running", host="another", trials=False)
    old(store.manifest_path(aged.key), store.path(aged.outputs[""]))

    swept(store)

    assert names(store) == {"young"}
    assert store.has(young.outputs[""])


def test_a_killed_run_of_this_host_does_not_hold_up_the_sweep(store):
    step(store, "young")
    run(store, "r", status="running", trials=False)

    assert names(swept(store)) == set()


def test_nothing_is_forgotten_if_it_cannot_be_told_what_a_run_needs(store):
    needed = step(store, "needed")
    folder = run(store, "r", needed)
    for text in ("", "{", "3", "[3]", '[{"steps": [1]}]', "[{}]"):
        (folder / "trials.json").write_text(text)
        with pytest.raises(StoreError, match=r"is damaged, .* --drop r"):
            find_garbage(store, [])

    assert names(store) == {"needed"}
    swept(store, drop=["r"])
    assert names(store) == set()


# -- deleting -----------------------------------------------------------------------------------


def test_a_folder_goes_at_once_and_never_by_halves(store, tmp_path, monkeypatch):
    """Whoever reads it meanwhile finds it whole or not at all."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a", "b"):
        (source / name).touch()
    made = step(store, "large", source, keep=False).outputs[""]
    run(store, "r", store.step(digest("large")))
    seen = []
    monkeypatch.setattr("assay.core.garbage.remove", lambda path: seen.append(store.has(made)))

    swept(store)

    assert seen == [False]


def test_what_is_gone_meanwhile_is_no_error(store):
    step(store, "a")
    garbage = find_garbage(store, [])
    collect(store, garbage)

    collect(store, garbage)
    assert find_garbage(store, []).paths == []


def test_unfinished_files_of_killed_runs_are_swept(store):
    folder = run(store, "r")
    for path in (store.root / "tmp" / "a", store.root / "tmp" / ".b", folder / ".run.json.abc"):
        path.touch()
    (store.root / "leases" / ".key.owner").touch()

    swept(store)

    assert {p.name for p in folder.iterdir()} == {"run.json", "events.jsonl", "trials.json"}
    assert not [*store.root.glob("tmp/*"), *store.root.glob("leases/*")]


def test_sizes_are_those_of_the_files(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a").write_bytes(bytes(10))
    (tmp_path / "sub" / "b").write_bytes(bytes(5))

    assert size_of(tmp_path / "a") == 10
    assert size_of(tmp_path) == 15


# -- verify -------------------------------------------------------------------------------------


def test_every_value_and_manifest_is_compared_and_damage_is_put_aside(store):
    a, b, _ = step(store, "a"), step(store, "b"), step(store, "c")
    run(store, "r", a, b)
    assert verify(store).__dict__ == {"steps": 3, "values": 3, "damaged": []}

    store.path(a.outputs[""]).write_text("x")
    store.manifest_path(b.key).write_text("x")
    (store.root / "runs" / "r" / "run.json").write_text("x")
    found = verify(store)

    assert (found.steps, found.values) == (2, 2)
    assert sorted(found.damaged) == [
        f"manifest {b.key}.json",
        "run r",
        f"value {store.path(a.outputs['']).name} (m:f)",
    ]
    assert len([*(store.root / "quarantine").iterdir()]) == 3


def test_a_value_of_two_steps_is_read_once_and_a_missing_one_is_damage(store):
    one = step(store, "a", "same")
    step(store, "b", "same")
    assert verify(store).values == 1

    store.path(one.outputs[""]).unlink()
    assert len(verify(store).damaged) == 1
