"""How to choose epsilon: by the share of actions it leaves, or by a violation rate measured."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from assay.errors import ParameterError, StepError
from assay.systems.policy_composition.actions import ActionSet
from assay.systems.policy_composition.indifference import Quality

__all__ = ["Calibration", "calibrate", "share_epsilon"]


def share_epsilon(
    q: Quality, actions: ActionSet, share: float
) -> Callable[[np.ndarray], np.ndarray]:
    """An epsilon for each state, by which the level leaves this share of the candidates, or more.

    Args:
        q: The level.
        actions: Its candidates.
        share: In (0, 1].

    Returns:
        States to epsilons ``[batch]``; infinite where an action worth -inf has to be among those
        left, as no finite one leaves it.

    Raises:
        ParameterError: If the share is out of range.
    """
    if not 0 < share <= 1:
        raise ParameterError(f"a share of {share}", accepted="more than 0, at most 1")

    def epsilon(states: np.ndarray) -> np.ndarray:
        each = actions.candidates
        values = q(states, np.broadcast_to(each, (len(states), *each.shape)))
        kept = max(1, int(np.ceil(share * len(each) - 1e-9)))
        best, worst_kept = values.max(axis=1), np.sort(values, axis=1)[:, -kept]
        finite = np.isfinite(worst_kept)
        best, worst_kept = np.where(finite, best, 0.0), np.where(finite, worst_kept, 0.0)
        digit = np.spacing(np.maximum(np.abs(best), np.abs(worst_kept)))
        epsilons = best - worst_kept + 4 * digit  # so that the worst is not lost in rounding
        return np.where(finite, epsilons, np.inf)

    return epsilon


class Calibration(NamedTuple):
    """What a search for epsilon came to.

    Attributes:
        epsilon: The largest tried whose rate is at most the target.
        rate: The rate measured there.
        tried: Every epsilon tried and its rate, in order.
    """

    epsilon: float
    rate: float
    tried: tuple[tuple[float, float], ...]


def calibrate(
    rate: Callable[[float], float],
    *,
    target: float = 0.01,
    low: float = 0.01,
    high: float = 100.0,
    evaluations: int = 10,
) -> Calibration:
    """The largest epsilon whose measured violation rate is at most a target.

    Bisection of the logarithm, which supposes that more slack violates more. Measure the rate with
    the same starts each time, and confirm what comes out with others.

    Args:
        rate: Runs the composite with an epsilon; the violation rate, in [0, 1].
        target: The rate that is still accepted.
        low: Smallest epsilon, > 0; it is tried first.
        high: Largest epsilon; it is tried second.
        evaluations: Calls of ``rate``, at least 2.

    Raises:
        ParameterError: If a parameter is out of range.
        StepError: If even the smallest epsilon violates more.

    Example:
        >>> found = calibrate(lambda epsilon: float(epsilon > 3.0), evaluations=12)
        >>> 2.5 < found.epsilon <= 3.0, len(found.tried)
        (True, 12)
    """
    if not 0 < low < high < np.inf:
        raise ParameterError(f"epsilon from {low} to {high}", accepted="0 < low < high")
    if evaluations < 2:
        raise ParameterError(f"{evaluations} evaluations", accepted="at least 2")
    tried = [(low, rate(low))]
    if not tried[0][1] <= target:
        raise StepError(
            f"a violation rate of {tried[0][1]:.3g} at the smallest epsilon, {low:g}",
            accepted=f"at most {target:g}",
            next="The level's values, not epsilon, are what is wrong, or low is too large.",
        )
    tried.append((high, rate(high)))
    best, above = (tried[1], high) if tried[1][1] <= target else (tried[0], high)
    while len(tried) < evaluations and best[0] < above:
        middle = float(np.sqrt(best[0] * above))
        tried.append((middle, rate(middle)))
        if tried[-1][1] <= target:
            best = tried[-1]
        else:
            above = middle
    return Calibration(best[0], best[1], tuple(tried))
