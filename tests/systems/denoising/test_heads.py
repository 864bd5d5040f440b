"""Heads on BART: equal to transformers where it accepts a batch, and right where it refuses."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification

from assay.parts.text.documents import Document
from assay.parts.text.stories import questions, story
from assay.parts.text.tokenizer import content_tokenizer, load_tokenizer, train_tokenizer
from assay.systems.denoising.batches import padded
from assay.systems.denoising.heads import (
    NOWHERE,
    Frame,
    best_spans,
    class_logits,
    class_loss,
    frame,
    framed,
    last_end,
    new_classifier,
    new_span_reader,
    number_loss,
    span_logits,
    span_loss,
    span_of,
    words_of,
)
from assay.systems.denoising.model import Size, new_model

torch.set_num_threads(1)
PAIRS = [([5, 6, 7], [8]), ([9], [10, 11, 12, 13])]
SINGLES = [[5, 6, 7, 8], [9, 10]]


def rows(*given):
    return torch.from_numpy(padded(list(given)))


@pytest.fixture(scope="module")
def bart():
    return new_model(
        "bart", Size(1, 16, 2, 32), 30, positions=32, seed=1, initial_deviation=0.3
    ).eval()


@pytest.fixture(scope="module")
def classifier(bart):
    return new_classifier(bart, ["no", "yes", "maybe"], seed=4).eval()


@pytest.fixture(scope="module")
def reader(bart):
    return new_span_reader(bart, seed=4).eval()


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words") / "bpe"
    told = [story(1, k) for k in range(100)]
    train_tokenizer((Document(s.text, s.sentences, "") for s in told), 500, folder)
    return content_tokenizer(load_tokenizer(folder))


def theirs(model, ids, **given):
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=(ids != 1).long(), **given)


# -- classes and numbers ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ids", [rows(*map(framed, SINGLES)), rows(*itertools.starmap(framed, PAIRS))]
)
def test_logits_are_those_of_transformers_where_it_accepts_the_rows(classifier, ids):
    with torch.no_grad():
        ours = class_logits(classifier, ids)

    assert torch.allclose(ours, theirs(classifier, ids).logits, atol=1e-6)


def test_rows_of_unequal_numbers_of_ends_are_refused_there_and_right_here(classifier):
    mixed = [framed(*PAIRS[0]), framed(SINGLES[0]), framed(*PAIRS[1])]
    ids = rows(*mixed)

    with pytest.raises(Exception, match="same number of <eos>"):
        theirs(classifier, ids)
    alone = torch.cat([theirs(classifier, rows(row)).logits for row in mixed])
    with torch.no_grad():
        assert torch.allclose(class_logits(classifier, ids), alone, atol=1e-6)


def test_the_last_end_counts_and_a_row_without_is_refused():
    ids = torch.tensor([[0, 2, 2, 5, 2, 1], [0, 5, 2, 1, 1, 1], [0, 5, 6, 7, 8, 2]])

    assert last_end(ids).tolist() == [4, 2, 5]
    with pytest.raises(ValueError, match="without </s>"):
        last_end(torch.tensor([[0, 5, 2], [0, 5, 6]]))


def test_losses_are_those_of_transformers_times_the_rows(classifier, bart):
    ids, labels = rows(*map(framed, SINGLES)), torch.tensor([2, 0])
    numbers, regressor = torch.tensor([1.5, -0.5]), new_classifier(bart, [], seed=1).eval()
    with torch.no_grad():
        found = class_loss(classifier, ids, labels)
        squared = number_loss(regressor, ids, numbers)

    assert found.count == squared.count == 2
    assert found.total / 2 == pytest.approx(float(theirs(classifier, ids, labels=labels).loss))
    assert squared.total / 2 == pytest.approx(float(theirs(regressor, ids, labels=numbers).loss))


def test_smoothing_spreads_a_share_of_the_label(classifier):
    ids, labels = rows(*map(framed, SINGLES)), torch.tensor([2, 0])
    with torch.no_grad():
        logs = class_logits(classifier, ids).log_softmax(1)
        found = class_loss(classifier, ids, labels, smoothing=0.3)

    hard = -(logs[0, 2] + logs[1, 0])
    assert found.total == pytest.approx(float(0.7 * hard - 0.3 * logs.mean(1).sum()), rel=1e-5)


@pytest.mark.parametrize(
    ("auto", "name"),
    [(AutoModelForSequenceClassification, "classifier"), (AutoModelForQuestionAnswering, "reader")],
)
def test_a_saved_head_loads_with_transformers(auto, name, request, tmp_path):
    model = request.getfixturevalue(name)
    model.save_pretrained(tmp_path)
    again = auto.from_pretrained(tmp_path, local_files_only=True).eval()
    ids = rows(*map(framed, SINGLES))

    for key in ("logits", "start_logits"):
        if key in (found := theirs(model, ids)):
            assert torch.equal(found[key], theirs(again, ids)[key])
    if name == "classifier":
        assert again.config.id2label == {0: "no", 1: "yes", 2: "maybe"}


def test_a_head_has_weights_of_its_seed_and_copies_those_of_bart(bart):
    one, same, other = (new_classifier(bart, ["a", "b"], seed=seed) for seed in (1, 1, 2))

    assert torch.equal(one.classification_head.dense.weight, same.classification_head.dense.weight)
    assert not torch.equal(
        one.classification_head.dense.weight, other.classification_head.dense.weight
    )
    kept = bart.model.shared.weight.clone()
    assert torch.equal(one.model.shared.weight, kept)
    with torch.no_grad():
        one.model.shared.weight.zero_()
    assert torch.equal(bart.model.shared.weight, kept)


def test_dropout_of_the_head_is_as_asked(bart):
    ids = rows(framed([5, 6]))
    model = new_classifier(bart, ["a", "b"], dropout=0.5).eval()
    model.classification_head.train()
    with torch.no_grad():
        assert not torch.equal(class_logits(model, ids), class_logits(model, ids))


# -- spans --------------------------------------------------------------------------------------


def test_span_logits_and_loss_are_those_of_transformers(reader):
    ids, spans = rows(*map(framed, SINGLES)), torch.tensor([[1, 3], [2, 2]])
    expected = theirs(reader, ids, start_positions=spans[:, 0], end_positions=spans[:, 1])
    with torch.no_grad():
        logits, loss = span_logits(reader, ids), span_loss(reader, ids, spans)

    assert torch.allclose(logits[..., 0], expected.start_logits, atol=1e-6)
    assert torch.allclose(logits[..., 1], expected.end_logits, atol=1e-6)
    assert (loss.total / loss.count).item() == pytest.approx(float(expected.loss), rel=1e-5)


def test_a_row_without_a_span_does_not_count(reader):
    one, both = rows(framed(SINGLES[0])), rows(*map(framed, SINGLES))
    with torch.no_grad():
        alone = span_loss(reader, one, torch.tensor([[1, 3]]))
        beside = span_loss(reader, both, torch.tensor([[1, 3], [NOWHERE, NOWHERE]]))

    assert int(beside.count) == 1
    assert beside.total.item() == pytest.approx(alone.total.item(), rel=1e-5)


@given(st.integers(0, 2**31), st.integers(1, 9), st.integers(1, 10))
def test_the_best_span_is_the_best_of_all(seed, length, longest):
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn((3, length, 2), generator=random)
    allowed = torch.rand((3, length), generator=random) < 0.7
    allowed[:, 0] = True

    for row, (first, last) in enumerate(best_spans(logits, allowed, longest).tolist()):
        every = {
            (a, b): float(logits[row, a, 0] + logits[row, b, 1])
            for a, b in itertools.product(range(length), repeat=2)
            if a <= b < a + longest and allowed[row, a] and allowed[row, b]
        }
        assert every[first, last] == max(every.values())


# -- rows ---------------------------------------------------------------------------------------


def code(words, text):
    return words.encode(text, add_special_tokens=False)


def test_a_text_is_cut_at_its_end_and_a_pair_never(words):
    text, pair = code(words, "one two three four five six"), code(words, "yes")
    room = len(text.ids) + len(pair.ids) + 4

    whole = frame(text, pair, room, pair_first=False)
    assert whole == Frame(framed(text.ids, pair.ids), 1, text.offsets, 0)
    less = frame(text, pair, room - 3, pair_first=False)
    assert (less.ids, less.cut) == (framed(text.ids[:-3], pair.ids), 3)
    first = frame(text, pair, room - 3, pair_first=True)
    assert first.ids == framed(pair.ids, text.ids[:-3])
    assert first.ids[first.first :][: len(first.places)] == text.ids[:-3]
    assert frame(text, code(words, ""), room, pair_first=True).ids == framed(text.ids)


def test_an_answer_becomes_tokens_and_these_the_answer(words):
    for told in (story(7, k) for k in range(20)):
        for asked in questions(told):
            text, pair = code(words, told.text), code(words, asked.text)
            row = frame(text, pair, 512, pair_first=True)
            start = told.text.index(asked.answer)
            span = span_of(row, start, start + len(asked.answer))
            assert asked.answer in words_of(row, told.text, span)
            assert words.decode(row.ids[span[0] : span[1] + 1]).strip().startswith(asked.answer)


def test_an_answer_that_was_cut_is_nowhere(words):
    text = code(words, "one two three four")
    row = frame(text, code(words, ""), 6, pair_first=True)

    assert row.cut > 0
    assert span_of(row, 14, 18) == (NOWHERE, NOWHERE)
    assert words_of(row, "one two three four", span_of(row, 0, 3)) == "one"
