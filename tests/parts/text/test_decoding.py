"""Decoding: what transformers would do when told the same, and nothing a checkpoint whispers."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from assay.errors import DataError, ParameterError
from assay.parts.text.decoding import (
    Decoding,
    _from_nucleus,
    generate,
    read_decoding,
)
from assay.parts.text.scoring import Question, score

WORDS = ["<s>", "<pad>", "</s>", "<unk>", *(f"w{k}" for k in range(40)), "<mask>"]
SOURCES = ["w1 w2 w3", "w4", "w5 w6 w7 w8 w9 w10", "w3 w3", "w11 w12", "w30 w2 w1 w9 w9"]
LIMIT = 40


def tokenizer_of(template):
    made = Tokenizer(WordLevel({w: k for k, w in enumerate(WORDS)}, unk_token="<unk>"))
    made.pre_tokenizer = WhitespaceSplit()
    ids = [("<s>", 0), ("</s>", 2)]
    made.post_processor = TemplateProcessing(single=template, special_tokens=ids)
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=made, **names)


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizer_of("<s> $A </s>")


@pytest.fixture(scope="module")
def prompts():
    return tokenizer_of("$A")


def spread(model):
    """Uneven weights, so that no two sources have the same answer."""
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model.eval()


@pytest.fixture(scope="module")
def bart():
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "decoder_ffn_dim": 32}
    config = BartConfig(vocab_size=len(WORDS), max_position_embeddings=LIMIT, **sizes, **heads)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = spread(BartForConditionalGeneration(config))
        for parameter in model.model.decoder.layers[0].encoder_attn.parameters():
            torch.nn.init.normal_(parameter, std=2.0)
    return model


@pytest.fixture(scope="module")
def gpt2():
    sizes = {"n_positions": LIMIT, "n_embd": 16, "n_layer": 1, "n_head": 2}
    config = GPT2Config(vocab_size=len(WORDS), bos_token_id=0, eos_token_id=2, **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return spread(GPT2LMHeadModel(config))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def directly(model, tokenizer, **settings):
    """Each source by itself through `generate` of transformers; generated ids up to </s>."""
    found = []
    for source in SOURCES:
        ids = torch.tensor([tokenizer(source).input_ids])
        config = GenerationConfig(
            eos_token_id=2, pad_token_id=1, bos_token_id=0, decoder_start_token_id=2, **settings
        )
        out = model.generate(input_ids=ids, generation_config=config)[0].tolist()
        new = out[1:] if model.config.is_encoder_decoder else out[ids.shape[1] :]
        found.append(new[: new.index(2) + 1] if 2 in new else new)
    return found


BEAM = Decoding(
    "beam", beams=3, max_new_tokens=9, min_new_tokens=3, length_penalty=2.0, no_repeat_ngram=2
)
AS_TOLD = {
    "do_sample": False, "num_beams": 3, "length_penalty": 2.0, "early_stopping": True,
    "no_repeat_ngram_size": 2,
}  # fmt: skip


def test_beam_search_is_that_of_transformers(bart, tokenizer):
    found = generate(bart, tokenizer, SOURCES, replace(BEAM, forced_eos=2), batch=4)

    # Lengths of transformers count the start token of the decoder.
    assert found.ids == directly(
        bart, tokenizer, **AS_TOLD, max_length=10, min_length=4, forced_eos_token_id=2
    )
    assert len({tuple(ids) for ids in found.ids}) > 2


def test_beam_search_continues_prompts_as_transformers_does(gpt2, prompts):
    found = generate(gpt2, prompts, SOURCES, BEAM, batch=4)

    assert found.ids == directly(gpt2, prompts, **AS_TOLD, max_new_tokens=9, min_new_tokens=3)


@pytest.mark.parametrize("cache", [True, False])
def test_greedy_search_takes_the_best_token_with_and_without_cache(gpt2, prompts, cache):
    found = generate(gpt2, prompts, SOURCES, Decoding(max_new_tokens=7, cache=cache))

    for source, ids in zip(SOURCES, found.ids, strict=True):
        text = prompts(source).input_ids
        for token in ids:
            with torch.no_grad():
                best = int(gpt2(torch.tensor([text])).logits[0, -1].argmax())
            assert token == best
            text = [*text, token]


def test_a_beam_scores_log_probability_over_length_to_the_penalty(bart, tokenizer):
    """As fairseq does, </s> counted; here through the score that transformers reports."""
    ids = torch.tensor([tokenizer(SOURCES[2]).input_ids])
    settings = AS_TOLD | {"max_new_tokens": 9, "min_new_tokens": 3, "forced_eos_token_id": None}
    said = bart.generate(
        input_ids=ids,
        generation_config=GenerationConfig(
            **(settings | {"no_repeat_ngram_size": None, "min_new_tokens": None}),
            eos_token_id=2, pad_token_id=1, bos_token_id=0, decoder_start_token_id=2,
            output_scores=True, return_dict_in_generate=True,
        ),
    )  # fmt: skip
    decoding = replace(BEAM, no_repeat_ngram=0, min_new_tokens=0)
    (found,) = generate(bart, tokenizer, [SOURCES[2]], decoding).ids
    (scores,) = score(bart, [Question(ids[0].tolist(), [found])])

    np.testing.assert_allclose(
        said.sequences_scores[0].item(), scores.log_probability[0] / len(found) ** 2.0, atol=1e-5
    )


@pytest.mark.parametrize("method", ["greedy", "beam", "nucleus"])
@pytest.mark.parametrize("kind", ["bart", "gpt2"])
def test_a_source_is_answered_as_it_is_alone_and_in_its_place(request, kind, method):
    model = request.getfixturevalue(kind)
    texts = request.getfixturevalue("tokenizer" if kind == "bart" else "prompts")
    decoding = replace(BEAM, method=method, no_repeat_ngram=0)

    together = generate(model, texts, SOURCES, decoding, batch=4)
    singly = generate(model, texts, SOURCES, decoding, batch=1)

    assert together == singly
    assert together.texts == texts.batch_decode(together.ids, skip_special_tokens=True)


@pytest.mark.parametrize("method", ["greedy", "beam", "nucleus"])
def test_lengths_and_forced_tokens_are_kept(bart, tokenizer, method):
    decoding = Decoding(
        method, min_new_tokens=4, max_new_tokens=6, forced_bos=0, forced_eos=2, seed=3
    )
    found = generate(bart, tokenizer, SOURCES, decoding)

    for ids in found.ids:
        assert ids[0] == 0
        assert ids[-1] == 2
        assert ids.index(2) >= 4
        assert len(ids) <= 6


def test_no_ngram_is_said_twice(bart, tokenizer):
    found = generate(bart, tokenizer, SOURCES, Decoding(max_new_tokens=20, no_repeat_ngram=2))

    for ids in found.ids:
        pairs = list(pairwise(ids))
        assert len(pairs) == len(set(pairs))


def test_what_a_checkpoint_carries_takes_no_part(bart, tokenizer):
    plain = generate(bart, tokenizer, SOURCES, Decoding(max_new_tokens=6))
    own = bart.generation_config
    bart.generation_config = GenerationConfig(
        repetition_penalty=9.0, forced_bos_token_id=7, bad_words_ids=[[28]], eos_token_id=2,
        decoder_start_token_id=2, pad_token_id=1,
    )  # fmt: skip
    carried = bart.generation_config
    try:
        assert generate(bart, tokenizer, SOURCES, Decoding(max_new_tokens=6)) == plain
        assert bart.generation_config is carried
    finally:
        bart.generation_config = own


def test_the_model_keeps_its_mode_and_torch_its_random_numbers(bart, tokenizer):
    bart.train()
    try:
        before = torch.random.get_rng_state()
        generate(bart, tokenizer, SOURCES, Decoding("nucleus", max_new_tokens=5))

        assert bart.training
        assert torch.equal(before, torch.random.get_rng_state())
    finally:
        bart.eval()


# -- the nucleus --------------------------------------------------------------------------------


def test_a_nucleus_is_repeated_by_its_seed_and_changed_by_another(gpt2, prompts):
    def drawn(seed, sources=SOURCES):
        return generate(gpt2, prompts, sources, Decoding("nucleus", max_new_tokens=8, seed=seed))

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert drawn(1, SOURCES[:3]).ids == drawn(1).ids[:3]


def test_equal_sources_are_answered_differently(gpt2, prompts):
    found = generate(gpt2, prompts, [SOURCES[0]] * 6, Decoding("nucleus", max_new_tokens=8))

    assert len({tuple(ids) for ids in found.ids}) > 1


@pytest.mark.parametrize(
    ("draw", "top_p", "token"),
    # Probabilities .5, .3, .15, .05 of tokens 2, 0, 3, 1.
    [
        (0.0, 1.0, 2), (0.49, 1.0, 2), (0.51, 1.0, 0), (0.79, 1.0, 0), (0.81, 1.0, 3),
        (0.94, 1.0, 3), (0.96, 1.0, 1), (0.9999999, 1.0, 1),
        (0.9999999, 0.4, 2),  # the nucleus is the first token
        (0.62, 0.6, 2), (0.63, 0.6, 0), (0.9999999, 0.6, 0),  # .5 and .3 remain: .625 and .375
    ],
)  # fmt: skip
def test_tokens_are_drawn_by_their_share_of_the_nucleus(draw, top_p, token):
    logits = torch.tensor([[0.3, 0.05, 0.5, 0.15]]).log()

    found = _from_nucleus(logits, np.array([draw]), Decoding("nucleus", top_p=top_p))

    assert found.tolist() == [[token]]


def test_a_temperature_flattens_before_the_nucleus_is_taken():
    logits = torch.tensor([[0.9, 0.1]]).log()
    cold, hot = Decoding("nucleus", top_p=0.8), Decoding("nucleus", top_p=0.8, temperature=4.0)

    # The fourth root makes .634 and .366 of them.
    assert _from_nucleus(logits, np.array([0.99]), cold).item() == 0
    assert _from_nucleus(logits, np.array([0.63]), hot).item() == 0
    assert _from_nucleus(logits, np.array([0.64]), hot).item() == 1


def test_banned_tokens_are_never_drawn():
    logits = torch.tensor([[-np.inf, 0.0, -np.inf]])

    assert _from_nucleus(logits, np.array([0.999]), Decoding("nucleus", top_p=1.0)).item() == 1


# -- precision ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("sources", "low"), [(SOURCES[:1], False), (SOURCES[:2], True)])
def test_single_streams_are_decoded_in_fp32(bart, tokenizer, sources, low):
    seen = []
    layer = bart.model.decoder.layers[0].fc1
    hook = layer.register_forward_hook(lambda *args: seen.append(args[-1].dtype))
    generate(bart, tokenizer, sources, Decoding(max_new_tokens=3, precision="bf16"))
    hook.remove()

    assert set(seen) == {torch.bfloat16 if low else torch.float32}


# -- settings of old checkpoints ----------------------------------------------------------------


def write(folder, name, **values):
    (folder / name).write_text(json.dumps(values))


OLD = {
    "model_type": "bart", "is_encoder_decoder": True, "num_beams": 3, "length_penalty": 2.0,
    "max_length": 10, "min_length": 4, "no_repeat_ngram_size": 2, "early_stopping": True,
    "forced_bos_token_id": 0, "forced_eos_token_id": 2,
}  # fmt: skip


def test_an_old_checkpoint_decodes_as_its_settings_say(bart, tokenizer, tmp_path):
    write(tmp_path, "config.json", **OLD)

    decoding = read_decoding(tmp_path)

    assert decoding == replace(BEAM, forced_bos=0, forced_eos=2, top_p=1.0)
    settings = AS_TOLD | {"forced_bos_token_id": 0, "forced_eos_token_id": 2}
    assert generate(bart, tokenizer, SOURCES, decoding).ids == directly(
        bart, tokenizer, **settings, max_length=10, min_length=4
    )


def test_the_file_of_generation_settings_comes_first(tmp_path):
    write(tmp_path, "config.json", **OLD)
    write(tmp_path, "generation_config.json", max_new_tokens=5, num_beams=1)

    assert read_decoding(tmp_path) == Decoding(
        max_new_tokens=5, beams=1, early_stopping=False, top_p=1.0
    )


def test_settings_of_a_task_are_laid_over_the_others(tmp_path):
    tasks = {"summarization": {"max_length": 142, "min_length": 56}}
    write(tmp_path, "config.json", **OLD, task_specific_params=tasks)

    decoding = read_decoding(tmp_path, task="summarization")

    assert (decoding.max_new_tokens, decoding.min_new_tokens) == (141, 55)
    with pytest.raises(DataError, match=r"no settings for task 'poetry'; expected .*summarization"):
        read_decoding(tmp_path, task="poetry")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"repetition_penalty": 1.3}, "repetition_penalty is 1.3"),
        ({"do_sample": True}, "samples with beams or top_k"),
        ({"early_stopping": "never"}, "early_stopping"),
        ({"is_encoder_decoder": False}, "lengths that count the prompt"),
        ({"max_length": "many"}, "settings that are none"),
        ({"num_beams": [1]}, "settings that are none"),
    ],
)
def test_settings_without_counterpart_are_refused(tmp_path, changes, what):
    write(tmp_path, "config.json", **(OLD | changes))

    with pytest.raises(DataError, match=what):
        read_decoding(tmp_path)


@pytest.mark.parametrize("text", [None, "not json", "[1]"])
def test_a_folder_without_settings_is_refused(tmp_path, text):
    if text is not None:
        (tmp_path / "config.json").write_text(text)

    with pytest.raises(DataError, match=r"config\.json: cannot be read"):
        read_decoding(tmp_path)


# -- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        {"method": "dream"}, {"max_new_tokens": 0}, {"min_new_tokens": 65}, {"min_new_tokens": -1},
        {"beams": 0}, {"length_penalty": float("nan")}, {"no_repeat_ngram": -1}, {"top_p": 0.0},
        {"top_p": 1.1}, {"temperature": 0.0}, {"seed": -1}, {"precision": "fp8"},
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(values):
    with pytest.raises(ParameterError, match=f"decoding: {next(iter(values))} is"):
        Decoding(**values)


def test_a_source_too_long_is_refused_or_cut(bart, gpt2, tokenizer, prompts):
    long, short = " ".join(["w4"] * 20 + ["w5"] * 20), Decoding(max_new_tokens=3)

    with pytest.raises(DataError, match="source 1: 42 tokens; expected at most 40"):
        generate(bart, tokenizer, ["w1", long], short)
    with pytest.raises(DataError, match="source 0: 40 tokens; expected at most 37"):
        generate(gpt2, prompts, [long], short)
    # An encoder's text loses its end but not its </s>; a prompt loses its beginning.
    head, tail = " ".join(["w4"] * 20 + ["w5"] * 10), " ".join(["w5"] * 20)
    assert (
        generate(bart, tokenizer, [long], short, source_tokens=32).ids
        == generate(bart, tokenizer, [head], short).ids
    )
    assert (
        generate(gpt2, prompts, [long], short, source_tokens=20).ids
        == generate(gpt2, prompts, [tail], short).ids
    )


def test_what_cannot_be_decoded_is_refused(bart, gpt2, prompts, tokenizer):
    with pytest.raises(DataError, match="max_new_tokens is 40"):
        generate(gpt2, prompts, ["w1"], Decoding(max_new_tokens=40))
    with pytest.raises(DataError, match="max_new_tokens is 41"):
        generate(bart, tokenizer, ["w1"], Decoding(max_new_tokens=41))
    with pytest.raises(DataError, match="source 1: the source has no tokens"):
        generate(gpt2, prompts, ["w1", ""], Decoding(max_new_tokens=5))
    unpadded = tokenizer_of("$A")
    unpadded.pad_token = None
    with pytest.raises(DataError, match="without padding token"):
        generate(gpt2, unpadded, ["w1"], Decoding())


def test_no_sources_have_no_texts(bart, tokenizer):
    assert generate(bart, tokenizer, [], Decoding(max_new_tokens=5)) == ([], [])
