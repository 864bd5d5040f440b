"""What a challenge file may say; what it may not is refused with line, key and what fits."""

from datetime import UTC, datetime

import pytest

from assay.errors import DataError, UsageError
from assay.parts.competition.challenge import (
    challenge_folder,
    parse_challenge,
    read_challenge,
    utc,
)
from parts.competition.hosted import YAML, hosted, hosted_folder

FILE = YAML.replace("MISSING", "refuse")


def test_a_challenge_is_read_from_its_folder(tmp_path):
    challenge = read_challenge(hosted_folder(tmp_path))
    assert challenge == hosted()
    assert challenge.cases_of("final") == challenge.every_case == ("case_1", "case_2", "case_3")
    tools, skill = challenge.tasks["tools"], challenge.tasks["skill"]
    assert [m.small_better for m in (*tools.metrics, *skill.metrics)] == [
        False, False, True, False, True,
    ]  # fmt: skip
    assert [m.id for m in skill.metrics] == [
        "drops.absolute_error", "drops.spearman", "path.log_absolute_error",
    ]  # fmt: skip
    assert challenge_folder(tmp_path).truth == tmp_path / "truth"


def test_moments_are_kept_in_utc():
    phase = hosted().phases[0]
    assert phase.opens == datetime(2029, 12, 31, 23, tzinfo=UTC)
    assert phase.opens.tzinfo is UTC
    assert (utc(phase.opens), utc(phase.closes)) == (
        "2029-12-31 23:00:00 UTC",
        "2030-02-01 00:00:00 UTC",
    )


REFUSED = {
    "no number of the format": ("version: 1\n", "", "the file lacks 'version'"),
    "another format": ("version: 1", "version: 2", "line 1: version: 2 is refused; expected 1"),
    "an unknown key": (
        "title:",
        "titel:",
        "line 3: no key 'titel' in the file. Did you mean 'title'",
    ),
    "an unknown key further in": (
        "boxes_per_image",
        "boxes_per_frame",
        "line 25: no key 'boxes_per_frame' in limits. Did you mean 'boxes_per_image'",
    ),
    "an unknown metric": (
        "absolute_error, column: drops",
        "absolut_error, column: drops",
        "line 22: no metric 'absolut_error' in tasks.skill.metrics.0. Did you mean 'absolute_",
    ),
    "a metric for boxes": (
        "spearman, column: drops",
        "average_precision, column: drops",
        "line 23: tasks.skill.metrics.1.name: 'average_precision' is for boxes; expected absolute",
    ),
    "a direction that is none of the metric's": (
        "spearman, column: drops",
        "spearman, column: drops, small_better: true",
        "line 23: tasks.skill.metrics.1.small_better: True is not the metric's direction",
    ),
    "a column that is not there": (
        "spearman, column: drops",
        "spearman, column: drop",
        "'drop' is no column",
    ),
    "a metric twice": (
        "spearman, column: drops",
        "absolute_error, column: drops",
        "holds a metric twice",
    ),
    "logarithms of 0": (
        "[0.5, 40]",
        "[0, 40]",
        "line 20: tasks.skill.columns.path: reaches down to 0",
    ),
    "an empty range": ("[0, 20]", "[20, 20]", "columns.drops: is no range"),
    "an endless range": ("[0, 20]", "[0, .inf]", "columns.drops.1: "),
    "a moment without an offset": (
        "2030-01-01T00:00:00+01:00",
        "2030-01-01T00:00:00",
        "line 27: phases.0.opens: '2030-01-01T00:00:00' is refused; expected a moment with its",
    ),
    "a day": ("2030-01-01T00:00:00+01:00", "2030-01-01", "a moment with its offset from UTC"),
    "an unknown set of cases": (
        "cases: all}",
        "cases: al}",
        "phases.0.cases: 'al' is no set of cases",
    ),
    "a case twice": ("case_1, case_2", "case_1, case_1", "line 8: cases.all: holds a case twice"),
    "a case that is a number": ("case_1, case_2", "1, case_2", "cases.all.0: 1 is refused"),
    "a case that leads elsewhere": (
        "case_1, case_2",
        "../a, case_2",
        "cases.all.0: '../a' is refused",
    ),
    "a truth that lies elsewhere": (
        "truth: skill.csv",
        "truth: ../skill.csv",
        "'../skill.csv' is refused",
    ),
    "boxes without classes": (
        "classes: [needle driver, needle]",
        "classes: []",
        "line 5: classes: are needed",
    ),
    "classes that files cannot tell apart": (
        "[needle driver, needle]",
        "[needle driver, needle_driver]",
        "holds a class twice",
    ),
    "a table without columns": (
        "    columns: {drops: [0, 20], path: [0.5, 40]}\n",
        "",
        "needs columns",
    ),
    "no limit": (
        "bytes: 200000",
        "bytes: 0",
        "line 25: limits.bytes: 0 is refused; expected greater",
    ),
    "a limit that is a text": ("bytes: 200000", "bytes: '9'", "limits.bytes: '9' is refused"),
    "an unknown rule for ties": ("phases:", "ranking: {ties: minn}\nphases:", "Did you mean 'min'"),
    "an unknown rule for what is missing": (
        "phases:",
        "ranking: {missing: best}\nphases:",
        "expected a number, 'na.rm' or 'worst'",
    ),
    "an unknown item of the design": (
        "phases:",
        "bias: {misson: x}\nphases:",
        "bias.misson: 'misson' is refused",
    ),
    "a phase twice": (
        "phases:",
        "phases:\n"
        "  - {name: final, opens: 2030-01-01T00:00Z, closes: 2030-01-02T00:00Z, cases: all}",
        "phases.1.name: 'final' is there twice",
    ),
    "a key twice": ("title:", "name: x\ntitle:", "line 3: 'name' is written twice"),
    "no YAML": ("title:", "title: [", "line"),
    "two tasks of boxes": (
        "  skill:",
        "  more:\n    kind: boxes\n    truth: b\n"
        "    metrics: [{name: average_precision}]\n  skill:",
        "tasks.more: is a second task of boxes",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_with_its_place(name):
    old, new, message = REFUSED[name]
    assert FILE.count(old) >= 1
    with pytest.raises(DataError) as caught:
        parse_challenge(FILE.replace(old, new, 1), "challenge.yaml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("challenge.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("said", ["3", "na.rm", "worst", "~"])
def test_rules_for_missing_values_are_kept(said):
    text = FILE.replace("phases:", f"ranking: {{missing: {said}}}\nphases:")
    assert parse_challenge(text, "c").ranking.missing == {"3": 3.0, "~": None}.get(said, said)


def test_a_folder_without_a_challenge_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"no challenge\.yaml"):
        read_challenge(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff", "not text in UTF-8"),
        (b"- a", "is no challenge"),
        (b" " * 1_000_001, "is too large"),
        (b"a: &x 1", "aliases"),
    ],
)
def test_a_file_that_is_no_challenge_is_refused(tmp_path, content, message):
    (tmp_path / "challenge.yaml").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_challenge(tmp_path)


def test_what_was_read_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        hosted().limits.bytes = 10**9
