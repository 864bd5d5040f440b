"""How often a team has submitted: counted from the submissions themselves, under a lock."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from assay.errors import ParameterError
from assay.parts.competition.queue_tables import ENTRANTS, SUBMISSIONS
from assay.parts.competition.rules import PhaseRules, Refusal, plain

__all__ = ["locked", "must_be_open", "same", "used", "utc"]

LONGEST_NAME = 200


def locked(connection: sa.Connection, phase: str, team: str) -> None:
    """Until the transaction ends, nobody else submits for this team in this phase.

    Raises:
        ParameterError: If the name of the team is none that is kept as it is.
    """
    if not team or plain(team, LONGEST_NAME) != team:
        raise ParameterError(
            f"a team is named {team[:40]!r}", accepted=f"1 to {LONGEST_NAME} characters"
        )
    who = {"phase": phase, "team": team}
    connection.execute(
        sa.text("INSERT INTO entrants (phase, team) VALUES (:phase, :team) ON CONFLICT DO NOTHING"),
        who,
    )
    connection.execute(sa.select(ENTRANTS).filter_by(**who).with_for_update()).one()


def used(connection: sa.Connection, phase: str, team: str) -> int:
    """Tries that a team has used."""
    columns = SUBMISSIONS.c
    own = (columns.phase == phase, columns.team == team, columns.costs)
    return connection.execute(sa.select(sa.func.count()).where(*own)).scalar_one()


def same(connection: sa.Connection, phase: str, team: str, content: str, host: bool) -> Any:
    """The submission of these very bytes, if there is one."""
    known = {"phase": phase, "team": team, "content": content, "host": host}
    return connection.execute(sa.select(SUBMISSIONS).filter_by(**known)).first()


def must_be_open(rules: PhaseRules, moment: datetime) -> None:
    """Whether submissions are taken now.

    Raises:
        Refusal: ``too_early`` or ``too_late``; both moments are told in UTC.
    """
    if rules.opens and moment < rules.opens:
        raise Refusal("too_early", [f"opens at {utc(rules.opens)}; it is {utc(moment)}"])
    if moment >= rules.closes:
        raise Refusal("too_late", [f"closed at {utc(rules.closes)}; it is {utc(moment)}"])


def utc(moment: datetime) -> str:
    """A moment as it is kept and printed.

    Example:
        >>> utc(datetime.fromisoformat("2030-01-31T23:59:59+01:00"))
        '2030-01-31T22:59:59+00:00'
    """
    return moment.astimezone(UTC).isoformat(timespec="seconds")
