"""The driver: decides what has to run, sends it to a place, and lives with what goes wrong.

It alone knows the graph. A step is sent when everything that feeds it is there, so its key is known
and a result already in the store is found before anything is computed. A failed step stops what
depends on it and nothing else; a damaged input sends its producer round again.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from assay.core.component import Resources
from assay.core.places import Place, require
from assay.core.plan import Gather, Node, Plan, Source, bottlenecks, measures
from assay.core.store import Artifact, Store
from assay.core.task import Emit
from assay.core.worker import Feed, Outcome, Request, Value, step_key

Status = Literal["waiting", "cached", "running", "done", "shared", "failed", "skipped"]
OK = ("cached", "done", "shared")
ATTEMPTS = 3
"""How often a step is computed again because its value was damaged."""


@dataclass
class State:
    """What is known of a node.

    Attributes:
        status: ``cached`` if the store has its manifest, ``waiting`` before it is sent.
        form: Its parameters as JSON, files by content.
        key: Its key, once its inputs are known.
        artifacts: Its stored outputs by port, once known.
        seconds: Time the component took, if it ran.
        error: One line, if it failed or was skipped.
        trace: Traceback, if the failure was not a user error.
        attempts: How often an input was damaged.
        alone: Whether its process was killed, so that nothing else may run beside it.
    """

    form: Mapping[str, Any]
    status: Status = "waiting"
    key: str = ""
    artifacts: Mapping[str, Artifact] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    trace: str = ""
    attempts: int = 0
    alone: bool = False

    @property
    def ok(self) -> bool:
        """Whether its outputs are known."""
        return self.status in OK

    @property
    def settled(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.ok or self.status in ("failed", "skipped")


class Driver:
    """Runs a plan against a store.

    Args:
        plan: The graph.
        store: Where results are looked up and kept.
        emit: Receives events, in this thread.
    """

    def __init__(self, plan: Plan, store: Store, emit: Emit = lambda event: None) -> None:
        self.plan, self.store, self.emit = plan, store, emit
        self.states = {
            name: State(node.component.key_form(node.params)) for name, node in plan.nodes.items()
        }
        self.demanded: set[str] = set()
        self._consumers: dict[str, list[str]] = defaultdict(list)
        self._taken = Resources(0, 0.0, 0)
        self._bottlenecks = bottlenecks(plan.nodes)
        for name, node in plan.nodes.items():
            for source in dict.fromkeys(s.node for s in node.sources()):
                self._consumers[source].append(name)

    # -- before anything runs -------------------------------------------------------------------

    def resolve(self) -> None:
        """Find what the store has, and demand what the targets still need."""
        for name, node in self.plan.nodes.items():
            if all(self.states[source.node].ok for source in node.sources()):
                self._look_up(name, self._feeds(node) or {})
        for target in self.plan.targets:
            state = self.states[target]
            if not (state.ok and self._present(state) and self._sound(target)):
                self._demand(target)

    def _sound(self, name: str) -> bool:
        """Whether its records, which the run itself will read, are what was written."""
        artifacts = self.states[name].artifacts
        return all(
            self.store.check(artifacts[p]) for p in measures(self.plan.nodes[name].component)
        )

    def _look_up(self, name: str, feeds: Mapping[str, Feed]) -> bool:
        """Compute the key and see whether the step is finished."""
        node, state = self.plan.nodes[name], self.states[name]
        state.key = step_key(node.component, state.form, feeds)
        manifest = self.store.step(state.key)
        if manifest is None:
            return False
        state.status, state.artifacts = "cached", manifest.outputs
        return True

    def _present(self, state: State) -> bool:
        return all(map(self.store.has, state.artifacts.values()))

    def _demand(self, name: str) -> None:
        """Ask for a node to be computed, and for every value it needs to be there."""
        waiting = [name]
        while waiting:
            current = waiting.pop()
            if current in self.demanded:
                continue
            self.demanded.add(current)
            self.states[current].status = "waiting"
            for source in self.plan.nodes[current].sources():
                state = self.states[source.node]
                if not (state.ok and self._present(state)):
                    waiting.append(source.node)

    # -- running --------------------------------------------------------------------------------

    def run(self, open_place: Callable[[], Place]) -> None:
        """Compute everything that is demanded.

        Args:
            open_place: Opens the place of execution; not called when nothing has to run.

        Raises:
            ResourceError: If a step asks for more than any host has; nothing has run then.
        """
        self.resolve()
        self.emit({"kind": "planned", "run": len(self.demanded), "nodes": len(self.states)})
        if not self.demanded:
            return
        place = open_place()
        try:
            for name in self.demanded:
                require(place, self.plan.nodes[name].resources, self.plan.nodes[name].step)
            self._loop(place)
            place.flush()
        finally:
            place.close()

    def _loop(self, place: Place) -> None:
        ready = [name for name in self.plan.nodes if name in self.demanded and self._ready(name)]
        ready.reverse()
        running: dict[str, list[str]] = {}
        while ready or running:
            held: list[str] = []
            while ready:
                name = ready.pop()
                if self.states[name].settled or self.states[name].status == "running":
                    continue
                if running and not self._fits(place, name, running):
                    held.append(name)
                    if self._full(place):
                        break
                    continue
                ready += self._send(place, name, running)
            ready += reversed(held)
            if running:
                key, outcome = place.next()
                names = running.pop(key)
                self._take(self.plan.nodes[names[0]].resources, -1)
                for name in names:
                    ready += self._settle(name, outcome)

    def _send(self, place: Place, name: str, running: dict[str, list[str]]) -> list[str]:
        """Submit a node, or settle it without running; what became ready is returned."""
        node, state = self.plan.nodes[name], self.states[name]
        feeds = self._feeds(node)
        if feeds is None:
            state.error = state.error or self._why_skipped(node)
            return self._finish(name, "skipped")
        if self._look_up(name, feeds) and self._present(state):
            return self._finish(name, "cached")
        state.status = "running"
        if state.key in running:  # the same key reached by two ways
            running[state.key].append(name)
            return []
        running[state.key] = [name]
        self._take(node.resources, +1)
        place.submit(
            Request(
                state.key, node.label, node.component, node.params, state.form, feeds,
                str(self.store.root), self._threads(place, name),
            )
        )  # fmt: skip
        return []

    def _settle(self, name: str, outcome: Outcome) -> list[str]:
        """Record what came of a node that ran; what became ready is returned."""
        state = self.states[name]
        if outcome.status == "damaged" and state.attempts < ATTEMPTS:
            state.attempts += 1
            return self._recompute(name, outcome)
        if outcome.status == "killed" and not state.alone:
            self.emit({"kind": "killed", "step": self.plan.nodes[name].label})
            state.alone, state.status = True, "waiting"
            return [name]
        state.artifacts, state.seconds = outcome.artifacts, outcome.seconds
        state.error, state.trace = outcome.error, outcome.trace
        return self._finish(name, outcome.status if outcome.status in OK else "failed")

    def _recompute(self, name: str, outcome: Outcome) -> list[str]:
        """Compute the producers of a damaged value again, then this node."""
        self.emit({"kind": "damaged", "step": self.plan.nodes[name].label, "error": outcome.error})
        self.demanded.discard(name)
        for source in self.plan.nodes[name].sources():
            state = self.states[source.node]
            if state.settled and not self._present(state):
                self.demanded.discard(source.node)
        self._demand(name)
        return [n for n in self.plan.nodes if n in self.demanded and self._ready(n)]

    def _finish(self, name: str, status: Status) -> list[str]:
        """Note the end of a node and find the nodes that waited for it."""
        node, state = self.plan.nodes[name], self.states[name]
        state.status = status
        self.emit(
            {
                "kind": "step_finished",
                "step": node.label,
                "key": state.key,
                "status": status,
                "seconds": round(state.seconds, 6),
                **({"error": state.error} if state.error else {}),
                **({"trace": state.trace} if state.trace else {}),
            }
        )
        after = self._consumers[name]
        return [n for n in reversed(after) if n in self.demanded and self._ready(n)]

    # -- details --------------------------------------------------------------------------------

    def _ready(self, name: str) -> bool:
        state = self.states[name]
        return state.status == "waiting" and all(
            self.states[s.node].settled for s in self.plan.nodes[name].sources()
        )

    def _feeds(self, node: Node) -> dict[str, Feed] | None:
        """Stored values of the inputs, or None if something that is needed is not there."""
        feeds: dict[str, Feed] = {}
        lost = self._lost(node)
        for name, source in node.inputs.items():
            if isinstance(source, Source):
                if not self.states[source.node].ok:
                    return None
                feeds[name] = self._value(source)
                continue
            gathered: list[Value] = []
            for gather in source:
                kept = [s for index, s in gather.members if (_indices(gather), index) not in lost]
                if not kept or self._succeeded(gather) < gather.min_ok:
                    return None
                gathered += [self._value(s) for s in kept]
            feeds[name] = tuple(gathered)
        return feeds

    def _lost(self, node: Node) -> set[Any]:
        """Members that are missing from some gathered input, and hence left out of all."""
        return {
            (_indices(gather), index)
            for source in node.inputs.values()
            if not isinstance(source, Source)
            for gather in source
            for index, member in gather.members
            if not self.states[member.node].ok
        }

    def _value(self, source: Source) -> Value:
        artifacts = self.states[source.node].artifacts
        chosen = {source.port: artifacts[source.port]} if source.port in artifacts else artifacts
        return Value(self.plan.nodes[source.node].component, source.port, chosen)

    def _why_skipped(self, node: Node) -> str:
        for source in node.inputs.values():
            if isinstance(source, Source) and not self.states[source.node].ok:
                return f"needs {self.plan.nodes[source.node].label}, which did not succeed"
            for gather in () if isinstance(source, Source) else source:
                ok, members = self._succeeded(gather), len(gather.members)
                if ok < gather.min_ok:
                    return (
                        f"{ok} of {members} members of {gather.step!r} succeeded, "
                        f"at least {gather.min_ok} are needed"
                    )
        return "no member succeeded in all inputs"

    def _succeeded(self, gather: Gather) -> int:
        return sum(self.states[source.node].ok for _, source in gather.members)

    def _fits(self, place: Place, name: str, running: Mapping[str, list[str]]) -> bool:
        beside = [name, *(n for names in running.values() for n in names)]
        if any(self.states[n].alone for n in beside):
            return False
        wanted = self.plan.nodes[name].resources
        return all(
            getattr(self._taken, kind) + getattr(wanted, kind) <= getattr(place.capacity, kind)
            for kind in ("cores", "memory_gb", "gpus")
        )

    def _threads(self, place: Place, name: str) -> int:
        """Those a step asks for; those of the host where nothing else could use them.

        They depend on the study and the host alone, not on what else happens to be finished.
        """
        asked = self.plan.nodes[name].resources.cores
        return max(asked, place.threads) if name in self._bottlenecks else asked

    def _full(self, place: Place) -> bool:
        return self._taken.cores >= place.capacity.cores

    def _take(self, wanted: Resources, sign: int) -> None:
        self._taken = Resources(
            self._taken.cores + sign * wanted.cores,
            self._taken.memory_gb + sign * wanted.memory_gb,
            self._taken.gpus + sign * wanted.gpus,
        )


def _indices(gather: Gather) -> tuple[Any, ...]:
    return tuple(index for index, _ in gather.members)
