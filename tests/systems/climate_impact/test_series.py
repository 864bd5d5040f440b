"""Observed rain: files become storms without losing a drop, or are refused by file and line."""

import contextlib

import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Transformer
from shapely import box, transform

from assay.core.artifacts import decode, encode
from assay.core.component import describe
from assay.errors import AssayError
from assay.systems.climate_impact.formats import Source
from assay.systems.climate_impact.rainfield import (
    RainField,
    areal_mean,
    observed_rain_field,
    seconds_per_unit,
)
from assay.systems.climate_impact.rasters import Grid, Terrain
from assay.systems.climate_impact.regrid import average_onto
from assay.systems.climate_impact.series import observed_rain

UTM = "EPSG:32616"
WEST, NORTH = 500_000.0, 4_000_000.0


def csv(tmp_path, rows, header="time,rain [mm/h]"):
    path = tmp_path / "gauge.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def hours(*at, day="2007-06-08"):
    return [f"{day} {h:02d}:{m:02d}" for h, m in at]


def refused(call, *args, **more):
    with pytest.raises(AssayError) as error:
        call(*args, **more)
    assert "\n" not in str(error.value)
    return str(error.value)


def read(path, **more):
    return observed_rain(path=path, return_period_years=10.0, **more)


# -- CSV ----------------------------------------------------------------------------------------


HOURLY = ["2007-06-08 00:00,2", "2007-06-08 01:00,6", "2007-06-08 02:00,1"]


@pytest.mark.parametrize(
    ("header", "factor"),
    [
        ("time,rain [mm/h]", 1.0),
        ("time,rain [mm]", 1.0),  # depths over an hour
        ("time,rain [inch/hour]", 25.4),
        ("time,rain [mm h-1]", 1.0),
        ("time,rain [kg m-2 h-1]", 1.0),
        ("time,rain [kg m-2]", 1.0),
        ("time,rain [cm]", 10.0),
    ],
)
def test_the_unit_of_the_header_says_what_the_numbers_are(tmp_path, header, factor):
    storm = read(csv(tmp_path, HOURLY, header))

    assert storm.times_s.tolist() == [0, 3600, 7200, 10800]
    assert storm.rain_mm_per_h == pytest.approx(np.array([2, 6, 1]) * factor)
    assert storm.return_period_years == 10.0
    assert storm.label == "rain of gauge.csv"


def test_a_depth_spreads_over_its_step_and_the_unit_may_be_said(tmp_path):
    rows = [f"{t},3" for t in hours((0, 0), (0, 15), (0, 30))]
    storm = read(csv(tmp_path, rows, "time,rain"), unit="mm", kind="depth")

    assert storm.rain_mm_per_h == pytest.approx([12, 12, 12])
    assert storm.depth_mm == pytest.approx(9)


def test_times_may_be_numbers_under_a_header_with_their_unit(tmp_path):
    storm = read(csv(tmp_path, ["0.5,2", "1.0,4"], "time [h],rain [mm/h]"))

    assert storm.times_s.tolist() == [0, 1800, 3600]


def test_a_time_may_be_the_end_of_its_step(tmp_path):
    rows = ["2007-06-08 01:00,2", "2007-06-08 01:30,6", "2007-06-08 02:30,1"]
    starts, ends = (read(csv(tmp_path, rows), stamps=s, gaps="hold") for s in ("start", "end"))

    # steps of 30 and 60 min; the commonest is the shorter, and stands in for the unknown one
    assert np.diff(starts.times_s).tolist() == [1800, 3600, 1800]
    assert np.diff(ends.times_s).tolist() == [1800, 1800, 3600]
    assert starts.rain_mm_per_h.tolist() == ends.rain_mm_per_h.tolist() == [2, 6, 1]


def test_a_step_longer_than_the_usual_one_is_a_gap_until_the_user_says_what_it_is(tmp_path):
    at = hours((0, 0), (0, 10), (0, 20), (0, 50), (1, 0))
    path = csv(tmp_path, [f"{t},{r}" for t, r in zip(at, (1, 2, 3, 4, 5), strict=True)])

    said = refused(read, path)
    assert "gauge.csv line 5: 30 min after the time before, where 10 min are usual" in said
    assert "gaps=dry" in said
    dry, hold = (read(path, gaps=g) for g in ("dry", "hold"))
    assert (dry.times_s / 600).tolist() == [0, 1, 2, 3, 5, 6, 7]
    assert dry.rain_mm_per_h.tolist() == [1, 2, 3, 0, 4, 5]
    assert (hold.times_s / 600).tolist() == [0, 1, 2, 5, 6, 7]
    assert hold.rain_mm_per_h.tolist() == [1, 2, 3, 4, 5]


def test_missing_rain_is_refused_or_dry(tmp_path):
    path = csv(tmp_path, ["2007-06-08 00:00,2", "2007-06-08 01:00,", "2007-06-08 02:00,1"])

    assert "line 3: the rain is missing" in refused(read, path)
    assert "the rain is missing" in refused(read, path, gaps="hold")
    assert read(path, gaps="dry").rain_mm_per_h.tolist() == [2, 0, 1]


FIRST = "2007-06-08 00:00,1"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([FIRST, FIRST], "line 3: the time is there twice"),
        ([FIRST, "2007-06-07 23:00,1"], "line 3: the time lies before the one above it"),
        ([FIRST, "08/06/2007 01:00,1"], "line 3, time: '08/06/2007 01:00' is no date and time"),
        ([FIRST, ",1"], "line 3, time: '' is no date and time"),
        ([FIRST, "2007-06-08 01:00Z,1"], "has the zone UTC+0000 where the first time has no time"),
        (
            ["2007-06-08 00:00+01:00,1", "2007-06-08 02:00+02:00,1"],
            "has the zone UTC+0200 where the first time has the zone UTC+0100",
        ),
        ([FIRST, "2007-06-08 01:00,-0.2"], "line 3: negative rain (-0.2 mm/h)"),
        ([FIRST, "2007-06-08 01:00,501"], "line 3: rain of 501 mm/h; expected at most 500 mm/h"),
        ([FIRST, "2007-06-08 01:00,a"], "line 3, rain: 'a' is not a number"),
        ([FIRST, "2007-06-08 01:00,inf"], "line 3: the rain is infinite"),
        ([FIRST], "line 2: holds one time"),
        (["2007-06-08 00:00,0", "2007-06-08 01:00,3e-6"], "Is the unit right? mm/h is not m/s."),
    ],
)
def test_series_with_faults_are_refused_by_line(tmp_path, rows, said):
    assert said in refused(read, csv(tmp_path, rows))


@pytest.mark.parametrize(
    ("header", "more", "said"),
    [
        ("time,rain", {}, "says no unit of rain"),
        ("time,rain [m]", {"kind": "rate"}, "m is a depth, not a rate"),
        ("time,rain [K]", {}, "is in 'K'; expected a depth such as mm"),
        ("time,rain [m3/s]", {}, "is in 'm3/s'"),
        ("time,rain [m/s]", {}, "rain of 2.16e+07 mm/h"),  # 6 mm/h called m/s
        ("time,rain", {"unit": "9**9**9"}, "is in '9**9**9'"),
        ("when,rain [mm]", {}, "no column 'time'"),
    ],
)
def test_what_is_no_rain_is_refused(tmp_path, header, more, said):
    assert said in refused(read, csv(tmp_path, HOURLY, header), **more)


@given(
    st.lists(st.tuples(st.integers(1, 90), st.floats(0, 7)), min_size=2, max_size=30),
    st.sampled_from(["start", "end"]),
    st.sampled_from(["dry", "hold"]),
)
def test_no_depth_is_lost_or_made_whatever_the_steps(tmp_path_factory, rows, stamps, gaps):
    minutes = np.cumsum([step for step, _ in rows])
    path = csv(
        tmp_path_factory.mktemp("rain"),
        [f"{m},{d}" for m, (_, d) in zip(minutes, rows, strict=True)],
        "time [min],rain [mm]",
    )
    values = np.array([depth for _, depth in rows])
    with contextlib.suppress(AssayError):  # trace rain of less than is believed, or too much
        storm = read(path, stamps=stamps, gaps=gaps)
        assert storm.depth_mm == pytest.approx(values.sum(), abs=1e-9)
        assert (np.diff(storm.times_s) > 0).all()
        return
    assert (values > 0).any()


# -- onto another grid --------------------------------------------------------------------------


def terrain(rows=6, columns=8, cell=30.0, west=WEST + 15.0, north=NORTH - 15.0, crs=UTM):
    return Terrain(np.zeros((rows, columns)), Grid(rows, columns, cell, west, north, crs), "flat")


def raster(values, dx, dy, west=WEST, north=NORTH, crs=UTM):
    return Source(np.asarray(values, float), west, north, dx, dy, crs, "mm/h", "rain.tif")


@given(
    st.floats(7, 60), st.integers(1, 9), st.integers(1, 9), st.floats(0, 1), st.floats(0, 1),
    st.floats(20, 90), st.integers(0, 2**31),
)  # fmt: skip
def test_rain_keeps_its_volume_on_a_grid_of_any_size_and_offset(
    cell, rows, columns, right, down, dx, seed
):
    values = np.random.default_rng(seed).random((1, 12, 11))
    dy = 0.8 * dx
    cell = min(cell, 12 * dy / rows, 11 * dx / columns)
    west = WEST + right * (11 * dx - columns * cell)
    north = NORTH - down * (12 * dy - rows * cell)
    ground = terrain(rows, columns, cell, west, north)

    found = average_onto(
        raster(values, dx, dy), ground.grid, np.ones((rows, columns), bool), "the rain"
    )

    # A peer for areas of overlap: shapely's polygons
    left, east, south, top = ground.grid.extent_m
    volume = 0.0
    for r, c in np.ndindex(12, 11):
        y, x = NORTH - r * dy, WEST + c * dx
        volume += (
            values[0, r, c]
            * box(x, y - dy, x + dx, y).intersection(box(left, south, east, top)).area
        )
    assert found.sum() * cell**2 == pytest.approx(volume, rel=1e-7)
    first = box(left, top - cell, left + cell, top)
    parts = sum(
        values[0, r, c]
        * box(WEST + c * dx, NORTH - (r + 1) * dy, WEST + (c + 1) * dx, NORTH - r * dy)
        .intersection(first)
        .area
        for r, c in np.ndindex(12, 11)
    )
    assert found[0, 0, 0] == pytest.approx(parts / cell**2, rel=1e-6)


@pytest.mark.parametrize("cell", [100.0, 700.0])  # finer and coarser than the rain
def test_rain_in_degrees_keeps_its_volume_on_a_metric_grid(cell):
    rows = columns = round(7000 / cell)
    ground = terrain(rows, columns, cell, WEST - 3500, NORTH + 3500)
    to_degrees = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True)
    to_metres = Transformer.from_crs("EPSG:4326", UTM, always_xy=True)
    longitude, latitude = to_degrees.transform(WEST, NORTH)
    values = np.zeros((1, 30, 30))
    values[0, 10:20, 10:20] = np.random.default_rng(1).random((10, 10))
    d = 0.005
    rain = raster(values, d, d, longitude - 15 * d, latitude + 15 * d, "EPSG:4326")

    found = average_onto(rain, ground.grid, np.ones((rows, columns), bool), "the rain")

    volume = 0.0
    for r, c in np.ndindex(30, 30):
        x, y = rain.west + c * d, rain.north - r * d
        cell_of_rain = box(x, y - d, x + d, y).segmentize(d / 10)
        volume += (
            values[0, r, c] * transform(cell_of_rain, to_metres.transform, interleaved=False).area
        )
    assert found.sum() * cell**2 == pytest.approx(volume, rel=1e-6)
    everywhere = average_onto(
        raster(np.full((2, 30, 30), 3.5), d, d, rain.west, rain.north, "EPSG:4326"),
        ground.grid, np.ones((rows, columns), bool), "the rain",
    )  # fmt: skip
    assert everywhere == pytest.approx(3.5, rel=1e-12)


# -- raster series ------------------------------------------------------------------------------


def dataset(steps=3, crs=UTM, units="hours since 2007-06-08 00:00", flip=False, **attributes):
    rows, columns, cell = 5, 6, 60.0
    y = NORTH - cell * (np.arange(rows) + 0.5)
    x = WEST + cell * (np.arange(columns) + 0.5)
    values = np.arange(steps * rows * columns, dtype=float).reshape(steps, rows, columns)
    rain = xr.DataArray(
        values, coords={"time": np.arange(float(steps)), "y": y, "x": x}, dims=("time", "y", "x"),
        attrs={"units": "mm h-1"} | attributes,
    )  # fmt: skip
    rain["time"].attrs = {"units": units} if units else {}
    rain = rain.transpose("x", "time", "y").isel(y=slice(None, None, -1)) if flip else rain
    data = rain.to_dataset(name="rain")
    if crs:
        data["spatial_ref"] = xr.DataArray(0, attrs=CRS(crs).to_cf())
        data["rain"].attrs["grid_mapping"] = "spatial_ref"
    return data


def netcdf(tmp_path, **more):
    path = tmp_path / "rain.nc"
    dataset(**more).to_netcdf(path, engine="h5netcdf")
    return path


def field_of(path, ground=None, **more):
    where = {"folder": path} if path.is_dir() else {"path": path}
    return observed_rain_field(ground or terrain(), return_period_years=50.0, **where, **more)


@pytest.mark.parametrize("flip", [False, True])
def test_a_raster_series_comes_onto_the_grid_of_the_terrain(tmp_path, flip):
    found = field_of(netcdf(tmp_path, flip=flip), terrain(4, 4, 60.0, WEST + 60, NORTH - 60))

    whole = dataset().rain.to_numpy()
    assert found.times_s.tolist() == [0, 3600, 7200, 10800]
    assert np.allclose(found.rain_mm_per_h, whole[:, 1:5, 1:5])
    assert np.allclose(found.depth_mm, whole[:, 1:5, 1:5].sum(0))
    assert found.grid == Grid(4, 4, 60.0, WEST + 60, NORTH - 60, UTM)


def test_zarr_and_netcdf_of_one_series_are_one_field(tmp_path):
    folder = tmp_path / "rain.zarr"
    dataset().to_zarr(folder, consolidated=False, zarr_format=3)

    one, other = field_of(folder), field_of(netcdf(tmp_path))

    assert np.array_equal(one.rain_mm_per_h, other.rain_mm_per_h)
    assert np.array_equal(one.times_s, other.times_s)


def test_bounds_of_the_time_axis_say_when_a_raster_holds(tmp_path):
    def written(edges):
        data = dataset()
        data["time"].attrs["bounds"] = "time_bounds"
        data = data.assign_coords(time_bounds=(("time", "nv"), np.array(edges, float)))
        data.to_netcdf(tmp_path / "bounds.nc", engine="h5netcdf")
        return tmp_path / "bounds.nc"

    assert field_of(written([[-2, 0], [0, 1], [1, 2]])).times_s.tolist() == [0, 7200, 10800, 14400]
    gap = written([[-2, -1], [0, 1], [1, 2]])
    assert "time 2: the span leaves a gap or overlaps" in refused(field_of, gap)
    assert np.diff(field_of(gap, gaps="dry").times_s).tolist() == [3600] * 4
    overlap = written([[-2, 0.5], [0, 1], [1, 2]])
    assert "gap or overlaps" in refused(field_of, overlap, gaps="dry")


@pytest.mark.parametrize(
    "units", ["", "hours", "months since 2000-01-01", "hours since yesterday", "h after 2000-01-01"]
)
def test_times_that_are_not_those_of_cf_are_refused(tmp_path, units):
    said = refused(field_of, netcdf(tmp_path, units=units))

    assert "rain.nc, time: " in said
    assert "expected CF units, such as 'hours since 2007-06-08 00:00'" in said


@pytest.mark.parametrize(
    ("units", "seconds"),
    [
        ("seconds since 1970-01-01T00:00:00Z", 1),
        ("minutes since 2007-6-8 0:00", 60),
        ("days since 1900-01-01 00:00:00.0 +01:00", 86400),
        ("h since 2000-01-01 00:00 UTC", 3600),
    ],
)
def test_units_of_time_in_their_many_spellings(units, seconds):
    assert seconds_per_unit(units, "") == seconds


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ([0, 1, 1], "time 3: the time is there twice"),
        ([0, 2, 1], "time 3: the time lies before"),
        ([0, 1, 2, 5], "time 4: 180 min after the time before, where 60 min are usual"),
    ],
)
def test_gaps_and_duplicates_of_a_raster_series_are_refused(tmp_path, times, said):
    data = dataset(len(times)).assign_coords(time=np.array(times, float))
    data["time"].attrs["units"] = "hours since 2007-06-08"
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")

    assert said in refused(field_of, tmp_path / "a.nc")


def test_rain_elsewhere_is_refused_with_both_extents(tmp_path):
    path = netcdf(tmp_path)
    said = refused(field_of, path, terrain(west=WEST + 300.0))

    assert "the rain does not cover 36 of 48 cells of the terrain" in said
    assert "it lies in x 500000 to 500360, y 3999700 to 4000000" in said
    assert "the terrain in x 500300 to 500540, y 3999805 to 3999985" in said
    other_zone = refused(field_of, path, terrain(crs="EPSG:32617"))
    assert "does not cover 48 of 48 cells" in other_zone


def test_cells_of_the_terrain_without_data_need_no_rain(tmp_path):
    ground = terrain(2, 4, 60.0, WEST + 180.0, NORTH)
    ground.elevation_m[:, 3] = np.nan

    found = field_of(netcdf(tmp_path), ground)

    assert (found.rain_mm_per_h[:, :, 3] == 0).all()
    mean = areal_mean(found, ground)
    assert mean.rain_mm_per_h == pytest.approx(found.rain_mm_per_h[:, :, :3].mean(axis=(1, 2)))


def test_cells_of_the_rain_without_data_are_refused_or_dry(tmp_path):
    data = dataset()
    data["rain"][1, 2, 3] = np.nan
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")

    said = refused(field_of, tmp_path / "a.nc")
    assert "the rain is missing somewhere over 9 of 48 cells" in said
    dry = field_of(tmp_path / "a.nc", missing="dry").rain_mm_per_h
    whole = field_of(netcdf(tmp_path)).rain_mm_per_h
    assert (dry <= whole).all()
    assert dry[1].sum() < whole[1].sum()


def test_a_place_is_never_assumed(tmp_path):
    path = netcdf(tmp_path, crs=None)

    assert "has no coordinate system. Say which with crs=" in refused(field_of, path)
    assert field_of(path, crs=UTM).grid.crs == UTM
    assert "lies in" in refused(field_of, netcdf(tmp_path), crs="EPSG:32617")


@pytest.mark.parametrize("east", [0.0, 360.0])
def test_degrees_may_count_from_0_to_360(tmp_path, east):
    values = np.tile(np.arange(8.0), (2, 6, 1))
    rain = xr.DataArray(
        values,
        coords={
            "time": [0.0, 1.0],
            "lat": 36.2 - 0.02 * np.arange(6),
            "lon": -87.08 + 0.02 * np.arange(8) + east,
        },
        dims=("time", "lat", "lon"), attrs={"units": "mm/h"},
    )  # fmt: skip
    rain["time"].attrs["units"] = "hours since 2007-06-08"
    rain["lat"].attrs["units"], rain["lon"].attrs["units"] = "degrees_north", "degrees_east"
    rain.to_dataset(name="rain").to_netcdf(tmp_path / "a.nc", engine="h5netcdf")

    # 87 W is x = 500 km of the zone, the middle of the fifth column
    found = field_of(tmp_path / "a.nc", terrain(2, 2, 10.0, WEST - 10.0, NORTH))

    assert found.rain_mm_per_h == pytest.approx(4.0)


def test_units_of_a_raster_series(tmp_path):
    mm = field_of(netcdf(tmp_path)).rain_mm_per_h

    path, data = tmp_path / "b.nc", dataset()
    data["rain"] = (data.rain / 3600).assign_attrs(data.rain.attrs | {"units": "kg m-2 s-1"})
    data.to_netcdf(path, engine="h5netcdf")
    assert np.allclose(field_of(path).rain_mm_per_h, mm)
    assert "rain is in 'mm h-1', not in 'mm'" in refused(field_of, netcdf(tmp_path), unit="mm")


def test_the_variable_is_named_where_there_are_several(tmp_path):
    data = dataset()
    data["snow"] = data.rain * 0
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")

    said = refused(field_of, tmp_path / "a.nc")
    assert "holds 2 variables over time and place" in said
    assert "Known: rain, snow" in said
    assert field_of(tmp_path / "a.nc", variable="rain").depth_mm.max() > 0
    assert "no variable 'rian'" in refused(field_of, tmp_path / "a.nc", variable="rian")


def test_a_single_raster_lasts_as_long_as_the_user_says(tmp_path):
    path = tmp_path / "rain.tif"
    values = np.full((5, 6), 12.0)
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=5, width=6, dtype="float64", crs=UTM,
        transform=rasterio.Affine(60.0, 0, WEST, 0, -60.0, NORTH),
    ) as file:  # fmt: skip
        file.write(values, 1)

    assert "holds one raster. Say how long with duration_h=" in refused(field_of, path, unit="mm")
    assert "says no unit of rain" in refused(field_of, path, duration_h=2.0)
    found = field_of(path, unit="mm", duration_h=2.0)
    assert found.rain_mm_per_h == pytest.approx(6.0)
    assert found.depth_mm == pytest.approx(12.0)


def test_one_of_path_and_folder_is_needed():
    assert "needs one of path and folder" in refused(
        observed_rain_field, terrain(), return_period_years=2.0
    )


def test_the_radar_rain_of_landlab_keeps_its_volume(flood_data):
    path = flood_data / "landlab/rainfall.asc"
    rain = np.loadtxt(path, skiprows=6)
    # 55 x 76 cells of 10 m, the corner cell's centre at (0, 0)
    ground = terrain(110, 152, 5.0, -5.0, 545.0)

    found = field_of(path, ground, crs=UTM, unit="mm", duration_h=1.0)

    assert found.depth_mm.sum() * 25 == pytest.approx(rain.sum() * 100, rel=1e-12)
    assert np.allclose(found.depth_mm[::2, ::2], rain)
    assert "no coordinate system" in refused(field_of, path, ground, unit="mm", duration_h=1.0)
    assert areal_mean(found).depth_mm == pytest.approx(rain.mean(), rel=1e-12)


# -- in the framework ---------------------------------------------------------------------------


def test_rain_by_cell_survives_the_store():
    grid = Grid(2, 3, 10.0, 0.0, 20.0, UTM)
    field = RainField(np.array([0.0, 60.0]), np.ones((1, 2, 3)), grid, "rain", 2.0)
    arrays: list[np.ndarray] = []

    back = decode(encode(field, arrays), RainField, arrays)

    assert back.grid == grid
    assert np.array_equal(back.rain_mm_per_h, field.rain_mm_per_h)


def test_a_mean_over_another_grid_is_refused():
    field = RainField(
        np.array([0.0, 60.0]), np.ones((1, 2, 3)), Grid(2, 3, 10.0, 0.0, 20.0, UTM), "rain", 2.0
    )
    assert "different grids" in refused(areal_mean, field, terrain())


def test_parameters_are_validated_before_anything_runs(tmp_path):
    made = describe(observed_rain)
    path = csv(tmp_path, HOURLY)

    assert made.validate({"path": path, "return_period_years": 5}, "rain")["gaps"] == "refuse"
    for wrong in ({"gaps": "fill"}, {"return_period_years": 1}, {"stamps": "middle"}):
        with pytest.raises(AssayError):
            made.validate({"path": path, "return_period_years": 5} | wrong, "rain")
