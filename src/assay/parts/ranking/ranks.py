"""Ranks of algorithms, with every rule for ties and for values that are missing."""

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from assay.errors import ParameterError

__all__ = ["TIES", "Ties", "ranks"]

Ties = Literal["min", "max", "average", "first", "random"]
TIES: tuple[Ties, ...] = get_args(Ties)


def ranks(
    values: Float[np.ndarray, "*row algorithm"],
    *,
    small_better: bool,
    ties: Ties = "min",
    rng: np.random.Generator | None = None,
) -> Float[np.ndarray, "*row algorithm"]:
    """Rank of every algorithm in its row, 1 for the best.

    Values that are missing come last, behind the largest rank that was given. They share it under
    ``min`` and ``random``; under ``average`` they share its mean; under ``max`` and ``first`` they
    are treated as equal values are (challengeR leaves a gap there). A row without any value has
    only first ranks under ``min``.

    Source: Wiesenfarth et al. 2021, Sci. Rep. 11, 2369 (challengeR).

    Args:
        values: What is ranked; NaN where it is missing.
        small_better: Whether the smallest value is the best.
        ties: Which of their ranks equal values get.
        rng: Where ``random`` gets its order from.

    Raises:
        ParameterError: If the rule for ties is not known, or is ``random`` without a generator.

    Example:
        >>> ranks(np.array([0.8, 0.6, 0.8, np.nan]), small_better=False).tolist()
        [1.0, 3.0, 1.0, 4.0]
    """
    if ties not in TIES:
        raise ParameterError(f"no rule {ties!r} for ties", accepted=f"one of {', '.join(TIES)}")
    cost = values if small_better else -values
    ahead, level = _compared(cost)
    lowest = 1.0 + ahead.sum(axis=-1)
    if ties == "min":
        given = lowest
    elif ties == "max":
        given = lowest + level.sum(axis=-1) - 1
    elif ties == "average":
        given = lowest + (level.sum(axis=-1) - 1) / 2
    else:
        given = lowest + (level & _before(values, ties, rng)).sum(axis=-1)
    return _missing_last(given, np.isnan(values), ties)


def _compared(cost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether the other one is better, and whether it is equal, ``[... algorithm other]``."""
    mine, other = cost[..., :, None], cost[..., None, :]
    return other < mine, other == mine


def _before(values: np.ndarray, ties: Ties, rng: np.random.Generator | None) -> np.ndarray:
    """Which of two equals comes first, ``[... algorithm other]``."""
    if ties == "first":
        key = np.broadcast_to(np.arange(values.shape[-1], dtype=float), values.shape)
    elif rng is None:
        raise ParameterError("ties are broken at random without a generator", next="Pass rng.")
    else:
        key = rng.random(values.shape)
    return key[..., None, :] < key[..., :, None]


def _missing_last(given: np.ndarray, missing: np.ndarray, ties: Ties) -> np.ndarray:
    behind = np.where(missing, 0.0, given).max(axis=-1, keepdims=True)
    count = missing.sum(axis=-1, keepdims=True)
    place = {
        "min": 1.0,
        "random": 1.0,
        "max": count,
        "average": (count + 1) / 2,
        "first": missing.cumsum(axis=-1),
    }[ties]
    return np.where(missing, behind + place, given)
