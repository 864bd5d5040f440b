"""What a queue tells of its submissions."""

from typing import Any, NamedTuple

__all__ = ["Entry", "Event", "Ticket", "entry"]


class Ticket(NamedTuple):
    """What a team gets for a submission.

    Attributes:
        id: By which it asks again; 128 random bits.
        state: Where it stands.
        again: Whether the very same bytes had been sent before, so that no try was taken.
        tries_left: After this one; None for the hosts.
    """

    id: str
    state: str
    again: bool
    tries_left: int | None


class Entry(NamedTuple):
    """One submission; moments are UTC, ISO 8601, and empty where there was none.

    Attributes:
        number: Order of arrival.
        host: The organisers' own.
        content: SHA-256 of its bytes, and the suffix of its name.
        state: One of `queue_tables.STATES`.
        code: Why it was refused or has failed.
        problems: What the check found, a sentence each.
        tail: The end of what its program printed.
        result: The result that stands; while it is scored anew, still the earlier one.
        version: Of the metric by which that was computed.
        costs: Whether it takes one of the team's tries.
        chosen: By the team, to be final.
        received: When it came.
        ended: When its latest outcome was written.
        worker: Who had it last.
        beaten: The worker's last sign of life, by the worker's clock.
        faults: Of the platform, since it was last put into the queue by somebody.
        position: In the queue, from 1; None if it does not wait, or in a list.
    """

    id: str
    number: int
    phase: str
    team: str
    host: bool
    content: str
    state: str
    code: str
    problems: tuple[str, ...]
    tail: str
    result: dict[str, Any] | None
    version: str | None
    costs: bool
    chosen: bool
    received: str
    ended: str
    worker: str
    beaten: str
    faults: int
    position: int | None = None


class Event(NamedTuple):
    """One thing that happened to a submission."""

    event: str
    at: str
    worker: str
    note: str
    result: dict[str, Any] | None
    version: str | None


def entry(row: Any, position: int | None = None) -> Entry:
    """A row of the table as others see it."""
    said = {name: getattr(row, name) for name in Entry._fields if name != "position"}
    said |= {"problems": tuple(row.problems), "ended": row.ended or "", "beaten": row.beaten or ""}
    return Entry(**said, position=position)
