"""Events: what happened in a run, one JSON object per line, written by the driver alone."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

Listener = Callable[[dict[str, Any]], None]


class EventLog:
    """Appends events to a file and passes them on.

    Args:
        path: The JSONL file; appended to, so that a resumed run continues its own log.
        listeners: Called with every event, for example a progress display.
    """

    def __init__(self, path: Path, listeners: Sequence[Listener] = ()) -> None:
        self.listeners = list(listeners)
        self._file: TextIO = path.open("a", encoding="utf-8")
        self._flushed = time.monotonic()

    def __call__(self, event: dict[str, Any]) -> None:
        """Record one event with the time it arrived."""
        stamped = {"time": round(time.time(), 3), **event}
        if event.get("kind") != "progress":
            self._file.write(json.dumps(stamped, separators=(",", ":"), default=str) + "\n")
            if time.monotonic() - self._flushed > 1.0:
                self._file.flush()
                self._flushed = time.monotonic()
        for listener in self.listeners:
            listener(stamped)

    def close(self) -> None:
        """Write out what is buffered."""
        self._file.close()


def read_events(path: Path) -> list[dict[str, Any]]:
    """All whole events of a log; a last line cut off by a kill is left out."""
    events: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return events
