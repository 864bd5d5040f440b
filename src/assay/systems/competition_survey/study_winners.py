"""The study `winners`: does the mixed model find the strategies planted, and only those?"""

from assay.core.claims import Claim
from assay.core.decisions import Preset, assign
from assay.core.estimands import difference, mean
from assay.core.study import Study
from assay.core.workflow import Ref, Workflow
from assay.systems.competition_survey import data
from assay.systems.competition_survey.evaluate import strategies_found
from assay.systems.competition_survey.simulate import PLANTED, simulate
from assay.systems.competition_survey.winners import winners

NONE, TWO = "none", "two"
INTERCEPT, WITHIN = "random intercept", "within competitions"
WEAK = {name: 0.4 for name in PLANTED}


def winners_workflow() -> Workflow:
    """A simulated survey without faults, and the model of its ranks."""
    flow = Workflow("winners")
    instrument = flow.step("instrument", data.questions)
    survey = flow.step("survey", simulate, instrument=instrument, broken=0.0)
    flow.step("kept", data.included, instrument=instrument, respondents=survey.respondents,
              answers=survey.answers)  # fmt: skip
    flow.step(
        "winners", winners, instrument=instrument, respondents=Ref("kept", "respondents"),
        answers=Ref("kept", "answers"), competitions=survey.competitions,
    )  # fmt: skip
    flow.step("found", strategies_found, winners=Ref("winners"))
    return flow


def _planted(effects: dict[str, float]) -> list[object]:
    return [assign("survey.planted", effects), assign("found.planted", effects)]


def winners_study() -> Study:
    """Two strategies that raise a team's quality, by one model and another."""
    return Study(
        winners_workflow(),
        title="Does the model of ranks find the strategies that win, and only those?",
        decisions={
            "planted": {NONE: _planted({}), "weak": _planted(WEAK), TWO: _planted(dict(PLANTED))},
            "model": {
                INTERCEPT: assign("winners.centred", False),
                WITHIN: assign("winners.centred", True),
            },
        },
        seeds=100,
        claims=[
            Claim(
                id="W1",
                sentence="Strategies that raise quality by 0.8 standard deviations are found in "
                "more than eight of ten surveys",
                source="this study; the two strategies are those of arXiv 2303.17719, the size of "
                "their effect is ours",
                estimand=mean("found", planted=TWO, model=INTERCEPT),
                direction="above",
                margin=0.8,
            ),
            Claim(
                id="W2",
                sentence="Where no strategy has an effect, fewer than one survey in ten finds one",
                source="this study; nominal is one in twenty",
                estimand=mean("any_false", planted=NONE, model=INTERCEPT),
                direction="below",
                margin=0.1,
            ),
            Claim(
                id="W3",
                sentence="Where two have one, fewer than one survey in ten finds another",
                source="this study",
                estimand=mean("any_false", planted=TWO, model=INTERCEPT),
                direction="below",
                margin=0.1,
            ),
            Claim(
                id="W4",
                sentence="Comparing teams within their competition gives larger effects than a "
                "random intercept",
                source="this study; the mean of normalised ranks is the same in every "
                "competition, so differences between competitions pull the effect to zero",
                estimand=difference("effect", "model", WITHIN, INTERCEPT, planted=TWO),
                direction="above",
            ),
        ],
        presets={
            "tiny": Preset(
                only={"planted": [NONE, TWO]},
                set={"survey.competitions": 40},
                seeds=2,
                note="Four surveys of 40 competitions, each by two models; under twenty seconds.",
            ),
            "small": Preset(
                note="Three hundred surveys of 80 competitions, each by two models; about ten "
                "minutes on two cores.",
            ),
        },
        figures="assay.systems.competition_survey.figures_studies:winners_figures",
    )
