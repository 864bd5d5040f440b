"""Terrains: three file formats read alike, put into metres, and refused in one line."""

import zipfile

import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from assay.errors import AssayError, DataError
from assay.systems.climate_impact import terrain as terrains
from assay.systems.climate_impact.formats import read_source
from assay.systems.climate_impact.rasters import Grid, Raster, Terrain, hillshade, write_geotiff

UTM = "EPSG:32616"
GROUND = np.arange(12.0).reshape(3, 4) + 100.0  # row 0 is the north
WEST, NORTH, CELL = 500_000.0, 4_000_000.0, 30.0


def geotiff(path, values=GROUND, crs=UTM, transform=None, **more):
    values = np.atleast_3d(np.moveaxis(np.asarray(values), -1, 0)) if values.ndim == 3 else values
    bands = values if values.ndim == 3 else values[None]
    with rasterio.open(
        path, "w", driver="GTiff", count=len(bands), height=bands.shape[1], width=bands.shape[2],
        dtype=str(bands.dtype), crs=crs,
        transform=transform or rasterio.Affine(CELL, 0, WEST, 0, -CELL, NORTH), **more,
    ) as file:  # fmt: skip
        file.write(bands)
    return path


def ascii_text(values=GROUND, **header):
    keys = {
        "ncols": values.shape[1],
        "nrows": values.shape[0],
        "xllcorner": WEST,
        "yllcorner": NORTH - values.shape[0] * CELL,
        "cellsize": CELL,
        "NODATA_value": -9999,
    } | header
    lines = [f"{key} {value}" for key, value in keys.items() if value is not None]
    rows = [" ".join(f"{v:g}" for v in row) for row in np.where(np.isnan(values), -9999, values)]
    return "\n".join(lines + rows) + "\n"


def ascii_grid(path, values=GROUND, crs=UTM, **header):
    path.write_text(ascii_text(values, **header))
    if crs:
        path.with_suffix(".prj").write_text(CRS(crs).to_wkt("WKT1_ESRI"))
    return path


def netcdf(path, values=GROUND, crs=UTM, order=("y", "x"), flip=False, **attributes):
    rows, columns = values.shape
    y = NORTH - CELL * (np.arange(rows) + 0.5)
    x = WEST + CELL * (np.arange(columns) + 0.5)
    field = xr.DataArray(
        values, coords={"y": y, "x": x}, dims=("y", "x"), name="elevation", attrs=attributes
    ).transpose(*order)
    if flip:
        field = field.isel(y=slice(None, None, -1))
    data = field.to_dataset()
    if crs:
        data["spatial_ref"] = xr.DataArray(0, attrs=CRS(crs).to_cf())
        data["elevation"].attrs["grid_mapping"] = "spatial_ref"
    data.to_netcdf(path, engine="h5netcdf")
    return path


def zipped(path, values=GROUND, crs=UTM):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("dem/ground.asc", ascii_text(values))
        archive.writestr("dem/ground.prj", CRS(crs).to_wkt("WKT1_ESRI"))
    return path


WRITERS = {"a.tif": geotiff, "a.asc": ascii_grid, "a.nc": netcdf, "a.zip": zipped}


def degrees(path):
    """A plane of 0.001 degree cells around 84.2 W, 36.2 N that rises 1 m per column."""
    values = np.tile(np.arange(60.0), (50, 1)) + 300.0
    transform = rasterio.Affine(0.001, 0, -84.2, 0, -0.001, 36.2)
    return geotiff(path, values, "EPSG:4326", transform)


# -- formats ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRITERS)
def test_one_terrain_in_four_kinds_of_file_is_one_terrain(tmp_path, name):
    found = terrains.load_terrain(WRITERS[name](tmp_path / name))

    assert np.array_equal(found.elevation_m, GROUND)
    assert found.grid == Grid(3, 4, CELL, WEST, NORTH, UTM)
    assert found.name == name


@pytest.mark.parametrize("name", ["a.tif", "a.asc", "a.nc"])
def test_cells_without_data_are_nan_however_the_file_marks_them(tmp_path, name):
    ground = GROUND.copy()
    ground[1, 2] = np.nan
    if name == "a.tif":
        file = geotiff(tmp_path / name, np.where(np.isnan(ground), -9999.0, ground), nodata=-9999.0)
    else:
        file = WRITERS[name](tmp_path / name, ground)

    assert np.array_equal(terrains.load_terrain(file).elevation_m, ground, equal_nan=True)


@pytest.mark.parametrize("order", [("y", "x"), ("x", "y")])
@pytest.mark.parametrize("flip", [False, True])
def test_a_netcdf_may_have_its_axes_in_any_order_and_direction(tmp_path, order, flip):
    found = terrains.load_terrain(netcdf(tmp_path / "a.nc", order=order, flip=flip))

    assert np.array_equal(found.elevation_m, GROUND)
    assert found.grid.north_m == NORTH


def test_an_ascii_header_may_name_the_centre_of_the_corner_cell_in_any_case(tmp_path):
    corner = {"xllcorner": None, "yllcorner": None}
    centre = {"XLLCENTER": WEST + CELL / 2, "YllCenter": NORTH - 3 * CELL + CELL / 2}
    found = terrains.load_terrain(ascii_grid(tmp_path / "a.asc", **corner, **centre))

    assert (found.grid.west_m, found.grid.north_m) == (WEST, NORTH)


def test_elevations_in_feet_become_metres_if_the_file_or_the_user_says_so(tmp_path):
    said = terrains.load_terrain(netcdf(tmp_path / "a.nc", units="ft"))
    told = terrains.load_terrain(geotiff(tmp_path / "a.tif"), unit="foot")

    for found in (said, told):
        assert found.elevation_m == pytest.approx(GROUND * 0.3048)


@pytest.mark.parametrize("unit", ["ft", "foot"])
def test_a_unit_against_the_file_is_refused_and_the_same_in_other_words_is_not(tmp_path, unit):
    file = netcdf(tmp_path / "a.nc", units="ft")

    assert "elevation is in 'ft', not in 'm'" in refused(terrains.load_terrain, file, unit="m")
    assert terrains.load_terrain(file, unit=unit).elevation_m == pytest.approx(GROUND * 0.3048)


@pytest.mark.parametrize("unit", ["9**9**9**9", "m**(9**9**9)", "kg", '__import__("os")'])
def test_a_unit_is_never_computed(tmp_path, unit):
    said = refused(terrains.load_terrain, geotiff(tmp_path / "a.tif"), unit=unit)

    assert "expected a unit that converts to m" in said


def test_a_file_that_points_to_others_is_not_followed(tmp_path):
    source = geotiff(tmp_path / "source.tif")
    (tmp_path / "a.tif").write_text(
        '<VRTDataset rasterXSize="4" rasterYSize="3"><VRTRasterBand dataType="Float64" band="1">'
        f"<SimpleSource><SourceFilename>{source}</SourceFilename></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )

    assert "cannot be read as a raster" in refused(terrains.load_terrain, tmp_path / "a.tif")


@pytest.mark.parametrize("crs", ["EPSG:5703", "EPSG:4978"])
def test_heights_and_geocentric_coordinates_are_no_map(tmp_path, crs):
    file = geotiff(tmp_path / "a.tif", crs=None)

    for read in (terrains.load_terrain, lambda f, crs: terrains.reproject(f, source_crs=crs)):
        assert "is not a map" in refused(read, file, crs=crs)


def test_scale_and_offset_of_a_geotiff_are_applied(tmp_path):
    file = geotiff(tmp_path / "a.tif", GROUND.astype("int16"))
    with rasterio.open(file, "r+") as opened:
        opened.scales, opened.offsets = (0.1,), (50.0,)

    assert terrains.load_terrain(file).elevation_m == pytest.approx(GROUND * 0.1 + 50.0)


def test_a_geotiff_that_is_written_reads_back(tmp_path):
    values = GROUND.copy()
    values[0, 0] = np.nan
    write_geotiff(tmp_path / "a.tif", Raster(values, Grid(3, 4, CELL, WEST, NORTH, UTM), "d", "m"))
    found = terrains.load_terrain(tmp_path / "a.tif")

    assert np.array_equal(found.elevation_m, values, equal_nan=True)
    assert found.grid == Grid(3, 4, CELL, WEST, NORTH, UTM)


def refused(call, *args, **given):
    with pytest.raises(DataError) as error:
        call(*args, **given)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["a.tif", "a.asc", "a.nc"])
def test_a_file_without_a_coordinate_system_is_refused_and_can_be_told(tmp_path, name):
    file = WRITERS[name](tmp_path / name, crs=None)

    said = refused(terrains.load_terrain, file)
    assert said == f"{file}: has no coordinate system. Say which with crs=, as in EPSG:32616."
    assert terrains.load_terrain(file, crs=UTM).grid.crs == UTM


def test_a_coordinate_system_against_the_file_is_refused(tmp_path):
    file = geotiff(tmp_path / "a.tif")

    assert "zone 16N, not in WGS 84 / UTM zone 17N" in refused(
        terrains.load_terrain, file, crs="EPSG:32617"
    )
    assert "'nowhere' is not a coordinate system" in refused(
        terrains.load_terrain, file, crs="nowhere"
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.full((3, 4), np.nan), "has no cell with data"),
        (np.ones((1, 4)), "is 1 x 4 cells; expected at least 2 x 2"),
        (GROUND * 1000, "cells hold 1"),
        (np.where(GROUND == 105, -32768.0, GROUND), "1 of 12 cells hold -32768"),
        (np.where(GROUND == 105, np.inf, GROUND), "1 of 12 cells hold inf"),
    ],
)
def test_a_raster_that_is_no_terrain_is_refused(tmp_path, values, said):
    assert said in refused(terrains.load_terrain, geotiff(tmp_path / "a.tif", values))


def test_an_undeclared_mark_of_missing_data_can_be_told(tmp_path):
    marked = np.where(GROUND == 105, -32768.0, GROUND)
    file = geotiff(tmp_path / "a.tif", marked)

    assert "say missing_value=-32768" in refused(terrains.load_terrain, file)
    found = terrains.load_terrain(file, missing_value=-32768).elevation_m
    assert np.array_equal(found, np.where(GROUND == 105, np.nan, GROUND), equal_nan=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the header has no"),
        ("ncols 2\nnrows\n1 2\n", "line 2: not a header line"),
        ("ncols two\n", "line 1: 'two' is not a number"),
        (ascii_text().replace("105", "1o5"), "line 8: '1o5' is not a number"),
        (ascii_text(nrows=4), "holds 12 values; expected 4 x 4"),
        (ascii_text(cellsize=None), "the header has no cellsize"),
        (ascii_text(cellsize=0), "the header has a size <= 0"),
    ],
)
def test_a_broken_ascii_grid_is_refused_by_its_line(tmp_path, text, said):
    file = tmp_path / "a.asc"
    file.write_text(text)

    assert said in refused(terrains.load_terrain, file, crs=UTM)


@given(st.binary(max_size=200), st.sampled_from(["a.asc", "a.zip", "a.tif", "a.nc"]))
def test_nothing_but_our_own_errors_escapes_from_bytes(tmp_path_factory, content, name):
    file = tmp_path_factory.mktemp("bytes") / name
    file.write_bytes(content)
    with pytest.raises(AssayError):
        terrains.load_terrain(file, crs=UTM)


@given(st.text(alphabet="ncolsrwxyetiNDATA_ 0123456789.-\n", max_size=120))
def test_nothing_but_our_own_errors_escapes_from_a_header(tmp_path_factory, text):
    file = tmp_path_factory.mktemp("text") / "a.asc"
    file.write_text("ncols 2\nnrows 2\n" + text)
    said = ""
    try:
        terrains.load_terrain(file, crs=UTM)
    except AssayError as error:
        said = str(error)
    assert "\n" not in said


def test_a_missing_file_several_bands_and_a_rotated_raster_are_refused(tmp_path):
    rotated = rasterio.Affine(CELL, 1.0, WEST, 1.0, -CELL, NORTH)
    south_up = rasterio.Affine(CELL, 0, WEST, 0, CELL, NORTH)
    bands = geotiff(tmp_path / "b.tif", np.stack([GROUND, GROUND], axis=-1))

    assert "no such file" in refused(terrains.load_terrain, tmp_path / "none.tif")
    assert "holds 2 bands" in refused(terrains.load_terrain, bands)
    for transform in (rotated, south_up):
        file = geotiff(tmp_path / "r.tif", transform=transform)
        assert "rotated or not north up" in refused(terrains.load_terrain, file)


def test_a_zip_with_two_grids_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.asc", ascii_text())
        archive.writestr("b.asc", ascii_text())

    assert "holds 2 .asc files; expected one" in refused(
        terrains.load_terrain, tmp_path / "a.zip", crs=UTM
    )


# -- metres -------------------------------------------------------------------------------------


def test_a_geographic_terrain_is_refused_where_metres_are_needed(tmp_path):
    said = refused(terrains.load_terrain, degrees(tmp_path / "a.tif"))

    assert "is in degrees (WGS 84) where metres are needed" in said
    assert "Read it with reproject=true." in said


@pytest.mark.parametrize(
    ("crs", "said"),
    [("EPSG:3857", "a metre on the map"), ("EPSG:2274", "is in US survey foot")],
)
def test_maps_whose_metres_are_not_those_on_the_ground_are_refused(tmp_path, crs, said):
    transform = {
        "EPSG:3857": rasterio.Affine(CELL, 0, -9.37e6, 0, -CELL, 4.33e6),
        "EPSG:2274": rasterio.Affine(CELL, 0, 2.0e6, 0, -CELL, 6.5e5),
    }[crs]

    assert said in refused(
        terrains.load_terrain, geotiff(tmp_path / "a.tif", crs=crs, transform=transform)
    )


def test_oblong_cells_are_refused_and_resampled_on_request(tmp_path):
    file = geotiff(
        tmp_path / "a.tif", np.tile(GROUND, (4, 4)),
        transform=rasterio.Affine(20.0, 0, WEST, 0, -30.0, NORTH),
    )  # fmt: skip

    assert "cells are not square (20 by 30 m)" in refused(terrains.load_terrain, file)
    assert terrains.reproject(file, cell_m=20.0).grid.cell_m == 20.0


def test_reprojection_takes_the_utm_zone_and_keeps_a_plane_a_plane(tmp_path):
    found = terrains.reproject(degrees(tmp_path / "a.tif"))

    assert found.grid.crs == "EPSG:32616"
    assert 85 < found.grid.cell_m < 115  # 0.001 degree is 90 m to the east, 111 m to the north
    rise = np.diff(found.elevation_m[2:-2, 2:-2], axis=1)
    per_metre = rise / found.grid.cell_m
    assert per_metre == pytest.approx(
        1.0 / (0.001 * 111_320 * np.cos(np.deg2rad(36.175))), rel=0.02
    )
    assert "reprojected from EPSG:4326" in found.note


@pytest.mark.parametrize(("longitude", "latitude", "zone"), [(-85.5, 36, 32616), (151, -33, 32756)])
def test_the_utm_zone_is_that_of_the_centre(tmp_path, longitude, latitude, zone):
    transform = rasterio.Affine(0.001, 0, longitude, 0, -0.001, latitude)
    file = geotiff(tmp_path / "a.tif", np.tile(GROUND, (5, 5)), "EPSG:4326", transform)

    assert terrains.reproject(file).grid.crs == f"EPSG:{zone}"


def test_a_hole_does_not_spread_in_reprojection(tmp_path):
    values = np.tile(np.arange(60.0), (50, 1)) + 300.0
    values[20:23, 30:33] = np.nan
    transform = rasterio.Affine(0.001, 0, -84.2, 0, -0.001, 36.2)
    file = geotiff(tmp_path / "a.tif", values, "EPSG:4326", transform)

    holes = np.isnan(terrains.reproject(file).elevation_m).sum()
    assert 4 <= holes <= 12


# -- holes, blocks, windows ---------------------------------------------------------------------


def plain(values):
    return Terrain(np.asarray(values, float), Grid(*np.shape(values), 10.0, 0.0, 0.0, UTM), "plain")


def test_holes_are_refused_made_walls_or_filled():
    x, y = np.meshgrid(np.arange(8.0), np.arange(7.0))
    ground = 3.0 * x + 2.0 * y
    ground[2:4, 3:6] = np.nan
    ground[6, 7] = np.nan
    holed = plain(ground)

    said = refused(terrains.check_holes, holed, nodata="refuse")
    assert "7 of 56 cells have no data, the first in row 2, column 3" in said
    walls = terrains.check_holes(holed, nodata="wall")
    filled = terrains.check_holes(holed, nodata="fill")
    assert np.isnan(walls.elevation_m).sum() == 7
    assert "7 cells without data are walls" in walls.note
    assert filled.elevation_m[2:4, 3:6] == pytest.approx((3.0 * x + 2.0 * y)[2:4, 3:6])
    assert np.isfinite(filled.elevation_m).all()


def test_coarsening_keeps_the_mean_and_drops_what_fills_no_block():
    ground = np.arange(35.0).reshape(5, 7)
    found = terrains.coarsen(plain(ground), 2)

    assert found.elevation_m.shape == (2, 3)
    assert found.elevation_m[0, 0] == pytest.approx(ground[:2, :2].mean())
    assert found.elevation_m.mean() == pytest.approx(ground[:4, :6].mean())
    assert found.grid.cell_m == 20.0
    assert terrains.coarsen(plain(ground), 1).elevation_m is not None
    assert "cannot be coarsened by 4" in refused(terrains.coarsen, plain(ground), 4)


def test_a_window_lies_where_its_cells_lay():
    cut = terrains.crop(plain(np.arange(20.0).reshape(4, 5)), 1, 3, 2, 5)

    assert cut.elevation_m.tolist() == [[7, 8, 9], [12, 13, 14]]
    assert (cut.grid.west_m, cut.grid.north_m) == (20.0, -10.0)


def test_light_from_the_north_west_falls_on_slopes_that_face_it():
    x, y = np.meshgrid(np.arange(20.0), np.arange(20.0))
    faces_it, turned_away = hillshade(plain(5 * (x + y))), hillshade(plain(-5 * (x + y)))

    assert faces_it.mean() > hillshade(plain(0 * x)).mean() > turned_away.mean()


# -- real landscapes ----------------------------------------------------------------------------


def test_the_built_in_landscape_lies_where_it_is():
    """Cross Mountain's summit, Norris Lake's level pool and its dam's river, by coordinates."""
    from pyproj import Transformer

    found = terrains.jacksboro()
    to_grid = Transformer.from_crs("EPSG:4326", found.grid.crs, always_xy=True)

    def near(longitude, latitude):
        x, y = to_grid.transform(longitude, latitude)
        row, column = found.grid.row_column(np.array([x]), np.array([y]))
        return found.elevation_m[row[0] - 6 : row[0] + 7, column[0] - 6 : column[0] + 7]

    assert near(-84.2306, 36.1983).max() == pytest.approx(found.elevation_m.max(), abs=60)
    assert np.isfinite(found.elevation_m).all()
    assert found.grid.crs == UTM
    assert 80 < found.grid.cell_m < 90


def test_merewether_is_read_out_of_its_zip(flood_data):
    file = flood_data / "merewether/topography1.zip"
    found = terrains.load_terrain(file, crs="EPSG:32756")

    assert found.elevation_m.shape == (416, 321)
    assert found.grid.cell_m == pytest.approx(1.0, abs=1e-3)
    assert int(np.isnan(found.elevation_m).sum()) > 0


def test_the_grids_of_landlab_are_read_or_say_what_is_missing(flood_data):
    folder = flood_data / "landlab"
    basin = terrains.load_terrain(folder / "Square_TestBasin.asc", crs=UTM)
    colorado = next(folder.glob("SRTMGL3*.asc"))

    assert basin.elevation_m.shape == (200, 200)
    assert "say missing_value=-9999" in refused(
        terrains.load_terrain, folder / "hugo_site_filled.asc", crs=UTM
    )
    assert "has no coordinate system" in refused(terrains.load_terrain, colorado)
    assert "degrees" in refused(terrains.load_terrain, colorado, crs="EPSG:4326")
    metres = terrains.reproject(colorado, source_crs="EPSG:4326")
    assert metres.grid.crs == "EPSG:32613"
    assert read_source(colorado, crs="EPSG:4326").values.shape == (144, 240)
