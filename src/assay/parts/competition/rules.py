"""What a queue of submissions is told: phases, tries, and what a fault of whom costs.

Who is at fault decides everything. A *participant's fault* (`Refusal`) is final and has a code;
whatever else goes wrong is the platform's: it returns the submission to the queue and costs no try.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from assay.errors import DataError, ParameterError, StoreError

__all__ = ["COSTS", "LeaseLost", "PhaseRules", "Refusal", "Rules", "plain", "utc_now"]

COSTS = frozenset({
    "timeout", "memory", "processes", "too_large", "link", "crash", "not_started",
    "missing_case", "nonfinite",
})  # fmt: skip
"""Codes of a failed run that cost a try. To be refused by the check of the format costs none."""
CODE = re.compile(r"[a-z][a-z0-9_]{0,39}")
MOST_PROBLEMS, LONGEST_PROBLEM, LONGEST_TAIL = 100, 500, 8192


@dataclass(frozen=True)
class PhaseRules:
    """When and how often a team may submit, and what of it counts in the end.

    Attributes:
        closes: From this moment on nothing is taken.
        tries: Submissions of a team that cost a try.
        opens: Before this moment nothing is taken; None for no such moment.
        finals: How many of its scored submissions a team may choose to be its final ones.
        choose_until: From this moment on no choice is taken; None for ``closes``.
        unchosen: Which are taken of a team that chose none: as many, its best or its latest.
    """

    closes: datetime
    tries: int = 10
    opens: datetime | None = None
    finals: int = 1
    choose_until: datetime | None = None
    unchosen: Literal["best", "latest"] = "best"

    def __post_init__(self) -> None:
        for name in ("opens", "closes", "choose_until"):
            moment = getattr(self, name)
            if moment is not None and moment.utcoffset() is None:
                raise ParameterError(
                    f"{name} is {moment}", where="phase", accepted="a moment with its UTC offset"
                )
        for name in ("tries", "finals"):
            if getattr(self, name) < 1:
                raise ParameterError(f"{name} is {getattr(self, name)}", accepted="at least 1")


@dataclass(frozen=True)
class Rules:
    """The rules of a queue.

    Attributes:
        phases: By name.
        version: Of the metric that this process computes; a worker takes only what is to be scored
            by it.
        costs: Codes of a failed run that cost a try.
        retries: How often a submission is tried again after a fault of the platform, before it is
            ``stuck`` and the operator's business.
        lease_seconds: So long a worker's counter may stand still before another takes over.
        max_bytes: Of one submission.
    """

    phases: Mapping[str, PhaseRules]
    version: str = "1"
    costs: frozenset[str] = field(default=COSTS)
    retries: int = 3
    lease_seconds: float = 60.0
    max_bytes: int = 2**30


class Refusal(DataError):
    """A participant's fault.

    Args:
        code: What kind, such as ``format`` or ``timeout``: a word in small letters.
        problems: What the check of the format found. With them, or without a tail, the submission
            is ``refused``, which costs no try.
        tail: The end of what the program printed. With it, the submission has ``failed``.
        failed: Whether a try was used although nothing was printed.
    """

    def __init__(
        self, code: str, problems: Sequence[str] = (), *, tail: str = "", failed: bool = False
    ) -> None:
        said = f": {'; '.join(problems[:3])}" if problems else ""
        super().__init__(f"{code}{said}", where="submission")
        self.code, self.problems, self.tail = code, tuple(problems), tail
        self.failed = failed or bool(tail)

    def at(self, where: str) -> "Refusal":
        """The same: a refusal is always found in the submission."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep what it says when it travels between processes."""
        return _rebuilt, (self.code, self.problems, self.tail, self.failed)


class LeaseLost(StoreError):
    """A worker no longer holds a submission; what it found is not written."""


def _rebuilt(code: str, problems: tuple[str, ...], tail: str, failed: bool) -> Refusal:
    return Refusal(code, problems, tail=tail, failed=failed)


def utc_now() -> datetime:
    """The time of this host."""
    return datetime.now(UTC)


def plain(text: str, most: int) -> str:
    r"""The end of a text as every database takes it: no NUL, no half of a character.

    Example:
        >>> ascii(plain("a\0b\ud800", 10))
        "'a\\ufffdb?'"
    """
    return text[-most:].replace("\0", "\ufffd").encode("utf-8", "replace").decode()
