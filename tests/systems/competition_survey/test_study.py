"""The studies as they are wired, and the components that judge the analysis."""

import json
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest

from assay.core.artifacts import decode, encode
from assay.systems.competition_survey import SYSTEM
from assay.systems.competition_survey.evaluate import aggregated, recovered, strategies_found
from assay.systems.competition_survey.instrument import Instrument, ready_made
from assay.systems.competition_survey.published import published


def values(records, measure: str, **keys) -> list[float]:
    return [r["value"] for r in records if r["measure"] == measure and keys.items() <= r.items()]


def test_an_instrument_has_the_same_hash_after_it_was_stored():
    made = ready_made("participation")

    again = decode(json.loads(json.dumps(encode(made))), Instrument)

    assert again == made
    assert again.hash == made.hash


@pytest.mark.parametrize("name", SYSTEM.studies)
def test_presets_plan_and_small_is_larger_than_tiny(name):
    study = SYSTEM.study(name)

    tiny, small = study.plan("tiny"), study.plan("small")

    assert len(tiny.trials) < len(small.trials)


def test_the_survey_is_drawn_once_for_both_models():
    plan = SYSTEM.study("winners").plan("tiny", seeds=1)

    surveys = {node for trial in plan.trials for node in trial.nodes["survey"].values()}
    assert len(plan.trials) == 4
    assert len(surveys) == 2


def test_recovery_is_zero_where_the_analysis_gives_the_truth():
    figures = [f for f in published() if f.kind == "share"]
    shares = pd.DataFrame(
        [
            {"question": f.question, "option": f.option, "base": 100, "base_in_words": "all teams",
             "share": 1 - f.value if f.negated else f.value, "median": 0.5, "low": 0.0,
             "high": 0.001, "cluster_low": 0.0, "cluster_high": 1.0}
            for f in figures
        ]
    )  # fmt: skip
    numbers = pd.DataFrame(
        [{"question": "hours_dev", "median": 88.0, "low": 1.0, "high": 2.0, "n": 9,
          "base_in_words": "all teams", "competition_median": 80.0}]
    )  # fmt: skip
    summary = pd.DataFrame([{"share": "responding", "median": 0.7, "k": 5}])
    truth = pd.DataFrame([(f.id, f.value) for f in published()], columns=["figure", "value"])

    made = list(recovered(truth, shares, numbers, summary))

    assert values(made, "share_error") == pytest.approx([0.0] * len(figures))
    assert set(values(made, "covered", interval="competitions")) == {1.0}
    assert set(values(made, "covered", interval="wilson")) == {0.0}
    assert values(made, "relative_error") == pytest.approx([0.1])
    assert values(made, "participation_error") == pytest.approx([-0.02])


def test_pooled_and_median_agree_where_all_competitions_are_alike_and_large():
    made = list(aggregated(marginal=0.5, sd=0.0, link=0.0, competitions=400, repeats=50, seed=1))

    assert values(made, "pooled") == pytest.approx([0.5], abs=0.01)
    assert values(made, "gap")[0] < 0.03


def test_found_and_false_strategies_are_told_apart():
    table = pd.DataFrame(
        {"strategy": ["a", "b", "c"], "found": [True, False, True], "effect": [0.2, 0.1, np.nan]}
    )

    made = list(strategies_found(table, planted={"a": 1.0, "b": 1.0}))

    assert values(made, "found", strategy="a") == [1.0]
    assert values(made, "found", strategy="b") == [0.0]
    assert values(made, "any_false") == [1.0]
    assert values(made, "unfitted") == [1.0]
    assert values(list(strategies_found(table.iloc[:2], planted={"a": 1.0})), "any_false") == [0.0]


def test_the_claim_on_shares_speaks_of_errors_that_may_cancel():
    """Half of the shares ten points too high and half too low is what the claim allows."""
    (claim,) = [c for c in SYSTEM.study("practice").claims if c.id == "P1"]
    card = (files("assay.systems.competition_survey") / "README.md").read_text(encoding="utf-8")

    assert (claim.direction, claim.margin) == ("within", 0.01)
    assert claim.sentence == (
        "On average over the published shares, pooled shares are neither too high nor too low by "
        "a point"
    )
    assert claim.sentence in card
