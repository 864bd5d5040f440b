"""The studies of this system: which components are joined, what is varied, what is claimed."""

from assay.core.claims import Check, Claim, Monotone
from assay.core.decisions import Preset, assign, sweep
from assay.core.estimands import mean, ratio
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.climate_impact import data, impact
from assay.systems.climate_impact.inundation import inundation

RETURN_PERIODS_YEARS = (2, 5, 10, 20, 50, 100, 200)
EAD = "expected_annual_damage"


def flood_risk_workflow() -> Workflow:
    """From a terrain and storms of many return periods to the damage expected in a year."""
    flow = Workflow("flood_risk")
    terrain = flow.step("terrain", data.jacksboro)
    coarse = flow.step("coarse", data.coarsen, terrain=terrain)
    grid = flow.step("grid", data.drain, terrain=coarse)
    roughness = flow.step("roughness", data.uniform_roughness, terrain=grid)
    over = {"return_period_years": RETURN_PERIODS_YEARS}
    rain = flow.each("rain", data.design_storm, over=over)
    flood = flow.each(
        "flood",
        inundation,
        terrain=grid,
        roughness=roughness,
        rain=rain,
        end_h=36.0,  # until the water has passed, also over rough ground
        boundary="normal_depth",
        dt_max_s=20.0,
    )
    exposure = flow.step("exposure", data.synthetic_settlement, terrain=terrain, currency="USD")
    losses = flow.each(
        "losses",
        impact.storm_losses,
        flood=flood,
        exposure=exposure,
        bed=grid,
        ground=terrain,  # a building beside a carved bed stands above it
        region="North America",
        floor_m=0.3,  # an assumption, as are the value of buildings and the rain
        dry_below_m=0.0,
    )
    flow.step("risk", impact.annual_damage, losses=losses, onset_years=1.0)
    return flow


def flood_risk() -> Study:
    """The main study: flood risk of the built-in landscape and a synthetic settlement on it."""
    return Study(
        flood_risk_workflow(),
        title="What do floods cost in a year, and how much does that depend on the model?",
        decisions={
            "cells": {"native": [], "doubled": assign("coarse.factor", 2)},
            "manning": sweep("roughness.manning", [0.03, 0.06]),
            "pits": sweep("grid.method", ["breach", "fill"]),
        },
        seeds=10,
        claims=[
            Claim(
                id="F1",
                sentence="Doubling the cell size changes the expected annual damage by less than "
                "a quarter",
                source="this study: a tolerance a user would accept, not a statement of the paper",
                estimand=ratio(EAD, "cells", "doubled", "native", manning=0.03, pits="breach"),
                direction="within",
                margin=0.25,
            ),
            Claim(
                id="F2",
                sentence="Doubling the roughness of the ground raises the expected annual damage",
                source="this study: slower water stands deeper (Manning's equation)",
                estimand=ratio(EAD, "manning", 0.06, 0.03, cells="native", pits="breach"),
                direction="above",
            ),
            Claim(
                id="F3",
                sentence="Storms rarer than ten years cause more than half of the expected "
                "annual damage",
                source="this study, with no loss in storms of up to one year",
                estimand=mean("share_beyond_10_years", cells="native", manning=0.03, pits="breach"),
                direction="above",
                margin=0.5,
            ),
            Claim(
                id="F4",
                sentence="Filling the pits of the elevation model instead of breaching them "
                "changes the expected annual damage by less than a quarter",
                source="this study: a choice that few assessments report",
                estimand=ratio(EAD, "pits", "fill", "breach", cells="native", manning=0.03),
                direction="within",
                margin=0.25,
            ),
        ],
        checks=[
            Check(
                id="K1",
                sentence="Water is conserved: in every storm the volumes add up to 1e-10 of the "
                "rain",
                source="conservation of mass",
                measure="mass_error",
                equals=0.0,
                tolerance=1e-10,
            ),
            Check(
                id="K2",
                sentence="A rarer storm never lowers the loss",
                source="expected: more rain of the same shape stands deeper, and damage grows "
                "with depth",
                measure="loss",
                monotone=Monotone(along="return_period_years"),
            ),
        ],
        presets={
            "tiny": Preset(
                set={"terrain.rows": 128, "terrain.columns": 128},
                note="A window of 128 x 128 cells around the valley floor. Proves the code path in "
                "under a minute on two cores.",
            ),
            "small": Preset(
                seeds=20,
                note="The whole terrain and twice as many settlements, some minutes on two cores.",
            ),
        },
        figures="assay.systems.climate_impact.figures:flood_risk_figures",
    )
