"""What the pages of one survey share: its questions, its store, its templates and static files."""

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from time import monotonic
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from assay.errors import UsageError
from assay.parts.web.limits import Buckets, Rate
from assay.parts.web.policy import Refused, Visit, visit
from assay.systems.competition_survey.answers import read_competitions
from assay.systems.competition_survey.instrument import Instrument, read_instrument
from assay.systems.competition_survey.people import People
from assay.systems.competition_survey.settings import Settings, SurveyFolder
from assay.systems.competition_survey.storage import Kept, Storage

__all__ = ["STATIC", "STATIC_NAMES", "Caller", "Desk", "caller", "go", "known", "one_line",
           "open_desk"]  # fmt: skip

PACKAGE = __name__.rpartition(".")[0]
STARTS = Rate(per_second=0.5, burst=200)


def _static() -> dict[str, tuple[str, str, bytes]]:
    """Kind to address, media type and bytes; the address changes with the content."""
    found = {}
    for kind, media in (("css", "text/css"), ("js", "text/javascript"), ("svg", "image/svg+xml")):
        content = (files(PACKAGE) / "templates" / f"survey.{kind}").read_bytes()
        name = f"{hashlib.sha256(content).hexdigest()[:16]}.{kind}"
        found[kind] = (f"/static/{name}", f"{media}; charset=utf-8", content)
    return found


STATIC = _static()
STATIC_NAMES = {address.rpartition("/")[2]: (m, c) for address, m, c in STATIC.values()}


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader(PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@dataclass(frozen=True)
class Desk:
    """One survey as its pages see it.

    Attributes:
        settings: The organiser's.
        instrument: The questions.
        competitions: Names to choose from in an open survey.
        storage: Answers.
        people: Names, apart.
        address: What people open, without a slash at its end.
        starts: How many respondents of an open survey one client may begin.
    """

    settings: Settings
    instrument: Instrument
    competitions: tuple[str, ...]
    storage: Storage
    people: People
    address: str
    starts: Buckets = field(default_factory=lambda: Buckets(STARTS, monotonic))


def open_desk(survey: SurveyFolder, address: str) -> Desk:
    """The desk of a survey in a folder.

    Raises:
        DataError: If its questions or its competitions are refused.
        UsageError: If it is open, and there is no competition to choose.
    """
    instrument = read_instrument(survey.instrument)
    competitions = tuple(competition.name for competition in read_competitions(survey.competitions))
    if survey.settings.mode == "open" and not competitions:
        raise UsageError("no competition to choose from", where=str(survey.competitions))
    database = survey.open()
    return Desk(
        survey.settings, instrument, competitions, Storage(database), People(database), address
    )


@dataclass(frozen=True)
class Caller:
    """Who asks for a page, and at which desk."""

    desk: Desk
    visit: Visit
    kept: Kept | None

    def page(self, name: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A page from its template."""
        text = (
            _templates()
            .get_template(f"{name}.html")
            .render(
                survey=self.desk.settings,
                static={kind: address for kind, (address, _, _) in STATIC.items()},
                kept=self.kept,
                csrf=self.visit.csrf,
                **values,
            )
        )
        return HTMLResponse(text, status)

    def said(self, name: str) -> str:
        """One field of the form that was sent, without the blanks around it."""
        return one(self.visit.form, name)


def one(form: Mapping[str, list[str]], name: str) -> str:
    """The first value of a field, without the blanks around it; empty if there is none."""
    return form.get(name, [""])[0].strip()


def one_line(text: str) -> bool:
    """Whether a text holds no control character and no break of a line."""
    return not {unicodedata.category(letter) for letter in text} & {"Cc", "Cs", "Zl", "Zp"}


def caller(request: Request) -> Caller:
    """Who asks: told by the session alone."""
    desk, visiting = request.app.state.desk, visit(request.scope)
    return Caller(desk, visiting, desk.storage.behind(visiting.session))


def known(request: Request) -> tuple[Caller, Kept]:
    """Who asks, on pages that are for respondents.

    Raises:
        Refused: Towards the first page, if the session is nobody's.
    """
    asking = caller(request)
    if asking.kept is None:
        raise Refused(403, "Please begin on the first page", "One moment.", refresh="/")
    return asking, asking.kept


def go(address: str) -> RedirectResponse:
    """After a form was taken in: the next page."""
    return RedirectResponse(address, 303)
