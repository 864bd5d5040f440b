"""What a learned flood model is trained and tried on: windows of a survey, and ground made up.

Notable in this file: what is held out is decided once, before any tile is drawn. The survey is cut
into blocks that do not overlap, some of which no tile is taken from; made-up terrains have seeds of
their own on either side; and the storms of the two sides are named by the study.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Literal, NamedTuple

import numpy as np
from jaxtyping import Int
from pydantic import Field, PositiveInt

from assay.core.component import Seed, component
from assay.errors import DataError, ParameterError
from assay.systems.climate_impact import exposure, rain
from assay.systems.climate_impact.exposure import Assets
from assay.systems.climate_impact.fractals import fractal_terrain
from assay.systems.climate_impact.rain import DepthDuration, Hyetograph
from assay.systems.climate_impact.rasters import Roughness, Terrain, uniform_roughness
from assay.systems.climate_impact.roughness import patches
from assay.systems.climate_impact.terrain import crop

__all__ = [
    "Case",
    "Grounds",
    "Tile",
    "held_out_case",
    "hold_out",
    "training_tile",
]

Split = Literal["storm", "block", "terrain"]
Kind = Literal["survey", "fractal"]
MANNING = (0.02, 0.08)
PATCHES = 0.25  # standard deviation of the logarithm of Manning's n within a tile


@dataclass(frozen=True)
class Grounds:
    """Which ground is trained on and which is kept back.

    Attributes:
        size: Edge of a tile (cells).
        trained: Row and column of the north-west corner of blocks of the survey to train on.
        held_out: The same of blocks kept back.
        trained_seeds: Seeds of made-up terrains to train on.
        held_out_seeds: Seeds of made-up terrains kept back.
    """

    size: int
    trained: Int[np.ndarray, "trained 2"]
    held_out: Int[np.ndarray, "held_out 2"]
    trained_seeds: Int[np.ndarray, " terrains"]
    held_out_seeds: Int[np.ndarray, " terrains"]


class Tile(NamedTuple):
    """Ground, roughness and storm of one flood to learn from."""

    terrain: Terrain
    roughness: Roughness
    rain: Hyetograph


class Case(NamedTuple):
    """Ground to try a model on, with a settlement.

    Attributes:
        terrain: The ground.
        roughness: Its roughness.
        exposure: Synthetic buildings on it.
        split: What the model has not seen: the ``storm`` only, the ``block`` of the survey, or any
            part of the ``terrain``.
        kind: ``survey`` or ``fractal``.
        place: Number of the case among those of its split and kind.
    """

    terrain: Terrain
    roughness: Roughness
    exposure: Assets
    split: str
    kind: str
    place: int


# -- components ---------------------------------------------------------------------------------


@component(version="1", requires=("numpy",))
def hold_out(
    terrain: Terrain,
    *,
    size: Annotated[int, Field(ge=8, le=1024)] = 64,
    share: Annotated[float, Field(gt=0, lt=1)] = 0.25,
    fractals: Annotated[int, Field(ge=1, le=10_000)] = 16,
    seed: Seed,
) -> Grounds:
    """Cut a survey into blocks and decide which of them, and which made-up terrains, to keep back.

    Args:
        terrain: The survey.
        size: Edge of a block (cells).
        share: Share of the blocks kept back; at least one is.
        fractals: Number of made-up terrains on either side.
        seed: Seed of the draw.
    """
    rows, columns = (n // size for n in terrain.elevation_m.shape)
    corners = size * np.indices((rows, columns)).reshape(2, -1).T
    whole = [
        bool(np.isfinite(terrain.elevation_m[r : r + size, c : c + size]).all()) for r, c in corners
    ]
    corners = corners[np.array(whole, bool)]
    if len(corners) < 2:
        raise DataError(
            f"{len(corners)} blocks of {size} cells fit into {terrain.grid.rows} x "
            f"{terrain.grid.columns}",
            where=terrain.name,
            accepted="two or more without missing data",
        )
    random = np.random.default_rng(seed)
    order = random.permutation(len(corners))
    kept = min(max(round(share * len(corners)), 1), len(corners) - 1)
    seeds = random.choice(2**31, 2 * fractals, replace=False)
    return Grounds(
        size, corners[order[kept:]], corners[order[:kept]], seeds[:fractals], seeds[fractals:]
    )


@component(version="1", requires=("numba", "numpy"))
def training_tile(
    terrain: Terrain,
    grounds: Grounds,
    *,
    tile: Annotated[int, Field(ge=0)],
    return_period_years: list[float],
    duration_h: list[float],
    location_mm: float = 65.0,
    scale_mm: float = 20.0,
    runoff_coefficient: float = 0.5,
    seed: Seed,
) -> Tile:
    """Draw the ground, roughness and storm of one flood to learn from.

    Even tiles are blocks of the survey, odd ones made up; when all ground has had a storm it is
    the first one's turn again, with another.

    Args:
        terrain: The survey, its pits drained.
        grounds: What may be trained on.
        tile: Number of the tile.
        return_period_years: Storms to draw from (years).
        duration_h: Lengths of storms to draw from (h), whole quarters of an hour.
        location_mm: Location of the distribution of yearly maxima of 24-hour rain (mm).
        scale_mm: Its scale (mm).
        runoff_coefficient: Share of the rain that runs off.
        seed: Seed of roughness and storm.
    """
    random = np.random.default_rng(seed)
    kind: Kind = "fractal" if tile % 2 else "survey"
    ground = _ground(terrain, grounds, kind, trained=True, place=tile // 2)
    storm = rain.alternating_blocks(
        DepthDuration(location_mm, scale_mm),
        return_period_years=float(random.choice(return_period_years)),
        duration_h=float(random.choice(duration_h)),
        block_min=15.0,
        runoff_coefficient=runoff_coefficient,
    )
    typical = np.exp(random.uniform(*np.log(MANNING)))
    return Tile(ground, patches(ground, typical, PATCHES, random), storm)


@component(version="1", requires=("numba", "numpy", "scipy"))
def held_out_case(
    terrain: Terrain,
    grounds: Grounds,
    *,
    split: Split,
    kind: Kind,
    place: Annotated[int, Field(ge=0)] = 0,
    manning: Annotated[float, Field(ge=0.005, le=0.5)] = 0.04,
    buildings: PositiveInt = 200,
    currency: str = "USD",
    seed: Seed,
) -> Case:
    """Ground to try a model on: trained on, or kept back.

    Args:
        terrain: The survey, its pits drained.
        grounds: What was kept back.
        split: ``storm`` takes ground trained on, whose storms were others; ``block`` a block of
            the survey kept back; ``terrain`` a made-up terrain kept back.
        kind: ``survey`` or ``fractal``; a block is of the survey, a terrain never trained on is
            made up.
        place: Number of the case among those alike.
        manning: Manning's n (s/m^(1/3)).
        buildings: Number of buildings.
        currency: Unit of damage.
        seed: Seed of the buildings.
    """
    if (split, kind) in (("block", "fractal"), ("terrain", "survey")):
        raise ParameterError(
            f"no {kind} is kept back as a {split}",
            where="kind",
            accepted="fractal" if split == "terrain" else "survey",
        )
    ground = _ground(terrain, grounds, kind, trained=split == "storm", place=place)
    assets = exposure.settlement(ground, count=buildings, seed=seed, currency=currency)
    return Case(ground, uniform_roughness(ground, manning), assets, split, kind, place)


def _ground(
    terrain: Terrain, grounds: Grounds, kind: Kind, *, trained: bool, place: int
) -> Terrain:
    """Ground number ``place`` of its kind; after the last it is the first one's turn again."""
    size = grounds.size
    if kind == "survey":
        corners = grounds.trained if trained else grounds.held_out
        row, column = (int(at) for at in corners[place % len(corners)])
        block = crop(terrain, row, row + size, column, column + size)
        note = f"block at row {row}, column {column}"
        return replace(block, note=f"{block.note}; {note}" if block.note else note)
    seeds = grounds.trained_seeds if trained else grounds.held_out_seeds
    return fractal_terrain(
        size, terrain.grid.cell_m, seed=int(seeds[place % len(seeds)]), crs=terrain.grid.crs
    )
