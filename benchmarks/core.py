"""What the core costs: a thousand trivial steps beside Dask alone and joblib, cold and cached.

    python benchmarks/core.py [--rounds N] [--json FILE]

One process, the same trivial function, rounds interleaved, medians of wall time.

* ``wide``: 999 independent steps gathered by one. ``chain``: 1,000 steps, each fed by the last.
* assay: every value on disk, read back and verified by its digest before the next step sees it, a
  manifest per step, an index, an event log, claims, records; without the report page, which is not
  part of executing. ``workers=0``, Dask's synchronous scheduler.
* dask: `dask.delayed` on the synchronous scheduler; nothing is stored.
* dask + json: the same, each value written to a file and flushed: the least that keeps results.
* joblib: `joblib.Memory`, values as pickles on disk; cached by arguments, nothing is verified.

``cached`` runs the same again with everything in the store; Dask alone has no such thing. The last
lines time `assay --help` beside a bare interpreter and say what it imports.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dask
import joblib

from assay import Records, Study, Workflow, component

STEPS = 1000
HEAVY = ("numpy", "pandas", "dask", "distributed", "scipy", "altair", "torch", "numba", "rasterio")
Case = Callable[[Path], None]


@component
def number(*, index: int) -> int:
    """A trivial step."""
    return index * index


@component
def following(before: int, *, index: int) -> int:
    """A trivial step that needs another."""
    return before + index * index


@component
def total(numbers: list[int]) -> Records:
    """Gather."""
    records = Records()
    records.add("total", sum(numbers))
    return records


@component
def last(before: int) -> Records:
    """Record the end of a chain."""
    return total([before])


def wide() -> Study:
    """999 steps and one that gathers them."""
    flow = Workflow("wide")
    numbers = flow.each("number", number, over={"index": list(range(STEPS - 1))})
    flow.step("total", total, numbers=numbers)
    return Study(flow, title="wide")


def chain() -> Study:
    """1,000 steps in a row."""
    flow = Workflow("chain")
    at = flow.step("s0", number, index=0)
    for k in range(1, STEPS - 1):
        at = flow.step(f"s{k}", following, before=at, index=k)
    flow.step("last", last, before=at)
    return Study(flow, title="chain")


def ours(make: Callable[[], Study]) -> Case:
    """Build, run and account for a study."""

    def run(folder: Path) -> None:
        done = make().run(store=folder / "store", workers=0, progress=False, report=False)
        assert done.ok
        assert done.records["value"].tolist() == [sum(k * k for k in range(STEPS - 1))]

    return run


def _flushed(path: Path, value: int) -> int:
    with path.open("w") as file:
        json.dump(value, file)
        file.flush()
    return value


def dask_alone(shape: str, keep: bool) -> Case:
    """The same graph in Dask."""

    def run(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)

        def compute(index: int, before: int = 0) -> int:
            value = before + index * index
            return _flushed(folder / f"{index}.json", value) if keep else value

        lazy = dask.delayed(compute, pure=False)
        if shape == "wide":
            end = dask.delayed(sum)([lazy(k) for k in range(STEPS - 1)])
        else:
            end = lazy(0)
            for k in range(1, STEPS - 1):
                end = lazy(k, end)
        assert end.compute(scheduler="synchronous") == sum(k * k for k in range(STEPS - 1))

    return run


def _square(index: int, before: int = 0) -> int:
    return before + index * index


def joblib_memory(shape: str) -> Case:
    """The same loop through joblib's cache."""

    def run(folder: Path) -> None:
        cached = joblib.Memory(folder / "joblib", verbose=0).cache(_square)
        if shape == "wide":
            end = sum(cached(k) for k in range(STEPS - 1))
        else:
            end = 0
            for k in range(STEPS - 1):
                end = cached(k, end)
        assert end == sum(k * k for k in range(STEPS - 1))

    return run


def measure(rounds: int, place: Path) -> dict[str, dict[str, list[float]]]:
    """Seconds of each case in each round, cold and cached.

    Nothing is deleted before the end: ext4 makes files slowly where many were just deleted, and
    one case would pay for the one before it.
    """
    cases: dict[str, Case] = {}
    for shape, make in (("wide", wide), ("chain", chain)):
        cases[f"{shape}: assay"] = ours(make)
        cases[f"{shape}: dask"] = dask_alone(shape, keep=False)
        cases[f"{shape}: dask + json"] = dask_alone(shape, keep=True)
        cases[f"{shape}: joblib"] = joblib_memory(shape)
    seconds = {name: {"cold": [], "cached": []} for name in cases}
    for _ in range(rounds):
        for name, run in cases.items():
            folder = Path(tempfile.mkdtemp(dir=place))
            for kind in ("cold", "cached") if "dask" not in name else ("cold",):
                begin = time.perf_counter()
                run(folder)
                seconds[name][kind].append(time.perf_counter() - begin)
    return seconds


def start_up(rounds: int) -> tuple[float, float, list[str]]:
    """Seconds of `assay --help`, of a bare interpreter, and the heavy modules the first imports."""
    help_ = [sys.executable, "-m", "assay.app.cli", "--help"]
    bare = [sys.executable, "-c", "pass"]
    times: dict[str, list[float]] = {"help": [], "bare": []}
    for _ in range(rounds):
        for name, words in (("help", help_), ("bare", bare)):
            begin = time.perf_counter()
            subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
            times[name].append(time.perf_counter() - begin)
    listing = subprocess.run(
        [sys.executable, "-X", "importtime", *help_[1:]], capture_output=True, text=True, check=True
    ).stderr
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in listing.splitlines()}
    heavy = [name for name in HEAVY if name in imported]
    return statistics.median(times["help"]), statistics.median(times["bare"]), heavy


def main() -> int:
    """Run the benchmark and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as place:
        for make in (wide, chain):  # imports and first compilations are not what is compared
            ours(make)(Path(tempfile.mkdtemp(dir=place)))
        seconds = measure(options.rounds, Path(place))
    print(f"{STEPS} trivial steps, synchronous, medians of {options.rounds} interleaved rounds\n")
    print(f"{'':22}{'cold (s)':>10}{'x assay':>9}{'cached (s)':>12}{'x assay':>9}")
    medians = {
        name: {kind: statistics.median(values) for kind, values in kinds.items() if values}
        for name, kinds in seconds.items()
    }
    for name, found in medians.items():
        base = medians[f"{name.partition(':')[0]}: assay"]
        cells = "".join(
            f"{found[kind]:>{width}.2f}{found[kind] / base[kind]:>9.2f}"
            for kind, width in (("cold", 10), ("cached", 12))
            if kind in found
        )
        print(f"{name:22}{cells}")
    helped, bare, heavy = start_up(options.rounds)
    print(f"\nassay --help {helped:.2f} s, a bare interpreter {bare:.2f} s; ", end="")
    print(f"heavy modules imported: {', '.join(heavy) or 'none'}")
    if options.json:
        result = {"seconds": medians, "help": helped, "bare": bare, "heavy": heavy}
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
