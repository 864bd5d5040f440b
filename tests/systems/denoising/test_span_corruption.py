"""Span corruption: text and spans can be put together again, and lengths are uniform partitions."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.systems.denoising.span_corruption import corrupted, corrupted_spans, random_partition

FIRST = 900


def restored(source, target):
    """Put what follows each sentinel in its place."""
    spans, sentinel = {}, None
    for token in target[:-1].tolist():
        if token >= FIRST:
            sentinel = token
            spans[sentinel] = []
        else:
            spans[sentinel].append(token)
    return [t for token in source.tolist() for t in spans.get(token, [token])]


@given(
    tokens=st.integers(0, 200),
    density=st.floats(0.01, 0.99),
    mean=st.floats(1, 10),
    seed=st.integers(0, 99),
)
def test_nothing_is_lost(tokens, density, mean, seed):
    ids = np.arange(100, 100 + tokens)
    spans = corrupted_spans(tokens, density, mean, np.random.default_rng(seed))
    source, target = corrupted(ids, spans, FIRST)
    assert restored(source, target) == ids.tolist()
    assert target[-1] == 2
    sentinels = [token for token in source.tolist() if token >= FIRST]
    assert sentinels == list(range(FIRST, FIRST + len(spans)))
    assert sentinels == [token for token in target.tolist() if token >= FIRST]


@pytest.mark.parametrize(("tokens", "taken", "spans"), [(512, 77, 26), (126, 19, 6), (20, 3, 1)])
def test_the_rates_are_those_of_t5(tokens, taken, spans):
    """15 % of the tokens, to the nearest, in spans of 3 on average, to the nearest."""
    found = corrupted_spans(tokens, 0.15, 3.0, np.random.default_rng(0))
    assert len(found) == spans
    assert np.diff(found, axis=1).sum() == taken


@pytest.mark.parametrize("tokens", [2, 3, 4, 30])
@pytest.mark.parametrize("density", [0.001, 0.5, 1.0])
def test_one_token_is_corrupted_at_least_and_one_kept(tokens, density):
    found = corrupted_spans(tokens, density, 1.0, np.random.default_rng(0))
    assert 1 <= np.diff(found, axis=1).sum() <= tokens - 1
    assert found[0, 0] >= 1
    assert (found[1:, 0] > found[:-1, 1]).all()


@pytest.mark.parametrize("tokens", [0, 1])
def test_a_row_too_short_stays_as_it_is(tokens):
    assert corrupted_spans(tokens, 0.15, 3.0, np.random.default_rng(0)).shape == (0, 2)


def test_every_partition_is_equally_likely():
    rng, draws = np.random.default_rng(7), 6000
    found = Counter(tuple(random_partition(6, 3, rng).tolist()) for _ in range(draws))
    every = {(a, b - a, 6 - b) for a, b in combinations(range(1, 6), 2)}
    assert set(found) == every
    expected = draws / len(every)
    chi2 = sum((count - expected) ** 2 / expected for count in found.values())
    assert chi2 < 27.9  # 99.9 % of the distribution with 9 degrees of freedom
