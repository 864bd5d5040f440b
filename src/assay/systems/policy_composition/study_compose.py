"""The study `compose`: learned levels put together as they are, in order of priority and without.

Nothing is learned but the tasks on their own; the same levels serve every composition.
"""

from typing import Any

from assay.core.claims import Check, Claim
from assay.core.decisions import Assign, Preset, Use, assign, use
from assay.core.estimands import difference, mean
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.policy_composition.agreement import agreement, orders
from assay.systems.policy_composition.learning import learn
from assay.systems.policy_composition.study import ALONE, FOLLOW_UP, NOTES, OWN, SAFE, TWO, ZERO
from assay.systems.policy_composition.study_epsilon import REVIEWS
from assay.systems.policy_composition.train import compose as composing
from assay.systems.policy_composition.train import solve_tasks

EPSILONS = [0.1, 0.63, 1.0, 10.0]
WEIGHTS = [0.1, 1.0, 10.0]
PAIR, TOP_FIRST, SIDE_FIRST = "obstacle > top", "obstacle > top > side", "obstacle > side > top"
SUM, SWITCH, NEAR = "sum of values", "switch by value", "switch by distance"
LEARNERS = ["obstacle", "top", "side"]
FEW = [ALONE, f"{PAIR}, 1", f"{TOP_FIRST}, 1", f"{SIDE_FIRST}, 1", f"{SUM}, 1", f"{SWITCH}, 10",
       f"{NEAR}, 1"]  # fmt: skip
"""Compositions of the smallest preset."""
TINY: dict[str, Any] = {
    "tasks.nodes": 31,
    "tasks.per_axis": 7,
    "masks.nodes": 11,
    "masks.per_axis": 7,
    "measured.starts": 20,
    "measured.judged": 100,
    **{f"{name}.updates": 10 for name in LEARNERS},
    **{f"{name}.environment_steps": 3200 for name in LEARNERS},
    **{f"{name}.{key}": value for name in LEARNERS for key, value in (("width", 16), ("depth", 2))},
}


def at(name: str, number: float) -> str:
    """The label of a composition with its epsilon or weight.

    Example:
        >>> at(PAIR, 1.0)
        'obstacle > top, 1'
    """
    return f"{name}, {number:g}"


def compose() -> Study:
    """What do learned levels do together if nothing is learned anew?"""
    flow = Workflow("compose")
    agents = {task: flow.step(task, learn, task=task).agent for task in LEARNERS}
    solved = flow.step("tasks", solve_tasks, tasks=LEARNERS, nodes=61, per_axis=13)
    exact = flow.step("exact", composing, policies=solved.policies, order=TWO, method=ZERO)
    flow.step("measured", agreement, agents=[agents[task] for task in TWO],
              composite=exact.composite)  # fmt: skip
    flow.step("masks", orders, agents=list(agents.values()))

    def levels(*tasks: str) -> list[Assign | Use]:
        given = [agents[task] for task in tasks]
        return [
            use("measured", agreement, agents=given, composite=exact.composite),
            assign("exact.order", list(tasks)),
        ]

    def slack(name: str, epsilon: float) -> list[Assign | Use]:
        return [*levels(*name.split(" > ")), assign("exact.epsilon", epsilon)]

    def rival(method: str, **values: float) -> list[Assign]:
        given = {"method": method, **values}
        return [assign(f"measured.{name}", value) for name, value in given.items()]

    return Study(
        flow,
        title="What do learned levels do together if nothing is learned anew?",
        decisions={
            "policy": {
                ALONE: levels("top"),
                SAFE: levels("obstacle"),
                **{at(PAIR, e): slack(PAIR, e) for e in EPSILONS},
                **{at(TOP_FIRST, e): slack(TOP_FIRST, e) for e in EPSILONS},
                at(SIDE_FIRST, 1.0): slack(SIDE_FIRST, 1.0),
                **{at(SUM, w): rival(SUM, weight=w) for w in WEIGHTS},
                **{at(SWITCH, w): rival(SWITCH, weight=w) for w in WEIGHTS},
                at(NEAR, 1.0): rival(NEAR, distance=1.0),
            }
        },
        seeds=3,
        claims=[*_of_priorities(), *_of_rivals()],
        checks=_checks(),
        presets={
            "tiny": Preset(
                set=TINY,
                only={"policy": FEW},
                seeds=1,
                note="Two rounds of practice each, seven compositions: proves the code path. "
                "Nothing has been learned by then, and one seed gives no claim a verdict.",
            ),
            "small": Preset(
                set={"measured.starts": 150},
                note="Three tasks learned in 160 thousand steps of practice each, 18 compositions "
                "of them, the oracle on 61 x 61 states with 169 actions, 150 starts, three seeds.",
            ),
        },
        figures="assay.systems.policy_composition.figures_learned:compose_figures",
    )


def _checks() -> list[Check]:
    return [
        Check(
            id="K1",
            sentence="In no order of priority is an action outside the mask of the learned levels "
            "ever taken, judged by every move that is looked at",
            source=f"{NOTES}: priorities hold by construction",
            measure="forbidden_actions",
            equals=0.0,
        ),
        Check(
            id="K2",
            sentence="What the first learned level leaves is the same whichever level stands below",
            source=f"exact statement; {NOTES}",
            measure="first_mask_difference",
            equals=0.0,
        ),
        Check(
            id="K3",
            sentence="It is the same, too, if its values and its epsilon are multiplied by eight",
            source=f"exact statement; {NOTES}",
            measure="scaled_mask_difference",
            equals=0.0,
        ),
    ]


def _of_priorities() -> list[Claim]:
    return [
        Claim(
            id="Z1",
            sentence="Stacked as they were learned, the obstacle above the top with epsilon 1, "
            "they meet the obstacle in at least 50 episodes of 100 fewer than the top alone",
            source=f"{FOLLOW_UP}: priorities are kept; the size is this study's",
            estimand=difference("collision_rate", "policy", at(PAIR, 1.0), ALONE),
            direction="below",
            margin=-0.5,
        ),
        Claim(
            id="Z2",
            sentence="They are at the top at the end of fewer than half of the episodes",
            source=f"{NOTES}; the size is this study's",
            estimand=mean("success_rate", policy=at(PAIR, 1.0), task="top"),
            direction="below",
            margin=0.5,
        ),
        Claim(
            id="Z3",
            sentence="Where they went, their mask and the exact one agree: the actions both allow "
            "are more than nine tenths of those either allows",
            source=OWN,
            estimand=mean("mask_iou", policy=at(PAIR, 1.0)),
            direction="above",
            margin=0.9,
        ),
        Claim(
            id="Z4",
            sentence="So do those of three levels",
            source=OWN,
            estimand=mean("mask_iou", policy=at(TOP_FIRST, 1.0)),
            direction="above",
            margin=0.9,
        ),
        Claim(
            id="Z5",
            sentence="Too much slack loses the guarantee: at epsilon 10 more than half of the "
            "episodes meet the obstacle",
            source=f"{REVIEWS}; the size is this study's",
            estimand=mean("collision_rate", policy=at(PAIR, 10.0)),
            direction="above",
            margin=0.5,
        ),
        Claim(
            id="Z6",
            sentence="If top and side change places below the obstacle, more than 1 in 100 of the "
            "actions that two levels leave are others",
            source=f"{NOTES}; the size is this study's",
            estimand=mean("second_mask_difference"),
            direction="above",
            margin=0.01,
        ),
        Claim(
            id="Z7",
            sentence="Where the top stands above the side, more of the episode is spent at the top",
            source=NOTES,
            estimand=difference(
                "return", "policy", at(TOP_FIRST, 1.0), at(SIDE_FIRST, 1.0), task="top"
            ),
            direction="above",
        ),
        Claim(
            id="Z8",
            sentence="Where the side stands above the top, more of it is spent at the side",
            source=NOTES,
            estimand=difference(
                "return", "policy", at(SIDE_FIRST, 1.0), at(TOP_FIRST, 1.0), task="side"
            ),
            direction="above",
        ),
    ]


def _of_rivals() -> list[Claim]:
    return [
        Claim(
            id="Z9",
            sentence="The sum of their values meets the obstacle in at least 5 episodes of 100 "
            "more than the stack with epsilon 1",
            source=f"{FOLLOW_UP}; the size is this study's",
            estimand=difference("collision_rate", "policy", at(SUM, 1.0), at(PAIR, 1.0)),
            direction="above",
            margin=0.05,
        ),
        Claim(
            id="Z10",
            sentence="The sum depends on scale: with the obstacle counted a tenth it meets it in "
            "at least 25 episodes of 100 more than with the obstacle counted ten times",
            source=f"{NOTES}; the size is this study's",
            estimand=difference("collision_rate", "policy", at(SUM, 0.1), at(SUM, 10.0)),
            direction="above",
            margin=0.25,
        ),
        Claim(
            id="Z11",
            sentence="With the obstacle counted ten times it is at the top at the end of fewer "
            "than half of the episodes, so no more than the stack does it solve both tasks",
            source=OWN,
            estimand=mean("success_rate", policy=at(SUM, 10.0), task="top"),
            direction="below",
            margin=0.5,
        ),
        Claim(
            id="Z12",
            sentence="The switch to the larger value stays with the obstacle's policy: it earns as "
            "much of the top's reward as that alone, give or take 10",
            source=OWN,
            estimand=difference("return", "policy", at(SWITCH, 1.0), SAFE, task="top"),
            direction="within",
            margin=10.0,
        ),
        Claim(
            id="Z13",
            sentence="It depends on scale, and the other way round: with the obstacle counted ten "
            "times it meets it in at least 25 episodes of 100 more than with the obstacle counted "
            "once",
            source=OWN,
            estimand=difference("collision_rate", "policy", at(SWITCH, 10.0), at(SWITCH, 1.0)),
            direction="above",
            margin=0.25,
        ),
        Claim(
            id="Z14",
            sentence="The switch to the obstacle's policy within 1 of the obstacle is at the top "
            "at the end of fewer than half of the episodes",
            source=OWN,
            estimand=mean("success_rate", policy=at(NEAR, 1.0), task="top"),
            direction="below",
            margin=0.5,
        ),
    ]
