"""The learned model: what it sees of ground and rain, its net, its folder, its place in a study."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from assay import Study, Workflow, component, use
from assay.errors import DataError
from assay.systems.climate_impact import data, terrain
from assay.systems.climate_impact.accumulation import drained_cells
from assay.systems.climate_impact.inundation import inundation
from assay.systems.climate_impact.learned import learned_inundation, read_model, write_model
from assay.systems.climate_impact.rain import Hyetograph
from assay.systems.climate_impact.rasters import Grid, Roughness, Terrain, uniform_roughness
from assay.systems.climate_impact.surrogate import (
    GROUND,
    RAIN,
    Scales,
    UNet,
    ground_planes,
    predict_depth_m,
    rain_numbers,
)
from assay.systems.climate_impact.water import Inflow

STORM = Hyetograph(np.array([0.0, 1800.0, 7200.0, 9000.0]), np.array([0.0, 8.0, 20.0]), "s", 50.0)


def ground_of(elevation, cell_m=20.0):
    rows, columns = elevation.shape
    return Terrain(elevation, Grid(rows, columns, cell_m, 0.0, 0.0, "EPSG:32616"), "ground")


def untrained(channels=4, levels=3, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = UNet(channels, levels)
    net.head.bias.data += 0.5  # so that some of it is wet
    return net.eval()


def hills(rows=13, columns=21):
    return np.random.default_rng(3).uniform(0.0, 9.0, (rows, columns))


# -- what it sees -------------------------------------------------------------------------------


def test_water_is_shared_by_the_root_of_the_fall_and_never_runs_diagonally():
    cells = drained_cells(np.array([[9.0, 5.0, 9.0], [8.0, 9.0, 8.0], [-9.0, 0.0, -9.0]]))

    # the middle falls by 4, 1, 1 and 9: shares of 2/7, 1/7, 1/7 and 3/7; corners by 4 and 1
    assert cells[0, 1] == pytest.approx(1 + 2 / 7 + 2 * 2 / 3)
    assert cells[1, 0] == pytest.approx(1 + 1 / 7 + 1 / 3)
    assert cells[2, 1] == pytest.approx(1 + 3 / 7)
    assert cells[2, 0] == pytest.approx(1 + 1 + 1 / 7 + 1 / 3 + (1 + 3 / 7) / 2)


def test_no_water_is_lost_on_the_way_to_where_it_stays():
    ground = hills()
    ground[4, 5] = np.nan
    cells = drained_cells(ground)

    beside = np.pad(ground, 1, constant_values=np.inf)
    beside = np.nan_to_num(beside, nan=np.inf)
    lowest = np.minimum.reduce(
        [beside[:-2, 1:-1], beside[2:, 1:-1], beside[1:-1, :-2], beside[1:-1, 2:]]
    )
    assert cells[ground < lowest].sum() == pytest.approx(np.isfinite(ground).sum())
    assert cells[4, 5] == 1.0


def test_the_planes_of_an_even_slope_are_known():
    row, column = np.indices((30, 30))
    slope = ground_of(0.06 * 20.0 * row - 0.08 * 20.0 * column)

    planes = ground_planes(slope, uniform_roughness(slope, 0.03))

    assert planes.shape == (len(GROUND), 30, 30)
    assert planes.dtype == np.float32
    assert planes[0] == pytest.approx(0.0, abs=1e-5)
    assert planes[1, 5:-5, 5:-5] == pytest.approx(0.0, abs=1e-5)
    assert planes[2] == pytest.approx(-1.0, abs=1e-5)  # a slope of 0.1
    assert planes[3] == pytest.approx(np.log10(0.03))
    assert planes[4].min() == pytest.approx(np.log10(400.0))
    assert (planes[5] == 0).all()
    assert (planes[6] == 1).all()


def test_a_tower_stands_above_the_mean_of_the_cells_around_it():
    elevation = np.zeros((31, 31))
    elevation[15, 15] = 8.1

    tower = ground_of(elevation)
    planes = ground_planes(tower, uniform_roughness(tower, 0.03))

    assert np.sinh(planes[1, 15, 15]) == pytest.approx(8.1 - 8.1 / 81, rel=1e-5)
    assert np.sinh(planes[1, 19, 11]) == pytest.approx(-0.1, rel=1e-5)
    assert np.sinh(planes[0, 15, 15]) * 10.0 == pytest.approx(8.1 - 8.1 / 961, rel=1e-5)


def test_a_wall_is_told_apart_and_its_height_is_not_seen():
    elevation = hills()
    elevation[3, 4] = np.nan
    planes = ground_planes(ground_of(elevation), uniform_roughness(ground_of(elevation), 0.03))

    assert np.isfinite(planes).all()
    assert planes[5].sum() == planes[5, 3, 4] == 1.0


def test_the_numbers_of_a_storm_are_known():
    """8 mm/h for 1.5 h and 20 mm/h for half an hour, after half a dry hour."""
    told = rain_numbers(STORM, 20.0)

    assert 10.0**told == pytest.approx([22.0, 20.0, 2.0, 20.0], rel=1e-5)
    dry = rain_numbers(Hyetograph(np.array([0.0, 60.0]), np.array([0.0]), "dry", 2.0), 20.0)
    assert dry[:3] == pytest.approx(-3.0)


# -- the net ------------------------------------------------------------------------------------


def test_the_parameters_are_those_of_its_blocks():
    def block(a, b):
        return 9 * a * b + b + 9 * b * b + b + 2 * b * (len(RAIN) + 1)

    down = block(len(GROUND), 4) + block(4, 8) + block(8, 16)
    up = block(16 + 8, 8) + block(8 + 4, 4)
    assert sum(p.numel() for p in untrained(4, 3).parameters()) == down + up + 4 + 1


@pytest.mark.parametrize("shape", [(16, 16), (13, 21), (1, 3)])
def test_a_map_of_any_size_is_what_it_is_with_nothing_around_it(shape):
    net, rain = untrained(), torch.randn(1, len(RAIN))
    net.set_scales(Scales(*(np.full(n, v) for n, v in ((7, 0.3), (7, 2.0), (4, 0.1), (4, 3.0)))))
    ground = torch.randn(1, len(GROUND), *shape)
    ground[:, -1] = 1.0
    around = torch.zeros(1, len(GROUND), 24, 32)
    around[..., : shape[0], : shape[1]] = ground

    with torch.inference_mode():
        alone, inside = net(ground, rain), net(around, rain)

    assert alone.shape == (1, *shape)
    assert alone[0].numpy() == pytest.approx(inside[0, : shape[0], : shape[1]].numpy(), abs=1e-5)


def test_scales_standardise_all_planes_but_the_masks():
    net = untrained()
    net.set_scales(Scales(np.full(7, 2.0), np.full(7, 3.0), np.full(4, 4.0), np.full(4, 5.0)))

    assert net.get_buffer("ground_mean").tolist() == [2.0] * 5 + [0.0] * 2
    assert net.get_buffer("ground_deviation").tolist() == [3.0] * 5 + [1.0] * 2
    assert net.get_buffer("rain_deviation").tolist() == [5.0] * 4


def test_depths_are_never_negative_and_walls_have_none():
    elevation = hills()
    elevation[0, :4] = np.nan
    ground = ground_of(elevation)
    net = untrained()
    net.head.bias.data.fill_(0.0)

    depth = predict_depth_m(net, ground, uniform_roughness(ground, 0.03), STORM)

    assert (np.isnan(depth) == np.isnan(elevation)).all()
    assert np.nanmin(depth) >= 0.0
    net.head.weight.data.fill_(0.0)
    net.head.bias.data.fill_(np.log(3.0))  # log(1 + 2 m)
    level = predict_depth_m(net, ground, uniform_roughness(ground, 0.03), STORM)
    assert level[np.isfinite(level)] == pytest.approx(2.0, rel=1e-6)


def test_the_rain_changes_what_is_predicted():
    ground = ground_of(hills())
    rough = uniform_roughness(ground, 0.03)
    more = Hyetograph(STORM.times_s, 2 * STORM.rain_mm_per_h, "more", 100.0)
    net = untrained()

    assert (predict_depth_m(net, ground, rough, STORM)
            != predict_depth_m(net, ground, rough, more)).any()  # fmt: skip


# -- the component and its folder ---------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    write_model(tmp_path / "model", untrained(), {"floods": 0})
    return tmp_path / "model"


def test_a_model_comes_back_as_it_was_written(folder):
    net, again = untrained(), read_model(folder)

    assert again.state_dict().keys() == net.state_dict().keys()
    assert all((again.state_dict()[k] == v).all() for k, v in net.state_dict().items())
    assert not again.training
    assert json.loads((folder / "config.json").read_text())["channels"] == 4


def test_what_is_not_known_is_nan_and_what_is_recorded_is_of_the_depth(folder):
    ground = ground_of(hills())
    rough = uniform_roughness(ground, 0.03)

    flood = learned_inundation(ground, rough, STORM, folder)

    depth = predict_depth_m(untrained(), ground, rough, STORM)
    assert (flood.max_depth_m.values == depth).all()
    assert flood.max_depth_m.grid == ground.grid
    for unknown in (flood.max_velocity_m_per_s, flood.max_hazard_m2_per_s, flood.arrival_time_h):
        assert np.isnan(unknown.values).all()
        assert unknown.values.shape == depth.shape
    assert np.isnan(flood.ledger).all()
    found = {r["measure"]: r["value"] for r in flood.records}
    assert found == {"max_depth": depth.max(), "flooded_area": (depth > 0.1).sum() * 0.0004}
    assert flood.return_period_years == 50.0


def test_water_that_the_net_does_not_know_is_refused(folder):
    ground = ground_of(hills())
    river = Inflow(10.0, -10.0, np.array([0.0, 60.0]), np.array([1.0, 1.0]))

    with pytest.raises(DataError, match=r"rivers not known to the learned model.*Use inundation"):
        learned_inundation(ground, uniform_roughness(ground, 0.03), STORM, folder, rivers=[river])
    rough = Roughness(np.full((2, 2), 0.03), ground.grid)
    with pytest.raises(DataError, match=r"the roughness has \(2, 2\) cells"):
        learned_inundation(ground, rough, STORM, folder)


def _no_config(folder):
    (folder / "config.json").unlink()


def _other_model(folder):
    _replace(folder, '"assay-flood-unet"', '"bert"')


def _later_format(folder):
    _replace(folder, '"format": 1', '"format": 2')


def _replace(folder, old, new):
    text = (folder / "config.json").read_text()
    assert old in text
    (folder / "config.json").write_text(text.replace(old, new))


def _not_json(folder):
    (folder / "config.json").write_text("{")


def _other_width(folder):
    _replace(folder, '"channels": 4', '"channels": 8')


def _cut_weights(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def _lacks_a_weight(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["head.bias"]
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    "damage",
    [
        _no_config,
        _other_model,
        _later_format,
        _not_json,
        _other_width,
        _cut_weights,
        _lacks_a_weight,
    ],
)
def test_a_folder_that_holds_no_such_model_is_refused_in_one_line(folder, damage):
    damage(folder)

    with pytest.raises(DataError, match="holds no trained flood model") as caught:
        read_model(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


# -- in a study ---------------------------------------------------------------------------------


@component
def a_valley() -> Terrain:
    return ground_of(np.linspace(0, 20, 12)[::-1, None] + np.abs(np.arange(10) - 4.5))


@component
def a_model() -> Path:
    from assay import task

    write_model(task().scratch() / "model", untrained(), {})
    return task().scratch() / "model"


def test_solver_and_net_are_exchanged_by_one_choice(tmp_path):
    flow = Workflow("either")
    ground, model = flow.step("ground", a_valley), flow.step("model", a_model)
    rough = flow.step("rough", data.uniform_roughness, terrain=ground)
    rain = flow.each("rain", data.design_storm, over={"return_period_years": [5.0, 50.0]})
    flow.each("flood", inundation, terrain=ground, roughness=rough, rain=rain, end_h=0.1)
    hazard = {
        "physics": use("flood", inundation),
        "learned": use("flood", learned_inundation, model=model),
    }

    run = Study(flow, decisions={"hazard": hazard}).run(
        store=tmp_path, workers=0, progress=False, report=False
    )

    assert run.ok
    records = run.records
    deepest = records[records["measure"] == "max_depth"]
    assert sorted(deepest["hazard"]) == ["learned", "learned", "physics", "physics"]
    assert set(records[records["hazard"] == "learned"]["measure"]) == {"max_depth", "flooded_area"}
    for trial in range(2):  # both come back from the store, NaN or not
        flood = run.load("flood", trial=trial, return_period_years=5.0)
        assert np.isfinite(flood.max_depth_m.values).all()


def test_the_study_is_listed_without_torch():
    code = (
        "import sys; from assay.systems.climate_impact import study_surrogate as s; s.surrogate();"
        "print([m for m in ('torch', 'safetensors', 'scipy.ndimage') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_real_terrain_of_any_shape_is_predicted(folder, flood_data):
    basin = terrain.load_terrain(
        flood_data / "landlab" / "Square_TestBasin.asc", crs="EPSG:32613", unit="m"
    )

    flood = learned_inundation(basin, uniform_roughness(basin, 0.03), STORM, folder)

    depth = flood.max_depth_m.values
    assert (np.isfinite(depth) == np.isfinite(basin.elevation_m)).all()
