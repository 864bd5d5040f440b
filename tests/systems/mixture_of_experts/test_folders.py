"""Folders of decoders: what is written loads with transformers, and what is foreign is refused."""

import json
import math

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


def test_weights_that_are_missing_or_not_finite_and_numbers_that_do_not_fit_are_refused(
    tmp_path, models
):
    folder = tmp_path / "model"
    save_decoder(folder, models[1], None, {})
    weights, config = load_file(folder / "model.safetensors"), folder / "config.json"
    name = "decoder.layers.0.norm.weight"

    def refused(changed, words):
        save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(DataError, match=words):
            load_decoder(folder)

    refused({k: v for k, v in weights.items() if k != name}, f"1 weights are missing.*{name}")
    refused(weights | {name: weights[name] * math.nan}, f"{name} are not finite")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert load_decoder(folder).config.experts == 4
    config.write_text(json.dumps(json.loads(config.read_text()) | {"second": "third"}))
    with pytest.raises(DataError, match="second"):
        load_decoder(folder)
