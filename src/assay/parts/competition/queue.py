"""The queue of submissions: each is scored once, whatever dies meanwhile, and no try is lost by it.

    received ─ queued ─ running ─┬─ scored                    the result stands
                 ↑         │     ├─ refused (code, problems)  the format: costs no try
                 │         │     └─ failed (code, tail)       the program: costs a try by its code
                 └─────────┤ a fault of the platform: costs none
                           └─ stuck, after too many of them: the operator's business

Every step is one transaction and leaves an event (`Queue.history`). A worker holds a submission by
a lease: it raises a counter, and who sees that stand still for `Rules.lease_seconds` of their
own clock takes over; clocks of different hosts are never compared. Each lease has a token, and
nothing is written under an old one: of two workers that score the same submission, one is heard.

Notable: the same bytes of a team in a phase are one submission, however often they come: sending
them again, before the deadline or after, gives the first ticket and costs nothing. What is stuck
gives its try back for good; put back by the operator, it is free. A submission of the hosts is
scored like any other, but takes no try and stays off the board.
"""

import math
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from assay.errors import ParameterError, UsageError, did_you_mean
from assay.parts.competition.deposit import Deposit
from assay.parts.competition.entries import Entry, Event, Ticket, entry
from assay.parts.competition.job import Job, fault, note, update
from assay.parts.competition.queue_tables import EVENTS, METRIC, SUBMISSIONS
from assay.parts.competition.rules import PhaseRules, Refusal, Rules, utc_now
from assay.parts.competition.tries import locked, must_be_open, same, used, utc
from assay.parts.databases import Database

__all__ = ["Queue"]


class Queue:
    """The submissions of a competition; used by many threads, processes and hosts at a time.

    Args:
        database: Opened with the tables of `queue_tables.METADATA`.
        folder: Where the bytes lie; every worker sees it.
        rules: Phases, tries and costs.
        now: The time, with its offset from UTC.
        clock: Seconds that only ever grow, for judging leases.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        rules: Rules,
        now: Callable[[], datetime] = utc_now,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rules = rules
        self._database, self._deposit = database, Deposit(folder)
        self._now, self._clock = now, clock
        self._seen: dict[str, tuple[tuple[int, int], float]] = {}
        self._looking = threading.Lock()
        with database.write() as connection:
            connection.execute(
                sa.text("INSERT INTO metric (one, version) VALUES (1, :v) ON CONFLICT DO NOTHING"),
                {"v": rules.version},
            )

    # Teams

    def submit(self, team: str, phase: str, path: Path, *, host: bool = False) -> Ticket:
        """Take a submission; when this returns, it is on the disk and in the queue.

        Args:
            team: Who; one spelling for one team.
            phase: To which phase.
            path: A file, which is copied.
            host: The organisers' own: takes no try, knows no deadline, stays off the board.

        Raises:
            UsageError: If there is no such phase.
            Refusal: ``too_early``, ``too_late``, ``no_tries``, ``too_large`` or ``format``.
            StoreError: If the disk or the database fails; nothing was counted then.
        """
        rules, received = self._phase(phase), self._moment()
        with (
            self._deposit.taking(path, self.rules.max_bytes) as (content, place),
            self._database.write() as connection,
        ):
            locked(connection, phase, team)
            found = same(connection, phase, team, content, host)
            left = None if host else rules.tries - used(connection, phase, team)
            if found is not None:
                return Ticket(found.id, found.state, True, left)
            if left is not None:
                must_be_open(rules, received)
                if left < 1:
                    raise Refusal("no_tries", [f"all {rules.tries} tries are used"])
                left -= 1
            place()
            row = self._entered(connection, phase, team, content, host, utc(received))
            note(connection, row, "received", row.received)
            note(connection, row, "queued", self._time())
            return Ticket(row.id, row.state, False, left)

    def status(self, id: str) -> Entry:
        """One submission: where it stands, its place in the queue, its worker's last sign of life.

        Raises:
            UsageError: If there is none of that id.
        """
        columns = SUBMISSIONS.c
        with self._database.read() as connection:
            row = connection.execute(sa.select(SUBMISSIONS).where(columns.id == id)).first()
            if row is None:
                raise UsageError(f"no submission {id!r}", where="queue")
            before = sa.select(sa.func.count()).where(
                columns.state == "queued", columns.number < row.number
            )
            place = connection.execute(before).scalar_one() if row.state == "queued" else None
        return entry(row, None if place is None else place + 1)

    def tries_left(self, team: str, phase: str) -> int:
        """How many submissions a team may still send in."""
        with self._database.read() as connection:
            return max(0, self._phase(phase).tries - used(connection, phase, team))

    def choose(self, team: str, phase: str, ids: Sequence[str]) -> None:
        """A team says which of its scored submissions are its final ones; again to change it.

        Raises:
            Refusal: ``too_late``, ``too_many``, or ``unknown``: not its own, or not scored.
        """
        rules, moment, columns = self._phase(phase), self._moment(), SUBMISSIONS.c
        if moment >= (until := rules.choose_until or rules.closes):
            raise Refusal("too_late", [f"choosing ended at {utc(until)}; it is {utc(moment)}"])
        if len(set(ids)) > rules.finals:
            raise Refusal("too_many", [f"{len(set(ids))} are chosen, {rules.finals} may be"])
        with self._database.write() as connection:
            locked(connection, phase, team)
            own = (columns.phase == phase, columns.team == team, columns.host.is_(False))
            known = sa.select(columns.id).where(*own, columns.result.is_not(None))
            unknown = set(ids) - set(connection.execute(known).scalars())
            if unknown:
                raise Refusal("unknown", [f"no scored submission {sorted(unknown)[0]!r}"])
            connection.execute(
                SUBMISSIONS.update().where(*own).values(chosen=columns.id.in_(list(ids)))
            )

    # Workers

    def take(self, worker: str) -> Job | None:
        """The oldest submission that waits, for this worker; None if there is none.

        Whatever is held by a worker whose counter has stood still is put back first.
        """
        self._put_back()
        now, columns = self._time(), SUBMISSIONS.c
        waiting = (
            sa.select(SUBMISSIONS)
            .where(columns.state == "queued", columns.wanted == self.rules.version)
            .order_by(columns.number)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        with self._database.write() as connection:
            row = connection.execute(waiting).first()
            if row is None:
                return None
            token = row.token + 1
            changes = {"state": "running", "worker": worker, "beat": 0, "beaten": now}
            update(connection, row, token=token, **changes)
            note(connection, row, "running", now, f"taken by {worker}")
        return Job(
            row.id, row.phase, row.team, self._deposit.path(row.content), row.wanted, worker, token,
            self._database, self.rules, self._time,
        )  # fmt: skip

    def intact(self, content: str) -> Path:
        """The bytes of a submission, read through.

        Args:
            content: Their name, as an entry has it.

        Raises:
            DamagedArtifact: If they are missing, or not what was sent.
        """
        return self._deposit.intact(content)

    def _put_back(self) -> None:
        """Return what is held by a worker that gives no sign of life, as this process sees it."""
        columns = SUBMISSIONS.c
        running = sa.select(columns.id, columns.token, columns.beat).where(
            columns.state == "running"
        )
        with self._database.read() as connection:
            beats = {row.id: (row.token, row.beat) for row in connection.execute(running)}
        with self._looking:
            now, before = self._clock(), self._seen
            self._seen = {
                id: before[id] if id in before and before[id][0] == beat else (beat, now)
                for id, beat in beats.items()
            }
            still = [
                (id, beat)
                for id, (beat, since) in self._seen.items()
                if now - since > self.rules.lease_seconds
            ]
        for id, (token, beat) in still:
            held = (columns.id == id, columns.token == token, columns.beat == beat)
            found = sa.select(SUBMISSIONS).where(*held, columns.state == "running")
            with self._database.write() as connection:
                row = connection.execute(found.with_for_update(skip_locked=True)).first()
                if row is not None:
                    reason = f"worker {row.worker} gave no sign of life"
                    fault(connection, row, self.rules, self._time(), reason)

    # Organisers

    def entries(self, phase: str, *, hosts: bool = False) -> list[Entry]:
        """The submissions of a phase in the order of their arrival.

        Args:
            phase: Which.
            hosts: Whether those of the organisers are wanted too; the board does not want them.
        """
        self._phase(phase)
        columns = SUBMISSIONS.c
        found = sa.select(SUBMISSIONS).where(columns.phase == phase).order_by(columns.number)
        with self._database.read() as connection:
            return [entry(row) for row in connection.execute(found) if hosts or not row.host]

    def finals(self, phase: str, score: Callable[[dict[str, Any]], float | None]) -> list[Entry]:
        """The final submissions of every team, of those that have a result.

        A team's chosen ones; of a team that chose none, as many as it might have chosen: its best
        or its latest, as the phase declares.

        Args:
            phase: Which.
            score: What a result is worth, more being better; None for what cannot be ranked.
        """
        rules, teams = self._phase(phase), {}
        for each in self.entries(phase):
            if each.result is not None:
                teams.setdefault(each.team, []).append(each)
        found = []
        for own in teams.values():
            if not (chosen := [each for each in own if each.chosen]):
                chosen = own[::-1]  # of equals the later one
                if rules.unchosen == "best":
                    chosen.sort(key=lambda each: _worth(score, each), reverse=True)
            found += chosen[: rules.finals]
        return sorted(found, key=lambda each: each.number)

    def history(self, id: str) -> list[Event]:
        """All that happened to a submission, results included that no longer stand.

        For the operator: what went wrong on the platform's part may tell of the truth.
        """
        with self._database.read() as connection:
            rows = connection.execute(
                sa.select(EVENTS)
                .join(SUBMISSIONS, SUBMISSIONS.c.number == EVENTS.c.submission)
                .where(SUBMISSIONS.c.id == id)
                .order_by(EVENTS.c.number)
            )
            return [Event(r.event, r.at, r.worker, r.note, r.result, r.version) for r in rows]

    def rescore(self, version: str, *, failed: bool = False) -> int:
        """Have everything scored anew, by another version of the metric.

        A result stands until the new one does, and stays in the history after that; tries are not
        touched. What a worker scores by the old version at this moment is not heard any more.

        Args:
            version: Of the metric; workers of another version take nothing from now on.
            failed: Whether what was refused or failed gets another chance.

        Returns:
            How many were put back; those that waited are not among them.
        """
        columns, now = SUBMISSIONS.c, self._time()
        again = ["scored", "running", "stuck", *(["refused", "failed"] if failed else [])]
        with self._database.write() as connection:
            connection.execute(METRIC.update().values(version=version))  # locks: one at a time
            rows = connection.execute(
                sa.select(SUBMISSIONS)
                .where(columns.state.in_(again), columns.wanted != version)
                .order_by(columns.number)
                .with_for_update()
            ).all()
            connection.execute(
                SUBMISSIONS.update().where(columns.state == "queued").values(wanted=version)
            )
            for row in rows:
                changes = {"state": "queued", "faults": 0, "token": row.token + 1}
                update(connection, row, wanted=version, **changes)
                note(connection, row, "queued", now, f"to be scored by metric {version}")
        return len(rows)

    def retry(self, id: str) -> None:
        """Put back what is stuck, when the platform has been repaired.

        Raises:
            UsageError: If it is not stuck.
        """
        columns = SUBMISSIONS.c
        stuck = sa.select(SUBMISSIONS).where(columns.id == id, columns.state == "stuck")
        with self._database.write() as connection:
            row = connection.execute(stuck.with_for_update()).first()
            if row is None:
                raise UsageError(f"no submission {id!r} is stuck", where="queue")
            update(connection, row, state="queued", faults=0)
            note(connection, row, "queued", self._time(), "put back by the operator")

    def sweep(self, older_than_seconds: float = 86400.0) -> int:
        """Remove files left by a process that was killed while it took a submission; how many."""
        with self._database.read() as connection:
            named = set(connection.execute(sa.select(SUBMISSIONS.c.content)).scalars())
        return self._deposit.sweep(named, older_than_seconds)

    # How it is done

    def _phase(self, name: str) -> PhaseRules:
        if name not in self.rules.phases:
            hint = did_you_mean(name, self.rules.phases)
            raise UsageError(f"no phase {name!r}", where="queue", next=hint)
        return self.rules.phases[name]

    def _moment(self) -> datetime:
        moment = self._now()
        if moment.utcoffset() is None:
            raise ParameterError(f"it is {moment}", accepted="a time with its offset from UTC")
        return moment

    def _time(self) -> str:
        return utc(self._moment())

    def _entered(
        self, connection: sa.Connection, phase: str, team: str, content: str, host: bool, at: str
    ) -> Any:
        """A new row."""
        metric = sa.select(METRIC.c.version).with_for_update(read=True)  # a re-score waits
        values = {
            "id": secrets.token_hex(16), "phase": phase, "team": team, "host": host,
            "content": content, "state": "queued", "costs": not host, "settled": False,
            "wanted": connection.execute(metric).scalar_one(), "received": at, "problems": [],
            "chosen": False, "token": 0, "beat": 0, "faults": 0,
        }  # fmt: skip
        connection.execute(SUBMISSIONS.insert().values(**values))
        found = sa.select(SUBMISSIONS).where(SUBMISSIONS.c.id == values["id"])
        return connection.execute(found).one()


def _worth(score: Callable[[dict[str, Any]], float | None], each: Entry) -> float:
    """What a submission is worth; what cannot be ranked is worth least."""
    worth = score(each.result or {})
    return worth if worth is not None and math.isfinite(worth) else -math.inf
