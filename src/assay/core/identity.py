"""What makes two computations the same: digests of code, values and files.

The identity of a component is the syntax tree of its module and of every module of the same
distribution that it statically imports, comments and docstrings left out. Reformatting a file or
explaining it better reruns nothing; changing what it computes reruns what depends on it. The core
is excepted: it moves values, it does not change them.
"""

import ast
import hashlib
import importlib.metadata
import importlib.util
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

CORE = ("assay.core", "assay.errors")


def digest(value: Any) -> str:
    """SHA-256 of a JSON value; the order of keys does not matter.

    Example:
        >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
        True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_listing(path: Path) -> list[tuple[str, str, int]]:
    """Every file below ``path`` as (relative name, digest, bytes), sorted by name."""
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return [(p.relative_to(path).as_posix(), file_digest(p), p.stat().st_size) for p in files]


def content_digest(path: Path) -> str:
    """Digest of a file's content, or of a folder's names and contents.

    A folder is not the same as a file that happens to hold its listing: the two are told apart.
    """
    if path.is_dir():
        return digest(["folder", folder_listing(path)])
    return _file_digest_cached(str(path), *_stamp(path))


def _stamp(path: Path) -> tuple[int, int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


@lru_cache(maxsize=4096)
def _file_digest_cached(path: str, mtime_ns: int, size: int, inode: int) -> str:
    return file_digest(Path(path))


def code_digest(function: Callable[..., Any]) -> str:
    """Identity of the code behind ``function``.

    A function that lives in no importable file (a notebook cell, an interactive session) is
    known by its own source alone; where even that is missing, by its bytecode.
    """
    module = function.__module__
    path = _module_path(module)
    if module == "__main__" or path is None:
        return digest(["function", _own_source(function)])
    trees = [
        (name, _tree_digest(str(file), *_stamp(file))) for name, file in sorted(_closure(module))
    ]
    return digest(["modules", function.__qualname__, trees])


def library_versions(names: Sequence[str]) -> dict[str, str]:
    """Installed version of each named distribution, ``"absent"`` where it is not installed."""
    return {name: _version(name) for name in sorted(names)}


@lru_cache(maxsize=256)
def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _own_source(function: Callable[..., Any]) -> str:
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        code = function.__code__
        return f"{code.co_code.hex()} {code.co_consts!r} {code.co_names!r}"
    return _dump(ast.parse(inspect.cleandoc("\n" + source)))


def _closure(module: str) -> Iterator[tuple[str, Path]]:
    """``module`` and every module of its top-level package that it reaches by import."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = None if name in seen else _module_path(name)
        seen.add(name)
        if path is None:
            continue
        yield name, path
        waiting += _imports(str(path), name, *_stamp(path))


@lru_cache(maxsize=4096)
def _module_path(module: str) -> Path | None:
    loaded = sys.modules.get(module)
    if loaded is not None and getattr(loaded, "__file__", None):
        return Path(str(loaded.__file__))
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


@lru_cache(maxsize=4096)
def _imports(path: str, module: str, *stamp: int) -> tuple[str, ...]:
    """Modules of the same top-level package named by import statements anywhere in the file."""
    top = module.partition(".")[0]
    package = module if path.endswith("__init__.py") else module.rpartition(".")[0]
    names: set[str] = set()
    for node in ast.walk(ast.parse(Path(path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]).rstrip(".")
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return tuple(sorted(n for n in names if _belongs(n, top)))


def _belongs(name: str, top: str) -> bool:
    in_core = any(name == core or name.startswith(f"{core}.") for core in CORE)
    return name.partition(".")[0] == top and name != top and not in_core


@lru_cache(maxsize=4096)
def _tree_digest(path: str, *stamp: int) -> str:
    return hashlib.sha256(_dump(ast.parse(Path(path).read_bytes())).encode()).hexdigest()


def _dump(tree: ast.AST) -> str:
    """The tree as text, without positions, comments or docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)
