"""Questions as fields of a form: which apply, what was typed, and what is wrong with it.

Pure functions from an instrument and answers; nothing here knows of HTTP. Questions are gone
through in their order: one that does not apply is not asked, and what was said to it does not count
for those after it.
"""

import math
import re
from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

from assay.systems.competition_survey.instrument import Instrument, Question
from assay.systems.competition_survey.questions import OTHER
from assay.systems.competition_survey.show_if import shown

__all__ = [
    "UNANSWERED",
    "UNFINISHED",
    "Fault",
    "Section",
    "applying",
    "faults",
    "other_name",
    "read_section",
    "row_name",
    "sections",
    "submitted",
]

LONGEST = 10_000
UNANSWERED, UNFINISHED = "Please answer this", "Choose one option in each row"
DIGEST = re.compile(r"[0-9a-fA-F]{64}")
NUMBER = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?")
Form = Mapping[str, list[str]]


class Section(NamedTuple):
    """A section with the questions that are asked in it."""

    id: str
    title: str
    help: str
    questions: tuple[Question, ...]


class Fault(NamedTuple):
    """What keeps the answers from being submitted."""

    question: Question
    error: str


def sections(instrument: Instrument) -> list[Section]:
    """The sections in which something is asked, in order."""
    found = []
    for section in instrument.sections:
        asked = tuple(q for q in instrument.asked if q.section == section.id)
        if asked:
            found.append(Section(section.id, section.title, section.help, asked))
    return found


def applying(instrument: Instrument, values: Mapping[str, Any]) -> list[Question]:
    """The questions that apply to somebody who gave these answers."""
    found: list[Question] = []
    counted: dict[str, Any] = {}
    for question in instrument.asked:
        if question.show_if is None or shown(question.show_if, counted):
            found.append(question)
            if question.id in values:
                counted[question.id] = values[question.id]
    return found


def faults(instrument: Instrument, values: Mapping[str, Any]) -> list[Fault]:
    """What is missing or wrong among the answers that apply."""
    judged = [Fault(q, _judge(q, values)) for q in applying(instrument, values)]
    return [fault for fault in judged if fault.error]


def submitted(instrument: Instrument, values: Mapping[str, Any]) -> dict[str, Any]:
    """The answers that apply, with the words for `other` where it was chosen."""
    found: dict[str, Any] = {}
    for question in applying(instrument, values):
        value = values.get(question.id)
        if value is not None:
            found[question.id] = value
        chosen = value if isinstance(value, list) else [value]
        words = values.get(other_name(question))
        if question.other_text and OTHER in chosen and words is not None:
            found[other_name(question)] = words
    return found


def read_section(
    instrument: Instrument, section: Section, form: Form, before: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str], dict[str, Any]]:
    """Read the fields of one section.

    Args:
        instrument: The questions.
        section: The section sent.
        form: Its fields.
        before: Answers saved so far.

    Returns:
        The answers to save, None for what is taken back or does not apply, and nothing for what is
        typed wrong, so that what was saved before stays; what is wrong by question; and what was
        typed where it is wrong.
    """
    given: dict[str, Any] = {}
    typed: dict[str, Any] = {}
    for question in section.questions:
        given[question.id], given[other_name(question)] = _read(question, form)
    merged = {name: value for name, value in {**before, **given}.items() if value is not None}
    applied = {question.id for question in applying(instrument, merged)}
    wrong: dict[str, str] = {}
    for question in section.questions:
        names = (question.id, other_name(question))
        error = _judge(question, merged) if question.id in applied else ""
        if error:
            wrong[question.id] = error
            typed |= {name: given[name] for name in names if given[name] is not None}
        if error not in ("", UNANSWERED, UNFINISHED):
            given = {name: value for name, value in given.items() if name not in names}
    stays = {**before, **given}
    applied |= {question.id for question in applying(instrument, stays)}
    for question in section.questions:
        if question.id not in applied:
            given |= dict.fromkeys((question.id, other_name(question)))
    return given, wrong, typed


def other_name(question: Question) -> str:
    """The name under which the words for `other` are kept."""
    return f"{question.id}_other"


def row_name(question: Question, row: str) -> str:
    """The name of the field of one row of a matrix."""
    return f"{question.id}.{row}"


def _read(question: Question, form: Form) -> tuple[Any, str | None]:
    """What stands in the fields of a question, as a value where it can be one, and for `other`."""
    typed = [text.strip() for text in form.get(question.id, [])]
    typed = [text for text in dict.fromkeys(typed) if text]
    other = form.get(other_name(question), [""])[0].strip() if question.other_text else ""
    if question.type == "matrix":
        rows = {row: form.get(row_name(question, row), [""])[0] for row in question.rows}
        return {row: value for row, value in rows.items() if value} or None, None
    if question.type == "multi":
        return typed or None, other or None
    text = typed[0] if typed else None
    if text is None:
        return None, other or None
    if question.type == "bool":
        return {"true": True, "false": False}.get(text, text), None
    if question.type in {"int", "number", "likert"} and NUMBER.fullmatch(text):
        number = float(text)
        return (int(number) if number.is_integer() else number), None
    return (text.lower() if question.type == "hash" else text), other or None


def _judge(question: Question, values: Mapping[str, Any]) -> str:
    """What is wrong with the answer to a question that applies; empty if nothing is."""
    value = values.get(question.id)
    if value is None:
        return UNANSWERED if question.required else ""
    error = _JUDGES[question.type](question, value)
    chosen = value if isinstance(value, list) else [value]
    if not error and question.other_text and OTHER in chosen:
        said = values.get(other_name(question), "")
        error = "" if said and len(said) <= 500 else "Say in a few words what “other” is"
    return error


def _single(question: Question, value: Any) -> str:
    return "" if value in question.options else "Choose one of the options"


def _multi(question: Question, value: Any) -> str:
    if any(text not in question.options for text in value):
        return "Choose among the options"
    alone = [text for text in value if text in question.exclusive]
    if alone and len(value) > 1:
        return f"“{question.label(alone[0])}” cannot stand beside other choices"
    if question.min is not None and len(value) < question.min:
        return f"Choose at least {question.min:g}"
    if question.max is not None and len(value) > question.max:
        return f"Choose at most {question.max:g}"
    return ""


def _bool(_: Question, value: Any) -> str:
    return "" if isinstance(value, bool) else "Choose yes or no"


def _number(question: Question, value: Any) -> str:
    whole = question.type != "number"
    right = isinstance(value, int) if whole else isinstance(value, int | float)
    if not right or not math.isfinite(value):
        return "Type a whole number, such as 12" if whole else "Type a number, such as 80 or 7.5"
    low, high, unit = question.min, question.max, f" {question.unit}" if question.unit else ""
    below, above = low is not None and value < low, high is not None and value > high
    if not (below or above):
        return ""
    if low is None or high is None:
        return f"At least {low:g}{unit}" if high is None else f"At most {high:g}{unit}"
    return f"Between {low:g} and {high:g}{unit}"


def _date(_: Question, value: Any) -> str:
    try:
        date.fromisoformat(value)
    except ValueError:
        return "Type a date as year-month-day, such as 2021-03-31"
    return "" if re.fullmatch(r"\d{4}-\d\d-\d\d", value) else "Type a date as year-month-day"


def _text(_: Question, value: Any) -> str:
    return "" if len(value) <= LONGEST else f"At most {LONGEST} characters"


def _hash(_: Question, value: Any) -> str:
    return "" if DIGEST.fullmatch(value) else "A SHA-256 has 64 characters from 0-9 and a-f"


def _matrix(question: Question, value: Any) -> str:
    if any(text not in question.options for text in value.values()):
        return "Choose one of the options in each row"
    lacks = [row for row in question.rows if row not in value]
    return UNFINISHED if lacks and question.required else ""


_JUDGES = {
    "single": _single,
    "multi": _multi,
    "bool": _bool,
    "int": _number,
    "number": _number,
    "likert": _number,
    "date": _date,
    "text": _text,
    "hash": _hash,
    "matrix": _matrix,
}
