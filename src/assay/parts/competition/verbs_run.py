"""``assay challenge run``: a participant's program on the public inputs, within limits."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from assay.parts.competition.runner import Ran

__all__ = ["run"]

HIDDEN = ("truth", "submissions", "received", "store", "queue.sqlite")
"""What a challenge's folder holds that no program may read."""


def run(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The challenge's folder.")],
    outputs: Annotated[
        Path,
        typer.Argument(metavar="OUTPUTS", help="Where the predictions are put; not there yet."),
    ],
    command: Annotated[
        list[str],
        typer.Argument(
            metavar="COMMAND...",
            help="The program and its arguments, after --; {inputs}, {outputs} and {program} stand "
            "for the folders as it finds them.",
        ),
    ],
    program: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A folder with the program.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="Longest it may run; as the challenge says.")
    ] = None,
    memory_gb: Annotated[
        float | None, typer.Option(min=0.01, help="Most memory in use; as the challenge says.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON value.")] = False,
) -> None:
    """Run a program on the public inputs, away from the truth. Exit code 1: it failed."""
    from assay.parts.competition.challenge import read_challenge
    from assay.parts.competition.runner import Limits
    from assay.parts.competition.runner import run as confined

    challenge = read_challenge(folder)
    hidden = [folder / name for name in HIDDEN if (folder / name).exists()]
    limits = Limits(
        seconds=seconds or challenge.limits.seconds,
        memory_bytes=round(memory_gb * 2**30) if memory_gb else challenge.limits.memory_bytes,
        output_bytes=challenge.limits.bytes,
    )
    ran = confined(command, folder / "public", outputs, limits, hidden=hidden, program=program)
    if as_json:
        typer.echo(json.dumps(vars(ran) | {"isolation": list(ran.isolation)}))
    else:
        _tell(ran, folder, outputs)
    if ran.code:
        raise typer.Exit(1)


def _tell(ran: "Ran", folder: Path, outputs: Path) -> None:
    """How it went, in sentences."""
    typer.echo(f"In force: {', '.join(ran.isolation)}.")
    took = f"{ran.seconds:.1f} s and {ran.max_memory_bytes / 2**20:.0f} MiB"
    if ran.code:
        typer.echo(
            f"Failed after {took}: {ran.code}. Nothing was kept. The end of what it printed:"
        )
        typer.echo(ran.tail.rstrip() or "(nothing)")
        return
    typer.echo(f"Done in {took}.")
    typer.echo(f"Then: assay challenge check {folder} {outputs}")
