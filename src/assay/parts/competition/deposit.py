"""Where the bytes of submissions lie: one file for each content, named by its digest.

A file is written beside its place, reaches the disk, and is then given its name: under a name there
is the whole content or nothing. Its row in the database is written after that, so a process killed
in between leaves at most a file that no row names, which `sweep` removes, never a row without file.
"""

import hashlib
import os
import re
import stat
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from assay.core.disk import make_durable, remove, writing
from assay.errors import DamagedArtifact, StoreError
from assay.parts.competition.rules import Refusal

__all__ = ["Deposit"]

SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")
CHUNK_BYTES = 2**20
UNFINISHED = ".incoming"


class Deposit:
    """A folder of submissions, its owner's alone."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._incoming = folder, folder / UNFINISHED
        with writing(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._incoming.mkdir(mode=0o700, exist_ok=True)

    def path(self, content: str) -> Path:
        """Where a content lies."""
        return self._folder / content

    @contextmanager
    def taking(self, source: Path, most: int) -> Iterator[tuple[str, Callable[[], None]]]:
        """Copy a file; it gets its name only when, and if, that is asked for.

        Yields:
            The name (SHA-256 and suffix), and what gives it.

        Raises:
            Refusal: If it is no file, or larger than ``most`` bytes.
            StoreError: If the disk refuses.
        """
        unfinished = self._incoming / uuid.uuid4().hex
        try:
            digest = self._copied(source, unfinished, most)
            suffix = source.suffix.lower()
            name = digest + (suffix if SUFFIX.fullmatch(suffix) else "")

            def place() -> None:
                with writing(self._folder):
                    os.replace(unfinished, self._folder / name)  # the same bytes, if it is there
                    make_durable(self._folder)

            yield name, place
        finally:
            remove(unfinished)

    def _copied(self, source: Path, target: Path, most: int) -> str:
        """Copy bytes to the disk; their SHA-256."""
        digest, size = hashlib.sha256(), 0
        with _opened(source) as read, writing(target.parent), open(
            target, "xb", opener=_private
        ) as written:  # fmt: skip
            while chunk := read.read(CHUNK_BYTES):
                size += len(chunk)
                if size > most:
                    raise Refusal("too_large", [f"more than {most:,} bytes"])
                digest.update(chunk)
                written.write(chunk)
            written.flush()
            os.fsync(written.fileno())
        return digest.hexdigest()

    def intact(self, content: str) -> Path:
        """Where a content lies, read through and found to be what its name says.

        Raises:
            DamagedArtifact: If it is missing or not.
        """
        path, digest = self.path(content), hashlib.sha256()
        try:
            with path.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    digest.update(chunk)
        except OSError as error:
            raise DamagedArtifact(f"cannot be read: {error.strerror}", where=str(path)) from error
        if digest.hexdigest() != content[:64]:
            raise DamagedArtifact("is not what its name says", where=str(path))
        return path

    def sweep(self, named: Collection[str], older_than_seconds: float) -> int:
        """Remove old files that nobody names: left by a process that was killed; how many."""
        swept, oldest = 0, time.time() - older_than_seconds
        for path in (*self._folder.iterdir(), *self._incoming.iterdir()):
            known = path == self._incoming or (path.parent == self._folder and path.name in named)
            if not known and path.stat().st_mtime < oldest:
                remove(path)
                swept += 1
        return swept


def _opened(source: Path) -> BinaryIO:
    """Open a file for reading, and nothing that is none."""
    try:
        handle = os.open(source, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait for ever
    except OSError as error:
        raise StoreError(f"cannot be read: {error.strerror}", where=str(source)) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Refusal("format", ["not a file"])
    return open(handle, "rb")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
