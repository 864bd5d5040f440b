"""A workflow: named steps, each a component, whose inputs are other steps' outputs.

    flow = Workflow("flood_risk")
    terrain = flow.step("terrain", read_terrain, path="dem.tif")
    storms = flow.each("storm", design_storm, over={"return_period_years": [2, 10, 100]})
    floods = flow.each("flood", inundation, terrain=terrain, rain=storms)
    risk = flow.step("risk", annual_damage, floods=floods, exposure=exposure)

`each` computes one member per value and keeps the members apart; an input declared as a list
gathers them. Names, types and missing inputs are checked when a step is added; a workflow used as
a step of another is copied in under its name (``hazard/flood``).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from assay.core.component import Component, Port, describe, fits, type_name
from assay.errors import WorkflowError, did_you_mean


@dataclass(frozen=True)
class Ref:
    """An output of a step; ``port`` is empty for the whole value.

    In a notebook or script it is what ``flow.step`` returns; ``flood.max_depth_m`` names a port.
    """

    step: str
    port: str = ""

    def __getattr__(self, port: str) -> "Ref":
        if port.startswith("_") or self.port:
            raise AttributeError(port)
        return Ref(self.step, port)

    def __str__(self) -> str:
        return f"{self.step}.{self.port}" if self.port else self.step

    @classmethod
    def parse(cls, text: str) -> "Ref":
        """Read ``step`` or ``step.port``."""
        step, _, port = text.partition(".")
        return cls(step, port)


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
        min_ok: Members that must succeed before the rest goes on without the failed ones.
    """

    name: str
    component: Component
    inputs: Mapping[str, Ref | tuple[Ref, ...]] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    over: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    each: bool = False
    min_ok: int | None = None

    def refs(self) -> Iterator[tuple[str, Ref]]:
        """Every (input, output) pair that feeds the step."""
        for name, source in self.inputs.items():
            for ref in source if isinstance(source, tuple) else (source,):
                yield name, ref

    @property
    def size(self) -> int:
        """Members of the axis this step opens; 0 if it opens none."""
        return len(next(iter(self.over.values()))) if self.over else 0


Source = Ref | Sequence[Ref] | Any


class Workflow:
    """Named steps in the order they were added.

    Args:
        name: Name of the workflow.

    Raises:
        WorkflowError: From every method, when names, types or members do not fit.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.steps: dict[str, Step] = {}
        self.inputs: dict[str, Any] = {}
        self.outputs: dict[str, Ref] = {}

    # -- building -------------------------------------------------------------------------------

    def input(self, name: str, type: Any = Any) -> Ref:
        """Declare an open input, fed where the workflow stands as a step of another."""
        self._new_name(name)
        self.inputs[name] = type
        return Ref("", name)

    def output(self, name: str, source: Ref) -> None:
        """Declare an output, a port of the step the workflow becomes in another."""
        self._produced(source, where=f"output {name!r}")
        self.outputs[name] = source

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
        lists = {k: tuple(v) for k, v in (over or {}).items()}
        if len({len(v) for v in lists.values()}) > 1 or not all(lists.values()):
            sizes = ", ".join(f"{k}: {len(v)}" for k, v in lists.items())
            raise WorkflowError(
                f"the lists of `over` have different lengths or are empty ({sizes})",
                where=f"{self.name}, step {name!r}",
            )
        return self._add(name, describe(use), values, over=lists, each=True, min_ok=min_ok)

    def _add(self, name: str, made: Component, values: Mapping[str, Any], **rest: Any) -> Ref:
        inputs: dict[str, Ref | tuple[Ref, ...]] = {}
        params: dict[str, Any] = {}
        for key, value in values.items():
            refs = _as_refs(value)
            if refs is None:
                params[key] = value
            else:
                inputs[key] = refs
        return self.add(Step(name, made, inputs, params, **rest))

    def add(self, step: Step) -> Ref:
        """Add a step that is already spelt out; what `step`, `each` and files come down to."""
        if step.name in self.steps or "/" not in step.name:  # copied-in steps carry a slash
            self._new_name(step.name)
        self._check(step)
        self.steps[step.name] = step
        return Ref(step.name)

    def _nest(self, name: str, inner: "Workflow", values: Mapping[str, Any]) -> Ref:
        """Copy the steps of ``inner`` in under ``name/``."""
        where = f"{self.name}, step {name!r}"
        self._new_name(name)
        _known(values, inner.inputs, where, "input")
        missing = sorted(set(inner.inputs) - set(values))
        if missing:
            raise WorkflowError(f"input {missing[0]!r} of {inner.name} is not fed", where=where)

        def moved(ref: Ref) -> Ref:
            return values[ref.port] if ref.step == "" else Ref(f"{name}/{ref.step}", ref.port)

        for step in inner.steps.values():
            inputs = {k: _map_refs(v, moved) for k, v in step.inputs.items()}
            self.add(replace(step, name=f"{name}/{step.name}", inputs=inputs))
        ports = {port: moved(ref) for port, ref in inner.outputs.items()}
        return _Nested(name, ports, inner.name)

    # -- changing (always a copy) ---------------------------------------------------------------

    def copy(self) -> "Workflow":
        """A workflow that can be changed without changing this one."""
        twin = Workflow(self.name)
        twin.steps, twin.inputs = dict(self.steps), dict(self.inputs)
        twin.outputs = dict(self.outputs)
        return twin

    def with_value(self, path: str, value: Any) -> "Workflow":
        """A copy in which the parameter at ``step.parameter`` has another value.

        For a parameter an `each` runs over, the value is the new list of members.
        """
        name, parameter = self.locate(path)
        twin, step = self.copy(), self.steps[name]
        if parameter in step.over:
            if not isinstance(value, list | tuple) or not value:
                raise WorkflowError(
                    f"{value!r} is not a list", where=path, accepted="one value per member"
                )
            others = {k: v for k, v in step.over.items() if k != parameter}
            if any(len(v) != len(value) for v in others.values()):
                raise WorkflowError(
                    f"the lists of `over` would have different lengths ({parameter}: {len(value)})",
                    where=path,
                )
            step = replace(step, over={**others, parameter: tuple(value)})
        else:
            step = replace(step, params={**step.params, parameter: value})
        twin.steps[name] = step
        return twin

    def with_component(self, name: str, use: Any, values: Mapping[str, Any]) -> "Workflow":
        """A copy in which another component stands at a step.

        Inputs and parameters that the new component also has are kept; ``values`` adds to them.
        """
        step, made = self._step(name), describe(use)
        given = {k: v for k, v in step.inputs.items() if k in made.inputs}
        params = {k: v for k, v in step.params.items() if k in made.params}
        for key, value in values.items():
            refs = _as_refs(value)
            if refs is None:
                params[key] = value
            else:
                given[key] = refs
        twin = self.copy()
        twin.steps[name] = replace(step, component=made, inputs=given, params=params)
        twin._check(twin.steps[name])
        for other in twin.steps.values():
            twin._check(other)
        return twin

    def locate(self, path: str) -> tuple[str, str]:
        """Split ``step.parameter`` and make sure both exist."""
        name, _, parameter = path.rpartition(".")
        if not name:
            raise WorkflowError(
                f"{path!r} names no parameter",
                accepted="step.parameter",
                next=did_you_mean(path, self.steps) if path not in self.steps else "",
            )
        component = self._step(name).component
        _known([parameter], component.params, name, f"parameter of {component.name}")
        return name, parameter

    # -- asking ---------------------------------------------------------------------------------

    def order(self) -> list[Step]:
        """Steps, every one after those that feed it.

        Raises:
            WorkflowError: If steps feed each other in a circle.
        """
        done: dict[str, Step] = {}
        state: dict[str, int] = {}

        def visit(name: str, path: tuple[str, ...]) -> None:
            if state.get(name) == 2:
                return
            if state.get(name) == 1:
                circle = " -> ".join([*path[path.index(name) :], name])
                raise WorkflowError(f"steps feed each other in a circle: {circle}", where=self.name)
            state[name] = 1
            for _, ref in self._step(name).refs():
                if ref.step:
                    visit(ref.step, (*path, name))
            state[name] = 2
            done[name] = self.steps[name]

        for name in self.steps:
            visit(name, ())
        return list(done.values())

    def axes(self) -> dict[str, tuple[str, ...]]:
        """For each step the axes it runs over, named by the steps that open them."""
        found: dict[str, tuple[str, ...]] = {}
        for step in self.order():
            found[step.name] = self._axes_of(step, found)
        return found

    def _axes_of(self, step: Step, known: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        axes: list[str] = []
        for name, ref in step.refs():
            if not ref.step or step.component.inputs[name].gathers:
                continue
            axes += [a for a in known[ref.step] if a not in axes]
        if axes and not step.each:
            raise WorkflowError(
                f"input from an `each` step ({axes[0]!r}) into a step that runs once",
                where=f"{self.name}, step {step.name!r}",
                next="Use `each`, or declare the input as a list to gather the members.",
            )
        return (*axes, step.name) if step.over else tuple(axes)

    # -- checking -------------------------------------------------------------------------------

    def _new_name(self, name: str) -> None:
        if (
            name in self.steps
            or name in self.inputs
            or any(n.startswith(f"{name}/") for n in self.steps)
        ):
            raise WorkflowError(f"the name {name!r} is taken", where=self.name)
        if not name.replace("_", "a").replace("-", "a").isalnum():
            raise WorkflowError(
                f"{name!r} is not a name", where=self.name, accepted="letters, digits, _ and -"
            )

    def _step(self, name: str) -> Step:
        if name not in self.steps:
            raise WorkflowError(
                f"no step {name!r}", where=self.name, next=did_you_mean(name, self.steps)
            )
        return self.steps[name]

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
        _known((*step.params, *step.over), made.params, where, f"parameter of {made.name}")
        _known(step.inputs, made.inputs, where, f"input of {made.name}")
        for name, port in made.inputs.items():
            if name not in step.inputs and not port.optional:
                raise WorkflowError(f"input {name!r} of {made.name} is not fed", where=where)
        for name, ref in step.refs():
            port = made.inputs[name]
            if isinstance(step.inputs[name], tuple) and not port.gathers:
                raise WorkflowError(f"input {name!r} takes one value, not a list", where=where)
            self._joint(port, self._produced(ref, where), ref, where)
        if (
            step.each
            and not step.over
            and not any(ref.step and not made.inputs[name].gathers for name, ref in step.refs())
        ):
            raise WorkflowError(
                "`each` has neither `over` nor an input from an `each` step", where=where
            )

    def _joint(self, port: Port, produced: Any, ref: Ref, where: str) -> None:
        if not fits(produced, port.type):
            raise WorkflowError(
                f"input {port.name!r} got {ref} ({type_name(produced)})",
                where=where,
                accepted=type_name(port.type),
            )

    def _produced(self, ref: Ref, where: str) -> Any:
        """Type of the value a reference stands for."""
        if ref.step == "":
            _known([ref.port], self.inputs, where, "workflow input")
            return self.inputs[ref.port]
        made = self._step(ref.step).component
        if not ref.port:
            return made.returns
        _known([ref.port], [p for p in made.outputs if p], where, f"output of step {ref.step!r}")
        return made.outputs[ref.port]


class _Nested(Ref):
    """Stands for a workflow used as a step; its ports are the workflow's outputs."""

    def __init__(self, name: str, ports: Mapping[str, Ref], inner: str) -> None:
        super().__init__(name)
        object.__setattr__(self, "_ports", dict(ports))
        object.__setattr__(self, "_inner", inner)

    def __getattr__(self, port: str) -> Ref:
        if port.startswith("_"):
            raise AttributeError(port)
        ports = object.__getattribute__(self, "_ports")
        if port not in ports:
            raise WorkflowError(
                f"workflow {object.__getattribute__(self, '_inner')!r} has no output {port!r}",
                where=f"step {self.step!r}",
                next=did_you_mean(port, ports),
            )
        return ports[port]


def _only(nested: _Nested) -> Ref:
    ports = object.__getattribute__(nested, "_ports")
    if len(ports) != 1:
        raise WorkflowError(
            f"step {nested.step!r} is a workflow with {len(ports)} outputs",
            next=f"Name one of them: {', '.join(ports)}.",
        )
    return next(iter(ports.values()))


def _as_refs(value: Any) -> Ref | tuple[Ref, ...] | None:
    """The outputs a value names, or None if it is a plain value."""
    if isinstance(value, _Nested):
        return _only(value)
    if isinstance(value, Ref):
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(v, Ref) for v in value):
        return tuple(_only(v) if isinstance(v, _Nested) else v for v in value)
    return None


def _map_refs(source: Ref | tuple[Ref, ...], change: Callable[[Ref], Ref]) -> Ref | tuple[Ref, ...]:
    return tuple(map(change, source)) if isinstance(source, tuple) else change(source)


def _known(names: Any, accepted: Any, where: str, what: str) -> None:
    for name in names:
        if name not in accepted:
            raise WorkflowError(
                f"no {what} is named {name!r}", where=where, next=did_you_mean(name, accepted)
            )
