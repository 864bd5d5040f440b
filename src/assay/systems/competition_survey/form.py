"""The form: its pages, section by section, behind the gate.

Who answers is told by the session alone; no address names a respondent. Each section is saved when
it is sent, whatever else is missing, and submitting checks everything once more.

Notable: works without JavaScript. What does not apply is left out here, by the answers themselves;
the script that comes along only hides it earlier.
"""

import re
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from assay.parts.web.application import application
from assay.parts.web.gate import Gate, gate
from assay.parts.web.policy import TOKEN, Policy, Refused, too_fast
from assay.parts.web.serving import Address
from assay.systems.competition_survey.desk import (
    STATIC,
    STATIC_NAMES,
    Caller,
    Desk,
    caller,
    go,
    known,
    one_line,
)
from assay.systems.competition_survey.fields import (
    UNANSWERED,
    UNFINISHED,
    Section,
    applying,
    faults,
    read_section,
    sections,
    submitted,
)
from assay.systems.competition_survey.people import Person
from assay.systems.competition_survey.storage import Kept, normalised
from assay.systems.competition_survey.views import field_of, views

__all__ = ["behind_the_gate", "form"]

OPEN_TO_ALL = frozenset(
    {"", "enter", "leave", "people", "review", "section", "start", "static", "submit", "thanks"}
)
EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s.]+")
router = APIRouter(default_response_class=HTMLResponse)


def form(desk: Desk) -> FastAPI:
    """The application of one survey; to be put behind the gate."""
    app = application(STATIC["css"][0], STATIC["svg"][0])
    app.state.desk = desk
    app.include_router(router)
    return app


def behind_the_gate(desk: Desk, address: Address, port: int, **policy: Any) -> Gate:
    """The form as it is served.

    Args:
        desk: The survey.
        address: What people call it.
        port: Tells the cookies of two surveys on one host apart.
        policy: `secret` and `access`, and what else differs from the usual.
    """
    usual = {
        "hosts": address.hosts,
        "scheme": address.scheme,
        "cookie": f"survey-{port}",
        "open_to_all": OPEN_TO_ALL,
        "stylesheet": STATIC["css"][0],
        "icon": STATIC["svg"][0],
    }
    return gate(form(desk), Policy(**(usual | policy)))


# Coming in


@router.get("/")
def home(request: Request) -> Response:
    """The first page: for a respondent the sections, for anybody else how to begin."""
    asking = caller(request)
    return _welcome(asking) if asking.kept is None else _overview(asking, asking.kept)


@router.get("/enter")
def follow_link(request: Request) -> Response:
    """The link of an invitation: its token becomes a session and leaves the address."""
    return _enter(caller(request), request.query_params.get("token", ""), sent=False)


@router.post("/enter")
def type_code(request: Request) -> Response:
    """The token, typed in."""
    asking = caller(request)
    return _enter(asking, asking.said("token"), sent=True)


def _enter(asking: Caller, token: str, *, sent: bool) -> Response:
    """Answer a token, right or wrong; a link alone never changes who answers in this browser."""
    asking.visit.may_guess()
    respondent = asking.desk.storage.holder(token) if TOKEN.fullmatch(token) else None
    if respondent is None:
        asking.visit.guessed_wrong()
        text = "This link or code is not valid. Please open the latest invitation that you have."
        raise Refused(403, "Not valid", text, ("referrer-policy", "no-referrer"))
    storage = asking.desk.storage
    if asking.kept is not None and asking.kept.respondent != respondent:
        if not sent:
            page = asking.page("switch", to=storage.read(respondent), token=token)
            page.headers["referrer-policy"] = "no-referrer"
            return page
        storage.unbind(asking.visit.session)
    if asking.kept is None or asking.kept.respondent != respondent:
        storage.bind(asking.visit.renew(), respondent)
    # A page and not a redirect: after a link from a mail, a browser would not show its new cookie.
    raise Refused(200, "Welcome", "One moment.", ("referrer-policy", "no-referrer"), refresh="/")


@router.post("/start")
def start(request: Request) -> Response:
    """Begin in an open survey."""
    asking = caller(request)
    desk = asking.desk
    if desk.settings.mode != "open":
        raise Refused(403, "By invitation", "This survey is open to invited teams only.")
    if asking.kept is not None:
        return go("/")
    competition, team = asking.said("competition"), asking.said("team")
    wrong: list[tuple[str, str]] = []
    if competition not in desk.competitions:
        wrong.append(("competition", "Choose your competition"))
    if not normalised(team) or len(team) > 200 or not one_line(team):
        wrong.append(("team", "Type the name of your team"))
    if wrong:
        return _welcome(asking, wrong)
    if wait := desk.starts.take(asking.visit.client):
        raise too_fast(wait)
    respondent = desk.storage.start(competition, team)
    desk.storage.bind(asking.visit.renew(), respondent)
    return go("/section/" + sections(desk.instrument)[0].id)


@router.post("/leave")
def leave(request: Request) -> Response:
    """Forget who sits at this computer; the answers stay."""
    asking = caller(request)
    if asking.kept is not None:
        asking.desk.storage.unbind(asking.visit.session)
    asking.visit.renew()
    return go("/")


# Answering


@router.get("/section/{name}")
def show_section(request: Request, name: str) -> Response:
    """The questions of one section."""
    asking, kept = known(request)
    section = _section(asking.desk, name)
    if not kept.opened:
        asking.desk.storage.open(kept.respondent)
    return _questions(asking, section, kept, {}, kept.draft)


@router.post("/section/{name}")
def save_section(request: Request, name: str) -> Response:
    """Save what is right, and say what is not."""
    asking, kept = known(request)
    desk, section = asking.desk, _section(asking.desk, name)
    given, wrong, typed = read_section(desk.instrument, section, asking.visit.form, kept.draft)
    kept = desk.storage.save(kept.respondent, section.id, given, instrument=desk.instrument.hash)
    names = [s.id for s in sections(desk.instrument)]
    at, way = names.index(section.id), asking.said("go")
    # What is wrong is not saved, so nobody leaves without being told.
    if set(wrong.values()) - {UNANSWERED, UNFINISHED}:
        return _questions(asking, section, kept, wrong, {**kept.draft, **typed}, status=422)
    if way == "later":
        own = desk.settings.mode == "open"
        link = f"{desk.address}/enter?token={desk.storage.link(kept.respondent)}" if own else ""
        return asking.page("later", link=link)
    if way == "back" and at > 0:
        return go(f"/section/{names[at - 1]}")
    if wrong:
        return _questions(asking, section, kept, wrong, {**kept.draft, **typed}, status=422)
    return go(f"/section/{names[at + 1]}" if at + 1 < len(names) else "/review")


def _section(desk: Desk, name: str) -> Section:
    """A section of the instrument; there is no other."""
    found = [section for section in sections(desk.instrument) if section.id == name]
    if not found:
        raise Refused(404, "Not found", "There is no such section.")
    return found[0]


def _questions(
    asking: Caller,
    section: Section,
    kept: Kept,
    wrong: dict[str, str],
    shown: dict[str, Any],
    status: int = 200,
) -> Response:
    """A section as a page; `shown` are the answers, or what was typed where they are wrong."""
    order = [s.id for s in sections(asking.desk.instrument)]
    questions = views(asking.desk.instrument, section, kept.draft, shown, wrong)
    return asking.page(
        "section",
        status,
        section=section,
        questions=questions,
        wrong=[(q["field"], f"{q['text']} — {q['error']}") for q in questions if q["error"]],
        number=order.index(section.id) + 1,
        total=len(order),
    )


# Submitting


@router.get("/review")
def review(request: Request) -> Response:
    """What is still needed, or the button that submits."""
    asking, kept = known(request)
    desk = asking.desk
    found = faults(desk.instrument, kept.draft)
    apply = applying(desk.instrument, kept.draft)
    wrong = [(f"/section/{q.section}#{field_of(q)}", f"{q.text} — {error}") for q, error in found]
    return asking.page(
        "review",
        wrong=wrong,
        sections=_progress(desk, kept),
        answered=sum(q.id in kept.draft for q in apply),
        asked=len(apply),
    )


@router.post("/submit")
def submit(request: Request) -> Response:
    """Hand the answers in: those that apply, once nothing is wrong."""
    asking, kept = known(request)
    desk = asking.desk
    if faults(desk.instrument, kept.draft):
        return go("/review")
    answers = submitted(desk.instrument, kept.draft)
    desk.storage.complete(kept.respondent, answers, instrument=desk.instrument.hash)
    return go("/thanks")


@router.get("/thanks")
def thanks(request: Request) -> Response:
    """After submitting: what happens to the answers, and a place to leave a name."""
    asking, kept = known(request)
    if not kept.completed:
        return go("/")
    return _thanks(asking, left="left" in request.query_params)


@router.post("/people")
def leave_name(request: Request) -> Response:
    """Keep a name, apart from the answers."""
    asking, kept = known(request)
    offers = asking.desk.settings.offers
    if not kept.completed or not offers:
        return go("/")
    name, email = asking.said("name"), asking.said("email")
    wishes = [wish for wish in asking.visit.form.get("wish", []) if wish in offers]
    wrong = []
    if not name or len(name) > 200 or not one_line(name):
        wrong.append(("name", "Type your name"))
    if not EMAIL.fullmatch(email) or len(email) > 254 or not one_line(email):
        wrong.append(("email", "Type your e-mail address, such as name@example.org"))
    if not wishes:
        wrong.append(("wish", "Choose what your name is for"))
    if wrong:
        return _thanks(asking, wrong)
    asking.desk.people.add(Person(name, email, "coauthor" in wishes, "raffle" in wishes))
    return go("/thanks?left")


# Everything else


@router.get("/organiser")
def organiser(request: Request) -> Response:
    """How far the survey is; the gate lets only the organiser in."""
    asking = caller(request)
    return asking.page(
        "organiser",
        totals=asking.desk.storage.totals(),
        duplicates=asking.desk.storage.duplicates(),
        now=f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
    )


@router.get("/static/{name}")
def static(name: str) -> Response:
    """The style sheet or the script, by a name that changes with its content."""
    if name not in STATIC_NAMES:
        raise Refused(404, "Not found", "There is no such file.")
    media, content = STATIC_NAMES[name]
    forever = {"cache-control": "public, max-age=31536000, immutable", "content-type": media}
    return Response(content, headers=forever)


def _welcome(asking: Caller, wrong: list[tuple[str, str]] | None = None) -> Response:
    desk = asking.desk
    parts = sections(desk.instrument)
    return asking.page(
        "welcome",
        422 if wrong else 200,
        count=sum(len(part.questions) for part in parts),
        sections=len(parts),
        minutes=desk.settings.minutes,
        competitions=desk.competitions,
        said={name: asking.said(name)[:200] for name in ("competition", "team")},
        wrong=wrong or [],
        bad=[name for name, _ in wrong or []],
    )


def _overview(asking: Caller, kept: Kept) -> Response:
    progress = _progress(asking.desk, kept)
    to_do = [part["id"] for part in progress if part["state"] != "done"]
    return asking.page(
        "overview",
        sections=progress,
        done=len(progress) - len(to_do),
        ready=not to_do,
        next=to_do[0] if to_do else "",
    )


def _progress(desk: Desk, kept: Kept) -> list[dict[str, Any]]:
    """Each section with its state: `done`, `open` (seen, something is missing) or `new`."""
    missing = [fault.question.section for fault in faults(desk.instrument, kept.draft)]
    apply = [question.section for question in applying(desk.instrument, kept.draft)]
    found = []
    for part in sections(desk.instrument):
        lacks = missing.count(part.id)
        seen = part.id in kept.sections
        state = "new" if not seen else "open" if lacks else "done"
        count = apply.count(part.id)
        found.append(
            {"id": part.id, "title": part.title, "state": state, "missing": lacks, "count": count}
        )
    return found


def _thanks(
    asking: Caller, wrong: list[tuple[str, str]] | None = None, left: bool = False
) -> Response:
    offers = asking.desk.settings.offers
    names = {"coauthor": "Co-authorship", "raffle": "Raffle"}
    said = {name: asking.said(name)[:254] for name in ("name", "email")}
    return asking.page(
        "thanks",
        422 if wrong else 200,
        left=left,
        offered=" and ".join(names[offer] for offer in offers).capitalize(),
        said={**said, "wish": asking.visit.form.get("wish", [])},
        wrong=wrong or [],
        bad=[name for name, _ in wrong or []],
    )
