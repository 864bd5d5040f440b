"""Serving: one socket, one process, one address to open.

A server listens on this host alone unless it is told a public address. That is the address people
open, normally that of a reverse proxy that brings https; it fixes which `Host` is answered.
"""

import logging
import socket
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from assay.errors import UsageError

__all__ = ["Address", "address_of", "listen", "serve"]

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
DEFAULT_PORT = {"http": 80, "https": 443}


class Address(NamedTuple):
    """What people call a server.

    Attributes:
        url: What they open, without a slash at its end.
        scheme: `http` or `https`.
        hosts: Values of `Host` that are answered.
        proxied: Whether a reverse proxy on this host speaks for the clients.
    """

    url: str
    scheme: str
    hosts: frozenset[str]
    proxied: bool


def address_of(port: int, public: str | None = None) -> Address:
    """The address of a server.

    Args:
        port: Where it listens.
        public: What people open, if that is not this host: scheme and name, no path.

    Raises:
        UsageError: If the public address is not one.

    Example:
        >>> address_of(8100).url, address_of(8100, "https://survey.example.org/").url
        ('http://127.0.0.1:8100', 'https://survey.example.org')
    """
    here = frozenset(f"{name}:{port}" for name in LOOPBACK)
    if public is None:
        return Address(f"http://127.0.0.1:{port}", "http", here, proxied=False)
    try:
        parts = urlsplit(public)
        own_port = parts.port
    except ValueError:
        parts, own_port = urlsplit(""), None
    plain = not (parts.username or parts.query or parts.fragment or parts.path.strip("/"))
    if parts.scheme not in DEFAULT_PORT or not parts.hostname or not plain:
        raise UsageError(
            f"no public address: {public!r}",
            where="--public",
            accepted="scheme and host, such as https://survey.example.org",
        )
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = own_port in (None, DEFAULT_PORT[parts.scheme])
    host = name if usual else f"{name}:{own_port}"
    return Address(f"{parts.scheme}://{host}", parts.scheme, frozenset({host}), proxied=True)


def listen(host: str, port: int, public: str | None = None) -> socket.socket:
    """A socket that already takes connections.

    Args:
        host: Address of an interface.
        port: 0 for any that is free.
        public: As for `address_of`.

    Raises:
        UsageError: If the port is taken, or the interface is reached from elsewhere and no public
            address says under which name.
    """
    if host not in ("127.0.0.1", "localhost", "::1") and public is None:
        raise UsageError(
            f"{host} is reached from other computers",
            where="--host",
            next="Say with --public under which address people open it.",
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(512)
    except OSError as error:
        made.close()
        said = (error.strerror or str(error)).lower()
        raise UsageError(
            f"cannot listen on {host}:{port}: {said}", next="Choose another with --port."
        ) from error
    return made


def serve(
    app: Callable[..., Any], bound: socket.socket, *, proxied: bool, log_level: int = logging.INFO
) -> None:
    """Serve until Ctrl-C or SIGTERM; requests under way are finished first.

    Args:
        app: An application behind the gate.
        bound: From `listen`.
        proxied: Whether to believe a proxy on this host about the clients' addresses.
        log_level: Of the log of requests, on standard error.
    """
    import uvicorn

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    web = logging.getLogger("assay.web")
    web.handlers, web.propagate = [handler], False
    web.setLevel(log_level)
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=proxied,
        forwarded_allow_ips="127.0.0.1",
        limit_concurrency=1000,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=5,
    )
    try:
        uvicorn.Server(config).run(sockets=[bound])
    except KeyboardInterrupt:
        return
    finally:
        bound.close()
