"""The driver: what runs, what does not, what a failure stops, what is shared."""

import json
from typing import NamedTuple

import pytest

from assay.core.component import File, Resources, Seed, component
from assay.core.decisions import sweep, use
from assay.core.events import read_events
from assay.core.execution import Driver
from assay.core.places import Inline
from assay.core.records import Records
from assay.core.store import Store
from assay.core.study import Study
from assay.core.task import available_cores, task
from assay.core.workflow import Workflow
from assay.errors import ResourceError, UsageError
from faults import farm
from faults.yard import Yard

RAN: list[str] = []


class Two(NamedTuple):
    """Two ports."""

    left: float
    right: float


@component
def source(*, value: float = 1.0) -> float:
    RAN.append(task().step)
    return value


@component
def same_source(*, value: float = 1.0, way: str = "") -> float:
    RAN.append(task().step)
    return value


@component(keep=False)
def bulky(x: float) -> list[float]:
    RAN.append(task().step)
    return [x] * 10


@component
def tell(xs: list[float], *, note: str = "") -> Records:
    RAN.append(task().step)
    records = Records()
    records.add("sum", sum(xs))
    records.add("members", len(xs))
    return records


@component
def tell_bulk(bulk: list[list[float]], *, note: str = "") -> Records:
    RAN.append(task().step)
    records = Records()
    records.add("sum", sum(map(sum, bulk)))
    return records


@component
def careful(x: float, *, limit: float = 2.0) -> float:
    RAN.append(task().step)
    if x > limit:
        raise ValueError(f"{x} is above {limit}")
    return x


@component
def split(x: float) -> Two:
    RAN.append(task().step)
    return Two(x, 7.0)


@component
def drawn(*, seed: Seed) -> float:
    RAN.append(task().step)
    return float(seed)


@component
def shout(*, text: File) -> Records:
    RAN.append(task().step)
    records = Records()
    records.add("letters", len(text.read_text()))
    return records


@component(resources=Resources(cores=10**6))
def impossible(x: float) -> Records:
    RAN.append(task().step)
    return Records()


@pytest.fixture(autouse=True)
def nothing_ran():
    RAN.clear()


@pytest.fixture
def flow():
    return Workflow("flow")


@pytest.fixture
def yard(tmp_path, monkeypatch):
    made = Yard(tmp_path, monkeypatch)
    yield made
    made.close()


def run(given, study=None, **more):
    made = Study(given, **(study or {})) if isinstance(given, Workflow) else given
    return made.run(workers=0, progress=False, report=False, **more)


def statuses(run, trial=0):
    """Status by step, or list of them by member."""
    steps = run.trials[trial]["steps"]
    return {n: [m["status"] for m in members] for n, members in steps.items()}


def value_of(records, measure, **keys):
    found = records[records["measure"] == measure]
    for name, key in keys.items():
        found = found[found[name] == key]
    return found["value"].item()


# -- what runs ----------------------------------------------------------------------------------


def test_steps_that_trials_share_run_once(flow):
    a = flow.step("a", source)
    b = flow.step("b", careful, x=a, limit=5.0)
    flow.step("c", tell, xs=[b])

    done = run(flow, study={"decisions": {"note": sweep("c.note", ["x", "y", "z"])}, "seeds": 2})

    assert sorted(RAN) == ["a", "b", "c", "c", "c"]
    assert len(done.records) == 6 * 2
    assert done.summary["steps"] == {"done": 5}


def test_a_step_with_a_seed_runs_once_per_seed_and_not_per_choice(flow):
    a = flow.step("a", drawn)
    flow.step("c", tell, xs=[a])

    run(flow, study={"decisions": {"note": sweep("c.note", ["x", "y"])}, "seeds": 3})

    assert RAN.count("a") == 3
    assert RAN.count("c") == 6


def test_a_step_nobody_needs_does_not_run(flow):
    a = flow.step("a", source)
    flow.step("idle", careful, x=a)
    flow.step("c", tell, xs=[a])

    done = run(flow)

    assert sorted(RAN) == ["a", "c"]
    assert "idle" not in done.trials[0]["steps"]


def test_one_key_reached_by_two_ways_runs_once(flow):
    """Two sources differ in a parameter and give the same bytes, so what follows has one key."""
    one = flow.step("one", same_source, way="left")
    two = flow.step("two", same_source, way="right")
    flow.step("c", tell, xs=[one])
    flow.step("d", tell, xs=[two])

    done = run(flow)

    assert sorted(RAN) in (["c", "one", "two"], ["d", "one", "two"])
    assert {*statuses(done)["c"], *statuses(done)["d"]} <= {"done", "cached"}
    keys = {m["key"] for step in ("c", "d") for m in done.trials[0]["steps"][step]}
    assert len(keys) == 1
    assert len(done.records) == 4


def test_what_gives_the_same_bytes_as_before_reruns_nothing_behind_it(flow):
    a = flow.step("a", same_source, way="left")
    flow.step("c", tell, xs=[a])
    run(flow)
    RAN.clear()

    done = run(flow, set={"a.way": "right"})

    assert RAN == ["a"]
    assert statuses(done) == {"a": ["done"], "c": ["cached"]}


def test_one_port_that_stays_the_same_reruns_nothing_behind_it(flow):
    a = flow.step("a", source)
    cut = flow.step("cut", split, x=a)
    flow.step("left", tell, xs=[cut.left])
    flow.step("right", tell, xs=[cut.right])
    run(flow)
    RAN.clear()

    run(flow, set={"a.value": 2.0})

    assert sorted(RAN) == ["a", "cut", "left"]


def test_a_second_run_computes_nothing_and_opens_no_place(flow, tmp_path):
    flow.step("c", tell, xs=[flow.step("a", source)])
    study = Study(flow)
    first = run(study)
    RAN.clear()
    second = run(study)

    assert RAN == []
    assert second.records.equals(first.records)
    assert second.summary["steps"] == {"cached": 2}
    Driver(study.plan(), Store(tmp_path / "store")).run(None)  # type: ignore[arg-type]


def test_an_intermediate_that_was_collected_is_computed_again_only_when_needed(flow, tmp_path):
    from assay.core.garbage import collect, find_garbage

    big = flow.step("big", bulky, x=flow.step("a", source))
    flow.step("c", tell_bulk, bulk=[big])
    study = Study(flow)
    run(study)
    store = Store(tmp_path / "store")
    collect(store, find_garbage(store, []))
    manifest = next(m for m in store.steps() if not m.keep)
    assert not store.has(manifest.outputs[""])
    RAN.clear()

    run(study)
    assert RAN == []

    again = run(study, set={"c.note": "new"})
    assert RAN == ["big", "c"]
    assert value_of(again.records, "sum") == 10.0


def test_a_file_counts_by_its_content(flow, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("four")
    flow.step("c", shout, text=path)
    run(flow)
    path.write_text("fives")
    changed = run(flow)
    path.write_text("four")
    back = run(flow)

    assert RAN == ["c", "c"]
    assert value_of(changed.records, "letters") == 5
    assert value_of(back.records, "letters") == 4


# -- what fails ---------------------------------------------------------------------------------


def failing(flow, **more):
    a = flow.step("a", source)
    flow.step("c", tell, xs=[flow.step("b", careful, x=a)])
    return Study(flow, decisions={"height": sweep("a.value", [1.0, 5.0, 2.0, 9.0])}, **more)


def test_a_failing_trial_does_not_stop_the_others(flow):
    done = run(failing(flow))

    assert not done.ok
    assert done.summary["status"] == "failed"
    assert done.summary["failed"] == 2
    assert [e["error"] for e in done.summary["errors"]] == [
        "b: ValueError: 5.0 is above 2.0",
        "b: ValueError: 9.0 is above 2.0",
    ]
    assert sorted(done.records.query("measure == 'sum'")["value"]) == [1.0, 2.0]


def test_a_skipped_step_says_why(flow):
    done = run(failing(flow))

    lost = done.trials[1]["steps"]
    assert lost["b"][0]["error"] == "b: ValueError: 5.0 is above 2.0"
    assert (lost["c"][0]["status"], lost["c"][0]["key"]) == ("skipped", "")
    assert lost["c"][0]["error"] == "0 of 1 members of 'b' succeeded, at least 1 are needed"
    told = [e for e in read_events(done.folder / "events.jsonl") if e.get("status") == "skipped"]
    assert len(told) == 2
    assert all("are needed" in e["error"] for e in told)


def test_what_failed_is_tried_again_by_the_next_run(flow):
    study = failing(flow)
    run(study)
    RAN.clear()

    again = run(study)
    assert RAN == ["b", "b"]
    mended = run(study, set={"b.limit": 100.0})

    assert not again.ok
    assert mended.ok


def members(flow, least):
    a = flow.each("a", source, over={"value": [1.0, 5.0, 2.0, 9.0]})
    b = flow.each("b", careful, x=a, **({} if least is None else {"min_ok": least}))
    flow.step("c", tell, xs=b)
    return Study(flow)


@pytest.mark.parametrize(("least", "ok"), [(None, False), (3, False), (2, True), (1, True)])
def test_an_each_says_how_many_members_must_succeed(flow, least, ok):
    done = run(members(flow, least))

    assert done.ok == ok
    assert statuses(done)["b"] == ["done", "failed", "done", "failed"]
    if ok:
        assert value_of(done.records, "sum") == 3.0
        assert value_of(done.records, "members") == 2
    else:
        least = least or 4
        assert done.trials[0]["steps"]["c"][0]["error"] == (
            f"2 of 4 members of 'b' succeeded, at least {least} are needed"
        )


def test_a_member_that_is_missing_from_one_list_is_left_out_of_all(flow):
    a = flow.each("a", source, over={"value": [1.0, 5.0, 2.0]})
    b = flow.each("b", careful, x=a, min_ok=1)
    flow.step("c", pairs, xs=a, ys=b)

    done = run(flow)

    assert value_of(done.records, "pairs") == 2
    assert value_of(done.records, "difference") == 0.0


@component
def pairs(xs: list[float], ys: list[float]) -> Records:
    records = Records()
    records.add("pairs", len(xs))
    records.add("difference", sum(abs(x - y) for x, y in zip(xs, ys, strict=True)))
    return records


def test_a_run_that_loses_a_choice_keeps_the_other(flow):
    a = flow.step("a", source, value=5.0)
    flow.step("c", tell, xs=[flow.step("b", careful, x=a)])
    decisions = {"how": {"careful": use("b", careful), "split": use("b", careful, limit=9.0)}}

    done = run(Study(flow, decisions=decisions))

    assert list(done.records["how"].unique()) == ["split"]


# -- resources ----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
def test_an_impossible_request_is_refused_before_anything_runs(flow, tmp_path, workers):
    flow.step("c", impossible, x=flow.step("a", source))

    with pytest.raises(ResourceError, match=r"step 'c': asks for 1e\+06 cores, the largest host"):
        Study(flow).run(workers=workers, progress=False, report=False)

    assert RAN == []
    assert list((tmp_path / "store" / "steps").iterdir()) == []
    (summary,) = (tmp_path / "store" / "runs").glob("*/run.json")
    assert json.loads(summary.read_text())["status"] == "failed"


@pytest.mark.skipif(available_cores() < 2, reason="needs two cores")
def test_a_step_of_two_cores_runs_beside_no_other_on_two_workers(yard):
    run = yard.run("crowd", workers=2)

    assert run.ok
    open_: set[str] = set()
    beside = []
    for key, step, _, words in yard.diary():
        if words == "begin":
            beside.append((step, len(open_)))
            if step.startswith("wide"):
                assert not open_, f"{step} began beside {open_}"
            assert not any(s.startswith("wide") for _, s in open_)
            open_.add((key, step))
        else:
            open_.discard((key, step))
    assert len(beside) == 9
    threads = {m.component.partition(":")[2]: m.threads for m in Store(yard.store).steps()}
    assert threads == {"narrow": 1, "wide": 2}


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("most", ["", "1"])
def test_a_step_beside_which_nothing_can_run_has_the_host_whatever_the_workers(
    yard, monkeypatch, workers, most
):
    monkeypatch.setenv("ASSAY_THREADS", most)
    yard.run("alone", workers=workers)

    threads = {m.params["number"]: m.threads for m in Store(yard.store).steps()}
    every = 1 if most else available_cores()
    assert threads == {1: every, 2: 1, 3: 1, 4: every}


def test_threads_that_are_no_number_are_refused_before_anything_runs(yard, monkeypatch):
    monkeypatch.setenv("ASSAY_THREADS", "many")
    with pytest.raises(UsageError, match="ASSAY_THREADS: is 'many'; expected a whole number"):
        yard.run("alone")


def test_a_step_of_two_cores_runs_where_there_is_one_worker(yard):
    assert yard.run("crowd", workers=1).ok


# -- events -------------------------------------------------------------------------------------


def test_the_log_tells_the_run_from_beginning_to_end(flow):
    flow.step("c", tell, xs=[flow.step("a", source)])

    done = run(flow)
    events = read_events(done.folder / "events.jsonl")

    assert [e["kind"] for e in events] == [
        "run_started",
        "planned",
        "step_started",
        "step_finished",
        "step_started",
        "step_finished",
        "run_finished",
    ]
    assert [e["step"] for e in events if e["kind"] == "step_finished"] == ["a", "c"]
    assert events[1]["run"] == 2
    assert events[-1]["status"] == "done"


def test_the_driver_alone_gives_the_same_as_a_run(tmp_path):
    store = Store(tmp_path / "alone")
    plan = farm.farm().plan()
    driver = Driver(plan, store)
    driver.run(lambda: Inline(store.root, lambda event: None))

    assert {s.status for s in driver.states.values()} == {"done"}
    assert len(list(store.steps())) == len(plan.nodes) == 25
