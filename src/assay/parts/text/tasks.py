"""Fine-tuning tasks: sets made from stories, and readers for the reader's own.

Whatever a task asks, an example is a text, perhaps a second one, and a target written as text: what
is to be written, a label, a number, the words of a span, or a label for every word.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import PositiveInt

from assay.core.component import File, Seed, component
from assay.core.params import short
from assay.errors import DataError, did_you_mean
from assay.parts.text.rows import printable, read_rows, require_whole
from assay.parts.text.stories import (
    Facts,
    Story,
    continuation,
    questions,
    shuffled,
    story,
    summary,
    translated,
)

__all__ = [
    "OUTSIDE",
    "STORY_TASKS",
    "Example",
    "Kind",
    "StoryTask",
    "Task",
    "TooLong",
    "labels_of",
    "read_task",
    "story_task",
]

Kind = Literal["generation", "classification", "regression", "span", "tokens"]
"""What is to be found: a text, a label, a number, the words of the text that answer, or a label for
every word."""

TooLong = Literal["cut", "refuse"]
"""What becomes of a text longer than a model reads: it is cut at its end, or refused."""

StoryTask = Literal[
    "questions",
    "summaries",
    "order",
    "continuation",
    "jobs",
    "statements",
    "spans",
    "roles",
    "translation",
]

OUTSIDE = "O"
"""The label of a word that is part of nothing that is looked for."""


class Example(NamedTuple):
    """One example.

    Attributes:
        text: What is read; where every word has a label, words with one space between them.
        target: What is to be written, a label, a number, the words of a span, or the labels of the
            words with one space between them.
        pair: A second text, such as a question; empty where there is none.
        start: Character of the text at which the span begins; -1 where the target is no span.
    """

    text: str
    target: str
    pair: str = ""
    start: int = -1


@dataclass(frozen=True)
class Task:
    """Examples to learn from and examples to be measured on.

    Attributes:
        name: For records and reports.
        kind: What is to be found.
        train: Examples to learn from.
        test: Examples to be measured on.
    """

    name: str
    kind: Kind
    train: list[Example]
    test: list[Example]

    @property
    def labels(self) -> list[str]:
        """The labels of texts or words, in the order of the alphabet."""
        every = (*self.train, *self.test)
        return sorted({label for example in every for label in labels_of(example, self.kind)})


def labels_of(example: Example, kind: Kind) -> list[str]:
    """The labels of an example: that of the text or those of its words; none in other tasks."""
    if kind == "tokens":
        return example.target.split(" ")
    return [example.target] if kind == "classification" else []


# -- tasks made from stories --------------------------------------------------------------------

STATEMENTS = (  # {Z} is the same character where the statement is true, the other where it is not
    "{X.name}'s {item} was {Z.colour}.",
    "{X.name} was a {Z.job}.",
    "{X.name} lived {Z.where}.",
    "{X.name} had {Z.count} {things}.",
)


def _question(told: Story, random: np.random.Generator) -> Example:
    asked = _one(questions(told), random)
    return Example(f"{told.text} {asked.text}", asked.answer)


def _span(told: Story, random: np.random.Generator) -> Example:
    asked = _one(questions(told), random)
    places = re.finditer(rf"\b{asked.answer}\b", told.text)  # every answer stands in its story
    return Example(told.text, asked.answer, asked.text, next(places).start())


def _job(told: Story, random: np.random.Generator) -> Example:
    person = _one(told.facts[:2], random)
    return Example(told.text, person.job, person.name)


def _statement(told: Story, random: np.random.Generator) -> Example:
    facts = told.facts
    x, other = (facts.first, facts.second) if random.random() < 0.5 else facts[1::-1]
    true = bool(random.random() < 0.5)
    line = _one(STATEMENTS, random)
    said = line.format(X=x, Z=x if true else other, item=facts.item, things=facts.things)
    return Example(told.text, "true" if true else "false", said)


def _roles(told: Story, _: np.random.Generator) -> Example:
    named, words = _names(told.facts), told.text.split()
    bare = (re.sub(r"^\W+|('s)?\W*$", "", word).lower() for word in words)
    return Example(" ".join(words), " ".join(named.get(word, OUTSIDE) for word in bare))


def _names(facts: Facts) -> dict[str, str]:
    """What the words of a story stand for: an attribute of which character, or what both have."""
    kinds = ("name", "job", "place", "colour", "count")
    people = {"first": facts.first, "second": facts.second}
    named = {
        getattr(person, kind).lower(): f"{who}.{kind}"
        for who, person in people.items()
        for kind in kinds
    }
    return named | {facts.item: "item", facts.things: "things"}


def _translation(told: Story, random: np.random.Generator) -> Example:
    sentence = _one(told.parts(), random)
    return Example(translated(sentence), sentence)


def _one(options: Any, random: np.random.Generator) -> Any:
    return options[int(random.integers(len(options)))]


class Made(NamedTuple):
    """How examples of a task are made from stories, and how many there are unless told."""

    kind: Kind
    make: Callable[[Story, np.random.Generator], Example]
    train: int
    test: int


STORY_TASKS: dict[StoryTask, Made] = {
    "questions": Made("generation", _question, 500, 400),
    "summaries": Made("generation", lambda told, _: Example(told.text, summary(told)), 60, 400),
    "order": Made(
        "generation", lambda told, random: Example(shuffled(told, random).text, told.text), 300, 200
    ),
    "continuation": Made("generation", lambda told, _: Example(*continuation(told)), 300, 200),
    "jobs": Made("classification", _job, 500, 400),
    "statements": Made("classification", _statement, 1000, 400),
    "spans": Made("span", _span, 500, 400),
    "roles": Made("tokens", _roles, 300, 200),
    "translation": Made("generation", _translation, 1000, 400),
}
"""The tasks by name: question answering, summaries of one line, sentences back in their order, the
story after its first sentence, the job of a character out of all jobs, whether a statement is true,
the answer as a span of the story, which attribute of which character every word names, and a
sentence from the invented language."""


@component(version="1", requires=("numpy",))
def story_task(
    *,
    name: StoryTask,
    train: PositiveInt | None = None,
    test: PositiveInt | None = None,
    seed: Seed,
) -> Task:
    """Make a task from stories that no corpus holds; each example has a story of its own.

    Args:
        name: What is asked, see `STORY_TASKS`.
        train: Examples to learn from; as many as `STORY_TASKS` says if not given.
        test: Examples to be measured on; likewise.
        seed: Seed of the stories and of what is asked about them.
    """
    made = STORY_TASKS[name]
    learned, measured = train or made.train, test or made.test

    def example(index: int) -> Example:
        return made.make(story(seed, index), np.random.default_rng([seed, index, 1]))

    every = [example(index) for index in range(learned + measured)]
    return Task(name, made.kind, every[:learned], every[learned:])


# -- tasks of one's own -------------------------------------------------------------------------

COLUMNS: dict[Kind, tuple[str, ...]] = {
    "generation": ("source", "target"),
    "classification": ("text", "label"),
    "regression": ("text", "label"),
    "span": ("text", "question", "answer"),
    "tokens": ("words", "labels"),
}
"""Columns that a file must have."""
OPTIONAL = ("pair", "start")
"""Columns that it may have: a second text, and the character at which a span begins."""


@component(version="1")
def read_task(*, train: File, test: File, kind: Kind, name: str = "own") -> Task:
    """Read a task from two files.

    ``.csv`` with a header or ``.jsonl`` with one object on each line, UTF-8. Columns:
    ``source,target`` for generation; ``text,label`` for classification and regression, with an
    optional ``pair``; ``text,question,answer`` for spans, with an optional ``start``, the character
    of the text at which the answer begins (its first place if not given). ``words,labels`` for
    tokens, lists of equal length, so in ``.jsonl`` only: ``{"words": ["Anna", "ran"], "labels":
    ["B-person", "O"]}``.

    Args:
        train: Examples to learn from.
        test: Examples to be measured on.
        kind: What is to be found.
        name: For records and reports.

    Raises:
        DataError: If a file, line, label, number or span is not what it should be.
    """
    learned, measured = (list(_examples(path, kind)) for path in (train, test))
    if kind in ("classification", "tokens"):
        known = {label for _, example in learned for label in labels_of(example, kind)}
        if len(known) < 2:
            raise DataError("holds one label only", where=printable(train), accepted="two or more")
        for place, example in measured:
            for label in labels_of(example, kind):
                if label not in known:
                    raise DataError(
                        f"label {label!r} is not in {printable(train.name)}", where=place,
                        next=did_you_mean(label, known),
                    )  # fmt: skip
    return Task(name, kind, [e for _, e in learned], [e for _, e in measured])


def _examples(path: Path, kind: Kind) -> Iterator[tuple[str, Example]]:
    """Examples of a file with the place of each."""
    accepted = [".jsonl"] if kind == "tokens" else [".csv", ".jsonl"]
    if path.suffix.lower() not in accepted:
        raise DataError(f"{path.suffix or 'no suffix'} is not read", where=printable(path),
                        accepted=" or ".join(accepted))  # fmt: skip
    empty = True
    for number, row in read_rows(path, COLUMNS[kind], OPTIONAL):
        empty = False
        place = f"{printable(path)}:{number}"
        yield place, _labelled(row, place) if kind == "tokens" else _example(row, kind, place)
    if empty:
        raise DataError("holds no examples", where=printable(path))


def _labelled(row: Mapping[str, Any], place: str) -> Example:
    """Words and their labels."""
    words, labels = (row[column] for column in COLUMNS["tokens"])
    for column, given in (("words", words), ("labels", labels)):
        if not isinstance(given, list) or not given or not all(map(_is_word, given)):
            raise DataError(f"{column!r} is {short(given)}", where=place,
                            accepted="a list of texts without white space")  # fmt: skip
        require_whole(" ".join(given), place)
    if len(words) != len(labels):
        raise DataError(f"{len(words)} words and {len(labels)} labels", where=place,
                        accepted="one label for each word")  # fmt: skip
    return Example(" ".join(words), " ".join(labels))


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value.split() == [value]


def _example(row: Mapping[str, Any], kind: Kind, place: str) -> Example:
    texts = [_text(row, column, place) for column in COLUMNS[kind]]
    if kind == "span":
        text, question, answer = texts
        return Example(text, answer, question, _start(row, text, answer, place))
    text, target = texts
    if kind == "regression":
        _number(target, place)
    return Example(text, target, str(row.get("pair") or ""))


def _text(row: Mapping[str, Any], column: str, place: str) -> str:
    value = row[column]
    if isinstance(value, int | float) and column == "label":
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{column!r} is {'blank' if value in ('', None) else repr(value)}",
                        where=place, accepted="a text")  # fmt: skip
    require_whole(value, place)
    return value


def _number(target: str, place: str) -> None:
    try:
        finite = bool(np.isfinite(float(target)))
    except ValueError:
        finite = False
    if not finite:
        raise DataError(f"label {target!r} is not a number", where=place)


def _start(row: Mapping[str, Any], text: str, answer: str, place: str) -> int:
    given = row.get("start")
    if given in (None, ""):
        if (first := text.find(answer)) < 0:
            raise DataError(f"the answer {answer!r} is not in the text", where=place)
        return first
    try:
        start = int(str(given))
    except ValueError as error:
        raise DataError(f"'start' is {given!r}", where=place, accepted="a whole number") from error
    if start < 0 or not text.startswith(answer, start):
        raise DataError(f"the answer {answer!r} does not begin at character {start}", where=place,
                        next="Count characters from 0, or leave `start` out.")  # fmt: skip
    return start
