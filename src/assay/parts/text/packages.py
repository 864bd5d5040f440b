"""A corpus that is always at hand: the documentation of installed scientific packages.

The strings are read from source files as text: no package is imported, nothing is downloaded. All
of it is technical English, and it changes with the versions of the packages: ``corpus.json`` says
the versions, and its sha256 can be pinned.
"""

import ast
import hashlib
import importlib.metadata
import importlib.util
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainSerializer

from assay.core.component import component
from assay.core.identity import library_versions
from assay.core.task import task
from assay.errors import DataError
from assay.parts.text.documents import (
    Document,
    corpus_facts,
    split_sentences,
    write_documents,
)

__all__ = ["PACKAGES", "documentation", "package_documentation"]

PACKAGES = ("numpy", "scipy", "pandas", "torch", "transformers")
"""Read unless told otherwise; those that are not installed are left out."""
SHORTEST = 200
"""Characters below which a documentation string is left out."""


def _installed(name: str) -> str:
    if _folder(name) is None:
        raise ValueError(f"no installed package {name!r}")
    return name


def _folder(name: str) -> Path | None:
    """Folder of a top-level package, found without importing it."""
    if not name.isidentifier():
        return None
    spec = importlib.util.find_spec(name)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return Path(folders[0]) if folders else None


Package = Annotated[
    str,
    AfterValidator(_installed),
    PlainSerializer(lambda name: library_versions([name]), when_used="json"),
]
"""Name of an installed package; as a parameter it counts with its version."""


@component(version="1", requires=PACKAGES)
def package_documentation(
    *,
    packages: Annotated[list[Package], Field(min_length=1)] | None = None,
    megabytes: Annotated[float, Field(gt=0)] | None = None,
    expected_sha256: str | None = None,
) -> Path:
    """Make a corpus of the documentation strings of installed packages.

    Args:
        packages: Packages to read, by the name they are imported by; numpy, scipy, pandas, torch
            and transformers, as far as they are installed, if not given.
        megabytes: Keep a sample of at most this size (1e6 bytes of UTF-8), drawn by the digests of
            the names of files; all if not given.
        expected_sha256: The sha256 that ``corpus.json`` must have: refuses a corpus that other
            versions of the packages would give.

    Returns:
        Folder of the corpus, see `write_documents`.
    """
    chosen = packages or [name for name in PACKAGES if _folder(name)]
    if not chosen:
        raise DataError("none of the packages is installed", accepted=", ".join(PACKAGES))
    folder, versions = task().scratch() / "corpus", library_versions(chosen)
    documents = documentation(chosen, None if megabytes is None else megabytes * 1e6)
    origin = {"kind": "documentation of installed packages", "packages": versions}
    write_documents(folder, documents, origin=origin)
    found = corpus_facts(folder)["sha256"]
    if expected_sha256 not in (None, found):
        raise DataError(
            f"the corpus has sha256 {found}",
            where=", ".join(f"{name} {version}" for name, version in versions.items()),
            accepted=str(expected_sha256),
            next="Install the versions that it was made from, or pin the new one.",
        )
    return folder


def documentation(packages: Sequence[str], most_bytes: float | None = None) -> Iterator[Document]:
    """Documentation strings of packages, tests left out.

    A paragraph that occurred before, in any package, is left out; so is a string of fewer than 200
    characters of new text.

    Args:
        packages: Names of the packages.
        most_bytes: Stop before the texts are longer than this (bytes of UTF-8). The files are then
            read in the order of the digests of their names, so as to take some from everywhere;
            else in the order of the names.

    Raises:
        DataError: If a package is not installed.
    """
    seen: set[bytes] = set()
    context, size = task(), 0
    files = [file for name in packages for file in _sources(name)]
    if most_bytes is not None:
        files.sort(key=lambda file: _digest(file[1]))
    for done, (file, name) in enumerate(files, 1):
        for line, text in _strings(file):
            new = [part for part in _paragraphs(text) if _is_new(part, seen)]
            left = "\n\n".join(new)
            if len(left) < SHORTEST:
                continue
            size += len(left.encode())
            if most_bytes is not None and size > most_bytes:
                return
            yield Document(left, split_sentences(left), f"{name}:{line}")
        if most_bytes is None:
            context.progress(done, len(files), "files")
        else:
            context.progress(size, most_bytes, "bytes")


def _sources(package: str) -> list[tuple[Path, str]]:
    """Source files of a package, and their names from the package on."""
    folder = _folder(package)
    if folder is None:
        raise DataError("is not installed", where=package)
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.py"))
    return [(folder / n, f"{package}/{n}") for n in names if "tests" not in Path(n).parts]


def _strings(file: Path) -> Iterator[tuple[int, str]]:
    """Documentation strings of a module, its classes and functions, with their lines."""
    source = file.read_bytes()
    if b'"""' not in source:  # most of the time would go into what documents nothing
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that a later Python will refuse
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):  # templates and files that test parsers
        return
    for node in _definitions(tree):
        text = ast.get_docstring(node)
        if text and _is_encodable(text):
            yield getattr(node, "lineno", 1), text


def _definitions(node: ast.AST) -> Iterator[Any]:
    """The module, classes and functions of a tree, in the order of the source."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield node
    for name in ("body", "handlers", "orelse", "finalbody"):
        inner = getattr(node, name, None)
        for child in inner if isinstance(inner, list) else ():
            yield from _definitions(child)


def _paragraphs(text: str) -> list[str]:
    return [part.strip("\n") for part in text.split("\n\n") if part.strip()]


def _is_new(paragraph: str, seen: set[bytes]) -> bool:
    """Whether a paragraph was not met before, white space aside; remembers it."""
    mark = _digest(" ".join(paragraph.split()))
    known = mark in seen
    seen.add(mark)
    return not known


def _is_encodable(text: str) -> bool:
    """Whether a text is free of lone halves of surrogate pairs, which an escape can spell."""
    return re.search("[\ud800-\udfff]", text) is None


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
