"""The study `localisation`: how well the tools of unseen surgeons are found."""

from assay.core.claims import Claim
from assay.core.decisions import Preset, assign
from assay.core.estimands import difference, mean
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.surgical_skill.clips import labelled_frames
from assay.systems.surgical_skill.data import simulated_surgery
from assay.systems.surgical_skill.evaluate import detect, localised
from assay.systems.surgical_skill.train import train_detector

COARSE, FINE = "stride 4", "stride 2"
SAME, OTHER = "same camera", "other camera and light"
OWN = "this study, on SYNTHETIC recordings"
TINY = {
    "surgery.train_cases": 6,
    "surgery.test_cases": 3,
    "surgery.shifted_cases": 3,
    "surgery.seconds": 4,
    "fit.steps": 20,
    "fit.batch": 8,
    "fit.width": 8,
}


def localisation_workflow(name: str) -> Workflow:
    """Simulated operations, a detector trained on some surgeons, and what it finds for others."""
    flow = Workflow(name)
    surgery = flow.step("surgery", simulated_surgery, shifted_cases=24)
    seen = flow.step("seen", labelled_frames, surgery=surgery, split="train_v1")
    unseen = flow.step("unseen", labelled_frames, surgery=surgery, split="test")
    fit = flow.step("fit", train_detector, frames=seen.frames, truth=seen.truth)
    found = flow.step("found", detect, detectors=[fit.model], frames=unseen.frames)
    flow.step("localised", localised, clips=unseen, found=found)
    return flow


def localisation() -> Study:
    """A detector on frames of surgeons it has not seen, in the same light and in another."""
    return Study(
        localisation_workflow("localisation"),
        title="How well are the tools of unseen surgeons found? (SYNTHETIC recordings)",
        decisions={
            "cells": {COARSE: assign("fit.stride", 4), FINE: assign("fit.stride", 2)},
            "camera": {
                SAME: assign("unseen.split", "test"),
                OTHER: assign("unseen.split", "train_v2"),
            },
        },
        seeds=3,
        claims=[
            Claim(
                id="L1",
                sentence="Nine of ten drivers' clevises are found: their AP50 is above 0.9",
                source=OWN,
                estimand=mean("ap50_driver", cells=COARSE, camera=SAME),
                direction="above",
                margin=0.9,
            ),
            Claim(
                id="L2",
                sentence="The needle is found with an AP50 above 0.6",
                source=OWN,
                estimand=mean("ap50_needle", cells=COARSE, camera=SAME),
                direction="above",
                margin=0.6,
            ),
            Claim(
                id="L3",
                sentence="The needle is harder to find than a driver",
                source=OWN,
                estimand=mean("ap50_gap", cells=COARSE, camera=SAME),
                direction="above",
            ),
            Claim(
                id="L4",
                sentence="Cells of two pixels instead of four find the needle better",
                source=OWN,
                estimand=difference("ap50_needle", "cells", FINE, COARSE, camera=SAME),
                direction="above",
            ),
            Claim(
                id="L5",
                sentence="Under another camera and light the average precision is lower by more "
                "than 0.1",
                source=OWN,
                estimand=difference("ap", "camera", OTHER, SAME, cells=COARSE),
                direction="below",
                margin=-0.1,
            ),
        ],
        presets={
            "tiny": Preset(
                set=TINY,
                seeds=2,
                note="Six operations of four seconds and twenty steps: proves the code path in "
                "under a minute. Nothing has been learned by then.",
            ),
            "small": Preset(
                set={"fit.steps": 300},
                note="48 operations to learn from, 24 of other surgeons and 24 under another "
                "camera, 30 seconds each, 300 steps, three seeds. All recordings are SYNTHETIC.",
            ),
        },
        figures="assay.systems.surgical_skill.figures:localisation_figures",
    )
