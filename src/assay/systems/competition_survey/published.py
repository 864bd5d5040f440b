"""The published figures that could be read, and one's own beside them."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from assay.core.markup import read_yaml
from assay.errors import AssayError, DataError, did_you_mean

__all__ = ["Figure", "beside", "own_value", "published", "read_figures"]

KINDS = ("share", "median", "participation")
KEYS = ("id", "kind", "question", "option", "not", "value", "base", "read", "said")


@dataclass(frozen=True)
class Figure:
    """One published figure.

    Attributes:
        id: Its name.
        kind: ``share``, ``median`` or ``participation``.
        value: As published; a share between 0 and 1.
        base: What it is a share of, in the publication's sense.
        said: What it says, in words.
        read: Where it was read, such as ``abstract``.
        source: The publication.
        question: The question of the ready-made instrument that asks for the same.
        option: The answer meant.
        negated: Whether all answers but that one are meant.
    """

    id: str
    kind: str
    value: float
    base: str
    said: str
    read: str
    source: str
    question: str = ""
    option: str = ""
    negated: bool = False


def published() -> tuple[Figure, ...]:
    """The figures that come along."""
    text = (files(__name__.rpartition(".")[0]) / "published.yaml").read_text(encoding="utf-8")
    return _read(text, "published.yaml")


def read_figures(path: Path) -> tuple[Figure, ...]:
    """Read figures to compare with, such as those of one's own last survey.

    Raises:
        DataError: If the file cannot be read, or an entry is not what it should be.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError("cannot be read", where=str(path), accepted="a YAML file") from error
    return _read(text, str(path))


def beside(
    figures: tuple[Figure, ...], shares: pd.DataFrame, numbers: pd.DataFrame, summary: pd.DataFrame
) -> pd.DataFrame:
    """Published figures with one's own.

    Args:
        figures: What was published.
        shares: Table of shares, of `shares` or released.
        numbers: Table of numbers.
        summary: Summary of the participation.

    Returns:
        One row per figure: ``published`` and its base, ``own``, ``own_low`` and ``own_high``,
        ``own_base`` and ``own_median`` over competitions; NaN where one's own is not known.
    """
    rows = [
        {
            "figure": f.id,
            "said": f.said,
            "kind": f.kind,
            "question": f.question,
            "option": "" if f.negated else f.option,
            "published": f.value,
            "published_base": f.base,
            "source": f"{f.source}, {f.read}",
            **own_value(f, shares, numbers, summary),
        }
        for f in figures
    ]
    return pd.DataFrame(rows)


def own_value(
    figure: Figure, shares: pd.DataFrame, numbers: pd.DataFrame, summary: pd.DataFrame
) -> dict[str, Any]:
    """One's own value of a published figure, with its interval and base."""
    nothing = {"own": np.nan, "own_low": np.nan, "own_high": np.nan, "own_base": "",
               "own_median": np.nan}  # fmt: skip
    if figure.kind == "participation":
        row = summary[summary["share"] == "responding"].iloc[0]
        base = f"{row['k']} competitions"
        return nothing | {"own": row["median"], "own_base": base, "own_median": row["median"]}
    if figure.kind == "median":
        found = numbers[numbers.question == figure.question]
        return nothing if found.empty else nothing | _number(found.iloc[0])
    found = shares[(shares.question == figure.question) & (shares.option == figure.option)]
    return nothing if found.empty else nothing | _share(found.iloc[0], figure.negated)


def _number(row: Any) -> dict[str, Any]:
    return {
        "own": row["median"],
        "own_low": row["low"],
        "own_high": row["high"],
        "own_base": f"{row['n']} of {row['base_in_words']}",
        "own_median": row["competition_median"],
    }


def _share(row: Any, negated: bool) -> dict[str, Any]:
    low, high = row["cluster_low"], row["cluster_high"]
    flip = (lambda v: 1 - v) if negated else (lambda v: v)
    return {
        "own": flip(row["share"]),
        "own_low": flip(high if negated else low),
        "own_high": flip(low if negated else high),
        "own_base": f"{row['base']} {row['base_in_words'].removeprefix('all ')}",
        "own_median": flip(row["median"]),
    }


def _read(text: str, where: str) -> tuple[Figure, ...]:
    try:
        said = read_yaml(text)
    except AssayError as error:
        raise error.at(where) from error
    if not isinstance(said, Mapping) or not isinstance(said.get("figures"), list):
        raise DataError("has no figures", where=where, accepted="`source:` and `figures: [...]`")
    source = str(said.get("source", where))
    return tuple(_figure(entry, source, where) for entry in said["figures"])


def _figure(entry: Any, source: str, where: str) -> Figure:
    if not isinstance(entry, Mapping):
        raise DataError(f"{entry!r} is no figure", where=where, accepted="{id, kind, value, ...}")
    place = f"{where}, figure {entry.get('id', '?')!r}"
    for key in entry:
        if key not in KEYS:
            raise DataError(f"no key {key!r}", where=place, next=did_you_mean(str(key), KEYS))
    kind: Any = entry.get("kind")
    value: Any = entry.get("value")
    if kind not in KINDS:
        raise DataError(f"no kind {kind!r}", where=place, accepted=", ".join(KINDS))
    if _is_no_value(value, str(kind)):
        raise DataError(f"value {value!r}", where=place, accepted="a number; a share from 0 to 1")
    if kind != "participation" and "question" not in entry:
        raise DataError("names no question", where=place)
    if kind == "share" and ("option" in entry) == ("not" in entry):
        raise DataError("names no answer", where=place, accepted="`option` or `not`")
    return Figure(
        id=str(entry.get("id", "")),
        kind=str(kind),
        value=float(value),
        base=str(entry.get("base", "")),
        said=str(entry.get("said", entry.get("id", ""))),
        read=str(entry.get("read", "")),
        source=source,
        question=str(entry.get("question", "")),
        option=str(entry.get("option", entry.get("not", ""))),
        negated="not" in entry,
    )


def _is_no_value(value: Any, kind: str) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return not number or (kind != "median" and not 0 <= value <= 1)
