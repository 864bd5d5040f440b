"""Pre-training: it repeats, resumes, goes on from a folder, and leaves one that others load."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from assay.errors import AssayError, DataError, ParameterError
from assay.parts.text.corpus import text_corpus, tokenizer_for
from assay.parts.text.stories import stories
from assay.parts.text.tokens import open_tokens, stream_rows, tokenize
from assay.parts.training import fit as fitting
from assay.systems.denoising.data import continuations, foreign_stories
from assay.systems.denoising.evaluate import restore
from assay.systems.denoising.model import Size
from assay.systems.denoising.noise import NOISES, Noise
from assay.systems.denoising.objectives import OBJECTIVES, new_objective
from assay.systems.denoising.train import batches_of, pretrain, vocabulary_of

SMALL = {"size": Size(1, 16, 2, 32), "length": 32, "positions": 64, "batch": 4, "seed": 3}
STEP = SMALL["batch"] * SMALL["length"]


@pytest.fixture(scope="module")
def text(step):
    """Tokens and tokenizer of a few stories."""
    corpus = step("corpus", stories, count=60, seed=5)
    tokenizer = step("tokenizer", tokenizer_for, corpus, vocabulary=400)
    return step("tokens", tokenize, corpus, tokenizer, validation_share=0.2), tokenizer


@pytest.fixture(scope="module")
def trained(step, text):
    tokens, tokenizer = text
    return step("trained", pretrain, tokens.train, tokenizer, budget_tokens=6 * STEP, **SMALL)


def values(made, measure):
    return [row["value"] for row in made.records if row["measure"] == measure]


def test_a_trained_folder_loads_with_transformers_alone(trained):
    model = AutoModelForSeq2SeqLM.from_pretrained(trained.model, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(trained.model, local_files_only=True)

    assert type(model).__name__ == "BartForConditionalGeneration"
    assert tokenizer("Anna <mask> home")["input_ids"].count(tokenizer.mask_token_id) == 1
    assert "infilling_and_permutation" in (trained.model / "README.md").read_text()


def test_the_budget_is_counted_in_tokens_of_rows(trained, text):
    rows = stream_rows(open_tokens(text[0].train), 30)

    assert values(trained, "tokens_seen") == [6 * STEP]
    assert values(trained, "epochs") == [6 * 4 / len(rows)]


def test_no_training_keeps_the_first_weights(step, text):
    made = step("none", pretrain, text[0].train, text[1], train=False, **SMALL)

    assert values(made, "tokens_seen") == [0]
    assert not values(made, "training_loss")
    weights = load_file(made.model / "model.safetensors")
    spread = weights["model.shared.weight"][4:].std()
    assert spread == pytest.approx(0.05, rel=0.05)  # initial_deviation


def test_a_killed_training_goes_on_to_the_same_weights(step, text, trained, monkeypatch):
    monkeypatch.setattr(fitting, "has_dropout", dies_at(4, fitting.has_dropout))
    arguments = (text[0].train, text[1])
    settings = {"budget_tokens": 6 * STEP, **SMALL}
    monkeypatch.setattr("assay.systems.denoising.train.CHECKPOINT_EVERY", 3)
    with pytest.raises(KeyboardInterrupt):
        step("killed", pretrain, *arguments, **settings)
    monkeypatch.undo()
    again = step("killed", pretrain, *arguments, **settings)

    one, two = (load_file(made.model / "model.safetensors") for made in (trained, again))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert values(trained, "training_loss") == values(again, "training_loss")


def dies_at(step, function):
    def asked(at, recipe):
        if at == step:
            raise KeyboardInterrupt
        return function(at, recipe)

    return asked


def test_training_goes_on_from_a_folder(step, text, trained):
    tokenizer = step("taken", tokenizer_for, text[0].train, of=trained.model)
    settings = {**SMALL, "size": "base"}  # not looked at
    made = step(
        "more", pretrain, text[0].train, tokenizer, start=trained.model, train=False, **settings
    )

    one, two = (load_file(each.model / "model.safetensors") for each in (trained, made))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("objective", "settings", "said"),
    [
        ("causal_lm", {}, "holds a model of type 'bart'"),
        ("denoising", {"length": 128}, "at most its 64 positions"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(step, text, trained, objective, settings, said):
    with pytest.raises(AssayError, match=said):
        step(
            "refused", pretrain, text[0].train, text[1], start=trained.model, objective=objective,
            train=False, **{**SMALL, **settings},
        )  # fmt: skip


def test_a_tokenizer_that_does_not_fit_the_model_is_refused(step, text, trained):
    corpus = step("more corpus", stories, count=60, seed=6)
    larger = step("larger", tokenizer_for, corpus, vocabulary=600)

    with pytest.raises(DataError, match=r"the tokenizer has \d+ entries and the model 400"):
        step("misfit", pretrain, text[0].train, larger, start=trained.model, train=False,
             **SMALL)  # fmt: skip


class Asked:
    """An objective that keeps what it is asked for."""

    def batch(self, rows, *, seed, epoch, indices):
        return {"epoch": epoch, "indices": indices, "rows": rows}


def test_every_epoch_takes_every_row_once_in_an_order_of_its_own(text):
    rows = stream_rows(open_tokens(text[0].train), 30)
    steps = len(rows) // 4
    batches = batches_of(Asked(), rows, 4, seed=7)
    taken = [batches(step)[0] for step in range(2 * steps)]
    orders = [
        np.concatenate([b["indices"] for b in taken if b["epoch"] == epoch]) for epoch in (0, 1)
    ]

    assert [b["epoch"] for b in taken] == [0] * steps + [1] * steps
    for order in orders:
        assert len(set(order.tolist())) == len(order) == 4 * steps
    assert not np.array_equal(*orders)
    assert np.array_equal(batches(2)[0]["indices"], taken[2]["indices"])  # of the step alone
    assert np.array_equal(taken[0]["rows"].ids, rows.take(taken[0]["indices"]).ids)


# -- several processes --------------------------------------------------------------------------


def test_two_processes_learn_what_one_does_and_tell_of_it(step, text, trained):
    events = []
    made = step(
        "together", pretrain, text[0].train, text[1], budget_tokens=6 * STEP, processes=2,
        **{**SMALL, "noise": NOISES["infilling_and_permutation"]}, emit=events.append,
    )  # fmt: skip

    assert values(made, "training_loss") == pytest.approx(
        values(trained, "training_loss"), abs=1e-6
    )
    assert values(made, "training_tokens") == values(trained, "training_tokens")
    assert values(made, "tokens_seen") == values(trained, "tokens_seen")
    one, two = (load_file(each.model / "model.safetensors") for each in (trained, made))
    for name in one:
        assert torch.allclose(one[name], two[name], atol=1e-5), name
    assert not torch.equal(one["model.shared.weight"], first_weights(step, text))
    AutoTokenizer.from_pretrained(made.model, local_files_only=True)
    begun = next(e for e in events if e["kind"] == "training")
    assert (begun["step"], begun["processes"], begun["steps_done"]) == ("step", 2, 0)
    steps = [e["done"] for e in events if e["kind"] == "progress"]
    assert steps == sorted(steps)
    assert steps[-1] == 6


def first_weights(step, text):
    made = step("first", pretrain, text[0].train, text[1], train=False, processes=2, **SMALL)
    return load_file(made.model / "model.safetensors")["model.shared.weight"]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_parts_of_a_step_hold_its_rows_as_they_are_in_the_whole(text, name):
    tokenizer = AutoTokenizer.from_pretrained(text[1], local_files_only=True)
    made = new_objective(name, vocabulary_of(tokenizer), NOISES["released"])
    rows = stream_rows(open_tokens(text[0].train), 30)
    (whole,), parts = (batches_of(made, rows, 5, 7, count)(3) for count in (1, 2))

    assert [len(part["targets"]) for part in parts] == [3, 2]
    for key, values in whole.items():
        cut = [line for part in parts for line in part[key]]
        width = [min(len(a), len(b)) for a, b in zip(cut, values, strict=True)]
        for a, b, w in zip(cut, values, width, strict=True):
            assert torch.equal(a[:w], b[:w])
    assert sum(int((p["targets"] >= 0).sum()) for p in parts) == int((whole["targets"] >= 0).sum())


def test_more_processes_than_rows_are_refused_before_any_is_started(step, text):
    with pytest.raises(ParameterError) as caught:
        step("crowd", pretrain, text[0].train, text[1], processes=5, **SMALL)

    assert str(caught.value) == (
        "processes: 5 processes for the 4 rows of a step; expected at most 4. "
        "Or train on more rows in a step."
    )


def test_an_error_in_a_process_comes_back_as_it_was(step, text, trained):
    with pytest.raises(DataError, match=r"process \d of 2: .*at most its 64 positions"):
        step("refused together", pretrain, text[0].train, text[1], start=trained.model,
             processes=2, **{**SMALL, "length": 128})  # fmt: skip


def test_ordinary_tokens_are_neither_special_nor_the_mask(text):
    tokenizer = AutoTokenizer.from_pretrained(text[1], local_files_only=True)
    mask, first, last = vocabulary_of(tokenizer).specials

    assert (mask, first, last) == (399, 4, 398)


# -- restoring ----------------------------------------------------------------------------------


def test_restoring_counts_what_was_removed(step, text, trained):
    noise = Noise(mask=0.5, mask_length="subword", replace_length=0)
    made = step(
        "restored", restore, trained.model, text[0].validation, noise=noise, rows=5, length=32,
        examples=2, seed=1,
    )  # fmt: skip

    assert values(made, "removed_share") == [0.5] * 5
    assert len(values(made, "restored")) == 5
    assert values(made, "logit_difference") == [0.0]
    assert values(made, "perplexity")[0] > 1
    assert list(made.examples) == ["original", "noised", "written"]
    for original, noised in zip(made.examples["original"], made.examples["noised"], strict=True):
        assert len(noised) < len(original)


def test_where_nothing_was_removed_nothing_is_restored(step, text, trained):
    made = step(
        "kept", restore, trained.model, text[0].validation, noise="document_rotation", rows=3,
        length=32, examples=1, seed=1,
    )  # fmt: skip

    assert values(made, "removed_share") == [0.0] * 3
    assert not values(made, "restored")


def test_the_gain_is_over_the_most_frequent_token(step, text, trained, monkeypatch):
    """A model that names the most frequent token everywhere gains nothing."""
    from assay.systems.denoising import likelihood

    ids = open_tokens(text[0].validation).ids
    frequent = int(np.bincount(ids).argmax())

    def naming(model, batch):
        targets = batch["targets"]
        zeros = torch.zeros(targets.shape)
        return likelihood.Scores(zeros, targets == frequent, targets != -100)

    monkeypatch.setattr(likelihood, "score", naming)
    made = step(
        "naming", restore, trained.model, text[0].validation, noise="token_masking", rows=6,
        length=32, examples=1, seed=1,
    )  # fmt: skip

    assert values(made, "restored_gain") == [0.0] * 6
    assert any(values(made, "restored"))


# -- text and tasks -----------------------------------------------------------------------------


def test_the_users_text_is_read_and_without_it_the_documentation(step, tmp_path):
    (tmp_path / "a.txt").write_text("It rained. The river rose.")
    own = step("own", text_corpus, path=tmp_path)
    built_in = step("built in", text_corpus, megabytes=0.01)

    assert '"text": "It rained. The river rose."' in (own / "documents.jsonl").read_text()
    assert "documentation of installed packages" in (built_in / "corpus.json").read_text()


def test_a_text_goes_on_after_its_beginning(step, text):
    settings = {"source_tokens": 16, "target_tokens": 8, "train": 6, "test": 4}
    task = step("continued", continuations, text[0].validation, text[1], **settings, seed=2)
    tokenizer = AutoTokenizer.from_pretrained(text[1], local_files_only=True)
    whole = tokenizer.decode(np.asarray(open_tokens(text[0].validation).ids))

    assert (len(task.train), len(task.test)) == (6, 4)
    for example in (*task.train, *task.test):
        assert example.text + example.target in whole
    assert len({e.text for e in (*task.train, *task.test)}) == 10


def test_too_few_texts_for_a_task_are_refused(step, text):
    with pytest.raises(DataError, match="10000, to learn from"):
        step("few", continuations, text[0].validation, text[1], train=9000, test=1000, seed=2)


def test_foreign_stories_share_no_line_with_those_they_translate(step):
    corpus = step("foreign", foreign_stories, count=3, seed=5)
    own = step("own stories", stories, count=3, seed=5)

    foreign, known = ((each / "documents.jsonl").read_text().splitlines() for each in (corpus, own))
    assert len(foreign) == len(known) == 3
    assert not set(foreign) & set(known)
