"""The figures of missing sensors: the error by their number, and who is trusted then."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from assay.core.charts import curve, dots
from assay.core.figures import Chart, Figure
from assay.core.run import Run

BAND = "Mean over the seeds with its 95 % interval, where there are several."


def missing_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Errors by way of training, then the trust in what is not there."""
    for weighting in dict.fromkeys(run.records["weighting"].dropna()):
        for way in dict.fromkeys(run.records["absent_as"].dropna()):
            yield partial(excess, run, weighting, way)
    yield partial(trust, run)
    yield partial(errors, run)


def excess(run: Run, weighting: str, way: str) -> Chart:
    """How far the error is from that of the exact posterior, a line per way of training."""
    rows = run.records
    rows = rows[(rows["weighting"] == weighting) & (rows["absent_as"] == way)]
    shown = "masked" if way == "mask" else "shown as noise"
    return curve(
        rows.assign(trained=rows["training"] + " (" + rows["objective"] + ")"),
        "excess_error",
        "sensors",
        by="trained",
        name=f"excess_{weighting}_{way}",
        title=f"Excess error, weighting {weighting}, absent sensors {shown}",
        caption="Squared error over that of the exact posterior, less 1, by the number of sensors "
        "that are there; by what was seen in training: whole readings, masks, noise in the place "
        f"of sensors, or both. {BAND}",
        x_title="sensors that are there",
        y_title="error over that of the exact posterior, less 1",
    )


def trust(run: Run) -> Chart:
    """The share of what is not there."""
    return dots(
        _partly(run.records, noise=True),
        "absent_share",
        by=["weighting", "objective", "training"],
        name="absent_share",
        title="Trust in sensors that are shown as noise",
        caption="What they contribute of what all sensors do, over all subsets of which some but "
        "not all sensors are missing; they deserve none. A masked sensor has none.",
    )


def errors(run: Run) -> Chart:
    """The error with some sensors missing, by everything that was decided."""
    return dots(
        _partly(run.records),
        "squared_error",
        by=["absent_as", "objective", "training", "weighting"],
        name="errors",
        title="Error with some sensors missing",
        caption="Squared error of a number of the state, whose variance is 1, over all subsets of "
        "which some but not all sensors are missing.",
    )


def _partly(records: Any, *, noise: bool = False) -> Any:
    """Records of subsets of which some sensors are missing; those shown as noise only, if asked."""
    rows = records[records["some_missing"].eq(True)]
    return rows[rows["absent_as"] == "noise"] if noise else rows
