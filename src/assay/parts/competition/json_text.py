"""JSON that somebody else wrote: read strictly, and each fault with its line.

Notable: the fast reader of the standard library does not tell lines. It reads; where something is
wrong, the text is walked once more, token by token and without recursion, to find the lines.
"""

import json
import math
import re
from collections.abc import Callable
from typing import Any, TypeVar

from assay.parts.competition.problems import Capped, Problem, decoded, shown

__all__ = ["DEEPEST", "Complaint", "Place", "number", "read_json", "require_keys"]

DEEPEST = 20
MOST_DIGITS = 300
TOKEN = re.compile(
    r'[ \t\n\r]*+([\[\]{},:]|"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^ \t\n\r\[\]{},:"]++)', re.DOTALL
)
OPEN, CLOSE = ("[", "{"), ("]", "}")
Place = tuple[str | int, ...]
T = TypeVar("T")


class Complaint(Exception):
    """Something wrong at a place of a document.

    Args:
        at: Keys and positions that lead there.
        code: One of `problems.CODES`.
        what: What was found.
        accepted: What would have been accepted.
    """

    def __init__(self, at: Place, code: str, what: str, accepted: str = "") -> None:
        super().__init__(at, code, what, accepted)
        self.at, self.code, self.what, self.accepted = at, code, what, accepted


def number(value: Any, at: Place, low: float, high: float) -> float:
    """A finite number of a range, both ends included.

    Raises:
        Complaint: If it is none.
    """
    accepted = f"a number from {low:g} to {high:g}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Complaint(at, "format", f"{shown(value)} is no number", accepted)
    if isinstance(value, float) and not math.isfinite(value):
        raise Complaint(at, "nonfinite", f"{value} is not finite", accepted)
    if not low <= value <= high:
        raise Complaint(at, "out_of_range", f"{shown(value)} is out of range", accepted)
    return float(value)


def require_keys(
    value: Any, keys: tuple[str, ...], at: Place, *, optional: tuple[str, ...] = ()
) -> None:
    """Hold a mapping to its keys.

    Raises:
        Complaint: If it lacks one, has others, or is none.
    """
    accepted = ", ".join(dict.fromkeys((*keys, *optional)))
    if not isinstance(value, dict):
        raise Complaint(at, "format", f"{shown(value)} is no mapping", accepted)
    for key in value:
        if key not in keys and key not in optional:
            raise Complaint((*at, key), "format", f"no key {shown(key)}", accepted)
    for key in keys:
        if key not in value:
            raise Complaint(at, "format", f"lacks {key!r}", accepted)


def read_json(
    data: bytes, file: str, read: Callable[[Any, Capped[Complaint]], T]
) -> tuple[T | None, Capped[Problem]]:
    """Read a document, and say everything that is wrong with it.

    Args:
        data: Its bytes.
        file: Its name, for problems.
        read: Makes something of the parsed document; adds or raises complaints.

    Returns:
        What was made, None if anything is wrong; and the problems.
    """
    problems: Capped[Problem] = Capped()
    text = decoded(data, file)
    if isinstance(text, Problem):
        problems.add(text)
        return None, problems
    complaints: Capped[Complaint] = Capped()
    twice: list[str] = []
    made, parsed = None, False
    try:
        value = json.loads(text, object_pairs_hook=lambda pairs: _object(pairs, twice))
        parsed = True
        made = read(value, complaints)
    except json.JSONDecodeError as error:
        problems.add(Problem("format", file, error.lineno, f"not JSON: {error.msg}", "JSON"))
        return None, problems
    except Complaint as complaint:
        complaints.add(complaint)
    except (RecursionError, ValueError):  # nested too deeply, or a number of too many digits
        if parsed:
            raise
        complaints.add(Complaint((), "format", "cannot be read", "JSON of few levels"))
    if not complaints.kept and not twice:
        return made, problems
    lines, faults = _walk(text, {complaint.at for complaint in complaints.kept})
    if faults.kept:  # what stands in such a document is open to question: say only these
        told = [Problem(code, file, line, what) for line, code, what in faults.kept]
    else:
        told = [Problem(c.code, file, _line(lines, c.at), c.what, c.accepted)
                for c in complaints.kept]  # fmt: skip
    problems.extend(told, faults.more or complaints.more)
    return None, problems


def _object(pairs: list[tuple[str, Any]], twice: list[str]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs) and not twice:
        twice.append("a key")
    return made


def _line(lines: dict[Place, int], at: Place) -> int:
    """The line of a place, or of the nearest one around it that is there."""
    while at and at not in lines:
        at = at[:-1]
    return lines.get(at, 1)


def _walk(text: str, wanted: set[Place]) -> tuple[dict[Place, int], Capped[tuple[int, str, str]]]:
    """The lines of places, and what the fast reader lets pass or cannot take.

    Returns:
        Lines by place, with those of the places around them; and (line, code, what).
    """
    wanted = {at[:n] for at in wanted for n in range(len(at) + 1)}
    lines: dict[Place, int] = {}
    faults: Capped[tuple[int, str, str]] = Capped()
    levels: list[_Level] = []
    end, line = 0, 1
    while match := TOKEN.match(text, end):
        word = match[1]
        line += text.count("\n", end, match.start(1))
        end = match.end()
        if word in CLOSE:
            del levels[-1:]
        elif word == ",":
            if levels:
                levels[-1].next()
        elif levels and levels[-1].at is None:
            if not levels[-1].name(_text(word)):
                faults.add((line, "duplicate", f"key {shown(levels[-1].at)} is there twice"))
        elif word != ":":
            place: Place = tuple(level.at for level in levels if level.at is not None)
            if place in wanted:
                lines.setdefault(place, line)
            if word in OPEN:
                if len(levels) == DEEPEST:
                    faults.add((line, "format", f"nested in more than {DEEPEST} levels"))
                    break
                levels.append(_Level(word))
            elif len(word) > MOST_DIGITS and word[0] != '"':
                faults.add((line, "out_of_range", f"a number of {len(word)} digits"))
    return lines, faults


class _Level:
    """An open list or object: where in it the walk is; None where a key comes next."""

    def __init__(self, bracket: str) -> None:
        self.at: str | int | None = 0 if bracket == "[" else None
        self.keys: set[str] = set()

    def next(self) -> None:
        """Go behind a comma."""
        self.at = self.at + 1 if isinstance(self.at, int) else None

    def name(self, key: str) -> bool:
        """Take the next key of an object; whether it is new."""
        new = key not in self.keys
        self.keys.add(key)
        self.at = key
        return new


def _text(word: str) -> str:
    try:
        return str(json.loads(word))
    except (ValueError, RecursionError):
        return word
