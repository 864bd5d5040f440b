"""Twins: stages that the solver made itself, from a hidden roughness, to try a calibration on.

They test the calibration, never the solver.
"""

from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.errors import DataError
from assay.systems.climate_impact.calibration import (
    WET_M,
    Calibration,
    Manning,
    Reading,
    StageModel,
    Stages,
    log_between,
)
from assay.systems.climate_impact.inundation import Hours
from assay.systems.climate_impact.rain import Hyetograph
from assay.systems.climate_impact.rasters import Grid, Terrain
from assay.systems.climate_impact.solver import Side
from assay.systems.climate_impact.water import Inflow, SideName

__all__ = ["Twin", "score_twin", "synthetic_valley", "twin_stages"]


class Twin(NamedTuple):
    """Synthetic observations, and the truth that a calibration is not told.

    Attributes:
        stages: The observations.
        manning: The hidden coefficient (s/m^(1/3)).
        misfit_m: Root mean square of the noise drawn (m): the misfit at the truth.
    """

    stages: Stages
    manning: float
    misfit_m: float


@component(version="1")
def synthetic_valley(
    *,
    rows: Annotated[int, Field(ge=4, le=4096)] = 48,
    columns: Annotated[int, Field(ge=4, le=4096)] = 24,
    cell_m: Annotated[float, Field(ge=0.1, le=1000)] = 20.0,
    fall: Annotated[float, Field(gt=0, le=0.2)] = 0.0025,
    bank: Annotated[float, Field(gt=0, le=1)] = 0.0125,
    channel_cells: PositiveInt = 4,
) -> Terrain:
    """A straight valley that falls to the south: a flat bed between two even banks; synthetic.

    Its axis lies at x = 0, its upper end at y = 0, in a coordinate system chosen for its metres.

    Args:
        rows: Cells along the valley.
        columns: Cells across.
        cell_m: Edge of a cell (m).
        fall: Slope along the valley.
        bank: Slope of the banks.
        channel_cells: Width of the bed.
    """
    grid = Grid(rows, columns, cell_m, -columns * cell_m / 2, 0.0, "EPSG:32632")
    x, _ = grid.centres(np.zeros(columns, int), np.arange(columns))
    beyond = np.maximum(np.abs(x) - channel_cells * cell_m / 2, 0.0)
    along = fall * cell_m * np.arange(rows)[::-1, None]
    return Terrain(along + bank * beyond, grid, "straight valley", "synthetic")


@component(version="1", requires=("numba", "numpy"))
def twin_stages(
    terrain: Terrain,
    rain: Hyetograph | None = None,
    rivers: list[Inflow] | None = None,
    *,
    manning_low: Manning = 0.025,
    manning_high: Manning = 0.1,
    points: PositiveInt = 5,
    noise_m: NonNegativeFloat = 0.02,
    end_h: Hours = 1.0,
    boundary: Side | dict[SideName, Side] = "free",
    normal_slope: Annotated[float, Field(gt=0, le=1)] = 0.001,
    dt_max_s: Annotated[float, Field(gt=0, le=600)] = 5.0,
    read: Reading = "peak",
    seed: Seed,
) -> Twin:
    """Make stages with the solver itself, from a hidden roughness, and add noise; not observed.

    Args:
        terrain: The terrain.
        rain: Rain on every cell alike.
        rivers: What enters the map at points.
        manning_low: Least hidden coefficient (s/m^(1/3)); it is drawn in its logarithm.
        manning_high: Largest.
        points: Stages, in different cells at random, in water at least half as deep as its deepest.
        noise_m: Standard deviation of the noise (m).
        end_h: Simulated time (h).
        boundary: As in `inundation`.
        normal_slope: As in `inundation`.
        dt_max_s: As in `inundation`.
        read: Stage at the ``peak`` or at the ``end``.
        seed: Seed of the hidden coefficient, the points and the noise.
    """
    random = np.random.default_rng(seed)
    manning = log_between(random.random(), manning_low, manning_high)
    forcing = rain, rivers or [], end_h
    model = StageModel(terrain, None, *forcing, boundary, normal_slope, dt_max_s, read)
    depth = model.depth_m(manning)
    deep = np.argwhere(depth >= max(0.5 * np.nanmax(depth), WET_M))
    if len(deep) < points:
        raise DataError(f"only {len(deep)} cells are deep enough for {points} stages")
    row, column = deep[random.choice(len(deep), points, replace=False)].T
    noise = random.normal(0.0, noise_m, points) if noise_m else np.zeros(points)
    x, y = terrain.grid.centres(row, column)
    stage = terrain.elevation_m[row, column] + depth[row, column] + noise
    note = f"synthetic: made by the solver, noise of {noise_m:g} m added"
    return Twin(Stages(x, y, stage, note), manning, float(np.sqrt(np.mean(noise**2))))


@component(version="1", requires=("numpy",))
def score_twin(
    fit: Calibration, twin: Twin, *, tolerance: Annotated[float, Field(ge=1)] = 1.5
) -> Records:
    """How well, and after how many runs, a calibration found what its twin hides.

    Records ``manning_error``, the fitted coefficient less the hidden one relative to it, without
    sign; ``error_by_run``, the same of the best of the first ``runs``; ``misfit_ratio``, the misfit
    found over that of the truth; and ``runs_needed`` until the misfit is at most ``tolerance``
    times that of the truth. A calibration that never gets there counts as one run more than it
    made, which is too few.

    Args:
        fit: The calibration.
        twin: The observations, with what they hide.
        tolerance: Misfit that will do, in units of the misfit at the truth.
    """
    error = np.abs(fit.manning - twin.manning) / twin.manning
    least, best = np.inf, 0
    records = Records()
    for run, off in enumerate(fit.misfit_m):
        if off < least:
            least, best = off, run
        records.add("error_by_run", float(error[best]), "1", runs=run + 1)
    records.add("manning_error", float(error[best]), "1")
    met = np.flatnonzero(fit.misfit_m <= tolerance * twin.misfit_m)
    records.add("runs_needed", int(met[0]) + 1 if met.size else fit.misfit_m.size + 1, "runs")
    records.add("misfit_ratio", least / twin.misfit_m if twin.misfit_m else np.nan, "1")
    return records
