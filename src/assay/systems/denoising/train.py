"""Pre-training: rows of a corpus, an objective, and the model folder that comes of them.

Several processes share the rows of every step. Each of them calls `pretrain` with the arguments of
the first call, `fit` finds the others, and the first process writes the folder.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, PositiveInt

from assay.core.component import Folder, Seed, component, describe
from assay.core.records import Records
from assay.core.task import task
from assay.errors import DataError, ParameterError
from assay.parts.text.tokens import RowIndex, open_tokens, stream_rows
from assay.parts.training.order import shuffled
from assay.parts.training.recipe import Precision, Recipe, Schedule, steps_for
from assay.systems.denoising.model import Size, new_model, size_of
from assay.systems.denoising.noise import NOISES, Noise, Specials

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from assay.systems.denoising.batches import Batch
    from assay.systems.denoising.objectives import Objective, Vocabulary

__all__ = [
    "NoiseName",
    "ObjectiveName",
    "Pretrained",
    "SizeName",
    "batches_of",
    "noise_of",
    "pretrain",
    "pretrain_here",
    "vocabulary_of",
]

ObjectiveName = Literal[
    "denoising", "causal_lm", "permuted_lm", "masked_lm", "multitask_masked_lm", "masked_seq2seq",
    "span_corruption",
]  # fmt: skip
NoiseName = Literal[
    "none", "token_masking", "token_deletion", "text_infilling", "sentence_permutation",
    "document_rotation", "infilling_and_permutation", "paper", "released",
]  # fmt: skip
SizeName = Literal["tiny", "small", "base", "large"]
SPECIALS = 2  # <s> and </s> of a row
CHECKPOINT_EVERY = 100  # steps


class Pretrained(NamedTuple):
    """A trained model.

    Attributes:
        model: Folder in Hugging Face layout, tokenizer and model card included.
        records: ``training_loss`` over ``training_step`` with the ``training_tokens`` and
            ``training_flops`` spent by then, ``parameters``, ``tokens_seen`` and ``epochs``.
    """

    model: Path
    records: Records


@component(version="1", requires=("numba", "numpy", "tokenizers", "torch", "transformers"))
def pretrain(
    tokens: Path,
    tokenizer: Path,
    *,
    objective: ObjectiveName = "denoising",
    noise: NoiseName | Noise = "infilling_and_permutation",
    start: Folder | None = None,
    size: SizeName | Size = "tiny",
    length: Annotated[int, Field(ge=8, le=4096)] = 128,
    positions: Annotated[int, Field(ge=8, le=8192)] = 256,
    batch: PositiveInt = 16,
    train: bool = True,
    budget_tokens: PositiveInt = 1_500_000,
    rate: Annotated[float, Field(gt=0, le=0.1)] = 1e-3,
    warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.08,
    schedule: Schedule = "constant",
    weight_decay: Annotated[float, Field(ge=0)] = 0.01,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    dropout_off_share: Annotated[float, Field(ge=0, le=1)] = 0.0,
    initial_deviation: Annotated[float, Field(gt=0, le=1)] = 0.05,
    precision: Precision = "auto",
    processes: PositiveInt = 1,
    seed: Seed,
) -> Pretrained:
    """Train a model on the rows of a corpus.

    Rows are cut from the stream of tokens, across documents, and every pass over them has an order
    and a noise of its own.

    Args:
        tokens: Folder of tokens to train on.
        tokenizer: Folder of their tokenizer.
        objective: What is to be learned.
        noise: For ``denoising``, a noise by name or its parts, such as ``{mask: 0.3}``.
        start: Folder of a model in Hugging Face layout to go on from; a new one if not given.
        size: Size of a new model, by name or as ``{layers, width, heads, inner}``.
        length: Tokens of a row, ``<s>`` and ``</s>`` included.
        positions: Longest input and output of a new model; a left-to-right model has one table for
            source and target together.
        batch: Rows of a step.
        train: Whether to train at all; otherwise the first weights are kept.
        budget_tokens: Tokens to train on, counted in rows.
        rate: Highest learning rate.
        warm_up: Share of the steps in which the rate rises.
        schedule: How the rate falls after that.
        weight_decay: Decay of matrices.
        dropout: Share of hidden states dropped.
        dropout_off_share: Last share of the steps without dropout.
        initial_deviation: Standard deviation of the first weights.
        precision: fp32, bf16 with fp32 copies, or what is faster here.
        processes: Processes of this host that share the rows of every step; what is learned is the
            same but for rounding and for which states dropout takes. On a host with GPUs each
            process has one of them.
        seed: Seed of weights, order and noise.

    Raises:
        DataError: If the text is shorter than a row, or the folders do not fit.
        ParameterError: If there are more processes than rows in a step.
    """
    given = dict(locals())
    from assay.parts.text.tokenizer import load_tokenizer
    from assay.parts.training import processes as group
    from assay.systems.denoising.checkpoints import save_model
    from assay.systems.denoising.objectives import new_objective

    rows = stream_rows(open_tokens(tokens), length - SPECIALS)
    if train and processes > 1 and group.size() == 1:
        return _pretrain_together(given, min(batch, len(rows)))
    loaded = load_tokenizer(tokenizer)
    vocabulary = vocabulary_of(loaded)
    made = new_objective(objective, vocabulary, noise_of(noise))
    if start is None:
        entries = len(vocabulary.word_starts) + made.extra_ids
        shape = size_of(size) if isinstance(size, str) else size
        model = new_model(
            made.family, shape, entries, positions=max(positions, length), seed=seed,
            dropout=dropout, initial_deviation=initial_deviation,
        )  # fmt: skip
    else:
        model = _to_go_on_from(start, made, loaded, length)
    folder, records = task().scratch(), Records()
    steps = steps_for(budget_tokens, batch * length) if train else 0
    if steps:
        recipe = Recipe(
            steps=steps, rate=rate, warm_up=warm_up, schedule=schedule, precision=precision,
            weight_decay=weight_decay, dropout_off_share=dropout_off_share,
            checkpoint_every=CHECKPOINT_EVERY,
        )  # fmt: skip
        batches = batches_of(made, rows, batch, seed, processes)
        records = _train(model, made, batches, recipe, folder / "checkpoints", seed)
    seen = steps * min(batch, len(rows)) * length
    epochs = seen / (len(rows) * length)
    records.add("tokens_seen", seen)
    records.add("epochs", epochs)
    card = {
        "objective": objective,
        "noise": noise if objective == "denoising" else "that of the objective",
        "tokens": f"{seen:,} seen, {epochs:.2f} passes over the corpus",
        "seed": seed,
        "licence": "That of the text it was trained on.",
    }
    if group.rank() == 0:
        save_model(folder / "model", model, loaded, card)
    return Pretrained(folder / "model", records)


def _train(
    model: "PreTrainedModel", objective: "Objective", batches: "Callable[[int], list[Batch]]",
    recipe: Recipe, folder: Path, seed: int,
) -> Records:  # fmt: skip
    import torch

    from assay.parts.training.fit import fit

    if torch.distributed.is_initialized() and torch.cuda.is_available():
        # The processes of a host with GPUs exchange what they found there.
        model.to(torch.device("cuda"))  # type: ignore[arg-type] - a decorator hides its signature
    return fit(model, batches, objective.loss, recipe, folder=folder, seed=seed).records()


def _pretrain_together(given: dict[str, Any], rows: int) -> Pretrained:
    """`pretrain` in several processes, which share the rows of a step."""
    from pydantic_core import to_jsonable_python

    from assay.parts.training.distributed import launch

    processes, here = given["processes"], task()
    if processes > rows:
        raise ParameterError(
            f"{processes} processes for the {rows} rows of a step",
            where="processes",
            accepted=f"at most {rows}",
            next="Or train on more rows in a step.",
        )
    records = launch(
        f"{__name__}:{pretrain_here.__name__}",
        {"given": to_jsonable_python(given)},
        processes,
        here.scratch(),
        threads=max(here.threads // processes, 1),
    )
    return Pretrained(here.scratch() / "model", Records(records))


def pretrain_here(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`pretrain` in one of several processes.

    Args:
        given: Inputs and parameters of `pretrain` as JSON values.

    Returns:
        Its records.
    """
    made = describe(pretrain)
    inputs = {name: Path(given[name]) for name in made.inputs}
    values = {name: given[name] for name in made.params}
    return pretrain(**inputs, **made.validate(values, "pretrain")).records.rows


def _to_go_on_from(
    folder: Path, objective: "Objective", tokenizer: "PreTrainedTokenizerFast", length: int
) -> "PreTrainedModel":
    """The model of a folder, if the objective, the tokenizer and the rows fit it."""
    from assay.parts.text.tokenizer import check_fits
    from assay.systems.denoising.checkpoints import load_model
    from assay.systems.denoising.model import KINDS

    kinds = tuple(kind for kind, family in KINDS.items() if family == objective.family)
    model = load_model(folder, kinds=kinds)
    check_fits(tokenizer, model.config.vocab_size, str(folder))
    most = model.config.max_position_embeddings
    if length > most:
        raise DataError(
            f"a row of {length} tokens", where=str(folder), accepted=f"at most its {most} positions"
        )
    return model


def batches_of(
    objective: "Objective", rows: RowIndex, batch: int, seed: int, parts: int = 1
) -> "Callable[[int], list[Batch]]":
    """What each step is trained on, as a function of the step alone; see `order.shuffled`.

    Args:
        objective: What is made of rows.
        rows: The rows.
        batch: Rows of a step.
        seed: Seed of order and noise.
        parts: Micro-batches of a step; without dropout their number matters to rounding alone.
    """
    of_step = shuffled(len(rows), batch, seed)

    def batches(step: int) -> "list[Batch]":
        epoch, chosen = of_step(step)
        return [
            objective.batch(rows.take(part), seed=seed, epoch=epoch, indices=part)
            for part in np.array_split(chosen, parts)
        ]

    return batches


def noise_of(noise: str | Noise) -> Noise:
    """A noise by its name, or as it is."""
    return NOISES[noise] if isinstance(noise, str) else noise


def vocabulary_of(tokenizer: "PreTrainedTokenizerFast") -> "Vocabulary":
    """What an objective knows of a tokenizer: its mask, its ordinary tokens, what begins a word."""
    from assay.parts.text.tokenizer import word_starts
    from assay.systems.denoising.objectives import Vocabulary

    starts = word_starts(tokenizer)
    special = np.unique([-1, *tokenizer.all_special_ids, len(starts)])
    widest = int(np.diff(special).argmax())
    ordinary = int(special[widest]) + 1, int(special[widest + 1]) - 1
    mask: Any = tokenizer.mask_token_id
    return Vocabulary(Specials(mask, *ordinary), starts)
