"""`assay run`: presets, seeds, files, foresight, and the one value of --json."""

import json
from pathlib import Path

import pandas as pd
import pytest

from assay.app.run import parse_settings

INLINE = ("--workers", "0")


def runs_of(store):
    return sorted(p.name for p in (store / "runs").iterdir())


def test_a_run_writes_its_report_and_says_where(shell):
    code, out, err = shell("run", "coins", *INLINE)

    page = Path(out.splitlines()[-1].removeprefix("report: "))
    assert code == 0
    assert page.is_file()
    assert shell.folder / "store" in page.parents
    assert "Under a second." in out
    assert "8 steps: 8 to run" in err


def test_the_summary_holds_what_programs_need_and_nothing_else_is_printed(shell):
    code, found = shell.json("run", "coins", *INLINE)

    assert code == 0
    assert (found["study"], found["preset"], found["trials"]) == ("tosses", "tiny", 8)
    assert {"id", "verdict", "effect", "low", "high", "n"} <= set(found["claims"][0])
    assert (found["checks"][0]["id"], found["checks"][0]["passed"]) == ("K1", True)
    assert found["seconds"] > 0
    assert Path(found["report"]).is_file()
    assert found["run"] in runs_of(shell.folder / "store")


def test_a_failing_trial_gives_exit_code_one_and_the_same_summary(shell):
    code, found = shell.json("run", "coins", "tired", *INLINE)

    assert code == 1
    assert (found["trials"], found["failed"]) == (6, 3)
    assert found["errors"] == ["toss: ValueError: the hand [of the tosser] is tired"] * 3
    assert found["claims"][0]["verdict"] == "not tested"
    assert Path(found["report"]).is_file()


def test_a_failing_trial_is_told_once_per_reason(shell):
    code, out, _ = shell("run", "coins", "tired", *INLINE)

    assert code == 1
    assert out.count("the hand [of the tosser] is tired") == 1
    assert "failed (3 times): toss: ValueError" in out
    assert "6 trials, 3 failed" in out


@pytest.mark.parametrize(
    ("words", "count", "seeds"),
    [
        ((), 50, 4),
        (("--preset", "small"), 100, 8),
        (("--set", "toss.count=20"), 20, 4),
        (("--preset", "small", "--seeds", "2", "--set", "toss.count=30"), 30, 2),
    ],
)
def test_what_is_typed_wins_over_the_preset(shell, words, count, seeds):
    _, found = shell.json("run", "coins", *INLINE, *words)

    folder = shell.folder / "store" / "runs" / found["run"]
    assert found["trials"] == 2 * seeds
    shares = pd.read_parquet(folder / "records.parquet")["value"]
    assert ((shares * count).round(9) % 1 == 0).all()
    overrides = json.loads((folder / "run.json").read_text())["overrides"]
    assert overrides.get("toss.count", 100) == count


def test_a_store_may_be_named(shell):
    _, found = shell.json("run", "coins", *INLINE, "--store", "mine")

    assert runs_of(shell.folder / "mine") == [found["run"]]
    assert not (shell.folder / "store").exists()


def test_the_same_study_runs_from_a_file(shell):
    (shell.folder / "study.yaml").write_text(shell("show", "coins", "--yaml")[1], encoding="utf-8")

    _, from_file = shell.json("run", "study.yaml", *INLINE)
    _, from_system = shell.json("run", "coins", "--preset", "small", *INLINE)

    assert from_file["preset"] == ""
    assert from_file["trials"] == from_system["trials"] == 16
    assert from_file["claims"] == from_system["claims"]


def test_a_file_takes_a_preset_too(shell):
    (shell.folder / "study.yaml").write_text(shell("show", "coins", "--yaml")[1], encoding="utf-8")

    _, found = shell.json("run", "study.yaml", "--preset", "tiny", *INLINE)

    assert (found["preset"], found["trials"]) == ("tiny", 8)


def test_a_file_with_a_mistake_is_named_with_the_nearest_word(shell):
    text = shell("show", "coins", "--yaml")[1].replace("decisions:", "decisons:")
    (shell.folder / "study.yaml").write_text(text, encoding="utf-8")

    code, _, err = shell("run", "study.yaml", *INLINE)

    assert code == 2
    assert "study.yaml" in err
    assert "Did you mean 'decisions'?" in err


# -- --dry-run ----------------------------------------------------------------------------------


def test_foresight_says_what_would_run_and_makes_no_store(shell):
    before = sorted(shell.folder.iterdir())

    code, out, err = shell("run", "coins", "--dry-run")

    assert (code, err) == (0, "")
    assert "toss" in out
    assert "never run" in out
    assert "8 trials, 8 steps: 8 will run; nothing was run" in out
    assert sorted(shell.folder.iterdir()) == before


def test_foresight_knows_what_is_in_the_store_and_leaves_it_alone(shell):
    shell("run", "coins", *INLINE)
    before = runs_of(shell.folder / "store")

    _, same = shell.json("run", "coins", "--dry-run")
    _, other = shell.json("run", "coins", "--dry-run", "--set", "toss.count=51")

    assert (same["cached"], same["will run"], same["trials"]) == (8, 0, 8)
    assert (other["cached"], other["will run"]) == (0, 8)
    assert any("count" in step["why"] for step in other["steps"])
    assert runs_of(shell.folder / "store") == before


# -- --set --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("true", True),
        ("no", "no"),
        ("1e-3", 0.001),
        ("null", None),
        ("", None),
        ("a=b", "a=b"),
        ("[1, 2]", [1, 2]),
        ("{a: 1}", {"a": 1}),
        ("'3'", "3"),
    ],
)
def test_a_value_is_read_as_in_yaml(text, value):
    assert parse_settings([f"step.param={text}"]) == {"step.param": value}
