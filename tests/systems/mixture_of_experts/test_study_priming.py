"""The study `priming`: equal costs, examples in common, and claims that tell noise from effects."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from assay.core.claims import judge_claim
from assay.core.records import Records
from assay.errors import DataError
from assay.systems.mixture_of_experts.choices import marked
from assay.systems.mixture_of_experts.costs import Shape, training_flops
from assay.systems.mixture_of_experts.figures_tasks import (
    gain_by_shots,
    priming_figures,
    right_by_shots,
)
from assay.systems.mixture_of_experts.priming import gained
from assay.systems.mixture_of_experts.study_finetuning import finetuning
from assay.systems.mixture_of_experts.study_priming import DENSE, SHAPES, SPARSE, priming

TASKS = {"endings": 1 / 3, "questions": 1 / 2}


def told(right, seeds=5, items=30, draw=0):
    """Records of a run in which ``right(decoder, shots, chance)`` is how often one is right."""
    random, frames = np.random.default_rng(draw), []
    for seed in range(seeds):
        for decoder in (DENSE, SPARSE):
            for task, chance in TASKS.items():
                found = {}
                for shots in (0, 1, 3):
                    picked = (random.random(items) < right(decoder, shots, chance)).astype(float)
                    found[shots] = marked(picked, np.full(items, chance), task=task, shots=shots)
                parts = [("zero", found[0]), *(("few", found[k]) for k in (1, 3))]
                parts += [("gains", gained(found[0], found[k])) for k in (1, 3)]
                keys = {"decoder": decoder, "seed": seed, "trial": 2 * seed + (decoder == SPARSE)}
                frames += [part.frame().assign(step=step, **keys) for step, part in parts]
    return pd.concat(frames, ignore_index=True)


def verdicts(study, records):
    return {claim.id: judge_claim(claim, records).verdict for claim in study.claims}


def test_marks_are_by_example_and_over_all():
    records = marked(np.array([1.0, 0.5]), np.array([0.5, 0.25]), task="t")
    rows = [(r["measure"], r["value"], r.get("item")) for r in records]

    assert rows == [
        ("correct", 1.0, 0), ("above_chance", 0.5, 0), ("correct", 0.5, 1),
        ("above_chance", 0.25, 1), ("accuracy", 0.75, None), ("chance", 0.375, None),
    ]  # fmt: skip
    assert {row["task"] for row in records} == {"t"}


def test_a_gain_is_example_by_example_with_the_keys_of_what_came_after():
    before = marked(np.array([1.0, 0.0, 0.0]), np.full(3, 0.5), task="t", shots=0)
    after = marked(np.array([0.5, 1.0, 0.0]), np.full(3, 0.5), task="t", shots=3)
    found = gained(before, after)

    assert [row["value"] for row in found] == [-0.5, 1.0, 0.0]
    assert [(r["measure"], r["task"], r["shots"], r["item"]) for r in found] == [
        ("gain", "t", 3, k) for k in range(3)
    ]
    with pytest.raises(DataError, match="1 examples on one side only"):
        gained(before, Records(row for row in after if row.get("item") != 2))


def test_the_two_decoders_cost_a_token_alike_by_the_papers_count():
    flops = [
        training_flops(
            Shape(layers=4, width=shape["width"], inner=4 * shape["width"], heads=4,
                  vocabulary=1094, length=512, experts=shape["experts"]),
            10**6,
        )
        for shape in (SHAPES[DENSE], SHAPES[SPARSE])
    ]  # fmt: skip
    assert flops[0] == pytest.approx(flops[1], rel=0.02)


@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_decoders_meet_the_same_examples_and_studies_the_same_decoders(preset):
    mine, other = (study().plan(preset) for study in (priming, finetuning))
    dense, sparse = mine.trials[0], next(
        t for t in mine.trials if t.choices["decoder"] == SPARSE and t.seed == mine.trials[0].seed
    )  # fmt: skip
    assert dense.choices["decoder"] == DENSE
    assert dense.nodes["task"] == sparse.nodes["task"]
    assert dense.nodes["tokens"] == sparse.nodes["tokens"]
    assert dense.nodes["fit"] != sparse.nodes["fit"]
    demonstrations = [
        [mine.nodes[node].params["seed"] for node in trial.nodes["few"].values()]
        for trial in (dense, sparse)
    ]
    assert demonstrations[0] == demonstrations[1]
    shared = {trial.nodes["fit"][()] for trial in other.trials}
    assert shared == {trial.nodes["fit"][()] for trial in mine.trials}
    assert set(other.trials[0].nodes["zero"].values()) < set(dense.nodes["zero"].values())


def test_claims_hold_where_their_effect_is_and_fail_where_its_reverse_is():
    def right(decoder, shots, chance):
        base = chance + (0.4 if decoder == SPARSE else 0.1)
        return base + (0.25 if decoder == DENSE else 0.0) * (shots / 3)

    def reverse(decoder, shots, chance):
        base = chance - (0.3 if decoder == SPARSE else 0.0)
        return base + (0.3 if decoder == SPARSE else -0.25) * (shots / 3)

    assert set(verdicts(priming(), told(right, items=300)).values()) == {"holds"}
    reversed_ = verdicts(priming(), told(reverse, items=300))
    assert {reversed_[k] for k in ("Z1", "Z3", "Z4", "Z5")} == {"fails"}


def test_claims_do_not_hold_where_there_is_nothing():
    """Five seeds of guessing: each claim may err in 2.5 of 100 runs; six of 40 are beyond it."""
    draws = [verdicts(priming(), told(lambda *_: _[2], draw=draw)) for draw in range(40)]
    for claim in priming().claims:
        found = [verdict[claim.id] for verdict in draws]
        assert found.count("holds") <= 5
        assert found.count("not tested") <= 2  # all seeds alike


def test_without_the_most_demonstrations_what_they_add_is_not_tested():
    records = told(lambda *_: 0.5)
    found = verdicts(priming(), records[records["shots"] < 3])

    assert {k for k, verdict in found.items() if verdict == "not tested"} == {"Z4", "Z5"}


# -- figures ------------------------------------------------------------------------------------


def test_right_choices_are_drawn_by_task_beside_the_chance():
    records = told(lambda decoder, shots, chance: 1.0 if decoder == SPARSE else 0.0)
    chart = right_by_shots(SimpleNamespace(records=records))
    data = chart.data.set_index(["task", "decoder", "shots"])

    assert len(data) == 2 * 2 * 3
    assert data.loc[("endings", SPARSE, 1), "mean"] == 1.0
    assert data.loc[("questions", DENSE, 3), "mean"] == 0.0
    assert data.loc[("endings", DENSE, 0), "chance"] == pytest.approx(1 / 3)
    assert chart.chart.to_dict()["facet"]["sort"] == ["endings", "questions"]


def test_gains_are_drawn_by_task_demonstrations_and_decoder():
    chart = gain_by_shots(SimpleNamespace(records=told(lambda d, shots, c: float(shots == 3))))
    data = chart.data.set_index(["task", "shots", "decoder"])["mean"]

    assert (data.xs(3, level="shots") == 1.0).all()
    assert (data.xs(1, level="shots") == 0.0).all()
    assert len(data) == 8


def test_figures_are_those_of_what_was_measured():
    records = told(lambda *_: 0.5)
    zero = records[records["step"] == "zero"]
    count = [len(list(priming_figures(SimpleNamespace(records=r)))) for r in (records, zero)]

    assert count == [2, 1]


# -- the whole ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_at_tiny_leaves_what_the_claims_ask_for(tmp_path):
    run = priming().run("tiny", store=tmp_path, workers=0, progress=False)
    excuses = [v.reason for v in map(lambda c: judge_claim(c, run.records), priming().claims)]

    assert run.ok, run.summary["errors"]
    assert all(check["passed"] for check in run.checks)
    assert all(not reason or reason.startswith("all ") for reason in excuses), excuses
    counts = run.records.groupby("measure")["value"].size()
    assert counts["accuracy"] == 2 * 2 * 3 * 3  # decoders, seeds, tasks, shots
    assert counts["gain"] == 2 * 2 * 3 * 2 * 8
