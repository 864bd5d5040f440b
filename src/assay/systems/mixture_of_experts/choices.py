"""Multiple-choice tasks, and one of classes: sets made from stories, and a reader for one's own.

A choice is a prompt, options that go on from it or fill its blank, and the number of the right one.
What is scored is told by the task, see `priming`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import PositiveInt

from assay.core.component import File, Seed, component
from assay.core.records import Key, Records
from assay.errors import DataError
from assay.parts.text.rows import require_whole
from assay.parts.text.stories import Story, questions, story
from assay.parts.text.tasks import Example, Task

__all__ = [
    "BLANK",
    "STORY_CHOICES",
    "Choice",
    "Choices",
    "marked",
    "read_choices",
    "story_choices",
    "story_garments",
]

BLANK = "_"
Scoring = Literal["mean", "unconditional", "suffix"]
"""Mean log-probability per token of the option; the log-probability of the option less that after
an empty prompt; the mean per token of what follows the blank."""
StoryChoice = Literal["endings", "questions", "blanks"]


class Choice(NamedTuple):
    """One example.

    Attributes:
        prompt: What is read first, or a text with a blank; a line break ends a paragraph.
        options: Texts that may follow, or fill the blank.
        answer: Number of the right one, from 0.
    """

    prompt: str
    options: list[str]
    answer: int


@dataclass(frozen=True)
class Choices:
    """A task of multiple choice.

    Attributes:
        name: For records and reports.
        scoring: How options are compared.
        train: Examples that demonstrations are drawn from.
        test: Examples that are measured.
    """

    name: str
    scoring: Scoring
    train: list[Choice]
    test: list[Choice]

    @property
    def chances(self) -> np.ndarray:
        """How often guessing is right ``[test]``: one over the number of options."""
        return np.array([1 / len(choice.options) for choice in self.test])


def marked(correct: np.ndarray, chances: np.ndarray, **keys: Key) -> Records:
    """Examples that were answered, as records.

    Args:
        correct: Whether each was right, or how often ``[examples]``, in [0, 1].
        chances: How often saying something regardless is right ``[examples]``, in [0, 1].
        keys: What the records belong to.

    Returns:
        Of each ``item``, counted from 0, ``correct`` and ``above_chance``, by how much that is more
        than guessing; and over all the ``accuracy`` and the ``chance``.
    """
    records = Records()
    for item, (share, chance) in enumerate(zip(correct, chances, strict=True)):
        records.add("correct", share, "1", item=item, **keys)
        records.add("above_chance", share - chance, "1", item=item, **keys)
    records.add("accuracy", correct.mean(), "1", **keys)
    records.add("chance", chances.mean(), "1", **keys)
    return records


class Made(NamedTuple):
    """How a choice is made from stories number 3k, 3k + 1 and 3k + 2, and how it is scored."""

    scoring: Scoring
    make: Callable[[list[Story], np.random.Generator], Choice]


def _ending(told: list[Story], random: np.random.Generator) -> Choice:
    """The last sentence of this story, or of another one."""
    *begun, last = told[0].parts()
    options = [last, *(other.parts()[-1] for other in told[1:])]
    return _shuffled(" ".join(begun), options, random)


def _question(told: list[Story], random: np.random.Generator) -> Choice:
    """One attribute of one character, beside the same attribute of the other."""
    asked = questions(told[0])
    number = int(random.integers(len(asked)))
    half = len(asked) // 2
    right, wrong = asked[number], asked[(number + half) % len(asked)]
    prompt = f"{told[0].text}\nQuestion: {right.text}\nAnswer:"
    return _shuffled(prompt, [right.answer, wrong.answer], random)


def _blank(told: list[Story], random: np.random.Generator) -> Choice:
    """Which of the two is meant, judged by what follows the name."""
    facts = told[0].facts
    person, other = facts.first, facts.second
    if random.random() < 0.5:
        person, other = other, person
    rest = f"was the {person.job} in the {person.colour} {facts.item}."
    return _shuffled(f"{told[0].text} {BLANK} {rest}", [person.name, other.name], random)


def _shuffled(prompt: str, options: list[str], random: np.random.Generator) -> Choice:
    """A choice whose first option is right, with its options in random order."""
    order = random.permutation(len(options)).tolist()
    return Choice(prompt, [options[k] for k in order], order.index(0))


STORY_CHOICES: dict[StoryChoice, Made] = {
    "endings": Made("mean", _ending),
    "questions": Made("unconditional", _question),
    "blanks": Made("suffix", _blank),
}
"""The tasks by name: the last sentence among three, an attribute of one of two characters, and the
name of whom the rest of a sentence is true. Each is scored in another of the three ways."""


@component(version="1", requires=("numpy",))
def story_choices(
    *, name: StoryChoice, train: PositiveInt = 100, test: PositiveInt = 400, seed: Seed
) -> Choices:
    """Make a task of multiple choice from stories that no corpus holds.

    Args:
        name: What is to be chosen, see `STORY_CHOICES`.
        train: Examples that demonstrations are drawn from.
        test: Examples to be measured on.
        seed: Seed of the stories and of what is asked about them.
    """
    made = STORY_CHOICES[name]

    def choice(index: int) -> Choice:
        told = [story(seed, 3 * index + k) for k in range(3)]
        return made.make(told, np.random.default_rng([seed, index, 2]))

    every = [choice(index) for index in range(train + test)]
    return Choices(name, made.scoring, every[:train], every[train:])


@component(version="1", requires=("numpy",))
def story_garments(*, train: PositiveInt = 300, test: PositiveInt = 200, seed: Seed) -> Task:
    """Make a task of classes: which of ten garments the two characters of a story wear.

    A story names one garment, once or more, and no other.

    Args:
        train: Examples to learn from.
        test: Examples to be measured on.
        seed: Seed of the stories.
    """
    told = [story(seed, index) for index in range(train + test)]
    every = [Example(each.text, each.facts.item) for each in told]
    return Task("garments", "classification", every[:train], every[train:])


@component(version="1")
def read_choices(
    *, train: File, test: File, scoring: Scoring = "mean", name: str = "own"
) -> Choices:
    """Read a task of multiple choice: JSON lines with ``prompt``, ``options`` and ``answer``.

    Args:
        train: Examples that demonstrations are drawn from.
        test: Examples to be measured on.
        scoring: How options are compared; ``suffix`` needs a blank, ``_``, in every prompt.
        name: For records and reports.

    Raises:
        DataError: If a line is not what it should be.
    """
    return Choices(name, scoring, *(_read(path, scoring) for path in (train, test)))


def _read(path: Path, scoring: Scoring) -> list[Choice]:
    found = []
    with path.open(encoding="utf-8") as lines:
        try:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    found.append(_choice(line, scoring, f"{path}:{number}"))
        except UnicodeDecodeError as error:
            raise DataError("is not UTF-8", where=str(path),
                            next="Convert it with `iconv -t utf-8`.") from error  # fmt: skip
    if not found:
        raise DataError("holds no examples", where=str(path))
    return found


def _choice(line: str, scoring: Scoring, place: str) -> Choice:
    wanted = '{"prompt": TEXT, "options": [TEXT, TEXT, ...], "answer": NUMBER FROM 0}'
    try:
        row: Any = json.loads(line)
        prompt, options, answer = row["prompt"], row["options"], row["answer"]
    except (ValueError, RecursionError, LookupError, TypeError) as error:
        raise DataError("is not an example", where=place, accepted=wanted) from error
    texts = [prompt, *options] if isinstance(options, list) else []
    if len(texts) < 3 or not all(isinstance(text, str) and text.strip() for text in texts):
        raise DataError("a prompt or option is missing or blank", where=place, accepted=wanted)
    for text in texts:
        require_whole(text, place)
    if len({*options}) < len(options):
        raise DataError("two options are alike", where=place, accepted=wanted)
    if isinstance(answer, bool) or answer not in range(len(options)):
        raise DataError(f"answer {answer!r}", where=place, accepted=f"0 to {len(options) - 1}")
    if scoring == "suffix" and prompt.count(BLANK) != 1:
        raise DataError(f"{prompt.count(BLANK)} blanks in the prompt", where=place,
                        accepted=f"one {BLANK!r}, which the options fill")  # fmt: skip
    return Choice(prompt, options, int(answer))
