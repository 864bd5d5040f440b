"""`assay doctor`: what is wrong with this installation, and how to put it right."""

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import typer

from assay.app.screen import one_line, screen, table, word
from assay.core.run import default_store
from assay.core.store import LAYOUT
from assay.core.system import GROUP, find_system
from assay.core.task import available_cores, threads_alone

State = Literal["ok", "note", "problem"]
BREAK_IMPORTS = ("torchvision", "timm")
"""Where one of these does not match torch, every vision class of transformers fails to import."""


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
        *_vision(),
        _threads(),
        _store(store or default_store()),
        *_systems(),
    ]
    if as_json:
        typer.echo(json.dumps([asdict(f) for f in findings]))
    else:
        screen().print(table(("", ""), [(word(f.state), f"{f.what}: {f.text}") for f in findings]))
    return int(any(f.state == "problem" for f in findings))


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    return Finding("Python", "ok" if good else "problem", f"{version} (3.11 or later is needed)")


def _packages() -> list[Finding]:
    """Every requirement of the package that is not met; those of an extra in one note."""
    from packaging.requirements import Requirement

    missing: list[Finding] = []
    absent: dict[str, list[str]] = {}
    found = 0
    for requirement in importlib.metadata.requires("assay") or []:
        need = Requirement(requirement)
        extra = str(need.marker).partition("extra == ")[2].strip("'\"") if need.marker else ""
        if need.name == "assay" or extra in ("all", "dev"):
            continue
        version = _version(need.name)
        if version is None:
            absent.setdefault(extra, []).append(need.name)
        elif not need.specifier.contains(version, prereleases=True):
            text = f"{version} is installed, {need.specifier} is needed"
            missing.append(Finding(need.name, "problem", text))
        else:
            found += 1
    for extra, names in sorted(absent.items()):
        wanted = f"'assay[{extra}]'" if extra else " ".join(names)
        text = f"{', '.join(names)} not installed; pip install {wanted}"
        missing.append(Finding(extra or "the core", "note" if extra else "problem", text))
    return [Finding("packages", "ok", f"{found} found"), *missing]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _torch() -> Finding:
    """The build of torch, told by its version: importing it would take seconds."""
    version = _version("torch")
    if version is None:
        return Finding("torch", "ok", "not installed; only some systems need it")
    build = {"cpu": "a CPU build", "cu": "a CUDA build", "rocm": "a ROCm build"}
    local = version.partition("+")[2].rstrip("0123456789.")
    return Finding("torch", "ok", f"{version}, {build.get(local, 'the default build')}")


def _vision() -> list[Finding]:
    """Packages that break the imports of others when they do not import themselves."""
    findings: list[Finding] = []
    for name in BREAK_IMPORTS:
        if importlib.util.find_spec(name) is None:
            continue
        probe = subprocess.run(
            [sys.executable, "-c", f"import {name}"], capture_output=True, text=True, check=False
        )
        if probe.returncode:
            reason = (probe.stderr.strip().splitlines() or ["no reason given"])[-1]
            text = f"does not import ({reason}); `pip uninstall {name}`, or install the build "
            findings.append(Finding(name, "problem", f"{text}that belongs to your torch"))
        else:
            findings.append(Finding(name, "ok", "imports"))
    return findings


def _threads() -> Finding:
    cores = available_cores()
    return Finding(
        "threads",
        "ok",
        f"{cores} cores for this process; a step gets those it asks for, or "
        f"{threads_alone()} if nothing can run beside it",
    )


def _store(root: Path) -> Finding:
    """Whether the store, or the folder it would be made in, can be written and read."""
    layout = root / "layout"
    try:
        if layout.is_file() and layout.read_text().strip() != str(LAYOUT):
            return Finding("store", "problem", f"{root} was written by another version of assay")
        folder = next(p for p in (root.absolute(), *root.absolute().parents) if p.exists())
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding("store", "problem", f"{root} cannot be written ({error.strerror})")
    return Finding("store", "ok", f"{root} can be written")


def _systems() -> list[Finding]:
    """Every system by itself, so that one that is broken is named and does not hide the others."""
    findings: list[Finding] = []
    for name in sorted({e.name for e in importlib.metadata.entry_points(group=GROUP)}):
        try:
            studies = find_system(name).studies
            for study in studies:
                find_system(name).study(study)
        except Exception as error:  # whatever its modules raise
            findings.append(Finding(name, "problem", one_line(error)))
        else:
            noun = "study" if len(studies) == 1 else "studies"
            findings.append(Finding(name, "ok", f"{len(studies)} {noun}"))
    return findings
