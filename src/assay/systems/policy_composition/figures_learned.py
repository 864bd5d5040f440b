"""Figures of the studies over learned levels: safety against success, coverage against return."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from assay.core.charts import PALETTE, dots
from assay.core.figures import Chart, Figure
from assay.core.run import Run
from assay.systems.policy_composition.figures import NOTE, paths, pooled, rates, returns
from assay.systems.policy_composition.navigation import ZONE
from assay.systems.policy_composition.study_offline import DATA

__all__ = ["compose_figures", "coverage_and_return", "offline_figures", "safety_and_success"]

TOLD = ("top alone", "obstacle > top, 1", "obstacle > top, 10", "obstacle > top > side, 1",
        "sum of values, 1", "switch by value, 10")  # fmt: skip
"""Compositions whose paths are drawn."""


def compose_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Safety against success of the compositions, their paths, rates, returns, violations."""
    yield partial(safety_and_success, run)
    yield partial(paths, run, "policy", TOLD, zones=(ZONE,))
    yield partial(rates, run, "policy")
    yield partial(returns, run, "policy")
    yield partial(
        dots,
        run.records,
        "violation_rate",
        by=["policy"],
        name="violations",
        title="Moves that the exact levels forbid",
        caption="Share of the moves looked at that no action explains which the oracle's levels "
        "allow, of the same order and epsilon; of compositions without an order, the obstacle's "
        "with epsilon 1. Mean over seeds with its 95 % interval.",
        x_title="share of moves",
    )
    yield partial(_agreement_of_masks, run, "policy")


def offline_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Coverage against return, distance to exact values, paths, rates and returns."""
    yield partial(coverage_and_return, run)
    yield partial(_distance_of_values, run)
    yield partial(paths, run, "data", zones=(ZONE,))
    yield partial(rates, run, "data")
    yield partial(returns, run, "data")
    yield partial(_agreement_of_masks, run, "data")


def _agreement_of_masks(run: Run, decision: str) -> Chart:
    return dots(
        run.records,
        "mask_iou",
        by=[decision],
        name="mask-iou",
        title="How far learned masks agree with exact ones",
        caption="Actions that both allow over those that either allows, in states that were "
        "visited; mean over seeds with its 95 % interval.",
    )


def _distance_of_values(run: Run) -> Chart:
    values = run.records[run.records["measure"] == "value_difference"]
    return dots(
        values[values["level"] == "top"],
        "value_difference",
        by=["data"],
        name="value-difference",
        title="How far the top's values are from the exact ones",
        caption="Mean |Q - oracle's| over the actions that the oracle allows, in states that were "
        "visited; mean over seeds with its 95 % interval.",
    )


def safety_and_success(run: Run) -> Chart:
    """Arrivals at the top against collisions, a point for each composition."""
    import altair as alt

    data = pooled(run.records, ["policy"])
    if "policy" not in data:
        data["policy"] = "all"
    safe, there = (data[data["what"] == what] for what in data["what"].unique())
    both = safe.merge(there, on="policy", suffixes=("_collided", "_arrived"))
    both["kind"] = [kind_of(name) for name in both["policy"]]
    unit = alt.Scale(domain=[0, 1])
    base = alt.Chart(both).encode(
        x=alt.X("share_collided:Q", title="share of episodes that met the obstacle", scale=unit),
        y=alt.Y("share_arrived:Q", title="share that ended at the top", scale=unit),
        color=alt.Color(
            "kind:N",
            title=None,
            scale=alt.Scale(range=list(PALETTE)),
            legend=alt.Legend(orient="bottom", columns=2),
        ),
        tooltip=["policy:N", *_shares("collided"), *_shares("arrived")],
    )
    layers = (
        base.mark_rule(strokeWidth=1.5).encode(x="low_collided:Q", x2="high_collided:Q"),
        base.mark_rule(strokeWidth=1.5).encode(y="low_arrived:Q", y2="high_arrived:Q"),
        base.mark_point(size=70, filled=True, opacity=1),
    )
    return Chart(
        "safety-and-success",
        "Who gets to the top, and at what price",
        f"{NOTE} Both tasks are solved in the upper left corner.",
        alt.layer(*layers).properties(height=320),
        both,
    )


def kind_of(policy: str) -> str:
    """A composition's name without its epsilon or weight.

    Example:
        >>> kind_of("sum of values, 0.1"), kind_of("top alone")
        ('sum of values', 'top alone')
    """
    name, _, number = policy.rpartition(", ")
    return name if name and number.replace(".", "", 1).isdigit() else policy


def _shares(of: str) -> list[Any]:
    import altair as alt

    return [alt.Tooltip(f"{name}_{of}:Q", format=".3f") for name in ("share", "low", "high")]


def coverage_and_return(run: Run) -> Chart:
    """What was earned against how many of the states the data hold, a point per seed."""
    import altair as alt

    data = learned_from(run.records)
    chart = (
        alt.Chart(data)
        .mark_point(size=70, filled=True, opacity=0.85)
        .encode(
            x=alt.X("covered_states:Q", title="share of the states in the data"),
            y=alt.Y("return:Q", title="return of the top", scale=alt.Scale(zero=False)),
            color=alt.Color(
                "data:N", title=None, scale=alt.Scale(range=list(PALETTE)),
                legend=alt.Legend(orient="bottom", columns=2),
            ),
            tooltip=["data:N", "seed:N", "covered_actions:Q", "covered_states:Q", "return:Q"],
        )
        .properties(height=300)
    )  # fmt: skip
    return Chart(
        "coverage",
        "How much of the world the data hold, and what came of it",
        "Share of the states outside the obstacle in whose cell of 1 x 1 there is a transition "
        "with an allowed action. A point is one seed.",
        chart,
        data,
    )


def learned_from(records: Any) -> Any:
    """Return of the top and coverage of each trial that learned from what was retained."""
    rows = records if "data" in records else records.assign(data=DATA[0])
    rows = rows[rows["data"].isin(DATA)]
    rows = rows[rows["measure"].isin(["covered_actions", "covered_states"]) | (
        (rows["measure"] == "return") & (rows["task"] == "top"))]  # fmt: skip
    table = rows.pivot_table(
        index=["trial", "data", "seed"], columns="measure", values="value", sort=False
    )
    return table.reset_index().rename_axis(columns=None)
