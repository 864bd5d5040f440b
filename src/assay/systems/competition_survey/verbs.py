"""``assay survey``: ask the participants of competitions, check what they said, report it."""

import csv
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from assay.systems.competition_survey import verbs_answers, verbs_report

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Ask the participants of competitions, check their answers, report the practice.",
)

app.command("import")(verbs_answers.take_in)
app.command()(verbs_answers.check)
app.command()(verbs_answers.export)
app.command()(verbs_report.analyse)
app.command()(verbs_report.report)

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The survey's folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value.")]
PublicOption = Annotated[
    str | None,
    typer.Option(
        "--public", metavar="URL", help="What people open, such as https://survey.example.org."
    ),
]


@app.command()
def init(
    folder: Folder,
    title: Annotated[str, typer.Option(help="What people read first.")] = "How did you take part?",
    mode: Annotated[
        str, typer.Option(help="closed: one link for each invited team; open: a public address.")
    ] = "closed",
) -> None:
    """Make a survey: its settings, its questions, and a table of competitions to fill in."""
    from assay.systems.competition_survey.settings import make_survey

    files = make_survey(folder, title=title, mode=mode)
    typer.echo(f"{folder} holds a survey. Next:")
    for name, what in files.items():
        typer.echo(f"  {name:<18} {what}")
    next_ = "tokens" if mode == "closed" else "serve"
    typer.echo(f"Then: assay survey {next_} {folder}")


@app.command()
def tokens(
    folder: Folder,
    public: PublicOption = None,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the server.")] = 8100,
    renew: Annotated[
        str | None, typer.Option(metavar="TEAM", help="A new link for one team; its old one ends.")
    ] = None,
    competition: Annotated[
        str, typer.Option(metavar="NAME", help="Only for the teams of this competition.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Print one link for each team that has none; only their digests are kept."""
    from assay.parts.web.serving import address_of
    from assay.systems.competition_survey.handing_on import plain
    from assay.systems.competition_survey.inviting import invite
    from assay.systems.competition_survey.settings import survey_folder

    survey, address = survey_folder(folder), address_of(port, public)
    links = invite(survey, address.url, renew, competition)
    if as_json:
        typer.echo(json.dumps([link._asdict() for link in links], ensure_ascii=False))
        return
    written = csv.writer(sys.stdout, lineterminator="\n")
    if links:
        written.writerow(links[0]._fields)
    written.writerows(map(plain, link) for link in links)
    said = "Shown this once; --renew TEAM makes another." if links else "Every team has its link."
    typer.echo(f"{len(links)} links. {said}", err=True)


@app.command()
def serve(
    folder: Folder,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 for any that is free.")] = 8100,
    host: Annotated[str, typer.Option(help="Interface; this computer alone.")] = "127.0.0.1",
    public: PublicOption = None,
) -> None:
    """Serve the form until Ctrl-C."""
    from assay.parts.web import serving
    from assay.parts.web.policy import new_token
    from assay.systems.competition_survey.desk import open_desk
    from assay.systems.competition_survey.form import behind_the_gate
    from assay.systems.competition_survey.settings import survey_folder

    survey, access = survey_folder(folder), new_token()
    with serving.listen(host, port, public) as bound:
        port = bound.getsockname()[1]
        address = serving.address_of(port, public)
        desk = open_desk(survey, address.url)
        gate = behind_the_gate(desk, address, port, secret=survey.secret(), access=access)
        typer.echo(f"The survey:  {address.url}")
        typer.echo(f"For you:     {address.url}/organiser?access={access}")
        typer.echo("Answers are saved as they come. Ctrl-C stops.")
        sys.stdout.flush()
        serving.serve(gate, bound, proxied=address.proxied)
    typer.echo("Stopped; every answer that was acknowledged is kept.")


@app.command()
def people(
    folder: Folder,
    forget: Annotated[
        str | None, typer.Option(metavar="EMAIL", help="Delete this person's name and address.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print who left a name, apart from any answer; or delete somebody."""
    from assay.errors import UsageError
    from assay.systems.competition_survey.handing_on import plain
    from assay.systems.competition_survey.people import People, Person
    from assay.systems.competition_survey.settings import survey_folder

    database = survey_folder(folder).open()
    known = People(database)
    gone = known.forget(forget) if forget else False
    found = known.all()
    database.close()
    if forget:
        if not gone:
            raise UsageError(f"nobody left {forget!r}", where=str(folder))
        typer.echo("Deleted.")
    elif as_json:
        typer.echo(json.dumps([person._asdict() for person in found], ensure_ascii=False))
    else:
        written = csv.writer(sys.stdout, lineterminator="\n")
        written.writerow(Person._fields)
        written.writerows(map(plain, person) for person in found)
