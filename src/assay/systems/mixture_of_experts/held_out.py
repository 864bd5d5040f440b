"""Decoders that are compared under the names of choices: held-out text, and what routers do there.

The records of `perplexities` and of `pretrain` carry the name of the model. Where choices differ in
it, two of their records would never agree on every other key, and no pair could be compared.
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveInt

from assay.core.component import component
from assay.core.records import Records
from assay.core.task import task
from assay.parts.text.tokens import stream_rows
from assay.systems.mixture_of_experts.data import open_kinds
from assay.systems.mixture_of_experts.evaluate import perplexities

__all__ = ["held_out"]

NAMES = ("model", "family")
ROUTED = 8  # rows of each kind that routers are looked at with


@component(version="1", requires=("numpy", "tokenizers", "torch", "transformers"))
def held_out(
    model: Path,
    tokens: Path,
    *,
    rows: PositiveInt = 150,
    length: Annotated[int, Field(ge=8, le=4096)] = 128,
) -> Records:
    """Measure a decoder on held-out text, and of a sparse one what its routers do there.

    Args:
        model: Folder of a decoder.
        tokens: Folder of `kind_tokens`.
        rows: Rows of each kind at most.
        length: Tokens of a row, ``<s>`` included.

    Returns:
        The records of `perplexities`, without the name of the model; and for each ``layer`` that is
        a mixture the measures of `health.probe`, as ``held_out_max_load`` and so on: what would
        happen in a step of training on unseen rows of the kinds trained on.
    """
    from assay.parts.training.torch_state import own_threads
    from assay.systems.mixture_of_experts.folders import load_decoder
    from assay.systems.mixture_of_experts.health import probe

    found = perplexities(model, tokens, rows=rows, length=length).records
    records = Records({k: v for k, v in row.items() if k not in NAMES} for row in found)
    with own_threads(task().threads):
        net = load_decoder(model)
        for layer in probe(net, _unseen(tokens, length, net.config)):
            number = layer.pop("layer")
            for measure, value in layer.items():
                records.add(f"held_out_{measure}", value, layer=number)
    return records


def _unseen(tokens: Path, length: int, config: Any) -> Any:
    """Whole rows of held-out text of the kinds trained on, as ids ``[rows, length]``."""
    import numpy as np
    import torch

    from assay.systems.mixture_of_experts.likelihood import enclosed

    stores = [kind.validation for kind in open_kinds(tokens) if kind.domain == "in"]
    shortest = min(length - 1, *(len(store.ids) for store in stores))
    each = [stream_rows(store, shortest) for store in stores]
    return torch.cat(
        [enclosed(rows.take(np.arange(min(ROUTED, len(rows)))), config) for rows in each]
    )
