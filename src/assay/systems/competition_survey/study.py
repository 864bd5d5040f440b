"""The main study, `practice`: does the analysis of a survey find what the survey was drawn from?"""

from pathlib import Path
from typing import Any

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset
from assay.core.estimands import mean
from assay.core.study import Study
from assay.core.workflow import Ref, Workflow
from assay.systems.competition_survey import data
from assay.systems.competition_survey.crosstables import crosstables
from assay.systems.competition_survey.evaluate import coverage, ledger_kept, recovered
from assay.systems.competition_survey.release import released
from assay.systems.competition_survey.shares import numbers, participation, shares
from assay.systems.competition_survey.simulate import simulate
from assay.systems.competition_survey.winners import winners

MARGINALS = [0.16, 0.25, 0.37, 0.5, 0.7, 0.94]
"""Published shares between the smallest and the largest."""
PAIRS = (("failure_analysis", "ensemble"),)
NOMINAL = 0.93
FLOW = Check(
    id="K3",
    sentence="Everybody who submitted is included or left out for a reason",
    source="this study",
    measure="flow_gap",
    equals=0.0,
)


def analysis(flow: Workflow, instrument: Ref, people: Ref, answers: Ref, competitions: Ref,
             **settings: Any) -> None:  # fmt: skip
    """Add the steps from answers to what may be printed; ``settings`` are values by step."""

    def given(step: str) -> dict[str, Any]:
        return settings.get(step, {})

    kept = flow.step("kept", data.included, instrument=instrument, respondents=people,
                     answers=answers, **given("kept"))  # fmt: skip
    those = {"instrument": instrument, "respondents": kept.respondents, "answers": kept.answers}
    told = flow.step("shares", shares, **those, **given("shares"))
    figures = flow.step("numbers", numbers, **those, **given("numbers"))
    part = flow.step("participation", participation, competitions=competitions, respondents=people,
                     included=kept.respondents)  # fmt: skip
    pairs = flow.step("crosstables", crosstables, **those, **given("crosstables"))
    best = flow.step("winners", winners, **those, competitions=competitions, **given("winners"))
    flow.step(
        "released", released, instrument=instrument, shares=told.table, spread=told.spread,
        numbers=figures, participation=part.summary, crosstables=pairs, winners=best,
        flow=kept.flow, **given("released"),
    )  # fmt: skip


def practice_workflow() -> Workflow:
    """A simulated survey, checked and analysed, beside what it was drawn from."""
    flow = Workflow("practice")
    instrument = flow.step("instrument", data.questions)
    survey = flow.step("survey", simulate, instrument=instrument)
    analysis(flow, instrument, survey.respondents, survey.answers, survey.competitions,
             crosstables={"pairs": PAIRS})  # fmt: skip
    flow.step("ledger", ledger_kept, ledger=survey.ledger, findings=Ref("kept", "findings"))
    flow.step(
        "recovered", recovered, truth=survey.truth, shares=Ref("shares", "table"),
        numbers=Ref("numbers"), summary=Ref("participation", "summary"),
    )  # fmt: skip
    flow.each("coverage", coverage, over={"marginal": MARGINALS})
    return flow


def practice() -> Study:
    """Surveys of teams that never were, with known practice, known faults and known ranks."""
    return Study(
        practice_workflow(),
        title="Does the analysis of a survey find the practice it was drawn from, and every fault?",
        seeds=20,
        claims=[
            Claim(
                id="P1",
                sentence="On average over the published shares, pooled shares are neither too high "
                "nor too low by a point",
                source="this study",
                estimand=mean("share_error"),
                direction="within",
                margin=0.01,
            ),
            Claim(
                id="P2",
                sentence="The interval by competitions covers the share that surveys are drawn "
                "from at least 93 times in a hundred",
                source="this study; nominal are 95",
                estimand=mean("coverage", interval="competitions"),
                direction="above",
                margin=NOMINAL,
            ),
            Claim(
                id="P3",
                sentence="Wilson's interval, which takes teams to be independent, covers it less "
                "than 93 times in a hundred",
                source="this study; teams of one competition resemble each other",
                estimand=mean("coverage", interval="wilson"),
                direction="below",
                margin=NOMINAL,
            ),
        ],
        checks=[
            Check(
                id="K1",
                sentence="Every planted fault is found",
                source="this study",
                measure="faults_missed",
                equals=0.0,
            ),
            Check(
                id="K2",
                sentence="Nothing else is found",
                source="this study",
                measure="false_findings",
                equals=0.0,
            ),
            FLOW,
        ],
        presets={
            "tiny": Preset(
                set={"coverage.repeats": 40, "coverage.marginal": [0.37, 0.94]},
                seeds=2,
                note="Two surveys of 80 competitions; intervals of 160 more. Proves the code path "
                "in under a minute.",
            ),
            "small": Preset(
                set={"coverage.repeats": 500},
                seeds=40,
                note="Forty surveys of 80 competitions and the intervals of 120 thousand, minutes "
                "on two cores.",
            ),
        },
        figures="assay.systems.competition_survey.figures:practice_figures",
    )


def survey_workflow(
    answers: Path,
    *,
    instrument: Path | None = None,
    competitions: Path | None = None,
    **settings: Any,
) -> Workflow:
    """The analysis of a real survey.

    Args:
        answers: Its answers as JSON lines.
        instrument: Its questions; the ready-made ones if not given.
        competitions: The organiser's table, if there is one.
        **settings: Parameters by step, such as ``shares={"min_n": 5}``.
    """
    flow = Workflow("survey")
    asked = flow.step("instrument", data.questions, file=instrument)
    given = flow.step("answers", data.survey_answers, file=answers)
    table = flow.step("competitions", data.competition_table, file=competitions)
    analysis(flow, asked, given.respondents, given.answers, table, **settings)
    return flow


def survey(title: str, answers: Path, **rest: Any) -> Study:
    """The study that reports a real survey; it varies nothing.

    Args:
        title: Heading of the report.
        answers: The answers as JSON lines.
        **rest: What `survey_workflow` takes.
    """
    return Study(
        survey_workflow(answers, **rest),
        title=title,
        checks=[FLOW.model_copy(update={"id": "K1"})],
        figures="assay.systems.competition_survey.figures:survey_figures",
    )
