"""The gate around a small application: what passes, what does not, and what it adds."""

import asyncio
import logging
import re
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest

from assay.parts.web.gate import gate
from assay.parts.web.limits import Rate
from assay.parts.web.policy import Policy, new_token, visit

HOST = "127.0.0.1:8100"
HERE = f"http://{HOST}"
ACCESS = new_token()
SESSION = new_token()


def policy(**changes):
    given = {
        "hosts": frozenset({HOST, "localhost:8100"}),
        "secret": b"s" * 32,
        "open_to_all": frozenset({"", "form"}),
        "access": ACCESS,
    }
    return Policy(**(given | changes))


async def echo(scope, receive, send):
    """Says who came, and with what."""
    caller = visit(scope)
    if scope["path"] == "/form":
        text = caller.csrf
    elif scope["path"] == "/form/new":
        text = caller.renew()
    elif scope["path"] == "/form/broken":
        raise RuntimeError("secret of the application")
    else:
        text = repr(dict(caller.form))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})


def ask(server, method="GET", path="/", headers=(), chunks=(), client="127.0.0.1", query=""):
    """One request through ASGI; a header of value None is left out."""
    sent, left = [], list(chunks)
    wanted = {"host": HOST} | dict(headers)

    async def receive():
        body = left.pop(0) if left else b""
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "client": (client, 1),
        "headers": [
            (n.encode(), one.encode())
            for n, v in wanted.items()
            if v is not None
            for one in ([v] if isinstance(v, str) else v)
        ],
    }
    asyncio.run(server(scope, receive, send))
    headers = [(n.decode(), v.decode()) for n, v in sent[0]["headers"]]
    body = b"".join(m.get("body", b"") for m in sent[1:])
    return SimpleNamespace(
        status=sent[0]["status"], headers=dict(headers), all=headers, text=body.decode()
    )


def cookie_of(answer):
    return next((v for n, v in answer.all if n == "set-cookie"), "")


def post(server, path="/form/sent", fields=(), **changes):
    """A form as a browser sends it, but for `changes` to its headers."""
    csrf = ask(server, path="/form", headers={"cookie": f"assay={SESSION}"}).text
    body = urlencode([("csrf", csrf), *fields]).encode()
    headers = {
        "cookie": f"assay={SESSION}",
        "origin": HERE,
        "sec-fetch-site": "same-origin",
        "content-type": "application/x-www-form-urlencoded",
    }
    chunks = changes.pop("chunks", [body])
    return ask(server, "POST", path, headers | changes, chunks)


def test_a_form_of_ours_comes_through_with_its_fields():
    answer = post(gate(echo, policy()), fields=[("a", "1"), ("a", "2"), ("b", "é <b>")])

    assert answer.status == 200
    assert answer.text == "{'a': ['1', '2'], 'b': ['é <b>']}"


REFUSED = {
    "no session": ({"cookie": None}, 403),
    "a session that is not one": ({"cookie": "assay=../../etc/passwd"}, 403),
    "two sessions": ({"cookie": f"assay={SESSION}; assay={new_token()}"}, 403),
    "another session": ({"cookie": f"assay={new_token()}"}, 403),
    "foreign origin": ({"origin": "https://evil.example"}, 403),
    "origin without a name": ({"origin": "null"}, 403),
    "another port": ({"origin": "http://127.0.0.1:9999"}, 403),
    "another name of this host": ({"origin": "http://localhost:8100"}, 403),
    "another scheme": ({"origin": f"https://{HOST}"}, 403),
    "origin that begins like ours": ({"origin": f"{HERE}.evil.example"}, 403),
    "cross-site": ({"sec-fetch-site": "cross-site"}, 403),
    "same site, another origin": ({"sec-fetch-site": "same-site"}, 403),
    "cross-site with our origin forged": ({"sec-fetch-site": "cross-site", "origin": HERE}, 403),
    "says nothing of where from": ({"origin": None, "sec-fetch-site": None}, 403),
    "foreign referer": (
        {"origin": None, "sec-fetch-site": None, "referer": "https://evil.example/"},
        403,
    ),
    "referer that begins like ours": (
        {"origin": None, "sec-fetch-site": None, "referer": f"{HERE}.evil.example/"},
        403,
    ),
    "foreign host": ({"host": "evil.example"}, 421),
    "foreign host on our port": ({"host": "evil.example:8100"}, 421),
    "our host on another port": ({"host": "127.0.0.1:80"}, 421),
    "two hosts": ({"host": [HOST, "evil.example"]}, 421),
    "no host": ({"host": None}, 421),
    "json": ({"content-type": "application/json"}, 415),
    "plain text, which needs no preflight": ({"content-type": "text/plain"}, 415),
    "multipart": ({"content-type": "multipart/form-data; boundary=x"}, 415),
    "compressed": ({"content-encoding": "gzip"}, 415),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_form_that_is_not_ours_is_refused(case):
    changes, status = REFUSED[case]
    answer = post(gate(echo, policy()), fields=[("a", "1")], **changes)

    assert answer.status == status
    assert "{'a'" not in answer.text
    assert cookie_of(answer) == ""


@pytest.mark.parametrize(
    "said",
    [
        {"origin": HERE, "sec-fetch-site": None},
        {"origin": None, "sec-fetch-site": "same-origin"},
        {"origin": None, "sec-fetch-site": None, "referer": f"{HERE}/form"},
    ],
)
def test_one_way_of_saying_where_from_is_enough(said):
    assert post(gate(echo, policy()), **said).status == 200


def test_a_csrf_token_must_be_there_be_one_and_be_right():
    server = gate(echo, policy())
    for body in (b"a=1", b"csrf=&a=1", b"csrf=%00", b"csrf=" + b"0" * 64, b"csrf=a&csrf=b"):
        assert post(server, chunks=[body]).status in (400, 403)
    other = ask(server, path="/form", headers={"cookie": f"assay={new_token()}"}).text
    assert post(server, chunks=[f"csrf={other}".encode()]).status == 403
    elsewhere = gate(echo, policy(secret=b"other"))
    theirs = ask(elsewhere, path="/form", headers={"cookie": f"assay={SESSION}"}).text
    assert post(server, chunks=[f"csrf={theirs}".encode()]).status == 403


def test_a_body_beyond_the_limit_is_refused_declared_or_not():
    server = gate(echo, policy(max_body=1000))

    assert post(server, fields=[("a", "x" * 800)]).status == 200
    assert post(server, fields=[("a", "x" * 1001)]).status == 413
    assert post(server, chunks=[b"x" * 400] * 50).status == 413
    assert post(server, **{"content-length": "1001"}).status == 413
    for odd in ("-1", "1e3", "9" * 40, "²"):
        assert post(server, fields=[("a", "x" * 1001)], **{"content-length": odd}).status == 413


@pytest.mark.parametrize(
    "body",
    [
        "&".join(f"f{n}=" for n in range(5000)).encode(),
        b"a=%00",
        b"a=%1b%5B31m",
        b"a%00b=1",
        b"a=%ff%fe",
        b"a=%ed%a0%80",
        b"\xff\xff",
    ],
    ids=["fields", "null", "escape", "null in name", "not UTF-8", "surrogate", "raw bytes"],
)
def test_a_form_that_cannot_be_read_is_refused(body):
    assert post(gate(echo, policy()), chunks=[body]).status == 400


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "X"])
def test_methods_are_those_of_the_list(method):
    answer = ask(gate(echo, policy()), method, "/form")

    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD, POST"


def test_a_method_cannot_be_smuggled_into_a_get():
    headers = {"x-http-method-override": "POST", "cookie": f"assay={SESSION}"}

    assert ask(gate(echo, policy()), headers=headers, query="_method=POST&a=1").text == "{}"


@pytest.mark.parametrize(
    "path",
    ["/../etc/passwd", "/form/..", "/form\\x", "/form/\x00", "/\r\nset-cookie:", "/" + "a" * 500],
)
def test_paths_that_are_no_pages_are_not_found(path):
    assert ask(gate(echo, policy()), path=path).status == 404


def test_websockets_are_closed():
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(gate(echo, policy())({"type": "websocket", "path": "/"}, None, send))

    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_every_answer_carries_the_headers():
    server = gate(echo, policy())
    answers = [
        ask(server),
        ask(server, path="/form"),
        ask(server, path="/secret"),
        ask(server, path="/form/broken"),
        ask(server, "DELETE"),
        ask(server, headers={"host": "evil.example"}),
    ]
    assert [a.status for a in answers] == [200, 200, 403, 500, 405, 421]
    for answer in answers:
        rules = answer.headers["content-security-policy"]
        assert "default-src 'none'" in rules
        assert "frame-ancestors 'none'" in rules
        assert "unsafe" not in rules
        assert "http" not in rules  # no third-party address
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"


def test_a_session_begins_with_the_first_form_and_never_without():
    server = gate(echo, policy())

    assert cookie_of(ask(server)) == ""
    first = cookie_of(ask(server, path="/form"))
    assert re.fullmatch(
        r"assay=[\w-]{22}; Path=/; HttpOnly; SameSite=Strict; Max-Age=7776000", first
    )
    assert cookie_of(ask(server, path="/form")) != first
    again = ask(server, path="/form", headers={"cookie": f"assay={SESSION}"})
    assert cookie_of(again) == ""


def test_a_renewed_session_reaches_the_browser():
    answer = ask(gate(echo, policy()), path="/form/new", headers={"cookie": f"assay={SESSION}"})

    assert cookie_of(answer).startswith(f"assay={answer.text};")
    assert answer.text != SESSION


def test_under_https_no_other_host_can_plant_the_cookie():
    secure = policy(scheme="https", hosts=frozenset({"survey.example.org"}))
    server = gate(echo, secure)
    host = {"host": "survey.example.org"}

    cookie = cookie_of(ask(server, path="/form", headers=host))
    assert cookie.startswith("__Host-assay=")
    assert cookie.endswith("; Secure")
    planted = ask(server, path="/form", headers=host | {"cookie": f"assay={SESSION}"})
    assert cookie_of(planted)


def test_who_follows_a_foreign_link_asks_again_from_here():
    server = gate(echo, policy())
    arrives = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}

    first = ask(server, path="/form", query='a="><script>&token=b', headers=arrives)
    assert first.status == 200
    assert "refresh" in first.text
    assert "<script" not in first.text
    assert "url=/form?a=" in first.text
    assert first.headers["referrer-policy"] == "no-referrer"
    assert cookie_of(first) == ""
    away = ask(server, path="//evil.example/x", headers=arrives)
    assert "url=/evil.example/x" in away.text
    known = ask(server, path="/form", headers=arrives | {"cookie": f"assay={SESSION}"})
    assert "refresh" not in known.text
    typed = ask(server, path="/form", headers=arrives | {"sec-fetch-site": "none"})
    assert "refresh" not in typed.text


def test_the_operator_enters_by_the_token_and_stays_by_the_cookie():
    server = gate(echo, policy())

    assert ask(server, path="/runs").status == 403
    assert ask(server, path="/runs", query=f"access={new_token()}").status == 403
    welcome = ask(server, path="/runs", query=f"access={ACCESS}")
    assert welcome.status == 200
    assert ACCESS not in welcome.text
    assert 'url=/runs"' in welcome.text
    cookie = cookie_of(welcome)
    assert "HttpOnly; SameSite=Strict" in cookie
    pair = cookie.partition(";")[0]
    assert ask(server, path="/runs", headers={"cookie": pair}).text == "{}"
    assert ask(server, path="/runs", headers={"cookie": f"{pair}x"}).status == 403


def test_without_a_token_the_operators_pages_are_closed_to_the_empty_one_too():
    server = gate(echo, policy(access=""))

    assert ask(server, path="/runs", query="access=").status == 403
    assert ask(server, path="/runs", headers={"cookie": "assay-access="}).status == 403


@pytest.mark.parametrize("path", ["/Form", "/forms", "/form ", "/%66orm", "/form%2F..", "/;form"])
def test_a_path_that_only_looks_open_is_the_operators(path):
    assert ask(gate(echo, policy()), path=path).status in (403, 404)


def test_wrong_tokens_are_counted_and_then_the_right_one_waits_too():
    now = [0.0]
    server = gate(echo, policy(guesses=Rate(0.1, 3)), clock=lambda: now[0])
    statuses = [ask(server, path="/x", query=f"access={n}").status for n in range(5)]

    assert statuses == [403, 403, 403, 429, 429]
    assert ask(server, path="/x", query=f"access={ACCESS}").status == 429
    assert ask(server, path="/form").status == 200
    assert ask(server, path="/x", query=f"access={ACCESS}", client="10.0.0.9").status == 200
    now[0] += 10
    assert ask(server, path="/x", query=f"access={ACCESS}").status == 200


def test_secrets_are_compared_in_constant_time(monkeypatch):
    compared = []
    compare = __import__("hmac").compare_digest
    monkeypatch.setattr("hmac.compare_digest", lambda a, b: compared.append(b) or compare(a, b))
    server = gate(echo, policy())

    assert ask(server, path="/x", query="access=wrong").status == 403
    assert compared == [ACCESS.encode()]
    post(server, chunks=[b"csrf=wrong"])
    assert len(compared) == 2


def test_a_client_and_a_session_have_rates_of_their_own():
    server = gate(echo, policy(client=Rate(1, 5), session=Rate(1, 2)), clock=lambda: 0.0)
    mine = {"cookie": f"assay={SESSION}"}

    assert [ask(server, headers=mine).status for _ in range(3)] == [200, 200, 429]
    assert [ask(server).status for _ in range(3)] == [200, 200, 429]
    slow = ask(server)
    assert slow.headers["retry-after"] == "2"
    assert ask(server, client="10.0.0.9").status == 200


def test_a_network_of_ipv6_counts_as_one_client():
    server = gate(echo, policy(client=Rate(1, 2)), clock=lambda: 0.0)
    statuses = [ask(server, client=f"2001:db8::{n}").status for n in range(3)]

    assert statuses == [200, 200, 429]
    assert ask(server, client="2001:db8:0:1::1").status == 200


def test_what_breaks_inside_says_nothing_of_it_outside(caplog):
    with caplog.at_level(logging.ERROR, "assay.web"):
        answer = ask(gate(echo, policy()), path="/form/broken")

    assert answer.status == 500
    assert "secret of the application" not in answer.text
    assert "secret of the application" in caplog.text


def test_the_log_has_no_secret_no_address_and_one_line_for_each_request(caplog):
    server = gate(echo, policy())
    with caplog.at_level(logging.INFO, "assay.web"):
        ask(server, path="/runs", query=f"access={ACCESS}", client="10.9.8.7")
        ask(server, path="/form", headers={"cookie": f"assay={SESSION}"})
        ask(server, path="/a\nGET /forged 200")

    assert len(caplog.records) == 3
    for text in (ACCESS, SESSION, "10.9.8.7"):
        assert text not in caplog.text
    assert all("\n" not in record.getMessage() for record in caplog.records)


def test_head_has_the_headers_and_no_body():
    answer = ask(gate(echo, policy()), "HEAD", "/runs")

    assert answer.status == 403
    assert answer.text == ""
    assert int(answer.headers["content-length"]) > 0
