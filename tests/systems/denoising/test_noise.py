"""Noise: what it may touch, what it leaves behind, and that nothing but the row decides it.

The laws of the random choices stand in test_noise_statistics.py.
"""

import subprocess
import sys
from collections import Counter
from dataclasses import fields, replace
from itertools import pairwise
from math import ceil

import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import ParameterError
from assay.systems.denoising.draws import draw_uniform
from assay.systems.denoising.noise import (
    NOISES,
    PAPER,
    RELEASED,
    Noise,
    Noised,
    Specials,
    apply_noise,
    poisson_table,
    rebuild,
)  # fmt: skip

VOCABULARY = 60
MASK = VOCABULARY - 1
SPECIALS = Specials(mask=MASK, first=4, last=MASK - 1)
WORD_STARTS = np.arange(VOCABULARY) % 3 != 0
UNREAD = 10**6  # an id beyond any table: padding that is read shows


def block(lengths: list[int], *, seed: int = 0, sentences: float = 0.15):
    """Rows of ordinary ids, so padded that a look at the padding fails."""
    rng = np.random.default_rng(seed)
    shape = (len(lengths), max(lengths, default=0) + 2)
    ids = rng.integers(SPECIALS.first, SPECIALS.last + 1, shape)
    ids[np.arange(shape[1]) >= np.array(lengths)[:, None]] = UNREAD
    return ids, np.array(lengths, int), rng.random(shape) < sentences


def noised(noise: Noise, rows, *, seed: int = 1, epoch: int = 0, indices=None) -> Noised:
    ids, lengths, sentences = rows
    indices = np.arange(len(lengths)) if indices is None else np.asarray(indices)
    return apply_noise(
        ids, lengths, sentences, WORD_STARTS, noise, SPECIALS, seed=seed, epoch=epoch,
        indices=indices,
    )  # fmt: skip


def contents(result: Noised) -> list[list[int]]:
    return [row[:n].tolist() for row, n in zip(result.ids, result.lengths, strict=True)]


def units_of(ids, sentences, length: int, *, words: bool) -> list[range]:
    """The words (or subwords) of an unpermuted row, as its tokens' positions."""
    begins = [
        i for i in range(length) if not words or i == 0 or sentences[i] or WORD_STARTS[ids[i]]
    ]
    return [range(a, b) for a, b in pairwise([*begins, length])]


SHARES = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.75, 1.0])
ANY_NOISE = st.builds(
    Noise,
    mask=SHARES,
    mask_length=st.sampled_from(["subword", "word", "span-poisson"]),
    poisson_lambda=st.sampled_from([0.1, 0.5, 3.0, 3.5, 20.0]),
    whole_words=st.booleans(),
    replace_length=st.sampled_from([1, 0, -1]),
    mask_random=SHARES,
    placement=st.sampled_from(["exact", "fairseq"]),
    permute_sentences=SHARES,
    insert=SHARES,
    rotate=SHARES,
)
LENGTHS = st.lists(st.integers(0, 40), max_size=6)

# --- the record of edits -------------------------------------------------------------------------


@given(noise=ANY_NOISE, lengths=LENGTHS, seed=st.integers(-(2**70), 2**70))
def test_the_original_can_be_rebuilt_from_every_noise(noise, lengths, seed):
    ids, _, _ = rows = block(lengths)

    result = noised(noise, rows, seed=seed)

    content = np.arange(ids.shape[1]) < rows[1][:, None]
    assert np.array_equal(rebuild(result), np.where(content, ids, 0))


@given(noise=ANY_NOISE, lengths=LENGTHS)
def test_the_record_accounts_for_every_token(noise, lengths):
    ids, _, _ = rows = block(lengths)
    result = noised(noise, rows)
    width = max(result.lengths, default=0)

    assert result.ids.shape == result.edits.sources.shape == (len(lengths), width)
    for r, (before, after) in enumerate(zip(lengths, result.lengths, strict=True)):
        sources, slots, removed = (field[r] for field in result.edits)
        kept = sources[:after] >= 0
        assert np.array_equal(result.ids[r, :after][kept], ids[r, sources[:after][kept]])
        assert np.array_equal(slots[sources[:after][kept]], np.flatnonzero(kept))
        gone = np.flatnonzero(removed >= 0)
        assert sorted([*sources[:after][kept], *gone]) == list(range(before))
        assert np.array_equal(removed[gone], ids[r, gone])
        stand_ins = slots[gone]
        assert (stand_ins == -1).all() if noise.replace_length == 0 else (stand_ins >= 0).all()
        assert (sources[stand_ins[stand_ins >= 0]] == -1).all()
        new = result.ids[r, :after][~kept]
        assert ((new == MASK) | (new >= SPECIALS.first) & (new <= SPECIALS.last)).all()
        assert noise.mask_random > 0 or (new == MASK).all()
        assert (result.ids[r, after:] == 0).all()
        assert (sources[after:] == -1).all()
        assert (slots[before:] == -1).all()
        assert (removed[before:] == -1).all()


@pytest.mark.parametrize("name", NOISES)
def test_the_rows_given_are_left_as_they_are(name):
    rows = block([30, 0, 7])
    before = [array.copy() for array in rows]
    for array in rows:
        array.setflags(write=False)

    result = noised(NOISES[name], rows)

    for array, copy in zip(rows, before, strict=True):
        assert np.array_equal(array, copy)
        assert not any(np.shares_memory(array, a) for a in (result.ids, *result.edits))


# --- what a row's noise depends on ---------------------------------------------------------------


@given(noise=ANY_NOISE, order=st.permutations(range(5)), pad=st.integers(0, 9))
def test_a_row_is_noised_alike_in_any_company_and_at_any_width(noise, order, pad):
    ids, lengths, sentences = block([40, 3, 17, 0, 25])
    together = contents(noised(noise, (ids, lengths, sentences)))

    wide = [np.pad(a[order], ((0, 0), (0, pad))) for a in (ids, sentences)]
    shuffled = contents(noised(noise, (wide[0], lengths[order], wide[1]), indices=order))
    alone = [
        contents(noised(noise, (ids[[r]], lengths[[r]], sentences[[r]]), indices=[r]))[0]
        for r in range(5)
    ]

    assert shuffled == [together[r] for r in order]
    assert alone == together


@pytest.mark.parametrize("name", [n for n in NOISES if n != "none"])
def test_noise_repeats_and_changes_with_seed_epoch_and_index(name):
    ids, _, sentences = block([60])
    rows = (np.repeat(ids, 2, axis=0), np.array([60, 60]), np.repeat(sentences, 2, axis=0))

    def drawn(**what):
        return contents(noised(NOISES[name], rows, **what))

    first, second = drawn(seed=5, epoch=2)
    assert drawn(seed=5, epoch=2) == [first, second]
    assert first != second
    assert first not in (*drawn(seed=5, epoch=3), *drawn(seed=6, epoch=2))
    # Seed, epoch and index are no sum: neighbours do not share their noise.
    assert first not in drawn(seed=5, epoch=1, indices=[1, 2])


def test_the_steps_draw_from_streams_of_their_own():
    """Masking does not change which sentences move, nor do new ids change where masks stand."""
    rows = block([200], sentences=0.3)
    moved = contents(noised(replace(PAPER, mask=0.0), rows))[0]
    both = noised(replace(PAPER, replace_length=-1, mask_length="subword"), rows)

    assert [a for a, s in zip(moved, both.edits.sources[0], strict=True) if s >= 0] == [
        a for a, s in zip(both.ids[0], both.edits.sources[0], strict=True) if s >= 0
    ]
    plain, random = (noised(replace(PAPER, mask_random=p), rows) for p in (0.0, 0.5))
    assert np.array_equal(plain.edits.sources, random.edits.sources)
    assert (plain.ids != random.ids).any()


def test_any_kind_of_whole_number_will_do():
    ids, lengths, sentences = block([20, 11])
    ids[ids == UNREAD] = 0
    expected = contents(noised(RELEASED, (ids, lengths, sentences)))
    for kind in (np.uint16, np.int32, np.int64):
        rows = (np.asfortranarray(ids.astype(kind)), lengths.astype(kind), sentences)
        assert contents(noised(RELEASED, rows, indices=np.arange(2, dtype=kind))) == expected


def test_the_random_numbers_are_those_of_splitmix64():
    """The generator's usual test vector, begun at 1234567."""
    vector = [6457827717110365317, 3203168211198807973, 9817491932198370423]

    drawn = [draw_uniform(np.uint64(1234567), j) for j in range(3)]

    assert drawn == [(x >> 11) / 2**53 for x in vector]


# --- masks and spans -----------------------------------------------------------------------------


@given(
    share=SHARES,
    length=st.integers(0, 60),
    mask_length=st.sampled_from(["subword", "word", "span-poisson"]),
    whole_words=st.booleans(),
    replace_length=st.sampled_from([1, 0, -1]),
)
def test_exactly_the_target_is_removed_in_whole_units(
    share, length, mask_length, whole_words, replace_length
):
    ids, _, sentences = rows = block([length])
    noise = Noise(
        share, mask_length=mask_length, whole_words=whole_words, replace_length=replace_length
    )
    words = mask_length == "word" or (mask_length == "span-poisson" and whole_words)
    units = units_of(ids[0], sentences[0], length, words=words)

    removed = noised(noise, rows).edits.removed[0] >= 0

    gone = [bool(removed[unit].all()) for unit in units]
    assert gone == [bool(removed[unit].any()) for unit in units]
    assert sum(gone) == ceil(round(share * len(units), 9))


@given(share=SHARES, length=st.integers(0, 60), whole_words=st.booleans())
def test_overlapping_spans_remove_whole_units_and_no_more_than_the_target(
    share, length, whole_words
):
    ids, _, sentences = rows = block([length])
    noise = Noise(share, whole_words=whole_words, placement="fairseq")
    units = units_of(ids[0], sentences[0], length, words=whole_words)

    removed = noised(noise, rows).edits.removed[0] >= 0

    gone = [bool(removed[unit].all()) for unit in units]
    assert gone == [bool(removed[unit].any()) for unit in units]
    assert (share > 0 and length > 0) <= sum(gone) <= ceil(round(share * len(units), 9))


@pytest.mark.parametrize("placement", ["exact", "fairseq"])
def test_one_mask_stands_for_a_run_of_tokens(placement):
    """Runs that meet keep a mask each; only empty spans leave masks that stand for nothing."""
    noise = Noise(0.4, placement=placement)
    result = noised(noise, block([200] * 20))
    empty = 0
    for sources, slots, removed in zip(*result.edits, strict=True):
        gone = np.flatnonzero(removed >= 0)
        tokens = Counter(slots[gone].tolist())
        for slot, count in tokens.items():
            run = gone[slots[gone] == slot]
            assert run.tolist() == list(range(run[0], run[0] + count))
        masks = np.flatnonzero(sources[: slots.max() + 1] == -1)
        assert set(tokens) <= set(masks.tolist())
        empty += len(masks) - len(tokens)
    assert empty > 0


@pytest.mark.parametrize("placement", ["exact", "fairseq"])
def test_deletion_leaves_no_mask_even_for_empty_spans(placement):
    result = noised(Noise(0.4, replace_length=0, placement=placement), block([200] * 20))

    assert not (result.ids == MASK).any()
    assert (result.lengths < 200).all()


@pytest.mark.parametrize("mask_length", ["subword", "word"])
def test_a_mask_per_token_keeps_the_length(mask_length):
    rows = block([50, 13])
    result = noised(Noise(0.3, mask_length=mask_length, replace_length=-1), rows)

    assert result.lengths.tolist() == [50, 13]
    masked = result.edits.sources == -1
    assert np.array_equal(masked[:, :50], result.edits.removed[:, :50] >= 0) or masked[1, 13:].all()


def test_a_word_begins_with_the_row_and_with_each_sentence():
    """Ids that never begin a word: each sentence is then one word."""
    ids = np.full((1, 12), 3 * 4)
    sentences = np.zeros((1, 12), bool)
    sentences[0, [4, 9]] = True
    result = noised(Noise(1.0, mask_length="word"), (ids, np.array([12]), sentences))

    assert result.edits.slots[0].tolist() == [0] * 4 + [1] * 5 + [2] * 3
    assert result.ids.tolist() == [[MASK] * 3]


def test_a_share_is_not_rounded_up_for_what_binary_adds():
    assert 0.07 * 100 > 7
    result = noised(Noise(0.07, mask_length="subword"), block([100]))

    assert (result.edits.removed >= 0).sum() == 7


# --- permutation, insertion, rotation ------------------------------------------------------------


def sentences_of(row, starts, length: int) -> list[tuple[int, ...]]:
    begins = [i for i in range(length) if i == 0 or starts[i]]
    return [tuple(row[a:b]) for a, b in pairwise([*begins, length])]


@given(share=SHARES, length=st.integers(0, 60), seed=st.integers(0, 99))
def test_permutation_moves_whole_sentences_and_no_more_than_its_share(share, length, seed):
    ids, _, starts = rows = block([length], seed=seed)
    ids[0, :length] = np.arange(length) % VOCABULARY  # so that sentences differ
    before = sentences_of(range(length), starts[0], length)

    result = noised(Noise(permute_sentences=share), rows, seed=seed)

    places = result.edits.sources[0].tolist()
    begins = {s[0]: s for s in before}
    after = []
    while places:
        sentence = begins[places[0]]
        assert tuple(places[: len(sentence)]) == sentence
        after.append(sentence)
        places = places[len(sentence) :]
    assert sorted(after) == before
    moved = sum(a != b for a, b in zip(before, after, strict=True))
    assert moved <= ceil(round(share * len(before), 9))


def test_sentences_really_move():
    result = noised(NOISES["sentence_permutation"], block([60] * 20))

    changed = (result.edits.sources[:, :60] != np.arange(60)).any(axis=1)
    assert changed.mean() > 0.9


def test_one_sentence_has_nowhere_to_go():
    rows = block([20], sentences=0.0)

    assert contents(noised(NOISES["sentence_permutation"], rows)) == [rows[0][0, :20].tolist()]


@given(share=SHARES, length=st.integers(0, 50))
def test_insertion_adds_its_share_and_keeps_the_order(share, length):
    rows = block([length])
    result = noised(Noise(insert=share), rows)

    sources = result.edits.sources[0]
    assert result.lengths[0] == length + ceil(round(share * length, 9))
    assert sources[sources >= 0].tolist() == list(range(length))


def test_rotation_turns_the_row_and_nothing_else():
    result = noised(NOISES["document_rotation"], block([9] * 200))
    firsts = result.edits.sources[:, 0]

    assert np.array_equal(result.edits.sources, (firsts[:, None] + np.arange(9)) % 9)
    assert set(firsts.tolist()) == set(range(9))


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("name", NOISES)
def test_the_shortest_rows_pass(name, share):
    noise = NOISES[name]
    noise = replace(noise, mask=share) if noise.mask else noise
    rows = block([0, 1, 2, 3])
    result = noised(noise, rows)

    assert np.array_equal(rebuild(result)[3, :3], rows[0][3, :3])
    assert result.lengths[0] == 0
    if not noise.mask and not noise.insert:
        assert result.lengths.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("lengths", [[], [0], [0, 0]])
def test_blocks_without_content_pass(lengths):
    result = noised(replace(PAPER, insert=0.5, rotate=1.0), block(lengths))

    assert result.ids.shape == (len(lengths), 0)
    assert np.array_equal(rebuild(result), np.zeros((len(lengths), block(lengths)[0].shape[1])))


def test_no_noise_changes_nothing_and_full_noise_leaves_nothing():
    rows = block([30, 8])

    assert contents(noised(NOISES["none"], rows)) == [
        rows[0][0, :30].tolist(),
        rows[0][1, :8].tolist(),
    ]
    assert (noised(Noise(1.0), rows).edits.sources == -1).all()
    assert noised(replace(NOISES["token_deletion"], mask=1.0), rows).ids.shape == (2, 0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mask", 1.5), ("mask", -0.1), ("mask", float("nan")), ("insert", 2.0), ("rotate", -1.0),
        ("permute_sentences", 1.01), ("mask_random", 7.0), ("poisson_lambda", 0.0),
        ("poisson_lambda", 100.0), ("replace_length", 2), ("mask_length", "letter"),
        ("placement", "somewhere"),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_refused_by_name(field, value, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ParameterError, match=rf"^noise\.{field}: .* is refused; expected "):
        Noise(**{field: value})


def test_mistakes_in_the_arrays_are_told():
    ids, lengths, sentences = block([5])
    with pytest.raises(ValueError, match=r"lengths must lie in 0 \.\. 7"):
        noised(PAPER, (ids, lengths + 3, sentences))
    with pytest.raises(ValueError, match="outside the table of word starts"):
        noised(PAPER, (ids, lengths + 1, sentences))
    with pytest.raises(ValueError, match="no ordinary ids"):
        apply_noise(
            ids, lengths, sentences, WORD_STARTS, PAPER, Specials(MASK, 4, 3), seed=0, epoch=0,
            indices=np.arange(1),
        )  # fmt: skip


def test_the_two_presets_differ_in_span_length_and_random_ids_alone():
    different = {
        f.name for f in fields(Noise) if getattr(PAPER, f.name) != getattr(RELEASED, f.name)
    }

    assert different == {"poisson_lambda", "mask_random"}
    assert (PAPER.poisson_lambda, PAPER.mask_random) == (3.0, 0.0)
    assert (RELEASED.poisson_lambda, RELEASED.mask_random) == (3.5, 0.1)
    assert PAPER.mask == 0.3
    assert PAPER.permute_sentences == 1.0


@pytest.mark.parametrize(("mean", "longest"), [(3.0, 17), (3.5, 18), (20.0, None), (64.0, None)])
def test_the_table_of_lengths_is_cut_where_lengths_are_rarer_than_one_in_ten_million(mean, longest):
    table = poisson_table(mean)

    assert longest is None or len(table) - 1 == longest
    assert table[-1] == 1
    assert (np.arange(len(table)) * np.diff(table, prepend=0)).sum() == pytest.approx(
        mean, abs=1e-5
    )


def test_naming_a_noise_does_not_load_the_compiler():
    code = "import sys, assay.systems.denoising.noise; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
