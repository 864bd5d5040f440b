"""The figures of a flood-risk run; what is drawn is read from the run, never recomputed."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from assay.core.charts import curve, dots
from assay.core.figures import Chart, Figure, Picture
from assay.core.run import Run
from assay.systems.climate_impact.exposure import Assets
from assay.systems.climate_impact.maps import axis_labels, extent_km, geotiff, ground
from assay.systems.climate_impact.rasters import Raster, Terrain

DRY_M = 0.1
"""Depths below this are not drawn: rain on the grid wets every cell a little."""
DEPTH_STEPS_M = (DRY_M, 0.3, 0.5, 1.0, 2.0, 4.0, 8.0)
MOST_MAPS = 4


def flood_risk_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Maps of the base trial, then curves over all trials.

    For any run with steps called ``terrain`` (or ``grid``, the terrain that the flood ran on),
    ``rain``, ``flood``, ``exposure`` and ``risk``, whatever its decisions.
    """
    members = run.trials[0]["steps"]["flood"]
    periods = sorted({m["member"]["return_period_years"] for m in members})
    yield partial(depth_maps, run, periods)
    yield partial(hazard_maps, run, periods[-1])
    yield partial(exceedance, run)
    yield partial(losses_by_return_period, run)
    if run.trials[0]["choices"]:
        yield partial(
            dots,
            run.records,
            "expected_annual_damage",
            by=list(run.trials[0]["choices"]),
            name="expected_annual_damage",
            title="Expected annual damage by choice",
            caption="Mean over the seeds, with its 95 % interval where there are several.",
        )
    yield partial(contributions, run)
    yield partial(hyetographs, run, periods)


def _terrain(run: Run) -> Terrain:
    return run.load("grid" if "grid" in run.trials[0]["steps"] else "terrain")


# -- maps ---------------------------------------------------------------------------------------


def depth_maps(run: Run, periods: Sequence[float]) -> Picture:
    """Maximum depth for up to four return periods, over the shaded terrain."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.figure import Figure as Drawing

    terrain = _terrain(run)
    assets: Assets = run.load("exposure")
    chosen = [periods[k] for k in np.linspace(0, len(periods) - 1, MOST_MAPS).round().astype(int)]
    chosen = list(dict.fromkeys(chosen))
    depths: dict[float, Raster] = {
        T: run.load("flood.max_depth_m", return_period_years=T) for T in periods
    }
    drawing = Drawing(figsize=(11.0, 10.4), layout="constrained")
    panels = drawing.subplots(2, 2, sharex=True, sharey=True, squeeze=False).ravel()
    norm = BoundaryNorm(DEPTH_STEPS_M, 256, extend="max")
    blues = ListedColormap(colormaps["Blues"](np.linspace(0.3, 1.0, 256)))
    for panel, period in zip(panels, chosen, strict=False):
        ground(panel, terrain)
        deep = np.ma.masked_less(np.nan_to_num(depths[period].values), DRY_M)
        panel.imshow(deep, cmap=blues, norm=norm, extent=extent_km(terrain.grid))
        panel.plot(assets.x_m / 1e3, assets.y_m / 1e3, ".", ms=2.5, color="#b3261e", alpha=0.7)
        panel.set_title(f"{period:g}-year storm", fontsize=11)
    for panel in panels[len(chosen) :]:
        panel.set_visible(False)
    drawing.colorbar(
        ScalarMappable(norm, blues), ax=panels.tolist(), label="maximum depth (m)", shrink=0.6
    )
    axis_labels(drawing)
    return Picture(
        "depth_maps",
        f"How deep the water stands: {terrain.name}",
        f"Maximum depth in each cell of {terrain.grid.cell_m:.0f} m, where it exceeds {DRY_M:g} m, "
        f"over the shaded terrain ({terrain.note or 'as it was read'}). Red dots are "
        f"the {assets.kind}: {assets.note}. The maps are also GeoTIFF files.",
        f"Maps of flood depth for return periods {', '.join(f'{T:g}' for T in chosen)} years; "
        "the water stands in the valleys and stands deeper and wider the rarer the storm.",
        drawing,
        {f"depth_{T:g}_years.tif": geotiff(raster) for T, raster in depths.items()},
    )


def hazard_maps(run: Run, period: float) -> Picture:
    """Speed, hazard and arrival time of the rarest storm."""
    from matplotlib.figure import Figure as Drawing

    terrain = _terrain(run)
    fields = {
        "max_velocity_m_per_s": ("speed (m/s)", "magma_r"),
        "max_hazard_m2_per_s": ("depth x speed (m²/s)", "YlOrRd"),
        "arrival_time_h": ("arrival (h after the storm began)", "viridis"),
    }
    drawing = Drawing(figsize=(13.0, 5.0), layout="constrained")
    panels = drawing.subplots(1, len(fields), sharey=True)
    rasters: dict[str, Raster] = {
        name: run.load(f"flood.{name}", return_period_years=period) for name in fields
    }
    deep: Raster = run.load("flood.max_depth_m", return_period_years=period)
    dry = ~(deep.values >= DRY_M)
    for panel, (name, (label, colours)) in zip(panels, fields.items(), strict=True):
        ground(panel, terrain)
        values = np.ma.masked_array(rasters[name].values, dry | np.isnan(rasters[name].values))
        top = np.percentile(values.compressed(), 99) if values.count() else None
        shown = panel.imshow(values, cmap=colours, vmax=top, extent=extent_km(terrain.grid))
        panel.set_xlabel("easting (km)", fontsize=10)
        drawing.colorbar(shown, ax=panel, label=label, location="bottom", shrink=0.8)
    panels[0].set_ylabel("northing (km)", fontsize=10)
    return Picture(
        "hazard_maps",
        f"Speed, hazard and arrival in the {period:g}-year storm",
        f"Where the water is deeper than {DRY_M:g} m. Hazard is the largest product of depth and "
        "speed; arrival is when the water first stood 0.1 m deep.",
        "Three maps: speed and hazard are highest on the steep tributaries; water arrives there "
        "first and in the valley last.",
        drawing,
        {f"{name}_{period:g}_years.tif": geotiff(raster) for name, raster in rasters.items()},
    )


# -- curves -------------------------------------------------------------------------------------


def exceedance(run: Run) -> Chart:
    """Loss against the chance that a year exceeds it, one line per trial of the base choice."""
    import altair as alt
    import pandas as pd

    rows = [
        {"trial": t["trial"], "seed": t["seed"], **t["choices"], "exceedance": p, "loss": loss}
        for t in run.trials
        if t["choices"] == run.trials[0]["choices"]
        for p, loss in _curve(run, t["trial"])
    ]
    data = pd.DataFrame(rows)
    base = run.load("risk.curve")
    chances = sorted(data["exceedance"].unique().tolist())
    lines = alt.Chart(data).encode(
        x=alt.X("exceedance:Q", title="chance of being exceeded in a year",
                scale=alt.Scale(type="log", domain=[chances[0], chances[-1]]),
                axis=alt.Axis(values=chances, labelOverlap=True)),
        y=alt.Y("loss:Q", title=f"loss ({base.currency})"),
        detail="seed:N",
        tooltip=["seed:N", "exceedance:Q", alt.Tooltip("loss:Q", format=",.4~s")],
    )  # fmt: skip
    layers = lines.mark_line(opacity=0.5, strokeWidth=1.5) + lines.mark_circle(size=30, opacity=0.5)
    return Chart(
        "exceedance_curve",
        "Loss exceedance curve",
        "One line per seed. On a linear axis the area under a line, with its tails, is the "
        "expected annual damage. "
        f"{base.rule}",
        layers.properties(height=300),
        data,
    )


def _curve(run: Run, trial: int) -> list[tuple[float, float]]:
    made = run.load("risk.curve", trial=trial)
    return list(zip(made.annual_probability.tolist(), made.loss.tolist(), strict=True))


def losses_by_return_period(run: Run) -> Chart:
    """Loss per storm, by the roughness assumed."""
    records = run.records
    for decision, choice in run.trials[0]["choices"].items():
        if decision != "manning":
            records = records[records[decision] == choice]
    return curve(
        records,
        "loss",
        "return_period_years",
        by="manning" if "manning" in run.trials[0]["choices"] else "",
        log_x=True,
        name="loss_by_return_period",
        title="Loss by return period",
        caption="Mean over the seeds with its 95 % interval; everything but the roughness as "
        "in the first trial.",
        x_title="return period (years)",
    )


def contributions(run: Run) -> Chart:
    """Which storms the expected annual damage comes from."""
    import altair as alt
    import pandas as pd

    made = run.load("risk.curve")
    bounds = zip(made.band_from_years.tolist(), made.band_to_years.tolist(), strict=True)
    bands = [f"{a:g} to {b:g}" if np.isfinite(b) else f"over {a:g}" for a, b in bounds]
    data = pd.DataFrame({"storms": bands, "damage_per_year": made.contribution})
    bars = alt.Chart(data).mark_bar().encode(
        x=alt.X("damage_per_year:Q", title=f"damage per year ({made.currency})"),
        y=alt.Y("storms:N", sort=None, title="return period (years)"),
        tooltip=["storms", alt.Tooltip("damage_per_year:Q", format=",.4~s")],
    )  # fmt: skip
    return Chart(
        "contributions",
        "Where the annual damage comes from",
        "Expected annual damage of the first trial, split by the return period of the storm.",
        bars.properties(height=300),
        data,
    )


def hyetographs(run: Run, periods: Sequence[float]) -> Chart:
    """The design storms."""
    import altair as alt
    import pandas as pd

    rows: list[dict[str, float]] = []
    for period in periods:
        rain = run.load("rain", return_period_years=period)
        hours = np.asarray(rain.times_s) / 3600.0
        rates = np.append(rain.rain_mm_per_h, 0.0)[: len(hours)]
        rows += [
            {"return_period_years": period, "hour": h, "rain_mm_per_h": r}
            for h, r in zip(hours.tolist(), rates.tolist(), strict=True)
        ]
    data = pd.DataFrame(rows)
    steps = alt.Chart(data).mark_line(interpolate="step-after").encode(
        x=alt.X("hour:Q", title="hours"),
        y=alt.Y("rain_mm_per_h:Q", title="effective rain (mm/h)"),
        color=alt.Color("return_period_years:O", title="return period (years)",
                        scale=alt.Scale(scheme="tealblues")),
        tooltip=["return_period_years", "hour", "rain_mm_per_h"],
    )  # fmt: skip
    return Chart(
        "hyetographs",
        "The design storms",
        "Effective rain (after the runoff coefficient) of each storm: alternating blocks around "
        "the peak.",
        steps.properties(height=300),
        data,
    )
