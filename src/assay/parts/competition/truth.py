"""What the cases of a challenge really are, from its folder `truth`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from assay.errors import DataError
from assay.parts.competition.boxes_json import boxes_from_json
from assay.parts.competition.problems import Capped, Problem
from assay.parts.competition.schema import Challenge
from assay.parts.competition.submission import expected_boxes
from assay.parts.competition.tables import Table, read_table
from assay.parts.detection.boxes import Boxes

__all__ = ["true_boxes", "true_table"]

T = TypeVar("T")


def true_table(challenge: Challenge, truth: Path, task: str) -> Table:
    """The numbers of a task; NaN where none is known.

    Args:
        challenge: Whose truth.
        truth: The folder.
        task: Name of a task of a table.

    Raises:
        DataError: With file and line, if something is wrong.
    """
    said = challenge.tasks[task]
    file = truth / said.truth
    table, problems = read_table(
        _bytes(file), str(file), said.columns, challenge.every_case, lenient=True
    )
    return _right(table, problems)


def true_boxes(challenge: Challenge, truth: Path, task: str, cases: Sequence[str]) -> list[Boxes]:
    """The objects of cases, in their order.

    Args:
        challenge: Whose truth.
        truth: The folder.
        task: Name of the task of boxes.
        cases: Which.

    Raises:
        DataError: With file and line, if one is missing or something is wrong.
    """
    found = []
    for case in cases:
        file = truth / challenge.tasks[task].truth / f"{case}.json"
        boxes, problems = boxes_from_json(_bytes(file), str(file), expected_boxes(challenge))
        found.append(_right(boxes, problems))
    return found


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        what = f"the truth cannot be read ({error.strerror})"
        raise DataError(what, where=str(file)) from error


def _right(made: T | None, problems: Capped[Problem]) -> T:
    if made is not None and not problems.kept:
        return made
    first = problems.kept[0]
    where = f"{first.file} line {first.line}" if first.line else first.file
    raise DataError(first.what, where=where, accepted=first.accepted)
