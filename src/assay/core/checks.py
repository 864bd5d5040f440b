"""Checks: exact statements that every record of every trial has to meet, or that fail."""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from assay.core.estimands import NOT_KEYS, Label, NotTestedError, Plain, as_numbers, select
from assay.core.wording import number, place
from assay.errors import ClaimError


class Monotone(Plain):
    """A measure never falls (or never rises) along a key, within groups of equal other keys."""

    along: str
    order: Literal["non-decreasing", "non-increasing"] = "non-decreasing"
    tolerance: Annotated[float, Field(ge=0)] = 0.0


class Check(Plain):
    """One exact statement about a measure, true of every record or not at all.

    Attributes:
        id: Short name, unique in the study.
        sentence: What is stated.
        source: Where it comes from.
        measure: The measure looked at.
        where: Only records with these keys.
        at_most: Every value is at most this.
        at_least: Every value is at least this.
        equals: Every value is this, within ``tolerance``.
        tolerance: Absolute tolerance of ``equals``.
        monotone: The measure never falls or never rises along a key.

    Raises:
        ClaimError: If it states nothing.
    """

    id: str
    sentence: str
    source: str
    measure: str
    where: dict[str, Label] = Field(default_factory=dict)
    at_most: float | None = None
    at_least: float | None = None
    equals: float | None = None
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    monotone: Monotone | None = None

    def model_post_init(self, context: Any) -> None:
        """Refuse a check that states nothing."""
        if self.monotone is None and (self.at_most, self.at_least, self.equals) == (None,) * 3:
            raise ClaimError(
                "states nothing",
                where=f"check {self.id!r}",
                accepted="at_most, at_least, equals or monotone",
            )


class CheckResult(Plain):
    """What came of a check: passed, failed, or None where no record could be looked at."""

    id: str
    sentence: str
    source: str
    passed: bool | None
    n: int = 0
    text: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Every field, also those at their default."""
        return self.model_dump(mode="json")


def judge_check(check: Check, records: Any) -> CheckResult:
    """Put one check to every record; never raises for what the records lack."""
    head: dict[str, Any] = {"id": check.id, "sentence": check.sentence, "source": check.source}
    try:
        rows = select(records, check.measure, check.where)
        found = _steps(check, check.monotone, rows) if check.monotone else _values(check, rows)
    except NotTestedError as error:
        return CheckResult(**head, passed=None, text=f"Not tested: {error}.")
    n = len(rows)
    if found:
        return CheckResult(**head, passed=False, n=n, text=f"Fails: {found}.")
    records_ = "the one record" if n == 1 else f"all {n:,} records"
    return CheckResult(**head, passed=True, n=n, text=f"Passes in {records_}.")


def _values(check: Check, rows: Any) -> str:
    """How many records break the statement and the one that breaks it most; empty if none does."""
    values = rows["value"].to_numpy(float)
    excess = np.full(len(values), -np.inf)
    said: list[str] = []
    if check.at_most is not None:
        excess = np.maximum(excess, values - check.at_most)
        said.append(f"at most {number(check.at_most)}")
    if check.at_least is not None:
        excess = np.maximum(excess, check.at_least - values)
        said.append(f"at least {number(check.at_least)}")
    if check.equals is not None:
        excess = np.maximum(excess, np.abs(values - check.equals) - check.tolerance)
        around = f" within {number(check.tolerance)}" if check.tolerance else ""
        said.append(f"{number(check.equals)}{around}")
    excess = np.where(np.isnan(values), np.inf, excess)
    bad = int((excess > 0).sum())
    if not bad:
        return ""
    worst = int(np.argmax(excess))
    return (
        f"in {bad:,} of {len(values):,} records {check.measure} is not {' and '.join(said)}; "
        f"the worst is {number(values[worst])}{_at(rows.iloc[worst])}"
    )


def _steps(check: Check, wanted: Monotone, rows: Any) -> str:
    """How often the measure moves the wrong way, and where most; empty if it never does.

    Of records that share a group and a place along the key, the worst pair counts.
    """
    values = rows["value"].to_numpy(float)
    if np.isnan(values).any():
        return f"{check.measure} is nan{_at(rows.iloc[int(np.argmax(np.isnan(values)))])}"
    sign = 1.0 if wanted.order == "non-decreasing" else -1.0
    table = rows.assign(_x=as_numbers(rows, wanted.along), _y=sign * values)
    keys = [k for k in rows if k not in (*NOT_KEYS, wanted.along) and rows[k].notna().any()]
    compared = wrong = 0
    worst, where = wanted.tolerance, ""
    for _, group in table.groupby(keys, dropna=False, sort=False) if keys else [((), table)]:
        ends = group.groupby("_x")["_y"].agg(["min", "max"])
        falls = ends["max"].to_numpy()[:-1] - ends["min"].to_numpy()[1:]
        compared += len(falls)
        wrong += int((falls > wanted.tolerance).sum())
        if len(falls) and falls.max() > worst:
            worst = float(falls.max())
            after = group[group["_x"] == ends.index[int(falls.argmax()) + 1]]
            where = _at(after.loc[after["_y"].idxmin(), list(rows.columns)])
    if not compared:
        raise NotTestedError(
            f"no two records of {check.measure!r} differ in {wanted.along!r} alone"
        )
    verb = "falls" if sign > 0 else "rises"
    most = f"most by {number(worst)}{where}"
    return f"{check.measure} {verb} in {wrong:,} of {compared:,} steps, {most}" if wrong else ""


def _at(row: Any) -> str:
    """The keys of a record, for people."""
    keys = row.drop(list(NOT_KEYS), errors="ignore").dropna()
    return f" at {place(keys)}" if len(keys) else ""
