"""The command line. Every verb prints for people, or one JSON value with ``--json``.

Exit codes: 0 done, 1 a trial failed (or the store refused), 2 wrong usage, 130 stopped.
"""

import io
import json
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

import assay
from assay.app.screen import one_line
from assay.errors import AssayError, StepError, StoreError, UsageError, did_you_mean

if TYPE_CHECKING:
    from assay.core.system import System

WRONG_WORDS: type[Exception] = typer.BadParameter.__mro__[1]
"""What the parser raises; newer versions of typer keep the class to themselves."""
STOPPED = 130


class _Verbs(TyperGroup):
    """The built-in verbs and those that installed systems bring.

    A system's verb is listed without importing its application, which is loaded when it is typed.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        return [*self.commands, *sorted(set(_brought()) - set(self.commands))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in self.commands:
            return self.commands[cmd_name]
        system = _brought().get(cmd_name)
        return None if system is None else _stand_in(cmd_name, system)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name not in self.commands and not name.startswith("-"):
            system = _brought().get(name)
            if system is None:
                known = [*self.commands, *_brought()]
                raise UsageError(f"no verb {name!r}", next=did_you_mean(name, known))
            return name, _application(name, system), args[1:]
        return super().resolve_command(ctx, args)


def _brought() -> Mapping[str, "System"]:
    """Verbs that installed systems bring."""
    from assay.core.system import systems

    return {verb: system for system in systems().values() for verb in system.commands}


def _stand_in(name: str, system: "System") -> Any:
    """A line of the help for a verb whose application is not imported."""
    shown = typer.Typer(add_completion=False)
    shown.command(name, help=f"A verb of {system.name}: {system.title}.")(lambda: None)
    return typer.main.get_command(shown)


def _application(name: str, system: "System") -> Any:
    """The application behind a system's verb."""
    from assay.core.system import load

    found = load(system.commands[name], where=system.name, extra=system.extra)
    if not isinstance(found, typer.Typer):
        raise UsageError(
            f"verb {name!r} leads to a {type(found).__name__}",
            where=system.name,
            accepted="a Typer application",
        )
    made = typer.main.get_command(found)
    made.name = name
    return made


app = typer.Typer(
    cls=_Verbs,
    name="assay",
    help=assay.__doc__,
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="DIR",
        file_okay=False,
        help="Folder of the store. Default: $ASSAY_STORE or assay-store.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value.")]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers", min=0, max=1024, help="Processes; 0 runs in this one. Default: the cores."
    ),
]
TargetArgument = Annotated[str, typer.Argument(help="A system, or a study file (.yaml).")]


def _version(value: bool) -> None:
    if value:
        typer.echo(f"assay {assay.__version__}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Build a system from components, vary its decisions, and put its claims to the test."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the systems, their studies and claims."""
    from assay.app.show import list_systems

    list_systems(as_json)


@app.command()
def show(
    target: TargetArgument,
    study: Annotated[str | None, typer.Argument(help="A study; the main one if left out.")] = None,
    yaml: Annotated[bool, typer.Option("--yaml", help="Print the study as a file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a study: its steps, parameters, decisions, claims, presets and expected results."""
    from assay.app.show import show_study

    show_study(target, study, yaml, as_json)


@app.command()
def run(
    target: TargetArgument,
    study: Annotated[str | None, typer.Argument(help="A study; the main one if left out.")] = None,
    preset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="tiny (default for a system), small or paper."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="STEP.PARAM=VALUE", help="Set a parameter. Repeatable."),
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Number of seeds.")] = None,
    workers: WorkersOption = None,
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
def export(
    run: Annotated[
        str, typer.Argument(help="A run's name or its beginning; `last` for the latest.")
    ],
    output: Annotated[str, typer.Argument(help="A step, or one of its outputs as step.output.")],
    to: Annotated[Path, typer.Argument(metavar="PATH", help="Where to; must not exist yet.")],
    trial: Annotated[int, typer.Option(min=0, help="Number of the trial.")] = 0,
    member: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Which member, of a step that has several."),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a value out of the store, for example a trained model."""
    from assay.app.stores import export_value

    export_value(run, output, to, trial, member or [], store, as_json)


@app.command()
def tour(
    store: StoreOption = None, workers: WorkersOption = None, as_json: JsonOption = False
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
    """Check this installation: Python, packages, torch, threads, store, systems."""
    from assay.app.doctor import examine

    raise typer.Exit(examine(store, as_json))


def main(arguments: list[str] | None = None) -> None:
    """Entry point: runs a verb and turns errors into one line and an exit code."""
    _prepare()
    asked = sys.argv[1:] if arguments is None else list(arguments)
    debug, as_json = "--debug" in asked, "--json" in asked
    try:
        code = app([a for a in asked if a != "--debug"], prog_name="assay", standalone_mode=False)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = STOPPED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except typer.Abort:
        code = STOPPED
    except Exception as error:
        if debug:
            traceback.print_exception(error)
        code = _explain(error, as_json)
    if code == STOPPED:
        if as_json:
            typer.echo(json.dumps({"error": "stopped", "kind": "KeyboardInterrupt"}))
        typer.echo("assay: stopped; finished steps are kept, run again to go on", err=True)
    sys.exit(code if isinstance(code, int) else 0)


def _prepare() -> None:
    """Threads, streams, signals and warnings of this process."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # before numpy is imported; steps that want more say so
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w"))
    if threading.current_thread() is threading.main_thread():
        for wish in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(wish, _stop)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a letter shows a ?
    warnings.showwarning = _warn


def _stop(*_: Any) -> None:
    """SIGTERM and SIGHUP end a run as Ctrl-C does."""
    raise KeyboardInterrupt


def _warn(message: Warning | str, *_: Any) -> None:
    """A warning as one line, without the line of code it came from."""
    typer.echo(f"assay: {' '.join(str(message).split())}", err=True)


def _explain(error: Exception, as_json: bool) -> int:
    """Say in one line what went wrong; returns the exit code."""
    known = _reworded(error)
    text = one_line(known)
    if not isinstance(known, AssayError):
        text = f"{text}; this was not foreseen, --debug shows where it arose"
    typer.echo(f"assay: {text}", err=True)
    if as_json:
        with suppress(OSError):  # where standard output is full, the error is about that
            typer.echo(json.dumps({"error": text, "kind": type(known).__name__}))
    failed = isinstance(known, StoreError | StepError) or not isinstance(known, AssayError)
    return 1 if failed else 2


def _reworded(error: Exception) -> Exception:
    """What the parser refuses as an error of ours; any other error as it is."""
    if not isinstance(error, WRONG_WORDS):
        return error
    mistake: Any = error
    path = "assay"
    if mistake.ctx is not None:
        path = mistake.ctx.command_path
        option = getattr(mistake, "option_name", "")
        known = [o for p in mistake.ctx.command.params for o in p.opts if o.startswith("--")]
        if option and option not in known:
            return UsageError(f"no option {option!r}", next=did_you_mean(option, known))
    said = mistake.format_message().rstrip(".")
    return UsageError(said, next=f"`{path} --help` says what is accepted.")


if __name__ == "__main__":
    main()
