r"""A manifest: one table that says which files make up each sample. Anyone's data fits in it.

As JSON lines, one sample each, or as CSV, where every column with another name is a modality:

    {"id": "0001", "split": "train", "group": "anna", "target": "target/0001.npy",
     "modalities": {"color": "color/0001.png", "depth": "depth/0001.png"}}

    id,split,group,target,color,depth
    0001,train,anna,target/0001.npy,color/0001.png,depth/0001.png

Paths are relative to the folder of the manifest and stay below it. An empty path (in JSON also
null, or no entry) is a modality that is missing in this sample. The group is the subject, clip or
sequence whose samples must not be torn apart; a sample without one stands for itself. The target
may be left out where there is nothing to learn from.

| file  | as a modality                                  | as a target                         |
|-------|------------------------------------------------|-------------------------------------|
| .png  | [channel height width], 255 or 65535 becomes 1 | class numbers [height width], grey  |
| .jpg  | the same; .jpeg too                            | refused: compression alters classes |
| .npy  | any shape, values as they are                  | any shape, values as they are       |
"""

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from assay.errors import DataError, did_you_mean
from assay.systems.product_of_experts.entries import (
    FIELDS,
    Entry,
    Manifest,
    entry_of,
    manifest_of,
)
from assay.systems.product_of_experts.samples import Samples, load

__all__ = ["Entry", "Manifest", "Samples", "load", "read_manifest", "write_manifest"]


def write_manifest(folder: Path, entries: Sequence[Entry], name: str = "manifest.jsonl") -> Path:
    """Write a manifest of JSON lines; it is there as a whole or not at all.

    Args:
        folder: Where it lies; made if it is not there.
        entries: The samples. Relative paths are below the folder, others must be within it.
        name: Name of the file.

    Returns:
        The file.

    Raises:
        DataError: If reading it would be refused, though whether its files are there is not looked
            at.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    lines: list[str] = []
    rows: list[tuple[int, Entry]] = []
    for number, entry in enumerate(entries, 1):
        row = {
            "id": entry.id,
            "split": entry.split,
            "group": entry.group,
            "modalities": {m: _relative(file, folder) for m, file in entry.files.items()},
            "target": None if entry.target is None else _relative(entry.target, folder),
        }
        rows.append((number, entry_of(row, folder, f"{path} line {number}")))
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    manifest_of(path, rows)
    part = path.with_name(f".{name}.{os.getpid()}.part")
    part.write_text("".join(lines), encoding="utf-8")
    part.replace(path)
    return path


def _relative(file: Path, folder: Path) -> str:
    """The path from the folder; one from elsewhere stays absolute, and is refused as that."""
    for base in (folder, folder.absolute()):
        if file.is_relative_to(base):
            return file.relative_to(base).as_posix()
    return file.as_posix()


def read_manifest(path: Path) -> Manifest:
    """Read a manifest and look whether its files are there; none of them is opened.

    Args:
        path: A ``.jsonl`` or ``.csv`` file in UTF-8.

    Raises:
        DataError: With the line, if a field or cell is missing or not known, a file is not there,
            of no kind that can be read or outside the folder, an id is there twice, a group is in
            two splits, a sample has no modality, or a modality is of two kinds of files.
    """
    readers = {".jsonl": _json_rows, ".csv": _csv_rows}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError("no kind of manifest", where=str(path), accepted=" or ".join(readers))
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read ({error})", where=str(path)) from None
    rows: list[tuple[int, Entry]] = []
    for number, row in reader(path, text):
        where = f"{path} line {number}"
        entry = entry_of(row, path.parent, where)
        for file in (*entry.files.values(), *filter(None, [entry.target])):
            if not file.is_file():
                raise DataError(f"no file {file}", where=where)
        rows.append((number, entry))
    return manifest_of(path, rows)


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"cannot be read as JSON ({error})", where=where) from None
        if not isinstance(row, dict):
            raise DataError("not a mapping", where=where, accepted=f"one with {', '.join(FIELDS)}")
        for name in row:
            if name not in FIELDS:
                raise DataError(f"no field {name!r}", where=where, next=did_you_mean(name, FIELDS))
        yield number, row


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _require_header(header, f"{path} line 1")
        unused = [name for name in header if name not in FIELDS]
        for cells in reader:
            if not cells:
                continue
            number = reader.line_num
            if len(cells) != len(header):
                raise DataError(
                    f"{len(cells)} cells", where=f"{path} line {number}", accepted=f"{len(header)}"
                )
            row = dict(zip(header, (cell.strip() for cell in cells), strict=True))
            files = {name: row.pop(name) for name in header if name not in FIELDS}
            unused = [name for name in unused if not files[name]]
            yield number, {**row, "modalities": files}
    except csv.Error as error:
        raise DataError(f"{error}", where=f"{path} line {reader.line_num}") from None
    if unused:
        raise DataError(f"column {unused[0]!r} is empty", where=f"{path} line 1")


def _require_header(header: list[str], where: str) -> None:
    for name in ("id", "split"):
        if name not in header:
            raise DataError(
                f"no column {name!r}", where=where,
                accepted="id, split and a column for each modality; group and target may be there",
            )  # fmt: skip
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None or "modalities" in header:
        raise DataError(
            f"column {twice or 'modalities'!r}", where=where,
            accepted="each column once, one for each modality by its own name",
        )  # fmt: skip
