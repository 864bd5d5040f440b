"""The study `conditions`: where credibility pays beside a plain product of experts, if anywhere."""

from typing import Any, get_args

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset, assign, sweep
from assay.core.estimands import mean, ratio
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.product_of_experts import data
from assay.systems.product_of_experts.choices import ObjectiveName
from assay.systems.product_of_experts.faults import FAILED, NOISY, SWAPPED, error_by_fault
from assay.systems.product_of_experts.train import train_fusion

OWN = "this study"
CONDITIONS: dict[str, tuple[tuple[str, Any], ...]] = {
    "usual": (("readings.samples", 20_000),),
    "few_samples": (("readings.samples", 200),),
    "many_sensors": (("several.count", 8),),
    "often_failing": (("readings.fail_chance", 0.5),),
    "swapped": (("readings.swap_chance", 0.2),),
}
"""What a condition changes; the usual one changes nothing."""
SAID = {
    "usual": ("In the usual condition (three sensors, 20,000 samples), with noise", NOISY),
    "few_samples": ("Trained on 200 samples, with noise", NOISY),
    "many_sensors": ("With eight sensors, with noise", NOISY),
    "often_failing": ("Where sensors fail half of the time, with a failure", FAILED),
    "swapped": ("Trained with a fifth of the readings swapped, with a swapped reading", SWAPPED),
}
"""What a condition is called, and the fault at which it is judged."""


def conditions_workflow() -> Workflow:
    """Sensors, readings of them, a fusion, and what it makes of faults."""
    flow = Workflow("conditions")
    several = flow.step("several", data.sensors)
    readings = flow.step("readings", data.sensor_readings, sensors=several)
    fit = flow.step("fit", train_fusion, sensors=several, readings=readings, steps=800)
    flow.step("struck", error_by_fault, sensors=several, model=fit.model)
    return flow


def conditions() -> Study:
    """Under which conditions does credibility pay?"""
    return Study(
        conditions_workflow(),
        title="Under which conditions does credibility pay beside a plain product of experts?",
        decisions={
            "condition": {
                name: [assign(parameter, value) for parameter, value in changed]
                for name, changed in CONDITIONS.items()
            },
            "weighting": sweep("fit.weighting", ["learned", "poe"]),
            "objective": sweep("fit.objective", list(get_args(ObjectiveName))),
        },
        seeds=5,
        claims=[*_comparisons(), *_found()],
        checks=[
            Check(
                id="K1",
                sentence="Every loss in training is a finite number",
                source=OWN,
                measure="training_loss",
                at_most=1e9,
            )
        ],
        presets={
            "tiny": Preset(
                set={"fit.steps": 15, "fit.batch": 64, "fit.width": 8, "struck.samples": 100},
                seeds=1,
                note="Fifteen steps each: proves the code path in under twenty seconds. Nothing "
                "has been learned by then, and one seed gives no claim a verdict.",
            ),
            "small": Preset(
                note="Five conditions, two weightings, two losses, 800 steps, five seeds.",
            ),
        },
        figures="assay.systems.product_of_experts.figures_conditions:conditions_figures",
    )


def _comparisons() -> list[Claim]:
    """Whether learned credibility errs less, by condition and loss."""
    losses = {
        "elbo": ("E", "with the loss of a variational autoencoder"),
        "likelihood": ("L", "trained for the likelihood"),
    }
    return [
        Claim(
            id=f"{letter}{number}",
            sentence=f"{begin} of its first sensor and {loss}, learned credibility errs less than "
            "a plain product of experts with the same prior",
            source=f"{OWN}: where does credibility pay, if a plain product of experts ties?",
            estimand=ratio(
                "squared_error", "weighting", "learned", "poe",
                condition=condition, objective=objective, fault=fault,
            ),
            direction="below",
        )
        for objective, (letter, loss) in losses.items()
        for number, (condition, (begin, fault)) in enumerate(SAID.items(), 1)
    ]  # fmt: skip


def _found() -> list[Claim]:
    """Whether the trust in a sensor tells that something happened to it."""
    learned: dict[str, Any] = {"weighting": "learned"}
    return [
        Claim(
            id="D1",
            sentence="Where sensors fail half of the time, less than 2 % of what the sensors "
            "contribute comes from the first while it has failed",
            source=f"{OWN}: a failure is reported",
            estimand=mean("share", condition="often_failing", fault=FAILED, **learned),
            direction="below",
            margin=0.02,
        ),
        Claim(
            id="D2",
            sentence="The share of a swapped sensor is lower than that of a right one in more than "
            "55 % of the pairs, where swapped ones were seen in training",
            source=f"{OWN}: not expected, as a credibility network sees its own modality alone, in "
            "which nothing is wrong",
            estimand=mean("found_by_share", condition="swapped", fault=SWAPPED, **learned),
            direction="above",
            margin=0.55,
        ),
    ]
