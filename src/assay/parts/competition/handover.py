"""The folders of one run of a program: what is handed in, and what is taken back.

What comes back was made by somebody who may want harm: folders too deep for any descent, links that
lead to the truth, pipes that never end. Everything here is done before the program starts, or when
it and all that it started are dead.
"""

import os
import shutil
import stat
import uuid
from pathlib import Path
from typing import Any

from assay.parts.competition import confined

__all__ = ["deliver", "prepare", "remove"]


def prepare(work: Path, inputs: Path, user: int | None) -> None:
    """The folders of a run: a copy of the inputs for all to read, and what it may write."""
    shutil.copytree(inputs, work / "inputs", copy_function=shutil.copyfile)
    for place in (work / "inputs", *(work / "inputs").rglob("*")):
        place.chmod(0o755 if place.is_dir() else 0o644)
    (work / "program").mkdir()
    (work / "nothing").touch(mode=0o000)
    written = work / "written"
    own = [written / place.replace("/", "-") for place in confined.SHARED]
    for folder in (written, written / "outputs", written / "scratch", *own):
        folder.mkdir(mode=0o700)
        if user is not None and folder != written:
            os.chown(folder, user, user)
    written.chmod(0o711)
    work.chmod(0o711)


def deliver(made: Path, outputs: Path, limits: dict[str, Any]) -> str:
    """Copy what a dead program left; why not, if that cannot be done."""
    if confined.exceeds(str(made), limits):
        return "too_large"
    for place in made.rglob("*"):
        if not stat.S_ISDIR(mode := place.lstat().st_mode) and not stat.S_ISREG(mode):
            return "link"
    outputs.parent.mkdir(parents=True, exist_ok=True)
    unfinished = outputs.parent / f".{outputs.name}.{uuid.uuid4().hex}"
    try:
        shutil.copytree(made, unfinished, symlinks=True, copy_function=_copy)
        for folder in (unfinished, *unfinished.rglob("*/")):
            folder.chmod(0o755)
        os.rename(unfinished, outputs)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return ""


def _copy(source: str, target: str) -> None:
    """Copy the bytes of one file, as nobody's but the caller's."""
    with (
        open(os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as read,
        open(target, "xb") as written,
    ):
        shutil.copyfileobj(read, written)


def remove(folder: Path) -> None:
    """Remove a folder however deep somebody made it: by lifting what lies below, not by descent."""
    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        count = 0
        while names := os.listdir(top):
            for name in names:
                if _unlinked(name, top):
                    continue
                os.chmod(name, 0o700, dir_fd=top)
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
                try:
                    for below in os.listdir(inner):
                        if not _unlinked(below, inner):
                            os.chmod(below, 0o700, dir_fd=inner)
                            count += 1
                            os.rename(below, f".lifted-{count}", src_dir_fd=inner, dst_dir_fd=top)
                finally:
                    os.close(inner)
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    folder.rmdir()


def _unlinked(name: str, folder: int) -> bool:
    """Remove what is no folder; whether it was none."""
    if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        return False
    os.unlink(name, dir_fd=folder)
    return True
