"""Intervals err as rarely as their documentation says, on samples whose true mean is known."""

import re
from functools import lru_cache

import numpy as np
import pytest
from scipy.stats import nct, norm, t

from assay.core import inference
from assay.core.inference import all_equal, bootstrap_t_bounds, interval, power, t_bounds

SAMPLES = 2000
"""Behind every error rate: its standard error is 0.5 points at 5 %."""

# Every distribution has mean 0: an interval wholly on one side of 0 is an error.
DISTRIBUTIONS = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "Student's t, 3 degrees of freedom": lambda rng, shape: rng.standard_t(3, shape),
    "-1, 0 or 1": lambda rng, shape: rng.choice([-1.0, 0.0, 1.0], shape),
    "lognormal, log-sd 0.5": lambda rng, shape: rng.lognormal(0, 0.5, shape) - np.exp(0.125),
    "exponential": lambda rng, shape: rng.exponential(size=shape) - 1,
    "lognormal, log-sd 1": lambda rng, shape: rng.lognormal(size=shape) - np.exp(0.5),
    "0 or, once in ten, 1": lambda rng, shape: (rng.random(shape) < 0.1) - 0.1,
    "-1 or 1": lambda rng, shape: rng.choice([-1.0, 1.0], shape),
    "seldom -1 or 1": lambda rng, shape: rng.choice([-1.0, 0.0, 1.0], shape, p=[0.1, 0.8, 0.1]),
    "uniform": lambda rng, shape: rng.uniform(-1, 1, shape),
}
NOT_SKEWED = (
    "normal",
    "Student's t, 3 degrees of freedom",
    "-1, 0 or 1",
    "-1 or 1",
    "seldom -1 or 1",
    "uniform",
)


def bounds(samples):
    """The interval of every sample by the rule of `interval`."""
    return (bootstrap_t_bounds if samples.shape[1] >= 5 else t_bounds)(samples)


@lru_cache(maxsize=200)
def worse_error(distribution, n):
    """Share of samples whose interval lies wholly on one side of the truth, the worse side.

    Samples that do not vary have no interval.
    """
    drawn = DISTRIBUTIONS[distribution](np.random.default_rng(n), (SAMPLES, n))
    low, high = bounds(drawn)
    varies = np.ptp(drawn, axis=1) > 1e-9
    return max(np.mean(varies & (low > 0)), np.mean(varies & (high < 0)))


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 8, 10, 20])
@pytest.mark.parametrize("distribution", NOT_SKEWED)
def test_an_interval_of_effects_without_skew_errs_at_most_once_in_twenty(distribution, n):
    # The true rates lie below 3.8 %, more than two standard errors below the bound.
    assert worse_error(distribution, n) <= 0.05


def documented():
    """The table of simulated errors in the module's documentation, in percent."""
    rows = re.findall(r"^\| (.+?) +\|((?: *\d+ +\|){9})$", inference.__doc__, re.MULTILINE)
    sizes = (2, 3, 4, 5, 6, 8, 10, 20, 50)
    for name, cells in rows:
        yield from (
            (name, n, int(c)) for n, c in zip(sizes, re.findall(r"\d+", cells), strict=True)
        )


def test_the_documented_errors_cover_seven_distributions():
    assert len({name for name, _, _ in documented()}) == 7


@pytest.mark.parametrize(("name", "n", "percent"), list(documented()))
def test_the_documented_errors_are_those_of_a_simulation(name, n, percent):
    found = 100 * worse_error(name, n)

    standard_error = 100 * np.sqrt(0.01 * percent * (1 - 0.01 * percent) / SAMPLES)
    assert found == pytest.approx(percent, abs=0.6 + 3 * standard_error)  # rounding, chance


def test_a_t_interval_is_the_textbook_one():
    low, high = t_bounds(np.array([[1.0, 2.0, 3.0, 4.0]]))

    expected = t.interval(0.95, 3, loc=2.5, scale=np.sqrt(5 / 3) / 2)
    assert (low[0], high[0]) == pytest.approx(expected)


def test_a_bootstrap_interval_is_the_one_of_its_definition():
    """Recomputed resample by resample, from the same counts, where it is wider than t."""
    sample = np.array([0.1, 0.2, 0.2, 0.3, 4.0, 9.0])
    n = len(sample)
    counts = np.random.default_rng(0).multinomial(n, [1 / n] * n, inference.RESAMPLES)
    error = sample.std(ddof=1) / np.sqrt(n)
    studentised = []
    for row in counts:
        again = np.repeat(sample, row)
        spread = again.std(ddof=1) / np.sqrt(n)
        shift = again.mean() - sample.mean()
        studentised.append(shift / spread if spread > 1e-9 else np.copysign(np.inf, shift))
    ordered = np.sort(studentised)

    low, high = bootstrap_t_bounds(sample[None, :])

    t_low, _ = t_bounds(sample[None, :])
    assert low[0] == t_low[0] < sample.mean() - ordered[-50] * error
    assert high[0] == pytest.approx(sample.mean() - ordered[49] * error)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_bootstrap_interval_is_never_narrower_than_t(distribution):
    drawn = DISTRIBUTIONS[distribution](np.random.default_rng(3), (200, 7))

    low, high = bootstrap_t_bounds(drawn)

    t_low, t_high = t_bounds(drawn)
    assert (low <= t_low).all()
    assert (high >= t_high).all()


def test_samples_are_bounded_alike_alone_and_together():
    drawn = np.random.default_rng(4).exponential(size=(300, 6))

    together = np.array(bootstrap_t_bounds(drawn))
    alone = np.array([np.concatenate(bootstrap_t_bounds(row[None, :])) for row in drawn]).T

    np.testing.assert_allclose(together, alone, rtol=1e-9)


@pytest.mark.parametrize(("n", "method"), [(2, "t"), (4, "t"), (5, "bootstrap-t"), (1001, "t")])
def test_the_method_depends_on_the_number_of_units(n, method):
    found = interval(np.random.default_rng(0).normal(size=n))

    assert (found.n, found.method) == (n, method)
    assert found.low < found.effect < found.high


def test_the_order_of_the_units_does_not_matter():
    effects = np.random.default_rng(0).normal(size=9)

    assert interval(effects) == interval(effects[::-1])


@pytest.mark.parametrize("factor", [1e-20, 1e20])
def test_the_unit_of_the_effects_does_not_matter(factor):
    effects = np.random.default_rng(0).normal(size=6)

    small, large = interval(effects), interval(factor * effects)

    assert large.method == "bootstrap-t"
    assert np.array(large[:3]) == pytest.approx(factor * np.array(small[:3]))


def test_equal_effects_have_a_point():
    assert interval(np.array([0.3, 0.1 + 0.2, 0.3])) == (0.3, 0.3, 0.3, 3, "exact")
    assert all_equal(np.zeros(4))
    assert not all_equal(np.array([0.0, 0.0, 1e-300]))


@pytest.mark.parametrize("effects", [[], [1.0], [1.0, np.nan], [1.0, np.inf]])
def test_effects_without_an_interval_are_refused(effects):
    with pytest.raises(ValueError, match="at least two finite effects"):
        interval(np.array(effects, dtype=float))


@pytest.mark.parametrize("effect", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("n", [2, 3, 4, 60])
def test_the_power_of_a_t_interval_is_that_of_the_noncentral_t_distribution(n, effect):
    expected = nct.sf(t.ppf(0.975, n - 1), n - 1, effect * np.sqrt(n))

    # Monte Carlo: 4000 samples, three standard errors.
    assert power(effect, 1.0, n, above=0.0) == pytest.approx(expected, abs=0.024)
    assert power(-effect, 1.0, n, below=0.0) == pytest.approx(expected, abs=0.024)


@pytest.mark.parametrize("n", [3, 5, 8, 20])
@pytest.mark.parametrize(
    ("effect", "above", "below"), [(1.0, 0.0, np.inf), (-0.5, -np.inf, 0.2), (0.1, -1.0, 1.0)]
)
def test_the_power_is_how_often_simulated_normal_effects_decide(n, effect, above, below):
    drawn = np.random.default_rng(100 + n).normal(effect, 0.7, (4000, n))
    low, high = bounds(drawn)
    found = np.mean((low > above) & (high < below))

    # Two Monte Carlo estimates of 4000 samples each: three standard errors of a difference.
    assert power(effect, 0.7, n, above=above, below=below) == pytest.approx(found, abs=0.034)


def test_the_power_to_lie_within_a_margin_is_that_of_theory_for_many_units():
    n, spread, margin = 400, 1.0, 0.15
    reach = margin * np.sqrt(n) / spread - norm.ppf(0.975)  # the t is all but normal

    assert power(0.0, spread, n, above=-margin, below=margin) == pytest.approx(
        2 * norm.cdf(reach) - 1, abs=0.025
    )


def test_one_unit_has_no_power():
    assert power(100.0, 1.0, 1, above=0.0) == 0.0
