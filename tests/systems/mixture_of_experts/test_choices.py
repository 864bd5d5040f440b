"""Multiple-choice tasks: the right option is right, and bad files are told by line."""

import json

import pytest

from assay.errors import DataError
from assay.parts.text.stories import story
from assay.systems.mixture_of_experts.choices import (
    BLANK,
    STORY_CHOICES,
    read_choices,
    story_choices,
    story_garments,
)

GOOD = {"prompt": "The sky is", "options": ["blue", "loud"], "answer": 0}


@pytest.mark.parametrize("name", STORY_CHOICES)
def test_examples_are_of_the_seed_and_the_place_of_the_right_option_is_not(name):
    task = story_choices(name=name, train=30, test=170, seed=3)
    again = story_choices(name=name, train=30, test=170, seed=3)

    assert task == again
    assert task != story_choices(name=name, train=30, test=170, seed=4)
    assert not {c.prompt for c in task.train} & {c.prompt for c in task.test}
    options = len(task.test[0].options)
    for place in range(options):  # six standard deviations of a fair draw
        share = sum(c.answer == place for c in task.test) / 170
        assert abs(share - 1 / options) < 6 * (0.25 / 170) ** 0.5


def test_an_ending_belongs_to_its_story_and_the_others_to_others():
    task = story_choices(name="endings", train=1, test=1, seed=5)
    choice = task.test[0]
    *begun, last = story(5, 3).parts()

    assert choice.prompt == " ".join(begun)
    assert choice.options[choice.answer] == last
    assert {*choice.options} == {last, story(5, 4).parts()[-1], story(5, 5).parts()[-1]}


def test_a_question_is_answered_by_the_facts_and_the_wrong_answer_is_of_the_other_character():
    for choice in story_choices(name="questions", train=1, test=60, seed=2).test:
        right = choice.options[choice.answer]
        wrong = choice.options[1 - choice.answer]
        text = choice.prompt.partition("\n")[0]
        assert right != wrong
        assert right in text
        assert wrong in text
        assert choice.prompt.endswith("\nAnswer:")


def test_a_blank_is_filled_by_whom_the_rest_is_true_of():
    task = story_choices(name="blanks", train=1, test=40, seed=9)
    for index, choice in enumerate(task.test, 1):
        facts = story(9, 3 * index).facts
        person = {p.name: p for p in facts[:2]}[choice.options[choice.answer]]
        assert choice.prompt.count(BLANK) == 1
        rest = choice.prompt.partition(BLANK)[2]
        assert rest == f" was the {person.job} in the {person.colour} {facts.item}."


def test_a_garment_is_named_in_its_story_and_no_other_is():
    task = story_garments(train=250, test=50, seed=4)
    garments = set(task.labels)

    assert (task.kind, len(task.train), len(task.test)) == ("classification", 250, 50)
    assert len(garments) == 10
    for example in [*task.train, *task.test]:
        words = set(example.text.replace(",", " ").replace(".", " ").split())
        assert words & garments == {example.target}
    assert task == story_garments(train=250, test=50, seed=4)
    assert not {e.text for e in task.train} & {e.text for e in task.test}


def test_a_file_of_ones_own_is_read(tmp_path):
    for name in ("train", "test"):
        (tmp_path / name).write_text(f"{json.dumps(GOOD)}\n\n{json.dumps(GOOD | {'answer': 1})}\n")
    task = read_choices(train=tmp_path / "train", test=tmp_path / "test", name="sky")

    assert (task.name, task.scoring) == ("sky", "mean")
    assert [c.answer for c in task.test] == [0, 1]


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("{", "not an example"),
        ("[]", "not an example"),
        (json.dumps({"prompt": "a", "options": ["b", "c"]}), "not an example"),
        (json.dumps(GOOD | {"options": ["blue"]}), "missing or blank"),
        (json.dumps(GOOD | {"options": ["blue", " "]}), "missing or blank"),
        (json.dumps(GOOD | {"options": "blue"}), "missing or blank"),
        (json.dumps(GOOD | {"options": ["blue", "blue"]}), "two options are alike"),
        (json.dumps(GOOD | {"prompt": "sky \ud800"}), "half a surrogate pair at character 4"),
        (json.dumps(GOOD | {"answer": 2}), "answer 2"),
        (json.dumps(GOOD | {"answer": True}), "answer True"),
        (json.dumps(GOOD | {"answer": "0"}), "answer '0'"),
        (json.dumps(GOOD | {"answer": [0]}), r"answer \[0\]"),
    ],
)
def test_a_line_that_is_no_example_is_named(line, match, tmp_path):
    for name, text in (("train", json.dumps(GOOD)), ("test", f"{json.dumps(GOOD)}\n{line}")):
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=match) as refused:
        read_choices(train=tmp_path / "train", test=tmp_path / "test")
    assert f"{tmp_path / 'test'}:2" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_suffix_needs_its_blank_and_an_empty_file_is_told(tmp_path):
    (tmp_path / "a").write_text(json.dumps(GOOD))
    with pytest.raises(DataError, match="0 blanks"):
        read_choices(train=tmp_path / "a", test=tmp_path / "a", scoring="suffix")
    (tmp_path / "a").write_text("\n")
    with pytest.raises(DataError, match="no examples"):
        read_choices(train=tmp_path / "a", test=tmp_path / "a")
    (tmp_path / "a").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="UTF-8"):
        read_choices(train=tmp_path / "a", test=tmp_path / "a")
