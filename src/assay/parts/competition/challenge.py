"""A challenge's folder, and how its file is read: a refusal names file, line, key and what fits.

my-challenge/
  challenge.yaml     tasks, metrics, ranking, limits and phases (`schema.py`)
  truth/             what the cases really are; no submission ever sees it
  public/            what participants get
  submissions/       what they hand in
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from assay.core.markup import read_yaml
from assay.core.params import short
from assay.errors import DataError, UsageError, did_you_mean
from assay.parts.competition.schema import Challenge

__all__ = [
    "CHALLENGE", "Challenge", "ChallengeFolder", "challenge_folder", "parse_challenge",
    "read_challenge", "utc",
]  # fmt: skip

CHALLENGE = "challenge.yaml"
LARGEST_BYTES = 1_000_000


@dataclass(frozen=True)
class ChallengeFolder:
    """A challenge on disk."""

    path: Path

    @property
    def file(self) -> Path:
        """The file that says everything."""
        return self.path / CHALLENGE

    @property
    def truth(self) -> Path:
        """What the cases really are; never handed to a submission."""
        return self.path / "truth"

    @property
    def public(self) -> Path:
        """What participants get."""
        return self.path / "public"

    @property
    def submissions(self) -> Path:
        """What they hand in."""
        return self.path / "submissions"


def challenge_folder(folder: Path) -> ChallengeFolder:
    """The paths of a challenge.

    Raises:
        UsageError: If the folder holds none.
    """
    if not (folder / CHALLENGE).is_file():
        hint = f"`assay challenge init {folder}` makes a challenge."
        raise UsageError(f"no {CHALLENGE}", where=str(folder), next=hint)
    return ChallengeFolder(folder)


def utc(moment: datetime) -> str:
    """A moment as people read it.

    Example:
        >>> utc(datetime.fromisoformat("2030-01-31T23:59:59+01:00"))
        '2030-01-31 22:59:59 UTC'
    """
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def read_challenge(folder: Path) -> Challenge:
    """Read the challenge of a folder.

    Raises:
        UsageError: If there is none.
        DataError: With file, line and key, if something in it does not fit.
    """
    file = challenge_folder(folder).file
    try:
        with file.open("rb") as opened:
            data = opened.read(LARGEST_BYTES + 1)
        text = data.decode("utf-8-sig") if len(data) <= LARGEST_BYTES else ""
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise DataError(f"cannot be read ({why})", where=str(file)) from error
    if len(data) > LARGEST_BYTES:
        raise DataError("is too large", where=str(file), accepted=f"{LARGEST_BYTES:,} bytes")
    return parse_challenge(text, str(file))


def parse_challenge(text: str, where: str) -> Challenge:
    """A challenge from the text of its file.

    Args:
        text: YAML.
        where: Name of the file, for errors.

    Raises:
        DataError: As `read_challenge` does.
    """
    try:
        said = read_yaml(text)
    except UsageError as error:
        place = f"{where} {error.where}".strip()
        raise DataError(error.what, where=place, accepted=error.accepted) from error
    if not isinstance(said, Mapping):
        raise DataError("is no challenge", where=where, accepted="`version: 1` and so on")
    try:
        return Challenge.model_validate(said)
    except ValidationError as error:
        raise _refusal(error.errors()[0], said, where) from error


def _refusal(error: Mapping[str, Any], said: Any, where: str) -> DataError:
    """What pydantic says first, in the file's own terms."""
    context, message = error.get("ctx", {}), str(error["msg"])
    at = [part for part in (*error["loc"], *context.get("at", ())) if part != "[key]"]
    line, found = _find(said, at)
    place = f"{where} line {line}" if line else where
    key, around = ".".join(map(str, at)), ".".join(map(str, at[:-1])) or "the file"
    if error["type"] == "missing":
        return DataError(f"{around} lacks {at[-1]!r}", where=place)
    if error["type"] in ("unknown_key", "unknown_metric"):
        name = at[-1] if error["type"] == "unknown_key" else found
        hint = did_you_mean(str(name), context["known"])
        return DataError(f"{message} {short(name)} in {around}", where=place, next=hint)
    wanted = message.removeprefix("Input should be ")
    if wanted != message:
        given = at[-1] if error["loc"][-1:] == ("[key]",) else found
        near = did_you_mean(str(given), str(context.get("expected", "")).split("'")[1::2])
        return DataError(
            f"{key}: {short(given)} is refused",
            where=place,
            accepted=wanted,
            next=near if near.startswith("Did") else "",
        )
    if error["type"] == "string_pattern_mismatch":
        fitting = "letters, digits and `_`, as in a name of a file"
        return DataError(f"{key}: {short(found)} is refused", where=place, accepted=fitting)
    value = f"{short(found)} " if isinstance(found, str | int | float) else ""
    what = f"{key}: {value}{message[:1].lower()}{message[1:]}"
    return DataError(what, where=place, accepted=context.get("accepted", ""))


def _find(said: Any, at: Sequence[str | int]) -> tuple[int | None, Any]:
    """The line of a place, or of the nearest one around it that has one; and what stands there."""
    line = None
    for part in at:
        if isinstance(said, Mapping):
            line = getattr(said, "lines", {}).get(part, line)
            said = said.get(part)
        elif isinstance(said, list) and isinstance(part, int) and part < len(said):
            said = said[part]
            line = min(getattr(said, "lines", {}).values(), default=line)
        else:
            return line, None
    return line, said
