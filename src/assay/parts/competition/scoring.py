"""Scores of a submission: every metric of every task, overall and by case.

Notable: a prediction that is missing has the worst value there can be and is marked; a metric that
cannot be told is NaN with the reason, and whoever has one is not ranked by it. Equal submissions
give equal tables, to the byte.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.errors import DataError
from assay.parts.competition.metrics import METRICS, Metric, Value
from assay.parts.competition.schema import Challenge, Measure
from assay.parts.competition.submission import Checked, Submission
from assay.parts.competition.truth import true_boxes, true_table
from assay.parts.detection.boxes import Boxes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BY_CASE", "METRICS", "OVERALL", "Metric", "Scored", "Value", "score"]

BY_CASE = ("task", "metric", "case", "value", "missing")
OVERALL = ("task", "metric", "value", "small_better", "n", "missing", "reason", "extra")


@dataclass(frozen=True)
class Scored:
    """The scores of one submission.

    Attributes:
        by_case: `BY_CASE`: one row for each case of a metric that has values by case; NaN where
            the truth is not known. ``missing``: there was no prediction.
        overall: `OVERALL`: one row for each metric of the challenge, and further ones (``extra``)
            that nobody is ranked by. ``n`` cases count, ``missing`` of them without a prediction.
            ``reason``: why the value is NaN; empty otherwise.
    """

    by_case: "pd.DataFrame"
    overall: "pd.DataFrame"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why metrics of the challenge could not be told; empty if all were."""
        rows = self.overall[(self.overall.reason != "") & ~self.overall.extra]
        columns = (rows[name] for name in ("task", "metric", "reason"))
        return tuple(f"{task} {name}: {why}" for task, name, why in zip(*columns, strict=True))


def score(challenge: Challenge, truth: Path, checked: Checked) -> Scored:
    """Score a submission.

    Args:
        challenge: What it is for.
        truth: The folder of what the cases really are.
        checked: What `check` said; it found no problem.

    Raises:
        DataError: If there was one, or if the truth is not as it should be.
    """
    import pandas as pd

    given = checked.submission
    if given is None:
        raise DataError(
            f"a submission with problems has no score: {checked.problems[0]}",
            next="Check it, and mend what is wrong.",
        )
    by_case: list[tuple[Any, ...]] = []
    overall: list[tuple[Any, ...]] = []
    for name, task in challenge.tasks.items():
        judged = (_boxes if task.kind == "boxes" else _table)(challenge, truth, name, given)
        for measure, value, gone in judged:
            overall += _overall(name, measure, value, int(gone.sum()))
            values = [] if value.by_case is None else value.by_case.tolist()
            by_case += [
                (name, measure.id, case, v, m)
                for case, v, m in zip(given.cases, values, gone.tolist(), strict=False)
            ]
    kinds = {"task": "str", "metric": "str"}
    return Scored(
        pd.DataFrame(by_case, columns=list(BY_CASE)).astype(
            {**kinds, "case": "str", "value": float, "missing": bool}
        ),
        pd.DataFrame(overall, columns=list(OVERALL)).astype(
            {**kinds, "value": float, "reason": "str", "extra": bool}
        ),
    )


Judged = list[tuple[Measure, Value, np.ndarray]]


def _boxes(challenge: Challenge, folder: Path, task: str, given: Submission) -> Judged:
    truth = true_boxes(challenge, folder, task, given.cases)
    found: list[Boxes | None] = [given.boxes.get(case) for case in given.cases]
    gone = np.array([boxes is None for boxes in found], bool)
    return [
        (measure, measure.metric.of(truth, found, challenge.classes), gone)
        for measure in challenge.tasks[task].metrics
    ]


def _table(challenge: Challenge, folder: Path, task: str, given: Submission) -> Judged:
    truth, table = true_table(challenge, folder, task), given.tables.get(task, {})
    judged: Judged = []
    for measure in challenge.tasks[task].metrics:
        known = _column(truth, measure.column, given.cases)
        found = _column(table, measure.column, given.cases)
        value = measure.metric.of(known, found, challenge.tasks[task].columns[measure.column])
        judged.append((measure, value, np.isnan(found) & ~np.isnan(known)))
    return judged


def _column(
    table: Mapping[str, Mapping[str, float]], name: str, cases: Sequence[str]
) -> np.ndarray:
    """A column in the order of cases; NaN where there is nothing."""
    column = table.get(name, {})
    return np.array([column.get(case, math.nan) for case in cases], np.float64)


def _overall(task: str, measure: Measure, value: Value, gone: int) -> list[tuple[Any, ...]]:
    better, n = measure.small_better, value.n
    rows = [(task, measure.id, value.overall, better, n, gone, value.reason, False)]
    rows += [
        (task, f"{measure.id}.{name}", number, better, n, gone,
         "no object of the class" if math.isnan(number) else "", True)
        for name, number in value.extra.items()
    ]  # fmt: skip
    return rows
