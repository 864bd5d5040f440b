"""Models of equal size: closed forms of their numbers of parameters, special ids, first weights."""

import pytest
import torch

from assay.errors import ParameterError
from assay.systems.denoising.model import (
    SIZES,
    Size,
    family_of,
    layers_of_one_stack,
    new_model,
    size_of,
)

torch.set_num_threads(1)
FAMILIES = ("bart", "causal", "two_stream")
SMALL = Size(layers=2, width=16, heads=2, inner=32)


def bart_parameters(size, vocabulary, positions):
    """Counted from the paper's description, matrix by matrix."""
    d, f = size.width, size.inner
    attention, feed_forward, norm = 4 * (d * d + d), 2 * d * f + f + d, 2 * d
    encoder = attention + feed_forward + 2 * norm
    decoder = 2 * attention + feed_forward + 3 * norm
    tables = vocabulary * d + 2 * (positions + 2) * d + 2 * norm
    return tables + size.layers * (encoder + decoder)


@pytest.mark.parametrize("name", SIZES)
def test_bart_has_the_parameters_of_its_description(name):
    with torch.device("meta"):
        model = new_model("bart", SIZES[name], 50265, positions=1024)
    assert model.num_parameters() == bart_parameters(SIZES[name], 50265, 1024)


def test_the_published_sizes():
    assert bart_parameters(SIZES["base"], 50265, 1024) == pytest.approx(140e6, rel=0.01)
    assert bart_parameters(SIZES["large"], 50265, 1024) == pytest.approx(400e6, rel=0.02)


@pytest.mark.parametrize("name", SIZES)
def test_the_families_are_of_about_equal_size(name):
    with torch.device("meta"):
        counts = [new_model(family, SIZES[name], 8192).num_parameters() for family in FAMILIES]
    assert max(counts) / min(counts) < 1.06


def test_layers_of_one_stack_hold_the_matrices_of_two():
    assert layers_of_one_stack(Size(layers=6, width=8, heads=1, inner=32)) == 14  # 6 (24 + 4) / 12
    assert layers_of_one_stack(Size(layers=3, width=8, heads=1, inner=16)) == 8  # 3 (16 + 4) / 8


@pytest.mark.parametrize("family", FAMILIES)
def test_a_seed_gives_the_same_weights_and_leaves_the_callers_numbers_alone(family):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (new_model(family, SMALL, 40, positions=8, seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    pairs = zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    weights = [model.get_input_embeddings().weight for model in (first, other)]
    assert not torch.equal(*weights)


@pytest.mark.parametrize("family", FAMILIES)
def test_first_weights_have_the_deviation_asked_for(family):
    model = new_model(family, Size(1, 64, 4, 256), 2000, positions=8, initial_deviation=0.05)
    assert model.get_input_embeddings().weight.std().item() == pytest.approx(0.05, rel=0.02)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_family_is_known_by_the_configuration(family):
    assert family_of(new_model(family, SMALL, 40, positions=8)) == family


def test_an_unknown_model_is_refused():
    from transformers import ElectraConfig, ElectraModel

    with torch.device("meta"):
        stranger = ElectraModel(ElectraConfig(num_hidden_layers=1))
    with pytest.raises(ParameterError, match="no objective trains a electra"):
        family_of(stranger)


def test_special_ids_are_those_of_bart():
    model = new_model("bart", SMALL, 40, positions=8)
    config, generation = model.config, model.generation_config
    assert (config.bos_token_id, config.pad_token_id, config.eos_token_id) == (0, 1, 2)
    assert (config.decoder_start_token_id, config.forced_eos_token_id) == (2, 2)
    assert (generation.decoder_start_token_id, generation.forced_eos_token_id) == (2, 2)
    assert generation.forced_bos_token_id is None
    for family in ("causal", "two_stream"):
        found = new_model(family, SMALL, 40, positions=8).config
        assert (found.bos_token_id, found.pad_token_id, found.eos_token_id) == (0, 1, 2)


def test_bart_reads_and_writes_with_one_unscaled_matrix():
    model = new_model("bart", SMALL, 40, positions=8)
    inner = model.model
    tied = [inner.encoder.embed_tokens, inner.decoder.embed_tokens, model.lm_head, inner.shared]
    assert len({each.weight.data_ptr() for each in tied}) == 1
    assert inner.encoder.embed_tokens.embed_scale == 1.0
    assert model.config.activation_function == "gelu"
    assert inner.encoder.embed_positions.weight is not inner.decoder.embed_positions.weight


def test_an_unknown_size_is_answered_with_the_nearest():
    assert size_of("base").layers == 6
    with pytest.raises(ParameterError, match=r"'tyny'.*tiny"):
        size_of("tyny")
