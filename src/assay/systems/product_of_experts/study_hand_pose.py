"""The study `hand_pose`: drawn hands in colour, depth and outline, with noise on the depth."""

from typing import Any

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset, assign
from assay.core.estimands import mean, ratio, trend
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.product_of_experts.hand_data import hands_from_rhd, rendered_hands
from assay.systems.product_of_experts.hand_evaluate import (
    example_hands,
    hand_error_by_noise,
    hands_without,
)
from assay.systems.product_of_experts.image_training import train_on_manifest

PAPER = "Joshi et al. 2022, abstract"
OWN = "this study"
VARIES = "expected of a weight that varies with the noise"
LEVELS = (0.0, 0.1, 0.25, 0.5, 1.0)
DEPTH: dict[str, Any] = {"noised": "depth"}
LEARNED: dict[str, Any] = {**DEPTH, "fusion": "learned"}
NOISE = {name: ["gaussian"] for name in ("color", "depth", "mask")}


def hand_pose_workflow() -> Workflow:
    """Hands drawn in the files of RHD, read from them, a fusion trained, and its errors."""
    flow = Workflow("hand_pose")
    hands = flow.step(
        "hands", rendered_hands, training=3000, evaluation=600, people=40, evaluation_people=12
    )
    samples = flow.step("samples", hands_from_rhd, folder=hands, size=32, depth_grain=2)
    fit = flow.step(
        "fit", train_on_manifest, samples=samples, key_points="hand", layouts={"depth": "depth"},
        corruptions=NOISE, noise_chance=0.5, largest_severity=1.0, missing_chance=0.1,
        prior="fixed", unimodal=True, latent=32, width=8, steps=1500, batch=32, rate=3e-3,
    )  # fmt: skip
    flow.step("swept", hand_error_by_noise, samples=samples, model=fit.model, levels=list(LEVELS))
    flow.step("missing", hands_without, samples=samples, model=fit.model)
    flow.step("examples", example_hands, samples=samples, model=fit.model)
    return flow


def _fusions() -> dict[str, Any]:
    """Ways to fuse, trained with noise, and two of them trained without."""
    found: dict[str, Any] = {
        name: assign("fit.weighting", name)
        for name in ("learned", "poe", "static", "uniform", "moe")
    }
    found["early"] = [assign("fit.weighting", "poe"), assign("fit.early", True)]
    for name in ("learned", "poe"):
        found[f"{name}_clean"] = [
            assign("fit.weighting", name), assign("fit.noise_chance", 0.0),
        ]  # fmt: skip
    return found


def hand_pose() -> Study:
    """What is learned credibility worth for the pose of a hand, when depth is noisy?"""
    return Study(
        hand_pose_workflow(),
        title="What is learned credibility worth for the pose of a hand, when depth is noisy?",
        decisions={"fusion": _fusions()},
        seeds=5,
        claims=[*_beside_a_plain_product(), *_trust(), *_others()],
        checks=_checks(),
        presets={
            "tiny": Preset(
                set={
                    "hands.training": 60,
                    "hands.evaluation": 20,
                    "hands.people": 4,
                    "hands.evaluation_people": 2,
                    "samples.size": 16,
                    "fit.steps": 10,
                    "fit.batch": 16,
                    "fit.width": 4,
                    "fit.latent": 8,
                    "swept.levels": [0.0, 0.5, 1.0],
                    "examples.count": 2,
                },
                seeds=1,
                only={"fusion": ["learned", "poe", "learned_clean"]},
                note="Ten steps each on 60 drawn hands: proves the code path in under twenty "
                "seconds. Nothing has been learned by then, and one seed gives no claim a verdict.",
            ),
            "small": Preset(
                note="Six fusions with noise in training and two without, 3000 drawn hands, 1500 "
                "steps, five seeds; about an hour of processor time, by the time of single fits.",
            ),
        },
        figures="assay.systems.product_of_experts.figures_images:hand_pose_figures",
    )


def _beside_a_plain_product() -> list[Claim]:
    """At every level of noise: not worse by more than 5 %, and better. Each has its own 95 %."""
    found: list[Claim] = []
    for k, level in enumerate(LEVELS):
        estimand = ratio("epe_mm", "fusion", "learned", "poe", noise=level, **DEPTH)
        where = f"With noise of {level:g} m on depth" if level else "Without noise"
        source = f"{OWN}: the honest baseline, with the same noise in training and the same prior"
        less = "learned credibility errs less than a plain product of experts"
        said = "learned credibility errs at most 5 % more than a plain product of experts"
        found += [
            Claim(
                id=f"N{k}", sentence=f"{where}, {said}", source=source, estimand=estimand,
                direction="below", margin=0.05,
            ),
            Claim(
                id=f"B{k}", sentence=f"{where}, {less}", source=source, estimand=estimand,
                direction="below",
            ),
        ]  # fmt: skip
    return found


def _trust() -> list[Claim]:
    falls = f"{PAPER}: the credibility of a modality varies its share"
    return [
        Claim(
            id="C2",
            sentence="What depth contributes falls in order with its noise: a rank correlation "
            "below -0.9",
            source=falls,
            estimand=mean("share_order", fusion="learned"),
            direction="below",
            margin=-0.9,
        ),
        Claim(
            id="C2a",
            sentence="Its credibility, the weight by itself, falls in order with its noise too",
            source=f"{falls}; weight and precision act through their product alone, so this need "
            "not follow",
            estimand=mean("credibility_order", fusion="learned"),
            direction="below",
            margin=-0.9,
        ),
        Claim(
            id="C2b",
            sentence="On the whole, what depth contributes falls as its noise grows",
            source=falls,
            estimand=trend("share", "noise", **LEARNED),
            direction="below",
        ),
    ]


def _others() -> list[Claim]:
    return [
        *(
            Claim(
                id=name,
                sentence=f"Over all levels of noise on depth, learned credibility errs less than "
                f"{words}",
                source=f"{OWN}: {why}",
                estimand=ratio("epe_mm", "fusion", "learned", other, **DEPTH),
                direction="below",
            )
            for name, other, words, why in (
                ("B5", "static", "one weight per modality and dimension", VARIES),
                ("B6", "uniform", "equal weights", VARIES),
                ("B7", "moe", "a mixture of experts", "a product of experts is sharper than each"),
                ("B8", "early", "one network of all channels", "a baseline without experts"),
            )
        ),
        Claim(
            id="M1",
            sentence="With noise of 1 m on depth, it errs at most 10 % more than with depth left "
            "out",
            source=f"{OWN}: depth as noisy as that says nothing",
            estimand=mean("beside_missing", noise=1.0, **LEARNED),
            direction="below",
            margin=0.1,
        ),
        Claim(
            id="C1",
            sentence="Trained without noise, the error grows with the noise on depth",
            source=f"{PAPER}: extreme noise destroys what a modality says",
            estimand=trend("epe_mm", "noise", fusion="learned_clean", **DEPTH),
            direction="above",
        ),
        Claim(
            id="C5",
            sentence="With noise of 1 m on depth, training with noise lowers the error of learned "
            "credibility",
            source=f"{OWN}: robustness needs noise in training",
            estimand=ratio("epe_mm", "fusion", "learned", "learned_clean", noise=1.0, **DEPTH),
            direction="below",
        ),
    ]


def _checks() -> list[Check]:
    return [
        Check(
            id="K1",
            sentence="The shares of all modalities and of the prior sum to 1, to 1e-4",
            source="lecture notes by a third party on the paper: the weights of a latent "
            "dimension sum to 1; of shares it is arithmetic",
            measure="share_sum_error",
            at_most=1e-4,
        ),
        Check(
            id="K2",
            sentence="A missing modality has no share, exactly",
            source=OWN,
            measure="missing_share",
            equals=0.0,
        ),
    ]
