"""A command-line program as a component: files in, files out, declared by a signature.

    @program("gdaldem slope {dem} {slope:.tif} -s {scale}", version="3.6")
    def slope(dem: File, *, scale: float = 1.0) -> File: ...

A placeholder names an input, a parameter or an output. Behind the colon stands, for an output, the
suffix its file gets and, for a parameter, its format as in an f-string; braces are doubled to stand
for themselves. A single output may have any name that is neither an input nor a parameter; several
are the fields of a NamedTuple of ``File`` and ``Folder``. A word that is nothing but a placeholder
becomes one word per item of a list, and none at all for None.

The command is an argument list and never passes through a shell. With ``image=`` it runs in a
container whose engine (docker, podman) is on the path; name the image by its digest to fix it.
"""

import functools
import inspect
import os
import shlex
import shutil
import string
import subprocess
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from assay.core.annotations import anchored, content_of, is_namedtuple, strip_none
from assay.core.component import Component, Resources
from assay.core.task import task
from assay.errors import StepError, WorkflowError, did_you_mean

F = TypeVar("F", bound=Callable[..., Any])
LOG = "command-output.log"
"""What the program said; no output can have this name, since a port's name has no dash."""


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

    def register(function: F) -> F:
        declared = Component(function)
        words = _words(command, declared.reference)
        made = _Command(words, _outputs(words, declared), declared, image, engine)

        @functools.wraps(function)
        def call(*inputs: Any, **values: Any) -> Any:
            bound = inspect.signature(function).bind(*inputs, **values)
            bound.apply_defaults()
            return made.run(bound.arguments)

        recipe = (*words, image)
        call.__assay__ = Component(  # type: ignore[attr-defined]
            call, version, (), resources, keep, recipe
        )
        return call  # type: ignore[return-value]

    return register


# -- what the signature and the command say of each other -----------------------------------------


def _words(command: str | Sequence[str], where: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(command) if isinstance(command, str) else map(str, command))
    except ValueError as error:
        raise WorkflowError(f"{command!r} cannot be split: {error}", where=where) from error
    if not words:
        raise WorkflowError("the command is empty", where=where)
    return words


def _placeholders(word: str, where: str) -> list[tuple[str, str]]:
    """Names in a word with what stands behind their colon."""
    try:
        parts = list(string.Formatter().parse(word))
    except ValueError as error:
        raise WorkflowError(
            f"{word!r} cannot be read: {error}", where=where, next="Double braces that stay."
        ) from error
    found = [(name, spec or "") for _, name, spec, _ in parts if name is not None]
    changed = any(conversion for *_, conversion in parts)
    for name, spec in found:
        if not name.isidentifier() or changed or "{" in spec:
            raise WorkflowError(
                f"placeholder {{{name}}} is not a name",
                where=where,
                next="Double braces that stay.",
            )
    return found


def _outputs(words: Sequence[str], declared: Component) -> dict[str, str]:
    """Suffix by output, after a look at every placeholder and port."""
    where, free = declared.reference, dict[str, str]()
    for word in words:
        for name, spec in _placeholders(word, where):
            if name in declared.inputs:
                _check_input(name, spec, word, declared)
            elif name in declared.params:
                _check_param(name, word, declared)
            else:
                free[name] = spec or free.get(name, "")
    _check_ports(declared)
    if not is_namedtuple(declared.returns):
        if len(free) != 1:
            raise WorkflowError(
                f"{len(free)} placeholders are neither input nor parameter: {', '.join(free)}",
                where=where,
                accepted="one, the output",
            )
        return free
    for name in free:
        if name not in declared.outputs:
            names = [*declared.inputs, *declared.params, *declared.outputs]
            raise WorkflowError(
                f"placeholder {name!r} is not known", where=where, next=did_you_mean(name, names)
            )
    absent = [name for name in declared.outputs if name not in free]
    if absent:
        raise WorkflowError(f"output {absent[0]!r} is not in the command", where=where)
    return free


def _check_ports(declared: Component) -> None:
    """Inputs and outputs are files and folders; an output is always there."""
    where = declared.reference
    for name, port in declared.inputs.items():
        if content_of(port.type) is None:
            raise WorkflowError(f"input {name!r} is not a File or Folder", where=where)
    for name, kind in declared.outputs.items():
        if content_of(kind) is None or strip_none(kind)[0]:
            said = f"output {name!r}" if name else "the output"
            raise WorkflowError(f"{said} is not a File or Folder", where=where)


def _check_input(name: str, spec: str, word: str, declared: Component) -> None:
    port = declared.inputs[name]
    if spec:
        raise WorkflowError(
            f"input {name!r} has its own suffix and takes no {spec!r}", where=declared.reference
        )
    if (port.gathers or port.optional) and not _alone(word):
        raise WorkflowError(
            f"input {name!r} may be several files or none, and {word!r} is one word",
            where=declared.reference,
            next=f"Let {{{name}}} stand alone.",
        )


def _check_param(name: str, word: str, declared: Component) -> None:
    can_be_none, kind = strip_none(declared.params[name].type)
    if (can_be_none or get_origin(kind) in (list, tuple)) and not _alone(word):
        raise WorkflowError(
            f"parameter {name!r} may be several values or none, and {word!r} is one word",
            where=declared.reference,
            next=f"Let {{{name}}} stand alone.",
        )


def _alone(word: str) -> bool:
    """Whether a word is one placeholder and nothing else."""
    parts = list(string.Formatter().parse(word))
    return len(parts) == 1 and not parts[0][0] and parts[0][1] is not None


# -- running it -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Command:
    words: tuple[str, ...]
    outputs: Mapping[str, str]
    declared: Component
    image: str
    engine: str

    def run(self, values: Mapping[str, Any]) -> Any:
        """Run the program in the step's folder and return the files it wrote."""
        folder = task().scratch()
        paths = {name: folder / f"{name}{suffix}" for name, suffix in self.outputs.items()}
        for path in paths.values():
            _remove(path)  # left by an attempt that was killed
        given = self._given(values)
        filled = {**given, **paths}
        line = [made for word in self.words for made in _fill(word, filled, self.outputs)]
        if self.image:
            line = [*self._container(given, folder), *line]
        _execute(line, folder)
        for path, (name, kind) in zip(paths.values(), self._ports(), strict=True):
            there = path.is_dir() if kind == "folder" else path.is_file()
            if not there:
                said = f"did not write {kind} {name!r} ({path.name})"
                raise StepError(f"{line[0]} ended well but {said}")
        if is_namedtuple(self.declared.returns):
            return self.declared.returns(**paths)
        return next(iter(paths.values()))

    def _given(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values, with whole paths of files, since the program runs in a folder of its own."""
        kinds = typing.get_type_hints(self.declared.function, include_extras=True)
        return {name: _whole(value, kinds[name]) for name, value in values.items()}

    def _ports(self) -> Iterable[tuple[str, str]]:
        kinds = self.declared.outputs
        for name in self.outputs:
            marker = content_of(kinds.get(name, kinds.get("")))
            yield name, marker.kind if marker else "file"

    def _container(self, values: Mapping[str, Any], folder: Path) -> list[str]:
        """Arguments that start the image: files readable, the folder writable, no network."""
        given = [v for value in values.values() for v in _several(value)]
        files = dict.fromkeys(path for path in given if isinstance(path, Path))
        mounts = [*(f"{path}:{path}:ro" for path in files), f"{folder}:{folder}"]
        flags = [word for mount in mounts for word in ("-v", mount)]
        return [
            self.engine,
            "run",
            "--rm",
            "--network",
            "none",
            "-w",
            str(folder),
            *flags,
            self.image,
        ]


def _whole(value: Any, kind: Any) -> Any:
    if isinstance(value, list | tuple):
        item = next(iter(get_args(strip_none(kind)[1])), Any)
        return [_whole(v, item) for v in value]
    is_path = content_of(kind) is not None and value is not None
    return Path(anchored(value, kind, Path.cwd())) if is_path else value


def _several(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def _fill(word: str, values: Mapping[str, Any], outputs: Mapping[str, str]) -> list[str]:
    """The words that a word with placeholders becomes."""
    parts = list(string.Formatter().parse(word))
    if _alone(word):
        (_, name, spec, _) = parts[0]
        value = values[name or ""]
        if value is None:
            return []
        if isinstance(value, list | tuple):
            return [format(each, spec or "") for each in value]
    filled = ""
    for text, name, spec, _ in parts:
        filled += text
        if name is not None:
            filled += str(values[name]) if name in outputs else format(values[name], spec or "")
    return [filled]


def _execute(line: Sequence[str], folder: Path) -> None:
    found = shutil.which(line[0])
    if found is None:
        raise StepError(f"no program {line[0]!r} on the path", next="Install it, or correct PATH.")
    threads = str(task().threads)
    log = folder / LOG
    try:
        with log.open("wb") as said:
            done = subprocess.run(
                [os.path.abspath(found), *line[1:]],
                cwd=folder,
                env={**os.environ, "OMP_NUM_THREADS": threads},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                check=False,
            )
    except OSError as error:
        raise StepError(f"{line[0]} cannot be started ({error.strerror})") from error
    if done.returncode:
        text = log.read_bytes()[-400:].decode("utf-8", "replace").strip()
        raise StepError(f"{line[0]} ended with code {done.returncode}: {text or 'no message'}")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
