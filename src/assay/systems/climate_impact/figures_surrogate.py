"""The figures of a learned flood model: its maps beside the solver's, its training, its errors."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from assay.core.charts import curve, dots
from assay.core.figures import Chart, Figure, Picture
from assay.core.run import Run
from assay.systems.climate_impact.ensemble import Case
from assay.systems.climate_impact.figures import DEPTH_STEPS_M, DRY_M
from assay.systems.climate_impact.maps import axis_labels, extent_km, geotiff, ground
from assay.systems.climate_impact.rasters import Raster

MOST_DIFFERENCE_M = 0.5
MEASURES = {
    "csi_0p1": ("Cells flooded deeper than 0.1 m", "Critical success index: the share of the cells "
                "that either model floods which both do; 1 is perfect."),
    "csi_0p3": ("Cells flooded deeper than 0.3 m", "Critical success index, as above."),
    "wet_rmse": ("Error of the depth", "Root mean square over cells deeper than 0.1 m in either "
                 "map."),
    "volume_bias": ("Bias of the volume", "Sum of the largest depths beside the solver's, less 1."),
    "ead_error": ("Error of the expected annual damage", "Distance from the damage by the solver's "
                  "depths, as a share of it."),
    "speed_up": ("Speed", "Processor time of the solver over that of the learned model, reading it "
                 "included and training it not. A measurement: it differs from run to run."),
}  # fmt: skip


def surrogate_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Maps of the first trial on a terrain never trained on, then all trials."""
    yield partial(beside_the_solver, run)
    yield partial(training, run)
    present = set(run.records["measure"])
    for measure in (name for name in MEASURES if name in present):
        yield partial(by_split, run, measure)


def beside_the_solver(run: Run) -> Picture:
    """Depth by the solver, by the learned model, and the difference, in the rarest storm."""
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.figure import Figure as Drawing

    members = [m["member"] for m in run.trials[0]["steps"]["truth"]]
    unseen = [m for m in members if m["split"] == "terrain"] or members
    at = max(unseen, key=lambda m: (m["return_period_years"], -m["place"]))
    case: Case = run.load("case", **{k: at[k] for k in ("split", "kind", "place")})
    solver: Raster = run.load("truth.max_depth_m", **at)
    learned: Raster = run.load("learned.max_depth_m", **at)
    drawing = Drawing(figsize=(13.2, 5.0), layout="constrained")
    panels = drawing.subplots(1, 3, sharey=True)
    extent = extent_km(case.terrain.grid)
    norm = BoundaryNorm(DEPTH_STEPS_M, 256, extend="max")
    blues = ListedColormap(colormaps["Blues"](np.linspace(0.3, 1.0, 256)))
    deep = "maximum depth (m)"
    for panel, raster, title in zip(panels, (solver, learned), ("solver", "learned"), strict=False):
        ground(panel, case.terrain)
        wet = np.ma.masked_less(np.nan_to_num(raster.values), DRY_M)
        shown = panel.imshow(wet, cmap=blues, norm=norm, extent=extent)
        panel.set_title(title, fontsize=11)
        drawing.colorbar(shown, ax=panel, label=deep, location="bottom", shrink=0.8)
    off = learned.values - solver.values
    ground(panels[2], case.terrain)
    shown = panels[2].imshow(
        np.ma.masked_invalid(np.where(np.abs(off) < 0.02, np.nan, off)),
        cmap="RdBu", vmin=-MOST_DIFFERENCE_M, vmax=MOST_DIFFERENCE_M, extent=extent,
    )  # fmt: skip
    panels[2].set_title("learned less solver", fontsize=11)
    drawing.colorbar(shown, ax=panels[2], label="m", location="bottom", shrink=0.8, extend="both")
    axis_labels(drawing)
    years = at["return_period_years"]
    difference = Raster(off, solver.grid, "learned less solver", "m")
    maps = {"solver": solver, "learned": learned, "difference": difference}
    return Picture(
        "beside_the_solver",
        f"A {years:g}-year storm on ground that the model has not seen",
        f"{case.terrain.name} ({case.terrain.note}): the largest depth by the solver, by the "
        "learned model of the first trial, and their difference where it is more than 2 cm; red "
        "is too shallow. The maps are also GeoTIFF files.",
        "Three maps: both models flood the valleys; the difference follows the channels.",
        drawing,
        {f"{name}_{years:g}_years.tif": geotiff(raster) for name, raster in maps.items()},
    )


def training(run: Run) -> Chart:
    """The loss while training, by the number of floods."""
    return curve(
        run.records,
        "training_loss",
        "training_step",
        by="floods",
        name="training",
        title="Training",
        caption="Mean squared error of log(1 + depth in m) on the floods trained on, averaged over "
        "a twentieth of the steps; mean over the seeds with its 95 % interval.",
        x_title="step",
        y_title="training loss",
    )


def by_split(run: Run, measure: str) -> Chart:
    """A measure by what the model had not seen."""
    title, what = MEASURES[measure]
    return dots(
        run.records,
        measure,
        by=["split", "kind", "floods"],
        name=measure,
        title=f"{title}, by what was held out",
        caption=f"{what} Held out are the storms only (split storm), also the block of the survey "
        "(block), or the whole made-up terrain (terrain). Mean over cases and storms, with the "
        "95 % interval over seeds.",
    )
