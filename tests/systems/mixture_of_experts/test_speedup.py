"""The speed-up factor against examples worked by hand, and its interval against theory."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.systems.mixture_of_experts.speedup import (
    OUTSIDE,
    Family,
    Point,
    bootstrap_speed_up,
    cost_to_reach,
    speed_up,
)

DENSE = [Point(1.0, 0.4), Point(4.0, 0.6)]


def factors(found):
    return {at.level: at.factor for at in found.levels}


def test_the_worked_example():
    assert cost_to_reach(DENSE, 0.5, lower_is_better=False) == 2.0


def test_between_two_models_the_cost_is_linear_in_performance_and_logarithmic_in_cost():
    found = speed_up(DENSE, [Point(0.5, 0.45), Point(2.0, 0.55)], lower_is_better=False)

    assert [at.level for at in found.levels] == [0.4, 0.45, 0.55, 0.6]
    assert factors(found)[0.45] == pytest.approx(4**0.25 / 0.5)
    assert factors(found)[0.55] == pytest.approx(4**0.75 / 2.0)
    assert found.passed_over == (0, 0)


def test_nothing_is_extrapolated():
    found = speed_up(DENSE, [Point(0.5, 0.5), Point(1.0, 0.7)], lower_is_better=False)

    worst, best = found.levels[0], found.levels[-1]
    assert (worst.level, worst.factor, worst.reason) == (0.4, None, OUTSIDE)
    assert (worst.dense_cost, worst.sparse_cost) == (1.0, None)
    assert (best.level, best.factor, best.reason) == (0.7, None, OUTSIDE)
    assert best.dense_cost is None
    assert [at.factor is None for at in found.levels] == [True, False, False, True]


def test_a_measure_that_is_better_when_lower():
    dense = [Point(1.0, 30.0), Point(4.0, 20.0)]
    found = speed_up(dense, [Point(1.0, 25.0)], lower_is_better=True)

    assert [at.level for at in found.levels] == [30.0, 25.0, 20.0]
    assert factors(found) == {30.0: None, 25.0: pytest.approx(2.0), 20.0: None}


def test_a_family_that_does_not_always_get_better_counts_by_its_running_best():
    worse_in_between = [DENSE[0], Point(2.0, 0.3), Point(3.0, 0.4), DENSE[1]]
    found = speed_up(worse_in_between, [Point(1.0, 0.5)], lower_is_better=False)

    assert found.passed_over == (2, 0)
    assert [at.level for at in found.levels] == [0.4, 0.5, 0.6]
    assert factors(found)[0.5] == pytest.approx(2.0)


def test_of_two_models_of_equal_cost_the_better_counts():
    dense = [Point(4.0, 0.55), DENSE[1], DENSE[0]]
    found = speed_up(dense, [Point(1.0, 0.5)], lower_is_better=False)

    assert found.passed_over == (1, 0)
    assert factors(found)[0.5] == pytest.approx(2.0)


points = st.lists(
    st.tuples(st.floats(0.1, 100.0), st.floats(1.0, 50.0)), min_size=1, max_size=6
).map(lambda pairs: [Point(*pair) for pair in pairs])


@given(points)
def test_a_family_beside_itself_has_a_factor_of_one_wherever_it_has_been(family):
    found = speed_up(family, family, lower_is_better=True)

    assert all(at.factor == 1.0 for at in found.levels)
    assert len(found.levels) == len(family) - found.passed_over[0]


@given(points, points, st.sampled_from([0.125, 0.5, 4.0]))  # exact: no two costs become one
def test_the_unit_of_cost_does_not_matter_and_the_order_of_models_neither(dense, sparse, unit):
    found = speed_up(dense, sparse, lower_is_better=True)
    other = speed_up(
        [Point(unit * p.cost, p.performance) for p in dense[::-1]],
        [Point(unit * p.cost, p.performance) for p in sparse],
        lower_is_better=True,
    )

    assert [at.level for at in found.levels] == [at.level for at in other.levels]
    for a, b in zip(found.levels, other.levels, strict=True):
        assert a.factor == (None if b.factor is None else pytest.approx(b.factor, rel=1e-9))


@given(points, points)
def test_swapping_the_families_inverts_the_factor(dense, sparse):
    found = factors(speed_up(dense, sparse, lower_is_better=True))
    swapped = factors(speed_up(sparse, dense, lower_is_better=True))

    for level, factor in found.items():
        assert swapped[level] == (None if factor is None else pytest.approx(1 / factor))


@pytest.mark.parametrize("wrong", [Point(0.0, 1.0), Point(1.0, math.nan), Point(math.inf, 1.0)])
def test_costs_and_performances_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match="costs must be above 0"):
        speed_up([wrong], DENSE, lower_is_better=False)


# -- the interval -------------------------------------------------------------------------------


def families(noise, documents=400, seed=0):
    """Two dense models and a sparse one: 1.0, 0.6 and 0.8 nats per token, at costs 1, 4 and 1."""
    random = np.random.default_rng(seed)
    counts = random.integers(10, 100, documents).astype(float)
    nats = np.array([1.0, 0.6, 0.8])[:, None] + noise * random.standard_normal((3, documents))
    dense = Family(np.array([1.0, 4.0]), nats[:2] * counts, counts)
    return dense, Family(np.array([1.0]), nats[2:] * counts, counts)


def test_documents_that_are_all_alike_leave_no_doubt():
    dense, sparse = families(noise=0.0)
    found = bootstrap_speed_up(dense, sparse, [0.8], lower_is_better=True,
                               performance=lambda nats: np.round(nats, 9))  # fmt: skip

    assert found.defined.tolist() == [1.0]
    assert found.low == pytest.approx([2.0], rel=1e-9)
    assert found.high == pytest.approx([2.0], rel=1e-9)


def straddling(sparse, above=1.2, below=0.8):
    """A sparse family of two models at cost 1: one worse than the given one, one better."""
    sums = np.concatenate([sparse.sums * above, sparse.sums * below])
    return Family(np.array([1.0, 1.0 + 1e-12]), sums, sparse.counts)


def test_by_default_the_performance_is_the_perplexity():
    dense, sparse = families(noise=0.0)
    level = math.exp(0.8)
    found = bootstrap_speed_up(dense, straddling(sparse), [level], lower_is_better=True)

    share = (math.exp(1.0) - level) / (math.exp(1.0) - math.exp(0.6))
    assert found.defined.tolist() == [1.0]
    assert found.low == pytest.approx([4**share])
    assert found.high == pytest.approx([4**share])


def test_the_interval_shrinks_with_the_root_of_the_number_of_documents():
    def width(documents):
        dense, sparse = families(0.2, documents)
        level = [math.exp(0.8)]
        found = bootstrap_speed_up(dense, straddling(sparse), level, lower_is_better=True)
        assert found.defined[0] == 1.0
        return float(np.log(found.high / found.low)[0])

    assert width(200) / width(3200) == pytest.approx(4.0, rel=0.3)


def test_the_interval_is_that_of_the_delta_method():
    # Only the sparse model at cost 1 varies. Between dense models at 1.0 and 0.6 the logarithm of
    # the cost rises by log 4 over 0.4, so the factor's logarithm has log 4 / 0.4 times the
    # deviation of the sparse family's level; here that level is fixed and the dense ones vary.
    documents, spread = 900, 0.1
    random = np.random.default_rng(5)
    shift = random.standard_normal(documents)
    shift = spread * (shift - shift.mean()) / shift.std()
    ones = np.ones(documents)
    dense = Family(np.array([1.0, 4.0]), np.stack([1.0 + shift, 0.6 + shift]), ones)
    sparse = Family(np.array([1.0, 1.0 + 1e-12]), np.stack([1.5 * ones, 0.1 * ones]), ones)
    found = bootstrap_speed_up(dense, sparse, [0.8], lower_is_better=True, resamples=4000,
                               performance=np.asarray, seed=3)  # fmt: skip

    error = math.log(4) / 0.4 * spread / math.sqrt(documents)
    assert np.log(found.low[0] / 2) == pytest.approx(-1.96 * error, rel=0.1)
    assert np.log(found.high[0] / 2) == pytest.approx(1.96 * error, rel=0.1)


def test_at_the_edge_of_a_family_half_of_the_resamples_have_a_factor():
    dense, sparse = families(noise=0.2, documents=2000)
    level = float(np.exp(sparse.sums.sum() / sparse.counts.sum()))
    wide = Family(np.array([0.5, 1.0]), np.concatenate([sparse.sums * 1.2, sparse.sums]),
                  sparse.counts)  # fmt: skip
    found = bootstrap_speed_up(dense, wide, [level], lower_is_better=True, resamples=2000)

    assert found.defined[0] == pytest.approx(0.5, abs=0.06)


def test_equal_seeds_give_equal_intervals_and_equal_families_none():
    dense, sparse = families(noise=0.1)

    def bounds(other, seed):
        found = bootstrap_speed_up(dense, other, [2.2], lower_is_better=True, seed=seed)
        return found.low.item(), found.high.item()

    assert bounds(straddling(sparse), 1) == bounds(straddling(sparse), 1)
    assert bounds(straddling(sparse), 1) != bounds(straddling(sparse), 2)
    assert bounds(dense, 1) == (1.0, 1.0)


def test_families_measured_on_different_documents_are_refused():
    dense, sparse = families(noise=0.1)
    other = Family(sparse.costs, sparse.sums[:, 1:], sparse.counts[1:])

    with pytest.raises(ValueError, match="same documents"):
        bootstrap_speed_up(dense, other, [2.0], lower_is_better=True)
