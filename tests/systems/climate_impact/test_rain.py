"""Rain: quantiles against scipy, fits against Hosking's numbers, storms against their design."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from assay.core.artifacts import decode, encode
from assay.errors import AssayError, DataError, ParameterError
from assay.systems.climate_impact.rain import (
    DepthDuration,
    Hyetograph,
    LMoments,
    alternating_blocks,
    fit_depths,
    fit_gev,
    fit_gumbel,
    l_moments,
)

# A sample and what Hosking's LMOMENTS routines make of it, as held in the tests of lmoments3.
SAMPLE = [2.0, 3.0, 4.0, 2.4, 5.5, 1.2, 5.4, 2.2, 7.1, 1.3, 1.5]
GEV = (2.1792884, 1.3956404, -0.1555609)
GUMBEL = (2.285519, 1.647295)

statistics = st.builds(
    DepthDuration,
    location_mm=st.floats(20, 200),
    scale_mm=st.floats(1, 40),
    shape=st.floats(-0.4, 0.4),
    exponent=st.floats(0.05, 0.95),
)


# -- depths -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [-0.3, -1e-7, 0.0, 1e-7, 0.3])
@pytest.mark.parametrize("period", [1.01, 2.0, 10.0, 1000.0])
def test_a_depth_is_the_quantile_that_scipy_gives(shape, period):
    rain = DepthDuration(60.0, 15.0, shape)

    expected = stats.genextreme.ppf(1 - 1 / period, shape, loc=60.0, scale=15.0)

    assert rain.depth_mm(period) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("period", [2.0, 100.0, 10_000.0])
def test_the_depth_has_no_step_where_the_shape_goes_through_zero(period):
    gumbel = 60.0 - 15.0 * math.log(-math.log(1 - 1 / period))
    near = [DepthDuration(60.0, 15.0, k).depth_mm(period) for k in (-1e-12, -1e-300, 0.0, 1e-12)]

    assert near == pytest.approx([gumbel] * 4, rel=1e-9)


def test_a_negative_shape_has_the_heavier_tail():
    heavy, gumbel, bounded = (
        DepthDuration(60.0, 15.0, k).depth_mm(500.0) for k in (-0.2, 0.0, 0.2)
    )

    assert heavy > gumbel > bounded


def test_depth_scales_with_duration_to_the_exponent():
    rain = DepthDuration(60.0, 15.0, exponent=0.4)

    assert rain.depth_mm(10.0, 24.0) == rain.depth_mm(10.0)
    assert rain.depth_mm(10.0, 48.0) / rain.depth_mm(10.0, 3.0) == pytest.approx(16**0.4)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"location_mm": -1.0}, "location_mm"),
        ({"scale_mm": 0.0}, "scale_mm"),
        ({"scale_mm": math.nan}, "scale_mm"),
        ({"shape": 1.0}, "shape"),
        ({"exponent": 1.0}, "exponent"),
        ({"reference_h": 0.0}, "reference_h"),
    ],
)
def test_impossible_statistics_are_refused_by_name(change, named):
    with pytest.raises(ParameterError, match=named):
        DepthDuration(**{"location_mm": 60.0, "scale_mm": 15.0, **change})


def test_a_return_period_that_is_no_probability_is_refused():
    with pytest.raises(ParameterError, match="return_period_years: got 1; expected years, > 1"):
        DepthDuration(60.0, 15.0).depth_mm(1.0)


def test_a_depth_that_is_not_positive_is_refused():
    with pytest.raises(ParameterError, match=r"depth of the 1\.01-year storm"):
        DepthDuration(20.0, 30.0).depth_mm(1.01)


# -- fits ---------------------------------------------------------------------------------------


def test_l_moments_agree_with_scipy():
    expected = stats.lmoment(SAMPLE, order=[1, 2, 3], standardize=True)

    assert l_moments(SAMPLE) == pytest.approx(expected, rel=1e-12)


def test_fits_agree_with_the_routines_of_hosking():
    moments = l_moments(SAMPLE)

    assert fit_gev(moments) == pytest.approx(GEV, abs=1e-6)
    assert fit_gumbel(moments) == pytest.approx(GUMBEL, abs=2e-6)


@given(st.floats(10, 100), st.floats(1, 50), st.floats(-0.9, 0.9))
def test_a_gev_is_found_again_from_its_own_l_moments(location, scale, k):
    def beta(r):  # probability-weighted moments of the GEV, Hosking, Wallis and Wood 1985, eq. 5
        n = r + 1
        if abs(k) < 1e-6:
            return (location + scale * (np.euler_gamma + math.log(n))) / n
        return (location + scale * (1 - math.gamma(1 + k) * n**-k) / k) / n

    b0, b1, b2 = map(beta, range(3))
    l2 = 2 * b1 - b0

    fitted = fit_gev(LMoments(b0, l2, (6 * b2 - 6 * b1 + b0) / l2))

    assert fitted == pytest.approx((location, scale, k), rel=1e-4, abs=1e-4)


def test_a_fit_recovers_the_depths_its_sample_was_drawn_from():
    years = (np.arange(5000) + 0.5) / 5000
    maxima = stats.genextreme.ppf(years, -0.1, loc=60.0, scale=15.0)

    fitted = fit_depths(maxima, distribution="gev")

    expected = DepthDuration(60.0, 15.0, -0.1)
    assert fitted.depth_mm(100.0) == pytest.approx(expected.depth_mm(100.0), rel=0.01)
    assert "5000 annual maxima" in fitted.note


@pytest.mark.parametrize(
    ("maxima", "said"),
    [
        ([50.0] * 9, "9 annual maxima say too little"),
        ([50.0] * 12, "all values of the sample are equal"),
        ([50.0] * 11 + [math.nan], "not a sample"),
        ([100.0] * 11 + [0.1], "L-skewness"),
    ],
)
def test_series_that_cannot_be_fitted_are_refused(maxima, said):
    with pytest.raises(DataError, match=said):
        fit_depths(maxima, distribution="gev")


# -- storms -------------------------------------------------------------------------------------


@given(statistics, st.integers(1, 60), st.sampled_from([5.0, 15.0, 60.0]), st.floats(2, 1000))
def test_a_storm_holds_its_design_depth_around_the_middle_for_every_duration(
    rain, count, block_min, period
):
    hours = block_min / 60
    try:
        rain.depth_mm(period)
    except ParameterError:
        return
    storm = alternating_blocks(
        rain, return_period_years=period, duration_h=count * hours, block_min=block_min
    )
    blocks = storm.rain_mm_per_h * hours
    middle = (count - 1) // 2

    assert storm.depth_mm == pytest.approx(rain.depth_mm(period, count * hours), rel=1e-12)
    assert storm.times_s.tolist() == pytest.approx([k * block_min * 60 for k in range(count + 1)])
    for k in range(1, count + 1):
        first = middle - (k - 1) // 2
        inside = blocks[first : first + k].sum()
        assert inside == pytest.approx(rain.depth_mm(period, k * hours), rel=1e-9)
    assert (np.diff(blocks[: middle + 1]) > 0).all()
    assert (np.diff(blocks[middle:]) < 0).all()


def test_only_the_share_that_runs_off_is_in_the_storm():
    rain = DepthDuration(60.0, 15.0)
    whole, half = (
        alternating_blocks(
            rain, return_period_years=10.0, duration_h=3.0, block_min=30.0, runoff_coefficient=share
        )
        for share in (1.0, 0.5)
    )

    assert half.depth_mm == pytest.approx(whole.depth_mm / 2)
    assert half.label == "10-year storm"
    assert half.return_period_years == 10.0


def test_blocks_that_do_not_fill_the_storm_are_refused():
    with pytest.raises(ParameterError, match="blocks of 25 min do not fill 3 h"):
        alternating_blocks(
            DepthDuration(60.0, 15.0), return_period_years=10.0, duration_h=3.0, block_min=25.0
        )


def test_a_rain_that_never_ends_counts_up_to_its_last_time():
    storm = Hyetograph(np.array([0.0, 3600.0]), np.array([12.0, 5.0]), "observed", 2.0)

    assert storm.depth_mm == 12.0


@pytest.mark.parametrize(
    "value",
    [
        DepthDuration(60.0, 15.0, -0.1, note="here"),
        alternating_blocks(
            DepthDuration(60.0, 15.0), return_period_years=5.0, duration_h=1.0, block_min=15.0
        ),
    ],
    ids=["statistics", "storm"],
)
def test_rain_survives_the_store(value):
    arrays: list[np.ndarray] = []

    back = decode(encode(value, arrays), type(value), arrays)

    assert encode(back, []) == encode(value, [])
    assert isinstance(back, type(value))


def test_every_refusal_is_one_line_without_a_full_stop_in_what_was_wrong():
    with pytest.raises(AssayError) as refused:
        DepthDuration(60.0, -1.0)

    assert "\n" not in str(refused.value)
    assert not refused.value.what.endswith(".")
