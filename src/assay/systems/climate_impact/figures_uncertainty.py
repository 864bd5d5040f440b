"""The figures of an ensemble: how far the damage spreads, why, and how likely each cell is deep."""

from collections.abc import Callable, Iterator
from functools import partial

from assay.core.charts import dots
from assay.core.figures import Chart, Figure, Picture
from assay.core.run import Run
from assay.systems.climate_impact.maps import panels
from assay.systems.climate_impact.uncertainty import QUANTITIES, Spread


def uncertainty_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """The spread of the damage, the sensitivity indices, and the maps of the first trial."""
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
    yield partial(likely_depths, run)


def spread_of_damage(run: Run) -> Chart:
    """Every member's damage against what it was computed with."""
    import altair as alt

    kept = run.records[run.records["measure"] == "member_damage"]
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
