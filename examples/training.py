"""A step that takes long: it reports progress, keeps checkpoints, and resumes after a kill.

`task().scratch()` is a folder that survives; it is removed when the step is finished. The budget
is a number of steps, never of seconds, so that a run repeats.
"""

import numpy as np

from assay import Records, Seed, Study, Workflow, component, sweep, task


@component
def train(*, rate: float = 0.1, steps: int = 500, seed: Seed) -> np.ndarray:
    """Fit a line by stochastic gradient descent; a checkpoint every 100 steps."""
    checkpoint = task().scratch() / "checkpoint.npy"
    done, weights = 0, np.zeros(2)
    if checkpoint.exists():
        done, *weights = np.load(checkpoint)
    for step in range(int(done), steps):
        rng = np.random.default_rng([seed, step])  # a resumed run draws the same numbers
        x = rng.normal(size=8)
        y = 3.0 * x + 1.0 + rng.normal(scale=0.1, size=8)
        error = weights[0] * x + weights[1] - y
        weights = weights - rate * np.array([(error * x).mean(), error.mean()])
        if step % 100 == 99:
            unfinished = checkpoint.with_name("unfinished.npy")
            np.save(unfinished, [step + 1, *weights])
            unfinished.rename(checkpoint)
        task().progress(step + 1, steps, "steps")
    return np.asarray(weights)


@component
def score(weights: np.ndarray) -> Records:
    """Distance from the line the data came from."""
    records = Records()
    records.add("distance", float(np.hypot(weights[0] - 3.0, weights[1] - 1.0)))
    return records


flow = Workflow("line")
flow.step("score", score, weights=flow.step("train", train))

if __name__ == "__main__":
    study = Study(flow, decisions={"rate": sweep("train.rate", [0.01, 0.1])}, seeds=3)
    run = study.run(workers=0)
    print(run.records.groupby("rate")["value"].mean().to_string())
