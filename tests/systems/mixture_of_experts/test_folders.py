"""Folders of decoders: what is written loads with transformers, and what is foreign is refused."""

import json
import math
import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from assay.errors import DataError
from assay.systems.mixture_of_experts.folders import load_decoder, save_decoder
from assay.systems.mixture_of_experts.model import new_decoder

torch.set_num_threads(1)
IDS = torch.arange(2, 10)[None]


@pytest.fixture(scope="module")
def models():
    given = {"vocabulary": 20, "width": 16, "layers": 2, "heads": 2, "positions": 16}
    return [new_decoder(**given, experts=experts).eval() for experts in (0, 4)]


@pytest.mark.parametrize("which", [0, 1])
def test_a_decoder_comes_back_to_the_bit(tmp_path, models, which):
    model = models[which].train()
    save_decoder(tmp_path / "model", model, None, {"tokens": "7 seen"})
    model.eval()

    for found in (
        load_decoder(tmp_path / "model"),
        AutoModelForCausalLM.from_pretrained(tmp_path / "model"),
    ):
        assert torch.equal(found(IDS).logits, model(IDS).logits)
        assert not found.training
        assert found.config.experts == model.config.experts


def test_the_card_says_what_it_is_and_how_it_is_loaded(tmp_path, models):
    for model, title in zip(models, ("Dense decoder", "Decoder with 4 experts"), strict=True):
        folder = tmp_path / title
        save_decoder(folder, model, None, {"tokens": "7 seen"})
        card = (folder / "README.md").read_text()
        assert f"# {title}\n" in card
        assert "7 seen" in card
        assert "import assay.systems.mixture_of_experts.model" in card
        assert 'AutoModelForCausalLM.from_pretrained("FOLDER")' in card


def test_another_architecture_is_refused(tmp_path):
    GPT2LMHeadModel(GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=1)).save_pretrained(
        tmp_path
    )

    with pytest.raises(DataError, match=r"config\.json: holds a model of type 'gpt2'; expected"):
        load_decoder(tmp_path)


def test_weights_that_are_missing_or_not_finite_are_refused(tmp_path, models):
    folder = tmp_path / "model"
    save_decoder(folder, models[1], None, {})
    weights = load_file(folder / "model.safetensors")
    name = "decoder.layers.0.norm.weight"

    def refused(changed, words):
        save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(DataError, match=words):
            load_decoder(folder)

    refused({k: v for k, v in weights.items() if k != name}, f"1 weights are missing.*{name}")
    refused(weights | {"score.weight": weights[name] + 1}, "1 weights have no place.*score.weight")
    refused(weights | {name: weights[name] * math.nan}, f"{name} are not finite")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert load_decoder(folder).config.experts == 4


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"second": "third"}, "routing.second: 'third' is refused; expected one of"),
        ({"choices": 3}, "routing.choices: 3 is refused; expected 1 or 2"),
        ({"capacity_factor": 0}, "routing.capacity_factor: 0 gives an expert a capacity below one"),
        ({"experts": "four"}, "experts is 'four'; expected a whole number of at least 0"),
        ({"experts": -4}, "experts is -4; expected a whole number of at least 0"),
        ({"expert_every": 0}, "expert_every is 0; expected a whole number of at least 1"),
        ({"num_attention_heads": 5}, "a width of 16 for 5 heads; expected a multiple of them"),
        ({"balance_weight": -1}, "balance_weight is -1; expected at least 0"),
        ({"balance_weight": "a"}, "balance_weight is 'a'; expected at least 0"),
        ({"dropout": 2}, "dropout is 2; expected at least 0 and below 1"),
        ({"bos_token_id": 20}, "bos_token_id is 20; expected none, or below the vocabulary of 20"),
        ({"activation_function": "sine"}, "activation_function is 'sine'; expected one"),
        ({"position_embedding_type": "rotary"}, "position_embedding_type is 'rotary'; expected"),
    ],
)
def test_a_configuration_edited_by_hand_is_refused_with_the_field(tmp_path, models, changed, words):
    folder = tmp_path / "model"
    save_decoder(folder, models[1], None, {})
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changed))

    with pytest.raises(DataError, match=re.escape(f"{config}: {words}")):
        load_decoder(folder)


def test_another_number_of_experts_than_the_weights_have_is_told_by_a_weight(tmp_path, models):
    folder = tmp_path / "model"
    save_decoder(folder, models[1], None, {})
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"experts": 8}))

    with pytest.raises(DataError, match=r"are \[4.*\], config\.json says \[8"):
        load_decoder(folder)


def test_rows_and_tokens_that_a_decoder_was_not_made_for_are_refused(tmp_path, models):
    folder = tmp_path / "model"
    save_decoder(folder, models[1], None, {})

    assert load_decoder(folder, length=16, vocabulary=20).config.experts == 4
    with pytest.raises(DataError, match="rows of 17 tokens for a model of 16 positions"):
        load_decoder(folder, length=17)
    with pytest.raises(DataError, match="a vocabulary of 21 for a model of 20"):
        load_decoder(folder, vocabulary=21)
