"""The study `arm`: seven joints among discs; learned stacks against null-space control."""

from typing import Any

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset, assign
from assay.core.estimands import difference, mean
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.policy_composition.arm_evaluate import evaluate_arm
from assay.systems.policy_composition.arm_film import film_arm
from assay.systems.policy_composition.arm_learning import adapt_arm, arm_world, learn_arm
from assay.systems.policy_composition.arm_policies import METHODS, STACKS
from assay.systems.policy_composition.study import FOLLOW_UP, NOTES, OWN, SEED_PAPER

ALONE, ZERO, ADAPTED = "reach alone", "zero-shot", "adapted"
PLAIN, STRICT = "null-space, plain", "null-space, strict"
FILMED = [ALONE, ZERO, STRICT, ADAPTED]
CORNERS, LEARNED = "corners", "sampler"
LEARNERS = ("avoid", "reach", "adapted")
TINY: dict[str, Any] = {
    **{f"{name}.environment_steps": 1280 for name in LEARNERS},
    **{f"{name}.updates": 5 for name in LEARNERS},
    **{f"{name}.width": 16 for name in LEARNERS},
    "measured.episodes": 10,
    "measured.steps": 10,
    "measured.proposals": 8,
    "film.steps": 8,
    "film.pixels": 160,
}


def arm() -> Study:
    """Do learned levels keep seven joints out of the discs, and find the way round them?"""
    flow = Workflow("arm")
    place = flow.step("world", arm_world)
    avoid = flow.step(
        "avoid", learn_arm, arm=place, task="avoid", discount=0.9, episode=12, explore=0.6
    )
    reach = flow.step("reach", learn_arm, arm=place, task="reach")
    adapted = flow.step(
        "adapted", adapt_arm, above=[avoid.critic], task="reach", environment_steps=300_000,
        episode=100,
    )  # fmt: skip
    critics = {"avoid": avoid.critic, "reach": reach.critic, "adapted": adapted.critic}
    flow.step("measured", evaluate_arm, **critics)
    flow.step("film", film_arm, **critics, methods=FILMED)
    return Study(
        flow,
        title="Do learned levels keep an arm out of the discs, and find the way round them?",
        decisions={
            "policy": {name: assign("measured.method", name) for name in METHODS},
            "proposals": {
                kind: [assign(f"{name}.proposals", kind) for name in LEARNERS]
                for kind in (CORNERS, LEARNED)
            },
        },
        seeds=3,
        claims=_claims(),
        checks=_checks(),
        presets={
            "tiny": Preset(
                set=TINY,
                seeds=1,
                note="One round of practice each: proves the code path. Nothing has been learned "
                "by then, and one seed gives no claim a verdict.",
            ),
            "small": Preset(
                note="100 thousand steps of practice for each task and 300 thousand to adapt, with "
                "both kinds of proposals, 100 episodes, three seeds.",
            ),
        },
        figures="assay.systems.policy_composition.figures_arm:arm_figures",
    )


def _checks() -> list[Check]:
    return [
        Check(
            id=f"K{number}",
            sentence=f"No move of the policy '{policy}' is one that the learned level above "
            "forbids, judged by where it led",
            source=f"{NOTES}: priorities hold by construction",
            measure="forbidden_actions",
            where={"policy": policy},
            equals=0.0,
        )
        for number, policy in enumerate(STACKS, 1)
    ]


def _claims() -> list[Claim]:
    return [
        Claim(
            id="M1",
            sentence="Learned with every turn allowed, the way to the target leads a link into a "
            "disc in more than half of the episodes",
            source=f"{NOTES}; the size is this study's",
            estimand=mean("touch_rate", policy=ALONE, proposals=CORNERS),
            direction="above",
            margin=0.5,
        ),
        Claim(
            id="M2",
            sentence="Stacked as it was learned, it touches a disc in fewer than 5 episodes of 100",
            source=f"{NOTES}; the size is this study's",
            estimand=mean("touch_rate", policy=ZERO, proposals=CORNERS),
            direction="below",
            margin=0.05,
        ),
        Claim(
            id="M3",
            sentence="Stacked as it was learned, it reaches the target in fewer than half of the "
            "episodes",
            source=f"{NOTES}; the size is this study's",
            estimand=mean("success_rate", policy=ZERO, proposals=CORNERS),
            direction="below",
            margin=0.5,
        ),
        Claim(
            id="M4",
            sentence="Adapted inside what the level above allows, it touches a disc in fewer than "
            "5 episodes of 100",
            source=f"{SEED_PAPER}; the size is this study's",
            estimand=mean("touch_rate", policy=ADAPTED, proposals=CORNERS),
            direction="below",
            margin=0.05,
        ),
        Claim(
            id="M5",
            sentence="Adapted, it reaches the target in more than 90 episodes of 100",
            source=f"{FOLLOW_UP}; the size is this study's",
            estimand=mean("success_rate", policy=ADAPTED, proposals=CORNERS),
            direction="above",
            margin=0.9,
        ),
        Claim(
            id="M6",
            sentence="Adapted, it reaches the target in at least 20 episodes of 100 more than "
            "null-space control, strict variant",
            source=f"{SEED_PAPER}; the size is this study's",
            estimand=difference("success_rate", "policy", ADAPTED, STRICT, proposals=CORNERS),
            direction="above",
            margin=0.2,
        ),
        Claim(
            id="M7",
            sentence="Proposals of a learned sampler bring it there sooner than corners and even "
            "ones",
            source=OWN,
            estimand=difference("steps_to_reach", "proposals", LEARNED, CORNERS, policy=ADAPTED),
            direction="below",
        ),
    ]
