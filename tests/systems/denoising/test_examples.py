"""Examples as tensors: nothing is lost on the way but what has no room, and that is counted."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from assay.errors import DataError
from assay.parts.text.documents import Document
from assay.parts.text.stories import story
from assay.parts.text.tasks import Example, Task, story_task
from assay.parts.text.tokenizer import content_tokenizer, load_tokenizer, train_tokenizer
from assay.systems.denoising import heads
from assay.systems.denoising.batches import conditional_batch
from assay.systems.denoising.examples import prepare
from assay.systems.denoising.likelihood import model_loss, score
from assay.systems.denoising.model import Size, family_of, new_model

torch.set_num_threads(1)
SIZE = Size(1, 16, 2, 32)
QUESTIONS = story_task(name="questions", train=6, test=3, seed=2)


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words") / "bpe"
    told = [story(1, k) for k in range(100)]
    train_tokenizer((Document(s.text, s.sentences, "") for s in told), 600, folder)
    return load_tokenizer(folder)


def new(words, family="bart", positions=256):
    return new_model(family, SIZE, len(words), positions=positions, seed=1, dropout=0.0).eval()


def ids(words, text):
    return content_tokenizer(words).encode(text, add_special_tokens=False).ids


def every(prepared):
    return prepared.batch(torch.arange(len(prepared.sizes)).numpy())


@pytest.mark.parametrize("family", ["bart", "causal", "two_stream"])
def test_the_loss_is_that_of_the_pairs_however_wide_the_rows(words, family):
    model = new(words, family)
    prepared = prepare(model, words, words, QUESTIONS, QUESTIONS.train)
    sources = [ids(words, e.text) for e in QUESTIONS.train]
    targets = [ids(words, f" {e.target}") for e in QUESTIONS.train]
    plain = conditional_batch(family_of(model), sources, targets)

    with torch.no_grad():
        found = prepared.loss(model, every(prepared))
        expected = model_loss(model, plain)
    assert found.count == expected.count == sum(len(t) + 1 for t in targets)
    assert found.total.item() == pytest.approx(expected.total.item(), rel=1e-5)
    assert torch.allclose(
        score(model, every(prepared)).log_likelihood.sum(1),
        score(model, plain).log_likelihood.sum(1),
        atol=1e-4,
    )
    assert all(values.shape[1] % 8 == 0 for values in every(prepared).values())
    assert prepared.cut == 0


@pytest.mark.parametrize("family", ["bart", "causal", "two_stream"])
def test_columns_that_are_filled_up_are_not_seen(words, family):
    model = new_model(family, SIZE, len(words), seed=1, dropout=0.0, initial_deviation=0.5).eval()
    task = Task("t", "generation", [Example("red " * k, "blue") for k in range(1, 10)], [])
    prepared, widths = prepare(model, words, words, task, task.train), set()
    for k, example in enumerate(task.train):
        target = ids(words, f" {example.target}")
        plain = conditional_batch(family, [ids(words, example.text.rstrip())], [target])
        wide = prepared.batch(np.array([k]))
        widths |= {values.shape[1] % 8 for values in plain.values()}
        found, expected = (score(model, b).log_likelihood.sum().item() for b in (wide, plain))
        assert found == pytest.approx(expected, rel=1e-4)
    assert len(widths) == 8


def test_columns_stay_within_the_positions(words):
    long = max(len(ids(words, e.text)) for e in QUESTIONS.train)
    model = new(words, positions=long + 2)
    prepared = prepare(model, words, words, QUESTIONS, QUESTIONS.train)

    assert prepared.cut == 0
    assert every(prepared)["source"].shape[1] == long + 2


def test_a_word_copied_from_the_source_is_the_same_token_in_the_target(words):
    for example in QUESTIONS.train:
        if example.target.islower():
            assert set(ids(words, f" {example.target}")) <= set(ids(words, example.text))


def test_smoothing_is_that_of_torch(words):
    model = new(words)
    prepared = prepare(model, words, words, QUESTIONS, QUESTIONS.train, smoothing=0.2)
    batch = every(prepared)
    with torch.no_grad():
        logits = model(
            input_ids=batch["source"],
            attention_mask=(batch["source"] != 1).long(),
            decoder_input_ids=batch["decoder"],
        ).logits
        found = prepared.loss(model, batch).total.item()

    expected = cross_entropy(
        logits.flatten(0, 1), batch["targets"].flatten(), reduction="sum", label_smoothing=0.2
    )
    assert found == pytest.approx(expected.item(), rel=1e-4)


def long_task(kind="generation", pair="", target="b"):
    return Task("long", kind, [Example("a b " * 40, target, pair)], [])


def test_a_text_that_is_too_long_is_cut_at_its_end_and_counted(words):
    task = long_task()
    bart = prepare(new(words, positions=20), words, words, task, task.train)
    causal = prepare(new(words, "causal", 20), words, words, task, task.train)
    whole = ids(words, "a b " * 40)

    assert bart.cut == causal.cut == 1
    assert bart.sources == [whole[:18]]
    target = len(ids(words, " b"))
    assert causal.sources == [whole[: 20 - 3 - target]]
    row = every(causal)["ids"][0]
    assert (row != 1).sum() == 19 < len(row) == 20  # nothing follows from the last token


def test_a_target_that_is_too_long_leaves_room_for_a_source(words):
    task = long_task(target="c d " * 40)
    for family in ("bart", "causal", "two_stream"):
        prepared = prepare(new(words, family, 20), words, words, task, task.train)
        assert prepared.cut == 1
        assert len(prepared.sources[0]) >= 1
        assert torch.isfinite(score(new(words, family, 20), every(prepared)).log_likelihood).all()


@pytest.mark.parametrize("kind", ["generation", "classification"])
def test_a_text_that_is_too_long_is_refused_if_asked(words, kind):
    task = long_task(kind)
    bart = new(words, positions=20)
    model = bart if kind == "generation" else heads.new_classifier(bart, ["a", "b"])

    with pytest.raises(DataError, match=r"long, example 1: .* tokens.*at most .*Shorten it"):
        prepare(model, words, words, task, task.train, too_long="refuse")


def test_a_pair_follows_a_source_and_precedes_a_span(words):
    task = Task("t", "generation", [Example("one two", "x", "three")], [])
    assert prepare(new(words), words, words, task, task.train).sources == [
        ids(words, "one two three")
    ]
    text, pair = ids(words, "one two"), ids(words, "three")
    spans = Task("t", "span", [Example("one two", "two", "three", 4)], [])
    prepared = prepare(heads.new_span_reader(new(words)), words, words, spans, spans.train)
    (row,) = every(prepared)["ids"].tolist()
    assert row[: len(text) + len(pair) + 4] == [0, *pair, 2, 2, *text, 2]
    first, last = every(prepared)["truth"][0].tolist()
    assert words.decode(row[first : last + 1]).strip() == "two"


def test_classes_and_numbers_are_the_truth_of_their_rows(words):
    bart = new(words)
    classes = Task("t", "classification", [Example("a", "no"), Example("b", "yes")], [])
    model = heads.new_classifier(bart, classes.labels)
    assert every(prepare(model, words, words, classes, classes.train))["truth"].tolist() == [0, 1]
    numbers = Task("t", "regression", [Example("a", "1.5"), Example("b", "-2")], [])
    prepared = prepare(heads.new_classifier(bart, []), words, words, numbers, numbers.train)
    assert every(prepared)["truth"].tolist() == [1.5, -2.0]


def test_a_label_the_model_does_not_know_is_refused(words):
    task = Task("t", "classification", [Example("a", "yes"), Example("b", "yess")], [])
    model = heads.new_classifier(new(words), ["no", "yes"])

    with pytest.raises(DataError, match=r"t, example 2: no label 'yess'.*'yes'"):
        prepare(model, words, words, task, task.train)


def test_a_pair_without_room_for_a_text_is_refused(words):
    task = Task("t", "classification", [Example("a", "no", "b c " * 30)], [])
    model = heads.new_classifier(new_model("bart", SIZE, len(words), positions=20), ["no", "yes"])

    with pytest.raises(DataError, match="the second text leaves no room"):
        prepare(model, words, words, task, task.train)
