"""The index: a SQLite view of what lies in the store, rebuilt from the files at any time.

Only the driver writes it, one short transaction per run. It answers what would otherwise need a
walk over every manifest: which runs there are, what their claims came to, what a component last
ran with. A lost index is filled from the files when it is next opened, a damaged one is moved to
``quarantine`` first. Write-ahead logging is used only where SQLite's own corruption bug in it is
fixed (3.51.3); otherwise the rollback journal.

A run that never came to its end is not in the index: what its folder and its log say is read when
runs are listed.
"""

import json
import platform
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from assay.core.disk import reading
from assay.core.events import under_way
from assay.core.store import StepManifest, Store
from assay.errors import StoreError

T = TypeVar("T")
SCHEMA = 1
"""Written into a filled index; one with another number is filled anew."""

TABLES = """
CREATE TABLE runs (
  run TEXT PRIMARY KEY, study TEXT, preset TEXT, status TEXT, started REAL, seconds REAL,
  trials INTEGER, failed INTEGER, records INTEGER
);
CREATE TABLE verdicts (
  run TEXT, id TEXT, verdict TEXT, effect REAL, low REAL, high REAL, n INTEGER,
  PRIMARY KEY (run, id)
);
CREATE TABLE steps (
  key TEXT PRIMARY KEY, component TEXT, identity TEXT, params TEXT, inputs TEXT, finished REAL,
  seconds REAL, bytes INTEGER
);
CREATE INDEX steps_by_component ON steps (component, finished);
"""


DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
RUN = ("run", "study", "preset", "status", "started", "seconds", "trials", "failed", "records")
CLAIM = ("id", "verdict", "effect", "low", "high", "n")


class Index:
    """The index of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.path = store.root / "index.sqlite"

    def add_steps(self, manifests: Iterable[StepManifest]) -> None:
        """Enter finished steps."""
        found = list(manifests)
        self._with(lambda connection: _add_steps(connection, found), write=True)

    def add_run(self, summary: dict[str, Any]) -> None:
        """Enter or update a run and its verdicts, from the summary in its folder."""
        self._with(lambda connection: _add_run(connection, summary), write=True)

    def runs(self) -> list[dict[str, Any]]:
        """All runs, the latest first; one whose process died is ``stopped``."""
        query = "SELECT * FROM runs WHERE status <> 'running' AND typeof(started) = 'real'"
        found = self._with(lambda connection: connection.execute(query).fetchall())
        finished = {row["run"]: dict(row) for row in found}
        rows: list[dict[str, Any]] = []
        with reading(self.store.root):
            folders = list((self.store.root / "runs").iterdir())
        for folder in folders:
            row = finished.get(folder.name)
            if row is None and (summary := read_summary(folder)) is not None:
                row = {name: summary.get(name) for name in RUN}
            if row is not None:
                rows.append(row)
        return sorted(rows, key=lambda row: row["started"], reverse=True)

    def latest(self, component: str) -> dict[str, Any] | None:
        """What a component last ran with: identity, params and inputs."""
        query = (
            "SELECT identity, params, inputs FROM steps WHERE component = ? "
            "ORDER BY finished DESC LIMIT 1"
        )

        def look(connection: sqlite3.Connection) -> dict[str, Any] | None:
            row = connection.execute(query, (component,)).fetchone()
            if row is None:
                return None
            params, inputs = json.loads(row["params"]), json.loads(row["inputs"])
            return {"identity": row["identity"], "params": params, "inputs": inputs}

        return self._with(look)

    def rebuild(self) -> tuple[int, int]:
        """Make the index anew from the files; returns the numbers of runs and steps."""
        return self._with(self._fill, write=True)

    # -- details --------------------------------------------------------------------------------

    def _with(self, work: Callable[[sqlite3.Connection], T], *, write: bool = False) -> T:
        """Do some work in one transaction; a damaged index is put aside and made anew.

        Raises:
            StoreError: If the index cannot be read or written.
        """
        try:
            try:
                return self._transaction(work, write)
            except (sqlite3.DatabaseError, ValueError) as error:  # a text that is none, too
                if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) not in DAMAGED:
                    raise
                for suffix in ("-journal", "-wal", "-shm", ""):
                    self.store.quarantine(Path(f"{self.path}{suffix}"))
                return self._transaction(work, write)
        except sqlite3.Error as error:
            raise StoreError(
                f"the index cannot be used ({error})",
                where=str(self.path),
                next="It can be deleted: it is made anew from the files.",
            ) from error

    def _transaction(self, work: Callable[[sqlite3.Connection], T], write: bool) -> T:
        with closing(sqlite3.connect(self.path, timeout=60, isolation_level=None)) as connection:
            connection.row_factory = sqlite3.Row
            wal = sqlite3.sqlite_version_info >= (3, 51, 3)
            connection.execute(f"PRAGMA journal_mode={'WAL' if wal else 'DELETE'}")
            if not _is_filled(connection):
                connection.execute("BEGIN IMMEDIATE")
                if not _is_filled(connection):  # by another process meanwhile
                    self._fill(connection)
                connection.execute("COMMIT")
            connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            made = work(connection)
            connection.execute("COMMIT")
            return made

    def _fill(self, connection: sqlite3.Connection) -> tuple[int, int]:
        for (table,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall():
            connection.execute(f'DROP TABLE "{table}"')
        for statement in TABLES.split(";"):
            connection.execute(statement)
        manifests = list(self.store.steps())
        _add_steps(connection, manifests)
        with reading(self.store.root):
            folders = sorted((self.store.root / "runs").iterdir())
        summaries = [summary for f in folders if (summary := read_summary(f)) is not None]
        for summary in summaries:
            _add_run(connection, summary)
        connection.execute(f"PRAGMA user_version = {SCHEMA}")
        return len(summaries), len(manifests)


def read_summary(folder: Path) -> dict[str, Any] | None:
    """What a run's folder says of it, or None if it says nothing, or nothing sound.

    Of a run without an end, a held log tells that it is under way. A run of this host without one
    is ``stopped``; of another host it cannot be known and stays ``running``.

    Raises:
        StoreError: If it cannot be read now.
    """
    path = folder / "run.json"
    try:
        with reading(path):
            summary = json.loads(path.read_text(encoding="utf-8"))
        ours = summary["run"] == folder.name and isinstance(summary["started"], int | float)
        running = summary["status"] == "running" and summary.get("host") == platform.node()
    except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
        return None
    if running and not under_way(folder / "events.jsonl"):
        summary["status"] = "stopped"
    return summary if ours else None


def _is_filled(connection: sqlite3.Connection) -> bool:
    return connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA


def _add_steps(connection: sqlite3.Connection, manifests: Iterable[StepManifest]) -> None:
    rows = [
        (
            m.key,
            m.component,
            m.identity,
            json.dumps(m.params, sort_keys=True),
            json.dumps(m.inputs, sort_keys=True),
            m.finished,
            m.seconds,
            sum(made.size for made in m.outputs.values()),
        )
        for m in manifests
    ]
    connection.executemany("INSERT OR REPLACE INTO steps VALUES (?,?,?,?,?,?,?,?)", rows)


def _add_run(connection: sqlite3.Connection, summary: dict[str, Any]) -> None:
    run = [summary.get(name) for name in RUN]
    claims = [
        [summary["run"], *(claim.get(name) for name in CLAIM)]
        for claim in summary.get("claims", [])
    ]
    connection.execute("INSERT OR REPLACE INTO runs VALUES (?,?,?,?,?,?,?,?,?)", run)
    connection.executemany("INSERT OR REPLACE INTO verdicts VALUES (?,?,?,?,?,?,?)", claims)
