"""A user's dense model is made sparse, trained on and given back; what it is compared to."""

import json

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from assay.errors import DataError, ParameterError
from assay.parts.text.stories import story
from assay.systems.mixture_of_experts.data import kind_tokens, shared_tokenizer, text_kinds
from assay.systems.mixture_of_experts.folders import load_decoder
from assay.systems.mixture_of_experts.starts import (
    dense_folder,
    dense_model,
    drawn_anew,
    start_difference,
)
from assay.systems.mixture_of_experts.study_upcycling import upcycling
from assay.systems.mixture_of_experts.train import pretrain
from assay.systems.mixture_of_experts.upcycling import upcycle

SMALL = {"width": 16, "layers": 2, "heads": 2, "length": 32, "batch": 4}
TRAINED = {"length": 32, "batch": 4, "budget_tokens": 256, "seed": 1}


def values(records, measure, **keys):
    rows = [row for row in records if row["measure"] == measure]
    return [r["value"] for r in rows if all(r[k] == v for k, v in keys.items())]


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A folder with a text of the user's."""
    folder = tmp_path_factory.mktemp("mine")
    for k in range(40):
        (folder / f"{k}.txt").write_text(story(1, k).text)
    return folder


@pytest.fixture(scope="module")
def kinds(step, mine):
    """Tokens and tokenizer."""
    texts = step("texts", text_kinds, path=mine)
    tokenizer = step("tokenizer", shared_tokenizer, texts, vocabulary=400)
    return step("tokens", kind_tokens, texts, tokenizer, validation_share=0.3).tokens, tokenizer


@pytest.fixture(scope="module")
def dense(step, kinds):
    made = step("dense", dense_model, *kinds, **SMALL, budget_tokens=512, seed=1)
    assert values(made.records, "training_loss")
    return made.model


@pytest.fixture(scope="module")
def sparse(step, dense):
    return step("sparse", upcycle, dense, experts=4, seed=1)


@pytest.fixture(scope="module")
def theirs(kinds, tmp_path_factory):
    """A GPT-2 as others save it, with a tokenizer that has one special token."""
    folder = tmp_path_factory.mktemp("theirs") / "gpt2"
    words = AutoTokenizer.from_pretrained(kinds[1], local_files_only=True)
    words.backend_tokenizer.save(str(folder.parent / "tokenizer.json"))
    bare = PreTrainedTokenizerFast(
        tokenizer_file=str(folder.parent / "tokenizer.json"), bos_token="</s>", eos_token="</s>"
    )
    bare.save_pretrained(folder)
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=400, n_positions=32, n_embd=16, n_layer=2, n_head=2,
                        bos_token_id=2, eos_token_id=2)  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def test_a_users_folder_comes_back_sparse_and_trained_on(mine, theirs, tmp_path):
    from assay.app.stores import export_value

    given = {"start.path": str(theirs), "texts.path": str(mine)}
    run = upcycling().run(
        "tiny", set=given, seeds=1, store=tmp_path / "store", workers=0, progress=False
    )
    report = json.loads((run.folder / "report" / "report.json").read_text())

    assert run.ok, run.summary["errors"]
    assert not report["problems"], report["problems"]
    assert [check["passed"] for check in run.checks] == [True, True]
    page = (run.folder / "report" / "report.md").read_text()
    assert f"assay export {run.name} fit.model" in page
    out = tmp_path / "out"
    export_value("last", "fit.model", out, 0, [], tmp_path / "store", as_json=False)
    model = AutoModelForCausalLM.from_pretrained(out, local_files_only=True)
    assert (model.config.experts, model.config.position_embedding_type) == (4, "learned")
    words = [AutoTokenizer.from_pretrained(f, local_files_only=True) for f in (theirs, out)]
    assert words[0].get_vocab() == words[1].get_vocab()
    assert len(run.records[run.records["step"] == "dense"]["measure"].unique()) == 1  # not trained


def test_made_sparse_a_model_has_its_losses_and_with_new_weights_it_has_not(
    step, kinds, dense, sparse
):
    noisy = step("noisy", upcycle, dense, experts=4, noise=0.25, seed=1)
    alike, apart = (
        step(f"difference {name}", start_difference, dense, folder, kinds[0], rows=20, length=32)
        for name, folder in (("alike", sparse), ("apart", noisy))
    )

    assert max(values(alike, "start_difference", experts="alike")) < 1e-5
    assert max(values(apart, "start_difference", experts="apart")) > 1e-4
    assert len(alike) == len(apart) == 1


def test_a_dense_model_has_no_difference_to_itself_and_one_to_another(step, kinds, dense):
    other = step("other", dense_model, *kinds, **SMALL, budget_tokens=512, seed=2).model
    same, far = (
        step(f"beside {k}", start_difference, dense, folder, kinds[0], length=32)
        for k, folder in enumerate((dense, other))
    )

    assert values(same, "start_difference") == [0.0]
    assert values(far, "start_difference")[0] > 1e-3


def test_a_model_drawn_anew_has_the_shape_and_no_weight_of_the_other(step, sparse):
    first, again, other = (
        load_decoder(step(f"anew {k}", drawn_anew, sparse, seed=seed))
        for k, seed in enumerate((5, 5, 6))
    )
    made = load_decoder(sparse)

    for field in ("experts", "hidden_size", "capacity_factor", "balance_weight", "choices"):
        assert getattr(first.config, field) == getattr(made.config, field)
    for name, weight in first.state_dict().items():
        assert weight.shape == made.state_dict()[name].shape
        assert torch.equal(weight, again.state_dict()[name])
        if weight.std() > 0:  # not the norms, nor the biases, which begin as zeros
            assert not torch.equal(weight, made.state_dict()[name])
            assert not torch.equal(weight, other.state_dict()[name])


def test_a_dense_model_of_the_users_is_taken_as_it_is(step, kinds, theirs, sparse):
    own = step("own", dense_folder, path=theirs)
    made = step("taken", dense_model, *kinds, own, **SMALL, seed=1)

    assert made.model == own
    assert [row["measure"] for row in made.records] == ["parameters"]
    assert made.records.rows[0]["model"] == "dense-16"
    assert step("none", dense_folder) is None
    with pytest.raises(DataError, match="experts already"):
        step("sparse already", dense_folder, path=sparse)


def test_training_goes_on_from_another_step_as_from_a_folder(step, kinds, sparse):
    ported = step("ported", pretrain, *kinds, sparse, **TRAINED)
    named = step("named", pretrain, *kinds, start=sparse, **TRAINED)

    assert ported.records == named.records
    assert ported.costs["model"].item() == "sparse-16x4"
    with pytest.raises(ParameterError, match="two decoders"):
        step("both", pretrain, *kinds, sparse, start=sparse, **TRAINED)


def test_a_tokenizer_is_that_of_the_model_unless_another_is_named(step, mine, kinds, theirs):
    texts = step("texts again", text_kinds, path=mine)
    small = step("small", shared_tokenizer, texts, vocabulary=300)
    of_model, named = (
        AutoTokenizer.from_pretrained(step(f"words {k}", shared_tokenizer, texts, theirs, of=of))
        for k, of in enumerate((None, small))
    )

    assert len(of_model) == 400
    assert of_model.pad_token is None
    assert len(named) == 300
