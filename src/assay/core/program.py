"""A command-line program as a component: files in, files out, declared by a signature.

    @program("gdaldem slope {dem} {slope:.tif} -s {scale}", version="3.6")
    def slope(dem: File, *, scale: float = 1.0) -> File: ...

A placeholder names an input, a parameter or an output; an output's format is the suffix its file
gets. A single output may have any name that is neither an input nor a parameter; several are the
fields of a NamedTuple of ``File``. The command is an argument list and never passes through a shell.
With ``image=`` it runs in a container whose engine (docker, podman) is on the path.
"""

import functools
import shlex
import shutil
import string
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from assay.core.component import Component, Resources, content_of, describe, is_namedtuple
from assay.core.task import task
from assay.errors import StepError, WorkflowError, did_you_mean

F = TypeVar("F", bound=Callable[..., Any])
TAIL = 400


def program(
    command: str | Sequence[str],
    *,
    version: str = "1",
    image: str = "",
    engine: str = "docker",
    resources: Resources = Resources(),  # noqa: B008 - frozen
    keep: bool = True,
) -> Callable[[F], F]:
    """Declare a command-line program to be a component.

    Args:
        command: The command with its placeholders, as a text (split as a shell would) or a list.
        version: The program's version; raise it when the program changes.
        image: Container image the command runs in.
        engine: The container engine's command.
        resources: What one execution takes from its host.
        keep: False marks a large intermediate.

    Returns:
        A decorator for a function without a body; its signature declares the ports.

    Raises:
        WorkflowError: If a placeholder has no counterpart in the signature, or an output has none
            in the command.
    """
    words = tuple(shlex.split(command) if isinstance(command, str) else command)

    def register(function: F) -> F:
        outputs = _outputs(words, function)

        @functools.wraps(function)
        def call(*inputs: Any, **values: Any) -> Any:
            bound = {**dict(zip(describe(call).inputs, inputs, strict=False)), **values}
            made = describe(call)
            for name, param in made.params.items():
                bound.setdefault(name, param.default)
            return _run(made, words, outputs, bound, image, engine)

        recipe = (*words, image)
        call.__assay__ = Component(  # type: ignore[attr-defined]
            call, version, (), resources, keep, recipe
        )
        return call  # type: ignore[return-value]

    return register


def _placeholders(words: Sequence[str]) -> dict[str, str]:
    """Names in the command with their formats."""
    found: dict[str, str] = {}
    for word in words:
        for _, name, suffix, _ in string.Formatter().parse(word):
            if name:
                found[name] = suffix or found.get(name, "")
    return found


def _outputs(words: Sequence[str], function: Callable[..., Any]) -> dict[str, str]:
    """Suffix by output port."""
    shape = Component(function)
    where = shape.reference
    named = _placeholders(words)
    free = {n: s for n, s in named.items() if n not in shape.inputs and n not in shape.params}
    for name, port in shape.inputs.items():
        if content_of(port.type) is None:
            raise WorkflowError(f"input {name!r} is not a File or Folder", where=where)
    if not is_namedtuple(shape.returns):
        if len(free) != 1:
            raise WorkflowError(
                f"{len(free)} placeholders are neither input nor parameter: {', '.join(free)}",
                where=where,
                accepted="one, the output",
            )
        return free
    for name in free:
        if name not in shape.outputs:
            raise WorkflowError(
                f"placeholder {name!r} is not known",
                where=where,
                next=did_you_mean(name, [*shape.inputs, *shape.params, *shape.outputs]),
            )
    absent = [name for name in shape.outputs if name not in free]
    if absent:
        raise WorkflowError(f"output {absent[0]!r} is not in the command", where=where)
    return free


def _run(
    made: Component,
    words: Sequence[str],
    outputs: Mapping[str, str],
    values: Mapping[str, Any],
    image: str,
    engine: str,
) -> Any:
    folder = task().scratch()
    paths = {name: folder / f"{name}{suffix}" for name, suffix in outputs.items()}
    filled = {**{k: str(v) for k, v in values.items()}, **{k: str(v) for k, v in paths.items()}}
    line = [_fill(word, filled) for word in words]
    if image:
        line = [*_container(made, values, folder, image, engine), *line]
    if shutil.which(line[0]) is None:
        raise StepError(f"no program {line[0]!r} on the path", next="Install it, or correct PATH.")
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    (folder / "output.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-TAIL:]
        raise StepError(f"{line[0]} ended with code {done.returncode}: {said or 'no message'}")
    for name, path in paths.items():
        if not path.exists():
            raise StepError(f"{line[0]} ended well but did not write output {name!r} ({path.name})")
    if is_namedtuple(made.returns):
        return made.returns(**paths)
    return next(iter(paths.values()))


def _fill(word: str, values: Mapping[str, str]) -> str:
    parts = string.Formatter().parse(word)
    return "".join(text + (values[name] if name else "") for text, name, _, _ in parts)


def _container(
    made: Component, values: Mapping[str, Any], folder: Path, image: str, engine: str
) -> list[str]:
    """Arguments that start the image with inputs readable, outputs writable, and no network."""
    mounts = [f"{Path(values[n])}:{Path(values[n])}:ro" for n in made.inputs if values.get(n)]
    mounts.append(f"{folder}:{folder}")
    flags = [word for mount in mounts for word in ("-v", mount)]
    return [engine, "run", "--rm", "--network", "none", "-w", str(folder), *flags, image]
