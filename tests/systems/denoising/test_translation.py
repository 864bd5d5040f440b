"""A source encoder below BART: what each stage trains, beams, and folders."""

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

from assay.systems.denoising.batches import conditional_batch
from assay.systems.denoising.checkpoints import load_model, save_model
from assay.systems.denoising.likelihood import greedy_answers, model_loss, target_loss
from assay.systems.denoising.model import Size, new_model
from assay.systems.denoising.translation import freeze_for_stage, new_translator

torch.set_num_threads(1)
SOURCES, TARGETS = [[60, 61, 62], [69]], [[5, 6], [7, 8, 9]]


@pytest.fixture
def bart():
    size = Size(layers=2, width=16, heads=2, inner=32)
    return new_model("bart", size, 50, positions=24, seed=1, dropout=0.0, initial_deviation=0.3)


@pytest.fixture
def translator(bart):
    return new_translator(bart, 70, layers=1, seed=2)


def test_bart_is_kept_and_only_its_embedding_is_replaced(bart, translator):
    new, old = translator.state_dict(), bart.state_dict()
    replaced = "model.encoder.embed_tokens."
    assert all(torch.equal(new[name], old[name]) for name in old if not name.startswith(replaced))
    assert {name for name in new if name not in old} == {
        name for name in new if name.startswith(replaced)
    }
    assert new[f"{replaced}encoder.embed_tokens.weight"].shape == (70, 16)
    assert translator.lm_head.weight is translator.model.decoder.embed_tokens.weight


def test_the_encoder_of_bart_reads_what_the_source_encoder_says(bart, translator):
    ids = torch.tensor([[0, 60, 61, 2]])
    translator.eval()
    bart.eval()
    with torch.no_grad():
        found = translator.model.encoder(input_ids=ids).last_hidden_state
        embedded = translator.model.encoder.embed_tokens(ids)
        expected = bart.model.encoder(inputs_embeds=embedded).last_hidden_state
    assert torch.equal(found, expected)


def test_the_first_stage_trains_what_the_paper_names(translator):
    trained = freeze_for_stage(translator, 1)
    own = "model.encoder.embed_tokens."
    upper = {name for name in trained if not name.startswith(own)}
    assert upper == {
        "model.encoder.embed_positions.weight",
        "model.decoder.embed_positions.weight",
        *(
            f"model.encoder.layers.0.self_attn.{each}_proj.{part}"
            for each in "qkv"
            for part in ("weight", "bias")
        ),
    }
    every = {name for name, _ in translator.named_parameters()}
    assert {name for name in every if name.startswith(own)} <= set(trained)
    assert set(freeze_for_stage(translator, 2)) == every


def test_a_step_of_the_first_stage_moves_nothing_else(translator):
    trained = set(freeze_for_stage(translator, 1))
    before = {name: p.detach().clone() for name, p in translator.named_parameters()}
    optimiser = torch.optim.AdamW(translator.parameters(), lr=0.01, weight_decay=0.1)
    target_loss(translator, SOURCES, TARGETS).total.backward()
    optimiser.step()
    moved = {n for n, p in translator.named_parameters() if not torch.equal(p, before[n])}
    assert moved == trained


def test_padding_of_the_source_changes_nothing(translator):
    translator.eval()
    with torch.no_grad():
        whole = target_loss(translator, SOURCES, TARGETS).total
        rows = zip(SOURCES, TARGETS, strict=True)
        single = [target_loss(translator, [source], [target]).total for source, target in rows]
    torch.testing.assert_close(whole, sum(single), rtol=1e-5, atol=0)


def test_it_is_saved_and_loaded_as_it_was(translator, tmp_path):
    translator.eval()
    save_model(tmp_path, translator, None, {})
    batch = conditional_batch("bart", SOURCES, TARGETS)
    expected = model_loss(translator, batch).total
    auto = AutoModelForSeq2SeqLM.from_pretrained(tmp_path, local_files_only=True)
    for again in (load_model(tmp_path), auto):
        assert torch.equal(model_loss(again.eval(), batch).total, expected)
        assert again.lm_head.weight is again.model.shared.weight


def test_it_writes_with_beams(translator):
    translator.eval()
    source = torch.tensor([[0, *SOURCES[0], 2], [0, 69, 2, 1, 1]])
    mask = (source != 1).long()
    made = translator.generate(source, attention_mask=mask, num_beams=5, max_new_tokens=6)
    assert made.shape[0] == 2
    assert made.max() < 50
    alone = translator.generate(source[1:, :3], num_beams=5, max_new_tokens=6)[0]
    assert made[1][: len(alone)].tolist() == alone.tolist()
    assert len(greedy_answers(translator, SOURCES, 4)) == 2


def test_a_seed_gives_the_same_source_encoder(bart):
    first, again, other = (new_translator(bart, 70, layers=1, seed=seed) for seed in (1, 1, 2))
    name = "model.encoder.embed_tokens.encoder.layers.0.fc1.weight"
    weights = [each.state_dict()[name] for each in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
