"""Documents: the reader's own text files, one at a time, and the folder they are kept in.

A corpus is a folder with ``documents.jsonl`` (one document a line) and ``corpus.json`` (what it is
made of). Everything is streamed, so that a corpus need not fit in memory, and every document
carries where its sentences begin: a rule guesses it (`split_sentences`), or the user says it.

| suffix | documents |
|---|---|
| ``.txt``, ``.md`` | one per file |
| ``.jsonl`` | one per line: ``{"text": "...", "sentences": [0, 31]}``, sentences being optional |
| ``.csv``, ``.parquet`` | one per row |
"""

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from assay.core.component import File, Folder, component
from assay.core.task import task
from assay.errors import DataError, did_you_mean
from assay.parts.text.sentences import split_sentences

__all__ = [
    "Document",
    "corpus_facts",
    "read_corpus",
    "read_documents",
    "split_sentences",
    "stored_documents",
    "text_files",
    "whole_folder",
    "write_documents",
]

DOCUMENTS, FACTS = "documents.jsonl", "corpus.json"
FORMAT = 1
MAX_FIELD = 1 << 30  # characters in one field of a CSV file


class Document(NamedTuple):
    """One text.

    Attributes:
        text: The text, not blank.
        sentences: Characters at which sentences begin, increasing, the first 0.
        name: Where it came from, for example ``a.txt`` or ``b.jsonl:12``.
    """

    text: str
    sentences: tuple[int, ...]
    name: str


# -- reading ------------------------------------------------------------------------------------


class TextFiles(NamedTuple):
    """The files of a corpus: those that are read, in order, and how many were passed over."""

    files: list[Path]
    skipped: int


def text_files(path: Path) -> TextFiles:
    """The files that `read_documents` reads: a file itself, or those below a folder, by name.

    Hidden files and folders are not looked at; files of other suffixes are skipped and counted.

    Raises:
        DataError: If there is none.
    """
    accepted = ", ".join(READERS)
    if path.is_file():
        if path.suffix.lower() not in READERS:
            ending = f"files ending in {path.suffix}" if path.suffix else "files without a suffix"
            raise DataError(f"{ending} are not read", where=str(path), accepted=accepted)
        return TextFiles([path], 0)
    if not path.is_dir():
        raise DataError("no such file or folder", where=str(path))
    every = [p for p in path.rglob("*") if p.is_file()]
    seen = [p for p in every if not any(part[0] == "." for part in p.relative_to(path).parts)]
    files = sorted(p for p in seen if p.suffix.lower() in READERS)
    if not files:
        raise DataError("holds no text files", where=str(path), accepted=accepted)
    return TextFiles(files, len(seen) - len(files))


def read_documents(path: Path, *, field: str = "text") -> Iterator[Document]:
    """Read documents from a file or a folder tree, one at a time; blank ones are left out.

    Args:
        path: ``.txt``, ``.md``, ``.jsonl``, ``.csv`` or ``.parquet`` (UTF-8), or a folder of them.
        field: Field or column that holds the text. In ``.jsonl`` and ``.parquet`` it may be a list
            of sentences instead (they are joined by spaces), and a field ``sentences`` may hold the
            characters at which sentences begin; otherwise `split_sentences` guesses.

    Raises:
        DataError: If a file is not what its suffix says, or there is no text at all.
    """
    empty = True
    for file in text_files(path).files:
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        try:
            for row, place in READERS[file.suffix.lower()](file, field):
                document = _document(row, field, f"{name}{place}", f"{file}{place}")
                if document is not None:
                    empty = False
                    yield document
        except OSError as error:
            raise DataError(
                f"cannot be read ({error.strerror or error})", where=str(file)
            ) from error
    if empty:
        raise DataError("holds no text: every document is blank", where=str(path))


def _document(row: Mapping[str, Any], field: str, name: str, where: str) -> Document | None:
    """One row as a document; None if it is blank."""
    text, starts = row[field], row.get("sentences") if field != "sentences" else None
    if isinstance(text, list) and all(isinstance(part, str) for part in text):
        parts = [part for part in text if part.strip()]
        text = " ".join(parts)
        starts = [0, *accumulate(len(part) + 1 for part in parts[:-1])]
    if text is None or (isinstance(text, str) and not text.strip()):
        return None
    if not isinstance(text, str):
        raise DataError(
            f"{field!r} is of type {type(text).__name__}",
            where=where,
            accepted="a text or a list of sentences",
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"half a surrogate pair at character {error.start}", where=where) from error
    begins = split_sentences(text) if starts is None else _given(starts, text, where)
    return Document(text, begins, name)


def _given(starts: Any, text: str, where: str) -> tuple[int, ...]:
    """Sentence starts that came with the text."""
    whole = isinstance(starts, list) and all(type(start) is int for start in starts)
    if not whole or starts[:1] != [0] or starts[-1] >= len(text) or starts != sorted(set(starts)):
        raise DataError(
            "'sentences' are not where sentences begin",
            where=where,
            accepted=f"a list of characters, increasing, from 0 to {len(text) - 1}",
            next="Or leave it out, or give the text as a list of sentences.",
        )
    return tuple(starts)


Rows = Iterator[tuple[Mapping[str, Any], str]]


def _read_text(file: Path, field: str) -> Rows:
    yield {field: "".join(line for line, _ in _lines(file))}, ""


def _read_jsonl(file: Path, field: str) -> Rows:
    for line, number in _lines(file):
        if not line.strip():
            continue
        where = f"{file}:{number}"
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
                accepted=f'a JSON object such as {{"{field}": "..."}}',
            )
        _require(field, row, "field", where)
        yield row, f":{number}"


def _read_csv(file: Path, field: str) -> Rows:
    csv.field_size_limit(MAX_FIELD)
    reader = csv.reader((line for line, _ in _lines(file)), strict=True)
    try:
        header = next(reader, [])
        _require(field, header, "column", f"{file}:1")
        column, before = header.index(field), reader.line_num
        for cells in reader:
            if cells and len(cells) != len(header):
                raise DataError(
                    f"{len(cells)} cells",
                    where=f"{file}:{before + 1}",
                    accepted=f"{len(header)}, as in the header",
                )
            if cells:
                yield {field: cells[column]}, f":{before + 1}"
            before = reader.line_num
    except csv.Error as error:
        raise DataError(f"is not CSV ({error})", where=f"{file}:{reader.line_num}") from error


def _read_parquet(file: Path, field: str) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as opened:
            names = opened.schema_arrow.names
            _require(field, names, "column", str(file))
            columns = [name for name in dict.fromkeys((field, "sentences")) if name in names]
            number = 0
            for part in opened.iter_batches(batch_size=1024, columns=columns):
                for row in part.to_pylist():
                    number += 1
                    yield row, f":{number}"
    except pa.ArrowException as error:
        why = str(error).partition("\n")[0]
        raise DataError(f"is not Parquet ({why})", where=str(file)) from error


def _require(field: str, names: Iterable[str], kind: str, where: str) -> None:
    if field not in names:
        raise DataError(f"no {kind} {field!r}", where=where, next=did_you_mean(field, names))


def _lines(file: Path) -> Iterator[tuple[str, int]]:
    """Lines of a text file with their numbers, without carriage returns and byte order mark."""
    place = 0
    with file.open("rb") as opened:
        for number, line in enumerate(opened, 1):
            if (zero := line.find(b"\0")) >= 0:
                raise DataError(f"is not text: byte {place + zero} is 0", where=f"{file}:{number}")
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                raise DataError(
                    f"is not UTF-8 at byte {place + error.start}",
                    where=f"{file}:{number}",
                    next="Convert it, for example with `iconv -t utf-8`.",
                ) from error
            yield text.removeprefix("\ufeff" if number == 1 else "").replace("\r\n", "\n"), number
            place += len(line)


READERS: dict[str, Callable[[Path, str], Rows]] = {
    ".txt": _read_text,
    ".md": _read_text,
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}


# -- a corpus -----------------------------------------------------------------------------------


@contextmanager
def whole_folder(folder: Path, last: str) -> Iterator[Path]:
    """A folder to write files in, which move to ``folder`` when all of them are done.

    Args:
        folder: Where they shall lie; made if it is not there. Other files in it stay.
        last: File that moves last. Readers look for it first, so a folder is whole or not one.
    """
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        folder.mkdir(exist_ok=True)
        (folder / last).unlink(missing_ok=True)
        for file in sorted(unfinished.iterdir(), key=lambda file: file.name == last):
            os.replace(file, folder / file.name)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def write_documents(
    folder: Path, documents: Iterable[Document], *, origin: Mapping[str, Any] | None = None
) -> int:
    """Write a corpus; of equal texts the first is kept.

    Args:
        folder: Where ``documents.jsonl`` and ``corpus.json`` are written.
        documents: The documents.
        origin: What ``corpus.json`` shall say of where they came from.

    Returns:
        Number of documents kept.

    Raises:
        DataError: If there are none.
    """
    seen: set[bytes] = set()
    whole, characters, given = hashlib.sha256(), 0, 0
    with whole_folder(folder, FACTS) as unfinished:
        with (unfinished / DOCUMENTS).open("w", encoding="utf-8", newline="\n") as file:
            for given, document in enumerate(documents, 1):  # noqa: B007 - counted
                mark = hashlib.sha256(document.text.encode()).digest()
                if mark not in seen:
                    seen.add(mark)
                    whole.update(mark)
                    characters += len(document.text)
                    file.write(json.dumps(document._asdict(), ensure_ascii=False) + "\n")
        if not seen:
            raise DataError("a corpus without documents", where=folder.name)
        facts = {
            "format": FORMAT,
            "documents": len(seen),
            "characters": characters,
            "duplicates": given - len(seen),
            "sha256": whole.hexdigest(),
            "origin": dict(origin or {}),
        }
        (unfinished / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return len(seen)


def corpus_facts(folder: Path) -> dict[str, Any]:
    """What ``corpus.json`` says: documents, characters, duplicates left out, sha256 and origin.

    The sha256 is over the SHA-256 of each text in turn, so it does not depend on names.

    Raises:
        DataError: If the folder is no corpus.
    """
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise ValueError(f"format {facts['format']}")
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"holds no corpus ({error})",
            where=str(folder),
            accepted=f"{DOCUMENTS} and {FACTS} as read_corpus writes them",
        ) from error
    return facts


def stored_documents(folder: Path) -> Iterator[Document]:
    """Read a corpus, one document at a time.

    Raises:
        DataError: If the folder is no corpus.
    """
    corpus_facts(folder)
    number = 0
    try:
        with (folder / DOCUMENTS).open(encoding="utf-8", newline="\n") as file:
            for line in file:
                number += 1
                row = json.loads(line)
                yield Document(row["text"], tuple(row["sentences"]), row["name"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"is damaged ({error})",
            where=f"{folder / DOCUMENTS}:{number}",
            next="Write the corpus again.",
        ) from error


@component(version="1", requires=("pyarrow",))
def read_corpus(*, path: File | Folder, field: str = "text") -> Path:
    """Read a corpus from the user's own files.

    Args:
        path: A ``.txt``, ``.md``, ``.jsonl``, ``.csv`` or ``.parquet`` file, or a folder of them.
        field: Field or column that holds the text.

    Returns:
        Folder of the corpus, see `write_documents`.
    """
    folder = task().scratch() / "corpus"
    write_documents(
        folder,
        _reported(read_documents(path, field=field)),
        origin={"kind": "files", "path": path.name, "skipped": text_files(path).skipped},
    )
    return folder


def _reported(documents: Iterable[Document]) -> Iterator[Document]:
    context = task()
    for done, document in enumerate(documents, 1):
        yield document
        context.progress(done, 0, "documents")
