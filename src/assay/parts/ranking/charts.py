"""A ranking in pictures: values, ranks of cases, and what resamples of the cases make of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from assay.core.charts import PALETTE
from assay.core.figures import Chart
from assay.parts.ranking.ranks import ranks
from assay.parts.ranking.schemes import Ranking, Scheme, rank, significant
from assay.parts.ranking.scores import Scores
from assay.parts.ranking.stability import Stability, rank_counts

__all__ = [
    "LINE_SCHEMES",
    "blob",
    "by_scheme",
    "in_order",
    "podium",
    "rank_heatmap",
    "significance",
    "tau",
]

LINE_SCHEMES = {
    "tests": Scheme("test-then-rank", missing="omit"),
    "mean, then rank": Scheme(missing="omit"),
    "median, then rank": Scheme(aggregate="median", missing="omit"),
    "rank, then mean": Scheme("rank-then-aggregate"),
    "rank, then median": Scheme("rank-then-aggregate", aggregate="median"),
}
"""The five ways that a ranking is compared by."""
MANY_CASES = 60
"""Cases whose lines are drawn on a podium; of more, this many are chosen evenly."""


def in_order(ranking: Ranking) -> list[str]:
    """The algorithms from the best to the worst; equals by name, the unranked last."""
    key = np.where(np.isnan(ranking.rank), np.inf, ranking.rank)
    names = np.array(ranking.algorithms)
    return names[np.lexsort((names, key))].tolist()


def blob(stability: Stability, name: str, title: str) -> Chart:
    """How often each algorithm had each rank when the cases were drawn anew."""
    import altair as alt

    order = in_order(stability.ranking)
    draws, count = stability.ranks.shape
    shares = rank_counts(stability.ranks) / draws
    low, high = stability.interval
    middle = np.nanmedian(stability.ranks, axis=0)
    data = pd.DataFrame(
        [
            {"algorithm": a, "rank": r + 1, "share": shares[r, i], "median": middle[i],
             "low": low[i], "high": high[i]}
            for i, a in enumerate(stability.ranking.algorithms)
            for r in range(count)
            if shares[r, i] > 0
        ]
    )  # fmt: skip
    base = alt.Chart(data).encode(
        x=alt.X("algorithm:N", sort=order, title=None, axis=alt.Axis(labelAngle=0)),
        color=alt.Color("algorithm:N", legend=None, scale=_scale(order)),
    )
    tips = ["algorithm", "rank", alt.Tooltip("share:Q", format=".1%"), "median", "low", "high"]
    up = _downwards(count)
    size = alt.Size("share:Q", scale=alt.Scale(domain=[0, 1], range=[0, 1600]), legend=None)
    layers = [
        base.mark_circle(opacity=0.65).encode(y=up, size=size, tooltip=tips),
        base.mark_rule(color="#222222", strokeWidth=1.5).encode(
            y="low:Q", y2="high:Q", color=alt.value("#222222")
        ),
        base.mark_point(shape="cross", filled=True, size=55).encode(
            y="median:Q", color=alt.value("#222222"), tooltip=tips
        ),
    ]
    return Chart(
        name,
        title,
        f"Areas show how often an algorithm had a rank in {draws:,} resamples of the cases, the "
        "cross its median rank, the line the interval that holds 95 % of them.",
        alt.layer(*layers).properties(height=60 + 40 * count),
        data,
    )


def podium(scores: Scores, ranking: Ranking, name: str, title: str) -> Chart:
    """Which algorithm was first, second, ... on each case, and with which value."""
    import altair as alt

    order = in_order(ranking)
    data = _placed(scores, order)
    base = alt.Chart(data).encode(x=_along("slot:Q", len(order), "place on a case"))
    up = alt.Y("value:Q", title="value", scale=alt.Scale(zero=False))
    lines = base.mark_line(opacity=0.2, strokeWidth=0.8, color="#666666").encode(
        y=up, detail="case:N", order="place:Q"
    )
    dots = base.mark_circle(size=34, opacity=0.85).encode(
        y=up, color=_colour(order), tooltip=["algorithm", "case", "place", "value"]
    )
    held = base.mark_bar(size=max(4, 240 // len(order) ** 2)).encode(
        y=alt.Y("count():Q", title="cases"),
        color=_colour(order),
        tooltip=["algorithm", "place", "count()"],
    )
    drawn, cases = len(set(data["case"])), len(scores.cases)
    some = f"; {drawn} of {cases} cases are drawn" if drawn < cases else ""
    return Chart(
        name,
        title,
        "Each line is a case: its dots are the algorithms, ordered by place. Bars below count how "
        f"often an algorithm held a place{some}. Equal values are placed by name.",
        alt.vconcat(
            (lines + dots).properties(height=240, width=400),
            held.properties(height=80, width=400),
            spacing=4,
        ),
        data.drop(columns="slot"),
    )


def _placed(scores: Scores, order: list[str]) -> pd.DataFrame:
    """The place of every algorithm on every case that is drawn, and where its dot stands."""
    chosen = np.unique(np.linspace(0, len(scores.cases) - 1, MANY_CASES).astype(int))
    places = ranks(scores.values, small_better=scores.small_better, ties="first")
    rows = [
        {"case": scores.cases[c], "algorithm": algorithm, "place": int(places[c, a]),
         "value": scores.values[c, a]}
        for c in chosen
        for a, algorithm in enumerate(scores.algorithms)
        if np.isfinite(scores.values[c, a])
    ]  # fmt: skip
    data = pd.DataFrame(rows)
    aside = (data["algorithm"].map(order.index) - (len(order) - 1) / 2) / len(order)
    return data.assign(slot=data["place"] + 0.8 * aside)


def rank_heatmap(scores: Scores, ranking: Ranking, name: str, title: str) -> Chart:
    """On how many cases each algorithm had each rank."""
    order = in_order(ranking)
    counts = rank_counts(ranks(scores.values, small_better=scores.small_better))
    data = pd.DataFrame(
        [
            {"algorithm": a, "rank": r + 1, "cases": int(counts[r, i])}
            for i, a in enumerate(scores.algorithms)
            for r in range(len(order))
        ]
    )
    return Chart(
        name,
        title,
        "Number of cases on which an algorithm had a rank; a diagonal is a clear ranking.",
        _grid(data, "algorithm", "rank", "cases", order, list(range(1, len(order) + 1))),
        data,
    )


def significance(scores: Scores, ranking: Ranking, scheme: Scheme, name: str, title: str) -> Chart:
    """Which algorithm is significantly better than which."""
    import altair as alt

    order = in_order(ranking)
    beats = significant(scores, scheme)
    data = pd.DataFrame(
        [
            {"better": a, "than": b, "verdict": "significant" if beats[i, j] else "not significant"}
            for i, a in enumerate(scores.algorithms)
            for j, b in enumerate(scores.algorithms)
            if i != j
        ]
    )
    chart = (
        alt.Chart(data)
        .mark_rect(stroke="white")
        .encode(
            x=alt.X("better:N", sort=order, title="better", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("than:N", sort=order, title="than"),
            color=alt.Color(
                "verdict:N",
                title=None,
                legend=alt.Legend(orient="top"),
                scale=alt.Scale(
                    domain=["significant", "not significant"], range=["#e9b44c", "#dfe7ee"]
                ),
            ),
            tooltip=["better", "than", "verdict"],
        )
        .properties(height=44 * len(order))
    )
    return Chart(
        name,
        title,
        "The algorithm of the column is better than that of the row by a one-sided signed-rank "
        f"test at level {scheme.alpha:g}, p-values adjusted by {scheme.adjust.capitalize()} over "
        "all ordered pairs.",
        chart,
        data,
    )


def tau(stabilities: Sequence[tuple[str, Stability]], name: str, title: str) -> Chart:
    """How much the rankings of resamples agree with the ranking itself, as mirrored bars."""
    import altair as alt

    rows: list[dict[str, Any]] = []
    for label, stability in stabilities:
        told = stability.tau[~np.isnan(stability.tau)]
        values, counts = np.unique(np.round(told, 2), return_counts=True)
        rows += [
            {"ranking": label, "tau": v, "share": n / len(stability.tau)}
            for v, n in zip(values, counts, strict=True)
        ]
        if not len(told):
            rows.append({"ranking": label, "tau": np.nan, "share": 0.0})
    data = pd.DataFrame(rows)
    data["left"], data["right"] = -data["share"] / 2, data["share"] / 2
    labels = [label for label, _ in stabilities]
    chart = (
        alt.Chart(data)
        .transform_filter("isValid(datum.tau)")
        .mark_bar(height=7)
        .encode(
            x=alt.X("left:Q", title=None, axis=None, scale=alt.Scale(domain=[-0.5, 0.5])),
            x2="right:Q",
            y=alt.Y(
                "tau:Q", title="Kendall's tau", scale=alt.Scale(domain=[-1.05, 1.05], nice=False)
            ),
            color=alt.Color("ranking:N", sort=labels, legend=None, scale=_scale(labels)),
            tooltip=["ranking", "tau", alt.Tooltip("share:Q", format=".1%")],
        )
        .properties(width=max(110, 840 // len(labels)), height=260)
        .facet(column=alt.Column("ranking:N", sort=labels, title=None), spacing=6)
    )
    undefined = [label for label, s in stabilities if np.isnan(s.tau).any()]
    also = (
        f" Undefined, and left out, where a ranking has one rank for all: {', '.join(undefined)}."
        if undefined
        else ""
    )
    return Chart(
        name,
        title,
        "Width shows the share of resamples with a value; 1 is the same order, 0 none in common."
        + also,
        chart,
        data.drop(columns=["left", "right"]),
    )


def by_scheme(scores: Scores, name: str, title: str) -> Chart:
    """The ranks of the algorithms by five ways to rank."""
    import altair as alt

    rankings = {label: rank(scores, scheme) for label, scheme in LINE_SCHEMES.items()}
    order = in_order(rankings["mean, then rank"])
    data = pd.DataFrame(
        [
            {"way": way, "algorithm": a, "rank": r, "score": s}
            for way, ranking in rankings.items()
            for a, r, s in zip(ranking.algorithms, ranking.rank, ranking.score, strict=True)
        ]
    )
    count = len(order)
    two_lines = alt.Axis(labelAngle=0, labelExpr="split(datum.label, ', ')")
    chart = (
        alt.Chart(data)
        .mark_line(point=alt.OverlayMarkDef(size=70), strokeWidth=2)
        .encode(
            x=alt.X("way:N", sort=list(LINE_SCHEMES), title=None, axis=two_lines),
            y=_downwards(count),
            color=_colour(order),
            tooltip=["algorithm", "way", "rank", "score"],
        )
        .properties(height=40 + 40 * count)
    )  # fmt: skip
    return Chart(
        name,
        title,
        "Lines that cross are decisions that the way of ranking makes, not the data.",
        chart,
        data,
    )


def _grid(
    data: pd.DataFrame, x: str, y: str, value: str, x_order: list[str], y_order: list[Any]
) -> Any:
    import altair as alt

    base = alt.Chart(data).encode(
        x=alt.X(f"{x}:N", sort=x_order, title=None, axis=alt.Axis(labelAngle=0)),
        y=alt.Y(f"{y}:O", sort=y_order, title=y),
    )
    half = max(data[value].tolist()) / 2
    cells = base.mark_rect().encode(
        color=alt.Color(f"{value}:Q", scale=alt.Scale(scheme="blues"), legend=None),
        tooltip=[x, y, value],
    )
    numbers = base.mark_text(fontSize=11).encode(
        text=f"{value}:Q",
        color=alt.condition(f"datum.{value} > {half}", alt.value("white"), alt.value("#333333")),
    )
    return (cells + numbers).properties(height=36 * len(y_order))


def _downwards(count: int) -> Any:
    """Ranks on a vertical axis, the best on top."""
    import altair as alt

    scale = alt.Scale(domain=[count + 0.5, 0.5], nice=False)
    return alt.Y("rank:Q", title="rank", scale=scale, axis=_whole(count))


def _along(field: str, count: int, title: str) -> Any:
    import altair as alt

    scale = alt.Scale(domain=[0.5, count + 0.5], nice=False)
    return alt.X(field, title=title, scale=scale, axis=_whole(count))


def _whole(count: int) -> Any:
    import altair as alt

    return alt.Axis(values=list(range(1, count + 1)), format="d")


def _scale(order: Sequence[str]) -> Any:
    import altair as alt

    colours = [PALETTE[i % len(PALETTE)] for i in range(len(order))]
    return alt.Scale(domain=list(order), range=colours)


def _colour(order: Sequence[str]) -> Any:
    import altair as alt

    return alt.Color("algorithm:N", sort=list(order), title=None, scale=_scale(order))
