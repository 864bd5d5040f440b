"""Mask filling: the search against every text there is, and what stands for each mask."""

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import DataError
from assay.parts.text.documents import Document
from assay.parts.text.tokenizer import load_tokenizer, train_tokenizer
from assay.systems.denoising.batches import conditional_batch
from assay.systems.denoising.filling import aligned_fills, fill_masks
from assay.systems.denoising.likelihood import score
from assay.systems.denoising.model import Size, new_model

torch.set_num_threads(1)
MASK = 999


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """Bytes only, so that a token is a letter."""
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer([Document("abcdefgh", (0,), "a")], 261, folder)
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def model(tokenizer):
    """A BART that can only write a, b and c."""
    size = Size(layers=1, width=16, heads=2, inner=32)
    model = new_model(
        "bart", size, len(tokenizer), positions=24, seed=5, initial_deviation=0.6
    ).eval()
    model.final_logits_bias.fill_(-1e4)
    model.final_logits_bias[0, [2, *tokenizer.convert_tokens_to_ids(list("abc"))]] = 0.0
    return model


def every_probability(model, tokenizer, text, lengths):
    """Of every text of some lengths, computed one by one."""
    source = tokenizer(text, add_special_tokens=False)["input_ids"]
    texts = ["".join(letters) for n in lengths for letters in product("abc", repeat=n)]
    written = [tokenizer(each, add_special_tokens=False)["input_ids"] for each in texts]
    scores = score(model, conditional_batch("bart", [source] * len(written), written))
    return dict(zip(texts, scores.log_likelihood.double().sum(1).exp().tolist(), strict=True))


def test_with_equal_length_the_best_of_all_texts_is_found(model, tokenizer):
    every = every_probability(model, tokenizer, "a<mask>c", [3])
    (found,) = fill_masks(model, tokenizer, ["a<mask>c"], beams=27, free_length=False)
    best = sorted(every.items(), key=lambda item: -item[1])
    assert [each.text for each in found[:9]] == [text for text, _ in best[:9]]
    assert [each.probability for each in found[:9]] == pytest.approx(
        [p for _, p in best[:9]], rel=1e-4
    )


@pytest.mark.parametrize("text", ["<mask>", "a<mask>", "<mask>b<mask>", "abcab<mask>"])
def test_equal_length_counts_a_mask_as_one_token(model, tokenizer, text):
    (found,) = fill_masks(model, tokenizer, [text], beams=3, free_length=False)
    assert {len(each.text) for each in found} == {len(text.replace("<mask>", "x"))}
    assert len(found) == 3


def test_free_length_finds_texts_of_any_length(model, tokenizer):
    every = every_probability(model, tokenizer, "a<mask>", range(6))
    (found,) = fill_masks(model, tokenizer, ["a<mask>"], beams=20)
    for each in found:
        if len(each.text) < 6:
            assert each.probability == pytest.approx(every[each.text], rel=1e-4)
    assert len({len(each.text) for each in found}) > 1
    assert len({each.text for each in found}) == len(found) == 20
    likeliest = max(every, key=every.__getitem__)
    assert likeliest in {each.text for each in found}


def test_completions_are_in_order_of_probability(model, tokenizer):
    for found in fill_masks(model, tokenizer, ["<mask>b", "c<mask>"], beams=5):
        probabilities = [each.probability for each in found]
        assert probabilities == sorted(probabilities, reverse=True)
        assert 0 < sum(probabilities) <= 1


def test_one_beam_is_enough(model, tokenizer):
    (found,) = fill_masks(model, tokenizer, ["a<mask>"], beams=1)
    assert len(found) == 1


def test_a_text_without_a_mask_is_refused(model, tokenizer):
    with pytest.raises(DataError, match="'abc': no mask to fill; expected a text with <mask>"):
        fill_masks(model, tokenizer, ["abc"])


def test_a_text_that_is_too_long_is_refused(model, tokenizer):
    with pytest.raises(DataError, match="a text of 31 tokens; expected at most 22"):
        fill_masks(model, tokenizer, ["a" * 30 + "<mask>"])


# -- what stands for each mask ------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 4)), min_size=1, max_size=5), st.data())
def test_what_was_hidden_is_read_off(pieces, data):
    """Text whose tokens are all different, with stretches of it behind masks."""
    source, written, fills, token = [], [], [], 0
    for kept, hidden in pieces:
        text = list(range(token, token + kept + hidden))
        token += kept + hidden
        source += [*text[:kept], MASK]
        written += text
        fills.append(text[kept:])
    assert aligned_fills(source, written, MASK) == fills


def test_what_the_model_changed_outside_masks_is_not_taken_for_a_fill():
    assert aligned_fills([1, 2, MASK, 4, 5], [1, 9, 7, 8, 4, 5], MASK) == [[7, 8]]
    assert aligned_fills([1, MASK, 3], [1, 7, 3, 3], MASK) in ([[7]], [[7, 3]])
    assert aligned_fills([1, MASK, 3, 4], [1, 7, 4], MASK) == [[7]]


def test_masks_side_by_side_share():
    assert aligned_fills([MASK, MASK], [5, 6], MASK) == [[5], [6]]
    assert aligned_fills([MASK, MASK, 1], [5, 1], MASK) in ([[5], []], [[], [5]])
    assert aligned_fills([MASK], [], MASK) == [[]]
