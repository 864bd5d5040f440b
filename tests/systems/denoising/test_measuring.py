"""Measuring: what is recorded is what the model says, whatever is read together."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from assay.core.task import Task as Step
from assay.core.task import _current
from assay.errors import DataError, ParameterError
from assay.parts.text.decoding import Decoding
from assay.parts.text.documents import Document
from assay.parts.text.stories import story
from assay.parts.text.tasks import Example, Task
from assay.parts.text.tokenizer import content_tokenizer, load_tokenizer, train_tokenizer
from assay.systems.denoising import measuring
from assay.systems.denoising.checkpoints import load_model, save_model
from assay.systems.denoising.finetuning import finetune
from assay.systems.denoising.heads import new_classifier, new_span_reader
from assay.systems.denoising.likelihood import target_loss
from assay.systems.denoising.measuring import measure_task
from assay.systems.denoising.model import Size, new_model

torch.set_num_threads(1)
FAMILIES = ("bart", "causal", "two_stream")
COLOURS = ("red", "blue", "green", "black", "white", "grey")
PAIRS = [Example(f"the {c} one {'or so ' * (k % 3)}", f"{c} and") for k, c in enumerate(COLOURS)]
TASK = Task("copy", "generation", PAIRS[:4], PAIRS)
GREEDY = Decoding(max_new_tokens=12)


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words") / "bpe"
    told = [story(1, k) for k in range(100)]
    train_tokenizer((Document(s.text, s.sentences, "") for s in told), 500, folder)
    return folder


def new(family, words):
    return new_model(
        family, Size(1, 16, 2, 32), len(load_tokenizer(words)), positions=40, seed=1, dropout=0.0,
        initial_deviation=0.1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def half_tuned(words, tmp_path_factory):
    """Models of all families that have learned some of the examples."""
    found = {}
    for family in FAMILIES:
        folder = tmp_path_factory.mktemp(family)
        save_model(folder / "start", new(family, words), None, {})
        token = _current.set(Step(family, family, 1, folder))
        try:
            found[family] = finetune(
                folder / "start", words, TASK, epochs=40, batch=4, rate=1e-2, precision="fp32",
                seed=2,
            ).model  # fmt: skip
        finally:
            _current.reset(token)
    return found


def measures(records, **keys):
    rows = [r for r in records if all(r.get(k) == v for k, v in keys.items())]
    return {r["measure"]: r["value"] for r in rows if "item" not in r}


@pytest.mark.parametrize("family", FAMILIES)
def test_perplexity_is_the_exponential_of_the_loss(half_tuned, words, family):
    model, code = load_model(half_tuned[family]), content_tokenizer(load_tokenizer(words))

    def ids(text):
        return code.encode(text, add_special_tokens=False).ids

    with torch.no_grad():
        loss = target_loss(
            model, [ids(e.text.rstrip()) for e in PAIRS], [ids(f" {e.target}") for e in PAIRS]
        )
    found = measures(measure_task(half_tuned[family], words, TASK))
    expected = float(np.exp(loss.total.item() / float(loss.count)))
    assert found["perplexity"] == pytest.approx(expected, rel=1e-4)
    assert found["cut_texts"] == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_em_is_what_greedy_decoding_writes_exactly(half_tuned, words, family):
    records = measure_task(half_tuned[family], words, TASK, decoding=GREEDY, items=True)
    found = measures(records, task="copy")
    right = [r["value"] for r in records if r["measure"] == "correct"]

    assert 0 < found["em"] < 1
    assert found["em"] == found["exact_match"] == np.mean(right)
    assert {"f1", "rouge1", "rouge2", "rougeL", "rougeLsum", "bleu"} <= set(found)
    assert found["f1"] >= found["em"]
    assert [r["item"] for r in records if r["measure"] == "correct"] == list(range(len(PAIRS)))


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_read_together_does_not_matter(half_tuned, words, family, monkeypatch):
    whole = measures(measure_task(half_tuned[family], words, TASK, decoding=GREEDY))
    monkeypatch.setattr(measuring, "AT_ONCE", 2)
    parts = measures(measure_task(half_tuned[family], words, TASK, decoding=GREEDY))

    assert whole == pytest.approx(parts, rel=1e-4)


@pytest.mark.parametrize("family", ["bart", "causal"])
def test_beams_find_a_text_that_is_at_least_as_likely(half_tuned, words, family):
    beam = replace(GREEDY, method="beam", beams=3)
    found = measures(measure_task(half_tuned[family], words, TASK, decoding=beam))

    assert 0 < found["exact_match"] <= 1


def test_a_way_of_writing_that_is_not_offered_is_refused(half_tuned, words):
    nucleus, beam = (replace(GREEDY, method=method) for method in ("nucleus", "beam"))

    with pytest.raises(ParameterError, match="method is 'nucleus'"):
        measure_task(half_tuned["bart"], words, TASK, decoding=nucleus)
    with pytest.raises(ParameterError, match="method is 'beam'"):
        measure_task(half_tuned["two_stream"], words, TASK, decoding=beam)
    with pytest.raises(ParameterError, match="50 tokens"):
        measure_task(half_tuned["causal"], words, TASK, decoding=replace(GREEDY, max_new_tokens=50))


def test_a_model_without_the_head_is_refused(half_tuned, words):
    task = Task("t", "classification", [Example("a", "x")], [Example("a", "x")])

    with pytest.raises(DataError, match="weights are missing"):
        measure_task(half_tuned["bart"], words, task)


def test_labels_and_numbers_are_those_of_the_logits(words, tmp_path):
    texts = [Example(c, str(k % 2)) for k, c in enumerate(COLOURS)]
    for kind, labels in (("classification", ["0", "1"]), ("regression", [])):
        model = new_classifier(new("bart", words), labels, seed=3).eval()
        save_model(tmp_path / kind, model, None, {})
        found = measures(measure_task(tmp_path / kind, words, Task("t", kind, texts, texts)))
        logits = torch.cat([_logits(model, words, e.text) for e in texts])
        if kind == "classification":
            said = logits.argmax(1).tolist()
            expected = np.mean([s == k % 2 for k, s in enumerate(said)])
            assert found["accuracy"] == pytest.approx(expected)
            assert -1 <= found["matthews"] <= 1
        else:
            expected = np.corrcoef(logits[:, 0].numpy(), [0, 1] * 3)[0, 1]
            assert found["pearson"] == pytest.approx(expected, abs=1e-4)
            assert -1 <= found["spearman"] <= 1


def _logits(model, words, text):
    code = content_tokenizer(load_tokenizer(words))
    ids = torch.tensor([[0, *code.encode(text, add_special_tokens=False).ids, 2]])
    with torch.no_grad():
        return model(input_ids=ids).logits


def test_a_span_lies_in_the_text_and_not_in_the_question(words, tmp_path, monkeypatch):
    save_model(tmp_path / "spans", new_span_reader(new("bart", words), seed=3).eval(), None, {})
    text = "red and blue and green"
    task = Task("t", "span", [], [Example(text, "blue", "which one of them", 8)] * 3)
    said = []

    def noting(found, meant):
        said.extend(found)
        return exact(found, meant)

    exact = measuring.metrics.exact_match
    monkeypatch.setattr(measuring.metrics, "exact_match", noting)
    found = measures(measure_task(tmp_path / "spans", words, task))
    assert len(said) == 3
    assert all(each in text for each in said)
    assert set(found) == {"em", "f1", "cut_texts"}


def test_threads_of_the_process_stay_its_own(half_tuned, words):
    token, before = _current.set(Step("m", "m", 2)), torch.get_num_threads()
    try:
        measure_task(half_tuned["bart"], words, TASK)
    finally:
        _current.reset(token)
    assert torch.get_num_threads() == before
