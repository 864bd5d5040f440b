"""The study `cost`: what the published models cost, and what a step costs on this machine."""

from typing import Any

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset, use
from assay.core.estimands import ratio
from assay.core.study import Study
from assay.core.workflow import Ref, Workflow
from assay.systems.mixture_of_experts.data import kind_tokens, shared_tokenizer, text_kinds
from assay.systems.mixture_of_experts.pairs import not_asked, paired_costs
from assay.systems.mixture_of_experts.published import published_models

PUBLISHED, HERE = "published", "built here"
WIDTHS, EXPERTS = [128, 256], [8, 32]
OWN = "this study"
CARD = "model card of the paper's authors"
TABLE = "table of the models in a public repository"


def cost_workflow() -> Workflow:
    """Text to take steps on, and the places of what each choice counts."""
    flow = Workflow("cost")
    texts = flow.step("texts", text_kinds, kinds=["prose", "code"], held_out=[], megabytes=0.5)
    flow.step("tokenizer", shared_tokenizer, texts=texts, vocabulary=2048)
    for name in ("tokens", "counted", "pairs"):
        flow.step(name, not_asked)  # see `_choices`
    return flow


def cost() -> Study:
    """What does a sparse model cost: operations counted, operations computed, and seconds?"""
    return Study(
        cost_workflow(),
        title="What do dense and sparse models cost in operations, memory, storage and seconds?",
        decisions={"models": _choices()},
        seeds=5,
        claims=_claims(),
        checks=_checks(),
        presets={
            "tiny": Preset(
                set={
                    "texts.megabytes": 0.05,
                    "tokenizer.vocabulary": 512,
                    "pairs.widths": [16],
                    "pairs.layers": 2,
                    "pairs.heads": 2,
                    "pairs.length": 32,
                    "pairs.batch": 8,
                    "pairs.steps": 3,
                },
                seeds=2,
                note="All published models, and a pair 16 wide, whose seconds tell nothing of "
                "larger ones; a few seconds.",
            ),
            "small": Preset(
                note="All published models; on this machine dense models beside eight and "
                "thirty-two experts, 128 and 256 wide, a dozen steps each, five seeds; about five "
                "minutes of one core. Let nothing else run meanwhile.",
            ),
            "paper": Preset(
                only={"models": [PUBLISHED]},
                seeds=1,
                note="The ten published models, 125 million to 1.1 trillion parameters, built "
                "without memory for their weights and counted at 300 billion tokens; seconds.",
            ),
        },
        figures="assay.systems.mixture_of_experts.figures_studies:cost_figures",
    )


def _choices() -> dict[str, list[Any]]:
    """What is counted: the published models, or models built and timed on this machine."""
    words = {"tokenizer": Ref("tokenizer")}
    return {
        PUBLISHED: [use("counted", published_models)],
        HERE: [
            use("tokens", kind_tokens, texts=Ref("texts"), **words),
            use("pairs", paired_costs, tokens=Ref("tokens", "tokens"), **words,
                widths=WIDTHS, experts=EXPERTS),
        ],
    }  # fmt: skip


def _claims() -> list[Claim]:
    said = [
        ("F1", "step_seconds", 8, 0.5,
         "A step of training with eight experts takes at most half as long again as that of a "
         "dense model of equal operations, on the machine of the run"),
        ("F2", "step_seconds", 32, 1.0,
         "A step of training with thirty-two experts takes at most twice as long as that of a "
         "dense model of equal operations, on the machine of the run"),
        ("F3", "step_flops_computed", 8, 0.1,
         "The router and the rows that fill up add at most a tenth to the operations of a step "
         "with eight experts"),
    ]  # fmt: skip
    return [
        Claim(
            id=id,
            sentence=sentence,
            source=f"{OWN}; what a user would still accept",
            estimand=ratio(measure, "family", "sparse", "dense", experts=experts),
            direction="below",
            margin=margin,
        )
        for id, measure, experts, margin, sentence in said
    ]


def _checks() -> list[Check]:
    said = [
        ("K1", "parameter_error", 0.0, "exact statement",
         "The published models, when they are built, have the parameters that the formula counts"),
        ("K2", "published_parameter_error", 0.01, CARD,
         "The published sparse models have the parameters they are reported to have, within 1 %"),
        ("K3", "closed_form_error", 1e-9, "exact statement",
         "Counted layer by layer, their training takes the operations of the paper's formula"),
        ("K4", "gpu_days_error", 1.5, f"{TABLE}; whole days, cut off",
         "Their training takes the published days of a V100, to a day and a half"),
        ("K5", "flops_error", 1e-9, "exact statement",
         "The dense and the sparse model of a pair take equal operations, by the paper's count"),
    ]  # fmt: skip
    return [
        Check(id=id, sentence=sentence, source=source, measure=measure, at_most=most)
        for id, measure, most, source, sentence in said
    ]
