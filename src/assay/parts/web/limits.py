"""Limits: a token bucket for each key, in bounded memory, and bodies read up to a size.

A bucket holds at most `burst` tokens and gains `per_second`; a request takes one. The buckets of
at most `KEYS` keys are kept, the least recently used one goes first: a bucket left alone fills up
anyway, so that forgetting it forgives little.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["KEYS", "Buckets", "Rate", "TooLarge", "read_body"]

KEYS = 10_000


@dataclass(frozen=True)
class Rate:
    """How often something may happen: `per_second` in the long run, `burst` at once."""

    per_second: float
    burst: float


class Buckets:
    """Token buckets by key.

    Args:
        rate: Of every bucket.
        clock: Seconds that never go back.

    Example:
        >>> buckets = Buckets(Rate(per_second=1, burst=2), clock=lambda: 0.0)
        >>> [buckets.take("a"), buckets.take("a"), buckets.take("a"), buckets.take("b")]
        [0.0, 0.0, 1.0, 0.0]
    """

    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        self.rate, self._clock = rate, clock
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def wait(self, key: str) -> float:
        """Seconds until a token is there; 0 if one is there now. Takes nothing."""
        return max(0.0, (1 - self._level(key)) / self.rate.per_second)

    def take(self, key: str) -> float:
        """Take a token if there is one; returns what `wait` said before."""
        level = self._level(key)
        wait = max(0.0, (1 - level) / self.rate.per_second)
        self._held[key] = (level if wait else level - 1, self._clock())
        self._held.move_to_end(key)
        while len(self._held) > KEYS:
            self._held.popitem(last=False)
        return wait

    def _level(self, key: str) -> float:
        level, since = self._held.get(key, (self.rate.burst, self._clock()))
        return min(self.rate.burst, level + (self._clock() - since) * self.rate.per_second)


class TooLarge(Exception):
    """A body of more bytes than are taken."""


async def read_body(
    receive: Callable[[], Awaitable[Any]], declared: int, *, limit: int, seconds: float
) -> bytes:
    """Read the body of a request, counting as it streams in.

    Args:
        receive: The ASGI channel.
        declared: What `Content-Length` says; 0 if it says nothing. Never trusted beyond refusing.
        limit: Bytes taken at most.
        seconds: For the whole body.

    Raises:
        TooLarge: As soon as it is known.
        TimeoutError: If it drips.
        ConnectionError: If the client went away.
    """
    if declared > limit:
        raise TooLarge
    body = bytearray()
    async with asyncio.timeout(seconds):
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise ConnectionError("the client went away")
            body += message.get("body", b"")
            if len(body) > limit:
                raise TooLarge
            if not message.get("more_body"):
                return bytes(body)
