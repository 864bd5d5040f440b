"""The study `offline`: a level adapted from what was retained, and what has to be retained for it.

The decision is whose transitions a level learns from, how many, and whether those are removed that
the level above forbids. What was learned alone, stacked as it is, and the exact adapted stack say
what there is to gain. Two things can be missing: data on the way, which a policy that goes straight
through the obstacle does not take, and data where it ends, without which nothing corrects values
that are too high. So both coverage and the distance to exact values are measured.
"""

from typing import Any

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset, assign, use
from assay.core.estimands import difference
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.policy_composition.agreement import agreement
from assay.systems.policy_composition.evaluate import evaluate
from assay.systems.policy_composition.learning import adapt_offline, learn
from assay.systems.policy_composition.retention import retain, wander
from assay.systems.policy_composition.study import ADAPTED, FOLLOW_UP, NOTES, OWN, TWO, ZERO
from assay.systems.policy_composition.train import compose, solve_tasks

LATEST, ANY = "the top's latest", "the top's, of all its practice"
MIXED, RANDOM, FEW = "the top's latest, an eighth at random", "at random", "an eighth, at random"
UNFILTERED = f"{RANDOM}, unfiltered"
BEST = f"{ADAPTED}, exact"
DATA = (LATEST, ANY, MIXED, RANDOM, FEW, UNFILTERED)
"""Choices that learn from retained transitions; the others are there to compare."""
LEARNERS = ("obstacle", "top", "offline")
TINY: dict[str, Any] = {
    "tasks.nodes": 31,
    "tasks.per_axis": 7,
    "measured.starts": 20,
    "wandered.environment_steps": 1600,
    "strolled.environment_steps": 1600,
    "data.strips": 64,
    "offline.rounds": 2,
    **{f"{name}.updates": 10 for name in LEARNERS},
    **{f"{name}.environment_steps": 3200 for name in LEARNERS[:2]},
    **{f"{name}.{key}": value for name in LEARNERS for key, value in (("width", 16), ("depth", 2))},
}


def offline() -> Study:
    """From which retained transitions can a level be adapted without practice?"""
    flow = Workflow("offline")
    obstacle = flow.step("obstacle", learn, task="obstacle")
    top = flow.step("top", learn, task="top", retained=6400)
    wandered = flow.step("wandered", wander)
    strolled = flow.step("strolled", wander, environment_steps=3200)
    few = flow.step("few", retain, experience=strolled)
    data = flow.step("data", retain, experience=top.experience, other=wandered, strips=1024)
    adapted = flow.step(
        "offline", adapt_offline, above=[obstacle.agent], experience=data, task="top", rounds=40
    )
    solved = flow.step("tasks", solve_tasks, tasks=TWO, nodes=61, per_axis=13)
    exact = flow.step("exact", compose, policies=solved.policies, order=TWO)
    flow.step("measured", agreement, agents=[obstacle.agent, adapted.agent],
              composite=exact.composite)  # fmt: skip
    as_it_is = use(
        "measured", agreement, agents=[obstacle.agent, top.agent], composite=exact.composite
    )
    walk = assign("data.other_share", 1.0)
    return Study(
        flow,
        title="From which retained transitions can a level be adapted without practice?",
        decisions={
            "data": {
                LATEST: [],
                ANY: assign("data.which", "any"),
                MIXED: assign("data.other_share", 0.125),
                RANDOM: walk,
                FEW: use("offline", adapt_offline, above=[obstacle.agent], experience=few),
                UNFILTERED: [walk, assign("offline.filtered", False)],
                ZERO: [as_it_is, assign("exact.method", ZERO)],
                BEST: use("measured", evaluate, composite=exact.composite),
            }
        },
        seeds=3,
        claims=[*_of_gain(), *_of_kind()],
        checks=_checks(),
        presets={
            "tiny": Preset(
                set=TINY,
                only={"data": [LATEST, MIXED, FEW, UNFILTERED, ZERO, BEST]},
                seeds=1,
                note="Two rounds of learning each, six choices: proves the code path. Nothing has "
                "been learned by then, and one seed gives no claim a verdict.",
            ),
            "small": Preset(
                set={"measured.starts": 150},
                note="Two tasks learned in 160 thousand steps of practice each; 25.6 thousand "
                "transitions retained or an eighth of them, 40 rounds of learning from each "
                "choice; the oracle on 61 x 61 states with 169 actions, 150 starts, three seeds.",
            ),
        },
        figures="assay.systems.policy_composition.figures_learned:offline_figures",
    )


def _checks() -> list[Check]:
    return [
        Check(
            id="K1",
            sentence="No action outside the mask of the levels is ever taken, judged by every move "
            "that is looked at",
            source=f"{NOTES}: priorities hold by construction",
            measure="forbidden_actions",
            equals=0.0,
        ),
        Check(
            id="K2",
            sentence="Learning from retained transitions takes no step in the environment",
            source=f"exact statement; {FOLLOW_UP}",
            measure="environment_steps",
            where={"step": "offline"},
            equals=0.0,
        ),
    ]


def _of_gain() -> list[Claim]:
    return [
        Claim(
            id="O1",
            sentence="From transitions at random, those removed that the obstacle's level forbids, "
            "the adapted top earns as much as in the exact adapted stack, give or take 10",
            source=FOLLOW_UP,
            estimand=difference("return", "data", RANDOM, BEST, task="top"),
            direction="within",
            margin=10.0,
        ),
        Claim(
            id="O2",
            sentence="From as many of the latest of the top's own practice it does so too",
            source=FOLLOW_UP,
            estimand=difference("return", "data", LATEST, BEST, task="top"),
            direction="within",
            margin=10.0,
        ),
        Claim(
            id="O3",
            sentence="From transitions at random it earns at least 20 more per episode than "
            "stacked as it was learned",
            source=f"{FOLLOW_UP}; the size is this study's",
            estimand=difference("return", "data", RANDOM, ZERO, task="top"),
            direction="above",
            margin=20.0,
        ),
    ]


def _of_kind() -> list[Claim]:
    return [
        Claim(
            id="O4",
            sentence="It depends on what was retained: from the latest of the top's own practice "
            "it earns at least 10 less than from as many at random",
            source=OWN,
            estimand=difference("return", "data", LATEST, RANDOM, task="top"),
            direction="below",
            margin=-10.0,
        ),
        Claim(
            id="O5",
            sentence="As many of all its practice, the first steps among them, do as well as at "
            "random, give or take 10",
            source=OWN,
            estimand=difference("return", "data", ANY, RANDOM, task="top"),
            direction="within",
            margin=10.0,
        ),
        Claim(
            id="O6",
            sentence="So do the latest of which an eighth is replaced by transitions at random",
            source=OWN,
            estimand=difference("return", "data", MIXED, RANDOM, task="top"),
            direction="within",
            margin=10.0,
        ),
        Claim(
            id="O7",
            sentence="An eighth as many at random do as well as all of them, give or take 10: the "
            "kind counts, not the number",
            source=OWN,
            estimand=difference("return", "data", FEW, RANDOM, task="top"),
            direction="within",
            margin=10.0,
        ),
        Claim(
            id="O8",
            sentence="Left in, the forbidden transitions at random change what is earned by less "
            "than 10: what matters is the mask",
            source=OWN,
            estimand=difference("return", "data", UNFILTERED, RANDOM, task="top"),
            direction="within",
            margin=10.0,
        ),
        Claim(
            id="O9",
            sentence="Of the states outside the obstacle at least 20 in 100 fewer have an allowed "
            "transition near them among the latest of the top's own practice than among as many "
            "at random",
            source=OWN,
            estimand=difference("covered_states", "data", LATEST, RANDOM),
            direction="below",
            margin=-0.2,
        ),
        Claim(
            id="O10",
            sentence="Where they went, values learned from transitions at random alone are further "
            "from the exact ones, by at least 10, than those from the latest with an eighth at "
            "random",
            source=OWN,
            estimand=difference("value_difference", "data", RANDOM, MIXED, level="top"),
            direction="above",
            margin=10.0,
        ),
    ]
