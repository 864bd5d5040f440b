"""Estimands: from records to one effect per resampling unit.

| estimand     | effect of one unit                                                        |
|--------------|---------------------------------------------------------------------------|
| `mean`       | the mean of a measure                                                     |
| `difference` | its mean under choice *a* minus under choice *b* of a decision             |
| `ratio`      | relative change a/b - 1, averaged as a logarithm; for positive measures   |
| `trend`      | slope of the measure against a numeric key, by least squares              |

Differences and ratios are paired: within a unit, only records that agree on every other key are
compared, so that what both choices share drops out.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

Label = str | int | float | bool
NOT_KEYS = ("measure", "value", "unit", "trial")


class NotTestedError(Exception):
    """The records lack what an estimand takes; the message says what."""


class _Estimand(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    measure: str
    where: dict[str, Label] = {}


class Mean(_Estimand):
    """The mean of a measure."""

    kind: Literal["mean"] = "mean"


class Difference(_Estimand):
    """A measure under choice ``a`` minus under choice ``b``, paired on all other keys."""

    kind: Literal["difference"] = "difference"
    decision: str
    a: Label
    b: Label


class Ratio(_Estimand):
    """Relative change of a positive measure from choice ``b`` to choice ``a``: a/b - 1."""

    kind: Literal["ratio"] = "ratio"
    decision: str
    a: Label
    b: Label


class Trend(_Estimand):
    """Slope of a measure against a numeric key or decision."""

    kind: Literal["trend"] = "trend"
    along: str


Estimand = Annotated[Mean | Difference | Ratio | Trend, Field(discriminator="kind")]


def mean(measure: str, **where: Label) -> Mean:
    """The mean of a measure, of the records with the keys given."""
    return Mean(kind="mean", measure=measure, where=where)


def difference(measure: str, decision: str, a: Label, b: Label, **where: Label) -> Difference:
    """A measure under choice ``a`` minus under choice ``b`` of a decision."""
    return Difference(kind="difference", measure=measure, decision=decision, a=a, b=b, where=where)


def ratio(measure: str, decision: str, a: Label, b: Label, **where: Label) -> Ratio:
    """Relative change of a positive measure from choice ``b`` to choice ``a`` of a decision."""
    return Ratio(kind="ratio", measure=measure, decision=decision, a=a, b=b, where=where)


def trend(measure: str, along: str, **where: Label) -> Trend:
    """Slope of a measure against a numeric key or decision."""
    return Trend(kind="trend", measure=measure, along=along, where=where)


class Effects(NamedTuple):
    """One effect per unit.

    Attributes:
        values: Effects, shape ``(n,)``.
        unit: Unit of the effect.
        note: What was left out, in words.
    """

    values: np.ndarray
    unit: str
    note: str


def effects_of(
    estimand: Mean | Difference | Ratio | Trend, records: Any, units: Sequence[str]
) -> Effects:
    """Reduce records to one effect per resampling unit.

    Args:
        estimand: What is estimated.
        records: Long DataFrame with columns measure, value, unit, keys, decisions, seed.
        units: Keys of the resampling unit.

    Raises:
        NotTestedError: If the records lack the measure, a choice, a key or finite values.
    """
    rows = _select(estimand, records, units)
    measured = str(rows["unit"].iloc[0])
    if isinstance(estimand, Mean):
        return Effects(_by_unit(rows, units), measured, "")
    if isinstance(estimand, Trend):
        return _slopes(estimand, rows, units, measured)
    return _contrasts(estimand, rows, units, measured)


def _select(estimand: _Estimand, records: Any, units: Sequence[str]) -> Any:
    rows = records[records["measure"] == estimand.measure]
    if rows.empty:
        raise NotTestedError(f"no record of {estimand.measure!r}")
    for key, value in estimand.where.items():
        rows = rows[rows[key] == value] if key in rows else rows.iloc[:0]
        if rows.empty:
            raise NotTestedError(f"no record of {estimand.measure!r} with {key} = {value}")
    for key in units:
        if key not in rows or rows[key].isna().any():
            raise NotTestedError(f"records of {estimand.measure!r} lack the key {key!r}")
    if not np.isfinite(rows["value"].astype(float)).all():
        raise NotTestedError(f"{estimand.measure!r} has values that are not finite")
    return rows


def _by_unit(rows: Any, units: Sequence[str]) -> np.ndarray:
    return rows.groupby(list(units), sort=True)["value"].mean().to_numpy(float)


def _contrasts(
    estimand: Difference | Ratio, rows: Any, units: Sequence[str], measured: str
) -> Effects:
    name = estimand.decision
    if name not in rows:
        raise NotTestedError(f"the run does not vary {name!r}")
    for choice in (estimand.a, estimand.b):
        if not (rows[name] == choice).any():
            raise NotTestedError(f"no record with {name} = {choice}")
    rows = rows[(rows[name] == estimand.a) | (rows[name] == estimand.b)]
    pair = [k for k in rows if k not in (*NOT_KEYS, name) and rows[k].notna().any()]
    first = _paired(rows[rows[name] == estimand.a], pair)
    second = _paired(rows[rows[name] == estimand.b], pair)
    both = first.index.intersection(second.index)
    if both.empty:
        raise NotTestedError(f"no pair of records differs in {name} alone")
    left = len(first) + len(second) - 2 * len(both)
    note = f"{left} records without a counterpart were left out" if left else ""
    a, b = first.loc[both], second.loc[both]
    if isinstance(estimand, Ratio):
        if (a <= 0).any() or (b <= 0).any():
            raise NotTestedError(f"{estimand.measure!r} is not positive, so it has no ratio")
        change = (np.log(a) - np.log(b)).groupby(level=list(units)).mean()
        return Effects(np.expm1(change.to_numpy(float)), "relative", note)
    change = (a - b).groupby(level=list(units)).mean()
    return Effects(change.to_numpy(float), measured, note)


def _paired(rows: Any, pair: list[str]) -> Any:
    return rows.groupby(pair, dropna=False)["value"].mean()


def _slopes(estimand: Trend, rows: Any, units: Sequence[str], measured: str) -> Effects:
    along = estimand.along
    if along not in rows:
        raise NotTestedError(f"records of {estimand.measure!r} lack the key {along!r}")
    slopes: list[float] = []
    left = 0
    for _, group in rows.groupby(list(units), sort=True):
        x = group[along].astype(float).to_numpy()
        if np.ptp(x) == 0:
            left += 1
            continue
        y = group["value"].to_numpy(float)
        slopes.append(float(np.dot(x - x.mean(), y) / np.dot(x - x.mean(), x - x.mean())))
    if not slopes:
        raise NotTestedError(f"{along!r} has one value only")
    note = f"{left} units with one value of {along!r} were left out" if left else ""
    return Effects(np.array(slopes), f"{measured} per {along}", note)
