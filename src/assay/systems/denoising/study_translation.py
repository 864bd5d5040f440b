"""The study `translation`: a BART below a new encoder of an invented language, in two stages."""

from typing import Any

from assay.core.claims import Claim
from assay.core.decisions import Preset, assign, use
from assay.core.estimands import difference
from assay.core.study import Study
from assay.core.workflow import Ref, Workflow
from assay.parts.text.decoding import Decoding
from assay.parts.text.stories import stories
from assay.parts.text.tasks import story_task
from assay.parts.text.tokenizer import bpe
from assay.parts.text.tokens import tokenize
from assay.systems.denoising.data import foreign_stories
from assay.systems.denoising.finetuning import finetune
from assay.systems.denoising.measuring import measure_task
from assay.systems.denoising.study_noise_ablation import NOTHING_CUT, TINY_SIZE
from assay.systems.denoising.train import pretrain
from assay.systems.denoising.translator import translator

RANDOM, FIRST, BOTH = "random weights", "first stage only", "both stages"


def translation_workflow() -> Workflow:
    """Two languages, a BART of one, a translator on it, and its two stages of training."""
    flow = Workflow("translation")
    corpus = flow.step("corpus", stories, count=20_000)
    tokenizer = flow.step("tokenizer", bpe, corpus=corpus, vocabulary=1500)
    tokens = flow.step("tokens", tokenize, corpus=corpus, tokenizer=tokenizer)
    fit = flow.step("fit", pretrain, tokens=tokens.train, tokenizer=tokenizer)
    foreign = flow.step("foreign", foreign_stories, count=2000)
    source = flow.step("source_tokenizer", bpe, corpus=foreign, vocabulary=1500)
    given: dict[str, Any] = {
        "tokenizer": tokenizer,
        "source_tokenizer": source,
        "task": flow.step("pairs", story_task, name="translation"),
    }
    new = flow.step("translator", translator, model=fit.model, source_tokenizer=source)
    first = flow.step("first", finetune, model=new, **given, stage=1, epochs=10)
    second = flow.step("second", finetune, model=first.model, **given, epochs=10)
    flow.step(
        "measured",
        measure_task,
        model=second.model,
        **given,
        decoding=Decoding(method="beam", beams=5, length_penalty=1.0, max_new_tokens=48),
    )
    return flow


def translation() -> Study:
    """From random weights, with the first stage only, and with both stages."""
    return Study(
        translation_workflow(),
        title="Does a BART help to translate into its language, and is its first stage enough?",
        decisions={
            "training": {
                RANDOM: [assign("fit.train", False), assign("first.stage", 2)],
                FIRST: [use("measured", measure_task, model=Ref("first", "model"))],
                BOTH: [],
            }
        },
        seeds=5,
        claims=[
            Claim(
                id="B1",
                sentence="A pre-trained BART, both stages trained, gains BLEU over random weights",
                source="Lewis et al. 2019, abstract: a gain over back-translation, with a model "
                "pre-trained on the target language only",
                estimand=difference("bleu", "training", BOTH, RANDOM),
                direction="above",
            ),
            Claim(
                id="B2",
                sentence="The second stage gains BLEU over the first alone",
                source="this study",
                estimand=difference("bleu", "training", BOTH, FIRST),
                direction="above",
            ),
        ],
        checks=[NOTHING_CUT],
        presets={
            "tiny": Preset(
                set={
                    "corpus.count": 300,
                    "foreign.count": 100,
                    "tokenizer.vocabulary": 600,
                    "source_tokenizer.vocabulary": 600,
                    "fit.size": TINY_SIZE,
                    "fit.budget_tokens": 20_000,
                    "translator.layers": 1,
                    "pairs.train": 20,
                    "pairs.test": 20,
                    "first.epochs": 1,
                    "second.epochs": 1,
                },
                seeds=1,
                note="Twenty pairs: proves the code path in under twenty seconds.",
            ),
            "small": Preset(
                note="1.5 million tokens of one language, a thousand pairs, five seeds; about "
                "half an hour on two cores.",
            ),
        },
        figures="assay.systems.denoising.figures_ablation:translation_figures",
    )
