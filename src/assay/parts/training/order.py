"""Which rows a step is trained on, as a function of the step alone."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np


class Chosen(NamedTuple):
    """Rows of a step.

    Attributes:
        epoch: Pass over the rows, from 0.
        rows: Their numbers ``[batch]``.
    """

    epoch: int
    rows: np.ndarray


def shuffled(count: int, batch: int, seed: int) -> Callable[[int], Chosen]:
    """The rows of each step; every epoch has an order of its own.

    Rows that do not fill a batch are left out of the epoch.

    Args:
        count: Rows there are, at least 1.
        batch: Rows of a step; all of them if there are fewer.
        seed: Seed of the orders.

    Example:
        >>> of_step = shuffled(5, 2, seed=1)
        >>> [of_step(step).epoch for step in range(5)]
        [0, 0, 1, 1, 2]
        >>> len({*of_step(0).rows.tolist(), *of_step(1).rows.tolist()})
        4
    """
    size = min(batch, count)
    steps = count // size

    @lru_cache(maxsize=1)
    def order(epoch: int) -> np.ndarray:
        return np.random.default_rng([seed, epoch]).permutation(count)

    def of_step(step: int) -> Chosen:
        epoch, place = divmod(step, steps)
        return Chosen(epoch, order(epoch)[place * size : (place + 1) * size])

    return of_step
