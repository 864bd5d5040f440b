"""The store on SQLite and on a PostgreSQL that the tests start themselves."""

import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
import sqlalchemy as sa

from assay.errors import StoreError, UsageError
from assay.parts.databases import open_database
from assay.systems.competition_survey.people import People, Person
from assay.systems.competition_survey.schema import METADATA
from assay.systems.competition_survey.storage import Kept, Storage, normalised
from postgresql import postgresql as server

postgresql = server


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request, tmp_path):
    """An empty database."""
    if request.param == "sqlite":
        return tmp_path / "survey.sqlite"
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
def store(database):
    return Storage(database)


def everything(where) -> str:
    """Every value of every table, as text."""
    database = open_database(where, METADATA)
    with database.read() as connection:
        rows = [tuple(r) for t in METADATA.sorted_tables for r in connection.execute(sa.select(t))]
    database.close()
    return repr(rows)


def respondent(store, competition="Polyps", team="Alpha"):
    token = store.invite(competition, team)
    return store.holder(token)


def test_what_is_saved_is_read_again_by_another(where, store):
    key = respondent(store)
    values = {"hours": 80.5, "reasons": ["prize", "other"], "text": "ü <b>\n\u2028", "deep": True}
    store.save(key, "strategy", values, instrument="h1")

    again = open_database(where, METADATA)
    kept = Storage(again).read(key)
    again.close()
    assert kept.draft == values
    assert kept.sections == ["strategy"]
    assert kept.started.endswith("+00:00")
    assert (kept.completed, kept.answers, kept.revision) == ("", None, 0)
    assert (kept.competition, kept.team, kept.mode) == ("Polyps", "Alpha", "closed")


def test_a_section_leaves_the_others_as_they_are_and_none_takes_an_answer_back(store):
    key = respondent(store)
    store.save(key, "a", {"x": 1, "y": 2}, instrument="h")
    store.save(key, "b", {"z": 3}, instrument="h")
    kept = store.save(key, "a", {"x": 5, "y": None}, instrument="h")

    assert kept.draft == {"x": 5, "z": 3}
    assert kept == store.read(key)
    assert kept.sections == ["a", "b"]


def test_submitting_again_replaces_and_keeps_what_was_there(store):
    key = respondent(store)
    store.save(key, "a", {"x": 1}, instrument="h1")
    for n in (1, 2, 3):
        store.complete(key, {"x": n}, instrument=f"h{n}")

    kept = store.read(key)
    assert (kept.answers, kept.instrument, kept.revision) == ({"x": 3}, "h3", 3)
    assert store.history(key) == [{"x": 1}, {"x": 2}]


def test_changing_a_draft_leaves_what_was_submitted_until_it_is_submitted_again(store):
    key = respondent(store)
    store.complete(key, {"x": 1}, instrument="h1")
    store.save(key, "a", {"x": 2}, instrument="h2")

    kept = store.read(key)
    assert (kept.answers, kept.draft, kept.instrument) == ({"x": 1}, {"x": 2}, "h1")


def test_tokens_and_sessions_are_kept_as_digests_only(where, store):
    token = store.invite("Polyps", "Alpha")
    store.bind("a-session-secret", store.holder(token))
    link = store.link(store.holder(token))
    text = everything(where)

    assert len(token) == 22  # 128 bits
    for secret in (token, link, "a-session-secret"):
        assert secret not in text
    assert store.holder(link) == store.holder(token)
    assert store.behind("a-session-secret").team == "Alpha"


def test_what_was_not_given_out_leads_nowhere(store):
    token = store.invite("Polyps", "Alpha")
    store.bind("session", store.holder(token))

    for guess in ("", token[:-1], token.swapcase(), "' OR 1=1 --", "%", "session"):
        assert store.holder(guess) is None
    for guess in ("", token, "session ", "' OR 1=1 --"):
        assert store.behind(guess) is None


def test_a_team_has_one_token_and_a_renewed_one_ends_the_first_and_its_sessions(store):
    first = store.invite("Polyps", "The É-Team")
    key = store.holder(first)
    store.bind("session", key)
    store.save(key, "a", {"x": 1}, instrument="h")

    assert store.invite("Polyps", "the e team") is None
    assert store.invite("Vessels", "The É-Team") is not None
    second = store.invite("Polyps", "The É-Team", renew=True)
    assert store.holder(first) is None
    assert store.behind("session") is None
    assert store.holder(second) == key
    assert store.read(key).draft == {"x": 1}


def test_a_session_can_be_given_up(store):
    store.bind("session", respondent(store))
    store.unbind("session")

    assert store.behind("session") is None


def test_teams_of_one_name_are_told_and_stay_apart(store):
    keys = [store.start("Polyps", name) for name in ("Team One", "team-one", "Team Two")]
    store.start("Vessels", "Team One")
    for n, key in enumerate(keys):
        store.save(key, "a", {"x": n}, instrument="h")

    assert store.duplicates() == [("Polyps", sorted(keys[:2]))]
    assert [store.read(key).draft["x"] for key in keys] == [0, 1, 2]
    assert {k.respondent for k in store.everyone()} >= set(keys)


def test_totals_count_invited_started_and_completed(store):
    for team in "ABCD":
        key = respondent(store, team=team)
        if team != "A":
            store.save(key, "s", {}, instrument="h")
        if team == "D":
            store.complete(key, {}, instrument="h")
    respondent(store, "Vessels")

    assert store.totals() == [("Polyps", 4, 3, 1), ("Vessels", 1, 0, 0)]


def imported(respondent, team="X", answers=None):
    return Kept(
        respondent=respondent, competition="Polyps", team=team, mode="", instrument="h",
        started="2021-01-01T00:00:00+00:00", completed="2021-01-02T00:00:00+00:00",
        draft={}, sections=[], answers=answers or {"x": 1}, revision=0,
    )  # fmt: skip


def test_answers_from_elsewhere_come_in_all_or_not_at_all(store):
    assert store.add([imported("r1"), imported("r2")]) == 2
    with pytest.raises(StoreError, match="here already"):
        store.add([imported("r3"), imported("r1")])

    assert [k.respondent for k in store.everyone()] == ["r1", "r2"]
    assert store.read("r1").mode == "imported"


def test_who_is_not_there_is_told(store):
    with pytest.raises(StoreError, match="no respondent 'nobody'"):
        store.read("nobody")


def test_nothing_leads_from_a_person_to_an_answer(where, database, store):
    people = People(database)
    key = respondent(store, team="Zebra")
    store.complete(key, {"x": 1}, instrument="h")
    people.add(Person("Ada Byron", "ada@example.org", True, False))

    columns = set(METADATA.tables["people"].columns.keys())
    assert columns == {"person", "name", "email", "email_key", "coauthor", "raffle"}
    assert not METADATA.tables["people"].foreign_keys
    with database.read() as connection:
        row = connection.execute(sa.select(METADATA.tables["people"])).one()
    assert row.person != key
    assert "ada" not in repr(store.everyone()).lower()


def test_sqlite_keeps_no_order_of_arrival_of_people(tmp_path):
    open_database(tmp_path / "survey.sqlite", METADATA).close()
    with (
        sqlite3.connect(tmp_path / "survey.sqlite") as connection,
        pytest.raises(sqlite3.OperationalError, match="rowid"),
    ):
        connection.execute("SELECT rowid FROM people")
    connection.close()


def test_a_person_is_kept_once_and_can_be_forgotten(where, database):
    people = People(database)
    people.add(Person("Ada", "Ada@example.org", True, False))
    people.add(Person("Ada Byron", "ada@example.org ", True, True))

    assert people.all() == [Person("Ada Byron", "ada@example.org ", True, True)]
    assert people.forget("ADA@example.org")
    assert not people.forget("ada@example.org")
    assert "Byron" not in everything(where)


def test_two_clicks_at_once_keep_one_person(database):
    people = People(database)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: people.add(Person("Ada", "a@b.c", True, True)), range(16)))

    assert len(people.all()) == 1


def test_many_threads_lose_no_section_and_no_submission(store):
    key = respondent(store)

    def save(n):
        store.save(key, f"s{n}", {f"q{n}": n}, instrument="h")
        store.complete(key, {"n": n}, instrument="h")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(save, range(40)))

    kept = store.read(key)
    assert kept.draft == {f"q{n}": n for n in range(40)}
    assert kept.revision == 40
    seen = [a["n"] for a in (*store.history(key), kept.answers)]
    assert sorted(seen) == list(range(40))


WRITER = """
import sys
from pathlib import Path
from assay.parts.databases import open_database
from assay.systems.competition_survey.schema import METADATA
from assay.systems.competition_survey.storage import Storage
where, key = sys.argv[1:]
store = Storage(open_database(where if "://" in where else Path(where), METADATA))
for n in range(10**6):
    store.save(key, "s", {f"q{n}": n}, instrument="h")
    print(n, flush=True)
"""


@pytest.mark.faults
def test_a_save_that_returned_survives_kill_9(where, store):
    key = respondent(store)
    for round_ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(where), key], stdout=subprocess.PIPE, text=True
        )
        for n in count():
            acknowledged = int(writer.stdout.readline())
            if n == 5 + 7 * round_:
                writer.send_signal(signal.SIGKILL)
                break
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])
        writer.wait()
        writer.stdout.close()

        draft = store.read(key).draft
        assert all(draft[f"q{m}"] == m for m in range(acknowledged + 1))


def test_a_transaction_that_fails_leaves_no_trace(database, store):
    key = respondent(store)

    def fail():
        with database.write() as connection:
            connection.execute(METADATA.tables["tokens"].delete())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    tokens = METADATA.tables["tokens"]
    with database.read() as connection:
        rows = connection.execute(sa.select(tokens.c.respondent)).all()
    assert rows == [(key,)]


def test_sqlite_waits_for_the_disk_and_is_its_owners_alone(tmp_path):
    file = tmp_path / "survey.sqlite"
    database = open_database(file, METADATA)
    with database.read() as connection:
        said = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("synchronous", "journal_mode", "foreign_keys")
        }
    database.close()

    wal = sqlite3.sqlite_version_info >= (3, 51, 3)
    assert said == {
        "synchronous": 2,
        "journal_mode": "wal" if wal else "truncate",
        "foreign_keys": 1,
    }
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("said", ["mysql://x@y/z", "nonsense", "", "sqlite:///x", "http://a"])
def test_what_is_no_address_of_a_database_is_refused(said):
    with pytest.raises(UsageError, match="no address of a database"):
        open_database(said, METADATA)


def test_a_database_that_is_not_there_is_told_in_one_line_without_the_password():
    with pytest.raises(StoreError, match="cannot be opened") as caught:
        open_database("postgresql://me:hunter2@127.0.0.1:1/survey", METADATA)

    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database_is_told(tmp_path):
    file = tmp_path / "survey.sqlite"
    file.write_bytes(b"these are not the bytes of a database" * 100)

    with pytest.raises(StoreError, match="cannot be opened"):
        open_database(file, METADATA)
    with pytest.raises(UsageError, match="no folder"):
        open_database(tmp_path / "no" / "survey.sqlite", METADATA)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Team  A", "team a", True),
        ("\uff34eam \uff21", "team-a", True),  # full width
        ("Straße", "STRASSE", True),
        ("Team A", "Team B", False),
        ("队伍一", "队伍二", False),
    ],
)
def test_names_are_compared_without_what_people_spell_differently(one, other, same):
    assert (normalised(one) == normalised(other)) is same
