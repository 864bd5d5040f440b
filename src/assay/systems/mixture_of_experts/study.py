"""The main study, `language_modelling`: a ladder of dense decoders beside their sparse twins."""

from typing import Any

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset
from assay.core.estimands import mean
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.mixture_of_experts.data import kind_tokens, shared_tokenizer, text_kinds
from assay.systems.mixture_of_experts.evaluate import perplexities, speed_ups
from assay.systems.mixture_of_experts.health import router_health
from assay.systems.mixture_of_experts.timing import training_seconds
from assay.systems.mixture_of_experts.train import pretrain

WIDTHS, EXPERTS = [64, 128, 192], 8
TINY: dict[str, Any] = {
    "texts.megabytes": 0.05,
    "texts.kinds": ["prose", "code", "stories"],
    "tokenizer.vocabulary": 512,
    "fit.length": 32,
    "fit.batch": 8,
    "measured.rows": 24,
    "measured.length": 32,
}
"""What makes a study of held-out text end within seconds."""
ABSTRACT = "Artetxe et al. 2022, abstract"
OWN = "this study"


def ladder(widths: list[int], experts: int) -> dict[str, list[int]]:
    """The members of the ladder: every width dense, then every width sparse.

    Example:
        >>> ladder([64, 128], 8)
        {'width': [64, 128, 64, 128], 'experts': [0, 0, 8, 8]}
    """
    return {"width": widths * 2, "experts": [0] * len(widths) + [experts] * len(widths)}


def language_modelling_workflow() -> Workflow:
    """Kinds of text, decoders trained on some of them, perplexities on all, and the speed-up."""
    flow = Workflow("language_modelling")
    texts = flow.step("texts", text_kinds)
    tokenizer = flow.step("tokenizer", shared_tokenizer, texts=texts)
    made = flow.step("tokens", kind_tokens, texts=texts, tokenizer=tokenizer)
    tokens = made.tokens
    fit = flow.each(
        "fit", pretrain, over=ladder(WIDTHS, EXPERTS), tokens=tokens, tokenizer=tokenizer
    )
    measured = flow.each("measured", perplexities, model=fit.model, tokens=tokens)
    paid = {"costs": fit.costs}
    seconds = flow.step("seconds", training_seconds, models=fit.model, tokens=tokens, **paid)
    flow.step("speed_up", speed_ups, documents=measured.documents, seconds=seconds.table, **paid)
    flow.each("health", router_health, model=fit.model, tokens=tokens)
    return flow


def read_alone(id: str) -> Check:
    """The check that a model reads a text alike in any batch."""
    return Check(
        id=id,
        sentence="What a model says of a text does not depend on the texts read beside it, to "
        "1e-4 nats per token",
        source="no expert turns a token away in evaluation",
        measure="batch_difference",
        at_most=1e-4,
    )


def language_modelling() -> Study:
    """What does a sparse decoder save, and on which text?"""
    return Study(
        language_modelling_workflow(),
        title="How much less does a sparse decoder cost to predict text as well as a dense one?",
        seeds=3,
        claims=_claims(),
        checks=[
            read_alone("K1"),
        ],
        presets={
            "tiny": Preset(
                set={
                    **TINY,
                    "fit.width": [16, 32, 16, 32],
                    "fit.experts": [0, 0, 4, 4],
                    "fit.layers": 2,
                    "fit.heads": 2,
                    "fit.budget_tokens": 10_000,
                    "seconds.length": 32,
                    "seconds.batch": 8,
                    "seconds.steps": 3,
                    "speed_up.resamples": 100,
                    "health.rows": 8,
                    "health.length": 32,
                },
                seeds=2,
                note="Four models of a few ten thousand weights, 10 thousand tokens each: proves "
                "the code path in under a minute. Nothing has been learned by then.",
            ),
            "small": Preset(
                note="Three dense decoders and their sparse twins of eight experts, 64 to 192 "
                "wide, 1.5 million tokens each, three seeds; about an hour on two cores.",
            ),
        },
        figures="assay.systems.mixture_of_experts.figures:language_figures",
    )


def _claims() -> list[Claim]:
    return [
        Claim(
            id="M1",
            sentence="On kinds of text it was trained on, a sparse family reaches a perplexity "
            "with fewer operations than a dense one, by the paper's count",
            source=f"{ABSTRACT}: far more compute efficient",
            estimand=mean("log2_speed_up", domain="in", cost="flops"),
            direction="above",
        ),
        Claim(
            id="M2",
            sentence="It does so with a quarter of the operations",
            source=f"{ABSTRACT}: about four times less compute at modest budgets; at hundreds to "
            "thousands of times the size tried here",
            estimand=mean("log2_speed_up", domain="in", cost="flops"),
            direction="above",
            margin=2.0,
        ),
        Claim(
            id="M3",
            sentence="On kinds of text it was trained on, a sparse family reaches a perplexity in "
            "less time than a dense one, on the machine of the run",
            source=f"{OWN}: what a user pays",
            estimand=mean("log2_speed_up", domain="in", cost="seconds"),
            direction="above",
        ),
        Claim(
            id="M4",
            sentence="The speed-up is larger on kinds of text trained on than on others",
            source=f"{OWN}; that the gap varies by domain is in the abstract of Artetxe et al. "
            "2022, in which order is attributed to the paper by others",
            estimand=mean("in_domain_advantage", cost="flops"),
            direction="above",
        ),
    ]
