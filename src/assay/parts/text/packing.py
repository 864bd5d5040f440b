"""Packing: several short sequences in one row, none of them cut, little of a row left empty.

Attention stays inside a sequence (`attention_mask`) and positions begin anew with each, so a packed
row gives the loss and the gradients that its sequences would give alone.

    packing = pack([len(example) for example in examples], 2048)
    packed = packed_batch(examples, packing, rows=range(8), length=2048, pad=1)
    mask = attention_mask(torch.from_numpy(packed.documents), causal=True)
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Int, Integer

from assay.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Packed", "Packing", "attention_mask", "pack", "packed_batch"]


class Packing(NamedTuple):
    """Which sequences share a row.

    Attributes:
        sequences: Numbers of the sequences, row after row; each occurs once.
        rows: Where each row begins in ``sequences``, and their number at the end.
        fill: Share of the room that is used.
    """

    sequences: Int[np.ndarray, " sequences"]
    rows: Int[np.ndarray, " _"]
    fill: float

    def members(self, row: int) -> Int[np.ndarray, " members"]:
        """Numbers of the sequences in a row, longest first."""
        return self.sequences[self.rows[row] : self.rows[row + 1]]


class Packed(NamedTuple):
    """Rows that hold several sequences each.

    Attributes:
        ids: Token numbers; padding at the end.
        documents: Number of the sequence within its row, from 1; 0 where there is padding.
        positions: Place within the sequence, from 0; 0 where there is padding.
    """

    ids: Int[np.ndarray, "rows length"]
    documents: Int[np.ndarray, "rows length"]
    positions: Int[np.ndarray, "rows length"]


def pack(lengths: Integer[np.ndarray, " sequences"] | Sequence[int], capacity: int) -> Packing:
    """Choose which sequences share a row, by best fit decreasing.

    The longest sequence comes first; each goes where it leaves the least room, or into a new row.
    Sequences of one length are placed together, which changes nothing: a row that was the tightest
    stays so as long as another of them fits.

    Args:
        lengths: Tokens of each sequence.
        capacity: Tokens of a row.

    Raises:
        DataError: If a sequence is empty or longer than a row.

    Example:
        >>> packing = pack([6, 3, 2, 5, 4], 10)
        >>> [packing.members(row).tolist() for row in range(2)], packing.fill
        ([[0, 4], [3, 1, 2]], 1.0)
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    _require_fit(sizes, capacity)
    room: list[int] = []  # what open rows have left, each amount once, increasing
    open_rows: list[list[int]] = [[] for _ in range(capacity)]  # by what they have left
    count, chosen, times = 0, [], []
    distinct, numbers = np.unique(sizes, return_counts=True)
    for size, number in zip(distinct[::-1].tolist(), numbers[::-1].tolist(), strict=True):
        waiting = number
        while waiting:
            place = bisect_left(room, size)
            if place == len(room):
                row, free, count = count, capacity, count + 1
            else:
                free = room[place]
                row = open_rows[free].pop()
                if not open_rows[free]:
                    del room[place]
            placed = min(waiting, free // size)
            chosen.append(row)
            times.append(placed)
            waiting -= placed
            left = free - placed * size
            if left:
                if not open_rows[left]:
                    insort(room, left)
                open_rows[left].append(row)
    rows = np.repeat(np.array(chosen, dtype=np.int64), times)
    sequences = np.argsort(-sizes, kind="stable")[np.argsort(rows, kind="stable")]
    begins = np.searchsorted(np.sort(rows), np.arange(count + 1))
    return Packing(sequences, begins, float(sizes.sum()) / max(count * capacity, 1))


def _require_fit(sizes: Int[np.ndarray, " sequences"], capacity: int) -> None:
    wrong = np.flatnonzero((sizes < 1) | (sizes > capacity))
    if wrong.size:
        raise DataError(
            f"has {sizes[wrong[0]]:,} tokens",
            where=f"sequence {wrong[0]}",
            accepted=f"1 to {capacity:,}",
            next="Cut long sequences first, or take longer rows.",
        )


def packed_batch(
    sequences: Sequence[Any], packing: Packing, rows: Iterable[int], length: int, pad: int
) -> Packed:
    """Build rows of a packing.

    What goes with the tokens, such as labels, is packed in the same way, with padding of its own.

    Args:
        sequences: Token numbers of every sequence, by the numbers that `pack` used.
        packing: Which of them share a row.
        rows: Rows to build, in this order.
        length: Columns, at least the capacity that was packed for.
        pad: What stands in ``ids`` beyond the last sequence of a row.
    """
    chosen = list(rows)
    ids = np.full((len(chosen), length), pad, dtype=np.int64)
    documents, positions = (np.zeros(ids.shape, dtype=np.int64) for _ in range(2))
    for k, row in enumerate(chosen):
        end = 0
        for number, sequence in enumerate(packing.members(row).tolist(), 1):
            tokens = sequences[sequence]
            begin, end = end, end + len(tokens)
            ids[k, begin:end] = tokens
            documents[k, begin:end] = number
            positions[k, begin:end] = np.arange(end - begin)
    return Packed(ids, documents, positions)


def attention_mask(documents: "Tensor", *, causal: bool) -> "Tensor":
    """Which places may be seen from which, for ``scaled_dot_product_attention``: True may be.

    Padding sees padding only: a place that sees nothing would get NaN.

    Args:
        documents: [rows, length] numbers of the sequences, as in `Packed`.
        causal: Whether a place sees only itself and what stands before it.

    Returns:
        bool [rows, 1, length, length]: row, head, from, to.
    """
    same = documents[:, None, :, None] == documents[:, None, None, :]
    return same.tril() if causal else same
