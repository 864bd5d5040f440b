"""What is wrong with a submission: one problem for each fault, with its file and line.

code             what it means
format           not JSON, CSV, UTF-8 or a zip, or not of the agreed form
missing_file     the manifest or a table is not there
missing_column   a table lacks a column
missing_case     a case has no prediction, and the challenge asks for one
unknown_case     a case that is not part of the phase
unknown_class    a class that the challenge does not have
unknown_file     a file that no task asks for; an archive within the archive
duplicate        a key, row, box or file that is there twice
nonfinite        NaN or infinity
out_of_range     a number beyond what is allowed
too_large        more bytes than are allowed, or packed more tightly
too_many         more files, or more boxes in an image, than are allowed
unsafe_path      a link, a device, or a name that leads out of the submission
encrypted        a file that needs a password
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from assay.core.params import short
from assay.errors import did_you_mean

__all__ = ["CODES", "MOST", "Capped", "Problem", "decoded", "nearest", "printable", "shown"]

CODES = (
    "format", "missing_file", "missing_column", "missing_case", "unknown_case", "unknown_class",
    "unknown_file", "duplicate", "nonfinite", "out_of_range", "too_large", "too_many",
    "unsafe_path", "encrypted",
)  # fmt: skip
MOST = 100
"""So many problems are listed; the others are counted."""
T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        code: One of `CODES`.
        file: Within the submission; empty for the submission itself.
        line: From 1; None where a file has no lines, or is not there.
        what: What was found, without a full stop.
        accepted: What would have been accepted.
    """

    code: str
    file: str
    line: int | None
    what: str
    accepted: str = ""

    def __str__(self) -> str:
        line = f" line {self.line}" if self.line else ""
        place = f"{self.file}{line}: " if self.file else ""
        wanted = f"; expected {self.accepted}" if self.accepted else ""
        return f"{place}{self.what}{wanted} [{self.code}]"


@dataclass
class Capped(Generic[T]):
    """A list that keeps the first `MOST` and counts the rest."""

    kept: list[T] = field(default_factory=list)
    more: int = 0

    @property
    def full(self) -> bool:
        """Whether what comes now is only counted, and need not be put into many words."""
        return len(self.kept) >= MOST

    def add(self, found: T) -> None:
        """Keep one, or count it."""
        if self.full:
            self.more += 1
        else:
            self.kept.append(found)

    def extend(self, found: Iterable[T], more: int = 0) -> None:
        """Keep several; ``more`` were only counted where they come from."""
        for one in found:
            self.add(one)
        self.more += more


def decoded(data: bytes, file: str) -> str | Problem:
    """Text in UTF-8, without the mark that some programs put before it; or what is wrong."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The codec counts from behind the mark.
        at = error.start + (3 if data.startswith(b"\xef\xbb\xbf") else 0)
        line = data.count(b"\n", 0, at) + 1
        return Problem("format", file, line, f"byte {at} is not UTF-8", "text in UTF-8")


def printable(name: str) -> str:
    """A name as a message may print it: no control characters, no half of a pair, not long."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[:250])


def nearest(name: str, known: Iterable[str], otherwise: str) -> str:
    """What to write instead of an unknown name."""
    near = did_you_mean(name[:200], known)
    return near.removeprefix("Did you mean ").rstrip("?") if near.startswith("Did") else otherwise


def shown(value: Any) -> str:
    """A value from a submission as a message may print it: short, in one line.

    Example:
        >>> shown([1, 2]), shown("needle")
        ('a list', "'needle'")
    """
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a mapping"
    return short(value[:80] if isinstance(value, str) else value)
