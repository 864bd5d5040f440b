"""A command-line program as a component: files in, files out, nothing of it in Python.

The program here is `sort`; a hydrological model or a compiler is declared in the same way. It runs
from a list of arguments, never through a shell, and only when its inputs have changed.
"""

import numpy as np

from assay import File, Records, Seed, Study, Workflow, component, program, task


@component
def numbers(*, count: int = 1000, seed: Seed) -> File:
    """A text file with one number per line."""
    path = task().scratch() / "numbers.txt"
    np.savetxt(path, np.random.default_rng(seed).normal(size=count), fmt="%.6f")
    return path


@program("sort -g -o {ordered:.txt} {unordered}", version="1")
def order(unordered: File) -> File:
    """The lines in increasing order of their value."""


@component
def inspect(ordered: File) -> Records:
    """How many neighbours stand in the wrong order."""
    values = np.loadtxt(ordered)
    records = Records()
    records.add("inversions", int((np.diff(values) < 0).sum()))
    records.add("median", float(values[len(values) // 2]))
    return records


flow = Workflow("sorting")
unordered = flow.step("numbers", numbers)
ordered = flow.step("order", order, unordered=unordered)
flow.step("inspect", inspect, ordered=ordered)

if __name__ == "__main__":
    run = Study(flow, seeds=2).run(workers=0)
    print(run.records[["measure", "value", "seed"]].to_string(index=False))
