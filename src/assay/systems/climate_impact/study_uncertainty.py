"""The study `uncertainty`: how far the damage may be off, and which unknown is to blame.

The truths that the spread is tried on are drawn like the members, but on ground whose roughness
varies in patches: a thing that the members, of one roughness each, are not told.
"""

from typing import Any

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset
from assay.core.estimands import mean
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.climate_impact import data
from assay.systems.climate_impact.reliability import ensemble_reliability
from assay.systems.climate_impact.roughness import patchy_roughness
from assay.systems.climate_impact.uncertainty import (
    ensemble_spread,
    member_risk,
    members_of,
    saltelli_design,
)

POINTS = 8
TRUTHS = 16
RUNS = ("members", "truths")
RISK: dict[str, Any] = {"return_period_years": [2.0, 10.0, 100.0]}


def uncertainty_workflow(points: int = POINTS) -> Workflow:
    """An ensemble over what is not known of a flood risk; ``points`` is a power of two."""
    flow = Workflow("uncertainty")
    terrain = flow.step("terrain", data.jacksboro)
    grid = flow.step("grid", data.drain, terrain=terrain)
    exposure = flow.step("exposure", data.synthetic_settlement, terrain=terrain, currency="USD")
    design = flow.step("design", saltelli_design, points=points)
    members = flow.each(
        "members",
        member_risk,
        over={"member": list(range(members_of(points)))},
        min_ok=points,  # without some the spread is still told, the indices are not
        design=design,
        terrain=grid,
        ground=terrain,
        exposure=exposure,
        **RISK,
    )
    flow.step("spread", ensemble_spread, design=design, members=members)
    nature = flow.step("nature", saltelli_design, points=TRUTHS)
    pattern = flow.step("pattern", patchy_roughness, terrain=grid)
    truths = flow.each(
        "truths",
        member_risk,
        over={"member": list(range(TRUTHS))},
        min_ok=1,
        design=nature,
        terrain=grid,
        ground=terrain,
        exposure=exposure,
        pattern=pattern,
        **RISK,
    )
    flow.step("reliability", ensemble_reliability, design=design, members=members, truths=truths)
    return flow


def uncertainty() -> Study:
    """Spread of the expected annual damage, and the share of it that each unknown explains."""
    many = 16
    return Study(
        uncertainty_workflow(),
        title="How far may the expected annual damage be off, and which unknown is to blame?",
        seeds=3,
        claims=[
            Claim(
                id="U1",
                sentence="The rain that runs off (its share and its depth) explains more than half "
                "of the variance of the expected annual damage",
                source="this study: what an assessor would measure first",
                estimand=mean("runoff_share"),
                direction="above",
                margin=0.5,
            ),
            Claim(
                id="U2",
                sentence="The roughness of the ground explains less than a quarter of it",
                source="this study",
                estimand=mean("first_order", quantity="manning"),
                direction="below",
                margin=0.25,
            ),
        ],
        checks=[
            Check(
                id="K1",
                sentence="Water is conserved in every storm of every member: to 1e-10 of the rain",
                source="conservation of mass",
                measure="mass_error",
                equals=0.0,
                tolerance=1e-10,
            ),
        ],
        presets={
            "tiny": Preset(
                set={
                    "terrain.rows": 48,
                    "terrain.columns": 48,
                    "design.points": 8,
                    "members.member": list(range(members_of(8))),
                    "truths.member": list(range(4)),
                    **{f"{step}.return_period_years": [10.0, 100.0] for step in RUNS},
                    **{f"{step}.end_h": 9.0 for step in RUNS},
                },
                seeds=1,
                note="56 members of 48 x 48 cells, four truths; proves the code path. One seed "
                "tests no claim.",
            ),
            "small": Preset(
                set={
                    "terrain.rows": 96,
                    "terrain.columns": 96,
                    "design.points": many,
                    "members.member": list(range(members_of(many))),
                },
                seeds=5,
                note="112 members of 96 x 96 cells, 16 truths for each of five designs and "
                "settlements.",
            ),
        },
        figures="assay.systems.climate_impact.figures_uncertainty:uncertainty_figures",
    )
