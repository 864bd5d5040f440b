"""What a running component may ask for; outside a run every call is harmless.

    folder = task().scratch()                     # survives a kill
    for step in range(last_checkpoint(folder), steps):
        ...
        task().progress(step, steps, "steps")

A component never receives the context as an argument: its signature says what it computes, not
where it runs.
"""

import os
import tempfile
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.errors import UsageError

Emit = Callable[[dict[str, Any]], None]


@dataclass
class Task:
    """The step that is running in this process.

    Attributes:
        step: Name of the step, with its member, for example ``flood[T=100]``.
        key: Key of the step in the store; empty outside a run.
        threads: Threads the step may use.
        folder: Where its durable files live; ``None`` outside a run.
        emit: Sends one event to the driver.
    """

    step: str = ""
    key: str = ""
    threads: int = 1
    folder: Path | None = None
    emit: Emit | None = None
    used_scratch: bool = field(default=False, repr=False)
    _last_progress: float = field(default=0.0, repr=False)

    def scratch(self) -> Path:
        """A durable folder named by the step's key.

        It survives a kill, so a training component that writes its checkpoints here finds them
        when the step is run again. Outside a run it is a fresh temporary folder.
        """
        if self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="assay-scratch-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.used_scratch = True
        return self.folder

    def progress(self, done: float, total: float, unit: str = "") -> None:
        """Report that ``done`` of ``total`` units are finished; cheap enough for inner loops."""
        now = time.monotonic()
        final = done >= total > 0
        if self.emit is None or (now - self._last_progress < 0.5 and not final):
            return
        self._last_progress = now
        self.event("progress", done=float(done), total=float(total), unit=unit)

    def event(self, kind: str, **values: Any) -> None:
        """Append one event to the run's log, for example a loss or a throughput.

        A ``note`` with a ``text`` is shown to whoever watches the run.
        """
        if self.emit is not None:
            self.emit({"kind": kind, "step": self.step, "key": self.key, **values})


_current: ContextVar[Task | None] = ContextVar("assay_task", default=None)


def task() -> Task:
    """The running step's context, or a harmless stand-in outside a run."""
    return _current.get() or Task(threads=available_cores())


def available_cores() -> int:
    """Cores this process may use (its affinity, not the machine's count)."""
    return len(os.sched_getaffinity(0))


def threads_alone() -> int:
    """Threads of a step beside which nothing runs: the cores, unless ``ASSAY_THREADS`` says fewer.

    Raises:
        UsageError: If what it says is no whole number from 1.
    """
    said = os.environ.get("ASSAY_THREADS", "")
    if not said:
        return available_cores()
    if not (said.isdecimal() and int(said) >= 1):
        raise UsageError(
            f"is {said!r}", where="the variable ASSAY_THREADS", accepted="a whole number from 1"
        )
    return min(int(said), available_cores())
