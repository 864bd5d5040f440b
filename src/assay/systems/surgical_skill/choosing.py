"""Post-processing, chosen on predictions out of fold only, and kept only if it is worth it.

What is best on some cases looks better there than it is. So the gain is measured across folds: for
the cases of each fold with what was best on the others. Where that gain does not exceed its own
standard error, the default stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from assay.errors import DataError, ParameterError, did_you_mean
from assay.parts.detection.boxes import Boxes
from assay.systems.surgical_skill.counting import Rules, counted, followed
from assay.systems.surgical_skill.counts import grouped_folds
from assay.systems.surgical_skill.metrics import Target, errors
from assay.systems.surgical_skill.tracking import Tracks

__all__ = ["Choice", "Found", "candidates", "choose", "rule_errors"]


class Found(NamedTuple):
    """What a detector that did not see a case in training found in it.

    Attributes:
        boxes: Objects; ``image`` is the number of the frame.
        frames: How many frames there are.
        fps: Frames per second.
        width: Width of the image (pixels).
    """

    boxes: Boxes
    frames: int
    fps: float | int
    width: float | int


@dataclass(frozen=True)
class Choice:
    """What was chosen, and why.

    Attributes:
        chosen: Number of the candidate to use.
        best: Number of the candidate with the least mean error over all cases.
        default_error: Mean error of the default.
        chosen_error: Mean error, across folds, of what was best on the others.
        gain: The first less the second.
        standard_error: Of the gain, over cases.
        n: Cases.
        why: One sentence.
    """

    chosen: int
    best: int
    default_error: float
    chosen_error: float
    gain: float
    standard_error: float
    n: int
    why: str


def candidates(default: Rules, **values: Sequence[float]) -> list[Rules]:
    """The default, and after it every combination of other values of some fields.

    Raises:
        ParameterError: If there is no such field.

    Example:
        >>> [rules.score for rules in candidates(Rules(), score=(0.2, 0.3, 0.4))]
        [0.3, 0.2, 0.4]
    """
    known = [field.name for field in fields(Rules)]
    for name in values:
        if name not in known:
            raise ParameterError(f"no rule {name!r}", next=did_you_mean(name, known))
    made = [replace(default, **dict(zip(values, each, strict=True)))
            for each in product(*values.values())]  # fmt: skip
    return [default, *(rules for rules in made if rules != default)]


def rule_errors(
    found: Sequence[Found],
    truth: Float[np.ndarray, "case metric"],
    targets: Sequence[Target],
    rules: Sequence[Rules],
) -> Float[np.ndarray, "rules case"]:
    """The error of rules in each case: the mean over the targets that are known of it.

    Args:
        found: What was found in each case, out of fold.
        truth: NaN where it is not known.
        targets: Which metrics, by the columns of the truth.
        rules: The candidates.

    Returns:
        NaN for a case of which nothing is known.
    """
    counts = np.array([_counts(one, rules, targets) for one in found]).swapaxes(0, 1)
    off = np.array([[errors(t, truth[:, m], of[:, m]) for m, t in enumerate(targets)]
                    for of in counts])  # fmt: skip
    known = ~np.isnan(off)
    total, n = np.where(known, off, 0.0).sum(axis=1), known.sum(axis=1)
    return np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0)


def choose(
    errors: Float[np.ndarray, "candidate case"],
    groups: Int[np.ndarray, " case"],
    *,
    default: int = 0,
    folds: int = 5,
    seed: int,
) -> Choice:
    """Choose a candidate, if it is better than the default beyond its standard error.

    Args:
        errors: Of each candidate in each case, out of fold; NaN where the truth is not known.
        groups: Surgeon of each case; a fold parts none.
        default: Number of the candidate that stays if none is better.
        folds: How many.
        seed: Of the folds.

    Raises:
        DataError: If a case is known for some candidates only, or there are fewer than two groups.
    """
    known = np.isfinite(errors).all(axis=0)
    if (np.isfinite(errors).any(axis=0) != known).any():
        raise DataError("a case has errors of some candidates only", where="errors")
    off, of = errors[:, known], groups[known]
    if len(np.unique(of)) < 2:
        raise DataError(f"{len(np.unique(of))} surgeons with a known truth", where="groups",
                        accepted="two or more")  # fmt: skip
    fold = grouped_folds(of, folds, seed)
    across = np.empty(len(of))
    for k in range(int(fold.max()) + 1):
        best_elsewhere = _best(off[:, fold != k], default)
        across[fold == k] = off[best_elsewhere, fold == k]
    gains, best = off[default] - across, _best(off, default)
    gain, n = float(gains.mean()), len(gains)
    error = float(gains.std(ddof=1) / np.sqrt(n))
    accepted = best != default and gain > error
    if best == default:
        why = "No candidate has a smaller error than the default."
    else:
        beyond = "exceeds" if accepted else "does not exceed"
        why = f"Across folds the gain of {gain:.3g} {beyond} its standard error of {error:.3g}."
    return Choice(
        best if accepted else default, best, float(off[default].mean()), float(across.mean()),
        gain, error, n, why,
    )  # fmt: skip


def _counts(one: Found, rules: Sequence[Rules], targets: Sequence[Target]) -> list[list[float]]:
    """What each candidate counts in a case; those that follow boxes alike share the tracks."""
    tracks: dict[tuple[float, ...], Tracks] = {}
    counts = []
    for each in rules:
        key = each.score, each.gap_s, each.gate
        if key not in tracks:
            tracks[key] = followed(**one._asdict(), rules=each)
        told = counted(tracks[key], each)
        counts.append([told[target.name] for target in targets])
    return counts


def _best(off: np.ndarray, default: int) -> int:
    """The candidate with the least mean error; the default where it is as good."""
    mean = off.mean(axis=1)
    return default if mean[default] <= mean.min() + 1e-12 else int(mean.argmin())
