"""What a run would do, and why: the table behind ``--dry-run``."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from assay.core.execution import Driver, State
from assay.core.index import Index
from assay.core.params import short
from assay.core.plan import Node, Plan
from assay.core.store import Store
from assay.core.worker import contents

Fate = Literal["cached", "will run", "depends"]
Last = dict[str, Any] | None


@dataclass(frozen=True)
class Line:
    """The fate of one step or member: what happens to it and why.

    Attributes:
        step: The step with its member, as in ``flood[100]``.
        name: The step alone.
        fate: What happens to it.
        why: Why.
    """

    step: str
    name: str
    fate: Fate
    why: str


def outlook(plan: Plan, store: Store) -> list[Line]:
    """Foresee a run without computing anything.

    ``cached``: its value is in the store, or nothing that runs needs it. ``will run``: all that
    feeds it is in the store, and it is not. ``depends``: something that feeds it runs first; if
    that gives the same bytes as before, the step may turn out to be in the store.
    """
    driver = Driver(plan, store)
    driver.resolve()
    latest = cache(Index(store).latest)
    return [_line(driver, node, latest) for node in plan.nodes.values()]


def _line(driver: Driver, node: Node, latest: Any) -> Line:
    state = driver.states[node.id]
    if node.id not in driver.demanded:
        there = all(map(driver.store.has, state.artifacts.values()))
        return Line(node.label, node.step, "cached", "in the store" if there else "not needed")
    for source in node.sources():
        if not driver.states[source.node].ok:
            return Line(
                node.label, node.step, "depends", f"on {driver.plan.nodes[source.node].step}"
            )
    why = _why(driver, node, state, latest(node.component.reference))
    return Line(node.label, node.step, "will run", why)


def _why(driver: Driver, node: Node, state: State, last: Last) -> str:
    if driver.store.step(state.key) is not None:
        return "its value was collected"
    if last is None:
        return "never run"
    if last["identity"] != node.component.identity:
        return "code, version or libraries changed"
    changed = _differences(last["params"], dict(state.form))
    if changed:
        return "; ".join(changed)
    feeds = driver._feeds(node) or {}
    other = [n for n, c in contents(feeds).items() if last["inputs"].get(n) != c]
    return f"other content of {', '.join(other)}" if other else "not in this store"


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What changed of the parameters; of files the content, which no one can read as a digest."""
    found: list[str] = []
    for name in sorted({*old, *new}):
        before, after = (values.get(name) for values in (old, new))
        if before != after:
            files = "'content'" in f"{before!r}{after!r}"
            change = f"other content of {name}"
            found.append(change if files else f"{name} {short(before)} -> {short(after)}")
    return found
