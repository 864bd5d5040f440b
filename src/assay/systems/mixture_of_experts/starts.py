"""Where training goes on from: a dense model, the user's or a new one, and what is made of it."""

from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import Field, PositiveInt

from assay.core.component import Folder, Seed, component
from assay.core.records import Records
from assay.core.task import task
from assay.parts.text.tokens import document_rows
from assay.parts.training.recipe import Precision
from assay.systems.mixture_of_experts.data import open_kinds
from assay.systems.mixture_of_experts.train import pretrain

__all__ = ["DenseModel", "dense_folder", "dense_model", "drawn_anew", "start_difference"]

ROWS_AT_ONCE = 16


@component(version="1", requires=("tokenizers", "torch", "transformers"))
def dense_folder(*, path: Folder | None = None) -> Path | None:
    """Take over the user's dense model, with its tokenizer.

    Args:
        path: Folder in Hugging Face layout, of a type in `upcycling.ACCEPTED`; if not given, a
            model is trained, see `dense_model`.

    Returns:
        Folder of the same model as this system has it, or None.

    Raises:
        DataError: If it cannot be taken over, see `upcycling.from_dense`.
    """
    from assay.systems.mixture_of_experts.folders import save_decoder
    from assay.systems.mixture_of_experts.upcycling import from_dense, tokenizer_in

    if path is None:
        return None
    folder = task().scratch() / "model"
    save_decoder(folder, from_dense(path), tokenizer_in(path), {"made from": path.name})
    return folder


class DenseModel(NamedTuple):
    """The dense model that others are made from.

    Attributes:
        model: Its folder.
        records: Of its training, see `train.Pretrained`; of the user's its ``parameters``.
    """

    model: Path
    records: Records


@component(version="1", requires=("numpy", "tokenizers", "torch", "transformers"))
def dense_model(
    tokens: Path,
    tokenizer: Path,
    own: Path | None = None,
    *,
    width: Annotated[int, Field(ge=8, multiple_of=8)] = 128,
    layers: PositiveInt = 4,
    heads: PositiveInt = 4,
    length: Annotated[int, Field(ge=8, le=4096)] = 128,
    batch: PositiveInt = 16,
    budget_tokens: PositiveInt = 1_000_000,
    rate: Annotated[float, Field(gt=0, le=0.1)] = 2e-3,
    precision: Precision = "auto",
    seed: Seed,
) -> DenseModel:
    """The user's dense model as it is, or else one trained here.

    Args:
        tokens: Folder of `kind_tokens`.
        tokenizer: Folder of the tokenizer.
        own: Folder of the user's model; what follows is then of no effect.
        width: Width of the hidden states.
        layers: Blocks.
        heads: Attention heads.
        length: Tokens of a row, ``<s>`` included.
        batch: Rows of a step.
        budget_tokens: Tokens to train on.
        rate: Highest learning rate.
        precision: As for `pretrain`.
        seed: Seed of weights and order.
    """
    if own is not None:
        return DenseModel(own, _counted(own))
    made = pretrain(
        tokens, tokenizer, width=width, layers=layers, heads=heads, length=length, batch=batch,
        budget_tokens=budget_tokens, rate=rate, precision=precision, seed=seed,
    )  # fmt: skip
    return DenseModel(made.model, made.records)


def _counted(folder: Path) -> Records:
    from assay.systems.mixture_of_experts.configuration import shape_of
    from assay.systems.mixture_of_experts.folders import load_decoder

    net: Any = load_decoder(folder)
    records = Records()
    shape = shape_of(net.config, 1)
    records.add("parameters", net.num_parameters(), model=shape.name, family=shape.family)
    return records


@component(version="1", requires=("tokenizers", "torch", "transformers"))
def drawn_anew(model: Path, *, seed: Seed) -> Path:
    """A model of the same shape and routing, all of whose weights are new.

    Args:
        model: Folder of a decoder.
        seed: Seed of the weights.

    Returns:
        Folder of the new model, with the tokenizer of the other.
    """
    from assay.parts.training.torch_state import seeded
    from assay.systems.mixture_of_experts.folders import load_decoder, save_decoder
    from assay.systems.mixture_of_experts.model import SparseDecoderForCausalLM
    from assay.systems.mixture_of_experts.upcycling import tokenizer_in

    config: Any = load_decoder(model).config
    with seeded(seed):
        fresh = SparseDecoderForCausalLM(config)
    save_decoder(task().scratch() / "model", fresh, tokenizer_in(model), {"seed": seed})
    return task().scratch() / "model"


@component(version="1", requires=("numpy", "torch", "transformers"))
def start_difference(
    dense: Path,
    sparse: Path,
    tokens: Path,
    *,
    rows: PositiveInt = 32,
    length: Annotated[int, Field(ge=8, le=4096)] = 128,
) -> Records:
    """How far a model that was made sparse is from the dense one before it is trained on.

    Args:
        dense: Folder of the dense model.
        sparse: Folder of what was made of it.
        tokens: Folder of `kind_tokens`.
        rows: Held-out rows of each kind, from the first.
        length: Tokens of a row, ``<s>`` included.

    Returns:
        For each ``text_kind`` ``start_difference``, the largest difference between the losses of a
        row, in nats per token; with the key ``experts``: ``alike`` where all experts of a layer
        are, and ``apart`` where weights were drawn anew.
    """
    from assay.parts.training.torch_state import own_threads
    from assay.systems.mixture_of_experts.folders import load_decoder
    from assay.systems.mixture_of_experts.likelihood import row_nats
    from assay.systems.mixture_of_experts.model import mixtures

    records = Records()
    with own_threads(task().threads):
        kinds = open_kinds(tokens)
        known = max(kind.validation.vocabulary for kind in kinds)
        nets = [load_decoder(each, length=length, vocabulary=known) for each in (dense, sparse)]
        same = all(bool((m.up == m.up[:1]).all()) for m in mixtures(nets[1]))
        for kind in kinds:
            index, apart = document_rows(kind.validation, length - 1), 0.0
            chosen = np.arange(min(rows, len(index)))
            for part in np.array_split(chosen, -(-len(chosen) // ROWS_AT_ONCE)):
                taken = index.take(part)
                before, after = (row_nats(net, taken) / index.lengths[part] for net in nets)
                apart = max(apart, float(np.abs(after - before).max()))
            keys = {"text_kind": kind.name, "experts": "alike" if same else "apart"}
            records.add("start_difference", apart, "nat", **keys)
    return records
