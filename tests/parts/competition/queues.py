"""A queue of submissions with clocks that the test moves, on either database."""

import sys
from datetime import UTC, datetime, timedelta

import pytest

from assay.parts.competition.queue import Queue
from assay.parts.competition.queue_tables import METADATA
from assay.parts.competition.rules import PhaseRules, Rules
from assay.parts.databases import open_database
from postgresql import postgresql as server

postgresql = server
NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
PHASE = PhaseRules(closes=NOON + timedelta(hours=1), tries=3, finals=2)
RULES = Rules({"final": PHASE, "trial": PHASE}, retries=2, lease_seconds=10.0)


class Clock:
    """The time of day, and the seconds by which leases are judged."""

    def __init__(self):
        self.seconds = 0.0

    def now(self):
        return NOON + timedelta(seconds=self.seconds)

    def monotonic(self):
        return self.seconds


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request, tmp_path):
    """An empty database."""
    if request.param == "sqlite":
        return tmp_path / "queue.sqlite"
    url = request.getfixturevalue("postgresql")
    database = open_database(url, METADATA)
    with database.write() as connection:
        METADATA.drop_all(connection)
    database.close()
    return url


@pytest.fixture
def database(where):
    opened = open_database(where, METADATA)
    yield opened
    opened.close()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def another(database, tmp_path, clock):
    """Makes the queue as another process sees it: same database and folder, nothing remembered."""

    def make(rules=RULES, **changes):
        return Queue(
            database, tmp_path / "kept", rules, clock.now, clock=clock.monotonic, **changes
        )

    return make


@pytest.fixture
def queue(another):
    return another()


@pytest.fixture
def file(tmp_path):
    """Makes a submission of some content."""

    def make(content="a", suffix=".json"):
        path = tmp_path / f"sent{suffix}"
        path.write_text(str(content))
        return path

    return make


def script(body: str) -> list[str]:
    """A command line for a process of its own, which opens the queue named by its arguments."""
    start = f"""
import os, signal, sys, time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from assay.parts.competition import deposit, job, queue as queue_module
from assay.parts.competition.queue import Queue
from assay.parts.competition.queue_tables import METADATA
from assay.parts.competition.rules import PhaseRules, Rules, Refusal
from assay.parts.competition.worker import work
from assay.parts.databases import open_database
where, folder, *rest = sys.argv[1:]
phase = PhaseRules(closes=datetime(2100, 1, 1, tzinfo=UTC), tries={PHASE.tries})
rules = Rules({{"final": phase}}, retries=20, lease_seconds=1.0)
database = open_database(where if "://" in where else Path(where), METADATA)
queue = Queue(database, Path(folder), rules)
"""
    return [sys.executable, "-c", start + body]
