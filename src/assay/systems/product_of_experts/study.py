"""The main study, `sensors`: sensors of known noise, where the best weights are known exactly."""

from typing import Any, get_args

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset, assign, sweep
from assay.core.estimands import mean, ratio, trend
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.product_of_experts import data
from assay.systems.product_of_experts.choices import ObjectiveName
from assay.systems.product_of_experts.evaluate import burst, error_by_noise, missing_sensors
from assay.systems.product_of_experts.train import train_fusion

PAPER = "Joshi et al. 2022, abstract"
CLOSED = "this study: the posterior of linear sensors with normal noise, in closed form"
OWN = "this study"
WEIGHTINGS = ["learned", "static", "entropy", "uniform", "poe", "moe", "mopoe"]
NOISY: dict[str, Any] = {"training": "noisy"}
ONE: dict[str, Any] = {**NOISY, "noised": "one"}
ELBO: dict[str, Any] = {**NOISY, "objective": "elbo"}
LIKELIHOOD: dict[str, Any] = {**NOISY, "objective": "likelihood"}


def sensors_workflow() -> Workflow:
    """Sensors, readings of them, a fusion trained on these, and what it makes of new ones."""
    flow = Workflow("sensors")
    several = flow.step("several", data.sensors)
    readings = flow.step("readings", data.sensor_readings, sensors=several)
    fit = flow.step("fit", train_fusion, sensors=several, readings=readings)
    flow.step("swept", error_by_noise, sensors=several, model=fit.model)
    flow.step("missing", missing_sensors, sensors=several, model=fit.model)
    flow.step("failing", burst, sensors=several, model=fit.model)
    return flow


def sensors() -> Study:
    """Does a fusion learn which sensor to trust, and what is that worth?"""
    return Study(
        sensors_workflow(),
        title="Does a fusion learn whom to trust, and what is it worth beside a plain product?",
        decisions={
            "weighting": sweep("fit.weighting", WEIGHTINGS),
            "objective": sweep("fit.objective", list(get_args(ObjectiveName))),
            "training": {
                "noisy": [
                    assign("readings.noise_chance", 0.4),
                    assign("readings.fail_chance", 0.1),
                ],
                "clean": [
                    assign("readings.noise_chance", 0.0),
                    assign("readings.fail_chance", 0.0),
                ],
            },
        },
        seeds=5,
        claims=[*_trust(), *_comparisons(), *_limits()],
        checks=_checks(),
        presets={
            "tiny": Preset(
                set={
                    "readings.samples": 1000,
                    "fit.steps": 30,
                    "fit.batch": 64,
                    "fit.width": 8,
                    "swept.levels": [0.0, 1.0, 3.0],
                    "swept.samples": 200,
                    "missing.samples": 100,
                    "failing.frames": 12,
                    "failing.series": 50,
                },
                seeds=1,
                note="Thirty steps each: proves the code path in under twenty seconds. Nothing has "
                "been learned by then, and one seed gives no claim a verdict.",
            ),
            "small": Preset(
                note="Seven weightings, two objectives, 2000 steps, with noise in training and "
                "without, five seeds; about an hour on two cores.",
            ),
        },
        figures="assay.systems.product_of_experts.figures:sensors_figures",
    )


def _trust() -> list[Claim]:
    learned = {"weighting": "learned"}
    return [
        Claim(
            id="C2",
            sentence="On the whole, what a sensor contributes falls as its noise grows",
            source=f"{PAPER}: the credibility of a modality varies its share",
            estimand=trend("share", "noise", **ONE, **learned),
            direction="below",
        ),
        Claim(
            id="C2a",
            sentence="Its credibility, the weight by itself, falls too",
            source=f"{PAPER}; weight and precision act through their product alone, so this need "
            "not follow",
            estimand=trend("credibility", "noise", **ONE, **learned),
            direction="below",
        ),
        Claim(
            id="S1",
            sentence="Trained for the likelihood, less than 5 % of the trust lies with the wrong "
            "sensors while one of them is noisy",
            source=CLOSED,
            estimand=mean("misplaced_share", noised="one", noisy=True, **LIKELIHOOD, **learned),
            direction="below",
            margin=0.05,
        ),
        Claim(
            id="S1a",
            sentence="The same while all of them are",
            source=CLOSED,
            estimand=mean("misplaced_share", noised="all", noisy=True, **LIKELIHOOD, **learned),
            direction="below",
            margin=0.05,
        ),
        Claim(
            id="S2",
            sentence="Trained for the likelihood, 95 % intervals hold the truth in 93 to 97 % of "
            "the cases, at the levels of noise tried on average",
            source=CLOSED,
            estimand=mean("coverage_gap", **LIKELIHOOD, **learned),
            direction="below",
            margin=0.02,
        ),
    ]


def _comparisons() -> list[Claim]:
    honest = f"{OWN}: the honest baseline, whose variances adapt to noise too"
    return [
        _beside(
            "poe",
            ELBO,
            id="B1",
            sentence="With the loss of a variational autoencoder (elbo), learned credibility errs "
            "at most 5 % more than a plain product of experts with the same noise and prior",
            source=honest,
            margin=0.05,
        ),
        _beside("poe", ELBO, id="B2", sentence="With that loss it errs less", source=honest),
        _beside(
            "poe",
            LIKELIHOOD,
            id="B3",
            sentence="Trained for the likelihood, for which a plain product can be exact, it errs "
            "at most 5 % more than that",
            source=honest,
            margin=0.05,
        ),
        _beside(
            "static",
            ELBO,
            id="B4",
            sentence="With the loss of a variational autoencoder (elbo), credibility that sees the "
            "input errs less than one weight per sensor and dimension",
            source=f"{OWN}: expected of a weight that varies with the noise",
        ),
        _beside(
            "uniform",
            ELBO,
            id="B5",
            sentence="With that loss it errs less than equal weights",
            source=f"{OWN}: the same",
        ),
    ]


def _beside(other: str, where: dict[str, Any], **said: Any) -> Claim:
    """A claim that learned credibility errs less than another weighting, or little more."""
    estimand = ratio("squared_error", "weighting", "learned", other, **where)
    return Claim(estimand=estimand, direction="below", **said)


def _limits() -> list[Claim]:
    learned = {"weighting": "learned"}
    return [
        Claim(
            id="C1",
            sentence="Without noise in training, the error grows on the whole with the noise of "
            "one sensor",
            source=f"{PAPER}: extreme noise destroys what a modality says",
            estimand=trend("squared_error", "noise", noised="one", training="clean"),
            direction="above",
        ),
        Claim(
            id="C5",
            sentence="Training with noise lowers the error of learned credibility under the most "
            "noise, by more than half",
            source=f"{OWN}: robustness needs noise in training",
            estimand=ratio(
                "squared_error", "training", "noisy", "clean", noise=3.0, noised="one", **learned
            ),
            direction="below",
            margin=-0.5,
        ),
        Claim(
            id="M1",
            sentence="Trained for the likelihood, without added noise and with some but not all "
            "sensors missing, learned credibility errs at most 5 % more than a plain product of "
            "experts",
            source=f"{OWN}: weights that sum to 1 average precisions, and each sensor adds to them",
            estimand=ratio(
                "missing_squared_error",
                "weighting",
                "learned",
                "poe",
                some_missing=True,
                **LIKELIHOOD,
            ),
            direction="below",
            margin=0.05,
        ),
        Claim(
            id="F1",
            sentence="While one sensor fails, learned credibility errs no more than 10 % more than "
            "a plain product of experts",
            source=OWN,
            estimand=ratio("squared_error_in_burst", "weighting", "learned", "poe", **NOISY),
            direction="below",
            margin=0.1,
        ),
        Claim(
            id="F2",
            sentence="Less than 5 % of the trust in the sensors lies with one while it fails",
            source=f"{CLOSED}: it deserves none",
            estimand=mean("share_in_burst", **NOISY, **learned),
            direction="below",
            margin=0.05,
        ),
    ]


def _checks() -> list[Check]:
    return [
        Check(
            id="K1",
            sentence="The shares of all sensors and of the prior sum to 1 in every dimension, to "
            "1e-5",
            source="lecture notes by a third party on the paper: the weights of a latent "
            "dimension sum to 1; of shares it is arithmetic",
            measure="share_sum_error",
            at_most=1e-5,
        ),
        Check(
            id="K2",
            sentence="Without any sensor the belief is the prior, to 1e-6",
            source=OWN,
            measure="prior_distance",
            at_most=1e-6,
        ),
        Check(
            id="K3",
            sentence="A missing sensor has no share, exactly",
            source=OWN,
            measure="missing_share",
            equals=0.0,
        ),
        Check(
            id="K4",
            sentence="The order of the sensors does not matter to means and log-variances, to "
            "1e-4: in reverse, or beginning with any of them",
            source=OWN,
            measure="order_difference",
            at_most=1e-4,
        ),
    ]
