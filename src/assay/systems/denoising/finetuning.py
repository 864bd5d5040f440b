"""Fine-tuning a trained model on a task.

Targets are written by the decoder, or behind the source in a model of one stack. Classes, numbers
and spans have a head on BART (`heads`), and so have labels of words (`tagging`). A tuned model lies
in a folder of its own with its tokenizer.
"""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.core.task import task as running_step
from assay.errors import ParameterError
from assay.parts.text.tasks import Task, TooLong
from assay.parts.training.recipe import Precision, Recipe, Schedule

if TYPE_CHECKING:
    from assay.systems.denoising.batches import Batch

__all__ = ["PUBLISHED", "Tuned", "finetune"]

LIBRARIES = ("numpy", "safetensors", "tokenizers", "torch", "transformers")

Share = Annotated[float, Field(ge=0, lt=1)]

_GLUE: dict[str, Any] = {
    "epochs": 10, "warm_up": 0.06, "schedule": "polynomial", "betas": (0.9, 0.98),
    "epsilon": 1e-8, "weight_decay": 0.01, "clip": None,
}  # fmt: skip
_SUMMARIES: dict[str, Any] = {
    "rate": 3e-5, "betas": (0.9, 0.999), "weight_decay": 0.01, "clip": 0.1, "label_smoothing": 0.1,
}  # fmt: skip
PUBLISHED: dict[str, dict[str, Any]] = {
    "mnli": _GLUE | {"rate": 5e-6, "batch": 128},
    "qnli": _GLUE | {"rate": 1e-5, "batch": 32},
    "qqp": _GLUE | {"rate": 1e-5, "batch": 32},
    "rte": _GLUE | {"rate": 1e-5, "batch": 32},
    "sst-2": _GLUE | {"rate": 5e-6, "batch": 128},
    "mrpc": _GLUE | {"rate": 2e-5, "batch": 64},
    "cola": _GLUE | {"rate": 2e-5, "batch": 64},
    "sts-b": _GLUE | {"rate": 2e-5, "batch": 32},
    "cnn_dm": _SUMMARIES | {"steps": 20_000, "warm_up": 500 / 20_000, "batch_tokens": 65_536},
    "xsum": _SUMMARIES | {"steps": 15_000, "warm_up": 500 / 15_000, "batch_tokens": 32_768},
}
"""Parameters of `finetune` as the published fine-tuning commands of BART have them, by data set.
Batches of summaries are 2048 tokens on each of 8 GPUs, four times (twice for XSum) a step."""


class Tuned(NamedTuple):
    """A fine-tuned model.

    Attributes:
        model: Folder in Hugging Face layout, tokenizer included.
        records: The training curve (see `Fitted.records`), ``train_examples``, and ``cut_texts``,
            the examples that were longer than the model reads.
    """

    model: Path
    records: Records


# -- learning -----------------------------------------------------------------------------------


@component(version="1", requires=LIBRARIES)
def finetune(
    model: Path,
    tokenizer: Path,
    task: Task,
    source_tokenizer: Path | None = None,
    *,
    epochs: PositiveInt = 10,
    steps: PositiveInt | None = None,
    batch: PositiveInt = 20,
    batch_tokens: PositiveInt | None = None,
    at_once: PositiveInt = 64,
    rate: PositiveFloat = 5e-4,
    warm_up: Share = 0.0,
    schedule: Schedule = "linear",
    betas: tuple[Share, Share] = (0.9, 0.999),
    epsilon: PositiveFloat = 1e-8,
    weight_decay: NonNegativeFloat = 0.01,
    clip: PositiveFloat | None = 1.0,
    label_smoothing: Share = 0.0,
    head_dropout: Share = 0.0,
    stage: Literal[1, 2] = 2,
    too_long: TooLong = "cut",
    precision: Precision = "auto",
    seed: Seed,
) -> Tuned:
    """Fine-tune a model on a task with AdamW.

    Args:
        model: Folder of a trained model.
        tokenizer: Folder of its tokenizer.
        task: What to learn; all but generation needs a BART.
        source_tokenizer: Tokenizer of the sources, where it is another (a translator's).
        epochs: Times that every example is seen.
        steps: Optimiser steps, in the place of ``epochs``.
        batch: Examples in a step.
        batch_tokens: Tokens in a step, padding included, the longer of source and target counted;
            in the place of ``batch``.
        at_once: Most examples that are in memory together.
        rate: Highest learning rate.
        warm_up: Share of the steps in which the rate rises.
        schedule: How it falls.
        betas: Of AdamW.
        epsilon: Of AdamW.
        weight_decay: Of matrices.
        clip: Largest norm of the gradient; None for no limit.
        label_smoothing: Share of each target spread over the vocabulary or the classes.
        head_dropout: Share of the inputs of a head for classes, numbers or labels dropped.
        stage: 1 trains of a translator only its source encoder and what is next to it.
        too_long: What becomes of a text longer than the model reads.
        precision: What is computed in bf16.
        seed: Seed of order, dropout and head.

    Raises:
        DataError: If a text is too long and ``too_long`` says so, or the folders do not fit.
        ParameterError: If the model cannot do such a task.
    """
    from assay.parts.text.tokenizer import load_tokenizer
    from assay.parts.training.fit import fit
    from assay.systems.denoising.checkpoints import save_model
    from assay.systems.denoising.examples import prepare

    words = load_tokenizer(tokenizer)
    net = _new(model, task, head_dropout, stage, seed)
    reads = load_tokenizer(source_tokenizer) if source_tokenizer else words
    prepared = prepare(
        net, reads, words, task, task.train, too_long=too_long, smoothing=label_smoothing
    )
    plan = _plan(prepared.sizes, epochs, steps, batch, batch_tokens, seed)
    recipe = Recipe(
        steps=len(plan), rate=rate, warm_up=warm_up, schedule=schedule, betas=betas,
        epsilon=epsilon, weight_decay=weight_decay, clip=clip, precision=precision,
    )  # fmt: skip

    def batches(step: int) -> "list[Batch]":
        rows = plan[step]
        return [prepared.batch(rows[k : k + at_once]) for k in range(0, len(rows), at_once)]

    scratch = running_step().scratch()
    fitted = fit(net, batches, prepared.loss, recipe, folder=scratch / "checkpoints", seed=seed)
    card = {"title": f"Fine-tuned on {task.name}", "examples": len(task.train), "seed": seed,
            "recipe": {"steps": len(plan), "rate": rate, "schedule": schedule}}  # fmt: skip
    save_model(scratch / "model", net.eval(), words, card)
    records = Records({**row, "task": task.name} for row in fitted.records())
    records.add("train_examples", len(task.train), task=task.name)
    records.add("cut_texts", prepared.cut, task=task.name)
    return Tuned(scratch / "model", records)


def _new(model: Path, task: Task, head_dropout: float, stage: Literal[1, 2], seed: int) -> Any:
    """The model to be tuned, with a new head where the task needs one."""
    from assay.systems.denoising.checkpoints import load_model

    writes = task.kind == "generation"
    net: Any = load_model(model) if writes else load_model(model, kinds=("bart",))
    if stage == 1 and net.config.model_type != "assay_translator":
        raise ParameterError("stage 1 is of translators", where=str(model), accepted="stage 2")
    if net.config.model_type == "assay_translator":
        from assay.systems.denoising.translation import freeze_for_stage

        freeze_for_stage(net, stage)
    if writes:
        return net
    from assay.systems.denoising.heads import new_classifier, new_span_reader

    if task.kind == "span":
        return new_span_reader(net, seed=seed)
    if task.kind == "tokens":
        from assay.systems.denoising.tagging import new_tagger

        return new_tagger(net, task.labels, dropout=head_dropout, seed=seed)
    return new_classifier(net, task.labels, dropout=head_dropout, seed=seed)


def _plan(
    sizes: np.ndarray,
    epochs: int,
    steps: int | None,
    batch: int,
    batch_tokens: int | None,
    seed: int,
) -> list[np.ndarray]:
    """The examples of every step, each epoch in an order of its own."""
    plan: list[np.ndarray] = []
    for epoch in range(epochs) if steps is None else itertools.count():
        order = np.random.default_rng([seed, epoch]).permutation(len(sizes))
        plan += _pieces(order, sizes, batch, batch_tokens)
        if steps is not None and len(plan) >= steps:
            return plan[:steps]
    return plan


def _pieces(
    order: np.ndarray, sizes: np.ndarray, batch: int, batch_tokens: int | None
) -> list[np.ndarray]:
    """An order cut into steps, of one example at least."""
    if batch_tokens is None:
        return [order[k : k + batch] for k in range(0, len(order), batch)]
    cuts, first, widest = [0], 0, 0
    for k, size in enumerate(sizes[order]):
        widest = max(widest, int(size))
        if k > first and widest * (k - first + 1) > batch_tokens:
            cuts.append(k)
            first, widest = k, int(size)
    return [order[a:b] for a, b in itertools.pairwise([*cuts, len(order)])]
