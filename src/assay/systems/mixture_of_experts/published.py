"""The published models, built without memory, counted, and put beside what was printed of them."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from assay.core.component import component
from assay.core.records import Records
from assay.core.task import task
from assay.systems.mixture_of_experts.costs import (
    PUBLISHED,
    TRAINING_TOKENS,
    Shape,
    gpu_days,
    parameters,
    published_costs,
    training_flops,
)

__all__ = ["REPORTED", "PublishedName", "Reported", "closed_form", "published_models"]

PublishedName = Literal[
    "125M", "355M", "1.3B", "2.7B", "6.7B", "13B", "15B", "52B", "207B", "1.1T"
]  # fmt: skip


class Reported(NamedTuple):
    """What is reported of a model that saw 300 billion tokens.

    Attributes:
        days: Its training in whole days of a V100 at 30 TFLOP/s.
        parameters: Its parameters, where more than the name tells them.
        length: Tokens of a row for which the days are told.
    """

    days: int
    parameters: float | None = None
    length: int = 2048


REPORTED: dict[str, Reported] = {
    "125M": Reported(140),
    "355M": Reported(408),
    "1.3B": Reported(1376),
    "2.7B": Reported(2730),
    "6.7B": Reported(6605),
    "13B": Reported(12605),
    "15B": Reported(166, 14.6e9),
    "52B": Reported(502, 51.8e9),
    "207B": Reported(1749, 207e9),
    "1.1T": Reported(8344, 1104e9, 1024),
}
"""From the model card and a table of models in a public repository."""


@component(version="1", requires=("torch", "transformers"))
def published_models(
    *,
    models: Annotated[list[PublishedName], Field(min_length=1)] | None = None,
    tokens: Annotated[float, Field(gt=0)] = TRAINING_TOKENS,
) -> Records:
    """Build published models on the meta device, where weights have shapes only, and count them.

    Args:
        models: Which; all ten if not given.
        tokens: Tokens of training that are counted.

    Returns:
        By ``model`` and ``family``: the costs of `costs.published_costs`; ``parameter_error``, by
        how many parameters the model built differs from the formula; ``closed_form_error``, how far
        the count of operations layer by layer is from the paper's formula, as a share; and how far
        the published figures are: ``gpu_days_error`` in days, of 300 billion tokens, and
        ``published_parameter_error`` as a share.
    """
    wanted = list(dict.fromkeys(models or PUBLISHED))
    records = Records(row for row in published_costs(tokens) if row["model"] in wanted)
    for done, name in enumerate(wanted):
        family, _, shape = PUBLISHED[name]
        for measure, value, unit in _errors(shape, REPORTED[name]):
            records.add(measure, value, unit, model=name, family=family)
        task().progress(done + 1, len(wanted), "models")
    return records


def _errors(shape: Shape, said: Reported) -> list[tuple[str, float, str]]:
    """How far a model is from what was computed and printed of it: measure, value, unit."""
    from dataclasses import replace

    flops, count = training_flops(shape, TRAINING_TOKENS), built_parameters(shape)
    days = gpu_days(training_flops(replace(shape, length=said.length), TRAINING_TOKENS))
    found = [
        ("parameter_error", abs(count - parameters(shape)), "1"),
        ("closed_form_error", abs(flops / closed_form(shape, TRAINING_TOKENS) - 1), "1"),
        ("gpu_days_error", abs(days - said.days), "d"),
    ]
    if said.parameters is not None:
        found.append(("published_parameter_error", abs(count / said.parameters - 1), "1"))
    return found


def built_parameters(shape: Shape) -> int:
    """Parameters of the model that a shape gives, built without memory for its weights."""
    import torch

    from assay.systems.mixture_of_experts.configuration import config_of
    from assay.systems.mixture_of_experts.model import SparseDecoderForCausalLM

    with torch.device("meta"):
        return SparseDecoderForCausalLM(config_of(shape)).num_parameters()


def closed_form(shape: Shape, tokens: float) -> float:
    """Operations of training by the paper's formula.

    F = 96 T l d^2 (1 + s / (6 d) + V / (16 l d)), and 32 T l d^2 more for a sparse model; for
    feed-forward layers of 4 d, and two experts in every second layer.
    """
    layers, width = shape.layers, shape.width
    of_layers = tokens * layers * width**2
    share = 1 + shape.length / (6 * width) + shape.vocabulary / (16 * layers * width)
    return of_layers * (96 * share + (32 if shape.mixtures else 0))
