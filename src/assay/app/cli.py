"""The command line. Every verb prints for people, or one JSON value with ``--json``.

Exit codes: 0 done, 1 a trial failed (or the store refused), 2 wrong usage.
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import click
import typer
from typer.core import TyperGroup

import assay
from assay.errors import AssayError, StepError, StoreError, UsageError, did_you_mean

_state = {"debug": False}


class _Verbs(TyperGroup):
    """The built-in verbs, and those that installed systems bring; suggests the nearest one."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        if found is not None:
            return found
        from assay.core.system import load, systems

        for system in systems().values():
            if cmd_name in system.commands:
                app = load(system.commands[cmd_name], where=system.name, extra=system.extra)
                return typer.main.get_command(app)
        return None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise UsageError(f"no verb {args[0]!r}", next=did_you_mean(args[0], self.commands))
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Verbs,
    name="assay",
    help=assay.__doc__,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

StoreOption = Annotated[
    Path | None,
    typer.Option("--store", help="Folder of the store. Default: $ASSAY_STORE or assay-store."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value.")]


def _version(value: bool) -> None:
    if value:
        typer.echo(f"assay {assay.__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Build a system from components, vary its decisions, and put its claims to the test."""
    _state["debug"] = debug


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the systems, their studies and what each finds out."""
    from assay.app.show import list_systems

    list_systems(as_json)


@app.command()
def show(
    target: Annotated[str, typer.Argument(help="A system, or a study file (.yaml).")],
    study: Annotated[str | None, typer.Argument(help="A study of the system.")] = None,
    yaml: Annotated[bool, typer.Option("--yaml", help="Print the study as a file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a study is: its steps, decisions, claims and presets."""
    from assay.app.show import show_study

    show_study(target, study, yaml, as_json)


@app.command()
def run(
    target: Annotated[str, typer.Argument(help="A system, or a study file (.yaml).")],
    study: Annotated[str | None, typer.Argument(help="A study; the main one if left out.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="tiny (default for a system), small or paper.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="STEP.PARAM=VALUE", help="Repeatable.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Number of seeds.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes; 0 runs in this one. Default: the cores.")
    ] = None,
    on: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Dask scheduler, tcp://host:port.")
    ] = None,
    store: StoreOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run, and why; run nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a study and write its report."""
    from assay.app.run import run_study

    code = run_study(
        target,
        study,
        preset=preset,
        settings=set_ or [],
        seeds=seeds,
        workers=workers,
        on=on,
        store=store,
        dry_run=dry_run,
        as_json=as_json,
    )
    raise typer.Exit(code)


@app.command()
def runs(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the runs of a store, the latest first."""
    from assay.app.stores import list_runs

    list_runs(store, as_json)


@app.command()
def report(
    run: Annotated[
        str, typer.Argument(help="A run's name or its beginning; `last` for the latest.")
    ],
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a run's verdicts again and say where its report lies."""
    from assay.app.stores import show_report

    show_report(run, store, as_json)


@app.command()
def tour(
    store: StoreOption = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes; 0 runs in this one.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run every system's main study at tiny: one page of verdicts beside the committed results."""
    from assay.app.tour import run_tour

    raise typer.Exit(run_tour(store, workers, as_json))


@app.command()
def verify(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Check every byte of a store; what is damaged is moved to quarantine."""
    from assay.app.stores import verify_store

    raise typer.Exit(verify_store(store, as_json))


@app.command()
def reindex(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Rebuild a store's index from its files."""
    from assay.app.stores import reindex_store

    reindex_store(store, as_json)


@app.command()
def gc(
    drop: Annotated[
        list[str] | None,
        typer.Option("--drop", metavar="RUN", help="A run to give up. Repeatable."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Delete nothing.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete what no run refers to, and large intermediates."""
    from assay.app.stores import collect_garbage

    collect_garbage(store, drop or [], dry_run, as_json)


@app.command()
def doctor(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Check this installation: Python, packages, torch, threads, store."""
    from assay.app.doctor import examine

    raise typer.Exit(examine(store, as_json))


def main(arguments: list[str] | None = None) -> None:
    """Entry point: runs a verb and turns errors into one line and an exit code."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # before numpy is imported; steps that want more say so
    asked = sys.argv[1:] if arguments is None else arguments
    try:
        app(asked, standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.UsageError as error:
        _fail(_reworded(error), asked, 2)
    except AssayError as error:
        _fail(error, asked, 1 if isinstance(error, StoreError | StepError) else 2)
    except KeyboardInterrupt:
        typer.echo("stopped; finished steps are kept, run again to go on", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


def _reworded(error: click.UsageError) -> UsageError:
    hint = getattr(error, "possibilities", None)
    more = f"Did you mean {hint[0]!r}?" if hint else "Try `assay --help`."
    return UsageError(error.format_message().rstrip("."), next=more)


def _fail(error: AssayError, asked: list[str], code: int) -> None:
    if _state["debug"] or "--debug" in asked:
        raise error
    if "--json" in asked:
        typer.echo(json.dumps({"error": str(error), "kind": type(error).__name__}))
    else:
        typer.echo(f"assay: {error}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
