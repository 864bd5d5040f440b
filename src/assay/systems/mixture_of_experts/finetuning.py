"""Fine-tuning a decoder, dense or sparse: one linear layer is added, and all weights are trained.

The layer reads the state of the last token of a row: of a text whose class is to be found, or of a
prompt filled with an option, which competes with those filled with the others. Rows are ``<s>``,
the text with its line breaks as ``</s>``, as in `priming`, and a last ``</s>``, with which the
documents that a decoder was trained on end too.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.core.task import task as running_step
from assay.errors import DataError, ParameterError
from assay.parts.text.tasks import Example, Task
from assay.parts.training.recipe import Precision, Recipe, Schedule
from assay.systems.mixture_of_experts.choices import Choice, Choices, marked
from assay.systems.mixture_of_experts.priming import filled, tokens_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from assay.systems.mixture_of_experts.heads import Answerable

__all__ = ["TUNED", "Tuned", "answerable", "finetune", "measure_tuned"]

LIBRARIES = ("numpy", "safetensors", "tokenizers", "torch", "transformers")
TUNED = "fine-tuned"
"""What the key ``way`` says of examples that a model was trained to answer."""
AT_ONCE = 50  # examples that are measured together

Share = Annotated[float, Field(ge=0, lt=1)]


class Tuned(NamedTuple):
    """A fine-tuned model.

    Attributes:
        model: Folder in Hugging Face layout, tokenizer included.
        records: The training curve by ``task`` (see `Fitted.records`), and of the examples to learn
            from their number, ``train_examples``, and ``cut_texts``, see `answerable`.
    """

    model: Path
    records: Records


@component(version="1", requires=LIBRARIES)
def finetune(
    model: Path,
    task: Choices | Task,
    *,
    epochs: PositiveInt = 3,
    batch: PositiveInt = 16,
    rate: PositiveFloat = 5e-4,
    warm_up: Share = 0.06,
    schedule: Schedule = "linear",
    weight_decay: NonNegativeFloat = 0.01,
    precision: Precision = "auto",
    seed: Seed,
) -> Tuned:
    """Fine-tune a decoder on a task with AdamW.

    Args:
        model: Folder of a decoder with its tokenizer.
        task: Options to choose from, or classes to find.
        epochs: Times that every example is seen, each time in another order.
        batch: Examples in a step.
        rate: Highest learning rate.
        warm_up: Share of the steps in which the rate rises.
        schedule: How it falls.
        weight_decay: Of matrices.
        precision: What is computed in bf16.
        seed: Seed of order, routing and the added layer.

    Raises:
        ParameterError: If the task asks for neither classes nor options.
        DataError: If it has one class only.
    """
    from assay.parts.text.tokenizer import load_tokenizer
    from assay.parts.training.fit import fit
    from assay.parts.training.folders import save_pretrained
    from assay.systems.mixture_of_experts.folders import NEEDED, load_decoder
    from assay.systems.mixture_of_experts.heads import answer_loss, batch_of, new_reader

    labels = _labels(task)
    words, decoder = load_tokenizer(model, NEEDED), load_decoder(model)
    net: Any = new_reader(decoder, labels, seed=seed)
    examples, cut = answerable(words, task, task.train, labels, _most(net))
    steps = _steps(len(examples), epochs, batch, seed)
    recipe = Recipe(
        steps=len(steps), rate=rate, warm_up=warm_up, schedule=schedule,
        weight_decay=weight_decay, precision=precision,
    )  # fmt: skip
    scratch = running_step().scratch()
    fitted = fit(
        net, lambda step: [batch_of([examples[k] for k in steps[step]], _pad(net))], answer_loss,
        recipe, folder=scratch / "checkpoints", seed=seed,
    )  # fmt: skip
    card = {"title": f"Fine-tuned on {task.name}", "examples": len(examples), "seed": seed,
            "recipe": {"epochs": epochs, "batch": batch, "rate": rate}}  # fmt: skip
    auto = "AutoModelForSequenceClassification"
    save_pretrained(scratch / "model", net.eval(), words, card, auto=auto)
    records = Records(row | {"task": task.name} for row in fitted.records())
    records.add("train_examples", len(examples), task=task.name)
    records.add("cut_texts", cut, task=task.name)
    return Tuned(scratch / "model", records)


@component(version="1", requires=LIBRARIES)
def measure_tuned(model: Path, task: Choices | Task) -> Records:
    """Let a fine-tuned model answer the test examples of its task.

    Args:
        model: What `finetune` made of a decoder.
        task: The same task.

    Returns:
        What `choices.marked` makes of the examples, and ``cut_texts``, see `answerable`; with the
        keys ``task`` and ``way``. The chance is that of guessing an option, or of always saying the
        class most frequent among the examples to learn from.

    Raises:
        DataError: If the model knows other classes.
    """
    import torch

    from assay.parts.text.tokenizer import load_tokenizer
    from assay.parts.training.folders import load_pretrained, require_kind
    from assay.parts.training.torch_state import own_threads
    from assay.systems.mixture_of_experts.folders import KIND, NEEDED
    from assay.systems.mixture_of_experts.heads import (
        SparseDecoderForSequenceClassification,
        answer_logits,
        batch_of,
    )

    labels = _labels(task)
    require_kind(model, (KIND,))
    with own_threads(running_step().threads), torch.inference_mode():
        words = load_tokenizer(model, NEEDED)
        net = load_pretrained(SparseDecoderForSequenceClassification, model)
        known = list(net.config.id2label.values()) if net.config.num_labels > 1 else []
        if known != labels:
            raise DataError(
                f"finds {', '.join(known) or 'options'}", where=str(model),
                accepted=f"a model tuned to find {', '.join(labels) or 'options'}",
            )  # fmt: skip
        examples, cut = answerable(words, task, task.test, labels, _most(net))
        found = list[int]()
        for begin in range(0, len(examples), AT_ONCE):
            part = examples[begin : begin + AT_ONCE]
            found += answer_logits(net, batch_of(part, _pad(net))).argmax(1).tolist()
            running_step().progress(len(found), len(examples), "examples")
    correct = np.array(found) == np.array([example.answer for example in examples])
    keys = {"task": task.name, "way": TUNED}
    records = marked(correct.astype(float), _chances(task), **keys)
    records.add("cut_texts", cut, **keys)
    return records


# -- rows ---------------------------------------------------------------------------------------


def answerable(
    words: "PreTrainedTokenizerFast",
    task: Choices | Task,
    examples: Sequence[Choice] | Sequence[Example],
    labels: Sequence[str],
    most: int,
) -> tuple[list["Answerable"], int]:
    """Examples as rows of tokens, and how many of them had a row that lost its beginning.

    Args:
        words: The tokenizer.
        task: The task they belong to.
        examples: Those of it to learn from, or to be measured on.
        labels: The classes; none where there are options.
        most: Positions of the model.
    """
    from assay.systems.mixture_of_experts.heads import Answerable

    found, cut = [], 0
    for example in examples:
        if isinstance(example, Choice):
            texts = [filled(task, example, option) for option in example.options]  # type: ignore[arg-type]
            answer = example.answer
        else:
            texts = ["\n".join(filter(None, (example.text, example.pair)))]
            answer = labels.index(example.target)
        whole = [tokens_of(words, text) for text in texts]
        cut += any(len(ids) > most - 2 for ids in whole)
        found.append(Answerable([_row(words, ids, most) for ids in whole], answer))
    return found, cut


def _row(words: "PreTrainedTokenizerFast", ids: list[int], most: int) -> list[int]:
    """A text between ``<s>`` and ``</s>``, cut at its beginning where it is too long."""
    begin, end = int(words.bos_token_id), int(words.eos_token_id)  # type: ignore[arg-type]
    return [begin, *ids[max(len(ids) - most + 2, 0) :], end]


def _labels(task: Choices | Task) -> list[str]:
    """The classes of a task, in the order of the alphabet; none where there are options.

    Test examples count, too; those of a class that no example to learn from has cannot be right.
    """
    if isinstance(task, Choices):
        return []
    if task.kind != "classification":
        raise ParameterError(
            f"is a task of {task.kind}", where=f"task {task.name}",
            accepted="classification or a task of options",
        )  # fmt: skip
    if len(task.labels) < 2:
        raise DataError("has one class only", where=f"task {task.name}", accepted="two or more")
    return task.labels


def _chances(task: Choices | Task) -> np.ndarray:
    """How often each test example is answered rightly by guessing, or by the commonest class."""
    if isinstance(task, Choices):
        return task.chances
    names, counts = np.unique([example.target for example in task.train], return_counts=True)
    share = np.mean([example.target == names[counts.argmax()] for example in task.test])
    return np.full(len(task.test), share)


def _steps(count: int, epochs: int, batch: int, seed: int) -> list[np.ndarray]:
    """The examples of every step, each epoch in an order of its own."""
    orders = [np.random.default_rng([seed, epoch]).permutation(count) for epoch in range(epochs)]
    return [order[k : k + batch] for order in orders for k in range(0, count, batch)]


def _most(net: Any) -> int:
    return net.config.max_position_embeddings


def _pad(net: Any) -> int:
    """What rows are filled up with; any token will do, since none is looked at."""
    pad = net.config.pad_token_id
    return net.config.bos_token_id if pad is None else pad
