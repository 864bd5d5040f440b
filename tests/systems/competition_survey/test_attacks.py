"""Attacks on the form, each of which is refused; what was there before is there after."""

import hashlib
import re
from urllib.parse import urlencode

import pytest

from assay.parts.web.limits import Rate
from assay.parts.web.policy import new_token
from systems.competition_survey.served import (
    GENERAL,
    HERE,
    METHOD,
    Respondent,
    Survey,
    csrf_of,
)

EVIL = "https://evil.example"


@pytest.fixture
def survey(tmp_path):
    made = Survey(tmp_path, max_body=64 * 1024)
    yield made
    made.database.close()


@pytest.fixture
def victim(survey):
    """A respondent with one section saved and the next one open."""
    someone = survey.respondent()
    someone.fill("general", GENERAL)
    return someone


def post(someone, path, fields, content=None, **headers):
    """A request that an attacker composes; a header of value None is left out."""
    usual = {
        "origin": HERE,
        "sec-fetch-site": "same-origin",
        "content-type": "application/x-www-form-urlencoded",
    }
    sent = usual | {name.replace("_", "-"): value for name, value in headers.items()}
    content = urlencode(fields, doseq=True).encode() if content is None else content
    sent = {name: value for name, value in sent.items() if value is not None}
    return someone.ask("POST", path, content=content, headers=sent)


FORGED = {
    "no CSRF token": ([], {}, 403),
    "an empty CSRF token": ([""], {}, 403),
    "a CSRF token of the attacker's own session": (["theirs"], {}, 403),
    "two CSRF tokens": (["mine", "theirs"], {}, 403),
    "a foreign origin": (["mine"], {"origin": EVIL, "sec_fetch_site": "cross-site"}, 403),
    "a foreign origin, old browser": (["mine"], {"origin": EVIL, "sec_fetch_site": None}, 403),
    "a sandboxed frame": (["mine"], {"origin": "null", "sec_fetch_site": "cross-site"}, 403),
    "another port of this host": (
        ["mine"],
        {"origin": "http://127.0.0.1:9", "sec_fetch_site": "same-site"},
        403,
    ),
    "no word of where it comes from": (["mine"], {"origin": None, "sec_fetch_site": None}, 403),
    "DNS rebinding": (
        ["mine"],
        {"host": "evil.example:8100", "origin": "http://evil.example:8100"},
        421,
    ),
    "a plain text form": (["mine"], {"content_type": "text/plain"}, 415),
    "JSON": (["mine"], {"content_type": "application/json"}, 415),
    "a session that was never given out": (["mine"], {"cookie": f"survey-8100={new_token()}"}, 403),
    "no session": (["mine"], {"cookie": ""}, 403),
    "two sessions": (["mine"], {"cookie": "survey-8100=" + "; survey-8100=".join("ab")}, 403),
}


@pytest.mark.parametrize("case", FORGED)
@pytest.mark.parametrize("path", ["/section/general", "/submit", "/leave", "/people", "/start"])
def test_a_forged_form_changes_nothing(survey, victim, case, path):
    csrf, headers, status = FORGED[case]
    attacker = Respondent(survey.gate)
    tokens = {"mine": csrf_of(victim.page.text), "theirs": csrf_of(attacker.open("/").text), "": ""}
    fields = {"csrf": [tokens[name] for name in csrf], **GENERAL, "size": "66"}
    before = survey.kept()

    assert post(victim, path, fields, **headers).status_code == status
    assert survey.kept() == before
    assert survey.storage.behind(victim.cookies["survey-8100"])


def test_the_same_form_unforged_is_taken(survey, victim):
    fields = {"csrf": csrf_of(victim.page.text), **GENERAL, "size": "66"}

    assert post(victim, "/section/general", fields).status_code == 303
    assert survey.kept().draft["size"] == 66


@pytest.mark.parametrize("where", ["declared", "chunked", "one field"])
def test_an_oversized_body_is_refused(survey, victim, where):
    csrf = csrf_of(victim.page.text)
    large = urlencode({"csrf": csrf, "remarks": "x" * 70_000}).encode()

    async def chunks():
        for n in range(0, len(large), 1000):
            yield large[n : n + 1000]

    if where == "declared":
        answer = post(victim, "/section/method", {}, b"csrf=", content_length=str(10**12))
    elif where == "chunked":
        answer = post(victim, "/section/method", {}, chunks())
    else:
        answer = post(victim, "/section/method", {}, large)
    assert answer.status_code == 413
    assert survey.kept().sections == ["general"]


@pytest.mark.parametrize(
    "body",
    [
        "&".join(f"q{n}=1" for n in range(4000)),
        "remarks=%00",
        "remarks=a%00b",
        "remarks=%1b%5B2J",
        "remarks=%ff",
        "remarks=%ed%b0%80",
        "remarks%00=1",
    ],
    ids=["fields", "null", "null inside", "terminal", "not UTF-8", "surrogate", "null in name"],
)
def test_odd_bytes_and_thousands_of_fields_are_refused(survey, victim, body):
    content = f"csrf={csrf_of(victim.page.text)}&{body}".encode()

    assert post(victim, "/section/method", {}, content).status_code == 400
    assert survey.kept().sections == ["general"]


SCRIPT = "</textarea></title><script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}"


def test_script_in_free_text_comes_back_as_text(survey, tmp_path):
    someone = survey.respondent(team=SCRIPT)
    someone.fill("general", {"role": "other", "role_other": SCRIPT, "size": SCRIPT})
    pages = [someone.page, someone.open("/")]
    someone.fill("general", {"role": "other", "role_other": SCRIPT, "size": "3"})
    someone.fill("method", METHOD | {"remarks": SCRIPT, "hours": SCRIPT, "file": SCRIPT})
    pages.append(someone.page)
    someone.fill("method", METHOD | {"remarks": SCRIPT, "hours": "", "file": ""})
    pages += [someone.page, someone.open("/section/method"), someone.open("/section/general")]
    someone.open("/review")
    someone.send(action="/submit")
    someone.send({"name": SCRIPT, "email": SCRIPT}, action="/people")
    pages.append(someone.page)
    someone.open(f"/{SCRIPT}")
    pages.append(someone.page)

    for page in pages:
        text = page.text.replace("{{7*7}}", "")
        assert "<img" not in text
        assert not re.search(r"<script(?! src=\"/static/[0-9a-f]{16}\.js\" defer>)", text)
        assert "alert(1)" not in text or "&lt;script&gt;alert(1)" in text
        assert "49" not in page.text or "{{7*7}}" in page.text
    assert survey.kept(SCRIPT).answers["remarks"] == SCRIPT


def test_guessing_tokens_soon_has_to_wait_and_so_has_the_right_one(tmp_path):
    survey = Survey(tmp_path, guesses=Rate(0.001, 5))
    token = survey.storage.invite("Polyps", "Alpha")
    attacker = Respondent(survey.gate)
    statuses = [attacker.ask("GET", f"/enter?token={new_token()}").status_code for _ in range(8)]

    assert statuses == [403] * 5 + [429] * 3
    assert attacker.ask("GET", f"/enter?token={token}").status_code == 429
    attacker.open("/")
    survey.database.close()


@pytest.mark.parametrize(
    "guess", ["", "a", "%00" * 22, "' OR '1'='1", "../../survey.sqlite", "%25" * 22, "x" * 5000]
)
def test_odd_tokens_are_no_tokens(survey, guess):
    survey.storage.invite("Polyps", "Alpha")

    assert Respondent(survey.gate).ask("GET", f"/enter?token={guess}").status_code == 403


def test_a_token_is_never_compared_but_looked_up_by_its_digest(survey, monkeypatch):
    """What is looked up, an attacker cannot come near step by step: equal digests or nothing."""
    token = survey.storage.invite("Polyps", "Alpha")
    asked = []
    sha256 = hashlib.sha256
    monkeypatch.setattr("hashlib.sha256", lambda b: asked.append(b) or sha256(b))
    near = token[:-1] + ("A" if token[-1] != "A" else "B")

    assert Respondent(survey.gate).ask("GET", f"/enter?token={near}").status_code == 403
    assert near.encode() in asked
    assert token not in repr(survey.storage.everyone())


def test_a_digest_from_a_stolen_database_is_no_token(survey):
    token = survey.storage.invite("Polyps", "Alpha")
    stolen = hashlib.sha256(token.encode()).hexdigest()

    assert Respondent(survey.gate).ask("GET", f"/enter?token={stolen}").status_code == 403


PATHS = [
    "/section/../../survey.sqlite", "/section/..%2f..%2fsurvey.sqlite", "/static/../survey.sqlite",
    "/static/..%2fsurvey.sqlite", "/static/%2e%2e/%2e%2e/etc/passwd", "/static/%252e%252e%252fx",
    "/static/..%5c..%5cx", "/static//etc/passwd", "/static/%00", "/static/survey.css%00.png",
    "/static/", "/static", "/section/general/", "/section/general%00",
    "/section/\uff27eneral", "/section/" + "a" * 4000, "/instrument.yaml", "/survey.sqlite",
    "/secret.key", "/templates/base.html", "/docs", "/openapi.json", "/redoc", "/.git/config",
    "/section/general?name=../../x%00", "/C:/windows/win.ini", "/file:///etc/passwd",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_to_a_file(survey, victim, path):
    answer = victim.ask("GET", path)
    refused = {403, 404, 303} if "?" not in path else {200}

    assert answer.status_code in refused
    assert "SQLite format" not in answer.text
    assert "root:" not in answer.text


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/", "/section/general", "/submit", "/organiser"])
def test_other_methods_are_refused(survey, victim, method, path):
    assert victim.ask(method, path).status_code == 405


@pytest.mark.parametrize("path", ["/submit", "/leave", "/people", "/start"])
def test_what_changes_something_is_not_done_by_a_link(survey, victim, path):
    before = survey.kept()
    override = {"x-http-method-override": "POST", "x-method-override": "POST"}
    query = urlencode({"csrf": csrf_of(victim.page.text), "_method": "POST"})

    assert victim.ask("GET", f"{path}?{query}", headers=override).status_code in (404, 405)
    assert survey.kept() == before
    assert survey.storage.behind(victim.cookies["survey-8100"])


def test_a_planted_session_is_worth_nothing_after_entering(survey):
    attacker, victim = Respondent(survey.gate), Respondent(survey.gate)
    attacker.open("/")
    planted = dict(attacker.cookies)
    victim.cookies = dict(planted)
    token = survey.storage.invite("Polyps", "Alpha")
    victim.open(f"/enter?token={token}")
    victim.fill("general", GENERAL)

    assert victim.cookies != planted
    assert "Your invitation" in attacker.open("/").text
    assert attacker.open("/section/general").status_code == 403


def test_a_planted_session_of_the_attacker_does_not_take_the_victims_answers(survey):
    attacker = survey.respondent("Mallory")
    victim = Respondent(survey.gate)
    victim.cookies = dict(attacker.cookies)
    token = survey.storage.invite("Polyps", "Alpha")
    assert "Mallory" in victim.open(f"/enter?token={token}").text  # and is told whose it is
    victim.send()
    victim.fill("general", GENERAL)

    assert survey.kept("Mallory").draft == {}
    assert survey.kept("Alpha").draft["size"] == 4


def test_nobody_reaches_the_draft_of_another(survey, victim):
    other = survey.respondent("Mallory")
    key = survey.kept("Alpha").respondent
    for path in (
        f"/section/general?respondent={key}",
        f"/section/general/{key}",
        f"/?respondent={key}",
        f"/review?team=Alpha&respondent={key}",
        f"/enter?token={key}",
    ):
        assert 'value="4"' not in other.ask("GET", path).text
    fields = {"csrf": csrf_of(other.open("/section/general").text), **GENERAL, "size": "66"}
    post(other, "/section/general", fields | {"respondent": key, "team": "Alpha"})

    assert survey.kept("Alpha").draft["size"] == 4
    assert survey.kept("Mallory").draft["size"] == 66
    assert set(survey.kept("Mallory").draft) == {"role", "size"}


def test_fields_that_are_not_of_the_section_are_not_kept(survey, victim):
    fields = {"csrf": csrf_of(victim.page.text), **METHOD, "size": "66", "rank": "1", "evil": "x"}
    post(victim, "/section/method", fields)

    assert set(survey.kept().draft) == {"role", "size", "reasons", "deep"}
    assert survey.kept().draft["size"] == 4


def test_the_organisers_page_is_not_the_respondents(survey, victim):
    assert victim.open("/organiser").status_code == 403
    for guess in ("", "1", new_token()):
        assert victim.ask("GET", f"/organiser?access={guess}").status_code == 403


def test_many_beginnings_from_one_place_have_to_wait(tmp_path):
    survey = Survey(tmp_path, "open", client=Rate(1000, 10_000))
    survey.gate.app.state.desk.starts.rate = Rate(0.001, 3)
    statuses = []
    for n in range(5):
        someone = Respondent(survey.gate)
        someone.open("/")
        page = someone.send({"competition": "Polyps", "team": f"T{n}"}, follow=False)
        statuses.append(page.status_code)

    assert statuses == [303, 303, 303, 429, 429]
    assert len(survey.storage.everyone()) == 3
    survey.database.close()
