"""One step in one process: what it is given, what it leaves, what comes of it."""

import os
import sys
from typing import NamedTuple

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from assay.core.component import File, Resources, component, describe
from assay.core.leases import lease
from assay.core.store import Store
from assay.core.task import task
from assay.core.worker import (
    THREAD_VARIABLES,
    Request,
    Value,
    execute,
    limit_threads,
    release_threads,
    step_key,
)
from assay.errors import DataError
from core import toys

CALLS: list[str] = []


class Pair(NamedTuple):
    low: float
    high: np.ndarray


@component
def pair(*, size: int = 3) -> Pair:
    CALLS.append("pair")
    return Pair(1.0, np.arange(size))


@component
def low_of(pair: Pair, low: float, all: list[float]) -> float:
    assert isinstance(pair, Pair)
    return pair.low + low + sum(all)


@component
def wrong() -> Pair:
    return 3.0  # type: ignore[return-value]


@component
def leaves() -> float:
    sys.exit("this program is done")


@component
def refuses() -> float:
    raise DataError("a hole in the ground", where="dem.tif")


@component
def breaks() -> float:
    raise KeyError("x")


@component
def silent() -> float:
    raise RuntimeError


@component
def interrupted() -> float:
    raise KeyboardInterrupt


@component(resources=Resources(cores=2))
def wide() -> dict[str, int]:
    import numpy.linalg

    numpy.linalg.eigvals(np.eye(3))
    pools = {p["num_threads"] for p in threadpool_info()}
    return {"told": task().threads, "most": max(pools), "env": int(os.environ["OMP_NUM_THREADS"])}


@component
def narrow() -> dict[str, int]:
    pools = {p["num_threads"] for p in threadpool_info()}
    return {"told": task().threads, "most": max(pools), "env": int(os.environ["OMP_NUM_THREADS"])}


@component
def scribbles(*, fail: bool = False) -> float:
    folder = task().scratch()
    seen = len(list(folder.iterdir()))
    (folder / str(seen)).touch()
    if fail and seen == 0:
        raise ValueError("not yet")
    return float(seen)


@component
def edits(*, path: File) -> float:
    """Another program changes the file while the step runs."""
    path.write_text("something longer than before")
    return 1.0


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture(autouse=True)
def threads_given_back():
    yield
    release_threads()


def request(store, function, inputs=None, **params):
    made = describe(function)
    checked = made.validate(params, "s")
    form = made.key_form(checked)
    key = step_key(made, form, inputs or {})
    threads = made.resources.cores
    return Request(key, "s", made, checked, form, inputs or {}, str(store.root), threads)


def run(store, function, inputs=None, **params):
    return execute(request(store, function, inputs, **params), lambda event: None)


# -- what it is given ---------------------------------------------------------------------------


def test_inputs_are_read_back_as_a_whole_by_port_and_gathered(store):
    made = run(store, pair)
    whole = Value(describe(pair), "", made.artifacts)
    low = Value(describe(pair), "low", {"low": made.artifacts["low"]})

    outcome = run(store, low_of, {"pair": whole, "low": low, "all": (low, low)})

    assert store.get(outcome.artifacts[""], float) == 4.0


def test_a_port_counts_by_its_own_content_and_the_whole_by_all_ports(store):
    small, large = run(store, pair, size=3).artifacts, run(store, pair, size=4).artifacts
    made = describe(pair)

    assert small["low"] == large["low"]
    assert Value(made, "low", {"low": small["low"]}).content == small["low"].digest
    assert Value(made, "", small).content != Value(made, "", large).content


def test_the_key_knows_component_parameters_and_inputs(store):
    one, two = run(store, toys.number, value=1).artifacts, run(store, toys.number, value=2)
    fed = {"x": Value(describe(toys.number), "", one)}
    other = {"x": Value(describe(toys.number), "", two.artifacts)}
    keys = {
        request(store, toys.scale, fed).key,
        request(store, toys.scale, fed, by=3).key,
        request(store, toys.scale, other).key,
        request(store, toys.shift, fed).key,
    }

    assert len(keys) == 4
    assert request(store, toys.scale, dict(fed)).key in keys


# -- what it leaves -----------------------------------------------------------------------------


def test_the_manifest_says_what_the_step_was_and_gave(store):
    asked = request(store, pair, size=5)
    outcome = execute(asked, lambda event: None)
    found = store.step(asked.key)

    assert outcome.status == "done"
    assert found.outputs == outcome.artifacts
    assert found.params == {"size": 5}
    assert found.component.endswith("test_worker:pair")
    assert found.seconds == outcome.seconds > 0
    assert found.threads == 1


def test_a_finished_step_is_not_computed_again(store):
    CALLS.clear()
    first, second = run(store, pair), run(store, pair)

    assert (first.status, second.status) == ("done", "shared")
    assert second.artifacts == first.artifacts
    assert CALLS == ["pair"]


def test_a_step_whose_value_is_gone_is_computed_again(store):
    CALLS.clear()
    first = run(store, pair)
    store.path(first.artifacts["low"]).unlink()

    assert run(store, pair).status == "done"
    assert CALLS == ["pair", "pair"]


def test_scratch_lasts_over_a_failure_and_goes_with_success(store):
    failed = run(store, scribbles, fail=True)
    folder = store.scratch(request(store, scribbles, fail=True).key)
    assert failed.status == "failed"
    assert [p.name for p in folder.iterdir()] == ["0"]

    done = run(store, scribbles, fail=True)

    assert store.get(done.artifacts[""], float) == 1.0
    assert not folder.exists()


def test_the_lease_is_given_back_whatever_happens(store):
    for function in (pair, breaks, refuses, leaves):
        asked = request(store, function)
        execute(asked, lambda event: None)
        with lease(store.root / "leases", asked.key, lambda: False) as held:
            assert held


# -- what comes of it ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "error", "traced"),
    [
        (refuses, "s: dem.tif: a hole in the ground", False),
        (breaks, "s: KeyError: 'x'", True),
        (silent, "s: RuntimeError", True),
        (leaves, "s: SystemExit: this program is done", True),
        (wrong, "s: wrong returned a float; expected Pair", False),
    ],
)
def test_a_step_that_fails_says_why_in_one_line(store, function, error, traced):
    outcome = run(store, function)

    assert (outcome.status, outcome.error) == ("failed", error)
    assert ("Traceback" in outcome.trace) == traced
    assert list(store.steps()) == []
    assert list((store.root / "tmp").iterdir()) == []


def test_an_interrupt_is_no_failure_of_the_step(store):
    with pytest.raises(KeyboardInterrupt):
        run(store, interrupted)
    assert list((store.root / "leases").glob("[!.]*")) == []


@pytest.mark.parametrize("harm", ["flip", "lose"])
def test_a_damaged_input_is_told_apart_from_a_failure(store, harm):
    made = run(store, toys.number)
    path = store.path(made.artifacts[""])
    if harm == "flip":
        path.write_bytes(b"\x00" * path.stat().st_size)
    else:
        path.unlink()

    outcome = run(store, toys.scale, {"x": Value(describe(toys.number), "", made.artifacts)})

    assert outcome.status == "damaged"
    assert path.name in outcome.error
    assert not path.exists()


def test_a_file_that_changes_while_the_step_runs_gives_no_result(store, tmp_path):
    path = tmp_path / "input.txt"
    path.write_text("short")

    outcome = run(store, edits, path=path)

    assert outcome.status == "failed"
    assert outcome.error == (
        "s: its code or a file it reads changed since the run began. Run again."
    )
    assert list(store.steps()) == []


# -- threads ------------------------------------------------------------------------------------


def test_threads_are_fixed_per_task_and_recorded(store):
    for function, threads in ((narrow, 1), (wide, 2), (narrow, 1)):
        asked = request(store, function)
        outcome = execute(asked, lambda event: None)
        assert store.get(outcome.artifacts[""], dict) == {
            "told": threads,
            "most": threads,
            "env": threads,
        }
        assert store.step(asked.key).threads == threads


def test_threads_are_given_back(monkeypatch):
    monkeypatch.setenv(THREAD_VARIABLES[0], "7")
    monkeypatch.delenv(THREAD_VARIABLES[1], raising=False)
    before = pools(), dict(os.environ)
    limit_threads(1)
    limit_threads(2)
    assert set(pools().values()) == {2}
    assert os.environ[THREAD_VARIABLES[0]] == "2"

    release_threads()

    assert (pools(), dict(os.environ)) == before
    release_threads()
    assert (pools(), dict(os.environ)) == before


def pools() -> dict[str, int]:
    return {p["filepath"]: p["num_threads"] for p in threadpool_info()}
