"""The figures of the sensors: errors, who is trusted, and what happens around a burst."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from assay.core.charts import curve, dots
from assay.core.figures import Chart, Figure
from assay.core.run import Run

BAND = "Mean over the seeds with its 95 % interval, where there are several."
EXACT = "exact share"
BURST = {
    "burst_credibility": "credibility",
    "burst_share": "share",
    "burst_optimal_share": EXACT,
}
TRUST = {
    "credibility": "credibility",
    "share": "share",
    "optimal_share": EXACT,
}


def sensors_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Errors, then trust, then calibration, then what happens without a sensor."""
    for objective in _there(run, "objective"):
        for training in _there(run, "training"):
            yield partial(error, run, objective, training)
    yield partial(trust, run)
    yield partial(trust_around_a_burst, run)
    yield partial(error_around_a_burst, run)
    yield partial(coverage, run)
    yield partial(likelihood, run)
    yield partial(without_sensors, run)


def _there(run: Run, decision: str) -> list[str]:
    """The choices of a decision that a run has."""
    return list(dict.fromkeys(run.records[decision].dropna()))


def error(run: Run, objective: str, training: str) -> Chart:
    """The error against the noise of one sensor, a line per weighting and one for the optimum."""
    rows = run.records[
        (run.records["objective"] == objective)
        & (run.records["training"] == training)
        & (run.records["noised"] == "one")
    ]
    found = rows[rows["measure"] == "squared_error"]
    optimum = rows[rows["measure"] == "optimal_squared_error"]
    optimum = optimum.drop_duplicates(["seed", "noise"])
    optimum = optimum.assign(weighting="exact posterior", measure="squared_error")
    return curve(
        _joined([found, optimum]),
        "squared_error",
        "noise",
        by="weighting",
        name=f"error_{objective}_{training}",
        title=f"Error, trained {'with noise' if training == 'noisy' else 'clean'}, {objective}",
        caption="Squared error of a number of the state, whose variance is 1, against the standard "
        f"deviation of the noise added to one of the sensors. {BAND}",
        x_title="standard deviation of the noise added to the first sensor",
        y_title="squared error",
    )


def trust(run: Run) -> Chart:
    """Weight and share of the noised sensor against its noise, with the share it deserves."""
    rows = run.records[(run.records["noised"] == "one") & _learned(run)]
    return curve(
        _named(rows, TRUST, "trust"),
        "trust",
        "noise",
        by="what",
        name="trust",
        title="How far a noisy sensor is trusted",
        caption="Learned credibility, trained with noise: the weight of the first sensor in the "
        "fusion, what it contributes of what the sensors do (weight times precision, as a share), "
        "and what it contributes to the exact posterior; by objective, mean over samples and "
        f"dimensions. {BAND}",
        x_title="standard deviation of the noise added to the first sensor",
        y_title="part of the first sensor",
    )


def trust_around_a_burst(run: Run) -> Chart:
    """Weight and share of a sensor over time, before, while and after it fails."""
    return curve(
        _named(run.records[_learned(run)], BURST, "trust"),
        "trust",
        "frame",
        by="what",
        name="trust_around_a_burst",
        title="How far a sensor is trusted while it fails",
        caption="The first sensor fails in the middle third of the frames. Learned credibility, "
        f"trained with noise; mean over many series and all dimensions. {BAND}",
        x_title="frame",
        y_title="part of the first sensor",
    )


def error_around_a_burst(run: Run) -> Chart:
    """The error over time, a line per weighting, with the first of the losses."""
    objective = _there(run, "objective")[0]
    rows = run.records[
        (run.records["objective"] == objective) & (run.records["training"] == "noisy")
    ]
    return curve(
        rows,
        "burst_squared_error",
        "frame",
        by="weighting",
        name="error_around_a_burst",
        title="Error while a sensor fails",
        caption=f"Squared error by frame, trained with noise, {objective}. {BAND}",
        x_title="frame",
        y_title="squared error",
    )


def coverage(run: Run) -> Chart:
    """How often the truth lies in the 95 % interval."""
    return dots(
        run.records[run.records["training"] == "noisy"],
        "coverage",
        by=["objective", "weighting"],
        name="coverage",
        title="Truths within their 95 % interval",
        caption="Trained with noise; over all levels of noise, on one sensor or on all. A dot at "
        "0.95 is calibrated. The loss of a variational autoencoder (elbo) does not ask for that.",
    )


def likelihood(run: Run) -> Chart:
    """How far the likelihood is from that of the exact posterior."""
    keys = ["trial", "noised", "noise"]
    rows = run.records[run.records["training"] == "noisy"]
    found, best = (rows[rows["measure"] == m] for m in ("nll", "optimal_nll"))
    both = found.merge(best[[*keys, "value"]], on=keys, suffixes=("", "_best"))
    both = both.assign(value=both["value"] - both["value_best"], measure="excess_nll")
    return dots(
        both,
        "excess_nll",
        by=["objective", "weighting"],
        name="excess_nll",
        title="What the belief lacks of the exact posterior",
        caption="Negative log density of the truth less that by the exact posterior (nats per "
        "number), trained with noise, over all levels of noise; 0 is perfect.",
        x_title="excess (nats per number)",
    )


def without_sensors(run: Run) -> Chart:
    """The error against the number of sensors that are there."""
    rows = run.records[run.records["training"] == "noisy"]
    found = rows[rows["measure"] == "missing_squared_error"]
    best = rows[rows["measure"] == "missing_optimal_squared_error"]
    best = best.drop_duplicates(["seed", "left"])
    best = best.assign(weighting="exact posterior", measure="missing_squared_error")
    return curve(
        _joined([found, best]),
        "missing_squared_error",
        "sensors",
        by="weighting",
        name="without_sensors",
        title="Error when sensors are missing",
        caption="Squared error by the number of sensors that are there, without added noise, over "
        f"all subsets of that size and both objectives, trained with noise. {BAND}",
        x_title="sensors that are there",
        y_title="squared error",
    )


def _learned(run: Run) -> Any:
    """Which records are of learned credibility that was trained with noise."""
    return (run.records["weighting"] == "learned") & (run.records["training"] == "noisy")


def _named(rows: Any, names: dict[str, str], measure: str) -> Any:
    """Several measures as one, with what each is as a label, by objective but for the exact one."""
    rows = rows[rows["measure"].isin(list(names))]
    what = rows["measure"].map(names)
    by_objective = what + " (" + rows["objective"] + ")"
    return rows.assign(what=what.where(what == EXACT, by_objective), measure=measure)


def _joined(tables: list[Any]) -> Any:
    import pandas as pd

    return pd.concat(tables, ignore_index=True)
