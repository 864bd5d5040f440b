"""The study `finetuning`: its claims pair what belongs together, and its table says the same."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from assay.core.claims import judge_claim
from assay.systems.mixture_of_experts.choices import marked
from assay.systems.mixture_of_experts.figures_tasks import (
    finetuning_figures,
    right_by_way,
    tuned_rows,
    tuning_loss,
)
from assay.systems.mixture_of_experts.finetuning import TUNED
from assay.systems.mixture_of_experts.priming import gained
from assay.systems.mixture_of_experts.study_finetuning import finetuning
from assay.systems.mixture_of_experts.study_priming import DENSE, SPARSE

TASKS = {"endings": 1 / 3, "questions": 1 / 2}
CLASSES = 10


def told(right, seeds=5, items=30, draw=0):
    """Records of a run in which ``right(decoder, way, chance)`` is how often one is right."""
    random, frames = np.random.default_rng(draw), []

    def answers(decoder, trained, chance, /, **keys):
        picked = (random.random(items) < right(decoder, trained, chance)).astype(float)
        return marked(picked, np.full(items, chance), **keys)

    for seed in range(seeds):
        for decoder in (DENSE, SPARSE):
            parts = []
            for task, chance in TASKS.items():
                zero = answers(decoder, "zero", chance, task=task, shots=0)
                tuned = answers(decoder, TUNED, chance, task=task, way=TUNED)
                parts += [("zero", zero), ("measured", tuned), ("gains", gained(zero, tuned))]
            told_apart = answers(decoder, TUNED, 1 / CLASSES, task="garments", way=TUNED)
            parts.append(("measured_classes", told_apart))
            keys = {"decoder": decoder, "seed": seed, "trial": 2 * seed + (decoder == SPARSE)}
            frames += [part.frame().assign(step=step, **keys) for step, part in parts]
    return pd.concat(frames, ignore_index=True)


def verdicts(records):
    return {claim.id: judge_claim(claim, records) for claim in finetuning().claims}


def test_claims_hold_where_their_effect_is_and_fail_where_its_reverse_is():
    def right(decoder, way, chance):
        return {DENSE: (0.3, 0.8), SPARSE: (0.5, 0.2)}[decoder][way == TUNED]

    def reverse(decoder, way, chance):
        return {DENSE: (0.5, 0.2), SPARSE: (0.3, 0.8)}[decoder][way == TUNED]

    for rule, word in ((right, "holds"), (reverse, "fails")):
        found = verdicts(told(rule, items=300))
        assert {verdict.verdict for verdict in found.values()} == {word}
        assert all(verdict.n == 5 for verdict in found.values())  # seeds, however many examples


def test_claims_do_not_hold_where_there_is_nothing():
    """Five seeds of guessing: each claim may err in 2.5 of 100 runs; six of 40 are beyond it."""
    draws = [verdicts(told(lambda *_: _[2], draw=draw)) for draw in range(40)]
    for claim in finetuning().claims:
        found = [each[claim.id].verdict for each in draws]
        assert found.count("holds") <= 5
        assert found.count("not tested") <= 2  # all seeds alike


def test_effects_are_those_of_the_examples_by_hand():
    records = told(lambda decoder, way, chance: 0.5, items=30, draw=3)
    correct = records[records["measure"] == "correct"]
    tuned = correct["way"] == TUNED

    def share(decoder, which, *tasks):
        rows = correct[which & (correct["decoder"] == decoder) & correct["task"].isin(tasks)]
        return rows["value"].mean()

    both = ("endings", "questions")
    gain = {d: share(d, tuned, *both) - share(d, ~tuned, *both) for d in (DENSE, SPARSE)}
    found = {id: verdict.effect for id, verdict in verdicts(records).items()}

    assert found["F1"] == pytest.approx(gain[DENSE])
    assert found["F2"] == pytest.approx(gain[DENSE] - gain[SPARSE])
    assert found["F3"] == pytest.approx(
        share(SPARSE, tuned, "endings") - share(SPARSE, ~tuned, "endings")
    )
    every = (*both, "garments")
    assert found["F4"] == pytest.approx(share(DENSE, tuned, *every) - share(SPARSE, tuned, *every))


# -- figures ------------------------------------------------------------------------------------


def test_the_table_has_what_was_right_without_training_and_with_it():
    records = told(lambda decoder, way, chance: float(way == TUNED) if decoder == DENSE else 1.0)
    rows = tuned_rows(records).set_index(["task", "decoder"])

    assert len(rows) == 6
    dense = rows.loc[("endings", DENSE)]
    assert (dense["zero-shot"], dense[TUNED], dense["gain"]) == (0.0, 1.0, 1.0)
    assert rows.loc[("questions", SPARSE), "gain"] == 0.0
    assert rows.loc[("questions", SPARSE), "chance"] == 0.5
    assert rows.loc[("garments", DENSE)][["zero-shot", "gain"]].isna().all()
    assert rows.loc[("garments", DENSE), TUNED] == 1.0


def test_ways_are_drawn_task_by_task():
    data = right_by_way(SimpleNamespace(records=told(lambda *_: 0.5))).data

    assert len(data) == 2 * 2 * 2 + 2
    assert set(data.loc[data["task"] == "garments", "way"]) == {TUNED}


def test_losses_of_fine_tuning_are_apart_from_those_of_training():
    records = told(lambda *_: 0.5)
    curves = pd.DataFrame(
        {"measure": "training_loss", "value": value, "unit": "1", "training_step": at, "step": step,
         "task": task, "decoder": DENSE, "seed": 0, "trial": 0}
        for at in (1, 2)
        for step, task, value in (
            ("fit", None, 9.0), ("tuned", "endings", 1.0), ("tuned_classes", "garments", 3.0),
        )
    )  # fmt: skip
    both = SimpleNamespace(records=pd.concat([records, curves], ignore_index=True))
    data = tuning_loss(both).data

    assert dict(zip(data["trained"], data["mean"], strict=False)) == {
        "dense, endings": 1.0,
        "dense, garments": 3.0,
    }
    shown = [len(list(finetuning_figures(r))) for r in (both, SimpleNamespace(records=records))]
    assert shown == [3, 2]


# -- the whole ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_at_tiny_leaves_what_the_claims_ask_for(tmp_path):
    run = finetuning().run("tiny", store=tmp_path, workers=0, progress=False)
    excuses = [verdict.reason for verdict in verdicts(run.records).values()]

    assert run.ok, run.summary["errors"]
    assert all(check["passed"] for check in run.checks)
    assert all(not reason or reason.startswith("all ") for reason in excuses), excuses
    counts = run.records.groupby("measure")["value"].size()
    assert counts["accuracy"] == 2 * 2 * (2 + 1)  # decoders, seeds, tasks and ways
    assert counts["gain"] == 2 * 2 * 8
