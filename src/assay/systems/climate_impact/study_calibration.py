"""The study of calibration: how many simulations it takes to find a roughness from a few stages.

A twin experiment: the stages come from the solver itself, with a hidden roughness and noise. It
says how good the samplers are, and what stages can tell; nothing about the solver.
"""

from typing import Any

from assay.core.claims import Check, Claim, Monotone
from assay.core.decisions import Preset, assign, sweep
from assay.core.estimands import difference
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.climate_impact import twins, water
from assay.systems.climate_impact.calibration import calibrate

MODEL: dict[str, Any] = {"end_h": 2.0, "normal_slope": 0.0025}
SIDES = {"south": "normal_depth"}


def calibration_workflow() -> Workflow:
    """A valley, a steady river, the stages of a hidden roughness, and the search for it."""
    flow = Workflow("calibration")
    terrain = flow.step("terrain", twins.synthetic_valley)
    river = flow.step(
        "river", water.river_inflow, terrain=terrain, x=1.0, y=-1.0, discharge_m3_per_s=[60.0]
    )
    twin = flow.step(
        "twin", twins.twin_stages, terrain=terrain, rivers=[river], boundary=SIDES, **MODEL
    )
    fit = flow.step(
        "fit",
        calibrate,
        terrain=terrain,
        observed=twin.stages,
        rivers=[river],
        runs=36,
        boundary=SIDES,
        **MODEL,
    )
    flow.step("score", twins.score_twin, fit=fit, twin=twin)
    return flow


def calibration() -> Study:
    """Three samplers with the same budget look for the roughness behind a few noisy stages."""
    return Study(
        calibration_workflow(),
        title="How many simulations does it take to find a roughness from five peak stages?",
        decisions={
            "sampler": sweep("fit.sampler", ["grid", "lhs", "bayes"]),
            "fitted": {
                "roughness": [],
                "roughness and flow": [assign("fit.flow_low", 0.5), assign("fit.flow_high", 2.0)],
            },
        },
        seeds=10,
        claims=[
            Claim(
                id="B1",
                sentence="The Bayesian sampler needs no more runs than a Latin hypercube to reach "
                "the same misfit, one run more or less",
                source="this study; the framework's follow-up (arXiv 2311.16196) names Bayesian "
                "sampling without numbers",
                estimand=difference("runs_needed", "sampler", "bayes", "lhs", fitted="roughness"),
                direction="below",
                margin=1.0,
            ),
            Claim(
                id="B2",
                sentence="The Bayesian sampler needs no more runs than a grid to reach the same "
                "misfit, one run more or less",
                source="this study",
                estimand=difference("runs_needed", "sampler", "bayes", "grid", fitted="roughness"),
                direction="below",
                margin=1.0,
            ),
            Claim(
                id="B3",
                sentence="Where the flow is fitted too, the roughness found is off by at least a "
                "tenth more",
                source="expected: uniform flow depends on the product of roughness and discharge",
                estimand=difference(
                    "manning_error", "fitted", "roughness and flow", "roughness", sampler="bayes"
                ),
                direction="above",
                margin=0.1,
            ),
        ],
        checks=[
            Check(
                id="K1",
                sentence="More runs never leave a larger best misfit",
                source="by definition",
                measure="best_misfit",
                monotone=Monotone(along="runs", order="non-increasing"),
            ),
        ],
        presets={
            "tiny": Preset(
                set={
                    "terrain.rows": 24,
                    "terrain.columns": 12,
                    "twin.end_h": 0.75,
                    "fit.end_h": 0.75,
                    "fit.runs": 16,
                },
                seeds=5,
                note="A valley of 24 x 12 cells and 16 runs for each sampler: proves the code path "
                "in under twenty seconds.",
            ),
            "small": Preset(
                seeds=20,
                note="A valley of 48 x 24 cells, 36 runs for each sampler and twenty hidden "
                "roughnesses; some minutes on two cores.",
            ),
        },
        figures="assay.systems.climate_impact.figures_calibration:calibration_figures",
    )
