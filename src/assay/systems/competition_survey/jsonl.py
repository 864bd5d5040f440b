"""Answers as JSON lines: one respondent each, read back exactly as they were written."""

import json
import math
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from assay.errors import DataError
from assay.systems.competition_survey.answers import (
    ANSWERS,
    LONGEST_SECONDS,
    RESPONDENTS,
    STATUSES,
    Answers,
    read_text,
    tables,
)
from assay.systems.competition_survey.handing_on import write_private

OPAQUE, HASH = re.compile(r"[0-9A-Za-z_-]{1,32}"), re.compile(r"[0-9a-f]{64}|")
__all__ = ["from_jsonl", "read_jsonl", "to_jsonl", "write_jsonl"]


def to_jsonl(answers: Answers) -> Iterator[str]:
    """One line for each respondent, without its end."""
    grouped: dict[str, list[list[str]]] = {}
    for respondent, *rest in answers.answers[list(ANSWERS)].itertuples(index=False, name=None):
        grouped.setdefault(respondent, []).append(rest)
    for row in answers.respondents[list(RESPONDENTS)].itertuples(index=False, name=None):
        said: dict[str, Any] = dict(zip(RESPONDENTS, row, strict=True))
        said["seconds"] = None if math.isnan(said["seconds"]) else said["seconds"]
        said["answers"] = grouped.get(said["respondent"], [])
        yield json.dumps(said, ensure_ascii=False)


def from_jsonl(lines: Iterable[str], where: str) -> Answers:
    """The inverse of `to_jsonl`.

    Raises:
        DataError: With the line, if one is not what it should be.
    """
    people: list[tuple[Any, ...]] = []
    values: list[tuple[Any, ...]] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{where} line {number}"
        said = _line(line, place)
        key = said["respondent"]
        if key in seen:
            raise DataError(f"respondent {key!r} is there since line {seen[key]}", where=place)
        seen[key] = number
        seconds = math.nan if said["seconds"] is None else float(said["seconds"])
        people.append((*(said[name] for name in RESPONDENTS[:-1]), seconds))
        values += [(key, *answer) for answer in said["answers"]]
    return tables(people, values)


def write_jsonl(answers: Answers, path: Path) -> None:
    """Write a file for its owner alone, in one step: all of it or what was there before."""
    write_private(path, "".join(f"{line}\n" for line in to_jsonl(answers)))


def read_jsonl(path: Path) -> Answers:
    """Read a file that `write_jsonl` wrote.

    Raises:
        DataError: With the line, if it is none.
    """
    return from_jsonl(read_text(path).split("\n"), str(path))


def _line(line: str, where: str) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError("is not JSON", where=where, accepted="a line of an export") from error
    needed = (*RESPONDENTS, "answers")
    if not isinstance(said, dict) or set(said) != set(needed):
        raise DataError("is not a respondent", where=where, accepted=", ".join(needed))
    texts = [said[name] for name in RESPONDENTS[:-1]]
    number = said["seconds"]
    right = (
        all(isinstance(text, str) for text in texts)
        and (number is None or (type(number) in (int, float) and 0 <= number <= LONGEST_SECONDS))
        and isinstance(said["answers"], list)
        and all(
            isinstance(a, list) and len(a) == 3 and all(isinstance(t, str) for t in a)
            for a in said["answers"]
        )
    )
    if not right or said["status"] not in STATUSES:
        raise DataError(
            "has a value of another kind",
            where=where,
            accepted="texts, seconds up to 1e9, and answers [question, row, value]",
        )
    if not OPAQUE.fullmatch(said["respondent"]) or not HASH.fullmatch(said["instrument"]):
        raise DataError(
            "'respondent' or 'instrument' is none",
            where=where,
            accepted="letters and digits, 32 at most, and a SHA-256 or nothing",
        )
    if "\\u" in line and not all(map(_is_text, (*texts, *chain.from_iterable(said["answers"])))):
        raise DataError("holds characters that are no text", where=where)
    return said


def _is_text(text: str) -> bool:
    """Whether a database takes it: JSON can spell what UTF-8 cannot."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)
