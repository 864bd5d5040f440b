"""Operations whose every frame is known, and counts from them by rule and by learning."""

from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.core.task import task
from assay.errors import DataError
from assay.parts.detection.boxes import Boxes
from assay.systems.surgical_skill.choosing import Found, candidates, choose, rule_errors
from assay.systems.surgical_skill.counting import Rules, counted, followed
from assay.systems.surgical_skill.counts import fit_counts, predict
from assay.systems.surgical_skill.events import METRICS
from assay.systems.surgical_skill.features import features, table
from assay.systems.surgical_skill.kinematics import VARIANTS
from assay.systems.surgical_skill.metrics import TARGETS, scored
from assay.systems.surgical_skill.simulate import simulate_case
from assay.systems.surgical_skill.tracking import Tracks, thinned

__all__ = ["Counted", "Operation", "count", "count_measures", "simulated_operations"]

Counter = Literal[
    "rules", "chosen rules", "best rules", "learned", "temporal", "training median"
]  # fmt: skip
FULL_RATE = 30
WIDTH = 320
KNOWN, FOUND = Rules(gate=np.inf), Rules()
"""Boxes that are known need no gate: nothing is mistaken for anything else."""
OTHERWISE: dict[str, tuple[float, ...]] = {
    "score": (0.2, 0.3, 0.5),
    "gap_s": (0.5, 1.0),
    "settle_s": (0.0, 0.2, 0.4),
    "sighted_s": (0.0, 0.2, 0.5),
}
"""Rules among which is chosen; what an event is (`absent_s`, `refractory_s`) is none of them."""
COUNTS = TARGETS[:2]


@dataclass(frozen=True)
class Operation:
    """What is known of one operation.

    Attributes:
        case: Its number.
        surgeon: Number of the surgeon.
        skill: The surgeon's skill, from 0 to 1; NaN where not told.
        fps: Frames per second.
        frames: How many.
        width: Of the frames (pixels).
        boxes: Objects in every frame.
        truth: By the names of `METRICS`; NaN where not told.
        known: Whether the boxes are those that are there, and not those that were found.
    """

    case: int
    surgeon: int
    skill: float
    fps: float
    frames: int
    width: int
    boxes: Boxes
    truth: dict[str, float]
    known: bool


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
                          one.metrics, known=True)
            )  # fmt: skip
            done += 1
            task().progress(done, seen + unseen, "operations")
        parts.append(made)
        first += n
    return Operations(tuple(parts[0]), tuple(parts[1]))


@component(version="2", requires=("numpy", "scipy", "torch"))
def count(
    seen: list[tuple[Operation, ...]],
    unseen: tuple[Operation, ...],
    *,
    counter: Counter = "rules",
    fps: Annotated[int, Field(ge=1, le=30)] = 30,
    net_steps: PositiveInt = 300,
    seed: Seed,
) -> Counted:
    """Count in the boxes of operations, at as many frames a second as are looked at.

    Args:
        seen: Operations whose counts are known, to learn or to choose from: of every fold, by a
            detector that was not trained on it.
        unseen: Those to count in.
        counter: ``rules`` on tracks as they are; ``chosen rules``: others where they are better
            from surgeon to surgeon beyond the standard error; ``best rules``: those that are best
            on what was seen, come what may; ``learned``: Poisson regression on features of tracks,
            strength chosen and surgeons kept apart by folds; ``temporal``: a network over the
            tracks of every moment, one for each fold; or the median of what is known.
        fps: Frames a second that are looked at; a divisor of what there is.
        net_steps: Optimiser steps of each network.
        seed: Of the folds and the networks.
    """
    known = tuple(chain.from_iterable(seen))
    surgeons = _surgeons(known)
    if counter == "training median":
        given = np.tile(np.nanmedian(_truth(known), axis=0), (len(unseen), 1))
    elif counter == "learned":
        fitted = fit_counts(_features(known, fps), _truth(known), surgeons, seed=seed)
        given = predict(fitted, _features(unseen, fps))
    elif counter == "temporal":
        given = _by_networks(known, unseen, fps, net_steps, seed)
    else:
        rules = _rules(unseen)
        if counter != "rules":
            rules = _other_rules(known, fps, accept=counter == "chosen rules", seed=seed)
        given = np.array([_by_rules(one, fps, rules) for one in unseen])
    return Counted(given, _truth(unseen), np.array([one.skill for one in unseen]))


@component(version="1", requires=("numpy", "scipy"))
def count_measures(counted: Counted) -> Records:
    """How good counts are, metric by metric.

    Returns:
        For each ``metric`` ``mae`` (of the economy of motion ``log_mae``), ``exact_rate``,
        ``within_1_rate``, ``spearman`` and ``kendall`` where they exist, ``skill_spearman``: rank
        correlation of the true value with the surgeon's skill; and ``cases``. ``count_error`` is
        the mean of the errors of drops and of departures.
    """
    from scipy.stats import spearmanr

    records, errors = Records(), []
    for column, target in enumerate(TARGETS):
        truth = counted.truth[:, column]
        found = scored(target, truth, counted.given[:, column])
        for measure, value in found.values.items():
            if not np.isnan(value):
                records.add(measure, value, metric=target.name)
        records.add("cases", found.n, "cases", metric=target.name)
        if target in COUNTS:
            errors.append(found.values["mae"])
        known = ~np.isnan(truth) & ~np.isnan(counted.skill)
        if len(set(truth[known])) > 1:
            related = np.asarray(spearmanr(counted.skill[known], truth[known]))[0]
            records.add("skill_spearman", float(related), metric=target.name)
    records.add("count_error", float(np.mean(errors)))
    return records


def _truth(operations: tuple[Operation, ...]) -> Float[np.ndarray, "case metric"]:
    return np.array([[one.truth[name] for name in METRICS] for one in operations])


def _surgeons(operations: tuple[Operation, ...]) -> Int[np.ndarray, " case"]:
    """Who worked; where nobody is known, a case stands for itself."""
    return np.array([one.surgeon if one.surgeon >= 0 else -2 - one.case for one in operations])


def _rules(operations: tuple[Operation, ...]) -> Rules:
    return KNOWN if all(one.known for one in operations) else FOUND


def _by_rules(one: Operation, fps: int, rules: Rules) -> list[float]:
    found = counted(_tracks(one, fps, rules), rules)
    return [found[name] for name in METRICS]


def _other_rules(seen: tuple[Operation, ...], fps: int, *, accept: bool, seed: int) -> Rules:
    """The rules that are best on what was seen; if asked, only where that is more than chance."""
    among = candidates(_rules(seen), **OTHERWISE)
    found = [Found(*_thinned(one, fps), fps, one.width) for one in seen]
    off = rule_errors(found, _truth(seen)[:, : len(COUNTS)], COUNTS, among)
    choice = choose(off, _surgeons(seen), seed=seed)
    task().event("chosen", why=choice.why, n=choice.n)
    return among[choice.chosen if accept else choice.best]


def _by_networks(
    seen: tuple[Operation, ...], unseen: tuple[Operation, ...], fps: int, steps: int, seed: int
) -> Float[np.ndarray, "case metric"]:
    """The mean of what the networks of all folds expect."""
    from assay.systems.surgical_skill.temporal import expected, fit_temporal, signals

    told, asked = ([signals(_tracks(one, fps)) for one in of] for of in (seen, unseen))
    folder = task().scratch() / "networks"
    fitted = fit_temporal(
        told, _truth(seen), _surgeons(seen), folder=folder, steps=steps, seed=seed
    )
    return np.mean([expected(net, asked) for net in fitted.nets], axis=0)


def _features(operations: tuple[Operation, ...], fps: int) -> Float[np.ndarray, "case feature"]:
    return table([features(_tracks(one, fps)) for one in operations])


def _tracks(one: Operation, fps: int, rules: Rules | None = None) -> Tracks:
    boxes, frames = _thinned(one, fps)
    asked = rules or _rules((one,))
    return followed(boxes, frames=frames, fps=fps, width=one.width, rules=asked)


def _thinned(one: Operation, fps: int) -> tuple[Boxes, int]:
    """Boxes of as many frames a second as are looked at, and how many frames that makes."""
    every = one.fps / fps
    if every != round(every):
        raise DataError(f"{fps} of {one.fps:g} frames a second", accepted="a divisor", where="fps")
    return thinned(one.boxes, round(every)), -(-one.frames // round(every))
