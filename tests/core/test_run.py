"""A run as its user meets it: verdicts, records, values, the same again from disk; and stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from assay.core.claims import Check, Claim
from assay.core.component import component
from assay.core.decisions import Preset, sweep
from assay.core.estimands import difference, ratio
from assay.core.files import to_yaml
from assay.core.garbage import find_garbage
from assay.core.index import Index
from assay.core.records import Records
from assay.core.run import Run
from assay.core.store import Store
from assay.core.study import Study
from assay.core.workflow import Ref, Workflow
from assay.errors import AssayError, ClaimError, DamagedArtifact, StoreError, UsageError
from core import toys
from faults import farm
from faults.yard import MODULES, PATIENCE, Yard, of_group


@component
def noisy(*, level: float = 0.0, seed: int = 0) -> Records:
    records = Records()
    for item in range(3):
        records.add("height", level + 0.01 * item, "m", item=item)
    return records


@component
def keyed(*, level: float = 0.0) -> Records:
    """Records with a key of their own."""
    records = Records()
    records.add("level", level, case="a")
    return records


@component
def named() -> Records:
    records = Records()
    records.add("weight", 2.0, "kg", item="oak")
    return records


@component
def interrupts(x: float) -> Records:
    raise KeyboardInterrupt


@component
def nothing() -> Records:
    return Records()


@pytest.fixture
def yard(tmp_path, monkeypatch):
    made = Yard(tmp_path, monkeypatch)
    yield made
    made.close()


def trees() -> Study:
    flow = Workflow("trees")
    flow.each("number", toys.number, over={"value": [1.0, 2.0, 3.0]})
    cut = flow.each("flood", toys.halve, x=Ref("number"))
    flow.output("low", cut.low)
    flow.step("height", noisy)
    return Study(
        flow,
        title="Do trees grow?",
        decisions={"level": sweep("height.level", [0.0, 1.0])},
        seeds=3,
        claims=[
            Claim(
                id="T1",
                sentence="Trees grow",
                source="arithmetic",
                estimand=difference("height", "level", 1.0, 0.0),
                direction="above",
                design={"effect": 1.0, "spread": 0.1},
            )
        ],
        checks=[
            Check(id="K1", sentence="None is high", source="x", measure="height", at_most=5.0),
            Check(id="K2", sentence="None is wide", source="x", measure="width", at_most=5.0),
        ],
        presets={"tiny": Preset(seeds=2, note="Fast.")},
    )


@pytest.fixture
def run(tmp_path):
    return trees().run("tiny", workers=0, progress=False, report=False)


# -- what a run shows ---------------------------------------------------------------------------


def test_verdicts_are_one_table_of_claims_and_checks(run):
    table = run.verdicts.set_index("claim")["verdict"]

    assert table["T1"] in ("holds", "fails", "undecided", "not tested")
    assert (table["K1"], table["K2"]) == ("passes", "not tested")
    assert run.verdicts.shape[0] == 3


def test_records_are_a_long_table_with_decisions_seed_and_trial(run):
    table = run.records

    assert isinstance(table, pd.DataFrame)
    assert len(table) == 2 * 2 * 3
    assert set(table["level"]) == {0.0, 1.0}
    assert set(table["seed"]) == {0, 1}
    assert set(table["trial"]) == {0, 1, 2, 3}
    assert set(table["step"]) == {"height"}
    assert (table["value"] - table["level"] - 0.01 * table["item"]).abs().max() < 1e-12
    csv = pd.read_csv(run.folder / "records.csv")
    assert csv[["measure", "value", "trial"]].equals(table[["measure", "value", "trial"]])


def test_a_value_is_loaded_by_step_port_trial_and_member(run):
    assert run.load("number", value=2.0) == 2.0
    assert run.load("number", value=np.int64(2)) == 2.0
    assert run.load("number", trial=3) == [1.0, 2.0, 3.0]
    assert run.load("flood", trial=3, value=3.0) == toys.Halves(1.5, 1.5)
    assert run.load("flood.low", value=1.0) == 0.5
    assert len(run.load("height", trial=1)) == 3


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (lambda r: r.load("flod"), "no step 'flod'. Did you mean 'flood'?"),
        (lambda r: r.load("flood.lw"), "'flood' has no output 'lw'. Did you mean 'low'?"),
        (lambda r: r.load("height", trial=4), r"no trial 4; expected 0\.\.3"),
        (lambda r: r.load("height", trial=-1), "no trial -1"),
        (
            lambda r: r.load("number", value=9.0),
            "no member value=9.0 of 'number'",
        ),
        (lambda r: Run(r.store, r.name + "x"), "no run .* Did you mean"),
    ],
)
def test_what_a_run_does_not_have_is_named(run, asked, message):
    with pytest.raises(UsageError, match=message):
        asked(run)


def test_a_run_shows_itself(run):
    page = run._repr_html_()

    assert "Trees grow" in page
    assert "None is wide" in page
    assert repr(run).startswith(f"<Run {run.name}: done; T1 ")


def test_a_run_opened_again_equals_the_fresh_one(run):
    again = Run(Store(run.store.root), run.name)

    assert again.ok
    assert again.summary == run.summary
    assert again.records.equals(run.records)
    assert again.verdicts.equals(run.verdicts)
    assert again.trials == run.trials
    assert again.load("flood", trial=3, value=3.0) == run.load("flood", trial=3, value=3.0)
    assert again._repr_html_() == run._repr_html_()
    assert [row["run"] for row in Index(again.store).runs()] == [run.name]


def test_a_value_damaged_after_the_run_is_refused_and_the_next_run_mends_it(run):
    member = next(m for m in run.trials[0]["steps"]["flood"] if m["member"] == {"value": 1.0})
    artifact = run.store.step(member["key"]).outputs["low"]
    path = run.store.path(artifact)
    path.write_bytes(b"\x00" * path.stat().st_size)

    with pytest.raises(DamagedArtifact, match="computed again by the next run"):
        run.load("flood.low", value=1.0)
    again = trees().run("tiny", workers=0, progress=False, report=False)

    assert again.load("flood.low", value=1.0) == 0.5


def test_the_report_is_written_beside_the_records(tmp_path):
    made = trees().run("tiny", workers=0, progress=False)

    assert made.report.is_file()
    assert made.summary["report"] == str(made.report)


def test_listening_functions_and_overrides_are_part_of_a_run(tmp_path):
    made = trees().run(workers=0, progress=False, report=False, seeds=1, store=tmp_path / "other")

    assert made.store.root == tmp_path / "other"
    assert made.summary["trials"] == 2
    assert made.summary["preset"] == ""


# -- odd records --------------------------------------------------------------------------------


def test_a_key_that_is_a_number_in_one_step_and_a_text_in_another_becomes_text(tmp_path):
    flow = Workflow("mixed")
    flow.step("a", noisy)
    flow.step("b", named)

    made = Study(flow).run(workers=0, progress=False, report=False)

    assert sorted(made.records["item"]) == ["0", "1", "2", "oak"]
    assert list(made.records.sort_values("value")["step"]) == ["a", "a", "a", "b"]


def test_a_run_without_records_has_an_empty_table(tmp_path):
    flow = Workflow("empty")
    flow.step("a", nothing)
    flow.step("b", noisy)
    some = Study(flow).run(workers=0, progress=False, report=False)
    flow = Workflow("none")
    flow.step("a", nothing)
    none = Study(flow).run(workers=0, progress=False, report=False)
    flow = Workflow("values")
    flow.step("a", toys.number)
    values = Study(flow).run(workers=0, progress=False, report=False)

    assert len(some.records) == 3
    assert some.records["value"].dtype == float
    for made in (none, values):
        assert len(made.records) == 0
        assert {"measure", "value", "unit", "step", "seed", "trial"} <= set(made.records.columns)


def test_a_step_without_records_stands_in_no_claims_way(tmp_path):
    flow = Workflow("some")
    flow.step("a", nothing)
    flow.step("b", noisy)
    study = Study(
        flow,
        decisions={"level": sweep("b.level", [1.0, 2.0])},
        claims=[Claim(id="C1", sentence="s", source="t", direction="above", deterministic=True,
                      estimand=ratio("height", "level", 2.0, 1.0))],
        seeds=5,
    )  # fmt: skip

    made = study.run(workers=0, progress=False, report=False)

    assert made.claims[0]["verdict"] == "holds"


def test_a_member_given_as_a_path_is_found_again(tmp_path):
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for n, path in enumerate(paths):
        path.write_text("x" * (n + 1))
    flow = Workflow("files")
    flow.each("size", toys.length, over={"path": paths})
    made = Study(flow).run(workers=0, progress=False, report=False)

    assert made.load("size", path=paths[1]) == 2.0


@pytest.mark.parametrize("workers", [-1, -100])
def test_a_negative_number_of_workers_is_refused_and_leaves_no_store(tmp_path, workers):
    with pytest.raises(UsageError, match=f"{workers} workers; expected 0, to run in this process"):
        farm.farm().run(store=tmp_path / "s", workers=workers, progress=False)
    assert not (tmp_path / "s").exists()


# -- stopped ------------------------------------------------------------------------------------


def test_a_run_that_is_interrupted_says_so_and_keeps_what_is_finished(tmp_path):
    flow = Workflow("stopped")
    flow.step("b", interrupts, x=flow.step("a", toys.number))
    study = Study(flow)

    with pytest.raises(KeyboardInterrupt):
        study.run(workers=0, progress=False, report=False)

    store = Store(tmp_path / "store")
    (row,) = Index(store).runs()
    made = Run(store, row["run"])
    assert row["status"] == made.summary["status"] == "stopped"
    assert not made.ok
    assert made.claims == made.checks == []
    assert made.summary["errors"] == []
    assert made.load("a") == 1.0
    with pytest.raises(UsageError, match="'b' did not succeed in this trial"):
        made.load("b")
    assert "stopped" in repr(made)
    assert made._repr_html_() is not None


def test_what_an_interrupted_run_finished_is_no_garbage(tmp_path):
    flow = Workflow("stopped")
    flow.step("b", interrupts, x=flow.step("a", toys.number))
    with pytest.raises(KeyboardInterrupt):
        Study(flow).run(workers=0, progress=False, report=False)
    store = Store(tmp_path / "store")

    garbage = find_garbage(store, [], now=time.time() + 10 * 24 * 3600).paths
    assert [p for p in garbage if p.parent.name != "leases"] == []  # this process may say its name


def test_a_run_that_breaks_is_recorded_as_failed_with_its_reason(tmp_path, monkeypatch):
    from assay.core import run as module

    def broken(*anything):
        raise RuntimeError("the judge is ill")

    monkeypatch.setattr(module, "judge", broken)
    with pytest.raises(RuntimeError, match="the judge is ill"):
        trees().run("tiny", workers=0, progress=False, report=False)

    (path,) = (tmp_path / "store" / "runs").glob("*/run.json")
    summary = json.loads(path.read_text())
    assert summary["status"] == "failed"
    assert summary["errors"] == [{"step": "", "error": "the judge is ill", "trace": ""}]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("whole_group", [True, False])
def test_ctrl_c_leaves_no_process_no_lease_and_no_temporary_file(yard, workers, whole_group):
    (yard.folder / "sleepers.yaml").write_text(to_yaml(farm.sleepers()), encoding="utf-8")
    words = ["run", "sleepers.yaml", "--workers", str(workers), "--store", str(yard.store)]
    scratch = yard.folder / "scratch"
    scratch.mkdir()
    child = subprocess.Popen(
        [sys.executable, "-m", "assay.app.cli", *words],
        cwd=yard.folder,
        env={**os.environ, "PYTHONPATH": MODULES, "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    yard.children.append(child)
    until = time.monotonic() + PATIENCE
    while len(list(yard.marks.glob("asleep-*"))) < max(1, workers):
        assert time.monotonic() < until, "it never slept"
        time.sleep(0.02)
    (os.killpg if whole_group else os.kill)(child.pid, signal.SIGINT)
    _, said = child.communicate(timeout=PATIENCE)

    assert child.returncode == 130
    assert said.splitlines()[-1].startswith("assay: stopped; finished steps are kept")
    assert "Traceback" not in said
    while of_group(child.pid):
        assert time.monotonic() < until, "a process was left behind"
        time.sleep(0.02)
    assert list((yard.store / "tmp").iterdir()) == []
    assert list(scratch.iterdir()) == []
    (summary,) = (yard.store / "runs").glob("*/run.json")
    assert json.loads(summary.read_text())["status"] == "stopped"

    (yard.marks / "awake").touch()
    assert yard.run("sleepers").ok


def test_a_finished_run_leaves_nothing_behind(yard):
    farm.farm().run(store=yard.store, workers=0, progress=False, report=False)
    before = sorted(os.listdir("/proc/self/fd"))
    run = farm.farm().run(store=yard.folder / "second", workers=0, progress=False, report=False)

    assert run.ok
    assert sorted(os.listdir("/proc/self/fd")) == before
    root = Path(run.store.root)
    for name in ("tmp", "scratch", "quarantine"):
        assert list((root / name).iterdir()) == []
    assert [p for p in (root / "leases").iterdir() if p.name[0] != "."] == []
    assert sorted(p.name for p in run.folder.iterdir()) == [
        "events.jsonl",
        "records.csv",
        "records.parquet",
        "run.json",
        "trials.json",
    ]


def test_an_error_of_a_run_is_an_assay_error(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(AssayError):
        farm.farm().run(store=tmp_path / "file", workers=0, progress=False)


def test_a_key_of_a_record_that_is_named_like_a_decision_is_refused(tmp_path):
    flow = Workflow("flow")
    flow.step("a", keyed)
    study = Study(flow, decisions={"case": sweep("a.level", [1.0, 2.0])})

    with pytest.raises(ClaimError, match="step 'a': its records have a key 'case', the name of a"):
        study.run(store=tmp_path, workers=0, progress=False)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"status": 1}'])
def test_a_damaged_file_of_a_run_is_told_in_one_line(run, text):
    for name, read in (
        ("run.json", lambda r: r.summary),
        ("trials.json", lambda r: r.load("x")),
        ("records.parquet", lambda r: r.records),
    ):
        (run.folder / name).write_text(text)
        if (name, text) == ("trials.json", "[]"):
            continue  # no trials: told as such
        with pytest.raises((StoreError, UsageError), match=r"missing or damaged|no trial"):
            read(Run(run.store, run.name))
