"""The study `surrogate`: a net that learned from the solver, on storms and ground it never saw."""

from typing import Any

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset, assign
from assay.core.estimands import difference, mean, ratio
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.climate_impact import data, ensemble, evaluate
from assay.systems.climate_impact.inundation import inundation
from assay.systems.climate_impact.learned import learned_inundation
from assay.systems.climate_impact.train import train_surrogate

TILES = 64
TRAINED_YEARS = [2.0, 5.0, 20.0, 50.0, 200.0]
HELD_OUT_YEARS = [10.0, 100.0, 500.0]
"""Between the storms trained on, and one beyond."""
CASES = [
    ("storm", "survey"),
    ("storm", "fractal"),
    ("block", "survey"),
    ("terrain", "fractal"),
]
SIMULATION: dict[str, Any] = {"end_h": 18.0, "boundary": "normal_depth", "dt_max_s": 20.0}
SIMULATED = ("flood", "truth", "speed")


def cases(places: int) -> dict[str, list[Any]]:
    """The cases to try a model on, several of each sort."""
    every = [(*case, place) for case in CASES for place in range(places)]
    return {name: [case[k] for case in every] for k, name in enumerate(("split", "kind", "place"))}


def surrogate_workflow() -> Workflow:
    """Floods of the solver, a net trained on them, and both on what was held out."""
    flow = Workflow("surrogate")
    survey = flow.step("survey", data.jacksboro)
    terrain = flow.step("terrain", data.drain, terrain=survey)
    grounds = flow.step("grounds", ensemble.hold_out, terrain=terrain)
    tile = flow.each(
        "tile",
        ensemble.training_tile,
        over={"tile": list(range(TILES))},
        terrain=terrain,
        grounds=grounds,
        return_period_years=TRAINED_YEARS,
        duration_h=[3.0, 6.0, 12.0],
    )
    flood = flow.each(
        "flood",
        inundation,
        terrain=tile.terrain,
        roughness=tile.roughness,
        rain=tile.rain,
        **SIMULATION,
    )
    fit = flow.step(
        "fit",
        train_surrogate,
        terrains=tile.terrain,
        roughness=tile.roughness,
        rains=tile.rain,
        depths=flood.max_depth_m,
        steps=500,
    )
    case = flow.each(
        "case", ensemble.held_out_case, over=cases(1), terrain=terrain, grounds=grounds
    )
    storm = flow.each(
        "storm", data.design_storm, over={"return_period_years": HELD_OUT_YEARS}, duration_h=6.0
    )
    ground: dict[str, Any] = {"terrain": case.terrain, "roughness": case.roughness}
    truth = flow.each("truth", inundation, **ground, rain=storm, **SIMULATION)
    learned = flow.each("learned", learned_inundation, **ground, rain=storm, model=fit.model)
    score = flow.each("score", evaluate.compare, case=case, solver=truth, learned=learned)
    flow.step("damage", evaluate.damage_error, comparisons=score)
    timed = flow.step("timed_storm", data.design_storm, return_period_years=100.0)
    flow.each("speed", evaluate.speed, case=case, rain=timed, model=fit.model, **SIMULATION)
    return flow


def surrogate() -> Study:
    """May a learned model stand in for the solver, and where does it fail?"""
    return Study(
        surrogate_workflow(),
        title="May a net that learned from the solver stand in for it on ground it never saw?",
        decisions={
            "floods": {"many": assign("fit.share", 1.0), "few": assign("fit.share", 0.25)},
        },
        seeds=3,
        claims=_claims(),
        checks=[
            Check(
                id="K1",
                sentence="Water is conserved in every flood that is learned from or compared with: "
                "to 1e-10 of the rain",
                source="conservation of mass",
                measure="mass_error",
                equals=0.0,
                tolerance=1e-10,
            ),
        ],
        presets={
            "tiny": Preset(
                set={
                    "grounds.size": 32,
                    "tile.tile": list(range(8)),
                    "tile.duration_h": [3.0],
                    "storm.return_period_years": [10.0, 100.0],
                    "storm.duration_h": 3.0,
                    "timed_storm.duration_h": 3.0,
                    **{f"{step}.end_h": 6.0 for step in SIMULATED},
                    "fit.channels": 8,
                    "fit.steps": 80,
                },
                seeds=2,
                note="Eight floods of 32 x 32 cells, 80 steps: proves the code path in under "
                "twenty seconds. The net has learned little by then.",
            ),
            "small": Preset(
                set={f"case.{name}": values for name, values in cases(3).items()},
                note="64 floods of 64 x 64 cells, 500 steps; some minutes on two cores.",
            ),
        },
        figures="assay.systems.climate_impact.figures_surrogate:surrogate_figures",
    )


def _claims() -> list[Claim]:
    many = {"floods": "many"}
    return [
        Claim(
            id="S1",
            sentence="On terrain never trained on, more than half of the cells that either "
            "model floods deeper than 0.1 m are flooded by both",
            source="this study: a critical success index of 0.5, which a user would ask for at "
            "least",
            estimand=mean("csi_0p1", split="terrain", **many),
            direction="above",
            margin=0.5,
        ),
        Claim(
            id="S2",
            sentence="The learned model takes less than a tenth of the solver's processor time",
            source="this study: less is not worth the loss in accuracy; includes reading the "
            "model, not its training",
            estimand=mean("speed_up", **many),
            direction="above",
            margin=10.0,
        ),
        Claim(
            id="S3",
            sentence="On terrain never trained on the learned model is less accurate than on "
            "terrain trained on, in the same storms, which it never saw either",
            source="expected: accuracy drops on unseen terrain and must be reported",
            estimand=difference("csi_0p1", "split", "terrain", "storm", kind="fractal", **many),
            direction="below",
        ),
        Claim(
            id="S4",
            sentence="The expected annual damage by learned depths is off by less than a "
            "quarter on terrain never trained on",
            source="this study: the tolerance of the main study for a change of cell size",
            estimand=mean("ead_error", split="terrain", **many),
            direction="below",
            margin=0.25,
        ),
        Claim(
            id="S5",
            sentence="Four times as many floods to learn from lower the error of the depth on "
            "terrain never trained on",
            source="this study: whether more simulations are worth their time",
            estimand=ratio("wet_rmse", "floods", "many", "few", split="terrain"),
            direction="below",
        ),
    ]
