"""Fine-tuning decoders: what the layer reads, what is learned, and what is measured of it."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional
from transformers import AutoModelForSequenceClassification

from assay.errors import DataError, ParameterError
from assay.parts.text.documents import Document
from assay.parts.text.stories import story
from assay.parts.text.tasks import Example, Task
from assay.parts.text.tokenizer import load_tokenizer, train_tokenizer
from assay.systems.mixture_of_experts.choices import Choice, Choices
from assay.systems.mixture_of_experts.finetuning import (
    _steps,
    answerable,
    finetune,
    measure_tuned,
)
from assay.systems.mixture_of_experts.folders import load_decoder, save_decoder
from assay.systems.mixture_of_experts.heads import (
    Answerable,
    answer_logits,
    answer_loss,
    batch_of,
    new_reader,
)
from assay.systems.mixture_of_experts.model import new_decoder, routings

torch.set_num_threads(1)
POSITIONS, PAD = 40, 1
COLOURS = ("red", "blue", "green", "black")
ENDS = [
    Choice(f"Anna wore {c}, and her hat was", [COLOURS[k - 1], c], 1) for k, c in enumerate(COLOURS)
]
ENDS[0] = Choice(ENDS[0].prompt, ["red", "green", "blue"], 0)
CHOOSE = Choices("hats", "mean", ENDS, ENDS)
SAID = [Example(f"it is {c}", str(c in COLOURS[:2]), "so") for c in COLOURS]
SORT = Task("sort", "classification", SAID, SAID)
FAST = {"epochs": 60, "batch": 4, "rate": 1e-2, "precision": "fp32", "seed": 5}
ROWS = [Answerable([[0, 7, 8, 2], [0, 7, 9, 9, 9, 2]], 1), Answerable([[0, 5, 2]] * 3, 0)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of an untrained decoder without and with experts."""
    root = tmp_path_factory.mktemp("decoders")
    told = [story(1, k) for k in range(60)]
    train_tokenizer((Document(s.text, s.sentences, "") for s in told), 400, root / "words")
    words, found = load_tokenizer(root / "words"), {}
    for name, experts in (("dense", 0), ("sparse", 4)):
        net = new_decoder(vocabulary=len(words), width=16, layers=2, heads=2, positions=POSITIONS,
                          experts=experts, balance_weight=0.1, seed=1)  # fmt: skip
        save_decoder(root / name, net, words, {})
        found[name] = root / name
    return found


@pytest.fixture(params=["dense", "sparse"])
def folder(request, folders):
    return folders[request.param]


@pytest.fixture(scope="module")
def tuned(step, folders):
    """Both decoders, tuned to both tasks."""
    return {
        (name, task.name): step(f"{name} {task.name}", finetune, at, task, **FAST)
        for name, at in folders.items()
        for task in (CHOOSE, SORT)
    }


def values(records, measure):
    return [row["value"] for row in records if row["measure"] == measure]


# -- what the layer reads -----------------------------------------------------------------------


def test_an_option_gets_what_the_layer_makes_of_its_last_state(folder):
    net = new_reader(load_decoder(folder), [], seed=2).eval()
    with torch.inference_mode():
        logits = answer_logits(net, batch_of(ROWS, PAD))
        for example, found in zip(ROWS, logits, strict=True):
            for row, value in zip(example.rows, found, strict=False):
                states = load_decoder(folder).decoder(torch.tensor([row])).last_hidden_state
                assert value == pytest.approx(float(states[0, -1] @ net.score.weight[0]), abs=1e-5)
    assert logits.shape == (2, 3)
    assert logits[0, 2] == -torch.inf  # the first example has two options


def test_what_rows_are_filled_up_with_and_read_beside_does_not_matter(folder):
    net = new_reader(load_decoder(folder), ["a", "b"], seed=2).eval()
    single = [Answerable([example.rows[-1]], 0) for example in ROWS]
    with torch.inference_mode():
        together = answer_logits(net, batch_of(single, PAD))
        others = answer_logits(net, batch_of(single, 17))
        alone = torch.cat([net(torch.tensor(example.rows)).logits for example in single])

    assert torch.allclose(together, others, atol=1e-6)
    assert torch.allclose(together, alone, atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-2)


def test_the_loss_is_the_cross_entropy_of_the_answers_and_what_balances_the_experts(folder):
    net = new_reader(load_decoder(folder), [], seed=2).train()
    batch = batch_of(ROWS, PAD)
    total, count = answer_loss(net, batch)
    balance = sum(routing.balance_loss.item() for routing in routings(net).values())
    first, second = answer_logits(net, batch)
    by_hand = functional.cross_entropy(first[:2], torch.tensor(1))
    by_hand = by_hand + functional.cross_entropy(second, torch.tensor(0))

    assert count == 2
    assert (balance > 0) == (folder.name == "sparse")
    assert total.item() == pytest.approx(by_hand.item() + 0.1 * 2 * balance, abs=1e-5)


def test_the_added_layer_is_of_the_seed_and_nothing_else_is_new(folder):
    decoder = load_decoder(folder)
    first, again, other = (new_reader(decoder, ["a", "b"], seed=seed) for seed in (2, 2, 3))

    assert torch.equal(first.score.weight, again.score.weight)
    assert not torch.equal(first.score.weight, other.score.weight)
    assert {n.partition(".")[0] for n, _ in first.named_parameters()} == {"decoder", "score"}
    for name, weight in decoder.decoder.named_parameters():
        assert torch.equal(first.decoder.get_parameter(name), weight)


# -- rows ---------------------------------------------------------------------------------------


def test_rows_are_the_texts_between_the_special_tokens(folders):
    words = load_tokenizer(folders["dense"])
    [example, *_], cut = answerable(words, CHOOSE, ENDS, [], POSITIONS)
    assert [words.decode(row) for row in example.rows] == [
        f"<s>Anna wore red, and her hat was {option}</s>" for option in ("red", "green", "blue")
    ]
    [of_class, *_], _ = answerable(words, SORT, SAID, SORT.labels, POSITIONS)
    assert [words.decode(row) for row in of_class.rows] == ["<s>it is red</s>so</s>"]
    assert SORT.labels[of_class.answer] == "True"
    assert cut == 0


def test_a_blank_is_filled(folders):
    words = load_tokenizer(folders["dense"])
    task = Choices("t", "suffix", [], [])
    [example], _ = answerable(words, task, [Choice("So _ ran.", ["Ann", "Ben"], 0)], [], POSITIONS)
    assert [words.decode(row) for row in example.rows] == [
        "<s>So Ann ran.</s>",
        "<s>So Ben ran.</s>",
    ]


def test_a_long_text_loses_its_beginning(folders):
    words = load_tokenizer(folders["dense"])
    long = Choice("so " * 90 + "it was", ["red", "blue"], 0)
    [example], cut = answerable(words, CHOOSE, [long], [], POSITIONS)

    assert cut == 1
    assert {len(row) for row in example.rows} == {POSITIONS}
    assert words.decode(example.rows[1]).endswith("it was blue</s>")
    assert words.decode(example.rows[1]).startswith("<s>")


def test_every_example_is_seen_once_in_an_epoch_and_in_another_order():
    steps = _steps(10, 3, 4, seed=1)
    epochs = np.split(np.concatenate(steps), 3)

    assert [len(rows) for rows in steps] == [4, 4, 2] * 3
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert (epochs[0] != epochs[1]).any()


# -- learning and measuring ---------------------------------------------------------------------


@pytest.mark.parametrize("task", [CHOOSE, SORT], ids=["options", "classes"])
@pytest.mark.parametrize("name", ["dense", "sparse"])
def test_what_can_be_learned_is(tuned, name, task):
    made = tuned[name, task.name]
    losses, found = values(made.records, "training_loss"), measure_tuned(made.model, task)

    assert losses[-1] < losses[0] - 0.3
    assert values(found, "accuracy") == [1.0]
    assert {row["task"] for row in [*made.records, *found]} == {task.name}
    assert {row["way"] for row in found} == {"fine-tuned"}
    assert values(made.records, "train_examples") == [4]


def test_a_tuned_folder_loads_with_the_auto_class_and_answers_alike(tuned):
    made = tuned["sparse", "sort"]
    model = AutoModelForSequenceClassification.from_pretrained(made.model, local_files_only=True)
    words = load_tokenizer(made.model)
    for example in SAID:
        ids = words(f"<s>{example.text}</s>{example.pair}</s>", add_special_tokens=False)
        with torch.inference_mode():
            logits = model.eval()(torch.tensor([ids["input_ids"]])).logits
        assert model.config.id2label[int(logits.argmax())] == example.target


def test_all_weights_are_trained_and_those_of_the_start_stay(folders, tuned):
    before, after = (
        load_file(at / "model.safetensors")
        for at in (folders["dense"], tuned["dense", "hats"].model)
    )
    assert set(after) == {n for n in before if n.startswith("decoder.")} | {"score.weight"}
    assert all(not torch.equal(after[n], before[n]) for n in after if n != "score.weight")


def test_an_equal_seed_gives_equal_bits_and_another_does_not(step, folder):
    short = FAST | {"epochs": 2, "batch": 2}
    made = [
        step(f"{folder.name} {k}", finetune, folder, CHOOSE, **short | {"seed": seed})
        for k, seed in enumerate((5, 5, 6))
    ]
    bits = [(each.model / "model.safetensors").read_bytes() for each in made]

    assert bits[0] == bits[1] != bits[2]
    assert made[0].records == made[1].records


def test_guessing_is_by_options_and_by_the_commonest_class(tuned):
    found = measure_tuned(tuned["dense", "hats"].model, CHOOSE)
    assert values(found, "chance") == [pytest.approx((1 / 3 + 3 / 2) / 4)]

    skewed = Task("sort", "classification", [*SAID, SAID[0]], SAID[:3])
    found = measure_tuned(tuned["dense", "sort"].model, skewed)
    assert values(found, "chance") == [pytest.approx(2 / 3)]
    assert values(found, "above_chance") == pytest.approx([1 / 3] * 3)


def test_what_cannot_be_learned_or_answered_is_refused(folders, tuned):
    numbers = Task("n", "regression", [Example("a", "1")], [])
    with pytest.raises(ParameterError, match="task n: is a task of regression"):
        finetune(folders["dense"], numbers, **FAST)
    one = Task("one", "classification", SAID[:2], [])
    with pytest.raises(DataError, match="task one: has one class only"):
        finetune(folders["dense"], one, **FAST)
    with pytest.raises(DataError, match="finds False, True; expected a model tuned to find opti"):
        measure_tuned(tuned["dense", "sort"].model, CHOOSE)
    with pytest.raises(DataError, match=r"the first is score\.weight"):
        measure_tuned(folders["dense"], CHOOSE)
