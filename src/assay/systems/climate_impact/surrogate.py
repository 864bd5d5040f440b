"""The learned flood model: a small U-Net from ground, roughness and rain to the largest depth.

Ronneberger, Fischer and Brox 2015 without normalisation layers. The rain is the same on every cell,
so it enters as a scale and a shift of every block's channels (FiLM, Perez et al. 2018). Inputs and
target are logarithms where hydraulics multiplies: the depth of uniform flow, (q n / S^(1/2))^(3/5),
is then a sum. Pure: nothing here reads, writes or seeds; everything is float32.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everyone calls it

from assay.systems.climate_impact.accumulation import drained_cells
from assay.systems.climate_impact.rain import Hyetograph
from assay.systems.climate_impact.rasters import Roughness, Terrain

__all__ = ["GROUND", "RAIN", "Scales", "UNet", "ground_planes", "predict_depth_m", "rain_numbers"]

GROUND = (
    "asinh of elevation above the plane that fits best, in 10 m",
    "asinh of elevation above the mean of 9 x 9 cells, in m",
    "log10 of slope",
    "log10 of Manning's n",
    "log10 of the area that drains through the cell, in m2",
    "whether there is no ground",
    "whether the cell belongs to the map",
)
"""The planes that the net sees, in order; beyond the edge of the map all are 0."""
RAIN = (
    "log10 of depth in mm",
    "log10 of the highest rate in mm/h",
    "log10 of duration in h",
    "log10 of the cell's edge in m",
)
FLAT = 1e-4
NEIGHBOURHOOD = 9
MASKS = 2  # the last planes, which are not standardised


class Scales(NamedTuple):
    """Mean and standard deviation of what a net was trained on, by which its inputs are scaled."""

    ground_mean: Float[np.ndarray, " planes"]
    ground_deviation: Float[np.ndarray, " planes"]
    rain_mean: Float[np.ndarray, " numbers"]
    rain_deviation: Float[np.ndarray, " numbers"]


# -- inputs -------------------------------------------------------------------------------------


def ground_planes(terrain: Terrain, roughness: Roughness) -> Float[np.ndarray, "planes y x"]:
    """What the net sees of the ground; see `GROUND`.

    Args:
        terrain: The terrain, its pits drained; cells without data are walls.
        roughness: Manning coefficient on the same grid.
    """
    from scipy.ndimage import uniform_filter

    cell_m, wall = terrain.grid.cell_m, ~np.isfinite(terrain.elevation_m)
    ground = _without_holes(terrain.elevation_m, wall)
    row, column = np.indices(ground.shape)
    plane = np.stack([np.ones(ground.size), row.ravel(), column.ravel()], axis=1)
    fit = np.linalg.lstsq(plane[~wall.ravel()], ground[~wall], rcond=None)[0]
    above_plane = ground - (plane @ fit).reshape(ground.shape)
    above_mean = ground - uniform_filter(ground, NEIGHBOURHOOD, mode="nearest")
    south, east = (_gradient(ground, cell_m, axis) for axis in (0, 1))
    area_m2 = drained_cells(terrain.elevation_m) * cell_m**2
    planes = [
        np.arcsinh(above_plane / 10.0),
        np.arcsinh(above_mean),
        np.log10(np.maximum(np.hypot(south, east), FLAT)),
        np.log10(np.where(wall, 1.0, roughness.manning)),
        np.log10(area_m2),
        wall,
        np.ones(wall.shape),
    ]
    return np.stack(planes).astype(np.float32)


def _without_holes(elevation_m: np.ndarray, wall: np.ndarray) -> np.ndarray:
    """The ground with each hole as high as the nearest cell."""
    if not wall.any():
        return elevation_m
    from scipy.ndimage import distance_transform_edt

    nearest: Any = distance_transform_edt(wall, return_distances=False, return_indices=True)
    return elevation_m[tuple(nearest)]


def _gradient(ground: np.ndarray, cell_m: float, axis: int) -> np.ndarray:
    return np.gradient(ground, cell_m, axis=axis) if ground.shape[axis] > 1 else 0.0 * ground


def rain_numbers(rain: Hyetograph, cell_m: float) -> Float[np.ndarray, " numbers"]:
    """What the net is told of the storm and the scale; see `RAIN`.

    The duration is the time from the first to the last rain.

    Args:
        rain: The storm.
        cell_m: Edge of a cell (m).
    """
    spans = np.diff(rain.times_s)
    rates = np.asarray(rain.rain_mm_per_h, float)[: spans.size]
    wet = np.flatnonzero(rates > 0)
    hours = (rain.times_s[wet[-1] + 1] - rain.times_s[wet[0]]) / 3600.0 if wet.size else 0.0
    told = np.array([rain.depth_mm, rates.max(initial=0.0), hours, cell_m])
    return np.log10(np.maximum(told, 1e-3)).astype(np.float32)


# -- the net ------------------------------------------------------------------------------------


class _Block(nn.Module):
    """Two convolutions of 3 x 3; the rain scales and shifts the channels between them."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.film = nn.Linear(len(RAIN), 2 * channels)

    def forward(self, x: Tensor, rain: Tensor, inside: Tensor) -> Tensor:
        scale, shift = self.film(rain)[:, :, None, None].chunk(2, dim=1)
        x = inside * F.silu(self.first(x) * (1.0 + scale) + shift)
        return inside * F.silu(self.second(x))


class UNet(nn.Module):
    """From planes of the ground and numbers of the rain to log(1 + depth in m).

    Args:
        channels: Channels of the finest level; each coarser one has twice as many.
        levels: Number of resolutions, each half the one before.
    """

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        widths = [channels * 2**level for level in range(levels)]
        self.levels = levels
        self.down = nn.ModuleList(
            _Block(a, b) for a, b in zip([len(GROUND), *widths[:-1]], widths, strict=True)
        )
        self.up = nn.ModuleList(
            _Block(a + b, a) for a, b in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.head = nn.Conv2d(channels, 1, 1)
        scales = {"ground": len(GROUND), "rain": len(RAIN)}
        for name, count in scales.items():
            self.register_buffer(f"{name}_mean", torch.zeros(count))
            self.register_buffer(f"{name}_deviation", torch.ones(count))

    def set_scales(self, scales: Scales) -> None:
        """Take the scales of a training set; the masks at the end stay as they are."""
        for name, values in scales._asdict().items():
            kept = torch.as_tensor(values, dtype=torch.float32)
            if name.startswith("ground"):
                kept[-MASKS:] = float(name.endswith("deviation"))
            self.get_buffer(name).copy_(kept)

    def forward(self, ground: Tensor, rain: Tensor) -> Tensor:
        """Predict.

        Args:
            ground: Planes, ``[floods, planes, y, x]``, of any size.
            rain: Numbers, ``[floods, numbers]``.

        Returns:
            log(1 + depth in m), ``[floods, y, x]``; may be a little below 0.
        """
        rows, columns = ground.shape[-2:]
        multiple = 2 ** (self.levels - 1)
        ground = F.pad(ground, (0, -columns % multiple, 0, -rows % multiple))
        inside = [ground[:, -1:]]  # at each level; beyond the map all is 0, as beyond the padding
        for _ in range(1, self.levels):
            inside.append(F.max_pool2d(inside[-1], 2))
        scaled = ground - self.get_buffer("ground_mean")[:, None, None]
        x = inside[0] * scaled / self.get_buffer("ground_deviation")[:, None, None]
        x = x.contiguous(memory_format=torch.channels_last)  # a third faster on a CPU
        told = (rain - self.get_buffer("rain_mean")) / self.get_buffer("rain_deviation")
        passed: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if level else x, told, inside[level])
            passed.append(x)
        for block, beside, within in zip(self.up, passed[-2::-1], inside[-2::-1], strict=True):
            wider = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([beside, wider], dim=1), told, within)
        return self.head(x)[:, 0, :rows, :columns]


def predict_depth_m(
    net: UNet, terrain: Terrain, roughness: Roughness, rain: Hyetograph
) -> Float[np.ndarray, "y x"]:
    """The largest depth (m) in every cell, NaN where there is no ground.

    Args:
        net: A trained net.
        terrain: The terrain, its pits drained.
        roughness: Manning coefficient on the same grid.
        rain: The storm.
    """
    ground = torch.from_numpy(ground_planes(terrain, roughness))
    told = torch.from_numpy(rain_numbers(rain, terrain.grid.cell_m))
    with torch.inference_mode():
        found = net(ground[None], told[None])[0].double().numpy()
    return np.where(np.isfinite(terrain.elevation_m), np.expm1(np.maximum(found, 0.0)), np.nan)
