"""Made-up ground: random surfaces with a power law, and tilted terrains with such relief."""

import numpy as np
from jaxtyping import Float

from assay.systems.climate_impact import pits
from assay.systems.climate_impact.rasters import Grid, Terrain

__all__ = ["fractal_surface", "fractal_terrain"]

HURST = (0.75, 1.0)
"""Range of the exponent of made-up ground: 1 is smooth, 0.5 as rough as Brownian motion."""
RELIEF_M = (15.0, 80.0)
STEEPEST_TILT = 0.03
FALL_M = 0.01


def fractal_terrain(size: int, cell_m: float, *, seed: int, crs: str) -> Terrain:
    """A tilted plane with fractal relief, its pits breached; it is nowhere.

    Args:
        size: Edge (cells).
        cell_m: Edge of a cell (m).
        seed: Seed; the terrain's roughness, relief and tilt are drawn too.
        crs: Coordinate system that its positions are written in.
    """
    random = np.random.default_rng(seed)
    hurst, relief_m = random.uniform(*HURST), random.uniform(*RELIEF_M)
    heading, tilt = random.uniform(0.0, 2.0 * np.pi), random.uniform(0.0, STEEPEST_TILT)
    surface = fractal_surface(2 * size, hurst, random)[:size, :size]  # half a period: no seam
    along = np.arange(size) * cell_m
    plane = tilt * (np.cos(heading) * along[:, None] + np.sin(heading) * along)
    height = relief_m * (surface - surface.mean()) / surface.std() + plane
    grid = Grid(size, size, cell_m, 0.0, size * cell_m, crs)
    made = Terrain(
        height - height.min(), grid, f"made-up terrain {seed}",
        f"spectral synthesis, Hurst exponent {hurst:.2f}; lies nowhere",
    )  # fmt: skip
    return pits.drain(made, "breach", FALL_M)


def fractal_surface(
    size: int, hurst: float, random: np.random.Generator
) -> Float[np.ndarray, "size size"]:
    """A periodic random surface whose power falls with wavenumber k as k^-(2 hurst + 2).

    White noise is weighed in Fourier space (Saupe 1988); mean 0, standard deviation 1.

    Args:
        size: Edge (cells).
        hurst: Hurst exponent, between 0 and 1.
        random: Source of the noise.
    """
    noise = np.fft.rfft2(random.standard_normal((size, size)))
    k = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    k[0, 0] = np.inf  # no mean
    surface = np.fft.irfft2(noise * k ** -(hurst + 1.0), s=(size, size))
    return surface / surface.std()
