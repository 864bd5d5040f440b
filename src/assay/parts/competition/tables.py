"""A table of predictions: one row for each case, one column for each number."""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from assay.parts.competition.problems import Capped, Problem, decoded, nearest, shown

__all__ = ["Table", "read_table"]

Table = dict[str, dict[str, float]]
"""By column, then by case; NaN where a cell is empty."""
Ranges = Mapping[str, tuple[float, float]]
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
EMPTY = ("", "NA")


def read_table(
    data: bytes, file: str, ranges: Ranges, cases: Collection[str], *, lenient: bool
) -> tuple[Table | None, Capped[Problem]]:
    """Read a table.

    Args:
        data: CSV in UTF-8, with commas; line ends, quotes and a byte-order mark as programs write
            them. A cell that is empty or ``NA`` is missing.
        file: Its name, for problems.
        ranges: Smallest and largest value of each column.
        cases: Those that belong into it.
        lenient: Whether a case, a column or a cell may be missing.

    Returns:
        The table, with every case in every column that is there, None if anything is wrong; and
        the problems.
    """
    problems: Capped[Problem] = Capped()
    text = decoded(data, file)
    if isinstance(text, Problem):
        problems.add(text)
        return None, problems
    rows = _rows(text, file, problems)
    line, header = next(rows, (1, []))
    _judge_header(header, ranges, lenient, (file, line), problems)
    if problems.kept:
        return None, problems
    table: Table = {name: dict.fromkeys(cases, math.nan) for name in header[1:]}
    seen: dict[str, int] = {}
    for line, row in rows:
        where = file, line
        if len(row) != len(header):
            wanted = f"{len(header)}, as in the first line"
            problems.add(Problem("format", *where, f"{len(row)} cells", wanted))
        elif _known(row[0], cases, seen, where, problems):
            for name, cell in zip(header[1:], row[1:], strict=True):
                value = _number(name, cell, ranges[name], lenient, where)
                if isinstance(value, Problem):
                    problems.add(value)
                else:
                    table[name][row[0]] = value
    if not lenient and not any(problem.code == "format" for problem in problems.kept):
        for case in cases:
            if case not in seen:
                what = f"case {case!r} is not there"
                problems.add(Problem("missing_case", file, None, what, "a row for each case"))
    return (None if problems.kept else table), problems


def _rows(text: str, file: str, problems: Capped[Problem]) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, each with the line it begins in."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            problems.add(Problem("format", file, line, f"not CSV: {error}", "CSV"))
            return
        if row is None:
            return
        if any(row):
            yield line, [cell.strip(" \t") for cell in row]


def _judge_header(
    header: Sequence[str],
    ranges: Ranges,
    lenient: bool,
    where: tuple[str, int],
    problems: Capped[Problem],
) -> None:
    wanted = ",".join(("case", *ranges))
    if header[:1] != ["case"]:
        what = f"the first column is {shown(header[0])}" if header else "an empty table"
        problems.add(Problem("format", *where, what, wanted))
        return
    for name, times in Counter(header).items():
        if times > 1:
            problems.add(Problem("duplicate", *where, f"column {shown(name)} is there twice"))
        if name not in ranges and name != "case":
            fits = "" if problems.full else nearest(name, ranges, wanted)
            problems.add(Problem("format", *where, f"no column {shown(name)}", fits))
    for name in ranges:
        if name not in header and not lenient:
            problems.add(Problem("missing_column", *where, f"lacks column {name!r}", wanted))
    if len(header) == 1 and not problems.kept:
        problems.add(Problem("missing_column", *where, "no column but the first", wanted))


def _known(
    case: str,
    cases: Collection[str],
    seen: dict[str, int],
    where: tuple[str, int],
    problems: Capped[Problem],
) -> bool:
    """Whether a row is of a case that belongs here, and the first of it."""
    if case not in cases:
        fits = "" if problems.full else nearest(case, cases, "a case of the phase")
        problems.add(Problem("unknown_case", *where, f"no case {shown(case)}", fits))
    elif case in seen:
        what = f"case {case!r} is there since line {seen[case]}"
        problems.add(Problem("duplicate", *where, what, "one row for each case"))
    else:
        seen[case] = where[1]
        return True
    return False


def _number(
    name: str, cell: str, ends: tuple[float, float], lenient: bool, where: tuple[str, int]
) -> float | Problem:
    """A cell's number; NaN for an empty one, where that may be."""
    accepted = f"a number from {ends[0]:g} to {ends[1]:g}"
    if cell in EMPTY:
        what = f"column {name!r} has no value"
        return math.nan if lenient else Problem("missing_case", *where, what, accepted)
    what = f"column {name!r} has {shown(cell)}"
    if NOT_FINITE.fullmatch(cell):
        return Problem("nonfinite", *where, what, accepted)
    if not NUMBER.fullmatch(cell):
        return Problem("format", *where, what, accepted)
    value = float(cell)
    if math.isinf(value):
        return Problem("nonfinite", *where, what, accepted)
    inside = ends[0] <= value <= ends[1]
    return value if inside else Problem("out_of_range", *where, what, accepted)
