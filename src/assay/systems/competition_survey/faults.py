"""Ways to break a form, one for each finding of the check; what was broken goes into a ledger.

Notable: a fault is planted where it causes that finding and no other, so that a check that finds
more than the ledger, or less, is wrong.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from assay.systems.competition_survey.instrument import Instrument, Question
from assay.systems.competition_survey.questions import OTHER
from assay.systems.competition_survey.show_if import named, shown

__all__ = ["FAULTS", "LEDGER", "plant"]

LEDGER = ("code", "respondent", "question")
NUMBERS = ("int", "number")
Form = dict[str, Any]
Person = dict[str, Any]


def plant(
    instrument: Instrument,
    people: list[Person],
    forms: list[Form],
    ill: list[int],
    rng: np.random.Generator,
) -> list[tuple[str, str, str]]:
    """Break some forms, in place, each in one way; the ways take turns.

    Args:
        instrument: The questions.
        people: Rows of the respondents.
        forms: Their valid forms.
        ill: Places of those to be broken.
        rng: Where the choice of a question comes from.

    Returns:
        What was planted: code, respondent, question (empty for a whole form).
    """
    found: list[tuple[str, str, str]] = []
    kinds = list(FAULTS)
    turn = 0
    for place in ill:
        for _ in kinds:
            kind = kinds[turn % len(kinds)]
            turn += 1
            planted = FAULTS[kind](_Form(instrument, people, forms, place, ill, rng))
            if planted is not None:
                who, question = planted
                found += [(kind, people[one]["respondent"], question) for one in who]
                break
    return list(dict.fromkeys(found))


class _Form:
    """One form that is to be broken."""

    def __init__(
        self,
        instrument: Instrument,
        people: list[Person],
        forms: list[Form],
        place: int,
        ill: list[int],
        rng: np.random.Generator,
    ) -> None:
        self.instrument, self.people, self.forms = instrument, people, forms
        self.place, self.ill, self.rng = place, set(ill), rng
        self.values, self.person = forms[place], people[place]
        self.decide = set[str]().union(
            *(named(q.show_if) for q in instrument.asked if q.show_if is not None)
        )

    def pick(self, fits: Callable[[Question], bool]) -> Question | None:
        """A question at random among those that are asked and decide on no other."""
        some = [
            q
            for q in self.instrument.asked
            if q.id not in self.decide and q.show_if is None and fits(q)
        ]
        return some[int(self.rng.integers(len(some)))] if some else None

    def say(self, question: Question, value: Any) -> tuple[list[int], str]:
        """Replace an answer; words for `other` go with it."""
        self.values.pop(f"{question.id}_other", None)
        self.values.pop(question.id, None)
        if value is not None:
            self.values[question.id] = value
        return [self.place], question.id

    def chosen(self, question: Question) -> list[str]:
        """What was chosen."""
        value = self.values.get(question.id, [])
        return list(value) if isinstance(value, list) else [value]


Planted = tuple[list[int], str] | None


def _unknown_question(form: _Form) -> Planted:
    form.values["no_such_question"] = "yes"
    return [form.place], "no_such_question"


def _unknown_option(form: _Form) -> Planted:
    question = form.pick(lambda q: q.type == "single")
    return question and form.say(question, "no_such_option")


def _unknown_row(form: _Form) -> Planted:
    question = form.pick(lambda q: q.type == "matrix")
    if question is None:
        return None
    return form.say(question, {**form.values[question.id], "no_such_row": question.options[0]})


def _type(form: _Form) -> Planted:
    question = form.pick(lambda q: q.type in NUMBERS)
    return question and form.say(question, "many")


def _range(form: _Form) -> Planted:
    question = form.pick(lambda q: q.type in NUMBERS and q.max is not None)
    return question and form.say(question, int(question.max or 0) + 1)


def _repeated(form: _Form) -> Planted:
    question = form.pick(lambda q: q.type == "single" and len(q.options) > 2)
    if question is None:
        return None
    return form.say(question, [o for o in question.options if o != OTHER][:2])


def _missing(form: _Form) -> Planted:
    question = form.pick(lambda q: q.required)
    return question and form.say(question, None)


def _hidden(form: _Form) -> Planted:
    hidden = [
        q
        for q in form.instrument.asked
        if q.show_if is not None
        and q.type in ("bool", "int")
        and q.id not in form.decide
        and not shown(q.show_if, form.values)
    ]
    if not hidden:
        return None
    question = hidden[int(form.rng.integers(len(hidden)))]
    return form.say(question, True if question.type == "bool" else int(question.min or 0) + 1)


def _exclusive(form: _Form) -> Planted:
    question = form.pick(lambda q: q.type == "multi" and bool(q.exclusive))
    if question is None:
        return None
    beside = next(o for o in question.options if o not in (*question.exclusive, OTHER))
    return form.say(question, [question.exclusive[0], beside])


def _other_empty(form: _Form) -> Planted:
    question = form.pick(lambda q: q.other_text)
    return question and form.say(question, OTHER if question.type == "single" else [OTHER])


def _other_unasked(form: _Form) -> Planted:
    question = form.pick(lambda q: q.other_text and OTHER not in form.chosen(q))
    if question is None:
        return None
    form.values[f"{question.id}_other"] = "words that nobody asked for"
    return [form.place], question.id


def _instrument(form: _Form) -> Planted:
    form.person["instrument"] = "0" * 64
    return [form.place], ""


def _duplicate(form: _Form) -> Planted:
    """Another team's name, in the same competition, spelt a little differently."""
    twin = next(
        (
            k
            for k, other in enumerate(form.people)
            if k not in form.ill
            and other["status"] == "completed"
            and other["competition"] == form.person["competition"]
        ),
        None,
    )
    if twin is None:
        return None
    form.person["team"] = form.people[twin]["team"].upper().replace(" ", "-")
    return [form.place, twin], ""


def _fast(form: _Form) -> Planted:
    form.person["seconds"] = 20.0
    return [form.place], ""


def _straight(form: _Form) -> Planted:
    question = form.pick(lambda q: q.type == "matrix" and len(q.rows) > 3)
    if question is None:
        return None
    return form.say(question, dict.fromkeys(question.rows, question.options[-1]))


FAULTS: dict[str, Callable[[_Form], Planted]] = {
    "unknown_question": _unknown_question,
    "unknown_option": _unknown_option,
    "unknown_row": _unknown_row,
    "type": _type,
    "range": _range,
    "repeated": _repeated,
    "missing": _missing,
    "hidden": _hidden,
    "exclusive": _exclusive,
    "other_empty": _other_empty,
    "other_unasked": _other_unasked,
    "instrument": _instrument,
    "duplicate": _duplicate,
    "fast": _fast,
    "straight": _straight,
}
"""How each finding of the check is brought about."""
