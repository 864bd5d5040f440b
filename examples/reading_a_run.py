"""Reading a run back, as in a notebook: verdicts, records as a table, every stored value.

A run is a folder of its store. Another process, another day: open it by its name.
"""

import os

import numpy as np

from assay import Records, Run, Seed, Store, Study, Workflow, component


@component
def walk(*, steps: int = 200, drift: float = 0.0, seed: Seed) -> np.ndarray:
    """A random walk, one position per step."""
    return np.random.default_rng(seed).normal(drift, 1.0, steps).cumsum()


@component
def farthest(path: np.ndarray) -> Records:
    """The greatest distance from the start."""
    records = Records()
    records.add("farthest", float(np.abs(path).max()))
    return records


flow = Workflow("walks")
walks = flow.each("walk", walk, over={"drift": [0.0, 0.1]})
flow.each("farthest", farthest, path=walks)

if __name__ == "__main__":
    name = Study(flow, seeds=3).run(workers=0).name

    run = Run(Store(os.environ.get("ASSAY_STORE", "assay-store")), name)
    print(run)
    print(run.records.pivot(index="seed", columns="drift", values="value").round(1).to_string())
    path = run.load("walk", trial=2, drift=0.1)  # the array itself, read and verified
    print(f"trial 2 with drift 0.1 has {len(path)} positions and ends at {path[-1]:.1f}")
    print([f"{t['trial']}: seed {t['seed']}" for t in run.trials])
