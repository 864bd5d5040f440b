"""What the verbs print: plain text on a pipe, tables that fold on a narrow terminal.

Texts come from studies and errors, so nothing in them is read as markup.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from assay.errors import AssayError

STYLES = {
    "holds": "green",
    "passes": "green",
    "cached": "green",
    "ok": "green",
    "fails": "red",
    "problem": "red",
    "undecided": "yellow",
    "will run": "yellow",
    "note": "yellow",
    "not tested": "dim",
    "depends": "dim",
}
ON_A_PIPE = 10_000
"""Columns where nobody looks: one row per line, for grep."""


def screen() -> Any:
    """A console on standard output; colours only where they are seen (``NO_COLOR`` is heard)."""
    from rich.console import Console

    seen = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if seen else ON_A_PIPE, highlight=False, markup=False, emoji=False)


def word(text: str) -> Any:
    """A verdict or fate in its colour."""
    from rich.text import Text

    return Text(text, style=STYLES.get(text, ""))


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Sequence[str] = ()) -> Any:
    """A table without lines; a column folds rather than lose a letter.

    Args:
        head: Headings; none are shown if all are empty.
        rows: Texts, or what [`word`][] gives.
        right: Headings of the columns that are set flush right.
    """
    from rich.table import Table
    from rich.text import Text

    made = Table(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=any(head), header_style="bold"
    )
    for name in head:
        made.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return made


def one_line(error: Exception) -> str:
    """An error as one line; one that is not ours with its type."""
    said = str(error) if isinstance(error, AssayError) else f"{type(error).__name__}: {error}"
    return " ".join(said.split())


@contextmanager
def stdout_for_one_value() -> Iterator[None]:
    """Send all that components and libraries print to standard error.

    Standard output is left to the one value of ``--json``, also by processes started meanwhile.
    """
    sys.stdout.flush()
    kept, python_stdout = os.dup(1), sys.stdout
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = python_stdout
        os.dup2(kept, 1)
        os.close(kept)
