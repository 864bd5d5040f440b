"""What an organiser should look at before a challenge opens.

    code                   what it means
    untold                 an item of the challenge design about which nothing is said
    phase_order            a phase that closes before it opens
    shared_cases           two sets of cases have some in common
    order_dependent_ties   equal entries are ranked by their order, or by chance
    no_missing_rule        values may be missing, and nothing says what stands for them
    idle_missing_rule      a rule for missing values that the method does not take
    few_cases              too few cases for the normal approximation of the test
    undefined_by_case      a ranking over cases by a metric that has no value by case
    undefined_correlation  equal predictions for all cases have no correlation, hence no rank
    few_objects            an average precision over too few objects of a class
    per_video_average      a mean of average precisions, which differs from the pooled one
    mean_with_gaps         a mean over cases, of which some have no truth
    truth_missing          no truth for a case, or for a column
    truth_refused          a truth that cannot be read
    public_truth           a file of the truth lies among what is public

Limits that differ at home and officially cannot be written down, so nothing looks for them.
"""

import filecmp
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from assay.errors import DataError
from assay.parts.competition.bias import untold
from assay.parts.competition.challenge import ChallengeFolder, utc
from assay.parts.competition.schema import Challenge, Task
from assay.parts.competition.truth import true_boxes, true_table
from assay.parts.detection.boxes import Boxes

__all__ = ["FEWEST_CASES", "FEWEST_OBJECTS", "Finding", "lint"]

FEWEST_OBJECTS = 20
FEWEST_CASES = 20
"""Below so many pairs the signed-rank statistic is far from normal."""


class Finding(NamedTuple):
    """One thing to look at.

    Attributes:
        code: What it is.
        where: Key of the challenge file, or file.
        sentence: For people.
    """

    code: str
    where: str
    sentence: str


def lint(challenge: Challenge, folder: Path) -> list[Finding]:
    """Look a challenge over.

    Args:
        challenge: As it was read.
        folder: Where it lies, with the truth.

    Returns:
        Findings: first about the file, then about the truth; empty if there is nothing to say.
    """
    place = ChallengeFolder(folder)
    found = [*_phases(challenge), *_ranking(challenge), *_metrics(challenge)]
    for name, task in challenge.tasks.items():
        look = _objects if task.kind == "boxes" else _numbers
        found += look(challenge, place.truth, name, task)
    found += _public(place)
    found += [
        Finding("untold", f"bias.{item}", "The challenge design says nothing about it.")
        for item in untold(challenge)
    ]
    return found


def _phases(challenge: Challenge) -> Iterator[Finding]:
    for phase in challenge.phases:
        if phase.closes <= phase.opens:
            sentence = f"It closes at {utc(phase.closes)}, and opens at {utc(phase.opens)}."
            yield Finding("phase_order", f"phases.{phase.name}", sentence)
    for (one, cases), (other, others) in itertools.combinations(challenge.cases.items(), 2):
        both = [case for case in cases if case in set(others)]
        if both:
            sentence = f"{len(both)} are in '{other}' too, the first is '{both[0]}'."
            yield Finding("shared_cases", f"cases.{one}", sentence)


def _ranking(challenge: Challenge) -> Iterator[Finding]:
    rule = challenge.ranking
    if rule.ties in ("first", "random"):
        by = "the order in which they stand" if rule.ties == "first" else "chance"
        sentence = f"Equal entries are ranked by {by}."
        yield Finding("order_dependent_ties", "ranking.ties", sentence)
    needed = rule.method in ("aggregate-then-rank", "test-then-rank")
    if needed and rule.missing is None:
        sentence = f"'{rule.method}' stops at a missing value unless a rule is given."
        yield Finding("no_missing_rule", "ranking.missing", sentence)
    if not needed and rule.missing is not None:
        sentence = f"'{rule.method}' takes no rule: a missing value is the worst."
        yield Finding("idle_missing_rule", "ranking.missing", sentence)
    if rule.method == "test-then-rank":
        for phase in challenge.phases:
            n = len(challenge.cases[phase.cases])
            if n < FEWEST_CASES:
                sentence = f"{n} cases are few for the test; {FEWEST_CASES} are enough."
                yield Finding("few_cases", f"phases.{phase.name}", sentence)


def _metrics(challenge: Challenge) -> Iterator[Finding]:
    for name, task in challenge.tasks.items():
        for measure in task.metrics:
            where = f"tasks.{name}.metrics.{measure.id}"
            if challenge.ranking.method != "overall" and not measure.metric.has_cases:
                sentence = "It has no value by case, and cannot be ranked over cases."
                yield Finding("undefined_by_case", where, sentence)
            if measure.name in ("spearman", "kendall"):
                sentence = "Who predicts the same for all cases has none, and is not ranked."
                yield Finding("undefined_correlation", where, sentence)
            if measure.name == "average_precision_per_video":
                sentence = "A mean over cases differs from the average precision over all images."
                yield Finding("per_video_average", where, sentence)


def _objects(challenge: Challenge, truth: Path, name: str, task: Task) -> Iterator[Finding]:
    """About the truth of boxes."""
    read: dict[str, Boxes] = {}
    for case in challenge.every_case:
        file = truth / task.truth / f"{case}.json"
        if not file.is_file():
            yield Finding("truth_missing", str(file), f"No truth for case '{case}'.")
            continue
        try:
            (read[case],) = true_boxes(challenge, truth, name, [case])
        except DataError as error:
            yield Finding("truth_refused", error.where, f"{error}.")
    for phase in challenge.phases:
        cases = [read[case] for case in challenge.cases[phase.cases] if case in read]
        objects = np.bincount(Boxes.joined(cases).label, minlength=len(challenge.classes))
        for label, n in zip(challenge.classes, objects.tolist(), strict=True):
            if n < FEWEST_OBJECTS:
                sentence = (
                    f"Phase '{phase.name}' has {n} objects of class '{label}': an average "
                    f"precision over fewer than {FEWEST_OBJECTS} says little."
                )
                yield Finding("few_objects", f"tasks.{name}", sentence)


def _numbers(challenge: Challenge, truth: Path, name: str, task: Task) -> Iterator[Finding]:
    """About the truth of a table."""
    try:
        table = true_table(challenge, truth, name)
    except DataError as error:
        code = "truth_refused" if (truth / task.truth).is_file() else "truth_missing"
        yield Finding(code, error.where, f"{error}.")
        return
    where = f"tasks.{name}"
    for column in task.columns:
        known = table.get(column, {})
        gaps = [c for c in challenge.every_case if math.isnan(known.get(c, math.nan))]
        if len(gaps) == len(challenge.every_case):
            yield Finding("truth_missing", where, f"No case has a truth in column '{column}'.")
        elif gaps and challenge.ranking.aggregate == "mean":
            sentence = (
                f"{len(gaps)} cases have no truth in column '{column}', the first is '{gaps[0]}': "
                "the mean is over the others."
            )
            yield Finding("mean_with_gaps", where, sentence)
    for case in challenge.every_case:
        if all(math.isnan(known.get(case, math.nan)) for known in table.values()):
            yield Finding("truth_missing", where, f"No truth for case '{case}'.")


def _public(place: ChallengeFolder) -> Iterator[Finding]:
    """Files of the truth that everybody gets."""
    secret: dict[int, list[Path]] = {}
    for file in sorted(place.truth.rglob("*")):
        if file.is_file():
            secret.setdefault(file.stat().st_size, []).append(file)
    for file in sorted(place.public.rglob("*")):
        same = secret.get(file.stat().st_size, ()) if file.is_file() else ()
        if any(filecmp.cmp(file, other, shallow=False) for other in same):
            yield Finding("public_truth", str(file), "The same file lies in the truth.")
