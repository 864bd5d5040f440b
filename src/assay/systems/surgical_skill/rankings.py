"""How far a ranking of submissions can be trusted, on scores whose order is known."""

from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.parts.ranking.charts import LINE_SCHEMES
from assay.parts.ranking.example_tasks import example_tasks
from assay.parts.ranking.schemes import rank, rank_draws
from assay.parts.ranking.scores import Scores
from assay.parts.ranking.stability import Stability, kendall, stability

__all__ = ["Resampled", "example_scores", "resample", "simulated_scores"]

Way = Literal["tests", "mean, then rank", "median, then rank", "rank, then mean",
              "rank, then median"]  # fmt: skip
PLAIN = "mean, then rank"


class Resampled(NamedTuple):
    """What a ranking is worth: its measures, and the ranking with all its resamples."""

    measures: Records
    stability: Stability


@component(version="1", requires=("numpy", "scipy"))
def example_scores(*, task: Literal["c_ideal", "c_random", "c_worstcase"]) -> Scores:
    """One of the three example tasks of challengeR, whose rankings are published."""
    return example_tasks()[task]


@component(version="1", requires=("numpy", "scipy"))
def simulated_scores(
    *,
    cases: Annotated[int, Field(ge=2)] = 50,
    algorithms: Annotated[int, Field(ge=2, le=26)] = 5,
    gap: NonNegativeFloat = 0.15,
    difficulty: NonNegativeFloat = 0.7,
    noise: NonNegativeFloat = 0.7,
    seed: Seed,
) -> Scores:
    """Scores in [0, 1] of algorithms that are truly in the order of their names.

    The logit of a score is 1.5, minus ``gap`` for every place of the algorithm, plus a case's
    difficulty that all algorithms share, plus noise of their own.

    Args:
        cases: How many.
        algorithms: How many, each a little worse than the one before.
        gap: Between neighbours, in logits.
        difficulty: Standard deviation over cases.
        noise: Standard deviation of an algorithm on a case.
        seed: Of the draws.
    """
    from scipy.special import expit

    rng = np.random.default_rng(seed)
    ability = 1.5 - gap * np.arange(algorithms)
    logits = (
        ability
        + difficulty * rng.standard_normal((cases, 1))
        + noise * rng.standard_normal((cases, algorithms))
    )
    return Scores(
        "simulated",
        tuple(chr(ord("A") + n) for n in range(algorithms)),
        tuple(map(str, range(1, cases + 1))),
        expit(logits),
        small_better=False,
    )


@component(version="1", requires=("numpy", "scipy"))
def resample(
    scores: Scores, *, way: Way = PLAIN, draws: PositiveInt = 1000, seed: Seed
) -> Resampled:
    """Rank in one way, then again on resamples of the cases and without each case in turn.

    Args:
        scores: Of one task; where it is ``simulated``, the names are the true order.
        way: How the ranking is made.
        draws: Resamples.
        seed: Of the resamples.

    Returns:
        As measures ``tau``: mean of Kendall's tau of the resamples with the ranking, where it is
        defined, and ``undefined_share`` where it is not; ``winner_kept``: share of resamples whose
        first place is the same; ``pairs_turned``: pairs of algorithms in another order than by
        their means; ``one_case_turns``: share of cases without which the order is another;
        ``score`` and ``rank`` of each ``algorithm``. With a known order: ``best_first``, whether
        the best algorithm alone is first; ``tau_true`` with the known order; ``covered``, the share
        of algorithms whose true rank lies in the interval.
    """
    scheme = LINE_SCHEMES[way]
    found = stability(scores, scheme, draws=draws, seed=seed)
    ranked, plain = found.ranking.rank, rank(scores, LINE_SCHEMES[PLAIN]).rank
    records = Records()
    told = found.tau[~np.isnan(found.tau)]
    if len(told):
        records.add("tau", told.mean())
    records.add("undefined_share", 1 - len(told) / draws)
    first = ranked == 1
    records.add("winner_kept", ((found.ranks == 1) == first).all(axis=1).mean())
    records.add("pairs_turned", _turned(ranked, plain), "pairs")
    records.add("one_case_turns", _fragile(scores, way, ranked))
    for name, score, place in zip(scores.algorithms, found.ranking.score, ranked, strict=True):
        records.add("score", score, algorithm=name)
        records.add("rank", place, algorithm=name)
    if scores.task == "simulated":
        truth = np.arange(1.0, len(ranked) + 1)
        tau = kendall(ranked[None], truth)[0]
        low, high = found.interval
        records.add("best_first", bool(first[0] and first.sum() == 1))
        records.add("tau_true", 0.0 if np.isnan(tau) else tau)
        records.add("covered", ((low <= truth) & (truth <= high)).mean())
    return Resampled(records, found)


def _turned(ranked: np.ndarray, other: np.ndarray) -> int:
    """Pairs of algorithms that stand one way round in one ranking, and not so in the other."""
    one, two = np.triu_indices(len(ranked), k=1)
    return int((np.sign(ranked[one] - ranked[two]) != np.sign(other[one] - other[two])).sum())


def _fragile(scores: Scores, way: Way, ranked: np.ndarray) -> float:
    """Share of the cases without which somebody has another rank."""
    n = len(scores.cases)
    without = np.array([np.delete(np.arange(n), case) for case in range(n)])
    return float((rank_draws(scores, LINE_SCHEMES[way], without)[1] != ranked).any(axis=1).mean())
