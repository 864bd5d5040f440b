"""Estimands: from records to one effect per resampling unit.

| estimand     | effect of one unit                                                          |
|--------------|-----------------------------------------------------------------------------|
| `mean`       | the mean of a measure                                                       |
| `difference` | its mean under choice *a* minus under choice *b* of a decision              |
| `ratio`      | the logarithm of a/b, averaged; reported as the relative change a/b - 1     |
| `trend`      | slope of the measure against a numeric key, by least squares                |

Records within a unit are averaged first, so that a unit with many records weighs no more than one
with few. Differences and ratios are paired: within a unit, only records that agree on every other
key are compared, so that what both choices share drops out.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assay.core.wording import label, place
from assay.errors import ClaimError, did_you_mean

Label = str | int | float | bool
NOT_KEYS = ("measure", "value", "unit", "trial")


class NotTestedError(Exception):
    """The records lack what a claim or check takes; the message says what."""


class Plain(BaseModel):
    """Immutable plain data that refuses unknown keys, so that a file can hold it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def to_dict(self) -> dict[str, Any]:
        """As plain data, without what is left at its default."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @classmethod
    def from_dict(cls, data: Any) -> Any:
        """Read plain data.

        Raises:
            ClaimError: If a key is unknown or missing, or a value is refused.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            name = data.get("id", "?") if isinstance(data, Mapping) else "?"
            hint = ""
            if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
                hint = did_you_mean(key, cls.model_fields)
            text = f"{key}: {first['msg']}" if key else first["msg"]
            raise ClaimError(text, where=f"{cls.__name__.lower()} {name!r}", next=hint) from None


class _Estimand(Plain):
    measure: str
    where: dict[str, Label] = {}


class Mean(_Estimand):
    """The mean of a measure."""

    kind: Literal["mean"]


class Difference(_Estimand):
    """A measure under choice ``a`` minus under choice ``b``, paired on all other keys."""

    kind: Literal["difference"]
    decision: str
    a: Label
    b: Label


class Ratio(_Estimand):
    """Relative change of a positive measure from choice ``b`` to choice ``a``: a/b - 1."""

    kind: Literal["ratio"]
    decision: str
    a: Label
    b: Label


class Trend(_Estimand):
    """Slope of a measure against a numeric key or decision."""

    kind: Literal["trend"]
    along: str


AnyEstimand = Mean | Difference | Ratio | Trend
Estimand = Annotated[AnyEstimand, Field(discriminator="kind")]


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


def describe_estimand(estimand: AnyEstimand) -> str:
    """What is estimated, in words.

    Example:
        >>> describe_estimand(difference("loss", "model", "large", "small", split="test"))
        'the change in loss (split test) from model small to large'
        >>> describe_estimand(trend("loss", "layers"))
        'the slope of loss along layers'
    """
    keys = place(estimand.where)
    measure = f"{estimand.measure} ({keys})" if keys else estimand.measure
    if isinstance(estimand, Mean):
        return f"the mean of {measure}"
    if isinstance(estimand, Trend):
        return f"the slope of {measure} along {estimand.along}"
    relative = "relative " if isinstance(estimand, Ratio) else ""
    a, b = label(estimand.a), label(estimand.b)
    return f"the {relative}change in {measure} from {estimand.decision} {b} to {a}"


class Effects(NamedTuple):
    """One effect per unit.

    Attributes:
        values: Effects, shape ``(n,)``; of a ratio, their natural logarithms.
        unit: Unit of the effect.
        note: What was left out, in words.
    """

    values: np.ndarray
    unit: str
    note: str


def matching(rows: Any, key: str, label: Label) -> Any:
    """Which rows carry a label, as a boolean column.

    A label is found by its value; where nothing equals it, by how it is written, because a column
    of labels of several types comes back from a file as text.

    Example:
        >>> import pandas as pd
        >>> matching(pd.DataFrame({"size": ["1.0", "auto"]}), "size", 1).tolist()
        [True, False]
    """
    found = rows[key] == label
    if not found.any():
        found = rows[key].map(_written, na_action="ignore") == _written(label)
    return found


def _written(label: Any) -> str:
    text = str(label).strip().lower()
    try:
        return text if isinstance(label, bool) else repr(float(text))
    except ValueError:
        return text


def effects_of(estimand: AnyEstimand, records: Any, units: Sequence[str]) -> Effects:
    """Reduce records to one effect per resampling unit.

    Args:
        estimand: What is estimated.
        records: Long DataFrame with columns measure, value, unit, keys, decisions, seed.
        units: Keys of the resampling unit.

    Raises:
        NotTestedError: If the records lack the measure, a choice, a key or finite values.
    """
    rows = select(records, estimand.measure, estimand.where)
    for key in units:
        if key not in rows or rows[key].isna().any():
            raise NotTestedError(f"records of {estimand.measure!r} lack the key {key!r}")
    if isinstance(estimand, Difference | Ratio):
        return _contrasts(estimand, rows, list(units))
    _require_finite(rows)
    if isinstance(estimand, Trend):
        return _slopes(estimand, rows, list(units))
    values = rows.groupby(list(units), sort=False)["value"].mean()
    return Effects(values.to_numpy(float), _unit_of(rows), "")


def select(records: Any, measure: str, where: Mapping[str, Label]) -> Any:
    """The records of a measure with the keys asked for.

    Raises:
        NotTestedError: If there are none.
    """
    rows = records[records["measure"] == measure]
    if rows.empty:
        raise NotTestedError(f"the run has no record of {measure!r}")
    for key, wanted in where.items():
        rows = rows[matching(rows, key, wanted)] if key in rows else rows.iloc[:0]
        if rows.empty:
            raise NotTestedError(f"no record of {measure!r} has {key} {wanted}")
    return rows


def as_numbers(rows: Any, key: str) -> Any:
    """A key of every record as a number.

    Raises:
        NotTestedError: If a record lacks the key, or it is no finite number there.
    """
    import pandas as pd

    measure = rows["measure"].iloc[0]
    if key not in rows:
        raise NotTestedError(f"records of {measure!r} lack the key {key!r}")
    values: Any = pd.to_numeric(rows[key], errors="coerce")
    values = values.astype(float)
    if not np.isfinite(values).all():
        raise NotTestedError(f"{key!r} is not a number in every record of {measure!r}")
    return values


def _require_finite(rows: Any) -> None:
    bad = int((~np.isfinite(rows["value"].astype(float))).sum())
    if bad:
        measure = rows["measure"].iloc[0]
        raise NotTestedError(f"{bad} of {len(rows)} values of {measure!r} are not finite")


def _unit_of(rows: Any) -> str:
    units = rows["unit"].unique()
    if len(units) > 1:
        measure = rows["measure"].iloc[0]
        raise NotTestedError(f"{measure!r} comes in several units: {', '.join(map(str, units))}")
    return str(units[0])


def _contrasts(estimand: Difference | Ratio, rows: Any, units: list[str]) -> Effects:
    name = estimand.decision
    if name not in rows or rows[name].isna().all():
        raise NotTestedError(f"the run does not vary {name!r}")
    sides = [rows[matching(rows, name, choice)] for choice in (estimand.a, estimand.b)]
    for choice, side in zip((estimand.a, estimand.b), sides, strict=True):
        if side.empty:
            has = ", ".join(map(str, rows[name].dropna().unique()[:8]))
            raise NotTestedError(f"the run has no {name} {choice}, only {has}")
        _require_finite(side)
    keys = [k for k in rows if k not in (*NOT_KEYS, name) and rows[k].notna().any()]
    cells = [
        side.groupby(keys, dropna=False, sort=False)["value"]
        .agg(_y="mean", _n="size")
        .reset_index()
        for side in sides
    ]
    both = cells[0].merge(cells[1], on=keys, suffixes=("_a", "_b"))
    if both.empty:
        raise NotTestedError(f"no two records differ in {name!r} alone")
    left = sum(map(len, sides)) - int(both["_n_a"].sum() + both["_n_b"].sum())
    a, b = both["_y_a"], both["_y_b"]
    if isinstance(estimand, Ratio):
        if (a <= 0).any() or (b <= 0).any():
            raise NotTestedError(f"{estimand.measure!r} is not positive everywhere: no ratio")
        both["_change"] = np.log(a) - np.log(b)
    else:
        both["_change"] = a - b
    values = both.groupby(units, sort=False)["_change"].mean().to_numpy(float)
    unit = "relative" if isinstance(estimand, Ratio) else _unit_of(rows)
    return Effects(values, unit, _left_out(left, "record", "without a counterpart"))


def _slopes(estimand: Trend, rows: Any, units: list[str]) -> Effects:
    along = estimand.along
    x = as_numbers(rows, along)
    points = rows.assign(_x=x).groupby([*units, "_x"], sort=False)["value"].mean().reset_index()
    slopes = [
        float(np.dot(x - x.mean(), y) / np.dot(x - x.mean(), x - x.mean()))
        for x, y in (
            (group["_x"].to_numpy(float), group["value"].to_numpy(float))
            for _, group in points.groupby(units, sort=False)
        )
        if len(x) > 1
    ]
    if not slopes:
        raise NotTestedError(f"{along!r} has one value only")
    left = points.groupby(units).ngroups - len(slopes)
    note = _left_out(left, "unit", f"with one value of {along!r}")
    return Effects(np.array(slopes), f"{_unit_of(rows)} per {along}", note)


def _left_out(count: int, noun: str, which: str) -> str:
    if not count:
        return ""
    return f"{count} {noun}{'s' * (count > 1)} {which} {'were' if count > 1 else 'was'} left out"
