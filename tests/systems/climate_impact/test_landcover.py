"""Land cover: classes lie where the raster has them, and none goes without a value."""

import numpy as np
import pytest
import rasterio

from assay.core.artifacts import decode, encode
from assay.core.component import describe
from assay.errors import AssayError
from assay.systems.climate_impact.landcover import (
    WORLDCOVER,
    LandCover,
    curve_numbers_of,
    read_cover_table,
    read_land_cover,
    roughness_of,
)
from assay.systems.climate_impact.rasters import Grid, Terrain

UTM = "EPSG:32616"
WEST, NORTH = 500_000.0, 4_000_000.0
CLASSES = np.array([[10, 10, 30], [10, 40, 40], [60, 60, 20]], np.uint8)
TABLE = "class,name,manning,curve_number_B\n1,wood,0.1,60\n2,road,0.02,98\n3,lake,0.03,100\n"


def refused(call, *args, **more):
    with pytest.raises(AssayError) as error:
        call(*args, **more)
    assert "\n" not in str(error.value)
    return str(error.value)


def geotiff(path, classes=CLASSES, crs=UTM, transform=None, nodata=None):
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=classes.shape[0], width=classes.shape[1],
        dtype=str(classes.dtype), crs=crs, nodata=nodata,
        transform=transform or rasterio.Affine(100.0, 0, WEST, 0, -100.0, NORTH),
    ) as file:  # fmt: skip
        file.write(classes, 1)
    return path


def terrain(rows=6, columns=6, cell=50.0, west=WEST, north=NORTH):
    return Terrain(np.zeros((rows, columns)), Grid(rows, columns, cell, west, north, UTM), "flat")


def cover(classes):
    grid = Grid(*np.shape(classes), 10.0, WEST, NORTH, UTM)
    return LandCover(np.asarray(classes, np.int32), grid, "cover.tif")


def table(tmp_path, text=TABLE):
    path = tmp_path / "table.csv"
    path.write_text(text)
    return path


# -- the raster ---------------------------------------------------------------------------------


def test_each_cell_has_the_class_it_lies_in(tmp_path):
    found = read_land_cover(terrain(), path=geotiff(tmp_path / "a.tif"))

    assert np.array_equal(found.classes, np.kron(CLASSES, np.ones((2, 2), int)))
    assert found.grid == terrain().grid
    assert found.name == "a.tif"


def test_classes_in_degrees_lie_where_they_lay(tmp_path):
    # Bands of longitude and latitude around the middle of zone 16: 87 W is x = 500 km
    classes = np.repeat(np.array([[10, 20]], np.uint8), 40, axis=0).repeat(20, axis=1)
    transform = rasterio.Affine(0.001, 0, -87.02, 0, -0.001, 36.16)
    path = geotiff(tmp_path / "a.tif", classes, "EPSG:4326", transform)
    ground = terrain(4, 20, 100.0, WEST - 1000, NORTH + 200)

    found = read_land_cover(ground, path=path)

    assert (found.classes[:, :10] == 10).all()
    assert (found.classes[:, 10:] == 20).all()


def test_a_terrain_beyond_the_raster_is_refused_with_both_extents(tmp_path):
    path = geotiff(tmp_path / "a.tif")
    said = refused(read_land_cover, terrain(west=WEST + 150.0), path=path)

    assert "18 of 36 cells of the terrain have no class" in said
    assert "it lies in x 500000 to 500300, y 3999700 to 4000000" in said
    assert "the terrain in x 500150 to 500450" in said
    ground = terrain(west=WEST + 150.0)
    ground.elevation_m[:, 3:] = np.nan
    assert (read_land_cover(ground, path=path).classes[:, 3:] == -1).all()


def test_cells_of_the_raster_without_data_are_refused(tmp_path):
    classes = CLASSES.copy()
    classes[1, 1] = 0

    for path, more in (
        (geotiff(tmp_path / "a.tif", classes, nodata=0), {}),
        (geotiff(tmp_path / "b.tif", classes), {"missing_value": 0}),
    ):
        assert "4 of 36 cells" in refused(read_land_cover, terrain(), path=path, **more)


def test_a_place_is_never_assumed_and_classes_are_whole_numbers(tmp_path):
    bare = tmp_path / "a.asc"
    bare.write_text(f"ncols 1\nnrows 1\nxllcorner {WEST}\nyllcorner {NORTH - 300}\ncellsize 300\n7")
    assert "has no coordinate system" in refused(read_land_cover, terrain(), path=bare)
    assert (read_land_cover(terrain(), path=bare, crs=UTM).classes == 7).all()
    halves = geotiff(tmp_path / "b.tif", CLASSES + np.float32(0.5))
    assert "is no class; expected whole numbers" in refused(read_land_cover, terrain(), path=halves)


# -- values -------------------------------------------------------------------------------------


def test_a_table_gives_each_class_its_values_and_may_hold_more(tmp_path):
    classes, path = cover([[1, 2], [2, -1]]), table(tmp_path)

    roughness = roughness_of(classes, table=path)
    numbers = curve_numbers_of(classes, soil_group="B", table=path)

    assert np.array_equal(roughness.manning, [[0.1, 0.02], [0.02, np.nan]], equal_nan=True)
    assert np.array_equal(numbers.values, [[60, 98], [98, np.nan]], equal_nan=True)
    assert numbers.unit == "1"
    assert roughness.grid == classes.grid


def test_classes_without_a_value_are_refused_with_their_number_of_cells(tmp_path):
    path = table(tmp_path)
    said = refused(roughness_of, cover([[1, 7], [7, 9]]), table=path)

    assert "cover.tif: table.csv has no manning for class 7 (2 cells), 9 (1 cells)" in said
    assert "no curve_number_A for class 1 wood (1 cells)" in refused(
        curve_numbers_of, cover([[1]]), soil_group="A", table=path
    )


def test_without_a_table_the_classes_are_those_of_worldcover():
    found = roughness_of(cover([[10, 20, 30, 40, 60]]))
    numbers = curve_numbers_of(cover([[10, 20, 30, 40, 60]]), soil_group="C")

    # Chow 1959, table 5-6, flood plains, normal; TR-55 (USDA 1986), table 2-2, soil C
    assert found.manning.tolist() == [[0.1, 0.06, 0.035, 0.035, 0.03]]
    assert numbers.values.tolist() == [[73, 70, 79, 85, 91]]
    said = refused(roughness_of, cover([[50, 80], [80, 80]]))
    assert "has no manning for class 50 built-up (1 cells), 80 permanent water" in said
    assert "Give one for every class, in a file with table=." in said


def test_drier_soils_never_have_a_higher_curve_number():
    for row in WORLDCOVER.values():
        numbers = [n for n in row[2:] if n == n]
        assert numbers == sorted(numbers)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class,manning\n1,0.1\n1,0.2\n", "line 3: class 1 is there twice"),
        ("class,manning\n1.5,0.1\n", "line 2: '1.5' is no class"),
        ("class,manning\n,0.1\n", "line 2: '' is no class"),
        ("class,manning\n1,35\n", "line 2: manning 35; expected 0.005 to 0.5"),
        ("class,curve_number_A\n1,0\n", "line 2: curve_number_A 0; expected 1 to 100"),
        ("class,manning\n1,wood\n", "line 2, manning: 'wood' is not a number"),
        ("class,name\n1,wood\n", "gives no values; expected a column manning"),
        ("code,manning\n1,0.1\n", "no column 'class'"),
    ],
)
def test_tables_with_faults_are_refused_by_line(tmp_path, text, said):
    assert said in refused(read_cover_table, table(tmp_path, text))


def test_an_empty_cell_of_a_table_is_no_value(tmp_path):
    path = table(tmp_path, "Class,Manning,curve_number_d\n1,,90\n2,0.03,\n")
    known = read_cover_table(path)

    assert np.isnan(known[1].manning)
    assert known[1].curve_number_D == 90
    assert "class 1 (1 cells)" in refused(roughness_of, cover([[1, 2]]), table=path)


def test_land_cover_survives_the_store_and_soils_have_four_groups():
    value, arrays = cover([[1, 2]]), []
    back = decode(encode(value, arrays), LandCover, arrays)

    assert np.array_equal(back.classes, value.classes)
    with pytest.raises(AssayError):
        describe(curve_numbers_of).validate({"soil_group": "E"}, "numbers")
