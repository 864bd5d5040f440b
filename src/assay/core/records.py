"""Records: long tables of measured values, one row per value.

A row holds a measure, its value and unit, and whatever keys the component declares (``item``,
``case``, ``checkpoint`` ...). Decisions, seed and the member of an ``each`` are joined on by the
run, so a component says only what it knows itself.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from assay.core.params import native, short
from assay.errors import WorkflowError

Key = str | int | float | bool
FIXED = ("measure", "value", "unit")
RESERVED = (*FIXED, "step", "seed", "trial")


class Records:
    """A long table of measured values.

    Args:
        rows: Rows to begin with, each with a measure, a value, a unit and keys.

    Example:
        >>> records = Records()
        >>> records.add("loss", 0.25, "EUR", asset="A1")
        >>> len(records), next(iter(records))["asset"]
        (1, 'A1')
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self.rows: list[dict[str, Any]] = [dict(row) for row in rows]

    def add(self, measure: str, value: float, unit: str = "1", **keys: Key) -> None:
        """Append one value.

        Args:
            measure: What was measured, in the field's term.
            value: The number; NaN where it is undefined.
            unit: Its unit, ``"1"`` where it has none.
            **keys: What it belongs to; ``step``, ``seed`` and ``trial`` are joined on by the run.

        Raises:
            WorkflowError: If the value is not a number, or a key has a reserved name or is not a
                scalar.
        """
        for name, text in (("measure", measure), ("unit", unit)):
            if not isinstance(text, str) or not text:
                raise WorkflowError(f"the {name} of a record is {text!r}", accepted="a text")
        for name, key in keys.items():
            keys[name] = native(key)
            if name in RESERVED:
                raise WorkflowError(f"a record cannot have a key named {name!r}", where=measure)
            if not isinstance(keys[name], Key):
                raise WorkflowError(
                    f"key {name!r} is a {type(key).__name__}", where=measure, accepted="a scalar"
                )
        try:
            if isinstance(value, str | bytes):
                raise TypeError("a text, even if it reads like a number")
            number = float(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise WorkflowError(
                f"the value is {short(value)}", where=measure, accepted="one number"
            ) from error
        self.rows.append({"measure": measure, "value": number, "unit": unit, **keys})

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Records) and self.rows == other.rows

    __hash__ = None  # type: ignore[assignment]

    def frame(self) -> Any:
        """The rows as a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=None if self.rows else list(FIXED))

    def to_parquet(self, path: Path) -> None:
        """Write the rows; equal rows give equal bytes, whatever the order of their keys."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        keys = sorted({name for row in self.rows for name in row} - {*FIXED})
        columns = {name: _column([row.get(name) for row in self.rows]) for name in (*FIXED, *keys)}
        pq.write_table(pa.table(columns), path, compression="zstd")

    @classmethod
    def from_parquet(cls, path: Path) -> "Records":
        """Read what [`to_parquet`][] wrote."""
        import pyarrow.parquet as pq

        rows = pq.read_table(path).to_pylist()
        return cls({k: v for k, v in row.items() if v is not None} for row in rows)


def _column(values: list[Any]) -> Any:
    """One column; keys of mixed type become text."""
    import pyarrow as pa

    kinds = {type(v) for v in values if v is not None}
    if kinds == {int, float}:
        values = [None if v is None else float(v) for v in values]
    elif len(kinds) > 1:
        values = [None if v is None else str(v) for v in values]
    return pa.array(values)
