"""The queue's states, tries, leases and re-scoring, on SQLite and PostgreSQL."""

# ruff: noqa: F811 - an argument of a test is the fixture of that name

import hashlib
import json
import os
import pickle
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy.exc import IntegrityError

from assay.errors import DamagedArtifact, ParameterError, StoreError, UsageError
from assay.parts.competition.queue import Queue
from assay.parts.competition.queue_tables import SUBMISSIONS
from assay.parts.competition.rules import COSTS, LeaseLost, PhaseRules, Refusal, plain
from assay.parts.competition.worker import work
from parts.competition.queues import (  # noqa: F401
    NOON,
    PHASE,
    RULES,
    another,
    clock,
    database,
    file,
    postgresql,
    queue,
    where,
)  # fmt: skip


def events(queue, id):
    return [event.event for event in queue.history(id)]


def refused_for(code, call, *arguments, **named):
    with pytest.raises(Refusal) as caught:
        call(*arguments, **named)
    assert caught.value.code == code
    return str(caught.value)


def test_a_submission_goes_through_its_states_and_its_result_is_read_again(queue, another, file):
    ticket = queue.submit("A", "final", file("x"))
    assert (ticket.state, ticket.again, ticket.tries_left) == ("queued", False, 2)
    job = queue.take("w")
    assert job.path.read_text() == "x"
    assert job.path.suffix == ".json"
    assert queue.status(ticket.id).state == "running"
    result = {"score": 0.1 + 0.2, "cases": {"ü\0": [1, None, True]}}
    job.done(result)

    found = another().status(ticket.id)
    assert (found.state, found.result, found.version, found.costs) == ("scored", result, "1", True)
    assert found.received == found.ended == "2030-06-01T12:00:00+00:00"
    assert events(queue, ticket.id) == ["received", "queued", "running", "scored"]
    assert queue.take("w") is None


def test_submissions_are_taken_in_the_order_of_arrival_and_their_place_is_told(queue, file):
    ids = [queue.submit("A", "final", file(n)).id for n in range(3)]
    assert [queue.status(id).position for id in ids] == [1, 2, 3]
    assert queue.take("w").id == ids[0]
    assert [queue.status(id).position for id in ids] == [None, 1, 2]
    assert [queue.take("w").id, queue.take("w").id] == ids[1:]


def test_the_same_bytes_cost_one_try_and_are_one_submission(queue, file, clock):
    first = queue.submit("A", "final", file("x"))
    again = queue.submit("A", "final", file("x"))
    assert again == (first.id, "queued", True, 2)
    others = [queue.submit("B", "final", file("x")), queue.submit("A", "trial", file("x"))]
    assert len({first.id, *(ticket.id for ticket in others)}) == 3
    assert queue.submit("A", "final", file("x", ".csv")).id != first.id  # read in another way
    clock.seconds = 7200
    assert queue.submit("A", "final", file("x")).id == first.id


def test_the_last_try_is_the_last_and_another_phase_has_its_own(queue, file):
    assert [queue.submit("A", "final", file(n)).tries_left for n in range(3)] == [2, 1, 0]
    assert "all 3 tries" in refused_for("no_tries", queue.submit, "A", "final", file(4))
    assert queue.submit("A", "trial", file(4)).tries_left == 2
    assert queue.submit("B", "final", file(4)).tries_left == 2
    assert queue.tries_left("A", "final") == 0


@pytest.mark.parametrize("code", [*sorted(COSTS), "out_of_range"])
def test_what_costs_a_try_is_as_declared(queue, file, code):
    id = queue.submit("A", "final", file()).id
    queue.take("w").failed(code, "the tail\n")

    found = queue.status(id)
    assert (found.state, found.code, found.tail) == ("failed", code, "the tail\n")
    assert found.costs is (code in COSTS)
    assert queue.tries_left("A", "final") == (2 if code in COSTS else 3)


def test_a_refused_format_costs_no_try_and_says_what_is_wrong(queue, file):
    id = queue.submit("A", "final", file()).id
    queue.take("w").refused("missing_case", ["no prediction for case 3"] * 200)

    found = queue.status(id)
    assert (found.state, found.code) == ("refused", "missing_case")
    assert found.problems == ("no prediction for case 3",) * 100
    assert queue.tries_left("A", "final") == 3


def test_the_deadline_is_utc_and_told_so(another, file, clock):
    east = timezone(timedelta(hours=9))
    phase = replace(PHASE, opens=NOON.astimezone(east), closes=(NOON + timedelta(hours=1)))
    queue = another(replace(RULES, phases={"final": phase}))
    clock.seconds = -1
    assert "opens at 2030-06-01T12:00:00+00:00" in refused_for(
        "too_early", queue.submit, "A", "final", file()
    )
    clock.seconds = 3599
    queue.submit("A", "final", file())
    clock.seconds = 3600
    said = refused_for("too_late", queue.submit, "A", "final", file("b"))
    assert "closed at 2030-06-01T13:00:00+00:00; it is 2030-06-01T13:00:00+00:00" in said
    assert queue.submit("us", "final", file("b"), host=True).tries_left is None


def test_a_moment_without_an_offset_is_refused(database, tmp_path, file):
    with pytest.raises(ParameterError, match="UTC offset"):
        PhaseRules(closes=datetime(2030, 1, 1))  # noqa: DTZ001
    with pytest.raises(ParameterError, match="at least 1"):
        replace(PHASE, tries=0)
    blind = Queue(database, tmp_path / "kept", RULES, lambda: datetime(2030, 1, 1))  # noqa: DTZ001
    with pytest.raises(ParameterError, match="offset from UTC"):
        blind.submit("A", "final", file())


def test_what_is_no_submission_is_refused_and_counts_nothing(another, file, tmp_path):
    queue = another(replace(RULES, max_bytes=3))
    os.mkfifo(tmp_path / "pipe")
    refused_for("format", queue.submit, "A", "final", tmp_path / "pipe")
    refused_for("format", queue.submit, "A", "final", tmp_path)
    refused_for("too_large", queue.submit, "A", "final", file("1234"))
    with pytest.raises(StoreError, match="cannot be read"):
        queue.submit("A", "final", tmp_path / "none")
    with pytest.raises(UsageError, match=r"no phase 'finale'.*Did you mean 'final'"):
        queue.submit("A", "finale", file())
    for team in ("", "a\0b", "x" * 201):
        with pytest.raises(ParameterError, match="a team is named"):
            queue.submit(team, "final", file())

    assert queue.submit("A", "final", file("123")).tries_left == 2
    assert len(list((tmp_path / "kept").iterdir())) == 2  # it, and the empty folder of unfinished
    assert list((tmp_path / "kept/.incoming").iterdir()) == []


def test_bytes_lie_under_their_digest_for_the_owner_alone(queue, file, tmp_path):
    queue.submit("A", "final", file("x"))
    kept = tmp_path / "kept"
    path = kept / f"{hashlib.sha256(b'x').hexdigest()}.json"
    assert path.read_text() == "x"
    assert (kept.stat().st_mode & 0o77, path.stat().st_mode & 0o77) == (0, 0)


def test_a_platform_fault_returns_it_costs_nothing_and_is_capped(queue, file):
    id = queue.submit("A", "final", file()).id
    for n in (1, 2):
        queue.take("w").fault("disk full, /truth/labels.csv")
        found = queue.status(id)
        assert (found.state, found.faults, found.costs, found.position) == ("queued", n, True, 1)
        assert "labels" not in repr(found)  # which the team may see
    queue.take("w").fault("again")

    assert queue.status(id).state == "stuck"
    assert queue.take("w") is None
    assert queue.tries_left("A", "final") == 3
    assert events(queue, id)[-1] == "stuck"
    queue.retry(id)
    queue.take("w").done({"score": 1})
    assert queue.status(id).state == "scored"
    assert queue.tries_left("A", "final") == 3  # the platform failed: this one is free
    with pytest.raises(UsageError, match="is stuck"):
        queue.retry(id)


def test_a_worker_that_stops_returns_it_without_a_fault(queue, file):
    id = queue.submit("A", "final", file()).id
    job = queue.take("w")
    job.release()
    assert (queue.status(id).state, queue.status(id).faults) == ("queued", 0)
    with pytest.raises(LeaseLost):
        job.done({})


def test_a_counter_that_stands_still_loses_the_lease_and_the_late_result_is_not_written(
    queue, another, file, clock
):
    id = queue.submit("A", "final", file()).id
    slow, other = queue.take("slow"), another()
    assert other.take("other") is None  # sees the counter for the first time
    clock.seconds += 10
    assert other.take("other") is None
    slow.beat()
    clock.seconds += 1
    assert other.take("other") is None  # it was raised: the clock of the lease starts anew
    clock.seconds += 10.1
    job = other.take("other")

    assert (job.id, queue.status(id).faults, queue.status(id).worker) == (id, 1, "other")
    late_words = [
        slow.beat, slow.release, lambda: slow.done({"score": 9}), lambda: slow.failed("crash"),
        lambda: slow.refused("format", []), lambda: slow.fault("x"),
    ]  # fmt: skip
    for late in late_words:
        with pytest.raises(LeaseLost, match="no longer held"):
            late()
    job.done({"score": 1})
    with pytest.raises(LeaseLost):
        job.done({"score": 2})
    assert queue.status(id).result == {"score": 1}
    assert events(queue, id) == ["received", "queued", "running", "queued", "running", "scored"]


def test_a_lease_is_judged_by_ones_own_clock_whatever_time_the_workers_host_has(
    queue, another, file, clock
):
    queue.submit("A", "final", file())
    queue.take("w")
    clock.seconds += 10_000  # the time of day leaps; this process has not watched the counter
    late = another()
    assert late.take("late") is None
    clock.seconds += 5
    assert late.take("late") is None


def test_the_heartbeat_is_visible(queue, file, clock):
    id = queue.submit("A", "final", file()).id
    job = queue.take("w")
    clock.seconds = 65
    job.beat()
    assert queue.status(id).beaten == "2030-06-01T12:01:05+00:00"


def test_hosts_are_scored_off_the_board_and_off_the_quota(queue, file):
    mine = [queue.submit("A", "final", file(n), host=True) for n in range(5)]
    assert {ticket.tries_left for ticket in mine} == {None}
    assert queue.tries_left("A", "final") == 3
    team = queue.submit("A", "final", file(0))  # the bytes of the hosts' own, by a team
    assert not team.again
    while job := queue.take("w"):
        job.done({"score": 1})
    assert {queue.status(ticket.id).state for ticket in mine} == {"scored"}
    assert [entry.id for entry in queue.entries("final")] == [team.id]
    assert len(queue.entries("final", hosts=True)) == 6
    assert [entry.id for entry in queue.finals("final", lambda r: r["score"])] == [team.id]


def test_a_rescore_keeps_the_old_result_until_the_new_one_stands_and_the_quota(
    another, queue, file
):
    ids = [queue.submit("A", "final", file(n)).id for n in range(3)]
    queue.take("w").done({"score": 1})
    queue.take("w").failed("crash", "oops")
    running = queue.take("w")
    waiting = queue.submit("B", "final", file()).id
    new = another(replace(RULES, version="2"))

    assert new.rescore("2") == 2
    assert new.rescore("2") == 0
    assert queue.take("old worker") is None  # it computes the metric that was wrong
    with pytest.raises(LeaseLost):
        running.done({"score": 7})
    found = queue.status(ids[0])
    assert (found.state, found.result, found.version) == ("queued", {"score": 1}, "1")
    assert queue.status(ids[1]).state == "failed"
    later = queue.submit("C", "final", file()).id  # by a server that has not been told
    for id in (ids[0], ids[2], waiting, later):
        job = new.take("w")
        assert (job.id, job.version) == (id, "2")
        job.done({"score": 2})

    found = queue.status(ids[0])
    assert (found.result, found.version) == ({"score": 2}, "2")
    kept = [(e.result, e.version) for e in queue.history(ids[0]) if e.event == "scored"]
    assert kept == [({"score": 1}, "1"), ({"score": 2}, "2")]
    assert queue.tries_left("A", "final") == 0


def test_a_rescore_that_fails_or_is_stuck_changes_no_quota(another, queue, file):
    ids = [queue.submit("A", "final", file(n)).id for n in range(3)]
    queue.take("w").done({"score": 1})
    queue.take("w").done({"score": 2})
    queue.take("w").refused("format", ["a"])
    new = another(replace(RULES, version="2", retries=0))
    assert new.rescore("2", failed=True) == 3
    new.take("w").refused("format", ["only now"])
    new.take("w").fault("gone")
    new.take("w").done({"score": 3})

    found = [new.status(id) for id in ids]
    assert [entry.state for entry in found] == ["refused", "stuck", "scored"]
    assert [entry.result for entry in found] == [None, {"score": 2}, {"score": 3}]
    assert [entry.costs for entry in found] == [True, True, False]
    assert new.tries_left("A", "final") == 1


def test_teams_choose_their_final_ones_and_else_the_best_or_latest_are_taken(another, queue, file):
    scores = {"A": [0.2, 0.9, 0.5], "B": [0.9, 0.1, 0.9], "C": [float("-inf"), 0.3, 0.4]}
    ids = {team: [queue.submit(team, "final", file(n)).id for n in range(3)] for team in scores}
    for own in scores.values():
        for score in own:
            queue.take("w").done({"score": score if score >= 0 else None})

    def final(of=queue):
        return {e.id for e in of.finals("final", lambda result: result["score"])}

    queue.choose("A", "final", [ids["A"][0]])
    best = {ids["A"][0], ids["B"][0], ids["B"][2], ids["C"][1], ids["C"][2]}
    assert final() == best
    latest = another(replace(RULES, phases={"final": replace(PHASE, unchosen="latest")}))
    assert final(latest) == {ids["A"][0], *ids["B"][1:], *ids["C"][1:]}
    queue.choose("A", "final", ids["A"][1:])
    assert final() & set(ids["A"]) == set(ids["A"][1:])
    queue.choose("A", "final", [])
    assert final() & set(ids["A"]) == set(ids["A"][1:])  # the best two again

    refused_for("too_many", queue.choose, "A", "final", ids["A"])
    refused_for("unknown", queue.choose, "A", "final", [ids["B"][0]])
    refused_for("unknown", queue.choose, "A", "trial", [ids["A"][0]])
    queue.choose("B", "final", [ids["B"][1]])
    assert final() & set(ids["A"]) == set(ids["A"][1:])  # another team's are left alone


def test_nothing_is_chosen_too_late_or_before_it_is_scored(queue, file, clock):
    id = queue.submit("A", "final", file()).id
    refused_for("unknown", queue.choose, "A", "final", [id])
    queue.take("w").failed("crash")
    refused_for("unknown", queue.choose, "A", "final", [id])
    clock.seconds = 3600
    refused_for("too_late", queue.choose, "A", "final", [])


def test_hostile_words_of_a_program_do_not_become_a_fault_of_the_platform(queue, file):
    id = queue.submit("A", "final", file()).id
    evil = "\0\ud800'; DROP TABLE submissions; --" + "x" * 20_000 + "end"
    queue.take("w").failed("crash", evil, [evil, "\0"])

    found = queue.status(id)
    assert found.state == "failed"
    assert found.tail.endswith("end")
    assert len(found.tail) == 8192
    assert found.problems[1] == "\ufffd"
    assert plain("a\0\ud800", 10) == "a\ufffd?"


def test_a_result_that_is_not_json_or_a_code_that_is_no_word_is_refused(queue, file):
    id = queue.submit("A", "final", file()).id
    job = queue.take("w")
    for result in ({"score": float("nan")}, {"score": float("inf")}, {"score": object()}):
        with pytest.raises(ParameterError, match="not JSON"):
            job.done(result)
    with pytest.raises(ParameterError, match="small letters"):
        job.failed("No code!")
    assert queue.status(id).state == "running"


def test_a_state_that_does_not_exist_cannot_be_written(queue, file, database):
    queue.submit("A", "final", file())
    with pytest.raises(IntegrityError), database.write() as connection:
        connection.execute(SUBMISSIONS.update().values(state="winning"))


def test_a_refusal_travels_and_stays_what_it_is():
    refusal = Refusal("timeout", ["a", "b"], tail="t")
    again = pickle.loads(pickle.dumps(refusal)).at("elsewhere")
    assert (again.code, again.problems, again.tail, again.failed) == (
        "timeout",
        ("a", "b"),
        "t",
        True,
    )
    assert str(again) == "submission: timeout: a; b"


def test_a_worker_scores_everything_and_says_whose_fault_it_was(another, file):
    queue = another(replace(RULES, lease_seconds=600))
    words = ("good", "bad format", "crash", "quiet", "platform", "nan")
    ids = {word: queue.submit(word, "final", file(word)).id for word in words}

    def evaluate(phase, path):
        word = path.read_text()
        if word == "bad format":
            raise Refusal("format", ["not JSON"])
        if word == "crash":
            raise Refusal("crash", tail="Segmentation fault")
        if word == "quiet":
            raise Refusal("timeout", failed=True)
        if word == "platform":
            raise MemoryError
        return {"score": float("nan") if word == "nan" else 1.0}

    assert work(queue, evaluate, drain=True, idle_seconds=0.001) == 4 + 2 * 3
    found = {word: queue.status(id) for word, id in ids.items()}
    assert {word: (e.state, e.code) for word, e in found.items()} == {
        "good": ("scored", ""), "bad format": ("refused", "format"), "crash": ("failed", "crash"),
        "quiet": ("failed", "timeout"), "platform": ("stuck", ""), "nan": ("stuck", ""),
    }  # fmt: skip
    assert "MemoryError" in queue.history(ids["platform"])[-1].note
    assert [queue.tries_left(w, "final") for w in words] == [2, 3, 2, 2, 3, 3]


def test_a_worker_that_is_interrupted_lets_go(queue, file):
    id = queue.submit("A", "final", file()).id

    def evaluate(phase, path):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(queue, evaluate, drain=True)
    assert (queue.status(id).state, queue.status(id).faults) == ("queued", 0)


def test_damaged_bytes_are_the_platforms_fault_and_sending_them_again_repairs_them(queue, file):
    id = queue.submit("A", "final", file("x")).id
    job = queue.take("w")
    job.path.write_text("y")
    with pytest.raises(DamagedArtifact, match="not what its name says"):
        queue.intact(job.path.name)
    job.path.unlink()
    with pytest.raises(DamagedArtifact, match="cannot be read"):
        queue.intact(job.path.name)
    job.fault("damaged")
    queue.submit("B", "final", file("x"))
    work(queue, lambda phase, path: {"content": path.read_text()}, drain=True)
    assert queue.status(id).result == {"content": "x"}


def test_an_outcome_is_told_again_while_the_database_does_not_answer(queue, file, monkeypatch):
    id = queue.submit("A", "final", file()).id
    write, failures = queue._database.write, iter([True, True, False, False])

    def evaluate(phase, path):
        monkeypatch.setattr(queue._database, "write", flaky)
        return {"score": 1}

    def flaky():
        if next(failures):
            raise StoreError("the database failed: gone")
        return write()

    assert work(queue, evaluate, worker="w", stop=iter([False, True]).__next__) == 1
    monkeypatch.undo()
    assert queue.status(id).state == "scored"
    assert [e.event for e in queue.history(id)].count("running") == 1


def test_a_sweep_removes_what_nobody_names_and_only_that(queue, file, tmp_path):
    id = queue.submit("A", "final", file("x")).id
    kept = tmp_path / "kept"
    left = [kept / f"{'0' * 64}.json", kept / ".incoming/half"]
    for path in left:
        path.write_text("left")
    assert queue.sweep() == 0  # young: a submission may be under way
    assert queue.sweep(older_than_seconds=-1) == 2
    assert not any(path.exists() for path in left)
    assert queue.intact(queue.take("w").path.name).read_text() == "x"
    assert json.loads(json.dumps(queue.status(id)._asdict()))["state"] == "running"
