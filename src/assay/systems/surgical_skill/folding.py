"""Folds in which a surgeon's cases stay together, and what each of them trains on and tests."""

from typing import Annotated, Literal, NamedTuple

import numpy as np
from jaxtyping import Int
from pydantic import Field, NonNegativeInt

from assay.core.component import Seed, component
from assay.errors import DataError, ParameterError
from assay.systems.surgical_skill.clips import NOBODY
from assay.systems.surgical_skill.counts import grouped_folds

__all__ = ["Folds", "Grouping", "Part", "deal", "part"]

Grouping = Literal["surgeon", "case", "frame"]
"""What no fold parts. A surgeon's cases are alike, and the frames of a case are more so: where they
are parted, a model is tested on what it has nearly seen."""


class Folds(NamedTuple):
    """Which fold everything is in, from 0.

    Attributes:
        of_frame: Fold of each frame.
        cases: Numbers of the cases.
        of_case: Fold of each of them. Where frames were dealt, cases are dealt by themselves, and
            every detector has seen frames of every case.
    """

    of_frame: Int[np.ndarray, " frame"]
    cases: Int[np.ndarray, " case"]
    of_case: Int[np.ndarray, " case"]


class Part(NamedTuple):
    """What one fold trains on, and what it is tested on.

    Attributes:
        train: Rows of the frames outside of the fold.
        held: Rows of the frames in it.
        cases: Numbers of the cases in it.
    """

    train: Int[np.ndarray, " train"]
    held: Int[np.ndarray, " held"]
    cases: Int[np.ndarray, " case"]


@component(version="1", requires=("numpy",))
def deal(
    case: np.ndarray,
    surgeon: np.ndarray,
    *,
    count: Annotated[int, Field(ge=2, le=100)] = 3,
    grouping: Grouping = "surgeon",
    seed: Seed,
) -> Folds:
    """Deal frames and their cases into folds of about the same size.

    Args:
        case: Number of the case of each frame.
        surgeon: Number of the surgeon of each frame; where it is -1, nobody known, a case stands
            for itself.
        count: How many folds.
        grouping: What no fold parts; ``surgeon`` is good practice.
        seed: Of the order in which they are dealt.

    Raises:
        DataError: If there are fewer surgeons, cases or frames than folds.
    """
    cases, first = np.unique(case, return_index=True)
    known = surgeon[first] != NOBODY
    people = np.where(known, surgeon[first], -2 - np.arange(len(cases)))
    groups = people if grouping == "surgeon" else cases
    dealt = len(case) if grouping == "frame" else len(np.unique(groups))
    if dealt < count:
        raise DataError(
            f"{count} folds of {dealt} {grouping}s", where="deal", accepted=f"2 to {dealt}"
        )
    of_case = grouped_folds(groups, count, seed)
    if grouping == "frame":
        of_frame = np.random.default_rng(seed).permutation(len(case)) % count
    else:
        of_frame = of_case[np.searchsorted(cases, case)]
    return Folds(of_frame, cases, of_case)


@component(version="1", requires=("numpy",))
def part(folds: Folds, *, fold: NonNegativeInt = 0) -> Part:
    """One of the folds.

    Args:
        folds: All of them.
        fold: Which, from 0.

    Raises:
        ParameterError: If there is no such fold.
    """
    count = int(folds.of_frame.max()) + 1
    if fold >= count:
        raise ParameterError(
            f"fold {fold} of {count}", where="part.fold", accepted=f"0 to {count - 1}"
        )
    held = folds.of_frame == fold
    return Part(np.flatnonzero(~held), np.flatnonzero(held), folds.cases[folds.of_case == fold])
