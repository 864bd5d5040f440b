"""The study `skill`: can counts be had from boxes alone, and at how many frames a second?"""

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset, assign
from assay.core.estimands import difference, mean
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.surgical_skill.events import DROPS, OUT_OF_VIEW
from assay.systems.surgical_skill.operations import (
    count,
    count_measures,
    simulated_operations,
)

RULES, LEARNED, MEDIAN = "rules", "learned", "training median"
FULL, TEN, FIVE, ONE = 30, 10, 5, 1
OWN = "this study, on SYNTHETIC operations"


def skill() -> Study:
    """Counts from boxes that are known, by rules and by learning, at four frame rates."""
    flow = Workflow("skill")
    operations = flow.step("operations", simulated_operations)
    counted = flow.step("counted", count, seen=[operations.seen], unseen=operations.unseen)
    flow.step("measured", count_measures, counted=counted)
    return Study(
        flow,
        title="How well do boxes tell mistakes, if the boxes are right? (SYNTHETIC operations)",
        decisions={
            "counter": {name: assign("counted.counter", name) for name in (RULES, LEARNED, MEDIAN)},
            "frames_per_second": {
                n: assign("counted.fps", n) for n in (FULL, TEN, FIVE, ONE)
            },
        },
        seeds=5,
        claims=_claims(),
        checks=[
            Check(
                id=id,
                sentence=f"At 30 frames a second rules on the boxes of every frame count {what} as "
                "they were",
                source="exact statement: the rules are the definitions",
                measure="mae",
                where={"counter": RULES, "frames_per_second": FULL, "metric": metric},
                equals=0.0,
            )
            for id, metric, what in (("K1", DROPS, "drops"), ("K2", OUT_OF_VIEW, "departures"))
        ],
        presets={
            "tiny": Preset(
                set={"operations.seen": 12, "operations.unseen": 8, "operations.seconds": 10,
                     "operations.cases_each": 2},
                seeds=2,
                note="Twenty operations of ten seconds: proves the code path in seconds.",
            ),
            "small": Preset(
                note="48 operations to learn from and 60 of other surgeons, a minute each, five "
                "seeds; no frame is painted. All operations are SYNTHETIC.",
            ),
        },
        figures="assay.systems.surgical_skill.figures_skill:skill_figures",
    )  # fmt: skip


def _claims() -> list[Claim]:
    return [
        Claim(
            id="S1",
            sentence="Better surgeons drop the needle less often: the rank correlation is below "
            "-0.5",
            source=f"{OWN}; the simulator's own drops fall with skill",
            estimand=mean("skill_spearman", metric=DROPS, counter=RULES, frames_per_second=FULL),
            direction="below",
            margin=-0.5,
        ),
        Claim(
            id="S2",
            sentence="At one frame a second rules miss more drops than at thirty",
            source="labels at one frame a second miss events shorter than a second",
            estimand=difference("mae", "frames_per_second", ONE, FULL, metric=DROPS, counter=RULES),
            direction="above",
        ),
        Claim(
            id="S3",
            sentence="At ten frames a second rules order operations by drops with a rank "
            "correlation above 0.7",
            source=OWN,
            estimand=mean("spearman", metric=DROPS, counter=RULES, frames_per_second=TEN),
            direction="above",
            margin=0.7,
        ),
        Claim(
            id="S4",
            sentence="And by departures from view",
            source=OWN,
            estimand=mean("spearman", metric=OUT_OF_VIEW, counter=RULES, frames_per_second=TEN),
            direction="above",
            margin=0.7,
        ),
        Claim(
            id="S5",
            sentence="At one frame a second learned counts of departures are nearer to the truth "
            "than rules",
            source=OWN,
            estimand=difference(
                "mae", "counter", LEARNED, RULES, metric=OUT_OF_VIEW, frames_per_second=ONE
            ),
            direction="below",
        ),
        Claim(
            id="S6",
            sentence="Learned counts of drops are nearer to the truth than the median of the "
            "operations learned from, at one frame a second",
            source=OWN,
            estimand=difference(
                "mae", "counter", LEARNED, MEDIAN, metric=DROPS, frames_per_second=ONE
            ),
            direction="below",
        ),
    ]
