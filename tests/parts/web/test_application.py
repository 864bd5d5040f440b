import asyncio
import logging

import httpx
import pytest

from assay.parts.web.application import application
from assay.parts.web.gate import gate
from assay.parts.web.policy import Policy, Refused

HOST = "127.0.0.1:8100"


@pytest.fixture
def ask():
    app = application("/static/x.css", "/static/x.svg")

    @app.get("/number/{n}")
    def number(n: int) -> int:
        return n

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("the secret of the application")

    @app.get("/refused")
    def refused() -> None:
        raise Refused(403, "No <b>", "Not you.", ("retry-after", "7"), refresh="/number/1")

    policy = Policy(
        hosts=frozenset({HOST}),
        secret=b"s",
        open_to_all=frozenset({"number", "broken", "refused", "docs", "openapi.json", "nothing"}),
    )
    transport = httpx.ASGITransport(gate(app, policy), raise_app_exceptions=False)

    def asked(path):
        async def once():
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
                return await client.get(path)

        return asyncio.run(once())

    return asked


@pytest.mark.parametrize(
    "path", ["/nothing", "/docs", "/openapi.json", "/number/one", "/number/1/", "/number/"]
)
def test_what_is_not_there_is_told_in_plain_words(ask, path):
    answer = ask(path)

    assert answer.status_code == 404
    assert "There is no such page." in answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert 'href="/static/x.css"' in answer.text
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_what_breaks_is_told_without_saying_what(ask, caplog):
    with caplog.at_level(logging.ERROR, "assay.web"):
        answer = ask("/broken")

    assert answer.status_code == 500
    assert "Something went wrong" in answer.text
    assert "the secret of the application" not in answer.text
    assert "the secret of the application" in caplog.text


def test_a_page_can_refuse_with_headers_and_lead_on(ask):
    answer = ask("/refused")

    assert answer.status_code == 403
    assert answer.headers["retry-after"] == "7"
    assert "<b>" not in answer.text
    assert "url=/number/1" in answer.text


def test_what_is_there_comes_through(ask):
    assert ask("/number/1").json() == 1
