"""The components that bring data in: what they refuse before a run, and what they read."""

import math

import numpy as np
import pytest

from assay.core.component import describe
from assay.errors import DataError, ParameterError
from assay.systems.climate_impact import data, exposure_files, rain
from assay.systems.climate_impact.rasters import Grid, Terrain

COMPONENTS = [
    data.jacksboro,
    data.read_terrain,
    data.coarsen,
    data.drain,
    data.uniform_roughness,
    data.design_storm,
    data.fit_rain,
    data.fitted_storm,
    data.synthetic_settlement,
    exposure_files.read_exposure,
]


def plain(rows=6, columns=8):
    grid = Grid(rows, columns, 10.0, 500_000.0, 4_000_000.0, "EPSG:32616")
    return Terrain(np.arange(float(rows * columns)).reshape(rows, columns), grid, "plain")


@pytest.mark.parametrize("made", COMPONENTS, ids=lambda f: f.__name__)
def test_every_parameter_of_a_component_is_explained(made):
    described = describe(made)
    text = made.__doc__ or ""
    for name in described.params if len(described.params) > 1 else ():
        assert f"{name}:" in text, f"{described.name} does not explain {name}"


@pytest.mark.parametrize("made", COMPONENTS[2:5] + COMPONENTS[8:], ids=lambda f: f.__name__)
def test_what_stands_on_a_terrain_has_an_input_called_terrain(made):
    assert list(describe(made).inputs) == ["terrain"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"location_mm": 0.065}, "0.065 mm is no plausible usual yearly maximum of 24-hour rain"),
        ({"location_mm": 65_000}, "expected 2 to 1500 mm. Is it in mm?"),
        ({"scale_mm": 0.02}, "0.02 mm is no plausible spread"),
        ({"scale_mm": math.nan}, "nan mm is no plausible"),
        ({"return_period_years": 1}, "1 is refused; expected greater than 1"),
        ({"return_period_years": 0.01}, "0.01 is refused"),
        ({"runoff_coefficient": 50}, "50 is refused; expected less than or equal to 1"),
        ({"shape": -2}, "-2 is refused"),
        ({"exponent": 1}, "1 is refused"),
        ({"duration": 6}, "Did you mean 'duration_h'?"),
    ],
)
def test_rain_in_other_units_is_refused_before_anything_runs(change, said):
    with pytest.raises(ParameterError) as refused:
        describe(data.design_storm).validate({"return_period_years": 10, **change}, "storm")

    assert said in str(refused.value)
    assert str(refused.value).startswith("storm.")


def test_the_default_storm_is_half_of_the_rain_of_its_statistics():
    storm = data.design_storm(return_period_years=100.0)

    depth = 65.0 - 20.0 * math.log(-math.log(0.99))
    assert storm.depth_mm == pytest.approx(0.5 * depth * (6 / 24) ** 0.35)
    assert storm.label == "100-year storm"


@pytest.mark.parametrize(("rows", "columns", "shape"), [(40, None, (40, 40)), (20, 30, (20, 30))])
def test_the_built_in_landscape_is_cut_to_the_window_asked_for(rows, columns, shape):
    found = data.jacksboro(rows=rows, columns=columns)

    assert found.elevation_m.shape == shape
    assert np.isfinite(found.elevation_m).all()
    assert "Jacksboro" in found.name


def test_roughness_is_the_same_everywhere_and_refused_out_of_its_range():
    assert (data.uniform_roughness(plain(), manning=0.05).manning == 0.05).all()
    with pytest.raises(ParameterError, match=r"roughness\.manning: 35 is refused"):
        describe(data.uniform_roughness).validate({"manning": 35}, "roughness")


# -- gauges -------------------------------------------------------------------------------------

MAXIMA = [41.0, 55.5, 38.2, 61.0, 47.3, 90.1, 52.0, 44.4, 49.9, 58.7, 66.6, 35.0]


def gauge(tmp_path, header="rain", values=MAXIMA):
    file = tmp_path / "gauge.csv"
    file.write_text(f"year,{header}\n" + "".join(f"{1990 + k},{v}\n" for k, v in enumerate(values)))
    return file


@pytest.mark.parametrize("distribution", ["gumbel", "gev"])
def test_a_gauge_is_fitted_as_its_numbers_are(tmp_path, distribution):
    fitted = data.fit_rain(path=gauge(tmp_path), distribution=distribution)

    assert fitted == rain.fit_depths(np.array(MAXIMA), distribution=distribution)


def test_a_gauge_in_inches_gives_the_same_storm(tmp_path):
    inches = [mm / 25.4 for mm in MAXIMA]
    (tmp_path / "a").mkdir()
    in_header = data.fit_rain(path=gauge(tmp_path / "a", "rain [inch]", inches))
    in_parameter = data.fit_rain(path=gauge(tmp_path, "rain", inches), unit="inch")
    expected = data.fitted_storm(rain.fit_depths(np.array(MAXIMA), distribution="gumbel"),
                                 return_period_years=50.0)  # fmt: skip

    for fitted in (in_header, in_parameter):
        storm = data.fitted_storm(fitted, return_period_years=50.0)
        assert storm.rain_mm_per_h == pytest.approx(expected.rain_mm_per_h)


def test_fitted_and_given_statistics_make_the_same_storm():
    given = data.design_storm(return_period_years=20.0, location_mm=50.0, scale_mm=9.0, shape=-0.1)
    statistics = rain.DepthDuration(50.0, 9.0, -0.1)

    assert data.fitted_storm(statistics, return_period_years=20.0).depth_mm == given.depth_mm


@pytest.mark.parametrize(
    ("header", "values", "said"),
    [
        ("rain", [*MAXIMA, 0.05], "line 14: a yearly maximum of 0.05 mm; expected 0.5 to 2000 mm"),
        ("rain [m]", MAXIMA, "line 2: a yearly maximum of 41000 mm"),
        ("rain", [*MAXIMA, ""], "line 14: the depth is missing"),
        ("rain", [*MAXIMA, "dry"], "line 14, rain: 'dry' is not a number"),
        ("rain", MAXIMA[:5], "5 annual maxima say too little"),
        ("rian", MAXIMA, "no column 'rain'. Did you mean 'rian'?"),
        ("rain [kg]", MAXIMA, "is in 'kg'; expected a unit that converts to mm"),
    ],
)
def test_a_gauge_that_cannot_be_right_is_refused(tmp_path, header, values, said):
    with pytest.raises(DataError) as refused:
        data.fit_rain(path=gauge(tmp_path, header, values))

    assert said in str(refused.value)


# -- exposure -----------------------------------------------------------------------------------


def test_a_settlement_has_the_count_value_and_currency_asked_for():
    assets = data.synthetic_settlement(
        plain(), count=7, max_damage_per_m2=500.0, currency="CHF", seed=0
    )

    assert len(assets.names) == assets.x_m.size == 7
    assert assets.max_damage == pytest.approx(500.0 * assets.area_m2)
    assert assets.currency == "CHF"


def test_exposure_is_read_onto_the_terrain(tmp_path):
    file = tmp_path / "b.csv"
    file.write_text("name,x,y,area_m2\nmill,500015,3999985,90\n")

    assets = exposure_files.read_exposure(
        plain(), path=file, currency="EUR", crs="EPSG:32616", max_damage_per_m2=700.0
    )

    assert assets.names == ["mill"]
    assert assets.max_damage.tolist() == [63_000.0]


def test_exposure_without_a_currency_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(ParameterError, match="read_exposure needs a value"):
        describe(exposure_files.read_exposure).validate({"path": __file__}, "buildings")
