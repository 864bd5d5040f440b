"""When a question is asked: a tiny language over the answers before it.

    show_if: deep == true
    show_if: kfold in [kfold, other] and not (hours != 80 or too_large == false)

What stands left of a comparison is an earlier question, what stands right of it always a literal:
``kfold == kfold`` compares the question with its option of that name. `not` binds tighter than
`and`, `and` tighter than `or`. A question that was not answered, or not asked, makes every
comparison false, `!=` and `not in` as well. Of several choices ``==`` and `in` mean *was chosen*.

Notable: parsed here, never run as code.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from assay.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from assay.systems.competition_survey.questions import Question

__all__ = ["KEYWORDS", "Condition", "named", "read_condition", "shown"]

Condition = tuple[Any, ...]
"""("and", a, b), ("or", a, b), ("not", a), ("==" or "!=", name, literal), ("in", name, literals)"""

KEYWORDS = frozenset({"and", "or", "not", "in", "true", "false"})
LONGEST, DEEPEST = 2_000, 20
BLANK = re.compile(r"\s*", re.ASCII)
TOKEN = re.compile(
    r"""\s*(?:(?P<mark>==|!=|[()\[\],])
    |(?P<number>[+-]?[0-9]{1,15}(?:\.[0-9]{1,15})?(?![\w.-]))
    |(?P<word>[A-Za-z0-9_][A-Za-z0-9_-]*)
    |"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<end>$))""",
    re.VERBOSE | re.ASCII,
)


class Token(NamedTuple):
    """One word of a condition: kind, text, and the column it begins in, from 1."""

    kind: str
    text: str
    column: int

    def __str__(self) -> str:
        return repr(self.text) if self.kind != "end" else "the end"


def read_condition(
    text: str, earlier: Mapping[str, "Question"], later: Mapping[str, Any] | None = None
) -> Condition:
    """Read a condition.

    Args:
        text: As it stands in the instrument.
        earlier: The questions before it, by id.
        later: Those that are not asked before it, only to say so.

    Raises:
        DataError: With the column, if it does not fit the grammar or the questions.

    Example:
        >>> from assay.systems.competition_survey.questions import Question
        >>> deep = Question("deep", "method", "bool", "Deep learning?")
        >>> read_condition("not deep == true", {"deep": deep})
        ('not', ('==', 'deep', True))
    """
    if len(text) > LONGEST:
        raise DataError(f"is longer than {LONGEST} characters", where="column 1")
    reader = _Reader(_tokens(text), earlier, later or {})
    condition = reader.any_of(0)
    if reader.next.kind != "end":
        _refuse(reader.next, "`and`, `or` or the end")
    return condition


def shown(condition: Condition, answers: Mapping[str, Any]) -> bool:
    """Whether a condition holds.

    Args:
        condition: What was read.
        answers: Values by question: a text, number or truth value, or a list of what was chosen.
            Only those that count: an answer to a question that was not asked is left out.
    """
    what, *of = condition
    if what == "and":
        return all(shown(part, answers) for part in of)
    if what == "or":
        return any(shown(part, answers) for part in of)
    if what == "not":
        return not shown(of[0], answers)
    value = answers.get(of[0])
    given = list(value) if isinstance(value, list | tuple | set) else [value]
    if value is None or not given:
        return False
    literals = of[1] if what == "in" else [of[1]]
    found = any(_same(one, literal) for one in given for literal in literals)
    return not found if what == "!=" else found


def named(condition: Condition) -> set[str]:
    """The questions that a condition asks about."""
    what, *of = condition
    return set().union(*map(named, of)) if what in ("and", "or", "not") else {of[0]}


def _same(value: Any, literal: Any) -> bool:
    """Equal, where 1 is not true."""
    return value == literal and isinstance(value, bool) == isinstance(literal, bool)


def _tokens(text: str) -> list[Token]:
    found, at = [], 0
    while not found or found[-1].kind != "end":
        match = TOKEN.match(text, at)
        if match is None:
            at = BLANK.match(text, at).end()  # type: ignore[union-attr] - always matches
            raise DataError(
                f"unexpected {text[at]!r}",
                where=f"column {at + 1}",
                accepted="a question, `==`, `!=`, `in`, `and`, `or`, `not`, ( or )",
            )
        kind = str(match.lastgroup)
        said = match[kind]
        start = match.start(kind) - (kind in ("double", "single"))
        kind = "text" if kind in ("double", "single") else kind
        kind = said if kind == "mark" or (kind == "word" and said in KEYWORDS) else kind
        found.append(Token(kind, said, start + 1))
        at = match.end()
    return found


def _refuse(token: Token, accepted: str) -> NoReturn:
    raise DataError(f"unexpected {token}", where=f"column {token.column}", accepted=accepted)


class _Reader:
    """Reads a list of tokens from left to right: one method for each rule of the grammar."""

    def __init__(
        self, tokens: list[Token], earlier: Mapping[str, "Question"], later: Mapping[str, Any]
    ) -> None:
        self._tokens, self._at = tokens, 0
        self._earlier, self._later = earlier, later

    @property
    def next(self) -> Token:
        return self._tokens[self._at]

    def take(self, kind: str) -> Token | None:
        """The next token if it is of this kind."""
        token = self.next
        if token.kind != kind:
            return None
        self._at += kind != "end"
        return token

    def need(self, kind: str) -> None:
        if not self.take(kind):
            _refuse(self.next, f"`{kind}`")

    def any_of(self, depth: int) -> Condition:
        """Rule ``all_of ("or" all_of)*``."""
        found = self.all_of(depth)
        while self.take("or"):
            found = ("or", found, self.all_of(depth))
        return found

    def all_of(self, depth: int) -> Condition:
        """Rule ``negation ("and" negation)*``."""
        found = self.negation(depth)
        while self.take("and"):
            found = ("and", found, self.negation(depth))
        return found

    def negation(self, depth: int) -> Condition:
        """Rule ``"not" negation | "(" any_of ")" | comparison``."""
        if depth > DEEPEST:
            raise DataError("is nested too deeply", where=f"column {self.next.column}")
        if self.take("not"):
            return ("not", self.negation(depth + 1))
        if self.take("("):
            found = self.any_of(depth + 1)
            self.need(")")
            return found
        return self.comparison()

    def comparison(self) -> Condition:
        """Rule ``name ("==" | "!=") literal`` or ``name ["not"] "in" "[" literals "]"``."""
        question = self.question()
        for what in ("==", "!="):
            if self.take(what):
                return (what, question.id, self.literal(question))
        without = self.take("not")
        if not self.take("in"):
            _refuse(self.next, "`in`" if without else "`==`, `!=`, `in` or `not in`")
        self.need("[")
        literals = [self.literal(question)]
        while self.take(","):
            literals.append(self.literal(question))
        self.need("]")
        return _none_of(question.id, literals) if without else ("in", question.id, tuple(literals))

    def question(self) -> "Question":
        token = self.next
        if not self.take("word"):
            _refuse(token, "a question, `not` or (")
        if token.text in self._earlier:
            return self._require_comparable(self._earlier[token.text], token)
        where = f"column {token.column}"
        if token.text in self._later:
            raise DataError(
                f"{token.text!r} is not asked before this question",
                where=where,
                accepted="an earlier question",
            )
        hint = did_you_mean(token.text, self._earlier)
        raise DataError(f"no question {token.text!r}", where=where, next=hint)

    def _require_comparable(self, question: "Question", token: Token) -> "Question":
        why = {"matrix": "has a row of answers", "text": "is in free words"}.get(question.type, "")
        why = "is never asked" if question.source == "organiser" else why
        if why:
            raise DataError(
                f"{question.id!r} {why} and cannot decide", where=f"column {token.column}"
            )
        return question

    def literal(self, question: "Question") -> Any:
        """A value that the question can have."""
        token = self.next
        if token.kind not in ("word", "number", "text", "true", "false"):
            _refuse(token, "a value")
        self._at += 1
        if question.type == "bool" and token.kind in ("true", "false"):
            return token.kind == "true"
        if question.type in ("int", "number", "likert") and token.kind == "number":
            return float(token.text) if "." in token.text else int(token.text)
        if question.type in ("date", "hash") and token.kind == "text":
            return token.text
        if question.type in ("single", "multi") and token.text in question.options:
            return token.text
        raise DataError(
            f"{question.id!r} cannot be {token.text!r}",
            where=f"column {token.column}",
            accepted=_values(question),
        )


def _none_of(name: str, literals: list[Any]) -> Condition:
    """`not in` as comparisons, so that what was not answered makes it false as well."""
    found: Condition = ("!=", name, literals[0])
    for literal in literals[1:]:
        found = ("and", found, ("!=", name, literal))
    return found


def _values(question: "Question") -> str:
    if question.type in ("single", "multi"):
        return ", ".join(question.options)
    return {"bool": "true or false", "date": "a date in quotes", "hash": "a SHA-256 in quotes"}.get(
        question.type, "a number"
    )
