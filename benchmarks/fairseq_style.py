"""Noise row by row in torch and batch by batch in numpy, as the usual implementations do it.

Written from the definitions of fairseq's `DenoisingDataset` and of the collator in transformers'
former Flax script, for `benchmarks/denoising.py`; neither package is needed. What each of them
spends its time on was kept: a row at a time, one tensor operation after another and a loop over
sentences; or one draw for a whole batch, with loops over sentences, over spans, and over ids to
tell the special ones. What surrounds them was left out: random states, assertions, tokenizers,
attention masks. Rows here carry ``<s>`` and ``</s>``.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

BEGIN, PAD, END = SPECIAL = (0, 1, 2)


class Setting(NamedTuple):
    """What the two are told; the second heeds mask, lambda, permutation and the ids alone."""

    mask: float
    poisson_lambda: float
    mask_random: float
    permute: float
    rotate: float
    replace_length: int
    spans: bool
    mask_id: int
    stop_id: int
    word_starts: np.ndarray | None  # None: each subword is a unit


def length_probabilities(poisson_lambda: float) -> np.ndarray:
    """Poisson probabilities up to the first one below 1e-7."""
    values = [math.exp(-poisson_lambda)]
    while values[-1] >= 1e-7:
        values.append(values[-1] * poisson_lambda / len(values))
    return np.array(values)


# --- row by row ----------------------------------------------------------------------------------


class RowByRow:
    """Permutation, then masks or spans that may overlap, then rotation, of one row at a time."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        probabilities = torch.from_numpy(length_probabilities(setting.poisson_lambda))
        self.lengths = torch.distributions.Categorical(probabilities)
        table = setting.word_starts
        self.word_starts = None if table is None else torch.from_numpy(table.astype(np.uint8))

    def __call__(self, row: Tensor) -> Tensor:
        """Noise one row ``[L]`` of int64."""
        setting = self.setting
        source = row.clone()
        if setting.permute > 0:
            source = self.permute(source)
        if setting.mask > 0:
            source = self.mask(source)
        if setting.rotate > 0 and np.random.random() < setting.rotate:
            source = self.rotate(source)
        return source

    def permute(self, source: Tensor) -> Tensor:
        """Permute sentences, cut after the last of a run of stops."""
        stops = source == self.setting.stop_id
        stops[-2] = True
        ends = (stops[1:] & ~stops[:-1]).nonzero()[:, 0] + 2
        count = ends.size(0)
        moving = torch.randperm(count)[: math.ceil(count * self.setting.permute)]
        order = torch.arange(count)
        order[moving] = moving[torch.randperm(moving.size(0))]
        bounds = torch.cat([torch.ones_like(ends[:1]), ends])
        result, at = source.clone(), 1
        for i in order:
            sentence = source[bounds[i] : bounds[i + 1]]
            result[at : at + sentence.size(0)] = sentence
            at += sentence.size(0)
        return result

    def begins(self, source: Tensor) -> Tensor:
        """Where units begin, never at ``<s>`` and ``</s>``."""
        if self.word_starts is None:
            begins = torch.ones_like(source)
        else:
            begins = self.word_starts.gather(0, source).long()
        begins[0] = begins[-1] = 0
        return begins

    def draw_lengths(self, target: int) -> Tensor:
        """Lengths that sum to the target, the last cut to fit."""
        lengths = self.lengths.sample((target,))
        total = lengths.cumsum(0)
        while total[-1] < target:
            lengths = torch.cat([lengths, self.lengths.sample((target,))])
            total = lengths.cumsum(0)
        last = int((total < target).sum())
        lengths[last] -= total[last] - target
        return lengths[: last + 1]

    def put_new(self, source: Tensor, at: Tensor) -> None:
        """Write new tokens, in place."""
        source[at] = self.setting.mask_id
        random = torch.rand(at.size(0)) < self.setting.mask_random
        source[at[random]] = torch.randint(4, self.setting.mask_id, (int(random.sum()),))

    def mask(self, source: Tensor) -> Tensor:
        """Put one mask for each run of units covered."""
        begins = self.begins(source)
        target = math.ceil(int(begins.sum()) * self.setting.mask)
        lengths = self.draw_lengths(target) if self.setting.spans else torch.ones(target).long()
        spans = lengths[lengths > 0]
        empty = lengths.size(0) - spans.size(0)
        starts = begins.nonzero()[:, 0]
        at = starts[torch.randperm(starts.size(0))[: spans.size(0)]]
        keep = torch.ones(source.size(0), dtype=torch.bool)
        if self.setting.replace_length == 0:
            keep[at] = False
        else:
            self.put_new(source, at)
        begins[-1] = 1000  # longer than any span
        left = spans - 1
        while at.size(0) > 0:
            left = left - begins[at + 1]
            inside = left >= 0
            at, left = at[inside] + 1, left[inside]
            keep[at] = False
        source = source[keep]
        return self.insert(source, empty) if empty else source

    def insert(self, source: Tensor, count: int) -> Tensor:
        """Put new tokens anywhere between ``<s>`` and ``</s>``."""
        size = source.size(0) + count
        at = torch.randperm(size - 2)[:count] + 1
        taken = torch.zeros(size, dtype=torch.bool)
        taken[at] = True
        result = source.new_empty(size)
        self.put_new(result, at)
        result[~taken] = source
        return result

    def rotate(self, source: Tensor) -> Tensor:
        """Begin at another token."""
        offset = int(torch.randint(1, source.size(0) - 1, ()))
        return torch.cat([source[:1], source[offset:-1], source[1:offset], source[-1:]])


# --- batch by batch ------------------------------------------------------------------------------


class BatchByBatch:
    """Permutation row by row, then one draw of spans for all rows; empty spans are dropped.

    ``PAD`` ends each sentence, as that collator wants it.

    Args:
        setting: The noise.
        whole_arrays: Whether spans and special ids are found in whole arrays and not in loops: what
            its authors could have had for a few other lines.
    """

    def __init__(self, setting: Setting, *, whole_arrays: bool = False) -> None:
        self.setting, self.whole_arrays = setting, whole_arrays
        self.random = np.random.default_rng(0)

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        """Noise ``[B, L]`` of int64."""
        return self.infill(self.permute(ids))

    def permute(self, ids: np.ndarray) -> np.ndarray:
        """Permute the sentences of each row."""
        result = ids.copy()
        stops = ids == PAD
        rows, columns = np.nonzero(stops[:, 1:] & ~stops[:, :-1])
        for r in np.unique(rows):
            ends = columns[rows == r] + 2
            count = len(ends)
            moving = self.random.permutation(count)[: math.ceil(count * self.setting.permute)]
            order = np.arange(count)
            order[moving] = moving[self.random.permutation(len(moving))]
            bounds, at = np.concatenate([[1], ends]), 1
            for i in order:
                sentence = ids[r, bounds[i] : bounds[i + 1]]
                result[r, at : at + len(sentence)] = sentence
                at += len(sentence)
        return result

    def draw_lengths(self, target: int) -> np.ndarray:
        """Lengths above 0 whose sum is near the target."""
        lengths = self.random.poisson(self.setting.poisson_lambda, target)
        while lengths.sum() < target:
            more = self.random.poisson(self.setting.poisson_lambda, target)
            lengths = np.concatenate([lengths, more])
        lengths = lengths[lengths > 0]
        nearest = np.argmin(np.abs(np.cumsum(lengths) - target))
        return lengths[: nearest + 1]

    def infill(self, ids: np.ndarray) -> np.ndarray:
        """Put one mask for each run of tokens covered, in all rows at once."""
        if self.whole_arrays:
            ordinary, cover = ~np.isin(ids, SPECIAL), cover_at_once
        else:
            special = [[token in SPECIAL for token in row] for row in ids.tolist()]
            ordinary, cover = ~np.array(special, bool), cover_one_by_one
        lengths = self.draw_lengths(math.ceil(ordinary.sum() * self.setting.mask))
        where = np.argwhere(ordinary)
        at = where[self.random.permutation(len(where))[: len(lengths)]]
        mask = cover(at, lengths, ids.shape) & ordinary
        masked = np.where(mask, self.setting.mask_id, ids)
        drop = mask & np.roll(mask, 1, axis=1)
        result = np.full_like(ids, PAD)
        for r in range(len(ids)):
            kept = masked[r][~drop[r]]
            result[r, : len(kept)] = kept
        return result


def cover_one_by_one(at: np.ndarray, lengths: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The tokens of spans that begin at ``at``, one after another, as that collator does it."""
    mask = np.zeros(shape, bool)
    longer = np.ones(len(at), bool)
    while longer.any():
        for place in at:
            mask[tuple(place)] = True
        lengths -= 1
        longer = (lengths > 0) & (at[:, 1] < shape[1] - 1)
        at[longer, 1] += 1
    return mask


def cover_at_once(at: np.ndarray, lengths: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The same tokens without a loop."""
    mask = np.zeros(shape, bool)
    steps = np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)
    rows, columns = np.repeat(at, lengths, axis=0).T
    mask[rows, np.minimum(columns + steps, shape[1] - 1)] = True
    return mask
