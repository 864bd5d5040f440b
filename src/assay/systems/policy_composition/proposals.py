"""Actions drawn evenly from a box, and the soft value that they estimate.

Notable in this file: proposals are uniform, not drawn from the policy, so the mean of exp(Q) over
them needs no weights. One lies in each cell of a grid, anywhere in it (a jittered grid): each
proposal set is unbiased for the mean over the box, with far less variance than as many independent
draws. With more axes than a grid can cover each axis is divided by itself (a Latin hypercube).
"""

import numpy as np
from jaxtyping import Float

from assay.errors import ParameterError
from assay.systems.policy_composition.actions import ActionSet

__all__ = ["evenly", "log_mean_exp"]


def evenly(
    actions: ActionSet, batch: int, count: int, rng: np.random.Generator
) -> Float[np.ndarray, "batch count axes"]:
    """Proposals for each of a batch of states, together spread over the box.

    Args:
        actions: The box; its candidates play no part.
        batch: How many states.
        count: Proposals for each. A grid is jittered if it is the power of a whole number by the
            number of axes, 16 for two of them; else they are a Latin hypercube.
        rng: Where they are drawn from.

    Raises:
        ParameterError: If there is none, or the actions are no box.

    Example:
        >>> from assay.systems.policy_composition.actions import box
        >>> drawn = evenly(box([-1], [1]), 1, 4, np.random.default_rng(0))
        >>> np.floor(np.sort(drawn.ravel()) * 2).tolist()
        [-2.0, -1.0, 0.0, 1.0]
    """
    if count < 1:
        raise ParameterError(f"{count} proposals", accepted="at least 1")
    if not actions.low:
        raise ParameterError(f"proposals from {actions}", accepted="a box of actions")
    low, high = np.array(actions.low), np.array(actions.high)
    axes = len(low)
    side = round(count ** (1 / axes))
    if side**axes == count:
        cells = np.stack(np.meshgrid(*[np.arange(side)] * axes, indexing="ij"), axis=-1)
        at = (cells.reshape(count, axes) + rng.random((batch, count, axes))) / side
    else:
        orders = rng.random((batch, count, axes)).argsort(axis=1)
        at = (orders + rng.random((batch, count, axes))) / count
    return low + (high - low) * at


def log_mean_exp(
    values: Float[np.ndarray, "batch count"],
    log_weights: Float[np.ndarray, "batch count"],
    temperature: float,
) -> Float[np.ndarray, " batch"]:
    """Soft values: temperature x log of the mean of weight x exp(value / temperature).

    Args:
        values: What proposals are worth; the largest of a row is subtracted first.
        log_weights: 0 for a proposal that counts, -inf for one that is forbidden.
        temperature: > 0, in the unit of the values.

    Returns:
        One value per row; -inf where nothing counts.

    Example:
        >>> none = -np.inf
        >>> log_mean_exp(np.array([[9e3, 9e3]]), np.array([[0.0, none]]), 2.0).round(3).tolist()
        [8998.614]
    """
    weighed = values / temperature + log_weights
    top = weighed.max(axis=1, keepdims=True)
    safe = np.where(np.isneginf(top), 0.0, top)
    with np.errstate(divide="ignore"):
        means = np.log(np.exp(weighed - safe).mean(axis=1))
    return temperature * (safe[:, 0] + means)
