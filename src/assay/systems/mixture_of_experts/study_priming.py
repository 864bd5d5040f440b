"""The study `priming`: choices made without training, with and without demonstrations.

A dense decoder stands beside a sparse one of equal operations. Two experts cost a token more than
one feed-forward layer, so the dense one is a little wider: its operations for a token, by the
paper's count, are within 2 % of those of the sparse one.
"""

from typing import Any, NamedTuple

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset, assign
from assay.core.estimands import difference, mean
from assay.core.study import Study
from assay.core.workflow import Ref, Workflow
from assay.systems.mixture_of_experts.choices import story_choices
from assay.systems.mixture_of_experts.data import kind_tokens, shared_tokenizer, text_kinds
from assay.systems.mixture_of_experts.priming import gained, prime
from assay.systems.mixture_of_experts.train import pretrain

DENSE, SPARSE = "dense", "sparse"
SHAPES = {DENSE: {"experts": 0, "width": 144}, SPARSE: {"experts": 8, "width": 128}}
"""Parameters of `pretrain` that make the two; everything else is the same."""
TASKS = ["endings", "questions", "blanks"]
LEARNED = "endings"
"""The task of which a decoder of this size learns something from stories alone. In the others it
has to know what is true of whom, and a dense one at 1.2 million tokens guessed (one seed)."""
SHOTS = [1, 3]
ABSTRACT = "Artetxe et al. 2022, abstract"
NOTES = "public notes on Artetxe et al. 2022, whose text was not available"
OWN = "this study"
TINY: dict[str, Any] = {
    "texts.megabytes": 0.3,
    "fit.layers": 2,
    "fit.budget_tokens": 8_000,
    "task.train": 8,
    "task.test": 8,
}
"""What makes a study of the two decoders end within seconds."""


class Decoders(NamedTuple):
    """A workflow as far as decoders and tasks."""

    flow: Workflow
    model: Ref
    task: Ref


def decoders(name: str, tasks: list[str]) -> Decoders:
    """Stories, a decoder trained on them, and choices made from stories that it never saw.

    Studies that share it share the models, too, if they are run in one store.
    """
    flow = Workflow(name)
    texts = flow.step("texts", text_kinds, kinds=["stories"], held_out=[], megabytes=6.0)
    tokenizer = flow.step("tokenizer", shared_tokenizer, texts=texts, vocabulary=1500)
    made = flow.step("tokens", kind_tokens, texts=texts, tokenizer=tokenizer, validation_share=0.02)
    fit = flow.step(
        "fit", pretrain, tokens=made.tokens, tokenizer=tokenizer, length=512, batch=4,
        budget_tokens=700_000,
    )  # fmt: skip
    task = flow.each("task", story_choices, over={"name": tasks}, train=300, test=200)
    return Decoders(flow, fit.model, task)


def decoder_choices() -> dict[str, list[Any]]:
    """The decision between the two decoders."""
    return {
        name: [assign(f"fit.{parameter}", value) for parameter, value in shape.items()]
        for name, shape in SHAPES.items()
    }


def priming_workflow() -> Workflow:
    """Choices without demonstrations, after some of them, and what these add."""
    flow, model, task = decoders("priming", TASKS)
    zero = flow.each("zero", prime, model=model, task=task)
    few = flow.each("few", prime, model=model, task=task, over={"shots": SHOTS}, runs=1)
    flow.each("gains", gained, before=zero, after=few)
    return flow


def priming() -> Study:
    """Which of two decoders of equal cost makes better choices without being trained to?"""
    return Study(
        priming_workflow(),
        title="Does a sparse decoder pick more right options than a dense one of equal cost, and "
        "which of them learns from demonstrations?",
        decisions={"decoder": decoder_choices()},
        seeds=5,
        claims=_claims(),
        checks=[
            Check(
                id="K1",
                sentence="No prompt is longer than a model reads",
                source=f"{OWN}: otherwise demonstrations would be cut",
                measure="cut_prompts",
                equals=0.0,
            ),
        ],
        presets={
            "tiny": Preset(
                set=TINY,
                seeds=2,
                note="Two layers and 8 thousand tokens: proves the code path in under twenty "
                "seconds. Nothing has been learned by then.",
            ),
            "small": Preset(
                note="700 thousand tokens of stories for each of two decoders, three tasks of 200 "
                "examples, five seeds; estimated at 22 minutes of one core, half of that on two.",
            ),
        },
        figures="assay.systems.mixture_of_experts.figures_tasks:priming_figures",
    )


def _claims() -> list[Claim]:
    by_model = "examples are the sample, so the verdict is about the models of this run"
    return [
        Claim(
            id="Z1",
            sentence="Without demonstrations, a sparse decoder picks more right endings of stories "
            "than a dense one of equal operations",
            source=f"{ABSTRACT}: but for fine-tuning, sparse models are far more compute efficient",
            estimand=difference("accuracy", "decoder", SPARSE, DENSE, shots=0, task=LEARNED),
            direction="above",
        ),
        *(
            Claim(
                id=id,
                sentence=f"Without demonstrations, a {name} decoder picks more right endings of "
                "stories than guessing would",
                source=f"{OWN}: one that learned to follow a story does; {by_model}",
                estimand=mean("above_chance", decoder=name, shots=0, task=LEARNED),
                direction="above",
                unit=("seed", "item"),
            )
            for id, name in (("Z2", DENSE), ("Z3", SPARSE))
        ),
        Claim(
            id="Z4",
            sentence=f"{SHOTS[-1]} demonstrations add more right choices to a dense decoder than "
            "to a sparse one",
            source=f"{NOTES}; models of this size may learn nothing from demonstrations, see Z5",
            estimand=difference("gain", "decoder", DENSE, SPARSE, shots=SHOTS[-1]),
            direction="above",
        ),
        Claim(
            id="Z5",
            sentence=f"{SHOTS[-1]} demonstrations add right choices to a dense decoder",
            source=f"{OWN}: where they do not, Z4 compares nothing with nothing",
            estimand=mean("gain", decoder=DENSE, shots=SHOTS[-1]),
            direction="above",
        ),
    ]
