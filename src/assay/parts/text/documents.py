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

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from assay.core.component import File, Folder, component
from assay.core.task import task
from assay.errors import DataError
from assay.parts.text.rows import ROW_FILES, lines, printable, read_rows, require_whole
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
PLAIN = (".txt", ".md")
SUFFIXES = (*PLAIN, *ROW_FILES)


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

    Hidden files and folders are not looked at; files of other suffixes, and links that lead
    nowhere, are skipped and counted. Links to folders are followed. A folder is read once, however
    many links lead to it, and under its own name if that is below the path.

    Raises:
        DataError: If there is none, or a link leads back to a folder that holds it.
    """
    accepted = ", ".join(SUFFIXES)
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            ending = f"files ending in {path.suffix}" if path.suffix else "files without a suffix"
            raise DataError(f"{ending} are not read", where=printable(path), accepted=accepted)
        return TextFiles([path], 0)
    if not path.is_dir():
        raise DataError("no such file or folder", where=printable(path))
    seen = [p for p in _walk(path) if p.is_file() or p.is_symlink()]
    files = sorted(p for p in seen if p.is_file() and p.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError("holds no text files", where=printable(path), accepted=accepted)
    return TextFiles(files, len(seen) - len(files))


def _walk(root: Path) -> Iterator[Path]:
    """What lies below a folder and is neither a folder nor hidden; links to folders come last."""
    waiting, known = [root], set()
    while waiting:
        links: list[Path] = []
        for parent, folders, names in os.walk(waiting.pop(0), onerror=_refuse):
            here = Path(parent)
            if (real := here.resolve()) in known:
                folders.clear()
                continue
            known.add(real)
            links += (here / f for f in folders if f[0] != "." and (here / f).is_symlink())
            folders[:] = [f for f in folders if f[0] != "."]
            yield from (here / name for name in names if name[0] != ".")
        for link in sorted(links):
            target = link.resolve()
            if link.parent.resolve().is_relative_to(target):
                raise DataError(
                    f"leads back to {printable(target)}, which holds it",
                    where=printable(link),
                    next="Remove the link.",
                )
            waiting.append(link)


def _refuse(error: OSError) -> None:
    raise DataError(
        f"cannot be read ({error.strerror or error})", where=printable(error.filename or "")
    ) from error


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
        name = printable(file.relative_to(path).as_posix() if path.is_dir() else file.name)
        try:
            for place, row in _rows(file, field):
                document = _document(row, field, f"{name}{place}", f"{printable(file)}{place}")
                if document is not None:
                    empty = False
                    yield document
        except OSError as error:
            raise DataError(
                f"cannot be read ({error.strerror or error})", where=printable(file)
            ) from error
    if empty:
        raise DataError("holds no text: every document is blank", where=printable(path))


def _rows(file: Path, field: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The texts of a file, each with its place in it."""
    suffix = file.suffix.lower()
    if suffix in PLAIN:
        yield "", {field: "".join(line for _, line in lines(file))}
        return
    for row in read_rows(file, [field], () if suffix == ".csv" else ("sentences",)):
        yield f":{row.number}", row.values


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
    require_whole(text, where)
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
        origin={"kind": "files", "path": printable(path.name), "skipped": text_files(path).skipped},
    )
    return folder


def _reported(documents: Iterable[Document]) -> Iterator[Document]:
    context = task()
    for done, document in enumerate(documents, 1):
        yield document
        context.progress(done, 0, "documents")
