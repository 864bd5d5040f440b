"""The records of a run: those of all its trials in one long table."""

from typing import Any

from assay.core.execution import Driver
from assay.core.params import scalar
from assay.core.plan import Plan, measures
from assay.core.records import Records
from assay.core.store import Store
from assay.errors import ClaimError


def collect(plan: Plan, driver: Driver, store: Store) -> Any:
    """Join the records of all trials with their decisions, seed, step and member."""
    import pandas as pd

    frames: list[Any] = []
    read: dict[str, Any] = {}
    for trial in plan.trials:
        for step, nodes in trial.nodes.items():
            for node in nodes.values():
                state, made = driver.states[node], plan.nodes[node].component
                for port in measures(made) if state.ok else ():
                    artifact = state.artifacts[port]
                    if artifact.digest not in read:
                        read[artifact.digest] = store.get(artifact, Records).frame()
                    frame = read[artifact.digest].copy()
                    if frame.empty:  # its columns have no types, and would take those of the others
                        continue
                    twins = sorted({*frame.columns} & {*trial.choices})
                    if twins:
                        raise ClaimError(
                            f"its records have a key {twins[0]!r}, the name of a decision",
                            where=f"step {step!r}",
                            next="Rename the key or the decision.",
                        )
                    member = {k: scalar(v) for k, v in plan.nodes[node].member.items()}
                    for key, value in member.items():
                        if key not in frame:
                            frame[key] = value
                    keys = {**trial.choices, "seed": trial.seed, "trial": trial.number}
                    frame["step"] = step
                    frames.append(frame.assign(**keys))
    if not frames:
        return pd.DataFrame(columns=["measure", "value", "unit", "step", "seed", "trial"])
    return _storable(pd.concat(frames, ignore_index=True))


def _storable(frame: Any) -> Any:
    """Texts instead of a key that is a number in one step and a text in another."""
    for name, kind in frame.dtypes.items():
        present = frame[name].dropna()
        if kind.kind == "O" and len(set(map(type, present))) > 1:
            frame[name] = present.map(str).reindex(frame.index)
    return frame
