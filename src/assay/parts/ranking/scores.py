"""Scores of algorithms on the cases of a task, and what is done where one is missing."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float

from assay.errors import DataError, ParameterError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Missing", "Scores", "scores_by_task", "treated"]

Missing = float | Literal["omit"] | Callable[[np.ndarray], np.ndarray]
"""What stands for a missing value: a number, nothing (``omit``), or a function of the NaN."""
MANY_DUPLICATES = 0.2
COLUMNS = ("algorithm", "case", "value")


@dataclass(frozen=True)
class Scores:
    """Every algorithm's value on every case of one task.

    Attributes:
        task: Its name.
        algorithms: Their names, in the order of columns.
        cases: Their names, in the order of rows.
        values: ``[case, algorithm]``; NaN where there is none.
        small_better: Whether the smallest value is the best.
        notes: What was found while they were read, in sentences.
    """

    task: str
    algorithms: tuple[str, ...]
    cases: tuple[str, ...]
    values: Float[np.ndarray, "case algorithm"]
    small_better: bool
    notes: tuple[str, ...] = ()

    def only(self, algorithms: list[str] | tuple[str, ...]) -> "Scores":
        """The same for some of the algorithms, such as the best five."""
        columns = [self.algorithms.index(name) for name in algorithms]
        return replace(self, algorithms=tuple(algorithms), values=self.values[:, columns])


def scores_by_task(table: "pd.DataFrame", *, small_better: bool) -> dict[str, Scores]:
    """Scores from a long table, task by task, each in alphabetical order.

    Args:
        table: Columns ``algorithm``, ``case`` and ``value``; ``task`` where there are several.
        small_better: Whether the smallest value is the best.

    Returns:
        By task (``""`` without that column). An algorithm without a row for a case is missing
        there, which a note says.

    Raises:
        DataError: If a column is missing, a value is not a finite number or NaN, or an algorithm
            has two values for one case.

    Example:
        >>> import pandas as pd
        >>> rows = pd.DataFrame({"algorithm": ["A", "B"], "case": ["1", "1"], "value": [0.6, 0.8]})
        >>> scores_by_task(rows, small_better=True)[""].values.tolist()
        [[0.6, 0.8]]
    """
    gone = [name for name in COLUMNS if name not in table.columns]
    if gone:
        raise DataError(f"no column {gone[0]!r} among scores", accepted=", ".join(COLUMNS))
    values = table["value"]
    if values.dtype.kind not in "iuf":
        raise DataError("values are not numbers", where="column 'value'")
    if np.isinf(values.to_numpy(float)).any():
        raise DataError("a value is infinite", where="column 'value'", accepted="a number or NaN")
    task = table["task"] if "task" in table.columns else [""] * len(table)
    rows = table.assign(**{name: table[name].astype(str) for name in COLUMNS[:2]}, task=task)
    return {
        str(name): _scores(str(name), part, small_better)
        for name, part in rows.groupby("task", sort=True)
    }


def _scores(task: str, rows: "pd.DataFrame", small_better: bool) -> Scores:
    where = f"task {task!r}" if task else "scores"
    twice = rows.duplicated(["algorithm", "case"], keep="first")
    if twice.any():
        first = rows[twice].iloc[0]
        many = twice.sum() >= MANY_DUPLICATES * rows["case"].nunique()
        raise DataError(
            f"algorithm {first['algorithm']!r} has two values for case {first['case']!r}",
            where=where,
            next="Are there several tasks? Name them in a column 'task'." if many else "",
        )
    table = rows.pivot(index="case", columns="algorithm", values="value")
    filled = table.size - len(rows)
    return Scores(
        task=task,
        algorithms=tuple(table.columns),
        cases=tuple(table.index),
        values=table.to_numpy(float),
        small_better=small_better,
        notes=(f"{where}: {filled} of {table.size} values are missing.",) if filled else (),
    )


def treated(scores: Scores, missing: Missing | None) -> Float[np.ndarray, "case algorithm"]:
    """Values with what stands for the missing ones; still NaN under ``omit``.

    Raises:
        ParameterError: If a value is missing and nothing says what stands for it.
    """
    gone = np.isnan(scores.values)
    if not gone.any() or missing == "omit":
        return scores.values
    if missing is None:
        case, algorithm = np.argwhere(gone)[0]
        raise ParameterError(
            f"{gone.sum()} values are missing, the first of algorithm "
            f"{scores.algorithms[algorithm]!r} on case {scores.cases[case]!r}",
            where=f"task {scores.task!r}" if scores.task else "",
            accepted="missing=: a number, 'omit', or a function",
        )
    filled = scores.values.copy()
    filled[gone] = missing(filled[gone]) if callable(missing) else missing
    return filled
