"""The study `surgical_segmentation`: drawn scenes in four modalities, with noise on one of them."""

from typing import Any

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset, assign
from assay.core.estimands import mean, ratio, trend
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.product_of_experts.image_training import train_on_manifest
from assay.systems.product_of_experts.segmentation_evaluate import (
    ALL,
    example_frames,
    masks_by_noise,
    masks_in_a_burst,
    masks_without,
)
from assay.systems.product_of_experts.surgical_data import (
    MODALITIES,
    rendered_surgery,
    surgical_samples,
)

PAPER = "Joshi et al. 2022, abstract"
OWN = "this study"
LEVELS = (0.0, 0.1, 0.25, 0.5, 1.0)
COLOUR: dict[str, Any] = {"noised": "rgb"}
POOLED: dict[str, Any] = {"average": "pooled"}
LEARNED: dict[str, Any] = {"fusion": "learned"}
NOISE = {
    "rgb": ["gaussian", "smoke"],
    "flow": ["gaussian"],
    "depth": ["speckle"],
    "render": ["gaussian"],
}


def surgical_workflow() -> Workflow:
    """Scenes drawn, brought to the form of a model, a fusion trained, and its masks."""
    flow = Workflow("surgical_segmentation")
    scenes = flow.step(
        "scenes", rendered_surgery, sequences=60, frames=12, height=32, width=48, flo=False
    )
    samples = flow.step("samples", surgical_samples, scenes=scenes)
    fit = flow.step(
        "fit", train_on_manifest, samples=samples, layouts={"depth": "depth", "flow": "flow"},
        corruptions=NOISE, noise_chance=0.5, largest_severity=1.0, missing_chance=0.1,
        prior="fixed", spatial=True, latent=8, width=8, beta=0.001, unimodal=True, steps=1000,
        batch=16, rate=3e-3,
    )  # fmt: skip
    flow.step("swept", masks_by_noise, samples=samples, model=fit.model, levels=list(LEVELS))
    flow.step("without", masks_without, samples=samples, model=fit.model)
    flow.step("burst", masks_in_a_burst, samples=samples, model=fit.model)
    flow.step("examples", example_frames, samples=samples, model=fit.model)
    return flow


def _fusions() -> dict[str, Any]:
    """Ways to fuse, one of them trained without noise, and each modality by itself."""
    found: dict[str, Any] = {
        name: assign("fit.weighting", name) for name in ("learned", "poe", "uniform")
    }
    found["learned_clean"] = [
        assign("fit.weighting", "learned"),
        assign("fit.noise_chance", 0.0),
    ]
    for name in MODALITIES:
        found[f"only_{name}"] = [
            assign("fit.weighting", "poe"),
            assign("samples.modalities", [name]),
            assign("fit.corruptions", {name: NOISE[name]}),
            assign("fit.layouts", {name: name} if name in ("depth", "flow") else {}),
            assign("fit.missing_chance", 0.0),
            assign("fit.unimodal", False),
        ]
    return found


def segmentation() -> Study:
    """What is learned credibility worth for masks of instruments, when a modality is noisy?"""
    return Study(
        surgical_workflow(),
        title="What is learned credibility worth for masks of instruments, when the colours are "
        "noisy?",
        decisions={"fusion": _fusions()},
        seeds=5,
        claims=[*_beside_a_plain_product(), *_others(), *_trust()],
        checks=_checks(),
        presets={
            "tiny": Preset(
                set={
                    "scenes.sequences": 6,
                    "scenes.frames": 4,
                    "scenes.height": 32,
                    "scenes.width": 32,
                    "fit.steps": 6,
                    "fit.batch": 8,
                    "fit.width": 4,
                    "fit.latent": 4,
                    "swept.levels": [0.0, 0.5, 1.0],
                    "examples.count": 2,
                },
                seeds=1,
                only={"fusion": ["learned", "poe", "only_rgb"]},
                note="Six steps each on a handful of drawn frames: proves the code path in under "
                "twenty seconds. Nothing has been learned by then, and one seed gives no claim a "
                "verdict.",
            ),
            "small": Preset(
                note="Three weightings with noise in training, one without, each of four "
                "modalities by itself, 720 drawn frames of 32 by 48, 1000 steps, five seeds.",
            ),
        },
        figures="assay.systems.product_of_experts.figures_segmentation:surgical_figures",
    )


def _beside_a_plain_product() -> list[Claim]:
    """At every level of noise: not worse by more than 5 %, and better."""
    found: list[Claim] = []
    for k, level in enumerate(LEVELS):
        estimand = ratio(
            "mean_iou", "fusion", "learned", "poe", noise=level, **COLOUR, **POOLED
        )  # fmt: skip
        where = f"With noise of {level:g} on the colours" if level else "Without noise"
        source = f"{OWN}: the honest baseline, with the same noise in training and the same prior"
        found += [
            Claim(
                id=f"N{k}",
                sentence=f"{where}, the IoU of learned credibility is at most 5 % below that of a "
                "plain product of experts",
                source=source, estimand=estimand, direction="above", margin=-0.05,
            ),
            Claim(
                id=f"B{k}", sentence=f"{where}, the IoU of learned credibility is above that",
                source=source, estimand=estimand, direction="above",
            ),
        ]  # fmt: skip
    return found


def _others() -> list[Claim]:
    said = [
        ("B5", "uniform", "equal weights", "rgb", "a weight that sees the input"),
        ("B6", "only_rgb", "a network of the colours alone", "rgb", "more than one modality"),
        ("B7", "poe", "a plain product of experts, with noise on all modalities", ALL, "the "
         "same noise in training and the same prior"),
    ]  # fmt: skip
    beside = [
        Claim(
            id=name,
            sentence=f"Over all levels of noise, the IoU of learned credibility is above that of "
            f"{words}",
            source=f"{OWN}: {why}",
            estimand=ratio("mean_iou", "fusion", "learned", other, noised=noised, **POOLED),
            direction="above",
        )
        for name, other, words, noised, why in said
    ]
    return [
        *beside,
        Claim(
            id="C1",
            sentence="Trained without noise, the IoU falls as the noise on the colours grows",
            source=f"{PAPER}: extreme noise destroys what a modality says",
            estimand=trend("mean_iou", "noise", fusion="learned_clean", **COLOUR, **POOLED),
            direction="below",
        ),
        Claim(
            id="C5",
            sentence="With the most noise on the colours, training with noise raises the IoU of "
            "learned credibility",
            source=f"{OWN}: robustness needs noise in training",
            estimand=ratio(
                "mean_iou", "fusion", "learned", "learned_clean", noise=1.0, **COLOUR, **POOLED
            ),
            direction="above",
        ),
    ]


def _trust() -> list[Claim]:
    falls = f"{PAPER}: the credibility of a modality varies its share"
    order = "falls in order with their noise: a rank correlation below -0.9"
    return [
        Claim(
            id="C2",
            sentence=f"What the colours contribute {order}",
            source=falls,
            estimand=mean("share_order", **COLOUR, **LEARNED),
            direction="below",
            margin=-0.9,
        ),
        Claim(
            id="C2a",
            sentence=f"Their credibility, the weight by itself, {order}",
            source=f"{falls}; weight and precision act through their product alone, so this need "
            "not follow",
            estimand=mean("credibility_order", **COLOUR, **LEARNED),
            direction="below",
            margin=-0.9,
        ),
        Claim(
            id="C2b",
            sentence="Of all four modalities, what the noised one contributes falls on the whole "
            "as its noise grows",
            source=falls,
            estimand=trend("share", "noise", **LEARNED),
            direction="below",
        ),
        Claim(
            id="F1",
            sentence="In a burst of smoke the colours contribute less than before and after it",
            source=falls,
            estimand=mean("share_change", **LEARNED),
            direction="below",
        ),
        Claim(
            id="F2",
            sentence="In that burst the IoU of learned credibility is at most 5 % below that of a "
            "plain product of experts",
            source=OWN,
            estimand=ratio("mean_iou_in_burst", "fusion", "learned", "poe"),
            direction="above",
            margin=-0.05,
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
