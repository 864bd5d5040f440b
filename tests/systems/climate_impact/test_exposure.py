"""Exposure: cells under points and polygons, files of every kind, and the synthetic settlement."""

import json
import math

import geopandas as gpd
import numpy as np
import pytest
import shapely
from scipy.stats import chisquare
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box

from assay.core.artifacts import decode, encode
from assay.errors import DataError
from assay.systems.climate_impact.exposure import Assets, depth_at, settlement
from assay.systems.climate_impact.exposure_files import read_exposure
from assay.systems.climate_impact.rasters import Grid, Raster, Terrain
from assay.systems.climate_impact.terrain import coarsen, load_terrain

WEST, NORTH, CELL = 500_000.0, 4_000_000.0, 10.0
UTM = "EPSG:32616"


def terrain(rows=20, columns=30, elevation=None):
    ground = np.zeros((rows, columns)) if elevation is None else elevation
    return Terrain(ground, Grid(*ground.shape, CELL, WEST, NORTH, UTM), "plain")


def depths(values):
    grid = Grid(*values.shape, CELL, WEST, NORTH, UTM)
    return Raster(values, grid, "maximum depth", "m")


def at(row, column):
    """Centre of a cell."""
    return WEST + (column + 0.5) * CELL, NORTH - (row + 0.5) * CELL


def vector(tmp_path, shapes, name="buildings.gpkg", crs=UTM, **columns):
    frame = gpd.GeoDataFrame(
        columns or {"area_m2": [100.0] * len(shapes)}, geometry=shapes, crs=crs
    )
    frame.to_file(tmp_path / name)
    return tmp_path / name


def table(tmp_path, text):
    (tmp_path / "buildings.csv").write_text(text)
    return tmp_path / "buildings.csv"


def read(path, ground=None, **rest):
    given = {"currency": "EUR", "max_damage_per_m2": 800.0, **rest}
    return read_exposure(ground or terrain(), path=path, **given)


# -- cells --------------------------------------------------------------------------------------


def test_a_point_has_the_depth_of_its_cell(tmp_path):
    values = np.arange(600.0).reshape(20, 30)
    file = vector(tmp_path, [Point(*at(3, 7)), Point(at(19, 29)[0] + 4.9, at(19, 29)[1] - 4.9)])

    assets = read(file)

    assert depth_at(assets, depths(values)).tolist() == [values[3, 7], values[19, 29]]


def test_a_polygon_has_the_mean_or_the_largest_depth_of_the_cells_it_covers(tmp_path):
    values = np.arange(600.0).reshape(20, 30)
    west, north = WEST + 4 * CELL, NORTH - 2 * CELL
    file = vector(tmp_path, [box(west, north - 3 * CELL, west + 2 * CELL, north)], name="b.geojson")

    assets = read(file)

    block = values[2:5, 4:6]
    assert depth_at(assets, depths(values)).tolist() == [block.mean()]
    assert depth_at(assets, depths(values), over="max").tolist() == [block.max()]


def test_the_mean_depth_of_a_level_water_surface_is_its_height_over_the_mean_ground(tmp_path):
    random = np.random.default_rng(0)
    ground = random.uniform(0, 1, (20, 30))
    footprint = box(WEST + 31, NORTH - 172, WEST + 214, NORTH - 17)
    assets = read(vector(tmp_path, [footprint]), terrain(elevation=ground))

    inside = shapely.contains_xy(
        footprint, *np.stack([at(r, c) for r in range(20) for c in range(30)]).T
    )

    assert depth_at(assets, depths(5.0 - ground)) == pytest.approx(
        5.0 - ground.ravel()[inside].mean()
    )


def test_a_polygon_smaller_than_a_cell_is_looked_up_where_it_lies(tmp_path):
    values = np.zeros((20, 30))
    values[6, 8] = 2.0
    x, y = at(6, 8)
    file = vector(tmp_path, [box(x + 1, y + 1, x + 4, y + 4)], name_of=["shed"])

    assets = read(file)

    assert depth_at(assets, depths(values)).tolist() == [2.0]
    assert assets.area_m2.tolist() == pytest.approx([9.0])


def test_parts_and_holes_of_a_polygon_count(tmp_path):
    values = np.ones((20, 30))
    values[2, 2] = 100.0  # the hole
    ring = box(WEST + 10, NORTH - 40, WEST + 40, NORTH - 10).difference(
        box(WEST + 20, NORTH - 30, WEST + 30, NORTH - 20)
    )
    two = MultiPolygon([ring, box(WEST + 100, NORTH - 110, WEST + 110, NORTH - 100)])
    values[10, 10] = 10.0

    assets = read(vector(tmp_path, [two], name_of=["farm"]))

    assert depth_at(assets, depths(values)) == pytest.approx([(8 * 1.0 + 10.0) / 9])
    assert assets.area_m2 == pytest.approx([900.0])


def test_cells_without_terrain_are_left_out_of_a_polygon_and_refused_for_a_point(tmp_path):
    ground = np.zeros((20, 30))
    ground[5, 5] = np.nan
    values = np.full((20, 30), 3.0)
    values[5, 5] = np.nan
    both = [box(WEST + 50, NORTH - 60, WEST + 70, NORTH - 50), Point(*at(5, 5))]
    file = vector(tmp_path, both)

    assets = read(file, terrain(elevation=ground), outside="drop")

    assert depth_at(assets, depths(values)).tolist() == [3.0]
    with pytest.raises(DataError, match="1 of 2 assets lie outside the terrain"):
        read(file, terrain(elevation=ground))


def test_assets_read_with_the_terrain_can_be_looked_up_on_a_coarser_one(tmp_path):
    # 21 rows and 31 columns do not fill blocks of two: the last row and column are cut away.
    fine = terrain(21, 31)
    assets = read(vector(tmp_path, [Point(*at(0, 0)), Point(*at(20, 30))]), fine)
    coarse = coarsen(fine, 2)
    values = np.arange(150.0).reshape(10, 15)

    found = depth_at(assets, Raster(values, coarse.grid, "depth", "m"))

    assert found.tolist() == [0.0, 149.0]


def test_a_map_that_does_not_cover_the_assets_is_refused(tmp_path):
    assets = read(vector(tmp_path, [Point(*at(2, 2)), Point(*at(18, 28))]))

    with pytest.raises(DataError, match="1 of 2 assets lie outside the map, the first is asset 2"):
        depth_at(assets, depths(np.zeros((10, 10))))


def test_a_map_in_another_coordinate_system_is_refused(tmp_path):
    assets = read(vector(tmp_path, [Point(*at(2, 2))]))
    grid = Grid(20, 30, CELL, WEST, NORTH, "EPSG:32617")

    with pytest.raises(DataError, match="assets are in EPSG:32616; expected EPSG:32617"):
        depth_at(assets, Raster(np.zeros((20, 30)), grid, "depth", "m"))


# -- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["b.geojson", "b.gpkg", "b.csv"])
@pytest.mark.parametrize("crs", [UTM, "EPSG:4326", "EPSG:3857"])
def test_positions_are_reprojected_to_the_terrain(tmp_path, name, crs):
    cells = [(1, 2), (10, 20), (19, 0)]
    shapes = gpd.GeoSeries([Point(*at(*c)) for c in cells], crs=UTM).to_crs(crs)
    if name == "b.csv":
        lines = [f"{p.x!r},{p.y!r},50" for p in shapes]
        head = "lon,lat,area_m2" if crs == "EPSG:4326" else "x,y,area_m2"
        (tmp_path / name).write_text("\n".join([head, *lines]))
        assets = read(tmp_path / name, crs=crs)
    else:
        assets = read(vector(tmp_path, list(shapes), name, crs))

    assert assets.crs == UTM
    row, column = terrain().grid.row_column(assets.x_m, assets.y_m)
    assert list(zip(row.tolist(), column.tolist(), strict=True)) == cells


def test_columns_names_and_values_are_taken_from_the_file(tmp_path):
    x, y = at(3, 4)
    text = f"id, x, y, area_m2, max_damage_per_m2\nA1, {x}, {y}, 120, 900\nB2, {x}, {y}, 80, 0\n"

    assets = read(table(tmp_path, text), crs=UTM, max_damage_per_m2=None, currency="CHF")

    assert assets.names == ["A1", "B2"]
    assert assets.max_damage.tolist() == [108_000.0, 0.0]
    assert assets.currency == "CHF"
    assert assets.note == "buildings.csv"


def test_other_columns_can_be_named_and_carry_a_unit(tmp_path):
    x, y = at(3, 4)
    text = f"x,y,footprint [ft^2],worth,what\n{x},{y},1000,900,barn\n"

    assets = read(
        table(tmp_path, text),
        crs=UTM,
        area_column="footprint",
        value_column="worth",
        name_column="what",
    )

    assert assets.area_m2.tolist() == pytest.approx([92.90304])
    assert assets.max_damage_per_m2.tolist() == [900.0]
    assert assets.names == ["barn"]


INSIDE = "{},{}".format(*at(3, 4))


@pytest.mark.parametrize(
    ("text", "given", "said"),
    [
        (f"x,y,area_m2\n{INSIDE},5\n", {"crs": None}, "has no coordinate system. Say which with"),
        ("lon,lat,area_m2\n-87,36,5\n", {"crs": None}, "EPSG:4326 if these are GPS degrees"),
        (f"x,y,area_m2\n{INSIDE},5\n", {"crs": "EPSG:1"}, "'EPSG:1' is not a coordinate system"),
        (f"x,y,area_m2\n{INSIDE},-5\n", {}, "line 2: the footprint is -5; expected m2, > 0"),
        (f"x,y,area_m2\n{INSIDE},0\n", {}, "line 2: the footprint is 0"),
        (f"x,y,area_m2\n{INSIDE},5\n{INSIDE},\n", {}, "line 3: the footprint is missing"),
        (f"x,y,area_m2\n{INSIDE},big\n", {}, "line 2, area_m2: 'big' is not a number"),
        (f"x,y,area_m\n{INSIDE},5\n", {}, "no column 'area_m2'. Did you mean 'area_m'?"),
        (f"x,y,area_m2\n{INSIDE},5\n", {"value_column": "aera_m2"}, "Did you mean 'area_m2'?"),
        (f"x,y,area_m2\n{INSIDE},5\n", {"name_column": "nam"}, "no column 'nam'"),
        (
            f"x,y,area_m2\n{INSIDE},5\n",
            {"max_damage_per_m2": None},
            "no column 'max_damage_per_m2'",
        ),
        (f"x,z,area_m2\n{INSIDE},5\n", {}, "no column 'y'"),
        ("x,y,area_m2\n,4,5\n", {}, "line 2: has no position; expected x and y"),
        ("x,y,area_m2\n", {}, "is empty"),
        ("", {}, "is empty"),
        ("x,y,area_m2\n5,5,5\n", {}, "line 2: 1 of 1 assets lie outside the terrain"),
        (f"x,y,area_m2\n{INSIDE},5\n", {"crs": "EPSG:4326"}, "are not degrees (WGS 84)"),
    ],
)
def test_a_csv_that_does_not_say_enough_is_refused_in_one_line(tmp_path, text, given, said):
    with pytest.raises(DataError) as refused:
        read(table(tmp_path, text), **{"crs": UTM, **given})

    assert said in str(refused.value)
    assert "buildings.csv" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_value_below_zero_is_refused(tmp_path):
    text = f"x,y,area_m2,max_damage_per_m2\n{INSIDE},5,-1\n"

    with pytest.raises(DataError, match="line 2: the maximum damage is -1"):
        read(table(tmp_path, text), crs=UTM)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (None, "feature 2: has no geometry; expected a point or a polygon"),
        (Point(), "feature 2: has no geometry"),
        (LineString([at(1, 1), at(2, 2)]), "feature 2: is a LineString"),
        (
            Polygon([at(1, 1), at(3, 3), at(1, 3), at(3, 1)]),
            "feature 2: the polygon crosses itself",
        ),
    ],
)
def test_a_geometry_that_covers_nothing_is_refused_by_its_feature(tmp_path, shape, said):
    file = vector(tmp_path, [Point(*at(1, 1)), shape], "b.geojson")

    with pytest.raises(DataError) as refused:
        read(file)

    assert said in str(refused.value)


def test_assets_outside_are_counted_and_the_first_is_named(tmp_path):
    away = Point(WEST - 5, NORTH - 5)
    shapes = [Point(*at(1, 1)), away, Point(*at(2, 2)), away]
    file = vector(
        tmp_path, shapes, name_of=["a"] * 4, id=["p", "q", "r", "s"], area_m2=[1.0, 2.0, 3.0, 4.0]
    )

    with pytest.raises(DataError, match=r"feature 2: 2 of 4 assets .* terrain, the first is q"):
        read(file)
    assets = read(file, outside="drop")

    assert assets.names == ["p", "r"]
    assert assets.area_m2.tolist() == [1.0, 3.0]
    assert assets.max_damage.tolist() == [800.0, 2400.0]
    assert assets.sample_asset.tolist() == [0, 1]
    assert assets.note.endswith("2 of 4 assets lie outside the terrain and were left out")


def test_a_file_with_every_asset_outside_is_refused_even_if_they_may_be_dropped(tmp_path):
    file = vector(tmp_path, [Point(WEST - 5, NORTH - 5)])

    with pytest.raises(DataError, match="1 of 1 assets lie outside the terrain"):
        read(file, outside="drop")


def test_a_file_with_several_layers_wants_to_know_which(tmp_path):
    file = vector(tmp_path, [Point(*at(1, 1))])
    frame = gpd.GeoDataFrame({"area_m2": [7.0]}, geometry=[Point(*at(2, 2))], crs=UTM)
    frame.to_file(file, layer="barns")

    with pytest.raises(DataError, match="has 2 layers with geometries; expected layer="):
        read(file)
    with pytest.raises(DataError, match=r"no layer 'barn'\. Did you mean 'barns'"):
        read(file, layer="barn")
    assert read(file, layer="barns").area_m2.tolist() == [7.0]


def test_a_geojson_in_metres_that_does_not_say_so_is_refused_and_read_with_a_crs(tmp_path):
    feature = {
        "type": "Feature",
        "properties": {"area_m2": 50.0},
        "geometry": {"type": "Point", "coordinates": list(at(4, 4))},
    }
    file = tmp_path / "b.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))

    with pytest.raises(DataError, match=r"are not degrees .WGS 84.*Say the coordinate system"):
        read(file)
    assert read(file, crs=UTM).x_m.tolist() == [at(4, 4)[0]]


@pytest.mark.parametrize("content", ["no json", '{"type": "FeatureCollection", "features": []}'])
def test_a_vector_file_without_features_is_refused(tmp_path, content):
    file = tmp_path / "b.geojson"
    file.write_text(content)

    with pytest.raises(
        DataError, match=r"b.geojson: (cannot be read|is empty|has 0 layers|is in no known format)"
    ):
        read(file)


def test_the_houses_of_merewether_cover_about_as_many_cells_as_square_metres(flood_data, tmp_path):
    folder = flood_data / "merewether"
    ground = load_terrain(folder / "topography1.zip", crs="EPSG:32756")
    houses = [
        Polygon(np.loadtxt(file, delimiter=","))
        for file in sorted((folder / "houses").glob("*.csv"))
    ]
    file = vector(tmp_path, houses, crs="EPSG:32756", name_of=[str(k) for k in range(len(houses))])

    assets = read(file, ground)

    cells = np.bincount(assets.sample_asset)
    assert len(assets.names) == 60
    assert assets.area_m2.tolist() == pytest.approx([h.area for h in houses])
    assert (np.abs(cells - assets.area_m2) <= [h.length for h in houses]).all()


# -- settlement ---------------------------------------------------------------------------------


def valley(rows=40, columns=40, cell=50.0):
    """A valley along the middle column, falling to the south, with steep sides."""
    across = np.abs(np.arange(columns) - columns / 2 + 0.5) * cell
    along = np.arange(rows)[::-1, None] * cell * 0.005
    ground = along + 0.01 * across + 2e-4 * np.maximum(across - 300.0, 0.0) ** 2
    return Terrain(ground, Grid(rows, columns, cell, WEST, NORTH, UTM), "valley")


def test_a_settlement_repeats_with_its_seed_and_says_that_it_is_synthetic():
    one, same, other = (settlement(valley(), count=50, seed=s) for s in (1, 1, 2))

    assert encode(one, []) == encode(same, [])
    assert one.x_m.tolist() == same.x_m.tolist()
    assert one.x_m.tolist() != other.x_m.tolist()
    assert one.note.startswith("synthetic: 50 buildings")
    assert "assumed" in one.note
    assert one.kind == "synthetic buildings"


def test_a_settlement_stands_on_gentle_low_ground_that_has_data():
    ground = valley()
    ground.elevation_m[:10] = np.nan

    assets = settlement(ground, count=2000, seed=0)

    row, column = ground.grid.row_column(assets.x_m, assets.y_m)
    assert ground.grid.inside(row, column).all()
    assert (row >= 10).all()
    slope = np.hypot(*np.gradient(valley().elevation_m, 50.0))
    assert slope[row, column].mean() < 0.5 * slope[10:].mean()
    assert valley().elevation_m[row, column].mean() < 0.5 * valley().elevation_m[10:].mean()


def test_cells_are_drawn_with_the_stated_weight():
    ground = np.random.default_rng(5).uniform(0.0, 12.0, (7, 9))
    grid = Grid(7, 9, 100.0, WEST, NORTH, UTM)
    count = 40_000
    weight = np.zeros(ground.shape)
    for r, c in np.ndindex(ground.shape):
        around = ground[max(r - 5, 0) : r + 6, max(c - 5, 0) : c + 6]  # 500 m are five cells
        u = (ground[r, c] - around.min()) / 5.0
        south, east = (g[r, c] for g in np.gradient(ground, 100.0))
        weight[r, c] = math.exp(-math.hypot(south, east) / 0.05) * (0.05 + u * math.exp(1 - u))

    assets = settlement(Terrain(ground, grid, "hummocks"), count=count, seed=11)

    drawn = np.zeros(ground.shape)
    np.add.at(drawn, grid.row_column(assets.x_m, assets.y_m), 1)
    assert chisquare(drawn.ravel(), (weight / weight.sum() * count).ravel()).pvalue > 1e-4


def test_the_footprints_of_a_settlement_have_the_stated_median():
    area = settlement(valley(), count=20_000, seed=3).area_m2

    assert np.median(area) == pytest.approx(120.0, rel=0.02)
    assert np.log(area).std() == pytest.approx(0.5, rel=0.02)


def test_flat_ground_is_settled_everywhere():
    assets = settlement(terrain(), count=5000, seed=0)

    row, column = terrain().grid.row_column(assets.x_m, assets.y_m)
    assert len(set(zip(row.tolist(), column.tolist(), strict=True))) > 590


def test_assets_survive_the_store(tmp_path):
    assets = settlement(valley(), count=3, seed=0)
    arrays: list[np.ndarray] = []

    back = decode(encode(assets, arrays), Assets, arrays)

    assert encode(back, []) == encode(assets, [])
    assert back.sample_asset.dtype == assets.sample_asset.dtype
