"""Claims and checks: sentences put to a declared test over a run's records.

A claim's *estimand* reduces the records to one effect per resampling unit; `inference` turns the
effects into an interval, and the interval into a verdict. A check is an exact statement that every
record of every trial has to meet. Both are plain data, so that a file can hold them.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assay.core.estimands import Estimand, NotTestedError, effects_of
from assay.core.identity import digest
from assay.core.inference import interval, power
from assay.errors import ClaimError, did_you_mean

VerdictWord = Literal["holds", "fails", "undecided", "not tested"]
Scalar = str | int | float | bool


class _Plain(BaseModel):
    """Immutable plain data that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_dict(self) -> dict[str, Any]:
        """As plain data, without what is left at its default."""
        return self.model_dump(mode="json", exclude_defaults=True, by_alias=True)

    @classmethod
    def from_dict(cls, data: Any) -> Any:
        """Read plain data.

        Raises:
            ClaimError: If a key is unknown or missing, or a value is refused.
        """
        kind = cls.__name__.lower()
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            name = data.get("id", "?") if isinstance(data, Mapping) else "?"
            hint = ""
            if first["type"] == "extra_forbidden":
                hint = did_you_mean(key, cls.model_fields)
            text = f"{key}: {first['msg']}" if key else first["msg"]
            raise ClaimError(text, where=f"{kind} {name!r}", next=hint) from None


class Design(_Plain):
    """The effect a claim hopes to find, for its power: size and spread between units."""

    effect: float
    spread: Annotated[float, Field(gt=0)]


class Claim(_Plain):
    """One sentence with a statistical test.

    Attributes:
        id: Short name, unique in the study.
        sentence: What is claimed.
        source: Where it is claimed: paper and section, or who says so.
        estimand: What is estimated, see `mean`, `difference`, `ratio`, `trend`.
        direction: ``above`` or ``below`` the margin, or ``within`` it either way.
        margin: The margin, in the unit of the effect. For ``above`` and ``below`` it is signed.
        unit: Keys of the resampling unit; records within a unit are averaged first.
        design: Effect and spread at which the power is printed.
    """

    id: str
    sentence: str
    source: str
    estimand: Estimand
    direction: Literal["above", "below", "within"]
    margin: float = 0.0
    unit: str | tuple[str, ...] = "seed"
    design: Design | None = None

    @property
    def units(self) -> tuple[str, ...]:
        """Keys of the resampling unit."""
        return (self.unit,) if isinstance(self.unit, str) else self.unit

    def power(self, n: int) -> float | None:
        """Chance of *holds* with ``n`` units if the design is right; None without a design.

        For ``within`` it is a lower bound: both ends of the interval have to lie inside.
        """
        if self.design is None:
            return None
        effect, spread = self.design.effect, self.design.spread
        if self.direction == "above":
            return power(effect, spread, n, beyond=self.margin)
        if self.direction == "below":
            return power(-effect, spread, n, beyond=-self.margin)
        inside = [power(self.margin - side * effect, spread, n) for side in (+1.0, -1.0)]
        return max(0.0, sum(inside) - 1.0)


class Verdict(_Plain):
    """What came of a claim.

    Attributes:
        id: The claim.
        sentence: What was claimed.
        source: Where.
        verdict: ``holds``, ``fails``, ``undecided`` or ``not tested``.
        effect: Mean effect over the units.
        low: Lower end of the 95 % interval.
        high: Upper end.
        n: Number of units.
        effect_unit: Unit of the effect.
        direction: Direction of the claim.
        margin: Margin of the claim.
        method: How the interval was made.
        power: Chance of *holds* at the claim's design and this n.
        reason: Why it was not tested, or what was left out.
        text: All of it in one sentence.
    """

    id: str
    sentence: str
    source: str
    verdict: VerdictWord
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    effect_unit: str = ""
    direction: str = ""
    margin: float = 0.0
    method: str = ""
    power: float | None = None
    reason: str = ""
    text: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Every field, also those at their default."""
        return self.model_dump(mode="json")


class Monotone(_Plain):
    """A measure never falls (or never rises) along a key, within groups of equal other keys."""

    along: str
    order: Literal["non-decreasing", "non-increasing"] = "non-decreasing"
    tolerance: float = 0.0


class Check(_Plain):
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
    """

    id: str
    sentence: str
    source: str
    measure: str
    where: dict[str, Scalar] = {}
    at_most: float | None = None
    at_least: float | None = None
    equals: float | None = None
    tolerance: float = 0.0
    monotone: Monotone | None = None

    def model_post_init(self, context: Any) -> None:
        """Refuse a check that states nothing."""
        if self.monotone is None and (self.at_most, self.at_least, self.equals) == (None,) * 3:
            raise ClaimError(
                "states nothing",
                where=f"check {self.id!r}",
                accepted="at_most, at_least, equals or monotone",
            )


class CheckResult(_Plain):
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


def judge(
    claims: Sequence[Claim], checks: Sequence[Check], records: Any
) -> tuple[list[Verdict], list[CheckResult]]:
    """Put claims and checks to the records of a run.

    Args:
        claims: The claims.
        checks: The checks.
        records: Long DataFrame: measure, value, unit, keys, decisions, seed.
    """
    return [test_claim(c, records) for c in claims], [test_check(c, records) for c in checks]


def test_claim(claim: Claim, records: Any) -> Verdict:
    """Put one claim to the records; never raises for what the records lack."""
    head: dict[str, Any] = {
        "id": claim.id,
        "sentence": claim.sentence,
        "source": claim.source,
        "direction": claim.direction,
        "margin": claim.margin,
    }
    try:
        found = effects_of(claim.estimand, records, claim.units)
        if len(found.values) < 2:
            raise NotTestedError("one unit has no interval; run more seeds")
    except NotTestedError as error:
        text = f"Not tested: {error}."
        return Verdict(**head, verdict="not tested", reason=str(error), text=text)
    seed = int(digest(claim.id)[:8], 16)
    at = interval(found.values, seed)
    word = decide(at.low, at.high, claim.direction, claim.margin)
    verdict = Verdict(
        **head,
        verdict=word,
        effect=at.effect,
        low=at.low,
        high=at.high,
        n=at.n,
        effect_unit=found.unit,
        method=at.method,
        power=claim.power(at.n),
        reason=found.note,
    )
    return verdict.model_copy(update={"text": _in_words(verdict, claim)})


test_claim.__test__ = False  # type: ignore[attr-defined]  # not a pytest function


def decide(low: float, high: float, direction: str, margin: float) -> VerdictWord:
    """The verdict an interval gives.

    Example:
        >>> decide(0.1, 0.3, "above", 0.0), decide(-0.1, 0.3, "above", 0.0)
        ('holds', 'undecided')
        >>> decide(-0.02, 0.03, "within", 0.1)
        'holds'
    """
    if direction == "within":
        if -margin < low and high < margin:
            return "holds"
        return "fails" if low >= margin or high <= -margin else "undecided"
    if direction == "below":
        low, high, margin = -high, -low, -margin
    if low > margin:
        return "holds"
    return "fails" if high <= margin else "undecided"


def _in_words(verdict: Verdict, claim: Claim) -> str:
    unit = "" if verdict.effect_unit in ("", "1") else f" {verdict.effect_unit}"
    how = {"t": "t interval", "bootstrap-t": "studentised bootstrap"}.get(verdict.method, "")
    how = how or "all units agree, so the interval is a point"
    said = (
        f"{verdict.verdict.capitalize()}: effect {number(verdict.effect)}{unit} "
        f"(95 % interval {number(verdict.low)} to {number(verdict.high)}), "
        f"{verdict.n} units of {' and '.join(claim.units)}, {how}."
    )
    return f"{said} {verdict.reason[0].upper()}{verdict.reason[1:]}." if verdict.reason else said


def number(value: float | None) -> str:
    """A number with three significant digits, readable at any size.

    Example:
        >>> number(1234567.0), number(0.01234), number(-0.0)
        ('1,230,000', '0.0123', '0')
    """
    if value is None:
        return "none"
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e9:
        rounded = float(f"{value:.3g}")
        return f"{rounded:,.0f}" if abs(rounded) >= 1000 else f"{rounded:.3g}"
    return f"{value:.2e}"


def test_check(check: Check, records: Any) -> CheckResult:
    """Put one check to every record."""
    rows = records[records["measure"] == check.measure]
    for key, value in check.where.items():
        rows = rows[rows[key] == value] if key in rows else rows.iloc[:0]
    head = {"id": check.id, "sentence": check.sentence, "source": check.source, "n": len(rows)}
    if rows.empty:
        text = f"Not tested: no record of {check.measure!r}."
        return CheckResult(**head, passed=None, text=text)
    worst = _worst_step(check, rows) if check.monotone else _worst_value(check, rows)
    if worst:
        return CheckResult(**head, passed=False, text=f"Fails: {worst}.")
    return CheckResult(**head, passed=True, text=f"Passes in all {len(rows)} records.")


test_check.__test__ = False  # type: ignore[attr-defined]  # not a pytest function


def _worst_value(check: Check, rows: Any) -> str:
    """The record that breaks the statement most, in words; empty if none does."""
    values = rows["value"].astype(float)
    excess = values * 0.0
    if check.at_most is not None:
        excess = excess.clip(lower=0).combine(values - check.at_most, max)
    if check.at_least is not None:
        excess = excess.combine(check.at_least - values, max)
    if check.equals is not None:
        excess = excess.combine((values - check.equals).abs() - check.tolerance, max)
    bad = excess[(excess > 0) | values.isna()]
    if bad.empty:
        return ""
    name = bad.idxmax() if bad.notna().any() else bad.index[0]
    row = rows.loc[name]
    return f"{check.measure} is {number(float(row['value']))} at {_place(row)} ({len(bad)} in all)"


def _worst_step(check: Check, rows: Any) -> str:
    """The worst fall (or rise) along the key, in words; empty if there is none."""
    wanted = check.monotone
    assert wanted is not None  # noqa: S101 - the caller looked
    if wanted.along not in rows:
        return f"the records have no key {wanted.along!r}"
    sign = 1.0 if wanted.order == "non-decreasing" else -1.0
    keys = [k for k in rows if k not in ("measure", "value", "unit", "trial", wanted.along)]
    groups = rows.groupby(keys, dropna=False) if keys else [((), rows)]
    worst, said = wanted.tolerance, ""
    for _, group in groups:
        ordered = group.sort_values(wanted.along)
        steps = ordered["value"].astype(float).diff() * -sign
        if not steps.iloc[1:].notna().all():
            return f"{check.measure} has no value at {_place(ordered.iloc[0])}"
        if len(steps) > 1 and steps.max() > worst:
            worst = float(steps.max())
            said = f"{check.measure} moves the wrong way by {number(worst)} at " + _place(
                ordered.loc[steps.idxmax()]
            )
    return said


def _place(row: Any) -> str:
    """The keys of a record, for people."""
    skipped = ("measure", "value", "unit", "trial")
    keys = {k: v for k, v in row.items() if k not in skipped and v == v}
    return ", ".join(f"{k} {v}" for k, v in keys.items()) or "the only record"
