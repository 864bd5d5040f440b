"""Dense models are taken over as they are, and become sparse without a change of what they say."""

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    OPTConfig,
    OPTForCausalLM,
    XGLMConfig,
    XGLMForCausalLM,
)

from assay.core.task import Task, _current
from assay.errors import DataError, ParameterError
from assay.parts.text.documents import Document
from assay.parts.text.tokenizer import load_tokenizer, train_tokenizer
from assay.systems.mixture_of_experts.folders import load_decoder, save_decoder
from assay.systems.mixture_of_experts.model import mixtures, new_decoder, routings
from assay.systems.mixture_of_experts.upcycling import from_dense, sparse_copy, upcycle

torch.set_num_threads(1)
VOCABULARY = 30
IDS = torch.randint(3, VOCABULARY, (3, 11), generator=torch.Generator().manual_seed(1))
SEEN = torch.ones_like(IDS)
SEEN[1, 7:] = 0


def gpt2(**more):
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY, n_embd=16, n_layer=3, n_head=2, n_positions=32, n_inner=24,
            bos_token_id=0, eos_token_id=0, initializer_range=0.4, **more,
        )
    )  # fmt: skip


def xglm(**more):
    return XGLMForCausalLM(
        XGLMConfig(
            vocab_size=VOCABULARY, d_model=16, num_layers=3, attention_heads=2, ffn_dim=24,
            max_position_embeddings=32, init_std=0.4, **more,
        )
    )  # fmt: skip


def ours(**more):
    given = {"vocabulary": VOCABULARY, "width": 16, "layers": 3, "heads": 2, "positions": 32}
    return new_decoder(**given, initializer_range=0.4, **more)


DENSE = {
    "gpt2": gpt2,
    "gpt2 gelu": lambda: gpt2(activation_function="gelu"),
    "xglm": xglm,
    "xglm relu": lambda: xglm(activation_function="relu", scale_embedding=False),
    "ours": ours,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of each kind, with biases and norms that are not zeros and ones."""
    found = {}
    torch.manual_seed(2)
    for name, new in DENSE.items():
        found[name], model = tmp_path_factory.mktemp("dense") / "model", new()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
        if name == "ours":
            save_decoder(found[name], model, None, {})
        else:
            model.save_pretrained(found[name])
    return found


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=IDS, attention_mask=SEEN).logits[SEEN.bool()]


PEERS = {"gpt2": GPT2LMHeadModel, "xglm": XGLMForCausalLM}


@pytest.mark.parametrize("name", [name for name in DENSE if name != "ours"])
def test_a_dense_model_says_what_it_said_in_transformers(folders, name):
    peer = PEERS[name.split()[0]].from_pretrained(folders[name])

    model = from_dense(folders[name])

    torch.testing.assert_close(logits(model), logits(peer), rtol=0, atol=1e-5)
    assert model.num_parameters() == peer.num_parameters()
    for field in ("bos_token_id", "eos_token_id", "pad_token_id", "max_position_embeddings"):
        assert getattr(model.config, field) == getattr(peer.config, field)


@pytest.mark.parametrize("name", DENSE)
def test_a_sparse_copy_says_what_the_dense_model_says(folders, name):
    dense = from_dense(folders[name])

    model = sparse_copy(dense, experts=4, expert_every=2, seed=1)

    torch.testing.assert_close(logits(model), logits(dense), rtol=0, atol=1e-5)
    assert [m.layer for m in mixtures(model)] == [1]
    assert routings(model)[1].experts.unique().numel() > 2
    assert all(p.requires_grad for p in model.parameters())


def test_noise_draws_a_share_of_the_weights_of_each_expert_anew(folders):
    dense = from_dense(folders["ours"])
    plain, noisy, same = (
        sparse_copy(dense, experts=8, noise=noise, seed=1) for noise in (0.0, 0.25, 0.25)
    )

    (before,), (after,), (again,) = (mixtures(model) for model in (plain, noisy, same))
    for name in ("up", "down"):
        old, new = getattr(before, name), getattr(after, name)
        assert (old != new).float().mean().item() == pytest.approx(0.25, abs=0.02)
        assert new.std().item() == pytest.approx(old.std().item(), rel=0.05)
        assert not torch.equal(new[0], new[1])
        assert torch.equal(new, getattr(again, name))
    assert torch.equal(before.up[0], before.up[7])
    assert torch.equal(before.up_bias, after.up_bias)


def test_a_folder_becomes_a_folder_with_its_tokenizer(folders, tmp_path):
    dense = from_dense(folders["gpt2"])
    train_tokenizer([Document("the cat sat on the mat " * 9, (0,), "a")], 280, tmp_path / "words")
    words = load_tokenizer(tmp_path / "words")
    save_decoder(tmp_path / "dense", dense, words, {})
    token = _current.set(Task("upcycle", "key", 1, tmp_path / "scratch"))
    try:
        given = {"experts": 2, "expert_every": 3, "seed": 0}
        made = upcycle(tmp_path / "dense", **given)
        model = load_decoder(made)
        torch.testing.assert_close(logits(model), logits(dense), rtol=0, atol=1e-5)
        assert [m.layer for m in mixtures(model)] == [2]
        assert load_tokenizer(made).get_vocab() == words.get_vocab()
        assert logits(load_decoder(upcycle(start=tmp_path / "dense", **given))).equal(logits(model))
        with pytest.raises(ParameterError, match="two dense models"):
            upcycle(tmp_path / "dense", start=tmp_path / "dense", **given)
        with pytest.raises(ParameterError, match="no dense model"):
            upcycle(**given)
    finally:
        _current.reset(token)


def test_a_copy_without_a_mixture_is_refused(folders):
    with pytest.raises(ParameterError, match="leave all 3 layers dense"):
        sparse_copy(from_dense(folders["ours"]), experts=4, expert_every=4)


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (lambda: gpt2(tie_word_embeddings=False), "its output is not its embedding"),
        (lambda: gpt2(scale_attn_weights=False), "not scaled by the width"),
        (lambda: gpt2(scale_attn_by_inverse_layer_idx=True), "scaled by the number of the layer"),
        (lambda: gpt2(add_cross_attention=True), "attends to an encoder"),
        (lambda: xglm(activation_function="tanh"), "its activation is tanh"),
        (
            lambda: GPT2LMHeadModel(GPT2Config(vocab_size=30, n_embd=8, n_layer=1, n_head=1)),
            r"config\.json: bos_token_id is 50256; expected none, or below the vocabulary of 30",
        ),
        (
            lambda: OPTForCausalLM(
                OPTConfig(
                    vocab_size=30, hidden_size=8, num_hidden_layers=1, ffn_dim=8,
                    num_attention_heads=1, word_embed_proj_dim=8,
                )
            ),
            "'opt'; expected 'assay_sparse_decoder' or 'gpt2' or 'xglm'",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_over_is_refused(tmp_path, new, words):
    new().save_pretrained(tmp_path)

    with pytest.raises(DataError, match=words):
        from_dense(tmp_path)


def test_a_model_that_is_sparse_already_is_refused(tmp_path):
    save_decoder(tmp_path / "model", ours(experts=2), None, {})

    with pytest.raises(DataError, match="has experts already"):
        from_dense(tmp_path / "model")
