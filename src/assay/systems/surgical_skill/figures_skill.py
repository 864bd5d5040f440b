"""The figures of the study `skill`."""

from collections.abc import Callable, Iterator
from functools import partial

import pandas as pd

from assay.core.charts import curve
from assay.core.figures import Chart, Figure
from assay.core.run import Run
from assay.systems.surgical_skill.events import METRICS
from assay.systems.surgical_skill.operations import Counted

__all__ = ["skill_figures"]


def skill_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Errors and rank correlations by frame rate, then skill against what happened."""
    records = run.records
    for metric in METRICS:
        for measure, title in (("mae", "mean absolute error"), ("spearman", "rank correlation")):
            rows = records[(records["measure"] == measure) & (records["metric"] == metric)]
            if len(rows):
                yield partial(
                    curve,
                    rows,
                    measure,
                    "frames_per_second",
                    by="counter",
                    name=f"{measure}-{metric}",
                    title=f"{metric.replace('_', ' ').capitalize()}: {title}",
                    caption="Mean over seeds with its 95 % interval, on SYNTHETIC operations of "
                    "surgeons who were not learned from. Boxes are those that are there.",
                    x_title="frames a second",
                    y_title=title,
                    log_x=True,
                )
    yield partial(skill_chart, run.load("counted"))


def skill_chart(counted: Counted) -> Chart:
    """What happened in each operation, by the skill of its surgeon."""
    import altair as alt

    data = pd.DataFrame(counted.truth, columns=list(METRICS)).assign(skill=counted.skill)
    long = data.melt("skill", var_name="metric", value_name="value").dropna()
    chart = (
        alt.Chart(long)
        .mark_circle(size=40, opacity=0.6)
        .encode(
            x=alt.X("skill:Q", title="skill of the surgeon"),
            y=alt.Y("value:Q", title=None),
            tooltip=["skill", "value"],
        )
        .properties(width=240, height=200)
        .facet(column=alt.Column("metric:N", title=None))
        .resolve_scale(y="independent")
    )
    return Chart(
        "skill",
        "What happened in an operation, by the skill of its surgeon",
        "One dot for each operation of the first seed's unseen surgeons. SYNTHETIC.",
        chart,
        long,
    )
