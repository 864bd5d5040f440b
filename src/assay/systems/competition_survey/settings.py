"""A survey's folder: its settings, and which file is what.

my-survey/
  survey.yaml        these settings
  instrument.yaml    the questions
  competitions.csv   competitions, their teams and ranks
  survey.sqlite      answers and people (unless `database` names another place)
  secret.key         signs forms, so that an open one survives a restart; hides imported ids
"""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assay.core.markup import read_yaml
from assay.errors import DataError, UsageError, did_you_mean
from assay.parts.databases import Database, open_database
from assay.systems.competition_survey.schema import METADATA

__all__ = ["Settings", "SurveyFolder", "make_survey", "survey_folder"]

SETTINGS, INSTRUMENT, COMPETITIONS = "survey.yaml", "instrument.yaml", "competitions.csv"
MODES = ("closed", "open")
WHAT = {
    SETTINGS: "title, welcome, privacy, contact: say it in your words",
    INSTRUMENT: "the questions: the ready-made ones, and yours",
    COMPETITIONS: "one line for each competition and team; ranks when you have them",
}
Text = Annotated[str, Field(min_length=1, max_length=2_000)]


class Settings(BaseModel):
    """What an organiser decides about a survey.

    Attributes:
        title: What people read first.
        mode: ``closed``: one link for each invited team. ``open``: whoever has the address.
        welcome: Paragraphs of the first page.
        privacy: Paragraphs that say what happens to the answers.
        offers: What people may leave their name for, by ``coauthor`` and ``raffle``.
        contact: Whom to ask.
        minutes: How long it takes.
        inclusion: Whose answers count: rules as `inclusion.py` has them, in their order.
        fastest_seconds: A form that is submitted sooner was hardly read.
        database: Empty for SQLite in the folder, else ``postgresql://...``.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    title: Text
    mode: Literal["closed", "open"] = "closed"
    welcome: list[Text] = []
    privacy: list[Text]
    offers: dict[Literal["coauthor", "raffle"], Text] = {}
    contact: str = ""
    minutes: Annotated[int, Field(ge=1, le=600)] = 20
    inclusion: list[dict[str, Any]] = []
    fastest_seconds: Annotated[int, Field(ge=0, le=86_400)] = 60
    database: str = ""


@dataclass(frozen=True)
class SurveyFolder:
    """A survey on disk."""

    path: Path
    settings: Settings

    @property
    def instrument(self) -> Path:
        """The file of the questions."""
        return self.path / INSTRUMENT

    @property
    def competitions(self) -> Path:
        """The organiser's table."""
        return self.path / COMPETITIONS

    def open(self) -> Database:
        """The database with the answers."""
        return open_database(self.settings.database or self.path / "survey.sqlite", METADATA)

    def secret(self) -> bytes:
        """The key of forms and imported ids; made, for its owner alone, when first asked for."""
        file = self.path / "secret.key"
        try:
            made = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            kept = file.read_bytes()
            if len(kept) != 32:
                raise DataError(
                    "not a key of 32 bytes", where=str(file), next="Delete it; a new one is made."
                ) from None
            return kept
        key = secrets.token_bytes(32)
        with os.fdopen(made, "wb") as stream:
            stream.write(key)
            stream.flush()
            os.fsync(stream.fileno())
        return key


def survey_folder(path: Path) -> SurveyFolder:
    """Read a survey's folder.

    Raises:
        UsageError: If it is none.
        DataError: If its settings are refused.
    """
    file = path / SETTINGS
    if not file.is_file():
        raise UsageError(
            f"no {SETTINGS}", where=str(path), next=f"`assay survey init {path}` makes a survey."
        )
    try:
        said = read_yaml(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise DataError(f"cannot be read ({why})", where=str(file)) from error
    except UsageError as error:
        raise DataError(
            f"cannot be read: {error.what}", where=f"{file} {error.where}", accepted=error.accepted
        ) from error
    if not isinstance(said, Mapping):
        raise DataError("not a mapping", where=str(file), accepted="`title: ...` and so on")
    return SurveyFolder(path, _settings(dict(said), file))


def make_survey(folder: Path, *, title: str, mode: str) -> dict[str, str]:
    """Make the folder of a new survey.

    Args:
        folder: Where; may exist, without a survey in it.
        title: What people read first.
        mode: ``closed`` or ``open``.

    Returns:
        What to do with each file, by name.

    Raises:
        UsageError: If there is a survey already, or the mode is unknown.
    """
    if mode not in MODES:
        raise UsageError(f"no mode {mode!r}", where="--mode", accepted="closed or open")
    there = [name for name in WHAT if (folder / name).exists()]
    if there:
        raise UsageError(f"{there[0]} is there already", where=str(folder))
    starter = files(__name__.rpartition(".")[0]) / "starter"
    try:
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True)
        for name in WHAT:
            text = (starter / name).read_text(encoding="utf-8")
            if name == SETTINGS:
                text = text.format(title=json.dumps(title, ensure_ascii=False), mode=mode)
            (folder / name).write_text(text, encoding="utf-8")
        _leave_out(folder / ".gitignore", (starter / "gitignore").read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot be made: {error.strerror}", where=str(folder)) from error
    return WHAT


def _leave_out(file: Path, wanted: str) -> None:
    """Add to the list of what stays out of version control what is not on it."""
    there = file.read_text(encoding="utf-8") if file.exists() else ""
    lacks = [line for line in wanted.splitlines() if line not in there.splitlines()]
    gap = "" if not there or there.endswith("\n") else "\n"
    file.write_text(there + gap + "".join(f"{line}\n" for line in lacks), encoding="utf-8")


def _settings(said: dict[str, Any], file: Path) -> Settings:
    unknown = [str(name) for name in said if name not in Settings.model_fields]
    if unknown:
        hint = did_you_mean(unknown[0], Settings.model_fields)
        raise DataError(f"no setting {unknown[0]!r}", where=str(file), next=hint)
    try:
        return Settings(**said)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{place}: {first['msg'].lower()}", where=str(file)) from error
