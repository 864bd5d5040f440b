import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.parts.web.limits import KEYS, Buckets, Rate, TooLarge, read_body


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@given(
    waits=st.lists(st.floats(0, 3), min_size=1, max_size=60),
    per_second=st.floats(0.1, 20),
    burst=st.integers(1, 10),
)
def test_in_any_span_no_more_is_let_through_than_burst_and_rate_allow(waits, per_second, burst):
    clock = Clock()
    buckets = Buckets(Rate(per_second, burst), clock)
    passed = []
    for wait in waits:
        clock.now += wait
        if buckets.take("a") == 0:
            passed.append(clock.now)

    for first in range(len(passed)):
        for last in range(first, len(passed)):
            span = passed[last] - passed[first]
            assert last - first + 1 <= burst + per_second * span + 1e-6


def test_who_waits_as_long_as_told_is_let_through():
    clock = Clock()
    buckets = Buckets(Rate(per_second=0.5, burst=1), clock)

    assert buckets.take("a") == 0
    wait = buckets.take("a")
    assert wait == pytest.approx(2.0)
    clock.now += wait
    assert buckets.take("a") == 0


def test_looking_takes_nothing():
    buckets = Buckets(Rate(1, 1), Clock())

    assert [buckets.wait("a") for _ in range(5)] == [0.0] * 5
    assert buckets.take("a") == 0
    assert buckets.wait("a") == pytest.approx(1.0)


def test_memory_is_bounded_and_the_one_in_use_is_remembered():
    buckets = Buckets(Rate(per_second=0.001, burst=2), Clock())
    passed = 0
    for n in range(3 * KEYS):
        buckets.take(f"client {n}")
        passed += buckets.take("busy") == 0

    assert len(buckets) == KEYS
    assert passed == 2


def messages(*bodies):
    waiting = [
        {"type": "http.request", "body": body, "more_body": n < len(bodies) - 1}
        for n, body in enumerate(bodies)
    ]
    taken = []

    async def receive():
        taken.append(len(waiting[0]["body"]))
        return waiting.pop(0)

    return receive, taken


def read(receive, declared=0, limit=10, seconds=5.0):
    return asyncio.run(read_body(receive, declared, limit=limit, seconds=seconds))


@given(st.binary(max_size=30), st.lists(st.integers(0, 30), max_size=5))
def test_a_body_arrives_whole_however_it_is_cut_or_not_at_all(body, cuts):
    edges = [0, *sorted(min(c, len(body)) for c in cuts), len(body)]
    receive, _ = messages(*(body[a:b] for a, b in pairwise(edges)))

    if len(body) > 10:
        with pytest.raises(TooLarge):
            read(receive)
    else:
        assert read(receive) == body


def test_reading_stops_at_the_limit_although_nothing_was_declared():
    receive, taken = messages(*[b"x" * 6] * 100)

    with pytest.raises(TooLarge):
        read(receive)

    assert len(taken) == 2


def test_a_body_declared_too_large_is_not_read():
    receive, taken = messages(b"x")

    with pytest.raises(TooLarge):
        read(receive, declared=11)

    assert not taken


def test_a_body_that_drips_is_given_up():
    async def receive():
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"", "more_body": True}

    with pytest.raises(TimeoutError):
        read(receive, seconds=0.1)


def test_a_client_that_leaves_is_not_waited_for():
    async def receive():
        return {"type": "http.disconnect"}

    with pytest.raises(ConnectionError):
        read(receive)
