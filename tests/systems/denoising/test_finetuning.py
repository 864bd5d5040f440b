"""Fine-tuning: it learns what can be learned, repeats, and takes the published settings."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from assay.core.component import describe
from assay.core.identity import content_digest
from assay.core.task import Task as Step
from assay.core.task import _current
from assay.errors import DataError, ParameterError
from assay.parts.text.documents import Document
from assay.parts.text.stories import story
from assay.parts.text.tasks import Example, Task
from assay.parts.text.tokenizer import load_tokenizer, train_tokenizer
from assay.systems.denoising import finetuning
from assay.systems.denoising.checkpoints import load_model, save_model
from assay.systems.denoising.finetuning import PUBLISHED, finetune
from assay.systems.denoising.measuring import measure_task
from assay.systems.denoising.model import Size, new_model

torch.set_num_threads(1)
COLOURS = ("red", "blue", "green", "black")
PAIRS = [Example(f"the {c} one", c) for c in COLOURS]
COPY = Task("copy", "generation", PAIRS, PAIRS)
FAST = {"rate": 1e-2, "batch": 4, "precision": "fp32", "seed": 5}


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words") / "bpe"
    told = [story(1, k) for k in range(100)]
    train_tokenizer((Document(s.text, s.sentences, "") for s in told), 500, folder)
    return folder


@pytest.fixture(scope="module")
def folder_of(words, tmp_path_factory):
    """Folder of an untrained model of a family."""

    def made(family="bart", dropout=0.0):
        folder = tmp_path_factory.mktemp(family) / "model"
        vocabulary = len(load_tokenizer(words))
        model = new_model(
            family, Size(1, 16, 2, 32), vocabulary, positions=40, seed=1, dropout=dropout,
            initial_deviation=0.1,
        )  # fmt: skip
        save_model(folder, model, None, {})
        return folder

    return made


@pytest.fixture
def in_step(tmp_path):
    """Runs a function as a step whose scratch folder is the one of this name."""

    def run(name, function, *inputs, **values):
        token = _current.set(Step(name, name, 1, tmp_path / name))
        try:
            return function(*inputs, **values)
        finally:
            _current.reset(token)

    return run


def losses(tuned):
    return [r["value"] for r in tuned.records if r["measure"] == "training_loss"]


def value(records, measure):
    (found,) = [r["value"] for r in records if r["measure"] == measure]
    return found


@pytest.mark.parametrize("family", ["bart", "causal", "two_stream"])
def test_every_family_learns_to_write_what_was_asked(folder_of, words, in_step, family):
    tuned = in_step(family, finetune, folder_of(family), words, COPY, epochs=60, **FAST)

    assert losses(tuned)[-1] < 0.2 < 1 < losses(tuned)[0]
    found = measure_task(tuned.model, words, COPY)
    assert value(found, "em") == 1.0
    assert value(found, "perplexity") < 1.3
    assert {r["task"] for r in tuned.records} == {"copy"}
    assert value(tuned.records, "train_examples") == 4


HEADED = {
    "classification": [Example(f"it is {c}", str(c in COLOURS[:2]), "so") for c in COLOURS],
    "regression": [Example(f"it is {c}", str(k)) for k, c in enumerate(COLOURS)],
    "span": [Example(f"it is {c} here", c, "what", 6) for c in COLOURS],
}


@pytest.mark.parametrize("kind", HEADED)
def test_every_head_learns_what_was_asked(folder_of, words, in_step, kind):
    task = Task("easy", kind, HEADED[kind], HEADED[kind])
    tuned = in_step(kind, finetune, folder_of(), words, task, epochs=60, **FAST)
    found = measure_task(tuned.model, words, task)

    best = {"classification": "accuracy", "regression": "pearson", "span": "em"}[kind]
    assert value(found, best) > 0.99
    if kind == "classification":
        again = AutoModelForSequenceClassification.from_pretrained(tuned.model)
        assert again.config.id2label == {0: "False", 1: "True"}
    assert len(AutoTokenizer.from_pretrained(tuned.model)) == len(load_tokenizer(words))


def test_a_seed_gives_the_same_bytes_and_another_does_not(folder_of, words, in_step):
    folder = folder_of(dropout=0.1)
    tuned = [
        in_step(name, finetune, folder, words, COPY, epochs=3, **{**FAST, "batch": 2, "seed": seed})
        for name, seed in (("a", 5), ("b", 5), ("c", 6))
    ]
    digests = [content_digest(t.model / "model.safetensors") for t in tuned]

    assert digests[0] == digests[1] != digests[2]
    assert tuned[0].records == tuned[1].records


def test_few_at_once_give_the_gradient_of_all(folder_of, words, in_step):
    folder, tame = folder_of(), {**FAST, "epsilon": 1e-2}  # so that steps go with the gradient
    one, parts = (
        in_step(f"{n} at once", finetune, folder, words, COPY, at_once=n, epochs=3, **tame)
        for n in (4, 1)
    )

    first, second = (load_file(t.model / "model.safetensors") for t in (one, parts))
    assert all(torch.allclose(first[k], second[k], atol=1e-5) for k in first)
    assert losses(one) == pytest.approx(losses(parts), rel=1e-4)


def test_the_model_that_is_tuned_stays_as_it_was(folder_of, words, in_step):
    folder = folder_of()
    before = content_digest(folder)
    tuned = in_step("tuned", finetune, folder, words, COPY, epochs=1, **FAST)

    assert content_digest(folder) == before
    assert content_digest(tuned.model / "model.safetensors") != content_digest(
        folder / "model.safetensors"
    )
    assert load_model(tuned.model).config.model_type == "bart"


def test_what_a_model_cannot_do_is_refused(folder_of, words):
    spans = Task("t", "span", [Example("a b", "b", "q", 2)], [])

    with pytest.raises(DataError, match="model of type 'gpt2'; expected 'bart'"):
        finetune(folder_of("causal"), words, spans, **FAST)
    with pytest.raises(ParameterError, match="stage 1 is of translators"):
        finetune(folder_of(), words, COPY, stage=1, **FAST)


def test_texts_that_are_cut_are_counted_or_refused(folder_of, words, in_step):
    long = Task("long", "generation", [Example("red " * 90, "red")], [])
    tuned = in_step("cut", finetune, folder_of(), words, long, epochs=1, **FAST)

    assert value(tuned.records, "cut_texts") == 1
    with pytest.raises(DataError, match="long, example 1"):
        finetune(folder_of(), words, long, too_long="refuse", **FAST)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_settings_are_parameters(name):
    checked = describe(finetune).validate({**PUBLISHED[name], "seed": 1}, name)

    assert checked["rate"] == PUBLISHED[name]["rate"]


def test_published_settings_are_those_of_the_commands():
    """Those that fairseq documents for BART on GLUE, CNN/DM and XSum."""
    rates = {name: (p["rate"], p.get("batch")) for name, p in PUBLISHED.items()}

    assert rates["mnli"] == rates["sst-2"] == (5e-6, 128)
    assert rates["qnli"] == rates["qqp"] == rates["rte"] == (1e-5, 32)
    assert rates["mrpc"] == rates["cola"] == (2e-5, 64)
    assert rates["sts-b"] == (2e-5, 32)
    for name, steps in (("cnn_dm", 20_000), ("xsum", 15_000)):
        assert PUBLISHED[name]["steps"] == steps
        assert PUBLISHED[name]["warm_up"] * steps == pytest.approx(500)
        assert (PUBLISHED[name]["clip"], PUBLISHED[name]["label_smoothing"]) == (0.1, 0.1)


# -- what each step sees ------------------------------------------------------------------------

sizes = st.lists(st.integers(1, 30), min_size=1, max_size=40).map(np.array)


@given(sizes, st.integers(1, 4), st.integers(1, 9), st.none() | st.integers(10, 90))
def test_every_example_is_seen_once_in_an_epoch(sizes, epochs, batch, tokens):
    plan = finetuning._plan(sizes, epochs, None, batch, tokens, seed=1)
    seen = np.concatenate(plan)

    assert len(seen) == epochs * len(sizes)
    for epoch in np.split(seen, epochs):
        assert sorted(epoch) == list(range(len(sizes)))
    for rows in plan:
        width = sizes[rows].max()
        if tokens is None:
            assert len(rows) <= batch
        else:
            assert len(rows) * width <= tokens or len(rows) == 1


@given(sizes, st.integers(1, 60), st.none() | st.integers(10, 90))
def test_steps_take_the_place_of_epochs(sizes, steps, tokens):
    plan = finetuning._plan(sizes, 1, steps, 4, tokens, seed=1)

    assert len(plan) == steps
    longer = finetuning._plan(sizes, 1, steps + 3, 4, tokens, seed=1)
    assert all((a == b).all() for a, b in zip(plan, longer, strict=False))


def test_epochs_differ_in_order():
    first, second = finetuning._plan(np.ones(50, int), 2, None, 50, None, seed=1)

    assert (first != second).any()


def test_steps_of_tokens_are_as_full_as_they_can_be():
    pieces = finetuning._pieces(np.arange(5), np.array([3, 4, 5, 9, 1]), 99, 12)

    assert [p.tolist() for p in pieces] == [[0, 1], [2], [3], [4]]
