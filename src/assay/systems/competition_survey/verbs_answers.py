"""The verbs about answers: take them in, check them, hand them on."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["check", "export", "take_in"]

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The survey's folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value.")]


def take_in(
    folder: Folder,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, or .jsonl of an export.")],
    competition: Annotated[
        str, typer.Option(metavar="NAME", help="Whose all rows are, without a column for it.")
    ] = "",
    drop: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Leave a column out; repeatable.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Take in answers that were collected elsewhere: all of a file, or nothing of it."""
    from assay.systems.competition_survey import collecting

    taken = collecting.take_in(folder, file, competition=competition, drop=drop or ())
    people, answers = taken.answers
    done = int((people.status == "completed").sum())
    if as_json:
        told = {"respondents": len(people), "completed": done, "answers": len(answers)}
        more = {"dropped": list(taken.dropped), "unsubmitted": taken.unsubmitted}
        typer.echo(json.dumps(told | more, ensure_ascii=False))
        return
    typer.echo(f"{len(people)} respondents, {done} of whom submitted; {len(answers)} answers.")
    if taken.dropped:
        typer.echo(f"Not read: {', '.join(taken.dropped)}.")
    if taken.unsubmitted:
        typer.echo(f"{taken.unsubmitted} rows were not submitted; no answer of theirs was taken.")
    typer.echo(f"Then: assay survey check {folder}")


def check(
    folder: Folder,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all findings as CSV.")
    ] = None,
    most: Annotated[int, typer.Option(min=0, help="How many findings to print.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Find what is wrong with the answers, and say whose count. Exit code 1: there are errors."""
    from assay.systems.competition_survey import check as checking
    from assay.systems.competition_survey.collecting import collect
    from assay.systems.competition_survey.handing_on import plain, write_private
    from assay.systems.competition_survey.inclusion import include, read_rules

    survey, instrument, _, answers = collect(folder)
    settings = survey.settings
    rules = read_rules(settings.inclusion, instrument)
    findings = checking.check(instrument, answers, fastest_seconds=settings.fastest_seconds)
    flow = include(instrument, answers, findings, rules).flow
    if to is not None:
        write_private(to, findings.map(plain).to_csv(index=False, lineterminator="\n"))
    if as_json:
        told = {"findings": findings.to_dict("records"), "flow": flow.to_dict("records")}
        typer.echo(json.dumps(told, ensure_ascii=False))
    else:
        for one in findings.head(most).to_dict("records"):
            about = f"  {one['question']}:" if one["question"] else " "
            line = f"{one['severity']:<8}{one['code']:<17}{one['respondent']}{about}"
            typer.echo(f"{line} {one['message']}")
        if len(findings) > most:
            typer.echo(f"... and {len(findings) - most} more; --to FILE writes all of them.")
        counts = Counter(findings.code).most_common()
        said = ", ".join(f"{code} {n}" for code, n in counts)
        typer.echo(f"{len(findings)} findings{': ' if said else ''}{said}.")
        for stage, reason, n in flow.itertuples(index=False, name=None):
            typer.echo(f"{stage:<10}{n:>7}{f'  {reason}' if reason else ''}")
    if (findings.severity == "error").any():
        raise typer.Exit(1)


def export(
    folder: Folder,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to; printed if not given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the answers as JSON lines, one for each respondent, without names and addresses."""
    from assay.errors import UsageError
    from assay.systems.competition_survey.collecting import collect
    from assay.systems.competition_survey.jsonl import to_jsonl, write_jsonl

    if as_json and to is None:
        raise UsageError("the lines are JSON already", where="--json", next="Add --to FILE.")
    answers = collect(folder).answers
    if to is None:
        for line in to_jsonl(answers):
            typer.echo(line)
        return
    write_jsonl(answers, to)
    told = {"respondents": len(answers.respondents), "answers": len(answers.answers)}
    if as_json:
        typer.echo(json.dumps(told | {"file": str(to)}, ensure_ascii=False))
    else:
        typer.echo(f"{told['respondents']} respondents, {told['answers']} answers: {to}")
