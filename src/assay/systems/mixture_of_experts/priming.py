"""Zero-shot and few-shot choices: a model picks among options without being trained to.

The rules are those of the group's evaluator. Demonstrations, and lines within a prompt, are joined
by ``</s>``, which is what a line break was to the published models. A decoder trained here knows it
as the end of a document, so it begins anew after each demonstration, but not between two lines.

Every option is put into the prompt and the whole is made into tokens; what all options begin with
is the prefix, and the rest is scored: as a mean per token; less its log-probability after a prompt
that says nothing; or, for a blank within the prompt, by what follows the blank. A prompt that is
too long loses its beginning.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from pydantic import Field, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.core.task import task as running_step
from assay.errors import DataError, ParameterError
from assay.systems.mixture_of_experts.choices import BLANK, Choice, Choices, marked

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from assay.parts.text.scoring import Question

__all__ = ["filled", "gained", "prime", "questions_of", "tokens_of"]

AT_ONCE = 50  # examples
NOTHING = "Answer:"
"""The prompt that says nothing, after which an option is worth what it is worth anyway."""


@component(version="1", requires=("numpy", "tokenizers", "torch", "transformers"))
def prime(
    model: Path,
    task: Choices,
    *,
    shots: Annotated[int, Field(ge=0, le=256)] = 0,
    runs: PositiveInt = 5,
    seed: Seed,
) -> Records:
    """Let a model choose, after as many demonstrations as asked for.

    Args:
        model: Folder of a decoder with its tokenizer.
        task: The choices.
        shots: Demonstrations in front of each prompt, drawn from the examples to learn from.
        runs: Draws of demonstrations, each over all examples; without demonstrations there is one.
        seed: Seed of the demonstrations.

    Returns:
        What `choices.marked` makes of the examples, each counted right in a share of the runs, and
        ``cut_prompts``, the share of prompts that lost their beginning; with keys ``task`` and
        ``shots``.

    Raises:
        ParameterError: If there are fewer examples than demonstrations.
        DataError: If an option alone is longer than the model reads, or the model answers NaN.
    """
    from assay.parts.text.tokenizer import load_tokenizer
    from assay.parts.training.torch_state import own_threads
    from assay.systems.mixture_of_experts.folders import NEEDED, load_decoder

    if shots > len(task.train):
        raise ParameterError(
            f"{shots} demonstrations of {len(task.train)} examples", where=f"task {task.name}"
        )
    random, correct, cut = np.random.default_rng(seed), np.zeros(len(task.test)), 0
    draws = runs if shots else 1
    with own_threads(running_step().threads):
        net, words = load_decoder(model), load_tokenizer(model, NEEDED)
        for run in range(draws):
            shown = [
                [task.train[k] for k in random.permutation(len(task.train))[:shots]]
                for _ in task.test
            ]
            for begin in range(0, len(task.test), AT_ONCE):
                part = slice(begin, begin + AT_ONCE)
                chosen, shortened = _choose(net, words, task, task.test[part], shown[part])
                correct[part] += chosen == [choice.answer for choice in task.test[part]]
                cut += shortened
                done = run * len(task.test) + min(part.stop, len(task.test))
                running_step().progress(done, draws * len(task.test), "prompts")
    keys: dict[str, str | int] = {"task": task.name, "shots": shots}
    records = marked(correct / draws, task.chances, **keys)
    records.add("cut_prompts", cut / (draws * len(task.test)), "1", **keys)
    return records


@component(version="1")
def gained(before: Records, after: Records) -> Records:
    """What demonstrations or training add to what a model picks rightly, example by example.

    Args:
        before: What was found without, with ``correct`` of each ``task`` and ``item``.
        after: What was found with, of the same examples.

    Returns:
        ``gain``: ``correct`` after less ``correct`` before, with the keys of ``after``.

    Raises:
        DataError: If the examples are not the same.
    """
    was = {(row["task"], row["item"]): row["value"] for row in _correct(before)}
    now = {(row["task"], row["item"]): row for row in _correct(after)}
    if set(was) != set(now):
        raise DataError(
            f"{len(set(was) ^ set(now))} examples on one side only", where="gain",
            accepted="the same examples before and after",
        )  # fmt: skip
    change = {example: row["value"] - was[example] for example, row in now.items()}
    return Records(now[k] | {"measure": "gain", "value": value} for k, value in change.items())


def _correct(records: Records) -> list[dict[str, Any]]:
    return [row for row in records if row["measure"] == "correct"]


def tokens_of(words: "PreTrainedTokenizerFast", text: str) -> list[int]:
    """A text as ids, a line break as ``</s>``."""
    end: Any = words.eos_token_id
    lines = words(text.split("\n"), add_special_tokens=False)["input_ids"]
    ids = list(lines[0])
    for line in lines[1:]:
        ids += [end, *line]
    return ids


class Asked(NamedTuple):
    """Questions that belong to one choice, and whether its prompt lost its beginning."""

    questions: "list[Question]"
    cut: bool


def questions_of(
    words: "PreTrainedTokenizerFast",
    task: Choices,
    choice: Choice,
    shown: Sequence[Choice],
    most: int,
) -> Asked:
    """What is scored for one choice.

    Args:
        words: The tokenizer.
        task: The task it belongs to.
        choice: The choice.
        shown: Demonstrations.
        most: Positions of the model.

    Returns:
        One question whose options are the options, with a second for the prompt that says nothing
        where the task asks for it; for what follows a blank one question for each option.

    Raises:
        DataError: If an option alone is longer than the model reads.
    """
    from assay.parts.text.scoring import Question, split_question

    begin: Any = words.bos_token_id
    before = "".join(f"{filled(task, each, each.options[each.answer])}\n" for each in shown)
    if task.scoring == "suffix":
        head, _, tail = choice.prompt.partition(BLANK)
        suffix = tokens_of(words, tail)
        heads = [tokens_of(words, before + head + option) for option in choice.options]
        room = _room(most, len(suffix), task.name)
        asked = [Question([begin, *each[-room:]], [suffix]) for each in heads]
        return Asked(asked, max(map(len, heads)) > room)
    texts = [before + filled(task, choice, option) for option in choice.options]
    prefix, options = split_question([tokens_of(words, text) for text in texts])
    room = _room(most, max(map(len, options)), task.name)
    asked = [Question([begin, *prefix[-room:]], options)]
    if task.scoring == "unconditional":
        alone = [tokens_of(words, f"{NOTHING} {option}") for option in choice.options]
        shared, options = split_question(alone)
        asked.append(Question([begin, *shared], options))
    return Asked(asked, len(prefix) > room)


def _room(most: int, longest: int, name: str) -> int:
    """Tokens of a prefix that fit before the longest option, after ``<s>``."""
    if longest > most - 2:
        raise DataError(
            f"an option of {longest} tokens", where=f"task {name}",
            accepted=f"at most {most - 2}, which is what the model reads but for two",
        )  # fmt: skip
    return most - 1 - longest


def filled(task: Choices, choice: Choice, option: str) -> str:
    """The prompt of a choice with an option in its blank, or behind it."""
    if task.scoring == "suffix":
        return choice.prompt.replace(BLANK, option)
    return f"{choice.prompt} {option}"


def _choose(
    net: "PreTrainedModel",
    words: "PreTrainedTokenizerFast",
    task: Choices,
    choices: Sequence[Choice],
    shown: Sequence[Sequence[Choice]],
) -> tuple[np.ndarray, int]:
    """Number of the option picked for each choice, and how many prompts were cut."""
    from assay.parts.text.scoring import score

    most = net.config.max_position_embeddings
    asked = [questions_of(words, task, *pair, most) for pair in zip(choices, shown, strict=True)]
    scores = iter(score(net, [question for each in asked for question in each.questions]))
    picked = []
    for each in asked:
        found = [next(scores) for _ in each.questions]
        if task.scoring == "unconditional":
            values = found[0].log_probability - found[1].log_probability
        elif task.scoring == "suffix":
            values = np.array([score.per_token[0] for score in found])
        else:
            values = found[0].per_token
        picked.append(int(values.argmax()))
    return np.array(picked), sum(each.cut for each in asked)
