"""Kinds of text that are at hand wherever the system is installed, with nothing to download.

| kind | what it is |
|---|---|
| ``prose`` | documentation strings: technical English |
| ``code`` | Python source without comments and documentation strings |
| ``headers`` | C and C++ headers without comments |
| ``tables`` | delimited tables of numbers and names, time zones, the Unicode character table |
| ``schemas`` | JSON and YAML: schemas, settings, bills of materials |
| ``licences`` | legal English; every paragraph once |
| ``stories`` | made-up stories of a few hundred words |

They are read from the files of installed distributions, as text: nothing is imported. What one
finds changes with their versions, which ``corpus.json`` names beside the sha256 of what was found.

Notable in this file: files are taken in the order of the digests of their names and give at most
100 kB each, so that a small sample has something of everywhere and no generated file outweighs the
rest. Files are cut at blank lines into documents of at most 20 kB.
"""

import ast
import hashlib
import importlib.metadata
import io
import re
import tokenize
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from assay.core.component import component
from assay.core.identity import library_versions
from assay.core.task import task
from assay.errors import DataError
from assay.parts.text.documents import Document, write_documents
from assay.parts.text.packages import PACKAGES, documentation
from assay.parts.text.stories import story

__all__ = ["DISTRIBUTIONS", "Kind", "kind_corpus", "kind_documents"]

Kind = Literal["prose", "code", "headers", "tables", "schemas", "licences", "stories"]

DISTRIBUTIONS = (
    "altair", "dask", "distributed", "filelock", "hf-xet", "huggingface-hub", "jinja2",
    "jsonschema", "llvmlite", "lxml", "networkx", "nltk", "numba", "numpy", "pandas", "psutil",
    "pyarrow", "pydantic", "pydantic-core", "pygments", "regex", "rich", "sacrebleu", "safetensors",
    "scipy", "setuptools", "sympy", "tokenizers", "torch", "tornado", "tqdm", "transformers",
    "tzdata",
)  # fmt: skip
"""Distributions read, as far as they are installed; all of them come with language systems."""
LARGEST, SHORTEST = 20_000, 200
"""Characters of a document."""
MOST_OF_FILE = 5
"""Documents of one file."""
LONGEST_LINE = 1000
"""Characters of a line beyond which a file was not written for readers."""
NAMED = range(0xA0, 0x20000)
"""Where characters with names of their own lie; few beyond, and ASCII is in every other text."""

Megabytes = Annotated[float, Field(gt=0, le=100)]
Cleaned = Callable[[str], str]


class _Source(NamedTuple):
    """Which files are of a kind, and what is left of their text (nothing if they are not)."""

    suffixes: tuple[str, ...]
    cleaned: Cleaned
    names: str = ""


# -- the component ------------------------------------------------------------------------------


@component(version="1", requires=(*DISTRIBUTIONS, "numpy"))
def kind_corpus(*, kind: Kind, megabytes: Megabytes = 1.0) -> Path:
    """Write a corpus of one kind of text, from what is installed.

    Args:
        kind: The kind.
        megabytes: A sample of at most this size (1e6 bytes of UTF-8); less if there is less.

    Returns:
        Folder of the corpus, see `write_documents`; ``origin`` names kind and versions.
    """
    folder = task().scratch() / "corpus"
    write_documents(folder, kind_documents(kind, megabytes), origin=origin(kind))
    return folder


def origin(kind: Kind) -> dict[str, Any]:
    """What ``corpus.json`` says of where a kind comes from."""
    if kind == "stories":
        return {"kind": kind, "made up": "assay.parts.text.stories, seed 0"}
    read = PACKAGES if kind == "prose" else DISTRIBUTIONS
    found = {name: v for name, v in library_versions(read).items() if v != "absent"}
    more = {"unicode": unicodedata.unidata_version} if kind == "tables" else {}
    return {"kind": kind, "packages": found, **more}


def kind_documents(kind: Kind, megabytes: float) -> Iterator[Document]:
    """Documents of a kind until the next one would exceed the size; progress is reported.

    Raises:
        DataError: If nothing of the kind is installed.
    """
    most, size, context = megabytes * 1e6, 0, task()
    for document in _every(kind, most):
        size += len(document.text.encode())
        if size > most:
            break
        context.progress(size, most, "bytes")
        yield document
    if not size:
        raise DataError(
            f"no text of kind {kind!r} is installed",
            accepted=f"files of {', '.join(DISTRIBUTIONS)}",
        )


def _every(kind: Kind, most: float) -> Iterator[Document]:
    if kind == "stories":
        return _stories()
    if kind == "prose":
        packages = [name for name in PACKAGES if library_versions([name])[name] != "absent"]
        return documentation(packages, most)
    if kind == "licences":
        return _licences()
    return _documents(SOURCES[kind], _unicode_table() if kind == "tables" else ())


def _stories() -> Iterator[Document]:
    number = 0
    while True:
        told = story(0, number)
        yield Document(told.text, told.sentences, f"story 0:{number}")
        number += 1


# -- files --------------------------------------------------------------------------------------


def _documents(source: _Source, more: Sequence[tuple[str, str]] = ()) -> Iterator[Document]:
    """Documents of the files of a kind, and of further texts by name."""
    texts: list[tuple[str, Path | str]] = [*_files(source), *more]
    for name, given in sorted(texts, key=lambda each: _digest(each[0])):
        text = source.cleaned(_read(given)) if isinstance(given, Path) else given
        pieces = (piece for piece in cut(text) if len(piece) >= SHORTEST)
        for k, piece in zip(range(MOST_OF_FILE), pieces):  # noqa: B905 - whichever ends first
            yield Document(piece, _blocks(piece), f"{name}:{k}")


def _files(source: _Source) -> Iterator[tuple[str, Path]]:
    """Names and places of the files of a kind, tests of Python code left out."""
    for distribution in DISTRIBUTIONS:
        try:
            files = importlib.metadata.files(distribution) or ()
        except importlib.metadata.PackageNotFoundError:
            continue
        for file in files:
            path = PurePosixPath(file)
            wanted = path.suffix.lower() in source.suffixes
            if ".." in path.parts or not wanted or not re.search(source.names, path.name, re.I):
                continue
            if path.suffix == ".py" and {"tests", "test", "testing"} & set(path.parts):
                continue
            place = Path(str(file.locate()))
            if place.is_file():
                yield str(path), place


def _read(file: Path) -> str:
    """Text of a file; nothing if it is not UTF-8 or no reader could follow its lines."""
    try:
        text = file.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return ""
    return "" if "\0" in text or re.search(rf"[^\n]{{{LONGEST_LINE}}}", text) else text


def cut(text: str) -> Iterator[str]:
    r"""Cut a text where lines are blank, else where lines end, into parts of at most 20 kB.

    Example:
        >>> [len(part) for part in cut("x\n" * 9_000 + "\n" + "y\n" * 4_000)]
        [17999, 7999]
    """
    part = ""
    for block in re.split(r"\n(?:[ \t]*\n)+", text):
        for piece in _lines_together(block) if len(block) > LARGEST else [block]:
            if part and len(part) + len(piece) + 2 > LARGEST:
                yield part
                part = ""
            part = f"{part}\n\n{piece}" if part else piece.strip("\n")
    if part.strip():
        yield part


def _lines_together(block: str) -> Iterator[str]:
    """A block without blank lines, in runs of whole lines."""
    part = ""
    for line in block.splitlines():
        if part and len(part) + len(line) + 1 > LARGEST - 2:
            yield part
            part = ""
        part = f"{part}\n{line}" if part else line
    yield part


def _blocks(text: str) -> tuple[int, ...]:
    """Where the parts of a document begin that blank lines separate: what rows are cut at."""
    return (0, *(found.end() for found in re.finditer(r"\n\n(?=.)", text)))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


# -- what is left of a text ---------------------------------------------------------------------


def bare_python(source: str) -> str:
    r"""Python source without comments and documentation strings; empty if it is not Python.

    Example:
        >>> print(bare_python('def f(x):\n    "Twice."\n    return 2 * x  # as said'))
        def f(x):
            return 2 * x
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that a later Python will refuse
            tree = ast.parse(source)
        comments = _comments(source)
    except (SyntaxError, ValueError, RecursionError, tokenize.TokenError):
        return ""
    lines: list[str | None] = [*source.split("\n")]
    for row, column in comments:
        lines[row - 1] = (lines[row - 1] or "")[:column].rstrip() or None
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(node, body[0]):
            alone = len(body) == 1 and not isinstance(node, ast.Module)
            _blank(lines, body[0], "..." if alone else "")
    return "\n".join(line for line in lines if line is not None).strip("\n")


def _comments(source: str) -> list[tuple[int, int]]:
    """Row, from 1, and column of every comment."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [token.start for token in tokens if token.type == tokenize.COMMENT]


def _is_docstring(node: ast.AST, first: ast.stmt) -> bool:
    holders = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return isinstance(node, holders) and (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )


def _blank(lines: list[str | None], string: ast.stmt, instead: str) -> None:
    """Take a string that is a statement out of its lines; columns count bytes."""
    first, last = string.lineno - 1, (string.end_lineno or 0) - 1
    before = (lines[first] or "").encode()[: string.col_offset].decode()
    after = (lines[last] or "").encode()[string.end_col_offset :].decode().strip()
    left = before + (instead or after.removeprefix(";").strip())
    lines[first : last + 1] = [left if left.strip() else None, *[None] * (last - first)]


C_PARTS = re.compile(
    r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|(?P<comment>//[^\n]*|/\*.*?\*/)', re.DOTALL
)


def bare_c(source: str) -> str:
    r"""C or C++ source without comments.

    Example:
        >>> bare_c('int a; // one\nchar* b = "//"; /* two\n lines */ int c;')
        'int a;\nchar* b = "//";  int c;'
    """
    text = C_PARTS.sub(lambda part: "" if part["comment"] else part[0], source)
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)).strip("\n")


FIELDS = re.compile(r"[^,;\t ]+(?:\t|,|;| {2,}|(?<=\d) )[^,;\t ]*\S")


def table(text: str) -> str:
    r"""A text if it is a table: of its lines at least nine in ten hold several fields, and digits.

    Example:
        >>> table("a,b\n1,2\n3,4"), table("A sentence, and more.\nAnother one.")
        ('a,b\n1,2\n3,4', '')
    """
    lines = [line for line in text.splitlines() if line.strip() and line[0] != "#"]
    rows = [line for line in lines if FIELDS.search(line)]
    digits = sum(any(c.isdigit() for c in line) for line in rows)
    return text if lines and min(len(rows), 1.5 * digits) >= 0.9 * len(lines) else ""


def _unicode_table() -> list[tuple[str, str]]:
    """The characters that have names of their own, a text for each 256 of them."""
    head = "code;name;category;bidirectional;combining;decomposition;numeric"
    texts: dict[int, list[str]] = {}
    for code in NAMED:
        name = unicodedata.name(chr(code), "")
        if name and not name.endswith(f"-{code:X}") and not name.startswith("HANGUL SYLLABLE"):
            texts.setdefault(code >> 8, [head]).append(_unicode_row(chr(code), name))
    return [(f"unicode/{block:03X}00", "\n".join(rows)) for block, rows in texts.items()]


def _unicode_row(character: str, name: str) -> str:
    number = unicodedata.numeric(character, None)
    cells = (
        f"{ord(character):04X}",
        name,
        unicodedata.category(character),
        unicodedata.bidirectional(character),
        unicodedata.combining(character),
        unicodedata.decomposition(character),
        "" if number is None else f"{number:g}",
    )
    return ";".join(map(str, cells))


LICENCE_NAMES = r"licen[cs]e|copying|notice"
LICENCES = _Source(
    ("", ".txt", ".md", ".rst", ".apache", ".bsd", ".mit", ".third-party", ".thirdparty"),
    str,
    LICENCE_NAMES,
)
SOURCES: dict[str, _Source] = {
    "code": _Source((".py",), bare_python),
    "headers": _Source((".h", ".hpp", ".cuh"), bare_c),
    "tables": _Source((".csv", ".tsv", ".tab", ".dat", ".txt", ".zi"), table),
    "schemas": _Source((".json", ".yaml"), str),
}


def _licences() -> Iterator[Document]:
    """Licences, each without the paragraphs of those before it."""
    seen: set[str] = set()
    for name, place in sorted(_files(LICENCES), key=lambda each: _digest(each[0])):
        new: list[str] = []
        for paragraph in re.split(r"\n\s*\n", _read(place)):
            mark = " ".join(re.findall(r"\w+", paragraph.lower()))
            if mark and mark not in seen:
                seen.add(mark)
                new.append(paragraph.strip("\n"))
        for k, piece in enumerate(cut("\n\n".join(new))):
            if len(piece) >= SHORTEST:
                yield Document(piece, _blocks(piece), f"{name}:{k}")
