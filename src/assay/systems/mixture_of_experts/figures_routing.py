"""Router health: how evenly tokens were spread over experts, and how sure the gate was."""

import math
from typing import Any

from assay.core.charts import summarise
from assay.core.figures import Chart, Table
from assay.core.run import Run
from assay.systems.mixture_of_experts.costs import TOP

MEASURES = {
    "max_load": ("load of the busiest expert", 1.0),
    "top_share": ("tokens of the busiest fifth", None),
    "bottom_share": ("tokens of the idlest fifth", None),
    "unused_experts": ("experts without a token", 0.0),
    "gate_entropy": ("entropy of the gate (nats)", None),
    "overflow_first": ("first choices dropped", 0.0),
    "overflow_second": ("second choices dropped", 0.0),
}
"""Panels by measure: title, and the value where all experts get the same, if there is one for any
number of them."""
FIFTHS = ("top_share", "bottom_share")
SHARES = ("top_share", "bottom_share", "overflow_first", "overflow_second")


def router_health(run: Run, by: str = "model") -> Chart:
    """Every measure of the routers over training, a line for each choice of ``by``."""
    import altair as alt

    data = _health(run.records, by)
    order = [title for title, _ in MEASURES.values() if title in set(data["panel"])]
    base = alt.Chart(data).encode(
        x=alt.X("training_step:Q", title="step of training", axis=alt.Axis(tickCount=4)),
        color=alt.Color(
            f"{by}:N",
            title=None,
            sort=list(dict.fromkeys(data[by])),
            legend=alt.Legend(orient="top"),
        ),
    )
    up = alt.Y("mean:Q", title=None, axis=alt.Axis(tickCount=4))
    tips = [f"{by}:N", "training_step:Q"]
    tips += [alt.Tooltip(f"{k}:Q", format=",.3~g") for k in ("mean", "low", "high", "n")]
    layers = [
        alt.Chart(data)
        .transform_aggregate(lines="count()", groupby=["panel", "even"])
        .transform_filter("isValid(datum.even)")
        .mark_rule(strokeDash=[4, 3], color="#7f8c8d")
        .encode(y="even:Q"),
        base.mark_line(strokeWidth=2).encode(y=up, tooltip=tips),
    ]
    if data["low"].notna().any():
        layers.insert(1, base.mark_area(opacity=0.16).encode(y="low:Q", y2="high:Q"))
    header = alt.Header(title=None, labelFontSize=13, labelFontWeight=600, labelPadding=6)
    chart = (
        alt.layer(*layers)
        .properties(width=210, height=130)
        .facet(facet=alt.Facet("panel:N", sort=order, header=header), columns=3)
        .resolve_scale(y="independent")
        .resolve_axis(x="independent")
    )
    return Chart(
        "router_health",
        "How evenly the routers spread the tokens",
        "Mean over the mixture layers, then over the seeds with its 95 % interval, as far as its "
        "values are possible. Dashed: what an even spread gives. The load is the busiest expert's "
        "share of the first choices times the number of experts; the shares are of first choices, "
        "and a fifth of the experts is rounded up; dropped choices are those beyond the capacity "
        "of an expert. The entropy is that of the "
        "gate's probabilities, token by token: it falls as the gate gets sure.",
        chart,
        data,
    )


def _health(records: Any, by: str) -> Any:
    """Mean and interval of every measure by choice and step, with the title of its panel."""
    import pandas as pd

    parts, records = [], records[records["training_step"].notna()]
    for measure, (title, even) in MEASURES.items():
        if (records["measure"] == measure).any():
            rows = summarise(records, measure, [by, "training_step"]).drop(columns="unit")
            most = 1.0 if measure in SHARES else None
            rows[["low", "high"]] = rows[["low", "high"]].clip(0.0, most)
            found = _even_fifths(records, rows[by], by) if measure in FIFTHS else even
            parts.append(rows.assign(measure=measure, panel=title, even=found))
    return pd.concat(parts, ignore_index=True)


def _even_fifths(records: Any, choices: Any, by: str) -> Any:
    """What a fifth of the experts, rounded up, would get of an even spread; by choice."""
    numbers = records["model"].astype(str).str.extract(r"x(\d+)$")[0]
    found = numbers.notna()
    experts = dict(zip(records.loc[found, by], numbers[found].astype(int), strict=True))
    return choices.map({choice: math.ceil(TOP * n) / n for choice, n in experts.items()})


def experts_read(run: Run) -> Table:
    """What the experts of the last sparse model of the ladder read."""
    import pandas as pd

    found = run.load("health.examples")
    tables = [table for table in (found if isinstance(found, list) else [found]) if len(table)]
    data = tables[-1] if tables else pd.DataFrame(columns=["layer", "expert", "share", "reads"])
    return Table(
        "experts_read",
        "What each expert reads",
        "The last sparse model of the ladder, in the first trial: for each expert its share of the "
        "first choices in held-out text, and the tokens that the router is surest of, in brackets.",
        data.assign(share=(100 * data["share"]).round(1).astype(str) + " %"),
    )
