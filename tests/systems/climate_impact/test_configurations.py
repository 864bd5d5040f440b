"""The framework's promise: every hazard model, driver and impact model goes with every other."""

import itertools
from pathlib import Path

import pytest

from assay.core.component import component
from assay.core.files import read_study
from assay.core.study import Study
from assay.core.task import task
from assay.core.workflow import Workflow
from assay.systems.climate_impact import data, impact, scenarios, series, storms, weather
from assay.systems.climate_impact.finite_volume import shallow_water
from assay.systems.climate_impact.inundation import inundation
from assay.systems.climate_impact.learned import learned_inundation, write_model

EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "flood").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_every_configuration_in_a_file_runs(path, tmp_path):
    run = read_study(path).run(store=tmp_path, workers=0, progress=False)

    assert run.ok, run.summary["errors"]
    assert len(run.records)


def observed(flow, storm):
    return flow.step(
        "rain", series.observed_rain, path=storm, return_period_years=50.0, rain_column="rain"
    )


def design(flow, storm):
    return flow.step("rain", data.design_storm, return_period_years=50.0)


def warmer(flow, storm):
    rain = flow.step("today", data.design_storm, return_period_years=50.0)
    return flow.step("rain", scenarios.scale_rain, rain=rain, warming_k=2.0)


def generated(flow, storm):
    model = flow.step(
        "today", weather.stated_weather, wet_after_dry=0.3, wet_after_wet=0.5, shape=0.7,
        scale_mm=15.0,
    )  # fmt: skip
    days = flow.step("days", weather.generate_weather, model=model, years=50)
    events = flow.step("events", storms.storm_events, daily=days, events=1)
    return flow.step("rain", storms.cascade_storm, events=events, event=0, duration_h=6.0)


@component
def untrained() -> Path:
    """A net that has learned nothing: what is tried is whether it fits, not what it says."""
    import torch

    from assay.systems.climate_impact.surrogate import UNet

    torch.manual_seed(0)
    write_model(task().scratch() / "model", UNet(4, 2), {"steps": 0})
    return task().scratch() / "model"


def uncertain(flow):
    return {"curve": flow.step("curve", impact.uncertain_curve, region="Asia")}


def continental(flow):
    return {"region": "Europe"}


HAZARDS = {"inertial": inundation, "full": shallow_water, "learned": learned_inundation}
DRIVERS = {"observed": observed, "design": design, "warmer": warmer, "generated": generated}
IMPACTS = {"continental": continental, "uncertain": uncertain}
COMBINATIONS = list(itertools.product(HAZARDS, DRIVERS, IMPACTS))


@pytest.mark.parametrize(("hazard", "driver", "curve"), COMBINATIONS)
def test_every_hazard_goes_with_every_driver_and_every_impact(hazard, driver, curve, tmp_path):
    flow = Workflow("flow")
    terrain = flow.step("terrain", data.jacksboro, rows=20, columns=20)
    grid = flow.step("grid", data.drain, terrain=terrain)
    rough = flow.step("rough", data.uniform_roughness, terrain=grid)
    rain = DRIVERS[driver](flow, EXAMPLES[0].parent / "storm.csv")
    made = {"model": flow.step("model", untrained)} if hazard == "learned" else {"end_h": 3.0}
    flood = flow.step("flood", HAZARDS[hazard], terrain=grid, roughness=rough, rain=rain, **made)
    exposure = flow.step("exposure", data.synthetic_settlement, terrain=terrain, count=20)
    losses = flow.step(
        "losses", impact.storm_losses, flood=flood, exposure=exposure, **IMPACTS[curve](flow)
    )
    flow.step("risk", impact.annual_damage, losses=[losses])
    run = Study(flow).run(workers=0, store=tmp_path, progress=False, report=False)

    assert run.ok, run.summary["errors"]
    damage = run.records.set_index("measure")["value"]["expected_annual_damage"]
    assert damage >= 0.0
