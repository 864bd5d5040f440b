"""The gate: one ASGI wrapper that every page and call of a server passes.

What it keeps, in the order of its checks: a rate for each client; lists of hosts and methods, and
plain paths; a rate for each session; for what changes something the same origin, a form of bounded
size, and a CSRF token of the session; and the operator's token for every page that is not said to
be open to all. What it adds: a session cookie once a form needs one, strict headers, errors as
plain pages, and a log without secrets or addresses of people.

Notable: the gate reads the form itself and hands it on (`visit(request.scope).form`), so that no
route can forget a check.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from assay.parts.web import checks
from assay.parts.web.limits import Buckets
from assay.parts.web.pages import HEADERS, plain_page
from assay.parts.web.policy import BROKEN, KEY, Policy, Refused, Visit, cookie, too_fast

__all__ = ["Gate", "gate"]

log = logging.getLogger("assay.web")


def gate(
    app: Callable[..., Awaitable[None]],
    policy: Policy,
    clock: Callable[[], float] = time.monotonic,
) -> "Gate":
    """Put an ASGI application behind the gate.

    Args:
        app: It finds out who visits with `visit(scope)`; the body is already read.
        policy: What is let in.
        clock: Seconds that never go back, for the rates.
    """
    rates = (policy.client, policy.session, policy.guesses)
    return Gate(app, policy, *(Buckets(rate, clock) for rate in rates))


@dataclass(frozen=True)
class Gate:
    """What of a gate lives as long as the server; an ASGI application itself."""

    app: Callable[..., Awaitable[None]]
    policy: Policy
    clients: Buckets
    sessions: Buckets
    guesses: Buckets

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one connection; only HTTP is let in."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        headers, client = checks.headers_of(scope), checks.client_of(scope)
        session = checks.session_of(headers, self.policy)
        caller = Visit(session, client, self.guesses, self.policy.secret)
        reply = _Reply(send, self.policy, caller, scope["method"])
        began, line = time.monotonic(), f"{scope['method'][:10]} {quote(scope['path'][:200])}"
        try:
            await self._admit(scope, receive, headers, caller)
            await self.app({**scope, KEY: caller}, _nothing_left, reply)
        except Refused as refused:
            await reply.page(refused)
        except ConnectionError:
            line = f"{line} left early"
        except Exception:
            log.exception("%s failed", line)
            await reply.page(BROKEN)
        log.info("%s %d %.0f ms", line, reply.status, (time.monotonic() - began) * 1000)

    async def _admit(
        self, scope: Any, receive: Any, headers: checks.Headers, caller: Visit
    ) -> None:
        """Let a request in, or raise `Refused`."""
        policy, method, path = self.policy, scope["method"], scope["path"]
        if wait := self.clients.take(caller.client):
            raise too_fast(wait)
        checks.require_host(headers, policy)
        checks.require_plain(method, path)
        if caller.session and (wait := self.sessions.take(caller.session)):
            raise too_fast(wait)
        if method == "POST":
            checks.require_same_origin(headers, policy)
            caller.form = await checks.read_form(receive, headers, policy, caller)
        else:
            checks.ask_again_from_here(scope, headers, caller)
        if path.split("/")[1] not in policy.open_to_all:
            checks.require_operator(scope, headers, policy, caller)


@dataclass
class _Reply:
    """The way out: adds the headers, and the cookie of a session that is new."""

    send: Any
    policy: Policy
    caller: Visit
    method: str
    status: int = 0

    def __post_init__(self) -> None:
        self._known = self.caller.session

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = list(message.get("headers", []))
            names = {name.lower() for name, _ in given}
            added = [(n, v) for n, v in HEADERS.items() if n.encode() not in names]
            if self.caller.session != self._known:
                value = cookie(self.policy, self.policy.session_cookie, self.caller.session)
                added.append(("set-cookie", value))
            message = {**message, "headers": given + _encoded(added)}
        await self.send(message)

    async def page(self, refused: Refused) -> None:
        """A plain page, unless something was sent already."""
        if self.status:
            return
        looks = (self.policy.stylesheet, self.policy.icon)
        text = plain_page(refused.title, refused.text, *looks, refused.refresh).encode()
        headers = [("content-type", "text/html; charset=utf-8"), ("content-length", str(len(text)))]
        start = {"type": "http.response.start", "status": refused.status}
        await self({**start, "headers": _encoded([*headers, *refused.headers])})
        body = b"" if self.method == "HEAD" else text
        await self({"type": "http.response.body", "body": body})


def _encoded(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


async def _nothing_left() -> Any:
    """The body as the application finds it: read already."""
    return {"type": "http.request", "body": b"", "more_body": False}
