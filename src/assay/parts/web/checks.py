"""The checks of the gate, one function each: a request passes, or `Refused` is raised."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, quote

from assay.parts.web.limits import TooLarge, read_body
from assay.parts.web.policy import TOKEN, Policy, Refused, Visit, cookie, equal

__all__ = [
    "ask_again_from_here",
    "client_of",
    "headers_of",
    "read_form",
    "require_host",
    "require_operator",
    "require_plain",
    "require_same_origin",
    "session_of",
]

Headers = Mapping[str, list[str]]
METHODS = ("GET", "HEAD", "POST")
FORM = "application/x-www-form-urlencoded"
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
SECRET_ADDRESS = ("referrer-policy", "no-referrer")
CLOSE = ("connection", "close")


def headers_of(scope: Mapping[str, Any]) -> Headers:
    """The headers by name in lower case, each with all its values."""
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


def client_of(scope: Mapping[str, Any]) -> str:
    """Whom to count: the address, for IPv6 its network of 64 bits."""
    host = (scope.get("client") or ("",))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    network = ipaddress.ip_network((address, 64), strict=False) if address.version == 6 else None
    return str(network or host)


def session_of(headers: Headers, policy: Policy) -> str:
    """The one well-formed session cookie; of several none counts."""
    found = _cookies(headers, policy.session_cookie)
    return found[0] if len(found) == 1 and TOKEN.fullmatch(found[0]) else ""


def require_host(headers: Headers, policy: Policy) -> None:
    """The name asked for is ours: a foreign name that leads to this host is DNS rebinding."""
    asked = [host.lower() for host in headers.get("host", [])]
    if len(asked) != 1 or asked[0] not in policy.hosts:
        raise Refused(421, "Wrong address", "This server does not answer to that name.", CLOSE)


def require_plain(method: str, path: str) -> None:
    """A method of the list, and a path that can be a page's."""
    if method not in METHODS:
        allow = ("allow", ", ".join(METHODS))
        raise Refused(405, "Not possible", "This method is not used here.", allow, CLOSE)
    if not path.isprintable() or "\\" in path or ".." in path or len(path) > 200:
        raise Refused(404, "Not found", "There is no such page.")


def ask_again_from_here(scope: Mapping[str, Any], headers: Headers, caller: Visit) -> None:
    """Somebody follows a foreign link to a page, and the browser keeps our cookie back.

    A `SameSite=Strict` cookie is not sent then, and a new session would take its place. The page
    that is answered instead asks for the same address from here, and the cookie comes along.
    """
    arrives = headers.get("sec-fetch-mode") == ["navigate"]
    foreign = headers.get("sec-fetch-site", [""])[0] in {"cross-site", "same-site"}
    if arrives and foreign and not caller.session:
        query = scope["query_string"].decode("latin-1")
        here = quote("/" + scope["path"].lstrip("/")) + (f"?{query}" if query else "")
        raise Refused(200, "Welcome", "One moment.", SECRET_ADDRESS, refresh=here)


def require_same_origin(headers: Headers, policy: Policy) -> None:
    """What changes something is sent by a page of ours.

    Both `Sec-Fetch-Site` and `Origin` must say so where they are there; `Referer` where neither is.
    A request that says nothing of where it comes from is refused.
    """
    here = f"{policy.scheme}://{headers['host'][0].lower()}"
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    said = [] if site is None else [site == ["same-origin"]]
    said += [] if origin is None else [origin == [here]]
    said = said or [headers.get("referer", [""])[0].startswith(f"{here}/")]
    if not all(said):
        text = "This form was sent from another site. Open the page here and send it again."
        raise Refused(403, "Refused", text, CLOSE)


async def read_form(
    receive: Any, headers: Headers, policy: Policy, caller: Visit
) -> Mapping[str, list[str]]:
    """The fields of a form that carries the CSRF token of this session."""
    kind = headers.get("content-type", [""])[0].partition(";")[0].strip().lower()
    if kind != FORM or "content-encoding" in headers:
        raise Refused(415, "Not possible", "Only plain forms are taken here.", CLOSE)
    try:
        body = await _body(receive, headers, policy)
        form = parse_qs(
            body.decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=policy.max_fields,
        )
    except ValueError:
        raise Refused(400, "Not readable", "The form has too many fields or odd bytes.") from None
    if any(UNPRINTABLE.search(text) for name, values in form.items() for text in (name, *values)):
        raise Refused(400, "Not readable", "The form has control characters.")
    tokens = form.pop("csrf", [])
    if not caller.session or len(tokens) != 1 or not equal(tokens[0], caller.csrf):
        text = "This form is not of your session. Open the page again; what you saved is kept."
        raise Refused(403, "Refused", text)
    return form


async def _body(receive: Any, headers: Headers, policy: Policy) -> bytes:
    length = headers.get("content-length", [""])[0]
    declared = int(length) if re.fullmatch(r"[0-9]{1,18}", length) else 0
    try:
        return await read_body(
            receive, declared, limit=policy.max_body, seconds=policy.body_seconds
        )
    except TooLarge:
        text = f"The form may hold {policy.max_body // 1024} KB. Please shorten your answers."
        raise Refused(413, "Too large", text, CLOSE) from None
    except TimeoutError:
        raise Refused(408, "Too slow", "The form did not arrive.", CLOSE) from None


def require_operator(
    scope: Mapping[str, Any], headers: Headers, policy: Policy, caller: Visit
) -> None:
    """The operator's token: first in the address, moved into a cookie, from then on the cookie."""
    caller.may_guess()
    in_address = parse_qs(scope["query_string"].decode("latin-1")).get("access", [])
    in_cookie = _cookies(headers, policy.access_cookie)
    for shown in (*in_address[:1], *in_cookie[:1]):
        if policy.access and equal(shown, policy.access):
            if not in_address:
                return
            kept = ("set-cookie", cookie(policy, policy.access_cookie, shown, days=0))
            there = quote(scope["path"])
            raise Refused(200, "Welcome", "One moment.", kept, SECRET_ADDRESS, refresh=there)
        caller.guessed_wrong()
    text = "This page is the organiser's. Open it with the address that the server printed."
    raise Refused(403, "Closed", text)


def _cookies(headers: Headers, name: str) -> list[str]:
    pairs = [
        p.strip().partition("=") for line in headers.get("cookie", []) for p in line.split(";")
    ]
    return [value for found, _, value in pairs if found == name]
