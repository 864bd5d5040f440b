"""The flood of June 2007 in Merewether, New South Wales, against what was seen and against TUFLOW.

Australian Rainfall and Runoff, Project 15: a 1 m terrain, houses, a steady peak flow and five peak
stages. TUFLOW itself misses the observations by 0.15 m.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rasterio import Affine
from rasterio.features import rasterize

from assay.systems.climate_impact.rasters import Terrain
from assay.systems.climate_impact.solver import simulate
from assay.systems.climate_impact.terrain import load_terrain

pytestmark = pytest.mark.slow

INFLOW_M3_PER_S, INFLOW_M = 19.7, (382265.0, 6354280.0)
WET_M, NEAR_M = 0.02, 5.0  # one observation lies below the terrain at its point, one just above


@pytest.fixture(scope="module")
def merewether(flood_data) -> Path:
    return flood_data / "merewether"


@pytest.fixture(scope="module")
def terrain(merewether) -> Terrain:
    return load_terrain(merewether / "topography1.zip")


def inside(terrain: Terrain, outlines: list[Path]) -> np.ndarray:
    """Cells whose centre lies in one of the polygons, given as lines of x,y without a header."""
    grid = terrain.grid
    shapes = []
    for outline in outlines:
        corners = np.loadtxt(outline, delimiter=",").tolist()
        shapes.append({"type": "Polygon", "coordinates": [[*corners, corners[0]]]})
    where = Affine(grid.cell_m, 0, grid.west_m, 0, -grid.cell_m, grid.north_m)
    return rasterize(shapes, (grid.rows, grid.columns), transform=where).astype(bool)


def steady_stage(terrain: Terrain, merewether: Path, bed_m: np.ndarray) -> np.ndarray:
    """Water level after ten minutes of the peak flow: steady to the millimetre; NaN where dry."""
    road = inside(terrain, [merewether / "Road" / "RoadPolygon.csv"])
    row, column = terrain.grid.row_column(*(np.array([v]) for v in INFLOW_M))
    flow = simulate(
        bed_m, np.where(road, 0.02, 0.04), cell_m=terrain.grid.cell_m, end_s=600.0,
        inflow=[(int(row[0]), int(column[0]), INFLOW_M3_PER_S)], dry_depth_m=1e-3,
        boundaries={"east": "free", "north": "free"},
    )  # fmt: skip
    assert abs(flow.ledger.relative_error) < 1e-10
    return np.where(flow.depth_m > WET_M, bed_m + flow.depth_m, np.nan)


def deviations(terrain: Terrain, merewether: Path, stage_m: np.ndarray) -> pd.DataFrame:
    """Simulated minus observed and minus TUFLOW's stage, at the nearest wet cell of each point."""
    points = pd.read_csv(
        merewether / "Observations" / "ObservationPoints.csv", skipinitialspace=True
    )
    wet = np.argwhere(np.isfinite(stage_m))
    x, y = terrain.grid.centres(wet[:, 0], wet[:, 1])
    found = []
    for point in points.itertuples():
        distance = np.hypot(x - point.x, y - point.y)
        assert distance.min() < NEAR_M
        found.append(stage_m[tuple(wet[distance.argmin()])])
    return pd.DataFrame(
        {
            "observed": np.array(found) - points["stage (ARR Report Final)"],
            "tuflow": np.array(found) - points["TUFLOW (ARR Report Final)"],
        }
    )


def accepted(off: pd.DataFrame) -> bool:
    rmse = (off**2).mean() ** 0.5
    return bool(
        rmse["observed"] <= 0.17 and rmse["tuflow"] <= 0.08 and off["tuflow"].abs().max() <= 0.15
    )


@pytest.mark.parametrize("houses", ["walls", "3 m higher"])
def test_the_flood_around_the_houses_is_that_of_2007(terrain, merewether, houses):
    built = inside(terrain, sorted((merewether / "houses").glob("*.csv")))
    assert 0.9 * 6443 < built.sum() < 6443  # m2: the 60 outlines, some reach beyond the terrain
    raised = np.nan if houses == "walls" else 3.0
    bed = terrain.elevation_m + np.where(built, raised, 0.0)
    off = deviations(terrain, merewether, steady_stage(terrain, merewether, bed))
    assert accepted(off), f"\n{off.round(3)}\nrmse {((off**2).mean() ** 0.5).round(3).to_dict()}"


def test_the_flood_without_houses_is_not_accepted(terrain, merewether):
    off = deviations(terrain, merewether, steady_stage(terrain, merewether, terrain.elevation_m))
    assert not accepted(off)
