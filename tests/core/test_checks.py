"""Checks: every record, every trial, and the worst one by name."""

import numpy as np
import pandas as pd
import pytest

from assay import Check, judge
from assay.core.claims import Monotone
from assay.errors import ClaimError


def check(**stated):
    return Check(id="K1", sentence="it is so", source="arithmetic", measure="error", **stated)


def records(*values, measure="error", **keys):
    """One record per value; a key is one value for all, or a list."""
    table = pd.DataFrame({"measure": measure, "value": list(values), "unit": "1", "step": "flood"})
    return table.assign(**{"seed": range(len(values)), **keys, "trial": range(len(values))})


def result(made, *frames):
    return judge([], [made], pd.concat(frames, ignore_index=True))[1][0]


@pytest.mark.parametrize(
    ("stated", "values", "passed"),
    [
        ({"at_most": 1.0}, [0.0, 1.0], True),
        ({"at_most": 1.0}, [0.0, 1.0 + 1e-12], False),
        ({"at_most": 1.0}, [0.0, np.inf], False),
        ({"at_least": 0.0}, [0.0, 5.0], True),
        ({"at_least": 0.0}, [0.0, -1e-12], False),
        ({"at_least": 0.0}, [0.0, -np.inf], False),
        ({"at_least": 0.0}, [0.0, np.inf], True),
        ({"at_least": 0.0, "at_most": 1.0}, [0.0, 0.5, 1.0], True),
        ({"at_least": 0.0, "at_most": 1.0}, [0.5, -0.1], False),
        ({"at_least": 0.0, "at_most": 1.0}, [0.5, 1.1], False),
        ({"equals": 2.0}, [2.0, 2.0], True),
        ({"equals": 2.0}, [2.0, 2.0 + 1e-12], False),
        ({"equals": 2.0, "tolerance": 0.1}, [1.95, 2.05], True),
        ({"equals": 2.0, "tolerance": 0.1}, [1.95, 2.2], False),
        ({"equals": 2.0, "tolerance": 0.1}, [1.95, 1.8], False),
        ({"at_most": 1.0}, [0.0, np.nan], False),
        ({"at_least": 1.0}, [2.0, np.nan], False),
        ({"equals": 1.0}, [1.0, np.nan], False),
        ({"equals": 1.0, "tolerance": 9.0}, [np.nan], False),
    ],
)
def test_a_statement_is_true_of_every_record_or_fails(stated, values, passed):
    found = result(check(**stated), records(*values))

    assert (found.passed, found.n) == (passed, len(values))


def test_the_worst_record_is_named():
    found = result(check(at_most=1.0), records(0.5, 3.0, 2.0, storm=[2, 100.0, 50], size=None))

    assert found.text == (
        "Fails: in 2 of 3 records error is not at most 1; "
        "the worst is 3 at step flood, seed 1, storm 100."
    )


def test_a_value_that_is_not_a_number_is_the_worst():
    found = result(check(at_most=1.0), records(5.0, np.nan))

    assert found.text.endswith("in 2 of 2 records error is not at most 1; the worst is nan at "
                               "step flood, seed 1.")  # fmt: skip


def test_a_check_that_passes_says_of_how_many_records():
    assert result(check(at_most=9.0), records(1.0, 2.0)).text == "Passes in all 2 records."
    assert result(check(at_most=9.0), records(1.0)).text == "Passes in the one record."


def test_only_the_records_asked_for_are_looked_at():
    other = records(99.0, measure="loss")
    frames = records(5.0, 0.0, case=["hard", "easy"]), other

    assert result(check(at_most=1.0, where={"case": "easy"}), *frames).passed
    assert not result(check(at_most=1.0, where={"case": "hard"}), *frames).passed


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (Check(id="K", sentence="", source="", measure="gain", at_most=1), "no record of 'gain'"),
        (check(at_most=1.0, where={"case": "odd"}), "no record of 'error' has case odd"),
        (check(monotone=Monotone(along="storm")), "lack the key 'storm'"),
        (check(monotone=Monotone(along="step")), "'step' is not a number in every record"),
        (check(monotone=Monotone(along="size")), "no two records of 'error' differ in 'size' al"),
    ],
)
def test_what_cannot_be_looked_at_is_neither_passed_nor_failed(made, said):
    found = result(made, records(1.0, 2.0, size=[1, 2]))  # the seeds differ too

    assert (found.passed, found.n) == (None, 0)
    assert said in found.text


# -- monotone -----------------------------------------------------------------------------------


def ladder(*values, **keys):
    """A record per value along 1, 2, 3 ... of the key `storm`, of one seed."""
    return records(*values, **{"seed": 0, "storm": range(1, len(values) + 1), **keys})


RISES = check(monotone=Monotone(along="storm"))
FALLS = check(monotone=Monotone(along="storm", order="non-increasing"))


@pytest.mark.parametrize(
    ("made", "values", "passed"),
    [
        (RISES, [1.0, 1.0, 2.0], True),
        (RISES, [1.0, 2.0, 1.9], False),
        (FALLS, [2.0, 2.0, 1.0], True),
        (FALLS, [2.0, 1.0, 1.1], False),
        (RISES, [1.0, np.inf], True),
        (RISES, [1.0, np.nan, 2.0], False),
        (RISES, [np.nan, 1.0], False),
        (check(monotone=Monotone(along="storm", tolerance=0.2)), [1.0, 2.0, 1.9], True),
        (check(monotone=Monotone(along="storm", tolerance=0.05)), [1.0, 2.0, 1.9], False),
    ],
)
def test_a_measure_is_monotone_along_a_key_or_fails(made, values, passed):
    assert result(made, ladder(*values)).passed is passed


def test_the_order_of_the_records_does_not_matter():
    shuffled = ladder(1.0, 2.0, 3.0, 4.0).sample(frac=1.0, random_state=1)

    assert result(RISES, shuffled).passed


def test_the_key_is_ordered_as_numbers_also_where_it_came_back_as_text():
    assert result(RISES, ladder(1.0, 2.0, 3.0, storm=["2", "10", "100"])).passed


def test_groups_are_kept_apart_by_all_other_keys():
    """Each falls from seed to seed and from choice to choice, but rises along the key."""
    frames = [
        ladder(10.0 * k, 10.0 * k + 1, seed=seed, model=model, case=case)
        for k, (seed, model, case) in enumerate(
            [(1, "b", "y"), (1, "a", "y"), (0, "b", None), (0, "a", None)]
        )
    ]

    assert result(RISES, *frames).passed
    assert not result(RISES, *[f.drop(columns="model") for f in frames]).passed


def test_a_decision_may_be_the_key():
    """The trial differs with it, and does not keep the records apart."""
    assert not result(RISES, ladder(2.0, 1.0, storm=[0.02, 0.05], trial=[0, 1])).passed


def test_records_that_share_a_place_are_compared_at_their_worst():
    assert result(RISES, ladder(1.0, 2.0, 2.0, 3.0, storm=[1, 1, 2, 2])).passed
    assert not result(RISES, ladder(1.0, 3.0, 2.0, 4.0, storm=[1, 1, 2, 2])).passed


def test_the_worst_step_is_named():
    found = result(RISES, ladder(1.0, 0.5, 3.0, 1.0, storm=[2, 10, 50, 100], seed=7))

    assert found.text == (
        "Fails: error falls in 2 of 3 steps, most by 2 at step flood, seed 7, storm 100."
    )


def test_a_missing_value_in_a_ladder_is_named():
    found = result(RISES, ladder(1.0, np.nan, 3.0))

    assert found.text == "Fails: error is nan at step flood, seed 0, storm 2."


# -- what states nothing ------------------------------------------------------------------------


def test_a_check_that_states_nothing_is_refused():
    with pytest.raises(ClaimError, match="check 'K1': states nothing; expected at_most"):
        check()


@pytest.mark.parametrize(
    "stated",
    [{"equals": 1, "tolerance": -0.1}, {"atmost": 1}, {"at_most": np.nan}, {"equals": np.inf}],
)
def test_plain_data_that_is_no_check_is_refused(stated):
    data = {"id": "K1", "sentence": "s", "source": "x", "measure": "m", **stated}

    with pytest.raises(ClaimError, match="check 'K1'"):
        Check.from_dict(data)


def test_a_check_survives_plain_data():
    made = check(monotone=Monotone(along="storm"), where={"case": 1})

    assert Check.from_dict(made.to_dict()) == made
