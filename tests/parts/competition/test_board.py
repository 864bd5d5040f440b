"""The board: who is first, who is not ranked and why, and that nothing else changes it."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.parts.competition.board import Entry, make_board
from assay.parts.competition.scoring import BY_CASE, OVERALL, Scored
from parts.competition.hosted import hosted

CASES = ("case_1", "case_2", "case_3")
METRICS = (
    ("tools", "average_precision", False),
    ("tools", "average_precision_per_video", False),
    ("skill", "drops.absolute_error", True),
    ("skill", "drops.spearman", False),
    ("skill", "path.log_absolute_error", True),
)
BY_CASES = (METRICS[1], METRICS[2], METRICS[4])


def scored(level=0.5, *, missing=(), lacking="", unknown=()):
    """Scores that are better the larger the level is, on every metric and case."""
    gap = dict.fromkeys(unknown, math.nan)
    by_case = [
        (task, name, case, gap.get(case, (1 - level if small else level) + n / 100),
         case in missing)
        for task, name, small in BY_CASES
        for n, case in enumerate(CASES)
    ]  # fmt: skip
    overall = [
        (task, name, math.nan if name == lacking else 1 - level if small else level, small, 3,
         len(missing), "no prediction at all" if name == lacking else "", False)
        for task, name, small in METRICS
    ]  # fmt: skip
    return Scored(pd.DataFrame(by_case, columns=BY_CASE), pd.DataFrame(overall, columns=OVERALL))


def entry(name, level=0.5, **more):
    return Entry(name, f"team {name}", "a method", scored(level, **more))


def board(*entries, **ranking):
    challenge = hosted()
    rule = challenge.ranking.model_copy(update=ranking)
    return make_board(challenge.model_copy(update={"ranking": rule}), list(entries))


def places(found):
    told = found.table.dropna(subset=["place"])
    return dict(zip(told["entry"], told["place"], strict=True))


@pytest.mark.parametrize(
    "method", ["aggregate-then-rank", "rank-then-aggregate", "test-then-rank", "overall"]
)
@pytest.mark.parametrize("consensus", ["mean-rank", "none"])
def test_the_best_on_everything_is_first(method, consensus):
    found = board(entry("a", 0.2), entry("b", 0.9), entry("c", 0.4), method=method,
                  consensus=consensus)  # fmt: skip
    if method == "test-then-rank" and consensus == "none":
        assert places(found) == {"b": 1, "c": 2, "a": 3}  # by the pooled precision
    assert places(found)["b"] == 1
    assert found.table["entry"].iloc[0] == "b"
    assert found.table["reason"].eq("").all()


def test_equal_entries_share_their_place_by_the_rule_for_ties():
    three = (entry("a", 0.5), entry("b", 0.5), entry("c", 0.1))
    assert places(board(*three)) == {"a": 1, "b": 1, "c": 3}
    assert places(board(*three, ties="max")) == {"a": 2, "b": 2, "c": 3}


def test_who_lacks_a_metric_is_not_ranked_however_good_the_rest():
    found = board(entry("a", 0.1), entry("z", 0.99, lacking="drops.spearman"))
    assert places(found) == {"a": 1}
    last = found.table.iloc[-1]
    assert last["entry"] == "z"
    assert last["reason"] == "not ranked: skill drops.spearman: no prediction at all"
    assert math.isnan(last["place"])
    assert found.rankings["skill drops.spearman"].algorithms == ("a",)


def test_the_refused_and_the_organisers_own_stand_below():
    refused = Entry("r", "team r", "", None, "refused, manifest.json: is not there [missing_file]")
    own = replace(entry("o", 0.99), host=True)
    found = board(refused, entry("a", 0.1), own)
    assert places(found) == {"a": 1}
    reasons = dict(zip(found.table["entry"], found.table["reason"], strict=True))
    assert reasons["r"].startswith("not ranked: refused, manifest.json")
    assert reasons["o"] == "not ranked: the organisers' own"
    assert found.table["tools average_precision"].tolist()[1] == 0.99  # scored all the same


@given(
    st.lists(st.sampled_from([0.1, 0.3, 0.5, 0.9]), min_size=1, max_size=5),
    st.lists(st.booleans(), min_size=5, max_size=5),
    st.randoms(),
)
def test_no_entry_without_a_score_has_a_place_or_changes_one(levels, broken, chance):
    entries = [
        entry(f"e{n}", level, lacking="drops.spearman" if bad else "")
        for n, (level, bad) in enumerate(zip(levels, broken, strict=False))
    ]
    found = board(*entries)
    told = found.table.set_index("entry")
    for each, bad in zip(entries, broken, strict=False):
        assert math.isnan(told.loc[each.name, "place"]) == bad
    whole = [each for each, bad in zip(entries, broken, strict=False) if not bad]
    assert places(board(*whole)) == places(found)
    chance.shuffle(entries)
    assert board(*entries).table.to_csv() == found.table.to_csv()


def test_a_board_without_any_ranked_entry_is_a_table_all_the_same():
    found = board(entry("z", lacking="drops.spearman"))
    assert places(found) == {}
    assert len(found.table) == 1
    assert len(board().table) == 0


def test_cases_without_a_truth_do_not_count():
    found = board(entry("a", 0.2, unknown=("case_2",)), entry("b", 0.4, unknown=("case_2",)))
    assert found.scores["skill drops.absolute_error"].cases == ("case_1", "case_3")
    assert places(found) == {"b": 1, "a": 2}


@pytest.mark.parametrize(("rule", "value"), [("worst", 0.51), (7.0, 7.0), ("na.rm", math.nan)])
def test_what_stands_for_a_missing_prediction_is_said_by_the_challenge(rule, value):
    found = board(entry("a", 0.5, missing=("case_2",)), entry("b", 0.2), missing=rule)
    values = found.scores["skill drops.absolute_error"].values
    assert values[1, 0] == pytest.approx(value, nan_ok=True)
    assert not np.isnan(values[:, 1]).any()
    assert len(places(found)) == 2
