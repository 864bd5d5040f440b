"""Whether the routers are well: loads, entropy, overflow, and what each expert reads."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field, PositiveInt

from assay.core.component import component
from assay.core.records import Records
from assay.core.task import task
from assay.parts.text.tokens import Rows, stream_rows
from assay.systems.mixture_of_experts.data import open_kinds

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["RouterHealth", "probe", "router_health"]

MEASURES = {
    "overflow_first": "overflow_first",
    "overflow_second": "overflow_second",
    "entropy": "gate_entropy",
    "top_share": "top_share",
    "bottom_share": "bottom_share",
    "unused": "unused_experts",
    "max_load": "max_load",
}
"""Measure of each of `routing.statistics`."""
AROUND = 6
"""Tokens shown on either side of one that an expert reads."""


def probe(model: "PreTrainedModel", ids: "Tensor") -> list[dict[str, Any]]:
    """What the routers would do with rows in training, layer by layer.

    Args:
        model: A decoder, left in the mode it is in; a dense one has no routers.
        ids: Rows ``[rows, length]`` of which all but the last token are read, none of them padding.

    Returns:
        For each mixture its ``layer`` and the measures of `MEASURES`.
    """
    import torch

    from assay.systems.mixture_of_experts.model import mixtures, routings
    from assay.systems.mixture_of_experts.routing import statistics

    layers = mixtures(model)
    for layer in layers:
        layer.train()
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(0)
        model(input_ids=ids[:, :-1], use_cache=False)
        found = {layer: statistics(routing) for layer, routing in routings(model).items()}
    for layer in layers:
        layer.train(model.training)
    return [
        {"layer": layer} | {MEASURES[name]: float(value) for name, value in measured.items()}
        for layer, measured in found.items()
    ]


class RouterHealth(NamedTuple):
    """What the experts of a model read.

    Attributes:
        examples: ``layer``, ``expert``, its ``share`` of the first choices, and ``reads``: the
            tokens that it is surest of, in brackets, with what stands around them.
        records: ``expert_share`` of the first choices by ``layer``, ``expert`` and ``text_kind``;
            ``kind_divergence`` by ``layer``, in nats: how far the loads of the kinds lie apart (the
            Jensen-Shannon divergence; 0 if every kind uses the experts alike).
    """

    examples: pd.DataFrame
    records: Records


@component(version="1", requires=("numpy", "tokenizers", "torch", "transformers"))
def router_health(
    model: Path,
    tokens: Path,
    *,
    rows: PositiveInt = 32,
    length: Annotated[int, Field(ge=8, le=4096)] = 128,
    examples: PositiveInt = 3,
) -> RouterHealth:
    """Look at what each expert reads, in held-out text of every kind.

    Args:
        model: Folder of a sparse decoder with its tokenizer; of a dense one nothing is found.
        tokens: Folder of `kind_tokens`.
        rows: Rows of each kind, from the first.
        length: Tokens of a row, ``<s>`` included.
        examples: Tokens shown of each expert.

    Raises:
        DataError: If the decoder does not know the tokens, or reads no rows of this length.
    """
    import torch

    from assay.parts.text.tokenizer import load_tokenizer
    from assay.parts.training.torch_state import own_threads
    from assay.systems.mixture_of_experts.folders import NEEDED, load_decoder
    from assay.systems.mixture_of_experts.likelihood import enclosed
    from assay.systems.mixture_of_experts.model import routings

    seen: dict[int, list[_Seen]] = {}
    with own_threads(task().threads), torch.inference_mode():
        kinds, words = open_kinds(tokens), load_tokenizer(model, NEEDED)
        known = max(kind.validation.vocabulary for kind in kinds)
        net = load_decoder(model, length=length, vocabulary=known)
        for kind in kinds:
            index = stream_rows(kind.validation, min(length - 1, len(kind.validation.ids)))
            part = index.take(np.arange(min(rows, len(index))))
            ids = enclosed(part, net.config)[:, 1:]
            net(input_ids=ids, use_cache=False)
            for layer, routing in routings(net).items():
                first = routing.experts[:, 0].numpy()
                sure = routing.probabilities.max(1).values.numpy()
                seen.setdefault(layer, []).append(_Seen(kind.name, part, first, sure))
    records, table = Records(), list[dict[str, Any]]()
    for layer, parts in seen.items():
        _add_shares(records, layer, parts, net.config.experts)
        table += _examples(words, layer, parts, net.config.experts, examples)
    columns = ["layer", "expert", "share", "reads"]
    return RouterHealth(pd.DataFrame(table, columns=columns), records)


class _Seen(NamedTuple):
    """What one router did with the rows of one kind: first choices, and how sure it was."""

    kind: str
    rows: Rows
    first: np.ndarray
    sure: np.ndarray


def _add_shares(records: Records, layer: int, parts: list[_Seen], experts: int) -> None:
    loads = np.stack([np.bincount(p.first, minlength=experts) / len(p.first) for p in parts])
    for part, shares in zip(parts, loads, strict=True):
        for expert, share in enumerate(shares):
            records.add("expert_share", share, layer=layer, expert=expert, text_kind=part.kind)
    divergence = _entropy(loads.mean(0)) - np.mean([_entropy(shares) for shares in loads])
    records.add("kind_divergence", float(max(divergence, 0.0)), "nat", layer=layer)


def _entropy(shares: np.ndarray) -> float:
    some = shares[shares > 0]
    return float(-(some * np.log(some)).sum())


def _examples(
    words: "PreTrainedTokenizerFast", layer: int, parts: list[_Seen], experts: int, wanted: int
) -> list[dict[str, Any]]:
    """The tokens that each expert is surest of, of different texts where there are."""
    total = sum(len(part.first) for part in parts)
    found = []
    for expert in range(experts):
        places = [
            (part.sure[place], number, int(place))
            for number, part in enumerate(parts)
            for place in np.flatnonzero(part.first == expert)
        ]
        shown: list[str] = []
        for _, number, place in sorted(places, reverse=True):
            text = _around(words, parts[number].rows, place)
            if text not in shown:
                shown.append(text)
            if len(shown) == wanted:
                break
        share = len(places) / total
        found.append({"layer": layer, "expert": expert, "share": share, "reads": " | ".join(shown)})
    return found


def _around(words: "PreTrainedTokenizerFast", rows: Rows, place: int) -> str:
    """A token in brackets, with what stands around it in its row."""
    row, at = divmod(place, rows.ids.shape[1])
    line = rows.ids[row]
    before, token, after = (
        str(words.decode(part))
        for part in (line[max(at - AROUND, 0) : at], line[at : at + 1], line[at + 1 : at + AROUND])
    )
    gap = " " if token[:1].isspace() else ""
    return " ".join(f"{before}{gap}[{token.strip() or '␣'}]{after}".split())
