"""From the losses of a few storms to the damage of an average year.

Notable in this file: the loss is linear in annual exceedance probability (AEP) between the storms
computed, and what lies beyond them is a named rule, told in words with every result:

* rarer than the rarest storm: ``constant`` (its loss holds on) or ``none`` (a lower bound);
* more frequent than the onset: zero. Without an onset the loss drops to zero at the most frequent
  storm, also a lower bound; with one it falls there linearly.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from assay.errors import DataError, ParameterError

__all__ = [
    "Beyond",
    "RiskCurve",
    "damage_of_rarer",
    "event_set_damage",
    "event_set_exceedance",
    "risk_curve",
]

Beyond = Literal["constant", "none"]


@dataclass(frozen=True)
class RiskCurve:
    """Losses by annual exceedance probability, and what they cost in an average year.

    Attributes:
        return_period_years: Return periods T (years), increasing; the onset first if it was given.
        annual_probability: 1 / T.
        loss: Loss of each storm (currency).
        band_from_years: Lower end of each band of return periods (years).
        band_to_years: Upper end; infinite for the last.
        contribution: What storms of the band cost in an average year (currency/year).
        expected_annual_damage: Sum of the contributions (currency/year).
        currency: Unit of the losses.
        rule: How it was integrated, with both tail rules, in words.
    """

    return_period_years: Float[np.ndarray, " storms"]
    annual_probability: Float[np.ndarray, " storms"]
    loss: Float[np.ndarray, " storms"]
    band_from_years: Float[np.ndarray, " storms"]
    band_to_years: Float[np.ndarray, " storms"]
    contribution: Float[np.ndarray, " storms"]
    expected_annual_damage: float
    currency: str
    rule: str


def risk_curve(
    return_period_years: Float[np.ndarray, " storms"],
    loss: Float[np.ndarray, " storms"],
    *,
    currency: str = "1",
    onset_years: float | None = None,
    beyond: Beyond = "constant",
) -> RiskCurve:
    """Integrate losses over annual exceedance probability by the trapezoid rule.

    Args:
        return_period_years: T of each storm (years), >= 1, all different, any order.
        loss: Loss of each storm, >= 0.
        currency: Unit of the losses.
        onset_years: Return period up to which storms cost nothing (years). Not given: storms more
            frequent than the most frequent one computed are left out.
        beyond: Loss beyond the rarest storm: ``constant`` or ``none``.

    Raises:
        DataError: If the arrays do not match or hold impossible numbers.
        ParameterError: If a storm costs something although it is no rarer than the onset.

    Example:
        >>> curve = risk_curve(np.array([4.0, 16.0]), np.array([50.0, 50.0]))
        >>> curve.expected_annual_damage, curve.contribution.tolist()
        (12.5, [9.375, 3.125])
    """
    periods, losses = np.asarray(return_period_years, float), np.asarray(loss, float)
    _check_storms(periods, losses)
    order = np.argsort(periods)
    periods, losses = periods[order], losses[order]
    if onset_years is not None:
        periods, losses = _with_onset(periods, losses, onset_years)
    probability = 1.0 / periods
    between = 0.5 * (losses[1:] + losses[:-1]) * (probability[:-1] - probability[1:])
    tail = losses[-1] * probability[-1] if beyond == "constant" else 0.0
    contribution = np.append(between, tail)
    return RiskCurve(
        periods,
        probability,
        losses,
        periods.copy(),
        np.append(periods[1:], np.inf),
        contribution,
        float(contribution.sum()),
        currency,
        _rule(periods, onset_years, beyond),
    )


def _check_storms(periods: np.ndarray, losses: np.ndarray) -> None:
    if periods.ndim != 1 or periods.shape != losses.shape or not periods.size:
        raise DataError(
            f"{periods.size} return periods for {losses.size} losses", accepted="one loss per storm"
        )
    if not (np.isfinite(periods) & (periods >= 1)).all():
        raise DataError(f"return period {periods.min():g}", accepted="finite years, >= 1")
    if np.unique(periods).size < periods.size:
        raise DataError("two storms have the same return period", accepted="one loss per storm")
    if not (np.isfinite(losses) & (losses >= 0)).all():
        raise DataError(f"loss {losses.min():g}", accepted="finite and not negative")


def _with_onset(
    periods: np.ndarray, losses: np.ndarray, onset_years: float
) -> tuple[np.ndarray, np.ndarray]:
    """The storms rarer than the onset, and the onset itself as one that costs nothing."""
    if onset_years < 1:
        raise ParameterError(f"got {onset_years:g}", where="onset_years", accepted="years, >= 1")
    early = periods <= onset_years
    if losses[early].any():
        first = int(np.flatnonzero(losses > 0)[0])
        raise ParameterError(
            f"the {periods[first]:g}-year storm costs {losses[first]:g}, but the onset is "
            f"{onset_years:g} years",
            where="onset_years",
            accepted=f"less than {periods[first]:g} years",
        )
    return np.append(onset_years, periods[~early]), np.append(0.0, losses[~early])


def _rule(periods: np.ndarray, onset_years: float | None, beyond: Beyond) -> str:
    common = f"the most frequent storm (once in {periods[0]:g} years; a lower bound)"
    start = common if onset_years is None else f"the onset (once in {onset_years:g} years)"
    end = {
        "constant": "stays that of the rarest storm beyond it",
        "none": "is left out beyond the rarest storm (a lower bound)",
    }[beyond]
    return (
        "Loss is linear in annual exceedance probability between storms (trapezoid rule); it is "
        f"zero for storms more frequent than {start}; it {end} (once in {periods[-1]:g} years)."
    )


def damage_of_rarer(curve: RiskCurve, return_period_years: float) -> float:
    """What storms rarer than a return period cost in an average year (currency/year).

    The integral of the loss over probabilities below 1/T, exact under the curve's own rule.

    Example:
        >>> curve = risk_curve(np.array([2.0, 100.0]), np.array([80.0, 80.0]))
        >>> curve.expected_annual_damage, round(damage_of_rarer(curve, 10.0), 9)
        (40.0, 8.0)
    """
    limit = 1.0 / return_period_years
    probability, loss = curve.annual_probability[::-1], curve.loss[::-1]
    tail = float(curve.contribution[-1])
    if limit <= probability[0]:
        return tail * limit / float(probability[0])
    knots = np.append(probability[probability < limit], min(limit, float(probability[-1])))
    values = np.interp(knots, probability, loss)
    return tail + float(np.trapezoid(values, knots))


def event_set_damage(
    rate_per_year: Float[np.ndarray, " events"], loss: Float[np.ndarray, " events"]
) -> float:
    """Expected annual damage of a set of events: the sum of rate times loss (currency/year).

    Example:
        >>> event_set_damage(np.array([0.1, 0.01]), np.array([10.0, 500.0]))
        6.0
    """
    rate, cost = _events(rate_per_year, loss)
    return float(rate @ cost)


def event_set_exceedance(
    rate_per_year: Float[np.ndarray, " events"], loss: Float[np.ndarray, " events"]
) -> tuple[Float[np.ndarray, " events"], Float[np.ndarray, " events"]]:
    """Losses of a set of events, largest first, and how often each is reached or exceeded.

    Returns:
        Losses (currency), falling, and rates of exceedance (1/year): rates summed over all events
        at least as costly. The chance of one or more in a year is 1 - exp(-rate).
    """
    rate, cost = _events(rate_per_year, loss)
    order = np.argsort(-cost, kind="stable")
    falling = cost[order]
    last = np.searchsorted(-falling, -falling, side="right") - 1  # of the events as costly
    return falling, np.cumsum(rate[order])[last]


def _events(rate_per_year: np.ndarray, loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rate, cost = np.asarray(rate_per_year, float), np.asarray(loss, float)
    if rate.shape != cost.shape or rate.ndim != 1:
        raise DataError(f"{rate.size} rates for {cost.size} losses", accepted="one of each")
    if not (np.isfinite(rate) & np.isfinite(cost) & (rate >= 0) & (cost >= 0)).all():
        raise DataError("a rate or loss is negative or not finite", accepted="numbers >= 0")
    return rate, cost
