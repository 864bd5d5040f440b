"""Decisions: what a study varies, and the presets that choose among it.

A choice is a value of one parameter (`sweep`, `span`) or a named patch over one or several steps
(`use`, `assign`). Samplers turn decisions into trials.
"""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.core.component import Component, describe
from assay.core.params import native, short
from assay.core.sampling import Sampler
from assay.core.workflow import Workflow
from assay.errors import WorkflowError

__all__ = [
    "Assign",
    "Choices",
    "Preset",
    "Sampler",
    "Span",
    "Use",
    "assign",
    "span",
    "sweep",
    "use",
]

Label = str | int | float | bool


@dataclass(frozen=True)
class Assign:
    """Give one parameter a value."""

    path: str
    value: Any


@dataclass(frozen=True)
class Use:
    """Put another component at a step, with inputs and parameters of its own."""

    step: str
    component: Component
    values: Mapping[str, Any] = field(default_factory=dict)


Patch = Assign | Use
Choice = tuple[Label, tuple[Patch, ...]]


def assign(path: str, value: Any) -> Assign:
    """A patch that gives the parameter at ``step.parameter`` a value."""
    return Assign(path, native(value))


def use(step: str, component: Callable[..., Any], **values: Any) -> Use:
    """A patch that puts another component at a step; ``values`` are its inputs and parameters."""
    return Use(step, describe(component), {k: native(v) for k, v in values.items()})


def patched(flow: Workflow, patches: Sequence[Patch], values: Mapping[str, Any]) -> Workflow:
    """The workflow of one trial: components first, then ``values``, then the choices' own."""
    uses = [(p.step, p.component, p.values) for p in patches if isinstance(p, Use)]
    chosen = {patch.path: patch.value for patch in patches if isinstance(patch, Assign)}
    return flow.with_components(*uses).with_values({**values, **chosen})


@dataclass(frozen=True)
class Choices:
    """A decision with a list of choices, each a label and its patches."""

    options: tuple[Choice, ...]

    def labels(self) -> list[Label]:
        """The labels in order."""
        return [label for label, _ in self.options]

    def at(self, u: float) -> Choice:
        """The choice at position ``u`` of [0, 1)."""
        return self.options[min(int(u * len(self.options)), len(self.options) - 1)]


@dataclass(frozen=True)
class Span:
    """A decision over a continuous range of one parameter; needs a sampler that draws."""

    path: str
    low: float
    high: float
    log: bool = False

    def at(self, u: float) -> Choice:
        """The value at position ``u`` of [0, 1)."""
        low, high = (math.log(end) if self.log else end for end in (self.low, self.high))
        value = (1 - u) * low + u * high
        value = min(max(math.exp(value) if self.log else value, self.low), self.high)
        return value, (Assign(self.path, value),)


Decision = Choices | Span


def sole_path(decision: Decision) -> str:
    """The parameter that is all a decision varies; nothing if there is more to it."""
    if isinstance(decision, Span):
        return decision.path
    several = [patches for _, patches in decision.options]
    paths = {p.path if isinstance(p, Assign) else "" for patches in several for p in patches}
    return paths.pop() if len(paths) == 1 and all(len(p) == 1 for p in several) else ""


def sweep(path: str, values: Sequence[Any]) -> Choices:
    """A decision over values of one parameter; scalars are their own labels.

    Example:
        >>> sweep("flood.manning", [0.02, 0.05]).labels()
        [0.02, 0.05]
        >>> sweep("net.width", [8, "auto"]).labels()
        ['8', 'auto']
    """
    found = native(values)
    if not isinstance(found, list | tuple | range) or not found:
        raise WorkflowError(f"{found!r} is not a list of values", where=path)
    each = [native(v) for v in found]
    return _choices(
        path, [(v if isinstance(v, Label) else str(v), (Assign(path, v),)) for v in each]
    )


def span(path: str, low: float, high: float, *, log: bool = False) -> Span:
    """A decision over a continuous range, uniform or (``log=True``) uniform in the logarithm."""
    low, high = native(low), native(high)
    numbers = all(type(v) in (int, float) and abs(v) <= sys.float_info.max for v in (low, high))
    if not numbers or not low < high or (log and low <= 0):
        raise WorkflowError(
            f"[{short(low)}, {short(high)}] is not a range",
            where=path,
            accepted="0 < low < high" if log else "low < high",
        )
    return Span(path, float(low), float(high), log)


def as_decision(name: str, given: Any) -> Decision:
    """Read the ways a decision may be written in Python."""
    where = f"decision {name!r}"
    if isinstance(given, Choices | Span):
        return given
    if not isinstance(given, Mapping) or not given:
        raise WorkflowError(
            "is not a decision",
            where=where,
            accepted="sweep(...), span(...) or a dict of named patches",
        )
    options: list[Choice] = []
    for label, patches in given.items():
        several = patches if isinstance(patches, list | tuple) else [patches]
        if not all(isinstance(p, Patch) for p in several):
            raise WorkflowError(
                f"choice {label!r} is not a patch",
                where=where,
                accepted="use(...), assign(...) or a list of them",
            )
        options.append((label, tuple(several)))
    return _choices(where, options)


def _choices(where: str, options: Sequence[Choice]) -> Choices:
    """Choices whose labels can be told apart and stand in one column of a table."""
    for label, _ in options:
        if not isinstance(label, Label):
            raise WorkflowError(
                f"{label!r} is not a label", where=where, accepted="a text or number"
            )
    kinds = {"number" if type(label) in (int, float) else type(label) for label, _ in options}
    if len(kinds) > 1:
        options = [(str(label), patches) for label, patches in options]
    labels = [label for label, _ in options]
    twin = next((label for n, label in enumerate(labels) if label in labels[:n]), None)
    if twin is not None:
        raise WorkflowError(f"two choices are named {twin!r}", where=where)
    return Choices(tuple(options))


@dataclass(frozen=True)
class Preset:
    """A set of overrides and a number of seeds.

    Attributes:
        set: Values by ``step.parameter``.
        seeds: Number of seeds, or the seeds; the study's own if not given.
        only: Labels kept, by decision; all of them if a decision is not named.
        note: What it is for, how long it takes and what to expect, in a sentence or two.
    """

    set: Mapping[str, Any] = field(default_factory=dict)
    seeds: int | Sequence[int] | None = None
    only: Mapping[str, Sequence[Label]] = field(default_factory=dict)
    note: str = ""
