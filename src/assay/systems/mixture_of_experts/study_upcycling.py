"""The study `upcycling`: a dense model, the user's or a new one, made sparse and trained on."""

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset, assign, use
from assay.core.estimands import ratio
from assay.core.study import Study
from assay.core.workflow import Ref, Workflow
from assay.systems.mixture_of_experts.data import kind_tokens, shared_tokenizer, text_kinds
from assay.systems.mixture_of_experts.held_out import held_out
from assay.systems.mixture_of_experts.starts import (
    dense_folder,
    dense_model,
    drawn_anew,
    start_difference,
)
from assay.systems.mixture_of_experts.study import TINY, read_alone
from assay.systems.mixture_of_experts.train import pretrain
from assay.systems.mixture_of_experts.upcycling import upcycle

SPARSE, DENSE, NEW = "made sparse", "dense", "new sparse"
NOISY = "made sparse, a quarter drawn anew"
OWN = "this study"
NEW_RATE = 2e-3
"""Highest rate of a model that begins anew, as the dense one had; what goes on has half of it."""
EXPORT = "`assay export last fit.model my-sparse-model` copies the model made sparse and trained on"


def upcycling_workflow() -> Workflow:
    """A dense model, what is made of it, and training on from it; all with its tokenizer."""
    flow = Workflow("upcycling")
    start = flow.step("start", dense_folder)
    texts = flow.step("texts", text_kinds)
    words = flow.step("tokenizer", shared_tokenizer, texts=texts, model=start, vocabulary=2048)
    made = flow.step("tokens", kind_tokens, texts=texts, tokenizer=words)
    read = {"tokens": made.tokens, "tokenizer": words}
    dense = flow.step("dense", dense_model, own=start, **read)
    sparse = flow.step("sparse", upcycle, dense=dense.model)
    flow.step("anew", drawn_anew, model=sparse)
    flow.step("same", start_difference, dense=dense.model, sparse=sparse, tokens=made.tokens)
    fit = flow.step(
        "fit", pretrain, begun=sparse, budget_tokens=500_000, rate=1e-3, **read
    )  # fmt: skip
    flow.step("measured", held_out, model=fit.model, tokens=made.tokens)
    return flow


def upcycling() -> Study:
    """Is a dense model that was made sparse a better start than itself, or than a new one?"""
    return Study(
        upcycling_workflow(),
        title="What does a dense model gain from being made sparse before it is trained on?",
        decisions={
            "begun_as": {
                SPARSE: [],
                DENSE: use("fit", pretrain, begun=Ref("dense", "model")),
                NEW: [use("fit", pretrain, begun=Ref("anew")), assign("fit.rate", NEW_RATE)],
                NOISY: assign("sparse.noise", 0.25),
            }
        },
        seeds=3,
        claims=_claims(),
        checks=[
            Check(
                id="K1",
                sentence="Made sparse and not yet trained on, a model has the losses of the dense "
                "one, to 1e-5 nats per token",
                source="exact statement: experts are copies, and the weights of two add up to 1",
                measure="start_difference",
                where={"experts": "alike"},
                at_most=1e-5,
            ),
            read_alone("K2"),
        ],
        presets={
            "tiny": Preset(
                set={
                    **TINY,
                    "dense.width": 16,
                    "dense.layers": 2,
                    "dense.heads": 2,
                    "dense.length": 32,
                    "dense.batch": 8,
                    "dense.budget_tokens": 10_000,
                    "sparse.experts": 4,
                    "same.length": 32,
                    "fit.budget_tokens": 5_000,
                },
                seeds=2,
                note="10 thousand tokens, then 5 thousand more: proves the code path in under "
                f"twenty seconds. {EXPORT}.",
            ),
            "small": Preset(
                note="A dense model 128 wide at a million tokens, or your own with `--set "
                "start.path=...`; eight experts, half a million tokens more, three seeds; about "
                f"25 minutes of one core, half of that on two. {EXPORT}.",
            ),
        },
        figures="assay.systems.mixture_of_experts.figures_studies:upcycling_figures",
    )


def _claims() -> list[Claim]:
    said = [
        ("U1", SPARSE, DENSE,
         "A dense model that was made sparse predicts text better than if it had stayed dense, at "
         "equal further tokens"),
        ("U2", SPARSE, NEW,
         "A dense model that was made sparse predicts text better than a new sparse model of its "
         "shape that saw nothing before, at equal further tokens"),
        ("U3", NOISY, SPARSE,
         "A dense model that was made sparse predicts text better if a quarter of the weights of "
         "every expert were drawn anew"),
    ]  # fmt: skip
    return [
        Claim(
            id=id,
            sentence=sentence,
            source=OWN,
            estimand=ratio("perplexity", "begun_as", a, b, domain="in"),
            direction="below",
        )
        for id, a, b, sentence in said
    ]
