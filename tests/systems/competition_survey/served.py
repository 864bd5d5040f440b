"""A small survey, and a respondent with a browser that knows neither scripts nor styles."""

import asyncio
import re
import signal
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import urlencode

import httpx

from assay.parts.databases import open_database
from assay.parts.web.serving import address_of
from assay.systems.competition_survey.desk import Desk
from assay.systems.competition_survey.form import behind_the_gate
from assay.systems.competition_survey.instrument import read_instrument
from assay.systems.competition_survey.people import People
from assay.systems.competition_survey.schema import METADATA
from assay.systems.competition_survey.settings import Settings
from assay.systems.competition_survey.storage import Storage

ACCESS = "an-operator-token-of-the-tests"
HERE = "http://127.0.0.1:8100"
INSTRUMENT = """
id: small
version: 1
unit: team-in-competition
sections: [general, method]
questions:
- {id: role, section: general, type: single, text: Your role, options: [lead, member, other], required: true, other_text: true}
- {id: size, section: general, type: int, text: Size of the team, unit: people, min: 1, max: 500, required: true}
- {id: begun, section: general, type: date, text: When you began}
- {id: reasons, section: method, type: multi, text: Reasons, options: [exchange, prize, paper, other], min: 1, max: 2, required: true, other_text: true}
- {id: hours, section: method, type: number, text: Hours, unit: h, min: 0, max: 5000}
- {id: held_back, section: method, type: multi, text: What held you back, options: [none, time, data], exclusive: [none]}
- {id: deep, section: method, type: bool, text: Deep learning, required: true}
- {id: arch, section: method, type: single, text: Architecture, options: [standard, own], show_if: deep==true, required: true}
- {id: layers, section: method, type: int, text: Layers, min: 1, show_if: arch==own}
- {id: tools, section: method, type: matrix, text: Tools, rows: [code, cloud], options: [never, often]}
- {id: file, section: method, type: hash, text: Submission}
- {id: remarks, section: method, type: text, text: Remarks}
- {id: rank, section: general, type: int, text: Rank, source: organiser}
"""  # noqa: E501
GENERAL = {"role": "lead", "size": "4"}
METHOD = {"reasons": ["exchange", "paper"], "deep": "false"}


class Survey:
    """A survey in a folder, behind its gate."""

    def __init__(self, folder, mode="closed", **policy):
        (folder / "instrument.yaml").write_text(INSTRUMENT)
        self.database = open_database(folder / "survey.sqlite", METADATA)
        self.storage, self.people = Storage(self.database), People(self.database)
        settings = Settings(
            title="Small survey",
            mode=mode,
            privacy=["Reported for all teams together."],
            offers={"coauthor": "Name me as an author", "raffle": "Raffle"},
        )
        instrument = read_instrument(folder / "instrument.yaml")
        desk = Desk(settings, instrument, ("Polyps", "Vessels"), self.storage, self.people, HERE)
        given = {"secret": b"k" * 32, "access": ACCESS} | policy
        self.gate = behind_the_gate(desk, address_of(8100), 8100, **given)

    def kept(self, team="Alpha"):
        """What the store holds of a team."""
        found = [kept for kept in self.storage.everyone() if kept.team == team]
        assert len(found) == 1
        return found[0]

    def respondent(self, team="Alpha", competition="Polyps"):
        """Somebody who followed the link of an invitation."""
        token = self.storage.invite(competition, team)
        someone = Respondent(self.gate)
        someone.open(f"/enter?token={token}")
        someone.open("/")
        return someone


class _Forms(HTMLParser):
    """The forms of a page: where they go, and what stands in their fields."""

    def __init__(self, text):
        super().__init__()
        self.forms, self._text, self._select = [], None, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "form":
            self.forms.append(
                {"action": given["action"], "fields": [], "buttons": [], "names": set()}
            )
        name = given.get("name")
        if not self.forms or not name:
            if tag == "option" and self._select and "selected" in given:
                self.forms[-1]["fields"].append((self._select, given.get("value", "")))
            return
        form = self.forms[-1]
        if tag in {"input", "textarea", "select"}:
            form["names"].add(name)
        if tag == "input" and (
            given.get("type") not in {"radio", "checkbox"} or "checked" in given
        ):
            form["fields"].append((name, given.get("value", "")))
        elif tag == "textarea":
            self._text = [name, ""]
        elif tag == "select":
            self._select = name
        elif tag == "button":
            form["buttons"].append((name, given["value"]))

    def handle_data(self, data):
        if self._text:
            self._text[1] += data

    def handle_endtag(self, tag):
        if tag == "textarea" and self._text:
            self.forms[-1]["fields"].append(tuple(self._text))
            self._text = None
        if tag == "select":
            self._select = None


class Respondent:
    """A browser: follows redirects, keeps cookies, and sends forms as they stand."""

    def __init__(self, gate, base=HERE):
        self.base, self.cookies, self.page = base, {}, None
        self.transport = httpx.ASGITransport(gate, raise_app_exceptions=False)

    def ask(self, method, path, **given):
        """One request, as it is."""
        host = {"host": self.base.partition("//")[2]}
        cookies = {"cookie": "; ".join(f"{n}={v}" for n, v in self.cookies.items())}
        headers = host | (cookies if self.cookies else {}) | given.pop("headers", {})

        async def once():
            async with httpx.AsyncClient(transport=self.transport, base_url=self.base) as client:
                return await client.request(method, path, headers=headers, **given)

        answer = asyncio.run(once())
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    def open(self, path):
        """A page, and where it leads at once."""
        self.page = self.ask("GET", path)
        while self.page.status_code == 303:
            self.page = self.ask("GET", self.page.headers["location"])
        return self.page

    def send(self, fields=(), *, button="on", action=None, headers=(), follow=True):
        """Fill in the form of the page that is open and press a button.

        Args:
            fields: By name, a text or several; the others stay as they stand.
            button: The value of the button `go`, where there is one.
            action: Which form, where there are several.
            headers: In place of those that a browser sends.
            follow: Whether to open what it leads to.
        """
        forms = _Forms(self.page.text).forms
        form = next(f for f in forms if action in (None, f["action"]))
        fields = dict(fields)
        unknown = set(fields) - form["names"]
        assert not unknown, f"no field {unknown}"
        sent = [(n, v) for n, v in form["fields"] if n not in fields]
        for name, value in fields.items():
            sent += [(name, v) for v in ([value] if isinstance(value, str) else value)]
        sent += [pair for pair in form["buttons"] if pair[1] == button][:1]
        origin = {
            "origin": self.base,
            "sec-fetch-site": "same-origin",
            "content-type": "application/x-www-form-urlencoded",
        }
        self.page = self.ask(
            "POST", form["action"], content=urlencode(sent), headers=origin | dict(headers)
        )
        if follow and self.page.status_code == 303:
            self.open(self.page.headers["location"])
        return self.page

    def fill(self, section, fields, button="on"):
        """Open a section, fill it in and send it."""
        self.open(f"/section/{section}")
        return self.send(fields, button=button)


COMMAND = "from assay.systems.competition_survey.verbs import app; app()"


class Server:
    """`assay survey serve` in a process of its own; started again on the same port."""

    def __init__(self, folder, port=0):
        self.folder, self.port, self.process, self.address = folder, port, None, ""

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.end(signal.SIGKILL)

    def start(self):
        """Start it and wait for the address that it prints."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "serve", str(self.folder), "--port", str(self.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self.process.stdout.readline().split()[-1]
        self.organiser = self.process.stdout.readline().split()[-1]
        self.port = int(self.address.rpartition(":")[2])

    def end(self, how):
        """Send it a signal; what it printed since, and its exit code."""
        self.process.send_signal(how)
        said, _ = self.process.communicate(timeout=30)
        return said, self.process.returncode


def csrf_of(text):
    """The CSRF token of the forms of a page."""
    return re.search(r'name="csrf" value="(\w+)"', text)[1]
