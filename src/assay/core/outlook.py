"""What a run would do, and why: the table behind ``--dry-run``."""

from dataclasses import dataclass
from typing import Any, Literal

from assay.core.execution import Driver, State
from assay.core.index import Index
from assay.core.plan import Node, Plan
from assay.core.store import Store
from assay.core.worker import contents

Fate = Literal["cached", "will run", "depends"]


@dataclass(frozen=True)
class Line:
    """The fate of one step or member: what happens to it and why."""

    step: str
    fate: Fate
    why: str


def outlook(plan: Plan, store: Store) -> list[Line]:
    """Foresee a run without computing anything."""
    driver, index = Driver(plan, store), Index(store)
    driver.resolve()
    lines: list[Line] = []
    for name, node in plan.nodes.items():
        state = driver.states[name]
        if name not in driver.demanded:
            fate, why = ("cached", "in the store") if state.ok else ("cached", "not needed")
        elif not all(driver.states[s.node].ok for s in node.sources()):
            first = next(s.node for s in node.sources() if not driver.states[s.node].ok)
            fate, why = "depends", f"on {plan.nodes[first].label}"
        else:
            fate, why = "will run", _why(driver, index, node, state)
        lines.append(Line(node.label, fate, why))  # type: ignore[arg-type]
    return lines


def _why(driver: Driver, index: Index, node: Node, state: State) -> str:
    if driver.store.step(state.key) is not None:
        return "its value was collected"
    last = index.latest(node.component.reference)
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
    return [
        f"{name} {old.get(name)!r} -> {new.get(name)!r}"
        for name in sorted(set(old) | set(new))
        if old.get(name) != new.get(name)
    ]
