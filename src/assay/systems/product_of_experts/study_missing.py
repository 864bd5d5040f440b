"""The study `missing_modalities`: a missing sensor is masked, or shown as noise without end."""

from typing import Any, get_args

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset, assign, sweep
from assay.core.estimands import mean, ratio
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.product_of_experts import data
from assay.systems.product_of_experts.absence import MASK, NOISE, absent_sensors
from assay.systems.product_of_experts.choices import ObjectiveName
from assay.systems.product_of_experts.train import train_fusion

OWN = "this study"
CHANCE = 0.25
TRAINED = {"whole": (0.0, 0.0), "masks": (CHANCE, 0.0), "noise": (0.0, CHANCE),
           "both": (CHANCE, CHANCE)}  # fmt: skip
"""Chance that a sensor is masked in training, and that it fails."""
SOME: dict[str, Any] = {"some_missing": True}
LEARNED: dict[str, Any] = {"weighting": "learned"}


def missing_workflow() -> Workflow:
    """Sensors, readings of which some are missing, a fusion, and every subset of the sensors."""
    flow = Workflow("missing_modalities")
    several = flow.step("several", data.sensors)
    readings = flow.step("readings", data.sensor_readings, sensors=several, noise_chance=0.0)
    fit = flow.step("fit", train_fusion, sensors=several, readings=readings, steps=500)
    flow.step("absent", absent_sensors, sensors=several, model=fit.model)
    return flow


def missing_modalities() -> Study:
    """Is a sensor that is shown as noise as good as one that is masked?"""
    return Study(
        missing_workflow(),
        title="Is a missing sensor as well shown as noise as it is masked?",
        decisions={
            "weighting": sweep("fit.weighting", ["learned", "poe"]),
            "objective": sweep("fit.objective", list(get_args(ObjectiveName))),
            "training": {
                name: [
                    assign("readings.missing_chance", masked),
                    assign("readings.fail_chance", failed),
                ]
                for name, (masked, failed) in TRAINED.items()
            },
        },
        seeds=5,
        claims=_claims(),
        checks=_checks(),
        presets={
            "tiny": Preset(
                set={
                    "readings.samples": 500,
                    "fit.steps": 15,
                    "fit.batch": 64,
                    "fit.width": 8,
                    "absent.samples": 100,
                },
                seeds=1,
                note="Fifteen steps each: proves the code path in under twenty seconds. Nothing "
                "has been learned by then, and one seed gives no claim a verdict.",
            ),
            "small": Preset(
                note="Two weightings, two losses, four ways to train, 500 steps, five seeds.",
            ),
        },
        figures="assay.systems.product_of_experts.figures_missing:missing_figures",
    )


def _claims() -> list[Claim]:
    least = f"{OWN}: the share that such a sensor deserves is 0"
    return [
        Claim(
            id="N1",
            sentence="Trained with sensors that fail, learned credibility leaves less than 5 % of "
            "the trust with those that are shown as noise, some but not all of them",
            source=least,
            estimand=mean("absent_share", training="noise", absent_as=NOISE, **LEARNED, **SOME),
            direction="below",
            margin=0.05,
        ),
        Claim(
            id="N2",
            sentence="Trained with masks and with failures, learned credibility errs at most 5 % "
            "more where the same sensors are shown as noise than where they are masked",
            source=f"{OWN}: a missing modality is one of infinite noise",
            estimand=ratio(
                "squared_error", "absent_as", NOISE, MASK, training="both", **LEARNED, **SOME
            ),
            direction="below",
            margin=0.05,
        ),
        Claim(
            id="N3",
            sentence="Trained with masks alone, it errs more than twice as much where the same "
            "sensors are shown as noise",
            source=f"{OWN}: noise that was not seen in training is not found",
            estimand=ratio(
                "squared_error", "absent_as", NOISE, MASK, training="masks", **LEARNED, **SOME
            ),
            direction="above",
            margin=1.0,
        ),
        *_seen(),
        *_beside(),
    ]


def _seen() -> list[Claim]:
    said = {
        "learned": ("N4", "With sensors masked, learned credibility errs less if masks were seen "
                    "in training"),
        "poe": ("N5", "With sensors masked, a plain product of experts errs less if masks were "
                "seen in training"),
    }  # fmt: skip
    return [
        Claim(
            id=name,
            sentence=sentence,
            source=f"{OWN}: weights and precisions of the whole need not be those of a part",
            estimand=ratio(
                "squared_error", "training", "masks", "whole",
                weighting=weighting, absent_as=MASK, **SOME,
            ),
            direction="below",
        )
        for weighting, (name, sentence) in said.items()
    ]  # fmt: skip


def _beside() -> list[Claim]:
    said = {
        "N6": (MASK, "masks", "Trained with masks and with sensors masked"),
        "N7": (NOISE, "noise", "Trained with failures and with sensors shown as noise"),
    }
    return [
        Claim(
            id=name,
            sentence=f"{begin}, learned credibility errs at most 5 % more than a plain product of "
            "experts with the same prior",
            source=f"{OWN}: weights that sum to 1 average precisions, and each sensor adds to them",
            estimand=ratio(
                "squared_error", "weighting", "learned", "poe",
                training=training, absent_as=way, **SOME,
            ),
            direction="below",
            margin=0.05,
        )
        for name, (way, training, begin) in said.items()
    ]  # fmt: skip


def _checks() -> list[Check]:
    return [
        Check(
            id="K1",
            sentence="A masked sensor has no share, exactly",
            source=OWN,
            measure="absent_share",
            where={"absent_as": MASK},
            equals=0.0,
        ),
        Check(
            id="K2",
            sentence="With all sensors masked the belief is the prior's alone",
            source=OWN,
            measure="lonely_prior_share",
            where={"absent_as": MASK},
            equals=1.0,
        ),
        Check(
            id="K3",
            sentence="No fusion errs 1 % less than the exact posterior, or better",
            source=f"{OWN}: the posterior mean has the least squared error; on a sample a fusion "
            "may come out ahead by chance",
            measure="excess_error",
            at_least=-0.01,
        ),
    ]
