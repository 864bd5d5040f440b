"""The study `finetuning`: the decoders of `priming`, trained on tasks, beside their zero shot."""

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset
from assay.core.estimands import difference, mean
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.mixture_of_experts.choices import story_garments
from assay.systems.mixture_of_experts.finetuning import TUNED, finetune, measure_tuned
from assay.systems.mixture_of_experts.priming import gained, prime
from assay.systems.mixture_of_experts.study_priming import (
    DENSE,
    NOTES,
    OWN,
    SPARSE,
    TINY,
    decoder_choices,
    decoders,
)

TASKS = ["endings"]
EXCEPT = "Artetxe et al. 2022, abstract: sparse models are more efficient but for fine-tuning"


def finetuning_workflow() -> Workflow:
    """Choices without training and after it, what it adds, and classes, which need training."""
    flow, model, task = decoders("finetuning", TASKS)
    zero = flow.each("zero", prime, model=model, task=task)
    tuned = flow.each("tuned", finetune, model=model, task=task)
    after = flow.each("measured", measure_tuned, model=tuned.model, task=task)
    flow.each("gains", gained, before=zero, after=after)
    classes = flow.step("classes", story_garments)
    reader = flow.step("tuned_classes", finetune, model=model, task=classes, epochs=6)
    flow.step("measured_classes", measure_tuned, model=reader.model, task=classes)
    return flow


def finetuning() -> Study:
    """Which of two decoders of equal cost gains more from being trained on a task?"""
    return Study(
        finetuning_workflow(),
        title="Does fine-tuning help a dense decoder, and a sparse one of equal cost less?",
        decisions={"decoder": decoder_choices()},
        seeds=5,
        claims=_claims(),
        checks=[
            Check(
                id="K1",
                sentence="No text is longer than a model reads",
                source=f"{OWN}: otherwise models would learn from the ends of texts",
                measure="cut_texts",
                equals=0.0,
            ),
        ],
        presets={
            "tiny": Preset(
                set=TINY
                | {
                    "tuned.epochs": 1,
                    "classes.train": 12,
                    "classes.test": 8,
                    "tuned_classes.epochs": 1,
                },
                seeds=2,
                note="Two layers, 8 thousand tokens and one pass over a dozen examples: proves the "
                "code path in under twenty seconds. Nothing has been learned by then.",
            ),
            "small": Preset(
                note="700 thousand tokens of stories for each of two decoders, then 300 examples "
                "of each of two tasks, five seeds; estimated at 27 minutes of one core, half of "
                "that on two, and 10 if `priming` was run at small in the same store: the models "
                "are the same.",
            ),
        },
        figures="assay.systems.mixture_of_experts.figures_tasks:finetuning_figures",
    )


def _claims() -> list[Claim]:
    return [
        Claim(
            id="F1",
            sentence="Fine-tuning adds right choices to a dense decoder",
            source=NOTES,
            estimand=mean("gain", decoder=DENSE),
            direction="above",
        ),
        Claim(
            id="F2",
            sentence="Fine-tuning adds more right choices to a dense decoder than to a sparse one "
            "of equal operations",
            source=f"{EXCEPT}; and {NOTES}",
            estimand=difference("gain", "decoder", DENSE, SPARSE),
            direction="above",
        ),
        Claim(
            id="F3",
            sentence="Fine-tuned on endings, a sparse decoder picks fewer right than it did before",
            source=f"{NOTES}: so it was on some tasks",
            estimand=mean("gain", decoder=SPARSE, task="endings"),
            direction="below",
        ),
        Claim(
            id="F4",
            sentence="Fine-tuned, a dense decoder answers more rightly than a sparse one of equal "
            "operations, over endings of stories and classes of stories",
            source=f"{EXCEPT}; and {NOTES}",
            estimand=difference("accuracy", "decoder", DENSE, SPARSE, way=TUNED),
            direction="above",
        ),
    ]
