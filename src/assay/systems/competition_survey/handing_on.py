"""What leaves a survey: cells that no spreadsheet runs, and files for their owner alone."""

import os
import tempfile
from pathlib import Path
from typing import Any

from assay.core.disk import write_text, writing

__all__ = ["plain", "private_folder", "write_private"]

RUNS = ("=", "+", "-", "@", "\t", "\r")


def plain(cell: Any) -> Any:
    """A cell for people: an apostrophe before a text that a spreadsheet would take for a formula.

    Example:
        >>> [plain(cell) for cell in ("=1+1", "Ada", True, -1)]
        ["'=1+1", 'Ada', True, -1]
    """
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(RUNS) else cell


def write_private(path: Path, text: str) -> None:
    """Write a file in one step that only its owner can read, whatever was there before.

    Raises:
        StoreError: If the disk refuses.
    """
    with (
        writing(path.parent),
        tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as place,
    ):
        unfinished = Path(place) / path.name
        write_text(unfinished, text)
        unfinished.chmod(0o600)
        os.replace(unfinished, path)


def private_folder(path: Path) -> Path:
    """A folder that only its owner can look into; made if it is not there."""
    with writing(path.parent):
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
    return path
