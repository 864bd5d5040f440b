"""What may be printed: no count of fewer than five teams, nor any that gives one away.

* A count below five prints ``<5``, and its share nothing.
* Where the answers to a question exclude each other, their counts add up to a known total, so a
  hidden count could be had by subtraction. Then more are hidden, the smallest first, until every
  ``<5`` can be several numbers: ``withheld``. Of two answers the second is told as far as the
  first allows (``>95`` of 100). The options of a multiple choice each stand against *not chosen*.
* A question that is asked by an answer whose count is hidden would tell it by its base: the base
  and every count under it are withheld, shares are whole percents without intervals. So are those
  of a cross-table with a question of which anything is hidden.
* A quantile of numbers is printed where at least five teams, or competitions, lie on either side.
* Nothing is told by competitions of fewer than three teams each, nor over fewer than five of them;
  their dots have no name, and their shares are rounded to twentieths.

How many gave no answer, and how many are left out for which reason, is told exactly. What this does
not protect from: what a reader knows of a team from elsewhere, and two reports of
the same survey a few answers apart.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from assay.systems.competition_survey.instrument import Instrument
from assay.systems.competition_survey.show_if import named
from assay.systems.competition_survey.winners import read_strategy

__all__ = [
    "FEWEST",
    "WITHHELD",
    "hide",
    "percent",
    "released_crosstables",
    "released_numbers",
    "released_shares",
    "released_spread",
    "released_winners",
]

FEWEST = 5
SMALL, WITHHELD = f"<{FEWEST}", "withheld"
STEP = 0.05
"""What shares of single competitions are rounded to."""
LEAST = 3
"""Fewest teams of a competition that anything is told by, whatever was asked for."""
ESTIMATES = ["share", "low", "high", "cluster_low", "cluster_high", "median", "q1", "q3"]
QUARTILES = ["median", "q1", "q3"]


def percent(share: float, digits: int = 1) -> str:
    """A share in percent.

    Example:
        >>> percent(0.6875), percent(0.5), percent(0.6875, 0), percent(float("nan"))
        ('68.8 %', '50 %', '69 %', '')
    """
    if not np.isfinite(share):
        return ""
    text = f"{100 * share:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"


def hide(counts: Sequence[int]) -> list[str]:
    """What is not told of counts that add up to a known total.

    Returns:
        For each of them ``""`` (told), ``<5``, or ``withheld``.

    Example:
        >>> hide([60, 30, 3]), hide([60, 40, 0]), hide([60, 2, 3])
        (['', 'withheld', '<5'], ['', '', '<5'], ['', '<5', '<5'])
    """
    numbers = np.asarray(counts, int)
    line = np.where(numbers < FEWEST, SMALL, "").astype(object)
    _complete(line, numbers)
    return list(line)


def _complete(line: np.ndarray, counts: np.ndarray) -> None:
    """Hide more of one line, the smallest first, until its total tells no hidden count."""
    total, most = counts.sum(), len(counts) * (FEWEST - 1)
    if total < FEWEST or not (counts[line != ""] > 0).any():
        return
    if total < 2 * FEWEST or most - 2 < total <= most:  # decided by the total, so it tells nothing
        line[:] = WITHHELD
    while not _safe(line, counts):
        told = np.flatnonzero(line == "")
        if not len(told):
            line[:] = WITHHELD
            return
        line[told[counts[told].argmin()]] = WITHHELD


def _safe(line: np.ndarray, counts: np.ndarray) -> bool:
    """Whether the total leaves every ``<5`` open to a reader who knows these rules.

    Where nothing else is withheld, each must be able to be three numbers. Otherwise all of them
    together must be able to be anything from one to four: what is withheld is at least five, and
    at most the smallest count that is told.
    """
    small, withheld = int((line == SMALL).sum()), int((line == WITHHELD).sum())
    hidden = int(counts[line != ""].sum())
    if small + withheld < 2 or hidden < FEWEST:
        return False
    if not withheld:
        return hidden <= small * (FEWEST - 1) - 2
    largest = int(counts[line == ""].min(initial=hidden))
    least, most = hidden - largest * withheld, hidden - FEWEST * withheld
    return not small or (least <= 1 and most >= FEWEST - 1)


def _hide_one(n: int, total: int) -> str:
    """What is not told of one option of a multiple choice, against *not chosen*."""
    if FEWEST <= total < 2 * FEWEST and n < total:
        return WITHHELD
    if n < FEWEST:
        return SMALL
    return WITHHELD if 0 < total - n < FEWEST else ""


def released_shares(instrument: Instrument, table: pd.DataFrame) -> pd.DataFrame:
    """The shares that may be printed.

    Args:
        instrument: The questions.
        table: What `shares` made.

    Returns:
        The same rows; ``n`` and ``base`` as texts, ``hidden`` says how a count is hidden, and what
        could tell it is NaN.
    """
    found = table.copy()
    how, secret = _hidden_cells(instrument, table)
    answered = _answered(table)
    found["hidden"] = how
    found["n"] = [
        _count(str(n), h, pair, total)
        for n, h, pair, total in zip(table.n, how, _pairs(table), answered, strict=True)
    ]
    small_base = (table.base < FEWEST).to_numpy()
    guarded = table.question.isin(secret).to_numpy()
    found["base"] = np.select(
        [small_base, guarded], [SMALL, WITHHELD], table.base.astype(str).to_numpy(dtype=object)
    )
    gone = np.array([bool(h) for h in how]) | small_base
    found.loc[guarded | small_base, "n"] = [
        SMALL if h == SMALL else WITHHELD for h in found.hidden[guarded | small_base]
    ]
    found.loc[gone, ESTIMATES] = np.nan
    found.loc[guarded, ["low", "high", "cluster_low", "cluster_high"]] = np.nan
    found["share"] = np.where(guarded, found.share.round(2), found.share)
    found.loc[~_many(table), QUARTILES] = np.nan
    found[QUARTILES] = (found[QUARTILES] / STEP).round() * STEP
    found["share_said"] = [
        _share_said(*row)
        for row in zip(found.share, found.n, answered, table.base, guarded, strict=True)
    ]
    return found.drop(columns=["missing", "answered"]).assign(
        missing=np.where(guarded | small_base, "", table.missing.astype(str))
    )


def _hidden_cells(instrument: Instrument, table: pd.DataFrame) -> tuple[list[str], set[str]]:
    """How each count is hidden, and the questions whose base must not be told."""
    how = np.full(len(table), "", dtype=object)
    answered = _answered(table)
    groups: Any = table.groupby(["question", "row"], sort=False).indices
    for (question, _), at in groups.items():
        counts = [int(n) for n in table.n.iloc[at]]
        if instrument.question(str(question)).type == "multi":
            how[at] = [_hide_one(n, t) for n, t in zip(counts, answered[at], strict=True)]
        else:
            how[at] = hide(counts)
    hiding = set(table.question[how != ""])
    secret: set[str] = set()
    for question in instrument.asked:
        if question.show_if is not None and named(question.show_if) & (hiding | secret):
            secret.add(question.id)
    return list(how), secret


def _answered(table: pd.DataFrame) -> np.ndarray:
    """Teams that answered: what the counts of answers that exclude each other add up to."""
    exclusive = (table.type != "multi").to_numpy()
    total = table.groupby(["question", "row"])["n"].transform("sum").to_numpy(int)
    return np.where(exclusive, total, table.answered.to_numpy(int))


def _many(table: pd.DataFrame) -> np.ndarray:
    """Whether enough competitions of enough teams stand behind what is told by competitions."""
    return ((table.k >= FEWEST) & (table.min_n >= LEAST)).to_numpy(bool)


def _pairs(table: pd.DataFrame) -> np.ndarray:
    """Whether an answer has a single alternative."""
    several = table.groupby(["question", "row"])["n"].transform("size").to_numpy()
    return (several == 2) | (table.type == "multi").to_numpy()


def _count(n: str, how: str, pair: bool, total: int) -> str:
    if how != WITHHELD:
        return how or n
    return f">{total - FEWEST}" if pair and total > 2 * FEWEST else WITHHELD


def _share_said(share: float, n: str, answered: int, base: int, guarded: bool) -> str:
    if np.isfinite(share):
        return percent(share, 0 if guarded else 1)
    return f"more than {percent((answered - FEWEST) / base, 0)}" if n.startswith(">") else ""


def released_spread(spread: Any, shares: Any) -> pd.DataFrame:
    """Shares of single competitions that may be drawn: rounded, and at least five to an answer."""
    keys = ["question", "row", "option"]
    told = shares[(shares.hidden == "") & _many(shares) & shares.share.notna()]
    kept = spread.merge(told[[*keys, "answer"]], on=keys)
    kept["share"] = (kept.share / STEP).round() * STEP
    return kept.sort_values([*keys, "share"]).reset_index(drop=True)


def released_numbers(
    instrument: Instrument, table: pd.DataFrame, shares: pd.DataFrame
) -> pd.DataFrame:
    """The numbers that may be printed; ``n`` and ``base`` as texts."""
    found = table.copy()
    hiding = _hiding(shares)
    guarded = np.array(
        [
            (shown := instrument.question(q).show_if) is not None and bool(named(shown) & hiding)
            for q in table.question
        ],
        bool,
    )
    for name in ("n", "base"):
        text = table[name].astype(str).to_numpy(dtype=object)
        found[name] = np.select(
            [(table[name] < FEWEST).to_numpy(), guarded], [SMALL, WITHHELD], text
        )
    for beyond, names in (
        (table.n * 0.1, ["p10", "p90"]),
        (table.n * 0.25, ["q1", "q3", "low", "high"]),
        (table.n * 0.5, ["median"]),
        (table.k.where(_many(table), 0) * 0.25, ["competition_q1", "competition_q3"]),
        (table.k.where(_many(table), 0) * 0.5, ["competition_median"]),
    ):
        found.loc[(beyond < FEWEST).to_numpy(), names] = np.nan
    return found


def released_winners(
    instrument: Instrument, table: pd.DataFrame, shares: pd.DataFrame
) -> pd.DataFrame:
    """The models of ranks that may be printed: none that few teams decide, and no count of users.

    Args:
        instrument: The questions.
        table: What `winners` made.
        shares: The released shares: of a question that they hide anything of, no count is told.
    """
    hiding = _hiding(shares)
    guarded = [read_strategy(instrument, name).question in hiding for name in table.strategy]
    few = np.minimum(table.used, table.teams - table.used).to_numpy(int) < FEWEST
    found = table.drop(columns=["used"])
    found["teams"] = np.select(
        [(table.teams < FEWEST).to_numpy(), np.array(guarded, bool)],
        [SMALL, WITHHELD],
        table.teams.astype(str).to_numpy(dtype=object),
    )
    gone = few & table.effect.notna().to_numpy()
    found.loc[gone, ["effect", "error", "low", "high", "p", "ratio", "p_holm"]] = np.nan
    found["found"] = found.found.to_numpy(bool) & ~few
    said = f"not told: fewer than {FEWEST} teams used it, or fewer than {FEWEST} did not"
    found["note"] = [
        "; ".join(filter(None, (said, note))) if hidden else note
        for note, hidden in zip(table.note, gone, strict=True)
    ]
    return found


def _hiding(shares: pd.DataFrame) -> set[str]:
    """The questions of which released shares hide a count or the base."""
    return set(shares.question[(shares.hidden != "") | (shares.base == WITHHELD)])


def released_crosstables(
    instrument: Instrument, table: pd.DataFrame, shares: pd.DataFrame
) -> pd.DataFrame:
    """The cross-tables that may be printed; rows and columns are guarded until nothing changes.

    Args:
        instrument: The questions.
        table: What `crosstables` made.
        shares: The released shares: what they hide of either question must not be told here.
    """
    found = table.copy()
    how = np.full(len(table), "", dtype=object)
    groups: Any = table.groupby(["by", "question"], sort=False).indices
    for (by, question), at in groups.items():
        shape = (table.by_option.iloc[at].nunique(), -1)
        multi = [instrument.question(str(q)).type == "multi" for q in (by, question)]
        counts = table.n.to_numpy(int)[at].reshape(shape)
        bases = table.base.to_numpy(int)[at].reshape(shape)
        how[at] = _guarded(counts, bases, *multi).ravel()
    found["hidden"] = how
    gone = (how != "") | (table.base < FEWEST).to_numpy()
    row: Any = pd.Series(gone, index=table.index).groupby(
        [table.by, table.by_option, table.question]
    ).transform("any")  # fmt: skip
    hiding = _hiding(shares)
    row |= table.by.isin(hiding) | table.question.isin(hiding)
    found["n"] = np.select(
        [how != "", row.to_numpy(bool)], [how, WITHHELD], table.n.astype(str).to_numpy(dtype=object)
    )
    found["base"] = np.select(
        [(table.base < FEWEST).to_numpy(), row.to_numpy()],
        [SMALL, WITHHELD],
        table.base.astype(str).to_numpy(dtype=object),
    )
    found.loc[gone, ["share", "low", "high"]] = np.nan
    found.loc[row.to_numpy(), ["low", "high"]] = np.nan
    found["share"] = np.where(row, found.share.round(2), found.share)
    return found


def _guarded(counts: np.ndarray, bases: np.ndarray, by_multi: bool, multi: bool) -> np.ndarray:
    """How each cell of one cross-table is hidden."""
    how = np.where(counts < FEWEST, SMALL, "").astype(object)
    if multi:
        near = (bases - counts > 0) & (bases - counts < FEWEST) & (counts >= FEWEST)
        how[near] = WITHHELD
    for _ in range(counts.size):
        before = how.copy()
        lines = [*([] if multi else list(how)), *([] if by_multi else list(how.T))]
        values = [*([] if multi else counts), *([] if by_multi else counts.T)]
        for line, count in zip(lines, values, strict=True):
            _complete(line, count)
        if (how == before).all():
            break
    return how
