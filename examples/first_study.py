"""A first study: how fast does the mean of a sample get better with its size?

A component measures, a decision varies, a claim gets a verdict. Run it twice: the second time
nothing is computed, everything comes from the store.
"""

import numpy as np

from assay import Claim, Records, Seed, Study, Workflow, component, ratio, sweep


@component
def measure(*, size: int = 100, seed: Seed) -> Records:
    """The squared error of the mean of a normal sample, averaged over 200 samples."""
    samples = np.random.default_rng(seed).normal(size=(200, size))
    records = Records()
    records.add("squared_error", float((samples.mean(axis=1) ** 2).mean()))
    return records


flow = Workflow("sample_size")
flow.step("measure", measure)

study = Study(
    flow,
    title="Ten times the sample, a tenth of the error?",
    decisions={"size": sweep("measure.size", [10, 100, 1000])},
    seeds=10,
    claims=[
        Claim(
            id="S1",
            sentence="A sample ten times as large has less than a fifth of the squared error",
            source="the variance of a mean is that of a value divided by the size",
            estimand=ratio("squared_error", "size", 100, 10),
            direction="below",
            margin=-0.8,
        )
    ],
)

if __name__ == "__main__":
    run = study.run(workers=0)
    print(run.claims[0]["text"])
    print(run.report)
