"""Invitations: one link for each team of the organiser's table."""

from typing import NamedTuple

from assay.errors import UsageError, did_you_mean
from assay.systems.competition_survey.answers import read_competitions
from assay.systems.competition_survey.settings import SurveyFolder
from assay.systems.competition_survey.storage import Storage, normalised

__all__ = ["Link", "invite"]


class Link(NamedTuple):
    """An invitation as the organiser sends it."""

    competition: str
    team: str
    link: str


def invite(
    survey: SurveyFolder, address: str, renew: str | None = None, competition: str = ""
) -> list[Link]:
    """A link for each team that has none: for all of them, or nothing is done.

    Args:
        survey: The survey.
        address: What people open, without a slash at its end.
        renew: A team that gets a new link instead, and nobody else.
        competition: Only teams of this one; of all where it is empty.

    Raises:
        UsageError: If the survey is open to all, or there is no such team, or more than one to
            renew.
    """
    if survey.settings.mode == "open":
        raise UsageError("an open survey has no invitations", where=str(survey.path))
    known = read_competitions(survey.competitions)
    names = [one.name for one in known]
    if competition and competition not in names:
        hint = did_you_mean(competition, names)
        raise UsageError(f"no competition {competition!r}", where=str(survey.path), next=hint)
    listed = [
        (one.name, team) for one in known for team in one.teams if competition in ("", one.name)
    ]
    if not listed:
        raise UsageError("no teams", where=str(survey.competitions), accepted="a line for each")
    if renew is not None:
        listed = [_named(listed, renew, str(survey.competitions))]
    database = survey.open()
    try:
        tokens = Storage(database).invite_all(listed, renew=renew is not None)
    finally:
        database.close()
    return [
        Link(*pair, f"{address}/enter?token={token}")
        for pair, token in zip(listed, tokens, strict=True)
        if token
    ]


def _named(listed: list[tuple[str, str]], team: str, where: str) -> tuple[str, str]:
    """The one team of a name."""
    named = [pair for pair in listed if normalised(pair[1]) == normalised(team)]
    if not named:
        hint = did_you_mean(team, {other for _, other in listed})
        raise UsageError(f"no team {team!r}", where=where, next=hint)
    if len(named) > 1:
        places = ", ".join(place for place, _ in named)
        raise UsageError(
            f"{len(named)} teams {team!r}, in {places}", where=where,
            next="Say which with --competition NAME.",
        )  # fmt: skip
    return named[0]
