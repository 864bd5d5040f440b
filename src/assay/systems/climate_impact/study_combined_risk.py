"""The study of two hazards: a flood and landslides of the same storms, on the same settlement.

Each hazard is a workflow of its own, from terrain, rain and exposure to losses; the combined
workflow has both as steps.
"""

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset, sweep
from assay.core.estimands import mean, ratio
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.climate_impact import combined, data, drainage, impact, landslides
from assay.systems.climate_impact.inundation import inundation

RETURN_PERIODS_YEARS = (2, 5, 10, 20, 50, 100, 200)
ONSET_YEARS = 1.0
BASE = {"cohesion": 2000.0, "hillside": 0.2}


def flood_workflow() -> Workflow:
    """From a storm to what its flood costs: an open terrain, its rain and exposure."""
    flow = Workflow("flood")
    ground, grid = flow.input("ground"), flow.input("grid")
    rain, exposure = flow.input("rain"), flow.input("exposure")
    roughness = flow.step("roughness", data.uniform_roughness, terrain=grid)
    flood = flow.each(
        "maps",
        inundation,
        terrain=grid,
        roughness=roughness,
        rain=rain,
        end_h=36.0,
        boundary="normal_depth",
        dt_max_s=20.0,
    )
    losses = flow.each(
        "losses",
        impact.storm_losses,
        flood=flood,
        exposure=exposure,
        bed=grid,
        ground=ground,
        region="North America",
        floor_m=0.3,
        dry_below_m=0.0,
    )
    flow.output("losses", losses)
    return flow


def landslide_workflow() -> Workflow:
    """From a storm to what its landslides cost; soil and vulnerability are assumptions."""
    flow = Workflow("landslides")
    ground, grid = flow.input("ground"), flow.input("grid")
    rain, exposure = flow.input("rain"), flow.input("exposure")
    catchment = flow.step("catchment", drainage.specific_catchment, terrain=grid)
    soil = flow.step(
        "soil",
        landslides.slope_soil,
        cohesion_spread=0.5,
        friction_spread=0.15,
        samples=64,
        soil_depth_m=1.5,
    )
    slides = flow.each(
        "maps",
        landslides.shallow_landslides,
        terrain=ground,
        catchment=catchment,
        soil=soil,
        rain=rain,  # reduced by a runoff coefficient of a half, so as much seeps in
    )
    losses = flow.each(
        "losses", landslides.landslide_losses, slides=slides, exposure=exposure, vulnerability=0.5
    )
    flow.output("losses", losses)
    return flow


def combined_risk_workflow() -> Workflow:
    """Two hazards as steps of one workflow: shared terrain, rain and exposure, joint losses."""
    flow = Workflow("combined_risk")
    terrain = flow.step("terrain", data.jacksboro)
    grid = flow.step("grid", data.drain, terrain=terrain)
    over = {"return_period_years": RETURN_PERIODS_YEARS}
    rain = flow.each("rain", data.design_storm, over=over)
    exposure = flow.step("exposure", combined.valley_and_hillside, terrain=terrain, currency="USD")
    shared = {"ground": terrain, "grid": grid, "rain": rain, "exposure": exposure}
    flood = flow.step("flood", flood_workflow(), **shared)
    slides = flow.step("landslides", landslide_workflow(), **shared)
    joint = flow.each(
        "losses", combined.combined_losses, flood=flood, slides=slides, exposure=exposure
    )
    flow.step("risk", impact.annual_damage, losses=joint.losses, onset_years=ONSET_YEARS)
    flow.step(
        "ranking",
        combined.compare_rankings,
        before=flood,
        after=joint.losses,
        onset_years=ONSET_YEARS,
    )
    return flow


def combined_risk() -> Study:
    """Does a second hazard change what a flood assessment says, and of whom?"""
    return Study(
        combined_risk_workflow(),
        title="Does the ranking of buildings change when landslides are counted beside floods?",
        decisions={
            "hazards": sweep("losses.hazards", ["flood", "landslides", "both"]),
            "cohesion": sweep("landslides/soil.cohesion_pa", [500.0, 2000.0]),
            "hillside": sweep("exposure.hillside_share", [0.0, 0.2]),
        },
        seeds=10,
        claims=_claims(),
        checks=_checks(),
        presets={
            "tiny": Preset(
                set={
                    "terrain.rows": 48,
                    "terrain.columns": 48,
                    "rain.return_period_years": [2, 20, 200],
                    "flood/maps.end_h": 12.0,
                },
                seeds=2,
                only={"hillside": [0.2]},
                note="A window of 48 x 48 cells around the valley floor, three storms cut short "
                "after 12 hours: too gentle for slides that would change a ranking. Proves the "
                "code path in under twenty seconds.",
            ),
            "small": Preset(
                seeds=20,
                note="The whole terrain, seven storms and twenty settlements, some minutes on two "
                "cores.",
            ),
        },
        figures="assay.systems.climate_impact.figures_combined_risk:combined_risk_figures",
    )


def _claims() -> list[Claim]:
    return [
        Claim(
            id="R1",
            sentence="Counting landslides beside floods replaces more than one in ten of the "
            "worst-hit buildings",
            source="this study: the ranking that a user would act on first",
            estimand=mean("top_changed", hazards="both", **BASE),
            direction="above",
            margin=0.1,
        ),
        Claim(
            id="R2",
            sentence="Counting landslides beside floods lowers the rank correlation between "
            "all buildings' damages below 0.9",
            source="this study: Kendall's tau-b of two rankings that nearly agree is 0.9",
            estimand=mean("rank_correlation", hazards="both", **BASE),
            direction="below",
            margin=0.9,
        ),
        Claim(
            id="R3",
            sentence="A soil of four times the cohesion more than halves the area that fails "
            "in the 200-year storm",
            source="this study: cohesion is known to a factor of that order at best",
            estimand=ratio(
                "unstable_area",
                "cohesion",
                2000.0,
                500.0,
                hazards="landslides",
                hillside=0.2,
                return_period_years=200,
            ),
            direction="below",
            margin=-0.5,
        ),
    ]


def _checks() -> list[Check]:
    return [
        Check(
            id="K1",
            sentence="The combined loss of a building is never below the loss by either hazard",
            source="a second hazard takes nothing away",
            measure="below_either",
            at_most=0.0,
        ),
        Check(
            id="K2",
            sentence="The combined loss of a building is never above its worth",
            source="a building cannot be lost twice",
            measure="above_worth",
            at_most=1e-12,
        ),
        Check(
            id="K3",
            sentence="Water is conserved: in every storm the volumes add up to 1e-10 of the rain",
            source="conservation of mass",
            measure="mass_error",
            equals=0.0,
            tolerance=1e-10,
        ),
    ]
