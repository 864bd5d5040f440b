"""Whose answers count: a declared list of rules, and the way from listed to included.

    inclusion:
    - without: [instrument, duplicate]     # findings that exclude
    - answered: 0.5                        # at least this share of the questions that were asked
    - seconds: 120                         # at least, where it is known
    - where: role != advisor               # a condition over the answers

Who did not submit is never included. Whoever fails several rules is counted at the first of them.
Of several forms of one team, `duplicate` excludes all but the one submitted last.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from assay.errors import DataError, did_you_mean
from assay.systems.competition_survey.answers import Answers, applies, holds
from assay.systems.competition_survey.check import CODES
from assay.systems.competition_survey.instrument import Instrument
from assay.systems.competition_survey.show_if import read_condition
from assay.systems.competition_survey.storage import normalised

__all__ = ["Inclusion", "Rule", "include", "read_rules"]


class Rule(NamedTuple):
    """One rule: what it is called where it is broken, its kind, and what it asks for."""

    reason: str
    kind: str
    asks: Any


class Inclusion(NamedTuple):
    """Whose answers count.

    Attributes:
        included: Their rows of the respondents.
        reasons: Why the others who submitted do not, by respondent (the index).
        flow: Columns ``stage``, ``reason`` and ``n``: the stages listed (invited; in an open
            survey and in imports, whoever began), started, completed and included, and for each
            reason how many are excluded by it, in the order of the rules.
    """

    included: pd.DataFrame
    reasons: pd.Series
    flow: pd.DataFrame


def read_rules(said: Sequence[Mapping[str, Any]], instrument: Instrument) -> tuple[Rule, ...]:
    """The rules as settings declare them.

    Args:
        said: One mapping for each, with one key.
        instrument: The questions that `where` asks about.

    Raises:
        DataError: If a rule is unknown or cannot be kept.
    """
    found = []
    for number, entry in enumerate(said, 1):
        where = f"inclusion rule {number}"
        if not isinstance(entry, Mapping) or len(entry) != 1:
            raise DataError(f"{entry!r} is no rule", where=where, accepted="`answered: 0.5`")
        kind, asks = next(iter(entry.items()))
        if kind not in _READ:
            hint = did_you_mean(str(kind), _READ)
            raise DataError(f"no rule {kind!r}", where=where, next=hint)
        try:
            found.append(_READ[kind](asks, instrument))
        except DataError as error:
            raise error.at(where) from error
    return tuple(found)


def include(
    instrument: Instrument, answers: Answers, findings: pd.DataFrame, rules: Iterable[Rule]
) -> Inclusion:
    """Apply the rules.

    Args:
        instrument: The questions.
        answers: Who was asked, and what was submitted.
        findings: What `check` found in them.
        rules: In the order in which they are applied.
    """
    people = answers.respondents
    status = people.status.to_numpy(dtype=object)
    completed = status == "completed"
    reason = np.full(len(people), "", dtype=object)
    counts = []
    for rule in rules:
        broken = completed & (reason == "") & ~_KEPT[rule.kind](rule, instrument, answers, findings)
        reason[broken] = rule.reason
        counts.append(("excluded", rule.reason, int(broken.sum())))
    kept = completed & (reason == "")
    stages = [
        ("listed", "", len(people)),
        ("started", "", int((status != "invited").sum())),
        ("completed", "", int(completed.sum())),
        *counts,
        ("included", "", int(kept.sum())),
    ]
    out = completed & ~kept
    return Inclusion(
        people.loc[kept].reset_index(drop=True),
        pd.Series(reason[out], index=people.respondent[out], name="reason", dtype="str"),
        pd.DataFrame(stages, columns=["stage", "reason", "n"]),
    )


def _read_without(asks: Any, _: Instrument) -> Rule:
    codes = [asks] if isinstance(asks, str) else asks
    if not isinstance(codes, list) or not codes:
        raise DataError(f"{asks!r} are no findings", accepted="[instrument, duplicate]")
    for code in codes:
        if not isinstance(code, str) or code not in CODES:
            raise DataError(f"no finding {code!r}", next=did_you_mean(str(code), CODES))
    return Rule(f"found: {', '.join(codes)}", "without", tuple(codes))


def _read_answered(asks: Any, _: Instrument) -> Rule:
    share = _number(asks, 1.0)
    return Rule(f"answered less than {share:.0%} of what was asked", "answered", share)


def _read_seconds(asks: Any, _: Instrument) -> Rule:
    seconds = _number(asks, np.inf)
    return Rule(f"submitted in less than {seconds:g} s", "seconds", seconds)


def _read_where(asks: Any, instrument: Instrument) -> Rule:
    if not isinstance(asks, str):
        raise DataError(f"{asks!r} is no condition", accepted="`deep == true`")
    condition = read_condition(asks, instrument.by_id)
    return Rule(f"not so: {asks}", "where", condition)


def _number(asks: Any, most: float) -> float:
    if isinstance(asks, bool) or not isinstance(asks, int | float) or not 0 <= asks <= most:
        raise DataError(f"{asks!r} is no number from 0 to {most:g}")
    return float(asks)


def _without(rule: Rule, _: Instrument, answers: Answers, findings: pd.DataFrame) -> np.ndarray:
    people = answers.respondents
    told = {code: people.respondent.isin(findings.respondent[findings.code == code])
            for code in rule.asks}  # fmt: skip
    repeated = told.pop("duplicate", np.zeros(len(people), bool))
    right = ~np.logical_or.reduce([np.zeros(len(people), bool), *told.values()])
    return right & ~(repeated & ~_latest(people, right))


def _latest(people: pd.DataFrame, right: np.ndarray) -> np.ndarray:
    """Of the right forms of each team the last; forms stand in the order of submission."""
    counts = right & (people.status == "completed").to_numpy(dtype=bool)
    teams = {team: normalised(team) for team in people.team.unique()}
    names = pd.DataFrame({"competition": people.competition, "team": people.team.map(teams)})
    later = names[counts].duplicated(keep="last").reindex(people.index, fill_value=True)
    return ~later.to_numpy(dtype=bool)


def _answered(rule: Rule, instrument: Instrument, answers: Answers, _: pd.DataFrame) -> np.ndarray:
    asked = applies(instrument, answers)
    pairs = answers.answers[["respondent", "question"]].drop_duplicates()
    row = asked.index.get_indexer(pairs.respondent)
    column = asked.columns.get_indexer(pairs.question)
    done = np.zeros(asked.shape, bool)
    done[row[column >= 0], column[column >= 0]] = True
    shown = asked.to_numpy()
    return (done & shown).sum(axis=1) >= rule.asks * shown.sum(axis=1)


def _seconds(rule: Rule, _: Instrument, answers: Answers, __: pd.DataFrame) -> np.ndarray:
    return ~(answers.respondents.seconds < rule.asks).to_numpy(dtype=bool)


def _where(rule: Rule, instrument: Instrument, answers: Answers, _: pd.DataFrame) -> np.ndarray:
    return holds(rule.asks, instrument, answers)


_READ: dict[str, Callable[[Any, Instrument], Rule]] = {
    "without": _read_without,
    "answered": _read_answered,
    "seconds": _read_seconds,
    "where": _read_where,
}
_KEPT: dict[str, Callable[[Rule, Instrument, Answers, pd.DataFrame], np.ndarray]] = {
    "without": _without,
    "answered": _answered,
    "seconds": _seconds,
    "where": _where,
}
