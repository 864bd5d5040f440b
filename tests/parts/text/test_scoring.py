"""Scoring: three ways to one number, whoever shares the batch, and clear refusals."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BloomConfig,
    BloomForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
)

from assay.errors import DataError
from assay.parts.text.passes import _tree_mask
from assay.parts.text.scoring import (
    OptionScores,
    Question,
    normalised,
    score,
    split_question,
)

VOCABULARY, POSITIONS = 50, 32
WIDTHS = {
    "vocab_size": VOCABULARY, "max_position_embeddings": POSITIONS, "hidden_size": 16,
    "num_hidden_layers": 2, "num_attention_heads": 2,
}  # fmt: skip
BLOOM = {"vocab_size": VOCABULARY, "hidden_size": 16, "n_layer": 2, "n_head": 2}


def gpt2(**settings):
    sizes = {"vocab_size": VOCABULARY, "n_positions": POSITIONS, "n_embd": 16, "n_layer": 2}
    ids = {"n_head": 2, "bos_token_id": 0, "eos_token_id": 2}
    return GPT2LMHeadModel(GPT2Config(**sizes, **ids, **settings))


def opt():
    return OPTForCausalLM(OPTConfig(**WIDTHS, ffn_dim=32, word_embed_proj_dim=16))


def llama():
    config = LlamaConfig(**WIDTHS, num_key_value_heads=1, intermediate_size=32)
    return LlamaForCausalLM(config)


def mistral():
    config = MistralConfig(**WIDTHS, num_key_value_heads=1, intermediate_size=32, sliding_window=6)
    return MistralForCausalLM(config)


def bart():
    layers = {"encoder_layers": 1, "decoder_layers": 2, "d_model": 16}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    sizes = {"encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": POSITIONS}
    config = BartConfig(vocab_size=VOCABULARY, **layers, **heads, **sizes)
    return BartForConditionalGeneration(config)


def bloom():
    return BloomForCausalLM(BloomConfig(**BLOOM))


BUILDERS = {
    "gpt2": gpt2, "opt": opt, "llama": llama, "mistral": mistral, "bart": bart, "bloom": bloom,
}  # fmt: skip
CAUSAL = ("gpt2", "opt", "llama")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def models():
    """Models of uneven opinions, so that options differ by whole nats."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built = {name: build() for name, build in BUILDERS.items()}
        for model in built.values():
            for parameter in model.parameters():
                torch.nn.init.normal_(parameter, std=0.4)
            model.eval()
    return built


def questions(lengths=(1, 20, 7, 3, 26, 12), seed=0):
    random = np.random.default_rng(seed)

    def ids(count):
        return random.integers(3, VOCABULARY, count).tolist()

    return [
        Question(ids(n), [ids(random.integers(1, 6)) for _ in range(random.integers(1, 6))])
        for n in lengths
    ]


@torch.no_grad()
def one_by_one(model, question, given=()):
    """Each option in a pass of its own, from all logits: nothing shared, nothing padded."""
    sums = []
    for option in question.options:
        if model.config.is_encoder_decoder:
            start = [model.config.decoder_start_token_id, *given]
            decoder = torch.tensor([[*start, *option]])
            logits = model(torch.tensor([question.prefix]), decoder_input_ids=decoder).logits[0]
            first = len(start)
        else:
            logits = model(torch.tensor([[*question.prefix, *option]])).logits[0]
            first = len(question.prefix)
        log_probability = logits.double().log_softmax(-1)
        sums.append(sum(float(log_probability[first + j - 1, t]) for j, t in enumerate(option)))
    return np.array(sums)


@pytest.mark.parametrize("method", ["tree", "cached", "naive"])
@pytest.mark.parametrize("name", CAUSAL)
def test_every_way_gives_the_log_probabilities_of_a_pass_for_each_option(models, name, method):
    found = score(models[name], questions(), method=method)

    for question, scores in zip(questions(), found, strict=True):
        np.testing.assert_allclose(
            scores.log_probability, one_by_one(models[name], question), atol=1e-5, rtol=0
        )
        assert scores.tokens.tolist() == [len(option) for option in question.options]


@pytest.mark.parametrize("name", ["mistral", "bloom"])
def test_a_window_and_relative_positions_survive_the_cache(models, name):
    for question, scores in zip(
        questions(), score(models[name], questions(), method="cached"), strict=True
    ):
        np.testing.assert_allclose(
            scores.log_probability, one_by_one(models[name], question), atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("name", ["mistral", "bloom"])
def test_a_model_that_cannot_be_a_tree_is_refused_as_one(models, name):
    with pytest.raises(DataError, match="cannot score options as a tree"):
        score(models[name], questions(), method="tree")


@pytest.mark.parametrize("tokens", [1, 40, 8192])
@pytest.mark.parametrize("method", ["tree", "cached", "naive"])
def test_the_size_of_batches_changes_nothing(models, method, tokens):
    found = score(models["gpt2"], questions(), method=method, tokens=tokens)

    for question, scores in zip(questions(), found, strict=True):
        np.testing.assert_allclose(
            scores.log_probability, one_by_one(models["gpt2"], question), atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("name", ["gpt2", "bart"])
def test_a_question_has_the_score_it_has_alone(models, name):
    together = score(models[name], questions())

    for question, scores in zip(questions(), together, strict=True):
        (alone,) = score(models[name], [question])
        np.testing.assert_allclose(scores.log_probability, alone.log_probability, atol=1e-5, rtol=0)


def test_eager_attention_takes_the_same_tree():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = gpt2(attn_implementation="eager").eval()

    for question, scores in zip(questions(), score(model, questions()), strict=True):
        np.testing.assert_allclose(
            scores.log_probability, one_by_one(model, question), atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("given_ids", [(), (0,), (0, 7)])
def test_an_encoder_decoder_scores_what_follows_its_given_ids(models, given_ids):
    found = score(models["bart"], questions(), decoder_prefix=given_ids)

    for question, scores in zip(questions(), found, strict=True):
        np.testing.assert_allclose(
            scores.log_probability,
            one_by_one(models["bart"], question, given_ids),
            atol=1e-5,
            rtol=0,
        )


def test_an_encoder_reads_each_source_once(models):
    read = []
    encoder = models["bart"].get_encoder()
    hook = encoder.register_forward_pre_hook(
        lambda _, __, kwargs: read.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    score(models["bart"], questions())
    hook.remove()

    assert sum(read) == len(questions())


@pytest.mark.parametrize(
    ("method", "rows"),
    # Options of 3, 2 and 1 tokens. Tree: the first tokens share one row of logits.
    [("tree", 1 + 2 + 1), ("cached", 1 + 3 * 2), ("naive", 3 * 3)],  # the last two padded
)
def test_logits_are_computed_for_options_only(models, method, rows):
    seen = []
    hook = models["gpt2"].lm_head.register_forward_pre_hook(
        lambda _, args: seen.append(args[0].shape[:-1].numel())
    )
    score(models["gpt2"], [Question([5] * 20, [[6, 7, 8], [9, 6], [7]])], method=method)
    hook.remove()

    assert sum(seen) == rows


def test_the_mask_of_a_tree_is_the_one_drawn_by_hand(models):
    seen, part = torch.tensor([[0, 1, 1]]), torch.tensor([[1, 1, 2, 0]])
    drawn = [
        ".xx" + "x...",
        ".xx" + "xx..",
        ".xx" + "..x.",  # the second option does not see the first
        ".xx" + "...x",  # padding
    ]

    mask = _tree_mask(models["gpt2"], seen, part)[0, 0]

    assert ["".join(".x"[int(v == 0)] for v in row) for row in mask] == drawn
    assert mask[mask != 0].unique().item() == torch.finfo(torch.float32).min


# -- limits and refusals ------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["tree", "cached", "naive"])
@pytest.mark.parametrize("name", CAUSAL)
def test_a_text_that_just_fits_is_scored_and_one_more_token_is_refused(models, name, method):
    fits = Question([5] * (POSITIONS - 2), [[6], [7, 8, 9]])  # the last token is not read
    (scores,) = score(models[name], [fits], method=method)
    assert np.isfinite(scores.log_probability).all()

    with pytest.raises(DataError, match="question 1: 31 tokens of prefix and 3 of option 1"):
        score(models[name], [fits, Question([5] * 31, fits.options)], method=method)


def test_an_encoder_decoder_has_room_for_each_side(models):
    fits = Question([5] * POSITIONS, [[6] * (POSITIONS - 1)])
    assert np.isfinite(score(models["bart"], [fits], decoder_prefix=(0,))[0].log_probability).all()

    for question in (
        Question([5] * (POSITIONS + 1), [[6]]), Question([5], [[6] * POSITIONS])
    ):  # fmt: skip
        with pytest.raises(DataError, match="no more than the 32 positions"):
            score(models["bart"], [question], decoder_prefix=(0,))


@pytest.mark.parametrize(
    ("question", "what"),
    [
        (Question([], [[5]]), "question 0: the prefix is empty"),
        (Question([5], []), "an option without tokens"),
        (Question([5], [[6], []]), "an option without tokens"),
        (Question([5], [[VOCABULARY]]), "ids that the model does not know"),
        (Question([-1], [[5]]), "ids that the model does not know"),
        (Question([5], [[1.5]]), "ids that the model does not know"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(models, question, what):
    with pytest.raises(DataError, match=what):
        score(models["gpt2"], [question])


def test_a_model_without_an_answer_is_refused():
    model = gpt2()
    torch.nn.init.constant_(model.transformer.ln_f.weight, float("nan"))

    with pytest.raises(DataError, match="answers NaN"):
        score(model, questions())


def test_no_questions_have_no_scores(models):
    assert score(models["gpt2"], []) == []


def test_the_model_keeps_its_mode_and_scores_without_dropout():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = gpt2(embd_pdrop=0.5, resid_pdrop=0.5).train()
    one, two = score(model, questions()), score(model, questions())

    assert model.training
    assert all(
        (a.log_probability == b.log_probability).all() for a, b in zip(one, two, strict=True)
    )


# -- half precision -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt2", "bart"])
@pytest.mark.parametrize("method", ["tree", "cached"])
def test_bf16_decides_clear_questions_and_fp32_the_close_ones(models, name, method):
    model = models[name]
    clear = Question([5, 6, 7], [[8, 9, 10], [11], [12, 13]])
    (exact,) = score(model, [clear], method=method)
    best = clear.options[int(exact.log_probability.argmax())]
    tie = Question(clear.prefix, [best, best, [20] * 5])
    (even,) = score(model, [tie], method=method)
    assert np.diff(np.sort(exact.log_probability))[-1] > 0.1
    assert np.diff(np.sort(exact.per_token))[-1] > 0.1

    low = score(model, [clear, tie], method=method, precision="bf16", close_nats=1e-3)

    np.testing.assert_allclose(low[1].log_probability, even.log_probability, atol=1e-5, rtol=0)
    assert (abs(low[0].log_probability - exact.log_probability) > 1e-5).any()
    np.testing.assert_allclose(low[0].log_probability, exact.log_probability, atol=0.3, rtol=0)


def test_options_close_per_token_only_are_scored_again(models):
    one = Question([5, 6, 7], [[8]])
    (alone,) = score(models["gpt2"], [one])
    twin = Question([5, 6, 7], [[8], [8, 9]])
    exact = score(models["gpt2"], [twin])[0]
    gap = abs(exact.per_token[0] - exact.per_token[1]) * 1.01  # nearer than the sums are

    (again,) = score(models["gpt2"], [twin], precision="bf16", close_nats=gap)

    assert abs(np.diff(exact.log_probability)[0]) > gap
    np.testing.assert_allclose(again.log_probability[0], alone.log_probability[0], atol=1e-6)


# -- candidates and normalisation ---------------------------------------------------------------


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=1, max_size=4))
def test_candidates_are_split_where_they_part(candidates):
    prefix, options = split_question(candidates)

    assert [[*prefix, *option] for option in options] == candidates
    assert all(options)
    if all(len(option) > 1 for option in options):  # then nothing more is shared
        assert len({option[0] for option in options}) > 1


def test_normalised_scores_by_hand():
    scores = OptionScores(np.array([-6.0, -4.0]), np.array([3, 1]))
    nothing_said = OptionScores(np.array([-9.0, -4.5]), np.array([3, 1]))

    assert normalised(scores, "sum").tolist() == [-6.0, -4.0]
    assert normalised(scores, "token").tolist() == [-2.0, -4.0]
    assert normalised(scores, "character", characters=[12, 2]).tolist() == [-0.5, -2.0]
    assert normalised(scores, "unconditional", unconditional=nothing_said).tolist() == [3.0, 0.5]


@pytest.mark.parametrize(
    ("by", "given_values"),
    [
        ("character", {}),
        ("character", {"characters": [1]}),
        ("character", {"characters": [1, 0]}),
        ("unconditional", {}),
        ("unconditional", {"unconditional": OptionScores(np.zeros(2), np.array([1, 1]))}),
    ],
)
def test_a_normalisation_without_its_numbers_is_refused(by, given_values):
    with pytest.raises(DataError):
        normalised(OptionScores(np.array([-6.0, -4.0]), np.array([3, 1])), by, **given_values)
