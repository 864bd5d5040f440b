"""The hazard: a storm on a terrain becomes flood maps, by the local-inertial solver."""

from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from assay.core.component import component
from assay.core.records import Records
from assay.core.task import task
from assay.systems.climate_impact.forcing import SIDES, Series, Soil
from assay.systems.climate_impact.rain import Hyetograph, RainField
from assay.systems.climate_impact.rasters import Grid, Raster, Roughness, Terrain
from assay.systems.climate_impact.solver import Boundaries, Flow, Ledger, Side, simulate
from assay.systems.climate_impact.water import Inflow, SideName, Stage

Share = Annotated[float, Field(ge=0, le=1)]
Hours = Annotated[float, Field(gt=0, le=24 * 60)]
FLOODED_M = 0.1


class FloodMaps(NamedTuple):
    """What one storm did, cell by cell.

    Attributes:
        max_depth_m: Largest depth (m).
        max_velocity_m_per_s: Largest speed (m/s).
        max_hazard_m2_per_s: Largest product of depth and speed (m2/s).
        arrival_time_h: Hours after the storm began at which the water stood 0.1 m deep; NaN where
            it never did.
        ledger: Volumes in, out and stored.
        limited_share: Share of wet cell updates in which the outflow limiter acted.
        return_period_years: How rarely such a storm comes (years).
        records: What was measured: ``max_depth`` (m), ``max_velocity`` (m/s), ``flooded_area``
            (km2 deeper than 0.1 m), ``rain_volume``, ``inflow_volume``, ``infiltrated_volume`` and
            ``outflow_volume`` (m3), ``mass_error``
            (relative to the rain), ``limited_share`` and ``rising_share``, the share of flooded
            cells that are as deep at the end as they ever were: the storm was cut short there.
    """

    max_depth_m: Raster
    max_velocity_m_per_s: Raster
    max_hazard_m2_per_s: Raster
    arrival_time_h: Raster
    ledger: Ledger
    limited_share: float
    return_period_years: float
    records: Records


@component(version="1", requires=("numba", "numpy"))
def inundation(
    terrain: Terrain,
    roughness: Roughness,
    rain: Hyetograph | RainField,
    soil: Soil | None = None,
    rivers: list[Inflow] | None = None,
    levels: list[Stage] | None = None,
    *,
    end_h: Hours = 12.0,
    boundary: Side | dict[SideName, Side] = "free",
    normal_slope: Annotated[float, Field(gt=0, le=1)] = 0.001,
    theta: Annotated[float, Field(ge=0.5, le=1)] = 0.9,
    cfl: Annotated[float, Field(gt=0, le=0.9)] = 0.5,
    dt_max_s: Annotated[float, Field(gt=0, le=600)] = 5.0,
    precision: Literal["float32", "float64"] = "float64",
) -> FloodMaps:
    """Route the rain over the terrain with the local-inertial shallow-water equations.

    Bates et al. 2010 with the q-centred weighting of de Almeida et al. 2012; see `solver`.

    Args:
        terrain: Elevation on a projected grid; cells without data are walls.
        roughness: Manning coefficient on the same grid.
        rain: Rain on every cell alike, or on the terrain's grid.
        soil: Soil that drinks what stands on it; sealed ground if not given.
        rivers: What enters the map at points.
        levels: Water levels that sides are held at; such a side is closed otherwise.
        end_h: Simulated time (h).
        boundary: What happens at the four edges: closed, free or normal_depth, or one for each.
        normal_slope: Slope of the ground beyond edges of normal depth.
        theta: Weight of a face's own flow, 0.5 to 1; lower is smoother.
        cfl: Courant number of the adaptive step; lower it on steep smooth ground.
        dt_max_s: Longest time step (s); cells of 100 m can take 20.
        precision: Floating-point type of the state; the ledger is always float64.
    """
    context = task()
    flow = simulate(
        terrain.elevation_m,
        roughness.manning,
        **driven(terrain, rain, soil, rivers, levels, boundary=boundary),
        end_s=end_h * 3600.0,
        normal_slope=normal_slope,
        theta=theta,
        cfl=cfl,
        dt_max_s=dt_max_s,
        precision=precision,
        on_progress=lambda done, total: context.progress(done / 3600, total / 3600, "h"),
    )
    context.event("solver", steps=flow.steps, cell_updates=flow.cell_updates)
    return maps_of(flow, terrain.grid, rain)


def driven(
    terrain: Terrain,
    rain: Hyetograph | RainField,
    soil: Soil | None,
    rivers: list[Inflow] | None,
    levels: list[Stage] | None,
    *,
    boundary: Side | dict[SideName, Side],
) -> dict[str, Any]:
    """What drives a flood, as the arguments that both solvers take."""
    return {
        "cell_m": terrain.grid.cell_m,
        "rain_times_s": rain.times_s,
        "rain_mm_per_h": rain.rain_mm_per_h,
        "boundaries": sides_of(boundary, levels or []),
        "inflow": [entry_of(river, terrain.grid) for river in rivers or []],
        "stage": {level.side: (level.times_s, level.level_m) for level in levels or []},
        "soil": soil,
    }


def maps_of(flow: Flow, grid: Grid, rain: Hyetograph | RainField) -> FloodMaps:
    """What a solver found, as rasters with their records."""
    label = rain.label
    return FloodMaps(
        Raster(flow.max_depth_m, grid, f"maximum depth, {label}", "m"),
        Raster(flow.max_velocity_m_per_s, grid, f"maximum speed, {label}", "m/s"),
        Raster(flow.max_hazard_m2_per_s, grid, f"maximum hazard, {label}", "m2/s"),
        Raster(flow.arrival_time_h, grid, f"arrival time, {label}", "h"),
        flow.ledger,
        flow.limited_share,
        rain.return_period_years,
        measured(flow, grid, rain.return_period_years),
    )


def sides_of(boundary: Side | dict[SideName, Side], levels: list[Stage]) -> Boundaries:
    """What each side does: closed where a level is held or nothing is said."""
    if isinstance(boundary, dict):
        sides = Boundaries(**boundary)
    else:
        sides = Boundaries(boundary, boundary, boundary, boundary)
    held: dict[str, Any] = {level.side: "closed" for level in levels}
    return sides._replace(**held)


def entry_of(river: Inflow, grid: Grid) -> tuple[int, int, Series]:
    """Row, column and hydrograph of a river, as the solvers want them."""
    row, column = grid.row_column(np.array([river.x_m]), np.array([river.y_m]))
    return int(row[0]), int(column[0]), (river.times_s, river.discharge_m3_per_s)


def measured(flow: Flow, grid: Grid, return_period_years: float) -> Records:
    """One record per measure of a flood; see `FloodMaps`."""
    ledger = flow.ledger
    outflow = sum(getattr(ledger, f"outflow_{side}_m3") for side in Boundaries._fields)
    held = sum(getattr(ledger, f"held_{side}_m3") for side in SIDES)
    area_km2 = float((flow.max_depth_m > FLOODED_M).sum()) * (grid.cell_m / 1000.0) ** 2
    wet = flow.max_depth_m > FLOODED_M
    rising = wet & (flow.depth_m >= 0.999 * flow.max_depth_m)
    records = Records()
    for name, value, unit in (
        ("max_depth", np.nanmax(flow.max_depth_m), "m"),
        ("max_velocity", np.nanmax(flow.max_velocity_m_per_s), "m/s"),
        ("flooded_area", area_km2, "km2"),
        ("rain_volume", ledger.rain_m3, "m3"),
        ("inflow_volume", ledger.inflow_m3 + held, "m3"),
        ("infiltrated_volume", ledger.infiltrated_m3, "m3"),
        ("outflow_volume", outflow, "m3"),
        ("mass_error", ledger.relative_error, "1"),
        ("limited_share", flow.limited_share, "1"),
        ("rising_share", np.count_nonzero(rising) / max(np.count_nonzero(wet), 1), "1"),
    ):
        records.add(name, float(value), unit, return_period_years=return_period_years)
    return records
