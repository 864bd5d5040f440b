"""Progress: one bar for the run and one line per running step, with rate and time left."""

import time
from typing import Any


class Progress:
    """Shows events as they come; on a pipe or in a log it prints a line now and then instead."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True)
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}
        self._total: Any = None
        self._count = [0, 0]
        self._said = 0.0

    def __call__(self, event: dict[str, Any]) -> None:
        """Show one event."""
        handler = getattr(self, f"_on_{event['kind']}", None)
        if handler is not None:
            handler(event)

    def _on_planned(self, event: dict[str, Any]) -> None:
        cached = event["nodes"] - event["run"]
        self._count = [0, event["run"]]
        self.console.print(
            f"[dim]{event['nodes']} steps: {event['run']} to run, {cached} in the store[/dim]",
            highlight=False,
        )
        if event["run"] and self.console.is_terminal:
            self._open(event["run"])

    def _open(self, total: int) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bars

        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self._total = self._bars.add_task("all steps", total=total, unit="")
        self._bars.start()

    def _on_step_started(self, event: dict[str, Any]) -> None:
        if self._bars is not None:
            name = event["step"]
            self._tasks[name] = self._bars.add_task(f"  {name}", total=None, unit="")

    def _on_progress(self, event: dict[str, Any]) -> None:
        name = event["step"]
        if self._bars is not None and name in self._tasks:
            self._bars.update(
                self._tasks[name],
                completed=round(event["done"]),
                total=round(event["total"]),
                unit=event["unit"],
            )

    def _on_step_finished(self, event: dict[str, Any]) -> None:
        self._count[0] += 1
        if event["status"] == "failed":
            self.console.print(f"[red]failed[/red] {event['error']}", highlight=False)
        if self._bars is None:
            self._plain()
            return
        task = self._tasks.pop(event["step"], None)
        if task is not None:
            self._bars.remove_task(task)
        self._bars.advance(self._total)

    def _plain(self) -> None:
        done, total = self._count
        if time.monotonic() - self._said > 5 or done == total:
            self._said = time.monotonic()
            self.console.print(f"{done} of {total} steps", highlight=False)

    def _on_damaged(self, event: dict[str, Any]) -> None:
        self.console.print(f"[yellow]damaged[/yellow] {event['error']}", highlight=False)

    def _on_reporting(self, event: dict[str, Any]) -> None:
        self.close()
        self.console.print("[dim]writing the report[/dim]")

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
