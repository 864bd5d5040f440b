"""Samplers: what each promises of its points, exactly, and what none of them accepts."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from assay.core.decisions import Choices, Sampler, Span, span, sweep
from assay.core.sampling import MOST
from assay.errors import WorkflowError

THREE = {name: span(f"s.{name}", 0.0, 1.0) for name in "abc"}


def labels(sampler, decisions):
    return [tuple(label for label, _ in p.values()) for p in sampler.points(decisions)]


def cube(kind, n, seed=0, dimensions=3):
    decisions = dict(list(THREE.items())[:dimensions])
    return np.array(labels(Sampler(kind, n=n, seed=seed), decisions))


def test_a_grid_has_every_combination_once_the_last_decision_fastest():
    decisions = {"a": sweep("s.a", [1, 2]), "b": sweep("s.b", ["x", "y", "z"])}

    assert labels(Sampler(), decisions) == [
        (1, "x"), (1, "y"), (1, "z"), (2, "x"), (2, "y"), (2, "z")
    ]  # fmt: skip


def test_zip_goes_position_by_position():
    decisions = {"a": sweep("s.a", [1, 2, 3]), "b": sweep("s.b", ["x", "y", "z"])}

    assert labels(Sampler("zip"), decisions) == [(1, "x"), (2, "y"), (3, "z")]


@pytest.mark.parametrize("kind", ["grid", "zip", "random", "lhs", "sobol"])
def test_a_study_without_decisions_has_one_point(kind):
    n = 0 if kind in ("grid", "zip") else 7

    assert list(Sampler(kind, n=n).points({})) == [{}]


@pytest.mark.parametrize("kind", ["random", "lhs", "sobol"])
@pytest.mark.parametrize("n", [1, 5, 16])
def test_a_sampler_that_draws_gives_n_points_named_by_decision(kind, n):
    points = list(Sampler(kind, n=n).points(THREE))

    assert len(points) == n
    assert all(list(p) == ["a", "b", "c"] for p in points)
    for point in points:
        for name, (label, (patch,)) in point.items():
            assert (patch.path, patch.value) == (f"s.{name}", label)


@given(n=st.integers(1, 200), seed=st.integers(0, 2**32))
def test_a_latin_hypercube_has_one_point_in_each_stratum_of_each_dimension(n, seed):
    drawn = cube("lhs", n, seed)

    for column in drawn.T:
        assert sorted(np.floor(column * n).astype(int)) == list(range(n))


def test_a_latin_hypercube_is_not_a_diagonal():
    drawn = cube("lhs", 200)

    assert np.abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 0.3


@given(power=st.integers(0, 8), seed=st.integers(0, 2**32))
def test_a_sobol_sequence_of_a_power_of_two_is_balanced(power, seed):
    n = 2**power
    drawn = cube("sobol", n, seed)

    for column in drawn.T:  # an elementary interval of each size holds its share exactly
        assert sorted(np.floor(column * n).astype(int)) == list(range(n))


def test_two_dimensions_of_sobol_are_a_net():
    """A (0, m, 2)-net in base 2: every dyadic box of area 2**-m holds exactly one point."""
    drawn = cube("sobol", 64, seed=3, dimensions=2)
    for across in range(7):
        boxes = np.floor(drawn * [2**across, 2 ** (6 - across)]).astype(int)
        assert set(Counter(map(tuple, boxes)).values()) == {1}


def test_sobol_points_beyond_a_power_of_two_continue_the_sequence():
    assert np.array_equal(cube("sobol", 64)[:40], cube("sobol", 40))


@pytest.mark.parametrize("kind", ["random", "lhs", "sobol"])
def test_the_seed_and_nothing_else_decides_the_points(kind):
    assert np.array_equal(cube(kind, 20, seed=5), cube(kind, 20, seed=5))
    assert not np.array_equal(cube(kind, 20, seed=5), cube(kind, 20, seed=6))

    np.random.seed(1)
    first = cube(kind, 20, seed=5)
    np.random.seed(2)
    assert np.array_equal(first, cube(kind, 20, seed=5))


@pytest.mark.parametrize("kind", ["lhs", "sobol"])
def test_a_stratified_sampler_shares_points_equally_among_choices(kind):
    decisions = {"a": sweep("s.a", [1, 2, 3, 4]), "b": span("s.b", 0.0, 1.0)}

    assert Counter(a for a, _ in labels(Sampler(kind, n=16), decisions)) == dict.fromkeys(
        (1, 2, 3, 4), 4
    )


@pytest.mark.parametrize("kind", ["random", "lhs", "sobol"])
def test_a_logarithmic_range_is_uniform_in_the_logarithm(kind):
    decisions = {"a": span("s.a", 1e-3, 1e3, log=True)}
    drawn = np.array([a for (a,) in labels(Sampler(kind, n=600, seed=1), decisions)])

    per_decade = np.histogram(np.log10(drawn), bins=6, range=(-3, 3))[0]
    if kind == "random":
        assert per_decade.min() > 60  # 100 +- 4 standard deviations
    else:
        assert abs(per_decade - 100).max() <= 4


ends = st.floats(allow_nan=False, allow_infinity=False)


@given(low=ends, high=ends, u=st.floats(0, 1, exclude_max=True), log=st.booleans())
@example(low=3.3000000000000003, high=4.0, u=0.0, log=True)  # exp(log(x)) is not x
@example(low=0.01, high=0.1, u=1 - 2**-53, log=True)
@example(low=1e-300, high=1e300, u=0.5, log=True)
@example(low=-1e308, high=1e308, u=0.5, log=False)
def test_a_range_is_never_left(low, high, u, log):
    try:
        made = span("s.a", low, high, log=log)
    except WorkflowError:
        assert not low < high or (log and low <= 0)
        return
    value, _ = made.at(u)

    assert low <= value <= high
    assert math.isfinite(value)
    assert made.at(0.0)[0] == pytest.approx(low, rel=1e-9)


@given(st.lists(st.integers(), min_size=1, unique=True), st.floats(0, 1, exclude_max=True))
def test_a_position_in_the_unit_interval_is_a_choice(values, u):
    made = sweep("s.a", values)

    label, _ = made.at(u)
    assert label == values[math.floor(u * len(values))]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Sampler("lsh", n=3), "no sampler 'lsh'. Did you mean 'lhs'?"),
        (lambda: Sampler(None), "no sampler None"),
        (lambda: Sampler("grid", n=3), "sampler 'grid': takes no number of points"),
        (lambda: Sampler("zip", n=3), "sampler 'zip': takes no number of points"),
        (lambda: Sampler("lhs"), "sampler 'lhs': needs a number of points; expected n of 1"),
        (lambda: Sampler("sobol", n=-4), "needs a number of points"),
        (lambda: Sampler("sobol", n=2.0), "needs a number of points"),
        (lambda: Sampler("random", n=True), "needs a number of points"),
        (lambda: Sampler("random", n=MOST + 1), f"expected n of 1 to {MOST}"),
        (lambda: Sampler("lhs", n=4, seed=-1), "-1 is not a seed"),
        (lambda: Sampler("lhs", n=4, seed=0.5), "0.5 is not a seed"),
        (lambda: labels(Sampler(), {"a": Span("s.a", 0, 1)}), "decision 'a': a range cannot be"),
        (lambda: labels(Sampler("zip"), {"a": Span("s.a", 0, 1)}), "Use sampler random, lhs or"),
        (
            lambda: labels(
                Sampler("zip"), {"a": sweep("s.a", [1, 2]), "b": sweep("s.b", [1, 2, 3])}
            ),
            "sampler 'zip' needs lists of equal length (a: 2, b: 3)",
        ),
        (
            lambda: labels(Sampler(), {n: sweep(f"s.{n}", range(100)) for n in "abc"}),
            "the grid has 1,000,000 points; expected at most 100,000. Use sampler random",
        ),
    ],
)
def test_a_sampler_that_makes_no_sense_is_refused(build, message):
    with pytest.raises(WorkflowError) as caught:
        build()
    assert message in str(caught.value)


def test_a_huge_grid_is_refused_before_it_is_built():
    decisions = {str(n): Choices(tuple((k, ()) for k in range(10))) for n in range(30)}

    with pytest.raises(WorkflowError, match="the grid has"):
        next(Sampler().points(decisions))
