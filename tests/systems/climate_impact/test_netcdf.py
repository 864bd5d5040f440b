"""NetCDF by CF conventions: written so that others find place, time and unit; faults are named."""

import numpy as np
import pytest
import xarray as xr
from pyproj import CRS

from assay.errors import DataError
from assay.systems.climate_impact.formats import read_source
from assay.systems.climate_impact.netcdf import CONVENTIONS, check_cf, write_netcdf, write_rain
from assay.systems.climate_impact.rain import Hyetograph
from assay.systems.climate_impact.rainfield import RainField, observed_rain_field
from assay.systems.climate_impact.rasters import Grid, Raster, Terrain
from assay.systems.climate_impact.terrain import load_terrain

UTM = "EPSG:32616"
GRID = Grid(3, 4, 30.0, 500_000.0, 4_000_000.0, UTM)
GROUND = Raster(np.arange(12.0).reshape(3, 4) + 100.0, GRID, "ground", "m")
DEPTH = Raster(np.where(GROUND.values > 105, 0.5, np.nan), GRID, "maximum depth, 10-year", "m")
SPEED = Raster(np.ones((3, 4)), GRID, "maximum hazard", "m2/s")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.nc"


def test_rasters_come_back_through_xarray_as_they_were(path):
    write_netcdf(
        path, [DEPTH, SPEED], title="a flood",
        standard_names={DEPTH.name: "flood_water_thickness"},
        cell_methods={DEPTH.name: "area: mean"},
    )  # fmt: skip

    with xr.open_dataset(path, decode_coords="all") as data:
        depth = data.maximum_depth_10_year
        assert np.array_equal(depth, DEPTH.values, equal_nan=True)
        assert depth.attrs["long_name"] == DEPTH.name
        assert depth.attrs["standard_name"] == "flood_water_thickness"
        assert depth.attrs["cell_methods"] == "area: mean"
        assert data.maximum_hazard.attrs["units"] == "m2/s"
        assert data.x.to_numpy().tolist() == [500_015, 500_045, 500_075, 500_105]
        assert (np.diff(data.y) == -30).all()
        assert data.attrs == {"Conventions": CONVENTIONS, "title": "a flood"}
        assert CRS.from_cf(data.crs.attrs) == CRS(UTM)
    assert check_cf(path) == []


def test_a_raster_comes_back_through_the_reader_of_terrains(path):
    write_netcdf(path, [GROUND])

    found = load_terrain(path)

    assert np.array_equal(found.elevation_m, GROUND.values)
    assert found.grid == GRID
    assert read_source(path).crs == UTM


def test_the_wkt_of_a_system_without_a_code_is_kept(path):
    own = CRS("+proj=tmerc +lat_0=36 +lon_0=-84.3 +k=1 +x_0=0 +y_0=0 +datum=WGS84 +units=m")
    grid = Grid(3, 4, 30.0, 0.0, 0.0, own.to_wkt())
    write_netcdf(path, [Raster(GROUND.values, grid, "ground", "m")])

    assert check_cf(path) == []
    assert CRS(read_source(path).crs).equals(own, ignore_axis_order=True)


def test_rain_by_cell_comes_back_with_its_times(path):
    rates = np.random.default_rng(0).random((3, 3, 4)) * 20
    rain = RainField(np.array([0.0, 600.0, 1200.0, 3000.0]), rates, GRID, "radar", 10.0)
    write_rain(path, rain, start="2007-06-08 00:00:00")

    ground = Terrain(GROUND.values, GRID, "ground")
    found = observed_rain_field(ground, path=path, return_period_years=10.0)

    assert check_cf(path) == []
    assert np.array_equal(found.times_s, rain.times_s)  # of unequal steps: by their bounds
    assert np.allclose(found.rain_mm_per_h, rates, rtol=1e-12)
    with xr.open_dataset(path) as data:
        assert str(data.time.to_numpy()[1]) == "2007-06-08T00:10:00.000000000"


def test_a_hyetograph_is_a_series_without_a_place(path):
    write_rain(path, Hyetograph(np.array([0.0, 900.0, 1800.0]), np.array([4.0, 8.0]), "storm", 5.0))

    assert check_cf(path) == []
    with xr.open_dataset(path, decode_times=False) as data:
        assert data.rain.dims == ("time",)
        assert data.rain.attrs["standard_name"] == "rainfall_rate"
        assert data.time_bounds.to_numpy().tolist() == [[0, 900], [900, 1800]]


@pytest.mark.parametrize(
    ("rasters", "said"),
    [
        ([], "no rasters to write"),
        ([DEPTH, DEPTH], "two rasters are named 'maximum_depth_10_year'"),
        ([DEPTH, Raster(np.ones((3, 4)), Grid(3, 4, 31.0, 0.0, 0.0, UTM), "b", "m")], "another"),
        ([Raster(GROUND.values, GRID, "a", "metrics")], "'metrics' is no unit"),
        ([Raster(GROUND.values, GRID, "a", "")], "no units"),
        ([Raster(GROUND.values, GRID, "a", "9**9**9")], "'9**9**9' is no unit"),
    ],
)
def test_what_cannot_be_written_is_refused_and_leaves_no_file(path, rasters, said):
    with pytest.raises(DataError, match=said.replace("*", r"\*")):
        write_netcdf(path, rasters)
    assert not path.exists()


def test_rain_without_an_end_or_a_beginning_is_refused(path):
    with pytest.raises(DataError, match="never ends"):
        write_rain(path, Hyetograph(np.array([0.0, 1.0]), np.array([1.0, 1.0]), "drizzle", 2.0))
    with pytest.raises(DataError, match="CF units"):
        write_rain(path, Hyetograph(np.array([0.0, 1.0]), np.array([1.0]), "a", 2.0), start="then")


# -- the checker, broken once for every rule ----------------------------------------------------


def change(path, edit, tmp_path):
    with xr.open_dataset(path, decode_cf=False) as opened:
        data = opened.load()
    data = edit(data) or data
    other = tmp_path / "b.nc"
    plain = {
        n: {"_FillValue": None} for n, v in data.variables.items() if "_FillValue" not in v.attrs
    }
    data.to_netcdf(other, engine="h5netcdf", encoding=plain)
    return check_cf(other)


def set_attribute(name, key, value):
    def edit(data):
        if value is None:
            del data[name].attrs[key]
        else:
            data[name].attrs[key] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda d: d.attrs.clear(), "the file names no CF conventions"),
        (lambda d: d.rename(rain="my-rain"), "my-rain: no name of letters"),
        (set_attribute("rain", "units", None), "rain: no units"),
        (set_attribute("rain", "units", "mm of rain"), "rain: 'mm of rain' is no unit"),
        (set_attribute("rain", "standard_name", "Rain rate"), "rain: 'Rain rate' is no standard"),
        (set_attribute("rain", "grid_mapping", None), "rain: no grid mapping"),
        (set_attribute("rain", "grid_mapping", "utm"), "rain: grid mapping 'utm' is not there"),
        (lambda d: d.crs.attrs.clear(), "rain: grid mapping 'crs' cannot be read"),
        (set_attribute("rain", "cell_methods", "tide: mean"), "rain: cell methods 'tide: mean'"),
        (set_attribute("x", "standard_name", "easting"), "x: standard name 'easting'"),
        (set_attribute("x", "axis", "Y"), "x: axis 'Y' is not 'X'"),
        (set_attribute("y", "units", "km"), "y: units 'km' are not 'm'"),
        (set_attribute("time", "units", "hours"), "time: times are in 'hours'"),
        (set_attribute("time", "units", "months since 2000-01-01"), "time: times are in 'months"),
        (set_attribute("time", "bounds", "edges"), "time: bounds 'edges' are not there"),
        (lambda d: d.assign_coords(x=d.x.copy(data=[0.0, 2.0, 1.0, 3.0])), "x: an axis rises or"),
        (lambda d: d.drop_vars("x"), "rain: dimension 'x' has no coordinates"),
    ],
)
def test_each_rule_of_the_check_can_fail(path, tmp_path, edit, said):
    rain = RainField(np.array([0.0, 600.0, 1200.0]), np.ones((2, 3, 4)), GRID, "radar", 10.0)
    write_rain(path, rain)
    assert check_cf(path) == []

    found = change(path, edit, tmp_path)

    assert any(line.startswith(said) for line in found), found


def test_neither_a_name_for_people_nor_for_machines_is_named(path, tmp_path):
    write_netcdf(path, [GROUND])

    assert change(path, set_attribute("ground", "long_name", None), tmp_path) == [
        "ground: neither standard_name nor long_name"
    ]


def test_a_file_that_is_no_netcdf_is_refused(path):
    path.write_text("no")
    with pytest.raises(DataError, match="cannot be read; expected NetCDF"):
        check_cf(path)
