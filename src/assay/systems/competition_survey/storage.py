"""The store of a survey: answers, drafts, invitations and sessions.

What a call has saved is on the disk when it returns: an answer that was acknowledged survives
`kill -9` and a power cut.

Notable: of tokens and sessions only SHA-256 digests are kept. Submitting again replaces the
answers; the earlier ones are kept as history. Two teams of one name are told (`duplicates`), never
merged. Who left a name stands elsewhere (`people.py`).
"""

import hashlib
import secrets
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from assay.errors import StoreError
from assay.parts.databases import Database
from assay.systems.competition_survey.schema import HISTORY, RESPONSES, SESSIONS, TOKENS

__all__ = ["Kept", "Storage", "Total", "normalised"]


class Kept(NamedTuple):
    """One respondent as the store knows them.

    Attributes:
        respondent: Random, 128 bits.
        instrument: Hash of the instrument that the answers belong to.
        started: When something was saved first; empty before.
        completed: When the answers were last submitted; empty before.
        draft: What stands in the form, by question.
        sections: Those saved at least once.
        answers: What was submitted; None before.
        revision: How often.
        opened: When a section was shown first; empty before.
        seconds: From then to submitting first; None where it is not known.
    """

    respondent: str
    competition: str
    team: str
    mode: str
    instrument: str
    started: str
    completed: str
    draft: dict[str, Any]
    sections: list[str]
    answers: dict[str, Any] | None
    revision: int
    opened: str = ""
    seconds: float | None = None


class Total(NamedTuple):
    """How far the teams of one competition are."""

    competition: str
    invited: int
    started: int
    completed: int


def normalised(name: str) -> str:
    """A name without what people spell differently: case, width, accents and punctuation.

    Marks that make another word of it, such as vowel signs, stay, and so do the symbols of a name
    that has nothing else. Of punctuation alone nothing stays: it is often typed for no name.

    Example:
        >>> normalised("The  É-Team") == normalised("the e team")
        True
    """
    apart = unicodedata.normalize("NFKD", name).casefold()
    kept = "".join(letter for letter in apart if letter.isalnum() or _is_sign(letter))
    return kept or "".join(sign for sign in apart if unicodedata.category(sign).startswith("S"))


def _is_sign(letter: str) -> bool:
    """Whether a mark belongs to the word: no accent of Latin, Greek or Cyrillic letters."""
    return unicodedata.category(letter) in ("Mc", "Mn") and not "\u0300" <= letter <= "\u036f"


def digest(secret: str) -> str:
    """What is kept of a token or session."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Storage:
    """Answers, drafts, invitations and sessions; used by many threads at a time."""

    def __init__(self, database: Database) -> None:
        self._read, self._write = database.read, database.write

    # Invitations and sessions

    def invite(self, competition: str, team: str, *, renew: bool = False) -> str | None:
        """A new token for a team, shown this once; None if it has one and no other is wanted.

        Args:
            competition: Its name.
            team: As the organiser writes it; the same after `normalised` is the same team.
            renew: Make the earlier token worthless.
        """
        return self.invite_all([(competition, team)], renew=renew)[0]

    def invite_all(
        self, teams: Iterable[tuple[str, str]], *, renew: bool = False
    ) -> list[str | None]:
        """What `invite` gives for each competition and team: for all, or nothing is done."""
        with self._write() as connection:
            return [_invite(connection, *pair, renew=renew) for pair in teams]

    def start(self, competition: str, team: str) -> str:
        """A new respondent of an open survey."""
        with self._write() as connection:
            return _begin(connection, competition, team, "open")

    def link(self, respondent: str) -> str:
        """A further token for somebody, to go on elsewhere."""
        with self._write() as connection:
            return _link(connection, respondent)

    def holder(self, token: str) -> str | None:
        """Whose token this is."""
        return self._behind(TOKENS, token)

    def bind(self, session: str, respondent: str) -> None:
        """From now on the session is this respondent's."""
        with self._write() as connection:
            connection.execute(
                SESSIONS.insert().values(digest=digest(session), respondent=respondent)
            )

    def unbind(self, session: str) -> None:
        """From now on the session is nobody's."""
        with self._write() as connection:
            connection.execute(SESSIONS.delete().where(SESSIONS.c.digest == digest(session)))

    def behind(self, session: str) -> Kept | None:
        """Whose session this is."""
        respondent = self._behind(SESSIONS, session) if session else None
        return self.read(respondent) if respondent else None

    # Answers

    def read(self, respondent: str) -> Kept:
        """One respondent.

        Raises:
            StoreError: If there is none of that key.
        """
        with self._read() as connection:
            row = connection.execute(
                sa.select(RESPONSES).where(RESPONSES.c.respondent == respondent)
            ).first()
        if row is None:
            raise StoreError(f"no respondent {respondent!r}", where="survey")
        return _kept(row)

    def open(self, respondent: str) -> None:
        """Note that somebody sees questions, from which on it takes them time."""
        with self._write() as connection:
            connection.execute(
                RESPONSES.update()
                .where(RESPONSES.c.respondent == respondent, RESPONSES.c.opened.is_(None))
                .values(opened=_now())
            )

    def save(
        self, respondent: str, section: str, values: Mapping[str, Any], *, instrument: str
    ) -> Kept:
        """Save a section of the draft; the other sections stay as they are.

        Args:
            respondent: Whose.
            section: Its name.
            values: By question; None where there is no answer.
            instrument: Hash of the instrument.
        """
        with self._write() as connection:
            kept = _locked(connection, respondent)
            merged = {k: v for k, v in {**kept.draft, **values}.items() if v is not None}
            sections = [*kept.sections, *([] if section in kept.sections else [section])]
            changes = {
                "draft": merged,
                "sections": sections,
                "started": kept.started or _now(),
                "instrument": kept.instrument if kept.answers is not None else instrument,
            }
            _update(connection, respondent, changes)
        return kept._replace(**changes)

    def complete(self, respondent: str, answers: Mapping[str, Any], *, instrument: str) -> Kept:
        """Submit: the answers replace those submitted before, which go into the history."""
        with self._write() as connection:
            kept = _locked(connection, respondent)
            if kept.answers is not None:
                connection.execute(
                    HISTORY.insert().values(
                        respondent=respondent,
                        revision=kept.revision,
                        instrument=kept.instrument,
                        completed=kept.completed,
                        answers=kept.answers,
                    )
                )
            now = _now()
            took = _seconds(kept.opened or kept.started or now, now)
            changes = {
                "answers": dict(answers),
                "completed": now,
                "started": kept.started or now,
                "seconds": took if kept.answers is None else kept.seconds,
                "instrument": instrument,
                "revision": kept.revision + 1,
            }
            _update(connection, respondent, changes)
        return kept._replace(**changes)

    def everyone(self) -> list[Kept]:
        """All respondents by competition and team; of one team, the latest submission last."""
        columns = RESPONSES.c
        done = sa.func.coalesce(columns.completed, "")
        order = (columns.competition, columns.team_key, done, columns.respondent)
        with self._read() as connection:
            return [_kept(row) for row in connection.execute(sa.select(RESPONSES).order_by(*order))]

    def history(self, respondent: str) -> list[dict[str, Any]]:
        """Earlier answers of one respondent, the oldest first."""
        with self._read() as connection:
            rows = connection.execute(
                sa.select(HISTORY.c.answers)
                .where(HISTORY.c.respondent == respondent)
                .order_by(HISTORY.c.revision)
            )
            return [row.answers for row in rows]

    def add(self, responses: Iterable[Kept]) -> int:
        """Take in answers that were collected elsewhere; all of them or none.

        Returns:
            How many.

        Raises:
            StoreError: If a respondent is here already.
        """
        rows = [
            {**one._asdict(), "team_key": normalised(one.team), "mode": "imported", "revision": 1}
            for one in responses
        ]
        if not rows:
            return 0
        try:
            with self._write() as connection:
                connection.execute(RESPONSES.insert(), rows)
        except IntegrityError as error:
            raise StoreError(
                "some of these respondents are here already", where="survey"
            ) from error
        return len(rows)

    def totals(self) -> list[Total]:
        """How far each competition is."""
        columns = RESPONSES.c
        with self._read() as connection:
            rows = connection.execute(
                sa.select(
                    columns.competition,
                    sa.func.count(),
                    sa.func.count(_begun(columns)),
                    sa.func.count(sa.func.nullif(columns.completed, "")),
                )
                .group_by(columns.competition)
                .order_by(columns.competition)
            )
            return [Total(*row) for row in rows]

    def duplicates(self) -> list[tuple[str, list[str]]]:
        """Respondents of one competition whose teams have the same normalised name."""
        groups: dict[tuple[str, str], list[str]] = {}
        columns = RESPONSES.c
        with self._read() as connection:
            for row in connection.execute(
                sa.select(columns.competition, columns.team_key, columns.respondent)
                .where(_begun(columns).is_not(None))
                .order_by(columns.competition, columns.team_key, columns.respondent)
            ):
                groups.setdefault((row.competition, row.team_key), []).append(row.respondent)
        return [(place, found) for (place, _), found in groups.items() if len(found) > 1]

    # How it is done

    def _behind(self, table: sa.Table, secret: str) -> str | None:
        """The respondent behind a secret: found by digest, which no guess can steer."""
        with self._read() as connection:
            return connection.execute(
                sa.select(table.c.respondent).where(table.c.digest == digest(secret))
            ).scalar()


def _begun(columns: Any) -> Any:
    """When somebody began; of answers from elsewhere only the end may be known."""
    return sa.func.coalesce(
        sa.func.nullif(columns.started, ""), sa.func.nullif(columns.completed, "")
    )


def _invite(connection: sa.Connection, competition: str, team: str, *, renew: bool) -> str | None:
    found = connection.execute(
        sa.select(RESPONSES.c.respondent).where(
            RESPONSES.c.competition == competition,
            RESPONSES.c.team_key == normalised(team),
            RESPONSES.c.mode == "closed",
        )
    ).scalar()
    if found and not renew:
        return None
    if found:
        connection.execute(TOKENS.delete().where(TOKENS.c.respondent == found))
        connection.execute(SESSIONS.delete().where(SESSIONS.c.respondent == found))
    return _link(connection, found or _begin(connection, competition, team, "closed"))


def _begin(connection: sa.Connection, competition: str, team: str, mode: str) -> str:
    respondent = secrets.token_hex(16)
    connection.execute(
        RESPONSES.insert().values(
            respondent=respondent,
            competition=competition,
            team=team,
            team_key=normalised(team),
            mode=mode,
            instrument="",
            draft={},
            sections=[],
            revision=0,
        )
    )
    return respondent


def _link(connection: sa.Connection, respondent: str) -> str:
    token = secrets.token_urlsafe(16)
    connection.execute(TOKENS.insert().values(digest=digest(token), respondent=respondent))
    return token


def _locked(connection: sa.Connection, respondent: str) -> Kept:
    """One respondent, whom nobody else changes before this transaction ends."""
    row = connection.execute(
        sa.select(RESPONSES).where(RESPONSES.c.respondent == respondent).with_for_update()
    ).one()
    return _kept(row)


def _update(connection: sa.Connection, respondent: str, changes: Mapping[str, Any]) -> None:
    connection.execute(
        RESPONSES.update().where(RESPONSES.c.respondent == respondent).values(**changes)
    )


def _kept(row: Any) -> Kept:
    return Kept(**{name: getattr(row, name) for name in Kept._fields})._replace(
        opened=row.opened or "", started=row.started or "", completed=row.completed or ""
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _seconds(begun: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds()
