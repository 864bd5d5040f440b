"""Span corruption of T5 (Raffel et al. 2020): random spans out, a sentinel of its own in for each.

Kept and corrupted stretches alternate: a row begins with a kept one and ends with a span. Their
lengths are a uniformly random partition of the tokens that are kept and of those that are not.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from assay.systems.denoising.model import END

__all__ = ["Corrupted", "corrupted", "corrupted_spans", "random_partition"]


class Corrupted(NamedTuple):
    """What the encoder reads and what the decoder writes."""

    source: Int[np.ndarray, " source"]
    target: Int[np.ndarray, " target"]


def random_partition(total: int, parts: int, rng: np.random.Generator) -> Int[np.ndarray, " parts"]:
    """A uniformly random way to write ``total`` as a sum of ``parts`` positive numbers, in order.

    Example:
        >>> random_partition(4, 4, np.random.default_rng(0))
        array([1, 1, 1, 1])
    """
    cuts = 1 + np.sort(rng.choice(total - 1, parts - 1, replace=False))
    return np.diff(cuts, prepend=0, append=total)


def corrupted_spans(
    tokens: int, density: float, mean_length: float, rng: np.random.Generator
) -> Int[np.ndarray, "spans 2"]:
    """First token of each span and the one after its last, in order.

    Args:
        tokens: Tokens of the row.
        density: Tokens in spans per token, 0 to 1; one is corrupted at least and one kept.
        mean_length: Mean tokens of a span.
        rng: Where the lengths are drawn from.

    Returns:
        The spans; none if the row has fewer than two tokens.
    """
    if tokens < 2:
        return np.zeros((0, 2), dtype=np.int64)
    taken = min(max(round(density * tokens), 1), tokens - 1)
    spans = min(max(round(taken / mean_length), 1), taken, tokens - taken)
    lengths = np.empty((spans, 2), dtype=np.int64)
    lengths[:, 1] = random_partition(taken, spans, rng)
    lengths[:, 0] = random_partition(tokens - taken, spans, rng)
    return lengths.cumsum().reshape(spans, 2)


def corrupted(
    ids: Int[np.ndarray, " tokens"], spans: Int[np.ndarray, "spans 2"], first: int
) -> Corrupted:
    """Put sentinels in the place of spans.

    Args:
        ids: Tokens.
        spans: Spans that neither overlap nor touch, in order.
        first: Id of the first sentinel; the next have the ids after it.

    Example:
        >>> corrupted(np.arange(10, 16), np.array([[1, 3], [4, 5]]), 90)
        Corrupted(source=array([10, 90, 13, 91, 15]), target=array([90, 11, 12, 91, 14,  2]))
    """
    kept, gone, end = [], [], 0
    for number, (start, stop) in enumerate(spans.tolist(), start=first):
        kept += [ids[end:start], [number]]
        gone += [[number], ids[start:stop]]
        end = stop
    return Corrupted(np.concatenate([*kept, ids[end:]]), np.concatenate([*gone, [END]]))
