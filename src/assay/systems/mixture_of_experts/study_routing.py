"""The study `routing`: how tokens find their experts, one thing changed at a time."""

from typing import Any

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset, assign
from assay.core.estimands import AnyEstimand, difference, ratio
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.mixture_of_experts.data import kind_tokens, shared_tokenizer, text_kinds
from assay.systems.mixture_of_experts.held_out import held_out
from assay.systems.mixture_of_experts.study import TINY, read_alone
from assay.systems.mixture_of_experts.train import pretrain

DEFAULT, ONE, NO_LIMIT = "default", "one choice", "no limit"
SAMPLED, BY_CHANCE = "second sampled", "second by chance"
HALF, SUREST = "half the places", "half, surest first"
FEW, MANY = "4 experts", "16 experts"
NONE, STRONG = "no balancing", "strong balancing"
CHANGES: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    SAMPLED: {"second": "sampling"},
    BY_CHANCE: {"second": "random"},
    ONE: {"choices": 1},
    HALF: {"capacity_factor": 0.5},
    SUREST: {"capacity_factor": 0.5, "batch_prioritised": True},
    NO_LIMIT: {"capacity_factor": None},
    FEW: {"experts": 4},
    MANY: {"experts": 16},
    NONE: {"balance_weight": 0.0},
    STRONG: {"balance_weight": 0.1},
}
"""What each choice changes of the default: the second best expert of eight always, an even share of
the choices as places, and a balancing loss that counts 0.01."""
SOME = [DEFAULT, ONE, HALF, SUREST, NO_LIMIT]
OWN = "this study"
PUBLIC = f"{OWN}; the published commands take the second best, the library's default draws it"
WORTH = 0.01
"""A relative change in perplexity that would not keep a user from a simpler way."""


def routing_workflow() -> Workflow:
    """Kinds of text, one sparse model, and what it and its routers make of held-out text."""
    flow = Workflow("routing")
    kinds = ["prose", "code", "tables", "licences"]
    texts = flow.step("texts", text_kinds, kinds=kinds)
    tokenizer = flow.step("tokenizer", shared_tokenizer, texts=texts, vocabulary=2048)
    made = flow.step("tokens", kind_tokens, texts=texts, tokenizer=tokenizer)
    fit = flow.step(
        "fit", pretrain, tokens=made.tokens, tokenizer=tokenizer, width=64, experts=8,
        budget_tokens=350_000,
    )  # fmt: skip
    flow.step("measured", held_out, model=fit.model, tokens=made.tokens)
    return flow


def routing() -> Study:
    """What is each part of the routing worth?"""
    return Study(
        routing_workflow(),
        title="What do the second expert, the places, the number of experts and the balancing "
        "loss do for a sparse decoder?",
        decisions={"routing": {name: _patches(name) for name in CHANGES}},
        seeds=3,
        claims=_claims(),
        checks=[
            read_alone("K1"),
            Check(
                id="K2",
                sentence="Without a limit no first choice is turned away",
                source="exact statement",
                measure="held_out_overflow_first",
                where={"routing": NO_LIMIT},
                equals=0.0,
            ),
        ],
        presets={
            "tiny": Preset(
                set={
                    **TINY,
                    "fit.width": 16,
                    "fit.layers": 2,
                    "fit.heads": 2,
                    "fit.budget_tokens": 5_000,
                },
                only={"routing": SOME},
                seeds=2,
                note="Five of eleven ways, 5 thousand tokens each: proves the code path in under "
                "twenty seconds. Nothing has been learned by then.",
            ),
            "small": Preset(
                note="Eleven ways, 64 wide, 350 thousand tokens each, three seeds; about 25 "
                "minutes of one core, half of that on two. So short a training settles large "
                "differences only.",
            ),
        },
        figures="assay.systems.mixture_of_experts.figures_studies:routing_figures",
    )


def _patches(name: str) -> list[Any]:
    return [assign(f"fit.{parameter}", value) for parameter, value in CHANGES[name].items()]


def _perplexity(a: str, b: str) -> AnyEstimand:
    """How much higher the perplexity is on unseen text of the kinds trained on."""
    return ratio("perplexity", "routing", a, b, domain="in")


def _claims() -> list[Claim]:
    predicted: list[tuple[str, str, str, Any, float, str, str]] = [
        ("R1", DEFAULT, ONE, "below", 0.0, OWN,
         "Two experts for each token predict text better than one, at equal tokens and more "
         "operations"),
        ("R2", DEFAULT, SAMPLED, "below", WORTH, PUBLIC,
         "To take the second best expert always costs at most 1 % of perplexity over drawing the "
         "second"),
        ("R3", DEFAULT, BY_CHANCE, "below", WORTH, PUBLIC,
         "To take the second best expert always costs at most 1 % of perplexity over keeping it by "
         "chance"),
        ("R4", DEFAULT, NO_LIMIT, "below", WORTH, OWN,
         "To limit experts to an even share of the choices costs at most 1 % of perplexity"),
        ("R5", HALF, DEFAULT, "above", 0.0, OWN,
         "Half of that share as a limit predicts text worse"),
        ("R6", SUREST, HALF, "below", 0.0, OWN,
         "Under that limit, to place the surest tokens first predicts text better than to place "
         "them in order"),
        ("R7", MANY, FEW, "below", 0.0, OWN,
         "Sixteen experts predict text better than four"),
        ("R8", STRONG, DEFAULT, "below", WORTH, OWN,
         "Ten times the weight of the balancing loss costs at most 1 % of perplexity"),
    ]  # fmt: skip
    claims = [
        Claim(id=id, sentence=sentence, source=source, estimand=_perplexity(a, b),
              direction=direction, margin=margin)
        for id, a, b, direction, margin, source, sentence in predicted
    ]  # fmt: skip
    balanced = [
        ("R9", "held_out_max_load",
         "The balancing loss lowers the load of the busiest expert"),
        ("R10", "held_out_overflow_first",
         "The balancing loss lowers the share of first choices that are turned away"),
    ]  # fmt: skip
    return claims + [
        Claim(id=id, sentence=sentence, source=OWN, direction="below",
              estimand=difference(measure, "routing", DEFAULT, NONE))
        for id, measure, sentence in balanced
    ]  # fmt: skip
