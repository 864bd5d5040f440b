"""From a study to a graph: every trial's steps and members, each distinct computation once.

Two steps of two trials are the same node when component, parameters, seed and the nodes that feed
them are the same. That identity is known before anything runs; the *key* under which a result is
stored also needs the content of the inputs and is computed when they are there.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.core.component import Component, Resources
from assay.core.identity import digest
from assay.core.records import Records
from assay.core.steps import Ref, Refs, Step, several
from assay.core.workflow import Workflow
from assay.errors import WorkflowError

Index = tuple[int, ...]


@dataclass(frozen=True)
class Source:
    """One output of one node."""

    node: str
    port: str


@dataclass(frozen=True)
class Gather:
    """The members a list input collects, in order, and how many must have succeeded."""

    members: tuple[tuple[Index, Source], ...]
    step: str
    min_ok: int


@dataclass(frozen=True)
class Node:
    """One distinct computation.

    Attributes:
        id: Digest of component, parameters, seed and the nodes that feed it.
        step: Name of the step in the first trial that needs it.
        member: Values of the axes it belongs to, by parameter.
        component: What is called.
        params: Parameters, checked.
        inputs: What feeds each input: one output, or gathered ones.
    """

    id: str
    step: str
    member: Mapping[str, Any]
    component: Component
    params: Mapping[str, Any]
    inputs: Mapping[str, Source | tuple[Gather, ...]]

    @property
    def label(self) -> str:
        """The step with its member, for people."""
        inside = ", ".join(f"{k}={v}" for k, v in self.member.items())
        return f"{self.step}[{inside}]" if inside else self.step

    @property
    def resources(self) -> Resources:
        """What one execution takes."""
        return self.component.resources

    def sources(self) -> list[Source]:
        """Every output that feeds the node."""
        found: list[Source] = []
        for source in self.inputs.values():
            if isinstance(source, Source):
                found.append(source)
            else:
                found += [s for gather in source for _, s in gather.members]
        return found


@dataclass
class Trial:
    """One point of a study: one choice per decision, one seed.

    Attributes:
        number: Position in the study, from 0.
        choices: Label by decision.
        seed: The study's seed.
        nodes: For each step its nodes by member.
    """

    number: int
    choices: Mapping[str, Any]
    seed: int
    nodes: dict[str, dict[Index, str]] = field(default_factory=dict)


@dataclass
class Plan:
    """The graph of a study.

    Attributes:
        nodes: Distinct computations by id, each after those that feed it.
        trials: Trials with their nodes.
        targets: Nodes whose values the study needs: its records and outputs.
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    trials: list[Trial] = field(default_factory=list)
    targets: set[str] = field(default_factory=set)

    def add_trial(self, flow: Workflow, choices: Mapping[str, Any], seed: int) -> Trial:
        """Lay out one trial and share what other trials have."""
        if flow.inputs:
            raise WorkflowError(
                f"input {next(iter(flow.inputs))!r} is open",
                where=flow.name,
                next="Feed it by using the workflow as a step of another.",
            )
        trial = Trial(len(self.trials), dict(choices), seed)
        layout = _Layout(flow, seed, self.nodes)
        wanted = _needed(flow)
        for step in flow.order():
            if step.name in wanted:
                trial.nodes[step.name] = layout.place(step)
        for name in _target_steps(flow):
            self.targets.update(trial.nodes[name].values())
        self.trials.append(trial)
        return trial


def bottlenecks(nodes: Mapping[str, Node]) -> frozenset[str]:
    """Nodes beside which no other can run: every other one comes before them or after them.

    Args:
        nodes: By id, each after those that feed it.
    """
    place = {name: number for number, name in enumerate(nodes)}
    last = len(nodes)
    fed_by = [max((place[s.node] for s in node.sources()), default=-1) for node in nodes.values()]
    feeds = [last] * last
    for number, node in enumerate(nodes.values()):
        for source in node.sources():
            feeds[place[source.node]] = min(feeds[place[source.node]], number)
    # What comes earlier must lead up to the node, what comes later must go on from it.
    led_up = list(itertools.accumulate(feeds, max, initial=0))
    goes_on = list(itertools.accumulate(reversed(fed_by), min, initial=last))[::-1]
    return frozenset(n for n, k in place.items() if led_up[k] <= k <= goes_on[k + 1])


def _target_steps(flow: Workflow) -> list[str]:
    """Steps that measure and steps that are outputs; every last step where there is neither."""
    named = {ref.step for ref in flow.outputs.values()}
    named |= {s.name for s in flow.steps.values() if measures(s.component)}
    if named:
        return [n for n in flow.steps if n in named]
    fed = {ref.step for s in flow.steps.values() for _, ref in s.refs()}
    return [n for n in flow.steps if n not in fed]


def measures(component: Component) -> list[str]:
    """Output ports that hold records."""
    return [port for port, kind in component.outputs.items() if kind is Records]


def _needed(flow: Workflow) -> set[str]:
    """Steps that a target depends on; the others are not run."""
    needed: set[str] = set()
    waiting = _target_steps(flow)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += [ref.step for _, ref in flow.steps[name].refs()]
    return needed


class _Layout:
    """Places the steps of one trial into the shared nodes."""

    def __init__(self, flow: Workflow, seed: int, nodes: dict[str, Node]) -> None:
        self.flow, self.seed, self.nodes = flow, seed, nodes
        self.axes = flow.axes()
        self.placed: dict[str, dict[Index, str]] = {}

    def place(self, step: Step) -> dict[Index, str]:
        """Nodes of a step by member."""
        axes = self.axes[step.name]
        sizes = [range(self.flow.steps[axis].size) for axis in axes]
        made = {index: self._node(step, axes, index) for index in itertools.product(*sizes)}
        self.placed[step.name] = made
        return made

    def _node(self, step: Step, axes: Sequence[str], index: Index) -> str:
        params = self._params(step, axes, index)
        inputs = {
            name: self._input(step, name, source, axes, index)
            for name, source in step.inputs.items()
        }
        shape = {name: _shape(source) for name, source in inputs.items()}
        form = step.component.key_form(params)
        node = digest([step.component.identity, form, shape])
        if node not in self.nodes:
            member = self._member(axes, index)
            self.nodes[node] = Node(node, step.name, member, step.component, params, inputs)
        return node

    def _member(self, axes: Sequence[str], index: Index) -> dict[str, Any]:
        """Values of the axes by parameter, or by ``step.parameter`` where two share a name."""
        member: dict[str, Any] = {}
        for axis, position in zip(axes, index, strict=True):
            for name, values in self.flow.steps[axis].over.items():
                member[f"{axis}.{name}" if name in member else name] = values[position]
        return member

    def _params(self, step: Step, axes: Sequence[str], index: Index) -> dict[str, Any]:
        given = dict(step.params)
        given |= {name: values[index[-1]] for name, values in step.over.items()}
        derived = [name for name in step.component.seeds if name not in given]
        checked = step.component.validate(given | dict.fromkeys(derived, 0), step.name)
        for name in derived:
            checked[name] = derive_seed(self.seed, step.name, self._lasting(axes, index))
        return checked

    def _lasting(self, axes: Sequence[str], index: Index) -> dict[str, Any]:
        """The member in a form that is the same wherever its files lie and however it is spelt."""
        found: dict[str, Any] = {}
        for axis, position in zip(axes, index, strict=True):
            step = self.flow.steps[axis]
            for name, values in step.over.items():
                param = step.component.params[name]
                found[f"{axis}.{name}"] = param.form(param.check(values[position], axis))
        return found

    def _input(
        self, step: Step, name: str, source: Refs, axes: Sequence[str], index: Index
    ) -> Source | tuple[Gather, ...]:
        refs = several(source)
        if step.component.inputs[name].gathers:
            return tuple(self._gather(ref, axes, index) for ref in refs)
        at = dict(zip(axes, index, strict=True))
        own = tuple(at[axis] for axis in self.axes[refs[0].step])
        return Source(self.placed[refs[0].step][own], refs[0].port)

    def _gather(self, ref: Ref, axes: Sequence[str], index: Index) -> Gather:
        """All members of the source that agree with the consumer on the axes both run over."""
        at = dict(zip(axes, index, strict=True))
        own = self.axes[ref.step]
        members: list[tuple[Index, Source]] = []
        for position, node in self.placed[ref.step].items():
            here = dict(zip(own, position, strict=True))
            if all(here[axis] == at[axis] for axis in own if axis in at):
                rest = tuple(here[axis] for axis in own if axis not in at)
                members.append((rest, Source(node, ref.port)))
        least = self.flow.steps[ref.step].min_ok or len(members)
        return Gather(tuple(members), ref.step, min(least, len(members)))


def _shape(source: Source | tuple[Gather, ...]) -> Any:
    if isinstance(source, Source):
        return [source.node, source.port]
    return [[[s.node, s.port] for _, s in gather.members] for gather in source]


def derive_seed(seed: int, step: str, member: Mapping[str, Any]) -> int:
    """Seed of one step: from the study's seed, the step's name and the member, never the choice.

    Compared trials therefore share their random numbers, while members of an `each` have their
    own. The value lies in [0, 2**32), which every library accepts as a seed.
    """
    return int(digest([seed, step, dict(member)])[:8], 16)
