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


def invite(survey: SurveyFolder, address: str, renew: str | None = None) -> list[Link]:
    """A link for each team that has none.

    Args:
        survey: The survey.
        address: What people open, without a slash at its end.
        renew: A team that gets a new link instead, and nobody else.

    Raises:
        UsageError: If the survey is open to all, or there is no such team.
    """
    if survey.settings.mode == "open":
        raise UsageError("an open survey has no invitations", where=str(survey.path))
    listed = [
        (competition.name, team)
        for competition in read_competitions(survey.competitions)
        for team in competition.teams
    ]
    if not listed:
        raise UsageError("no teams", where=str(survey.competitions), accepted="a line for each")
    if renew is not None:
        named = [pair for pair in listed if normalised(pair[1]) == normalised(renew)]
        if not named:
            hint = did_you_mean(renew, {team for _, team in listed})
            raise UsageError(f"no team {renew!r}", where=str(survey.competitions), next=hint)
        listed = named
    database = survey.open()
    storage = Storage(database)
    made = [
        Link(competition, team, f"{address}/enter?token={token}")
        for competition, team in listed
        if (token := storage.invite(competition, team, renew=renew is not None))
    ]
    database.close()
    return made
