"""One lease per key, so that processes sharing a store do not compute the same step twice.

A lease saves work; correctness never rests on it, because two processes that compute the same step
place the same bytes under the same name. It is a file made with O_EXCL that names its owner and
holds a counter that the owner raises. Whoever waits takes a lease over when its owner is a dead
process of the same host, or when the counter has stood still for `STALE_SECONDS` of the waiter's
own clock: clocks of different hosts are never compared.
"""

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

BEAT_SECONDS = 2.0
STALE_SECONDS = 20.0

_held: dict[Path, str] = {}
_lock = threading.Lock()
_beating: list[int] = []


@contextmanager
def lease(folder: Path, key: str, done: Callable[[], bool]) -> Iterator[bool]:
    """Hold the lease on ``key``, waiting for another holder if there is one.

    Args:
        folder: Where leases lie.
        key: The step.
        done: Tells whether the step has been finished by somebody else meanwhile.

    Yields:
        True if the lease is held and the step must be computed, False if it is done already.
    """
    path = folder / key
    owner = uuid.uuid4().hex
    if not _acquire(path, owner, done):
        yield False
        return
    with _lock:
        _held[path] = owner
    _start_beating()
    try:
        yield not done()
    finally:
        with _lock:
            _held.pop(path, None)
            if _read(path).get("owner") == owner:
                path.unlink(missing_ok=True)


def _acquire(path: Path, owner: str, done: Callable[[], bool]) -> bool:
    pause, seen, since = 0.01, None, time.monotonic()
    while not _create(path, owner):
        if done():
            return False
        now = _read(path)
        if now != seen:
            seen, since = now, time.monotonic()
        if _dead(now) or time.monotonic() - since > STALE_SECONDS:
            _break(path, now)
            continue
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)
    return True


def _create(path: Path, owner: str) -> bool:
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    os.write(handle, _text(owner, 0))
    os.close(handle)
    return True


def _text(owner: str, beat: int) -> bytes:
    here = {"owner": owner, "host": socket.gethostname(), "pid": os.getpid(), "beat": beat}
    return json.dumps(here | {"started": _started(os.getpid())}).encode()


def _read(path: Path) -> dict[str, object]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _started(pid: int) -> str:
    """When a process of this host started, in clock ticks since boot; '' if it does not run."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def _dead(now: dict[str, object]) -> bool:
    """Whether the holder is a process of this host that no longer runs."""
    if now.get("host") != socket.gethostname() or not Path("/proc/self/stat").exists():
        return False
    return _started(int(str(now.get("pid", 0)))) != now.get("started")


def _break(path: Path, seen: dict[str, object]) -> None:
    """Remove a stale lease, unless somebody else has just replaced it."""
    guard = path.parent / ".takeover"
    with guard.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if _read(path) == seen:
            path.unlink(missing_ok=True)


def _start_beating() -> None:
    """One thread per process raises the counters of all leases it holds."""
    with _lock:
        if os.getpid() in _beating:
            return
        _beating[:] = [os.getpid()]
    threading.Thread(target=_beat, name="assay-leases", daemon=True).start()


def _beat() -> None:
    count = 0
    while True:
        time.sleep(BEAT_SECONDS)
        count += 1
        with _lock:  # a lease is neither released nor raised while the other is under way
            for path, owner in _held.items():
                with suppress(OSError):
                    _raise_counter(path, owner, count)


def _raise_counter(path: Path, owner: str, count: int) -> None:
    if _read(path).get("owner") == owner:
        unfinished = path.parent / f".{path.name}.{owner}"
        unfinished.write_bytes(_text(owner, count))
        os.rename(unfinished, path)
