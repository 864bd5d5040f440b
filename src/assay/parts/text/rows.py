"""Rows of the reader's own files, one at a time: JSON lines, CSV and Parquet.

Every row comes with its line (in Parquet its number), and what is wrong with a file is told with
the place: bytes that are no text, columns that are missing or there twice, rows cut short.
"""

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from assay.errors import DataError, did_you_mean

__all__ = ["ROW_FILES", "Row", "lines", "printable", "read_rows", "require_whole"]

MAX_FIELD = 1 << 30  # characters in one field of a CSV file


class Row(NamedTuple):
    """One row of a file.

    Attributes:
        number: Its line, from 1; in Parquet which row it is.
        values: Its values by column.
    """

    number: int
    values: Mapping[str, Any]


def read_rows(file: Path, needed: Sequence[str], also: Sequence[str] = ()) -> Iterator[Row]:
    """Read a file row by row.

    Args:
        file: ``.jsonl`` with one object on each line, ``.csv`` with a header, or ``.parquet``.
        needed: Columns (fields) that every row must have.
        also: Columns that may be there. Others are left out.

    Raises:
        DataError: If the suffix is another one, or the file is not what its suffix says.
    """
    read = ROW_FILES.get(file.suffix.lower())
    if read is None:
        raise DataError(
            f"{file.suffix or 'no suffix'} is not read",
            where=printable(file),
            accepted=", ".join(ROW_FILES),
        )
    return read(file, needed, also)


def lines(file: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines of a text in UTF-8, without carriage returns and byte order mark.

    Raises:
        DataError: If a byte is 0 or no UTF-8; its place in the file is told.
    """
    place = 0
    with file.open("rb") as opened:
        for number, line in enumerate(opened, 1):
            where = f"{printable(file)}:{number}"
            if (zero := line.find(b"\0")) >= 0:
                raise DataError(f"is not text: byte {place + zero} is 0", where=where)
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                raise DataError(
                    f"is not UTF-8 at byte {place + error.start}",
                    where=where,
                    next="Convert it, for example with `iconv -t utf-8`.",
                ) from error
            yield number, text.removeprefix("\ufeff" if number == 1 else "").replace("\r\n", "\n")
            place += len(line)


def require_whole(text: str, where: str) -> None:
    """Refuse a text that JSON can spell and UTF-8 cannot.

    Raises:
        DataError: If half a surrogate pair stands in it.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"half a surrogate pair at character {error.start}", where=where) from error


def printable(path: Path | str) -> str:
    r"""A path as text; bytes of a name that are no UTF-8 are spelt out, such as ``caf\xe9.txt``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


# -- formats ------------------------------------------------------------------------------------


def _jsonl(file: Path, needed: Sequence[str], also: Sequence[str]) -> Iterator[Row]:
    for number, line in lines(file):
        if not line.strip():
            continue
        where = f"{printable(file)}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"is not JSON ({error})", where=where, accepted="one JSON object on each line"
            ) from error
        if not isinstance(row, dict):
            raise DataError(
                f"is a {type(row).__name__}",
                where=where,
                accepted=f'a JSON object such as {{"{needed[0]}": "..."}}',
            )
        _require(needed, list(row), "field", where)
        yield Row(number, {name: row[name] for name in (*needed, *also) if name in row})


def _csv(file: Path, needed: Sequence[str], also: Sequence[str]) -> Iterator[Row]:
    reader = csv.reader((line for _, line in lines(file)), strict=True)
    place = printable(file)
    try:
        header = _next_cells(reader) or []
        columns = _columns(header, needed, also, f"{place}:1")
        before = reader.line_num
        while (cells := _next_cells(reader)) is not None:
            number, before = before + 1, reader.line_num
            if cells and len(cells) != len(header):
                raise DataError(
                    f"{len(cells)} cells",
                    where=f"{place}:{number}",
                    accepted=f"{len(header)}, as in the header",
                )
            if cells:
                yield Row(number, {name: cells[k] for name, k in columns.items()})
    except csv.Error as error:
        raise DataError(f"is not CSV ({error})", where=f"{place}:{reader.line_num}") from error


def _next_cells(reader: Iterator[list[str]]) -> list[str] | None:
    """The next row; the limit of a field, which is the whole process's, is lifted for it alone."""
    before = csv.field_size_limit(MAX_FIELD)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(before)


def _parquet(file: Path, needed: Sequence[str], also: Sequence[str]) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    place, number = printable(file), 0
    try:
        with file.open("rb") as bytes_of_it, pq.ParquetFile(bytes_of_it) as opened:
            columns = _columns(opened.schema_arrow.names, needed, also, place)
            for part in opened.iter_batches(batch_size=1024, columns=list(columns)):
                for row in part.to_pylist():
                    number += 1
                    yield Row(number, row)
    except pa.ArrowException as error:
        why = str(error).partition("\n")[0]
        raise DataError(f"is not Parquet ({why})", where=place) from error


ROW_FILES: dict[str, Callable[[Path, Sequence[str], Sequence[str]], Iterator[Row]]] = {
    ".jsonl": _jsonl,
    ".csv": _csv,
    ".parquet": _parquet,
}
"""The readers of the formats by suffix."""


def _columns(
    header: Sequence[str], needed: Sequence[str], also: Sequence[str], where: str
) -> dict[str, int]:
    """Where the columns stand that are wanted and there."""
    _require(needed, header, "column", where)
    wanted = [name for name in dict.fromkeys((*needed, *also)) if name in header]
    for name in wanted:
        if (times := header.count(name)) > 1:
            raise DataError(
                f"{times} columns {name!r}", where=where, accepted="one column of a name"
            )
    return {name: header.index(name) for name in wanted}


def _require(needed: Sequence[str], names: Iterable[str], kind: str, where: str) -> None:
    for name in needed:
        if name not in names:
            raise DataError(
                f"no {kind} {name!r}",
                where=where,
                accepted=", ".join(needed) if len(needed) > 1 else "",
                next=did_you_mean(name, names),
            )
