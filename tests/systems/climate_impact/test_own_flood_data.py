"""The how-to on bringing own data: its files, its study and its commands do what it says."""

import contextlib
import math
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from assay.app.cli import main
from assay.core.component import describe
from assay.core.files import read_study, workflow_from_dict
from assay.systems.climate_impact import data, exposure_files, impact
from assay.systems.climate_impact.damage import JRC_RESIDENTIAL
from assay.systems.climate_impact.rasters import Grid, Raster, write_geotiff

PAGE = (Path(__file__).resolve().parents[3] / "docs/how-to/own-flood-data.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The files of the page, and a valley around its two buildings."""
    gauge, buildings, curve = blocks("csv")
    for name, text in {
        "my-flood.yaml": blocks("yaml")[0],
        "gauge.csv": gauge,
        "buildings.csv": buildings,
        "curve.csv": curve,
    }.items():
        (tmp_path / name).write_text(text)
    across = np.abs(np.arange(24) - 11.5)
    ground = 0.5 * np.arange(24)[:, None] + 0.1 * across**2
    grid = Grid(24, 24, 30.0, 751_080.0, 4_021_260.0, "EPSG:32616")
    write_geotiff(tmp_path / "dem.tif", Raster(ground, grid, "elevation", "m"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_of_the_page_is_understood(folder, capsys):
    commands = [line.partition("#")[0].split() for line in blocks("")[0].splitlines()]

    assert len(commands) == 3
    for words in commands:
        assert words[:2] == ["assay", "run"]
        with contextlib.suppress(SystemExit):
            main([*words[1:], *([] if "--dry-run" in words else ["--dry-run"])])
        assert "2 trials, 27 steps" in capsys.readouterr().out


def test_the_study_of_the_page_runs_on_the_files_of_the_page(folder):
    study = read_study(folder / "my-flood.yaml")

    run = study.run(workers=0, report=False, progress=False, set={"flood.end_h": 0.5})

    assert run.ok, run.summary["errors"]
    assert run.load("exposure").names == ["mill", "school"]
    assert "12 annual maxima" in run.load("statistics").note
    assert "own curve (curve.csv)" in run.load("losses", return_period_years=2).note
    damage = run.records[run.records["measure"] == "expected_annual_damage"]
    assert damage["manning"].tolist() == [0.03, 0.06]
    assert damage["unit"].unique().tolist() == ["EUR/year"]


def test_a_changed_curve_computes_losses_again_but_no_flood(folder):
    first = read_study(folder / "my-flood.yaml").plan()
    (folder / "curve.csv").write_text("depth,factor\n0,0\n1,1\n")
    second = read_study(folder / "my-flood.yaml").plan()

    shared = {first.nodes[n].step for n in first.nodes.keys() & second.nodes.keys()}
    assert "flood" in shared
    assert not shared & {"losses", "risk"}


def test_the_other_way_to_rain_of_the_page_lays_out(folder):
    whole, rain = (yaml.safe_load(text) for text in blocks("yaml"))
    steps = whole["workflow"]["steps"]
    del steps["statistics"]
    steps["rain"] = rain["rain"]

    flow = workflow_from_dict(whole["workflow"], base=folder)

    assert flow.axes()["losses"] == ("rain",)


def test_the_formula_of_the_page_gives_gumbels_parameters_from_two_depths():
    span, below = (float(n) for n in re.search(r"/ ([\d.]+)`.* d2 - ([\d.]+) scale", PAGE).groups())

    def reduced(years):
        return -math.log(-math.log(1 - 1 / years))

    assert span == pytest.approx(reduced(100) - reduced(2), abs=5e-5)
    assert below == pytest.approx(reduced(2), abs=5e-5)


def test_the_page_names_every_region_and_the_defaults_of_the_storm():
    defaults = {n: p.default for n, p in describe(data.design_storm).params.items()}
    text = " ".join(PAGE.split())

    for region in JRC_RESIDENTIAL:
        assert region in text
    for told in (
        f"the exponent {defaults['exponent']}",
        f"runoff coefficient {defaults['runoff_coefficient']}",
        f"a location of {defaults['location_mm']:g} mm and a scale of {defaults['scale_mm']:g} mm",
        f"`dry_below_m` ({describe(impact.storm_losses).params['dry_below_m'].default} m)",
    ):
        assert told in text


def test_every_parameter_the_page_names_exists():
    known = set()
    for made in (
        data.read_terrain, data.fit_rain, data.fitted_storm, data.design_storm,
        exposure_files.read_exposure, impact.storm_losses,
        impact.annual_damage,
    ):  # fmt: skip
        known |= set(describe(made).params)
    for name in ("nodata", "crs", "unit", "reproject", "shape", "area_column", "value_column",
                 "name_column", "currency", "outside", "depth_over", "region", "curves",
                 "asset_type", "dry_below_m", "beyond", "onset_years"):  # fmt: skip
        assert re.search(rf"`{name}\b", PAGE), name
        assert name in known
