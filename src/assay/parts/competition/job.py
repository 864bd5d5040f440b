"""One submission in the hands of one worker, and how it is given back.

Everything here is written under the token of the lease: once another worker holds the submission,
or it is to be scored by another metric, `LeaseLost` is raised and nothing is changed.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from assay.errors import ParameterError
from assay.parts.competition.queue_tables import EVENTS, SUBMISSIONS
from assay.parts.competition.rules import (
    CODE,
    LONGEST_PROBLEM,
    LONGEST_TAIL,
    MOST_PROBLEMS,
    LeaseLost,
    Rules,
    plain,
)
from assay.parts.databases import Database

__all__ = ["Job", "fault", "note"]


@dataclass(frozen=True)
class Job:
    """A submission that a worker holds.

    Attributes:
        id: Of the submission.
        phase: It was submitted to.
        team: Whose it is.
        path: Its bytes; not yet read through (`Queue.intact`).
        version: Of the metric that is to be computed.
        worker: Who holds it.
        token: Of the lease.
    """

    id: str
    phase: str
    team: str
    path: Path
    version: str
    worker: str
    token: int
    database: Database
    rules: Rules
    now: Callable[[], str]

    def beat(self) -> None:
        """Raise the counter: the worker is alive.

        Raises:
            LeaseLost: If another holds the submission.
            StoreError: If the database fails; the lease may still be held.
        """
        with self.database.write() as connection:
            changed = connection.execute(
                SUBMISSIONS.update()
                .where(*self._held())
                .values(beat=SUBMISSIONS.c.beat + 1, beaten=self.now())
            )
            if changed.rowcount != 1:
                raise self._lost()

    def done(self, result: Mapping[str, Any]) -> None:
        """The submission is scored, and this is its result.

        Raises:
            ParameterError: If the result is not JSON (NaN and infinity are not).
        """
        try:
            kept = json.loads(json.dumps(dict(result), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise ParameterError(f"a result is not JSON: {error}", where=self.id) from error
        self._settle("scored", costs=True, result=kept, version=self.version)

    def refused(self, code: str, problems: Sequence[str]) -> None:
        """The check of the format refused it, which costs no try."""
        listed = [plain(text, LONGEST_PROBLEM) for text in problems[:MOST_PROBLEMS]]
        self._settle("refused", costs=False, code=_code(code), problems=listed)

    def failed(self, code: str, tail: str = "", problems: Sequence[str] = ()) -> None:
        """It ran and failed by its own fault; whether that costs a try, the rules say."""
        listed = [plain(text, LONGEST_PROBLEM) for text in problems[:MOST_PROBLEMS]]
        said = {"code": _code(code), "problems": listed, "tail": plain(tail, LONGEST_TAIL)}
        self._settle("failed", costs=code in self.rules.costs, **said)

    def fault(self, reason: str) -> None:
        """The platform failed: back into the queue, or stuck after too many times.

        Args:
            reason: For the operator; the team is not shown it.
        """
        with self.database.write() as connection:
            fault(connection, self._row(connection), self.rules, self.now(), reason)

    def release(self) -> None:
        """The worker stops: back into the queue, and nobody's fault."""
        with self.database.write() as connection:
            row = self._row(connection)
            update(connection, row, state="queued", token=row.token + 1)
            note(connection, row, "queued", self.now(), "the worker stopped")

    def _settle(self, state: str, *, costs: bool, **said: Any) -> None:
        now = self.now()
        blank = {"code": "", "problems": [], "tail": "", "result": None, "version": None}
        with self.database.write() as connection:
            row = self._row(connection)
            kept = row.costs if row.settled else row.costs and costs  # a re-score costs nothing
            changes = {**blank, **said, "state": state, "costs": kept}
            update(connection, row, ended=now, settled=True, token=row.token + 1, **changes)
            outcome = {"result": said.get("result"), "version": self.version}
            note(connection, row, state, now, said.get("code", ""), **outcome)

    def _held(self) -> tuple[Any, ...]:
        columns = SUBMISSIONS.c
        return columns.id == self.id, columns.token == self.token, columns.state == "running"

    def _row(self, connection: sa.Connection) -> Any:
        """The submission, locked; nobody takes it over before the transaction ends."""
        found = sa.select(SUBMISSIONS).where(*self._held()).with_for_update()
        row = connection.execute(found).first()
        if row is None:
            raise self._lost()
        return row

    def _lost(self) -> LeaseLost:
        return LeaseLost("is no longer held by this worker", where=f"submission {self.id}")


def fault(connection: sa.Connection, row: Any, rules: Rules, now: str, reason: str) -> None:
    """Put a running submission back after a fault of the platform."""
    faults = row.faults + 1
    state = "queued" if faults <= rules.retries else "stuck"
    costs = row.costs and (state == "queued" or row.settled)
    update(connection, row, state=state, faults=faults, token=row.token + 1, costs=costs)
    note(connection, row, state, now, reason)


def update(connection: sa.Connection, row: Any, **changes: Any) -> None:
    """Change one submission."""
    connection.execute(
        SUBMISSIONS.update().where(SUBMISSIONS.c.number == row.number).values(**changes)
    )


def note(
    connection: sa.Connection,
    row: Any,
    event: str,
    at: str,
    text: str = "",
    *,
    result: Any = None,
    version: str | None = None,
) -> None:
    """Write down what happened to a submission."""
    connection.execute(
        EVENTS.insert().values(
            submission=row.number, event=event, at=at, worker=row.worker,
            note=plain(text, LONGEST_TAIL), result=result, version=version,
        )
    )  # fmt: skip


def _code(code: str) -> str:
    if not CODE.fullmatch(code):
        raise ParameterError(f"a code is {code!r}", accepted="a word in small letters")
    return code
