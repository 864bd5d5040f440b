"""Columns of numbers from CSV files; a unit stands in the header, as in ``depth [ft]``.

Every refusal names the file and the line.
"""

import csv
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from assay.errors import DataError, did_you_mean

_HEADER = re.compile(r"^(?P<name>.*?)\s*(?:\[(?P<unit>[^\]]*)\])?$")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+")
UNIT = re.compile(
    r"[^\W\d]+(?:(?: ?\^ ?| ?\*\* ?)?-?[1-3])?(?: ?[ */·] ?[^\W\d]+(?:(?:\^|\*\*)?-?[1-3])?)*|%"
)


class Table(NamedTuple):
    """Texts by column, and where each row was found."""

    columns: dict[str, list[Any]]
    units: dict[str, str]
    places: list[str]
    where: str
    european: bool = False
    """Whether semicolons part the columns, so that a point may stand for thousands."""

    def one_of(self, names: Iterable[str]) -> str | None:
        """The first of these columns that is there, whatever its case."""
        known = {name.casefold(): name for name in self.columns}
        return next((known[n.casefold()] for n in names if n.casefold() in known), None)

    def column(self, *names: str) -> str:
        """The same, refused where there is none.

        Raises:
            DataError: With the nearest column there is.
        """
        found = self.one_of(names)
        if found is None:
            raise DataError(
                f"no column {names[0]!r}",
                where=self.where,
                next=did_you_mean(names[0], self.columns),
            )
        return found

    def numbers(self, name: str, *, unit: str = "", assumed: str = "") -> np.ndarray:
        """A column as numbers; empty cells are NaN.

        Args:
            name: The column.
            unit: Unit wanted, ``""`` where there is none to convert.
            assumed: Unit the numbers have where the header says none.

        Raises:
            DataError: If a cell is not a number, or the unit is not one of that kind.
        """
        cells = list(zip(self.columns[name], self.places, strict=True))
        for text, place in cells if self.european else ():
            if _THOUSANDS.fullmatch(str(text)):
                raise DataError(
                    f"{text} may stand for {text.replace('.', '')} or for {text.partition('.')[0]}",
                    where=f"{place}, {name}",
                    accepted="numbers without a sign between thousands, and .5 for a half",
                )
        values = np.array([_number(v, p, name) for v, p in cells])
        said = self.units.get(name) or assumed
        return (
            values * unit_factor(said, unit, f"{self.where}, {name}") if unit and said else values
        )


def read_table(path: Path | str) -> Table:
    """Read a CSV file with one header line; commas, or semicolons where the header has no comma.

    Raises:
        DataError: If the file cannot be read, has no rows, a column twice, or a row of another
            length than the header.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError("cannot be read", where=str(file), accepted="CSV in UTF-8") from error
    first = text.partition("\n")[0]
    delimiter = ";" if ";" in first and "," not in first else ","
    reader = csv.reader(text.splitlines(), delimiter=delimiter, skipinitialspace=True)
    try:
        rows = [(reader.line_num, [c.strip() for c in row]) for row in reader if any(row)]
    except csv.Error as error:
        raise DataError(f"{error}", where=f"{file} line {reader.line_num}") from error
    if len(rows) < 2:
        raise DataError("is empty", where=str(file), accepted="a header line and rows")
    header = [_HEADER.match(cell) for cell in rows[0][1]]
    names = [str(m["name"]) if m else "" for m in header]
    twins = [n for n in names if names.count(n) > 1]
    if twins:
        raise DataError(f"column {twins[0]!r} is there twice", where=str(file))
    for line, row in rows[1:]:
        if len(row) != len(names):
            raise DataError(
                f"{len(row)} cells", where=f"{file} line {line}", accepted=f"{len(names)}"
            )
    return Table(
        {name: [row[at] for _, row in rows[1:]] for at, name in enumerate(names)},
        {name: m["unit"] or "" for name, m in zip(names, header, strict=True) if m},
        [f"{file} line {line}" for line, _ in rows[1:]],
        str(file),
        delimiter == ";",
    )


def unit_factor(unit: str, wanted: str, where: str) -> float:
    """Number that a value in ``unit`` is multiplied by to be in ``wanted``.

    Raises:
        DataError: If the unit is unknown or of another kind.

    Example:
        >>> round(unit_factor("ft", "m", "depth"), 4)
        0.3048
    """
    import pint

    if not UNIT.fullmatch(unit.strip()):  # pint would evaluate 9**9**9
        raise DataError(
            f"is in {unit[:40]!r}", where=where, accepted=f"a unit that converts to {wanted}"
        )
    try:
        return float(pint.get_application_registry().Quantity(1.0, unit).to(wanted).magnitude)
    except Exception as error:  # pint tokenises the text as an expression and may fail anyhow
        raise DataError(
            f"is in {unit!r}", where=where, accepted=f"a unit that converts to {wanted}"
        ) from error


def _number(value: Any, place: str, name: str) -> float:
    if value is None or value == "":
        return float("nan")
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{value!r} is not a number", where=f"{place}, {name}") from error
