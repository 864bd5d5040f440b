"""Stories: plain English with known answers, the same for everybody with the seed."""

import hashlib
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.task import Task, _current
from assay.parts.text import stories as grammar
from assay.parts.text.documents import Document, stored_documents
from assay.parts.text.stories import (
    QUESTION_KINDS,
    continuation,
    questions,
    shuffled,
    stories,
    story,
    summary,
    translated,
)
from assay.parts.text.tokenizer import load_tokenizer, train_tokenizer

numbers = st.integers(0, 2**31 - 1)
ATTRIBUTES = ("job", "place", "colour", "count")


def words(text):
    return re.findall(r"[a-z]+", text.lower())


def lists_of_words():
    return {
        "job": set(grammar.JOBS),
        "place": set(grammar.PLACES),
        "colour": set(grammar.COLOURS),
        "count": set(grammar.COUNTS),
    }


def templates():
    for entries in {entries for plan in grammar.PLANS for entries in plan}:
        yield from entries


@given(numbers, numbers)
def test_a_story_depends_on_its_seed_and_number_alone(seed, index):
    told = story(seed, index)

    assert told == story(seed, index)
    assert told.text not in (story(seed, index + 1).text, story(seed + 1, index).text)


@given(numbers, numbers)
def test_sentences_begin_where_the_story_says(seed, index):
    told = story(seed, index)

    assert told.sentences[0] == 0
    assert " ".join(told.parts()) == told.text
    assert [told.text.index(part) for part in told.parts()] == list(told.sentences)
    for part in told.parts():
        assert re.fullmatch(r'"?[A-Z].*[.?!]"?', part)
        assert part.count('"') % 2 == 0


@given(numbers, numbers)
def test_a_quotation_and_its_speaker_are_one_sentence(seed, index):
    asked = [part for part in story(seed, index).parts() if '?"' in part]

    assert all(re.fullmatch(r'"[^"]*\?" asked [^"]*\.', part) for part in asked)


def test_most_stories_hold_a_question_and_an_answer_in_quotation_marks():
    spoken = [sum('"' in part for part in story(3, k).parts()) for k in range(50)]

    assert set(spoken) == {2}


@given(numbers, numbers)
def test_two_characters_have_nothing_in_common(seed, index):
    first, second, item, things = story(seed, index).facts

    assert first.woman != second.woman
    assert {first.name, second.name} & set(grammar.WOMEN)
    assert {first.name, second.name} & set(grammar.MEN)
    for name in ATTRIBUTES:
        assert getattr(first, name) != getattr(second, name)
    assert item in grammar.ITEMS
    assert things in grammar.THINGS


@given(numbers, numbers)
def test_every_attribute_is_named_two_or_three_times(seed, index):
    told = story(seed, index)
    found = Counter(words(told.text))

    for person in told.facts[:2]:
        told_by_deed = told.text.count(f" {person.act}")
        assert 2 <= found[person.job] + told_by_deed <= 3
        for name in ("place", "colour", "count"):
            assert 2 <= found[getattr(person, name)] <= 3


@given(numbers, numbers)
def test_no_other_word_of_the_kind_stands_in_the_story(seed, index):
    told = story(seed, index)

    for name, known in lists_of_words().items():
        meant = {getattr(person, name) for person in told.facts[:2]}
        assert set(words(told.text)) & known == meant


def test_words_of_different_kinds_do_not_meet():
    kinds = [*lists_of_words().values(), set(grammar.ITEMS), set(grammar.THINGS)]
    kinds += [{name.lower() for name in grammar.WOMEN}, {name.lower() for name in grammar.MEN}]

    assert len(set.union(*kinds)) == sum(map(len, kinds))
    fixed = {w for line in templates() for w in words(re.sub(r"\{.*?\}", "", line))}
    assert not fixed & set.union(*kinds)


def test_every_template_names_characters_that_have_been_introduced():
    for line in templates():
        assert re.search(r"\{[XY]\.", line)
    assert not any("{Y." in line for line in grammar.FIRST)
    assert all("{Y.name}" in line for line in grammar.SECOND)


def test_articles_and_kinship_agree():
    for k in range(400):
        told = story(5, k)
        assert not re.search(r"\ba [aeio]|\ban [^aeio]", told.text)
        words_of_kin = set(words(told.text)) & {"aunt", "sister", "niece"}
        assert not words_of_kin or told.facts.second.woman


@given(numbers, numbers)
def test_questions_have_one_answer_which_stands_in_the_story(seed, index):
    told = story(seed, index)
    asked = questions(told)

    assert Counter(q.kind for q in asked) == dict.fromkeys(QUESTION_KINDS, 2)
    assert len(QUESTION_KINDS) == 7
    assert len({q.text for q in asked}) == len(asked)
    for kind in QUESTION_KINDS:
        one, other = (q.answer for q in asked if q.kind == kind)
        assert one != other  # the other character is the distractor
    for question in asked:
        assert question.answer in re.findall(r"[A-Za-z]+", told.text)
        assert " " not in question.answer


def test_answers_are_the_facts():
    told = story(0, 1)
    first, second, _, _ = told.facts
    asked = {(q.kind, q.answer) for q in questions(told)}

    for person in (first, second):
        assert {(name, getattr(person, name)) for name in ATTRIBUTES} <= asked
        assert {(f"who by {name}", person.name) for name in ("colour", "job", "place")} <= asked


def slots(told):
    """The slots of a summary: those of the character it names, then those of the other."""
    first, second, _, things = told.facts
    named, other = (first, second) if first.name in summary(told) else (second, first)
    return [named.name, named.job, named.place], [other.job, other.place], [things]


@given(numbers, numbers)
def test_a_summary_has_six_slots_and_names_one_character_by_its_job(seed, index):
    told = story(seed, index)
    line, (named, other, things) = summary(told), slots(story(seed, index))

    assert "\n" not in line
    found = Counter(re.findall(r"[A-Za-z]+", line))
    assert all(found[word] == 1 for word in (*named, *other, *things))
    names = {person.name for person in told.facts[:2]}
    assert len(names & set(found)) == 1


def test_slots_of_a_summary_come_in_more_than_one_order_and_not_in_that_of_the_story():
    orders = set()
    for k in range(60):
        told = story(9, k)
        line = summary(told)
        places = [line.index(word) for kind in slots(told) for word in kind]
        orders.add(tuple(np.argsort(places)))
        assert line.index(told.facts.second.place) < line.index(told.facts.first.place)
        assert line.index(told.facts.second.job) < line.index(told.facts.first.job)
    assert len(orders) == 2


@given(numbers)
def test_shuffling_moves_sentences_and_loses_none(seed):
    told = story(seed, 0)
    mixed = shuffled(told, np.random.default_rng(seed))

    assert sorted(mixed.parts()) == sorted(told.parts())
    assert mixed.parts() != told.parts()
    assert mixed == shuffled(told, np.random.default_rng(seed))


def test_a_story_goes_on_after_its_first_sentence():
    told = story(2, 2)
    first, rest = continuation(told)

    assert f"{first} {rest}" == told.text
    assert first == told.parts()[0]


# -- the other language -------------------------------------------------------------------------


def back(text):
    """Undo a translation: letters first, then the order of words."""
    letters = {ord(new): old for old, new in ((chr(k), chr(v)) for k, v in grammar.LETTERS.items())}
    clauses = re.compile(r"[A-Za-z']+(?: [A-Za-z']+)*")
    return clauses.sub(lambda c: " ".join(reversed(c[0].split())), text.translate(letters))


@given(numbers, numbers)
def test_a_translation_can_be_undone(seed, index):
    told = story(seed, index)

    assert back(translated(told.text)) == told.text


def test_the_lexicon_is_one_to_one_and_shares_no_letter_place():
    letters = grammar.LETTERS

    assert sorted(letters) == sorted(letters.values())
    assert len(letters) == 52
    assert all(old != new for old, new in letters.items())


def test_clauses_are_reversed_between_their_marks():
    assert translated("ab ab, cd ef gh.") == (
        f"{translated('ab')} {translated('ab')}, "
        f"{translated('gh')} {translated('ef')} {translated('cd')}."
    )


# -- as a corpus --------------------------------------------------------------------------------


@pytest.fixture
def in_task(tmp_path):
    def run(name, **values):
        token = _current.set(Task("stories", name, 1, tmp_path / name))
        try:
            return list(stored_documents(stories(**values)))
        finally:
            _current.reset(token)

    return run


def test_a_corpus_holds_the_stories_with_their_sentences(in_task):
    few, more = in_task("few", count=5, seed=4), in_task("more", count=9, seed=4)

    assert few == more[:5]
    told = story(4, 3)
    assert (few[3].text, few[3].sentences) == (told.text, told.sentences)
    assert {d.text for d in more}.isdisjoint(d.text for d in in_task("other", count=9, seed=5))


def test_stories_of_another_seed_are_not_in_a_corpus():
    def marks(seed, count):
        return {hashlib.sha256(story(seed, k).text.encode()).digest() for k in range(count)}

    corpus, tested = marks(1, 4000), marks(2, 1000)

    assert len(corpus) == 4000
    assert not corpus & tested


def test_a_tokenizer_of_a_thousand_entries_gives_rows_that_fit_with_a_question(tmp_path):
    told = [story(1, k) for k in range(1500)]
    train_tokenizer((Document(s.text, s.sentences, "") for s in told), 1024, tmp_path / "bpe")
    tokenizer = load_tokenizer(tmp_path / "bpe")

    def lengths(texts):
        return np.array([len(ids) for ids in tokenizer(texts).input_ids])

    assert len(tokenizer) == 1024  # the stories have words enough
    assert 75 < lengths([s.text for s in told]).mean() < 100
    asked = [f"{s.text} {q.text}" for s in told[:300] for q in questions(s)]
    assert lengths(asked).max() <= 128
