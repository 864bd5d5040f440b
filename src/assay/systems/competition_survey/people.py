"""People who left a name: apart from the answers, under a key of their own.

Notable: no time of day and no team stands beside a name, and no key is shared with an answer. In
SQLite there is no order of arrival either; PostgreSQL keeps one inside, which who administers the
server could read.
"""

import secrets
from contextlib import suppress
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from assay.parts.databases import Database
from assay.systems.competition_survey.schema import PEOPLE

__all__ = ["People", "Person"]


class Person(NamedTuple):
    """Somebody who wants to be named, or to take part in the raffle."""

    name: str
    email: str
    coauthor: bool
    raffle: bool


class People:
    """The table of names and addresses."""

    def __init__(self, database: Database) -> None:
        self._read, self._write = database.read, database.write

    def add(self, person: Person) -> None:
        """Keep a name and address; the same address again replaces what was said before."""
        key = person.email.strip().casefold()
        with suppress(IntegrityError), self._write() as connection:  # of two clicks one is enough
            connection.execute(PEOPLE.delete().where(PEOPLE.c.email_key == key))
            connection.execute(
                PEOPLE.insert().values(
                    person=secrets.token_hex(16), email_key=key, **person._asdict()
                )
            )

    def all(self) -> list[Person]:
        """Everybody who left a name, by name."""
        with self._read() as connection:
            columns = (PEOPLE.c.name, PEOPLE.c.email, PEOPLE.c.coauthor, PEOPLE.c.raffle)
            rows = connection.execute(sa.select(*columns).order_by(PEOPLE.c.name, PEOPLE.c.email))
            return [Person(*row) for row in rows]

    def forget(self, email: str) -> bool:
        """Delete somebody's name and address; whether there was one."""
        with self._write() as connection:
            key = email.strip().casefold()
            found = connection.execute(PEOPLE.delete().where(PEOPLE.c.email_key == key))
            return bool(found.rowcount)
