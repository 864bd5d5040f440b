"""One question of an instrument, and how it is read from its lines.

Notable: every refusal names the line. Texts are those of YAML 1.2, so that ``yes`` and ``no`` stay
words; a bare ``true`` or a number among options is refused, not turned into something.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from assay.errors import DataError, did_you_mean
from assay.systems.competition_survey.show_if import KEYWORDS, Condition

__all__ = [
    "COLUMNS",
    "OTHER",
    "PERSONAL_COLUMN",
    "TYPES",
    "Question",
    "Section",
    "line_of",
    "read_question",
    "read_section",
]

TYPES = (
    "single", "multi", "bool", "int", "number", "likert", "date", "text", "matrix", "hash",
)  # fmt: skip
OTHER = "other"
KEYS = (
    "id", "section", "type", "text", "help", "options", "required", "min", "max", "unit",
    "other_text", "exclusive", "rows", "source", "show_if",
)  # fmt: skip
CHOICES = ("single", "multi", "likert", "matrix")
ONLY_FOR = {
    "options": CHOICES,
    "min": ("multi", "int", "number", "likert"),
    "max": ("multi", "int", "number", "likert"),
    "unit": ("int", "number"),
    "other_text": ("single", "multi"),
    "exclusive": ("multi",),
    "rows": ("matrix",),
}
NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
OPTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")
TAKEN = KEYWORDS | {"csrf", "go", "respondent", "competition", "team", "status", "instrument"}
COLUMNS = {
    "id", "seconds", "interviewtime", "submitdate", "completed", "startdate", "started",
    "lastpage", "startlanguage", "seed", "datestamp", "refurl",
}  # fmt: skip
PERSONAL_COLUMN = re.compile(
    r"(e[ _-]?mail|mail|((first|last|full|sur|given|family|user)[ _-]?)?name|ip([ _-]?addr(ess)?)?"
    r"|token|phone|telephone|address|refurl|attribute[ _-]?\d+|participant)", re.IGNORECASE
)  # fmt: skip
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Section:
    """A part of the form.

    Attributes:
        id: Its name.
        title: What people read.
        help: A sentence below it; may be empty.
    """

    id: str
    title: str
    help: str = ""


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        id: Its name in answers and conditions.
        section: The section it is asked in.
        type: One of `TYPES`.
        text: What people read.
        help: A sentence below it; may be empty.
        options: Choices by name (single, multi, matrix), or the points of a scale as they are read
            (likert).
        required: Whether a form without an answer is refused.
        min: Smallest number, fewest choices of a multi, or the first point of a likert.
        max: Largest number, most choices of a multi, or the last point of a likert.
        unit: Of a number.
        other_text: Whether the option `other` asks for words.
        exclusive: Options that stand alone.
        rows: Of a matrix, by name.
        source: ``respondent``, or ``organiser`` for what is joined and never asked.
        show_if: When it is asked; None for always.
        labels: Options as people read them, where they were given.
        row_labels: Rows as people read them, where they were given.
    """

    id: str
    section: str
    type: str
    text: str
    help: str = ""
    options: tuple[str, ...] = ()
    required: bool = False
    min: int | float | None = None
    max: int | float | None = None
    unit: str = ""
    other_text: bool = False
    exclusive: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    source: str = "respondent"
    show_if: Condition | None = None
    labels: Labels = field(default=())
    row_labels: Labels = field(default=())

    @property
    def points(self) -> range:
        """The numbers of a likert."""
        first = 1 if self.min is None else int(self.min)
        return range(first, first + len(self.options))

    def label(self, option: str) -> str:
        """An answer as people read it; what is not among the options, as it stands.

        Example:
            >>> Question("k", "s", "single", "Folds?", options=("k_fold",)).label("k_fold")
            'K fold'
            >>> Question("deep", "s", "bool", "Deep?").label("true")
            'Yes'
        """
        if self.type == "bool":
            return {"true": "Yes", "false": "No"}.get(option, option)
        if self.type == "likert":
            texts = dict(zip(map(str, self.points), self.options, strict=True))
            return texts.get(option, option)
        return dict(self.labels).get(option) or (
            _readable(option) if option in self.options else option
        )

    def row_label(self, row: str) -> str:
        """A row of a matrix as people read it."""
        return dict(self.row_labels).get(row) or _readable(row)


def line_of(entry: Any, key: Any = None) -> str:
    """Where something was written, as far as it is known: ``line 12``."""
    lines = getattr(entry, "lines", {})
    line = lines.get(key) or min(lines.values(), default=0)
    return f"line {line}" if line else ""


def read_section(entry: Any, where: str) -> Section:
    """Read a section: its name, or a mapping of id, title and help."""
    if isinstance(entry, str):
        return Section(_name(entry, where), _readable(entry))
    if not isinstance(entry, Mapping):
        raise DataError(f"{entry!r} is no section", where=where, accepted="a name or {id, title}")
    where = line_of(entry)
    _require_known(entry, ("id", "title", "help"), "section")
    name = _name(_text(entry, "id", needed=True), where)
    return Section(name, _text(entry, "title") or _readable(name), _text(entry, "help"))


def read_question(entry: Any, where: str, section: str) -> Question:
    """Read a question, but for its condition, which needs those before it.

    Args:
        entry: Its mapping in the file.
        where: Where it stands if it is none.
        section: What it belongs to if it does not say.

    Raises:
        DataError: With the line, if something in it does not fit.
    """
    if not isinstance(entry, Mapping):
        raise DataError(f"{entry!r} is no question", where=where, accepted="{id, type, text, ...}")
    _require_known(entry, KEYS, "key")
    name = _name(_text(entry, "id", needed=True), line_of(entry, "id"))
    if name in COLUMNS:
        raise DataError(
            f"{name!r} is a column of imported tables and cannot be an id",
            where=line_of(entry, "id"),
            next="Give it another id.",
        )
    if PERSONAL_COLUMN.fullmatch(name):
        raise DataError(
            f"{name!r} is personal and no question",
            where=line_of(entry, "id"),
            next="Names and addresses are asked after submitting, apart from the answers.",
        )
    kind = _text(entry, "type", needed=True)
    if kind not in TYPES:
        raise DataError(
            f"no type {kind!r}", where=line_of(entry, "type"), accepted=", ".join(TYPES)
        )
    for key, kinds in ONLY_FOR.items():
        if entry.get(key) is not None and kind not in kinds:
            raise DataError(f"{key!r} does not fit a {kind}", where=line_of(entry, key))
    options, labels = _options(entry, "options", free=kind == "likert")
    rows, row_labels = _options(entry, "rows")
    question = Question(
        id=name,
        section=_text(entry, "section") or section,
        type=kind,
        text=_text(entry, "text") or _readable(name),
        help=_text(entry, "help"),
        options=options,
        required=_flag(entry, "required"),
        min=_number(entry, "min"),
        max=_number(entry, "max"),
        unit=_text(entry, "unit"),
        other_text=_flag(entry, "other_text"),
        exclusive=_options(entry, "exclusive")[0],
        rows=rows,
        source=_text(entry, "source") or "respondent",
        labels=labels,
        row_labels=row_labels,
    )
    _require_consistent(question, entry)
    return _with_scale(question, entry) if kind == "likert" else question


def _require_consistent(question: Question, entry: Mapping[str, Any]) -> None:
    """Refuse what contradicts itself."""
    for key, needs in (("options", CHOICES), ("rows", ("matrix",))):
        if question.type in needs and not getattr(question, key):
            raise DataError(f"a {question.type} needs {key!r}", where=line_of(entry))
    if question.source not in ("respondent", "organiser"):
        raise DataError(
            f"no source {question.source!r}",
            where=line_of(entry, "source"),
            accepted="respondent or organiser",
        )
    if question.source == "organiser" and (question.required or entry.get("show_if") is not None):
        raise DataError("what the organiser knows is not asked", where=line_of(entry, "source"))
    if question.min is not None and question.max is not None and question.min > question.max:
        raise DataError("'min' is above 'max'", where=line_of(entry, "min"))
    if question.type != "number":
        for key in ("min", "max"):
            if not float(getattr(question, key) or 0).is_integer():
                raise DataError(f"{key!r} is not whole", where=line_of(entry, key))
    if question.other_text and OTHER not in question.options:
        raise DataError("'other_text' needs an option 'other'", where=line_of(entry, "other_text"))
    for option in question.exclusive:
        if option not in question.options:
            hint = did_you_mean(option, question.options)
            raise DataError(f"no option {option!r}", where=line_of(entry, "exclusive"), next=hint)


def _with_scale(question: Question, entry: Mapping[str, Any]) -> Question:
    """A likert with its numbers: one point for each option, from `min` or 1."""
    points = question.points
    if question.max is not None and question.max != points[-1]:
        raise DataError(
            f"{len(points)} options are not the points {points[0]} to {question.max:g}",
            where=line_of(entry, "max"),
        )
    return replace(question, min=points[0], max=points[-1])


def _options(entry: Mapping[str, Any], key: str, *, free: bool = False) -> tuple[Any, Labels]:
    """Names and labels of a list such as ``[a, {b: As people read it}]``, or of a mapping."""
    said, where = entry.get(key), line_of(entry, key)
    if said is None:
        return (), ()
    if isinstance(said, Mapping):
        said = [said]
    if not isinstance(said, list):
        raise DataError(f"{key!r} is no list", where=where, accepted="[one, two]")
    names, labels = [], []
    for item in said:
        pairs = item.items() if isinstance(item, Mapping) else [(item, None)]
        place = line_of(item) or where
        for name, label in pairs:
            names.append(_option(name, place, free or key == "exclusive"))
            if label is not None:
                labels.append((name, _short(label, place)))
    if twice := _twice(names):
        raise DataError(f"{twice!r} is there twice in {key!r}", where=where)
    read = dict(zip(names, names, strict=True)) | dict(labels)
    if twice := _twice([text.casefold() for text in read.values()]):
        raise DataError(f"two of {key!r} read {twice!r}", where=where)
    return tuple(names), tuple(labels)


def _option(name: Any, where: str, free: bool) -> str:
    if not isinstance(name, str):
        raise DataError(
            f"{_yaml(name)} is not a text", where=where, accepted=f'"{_yaml(name)}" in quotes'
        )
    if not free and not OPTION.fullmatch(name):
        raise DataError(
            f"{name!r} cannot name an option",
            where=where,
            accepted="letters, digits, _ and -",
            next="Write `short_name: As people read it`.",
        )
    return _short(name, where)


def _name(name: str, where: str) -> str:
    if not NAME.fullmatch(name) or name in TAKEN:
        raise DataError(
            f"{name!r} cannot be an id",
            where=where,
            accepted=f"small letters, digits and _, and none of {', '.join(sorted(TAKEN))}",
        )
    return name


def _text(entry: Mapping[str, Any], key: str, *, needed: bool = False) -> str:
    said = entry.get(key)
    if said is None and not needed:
        return ""
    if said is None:
        raise DataError(f"lacks {key!r}", where=line_of(entry))
    return _short(said, line_of(entry, key))


def _short(said: Any, where: str) -> str:
    if not isinstance(said, str):
        raise DataError(
            f"{_yaml(said)} is not a text", where=where, accepted=f'"{_yaml(said)}" in quotes'
        )
    said = " ".join(said.split())
    if not said or len(said) > 2_000:
        raise DataError("a text is empty or too long", where=where, accepted="1-2000 characters")
    return said


def _flag(entry: Mapping[str, Any], key: str) -> bool:
    said = entry.get(key, False)
    if not isinstance(said, bool):
        raise DataError(f"{key!r} is {said!r}", where=line_of(entry, key), accepted="true or false")
    return said


def _number(entry: Mapping[str, Any], key: str) -> float | None:
    said = entry.get(key)
    if said is None:
        return None
    if isinstance(said, bool) or not isinstance(said, int | float) or not math.isfinite(said):
        raise DataError(f"{key!r} is {said!r}", where=line_of(entry, key), accepted="a number")
    return said


def _require_known(entry: Mapping[str, Any], keys: Iterable[str], what: str) -> None:
    for key in entry:
        if key not in keys:
            hint = did_you_mean(str(key), keys)
            raise DataError(f"no {what} {key!r}", where=line_of(entry, key), next=hint)


def _twice(names: list[str]) -> str:
    return next((name for n, name in enumerate(names) if name in names[:n]), "")


def _yaml(said: Any) -> str:
    return str(said).lower() if isinstance(said, bool) else "null" if said is None else str(said)


def _readable(name: str) -> str:
    text = name.replace("_", " ")
    return text[:1].upper() + text[1:]
