"""Calibration: which Manning coefficient makes the flood solver meet the stages that were seen.

Notable in this file:

* *Three samplers, one budget.* A regular grid, a Latin hypercube and a Bayesian sampler (the
  tree-structured Parzen estimator of optuna) propose roughness in its logarithm. The points of grid
  and hypercube are visited in random order: the best misfit after fewer runs says something too.
* *What stages cannot tell.* Uniform flow depends on the product of roughness and discharge, so a
  few peak stages meet many pairs of the two: a roughness is only as good as the flow it was fitted
  with. The five of Merewether (June 2007, 2 m cells) are met to 0.13 to 0.15 m with coefficients
  of 0.047, 0.036 and 0.029 at 0.8, 1.0 and 1.2 times the flow.
* *Twins.* `twin_stages` makes observations with the solver itself, from a hidden roughness and with
  noise. They test the calibration, never the solver.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.core.task import task
from assay.errors import DataError, ParameterError
from assay.systems.climate_impact.inundation import Hours, sides_of
from assay.systems.climate_impact.rain import Hyetograph
from assay.systems.climate_impact.rasters import Grid, Roughness, Terrain
from assay.systems.climate_impact.solver import Side, simulate
from assay.systems.climate_impact.water import Inflow, SideName

Sampler = Literal["grid", "lhs", "bayes"]
Reading = Literal["peak", "end"]
Manning = Annotated[float, Field(ge=0.005, le=0.5)]
Factor = Annotated[float, Field(ge=0.05, le=20)]
WET_M = 0.02


@dataclass(frozen=True)
class Stages:
    """Water levels seen at points, such as flood marks.

    Attributes:
        x_m: Easting of each (m).
        y_m: Northing (m).
        stage_m: Water level (m, in the terrain's datum).
        note: Where they come from.
    """

    x_m: Float[np.ndarray, " points"]
    y_m: Float[np.ndarray, " points"]
    stage_m: Float[np.ndarray, " points"]
    note: str


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


class Calibration(NamedTuple):
    """All runs of a calibration, in the order in which they were made.

    Attributes:
        manning: Coefficient of each run (s/m^(1/3)).
        flow_factor: Factor on rain and inflow of each run.
        misfit_m: Root mean square of simulated less observed stages (m).
        best_manning: Coefficient of the run with the smallest misfit.
        best_flow_factor: Its factor on rain and inflow.
        records: ``best_misfit`` (m) by the number of ``runs`` made, and ``fitted_manning``.
    """

    manning: Float[np.ndarray, " runs"]
    flow_factor: Float[np.ndarray, " runs"]
    misfit_m: Float[np.ndarray, " runs"]
    best_manning: float
    best_flow_factor: float
    records: Records


# -- components ---------------------------------------------------------------------------------


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
    manning = _log_between(random.random(), manning_low, manning_high)
    model = _Model(terrain, None, rain, rivers or [], end_h, boundary, normal_slope, dt_max_s, read)
    depth = _depth(model, manning, 1.0)
    deep = np.argwhere(depth >= max(0.5 * np.nanmax(depth), WET_M))
    if len(deep) < points:
        raise DataError(f"only {len(deep)} cells are deep enough for {points} stages")
    row, column = deep[random.choice(len(deep), points, replace=False)].T
    noise = random.normal(0.0, noise_m, points) if noise_m else np.zeros(points)
    x, y = terrain.grid.centres(row, column)
    stage = terrain.elevation_m[row, column] + depth[row, column] + noise
    note = f"synthetic: made by the solver, noise of {noise_m:g} m added"
    return Twin(Stages(x, y, stage, note), manning, float(np.sqrt(np.mean(noise**2))))


@component(version="1", requires=("numba", "numpy", "optuna", "scipy"))
def calibrate(
    terrain: Terrain,
    observed: Stages,
    roughness: Roughness | None = None,
    rain: Hyetograph | None = None,
    rivers: list[Inflow] | None = None,
    *,
    sampler: Sampler = "bayes",
    runs: Annotated[int, Field(ge=1, le=100_000)] = 25,
    manning_low: Manning = 0.01,
    manning_high: Manning = 0.2,
    flow_low: Factor = 1.0,
    flow_high: Factor = 1.0,
    near_m: NonNegativeFloat = 0.0,
    startup: PositiveInt = 5,
    end_h: Hours = 1.0,
    boundary: Side | dict[SideName, Side] = "free",
    normal_slope: Annotated[float, Field(gt=0, le=1)] = 0.001,
    dt_max_s: Annotated[float, Field(gt=0, le=600)] = 5.0,
    read: Reading = "peak",
    seed: Seed,
) -> Calibration:
    """Fit the roughness, and the flow if its range is open, to observed stages.

    A few stages cannot tell roughness and flow apart: with both ranges open a small misfit says
    little about either.

    Args:
        terrain: The terrain.
        observed: The stages to meet.
        roughness: A pattern of roughness: the coefficient fitted is that of its median cell, and
            the others keep their proportion to it. The same everywhere if not given.
        rain: Rain on every cell alike.
        rivers: What enters the map at points.
        sampler: ``grid``, ``lhs`` (Latin hypercube) or ``bayes`` (tree-structured Parzen).
        runs: Simulations that may be made; a grid over two unknowns makes the largest square of
            them.
        manning_low: Least coefficient (s/m^(1/3)); it is searched in its logarithm.
        manning_high: Largest.
        flow_low: Least factor on rain and inflow; searched in its logarithm too.
        flow_high: Largest; the same as the least keeps the flow as it is.
        near_m: A stage is read at the nearest wet cell up to so far away (m), then on dry ground.
        startup: Runs that the Bayesian sampler draws at random first.
        end_h: Simulated time (h).
        boundary: As in `inundation`.
        normal_slope: As in `inundation`.
        dt_max_s: As in `inundation`.
        read: Stage at the ``peak`` or at the ``end``, for flow that has become steady.
        seed: Seed of the sampler.
    """
    if manning_high <= manning_low or flow_high < flow_low:
        ranges = f"{manning_low:g} to {manning_high:g}, flow of {flow_low:g} to {flow_high:g}"
        raise ParameterError(f"roughness of {ranges}", accepted="ranges from low to high")
    unknowns = 2 if flow_high > flow_low else 1
    forcing = rain, rivers or [], end_h
    model = _Model(terrain, roughness, *forcing, boundary, normal_slope, dt_max_s, read)
    tried: list[tuple[float, float, float]] = []
    context = task()

    def misfit(at: np.ndarray) -> float:
        """Misfit at a point of the unit square; every call is one run."""
        manning = _log_between(at[0], manning_low, manning_high)
        factor = _log_between(at[1], flow_low, flow_high) if unknowns == 2 else flow_low
        found = stages_at(terrain, _depth(model, manning, factor), observed, near_m=near_m)
        off = float(np.sqrt(np.mean((found - observed.stage_m) ** 2)))
        tried.append((manning, factor, off))
        context.progress(len(tried), runs, "runs")
        return off

    if sampler == "bayes":
        _search(misfit, unknowns, runs=runs, startup=startup, seed=seed)
    else:
        for at in design(sampler, unknowns, runs, seed):
            misfit(at)
    manning, factor, off = (np.array(column) for column in zip(*tried, strict=True))
    best = int(np.argmin(off))
    records = Records()
    for count, least in enumerate(np.minimum.accumulate(off), start=1):
        records.add("best_misfit", float(least), "m", runs=count)
    records.add("fitted_manning", float(manning[best]), "s/m^(1/3)")
    return Calibration(manning, factor, off, float(manning[best]), float(factor[best]), records)


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


# -- the model ----------------------------------------------------------------------------------


class _Model(NamedTuple):
    """All of a simulation but its unknowns."""

    terrain: Terrain
    pattern: Roughness | None
    rain: Hyetograph | None
    rivers: list[Inflow]
    end_h: float
    boundary: Any
    normal_slope: float
    dt_max_s: float
    read: Reading


def _depth(model: _Model, manning: float, flow_factor: float) -> np.ndarray:
    """Depth of water (m) of one run, at the peak or the end."""
    grid, rain = model.terrain.grid, model.rain
    roughness: Any = manning
    if model.pattern is not None:
        known = np.isfinite(model.terrain.elevation_m)
        roughness = manning / np.median(model.pattern.manning[known]) * model.pattern.manning
    sources: list[Any] = []
    for river in model.rivers:
        row, column = grid.row_column(np.array([river.x_m]), np.array([river.y_m]))
        rates = flow_factor * river.discharge_m3_per_s
        sources.append((int(row[0]), int(column[0]), (river.times_s, rates)))
    flow = simulate(
        model.terrain.elevation_m,
        roughness,
        cell_m=grid.cell_m,
        end_s=model.end_h * 3600.0,
        rain_times_s=() if rain is None else rain.times_s,
        rain_mm_per_h=() if rain is None else flow_factor * rain.rain_mm_per_h,
        inflow=sources,
        boundaries=sides_of(model.boundary, []),
        normal_slope=model.normal_slope,
        dt_max_s=model.dt_max_s,
    )
    return flow.max_depth_m if model.read == "peak" else flow.depth_m


def stages_at(
    terrain: Terrain,
    depth_m: Float[np.ndarray, "rows columns"],
    stages: Stages,
    *,
    near_m: float = 0.0,
) -> Float[np.ndarray, " points"]:
    """Simulated water level at points (m): at the nearest wet cell, or the ground of a dry one.

    Args:
        terrain: The terrain.
        depth_m: Depth of water (m).
        stages: Where.
        near_m: How far away a wet cell may be (m), beside the cell that a point lies in.

    Raises:
        DataError: If a point lies outside the terrain, or in dry surroundings on no ground.
    """
    grid = terrain.grid
    row, column = grid.row_column(stages.x_m, stages.y_m)
    if not grid.inside(row, column).all():
        raise DataError("a stage lies outside the terrain", where=terrain.name)
    wet = np.argwhere(depth_m > WET_M)
    x, y = grid.centres(wet[:, 0], wet[:, 1])
    level = terrain.elevation_m + depth_m
    found = terrain.elevation_m[row, column].astype(float)
    for k, (r, c) in enumerate(zip(row, column, strict=True)):
        if depth_m[r, c] > WET_M:
            found[k] = level[r, c]
        elif wet.size:
            away = np.hypot(x - stages.x_m[k], y - stages.y_m[k])
            nearest = int(np.argmin(away))
            if away[nearest] <= near_m:
                found[k] = level[tuple(wet[nearest])]
    if np.isnan(found).any():
        raise DataError("a stage lies where no ground is known", where=terrain.name)
    return found


# -- samplers -----------------------------------------------------------------------------------


def design(
    sampler: Sampler, unknowns: int, runs: int, seed: int
) -> Float[np.ndarray, "points unknowns"]:
    """Points of the unit cube, in random order: a grid of cell centres, or a Latin hypercube.

    Example:
        >>> sorted(design("grid", 1, 4, 0)[:, 0].tolist())
        [0.125, 0.375, 0.625, 0.875]
    """
    if sampler == "lhs":
        from scipy.stats.qmc import LatinHypercube

        return LatinHypercube(unknowns, rng=seed).random(runs)
    side = max(1, int(np.floor(runs ** (1.0 / unknowns) + 1e-9)))
    axis = (np.arange(side) + 0.5) / side
    points = np.stack(np.meshgrid(*[axis] * unknowns, indexing="ij"), axis=-1)
    return np.random.default_rng(seed).permutation(points.reshape(-1, unknowns))


def _search(misfit: Any, unknowns: int, *, runs: int, startup: int, seed: int) -> None:
    """Let the tree-structured Parzen estimator propose every run."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup)
        )
        study.optimize(
            lambda trial: misfit(
                np.array([trial.suggest_float(f"u{k}", 0.0, 1.0) for k in range(unknowns)])
            ),
            n_trials=runs,
        )
    finally:
        optuna.logging.set_verbosity(before)


def _log_between(u: float, low: float, high: float) -> float:
    return float(np.exp((1.0 - u) * np.log(low) + u * np.log(high)))
