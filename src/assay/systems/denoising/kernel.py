"""The noise of one row after another, compiled.

Notable in this file:

* *Numbers without a state* (`draws`). A number can be had twice, so span lengths are never stored.
* *Choosing k of n in one sweep.* Slot after slot is taken with probability (still wanted) / (slots
  left): every choice is equally likely and nothing is sorted (selection sampling).
* *One sequence of signed numbers.* While a row is noised, an entry >= 0 is a position in the
  original and an entry < 0 is ``~n``, the n-th new token. Ids are looked up once, at the end, and
  the record of edits falls out.

A row is a run of units (words or subwords): unit u covers the entries ``units[u]`` up to
``units[u + 1]``. ``row`` is the key of the row that is noised. Positions, lengths and counts are
int64, ids and entries int32, keys uint64.
"""

import math
from typing import NamedTuple

import numpy as np

from assay.parts.compiled import kept_on_disk
from assay.systems.denoising.draws import compiled, draw_below, draw_uniform, row_key, stream_key

__all__ = ["Scheme", "noise_rows"]

KEPT, HEAD, BODY = 0, 1, 2  # what becomes of an entry: left, first of a span, the rest of it
# The streams of a row: unsigned, since numba compiles a function anew for every literal.
WHICH, ORDER, LENGTHS, LAST, PLACES, EMPTY, INSERTS, TURN, NEW = np.arange(1, 10, dtype=np.uint64)


class Scheme(NamedTuple):
    """A `Noise` in numbers."""

    mask: float
    cumulative: np.ndarray  # P(span length <= n) for n = 0, 1, ...; the last is 1
    whole_words: bool
    exact: bool
    replace_length: int
    mask_random: float
    permute_sentences: float
    insert: float
    rotate: float
    mask_id: int
    first_id: int
    last_id: int


class Work(NamedTuple):
    """Room for one row, used again by the next."""

    units: np.ndarray  # int64: where sentences, later units, begin; closed by the length
    order: np.ndarray  # int64: the sentences in their new order
    moving: np.ndarray  # int64: the sentences that are permuted
    fate: np.ndarray  # int8: KEPT, HEAD or BODY
    empty: np.ndarray  # int64: empty spans before each entry; 0 between rows
    ends: np.ndarray  # int64: where each new token ended


@compiled
def _share_of(share, n):
    """ceil(share n); .07 of 100 are 7, although .07 * 100 > 7 in binary."""
    return np.int64(math.ceil(share * n - 1e-9))


# --- sentences and units -------------------------------------------------------------------------


@compiled
def _find_sentences(starts, work):
    """Where sentences begin; the first token begins one in any case. Returns their number."""
    count = 0
    for i in range(starts.size):
        if i == 0 or starts[i]:
            work.units[count] = i
            count += 1
    work.units[count] = starts.size
    return count


@compiled
def _order_sentences(count, share, row, work):
    """A share of the sentences, chosen uniformly, permuted among themselves."""
    order, moving = work.order, work.moving
    which, shuffle = stream_key(row, WHICH), stream_key(row, ORDER)
    wanted, chosen = _share_of(share, count), 0
    for s in range(count):
        order[s] = s
        if draw_uniform(which, s) * (count - s) < wanted - chosen:
            moving[chosen] = s
            chosen += 1
    for last in range(wanted - 1, 0, -1):
        a, b = moving[last], moving[draw_below(shuffle, last, last + 1)]
        order[a], order[b] = order[b], order[a]


@compiled
def _lay_out(ids, starts, word_starts, scheme, row, work, out):
    """Write the sentences in their new order and find the units; returns the number of units."""
    sentences = _find_sentences(starts, work)
    _order_sentences(sentences, scheme.permute_sentences, row, work)
    at = 0
    for s in range(sentences):
        first, end = work.units[work.order[s]], work.units[work.order[s] + 1]
        for i in range(first, end):
            if ids[i] < 0 or ids[i] >= word_starts.size:
                raise ValueError("an id lies outside the table of word starts")
            begins = i == first or not scheme.whole_words or word_starts[ids[i]]
            work.fate[at] = HEAD if begins else BODY
            out[at] = i
            at += 1
    count = 0
    for i in range(at):
        if work.fate[i] == HEAD:
            work.units[count] = i
            count += 1
        work.fate[i] = KEPT
    work.units[count] = at
    return count


# --- span lengths --------------------------------------------------------------------------------


@compiled
def _length(key, j, cumulative):
    """The j-th span length, by inversion of its table."""
    u = draw_uniform(key, j)
    length = 0
    while u >= cumulative[length]:
        length += 1
    return length


@compiled
def _draws(key, target, cumulative):
    """How many lengths it takes to reach ``target``, and by how much the last one exceeds it."""
    draws, total = 0, 0
    while total < target:
        total += _length(key, draws, cumulative)
        draws += 1
    return draws, total - target


@compiled
def _spans(target, cumulative, row):
    """A row's spans: key, number (empty ones included), excess, and where the last one stands."""
    key = stream_key(row, LENGTHS)
    draws, excess = _draws(key, target, cumulative)
    return key, draws, excess, draw_below(stream_key(row, LAST), 0, draws)


@compiled
def _span(spans, j, cumulative):
    """The length of span j; all of them sum to the target.

    The one cut short, drawn last, changes places with any: else it would always lie rightmost.
    """
    key, draws, excess, place = spans
    if j == place:
        return _length(key, draws - 1, cumulative) - excess
    return _length(key, place if j == draws - 1 else j, cumulative)


# --- span places ---------------------------------------------------------------------------------


@compiled
def _place_exactly(spans, target, count, cumulative, row, work):
    """Spans that do not overlap: kept units, spans and empty spans in a random order."""
    key = stream_key(row, PLACES)
    wanted = spans[1]
    places = count - target + wanted
    unit, placed = 0, 0
    for place in range(places):
        if draw_uniform(key, place) * (places - place) >= wanted - placed:
            unit += 1
            continue
        length = _span(spans, placed, cumulative)
        placed += 1
        first = work.units[unit]
        unit += length
        if length == 0:
            work.empty[first] += 1
            continue
        work.fate[first] = HEAD
        for i in range(first + 1, work.units[unit]):
            work.fate[i] = BODY


@compiled
def _place_overlapping(spans, count, cumulative, row, work):
    """Spans from distinct units on, over whatever follows; returns the number of empty ones.

    Spans that overlap become one; the row's end cuts the last.
    """
    key = stream_key(row, PLACES)
    wanted = 0
    for j in range(spans[1]):
        wanted += _span(spans, j, cumulative) > 0
    placed, drawn, reach = 0, 0, 0
    for unit in range(count):
        if draw_uniform(key, unit) * (count - unit) >= wanted - placed:
            continue
        length = 0
        while length == 0:
            length = _span(spans, drawn, cumulative)
            drawn += 1
        placed += 1
        end = min(unit + length, count)
        first = work.units[unit]
        if unit >= reach:
            work.fate[first] = HEAD
            first += 1
        for i in range(first, work.units[end]):
            work.fate[i] = BODY
        reach = max(reach, end)
    return spans[1] - wanted


@compiled
def _replace(ids, entries, replace_length, work, out, slots, removed):
    """Put new tokens for spans; returns the new length and the number of new tokens.

    ``slots[i]`` of a removed token is the number of the new token that stands for it, else -1.
    """
    at, made = 0, 0
    for i in range(ids.size + 1):
        if replace_length != 0:
            for _ in range(work.empty[i]):
                out[at] = ~made
                at += 1
                made += 1
        work.empty[i] = 0
        if i == ids.size:
            break
        source = entries[i]
        if work.fate[i] == KEPT:
            out[at] = source
            at += 1
            continue
        if replace_length == -1 or (replace_length == 1 and work.fate[i] == HEAD):
            out[at] = ~made
            at += 1
            made += 1
        slots[source] = made - 1
        removed[source] = ids[source]
    return at, made


@compiled
def _mask(ids, entries, count, scheme, row, work, out, slots, removed):
    """Mask a share of the units; returns length, number of new tokens, empty spans to insert."""
    target = _share_of(scheme.mask, count)
    spans = _spans(target, scheme.cumulative, row)
    empty = 0
    if scheme.exact:
        _place_exactly(spans, target, count, scheme.cumulative, row, work)
    else:
        empty = _place_overlapping(spans, count, scheme.cumulative, row, work)
    length, made = _replace(ids, entries, scheme.replace_length, work, out, slots, removed)
    return length, made, 0 if scheme.replace_length == 0 else empty


# --- insertion, rotation, new tokens -------------------------------------------------------------


@compiled
def _insert(entries, length, made, extra, key, out):
    """Put ``extra`` new tokens anywhere, all choices of places in the result equally likely."""
    total, placed = length + extra, 0
    for at in range(total):
        if draw_uniform(key, at) * (total - at) < extra - placed:
            out[at] = ~(made + placed)
            placed += 1
        else:
            out[at] = entries[at - placed]
    return total, made + extra


@compiled
def _rotate(entries, length, probability, key, out):
    """With some probability begin at a uniformly chosen entry, which may be the first."""
    offset = draw_below(key, 1, length) if draw_uniform(key, 0) < probability else 0
    for at in range(length):
        source = at + offset
        out[at] = entries[source if source < length else source - length]


@compiled
def _new_id(key, n, scheme):
    """The n-th new token: the mask, or with probability ``mask_random`` an ordinary token."""
    if draw_uniform(key, 2 * n) < scheme.mask_random:
        return scheme.first_id + draw_below(key, 2 * n + 1, scheme.last_id - scheme.first_id + 1)
    return scheme.mask_id


@compiled
def _write(ids, entries, length, key, scheme, work, noised, sources, slots, removed):
    """Look the ids up and close the record of edits."""
    for at in range(length):
        source = entries[at]
        if source >= 0:
            noised[at] = ids[source]
            sources[at] = source
            slots[source] = at
        else:
            noised[at] = _new_id(key, ~source, scheme)
            work.ends[~source] = at
    for i in range(ids.size):
        if removed[i] >= 0 and slots[i] >= 0:
            slots[i] = work.ends[slots[i]]


# --- rows ----------------------------------------------------------------------------------------


@compiled
def _noise_row(ids, starts, word_starts, scheme, row, work, a, b, noised, sources, slots, removed):
    """Noise one row, to and fro between ``a`` and ``b``; returns its length."""
    count = _lay_out(ids, starts, word_starts, scheme, row, work, a)
    length, made, empty = ids.size, 0, 0
    if scheme.mask > 0 and length > 0:
        length, made, empty = _mask(ids, a, count, scheme, row, work, b, slots, removed)
        a, b = b, a
    if empty > 0:
        length, made = _insert(a, length, made, empty, stream_key(row, EMPTY), b)
        a, b = b, a
    extra = _share_of(scheme.insert, length)
    if extra > 0:
        length, made = _insert(a, length, made, extra, stream_key(row, INSERTS), b)
        a, b = b, a
    if scheme.rotate > 0:
        _rotate(a, length, scheme.rotate, stream_key(row, TURN), b)
        a, b = b, a
    key = stream_key(row, NEW)
    _write(ids, a, length, key, scheme, work, noised, sources, slots, removed)
    return length


@compiled
def _room(lengths, keys, scheme):
    """A length that no noised row exceeds; a row has most spans where each token is a unit."""
    room = 0
    for r in range(lengths.size):
        target = _share_of(scheme.mask, lengths[r])
        draws, _ = _draws(stream_key(keys[r], LENGTHS), target, scheme.cumulative)
        room = max(room, lengths[r] + draws)
    return room + _share_of(scheme.insert, room)


@kept_on_disk
def noise_rows(ids, lengths, starts, word_starts, scheme, seed, epoch, indices):
    """Noise a block of rows.

    Args:
        ids: int32 ``[B, L]``.
        lengths: int64 ``[B]``, each at most L.
        starts: bool ``[B, L]``, whether a sentence begins here.
        word_starts: bool ``[V]``, whether an id begins a word.
        scheme: What to do.
        seed: uint64.
        epoch: uint64.
        indices: uint64 ``[B]``, each row's number in its data set.

    Returns:
        Noised ids and their lengths, sources, slots and removed ids as `noise.Edits` tells them.
    """
    rows, width = ids.shape
    keys = np.empty(rows, np.uint64)
    for r in range(rows):
        keys[r] = row_key(seed, epoch, indices[r])
    room = _room(lengths, keys, scheme)
    noised = np.zeros((rows, room), np.int32)
    sources = np.full((rows, room), -1, np.int32)
    slots = np.full((rows, width), -1, np.int32)
    removed = np.full((rows, width), -1, np.int32)
    ends = np.zeros(rows, np.int64)
    a, b = np.empty(room, np.int32), np.empty(room, np.int32)
    work = Work(
        np.empty(width + 1, np.int64), np.empty(width, np.int64), np.empty(width, np.int64),
        np.empty(width, np.int8), np.zeros(width + 1, np.int64), np.empty(room, np.int64),
    )  # fmt: skip
    for r in range(rows):
        n = lengths[r]
        ends[r] = _noise_row(
            ids[r][:n], starts[r][:n], word_starts, scheme, keys[r], work, a, b,
            noised[r], sources[r], slots[r][:n], removed[r][:n],
        )  # fmt: skip
    return noised, ends, sources, slots, removed
