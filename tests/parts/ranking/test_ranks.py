"""Ranks: ties and missing values, by every rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from assay.errors import ParameterError
from assay.parts.ranking.ranks import TIES, ranks

GAP = np.nan


def of(values, ties="min", small_better=True):
    return ranks(
        np.array(values, float), small_better=small_better, ties=ties, rng=np.random.default_rng(0)
    ).tolist()


@pytest.mark.parametrize("ties", TIES)
def test_without_ties_all_rules_agree(ties):
    assert of([0.6, 0.8, 0.1], ties) == [2, 3, 1]
    assert of([0.6, 0.8, 0.1], ties, small_better=False) == [2, 1, 3]


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 7.0]), min_size=1, max_size=9))
def test_ties_are_those_of_scipy(values):
    theirs = {"min": "min", "max": "max", "average": "average", "first": "ordinal"}
    for ties, method in theirs.items():
        assert of(values, ties) == rankdata(values, method=method).tolist()


def test_equal_values_have_the_ranks_of_the_reference():
    assert of([0.8, 0.8]) == [1, 1]
    assert of([0.8, 0.8], "max") == [2, 2]


def test_random_ties_are_an_order_and_each_order_comes():
    seen = set()
    rng = np.random.default_rng(3)
    for _ in range(60):
        found = ranks(np.array([2.0, 1.0, 2.0]), small_better=True, ties="random", rng=rng)
        assert found[1] == 1
        seen.add(tuple(found))
    assert seen == {(2.0, 1.0, 3.0), (3.0, 1.0, 2.0)}


@pytest.mark.parametrize(
    ("ties", "expected"),
    [
        ("min", [1, 2, 1, 2]),  # behind the largest rank that was given, which is 1
        ("average", [1.5, 3.0, 1.5, 3.0]),
        ("max", [2, 4, 2, 4]),
        ("first", [1, 3, 2, 4]),
    ],
)
def test_what_is_missing_comes_last(ties, expected):
    assert of([0.5, GAP, 0.5, GAP], ties) == expected


def test_what_is_missing_shares_the_last_rank_where_ties_are_random():
    first, second, third, fourth = of([0.5, GAP, 0.5, GAP], "random")
    assert {first, third} == {1, 2}
    assert second == fourth == 3


def test_where_all_are_missing_all_are_first():
    assert of([GAP, GAP, GAP]) == [1, 1, 1]


def test_rows_are_ranked_by_themselves():
    rows = np.array([[1.0, 2.0], [5.0, 3.0]])
    assert ranks(rows, small_better=True).tolist() == [[1, 2], [2, 1]]


def test_a_rule_that_is_not_known_and_chance_without_a_generator_are_refused():
    with pytest.raises(ParameterError, match="no rule 'mean' for ties; expected one of min"):
        ranks(np.zeros(2), small_better=True, ties="mean")
    with pytest.raises(ParameterError, match="without a generator"):
        ranks(np.zeros(2), small_better=True, ties="random")
