"""What is looked at before a challenge opens, and the page of its design."""

import pytest

from assay.parts.competition.bias import NOT_TOLD, design, untold
from assay.parts.competition.challenge import read_challenge
from assay.parts.competition.lint import lint
from assay.parts.competition.schema import BIAS_ITEMS
from assay.parts.competition.starting import init
from parts.competition.hosted import hosted, hosted_folder

BIAS = "bias: {" + ", ".join(f"{item}: told" for item in BIAS_ITEMS) + "}\nphases:"


def findings(tmp_path, **replaced):
    challenge = hosted(**{"phases:": BIAS} | replaced)
    return {(found.code, found.where) for found in lint(challenge, hosted_folder(tmp_path / "c"))}


def codes(tmp_path, **replaced):
    return {code for code, _ in findings(tmp_path, **replaced)}


def test_the_example_gives_no_cause(tmp_path):
    folder = init(tmp_path / "new", "new")
    assert lint(read_challenge(folder), folder) == []


def test_what_the_metrics_give_cause_for(tmp_path):
    assert findings(tmp_path) == {
        ("no_missing_rule", "ranking.missing"),
        ("undefined_by_case", "tasks.tools.metrics.average_precision"),
        ("per_video_average", "tasks.tools.metrics.average_precision_per_video"),
        ("undefined_by_case", "tasks.skill.metrics.drops.spearman"),
        ("undefined_correlation", "tasks.skill.metrics.drops.spearman"),
        ("few_objects", "tasks.tools"),
    }


ONE = {
    "phase_order": {"2030-02-01T00:00:00Z": "2030-01-01T00:00:00+01:00"},
    "shared_cases": {"  all: [": "  some: [case_9, case_2]\n  all: ["},
    "order_dependent_ties": {"limits:": "ranking: {ties: random}\nlimits:"},
    "idle_missing_rule": {
        "limits:": "ranking: {method: rank-then-aggregate, missing: worst}\nlimits:"
    },
    "few_cases": {"limits:": "ranking: {method: test-then-rank, missing: worst}\nlimits:"},
    "untold": {"phases:": "bias: {mission: ' '}\nphases:"},
}


@pytest.mark.parametrize("code", ONE)
def test_each_cause_is_found_where_it_is_given(tmp_path, code):
    assert code not in codes(tmp_path / "a")
    assert code in codes(tmp_path / "b", **ONE[code])


def test_no_rule_is_asked_for_where_none_is_taken(tmp_path):
    ranking = {"limits:": "ranking: {method: overall}\nlimits:"}
    assert not {"no_missing_rule", "undefined_by_case"} & codes(tmp_path, **ranking)


def test_the_truth_is_looked_at(tmp_path):
    folder = hosted_folder(tmp_path, "case,drops\ncase_1,1\ncase_2,\n")
    (folder / "truth/boxes/case_2.json").unlink()
    (folder / "truth/boxes/case_3.json").write_text("{")
    (folder / "public").mkdir()
    (folder / "public/answers.csv").write_text("case,drops\ncase_1,1\ncase_2,\n")
    found = lint(hosted(), folder)
    told = [(f.code, f.sentence) for f in found if f.code not in ("untold", "undefined_by_case")]
    assert ("truth_missing", "No truth for case 'case_2'.") in told
    assert ("truth_missing", "No case has a truth in column 'path'.") in told
    assert "truth_refused" in dict(told)
    assert "mean_with_gaps" in dict(told)
    assert ("public_truth", "The same file lies in the truth.") in told
    (folder / "truth/skill.csv").unlink()
    assert [f.code for f in lint(hosted(), folder) if f.where.endswith("skill.csv")] == [
        "truth_missing"
    ]


def test_objects_are_counted_in_each_phase(tmp_path):
    found = [f for f in lint(hosted(), hosted_folder(tmp_path)) if f.code == "few_objects"]
    assert [f.sentence.partition(":")[0] for f in found] == [
        "Phase 'final' has 2 objects of class 'needle driver'",
        "Phase 'final' has 2 objects of class 'needle'",
    ]


def test_the_design_tells_every_item_or_says_that_it_does_not():
    page = design(hosted())
    assert page.count(NOT_TOLD) == len(BIAS_ITEMS) == len(untold(hosted()))
    told = hosted(**{"phases:": "bias: {mission: To count drops.}\nphases:"})
    page = design(told)
    assert page.count(NOT_TOLD) == len(BIAS_ITEMS) - 1
    assert "## Mission\n\nTo count drops.\n" in page
    assert "from 2029-12-31 23:00:00 UTC to 2030-02-01 00:00:00 UTC" in page
    assert "`path` is a number from 0.5 to 40" in page
    assert page.count("\n## ") == len(BIAS_ITEMS)
