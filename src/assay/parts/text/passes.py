"""Forward passes that score pieces: options of a question after what they share.

Each pass takes pieces of several questions and returns the sums of log-probabilities of all their
options in one flat array. `assay.parts.text.scoring` decides which pass and which pieces.
"""

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel

__all__ = ["Piece", "cached", "decoded", "naive", "takes_positions", "tree"]


class Piece(NamedTuple):
    """Consecutive options of one question, and what they cost in tokens."""

    question: int
    first: int
    prefix: Sequence[int]
    options: Sequence[Sequence[int]]
    cost: int


def takes_positions(model: "PreTrainedModel") -> bool:
    """Whether the positions of tokens can be set."""
    return "position_ids" in inspect.signature(model.forward).parameters


def _sums(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum of log-probabilities of ``targets``, of which those below 0 are padding.

    Args:
        logits: Shape ``(row, token, vocabulary)``.
        targets: Shape ``(row, token)``.

    Returns:
        Float64, shape ``(row,)``.
    """
    losses = functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="none"
    )
    return -losses.double().view(targets.shape).sum(-1)


def _padded(rows: Sequence[Sequence[int]], device: torch.device, *, fill: int = 0) -> Tensor:
    """Rows of ids, padded at the end."""
    width = max(map(len, rows))
    padded = np.full((len(rows), width), fill, dtype=np.int64)
    for line, row in zip(padded, rows, strict=True):
        line[: len(row)] = row
    return torch.from_numpy(padded).to(device)


def naive(model: "PreTrainedModel", batch: list[Piece]) -> np.ndarray:
    """A row for each option; padding comes last, where no token sees it."""
    found = []
    for piece in batch:
        rows = [[*piece.prefix, *option[:-1]] for option in piece.options]
        targets = _padded(piece.options, model.device, fill=-1)
        logits = model(
            input_ids=_padded(rows, model.device), use_cache=False, logits_to_keep=targets.shape[1]
        ).logits
        found.append(_sums(logits, targets))
    return torch.cat(found).cpu().numpy()


class _Prefixes(NamedTuple):
    """Prefixes that a model has read, padding first.

    So the tokens that count lie next to what follows, as in a row of their own.

    Attributes:
        logits: Of the first token after each, shape ``(row, 1, vocabulary)``.
        cache: Keys and values.
        seen: 1 where there is no padding, shape ``(row, token)``.
        lengths: Of each, shape ``(row, 1)``.
    """

    logits: Tensor
    cache: "Cache"
    seen: Tensor
    lengths: Tensor


def _read_prefixes(model: "PreTrainedModel", batch: list[Piece]) -> _Prefixes:
    seen = _padded([[1] * len(p.prefix) for p in batch], model.device).flip(1)
    ids = _padded([p.prefix[::-1] for p in batch], model.device).flip(1)
    positions = (seen.cumsum(1) - 1).clamp(min=0)
    read = model(
        input_ids=ids,
        attention_mask=seen,
        use_cache=True,
        logits_to_keep=1,
        **({"position_ids": positions} if takes_positions(model) else {}),
    )
    return _Prefixes(read.logits, read.past_key_values, seen, seen.sum(1, keepdim=True))


def cached(model: "PreTrainedModel", batch: list[Piece]) -> np.ndarray:
    """Each option in a row of its own, beside a copy of its prefix's keys and values."""
    device, read = model.device, _read_prefixes(model, batch)
    owner = torch.tensor([k for k, p in enumerate(batch) for _ in p.options], device=device)
    targets = _padded([option for p in batch for option in p.options], device, fill=-1)
    found = _sums(read.logits[owner], targets[:, :1])
    if targets.shape[1] > 1:
        read.cache.batch_select_indices(owner)
        real = targets[:, :-1] >= 0
        positions = read.lengths[owner] - 1 + real.cumsum(1)  # padding keeps the last one
        logits = model(
            input_ids=targets[:, :-1].clamp(min=0),
            attention_mask=torch.cat([read.seen[owner], torch.ones_like(positions)], dim=1),
            past_key_values=read.cache,
            **({"position_ids": positions} if takes_positions(model) else {}),
        ).logits
        found += _sums(logits, targets[:, 1:])
    return found.cpu().numpy()


def tree(model: "PreTrainedModel", batch: list[Piece]) -> np.ndarray:
    """All options of a piece in one row after its prefix, each without its last token."""
    device, rows = model.device, len(batch)
    tail = max(sum(len(o) - 1 for o in piece.options) for piece in batch)
    ids = np.zeros((rows, tail), dtype=np.int64)
    offsets = np.zeros_like(ids)
    part = np.zeros_like(ids)  # number of the option from 1; 0 is padding
    asked, targets, owner = [], [], []  # number of the logits, id, number of the option
    for row, piece in enumerate(batch):
        end = 0
        for number, option in enumerate(piece.options, 1):
            start, end = end, end + len(option) - 1
            ids[row, start:end], part[row, start:end] = option[:-1], number
            offsets[row, start:end] = np.arange(end - start)
            # The last token of the prefix predicts the first of every option.
            asked.append(row * (tail + 1) + np.r_[0, start + 1 : end + 1])
            targets.append(option)
            owner.append(np.full(len(option), len(owner)))
    read = _read_prefixes(model, batch)
    logits = read.logits
    if tail:
        after = model(
            input_ids=torch.from_numpy(ids).to(device),
            attention_mask=_tree_mask(model, read.seen, torch.from_numpy(part).to(device)),
            position_ids=read.lengths + torch.from_numpy(offsets).to(device),
            past_key_values=read.cache,
        ).logits
        logits = torch.cat([logits, after], dim=1)
    places, wanted, numbers = (
        torch.from_numpy(np.concatenate(a)).to(device) for a in (asked, targets, owner)
    )
    logits = logits.float().flatten(0, 1)
    log_probability = logits[places, wanted] - torch.logsumexp(logits, -1)[places]
    sums = torch.zeros(len(owner), dtype=torch.float64, device=device)
    return sums.index_add_(0, numbers, log_probability.double()).cpu().numpy()


def _tree_mask(model: "PreTrainedModel", seen: Tensor, part: Tensor) -> Tensor:
    """What is added to attention: an option sees its prefix and itself, padding sees itself too.

    Args:
        model: Its precision is that of the mask, unless under autocast.
        seen: 1 where the prefix is no padding, shape ``(row, prefix)``.
        part: Number of the option from 1, 0 for padding, shape ``(row, token)``.

    Returns:
        0 or the lowest number, shape ``(row, 1, token, prefix + token)``.
    """
    own = (part[:, :, None] == part[:, None, :]).tril()
    sees = torch.cat([seen.bool()[:, None, :].expand(-1, part.shape[1], -1), own], dim=2)
    kind, dtype = part.device.type, model.dtype
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
    mask = torch.zeros(sees.shape, dtype=dtype, device=part.device)
    return mask.masked_fill_(~sees, torch.finfo(dtype).min)[:, None]


def decoded(
    model: "PreTrainedModel", batch: list[Piece], decoder_prefix: Sequence[int]
) -> np.ndarray:
    """Sources through the encoder once, all options through the decoder together."""
    from transformers.modeling_outputs import BaseModelOutput

    device = model.device
    sources = _padded([p.prefix for p in batch], device)
    seen = _padded([[1] * len(p.prefix) for p in batch], device)
    encoder = model.get_encoder()
    states = encoder(input_ids=sources, attention_mask=seen).last_hidden_state
    owner = torch.tensor([k for k, p in enumerate(batch) for _ in p.options], device=device)
    options = [option for piece in batch for option in piece.options]
    given = [model.config.decoder_start_token_id, *decoder_prefix]
    logits = model(
        encoder_outputs=BaseModelOutput(last_hidden_state=states[owner]),
        attention_mask=seen[owner],
        decoder_input_ids=_padded([[*given, *option[:-1]] for option in options], device),
        use_cache=False,
    ).logits
    return _sums(logits[:, len(given) - 1 :], _padded(options, device, fill=-1)).cpu().numpy()
