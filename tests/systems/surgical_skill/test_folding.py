"""Folds: what they keep together, that they part everything, and what they refuse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import DataError, ParameterError
from assay.systems.surgical_skill.folding import deal, part

SURGEONS = np.repeat(np.arange(12), [3, 4, 5, 6] * 3)
CASES = np.arange(len(SURGEONS)) + 100
CASE, SURGEON = np.repeat(CASES, 4), np.repeat(SURGEONS, 4)
"""Four frames of each case."""


def test_a_surgeon_is_in_one_fold_with_all_cases_and_frames():
    folds = deal(CASE, SURGEON, count=4, seed=1)

    assert all(len(set(folds.of_frame[SURGEON == one])) == 1 for one in range(12))
    assert all(len(set(folds.of_case[SURGEONS == one])) == 1 for one in range(12))
    assert np.array_equal(folds.of_frame, np.repeat(folds.of_case, 4))
    sizes = np.bincount(folds.of_case)
    assert len(sizes) == 4
    assert np.ptp(sizes) <= 3


def test_other_seeds_deal_otherwise_and_the_same_seed_alike():
    one, again, other = (deal(CASE, SURGEON, count=4, seed=n).of_case for n in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_by_case_surgeons_are_parted_and_by_frame_cases_too():
    by_case = deal(CASE, SURGEON, count=3, grouping="case", seed=1).of_frame
    assert all(len(set(by_case[one == CASE])) == 1 for one in CASES)
    assert any(len(set(by_case[one == SURGEON])) > 1 for one in range(12))
    by_frame = deal(CASE, SURGEON, count=3, grouping="frame", seed=1).of_frame
    assert any(len(set(by_frame[one == CASE])) > 1 for one in CASES)
    assert np.ptp(np.bincount(by_frame)) <= 1


def test_a_case_of_nobody_known_stands_for_itself():
    surgeon = np.array([-1, -1, -1, 2, 2])
    folds = deal(np.arange(5), surgeon, count=4, seed=0)
    assert folds.of_case[3] == folds.of_case[4]
    assert len(set(folds.of_case.tolist())) == 4


@given(st.sampled_from(["surgeon", "case", "frame"]), st.integers(2, 6), st.integers(0, 99))
def test_every_frame_and_case_is_held_once_and_never_trained_on_then(grouping, count, seed):
    folds = deal(CASE, SURGEON, count=count, grouping=grouping, seed=seed)
    parts = [part(folds, fold=k) for k in range(count)]

    for one in parts:
        assert not set(one.train.tolist()) & set(one.held.tolist())
        assert len(one.train) + len(one.held) == len(CASE)
    assert sorted(np.concatenate([one.held for one in parts])) == list(range(len(CASE)))
    assert sorted(np.concatenate([one.cases for one in parts])) == CASES.tolist()


def test_what_cannot_be_dealt_is_refused():
    with pytest.raises(DataError, match="3 folds of 2 surgeons; expected 2 to 2"):
        deal(np.arange(3), np.array([1, 1, 2]), count=3, seed=0)
    with pytest.raises(ParameterError, match="fold 4 of 4"):
        part(deal(CASE, SURGEON, count=4, seed=1), fold=4)
