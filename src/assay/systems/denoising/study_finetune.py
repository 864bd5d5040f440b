"""The study `finetune`: what pre-training is worth on tasks of three kinds, or on one's own."""

from typing import Any

from assay.core.claims import Claim
from assay.core.decisions import Preset, assign
from assay.core.estimands import difference
from assay.core.study import Study
from assay.systems.denoising.study_noise_ablation import (
    NONE,
    NOTHING_CUT,
    ablation_workflow,
    tiny_settings,
)

PRETRAINED = "pre-trained"
TASKS = ("questions", "jobs", "spans")
KINDS = {"questions": "em", "jobs": "accuracy", "spans": "em"}


def finetune() -> Study:
    """Written answers, classes and spans, from a pre-trained BART and from random weights."""
    return Study(
        ablation_workflow("finetune", TASKS),
        title="What is pre-training worth on written answers, classes and spans?",
        decisions={
            "start": {
                PRETRAINED: [assign("fit.noise", "text_infilling")],
                NONE: [assign("fit.train", False)],
            }
        },
        seeds=5,
        claims=[_more(f"T{k}", task, said) for k, (task, said) in enumerate(SAID.items(), 1)],
        checks=[NOTHING_CUT],
        presets={
            "tiny": Preset(
                set=tiny_settings(TASKS),
                seeds=2,
                only={"start": [NONE]},
                note="Random weights and twenty examples: proves the code path in under twenty "
                "seconds.",
            ),
            "small": Preset(
                note="1.5 million tokens, then three tasks, five seeds; about half an hour on two "
                "cores.",
            ),
        },
        figures="assay.systems.denoising.figures_ablation:finetune_figures",
    )


SAID = {
    "questions": "Pre-training answers more questions in words",
    "jobs": "Pre-training tells more jobs of a character",
    "spans": "Pre-training finds more answers as spans of the text",
}


def _more(id: str, task: str, sentence: str) -> Claim:
    made: Any = difference(KINDS[task], "start", PRETRAINED, NONE, task=task)
    return Claim(id=id, sentence=sentence, source="this study", estimand=made, direction="above")
