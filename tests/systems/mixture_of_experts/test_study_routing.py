"""One thing changed at a time, and pairs of models that can be compared."""

import numpy as np
import pandas as pd
import pytest

from assay.core.claims import judge_claim
from assay.parts.text.stories import story
from assay.systems.mixture_of_experts.data import kind_tokens, shared_tokenizer, text_kinds
from assay.systems.mixture_of_experts.evaluate import perplexities
from assay.systems.mixture_of_experts.figures_studies import relative_perplexity
from assay.systems.mixture_of_experts.held_out import held_out
from assay.systems.mixture_of_experts.study_routing import (
    CHANGES,
    DEFAULT,
    FEW,
    MANY,
    NO_LIMIT,
    NONE,
    routing,
)
from assay.systems.mixture_of_experts.train import pretrain

SMALL = {"width": 16, "layers": 2, "heads": 2, "length": 32, "batch": 4, "seed": 3}
MEASURED = {"rows": 4, "length": 32}


def values(records, measure, **keys):
    rows = [row for row in records if row["measure"] == measure]
    return [r["value"] for r in rows if all(r[k] == v for k, v in keys.items())]


def test_a_choice_changes_what_it_says_and_nothing_else():
    plan = routing().plan("small", seeds=1)
    fits = {}
    for trial in plan.trials:
        [node] = trial.nodes["fit"].values()
        fits[trial.choices["routing"]] = dict(plan.nodes[node].params)
    base = fits[DEFAULT]

    assert list(fits) == list(CHANGES)
    assert {name: {k: v for k, v in given.items() if v != base[k]} for name, given in fits.items()} == CHANGES  # fmt: skip # noqa: E501
    assert (base["second"], base["choices"], base["capacity_factor"]) == ("all", 2, 1.0)


@pytest.fixture(scope="module")
def kinds(step, tmp_path_factory):
    """Tokens and tokenizer of a kind trained on and one held out."""
    mine = tmp_path_factory.mktemp("mine")
    for name, seed in (("tales", 1), ("reports", 2)):
        (mine / name).mkdir()
        for k in range(40):
            (mine / name / f"{k}.txt").write_text(story(seed, k).text)
    texts = step("texts", text_kinds, path=mine, held_out=["reports"])
    tokenizer = step("tokenizer", shared_tokenizer, texts, vocabulary=400)
    return step("tokens", kind_tokens, texts, tokenizer, validation_share=0.3).tokens, tokenizer


@pytest.fixture(scope="module")
def measured(step, kinds):
    """What is measured of models that differ in the number of experts, or in their places."""
    found = {}
    for name, more in (
        (FEW, {"experts": 2}),
        (MANY, {"experts": 4}),
        (NO_LIMIT, {"experts": 4, "capacity_factor": None}),
        ("few places", {"experts": 4, "capacity_factor": 0.25}),
    ):
        made = step(name, pretrain, *kinds, **SMALL, budget_tokens=256, **more)
        found[name] = made.model, step(f"{name} measured", held_out, made.model, kinds[0],
                                       **MEASURED)  # fmt: skip
    return found


def test_what_is_measured_is_perplexity_without_the_name_of_the_model(step, kinds, measured):
    model, records = measured[FEW]
    other = step("perplexities", perplexities, model, kinds[0], **MEASURED).records

    for measure in ("perplexity", "log_perplexity"):
        assert values(records, measure) == values(other, measure)
    assert not any({"model", "family"} & {*row} for row in records)


def test_places_are_what_is_turned_away_for(measured):
    none, many = (measured[name][1] for name in (NO_LIMIT, "few places"))

    assert values(none, "held_out_overflow_first") == [0.0]
    assert values(none, "held_out_overflow_second") == [0.0]
    assert values(many, "held_out_overflow_second")[0] > 0.3
    assert values(many, "held_out_max_load")[0] >= 1.0


def test_models_with_different_numbers_of_experts_can_be_compared(measured):
    [claim] = [claim for claim in routing().claims if claim.id == "R7"]
    frames = [
        measured[name][1].frame().assign(routing=name, seed=seed, trial=seed)
        for seed in range(2)
        for name in (FEW, MANY)
    ]
    frame = pd.concat(frames, ignore_index=True)
    seeds = frame["measure"].eq("perplexity") & frame["seed"].eq(1) & frame["routing"].eq(MANY)
    frame.loc[seeds, "value"] *= 1.001  # or both seeds would be the same

    verdict = judge_claim(claim, frame)

    assert verdict.n == 2
    assert not verdict.reason
    sides = [values(measured[name][1], "perplexity", domain="in")[0] for name in (MANY, FEW)]
    expected = np.exp(np.log(sides[0] / sides[1]) + np.log(1.001) / 2) - 1
    assert verdict.effect == pytest.approx(expected)


@pytest.mark.parametrize(("better", "verdict"), [(DEFAULT, "holds"), (NONE, "fails")])
def test_the_claim_of_balance_goes_by_the_load(better, verdict):
    [claim] = [claim for claim in routing().claims if claim.id == "R9"]
    rows = [
        {"measure": "held_out_max_load", "unit": "1", "layer": layer, "routing": name,
         "seed": seed, "trial": seed,
         "value": 2.0 - 0.5 * (name == better) + 0.01 * seed * (name == NONE)}
        for layer in (1, 3) for name in (DEFAULT, NONE) for seed in range(3)
    ]  # fmt: skip

    assert judge_claim(claim, pd.DataFrame(rows)).verdict == verdict


def test_perplexity_is_drawn_beside_that_of_the_same_seed():
    rows = [
        {"measure": "log_perplexity", "routing": name, "seed": seed, "domain": domain,
         "text_kind": kind, "value": 3.0 + seed + more}
        for name, more in ((DEFAULT, 0.0), (MANY, -0.1), (FEW, 0.2))
        for seed in range(2)
        for domain, kind in (("in", "a"), ("in", "b"), ("out", "c"))
    ]  # fmt: skip
    found = relative_perplexity(pd.DataFrame(rows), "routing", DEFAULT)

    assert {*found["routing"]} == {MANY, FEW}
    assert {*found["kinds"]} == {"trained on", "held out"}
    at = found.groupby("routing")["value"]
    assert at.min()[MANY] == pytest.approx(at.max()[MANY]) == pytest.approx(100 * np.expm1(-0.1))
    assert at.max()[FEW] == pytest.approx(100 * np.expm1(0.2))
