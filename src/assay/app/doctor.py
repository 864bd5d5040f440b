"""`assay doctor`: what is wrong with this installation, and how to put it right."""

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import typer

from assay.core.run import default_store
from assay.core.system import systems
from assay.core.task import available_cores

State = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    what: str
    state: State
    text: str


def examine(store: Path | None, as_json: bool) -> int:
    """Print all findings; exit code 1 if one is a problem."""
    findings = [
        _python(),
        *_packages(),
        _torch(),
        _torchvision(),
        _threads(),
        _store(store or default_store()),
        *_systems(),
    ]
    bad = any(f.state == "problem" for f in findings)
    if as_json:
        typer.echo(json.dumps([f.__dict__ for f in findings]))
        return int(bad)
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    marks = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("problem", "red")}
    for f in findings:
        word, style = marks[f.state]
        console.print(Text(f"{word:8}", style=style), Text(f"{f.what}: {f.text}"))
    return int(bad)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    return Finding("Python", "ok" if good else "problem", f"{version} (3.11 or later is needed)")


def _packages() -> list[Finding]:
    """Every requirement of the package that is not installed, the optional ones as notes."""
    from packaging.requirements import Requirement

    missing: list[Finding] = []
    found = 0
    for text in importlib.metadata.requires("assay") or []:
        need = Requirement(text)
        extra = str(need.marker).partition("extra == ")[2].strip("'\"") if need.marker else ""
        if need.name == "assay" or extra == "dev":
            continue
        try:
            version = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            state: State = "note" if extra else "problem"
            hint = f"pip install 'assay[{extra}]'" if extra else f"pip install '{need.name}'"
            missing.append(Finding(need.name, state, f"not installed; {hint}"))
            continue
        found += 1
        if not need.specifier.contains(version, prereleases=True):
            text = f"{version} is installed, {need.specifier} is needed"
            missing.append(Finding(need.name, "problem", text))
    return [Finding("packages", "ok", f"{found} found"), *missing]


def _torch() -> Finding:
    if importlib.util.find_spec("torch") is None:
        return Finding("torch", "ok", "not installed; no installed system needs it")
    version = importlib.metadata.version("torch")
    build = "a CPU build" if "+cpu" in version else "its build decides about accelerators"
    return Finding("torch", "ok", f"{version}, {build}")


def _torchvision() -> Finding:
    """A torchvision that does not match torch breaks every vision class of transformers."""
    for name in ("torchvision", "timm"):
        if importlib.util.find_spec(name) is None:
            continue
        probe = subprocess.run(
            [sys.executable, "-c", f"import {name}"], capture_output=True, text=True, check=False
        )
        if probe.returncode:
            reason = (probe.stderr.strip().splitlines() or ["no reason given"])[-1]
            text = f"does not import ({reason}); remove it with `pip uninstall {name}`"
            return Finding(name, "problem", text)
    return Finding("torchvision", "ok", "nothing that breaks imports")


def _threads() -> Finding:
    return Finding("threads", "ok", f"{available_cores()} cores for this process; one per step")


def _store(root: Path) -> Finding:
    """Whether the store, or the folder it would be made in, can be written."""
    folder = next(p for p in (root.absolute(), *root.absolute().parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding("store", "problem", f"{folder} cannot be written ({error.strerror})")
    return Finding("store", "ok", f"{root} can be written")


def _systems() -> list[Finding]:
    findings: list[Finding] = []
    for name, system in systems().items():
        try:
            for study in system.studies:
                system.study(study)
        except Exception as error:
            findings.append(Finding(name, "problem", str(error)))
        else:
            findings.append(Finding(name, "ok", f"{len(system.studies)} studies"))
    return findings
