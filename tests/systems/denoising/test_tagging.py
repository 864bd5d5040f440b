"""Labels of words: read where each word begins, counted as conlleval does, loaded by everybody."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy
from transformers import AutoModelForTokenClassification

from assay.core.task import Task as Step
from assay.core.task import _current
from assay.errors import DataError
from assay.parts.text.documents import Document
from assay.parts.text.stories import story
from assay.parts.text.tasks import Example, Task, story_task
from assay.parts.text.tokenizer import content_tokenizer, load_tokenizer, train_tokenizer
from assay.systems.denoising import tagging
from assay.systems.denoising.batches import padded
from assay.systems.denoising.checkpoints import save_model
from assay.systems.denoising.examples import prepare
from assay.systems.denoising.finetuning import finetune
from assay.systems.denoising.heads import NOWHERE, frame, framed, new_span_reader
from assay.systems.denoising.measuring import measure_task
from assay.systems.denoising.model import Size, new_model
from assay.systems.denoising.tagging import (
    BartForTokenClassification,
    entities,
    first_tokens,
    label_f1,
    new_tagger,
    tag_logits,
    tag_loss,
)

torch.set_num_threads(1)
LABELS = ["O", "job", "place"]
ROWS = torch.from_numpy(padded([framed([5, 6, 7, 8]), framed([9, 10])]))
COLOURS = ("red", "blue", "green", "black")
WORDS = [Example(f"the {c} hat was {d}", f"O {c} O O {d}") for c in COLOURS for d in COLOURS]
TASK = Task("colours", "tokens", WORDS, WORDS)


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words") / "bpe"
    told = [story(1, k) for k in range(100)]
    train_tokenizer((Document(s.text, s.sentences, "") for s in told), 500, folder)
    return folder


@pytest.fixture(scope="module")
def bart():
    return new_model(
        "bart", Size(1, 16, 2, 32), 30, positions=32, seed=1, initial_deviation=0.3
    ).eval()


@pytest.fixture(scope="module")
def tagger(bart):
    return new_tagger(bart, LABELS, seed=4).eval()


# -- the head -----------------------------------------------------------------------------------


def test_two_labels_are_read_as_transformers_reads_the_ends_of_a_span(bart):
    tagger, reader = new_tagger(bart, LABELS[:2], seed=4).eval(), new_span_reader(bart).eval()
    reader.qa_outputs = tagger.classifier

    with torch.no_grad():
        theirs = reader(input_ids=ROWS, attention_mask=(ROWS != 1).long())
        ours = tag_logits(tagger, ROWS)
    assert torch.allclose(
        ours, torch.stack([theirs.start_logits, theirs.end_logits], dim=2), atol=1e-6
    )


def test_the_loss_is_over_words_however_their_labels_are_padded(tagger):
    labels = torch.tensor([[-100, 2, -100, 0, 1, -100], [-100, 1, -100, -100, -100, -100]])

    with torch.no_grad():
        logits = tag_logits(tagger, ROWS)
        chosen = [logits[0, 1], logits[0, 3], logits[0, 4], logits[1, 1]]
        expected = cross_entropy(torch.stack(chosen), torch.tensor([2, 0, 1, 1]), reduction="sum")
        found = [
            tag_loss(tagger, ROWS, given)
            for given in (
                labels,
                labels[:, :5],
                torch.nn.functional.pad(labels, (0, 3), value=-100),
            )
        ]
        smooth = tag_loss(tagger, ROWS, labels, 0.1)
        whole = tagger(input_ids=ROWS, attention_mask=(ROWS != 1).long(), labels=labels)
    assert [int(loss.count) for loss in found] == [4, 4, 4]
    assert [loss.total.item() for loss in found] == pytest.approx([expected.item()] * 3, rel=1e-5)
    assert smooth.total.item() != pytest.approx(expected.item(), rel=1e-3)
    assert whole.loss.item() == pytest.approx(expected.item() / 4, rel=1e-5)


def test_the_weights_of_the_head_come_from_the_seed_and_the_others_from_bart(bart, tagger):
    other = new_tagger(bart, LABELS, seed=5)

    assert torch.equal(new_tagger(bart, LABELS, seed=4).classifier.weight, tagger.classifier.weight)
    assert not torch.equal(other.classifier.weight, tagger.classifier.weight)
    assert torch.equal(other.model.shared.weight, bart.model.shared.weight)
    assert new_tagger(bart, LABELS, dropout=0.5).dropout.p == 0.5


def test_a_saved_tagger_is_loaded_by_the_auto_class_and_its_card_says_how(tagger, tmp_path):
    save_model(tmp_path / "tagger", tagger, None, {})
    again = AutoModelForTokenClassification.from_pretrained(tmp_path / "tagger").eval()

    assert type(again) is BartForTokenClassification
    assert again.config.id2label == dict(enumerate(LABELS))
    with torch.no_grad():
        assert torch.equal(tag_logits(again, ROWS), tag_logits(tagger, ROWS))
    card = (tmp_path / "tagger" / "README.md").read_text()
    assert "import assay.systems.denoising.tagging  # makes the model known" in card
    assert "import AutoModelForTokenClassification, AutoTokenizer" in card


# -- words and tokens ---------------------------------------------------------------------------


@given(st.lists(st.text("ab9é日.'", min_size=1, max_size=12), min_size=1, max_size=12))
def test_the_first_token_of_a_word_holds_its_first_character(words, texts):
    text = " ".join(texts)
    code = content_tokenizer(load_tokenizer(words))
    both = [code.encode(part, add_special_tokens=False) for part in (text, "")]
    framing = frame(*both, 500, pair_first=False)
    starts = [len(" ".join(texts[:k])) + (k > 0) for k in range(len(texts))]

    found = first_tokens(framing, text)
    assert found == sorted(set(found))
    for at, start in zip(found, starts, strict=True):
        first, last = framing.places[at - framing.first]
        assert first <= start < last
        before = framing.places[: at - framing.first]
        assert all(end <= start for _, end in before)


def test_a_word_that_was_cut_has_no_token(words):
    code = content_tokenizer(load_tokenizer(words))
    text, empty = (code.encode(part, add_special_tokens=False) for part in ("a b c d e", ""))
    framing = frame(text, empty, 5, pair_first=False)

    assert framing.cut == 2
    assert first_tokens(framing, "a b c d e") == [1, 2, 3, NOWHERE, NOWHERE]


# -- measures -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("O O", []),
        ("B-a I-a I-a O", [(0, 3, "a")]),
        ("B-a B-a I-a", [(0, 1, "a"), (1, 3, "a")]),
        ("B-a I-b", [(0, 1, "a"), (1, 2, "b")]),
        ("I-a I-a O I-a", [(0, 2, "a"), (3, 4, "a")]),
        ("job job", [(0, 1, "job"), (1, 2, "job")]),
        ("B-a job I-a", [(0, 1, "a"), (1, 2, "job"), (2, 3, "a")]),
        ("B- I-", [(0, 2, "")]),
    ],
)
def test_entities_are_those_that_conlleval_finds(labels, expected):
    assert list(entities(labels.split())) == expected


def test_f1_counts_the_entities_of_all_examples_together():
    said = [["B-a", "I-a", "O"], ["B-b", "O", "O"], ["O", "O", "O"]]
    meant = [["B-a", "I-a", "O"], ["B-b", "I-b", "B-a"], ["B-a", "O", "O"]]

    assert label_f1(said, meant) == 2 * 1 / (2 + 4)  # one right of two found and four there
    assert label_f1(meant, meant) == 1
    assert label_f1([["O"]], [["O"]]) == 0


# -- a task -------------------------------------------------------------------------------------


@pytest.fixture
def tuned(words, tmp_path):
    """Tunes a new model on a task."""

    def made(task, positions=64, **values):
        model = new_model(
            "bart", Size(1, 32, 2, 64), len(load_tokenizer(words)), positions=positions, seed=1,
            dropout=0.0, initial_deviation=0.1,
        )  # fmt: skip
        save_model(tmp_path / "start", model, None, {})
        token = _current.set(Step("fit", "fit", 1, tmp_path))
        try:
            return finetune(
                tmp_path / "start", words, task, batch=8, rate=1e-2, precision="fp32", seed=2,
                **values,
            )  # fmt: skip
        finally:
            _current.reset(token)

    return made


def measures(records):
    return {r["measure"]: r["value"] for r in records if "item" not in r}


def test_labels_that_can_be_learned_are_learned_and_measured(tuned, words):
    made = tuned(TASK, epochs=30)
    records = measure_task(made.model, words, TASK, items=True)

    assert measures(records) == {"accuracy": 1.0, "f1": 1.0, "cut_texts": 0.0}
    assert [r["value"] for r in records if r["measure"] == "correct"] == [1.0] * 16
    with pytest.raises(DataError, match="no label 'pink'"):
        measure_task(made.model, words, Task("t", "tokens", [], [Example("a hat", "pink O")]))


def test_words_that_were_cut_are_wrong_and_not_found(tuned, words, monkeypatch):
    made = tuned(TASK, steps=1)
    red = TASK.labels.index("red")
    always = torch.nn.functional.one_hot(torch.tensor(red), len(TASK.labels)).float()
    monkeypatch.setattr(tagging, "tag_logits", lambda net, ids: always.expand(*ids.shape, -1))
    example = Example("the red hat " + "was " * 80 + "red", "O red O " + "O " * 80 + "red")
    found = measures(measure_task(made.model, words, Task("t", "tokens", [], [example])))

    code = content_tokenizer(load_tokenizer(words)).encode(example.text, add_special_tokens=False)
    read = example.text[: code.offsets[61][1]]  # 64 positions less <s> and </s>
    kept = len(read.split())
    assert 3 < kept < 83
    assert found["cut_texts"] == 1
    assert found["accuracy"] == pytest.approx(1 / 84)
    assert found["f1"] == pytest.approx(2 * 1 / (kept + 2))


def test_roles_of_stories_go_the_same_way(tuned, words):
    task = story_task(name="roles", train=4, test=2, seed=3)
    made = tuned(task, positions=256, steps=2)
    prepared = prepare(
        AutoModelForTokenClassification.from_pretrained(made.model), load_tokenizer(words),
        load_tokenizer(words), task, task.train,
    )  # fmt: skip

    batch = prepared.batch(torch.arange(4).numpy())
    assert int((batch["truth"] >= 0).sum()) == sum(len(e.text.split()) for e in task.train)
    assert set(measures(measure_task(made.model, words, task))) == {"accuracy", "f1", "cut_texts"}
