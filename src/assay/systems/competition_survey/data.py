"""Steps that bring a survey into a workflow: its questions, answers, teams, and who is included."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from assay.core.component import File, component
from assay.core.records import Records
from assay.systems.competition_survey.answers import Answers, Competition, read_competitions
from assay.systems.competition_survey.check import CODES, check
from assay.systems.competition_survey.counting import within
from assay.systems.competition_survey.inclusion import include, read_rules
from assay.systems.competition_survey.instrument import (
    Instrument,
    read_instrument,
    ready_made,
)
from assay.systems.competition_survey.jsonl import read_jsonl

__all__ = [
    "COMPETITIONS",
    "RULES",
    "Included",
    "asked_of",
    "competition_table",
    "included",
    "questions",
    "survey_answers",
]

COMPETITIONS = ("competition", "team", "rank")
RULES: tuple[dict[str, Any], ...] = (
    {"without": [code for code, severity in CODES.items() if severity == "error"]},
)


class Included(NamedTuple):
    """Whose answers count, and the way there.

    Attributes:
        respondents: The teams included.
        answers: Theirs.
        findings: What is wrong with anybody's answers.
        flow: From those listed to those included: ``stage``, ``reason``, ``n``.
        records: ``teams`` by ``stage``; and ``flow_gap``, teams that submitted and are neither
            included nor left out for a reason.
    """

    respondents: pd.DataFrame
    answers: pd.DataFrame
    findings: pd.DataFrame
    flow: pd.DataFrame
    records: Records


@component(version="1")
def questions(*, file: File | None = None) -> Instrument:
    """Read the questions.

    Args:
        file: An instrument in YAML; the ready-made one if none is named.
    """
    return ready_made("participation") if file is None else read_instrument(file)


@component(version="1", requires=("pandas",))
def survey_answers(*, file: File) -> Answers:
    """Read answers that a survey exported.

    Args:
        file: JSON lines, one respondent each.
    """
    return read_jsonl(Path(file))


@component(version="1", requires=("pandas",))
def competition_table(*, file: File | None = None) -> pd.DataFrame:
    """Read the organiser's table of competitions, teams and ranks.

    Args:
        file: CSV; without it nothing is known of them.

    Returns:
        Columns ``competition``, ``team`` (empty where they are not known) and ``rank`` (1 is the
        best, NaN where it is not known).
    """
    return asked_of(read_competitions(Path(file)) if file else [])


def asked_of(competitions: list[Competition]) -> pd.DataFrame:
    """Competitions as a table."""
    rows = [
        (one.name, team, float(one.ranks.get(team, float("nan"))))
        for one in competitions
        for team in (one.teams or ("",))
    ]
    table = pd.DataFrame(rows, columns=list(COMPETITIONS))
    return table.astype({"competition": "str", "team": "str", "rank": float})


@component(version="1", requires=("numpy", "pandas"))
def included(
    instrument: Instrument,
    respondents: pd.DataFrame,
    answers: pd.DataFrame,
    *,
    rules: tuple[Mapping[str, Any], ...] = RULES,
    fastest_seconds: float = 60.0,
) -> Included:
    """Check all answers and keep those that count.

    Args:
        instrument: The questions.
        respondents: Everybody invited.
        answers: What was submitted.
        rules: Rules of inclusion, each a mapping of one key; in the order they are applied.
        fastest_seconds: A form submitted sooner is found to be hardly read.
    """
    both = Answers(respondents, answers)
    findings = check(instrument, both, fastest_seconds=fastest_seconds)
    made = include(instrument, both, findings, read_rules(rules, instrument))
    kept = within(both, made.included.respondent)
    records = Records()
    stages = made.flow[made.flow.reason == ""].set_index("stage").n
    for stage, n in stages.items():
        records.add("teams", n, stage=str(stage))
    left = made.flow[made.flow.reason != ""].n.sum()
    records.add("flow_gap", abs(stages["completed"] - left - stages["included"]))
    return Included(kept.respondents, kept.answers, findings, made.flow, records)
