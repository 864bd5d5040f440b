"""What every writer of files here stands on: whole files or none, and errors of one line."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from assay.errors import StoreError


@contextmanager
def writing(where: Path) -> Iterator[None]:
    """Say in one line why the disk refuses a write, and how much space is left.

    Raises:
        StoreError: In place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise refusal(error, where) from error


def refusal(error: OSError, where: Path) -> StoreError:
    """What the disk has against a write, and how much space is left."""
    what, free = f"a write was refused ({error.strerror or error})", ""
    with suppress(OSError):
        free = f"; {shutil.disk_usage(where).free / 2**20:,.0f} MiB are free"
    return StoreError(
        what + free,
        where=str(where),
        next="Free some space (`assay gc`) or choose another folder with --store, then run again: "
        "finished steps are kept.",
    )


@contextmanager
def reading(where: Path) -> Iterator[None]:
    """Say in one line why the disk refuses a read; what is missing stays a `FileNotFoundError`.

    Raises:
        StoreError: In place of another `OSError`.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        said = error.strerror or str(error)
        raise StoreError(f"cannot be read ({said})", where=str(where)) from error


def write_text(path: Path, text: str, *, sync: bool = True, temporary: Path | None = None) -> None:
    """Replace a file in one step: readers see the old text or the new one, never a part.

    Args:
        path: The file; its folder exists.
        text: What it shall hold.
        sync: Whether to return only when it has reached the disk.
        temporary: Folder on the same file system for the unfinished file; that of ``path`` if
            not given.

    Raises:
        StoreError: If the disk refuses; the old text stays.
    """
    unfinished = (temporary or path.parent) / f".{path.name}.{uuid.uuid4().hex}"
    try:
        with writing(path.parent):
            with unfinished.open("x", encoding="utf-8") as file:
                file.write(text)
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
            os.rename(unfinished, path)
            if sync:
                make_durable(path.parent)
    finally:
        remove(unfinished)


def below(path: Path) -> Iterator[Path]:
    """A file or folder and everything in it; what cannot be listed is not passed over."""
    yield path

    def refuse(error: OSError) -> None:
        raise error

    for parent, folders, files in os.walk(path, onerror=refuse) if path.is_dir() else ():
        yield from (Path(parent, name) for name in (*folders, *files))


def remove(path: Path) -> None:
    """Remove a file or folder as far as possible; `assay gc` sweeps what is left."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def make_durable(path: Path) -> None:
    """Make a file, or the names in a folder, durable."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:  # replaced or collected since
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
