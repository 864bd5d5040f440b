"""Parts of a terrain that exchange no water, and the whole put together again."""

import numpy as np
import pytest

from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.errors import DataError
from assay.systems.climate_impact import catchments, data
from assay.systems.climate_impact.inundation import inundation
from assay.systems.climate_impact.rain import Hyetograph
from assay.systems.climate_impact.rasters import Grid, Roughness, Terrain

RAIN = Hyetograph(np.array([0.0, 1800.0]), np.array([30.0]), "half an hour", 10.0)


def roof(rows=8, columns=12, ridge=6):
    """A ridge along a column: water runs west or east and never meets."""
    height = -np.abs(np.arange(columns) - (ridge - 0.5))
    bed = 100.0 + np.broadcast_to(height, (rows, columns)) + 0.001 * np.arange(rows)[:, None]
    return Terrain(bed.astype(float), Grid(rows, columns, 10.0, 0.0, 80.0, "EPSG:32616"), "roof")


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_parts_are_disjoint_and_leave_nothing_out(parts):
    terrain = data.drain(data.jacksboro(rows=40, columns=50))
    counted = sum(
        np.isfinite(catchments.catchment_part(terrain, part=p, parts=parts).elevation_m).sum()
        for p in range(parts)
    )

    assert counted == terrain.elevation_m.size


def test_two_sides_of_a_ridge_flood_as_they_do_together():
    terrain = roof()
    rough = Roughness(np.full(terrain.elevation_m.shape, 0.03), terrain.grid)
    whole = inundation(terrain, rough, RAIN, end_h=1.0)
    floods = []
    for part in range(2):
        piece = catchments.catchment_part(terrain, part=part, parts=2)
        local = catchments.part_of_roughness(rough, piece)
        floods.append(inundation(piece, local, RAIN, end_h=1.0))
    parts = catchments.mosaic(terrain, floods)

    assert parts.max_depth_m.values == pytest.approx(whole.max_depth_m.values, abs=1e-5)
    assert parts.ledger.rain_m3 == pytest.approx(whole.ledger.rain_m3)
    assert abs(parts.ledger.relative_error) < 1e-12
    ours, theirs = (
        dict(zip(m.records.frame()["measure"], m.records.frame()["value"], strict=True))
        for m in (parts, whole)
    )
    assert ours["rain_volume"] == pytest.approx(theirs["rain_volume"])
    assert ours["flooded_area"] == pytest.approx(theirs["flooded_area"])


def test_a_study_floods_its_catchments_side_by_side_and_measures_the_seams(tmp_path):
    flow = Workflow("parts")
    terrain = flow.step("terrain", data.jacksboro, rows=40, columns=40)
    grid = flow.step("grid", data.drain, terrain=terrain)
    rough = flow.step("rough", data.uniform_roughness, terrain=grid)
    rain = flow.step("rain", data.design_storm, return_period_years=100)
    piece = flow.each(
        "piece", catchments.catchment_part, over={"part": [0, 1, 2]}, terrain=grid, parts=3
    )
    local = flow.each("local", catchments.part_of_roughness, roughness=rough, terrain=piece)
    flood = flow.each("flood", inundation, terrain=piece, roughness=local, rain=rain, end_h=3.0)
    together = flow.step("together", catchments.mosaic, terrain=grid, floods=flood)
    whole = flow.step("whole", inundation, terrain=grid, roughness=rough, rain=rain, end_h=3.0)
    exposure = flow.step("exposure", data.synthetic_settlement, terrain=terrain, count=50)
    flow.step("seams", catchments.seams, whole=whole, parts=together, exposure=exposure)
    run = Study(flow).run(workers=2, store=tmp_path, progress=False, report=False)

    assert run.ok, run.summary["errors"]
    off = run.records.set_index("measure")["value"]
    assert 0.0 <= off["seam_assets"] <= 1.0
    assert np.isfinite(off["seam_rmse"])


def test_parts_that_are_not_there_are_refused():
    terrain = roof()
    with pytest.raises(DataError, match="no part 2; expected 0 to 1"):
        catchments.catchment_part(terrain, part=2, parts=2)
    with pytest.raises(DataError, match="the terrain has 2 catchments; expected at most as many"):
        catchments.catchment_part(terrain, part=1, parts=3)
