"""Whether an ensemble's spread is the right one: coverage, ranks and the CRPS of held-out truths.

Notable in this file:

* *What a few members can promise.* Among N members that are drawn like the truth each of the N + 1
  ranks of the truth is as likely. So the interval runs between order statistics, interpolated at
  Weibull's plotting positions: it holds 90 % of such truths from 19 members on, and with fewer no
  more than (N - 1) / (N + 1), which is recorded beside the share found.
* *The score counts both.* The continuous ranked probability score of the members' empirical
  distribution F is the integral of (F(x) - 1{x >= truth})^2 over x: 0 for members that all hit, the
  absolute error for a single one; spread that is too wide or too narrow raises it.
"""

from typing import Annotated

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.errors import DataError
from assay.systems.climate_impact.uncertainty import Design, MemberRisk

__all__ = ["attainable_coverage", "covered", "crps", "ensemble_reliability", "ranks"]

WET_M = 0.1


@component(version="1", requires=("numpy",))
def ensemble_reliability(
    design: Design,
    members: list[MemberRisk],
    truths: list[MemberRisk],
    *,
    level: Annotated[float, Field(gt=0, lt=1)] = 0.9,
    seed: Seed,
) -> Records:
    """Try the spread of an ensemble on truths that it was not told.

    Records ``coverage``, the share of truths within the interval of the members, and ``crps``, the
    mean score (currency/year or m), both by ``quantity``: the expected annual ``damage``, and the
    ``depth`` of the storm mapped in cells that some member or truth floods deeper than 0.1 m;
    ``attainable_coverage``, what truths drawn like the members would give; and ``truth_rank``, how
    many members stay below the damage of each ``truth``.

    Args:
        design: The members' design: those of its samples A and B are independent, and count.
        members: The ensemble.
        truths: What is true in its stead, one at a time.
        level: Share that the interval shall hold.
        seed: Seed that decides ranks among members as costly as the truth.
    """
    drawn = [m for m in members if m.member < 2 * design.points]
    if len(drawn) < 2 or not truths:
        raise DataError(
            f"{len(drawn)} independent members and {len(truths)} truths",
            where="ensemble_reliability", accepted="two members and a truth",
        )  # fmt: skip
    currencies = sorted({m.currency for m in (*drawn, *truths)})
    if len(currencies) > 1:
        raise DataError(f"damages are in {' and '.join(currencies)}", accepted="one currency")
    damage, true_damage = (
        np.array([m.expected_annual_damage for m in some]) for some in (drawn, truths)
    )
    depth, true_depth = (
        np.array([m.max_depth_m.values.ravel() for m in some]) for some in (drawn, truths)
    )
    wet = np.maximum(depth.max(axis=0), true_depth.max(axis=0)) > WET_M  # not where NaN
    records = Records()
    records.add("attainable_coverage", attainable_coverage(len(drawn), level))
    for quantity, unit, some, true in (
        ("damage", f"{currencies[0]}/year", damage[:, None], true_damage[:, None]),
        ("depth", "m", depth[:, wet], true_depth[:, wet]),
    ):
        inside, score = covered(some, true, level), crps(some, true)
        known = score.size > 0
        records.add("coverage", float(inside.mean()) if known else np.nan, quantity=quantity)
        records.add("crps", float(score.mean()) if known else np.nan, unit, quantity=quantity)
    for number, rank in enumerate(ranks(damage, true_damage, np.random.default_rng(seed))):
        records.add("truth_rank", int(rank), truth=number, members=len(drawn))
    return records


# -- scores -------------------------------------------------------------------------------------


def covered(
    members: Float[np.ndarray, "members places"],
    truths: Float[np.ndarray, "truths places"],
    level: float,
) -> np.ndarray:
    """Whether truths lie within the central interval of the members, ``[truths, places]``.

    Args:
        members: The ensemble at each place.
        truths: What is true.
        level: Share that the interval shall hold.

    Example:
        >>> covered(np.array([[1.0], [2.0], [3.0]]), np.array([[2.5], [3.5]]), 0.5)[:, 0].tolist()
        [True, False]
    """
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(members, [tail, 1.0 - tail], axis=0, method="weibull")
    return (truths >= low) & (truths <= high)


def attainable_coverage(members: int, level: float) -> float:
    """Share of truths drawn like the members that `covered` says yes to, on average.

    Exact for a uniform distribution, and for any where the interval ends at members.

    Example:
        >>> attainable_coverage(19, 0.9), attainable_coverage(4, 0.9)
        (0.9, 0.6)
    """
    return min(level, (members - 1) / (members + 1))


def crps(
    members: Float[np.ndarray, "members places"], truths: Float[np.ndarray, "truths places"]
) -> np.ndarray:
    """Continuous ranked probability score of the members' empirical distribution.

    E|X - y| - E|X - X'| / 2 over members X and X', in their unit; ``[truths, places]``.

    Example:
        >>> crps(np.array([[1.0], [3.0]]), np.array([[3.0], [5.0]])).ravel().tolist()
        [0.5, 2.5]
    """
    count = len(members)
    ordered = np.sort(members, axis=0)
    # Of sorted members the k-th (from 0) is the larger one of k pairs and the smaller of n - 1 - k
    weight = 2.0 * np.arange(count) - (count - 1)
    spread = np.tensordot(weight, ordered, axes=1) / count**2  # half the mean over all n^2 pairs
    away = np.stack([np.abs(members - truth).mean(axis=0) for truth in truths])
    return away - spread


def ranks(
    members: Float[np.ndarray, " members"],
    truths: Float[np.ndarray, " truths"],
    random: np.random.Generator,
) -> Int[np.ndarray, " truths"]:
    """How many members stay below each truth, 0 to all; members equal to it below at random."""
    below = (members < truths[:, None]).sum(axis=1)
    equal = (members == truths[:, None]).sum(axis=1)
    return below + random.integers(0, equal + 1)
