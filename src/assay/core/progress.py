"""Progress: one bar for the run and one line per running step, with rate and time left.

On a terminal the bars move by themselves. On a pipe or in a log a line is printed now and then, so
that nobody waits longer than `SILENT_SECONDS` for a sign of life, however long a step takes.
"""

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from assay.core.wording import count

SILENT_SECONDS = 8.0
"""A log is never silent for longer than this, some seconds of a busy machine put aside."""


@dataclass
class Running:
    """A step that runs now, and what it has said of itself."""

    name: str
    since: float = field(default_factory=time.monotonic)
    done: float = 0.0
    total: float = 0.0
    unit: str = ""
    first: tuple[float, float] | None = None
    bar: Any = None

    def hear(self, done: float, total: float, unit: str) -> None:
        """Take in a progress event."""
        self.done, self.total, self.unit = done, total, unit
        if self.first is None or done < self.first[1]:
            self.first = (time.monotonic(), done)

    @property
    def amount(self) -> str:
        """How far it is, with its rate: ``120 of 400 steps, 35/s``."""
        if self.first is None:
            return ""
        of = f" of {_number(self.total)}" if self.total > 0 else ""
        said = f"{_number(self.done)}{of} {self.unit}".rstrip()
        rate = self.rate
        return f"{said}, {rate:.3g}/s" if rate else said

    @property
    def rate(self) -> float:
        """Units per second since the first event; 0 if not known."""
        if self.first is None:
            return 0.0
        began, start = self.first
        elapsed = time.monotonic() - began
        return (self.done - start) / elapsed if elapsed > 0.5 else 0.0

    def line(self) -> str:
        """One line for a log: name, amount, time it has taken and time left."""
        parts = [self.name, self.amount, f"running for {_time(time.monotonic() - self.since)}"]
        if self.rate > 0 and self.total > self.done:
            parts.append(f"about {_time((self.total - self.done) / self.rate)} left")
        return ", ".join(part for part in parts if part)


class Progress:
    """Shows events as they come; on a pipe or in a log it prints a line now and then instead."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True)
        self._bars: Any = None
        self._total: Any = None
        self._running: dict[str, Running] = {}
        self._count = [0, 0]
        self._said = time.monotonic()
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def __call__(self, event: dict[str, Any]) -> None:
        """Show one event."""
        handler = getattr(self, f"_on_{event['kind']}", None)
        if handler is not None:
            with self._lock:
                handler(event)

    def _on_planned(self, event: dict[str, Any]) -> None:
        cached = event["nodes"] - event["run"]
        self._count = [0, event["run"]]
        steps = count(event["nodes"], ["step"])
        said = f"{steps}: {event['run']} to run, {cached} in the store"
        self._say((said, "dim"))
        if not event["run"]:
            return
        if self.console.is_terminal:
            self._open(event["run"])
        else:
            threading.Thread(target=self._keep_saying, name="assay-progress", daemon=True).start()

    def _open(self, total: int) -> None:
        from rich.progress import (
            BarColumn,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bars

        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[amount]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self._total = self._bars.add_task("all steps", total=total, amount=f"0 of {total}")
        self._bars.start()

    def _on_step_started(self, event: dict[str, Any]) -> None:
        self._drop(event["key"])  # its process died and it was started again
        step = self._running[event["key"]] = Running(event["step"])
        if self._bars is not None:
            step.bar = self._bars.add_task(f"  {step.name}", total=None, amount="")

    def _on_progress(self, event: dict[str, Any]) -> None:
        step = self._running.get(event["key"])
        if step is None:
            return
        step.hear(event["done"], event["total"], event["unit"])
        if self._bars is not None:
            total = step.total if step.total > 0 else None
            self._bars.update(step.bar, completed=step.done, total=total, amount=step.amount)

    def _on_step_finished(self, event: dict[str, Any]) -> None:
        self._drop(event["key"])
        done, total = self._count[0] + 1, max(self._count[1], self._count[0] + 1)
        self._count = [done, total]
        if event["status"] == "failed":
            self._say(("failed", "red"), (f" {event['error']}", ""))
        if self._bars is not None:
            said = f"{done} of {total}"
            self._bars.update(self._total, completed=done, total=total, amount=said)
        elif done == total or time.monotonic() - self._said > SILENT_SECONDS / 2:
            self._say((self._where(), ""))

    def _on_note(self, event: dict[str, Any]) -> None:
        self._say((f"{event['step']}: {event['text']}", ""))

    def _on_damaged(self, event: dict[str, Any]) -> None:
        self._say(("damaged", "yellow"), (f" {event['error']}", ""))

    def _on_reporting(self, event: dict[str, Any]) -> None:
        self._close()
        self._say(("writing the report", "dim"))

    # -- details --------------------------------------------------------------------------------

    def _say(self, *parts: tuple[str, str]) -> None:
        """Print one line of styled texts; the brackets in names of steps are no markup here."""
        from rich.text import Text

        self._said = time.monotonic()
        self.console.print(Text.assemble(*parts), soft_wrap=True)

    def _where(self) -> str:
        done, total = self._count
        oldest = min(self._running.values(), key=lambda step: step.since, default=None)
        said = f"{done} of {total} steps"
        if oldest is None:
            return said
        more = f" and {len(self._running) - 1} more" if len(self._running) > 1 else ""
        return f"{said}; {oldest.line()}{more}"

    def _keep_saying(self) -> None:
        """Print where the run is whenever nothing was printed for a while."""
        while not self._closed.wait(max(0.05, self._said + SILENT_SECONDS - time.monotonic())):
            with self._lock:
                if not self._closed.is_set() and time.monotonic() - self._said >= SILENT_SECONDS:
                    self._say((self._where(), ""))

    def _drop(self, key: str) -> None:
        step = self._running.pop(key, None)
        if step is not None and self._bars is not None:
            self._bars.remove_task(step.bar)

    def _close(self) -> None:
        self._closed.set()
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def close(self) -> None:
        """Leave the terminal as it was."""
        with self._lock:
            self._close()


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3g}"


def _time(seconds: float) -> str:
    """A duration for a reader.

    Example:
        >>> _time(9.4), _time(150), _time(9000)
        ('9 s', '2.5 min', '2.5 h')
    """
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
