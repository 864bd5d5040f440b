"""The studies of this system: which components are joined, what is varied, what is claimed."""

from assay.core.claims import Check, Claim, Monotone
from assay.core.decisions import Preset, assign, sweep
from assay.core.estimands import mean, ratio
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.climate_impact import data, impact
from assay.systems.climate_impact.inundation import inundation

RETURN_PERIODS_YEARS = (2, 5, 10, 20, 50, 100, 200)
FLOOR_M = 0.3
"""Height of floors above the ground (m), an assumption: less water than that does no damage.

Cells of 80 m have no river bed, so storms that a bed would carry off spread over valley floors as
sheets of 0.1 to 0.3 m.
"""


def flood_risk_workflow() -> Workflow:
    """From a terrain and storms of many return periods to the damage expected in a year."""
    flow = Workflow("flood_risk")
    terrain = flow.step("terrain", data.jacksboro)
    drained = flow.step("drained", data.fill_pits, terrain=terrain)
    coarse = flow.step("coarse", data.coarsen, terrain=drained)
    grid = flow.step("grid", data.fill_pits, terrain=coarse)  # averaging makes new pits
    roughness = flow.step("roughness", data.uniform_roughness, terrain=grid)
    over = {"return_period_years": RETURN_PERIODS_YEARS}
    rain = flow.each("rain", data.design_storm, over=over)
    flood = flow.each("flood", inundation, terrain=grid, roughness=roughness, rain=rain)
    exposure = flow.step("exposure", data.synthetic_settlement, terrain=drained)
    losses = flow.each(
        "losses",
        impact.storm_losses,
        flood=flood,
        exposure=exposure,
        region="North America",
        dry_below_m=FLOOR_M,
    )
    flow.step("risk", impact.annual_damage, losses=losses)
    return flow


def flood_risk() -> Study:
    """The main study: flood risk of the built-in landscape and a synthetic settlement on it."""
    return Study(
        flood_risk_workflow(),
        title="What do floods cost in a year, and how much does that depend on the model?",
        decisions={
            "cells": {"native": [], "doubled": assign("coarse.factor", 2)},
            "manning": sweep("roughness.manning", [0.03, 0.06]),
        },
        seeds=10,
        claims=[
            Claim(
                id="F1",
                sentence="Doubling the cell size changes the expected annual damage by less than "
                "a quarter",
                source="this study: a tolerance a user would accept, not a statement of the paper",
                estimand=ratio("expected_annual_damage", "cells", "doubled", "native"),
                direction="within",
                margin=0.25,
            ),
            Claim(
                id="F2",
                sentence="Doubling the roughness of the ground raises the expected annual damage",
                source="this study: slower water stands deeper (Manning's equation)",
                estimand=ratio("expected_annual_damage", "manning", 0.06, 0.03),
                direction="above",
            ),
            Claim(
                id="F3",
                sentence="Storms rarer than ten years cause more than half of the expected "
                "annual damage",
                source="this study",
                estimand=mean("share_beyond_10_years"),
                direction="above",
                margin=0.5,
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
                source="depth grows with rain everywhere, and damage with depth",
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
