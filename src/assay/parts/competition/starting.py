"""A new challenge: a small one that works, to be changed into one's own."""

import os
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from assay.core.disk import writing
from assay.errors import UsageError
from assay.parts.competition.challenge import CHALLENGE, parse_challenge

__all__ = ["init"]

OPEN_DAYS = 30


def init(folder: Path, name: str, *, opens: datetime | None = None) -> Path:
    """Make a challenge that works: a truth, a valid submission, and what to do next.

    Args:
        folder: Where; empty, or not there.
        name: Of the challenge: small letters, digits and ``_``.
        opens: When its phase opens, with an offset; today at 0 o'clock UTC if not given.

    Returns:
        The folder.

    Raises:
        UsageError: If something is there already, or the name is refused.
        StoreError: If the disk refuses. Then, too, nothing is left half written.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError("is no folder", where=str(folder))
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError("is not empty", where=str(folder), next="Choose another folder.")
    start = opens or datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    close = start + timedelta(days=OPEN_DAYS)
    said = {"name": name, "opens": start.isoformat(), "closes": close.isoformat()}
    starter = files(__name__.rpartition(".")[0]) / "starter"
    text = Template((starter / CHALLENGE).read_text(encoding="utf-8")).substitute(said)
    parse_challenge(text, CHALLENGE)  # a name that is refused is refused before anything is made
    with writing(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            _copy(starter, unfinished, said)
            unfinished.chmod(0o755)
            os.rename(unfinished, folder)  # replaces an empty folder, and no other
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    return folder


def _copy(source: Traversable, target: Path, said: dict[str, str]) -> None:
    """Copy a folder of texts, with what was said filled in."""
    for entry in source.iterdir():
        if entry.is_dir():
            (target / entry.name).mkdir()
            _copy(entry, target / entry.name, said)
        else:
            text = Template(entry.read_text(encoding="utf-8")).substitute(said)
            (target / entry.name).write_text(text, encoding="utf-8")
