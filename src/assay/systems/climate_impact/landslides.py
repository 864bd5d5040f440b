"""Rain-triggered shallow landslides: where a soaked soil mantle slides off its slope.

Infinite-slope stability with the steady-state wetness of Montgomery and Dietrich 1994, in the form
with cohesion of Pack, Tarboton and Goodwin 1998 (SINMAP): a soil of vertical depth d on a slope s

    FS = [c + (gamma - w gamma_w) d cos^2(s) tan(phi)] / [gamma d sin(s) cos(s)]
    w = min(1, R a / (T sin(s)))

slides where the factor of safety FS is below 1; a is the specific catchment area, R the recharge.

What to expect of it: the cells are independent (no failed mass, no runout); soil water is in steady
state with the storm, which real hillslopes reach in days, if at all; a slope measured over coarse
cells is gentler than the ground. A slope that would slide even when dry has slid long ago and does
not count, but no other history is kept: what fails in a two-year storm fails in each. Every soil
parameter is an assumption unless it is measured: `slope_soil` has defaults, and no site's values.
"""

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, PositiveFloat

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.errors import DataError, ParameterError
from assay.systems.climate_impact.exposure import Assets, depth_at
from assay.systems.climate_impact.impact import StormLosses
from assay.systems.climate_impact.rain import Hyetograph
from assay.systems.climate_impact.rasters import Raster, Terrain

WATER_N_PER_M3 = 9810.0
Share = Annotated[float, Field(ge=0, le=1)]
Degrees = Annotated[float, Field(gt=0, lt=90)]
Weight = Annotated[float, Field(ge=10_000, le=30_000)]


@dataclass(frozen=True)
class SlopeSoil:
    """The soil mantle of a hillslope, the same everywhere, and how well its strength is known.

    Attributes:
        cohesion_pa: Effective cohesion, of soil and roots (Pa).
        friction_deg: Angle of internal friction (degrees).
        cohesion_samples_pa: Cohesions that are as likely (Pa).
        friction_samples_deg: The angle that goes with each (degrees).
        soil_depth_m: Depth of the mantle, measured vertically (m).
        soil_weight_n_per_m3: Unit weight of the soil (N/m3).
        transmissivity_m2_per_s: Of the saturated mantle (m2/s).
    """

    cohesion_pa: float
    friction_deg: float
    cohesion_samples_pa: Float[np.ndarray, " samples"]
    friction_samples_deg: Float[np.ndarray, " samples"]
    soil_depth_m: float
    soil_weight_n_per_m3: float
    transmissivity_m2_per_s: float


class LandslideMaps(NamedTuple):
    """What one storm does to the slopes, cell by cell.

    Attributes:
        factor_of_safety: Resisting over driving force (1) at the soil's central strength; infinite
            on level ground.
        unstable: Share of the soil's samples with which the cell fails in the storm but would stand
            when dry, 0 to 1.
        wetness: Saturated share of the soil's depth, 0 to 1.
        return_period_years: How rarely such a storm comes (years).
        records: What was measured: ``unstable_area`` and ``saturated_area`` (km2), the first
            weighted by the share of samples, and ``recharge`` (mm/h).
    """

    factor_of_safety: Raster
    unstable: Raster
    wetness: Raster
    return_period_years: float
    records: Records


@component(version="1", requires=("numpy", "scipy"))
def slope_soil(
    *,
    cohesion_pa: NonNegativeFloat = 2000.0,
    friction_deg: Degrees = 30.0,
    cohesion_spread: Share = 0.0,
    friction_spread: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    samples: Annotated[int, Field(ge=1, le=10_000)] = 1,
    soil_depth_m: Annotated[float, Field(ge=0.1, le=20)] = 1.0,
    soil_weight_n_per_m3: Weight = 18_000.0,
    transmissivity_m2_per_s: PositiveFloat = 1e-3,
    seed: Seed,
) -> SlopeSoil:
    """The soil mantle of the slopes; its strength within ranges, by Latin hypercube.

    The defaults are assumptions of the usual order for a loamy soil a metre deep with some roots;
    they are not the values of any site.

    Args:
        cohesion_pa: Effective cohesion, of soil and roots (Pa).
        friction_deg: Angle of internal friction (degrees).
        cohesion_spread: Half width of the range of cohesion, as a share of it.
        friction_spread: Half width of the range of the angle, as a share of it.
        samples: Pairs drawn uniformly within both ranges; a single one is the centre.
        soil_depth_m: Depth of the mantle, measured vertically (m).
        soil_weight_n_per_m3: Unit weight of the soil (N/m3).
        transmissivity_m2_per_s: Of the saturated mantle (m2/s).
        seed: Seed of the draw.
    """
    around = np.zeros((1, 2))
    if samples > 1:
        from scipy.stats.qmc import LatinHypercube

        around = 2.0 * LatinHypercube(2, rng=seed).random(samples) - 1.0
    cohesion = cohesion_pa * (1.0 + cohesion_spread * around[:, 0])
    friction = friction_deg * (1.0 + friction_spread * around[:, 1])
    if friction_deg * (1.0 + friction_spread) >= 90.0:
        raise ParameterError(
            f"angles up to {friction_deg * (1 + friction_spread):g} degrees",
            where="friction_spread",
            accepted="angles below 90 degrees",
        )
    return SlopeSoil(
        cohesion_pa, friction_deg, cohesion, friction,
        soil_depth_m, soil_weight_n_per_m3, transmissivity_m2_per_s,
    )  # fmt: skip


@component(version="1", requires=("numpy",))
def shallow_landslides(
    terrain: Terrain,
    catchment: Raster,
    soil: SlopeSoil,
    rain: Hyetograph,
    *,
    recharge_ratio: NonNegativeFloat = 1.0,
    recharge_h: Annotated[float, Field(gt=0, le=24 * 60)] = 24.0,
) -> LandslideMaps:
    """Find the slopes that a storm makes slide; see the head of `landslides` for the formulas.

    Args:
        terrain: The ground, as it is: its slopes drive the slides.
        catchment: Specific catchment area on the same grid (m2/m).
        soil: The soil mantle.
        rain: The storm, as rain that runs off.
        recharge_ratio: Rain that seeps into the soil for each millimetre that runs off:
            (1 - k) / k for a storm reduced by a runoff coefficient k.
        recharge_h: Hours over which that water drains down the slopes, at a steady rate.
    """
    if catchment.values.shape != terrain.elevation_m.shape or catchment.grid != terrain.grid:
        raise DataError(
            "the catchment areas lie on another grid than the terrain", where=catchment.name
        )
    period, grid = rain.return_period_years, terrain.grid
    recharge_mm_per_h = recharge_ratio * rain.depth_mm / recharge_h
    slope = slope_of(terrain)
    wet = wetness(
        slope, catchment.values,
        recharge_m_per_s=recharge_mm_per_h / 3.6e6,
        transmissivity_m2_per_s=soil.transmissivity_m2_per_s,
    )  # fmt: skip
    mantle = {
        "soil_depth_m": soil.soil_depth_m,
        "soil_weight_n_per_m3": soil.soil_weight_n_per_m3,
    }
    safety = factor_of_safety(
        slope, wet, cohesion_pa=soil.cohesion_pa, friction_deg=soil.friction_deg, **mantle
    )
    failed = np.zeros(slope.shape)
    for strength in zip(soil.cohesion_samples_pa, soil.friction_samples_deg, strict=True):
        strong = dict(zip(("cohesion_pa", "friction_deg"), map(float, strength), strict=True))
        stands_dry = factor_of_safety(slope, 0.0, **strong, **mantle) >= 1.0
        failed += stands_dry & (factor_of_safety(slope, wet, **strong, **mantle) < 1.0)
    failed = np.where(np.isnan(slope), np.nan, failed / soil.cohesion_samples_pa.size)
    cell_km2 = (grid.cell_m / 1000.0) ** 2
    records = Records()
    for name, value, unit in (
        ("unstable_area", np.nansum(failed) * cell_km2, "km2"),
        ("saturated_area", np.count_nonzero(wet == 1.0) * cell_km2, "km2"),
        ("recharge", recharge_mm_per_h, "mm/h"),
    ):
        records.add(name, float(value), unit, return_period_years=period)
    return LandslideMaps(
        Raster(safety, grid, f"factor of safety, {rain.label}", "1"),
        Raster(failed, grid, f"share of samples that fail, {rain.label}", "1"),
        Raster(wet, grid, f"wetness of the soil, {rain.label}", "1"),
        period,
        records,
    )


@component(version="1", requires=("numpy",))
def landslide_losses(
    slides: LandslideMaps, exposure: Assets, *, vulnerability: Share = 1.0
) -> StormLosses:
    """Turn unstable slopes into the loss to expect at each building.

    A building loses what stands on failing cells; what slides down on it from above is ignored.
    The loss is share failing x vulnerability x maximum damage, its mean over the soil's samples.
    No water is involved, so the depths of the result are all zero.

    Args:
        slides: What the storm did.
        exposure: The buildings.
        vulnerability: Share of its worth that a building on a failing cell loses. Slides are
            smaller than cells of tens of metres, so it also holds the chance of being hit.
    """
    failing = depth_at(exposure, slides.unstable)
    return StormLosses(
        float(slides.return_period_years),
        failing * vulnerability * exposure.max_damage,
        np.zeros(failing.size),
        0.0,
        exposure.currency,
        f"share of the soil's samples that fail x {vulnerability:g}, at the cells that a building "
        f"covers; runout is ignored; exposure: {exposure.note}",
    )


# -- formulas -----------------------------------------------------------------------------------


def slope_of(terrain: Terrain) -> Float[np.ndarray, "rows columns"]:
    """Slope of the ground (radians): central differences, one-sided beside what is unknown."""
    ground = np.pad(terrain.elevation_m, 1, constant_values=np.nan)
    here = ground[1:-1, 1:-1]
    south = _mean_of_known(ground[2:, 1:-1] - here, here - ground[:-2, 1:-1])
    east = _mean_of_known(ground[1:-1, 2:] - here, here - ground[1:-1, :-2])
    slope = np.arctan(np.hypot(south, east) / terrain.grid.cell_m)
    return np.where(np.isnan(here), np.nan, slope)


def _mean_of_known(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    count = np.isfinite(one).astype(int) + np.isfinite(other)
    return (np.nan_to_num(one) + np.nan_to_num(other)) / np.maximum(count, 1)


def wetness(
    slope_rad: Float[np.ndarray, "..."],
    catchment_m2_per_m: Float[np.ndarray, "..."],
    *,
    recharge_m_per_s: float,
    transmissivity_m2_per_s: float,
) -> Float[np.ndarray, "..."]:
    """Saturated share of the soil's depth in steady state, 0 to 1.

    Level ground is soaked by any recharge, since nothing drains it.

    Args:
        slope_rad: Slope (radians).
        catchment_m2_per_m: Specific catchment area (m2/m).
        recharge_m_per_s: Water that enters the soil (m/s).
        transmissivity_m2_per_s: Of the saturated soil (m2/s).

    Example:
        >>> half = wetness(np.array(np.pi / 6), np.array(100.0), recharge_m_per_s=1e-6,
        ...                transmissivity_m2_per_s=4e-4)
        >>> round(float(half), 12)
        0.5
    """
    arriving = recharge_m_per_s * np.asarray(catchment_m2_per_m, float)
    carried = transmissivity_m2_per_s * np.sin(slope_rad)
    share: Any = np.where(arriving > 0, 1.0, arriving)  # NaN stays
    return np.divide(arriving, carried, out=share, where=carried > arriving)


def factor_of_safety(
    slope_rad: Float[np.ndarray, "..."],
    wet: float | Float[np.ndarray, "..."],
    *,
    cohesion_pa: float,
    friction_deg: float,
    soil_depth_m: float,
    soil_weight_n_per_m3: float,
) -> Float[np.ndarray, "..."]:
    """Resisting over driving force of an infinite slope; infinite on level ground.

    Args:
        slope_rad: Slope (radians), 0 to below pi/2.
        wet: Saturated share of the soil's depth, 0 to 1.
        cohesion_pa: Effective cohesion (Pa).
        friction_deg: Angle of internal friction (degrees).
        soil_depth_m: Depth of the soil, measured vertically (m).
        soil_weight_n_per_m3: Its unit weight (N/m3).

    Example:
        >>> dry = factor_of_safety(np.deg2rad(np.array([30.0])), 0.0, cohesion_pa=0.0,
        ...     friction_deg=30.0, soil_depth_m=1.0, soil_weight_n_per_m3=18e3)
        >>> round(dry.item(), 12)
        1.0
    """
    sine, cosine = np.sin(slope_rad), np.cos(slope_rad)
    weight = (soil_weight_n_per_m3 - np.asarray(wet) * WATER_N_PER_M3) * soil_depth_m
    resisting = cohesion_pa + weight * cosine**2 * np.tan(np.deg2rad(friction_deg))
    driving = soil_weight_n_per_m3 * soil_depth_m * sine * cosine
    safe = np.where(np.isnan(driving), np.nan, np.inf)
    return np.divide(resisting, driving, out=safe, where=driving > 0)
