"""The study `noise_ablation`: which noise is worth what, at equal tokens."""

from typing import Any

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset, assign, use
from assay.core.estimands import difference, ratio
from assay.core.study import Study
from assay.core.workflow import Ref, Workflow
from assay.parts.text.packages import package_documentation
from assay.parts.text.stories import stories
from assay.parts.text.tasks import story_task
from assay.parts.text.tokenizer import bpe
from assay.parts.text.tokens import tokenize
from assay.systems.denoising.data import continuations
from assay.systems.denoising.evaluate import not_measured
from assay.systems.denoising.finetuning import finetune
from assay.systems.denoising.measuring import measure_task
from assay.systems.denoising.train import pretrain

NONE, CAUSAL = "no pre-training", "causal LM"
NOISES = {
    "token masking": "token_masking",
    "token deletion": "token_deletion",
    "text infilling": "text_infilling",
    "sentence permutation": "sentence_permutation",
    "document rotation": "document_rotation",
    "infilling + permutation": "infilling_and_permutation",
}
ON_DOCUMENTATION = ("token masking", "text infilling", "document rotation")
CAUSAL_RATE = 2e-3
"""Highest learning rate of the causal model, the best of four; see the limits on the paper card."""
EPOCHS = {
    "questions": 10,
    "summaries": 16,
    "order": 5,
    "continuation": 5,
    "jobs": 10,
    "spans": 10,
}
FROM_MEMORY = "attributed to Lewis et al. 2019 from memory, not checked against its text"


TASKS = ("questions", "summaries", "order")
TINY_SIZE = {"layers": 1, "width": 32, "heads": 2, "inner": 64}
NOTHING_CUT = Check(
    id="K1",
    sentence="No text is longer than a model reads",
    source="this study: otherwise not all would read the same",
    measure="cut_texts",
    equals=0.0,
)


def tiny_settings(tasks: tuple[str, ...]) -> dict[str, Any]:
    """What makes an ablation end within seconds."""
    return {
        "corpus.count": 300,
        "tokenizer.vocabulary": 600,
        "fit.size": TINY_SIZE,
        "fit.budget_tokens": 20_000,
        **{f"{task}.train": 20 for task in tasks},
        **{f"{task}.test": 20 for task in tasks},
        **{f"tuned_{task}.epochs": 1 for task in tasks},
    }


def ablation_workflow(name: str, tasks: tuple[str, ...]) -> Workflow:
    """Stories, a model pre-trained on them, and the same model fine-tuned on each task."""
    flow = Workflow(name)
    corpus = flow.step("corpus", stories, count=20_000)
    tokenizer = flow.step("tokenizer", bpe, corpus=corpus, vocabulary=1500)
    tokens = flow.step("tokens", tokenize, corpus=corpus, tokenizer=tokenizer)
    fit = flow.step("fit", pretrain, tokens=tokens.train, tokenizer=tokenizer, positions=512)
    for each in tasks:
        task = flow.step(each, story_task, name=each)
        given = {"tokenizer": tokenizer, "task": task}
        tuned = flow.step(f"tuned_{each}", finetune, model=fit.model, **given, epochs=EPOCHS[each])
        flow.step(f"measured_{each}", measure_task, model=tuned.model, **given)
    return flow


def noise_workflow() -> Workflow:
    """The ablation on stories, and a shorter one on documentation for the choices that ask it."""
    flow = ablation_workflow("noise_ablation", TASKS)
    corpus = flow.step("prose", package_documentation, megabytes=6.0)
    tokenizer = flow.step("prose_tokenizer", bpe, corpus=corpus)
    tokens = flow.step("prose_tokens", tokenize, corpus=corpus, tokenizer=tokenizer)
    flow.step("prose_task", continuations, tokens=tokens.validation, tokenizer=tokenizer)
    for name in ("prose_fit", "tuned_prose", "measured_prose"):
        flow.step(name, not_measured)  # see `_on_documentation`
    return flow


def _on_documentation(noise: str) -> list[Any]:
    """What a choice adds to be compared on documentation, too."""
    given: dict[str, Any] = {"tokenizer": Ref("prose_tokenizer"), "task": Ref("prose_task")}
    return [
        use("prose_fit", pretrain, tokens=Ref("prose_tokens", "train"),
            tokenizer=Ref("prose_tokenizer"), noise=noise),
        use("tuned_prose", finetune, model=Ref("prose_fit", "model"), **given, epochs=3),
        use("measured_prose", measure_task, model=Ref("tuned_prose", "model"), **given),
    ]  # fmt: skip


def noise_ablation() -> Study:
    """Six noises, a causal model and no pre-training, on questions, summaries and order."""
    return Study(
        noise_workflow(),
        title="Which noise teaches a model most, at equal numbers of tokens?",
        decisions={"noise": {name: _patches(name) for name in (NONE, *NOISES, CAUSAL)}},
        seeds=5,
        claims=_claims(),
        checks=[NOTHING_CUT],
        presets={
            "tiny": Preset(
                set={
                    **tiny_settings(TASKS),
                    "prose.megabytes": 0.2,
                    "prose_tokenizer.vocabulary": 600,
                    "prose_fit.size": TINY_SIZE,
                    "prose_fit.budget_tokens": 20_000,
                    "prose_tokens.validation_share": 0.3,
                    "prose_task.train": 20,
                    "prose_task.test": 20,
                },
                only={"noise": [NONE, ROTATION, CAUSAL]},
                seeds=2,
                note="Three rows at 20 thousand tokens: proves the code path in under twenty "
                "seconds. Nothing has been learned by then.",
            ),
            "small": Preset(
                set={"prose_fit.budget_tokens": 750_000, "prose_tokens.validation_share": 0.15},
                note="Eight rows at 1.5 million tokens and three on documentation at half of that, "
                "five seeds; about an hour on two cores.",
            ),
        },
        figures="assay.systems.denoising.figures_ablation:noise_figures",
    )


def _patches(name: str) -> list[Any]:
    """What one choice changes in the workflow."""
    if name == NONE:
        return [assign("fit.train", False)]
    if name == CAUSAL:
        return [assign("fit.objective", "causal_lm"), assign("fit.rate", CAUSAL_RATE)]
    noise = NOISES[name]
    more = _on_documentation(noise) if name in ON_DOCUMENTATION else []
    return [assign("fit.noise", noise), *more]


INFILLING, ROTATION, PERMUTATION = "text infilling", "document rotation", "sentence permutation"
BOTH = "infilling + permutation"
OWN = "this study"
ESSENTIAL = f"this study; that rotation or permutation alone do poorly is {FROM_MEMORY}"
MORE_RIGHT = [
    ("N1", "questions", INFILLING, NONE, 0.0, OWN,
     "Pre-training by text infilling answers more questions than none"),
    ("N2", "summaries", INFILLING, ROTATION, 0.0, ESSENTIAL,
     "From sixty examples, text infilling writes more summaries exactly than document rotation"),
    ("N3", "summaries", INFILLING, PERMUTATION, 0.0, ESSENTIAL,
     "From sixty examples, text infilling writes more summaries exactly than sentence permutation"),
    ("N4", "questions", INFILLING, ROTATION, 0.0, ESSENTIAL,
     "Text infilling answers more questions than document rotation"),
    ("N5", "questions", INFILLING, PERMUTATION, 0.0, ESSENTIAL,
     "Text infilling answers more questions than sentence permutation"),
    ("N6", "questions", INFILLING, "token masking", -0.05, OWN,
     "Text infilling answers at most five in a hundred questions fewer than token masking"),
    ("N7", "summaries", BOTH, INFILLING, -0.05, OWN,
     "Infilling with permutation writes at most five in a hundred summaries fewer exactly than "
     "infilling alone"),
    ("N8", "questions", INFILLING, CAUSAL, 0.0,
     f"this study; that bidirectional encoders matter for answers is {FROM_MEMORY}",
     "Text infilling answers more questions than a causal language model of equal size"),
]  # fmt: skip
"""Claims that one row has more examples right: id, task, the two rows, margin, source, sentence."""
LOWER_PERPLEXITY = [
    ("N9", "order", PERMUTATION, INFILLING, OWN,
     "Sentence permutation restores the order of sentences with a lower perplexity than text "
     "infilling"),
    ("N10", "documentation", INFILLING, ROTATION, ESSENTIAL,
     "On documentation, text infilling continues a text with a lower perplexity than document "
     "rotation"),
]  # fmt: skip


def _claims() -> list[Claim]:
    more = [
        Claim(
            id=id,
            sentence=sentence,
            source=source,
            estimand=difference("em", "noise", a, b, task=task),
            direction="above",
            margin=margin,
        )
        for id, task, a, b, margin, source, sentence in MORE_RIGHT
    ]
    lower = [
        Claim(
            id=id,
            sentence=sentence,
            source=source,
            estimand=ratio("perplexity", "noise", a, b, task=task),
            direction="below",
        )
        for id, task, a, b, source, sentence in LOWER_PERPLEXITY
    ]
    return more + lower
