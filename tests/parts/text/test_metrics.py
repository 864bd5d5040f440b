"""Metrics: hand-made numbers, peers, and intervals that theory knows."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from assay.core.inference import interval
from assay.errors import DataError
from assay.parts.text.metrics import (
    accuracy,
    bits_per_byte,
    bleu,
    exact_match,
    matthews,
    normalise_answer,
    pearson,
    perplexity,
    rouge,
    spearman,
    token_f1,
)

FOX, LOG = "The quick brown fox jumps over the lazy dog", "The quick brown dog jumps on the log."


def approx(value):
    return pytest.approx(value, rel=1e-12, abs=1e-12)


# -- likelihood ---------------------------------------------------------------------------------


def test_a_uniform_model_is_as_perplexed_as_it_has_words():
    tokens = np.array([3, 50, 7])

    assert perplexity(np.log(4096) * tokens, tokens).value == approx(4096.0)
    assert bits_per_byte(np.log(256) * tokens, tokens).value == approx(8.0)


def test_tokens_weigh_alike_whatever_text_they_are_in():
    found = perplexity(np.array([2.0, 10.0]), np.array([1, 3]))

    assert found.value == approx(np.exp(3.0))  # not the mean over items, exp(2.67)


def test_the_interval_of_a_perplexity_is_that_of_the_normal_law():
    nll = np.random.default_rng(0).normal(3.0, 0.5, 2000)
    found = perplexity(nll, np.ones(2000, dtype=int))

    reach = 1.96 * nll.std() / np.sqrt(2000)
    assert np.log(found.value) - np.log(found.low) == pytest.approx(reach, rel=0.15)
    assert np.log(found.high) - np.log(found.value) == pytest.approx(reach, rel=0.15)
    assert found == perplexity(nll, np.ones(2000, dtype=int))


# -- ROUGE and BLEU -----------------------------------------------------------------------------


def test_rouge_by_hand():
    found = rouge([LOG], [FOX])

    assert found["rouge1"].value == approx(2 * 6 / (8 + 9))  # the, the, quick, brown, dog, jump
    assert found["rouge2"].value == approx(2 * 2 / (7 + 8))  # the quick, quick brown
    assert found["rougeL"].value == approx(2 * 5 / (8 + 9))  # the quick brown jump the


def test_lines_are_the_sentences_of_rouge_lsum():
    """The union of common subsequences in Lin (2004), section 3.2: w1 w3 w5 and w1 w2."""
    found = rouge(["w1 w3 w8 w9 w5\nw1 w2 w6 w7 w8"], ["w1 w2 w3 w4 w5"])

    assert found["rougeLsum"].value == approx(2 * 4 / (10 + 5))
    assert found["rougeL"].value == approx(2 * 3 / (10 + 5))


def test_the_stemmer_and_the_best_reference_of_rouge():
    stemmed = rouge(["running dogs"], ["run dog"], kinds=["rouge1"])["rouge1"]
    plain = rouge(["running dogs"], ["run dog"], kinds=["rouge1"], stemmer=False)["rouge1"]
    best = rouge([LOG], [["something else", FOX]], kinds=["rouge1"])["rouge1"]

    assert (stemmed.value, plain.value) == (1.0, 0.0)
    assert best.value == approx(12 / 17)
    assert stemmed.signature.startswith("rouge1|F1|best reference|stemmer:yes|rouge_score 0.1.")
    assert "stemmer:no" in plain.signature


def test_bleu_by_hand():
    found = bleu(["the cat sat on mat"], ["the cat sat on the mat"])

    # Precisions 5/5, 3/4, 2/3, 1/2; brevity penalty of 5 words for 6.
    assert found.value == approx(100 * np.exp(1 - 6 / 5) * (3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    assert found.signature.startswith("BLEU|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")


words = st.lists(st.sampled_from("a b c d e .".split()), max_size=9).map(" ".join)


@given(st.lists(st.tuples(words, words, words), min_size=1, max_size=6), st.booleans())
def test_bleu_is_that_of_sacrebleu(items, several):
    import sacrebleu

    said, one, two = (list(texts) for texts in zip(*items, strict=True))
    references = list(zip(one, two, strict=True)) if several else one
    peer = sacrebleu.corpus_bleu(said, [one, two] if several else [one])

    assert bleu(said, references).value == pytest.approx(peer.score, abs=1e-9)


def test_the_tokeniser_of_bleu_is_in_its_signature():
    assert "tok:char" in bleu(["abc"], ["abd"], tokenise="char").signature


# -- answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  Answer.", "answer"),
        ("a an the", ""),
        ("An A-Z of theatre", "az of theatre"),
        ("  \t\n", ""),
        ("100,000 $", "100000"),
        ("the-end", "theend"),  # punctuation goes first, so that no article is left
        ("Élan", "élan"),
    ],
)
def test_answers_are_normalised_as_squad_does(text, normal):
    assert normalise_answer(text) == normal


def test_articles_stay_where_natural_instructions_keeps_them():
    assert normalise_answer("The  Answer.", articles=True) == "the answer"
    assert exact_match(["the cat"], ["cat"]).value == 1.0
    assert exact_match(["the cat"], ["cat"], articles=True).value == 0.0
    assert exact_match(["a"], ["a"]).signature != exact_match(["a"], ["a"], articles=True).signature


@pytest.mark.parametrize(
    ("said", "right", "em", "f1"),
    [
        ("the cat sat", "cat sat down", 0, 4 / 5),
        ("The cat!", "cat", 1, 1),
        ("cat", ["dog", "the cat", "cat sat"], 1, 1),
        ("cat cat cat dog", "cat cat", 0, 4 / 6),  # a word counts as often as both have it
        ("dog", "cat", 0, 0),
        ("", [], 1, 1),  # no answer, and none is right
        ("", "", 1, 1),
        ("cat", [], 0, 0),
        ("", "cat", 0, 0),
        ("cat", ["", "cat"], 1, 1),
        ("", ["the", "cat"], 0, 0),  # references without words do not count beside others
        ("the", [], 1, 1),
    ],
)
def test_exact_match_and_f1_by_hand(said, right, em, f1):
    assert exact_match([said], [right]).value == em
    assert token_f1([said], [right]).value == approx(f1)


# -- labels and numbers -------------------------------------------------------------------------


def test_accuracy_has_the_interval_of_a_mean():
    right = [1] * 30 + [0] * 10
    found = accuracy(right, [1] * 40)
    peer = interval(np.array(right, dtype=float))

    assert (found.value, found.low, found.high, found.n) == peer[:4]
    assert found.items is not None
    assert found.items.tolist() == right


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_mcc_of_two_classes_is_the_binary_formula(pairs):
    said, right = np.array(pairs).T
    tp, tn = (said & right).sum(), (~said & ~right).sum()
    fp, fn = (said & ~right).sum(), (~said & right).sum()
    spread = float((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))

    expected = float(tp * tn - fp * fn) / spread**0.5 if spread else 0.0
    assert matthews(said.tolist(), right.tolist()).value == approx(expected)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=30))
def test_mcc_of_many_classes_is_a_correlation_of_indicators(pairs):
    said, right = np.array(pairs).T
    one, two = (np.eye(4)[v] - np.eye(4)[v].mean(axis=0) for v in (said, right))
    spread = np.sqrt((one**2).sum() * (two**2).sum())
    assume(spread > 1e-9)

    names = np.array(["w", "x", "y", "z"])
    assert matthews(said, right).value == approx((one * two).sum() / spread)
    assert matthews(names[said], names[right]).value == matthews(said, right).value


def test_correlations_are_those_of_scipy():
    random = np.random.default_rng(0)
    x = random.normal(size=40)
    y = np.round(x + random.normal(size=40), 0)  # with ties

    assert pearson(x, y).value == approx(stats.pearsonr(x, y).statistic)
    assert spearman(x, y).value == approx(stats.spearmanr(x, y).statistic)


def test_spearman_by_hand():
    # Squared differences of ranks 1, 1, 0, 4, 4: 1 - 6 * 10 / (5 * 24).
    assert spearman(np.arange(1.0, 6.0), np.array([2, 1, 3, 6, 4]) ** 3.0).value == approx(0.8)


def test_what_does_not_vary_has_no_correlation():
    flat, line = np.full(12, 0.1), np.arange(12.0)

    for found in (pearson(flat, line), pearson(line, flat), spearman(flat, line)):
        assert np.isnan([found.value, found.low, found.high]).all()
    assert matthews([1] * 12, [1, 0] * 6).value == 0.0


def test_ranks_are_taken_anew_in_each_resample():
    """Of a rank correlation that is 1 the resamples are too, whatever the distances."""
    x = np.arange(20.0)
    found = spearman(x, np.exp(x))

    assert (found.value, found.low, found.high) == pytest.approx((1.0, 1.0, 1.0))
    assert pearson(x, np.exp(x)).low < 0.9


# -- intervals ----------------------------------------------------------------------------------


def test_the_interval_of_a_correlation_is_about_that_of_fisher():
    random = np.random.default_rng(1)
    x, y = random.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 1500).T
    found = pearson(x, y)

    low, high = np.tanh(np.arctanh(found.value) + np.array([-1.96, 1.96]) / np.sqrt(1497))
    assert found.low == pytest.approx(low, abs=0.01)
    assert found.high == pytest.approx(high, abs=0.01)


def test_too_few_items_have_no_interval():
    one, nine = accuracy([1], [1]), matthews([0, 1, 1] * 3, [0, 1, 0] * 3)

    assert (one.value, one.n, nine.n) == (1.0, 1, 9)
    assert np.isnan([one.low, one.high, nine.low, nine.high]).all()
    assert np.isfinite(matthews([0, 1] * 5, [0, 1, 1, 1, 0] * 2).low)


def test_an_interval_holds_its_value_and_narrows_with_items():
    def width(repeats):
        said = ["the cat sat on mat", "a dog ran far away", "no", "it is so", "so is it"] * repeats
        right = ["the cat sat on the mat", "a dog ran away", "no", "it is so", "x y z w"] * repeats
        found = bleu(said, right)
        assert found.low <= found.value <= found.high
        return found.high - found.low

    assert 0 < width(40) < 0.5 * width(4)


# -- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda: rouge([], []),
        lambda: bleu([], []),
        lambda: exact_match([], []),
        lambda: accuracy([], []),
        lambda: matthews([], []),
        lambda: perplexity(np.zeros(0), np.zeros(0)),
        lambda: pearson(np.zeros(0), np.zeros(0)),
        lambda: rouge(["a"], []),
        lambda: rouge(["a"], [[]]),
        lambda: bleu(["a", "b"], [["a"], ["a", "b"]]),
        lambda: bleu(["a"], [[]]),
        lambda: token_f1(["a", "b"], ["a"]),
        lambda: accuracy([1], [1, 2]),
        lambda: matthews([1, 2], [1]),
        lambda: perplexity(np.ones(2), np.ones(3)),
        lambda: perplexity(np.ones(2), np.array([1, 0])),
        lambda: perplexity(np.array([1.0, np.nan]), np.ones(2)),
        lambda: spearman(np.array([1.0, np.inf]), np.ones(2)),
    ],
)
def test_what_cannot_be_measured_is_refused(call):
    with pytest.raises(DataError):
        call()
