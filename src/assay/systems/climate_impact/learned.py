"""The hazard, learned: a trained net in the place of the solver, and the folder that it lies in.

A model is a folder with ``config.json`` and ``model.safetensors``; reading it runs no code of its.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.core.component import component
from assay.core.records import Records
from assay.errors import DataError
from assay.systems.climate_impact.forcing import Soil
from assay.systems.climate_impact.inundation import FLOODED_M, FloodMaps
from assay.systems.climate_impact.rain import Hyetograph
from assay.systems.climate_impact.rasters import Raster, Roughness, Terrain
from assay.systems.climate_impact.solver import Ledger
from assay.systems.climate_impact.water import Inflow, Stage

if TYPE_CHECKING:
    from assay.systems.climate_impact.surrogate import UNet

__all__ = ["learned_inundation", "read_model", "write_model"]

CONFIG, WEIGHTS = "config.json", "model.safetensors"
MODEL_TYPE = "assay-flood-unet"
FORMAT = 1


@component(version="1", requires=("numba", "numpy", "safetensors", "scipy", "torch"))
def learned_inundation(
    terrain: Terrain,
    roughness: Roughness,
    rain: Hyetograph,
    model: Path,
    soil: Soil | None = None,
    rivers: list[Inflow] | None = None,
    levels: list[Stage] | None = None,
) -> FloodMaps:
    """Predict the largest depth of a flood with a trained net, where the solver would compute it.

    Only depth is predicted: speed, hazard, arrival time and the ledger are NaN, and nothing is
    recorded of them. Boundaries and simulated time are those of the floods it was trained on.

    Args:
        terrain: Elevation on a projected grid, its pits drained; cells without data are walls.
        roughness: Manning coefficient on the same grid.
        rain: Rain on every cell alike.
        model: Folder of the trained net, see `train_surrogate`.
        soil: Refused: the net knows sealed ground only.
        rivers: Refused: the net knows rain only.
        levels: Refused.
    """
    from assay.systems.climate_impact.surrogate import predict_depth_m

    given = {"soil": soil, "rivers": rivers, "levels": levels}
    if unknown := [name for name, value in given.items() if value]:
        raise DataError(
            f"{' and '.join(unknown)} not known to the learned model",
            where=str(model),
            accepted="rain on sealed ground",
            next="Use inundation.",
        )
    _require_same_grid(terrain, roughness)
    depth_m = predict_depth_m(read_model(model), terrain, roughness, rain)
    grid, label = terrain.grid, rain.label

    def unknown_raster(name: str, unit: str) -> Raster:
        return Raster(np.full(depth_m.shape, np.nan), grid, f"{name}, {label} (not known)", unit)

    return FloodMaps(
        Raster(depth_m, grid, f"maximum depth, {label} (learned)", "m"),
        unknown_raster("maximum speed", "m/s"),
        unknown_raster("maximum hazard", "m2/s"),
        unknown_raster("arrival time", "h"),
        Ledger(**dict.fromkeys(Ledger._fields, float("nan"))),
        float("nan"),
        rain.return_period_years,
        _measured(depth_m, grid.cell_m, rain.return_period_years),
    )


def _require_same_grid(terrain: Terrain, roughness: Roughness) -> None:
    if roughness.manning.shape != terrain.elevation_m.shape:
        raise DataError(
            f"the roughness has {roughness.manning.shape} cells",
            where=terrain.name,
            accepted=f"{terrain.elevation_m.shape}, as the terrain",
        )


def _measured(depth_m: np.ndarray, cell_m: float, return_period_years: float) -> Records:
    """What depth alone says, under the names that `inundation` records."""
    area_km2 = float((depth_m > FLOODED_M).sum()) * (cell_m / 1000.0) ** 2
    records = Records()
    keys = {"return_period_years": return_period_years}
    records.add("max_depth", float(np.nanmax(depth_m)), "m", **keys)
    records.add("flooded_area", area_km2, "km2", **keys)
    return records


# -- the folder ---------------------------------------------------------------------------------


def write_model(folder: Path, net: "UNet", trained: dict[str, Any]) -> None:
    """Write a net.

    Args:
        folder: Where to; it is made.
        net: The net.
        trained: How it was trained, for people; plain data.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": MODEL_TYPE,
        "format": FORMAT,
        "channels": net.down[0].first.out_channels,  # type: ignore[union-attr]
        "levels": net.levels,
        "trained": trained,
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, folder / WEIGHTS)


def read_model(folder: Path) -> "UNet":
    """Read a net that `write_model` wrote.

    Raises:
        DataError: If the folder holds no such model, or another one than its config says.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from assay.systems.climate_impact.surrogate import UNet

    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if (config["model_type"], config["format"]) != (MODEL_TYPE, FORMAT):
            raise ValueError(f"a {config['model_type']} of format {config['format']}")
        with torch.device("meta"):  # without first weights, which would take random numbers
            net = UNet(int(config["channels"]), int(config["levels"]))
        net.load_state_dict(load_file(folder / WEIGHTS), assign=True)
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, SafetensorError) as error:
        why = str(error).partition("\n")[0]
        raise DataError(
            f"holds no trained flood model ({why})",
            where=str(folder),
            accepted=f"{CONFIG} and {WEIGHTS} as train_surrogate writes them",
        ) from error
    return net.eval()
