"""The main study, `pretrain`: a text in, a BART out, and how much of unseen text it restores."""

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset
from assay.core.estimands import mean
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.parts.text.corpus import text_corpus, tokenizer_for
from assay.parts.text.tokens import tokenize
from assay.systems.denoising.evaluate import restore
from assay.systems.denoising.train import pretrain as pretraining


def pretrain_workflow() -> Workflow:
    """Text, tokenizer, tokens, a model trained on them, and held-out text that it restores."""
    flow = Workflow("pretrain")
    corpus = flow.step("corpus", text_corpus)
    tokenizer = flow.step("tokenizer", tokenizer_for, corpus=corpus)
    tokens = flow.step("tokens", tokenize, corpus=corpus, tokenizer=tokenizer)
    fit = flow.step("fit", pretraining, tokens=tokens.train, tokenizer=tokenizer, schedule="linear")
    flow.step("restored", restore, model=fit.model, tokens=tokens.validation)
    return flow


def pretrain() -> Study:
    """Pre-train BART on a text of your own, and see what it restores."""
    return Study(
        pretrain_workflow(),
        title="What does a BART restore of text it never saw, after training on text like it?",
        claims=[
            Claim(
                id="P1",
                sentence="The model restores more of the removed tokens than naming the most "
                "frequent token everywhere would",
                source="this study: a model that learned anything of context does; rows of "
                "held-out text are the sample, so the verdict is about this model",
                estimand=mean("restored_gain"),
                direction="above",
                unit=("seed", "row"),
            ),
        ],
        checks=[
            Check(
                id="K1",
                sentence="The saved folder, loaded by transformers alone, gives the same logits to "
                "1e-4",
                source="this study",
                measure="logit_difference",
                at_most=1e-4,
            ),
        ],
        presets={
            "tiny": Preset(
                set={
                    "corpus.megabytes": 0.5,
                    "tokenizer.vocabulary": 1024,
                    "fit.budget_tokens": 100_000,
                    "fit.batch": 8,
                    "restored.rows": 48,
                    "restored.examples": 3,
                },
                note="100 thousand tokens: proves the code path in under a minute; the model has "
                "learned the most frequent words. `assay export last fit.model my-bart` copies "
                "the model out.",
            ),
            "small": Preset(
                set={
                    "corpus.megabytes": 8.0,
                    "fit.size": "small",
                    "fit.budget_tokens": 4_000_000,
                    "fit.precision": "auto",
                },
                note="4 million tokens, 8 million parameters; about a quarter of an hour on two "
                "cores. `assay export last fit.model my-bart` copies the model out.",
            ),
        },
        figures="assay.systems.denoising.figures:pretrain_figures",
    )
