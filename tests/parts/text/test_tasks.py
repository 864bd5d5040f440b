"""Tasks: what is asked has one answer, and a file's mistakes are found where they are."""

import json

import pytest

from assay.core.encoding import decode, encode
from assay.errors import DataError
from assay.parts.text.stories import questions, story, summary, translated
from assay.parts.text.tasks import STORY_TASKS, Task, read_task, story_task

SMALL = {"train": 40, "test": 30, "seed": 3}
TOLD = {story(3, k).text: story(3, k) for k in range(70)}


# -- tasks made from stories --------------------------------------------------------------------


@pytest.mark.parametrize("name", STORY_TASKS)
def test_a_task_depends_on_its_seed_alone_and_is_stored_as_it_is(name):
    task = story_task(name=name, **SMALL)

    assert task == story_task(name=name, **SMALL)
    assert task != story_task(name=name, **{**SMALL, "seed": 4})
    assert decode(json.loads(json.dumps(encode(task))), Task) == task
    assert (len(task.train), len(task.test)) == (40, 30)
    assert task.kind == STORY_TASKS[name].kind


@pytest.mark.parametrize("name", sorted(set(STORY_TASKS) - {"translation", "continuation"}))
def test_no_text_is_both_learned_and_measured(name):
    task = story_task(name=name, **SMALL)

    assert len({e.text for e in task.train}) == 40
    assert not {e.text for e in task.train} & {e.text for e in task.test}


def test_more_examples_begin_with_the_same_ones():
    few, more = (story_task(name="questions", train=n, test=5, seed=1) for n in (5, 9))

    assert few.train == more.train[:5]
    assert few.test == more.train[5:9] + more.test[:1]


def test_sizes_are_those_of_the_table_unless_told():
    task = story_task(name="summaries", test=3, seed=1)

    assert (len(task.train), len(task.test)) == (STORY_TASKS["summaries"].train, 3)


def test_a_question_follows_its_story_and_is_answered_by_one_word():
    task = story_task(name="questions", **SMALL)
    kinds = set()

    for example in (*task.train, *task.test):
        told = next(s for text, s in TOLD.items() if example.text.startswith(text))
        asked = next(
            q for q in questions(told) if example.text == f"{told.text} {q.text}"
        )  # there is no other
        assert example.target == asked.answer
        kinds.add(asked.kind)
    assert len(kinds) == 7


def test_a_span_is_where_it_is_said_to_be():
    task = story_task(name="spans", **SMALL)

    for example in task.train:
        assert example.text.startswith(example.target, example.start)
        assert (example.pair, example.target) in {
            (q.text, q.answer) for q in questions(TOLD[example.text])
        }


def test_a_statement_is_true_where_the_label_says_so():
    task = story_task(name="statements", train=60, test=10, seed=3)
    assert task.labels == ["false", "true"]
    assert {e.target for e in task.train} == {"false", "true"}

    firsts = 0
    for example in (*task.train, *task.test):
        facts = TOLD[example.text].facts
        firsts += (first := example.pair.startswith(facts.first.name))
        about = facts.first if first else facts.second
        assert example.pair.startswith(about.name)
        own = (about.colour, f"a {about.job}", about.where, about.count)
        assert any(word in example.pair for word in own) == (example.target == "true")
    assert 15 < firsts < 55


def test_a_job_is_that_of_the_character_named():
    for example in story_task(name="jobs", **SMALL).train:
        jobs = {person.name: person.job for person in TOLD[example.text].facts[:2]}
        assert jobs[example.pair] == example.target


def test_labels_of_the_test_are_known_however_few_examples_are_learned():
    task = story_task(name="jobs", train=1, test=20, seed=3)

    assert {e.target for e in task.test} < set(task.labels)
    assert story_task(name="spans", **SMALL).labels == []


def test_summaries_order_and_continuations_belong_to_their_story():
    for example in story_task(name="summaries", **SMALL).train:
        assert example.target == summary(TOLD[example.text])
    for example in story_task(name="order", **SMALL).train:
        assert sorted(example.text.split()) == sorted(example.target.split())
        assert example.target in TOLD
        assert example.text not in TOLD
    for example in story_task(name="continuation", **SMALL).train:
        assert f"{example.text} {example.target}" in TOLD


def test_a_translation_is_that_of_a_sentence_of_a_story():
    every = {part for told in TOLD.values() for part in told.parts()}

    for example in story_task(name="translation", **SMALL).train:
        assert translated(example.target) == example.text
        assert example.target in every


def test_a_role_is_the_attribute_of_a_character_that_a_word_names():
    for index, example in enumerate(story_task(name="roles", train=1, test=30, seed=6).test, 1):
        facts = story(6, index).facts
        words, roles = example.text.split(" "), example.target.split(" ")
        assert " ".join(words) == story(6, index).text
        found = {
            role: {w for w, r in zip(words, roles, strict=True) if r == role} for role in roles
        }
        for who, person in (("first", facts.first), ("second", facts.second)):
            for kind in ("name", "colour", "place"):
                value = getattr(person, kind).lower()
                assert all(value in word.lower() for word in found[f"{who}.{kind}"])
        assert not any(facts.first.name in word for word in found["O"])


# -- tasks of one's own -------------------------------------------------------------------------


@pytest.fixture
def read(tmp_path):
    """Writes two files and reads them as a task."""

    def made(train, test=None, kind="generation", suffix=".csv", **values):
        paths = {}
        for name, text in (("train", train), ("test", train if test is None else test)):
            paths[name] = tmp_path / f"{name}{suffix}"
            paths[name].write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_task(**paths, kind=kind, **values)

    return made


def test_pairs_are_read_from_csv_and_jsonl_alike(read):
    csv = read('target,source\nb,"a, ""x""\ny"\nd,c\n', name="mine")
    lines = [{"source": 'a, "x"\ny', "target": "b"}, {"source": "c", "target": "d", "more": 1}]
    jsonl = read("\n\n".join(map(json.dumps, lines)), suffix=".jsonl", name="mine")

    assert csv == jsonl
    assert [(e.text, e.target, e.pair) for e in csv.train] == [
        ('a, "x"\ny', "b", ""),
        ("c", "d", ""),
    ]
    assert (csv.name, csv.kind) == ("mine", "generation")


def test_labels_numbers_and_spans_are_read(read):
    labels = read("text,label,pair\na,yes,p\nb,no,\n", kind="classification")
    numbers = read('{"text": "a", "label": 2.5}\n', kind="regression", suffix=".jsonl")
    spans = read("text,question,answer,start\nto be or to be,q,be,12\nto be,q,be,\n", kind="span")

    assert labels.labels == ["no", "yes"]
    assert [e.pair for e in labels.train] == ["p", ""]
    assert float(numbers.train[0].target) == 2.5
    assert [(e.pair, e.target, e.start) for e in spans.train] == [("q", "be", 12), ("q", "be", 3)]


LABELLED = {"words": ["Anna", "ran", "home"], "labels": ["B-person", "O", "B-place"]}


def test_words_with_labels_are_read(read):
    task = read(json.dumps(LABELLED), kind="tokens", suffix=".jsonl")

    assert [tuple(e[:2]) for e in task.train] == [("Anna ran home", "B-person O B-place")]
    assert task.labels == ["B-person", "B-place", "O"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": ["O", "B-x"]}, "3 words and 2 labels"),
        ({"words": []}, "'words' is "),
        ({"words": "Anna ran home"}, "'words' is "),
        ({"words": ["Anna", "ran off", "home"]}, "'words' is .*without white space"),
        ({"labels": ["O", "", "O"]}, "'labels' is "),
        ({"labels": ["O", 3, "O"]}, "'labels' is "),
        ({"words": ["Anna", "\ud800", "home"]}, "half a surrogate pair"),
    ],
)
def test_words_and_labels_that_do_not_fit_are_named_with_their_line(change, said, read):
    lines = f"{json.dumps(LABELLED)}\n{json.dumps(LABELLED | change)}"
    with pytest.raises(DataError, match=rf"train\.jsonl:2: {said}") as caught:
        read(lines, kind="tokens", suffix=".jsonl")
    assert "\n" not in str(caught.value)


def test_a_label_of_a_word_that_cannot_be_learned_is_named(read):
    other = json.dumps(LABELLED | {"labels": ["B-persn", "O", "O"]})
    with pytest.raises(DataError, match=r"test\.jsonl:1: label 'B-persn'.*mean 'B-person'"):
        read(json.dumps(LABELLED), other, kind="tokens", suffix=".jsonl")
    with pytest.raises(DataError, match=r"\.csv is not read; expected \.jsonl"):
        read("words,labels\na,b\n", kind="tokens")


def test_a_byte_order_mark_and_carriage_returns_do_no_harm(read):
    task = read(b"\xef\xbb\xbfsource,target\r\na,b\r\n")

    assert [(e.text, e.target) for e in task.train] == [("a", "b")]


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("source,targt\na,b\n", "generation", r"train\.csv:1: no column 'target'.*Did you mean"),
        ("source,target\na,b\nc\n", "generation", r"train\.csv:3: 1 cells.*2, as in the header"),
        ('source,target\n"a\nb",c\nd,"e\n', "generation", r"train\.csv:4: is not CSV"),
        ('source,target\n"a\nb",c\nd\n', "generation", r"train\.csv:4: 1 cells"),
        ("source,target\na, \n", "generation", r"train\.csv:2: 'target' is "),
        ("source,target\n", "generation", r"train\.csv: holds no examples"),
        ("text,label\na,1\nb,1\n", "classification", r"train\.csv: holds one label only"),
        ("text,label\na,1\nb,x\n", "regression", r"train\.csv:3: label 'x' is not a number"),
        ("text,label\na,inf\n", "regression", r"train\.csv:2: label 'inf' is not a number"),
        ("text,question,answer\na b,q,c\n", "span", r"train\.csv:2: the answer 'c' is not in"),
        ("text,question,answer,start\na b,q,b,1\n", "span", r"csv:2: .* at character 1"),
        ("text,question,answer,start\na b,q,b,x\n", "span", r"csv:2: 'start' is 'x'"),
        ("text,question,answer,start\na b,q,b,-1\n", "span", r"csv:2: .* at character -1"),
        (b"source,target\na,b\nc,\xff\n", "generation", r"train\.csv:3: is not UTF-8"),
    ],
)
def test_a_mistake_in_csv_is_told_with_its_line(read, text, kind, said):
    with pytest.raises(DataError, match=said):
        read(text, kind=kind)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"source": "a", "target": "b"}\n{"source": "c"}\n', r"jsonl:2: no field 'target'"),
        ('\n{"source": \n', r"jsonl:2: is not JSON"),
        ("[1]\n", r"jsonl:1: is a list; expected a JSON object"),
        ('{"source": "a", "target": 3}\n', r"jsonl:1: 'target' is 3; expected a text"),
        ('{"source": null, "target": "b"}\n', r"jsonl:1: 'source' is blank"),
    ],
)
def test_a_mistake_in_jsonl_is_told_with_its_line(read, text, said):
    with pytest.raises(DataError, match=said):
        read(text, suffix=".jsonl")


def test_a_label_that_was_never_learned_is_refused(read):
    with pytest.raises(DataError, match=r"test\.csv:3: label 'yess' is not in train\.csv.*'yes'"):
        read("text,label\na,yes\nb,no\n", "text,label\na,no\nc,yess\n", kind="classification")


def test_another_kind_of_file_is_refused(read):
    with pytest.raises(DataError, match=r"\.tsv is not read; expected \.csv or \.jsonl"):
        read("a\tb\n", suffix=".tsv")
