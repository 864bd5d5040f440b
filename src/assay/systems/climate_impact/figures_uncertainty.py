"""The figures of an ensemble: how far the damage spreads, why, and whether truths lie within it."""

import itertools
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from assay.core.charts import dots
from assay.core.figures import Chart, Figure, Picture
from assay.core.run import Run
from assay.systems.climate_impact.maps import panels
from assay.systems.climate_impact.uncertainty import QUANTITIES, Spread

MOST_BINS = 10


def uncertainty_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Spread of the damage, sensitivity indices, ranks of the truths, maps of the first trial."""
    yield partial(spread_of_damage, run)
    if (run.records["measure"] == "first_order").any():
        for measure, title in (
            ("first_order", "Share of the variance that each unknown explains alone"),
            ("total_order", "Share of the variance that each unknown has a part in"),
        ):
            yield partial(
                dots,
                run.records,
                measure,
                by=["quantity"],
                name=measure,
                title=title,
                caption="Sobol indices of the expected annual damage: mean over designs with its "
                "95 % interval. Estimates from few points can leave 0 to 1.",
            )
    yield partial(rank_histogram, run)
    yield partial(likely_depths, run)


def spread_of_damage(run: Run) -> Chart:
    """Every member's damage against what it was computed with."""
    import altair as alt

    records = run.records
    kept = records[(records["measure"] == "member_damage") & (records["step"] == "members")]
    unit = str(kept["unit"].iloc[0])
    data = kept[["value", "seed", *QUANTITIES]].melt(
        id_vars=["value", "seed"], var_name="unknown", value_name="taken"
    )
    points = alt.Chart(data).mark_circle(size=18, opacity=0.4).encode(
        x=alt.X("taken:Q", title=None, scale=alt.Scale(zero=False)),
        y=alt.Y("value:Q", title=f"expected annual damage ({unit})"),
        tooltip=["unknown", "taken", alt.Tooltip("value:Q", format=",.4~s"), "seed"],
    )  # fmt: skip
    chart = points.properties(width=240, height=150).facet(
        facet=alt.Facet("unknown:N", title=None), columns=3
    )
    return Chart(
        "spread_of_damage",
        "Expected annual damage by what was assumed",
        "One dot per member of the ensemble, once in each panel: what bends the cloud matters, "
        "what leaves it level does not.",
        chart.resolve_scale(x="independent"),
        data,
    )


def rank_histogram(run: Run) -> Chart:
    """Where the held-out truths lie among the members, all trials together."""
    import altair as alt
    import pandas as pd

    kept = run.records[run.records["measure"] == "truth_rank"]
    bins = min(MOST_BINS, int(kept["members"].min()) + 1)
    # A rank stands for an equal part of the unit interval; one that lies across bins is shared out
    low, high = kept["value"] / (kept["members"] + 1), (kept["value"] + 1) / (kept["members"] + 1)
    edges = np.linspace(0.0, 1.0, bins + 1)
    rows = []
    for start, end in itertools.pairwise(edges):
        within = (np.minimum(high, end) - np.maximum(low, start)).clip(lower=0.0) / (high - low)
        rows.append({"from": start, "to": end, "share": float(within.mean())})
    data = pd.DataFrame(rows).assign(even=1.0 / bins, truths=len(kept))
    base = alt.Chart(data)
    bars = base.mark_bar().encode(
        x=alt.X("from:Q", title="share of the members below the truth", bin="binned"),
        x2="to:Q",
        y=alt.Y("share:Q", title="share of the truths"),
        tooltip=[alt.Tooltip(k, type="quantitative", format=".3~g") for k in data],
    )
    level = base.mark_rule(strokeDash=[4, 4]).encode(y="even:Q")
    return Chart(
        "rank_histogram",
        "Where held-out truths lie among the members",
        f"{len(kept)} truths by the rank of their expected annual damage. Level bars (dashed) mean "
        "that the spread is right, bars high at both ends that it is too narrow, high in the "
        "middle too wide, sloping that it is biased.",
        alt.layer(bars, level).properties(height=260),
        data,
    )


def likely_depths(run: Run) -> Picture:
    """Exceedance probability, mean and deviation of depth over the members."""
    spread: Spread = run.load("spread")
    return panels(
        "likely_depths",
        "How likely the water stands deep in the rarest storm",
        "Over the independent members of the first trial: the share in which a cell is deeper than "
        "0.3 m, their mean depth, and its standard deviation.",
        "Three maps: the valley floor is deep in nearly all members, its margins in some.",
        run.load("grid"),
        [
            (spread.exceedance, "viridis"),
            (spread.mean_depth_m, "Blues"),
            (spread.deviation_depth_m, "magma_r"),
        ],
        hidden_below=0.02,
    )
