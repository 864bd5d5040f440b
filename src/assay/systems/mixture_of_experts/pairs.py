"""What a step of training costs: sparse models beside dense ones of equal operations."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.core.task import task
from assay.parts.training.recipe import Precision
from assay.systems.mixture_of_experts import costs
from assay.systems.mixture_of_experts.costs import Shape, dense_twin
from assay.systems.mixture_of_experts.data import equal_shares, training_rows
from assay.systems.mixture_of_experts.timing import training_seconds
from assay.systems.mixture_of_experts.train import rows_to_a_multiple_of

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from assay.systems.mixture_of_experts.model import SparseDecoderForCausalLM

__all__ = ["not_asked", "paired_costs"]

Width = Annotated[int, Field(ge=8, multiple_of=8)]
Experts = Annotated[int, Field(ge=2, le=4096)]
WEIGHTS = "*.safetensors"


@component(version="1", requires=("numpy", "tokenizers", "torch", "transformers"))
def paired_costs(
    tokens: Path,
    tokenizer: Path,
    *,
    widths: Annotated[list[Width], Field(min_length=1)],
    experts: Annotated[list[Experts], Field(min_length=1)],
    layers: PositiveInt = 4,
    heads: PositiveInt = 4,
    length: Annotated[int, Field(ge=8, le=4096)] = 128,
    batch: PositiveInt = 16,
    steps: Annotated[int, Field(ge=2)] = 12,
    precision: Precision = "auto",
    seed: Seed,
) -> Records:
    """Build sparse models and, of each width, the dense one of equal operations; time their steps.

    The models are new, and a step is timed at a rate that leaves the routers as they begin; see
    `timing.training_seconds`. No expert turns a token away, or the pair would not do equal work.

    Args:
        tokens: Folder of `kind_tokens`.
        tokenizer: Folder of the tokenizer.
        widths: Widths of the hidden states.
        experts: Numbers of experts, each at every width.
        layers: Blocks, every second of which is a mixture in the sparse models.
        heads: Attention heads.
        length: Tokens of a row, ``<s>`` included.
        batch: Rows of a step.
        steps: Steps taken of each model.
        precision: That of training.
        seed: Seed of the weights.

    Returns:
        For each pair, told by ``width`` and ``experts``, and each ``family`` of it: of a step
        ``step_flops``, the paper's count, ``step_flops_computed``, with the router, with the rows
        that fill up and without recomputing activations, and ``step_seconds``; ``parameters``,
        ``active_parameters``, ``memory_bytes``, ``checkpoint_bytes`` and ``weights_bytes``, the
        size of its files. And for each pair ``flops_error``, how far the paper's counts of the two
        are apart, as a share.
    """
    from assay.parts.text.tokenizer import load_tokenizer
    from assay.parts.training.torch_state import own_threads
    from assay.systems.mixture_of_experts.folders import NEEDED, save_decoder
    from assay.systems.mixture_of_experts.likelihood import enclosed

    words = load_tokenizer(tokenizer, NEEDED)
    pairs = _pairs(widths, experts, layers, heads, len(words), length)
    shapes = {shape.name: shape for _, pair in pairs for shape in pair}
    rows = equal_shares(training_rows(tokens, length), batch, seed)(0)
    found, folders = dict[str, dict[str, float]](), dict[str, Path]()
    with own_threads(task().threads):
        for name, shape in shapes.items():
            net = _new(shape, seed)
            folders[name] = task().scratch() / name
            save_decoder(folders[name], net, words, {"seed": seed})
            slots = slots_of_a_step(net, enclosed(rows, net.config), precision)
            found[name] = _sizes(shape, folders[name]) | _operations(shape, slots, batch * length)
    timed = training_seconds(
        list(folders.values()), [_row(shape) for shape in shapes.values()], tokens,
        length=length, batch=batch, steps=steps, precision=precision,
    ).table  # fmt: skip
    for name, seconds in zip(timed["model"], timed["seconds"], strict=True):
        found[name]["step_seconds"] = seconds
    return _records(pairs, found)


def _pairs(
    widths: list[int], experts: list[int], layers: int, heads: int, vocabulary: int, length: int
) -> list[tuple[dict[str, int], tuple[Shape, Shape]]]:
    """The keys of each pair, and its dense and its sparse shape."""
    found = []
    for width in dict.fromkeys(widths):
        for number in dict.fromkeys(experts):
            sparse = Shape(layers=layers, width=width, inner=4 * width, heads=heads,
                           vocabulary=vocabulary, length=length, experts=number)  # fmt: skip
            found.append(({"width": width, "experts": number}, (dense_twin(sparse), sparse)))
    return found


def _new(shape: Shape, seed: int) -> "SparseDecoderForCausalLM":
    from assay.parts.training.torch_state import seeded
    from assay.systems.mixture_of_experts.configuration import config_of
    from assay.systems.mixture_of_experts.model import SparseDecoderForCausalLM

    with seeded(seed):
        return SparseDecoderForCausalLM(config_of(shape, capacity_factor=None))


def _row(shape: Shape) -> pd.DataFrame:
    """What `training_seconds` asks of a model, for a single step of it."""
    return pd.DataFrame([{"model": shape.name, "family": shape.family, "steps": 1}])


def slots_of_a_step(net: "PreTrainedModel", ids: "Tensor", precision: Precision) -> float | None:
    """Rows that the experts of a layer compute for each token in a step; None of a dense model.

    Args:
        net: The decoder.
        ids: The rows of the step.
        precision: That of training.
    """
    import torch

    from assay.systems.mixture_of_experts.model import mixtures, routings

    if not mixtures(net):
        return None
    net.train()
    with torch.inference_mode():
        net(input_ids=ids[:, :-1], use_cache=False)
    found = []
    for routing in routings(net).values():
        number = routing.probabilities.shape[1]
        loads = routing.experts[routing.kept].bincount(minlength=number).numpy()
        multiple = rows_to_a_multiple_of(net, number, precision)
        found.append(costs.computed_slots(loads, multiple=multiple) / len(routing.kept))
    return float(np.mean(found))


def _operations(shape: Shape, slots: float | None, tokens: int) -> dict[str, float]:
    return {
        "step_flops": costs.training_flops(shape, tokens),
        "step_flops_computed": costs.actual_training_flops(shape, tokens, slots=slots),
    }


def _sizes(shape: Shape, folder: Path) -> dict[str, float]:
    count = costs.parameters(shape)
    memory = costs.training_memory(count, "fp32")
    return {
        "parameters": count,
        "active_parameters": costs.active_parameters(shape),
        "memory_bytes": memory.total,
        "checkpoint_bytes": memory.checkpoint,
        "weights_bytes": sum(file.stat().st_size for file in folder.glob(WEIGHTS)),
    }


UNITS = {"step_flops": "FLOP", "step_flops_computed": "FLOP", "step_seconds": "s"}


def _records(pairs: list[Any], found: dict[str, dict[str, float]]) -> Records:
    records = Records()
    for keys, pair in pairs:
        for shape in pair:
            for measure, value in found[shape.name].items():
                unit = "byte" if measure.endswith("bytes") else UNITS.get(measure, "1")
                records.add(measure, value, unit, family=shape.family, **keys)
        dense, sparse = (found[shape.name]["step_flops"] for shape in pair)
        records.add("flops_error", abs(sparse / dense - 1), **keys)
    return records


@component(version="1")
def not_asked() -> bool:
    """Stand where a choice of a study asks for nothing; what measures nothing is not run."""
    return False
