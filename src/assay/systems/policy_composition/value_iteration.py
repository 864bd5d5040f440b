"""Exact soft value iteration over a finite model: any number of states, actions and successors.

Notable in this file:

* The value is a log-mean-exp, not a log-sum-exp. It equals the soft optimum with entropy measured
  against the uniform policy, so an action set twice as fine has the same values, and staying alive
  earns nothing by itself. Forbidden actions count in the mean with weight zero: a state of which
  few actions are allowed is worth less.
* Each round backs every state up once and then follows the policy of that backup for many steps,
  which costs a tenth: a Newton step on the backup, whose fixed point is the same (modified policy
  iteration, Puterman and Shin 1978; the maximum of temperature 0 makes it Howard's).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from assay.errors import ParameterError, SimulationError
from assay.systems.policy_composition.backup import iterate

__all__ = ["FiniteModel", "Solution", "action_values", "solve"]

FOLLOWED = 300
"""Most steps for which a round follows its policy."""


class FiniteModel(NamedTuple):
    """A finite decision process.

    Attributes:
        successors: Numbers of states, int32 ``[states, actions, J]``.
        chances: Their probabilities ``[states, actions, J]``; what they lack to 1 is the chance
            that the episode ends.
        rewards: Expected rewards ``[states, actions]``.
    """

    successors: np.ndarray
    chances: np.ndarray
    rewards: np.ndarray


class Solution(NamedTuple):
    """What value iteration came to.

    Attributes:
        values: Soft values ``[states]``.
        residual: Largest change another backup would make.
        error_bound: How far a value can lie from the exact one: residual / (1 - discount).
        rounds: Backups of all states.
    """

    values: np.ndarray
    residual: float
    error_bound: float
    rounds: int


def solve(
    model: FiniteModel,
    *,
    discount: float = 0.99,
    temperature: float = 1.0,
    allowed: Bool[np.ndarray, "states actions"] | None = None,
    tolerance: float = 1e-2,
    rounds: int = 500,
) -> Solution:
    """The soft values of a finite model whose actions may be restricted.

    Args:
        model: States, actions, chances and rewards.
        discount: In [0, 1).
        temperature: Of the soft maximum, in the unit of rewards; 0 is the maximum itself.
        allowed: Actions to choose from in each state, at least one; all if not given.
        tolerance: How far a value may lie from the exact one.
        rounds: Backups of all states after which it gives up.

    Raises:
        ParameterError: If a parameter is out of range or a state has no action.
        SimulationError: If it did not come within the tolerance.

    Example:
        One state, two actions worth 0 and 1 for ever after: the hard value is 1 / (1 - 0.5).

        >>> model = FiniteModel(np.zeros((1, 2, 1), np.int32), np.ones((1, 2, 1)),
        ...                     np.array([[0.0, 1.0]]))
        >>> solve(model, discount=0.5, temperature=0.0, tolerance=1e-9).values.round(6).tolist()
        [2.0]
    """
    if not 0 <= discount < 1:
        raise ParameterError(f"a discount of {discount}", accepted="a number in [0, 1)")
    if not 0 <= temperature < np.inf:
        raise ParameterError(f"a temperature of {temperature}", accepted="0 or more")
    if not tolerance > 0:
        raise ParameterError(f"a tolerance of {tolerance}", accepted="more than 0")
    if allowed is None:
        allowed = np.ones(model.rewards.shape, bool)
    bare = ~allowed.any(axis=1)
    if bare.any():
        raise ParameterError(f"state {int(np.argmax(bare))} has no allowed action")
    values = np.zeros(len(model.rewards))
    residual, taken = iterate(
        values, tuple(model), allowed, float(discount), float(temperature),
        tolerance * (1 - discount), rounds, FOLLOWED,
    )  # fmt: skip
    bound = residual / (1 - discount)
    if not bound <= tolerance:
        raise SimulationError(
            f"value iteration is within {bound:.3g} of the exact values after {taken:,} rounds",
            accepted=f"{tolerance:g}",
            next="Allow more rounds or a larger tolerance.",
        )
    return Solution(values, float(residual), bound, taken)


def action_values(
    model: FiniteModel, values: Float[np.ndarray, " states"], discount: float
) -> Float[np.ndarray, "states actions"]:
    """What every action is worth under given values of the states."""
    ahead = np.einsum("saj,saj->sa", model.chances, values[model.successors])
    return model.rewards + discount * ahead
