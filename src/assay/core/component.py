"""A component is a typed function that does one job; its signature is its whole declaration.

What stands before the ``*`` are inputs, fed by other steps; what stands after it are parameters.
The decorator only registers: called directly, a component is the plain function.

    @component(version="1")
    def inundation(terrain: Terrain, rain: Hyetograph, *, manning: float = 0.035) -> FloodMaps:
        ...
"""

import importlib
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, TypeVar, Union, get_args, get_origin

from assay.core.identity import code_digest, content_digest, digest, library_versions
from assay.errors import ParameterError, UsageError, WorkflowError, did_you_mean

F = TypeVar("F", bound=Callable[..., Any])

Seed = NewType("Seed", int)
"""A parameter of this type receives a seed derived from the study's seed and the step's name."""


@dataclass(frozen=True)
class Content:
    """Marks a path that counts by what it holds, not by its name."""

    kind: Literal["file", "folder"]


File = Annotated[Path, Content("file")]
"""A path to a file; as a parameter it counts by content."""

Folder = Annotated[Path, Content("folder")]
"""A path to a folder; as a parameter it counts by names and contents."""


@dataclass(frozen=True)
class Resources:
    """What one execution of a component takes from its host.

    Attributes:
        cores: Cores, and the number of threads libraries may start.
        memory_gb: Memory in GiB; 0 where it does not matter.
        gpus: Accelerators.
    """

    cores: int = 1
    memory_gb: float = 0.0
    gpus: int = 0


@dataclass(frozen=True)
class Port:
    """One input: its name and type, whether it may be left open, whether it gathers a list."""

    name: str
    type: Any
    optional: bool
    gathers: bool


@dataclass(frozen=True)
class Param:
    """One parameter: its annotation and its default (``inspect.Parameter.empty`` if required)."""

    name: str
    type: Any
    default: Any

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True)
class Component:
    """What the signature of a component says; made by [`component`][assay.component]."""

    function: Callable[..., Any]
    version: str = "1"
    requires: tuple[str, ...] = ()
    resources: Resources = Resources()
    keep: bool = True
    recipe: tuple[str, ...] = ()
    """Command line of an external program, part of the identity."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel by name where the name leads back here, by value otherwise (a notebook cell)."""
        if self.function.__module__ != "__main__":
            try:
                if find(self.reference).function is self.function:
                    return find, (self.reference,)
            except UsageError:
                pass
        parts = (self.function, self.version, self.requires, self.resources, self.keep)
        return Component, (*parts, self.recipe)

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.__name__

    @property
    def reference(self) -> str:
        """``module:function``, as YAML and manifests write it."""
        return f"{self.function.__module__}:{self.function.__qualname__}"

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @cached_property
    def _hints(self) -> dict[str, Any]:
        try:
            return typing.get_type_hints(self.function, include_extras=True)
        except NameError as error:
            raise WorkflowError(
                f"an annotation cannot be read: {error}",
                where=self.reference,
                next="Import the type at module level.",
            ) from error

    @cached_property
    def inputs(self) -> dict[str, Port]:
        """Inputs by name."""
        ports: dict[str, Port] = {}
        for p in inspect.signature(self.function).parameters.values():
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
                optional, wanted = _strip_none(self._annotation(p.name))
                gathers = get_origin(wanted) is list
                wanted = get_args(wanted)[0] if gathers and get_args(wanted) else wanted
                ports[p.name] = Port(p.name, wanted, optional and p.default is None, gathers)
        return ports

    @cached_property
    def params(self) -> dict[str, Param]:
        """Parameters by name."""
        signature = inspect.signature(self.function)
        return {
            p.name: Param(p.name, self._annotation(p.name), p.default)
            for p in signature.parameters.values()
            if p.kind is p.KEYWORD_ONLY
        }

    def _annotation(self, name: str) -> Any:
        if name not in self._hints:
            raise WorkflowError(f"{name!r} has no type annotation", where=self.reference)
        return self._hints[name]

    @property
    def seeds(self) -> list[str]:
        """Names of the parameters that receive a seed."""
        return [p.name for p in self.params.values() if p.type is Seed]

    @property
    def returns(self) -> Any:
        """The annotation of the value returned."""
        return self._hints.get("return", Any)

    @cached_property
    def outputs(self) -> dict[str, Any]:
        """Output ports by name; a single output has the name ``""``."""
        if is_namedtuple(self.returns):
            return typing.get_type_hints(self.returns, include_extras=True)
        return {"": self.returns}

    @cached_property
    def identity(self) -> str:
        """Digest of the code, the version, and the libraries named in ``requires``."""
        code = list(self.recipe) if self.recipe else code_digest(self.function)
        return digest([self.name, self.version, code, library_versions(self.requires)])

    @cached_property
    def _model(self) -> Any:
        import pydantic

        fields: dict[str, Any] = {
            p.name: (p.type, ... if p.required else p.default) for p in self.params.values()
        }
        config = pydantic.ConfigDict(extra="forbid", validate_default=True, protected_namespaces=())
        return pydantic.create_model(f"{self.name}_parameters", __config__=config, **fields)

    def validate(self, values: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Check and convert parameter values; defaults are filled in.

        Args:
            values: Values by parameter name, as Python objects or as YAML gives them.
            where: Name of the step, for the error.

        Raises:
            ParameterError: If a name is unknown, a value is missing or refused, or a path does
                not exist.
        """
        import pydantic

        for name in values:
            if name not in self.params:
                hint = did_you_mean(name, self.params)
                if name in self.inputs:
                    hint = "It is an input: feed it from a step."
                raise ParameterError(
                    f"{self.name} has no parameter {name!r}", where=f"{where}.{name}", next=hint
                )
        try:
            model = self._model(**values)
        except pydantic.ValidationError as error:
            raise _parameter_error(error, where, self) from None
        checked = {name: getattr(model, name) for name in self.params}
        for name, value in checked.items():
            _require_path(self.params[name].type, value, f"{where}.{name}")
        return checked

    def key_form(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters as JSON for the key: files and folders are replaced by their content."""
        form: dict[str, Any] = self._model.model_construct(**values).model_dump(mode="json")
        for name, param in self.params.items():
            if content_of(param.type) and values[name] is not None:
                form[name] = {"content": content_digest(Path(values[name]))}
        return form


def component(
    function: F | None = None,
    *,
    version: str = "1",
    requires: Sequence[str] = (),
    resources: Resources = Resources(),
    keep: bool = True,
) -> Any:
    """Declare a function to be a component.

    Args:
        function: The function; its signature declares inputs, parameters and outputs.
        version: Raise it when the meaning changes and the code does not show it.
        requires: Libraries whose version changes the result.
        resources: What one execution takes from its host.
        keep: False marks a large intermediate that ``assay gc`` may delete.

    Returns:
        The function itself, unchanged.

    Example:
        >>> @component
        ... def double(x: int, *, times: int = 2) -> int:
        ...     return x * times
        >>> double(4)
        8
        >>> list(describe(double).params)
        ['times']
    """

    def register(function: F) -> F:
        made = Component(function, version, tuple(requires), resources, keep)
        function.__assay__ = made  # type: ignore[attr-defined]
        return function

    return register if function is None else register(function)


def describe(function: Any) -> Component:
    """The declaration behind a component.

    Raises:
        WorkflowError: If the object was not declared with [`component`][assay.component].
    """
    if isinstance(function, Component):
        return function
    made = getattr(function, "__assay__", None)
    if not isinstance(made, Component):
        name = getattr(function, "__name__", repr(function))
        raise WorkflowError(
            f"{name} is not a component", next="Put @component before its definition."
        )
    return made


def find(reference: str, where: str = "") -> Component:
    """Import a component from ``module:function``.

    Raises:
        UsageError: If the module or the function is not there.
    """
    module, _, name = reference.partition(":")
    if not name:
        raise UsageError(
            f"{reference!r} names no component", where=where, accepted="module:function"
        )
    try:
        target: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UsageError(f"no module {error.name!r}", where=where or reference) from error
    for part in name.split("."):
        if not hasattr(target, part):
            known = [n for n, v in vars(target).items() if hasattr(v, "__assay__")]
            raise UsageError(
                f"{module} has no component {part!r}", where=where, next=did_you_mean(part, known)
            )
        target = getattr(target, part)
    return describe(target)


def is_namedtuple(annotation: Any) -> bool:
    """Whether an annotation is a NamedTuple class, whose fields are ports."""
    return (
        isinstance(annotation, type)
        and issubclass(annotation, tuple)
        and hasattr(annotation, "_fields")
    )


def content_of(annotation: Any) -> Content | None:
    """The marker of a ``File`` or ``Folder`` annotation (also when optional)."""
    _, annotation = _strip_none(annotation)
    if get_origin(annotation) is Annotated:
        return next((a for a in get_args(annotation)[1:] if isinstance(a, Content)), None)
    return None


def fits(produced: Any, wanted: Any) -> bool:
    """Whether a value of type ``produced`` may enter a port of type ``wanted``.

    Example:
        >>> fits(int, float), fits(str, int), fits(int, int | None)
        (True, False, True)
    """
    if produced is wanted or Any in (produced, wanted) or wanted is object:
        return True
    if content_of(produced) or content_of(wanted):
        return content_of(produced) == content_of(wanted)
    if isinstance(produced, NewType):
        return not isinstance(wanted, NewType) and fits(produced.__supertype__, wanted)
    produced, wanted = _plain(produced), _plain(wanted)
    if _is_union(wanted):
        return any(fits(produced, each) for each in get_args(wanted))
    if _is_union(produced):
        return all(fits(each, wanted) for each in get_args(produced))
    made, asked = get_origin(produced) or produced, get_origin(wanted) or wanted
    if not (isinstance(made, type) and isinstance(asked, type)):
        return made == asked and get_args(produced) == get_args(wanted)
    if not issubclass(made, asked) and not (made is int and asked is float):
        return False
    have, need = get_args(produced), get_args(wanted)
    return not (have and need) or (
        len(have) == len(need) and all(map(fits, have, need, strict=True))
    )


def type_name(annotation: Any) -> str:
    """An annotation as a reader would write it."""
    marker = content_of(annotation)
    if marker:
        return marker.kind.capitalize()
    if get_origin(annotation) is Annotated:
        return type_name(get_args(annotation)[0])
    if get_origin(annotation) or _is_union(annotation):
        return str(annotation).replace("typing.", "")
    return getattr(annotation, "__name__", str(annotation))


def _plain(annotation: Any) -> Any:
    """An annotation without Annotated and without the shape of an array."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    return getattr(annotation, "array_type", annotation)


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _strip_none(annotation: Any) -> tuple[bool, Any]:
    """(whether None is allowed, the annotation without None)."""
    if not _is_union(annotation) or type(None) not in get_args(annotation):
        return False, annotation
    rest = tuple(a for a in get_args(annotation) if a is not type(None))
    return True, rest[0] if len(rest) == 1 else Union[rest]  # noqa: UP007 - built at run time


def _parameter_error(error: Any, where: str, component: Component) -> ParameterError:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"]) or "?"
    place = f"{where}.{name}"
    if first["type"] == "missing":
        return ParameterError(f"{component.name} needs a value", where=place, next="Set it.")
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if first["msg"].startswith("Value error"):
        return ParameterError(message, where=place)
    return ParameterError(f"{first['input']!r} is refused", where=place, accepted=message)


def _require_path(annotation: Any, value: Any, where: str) -> None:
    marker = content_of(annotation)
    if marker is None or value is None:
        return
    path = Path(value)
    there = path.is_file() if marker.kind == "file" else path.is_dir()
    if not there:
        what = f"no such {marker.kind}" if not path.exists() else f"{path} is not a {marker.kind}"
        raise ParameterError(f"{what}: {path}" if "no such" in what else what, where=where)
