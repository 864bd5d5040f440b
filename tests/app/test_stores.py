"""The verbs that look after a store."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from assay.app.stores import export_value
from assay.core.run import Run
from assay.core.store import Store
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.errors import UsageError
from core import toys

INLINE = ("--workers", "0")


@pytest.fixture
def two_runs(shell):
    """Names of two runs in the default store, the latest first."""
    first = shell.json("run", "coins", *INLINE)[1]["run"]
    second = shell.json("run", "coins", "--seeds", "2", *INLINE)[1]["run"]
    return [second, first]


def test_runs_are_listed_the_latest_first(shell, two_runs):
    code, out, err = shell("runs")
    _, data = shell.json("runs")

    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[1:]] == two_runs
    assert [row["run"] for row in data] == two_runs
    assert {row["status"] for row in data} == {"done"}


@pytest.mark.parametrize("verb", ["runs", "verify", "reindex", "gc", ("report", "last")])
def test_looking_for_a_store_does_not_make_one(shell, verb):
    words = verb if isinstance(verb, tuple) else (verb,)

    code, out, err = shell(*words, "--store", "nowhere")

    assert (code, out) == (2, "")
    assert err == "assay: nowhere: no store. Run a study first, or name one with --store.\n"
    assert not (shell.folder / "nowhere").exists()


def test_a_run_is_reported_by_its_name_its_beginning_or_as_the_last(shell, two_runs):
    latest, first = two_runs
    unique = first[: next(k for k, (a, b) in enumerate(zip(*two_runs, strict=True)) if a != b) + 1]

    assert shell.json("report", "last")[1]["run"] == latest
    assert shell.json("report", latest)[1]["run"] == latest
    assert shell.json("report", unique)[1]["run"] == first


def test_a_report_repeats_what_the_run_said(shell):
    _, said = shell.json("run", "coins", *INLINE)

    assert shell.json("report", "last") == (0, said)
    assert "A bent coin shows more heads  holds" in shell("report", "last")[1]


def test_a_run_that_is_not_there_is_suggested(shell, two_runs):
    misspelt = two_runs[0].replace("tosses", "toses")

    assert f"Did you mean {two_runs[0]!r}?" in shell("report", misspelt)[2]
    assert "2 runs begin with '2'" in shell("report", "2")[2]


def test_a_run_that_was_killed_is_not_reported_as_finished(shell, two_runs):
    path = shell.folder / "store" / "runs" / two_runs[0] / "run.json"
    head = {k: v for k, v in json.loads(path.read_text()).items() if k in ("run", "study", "preset",
            "started", "trials")}  # fmt: skip
    path.write_text(json.dumps({**head, "status": "running", "claims": []}))
    shell("reindex")

    code, out, err = shell("report", two_runs[0])

    assert (code, out) == (2, "")
    assert "has not finished. If it was stopped, run the study again." in err
    assert "running" in shell("runs")[1]


def test_an_intact_store_verifies(shell, two_runs):
    code, out, err = shell("verify")

    assert (code, err) == (0, "")
    assert re.fullmatch(r"8 steps, \d values, 0 damaged\n", out)  # equal shares are one value


def test_damage_is_named_and_gives_exit_code_one(shell, two_runs):
    value = next((shell.folder / "store" / "objects").glob("*/*"))
    value.write_bytes(b"no table")

    code, found = shell.json("verify")

    assert code == 1
    assert len(found["damaged"]) == 1
    assert value.name in found["damaged"][0]
    shell("run", "coins", *INLINE)
    assert shell("verify")[0] == 0


def test_a_lost_index_is_rebuilt_from_the_files(shell, two_runs):
    (shell.folder / "store" / "index.sqlite").unlink()

    assert shell("reindex") == (0, "2 runs and 8 steps indexed\n", "")
    assert [row["run"] for row in shell.json("runs")[1]] == two_runs


def test_a_run_is_given_up_with_what_only_it_needed(shell, two_runs):
    _, foreseen = shell.json("gc", "--drop", two_runs[1], "--dry-run")
    assert (foreseen["deleted"], shell.json("verify")[1]["steps"]) == (False, 8)

    _, found = shell.json("gc", "--drop", two_runs[1])

    assert found["deleted"]
    assert found["paths"] == foreseen["paths"] > 0
    assert [row["run"] for row in shell.json("runs")[1]] == [two_runs[0]]
    assert shell.json("verify")[1]["steps"] == 4  # two seeds, two choices


def test_a_run_to_give_up_is_suggested(shell, two_runs):
    code, _, err = shell("gc", "--drop", two_runs[0].replace("tosses", "toses"))

    assert code == 2
    assert f"Did you mean {two_runs[0]!r}?" in err


def test_a_value_is_copied_out_of_the_store_once(shell):
    _, said = shell.json("run", "coins", *INLINE)
    run = Run(Store(Path(said["report"]).parents[3]), said["run"])

    code, out, err = shell("export", "last", "toss", "out/toss.parquet", "--trial", "1")
    again = shell("export", "last", "toss", "out/toss.parquet")

    assert (code, out.strip(), err) == (0, "out/toss.parquet", "")
    wanted = [row["value"] for row in run.load("toss", trial=1)]
    assert pd.read_parquet(shell.folder / "out/toss.parquet")["value"].tolist() == wanted
    assert again[0] == 2
    assert "out/toss.parquet: is there already" in again[2]
    assert [p.name for p in (shell.folder / "out").iterdir()] == ["toss.parquet"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("toss.heads", "x"), "has no output 'heads'"),
        (("tos", "x"), "no step 'tos'"),
        (("toss", "x", "--trial", "9"), "no trial 9"),
    ],
)
def test_what_cannot_be_exported_is_told_in_one_line(shell, words, said):
    shell.json("run", "coins", *INLINE)

    code, out, err = shell("export", "last", *words)

    assert (code, out) == (2, "")
    assert said in err
    assert not (shell.folder / "x").exists()


def test_one_member_of_a_step_that_has_several_is_copied(tmp_path):
    flow = Workflow("flow")
    flow.each("x", toys.number, over={"value": [1.5, 2.5]})
    store = tmp_path / "store"
    Study(flow).run(store=store, workers=0, progress=False, report=False)

    export_value("last", "x", tmp_path / "out.json", 0, ["value=2.5"], store, as_json=False)

    assert json.loads((tmp_path / "out.json").read_text()) == 2.5
    for said, match in (
        ([], "'x' is 2 members; expected value=1.5 or value=2.5"),
        (["value=3"], "no member value=3 of 'x'; expected value=1.5 or value=2.5"),
        (["value"], "--member value; expected NAME=VALUE"),
    ):
        with pytest.raises(UsageError, match=match):
            export_value("last", "x", tmp_path / "other", 0, said, store, as_json=False)
    assert not (tmp_path / "other").exists()
