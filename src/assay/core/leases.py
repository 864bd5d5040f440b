"""One lease per key, so that processes sharing a store do not compute the same step twice.

A lease saves work; correctness never rests on it, because two processes that compute the same step
place the same bytes under the same name. Each process has one file in the folder that names it and
holds a counter that it raises; a lease is a second name of that file, given by `os.link`, which
fails if somebody was first. (A file made and deleted for each step would be simpler, but file
systems are slow at making files where many were just deleted.) Of an owner on the same host the
system tells whether it still runs: the lease of a dead process is taken over at once, that of a
running one never, even if long compiled code keeps it from raising the counter. Any other lease is
taken over when its counter has stood still for `STALE_SECONDS` of the waiter's own clock: clocks of
different hosts are never compared.
"""

import atexit
import errno
import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from assay.core.disk import writing

BEAT_SECONDS = 2.0
STALE_SECONDS = 20.0

SIZE = 512
"""Length of what a lease says, in bytes, so that whatever is written over it covers it."""

NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
"""What a file system says that cannot give a file a second name."""

_owner = ""
"""Name of this process."""
_cards: dict[Path, Path] = {}
"""The file that names this process, by folder."""
_held: set[Path] = set()
_lock = threading.Lock()
_beating = threading.Event()


@contextmanager
def lease(folder: Path, key: str, done: Callable[[], bool]) -> Iterator[bool]:
    """Hold the lease on ``key``, waiting for another holder if there is one.

    Args:
        folder: Where leases lie.
        key: The step.
        done: Tells whether the step has been finished by somebody else meanwhile.

    Yields:
        True if the lease is held and the step must be computed, False if it is done already.

    Raises:
        StoreError: If the disk is full.
    """
    path = folder / key
    with writing(folder):
        held = _acquire(path, done)
    if not held:
        yield False
        return
    try:
        _start_beating()
        yield not done()
    finally:
        with _lock:
            if _read(path).get("owner") == _owner:
                with suppress(OSError):  # the step is finished; the lease is found stale
                    path.unlink(missing_ok=True)
            _held.discard(path)


def _acquire(path: Path, done: Callable[[], bool]) -> bool:
    pause, seen, since = 0.01, None, time.monotonic()
    while not _create(path):
        if done():
            return False
        now = _read(path)
        if now != seen:
            seen, since = now, time.monotonic()
        fate = _fate(path, now)
        if fate == "dead" or (fate == "unknown" and time.monotonic() - since > STALE_SECONDS):
            _break(path, now)
            continue
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)
    return True


def _create(path: Path) -> bool:
    """Make the lease unless there is one."""
    with _lock:
        try:
            card = _cards.get(path.parent) or _introduce(path.parent)
            try:
                os.link(card, path)
            except FileNotFoundError:  # `assay gc` swept the folder
                os.link(_introduce(path.parent), path)
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                _write_new(path)
        except FileExistsError:
            return False
        _held.add(path)
    return True


def _introduce(folder: Path) -> Path:
    """Make the file that names this process."""
    global _owner  # noqa: PLW0603
    _owner = _owner or uuid.uuid4().hex
    card = folder / f".{uuid.uuid4().hex}"
    _write_new(card)
    _cards[folder] = card
    return card


@atexit.register
def _leave() -> None:
    for card in _cards.values():
        with suppress(OSError):
            card.unlink()


def _write_new(path: Path) -> None:
    """Write a file that is not there yet; nothing is left behind if that fails half-way."""
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    try:
        os.write(handle, _text(_owner, 0))
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise
    finally:
        os.close(handle)


def _text(owner: str, beat: int) -> bytes:
    here = {"owner": owner, "host": socket.gethostname(), "pid": os.getpid(), "beat": beat}
    return json.dumps(here | {"started": _started(os.getpid())}).ljust(SIZE).encode()


def _read(path: Path) -> dict[str, object]:
    """What a lease says; nothing if it is missing, half written or foreign."""
    try:
        said = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _process(pid: object) -> tuple[str, str]:
    """State of a process of this host, and when it started in clock ticks since boot."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (OSError, ValueError):
        return "", ""
    fields = stat.rpartition(")")[2].split()
    return fields[0], fields[19]


def _started(pid: int) -> str:
    return _process(pid)[1]


def _fate(path: Path, now: dict[str, object]) -> Literal["dead", "alive", "unknown"]:
    """Whether the holder still runs, as far as this host can tell."""
    if now.get("host") != socket.gethostname() or not Path("/proc/self/stat").exists():
        return "unknown"
    state, started = _process(now.get("pid"))
    if state in ("", "Z", "X") or started != now.get("started"):
        return "dead"
    if now.get("pid") == os.getpid():
        return "alive" if path in _held and now.get("owner") == _owner else "dead"
    return "unknown" if state in ("T", "t") else "alive"  # stopped by hand, perhaps for ever


def _break(path: Path, seen: dict[str, object]) -> None:
    """Remove a stale lease, unless somebody else has just replaced it."""
    guard = path.parent / ".takeover"
    with _lock, guard.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ours = path in _held and seen.get("owner") == _owner  # another thread has just got it
        if _read(path) == seen and not ours:
            path.unlink(missing_ok=True)


def _start_beating() -> None:
    """One thread per process raises the counters of all leases it holds."""
    with _lock:
        if not _beating.is_set():
            threading.Thread(target=_beat, name="assay-leases", daemon=True).start()
            _beating.set()


def _forget() -> None:
    """A forked process holds none of its parent's leases and has no thread that beats."""
    global _lock, _owner  # noqa: PLW0603
    _lock = threading.Lock()  # the parent's may be held
    _owner = ""
    _cards.clear()
    _held.clear()
    _beating.clear()


os.register_at_fork(after_in_child=_forget)


def _beat() -> None:
    count = 0
    while True:
        time.sleep(BEAT_SECONDS)
        count += 1
        with _lock:  # a lease is neither released nor raised while the other is under way
            for path in _held:
                with suppress(OSError):
                    _raise_counter(path, count)


def _raise_counter(path: Path, count: int) -> None:
    """Write over what is there, in one call and of equal length: readers see the old or the new."""
    if _read(path).get("owner") == _owner:
        handle = os.open(path, os.O_WRONLY)
        try:
            os.write(handle, _text(_owner, count))
        finally:
            os.close(handle)
