"""The study `objective_ablation`: objectives compared at equal tokens and about equal size."""

from typing import Any

from assay.core.claims import Claim
from assay.core.decisions import Preset, assign
from assay.core.estimands import difference, ratio
from assay.core.study import Study
from assay.systems.denoising.study_noise_ablation import (
    CAUSAL,
    CAUSAL_RATE,
    FROM_MEMORY,
    NOTHING_CUT,
    ablation_workflow,
    tiny_settings,
)

TASKS = ("questions", "summaries", "continuation")
MASKED, DENOISING = "masked LM", "denoising"
OBJECTIVES = {
    CAUSAL: "causal_lm",
    "permuted LM": "permuted_lm",
    MASKED: "masked_lm",
    "multitask masked LM": "multitask_masked_lm",
    "masked seq2seq": "masked_seq2seq",
    "span corruption": "span_corruption",
    DENOISING: "denoising",
}


def objective_ablation() -> Study:
    """Seven objectives, fine-tuned on questions, summaries and continuation."""
    return Study(
        ablation_workflow("objective_ablation", TASKS),
        title="Which objective prepares a model best for which task, at equal numbers of tokens?",
        decisions={"objective": {name: _patches(name) for name in OBJECTIVES}},
        seeds=3,
        claims=_claims(),
        checks=[NOTHING_CUT],
        presets={
            "tiny": Preset(
                set=tiny_settings(TASKS),
                only={"objective": [CAUSAL, MASKED, DENOISING]},
                seeds=1,
                note="Three objectives at 20 thousand tokens: proves the code path in under "
                "twenty seconds. Nothing has been learned by then.",
            ),
            "small": Preset(
                note="Seven objectives at 1.5 million tokens, three seeds; most of an hour on two "
                "cores.",
            ),
        },
        figures="assay.systems.denoising.figures_ablation:objective_figures",
    )


def _patches(name: str) -> list[Any]:
    found = [assign("fit.objective", OBJECTIVES[name]), assign("fit.noise", "text_infilling")]
    return [*found, assign("fit.rate", CAUSAL_RATE)] if name == CAUSAL else found


def _claims() -> list[Claim]:
    return [
        Claim(
            id="O1",
            sentence="Denoising answers more questions than a causal language model",
            source=f"this study; that bidirectional encoders matter for answers is {FROM_MEMORY}",
            estimand=difference("em", "objective", DENOISING, CAUSAL, task="questions"),
            direction="above",
        ),
        Claim(
            id="O2",
            sentence="A causal language model writes summaries with a lower perplexity than a "
            "masked one",
            source=f"this study; that left-to-right pre-training helps generation is {FROM_MEMORY}",
            estimand=ratio("perplexity", "objective", CAUSAL, MASKED, task="summaries"),
            direction="below",
        ),
        Claim(
            id="O3",
            sentence="A causal language model continues a story from its first sentence with a "
            "lower perplexity than denoising",
            source="this study; that a language model is best where the input hardly constrains "
            f"the output is {FROM_MEMORY}",
            estimand=ratio("perplexity", "objective", CAUSAL, DENOISING, task="continuation"),
            direction="below",
        ),
        Claim(
            id="O4",
            sentence="Denoising answers more questions than masked sequence-to-sequence",
            source="this study",
            estimand=difference("em", "objective", DENOISING, "masked seq2seq", task="questions"),
            direction="above",
        ),
    ]
