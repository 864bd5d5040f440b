"""Calibration: which Manning coefficient makes the flood solver meet the stages that were seen.

Notable in this file:

* *Three samplers, one budget.* A regular grid, a Latin hypercube and a Bayesian sampler (the
  tree-structured Parzen estimator of optuna) propose roughness in its logarithm. The points of grid
  and hypercube are visited in random order: the best misfit after fewer runs says something too.
* *What stages cannot tell.* Uniform flow depends on the product of roughness and discharge, so a
  few peak stages meet many pairs of the two: a roughness is only as good as the flow it was fitted
  with. The five of Merewether (June 2007, 2 m cells) are met to 0.13 to 0.15 m with coefficients
  of 0.047, 0.036 and 0.029 at 0.8, 1.0 and 1.2 times the flow.
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
from assay.systems.climate_impact.inundation import Hours, entry_of, sides_of
from assay.systems.climate_impact.rain import Hyetograph
from assay.systems.climate_impact.rasters import Roughness, Terrain
from assay.systems.climate_impact.roughness import scaled_roughness
from assay.systems.climate_impact.solver import Side, simulate
from assay.systems.climate_impact.water import Inflow, SideName

__all__ = [
    "WET_M",
    "Calibration",
    "Manning",
    "Reading",
    "Sampler",
    "StageModel",
    "Stages",
    "calibrate",
    "design",
    "log_between",
    "stages_at",
]

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
    model = StageModel(terrain, roughness, *forcing, boundary, normal_slope, dt_max_s, read)
    tried: list[tuple[float, float, float]] = []
    context = task()

    def misfit(at: np.ndarray) -> float:
        """Misfit at a point of the unit square; every call is one run."""
        manning = log_between(at[0], manning_low, manning_high)
        factor = log_between(at[1], flow_low, flow_high) if unknowns == 2 else flow_low
        found = stages_at(terrain, model.depth_m(manning, factor), observed, near_m=near_m)
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


# -- the model ----------------------------------------------------------------------------------


class StageModel(NamedTuple):
    """All of a simulation but its unknowns; see `inundation` for what they are."""

    terrain: Terrain
    pattern: Roughness | None
    rain: Hyetograph | None
    rivers: list[Inflow]
    end_h: float
    boundary: Any
    normal_slope: float
    dt_max_s: float
    read: Reading

    def depth_m(
        self, manning: float, flow_factor: float = 1.0
    ) -> Float[np.ndarray, "rows columns"]:
        """Depth of water (m) of one run, at the peak or the end.

        Args:
            manning: Coefficient of the median cell (s/m^(1/3)).
            flow_factor: By what rain and inflow are multiplied.
        """
        grid, rain = self.terrain.grid, self.rain
        sources: list[Any] = []
        for river in self.rivers:
            row, column, (times, rates) = entry_of(river, grid)
            sources.append((row, column, (times, flow_factor * np.asarray(rates))))
        flow = simulate(
            self.terrain.elevation_m,
            scaled_roughness(self.terrain, self.pattern, manning).manning,
            cell_m=grid.cell_m,
            end_s=self.end_h * 3600.0,
            rain_times_s=() if rain is None else rain.times_s,
            rain_mm_per_h=() if rain is None else flow_factor * rain.rain_mm_per_h,
            inflow=sources,
            boundaries=sides_of(self.boundary, []),
            normal_slope=self.normal_slope,
            dt_max_s=self.dt_max_s,
        )
        return flow.max_depth_m if self.read == "peak" else flow.depth_m


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


def log_between(u: float, low: float, high: float) -> float:
    """The number whose logarithm lies a share u of the way from low to high."""
    return float(np.exp((1.0 - u) * np.log(low) + u * np.log(high)))
