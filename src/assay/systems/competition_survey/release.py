"""The step after which nothing of a single team is left: what the report and its files stand on."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pandas as pd

from assay.core.component import File, component
from assay.core.records import Records
from assay.systems.competition_survey import sentences
from assay.systems.competition_survey.disclosure import (
    released_crosstables,
    released_numbers,
    released_shares,
    released_spread,
    released_winners,
)
from assay.systems.competition_survey.instrument import Instrument
from assay.systems.competition_survey.published import beside, published, read_figures

__all__ = ["Released", "released"]


class Released(NamedTuple):
    """Tables that may be printed; each has a column ``sentence`` that says its row.

    Attributes:
        shares: Shares with counts as texts.
        spread: Shares of single competitions, rounded, without names.
        numbers: What was answered in numbers.
        participation: Its summary.
        crosstables: Declared cross-tables.
        comparison: Own beside published figures.
        winners: The mixed models.
        flow: From listed to included.
        records: ``share`` of each ``question``, ``row`` and ``option``, and ``median`` of numbers.
    """

    shares: pd.DataFrame
    spread: pd.DataFrame
    numbers: pd.DataFrame
    participation: pd.DataFrame
    crosstables: pd.DataFrame
    comparison: pd.DataFrame
    winners: pd.DataFrame
    flow: pd.DataFrame
    records: Records


@component(version="2", requires=("numpy", "pandas"))
def released(
    instrument: Instrument,
    shares: pd.DataFrame,
    spread: pd.DataFrame,
    numbers: pd.DataFrame,
    participation: pd.DataFrame,
    crosstables: pd.DataFrame,
    winners: pd.DataFrame,
    flow: pd.DataFrame,
    *,
    compare: File | None = None,
) -> Released:
    """Hide what would tell of few teams, and say every row in a sentence.

    Args:
        instrument: The questions.
        shares: Table of `shares`.
        spread: Its shares of single competitions.
        numbers: Table of `numbers`.
        participation: Summary of `participation`.
        crosstables: Table of `crosstables`.
        winners: Table of `winners`.
        flow: From listed to included.
        compare: Figures to compare with; the published ones that come along if none are named.
    """
    told = released_shares(instrument, shares)
    figures = released_numbers(instrument, numbers, told)
    pairs = released_crosstables(instrument, crosstables, told)
    models = released_winners(instrument, winners, told)
    others = read_figures(compare) if compare else published()
    comparison = beside(others, told, figures, participation)
    dots = released_spread(spread, told)
    return Released(
        _said(told, sentences.shared),
        dots,
        _said(figures, sentences.measured),
        _said(participation, sentences.participated),
        _said(pairs, sentences.crossed),
        _said(comparison, sentences.compared),
        _said(models, sentences.won),
        _said(flow, sentences.flow_in_words),
        _records(told, figures),
    )


def _said(table: pd.DataFrame, say: Callable[[Any], str]) -> pd.DataFrame:
    """A table with its rows in words."""
    words = [say(row) for _, row in table.iterrows()]
    return table.assign(sentence=pd.Series(words, index=table.index, dtype="str"))


def _records(shares: pd.DataFrame, numbers: pd.DataFrame) -> Records:
    records = Records()
    told: Any = shares[shares.share.notna()]
    for row in told.itertuples():
        keys = {"question": row.question, "row": row.row, "option": row.option}
        records.add("share", float(row.share), **{k: str(v) for k, v in keys.items()})
    figures: Any = numbers[numbers["median"].notna()]
    for row in figures.to_dict("records"):
        records.add("median", row["median"], row["unit"] or "1", question=row["question"])
    return records
