"""The board: who is first, by the rules of the challenge, and who is not ranked and why.

Notable: only entries whose every metric is a finite number are ranked, so that a submission that
failed can neither be first nor change anybody's place; the order of entries never matters, and a
board made again from the same submissions is the same to the byte.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from assay.parts.competition.schema import Challenge, Measure
from assay.parts.competition.scoring import Scored
from assay.parts.ranking.ranks import ranks
from assay.parts.ranking.schemes import Ranking, Scheme, consensus, rank
from assay.parts.ranking.scores import Scores

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Board", "Entry", "make_board", "scheme_of"]

NOT_RANKED = "not ranked"


@dataclass(frozen=True)
class Entry:
    """One submission on its way to the board.

    Attributes:
        name: Unique.
        team: That handed it in.
        method: In its own words.
        scored: Its scores; None if it was refused.
        problem: Why it was refused; empty otherwise.
        host: Whether the organisers' own: scored, and never ranked.
    """

    name: str
    team: str
    method: str
    scored: Scored | None
    problem: str = ""
    host: bool = False


@dataclass(frozen=True)
class Board:
    """Everybody's place.

    Attributes:
        table: One row for each entry, the first on top, the unranked below: ``place`` (NaN if it
            has none), ``entry``, ``team``, ``method``, ``mean_rank``, a column for each metric and
            one for the rank by it, and ``reason`` for whoever is not ranked.
        rankings: By metric, as ``task metric``.
        scores: By metric, where there is a value for each case, of the ranked entries.
    """

    table: "pd.DataFrame"
    rankings: Mapping[str, Ranking]
    scores: Mapping[str, Scores]


def scheme_of(challenge: Challenge) -> Scheme:
    """How a metric with values by case is ranked; missing predictions are filled in before."""
    rule = challenge.ranking
    method = "aggregate-then-rank" if rule.method == "overall" else rule.method
    return Scheme(
        method=method,
        aggregate=rule.aggregate,
        ties=rule.ties,
        missing=None if method == "rank-then-aggregate" else "omit",
        alpha=rule.alpha,
        adjust=rule.adjust,
        seed=rule.bootstrap.seed,
    )


def make_board(challenge: Challenge, entries: list[Entry]) -> Board:
    """Rank the entries of a phase.

    Args:
        challenge: By whose rules.
        entries: In any order.
    """
    entries = sorted(entries, key=lambda entry: entry.name)
    measures = {
        f"{task} {measure.id}": (task, measure)
        for task, said in challenge.tasks.items()
        for measure in said.metrics
    }
    reasons = {entry.name: _reason(entry) for entry in entries}
    ranked = [entry for entry in entries if not reasons[entry.name]]
    scores = {
        key: _scores(challenge, ranked, task, measure)
        for key, (task, measure) in measures.items()
        if ranked and measure.metric.has_cases
    }
    rankings = {
        key: rank(scores[key], scheme_of(challenge))
        if key in scores and challenge.ranking.method != "overall"
        else _by_overall(challenge, ranked, task, measure)
        for key, (task, measure) in measures.items()
        if ranked
    }
    return Board(_table(challenge, entries, reasons, rankings, measures), rankings, scores)


def _reason(entry: Entry) -> str:
    """Why an entry has no place; empty if it has one."""
    if entry.scored is None:
        return f"{NOT_RANKED}: {entry.problem or 'refused'}"
    if entry.host:
        return f"{NOT_RANKED}: the organisers' own"
    return f"{NOT_RANKED}: {'; '.join(entry.scored.reasons)}" if entry.scored.reasons else ""


def _scores(challenge: Challenge, ranked: list[Entry], task: str, measure: Measure) -> Scores:
    """The values by case of the entries that are ranked, on the cases whose truth is known."""
    columns, cases = [], ()
    for entry in ranked:
        rows = _rows(entry, task, measure, by_case=True)
        known = rows.dropna(subset=["value"])
        columns.append(_with_rule(challenge, known))
        cases = tuple(known["case"])
    return Scores(
        f"{task} {measure.id}",
        tuple(entry.name for entry in ranked),
        cases,
        np.column_stack(columns),
        measure.small_better,
    )


def _with_rule(challenge: Challenge, rows: "pd.DataFrame") -> np.ndarray:
    """Values, with what the challenge lets stand for a missing prediction; the worst is there."""
    rule = challenge.ranking.missing
    values = rows["value"].to_numpy(float)
    if rule in (None, "worst"):
        return values
    return np.where(rows["missing"], np.nan if rule == "na.rm" else float(rule or 0), values)


def _rows(entry: Entry, task: str, measure: Measure, *, by_case: bool) -> "pd.DataFrame":
    assert entry.scored is not None  # noqa: S101
    table = entry.scored.by_case if by_case else entry.scored.overall
    return table.loc[(table["task"] == task) & (table["metric"] == measure.id)]


def _overall(entry: Entry, task: str, measure: Measure) -> float:
    return float(_rows(entry, task, measure, by_case=False)["value"].iloc[0])


def _by_overall(challenge: Challenge, ranked: list[Entry], task: str, measure: Measure) -> Ranking:
    """A ranking by the one number of a metric."""
    values = np.array([_overall(entry, task, measure) for entry in ranked])
    rng = np.random.default_rng(challenge.ranking.bootstrap.seed)
    placed = ranks(values, small_better=measure.small_better, ties=challenge.ranking.ties, rng=rng)
    return Ranking(tuple(entry.name for entry in ranked), values, placed)


def _table(
    challenge: Challenge,
    entries: list[Entry],
    reasons: Mapping[str, str],
    rankings: Mapping[str, Ranking],
    measures: Mapping[str, tuple[str, Measure]],
) -> "pd.DataFrame":
    import pandas as pd

    places = _places(challenge, rankings)
    rows = []
    for entry in entries:
        place, mean_rank = places.get(entry.name, (np.nan, np.nan))
        row = {"place": place, "entry": entry.name, "team": entry.team, "method": entry.method,
               "mean_rank": mean_rank}  # fmt: skip
        for key, (task, measure) in measures.items():
            row[key] = np.nan if entry.scored is None else _overall(entry, task, measure)
            row[f"rank by {key}"] = _rank_in(rankings.get(key), entry.name)
        rows.append(row | {"reason": reasons[entry.name]})
    table = pd.DataFrame(rows, columns=_columns(list(measures)))
    return table.sort_values(["place", "entry"], na_position="last", ignore_index=True)


def _columns(measures: list[str]) -> list[str]:
    by_metric = [name for key in measures for name in (key, f"rank by {key}")]
    return ["place", "entry", "team", "method", "mean_rank", *by_metric, "reason"]


def _rank_in(ranking: Ranking | None, name: str) -> float:
    if ranking is None or name not in ranking.algorithms:
        return np.nan
    return float(ranking.rank[ranking.algorithms.index(name)])


def _places(
    challenge: Challenge, rankings: Mapping[str, Ranking]
) -> dict[str, tuple[float, float]]:
    """Place and mean rank of every ranked entry; without a consensus the first metric decides."""
    if not rankings:
        return {}
    first, rule = next(iter(rankings.values())), challenge.ranking
    key = first.rank if rule.consensus == "none" else consensus(list(rankings.values())).score
    rng = np.random.default_rng(rule.bootstrap.seed)
    placed = ranks(key, small_better=True, ties=rule.ties, rng=rng)
    return dict(zip(first.algorithms, zip(placed.tolist(), key.tolist(), strict=True), strict=True))
