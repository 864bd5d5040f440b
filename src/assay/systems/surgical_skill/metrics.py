"""How good predictions of skill metrics are, and what a missing prediction costs.

A prediction that is missing or NaN costs what the worst possible one would: its error is that to
the further end of the declared range, and in the rank correlations every pair it belongs to counts
as ordered wrongly. So leaving out what one is unsure of never pays. What lies outside of the range
is moved to its end, or a missing prediction could be better than that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from assay.errors import DataError, ParameterError
from assay.systems.surgical_skill.events import DROPS, ECONOMY, OUT_OF_VIEW

__all__ = ["MEASURES", "TARGETS", "Kind", "Scored", "Target", "errors", "scored"]

Kind = Literal["count", "ratio", "likert", "class"]


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is to be predicted of a recording.

    Attributes:
        name: Its name in tables.
        kind: ``count`` of events, ``ratio`` (a positive number compared by its logarithm),
            ``likert`` (a whole number on a scale), ``class`` (a number without order).
        range: Least and largest value there is.
        higher_is_better: Whether more of it means more skill.
        missing_ok: Whether the truth may be missing.
    """

    name: str
    kind: Kind
    range: tuple[float, float]
    higher_is_better: bool
    missing_ok: bool = True

    def __post_init__(self) -> None:
        low, high = self.range
        least = np.nextafter(0.0, 1.0) if self.kind == "ratio" else -np.inf
        if not (np.isfinite(self.range).all() and least <= low < high):
            raise ParameterError(
                f"a range of {low:g} to {high:g}", where=f"target {self.name!r}",
                accepted="two numbers that rise" + (", above 0" if self.kind == "ratio" else ""),
            )  # fmt: skip


TARGETS = (
    Target(name=DROPS, kind="count", range=(0.0, 50.0), higher_is_better=False),
    Target(name=OUT_OF_VIEW, kind="count", range=(0.0, 50.0), higher_is_better=False),
    Target(name=ECONOMY, kind="ratio", range=(0.1, 1000.0), higher_is_better=False),
)
"""The three of this challenge. Their ranges are ours: the organisers published none."""


class Scored(NamedTuple):
    """How good the predictions of one target are.

    Attributes:
        values: By measure, as `MEASURES` lists them for the kind.
        n: Cases whose truth is known; only they count.
        missing: Cases among them without a prediction.
        flagged: Which cases lack a prediction ``[case]``, whether their truth is known or not.
    """

    values: dict[str, float]
    n: int
    missing: int
    flagged: Bool[np.ndarray, " case"]

    @property
    def ranked(self) -> bool:
        """Whether the entry may be ranked: not if it predicts nothing at all here."""
        return self.n > self.missing


MEASURES: dict[str, tuple[str, ...]] = {
    "count": ("mae", "rmse", "exact_rate", "within_1_rate", "spearman", "kendall"),
    "likert": ("mae", "rmse", "exact_rate", "within_1_rate", "spearman", "kendall"),
    "ratio": ("log_mae", "spearman"),
    "class": ("exact_rate",),
}
"""What is measured, by kind. Spearman's rho and Kendall's tau-b are rank correlations."""


def errors(
    target: Target, truth: Float[np.ndarray, " case"], given: Float[np.ndarray, " case"]
) -> Float[np.ndarray, " case"]:
    """How far off each prediction is; of a ratio in logarithms, of a class 0 or 1.

    Args:
        target: What was to be predicted.
        truth: The truth; NaN where it is not known.
        given: The predictions; NaN where there is none.

    Returns:
        At least 0; NaN where the truth is not known.

    Raises:
        DataError: If the arrays do not fit together, or a truth is refused by the target.

    Example:
        >>> errors(TARGETS[0], np.array([2.0, 2.0, np.nan]), np.array([3.0, np.nan, 1.0])).tolist()
        [1.0, 48.0, nan]
    """
    _require(target, truth, given)
    low, high = target.range
    inside = np.clip(np.where(np.isinf(given), np.nan, given), low, high)
    if target.kind == "class":
        return np.where(np.isnan(truth), np.nan, (inside != truth).astype(float))
    if target.kind == "ratio":
        truth, inside, low, high = np.log(truth), np.log(inside), np.log(low), np.log(high)
    return np.where(np.isnan(inside), np.maximum(truth - low, high - truth), np.abs(inside - truth))


def scored(
    target: Target, truth: Float[np.ndarray, " case"], given: Float[np.ndarray, " case"]
) -> Scored:
    """Score the predictions of one target.

    Args:
        target: What was to be predicted.
        truth: The truth; NaN where it is not known.
        given: The predictions; NaN where there is none.

    Returns:
        Measures that are not defined are NaN: all of them without any truth, and correlations where
        the truth has no order. Predictions without any order have a correlation of 0.

    Raises:
        DataError: If the arrays do not fit together, or a truth is refused by the target.
    """
    off, known = errors(target, truth, given), ~np.isnan(truth)
    flagged = ~np.isfinite(given)
    inside = np.where(flagged, np.nan, np.clip(given, *target.range))
    values = dict.fromkeys(MEASURES[target.kind], np.nan)
    if known.any():
        of = off[known], truth[known], inside[known], flagged[known]
        values = {name: float(_MEASURED[name](*of)) for name in values}
    return Scored(values, int(known.sum()), int((flagged & known).sum()), flagged)


class _Coefficient(NamedTuple):
    """How far apart a pair is in the truth, and how much there is to order in values."""

    weights: Callable[[np.ndarray], np.ndarray]
    spread: Callable[[int, np.ndarray], float]


def _ranks(values: np.ndarray) -> np.ndarray:
    return (values[:, None] > values).sum(axis=1) + (values[:, None] == values).sum(axis=1) / 2


def _between_ranks(truth: np.ndarray) -> np.ndarray:
    return np.abs(np.subtract.outer(_ranks(truth), _ranks(truth)))


_kendall = _Coefficient(
    lambda truth: (truth[:, None] != truth).astype(float),
    lambda n, ties: (n**2 - n - (ties**2 - ties).sum()) / 2,
)
_spearman = _Coefficient(
    lambda truth: _between_ranks(truth) / 2,
    lambda n, ties: (n**3 - n - (ties**3 - ties).sum()) / 12,
)


def _rank_correlation(
    truth: np.ndarray, given: np.ndarray, missing: np.ndarray, kind: _Coefficient
) -> float:
    """Kendall's tau-b, or Spearman's rho, with missing predictions at their worst.

    Both are sums over pairs: of the signs of the pairs, and of their signs times the distance of
    the ranks in the truth. A pair with a missing prediction has the sign -1; what that does to the
    denominator is bounded from the side that is worse. Without a missing one both are exact.
    """
    n = len(truth)
    whole = kind.spread(n, np.unique(truth, return_counts=True)[1])
    if n < 2 or whole == 0:
        return np.nan
    sign = np.sign(truth[:, None] - truth) * np.sign(given[:, None] - given)
    sign = np.where(missing[:, None] | missing, -1.0, sign)
    total = float((sign * kind.weights(truth)).sum() / 2)
    ties = np.unique(given[~missing], return_counts=True)[1]
    counted = n if total >= 0 else n - int(missing.sum())
    spread = kind.spread(counted, ties)
    if spread <= 0:
        return -1.0 if missing.any() else 0.0
    return max(-1.0, total / float(np.sqrt(whole * spread)))


_MEASURED: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "mae": lambda off, *_: off.mean(),
    "log_mae": lambda off, *_: off.mean(),
    "rmse": lambda off, *_: np.sqrt(np.square(off).mean()),
    "exact_rate": lambda off, _, __, missing: ((off == 0) & ~missing).mean(),
    "within_1_rate": lambda off, _, __, missing: ((off <= 1) & ~missing).mean(),
    "spearman": lambda _, truth, given, missing: _rank_correlation(
        truth, given, missing, _spearman
    ),
    "kendall": lambda _, truth, given, missing: _rank_correlation(truth, given, missing, _kendall),
}


def _require(target: Target, truth: np.ndarray, given: np.ndarray) -> None:
    if truth.ndim != 1 or truth.shape != given.shape:
        raise DataError(
            f"predictions of {given.shape} for a truth of {truth.shape}",
            where=target.name, accepted="one number for each case",
        )  # fmt: skip
    low, high = target.range
    wrong = (truth < low) | (truth > high) | np.isinf(truth)
    if not target.missing_ok:
        wrong |= np.isnan(truth)
    if wrong.any():
        case = int(wrong.argmax())
        raise DataError(
            f"the truth of case {case + 1} is {truth[case]:g}",
            where=target.name, accepted=f"{low:g} to {high:g}",
        )  # fmt: skip
