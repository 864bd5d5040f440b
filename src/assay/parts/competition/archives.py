"""The files of a submission, from a folder or a zip, without unpacking anything to disk.

Everything is limited before it is read, and bytes are counted while they are read: headers may lie.
Of a folder no link is followed, neither a file nor a folder, even if one is put there meanwhile.
"""

import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from assay.errors import UsageError
from assay.parts.competition.problems import Capped, Problem, printable
from assay.parts.competition.schema import Limits

__all__ = ["Members", "read_members"]

DEEPEST = 8
LONGEST_NAME = 250
CHUNK = 1 << 16
DIRECTORY_BYTES = 512
"""So many bytes of a zip's directory are enough for one member."""
ACCEPTED = "a folder, or a .zip without a comment"
FOLDERS = 50
"""So many folders a submission may hold; each is open while it is read."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError,
          RuntimeError, UnicodeError, OverflowError, IndexError)  # fmt: skip
"""What zipfile and zlib raise when an archive is damaged, or made to be."""


class _Member(NamedTuple):
    """A file that is offered: ``fault`` says why it is not taken; ``packed`` is its size there."""

    name: str
    fault: tuple[str, str, str] | None
    open: Callable[[], IO[bytes]]
    packed: int | None = None


@dataclass
class Members:
    """What was read.

    Attributes:
        files: Contents by name, of those that are wanted and could be read.
        there: All names, even of files that were refused.
        strangers: Names that are not wanted.
        problems: What is wrong.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    there: set[str] = field(default_factory=set)
    strangers: list[str] = field(default_factory=list)
    problems: Capped[Problem] = field(default_factory=Capped[Problem])


def read_members(path: Path, limits: Limits, wanted: Callable[[str], bool]) -> Members:
    """Read the files of a submission.

    Args:
        path: A folder, or a zip.
        limits: Of the challenge.
        wanted: Which names are read; of the others only the name is known.

    Raises:
        UsageError: If there is nothing at the path.
    """
    if not path.exists():
        raise UsageError("nothing is there", where=str(path), accepted="a folder or a .zip")
    found = Members()
    with ExitStack() as stack:
        try:
            offered = _folder(path, limits) if path.is_dir() else _zip(path, limits)
            members = stack.enter_context(offered)
            if len(members) > limits.members:
                raise _Refused("too_many", "too many files", f"at most {limits.members:,}")
        except _Refused as refused:
            found.problems.add(refused.problem)
        except BROKEN as error:
            what = f"cannot be read ({_said(error)})"
            found.problems.add(Problem("format", "", None, what, ACCEPTED))
        else:
            _read(sorted(members, key=lambda member: member.name), limits, wanted, found)
    return found


class _Refused(Exception):
    """The submission as a whole is refused."""

    def __init__(self, code: str, what: str, accepted: str = "") -> None:
        super().__init__(code, what, accepted)
        self.problem = Problem(code, "", None, what, accepted)


def _read(
    members: Iterable[_Member], limits: Limits, wanted: Callable[[str], bool], found: Members
) -> None:
    """Read what is wanted until the limit is reached."""
    left: int | None = limits.bytes
    for member in members:
        name = printable(member.name)
        fault = _unsafe(member.name) or member.fault
        if not fault and member.name in found.there:
            fault = "duplicate", "the file is there twice", "one of each name"
        found.there.add(member.name)
        if not fault and not wanted(member.name):
            found.strangers.append(member.name)
        elif not fault and left is not None:
            try:
                with member.open() as stream:
                    data = _bounded(stream, left)
            except BROKEN as error:
                fault = "format", f"cannot be read ({_said(error)})", ""
            else:
                fault = _size_fault(data, member, limits)
                left = None if data is None else left - len(data)
                if data is not None and not fault:
                    found.files[member.name] = data
        if fault:
            code, what, accepted = fault
            found.problems.add(Problem(code, name, None, what, accepted))


def _size_fault(data: bytes | None, member: _Member, limits: Limits) -> tuple[str, str, str] | None:
    if data is None:
        most = f"at most {limits.bytes:,} bytes together"
        return "too_large", "larger than is allowed", most
    if member.packed is not None and len(data) > limits.ratio * max(member.packed, 1):
        what = f"{len(data):,} bytes packed into {member.packed:,}"
        return "too_large", what, f"at most {limits.ratio} times"
    return None


def _bounded(stream: IO[bytes], most: int) -> bytes | None:
    """The rest of a stream; None if it is longer than ``most`` bytes."""
    parts, size = [], 0
    while part := stream.read(CHUNK):
        size += len(part)
        if size > most:
            return None
        parts.append(part)
    return b"".join(parts)


def _unsafe(name: str) -> tuple[str, str, str] | None:
    """What is wrong with a name, whatever system reads it."""
    parts = name.split("/")
    bad = (
        len(name) > LONGEST_NAME
        or "\\" in name
        or ":" in name
        or any(part in ("", ".", "..") for part in parts)
        or len(parts) > DEEPEST
        or not name.isprintable()
    )
    wanted = "a short name within the submission, such as boxes/case_1.json"
    return ("unsafe_path", "a name that is refused", wanted) if bad else None


def _said(error: BaseException) -> str:
    first = str(getattr(error, "strerror", None) or error).partition("\n")[0]
    return printable(first) or type(error).__name__


@contextmanager
def _zip(path: Path, limits: Limits) -> Iterator[list[_Member]]:
    """The files of an archive."""
    with _regular(path, None, follow=True) as stream:
        _judge_directory(stream, limits)
        with zipfile.ZipFile(stream) as archive:
            yield [
                _Member(info.orig_filename, _fault(info), partial(archive.open, info),
                        info.compress_size)
                for info in archive.infolist()
                if not _is_folder(info)
            ]  # fmt: skip


def _judge_directory(stream: IO[bytes], limits: Limits) -> None:
    """Look at the sizes before `zipfile` reads the whole directory into memory.

    Raises:
        _Refused: If it is none, or too large.
    """
    size = stream.seek(0, os.SEEK_END)
    if size > limits.bytes:
        raise _Refused("too_large", f"{size:,} bytes", f"at most {limits.bytes:,} bytes")
    stream.seek(max(size - 42, 0))
    tail = stream.read(42)
    end = tail[-22:]
    if end[:4] != b"PK\x05\x06" or end[-2:] != b"\0\0" or tail[:4] == b"PK\x06\x07":
        raise _Refused("format", "not a zip, or one with a comment or 4 GiB", ACCEPTED)
    if int.from_bytes(end[12:16], "little") > DIRECTORY_BYTES * limits.members:
        most = f"at most {limits.members:,}"
        raise _Refused("too_many", "too many files, or names too long", most)
    stream.seek(0)


def _is_folder(info: zipfile.ZipInfo) -> bool:
    """Whether an entry only names a folder of the submission, which needs none."""
    mode = stat.S_IFMT(info.external_attr >> 16)
    inside = info.orig_filename.endswith("/") and not _unsafe(info.orig_filename[:-1])
    return inside and mode in (0, stat.S_IFDIR) and info.file_size == 0


def _fault(info: zipfile.ZipInfo) -> tuple[str, str, str] | None:
    """What an entry says of itself that is refused."""
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        return "unsafe_path", "a link or device", "files"
    if info.flag_bits & 0x1:
        return "encrypted", "needs a password", "files without a password"
    if info.compress_type not in METHODS:
        return "format", f"packed by method {info.compress_type}", "stored or deflated files"
    return None


@contextmanager
def _folder(path: Path, limits: Limits) -> Iterator[list[_Member]]:
    """The files of a folder and of those in it."""
    with ExitStack() as stack:
        members: list[_Member] = []
        waiting, folders = [("", _entered(stack, path, None, follow=True))], 1
        while waiting and len(members) <= limits.members:
            prefix, where = waiting.pop()
            with os.scandir(where) as entries:
                for entry in entries:
                    name = prefix + entry.name
                    if not entry.is_dir(follow_symlinks=False):
                        members.append(_file(name, entry, where))
                        if len(members) > limits.members:
                            break
                        continue
                    folders += 1
                    if folders > FOLDERS:
                        raise _Refused("too_many", "too many folders", f"at most {FOLDERS}")
                    waiting.append((f"{name}/", _entered(stack, entry.name, where)))
        yield members


def _file(name: str, entry: "os.DirEntry[str]", where: int) -> _Member:
    """An entry of a folder that is no folder."""
    regular = entry.is_file(follow_symlinks=False)
    fault = None if regular else ("unsafe_path", "a link or device", "files")
    return _Member(name, fault, partial(_regular, entry.name, where))


def _entered(stack: ExitStack, name: str | Path, where: int | None, *, follow: bool = False) -> int:
    """A folder, open until the stack is left."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    opened = os.open(name, flags, dir_fd=where)
    stack.callback(os.close, opened)
    return opened


def _regular(name: str | Path, where: int | None, *, follow: bool = False) -> IO[bytes]:
    """A file, if it is one: no link, and nothing that would block or never end."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    stream = os.fdopen(os.open(name, flags, dir_fd=where), "rb")
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError("not a file")
    return stream
