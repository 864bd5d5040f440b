"""Every row of a table as a sentence: its numbers are those of the row, and there are no others."""

from typing import Any

import numpy as np

from assay.core.wording import number
from assay.systems.competition_survey.disclosure import SMALL, WITHHELD, percent

__all__ = [
    "compared",
    "crossed",
    "flow_in_words",
    "measured",
    "participated",
    "shared",
    "won",
]

Row = Any
"""A row of a table, as pandas gives it."""


def shared(row: Row) -> str:
    """One row of the released shares."""
    asked = f"“{row['answer']}” to “{row['text']}”"
    if row["base"] == SMALL:
        return (
            f"Fewer than 5 teams were asked “{row['text']}”: nothing is told of “{row['answer']}”."
        )
    if row["n"] == SMALL:
        return f"Fewer than 5 of {_of(row)} answered {asked}."
    if not row["share_said"]:
        return (
            f"How many of {_of(row)} answered {asked} is withheld: it would tell a smaller number."
        )
    teams = "" if row["n"] == WITHHELD or row["n"].startswith(">") else f"{row['n']} teams"
    parts = [p for p in (teams, *_intervals(row), _silent(row["missing"])) if p]
    said = f" ({'; '.join(parts)})" if parts else ""
    return f"{row['share_said'].capitalize()} of {_of(row)} answered {asked}{said}.{_median(row)}"


def measured(row: Row) -> str:
    """One row of the released numbers."""
    if row["n"] == SMALL:
        return f"Fewer than 5 teams answered “{row['text']}”: nothing is told."
    if not np.isfinite(row["median"]):
        return f"Too few teams answered “{row['text']}”: a median would be that of single teams."
    unit = f" {row['unit']}" if row["unit"] else ""
    parts = []
    if np.isfinite(row["q1"]):
        parts.append(f"quartiles {number(row['q1'])} and {number(row['q3'])}")
    if np.isfinite(row["low"]):
        reach = f"{number(row['low'])} to {number(row['high'])}"
        parts.append(f"95 % interval {reach}, by competitions")
    spread = f" ({'; '.join(parts)})" if parts else ""
    who = f"{row['n']} of " if row["n"] != WITHHELD else "those who answered of "
    who = "" if row["n"] == row["base"] != WITHHELD else who
    middle = f"{number(row['median'])}{unit}"
    said = f"To “{row['text']}” the median of {who}{_of(row)} is {middle}{spread}."
    if not np.isfinite(row["competition_median"]):
        return said
    over = f"{row['k']} competitions with at least {row['min_n']} answers"
    middle = f"{number(row['competition_median'])}{unit}"
    return f"{said} The median over the medians of {over} is {middle}."


def participated(row: Row) -> str:
    """One row of the summary of the participation."""
    what = {
        "responding": "of the teams that took part answered",
        "included": "of the teams that took part are included",
    }[row["share"]]
    lacks = (
        f" Without a number of teams, and so left out: {row['unknown']}." if row["unknown"] else ""
    )
    over = (
        f" More answers than teams, and so left out: {row['exceeded']}." if row["exceeded"] else ""
    )
    if not row["k"]:
        return f"What share {what} cannot be told.{lacks}{over}"
    reach = f"quartiles {percent(row['q1'])} and {percent(row['q3'])}"
    return (
        f"In the median over {row['k']} competitions, {percent(row['median'])} {what} ({reach})."
        f"{lacks}{over}"
    )


def crossed(row: Row) -> str:
    """One row of the released cross-tables."""
    condition = f"answered “{row['by_answer']}” to “{row['by_text']}”"
    if row["base"] == SMALL:
        return f"Fewer than 5 teams {condition}: nothing is told of “{row['answer']}”."
    of = f"the {row['base']} teams that {condition}".replace(f"the {WITHHELD} ", "the ")
    asked = f"“{row['answer']}” to “{row['text']}”"
    if row["n"] == SMALL:
        return f"Fewer than 5 of {of} answered {asked}."
    if not np.isfinite(row["share"]):
        return f"How many of {of} answered {asked} is withheld: it would tell a smaller number."
    if not np.isfinite(row["low"]):
        return f"{percent(row['share'], 0)} of {of} answered {asked}."
    reach = f"95 % interval {percent(row['low'])} to {percent(row['high'])}"
    return f"{percent(row['share'])} of {of} answered {asked} ({row['n']} teams; {reach})."


def won(row: Row) -> str:
    """One row of the table of winners."""
    who = f"Teams that answered {row['answer']} to “{row['text']}”"
    note = f" {row['note'].capitalize()}." if row["note"] else ""
    if not np.isfinite(row["effect"]):
        return f"{who}: nothing is told of their ranks.{note}"
    word = "better" if row["effect"] > 0 else "worse"
    clear = "told apart from chance" if row["found"] else "not told apart from chance"
    teams = "teams" if row["teams"] == WITHHELD else f"{row['teams']} teams"
    size = f"{teams} of {row['competitions']} competitions"
    return (
        f"{who} ranked {abs(row['effect']):.3f} {word} on a scale from 0, the last, to 1, the "
        f"first (95 % interval {row['low']:.3f} to {row['high']:.3f}; "
        f"Holm p = {row['p_holm']:.2g}, {clear}), among {size}.{note}"
    )


def compared(row: Row) -> str:
    """One row of the comparison with published figures."""
    say = _hours if row["kind"] == "median" else percent
    there = f"{say(row['published'])} published ({row['published_base']}; {row['source']})"
    if not np.isfinite(row["own"]):
        return f"{row['said'].capitalize()}: {there}; not told here."
    reach = ""
    if np.isfinite(row["own_low"]):
        reach = f", 95 % interval {say(row['own_low'])} to {say(row['own_high'])}"
    return (
        f"{row['said'].capitalize()}: {say(row['own'])} here ({row['own_base']}{reach}); {there}."
    )


def flow_in_words(row: Row) -> str:
    """One row of the way to the teams included; not everybody listed need have been invited."""
    if row["stage"] == "listed":
        return f"{row['n']} listed: invited, or with a form of their own accord."
    if row["stage"] == "excluded":
        return f"{row['n']} left out: {row['reason']}."
    return f"{row['n']} {row['stage']}."


def _of(row: Row) -> str:
    """Of whom: the base with its number."""
    words = row["base_in_words"]
    count = "" if row["base"] == WITHHELD else f"{row['base']} "
    return (
        f"all {count}{words.removeprefix('all ')}"
        if words.startswith("all ")
        else f"the {count}{words}"
    )


def _intervals(row: Row) -> list[str]:
    parts = []
    if np.isfinite(row["cluster_low"]):
        reach = f"{percent(row['cluster_low'])} to {percent(row['cluster_high'])}"
        parts.append(f"95 % interval {reach} by competitions")
    if np.isfinite(row["low"]):
        reach = f"{percent(row['low'])} to {percent(row['high'])}"
        parts.append(f"{reach} if teams were independent")
    return parts


def _silent(missing: str) -> str:
    return f"{missing} gave no answer" if missing not in ("", "0") else ""


def _median(row: Row) -> str:
    if not np.isfinite(row["median"]):
        return ""
    reach = f"quartiles {percent(row['q1'])} and {percent(row['q3'])}"
    over = f"{row['k']} competitions of at least {row['min_n']} teams"
    return f" In the median over {over} it is {percent(row['median'])} ({reach})."


def _hours(value: float) -> str:
    return number(value)
