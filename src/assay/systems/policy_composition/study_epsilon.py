"""The study `epsilon`: how much slack, in still air and in noise."""

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset, sweep
from assay.core.estimands import difference, mean
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.policy_composition.evaluate import calibrated, evaluate, scale_invariance
from assay.systems.policy_composition.study import (
    COARSE,
    MEASURED,
    NOTES,
    OWN,
    TWO,
    exactness,
)
from assay.systems.policy_composition.train import compose, solve_tasks

EPSILONS = [0.1, 0.25, 0.63, 1.0, 1.58, 3.98, 10.0, 100.0]
NOISES = [0.0, 0.1, 0.2, 0.5]
REVIEWS = "public reviews of Rietz et al. 2024"


def epsilon_workflow() -> Workflow:
    """The obstacle above the top; without noise, what scaling changes and a search for epsilon."""
    flow = Workflow("epsilon")
    solved = flow.step("tasks", solve_tasks, tasks=TWO, nodes=41, per_axis=9)
    made = flow.step("composite", compose, policies=solved.policies, order=TWO)
    flow.step("measured", evaluate, composite=made.composite)
    still = flow.step("still", solve_tasks, tasks=TWO, nodes=41, per_axis=9)
    flow.step("scaled", scale_invariance, policies=still.policies)
    flow.step("calibration", calibrated, policies=still.policies)
    return flow


def epsilon() -> Study:
    """How much may the obstacle's level give away, and what does noise do to its promise?"""
    return Study(
        epsilon_workflow(),
        title="How much slack does a priority need, and when is it too much?",
        decisions={
            "epsilon": sweep("composite.epsilon", EPSILONS),
            "method": sweep("composite.method", ["zero-shot", "adapted"]),
            "noise": sweep("tasks.sigma", NOISES),
        },
        seeds=3,
        claims=_claims(),
        checks=[*exactness(noisy=True), *_checks()],
        presets={
            "tiny": Preset(
                set={**COARSE, "still.nodes": 31, "still.per_axis": 7, "calibration.starts": 40},
                only={"epsilon": [1.0, 10.0], "noise": [0.0, 0.5]},
                seeds=2,
                note="Two epsilons on a coarse grid, without and with noise, forty starts: seconds "
                "once the solver is compiled.",
            ),
            "small": Preset(
                note="Eight epsilons, four noises, both methods, 41 x 41 states, 81 actions, 300 "
                "starts, three seeds: minutes on two cores.",
            ),
        },
        figures="assay.systems.policy_composition.figures:epsilon_figures",
    )


def _checks() -> list[Check]:
    return [
        Check(
            id="K4",
            sentence="Without noise nothing meets the obstacle at epsilon 1",
            source=MEASURED,
            measure="collision_rate",
            where={"epsilon": 1.0, "noise": 0.0},
            equals=0.0,
        ),
        Check(
            id="K5",
            sentence="The mask stays the same if the first level's rewards are multiplied by a "
            "thousand, its epsilon and temperature with them",
            source=f"exact statement; {NOTES}",
            measure="mask_difference",
            equals=0.0,
        ),
        Check(
            id="K6",
            sentence="The values of the level below stay the same then",
            source=f"exact statement; {NOTES}",
            measure="value_difference",
            equals=0.0,
            tolerance=1e-9,
        ),
        Check(
            id="K7",
            sentence="At the epsilon that is searched for 1 collision in 100 episodes at most 2 in "
            "100 meet the obstacle, from starts that the search has not seen",
            source=OWN,
            measure="held_out_rate",
            at_most=0.02,
        ),
        Check(
            id="K8",
            sentence="The search takes at most ten evaluations",
            source=OWN,
            measure="calibration_evaluations",
            at_most=10.0,
        ),
    ]


def _claims() -> list[Claim]:
    return [
        Claim(
            id="E1",
            sentence="Too little slack starves the level below: at 0.1 the adapted top earns at "
            "least 10 less per episode than at 1, without noise",
            source=f"{REVIEWS}; the size is this study's",
            estimand=difference(
                "return", "epsilon", 0.1, 1.0, task="top", method="adapted", noise=0.0
            ),
            direction="below",
            margin=-10.0,
        ),
        Claim(
            id="E2",
            sentence="Too much slack loses the guarantee: at 100 more than half of the episodes "
            "meet the obstacle",
            source=f"{REVIEWS}; the size is this study's",
            estimand=mean("collision_rate", epsilon=100.0, method="adapted", noise=0.0),
            direction="above",
            margin=0.5,
        ),
        Claim(
            id="E3",
            sentence="Where slack is large, at 10, adapting spares the obstacle's level at least "
            "20 of its reward per episode, without noise",
            source=OWN,
            estimand=difference(
                "return",
                "method",
                "adapted",
                "zero-shot",
                task="obstacle",
                epsilon=10.0,
                noise=0.0,
            ),
            direction="above",
            margin=20.0,
        ),
        Claim(
            id="E4",
            sentence="In noise of 0.5 the adapted stack meets the obstacle at epsilon 1 in more "
            "than 1 in 100 episodes: a mask of expectations is no guarantee",
            source=OWN,
            estimand=mean("collision_rate", epsilon=1.0, method="adapted", noise=0.5),
            direction="above",
            margin=0.01,
        ),
    ]
