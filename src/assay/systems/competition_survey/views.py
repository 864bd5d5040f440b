"""Questions as a template needs them: options with what is chosen, and what a script may hide."""

import json
from collections.abc import Mapping
from typing import Any

from assay.systems.competition_survey.fields import (
    LONGEST,
    Section,
    applying,
    other_name,
    row_name,
)
from assay.systems.competition_survey.instrument import Instrument, Question
from assay.systems.competition_survey.show_if import Condition, shown

__all__ = ["field_of", "views"]

SHAPES = {
    "single": "options",
    "multi": "options",
    "bool": "options",
    "likert": "scale",
    "matrix": "scale",
    "int": "number",
    "number": "number",
    "date": "date",
    "hash": "line",
    "text": "text",
}
NO_ANSWER = "No answer"
JOINED = ("and", "or", "not")


def views(
    instrument: Instrument,
    section: Section,
    saved: Mapping[str, Any],
    values: Mapping[str, Any],
    wrong: Mapping[str, str],
) -> list[dict[str, Any]]:
    """The questions of a section that apply, or may come to apply while it is filled in.

    Args:
        instrument: All questions.
        section: The one shown.
        saved: Answers saved so far; what they rule out is not shown.
        values: What stands in the fields.
        wrong: What is wrong, by question.
    """
    counted = {q.id: saved[q.id] for q in applying(instrument, saved) if q.id in saved}
    here = {question.id for question in section.questions}
    found = []
    for question in section.questions:
        when = question.show_if
        script = True if when is None else _script(when, here, counted)
        if script is False:
            continue
        open_ = when is not None and script is not True
        found.append(
            _view(question, values)
            | {
                "show_if": json.dumps(script) if open_ else "",
                "only": f"Only if {_words(instrument, when)}." if when and open_ else "",
                "error": wrong.get(question.id, ""),
            }
        )
    return found


def field_of(question: Question) -> str:
    """The identifier of the first field of a question, where a link leads to."""
    return f"f-{question.id}"


def _view(question: Question, values: Mapping[str, Any]) -> dict[str, Any]:
    value = values.get(question.id)
    shape = SHAPES[question.type]
    return {
        "id": question.id,
        "field": field_of(question),
        "kind": question.type,
        "shape": shape,
        "group": shape in {"options", "scale"},
        "input": "checkbox" if question.type == "multi" else "radio",
        "text": question.text,
        "help": question.help,
        "required": question.required,
        "unit": question.unit,
        "longest": LONGEST,
        "side": question.type == "bool",
        "value": "" if value is None or shape in {"options", "scale"} else str(value),
        "other": values.get(other_name(question), "") if question.other_text else None,
        "other_name": other_name(question),
        "options": _options(question, value),
        "rows": _rows(question, value),
    }


def _options(question: Question, value: Any) -> list[dict[str, Any]]:
    """The choices of a question; one that need not be answered can also be left again."""
    chosen = value if isinstance(value, list) else [value]
    found = [
        {
            "value": name,
            "text": text,
            "checked": name in map(_said, chosen),
            "alone": name in question.exclusive,
        }
        for name, text in _choices(question)
    ]
    if question.type in {"single", "bool", "likert", "matrix"} and not question.required:
        found.append({"value": "", "text": NO_ANSWER, "checked": value is None, "alone": False})
    return found


def _choices(question: Question) -> list[tuple[str, str]]:
    if question.type == "bool":
        return [("true", "Yes"), ("false", "No")]
    if question.type == "likert":
        return [(str(n), question.label(str(n))) for n in question.points]
    return [(name, question.label(name)) for name in question.options]


def _rows(question: Question, value: Any) -> list[dict[str, str]]:
    """The rows of a table of choices; a scale is a table of one row without a name."""
    if question.type != "matrix":
        return [
            {"name": question.id, "text": "", "field": field_of(question), "value": _said(value)}
        ]
    chosen = value or {}
    return [
        {
            "name": row_name(question, row),
            "text": question.row_label(row),
            "field": f"{field_of(question)}-{n}",
            "value": _said(chosen.get(row)),
        }
        for n, row in enumerate(question.rows)
    ]


def _said(value: Any) -> str:
    """A value as the field of a form carries it."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _script(condition: Condition, here: set[str], counted: Mapping[str, Any]) -> Any:
    """A condition for the script: lists, and a bare truth value for what is decided already."""
    what, *of = condition
    if what not in JOINED:
        return list(condition) if of[0] in here else shown(condition, counted)
    parts = [_script(part, here, counted) for part in of]
    if what == "not":
        return not parts[0] if isinstance(parts[0], bool) else [what, *parts]
    decides = what == "or"
    if decides in parts:
        return decides
    left = [part for part in parts if not isinstance(part, bool)]
    return [what, *left] if left else not decides


def _words(instrument: Instrument, condition: Condition) -> str:
    """A condition as people read it, where no script hides what does not apply."""
    what, *of = condition
    if what in JOINED:
        parts = [_words(instrument, part) for part in of]
        if what == "not":
            return f"not ({parts[0]})"
        inner = [  # `and` binds tighter, as people may not know
            f"({said})" if part[0] == "or" and what == "and" else said
            for part, said in zip(of, parts, strict=True)
        ]
        return f" {what} ".join(inner)
    question = next(q for q in instrument.questions if q.id == of[0])
    values = of[1] if what == "in" else [of[1]]
    labels = dict(_choices(question))
    said = " or ".join(labels.get(_said(value), _said(value)) for value in values)
    return f"“{question.text}” is {'not ' if what == '!=' else ''}{said}"
