"""What a workflow is made of: steps, references to their outputs, names and orders."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.core.component import Component
from assay.core.params import native, short
from assay.errors import WorkflowError, did_you_mean


@dataclass(frozen=True)
class Ref:
    """An output of a step; ``port`` is empty for the whole value.

    In a notebook or script it is what ``flow.step`` returns; ``flood.max_depth_m`` names a port.
    An open input of the workflow has no step; it is written ``inputs.name``.
    """

    step: str
    port: str = ""

    def __getattr__(self, port: str) -> "Ref":
        if port.startswith("_"):
            raise AttributeError(port)
        if self.port:
            raise WorkflowError(f"{self} is one output and has no {port!r}")
        return Ref(self.step, port)

    def __str__(self) -> str:
        return f"{self.step or 'inputs'}.{self.port}" if self.port else self.step

    @classmethod
    def parse(cls, text: str) -> "Ref":
        """Read ``step``, ``step.port`` or ``inputs.name``."""
        step, _, port = text.partition(".")
        return cls("" if step == "inputs" else step, port)


Refs = Ref | tuple[Ref, ...]


@dataclass(frozen=True)
class Step:
    """One named step.

    Attributes:
        name: Its name in the workflow.
        component: What stands there.
        inputs: Output or outputs that feed each input.
        params: Values given to parameters, not yet checked.
        over: Values by parameter, one member per position; empty if the step opens no axis.
        each: Whether the step runs once per member.
        min_ok: Members that must succeed before the rest goes on without the failed ones; all of
            them if there are fewer.
    """

    name: str
    component: Component
    inputs: Mapping[str, Refs] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    over: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    each: bool = False
    min_ok: int | None = None

    def refs(self) -> Iterator[tuple[str, Ref]]:
        """Every (input, output) pair that feeds the step."""
        for name, source in self.inputs.items():
            for ref in several(source):
                yield name, ref

    @property
    def size(self) -> int:
        """Members of the axis this step opens; 0 if it opens none."""
        return len(next(iter(self.over.values()))) if self.over else 0


def in_order(feeds: Mapping[str, Iterable[str]], where: str) -> list[str]:
    """Names, each after those that feed it, otherwise in the order given.

    Raises:
        WorkflowError: If names feed each other in a circle.
    """
    done: dict[str, None] = {}
    for first in feeds:
        path = {} if first in done else {first: None}
        while path:
            name = next(reversed(path))
            following = next((n for n in feeds[name] if n in feeds and n not in done), None)
            if following is None:
                done[name] = path.pop(name)
            elif following in path:
                names = list(path)
                circle = " -> ".join([*names[names.index(following) :], following])
                raise WorkflowError(f"steps feed each other in a circle: {circle}", where=where)
            else:
                path[following] = None
    return list(done)


MOST_BYTES = 200
"""Bytes of a name; file systems take 255, and a run's folder has its time in its name too."""


def checked_name(name: str, where: str = "", *, parts: bool = False) -> str:
    """The name, if it can stand in files and on the command line.

    Args:
        name: The name.
        where: For the error.
        parts: Whether it may have parts, as the steps of a nested workflow do.

    Raises:
        WorkflowError: If it cannot.
    """
    words = name.split("/") if parts and isinstance(name, str) else [name]
    for word in words:
        plain = isinstance(word, str) and word.replace("_", "a").replace("-", "a").isalnum()
        if not plain or word == "inputs":
            raise WorkflowError(
                f"{short(name)} is not a name", where=where, accepted="letters, digits, _ and -"
            )
        if len(word.encode()) > MOST_BYTES:
            raise WorkflowError(
                f"{short(name)} is too long", where=where, accepted=f"at most {MOST_BYTES} bytes"
            )
    return name


def groups_of(name: str) -> set[str]:
    """The nested workflows a step's name says it is in.

    Example:
        >>> sorted(groups_of("risk/hazard/flood"))
        ['risk', 'risk/hazard']
    """
    return {name[:at] for at, sign in enumerate(name) if sign == "/"}


def several(source: Refs) -> Sequence[Ref]:
    """One or more outputs as a sequence."""
    return source if isinstance(source, tuple) else (source,)


def members_of(values: Any, where: str) -> tuple[Any, ...]:
    """The members of an axis."""
    found = native(values)
    if not isinstance(found, list | tuple | range) or not found:
        raise WorkflowError(
            f"{short(found)} is not a list of members", where=where, accepted="one value per member"
        )
    return tuple(map(native, found))


def known(names: Iterable[str], accepted: Iterable[str], where: str, what: str) -> None:
    """Refuse a name that is not among the accepted ones.

    Raises:
        WorkflowError: With the nearest accepted name.
    """
    for name in names:
        if name not in accepted:
            raise WorkflowError(
                f"no {what} is named {name!r}", where=where, next=did_you_mean(str(name), accepted)
            )
