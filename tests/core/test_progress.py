"""Progress: what somebody who waits is told, on a terminal and in a log."""

import io
import itertools
import os
import pty
import re
import subprocess
import sys
import time

import pytest
from rich.console import Console

from assay.core import progress as module
from assay.core.progress import Progress, Running, _number, _time

PATIENCE = 60.0


def planned(run=3, nodes=5):
    return {"kind": "planned", "run": run, "nodes": nodes}


def started(name="train", key="k"):
    return {"kind": "step_started", "step": name, "key": key}


def at(done, total, unit="epochs", key="k"):
    event = {"kind": "progress", "step": "train", "key": key}
    return {**event, "done": done, "total": total, "unit": unit}


def finished(name="train", key="k", status="done", **more):
    return {"kind": "step_finished", "step": name, "key": key, "status": status, **more}


@pytest.fixture
def piped():
    """A progress that writes into a log, and what it has written."""
    shown = Progress()
    shown.console = Console(file=io.StringIO(), width=60)
    yield shown
    shown.close()


@pytest.fixture
def terminal():
    """A progress on a terminal of 120 columns."""
    shown = Progress()
    shown.console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    yield shown
    shown.close()


def said(shown):
    return shown.console.file.getvalue()


def wait_for(shown, pattern):
    limit = time.monotonic() + PATIENCE
    while not (found := re.search(pattern, said(shown))):
        assert time.monotonic() < limit, said(shown)
        time.sleep(0.02)
    return found


# -- in a log -----------------------------------------------------------------------------------


def test_a_log_begins_with_what_is_to_be_done_and_ends_with_what_was_done(piped):
    piped(planned(run=2, nodes=5))
    for key in "ab":
        piped(started(key=key))
        piped(finished(key=key))
    piped({"kind": "reporting"})

    assert said(piped).splitlines() == [
        "5 steps: 2 to run, 3 in the store",
        "2 of 2 steps",
        "writing the report",
    ]


def test_short_steps_do_not_fill_the_log(piped):
    piped(planned(run=1000, nodes=1000))
    for n in range(1000):
        piped(started(key=f"{n}"))
        piped(finished(key=f"{n}"))

    assert len(said(piped).splitlines()) < 20
    assert said(piped).endswith("1000 of 1000 steps\n")


def test_nobody_waits_long_for_a_sign_of_life():
    assert module.SILENT_SECONDS < 10


def test_a_long_first_step_is_named_though_it_says_nothing(piped, monkeypatch):
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.1)
    piped(planned())
    wait_for(piped, r"\n0 of 3 steps\n")  # before the first step: workers start
    piped(started("train[fold=1]"))
    wait_for(piped, r"0 of 3 steps; train\[fold=1\], running for \d s\n")
    piped(at(120, 400, "steps"))
    wait_for(piped, r"train\[fold=1\], 120 of 400 steps, running for")
    piped(started("other", key="o"))
    wait_for(piped, r"train\[fold=1\], 120 of 400 steps.* and 1 more\n")
    piped(finished("train[fold=1]"))
    wait_for(piped, r"1 of 3 steps; other, running for")


def test_after_the_end_nothing_more_is_said(piped, monkeypatch):
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.05)
    piped(planned())
    wait_for(piped, r"0 of 3 steps\n")
    piped.close()
    before = said(piped)
    piped._closed.wait()
    time.sleep(0.3)

    assert said(piped) == before


def test_nothing_is_awaited_where_nothing_is_to_run(piped, monkeypatch):
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.05)
    piped(planned(run=0))
    time.sleep(0.2)

    assert said(piped) == "5 steps: 0 to run, 5 in the store\n"


def test_failures_and_damage_are_told_at_once_with_brackets_and_on_one_line(piped):
    error = "flood[return_period_years=100]: [red]no[/] such thing [/nonsense] " + "x" * 100
    piped(planned())
    piped(finished(status="failed", error=error))
    piped({"kind": "damaged", "step": "a", "error": "objects/[ab]: the bytes are not those"})

    lines = said(piped).splitlines()
    assert f"failed {error}" in lines
    assert "damaged objects/[ab]: the bytes are not those" in lines


def test_what_a_step_notes_is_told_at_once_with_its_name(piped):
    piped(planned())
    piped({"kind": "note", "step": "fit[fold=1]", "text": "300 steps will take about 2 min"})

    assert "fit[fold=1]: 300 steps will take about 2 min" in said(piped).splitlines()


def test_steps_that_are_computed_again_do_not_exceed_the_total(piped):
    piped(planned(run=1, nodes=1))
    for _ in range(3):
        piped(finished())

    assert said(piped).splitlines()[-1] == "3 of 3 steps"


def test_events_it_does_not_know_are_passed_over(piped):
    piped({"kind": "loss", "step": "train", "key": "k", "value": 0.5})
    piped({"kind": "run_started"})
    piped(at(1, 2))  # of a step that it has not heard of, or whose end came first
    piped(finished("unknown", key="u"))


# -- on a terminal ------------------------------------------------------------------------------


def test_a_terminal_shows_one_bar_for_the_run_and_a_line_per_running_step(terminal):
    terminal(planned())
    terminal(started("train[fold=1]", "a"))
    terminal(started("train[fold=1]", "b"))  # the same step of another trial
    terminal(at(3, 10, key="a"))
    terminal(at(2.5, 6, "h", key="b"))
    terminal._bars.refresh()

    text = said(terminal)
    assert "5 steps: 3 to run, 2 in the store" in text
    assert re.search(r"all steps .*0 of 3 ", text)
    assert len(terminal._bars.tasks) == 3
    assert re.search(r"train\[fold=1\] .*3 of 10 epochs", text)
    assert re.search(r"train\[fold=1\] .*2.5 of 6 h", text)


def test_a_finished_step_gives_its_line_back_and_moves_the_bar(terminal):
    terminal(planned())
    terminal(started(key="a"))
    terminal(started(key="a"))  # its process died and another took it up
    assert len(terminal._bars.tasks) == 2
    terminal(finished(key="a"))
    terminal(finished("cached", key="c"))

    [bar] = terminal._bars.tasks
    assert (bar.completed, bar.total, bar.fields["amount"]) == (2, 3, "2 of 3")


def test_a_step_without_a_total_shows_what_it_has_done(terminal):
    terminal(planned())
    terminal(started())
    terminal(at(120, 0, "samples"))

    assert terminal._bars.tasks[1].total is None
    assert terminal._bars.tasks[1].fields["amount"] == "120 samples"


def test_the_terminal_is_left_as_it_was(terminal):
    terminal(planned())
    terminal({"kind": "reporting"})
    terminal.close()

    assert terminal._bars is None
    assert said(terminal).count("\x1b[?25l") == said(terminal).count("\x1b[?25h") == 1


SCRIPT = """
import time
from assay.core.progress import Progress
shown = Progress()
shown({"kind": "planned", "run": 1, "nodes": 1})
shown({"kind": "step_started", "step": "train[fold=1]", "key": "k"})
time.sleep(1)
shown.close()
"""


def test_on_a_real_terminal_a_long_first_step_is_seen_at_once():
    """And standard output is left to results."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.run(
            [sys.executable, "-c", SCRIPT], stdin=theirs, stderr=theirs, stdout=subprocess.PIPE,
            timeout=PATIENCE, check=True, env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        )  # fmt: skip
        text = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)

    assert process.stdout == b""
    assert "1 step: 1 to run" in text
    assert "train[fold=1]" in text


# -- wording ------------------------------------------------------------------------------------


def test_rate_and_time_left_follow_from_what_was_heard(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    step = Running("train", since=100.0)
    assert step.line() == "train, running for 0 s"
    step.hear(100, 400, "steps")  # taken up from a checkpoint
    assert step.amount == "100 of 400 steps"
    now[0] = 110.0
    step.hear(200, 400, "steps")

    assert step.rate == 10.0
    assert step.line() == "train, 200 of 400 steps, 10/s, running for 10 s, about 20 s left"


def test_a_counter_that_begins_again_gives_no_negative_rate(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    step = Running("train")
    for done, later in ((50, 110.0), (0, 120.0), (10, 130.0)):
        now[0] = later
        step.hear(done, 100, "")

    assert step.rate == 1.0


@pytest.mark.parametrize(
    ("value", "text"), [(3, "3"), (2.5, "2.5"), (12345, "12,345"), (0.12345, "0.123"), (0, "0")]
)
def test_numbers_are_short(value, text):
    assert _number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (90, "1.5 min"), (5399, "90.0 min"),
                          (5400, "1.5 h")]
)  # fmt: skip
def test_durations_are_short(seconds, text):
    assert _time(seconds) == text


LONG = """
import time
from assay import Records, Study, Workflow, component

@component
def slow() -> Records:
    time.sleep(13)
    return Records()

if __name__ == "__main__":
    flow = Workflow("slow")
    flow.step("slow", slow)
    Study(flow).run(store="store", workers={workers}, report=False)
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_in_a_log_is_never_silent_for_ten_seconds(tmp_path, workers):
    (tmp_path / "script.py").write_text(LONG.replace("{workers}", str(workers)))
    process = subprocess.Popen(
        [sys.executable, "-u", "script.py"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    times, lines = [time.monotonic()], []
    for line in process.stderr:
        times.append(time.monotonic())
        lines.append(line)
    process.stderr.close()

    assert process.wait(PATIENCE) == 0, lines
    assert any("0 of 1 steps; slow, running for" in line for line in lines), lines
    assert max(b - a for a, b in itertools.pairwise(times)) < 10
