"""The figures of the conditions: errors of two fusions by fault, and how far a fault is found."""

from collections.abc import Callable, Iterator
from functools import partial

from assay.core.charts import dots
from assay.core.figures import Chart, Figure
from assay.core.run import Run
from assay.systems.product_of_experts.figures_ablation import BAND, with_the_exact_one


def conditions_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """What credibility gains, what its share gives away, then the errors by condition."""
    for objective in dict.fromkeys(run.records["objective"].dropna()):
        yield partial(gain, run, objective)
    yield partial(found, run)
    for condition in dict.fromkeys(run.records["condition"].dropna()):
        yield partial(errors, run, condition)


def gain(run: Run, objective: str) -> Chart:
    """The error of learned credibility beside that of a plain product."""
    rows = run.records[run.records["measure"] == "squared_error"]
    keys = ["seed", "condition", "fault"]
    both = rows[rows["objective"] == objective].pivot_table(
        index=keys, columns="weighting", values="value", sort=False
    )
    change = (both["learned"] / both["poe"] - 1.0).rename("value").reset_index()
    return dots(
        change.assign(measure="change", unit="1"),
        "change",
        by=["condition", "fault"],
        name=f"change_{objective}",
        title=f"What credibility changes, objective {objective}",
        caption="Squared error of learned credibility over that of a plain product of experts, "
        "less 1: below 0 it errs less. By condition of training and by what happened to the first "
        f"sensor. {BAND}",
        x_title="relative change of the squared error",
    )


def errors(run: Run, condition: str) -> Chart:
    """The error of both fusions at every fault, beside the exact posterior."""
    rows = run.records
    rows = rows.assign(fusion=rows["weighting"] + " (" + rows["objective"] + ")")
    rows = with_the_exact_one(rows, "fusion", ["seed", "condition", "fault"])
    name = condition.replace("_", " ")
    return dots(
        rows[rows["condition"] == condition],
        "squared_error",
        by=["fault", "fusion"],
        name=f"errors_{condition}",
        title=f"Error by what happened to the first sensor: {name}",
        caption="Squared error of a number of the state, whose variance is 1. The exact posterior "
        f"knows which reading was swapped and leaves it out; no fusion is told. {BAND}",
        x_title="squared error",
    )


def found(run: Run) -> Chart:
    """How well the share of a sensor tells that something happened to it."""
    rows = run.records
    return dots(
        rows[rows["weighting"] == "learned"],
        "found_by_share",
        by=["fault", "condition", "objective"],
        name="found_by_share",
        title="What the share of a sensor gives away",
        caption="The chance that a sensor to which something happened has a lower share than a "
        f"sound one, learned credibility; 0.5 if nothing is found. {BAND}",
        x_title="area under the ROC curve",
    )
