"""The three example tasks of challengeR, number for number: ideal, random, and worst case.

They are drawn as R 4 draws them (Mersenne Twister seeded by a congruential generator; normal
numbers by inversion), so the same values, ranks and intervals come out as in its documentation.
"""

from itertools import permutations

import numpy as np

from assay.parts.ranking.scores import Scores

__all__ = ["example_tasks"]

CASES = 50
ALGORITHMS = tuple(f"A{number}" for number in range(1, 6))
RANGES = ((0.9, 1.0), (0.8, 0.89), (0.7, 0.79), (0.6, 0.69), (0.5, 0.59))
WORST = (0.8, 0.85, 0.9, 0.95, 1.0)


def example_tasks() -> dict[str, Scores]:
    """Five algorithms on three tasks; large values are better.

    Returns:
        ``c_ideal``: 50 cases on which the algorithms' values never overlap. ``c_random``: 50 cases
        whose values have the same distribution. ``c_worstcase``: every order of five values once.

    Source: Wiesenfarth et al. 2021, Sci. Rep. 11, 2369.
    """
    from scipy.special import expit

    uniform = _r_uniform(seed=4, n=6 * CASES)[CASES:].reshape(5, CASES)  # it draws one in vain
    ideal = [low + (high - low) * row for (low, high), row in zip(RANGES, uniform, strict=True)]
    normal = 1.5 + _r_normal(seed=1, n=5 * CASES)
    columns = {
        "c_ideal": np.array(ideal).T,
        "c_random": expit(normal).reshape(5, CASES).T,
        "c_worstcase": np.array(list(permutations(WORST))),
    }
    return {
        task: Scores(task, ALGORITHMS, tuple(map(str, range(1, len(v) + 1))), v, small_better=False)
        for task, v in columns.items()
    }


def _r_uniform(seed: int, n: int) -> np.ndarray:
    """What R's ``set.seed`` and ``runif`` give."""
    words = []
    for step in range(50 + 625):
        seed = (69069 * seed + 1) % 2**32
        if step > 50:  # fifty to warm up, and one that is written over
            words.append(seed)
    twister = np.random.MT19937()
    twister.state = {
        "bit_generator": "MT19937",
        "state": {"key": np.array(words, np.uint32), "pos": 624},
    }
    return twister.random_raw(n) * 2.0**-32 * (2.0**32 * 2.3283064365386963e-10)


def _r_normal(seed: int, n: int) -> np.ndarray:
    """What R's ``set.seed`` and ``rnorm`` give: two uniform numbers for each normal one."""
    from scipy.special import ndtri

    first, second = _r_uniform(seed, 2 * n).reshape(n, 2).T
    big = 2.0**27
    return ndtri((np.floor(big * first) + second) / big)
