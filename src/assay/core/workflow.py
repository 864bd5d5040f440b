"""A workflow: named steps, each a component, whose inputs are other steps' outputs.

    flow = Workflow("flood_risk")
    terrain = flow.step("terrain", read_terrain, path="dem.tif")
    storms = flow.each("storm", design_storm, over={"return_period_years": [2, 10, 100]})
    floods = flow.each("flood", inundation, terrain=terrain, rain=storms)
    risk = flow.step("risk", annual_damage, floods=floods, exposure=exposure)

`each` computes one member per value and keeps the members apart; an input declared as a list
gathers them. Names, types, members and missing inputs are checked when a step is added; a workflow
used as a step of another is copied in under its name (``hazard/flood``).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from assay.core.annotations import fits, type_name
from assay.core.component import Component, Port, describe
from assay.core.params import native
from assay.core.steps import (
    Ref,
    Refs,
    Step,
    checked_name,
    groups_of,
    in_order,
    known,
    members_of,
    several,
)
from assay.errors import WorkflowError, did_you_mean

__all__ = ["Ref", "Step", "Workflow"]

Axes = tuple[str, ...]
Source = Ref | Sequence[Ref] | Any


class Workflow:
    """Named steps in the order they were added.

    Args:
        name: Name of the workflow.

    Raises:
        WorkflowError: From every method, when names, types or members do not fit.
    """

    def __init__(self, name: str) -> None:
        self.name = checked_name(name)
        self.steps: dict[str, Step] = {}
        self.inputs: list[str] = []
        self.outputs: dict[str, Ref] = {}
        self._axes: dict[str, Axes] = {}
        self._groups: set[str] = set()
        self._nested: dict[str, dict[str, Ref]] = {}

    # -- building -------------------------------------------------------------------------------

    def input(self, name: str) -> Ref:
        """Declare an open input, fed and checked where the workflow stands as a step of another."""
        self._new_name(name)
        self.inputs.append(name)
        return Ref("", name)

    def output(self, name: str, source: Ref) -> None:
        """Declare an output, a port of the step the workflow becomes in another."""
        where = f"{self.name}, output {name!r}"
        refs = self._refs(source, where)
        if checked_name(name, where) in self.outputs or not isinstance(refs, Ref):
            taken = "is declared twice" if name in self.outputs else "is not the output of a step"
            raise WorkflowError(taken, where=where)
        self._produced(refs, where)
        self.outputs[name] = refs

    def step(self, name: str, use: "Callable[..., Any] | Workflow", /, **values: Source) -> Ref:
        """Add a step that runs once.

        Args:
            name: Name of the step.
            use: A component, or a workflow.
            **values: Inputs (outputs of earlier steps) and parameters (plain values) by name.

        Returns:
            The step's output; its attributes are its ports.
        """
        if isinstance(use, Workflow):
            return self._nest(name, use, values)
        return self._add(name, describe(use), values)

    def each(
        self,
        name: str,
        use: Callable[..., Any],
        /,
        *,
        over: Mapping[str, Sequence[Any]] | None = None,
        min_ok: int | None = None,
        **values: Source,
    ) -> Ref:
        """Add a step that runs once per member.

        The members are those of the inputs that come from other `each` steps, and those of
        ``over``: lists of equal length, one member per position.

        Args:
            name: Name of the step.
            use: A component.
            over: Values by parameter.
            min_ok: Members that must succeed; all of them if not given.
            **values: Inputs and parameters by name.
        """
        if isinstance(use, Workflow):
            raise WorkflowError(
                "a workflow cannot run once per member",
                where=f"{self.name}, step {name!r}",
                next="Use `each` for the steps inside it.",
            )
        lists = {k: members_of(v, f"{self.name}, step {name!r}") for k, v in (over or {}).items()}
        return self._add(name, describe(use), values, over=lists, each=True, min_ok=min_ok)

    def _add(self, name: str, made: Component, values: Mapping[str, Any], **rest: Any) -> Ref:
        inputs, params = self.split(values, f"{self.name}, step {name!r}")
        return self.add(Step(name, made, inputs, params, **rest))

    def add(self, step: Step) -> Ref:
        """Add a step that is already spelt out; what `step`, `each` and files come down to."""
        self._new_name(step.name)
        where = f"{self.name}, step {step.name!r}"
        inputs = {name: self._refs(source, where) for name, source in step.inputs.items()}
        step = replace(step, inputs=inputs)
        self._check(step)
        axes = self._axes_of(step, self._axes)
        self.steps[step.name], self._axes[step.name] = step, axes
        self._groups |= groups_of(step.name)
        return Ref(step.name)

    def _nest(self, name: str, inner: "Workflow", values: Mapping[str, Any]) -> Ref:
        """Copy the steps of ``inner`` in under ``name/``."""
        where = f"{self.name}, step {name!r}"
        self._new_name(name)
        known(values, inner.inputs, where, f"input of workflow {inner.name!r}")
        fed = {k: self._refs(v, where) for k, v in values.items()}
        for given in inner.inputs:
            if fed.get(given) is None:
                problem = "got a plain value" if given in values else "is not fed"
                raise WorkflowError(
                    f"input {given!r} of workflow {inner.name!r} {problem}",
                    where=where,
                    accepted="the output of a step",
                )

        def moved(source: Refs) -> Refs:
            refs: list[Ref] = []
            for ref in several(source):
                inside = Ref(f"{name}/{ref.step}", ref.port)
                refs += [inside] if ref.step else several(fed[ref.port])
            return tuple(refs) if isinstance(source, tuple) or len(refs) > 1 else refs[0]

        twin = self.copy()
        for step in inner.steps.values():
            inputs = {k: moved(v) for k, v in step.inputs.items()}
            twin.add(replace(step, name=f"{name}/{step.name}", inputs=inputs))
        outputs = {port: moved(ref) for port, ref in inner.outputs.items()}
        twin._nested[name] = {port: ref for port, ref in outputs.items() if isinstance(ref, Ref)}
        self.__dict__.update(twin.__dict__)  # all of its steps or, after an error, none
        return Ref(name)

    # -- changing (always a copy) ---------------------------------------------------------------

    def copy(self) -> "Workflow":
        """A workflow that can be changed without changing this one."""
        twin = Workflow(self.name)
        for name, value in vars(self).items():
            setattr(twin, name, value.copy() if isinstance(value, dict | list | set) else value)
        return twin

    def with_value(self, path: str, value: Any) -> "Workflow":
        """A copy in which the parameter at ``step.parameter`` has another value."""
        return self.with_values({path: value})

    def with_values(self, values: Mapping[str, Any]) -> "Workflow":
        """A copy in which the parameters at ``step.parameter`` have other values.

        For a parameter an `each` runs over, the value is the new list of members.
        """
        twin = self.copy()
        for path, value in values.items():
            name, parameter = self.locate(path)
            step = twin.steps[name]
            if parameter in step.over:
                step = replace(step, over={**step.over, parameter: members_of(value, path)})
            else:
                step = replace(step, params={**step.params, parameter: native(value)})
            twin.steps[name] = step
        for path in values:
            twin._check_members(twin.steps[self.locate(path)[0]])
        return twin

    def with_components(self, *exchanges: tuple[str, Any, Mapping[str, Any]]) -> "Workflow":
        """A copy in which other components stand at some steps.

        They are checked when all are exchanged, since one may give what only another takes.

        Args:
            *exchanges: Step, component, and the inputs and parameters to add to those that the new
                component shares with the old one.
        """
        twin = self.copy()
        for name, use, values in exchanges:
            step, made = twin._step(name), describe(use)
            inputs, params = self.split(values, f"{self.name}, step {name!r}")
            kept = {k: v for k, v in step.inputs.items() if k in made.inputs}
            same = {k: v for k, v in step.params.items() if k in made.params}
            twin.steps[name] = replace(
                step, component=made, inputs=kept | inputs, params=same | params
            )
        twin._axes = {}
        for each in twin.order() if exchanges else ():
            twin._check(each)
            twin._axes[each.name] = twin._axes_of(each, twin._axes)
        return twin if exchanges else self

    def locate(self, path: str) -> tuple[str, str]:
        """Split ``step.parameter`` and make sure both exist."""
        name, _, parameter = path.partition(".")
        if not parameter:
            raise WorkflowError(
                f"{path!r} names no parameter",
                accepted="step.parameter",
                next="" if name in self.steps else did_you_mean(name, self.steps),
            )
        component = self._step(name).component
        known([parameter], component.params, name, f"parameter of {component.name}")
        return name, parameter

    # -- asking ---------------------------------------------------------------------------------

    def order(self) -> list[Step]:
        """Steps, every one after those that feed it.

        Raises:
            WorkflowError: If steps feed each other in a circle.
        """
        feeds = {s.name: [r.step for _, r in s.refs() if r.step] for s in self.steps.values()}
        return [self._step(name) for name in in_order(feeds, self.name)]

    def axes(self) -> dict[str, Axes]:
        """For each step the axes it runs over, named by the steps that open them."""
        return dict(self._axes)

    def resolve(self, ref: Ref, where: str = "") -> Ref:
        """The step's output that a reference to a nested workflow stands for."""
        if ref.step not in self._nested:
            return ref
        ports = self._nested[ref.step]
        if not ref.port and len(ports) == 1:
            return next(iter(ports.values()))
        if not ref.port:
            raise WorkflowError(
                f"step {ref.step!r} is a workflow with {len(ports)} outputs",
                where=where,
                next=f"Name one of them: {', '.join(ports)}." if ports else "Declare one.",
            )
        known([ref.port], ports, where, f"output of workflow {ref.step!r}")
        return ports[ref.port]

    def _axes_of(self, step: Step, axes_of: Mapping[str, Axes]) -> Axes:
        """Axes of a step: those of its inputs, and its own.

        What will feed an open input is not known yet, so inside an `each` it counts as an axis.
        """
        where, axes = f"{self.name}, step {step.name!r}", list[str]()
        for name, ref in step.refs():
            if not step.component.inputs[name].gathers:
                open_axis = (str(ref),) if step.each else ()
                found = axes_of[ref.step] if ref.step else open_axis
                axes += [a for a in found if a not in axes]
        if axes and not step.each:
            raise WorkflowError(
                f"input from an `each` step ({axes[0]!r}) into a step that runs once",
                where=where,
                next="Use `each`, or declare the input as a list to gather the members.",
            )
        if step.each and not (step.over or axes):
            raise WorkflowError(
                "`each` has neither `over` nor an input from an `each` step", where=where
            )
        if step.over:
            axes.append(step.name)
        sizes = [step.size if a == step.name else self._axis_size(a) for a in axes]
        least, most = step.min_ok, math.prod(sizes)
        if least is not None and not (type(least) is int and 1 <= least <= most):
            raise WorkflowError(f"min_ok is {least}", where=where, accepted=f"1 to {most} members")
        return tuple(axes)

    def _axis_size(self, axis: str) -> float:
        return self.steps[axis].size if axis in self.steps else math.inf

    # -- checking -------------------------------------------------------------------------------

    def _new_name(self, name: str) -> None:
        checked_name(name, self.name, parts=True)
        taken = (self.steps, self.inputs, self._nested, self._groups)
        within = (over in names for over in groups_of(name) for names in taken[:2])
        if any(name in names for names in taken) or any(within):
            raise WorkflowError(f"the name {name!r} is taken", where=self.name)

    def _step(self, name: str) -> Step:
        if name not in self.steps:
            names = (*self.steps, *self._nested)
            raise WorkflowError(
                f"no step {name!r}", where=self.name, next=did_you_mean(name, names)
            )
        return self.steps[name]

    def _refs(self, value: Any, where: str) -> Any:
        """The outputs a value names, resolved; None if it is a plain value."""
        if isinstance(value, Ref):
            return self.resolve(value, where)
        if not (isinstance(value, list | tuple) and any(isinstance(v, Ref) for v in value)):
            return None
        if not all(isinstance(v, Ref) for v in value):
            raise WorkflowError("a list mixes outputs of steps and plain values", where=where)
        return tuple(self.resolve(v, where) for v in value)

    def split(
        self, values: Mapping[str, Any], where: str
    ) -> tuple[dict[str, Refs], dict[str, Any]]:
        """Inputs and parameters among the values given to a step."""
        refs = {name: self._refs(value, where) for name, value in values.items()}
        inputs = {name: source for name, source in refs.items() if source is not None}
        return inputs, {n: native(v) for n, v in values.items() if n not in inputs}

    def _check(self, step: Step) -> None:
        """Names, types and completeness of one step."""
        where, made = f"{self.name}, step {step.name!r}", step.component
        for name in (*step.params, *step.over):
            if name in made.inputs:
                raise WorkflowError(
                    f"{name!r} is an input of {made.name} and got a plain value",
                    where=where,
                    accepted="the output of a step",
                )
        for name in step.inputs:
            if name in made.params:
                raise WorkflowError(
                    f"{name!r} is a parameter of {made.name} and got the output of a step",
                    where=where,
                    next="Put it before the `*` to make it an input.",
                )
        known((*step.params, *step.over), made.params, where, f"parameter of {made.name}")
        known(step.inputs, made.inputs, where, f"input of {made.name}")
        self._check_members(step)
        for name, port in made.inputs.items():
            if name not in step.inputs and not port.optional:
                raise WorkflowError(f"input {name!r} of {made.name} is not fed", where=where)
        for name, ref in step.refs():
            port = made.inputs[name]
            if isinstance(step.inputs[name], tuple) and not port.gathers:
                raise WorkflowError(f"input {name!r} takes one value, not a list", where=where)
            self._joint(port, self._produced(ref, where), ref, where)

    def _check_members(self, step: Step) -> None:
        where = f"{self.name}, step {step.name!r}"
        twice = next((name for name in step.over if name in step.params), None)
        if twice:
            raise WorkflowError(f"{twice!r} is given once and in `over`", where=where)
        if len({len(v) for v in step.over.values()}) > 1:
            sizes = ", ".join(f"{k}: {len(v)}" for k, v in step.over.items())
            raise WorkflowError(f"the lists of `over` differ in length ({sizes})", where=where)
        if not step.each and (step.over or step.min_ok is not None):
            raise WorkflowError("`over` and `min_ok` belong to `each`", where=where)

    def _joint(self, port: Port, produced: Any, ref: Ref, where: str) -> None:
        if fits(produced, port.type):
            return
        wanted = type_name(port.type)
        raise WorkflowError(
            f"input {port.name!r} got {ref} ({type_name(produced)})",
            where=where,
            accepted=wanted,
            next=f"It gathers: list[{wanted}] takes one {wanted} of each step or member."
            if port.gathers
            else "",
        )

    def _produced(self, ref: Ref, where: str) -> Any:
        """Type of the value a reference stands for."""
        if ref.step == "":
            known([ref.port], self.inputs, where, "workflow input")
            return Any
        made = self._step(ref.step).component
        if not ref.port:
            return made.returns
        known([ref.port], [p for p in made.outputs if p], where, f"output of step {ref.step!r}")
        return made.outputs[ref.port]
