"""A study on a Slurm cluster: dask-jobqueue submits the workers, Assay is told where they are.

The environment and the store must lie where every node sees them, under the same path.

    python examples/slurm.py /shared/store
"""

import shutil
import sys

from dask_jobqueue import SLURMCluster

from assay import Records, Seed, Study, Workflow, component


@component
def throw(*, sides: int = 6, count: int = 1000, seed: Seed) -> Records:
    """Throw a die many times."""
    import numpy as np

    records = Records()
    throws = np.random.default_rng(seed).integers(1, sides, count, endpoint=True)
    records.add("mean", float(throws.mean()))
    return records


def dice() -> Study:
    """One step, four seeds: four jobs' worth of work."""
    flow = Workflow("dice")
    flow.step("throw", throw)
    return Study(flow, title="What does a die show on average?", seeds=4)


def main(store: str) -> None:
    """Ask Slurm for two workers of one core and 2 GiB, and run the study on them."""
    if shutil.which("sbatch") is None:
        print("There is no Slurm here: sbatch is not on the path.")
        return
    with SLURMCluster(cores=1, processes=1, memory="2 GiB", walltime="00:30:00") as cluster:
        cluster.scale(jobs=2)
        run = dice().run(on=cluster.scheduler_address, store=store)
    print(run.records.groupby("measure")["value"].mean())


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "assay-store")
