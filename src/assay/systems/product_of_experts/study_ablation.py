"""The study `ablation`: what each part of learned credibility is worth, one change at a time."""

from typing import Any

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset, assign
from assay.core.estimands import mean, ratio, trend
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.product_of_experts import data
from assay.systems.product_of_experts.ablation import error_of_variant
from assay.systems.product_of_experts.train import train_fusion

PAPER = "Joshi et al. 2022, abstract"
NOTES = "lecture notes by a third party on the paper"
OWN = "this study"
FULL = "full"
VARIANTS: dict[str, tuple[tuple[str, Any], ...]] = {
    FULL: (("credibility", "own"),),
    "shared": (("credibility", "shared"),),
    "stopped": (("credibility", "stopped"),),
    "scalar": (("scalar", True),),
    "gated": (("weighting", "gated"),),
    "no_prior": (("prior", "none"),),
    "weighted_prior": (("prior", "weighted"),),
    "latent_6": (("latent", 6),),
    "latent_12": (("latent", 12),),
}
"""Parameters of the training that a variant changes; the full method changes nothing."""


def ablation_workflow() -> Workflow:
    """Sensors, readings of them, a fusion with one part changed, and its errors."""
    flow = Workflow("ablation")
    several = flow.step("several", data.sensors)
    readings = flow.step("readings", data.sensor_readings, sensors=several)
    fit = flow.step("fit", train_fusion, sensors=several, readings=readings, steps=800)
    flow.step("swept", error_of_variant, sensors=several, model=fit.model)
    return flow


def ablation() -> Study:
    """Which part of learned credibility earns what?"""
    return Study(
        ablation_workflow(),
        title="Which part of learned credibility earns what?",
        decisions={
            "variant": {
                name: [assign(f"fit.{parameter}", value) for parameter, value in changed]
                for name, changed in VARIANTS.items()
            }
        },
        seeds=5,
        claims=[*_claims(), *_trust()],
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
                set={
                    "readings.samples": 500,
                    "fit.steps": 15,
                    "fit.batch": 64,
                    "fit.width": 8,
                    "swept.levels": [0.0, 1.0, 3.0],
                    "swept.samples": 100,
                },
                seeds=1,
                note="Fifteen steps each: proves the code path in under twenty seconds. Nothing "
                "has been learned by then, and one seed gives no claim a verdict.",
            ),
            "small": Preset(
                note="Nine variants, the loss of a variational autoencoder, 800 steps, five seeds.",
            ),
        },
        figures="assay.systems.product_of_experts.figures_ablation:ablation_figures",
    )


def _claims() -> list[Claim]:
    return [
        _full_beside(
            "shared", "A1",
            "With a network of its own for credibility, a fusion errs less than with a head on the "
            "encoder",
            f"{PAPER}: a separate network per modality",
        ),
        _full_beside(
            "stopped", "A2",
            "It errs less than with a head that sends no gradient into the encoder",
            f"{PAPER}: a separate network per modality",
        ),
        Claim(
            id="A3",
            sentence="A head on the encoder errs less with its gradient than without",
            source=OWN,
            estimand=ratio("squared_error", "variant", "shared", "stopped"),
            direction="below",
        ),
        _full_beside(
            "scalar", "A4",
            "With one weight per dimension it errs less than with one per sensor",
            f"{NOTES}: the weights of one latent dimension sum to 1",
        ),
        _full_beside(
            "gated", "A5",
            "With weights that sum to 1 it errs at most 5 % more than with sigmoids that need not",
            f"{NOTES}: the weights of one latent dimension sum to 1",
            margin=0.05,
        ),
        _full_beside(
            "no_prior", "A6",
            "With the prior as an expert of weight 1 it errs at most 5 % more than without",
            f"{OWN}: with weights that sum to 1 the prior is counted beside them",
            margin=0.05,
        ),
        _full_beside(
            "weighted_prior", "A7",
            "It errs at most 5 % more than where the prior competes with a weight of its own",
            OWN,
            margin=0.05,
        ),
        _full_beside(
            "latent_6", "A8",
            "With a latent state as large as the state it errs at most 5 % more than with twice "
            "that",
            OWN,
            margin=0.05,
        ),
        _full_beside(
            "latent_12", "A9",
            "The same, with four times that",
            OWN,
            margin=0.05,
        ),
    ]  # fmt: skip


def _full_beside(other: str, name: str, sentence: str, source: str, margin: float = 0.0) -> Claim:
    return Claim(
        id=name,
        sentence=sentence,
        source=source,
        estimand=ratio("squared_error", "variant", FULL, other),
        direction="below",
        margin=margin,
    )


def _trust() -> list[Claim]:
    falls = f"{PAPER}: the credibility of a modality varies its share"
    return [
        Claim(
            id="C2",
            sentence="Over all variants, what a sensor contributes falls on the whole as its noise "
            "grows",
            source=falls,
            estimand=trend("share", "noise", noised="one"),
            direction="below",
        ),
        Claim(
            id="C2a",
            sentence="With one weight for all dimensions of a sensor, less than 10 % of what the "
            "sensors contribute comes from one with noise of standard deviation 3",
            source=f"{falls}; precision still varies by dimension",
            estimand=mean("share", variant="scalar", noised="one", noise=3.0),
            direction="below",
            margin=0.1,
        ),
    ]
