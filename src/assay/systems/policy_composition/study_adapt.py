"""The study `adapt`: learned levels, stacked as they are, adapted by practice, and without."""

from typing import Any

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset, assign, use
from assay.core.estimands import difference, mean
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.policy_composition.agreement import agreement
from assay.systems.policy_composition.learning import adapt as adapting
from assay.systems.policy_composition.learning import adapt_offline, learn
from assay.systems.policy_composition.study import (
    ALONE,
    FOLLOW_UP,
    NOTES,
    OWN,
    SEED_PAPER,
    TWO,
    ZERO,
)
from assay.systems.policy_composition.train import compose, solve_tasks

FRESH, WARM, OFFLINE = "adapted, from nothing", "adapted, from the top alone", "adapted offline"
LEARNERS = ("obstacle", "top", "fresh", "warm", "offline")
TINY: dict[str, Any] = {
    "tasks.nodes": 31,
    "tasks.per_axis": 7,
    "measured.starts": 40,
    "measured.judged": 200,
    "offline.rounds": 2,
    **{f"{name}.updates": 10 for name in LEARNERS},
    **{f"{name}.environment_steps": 3200 for name in LEARNERS[:4]},
    **{f"{name}.{key}": value for name in LEARNERS for key, value in (("width", 16), ("depth", 2))},
}


def adapt() -> Study:
    """Does a learned stack do what the exact one does, and how does it best come about?"""
    flow = Workflow("adapt")
    obstacle = flow.step("obstacle", learn, task="obstacle")
    top = flow.step("top", learn, task="top")
    fresh = flow.step("fresh", adapting, above=[obstacle.agent], task="top")
    warm = flow.step("warm", adapting, above=[obstacle.agent], start=top.agent, task="top")
    offline = flow.step(
        "offline", adapt_offline, above=[obstacle.agent], experience=top.experience, task="top"
    )
    solved = flow.step("tasks", solve_tasks, tasks=TWO)
    exact = flow.step("exact", compose, policies=solved.policies, order=TWO)
    flow.step("measured", agreement, agents=[obstacle.agent, fresh.agent],
              composite=exact.composite)  # fmt: skip

    def stacked(*agents: Any) -> Any:
        return use("measured", agreement, agents=list(agents), composite=exact.composite)

    return Study(
        flow,
        title="Do learned levels keep their priorities, and what must be learned anew?",
        decisions={
            "policy": {
                ALONE: [
                    stacked(top.agent),
                    assign("exact.order", ["top"]),
                    assign("exact.method", "task alone"),
                ],
                ZERO: [stacked(obstacle.agent, top.agent), assign("exact.method", ZERO)],
                FRESH: [],
                WARM: stacked(obstacle.agent, warm.agent),
                OFFLINE: stacked(obstacle.agent, offline.agent),
            }
        },
        seeds=3,
        claims=_claims(),
        checks=_checks(),
        presets={
            "tiny": Preset(
                set=TINY,
                seeds=1,
                note="Two rounds of practice each: proves the code path. Nothing has been learned "
                "by then, and one seed gives no claim a verdict.",
            ),
            "small": Preset(
                note="160 thousand steps of practice each, the oracle on 81 x 81 states, 300 "
                "starts, three seeds.",
            ),
        },
        figures="assay.systems.policy_composition.figures:adapt_figures",
    )


def _checks() -> list[Check]:
    return [
        Check(
            id="K1",
            sentence="No action outside the mask of the learned levels is ever taken, judged by "
            "every move that is looked at",
            source=f"{NOTES}: priorities hold by construction",
            measure="forbidden_actions",
            equals=0.0,
        ),
    ]


def _claims() -> list[Claim]:
    return [
        Claim(
            id="A1",
            sentence="Where a learned stack went, its mask and the exact one agree: the actions "
            "both allow are more than nine tenths of those either allows",
            source=OWN,
            estimand=mean("mask_iou", policy=FRESH),
            direction="above",
            margin=0.9,
        ),
        Claim(
            id="A2",
            sentence="The top, adapted by practice inside the obstacle's indifference space, meets "
            "the obstacle in at least 50 episodes of 100 fewer than learned alone",
            source=f"{SEED_PAPER}: priorities are kept; the size is this study's",
            estimand=difference("collision_rate", "policy", FRESH, ALONE),
            direction="below",
            margin=-0.5,
        ),
        Claim(
            id="A3",
            sentence="It is at the top at the end of more than 95 in 100 episodes",
            source=OWN,
            estimand=mean("success_rate", policy=FRESH, task="top"),
            direction="above",
            margin=0.95,
        ),
        Claim(
            id="A4",
            sentence="It earns at least 20 more of its own reward per episode than stacked as it "
            "was learned alone",
            source=f"{SEED_PAPER}; the size is this study's",
            estimand=difference("return", "policy", FRESH, ZERO, task="top"),
            direction="above",
            margin=20.0,
        ),
        Claim(
            id="A5",
            sentence="Adapted from retained experience, without any practice, it earns as much, "
            "give or take 10",
            source=FOLLOW_UP,
            estimand=difference("return", "policy", OFFLINE, FRESH, task="top"),
            direction="within",
            margin=10.0,
        ),
        Claim(
            id="A6",
            sentence="Going on from the top learned alone earns as much as beginning from nothing, "
            "give or take 5",
            source=OWN,
            estimand=difference("return", "policy", WARM, FRESH, task="top"),
            direction="within",
            margin=5.0,
        ),
    ]
