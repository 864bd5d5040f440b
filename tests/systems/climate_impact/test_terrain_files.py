"""Terrains on disk: what is taken in is what is read in memory, and the same things are refused."""

import tempfile

import numpy as np
import pytest
import rasterio

from assay.errors import DataError
from assay.systems.climate_impact import terrain as terrains
from assay.systems.climate_impact.rasters import Grid, Terrain
from assay.systems.climate_impact.terrain_files import raster_file, terrain_file, write_terrain

UTM = "EPSG:32616"


@pytest.fixture(autouse=True)
def _scratch(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def geotiff(path, values, crs=UTM, transform=None, units="", **more):
    values = np.atleast_3d(values.T).T if values.ndim == 2 else values
    with rasterio.open(
        path, "w", driver="GTiff", count=len(values), height=values.shape[1],
        width=values.shape[2], dtype=str(values.dtype), crs=crs,
        transform=transform or rasterio.Affine(30.0, 0, 500_000.0, 0, -30.0, 4_000_000.0), **more,
    ) as file:  # fmt: skip
        file.write(values)
        if units:
            file.set_band_unit(1, units)
    return path


def read(path):
    with raster_file(path) as file:
        return file.read(slice(0, file.shape[0]), slice(0, file.shape[1])), file


@pytest.mark.parametrize("kind", ["int16", "float32", "float64"])
@pytest.mark.parametrize("units", ["", "ft"])
def test_a_file_holds_what_is_read_in_memory(tmp_path, kind, units):
    ground = (np.random.default_rng(0).random((40, 53)) * 1000.0).astype(kind)
    ground[3, 4] = -999
    path = geotiff(tmp_path / "a.tif", ground, units=units, nodata=-999)
    whole = terrains.load_terrain(path)
    values, file = read(terrain_file(path=path, nodata="wall"))

    assert np.array_equal(values, whole.elevation_m, equal_nan=True)
    assert file.grid == whole.grid


def test_a_terrain_in_memory_becomes_a_file_and_back(tmp_path):
    ground = np.random.default_rng(0).random((5, 300))
    terrain = Terrain(ground, Grid(5, 300, 12.5, 1000.0, 2000.0, UTM), "a")
    values, file = read(write_terrain(terrain))

    assert np.array_equal(values, ground)
    assert file.grid == terrain.grid


def test_a_window_is_read_alone(tmp_path):
    ground = np.arange(600.0).reshape(20, 30)
    path = geotiff(tmp_path / "a.tif", ground)
    with raster_file(path) as file:
        assert np.array_equal(file.read(slice(3, 9), slice(10, 14)), ground[3:9, 10:14])


GROUND = np.full((4, 5), 100.0)
HOLE = np.where(np.arange(20).reshape(4, 5) == 7, -32768.0, GROUND)


@pytest.mark.parametrize(
    ("values", "how", "said", "message"),
    [
        (GROUND, {"crs": "EPSG:4326"}, {}, "where metres are needed"),
        (GROUND, {"crs": None}, {}, "has no coordinate system"),
        (np.stack([GROUND, GROUND]), {}, {}, "holds 2 bands"),
        (GROUND, {"transform": rasterio.Affine(30, 0, 5e5, 0, -20, 4e6)}, {}, "no square cells"),
        (HOLE, {}, {}, "an elevation of -32768 m.*missing_value"),
        (HOLE, {}, {"missing_value": -32768.0}, "cells without data.*nodata=wall"),
    ],
)
def test_what_is_no_terrain_in_metres_is_refused(tmp_path, values, how, said, message):
    path = geotiff(tmp_path / "a.tif", values, **how)
    with pytest.raises(DataError, match=message):
        terrain_file(path=path, **said)


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "a.tif").write_text("no raster")
    with pytest.raises(DataError, match="cannot be read as a raster"):
        terrain_file(path=tmp_path / "a.tif")
