"""Decisions: what a study varies, and the samplers that choose its trials.

A choice is a value of one parameter (`sweep`, `span`) or a named patch over one or several steps
(`use`, `assign`). Samplers turn decisions into points: every combination (grid), position by
position (zip), or a number of draws (random, Latin hypercube, Sobol).
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from assay.core.component import Component, describe
from assay.core.workflow import Workflow
from assay.errors import WorkflowError, did_you_mean

Label = str | int | float | bool


@dataclass(frozen=True)
class Assign:
    """Give one parameter a value."""

    path: str
    value: Any

    def apply(self, flow: Workflow) -> Workflow:
        """The workflow with the value in place."""
        return flow.with_value(self.path, self.value)


@dataclass(frozen=True)
class Use:
    """Put another component at a step."""

    step: str
    component: Component
    values: Mapping[str, Any] = field(default_factory=dict)

    def apply(self, flow: Workflow) -> Workflow:
        """The workflow with the component in place."""
        return flow.with_component(self.step, self.component, self.values)


Patch = Assign | Use


def assign(path: str, value: Any) -> Assign:
    """A patch that gives the parameter at ``step.parameter`` a value."""
    return Assign(path, value)


def use(step: str, component: Callable[..., Any], **values: Any) -> Use:
    """A patch that puts another component at a step; ``values`` are its inputs and parameters."""
    return Use(step, describe(component), values)


@dataclass(frozen=True)
class Choices:
    """A decision with a list of choices, each a label and its patches."""

    options: tuple[tuple[Label, tuple[Patch, ...]], ...]

    def labels(self) -> list[Label]:
        """The labels in order."""
        return [label for label, _ in self.options]

    def at(self, u: float) -> tuple[Label, tuple[Patch, ...]]:
        """The choice at position ``u`` of [0, 1)."""
        return self.options[min(int(u * len(self.options)), len(self.options) - 1)]


@dataclass(frozen=True)
class Span:
    """A decision over a continuous range of one parameter; needs a sampler that draws."""

    path: str
    low: float
    high: float
    log: bool = False

    def at(self, u: float) -> tuple[Label, tuple[Patch, ...]]:
        """The value at position ``u`` of [0, 1)."""
        if self.log:
            value = math.exp(math.log(self.low) + u * math.log(self.high / self.low))
        else:
            value = self.low + u * (self.high - self.low)
        return value, (Assign(self.path, value),)


Decision = Choices | Span


def sweep(path: str, values: Sequence[Any]) -> Choices:
    """A decision over values of one parameter; scalars are their own labels.

    Example:
        >>> sweep("flood.manning", [0.02, 0.05]).labels()
        [0.02, 0.05]
    """
    if not values:
        raise WorkflowError("has no values", where=path)
    labels = [v if isinstance(v, Label) else str(v) for v in values]
    pairs = zip(labels, values, strict=True)
    return Choices(tuple((label, (Assign(path, value),)) for label, value in pairs))


def span(path: str, low: float, high: float, *, log: bool = False) -> Span:
    """A decision over a continuous range, uniform or (``log=True``) uniform in the logarithm."""
    if not low < high or (log and low <= 0):
        raise WorkflowError(f"[{low}, {high}] is not a range", where=path, accepted="low < high")
    return Span(path, float(low), float(high), log)


def as_decision(name: str, given: Any) -> Decision:
    """Read the ways a decision may be written in Python."""
    if isinstance(given, Choices | Span):
        return given
    if not isinstance(given, Mapping) or not given:
        raise WorkflowError(
            "is not a decision",
            where=f"decision {name!r}",
            accepted="sweep(...), span(...) or a dict of named patches",
        )
    options: list[tuple[Label, tuple[Patch, ...]]] = []
    for label, patches in given.items():
        several = patches if isinstance(patches, list | tuple) else [patches]
        if not all(isinstance(p, Patch) for p in several):
            raise WorkflowError(
                f"choice {label!r} is not a patch",
                where=f"decision {name!r}",
                accepted="use(...), assign(...) or a list of them",
            )
        options.append((label, tuple(several)))
    return Choices(tuple(options))


SamplerKind = Literal["grid", "zip", "random", "lhs", "sobol"]


@dataclass(frozen=True)
class Sampler:
    """How trials are chosen from decisions.

    Attributes:
        kind: ``grid``, ``zip``, ``random``, ``lhs`` (Latin hypercube) or ``sobol``.
        n: Number of points; only for those that draw.
        seed: Seed of the draws.
    """

    kind: SamplerKind = "grid"
    n: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        known = ("grid", "zip", "random", "lhs", "sobol")
        if self.kind not in known:
            raise WorkflowError(f"no sampler {self.kind!r}", next=did_you_mean(self.kind, known))
        if self.kind in ("random", "lhs", "sobol") and self.n < 1:
            raise WorkflowError(
                f"sampler {self.kind!r} needs a number of points", accepted="n >= 1"
            )

    def points(self, decisions: Mapping[str, Decision]) -> Iterator[dict[str, Any]]:
        """Yield one choice per decision, as (label, patches)."""
        if not decisions:
            yield {}
            return
        if self.kind in ("grid", "zip"):
            yield from self._listed(decisions)
            return
        for row in self._unit_cube(len(decisions)):
            pairs = zip(decisions.items(), row, strict=True)
            yield {name: decision.at(float(u)) for (name, decision), u in pairs}

    def _listed(self, decisions: Mapping[str, Decision]) -> Iterator[dict[str, Any]]:
        lists: list[tuple[Any, ...]] = []
        for name, decision in decisions.items():
            if isinstance(decision, Span):
                raise WorkflowError(
                    f"a range cannot be listed by sampler {self.kind!r}",
                    where=f"decision {name!r}",
                    next="Use sampler random, lhs or sobol.",
                )
            lists.append(decision.options)
        if self.kind == "zip" and len({len(options) for options in lists}) > 1:
            sizes = ", ".join(f"{n}: {len(o)}" for n, o in zip(decisions, lists, strict=True))
            raise WorkflowError(f"sampler 'zip' needs lists of equal length ({sizes})")
        combine = zip(*lists, strict=True) if self.kind == "zip" else itertools.product(*lists)
        for row in combine:
            yield dict(zip(decisions, row, strict=True))

    def _unit_cube(self, dimensions: int) -> Any:
        import numpy as np

        rng = np.random.default_rng(self.seed)
        if self.kind == "random":
            return rng.random((self.n, dimensions))
        from scipy.stats import qmc

        if self.kind == "lhs":
            return qmc.LatinHypercube(dimensions, rng=rng).random(self.n)
        sobol = qmc.Sobol(dimensions, scramble=True, rng=rng)
        return sobol.random_base2(math.ceil(math.log2(self.n)))[: self.n]


@dataclass(frozen=True)
class Preset:
    """A set of overrides and a number of seeds.

    Attributes:
        set: Values by ``step.parameter``.
        seeds: Number of seeds; the study's own if not given.
        only: Labels kept, by decision; all of them if a decision is not named.
        note: What it is for, how long it takes and what to expect, in a sentence or two.
    """

    set: Mapping[str, Any] = field(default_factory=dict)
    seeds: int | None = None
    only: Mapping[str, Sequence[Label]] = field(default_factory=dict)
    note: str = ""
