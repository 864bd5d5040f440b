"""A component is a typed function that does one job; its signature is its whole declaration.

What stands before the ``*`` are inputs, fed by other steps; what stands after it are parameters.
The decorator only registers: called directly, a component is the plain function.

    @component(version="1")
    def inundation(terrain: Terrain, rain: Hyetograph, *, manning: float = 0.035) -> FloodMaps:
        ...
"""

import importlib
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, TypeVar, get_args, get_origin, overload

from assay.core.annotations import File, Folder, Seed, is_namedtuple, strip_none, type_name
from assay.core.identity import code_digest, digest, library_versions
from assay.core.params import EMPTY, Param, short
from assay.errors import ParameterError, UsageError, WorkflowError, did_you_mean

__all__ = [
    "Component",
    "File",
    "Folder",
    "Param",
    "Port",
    "Resources",
    "Seed",
    "component",
    "describe",
    "find",
    "is_namedtuple",
]

F = TypeVar("F", bound=Callable[..., Any])
REF_NAMES = ("step", "port", "parse")
"""Names that an output cannot have, because the reference to a step has them."""


@dataclass(frozen=True)
class Resources:
    """What one execution of a component takes from its host.

    Attributes:
        cores: Cores, and the threads libraries may start; a step beside which no other can run
            has those of its host.
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
class Component:
    """What the signature of a component says; made by [`component`][assay.component]."""

    function: Callable[..., Any]
    version: str = "1"
    requires: tuple[str, ...] = ()
    resources: Resources = Resources()
    keep: bool = True
    recipe: tuple[str, ...] = ()
    """Command line of an external program, part of the identity."""

    def __post_init__(self) -> None:
        _refuse_unclear(inspect.signature(self.function), self.reference)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel by name where the name leads back here, by value otherwise (a notebook cell)."""
        if self.function.__module__ != "__main__":
            try:
                if find(self.reference).function is self.function:
                    return find, (self.reference,)
            except UsageError:
                pass
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return _by_value, ({**values, "identity": self.identity},)

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
            if p.kind is p.POSITIONAL_OR_KEYWORD:
                can_be_none, rest = strip_none(self._hints[p.name])
                optional = p.default is None
                if optional and not can_be_none:
                    raise WorkflowError(
                        f"the default of input {p.name!r} is None, which its type does not allow",
                        where=self.reference,
                        accepted=f"{type_name(rest)} | None",
                    )
                if (get_origin(rest) or rest) is list:
                    item = (*get_args(rest), Any)[0]
                    ports[p.name] = Port(p.name, item, optional, gathers=True)
                else:
                    ports[p.name] = Port(p.name, self._hints[p.name], optional, gathers=False)
        return ports

    @cached_property
    def params(self) -> dict[str, Param]:
        """Parameters by name."""
        return {
            p.name: Param(p.name, self._hints[p.name], p.default)
            for p in inspect.signature(self.function).parameters.values()
            if p.kind is p.KEYWORD_ONLY
        }

    @property
    def seeds(self) -> list[str]:
        """Names of the parameters that receive a seed."""
        return [p.name for p in self.params.values() if p.is_seed]

    @property
    def returns(self) -> Any:
        """The annotation of the value returned."""
        return self._hints["return"]

    @cached_property
    def outputs(self) -> dict[str, Any]:
        """Output ports by name; a single output has the name ``""``."""
        if not is_namedtuple(self.returns):
            return {"": self.returns}
        ports = typing.get_type_hints(self.returns, include_extras=True)
        for name in REF_NAMES:
            if name in ports:
                raise WorkflowError(f"an output cannot be named {name!r}", where=self.reference)
        return ports

    @cached_property
    def identity(self) -> str:
        """Digest of the code, the version, and the libraries named in ``requires``.

        It is taken once: what is edited later counts when the module is imported anew.
        """
        code = list(self.recipe) if self.recipe else code_digest(self.function)
        return digest([self.name, self.version, code, library_versions(self.requires)])

    def validate(self, values: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Check and convert parameter values; defaults are filled in.

        Args:
            values: Values by parameter name, as Python objects or as YAML gives them.
            where: Name of the step, for the error.

        Raises:
            ParameterError: If a name is unknown, a value is missing or refused, or a path does
                not exist.
        """
        for name in values:
            if name not in self.params:
                hint = did_you_mean(name, self.params)
                if name in self.inputs:
                    hint = "It is an input: feed it from a step."
                raise ParameterError(
                    f"{self.name} has no parameter {name!r}", where=f"{where}.{name}", next=hint
                )
        checked: dict[str, Any] = {}
        for name, param in self.params.items():
            value, place = values.get(name, param.default), f"{where}.{name}"
            if value is EMPTY:
                raise ParameterError(
                    f"{self.name} needs a value", where=place, accepted=type_name(param.type)
                )
            checked[name] = param.check(value, place)
        return checked

    def key_form(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Checked parameters as JSON for the key."""
        return {name: param.form(values[name]) for name, param in self.params.items()}


@overload
def component(function: F, /) -> F: ...


@overload
def component(
    *,
    version: str = ...,
    requires: Sequence[str] = ...,
    resources: Resources = ...,
    keep: bool = ...,
) -> Callable[[F], F]: ...


def component(
    function: Callable[..., Any] | None = None,
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

    Raises:
        WorkflowError: If the signature leaves open what is an input, a parameter or the output.

    Example:
        >>> @component
        ... def double(x: int, *, times: int = 2) -> int:
        ...     return x * times
        >>> double(4)
        8
        >>> list(describe(double).params)
        ['times']
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        made = Component(function, version, tuple(requires), resources, keep)
        function.__assay__ = made  # type: ignore[attr-defined]
        return function

    return register if function is None else register(function)


def _refuse_unclear(signature: inspect.Signature, where: str) -> None:
    """Refuse a signature that does not say what is an input, a parameter or the output."""
    for p in signature.parameters.values():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise WorkflowError(
                f"{p} is neither an input nor a parameter", where=where, accepted="named arguments"
            )
        if p.kind is p.POSITIONAL_ONLY:
            raise WorkflowError(
                f"input {p.name!r} cannot be fed by name", where=where, next="Leave out the `/`."
            )
        if p.annotation is EMPTY:
            raise WorkflowError(f"{p.name!r} has no type annotation", where=where)
        if p.kind is p.POSITIONAL_OR_KEYWORD and not (p.default is EMPTY or p.default is None):
            raise WorkflowError(
                f"input {p.name!r} has the default {short(p.default)}",
                where=where,
                accepted="no default, or None for an input that may be left open",
                next="Put it after a `*` to make it a parameter.",
            )
    if signature.return_annotation is signature.empty:
        raise WorkflowError("the value returned has no type annotation", where=where)


def _by_value(values: dict[str, Any]) -> Component:
    """A component that no name leads to, with the identity it had where its source was.

    The function refers to its component and is not whole yet, so nothing is checked again.
    """
    made = object.__new__(Component)
    made.__dict__.update(values)
    return made


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
    if not (module and name):
        raise UsageError(
            f"{reference!r} names no component", where=where, accepted="module:function"
        )
    place = where or reference
    try:
        target: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UsageError(f"no module {error.name!r}", where=place) from error
    except Exception as error:  # whatever a foreign module does while it is imported
        raise UsageError(f"module {module!r} cannot be imported ({error})", where=place) from error
    for part in name.split("."):
        if not hasattr(target, part):
            known = [n for n, v in vars(target).items() if hasattr(v, "__assay__")]
            raise UsageError(
                f"{module} has no component {part!r}", where=place, next=did_you_mean(part, known)
            )
        target = getattr(target, part)
    return describe(target)
