"""Verbs, exit codes and errors: one line, the nearest name, nothing half written."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from assay.app import cli

VERBS = ("list", "show", "run", "runs", "report", "tour", "verify", "reindex", "gc", "doctor")


def test_help_lists_every_verb_and_those_of_installed_systems(shell):
    code, out, err = shell("--help")

    assert (code, err) == (0, "")
    assert all(f" {verb} " in out for verb in (*VERBS, "flip", "lost"))
    assert "A verb of coins: Coins, fair and bent." in out


def test_help_does_not_import_the_application_behind_a_verb(shell):
    shell("--help")

    assert "coins" in sys.modules
    assert not {"coins.verbs", "coins.study", "coins.nowhere"} & set(sys.modules)


def test_no_verb_at_all_prints_the_help(shell):
    assert shell() == shell("--help")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(shell, verb):
    code, out, err = shell(verb, "--help")

    assert (code, err) == (0, "")
    assert f"assay {verb}" in out


def test_the_version_is_printed(shell):
    assert shell("--version") == (0, f"assay {cli.assay.__version__}\n", "")


def test_a_verb_of_a_system_runs(shell):
    assert shell("flip", "--times", "2", "--side", "edge") == (0, "edgeedge\n", "")


def test_a_package_that_does_not_import_costs_neither_the_help_nor_the_verb(shell):
    from .conftest import make_package  # noqa: TID252

    make_package(shell.folder / "site", "broken", {"__init__.py": "1 / 0"}, "broken:SYSTEM")

    code, out, err = shell.run("--help")
    assert (code, " flip " in out) == (0, True)
    assert err.startswith("assay: package broken 1.0: system 'broken' cannot be loaded")
    assert err.count("\n") == 1
    assert "no verb 'rnu'. Did you mean 'run'?" in shell.run("rnu")[2]


# -- wrong usage --------------------------------------------------------------------------------

WRONG = {
    "a verb": (["rnu"], "no verb 'rnu'. Did you mean 'run'?"),
    "a verb of a system": (["flop"], "no verb 'flop'. Did you mean 'flip'?"),
    "an option": (["run", "coins", "--sead", "3"], "no option '--sead'. Did you mean '--seeds'?"),
    "an option of a verb of a system": (["flip", "--time", "3"], "Did you mean '--times'?"),
    "a system": (["run", "coin"], "no system 'coin'. Did you mean 'coins'?"),
    "a system to show": (["show", "coin"], "Did you mean 'coins'?"),
    "a study": (["run", "coins", "toses"], "no study 'toses'. Did you mean 'tosses'?"),
    "a preset": (["run", "coins", "--preset", "tinny"], "Did you mean 'tiny'?"),
    "a step": (["run", "coins", "--set", "tos.count=3"], "Did you mean 'toss'?"),
    "a parameter": (["run", "coins", "--set", "toss.cuont=3"], "Did you mean 'count'?"),
    "a step, foreseen": (["run", "coins", "--dry-run", "--set", "tos.count=3"], "'toss'?"),
    "a value": (["run", "coins", "--set", "toss.coin=euros"], "expected 'euro' or 'pound'"),
    "a kind of value": (["run", "coins", "--set", "toss.count=many"], "toss.count: 'many' is ref"),
    "a seed": (["run", "coins", "--set", "toss.seed=1"], "Choose them with --seeds."),
    "no value": (["run", "coins", "--set", "toss.count"], "expected step.parameter=value"),
    "no parameter": (["run", "coins", "--set", "=3"], "expected step.parameter=value"),
    "a value twice": (["run", "coins", "--set", "toss.count=1", "--set", "toss.count=2"], "twice"),
    "no YAML": (["run", "coins", "--set", "toss.count=[1"], "--set toss.count: line 1"),
    "no seeds": (["run", "coins", "--seeds", "0"], "'--seeds'"),
    "a number": (["run", "coins", "--workers", "two"], "'--workers'"),
    "two places": (["run", "coins", "--workers", "1", "--on", "tcp://x:1"], "exclude each other"),
    "a file": (["run", "study.yaml"], "study.yaml"),
    "a study of a file": (["run", "study.yaml", "tosses"], "Leave out 'tosses'."),
    "no argument": (["run"], "`assay run --help`"),
    "too many arguments": (["list", "coins"], "`assay list --help`"),
    "a run": (["report", "last"], "no store. Run a study first"),
    "a verb that leads nowhere": (["lost"], "coins: no module 'coins.nowhere'"),
    "a verb that is none": (["odd"], "leads to a Claim; expected a Typer application"),
}


@pytest.mark.parametrize(("words", "said"), WRONG.values(), ids=WRONG)
def test_wrong_words_end_in_one_line_that_helps_and_leave_nothing(shell, words, said):
    before = sorted(shell.folder.iterdir())

    code, out, err = shell(*words)

    assert (code, out) == (2, "")
    assert err.startswith("assay: ")
    assert err.count("\n") == 1
    assert said in err
    assert sorted(shell.folder.iterdir()) == before


@pytest.mark.parametrize(("words", "said"), WRONG.values(), ids=WRONG)
def test_with_json_an_error_is_one_value_on_standard_output(shell, words, said):
    code, out, err = shell(*words, "--json")
    if "--json" in err:  # a verb of a system has no such option
        return

    assert code == 2
    assert said in json.loads(out)["error"]
    assert said in err


def test_debug_shows_where_an_error_arose_and_keeps_the_exit_code(shell):
    code, _, err = shell("run", "coin", "--debug")

    assert code == 2
    assert "Traceback" in err
    assert err.endswith("assay: no system 'coin'. Did you mean 'coins'?\n")
    assert shell("--debug", "run", "coin")[2] == err


def test_what_was_not_foreseen_is_one_line_too(shell, monkeypatch):
    def broken(*_):
        raise KeyError("a\nb")

    monkeypatch.setattr("assay.app.show.list_systems", broken)

    code, out, err = shell("list")

    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "not foreseen, --debug shows" in err
    assert "Traceback" in shell("list", "--debug")[2]


# -- a process of its own -----------------------------------------------------------------------


def test_help_is_there_in_well_under_a_second(shell):
    began = time.perf_counter()
    code, out, err = shell.run("--help")
    took = time.perf_counter() - began

    assert (code, err) == (0, "")
    assert "flip" in out
    assert took < 1.0


def test_output_that_nobody_reads_ends_quietly(shell):
    with shell.process("show", "coins") as process:
        process.stdout.close()

        assert process.stderr.read() == ""


@pytest.mark.parametrize("more", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}])
def test_a_terminal_without_the_letters_shows_what_it_can(shell, more):
    code, out, err = shell.run("show", "coins", **more)

    assert (code, err) == (0, "")
    assert "Is a bent coin [fair/unfair] told apart?" in out


def test_a_narrow_terminal_folds_and_loses_no_letter(shell):
    code, out, err = shell.run("show", "coins", COLUMNS="32")

    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 32
    assert "Tossacoin." in "".join(out.split())
    assert "…" not in out


def test_no_colour_is_printed_on_a_pipe_or_against_the_users_wish(shell):
    assert "\x1b" not in shell.run("list")[1]
    assert "\x1b" in shell.run("list", FORCE_COLOR="1")[1]
    assert "\x1b[3" not in shell.run("list", FORCE_COLOR="1", NO_COLOR="1")[1]


def living(group: int) -> list[str]:
    """Processes of a process group that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(") ")
        except OSError:
            continue
        state, _, its_group = rest.split()[:3]
        if int(its_group) == group and state != "Z":
            found.append(name)
    return found


@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_interrupt_stops_the_run_in_one_line(shell, workers):
    marker = shell.folder / "waiting.txt"
    words = ("run", "coins", "waiting", "--set", f"wait.marker={marker}", "--workers", workers)
    process = shell.process(*words)
    deadline = time.monotonic() + 60
    while not marker.exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)

    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.endswith("assay: stopped; finished steps are kept, run again to go on\n")
    while living(process.pid):
        assert time.monotonic() < deadline, "a worker outlives its run"
        time.sleep(0.02)


def test_progress_and_what_components_print_never_reach_standard_output(shell):
    """Also what a worker process prints below Python."""
    code, out, err = shell.run("run", "coins", "--workers", "1", "--json")

    assert code == 0, err
    assert set(json.loads(out)) >= {"run", "study", "trials", "claims", "checks", "report"}
    assert "tossing below python" in err
    assert "tossing" not in out
