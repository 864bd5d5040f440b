"""What is wrong with answers: one finding for each fault, with its respondent and question.

    code               severity  what it means
    unknown_question   error     an answer to a question that the instrument does not have
    unknown_option     error     a choice that the question does not offer
    unknown_row        error     a row that the matrix does not have, or a row of what is no matrix
    type               error     not a number, date, truth value or digest where one is due
    range              error     a number, or a number of choices, beyond what is allowed
    repeated           error     more than one answer where one is due, or one choice twice
    missing            error     no answer to a required question that was asked
    hidden             error     an answer to a question that was not asked (its condition is false)
    exclusive          error     an option that stands alone, beside others
    other_empty        error     `other` without words
    other_unasked      warning   words for `other`, which was not chosen
    instrument         error     answers to another instrument, or to another version of it
    duplicate          warning   another submitted form of a team of this name in the competition
    fast               warning   submitted sooner than the questions can be read
    straight           warning   one and the same choice in every row of a matrix

What was not answered because it was not asked is absent, not missing: no finding.

Notable: each question is judged once for all respondents, each distinct value once.
"""

import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import NamedTuple

import numpy as np
import pandas as pd

from assay.systems.competition_survey.answers import Answers, applies
from assay.systems.competition_survey.fields import DIGEST, LONGEST, NUMBER, other_name
from assay.systems.competition_survey.instrument import Instrument, Question
from assay.systems.competition_survey.questions import OTHER
from assay.systems.competition_survey.storage import normalised

__all__ = ["CODES", "COLUMNS", "FASTEST_SECONDS", "STRAIGHT_ROWS", "check"]

CODES = {
    "unknown_question": "error",
    "unknown_option": "error",
    "unknown_row": "error",
    "type": "error",
    "range": "error",
    "repeated": "error",
    "missing": "error",
    "hidden": "error",
    "exclusive": "error",
    "other_empty": "error",
    "other_unasked": "warning",
    "instrument": "error",
    "duplicate": "warning",
    "fast": "warning",
    "straight": "warning",
}
COLUMNS = ("code", "respondent", "question", "severity", "message")
FASTEST_SECONDS = 60.0
STRAIGHT_ROWS = 4
LONGEST_WORDS = 500
Fault = tuple[str, str]


class _Said(NamedTuple):
    """The answers to one question: whose (their place), in which row, and what."""

    who: np.ndarray
    row: np.ndarray
    value: np.ndarray


class _Found(NamedTuple):
    """One fault of several respondents."""

    code: str
    question: str
    message: str
    who: np.ndarray


def check(
    instrument: Instrument,
    answers: Answers,
    *,
    fastest_seconds: float = FASTEST_SECONDS,
    straight_rows: int = STRAIGHT_ROWS,
) -> pd.DataFrame:
    """Find what is wrong with answers.

    Args:
        instrument: The questions.
        answers: Who was asked, and what was submitted.
        fastest_seconds: A form submitted sooner was hardly read.
        straight_rows: A matrix of fewer rows is never called straight-lined.

    Returns:
        One row for each finding, with the columns `COLUMNS`: by respondent, then by question.
        Findings about a whole form have an empty question.
    """
    people, said = answers.respondents, answers.answers
    place = pd.Index(people.respondent).get_indexer(said.respondent)
    columns = [said[name].to_numpy(dtype=object) for name in ("row", "value")]
    given = {
        str(name): _Said(place[at], columns[0][at], columns[1][at])
        for name, at in said.groupby("question", sort=False).indices.items()
    }
    found = [*_forms(instrument, people, fastest_seconds), *_unknown(instrument, given)]
    asked = applies(instrument, answers)
    completed = (people.status == "completed").to_numpy(dtype=bool)
    nothing = _Said(np.zeros(0, int), np.zeros(0, object), np.zeros(0, object))
    for question in instrument.asked:
        here = given.get(question.id, nothing)
        words = given.get(other_name(question), nothing) if question.other_text else nothing
        shown = asked[question.id].to_numpy()
        found += _presence(question, here, words, shown, completed)
        found += _values(question, here)
        found += _choices(question, here, straight_rows)
        found += _words(question, here, words, shown)
    return _table(found, people, instrument)


def _forms(instrument: Instrument, people: pd.DataFrame, fastest: float) -> Iterator[_Found]:
    """Findings about whole forms."""
    completed = people.status == "completed"
    other = completed & (people.instrument != instrument.hash)
    text = "answers to another instrument or version"
    yield _Found("instrument", "", text, _where(other))
    fast = completed & (people.seconds < fastest)
    yield _Found("fast", "", f"submitted in less than {fastest:g} s", _where(fast))
    names = {team: normalised(team) for team in people.team.unique()}
    key = people.team.map(names)
    named = completed & (key != "")  # who only began takes nothing away from who submitted
    same = pd.DataFrame({"competition": people.competition, "key": key})[named].duplicated(
        keep=False
    )
    twice = named & same.reindex(people.index, fill_value=False)
    yield _Found("duplicate", "", "another form of a team of this name", _where(twice))


def _unknown(instrument: Instrument, given: dict[str, _Said]) -> Iterator[_Found]:
    known = {name for q in instrument.asked for name in _names(q)}
    for name, said in given.items():
        if name not in known:
            text = f"no question {_short(name)} is asked"
            yield _Found("unknown_question", name, text, np.unique(said.who))


def _presence(
    question: Question, said: _Said, words: _Said, shown: np.ndarray, completed: np.ndarray
) -> Iterator[_Found]:
    """Whether an answer is there where it should be, and only there."""
    answered = np.zeros(len(shown), bool)
    answered[said.who] = True
    any_of_it = answered.copy()
    any_of_it[words.who] = True
    text = "answered, although it was not asked"
    yield _Found("hidden", question.id, text, np.flatnonzero(any_of_it & ~shown))
    if not question.required:
        return
    due = shown & completed
    if question.type == "matrix":
        known = np.isin(said.row.astype(str), question.rows)
        pairs = pd.DataFrame({"who": said.who[known], "row": said.row[known]}).drop_duplicates()
        rows = np.bincount(pairs.who, minlength=len(shown))
        some = due & answered & (rows < len(question.rows))
        yield _Found("missing", question.id, "not every row is answered", np.flatnonzero(some))
    yield _Found("missing", question.id, "not answered", np.flatnonzero(due & ~answered))


def _values(question: Question, said: _Said) -> Iterator[_Found]:
    """Each value by itself."""
    rows = question.rows if question.type == "matrix" else ("",)
    strange = ~np.isin(said.row.astype(str), rows)
    yield from _each(question, said, strange, said.row, lambda row: _unknown_row(question, row))
    yield from _each(question, said, ~strange, said.value, lambda text: _fault(question, text))


def _each(
    question: Question,
    said: _Said,
    where: np.ndarray,
    texts: np.ndarray,
    judge: Callable[[str], Fault | None],
) -> Iterator[_Found]:
    """What a judge has against each distinct text."""
    at = np.flatnonzero(where)
    codes, distinct = pd.factorize(texts[at])
    faults = [judge(str(text)) for text in distinct]
    wrong = np.array([fault is not None for fault in faults], bool)[codes]
    for n, rows in pd.Series(said.who[at[wrong]]).groupby(codes[wrong]):
        code, message = faults[int(n)] or ("", "")  # type: ignore[arg-type] - an integer
        yield _Found(code, question.id, message, np.unique(rows.to_numpy()))


def _unknown_row(question: Question, row: str) -> Fault:
    if question.type != "matrix":
        return "unknown_row", f"has no rows, but one named {_short(row)} is answered"
    return "unknown_row", f"no row {_short(row)}" if row else "a matrix is answered row by row"


def _fault(question: Question, text: str) -> Fault | None:
    """What is wrong with one value; None if nothing is."""
    kind = question.type
    if kind in ("single", "multi", "matrix"):
        right = text in question.options
        return None if right else ("unknown_option", f"{_short(text)} is no option")
    if kind == "bool":
        return (
            None if text in ("true", "false") else ("type", f"{_short(text)} is not true or false")
        )
    if kind in ("int", "number", "likert"):
        return _number_fault(question, text)
    if kind == "date":
        return None if _is_date(text) else ("type", f"{_short(text)} is no date")
    if kind == "hash":
        return None if DIGEST.fullmatch(text) else ("type", f"{_short(text)} is no SHA-256")
    return ("range", f"more than {LONGEST} characters") if len(text) > LONGEST else None


def _number_fault(question: Question, text: str) -> Fault | None:
    whole = question.type != "number"
    if not NUMBER.fullmatch(text) or (whole and not float(text).is_integer()):
        return "type", f"{_short(text)} is not a {'whole ' if whole else ''}number"
    if question.min is not None and float(text) < question.min:
        return "range", f"{text} is below {question.min:g}"
    if question.max is not None and float(text) > question.max:
        return "range", f"{text} is above {question.max:g}"
    return None


def _choices(question: Question, said: _Said, straight_rows: int) -> Iterator[_Found]:
    """Several values of one respondent together."""
    people, codes = np.unique(said.who, return_inverse=True)
    count = np.bincount(codes, minlength=len(people))
    table = pd.DataFrame({"who": codes, "row": said.row, "value": said.value})
    keys = {"multi": ["who", "value"], "matrix": ["who", "row"]}.get(question.type, ["who"])
    again = people[np.unique(codes[table.duplicated(keys).to_numpy()])]
    yield _Found("repeated", question.id, "answered more than once", again)
    if question.type == "multi":
        count = np.bincount(codes[~table.duplicated(keys).to_numpy()], minlength=len(people))
        low, high = question.min, question.max
        few = people[count < (low if low is not None else 0)]
        yield _Found("range", question.id, f"fewer than {low or 0:g} choices", few)
        many = people[count > (high if high is not None else np.inf)]
        yield _Found("range", question.id, f"more than {high or 0:g} choices", many)
        alone = np.bincount(codes[np.isin(said.value.astype(str), question.exclusive)],
                            minlength=len(people)) > 0  # fmt: skip
        text = "an option that stands alone, beside others"
        yield _Found("exclusive", question.id, text, people[alone & (count > 1)])
    if question.type == "matrix" and len(question.rows) >= straight_rows:
        per = table.groupby("who").agg({"row": "nunique", "value": "nunique"})
        lined = (per.row == len(question.rows)) & (per.value == 1)
        yield _Found("straight", question.id, "one choice in every row", people[per.index[lined]])


def _words(question: Question, said: _Said, words: _Said, shown: np.ndarray) -> Iterator[_Found]:
    """The words for `other`."""
    if not question.other_text:
        return
    chose, wrote, long_ = (np.zeros(len(shown), bool) for _ in range(3))
    chose[said.who[said.value == OTHER]] = True
    texts = [str(text).strip() for text in words.value]
    wrote[words.who[np.array([bool(text) for text in texts], bool)]] = True
    long_[words.who[np.array([len(text) > LONGEST_WORDS for text in texts], bool)]] = True
    text = "'other' is chosen without words"
    yield _Found("other_empty", question.id, text, np.flatnonzero(chose & ~wrote))
    text = "words for 'other', which was not chosen"
    yield _Found("other_unasked", question.id, text, np.flatnonzero(wrote & ~chose & shown))
    text = f"more than {LONGEST_WORDS} characters for 'other'"
    yield _Found("range", question.id, text, np.flatnonzero(long_))


def _table(found: list[_Found], people: pd.DataFrame, instrument: Instrument) -> pd.DataFrame:
    """Findings as a table, in the order of respondents and questions."""
    order = {"": -1} | {question.id: n for n, question in enumerate(instrument.questions)}
    rows = [
        (int(one), order.get(fault.question, len(order)), fault.code, fault.question, fault.message)
        for fault in found
        for one in fault.who
    ]
    rows.sort(key=lambda row: row[:2])
    names = people.respondent.tolist()
    return pd.DataFrame(
        [(code, names[one], question, CODES[code], text) for one, _, code, question, text in rows],
        columns=list(COLUMNS),
    ).astype("str")


def _names(question: Question) -> tuple[str, ...]:
    return (question.id, other_name(question)) if question.other_text else (question.id,)


def _where(condition: pd.Series) -> np.ndarray:
    return np.flatnonzero(condition.to_numpy(dtype=bool))


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", text))


def _short(text: str) -> str:
    """A value as a message shows it."""
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
