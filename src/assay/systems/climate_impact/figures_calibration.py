"""A calibration run as curves: misfit by runs, misfit by roughness, and what flow does to both."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from assay.core.charts import curve, dots
from assay.core.figures import Chart, Figure
from assay.core.run import Run

ALONE, WITH_FLOW = "roughness", "roughness and flow"
ROUGHNESS = "Manning coefficient (s/m^(1/3))"


def calibration_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Curves over all trials, then every run of one hidden roughness."""
    fitted = {trial["choices"].get("fitted") for trial in run.trials}
    yield partial(by_runs, run, "best_misfit", "Misfit by the number of simulations")
    yield partial(by_runs, run, "error_by_run", "Error of the roughness by the number of runs")
    if ALONE in fitted:
        yield partial(misfit_by_roughness, run)
    if WITH_FLOW in fitted:
        yield partial(misfit_by_roughness_and_flow, run)
    yield partial(
        dots,
        run.records,
        "manning_error",
        by=["fitted", "sampler"],
        name="manning_error",
        title="How far off the roughness found is",
        caption="Relative to the hidden one, without sign: mean over the seeds with its 95 % "
        "interval. Each seed hides another roughness.",
    )


def by_runs(run: Run, measure: str, title: str) -> Chart:
    """A measure of the best run so far, by sampler."""
    records = run.records
    if "fitted" in records and (records["fitted"] == ALONE).any():
        records = records[records["fitted"] == ALONE]
    return curve(
        records,
        measure,
        "runs",
        by="sampler",
        name=measure,
        title=title,
        caption="The best of the runs made so far, mean over the seeds with its 95 % interval, "
        "where the roughness alone is fitted. Grid and hypercube are visited in random order.",
        x_title="simulations made",
    )


def _trials(run: Run, fitted: str) -> list[dict[str, Any]]:
    """The trials of the first seed, one per sampler."""
    seed = run.trials[0]["seed"]
    return [
        t for t in run.trials if t["seed"] == seed and t["choices"].get("fitted", fitted) == fitted
    ]


def _made(run: Run, trials: list[dict[str, Any]]) -> Any:
    """Every simulation of some trials as a table."""
    import pandas as pd

    tables = []
    for trial in trials:
        number = trial["trial"]
        columns = {
            name: run.load(f"fit.{name}", trial=number)
            for name in ("manning", "flow_factor", "misfit_m")
        }
        table = pd.DataFrame(columns)
        table.insert(0, "sampler", trial["choices"].get("sampler", ""))
        table.insert(1, "run", range(1, len(table) + 1))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def misfit_by_roughness(run: Run) -> Chart:
    """Misfit of every simulation against its roughness, for one hidden roughness."""
    import altair as alt
    import pandas as pd

    trials = _trials(run, ALONE)
    data, hidden = _made(run, trials), run.load("twin.manning", trial=trials[0]["trial"])
    dots_ = alt.Chart(data).mark_point(filled=True, size=45, opacity=0.75).encode(
        x=alt.X("manning:Q", title=ROUGHNESS, scale=alt.Scale(type="log", nice=False)),
        y=alt.Y("misfit_m:Q", title="misfit to the stages (m)"),
        color=alt.Color("sampler:N", title="sampler"),
        tooltip=["sampler", "run", alt.Tooltip("manning", format=".4f"),
                 alt.Tooltip("misfit_m", format=".4f")],
    )  # fmt: skip
    rule = alt.Chart(pd.DataFrame({"manning": [hidden]})).mark_rule(strokeDash=[5, 4])
    layers = rule.encode(x="manning:Q") + dots_
    return Chart(
        "misfit_by_roughness",
        "Where each sampler looked",
        "Every simulation of the first seed, where the roughness alone is fitted; the dashed line "
        f"is the hidden roughness, {hidden:.4f}. The stages are synthetic, with noise.",
        layers.properties(height=300),
        data,
    )


def misfit_by_roughness_and_flow(run: Run) -> Chart:
    """Simulations over roughness and flow: the misfit has a valley instead of a lowest point."""
    import altair as alt
    import pandas as pd

    trials = _trials(run, WITH_FLOW)
    data, hidden = _made(run, trials), run.load("twin.manning", trial=trials[0]["trial"])
    truth = pd.DataFrame({"manning": [hidden], "flow_factor": [1.0]})
    across = alt.X("manning:Q", title=ROUGHNESS, scale=alt.Scale(type="log", nice=False))
    up = alt.Y("flow_factor:Q", title="factor on the flow", scale=alt.Scale(type="log", nice=False))
    dots_ = alt.Chart(data).mark_point(filled=True, size=55, opacity=0.9).encode(
        x=across, y=up, shape=alt.Shape("sampler:N", title="sampler"),
        color=alt.Color("misfit_m:Q", title="misfit (m)",
                        scale=alt.Scale(type="log", scheme="viridis")),
        tooltip=["sampler", "run", alt.Tooltip("manning", format=".4f"),
                 alt.Tooltip("flow_factor", format=".3f"), alt.Tooltip("misfit_m", format=".4f")],
    )  # fmt: skip
    cross = alt.Chart(truth).mark_point(shape="cross", size=180, color="#c0392b", strokeWidth=2)
    layers = dots_ + cross.encode(x=across, y=up)
    return Chart(
        "misfit_by_roughness_and_flow",
        "Stages cannot tell roughness and flow apart",
        "Every simulation of the first seed, where both are fitted; the red cross is the truth. "
        "Small misfits lie along a line, on which the product of roughness and flow is the same.",
        layers.properties(height=320),
        data,
    )
