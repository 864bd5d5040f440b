"""A terrain larger than memory: its parts are those of memory, its flood is that of the whole."""

import subprocess
import sys
import tempfile
from dataclasses import replace

import numpy as np
import pytest

from assay.errors import DataError
from assay.systems.climate_impact import catchment_files as files
from assay.systems.climate_impact import catchments, data
from assay.systems.climate_impact.inundation import inundation
from assay.systems.climate_impact.rain import Hyetograph
from assay.systems.climate_impact.rasters import Grid, Terrain
from assay.systems.climate_impact.terrain_files import raster_file, write_terrain

RAIN = Hyetograph(np.array([0.0, 1800.0]), np.array([30.0]), "half an hour", 10.0)


@pytest.fixture(autouse=True)
def _scratch(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def read(path):
    with raster_file(path) as file:
        return file.read(slice(0, file.shape[0]), slice(0, file.shape[1]))


def valleys(rows=40, columns=48, wide=12):
    """Roofs side by side, two cells wide at the ridge, that fall south; pits in between."""
    across = np.abs((np.arange(columns) + 0.5) % wide - wide / 2)
    bed = 50.0 + 2.0 * across + 0.2 * np.arange(rows)[::-1, None]
    bed[10:14, 5::wide] -= 3.0
    return Terrain(bed, Grid(rows, columns, 10.0, 5e5, 4e6, "EPSG:32616"), "valleys")


def flooded(terrain):
    return inundation(terrain, data.uniform_roughness(terrain), RAIN, end_h=1.0)


@pytest.mark.parametrize("method", ["breach", "fill"])
def test_a_file_is_drained_as_the_terrain_in_memory_is(method):
    terrain = data.jacksboro(rows=60, columns=70)
    whole = data.drain(terrain, method=method)
    drained = files.drain_file(write_terrain(terrain), method=method, parts=5, tile_cells=32)

    assert np.array_equal(read(drained), whole.elevation_m)


def test_the_parts_of_a_file_are_those_cut_out_in_memory():
    terrain = data.drain(data.jacksboro(rows=60, columns=70))
    file = write_terrain(terrain)
    found = files.delineate(file, parts=5, tile_cells=16)

    for part in range(5):
        ours = files.read_part(file, found, part=part)
        theirs = catchments.catchment_part(terrain, part=part, parts=5)
        assert ours.grid == theirs.grid
        assert np.array_equal(ours.elevation_m, theirs.elevation_m, equal_nan=True)


def test_a_flood_in_files_is_the_flood_of_the_whole():
    terrain = valleys()
    whole = flooded(data.drain(terrain))
    file = files.drain_file(write_terrain(terrain), parts=3, tile_cells=16)
    found = files.delineate(file, parts=4, tile_cells=16)
    floods = [flooded(files.read_part(file, found, part=part)) for part in range(4)]
    made = files.flood_file(
        file,
        [files.map_file(flood) for flood in floods],
        [flood.ledger for flood in floods],
        [flood.records for flood in floods],
    )

    assert read(made.map) == pytest.approx(whole.max_depth_m.values, abs=1e-5)
    assert made.ledger.rain_m3 == pytest.approx(whole.ledger.rain_m3)
    assert made.ledger.outflow_south_m3 == pytest.approx(whole.ledger.outflow_south_m3, rel=1e-4)
    assert abs(made.ledger.relative_error) < 1e-12
    ours, theirs = (r.frame().set_index("measure")["value"] for r in (made.records, whole.records))
    assert ours["flooded_area"] == pytest.approx(theirs["flooded_area"])


def test_on_real_ground_the_seams_are_small():
    """What differs is water that spreads over a divide: centimetres, of floods of metres."""
    terrain = data.drain(data.jacksboro(rows=60, columns=60))
    storm = data.design_storm(return_period_years=100.0)

    def flood(ground):
        rough = data.uniform_roughness(ground)
        return inundation(ground, rough, storm, end_h=4.0, dt_max_s=20.0, boundary="normal_depth")

    whole = flood(terrain)
    parts = [catchments.catchment_part(terrain, part=part, parts=4) for part in range(4)]
    joined = catchments.mosaic(terrain, [flood(part) for part in parts])
    off = np.abs(joined.max_depth_m.values - whole.max_depth_m.values)
    wet = whole.max_depth_m.values > 0.1

    assert np.sqrt((off[wet] ** 2).mean()) < 0.01
    assert off.max() < 0.1
    assert joined.ledger.rain_m3 == pytest.approx(whole.ledger.rain_m3)


def test_no_water_leaves_a_part_but_at_the_edge_of_the_terrain():
    terrain = data.drain(valleys())
    part = catchments.catchment_part(terrain, part=1, parts=4)
    inner = terrain.grid.window(part.grid)[1]
    flood = inundation(part, data.uniform_roughness(part), RAIN, end_h=1.0, boundary="normal_depth")

    assert 0 < inner.start < inner.stop < terrain.grid.columns
    assert flood.ledger.outflow_west_m3 == flood.ledger.outflow_east_m3 == 0.0
    assert flood.ledger.outflow_south_m3 > 0.0


def test_ground_without_data_stays_so():
    terrain = valleys()
    holed = terrain.elevation_m.copy()
    holed[20:25, 20:30] = np.nan
    file = write_terrain(replace(terrain, elevation_m=holed))
    found = files.delineate(files.drain_file(file, tile_cells=16), parts=2, tile_cells=16)

    assert np.array_equal(read(found.parts) < 0, np.isnan(holed))


def test_parts_that_are_not_there_are_refused():
    file = write_terrain(valleys(6, 12))
    found = files.delineate(file, parts=1, tile_cells=16)
    with pytest.raises(DataError, match="no part 1; expected 0 to 0"):
        files.read_part(file, found, part=1)
    with pytest.raises(DataError, match="catchments; expected at most as many"):
        files.delineate(file, parts=1000, tile_cells=16)


BOUNDED = """
import resource, sys, tempfile
from pathlib import Path
import numpy as np
from assay.systems.climate_impact import catchment_files as files, data, terrain_files
from assay.systems.climate_impact.inundation import inundation
from assay.systems.climate_impact.rain import Hyetograph
from assay.systems.climate_impact.rasters import Grid

terrain_files.CACHE_MB = 4
tempfile.tempdir = sys.argv[1]
RAIN = Hyetograph(np.array([0.0, 60.0]), np.array([30.0]), "a minute", 10.0)

def write_valleys(path, n):
    grid = Grid(n, n, 10.0, 5e5, 4e6, "EPSG:32616")
    random = np.random.default_rng(0)
    across = 5.0 * np.abs(np.cos(np.pi * (np.arange(n) + 0.5) / 40.0))
    with terrain_files.raster_file(path, grid, dtype="float32") as file:
        for top in range(0, n, 200):
            down = 0.05 * (n - top - np.arange(200))[:, None]
            noise = random.random((200, n))
            file.write(slice(top, top + 200), slice(0, n), across + down + noise)

def flood(path, parts):
    drained = files.drain_file(path, parts=parts, tile_cells=304)
    found = files.delineate(drained, parts=parts, tile_cells=304)
    part = files.read_part(drained, found, part=parts // 2)
    made = inundation(part, data.uniform_roughness(part), RAIN, end_h=0.02)
    files.flood_file(drained, [files.map_file(made)], [made.ledger], [made.records])

def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

for name, n, parts in (("small.tif", 200, 4), ("large.tif", 1200, 40)):
    before = peak_mb()
    write_valleys(Path(sys.argv[1]) / name, n)
    flood(Path(sys.argv[1]) / name, parts)
print(peak_mb() - before, n * n * 8 / 2**20)
"""


def test_memory_is_that_of_a_part_and_not_of_the_terrain(tmp_path):
    """In memory the flood takes more than a dozen arrays as large as the terrain, here a few."""
    ran = subprocess.run(
        [sys.executable, "-c", BOUNDED, str(tmp_path)], capture_output=True, text=True, check=True
    )
    grown, terrain = map(float, ran.stdout.split())
    assert grown < 4.0 * terrain
