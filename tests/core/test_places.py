"""The places steps run in: this process, a local cluster, a scheduler somewhere else."""

import os
import resource
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from assay.core import places
from assay.core.component import Resources, component, describe
from assay.core.events import read_events
from assay.core.places import Cluster, Inline, require
from assay.core.store import Store
from assay.core.task import available_cores
from assay.core.worker import Request, step_key
from assay.errors import ResourceError
from core import toys
from faults.farm import page_faults, reports
from faults.yard import MODULES, PATIENCE, Yard


@pytest.fixture
def yard(tmp_path, monkeypatch):
    made = Yard(tmp_path, monkeypatch)
    yield made
    made.close()


@component
def unknown_elsewhere(*, number: int = 1) -> int:
    """Lives in a module that only pytest can import."""
    return number


def request(store, function, **params):
    made = describe(function)
    checked = made.validate(params, "s")
    form = made.key_form(checked)
    return Request(step_key(made, form, {}), "s", made, checked, form, {}, str(store), 1)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


# -- all places ---------------------------------------------------------------------------------


def test_records_and_digests_are_the_same_in_this_process_on_one_worker_and_on_two(yard):
    runs = [yard.run("farm", workers=n, store=yard.folder / str(n)) for n in (0, 1, 2)]

    assert all(run.ok for run in runs)
    assert runs[0].records.equals(runs[1].records)
    assert runs[0].records.equals(runs[2].records)
    assert len(yard.digests(yard.folder / "0")) == 25
    assert yard.digests(yard.folder / "0") == yard.digests(yard.folder / "1")
    assert yard.digests(yard.folder / "0") == yard.digests(yard.folder / "2")
    assert len({pid for *_, pid, _ in yard.diary()}) == 4


def test_a_step_tells_the_driver_what_it_does_from_another_process(store):
    heard = []
    place = Cluster(store.root, heard.append, workers=1)
    try:
        asked = request(store.root, reports)
        place.submit(asked)
        key, outcome = place.next()
    finally:
        place.close()

    assert (key, outcome.status) == (asked.key, "done")
    assert [e["kind"] for e in heard][:2] == ["step_started", "progress"]
    last = {"kind": "measured", "step": "s", "key": asked.key, "loss": 0.5}
    assert last.items() <= heard[-1].items()
    assert store.get(outcome.artifacts[""], int) != os.getpid()


def test_a_worker_keeps_the_memory_of_a_step_until_the_step_ends(store):
    """Freed memory that is asked for again comes without the system's help, page by page."""
    place = Cluster(store.root, lambda event: None, workers=1)
    try:
        place.submit(request(store.root, page_faults))
        _, outcome = place.next()
    finally:
        place.close()

    pages = 40 * 16 * 2**20 / resource.getpagesize()
    assert store.get(outcome.artifacts[""], int) < pages / 10


def test_events_come_in_the_thread_of_the_driver(store):
    threads = set()
    place = Cluster(store.root, lambda event: threads.add(threading.current_thread()), workers=1)
    try:
        place.submit(request(store.root, reports))
        place.next()
    finally:
        place.close()

    assert threads == {threading.main_thread()}


def test_a_request_that_cannot_travel_fails_alone(store):
    place = Cluster(store.root, lambda event: None, workers=1)
    try:
        bad = replace(request(store.root, toys.number), params={"value": threading.Lock()})
        place.submit(bad)
        key, outcome = place.next()
        place.submit(request(store.root, reports))
        _, after = place.next()
    finally:
        place.close()

    assert (key, outcome.status) == (bad.key, "failed")
    assert outcome.error.startswith("s: cannot be sent to a worker")
    assert after.status == "done"


def test_a_component_that_a_worker_cannot_import_fails_alone_and_in_one_line(store):
    place = Cluster(store.root, lambda event: None, workers=1)
    try:
        place.submit(request(store.root, unknown_elsewhere))
        _, outcome = place.next()
        place.submit(request(store.root, reports))
        _, after = place.next()
    finally:
        place.close()

    assert outcome.status == "failed"
    assert outcome.error.startswith("s: the worker on ")
    assert "no module 'tests'" in outcome.error
    assert after.status == "done"


def test_nothing_stays_behind_when_a_cluster_is_closed(store, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    before = children(), set(os.listdir("/proc/self/fd"))
    place = Cluster(store.root, lambda event: None, workers=2)
    place.submit(request(store.root, reports))
    place.next()
    assert len(children() - before[0]) >= 2
    place.close()

    until = time.monotonic() + PATIENCE
    while not children() - before[0] <= helpers():
        assert time.monotonic() < until, "a process was left behind"
        time.sleep(0.02)
    assert len(os.listdir("/proc/self/fd")) <= len(before[1]) + 6  # of helpers that stay
    assert [p.name for p in tmp_path.iterdir()] == ["store"]
    assert list((store.root / "tmp").iterdir()) == []


def test_a_second_cluster_opens_no_more_than_the_first_left(store):
    def held():
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    Cluster(store.root, lambda event: None, workers=1).close()
    first = held()
    Cluster(store.root, lambda event: None, workers=1).close()

    until = time.monotonic() + PATIENCE  # a busy host takes a moment to end a thread
    while held() > first:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_two_clusters_may_run_on_one_host_at_the_same_time(store):
    one = Cluster(store.root, lambda event: None, workers=1)
    two = Cluster(store.root, lambda event: None, workers=1)
    one.close()
    two.close()


def test_what_workers_have_written_is_made_durable_when_the_run_ends(store):
    heard = []
    inline = Inline(store.root, heard.append)
    inline.submit(request(store.root, toys.number))
    assert places.open_store(str(store.root))._pending
    inline.flush()

    assert not places.open_store(str(store.root))._pending


def test_a_store_that_was_removed_and_made_anew_is_written_again(tmp_path):
    import shutil

    for _ in range(2):
        store = Store(tmp_path / "again")
        place = Inline(store.root, lambda event: None)
        place.submit(request(store.root, toys.number))
        assert place.next()[1].status == "done"
        shutil.rmtree(store.root)


# -- resources ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Resources(cores=10**6), "step 'x': asks for 1e\\+06 cores, the largest host has"),
        (Resources(memory_gb=10.0**9), "asks for 1e\\+09 memory_gb, the largest host has"),
        (Resources(gpus=999), "asks for 999 gpus, the largest host has"),
    ],
)
def test_a_host_says_what_it_lacks(store, wanted, message):
    place = Inline(store.root, lambda event: None)

    with pytest.raises(ResourceError, match=message):
        require(place, wanted, "x")
    require(place, Resources(cores=available_cores()), "x")


# -- a scheduler somewhere else -----------------------------------------------------------------


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """A scheduler and two workers, each a process of its own, and the workers' folder."""
    folder = tmp_path_factory.mktemp("elsewhere")
    environment = {
        **os.environ,
        "PYTHONPATH": MODULES,
        "FARM_DIARY": str(folder / "diary"),
        "FARM_MARKS": str(folder),
    }
    started = []

    def start(*words):
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "distributed.cli.dask_" + words[0], *words[1:]],
                cwd=folder,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )

    file = folder / "scheduler.json"
    start(
        "scheduler",
        "--scheduler-file",
        str(file),
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--no-dashboard",
        "--dashboard-address",
        "127.0.0.1:0",
    )
    for _ in range(2):
        start(
            "worker",
            "--scheduler-file",
            str(file),
            "--nthreads",
            "1",
            "--no-dashboard",
            "--host",
            "127.0.0.1",
            "--local-directory",
            str(folder),
        )
    until = time.monotonic() + PATIENCE
    while not file.exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    import json

    yield json.loads(file.read_text())["address"]
    for process in reversed(started):
        process.terminate()
    for process in started:
        process.wait(timeout=PATIENCE)


def test_a_scheduler_elsewhere_gives_the_same_digests(yard, scheduler):
    from faults import farm

    run = farm.farm().run(store=yard.store, on=scheduler, progress=False, report=False)

    assert scheduler.startswith("tcp://127.0.0.1:")
    assert run.ok
    assert yard.digests() == yard.undisturbed("farm")
    kinds = [e["kind"] for e in read_events(run.folder / "events.jsonl")]
    assert kinds.count("step_started") == 25
    assert list((yard.store / "tmp").iterdir()) == []


def test_two_drivers_of_one_scheduler_hear_their_own_steps_only(store, scheduler):
    heard = {"one": [], "two": []}
    one = Cluster(store.root, heard["one"].append, address=scheduler)
    two = Cluster(store.root, heard["two"].append, address=scheduler)
    try:
        one.submit(request(store.root, reports, steps=1))
        one.next()
        two.submit(request(store.root, reports, steps=2))
        two.next()
    finally:
        one.close()
        two.close()

    assert len({e["key"] for e in heard["one"]}) == 1
    assert len({e["key"] for e in heard["two"]}) == 1


def test_a_store_that_the_workers_do_not_see_is_refused_before_anything_runs(
    yard, scheduler, monkeypatch
):
    from faults import farm

    monkeypatch.chdir(yard.folder)
    hidden = Path("/proc/self/cwd/hidden")  # another folder in every process

    with pytest.raises(ResourceError) as refused:
        farm.farm().run(store=hidden, on=scheduler, progress=False, report=False)

    message = str(refused.value)
    assert message.startswith(f"--on {scheduler}: worker tcp://127.0.0.1:")
    assert "does not see the store /proc/self/cwd/hidden" in message
    assert "--store" in message
    assert list((hidden / "tmp").iterdir()) == []
    assert list((hidden / "steps").iterdir()) == []


def test_an_address_where_nobody_answers_is_refused(store, monkeypatch):
    monkeypatch.setattr(places, "CONNECT_SECONDS", 1.0)

    with pytest.raises(ResourceError, match=r"--on tcp://127\.0\.0\.1:9: no scheduler answers"):
        Cluster(store.root, lambda event: None, address="tcp://127.0.0.1:9")
    with pytest.raises(ResourceError, match="--on nonsense://x: no scheduler answers"):
        Cluster(store.root, lambda event: None, address="nonsense://x")


def test_a_scheduler_without_workers_is_refused(store, monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr(places, "WAIT_SECONDS", 0.2)
    with (
        LocalCluster(
            n_workers=0,
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            silence_logs=50,
        ) as empty,
        pytest.raises(ResourceError, match=r"has had no worker for 0\.2 s"),
    ):
        Cluster(store.root, lambda event: None, address=empty.scheduler_address)


def test_a_scheduler_that_goes_away_ends_the_step_in_one_line(store):
    code = (
        "from distributed import LocalCluster\n"
        "cluster = LocalCluster(n_workers=1, threads_per_worker=1, silence_logs=50,"
        " dashboard_address='127.0.0.1:0')\n"
        "print(cluster.scheduler_address, flush=True)\n"
        "input()\n"
    )
    far = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": MODULES, "FARM_MARKS": str(store.root)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    from faults import farm

    try:
        place = Cluster(store.root, lambda event: None, address=far.stdout.readline().strip())
        try:
            place.submit(request(store.root, farm.sleeper, number=1))
            until = time.monotonic() + PATIENCE
            while not (store.root / "asleep-1").exists():
                assert time.monotonic() < until
                time.sleep(0.02)
            far.kill()
            _, outcome = place.next()
            place.submit(request(store.root, reports))
            _, after = place.next()
        finally:
            place.close()
    finally:
        far.kill()
        far.communicate()

    assert outcome.status == after.status == "failed"
    assert outcome.error == "s: the scheduler went away"


def children() -> set[int]:
    """Processes that this one has started and that still run."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        if int(parent) == os.getpid() and state not in "ZX":
            found.add(int(entry.name))
    return found


def helpers() -> set[int]:
    """The one process that Python's multiprocessing keeps for all."""
    from multiprocessing import resource_tracker

    pid = resource_tracker._resource_tracker._pid
    return set() if pid is None else {pid}
