"""`assay challenge`: a whole challenge by its verbs, as one page tells it."""

import json
import re
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from assay.errors import DataError, ResourceError, UsageError
from assay.parts.competition.runner import isolation
from assay.parts.competition.verbs import app


def said(*words, code=0):
    """What a verb prints; an error of ours is raised as it is."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def folder(tmp_path):
    said("init", tmp_path / "c", "--name", "the_challenge")
    return tmp_path / "c"


def another(folder, name, change=lambda text: text):
    """A second submission like the example."""
    source, place = folder / "submissions" / "example", folder / "submissions" / name
    shutil.copytree(source, place)
    manifest = json.loads((place / "manifest.json").read_text()) | {"team": f"Team {name}"}
    (place / "manifest.json").write_text(json.dumps(manifest))
    (place / "counts.csv").write_text(change((place / "counts.csv").read_text()))
    return place


def zipped(folder, tmp_path):
    place = folder / "submissions" / "example"
    return shutil.make_archive(str(tmp_path / "sent"), "zip", place)


def test_the_starter_is_checked_scored_ranked_and_reported(folder):
    example = folder / "submissions" / "example"
    assert "Accepted" in said("check", folder, example)
    scored = json.loads(said("score", folder, example, "--json"))
    assert {row["metric"] for row in scored["overall"]} == {
        "needle_drops.absolute_error", "needle_drops.within_one",
    }  # fmt: skip
    another(folder, "worse", lambda text: text.replace(",1", ",9").replace(",0", ",9"))
    broken = another(folder, "broken", lambda text: text + "case_99,1\n")
    found = said("check", folder, broken, code=1)
    assert "counts.csv line 8" in found
    assert "[unknown_case]" in found
    board = json.loads(said("rank", folder, "--json"))
    assert [(row["entry"], row["place"]) for row in board] == [
        ("example", 1.0), ("worse", 2.0), ("broken", None),
    ]  # fmt: skip
    assert "unknown_case" in board[-1]["reason"]
    report = json.loads(said("report", folder, "--json"))
    assert (report["entries"], report["ranked"]) == (3, 2)
    page = (folder / "store").rglob("index.html")
    assert any("The board" in one.read_text() for one in page)


def test_a_board_made_again_is_the_same_to_the_byte(folder):
    another(folder, "worse", lambda text: text.replace(",0", ",3"))
    first = said("rank", folder, "--json", "--store", folder.parent / "one")
    assert said("rank", folder, "--json", "--store", folder.parent / "two") == first


def test_what_is_to_be_looked_at_is_said(folder):
    assert said("lint", folder) == "Nothing to say.\n"
    truth = folder / "truth" / "counts.csv"
    truth.write_text("\n".join(truth.read_text().splitlines()[:-1]) + "\n")
    findings = json.loads(said("lint", folder, "--json", code=1))
    assert any("case_10" in one["sentence"] for one in findings)


def test_the_design_says_what_was_told(folder, tmp_path):
    said("design", folder, "--to", tmp_path / "design.md")
    text = (tmp_path / "design.md").read_text()
    assert "## Mission" in text
    assert "needle_drops" in text


def test_a_submission_goes_through_the_queue_to_the_board(folder, tmp_path):
    sent = zipped(folder, tmp_path)
    ticket = json.loads(said("submit", folder, "A", sent, "--json"))
    assert (ticket["state"], ticket["again"], ticket["tries_left"]) == ("queued", False, 2)
    assert json.loads(said("submit", folder, "A", sent, "--json"))["again"]
    assert "1 in the queue" in said("status", folder, ticket["id"])
    assert "1 submissions taken" in said("work", folder, "--drain")
    told = json.loads(said("status", folder, ticket["id"], "--json"))[0]
    assert told["state"] == "scored"
    assert set(told["result"]["overall"]) == {
        "counts needle_drops.absolute_error", "counts needle_drops.within_one",
    }  # fmt: skip
    board = json.loads(said("rank", folder, "--queue", "--json"))
    assert [row["place"] for row in board] == [1.0]


def test_what_the_check_refuses_costs_no_try(folder, tmp_path):
    another(folder, "broken", lambda text: text + "case_99,1\n")
    sent = shutil.make_archive(str(tmp_path / "bad"), "zip", folder / "submissions" / "broken")
    ticket = json.loads(said("submit", folder, "B", sent, "--json"))
    said("work", folder, "--drain")
    told = json.loads(said("status", folder, ticket["id"], "--json"))[0]
    assert (told["state"], told["code"], told["costs"]) == ("refused", "unknown_case", False)
    assert "counts.csv line 8" in told["problems"][0]


def test_a_deadline_that_has_passed_is_kept(folder, tmp_path):
    file = folder / "challenge.yaml"
    past = datetime.now(UTC) - timedelta(days=1)
    lines = [
        f"    closes: {past.isoformat()}" if "closes:" in line
        else f"    opens: {(past - timedelta(days=9)).isoformat()}" if "opens:" in line
        else line
        for line in file.read_text().splitlines()
    ]  # fmt: skip
    file.write_text("\n".join(lines))
    with pytest.raises(DataError, match="too_late"):
        said("submit", folder, "A", zipped(folder, tmp_path))


def test_mistakes_are_told_in_one_line(folder, tmp_path):
    with pytest.raises(UsageError, match=r"no challenge\.yaml"):
        said("lint", tmp_path)
    with pytest.raises(UsageError, match="no phase 'finals'"):
        said("rank", folder, "--phase", "finals")
    with pytest.raises(UsageError, match="not empty"):
        said("init", folder)
    shutil.rmtree(folder / "submissions" / "example")
    with pytest.raises(UsageError, match="no submission"):
        said("report", folder)
    broken = another_from(tmp_path)
    with pytest.raises(DataError, match=r"is refused: counts\.csv: case "):
        said("score", folder, broken)


def another_from(tmp_path):
    place = tmp_path / "empty"
    place.mkdir()
    (place / "counts.csv").write_text("case,needle_drops\n")
    return place


# -- a participant's program -----------------------------------------------------------------------


@pytest.fixture
def confining():
    try:
        isolation()
    except ResourceError as error:
        pytest.skip(f"this host cannot confine a program: {error}")


def test_a_program_sees_the_inputs_and_what_it_wrote_is_checked_like_any_other(
    folder, tmp_path, confining
):
    program, outputs = tmp_path / "program", tmp_path / "outputs"
    shutil.copytree(folder / "submissions" / "example", program)
    command = "test -s {inputs}/examples.csv && cp {program}/* {outputs}"
    found = said("run", folder, outputs, "--program", program, "--", "sh", "-c", command)

    assert "network: off" in found
    assert f"Then: assay challenge check {folder} {outputs}" in found
    assert "Accepted" in said("check", folder, outputs)


def test_a_program_that_looks_for_the_truth_finds_none_and_leaves_nothing(
    folder, tmp_path, confining
):
    truth, outputs = folder / "truth", tmp_path / "outputs"
    assert any(truth.iterdir())
    command = f"cat {truth}/* > {{outputs}}/counts.csv"
    found = json.loads(said("run", folder, outputs, "--json", "--", "sh", "-c", command, code=1))

    assert found["code"] == "crash"
    assert not outputs.exists()


def test_a_program_has_the_time_that_the_challenge_gives_unless_told(folder, tmp_path, confining):
    path = folder / "challenge.yaml"
    path.write_text(re.sub(r"seconds: \d+", "seconds: 1", path.read_text()))
    slow = ("--", "sh", "-c", "sleep 3; echo done > {outputs}/a")
    assert "timeout" in said("run", folder, tmp_path / "a", *slow, code=1)
    assert "Done" in said("run", folder, tmp_path / "b", "--seconds", 9, *slow)
