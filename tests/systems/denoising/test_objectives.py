"""Objectives: what each hides, what it asks for, and that rows do not depend on one another."""

import numpy as np
import pytest
import torch

from assay.errors import ParameterError
from assay.parts.text.tokens import Rows
from assay.systems.denoising.model import Size, new_model
from assay.systems.denoising.noise import NOISES, PAPER, Noise, Specials
from assay.systems.denoising.objectives import OBJECTIVES, Vocabulary, new_objective

torch.set_num_threads(1)
VOCABULARY, IGNORE = 60, -100
MASK = VOCABULARY - 1
WORDS = Vocabulary(Specials(MASK, 4, MASK - 1), np.arange(VOCABULARY) % 3 == 0)
LENGTHS = np.array([30, 12, 1, 25, 0, 2])


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    ids = rng.integers(4, MASK, (len(LENGTHS), 33)).astype(np.int32)
    return Rows(ids, rng.random(ids.shape) < 0.2, LENGTHS)


def many(length, count):
    ids = np.random.default_rng(1).integers(4, MASK, (count, length)).astype(np.int32)
    return Rows(ids, np.zeros(ids.shape, dtype=bool), np.full(count, length))


def made(name, rows, *, noise=PAPER, seed=1, epoch=0, indices=None):
    objective = new_objective(name, WORDS, noise)
    indices = np.arange(len(rows.ids)) if indices is None else indices
    found = objective.batch(rows, seed=seed, epoch=epoch, indices=indices)
    assert all(values.dtype == torch.int64 for values in found.values())
    return {key: values.numpy() for key, values in found.items()}


def text(rows, i):
    return [0, *rows.ids[i, : rows.lengths[i]].tolist(), 2]


def without_padding(row, padding=1):
    return [token for token in row.tolist() if token != padding]


def taken(rows, i):
    return slice(i, i + 1), np.array([i])


# -- all of them --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_loss_of_a_batch_is_the_sum_over_its_rows(name, rows):
    """So nothing depends on padding, and padding is not counted."""
    objective = new_objective(name, WORDS, PAPER)
    size = Size(layers=1, width=16, heads=2, inner=32)
    ids = VOCABULARY + objective.extra_ids
    model = new_model(objective.family, size, ids, positions=64, initial_deviation=0.4).eval()

    def loss(part, indices):
        some = Rows(rows.ids[part], rows.sentences[part], rows.lengths[part])
        batch = objective.batch(some, seed=3, epoch=1, indices=indices)
        with torch.no_grad():
            return objective.loss(model, batch)

    whole = loss(slice(None), np.arange(len(LENGTHS)))
    single = [loss(*taken(rows, i)) for i in range(len(LENGTHS))]
    assert int(whole.count) == sum(int(each.count) for each in single)
    torch.testing.assert_close(whole.total, sum(each.total for each in single), rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_what_is_drawn_depends_on_seed_epoch_and_index(name):
    rows = many(60, 6)
    told = made(name, rows)
    again = made(name, rows)
    assert all(np.array_equal(told[key], again[key]) for key in told)
    if name != "causal_lm":
        for other in ({"seed": 2}, {"epoch": 1}, {"indices": np.arange(6) + 50}):
            changed = made(name, rows, **other)
            assert any(not np.array_equal(told[key], changed[key]) for key in told)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_rows_are_not_written_to_and_padding_is_not_read(name, rows):
    before = rows.ids.copy()
    told = made(name, rows)
    assert np.array_equal(rows.ids, before)
    for line, length in zip(rows.ids, rows.lengths, strict=True):
        line[length:] = 7
    again = made(name, rows)
    assert all(np.array_equal(told[key], again[key]) for key in told)


def test_an_unknown_objective_is_answered_with_the_nearest():
    with pytest.raises(ParameterError, match="masked_lm"):
        new_objective("maskedlm", WORDS)


# -- encoder and decoder ------------------------------------------------------------------------


@pytest.mark.parametrize("noise", NOISES)
def test_the_decoder_is_told_the_text_shifted_and_writes_all_of_it(rows, noise):
    found = made("denoising", rows, noise=NOISES[noise])
    for i in range(len(LENGTHS)):
        assert without_padding(found["targets"][i], IGNORE) == text(rows, i)
        told = found["decoder"][i][: LENGTHS[i] + 2].tolist()
        assert told == [2, *text(rows, i)[:-1]]
        source = without_padding(found["source"][i])
        assert (source[0], source[-1]) == (0, 2)


def test_without_noise_the_encoder_reads_the_text(rows):
    found = made("denoising", rows, noise=Noise())
    assert [without_padding(row) for row in found["source"]] == [text(rows, i) for i in range(6)]


def test_masked_seq2seq_writes_exactly_the_masked_span(rows):
    found = made("masked_seq2seq", rows)
    for i, length in enumerate(LENGTHS):
        source, original = np.array(without_padding(found["source"][i])), np.array(text(rows, i))
        hidden = np.flatnonzero(source == MASK)
        assert len(hidden) == (max(1, round(length / 2)) if length else 0)
        assert (np.diff(hidden) == 1).all()
        span = without_padding(found["targets"][i], IGNORE)
        assert span == original[hidden].tolist()
        seen = source != MASK
        assert np.array_equal(source[seen], original[seen])
        assert found["decoder"][i][: len(span)].tolist() == [2, *span[:-1]][: len(span)]


def test_the_span_of_masked_seq2seq_may_begin_anywhere_it_fits():
    found = made("masked_seq2seq", many(8, 500))
    starts = {int(np.flatnonzero(row == MASK)[0]) for row in found["source"]}
    assert starts == {1, 2, 3, 4, 5}  # behind <s>, and 4 of 8 tokens still fit


def test_span_corruption_asks_for_the_spans_and_leaves_the_rest(rows):
    objective = new_objective("span_corruption", WORDS)
    assert objective.extra_ids == 100
    found = made("span_corruption", rows)
    for i in range(len(LENGTHS)):
        target = without_padding(found["targets"][i], IGNORE)
        assert target[-1] == 2
        spans, sentinel = {}, None
        for token in target[:-1]:
            if token >= VOCABULARY:
                sentinel = token
                spans[sentinel] = []
            else:
                spans[sentinel].append(token)
        whole = [t for s in without_padding(found["source"][i]) for t in spans.get(s, [s])]
        assert whole == text(rows, i)


def test_span_corruption_refuses_rows_with_more_spans_than_sentinels():
    with pytest.raises(ParameterError, match="2100 tokens has 105 spans"):
        made("span_corruption", many(2100, 1))


# -- one stack ----------------------------------------------------------------------------------


def test_a_language_model_is_asked_for_every_next_token(rows):
    found = made("causal_lm", rows)
    for i in range(len(LENGTHS)):
        assert without_padding(found["targets"][i], IGNORE) == text(rows, i)[1:]
        assert found["ids"][i][: LENGTHS[i] + 1].tolist() == text(rows, i)[:-1]


def predictions(found, i):
    count = int((found["targets"][i] != IGNORE).sum())
    return found["predicted"][i][:count], found["targets"][i][:count]


@pytest.mark.parametrize("name", ["permuted_lm", "masked_lm", "multitask_masked_lm"])
def test_predictions_are_of_the_text_and_never_of_its_ends(rows, name):
    share = 1 / 6 if name == "permuted_lm" else 0.15
    found = made(name, rows)
    for i, length in enumerate(LENGTHS):
        places, targets = predictions(found, i)
        assert targets.tolist() == [text(rows, i)[place] for place in places]
        assert len(set(places)) == len(places) == min(length, max(1, round(share * length)))
        assert all(1 <= place <= length for place in places)
        padding = found["order"][i][length + 2 :]
        assert (padding > found["order"][i][: length + 2].max()).all()


@pytest.mark.parametrize("name", ["masked_lm", "multitask_masked_lm"])
def test_masks_stand_where_something_is_predicted_and_nowhere_else(rows, name):
    found = made(name, rows)
    for i in range(len(LENGTHS)):
        places, _ = predictions(found, i)
        expected = np.array(text(rows, i))
        expected[places] = MASK
        assert without_padding(found["ids"][i]) == expected.tolist()


def test_a_permuted_lm_predicts_in_random_order_from_an_untouched_text(rows):
    found = made("permuted_lm", rows)
    for i, length in enumerate(LENGTHS):
        places, _ = predictions(found, i)
        order = found["order"][i][: length + 2]
        assert without_padding(found["ids"][i]) == text(rows, i)
        assert order[places].tolist() == list(range(1, len(places) + 1))
        assert (np.delete(order, places) == 0).all()
    found = made("permuted_lm", many(12, 300))
    firsts = [predictions(found, i)[0] for i in range(300)]
    assert {int(places[0]) for places in firsts} == set(range(1, 13))
    assert 100 < sum(places[0] < places[1] for places in firsts) < 200  # 150 +- 6 deviations


def test_a_masked_lm_sees_everything(rows):
    found = made("masked_lm", rows)
    assert all((found["order"][i][: n + 2] == 0).all() for i, n in enumerate(LENGTHS))


def test_multitask_masks_come_in_the_shares_of_the_mixture():
    count, length = 1200, 6
    order = made("multitask_masked_lm", many(length, count))["order"]
    place = np.arange(length + 2)
    kinds = {
        "left to right": (place, 1 / 6),
        "right to left": (place[::-1], 1 / 6),
        "full": (0 * place, 1 / 3),
        "prefix": (np.array([0, 0, 0, 0, 1, 2, 3, 4]), 1 / 3),
    }
    found = {name: int((order == kind).all(1).sum()) for name, (kind, _) in kinds.items()}
    assert sum(found.values()) == count
    for name, (_, share) in kinds.items():
        assert abs(found[name] - share * count) < 4 * np.sqrt(count * share * (1 - share))
