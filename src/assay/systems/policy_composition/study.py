"""The study `oracle`: ways to compose two and three tasks, each computed exactly."""

from typing import Any

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset, assign
from assay.core.estimands import difference, mean
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.policy_composition.evaluate import evaluate
from assay.systems.policy_composition.train import compose, solve_tasks

ALONE, SAFE, VALUES = "top alone", "obstacle alone", "sum of values"
ZERO, ADAPTED, THREE = "zero-shot", "adapted", "adapted, three levels"
SHARP, ROUNDED = "sharp", "nearest node"
TWO = ["obstacle", "top"]
POLICIES: dict[str, dict[str, Any]] = {
    ALONE: {"order": ["top"], "method": "task alone"},
    SAFE: {"order": ["obstacle"], "method": "task alone"},
    VALUES: {"order": TWO, "method": "sum of values"},
    "sum of rewards, 0.1": {"order": TWO, "method": "sum of rewards", "weight": 0.1},
    "sum of rewards, 1": {"order": TWO, "method": "sum of rewards", "weight": 1.0},
    "sum of rewards, 10": {"order": TWO, "method": "sum of rewards", "weight": 10.0},
    ZERO: {"order": TWO, "method": "zero-shot"},
    ADAPTED: {"order": TWO, "method": "adapted"},
    THREE: {"order": ["obstacle", "top", "side"], "method": "adapted"},
}
"""By name: parameters of `compose`; epsilon is 1."""
SEED_PAPER = "Rietz et al. 2022, abstract"
FOLLOW_UP = "Rietz et al. 2024, abstract"
NOTES = "the first author's notes on Rietz et al. 2024"
OWN = "this study"
MEASURED = "measured here: entering costs ten at once, but values count what comes after it too"
COARSE = {"tasks.nodes": 31, "tasks.per_axis": 7, "measured.starts": 40}
"""What makes a study end within seconds."""


def composition_workflow(name: str, tasks: list[str]) -> Workflow:
    """Exact policies of tasks, their composition, and what it does."""
    flow = Workflow(name)
    solved = flow.step("tasks", solve_tasks, tasks=tasks)
    made = flow.step("composite", compose, policies=solved.policies, order=TWO)
    flow.step("measured", evaluate, composite=made.composite)
    return flow


def exactness(*, noisy: bool = False) -> list[Check]:
    """What is exact in every composite; in noise a move does not tell the action."""
    still = "Without noise no" if noisy else "No"
    where = ", in noise those of its nine points" if noisy else ""
    return [
        Check(
            id="K1",
            sentence=f"{still} action outside the mask is ever taken, judged by every move",
            source=f"{NOTES}: priorities hold by construction",
            measure="forbidden_actions",
            equals=0.0,
        ),
        Check(
            id="K2",
            sentence="In every state of the grid every level leaves an action to the next",
            source="exact statement: the best action that the levels above allow is allowed",
            measure="smallest_allowed_share",
            at_least=1e-6,
        ),
        Check(
            id="K3",
            sentence=f"Values are within 0.01 of the exact ones of the grid{where}",
            source="measured: residual of a backup through the look-ahead that acts, over "
            "1 - discount",
            measure="error_bound",
            at_most=0.01,
        ),
    ]


def oracle() -> Study:
    """Which compositions keep out of the obstacle, and which reach the top?"""
    return Study(
        composition_workflow("oracle", ["obstacle", "top", "side"]),
        title="What do tasks in order of priority do that sums of them do not?",
        decisions={
            "policy": {
                name: [assign(f"composite.{key}", value) for key, value in values.items()]
                for name, values in POLICIES.items()
            },
            "critic": {
                SHARP: assign("composite.nearest", False),
                ROUNDED: assign("composite.nearest", True),
            },
        },
        seeds=5,
        claims=_claims(),
        checks=[
            *exactness(),
            *(
                Check(
                    id=id,
                    sentence=f"No episode of the policy '{policy}' ever meets the obstacle, if the "
                    "critic is sharp",
                    source=MEASURED,
                    measure="collision_rate",
                    where={"policy": policy, "critic": SHARP},
                    equals=0.0,
                )
                for id, policy in (("K4", ZERO), ("K5", ADAPTED), ("K6", THREE))
            ),
            Check(
                id="K7",
                sentence="With the sharp critic the sum of values never meets the obstacle either",
                source="measured here, against C5",
                measure="collision_rate",
                where={"policy": VALUES, "critic": SHARP},
                equals=0.0,
            ),
        ],
        presets={
            "tiny": Preset(
                set=COARSE,
                seeds=2,
                note="Nine policies on a coarse grid, with two critics, forty "
                "starts, two seeds: seconds. The very first run compiles the solver.",
            ),
            "small": Preset(
                note="81 x 81 states, 289 actions, 300 starts, five seeds: a few minutes on two "
                "cores.",
            ),
        },
        figures="assay.systems.policy_composition.figures:oracle_figures",
    )


def _claims() -> list[Claim]:
    return [
        Claim(
            id="P1",
            sentence="The policy of the top alone meets the obstacle in more than half of its "
            "episodes",
            source=OWN,
            estimand=mean("collision_rate", policy=ALONE, critic=SHARP),
            direction="above",
            margin=0.5,
        ),
        Claim(
            id="P2",
            sentence="Stacked as they are, policies that know the nearest node meet the obstacle "
            "less often than the sum of their values",
            source=f"{FOLLOW_UP}; the coarse critic is this study's",
            estimand=difference("collision_rate", "policy", ZERO, VALUES, critic=ROUNDED),
            direction="below",
        ),
        Claim(
            id="P3",
            sentence="Stacked as they are, the exact policies reach the top in fewer than half of "
            "the episodes",
            source=f"{NOTES}; the size is this study's",
            estimand=mean("success_rate", policy=ZERO, task="top", critic=SHARP),
            direction="below",
            margin=0.5,
        ),
        Claim(
            id="P4",
            sentence="Adapted inside the obstacle's indifference space, the top's policy earns at "
            "least 20 more of its own reward per episode than stacked as it is",
            source=f"{SEED_PAPER}; the size is this study's",
            estimand=difference("return", "policy", ADAPTED, ZERO, task="top", critic=SHARP),
            direction="above",
            margin=20.0,
        ),
        Claim(
            id="P5",
            sentence="A sum of rewards that counts the obstacle once meets it more often than the "
            "adapted stack",
            source=FOLLOW_UP,
            estimand=difference(
                "collision_rate", "policy", "sum of rewards, 1", ADAPTED, critic=SHARP
            ),
            direction="above",
        ),
        Claim(
            id="P6",
            sentence="A sum of rewards that counts the obstacle ten times spends as much of the "
            "episode at the top as the adapted stack, give or take 10 steps",
            source=OWN,
            estimand=difference(
                "return", "policy", "sum of rewards, 10", ADAPTED, task="top", critic=SHARP
            ),
            direction="within",
            margin=10.0,
        ),
        Claim(
            id="P7",
            sentence="A third level takes no more than 15 from what the second earns per episode",
            source=OWN,
            estimand=difference("return", "policy", THREE, ADAPTED, task="top", critic=SHARP),
            direction="above",
            margin=-15.0,
        ),
        Claim(
            id="P8",
            sentence="Knowing only the nearest node makes the sum of values meet the obstacle more "
            "often",
            source=OWN,
            estimand=difference("collision_rate", "critic", ROUNDED, SHARP, policy=VALUES),
            direction="above",
        ),
        Claim(
            id="P9",
            sentence="Stacked as they are, exact policies meet the obstacle less often than the "
            "sum of their values",
            source=FOLLOW_UP,
            estimand=difference("collision_rate", "policy", ZERO, VALUES, critic=SHARP),
            direction="below",
        ),
    ]
