"""The weather generator: parameters found again, seasons kept, chains as theory has them."""

import time

import numpy as np
import pytest
from scipy import stats

from assay.core.artifacts import decode, encode
from assay.core.component import describe
from assay.errors import AssayError
from assay.systems.climate_impact.daily import MONTH_OF_DAY, DailyRain, yearly_maxima
from assay.systems.climate_impact.weather import (
    WeatherModel,
    fit_days,
    fit_maxima,
    fit_weather,
    generate_weather,
    stated_weather,
)

MONTHS = np.arange(12)
SEASON = np.cos(2 * np.pi * MONTHS / 12)
MODEL = WeatherModel(
    0.25 + 0.1 * SEASON, 0.55 + 0.15 * SEASON, 0.8 + 0.2 * SEASON, 9.0 - 3 * SEASON, 0.1, "nowhere"
)
YEARS = 400


@pytest.fixture(scope="module")
def drawn():
    return generate_weather(MODEL, years=YEARS, seed=7)


def refused(call, *args, **more):
    with pytest.raises(AssayError) as error:
        call(*args, **more)
    assert "\n" not in str(error.value)
    return str(error.value)


def fitted(daily):
    days = np.arange(float(daily.rain_mm.size))
    month = np.tile(MONTH_OF_DAY + 1, len(daily.rain_mm))
    return fit_days(days, month, daily.rain_mm.ravel(), wet_mm=0.1, note="series")


# -- the chain ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("p01", "p11"), [(0.2, 0.7), (0.7, 0.2), (0.4, 0.4), (0.9, 0.05)])
def test_the_share_of_wet_days_and_the_transitions_are_those_of_the_chain(p01, p11):
    twelve = np.ones(12)
    model = WeatherModel(p01 * twelve, p11 * twelve, twelve, 5 * twelve, 0.1)
    wet = generate_weather(model, years=2000, seed=1).rain_mm.ravel() > 0.1
    n = wet.size

    # Standard errors of a share in a two-state chain have the factor (1 + r) / (1 - r), r = p11-p01
    share = p01 / (1 + p01 - p11)
    assert model.wet_share == pytest.approx(share)
    r = p11 - p01
    error = np.sqrt(share * (1 - share) / n * (1 + r) / (1 - r))
    assert abs(wet.mean() - share) < 4.5 * error
    for before, p in ((wet[:-1], p11), (~wet[:-1], p01)):
        found, count = wet[1:][before].mean(), before.sum()
        assert abs(found - p) < 4.5 * np.sqrt(p * (1 - p) / count)
    # Spells of the chain are geometric: two wet days in a row and a third are no more alike
    pairs = wet[:-2] & wet[1:-1]
    assert abs(wet[2:][pairs].mean() - p11) < 4.5 * np.sqrt(p11 * (1 - p11) / pairs.sum())


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("turned", [False, True])
def test_a_chain_drawn_day_by_day_is_the_same_chain(seed, turned):
    uniform = np.random.default_rng(seed).random(730)
    after = MODEL.wet_after_dry, MODEL.wet_after_wet
    after_dry, after_wet = after[::-1] if turned else after
    model = WeatherModel(after_dry, after_wet, MODEL.shape, MODEL.scale_mm, 0.1)
    month = np.tile(MONTH_OF_DAY, 2)
    wet = [uniform[0] < model.wet_share[0]]
    for u, m in zip(uniform[1:], month[1:], strict=True):
        wet.append(u < (after_wet if wet[-1] else after_dry)[m])

    drawn = generate_weather(model, years=2, seed=seed).rain_mm.ravel()

    assert (drawn > 0).tolist() == wet


# -- amounts, seasons, fits ---------------------------------------------------------------------


def test_the_parameters_of_a_series_are_found_again_within_their_sampling_error(drawn):
    found = fitted(drawn)

    days = np.bincount(MONTH_OF_DAY) * YEARS
    wet = days * MODEL.wet_share
    for p, fit, count in (
        (MODEL.wet_after_dry, found.wet_after_dry, days - wet),
        (MODEL.wet_after_wet, found.wet_after_wet, wet),
    ):
        # the months around lend a day each, so a little more than the error of a share
        assert (np.abs(fit - p) < 4.5 * np.sqrt(p * (1 - p) / count) + 1e-3).all()
    # Asymptotic variance of the likeliest gamma shape: k / (n (k trigamma(k) - 1))
    k = MODEL.shape
    spread = np.sqrt(k / (wet * (k * stats.loggamma(k).var() - 1)))
    assert (np.abs(found.shape - k) < 4.5 * spread).all()
    mean = np.sqrt(k) * MODEL.scale_mm / np.sqrt(wet)
    assert (np.abs(found.wet_day_mm - MODEL.wet_day_mm) < 4.5 * mean).all()


def test_seasons_are_kept(drawn):
    mean = np.array([drawn.rain_mm[:, MONTH_OF_DAY == m].mean() for m in MONTHS])
    # drier than the chain's share would be only in the days after a month's turn
    expected = MODEL.wet_share * MODEL.wet_day_mm

    assert mean == pytest.approx(expected, rel=0.1)
    assert np.corrcoef(mean, expected)[0, 1] > 0.98


def test_the_fit_is_the_likeliest_gamma_distribution_that_scipy_finds(drawn):
    found = fitted(drawn)
    july = drawn.rain_mm[:, MONTH_OF_DAY == 6]
    shape, _, scale = stats.gamma.fit(july[july > 0.1] - 0.1, floc=0)

    assert found.shape[6] == pytest.approx(shape, rel=1e-5)
    assert found.scale_mm[6] == pytest.approx(scale, rel=1e-5)
    assert found.wet_day_mm[6] == pytest.approx(july[july > 0.1].mean(), rel=1e-12)


def test_stated_numbers_hold_all_year_or_month_by_month():
    season = (9.0 - 3 * SEASON).tolist()
    found = stated_weather(wet_after_dry=0.3, wet_after_wet=0.6, shape=0.8, scale_mm=season)

    assert found.wet_after_dry.tolist() == [0.3] * 12
    assert found.scale_mm.tolist() == season
    for wrong in ({"wet_after_dry": 1.0}, {"scale_mm": season[:11]}, {"shape": -1.0}):
        with pytest.raises(AssayError):
            describe(stated_weather).validate(wrong, "weather")


def test_equal_seeds_draw_equal_weather_and_others_other():
    one, same, other = (generate_weather(MODEL, years=3, seed=s).rain_mm for s in (5, 5, 6))

    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_ten_thousand_years_take_seconds():
    begun = time.perf_counter()
    daily = generate_weather(MODEL, years=10_000, seed=0)

    assert daily.rain_mm.shape == (10_000, 365)
    assert time.perf_counter() - begun < 20


def test_maxima_of_long_weather_have_the_depths_of_their_own_distribution():
    daily = generate_weather(MODEL, years=5000, seed=2)
    statistics = fit_maxima(daily)

    maxima = yearly_maxima(daily)
    assert maxima.shape == (5000,)
    for period in (5.0, 20.0, 100.0):
        empirical = np.quantile(maxima, 1 - 1 / period)
        assert statistics.depth_mm(period) == pytest.approx(empirical, rel=0.05)
    assert fit_maxima(daily, day_factor=1.13).depth_mm(50.0) == pytest.approx(
        1.13 * statistics.depth_mm(50.0)
    )
    assert "say too little" in refused(fit_maxima, DailyRain(daily.rain_mm[:5]))


# -- files --------------------------------------------------------------------------------------


def dates(years, first=2001):
    return np.arange(f"{first}-01-01", f"{first + years}-01-01", dtype="datetime64[D]").astype(str)


def written(tmp_path, rows, header="date,rain [mm]"):
    path = tmp_path / "daily.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def rows():
    days = dates(10)
    months = np.array([int(d[5:7]) for d in days])
    rain = generate_weather(MODEL, years=11, seed=4).rain_mm.ravel()[: days.size]
    return [f"{d},{r:.4f}" for d, r in zip(days, rain, strict=True)], months, rain


def test_a_daily_series_is_fitted_from_its_file_leap_days_and_all(tmp_path, rows):
    lines, months, rain = rows
    found = fit_weather(path=written(tmp_path, lines))

    expected = fit_days(np.arange(float(rain.size)), months, rain.round(4), wet_mm=0.1)
    assert found.note == "3652 days of daily.csv"
    assert np.allclose(found.shape, expected.shape)
    assert np.allclose(found.wet_after_wet, expected.wet_after_wet)
    inches = [f"{line.split(',')[0]},{float(line.split(',')[1]) / 25.4}" for line in lines]
    again = fit_weather(path=written(tmp_path, inches, "date,rain"), unit="inch")
    assert np.allclose(again.scale_mm, found.scale_mm)
    by_rate = fit_weather(path=written(tmp_path, lines, "date,rain [mm/day]"))
    assert np.allclose(by_rate.scale_mm, found.scale_mm)


def test_missing_days_are_refused_or_skipped_with_the_transitions_they_touch(tmp_path, rows):
    lines, months, rain = rows
    path = written(tmp_path, lines[:100] + lines[103:])

    said = refused(fit_weather, path=path)
    assert "daily.csv line 102: days are missing before this one" in said
    assert "gaps=skip" in said
    # Counted by hand: no transition into a missing day, nor from the day before to the one after
    kept = [k for k in range(rain.size) if not 100 <= k < 103]
    april = [k for k in kept if months[k] == 4 and k - 1 in set(kept)]
    after_dry = [rain[k] > 0.1 for k in april if rain[k - 1] <= 0.1]
    found = fit_weather(path=path, gaps="skip")
    assert len(april) == 300 - 4
    assert found.wet_after_dry[3] == pytest.approx(np.mean(after_dry), rel=1e-12)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r[:5] + r[4:], "line 7: the day is there twice"),
        (lambda r: [*r[:5], r[2], *r[6:]], "line 7: the day lies before the one above it"),
        (lambda r: [*r[:5], r[5].partition(",")[0] + ",", *r[6:]], "line 7: the rain is missing"),
        (lambda r: [*r[:5], r[5].partition(",")[0] + ",-1", *r[6:]], "line 7: a day with -1 mm"),
        (lambda r: [*r[:5], r[5].partition(",")[0] + ",2001", *r[6:]], "line 7: a day with 2001"),
        (lambda r: [*r[:5], r[5].replace(",", " 06:00,"), *r[6:]], "not that of the line above"),
        (lambda r: r[:100], "month 1 has 13 wet days; expected at least 20"),
    ],
)
def test_series_with_faults_are_refused_by_line(tmp_path, rows, change, said):
    assert said in refused(fit_weather, path=written(tmp_path, change(rows[0])))


def test_a_series_needs_dates_and_a_unit(tmp_path, rows):
    assert "says no unit of rain" in refused(
        fit_weather, path=written(tmp_path, rows[0], "date,rain")
    )
    numbers = [f"{k},1" for k in range(50)]
    assert "expected dates" in refused(
        fit_weather, path=written(tmp_path, numbers, "date [d],rain [mm]")
    )


def test_weather_survives_the_store():
    for value in (MODEL, generate_weather(MODEL, years=2, seed=1)):
        arrays: list[np.ndarray] = []
        back = decode(encode(value, arrays), type(value), arrays)
        assert encode(back, []) == encode(value, [])
