"""What a server lets in, who visits it, and how both are told apart from anybody else."""

import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from assay.parts.web.limits import Buckets, Rate

__all__ = [
    "BROKEN",
    "Policy",
    "Refused",
    "Visit",
    "cookie",
    "equal",
    "new_token",
    "too_fast",
    "visit",
]

KEY = "assay.visit"
TOKEN = re.compile(r"[A-Za-z0-9_-]{22,64}")
COOKIE_DAYS = 90
CLIENTS, SESSIONS = Rate(per_second=50, burst=500), Rate(per_second=5, burst=60)
GUESSES = Rate(per_second=0.1, burst=20)


def new_token() -> str:
    """128 random bits as 22 letters that can stand in an address."""
    return secrets.token_urlsafe(16)


def equal(shown: str, right: str) -> bool:
    """Whether two secrets are the same, in a time that does not depend on where they differ."""
    return hmac.compare_digest(shown.encode(), right.encode())


@dataclass(frozen=True)
class Policy:
    """What one server lets in.

    Attributes:
        hosts: The values of `Host` it answers to, with the port where it is not the usual one.
        secret: Signs CSRF tokens; kept across restarts, so that an open form can still be sent.
        scheme: `https` makes cookies `Secure`.
        cookie: Name of the session cookie; differs between servers of one host.
        open_to_all: First segments of the paths that need no operator's token.
        access: The operator's token; without one the operator's pages are closed.
        stylesheet: For the gate's own pages.
        icon: For the gate's own pages.
        max_body: Bytes of a form.
        max_fields: Fields of a form.
        body_seconds: For a form to come in.
        client: Rate for each client address (an IPv6 network of 64 bits counts as one).
        session: Rate for each session.
        guesses: Rate of wrong secrets for each client.
    """

    hosts: frozenset[str]
    secret: bytes
    scheme: str = "http"
    cookie: str = "assay"
    open_to_all: frozenset[str] = frozenset()
    access: str = ""
    stylesheet: str = ""
    icon: str = ""
    max_body: int = 256 * 1024
    max_fields: int = 2_000
    body_seconds: float = 20.0
    client: Rate = CLIENTS
    session: Rate = SESSIONS
    guesses: Rate = GUESSES

    @property
    def session_cookie(self) -> str:
        """Its name; under https one that no other host can plant."""
        return f"__Host-{self.cookie}" if self.scheme == "https" else self.cookie

    @property
    def access_cookie(self) -> str:
        """Name of the cookie with the operator's token."""
        return f"{self.session_cookie}-access"


class Refused(Exception):
    """A request is answered with a plain page and nothing else.

    Args:
        status: Of HTTP.
        title: The heading.
        text: The sentence below.
        headers: Of the response.
        refresh: Where the browser goes at once.
    """

    def __init__(
        self, status: int, title: str, text: str, *headers: tuple[str, str], refresh: str = ""
    ) -> None:
        super().__init__(status, title)
        self.status, self.title, self.text = status, title, text
        self.headers, self.refresh = headers, refresh


BROKEN = Refused(
    500,
    "Something went wrong",
    "The server could not do this. What was saved is kept; please try again.",
)
"""The answer to an error that nobody foresaw; the log has its traceback."""


@dataclass
class Visit:
    """One request as the gate let it in.

    Attributes:
        session: The session's secret; empty until a form needs one.
        client: Key of the client, for rates.
        guesses: Wrong secrets by client.
        secret: Signs CSRF tokens.
        form: Fields of the form, without the CSRF token.
    """

    session: str
    client: str
    guesses: Buckets
    secret: bytes
    form: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def csrf(self) -> str:
        """The token that a form of this session carries; begins the session if there is none."""
        self.session = self.session or new_token()
        return hmac.new(self.secret, b"csrf:" + self.session.encode(), "sha256").hexdigest()

    def renew(self) -> str:
        """A new session, so that a planted cookie is worth nothing."""
        self.session = new_token()
        return self.session

    def may_guess(self) -> None:
        """Before a secret is looked up.

        Raises:
            Refused: If this client was wrong too often.
        """
        if wait := self.guesses.wait(self.client):
            raise too_fast(wait)

    def guessed_wrong(self) -> None:
        """After a secret was not found."""
        self.guesses.take(self.client)


def visit(scope: Mapping[str, Any]) -> Visit:
    """The visit behind a request that came through the gate."""
    return scope[KEY]


def cookie(policy: Policy, name: str, value: str, days: int = COOKIE_DAYS) -> str:
    """A cookie that scripts and other sites never see; of 0 days, until the browser closes."""
    age = f"; Max-Age={days * 86_400}" if days else ""
    secure = "; Secure" if policy.scheme == "https" else ""
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Strict{age}{secure}"


def too_fast(wait: float) -> Refused:
    """The answer to too many requests: how many seconds to wait."""
    seconds = int(wait) + 1
    text = f"Too many requests. Please try again in {seconds} s; what was saved is kept."
    return Refused(429, "One moment", text, ("retry-after", str(seconds)))
