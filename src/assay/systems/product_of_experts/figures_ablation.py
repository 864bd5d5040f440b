"""The figures of the ablation: the error of each variant, and whom it trusts."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from assay.core.charts import curve, dots
from assay.core.figures import Chart, Figure
from assay.core.run import Run

BAND = "Mean over the seeds with its 95 % interval, where there are several."
APART = ["seed", "noised", "noise"]
NOISE = "standard deviation of the noise added"


def ablation_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Errors in all, errors against the noise, then trust."""
    yield partial(overall, run)
    for noised in ("one", "all"):
        yield partial(error, run, noised)
    yield partial(trust, run)


def overall(run: Run) -> Chart:
    """The error of every variant, over all levels of noise."""
    return dots(
        with_the_exact_one(run.records, "variant", APART),
        "squared_error",
        by=["variant"],
        name="overall",
        title="Error of each variant",
        caption="Squared error of a number of the state, whose variance is 1, over all levels of "
        "noise on one sensor and on all. The full method has a network of its own for the "
        "credibility of each sensor, weights per dimension that sum to 1, the prior as an expert "
        f"and a latent state as large as the state; each variant changes one of these. {BAND}",
        x_title="squared error",
    )


def error(run: Run, noised: str) -> Chart:
    """The error against the noise of one sensor, or of all."""
    rows = with_the_exact_one(run.records, "variant", APART)
    what = "the first sensor" if noised == "one" else "every sensor"
    return curve(
        rows[rows["noised"] == noised],
        "squared_error",
        "noise",
        by="variant",
        name=f"error_{noised}",
        title=f"Error with noise on {what}",
        caption=f"Squared error of a number of the state. {BAND}",
        x_title=f"{NOISE} to {what}",
        y_title="squared error",
    )


def trust(run: Run) -> Chart:
    """The share of the noised sensor."""
    rows = run.records
    return curve(
        rows[rows["noised"] == "one"],
        "share",
        "noise",
        by="variant",
        name="trust",
        title="How far a noisy sensor is trusted",
        caption="What the first sensor contributes of what the sensors do: weight times precision, "
        f"as a share, averaged over the latent state. {BAND}",
        x_title=f"{NOISE} to the first sensor",
        y_title="share of the first sensor",
    )


def with_the_exact_one(records: Any, named: str, apart: list[str]) -> Any:
    """The errors, and those of the exact posterior as if they were of one more choice.

    Args:
        records: Long DataFrame of a run.
        named: The key whose choices are compared.
        apart: Keys that tell one exact posterior from another.
    """
    import pandas as pd

    best = records[records["measure"] == "optimal_squared_error"].drop_duplicates(apart)
    best = best.assign(measure="squared_error", **{named: "exact posterior"})
    return pd.concat([records, best], ignore_index=True)
