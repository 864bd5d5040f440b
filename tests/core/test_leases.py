"""Leases: one process computes a step, the others wait; the dead and the silent are replaced."""

import errno
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import pytest

from assay.core import leases
from assay.core.leases import lease
from assay.core.store import Store
from assay.errors import StoreError

PATIENCE = 60.0


def never():
    return False


@pytest.fixture
def folder(tmp_path):
    return Store(tmp_path / "store").root / "leases"


@pytest.fixture
def impatient(monkeypatch):
    """A holder that cannot be asked is given up after a short while."""
    monkeypatch.setattr(leases, "STALE_SECONDS", 0.3)


def left(folder, **changes):
    """The lease that a process of this host left behind; what is changed makes it another's."""
    said = json.loads(leases._text("somebody", 0)) | changes
    (folder / "key").write_text(json.dumps(said))
    return folder / "key"


def taken_over(folder, done=never):
    """Whether the lease is got, in a thread that is given up if it waits for ever."""
    got = []

    def take():
        with lease(folder, "key", done) as needed:
            got.append(needed)

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return got == [True]


def waits(folder, seconds=1.5):
    """Whether the lease is not got within some time; the waiter is let go afterwards."""
    over = threading.Event()
    got = []

    def take():
        with lease(folder, "key", over.is_set) as needed:
            got.append(needed)

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    thread.join(seconds)
    waited = thread.is_alive()
    over.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    return waited and got == [False]


# -- holding ------------------------------------------------------------------------------------


def test_a_lease_is_a_file_that_names_its_holder_and_is_gone_afterwards(folder):
    with lease(folder, "key", never) as needed:
        said = json.loads((folder / "key").read_text())

    assert needed
    assert (said["pid"], said["host"], said["beat"]) == (os.getpid(), socket.gethostname(), 0)
    assert not (folder / "key").exists()


def test_a_lease_is_given_back_when_the_step_fails(folder):
    with pytest.raises(ZeroDivisionError), lease(folder, "key", never):
        raise ZeroDivisionError

    assert not (folder / "key").exists()
    assert taken_over(folder)


def test_whoever_comes_when_the_step_is_done_need_not_compute(folder):
    with lease(folder, "key", lambda: True) as needed:
        assert not needed
    assert not (folder / "key").exists()


def test_leases_on_different_keys_do_not_wait_for_each_other(folder):
    with ExitStack() as stack:
        assert all([stack.enter_context(lease(folder, f"key{n}", never)) for n in range(5)])


def test_a_waiter_is_let_go_when_the_step_is_done_elsewhere(folder):
    left(folder, host="another", pid=1)
    asked = iter([False, False, True])

    with lease(folder, "key", lambda: next(asked)) as needed:
        assert not needed
    assert (folder / "key").exists()


def test_the_counter_is_raised_while_the_lease_is_held(folder, monkeypatch):
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(leases, "_beating", threading.Event())  # a thread with the new pace
    limit = time.monotonic() + PATIENCE

    with lease(folder, "key", never):
        while leases._read(folder / "key").get("beat", 0) < 3:
            assert time.monotonic() < limit
            time.sleep(0.01)
        assert leases._read(folder / "key")["pid"] == os.getpid()
    assert not (folder / "key").exists()


def test_a_shorter_count_covers_a_longer_one(folder):
    with lease(folder, "key", never):
        for count in (1000, 7):
            leases._raise_counter(folder / "key", count)
            assert leases._read(folder / "key")["beat"] == count


def test_a_process_makes_one_file_for_all_its_leases(folder):
    for n in range(5):
        with lease(folder, f"key{n}", never):
            assert (folder / f"key{n}").stat().st_nlink == 2

    assert len(list(folder.iterdir())) == 1


def test_the_file_of_a_process_may_be_swept_between_two_leases(folder):
    with lease(folder, "key", never):
        pass
    for path in folder.iterdir():
        path.unlink()

    assert taken_over(folder)


def test_a_process_that_ends_leaves_nothing(folder):
    script = (
        "import sys; from pathlib import Path; from assay.core.leases import lease\n"
        "with lease(Path(sys.argv[1]), 'key', lambda: False): pass\n"
        "print(len(list(Path(sys.argv[1]).iterdir())))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True
    )

    assert ended.stdout == "1\n"
    assert not list(folder.iterdir())


def test_a_file_system_without_second_names_has_leases_all_the_same(folder, monkeypatch):
    def refuse(source, target):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(leases, "_beating", threading.Event())  # a thread with the new pace
    limit = time.monotonic() + PATIENCE

    with lease(folder, "key", never):
        assert waits(folder)
        while leases._read(folder / "key").get("beat", 0) < 3:
            assert time.monotonic() < limit
            time.sleep(0.01)
    assert not (folder / "key").exists()


# -- taking over --------------------------------------------------------------------------------


def test_the_lease_of_a_dead_process_is_taken_over_at_once(folder):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left(folder, pid=dead.pid)

    assert taken_over(folder)  # without waiting for STALE_SECONDS: see the next test


def test_a_dead_process_is_known_without_waiting(folder, monkeypatch):
    monkeypatch.setattr(leases, "STALE_SECONDS", 10 * PATIENCE)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    try:
        left(folder, pid=dead.pid, started=leases._started(dead.pid))
        dead.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet buried
        assert taken_over(folder)
    finally:
        dead.wait()


def test_another_process_that_has_got_the_number_of_the_dead_is_told_apart(folder, monkeypatch):
    monkeypatch.setattr(leases, "STALE_SECONDS", 10 * PATIENCE)
    left(folder, pid=os.getppid(), started="1")

    assert taken_over(folder)


def test_a_running_process_of_this_host_keeps_its_lease_though_its_counter_stands_still(
    folder, impatient
):
    left(folder, pid=os.getppid(), started=leases._started(os.getppid()))

    assert waits(folder)


def test_a_process_that_was_stopped_by_hand_is_given_up(folder, impatient):
    stopped = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        stopped.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, stopped.pid, os.WSTOPPED | os.WNOWAIT)
        left(folder, pid=stopped.pid, started=leases._started(stopped.pid))
        assert taken_over(folder)
    finally:
        stopped.kill()
        stopped.wait()


def test_the_lease_of_a_silent_host_is_taken_over_after_a_while(folder, impatient):
    left(folder, host="another")
    began = time.monotonic()

    assert taken_over(folder)
    assert time.monotonic() - began > 0.3


def test_a_host_that_raises_its_counter_keeps_its_lease(folder, monkeypatch):
    monkeypatch.setattr(leases, "STALE_SECONDS", 1.5)
    over = threading.Event()

    def beat():
        count = 0
        while not over.is_set():
            count += 1
            unfinished = folder / ".unfinished"
            unfinished.write_text(json.dumps({"host": "another", "owner": "o", "beat": count}))
            unfinished.replace(folder / "key")
            time.sleep(0.02)

    left(folder, host="another")
    thread = threading.Thread(target=beat)
    thread.start()
    try:
        assert waits(folder, seconds=3.0)
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_an_hour_off_changes_nothing(folder, monkeypatch, hours):
    """Neither the time of the file nor the wall clock is looked at."""
    path = left(folder, pid=os.getppid(), started=leases._started(os.getppid()))
    then = time.time() + 3600 * hours
    os.utime(path, (then, then))
    monkeypatch.setattr(time, "time", lambda: then)

    assert waits(folder)

    left(folder, host="another")
    os.utime(path, (then, then))
    assert waits(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '{"host": 1}', "\ufffd", "{}"])
def test_a_lease_that_says_nothing_is_taken_over_after_a_while(folder, impatient, text):
    """Its owner died between making and filling it, or it is no lease at all."""
    (folder / "key").write_text(text)

    assert taken_over(folder)


@pytest.mark.parametrize("pid", [None, "x", -1, [1], "../self", 10**30])
def test_a_lease_with_a_foreign_process_number_is_taken_over(folder, impatient, pid):
    left(folder, pid=pid)

    assert taken_over(folder)


def test_a_lease_of_this_process_that_nobody_holds_is_taken_over(folder, monkeypatch):
    """Giving it back failed; it must not hold up this process for ever."""
    monkeypatch.setattr(leases, "STALE_SECONDS", 10 * PATIENCE)
    left(folder)

    assert taken_over(folder)


def test_a_lease_that_was_taken_over_is_not_taken_away_from_its_new_holder(folder):
    with lease(folder, "key", never):
        path = left(folder, host="another")

    assert json.loads(path.read_text())["host"] == "another"


def test_a_stale_lease_that_was_just_replaced_is_left_alone(folder):
    path = left(folder, host="another", beat=1)
    seen = leases._read(path)
    left(folder, host="another", beat=2)

    leases._break(path, seen)

    assert leases._read(path)["beat"] == 2


# -- faults -------------------------------------------------------------------------------------


def test_a_lease_that_cannot_be_made_is_told_in_one_line_and_leaves_nothing(folder, monkeypatch):
    def refuse(handle, data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        with (
            pytest.raises(StoreError, match="No space left on device"),
            lease(folder, "key", never),
        ):
            pass

    assert not (folder / "key").exists()
    assert taken_over(folder)


def test_a_lease_that_cannot_be_given_back_does_not_fail_the_step(folder, monkeypatch):
    def refuse(self, missing_ok=False):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch, lease(folder, "key", never):
        patch.setattr(type(folder), "unlink", refuse)
        # the block ends while nothing can be unlinked
        done = True

    assert done
    assert taken_over(folder)


# -- many at once -------------------------------------------------------------------------------


def contend(root, key, counted):
    """Compute a step unless it is done; every computation leaves a line."""
    place = Store(root).root
    result = place / "scratch" / key
    with lease(place / "leases", key, result.exists) as needed:
        if needed:
            with counted.open("a") as file:
                file.write(f"{key}\n")
            time.sleep(0.02)
            result.touch()
    return result.exists()


def test_threads_compute_each_step_once(tmp_path):
    keys = [f"key{n}" for n in range(6)]
    counted = tmp_path / "counted"
    threads = [
        threading.Thread(target=lambda: [contend(tmp_path / "s", k, counted) for k in keys])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert sorted(counted.read_text().split()) == keys
    assert not [p for p in (tmp_path / "s" / "leases").iterdir() if not p.name.startswith(".")]


CONTENDER = """
import sys, time
from pathlib import Path
from assay.core.leases import lease
root, counted, go = map(Path, sys.argv[1:4])
while not go.exists():
    time.sleep(0.001)
for key in sys.argv[4:]:
    result = root / "scratch" / key
    with lease(root / "leases", key, result.exists) as needed:
        if needed:
            with counted.open("a") as file:
                file.write(f"{key}\\n")
            time.sleep(0.01)
            result.touch()
"""


@pytest.mark.faults
def test_processes_compute_each_step_once_though_one_is_killed(tmp_path):
    """The killed one holds a lease; the others take it over and finish all steps."""
    root = Store(tmp_path / "s").root
    keys = [f"key{n}" for n in range(10)]
    words = [sys.executable, "-c", CONTENDER, str(root)]
    victim = subprocess.Popen(
        [sys.executable, "-c", "import sys, time; from pathlib import Path\n"
         "from assay.core.leases import lease\n"
         "with lease(Path(sys.argv[1]) / 'leases', 'key3', lambda: False):\n"
         "    print('held', flush=True); time.sleep(600)", str(root)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert victim.stdout.readline() == "held\n"
    others = [
        subprocess.Popen([*words, str(tmp_path / "counted"), str(tmp_path / "go"), *keys])
        for _ in range(4)
    ]
    (tmp_path / "go").touch()
    victim.kill()
    victim.communicate()

    assert [other.wait(PATIENCE) for other in others] == [0] * 4
    assert sorted((tmp_path / "counted").read_text().split()) == sorted(keys)


def hold_in_child(folder, queue):
    queue.put((set(leases._held), leases._beating.is_set()))
    with lease(folder, "other", never):
        queue.put(leases._read(folder / "key")["pid"])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_does_not_hold_the_leases_of_its_parent(folder):
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    with lease(folder, "key", never):
        child = context.Process(target=hold_in_child, args=(folder, queue))
        child.start()
        child.join(PATIENCE)
        assert child.exitcode == 0
        assert queue.get() == (set(), False)
        assert queue.get() == os.getpid()
