"""Databases of servers: SQLite in a file, or PostgreSQL by its address.

Notable: what a transaction has written is on the disk when it ends, with either database.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

from assay.errors import StoreError, UsageError

__all__ = ["Database", "open_database"]

WRITES = "assay_writes"
"""Execution option of a connection that will write; SQLite locks at once then."""


class Database:
    """An open database, used by many threads at a time."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._writes = engine.execution_options(**{WRITES: True})
        # SQLite has one writer; waiting here is fair, waiting in SQLite is not.
        self._turn = threading.Lock() if engine.dialect.name == "sqlite" else nullcontext()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state."""
        with _told(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that is on the disk when it ends, or leaves no trace."""
        with self._turn, _told(), self._writes.begin() as connection:
            yield connection

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()


def open_database(where: Path | str, tables: sa.MetaData) -> Database:
    """Open a database; its tables are made if they are not there.

    Args:
        where: A file for SQLite, or ``postgresql://user@host/database``.
        tables: What stands in it.

    Raises:
        UsageError: If the address is not one of these.
        StoreError: If the database cannot be opened.
    """
    engine = _sqlite(where) if isinstance(where, Path) else _postgresql(where)
    try:
        tables.create_all(engine)
    except SQLAlchemyError as error:
        raise StoreError(f"cannot be opened: {_said(error)}", where=_name(where)) from error
    return Database(engine)


@contextmanager
def _told() -> Iterator[None]:
    """What the database cannot do as an error of ours."""
    try:
        yield
    except OperationalError as error:
        raise StoreError(f"the database failed: {_said(error)}", where="database") from error


def _sqlite(file: Path) -> sa.Engine:
    """A file of SQLite; made, for its owner alone, if it is not there."""
    if not file.parent.is_dir():
        raise UsageError(f"no folder {str(file.parent)!r}", where="database")
    try:
        file.touch(mode=0o600)
    except OSError as error:
        raise StoreError(f"cannot be written: {error.strerror}", where=str(file)) from error
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(file)), connect_args={"timeout": 60}, pool_size=20
    )
    # Versions before 3.51.3 may damage a database in WAL mode when two connections write at once.
    # Of the rollback journals, TRUNCATE is the one that FULL makes safe against a power cut.
    wal = sqlite3.sqlite_version_info >= (3, 51, 3)

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions are begun below
        for setting in (
            f"journal_mode={'WAL' if wal else 'TRUNCATE'}",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
        ):
            connection.execute(f"PRAGMA {setting}")

    @event.listens_for(engine, "begin")
    def _begun(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(url: str) -> sa.Engine:
    """A database of PostgreSQL; nothing is asked of it yet."""
    try:
        address = sa.make_url(url)
    except ArgumentError:
        address = None
    if address is None or address.get_backend_name() not in ("postgresql", "postgres"):
        raise UsageError(
            "no address of a database", accepted="postgresql://user@host/database", where="database"
        )
    try:
        return sa.create_engine(address.set(drivername="postgresql+psycopg"), pool_size=20)
    except ModuleNotFoundError as error:
        raise UsageError(
            "PostgreSQL needs psycopg", next="Install it with `pip install 'assay[postgresql]'`."
        ) from error


def _name(where: Path | str) -> str:
    """A place as it may be printed: without a password."""
    return str(where) if isinstance(where, Path) else sa.make_url(where).render_as_string()


def _said(error: SQLAlchemyError) -> str:
    """What the database itself said, in one line."""
    origin = getattr(error, "orig", None) or error
    return " ".join(str(origin).split()) or type(origin).__name__
