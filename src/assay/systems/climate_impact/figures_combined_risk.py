"""A combined-risk run as maps, exceedance curves and rankings; read from the run, as it is."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from assay.core.charts import dots
from assay.core.figures import Chart, Figure, Picture
from assay.core.run import Run
from assay.systems.climate_impact.exposure import Assets
from assay.systems.climate_impact.figures import DEPTH_STEPS_M, DRY_M
from assay.systems.climate_impact.maps import axis_labels, extent_km, geotiff, ground
from assay.systems.climate_impact.rasters import Raster, Terrain

BOTH = "both"


def combined_risk_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Maps and curves of the first trial that counts both hazards, then all trials by choice."""
    members = run.trials[0]["steps"]["rain"]
    periods = sorted({m["member"]["return_period_years"] for m in members})
    base = _base(run)
    yield partial(hazard_maps, run, base, periods[-1])
    yield partial(exceedance, run, base)
    yield partial(ranking, run, base)
    choices = list(run.trials[0]["choices"])
    for measure, title in (
        ("expected_annual_damage", "Expected annual damage by the hazards counted"),
        ("top_changed", "Share of the ten worst-hit buildings that are new beside flood alone"),
        (
            "rank_correlation",
            "Rank correlation of damages with those by flood alone",
        ),
    ):
        yield partial(
            dots,
            _defined(run.records, measure),
            measure,
            by=choices,
            name=measure,
            title=title,
            caption="Mean over the seeds, each a settlement and a draw of soil strengths, with its "
            "95 % interval where they differ.",
        )


def _base(run: Run) -> dict[str, Any]:
    """The trial shown: both hazards, and as many buildings on the slopes as the study has."""
    found = [t for t in run.trials if t["choices"].get("hazards", BOTH) == BOTH] or run.trials
    return max(found, key=lambda t: (t["choices"].get("hillside", 0.0), -t["trial"]))


def _defined(records: Any, measure: str) -> Any:
    rows = records[records["measure"] == measure]
    return rows[np.isfinite(rows["value"])]


def _choices(trial: dict[str, Any]) -> str:
    return ", ".join(f"{k} {v}" for k, v in trial["choices"].items() if k != "hazards")


# -- maps ---------------------------------------------------------------------------------------


def hazard_maps(run: Run, trial: dict[str, Any], period: float) -> Picture:
    """Depth of the flood and stability of the slopes in the rarest storm, with the buildings."""
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.figure import Figure as Drawing

    number, grid_ = trial["trial"], {"return_period_years": period}
    terrain: Terrain = run.load("terrain", trial=number)
    assets: Assets = run.load("exposure", trial=number)
    depth: Raster = run.load("flood/maps.max_depth_m", trial=number, **grid_)
    safety: Raster = run.load("landslides/maps.factor_of_safety", trial=number, **grid_)
    unstable: Raster = run.load("landslides/maps.unstable", trial=number, **grid_)
    drawing = Drawing(figsize=(14.0, 5.4), layout="constrained")
    panels = drawing.subplots(1, 3, sharex=True, sharey=True)
    blues = ListedColormap(colormaps["Blues"](np.linspace(0.3, 1.0, 256)))
    shown = (
        ("maximum depth (m)", np.ma.masked_less(np.nan_to_num(depth.values), DRY_M),
         {"cmap": blues, "norm": BoundaryNorm(DEPTH_STEPS_M, 256, extend="max")}),
        ("factor of safety", np.ma.masked_greater(safety.values, 3.0),
         {"cmap": "RdYlGn", "vmin": 0.5, "vmax": 3.0}),
        ("share of soil samples that fail", np.ma.masked_less_equal(unstable.values, 0.0),
         {"cmap": "YlOrRd", "vmin": 0.0, "vmax": 1.0}),
    )  # fmt: skip
    for panel, (label, values, how) in zip(panels, shown, strict=True):
        ground(panel, terrain)
        image = panel.imshow(values, extent=extent_km(terrain.grid), **how)
        panel.plot(assets.x_m / 1e3, assets.y_m / 1e3, ".", ms=2.5, color="#4a148c", alpha=0.8)
        drawing.colorbar(image, ax=panel, label=label, location="bottom", shrink=0.8)
    axis_labels(drawing)
    return Picture(
        "hazard_maps",
        f"Two hazards of the {period:g}-year storm: {terrain.name}",
        f"Left, depth of the flood where it exceeds {DRY_M:g} m; in the middle, factor of safety "
        "of the slopes at the soil's central strength, up to 3; right, the share of the soil's "
        f"samples with which a cell fails ({_choices(trial)}). Dots are the {assets.kind}: "
        f"{assets.note}. Soil parameters are assumptions, and slopes over cells of "
        f"{terrain.grid.cell_m:.0f} m are gentler than the ground.",
        "Three maps: the flood lies in the valleys, the unstable slopes above them.",
        drawing,
        {
            f"depth_{period:g}_years.tif": geotiff(depth),
            f"factor_of_safety_{period:g}_years.tif": geotiff(safety),
            f"unstable_{period:g}_years.tif": geotiff(unstable),
        },
    )


# -- curves -------------------------------------------------------------------------------------


def exceedance(run: Run, trial: dict[str, Any]) -> Chart:
    """Loss against the chance that a year exceeds it: each hazard and both together."""
    import altair as alt
    import pandas as pd

    alike = {k: v for k, v in trial["choices"].items() if k != "hazards"}
    rows: list[dict[str, Any]] = []
    for other in run.trials:
        if other["seed"] != trial["seed"] or not alike.items() <= other["choices"].items():
            continue
        made = run.load("risk.curve", trial=other["trial"])
        rows += [
            {"hazards": other["choices"].get("hazards", BOTH), "exceedance": p, "loss": loss}
            for p, loss in zip(made.annual_probability.tolist(), made.loss.tolist(), strict=True)
        ]
    data, base = pd.DataFrame(rows), run.load("risk.curve", trial=trial["trial"])
    chances = sorted(data["exceedance"].unique().tolist())
    lines = alt.Chart(data).encode(
        x=alt.X("exceedance:Q", title="chance of being exceeded in a year",
                scale=alt.Scale(type="log", domain=[chances[0], chances[-1]]),
                axis=alt.Axis(values=chances, labelOverlap=True)),
        y=alt.Y("loss:Q", title=f"loss ({base.currency})"),
        color=alt.Color("hazards:N", title="hazards"),
        tooltip=["hazards", "exceedance:Q", alt.Tooltip("loss:Q", format=",.4~s")],
    )  # fmt: skip
    return Chart(
        "exceedance_curves",
        "Loss exceedance by hazard",
        f"The first seed ({_choices(trial)}). {base.rule}",
        (lines.mark_line() + lines.mark_circle(size=40)).properties(height=300),
        data,
    )


def ranking(run: Run, trial: dict[str, Any]) -> Chart:
    """Place of every building among the worst hit, without and with landslides."""
    import altair as alt
    import pandas as pd
    from scipy.stats import rankdata

    before, after = (run.load(f"ranking.{n}", trial=trial["trial"]) for n in ("before", "after"))
    names = run.load("exposure", trial=trial["trial"]).names
    data = pd.DataFrame(
        {
            "building": names,
            "damage_by_flood": before,
            "damage_by_both": after,
            "place_by_flood": rankdata(-before, method="min"),
            "place_by_both": rankdata(-after, method="min"),
        }
    )
    data = data[data["damage_by_both"] > 0]
    data["reached"] = np.where(
        data["damage_by_flood"] == data["damage_by_both"], "by the flood only",
        np.where(data["damage_by_flood"] > 0, "by both", "by landslides only"),
    )  # fmt: skip
    points = alt.Chart(data).mark_point(filled=True, size=45, opacity=0.8).encode(
        x=alt.X("place_by_flood:Q", title="place by flood alone (1 is worst hit)",
                scale=alt.Scale(reverse=True, zero=False)),
        y=alt.Y("place_by_both:Q", title="place by flood and landslides",
                scale=alt.Scale(reverse=True, zero=False)),
        color=alt.Color("reached:N", title="buildings reached"),
        tooltip=["building", "place_by_flood", "place_by_both",
                 alt.Tooltip("damage_by_flood", format=",.4~s"),
                 alt.Tooltip("damage_by_both", format=",.4~s")],
    )  # fmt: skip
    return Chart(
        "ranking",
        "Which buildings suffer most",
        "One dot per building with any damage, of the first seed. Buildings no flood reaches "
        "share the last place by flood alone.",
        points.properties(height=340),
        data,
    )
