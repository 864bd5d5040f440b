"""The tensors that each family of models reads, made of rows of tokens.

============  ========================================================================
bart          ``source``; ``decoder``, the target moved one to the right; ``targets``
causal        ``ids``; ``targets``, the same tokens moved one to the left
two_stream    ``ids``, ``order`` and ``predicted`` of `two_stream`; ``targets``
============  ========================================================================

All are int64 and padded on the right. A target of `IGNORE` is not counted. A batch of sources and
targets counts the same tokens for every family: those of the target and the </s> that ends it.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int, Integer

from assay.systems.denoising.model import BEGIN, END, PAD, Family

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "IGNORE",
    "Batch",
    "causal_batch",
    "conditional_batch",
    "enclosed",
    "encoder_decoder_batch",
    "padded",
    "two_stream_batch",
]

IGNORE = -100

Batch = dict[str, "Tensor"]


def padded(
    rows: Sequence[Sequence[int] | np.ndarray], fill: int = PAD
) -> Int[np.ndarray, "rows length"]:
    """Rows of unequal length as one array, at least one column wide.

    Example:
        >>> padded([[5, 6], [7]])
        array([[5, 6],
               [7, 1]])
    """
    out = np.full((len(rows), max(1, *(len(row) for row in rows))), fill, dtype=np.int64)
    for line, row in zip(out, rows, strict=True):
        line[: len(row)] = row
    return out


def enclosed(
    ids: Integer[np.ndarray, "rows length"], lengths: Integer[np.ndarray, " rows"]
) -> Int[np.ndarray, "rows width"]:
    """``<s> tokens </s>`` for every row, padded.

    Args:
        ids: Tokens; what stands beyond the length of a row is not read.
        lengths: Tokens of each row.
    """
    rows, width = len(ids), int(lengths.max(initial=0))
    out = np.full((rows, width + 2), PAD, dtype=np.int64)
    out[:, 0] = BEGIN
    out[:, 1:-1] = np.where(_inside(lengths, width), ids[:, :width], PAD)
    out[np.arange(rows), lengths + 1] = END
    return out


def _inside(lengths: np.ndarray, width: int) -> Bool[np.ndarray, "rows width"]:
    return np.arange(width) < lengths[:, None]


def encoder_decoder_batch(
    source: Int[np.ndarray, "rows source"], target: Int[np.ndarray, "rows target"], given: int = 0
) -> Batch:
    """The decoder is told </s> and then the target, and is to say the target.

    Args:
        source: What the encoder reads, padded.
        target: What the decoder writes, padded; it ends with </s> if that is to be learned.
        given: Tokens at the start of a target that are told and not counted.
    """
    decoder = np.concatenate([np.full((len(target), 1), END), target[:, :-1]], axis=1)
    targets = np.where(target == PAD, IGNORE, target)
    targets[:, :given] = IGNORE
    return _tensors(source=source, decoder=decoder, targets=targets)


def causal_batch(
    ids: Int[np.ndarray, "rows length"], given: int | Int[np.ndarray, " rows"] = 1
) -> Batch:
    """Every token is predicted from those before it.

    Args:
        ids: Tokens, padded.
        given: Tokens at the start of each row that are told and not counted.
    """
    targets = np.where(ids == PAD, IGNORE, ids)
    targets[_inside(np.broadcast_to(given, len(ids)), ids.shape[1])] = IGNORE
    return _tensors(ids=ids[:, :-1], targets=targets[:, 1:])


def two_stream_batch(
    ids: Int[np.ndarray, "rows length"],
    order: Int[np.ndarray, "rows length"],
    predicted: Sequence[np.ndarray],
    truth: Int[np.ndarray, "rows length"],
) -> Batch:
    """Some positions are predicted, each from what its order lets it see.

    Args:
        ids: Tokens that the content stream reads, padded.
        order: See `two_stream`; padding is put last here.
        predicted: Positions to predict in each row.
        truth: Tokens as they should be, padded.
    """
    order = np.where(truth == PAD, ids.shape[1], order)
    targets = [line[chosen] for line, chosen in zip(truth, predicted, strict=True)]
    return _tensors(
        ids=ids, order=order, predicted=padded(predicted, 0), targets=padded(targets, IGNORE)
    )


def conditional_batch(
    family: Family, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
) -> Batch:
    """Targets to be written given their sources.

    BART reads the source in its encoder. The others have it as a prefix, ``<s> source </s> target
    </s>``, which two streams see as a whole. <s> is told to BART's decoder and not counted.

    Args:
        family: Family of the model.
        sources: Tokens of each source, without special ones.
        targets: Tokens of each target, without special ones.
    """
    return _CONDITIONAL[family](sources, targets)


def prefixes(sources: Sequence[Sequence[int]]) -> list[list[int]]:
    """``<s> source </s>`` for every source."""
    return [[BEGIN, *source, END] for source in sources]


def prefix_order(lengths: Int[np.ndarray, " rows"], width: int) -> Int[np.ndarray, "rows width"]:
    """Full sight of a prefix, left to right after it.

    Example:
        >>> prefix_order(np.array([2]), 5)
        array([[0, 0, 1, 2, 3]])
    """
    return np.maximum(np.arange(width) - lengths[:, None] + 1, 0)


def _encoder_decoder(sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> Batch:
    return encoder_decoder_batch(padded(prefixes(sources)), padded(prefixes(targets)), given=1)


def _causal(sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> Batch:
    ids, lengths, _ = _joined(sources, targets)
    return causal_batch(ids, lengths)


def _two_stream(sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> Batch:
    ids, lengths, ends = _joined(sources, targets)
    places = [np.arange(a, b) for a, b in zip(lengths, ends, strict=True)]
    return two_stream_batch(ids, prefix_order(lengths, ids.shape[1]), places, ids)


def _joined(
    sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of prefix and target, tokens of each prefix, tokens of each row."""
    heads = prefixes(sources)
    rows = [[*head, *target, END] for head, target in zip(heads, targets, strict=True)]
    lengths, ends = (np.array([len(row) for row in each]) for each in (heads, rows))
    return padded(rows), lengths, ends


_CONDITIONAL: dict[Family, Callable[..., Batch]] = {
    "bart": _encoder_decoder,
    "causal": _causal,
    "two_stream": _two_stream,
}


def _tensors(**arrays: np.ndarray) -> Batch:
    import torch

    kept = {name: np.ascontiguousarray(array, dtype=np.int64) for name, array in arrays.items()}
    return {name: torch.from_numpy(array) for name, array in kept.items()}
