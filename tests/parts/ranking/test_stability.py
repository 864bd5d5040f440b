"""Stability: rankings on cases drawn anew, against the published summaries and scipy's tau."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from assay.errors import DataError
from assay.parts.ranking.example_tasks import example_tasks
from assay.parts.ranking.schemes import METHODS, Scheme, rank
from assay.parts.ranking.scores import Scores
from assay.parts.ranking.stability import case_draws, kendall, rank_counts, stability

SCHEMES = [Scheme(), Scheme(aggregate="median"), Scheme(METHODS[1]), Scheme(METHODS[2])]


@pytest.fixture(scope="module")
def tasks():
    return example_tasks()


def test_an_ideal_ranking_never_changes(tasks):
    found = stability(tasks["c_ideal"], Scheme())
    assert (found.tau == 1).all()
    assert found.first_share.tolist() == [1, 0, 0, 0, 0]
    assert found.interval.tolist() == [[1, 2, 3, 4, 5]] * 2


def test_a_random_one_changes_as_published(tasks):
    """Published: mean 0.511 of 1,000 draws, quartiles 0.4, 0.6 and 0.8."""
    found = stability(tasks["c_random"], Scheme(), seed=1)
    error = found.tau.std() / np.sqrt(1000)
    assert abs(found.tau.mean() - 0.511) < 4 * np.sqrt(2) * error  # both were drawn
    assert np.percentile(found.tau, [25, 50, 75]).tolist() == pytest.approx([0.4, 0.6, 0.8])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_where_all_are_equal_there_is_no_tau(tasks, scheme):
    found = stability(tasks["c_worstcase"], scheme, draws=100)
    assert np.isnan(found.tau).all()
    assert found.ranking.rank.tolist() == [1] * 5


def test_two_runs_agree_and_the_same_seed_repeats(tasks):
    one, two, again = (stability(tasks["c_random"], Scheme(), seed=s) for s in (1, 2, 1))
    share = (one.first_share + two.first_share) / 2
    error = np.sqrt(2 * share * (1 - share) / 1000)
    assert (np.abs(one.first_share - two.first_share) <= 4 * error + 1e-9).all()
    assert one.first_share.sum() >= 1
    assert not np.array_equal(one.ranks, two.ranks)
    assert np.array_equal(one.ranks, again.ranks)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_resamples_can_be_given(tasks, scheme):
    scores = tasks["c_random"]
    drawn = case_draws(50, 20, np.random.default_rng(9))
    found = stability(scores, scheme, drawn=drawn)
    for draw, ranked in zip(drawn, found.ranks, strict=True):
        alone = Scores("", scores.algorithms, scores.cases, scores.values[draw], False)
        assert rank(alone, scheme).rank.tolist() == ranked.tolist()


def test_tau_is_that_of_scipy():
    rng = np.random.default_rng(6)
    rows = rng.integers(1, 5, (40, 6)).astype(float)
    reference = rng.integers(1, 4, 6).astype(float)
    for row, tau in zip(rows, kendall(rows, reference), strict=True):
        assert tau == pytest.approx(kendalltau(row, reference).statistic, nan_ok=True)
    missing = rows.copy()
    missing[:, 2] = np.nan
    np.testing.assert_allclose(
        kendall(missing, reference), kendall(np.delete(rows, 2, 1), np.delete(reference, 2))
    )


def test_ranks_are_counted():
    rows = np.array([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0], [1.5, 1.5, 3.0]])
    assert rank_counts(rows).tolist() == [[3, 1, 0], [0, 1, 1], [0, 1, 2]]


@pytest.mark.parametrize(
    ("shape", "said"), [((1, 3), "has one case"), ((3, 1), "has one algorithm")]
)
def test_what_cannot_be_drawn_anew_is_refused(shape, said):
    names = tuple("abc")
    scores = Scores("T", names[: shape[1]], names[: shape[0]], np.zeros(shape), True)
    with pytest.raises(DataError, match=said):
        stability(scores, Scheme())
