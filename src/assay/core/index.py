"""The index: a SQLite view of what lies in the store, rebuilt from the files at any time.

Only the driver writes it, one short transaction per run. It answers what would otherwise need a
walk over every manifest: which runs there are, what their claims came to, what a component last
ran with. Write-ahead logging is used only where SQLite's own corruption bug in it is fixed
(3.51.3); otherwise the rollback journal.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from assay.core.store import StepManifest, Store

TABLES = """
CREATE TABLE IF NOT EXISTS runs (
  run TEXT PRIMARY KEY, study TEXT, preset TEXT, status TEXT, started REAL, seconds REAL,
  trials INTEGER, failed INTEGER, records INTEGER
);
CREATE TABLE IF NOT EXISTS verdicts (
  run TEXT, id TEXT, verdict TEXT, effect REAL, low REAL, high REAL, n INTEGER,
  PRIMARY KEY (run, id)
);
CREATE TABLE IF NOT EXISTS steps (
  key TEXT PRIMARY KEY, component TEXT, identity TEXT, params TEXT, inputs TEXT, finished REAL,
  seconds REAL, bytes INTEGER
);
CREATE INDEX IF NOT EXISTS steps_by_component ON steps (component, finished);
"""


class Index:
    """The index of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.path = store.root / "index.sqlite"

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=60)) as connection:
            if sqlite3.sqlite_version_info >= (3, 51, 3):
                connection.execute("PRAGMA journal_mode=WAL")
            connection.row_factory = sqlite3.Row
            connection.executescript(TABLES)
            yield connection

    def add_steps(self, manifests: Iterable[StepManifest]) -> None:
        """Enter finished steps."""
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
        with self._open() as connection, connection:
            connection.executemany("INSERT OR REPLACE INTO steps VALUES (?,?,?,?,?,?,?,?)", rows)

    def add_run(self, summary: dict[str, Any]) -> None:
        """Enter or update a run and its verdicts, from the summary in its folder."""
        names = ("run", "study", "preset", "status", "started", "seconds", "trials", "failed")
        row = [summary.get(name) for name in names] + [summary.get("records")]
        claims = [
            [summary["run"], c["id"], c["verdict"], c["effect"], c["low"], c["high"], c["n"]]
            for c in summary.get("claims", [])
        ]
        with self._open() as connection, connection:
            connection.execute("INSERT OR REPLACE INTO runs VALUES (?,?,?,?,?,?,?,?,?)", row)
            connection.executemany("INSERT OR REPLACE INTO verdicts VALUES (?,?,?,?,?,?,?)", claims)

    def runs(self) -> list[dict[str, Any]]:
        """All runs, the latest first."""
        with self._open() as connection:
            rows = connection.execute("SELECT * FROM runs ORDER BY started DESC").fetchall()
            return [dict(row) for row in rows]

    def latest(self, component: str) -> dict[str, Any] | None:
        """What a component last ran with: identity, params and inputs."""
        with self._open() as connection:
            row = connection.execute(
                "SELECT identity, params, inputs FROM steps WHERE component = ? "
                "ORDER BY finished DESC LIMIT 1",
                (component,),
            ).fetchone()
        if row is None:
            return None
        params, inputs = json.loads(row["params"]), json.loads(row["inputs"])
        return {"identity": row["identity"], "params": params, "inputs": inputs}

    def rebuild(self) -> tuple[int, int]:
        """Make the index anew from the files; returns the numbers of runs and steps."""
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        manifests = list(self.store.steps())
        self.add_steps(manifests)
        summaries = []
        for path in sorted((self.store.root / "runs").glob("*/run.json")):
            try:
                summaries.append(json.loads(path.read_text(encoding="utf-8")))
            except ValueError:
                self.store.quarantine(path)
        for summary in summaries:
            self.add_run(summary)
        return len(summaries), len(manifests)
