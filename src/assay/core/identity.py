"""What makes two computations the same: digests of code, values and files.

The identity of a component is the syntax tree of its module and of every module of the same
distribution that it statically imports, comments and docstrings left out. Reformatting a file or
explaining it better reruns nothing; changing what it computes reruns what depends on it. The core
is excepted: it moves values, it does not change them.

A distribution is what lies in the same source folder (`src` of a checkout, the folder of a script);
of what is installed, the same top-level package. A package's ``__init__`` counts where a name is
taken from it, not where it is only on the way to a module. Compiled modules are not seen.
"""

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from assay.errors import WorkflowError

CORE = ("assay.core", "assay.errors")
INSTALLED = {
    Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")
}


def digest(value: Any) -> str:
    """SHA-256 of a JSON value; the order of keys does not matter.

    Example:
        >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
        True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


# -- files --------------------------------------------------------------------------------------


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_listing(path: Path) -> list[tuple[str, str, int]]:
    """Every file below ``path`` as (relative name, digest, bytes), sorted by name."""
    return [(name, file_digest(p), p.stat().st_size) for name, p in _files(path)]


def content_digest(path: Path) -> str:
    """Digest of a file's content, or of a folder's names and contents.

    A file that has not been touched since is not read again. A folder is not the same as a file
    that happens to hold its listing: the two are told apart.
    """
    if path.is_dir():
        return digest(["folder", [(name, content_digest(p)) for name, p in _files(path)]])
    return _file_digest_cached(str(path), *_stamp(path))


def _files(folder: Path) -> list[tuple[str, Path]]:
    """Files below a folder by relative name, sorted; links to folders are followed."""

    def refuse(error: OSError) -> None:
        raise error

    found = [
        Path(parent, name)
        for parent, _, names in os.walk(folder, onerror=refuse, followlinks=True)
        for name in names
    ]
    return sorted((p.relative_to(folder).as_posix(), p) for p in found if p.is_file())


def _stamp(path: Path) -> tuple[int, int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


@lru_cache(maxsize=65536)
def _file_digest_cached(path: str, mtime_ns: int, size: int, inode: int) -> str:
    return file_digest(Path(path))


# -- code ---------------------------------------------------------------------------------------


def code_digest(function: Callable[..., Any]) -> str:
    """Identity of the code behind ``function``.

    A function that lives in no importable file (a notebook cell, a script, an interactive session)
    is known by its own source and by what it reaches by name.
    """
    module = function.__module__
    if module == "__main__" or module_path(module) is None:
        from assay.core.captured import captured

        return digest(["function", captured(function)])
    return digest(["modules", function.__qualname__, module_trees(module)])


def module_trees(module: str) -> list[tuple[str, str]]:
    """Digest of the syntax tree of ``module`` and of each module of its distribution it reaches."""
    found: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = module_path(name)
        if name in found or path is None:
            continue
        found[name], imported = _read_module(str(path), name, *_stamp(path))
        waiting += _reached(imported, module)
    return sorted(found.items())


def _reached(imported: Sequence[tuple[str, tuple[str, ...]]], module: str) -> Iterator[str]:
    """Modules of the distribution of ``module`` among what import statements name."""
    for base, names in imported:
        if not _belongs(base, module):
            continue
        inner = [f"{base}.{name}" for name in names]
        taken = [name for name in inner if module_path(name) is not None]
        yield from (name for name in taken if _belongs(name, module))
        if len(taken) < len(inner) or not names:
            yield base


def is_core(module: str) -> bool:
    """Whether a module is part of the core, which moves values and does not change them."""
    return module == "assay" or any(f"{module}.".startswith(f"{core}.") for core in CORE)


def _belongs(name: str, module: str) -> bool:
    if is_core(name):
        return False
    if name.partition(".")[0] == module.partition(".")[0]:
        return True
    ours, theirs = source_root(module), source_root(name)
    return ours == theirs and ours is not None


@lru_cache(maxsize=4096)
def source_root(module: str) -> Path | None:
    """Folder that the top-level package of a module lies in; None if it is installed or unknown."""
    path = module_path(module)
    if path is None:
        return None
    depth = module.count(".") + (path.name == "__init__.py")
    root = path.parents[depth]
    return None if root in INSTALLED else root


@lru_cache(maxsize=4096)
def module_path(module: str) -> Path | None:
    """The source file of a module, found without importing anything."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is not None:
        return Path(file) if file.endswith(".py") else None
    top, *rest = module.split(".")
    if top in sys.stdlib_module_names:
        return None
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    for folder in (spec and spec.submodule_search_locations) or ():
        stem = Path(folder, *rest)
        for path in (stem / "__init__.py", Path(f"{stem}.py")):
            if path.is_file():
                return path
    lone = spec is not None and not rest and str(spec.origin).endswith(".py")
    return Path(str(spec.origin)) if spec and lone else None


@lru_cache(maxsize=4096)
def _read_module(
    path: str, module: str, *stamp: int
) -> tuple[str, tuple[tuple[str, tuple[str, ...]], ...]]:
    """Digest of the syntax tree, and what import statements name anywhere in the file."""
    try:
        tree = ast.parse(Path(path).read_bytes())
    except SyntaxError as error:
        raise WorkflowError(
            f"cannot be parsed: {error.msg}", where=f"{path}:{error.lineno}"
        ) from error
    package = module if path.endswith("__init__.py") else module.rpartition(".")[0]
    found: list[tuple[str, tuple[str, ...]]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                found += [(".".join(parts[: n + 1]), ()) for n in range(len(parts))]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]).rstrip(".")
            found.append((base, tuple(alias.name for alias in node.names)))
    return hashlib.sha256(tree_text(tree).encode()).hexdigest(), tuple(dict.fromkeys(found))


def tree_text(tree: ast.AST) -> str:
    """The tree as text, without positions, comments, docstrings and other lone texts."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if isinstance(body, list):
                kept = [each for each in body if not _is_text(each)]
                setattr(node, name, kept or ([ast.Pass()] if body else []))
    return ast.dump(tree)


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


# -- libraries ----------------------------------------------------------------------------------


def library_versions(names: Sequence[str]) -> dict[str, str]:
    """Installed version of each library, ``"absent"`` where it is not installed.

    Args:
        names: Distributions, or modules where those have another name (``sklearn``).
    """
    return {name: _version(name) for name in sorted(names)}


@lru_cache(maxsize=256)
def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        owners = importlib.metadata.packages_distributions().get(name)
        return importlib.metadata.version(owners[0]) if owners else "absent"
