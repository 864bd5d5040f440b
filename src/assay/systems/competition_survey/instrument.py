"""The instrument: the questions of a survey, versioned, from a YAML file.

A file either holds everything (``id``, ``version``, ``unit``, ``sections``, ``questions``) or says
``extends: participation`` and adds sections and questions of its own to the ready-made ones.

Notable: the hash of what is asked goes into every answer. It changes with any wording, option or
condition, and not with the layout of the file.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from assay.core.markup import read_yaml
from assay.errors import AssayError, DataError, did_you_mean
from assay.systems.competition_survey.questions import (
    Question,
    Section,
    line_of,
    read_question,
    read_section,
)
from assay.systems.competition_survey.show_if import read_condition

__all__ = ["READY_MADE", "Instrument", "Question", "Section", "read_instrument", "ready_made"]

READY_MADE = ("participation",)
KEYS = ("extends", "id", "version", "unit", "sections", "questions")
LARGEST_BYTES = 1_000_000


@dataclass(frozen=True)
class Instrument:
    """The questions of a survey, in the order in which they are asked.

    Attributes:
        id: Its name.
        version: As the file says it.
        unit: Who answers one form, such as ``team-in-competition``.
        sections: The parts of the form.
        questions: By section, in the order of the file.
    """

    id: str
    version: str
    unit: str
    sections: tuple[Section, ...]
    questions: tuple[Question, ...]

    @cached_property
    def hash(self) -> str:
        """SHA-256 of what is asked, in hexadecimal."""
        plain = json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(plain.encode()).hexdigest()

    @cached_property
    def by_id(self) -> dict[str, Question]:
        """The questions by their names."""
        return {question.id: question for question in self.questions}

    @property
    def asked(self) -> tuple[Question, ...]:
        """The questions but for what the organiser knows."""
        return tuple(q for q in self.questions if q.source != "organiser")

    def question(self, name: str) -> Question:
        """One question.

        Raises:
            DataError: If there is none of that name.
        """
        if name not in self.by_id:
            raise DataError(
                f"no question {name!r}", where=self.id, next=did_you_mean(name, self.by_id)
            )
        return self.by_id[name]


def read_instrument(path: Path | str) -> Instrument:
    """Read an instrument from its file.

    Raises:
        DataError: With the file and the line, if it cannot be read or something does not fit.
    """
    file = Path(path)
    try:
        with file.open("rb") as opened:
            data = opened.read(LARGEST_BYTES + 1)
        text = data.decode("utf-8-sig") if len(data) <= LARGEST_BYTES else ""
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise DataError(
            f"cannot be read ({why})", where=str(file), accepted="a YAML file"
        ) from error
    if len(data) > LARGEST_BYTES:
        raise DataError(
            "is too large", where=str(file), accepted=f"at most {LARGEST_BYTES:,} bytes"
        )
    return _read(text, str(file))


def ready_made(name: str) -> Instrument:
    """An instrument that comes along.

    Args:
        name: One of `READY_MADE`.
    """
    if name not in READY_MADE:
        raise DataError(f"no instrument {name!r}", accepted=", ".join(READY_MADE))
    folder = files(__name__.rpartition(".")[0]) / "instruments"
    return _read((folder / f"{name}.yaml").read_text(encoding="utf-8"), f"{name}.yaml")


def _read(text: str, where: str) -> Instrument:
    try:
        said = read_yaml(text)
        return _instrument(said)
    except AssayError as error:
        place = f"{where} {error.where}".strip()
        raise DataError(
            error.what, where=place, accepted=error.accepted, next=error.next
        ) from error


def _instrument(said: Any) -> Instrument:
    if not isinstance(said, Mapping):
        raise DataError("is no instrument", where="line 1", accepted="id, sections and questions")
    for key in said:
        if key not in KEYS:
            hint = did_you_mean(str(key), KEYS)
            raise DataError(f"no key {key!r}", where=line_of(said, key), next=hint)
    base = _base(said)
    sections = _sections(said, base)
    read = _questions(said, sections, base)
    order = [section.id for section in sections]
    read.sort(key=lambda pair: order.index(pair[0].section))
    return Instrument(
        id=_said(said, "id", base and base.id),
        version=_said(said, "version", base and base.version),
        unit=_said(said, "unit", base and base.unit),
        sections=tuple(sections),
        questions=tuple(_with_conditions(read)),
    )


def _base(said: Mapping[str, Any]) -> Instrument | None:
    if "extends" not in said:
        return None
    try:
        return ready_made(str(said["extends"]))
    except DataError as error:
        raise error.at(line_of(said, "extends")) from error


def _sections(said: Mapping[str, Any], base: Instrument | None) -> list[Section]:
    where = line_of(said, "sections")
    own = [read_section(entry, where) for entry in _list(said, "sections")]
    found = [*(base.sections if base else ()), *own]
    if not found:
        raise DataError("has no sections", where=line_of(said), accepted="`sections: [...]`")
    _require_once([(s.id, where) for s in found], base and {s.id for s in base.sections})
    return found


def _questions(
    said: Mapping[str, Any], sections: list[Section], base: Instrument | None
) -> list[tuple[Question, Any]]:
    """The questions with their mappings in the file; None for those of the ready-made ones."""
    read: list[tuple[Question, Any]] = [(q, None) for q in base.questions] if base else []
    known = [section.id for section in sections]
    own = known[len(base.sections) if base else 0 :] or known
    current, where = own[0], line_of(said, "questions")
    for entry in _list(said, "questions"):
        question = read_question(entry, where, current)
        current = question.section
        if current not in known:
            hint = did_you_mean(current, known)
            place = line_of(entry, "section")
            raise DataError(f"no section {current!r}", where=place, next=hint)
        read.append((question, entry))
    if not any(question.source != "organiser" for question, _ in read):
        raise DataError("asks nothing", where=line_of(said), accepted="`questions: [...]`")
    names = [(name, line_of(entry, "id")) for q, entry in read for name in _names(q)]
    _require_once(names, {name for q in base.questions for name in _names(q)} if base else None)
    return read


def _names(question: Question) -> tuple[str, ...]:
    """What a question takes up: its own name, and that of the words for `other`."""
    return (question.id, f"{question.id}_other") if question.other_text else (question.id,)


def _require_once(names: Iterable[tuple[str, str]], ready: set[str] | None) -> None:
    seen: set[str] = set()
    for name, where in names:
        if name in seen and name in (ready or ()):
            raise DataError(
                f"{name!r} is there already in the ready-made instrument",
                where=where,
                next="Give yours another id.",
            )
        if name in seen:
            raise DataError(f"{name!r} is there twice", where=where)
        seen.add(name)


def _with_conditions(read: list[tuple[Question, Any]]) -> list[Question]:
    """The questions with their conditions, each over those before it."""
    found: dict[str, Question] = {}
    everything = {question.id: question for question, _ in read}
    for question, entry in read:
        text = entry.get("show_if") if entry is not None else None
        if text is not None:
            where = line_of(entry, "show_if")
            if not isinstance(text, str):
                raise DataError(f"{text!r} is no condition", where=where, accepted="`deep == true`")
            try:
                condition = read_condition(text, found, everything)
            except DataError as error:
                raise error.at(f"{where} show_if") from error
            question = replace(question, show_if=condition)  # noqa: PLW2901
        found[question.id] = question
    return list(found.values())


def _list(said: Mapping[str, Any], key: str) -> list[Any]:
    found = said.get(key)
    if found is None:
        return []
    if not isinstance(found, list):
        raise DataError(f"{key!r} is no list", where=line_of(said, key))
    return found


def _said(said: Mapping[str, Any], key: str, base: str | None) -> str:
    found = said.get(key, base)
    if isinstance(found, bool) or not isinstance(found, str | int) or not str(found).strip():
        raise DataError(
            f"lacks {key!r}" if found is None else f"{key!r} is {found!r}",
            where=line_of(said, key),
            accepted="a text or a whole number" if key == "version" else "a text",
        )
    return str(found)
