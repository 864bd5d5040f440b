"""Made-up stories: text for language experiments that needs no download and has known answers.

Notable in this file: two characters have attributes of the same four kinds (colour, job, place,
count), each named two or three times in different words, so a masked word, a length, an order and
a question all have something to be inferred from, and the other character is always the
distractor. Story number i is a function of the seed and i alone.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import PositiveInt

from assay.core.component import Seed, component
from assay.core.task import task
from assay.parts.text.documents import Document, write_documents

__all__ = [
    "QUESTION_KINDS",
    "Facts",
    "Person",
    "Question",
    "Story",
    "continuation",
    "questions",
    "shuffled",
    "stories",
    "story",
    "summary",
    "translated",
]

# -- words --------------------------------------------------------------------------------------

WOMEN = (
    "Agnes Anna Clara Elsa Emma Frida Greta Ida Julia Laura Lena Maria Nora Olga Rosa Sara Tessa "
    "Vera Wilma Zoe"
).split()
MEN = (
    "Adam Anton Ben Carl David Emil Felix Georg Hugo Ivan Jonas Leo Martin Noah Oskar Paul Simon "
    "Theo Victor Walter"
).split()
WORK = (
    "baker bake bread|barber cut hair|beekeeper sell honey|blacksmith forge iron|"
    "carpenter build tables|doctor heal the sick|farmer grow wheat|gardener plant roses|"
    "librarian lend books|miller grind flour|painter paint pictures|potter shape clay|"
    "sailor steer ships|shepherd guard sheep|singer sing songs|tailor sew clothes|"
    "teacher teach children|watchmaker mend clocks|weaver weave cloth"
)
JOBS = {noun: act for noun, _, act in (line.partition(" ") for line in WORK.split("|"))}
WHERE = (
    "near the bridge|along the canal|below the castle|behind the church|on the coast|in the forest|"
    "at the harbour|on the hill|on the island|by the lake|near the market|beyond the meadow|"
    "beside the mill|across the river|opposite the school|near the station|under the tower|"
    "in the valley"
)
PLACES = {where.rpartition(" ")[2]: where for where in WHERE.split("|")}
COLOURS = "black blue brown gold green grey orange pink purple red white yellow".split()
COUNTS = "two three four five six seven eight nine ten eleven twelve".split()
ITEMS = "apron cap cloak coat hat jacket scarf shawl shirt sweater".split()
THINGS = (
    "apples bells buttons candles coins cups eggs feathers keys lemons letters marbles nuts "
    "onions pears plums ribbons shells spoons stamps stones tickets tulips"
).split()
KIN = "friend,old friend,cousin,pen friend,uncle|aunt,brother|sister,nephew|niece".split(",")
TIMES = (
    "One morning|One day|One afternoon|On Monday|On Tuesday|On Friday|On Saturday|In spring|"
    "In autumn|Last winter|Last summer|After lunch"
).split("|")
GOT = "bought found collected chose packed received brought ordered".split()

# -- sentences: {X} and {Y} are the characters in either order, `|` separates sentences ---------

FIRST = (
    "{X.name} was a {X.job} {X.where}.",
    "{X.name}, a {X.job}, lived {X.where}.",
    "{X.where} lived a {X.job} called {X.name}.",
    "A {X.job} named {X.name} lived {X.where}.",
)
SECOND = (
    "{X.their} {kin} {Y.name} was a {Y.job} {Y.where}.",
    "{Y.name}, {X.their} {kin}, was a {Y.job} {Y.where}.",
    "{Y.where} lived {X.their} {kin} {Y.name}, a {Y.job}.",
    "{X.their} {kin} {Y.name}, a {Y.job}, lived {Y.where}.",
)
COLOUR = (
    "{X.name}'s {item} was {X.colour}, but {Y.name}'s was {Y.colour}.",
    "{X.they} wore {X.a_colour} {item} and {Y.they} {Y.a_colour} one.",
    "{X.name} had {X.a_colour} {item}, but {Y.name} {Y.a_colour} one.",
    "{X.they} loved {X.their} {X.colour} {item}, and {Y.they} {Y.their} {Y.colour} one.",
)
COUNT = (
    "{time} {X.they} {got} {X.count} {things} and {Y.they} {Y.count}.",
    "{time} {X.name} {got} {X.count} {things} and {Y.name} {Y.count}.",
    "{time} {X.name} had {X.count} {things}, but {Y.name} had {Y.count}.",
)
COUNT_JOB = (
    "{time} the {X.job} {got} {X.count} {things} and the {Y.job} {Y.count}.",
    "{time} {X.count} {things} came for the {X.job} and {Y.count} for the {Y.job}.",
    "{time} the {X.job} had {X.count} {things}, but the {Y.job} had {Y.count}.",
)
ASK_COUNT = (
    '"How many {things} do you have?" asked {Y.name}.|'
    '"{X.count}," said {X.name}, "and you have {Y.count}."',
    '"Are these {Y.count} {things} yours?" asked {X.name}.|'
    '"Yes," said {Y.name}, "and those {X.count} are yours."',
    '"Who has more {things}?" asked {X.name}.|'
    '"You have {X.count} and I have {Y.count}," said {Y.name}.',
)
ASK_PLACE_JOB = (
    '"Where are you going?" asked the {Y.job}.|'
    '"To the {X.place}," said the {X.job}, "and you to the {Y.place}."',
    '"Is the {X.place} far?" asked the {Y.job}.|'
    '"No," said the {X.job}, "the {Y.place} is farther."',
    '"Will you come to the {Y.place}?" asked the {Y.job}.|'
    '"Come to the {X.place} first," said the {X.job}.',
)
ASK_JOB = (
    '"What do you do?" asked {Y.name}.|"I {X.act}," said {X.name}, "and you {Y.act}."',
    '"Do you still {Y.act}?" asked {X.name}.|"Yes, and you still {X.act}," said {Y.name}.',
    '"Is it hard to {X.act}?" asked {Y.name}.|"No," said {X.name}, "it is harder to {Y.act}."',
)
MISHAP = (  # colour and count again
    "Rain fell, so {X.name} hid the {X.count} {things} under the {X.colour} {item}.|"
    "{Y.they} hid {Y.count} under the {Y.colour} one.",
    "{X.name} fell, tore the {X.colour} {item} and dropped the {X.count} {things}.|"
    "So {Y.they} wrapped {Y.count} in the {Y.colour} one.",
    "The wind took the {X.colour} {item}, and the {X.count} {things} fell out.|"
    "So {Y.they} tied {Y.count} up in the {Y.colour} one.",
    "A cart splashed mud on the {X.colour} {item} and the {X.count} {things}.|"
    "Luckily {Y.their} {Y.count} were under the {Y.colour} one.",
)
LEAVE = (  # colour and place again
    "A storm came, so {X.they} ran home to the {X.place} in {X.colour}.|"
    "{Y.they} followed in {Y.colour} to the {Y.place}.",
    "A dog stole the {X.colour} {item}, so {X.name} chased it to the {X.place}.|"
    "{Y.they} took the {Y.colour} one back to the {Y.place}.",
    "The wind blew the {X.colour} {item} to the {X.place}.|"
    "So {Y.name} held the {Y.colour} one until the {Y.place}.",
    "It grew cold, so {X.name} put on the {X.colour} {item} and ran to the {X.place}.|"
    "{Y.they} wore the {Y.colour} one back to the {Y.place}.",
)
CARRY = (  # colour, count and place again
    "A bag burst, so {X.they} took {X.count} {things} to the {X.place} in the {X.colour} {item}.|"
    "{Y.their} {Y.count} came to the {Y.place} in the {Y.colour} one.",
    "It was late, so {X.they} took {X.count} {things} to the {X.place}, dressed in {X.colour}.|"
    "{Y.they} brought {Y.count} to the {Y.place}, dressed in {Y.colour}.",
    "Rain fell, but the {X.colour} {item} kept {X.count} {things} dry until the {X.place}.|"
    "The {Y.colour} one kept {Y.count} dry as far as the {Y.place}.",
)
PLANS = (  # each names every attribute of both characters at least twice
    (FIRST, SECOND, COLOUR, COUNT_JOB, ASK_COUNT, LEAVE),
    (FIRST, SECOND, COLOUR, COUNT, MISHAP, ASK_PLACE_JOB),
    (FIRST, SECOND, COUNT, COLOUR, ASK_JOB, CARRY),
)
SUMMARY = {  # by whether the first character is a woman; the second always comes first
    True: "Over some {things}, the {Y.job} {Y.name} of the {Y.place} met a {X.job} of the "
    "{X.place}.",
    False: "A {Y.job} of the {Y.place} and the {X.job} {X.name} of the {X.place} had some "
    "{things}.",
}
ASKED = {  # kind: the question and its answer
    "colour": ("What colour was {X.name}'s {item}?", "{X.colour}"),
    "job": ("What was {X.name}'s job?", "{X.job}"),
    "place": ("Where did {X.name} live?", "{X.place}"),
    "count": ("How many {things} did {X.name} have?", "{X.count}"),
    "who by colour": ("Who had the {X.colour} {item}?", "{X.name}"),
    "who by job": ("Who was the {X.job}?", "{X.name}"),
    "who by place": ("Who lived {X.where}?", "{X.name}"),
}
QUESTION_KINDS = tuple(ASKED)
INTRODUCED = 2  # entries of a plan that introduce the characters in their order
LETTERS = str.maketrans(  # vowels for vowels, so that it can be spoken
    "aeiouAEIOUbcdfghjklmnpqrstvwxyzBCDFGHJKLMNPQRSTVWXYZ",
    "oiaueOIAUEgzbvdcmrpnstwxfklhyqjGZBVDCMRPNSTWXFKLHYQJ",
)
DRAWS = 64  # random numbers of one story, more than it takes


# -- what is told -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Person:
    """A character and what is true of it; the properties are other wordings of that."""

    name: str
    woman: bool
    job: str
    place: str
    colour: str
    count: str

    @property
    def act(self) -> str:
        """What the job does: ``bake bread``."""
        return JOBS[self.job]

    @property
    def where(self) -> str:
        """The place with its preposition."""
        return PLACES[self.place]

    @property
    def a_colour(self) -> str:
        """The colour with its article."""
        return f"{'an' if self.colour[0] in 'aeiou' else 'a'} {self.colour}"

    they = property(lambda self: "she" if self.woman else "he")
    them = property(lambda self: "her" if self.woman else "him")
    their = property(lambda self: "her" if self.woman else "his")


class Facts(NamedTuple):
    """What a story is about.

    Attributes:
        first: The character that is named first.
        second: The other, a man if the first is a woman and the reverse; no attribute is the same.
        item: The garment that both wear, each in a colour of its own.
        things: What both have, each a number of its own.
    """

    first: Person
    second: Person
    item: str
    things: str


class Story(NamedTuple):
    """One story.

    Attributes:
        text: The whole text; sentences are separated by one space.
        sentences: Character offsets where sentences begin; the first is 0. A quotation and its
            ``said Anna`` are one sentence, whatever marks stand inside.
        facts: What is true in it.
    """

    text: str
    sentences: tuple[int, ...]
    facts: Facts

    def parts(self) -> list[str]:
        """The sentences, without the spaces between them."""
        ends = [*(start - 1 for start in self.sentences[1:]), len(self.text)]
        return [self.text[a:b] for a, b in zip(self.sentences, ends, strict=True)]


class Question(NamedTuple):
    """A question about a story, and its one answer, a word that stands in the story."""

    kind: str
    text: str
    answer: str


def story(seed: int, index: int) -> Story:
    """Tell story number ``index`` of a seed, in about 80 words and marks.

    Args:
        seed: Not negative.
        index: Not negative; the same pair always gives the same story.

    Example:
        >>> story(0, 0).parts()[0]
        'Under the tower lived a baker called Frida.'
    """
    pick = _picker(seed, index)
    facts = _facts(pick)
    kin = pick(KIN).split("|")[-1 if facts.second.woman else 0]
    words = {"item": facts.item, "things": facts.things, "kin": kin}
    words |= {"time": pick(TIMES), "got": pick(GOT)}
    sentences: list[str] = []
    for number, entries in enumerate(pick(PLANS)):
        x, y = facts[:2]
        if number >= INTRODUCED and pick((False, True)):
            x, y = y, x
        sentences += pick(entries).format(X=x, Y=y, **words).split("|")
    return _joined([_capitalised(sentence) for sentence in sentences], facts)


def _picker(seed: int, index: int) -> Callable[[Sequence[Any]], Any]:
    """A function that takes one of several at random, by the random numbers of one story."""
    numbers = iter(np.random.default_rng([seed, index]).random(DRAWS).tolist())
    return lambda options: options[int(next(numbers) * len(options))]


def _facts(pick: Callable[[Sequence[Any]], Any]) -> Facts:
    """Two characters that differ in everything."""

    def two(options: Sequence[str]) -> tuple[str, str]:
        one = pick(options)
        return one, pick([option for option in options if option != one])

    woman_first = pick((False, True))
    names = (pick(WOMEN), pick(MEN)) if woman_first else (pick(MEN), pick(WOMEN))
    rest = [two([*words]) for words in (JOBS, PLACES, COLOURS, COUNTS)]
    first, second = zip(names, (woman_first, not woman_first), *rest, strict=True)
    return Facts(Person(*first), Person(*second), pick(ITEMS), pick(THINGS))


def _capitalised(sentence: str) -> str:
    """The sentence with its first letter large, also behind a quotation mark."""
    return re.sub("[A-Za-z]", lambda letter: letter[0].upper(), sentence, count=1)


def _joined(sentences: Sequence[str], facts: Facts) -> Story:
    starts = np.cumsum([0, *(len(sentence) + 1 for sentence in sentences[:-1])])
    return Story(" ".join(sentences), tuple(starts.tolist()), facts)


# -- what is asked of it ------------------------------------------------------------------------


def questions(told: Story) -> list[Question]:
    """All questions about a story: seven kinds about each of the two characters."""
    facts = told.facts
    words = {"item": facts.item, "things": facts.things}
    return [
        Question(kind, _capitalised(text.format(X=person, **words)), answer.format(X=person))
        for person in (facts.first, facts.second)
        for kind, (text, answer) in ASKED.items()
    ]


def summary(told: Story) -> str:
    """One line with six slots, in which one character goes by its job instead of its name.

    Who is told of first comes last, and the order of the slots depends on who that is, so that the
    line cannot be written by copying in order.
    """
    facts = told.facts
    line = SUMMARY[facts.first.woman]
    return _capitalised(line.format(X=facts.first, Y=facts.second, things=facts.things))


def shuffled(told: Story, random: np.random.Generator) -> Story:
    """The same sentences in another order."""
    parts, order = told.parts(), np.arange(len(told.sentences))
    while (order[:-1] < order[1:]).all():
        order = random.permutation(len(parts))
    return _joined([parts[k] for k in order], told.facts)


def continuation(told: Story) -> tuple[str, str]:
    """The first sentence, and the rest, which it hardly constrains."""
    first, *rest = told.parts()
    return first, " ".join(rest)


def translated(text: str) -> str:
    """A text in an invented language: other letters for every word, and clauses read backwards.

    Two words are never translated alike, and the original can be had back. A clause ends where
    anything but a space stands between two words.

    Example:
        >>> translated("Anna baked bread, and Ben slept.")
        'gxiob gorib Osso, fpitk Gis osb.'
    """
    clauses = re.compile("[A-Za-z']+(?: [A-Za-z']+)*")
    return clauses.sub(lambda clause: " ".join(clause[0].split(" ")[::-1]), text).translate(LETTERS)


# -- as a corpus --------------------------------------------------------------------------------


@component(version="1", requires=("numpy",))
def stories(*, count: PositiveInt, seed: Seed) -> Path:
    """Write a corpus of stories, sentences marked; about 80 tokens each.

    Args:
        count: Number of stories.
        seed: Seed of the stories; story number i does not depend on the count.
    """
    folder = task().scratch() / "corpus"
    write_documents(folder, _documents(count, seed))
    return folder


def _documents(count: int, seed: int) -> Iterator[Document]:
    for index in range(count):
        told = story(seed, index)
        yield Document(told.text, told.sentences, f"story {seed}:{index}")
        task().progress(index + 1, count, "stories")
