"""The decoder: it computes what GPT-2 does, with a cache or without, alone or in company."""

import math

import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - as everyone calls it
from transformers import AutoModel, AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from assay.errors import DataError, ParameterError, StepError
from assay.parts.text.scoring import Question, score
from assay.parts.training.fit import fit
from assay.parts.training.precision import bf16_copy
from assay.parts.training.recipe import Recipe
from assay.systems.mixture_of_experts import costs
from assay.systems.mixture_of_experts.configuration import config_of
from assay.systems.mixture_of_experts.model import (
    SparseDecoderConfig,
    SparseDecoderForCausalLM,
    mixtures,
    new_decoder,
    routings,
    shape_of,
    training_loss,
)

torch.set_num_threads(1)
VOCABULARY, BEGIN, PAD = 40, 0, 1
SIZE = {"vocabulary": VOCABULARY, "width": 16, "layers": 2, "heads": 2, "positions": 32}


def decoder(**more):
    """A small model whose weights are large enough for its layers to matter."""
    given = {**SIZE, "experts": 4, "seed": 3, "initializer_range": 0.3, **more}
    return new_decoder(**given).eval()


@pytest.fixture(scope="module")
def sparse():
    return decoder()


@pytest.fixture
def ids():
    return torch.randint(4, VOCABULARY, (3, 9), generator=torch.Generator().manual_seed(1))


# -- what it computes ---------------------------------------------------------------------------


def as_gpt2(model):
    """The same weights in GPT-2, whose matrices lie the other way round."""
    config = model.config
    peer = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size, n_embd=config.hidden_size, n_positions=32,
            n_layer=config.num_hidden_layers, n_head=config.num_attention_heads,
            activation_function="gelu", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
            bos_token_id=0, eos_token_id=2,
        )
    )  # fmt: skip
    pairs = [(peer.transformer.ln_f, model.decoder.norm)]
    for theirs, ours in zip(peer.transformer.h, model.decoder.layers, strict=True):
        pairs += [(theirs.ln_1, ours.attention_norm), (theirs.ln_2, ours.norm)]
        pairs += [(theirs.attn.c_attn, ours.attention.qkv)]
        pairs += [(theirs.attn.c_proj, ours.attention.out)]
        pairs += [(theirs.mlp.c_fc, ours.feed_forward.up)]
        pairs += [(theirs.mlp.c_proj, ours.feed_forward.down)]
    for theirs, ours in pairs:
        theirs.weight.data = ours.weight.data.T if ours.weight.ndim > 1 else ours.weight.data
        theirs.bias.data = ours.bias.data
    peer.transformer.wte.weight.data = model.decoder.tokens.weight.data
    peer.transformer.wpe.weight.data = model.decoder.positions.weight.data
    return peer.eval()


@pytest.mark.parametrize("experts", [0, 1])
def test_without_experts_it_computes_what_gpt2_does(ids, experts):
    model = decoder(experts=experts, position_embedding_type="learned", scale_embedding=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)  # biases and norms as well
    seen = torch.ones_like(ids)
    seen[0, :3] = 0

    theirs, ours = (m(input_ids=ids, attention_mask=seen) for m in (as_gpt2(model), model))

    counted = seen.bool()
    torch.testing.assert_close(ours.logits[counted], theirs.logits[counted], rtol=0, atol=1e-5)
    assert ours.aux_loss is None
    assert mixtures(model) == []


def test_positions_are_sines_and_cosines_from_the_third_place_on(sparse):
    found = sparse.decoder._places(torch.tensor([[0, 5]]))

    for row, place in zip(found[0], (2, 7), strict=True):
        rates = [10000 ** (-k / 7) for k in range(8)]
        wanted = [math.sin(place * r) for r in rates] + [math.cos(place * r) for r in rates]
        assert row.tolist() == pytest.approx(wanted, abs=1e-6)


def test_tokens_enter_with_a_variance_of_one_and_every_expert_begins_differently():
    model = new_decoder(**{**SIZE, "vocabulary": 2000}, experts=4, seed=1)

    assert model.decoder.tokens(torch.arange(2000)).std().item() == pytest.approx(1, rel=0.05)
    (mixture,) = mixtures(model)
    up = dict(mixture.named_parameters())["up"]
    assert up.std().item() == pytest.approx(0.02, rel=0.1)
    assert (up[1:] - up[:-1]).abs().amin(dim=(1, 2)).max() > 0
    assert not torch.equal(up[0], up[1])
    assert model.lm_head.weight is model.decoder.tokens.weight


def test_equal_seeds_give_equal_weights_and_leave_the_random_numbers_alone():
    torch.manual_seed(5)
    first, second, other = decoder(seed=7), decoder(seed=7), decoder(seed=8)
    drawn = torch.rand(3)
    torch.manual_seed(5)

    assert torch.equal(drawn, torch.rand(3))
    assert equal(first, second)
    assert not equal(first, other)


def equal(a, b):
    theirs = b.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in a.state_dict().items())


def test_every_second_layer_has_experts_and_all_else_is_the_dense_twin():
    given = {"layers": 5, "seed": 3}
    sparse = new_decoder(**{**SIZE, **given}, experts=4)
    dense = new_decoder(**{**SIZE, **given})

    assert [m.layer for m in mixtures(sparse)] == [1, 3]
    shapes = [{n: p.shape for n, p in m.named_parameters()} for m in (sparse, dense)]
    common = {name for name in shapes[0] if not name.startswith(MIXED)}
    assert common == {name for name in shapes[1] if not name.startswith(MIXED)}
    assert all(shapes[0][name] == shapes[1][name] for name in common)


MIXED = tuple(f"decoder.layers.{k}.feed_forward." for k in (1, 3))


# -- transformers' conventions ------------------------------------------------------------------


def test_a_saved_model_comes_back_to_the_bit_through_the_auto_classes(tmp_path, sparse, ids):
    sparse.save_pretrained(tmp_path)

    model = AutoModelForCausalLM.from_pretrained(tmp_path)

    assert type(model) is SparseDecoderForCausalLM
    assert equal(model, sparse)
    assert torch.equal(model(ids).logits, sparse(ids).logits)
    bare = AutoModel.from_pretrained(tmp_path)
    hidden = bare(ids).last_hidden_state
    assert torch.equal(F.linear(hidden, sparse.lm_head.weight), sparse(ids).logits)


def test_all_of_the_routing_is_in_the_configuration(tmp_path):
    routing = {
        "choices": 2, "second": "random", "capacity_factor": 1.5, "evaluation_capacity": 0.5,
        "batch_prioritised": True, "normalise": "before_dropping",
    }  # fmt: skip
    SparseDecoderConfig(experts=4, balance_weight=0.5, **routing).save_pretrained(tmp_path)

    config = SparseDecoderConfig.from_pretrained(tmp_path)

    policy = config.policy()
    assert {name: getattr(policy, name) for name in routing} == routing
    assert config.balance_weight == 0.5
    assert "kernel" not in config.to_dict()


@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_generation_is_the_same_with_and_without_a_cache(positions, ids):
    model = decoder(position_embedding_type=positions)
    seen = torch.ones_like(ids)
    seen[1, :4] = 0
    given = {"attention_mask": seen, "max_new_tokens": 12, "do_sample": False, "eos_token_id": None}

    cached, plain = (model.generate(ids, use_cache=use, **given) for use in (True, False))

    assert torch.equal(cached, plain)
    assert cached.shape == (3, 21)
    alone = model.generate(ids[1:2, 4:], **{**given, "attention_mask": seen[1:2, 4:]})
    assert torch.equal(cached[1, 4:], alone[0])


def test_a_text_in_two_pieces_is_read_as_one(sparse, ids):
    first = sparse(ids[:, :4], use_cache=True)

    second = sparse(ids[:, 4:], past_key_values=first.past_key_values)

    found = torch.cat([first.logits, second.logits], dim=1)
    torch.testing.assert_close(found, sparse(ids).logits, rtol=0, atol=1e-5)


def test_options_score_the_same_as_a_tree_from_a_cache_and_row_by_row(sparse):
    questions = [
        Question([0, 5, 6, 7], [[8, 9, 10], [11], [12, 13]]),
        Question([0, 30], [[8, 9], [5, 5, 5, 5]]),
    ]

    tree, cached, naive = (score(sparse, questions, method=m) for m in ("tree", "cached", "naive"))

    for each in (tree, cached):
        for found, wanted in zip(each, naive, strict=True):
            assert found.log_probability == pytest.approx(wanted.log_probability, abs=1e-5)


def test_a_mask_of_four_dimensions_means_what_it_says(sparse, ids):
    causal = torch.ones(9, 9, dtype=torch.bool).tril()[None, None].expand(3, 1, 9, 9)
    only_itself = torch.eye(9, dtype=torch.bool)[None, None].expand(3, 1, 9, 9)

    plain, same, other = (sparse(ids, attention_mask=m).logits for m in (None, causal, only_itself))

    torch.testing.assert_close(same, plain, rtol=0, atol=1e-5)
    alone = sparse(ids[:, 4:5], position_ids=torch.tensor([[4]])).logits
    torch.testing.assert_close(other[:, 4:5], alone, rtol=0, atol=1e-5)


# -- routing ------------------------------------------------------------------------------------


def test_in_evaluation_a_row_does_not_depend_on_its_company(sparse, ids):
    together = sparse(ids).logits

    for row, wanted in zip(ids, together, strict=True):
        torch.testing.assert_close(sparse(row[None]).logits[0], wanted, rtol=0, atol=1e-5)


def test_padding_goes_to_no_expert_and_changes_nothing_even_where_places_are_few(ids):
    model = decoder(capacity_factor=0.5).train()
    seen = torch.ones_like(ids)
    seen[0, 6:], seen[2, 3:] = 0, 0
    other = torch.where(seen.bool(), ids, 7)

    first = model(ids, attention_mask=seen)
    routing = routings(model)[1]
    second = model(other, attention_mask=seen)

    counted = seen.bool()
    assert torch.equal(first.logits[counted], second.logits[counted])
    assert first.aux_loss.item() == second.aux_loss.item()
    assert not routing.kept[~counted.flatten()].any()
    assert (~routing.kept[counted.flatten()]).any()
    assert routing.kept.any()
    assert routing.capacity == math.ceil(0.5 * 18 / 4) * 2


@pytest.mark.parametrize("numbers", [{"experts": 0}, {"experts": 4}])
def test_its_parameters_are_those_that_are_counted(numbers):
    for positions in ("sinusoidal", "learned"):
        model = decoder(position_embedding_type=positions, **numbers)
        assert model.num_parameters() == costs.parameters(shape_of(model.config, 9))


@pytest.mark.parametrize(("name", "billions"), [("15B", 14.6), ("52B", 51.8)])
def test_the_published_sizes_can_be_built_without_memory(name, billions):
    shape = costs.PUBLISHED[name].shape
    with torch.device("meta"):
        model = SparseDecoderForCausalLM(config_of(shape))

    assert model.num_parameters() == pytest.approx(billions * 1e9, rel=0.01)
    assert model.num_parameters() == costs.parameters(shape)
    assert shape_of(model.config, shape.length) == shape


# -- losses -------------------------------------------------------------------------------------


def test_the_loss_is_cross_entropy_and_a_share_of_what_balances_the_experts(ids):
    model = decoder(balance_weight=0.5)

    found = model(ids, labels=ids)

    plain = F.cross_entropy(found.logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    (balance,) = (routing.balance_loss.item() for routing in routings(model).values())
    assert found.aux_loss.item() == pytest.approx(balance)
    assert found.aux_loss.item() != pytest.approx(1.0, abs=1e-3)
    assert found.loss.item() == pytest.approx(plain.item() + 0.5 * balance, abs=1e-6)


def test_training_sums_both_losses_over_the_tokens_that_are_predicted():
    model = decoder(layers=4, balance_weight=0.5, capacity_factor=None).train()
    ids = torch.tensor([[0, 5, 6, 7, 8, 9], [0, 10, 11, PAD, PAD, PAD]])

    total, count = training_loss(model, {"ids": ids})

    logits = model(ids[:, :-1], attention_mask=(ids[:, 1:] != PAD).long()).logits
    nats = F.cross_entropy(
        logits.flatten(0, 1), ids[:, 1:].flatten(), ignore_index=PAD, reduction="sum"
    )
    first, second = (routing.balance_loss for routing in routings(model).values())
    assert count == 7
    wanted = nats + 0.5 * 7 * (first + second)
    assert total.item() == pytest.approx(wanted.item(), abs=1e-5)
    parameters = list(model.parameters())
    ours, theirs = (torch.autograd.grad(each, parameters) for each in (total, wanted))
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_gate_stays_in_fp32_where_all_else_is_bf16(tmp_path, sparse, ids):
    sparse.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)

    for model in (bf16_copy(sparse), loaded):
        kinds = {n: p.dtype for n, p in model.named_parameters()}
        gates = {n for n in kinds if ".gate." in n}
        assert gates
        assert {kinds[n] for n in gates} == {torch.float32}
        assert {kind for n, kind in kinds.items() if n not in gates} == {torch.bfloat16}
        assert model(ids).logits.dtype == torch.bfloat16
        assert routings(model)[1].probabilities.dtype == torch.float32


def test_a_gate_that_is_not_finite_names_its_layer_and_the_training_step(tmp_path):
    model = decoder()

    def batches(step):
        if step == 2:
            model.decoder.layers[1].feed_forward.gate.weight.data.fill_(math.nan)
        return [{"ids": torch.tensor([[0, 5, 6, 7]])}]

    with pytest.raises(StepError) as caught:
        fit(model, batches, training_loss, Recipe(steps=4, rate=1e-3), folder=tmp_path)

    assert caught.value.where == "training step 3: mixture of layer 1"


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"position_embedding_type": "rotary"}, "position_embedding_type"),
        ({"heads": 3}, "3 heads"),
        ({"experts": 4, "choices": 3}, "choices"),
        ({"experts": 4, "second": "third"}, "second"),
    ],
)
def test_numbers_that_do_not_fit_together_are_refused(given, word):
    with pytest.raises(ParameterError, match=word):
        decoder(**given)


def test_a_row_longer_than_the_learned_positions_is_refused(ids):
    model = decoder(position_embedding_type="learned")
    past = model(ids.repeat(1, 3)).past_key_values

    with pytest.raises(DataError, match="36 tokens"):
        model(ids, past_key_values=past)
    assert decoder()(ids.repeat(1, 4)).logits.shape[1] == 36
