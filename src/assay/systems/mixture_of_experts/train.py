"""Training a decoder, dense or sparse, on kinds of text in equal shares."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field, PositiveInt

from assay.core.component import Folder, Seed, component
from assay.core.records import Records
from assay.core.task import task
from assay.errors import DataError, ParameterError, StepError
from assay.parts.training.recipe import Precision, Recipe, Schedule, steps_for
from assay.systems.mixture_of_experts import costs
from assay.systems.mixture_of_experts.data import equal_shares, training_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["Pretrained", "pretrain", "rows_to_a_multiple_of"]

CHECKPOINT_EVERY = 100  # steps
PROBES = 10  # points of the curves of router health
PROBE_ROWS = 16
Share = Annotated[float, Field(ge=0, lt=1)]


class Pretrained(NamedTuple):
    """A trained decoder and what it cost.

    Attributes:
        model: Folder in Hugging Face layout, tokenizer and model card included.
        costs: One row: ``model`` and ``family``, the ``steps``, and the costs ``flops``, the
            paper's analytic count, and ``actual_flops``, with router and empty slots.
        records: By ``model`` and ``family``: ``training_loss`` over ``training_step`` with the
            ``training_tokens`` spent by then, ``parameters``, ``active_parameters``,
            ``training_flops``, ``training_flops_actual``, ``memory_bytes``; and of a sparse model
            the health of its routers by ``layer`` and ``training_step``, see `health.probe`.
    """

    model: Path
    costs: pd.DataFrame
    records: Records


@component(version="1", requires=("numpy", "tokenizers", "torch", "transformers"))
def pretrain(
    tokens: Path,
    tokenizer: Path,
    begun: Path | None = None,
    *,
    start: Folder | None = None,
    width: Annotated[int, Field(ge=8, multiple_of=8)] = 128,
    layers: PositiveInt = 4,
    heads: PositiveInt = 4,
    experts: Annotated[int, Field(ge=0, le=4096)] = 0,
    expert_every: PositiveInt = 2,
    choices: Literal[1, 2] = 2,
    second: Literal["all", "sampling", "random"] = "all",
    capacity_factor: Annotated[float, Field(gt=0)] | None = 1.0,
    batch_prioritised: bool = False,
    balance_weight: Annotated[float, Field(ge=0)] = 0.01,
    length: Annotated[int, Field(ge=8, le=4096)] = 128,
    batch: PositiveInt = 16,
    budget_tokens: PositiveInt = 1_500_000,
    rate: Annotated[float, Field(gt=0, le=0.1)] = 2e-3,
    warm_up: Share = 0.05,
    schedule: Schedule = "linear",
    weight_decay: Annotated[float, Field(ge=0)] = 0.01,
    precision: Precision = "auto",
    seed: Seed,
) -> Pretrained:
    """Train a decoder to predict the next token of every kind of text it is given.

    Args:
        tokens: Folder of `kind_tokens`; the kinds in it that are trained on have equal shares.
        tokenizer: Folder of the tokenizer.
        begun: Folder of a decoder to go on from, see `upcycling`; a new one if not given, and what
            the folder says stands in the place of the shape and of the routing asked for.
        start: The same, if it is not made by another step.
        width: Width of the hidden states; feed-forward layers and experts are four times as wide.
        layers: Blocks.
        heads: Attention heads.
        experts: Experts of each mixture layer; 0 or 1 for a dense model.
        expert_every: Every n-th block has a mixture.
        choices: Experts that a token goes to.
        second: How the second of them is found.
        capacity_factor: Places of an expert in training over its fair share; None for no limit.
        batch_prioritised: Whether the most confident tokens are placed first.
        balance_weight: Weight of the load-balancing loss.
        length: Tokens of a row, ``<s>`` included.
        batch: Rows of a step.
        budget_tokens: Tokens to train on.
        rate: Highest learning rate.
        warm_up: Share of the steps in which the rate rises.
        schedule: How the rate falls after that.
        weight_decay: Decay of matrices.
        precision: fp32, bf16 with fp32 copies, or what is faster here.
        seed: Seed of weights, order and routing.

    Raises:
        ParameterError: If there are two decoders to go on from, or experts and no layer for them.
        DataError: If the decoder numbers tokens otherwise or does not read such rows, or a kind
            of text is shorter than one.
    """
    from assay.parts.text.tokenizer import check_fits, load_tokenizer
    from assay.systems.mixture_of_experts.folders import NEEDED, load_decoder, save_decoder
    from assay.systems.mixture_of_experts.model import new_decoder

    if begun and start:
        raise ParameterError("two decoders to go on from", where="start",
                             accepted="one, from another step or as start")  # fmt: skip
    words, scratch, folder = load_tokenizer(tokenizer, NEEDED), task().scratch(), begun or start
    if folder is None and experts > 1 and expert_every > layers:
        raise ParameterError(
            f"a mixture in every layer of {expert_every} leaves all {layers} layers dense",
            where="expert_every", accepted=f"1 to {layers}, or no experts",
        )  # fmt: skip
    if folder is None:
        net: Any = new_decoder(
            vocabulary=len(words), width=width, layers=layers, heads=heads, experts=experts,
            expert_every=expert_every, choices=choices, second=second,
            capacity_factor=capacity_factor, batch_prioritised=batch_prioritised,
            balance_weight=balance_weight, positions=length, seed=seed,
        )  # fmt: skip
    else:
        net = load_decoder(folder, length=length)
        check_fits(words, net.config.vocab_size, str(folder))
        _require_alike(words, folder)
    steps = steps_for(budget_tokens, batch * length)
    recipe = Recipe(
        steps=steps, rate=rate, warm_up=warm_up, schedule=schedule, betas=(0.9, 0.98),
        weight_decay=weight_decay, precision=precision, checkpoint_every=CHECKPOINT_EVERY,
        keep_at=tuple(sorted({round(k * steps / PROBES) for k in range(PROBES + 1)})),
    )  # fmt: skip
    records = _train(net, tokens, length, batch, recipe, scratch, seed)
    seen = steps * batch * length
    paid = _costs(net, seen, length, batch, precision, records)
    save_decoder(scratch / "model", net, words, {"tokens": f"{seen:,} seen", "seed": seed})
    keys = {key: paid[key].item() for key in ("model", "family")}
    return Pretrained(scratch / "model", paid, Records(row | keys for row in records))


def _require_alike(words: "PreTrainedTokenizerFast", folder: Path) -> None:
    """Refuse to train a model on with a tokenizer that numbers tokens otherwise than its own."""
    from assay.systems.mixture_of_experts.upcycling import tokenizer_in

    own = tokenizer_in(folder)
    numbers = {} if own is None else own.get_vocab()
    for token, number in words.get_vocab().items() if numbers else ():
        if numbers.get(token) != number:
            raise DataError(
                f"the tokenizer is not that of the model: {token!r} is {number} and was "
                f"{numbers.get(token, 'no token')}",
                where=str(folder),
                next="Use the tokenizer the model was trained with.",
            )


def _train(
    net: Any, tokens: Path, length: int, batch: int, recipe: Recipe, scratch: Path, seed: int,
) -> Records:  # fmt: skip
    """Train in place; the curve of the loss, and of the routers' health on rows of the first step.

    What the routers do is looked at with the weights of chosen steps and not while training goes
    on, so a run that was killed and goes on finds the same.
    """
    from assay.parts.training.fit import fit
    from assay.systems.mixture_of_experts.health import probe
    from assay.systems.mixture_of_experts.likelihood import enclosed
    from assay.systems.mixture_of_experts.model import training_loss

    rows_of = equal_shares(training_rows(tokens, length), batch, seed)
    looked_at = enclosed(rows_of(0), net.config)[:PROBE_ROWS]
    health: dict[int, list[dict[str, Any]]] = {}

    def look(step: int, model: "PreTrainedModel") -> None:
        try:
            health[step] = probe(model, looked_at)
        except StepError as error:
            raise error.at(f"training step {step}") from error
        for found in health[step]:
            task().event("router", training_step=step, **found)

    fitted = fit(
        net, lambda step: [{"ids": enclosed(rows_of(step), net.config)}], training_loss, recipe,
        folder=scratch / "checkpoints", seed=seed, on_keep=look,
    )  # fmt: skip
    records = Records(row for row in fitted.records() if row["measure"] != "training_flops")
    for step, layers in health.items():
        for found in layers:
            layer = found.pop("layer")
            for measure, value in found.items():
                records.add(measure, value, layer=layer, training_step=step)
    return records


def _costs(
    net: Any, tokens: int, length: int, batch: int, precision: Precision, records: Records
) -> pd.DataFrame:
    """The row of costs of a model, which are also recorded."""
    from assay.systems.mixture_of_experts.model import shape_of

    shape = shape_of(net.config, length)
    paid = {
        "model": shape.name,
        "family": shape.family,
        "steps": tokens // (batch * length),
        "flops": costs.training_flops(shape, tokens),
        "actual_flops": costs.actual_training_flops(
            shape, tokens, slots=_slots(net, batch, length, precision)
        ),
    }
    records.add("active_parameters", costs.active_parameters(shape))
    records.add("training_flops", paid["flops"], "FLOP")
    records.add("training_flops_actual", paid["actual_flops"], "FLOP")
    memory = costs.training_memory(costs.parameters(shape), "fp32")
    records.add("memory_bytes", memory.total, "byte")
    return pd.DataFrame([paid])


def _slots(net: Any, batch: int, length: int, precision: Precision) -> float | None:
    """Rows that a mixture computes for each token of a step, those that fill up included.

    Where the kernel fills the rows of an expert up to a multiple, as if all experts got as many.
    """
    from assay.systems.mixture_of_experts.model import mixtures

    layers = mixtures(net)
    if not layers:
        return None
    experts, tokens = len(layers[0].up), batch * (length - 1)
    loads = np.full(experts, -(-layers[0].policy.choices * tokens // experts))
    multiple = rows_to_a_multiple_of(net, experts, precision)
    return costs.computed_slots(loads, multiple=multiple) / tokens


def rows_to_a_multiple_of(net: "PreTrainedModel", experts: int, precision: Precision) -> int:
    """What training fills the rows of an expert up to a multiple of; 1 where it does not.

    Args:
        net: The decoder.
        experts: Experts of a mixture.
        precision: The precision asked for; it is that of the products, and the weights in ``net``
            are in fp32 whatever it is.
    """
    import torch

    from assay.parts.training.precision import choose
    from assay.systems.mixture_of_experts import dispatch

    bf16 = choose(net, precision).precision == "bf16"
    dtype = torch.bfloat16 if bf16 else torch.float32
    if dispatch.fastest(net.device.type, dtype, training=True) != "padded":
        return 1
    return dispatch.padding(dtype, experts)
