"""Operations whose every frame is known, and counts from them by rule and by learning."""

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import Field, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.core.task import task
from assay.errors import DataError
from assay.parts.detection.boxes import Boxes
from assay.systems.surgical_skill.counting import Rules, counted, followed
from assay.systems.surgical_skill.counts import fit_counts, predict
from assay.systems.surgical_skill.events import METRICS
from assay.systems.surgical_skill.features import features, table
from assay.systems.surgical_skill.kinematics import VARIANTS
from assay.systems.surgical_skill.metrics import TARGETS, scored
from assay.systems.surgical_skill.simulate import simulate_case
from assay.systems.surgical_skill.tracking import Tracks, thinned

__all__ = ["Counted", "Operation", "count", "count_measures", "simulated_operations"]

Counter = Literal["rules", "learned", "training median"]
FULL_RATE = 30
WIDTH = 320
KNOWN = Rules(gate=np.inf)
"""Boxes that are known need no gate: nothing is mistaken for anything else."""


@dataclass(frozen=True)
class Operation:
    """What is known of one operation.

    Attributes:
        case: Its number.
        surgeon: Number of the surgeon.
        skill: The surgeon's skill, from 0 to 1.
        fps: Frames per second.
        frames: How many.
        width: Of the frames (pixels).
        boxes: Objects in every frame.
        truth: By the names of `METRICS`; NaN where not told.
    """

    case: int
    surgeon: int
    skill: float
    fps: float
    frames: int
    width: int
    boxes: Boxes
    truth: dict[str, float]


class Operations(NamedTuple):
    """Operations to learn from, and those of other surgeons."""

    seen: tuple[Operation, ...]
    unseen: tuple[Operation, ...]


class Counted(NamedTuple):
    """What was counted in the operations of surgeons who were not learned from.

    Attributes:
        given: By case and metric.
        truth: The same, as it is.
        skill: Of the surgeon of each case.
    """

    given: Float[np.ndarray, "case metric"]
    truth: Float[np.ndarray, "case metric"]
    skill: Float[np.ndarray, " case"]


@component(version="1", requires=("numpy", "opencv-python-headless", "scipy"))
def simulated_operations(
    *,
    seen: PositiveInt = 48,
    unseen: PositiveInt = 60,
    cases_each: PositiveInt = 4,
    seconds: Annotated[float, Field(ge=5, le=3600)] = 60.0,
    seed: Seed,
) -> Operations:
    """Simulate operations without painting a frame: the labels are the same. SYNTHETIC.

    Args:
        seen: Operations to learn from.
        unseen: Those of other surgeons.
        cases_each: Operations of a surgeon; skills of surgeons are spread over [0, 1].
        seconds: Length of each.
        seed: Of everything.
    """
    parts: list[list[Operation]] = []
    done, first = 0, 1
    for part, n in enumerate((seen, unseen)):
        people = -(-n // cases_each)
        rng = np.random.default_rng([seed, part])
        skills = (rng.permutation(people) + rng.random(people)) / people
        made = []
        for k in range(n):
            surgeon = k // cases_each
            one = simulate_case(
                first + k, first + surgeon, float(skills[surgeon]), seconds=seconds,
                size=(WIDTH, WIDTH * 9 // 16), fps=FULL_RATE, seed=seed,
                variant=VARIANTS[k % len(VARIANTS)],
            )  # fmt: skip
            made.append(
                Operation(one.case, one.surgeon, one.skill, one.fps, one.frames, WIDTH, one.boxes,
                          one.metrics)
            )  # fmt: skip
            done += 1
            task().progress(done, seen + unseen, "operations")
        parts.append(made)
        first += n
    return Operations(tuple(parts[0]), tuple(parts[1]))


@component(version="1", requires=("numpy", "scipy"))
def count(
    seen: tuple[Operation, ...],
    unseen: tuple[Operation, ...],
    *,
    counter: Counter = "rules",
    fps: Annotated[int, Field(ge=1, le=30)] = 30,
    seed: Seed,
) -> Counted:
    """Count in the boxes of operations, at as many frames a second as are looked at.

    Args:
        seen: Operations whose counts are known, to learn from.
        unseen: Those to count in.
        counter: ``rules`` on tracks; ``learned``: Poisson regression on features of tracks,
            strength chosen and surgeons kept apart by folds; or the median of what is known.
        fps: Frames a second that are looked at; a divisor of what there is.
        seed: Of the folds.
    """
    truth = _truth(unseen)
    if counter == "training median":
        given = np.tile(np.nanmedian(_truth(seen), axis=0), (len(unseen), 1))
    elif counter == "rules":
        given = np.array([_by_rules(one, fps) for one in unseen])
    else:
        fitted = fit_counts(
            _features(seen, fps), _truth(seen), np.array([one.surgeon for one in seen]), seed=seed
        )
        given = predict(fitted, _features(unseen, fps))
    return Counted(given, truth, np.array([one.skill for one in unseen]))


@component(version="1", requires=("numpy", "scipy"))
def count_measures(counted: Counted) -> Records:
    """How good counts are, metric by metric.

    Returns:
        For each ``metric`` ``mae`` (of the economy of motion ``log_mae``), ``exact_rate``,
        ``within_1_rate``, ``spearman`` and ``kendall`` where they exist, ``skill_spearman``: rank
        correlation of the true value with the surgeon's skill; and ``cases``.
    """
    from scipy.stats import spearmanr

    records = Records()
    for column, target in enumerate(TARGETS):
        truth = counted.truth[:, column]
        found = scored(target, truth, counted.given[:, column])
        for measure, value in found.values.items():
            if not np.isnan(value):
                records.add(measure, value, metric=target.name)
        records.add("cases", found.n, "cases", metric=target.name)
        known = ~np.isnan(truth)
        if len(set(truth[known])) > 1:
            related = np.asarray(spearmanr(counted.skill[known], truth[known]))[0]
            records.add("skill_spearman", float(related), metric=target.name)
    return records


def _truth(operations: tuple[Operation, ...]) -> Float[np.ndarray, "case metric"]:
    return np.array([[one.truth[name] for name in METRICS] for one in operations])


def _by_rules(one: Operation, fps: int) -> list[float]:
    found = counted(_tracks(one, fps), KNOWN)
    return [found[name] for name in METRICS]


def _features(operations: tuple[Operation, ...], fps: int) -> Float[np.ndarray, "case feature"]:
    return table([features(_tracks(one, fps)) for one in operations])


def _tracks(one: Operation, fps: int) -> Tracks:
    every = one.fps / fps
    if every != round(every):
        raise DataError(f"{fps} of {one.fps:g} frames a second", accepted="a divisor", where="fps")
    boxes = thinned(one.boxes, round(every))
    frames = -(-one.frames // round(every))
    return followed(boxes, frames=frames, fps=fps, width=one.width, rules=KNOWN)
