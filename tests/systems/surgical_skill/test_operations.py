"""Counts in operations whose every frame is known."""

import numpy as np
import pytest

from assay.errors import DataError
from assay.systems.surgical_skill.events import DROPS, METRICS, OUT_OF_VIEW
from assay.systems.surgical_skill.operations import (
    Counted,
    count,
    count_measures,
    simulated_operations,
)


@pytest.fixture(scope="module")
def operations():
    return simulated_operations(seen=9, unseen=6, cases_each=3, seconds=20.0, seed=4)


def measures(counted, metric):
    rows = [r for r in count_measures(counted) if r.get("metric") == metric]
    return {r["measure"]: r["value"] for r in rows}


def test_surgeons_of_the_two_parts_are_others_and_their_skills_spread(operations):
    seen, unseen = operations
    assert len(seen) == 9
    assert not {o.surgeon for o in seen} & {o.surgeon for o in unseen}
    skills = sorted({o.skill for o in seen})
    assert [int(3 * s) for s in skills] == [0, 1, 2]


@pytest.mark.parametrize("metric", [DROPS, OUT_OF_VIEW])
def test_rules_on_every_frame_count_what_was(operations, metric):
    found = measures(
        count([operations.seen], operations.unseen, counter="rules", fps=30, seed=1), metric
    )
    assert found["mae"] == 0.0
    assert found["exact_rate"] == 1.0


def test_the_median_of_what_is_known_is_the_same_for_all(operations):
    counted = count([operations.seen], operations.unseen, counter="training median", seed=1)
    truth = np.array([[o.truth[name] for name in METRICS] for o in operations.seen])
    assert (counted.given == np.median(truth, axis=0)).all()


def test_learned_counts_are_not_below_nought_and_repeat(operations):
    one, two = (
        count([operations.seen], operations.unseen, counter="learned", fps=10, seed=1)
        for _ in range(2)
    )
    assert (one.given >= 0).all()
    assert np.array_equal(one.given, two.given)
    assert len({tuple(row) for row in one.given.tolist()}) == 6


def test_frames_that_do_not_divide_are_refused(operations):
    with pytest.raises(DataError, match="7 of 30 frames a second"):
        count([operations.seen], operations.unseen, fps=7, seed=1)


def test_skill_is_related_to_what_happened_and_gaps_are_left_out():
    truth = np.array([[4.0, 0, 10.0], [2, 0, 8], [np.nan, 0, 7], [0, 0, 5]])
    counted = Counted(truth.copy(), truth, np.array([0.1, 0.4, 0.6, 0.9]))
    drops = measures(counted, DROPS)
    assert drops["skill_spearman"] == -1.0
    assert drops["cases"] == 3
    assert "skill_spearman" not in measures(counted, OUT_OF_VIEW)  # the same in all cases
