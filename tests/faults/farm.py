"""A small invented farm whose every step is written into a diary outside the store.

What shall go wrong is said in environment variables, so that it is no part of any key:

    FARM_DIARY     file that gets a line when a step begins
    FARM_MARKS     folder of marker files: what has happened once and waits for the test
    FARM_STOP      ``point:n``: SIGKILL when a write point of the store is reached the n-th time

Child processes run a study with ``python -c "from faults.farm import main; main()" farm STORE 0``.
"""

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

import assay.core.store
from assay.core.component import Folder, Resources, Seed, component
from assay.core.decisions import sweep
from assay.core.records import Records
from assay.core.study import Study
from assay.core.task import task
from assay.core.workflow import Workflow

# -- what goes wrong ----------------------------------------------------------------------------


def stop_at(place: str) -> None:
    """Let this process die when it comes to a write point the n-th time."""
    wanted, _, count = place.partition(":")
    left = [int(count)]

    def reached(point: str) -> None:
        left[0] -= point == wanted
        if left[0] == 0:
            die()

    assay.core.store.reached = reached


def die() -> None:
    """End at once, as a killed process does."""
    os.kill(os.getpid(), signal.SIGKILL)


if "FARM_STOP" in os.environ:
    stop_at(os.environ["FARM_STOP"])


def note(text: str = "") -> None:
    """Write one line into the diary: the key, the step, the process, and some words."""
    if "FARM_DIARY" in os.environ:
        line = json.dumps([task().key, task().step, os.getpid(), text]) + "\n"
        handle = os.open(os.environ["FARM_DIARY"], os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        os.write(handle, line.encode())
        os.close(handle)


def mark(name: str) -> bool:
    """Leave a marker file; whether it is new."""
    try:
        Path(os.environ["FARM_MARKS"], name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def wait_for(name: str) -> None:
    """Wait until the test leaves a marker file, at most two minutes."""
    for _ in range(2400):
        if Path(os.environ["FARM_MARKS"], name).exists():
            return
        time.sleep(0.05)
    raise TimeoutError(name)


# -- the farm -----------------------------------------------------------------------------------


class Soil(NamedTuple):
    """Two ports, one of them an array."""

    water: np.ndarray
    acidity: float


@component(keep=False)
def seedlings(*, count: int = 50) -> np.ndarray:
    """A large intermediate."""
    note()
    return np.linspace(1.0, 2.0, count)


@component
def soil(*, rain: float = 1.0, seed: Seed) -> Soil:
    """What the fields are made of."""
    note()
    source = np.random.default_rng(seed)
    return Soil(source.random(50) * rain, float(source.random()))


@component
def grow(water: np.ndarray, plants: np.ndarray, *, days: int) -> np.ndarray:
    """One crop; one member for each number of days."""
    note()
    return plants + water * days


@component
def harvest(crops: list[np.ndarray], acidity: float) -> dict[str, float]:
    """All crops together."""
    note()
    return {"kilograms": float(sum(c.sum() for c in crops)), "acidity": acidity}


@component
def weigh(harvest: dict[str, float]) -> Records:
    """Measure the harvest."""
    note()
    records = Records()
    records.add("harvest", harvest["kilograms"], "kg")
    return records


def farm() -> Study:
    """Four trials, 25 distinct steps."""
    flow = Workflow("farm")
    plants = flow.step("plants", seedlings)
    ground = flow.step("ground", soil)
    crop = flow.each("crop", grow, water=ground.water, plants=plants, over={"days": [1, 2, 3]})
    sum_ = flow.step("sum", harvest, crops=crop, acidity=ground.acidity)
    flow.step("weight", weigh, harvest=sum_)
    return Study(flow, decisions={"rain": sweep("ground.rain", [1.0, 2.5])}, seeds=2)


# -- trouble ------------------------------------------------------------------------------------


@component
def visitor(*, number: int, killers: tuple[int, ...] = (), once: bool = False) -> float:
    """A step of which some kill the process they run in, the first time or always."""
    note()
    if number in killers and (not once or mark(f"killed-{number}")):
        die()
    return float(number)


@component
def count_visitors(visits: list[float]) -> Records:
    """How many came."""
    records = Records()
    records.add("visitors", len(visits))
    return records


def visits(killers: tuple[int, ...], *, once: bool, count: int = 8) -> Study:
    """One trial for each visitor."""
    flow = Workflow("visits")
    visit = flow.step("visit", visitor, number=0, killers=killers, once=once)
    flow.step("count", count_visitors, visits=[visit])
    return Study(flow, decisions={"number": sweep("visit.number", list(range(count)))})


def hasty() -> Study:
    """Two of eight kill their process the first time."""
    return visits((1, 5), once=True)


def deadly() -> Study:
    """One of five always kills its process."""
    return visits((1,), once=False, count=5)


def deadlier() -> Study:
    """Four of ten always kill their process."""
    return visits((1, 3, 4, 8), once=False, count=10)


@component
def sleeper(*, number: int) -> Records:
    """Say that it sleeps, and sleep until the test wakes it."""
    note()
    mark(f"asleep-{number}")
    wait_for("awake")
    return Records()


def sleepers() -> Study:
    """Four steps that wait for the test."""
    flow = Workflow("sleepers")
    flow.each("sleep", sleeper, over={"number": [1, 2, 3, 4]})
    return Study(flow)


@component
def reports(*, steps: int = 3) -> int:
    """Report progress, and say which process it runs in."""
    for step in range(steps):
        task().progress(step + 1, steps, "rounds")
    task().event("measured", loss=0.5)
    return os.getpid()


# -- training -----------------------------------------------------------------------------------


@component
def train(*, epochs: Annotated[int, Field(ge=1)] = 6, die_at: int = 0, seed: Seed) -> Folder:
    """Descend a parabola with noise; a checkpoint for every epoch."""
    folder = task().scratch() / "checkpoints"
    folder.mkdir(exist_ok=True)
    finished = sorted(folder.glob("*.json"))
    state = json.loads(finished[-1].read_text()) if finished else {"weight": 1.0}
    for epoch in range(len(finished), epochs):
        note(f"epoch {epoch}")
        noise = np.random.default_rng([seed, epoch]).normal()
        state["weight"] -= 0.4 * (2 * state["weight"] + 0.01 * noise)
        unfinished = folder / "unfinished"
        unfinished.write_text(json.dumps(state))
        os.rename(unfinished, folder / f"{epoch:03}.json")
        task().progress(epoch + 1, epochs, "epochs")
        if epoch + 1 == die_at and mark("killed-in-training"):
            die()
    return folder


@component
def evaluate(run: Folder, *, checkpoint: int) -> Records:
    """The loss of one checkpoint."""
    note()
    state = json.loads((run / f"{checkpoint:03}.json").read_text())
    records = Records()
    records.add("loss", state["weight"] ** 2, epoch=checkpoint)
    return records


def training(die_at: int = 4) -> Study:
    """One training run, killed once after its fourth epoch, and a ladder of its checkpoints."""
    flow = Workflow("training")
    fit = flow.step("fit", train, die_at=die_at)
    flow.each("loss", evaluate, run=fit, over={"checkpoint": [0, 2, 5]})
    return Study(flow)


@component
def page_faults() -> int:
    """Fills 16 MiB and frees them, forty times after the first; how many pages that took."""
    for k in range(41):
        if k == 1:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        filled = np.ones(2**21)
        del filled
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@component(resources=Resources(cores=2))
def wide(*, number: int) -> Records:
    """Takes two cores."""
    note("begin")
    time.sleep(0.05)
    note("end")
    return Records()


@component
def narrow(*, number: int) -> Records:
    """Takes one core."""
    note("begin")
    time.sleep(0.05)
    note("end")
    return Records()


def crowd() -> Study:
    """Steps of one and of two cores."""
    flow = Workflow("crowd")
    flow.each("narrow", narrow, over={"number": list(range(6))})
    flow.each("wide", wide, over={"number": list(range(3))})
    return Study(flow)


@component
def link(before: int | None = None, *, number: int) -> int:
    """A link of a chain."""
    return number


@component
def knot(before: list[int], *, number: int) -> int:
    """Where links come together."""
    return number


def alone() -> Study:
    """One step, two beside each other, one that needs both."""
    flow = Workflow("alone")
    first = flow.step("first", link, number=1)
    forks = flow.each("fork", link, before=first, over={"number": [2, 3]})
    flow.step("last", knot, before=forks, number=4)
    return Study(flow)


def main() -> None:
    """Run a study in a child process: ``STUDY STORE WORKERS``."""
    study, store, workers = sys.argv[1:4]
    run = globals()[study]().run(store=store, workers=int(workers), progress=False, report=False)
    sys.exit(0 if run.ok else 1)
