"""The studies `pipeline` and `practice`: from videos to counts, and what good practice is worth."""

from typing import NamedTuple

from assay.core.claims import Claim
from assay.core.decisions import Preset, assign, use
from assay.core.estimands import difference, mean
from assay.core.steps import Ref
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.surgical_skill.clips import labelled_frames
from assay.systems.surgical_skill.data import simulated_surgery
from assay.systems.surgical_skill.evaluate import detect, promised
from assay.systems.surgical_skill.events import DROPS, OUT_OF_VIEW
from assay.systems.surgical_skill.folding import deal, part
from assay.systems.surgical_skill.operations import count, count_measures
from assay.systems.surgical_skill.train import train_detector
from assay.systems.surgical_skill.watching import known, watched

FPS = 10
PATCH = 128
"""Side of the squares that are trained on (pixels)."""
DETECTED, KNOWN = "found by detectors", "known"
RULES, CHOSEN, BEST = "rules", "chosen rules", "best rules"
LEARNED, TEMPORAL, MEDIAN = "learned", "temporal", "training median"
ALL, BY_FRAME, WHOLE, ONE = "all of it", "folds by frame", "whole frames", "one detector"
AS_THEY_ARE, ALWAYS = "rules as they are", "always the best rules"
OWN = "this study, on SYNTHETIC recordings"
TINY = {
    "surgery.train_cases": 15,  # three surgeons or more
    "surgery.test_cases": 3,
    "surgery.seconds": 2,
    "folds.count": 2,
    "part.fold": [0, 1],
    "fit.steps": 4,
    "fit.batch": 4,
    "fit.width": 8,
    "counted.net_steps": 4,
}
SMALL = {"fit.steps": 300}


class Pipeline(NamedTuple):
    """A workflow, and those of its steps that a study builds on."""

    flow: Workflow
    surgery: Ref
    seen: Ref
    parts: Ref
    fits: Ref


def pipeline_workflow(name: str) -> Pipeline:
    """Detectors of all folds, what they find in the videos of others, and counts from that."""
    flow = Workflow(name)
    surgery = flow.step("surgery", simulated_surgery)
    seen = flow.step("seen", labelled_frames, surgery=surgery, split="train_v1")
    folds = flow.step("folds", deal, case=seen.case, surgeon=seen.surgeon)
    parts = flow.each("part", part, folds=folds, over={"fold": [0, 1, 2]})
    fits = flow.each(
        "fit", train_detector, frames=seen.frames, truth=seen.truth, chosen=parts.train,
        patch=PATCH,
    )  # fmt: skip
    own = flow.each(
        "own", watched, detectors=[fits.model], surgery=surgery, cases=parts.cases,
        split="train_v1", fps=FPS,
    )  # fmt: skip
    others = flow.step("others", watched, detectors=[fits.model], surgery=surgery, fps=FPS)
    counted = flow.step("counted", count, seen=[own], unseen=others, fps=FPS)
    flow.step("counts", count_measures, counted=counted)
    return Pipeline(flow, surgery, seen, parts, fits)


def pipeline() -> Study:
    """Counts from boxes that were found, beside counts from those that are there."""
    flow, surgery, _, parts, _ = pipeline_workflow("pipeline")
    return Study(
        flow,
        title="How well do found boxes tell mistakes, beside known ones? (SYNTHETIC recordings)",
        decisions={
            "boxes": {
                DETECTED: [],
                KNOWN: [
                    use("own", known, surgery=surgery, cases=parts.cases, split="train_v1"),
                    use("others", known, surgery=surgery),
                ],
            },
            "counter": {
                name: assign("counted.counter", name)
                for name in (RULES, CHOSEN, LEARNED, TEMPORAL, MEDIAN)
            },
        },
        seeds=3,
        claims=_claims_of_the_pipeline(),
        presets={
            "tiny": Preset(
                set=TINY, only={"counter": [RULES, CHOSEN, MEDIAN]}, seeds=1,
                note="18 operations of two seconds and four steps: proves the code path.",
            ),
            "small": Preset(
                set=SMALL,
                note="48 operations in three folds and 24 of other surgeons, 30 seconds each, 300 "
                "steps a fold, three seeds. All recordings are SYNTHETIC.",
            ),
        },
        figures="assay.systems.surgical_skill.figures_practice:pipeline_figures",
    )  # fmt: skip


def practice() -> Study:
    """What each good habit is worth: the same with all of them, and without one at a time."""
    flow, surgery, seen, parts, fits = pipeline_workflow("practice")
    unseen = flow.step("unseen", labelled_frames, surgery=surgery, split="test")
    held = flow.each("held", detect, detectors=[fits.model], frames=seen.frames, chosen=parts.held)
    found = flow.step("found", detect, detectors=[fits.model], frames=unseen.frames)
    flow.step("promised", promised, seen=seen, held=[held], unseen=unseen, found=found)
    chosen = assign("counted.counter", CHOSEN)
    return Study(
        flow,
        title="What is good practice worth, habit by habit? (SYNTHETIC recordings)",
        decisions={
            "practice": {
                ALL: [chosen],
                BY_FRAME: [chosen, assign("folds.grouping", "frame")],
                WHOLE: [chosen, assign("fit.patch", 0)],
                ONE: [chosen, assign("found.most", 1), assign("others.most", 1)],
                AS_THEY_ARE: assign("counted.counter", RULES),
                ALWAYS: assign("counted.counter", BEST),
            }
        },
        seeds=3,
        claims=_claims_of_the_practice(),
        presets={
            "tiny": Preset(
                set=TINY, only={"practice": [ALL, AS_THEY_ARE]}, seeds=1,
                note="18 operations of two seconds and four steps: proves the code path.",
            ),
            "small": Preset(
                set=SMALL,
                note="48 operations in three folds and 24 of other surgeons, 30 seconds each, 300 "
                "steps a fold, three seeds. All recordings are SYNTHETIC.",
            ),
        },
        figures="assay.systems.surgical_skill.figures_practice:practice_figures",
    )  # fmt: skip


def _claims_of_the_pipeline() -> list[Claim]:
    return [
        *(
            Claim(
                id=id,
                sentence=f"From boxes that detectors found, rules order operations by {what} with "
                "a rank correlation above 0.7",
                source=OWN,
                estimand=mean("spearman", metric=metric, boxes=DETECTED, counter=CHOSEN),
                direction="above",
                margin=0.7,
            )
            for id, metric, what in (("D1", DROPS, "drops"), ("D2", OUT_OF_VIEW, "departures"))
        ),
        Claim(
            id="D3",
            sentence="Boxes that are known give counts nearer to the truth than boxes found",
            source=OWN,
            estimand=difference("count_error", "boxes", KNOWN, DETECTED, counter=RULES),
            direction="below",
        ),
        Claim(
            id="D4",
            sentence="Counts learned from boxes found are nearer to the truth than rules as they "
            "are",
            source=OWN,
            estimand=difference("count_error", "counter", LEARNED, RULES, boxes=DETECTED),
            direction="below",
        ),
        Claim(
            id="D5",
            sentence="A network over every moment counts nearer to the truth than a regression on "
            "features of the whole",
            source=OWN,
            estimand=difference("count_error", "counter", TEMPORAL, LEARNED, boxes=DETECTED),
            direction="below",
        ),
        Claim(
            id="D6",
            sentence="Chosen rules on boxes found are nearer to the truth than the median of the "
            "operations learned from",
            source=OWN,
            estimand=difference("count_error", "counter", CHOSEN, MEDIAN, boxes=DETECTED),
            direction="below",
        ),
    ]


def _claims_of_the_practice() -> list[Claim]:
    return [
        Claim(
            id="G1",
            sentence="Folds by frame promise more than is kept: their average precision out of "
            "fold is further above that on new surgeons than with folds by surgeon",
            source=OWN,
            estimand=difference("optimism", "practice", BY_FRAME, ALL),
            direction="above",
        ),
        Claim(
            id="G2",
            sentence="Three detectors, fused, find more than one of them",
            source=OWN,
            estimand=difference("ap", "practice", ALL, ONE),
            direction="above",
        ),
        Claim(
            id="G3",
            sentence="Training on patches, half of them about an object, finds the needle better "
            "than training on as many pixels of whole frames",
            source=OWN,
            estimand=difference("ap50_needle", "practice", ALL, WHOLE),
            direction="above",
        ),
        Claim(
            id="G4",
            sentence="Post-processing that was accepted out of fold counts nearer to the truth "
            "than rules as they are",
            source=OWN,
            estimand=difference("count_error", "practice", ALL, AS_THEY_ARE),
            direction="below",
        ),
        Claim(
            id="G5",
            sentence="To accept only what is better beyond chance costs at most 0.1 counts beside "
            "always taking the best",
            source=OWN,
            estimand=difference("count_error", "practice", ALL, ALWAYS),
            direction="below",
            margin=0.1,
        ),
    ]
