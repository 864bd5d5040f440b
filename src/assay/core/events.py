"""Events: what happened in a run, one JSON object per line, written by the driver alone.

The log is locked while its run is under way. The system drops the lock when the process ends,
however it ends, so a run that was killed is told from one that is still working.
"""

import errno
import fcntl
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from assay.core.disk import writing
from assay.core.params import native

Listener = Callable[[dict[str, Any]], None]


class EventLog:
    """Appends events to a file and passes them on.

    Args:
        path: The JSONL file; appended to, so that a resumed run continues its own log.
        listeners: Called with every event, for example a progress display.

    Raises:
        StoreError: If the disk is full.
    """

    def __init__(self, path: Path, listeners: Sequence[Listener] = ()) -> None:
        self.path, self.listeners = path, list(listeners)
        with writing(path):
            self._file = path.open("ab+", buffering=0)  # whoever follows the log sees every event
            with suppress(OSError):  # a file system without locks
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._end_cut_line()

    def _end_cut_line(self) -> None:
        size = self._file.seek(0, 2)
        if size:
            self._file.seek(size - 1)
            if self._file.read(1) != b"\n":
                self._file.write(b"\n")

    def __call__(self, event: dict[str, Any]) -> None:
        """Record one event with the time it arrived.

        Raises:
            StoreError: If the disk is full.
        """
        stamped = {"time": round(time.time(), 3), **event}
        if event.get("kind") != "progress":
            line = _line(stamped)
            with writing(self.path):
                if self._file.write(line) != len(line):  # a full disk takes a part and says nothing
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        for listener in self.listeners:
            listener(stamped)

    def close(self) -> None:
        """Give the log free."""
        with writing(self.path):
            self._file.close()


def _line(event: dict[str, Any]) -> bytes:
    """One line of JSON; what JSON lacks, such as NaN, is written as text."""
    try:
        text = json.dumps(event, separators=(",", ":"), default=_plain, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(json.loads(json.dumps(event, default=_plain))))
    return f"{text}\n".encode()


def _plain(value: Any) -> Any:
    """A number of numpy as a number, anything else as text."""
    plain = native(value)
    return str(value) if plain is value else plain


def _finite(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {name: _finite(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_finite(value) for value in tree]
    return str(tree) if isinstance(tree, float) and not math.isfinite(tree) else tree


def under_way(path: Path) -> bool:
    """Whether a process of this host holds the log open."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:  # held, or a file system that cannot tell
        return True
    return False


def read_events(path: Path) -> list[dict[str, Any]]:
    """All whole events of a log; a last line cut off by a kill is left out."""
    events: list[dict[str, Any]] = []
    for line in path.read_bytes().split(b"\n"):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            events.append(event)
    return events
