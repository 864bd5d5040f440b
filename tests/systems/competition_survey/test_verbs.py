"""The verbs as an organiser types them, and the server as fifty respondents meet it."""

import asyncio
import csv
import io
import json
import re
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import urlencode

import httpx
import pytest
from typer.testing import CliRunner

from assay.errors import DataError, UsageError
from assay.parts.databases import open_database
from assay.systems.competition_survey.schema import METADATA
from assay.systems.competition_survey.storage import Storage
from assay.systems.competition_survey.verbs import app
from systems.competition_survey.served import INSTRUMENT, Server, csrf_of

TEAMS = 50


def say(*words):
    """What a verb prints; an error of ours comes out as it is."""
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture
def folder(tmp_path):
    """A closed survey with one team."""
    made = tmp_path / "survey"
    say("init", made, "--title", 'How did you "take part"? ü')
    (made / "instrument.yaml").write_text(INSTRUMENT)
    (made / "competitions.csv").write_text('competition,team,rank\nPolyps,"Alpha, Beta",1\n')
    return made


def stored(folder):
    database = open_database(folder / "survey.sqlite", METADATA)
    found = Storage(database).everyone()
    database.close()
    return found


def test_a_new_survey_has_its_files_and_says_what_is_next(tmp_path):
    done = say("init", tmp_path / "new")

    names = {"survey.yaml", "instrument.yaml", "competitions.csv", ".gitignore"}
    assert {p.name for p in (tmp_path / "new").iterdir()} == names
    assert all(name in done.output for name in names - {".gitignore"})
    assert "assay survey tokens" in done.output


def test_a_survey_is_not_made_over_another(folder):
    before = (folder / "instrument.yaml").read_text()
    with pytest.raises(UsageError, match="is there already"):
        say("init", folder)

    assert (folder / "instrument.yaml").read_text() == before


def test_a_folder_without_a_survey_is_told(tmp_path):
    for verb in ("tokens", "serve", "people", "check", "export"):
        with pytest.raises(UsageError, match="assay survey init"):
            say(verb, tmp_path)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("titel: x", "no setting 'titel'. Did you mean 'title'?"),
        ("title: [1]", "title: "),
        ("title: x\nprivacy: [y]\nmode: ajar", "mode: "),
        ("- a", "not a mapping"),
        ("title: {", "cannot be read"),
        ("title: x", "privacy: field required"),
    ],
)
def test_settings_that_are_refused_are_told_in_one_line(folder, line, says):
    (folder / "survey.yaml").write_text(line)
    with pytest.raises(DataError) as caught:
        say("tokens", folder)

    assert says in str(caught.value)
    assert "survey.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_each_team_gets_one_link_once_and_another_when_it_is_asked_for(folder):
    first = say("tokens", folder, "--public", "https://survey.example.org").stdout
    rows = list(csv.reader(io.StringIO(first)))
    assert rows[0] == ["competition", "team", "link"]
    assert rows[1][:2] == ["Polyps", "Alpha, Beta"]
    assert re.fullmatch(r"https://survey\.example\.org/enter\?token=[\w-]{22}", rows[1][2])

    assert say("tokens", folder).stdout == ""
    second = json.loads(say("tokens", folder, "--renew", "alpha BETA", "--json").stdout)
    assert second[0]["team"] == "Alpha, Beta"
    assert second[0]["link"][-22:] != rows[1][2][-22:]
    with pytest.raises(UsageError, match="no team 'Gamma'"):
        say("tokens", folder, "--renew", "Gamma")


def test_tokens_are_not_in_the_folder(folder):
    token = say("tokens", folder).stdout.strip()[-22:]

    assert len(stored(folder)) == 1
    for path in folder.iterdir():
        assert token.encode() not in path.read_bytes()


def test_the_server_says_where_it_is_and_stops_cleanly(folder):
    with Server(folder) as server:
        assert httpx.get(server.address).status_code == 200
        assert httpx.get(server.organiser).status_code == 200
        said, code = server.end(signal.SIGINT)

    assert code == 0
    assert "Stopped" in said


def test_its_log_tells_pages_but_no_tokens(folder):
    token = say("tokens", folder).stdout.strip()[-22:]
    words = [sys.executable, "-c", "from assay.systems.competition_survey.verbs import app; app()"]
    server = subprocess.Popen(
        [*words, "serve", str(folder), "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    address = server.stdout.readline().split()[-1]
    httpx.get(f"{address}/enter?token={token}")
    server.send_signal(signal.SIGTERM)
    _, log = server.communicate(timeout=30)

    assert re.search(r"GET /enter 200 \d+ ms", log)
    assert token not in log
    assert "127.0.0.1" not in log


def test_other_computers_are_let_in_only_under_a_name(folder):
    with pytest.raises(UsageError, match="--public"):
        say("serve", folder, "--host", "0.0.0.0", "--port", "0")


TABLE = (
    "competition,id,team,role,size,reasons,deep,token\n"
    "Polyps,1,A,lead,4,paper,Y,t0k\n"
    "Polyps,2,B,king,4,paper;prize,N,t1k\n"
)


def run(*words):
    """What a verb prints, and its exit code."""
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def test_answers_from_elsewhere_are_taken_in_checked_and_handed_on(folder, tmp_path):
    file = tmp_path / "export.csv"
    file.write_text(TABLE)
    done = say("import", folder, file)
    assert "2 respondents, 2 of whom submitted; 9 answers." in done.output
    assert "Not read: token." in done.output

    checked = run("check", folder, "--to", tmp_path / "findings.csv")
    assert checked.exit_code == 1
    assert re.search(
        r"error +unknown_option +[0-9a-f]{32} +role: 'king' is no option", checked.output
    )
    assert re.search(r"error +missing +[0-9a-f]{32} +arch: not answered", checked.output)
    assert "2 findings: " in checked.output
    assert re.search(r"^excluded +2  answered less than 50%", checked.output, re.MULTILINE)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "findings.csv").read_text())))
    assert [row["code"] for row in rows] == ["missing", "unknown_option"]

    said = json.loads(say("export", folder, "--to", tmp_path / "out.jsonl", "--json").stdout)
    assert (said["respondents"], said["answers"]) == (2, 9)
    assert say("export", folder).stdout == (tmp_path / "out.jsonl").read_text()
    assert "t0k" not in (tmp_path / "out.jsonl").read_text()


def test_check_says_in_json_what_it_found_and_whose_answers_count(folder, tmp_path):
    file = tmp_path / "export.csv"
    file.write_text(TABLE.replace("king", "member").replace("lead,4,paper,Y", "lead,4,paper,N"))
    settings = (folder / "survey.yaml").read_text()
    rule = settings.replace("  - answered: 0.5", "  - where: role == lead")
    assert rule != settings
    (folder / "survey.yaml").write_text(rule)
    said = json.loads(say("import", folder, file, "--json").stdout)
    assert said == {
        "respondents": 2, "completed": 2, "answers": 9, "dropped": ["token"], "unsubmitted": 0,
    }  # fmt: skip

    checked = say("check", folder, "--json")
    said = json.loads(checked.stdout)
    assert said["findings"] == []
    assert said["flow"][-2:] == [
        {"stage": "excluded", "reason": "not so: role == lead", "n": 1},
        {"stage": "included", "reason": "", "n": 1},
    ]


def test_only_as_many_findings_are_printed_as_are_wanted(folder, tmp_path):
    rows = "".join(f"Polyps,{n},T{n},king,4,paper,N,x\n" for n in range(30))
    (tmp_path / "x.csv").write_text(TABLE.partition("\n")[0] + "\n" + rows)
    say("import", folder, tmp_path / "x.csv")

    assert run("check", folder).output.count("'king'") == 20
    assert "... and 27 more" in run("check", folder, "--most", "3").output


def test_rules_and_tables_that_are_refused_are_told(folder, tmp_path):
    (tmp_path / "x.csv").write_text(TABLE.replace("size", "sise"))
    with pytest.raises(DataError, match=r"x\.csv line 1: no question 'sise'. Did you mean 'size'"):
        say("import", folder, tmp_path / "x.csv")
    assert stored(folder) == []
    settings = (folder / "survey.yaml").read_text()
    (folder / "survey.yaml").write_text(settings.replace("answered: 0.5", "answered: 50"))
    with pytest.raises(DataError, match="inclusion rule 2"):
        say("check", folder)


class Team:
    """One respondent over HTTP, who tries again until the server answers."""

    def __init__(self, client, number, acknowledged):
        self.client, self.number, self.acknowledged = client, number, acknowledged
        self.cookie = ""

    async def ask(self, method, path, **given):
        headers = given.pop("headers", {}) | ({"cookie": self.cookie} if self.cookie else {})
        while True:
            with suppress(httpx.TransportError):
                answer = await self.client.request(method, path, headers=headers, **given)
                for line in answer.headers.get_list("set-cookie"):
                    self.cookie = line.partition(";")[0]
                if answer.status_code not in (429, 503):
                    return answer
            await asyncio.sleep(0.1)

    async def send(self, path, fields):
        """Send a form; once the server said so, the answer is on record as acknowledged."""
        page = await self.ask("GET", path)
        form = {"csrf": csrf_of(page.text), "go": "on", **fields}
        target = "/submit" if path == "/review" else path
        address = str(self.client.base_url).rstrip("/")
        headers = {"origin": address, "content-type": "application/x-www-form-urlencoded"}
        answer = await self.ask("POST", target, content=urlencode(form, True), headers=headers)
        assert answer.status_code == 303, (target, answer.status_code)
        self.acknowledged.append((self.number, target))

    async def answer(self, token):
        await self.ask("GET", f"/enter?token={token}")
        await self.send("/section/general", {"role": "lead", "size": 1 + self.number})
        await self.send("/section/method", {"reasons": "paper", "deep": "false", "hours": 7})
        await self.send("/review", {})


@pytest.mark.faults
def test_fifty_respondents_lose_no_answer_although_the_server_is_killed_twice(folder):
    listed = "\n".join(f"Polyps,Team {n},{n + 1}" for n in range(TEAMS))
    (folder / "competitions.csv").write_text(f"competition,team,rank\n{listed}\n")
    links = json.loads(say("tokens", folder, "--json").stdout)
    tokens = [link["link"].partition("token=")[2] for link in links]
    acknowledged: list[tuple[int, str]] = []
    looks = []

    async def everyone(server):
        limits = httpx.Limits(max_connections=TEAMS)
        # An empty jar stays empty: each team keeps its own cookie and is never taken for another.
        jar = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        async with httpx.AsyncClient(
            base_url=server.address, limits=limits, timeout=30, cookies=jar
        ) as client:
            teams = [Team(client, n, acknowledged).answer(t) for n, t in enumerate(tokens)]
            answering = asyncio.gather(*teams)
            for wanted in (TEAMS // 2, 2 * TEAMS):
                while len(acknowledged) < wanted:
                    await asyncio.sleep(0.01)
                server.end(signal.SIGKILL)
                looks.append((list(acknowledged), stored(folder)))
                await asyncio.to_thread(server.start)
            await answering

    with Server(folder) as server:
        asyncio.run(everyone(server))
        server.end(signal.SIGKILL)
    looks.append((list(acknowledged), stored(folder)))

    for said, kept in looks:
        by_team = {one.team: one for one in kept}
        for number, what in said:
            one = by_team[f"Team {number}"]
            if what == "/section/general":
                assert one.draft["size"] == 1 + number
            elif what == "/section/method":
                assert one.draft["hours"] == 7
            else:
                assert one.answers["size"] == 1 + number
    assert Counter(what for _, what in acknowledged) == dict.fromkeys(
        ("/section/general", "/section/method", "/submit"), TEAMS
    )
