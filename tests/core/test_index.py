"""The index: a view that is made anew from the files whenever it is lost, and never lies."""

import json
import os
import platform
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from assay.core import index as module
from assay.core.events import EventLog, read_events, under_way
from assay.core.identity import digest
from assay.core.index import Index, read_summary
from assay.core.store import StepManifest, Store
from assay.errors import StoreError


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def step(store, name, component="m:f", finished=0.0, **kwargs):
    manifest = StepManifest(
        digest(name), component, digest(component), {"name": name}, {"x": "0" * 64},
        {"": store.put(name)}, finished=finished, **kwargs,
    )  # fmt: skip
    store.commit(manifest)
    return manifest


def run(store, name, started, status="done", **more):
    """A run's folder; its log is not held."""
    claim = {"id": "C1", "verdict": "holds", "effect": 0.5, "low": 0.1, "high": 0.9, "n": 8}
    summary = {
        "run": name, "study": "s", "preset": "tiny", "status": status, "started": started,
        "seconds": 1.5, "trials": 2, "failed": 0, "records": 8, "claims": [claim],
        "host": platform.node(), **more,
    }  # fmt: skip
    folder = store.root / "runs" / name
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps(summary))
    return summary


def rows(index):
    """Everything the index holds."""
    with sqlite3.connect(index.path) as connection:
        return {
            table: sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
            for table in ("runs", "verdicts", "steps")
        }


@pytest.fixture
def filled(store):
    """An index that was written step by step, as runs ended."""
    index = Index(store)
    index.add_steps([step(store, n, finished=float(k)) for k, n in enumerate("abc")])
    for name, started in (("r2", 2.0), ("r1", 1.0), ("r3", 3.0)):
        index.add_run(run(store, name, started))
    return index


# -- what it says -------------------------------------------------------------------------------


def test_runs_are_listed_the_latest_first(filled):
    listed = filled.runs()

    assert [row["run"] for row in listed] == ["r3", "r2", "r1"]
    assert listed[0] == {
        "run": "r3", "study": "s", "preset": "tiny", "status": "done", "started": 3.0,
        "seconds": 1.5, "trials": 2, "failed": 0, "records": 8,
    }  # fmt: skip


def test_the_latest_of_a_component_is_found(store, filled):
    filled.add_steps([step(store, "late", "m:g", 9.0), step(store, "early", "m:g", 8.0)])

    assert filled.latest("m:g") == {
        "identity": digest("m:g"), "params": {"name": "late"}, "inputs": {"x": "0" * 64},
    }  # fmt: skip
    assert filled.latest("m:h") is None


def test_entering_again_replaces(store, filled):
    before = rows(filled)
    filled.add_steps([step(store, "a", finished=0.0)])
    filled.add_run(run(store, "r1", 1.0))
    assert rows(filled) == before

    filled.add_run(run(store, "r1", 1.0, status="failed"))
    assert [r["status"] for r in filled.runs()] == ["done", "done", "failed"]


def test_an_empty_store_has_no_runs(store):
    assert Index(store).runs() == []
    assert Index(store).rebuild() == (0, 0)


# -- made anew ----------------------------------------------------------------------------------


def test_an_index_that_is_rebuilt_equals_the_one_that_was_written(filled):
    before = rows(filled)
    with sqlite3.connect(filled.path) as connection:
        connection.execute("INSERT INTO runs (run) VALUES ('of nowhere')")
        connection.execute("DELETE FROM steps WHERE rowid % 2")

    assert filled.rebuild() == (3, 3)
    assert rows(filled) == before


def test_a_lost_index_is_filled_when_it_is_next_asked(filled):
    before, listed = rows(filled), filled.runs()
    filled.path.unlink()

    assert Index(filled.store).runs() == listed
    assert rows(filled) == before


def test_a_lost_index_is_filled_before_something_is_added(store, filled):
    filled.path.unlink()
    filled.add_steps([step(store, "d", finished=4.0)])

    assert len(rows(filled)["steps"]) == 4
    assert len(rows(filled)["runs"]) == 3


@pytest.mark.parametrize("harm", ["text", "empty", "cut", "zeros", "another", "old"])
def test_a_damaged_index_is_put_aside_and_filled(store, filled, harm):
    before, listed = rows(filled), filled.runs()
    data = filled.path.read_bytes()
    if harm == "another":
        filled.path.unlink()
        with sqlite3.connect(filled.path) as connection:
            connection.execute(f"PRAGMA user_version = {module.SCHEMA}")
            connection.execute("CREATE TABLE notes (text)")
    elif harm == "old":
        with sqlite3.connect(filled.path) as connection:
            connection.execute("PRAGMA user_version = 0")
            connection.execute("DROP TABLE verdicts")
            connection.execute("ALTER TABLE runs DROP COLUMN preset")
    else:
        harmed = {
            "text": b"this is no database, whatever its name says" * 10, "empty": b"",
            "cut": data[: len(data) // 2], "zeros": data[:4096] + bytes(len(data) - 4096),
        }  # fmt: skip
        filled.path.write_bytes(harmed[harm])

    assert filled.runs() == listed
    assert rows(filled) == before
    aside = [p.name.partition("-")[2] for p in (store.root / "quarantine").iterdir()]
    assert aside == ([] if harm in ("empty", "old") else ["index.sqlite"])


def test_random_damage_of_the_index_never_escapes_as_a_raw_error(store, filled):
    data = filled.path.read_bytes()
    source = random.Random(3)
    for _ in range(60):
        harmed = bytearray(data)
        for _ in range(8):
            harmed[source.randrange(len(data))] = source.randrange(256)
        filled.path.write_bytes(harmed)

        filled.latest("m:f")
        assert {row["run"] for row in filled.runs()} <= {"r1", "r2", "r3"}
        filled.rebuild()
        assert [row["run"] for row in filled.runs()] == ["r3", "r2", "r1"]


def test_an_index_that_cannot_be_used_is_told_in_one_line(store, filled):
    filled.path.unlink()
    filled.path.mkdir()

    with pytest.raises(StoreError, match=r"the index cannot be used .* It can be deleted") as told:
        filled.runs()
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(("version", "mode"), [((3, 51, 2), "delete"), ((3, 51, 3), "wal")])
def test_write_ahead_logging_is_used_only_where_it_is_sound(store, monkeypatch, version, mode):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    index = Index(store)
    index.rebuild()

    with sqlite3.connect(index.path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == (mode,)
        assert connection.execute("PRAGMA mmap_size").fetchone() in ((0,), None)
    assert index.runs() == []


def test_a_store_that_comes_from_a_newer_sqlite_is_taken_out_of_write_ahead_logging(
    store, monkeypatch
):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 52, 0))
    Index(store).rebuild()
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 40, 1))
    Index(store).runs()

    with sqlite3.connect(Index(store).path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_many_may_write_and_rebuild_at_once_and_nothing_is_lost(store):
    errors = []

    def work(number):
        try:
            index = Index(store)
            for k in range(4):
                index.add_steps([step(store, f"{number}.{k}")])
                index.add_run(run(store, f"r{number}.{k}", float(k)))
                if number == 0:
                    index.rebuild()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert {name: len(found) for name, found in rows(Index(store)).items()} == {
        "runs": 16, "verdicts": 16, "steps": 16,
    }  # fmt: skip


# -- runs without an end ------------------------------------------------------------------------


def status(store, name):
    return {row["run"]: row["status"] for row in Index(store).runs()}[name]


def test_a_run_is_running_while_its_log_is_held_and_stopped_when_its_process_is_gone(store):
    run(store, "r", 1.0, status="running", claims=[])
    log = EventLog(store.root / "runs" / "r" / "events.jsonl")

    assert status(store, "r") == "running"
    Index(store).rebuild()
    assert status(store, "r") == "running"
    log.close()
    assert status(store, "r") == "stopped"
    Index(store).rebuild()
    assert status(store, "r") == "stopped"
    Index(store).add_run(run(store, "r", 1.0))
    assert status(store, "r") == "done"


RUNNING = """
import sys, time
from pathlib import Path
from assay.core.events import EventLog
log = EventLog(Path(sys.argv[1]))
log({"kind": "run_started"})
print("held", flush=True)
time.sleep(600)
"""


@pytest.mark.faults
def test_a_run_that_was_killed_is_listed_as_stopped(store):
    run(store, "r", 1.0, status="running", claims=[])
    path = store.root / "runs" / "r" / "events.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNING, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "held\n"
        assert under_way(path)
        assert status(store, "r") == "running"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not under_way(path)
        assert status(store, "r") == "stopped"
        assert [e["kind"] for e in read_events(path)] == ["run_started"]  # at once on disk
    finally:
        process.kill()
        process.communicate()


def test_of_a_run_on_another_host_it_is_not_said_that_it_was_stopped(store):
    run(store, "r", 1.0, status="running", host="another")

    assert status(store, "r") == "running"


def test_a_run_whose_folder_was_deleted_is_not_listed(store, filled):
    shutil.rmtree(store.root / "runs" / "r2")

    assert [row["run"] for row in filled.runs()] == ["r3", "r1"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "3", "{}", '{"run": "other", "status": "done", "started": 1}',
     '{"run": "r", "status": "done", "started": "x"}', '{"run": "r", "started": 1}',
     "\udcff"],
)  # fmt: skip
def test_a_run_whose_summary_is_damaged_is_left_out(store, filled, text):
    path = store.root / "runs" / "r" / "run.json"
    path.parent.mkdir()
    path.write_bytes(text.encode(errors="surrogateescape"))

    assert read_summary(path.parent) is None
    assert len(filled.runs()) == 3
    assert filled.rebuild() == (3, 3)


def test_a_folder_of_a_run_that_has_just_begun_is_left_out(store, filled):
    (store.root / "runs" / "new").mkdir()

    assert len(filled.runs()) == 3
    assert filled.rebuild() == (3, 3)


# -- the log ------------------------------------------------------------------------------------


def test_a_log_is_read_as_it_was_written_whatever_it_holds(tmp_path):
    import numpy as np

    path, heard = tmp_path / "e.jsonl", []
    log = EventLog(path, [heard.append])
    log({"kind": "a", "text": "two\nlines \u2028 \ud800 €", "nan": float("nan")})
    log({"kind": "b", "loss": np.float32(0.5), "at": Path("x"), "n": np.int64(3)})
    log({"kind": "progress", "done": 1})

    assert [e["kind"] for e in heard] == ["a", "b", "progress"]
    first, second = read_events(path)  # while it is open
    log.close()
    assert (first["text"], first["nan"]) == ("two\nlines \u2028 \ud800 €", "nan")
    assert (second["loss"], second["at"], second["n"]) == (0.5, "x", 3)
    assert all(e["time"] > 1e9 for e in (first, second))

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=refuse)


def test_a_log_that_was_cut_off_is_read_and_continued(tmp_path):
    path = tmp_path / "e.jsonl"
    log = EventLog(path)
    log({"kind": "a"})
    log({"kind": "b"})
    log.close()
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        log = EventLog(path)
        log({"kind": "c"})
        log.close()

        kinds = [e["kind"] for e in read_events(path)]
        assert kinds[-1] == "c", length
        assert kinds[:-1] == ["a", "b"][: len(kinds) - 1], length


def test_damage_in_a_log_costs_the_lines_it_touches_and_no_more(tmp_path):
    path = tmp_path / "e.jsonl"
    path.write_bytes(b'{"kind": "a"}\n\xff\xfe\n[1]\n3\n\n{"kind": "b"}\n{"ki')

    assert [e["kind"] for e in read_events(path)] == ["a", "b"]


def test_a_full_disk_is_told_by_the_log_even_if_it_took_a_part_of_the_line(tmp_path):
    log = EventLog(tmp_path / "e.jsonl")
    log({"kind": "a"})

    class Full:
        def write(self, data):
            return len(data) - 1

    log._file, file = Full(), log._file
    with pytest.raises(StoreError, match="No space left on device"):
        log({"kind": "b"})
    file.close()


def test_whether_a_log_is_held_cannot_be_asked_of_what_is_not_there(tmp_path):
    assert not under_way(tmp_path / "nowhere" / "events.jsonl")
    assert os.listdir(tmp_path) in ([], ["store"])
