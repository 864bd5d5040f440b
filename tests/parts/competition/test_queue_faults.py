"""What must hold when many use a queue at a time and any of them may be killed."""

# ruff: noqa: F811 - an argument of a test is the fixture of that name

import random
import signal
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.parts.competition.queue import Queue
from assay.parts.competition.queue_tables import METADATA
from assay.parts.competition.rules import LeaseLost, Refusal
from assay.parts.databases import open_database
from parts.competition.queues import (  # noqa: F401
    PHASE,
    RULES,
    Clock,
    another,
    clock,
    database,
    file,
    postgresql,
    queue,
    script,
    where,
)  # fmt: skip

WORKER = """
def evaluate(phase, path):
    with open(rest[0], "a") as log:
        log.write(f"{os.getpid()} {path.name}\\n")
    time.sleep(0.05)
    content = path.read_text()
    if content.startswith("fail"):
        raise Refusal("crash", tail="oops")
    return {"content": content}

work(queue, evaluate, idle_seconds=0.05, beat_seconds=0.2)
"""
HANGING = WORKER.replace("time.sleep(0.05)", "time.sleep(600)")
SUBMITTER = """
point, file = rest
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
def after(call):
    return lambda *a, **k: (call(*a, **k), die())
if point == "while the bytes are written":
    deposit.os.fsync = die
elif point == "before the file has its name":
    deposit.os.replace = die
elif point == "when the file has its name":
    deposit.os.replace = after(deposit.os.replace)
elif point == "before the row":
    Queue._entered = die
elif point == "after the row":
    Queue._entered = after(Queue._entered)
elif point == "before the transaction ends":
    notes = iter([False, True])
    true = queue_module.note
    queue_module.note = lambda *a, **k: (true(*a, **k), next(notes) and die())
ticket = queue.submit("A", "final", Path(file))
die()
"""
POINTS = (
    "while the bytes are written", "before the file has its name", "when the file has its name",
    "before the row", "after the row", "before the transaction ends", "when all is done",
)  # fmt: skip


@pytest.fixture
def started(where, tmp_path):
    """Starts processes of their own on the queue; they are gone when the test ends."""
    running = []

    def start(body, *rest):
        command = [*script(body), str(where), str(tmp_path / "kept"), *map(str, rest)]
        running.append(subprocess.Popen(command))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def until(holds, seconds=240):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def sent(tmp_path, content):
    path = tmp_path / f"{content}.txt"
    path.write_text(content)
    return path


def at_once(call, arguments):
    """What many threads got from one call each: a result, or the code of a refusal."""

    def one(argument):
        try:
            return call(argument)
        except Refusal as refusal:
            return refusal.code

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(one, arguments))


def test_of_many_submissions_at_once_no_more_are_taken_than_there_are_tries(queue, tmp_path):
    files = [sent(tmp_path, f"s{n}") for n in range(12)]
    got = at_once(lambda path: queue.submit("A", "final", path), files)

    taken = [ticket for ticket in got if not isinstance(ticket, str)]
    assert sorted(ticket.tries_left for ticket in taken) == [0, 1, 2]
    assert got.count("no_tries") == 9
    assert len(queue.entries("final")) == 3


def test_the_same_bytes_sent_many_times_at_once_are_one_submission(queue, tmp_path):
    path = sent(tmp_path, "same")
    got = at_once(lambda _: queue.submit("A", "final", path), range(12))

    assert len({ticket.id for ticket in got}) == 1
    assert [ticket.again for ticket in got].count(False) == 1
    assert queue.tries_left("A", "final") == 2


def test_many_workers_never_hold_the_same_submission(queue, another, tmp_path):
    for n in range(12):
        queue.submit(f"T{n}", "final", sent(tmp_path, f"s{n}"))
    jobs = at_once(lambda n: another().take(f"w{n}"), range(16))

    assert len({job.id for job in jobs if job}) == 12
    assert jobs.count(None) == 4


@pytest.fixture
def lasting(database, tmp_path):
    """The queue as the processes of `script` know it: not closed before 2100, many retries."""
    phase = replace(PHASE, closes=PHASE.closes.replace(year=2100))
    rules = replace(RULES, phases={"final": phase}, retries=20)
    return Queue(database, tmp_path / "kept", rules)


@pytest.mark.faults
def test_a_worker_killed_while_it_scores_costs_no_try(started, tmp_path, lasting):
    queue = lasting
    id = queue.submit("A", "final", sent(tmp_path, "x")).id
    log = tmp_path / "log"
    victim = started(HANGING, log)
    until(log.exists)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert queue.status(id).state == "running"
    started(WORKER, log)
    until(lambda: queue.status(id).state == "scored")

    found = queue.status(id)
    assert (found.result, found.faults, found.costs) == ({"content": "x"}, 1, True)
    assert queue.tries_left("A", "final") == 2
    assert len(log.read_text().splitlines()) == 2
    assert "no sign of life" in " ".join(event.note for event in queue.history(id))


@pytest.mark.faults
def test_whatever_worker_is_killed_each_submission_has_one_outcome(started, tmp_path, lasting):
    queue = lasting
    teams = [f"T{n}" for n in range(4)]
    words = [f"{kind}-{team}-{n}" for team in teams for n, kind in enumerate(["ok", "fail", "ok"])]
    ids = {
        word: queue.submit(word.split("-")[1], "final", sent(tmp_path, word)).id for word in words
    }
    log, rng = tmp_path / "log", random.Random(1)
    workers = [started(WORKER, log) for _ in range(2)]
    until(log.exists)
    for _ in range(3):
        time.sleep(rng.uniform(0.05, 0.3))
        victim = workers.pop(0)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        workers.append(started(WORKER, log))

    def ended():
        return all(e.state in ("scored", "failed") for e in queue.entries("final"))

    until(ended)
    for word, id in ids.items():
        found, seen = queue.status(id), Counter(event.event for event in queue.history(id))
        assert found.state == ("failed" if word.startswith("fail") else "scored")
        assert found.result == (None if word.startswith("fail") else {"content": word})
        assert seen["scored"] + seen["failed"] == 1
        assert seen["running"] == seen["queued"]
        assert found.faults == seen["running"] - 1
    assert [queue.tries_left(team, "final") for team in teams] == [0] * 4


@pytest.mark.faults
@pytest.mark.parametrize("point", POINTS)
def test_a_submission_cut_off_anywhere_is_there_whole_or_can_be_sent_again(
    started, tmp_path, lasting, point
):
    queue = lasting
    path = sent(tmp_path, "x")
    assert started(SUBMITTER, point, path).wait() == -signal.SIGKILL
    there = queue.entries("final")
    assert len(there) == (point == "when all is done")

    ticket = queue.submit("A", "final", path)
    assert (ticket.again, ticket.tries_left) == (bool(there), 2)
    assert queue.intact(queue.take("w").path.name).read_text() == "x"
    queue.sweep(older_than_seconds=-1)
    kept = [p for p in (tmp_path / "kept").rglob("*") if p.is_file()]
    assert [p.read_text() for p in kept] == ["x"]


STEPS = st.sampled_from(
    ["submit", "submit", "take", "take", "done", "failed", "refused", "fault", "release", "beat",
     "wait", "rescore", "retry"]
)  # fmt: skip
ALLOWED = {
    "received": {"queued"},
    "queued": {"running", "queued"},  # the second: to be scored by yet another metric
    "running": {"scored", "failed", "refused", "queued", "stuck"},
    "scored": {"queued"}, "failed": {"queued"}, "refused": {"queued"}, "stuck": {"queued"},
}  # fmt: skip


class Walk:
    """A queue, the jobs its workers hold or held, and one step after another."""

    def __init__(self, folder):
        self.folder, self.clock, self.jobs, self.version = folder, Clock(), [], 1
        self.database = open_database(folder / "queue.sqlite", METADATA)
        clocks = {"now": self.clock.now, "clock": self.clock.monotonic}
        self.queue = Queue(self.database, folder / "kept", RULES, **clocks)

    def submit(self, n):
        try:
            self.queue.submit(f"T{n % 2}", "final", sent(self.folder, f"s{n}"))
        except Refusal as refusal:
            return refusal.code
        return ""

    def take(self, n):
        if job := self.queue.take(f"w{n}"):
            self.jobs.append(job)

    def wait(self, n):
        self.clock.seconds += 4 * n

    def rescore(self, n):
        self.version += 1
        self.queue.rules = replace(RULES, version=str(self.version))
        self.queue.rescore(str(self.version), failed=n == 0)

    def retry(self, n):
        for each in self.queue.entries("final"):
            if each.state == "stuck":
                self.queue.retry(each.id)

    def told(self, step, job):
        """One call of a job; what it changes is as it should be, or it had lost its lease."""
        stood = self.queue.status(job.id)
        given = {"done": [{"by": job.token}], "failed": ["crash"], "refused": ["format", []],
                 "fault": ["x"]}.get(step, [])  # fmt: skip
        try:
            getattr(job, step)(*given)
        except LeaseLost:
            assert self.queue.status(job.id) == stood
        else:
            assert (stood.state, stood.worker) == ("running", job.worker)
            assert step != "done" or self.queue.status(job.id).result == {"by": job.token}


@settings(max_examples=8)
@given(st.lists(st.tuples(STEPS, st.integers(0, 5)), min_size=10, max_size=40))
def test_no_order_of_events_breaks_the_rules(tmp_path_factory, steps):
    walk = Walk(tmp_path_factory.mktemp("walk"))
    for step, n in steps:
        if step == "submit":
            assert walk.submit(n) in ("", "no_tries", "too_late")
        elif hasattr(walk, step):
            getattr(walk, step)(n)
        elif walk.jobs:
            walk.told(step, walk.jobs[n % len(walk.jobs)])
        used = Counter(each.team for each in walk.queue.entries("final") if each.costs)
        assert all(count <= PHASE.tries for count in used.values())
    for each in walk.queue.entries("final"):
        names = [event.event for event in walk.queue.history(each.id)]
        assert all(after in ALLOWED[before] for before, after in pairwise(names))
        assert names[-1] == each.state
        assert each.faults <= RULES.retries + 1
        assert (each.result is not None) >= (each.state == "scored")
    walk.database.close()
