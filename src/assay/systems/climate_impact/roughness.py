"""Roughness of the ground: made up in patches, and a pattern brought to another level."""

from typing import Annotated

import numpy as np
from pydantic import Field

from assay.core.component import Seed, component
from assay.systems.climate_impact.fractals import fractal_surface
from assay.systems.climate_impact.rasters import Roughness, Terrain

__all__ = ["patches", "patchy_roughness", "scaled_roughness"]

LEAST, MOST = 0.01, 0.2


@component(version="1", requires=("numpy",))
def patchy_roughness(
    terrain: Terrain,
    *,
    manning: Annotated[float, Field(ge=LEAST, le=MOST)] = 0.04,
    deviation: Annotated[float, Field(ge=0, le=2)] = 0.5,
    seed: Seed,
) -> Roughness:
    """Made-up roughness that varies in patches, as land cover does.

    Args:
        terrain: The ground.
        manning: Typical coefficient (s/m^(1/3)).
        deviation: Standard deviation of its logarithm; n is kept within 0.01 and 0.2.
        seed: Seed of the patches.
    """
    return patches(terrain, manning, deviation, np.random.default_rng(seed))


def patches(
    terrain: Terrain, manning: float, deviation: float, random: np.random.Generator
) -> Roughness:
    """Manning's n around a typical value in patches, as of land cover.

    Args:
        terrain: The ground.
        manning: Typical value (s/m^(1/3)).
        deviation: Standard deviation of the logarithm of n.
        random: Source of the patches.
    """
    rows, columns = terrain.elevation_m.shape
    surface = fractal_surface(max(rows, columns), 0.5, random)[:rows, :columns]
    return Roughness(np.clip(manning * np.exp(deviation * surface), LEAST, MOST), terrain.grid)


def scaled_roughness(terrain: Terrain, pattern: Roughness | None, manning: float) -> Roughness:
    """A pattern of roughness whose median cell has a given coefficient.

    Args:
        terrain: Its cells with data count in the median.
        pattern: The pattern, whose cells keep their proportions; the same everywhere if None.
        manning: Coefficient of the median cell (s/m^(1/3)).
    """
    if pattern is None:
        return Roughness(np.full(terrain.elevation_m.shape, manning), terrain.grid)
    known = np.isfinite(terrain.elevation_m)
    level = manning / np.median(pattern.manning[known])
    return Roughness(level * pattern.manning, terrain.grid)
