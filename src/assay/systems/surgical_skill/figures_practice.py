"""The figures of the studies `pipeline` and `practice`."""

from collections.abc import Callable, Iterator
from functools import partial

import pandas as pd

from assay.core.charts import dots
from assay.core.figures import Chart, Figure, Picture
from assay.core.run import Run
from assay.parts.detection.boxes import Boxes
from assay.systems.surgical_skill.events import DROPS, OUT_OF_VIEW
from assay.systems.surgical_skill.figures import SURE, frames_with_boxes, worst_frames
from assay.systems.surgical_skill.operations import Counted

__all__ = ["pipeline_figures", "practice_figures"]

SHOWN = 6
CAPTION = (
    "Mean over seeds with its 95 % interval, on SYNTHETIC operations of surgeons who were not "
    "learned from."
)


def pipeline_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Errors of counts by counter, boxes found beside boxes known, and counts case by case."""
    yield partial(
        dots, run.records, "count_error", by=["counter", "boxes"], name="count-error",
        title="How far counts of drops and departures are off", caption=CAPTION,
    )  # fmt: skip
    for metric in (DROPS, OUT_OF_VIEW):
        rows = run.records[run.records["metric"] == metric]
        if rows["measure"].eq("spearman").any():
            yield partial(
                dots, rows, "spearman", by=["counter", "boxes"], name=f"spearman-{metric}",
                title=f"{_words(metric)}: rank correlation with the truth", caption=CAPTION,
            )  # fmt: skip
    yield partial(counts_chart, run)


def practice_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """What every habit is worth, and where detectors failed on cases they were not trained on."""
    for measure, title in (
        ("optimism", "What was promised out of fold, less what was kept on others"),
        ("ap", "Average precision on unseen surgeons"),
        ("ap50_needle", "How well the needle is found"),
        ("count_error", "How far counts of drops and departures are off"),
    ):
        yield partial(
            dots, run.records, measure, by=["practice"], name=measure.replace("_", "-"),
            title=title, caption=CAPTION,
        )  # fmt: skip
    yield partial(failures, run)


def counts_chart(run: Run) -> Chart:
    """Counts against the truth, case by case, of the first seed."""
    import altair as alt

    parts = [
        _told(run.load("counted", trial=trial["trial"])).assign(**trial["choices"])
        for trial in run.trials
        if trial["seed"] == run.trials[0]["seed"]
    ]
    data = pd.concat(parts, ignore_index=True)
    chart = (
        alt.Chart(data)
        .mark_circle(size=36, opacity=0.5)
        .encode(
            x=alt.X("truth:Q", title="truth"),
            y=alt.Y("given:Q", title="counted"),
            color=alt.Color("metric:N", title=None),
            tooltip=["metric", "truth", "given"],
        )
        .properties(width=150, height=130)
        .facet(row=alt.Row("boxes:N", title=None), column=alt.Column("counter:N", title=None))
    )
    return Chart(
        "counts",
        "What was counted in an operation, and what happened in it",
        "One dot for each operation and metric, first seed. SYNTHETIC.",
        chart,
        data,
    )


def failures(run: Run) -> Picture:
    """The frames of the first trial in which most was missed, out of fold."""
    held = Boxes.joined(run.load("held", trial=0))
    clips, sure = run.load("seen", trial=0), held.take(held.score >= SURE)
    return Picture(
        "failures",
        "Failures out of fold: the frames in which most was missed",
        "By detectors that were not trained on the surgeon. White: what is there; in colour: what "
        f"was found with a score from {SURE:g}, and its state.",
        "Frames with boxes around needle drivers and the needle.",
        frames_with_boxes(clips, sure, worst_frames(clips, sure, SHOWN).tolist()),
    )


def _told(counted: Counted) -> pd.DataFrame:
    """Counts of drops and departures, a row for each."""
    columns = (DROPS, OUT_OF_VIEW)
    return pd.concat(
        [
            pd.DataFrame({"metric": _words(name), "truth": counted.truth[:, k],
                          "given": counted.given[:, k]})
            for k, name in enumerate(columns)
        ],
        ignore_index=True,
    ).dropna()  # fmt: skip


def _words(metric: str) -> str:
    return metric.removesuffix("_counts").replace("_", " ").capitalize()
