"""Rankings: the published numbers of challengeR's example, and its own unit cases."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from assay.errors import DataError, ParameterError
from assay.parts.ranking.example_tasks import example_tasks
from assay.parts.ranking.schemes import METHODS, Scheme, consensus, rank, rank_draws, significant
from assay.parts.ranking.scores import Scores, scores_by_task
from assay.parts.ranking.signed_rank import ADJUSTMENTS, adjusted, better

AGGREGATE, RANK, TEST = METHODS
GOLDEN = {
    ("c_ideal", Scheme()): (
        [0.951676134134643, 0.844966620565113, 0.741688779133372, 0.644750174641376,
         0.542361039015884], [1, 2, 3, 4, 5]),
    ("c_random", Scheme()): (
        [0.804679957507077, 0.797521295971629, 0.761480755452862, 0.788406684773371,
         0.769741373096057], [1, 2, 5, 3, 4]),
    ("c_random", Scheme(aggregate="median")): (
        [0.835909887046115, 0.833865940840787, 0.777795311102875, 0.809061174175108,
         0.813189421057304], [1, 2, 5, 4, 3]),
    ("c_random", Scheme(RANK)): ([2.72, 2.96, 3.32, 2.88, 3.12], [1, 3, 5, 2, 4]),
    ("c_ideal", Scheme(TEST)): ([1, 0.75, 0.5, 0.25, 0], [1, 2, 3, 4, 5]),
    ("c_worstcase", Scheme()): ([0.9] * 5, [1] * 5),
    ("c_worstcase", Scheme(aggregate="median")): ([0.9] * 5, [1] * 5),
    ("c_worstcase", Scheme(RANK)): ([3.0] * 5, [1] * 5),
    ("c_worstcase", Scheme(TEST)): ([0.0] * 5, [1] * 5),
}  # fmt: skip


@pytest.fixture(scope="module")
def tasks():
    return example_tasks()


def two(first, second, small_better=True):
    rows = zip(first, second, strict=True)
    names = tuple(str(n) for n in range(len(first)))
    return Scores("T1", ("A1", "A2"), names, np.array(list(rows), float), small_better)


@pytest.mark.parametrize(("task", "scheme"), list(GOLDEN))
def test_the_published_numbers_come_out(tasks, task, scheme):
    score, ranked = GOLDEN[task, scheme]
    found = rank(tasks[task], scheme)
    np.testing.assert_allclose(found.score, score, rtol=0, atol=1e-12)
    assert found.rank.tolist() == ranked


def test_a_tie_is_not_broken_by_rounding(tasks):
    """As a plain mean would: the last bit depends on the order of the cases."""
    worst = tasks["c_worstcase"]
    assert len(set(worst.values.mean(axis=0))) > 1 or len(set(np.add.reduce(worst.values))) > 1
    assert len(set(rank(worst).score)) == 1


def test_the_consensus_is_the_mean_of_ranks(tasks):
    found = consensus([rank(task) for task in tasks.values()])
    np.testing.assert_allclose(found.score, [1, 5 / 3, 3, 8 / 3, 10 / 3])
    assert found.rank.tolist() == [1, 2, 4, 3, 5]
    tied = consensus([rank(two([1], [2])), rank(two([2], [1]))])
    assert tied.rank.tolist() == [1.5, 1.5]
    with pytest.raises(ParameterError, match="same algorithms"):
        consensus([rank(tasks["c_ideal"]), rank(two([1], [2]))])


def test_significance_by_holm(tasks):
    holm = Scheme(TEST, adjust="holm")
    assert not significant(tasks["c_random"], holm).any()
    ideal = significant(tasks["c_ideal"], holm)
    assert np.array_equal(ideal, np.triu(np.ones((5, 5), bool), k=1))


# -- tests of pairs ------------------------------------------------------------------------------


def by_hand(difference):
    """The normal approximation as textbooks have it, with both corrections."""
    difference = difference[difference != 0]
    n = len(difference)
    r = stats.rankdata(np.abs(difference))
    ties = np.unique(r, return_counts=True)[1]
    variance = n * (n + 1) * (2 * n + 1) / 24 - (ties**3 - ties).sum() / 48
    z = (r[difference > 0].sum() - n * (n + 1) / 4 - 0.5) / math.sqrt(variance)
    return 0.5 * math.erfc(z / math.sqrt(2))


@pytest.mark.parametrize("task", ["c_ideal", "c_random", "c_worstcase"])
@pytest.mark.parametrize("small_better", [False, True])
def test_p_values_are_those_of_scipy_and_of_the_formula(tasks, task, small_better):
    values = tasks[task].values
    once = np.ones((1, len(values)))
    p = better(values, once, small_better=small_better)[0]
    assert np.isnan(p.diagonal()).all()
    for i in range(5):
        for j in range(5):
            if i != j:
                gain = values[:, j] - values[:, i] if small_better else values[:, i] - values[:, j]
                theirs = stats.wilcoxon(
                    gain, zero_method="wilcox", correction=True, alternative="greater",
                    method="asymptotic",
                ).pvalue  # fmt: skip
                assert p[i, j] == pytest.approx(theirs, abs=1e-12)
                assert p[i, j] == pytest.approx(by_hand(gain), abs=1e-12)


def test_p_values_of_a_resample_are_those_of_its_rows():
    rng = np.random.default_rng(2)
    values = rng.choice([0.0, 0.25, 0.5, 1.0], (12, 4))
    values[3, 1] = np.nan
    draws = rng.integers(12, size=(20, 12))
    counts = np.stack([np.bincount(draw, minlength=12) for draw in draws]).astype(float)
    together = better(values, counts, small_better=False)
    for draw, p in zip(draws, together, strict=True):
        alone = better(values[draw], np.ones((1, 12)), small_better=False)[0]
        np.testing.assert_allclose(p, alone, rtol=1e-12)


def test_the_score_of_tests_is_the_share_of_rivals_beaten(tasks):
    scheme = Scheme(TEST)
    found = significant(tasks["c_random"], scheme)
    assert rank(tasks["c_random"], scheme).score.tolist() == (found.sum(axis=1) / 4).tolist()
    assert found.any()


@pytest.mark.parametrize("method", ADJUSTMENTS)
def test_adjusted_p_values_are_those_of_statsmodels(method):
    from statsmodels.stats.multitest import multipletests

    names = {"hochberg": "simes-hochberg", "BH": "fdr_bh", "BY": "fdr_by"}
    rows = np.random.default_rng(4).random((5, 12)) ** 3
    rows[:, 3] = rows[:, 4]
    ours = adjusted(rows, method)
    for row, found in zip(rows, ours, strict=True):
        theirs = (
            row if method == "none" else multipletests(row, method=names.get(method, method))[1]
        )
        np.testing.assert_allclose(found, theirs, rtol=1e-12)


@pytest.mark.parametrize("method", ADJUSTMENTS)
def test_a_test_that_was_not_made_does_not_count(method):
    told = np.array([0.01, 0.04, 0.03])
    with_gap = adjusted(np.array([0.01, np.nan, 0.04, 0.03]), method)
    assert np.isnan(with_gap[1])
    np.testing.assert_allclose(np.delete(with_gap, 1), adjusted(told, method))


# -- the reference's own unit cases --------------------------------------------------------------


def test_one_case_is_ranked_by_its_value():
    assert rank(two([0.6], [0.8])).rank.tolist() == [1, 2]
    assert rank(two([0.6], [0.8], small_better=False)).rank.tolist() == [2, 1]
    assert rank(two([0.8], [0.8]), Scheme(ties="max")).rank.tolist() == [2, 2]


def test_four_cases_tell_two_algorithms_apart():
    found = rank(two([0.2] * 4, [1.0] * 4), Scheme(TEST))
    assert found.score.tolist() == [1.0, 0.0]
    assert found.rank.tolist() == [1, 2]


def test_one_case_tells_nothing_and_says_so():
    with pytest.warns(UserWarning, match="one case cannot tell"):
        found = rank(two([0.2], [1.0]), Scheme(TEST))
    assert found.rank.tolist() == [1, 1]


def test_equal_algorithms_are_not_significantly_better():
    assert rank(two([0.5] * 9, [0.5] * 9), Scheme(TEST)).score.tolist() == [0, 0]


@pytest.mark.parametrize("method", [AGGREGATE, TEST])
def test_a_missing_value_needs_a_rule(method):
    scores = two([0.2, 0.3], [np.nan, 1.0])
    with pytest.raises(ParameterError, match="1 values are missing, the first of algorithm 'A2'"):
        rank(scores, Scheme(method))


def test_rules_for_missing_values():
    gone = two([0.8], [np.nan])
    with_number = rank(gone, Scheme(missing=0.0))
    assert with_number.score.tolist() == [0.8, 0.0]
    assert with_number.rank.tolist() == [2, 1]
    omitted = rank(gone, Scheme(missing="omit"))
    assert omitted.rank[0] == 1
    assert np.isnan(omitted.rank[1])
    computed = rank(gone, Scheme(missing=lambda gaps: np.full(len(gaps), -1.0)))
    assert computed.score.tolist() == [0.8, -1.0]


def test_ranking_first_gives_a_missing_value_the_worst_rank_and_takes_no_rule():
    assert rank(two([np.nan, 0.5], [0.8, 0.8]), Scheme(RANK)).score.tolist() == [1.5, 1.5]
    with pytest.raises(ParameterError, match="worst rank; expected None"):
        Scheme(RANK, missing=0.0)


def test_what_is_omitted_leaves_the_mean_of_the_rest():
    scores = two([0.2, 0.4, 0.9], [np.nan, 0.5, 0.7])
    assert rank(scores, Scheme(missing="omit")).score.tolist() == pytest.approx([0.5, 0.6])
    medians = rank(scores, Scheme(aggregate="median", missing="omit")).score
    assert medians.tolist() == pytest.approx([0.4, 0.6])


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.5, 0.77, 1.0])
def test_quantiles_are_those_of_numpy(tasks, share):
    found = rank(tasks["c_random"], Scheme(aggregate=share)).score
    np.testing.assert_allclose(found, np.quantile(tasks["c_random"].values, share, axis=0))


@pytest.mark.parametrize(
    "scheme", [Scheme(), Scheme(aggregate="median"), Scheme(RANK), Scheme(TEST)]
)
def test_a_resample_is_ranked_as_if_it_were_the_data(tasks, scheme):
    scores = tasks["c_random"]
    draws = np.random.default_rng(5).integers(50, size=(10, 50))
    score, ranked = rank_draws(scores, scheme, draws)
    for draw, s, r in zip(draws, score, ranked, strict=True):
        alone = rank(
            Scores("", scores.algorithms, scores.cases, scores.values[draw], False), scheme
        )
        assert r.tolist() == alone.rank.tolist()
        np.testing.assert_allclose(s, alone.score, rtol=1e-15)


# -- tables --------------------------------------------------------------------------------------


def table(rows, columns=("task", "algorithm", "case", "value")):
    return pd.DataFrame(rows, columns=list(columns))


def test_a_long_table_is_read_task_by_task():
    rows = [("t", "B", 2, 0.1), ("t", "A", 1, 0.2), ("t", "B", 1, 0.3), ("u", "A", 1, 1.0)]
    found = scores_by_task(table(rows), small_better=True)
    assert list(found) == ["t", "u"]
    assert found["t"].algorithms == ("A", "B")
    assert found["t"].cases == ("1", "2")
    np.testing.assert_array_equal(found["t"].values, [[0.2, 0.3], [np.nan, 0.1]])
    assert found["t"].notes == ("task 't': 1 of 4 values are missing.",)
    assert not found["u"].notes


def test_a_table_that_cannot_be_ranked_is_refused():
    twice = [("t", "A", 1, 0.2), ("t", "A", 1, 0.3)]
    with pytest.raises(DataError, match=r"has two values for case '1'\. Are there several"):
        scores_by_task(table(twice), small_better=True)
    many = [("t", "A", n, 0.2) for n in range(20)] + [("t", "A", 3, 0.2)]
    with pytest.raises(DataError, match=r"'A' has two values for case '3'$"):
        scores_by_task(table(many), small_better=True)
    with pytest.raises(DataError, match="no column 'value'"):
        scores_by_task(table([("t", "A", 1)], ("task", "algorithm", "case")), small_better=True)
    with pytest.raises(DataError, match="values are not numbers"):
        scores_by_task(table([("t", "A", 1, "0.2")]), small_better=True)
    with pytest.raises(DataError, match="infinite"):
        scores_by_task(table([("t", "A", 1, np.inf)]), small_better=True)


def test_schemes_that_are_not_known_are_refused():
    with pytest.raises(ParameterError, match="no way to rank 'toss'"):
        Scheme("toss")
    with pytest.raises(ParameterError, match="no aggregate 'mode'"):
        Scheme(aggregate="mode")
    with pytest.raises(ParameterError, match="no adjustment of p-values 'fdr'"):
        Scheme(TEST, adjust="fdr")
    with pytest.raises(ParameterError, match="no rule for ties 'mean'; expected one of min"):
        Scheme(ties="mean")
