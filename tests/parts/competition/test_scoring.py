"""Scores: by hand, against peers, and never better for what was left out."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from assay.errors import DataError
from assay.parts.competition.metrics import METRICS
from assay.parts.competition.scoring import BY_CASE, OVERALL, score
from assay.parts.competition.submission import check
from assay.parts.detection.average_precision import average_precision
from assay.parts.detection.boxes import Boxes
from parts.competition.hosted import (
    CASES,
    CLASSES,
    MANIFEST,
    SKILL,
    TRUTH,
    as_folder,
    as_json,
    as_zip,
    hosted,
    hosted_folder,
    right,
)

NAN = math.nan
TABLE = {name: metric for name, metric in METRICS.items() if metric.kind == "table"}


def scored(tmp_path, files, missing="refuse", skill=SKILL):
    folder = tmp_path / "challenge"
    if not folder.exists():
        hosted_folder(folder, skill)
    challenge = hosted(missing)
    return score(challenge, folder / "truth", check(challenge, as_folder(tmp_path / "in", files)))


def overall(found):
    return dict(zip(found.overall.metric, found.overall.value, strict=True))


def test_who_predicts_the_truth_has_the_best_of_every_metric(tmp_path):
    found = scored(tmp_path, right())
    said = overall(found)
    assert said["average_precision"] == said["average_precision_per_video"] == 1
    assert said["average_precision.AP50"] == said["average_precision.AP needle"] == 1
    assert said["drops.absolute_error"] == said["path.log_absolute_error"] == 0
    assert said["drops.spearman"] == pytest.approx(1, abs=1e-15)
    assert found.reasons == ()
    assert tuple(found.by_case.columns) == BY_CASE
    assert tuple(found.overall.columns) == OVERALL
    ranked = found.overall[~found.overall.extra]
    assert ranked.metric.tolist() == [
        m.id for task in hosted().tasks.values() for m in task.metrics
    ]


@pytest.mark.parametrize(
    ("name", "expected", "by_case"),
    [
        ("absolute_error", 9 / 4, [1, 0, 2, 6]),
        ("squared_error", math.sqrt(41 / 4), [1, 0, 4, 36]),
        ("exact", 1 / 4, [0, 1, 0, 0]),
        ("within_one", 2 / 4, [1, 1, 0, 0]),
    ],
)
def test_errors_by_hand(name, expected, by_case):
    value = METRICS[name].of(np.array([1.0, 3, 5, 8]), np.array([2.0, 3, 3, 2]), (0, 10))
    assert value.overall == pytest.approx(expected, rel=1e-15)
    assert value.by_case.tolist() == by_case
    assert value.n == 4


def test_an_error_of_logarithms_is_a_ratio():
    value = METRICS["log_absolute_error"].of(np.array([10.0, 10]), np.array([20.0, 5]), (1, 100))
    assert value.by_case == pytest.approx([math.log(2)] * 2)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=15))
def test_correlations_are_those_of_a_peer(pairs):
    truth, found = np.array(pairs, float).T
    assume(len(set(truth)) > 1 < len(set(found)))
    spearman = METRICS["spearman"].of(truth, found, (0, 5)).overall
    assert spearman == pytest.approx(
        np.corrcoef(stats.rankdata(truth), stats.rankdata(found))[0, 1], abs=1e-12
    )
    concordant = np.sign(np.subtract.outer(truth, truth)) * np.sign(np.subtract.outer(found, found))
    untied = [np.abs(np.sign(np.subtract.outer(x, x))).sum() for x in (truth, found)]
    kendall = METRICS["kendall"].of(truth, found, (0, 5)).overall
    assert kendall == pytest.approx(concordant.sum() / math.sqrt(untied[0] * untied[1]), abs=1e-12)


def test_what_is_missing_takes_the_worst_of_the_range():
    truth, found = np.array([0.0, 15, 20, NAN]), np.full(4, NAN)
    found[0] = 0.0
    error = METRICS["absolute_error"].of(truth, found, (0, 20))
    np.testing.assert_array_equal(error.by_case, [0, 15, 20, NAN])
    assert (error.overall, error.n) == (35 / 3, 3)
    logs = METRICS["log_absolute_error"].of(np.array([2.0, 2]), np.array([2.0, NAN]), (1, 100))
    assert logs.by_case[1] == pytest.approx(math.log(50))


@given(
    st.sampled_from(sorted(TABLE)),
    st.lists(
        st.tuples(
            st.integers(1, 9) | st.just(NAN), st.floats(1, 9) | st.integers(1, 9), st.booleans()
        ),
        min_size=1,
        max_size=10,
    ),
)
def test_leaving_a_count_out_never_pays(name, rows):
    truth = np.array([row[0] for row in rows], float)
    whole = np.array([row[1] for row in rows], float)
    holes = np.where([row[2] for row in rows], NAN, whole)
    metric = TABLE[name]
    before, after = metric.of(truth, whole, (1, 9)), metric.of(truth, holes, (1, 9))
    if math.isnan(after.overall):
        assert after.reason  # not ranked at all
        return
    if before.by_case is not None:
        known = ~np.isnan(truth)
        loss = (after.by_case - before.by_case)[known] * (1 if metric.small_better else -1)
        assert (loss >= 0).all()
    if not math.isnan(before.overall):
        loss = (after.overall - before.overall) * (1 if metric.small_better else -1)
        assert loss >= 0


UNTOLD = {
    "no truth": ([NAN, NAN], [1, 2], "no case has a known truth"),
    "no prediction": ([1, 2], [NAN, NAN], "no prediction at all"),
    "none where the truth is known": ([1, NAN], [NAN, 2], "no prediction at all"),
}


@pytest.mark.parametrize("name", UNTOLD)
@pytest.mark.parametrize("metric", sorted(TABLE))
def test_what_cannot_be_told_has_a_reason(metric, name):
    truth, found, reason = UNTOLD[name]
    value = TABLE[metric].of(np.array(truth, float), np.array(found, float), (1, 9))
    assert math.isnan(value.overall)
    assert value.reason == reason


def test_constant_predictions_have_no_correlation_even_with_a_gap():
    truth = np.array([1.0, 2, 3])
    for found in ([2.0, 2, 2], [2.0, 2, NAN]):
        value = METRICS["spearman"].of(truth, np.array(found), (1, 9))
        assert (math.isnan(value.overall), value.reason) == (
            True,
            "the predictions are the same in all cases",
        )
    assert METRICS["spearman"].of(truth, np.array([1.0, 2, NAN]), (1, 9)).overall == -1


def test_images_are_pooled_over_cases(tmp_path):
    """By hand: the images of all cases as one list, each with a number of its own."""
    rng = np.random.default_rng(1)

    def moved(boxes):
        return Boxes(boxes.image, boxes.label, boxes.xywh + rng.uniform(0, 1.5, boxes.xywh.shape),
                     rng.uniform(0, 1, len(boxes)), boxes.state)  # fmt: skip

    found = {case: moved(boxes) for case, boxes in TRUTH.items()}
    found["case_3"] = Boxes.of([1], [0], [[12, 10, 20, 20]], [0.99])  # right in another case
    files = {**right(), **{f"boxes/{c}.json": as_json(b) for c, b in found.items()}}
    given = check(hosted(), as_folder(tmp_path / "x", files)).submission.boxes
    numbered = []
    for side in (TRUTH, given):
        parts = [
            Boxes(b.image + 100 * n, b.label, b.xywh, b.score, b.state)
            for n, b in enumerate(side[case] for case in CASES)
        ]
        numbered.append(Boxes.joined(parts))
    expected = average_precision(*numbered, classes=len(CLASSES))
    each = [average_precision(TRUTH[c], given[c], classes=2).ap for c in CASES[:2]]
    said = overall(scored(tmp_path, files))
    assert 0 < said["average_precision"] < 1
    assert said["average_precision"] == expected.ap
    assert said["average_precision.AP75"] == expected.ap75
    assert said["average_precision.AP needle driver"] == expected.by_class[0]
    assert said["average_precision_per_video"] == pytest.approx(np.mean(each), rel=1e-15)
    assert said["average_precision_per_video"] != said["average_precision"]


def test_a_case_without_a_file_scores_0_and_is_never_skipped(tmp_path):
    files = {name: text for name, text in right().items() if name != "boxes/case_1.json"}
    found = scored(tmp_path, files, "worst")
    assert overall(found)["average_precision_per_video"] == 0.5
    assert overall(found)["average_precision"] < 1
    rows = found.by_case[found.by_case.metric == "average_precision_per_video"]
    np.testing.assert_array_equal(rows.value, [0, 1, NAN])
    assert rows.missing.tolist() == [True, False, False]


def test_missing_counts_are_marked_and_a_lacking_metric_is_not_ranked(tmp_path):
    files = {"manifest.json": MANIFEST, "skill.csv": "case,drops\ncase_1,0\ncase_2,3\n"}
    found = scored(tmp_path, files, "worst")
    said = found.overall.set_index("metric")
    assert said.value["drops.absolute_error"] == pytest.approx(19 / 3)
    assert said.missing["drops.absolute_error"] == 1
    assert found.reasons == (
        "tools average_precision: no prediction at all",
        "tools average_precision_per_video: no prediction at all",
        "skill path.log_absolute_error: no prediction at all",
    )


def test_cases_without_a_truth_are_left_out(tmp_path):
    found = scored(tmp_path, right(), skill="case,drops,path\ncase_1,1,12.5\ncase_2,,8\n")
    said = found.overall.set_index("metric")
    assert (said.value["drops.absolute_error"], said.n["drops.absolute_error"]) == (1.0, 1)
    assert "skill drops.spearman: the truth is the same in all cases" in found.reasons


def test_equal_submissions_have_equal_tables_to_the_byte(tmp_path):
    challenge, folder = hosted(), hosted_folder(tmp_path / "challenge")
    texts = []
    for path in (as_folder(tmp_path / "in", right()), as_zip(tmp_path / "in.zip", right())):
        found = score(challenge, folder / "truth", check(challenge, path))
        texts.append((found.by_case.to_csv(), found.overall.to_csv()))
    assert texts[0] == texts[1]


def test_what_was_refused_has_no_score(tmp_path):
    with pytest.raises(DataError, match=r"has no score: manifest\.json"):
        scored(tmp_path, {**right(), "manifest.json": "{}"})


def test_a_truth_that_is_wrong_is_an_error_with_its_line(tmp_path):
    with pytest.raises(DataError, match=r"truth/skill\.csv line 3: column 'drops' has '99'"):
        scored(tmp_path, right(), skill="case,drops\ncase_1,1\ncase_2,99\n")
    (tmp_path / "challenge/truth/boxes/case_2.json").unlink()
    with pytest.raises(DataError, match=r"case_2\.json: the truth cannot be read"):
        scored(tmp_path, right())
