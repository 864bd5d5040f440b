"""What a manifest says of each sample, and what makes it refused. The files are in `manifest`."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from assay.errors import DataError

__all__ = ["FIELDS", "IMAGES", "Entry", "Manifest", "entry_of", "manifest_of"]

IMAGES = (".png", ".jpg", ".jpeg")
INPUTS, TARGETS = (*IMAGES, ".npy"), (".png", ".npy")
FIELDS = ("id", "split", "group", "modalities", "target")
NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)


@dataclass(frozen=True)
class Entry:
    """One sample.

    Attributes:
        id: Its name, one of a kind.
        split: Name of its split, for example ``train``.
        group: What must stay in one split or fold: subject, clip or sequence.
        files: One path for each modality that is there.
        target: What is to be told, or None.
    """

    id: str
    split: str
    group: str
    files: Mapping[str, Path]
    target: Path | None = None


@dataclass(frozen=True)
class Manifest:
    """All samples.

    Attributes:
        path: The manifest.
        entries: The samples, in the order of the file, with paths that can be opened.
        modalities: Names of the modalities, in order of first appearance.
    """

    path: Path
    entries: tuple[Entry, ...]
    modalities: tuple[str, ...]

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, in order of first appearance."""
        return tuple(dict.fromkeys(entry.split for entry in self.entries))


def entry_of(row: Mapping[str, Any], folder: Path, where: str) -> Entry:
    """The sample of a row, its paths joined to the folder.

    Args:
        row: Values by the names of `FIELDS`.
        folder: What paths are relative to.
        where: File and line, for errors.

    Raises:
        DataError: If a field is missing or no text, a path leaves the folder or is of no kind that
            can be read, or there is no modality.
    """
    known = {name: _text(row, name, where) for name in FIELDS if name != "modalities"}
    for name in ("id", "split"):
        if not known[name]:
            raise DataError(f"no {name}", where=where)
    files = row.get("modalities")
    if not isinstance(files, dict):
        raise DataError("no modalities", where=where, accepted="a mapping of names to paths")
    found = {}
    for name in files:
        if not NAME.fullmatch(name) or name in FIELDS:
            raise DataError(
                f"a modality named {name!r}", where=where,
                accepted=f"letters, digits and _, and none of {', '.join(FIELDS)}",
            )  # fmt: skip
        if told := _text(files, name, where):
            found[name] = _within(folder, told, INPUTS, name, where)
    if not found:
        raise DataError("a sample without any modality", where=where)
    target = known["target"]
    return Entry(
        id=known["id"],
        split=known["split"],
        group=known["group"] or known["id"],
        files=found,
        target=_within(folder, target, TARGETS, "target", where) if target else None,
    )


def _text(row: Mapping[str, Any], name: str, where: str) -> str:
    """A text of a row, empty where there is none."""
    said = row.get(name)
    if said is not None and not isinstance(said, str):
        raise DataError(f"{name} is {said!r}", where=where, accepted="a text")
    return said or ""


def _within(folder: Path, told: str, suffixes: Sequence[str], what: str, where: str) -> Path:
    """The file, if its path stays below the folder on any system."""
    path, windows = PurePosixPath(os.path.normpath(told)), PureWindowsPath(told)
    if path.is_absolute() or windows.drive or "\\" in told or path.parts[:1] == ("..",):
        raise DataError(
            f"{what} {told!r}", where=where,
            accepted="a relative path with / that stays below the folder of the manifest",
        )  # fmt: skip
    if path.suffix.lower() not in suffixes:
        raise DataError(f"{what} {told!r}", where=where, accepted=", ".join(suffixes))
    return folder / path


def manifest_of(path: Path, rows: Sequence[tuple[int, Entry]]) -> Manifest:
    """The manifest, if its rows agree with each other.

    Args:
        path: The manifest.
        rows: Number of the line and sample.

    Raises:
        DataError: If there is no sample, an id is there twice, a group is in two splits, or a
            modality or the target is a picture in one sample and an array in another.
    """
    ids: dict[str, int] = {}
    groups: dict[str, tuple[str, int]] = {}
    kinds: dict[str, tuple[bool, int]] = {}
    for number, entry in rows:
        where = f"{path} line {number}"
        if ids.setdefault(entry.id, number) != number:
            raise DataError(f"id {entry.id!r} is in line {ids[entry.id]} too", where=where)
        split, first = groups.setdefault(entry.group, (entry.split, number))
        if split != entry.split:
            raise DataError(
                f"group {entry.group!r} is in split {entry.split!r}, and in line {first} in "
                f"{split!r}", where=where, accepted="all of a group in one split",
            )  # fmt: skip
        target = {} if entry.target is None else {"target": entry.target}
        for name, file in {**entry.files, **target}.items():
            picture = file.suffix.lower() in IMAGES
            as_first, first = kinds.setdefault(name, (picture, number))
            if picture != as_first:
                raise DataError(
                    f"{name} {file.name!r} is of another kind than in line {first}", where=where,
                    accepted="pictures in all samples, or .npy in all",
                )  # fmt: skip
    entries = tuple(entry for _, entry in rows)
    if not entries:
        raise DataError("no sample in it", where=str(path))
    return Manifest(path, entries, tuple(dict.fromkeys(m for e in entries for m in e.files)))
