"""Claims and checks: sentences put to a declared test over a run's records.

A claim's *estimand* reduces the records to one effect per resampling unit; `inference` turns the
effects into an interval, and the interval into a verdict. A check is an exact statement that every
record of every trial has to meet. Both are plain data, so that a file can hold them.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from assay.core.checks import Check, CheckResult, Monotone, judge_check
from assay.core.estimands import (
    Difference,
    Estimand,
    NotTestedError,
    Plain,
    Ratio,
    Trend,
    describe_estimand,
    effects_of,
)
from assay.core.inference import Interval, all_equal, interval, power
from assay.core.wording import amount, count, number
from assay.errors import ClaimError

__all__ = [
    "Check",
    "CheckResult",
    "Claim",
    "Design",
    "Monotone",
    "Verdict",
    "decide",
    "judge",
    "judge_claim",
    "number",
]

MOST_LOG = 700.0
"""Larger logarithms of a ratio are reported as this one, which is still a number in a file."""
VerdictWord = Literal["holds", "fails", "undecided", "not tested"]


class Design(Plain):
    """The effect a claim hopes to find, for its power.

    Attributes:
        effect: Size of the effect, in its unit (for a ratio the relative change).
        spread: Standard deviation of the effect between units; for a ratio that of its logarithm.
    """

    effect: float
    spread: Annotated[float, Field(gt=0)]


class Claim(Plain):
    """One sentence with a statistical test.

    Attributes:
        id: Short name, unique in the study.
        sentence: What is claimed.
        source: Where it is claimed: paper and section, or who says so.
        estimand: What is estimated, see `mean`, `difference`, `ratio`, `trend`.
        direction: ``above`` or ``below`` the margin, or ``within`` it either way.
        margin: The margin, in the unit of the effect. For ``above`` and ``below`` it is signed.
        unit: Keys of the resampling unit, the coarsest thing that is drawn anew; records within a
            unit are averaged first.
        deterministic: Nothing random enters the effect, so it is the same in every unit, a single
            unit will do, and the interval is a point. Units that differ leave the claim untested.
        design: Effect and spread at which the power is printed.

    Raises:
        ClaimError: If the parts do not fit together.
    """

    id: str
    sentence: str
    source: str
    estimand: Estimand
    direction: Literal["above", "below", "within"]
    margin: float = 0.0
    unit: str | tuple[str, ...] = "seed"
    deterministic: bool = False
    design: Design | None = None

    @property
    def units(self) -> tuple[str, ...]:
        """Keys of the resampling unit."""
        return (self.unit,) if isinstance(self.unit, str) else self.unit

    @property
    def limits(self) -> tuple[float, float]:
        """The open range the interval has to lie in for the claim to hold."""
        if self.direction == "within":
            return -self.margin, self.margin
        return (self.margin, np.inf) if self.direction == "above" else (-np.inf, self.margin)

    def model_post_init(self, context: Any) -> None:
        """Refuse what can never be tested."""
        if flaw := self._flaw():
            raise ClaimError(flaw, where=f"claim {self.id!r}")

    def _flaw(self) -> str:
        made = self.estimand
        contrast = made if isinstance(made, Difference | Ratio) else None
        varied = made.along if isinstance(made, Trend) else getattr(contrast, "decision", None)
        if not self.units:
            return "has no resampling unit, such as seed"
        if varied in self.units:
            return f"{varied!r} is both varied and the resampling unit"
        if contrast and contrast.a == contrast.b:
            return f"compares {contrast.decision} {contrast.a} with itself"
        if contrast and "trial" in self.units:
            return "a trial has one choice only, so it cannot be the unit of a comparison"
        if self.direction == "within" and self.margin <= 0:
            return "needs a margin above 0 to lie within"
        if isinstance(made, Ratio) and min(filter(np.isfinite, self.limits)) <= -1:
            return "has a margin at or below -100 %, which no ratio of positive numbers reaches"
        return ""

    def power(self, n: int) -> float | None:
        """Chance of *holds* with ``n`` units if the design is right; None without a design."""
        if self.design is None or self.deterministic:
            return None
        low, high = (self._scaled(limit) for limit in self.limits)
        effect = self._scaled(self.design.effect)
        return power(effect, self.design.spread, n, above=low, below=high)

    def _scaled(self, effect: float) -> float:
        """An effect on the scale on which it is averaged; the inverse of `_reported`."""
        logarithmic = isinstance(self.estimand, Ratio) and effect > -np.inf
        return float(np.log1p(effect)) if logarithmic else effect

    def _reported(self, value: float) -> float:
        logarithmic = isinstance(self.estimand, Ratio)
        return float(np.expm1(min(value, MOST_LOG))) if logarithmic else float(value)

    def estimate(self, records: Any) -> tuple[Interval, str, str]:
        """Estimate the effect: its interval, its unit and what was left out.

        Raises:
            NotTestedError: If the records lack what it takes.
        """
        found = effects_of(self.estimand, records, self.units)
        values, units = found.values, count(len(found.values), self.units)
        same = all_equal(values)
        if self.deterministic:
            if not same:
                raise NotTestedError(f"it is declared deterministic, yet its {units} differ")
            at = Interval(values[0], values[0], values[0], len(values), "exact")
        elif len(values) < 2:
            raise NotTestedError(f"{units} alone has no interval")
        elif same:
            raise NotTestedError(
                f"all {units} give the same value, {number(self._reported(values[0]))}, which "
                "tells nothing about others; if nothing random enters it, declare the claim "
                "deterministic"
            )
        else:
            at = interval(values)
        effect, low, high = map(self._reported, at[:3])
        return at._replace(effect=effect, low=low, high=high), found.unit, found.note


class Verdict(Plain):
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
        effect_unit: Unit of the effect; ``relative`` for a ratio, whose 0.1 is 10 %.
        direction: Direction of the claim.
        margin: Margin of the claim.
        method: How the interval was made.
        power: Chance of *holds* at the claim's design and this n.
        reason: Why it was not tested, or what was left out.
        text: All of it in a sentence or two.
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


def judge(
    claims: Sequence[Claim], checks: Sequence[Check], records: Any
) -> tuple[list[Verdict], list[CheckResult]]:
    """Put claims and checks to the records of a run.

    Args:
        claims: The claims.
        checks: The checks.
        records: Long DataFrame: measure, value, unit, keys, decisions, seed.
    """
    return [judge_claim(c, records) for c in claims], [judge_check(c, records) for c in checks]


def judge_claim(claim: Claim, records: Any) -> Verdict:
    """Put one claim to the records; never raises for what the records lack."""
    head: dict[str, Any] = {
        "id": claim.id,
        "sentence": claim.sentence,
        "source": claim.source,
        "direction": claim.direction,
        "margin": claim.margin,
    }
    try:
        at, unit, note = claim.estimate(records)
    except NotTestedError as error:
        text = f"Not tested: {error}."
        return Verdict(**head, verdict="not tested", reason=str(error), text=text)
    word = decide(at.low, at.high, *claim.limits)
    return Verdict(
        **head,
        verdict=word,
        effect=at.effect,
        low=at.low,
        high=at.high,
        n=at.n,
        effect_unit=unit,
        method=at.method,
        power=claim.power(at.n),
        reason=note,
        text=_in_words(claim, word, at, unit, note),
    )


def decide(low: float, high: float, above: float, below: float) -> VerdictWord:
    """The verdict of an interval on the claim that the effect lies between ``above`` and ``below``.

    An interval that only touches a limit is undecided; a point (a deterministic effect) is not.

    Example:
        >>> decide(0.1, 0.3, 0.0, np.inf), decide(-0.1, 0.3, 0.0, np.inf)
        ('holds', 'undecided')
        >>> decide(-0.2, -0.1, 0.0, np.inf), decide(-0.02, 0.03, -0.1, 0.1)
        ('fails', 'holds')
        >>> decide(0.0, 0.3, 0.0, np.inf), decide(0.0, 0.0, 0.0, np.inf)
        ('undecided', 'fails')
    """
    if above < low and high < below:
        return "holds"
    if high < above or low > below or low == high:
        return "fails"
    return "undecided"


def _in_words(claim: Claim, word: str, at: Interval, unit: str, note: str) -> str:
    """A verdict in a sentence or two."""
    units = count(at.n, claim.units)
    effect = amount(at.effect, unit)
    head = f"{word.capitalize()}: {describe_estimand(claim.estimand)} is {effect}"
    if at.method == "exact":
        same = "" if at.n == 1 else f", the same in each of {units}"
        said = f"{head}{same}. It is declared deterministic: one computation, not a sample."
        lies = "It lies"
    else:
        reach = f"{amount(at.low, unit, bare=True)} to {amount(at.high, unit)}"
        said = f"{head} (95 % interval {reach}, from {units})."
        lies = "The interval lies wholly"
    needed = _needed(claim, unit)
    how = {
        "holds": f"{lies} {needed}.",
        "fails": f"The claim needs it {needed}.",
        "undecided": f"The claim needs it {needed}, and the interval reaches beyond.",
    }[word]
    left = f" {note[0].upper()}{note[1:]}." if note else ""
    return f"{said} {how}{left}"


def _needed(claim: Claim, unit: str) -> str:
    """Where a claim needs its effect to lie."""
    margin = amount(claim.margin, unit)
    if claim.direction != "within":
        return f"{claim.direction} {margin if claim.margin else 0}"
    return f"between -{amount(claim.margin, unit, bare=True)} and {margin}"
