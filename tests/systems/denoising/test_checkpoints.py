"""Folders of models: what is saved loads as it was, and what is wrong is told in a line."""

import json
import pickle
from pathlib import Path

import pytest
import torch
import transformers
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from assay.errors import DataError
from assay.parts.text.documents import Document
from assay.parts.text.tokenizer import load_tokenizer, train_tokenizer
from assay.systems.denoising.checkpoints import load_bart, load_model, save_model
from assay.systems.denoising.model import Size, new_model

torch.set_num_threads(1)
SIZE = Size(layers=1, width=16, heads=2, inner=32)
IDS = torch.tensor([[0, 40, 41, 42, 2]])


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer([Document("the cat sat on the mat " * 9, (0,), "a")], 280, folder)
    return load_tokenizer(folder)


def new_bart(entries, seed):
    return new_model("bart", SIZE, entries, positions=16, seed=seed, initial_deviation=0.3)


@pytest.fixture(scope="module")
def bart(tokenizer):
    return new_bart(len(tokenizer), seed=1).eval()


@pytest.fixture
def folder(bart, tokenizer, tmp_path):
    save_model(tmp_path / "model", bart, tokenizer, {"data": "a cat"})
    return tmp_path / "model"


def output(model):
    with torch.no_grad():
        found = model(IDS)
    return found.logits if "logits" in found else found.last_hidden_state


def told(folder, match):
    with pytest.raises(DataError, match=match) as refused:
        load_bart(folder)
    assert "\n" not in str(refused.value)
    assert str(folder) in str(refused.value)


# -- what is whole ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "auto"),
    [
        ("bart", AutoModelForSeq2SeqLM),
        ("causal", AutoModelForCausalLM),
        ("two_stream", AutoModel),
    ],
)
def test_a_model_loads_as_it_was_here_and_with_the_auto_classes(family, auto, tokenizer, tmp_path):
    model = new_model(family, SIZE, len(tokenizer), positions=16, initial_deviation=0.3).eval()
    save_model(tmp_path, model, tokenizer, {})
    again = load_model(tmp_path)
    assert not again.training
    assert torch.equal(output(again), output(model))
    assert torch.equal(output(auto.from_pretrained(tmp_path, local_files_only=True)), output(model))
    text = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    assert text("the cat")["input_ids"] == tokenizer("the cat")["input_ids"]


def test_weights_saved_in_half_precision_are_loaded_in_float32(bart, tokenizer, tmp_path):
    half = new_bart(len(tokenizer), seed=1).bfloat16()
    save_model(tmp_path, half, tokenizer, {})
    model, _ = load_bart(tmp_path)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_saving_again_replaces_the_model_and_leaves_other_files(folder, tokenizer):
    (folder / "notes.txt").write_text("mine")
    other = new_bart(len(tokenizer), seed=2).eval()
    save_model(folder, other, tokenizer, {})
    assert torch.equal(output(load_bart(folder).model), output(other))
    assert (folder / "notes.txt").read_text() == "mine"
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_plain_tensors_in_a_bin_file_are_loaded(folder, bart):
    (folder / "model.safetensors").unlink()
    torch.save(bart.state_dict(), folder / "pytorch_model.bin")
    assert torch.equal(output(load_bart(folder).model), output(bart))


def test_settings_of_generation_in_an_old_configuration_hold(folder, bart):
    """Old folders keep them in config.json: the same summary as with these settings told."""
    (folder / "generation_config.json").unlink()
    settings = {"num_beams": 3, "length_penalty": 2.0, "max_length": 9, "no_repeat_ngram_size": 3}
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **settings}))
    model, _ = load_bart(folder)
    expected = bart.generate(IDS, **settings)
    assert torch.equal(model.generate(IDS), expected)
    assert not torch.equal(bart.generate(IDS, max_length=9), expected)


@pytest.mark.parametrize("name", ["SequenceClassification", "QuestionAnswering"])
def test_the_card_names_the_class_that_loads_a_head(bart, tokenizer, tmp_path, name):
    model = getattr(transformers, f"BartFor{name}")(bart.config)
    save_model(tmp_path, model, tokenizer, {})

    assert f"AutoModelFor{name}.from_pretrained" in (tmp_path / "README.md").read_text()
    loaded = getattr(transformers, f"AutoModelFor{name}").from_pretrained(tmp_path)
    assert type(loaded) is type(model)


def test_the_card_says_what_it_is_told(bart, tokenizer, tmp_path):
    card = {
        "title": "A model of cats",
        "tokens": 1200,
        "noise": {"mask": 0.3, "poisson_lambda": 3.0},
        "licence": "CC0,\nas the text",
    }
    save_model(tmp_path, bart, tokenizer, card)
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("---\nlibrary_name: transformers\ntags: [bart, assay]\n---\n")
    for part in ("# A model of cats", "## Tokens\n\n1200", "- mask: 0.3", "CC0, as the text"):
        assert part in text
    assert f"{bart.num_parameters():,} parameters" in text
    assert "AutoModelForSeq2SeqLM.from_pretrained" in text


# -- what is not --------------------------------------------------------------------------------


def test_no_folder(tmp_path):
    told(tmp_path / "nowhere", "no configuration of a model")


def test_a_configuration_that_is_not_json(folder):
    (folder / "config.json").write_text("{")
    told(folder, "config.json: no configuration of a model")
    (folder / "config.json").write_text("[]")
    told(folder, "not an object in JSON")


def test_another_architecture(tokenizer, tmp_path):
    save_model(tmp_path, new_model("causal", SIZE, len(tokenizer), positions=16), tokenizer, {})
    told(tmp_path, "a model of type 'gpt2'; expected 'bart'")


def test_no_weights(folder):
    (folder / "model.safetensors").unlink()
    told(folder, "no weights; expected model.safetensors")


@pytest.mark.parametrize("kept", [0, 4, 600, -1])
def test_truncated_weights(folder, kept):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    told(folder, "the weights cannot be loaded")


def test_missing_weights(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["model.decoder.layers.0.fc1.bias"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    told(folder, "1 weights are missing, the first is model.decoder.layers.0.fc1.bias")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"d_model": 32}, r"config\.json says \[.*32"),
        ({"vocab_size": 20}, r"config\.json says \[.*20"),
        ({"d_model": "wide"}, "the weights cannot be loaded"),
    ],
)
def test_a_configuration_that_does_not_fit_the_weights(folder, change, words):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    told(folder, words)


class Evil:
    def __reduce__(self):
        return Path.touch, (Path(self.mark),)


def test_a_pickle_with_code_is_refused_and_not_run(folder):
    mark, evil = folder / "touched", Evil()
    evil.mark = str(mark)
    (folder / "model.safetensors").unlink()
    torch.save({"model.shared.weight": evil}, folder / "pytorch_model.bin")
    told(folder, "the weights cannot be loaded")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(evil))
    told(folder, "the weights cannot be loaded")
    assert not mark.exists()


def test_code_in_the_folder_is_not_run(folder):
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForSeq2SeqLM": "modeling.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling.py").write_text("raise SystemExit('ran')")
    load_bart(folder)


def test_a_tokenizer_with_more_entries_than_the_model(bart, tokenizer, tmp_path):
    small = new_model("bart", SIZE, len(tokenizer) - 1, positions=16)
    save_model(tmp_path, small, tokenizer, {})
    told(tmp_path, "the tokenizer has .* entries and the model")


def test_a_tokenizer_with_other_special_ids(bart, tokenizer, tmp_path):
    save_model(tmp_path, bart, tokenizer, {})
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "pad_token_id": 3}))
    told(tmp_path, "the tokenizer has pad_token_id 1 and the model 3")


def test_a_tokenizer_that_lies_elsewhere(bart, tokenizer, tmp_path):
    save_model(tmp_path / "model", bart, None, {})
    told(tmp_path / "model", "holds no tokenizer that can be read .no file of one.")
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    found = load_bart(tmp_path / "model", vocabulary_of=tmp_path / "tokenizer")
    assert len(found.tokenizer) == len(tokenizer)
